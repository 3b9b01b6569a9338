/* SPDX-License-Identifier: BSD-2-Clause */
/* ring.c: batches of frames in and out; the calls that have to be fast. */
#include <errno.h>
#include <string.h>

#include "internal.h"

/* A slot as two words, so that it is read and written once. */
union slot {
	uint64_t w[2];
	struct ms_slot s;
};

static inline void
slot_read(union slot *u, const struct ms_slot *slot)
{
	const uint64_t *w = (const uint64_t *)(const void *)slot;

	u->w[0] = __atomic_load_n(&w[0], __ATOMIC_RELAXED);
	u->w[1] = __atomic_load_n(&w[1], __ATOMIC_RELAXED);
}

static inline void
slot_write(struct ms_slot *slot, const union slot *u)
{
	uint64_t *w = (uint64_t *)(void *)slot;

	__atomic_store_n(&w[0], u->w[0], __ATOMIC_RELAXED);
	__atomic_store_n(&w[1], u->w[1], __ATOMIC_RELAXED);
}

/*
 * Looks at the switch's index (barrier B). The slots from `from` on that are
 * the user's, or -EBADMSG. Asks again only if fewer than `want` are known of:
 * the line belongs to another processor's cache.
 */
static inline int
look(struct msport__ring *r, uint32_t from, unsigned int want)
{
	if (r->tail - from < want) {
		uint32_t tail = __atomic_load_n(&r->shared->tail,
						__ATOMIC_ACQUIRE);

		if (ms_unlikely(tail - r->head > r->mask + 1 ||
				tail - from > tail - r->head))
			return -EBADMSG;
		r->tail = tail;
	}
	return (int)(r->tail - from);
}

/* Views of at most n slots of the `have` from r->next on. Whole frames, or
   -EMSGSIZE or -EBADMSG if there is not one. */
static int
rx_views(struct msport__ring *r, msport_view_t *views, unsigned int n,
	 unsigned int have)
{
	unsigned int i, whole = 0, most = n < have ? n : have;

	for (i = 0; i < most; i++) {
		msport_view_t *v = &views[i];
		union slot u;
		uint32_t len;

		slot_read(&u, &r->slots[(r->next + i) & r->mask]);
		len = u.s.len ? u.s.len : 65536;
		if (ms_unlikely(u.s.buf >= r->num_bufs ||
				len > 1u << r->buf_shift))
			break;
		v->data = r->bufs + ((size_t)u.s.buf << r->buf_shift);
		ms_prefetch(v->data);
		v->len = len;
		v->flags = u.s.flags;
		v->gso_type = u.s.gso_type;
		v->reason = u.s.reason;
		v->gso_size = u.s.gso_size;
		v->csum_start = u.s.csum_start;
		v->csum_offset = u.s.csum_offset;
		v->pad = 0;
		if (ms_likely(!(u.s.flags & MS_SLOT_MORE)))
			whole = i + 1;
		else if (ms_unlikely(i - whole >= MS_FRAME_SLOTS_MAX))
			break;
	}
	if (ms_likely(whole))
		return (int)whole;
	return i == n && n < have ? -EMSGSIZE : -EBADMSG;
}

int
msport_rx(msport_t *port, unsigned int ring, msport_view_t *views,
	  unsigned int n)
{
	struct msport__ring *r;
	int have, got;

	if (ms_unlikely(ring >= port->num_rx))
		return msport__no_ring(port, ring);
	r = &port->rx[ring];
	if (ms_unlikely(n == 0))
		return 0;
	have = look(r, r->next, n);
	if (have == 0) {
		int e = msport__idle(port, r);

		/* Even of a dead switch, what it left is good. */
		have = look(r, r->next, n);
		if (have == 0)
			return e;
	}
	if (ms_unlikely(have < 0))
		return msport__bad(port);
	r->idle = 0;
	got = rx_views(r, views, n, (unsigned int)have);
	if (ms_unlikely(got < 0))
		return got == -EBADMSG ? msport__bad(port) : got;
	r->next += (uint32_t)got;
	return got;
}

void
msport_rx_release(msport_t *port, unsigned int ring, unsigned int n)
{
	struct msport__ring *r;

	if (ms_unlikely(ring >= port->num_rx))
		return;
	r = &port->rx[ring];
	if (ms_unlikely(n > r->next - r->head))
		n = r->next - r->head;
	r->head += n;
	__atomic_store_n(&r->shared->head, r->head, __ATOMIC_RELEASE); /* C */
}

/* The number of the buffer that starts at data, or num_bufs if none does. */
static inline uint32_t
buf_number(const struct msport__ring *r, const uint8_t *data)
{
	uintptr_t ofs = (uintptr_t)data - (uintptr_t)r->bufs;

	if (ms_unlikely((ofs & ((1u << r->buf_shift) - 1)) != 0 ||
			ofs >> r->buf_shift >= r->num_bufs))
		return r->num_bufs;
	return (uint32_t)(ofs >> r->buf_shift);
}

int
msport_rx_swap(msport_t *port, unsigned int ring, unsigned int i,
	       uint8_t *spare)
{
	struct msport__ring *r;
	uint32_t buf;

	if (ring >= port->num_rx)
		return msport__no_ring(port, ring);
	r = &port->rx[ring];
	buf = buf_number(r, spare);
	if (i >= r->next - r->head || buf == r->num_bufs)
		return -EINVAL;
	__atomic_store_n(&r->slots[(r->head + i) & r->mask].buf, buf,
			 __ATOMIC_RELAXED);
	return 0;
}

