/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_ack.c: an acknowledgement, from the scoreboard to the congestion window;
 * round trip times (RFC 6298, 7323); the window's room, and rests (RFC 5681).
 */
#include "ext.h"
#include "tcp_loss.h"
#include "tcp_output.h"

#define MIN_RTT_WINDOW (300 * SEC)
#define CWND_MAX (1u << 30)

/* ---- round trip time --------------------------------------------------- */

/*
 * RFC 6298 section 2. With a sample for each ACK the variance would be forgotten
 * within a round trip (RFC 7323 appendix G), so it decays slower the more
 * segments are in flight. A round trip that becomes shorter does not count as
 * variance in full: it would raise the timeout when the path got better.
 */
static void
rtt_update(utcp_sock_t *s, uint64_t rtt)
{
	uint64_t err, floor = (uint64_t)OPT(s, RTO_MIN_NS), most;
	unsigned int slower;

	if (!s->srtt_ns) {
		s->srtt_ns = rtt;
		s->rttvar_ns = rtt / 2;
	} else {
		err = rtt > s->srtt_ns ? rtt - s->srtt_ns : s->srtt_ns - rtt;
		if (err > s->rttvar_ns) {
			slower = rtt > s->srtt_ns ? 2 : 5;
			s->rttvar_ns += (err - s->rttvar_ns) >> slower;
		} else {
			slower = 31u -
				 (unsigned int)__builtin_clz(
				     s->out_bytes / (2u * s->mss + 1) | 1u);
			s->rttvar_ns -= (s->rttvar_ns - err) >> (2 + slower);
		}
		if (rtt > s->srtt_ns)
			s->srtt_ns += err / 8;
		else
			s->srtt_ns -= err / 8;
	}
	most = 4 * s->rttvar_ns;
	s->rto_ns = s->srtt_ns + (most > floor ? most : floor);
	if (s->rto_ns > (uint64_t)OPT(s, RTO_MAX_NS))
		s->rto_ns = (uint64_t)OPT(s, RTO_MAX_NS);
	s->cc.latest_rtt_ns = rtt;
}

static void
min_rtt(utcp_sock_t *s, uint64_t rtt)
{
	uint64_t now = s->u->now_ns;

	if (!s->min_rtt_ns || rtt <= s->min_rtt_ns ||
	    now - s->min_rtt_at_ns > MIN_RTT_WINDOW) {
		s->min_rtt_ns = rtt;
		s->min_rtt_at_ns = now;
	}
}

void
utcp__rtt_sample(utcp_sock_t *s, uint64_t rtt_ns)
{
	rtt_ns += rtt_ns == 0;
	min_rtt(s, rtt_ns);
	rtt_update(s, rtt_ns);
}

/* Of what an ACK acknowledged. */
static void
take_rtt(utcp_sock_t *s, struct utcp__ackwork *w)
{
	uint32_t ms;

	if (w->rtt_ns) {
		/* The oldest one's holds the receiver's delay too. */
		min_rtt(s, w->rtt_last_ns);
		rtt_update(s, w->rtt_ns);
		s->cc.latest_rtt_ns = w->rtt_last_ns;
	} else if (w->acked && s->negotiated & UTCP_GOT_TIMESTAMPS &&
		   w->in->opts & TO_TS && w->in->ts_ecr) {
		/* RFC 7323 section 4: what was sent again can be told. */
		ms = utcp__ts_now(s->u, s->ts_ofs) - w->in->ts_ecr;
		if (ms > 1u << 24)
			return;
		rtt_update(s, (ms ? ms : 1) * MSEC);
	} else {
		return;
	}
	s->backoff = 0; /* RFC 6298 section 5.7's rule ends: Karn */
}

/* ---- an acknowledgement ------------------------------------------------ */

/* Takes n bytes of seg, from its front, out of all counts. */
static void
count_acked(utcp_sock_t *s, struct utcp__ackwork *w, struct utcp__seg *seg,
	    uint32_t n)
{
	uint32_t segs;

	if (seg->flags & SEG_SACKED) {
		s->sacked_bytes -= n;
		segs = utcp__num_segs(s, n);
		s->sacked_segs -= segs < s->sacked_segs ? segs : s->sacked_segs;
		return;
	}
	utcp__seg_delivered(s, w, seg, n);
	if (seg->flags & SEG_LOST)
		s->lost_bytes -= n;
	if (seg->flags & SEG_RETRANS)
		s->retrans_bytes -= n;
}

/* Removes what is below ack. Returns the sequence numbers of SYN and FIN. */
static uint32_t
acked_segs(utcp_sock_t *s, struct utcp__ackwork *w)
{
	uint32_t ack = w->in->ack, phantom = 0, n;
	struct utcp__seg *seg;

	while (!link_empty(&s->busy->segs)) {
		seg = utcp__first_seg(s);
		if (seq_leq(ack, seg->seq))
			break;
		n = ack - seg->seq;
		if (n < seg->len) {
			count_acked(s, w, seg, n);
			seg->seq += n;
			seg->len -= n;
			phantom += (seg->flags & SEG_SYN) != 0;
			seg->flags &= (uint16_t)~SEG_SYN;
			break;
		}
		count_acked(s, w, seg, seg->len);
		phantom += (seg->flags & SEG_SYN) != 0;
		phantom += (seg->flags & SEG_FIN) != 0;
		utcp__seg_free(s, seg);
	}
	/* RFC 7413 section 4.2.2: the peer did not take data from the SYN; it
	   is sent again at once. */
	if (UNLIKELY(phantom && s->syn_data_refused &&
		     !link_empty(&s->busy->segs)))
		utcp__mark_lost(s, utcp__first_seg(s), false);
	s->snd_una = ack;
	s->out_bytes -= w->acked;
	if (seq_lt(s->fack, ack))
		s->fack = ack;
	if (s->sacked_bytes == 0)
		s->sacked_segs = 0;
	return phantom;
}

