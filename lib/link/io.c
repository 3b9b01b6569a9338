/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io.c: batches between the rings and the stack, and sleeping.
 *
 * Nothing is converted: a view of the port is a packet of the stack, byte for
 * byte, so the stack reads frames in the receive ring and writes them into the
 * transmit ring.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "internal.h"

#define SAME(field)                                                            \
	_Static_assert(offsetof(utcp_pkt_t, field) ==                          \
			   offsetof(msport_view_t, field),                     \
		       #field)
SAME(data);
SAME(len);
SAME(flags);
SAME(gso_type);
SAME(gso_size);
SAME(csum_start);
SAME(csum_offset);
SAME(pad);
/* A stack's port taps nothing: it is 0. */
_Static_assert(offsetof(utcp_pkt_t, reserved) ==
		   offsetof(msport_view_t, reason),
	       "");
_Static_assert(sizeof(utcp_pkt_t) == sizeof(msport_view_t), "");
_Static_assert(UTCP_PKT_MORE == MS_SLOT_MORE, "");
_Static_assert(UTCP_PKT_CSUM_PARTIAL == MS_SLOT_CSUM_PARTIAL, "");
_Static_assert(UTCP_PKT_CSUM_OK == MS_SLOT_CSUM_OK, "");
_Static_assert(UTCP_PKT_PARTS_MAX <= MS_FRAME_SLOTS_MAX, "");
_Static_assert((int)UTCP_GSO_TCP4 == (int)MS_GSO_TCP4, "");
_Static_assert((int)UTCP_GSO_TCP6 == (int)MS_GSO_TCP6, "");
_Static_assert((int)UTCP_GSO_UDP == (int)MS_GSO_UDP, "");

#define ROOM_NS 1000000u /* between looks for room to transmit */
#define END_NS 1000000u	 /* and whether the last of a port has left */

uint64_t
mslink_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- in ------------------------------------------------------------------------ */

/* The stack lets go of the frames of the last batch. */
static void
release(mslink_t *l)
{
	if (l->unreleased == 0 && !l->loop_lent)
		return;
	utcp_retain(l->u);
	mslink__loop_release(l);
	if (l->unreleased)
		msport_rx_release(l->port, l->ring, l->unreleased);
	l->unreleased = 0;
}

int
mslink_poll(mslink_t *l)
{
	unsigned int looped;
	bool first = true;
	int n;

	if (!l)
		return -EINVAL;
	release(l);
	COUNT(l, POLLS);
	utcp_advance(l->u, mslink_now_ns());
	if (utcp_now_ns(l->u) >= l->table_due_ns)
		mslink__table_write(l, utcp_now_ns(l->u));
	if (__atomic_load_n(&l->group->idle.first, __ATOMIC_RELAXED))
		mslink__claims_expire(l->group, utcp_now_ns(l->u));
	if (__atomic_load_n(l->route_gen, __ATOMIC_RELAXED) != l->gen)
		mslink__routes_moved(l);
	looped = mslink__loop_input(l);
	n = msport_rx(l->port, l->ring, l->rx, MSLINK__BATCH);
	if (n <= 0)
		return n < 0 ? n : (int)looped;
	for (int i = 0; i < n; i++) {
		if (first)
			mslink__learn(l, &l->rx[i]);
		first = !(l->rx[i].flags & MS_SLOT_MORE);
	}
	l->unreleased = (unsigned int)n;
	mslink__table_touch(l);
	COUNT_N(l, VIEWS_IN, (unsigned int)n);
	l->frame_ns = utcp_now_ns(l->u);
	mslink__spin_found(&l->spin, l->frame_ns);
	(void)utcp_input(l->u, (const utcp_pkt_t *)l->rx, (unsigned int)n);
	return n + (int)looped;
}

/* ---- out ------------------------------------------------------------------------ */

/* Views of the frame that starts at v[0]. */
static unsigned int
frame_views(const msport_view_t *v)
{
	unsigned int n = 1;

	while (v[n - 1].flags & MS_SLOT_MORE)
		n++;
	return n;
}

/*
 * Moves a frame to views further in front, whose own frames did not leave. The
 * bytes move, not the buffers: each slot has to keep its own.
 */
static void
move_down(msport_view_t *to, const msport_view_t *from, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *data = to[i].data;

		memcpy(data, from[i].data, from[i].len);
		to[i] = from[i];
		to[i].data = data;
	}
}

