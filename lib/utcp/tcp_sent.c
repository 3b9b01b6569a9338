/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_sent.c: what was sent and is not acknowledged yet: records of it, made,
 * cut, found again and given back. Their fate is tcp_sack.c's.
 */
#include "sockbuf.h"
#include "tcp_loss.h"

/* ---- what is sent ------------------------------------------------------ */

/* RFC 7661's question, as far as a sender has to know: was the window used? */
static void
note_used(utcp_sock_t *s)
{
	uint32_t inflight = utcp__inflight(s), cwnd = s->cc.cwnd;
	uint32_t slack = cwnd / 16 > s->mss ? cwnd / 16 : s->mss;
	bool limited = inflight + slack > cwnd;

	if (!seq_lt(s->snd_una, s->cwnd_used_seq) || limited ||
	    (!s->cwnd_limited && inflight > s->cwnd_used)) {
		s->cwnd_limited = limited;
		s->cwnd_used = inflight;
		s->cwnd_used_seq = s->snd_nxt;
	}
}

/* What both ways of sending have in common. */
static void
note_sent(utcp_sock_t *s, struct utcp__seg *seg)
{
	const struct utcp__cc_mod *mod = s->cc_mod;

	seg->sent_ns = s->u->now_ns;
	seg->order = s->busy->sent_order++;
	seg->unit = s->mss;
	if (seg->times < UINT8_MAX)
		seg->times++;
	link_append(&s->busy->sent, &seg->by_time);
	s->last_snd_ns = s->u->now_ns;
	utcp__rate_sent(s, seg);
	if (s->recovery == REC_CWR || s->recovery == REC_FAST)
		s->busy->prr_out += seg->len;
	if (mod && mod->ops.sent) {
		mod->ops.sent(utcp__cc_view(s), seg->len);
		utcp__cc_taken(s);
	}
}

int
utcp__seg_sent(utcp_sock_t *s, uint32_t seq, uint32_t len, uint16_t flags)
{
	struct utcp__seg *seg = utcp__pool_get(s->u, UTCP__POOL_SEG);

	UTCP_ASSERT(seq == s->snd_nxt && len > 0);
	if (!seg)
		return -ENOMEM;
	if (link_empty(&s->busy->segs)) {
		/* The marks in the sequence space are stale after a rest. */
		s->fack = seq;
		if (flags & SEG_SYN)
			s->high_seq = seq;
		s->busy->progress_ns = s->u->now_ns;
		if (!s->rto_ns)
			s->rto_ns = (uint64_t)OPT(s, INITRTO_NS);
	}
	seg->seq = seq;
	seg->len = len;
	seg->flags = flags;
	link_append(&s->busy->segs, &seg->link);
	s->snd_nxt = seq + len;
	s->out_bytes += len;
	note_sent(s, seg);
	if (s->cc_mod)
		note_used(s);
	/* RFC 6298 (5.1) */
	if (s->due[UTCP__TM_REXMT] == UTCP_NEVER || s->persist ||
	    s->out_bytes == len)
		utcp__rto_restart(s);
	utcp__tlp_schedule(s);
	return 0;
}

void
utcp__seg_resent(utcp_sock_t *s, struct utcp__seg *seg)
{
	uint32_t n = utcp__num_segs(s, seg->len);

	link_remove(&seg->by_time);
	if (!(seg->flags & SEG_RETRANS)) {
		seg->flags |= SEG_RETRANS;
		s->retrans_bytes += seg->len;
	}
	seg->flags |= SEG_EVER;
	seg->flags &= (uint16_t)~SEG_PROBE;
	note_sent(s, seg);
	if (s->undo_armed) {
		/* Saturates: an undo that needs more than 2 GB of DSACKs. */
		if (s->busy->undo_retrans < INT32_MAX - (int32_t)seg->len)
			s->busy->undo_retrans += (int32_t)seg->len;
		if (!s->undo_sent) {
			s->undo_sent = true;
			s->busy->retrans_ts = utcp__ts_now(s->u, s->ts_ofs);
		}
	}
	s->total_retrans += n;
	s->bytes_retrans += seg->len;
	COUNT_N(s->u, RETRANS_SEGS, n);
	if (s->busy->segs.next == &seg->link ||
	    s->due[UTCP__TM_REXMT] == UTCP_NEVER)
		utcp__rto_restart(s);
}

int
utcp__seg_split(utcp_sock_t *s, struct utcp__seg *seg, uint32_t n)
{
	struct utcp__seg *rest;

	if (n == 0 || n >= seg->len)
		return 0;
	rest = utcp__pool_get(s->u, UTCP__POOL_SEG);
	if (!rest)
		return -ENOMEM;
	*rest = *seg;
	rest->seq = seg->seq + n;
	rest->len = seg->len - n;
	seg->len = n;
	rest->flags &= (uint16_t)~(SEG_SYN | SEG_PROBE);
	seg->flags &= (uint16_t)~(SEG_FIN | SEG_PROBE);
	/* Behind seg in both lists. */
	rest->link.prev = &seg->link;
	rest->link.next = seg->link.next;
	rest->link.next->prev = &rest->link;
	seg->link.next = &rest->link;
	if (link_empty(&seg->by_time)) {
		link_init(&rest->by_time);
	} else {
		rest->by_time.prev = &seg->by_time;
		rest->by_time.next = seg->by_time.next;
		rest->by_time.next->prev = &rest->by_time;
		seg->by_time.next = &rest->by_time;
	}
	return 0;
}

struct utcp__seg *
utcp__next_lost(utcp_sock_t *s)
{
	if (link_empty(&s->busy->lost))
		return NULL;
	if (s->frto_new) {
		/* RFC 5682 section 2.1, step 2b: new data decides whether the
		   timeout was spurious; 2a if there is none to send. */
		uint32_t n = utcp__snd_unsent(s);

		n = n < s->mss ? n : s->mss;
		if (seq_lt(s->high_seq, s->snd_nxt) ||
		    (n && seq_leq(s->snd_nxt + n, s->snd_una + s->snd_wnd)))
			return NULL;
		s->frto = s->frto_new = false;
	}
	return CONTAINER(s->busy->lost.next, struct utcp__seg, by_time);
}

/* ---- its end ----------------------------------------------------------- */

void
utcp__seg_free(utcp_sock_t *s, struct utcp__seg *seg)
{
	if (s->busy->sackc && s->busy->sackc->hint == seg)
		s->busy->sackc->hint = utcp__next_seg(s, seg);
	link_remove(&seg->link);
	link_remove(&seg->by_time);
	utcp__pool_put(s->u, UTCP__POOL_SEG, seg);
}

void
utcp__sackcache_free(utcp_sock_t *s)
{
	if (s->busy->sackc)
		utcp__free(s->u, s->busy->sackc, sizeof(*s->busy->sackc));
	s->busy->sackc = NULL;
}

void
utcp__segs_drop(utcp_sock_t *s)
{
	while (!link_empty(&s->busy->segs))
		utcp__seg_free(s, utcp__first_seg(s));
	utcp__sackcache_free(s);
	s->out_bytes = s->sacked_bytes = s->lost_bytes = s->retrans_bytes = 0;
	s->sacked_segs = 0;
}
