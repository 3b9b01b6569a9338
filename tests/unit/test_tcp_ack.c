/* SPDX-License-Identifier: BSD-2-Clause */
/* Acknowledgements: round trip times, windows, the scoreboard's counts: tcp_ack,
   tcp_rate, and the scoreboard itself, against a simple one. */
#include "tcp_util.h"

#define M 1460u /* bytes of a segment, without timestamps */
#define RTT (100 * MSEC)
#define AT(n) (1 + (n) * M)

static void
open_with(struct tt *t, const char *opts, const utcp_config_t *cfg)
{
	tt_init_config(t, 4, cfg);
	tt_listen(t);
	assert_int_equal(utcp_set_cc(t->listener, "newreno"), 0);
	tt_passive(t, opts);
	t->s->srtt_ns = t->s->rttvar_ns = t->s->min_rtt_ns = 0;
	tt_set(t->s, UTCP_OPT_PMTUD, 0);
	tt_set(t->s, UTCP_OPT_RACK, 0);
}

/* One segment, acknowledged after so long. */
static void
round_trip(struct tt *t, uint64_t rtt)
{
	uint32_t n = t->s->mss, from = (uint32_t)t->wrote + 1;

	tt_write(t, n);
	tt_expect(t, ". %u:%u(%u)", from, from + n, n);
	tt_run(t, rtt);
	tt_in(t, ". 1:1(0) ack %u", from + n);
	tt_skip(t);
}

/* ---- round trip time: RFC 6298 section 2 ------------------------------- */

static void
the_first_sample_sets_all(void **state)
{
	struct tt t;

	(void)state;
	open_with(&t, TT_SACK, NULL);
	round_trip(&t, RTT);
	assert_int_equal(tt_info(&t).rtt_ns, RTT);
	assert_int_equal(tt_info(&t).rttvar_ns, RTT / 2);
	assert_int_equal(tt_info(&t).rto_ns, 3 * RTT);
	assert_int_equal(tt_info(&t).min_rtt_ns, RTT);
	tt_end(&t);
}

static void
samples_are_smoothed(void **state)
{
	struct tt t;

	(void)state;
	open_with(&t, TT_SACK, NULL);
	round_trip(&t, RTT);
	round_trip(&t, 180 * MSEC);
	assert_int_equal(tt_info(&t).rtt_ns, 110 * MSEC);
	assert_in_range(tt_info(&t).rttvar_ns, 57 * MSEC, 58 * MSEC);
	assert_int_equal(tt_info(&t).min_rtt_ns, RTT);
	tt_end(&t);
}

static void
the_timeout_has_its_least(void **state)
{
	unsigned int i;
	struct tt t;

	(void)state;
	open_with(&t, TT_SACK, NULL);
	for (i = 0; i < 100; i++)
		round_trip(&t, MSEC);
	assert_int_equal(tt_info(&t).rto_ns, 201 * MSEC);
	tt_set(t.s, UTCP_OPT_RTO_MIN_NS, 5 * MSEC);
	round_trip(&t, MSEC);
	assert_int_equal(tt_info(&t).rto_ns, 6 * MSEC);
	tt_end(&t);
}

/* A path that becomes faster does not raise the timeout. */
static void
a_shorter_round_trip_is_no_variance(void **state)
{
	uint64_t before;
	unsigned int i;
	struct tt t;

	(void)state;
	open_with(&t, TT_SACK, NULL);
	for (i = 0; i < 50; i++)
		round_trip(&t, 500 * MSEC);
	before = tt_info(&t).rto_ns;
	for (i = 0; i < 10; i++) {
		round_trip(&t, 50 * MSEC);
		assert_true(tt_info(&t).rto_ns <= before);
	}
	tt_end(&t);
}

/* Karn: what was sent twice is no sample, and the backoff stays. */
static void
what_was_sent_twice_is_no_sample(void **state)
{
	struct tt t;

	(void)state;
	open_with(&t, TT_SACK, NULL);
	round_trip(&t, RTT);
	tt_write(&t, M);
	tt_expect(&t, ". %u:%u(%u)", AT(1), AT(2), M);
	tt_expect_in(&t, 3 * RTT, ". %u:%u(%u)", AT(1), AT(2), M);
	tt_run(&t, 5 * MSEC);
	tt_in(&t, ". 1:1(0) ack %u", AT(2));
	assert_int_equal(tt_info(&t).rtt_ns, RTT);
	assert_int_equal(tt_info(&t).backoff, 1);
	round_trip(&t, RTT);
	assert_int_equal(tt_info(&t).backoff, 0);
	tt_end(&t);
}

