/* SPDX-License-Identifier: BSD-2-Clause */
/* FINs, and how connections end (RFC 9293 sections 3.6, 3.10.7.4). */
#include "tcp_util.h"

/* A FIN "between" data is none. */
static void
fin_between(void **state)
{
	struct tt t;

	(void)state;
	tt_open_slow(&t, "mss 1460");
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
	tt_open_slow(&t, TT_OPTS);
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
	tt_open_slow(&t, TT_OPTS);
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
	tt_open_slow(&t, TT_OPTS);
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
	tt_open_slow(&t, TT_OPTS);
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
		tt_open_slow(&t, TT_OPTS);
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
	tt_open_slow(&t, TT_OPTS);
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
		tt_open_slow(&t, TT_OPTS);
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

		tt_open_slow(&t, TT_OPTS);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fin_between),
		cmocka_unit_test(passive_close),
		cmocka_unit_test(active_close),
		cmocka_unit_test(fin_and_ack),
		cmocka_unit_test(simultaneous_close),
		cmocka_unit_test(fin_out_of_order),
		cmocka_unit_test(data_after_fin),
		cmocka_unit_test(data_after_close),
		cmocka_unit_test(endings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
