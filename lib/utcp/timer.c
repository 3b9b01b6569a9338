/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timer.c: a heap of exact times, four children to a node: those stand in one
 * cache line.
 */
#include "stack.h"

#define FAN 4

/* Earlier; at the same time who came first. */
static bool
before(const struct utcp__heap_slot *a, const struct utcp__heap_slot *b)
{
	if (a->at_ns != b->at_ns)
		return a->at_ns < b->at_ns;
	return (int32_t)(a->t->order - b->t->order) < 0;
}

static void
place(struct utcp__heap *h, uint32_t pos, struct utcp__heap_slot slot)
{
	h->slots[pos] = slot;
	slot.t->pos = pos;
}

static void
sift_up(struct utcp__heap *h, uint32_t pos, struct utcp__heap_slot slot)
{
	while (pos > 0) {
		uint32_t up = (pos - 1) / FAN;

		if (!before(&slot, &h->slots[up]))
			break;
		place(h, pos, h->slots[up]);
		pos = up;
	}
	place(h, pos, slot);
}

static void
sift_down(struct utcp__heap *h, uint32_t pos, struct utcp__heap_slot slot)
{
	for (;;) {
		uint32_t first = pos * FAN + 1, best = first, i;

		if (first >= h->num)
			break;
		for (i = first + 1; i < first + FAN && i < h->num; i++)
			if (before(&h->slots[i], &h->slots[best]))
				best = i;
		if (!before(&h->slots[best], &slot))
			break;
		place(h, pos, h->slots[best]);
		pos = best;
	}
	place(h, pos, slot);
}

int
utcp__heap_reserve(utcp_t *u, uint32_t num)
{
	struct utcp__heap *h = &u->heap;
	struct utcp__heap_slot *slots;
	uint32_t room = h->room;

	if (num <= room && (num >= room / 4 || room <= 64))
		return 0;
	/* Grows by half, so that little is idle with very many; and shrinks
	   when much is. */
	room = num < 64 ? 64 : num + num / 2;
	if (room < h->num)
		return 0;
	slots = utcp__alloc_raw(u, room * sizeof(*slots));
	if (!slots)
		return num <= h->room ? 0 : -ENOMEM;
	if (h->num)
		memcpy(slots, h->slots, h->num * sizeof(*slots));
	utcp__free(u, h->slots, h->room * sizeof(*slots));
	h->slots = slots;
	h->room = room;
	return 0;
}

void
utcp__timer_at(utcp_t *u, struct utcp__timer *t, uint64_t at_ns)
{
	struct utcp__heap *h = &u->heap;
	struct utcp__heap_slot slot = { at_ns, t };

	if (at_ns >= t->at_ns)
		return;
	t->order = h->order++;
	if (t->at_ns == UTCP_NEVER) {
		UTCP_ASSERT(h->num < h->room);
		if (UNLIKELY(h->num == h->room))
			return;
		t->pos = h->num++;
	}
	t->at_ns = at_ns;
	sift_up(h, t->pos, slot);
}

void
utcp__timer_stop(utcp_t *u, struct utcp__timer *t)
{
	struct utcp__heap *h = &u->heap;
	struct utcp__heap_slot last;
	uint32_t pos = t->pos;

	if (t->at_ns == UTCP_NEVER)
		return;
	UTCP_ASSERT(pos < h->num && h->slots[pos].t == t);
	t->at_ns = UTCP_NEVER;
	last = h->slots[--h->num];
	if (pos == h->num)
		return;
	if (pos > 0 && before(&last, &h->slots[(pos - 1) / FAN]))
		sift_up(h, pos, last);
	else
		sift_down(h, pos, last);
}

struct utcp__timer *
utcp__timer_due(utcp_t *u)
{
	struct utcp__timer *t;

	if (!u->heap.num || u->heap.slots[0].at_ns > u->now_ns)
		return NULL;
	t = u->heap.slots[0].t;
	utcp__timer_stop(u, t);
	return t;
}

uint64_t
utcp__timer_next(const utcp_t *u)
{
	return u->heap.num ? u->heap.slots[0].at_ns : UTCP_NEVER;
}

void
utcp__heap_deinit(utcp_t *u)
{
	utcp__free(u, u->heap.slots, u->heap.room * sizeof(*u->heap.slots));
	memset(&u->heap, 0, sizeof(u->heap));
}
