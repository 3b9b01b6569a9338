/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_recovery.c: what to do about loss: fast recovery (RFC 6675, 6582) with
 * proportional rate reduction (RFC 9937, which was 6937), timeouts (RFC 5681,
 * 6298), ECN's echo (RFC 3168), and undoing all of it when it was for nothing
 * (RFC 5682, 3522, 4015, 3708).
 */
#include "sock.h"
#include "tcp_loss.h"

#define BACKOFF_MAX 16

/* ---- slowing down ------------------------------------------------------ */

/* ssthresh, as the control wants it. */
static void
lower(utcp_sock_t *s, enum utcp_cc_event why)
{
	uint32_t ssthresh = s->cc_mod->ops.ssthresh(utcp__cc_view(s), why);

	utcp__cc_taken(s);
	s->cc.ssthresh = ssthresh;
}

/* acked, sacked: what the ACK that caused it brought. */
static void
reduce(utcp_sock_t *s, uint32_t acked, uint32_t sacked, enum utcp_cc_event why)
{
	if (s->negotiated & UTCP_GOT_ECN)
		s->cwr_owed = true; /* RFC 3168 section 6.1.2 */
	s->tlp_out = 0;
	s->busy->again_ssthresh = 0;
	s->high_seq = s->snd_nxt;
	s->busy->reduced_ns = s->u->now_ns;
	s->busy->prr_delivered = s->busy->prr_out = 0;
	/* RFC 9937 section 6.2: RecoverFS */
	s->busy->prr_fs = s->out_bytes - s->sacked_bytes + sacked + acked;
	if (!s->busy->prr_fs)
		s->busy->prr_fs = 1;
	if (!s->cc_mod)
		return;
	s->busy->prior_cwnd = s->cc.cwnd;
	s->busy->prior_ssthresh = s->cc.ssthresh;
	if (!utcp__cc_own(s))
		lower(s, why);
}

static void
undo_arm(utcp_sock_t *s)
{
	s->undo_armed = true;
	s->undo_sent = false;
	s->busy->undo_una = s->snd_una;
	s->busy->undo_end = s->snd_nxt;
	s->busy->undo_retrans = 0;
}

void
utcp__enter_cwr(utcp_sock_t *s, uint32_t acked, enum utcp_cc_event why)
{
	reduce(s, acked, 0, why);
	s->undo_armed = false;
	s->recovery = REC_CWR;
	utcp__cc_event(s, why);
}

static void
enter_fast(utcp_sock_t *s, const struct utcp__ackwork *w)
{
	COUNT(s->u, FAST_RECOVERY);
	s->loss_seen = false;
	/* One reduction a window, if it was ECN that asked first. */
	if (s->recovery == REC_CWR) {
		s->high_seq = s->snd_nxt;
	} else {
		reduce(s, w ? w->acked : 0, w ? w->sacked : 0, UTCP_CC_LOSS);
		undo_arm(s);
	}
	s->recovery = REC_FAST;
	utcp__tm_clear(s, UTCP__TM_TLP);
	utcp__cc_event(s, UTCP_CC_LOSS);
}

/*
 * RFC 5681 section 4.3 wants the window lowered once more for a retransmission
 * that was lost, if it was sent after the last time: RFC 6675 leaves that to the
 * timeout, RFC 8985 to this. PRR goes on towards what it goes to; the window is
 * lowered when it is there. After a timeout it ends slow start.
 */
static void
lost_again(utcp_sock_t *s, const struct utcp__ackwork *w)
{
	uint32_t cwnd = s->cc.cwnd, ssthresh = s->cc.ssthresh;

	if (s->recovery == REC_LOSS) {
		s->frto = s->frto_new = false;
		enter_fast(s, w);
		return;
	}
	s->busy->reduced_ns = s->u->now_ns;
	s->cc.cwnd = s->busy->again_ssthresh ? s->busy->again_ssthresh
					     : ssthresh;
	lower(s, UTCP_CC_LOSS);
	s->busy->again_ssthresh = s->cc.ssthresh;
	s->cc.cwnd = cwnd;
	s->cc.ssthresh = ssthresh;
}

void
utcp__losses(utcp_sock_t *s, const struct utcp__ackwork *w)
{
	if (s->loss_seen && s->recovery < REC_FAST)
		enter_fast(s, w);
	else if (s->again_seen && s->recovery >= REC_FAST && s->cc_mod &&
		 !utcp__cc_own(s))
		lost_again(s, w);
	s->again_seen = false;
}

