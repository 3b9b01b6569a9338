/* SPDX-License-Identifier: BSD-2-Clause */
/* Segments of an open connection (RFC 9293 section 3.10.7.4), one by one. */
#include "sock.h"
#include "tcp_util.h"

/* ---- first: the sequence number ---------------------------------------- */

static void
sequence_numbers(void **state)
{
	/* rcv_nxt 11, snd_una 11, window 65535 << 0 less 0 */
	static const struct {
		const char *in, *out;
		uint32_t next;
	} cases[] = {
		/* keepalives (RFC 1122 section 4.2.3.6) */
		{ ". 10:10(0) ack 11", ". 11:11(0) ack 11", 11 },
		{ ". 10:11(1) ack 11", ". 11:11(0) ack 11", 11 },
		/* all of it old */
		{ "P. 1:11(10) ack 11", ". 11:11(0) ack 11", 11 },
		/* a part */
		{ "P. 1:21(20) ack 11", ". 11:11(0) ack 21", 21 },
		/* beyond the window */
		{ ". 200000:200000(0) ack 11", ". 11:11(0) ack 11", 11 },
		{ "P. 200000:200010(10) ack 11", ". 11:11(0) ack 11", 11 },
		/* out of order */
		{ "P. 21:31(10) ack 11", ". 11:11(0) ack 11", 11 },
		/* without an ACK */
		{ "P 11:21(10)", NULL, 11 },
		{ "F 11:11(0)", NULL, 11 },
		/* urgent data is data */
		{ "PU. 11:21(10) ack 11 urg 10", ". 11:11(0) ack 21", 21 },
		/* an ACK of what was never sent */
		{ ". 11:11(0) ack 12", ". 11:11(0) ack 11", 11 },
		{ "P. 11:21(10) ack 12", ". 11:11(0) ack 11", 11 },
		/* an old one's data is taken */
		{ "P. 11:21(10) ack 5", ". 11:11(0) ack 21", 21 },
		/* too old: RFC 5961 section 5.2 */
		{ "P. 11:21(10) ack 3000000000", ". 11:11(0) ack 11", 11 },
	};
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tt_open_slow(&t, "mss 1460");
		tt_set(t.s, UTCP_OPT_QUICKACK, 1);
		tt_in(&t, "%s", cases[i].in);
		if (cases[i].out != NULL)
			tt_expect(&t, "%s", cases[i].out);
		tt_none(&t);
		assert_int_equal(tt_info(&t).rcv_nxt - t.p->isn, cases[i].next);
		tt_end(&t);
	}
}

/* RFC 9293 section 3.10.7.4: with a window of 0 ACKs and resets are heeded. */
static void
zero_window(void **state)
{
	struct tt t;

	(void)state;
	for (int i = 0; i < 4; i++) {
		tt_init(&t, 4);
		tt_listen(&t);
		tt_set(t.listener, UTCP_OPT_RCVBUF, 4096);
		tt_passive(&t, "mss 1024");
		tt_write(&t, 10);
		tt_expect(&t, "P. 1:11(10) ack 1 win 4096");
		tt_in(&t, ". 1:2049(2048) ack 1");
		tt_in(&t, ". 2049:4097(2048) ack 1");
		tt_run(&t, 40 * MSEC);
		tt_skip(&t);
		if (i == 0) { /* a probe with data */
			tt_in(&t, ". 4097:4098(1) ack 11");
			tt_expect(&t, ". 11:11(0) ack 4097 win 0");
			assert_int_equal(tt_info(&t).unacked_bytes, 0);
		} else if (i == 1) {
			tt_in(&t, ". 4097:4097(0) ack 11");
			tt_none(&t);
			assert_int_equal(tt_info(&t).unacked_bytes, 0);
		} else if (i == 2) {
			tt_in(&t, "R 4097:4097(0)");
			tt_none(&t);
			tt_ready(&t, UTCP_HUP, 0);
		} else { /* a bare FIN needs no room */
			tt_in(&t, "F. 4097:4097(0) ack 11");
			tt_expect(&t, ". 11:11(0) ack 4098 win 0");
			tt_state(&t, UTCP_CLOSE_WAIT);
		}
		if (i != 2) {
			tt_read(&t, 4096);
		}
		tt_end(&t);
	}
}

/* Data that reaches beyond the window is cut off there, and the FIN with it. */
static void
beyond_window(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	tt_set(t.listener, UTCP_OPT_RCVBUF, 4096);
	tt_passive(&t, "mss 1460");
	tt_in(&t, "F. 1:5001(5000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 4097 win 0");
	tt_state(&t, UTCP_ESTABLISHED);
	tt_read(&t, 4096);
	tt_expect(&t, ". 1:1(0) ack 4097 win 4096");
	tt_in(&t, "F. 4097:5001(904) ack 1");
	tt_expect(&t, ". 1:1(0) ack 5002");
	tt_read(&t, 904);
	tt_read_is(&t, 0);
	tt_end(&t);
}

