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

void
ms_event_init(struct ms_event *e)
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

static int
ring_events(const struct ms_kring *ring)
{
	int events = ring->is_rx ? READS : WRITES;

	if (is_gone(ring))
		return events | GONE;
	return ms_kring_ready(ring) != 0 ? events : 0;
}

static int
events_now(const struct ms_event *e, int wanted)
{
	unsigned int num = ms_os_load_acquire(&e->num);
	unsigned int i;
	int events = 0;

	for (i = 0; i < num; i++)
		events |= ring_events(e->first[i].ring);
	return events & (wanted | GONE);
}

int
ms_event_poll(struct ms_event *e, int wanted, struct thread *td)
{
	int events = events_now(e, wanted);

	if (events != 0)
		return events;
	selrecord(td, &e->sel);
	ms_os_fence(); /* pairs with ms_os_wake()'s */
	return events_now(e, wanted);
}

/* ---- kqueue --------------------------------------------------------------- */

/* e->lock is held. */
static int
note_event(struct knote *kn, long hint)
{
	const struct ms_event *e = kn->kn_hook;
	unsigned int num = ms_os_load_acquire(&e->num);
	const struct ms_kring *ring;
	unsigned int i;

	ms_os_fence(); /* pairs with ms_os_wake()'s */
	kn->kn_data = 0;
	for (i = 0; i < num; i++) {
		ring = e->first[i].ring;
		if (ring->is_rx != (kn->kn_filter == EVFILT_READ))
			continue;
		kn->kn_data += ms_kring_ready(ring);
		if (is_gone(ring))
			kn->kn_flags |= EV_EOF;
	}
	return kn->kn_data != 0 || (kn->kn_flags & EV_EOF) != 0;
}

static void
note_detach(struct knote *kn)
{
	struct ms_event *e = kn->kn_hook;

	knlist_remove(&e->sel.si_note, kn, 0);
}

static struct filterops note_filterops = {
	.f_isfd = 1,
	.f_detach = note_detach,
	.f_event = note_event,
};

int
ms_event_kqfilter(struct ms_event *e, struct knote *kn)
{
	if (kn->kn_filter != EVFILT_READ && kn->kn_filter != EVFILT_WRITE)
		return EINVAL;
	kn->kn_fop = &note_filterops;
	kn->kn_hook = e;
	knlist_add(&e->sel.si_note, kn, 0);
	return 0;
}

/* ---- the rings of a port ---------------------------------------------------- */

/* Rings that are not waited for have waked nobody yet: whoever polls later
   sees what there is. */
int
ms_event_start(struct ms_event *all, struct ms_file *file, struct ms_port *port)
{
	unsigned int num = (unsigned int)port->num_tx + port->num_rx;
	struct ms_waiter *w;
	unsigned int i;

	all->first = ms_os_alloc(num * sizeof(*w));
	if (all->first == NULL)
		return -ENOMEM;
	for (i = 0; i < num; i++) {
		w = &all->first[i];
		ms_event_init(&w->own);
		w->own.first = w;
		w->own.num = 1;
		w->all = all;
		w->ring = i < port->num_tx ? &port->tx[i]
					   : &port->rx[i - port->num_tx];
		w->file = file;
		ms_os_store_release(&w->ring->waiter, (void *)w);
	}
	ms_os_store_release(&all->num, num);
	return 0;
}

void
ms_event_end(struct ms_event *all)
{
	unsigned int i;

	for (i = 0; i < all->num; i++)
		event_deinit(&all->first[i].own);
	ms_os_free(all->first);
	event_deinit(all);
}