/* RFC 9937 section 6.2 */
void
utcp__prr(utcp_sock_t *s, uint32_t delivered, bool safe)
{
	uint32_t pipe = utcp__inflight(s), mss = s->mss, most;
	uint32_t ssthresh = s->cc.ssthresh;
	int64_t n;

	if ((s->recovery != REC_FAST && s->recovery != REC_CWR) || !s->cc_mod ||
	    utcp__cc_own(s))
		return;
	s->busy->prr_delivered += delivered;
	if (pipe > ssthresh) {
		n = (int64_t)(((uint64_t)s->busy->prr_delivered * ssthresh +
			       s->busy->prr_fs - 1) /
			      s->busy->prr_fs) -
		    s->busy->prr_out;
	} else {
		n = (int64_t)s->busy->prr_delivered - s->busy->prr_out;
		n = n > delivered ? n : delivered;
		n += safe ? mss : 0;
		most = ssthresh - pipe;
		n = n < most ? n : most;
	}
	/* The first retransmission is sent at once, and without SACK each
	   (RFC 6582 section 3.2, step 3): what it waits for comes slowly. */
	if (n < mss && (s->busy->prr_out == 0 ||
			(!utcp__has_sack(s) && !link_empty(&s->busy->lost))))
		n = mss;
	s->cc.cwnd = pipe + (n > 0 ? (uint32_t)n : 0);
	if (s->cc.cwnd < mss)
		s->cc.cwnd = mss;
}

/* ---- it is over -------------------------------------------------------- */

static void
leave(utcp_sock_t *s)
{
	bool slow = s->recovery == REC_CWR || s->recovery == REC_FAST;

	if (s->recovery >= REC_FAST)
		utcp__rack_recovered(s);
	s->recovery = REC_OPEN;
	s->frto = s->frto_new = false;
	/* What is lost behind the recovery point is another event. */
	s->loss_seen = s->lost_bytes > 0;
	if (slow && s->cc_mod && !utcp__cc_own(s) &&
	    s->cc.ssthresh != UINT32_MAX) {
		if (s->busy->again_ssthresh)
			s->cc.ssthresh = s->busy->again_ssthresh;
		s->cc.cwnd = s->cc.ssthresh;
	}
	utcp__cc_event(s, UTCP_CC_RECOVERED);
}

/* RFC 4015 section 3.2, with what the control thinks right. */
static void
undo(utcp_sock_t *s)
{
	const struct utcp__cc_mod *mod = s->cc_mod;
	uint32_t cwnd = s->busy->prior_cwnd;

	COUNT(s->u, UNDO);
	s->undo_armed = false;
	s->frto = s->frto_new = false;
	s->backoff = 0;
	s->recovery = REC_OPEN;
	s->loss_seen = false;
	if (!mod)
		return;
	if (mod->ops.undo) {
		cwnd = mod->ops.undo(utcp__cc_view(s));
		utcp__cc_taken(s);
	}
	if (!utcp__cc_own(s) && s->cc.cwnd < cwnd)
		s->cc.cwnd = cwnd;
	if (!utcp__cc_own(s) && s->cc.ssthresh < s->busy->prior_ssthresh)
		s->cc.ssthresh = s->busy->prior_ssthresh;
	utcp__cc_event(s, UTCP_CC_UNDO);
}

/* RFC 3522: the ACK echoes a time before the first retransmission, or there was
   none: what arrived is what had been sent first. */
static bool
eifel(const utcp_sock_t *s, const struct utcp__ackwork *w)
{
	if (!s->undo_armed || !w->acked || !s->busy->prior_cwnd)
		return false;
	if (!s->undo_sent)
		return true;
	return s->negotiated & UTCP_GOT_TIMESTAMPS && w->in->opts & TO_TS &&
	       seq_lt(w->in->ts_ecr, s->busy->retrans_ts);
}

/* RFC 3708: each byte that was sent again came twice. */
static bool
all_dsacked(utcp_sock_t *s, const struct utcp__ackwork *w)
{
	const struct utcp__sackblk *b = &w->dsack_blk;

	/* Without prior_cwnd the connection rested meanwhile, and forgot. */
	if (!s->undo_armed || !s->undo_sent || !w->dsack ||
	    !s->busy->prior_cwnd || seq_lt(b->start, s->busy->undo_una))
		return false;
	s->busy->undo_retrans -= (int32_t)(b->end - b->start);
	return s->busy->undo_retrans <= 0;
}

/* ---- timeouts ---------------------------------------------------------- */

