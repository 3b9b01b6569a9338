/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_reass.c: data out of order, and what is told of it (RFC 2018, RFC 2883).
 *
 * The queue is sorted and has no overlaps: of two copies with different data
 * the first stands. It is bounded by the memory it takes, not by the data in
 * it: a flood of tiny segments fills it no more than one of large ones.
 */
#include "sockbuf.h"
#include "tcp_input.h"

#define SACKS 4
#define RUN_BYTES 16384u
#define LEAST_BYTES 65536u /* may always be used */
#define LEAST_BLKS 512u

static struct utcp__rblk *
blk_of(struct utcp__link *l)
{
	return CONTAINER(l, struct utcp__rblk, link);
}

static uint32_t
blk_end(const struct utcp__rblk *b)
{
	return b->seq + b->len;
}

/* ---- SACK blocks ------------------------------------------------------- */

static bool
sacks_ready(utcp_sock_t *s)
{
	if ((s->negotiated & UTCP_GOT_SACK) == 0)
		return false;
	if (s->busy->sacks == NULL)
		s->busy->sacks = utcp__alloc(s->u,
					     SACKS * sizeof(s->busy->sacks[0]));
	return s->busy->sacks != NULL;
}

static void
sack_remove(utcp_sock_t *s, unsigned int i)
{
	s->num_sacks--;
	memmove(s->busy->sacks + i, s->busy->sacks + i + 1,
		(s->num_sacks - i) * sizeof(s->busy->sacks[0]));
}

/* Stretches b over the neighbours in the queue, from one within b. */
static void
stretch(utcp_sock_t *s, struct utcp__rblk *at, struct utcp__sackblk *b)
{
	struct utcp__link *l;

	for (l = &at->link; l != &s->busy->reass; l = l->prev) {
		if (seq_lt(blk_end(blk_of(l)), b->start))
			break;
		if (seq_lt(blk_of(l)->seq, b->start))
			b->start = blk_of(l)->seq;
	}
	for (l = at->link.next; l != &s->busy->reass; l = l->next) {
		if (seq_lt(b->end, blk_of(l)->seq))
			break;
		if (seq_lt(b->end, blk_end(blk_of(l))))
			b->end = blk_end(blk_of(l));
	}
}

/*
 * [start, end) has just come: the first block to report is all that is
 * contiguous with it, those reported before follow (RFC 2018 section 4). `at`
 * is a block of the queue within it.
 */
static void
sack_add(utcp_sock_t *s, struct utcp__rblk *at, uint32_t start, uint32_t end)
{
	struct utcp__sackblk b = { start, end };
	bool full;

	if (!sacks_ready(s))
		return;
	full = s->num_sacks == SACKS;
	for (unsigned int i = 0; i < s->num_sacks;) {
		const struct utcp__sackblk *o = &s->busy->sacks[i];

		if (seq_lt(b.end, o->start) || seq_lt(o->end, b.start)) {
			i++;
			continue;
		}
		if (seq_lt(o->start, b.start))
			b.start = o->start;
		if (seq_lt(b.end, o->end))
			b.end = o->end;
		sack_remove(s, i);
		i = 0; /* it may touch one passed over */
	}
	/* Blocks that fell out of the list are still in the queue. */
	if (full)
		stretch(s, at, &b);
	if (s->num_sacks == SACKS)
		s->num_sacks--;
	memmove(s->busy->sacks + 1, s->busy->sacks,
		s->num_sacks * sizeof(s->busy->sacks[0]));
	s->busy->sacks[0] = b;
	s->num_sacks++;
}

/* rcv_nxt went forward. */
static void
sacks_trim(utcp_sock_t *s)
{
	for (unsigned int i = 0; i < s->num_sacks;) {
		if (seq_leq(s->busy->sacks[i].end, s->rcv_nxt) ||
		    seq_leq(s->busy->sacks[i].start, s->rcv_nxt))
			sack_remove(s, i);
		else
			i++;
	}
}

