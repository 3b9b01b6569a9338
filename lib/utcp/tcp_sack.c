/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_sack.c: the scoreboard (RFC 2018, 2883, 6675): what was sent, in order of
 * sequence numbers (s->busy->segs), and what of it is on its way, in order of time
 * (s->busy->sent).
 *
 * A segment is in s->busy->sent while a copy of it may be in the network: neither
 * SACKed, nor LOST and not yet sent again. A retransmitted one stays LOST, with
 * RETRANS, so that the pipe counts it once: out - sacked - lost + retrans.
 */
#include "tcp_loss.h"
#include "tcp_output.h"

static inline uint32_t
seg_end(const struct utcp__seg *seg)
{
	return seg->seq + seg->len;
}

/* ---- what is lost ------------------------------------------------------ */

static inline uint32_t
seq_of(const struct utcp__link *by_time)
{
	return CONTAINER(by_time, struct utcp__seg, by_time)->seq;
}

/* Into s->busy->lost, from the nearer end: what is found to be lost comes in
   order, but retransmissions that were lost are before the rest. */
static void
lost_insert(utcp_sock_t *s, struct utcp__seg *seg)
{
	struct utcp__link *list = &s->busy->lost, *l = list->prev;

	if (l != list && seq_lt(seg->seq, seq_of(l)) &&
	    seg->seq - s->snd_una < seq_of(l) - seg->seq) {
		for (l = list->next; seq_lt(seq_of(l), seg->seq); l = l->next)
			;
		l = l->prev;
	} else {
		while (l != list && seq_lt(seg->seq, seq_of(l)))
			l = l->prev;
	}
	seg->by_time.prev = l;
	seg->by_time.next = l->next;
	l->next->prev = &seg->by_time;
	l->next = &seg->by_time;
}

void
utcp__mark_lost(utcp_sock_t *s, struct utcp__seg *seg, bool blame)
{
	if (seg->flags & SEG_SACKED ||
	    (seg->flags & (SEG_LOST | SEG_RETRANS)) == SEG_LOST)
		return;
	if (seg->flags & SEG_RETRANS) {
		seg->flags &= (uint16_t)~SEG_RETRANS;
		s->retrans_bytes -= seg->len;
		if (blame && seg->sent_ns >= s->busy->reduced_ns)
			s->again_seen = true;
	}
	if (!(seg->flags & SEG_LOST)) {
		seg->flags |= SEG_LOST;
		s->lost_bytes += seg->len;
	}
	link_remove(&seg->by_time);
	lost_insert(s, seg);
	if (seg->flags & SEG_PROBE) {
		/* RFC 4821 section 7.5: a lost probe is no congestion. */
		seg->flags &= (uint16_t)~SEG_PROBE;
		utcp__mtu_probe_lost(s);
		return;
	}
	s->lost += seg->len;
	if (blame)
		s->loss_seen = true;
}

/* Into s->busy->sent by time; from `near` on, an element of the list. */
static struct utcp__link *
sent_insert(utcp_sock_t *s, struct utcp__link *near, struct utcp__seg *seg)
{
	struct utcp__link *l = near;

	while (l != &s->busy->sent &&
	       CONTAINER(l, struct utcp__seg, by_time)->sent_ns > seg->sent_ns)
		l = l->prev;
	while (l->next != &s->busy->sent &&
	       CONTAINER(l->next, struct utcp__seg, by_time)->sent_ns <=
		   seg->sent_ns)
		l = l->next;
	seg->by_time.prev = l;
	seg->by_time.next = l->next;
	l->next->prev = &seg->by_time;
	l->next = &seg->by_time;
	return &seg->by_time;
}

void
utcp__unmark_lost(utcp_sock_t *s)
{
	struct utcp__link *l, *at = &s->busy->sent;
	struct utcp__seg *seg;

	for (l = s->busy->segs.next; l != &s->busy->segs; l = l->next) {
		seg = CONTAINER(l, struct utcp__seg, link);
		if (!(seg->flags & SEG_LOST))
			continue;
		seg->flags &= (uint16_t)~SEG_LOST;
		if (seg->flags & SEG_RETRANS)
			continue;
		link_remove(&seg->by_time);
		at = sent_insert(s, at, seg);
	}
	s->lost_bytes = 0;
	s->loss_seen = false;
}

