/* SPDX-License-Identifier: BSD-2-Clause */
/* TIME-WAIT: what it answers, what may take its place (RFC 9293 section
   3.10.7.4, RFC 1122 section 4.2.2.13, RFC 1337, RFC 6191). */
#include "tcp_util.h"

static unsigned int
timewaits(struct tt *t)
{
	utcp_usage_t usage;

	utcp_usage(t->u, &usage);
	return usage.timewaits;
}

/* A passive connection that we close first: the peer's next is 2, ours 2. */
static void
to_timewait(struct tt *t, const char *opts)
{
	tt_init(t, 4);
	tt_passive(t, opts);
	utcp_close(t->s);
	t->s = NULL;
	tt_expect(t, "F. 1:1(0) ack 1");
	tt_in(t, "F. 1:1(0) ack 2");
	tt_expect(t, ". 2:2(0) ack 2");
	assert_int_equal(timewaits(t), 1);
}

static void
answers(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		/* the FIN again */
		{ "F. 1:1(0) ack 2", ". 2:2(0) ack 2" },
		/* and one behind it, which takes sequence space */
		{ "F. 2:2(0) ack 2", ". 2:2(0) ack 2" },
		/* RFC 1337: no reset ends it */
		{ "R 2:2(0)", NULL },
		{ "R. 2:2(0) ack 2", NULL },
		/* what an end may send still */
		{ ". 2:2(0) ack 2", NULL },
		/* all else, and it stays */
		{ "P. 2:12(10) ack 2", ". 2:2(0) ack 2" },
		{ ". 1:1(0) ack 2", ". 2:2(0) ack 2" },
		{ ". 5000:5000(0) ack 2", ". 2:2(0) ack 2" },
		{ "S. 5000:5000(0) ack 2", ". 2:2(0) ack 2" },
		{ "S 1:1(0)", ". 2:2(0) ack 2" }, /* an old one */
		{ "P 2:12(10)", NULL },
	};
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		to_timewait(&t, "mss 1460");
		tt_in(&t, "%s", cases[i].in);
		if (cases[i].out != NULL)
			tt_expect(&t, "%s", cases[i].out);
		tt_none(&t);
		assert_int_equal(timewaits(&t), 1);
		tt_end(&t);
	}
}

/* Two MSL, from the last FIN on. */
static void
expires(void **state)
{
	struct tt t;

	(void)state;
	to_timewait(&t, "mss 1460");
	tt_run(&t, 59 * SEC);
	assert_int_equal(timewaits(&t), 1);
	tt_in(&t, "F. 1:1(0) ack 2");
	tt_expect(&t, ". 2:2(0) ack 2");
	tt_run(&t, 59 * SEC);
	assert_int_equal(timewaits(&t), 1);
	tt_run(&t, SEC + 1);
	assert_int_equal(timewaits(&t), 0);
	tt_in(&t, "F. 1:1(0) ack 2");
	tt_expect(&t, "R 2:2(0)");
	tt_end(&t);
}

static void
msl_option(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	assert_int_equal(utcp_set(t.listener, UTCP_OPT_MSL_NS, SEC), 0);
	tt_passive(&t, TT_OPTS);
	utcp_close(t.s);
	t.s = NULL;
	tt_expect(&t, "F. 1:1(0) ack 1");
	tt_in(&t, "F. 1:1(0) ack 2");
	tt_expect(&t, ". 2:2(0) ack 2");
	tt_run(&t, 2 * SEC - 1);
	assert_int_equal(timewaits(&t), 1);
	tt_run(&t, 1);
	assert_int_equal(timewaits(&t), 0);
	tt_end(&t);
	/* none at all: acknowledged all the same */
	tt_init(&t, 4);
	tt_listen(&t);
	assert_int_equal(utcp_set(t.listener, UTCP_OPT_MSL_NS, 0), 0);
	tt_passive(&t, TT_OPTS);
	utcp_close(t.s);
	t.s = NULL;
	tt_expect(&t, "F. 1:1(0) ack 1");
	tt_in(&t, "F. 1:1(0) ack 2");
	tt_expect(&t, ". 2:2(0) ack 2");
	assert_int_equal(timewaits(&t), 0);
	tt_end(&t);
}

/* A SYN that is surely new opens the connection again, behind the old one's
   sequence numbers. */
