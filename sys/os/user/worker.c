/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * worker.c: one worker serves one queue of one attachment.
 *
 * A round is input, kicks, transmit, flush. A worker with a thread goes round
 * while frames move, keeps looking for busy_poll_us more, and sleeps on its
 * epoll descriptor: in that order, so that the price of a sleep and a wake-up
 * is paid once a burst.
 *
 * Rings are on the epoll set by the edge of their kick eventfd, whose counter
 * nobody reads: its owner has no way to make the reader wait. A round costs
 * nothing for rings that are quiet. A kick is looked at in a read section, so
 * that ms_host_port_unwatch() can wait until none of the port's is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "host.h"

#define KICKS_MAX 64	      /* looked at in one round */
#define NO_ROOM_NAP_NS 100000 /* a transmit ring of a NIC drains in this */
#define POLL_ROUNDS 64	      /* after so many, quiet rings are let go */

/* ---- a round -------------------------------------------------------- */

static void
timer_set(struct ms_worker *w, long ns)
{
	const struct itimerspec it = { .it_value.tv_nsec = ns };

	timerfd_settime(w->timer_fd, 0, &it, NULL);
	w->timer_on = ns != 0;
}

/* Rings whose owners kicked go on the scheduler's list. */
static void
take_kicks(struct ms_worker *w)
{
	struct epoll_event ev[KICKS_MAX];
	struct ms_watch *watch;
	struct ms_read r;
	int i, n;

	ms_os_read_enter(&r);
	n = epoll_wait(w->epfd, ev, KICKS_MAX, 0);
	for (i = 0; i < n; i++) {
		watch = ev[i].data.ptr;
		if (watch != NULL)
			ms_kring_tx_ready(watch->ring);
	}
	ms_os_read_exit(&r);
}

static uint32_t
transmit(struct ms_worker *w)
{
	const struct ms_attach_ops *ops = w->a->ops;
	uint32_t n;

	n = ms_nic_sched_run(w->nic, w->q, MS_BATCH_MAX);
	if (ops->flush != NULL && ops->flush(w->a, w->q)) {
		n += ms_nic_sched_run(w->nic, w->q, MS_BATCH_MAX);
		ops->flush(w->a, w->q);
	}
	return n;
}

/* Frames moved, or -ENODEV. w->lock held where there is no thread. */
static int
round_once(struct ms_worker *w)
{
	int n;

	if (w->timer_on)
		timer_set(w, 0);
	n = w->a->ops->receive(w->a, w->q);
	if (n == -ENODEV)
		return n;
	if (n < 0)
		n = 0;
	if ((w->host->opt.flags & MS_HOST_DIRECT_KICKS) == 0)
		take_kicks(w);
	return n + (int)transmit(w);
}

/* Rings that wait for room to transmit are nobody's event. */
static bool
waits_for_room(const struct ms_worker *w)
{
	return ms_os_load_once(&w->nic->sched[w->q].num) > 0;
}

/* ---- with a thread -------------------------------------------------- */

static void
set_polling(struct ms_worker *w, bool on)
{
	if (w->polling != on)
		ms_nic_sched_poll(w->nic, w->q, on);
	w->polling = on;
}

/* Until there is something to do again. The scheduler is not polled. */
static void
worker_sleep(struct ms_worker *w)
{
	struct pollfd p = { .fd = w->epfd, .events = POLLIN };

	if (waits_for_room(w))
		timer_set(w, NO_ROOM_NAP_NS);
	(void)poll(&p, 1, -1);
}

/* Nothing to do: spin for a while, then let go of the rings, then sleep. */
static void
worker_idle(struct ms_worker *w, uint64_t *idle_since_ns)
{
	uint64_t spin_ns = (uint64_t)w->host->opt.busy_poll_us * 1000u;

	if (spin_ns > 0) {
		if (*idle_since_ns == 0)
			*idle_since_ns = ms_os_now_ns();
		if (ms_os_now_ns() - *idle_since_ns < spin_ns) {
			ms_os_pause();
			return;
		}
	}
	if (w->polling) {
		set_polling(w, false); /* and once round more */
		return;
	}
	worker_sleep(w);
	*idle_since_ns = 0;
}

