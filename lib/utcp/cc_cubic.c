/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_cubic.c: CUBIC (RFC 9438) with HyStart++ (RFC 9406). Windows are counted
 * in segments, as real numbers; times in seconds.
 */
#include "cc_hystart.h"

#define BETA 0.7
#define C 0.4
/* Section 4.3: as aggressive as Reno with this beta. */
#define ALPHA (3.0 * (1.0 - BETA) / (1.0 + BETA))

struct cubic {
	struct utcp__hystart hystart;
	double w_max, k, w_est;
	double cwnd_prior; /* before the last reduction */
	double rest;	   /* bytes of growth, less than one */
	uint64_t epoch_ns; /* 0: congestion avoidance has not begun */
	uint64_t last_ns;  /* of the last ACK */
	/* what undo brings back */
	double old_w_max, old_k, old_w_est, old_prior;
	uint64_t old_epoch_ns;
	uint32_t old_cwnd;
};

/* Cube root by Newton's method, from the exponent's third; x >= 0. */
static double
cube_root(double x)
{
	uint64_t bits;
	double y;
	int i;

	if (x < 1e-12)
		return 0;
	memcpy(&bits, &x, sizeof(bits));
	bits = bits / 3 + 0x2a9f7893782da1ceull;
	memcpy(&y, &bits, sizeof(y));
	for (i = 0; i < 4; i++)
		y -= (y * y * y - x) / (3 * y * y);
	return y;
}

static double
segs(const utcp_cc_t *cc, uint32_t bytes)
{
	return (double)bytes / cc->mss;
}

static int
cubic_init(utcp_cc_t *cc)
{
	struct cubic *q = cc->priv;

	utcp__hystart_reset(&q->hystart);
	return 0;
}

/* Section 4.2 */
static void
begin_epoch(struct cubic *q, const utcp_cc_t *cc)
{
	double cwnd = segs(cc, cc->cwnd);

	q->epoch_ns = q->last_ns = cc->now_ns;
	q->w_est = cwnd;
	q->rest = 0;
	if (cwnd < q->w_max) {
		q->k = cube_root((q->w_max - cwnd) / C);
	} else {
		q->k = 0;
		q->w_max = cwnd;
	}
}

/* Congestion avoidance: n bytes were delivered. */
static void
avoid(struct cubic *q, utcp_cc_t *cc, uint32_t n)
{
	double cwnd = segs(cc, cc->cwnd), acked = segs(cc, n), t, d, target;
	double w, whole = segs(cc, utcp__cc_whole(cc));
	uint32_t add;

	if (!q->epoch_ns)
		begin_epoch(q, cc);
	t = (double)(cc->now_ns - q->epoch_ns) * 1e-9;
	d = t - q->k;
	w = C * d * d * d + q->w_max;
	d += (double)cc->srtt_ns * 1e-9;
	target = C * d * d * d + q->w_max;
	target = target < cwnd ? cwnd : target;
	target = target > 1.5 * cwnd ? 1.5 * cwnd : target;
	/* Section 4.3: Reno's window, never below it. */
	q->w_est += (q->w_est < q->cwnd_prior ? ALPHA : 1.0) * acked / whole;
	d = w < q->w_est ? q->w_est - cwnd : (target - cwnd) * acked / cwnd;
	if (d <= 0)
		return;
	q->rest += d * cc->mss;
	if (q->rest > (double)n)
		q->rest = (double)n; /* never faster than slow start */
	add = (uint32_t)q->rest;
	q->rest -= add;
	cc->cwnd += add;
}

static void
cubic_ack(utcp_cc_t *cc, const utcp_ack_t *ack)
{
	struct cubic *q = cc->priv;
	uint32_t n = utcp__cc_growth(cc, ack);

	if (!n) {
		/* Section 5.8: time that the application wasted does not make
		   the window grow. */
		if (q->epoch_ns && !cc->cwnd_limited)
			q->epoch_ns += cc->now_ns - q->last_ns;
		q->last_ns = cc->now_ns;
		return;
	}
	if (cc->cwnd < cc->ssthresh)
		n = utcp__hystart_ack(&q->hystart, cc, ack, n);
	if (n && cc->cwnd >= cc->ssthresh)
		avoid(q, cc, n);
	q->last_ns = cc->now_ns;
}

static uint32_t
cubic_ssthresh(utcp_cc_t *cc, enum utcp_cc_event why)
{
	struct cubic *q = cc->priv;
	/* Section 4.6: cwnd instead of the flight, as it grows only when it is
	   used. A lost segment at the end of a short answer says little. */
	double cwnd = segs(cc, cc->cwnd);
	uint32_t ssthresh = (uint32_t)(cc->cwnd * 7ull / 10); /* BETA */

	q->old_w_max = q->w_max;
	q->old_k = q->k;
	q->old_w_est = q->w_est;
	q->old_prior = q->cwnd_prior;
	q->old_epoch_ns = q->epoch_ns;
	q->old_cwnd = cc->cwnd;
	/* Section 4.7: fast convergence */
	q->w_max = cwnd < q->w_max ? cwnd * (1 + BETA) / 2 : cwnd;
	q->cwnd_prior = cwnd;
	q->epoch_ns = 0;
	q->hystart.done = true;
	if (why == UTCP_CC_TIMEOUT)
		q->w_max = 0; /* section 4.8: K is 0 then */
	return ssthresh > 2 * cc->mss ? ssthresh : 2 * cc->mss;
}

/* Section 4.9 */
static uint32_t
cubic_undo(utcp_cc_t *cc)
{
	struct cubic *q = cc->priv;

	q->w_max = q->old_w_max;
	q->k = q->old_k;
	q->w_est = q->old_w_est;
	q->cwnd_prior = q->old_prior;
	q->epoch_ns = q->old_epoch_ns;
	return q->old_cwnd > cc->cwnd ? q->old_cwnd : cc->cwnd;
}

static void
cubic_event(utcp_cc_t *cc, enum utcp_cc_event event)
{
	struct cubic *q = cc->priv;

	/* A rest is no time in congestion avoidance. */
	if (event == UTCP_CC_IDLE && q->epoch_ns) {
		q->epoch_ns += cc->now_ns - q->last_ns;
		q->last_ns = cc->now_ns;
	}
}

const utcp_cc_ops_t utcp__cc_cubic = {
	.size = sizeof(utcp_cc_ops_t),
	.name = "cubic",
	.priv_bytes = sizeof(struct cubic),
	.init = cubic_init,
	.ack = cubic_ack,
	.ssthresh = cubic_ssthresh,
	.undo = cubic_undo,
	.event = cubic_event,
};