static void
reopened(void **state)
{
	static const struct {
		const char *opts, *syn;
		bool taken;
	} cases[] = {
		{ "mss 1460", "S 100:100(0) <mss 1460>", true },
		{ "mss 1460", "S 2:2(0) <mss 1460>", false },
		{ "mss 1460", "S 3:3(0) <mss 1460>", true },
		{ "mss 1460,TS val 1000 ecr 0",
		  "S 100:100(0) <mss 1460,TS val 1001 ecr 0>", true },
		{ "mss 1460,TS val 1000 ecr 0",
		  "S 4000000000:4000000000(0) <mss 1460,TS val 1001 ecr 0>",
		  true },
		{ "mss 1460,TS val 1000 ecr 0",
		  "S 4000000000:4000000000(0) <mss 1460,TS val 1000 ecr 0>",
		  false },
		{ "mss 1460,TS val 1000 ecr 0",
		  "S 100:100(0) <mss 1460,TS val 999 ecr 0>", false },
	};
	uint32_t iss, isn;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		to_timewait(&t, cases[i].opts);
		iss = t.p->iss;
		isn = t.p->isn;
		tt_in(&t, "%s", cases[i].syn);
		if (!cases[i].taken) {
			seg = tt_next(&t);
			assert_non_null(seg);
			assert_int_equal(seg->flags, TH_ACK);
			assert_int_equal(timewaits(&t), 1);
			tt_end(&t);
			continue;
		}
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_int_equal(seg->flags, TH_SYN | TH_ACK);
		assert_int_equal(timewaits(&t), 0);
		assert_int_equal(tt_counter(&t, UTCP_CTR_TIMEWAIT_REUSED), 1);
		assert_true(seq_lt(iss + 2 + 65535, t.p->iss));
		(void)isn;
		tt_end(&t);
	}
}

/* We open again: RFC 6191, after a second, and only with timestamps. */
static void
reused(void **state)
{
	static const struct {
		const char *opts;
		uint64_t after;
		int ret;
	} cases[] = {
		{ TT_OPTS, 500 * MSEC, -EADDRINUSE },
		{ TT_OPTS, 1100 * MSEC, -EINPROGRESS },
		{ TT_SACK, 1100 * MSEC, -EADDRINUSE },
		{ TT_SACK, 61 * SEC, -EINPROGRESS },
	};
	utcp_addr_t peer = { .addr = { 10, 0, 0, 2 }, .family = 4 }, local;
	utcp_sock_t *s;
	struct tt t;

	(void)state;
	put16(&peer.port_be, 80);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t iss;

		tt_init(&t, 4);
		tt_active(&t, cases[i].opts);
		assert_int_equal(utcp_getsockname(t.s, &local), 0);
		assert_int_equal(utcp_shutdown(t.s, UTCP_SHUT_WR), 0);
		tt_expect(&t, "F. 1:1(0) ack 1");
		tt_in(&t, "F. 1:1(0) ack 2");
		tt_expect(&t, ". 2:2(0) ack 2");
		utcp_close(t.s);
		t.s = NULL;
		iss = t.p->iss;
		tt_run(&t, cases[i].after);
		assert_int_equal(utcp_open(t.u, 4, &s), 0);
		assert_int_equal(utcp_bind(s, &local), 0);
		assert_int_equal(utcp_connect(s, &peer), cases[i].ret);
		if (cases[i].ret == -EINPROGRESS) {
			t.p->iss_known = false;
			tt_expect(&t, "S 0:0(0)");
			if (cases[i].after < 60 * SEC)
				assert_true(seq_lt(iss + 2 + 65535, t.p->iss));
			assert_int_equal(timewaits(&t), 0);
		}
		utcp_abort(s);
		tt_end(&t);
	}
}

/* So many, and no more: the oldest leave. */
static void
bounded(void **state)
{
	utcp_config_t cfg = { .max_timewait = 10 };
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	for (unsigned int i = 0; i < 30; i++) {
		tt_peer(&t, 2, (uint16_t)(1000 + i), 80);
		tt_passive(&t, TT_OPTS);
		utcp_close(t.s);
		t.s = NULL;
		tt_expect(&t, "F. 1:1(0) ack 1");
		tt_in(&t, "F. 1:1(0) ack 2");
		tt_expect(&t, ". 2:2(0) ack 2");
		tt_run(&t, MSEC);
	}
	assert_int_equal(timewaits(&t), 10);
	assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_TIMEWAIT), 20);
	/* the last is there, the first is not */
	tt_in(&t, "F. 1:1(0) ack 2");
	tt_expect(&t, ". 2:2(0) ack 2");
	tt_end(&t);
}

/* PAWS holds there too: an old FIN does not begin the time anew. */
static void
old_fin(void **state)
{
	struct tt t;

	(void)state;
	to_timewait(&t, "mss 1460,TS val 1000 ecr 0");
	tt_run(&t, 30 * SEC);
	tt_in(&t, "F. 1:1(0) ack 2 <nop,nop,TS val 10 ecr 0>");
	tt_expect(&t, ". 2:2(0) ack 2");
	tt_run(&t, 30 * SEC);
	assert_int_equal(timewaits(&t), 0);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),    cmocka_unit_test(expires),
		cmocka_unit_test(msl_option), cmocka_unit_test(reopened),
		cmocka_unit_test(reused),     cmocka_unit_test(bounded),
		cmocka_unit_test(old_fin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
