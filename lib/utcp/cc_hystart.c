/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_hystart.c: HyStart++ (RFC 9406 section 4).
 */
#include "cc_hystart.h"

#define MIN_RTT_THRESH (4 * MSEC)
#define MAX_RTT_THRESH (16 * MSEC)
#define MIN_RTT_DIVISOR 8
#define N_RTT_SAMPLE 8
#define CSS_GROWTH_DIVISOR 4
#define CSS_ROUNDS 5

void
utcp__hystart_reset(struct utcp__hystart *h)
{
	memset(h, 0, sizeof(*h));
	h->last_min_ns = h->min_ns = UTCP_NEVER;
}

static void
new_round(struct utcp__hystart *h, utcp_cc_t *cc)
{
	h->round_end = cc->snd_nxt;
	h->begun = true;
	h->last_min_ns = h->min_ns;
	h->min_ns = UTCP_NEVER;
	h->samples = 0;
	if (h->css && ++h->css_rounds >= CSS_ROUNDS) {
		cc->ssthresh = cc->cwnd;
		h->done = true;
	}
}

static void
sample(struct utcp__hystart *h, const utcp_cc_t *cc, uint64_t rtt)
{
	uint64_t thresh;

	(void)cc;
	if (rtt < h->min_ns)
		h->min_ns = rtt;
	if (h->samples < UINT8_MAX)
		h->samples++;
	if (h->samples < N_RTT_SAMPLE || h->min_ns == UTCP_NEVER ||
	    h->last_min_ns == UTCP_NEVER)
		return;
	if (h->css) {
		/* It was a hiccup: on with slow start. */
		if (h->min_ns < h->base_ns)
			h->css = false;
		return;
	}
	thresh = h->last_min_ns / MIN_RTT_DIVISOR;
	thresh = thresh > MIN_RTT_THRESH ? thresh : MIN_RTT_THRESH;
	thresh = thresh < MAX_RTT_THRESH ? thresh : MAX_RTT_THRESH;
	if (h->min_ns >= h->last_min_ns + thresh) {
		h->css = true;
		h->css_rounds = 0;
		h->base_ns = h->min_ns;
	}
}

uint32_t
utcp__hystart_ack(struct utcp__hystart *h, utcp_cc_t *cc, const utcp_ack_t *ack,
		  uint32_t n)
{
	if (!h->done && cc->recovery != CC_LOSS) {
		if (!h->begun || (int32_t)(cc->snd_una - h->round_end) > 0)
			new_round(h, cc);
		if (ack->rtt_ns)
			sample(h, cc, ack->rtt_ns);
		if (h->css) {
			n += h->rest;
			h->rest = n % CSS_GROWTH_DIVISOR;
			n /= CSS_GROWTH_DIVISOR;
		}
	}
	return cc->cwnd < cc->ssthresh ? utcp__cc_slow_start(cc, n) : n;
}
