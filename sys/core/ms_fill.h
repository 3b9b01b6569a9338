/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_fill.h: how a frame gets into the slots of a receive ring, for ms_ring.c,
 * which puts one, and ms_deliver.c, which puts batches.
 *
 * Every word that the user writes (head, wake, slot.buf) is read once into a
 * local and compared with the switch's own figures before it is used.
 */
#ifndef MS_FILL_H
#define MS_FILL_H

#include "ms_ring.h"

/* Reads head anew. The user may have consumed what was published, no more.
   Lock held. */
void ms_ring_refresh(struct ms_kring *ring);
/* Frames whose slot named a bad buffer were counted as received too early. */
void ms_ring_count_bad(struct ms_kring *ring, uint64_t *counter, uint32_t bad,
		       uint64_t bytes);
/* Slots that could not be used are published all the same, with length 0: the
   user named a buffer that is none, and loses the frame. */
void ms_slots_void(struct ms_kring *ring, uint32_t pos, uint32_t slots);
/* All of a frame in pieces to d, where there is room for it. */
void ms_frame_gather(uint8_t *d, const struct ms_frame *f);

/* ms_ring_reserve() with the lock held. */
static inline uint32_t
ms_ring_take(struct ms_kring *ring, uint32_t least, uint32_t want,
	     struct ms_lease *lease)
{
	uint32_t room;

	room = ring->mask + 1 - (ring->reserved - ring->head);
	if (ms_unlikely(room < want)) {
		ms_ring_refresh(ring);
		room = ring->mask + 1 - (ring->reserved - ring->head);
		if (want > room)
			want = room >= least ? room : 0;
	}
	lease->first = ring->reserved;
	lease->slots = want;
	ms_os_store_once(&ring->reserved, ring->reserved + want);
	return want;
}

/* Lock held. */
static inline void
ms_ring_received(struct ms_kring *ring, uint32_t frames, uint64_t bytes)
{
	ms_ctr_add(&ring->counter[MS_CTR_RX_FRAMES], frames);
	ms_ctr_add(&ring->counter[MS_CTR_RX_BYTES], bytes);
}

/* ring->slots, without touching the cache line that this lies in. */
static inline struct ms_slot *
ms_ring_slots(const struct ms_kring *ring)
{
	return (struct ms_slot *)(void *)(ring->shared + 1);
}

static inline struct ms_slot *
ms_ring_slot(const struct ms_kring *ring, uint32_t pos)
{
	return &ms_ring_slots(ring)[pos & ring->mask];
}

/* Where slot `pos` wants its bytes, or NULL if it names no buffer. */
static inline uint8_t *
ms_slot_buf(const struct ms_kring *ring, uint32_t pos)
{
	uint32_t buf = MS_USER_READ(ms_ring_slot(ring, pos)->buf);

	if (ms_unlikely(buf >= ring->num_bufs))
		return NULL;
	return ring->bufs + ((size_t)buf << ring->buf_shift);
}

static inline void
ms_slot_write(struct ms_slot *slot, uint32_t bytes, const struct ms_meta *meta)
{
	uint16_t len = (uint16_t)bytes; /* 65536 becomes 0, as it should */

	ms_move(&slot->len, &len, sizeof(len));
	/* All fields from flags on; of &slot->flags a compiler would say that
	   it is a word of two bytes. */
	ms_move((uint8_t *)slot + offsetof(struct ms_slot, flags), meta,
		sizeof(*meta));
}

/* A frame that fits into one buffer, of which the first bytes are at d. */
static inline void
ms_frame_copy(uint8_t *d, const struct ms_frame *f)
{
	if (ms_likely(f->linear >= f->len))
		ms_copy(d, f->data, f->len);
	else
		ms_frame_gather(d, f);
}

#endif /* MS_FILL_H */
