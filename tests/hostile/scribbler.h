/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scribbler.h: what a hostile owner does to its region: garbage anywhere, and
 * values that are nearly right where they hurt most. Two rings of each kind.
 */
#ifndef MS_SCRIBBLER_H
#define MS_SCRIBBLER_H

#include "frames.h"

#define SCRIBBLE_EVIL_PORT 6666 /* is the hostile one's */
#define SCRIBBLE_GOOD_PORT 7777 /* is its neighbour's */

struct scribbler {
	uint32_t *region;
	size_t words;	       /* of the whole region */
	size_t ring_words;     /* before its buffers */
	struct ms_ring *tx[2]; /* where they were at the beginning */
	struct ms_ring *rx[2];
	uint32_t slots; /* in each ring */
	uint8_t *bufs;	/* the first 64 of 2048 bytes */
	/* Tells the switch of a transmit ring. */
	void (*kick)(void *arg, unsigned int ring);
	void *arg;
	uint64_t state; /* of chance, not 0 */
};

RIG_FN uint64_t
scribble_chance(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

RIG_FN void
scribble_word(const struct scribbler *sc, size_t at, uint64_t v)
{
	__atomic_store_n(&sc->region[at], (uint32_t)v, __ATOMIC_RELAXED);
}

/* One deed. */
RIG_FN void
scribble(struct scribbler *sc)
{
	uint64_t v = scribble_chance(&sc->state);
	struct ms_ring *r = (v & 1 ? sc->rx : sc->tx)[v >> 1 & 1];
	struct ms_slot *slots = (void *)((uint8_t *)r + sizeof(*r));
	uint32_t tail = __atomic_load_n(&r->tail, __ATOMIC_RELAXED);
	struct ms_slot *slot;
	uint64_t w;

	switch (v >> 2 & 7) {
	case 0: /* anywhere */
		w = scribble_chance(&sc->state) % sc->words;
		scribble_word(sc, w, scribble_chance(&sc->state));
		break;
	case 1: /* a head that is nearly right */
		__atomic_store_n(&r->head, tail - (uint32_t)(v >> 5 & 31),
				 __ATOMIC_RELAXED);
		break;
	case 2:
		__atomic_store_n(&r->wake, tail, __ATOMIC_RELAXED);
		break;
	case 3: /* a frame that is nearly good */
		(void)rig_udp_out(sc->bufs + 2048 * (v >> 8 & 63),
				  v & 64 ? SCRIBBLE_EVIL_PORT
					 : SCRIBBLE_GOOD_PORT,
				  9, "x", 1);
		break;
	case 4:
		slot = &slots[v >> 8 & (sc->slots - 1)];
		slot->buf = v >> 32 & 63;
		slot->len = 43;
		slot->flags = (v >> 40 & 7) == 0;
		break;
	case 5:
		sc->kick(sc->arg, v >> 5 & 1);
		break;
	default: /* the header and the rings */
		w = scribble_chance(&sc->state) % sc->ring_words;
		scribble_word(sc, w, scribble_chance(&sc->state));
	}
}

#endif /* MS_SCRIBBLER_H */