/* ---- second: RST (RFC 5961 section 3) ---------------------------------- */

static void
resets(void **state)
{
	static const struct {
		const char *in, *out;
		bool ends;
	} cases[] = {
		{ "R 11:11(0)", NULL, true },
		{ "R. 11:11(0) ack 11", NULL, true },
		{ "R. 11:11(0) ack 999", NULL, true }, /* no matter */
		{ "R 12:12(0)", ". 11:11(0) ack 11", false },
		{ "R. 60000:60000(0) ack 11", ". 11:11(0) ack 11", false },
		{ "R 10:10(0)", NULL, false },
		{ "R 100000:100000(0)", NULL, false },
	};
	struct tt t;
	int64_t error;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tt_open_slow(&t, "mss 1460");
		tt_in(&t, "%s", cases[i].in);
		if (cases[i].out != NULL)
			tt_expect(&t, "%s", cases[i].out);
		tt_none(&t);
		if (cases[i].ends) {
			tt_ready(&t, UTCP_ERR | UTCP_HUP, 0);
			assert_int_equal(utcp_get(t.s, UTCP_OPT_ERROR, &error),
					 0);
			assert_int_equal(error, ECONNRESET);
			assert_int_equal(tt_counter(&t, UTCP_CTR_RESETS_IN), 1);
		} else {
			tt_state(&t, UTCP_ESTABLISHED);
		}
		tt_end(&t);
	}
}

/* ---- fourth: SYN (RFC 5961 section 4) ---------------------------------- */

static void
syns(void **state)
{
	static const char *const cases[] = {
		"S 11:11(0)",	      "S 5000:5000(0)", "S 3000000:3000000(0)",
		"S. 11:11(0) ack 11", "S 0:0(0)",	"SP. 11:21(10) ack 11",
	};
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tt_open_slow(&t, "mss 1460");
		tt_in(&t, "%s", cases[i]);
		tt_expect(&t, ". 11:11(0) ack 11");
		tt_state(&t, UTCP_ESTABLISHED);
		assert_int_equal(tt_counter(&t, UTCP_CTR_CHALLENGE_ACKS), 1);
		/* ten in five seconds (section 7), not more */
		for (unsigned int j = 1; j < 10; j++) {
			tt_in(&t, "%s", cases[i]);
			tt_expect(&t, ". 11:11(0) ack 11");
		}
		tt_in(&t, "%s", cases[i]);
		tt_none(&t);
		tt_run(&t, 500 * MSEC);
		tt_in(&t, "%s", cases[i]);
		tt_expect(&t, ". 11:11(0) ack 11");
		tt_in(&t, "%s", cases[i]);
		tt_none(&t);
		tt_end(&t);
	}
}

/* Pure ACKs out of the window are answered, but no two ends can play ball. */
static void
ack_storm(void **state)
{
	unsigned int n = 0;
	struct tt t;

	(void)state;
	tt_open_slow(&t, TT_OPTS);
	for (unsigned int i = 0; i < 1000; i++) {
		tt_in(&t, ". 900000000:900000000(0) ack 11");
		n += tt_skip(&t);
		tt_run(&t, MSEC);
	}
	assert_in_range(n, 1, 13);
	tt_end(&t);
}

/* But each keepalive has its answer, however many there are. */
static void
keepalives(void **state)
{
	struct tt t;

	(void)state;
	tt_open_slow(&t, "mss 1460");
	for (unsigned int i = 0; i < 100; i++) {
		tt_in(&t, ". 10:10(0) ack 11");
		tt_expect(&t, ". 11:11(0) ack 11");
		tt_run(&t, MSEC);
	}
	tt_end(&t);
}

/* Two ends that disagree by a byte each way, as somebody between had it. */
static void
ack_storm_between(void **state)
{
	unsigned int n = 0;
	struct tt t;

	(void)state;
	tt_open_slow(&t, "mss 1460");
	for (unsigned int i = 0; i < 1000; i++) {
		tt_in(&t, ". 10:10(0) ack 12");
		n += tt_skip(&t);
		tt_run(&t, MSEC);
	}
	assert_in_range(n, 1, 13);
	tt_end(&t);
}

/* ---- timestamps (RFC 7323) --------------------------------------------- */

