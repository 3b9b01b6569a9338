/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_deliver.c: a batch, sorted by destination, into the receivers' rings.
 */
#include "ms_batch.h"
#include "ms_fill.h"

#define GROUP_DESTS 64 /* rings that are worked on at a time */
/* Frames between the fetch of a buffer and its use: buffers lie so far apart
   that few of them share the first-level cache. */
#define AHEAD 8
/* So many rings in a batch: their buffers are not in any cache, and their
   pages not in the TLB. */
#define FAR_DESTS 96

/* To the second-level cache, which can hold a group's buffers. */
#define prefetch_far(p) __builtin_prefetch((p), 1, 2)

_Static_assert(MS_CELLS == 1 << (32 - 23), "ms_deliver_add shifts by 23");

/* n frames of a destination's share are lost. */
static void
dest_lose(struct ms_deliver *d, struct ms_dest *dest, enum ms_counter which,
	  uint32_t n)
{
	ms_ring_count(dest->ring, which, n);
	ms_ctr_add(&d->counter[which], n);
}

/* Frames that need more than a buffer go one by one, in order with the rest of
   their ring's. */
static void
dest_put_each(struct ms_deliver *d, struct ms_dest *dest)
{
	struct ms_kring *ring = dest->ring;
	enum ms_counter result;
	const struct ms_frame *f;
	struct ms_lease lease;
	uint32_t i = dest->first;
	uint32_t n;

	for (n = 0; n < dest->frames; n++, i = d->next[i]) {
		f = &d->frames[i];
		result = ms_ring_put(ring, f, 0, &lease);
		if (result == MS_CTR_RX_FRAMES) {
			ms_spin_lock(&ring->lock);
			ms_ring_received(ring, 1, f->len);
			ms_spin_unlock(&ring->lock);
			ms_ctr_add(&d->counter[MS_CTR_RX_FRAMES], 1);
			ms_ctr_add(&d->counter[MS_CTR_RX_BYTES], f->len);
		} else {
			dest_lose(d, dest, result, 1);
		}
		if (lease.slots == 0)
			continue;
		ms_os_fence(); /* E */
		if (ms_ring_settle(ring, &lease))
			ms_ctr_add(&d->counter[MS_CTR_RX_WAKEUPS], 1);
	}
	dest->frames = 0;
}

/* The ring is full: only the first `got` frames have a place. */
static void
dest_cut(struct ms_deliver *d, struct ms_dest *dest, uint32_t got)
{
	uint32_t i = dest->first;
	uint32_t n;

	dest_lose(d, dest, MS_CTR_DROP_RX_FULL, dest->frames - got);
	dest->frames = (uint16_t)got;
	dest->bytes = 0;
	for (n = 0; n < got; n++, i = d->next[i])
		dest->bytes += d->frames[i].len;
}

static void
dest_tap(struct ms_deliver *d, const struct ms_dest *dest)
{
	const struct ms_tap *tap = ms_os_load_acquire(&dest->ring->tap);
	uint32_t i = dest->first;
	uint32_t n;

	for (n = 0; n < dest->frames; n++, i = d->next[i])
		ms_tap_frame(tap, &d->frames[i], MS_SLOT_TAP_RX, d->counter);
}

/* What is not common, before slots are taken. False: nothing is left to do. */
static bool
dest_special(struct ms_deliver *d, struct ms_dest *dest)
{
	struct ms_kring *ring = dest->ring;

	dest->lease.slots = 0;
	if (ms_os_load_once(&ring->stopped)) {
		dest_lose(d, dest, MS_CTR_DROP_RX_GONE, dest->frames);
		dest->frames = 0;
		return false;
	}
	if (ms_os_load_once(&ring->tapped))
		dest_tap(d, dest);
	if (dest->max_bytes <= 1u << ring->buf_shift)
		return true;
	dest_put_each(d, dest);
	return false;
}

static void
dest_reserve(struct ms_deliver *d, struct ms_dest *dest)
{
	struct ms_kring *ring = dest->ring;
	struct ms_ring *shared = ring->shared;
	uint32_t got;

	if (ms_unlikely(ms_os_load_once(&ring->stopped) ||
			ms_os_load_once(&ring->tapped) ||
			dest->max_bytes > 1u << ring->buf_shift) &&
	    !dest_special(d, dest))
		return;
	ms_prefetchw(&shared->tail);
	ms_prefetch(&shared->head);
	ms_spin_lock(&ring->lock);
	got = ms_ring_take(ring, 1, dest->frames, &dest->lease);
	if (ms_likely(got == dest->frames))
		ms_ring_received(ring, got, dest->bytes);
	ms_spin_unlock(&ring->lock);
	ms_prefetchw(ms_ring_slot(ring, dest->lease.first));
	if (ms_unlikely(got < dest->frames)) {
		dest_cut(d, dest, got);
		ms_spin_lock(&ring->lock);
		ms_ring_received(ring, got, dest->bytes);
		ms_spin_unlock(&ring->lock);
	}
}

