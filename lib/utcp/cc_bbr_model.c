/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_bbr_model.c: what BBR takes the path for: rounds, bandwidth, round trip,
 * bounds by loss, aggregation (draft-ietf-ccwg-bbr section 5.5).
 */
#include "cc_bbr.h"

#define MIN_RTT_FILTER (10 * SEC)
#define PROBE_RTT_INTERVAL (5 * SEC)
#define FULL_BW_THRESH 1.25
#define FULL_BW_COUNT 3
#define FULL_LOSS_COUNT 6
#define HEADROOM 0.15
#define EXTRA_ROUNDS 5 /* of each of two buckets */

/* ---- rounds ------------------------------------------------------------ */

void
bbr_start_round(struct bbr *b, const utcp_cc_t *cc)
{
	b->next_round_delivered = cc->delivered;
}

static void
update_round(struct bbr *b, const utcp_cc_t *cc, const utcp_ack_t *ack)
{
	b->round_start = false;
	if (ack->delivered && ack->prior_delivered >= b->next_round_delivered) {
		bbr_start_round(b, cc);
		b->rounds_since_probe++;
		if (b->drain_rounds < UINT8_MAX)
			b->drain_rounds++;
		b->round_start = true;
	}
}

/* ---- products of bandwidth and delay ----------------------------------- */

uint32_t
bbr_bdp(const struct bbr *b, const utcp_cc_t *cc, uint64_t bw, double gain)
{
	double n;

	if (b->min_rtt_ns == UTCP_NEVER)
		return cc->initcwnd;
	n = gain * (double)bw * (double)b->min_rtt_ns * 1e-9;
	return n < 1e9 ? (uint32_t)n : 1000000000u;
}

uint32_t
bbr_quantized(const struct bbr *b, const utcp_cc_t *cc, uint32_t n)
{
	/* Three bursts: in the sender's and the receiver's offloads, one sent. */
	uint32_t budget = 3 * cc->gso_max;

	n = n > budget ? n : budget;
	n = n > bbr_min_cwnd(cc) ? n : bbr_min_cwnd(cc);
	if (b->state == BBR_UP)
		n += 2 * cc->mss;
	return n;
}

uint32_t
bbr_inflight(const struct bbr *b, const utcp_cc_t *cc, uint64_t bw, double gain)
{
	return bbr_quantized(b, cc, bbr_bdp(b, cc, bw, gain));
}

uint32_t
bbr_with_headroom(const struct bbr *b, const utcp_cc_t *cc)
{
	uint32_t room, least = bbr_min_cwnd(cc);

	if (b->inflight_long == BBR_INF)
		return BBR_INF;
	room = (uint32_t)(b->inflight_long * HEADROOM);
	room = room > cc->mss ? room : cc->mss;
	return b->inflight_long > room + least ? b->inflight_long - room
					       : least;
}

uint32_t
bbr_target(const struct bbr *b, const utcp_cc_t *cc)
{
	uint32_t bdp = bbr_bdp(b, cc, b->bw, 1.0);

	return bdp < cc->cwnd ? bdp : cc->cwnd;
}

/* ---- bandwidth --------------------------------------------------------- */

void
bbr_reset_full_bw(struct bbr *b, uint64_t bw)
{
	b->full_bw = bw;
	b->full_bw_count = 0;
	b->full_bw_now = false;
}

void
bbr_reset_short(struct bbr *b)
{
	b->bw_short = UINT64_MAX;
	b->inflight_short = BBR_INF;
}

static void
update_max_bw(struct bbr *b, const utcp_ack_t *ack)
{
	if (!b->rate || (ack->app_limited && b->rate < bbr_max_bw(b)))
		return;
	if (b->rate > b->max_bw[1])
		b->max_bw[1] = b->rate;
}

/* A round with losses, while nothing was probed for: less for now. The draft
   does so for any loss; each such round is paced at 0.99 of what the last one
   delivered, so that of 100 Mb/s, 20 ms and one percent of random loss 0.85 were
   left, and not 0.92. Here too only what probing may cost counts; a CUBIC beside
   it, on a queue of a product of rate and delay, has 0.16 instead of 0.18. */
static void
lower_bounds(struct bbr *b, const utcp_cc_t *cc)
{
	uint64_t bw;
	uint32_t n;

	if (b->state == BBR_STARTUP || b->state == BBR_REFILL ||
	    b->state == BBR_UP || !b->round_lossy)
		return;
	if (b->bw_short == UINT64_MAX)
		b->bw_short = bbr_max_bw(b);
	if (b->inflight_short == BBR_INF)
		b->inflight_short = cc->cwnd;
	bw = (uint64_t)((double)b->bw_short * BBR_BETA);
	b->bw_short = bw > b->bw_latest ? bw : b->bw_latest;
	n = (uint32_t)(b->inflight_short * BBR_BETA);
	b->inflight_short = n > b->inflight_latest ? n : b->inflight_latest;
}

