/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_ring.c: rings, and how frames get into those of receivers.
 *
 * Every word that the user writes (head, wake, slot.buf) is read once into a
 * local and compared with the switch's own figures before it is used.
 */
#include "ms_batch.h"

#define GROUP_DESTS 64 /* rings that are worked on at a time: their lines stay
			  in the first-level cache */

_Static_assert(MS_CELLS == 1 << (32 - 23), "ms_deliver_add shifts by 23");
_Static_assert(offsetof(struct ms_slot, flags) + sizeof(struct ms_meta) ==
		       sizeof(struct ms_slot),
	       "ms_meta is the end of ms_slot");
_Static_assert(offsetof(struct ms_kring, counter) == MS_CACHE_LINE ||
		       sizeof(struct ms_spin) > 4,
	       "what receiving touches is in one line");

/* ---- life --------------------------------------------------------------- */

size_t
ms_kring_shared_bytes(uint32_t slots)
{
	size_t bytes = sizeof(struct ms_ring) +
		       (size_t)slots * sizeof(struct ms_slot);

	return (bytes + MS_CACHE_LINE - 1) & ~(size_t)(MS_CACHE_LINE - 1);
}

static void
shared_init(struct ms_kring *ring, uint32_t buf_bytes, uint32_t first_buf)
{
	struct ms_ring *s = ring->shared;
	uint32_t i;

	s->num_slots = ring->mask + 1;
	s->buf_bytes = buf_bytes;
	s->is_rx = ring->is_rx;
	s->index = ring->index;
	s->slots_ofs = sizeof(*s);
	s->tail = ring->tail;
	s->doze = !ring->is_rx;
	for (i = 0; i <= ring->mask; i++)
		ring->slots[i].buf = first_buf + i;
}

int
ms_kring_init(struct ms_kring *ring, struct ms_port *port,
	      struct ms_ring *shared, uint8_t *bufs, bool is_rx, uint16_t index,
	      uint32_t first_buf)
{
	struct ms_nic *nic = port->nic;

	if (is_rx) {
		ring->lease_len = ms_os_alloc(port->slots * sizeof(uint32_t));
		if (ring->lease_len == NULL)
			return -ENOMEM;
	}
	ring->shared = shared;
	ring->slots = (struct ms_slot *)(void *)(shared + 1);
	ring->bufs = bufs;
	ms_spin_init(&ring->lock);
	ring->mask = port->slots - 1;
	ring->num_bufs = port->num_bufs;
	while (1u << ring->buf_shift < port->buf_bytes)
		ring->buf_shift++;
	ring->is_rx = is_rx;
	ring->port = port;
	ring->index = index;
	/* All slots are free: a receive ring's are the switch's, a transmit
	   ring's the user's. */
	ring->tail = is_rx ? 0 : port->slots;
	ring->dozing = !is_rx;
	if (!is_rx)
		ring->sched = &nic->sched[index % nic->num_queues];
	shared_init(ring, port->buf_bytes, first_buf);
	return 0;
}

void
ms_kring_deinit(struct ms_kring *ring)
{
	if (ring->shared == NULL)
		return;
	ms_os_free(ring->lease_len);
	ms_spin_deinit(&ring->lock);
	ring->lease_len = NULL;
	ring->shared = NULL;
}

/* ---- leases ------------------------------------------------------------- */

static void
lose(struct ms_kring *ring, enum ms_counter which, uint32_t n)
{
	ms_ctr_add(&ring->counter[which], n);
	ring->lost += n;
	MS_USER_WRITE(ring->shared->lost, ring->lost);
}

/* Reads head anew. The user may have consumed what was published, no more. */
static void
refresh_head(struct ms_kring *ring)
{
	uint32_t head = ms_os_load_acquire(&ring->shared->head); /* D */

	if (ms_likely(head - ring->head <= ring->tail - ring->head))
		ring->head = head;
	else
		ms_ctr_add(&ring->counter[MS_CTR_BAD_HEAD], 1);
}

uint32_t
ms_ring_reserve(struct ms_kring *ring, uint32_t least, uint32_t want,
		struct ms_lease *lease)
{
	uint32_t room;

