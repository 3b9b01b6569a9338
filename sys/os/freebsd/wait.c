/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * wait.c: poll(2), kqueue(2), and who is woken.
 */
#include "ms_freebsd.h"

#include <sys/event.h>
#include <sys/poll.h>
#include <sys/proc.h>

#define READS (POLLIN | POLLRDNORM)
#define WRITES (POLLOUT | POLLWRNORM)
#define GONE (POLLERR | POLLHUP)

/* ---- events --------------------------------------------------------------- */

static void
event_init(struct ms_event *e)
{
	mtx_init(&e->lock, "multistack event", NULL, MTX_DEF);
	knlist_init_mtx(&e->sel.si_note, &e->lock);
}

static void
event_deinit(struct ms_event *e)
{
	seldrain(&e->sel);
	knlist_clear(&e->sel.si_note, 0);
	knlist_destroy(&e->sel.si_note);
	mtx_destroy(&e->lock);
}

/* A hint without locks whether anybody waits: who is about to looks again after
   he is on the list. */
static void
event_wake(struct ms_event *e)
{
	if (SEL_WAITING(&e->sel))
		selwakeup(&e->sel);
	if (!KNLIST_EMPTY(&e->sel.si_note))
		KNOTE_UNLOCKED(&e->sel.si_note, 0);
}

/* The core's fence is between the tail and here, that below between port->nic
   and here. They pair with those of the polls. */
void
ms_os_wake(struct ms_kring *ring)
{
	struct ms_waiter *w = ms_os_load_acquire(&ring->waiter);

	if (w == NULL)
		return;
	ms_os_fence();
	event_wake(&w->own);
	event_wake(w->all);
}

/* ---- readiness ------------------------------------------------------------ */

static bool
is_gone(const struct ms_kring *ring)
{
	return ms_os_load_acquire(&ring->port->nic) == NULL;
}

/*
 * The slots that a ring's owner has to do with, or 0. It sleeps until tail
 * passes the mark that it set with `wake`; a mark that is not in the ring was
 * never set.
 */
static uint32_t
ring_ready(const struct ms_kring *ring)
{
	uint32_t head = MS_USER_READ(ring->shared->head);
	uint32_t mark = MS_USER_READ(ring->shared->wake) - head;
	uint32_t own = ms_os_load_acquire(&ring->tail) - head;
	uint32_t slots = ring->mask + 1;

	if (own == 0 || own > slots)
		return 0;
	return mark > slots || mark < own ? own : 0;
}

static int
ring_events(const struct ms_kring *ring)
{
	int events = ring->is_rx ? READS : WRITES;

	if (is_gone(ring))
		return events | GONE;
	return ring_ready(ring) != 0 ? events : 0;
}

static int
all_events(struct ms_waiters *w)
{
	unsigned int num = ms_os_load_acquire(&w->num);
	unsigned int i;
	int events = 0;

	for (i = 0; i < num; i++)
		events |= ring_events(w->each[i].ring);
	return events;
}

/* ---- poll ----------------------------------------------------------------- */

int
ms_waiters_poll(struct ms_waiters *w, int events, struct thread *td)
{
	int now = all_events(w) & (events | GONE);

	if (now != 0)
		return now;
	selrecord(td, &w->all.sel);
	ms_os_fence(); /* pairs with ms_os_wake()'s */
	return all_events(w) & (events | GONE);
}

int
ms_waiter_poll(struct ms_waiter *w, int events, struct thread *td)
{
	int now = ring_events(w->ring) & (events | GONE);

	if (now != 0)
		return now;
	selrecord(td, &w->own.sel);
	ms_os_fence(); /* pairs with ms_os_wake()'s */
	return ring_events(w->ring) & (events | GONE);
}

/* ---- kqueue; ms_event.lock held in f_event -------------------------------- */

/* Adds what a ring has to say to a knote. */
static void
note_ring(struct knote *kn, const struct ms_kring *ring)
{
	if (ring->is_rx != (kn->kn_filter == EVFILT_READ))
		return;
	kn->kn_data += ring_ready(ring);
	if (is_gone(ring))
		kn->kn_flags |= EV_EOF;
}

static int
note_result(const struct knote *kn)
{
	return kn->kn_data != 0 || (kn->kn_flags & EV_EOF) != 0;
}

static int
all_note_event(struct knote *kn, long hint)
{
	struct ms_waiters *w = kn->kn_hook;
	unsigned int num = ms_os_load_acquire(&w->num);
	unsigned int i;

	ms_os_fence(); /* pairs with ms_os_wake()'s */
	kn->kn_data = 0;
	for (i = 0; i < num; i++)
		note_ring(kn, w->each[i].ring);
	return note_result(kn);
}

static void
all_note_detach(struct knote *kn)
{
	struct ms_waiters *w = kn->kn_hook;

	knlist_remove(&w->all.sel.si_note, kn, 0);
}

static int
own_note_event(struct knote *kn, long hint)
{
	const struct ms_waiter *w = kn->kn_hook;

	ms_os_fence(); /* pairs with ms_os_wake()'s */
	kn->kn_data = 0;
	note_ring(kn, w->ring);
	return note_result(kn);
}

static void
own_note_detach(struct knote *kn)
{
	struct ms_waiter *w = kn->kn_hook;

	knlist_remove(&w->own.sel.si_note, kn, 0);
}

static struct filterops all_filterops = {
	.f_isfd = 1,
	.f_detach = all_note_detach,
	.f_event = all_note_event,
};

static struct filterops own_filterops = {
	.f_isfd = 1,
	.f_detach = own_note_detach,
	.f_event = own_note_event,
};

int
ms_waiters_kqfilter(struct ms_waiters *w, struct knote *kn)
{
	if (kn->kn_filter != EVFILT_READ && kn->kn_filter != EVFILT_WRITE)
		return EINVAL;
	kn->kn_fop = &all_filterops;
	kn->kn_hook = w;
	knlist_add(&w->all.sel.si_note, kn, 0);
	return 0;
}

int
ms_waiter_kqfilter(struct ms_waiter *w, struct knote *kn)
{
	if (kn->kn_filter != (w->ring->is_rx ? EVFILT_READ : EVFILT_WRITE))
		return EINVAL;
	kn->kn_fop = &own_filterops;
	kn->kn_hook = w;
	knlist_add(&w->own.sel.si_note, kn, 0);
	return 0;
}

/* ---- beginning and end ---------------------------------------------------- */

void
ms_waiters_init(struct ms_waiters *w)
{
	event_init(&w->all);
}

/* Rings that are not waited for have waked nobody yet: whoever polls later
   sees what there is. */
int
ms_waiters_start(struct ms_waiters *w, struct ms_file *file,
		 struct ms_port *port)
{
	unsigned int num = (unsigned int)port->num_tx + port->num_rx;
	struct ms_waiter *each;
	unsigned int i;

	w->each = ms_os_alloc(num * sizeof(*w->each));
	if (w->each == NULL)
		return -ENOMEM;
	for (i = 0; i < num; i++) {
		each = &w->each[i];
		event_init(&each->own);
		each->all = &w->all;
		each->ring = i < port->num_tx ? &port->tx[i]
					      : &port->rx[i - port->num_tx];
		each->file = file;
		ms_os_store_release(&each->ring->waiter, (void *)each);
	}
	ms_os_store_release(&w->num, num);
	return 0;
}

void
ms_waiters_deinit(struct ms_waiters *w)
{
	unsigned int i;

	for (i = 0; i < w->num; i++)
		event_deinit(&w->each[i].own);
	ms_os_free(w->each);
	event_deinit(&w->all);
}