/* What lies from seq on is gone. */
static void
sacks_cut(utcp_sock_t *s, uint32_t seq)
{
	for (unsigned int i = 0; i < s->num_sacks;) {
		if (seq_leq(seq, s->busy->sacks[i].start)) {
			sack_remove(s, i);
			continue;
		}
		if (seq_lt(seq, s->busy->sacks[i].end))
			s->busy->sacks[i].end = seq;
		i++;
	}
}

void
utcp__dsack(utcp_sock_t *s, uint32_t start, uint32_t end)
{
	struct utcp__sackblk *d = &s->busy->dsack;

	if ((s->negotiated & UTCP_GOT_SACK) == 0 || !seq_lt(start, end))
		return;
	/* Of several the first is reported (RFC 2883 section 4), with what
	   adjoins it. */
	if (d->start != d->end) {
		if (seq_lt(d->end, start) || seq_lt(end, d->start))
			return;
		if (seq_lt(start, d->start))
			d->start = start;
		if (seq_lt(d->end, end))
			d->end = end;
		return;
	}
	d->start = start;
	d->end = end;
}

unsigned int
utcp__sack_report(utcp_sock_t *s, struct utcp__sackblk *to, unsigned int max)
{
	unsigned int n = 0;

	if (max > 0 && s->busy->dsack.start != s->busy->dsack.end) {
		/* RFC 2883 section 4: the duplicate first, once. */
		to[n++] = s->busy->dsack;
		s->busy->dsack.start = s->busy->dsack.end = 0;
		COUNT(s->u, DSACK_OUT);
	}
	for (unsigned int i = 0; i < s->num_sacks && n < max; i++)
		to[n++] = s->busy->sacks[i];
	return n;
}

/* ---- the queue --------------------------------------------------------- */

static void
blk_free(utcp_sock_t *s, struct utcp__rblk *b)
{
	link_remove(&b->link);
	s->busy->reass_bytes -= utcp__rblk_cost(b);
	s->busy->reass_blks--;
	utcp__rblk_free(s->u, b);
}

/* Whether a block of so many bytes more may be kept. Their number is bounded
   too, for the sake of the search. */
static bool
room_for(const utcp_sock_t *s, uint32_t bytes)
{
	uint64_t most = 2ull * s->rcvbuf;

	if (most < LEAST_BYTES)
		most = LEAST_BYTES;
	return (uint64_t)s->busy->reass_bytes + bytes +
		       sizeof(struct utcp__rblk) <=
		   most &&
	       s->busy->reass_blks < LEAST_BLKS + s->rcvbuf / 4096;
}

/* What lies lowest is worth most, and is what the sender sends again first: the
   highest makes room for it (RFC 2018 section 8 lets us). */
static bool
make_room(utcp_sock_t *s, uint32_t end, uint32_t bytes)
{
	struct utcp__rblk *last;

	while (!room_for(s, bytes)) {
		COUNT(s->u, DROP_RCVBUF);
		if (link_empty(&s->busy->reass))
			return false;
		last = blk_of(s->busy->reass.prev);
		if (seq_lt(last->seq, end))
			return false;
		sacks_cut(s, last->seq);
		blk_free(s, last);
	}
	return true;
}

/*
 * Puts seg, which overlaps nothing, behind `prev` (the list's head: first).
 * Returns the block that has it; NULL: no room, no memory.
 */
static struct utcp__rblk *
put(utcp_sock_t *s, struct utcp__link *prev, const struct utcp__seg_in *seg)
{
	bool follows = prev != &s->busy->reass &&
		       blk_end(blk_of(prev)) == seg->seq;
	struct utcp__rblk *b = NULL;
	uint32_t run;

	if (follows && utcp__rblk_append(blk_of(prev), seg))
		return blk_of(prev);
	/* A run of segments goes on, mostly, and is to take few blocks; each
	   has room for twice as much as the one before, so that not much is
	   wasted if it does not. */
	if (follows) {
		run = 2 * (blk_of(prev)->room);
		run = run < RUN_BYTES ? run : RUN_BYTES;
		if (seg->len < run && room_for(s, run))
			b = utcp__rblk_new(s->u, seg, run);
	}
	if (b == NULL) {
		if (!make_room(s, seg->seq + seg->len, seg->len))
			return NULL;
		b = utcp__rblk_new(s->u, seg, seg->len);
	}
	if (b == NULL) {
		COUNT(s->u, DROP_NOMEM);
		return NULL;
	}
	link_append(prev->next, &b->link);
	s->busy->reass_bytes += utcp__rblk_cost(b);
	s->busy->reass_blks++;
	return b;
}

