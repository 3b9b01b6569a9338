/* SPDX-License-Identifier: BSD-2-Clause */
/* BBR's states, round trip by round trip: draft-ietf-ccwg-bbr, its appendix of
   test cases. How it does on a path is test_tcp_cc.c's and the simulator's. */
#include "cc_bbr.h"
#include "stack.h"
#include "tcp_util.h"

#define M 1000u
#define RTT (100 * MSEC)
#define RATE 1000000u /* bytes a second: 100 segments in flight */

struct path {
	utcp_cc_t cc;
	struct bbr b;
	struct utcp_sock_s sock;
	struct utcp_s u;
};

static void
begin(struct path *p)
{
	memset(p, 0, sizeof(*p));
	p->sock.u = &p->u;
	p->sock.busy = &p->u.rest;
	link_init(&p->u.rest.lost);
	p->cc = (utcp_cc_t){
		.cwnd = 10 * M,
		.ssthresh = UINT32_MAX,
		.mss = M,
		.now_ns = 100 * SEC,
		.srtt_ns = RTT,
		.min_rtt_ns = RTT,
		.initcwnd = 10 * M,
		.cwnd_limited = 1,
		.random = 12345,
		.sock = &p->sock,
		.priv = &p->b,
	};
	assert_int_equal(utcp__cc_bbr.init(&p->cc), 0);
}

/* n bytes are acknowledged that were sent `ago`: RTT is a round. */
static void
acked(struct path *p, uint32_t n, uint64_t ago, uint32_t lost)
{
	utcp_ack_t ack = { 0 };

	p->cc.now_ns += ago;
	ack.prior_delivered = p->cc.delivered;
	if (ago < RTT)
		ack.prior_delivered = 0;
	p->cc.delivered += n;
	p->cc.lost += lost;
	ack.acked = ack.delivered = n;
	ack.prior_inflight = p->cc.inflight;
	ack.lost = ack.rate_lost = lost;
	ack.rtt_ns = RTT;
	ack.rate_delivered = n;
	ack.interval_ns = ago;
	ack.tx_inflight = p->cc.inflight;
	utcp__cc_bbr.ack(&p->cc, &ack);
}

/* A round at the path's rate; the round trip is not looked for. */
static void
full_round(struct path *p)
{
	p->b.probe_rtt_min_at_ns = p->cc.now_ns;
	acked(p, RATE / 10, RTT, 0);
}

static void
fill(struct path *p)
{
	begin(p);
	p->cc.inflight = 200 * M;
	full_round(p);
	while (p->b.state == BBR_STARTUP)
		full_round(p);
	assert_true(p->b.full_bw_reached);
	assert_int_equal(p->b.state, BBR_DRAIN);
	assert_in_range(bbr_max_bw(&p->b), RATE * 98 / 100, RATE * 102 / 100);
}

/* Cruising, with a bound that an earlier probe set. */
static void
cruise(struct path *p, uint32_t inflight_long)
{
	fill(p);
	p->cc.inflight = 90 * M;
	full_round(p);
	full_round(p);
	p->b.inflight_long = inflight_long;
	p->cc.inflight = 50 * M;
	full_round(p);
	assert_int_equal(p->b.state, BBR_CRUISE);
}

/* Until it probes upwards. */
static void
probe(struct path *p)
{
	unsigned int i;

	for (i = 0; p->b.state != BBR_UP; i++) {
		assert_true(i < 80);
		full_round(p);
	}
	assert_true(p->b.probe_samples);
}

static void
startup_ends_at_a_plateau(void **state)
{
	struct path *p = malloc(sizeof(*p));
	unsigned int i;

	(void)state;
	assert_non_null(p);
	begin(p);
	for (i = 1; i < 32; i *= 2) {
		acked(p, i * 1000, RTT, 0);
		assert_int_equal(p->b.state, BBR_STARTUP);
	}
	for (i = 0; i < 3; i++) {
		assert_int_equal(p->b.state, BBR_STARTUP);
		p->cc.inflight = 100 * M;
		acked(p, 16 * 1000, RTT, 0);
	}
	assert_int_equal(p->b.state, BBR_DRAIN);
	free(p);
}

static void
drain_ends_by_inflight(void **state)
{
	struct path *p = malloc(sizeof(*p));

	(void)state;
	assert_non_null(p);
	fill(p);
	full_round(p);
	assert_int_equal(p->b.state, BBR_DRAIN);
	p->cc.inflight = 95 * M;
	full_round(p);
	assert_int_equal(p->b.state, BBR_CRUISE);
	free(p);
}

