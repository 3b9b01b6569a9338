/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_sched.c: whose turn it is to send: deficit round robin over the rings of
 * a queue. One runs it at a time; whoever comes meanwhile leaves its ring on
 * the list and goes.
 */
#include "ms_tx.h"

static void
sched_append(struct ms_sched *s, struct ms_kring *ring)
{
	ring->sched_next = NULL;
	*s->lastp = ring;
	s->lastp = &ring->sched_next;
	ms_os_store_once(&s->num, s->num + 1);
}

static void
sched_prepend(struct ms_sched *s, struct ms_kring *ring)
{
	ring->sched_next = s->first;
	if (s->first == NULL)
		s->lastp = &ring->sched_next;
	s->first = ring;
	ms_os_store_once(&s->num, s->num + 1);
}

static struct ms_kring *
sched_pop(struct ms_sched *s)
{
	struct ms_kring *ring = s->first;

	if (ring == NULL)
		return NULL;
	s->first = ring->sched_next;
	if (s->first == NULL)
		s->lastp = &s->first;
	ms_os_store_once(&s->num, s->num - 1);
	return ring;
}

static void
sched_remove(struct ms_sched *s, struct ms_kring *ring)
{
	struct ms_kring **at;

	for (at = &s->first; *at != NULL; at = &(*at)->sched_next) {
		if (*at != ring)
			continue;
		*at = ring->sched_next;
		if (s->lastp == &ring->sched_next)
			s->lastp = at;
		ms_os_store_once(&s->num, s->num - 1);
		ring->sched_on = false;
		return;
	}
}

void
ms_kring_tx_ready(struct ms_kring *ring)
{
	struct ms_sched *s;
	struct ms_read r;

	ms_os_read_enter(&r);
	s = ms_os_load_acquire(&ring->sched);
	if (s != NULL) {
		ms_spin_lock(&s->lock);
		if (ring->sched_on) {
			ring->kicked = true;
		} else if (!ring->stopped) {
			ring->sched_on = true;
			sched_append(s, ring);
			s->added = true;
		}
		ms_spin_unlock(&s->lock);
	}
	ms_os_read_exit(&r);
}

bool
ms_kring_tx_pending(const struct ms_kring *ring)
{
	return MS_USER_READ(ring->shared->head) != ms_os_load_once(&ring->head);
}

void
ms_kring_stop(struct ms_kring *ring)
{
	struct ms_sched *s = ring->sched;

	if (ring->shared == NULL)
		return;
	ms_holds_stop(ring->holds);
	if (s == NULL) {
		ms_os_store_once(&ring->stopped, true);
		return;
	}
	ms_spin_lock(&s->lock);
	ms_os_store_once(&ring->stopped, true);
	if (ring->sched_on)
		sched_remove(s, ring);
	ms_spin_unlock(&s->lock);
}

void
ms_nic_sched_poll(struct ms_nic *nic, unsigned int q, bool on)
{
	struct ms_sched *s = &nic->sched[q];

	ms_spin_lock(&s->lock);
	s->polled = on;
	ms_spin_unlock(&s->lock);
}

/* After a visit: where the ring stands now. False: off the list. */
static bool
sched_put_back(struct ms_sched *s, struct ms_kring *ring, enum ms_visit end)
{
	bool stays = true;

	ring->resumed = end == MS_VISIT_NO_ROOM || end == MS_VISIT_BUDGET;
	if (end == MS_VISIT_EMPTY) {
		ring->deficit_bytes = 0;
		if (!ms_os_load_once(&s->polled))
			(void)ms_tx_doze(ring);
	}
	ms_spin_lock(&s->lock);
	if (ring->stopped || (ring->dozing && !ring->kicked))
		ring->sched_on = stays = false;
	else if (end == MS_VISIT_BUDGET)
		sched_prepend(s, ring);
	else
		sched_append(s, ring);
	ring->kicked = false;
	ms_spin_unlock(&s->lock);
	return stays;
}

/*
 * The next ring, or NULL when the run is over: no ring is left, or the `idle`
 * ones at the end of the list, visited without a frame to send, are all.
 * Whoever adds a ring while somebody runs leaves it to the runner.
 */
static struct ms_kring *
sched_next(struct ms_sched *s, uint32_t *idle)
{
	struct ms_kring *ring;

	ms_spin_lock(&s->lock);
	if (s->added) {
		s->added = false;
		*idle = 0;
	}
	ring = *idle >= s->num ? NULL : sched_pop(s);
	if (ring == NULL)
		s->running = false;
	ms_spin_unlock(&s->lock);
	return ring;
}

static bool
sched_begin(struct ms_sched *s)
{
	bool mine;

	ms_spin_lock(&s->lock);
	mine = !s->running;
	if (mine)
		s->running = true;
	ms_spin_unlock(&s->lock);
	return mine;
}

uint32_t
ms_nic_sched_run(struct ms_nic *nic, unsigned int q, uint32_t budget)
{
	struct ms_sched *s = &nic->sched[q];
	struct ms_kring *ring;
	uint32_t total = 0, idle = 0, done;
	struct ms_read r;
	enum ms_visit end;
	uint64_t looks;
	bool stays;

	/* Without the lock: nothing on the list is the common answer. */
	if (ms_os_load_once(&s->num) == 0)
		return 0;
	ms_os_read_enter(&r);
	if (!sched_begin(s)) {
		ms_os_read_exit(&r);
		return 0;
	}
	/*
	 * Each ring on the list may be found empty once. Whoever kicks for
	 * nothing all the time gets no more looks than others get frames.
	 */
	looks = (uint64_t)ms_os_load_once(&s->num) + budget;
	while (total < budget) {
		if (looks-- == 0) {
			total = budget;
			break;
		}
		ring = sched_next(s, &idle);
		if (ring == NULL)
			break;
		end = ms_tx_visit(nic, q, ring, budget - total, &done);
		total += done;
		stays = sched_put_back(s, ring, end);
		if (done != 0 || end == MS_VISIT_SPENT)
			idle = 0;
		else if (stays)
			idle++;
	}
	if (total >= budget) {
		ms_spin_lock(&s->lock);
		s->running = false;
		ms_spin_unlock(&s->lock);
	}
	ms_os_read_exit(&r);
	return total;
}