/* With timestamps it can be told (RFC 7323 section 4). */
static void
timestamps_tell_them_apart(void **state)
{
	uint32_t m = M - 12;
	struct tt t;

	(void)state;
	open_with(&t, TT_OPTS, NULL);
	round_trip(&t, RTT);
	tt_write(&t, m);
	tt_expect(&t, ". %u:%u(%u)", 1 + m, 1 + 2 * m, m);
	tt_expect_in(&t, 3 * RTT, ". %u:%u(%u)", 1 + m, 1 + 2 * m, m);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <nop,nop,TS val 1500 ecr 400>", 1 + 2 * m);
	assert_int_equal(tt_info(&t).rtt_ns, RTT);
	assert_true(tt_info(&t).rttvar_ns < RTT / 2);
	assert_int_equal(tt_info(&t).backoff, 0);
	tt_end(&t);
}

/* ---- windows ----------------------------------------------------------- */

/* RFC 6928 section 2 */
static void
the_initial_window(void **state)
{
	static const struct {
		uint32_t mtu, mss, segs, want;
	} cases[] = {
		{ 1500, 1460, 10, 14600 }, { 576, 536, 10, 5360 },
		{ 9000, 8960, 10, 17920 }, { 4000, 3960, 10, 14600 },
		{ 1500, 1460, 3, 4380 },
	};
	utcp_config_t cfg = { .size = sizeof(cfg) };
	unsigned int i;
	char opts[40];
	struct tt t;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cfg.mtu = cases[i].mtu;
		tt_init_config(&t, 4, &cfg);
		tt_listen(&t);
		assert_int_equal(
		    utcp_set(t.listener, UTCP_OPT_INITCWND, cases[i].segs), 0);
		snprintf(opts, sizeof(opts), "mss %u,sackOK", cases[i].mss);
		tt_passive(&t, opts);
		assert_int_equal(tt_info(&t).cwnd_bytes, cases[i].want);
		assert_int_equal(tt_info(&t).ssthresh_bytes, UINT32_MAX);
		tt_end(&t);
	}
}

static void
slow_start_counts_bytes(void **state)
{
	struct tt t;

	(void)state;
	open_with(&t, TT_SACK, NULL);
	tt_write(&t, 40 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(1));
	assert_int_equal(tt_info(&t).cwnd_bytes, 11 * M);
	assert_int_equal(tt_skip(&t), 2);
	tt_in(&t, ". 1:1(0) ack %u", AT(3));
	assert_int_equal(tt_info(&t).cwnd_bytes, 13 * M);
	/* dividing an ACK gains nothing */
	tt_in(&t, ". 1:1(0) ack %u", AT(3) + 10);
	tt_in(&t, ". 1:1(0) ack %u", AT(3) + 20);
	assert_int_equal(tt_info(&t).cwnd_bytes, 13 * M + 20);
	tt_end(&t);
}

/* RFC 7661: a window that is not used does not grow. */
static void
an_unused_window_does_not_grow(void **state)
{
	unsigned int i;
	struct tt t;

	(void)state;
	open_with(&t, TT_SACK, NULL);
	for (i = 0; i < 20; i++)
		round_trip(&t, RTT);
	assert_int_equal(tt_info(&t).cwnd_bytes, 10 * M);
	tt_end(&t);
}

/* RFC 5681 section 4.1 */
static void
a_rest_brings_the_window_back(void **state)
{
	struct tt t;

	(void)state;
	open_with(&t, TT_SACK, NULL);
	tt_write(&t, 30 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(10));
	assert_int_equal(tt_skip(&t), 20);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(30));
	assert_true(tt_info(&t).cwnd_bytes >= 20 * M);
	tt_run(&t, SEC);
	tt_write(&t, 30 * M);
	assert_int_equal(tt_skip(&t), 10);
	assert_int_equal(tt_info(&t).cwnd_bytes, 10 * M);
	tt_end(&t);
}

/* ---- delivery rate ----------------------------------------------------- */

static void
the_rate_is_measured(void **state)
{
	struct tt t;

	(void)state;
	open_with(&t, TT_SACK, NULL);
	tt_write(&t, 30 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(10));
	assert_int_equal(tt_info(&t).delivered_bytes, 10 * M);
	assert_int_equal(tt_info(&t).delivery_rate, 10 * M * 10);
	tt_end(&t);
}

/* ---- the scoreboard ---------------------------------------------------- */

#define SEGS 40

/* What the scoreboard should say, segment by segment. */
struct model {
	uint64_t r;
	unsigned int una;
	bool sacked[SEGS];
};