	ms_spin_lock(&ring->lock);
	room = ring->mask + 1 - (ring->reserved - ring->head);
	if (ms_unlikely(room < want)) {
		refresh_head(ring);
		room = ring->mask + 1 - (ring->reserved - ring->head);
		if (want > room)
			want = room >= least ? room : 0;
	}
	lease->first = ring->reserved;
	lease->slots = want;
	ring->reserved += want;
	ms_spin_unlock(&ring->lock);
	return want;
}

/* The end of all leases that are finished without a gap from `end` on. */
static uint32_t
collect_waiting(struct ms_kring *ring, uint32_t end)
{
	uint32_t *len;

	while (ring->waiting != 0) {
		len = &ring->lease_len[end & ring->mask];
		if (*len == 0)
			break;
		end += *len;
		*len = 0;
		ring->waiting--;
	}
	return end;
}

void
ms_ring_complete(struct ms_kring *ring, const struct ms_lease *lease,
		 const struct ms_filled *filled, uint32_t *old, uint32_t *now)
{
	uint32_t end = lease->first + lease->slots;

	ms_spin_lock(&ring->lock);
	*old = ring->tail;
	*now = ring->tail;
	ms_ctr_add(&ring->counter[MS_CTR_RX_FRAMES], filled->frames);
	ms_ctr_add(&ring->counter[MS_CTR_RX_BYTES], filled->bytes);
	if (ms_unlikely(filled->bad != 0))
		lose(ring, MS_CTR_DROP_RX_SLOT, filled->bad);
	if (ms_likely(lease->first == ring->tail)) {
		if (ms_unlikely(ring->waiting != 0))
			end = collect_waiting(ring, end);
		ring->tail = end;
		*now = end;
		ms_os_store_release(&ring->shared->tail, end); /* A */
	} else {
		ring->lease_len[lease->first & ring->mask] = lease->slots;
		ring->waiting++;
	}
	ms_spin_unlock(&ring->lock);
}

void
ms_ring_count(struct ms_kring *ring, enum ms_counter which, uint32_t n)
{
	ms_spin_lock(&ring->lock);
	if (which == MS_CTR_RX_WAKEUPS || which == MS_CTR_TAP_FRAMES)
		ms_ctr_add(&ring->counter[which], n);
	else
		lose(ring, which, n);
	ms_spin_unlock(&ring->lock);
}

/* Whether tail went past the user's mark with this step (virtio's rule). */
static inline bool
wake_wanted(const struct ms_kring *ring, uint32_t old, uint32_t now)
{
	uint32_t mark = MS_USER_READ(ring->shared->wake);

	return now - mark - 1 < now - old;
}

bool
ms_ring_wake(struct ms_kring *ring, uint32_t old, uint32_t now)
{
	if (ms_likely(!wake_wanted(ring, old, now)))
		return false;
	ms_ring_count(ring, MS_CTR_RX_WAKEUPS, 1);
	ms_os_wake(ring);
	return true;
}

/* ---- filling ------------------------------------------------------------ */

/* Where slot `pos` wants its bytes, or NULL if it names no buffer. */
static inline uint8_t *
slot_buf(const struct ms_kring *ring, uint32_t pos)
{
	uint32_t buf = MS_USER_READ(ring->slots[pos & ring->mask].buf);

	if (ms_unlikely(buf >= ring->num_bufs))
		return NULL;
	return ring->bufs + ((size_t)buf << ring->buf_shift);
}

static inline void
slot_write(struct ms_kring *ring, uint32_t pos, uint32_t bytes,
	   const struct ms_meta *meta)
{
	struct ms_slot *slot = &ring->slots[pos & ring->mask];
	uint16_t len = (uint16_t)bytes; /* 65536 becomes 0, as it should */

	memcpy(&slot->len, &len, sizeof(len));
	memcpy(&slot->flags, meta, sizeof(*meta));
}

/* Slots that could not be used are published all the same, with length 0: the
   user named a buffer that is none, and loses the frame. */
static void
slots_void(struct ms_kring *ring, uint32_t pos, uint32_t slots)
{
	static const struct ms_meta none;

	while (slots-- > 0)
		slot_write(ring, pos++, 0, &none);
}

/* A place in a frame, for reading it in pieces. */
struct cursor {
	const uint8_t *p;
	uint32_t bytes; /* contiguous, from p on */
	const struct ms_seg *segs;
	uint16_t nsegs;
};

