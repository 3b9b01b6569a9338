/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_rack.c: loss by time, and tail loss probes (RFC 8985).
 *
 * Times are exact: the reordering window of a path with a round trip of tens of
 * microseconds is some microseconds, and its timer goes off then, not at the
 * next tick of a coarse clock.
 */
#include "sock.h"
#include "sockbuf.h"
#include "tcp_loss.h"

/* Our clock is exact, but the peer's scheduler and its batches are not: a probe
   earlier than this is a probe for nothing, as soon as a core is busy. */
#define TLP_MIN (10 * MSEC)
#define TLP_MORE (4 * MSEC)
/* TLP.max_ack_delay: a receiver may wait so long with its ACK of one segment. */
#define TLP_ACK_DELAY (200 * MSEC)
#define REO_PERSIST 16

/* Section 6.2, RACK_sent_after(): whether the newest that arrived was sent after
   seg, up to end. Of one time, the order of sending comes before the numbers: new
   data may have left before what is sent again. */
static inline bool
newest_after(const utcp_sock_t *s, const struct utcp__seg *seg, uint32_t end)
{
	int16_t later = (int16_t)(s->busy->rack_order - seg->order);

	if (s->busy->rack_sent_ns != seg->sent_ns)
		return s->busy->rack_sent_ns > seg->sent_ns;
	return later > 0 || (later == 0 && seq_lt(end, s->rack_end));
}

/* Step 2: the newest segment that arrived, and its round trip. */
void
utcp__rack_delivered(utcp_sock_t *s, struct utcp__ackwork *w,
		     const struct utcp__seg *seg, uint32_t end)
{
	uint64_t rtt = s->u->now_ns - seg->sent_ns;

	if (seg->flags & SEG_EVER) {
		/* Is it the first sending that arrived only now? */
		if (s->negotiated & UTCP_GOT_TIMESTAMPS &&
		    w->in->opts & TO_TS &&
		    seq_lt(w->in->ts_ecr,
			   (uint32_t)(seg->sent_ns / MSEC) + s->ts_ofs))
			return;
		if (rtt < s->min_rtt_ns)
			return;
	}
	s->rack_rtt_ns = rtt;
	if (!newest_after(s, seg, end)) {
		s->busy->rack_sent_ns = seg->sent_ns;
		s->busy->rack_order = seg->order;
		s->rack_end = end;
	}
}

/* Step 4, the first half: a DSACK tells that the window was too short. */
void
utcp__rack_dsack(utcp_sock_t *s, const struct utcp__ackwork *w)
{
	if (s->dsack_round && seq_leq(s->rack_dsack_end, s->snd_una))
		s->dsack_round = false;
	if (!w->dsack || s->dsack_round)
		return;
	s->dsack_round = true;
	s->rack_dsack_end = s->snd_nxt;
	if (s->rack_reo_mult < UINT8_MAX)
		s->rack_reo_mult += s->rack_reo_mult ? 1 : 2;
	s->rack_reo_persist = REO_PERSIST;
}

void
utcp__rack_recovered(utcp_sock_t *s)
{
	if (s->rack_reo_persist && --s->rack_reo_persist == 0)
		s->rack_reo_mult = 1;
}

/* Step 4, RACK_update_reo_wnd() */
static uint64_t
reo_wnd(const utcp_sock_t *s)
{
	uint64_t wnd;

	if (!s->reo_seen &&
	    (s->recovery >= REC_FAST || s->sacked_segs >= DUPTHRESH))
		return 0;
	wnd = s->min_rtt_ns / 4 * (s->rack_reo_mult ? s->rack_reo_mult : 1);
	return wnd < s->srtt_ns ? wnd : s->srtt_ns;
}

/* Step 5, RACK_detect_loss() */
void
utcp__rack_detect(utcp_sock_t *s)
{
	uint64_t wait = 0, wnd, due, now = s->u->now_ns;
	struct utcp__link *l, *next;
	struct utcp__seg *seg;

	l = s->busy->sent.next;
	if (s->busy->rack_sent_ns == 0 || l == &s->busy->sent)
		goto out;
	wnd = reo_wnd(s) + s->rack_rtt_ns;
	for (; l != &s->busy->sent; l = next) {
		next = l->next;
		seg = CONTAINER(l, struct utcp__seg, by_time);
		if (!newest_after(s, seg, seg->seq + seg->len))
			break;
		due = seg->sent_ns + wnd;
		if (due > now) {
			/* So are all behind it. The RFC waits for the last of
			   them; there is no tick here to wait for. */
			wait = due;
			break;
		}
		utcp__mark_lost(s, seg, true);
	}
out:
	if (wait)
		utcp__tm_set(s, UTCP__TM_REO, wait);
	else
		utcp__tm_clear(s, UTCP__TM_REO);
}