void
utcp__loss_timeout(utcp_sock_t *s)
{
	bool again = s->recovery == REC_LOSS && s->backoff > 0;
	bool rack = OPT(s, RACK) && utcp__has_sack(s) && s->rack_rtt_ns;
	struct utcp__link *l, *next;
	struct utcp__seg *seg;

	if (!link_empty(&s->busy->segs) &&
	    utcp__first_seg(s)->flags & SEG_SACKED)
		utcp__sack_renege(s);
	s->frto = !s->pmtu_probing;
	s->frto_new = false;
	/* RFC 5681 section 3.1, equation 4: once for what timed out. */
	if (!again) {
		uint32_t cwnd = s->busy->prior_cwnd,
			 ssthresh = s->busy->prior_ssthresh;
		bool slowed = s->recovery == REC_FAST;

		reduce(s, 0, 0, UTCP_CC_TIMEOUT);
		if (slowed) {
			s->busy->prior_cwnd = cwnd;
			s->busy->prior_ssthresh = ssthresh;
		}
		undo_arm(s);
	}
	s->recovery = REC_LOSS;
	s->high_seq = s->snd_nxt;
	s->dupacks = 0;
	if (!utcp__has_sack(s))
		s->sacked_bytes = 0;
	/* RFC 8985 section 6.3: what was sent a moment ago is not lost. */
	for (l = s->busy->sent.next; l != &s->busy->sent; l = next) {
		next = l->next;
		seg = CONTAINER(l, struct utcp__seg, by_time);
		if (!rack || s->busy->segs.next == &seg->link ||
		    seg->sent_ns + s->rack_rtt_ns <= s->u->now_ns)
			utcp__mark_lost(s, seg, true);
	}
	s->loss_seen = s->again_seen = false;
	if (s->backoff < BACKOFF_MAX)
		s->backoff++;
	if (s->cc_mod && !utcp__cc_own(s))
		s->cc.cwnd = utcp__inflight(s) + s->mss;
	utcp__cc_event(s, UTCP_CC_TIMEOUT);
	utcp__tm_clear(s, UTCP__TM_TLP);
	utcp__tm_clear(s, UTCP__TM_REO);
	utcp__rto_restart(s);
	utcp__want_output(s);
}

static void
undo_timeout(utcp_sock_t *s)
{
	utcp__unmark_lost(s);
	undo(s);
}

/* What was taken for lost was late: reordering, which no segment that was sent
   once could tell, as we were too quick each time. */
static void
undo_fast(utcp_sock_t *s)
{
	s->reo_seen = true;
	if (s->reordering <= REORDERING_MAX / 2)
		s->reordering *= 2;
	COUNT(s->u, REORDER);
	undo(s);
}

/* An ACK in REC_LOSS. */
static void
loss_ack(utcp_sock_t *s, struct utcp__ackwork *w)
{
	bool recovered = seq_leq(s->high_seq, s->snd_una);

	if (eifel(s, w) || all_dsacked(s, w)) {
		undo_timeout(s);
		return;
	}
	if (s->frto) {
		/* RFC 5682 section 2.1; without SACK what retransmissions
		   repaired cannot be told from what had arrived. */
		if (w->orig && (utcp__has_sack(s) || !w->retrans)) {
			undo_timeout(s); /* step 3b */
			return;
		}
		if (seq_lt(s->high_seq, s->snd_nxt)) {
			if (w->sacked || w->dup) /* step 3a */
				s->frto = s->frto_new = false;
		} else if (w->acked && !recovered) {
			s->frto_new = true; /* step 2b */
		} else if (w->dup) {
			s->frto = false; /* step 2a */
		}
	}
	if (recovered)
		leave(s);
}

/* ---- fast recovery ----------------------------------------------------- */

static void
fast_ack(utcp_sock_t *s, struct utcp__ackwork *w)
{
	bool over = seq_leq(s->high_seq, s->snd_una);

	if (all_dsacked(s, w) || (over && eifel(s, w))) {
		utcp__unmark_lost(s);
		utcp__rack_recovered(s);
		undo_fast(s);
	} else if (over) {
		leave(s);
	} else if (eifel(s, w) && !s->retrans_bytes) {
		/* A part came late; nothing of ours is on the way. */
		utcp__unmark_lost(s);
		undo_fast(s);
	}
}