/* Finds where each frame goes; `at`: how many were found before it. */
static uint32_t
dest_resolve(struct ms_deliver *d, const struct ms_dest *dest, uint32_t at,
	     bool far)
{
	const struct ms_kring *ring = dest->ring;
	const struct ms_slot *slots = ms_ring_slots(ring);
	const uint32_t mask = ring->mask, num_bufs = ring->num_bufs;
	const uint32_t shift = ring->buf_shift, frames = dest->frames;
	uint8_t *const bufs = ring->bufs;
	uint32_t pos = dest->lease.first;
	uint8_t *to;
	uint32_t n, buf;

	for (n = 0; n < frames; n++, pos++) {
		buf = MS_USER_READ(slots[pos & mask].buf);
		to = bufs + ((size_t)buf << shift);
		if (ms_unlikely(buf >= num_bufs))
			to = NULL;
		if (far)
			prefetch_far(to);
		d->dst[at + n] = to;
	}
	return at + n;
}

static uint32_t
dest_fill(struct ms_deliver *d, struct ms_dest *dest, uint32_t at)
{
	struct ms_kring *ring = dest->ring;
	struct ms_slot *slots = ms_ring_slots(ring);
	const struct ms_frame *f, *frames = d->frames;
	const uint32_t mask = ring->mask, end = at + dest->frames;
	uint32_t pos = dest->lease.first;
	uint32_t i = dest->first;
	uint64_t bad_bytes = 0;
	uint32_t bad = 0;
	uint8_t *to;

	if (ms_unlikely(at == end))
		return at;
	for (; at < end; at++, pos++, i = d->next[i]) {
		f = &frames[i];
		to = d->dst[at];
		ms_prefetchw(d->dst[at + AHEAD]);
		if (ms_unlikely(to == NULL)) {
			ms_slots_void(ring, pos, 1);
			bad_bytes += f->len;
			bad++;
			continue;
		}
		ms_frame_copy(to, f);
		ms_slot_write(&slots[pos & mask], f->len, &f->meta);
	}
	ms_ring_publish(ring, &dest->lease);
	d->frames_done += dest->frames;
	d->bytes_done += dest->bytes;
	if (ms_unlikely(bad != 0))
		ms_ring_count_bad(dest->ring, d->counter, bad, bad_bytes);
	return at;
}

static void
dest_settle(struct ms_deliver *d, struct ms_dest *dest)
{
	d->cells[dest->cell] = 0;
	if (ms_unlikely(dest->frames == 0))
		return;
	if (ms_unlikely(ms_ring_settle(dest->ring, &dest->lease)))
		ms_ctr_add(&d->counter[MS_CTR_RX_WAKEUPS], 1);
}

/*
 * In steps over a group of rings, each of which touches what the step before
 * has prefetched. One fence is enough for all rings of the group.
 */
void
ms_deliver_run(struct ms_deliver *d)
{
	struct ms_dest *dest, *end;
	struct ms_dest *group = d->dest;
	struct ms_dest *all = d->dest + d->num;
	bool far = d->num > FAR_DESTS;
	uint32_t at, i;

	d->frames_done = 0;
	d->bytes_done = 0;
	for (; group < all; group = end) {
		end = all - group > GROUP_DESTS ? group + GROUP_DESTS : all;
		for (dest = group; dest < end; dest++)
			dest_reserve(d, dest);
		for (dest = group, at = 0; dest < end; dest++)
			at = dest_resolve(d, dest, at, far);
		for (i = 0; i < AHEAD; i++) {
			d->dst[at + i] = NULL;
			ms_prefetchw(d->dst[i]);
		}
		for (dest = group, at = 0; dest < end; dest++)
			at = dest_fill(d, dest, at);
		ms_os_fence(); /* E */
		for (dest = group; dest < end; dest++)
			dest_settle(d, dest);
	}
	ms_ctr_add(&d->counter[MS_CTR_RX_FRAMES], d->frames_done);
	ms_ctr_add(&d->counter[MS_CTR_RX_BYTES], d->bytes_done);
	d->num = 0;
}