/*
 * The rest of seg, from behind `prev` on, around the blocks that follow; what
 * they have is a duplicate. Returns a block of what was put or was there.
 */
static struct utcp__rblk *
put_around(utcp_sock_t *s, struct utcp__link *prev, struct utcp__seg_in *seg)
{
	struct utcp__rblk *next, *at = NULL, *b;
	struct utcp__seg_in piece;
	uint32_t end = seg->seq + seg->len, stop;

	while (seg->len > 0) {
		if (prev->next == &s->busy->reass ||
		    seq_leq(end, blk_of(prev->next)->seq)) {
			b = put(s, prev, seg);
			return b != NULL ? b : at;
		}
		next = blk_of(prev->next);
		if (seq_lt(seg->seq, next->seq)) {
			piece = *seg;
			utcp__seg_trim_end(&piece, end - next->seq);
			b = put(s, prev, &piece); /* next may be gone */
			if (b == NULL)
				return at;
			utcp__seg_trim_front(seg, piece.len);
			at = b;
		} else {
			stop = seq_lt(end, blk_end(next)) ? end : blk_end(next);
			utcp__dsack(s, next->seq, stop);
			utcp__seg_trim_front(seg, stop - seg->seq);
			at = next;
		}
		prev = &at->link;
	}
	return at;
}

/* The last block that begins at seq or before it, or the list's head. */
static struct utcp__link *
find_prev(utcp_sock_t *s, uint32_t seq)
{
	struct utcp__link *list = &s->busy->reass, *l = list->prev;

	/* Mostly it is the newest. */
	if (l == list || !seq_lt(seq, blk_of(l)->seq))
		return l;
	if (seq_lt(seq, blk_of(list->next)->seq))
		return list;
	if (blk_of(l)->seq - seq <= seq - blk_of(list->next)->seq) {
		while (l != list && seq_lt(seq, blk_of(l)->seq))
			l = l->prev;
		return l;
	}
	for (l = list->next; l != list && !seq_lt(seq, blk_of(l)->seq);)
		l = l->next;
	return l->prev;
}

void
utcp__reass_insert(utcp_sock_t *s, struct utcp__seg_in *seg)
{
	uint32_t start = seg->seq, end = seg->seq + seg->len, stop;
	struct utcp__link *prev = find_prev(s, start);
	struct utcp__rblk *at, *b;

	at = NULL;
	if (prev != &s->busy->reass && seq_lt(start, blk_end(blk_of(prev)))) {
		at = blk_of(prev);
		stop = seq_lt(end, blk_end(at)) ? end : blk_end(at);
		utcp__dsack(s, start, stop);
		utcp__seg_trim_front(seg, stop - start);
	}
	if (seg->len > 0) {
		b = put_around(s, prev, seg);
		if (b != NULL)
			at = b;
		else if (at != NULL)
			end = blk_end(at);
	}
	if (at == NULL)
		return; /* nothing of it was taken */
	/* Only what is there is reported: memory may have ended it early. */
	if (seq_lt(blk_end(at), end))
		end = blk_end(at);
	sack_add(s, at, start, end);
}

void
utcp__reass_deliver(utcp_sock_t *s)
{
	struct utcp__rblk *b;

	while (!link_empty(&s->busy->reass)) {
		b = blk_of(s->busy->reass.next);
		UTCP_ASSERT(seq_leq(s->rcv_nxt, b->seq));
		if (b->seq != s->rcv_nxt)
			break;
		s->busy->reass_bytes -= utcp__rblk_cost(b);
		s->busy->reass_blks--;
		utcp__rcv_append_blk(s, b);
	}
	sacks_trim(s);
}

void
utcp__reass_drop(utcp_sock_t *s)
{
	while (!link_empty(&s->busy->reass))
		blk_free(s, blk_of(s->busy->reass.next));
	s->num_sacks = 0;
}