static void
detect(utcp_sock_t *s, const struct utcp__ackwork *w)
{
	if (utcp__has_sack(s)) {
		if (OPT(s, RACK))
			utcp__rack_detect(s);
		else
			utcp__sack_mark(s);
		return;
	}
	if (s->recovery == REC_FAST) {
		/* RFC 6582 section 3.2, step 3: a partial acknowledgement. */
		if (w->acked)
			utcp__reno_mark(s);
	} else if (s->recovery < REC_FAST && s->dupacks >= DUPTHRESH &&
		   seq_lt(s->high_seq, s->snd_una)) {
		/* Step 2: not for what the last recovery sent twice. */
		utcp__reno_mark(s);
	}
}

/* RFC 3168 section 6.1.2 */
static void
ecn_echo(utcp_sock_t *s, const struct utcp__ackwork *w)
{
	if (UNLIKELY(s->negotiated & UTCP_GOT_EXT_ECN)) {
		if (!w->ce)
			return;
		s->delivered_ce += w->ce;
	} else {
		if (!(w->in->flags & TH_ECE) || w->in->flags & TH_SYN ||
		    !(s->negotiated & UTCP_GOT_ECN))
			return;
		s->delivered_ce += w->delivered;
	}
	COUNT(s->u, ECN_ECE);
	/* Who hears how much was marked may answer by himself. */
	if (s->negotiated & UTCP_GOT_EXT_ECN && s->cc_mod &&
	    s->cc_mod->ops.flags & UTCP_CC_OWN_ECN)
		return;
	/* Up to the ACK of the segment that said CWR, the first beyond
	   high_seq, the echo is of what was answered already. */
	if (s->recovery <= REC_DISORDER && seq_lt(s->high_seq, s->snd_una) &&
	    s->out_bytes + w->acked > 0)
		utcp__enter_cwr(s, w->acked, UTCP_CC_ECN);
}

void
utcp__recovery_ack(utcp_sock_t *s, struct utcp__ackwork *w)
{
	uint8_t before = s->recovery;

	utcp__tlp_ack(s, w);
	switch (s->recovery) {
	case REC_LOSS:
		loss_ack(s, w);
		break;
	case REC_FAST:
		fast_ack(s, w);
		break;
	case REC_CWR:
		if (w->acked && seq_leq(s->high_seq, s->snd_una))
			leave(s);
		break;
	default:
		/* The DSACKs may come when recovery is over already. */
		if (w->dsack && all_dsacked(s, w))
			undo_fast(s);
		break;
	}
	w->recovered = s->recovery <= REC_DISORDER &&
		       (before == REC_CWR || before == REC_FAST);
	ecn_echo(s, w);
	detect(s, w);
	utcp__losses(s, w);
	if (s->recovery == REC_CWR && !s->out_bytes)
		leave(s); /* nobody else will come to end it */
	if (s->recovery <= REC_DISORDER) {
		s->recovery = s->sacked_bytes ? REC_DISORDER : REC_OPEN;
		/* The mark must not be overtaken by the sequence space. */
		if (seq_lt(s->high_seq, s->snd_una))
			s->high_seq = s->snd_una - 1;
		/* A flight later nothing can come of it any more. */
		if (!s->out_bytes && s->undo_armed &&
		    seq_lt(s->busy->undo_end, s->snd_una))
			s->undo_armed = false;
	}
}

/* ---- path MTU ---------------------------------------------------------- */

/* Whether seg, and what is before it, goes again as new segments. */
static bool
is_joinable(const utcp_sock_t *s, const struct utcp__seg *seg)
{
	return seg->unit > s->mss &&
	       (seg->flags & (SEG_LOST | SEG_RETRANS | SEG_SYN)) == SEG_LOST;
}

void
utcp__mtu_resend(utcp_sock_t *s)
{
	struct utcp__seg *seg, *before = NULL, *next;
	uint32_t unit;

	if (link_empty(&s->busy->segs))
		return;
	for (seg = utcp__first_seg(s); seg; seg = next) {
		next = utcp__next_seg(s, seg);
		/* A record of several may have been cut small enough. */
		unit = seg->len < seg->unit ? seg->len : seg->unit;
		if (unit > s->mss)
			utcp__mark_lost(s, seg, false);
		/* Neighbours are cut anew, not each into a full segment and a
		   crumb. */
		if (before && is_joinable(s, before) && is_joinable(s, seg)) {
			before->len += seg->len;
			before->flags |= seg->flags & (SEG_FIN | SEG_EVER);
			utcp__seg_free(s, seg);
		} else {
			before = seg;
		}
	}
	utcp__want_output(s);
}
