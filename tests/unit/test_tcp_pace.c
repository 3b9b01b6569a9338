/* SPDX-License-Identifier: BSD-2-Clause */
/* When data leaves that the window would let go at once: tcp_pace.c. */
#include "tcp_util.h"

#define MSS 1448
#define RTT (20 * MSEC)

/* Data segments that left until now. */
static unsigned int
left(struct tt *t)
{
	unsigned int n = 0;
	struct tt_seg *seg;

	while ((seg = tt_next(t)) != NULL)
		n += seg->len > 0;
	return n;
}

/* An initial window is out, its round trip is over, much more is to be sent. */
static void
begin(struct tt *t, int64_t pacing)
{
	tt_init(t, 4);
	tt_passive(t, TT_OPTS);
	/* The script answered the handshake in no time. */
	t->s->srtt_ns = t->s->rttvar_ns = t->s->min_rtt_ns = 0;
	tt_set(t->s, UTCP_OPT_PACING, pacing);
	tt_set(t->s, UTCP_OPT_SNDBUF, 1 << 20);
	tt_run(t, RTT);
	tt_write(t, 400 * MSS);
	assert_int_equal(left(t), 10);
	tt_run(t, RTT);
}

/* Segments up to n (relative to the stream) arrived, all told at once. */
static void
ack(struct tt *t, unsigned int n)
{
	tt_in(t, ". 1:1(0) ack %u", 1 + n * MSS);
}

static void
an_initial_window_doubled_leaves_at_once(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, 1);
	ack(&t, 10);
	assert_int_equal(left(&t), 20);
	tt_end(&t);
}

static void
a_longer_burst_is_spread(void **state)
{
	unsigned int n, sum;
	struct tt t;

	(void)state;
	begin(&t, 1);
	ack(&t, 10);
	assert_int_equal(left(&t), 20);
	tt_run(&t, RTT);
	ack(&t, 30);
	sum = left(&t);
	assert_in_range(sum, 20, 24);
	/* And none of the rest is a burst; all are out in half a round trip,
	   as slow start is paced at twice its rate. */
	while (sum < 40) {
		tt_run(&t, MSEC);
		n = left(&t);
		assert_true(n < 12);
		sum += n;
		assert_true(t.now_ns - t.begin_ns < 3 * RTT + RTT / 2);
	}
	assert_int_equal(sum, 40);
	tt_end(&t);
}

static void
no_burst_is_bounded_where_pacing_is_off(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, 0);
	ack(&t, 10);
	assert_int_equal(left(&t), 20);
	tt_run(&t, RTT);
	ack(&t, 30);
	assert_int_equal(left(&t), 40);
	tt_end(&t);
}

/* Congestion was seen: from now on bursts are shorter. */
static void
after_a_loss_bursts_are_shorter(void **state)
{
	unsigned int first;
	struct tt t;

	(void)state;
	begin(&t, 1);
	ack(&t, 10);
	left(&t);
	tt_run(&t, RTT);
	ack(&t, 29); /* the last of 20 is lost */
	tt_run(&t, RTT);
	left(&t);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", 1 + 29 * MSS, 1 + 30 * MSS,
	      1 + 60 * MSS);
	assert_true(left(&t) > 0);
	tt_run(&t, RTT);
	left(&t);
	/* All that was sent arrives: a window is free, at once. */
	ack(&t, tt_info(&t).unacked_bytes / MSS + 29);
	first = left(&t);
	assert_in_range(first, 6, 9);
	tt_run(&t, RTT);
	assert_true(first + left(&t) > 20);
	tt_end(&t);
}

/* A loop whose clock ticks in milliseconds sends as fast as one that is exact. */
static void
a_coarse_clock_costs_no_rate(void **state)
{
	unsigned int n = 0, sum = 0;
	uint64_t begin_ns;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	tt_set(t.s, UTCP_OPT_MAX_PACING_RATE, 20000000);
	tt_set(t.s, UTCP_OPT_SNDBUF, 1 << 20);
	tt_write(&t, 600 * MSS);
	begin_ns = t.now_ns;
	while (sum < 600) {
		/* no timer is served but at the tick */
		t.now_ns += MSEC;
		utcp_advance(t.u, t.now_ns);
		tt_run(&t, 0);
		n = left(&t);
		sum += n;
		if (n)
			ack(&t, sum);
		sum += left(&t);
		assert_true(t.now_ns < begin_ns + SEC);
	}
	/* 590 segments at 20 MB/s: 43 ms. */
	assert_in_range(t.now_ns - begin_ns, 41 * MSEC, 48 * MSEC);
	tt_end(&t);
}

/* Round trips shorter than a timer's usual delay are left alone. */
static void
short_round_trips_are_not_bounded(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	tt_set(t.s, UTCP_OPT_SNDBUF, 1 << 20);
	tt_write(&t, 400 * MSS);
	assert_int_equal(left(&t), 10);
	tt_run(&t, MSEC / 2);
	ack(&t, 10);
	assert_int_equal(left(&t), 20);
	tt_run(&t, MSEC / 2);
	ack(&t, 30);
	assert_int_equal(left(&t), 40);
	tt_end(&t);
}

/* Nor are those that are long because the peer is busy. */
static void
short_paths_are_not_bounded(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS); /* in no time */
	tt_set(t.s, UTCP_OPT_SNDBUF, 1 << 20);
	tt_write(&t, 400 * MSS);
	assert_int_equal(left(&t), 10);
	tt_run(&t, RTT);
	ack(&t, 10);
	assert_int_equal(left(&t), 20);
	tt_run(&t, RTT);
	ack(&t, 30);
	assert_int_equal(left(&t), 40);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_initial_window_doubled_leaves_at_once),
		cmocka_unit_test(a_longer_burst_is_spread),
		cmocka_unit_test(no_burst_is_bounded_where_pacing_is_off),
		cmocka_unit_test(after_a_loss_bursts_are_shorter),
		cmocka_unit_test(a_coarse_clock_costs_no_rate),
		cmocka_unit_test(short_round_trips_are_not_bounded),
		cmocka_unit_test(short_paths_are_not_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
