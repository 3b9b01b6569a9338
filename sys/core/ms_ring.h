/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_ring.h: putting frames into receive rings.
 *
 * Several queues may fill one ring at a time. Each takes a lease on as many
 * slots as it needs, under the ring's lock, and fills them outside it. The
 * holder of the oldest lease (it starts at tail, and so nobody else may move
 * tail) publishes it by moving tail, without the lock. A younger lease that is
 * finished is noted, under the lock, and left: nobody waits for anybody.
 *
 * Whoever has moved tail collects what was noted right behind it; whoever has
 * noted a lease looks whether tail came to it meanwhile. Between the two steps
 * of either stands a full fence (that of barrier E), so at least one of them
 * sees the other, and the lock decides which.
 */
#ifndef MS_RING_H
#define MS_RING_H

#include "ms_core.h"

/* Slots of one ring set aside for one batch, to be filled outside the lock. */
struct ms_lease {
	uint32_t first;
	uint32_t slots;
	bool published;
};

/* One receive ring's share of a batch. */
struct ms_dest {
	struct ms_kring *ring;
	uint16_t first, last; /* frames, linked by ms_deliver.next */
	uint16_t frames;
	uint16_t cell;	    /* in ms_deliver.cells */
	uint32_t max_bytes; /* of one frame */
	uint32_t bytes;	    /* of all */
	struct ms_lease lease;
};

#define MS_CELLS (2 * MS_BATCH_MAX)

/* A batch sorted by destination. */
struct ms_deliver {
	struct ms_frame *frames;
	uint64_t *counter;    /* of the queue that delivers */
	uint32_t num;	      /* dests */
	uint32_t frames_done; /* of one run */
	uint64_t bytes_done;
	uint16_t next[MS_BATCH_MAX];
	uint8_t *dst[MS_BATCH_MAX + 8]; /* of a group, in order */
	struct ms_dest dest[MS_BATCH_MAX];
	uint16_t cells[MS_CELLS]; /* 1 + dest, by hash of ring; or 0 */
};

/* For a counter that has one writer at a time and readers at any time. */
static inline void
ms_ctr_add(uint64_t *counter, uint64_t n)
{
	ms_os_store_once(counter, *counter + n);
}

/*
 * Copies n bytes, and reads none behind them: what is there may be somebody
 * else's. Short frames go by moves of a constant size, which overlap.
 */
static inline void
ms_copy(uint8_t *d, const uint8_t *s, uint32_t n)
{
	uint32_t at;

	if (n <= 128 && n >= 32) {
		if (n > 64) {
			ms_move(d + 32, s + 32, 16);
			ms_move(d + 48, s + 48, 16);
			ms_move(d + n - 64, s + n - 64, 16);
			ms_move(d + n - 48, s + n - 48, 16);
		}
		ms_move(d, s, 16);
		ms_move(d + 16, s + 16, 16);
		ms_move(d + n - 32, s + n - 32, 16);
		ms_move(d + n - 16, s + n - 16, 16);
		return;
	}
	/* The start of a longer one: for so little a call takes longer. */
	if (n == MS_HDR_BYTES) {
		for (at = 0; at < MS_HDR_BYTES; at += 16)
			ms_move(d + at, s + at, 16);
		return;
	}
	/* The lines of a buffer are not in any cache, as a rule: to ask for all
	   of them first is faster than to meet them one by one. */
	for (at = MS_CACHE_LINE; at < n; at += MS_CACHE_LINE)
		ms_prefetchw(d + at);
	memcpy(d, s, n);
}

/*
 * Adds frame i, of so many bytes, for `ring`, to a batch. In order: frames of one ring stay in
 * the order of the calls. ms_deliver_run() follows, with the same frames.
 */
static inline void
ms_deliver_add(struct ms_deliver *d, uint32_t i, uint32_t bytes,
	       struct ms_kring *ring)
{
	uint32_t cell = (uint32_t)((uintptr_t)ring >> 6) * 0x9e3779b1u;
	struct ms_dest *dest;
	uint32_t at;

	for (cell >>= 23; (at = d->cells[cell]) != 0;
	     cell = (cell + 1) % MS_CELLS) {
		dest = &d->dest[at - 1];
		if (ms_unlikely(dest->ring != ring))
			continue;
		d->next[dest->last] = (uint16_t)i;
		dest->last = (uint16_t)i;
		dest->frames++;
		dest->bytes += bytes;
		if (dest->max_bytes < bytes)
			dest->max_bytes = bytes;
		return;
	}
	ms_prefetchw(ring);
	dest = &d->dest[d->num++];
	d->cells[cell] = (uint16_t)d->num;
	dest->ring = ring;
	dest->first = (uint16_t)i;
	dest->last = (uint16_t)i;
	dest->frames = 1;
	dest->cell = (uint16_t)cell;
	dest->max_bytes = bytes;
	dest->bytes = bytes;
}

/* Copies the frames added into their rings, publishes them, wakes those who
   asked for it, counts, and empties d. Read section. */
void ms_deliver_run(struct ms_deliver *d);

/* Asks for what the next frame for this ring needs of the region, but its
   buffer; for its buffer. Read section. */
void ms_ring_fetch_slot(const struct ms_kring *ring);
void ms_ring_fetch_buf(const struct ms_kring *ring);

/*
 * The same for one frame alone, in packet context. False, and nothing was done:
 * it needs several slots, or the ring is stopped or tapped. Read section.
 */
bool ms_ring_put_one(struct ms_kring *ring, const struct ms_frame *f,
		     uint64_t *counter);

/* Takes up to `want` slots, or none if there are not even `least`, and returns
   how many. Read section. */
uint32_t ms_ring_reserve(struct ms_kring *ring, uint32_t least, uint32_t want,
			 struct ms_lease *lease);
/* Its slots are filled. If it is the oldest, the user sees them now. */
void ms_ring_publish(struct ms_kring *ring, struct ms_lease *lease);
/* The second half, after a full fence (E): collects leases that finished out
   of order, and wakes the user if tail went past his mark. Returns whether it
   did. */
bool ms_ring_settle(struct ms_kring *ring, const struct ms_lease *lease);
/* The same for a transmit ring, whose tail went from old to now. */
bool ms_ring_wake(struct ms_kring *ring, uint32_t old, uint32_t now);
/*
 * Puts one frame, of any length, into a receive ring, with `flags` besides its
 * own. Returns MS_CTR_RX_FRAMES, or the counter of its loss; does not count.
 * A lease of at least one slot has to be settled. Read section.
 */
enum ms_counter ms_ring_put(struct ms_kring *ring, const struct ms_frame *f,
			    uint16_t flags, struct ms_lease *lease);
/* Adds n to one counter of a receive ring; losses show in ms_ring.lost. */
void ms_ring_count(struct ms_kring *ring, enum ms_counter which, uint64_t n);

#endif /* MS_RING_H */