static void
run_cc(utcp_sock_t *s, const struct utcp__ackwork *w)
{
	uint32_t lost = (uint32_t)(s->lost - w->prior_lost);
	uint32_t cwnd_before = s->cc.cwnd;
	utcp_cc_t *cc;
	utcp_ack_t ack = {
		.acked = w->acked,
		.delivered = w->delivered,
		.lost = lost,
		.prior_inflight = w->prior_inflight,
		.rtt_ns = w->rtt_last_ns,
	};

	utcp__rate_sample(s, w, &ack);
	if (!s->cc_mod)
		return;
	if (w->in->flags & TH_ECE && s->negotiated & UTCP_GOT_ECN)
		ack.ce = w->delivered;
	else
		ack.ce = w->ce;
	cc = utcp__cc_view(s);
	/* What recovery held in flight is no reason for more. */
	if (w->recovered)
		cc->cwnd_limited = 0;
	s->cc_mod->ops.ack(cc, &ack);
	utcp__cc_taken(s);
	if (!utcp__cc_own(s) &&
	    (s->recovery == REC_FAST || s->recovery == REC_CWR)) {
		s->cc.cwnd = cwnd_before;
		if (w->delivered)
			utcp__prr(s, w->delivered, w->acked && !lost);
	}
	if (s->cc.cwnd > CWND_MAX)
		s->cc.cwnd = CWND_MAX;
	if (s->cc.cwnd < s->mss)
		s->cc.cwnd = s->mss;
	utcp__pace_update(s);
}

static void
run_timers(utcp_sock_t *s, const struct utcp__ackwork *w)
{
	if (s->out_bytes == 0) {
		if (!s->persist)
			utcp__tm_clear(s, UTCP__TM_REXMT);
		utcp__tm_clear(s, UTCP__TM_TLP);
		utcp__tm_clear(s, UTCP__TM_REO);
	} else if (w->acked) {
		utcp__rto_restart(s); /* RFC 6298 (5.3) */
		utcp__tlp_schedule(s);
	} else if (s->sacked_bytes) {
		utcp__tm_clear(s, UTCP__TM_TLP);
	}
}

bool
utcp__tcp_ack(utcp_sock_t *s, const struct utcp__seg_in *in, bool wnd_changed,
	      bool has_data)
{
	struct utcp__ackwork w = { .in = in };
	bool sack = utcp__has_sack(s);
	uint32_t phantom = 0;

	w.acked = in->ack - s->snd_una;
	w.prior_inflight = utcp__inflight(s);
	w.prior_lost = s->lost;
	/* RFC 5681 section 2 */
	w.dup = !w.acked && !has_data && !wnd_changed && s->out_bytes;
	if (!w.acked && !w.dup && !(sack && in->num_sacks) &&
	    !(in->flags & TH_ECE)) {
		if (LIKELY(!s->ext))
			return false;
		w.ce = utcp__ext_ack(s, &w, has_data);
		if (!w.ce)
			return false;
	}
	if (w.acked) {
		phantom = acked_segs(s, &w);
		s->busy->progress_ns = s->u->now_ns;
		s->retries = 0;
		s->soft_error = 0;
	}
	if (sack && in->num_sacks)
		utcp__sack_blocks(s, &w);
	if (w.probed)
		utcp__mtu_probe_acked(s);
	if (!sack && w.dup)
		utcp__reno_add(s, &w);
	else if (!sack && w.acked)
		utcp__reno_remove(s, &w);
	take_rtt(s, &w);
	if (sack && OPT(s, RACK))
		utcp__rack_dsack(s, &w);
	if (UNLIKELY(s->ext != NULL) && !w.ce)
		w.ce = utcp__ext_ack(s, &w, has_data);
	utcp__recovery_ack(s, &w);
	run_cc(s, &w);
	run_timers(s, &w);
	if (w.acked > phantom)
		utcp__snd_acked(s, w.acked - phantom);
	if (!s->out_bytes && !utcp__snd_unsent(s))
		utcp__limit_is(s, LIMIT_NONE);
	if (!link_empty(&s->busy->lost) || utcp__snd_unsent(s) ||
	    (s->fin_wanted && !s->fin_sent))
		utcp__want_output(s);
	return phantom > 0;
}

/* ---- what may be sent -------------------------------------------------- */

uint32_t
utcp__cwnd_room(utcp_sock_t *s)
{
	uint32_t inflight = utcp__inflight(s);
	uint32_t cwnd = s->cc_mod ? s->cc.cwnd : utcp__initial_window(s);

	/* The SYN is no data (RFC 6928 section 2 counts segments of it). */
	if (UNLIKELY(s->snd_una == s->iss && inflight))
		inflight--;
	return cwnd > inflight ? cwnd - inflight : 0;
}

void
utcp__idle_restart(utcp_sock_t *s)
{
	uint32_t rw, kept;

	if (!s->cc_mod || s->out_bytes || !s->last_snd_ns ||
	    s->u->now_ns - s->last_snd_ns < s->rto_ns)
		return;
	utcp__cc_event(s, UTCP_CC_IDLE);
	if (utcp__cc_own(s))
		return;
	/* RFC 5681 section 4.1; the way back up is a slow start. */
	rw = utcp__initial_window(s);
	kept = s->cc.cwnd / 4 * 3;
	if (s->cc.ssthresh < kept)
		s->cc.ssthresh = kept;
	if (s->cc.cwnd > rw)
		s->cc.cwnd = rw;
	s->cwnd_limited = false;
	s->cwnd_used = 0;
}
