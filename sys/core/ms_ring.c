/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* ms_ring.c: rings, and how a frame gets into those of receivers. */
#include "ms_fill.h"
#include "ms_tx.h"

_Static_assert(offsetof(struct ms_slot, flags) + sizeof(struct ms_meta) ==
		   sizeof(struct ms_slot),
	       "ms_meta is the end of ms_slot");
_Static_assert(offsetof(struct ms_kring, counter) + 16 == MS_CACHE_LINE ||
		   sizeof(struct ms_spin) > 4 || sizeof(void *) < 8,
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

/* The queue that transmit ring `index` of a port sends by. */
static unsigned int
ring_queue(const struct ms_port *port, uint16_t index)
{
	const struct ms_nic *nic = port->nic;
	uint32_t first = nic->spread ? port->id : 0;

	return (first + index) % nic->num_queues;
}

int
ms_kring_init(struct ms_kring *ring, struct ms_port *port,
	      struct ms_ring *shared, uint8_t *bufs, bool is_rx, uint16_t index,
	      uint32_t first_buf)
{
	struct ms_nic *nic = port->nic;

	ring->mask = port->slots - 1;
	if (is_rx) {
		ring->note = ms_os_alloc(port->slots * sizeof(*ring->note));
		if (ring->note == NULL)
			return -ENOMEM;
	} else if (nic->holds && ms_holds_create(ring, &ring->holds) != 0) {
		return -ENOMEM;
	}
	ring->shared = shared;
	ring->slots = (struct ms_slot *)(void *)(shared + 1);
	ring->bufs = bufs;
	ms_spin_init(&ring->lock);
	ring->num_bufs = port->num_bufs;
	while (1u << ring->buf_shift < port->buf_bytes)
		ring->buf_shift++;
	ring->is_rx = is_rx;
	ring->port = port;
	ring->index = index;
	/* All slots are free: a receive ring's are the switch's, a transmit
	   ring's the user's. */
	ring->tail = is_rx ? 0 : port->slots;
	ring->limit = ring->tail;
	ring->dozing = !is_rx;
	if (!is_rx)
		ring->sched = &nic->sched[ring_queue(port, index)];
	shared_init(ring, port->buf_bytes, first_buf);
	return 0;
}

void
ms_kring_deinit(struct ms_kring *ring)
{
	if (ring->shared == NULL)
		return;
	ms_holds_destroy(ring->holds);
	ring->holds = NULL;
	ms_os_free(ring->note);
	ms_spin_deinit(&ring->lock);
	ring->note = NULL;
	ring->shared = NULL;
}

/* ---- leases ------------------------------------------------------------- */

void
ms_ring_refresh(struct ms_kring *ring)
{
	uint32_t head = ms_os_load_acquire(&ring->shared->head); /* D */
	uint32_t limit = ms_os_load_once(&ring->limit);

	if (ms_likely(head - ring->head <= limit - ring->head))
		ring->head = head;
	else
		ms_ctr_add(&ring->counter[MS_CTR_BAD_HEAD], 1);
}

uint32_t
ms_ring_reserve(struct ms_kring *ring, uint32_t least, uint32_t want,
		struct ms_lease *lease)
{
	uint32_t got;

	ms_spin_lock(&ring->lock);
	got = ms_ring_take(ring, least, want, lease);
	ms_spin_unlock(&ring->lock);
	return got;
}

/*
 * Only by who may move tail: it is where his lease starts. In this order: what
 * the user may consume, what he sees, and last the word to the holder of the
 * next lease, that it is his turn.
 */
static inline void
tail_move(struct ms_kring *ring, uint32_t end)
{
	ms_os_store_once(&ring->limit, end);
	ms_os_store_release(&ring->shared->tail, end); /* A */
	ms_os_store_release(&ring->tail, end);
}

void
ms_ring_publish(struct ms_kring *ring, struct ms_lease *lease)
{
	struct ms_note *note;

	lease->published = ms_os_load_acquire(&ring->tail) == lease->first;
	if (ms_likely(lease->published)) {
		tail_move(ring, lease->first + lease->slots);
		return;
	}
	ms_spin_lock(&ring->lock);
	note = &ring->note[lease->first & ring->mask];
	note->first = lease->first;
	note->slots = lease->slots;
	ring->waiting++;
	ms_spin_unlock(&ring->lock);
}

/* Moves tail over the noted leases that it has come to; from *start, which is
   set, to what is returned. */
static uint32_t
collect(struct ms_kring *ring, uint32_t *start)
{
	struct ms_note *note;
	uint32_t end;

	ms_spin_lock(&ring->lock);
	end = ms_os_load_acquire(&ring->tail);
	*start = end;
	while (ring->waiting != 0) {
		note = &ring->note[end & ring->mask];
		if (note->slots == 0 || note->first != end)
			break;
		end += note->slots;
		note->slots = 0;
		ring->waiting--;
	}
	if (end != *start)
		tail_move(ring, end);
	ms_spin_unlock(&ring->lock);
	return end;
}

/*
 * Whoever moved tail owes the wake for all that he moved it over, be it his own
 * lease or another's. There are noted leases only if somebody has reserved
 * behind this one: if he did so before barrier E of this context, that shows
 * here; if after it, he finds tail moved when he looks, after his own E.
 */
bool
ms_ring_settle(struct ms_kring *ring, const struct ms_lease *lease)
{
	uint32_t end = lease->first + lease->slots;
	uint32_t from, to;
	bool woken = false;

	if (ms_unlikely(!lease->published ||
			ms_os_load_once(&ring->reserved) != end)) {
		to = collect(ring, &from);
		if (from != to) {
			ms_os_fence(); /* E */
			woken = ms_ring_wake(ring, from, to);
		}
	}
	if (lease->published && !woken)
		woken = ms_ring_wake(ring, lease->first, end);
	return woken;
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

uint32_t
ms_kring_ready(const struct ms_kring *ring)
{
	uint32_t head = MS_USER_READ(ring->shared->head);
	uint32_t mark = MS_USER_READ(ring->shared->wake) - head;
	uint32_t own = ms_os_load_acquire(&ring->tail) - head;
	uint32_t slots = ring->mask + 1;

	if (own == 0 || own > slots)
		return 0;
	return mark > slots || mark < own ? own : 0;
}

bool
ms_kring_tx_unsent(const struct ms_kring *ring)
{
	uint32_t head = MS_USER_READ(ring->shared->head);
	uint32_t left = head - ms_os_load_once(&ring->pos);

	return ms_os_load_acquire(&ring->sched) != NULL && left != 0 &&
	       left <= ring->mask + 1;
}

/* ---- counting ----------------------------------------------------------- */

static void
lose(struct ms_kring *ring, enum ms_counter which, uint32_t n)
{
	ms_ctr_add(&ring->counter[which], n);
	ring->lost += n;
	MS_USER_WRITE(ring->shared->lost, ring->lost);
}

void
ms_ring_count(struct ms_kring *ring, enum ms_counter which, uint64_t n)
{
	ms_spin_lock(&ring->lock);
	if (which == MS_CTR_RX_WAKEUPS || which == MS_CTR_TAP_FRAMES ||
	    which == MS_CTR_RX_BYTES)
		ms_ctr_add(&ring->counter[which], n);
	else
		lose(ring, which, (uint32_t)n);
	ms_spin_unlock(&ring->lock);
}

void
ms_ring_count_bad(struct ms_kring *ring, uint64_t *counter, uint32_t bad,
		  uint64_t bytes)
{
	ms_spin_lock(&ring->lock);
	ms_ctr_add(&ring->counter[MS_CTR_RX_FRAMES], 0 - (uint64_t)bad);
	ms_ctr_add(&ring->counter[MS_CTR_RX_BYTES], 0 - bytes);
	lose(ring, MS_CTR_DROP_RX_SLOT, bad);
	ms_spin_unlock(&ring->lock);
	ms_ctr_add(&counter[MS_CTR_RX_FRAMES], 0 - (uint64_t)bad);
	ms_ctr_add(&counter[MS_CTR_RX_BYTES], 0 - bytes);
	ms_ctr_add(&counter[MS_CTR_DROP_RX_SLOT], bad);
}

/* ---- filling ------------------------------------------------------------ */

void
ms_slots_void(struct ms_kring *ring, uint32_t pos, uint32_t slots)
{
	static const struct ms_meta none;

	while (slots-- > 0)
		ms_slot_write(ms_ring_slot(ring, pos++), 0, &none);
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

void
ms_frame_gather(uint8_t *d, const struct ms_frame *f)
{
	struct cursor c;

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
		dst[i] = ms_slot_buf(ring, lease->first + i);
		if (dst[i] == NULL) {
			ms_slots_void(ring, lease->first, lease->slots);
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
		ms_slot_write(ms_ring_slot(ring, lease->first + i), n, &meta);
		memset(&meta, 0, sizeof(meta));
	}
	return true;
}

enum ms_counter
ms_ring_put(struct ms_kring *ring, const struct ms_frame *f, uint16_t flags,
	    struct ms_lease *lease)
{
	uint32_t slots;
	bool filled;

	lease->slots = 0;
	if (ms_os_load_once(&ring->stopped))
		return MS_CTR_DROP_RX_GONE;
	slots = ((f->len - 1) >> ring->buf_shift) + 1;
	if (f->len == 0 || slots > MS_FRAME_SLOTS_MAX || slots > ring->mask + 1)
		return MS_CTR_DROP_RX_LONG;
	if (ms_ring_reserve(ring, slots, slots, lease) == 0)
		return MS_CTR_DROP_RX_FULL;
	filled = fill_slots(ring, lease, f, flags);
	ms_ring_publish(ring, lease);
	return filled ? MS_CTR_RX_FRAMES : MS_CTR_DROP_RX_SLOT;
}

/* ---- a frame alone ------------------------------------------------------ */

void
ms_ring_fetch_slot(const struct ms_kring *ring)
{
	ms_prefetchw(&ring->shared->tail);
	ms_prefetch(&ring->shared->head);
	ms_prefetchw(ms_ring_slot(ring, ms_os_load_once(&ring->reserved)));
}

void
ms_ring_fetch_buf(const struct ms_kring *ring)
{
	uint8_t *to = ms_slot_buf(ring, ms_os_load_once(&ring->reserved));

	if (ms_likely(to != NULL))
		ms_prefetchw(to);
}

bool
ms_ring_put_one(struct ms_kring *ring, const struct ms_frame *f,
		uint64_t *counter)
{
	struct ms_lease lease;
	uint8_t *to;

	if (ms_unlikely(ms_os_load_once(&ring->stopped) ||
			ms_os_load_once(&ring->tapped) ||
			f->len > 1u << ring->buf_shift))
		return false;
	ms_spin_lock_packet(&ring->lock);
	if (ms_unlikely(ms_ring_take(ring, 1, 1, &lease) == 0)) {
		lose(ring, MS_CTR_DROP_RX_FULL, 1);
		ms_spin_unlock_packet(&ring->lock);
		ms_ctr_add(&counter[MS_CTR_DROP_RX_FULL], 1);
		return true;
	}
	ms_ring_received(ring, 1, f->len);
	ms_spin_unlock_packet(&ring->lock);
	ms_ctr_add(&counter[MS_CTR_RX_FRAMES], 1);
	ms_ctr_add(&counter[MS_CTR_RX_BYTES], f->len);
	to = ms_slot_buf(ring, lease.first);
	if (ms_likely(to != NULL)) {
		ms_frame_copy(to, f);
		ms_slot_write(ms_ring_slot(ring, lease.first), f->len,
			      &f->meta);
	} else {
		ms_slots_void(ring, lease.first, 1);
	}
	ms_ring_publish(ring, &lease);
	if (ms_unlikely(to == NULL))
		ms_ring_count_bad(ring, counter, 1, f->len);
	ms_os_fence(); /* E */
	if (ms_unlikely(ms_ring_settle(ring, &lease)))
		ms_ctr_add(&counter[MS_CTR_RX_WAKEUPS], 1);
	return true;
}
