/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_bbr.c: BBR (draft-ietf-ccwg-bbr): the state machine, and the pacing rate,
 * burst and window that follow from the model.
 */
#include "cc_bbr.h"
#include "tcp_loss.h"

#define STARTUP_PACING_GAIN 2.77f
#define DRAIN_PACING_GAIN 0.5f
#define PACING_MARGIN 0.99
#define PROBE_RTT_DURATION (200 * MSEC)
#define PROBE_RTT_GAIN 0.5
#define RENO_ROUNDS 63
#define DRAIN_ROUNDS 3

static const struct {
	float pacing, cwnd;
} gains[] = {
	[BBR_STARTUP] = { STARTUP_PACING_GAIN, 2.0f },
	[BBR_DRAIN] = { DRAIN_PACING_GAIN, 2.0f },
	[BBR_PROBE_RTT] = { 1.0f, 0.5f },
	[BBR_DOWN] = { 0.90f, 2.0f },
	[BBR_CRUISE] = { 1.0f, 2.0f },
	[BBR_REFILL] = { 1.0f, 2.0f },
	[BBR_UP] = { 1.25f, 2.25f },
};

static void
enter(struct bbr *b, enum bbr_state state)
{
	b->state = (uint8_t)state;
	b->pacing_gain = gains[state].pacing;
	b->cwnd_gain = gains[state].cwnd;
}

/* ---- probing for bandwidth (section 5.3.3) ----------------------------- */

static void
start_down(struct bbr *b, const utcp_cc_t *cc)
{
	b->round_lost = 0;
	b->bw_latest = 0;
	b->inflight_latest = 0;
	b->up_cnt = BBR_INF;
	/* Two to three seconds, so that flows do not march in step. */
	b->rounds_since_probe = (uint32_t)(cc->random >> 33 & 1);
	b->probe_wait_ns = 2 * SEC + (cc->random >> 34) % SEC;
	b->cycle_ns = cc->now_ns;
	b->acks = BBR_ACKS_PROBE_STOPPING;
	bbr_start_round(b, cc);
	enter(b, BBR_DOWN);
}

static void
start_refill(struct bbr *b, const utcp_cc_t *cc)
{
	bbr_reset_short(b);
	b->up_rounds = 0;
	b->up_acks = 0;
	b->probe_cautious = false;
	b->acks = BBR_ACKS_REFILLING;
	bbr_start_round(b, cc);
	enter(b, BBR_REFILL);
}

static void
raise_slope(struct bbr *b, const utcp_cc_t *cc)
{
	uint64_t growth = (uint64_t)cc->mss << b->up_rounds;

	b->up_rounds = b->up_rounds < 30 ? b->up_rounds + 1 : 30;
	/* Bytes to be acknowledged for one segment more. */
	b->up_cnt = growth < cc->cwnd
			? (uint32_t)((uint64_t)cc->cwnd * cc->mss / growth)
			: cc->mss;
	b->up_cnt = b->up_cnt > cc->mss ? b->up_cnt : cc->mss;
}

static void
start_up(struct bbr *b, const utcp_cc_t *cc)
{
	b->acks = BBR_ACKS_PROBE_STARTING;
	bbr_start_round(b, cc);
	bbr_reset_full_bw(b, b->rate);
	b->cycle_ns = cc->now_ns;
	enter(b, BBR_UP);
	raise_slope(b, cc);
}

static void
probe_upward(struct bbr *b, const utcp_cc_t *cc, const utcp_ack_t *ack)
{
	uint32_t n;

	if (!cc->cwnd_limited || cc->cwnd < b->inflight_long)
		return;
	b->up_acks += ack->delivered;
	if (b->up_acks >= b->up_cnt) {
		n = b->up_acks / b->up_cnt;
		b->up_acks -= n * b->up_cnt;
		b->inflight_long += n * cc->mss;
	}
	if (b->round_start)
		raise_slope(b, cc);
}

/* What the probe's ACKs say of the long-term bound. The draft asks for each lost
   packet, and of what was in flight when it was sent; here the newest that was
   delivered is asked, once an ACK. True: the phase was changed. */
