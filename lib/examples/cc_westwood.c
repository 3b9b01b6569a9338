/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_westwood.c: TCP Westwood+ in C, outside the library.
 *
 * It grows as NewReno does, but a loss does not halve the window: that is set to
 * what the path has lately carried in its shortest round trip, bandwidth times
 * delay. Where packets are lost for other reasons than a full queue, as on
 * radio, it keeps most of the rate.
 *
 * L. Grieco, S. Mascolo: Performance evaluation and comparison of Westwood+, New
 * Reno and Vegas TCP congestion control. ACM SIGCOMM Computer Communication
 * Review 34(2), 2004.
 */
#include "cc_westwood.h"

#define SAMPLE_LEAST_NS 50000000ull /* a sample takes a round trip, or this */

/* The state of one connection: priv_bytes of it, zeros at first. */
struct westwood {
	uint64_t rate;	    /* bytes a second, smoothed; 0: not yet known */
	uint64_t sample_ns; /* when the sample in work began */
	uint64_t delivered; /* and cc->delivered then */
	uint32_t acked;	    /* towards the next segment of cwnd */
};

static int
init(utcp_cc_t *cc)
{
	struct westwood *w = cc->priv;

	w->sample_ns = cc->now_ns;
	return 0;
}

/* The bandwidth estimate: what was delivered in a round trip, through a low pass
   filter of one eighth. */
static void
sample(utcp_cc_t *cc, struct westwood *w)
{
	uint64_t ns = cc->now_ns - w->sample_ns, rate;
	uint64_t least = cc->srtt_ns > SAMPLE_LEAST_NS ? cc->srtt_ns
						       : SAMPLE_LEAST_NS;

	if (ns < least)
		return;
	rate = (cc->delivered - w->delivered) * 1000000 / (ns / 1000);
	w->rate = w->rate ? w->rate - w->rate / 8 + rate / 8 : rate;
	w->sample_ns = cc->now_ns;
	w->delivered = cc->delivered;
}

static void
ack(utcp_cc_t *cc, const utcp_ack_t *a)
{
	struct westwood *w = cc->priv;

	sample(cc, w);
	/* In recovery the stack holds cwnd; and a window that the application
	   does not fill has not shown that it may grow. */
	if (cc->recovery == 2 || cc->recovery == 3 || !cc->cwnd_limited)
		return;
	if (cc->cwnd < cc->ssthresh) {
		cc->cwnd += a->delivered; /* slow start */
		return;
	}
	w->acked += a->delivered;
	if (w->acked >= cc->cwnd) { /* a segment each round trip */
		w->acked = 0;
		cc->cwnd += cc->mss;
	}
}

/* Bandwidth times the shortest round trip: what fits into the path without a
   queue. */
static uint32_t
ssthresh(utcp_cc_t *cc, enum utcp_cc_event why)
{
	const struct westwood *w = cc->priv;
	uint64_t fits = cc->cwnd / 2;

	(void)why;
	if (w->rate && cc->min_rtt_ns != UTCP_NEVER)
		fits = w->rate * (cc->min_rtt_ns / 1000) / 1000000;
	if (fits > cc->cwnd)
		fits = cc->cwnd;
	return fits > 2 * cc->mss ? (uint32_t)fits : 2 * cc->mss;
}

const utcp_cc_ops_t cc_westwood = {
	.size = sizeof(cc_westwood),
	.name = "westwood",
	.priv_bytes = sizeof(struct westwood),
	.init = init,
	.ack = ack,
	.ssthresh = ssthresh,
};
