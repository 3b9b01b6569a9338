/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * doorbell.c: how a ring's owner and its worker wake each other.
 *
 * The owner is woken through a pipe, whose writing end it never gets; the
 * worker by the edge of an eventfd, which it never reads. So neither can make
 * the other wait.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host.h"

#define WAKE_PIPE_BYTES 4096

static int
open_doorbells(struct ms_watch *watch, bool kicks)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
		return -errno;
	watch->waiter.ring_fd = fds[0];
	watch->waiter.wake_fd = fds[1];
	/* One page is plenty, and users have a limit. */
	(void)fcntl(fds[1], F_SETPIPE_SZ, WAKE_PIPE_BYTES);
	if (!kicks)
		return 0;
	watch->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return watch->kick_fd < 0 ? -errno : 0;
}

static void
watch_free(struct ms_watch *watch)
{
	if (watch->waiter.wake_fd >= 0)
		close(watch->waiter.wake_fd);
	if (watch->waiter.ring_fd >= 0)
		close(watch->waiter.ring_fd);
	if (watch->kick_fd >= 0)
		close(watch->kick_fd);
	ms__worker_put(watch->worker);
	ms_os_free(watch);
}

static int
watch_ring(struct ms_attachment *att, struct ms_kring *ring)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	struct ms_watch *watch = ms_os_alloc(sizeof(*watch));
	struct ms_worker *w;
	bool kicks;
	int r;

	if (watch == NULL)
		return -ENOMEM;
	kicks = !ring->is_rx &&
		(att->host->opt.flags & MS_HOST_DIRECT_KICKS) == 0;
	watch->ring = ring;
	watch->waiter.wake_fd = watch->waiter.ring_fd = watch->kick_fd = -1;
	r = open_doorbells(watch, kicks);
	if (r == 0 && kicks) {
		w = att->workers[ring->index % att->num_workers];
		ev.data.ptr = watch;
		if (epoll_ctl(w->epfd, EPOLL_CTL_ADD, watch->kick_fd, &ev) != 0)
			r = errno == ENOSPC ? -EMFILE : -errno;
		if (r == 0) {
			w->refs++;
			watch->worker = w;
		}
	}
	if (r) {
		watch_free(watch);
		return r;
	}
	ms_os_store_release(&ring->waiter, (void *)watch);
	return 0;
}

/* No worker and nobody who wakes looks at the port's doorbells after this. */
static void
unwatch_locked(struct ms_port *port)
{
	struct ms_watch *watch[2 * MS_RINGS_MAX];
	unsigned int i, n = 0;
	struct ms_kring *ring;

	for (i = 0; i < (unsigned int)port->num_tx + port->num_rx; i++) {
		ring = i < port->num_tx ? &port->tx[i]
					: &port->rx[i - port->num_tx];
		if (ring->waiter == NULL)
			continue;
		watch[n] = ring->waiter;
		if (watch[n]->worker != NULL)
			(void)epoll_ctl(watch[n]->worker->epfd, EPOLL_CTL_DEL,
					watch[n]->kick_fd, NULL);
		ms_os_store_release(&ring->waiter, NULL);
		n++;
	}
	if (n > 0)
		ms_os_read_sync();
	for (i = 0; i < n; i++)
		watch_free(watch[i]);
}

int
ms_host_port_watch(struct ms_host *host, struct ms_port *port)
{
	struct ms_attachment *att;
	unsigned int i;
	int r = 0;

	ms_mutex_lock(&host->lock);
	att = ms__attachment_of(host, port);
	if (port->rx[0].waiter != NULL) {
		r = -EALREADY;
		goto out;
	}
	if (att == NULL) {
		r = -ENODEV;
		goto out;
	}
	for (i = 0; i < port->num_tx && r == 0; i++)
		r = watch_ring(att, &port->tx[i]);
	for (i = 0; i < port->num_rx && r == 0; i++)
		r = watch_ring(att, &port->rx[i]);
	if (r)
		unwatch_locked(port);
out:
	ms_mutex_unlock(&host->lock);
	return r;
}

void
ms_host_port_unwatch(struct ms_host *host, struct ms_port *port)
{
	ms_mutex_lock(&host->lock);
	unwatch_locked(port);
	ms_mutex_unlock(&host->lock);
}

int
ms_host_ring_fd(const struct ms_kring *ring)
{
	const struct ms_watch *watch = ms_os_load_acquire(&ring->waiter);

	return watch != NULL ? watch->waiter.ring_fd : -1;
}

int
ms_host_kick_fd(const struct ms_kring *ring)
{
	const struct ms_watch *watch = ms_os_load_acquire(&ring->waiter);

	return watch != NULL ? watch->kick_fd : -1;
}