void
utcp__sack_renege(utcp_sock_t *s)
{
	struct utcp__link *l, *at = &s->busy->sent;
	struct utcp__seg *seg;

	for (l = s->busy->segs.next; l != &s->busy->segs; l = l->next) {
		seg = CONTAINER(l, struct utcp__seg, link);
		if (!(seg->flags & SEG_SACKED))
			continue;
		seg->flags &= (uint16_t)~SEG_SACKED;
		at = sent_insert(s, at, seg);
	}
	s->sacked_bytes = s->sacked_segs = 0;
	s->fack = s->snd_una;
	utcp__sackcache_free(s);
}

void
utcp__sack_mark(utcp_sock_t *s)
{
	uint32_t segs = 0, bytes = 0, above;
	struct utcp__link *l, *next;
	struct utcp__seg *seg;
	uint32_t thresh = s->out_bytes / s->mss - 1;

	if (!s->sacked_bytes || s->out_bytes < s->mss)
		return;
	/* As many as were seen to overtake, but no more than there will be. */
	thresh = thresh < s->reordering ? thresh : s->reordering;
	thresh = thresh > DUPTHRESH ? thresh : DUPTHRESH;
	l = s->busy->sackc && s->busy->sackc->hint ? &s->busy->sackc->hint->link
						   : s->busy->segs.prev;
	while (l->next != &s->busy->segs &&
	       seq_lt(CONTAINER(l, struct utcp__seg, link)->seq, s->fack))
		l = l->next;
	/* Down from the highest until enough is SACKed above. */
	for (above = s->fack; l != &s->busy->segs; l = l->prev) {
		seg = CONTAINER(l, struct utcp__seg, link);
		if (!(seg->flags & SEG_SACKED))
			continue;
		segs += utcp__num_segs(s, seg->len);
		bytes += seg->len;
		above = seg->seq;
		if (segs >= thresh || bytes > (thresh - 1) * s->mss)
			break;
	}
	if (l == &s->busy->segs)
		return;
	/* A record may hold more than it takes: it ends the search all the
	   same, as what is below it has all of it above. */
	for (l = s->busy->sent.next; l != &s->busy->sent; l = next) {
		next = l->next;
		seg = CONTAINER(l, struct utcp__seg, by_time);
		if (seg->flags & SEG_RETRANS)
			continue;
		if (!seq_lt(seg->seq, above))
			break;
		utcp__mark_lost(s, seg, true);
	}
}

/* ---- SACK blocks ------------------------------------------------------- */

void
utcp__seg_delivered(utcp_sock_t *s, struct utcp__ackwork *w,
		    struct utcp__seg *seg, uint32_t n)
{
	uint32_t end = seg->seq + n, dist;
	uint64_t rtt;

	if (s->acked_max < seg->unit && s->acked_max < n)
		s->acked_max = n < seg->unit ? (uint16_t)n : seg->unit;
	w->delivered += n;
	if (UNLIKELY(s->ext != NULL))
		w->segs += seg->unit ? (n + seg->unit - 1) / seg->unit : 1;
	if (seg->flags & SEG_EVER) {
		w->retrans = true; /* Karn: no sample */
	} else {
		rtt = s->u->now_ns - seg->sent_ns;
		rtt += rtt == 0;
		if (rtt > w->rtt_ns)
			w->rtt_ns = rtt;
		w->rtt_last_ns = rtt;
		if (seq_leq(end, s->high_seq))
			w->orig = true;
		/* RFC 8985 section 6.2, step 3 */
		if (seq_lt(end, s->fack)) {
			dist = (s->fack - seg->seq) / (s->mss ? s->mss : 1);
			dist = dist < REORDERING_MAX ? dist : REORDERING_MAX;
			if (dist > s->reordering)
				s->reordering = (uint16_t)dist;
			s->reo_seen = true;
			COUNT(s->u, REORDER);
		}
	}
	if (seq_lt(s->fack, end))
		s->fack = end;
	if (seg->flags & SEG_PROBE) {
		seg->flags &= (uint16_t)~SEG_PROBE;
		w->probed = true;
	}
	utcp__rate_delivered(s, w, seg, end);
	utcp__rack_delivered(s, w, seg, end);
}