static unsigned int
dice(struct model *m, unsigned int n)
{
	m->r = m->r * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned int)(m->r >> 33) % n;
}

static void
same(struct tt *t, const struct model *m)
{
	uint32_t sacked = 0;
	unsigned int i;

	for (i = m->una; i < SEGS; i++)
		sacked += m->sacked[i] ? M : 0;
	assert_int_equal(tt_info(t).sacked_bytes, sacked);
	assert_int_equal(t->s->out_bytes, (SEGS - m->una) * M);
	assert_true(t->s->sacked_bytes + t->s->lost_bytes <= t->s->out_bytes);
	assert_true(t->s->retrans_bytes <= t->s->out_bytes);
}

/* One ACK with up to three SACK blocks of whole segments. */
static void
random_ack(struct tt *t, struct model *m)
{
	unsigned int b[3][2], i, j, n = dice(m, 4);
	char text[160];
	int len;

	if (dice(m, 4) == 0)
		m->una += dice(m, 3);
	while (m->una < SEGS && m->sacked[m->una])
		m->una++;
	if (m->una > SEGS)
		m->una = SEGS;
	len = snprintf(text, sizeof(text), ". 1:1(0) ack %u", AT(m->una));
	for (i = 0; i < n && m->una + 1 < SEGS; i++) {
		b[i][0] = m->una + 1 + dice(m, SEGS - m->una - 1);
		b[i][1] = b[i][0] + 1 + dice(m, SEGS - b[i][0]);
		/* all of the run, as a receiver would say */
		while (b[i][0] > m->una + 1 && m->sacked[b[i][0] - 1])
			b[i][0]--;
		while (b[i][1] < SEGS && m->sacked[b[i][1]])
			b[i][1]++;
		for (j = b[i][0]; j < b[i][1]; j++)
			m->sacked[j] = true;
		len += snprintf(text + len, sizeof(text) - (size_t)len,
				"%s%u:%u", i ? " " : " <sack ", AT(b[i][0]),
				AT(b[i][1]));
	}
	if (n && i)
		snprintf(text + len, sizeof(text) - (size_t)len, ">");
	tt_in(t, "%s", text);
}

/* Records of one segment, and of many (GSO), which SACKs cut. */
static void
the_scoreboard_is_right(void **state)
{
	utcp_config_t gso = { .size = sizeof(gso),
			      .offloads = UTCP_OFFLOAD_CSUM |
					  UTCP_OFFLOAD_GSO_TCP };
	utcp_config_t plain = { .size = sizeof(plain) };
	unsigned int seed, i;
	struct model m;
	struct tt t;

	(void)state;
	for (seed = 1; seed <= 60; seed++) {
		open_with(&t, TT_SACK, seed % 2 ? &gso : &plain);
		tt_set(t.s, UTCP_OPT_RACK, seed / 2 % 2);
		/* all of it at once */
		t.s->cc.cwnd = SEGS * M;
		tt_write(&t, SEGS * M);
		tt_skip(&t);
		assert_int_equal(t.s->out_bytes, SEGS * M);
		memset(&m, 0, sizeof(m));
		m.r = seed;
		for (i = 0; i < 60 && m.una < SEGS; i++) {
			tt_run(&t, MSEC + dice(&m, 5) * MSEC);
			random_ack(&t, &m);
			same(&t, &m);
			tt_skip(&t);
		}
		tt_in(&t, ". 1:1(0) ack %u", AT(SEGS));
		assert_int_equal(t.s->out_bytes, 0);
		assert_int_equal(t.s->sacked_bytes, 0);
		assert_int_equal(t.s->lost_bytes, 0);
		assert_int_equal(t.s->retrans_bytes, 0);
		assert_int_equal(tt_info(&t).delivered_bytes, SEGS * M);
		tt_end(&t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_sample_sets_all),
		cmocka_unit_test(samples_are_smoothed),
		cmocka_unit_test(the_timeout_has_its_least),
		cmocka_unit_test(a_shorter_round_trip_is_no_variance),
		cmocka_unit_test(what_was_sent_twice_is_no_sample),
		cmocka_unit_test(timestamps_tell_them_apart),
		cmocka_unit_test(the_initial_window),
		cmocka_unit_test(slow_start_counts_bytes),
		cmocka_unit_test(an_unused_window_does_not_grow),
		cmocka_unit_test(a_rest_brings_the_window_back),
		cmocka_unit_test(the_rate_is_measured),
		cmocka_unit_test(the_scoreboard_is_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
