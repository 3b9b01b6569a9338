/* SPDX-License-Identifier: BSD-2-Clause */
/* Segments of an open connection (RFC 9293 section 3.10.7.4), one by one. */
#include "sock.h"
#include "tcp_util.h"

static void
set(utcp_sock_t *s, int opt, int64_t value)
{
	assert_int_equal(utcp_set(s, opt, value), 0);
}

/* An open connection without quick ACKs left: a byte, and its answer. */
static void
open_slow(struct tt *t, const char *opts)
{
	tt_init(t, 4);
	tt_passive(t, opts);
	tt_in(t, "P. 1:11(10) ack 1");
	tt_expect(t, ". 1:1(0) ack 11");
	tt_read(t, 10);
	tt_write(t, 10);
	tt_expect(t, "P. 1:11(10) ack 11");
	tt_in(t, ". 11:11(0) ack 11");
	tt_none(t);
}

/* ---- acknowledging ----------------------------------------------------- */

/* At the start each segment is acknowledged at once, sixteen of them. */
static void
quick_acks(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	for (uint32_t i = 0; i < 16; i++) {
		tt_in(&t, "P. %u:%u(100) ack 1", 1 + 100 * i, 101 + 100 * i);
		tt_expect(&t, ". 1:1(0) ack %u", 101 + 100 * i);
	}
	tt_in(&t, "P. 1601:1701(100) ack 1");
	tt_expect_in(&t, 40 * MSEC, ". 1:1(0) ack 1701");
	tt_read(&t, 1700);
	tt_end(&t);
}

static void
delayed_ack(void **state)
{
	struct tt t;

	(void)state;
	open_slow(&t, TT_OPTS);
	/* one small one waits */
	tt_in(&t, "P. 11:111(100) ack 11");
	tt_expect_in(&t, 40 * MSEC, ". 11:11(0) ack 111");
	/* a reply takes it along */
	tt_in(&t, "P. 111:211(100) ack 11");
	tt_none(&t);
	tt_write(&t, 5);
	tt_expect(&t, "P. 11:16(5) ack 211");
	tt_in(&t, ". 211:211(0) ack 16");
	tt_quiet(&t, 100 * MSEC);
	tt_end(&t);
}