static void
sack_seg(utcp_sock_t *s, struct utcp__ackwork *w, struct utcp__seg *seg)
{
	utcp__seg_delivered(s, w, seg, seg->len);
	w->sacked += seg->len;
	s->sacked_bytes += seg->len;
	s->sacked_segs += utcp__num_segs(s, seg->len);
	if (seg->flags & SEG_LOST)
		s->lost_bytes -= seg->len;
	if (seg->flags & SEG_RETRANS)
		s->retrans_bytes -= seg->len;
	seg->flags &= (uint16_t)~(SEG_LOST | SEG_RETRANS);
	seg->flags |= SEG_SACKED;
	link_remove(&seg->by_time);
}

/* What the peer has needs no more than to be counted: neighbours become one
   record, so that a walk meets holes, not segments. Returns seg's record. */
static struct utcp__seg *
sack_merge(utcp_sock_t *s, struct utcp__seg *seg)
{
	struct utcp__seg *next = utcp__next_seg(s, seg), *prev;

	if (next && next->flags & SEG_SACKED) {
		seg->len += next->len;
		seg->flags |= next->flags & SEG_FIN;
		utcp__seg_free(s, next);
	}
	if (seg->link.prev == &s->busy->segs)
		return seg;
	prev = CONTAINER(seg->link.prev, struct utcp__seg, link);
	if (!(prev->flags & SEG_SACKED))
		return seg;
	prev->len += seg->len;
	prev->flags |= seg->flags & SEG_FIN;
	utcp__seg_free(s, seg);
	return prev;
}

/* The part of seg that the block covers, in whole segments as they were sent:
   less cannot have been SACKed by who plays fair, and who does not shall not
   make crumbs of our records. Returns what follows in the list. */
static struct utcp__seg *
sack_part(utcp_sock_t *s, struct utcp__ackwork *w, struct utcp__seg *seg,
	  const struct utcp__sackblk *b)
{
	uint32_t unit = seg->unit ? seg->unit : 1, from = 0, to = seg->len;

	if (seq_lt(seg->seq, b->start))
		from = (b->start - seg->seq + unit - 1) / unit * unit;
	if (seq_lt(b->end, seg_end(seg)))
		to = (b->end - seg->seq) / unit * unit;
	if (from < to && to <= seg->len && utcp__seg_split(s, seg, to) == 0 &&
	    (from == 0 || utcp__seg_split(s, seg, from) == 0)) {
		if (from)
			seg = utcp__next_seg(s, seg);
		sack_seg(s, w, seg);
		seg = sack_merge(s, seg);
		s->busy->sackc->hint = seg;
	}
	return utcp__next_seg(s, seg);
}

/* Where to begin to look for seq: the first, the last, or the hint. */
static struct utcp__seg *
sack_near(const utcp_sock_t *s, uint32_t seq)
{
	struct utcp__seg *first = utcp__first_seg(s),
			 *hint = s->busy->sackc->hint;
	struct utcp__seg *last = CONTAINER(s->busy->segs.prev, struct utcp__seg,
					   link);
	uint32_t far = seq - s->snd_una, end = s->snd_nxt - seq, d;

	if (hint) {
		d = hint->seq - seq;
		d = d & 1u << 31 ? -d : d;
		if (d <= far && d <= end)
			return hint;
	}
	return end < far ? last : first;
}

/* Of block b the bytes [from, to), which no block said before. */
static void
sack_range(utcp_sock_t *s, struct utcp__ackwork *w, uint32_t from, uint32_t to,
	   const struct utcp__sackblk *b)
{
	struct utcp__seg *seg;

	if (!seq_lt(from, to))
		return;
	seg = sack_near(s, from);
	while (seq_lt(from, seg->seq) && &seg->link != s->busy->segs.next)
		seg = CONTAINER(seg->link.prev, struct utcp__seg, link);
	while (seg && seq_leq(seg_end(seg), from))
		seg = utcp__next_seg(s, seg);
	while (seg && seq_lt(seg->seq, to)) {
		s->busy->sackc->hint = seg;
		seg = seg->flags & SEG_SACKED ? utcp__next_seg(s, seg)
					      : sack_part(s, w, seg, b);
	}
}

/* [from, to) of b without what the cached blocks from i on cover. */
static void
sack_new(utcp_sock_t *s, struct utcp__ackwork *w, uint32_t from, uint32_t to,
	 unsigned int i, const struct utcp__sackblk *b)
{
	const struct utcp__sackcache *c = s->busy->sackc;
	uint32_t start, end;

	for (; i < c->num && seq_lt(from, to); i++) {
		start = c->blk[i].start;
		end = c->blk[i].end;
		if (!seq_lt(from, end) || !seq_lt(start, to))
			continue;
		if (seq_lt(from, start))
			sack_new(s, w, from, start, i + 1, b);
		from = end;
	}
	sack_range(s, w, from, to, b);
}