static void *
worker_main(void *arg)
{
	struct ms_worker *w = arg;
	uint64_t idle_since_ns = 0;
	int n;

	while (ms_os_load_acquire(&w->stop) == 0) {
		n = round_once(w);
		if (n == -ENODEV) {
			ms__host_found_gone(w);
			break;
		}
		if (n == 0) {
			worker_idle(w, &idle_since_ns);
			continue;
		}
		idle_since_ns = 0;
		/* Off now and then, so that rings that have gone quiet leave
		   the list. */
		set_polling(w, ++w->rounds % POLL_ROUNDS != 0);
	}
	set_polling(w, false);
	return NULL;
}

int
ms__worker_start(struct ms_worker *w)
{
	int err;

	if (w->host->opt.flags & MS_HOST_NO_THREADS)
		return 0;
	err = ms__host_thread(w->host, &w->thread, worker_main, w);
	w->threaded = err == 0;
	return err;
}

void
ms__worker_stop(struct ms_worker *w)
{
	const uint64_t one = 1;
	ssize_t n;

	if (w->threaded) {
		ms_os_store_release(&w->stop, 1);
		n = write(w->stop_fd, &one, sizeof(one));
		(void)n;
		pthread_join(w->thread, NULL);
		w->threaded = false;
	}
	ms_mutex_lock(&w->lock);
	w->dead = true;
	ms_mutex_unlock(&w->lock);
}

/* ---- stepped by the application ------------------------------------- */

int
ms_worker_step(struct ms_worker *w)
{
	int n = 0;

	ms_mutex_lock(&w->lock);
	if (!w->dead) {
		n = round_once(w);
		if (n == 0 && waits_for_room(w))
			timer_set(w, NO_ROOM_NAP_NS);
	}
	ms_mutex_unlock(&w->lock);
	if (n != -ENODEV)
		return n;
	ms__host_found_gone(w);
	return 0;
}

void
ms_worker_send(struct ms_worker *w)
{
	ms_mutex_lock(&w->lock);
	if (!w->dead && transmit(w) == 0 && waits_for_room(w))
		timer_set(w, NO_ROOM_NAP_NS);
	ms_mutex_unlock(&w->lock);
}

int
ms_worker_fd(struct ms_worker *w)
{
	return w->epfd;
}

/* ---- create and put ------------------------------------------------- */

static int
watch_fd(struct ms_worker *w, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };

	return epoll_ctl(w->epfd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

static int
worker_fds(struct ms_worker *w)
{
	int err, fd;

	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->timer_fd = timerfd_create(CLOCK_MONOTONIC,
				     TFD_CLOEXEC | TFD_NONBLOCK);
	if (w->epfd < 0 || w->stop_fd < 0 || w->timer_fd < 0)
		return -errno;
	err = watch_fd(w, w->stop_fd);
	if (err == 0)
		err = watch_fd(w, w->timer_fd);
	fd = w->a->ops->fd != NULL ? w->a->ops->fd(w->a, w->q) : -1;
	if (err == 0 && fd >= 0)
		err = watch_fd(w, fd);
	return err;
}

int
ms__worker_create(struct ms_attachment *att, unsigned int q,
		  struct ms_worker **out, struct ms_err *err)
{
	struct ms_worker *w;
	int r;

	w = ms_os_alloc(sizeof(*w));
	if (w == NULL)
		return ms__explain_errno("a worker", -ENOMEM, err);
	w->host = att->host;
	w->a = att->a;
	w->nic = att->nic;
	w->q = q;
	w->refs = 1;
	w->epfd = w->stop_fd = w->timer_fd = -1;
	ms_mutex_init(&w->lock);
	r = worker_fds(w);
	if (r) {
		ms__worker_put(w);
		return ms__explain_errno("a worker", r, err);
	}
	*out = w;
	return 0;
}

void
ms__worker_put(struct ms_worker *w)
{
	if (w == NULL || --w->refs > 0)
		return;
	MS_ASSERT(!w->threaded);
	if (w->epfd >= 0)
		close(w->epfd);
	if (w->stop_fd >= 0)
		close(w->stop_fd);
	if (w->timer_fd >= 0)
		close(w->timer_fd);
	ms_mutex_deinit(&w->lock);
	ms_os_free(w);
}