static void
cursor_read(struct cursor *c, uint8_t *d, uint32_t n)
{
	uint32_t part;

	while (n > 0) {
		while (c->bytes == 0) {
			if (c->nsegs == 0) {
				memset(d, 0, n);
				return;
			}
			c->p = c->segs->p;
			c->bytes = c->segs->bytes;
			c->segs++;
			c->nsegs--;
		}
		part = n < c->bytes ? n : c->bytes;
		ms_copy(d, c->p, part);
		c->p += part;
		c->bytes -= part;
		d += part;
		n -= part;
	}
}

static void
cursor_start(struct cursor *c, const struct ms_frame *f)
{
	c->p = f->data;
	c->bytes = f->linear < f->len ? f->linear : f->len;
	c->segs = f->segs;
	c->nsegs = f->nsegs;
}

/* A frame that fits into one buffer, of which the first bytes are at d. */
static inline void
frame_copy(uint8_t *d, const struct ms_frame *f)
{
	struct cursor c;

	if (ms_likely(f->linear >= f->len)) {
		ms_copy(d, f->data, f->len);
		return;
	}
	cursor_start(&c, f);
	cursor_read(&c, d, f->len);
}

static bool
fill_slots(struct ms_kring *ring, const struct ms_lease *lease,
	   const struct ms_frame *f, uint16_t flags)
{
	uint32_t buf_bytes = 1u << ring->buf_shift;
	struct ms_meta meta = f->meta;
	uint8_t *dst[MS_FRAME_SLOTS_MAX];
	uint32_t left = f->len;
	struct cursor c;
	uint32_t i, n;

	for (i = 0; i < lease->slots; i++) {
		dst[i] = slot_buf(ring, lease->first + i);
		if (dst[i] == NULL) {
			slots_void(ring, lease->first, lease->slots);
			return false;
		}
	}
	cursor_start(&c, f);
	meta.flags |= flags;
	for (i = 0; i < lease->slots; i++) {
		n = left < buf_bytes ? left : buf_bytes;
		cursor_read(&c, dst[i], n);
		left -= n;
		if (left > 0)
			meta.flags |= MS_SLOT_MORE;
		slot_write(ring, lease->first + i, n, &meta);
		memset(&meta, 0, sizeof(meta));
	}
	return true;
}

enum ms_counter
ms_ring_put(struct ms_kring *ring, const struct ms_frame *f, uint16_t flags,
	    uint32_t *old, uint32_t *now)
{
	struct ms_filled filled = { 0 };
	struct ms_lease lease;
	uint32_t slots;

	*old = *now = 0;
	if (ms_os_load_once(&ring->stopped))
		return MS_CTR_DROP_RX_GONE;
	slots = ((f->len - 1) >> ring->buf_shift) + 1;
	if (f->len == 0 || slots > MS_FRAME_SLOTS_MAX || slots > ring->mask + 1)
		return MS_CTR_DROP_RX_LONG;
	if (ms_ring_reserve(ring, slots, slots, &lease) == 0)
		return MS_CTR_DROP_RX_FULL;
	if (!fill_slots(ring, &lease, f, flags)) {
		ms_ring_complete(ring, &lease, &filled, old, now);
		return MS_CTR_DROP_RX_SLOT;
	}
	if ((flags & (MS_SLOT_TAP_RX | MS_SLOT_TAP_TX)) == 0) {
		filled.frames = 1;
		filled.bytes = f->len;
	}
	ms_ring_complete(ring, &lease, &filled, old, now);
	return MS_CTR_RX_FRAMES;
}

/* ---- batches ------------------------------------------------------------ */

/* The whole of a destination's share is lost. */
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
	enum ms_counter result;
	const struct ms_frame *f;
	uint32_t old, now, n;
	uint32_t i = dest->first;
	bool published = false;

	for (n = 0; n < dest->frames; n++, i = d->next[i]) {
		f = &d->frames[i];
		result = ms_ring_put(dest->ring, f, 0, &old, &now);
		ms_ctr_add(&d->counter[result], 1);
		if (result == MS_CTR_RX_FRAMES)
			ms_ctr_add(&d->counter[MS_CTR_RX_BYTES], f->len);
		else
			ms_ring_count(dest->ring, result, 1);
		if (old == now)
			continue;
		if (!published)
			dest->old_tail = old;
		dest->new_tail = now;
		published = true;
	}
	dest->frames = 0;
}