static void
congestion_signals(struct bbr *b, const utcp_cc_t *cc, const utcp_ack_t *ack)
{
	uint32_t n = ack->rate_delivered < BBR_INF
			 ? (uint32_t)ack->rate_delivered
			 : BBR_INF - 1;

	b->loss_round_start = false;
	b->bw_latest = b->bw_latest > b->rate ? b->bw_latest : b->rate;
	b->inflight_latest = b->inflight_latest > n ? b->inflight_latest : n;
	if (ack->lost) {
		/* With the first a round begins that shows what is left. */
		if (!b->round_lost)
			b->loss_round_delivered = cc->delivered;
		b->round_lost += ack->lost;
		if (b->loss_events < UINT8_MAX)
			b->loss_events++;
	}
	if (ack->delivered && ack->prior_delivered >= b->loss_round_delivered) {
		n = (uint32_t)(cc->delivered - b->loss_round_delivered);
		b->round_lossy = b->round_lost > cc->mss + n * BBR_LOSS_THRESH;
		b->round_lost = 0;
		b->loss_round_delivered = cc->delivered;
		b->loss_round_start = true;
	}
}

/* ---- the pipe is full -------------------------------------------------- */

static void
check_full_bw(struct bbr *b, const utcp_ack_t *ack)
{
	if (b->full_bw_now || !b->round_start || ack->app_limited || !b->rate)
		return;
	if ((double)b->rate >= (double)b->full_bw * FULL_BW_THRESH) {
		bbr_reset_full_bw(b, b->rate);
		return;
	}
	if (++b->full_bw_count < FULL_BW_COUNT)
		return;
	b->full_bw_now = b->full_bw_reached = true;
}

static void
check_startup_loss(struct bbr *b, const utcp_cc_t *cc, const utcp_ack_t *ack)
{
	uint32_t bdp;

	if (b->full_bw_reached || b->state != BBR_STARTUP ||
	    !b->loss_round_start)
		return;
	if (b->loss_events >= FULL_LOSS_COUNT && bbr_too_high(cc, ack) &&
	    cc->recovery == CC_RECOVERY) {
		b->full_bw_reached = true;
		b->undo_state = BBR_STARTUP;
		bdp = bbr_bdp(b, cc, bbr_max_bw(b), 1.0);
		b->inflight_long = bdp > b->inflight_latest
				       ? bdp
				       : b->inflight_latest;
	}
}

/* ---- aggregation ------------------------------------------------------- */

static void
update_aggregation(struct bbr *b, const utcp_cc_t *cc, const utcp_ack_t *ack)
{
	double expected = (double)b->bw *
			  (double)(cc->now_ns - b->extra_at_ns) * 1e-9;
	uint32_t extra;

	if (b->round_start && ++b->extra_rounds >= EXTRA_ROUNDS) {
		b->extra_rounds = 0;
		b->extra[0] = b->extra[1];
		b->extra[1] = 0;
	}
	if (b->extra_delivered <= expected) {
		b->extra_delivered = 0;
		b->extra_at_ns = cc->now_ns;
		expected = 0;
	}
	b->extra_delivered += ack->delivered;
	/* The draft does so in Startup too, where a rate that doubles each round
	   looks like aggregation, and the window would overflow the queue. */
	if (!b->full_bw_reached || b->extra_delivered < expected)
		return;
	extra = b->extra_delivered - (uint32_t)expected;
	extra = extra < cc->cwnd ? extra : cc->cwnd;
	if (extra > b->extra[1])
		b->extra[1] = extra;
}

/* ---- all of it --------------------------------------------------------- */

void
bbr_model_ack(struct bbr *b, const utcp_cc_t *cc, const utcp_ack_t *ack)
{
	b->rate = ack->interval_ns ? (uint64_t)((double)ack->rate_delivered *
						1e9 / ack->interval_ns)
				   : 0;
	congestion_signals(b, cc, ack);
	update_round(b, cc, ack);
	update_max_bw(b, ack);
	if (b->loss_round_start)
		lower_bounds(b, cc);
	update_aggregation(b, cc, ack);
	check_full_bw(b, ack);
	check_startup_loss(b, cc, ack);
	if (b->loss_round_start)
		b->loss_events = 0;
}

void
bbr_model_done(struct bbr *b, const utcp_ack_t *ack)
{
	uint64_t bw = bbr_max_bw(b);

	if (b->loss_round_start) {
		b->bw_latest = b->rate;
		b->inflight_latest = (uint32_t)ack->rate_delivered;
	}
	b->bw = bw < b->bw_short ? bw : b->bw_short;
}

void
bbr_update_min_rtt(struct bbr *b, const utcp_cc_t *cc, const utcp_ack_t *ack)
{
	b->probe_rtt_expired = cc->now_ns >
			       b->probe_rtt_min_at_ns + PROBE_RTT_INTERVAL;
	if (ack->rtt_ns &&
	    (ack->rtt_ns < b->probe_rtt_min_ns || b->probe_rtt_expired)) {
		b->probe_rtt_min_ns = ack->rtt_ns;
		b->probe_rtt_min_at_ns = cc->now_ns;
	}
	if (b->probe_rtt_min_ns < b->min_rtt_ns ||
	    cc->now_ns > b->min_rtt_at_ns + MIN_RTT_FILTER) {
		b->min_rtt_ns = b->probe_rtt_min_ns;
		b->min_rtt_at_ns = b->probe_rtt_min_at_ns;
	}
}
