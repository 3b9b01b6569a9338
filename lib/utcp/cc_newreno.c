/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_newreno.c: slow start and congestion avoidance (RFC 5681), counting bytes
 * (RFC 3465). It works without its private state too, if there is no memory for
 * it: all others fall back to this one.
 */
#include "cc_util.h"

struct newreno {
	uint32_t acked; /* towards the next segment of cwnd */
};

static int
newreno_init(utcp_cc_t *cc)
{
	(void)cc;
	return 0;
}

static void
newreno_ack(utcp_cc_t *cc, const utcp_ack_t *ack)
{
	struct newreno *r = cc->priv;
	uint32_t n = utcp__cc_growth(cc, ack), window;

	if (!n)
		return;
	if (cc->cwnd < cc->ssthresh) {
		n = utcp__cc_slow_start(cc, n);
		if (!n)
			return;
	}
	/* RFC 5681 section 3.1, equation 3, by bytes: a segment a window. */
	if (!r) {
		n = (uint32_t)((uint64_t)n * cc->mss / cc->cwnd);
		cc->cwnd += n ? n : 1;
		return;
	}
	r->acked += n;
	window = utcp__cc_whole(cc);
	if (r->acked >= window) {
		r->acked -= window;
		cc->cwnd += cc->mss;
	}
	if (r->acked > cc->cwnd)
		r->acked = cc->cwnd;
}

static uint32_t
newreno_ssthresh(utcp_cc_t *cc, enum utcp_cc_event why)
{
	uint32_t half = utcp__cc_flight(cc) / 2;

	(void)why;
	/* RFC 5681 section 3.1, equation 4 */
	return half > 2 * cc->mss ? half : 2 * cc->mss;
}

const utcp_cc_ops_t utcp__cc_newreno = {
	.size = sizeof(utcp_cc_ops_t),
	.name = "newreno",
	.priv_bytes = sizeof(struct newreno),
	.init = newreno_init,
	.ack = newreno_ack,
	.ssthresh = newreno_ssthresh,
};
