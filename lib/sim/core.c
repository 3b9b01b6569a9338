/* SPDX-License-Identifier: BSD-2-Clause */
/* core.c: random numbers, events in the order of time, packets. */
#include "internal.h"

/* ---- random ----------------------------------------------------------------- */

uint64_t
mssim__random(struct mssim__rng *r)
{
	/* splitmix64: Steele, Lea, Flood 2014 */
	uint64_t z = r->s += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t
mssim__below(struct mssim__rng *r, uint64_t n)
{
	return n == 0 ? 0 : mssim__random(r) % n;
}

bool
mssim__chance(struct mssim__rng *r, double p)
{
	return (double)(mssim__random(r) >> 11) * 0x1p-53 < p;
}

/* ---- events ------------------------------------------------------------------- */

int
mssim__reserve(struct mssim__core *c, uint32_t n)
{
	uint32_t room = c->room;
	struct mssim__event **heap;

	if (c->reserved + n > room) {
		room = room ? 2 * room : 256;
		if (room < c->reserved + n)
			room = c->reserved + n;
		heap = realloc(c->heap, room * sizeof(struct mssim__event *));
		if (!heap)
			return -ENOMEM;
		c->heap = heap;
		c->room = room;
	}
	c->reserved += n;
	return 0;
}

static bool
before(const struct mssim__event *a, const struct mssim__event *b)
{
	return a->at_ns < b->at_ns ||
	       (a->at_ns == b->at_ns && a->order < b->order);
}

static void
put(struct mssim__core *c, uint32_t i, struct mssim__event *ev)
{
	c->heap[i] = ev;
	ev->place = i + 1;
}

static void
sift_up(struct mssim__core *c, uint32_t i, struct mssim__event *ev)
{
	for (; i > 0 && before(ev, c->heap[(i - 1) / 2]); i = (i - 1) / 2)
		put(c, i, c->heap[(i - 1) / 2]);
	put(c, i, ev);
}

static void
sift_down(struct mssim__core *c, uint32_t i, struct mssim__event *ev)
{
	uint32_t child;

	while ((child = 2 * i + 1) < c->num) {
		if (child + 1 < c->num &&
		    before(c->heap[child + 1], c->heap[child]))
			child++;
		if (!before(c->heap[child], ev))
			break;
		put(c, i, c->heap[child]);
		i = child;
	}
	put(c, i, ev);
}

void
mssim__unset(struct mssim__core *c, struct mssim__event *ev)
{
	uint32_t i = ev->place;
	struct mssim__event *last;

	if (i-- == 0)
		return;
	ev->place = 0;
	last = c->heap[--c->num];
	if (last == ev)
		return;
	if (i > 0 && before(last, c->heap[(i - 1) / 2]))
		sift_up(c, i, last);
	else
		sift_down(c, i, last);
}

void
mssim__set(struct mssim__core *c, struct mssim__event *ev, uint64_t at_ns)
{
	mssim__unset(c, ev);
	ev->at_ns = at_ns < c->now_ns ? c->now_ns : at_ns;
	ev->order = c->order++;
	sift_up(c, c->num++, ev);
}

bool
mssim__step(struct mssim__core *c, uint64_t until_ns)
{
	struct mssim__event *ev;

	if (c->num == 0 || c->heap[0]->at_ns > until_ns)
		return false;
	ev = c->heap[0];
	mssim__unset(c, ev);
	c->now_ns = ev->at_ns;
	ev->fn(ev->arg);
	return true;
}

void
mssim__core_deinit(struct mssim__core *c)
{
	struct mssim__packet *p;

	while ((p = c->spare) != NULL) {
		c->spare = p->next;
		free(p);
	}
	free(c->heap);
}

/* ---- packets ------------------------------------------------------------------ */

struct mssim__packet *
mssim__packet(struct mssim__core *c, uint32_t len)
{
	struct mssim__packet *p = c->spare;
	uint32_t room = len > MSSIM__PACKET_ROOM ? len : MSSIM__PACKET_ROOM;

	if (p && room == MSSIM__PACKET_ROOM) {
		c->spare = p->next;
	} else {
		/* so that its event can be set when it is on its way */
		if (mssim__reserve(c, 1) < 0)
			return NULL;
		p = malloc(sizeof(*p) + room);
		if (!p) {
			c->reserved--;
			return NULL;
		}
		p->room = room;
		memset(&p->ev, 0, sizeof(p->ev));
	}
	p->next = NULL;
	p->pipe = NULL;
	p->to = NULL;
	p->len = len;
	p->corrupt = false;
	return p;
}

void
mssim__packet_free(struct mssim__core *c, struct mssim__packet *p)
{
	if (p->room != MSSIM__PACKET_ROOM) {
		c->reserved--;
		free(p);
		return;
	}
	p->next = c->spare;
	c->spare = p;
}

uint16_t
mssim__sum(const uint8_t *b, size_t len, uint32_t start)
{
	uint64_t sum = start;
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	if (len % 2 != 0)
		sum += (uint32_t)b[len - 1] << 8;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint32_t
mssim__pseudo(const uint8_t *pkt, uint32_t l4_bytes, uint8_t proto)
{
	uint32_t sum = proto + (l4_bytes >> 16) + (l4_bytes & 0xffff);

	return pkt[0] >> 4 == 4 ? mssim__sum(pkt + 12, 8, sum)
				: mssim__sum(pkt + 8, 32, sum);
}