static void
drain_ends_by_time(void **state)
{
	struct path *p = malloc(sizeof(*p));
	unsigned int rounds = 0;

	(void)state;
	assert_non_null(p);
	fill(p);
	while (p->b.state == BBR_DRAIN) {
		full_round(p);
		assert_true(++rounds < 10);
	}
	assert_int_equal(rounds, 4);
	assert_int_equal(p->b.state, BBR_DOWN);
	free(p);
}

/* Six losses in a round of recovery, and too much of it: Startup is over; but
   not if it turns out that nothing was lost. */
static void
startup_ends_by_loss_and_comes_back(void **state)
{
	struct path *p = malloc(sizeof(*p));
	unsigned int i;

	(void)state;
	assert_non_null(p);
	begin(p);
	p->cc.inflight = 200 * M;
	full_round(p);
	utcp__cc_bbr.event(&p->cc, UTCP_CC_LOSS);
	p->cc.recovery = CC_RECOVERY;
	for (i = 0; i < 8; i++)
		acked(p, M, MSEC, M);
	acked(p, 50 * M, RTT, 8 * M);
	acked(p, 50 * M, RTT, 8 * M);
	assert_int_equal(p->b.state, BBR_DRAIN);
	assert_true(p->b.inflight_long < BBR_INF);
	utcp__cc_bbr.event(&p->cc, UTCP_CC_UNDO);
	assert_int_equal(p->b.state, BBR_STARTUP);
	assert_false(p->b.full_bw_reached);
	assert_true(p->b.inflight_long == BBR_INF);
	free(p);
}

static void
a_probe_that_costs_too_much_ends(void **state)
{
	struct path *p = malloc(sizeof(*p));

	(void)state;
	assert_non_null(p);
	cruise(p, BBR_INF);
	probe(p);
	p->cc.inflight = 120 * M;
	utcp__cc_bbr.event(&p->cc, UTCP_CC_LOSS);
	acked(p, RATE / 10, RTT, 5 * M);
	assert_int_equal(p->b.state, BBR_DOWN);
	assert_int_equal(p->b.inflight_long, 120 * M);
	assert_true(p->b.probe_too_high);
	/* All had come: the probe begins again. */
	utcp__cc_bbr.event(&p->cc, UTCP_CC_UNDO);
	assert_int_equal(p->b.state, BBR_REFILL);
	assert_true(p->b.inflight_long == BBR_INF);
	free(p);
}

/* The next one goes as far as that, no further, and is followed at once by
   another if it cost nothing. */
static void
the_next_probe_is_cautious(void **state)
{
	struct path *p = malloc(sizeof(*p));

	(void)state;
	assert_non_null(p);
	cruise(p, BBR_INF);
	probe(p);
	p->cc.inflight = 120 * M;
	acked(p, RATE / 10, RTT, 5 * M);
	assert_int_equal(p->b.state, BBR_DOWN);
	p->cc.inflight = 50 * M;
	probe(p);
	full_round(p);
	assert_int_equal(p->b.state, BBR_UP);
	p->cc.inflight = p->b.inflight_long + M;
	acked(p, M, MSEC, 0);
	assert_int_equal(p->b.state, BBR_DOWN);
	assert_true(p->b.probe_cautious);
	assert_false(p->b.probe_too_high);
	full_round(p);
	assert_int_equal(p->b.state, BBR_REFILL);
	full_round(p);
	assert_int_equal(p->b.state, BBR_UP);
	full_round(p);
	assert_int_equal(p->b.state, BBR_UP);
	free(p);
}

/* A round trip is looked for every five seconds, for 200 ms. */
static void
the_round_trip_is_probed_for(void **state)
{
	struct path *p = malloc(sizeof(*p));
	unsigned int rounds = 0;

	(void)state;
	assert_non_null(p);
	cruise(p, BBR_INF);
	p->cc.min_rtt_ns = RTT;
	while (p->b.state != BBR_PROBE_RTT) {
		acked(p, RATE / 10, RTT, 0);
		assert_true(++rounds < 60);
	}
	assert_in_range(p->cc.cwnd, 49 * M, 51 * M);
	p->cc.inflight = 50 * M;
	for (rounds = 0; p->b.state == BBR_PROBE_RTT; rounds++) {
		acked(p, RATE / 10, RTT, 0);
		assert_true(rounds < 10);
	}
	assert_in_range(rounds, 3, 4);
	assert_int_equal(p->b.state, BBR_CRUISE);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(startup_ends_at_a_plateau),
		cmocka_unit_test(drain_ends_by_inflight),
		cmocka_unit_test(drain_ends_by_time),
		cmocka_unit_test(startup_ends_by_loss_and_comes_back),
		cmocka_unit_test(a_probe_that_costs_too_much_ends),
		cmocka_unit_test(the_next_probe_is_cautious),
		cmocka_unit_test(the_round_trip_is_probed_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