static bool
adapt_long(struct bbr *b, const utcp_cc_t *cc, const utcp_ack_t *ack)
{
	uint32_t n;

	if (b->acks == BBR_ACKS_PROBE_STARTING && b->round_start)
		b->acks = BBR_ACKS_PROBE_FEEDBACK;
	if (b->acks == BBR_ACKS_PROBE_STOPPING && b->round_start) {
		b->probe_samples = false;
		b->acks = BBR_ACKS_INIT;
		/* The cycle's best stays for the next one. */
		if (bbr_in_probe_bw(b) && !ack->app_limited && b->max_bw[1]) {
			b->max_bw[0] = b->max_bw[1];
			b->max_bw[1] = 0;
		}
		/* It went well up to where the last one did not: on. */
		if (bbr_in_probe_bw(b) && b->probe_cautious &&
		    !b->probe_too_high) {
			start_refill(b, cc);
			return true;
		}
	}
	if (bbr_too_high(cc, ack)) {
		if (!b->probe_samples)
			return false;
		b->probe_too_high = true;
		b->probe_samples = false;
		n = (uint32_t)(bbr_target(b, cc) * BBR_BETA);
		if (!ack->app_limited)
			b->inflight_long = ack->tx_inflight > n
					       ? ack->tx_inflight
					       : n;
		if (b->state != BBR_UP)
			return false;
		b->undo_state = BBR_UP;
		start_down(b, cc);
		return true;
	}
	if (b->inflight_long == BBR_INF)
		return false;
	if (ack->tx_inflight > b->inflight_long)
		b->inflight_long = ack->tx_inflight;
	if (b->state == BBR_UP)
		probe_upward(b, cc, ack);
	return false;
}

static bool
time_to_probe(struct bbr *b, const utcp_cc_t *cc)
{
	uint32_t rounds = bbr_target(b, cc) / cc->mss;

	rounds = rounds < RENO_ROUNDS ? rounds : RENO_ROUNDS;
	/* As often as Reno would reach this window, if that is sooner. */
	if (cc->now_ns <= b->cycle_ns + b->probe_wait_ns &&
	    b->rounds_since_probe < rounds)
		return false;
	start_refill(b, cc);
	return true;
}

static bool
time_to_cruise(const struct bbr *b, const utcp_cc_t *cc)
{
	return cc->inflight <= bbr_with_headroom(b, cc) &&
	       cc->inflight <= bbr_inflight(b, cc, bbr_max_bw(b), 1.0);
}

static bool
time_to_go_down(struct bbr *b, const utcp_cc_t *cc, const utcp_ack_t *ack)
{
	/* Where the last probe cost too much it ends for now, and its ACKs
	   decide whether there is another at once. */
	if (b->probe_too_high && ack->prior_inflight >= b->inflight_long) {
		b->probe_cautious = true;
		return true;
	}
	if (cc->cwnd_limited && cc->cwnd >= b->inflight_long) {
		/* The bound holds it back, not the path. */
		bbr_reset_full_bw(b, b->rate);
		return false;
	}
	return b->full_bw_now;
}

static void
update_cycle(struct bbr *b, const utcp_cc_t *cc, const utcp_ack_t *ack)
{
	if (!b->full_bw_reached || adapt_long(b, cc, ack))
		return;
	switch (b->state) {
	case BBR_DOWN:
		if (!time_to_probe(b, cc) && time_to_cruise(b, cc))
			enter(b, BBR_CRUISE);
		break;
	case BBR_CRUISE:
		time_to_probe(b, cc);
		break;
	case BBR_REFILL:
		if (b->round_start) {
			b->probe_samples = true;
			start_up(b, cc);
		}
		break;
	case BBR_UP:
		if (time_to_go_down(b, cc, ack)) {
			b->probe_too_high = false;
			start_down(b, cc);
		}
		break;
	default:
		break;
	}
}

/* ---- probing for the round trip (section 5.3.4) ------------------------ */

static uint32_t
probe_rtt_cwnd(const struct bbr *b, const utcp_cc_t *cc)
{
	uint32_t n = bbr_bdp(b, cc, b->bw, PROBE_RTT_GAIN);

	return n > bbr_min_cwnd(cc) ? n : bbr_min_cwnd(cc);
}

static void
save_cwnd(struct bbr *b, const utcp_cc_t *cc)
{
	if (!b->in_loss && b->state != BBR_PROBE_RTT)
		b->prior_cwnd = cc->cwnd;
	else if (b->prior_cwnd < cc->cwnd)
		b->prior_cwnd = cc->cwnd;
}