/* Of full segments every second; what came as one of several at once. */
static void
every_second(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	set(t.listener, UTCP_OPT_RCVBUF, 1 << 20);
	tt_passive(&t, TT_SACK);
	for (uint32_t i = 0; i < 16; i++) {
		tt_in(&t, ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
		tt_expect(&t, ". 1:1(0) ack %u", 1001 + 1000 * i);
	}
	for (uint32_t i = 16; i < 26; i += 2) {
		tt_in(&t, ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
		tt_none(&t);
		tt_in(&t, ". %u:%u(1000) ack 1", 1001 + 1000 * i,
		      2001 + 1000 * i);
		tt_expect(&t, ". 1:1(0) ack %u", 2001 + 1000 * i);
	}
	set(t.s, UTCP_OPT_ACK_EVERY, 4);
	for (uint32_t i = 26; i < 29; i++) {
		tt_in(&t, ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
		tt_none(&t);
	}
	tt_in(&t, ". 29001:30001(1000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 30001");
	tt_end(&t);
}

static void
quickack_option(void **state)
{
	struct tt t;

	(void)state;
	open_slow(&t, TT_OPTS);
	set(t.s, UTCP_OPT_QUICKACK, 1);
	tt_in(&t, "P. 11:111(100) ack 11");
	tt_expect(&t, ". 11:11(0) ack 111");
	set(t.s, UTCP_OPT_QUICKACK, 0);
	set(t.s, UTCP_OPT_DELACK_NS, 10 * (int64_t)MSEC);
	tt_in(&t, "P. 111:211(100) ack 11");
	tt_expect_in(&t, 10 * MSEC, ". 11:11(0) ack 211");
	set(t.s, UTCP_OPT_DELACK_NS, 0);
	tt_in(&t, "P. 211:311(100) ack 11");
	tt_expect(&t, ". 11:11(0) ack 311");
	tt_end(&t);
}

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
		open_slow(&t, "mss 1460");
		set(t.s, UTCP_OPT_QUICKACK, 1);
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
		set(t.listener, UTCP_OPT_RCVBUF, 4096);
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
	set(t.listener, UTCP_OPT_RCVBUF, 4096);
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
		open_slow(&t, "mss 1460");
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
		open_slow(&t, "mss 1460");
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
	open_slow(&t, TT_OPTS);
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
	open_slow(&t, "mss 1460");
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
	open_slow(&t, "mss 1460");
	for (unsigned int i = 0; i < 1000; i++) {
		tt_in(&t, ". 10:10(0) ack 12");
		n += tt_skip(&t);
		tt_run(&t, MSEC);
	}
	assert_in_range(n, 1, 13);
	tt_end(&t);
}

/* ---- fifth: the window ------------------------------------------------- */

/* An older segment that comes later does not turn the window back. */
static void
window_updates(void **state)
{
	struct tt t;

	(void)state;
	open_slow(&t, "mss 1460");
	tt_in(&t, ". 11:11(0) ack 11 win 1000");
	assert_int_equal(tt_info(&t).snd_wnd_bytes, 1000);
	/* same seq and ack: taken */
	tt_in(&t, ". 11:11(0) ack 11 win 500");
	assert_int_equal(tt_info(&t).snd_wnd_bytes, 500);
	/* wl1 is 21 then */
	tt_in(&t, "P. 21:31(10) ack 11 win 2000");
	tt_in(&t, "P. 11:21(10) ack 11 win 100");
	assert_int_equal(tt_info(&t).snd_wnd_bytes, 2000);
	/* same seq, older ack */
	tt_skip(&t);
	tt_write(&t, 10);
	tt_expect(&t, "P. 11:21(10) ack 31");
	tt_in(&t, ". 31:31(0) ack 21 win 3000");
	tt_in(&t, ". 31:31(0) ack 11 win 50");
	assert_int_equal(tt_info(&t).snd_wnd_bytes, 3000);
	tt_end(&t);
}

/* ---- timestamps (RFC 7323) --------------------------------------------- */

static void
paws(void **state)
{
	struct tt t;

	(void)state;
	open_slow(&t, TT_OPTS);
	set(t.s, UTCP_OPT_QUICKACK, 1);
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
	open_slow(&t, TT_OPTS);
	set(t.s, UTCP_OPT_ACK_EVERY, 3);
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
	open_slow(&t, TT_OPTS);
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
	open_slow(&t, TT_OPTS);
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
	set(t.listener, UTCP_OPT_KEEPALIVE, 1);
	set(t.listener, UTCP_OPT_KEEPIDLE_NS, 10 * (int64_t)SEC);
	set(t.listener, UTCP_OPT_KEEPINTVL_NS, (int64_t)SEC);
	set(t.listener, UTCP_OPT_KEEPCNT, 3);
	tt_passive(&t, "mss 1460");
	for (unsigned int i = 0; i < 5; i++) {
		tt_expect_in(&t, 10 * SEC, ". 0:0(0) ack 1");
		tt_expect_in(&t, SEC, ". 0:0(0) ack 1");
		tt_in(&t, ". 1:1(0) ack 1");
	}
	tt_state(&t, UTCP_ESTABLISHED);
	tt_end(&t);
}

/* The receiver's own measure of the round trip, from windows and timestamps. */
static void
receiver_rtt(void **state)
{
	struct tt t;
	uint32_t at = 1;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	for (unsigned int i = 0; i < 300; i++) {
		tt_in(&t, ". %u:%u(1448) ack 1", at, at + 1448);
		at += 1448;
		tt_read(&t, 1448);
		if (i % 10 == 9)
			tt_run(&t, 20 * MSEC);
		tt_skip(&t);
	}
	assert_int_equal(utcp__rouse(t.s), true);
	assert_in_range(t.s->busy->rcv_rtt_ns, 10 * MSEC, 500 * MSEC);
	tt_end(&t);
}

/* A FIN "between" data is none. */
static void
fin_between(void **state)
{
	struct tt t;

	(void)state;
	open_slow(&t, "mss 1460");
	tt_in(&t, "F. 31:31(0) ack 11");
	tt_in(&t, "P. 21:51(30) ack 11");
	tt_in(&t, "P. 11:21(10) ack 11");
	tt_skip(&t);
	tt_state(&t, UTCP_ESTABLISHED);
	tt_read(&t, 40);
	tt_in(&t, "F. 51:51(0) ack 11");
	tt_expect(&t, ". 11:11(0) ack 52");
	tt_state(&t, UTCP_CLOSE_WAIT);
	tt_end(&t);
}

/* ---- eighth: FIN, and the end ------------------------------------------ */

static void
passive_close(void **state)
{
	struct tt t;

	(void)state;
	open_slow(&t, TT_OPTS);
	tt_in(&t, "F. 11:21(10) ack 11");
	tt_expect(&t, ". 11:11(0) ack 22");
	tt_state(&t, UTCP_CLOSE_WAIT);
	tt_ready(&t, UTCP_IN | UTCP_OUT | UTCP_RDHUP, UTCP_HUP | UTCP_ERR);
	tt_read(&t, 10);
	tt_read_is(&t, 0);
	/* half closed: we may send */
	tt_write(&t, 100);
	tt_expect(&t, "P. 11:111(100) ack 22");
	/* the FIN again: acknowledged again */
	tt_in(&t, "F. 21:21(0) ack 11");
	tt_expect(&t, ". 111:111(0) ack 22");
	tt_in(&t, ". 22:22(0) ack 111");
	assert_int_equal(utcp_shutdown(t.s, UTCP_SHUT_WR), 0);
	tt_expect(&t, "F. 111:111(0) ack 22");
	tt_state(&t, UTCP_LAST_ACK);
	tt_in(&t, ". 22:22(0) ack 112");
	tt_ready(&t, UTCP_HUP, UTCP_ERR);
	tt_state(&t, UTCP_CLOSED);
	tt_end(&t);
}

static void
active_close(void **state)
{
	struct tt t;

	(void)state;
	open_slow(&t, TT_OPTS);
	assert_int_equal(utcp_shutdown(t.s, UTCP_SHUT_WR), 0);
	tt_expect(&t, "F. 11:11(0) ack 11");
	tt_state(&t, UTCP_FIN_WAIT_1);
	tt_in(&t, ". 11:11(0) ack 12");
	tt_state(&t, UTCP_FIN_WAIT_2);
	tt_in(&t, "P. 11:31(20) ack 12");
	tt_expect_within(&t, 40 * MSEC, ". 12:12(0) ack 31");
	tt_read(&t, 20);
	tt_in(&t, "F. 31:31(0) ack 12");
	tt_expect(&t, ". 12:12(0) ack 32");
	tt_read_is(&t, 0);
	tt_ready(&t, UTCP_HUP | UTCP_RDHUP, UTCP_ERR);
	/* the FIN again, in TIME-WAIT */
	tt_in(&t, "F. 31:31(0) ack 12");
	tt_expect(&t, ". 12:12(0) ack 32");
	tt_end(&t);
}

/* FIN-WAIT-1: acknowledgement and FIN in one. */
static void
fin_and_ack(void **state)
{
	utcp_usage_t usage;
	struct tt t;

	(void)state;
	open_slow(&t, TT_OPTS);
	utcp_close(t.s);
	t.s = NULL;
	tt_expect(&t, "F. 11:11(0) ack 11");
	tt_in(&t, "F. 11:11(0) ack 12");
	tt_expect(&t, ". 12:12(0) ack 12");
	utcp_usage(t.u, &usage);
	assert_int_equal(usage.timewaits, 1);
	assert_int_equal(usage.socks, 1); /* the listener */
	tt_quiet(&t, 60 * SEC);
	utcp_usage(t.u, &usage);
	assert_int_equal(usage.timewaits, 0);
	tt_end(&t);
}

static void
simultaneous_close(void **state)
{
	utcp_usage_t usage;
	struct tt t;

	(void)state;
	open_slow(&t, TT_OPTS);
	assert_int_equal(utcp_shutdown(t.s, UTCP_SHUT_WR), 0);
	tt_expect(&t, "F. 11:11(0) ack 11");
	tt_in(&t, "F. 11:11(0) ack 11");
	tt_state(&t, UTCP_CLOSING);
	tt_expect(&t, ". 12:12(0) ack 12");
	tt_in(&t, ". 12:12(0) ack 12");
	utcp_usage(t.u, &usage);
	assert_int_equal(usage.timewaits, 1);
	tt_end(&t);
}

/* A FIN out of order waits for what is before it. */
static void
fin_out_of_order(void **state)
{
	struct tt t;

	(void)state;
	for (int bare = 0; bare < 2; bare++) {
		open_slow(&t, TT_OPTS);
		if (bare) {
			tt_in(&t, "F. 31:31(0) ack 11");
			tt_expect(&t, ". 11:11(0) ack 11");
			tt_in(&t, "P. 21:31(10) ack 11");
		} else {
			tt_in(&t, "F. 21:31(10) ack 11");
		}
		tt_expect(&t, ". 11:11(0) ack 11 <nop,nop,TS val * ecr *,"
			      "nop,nop,sack 21:31>");
		tt_state(&t, UTCP_ESTABLISHED);
		tt_in(&t, "P. 11:21(10) ack 11");
		tt_expect(&t, ". 11:11(0) ack 32");
		tt_state(&t, UTCP_CLOSE_WAIT);
		tt_read(&t, 20);
		tt_read_is(&t, 0);
		tt_end(&t);
	}
}

/* Nothing comes after a FIN. */
static void
data_after_fin(void **state)
{
	struct tt t;

	(void)state;
	open_slow(&t, TT_OPTS);
	tt_in(&t, "F. 11:11(0) ack 11");
	tt_expect(&t, ". 11:11(0) ack 12");
	/* Section 3.10.7.4, seventh: text is ignored... */
	tt_in(&t, "P. 12:22(10) ack 11");
	tt_none(&t);
	assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_STATE), 1);
	/* ... but what comes again was not acknowledged */
	tt_in(&t, "F. 11:11(0) ack 11");
	tt_expect(&t, ". 11:11(0) ack 12");
	tt_in(&t, "P. 1:11(10) ack 11");
	tt_expect(&t, ". 11:11(0) ack 12");
	tt_read_is(&t, 0);
	tt_state(&t, UTCP_CLOSE_WAIT);
	tt_end(&t);
}