static void
dest_tap(struct ms_deliver *d, const struct ms_dest *dest,
	 const struct ms_tap *tap)
{
	uint32_t i = dest->first;
	uint32_t n;

	for (n = 0; n < dest->frames; n++, i = d->next[i])
		ms_tap_frame(tap, &d->frames[i], MS_SLOT_TAP_RX, d->counter);
}

static void
dest_reserve(struct ms_deliver *d, struct ms_dest *dest)
{
	struct ms_kring *ring = dest->ring;
	const struct ms_tap *tap;
	uint32_t got;

	dest->lease.slots = 0;
	dest->old_tail = dest->new_tail = 0;
	if (ms_unlikely(ms_os_load_once(&ring->stopped))) {
		dest_lose(d, dest, MS_CTR_DROP_RX_GONE, dest->frames);
		dest->frames = 0;
		return;
	}
	tap = ms_os_load_acquire(&ring->tap);
	if (ms_unlikely(tap != NULL))
		dest_tap(d, dest, tap);
	if (ms_unlikely(dest->max_bytes > 1u << ring->buf_shift)) {
		dest_put_each(d, dest);
		return;
	}
	got = ms_ring_reserve(ring, 1, dest->frames, &dest->lease);
	ms_prefetchw(&ring->slots[dest->lease.first & ring->mask]);
	ms_prefetchw(&ring->shared->tail);
	ms_prefetch(&ring->shared->head);
	if (ms_unlikely(got < dest->frames)) {
		dest_lose(d, dest, MS_CTR_DROP_RX_FULL, dest->frames - got);
		dest->frames = (uint16_t)got;
	}
}

/* Finds where each frame goes, early, so that the memory is on its way. */
static void
dest_resolve(struct ms_deliver *d, const struct ms_dest *dest)
{
	uint32_t pos = dest->lease.first;
	uint32_t i = dest->first;
	uint32_t n;

	for (n = 0; n < dest->frames; n++, pos++, i = d->next[i]) {
		d->dst[i] = slot_buf(dest->ring, pos);
		ms_prefetchw(d->dst[i]);
	}
}

static void
dest_fill(struct ms_deliver *d, struct ms_dest *dest)
{
	struct ms_kring *ring = dest->ring;
	struct ms_filled filled = { 0 };
	uint32_t pos = dest->lease.first;
	uint32_t i = dest->first;
	const struct ms_frame *f;
	uint32_t n;

	if (dest->frames == 0)
		return;
	for (n = 0; n < dest->frames; n++, pos++, i = d->next[i]) {
		f = &d->frames[i];
		if (ms_unlikely(d->dst[i] == NULL)) {
			slots_void(ring, pos, 1);
			filled.bad++;
			continue;
		}
		frame_copy(d->dst[i], f);
		slot_write(ring, pos, f->len, &f->meta);
		filled.bytes += f->len;
	}
	filled.frames = dest->frames - filled.bad;
	ms_ring_complete(ring, &dest->lease, &filled, &dest->old_tail,
			 &dest->new_tail);
	ms_ctr_add(&d->counter[MS_CTR_RX_FRAMES], filled.frames);
	ms_ctr_add(&d->counter[MS_CTR_RX_BYTES], filled.bytes);
	if (ms_unlikely(filled.bad != 0))
		ms_ctr_add(&d->counter[MS_CTR_DROP_RX_SLOT], filled.bad);
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

	for (; group < all; group = end) {
		end = all - group > GROUP_DESTS ? group + GROUP_DESTS : all;
		for (dest = group; dest < end; dest++)
			dest_reserve(d, dest);
		for (dest = group; dest < end; dest++)
			dest_resolve(d, dest);
		for (dest = group; dest < end; dest++)
			dest_fill(d, dest);
		ms_os_fence(); /* E */
		for (dest = group; dest < end; dest++) {
			d->cells[dest->cell] = 0;
			if (dest->old_tail == dest->new_tail)
				continue;
			if (!ms_ring_wake(dest->ring, dest->old_tail,
					  dest->new_tail))
				continue;
			ms_ctr_add(&d->counter[MS_CTR_RX_WAKEUPS], 1);
		}
	}
	d->num = 0;
}