/* Gives the n views of whole frames their Ethernet headers; returns how many
   views are to leave, all in front. */
static unsigned int
address_all(mslink_t *l, msport_view_t *v, unsigned int n)
{
	uint64_t now_ns = utcp_now_ns(l->u);
	unsigned int at, kept = 0, k;

	for (at = 0; at < n; at += k) {
		int e = mslink__address(l, &v[at], now_ns);

		k = frame_views(&v[at]);
		if (e == 0) {
			if (kept != at)
				move_down(&v[kept], &v[at], k);
			kept += k;
		} else if (e == -ELOOP) {
			mslink__loop_put(l, &v[at], k);
		} else if (e == -EAGAIN) {
			mslink__hold(l, &v[at], k, now_ns);
		} else {
			COUNT(l, DROP_NO_ROUTE);
		}
	}
	return kept;
}

uint32_t
mslink__under_way(const mslink_t *l)
{
	uint32_t head = __atomic_load_n(&l->tx_ring->head, __ATOMIC_RELAXED);
	uint32_t tail = __atomic_load_n(&l->tx_ring->tail, __ATOMIC_ACQUIRE);

	return l->tx_ring->num_slots - (tail - head);
}

/*
 * Free slots as views. In process a frame has left when msport_sync() returns,
 * so a few buffers do for the whole ring if not more slots than those are under
 * way: they stay in the cache, where the ring's own would each be cold again.
 */
static int
reserve(mslink_t *l, unsigned int want)
{
	uint32_t left;
	int n;

	if (l->num_hot == 0)
		return msport_tx(l->port, l->ring, l->tx, want);
	left = mslink__under_way(l);
	left = left < l->num_hot ? l->num_hot - left : 0;
	n = msport_tx(l->port, l->ring, l->tx, want < left ? want : left);
	for (int i = 0; i < n; i++)
		l->tx[i].data =
		    l->hot[(l->next_hot + (unsigned int)i) % l->num_hot];
	return n;
}

/* The same, at least those of one frame if that can be had. */
static int
room(mslink_t *l, unsigned int want)
{
	int n = reserve(l, want);

	if (n < 0 || n >= (int)l->frame_views)
		return n;
	/* The ring is nearly full: the switch may take some at once. */
	n = msport_sync(l->port, l->ring);
	return n ? n : reserve(l, want);
}

/* Fills and commits slots; how many, or an error. */
static int
send_all(mslink_t *l)
{
	unsigned int sent = 0, want;
	int n, out, made;
	bool held;

	want = l->last_out + l->frame_views;
	held = l->num_held && utcp_now_ns(l->u) >= l->held_next_ns;
	release(l);
	l->want_room = false;
	for (;;) {
		if (want > MSLINK__BATCH)
			want = MSLINK__BATCH;
		n = room(l, want);
		if (n < 0)
			return n;
		made = out = 0;
		if (held && n > 0)
			made = out = (int)mslink__unhold(
			    l, l->tx, (unsigned int)n, utcp_now_ns(l->u));
		held = false;
		if (made == 0 && n > 0) {
			made = utcp_output(l->u, (utcp_pkt_t *)l->tx,
					   (unsigned int)n);
			out = (int)address_all(l, l->tx, (unsigned int)made);
		}
		if (made == 0)
			break;
		(void)msport_tx_commit(l->port, l->ring, l->tx,
				       (unsigned int)out);
		sent += (unsigned int)out;
		l->next_hot += (unsigned int)out;
		want = MSLINK__BATCH;
	}
	if (n < (int)l->frame_views &&
	    utcp_next_ns(l->u) <= utcp_now_ns(l->u)) {
		l->want_room = true;
		COUNT(l, NO_ROOM);
	}
	l->last_out = sent;
	return (int)sent;
}

