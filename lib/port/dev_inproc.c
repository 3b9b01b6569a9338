/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dev_inproc.c: a switch in this process, one for each device string.
 *
 * It has no threads. Whoever looks at an empty ring, syncs or sleeps takes a
 * step of the switch's workers: first the one of its own queue, then, if that
 * moved nothing for it, those of the other queues, whose frames may be for it
 * as well. One thread steps a worker at a time. A thread that finds a worker
 * taken need not wait for it: its ring is armed before it sleeps, so the other
 * one wakes it; only who has frames to send waits for its turn.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

struct stepper {
	pthread_mutex_t lock;
	struct ms_worker *worker; /* borrowed of the host */
} __attribute__((aligned(MS_CACHE_LINE)));

struct shared_host { /* all but steppers' insides under `registry.lock` */
	struct shared_host *next;
	char name[sizeof((struct msport__device *)0)->name];
	struct ms_host *host;
	unsigned int refs;
};

static struct {
	pthread_mutex_t lock;
	struct shared_host *first;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The workers of an interface, shared by all ports on it. */
struct steppers {
	struct steppers *next; /* registry.lock */
	const struct ms_nic *nic;
	unsigned int refs; /* registry.lock */
	unsigned int num;
	struct stepper *of; /* owned, num of them */
};

static struct steppers *all_steppers; /* registry.lock */

struct inproc {
	struct shared_host *sh;
	struct ms_port *port;	   /* owned */
	struct steppers *steppers; /* counted */
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
	struct ms_host_options opt = { .flags = MS_HOST_NO_THREADS };
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

/* ---- workers, by interface ------------------------------------------------ */

static struct steppers *
steppers_new(struct ms_host *host, const struct ms_port *port)
{
	unsigned int queues = port->nic->num_queues;
	struct steppers *s = calloc(1, sizeof *s);

	if (s)
		s->of = aligned_alloc(_Alignof(struct stepper),
				      queues * sizeof *s->of);
	if (!s || !s->of) {
		free(s);
		return NULL;
	}
	s->nic = port->nic;
	for (unsigned int q = 0; q < queues; q++) {
		struct ms_worker *w = ms_host_worker(host, port, q);
		unsigned int i = 0;

		while (i < s->num && s->of[i].worker != w)
			i++;
		if (!w || i < s->num)
			continue;
		pthread_mutex_init(&s->of[s->num].lock, NULL);
		s->of[s->num++].worker = w;
	}
	return s;
}

static int
steppers_get(struct inproc *in)
{
	struct steppers *s;

	pthread_mutex_lock(&registry.lock);
	for (s = all_steppers; s; s = s->next)
		if (s->nic == in->port->nic)
			break;
	if (!s) {
		s = steppers_new(in->sh->host, in->port);
		if (s) {
			s->next = all_steppers;
			all_steppers = s;
		}
	}
	if (s)
		s->refs++;
	in->steppers = s;
	pthread_mutex_unlock(&registry.lock);
	return s ? 0 : -ENOMEM;
}

static void
steppers_put(struct steppers *s)
{
	struct steppers **p;

	if (!s)
		return;
	pthread_mutex_lock(&registry.lock);
	if (--s->refs == 0) {
		for (p = &all_steppers; *p != s; p = &(*p)->next)
			;
		*p = s->next;
		for (unsigned int i = 0; i < s->num; i++)
			pthread_mutex_destroy(&s->of[i].lock);
		free(s->of);
		free(s);
	}
	pthread_mutex_unlock(&registry.lock);
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
	r = steppers_get(in);
	if (r)
		return msport__fail(NULL, err, r, "out of memory");
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
	steppers_put(in->steppers);
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

static bool
step(struct stepper *s, bool wait)
{
	if (wait)
		pthread_mutex_lock(&s->lock);
	else if (pthread_mutex_trylock(&s->lock))
		return false;
	(void)ms_worker_step(s->worker);
	pthread_mutex_unlock(&s->lock);
	return true;
}

static int
inproc_look(msport_t *port, struct msport__ring *r)
{
	struct inproc *in = port->link;
	struct steppers *s = in->steppers;
	unsigned int first = r->index % s->num;

	step(&s->of[first], !r->is_rx);
	for (unsigned int i = 1; i < s->num; i++) {
		if (__atomic_load_n(&r->shared->tail, __ATOMIC_RELAXED) !=
		    r->tail)
			break;
		step(&s->of[(first + i) % s->num], false);
	}
	return msport__gone(port, r);
}

static int
inproc_watch(msport_t *port, int ep)
{
	struct inproc *in = port->link;
	struct epoll_event ev = { .events = EPOLLIN };

	for (unsigned int i = 0; i < in->steppers->num; i++) {
		int fd = ms_worker_fd(in->steppers->of[i].worker);

		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev))
			return -errno;
	}
	return 0;
}

static int
inproc_hangup_fd(msport_t *port)
{
	return -1;
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
	.hangup_fd = inproc_hangup_fd,
};