static void
probe_rtt_done(struct bbr *b, utcp_cc_t *cc)
{
	if (!b->probe_rtt_done_ns || cc->now_ns <= b->probe_rtt_done_ns)
		return;
	b->probe_rtt_min_at_ns = cc->now_ns;
	if (cc->cwnd < b->prior_cwnd)
		cc->cwnd = b->prior_cwnd;
	bbr_reset_short(b);
	if (!b->full_bw_reached) {
		enter(b, BBR_STARTUP);
		return;
	}
	start_down(b, cc);
	enter(b, BBR_CRUISE);
}

static void
check_probe_rtt(struct bbr *b, utcp_cc_t *cc, const utcp_ack_t *ack)
{
	if (b->state != BBR_PROBE_RTT && b->probe_rtt_expired &&
	    !b->idle_restart) {
		save_cwnd(b, cc);
		enter(b, BBR_PROBE_RTT);
		b->probe_rtt_done_ns = 0;
		b->acks = BBR_ACKS_PROBE_STOPPING;
		bbr_start_round(b, cc);
	}
	if (b->state == BBR_PROBE_RTT) {
		/* A rate that we hold down says nothing. */
		utcp__rate_app_limited(cc->sock);
		if (!b->probe_rtt_done_ns) {
			if (cc->inflight <= probe_rtt_cwnd(b, cc)) {
				b->probe_rtt_done_ns = cc->now_ns +
						       PROBE_RTT_DURATION;
				b->probe_rtt_round_done = false;
				bbr_start_round(b, cc);
			}
		} else {
			if (b->round_start)
				b->probe_rtt_round_done = true;
			if (b->probe_rtt_round_done)
				probe_rtt_done(b, cc);
		}
	}
	if (ack->delivered)
		b->idle_restart = false;
}

/* ---- what is set (section 5.6) ----------------------------------------- */

static void
set_pacing(struct bbr *b, utcp_cc_t *cc)
{
	double rate = (double)b->pacing_gain * (double)b->bw * PACING_MARGIN;
	uint64_t quantum;

	if (b->bw && (b->full_bw_reached || rate > (double)cc->pacing_rate))
		cc->pacing_rate = rate > 1 ? (uint64_t)rate : 1;
	/* A millisecond's worth in one burst. */
	quantum = cc->pacing_rate / 1000;
	quantum = quantum < 65536 ? quantum : 65536;
	quantum = quantum > 2 * cc->mss ? quantum : 2 * cc->mss;
	if (cc->pacing_rate < 150000)
		quantum = cc->mss;
	cc->gso_max = (uint32_t)quantum;
}

static void
set_cwnd(struct bbr *b, utcp_cc_t *cc, const utcp_ack_t *ack)
{
	uint32_t extra = b->extra[0] > b->extra[1] ? b->extra[0] : b->extra[1];
	uint32_t most = bbr_quantized(
	    b, cc, bbr_bdp(b, cc, b->bw, (double)b->cwnd_gain) + extra);
	uint32_t cap = BBR_INF, n = cc->cwnd;

	if (b->state == BBR_PROBE_RTT || b->full_bw_reached) {
		n += ack->delivered;
		n = n < most ? n : most;
	} else if (n < most || cc->delivered < cc->initcwnd) {
		n += ack->delivered;
	}
	n = n > bbr_min_cwnd(cc) ? n : bbr_min_cwnd(cc);
	if (b->state == BBR_PROBE_RTT) {
		most = probe_rtt_cwnd(b, cc);
		n = n < most ? n : most;
	}
	if (bbr_in_probe_bw(b) && b->state != BBR_CRUISE)
		cap = b->inflight_long;
	else if (b->state == BBR_PROBE_RTT || b->state == BBR_CRUISE)
		cap = bbr_with_headroom(b, cc);
	cap = cap < b->inflight_short ? cap : b->inflight_short;
	cap = cap > bbr_min_cwnd(cc) ? cap : bbr_min_cwnd(cc);
	cc->cwnd = n < cap ? n : cap;
}

/* Before there is a rate: the window in a round trip, or in a millisecond. */
static void
first_pacing(struct bbr *b, utcp_cc_t *cc)
{
	uint64_t rtt = cc->srtt_ns ? cc->srtt_ns : MSEC;

	b->rtt_seen = cc->srtt_ns != 0;
	cc->pacing_rate = (uint64_t)((double)STARTUP_PACING_GAIN * cc->cwnd *
				     1e9 / (double)rtt);
}

/* ---- hooks ------------------------------------------------------------- */

