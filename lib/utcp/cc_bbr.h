/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_bbr.h: what cc_bbr.c (the states, what is set) and cc_bbr_model.c (what
 * the path is taken for) share. BBR is draft-ietf-ccwg-bbr, version 3; names
 * are the draft's. Amounts are bytes, rates bytes a second.
 */
#ifndef UTCP_CC_BBR_H
#define UTCP_CC_BBR_H

#include "cc_util.h"

#define BBR_INF UINT32_MAX
#define BBR_BETA 0.7
#define BBR_LOSS_THRESH 0.02
#define BBR_MIN_PIPE 4 /* segments */

/* Probing bandwidth is the last four. */
enum bbr_state {
	BBR_STARTUP,
	BBR_DRAIN,
	BBR_PROBE_RTT,
	BBR_DOWN,
	BBR_CRUISE,
	BBR_REFILL,
	BBR_UP,
};

/* What the ACKs that arrive now tell about. */
enum bbr_acks {
	BBR_ACKS_INIT,
	BBR_ACKS_REFILLING,
	BBR_ACKS_PROBE_STARTING,
	BBR_ACKS_PROBE_FEEDBACK,
	BBR_ACKS_PROBE_STOPPING,
};

struct bbr {
	/* rounds, and rounds for loss */
	uint64_t next_round_delivered, loss_round_delivered;
	uint32_t rounds_since_probe;
	uint32_t round_lost; /* bytes, in this round of loss */
	bool round_start, loss_round_start, round_lossy;
	uint8_t state, acks; /* enums above */
	/* the long-term model: what the path can take */
	uint64_t max_bw[2]; /* of the last probing cycle, of this one */
	uint32_t inflight_long;
	/* the short-term one, since the last probe; INF: none */
	uint64_t bw_short; /* UINT64_MAX: none */
	uint32_t inflight_short;
	uint64_t bw_latest;
	uint32_t inflight_latest;
	/* round trip */
	uint64_t min_rtt_ns, min_rtt_at_ns;
	uint64_t probe_rtt_min_ns, probe_rtt_min_at_ns;
	uint64_t probe_rtt_done_ns; /* 0: not yet small enough */
	bool probe_rtt_expired, probe_rtt_round_done, idle_restart;
	/* is the pipe full? */
	bool full_bw_reached, full_bw_now;
	uint8_t full_bw_count;
	bool probe_samples;
	uint8_t up_rounds, loss_events, drain_rounds;
	/* the last probe: cost too much; went no further than that one */
	bool probe_too_high, probe_cautious;
	uint64_t full_bw;
	/* probing */
	uint64_t cycle_ns, probe_wait_ns;
	uint32_t up_cnt, up_acks;
	/* aggregation of ACKs */
	uint64_t extra_at_ns;
	uint32_t extra_delivered, extra[2], extra_rounds;
	/* of this ACK */
	uint64_t rate;
	/* what is set */
	uint64_t bw;
	uint32_t prior_cwnd;
	/* before the recovery that may turn out to be for nothing */
	uint32_t undo_inflight_long, undo_inflight_short;
	uint64_t undo_bw_short;
	uint8_t undo_state; /* that it ended: STARTUP or UP; else DRAIN */
	bool in_loss;	    /* after a timeout */
	bool rtt_seen;
	float pacing_gain, cwnd_gain;
};

static inline uint64_t
bbr_max_bw(const struct bbr *b)
{
	return b->max_bw[0] > b->max_bw[1] ? b->max_bw[0] : b->max_bw[1];
}

static inline bool
bbr_in_probe_bw(const struct bbr *b)
{
	return b->state >= BBR_DOWN;
}

static inline uint32_t
bbr_min_cwnd(const utcp_cc_t *cc)
{
	return BBR_MIN_PIPE * cc->mss;
}

/* cc_bbr_model.c */
void bbr_start_round(struct bbr *b, const utcp_cc_t *cc);
void bbr_reset_full_bw(struct bbr *b, uint64_t bw);
void bbr_reset_short(struct bbr *b);
/* The bandwidth-delay product of bw, times gain; no less than what is in the
   hands of offloads; one and the other. */
uint32_t bbr_bdp(const struct bbr *b, const utcp_cc_t *cc, uint64_t bw,
		 double gain);
uint32_t bbr_quantized(const struct bbr *b, const utcp_cc_t *cc, uint32_t n);
uint32_t bbr_inflight(const struct bbr *b, const utcp_cc_t *cc, uint64_t bw,
		      double gain);
uint32_t bbr_with_headroom(const struct bbr *b, const utcp_cc_t *cc);
uint32_t bbr_target(const struct bbr *b, const utcp_cc_t *cc);
/* An ACK: rounds, bandwidth, losses, aggregation; round trip. */
void bbr_model_ack(struct bbr *b, const utcp_cc_t *cc, const utcp_ack_t *ack);
void bbr_model_done(struct bbr *b, const utcp_ack_t *ack);
void bbr_update_min_rtt(struct bbr *b, const utcp_cc_t *cc,
			const utcp_ack_t *ack);
/* More was lost than probing may cost. One segment is not enough to tell, on a
   path that holds fewer than fifty. */
static inline bool
bbr_too_high(const utcp_cc_t *cc, const utcp_ack_t *ack)
{
	return ack->rate_lost > cc->mss + ack->tx_inflight * BBR_LOSS_THRESH;
}

#endif /* UTCP_CC_BBR_H */