/* RFC 2883 section 4: the first block is below the cumulative ACK, or within
   the second. */
static bool
take_dsack(utcp_sock_t *s, struct utcp__ackwork *w)
{
	const struct utcp__sackblk *b = w->in->sacks;

	if (!seq_lt(b->start, b->end) || !seq_leq(b->end, s->snd_nxt))
		return false;
	if (!seq_lt(b->start, s->snd_una) &&
	    !(w->in->num_sacks > 1 && seq_leq(b[1].start, b->start) &&
	      seq_leq(b->end, b[1].end)))
		return false;
	s->dsack_dups++;
	COUNT(s->u, DSACK_IN);
	/* What the network doubled says nothing of our retransmissions. */
	if (s->dsack_dups <= s->total_retrans) {
		w->dsack = true;
		w->dsack_blk = *b;
	}
	return true;
}

void
utcp__sack_blocks(utcp_sock_t *s, struct utcp__ackwork *w)
{
	struct utcp__sackblk b[4];
	struct utcp__sackcache *c = s->busy->sackc;
	unsigned int i, num = 0;

	i = take_dsack(s, w) ? 1 : 0;
	for (; i < w->in->num_sacks && i < 4; i++) {
		b[num] = w->in->sacks[i];
		if (seq_lt(b[num].start, s->snd_una))
			b[num].start = s->snd_una;
		/* Of what was never sent, or backwards: not taken. */
		if (seq_lt(b[num].start, b[num].end) &&
		    seq_leq(b[num].end, s->snd_nxt))
			num++;
	}
	if (num == 0 || link_empty(&s->busy->segs))
		return;
	if (!c) {
		c = s->busy->sackc = utcp__alloc(s->u, sizeof(*c));
		if (!c)
			return;
	}
	for (i = 0; i < num; i++)
		sack_new(s, w, b[i].start, b[i].end, 0, &b[i]);
	memcpy(c->blk, b, num * sizeof(b[0]));
	c->num = num;
}

/* ---- without SACK ------------------------------------------------------ */

/* At least one segment is what the duplicate ACKs wait for. */
static void
reno_clamp(utcp_sock_t *s)
{
	uint32_t holes = s->lost_bytes > s->mss ? s->lost_bytes : s->mss;
	uint32_t most = s->out_bytes > holes ? s->out_bytes - holes : 0;

	if (s->sacked_bytes > most)
		s->sacked_bytes = most;
}

void
utcp__reno_add(utcp_sock_t *s, struct utcp__ackwork *w)
{
	uint32_t before = s->sacked_bytes;

	if (s->dupacks < UINT16_MAX)
		s->dupacks++;
	s->sacked_bytes += s->mss;
	reno_clamp(s);
	if (s->sacked_bytes > before) {
		w->delivered += s->sacked_bytes - before;
		s->delivered += s->sacked_bytes - before;
		s->busy->delivered_ns = s->u->now_ns;
	}
}

void
utcp__reno_remove(utcp_sock_t *s, struct utcp__ackwork *w)
{
	/* The hole itself is one segment; the rest had been said by duplicate
	   ACKs. */
	uint32_t n = w->acked > s->mss ? w->acked - s->mss : 0;

	s->dupacks = 0;
	if (!s->sacked_bytes)
		return;
	n = n < s->sacked_bytes ? n : s->sacked_bytes;
	s->sacked_bytes -= n;
	w->delivered -= n < w->delivered ? n : w->delivered;
	s->delivered -= n;
	if (s->out_bytes == 0)
		s->sacked_bytes = 0;
	reno_clamp(s);
}

void
utcp__reno_mark(utcp_sock_t *s)
{
	struct utcp__seg *seg = utcp__first_seg(s);

	if (link_empty(&s->busy->segs) ||
	    (seg->flags & (SEG_LOST | SEG_RETRANS)) != 0)
		return;
	if (seg->len > s->mss && utcp__seg_split(s, seg, s->mss) < 0)
		return;
	utcp__mark_lost(s, seg, true);
	reno_clamp(s);
}