static int
bbr_init(utcp_cc_t *cc)
{
	struct bbr *b = cc->priv;

	b->inflight_long = BBR_INF;
	b->up_cnt = BBR_INF;
	bbr_reset_short(b);
	b->min_rtt_ns = cc->min_rtt_ns != UTCP_NEVER ? cc->min_rtt_ns
			: cc->srtt_ns		     ? cc->srtt_ns
						     : UTCP_NEVER;
	b->probe_rtt_min_ns = b->min_rtt_ns;
	b->min_rtt_at_ns = b->probe_rtt_min_at_ns = cc->now_ns;
	b->extra_at_ns = cc->now_ns;
	b->cycle_ns = cc->now_ns;
	bbr_start_round(b, cc);
	b->loss_round_delivered = cc->delivered;
	enter(b, BBR_STARTUP);
	first_pacing(b, cc);
	set_pacing(b, cc);
	return 0;
}

static void
bbr_ack(utcp_cc_t *cc, const utcp_ack_t *ack)
{
	struct bbr *b = cc->priv;

	if (!b->rtt_seen && cc->srtt_ns)
		first_pacing(b, cc);
	bbr_model_ack(b, cc, ack);
	if (b->state == BBR_STARTUP && b->full_bw_reached) {
		enter(b, BBR_DRAIN);
		b->drain_rounds = 0;
	}
	if (b->state == BBR_DRAIN &&
	    (cc->inflight <= bbr_inflight(b, cc, bbr_max_bw(b), 1.0) ||
	     b->drain_rounds > DRAIN_ROUNDS))
		start_down(b, cc);
	update_cycle(b, cc, ack);
	bbr_update_min_rtt(b, cc, ack);
	check_probe_rtt(b, cc, ack);
	bbr_model_done(b, ack);
	set_pacing(b, cc);
	set_cwnd(b, cc, ack);
}

/* Section 5.5.11: what a recovery for nothing is not to change. */
static void
save_state(struct bbr *b, const utcp_cc_t *cc)
{
	save_cwnd(b, cc);
	b->undo_state = BBR_DRAIN;
	b->undo_bw_short = b->bw_short;
	b->undo_inflight_short = b->inflight_short;
	b->undo_inflight_long = b->inflight_long;
}

static void
restore_state(struct bbr *b, const utcp_cc_t *cc)
{
	b->round_lost = 0;
	bbr_reset_full_bw(b, 0);
	if (b->bw_short < b->undo_bw_short)
		b->bw_short = b->undo_bw_short;
	if (b->inflight_short < b->undo_inflight_short)
		b->inflight_short = b->undo_inflight_short;
	if (b->inflight_long < b->undo_inflight_long)
		b->inflight_long = b->undo_inflight_long;
	if (b->undo_state == BBR_STARTUP && b->state != BBR_STARTUP) {
		b->full_bw_reached = false;
		if (b->state != BBR_PROBE_RTT)
			enter(b, BBR_STARTUP);
	} else if (b->undo_state == BBR_UP && b->state != BBR_UP &&
		   b->state != BBR_PROBE_RTT) {
		start_refill(b, cc);
	}
	b->undo_state = BBR_DRAIN;
}

static void
bbr_event(utcp_cc_t *cc, enum utcp_cc_event event)
{
	struct bbr *b = cc->priv;

	switch (event) {
	case UTCP_CC_LOSS:
		save_state(b, cc);
		break;
	case UTCP_CC_TIMEOUT:
		save_state(b, cc);
		b->in_loss = true;
		cc->cwnd = cc->inflight + cc->mss;
		break;
	case UTCP_CC_RECOVERED:
	case UTCP_CC_UNDO:
		if (cc->cwnd < b->prior_cwnd)
			cc->cwnd = b->prior_cwnd;
		b->in_loss = false;
		if (event == UTCP_CC_UNDO)
			restore_state(b, cc);
		break;
	case UTCP_CC_IDLE:
		b->idle_restart = true;
		b->extra_at_ns = cc->now_ns;
		b->extra_delivered = 0;
		if (bbr_in_probe_bw(b) && b->bw)
			cc->pacing_rate = (uint64_t)((double)b->bw *
						     PACING_MARGIN);
		else if (b->state == BBR_PROBE_RTT)
			probe_rtt_done(b, cc);
		break;
	default:
		break;
	}
}

const utcp_cc_ops_t utcp__cc_bbr = {
	.size = sizeof(utcp_cc_ops_t),
	.flags = UTCP_CC_OWN_RECOVERY | UTCP_CC_PACES,
	.name = "bbr",
	.priv_bytes = sizeof(struct bbr),
	.init = bbr_init,
	.ack = bbr_ack,
	.event = bbr_event,
};
