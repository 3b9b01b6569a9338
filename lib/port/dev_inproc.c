/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dev_inproc.c: a switch in this process, one for each device string.
 *
 * It has no threads. Whoever looks at an empty ring, syncs or sleeps takes a
 * step of the switch's workers: first the one of its own queue, then, if that
 * moved nothing for it, those of the other queues, whose frames may be for it
 * as well. A worker takes one at a time; what it moves for the ring of another
 * thread wakes that one.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "internal.h"

struct shared_host { /* all under registry.lock */
	struct shared_host *next;
	char name[sizeof((struct msport__device *)0)->name];
	struct ms_host *host;
	unsigned int refs;
};

static struct {
	pthread_mutex_t lock;
	struct shared_host *first;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct inproc {
	struct shared_host *sh;	    /* counted */
	struct ms_port *port;	    /* owned */
	struct ms_worker **workers; /* owned, each counted */
	unsigned int num_workers;
	struct ms_cred cred;
	bool watched;
};

/* ---- hosts, by device string --------------------------------------------- */

static int
host_attach(struct shared_host *sh, const struct ms_cmd_attach *arg,
	    msport_error_t *err)
{
	struct ms_err words = { "" };
	int r = ms_host_attach(sh->host, arg, &words);

	if (r)
		return msport__fail(NULL, err, r, "%s",
				    *words.text ? words.text : strerror(-r));
	return 0;
}

static int
host_new(const struct msport__device *dev, struct shared_host **out,
	 msport_error_t *err)
{
	struct ms_host_options opt = { .flags = MS_HOST_NO_THREADS |
						MS_HOST_DIRECT_KICKS };
	struct ms_err words = { "" };
	struct shared_host *sh = calloc(1, sizeof *sh);
	int r;

	if (!sh)
		return msport__fail(NULL, err, -ENOMEM, "out of memory");
	strcpy(sh->name, dev->name);
	r = ms_host_create(&opt, &sh->host, &words);
	if (r)
		msport__fail(NULL, err, r, "%s",
			     *words.text ? words.text : strerror(-r));
	else
		r = host_attach(sh, &dev->attach, err);
	if (r) {
		ms_host_destroy(sh->host);
		free(sh);
		return r;
	}
	*out = sh;
	return 0;
}

static int
host_get(const struct msport__device *dev, struct shared_host **out,
	 msport_error_t *err)
{
	struct shared_host *sh;
	int r = 0;

	pthread_mutex_lock(&registry.lock);
	for (sh = registry.first; sh; sh = sh->next)
		if (!strcmp(sh->name, dev->name))
			break;
	if (!sh) {
		r = host_new(dev, &sh, err);
		if (r == 0) {
			sh->next = registry.first;
			registry.first = sh;
		}
	}
	if (r == 0) {
		sh->refs++;
		*out = sh;
	}
	pthread_mutex_unlock(&registry.lock);
	return r;
}

static void
host_put(struct shared_host *sh)
{
	struct shared_host **p;

	pthread_mutex_lock(&registry.lock);
	if (--sh->refs == 0) {
		for (p = &registry.first; *p != sh; p = &(*p)->next)
			;
		*p = sh->next;
		ms_host_destroy(sh->host);
		free(sh);
	}
	pthread_mutex_unlock(&registry.lock);
}

/* The workers of all queues of the port's interface. */
static int
workers_get(struct inproc *in)
{
	struct ms_switch *sw = ms_host_switch(in->sh->host);
	unsigned int queues;

	ms_mutex_lock(&sw->ctl_lock);
	queues = in->port->nic ? in->port->nic->num_queues : 0;
	ms_mutex_unlock(&sw->ctl_lock);
	in->workers = calloc(queues + !queues, sizeof *in->workers);
	if (!in->workers)
		return -ENOMEM;
	while (in->num_workers < queues) {
		struct ms_worker *w = ms_host_worker_get(in->sh->host, in->port,
							 in->num_workers);

		if (!w)
			return -ENODEV;
		in->workers[in->num_workers++] = w;
	}
	return queues ? 0 : -ENODEV;
}

static void
workers_put(struct inproc *in)
{
	while (in->num_workers)
		ms_host_worker_put(in->sh->host,
				   in->workers[--in->num_workers]);
	free(in->workers);
}

/* ---- the device ----------------------------------------------------------- */

static int
inproc_open(msport_t *port, msport_error_t *err)
{
	struct inproc *in = calloc(1, sizeof *in);
	int r;

	if (!in)
		return msport__fail(NULL, err, -ENOMEM, "out of memory");
	ms_cred_self(&in->cred);
	r = host_get(&port->dev, &in->sh, err);
	if (r) {
		free(in);
		return r;
	}
	port->link = in;
	return 0;
}

static int
inproc_command(msport_t *port, uint32_t cmd, void *arg, uint32_t bytes,
	       msport_error_t *err)
{
	struct inproc *in = port->link;
	struct ms_err words = { "" };
	int r;

	r = ms_host_ctl(in->sh->host, &in->cred, &in->port, cmd, arg, bytes,
			&words);
	if (r == -ENODEV && cmd == MS_CMD_PORT_CREATE &&
	    host_attach(in->sh, &port->dev.attach, err) == 0) {
		/* The interface had vanished under the host's other ports. */
		words.text[0] = '\0';
		r = ms_host_ctl(in->sh->host, &in->cred, &in->port, cmd, arg,
				bytes, &words);
	}
	if (r)
		return msport__fail(port, err, r, "%s",
				    *words.text ? words.text : strerror(-r));
	return 0;
}

static int
inproc_map(msport_t *port, msport_error_t *err)
{
	struct inproc *in = port->link;
	int r = ms_host_port_watch(in->sh->host, in->port);

	if (r)
		return msport__fail(NULL, err, r,
				    "no descriptors for the rings: %s",
				    strerror(-r));
	in->watched = true;
	r = workers_get(in);
	if (r)
		return msport__fail(NULL, err, r, "interface '%s': %s",
				    port->dev.nic, strerror(-r));
	port->region = in->port->region;
	port->region_bytes = in->port->region_bytes;
	for (unsigned int i = 0; i < port->num_tx; i++) {
		port->tx[i].wake_fd = ms_host_ring_fd(&in->port->tx[i]);
		port->tx[i].steps = true;
	}
	for (unsigned int i = 0; i < port->num_rx; i++) {
		port->rx[i].wake_fd = ms_host_ring_fd(&in->port->rx[i]);
		port->rx[i].steps = true;
	}
	return 0;
}

/* Frames that were committed go out, as far as the interface has room. */
static void
send_rest(struct inproc *in)
{
	for (unsigned int i = 0; i < in->port->num_tx; i++) {
		struct ms_kring *r = &in->port->tx[i];
		struct ms_worker *w = in->workers[i % in->num_workers];
		uint32_t all = MS_USER_READ(r->shared->head) + r->mask + 1;
		uint32_t steps = r->mask + 1;

		ms_kring_tx_ready(r);
		while (MS_USER_READ(r->shared->tail) != all && steps-- > 0)
			if (ms_worker_step(w) <= 0)
				break;
	}
}

static void
inproc_close(msport_t *port)
{
	struct inproc *in = port->link;

	if (!in)
		return;
	/* In a child of fork() nothing of this can be ended: its locks may be
	   held by threads that are not there. The parent has it all. */
	if (port->pid != getpid())
		return;
	if (port->region)
		send_rest(in);
	workers_put(in);
	if (in->watched)
		ms_host_port_unwatch(in->sh->host, in->port);
	ms_port_destroy(in->port);
	host_put(in->sh);
	free(in);
}

static void
inproc_kick(msport_t *port, struct msport__ring *r)
{
	port->ops->look(port, r);
}

/* Who has frames to look at is given no more of them when he sends: they might
   find his ring full. */
static bool
rx_waits(const msport_t *port, unsigned int ring)
{
	const struct msport__ring *r = &port->rx[ring];

	return ring < port->num_rx &&
	       __atomic_load_n(&r->shared->tail, __ATOMIC_RELAXED) - r->head >
		   r->mask / 4;
}

static int
inproc_look(msport_t *port, struct msport__ring *r)
{
	struct inproc *in = port->link;
	unsigned int n = in->num_workers, first = r->index % n;

	if (!r->is_rx) {
		ms_kring_tx_ready(&in->port->tx[r->index]);
		if (rx_waits(port, r->index)) {
			ms_worker_send(in->workers[first]);
			return msport__gone(port, r);
		}
	}
	(void)ms_worker_step(in->workers[first]);
	for (unsigned int i = 1; i < n; i++) {
		if (__atomic_load_n(&r->shared->tail, __ATOMIC_RELAXED) !=
		    r->tail)
			break;
		(void)ms_worker_step(in->workers[(first + i) % n]);
	}
	return msport__gone(port, r);
}

static int
inproc_watch(msport_t *port, int ep)
{
	struct inproc *in = port->link;
	struct epoll_event ev = { .events = EPOLLIN };

	for (unsigned int i = 0; i < in->num_workers; i++) {
		int fd = ms_worker_fd(in->workers[i]);

		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev))
			return -errno;
	}
	return 0;
}

/* The workers' descriptors too, of which there may be many. */
static int
inproc_sleep_on(msport_t *port, struct msport__ring *r, struct pollfd p[2])
{
	int fd = msport_fd(port, r->is_rx, r->index);

	p[0] = (struct pollfd){ .fd = fd, .events = POLLIN };
	return fd < 0 ? fd : 1;
}

const struct msport__ops msport__inproc = {
	.name = "the switch in this process",
	.open = inproc_open,
	.command = inproc_command,
	.map = inproc_map,
	.close = inproc_close,
	.kick = inproc_kick,
	.look = inproc_look,
	.watch = inproc_watch,
	.sleep_on = inproc_sleep_on,
};