void
utcp__rack_timeout(utcp_sock_t *s)
{
	utcp__tm_clear(s, UTCP__TM_REO);
	if (!OPT(s, RACK) || !utcp__has_sack(s) || !s->out_bytes)
		return;
	utcp__rack_detect(s);
	if (link_empty(&s->busy->lost))
		return;
	utcp__losses(s, NULL);
	utcp__prr(s, 0, false);
	utcp__rto_restart(s);
	utcp__want_output(s);
}

/* ---- tail loss probes (section 7) -------------------------------------- */

void
utcp__tlp_schedule(utcp_sock_t *s)
{
	uint64_t pto = SEC, now = s->u->now_ns;
	uint64_t rexmt = s->due[UTCP__TM_REXMT];

	/* Section 7.2: with SACK, nothing SACKed, not in recovery, and one
	   probe at a time. */
	if (!OPT(s, RACK) || !utcp__has_sack(s) || s->sacked_bytes ||
	    s->recovery >= REC_FAST || s->tlp_out || !s->out_bytes ||
	    s->persist) {
		utcp__tm_clear(s, UTCP__TM_TLP);
		return;
	}
	if (s->srtt_ns) {
		pto = 2 * s->srtt_ns;
		if (pto < TLP_MIN - TLP_MORE)
			pto += TLP_MORE;
		else if (pto < TLP_MIN)
			pto = TLP_MIN;
		if (s->out_bytes <= s->mss)
			pto += TLP_ACK_DELAY;
	}
	/* In the place of the timeout, which tlp_sent puts off. */
	if (rexmt != UTCP_NEVER && now + pto > rexmt)
		pto = rexmt > now ? rexmt - now : 0;
	utcp__tm_set(s, UTCP__TM_TLP, now + pto);
}

/* Section 7.3 */
struct utcp__seg *
utcp__tlp_pick(utcp_sock_t *s)
{
	uint32_t unsent = utcp__snd_unsent(s);
	struct utcp__seg *seg;

	if (link_empty(&s->busy->segs) || s->recovery >= REC_FAST)
		return NULL;
	if (unsent > s->mss)
		unsent = s->mss;
	if (unsent && seq_leq(s->snd_nxt + unsent, s->snd_una + s->snd_wnd))
		return NULL;
	seg = CONTAINER(s->busy->segs.prev, struct utcp__seg, link);
	if (seg->len > s->mss) {
		if (utcp__seg_split(s, seg, (seg->len - 1) / s->mss * s->mss))
			return NULL;
		seg = CONTAINER(s->busy->segs.prev, struct utcp__seg, link);
	}
	return seg->flags & SEG_SACKED ? NULL : seg;
}

void
utcp__tlp_sent(utcp_sock_t *s, bool retrans)
{
	s->tlp_out = 1;
	s->tlp_retrans = retrans;
	s->tlp_end = s->snd_nxt;
	COUNT(s->u, TLP);
	utcp__tm_clear(s, UTCP__TM_TLP);
	utcp__rto_restart(s);
}

/* Section 7.4.2 */
void
utcp__tlp_ack(utcp_sock_t *s, const struct utcp__ackwork *w)
{
	uint32_t ack = w->in->ack;

	if (!s->tlp_out || seq_lt(ack, s->tlp_end))
		return;
	if (!s->tlp_retrans) {
		s->tlp_out = 0;
	} else if (w->dsack && w->dsack_blk.end == s->tlp_end) {
		s->tlp_out = 0; /* case 1: both arrived */
	} else if (ack != s->tlp_end) {
		/* case 2: new data is acknowledged and nothing was doubled: the
		   probe repaired a loss, which asks for its reduction. */
		s->tlp_out = 0;
		if (s->recovery <= REC_DISORDER)
			utcp__enter_cwr(s, w->acked, UTCP_CC_LOSS);
	} else if (w->dup && !(w->in->opts & TO_SACK)) {
		s->tlp_out = 0; /* case 3: both arrived, without DSACK */
	}
}