static void
paws(void **state)
{
	struct tt t;

	(void)state;
	tt_open_slow(&t, TT_OPTS);
	tt_set(t.s, UTCP_OPT_QUICKACK, 1);
	tt_in(&t, "P. 11:21(10) ack 11 <nop,nop,TS val 5000 ecr 0>");
	tt_expect(&t, ". 11:11(0) ack 21 <nop,nop,TS val * ecr 5000>");
	/* older: dropped, and acknowledged */
	tt_in(&t, "P. 21:31(10) ack 11 <nop,nop,TS val 4999 ecr 0>");
	tt_expect(&t, ". 11:11(0) ack 21 <nop,nop,TS val * ecr 5000>");
	assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_PAWS), 1);
	/* none: dropped, silently (section 3.2) */
	tt_in(&t, "P. 21:31(10) ack 11 <noTS>");
	tt_none(&t);
	/* around the number's end */
	tt_in(&t, "P. 21:31(10) ack 11 <nop,nop,TS val 2147488647 ecr 0>");
	tt_expect(&t, ". 11:11(0) ack 31 <nop,nop,TS val * ecr 2147488647>");
	tt_in(&t, "P. 31:41(10) ack 11 <nop,nop,TS val 1 ecr 0>");
	tt_expect(&t, ". 11:11(0) ack 41 <nop,nop,TS val * ecr 1>");
	/* a reset is not tested (section 5.2) */
	tt_in(&t, "R 41:41(0) <nop,nop,TS val 2147488647 ecr 0>");
	tt_ready(&t, UTCP_HUP, 0);
	tt_end(&t);
}

/* Section 4.3: of the last segment that moved the window's left edge, and of
   nothing out of order. */
static void
ts_recent(void **state)
{
	struct tt t;

	(void)state;
	tt_open_slow(&t, TT_OPTS);
	tt_set(t.s, UTCP_OPT_ACK_EVERY, 3);
	/* delayed: the first one's is echoed */
	tt_in(&t, "P. 11:21(10) ack 11 <nop,nop,TS val 5000 ecr 0>");
	tt_in(&t, "P. 21:31(10) ack 11 <nop,nop,TS val 5001 ecr 0>");
	tt_expect_in(&t, 40 * MSEC,
		     ". 11:11(0) ack 31 <nop,nop,TS val * ecr 5000>");
	/* out of order: the one before is echoed */
	tt_in(&t, "P. 41:51(10) ack 11 <nop,nop,TS val 5003 ecr 0>");
	tt_expect(&t, ". 11:11(0) ack 31 <nop,nop,TS val * ecr 5000,"
		      "nop,nop,sack 41:51>");
	/* the gap is filled: that of what filled it */
	tt_in(&t, "P. 31:41(10) ack 11 <nop,nop,TS val 5002 ecr 0>");
	tt_expect(&t, ". 11:11(0) ack 51 <nop,nop,TS val * ecr 5002>");
	tt_end(&t);
}

/* Section 5.5: after 24 days what is known says nothing. */
static void
paws_idle(void **state)
{
	struct tt t;

	(void)state;
	tt_open_slow(&t, TT_OPTS);
	tt_in(&t, "P. 11:21(10) ack 11 <nop,nop,TS val 2000000000 ecr 0>");
	tt_skip(&t);
	tt_run(&t, 25ull * 86400 * SEC);
	tt_skip(&t);
	tt_in(&t, "P. 21:31(10) ack 11 <nop,nop,TS val 1900000000 ecr 0>");
	tt_expect_within(&t, 40 * MSEC,
			 ". 11:11(0) ack 31 <nop,nop,TS val * ecr 1900000000>");
	tt_end(&t);
}

/* An old segment that is also old data: told as a duplicate (RFC 2883). */
static void
paws_duplicate(void **state)
{
	struct tt t;

	(void)state;
	tt_open_slow(&t, TT_OPTS);
	tt_in(&t, "P. 6:21(15) ack 11 <nop,nop,TS val 5 ecr 0>");
	tt_expect(&t, ". 11:11(0) ack 11 <nop,nop,TS val * ecr 1000,nop,nop,"
		      "sack 6:11>");
	tt_end(&t);
}

/* ---- SACKs of an ACK that others overtook ------------------------------ */

static void
old_sacks(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, "mss 1000,nop,nop,sackOK");
	tt_write(&t, 8000);
	tt_run(&t, 10 * MSEC);
	tt_skip(&t);
	tt_in(&t, ". 1:1(0) ack 3001");
	assert_int_equal(tt_info(&t).sacked_bytes, 0);
	tt_in(&t, ". 1:1(0) ack 2001 <nop,nop,sack 2001:3001 4001:5001>");
	assert_int_equal(tt_info(&t).sacked_bytes, 1000);
	assert_int_equal(tt_counter(&t, UTCP_CTR_DSACK_IN), 0);
	tt_end(&t);
}