/* RFC 1122 section 4.2.2.13: data for which there is no reader any more. */
static void
data_after_close(void **state)
{
	struct tt t;

	(void)state;
	for (int how = 0; how < 2; how++) {
		open_slow(&t, TT_OPTS);
		if (how == 0) {
			utcp_close(t.s);
			t.s = NULL;
		} else {
			utcp_shutdown(t.s, UTCP_SHUT_RDWR);
		}
		tt_expect(&t, "F. 11:11(0) ack 11");
		/* an acknowledgement is fine */
		tt_in(&t, ". 11:11(0) ack 11");
		tt_none(&t);
		/* The peer, which has not seen the FIN, is told where it
		   believes it. */
		tt_in(&t, "P. 11:21(10) ack 11");
		tt_expect(&t, "R 11:11(0)");
		tt_in(&t, "P. 21:31(10) ack 11");
		tt_expect(&t, "R 11:11(0)");
		tt_end(&t);
	}
}

/*
 * How a connection ends, as its user sees it: the level, what reads return, one
 * after the other, and then two writes. An error is told once.
 */
static void
endings(void **state)
{
	static const uint32_t dead = UTCP_IN | UTCP_RDHUP | UTCP_HUP;
	static const struct {
		const char *in[2];
		bool shut, asks; /* our side; the user for the error */
		uint64_t wait_ns;
		uint32_t ready;
		int error, reads[3], writes[2];
	} cases[] = {
		{ { "R 11:11(0)" },
		  false,
		  false,
		  0,
		  dead | UTCP_ERR,
		  ECONNRESET,
		  { -ECONNRESET, 0, 0 },
		  { -EPIPE, -EPIPE } },
		/* what came before is there still */
		{ { "P. 11:14(3) ack 11", "R 14:14(0)" },
		  false,
		  false,
		  0,
		  dead | UTCP_ERR,
		  ECONNRESET,
		  { 3, -ECONNRESET, 0 },
		  { -EPIPE, -EPIPE } },
		/* who asks for it has it */
		{ { "R 11:11(0)" },
		  false,
		  true,
		  0,
		  dead | UTCP_ERR,
		  ECONNRESET,
		  { 0, 0, 0 },
		  { -EPIPE, -EPIPE } },
		/* the peer had said all */
		{ { "F. 11:11(0) ack 11", "R 12:12(0)" },
		  false,
		  false,
		  0,
		  dead | UTCP_ERR,
		  EPIPE,
		  { -EPIPE, 0, 0 },
		  { -EPIPE, -EPIPE } },
		{ { "F. 11:11(0) ack 11" },
		  false,
		  false,
		  0,
		  UTCP_IN | UTCP_RDHUP | UTCP_OUT,
		  0,
		  { 0, 0, 0 },
		  { 1, 1 } },
		{ { NULL },
		  true,
		  false,
		  0,
		  0,
		  0,
		  { -EAGAIN, -EAGAIN, -EAGAIN },
		  { -EPIPE, -EPIPE } },
		{ { "P. 11:14(3) ack 12" },
		  true,
		  false,
		  0,
		  UTCP_IN,
		  0,
		  { 3, -EAGAIN, -EAGAIN },
		  { -EPIPE, -EPIPE } },
		/* both have: no error */
		{ { "F. 11:11(0) ack 12" },
		  true,
		  false,
		  0,
		  dead,
		  0,
		  { 0, 0, 0 },
		  { -EPIPE, -EPIPE } },
		/* the FIN is never answered */
		{ { NULL },
		  true,
		  false,
		  3600 * SEC,
		  dead | UTCP_ERR,
		  ETIMEDOUT,
		  { -ETIMEDOUT, 0, 0 },
		  { -EPIPE, -EPIPE } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t error = 0;
		struct tt t;
		char b[8];

		open_slow(&t, TT_OPTS);
		if (cases[i].shut)
			utcp_shutdown(t.s, UTCP_SHUT_WR);
		tt_skip(&t);
		for (int k = 0; k < 2 && cases[i].in[k] != NULL; k++)
			tt_in(&t, "%s", cases[i].in[k]);
		tt_run(&t, cases[i].wait_ns);
		tt_skip(&t);
		assert_int_equal(utcp_poll(t.s), cases[i].ready);
		if (cases[i].asks) {
			utcp_get(t.s, UTCP_OPT_ERROR, &error);
			assert_int_equal(error, cases[i].error);
		}
		for (int k = 0; k < 3; k++)
			assert_int_equal(utcp_read(t.s, b, sizeof(b), 0),
					 cases[i].reads[k]);
		for (int k = 0; k < 2; k++)
			assert_int_equal(utcp_write(t.s, "x", 1, 0),
					 cases[i].writes[k]);
		t.no_pattern = true;
		tt_end(&t);
	}
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
	open_slow(&t, TT_OPTS);
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
	open_slow(&t, "mss 1460");
	set(t.s, UTCP_OPT_TTL_MIN, 255);
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
		cmocka_unit_test(quick_acks),
		cmocka_unit_test(delayed_ack),
		cmocka_unit_test(every_second),
		cmocka_unit_test(quickack_option),
		cmocka_unit_test(sequence_numbers),
		cmocka_unit_test(zero_window),
		cmocka_unit_test(beyond_window),
		cmocka_unit_test(resets),
		cmocka_unit_test(syns),
		cmocka_unit_test(ack_storm),
		cmocka_unit_test(keepalives),
		cmocka_unit_test(ack_storm_between),
		cmocka_unit_test(window_updates),
		cmocka_unit_test(paws),
		cmocka_unit_test(ts_recent),
		cmocka_unit_test(paws_idle),
		cmocka_unit_test(paws_duplicate),
		cmocka_unit_test(old_sacks),
		cmocka_unit_test(max_bytes),
		cmocka_unit_test(keepalive_answered),
		cmocka_unit_test(receiver_rtt),
		cmocka_unit_test(fin_between),
		cmocka_unit_test(passive_close),
		cmocka_unit_test(active_close),
		cmocka_unit_test(fin_and_ack),
		cmocka_unit_test(simultaneous_close),
		cmocka_unit_test(fin_out_of_order),
		cmocka_unit_test(data_after_fin),
		cmocka_unit_test(data_after_close),
		cmocka_unit_test(endings),
		cmocka_unit_test(ecn_receiver),
		cmocka_unit_test(ttl_min),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