int
msport_tx(msport_t *port, unsigned int ring, msport_view_t *views,
	  unsigned int n)
{
	struct msport__ring *r;
	uint32_t bytes;
	int have;

	if (ms_unlikely(ring >= port->num_tx))
		return msport__no_ring(port, ring);
	r = &port->tx[ring];
	have = look(r, r->head, n);
	if (have == 0 && n) {
		int e = msport__idle(port, r);

		have = look(r, r->head, n);
		if (e || have == 0)
			return e;
	}
	if (ms_unlikely(have < 0))
		return msport__bad(port);
	r->idle = 0;
	if ((unsigned int)have < n)
		n = (unsigned int)have;
	bytes = 1u << r->buf_shift;
	for (unsigned int i = 0; i < n; i++) {
		const struct ms_slot *s = &r->slots[(r->head + i) & r->mask];
		uint32_t buf = __atomic_load_n(&s->buf, __ATOMIC_RELAXED);

		if (ms_unlikely(buf >= r->num_bufs))
			return msport__bad(port);
		views[i] = (msport_view_t){
			.data = r->bufs + ((size_t)buf << r->buf_shift),
			.len = bytes,
		};
		ms_prefetchw(views[i].data);
	}
	return (int)n;
}

int
msport_tx_commit(msport_t *port, unsigned int ring, const msport_view_t *views,
		 unsigned int n)
{
	struct msport__ring *r;
	uint32_t bytes;

	if (ms_unlikely(ring >= port->num_tx))
		return msport__no_ring(port, ring);
	r = &port->tx[ring];
	if (n == 0)
		return 0;
	if (ms_unlikely(n > r->tail - r->head ||
			(views[n - 1].flags & MS_SLOT_MORE)))
		return -EINVAL;
	bytes = 1u << r->buf_shift;
	for (unsigned int i = 0; i < n; i++) {
		const msport_view_t *v = &views[i];
		union slot u;

		u.s.buf = buf_number(r, v->data);
		if (ms_unlikely(u.s.buf == r->num_bufs || v->len - 1 >= bytes))
			return -EINVAL;
		u.s.len = (uint16_t)v->len; /* 65536 is written as 0 */
		u.s.flags = v->flags;
		u.s.gso_type = v->gso_type;
		u.s.reason = 0;
		u.s.gso_size = v->gso_size;
		u.s.csum_start = v->csum_start;
		u.s.csum_offset = v->csum_offset;
		slot_write(&r->slots[(r->head + i) & r->mask], &u);
	}
	r->head += n;
	__atomic_store_n(&r->shared->head, r->head, __ATOMIC_RELEASE); /* C */
	return 0;
}

int
msport_sync(msport_t *port, unsigned int ring)
{
	struct msport__ring *r;

	if (ms_unlikely(ring >= port->num_tx))
		return msport__no_ring(port, ring);
	r = &port->tx[ring];
	if (r->steps) {
		int e = msport__gone(port, r);

		r->synced = r->head;
		return e ? e : port->ops->look(port, r);
	}
	if (r->head != r->synced) {
		r->synced = r->head;
		ms_os_fence(); /* H */
		if (__atomic_load_n(&r->shared->doze, __ATOMIC_RELAXED))
			port->ops->kick(port, r);
	}
	if (ms_unlikely(__atomic_load_n(&port->dead, __ATOMIC_RELAXED)))
		return port->dead;
	return msport__gone(port, r);
}

int
msport_recv(msport_t *port, unsigned int ring, void *buf, size_t len)
{
	msport_view_t views[MS_FRAME_SLOTS_MAX];
	struct msport__ring *r;
	size_t frame = 0;
	unsigned int i;
	int n;

	/* One frame and no more: the views behind it are given back. */
	n = msport_rx(port, ring, views, 1);
	if (n == -EMSGSIZE)
		n = msport_rx(port, ring, views, MS_FRAME_SLOTS_MAX);
	if (n <= 0)
		return n;
	r = &port->rx[ring];
	for (i = 0; i < (unsigned int)n; i++) {
		size_t room = len > frame ? len - frame : 0;

		memcpy((uint8_t *)buf + frame, views[i].data,
		       views[i].len < room ? views[i].len : room);
		frame += views[i].len;
		if (!(views[i].flags & MS_SLOT_MORE))
			break;
	}
	r->next -= (unsigned int)n - (i + 1);
	msport_rx_release(port, ring, i + 1);
	return frame > len ? -EMSGSIZE : (int)frame;
}

int
msport_send(msport_t *port, unsigned int ring, const void *frame, size_t len)
{
	msport_view_t views[MS_FRAME_SLOTS_MAX];
	uint32_t bytes = 1u << port->buf_shift, need, i;
	int n;

	if (ring >= port->num_tx)
		return msport__no_ring(port, ring);
	if (len == 0)
		return -EINVAL;
	if (len > MS_FRAME_BYTES_MAX)
		return -EMSGSIZE;
	need = (uint32_t)((len + bytes - 1) >> port->buf_shift);
	if (need > MS_FRAME_SLOTS_MAX || need > port->tx[ring].mask + 1)
		return -EMSGSIZE;
	n = msport_tx(port, ring, views, need);
	if (n < 0)
		return n;
	if ((uint32_t)n < need) {
		n = msport_sync(port, ring);
		if (n == 0)
			n = msport_tx(port, ring, views, need);
		if (n < 0)
			return n;
		if ((uint32_t)n < need)
			return -ENOBUFS;
	}
	for (i = 0; i < need; i++) {
		views[i].len = i + 1 < need ? bytes : (uint32_t)len - i * bytes;
		views[i].flags = i + 1 < need ? MS_SLOT_MORE : 0;
		memcpy(views[i].data, (const uint8_t *)frame + i * bytes,
		       views[i].len);
	}
	n = msport_tx_commit(port, ring, views, need);
	return n ? n : msport_sync(port, ring);
}