/* ---- limits ------------------------------------------------------------ */

/* More than max_bytes is not taken, not acknowledged, and comes again. */
static void
max_bytes(void **state)
{
	utcp_config_t cfg = { .max_bytes = 10000 };
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_passive(&t, TT_OPTS);
	for (uint32_t i = 0; i < 20; i++)
		tt_in(&t, ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
	tt_skip(&t);
	assert_true(tt_counter(&t, UTCP_CTR_DROP_NOMEM) > 0);
	assert_in_range(utcp_readable(t.s), 1000, 10000);
	tt_read(&t, (uint32_t)utcp_readable(t.s));
	tt_skip(&t);
	tt_in(&t, ". %u:%u(1000) ack 1", (uint32_t)t.read + 1,
	      (uint32_t)t.read + 1001);
	tt_expect(&t, ". 1:1(0) ack %u", (uint32_t)t.read + 1001);
	tt_end(&t);
}

/* A keepalive's answer is an answer: the probes begin anew. */
static void
keepalive_answered(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	tt_set(t.listener, UTCP_OPT_KEEPALIVE, 1);
	tt_set(t.listener, UTCP_OPT_KEEPIDLE_NS, 10 * (int64_t)SEC);
	tt_set(t.listener, UTCP_OPT_KEEPINTVL_NS, (int64_t)SEC);
	tt_set(t.listener, UTCP_OPT_KEEPCNT, 3);
	tt_passive(&t, "mss 1460");
	for (unsigned int i = 0; i < 5; i++) {
		tt_expect_in(&t, 10 * SEC, ". 0:0(0) ack 1");
		tt_expect_in(&t, SEC, ". 0:0(0) ack 1");
		tt_in(&t, ". 1:1(0) ack 1");
	}
	tt_state(&t, UTCP_ESTABLISHED);
	tt_end(&t);
}

/* ---- ECN (RFC 3168 section 6.1.3) -------------------------------------- */

static void
ecn_receiver(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	tt_in(&t, "SEW 0:0(0) <mss 1000>");
	tt_expect(&t, "SE. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_in(&t, "[ect0] . 1:1001(1000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1001");
	tt_in(&t, "[ce] . 1001:2001(1000) ack 1");
	tt_expect(&t, "E. 1:1(0) ack 2001");
	/* until the sender says that it has slowed down */
	tt_in(&t, "[ect0] . 2001:3001(1000) ack 1");
	tt_expect(&t, "E. 1:1(0) ack 3001");
	tt_in(&t, "[ect0] W. 3001:4001(1000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 4001");
	/* and again in the same segment */
	tt_in(&t, "[ce] W. 4001:5001(1000) ack 1");
	tt_expect(&t, "E. 1:1(0) ack 5001");
	tt_in(&t, "[ce] W. 5001:6001(1000) ack 1");
	tt_expect(&t, "E. 1:1(0) ack 6001");
	tt_end(&t);
	/* not negotiated: nothing is echoed */
	tt_open_slow(&t, TT_OPTS);
	tt_in(&t, "[ce] P. 11:21(10) ack 11");
	tt_expect_in(&t, 40 * MSEC, ". 11:11(0) ack 21");
	tt_end(&t);
}

/* ---- RFC 5082 ---------------------------------------------------------- */

static void
ttl_min(void **state)
{
	uint8_t pkt[200];
	uint32_t len;
	struct tt t;

	(void)state;
	tt_open_slow(&t, "mss 1460");
	tt_set(t.s, UTCP_OPT_TTL_MIN, 255);
	len = tt_build(&t, pkt, "P. 11:21(10) ack 11");
	tt_in_raw(&t, pkt, len);
	tt_none(&t);
	assert_int_equal(tt_info(&t).unread_bytes, 0);
	pkt[8] = 255;
	tt_fix(&t, pkt, len);
	tt_in_raw(&t, pkt, len);
	assert_int_equal(tt_info(&t).unread_bytes, 10);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequence_numbers),
		cmocka_unit_test(zero_window),
		cmocka_unit_test(beyond_window),
		cmocka_unit_test(resets),
		cmocka_unit_test(syns),
		cmocka_unit_test(ack_storm),
		cmocka_unit_test(keepalives),
		cmocka_unit_test(ack_storm_between),
		cmocka_unit_test(paws),
		cmocka_unit_test(ts_recent),
		cmocka_unit_test(paws_idle),
		cmocka_unit_test(paws_duplicate),
		cmocka_unit_test(old_sacks),
		cmocka_unit_test(max_bytes),
		cmocka_unit_test(keepalive_answered),
		cmocka_unit_test(ecn_receiver),
		cmocka_unit_test(ttl_min),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