int
mslink_flush(mslink_t *l)
{
	int sent, r;

	if (!l)
		return -EINVAL;
	l->sending = true;
	sent = send_all(l);
	l->sending = false;
	if (sent < 0)
		return sent;
	if (sent > 0) {
		COUNT_N(l, VIEWS_OUT, (unsigned int)sent);
		l->frame_ns = utcp_now_ns(l->u);
		mslink__table_touch(l);
		r = msport_sync(l->port, l->ring);
		if (r)
			return r;
	}
	if (mslink__claims_wait(l->group) && mslink__under_way(l) == 0)
		mslink__claims_end(l->group);
	return sent;
}

/* ---- sleeping ---------------------------------------------------------------------- */

uint64_t
mslink_timeout_ns(const mslink_t *l)
{
	uint64_t at, now;

	if (!l)
		return UTCP_NEVER;
	if (l->loop)
		return 0;
	at = utcp_next_ns(l->u);
	if (mslink__claims_wait(l->group) && at > utcp_now_ns(l->u) + END_NS)
		at = utcp_now_ns(l->u) + END_NS;
	if (l->num_held && l->held_next_ns < at)
		at = l->held_next_ns;
	if (l->table_due_ns < at)
		at = l->table_due_ns;
	if (at == UTCP_NEVER)
		return UTCP_NEVER;
	now = mslink_now_ns();
	/* What is due in vain waits for room, of which an event loop hears by
	   looking: its descriptor is the receive ring's. */
	if (at <= now)
		return l->want_room ? ROOM_NS : 0;
	return at - now;
}

int
mslink_fd(mslink_t *l)
{
	return l ? msport_fd(l->port, 1, l->ring) : -EINVAL;
}

int
mslink_arm(mslink_t *l)
{
	int r;

	if (!l)
		return -EINVAL;
	if (l->loop)
		return 1;
	r = msport_arm(l->port, 1, l->ring);
	if (r == 0 && l->want_room)
		r = msport_arm(l->port, 0, l->ring);
	if (r == 0)
		mslink__spin_sleeps(&l->spin, mslink_now_ns());
	return r;
}

void
mslink_spin(mslink_t *l, uint32_t us)
{
	if (l)
		mslink__spin_init(&l->spin, us);
}

int
mslink_near(mslink_t *l)
{
	if (!l || !mslink__spin_more(&l->spin, mslink_now_ns(), l->frame_ns))
		return 0;
	/* Who sends the next frame may wait for this processor. */
	(void)sched_yield();
	return 1;
}

int
mslink_wait(mslink_t *l, int timeout_ms)
{
	uint64_t ns = mslink_timeout_ns(l);
	struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLIN } };
	struct timespec t;
	int r;

	if (!l)
		return -EINVAL;
	if (ns == 0 || (timeout_ms && mslink_near(l)))
		return 1;
	if (timeout_ms >= 0 && (uint64_t)timeout_ms * 1000000u < ns)
		ns = (uint64_t)timeout_ms * 1000000u;
	r = mslink_arm(l);
	if (r || ns == 0)
		return r;
	p[0].fd = mslink_fd(l);
	p[1].fd = l->want_room ? msport_fd(l->port, 0, l->ring) : -1;
	if (p[0].fd < 0)
		return p[0].fd;
	t.tv_sec = (time_t)(ns / 1000000000u);
	t.tv_nsec = (long)(ns % 1000000000u);
	COUNT(l, SLEEPS);
	r = ppoll(p, 2, ns == UTCP_NEVER ? NULL : &t, NULL);
	if (r < 0)
		return -errno;
	return r > 0 || mslink_timeout_ns(l) == 0;
}
