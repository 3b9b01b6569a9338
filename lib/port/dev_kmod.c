/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dev_kmod.c: ports of the kernel module, by /dev/multistack.
 *
 * A descriptor is a port, and each of its rings has another one, which polls
 * and takes MS_CMD_SYNC. The module answers with an errno alone; the words for
 * it are made here, the same as multistackd's (ms_explain).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

struct kmod {
	int fd;
	int place;	    /* of a control connection: its network, or -1 */
	unsigned int forks; /* of this process, when it was opened */
	unsigned int num_rings;
	int rings[2 * MS_RINGS_MAX]; /* owned */
};

/* ---- forks -------------------------------------------------------------- */

static unsigned int forks;
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;

static void
forked(void)
{
	__atomic_add_fetch(&forks, 1, __ATOMIC_RELAXED);
}

static void
watch_forks(void)
{
	(void)pthread_atfork(NULL, forked, NULL);
}

/* ---- opening ------------------------------------------------------------ */

static void
kmod_free(struct kmod *k)
{
	while (k->num_rings)
		close(k->rings[--k->num_rings]);
	if (k->place >= 0)
		close(k->place);
	if (k->fd >= 0)
		close(k->fd);
	free(k);
}

/* Is it our module that answers, and of our version? */
static int
greet(msport_t *port, int fd, msport_error_t *err)
{
	struct ms_cmd_info info = { .size = sizeof info };

	if (ioctl(fd, MS_IOCTL(MS_CMD_INFO), &info))
		return msport__kmod_missing(port, -errno, err);
	if (info.abi == MS_ABI_VERSION)
		return 0;
	return msport__fail(NULL, err, -EPROTO,
			    "the kernel module speaks ABI version %u, this "
			    "libmultistack version %d; install both from one "
			    "release and load the module again",
			    info.abi, MS_ABI_VERSION);
}

static int
kmod_open(msport_t *port, msport_error_t *err)
{
	struct kmod *k = calloc(1, sizeof *k);
	int r;

	if (!k)
		return msport__fail(NULL, err, -ENOMEM, "out of memory");
	pthread_once(&forks_once, watch_forks);
	k->forks = __atomic_load_n(&forks, __ATOMIC_RELAXED);
	/* A port must not keep a network; this is for attaching in it. */
	k->place = port->control ? msport__kmod_place() : -1;
	k->fd = open(MSPORT__KMOD_DEVICE, O_RDWR | O_CLOEXEC);
	r = k->fd < 0 ? msport__kmod_missing(port, -errno, err)
		      : greet(port, k->fd, err);
	if (r) {
		kmod_free(k);
		return r;
	}
	port->link = k;
	return 0;
}

/* ---- commands ----------------------------------------------------------- */

static int
ask_module(void *ctx, uint32_t cmd, void *arg, uint32_t bytes)
{
	const struct kmod *k = ctx;

	return ioctl(k->fd, MS_IOCTL(cmd), arg) ? -errno : 0;
}

/* Words for what the module answered. */
static int
explain(msport_t *port, uint32_t cmd, const void *arg, uint32_t bytes, int code,
	msport_error_t *err)
{
	struct ms_err words = { "" };
	struct ms_cred cred;
	struct ms_ask ask = { .command = ask_module,
			      .ctx = port->link,
			      .cred = &cred,
			      .port_id = port->info.port_id,
			      .kernel = true };

	if (cmd == MS_CMD_PORT_CREATE && code == -EDQUOT)
		return msport__fail(port, err, code,
				    "user %u has as many ports, or as much "
				    "memory in their rings, as one may have "
				    "(%s)",
				    geteuid(), msport__kmod_words.limits);
	memcpy(ask.nic, port->info.nic, sizeof ask.nic);
	ms_cred_self(&cred);
	ms_explain(&ask, cmd, arg, bytes, code, &words);
	return msport__fail(port, err, code, "%s", words.text);
}

/* One command as it is. */
static int
kmod_ioctl(msport_t *port, uint32_t cmd, void *arg, uint32_t bytes,
	   msport_error_t *err)
{
	int r = ask_module(port->link, cmd, arg, bytes);

	return r ? explain(port, cmd, arg, bytes, r, err) : 0;
}

/* What the module does, and what is done for it from here, has to be about one
   interface. */
static int
attach_or_detach(msport_t *port, uint32_t cmd, const struct ms_cmd_attach *arg,
		 msport_error_t *err)
{
	const struct kmod *k = port->link;
	int back, r = msport__kmod_enter(k->place, &back);

	if (r)
		return msport__fail(port, err, r,
				    "cannot enter the network namespace of "
				    "this connection: %s",
				    strerror(-r));
	r = cmd == MS_CMD_ATTACH
		? msport__kmod_attach(port, arg, kmod_ioctl, err)
		: msport__kmod_detach(port, arg, kmod_ioctl, err);
	msport__kmod_leave(back);
	return r;
}

static int
kmod_command(msport_t *port, uint32_t cmd, void *arg, uint32_t bytes,
	     msport_error_t *err)
{
	if ((cmd == MS_CMD_ATTACH || cmd == MS_CMD_DETACH) &&
	    bytes == sizeof(struct ms_cmd_attach))
		return attach_or_detach(port, cmd, arg, err);
	return kmod_ioctl(port, cmd, arg, bytes, err);
}

/* ---- rings -------------------------------------------------------------- */

static int
ring_open(msport_t *port, struct msport__ring *r, bool is_rx,
	  unsigned int index, msport_error_t *err)
{
	struct kmod *k = port->link;
	struct ms_cmd_queue_attach q = { .size = sizeof q,
					 .is_rx = is_rx,
					 .index = (uint16_t)index };
	int fd = ioctl(k->fd, MS_IOCTL(MS_CMD_QUEUE_ATTACH), &q);

	if (fd < 0) {
		int code = -errno;

		return msport__fail(
		    NULL, err, code, "no descriptor for %s ring %u: %s%s",
		    is_rx ? "receive" : "transmit", index, strerror(-code),
		    code == -EMFILE ? "; raise the limit (ulimit -n)" : "");
	}
	k->rings[k->num_rings++] = fd;
	r->wake_fd = fd;
	r->wake_events = is_rx ? POLLIN : POLLOUT;
	r->wake_level = true;
	r->kick_fd = fd;
	return 0;
}

static int
kmod_map(msport_t *port, msport_error_t *err)
{
	struct kmod *k = port->link;
	unsigned int i;
	void *p;
	int r = 0;

	p = mmap(NULL, port->info.region_bytes, PROT_READ | PROT_WRITE,
		 MAP_SHARED, k->fd, 0);
	if (p == MAP_FAILED) {
		r = -errno;
		return msport__fail(
		    NULL, err, r, "cannot map %llu bytes of rings: %s",
		    (unsigned long long)port->info.region_bytes, strerror(-r));
	}
	port->region = p;
	port->region_bytes = port->info.region_bytes;
	msport__kmod_keep(p, port->region_bytes);
	for (i = 0; i < port->num_tx && r == 0; i++)
		r = ring_open(port, &port->tx[i], false, i, err);
	for (i = 0; i < port->num_rx && r == 0; i++)
		r = ring_open(port, &port->rx[i], true, i, err);
	return r;
}

/* A child that has copies of the descriptors must not keep the tuples. */
static void
unbind_all(const msport_t *port)
{
	const struct kmod *k = port->link;

	if (k->forks == __atomic_load_n(&forks, __ATOMIC_RELAXED))
		return;
	for (unsigned int i = 0; i < port->num_tuples; i++) {
		struct ms_cmd_bind b = { .size = sizeof b,
					 .tuple = port->tuples[i] };

		(void)ioctl(k->fd, MS_IOCTL(MS_CMD_UNBIND), &b);
	}
}

static void
kmod_close(msport_t *port)
{
	struct kmod *k = port->link;

	if (!k)
		return;
	/* In a child of fork() that address may be something else by now, and
	   the port is the parent's. */
	if (port->pid == getpid()) {
		unbind_all(port);
		if (port->region)
			munmap(port->region, port->region_bytes);
	}
	kmod_free(k);
}

/* ---- waking, and watching ----------------------------------------------- */

static void
kmod_kick(msport_t *port, struct msport__ring *r)
{
	struct ms_cmd_sync s = { .size = sizeof s, .index = r->index };

	/* Of an interface that is gone the ring itself tells. */
	while (ioctl(r->kick_fd, MS_IOCTL(MS_CMD_SYNC), &s) && errno == EINTR)
		;
}

static int
kmod_look(msport_t *port, struct msport__ring *r)
{
	return msport__gone(port, r);
}

static int
kmod_watch(msport_t *port, int ep)
{
	return 0; /* the ring's own descriptor hangs up */
}

static int
kmod_sleep_on(msport_t *port, struct msport__ring *r, struct pollfd p[2])
{
	p[0] = (struct pollfd){ .fd = r->wake_fd, .events = r->wake_events };
	return 1;
}

const struct msport__ops msport__kmod = {
	.name = "the kernel module",
	.open = kmod_open,
	.command = kmod_command,
	.map = kmod_map,
	.close = kmod_close,
	.kick = kmod_kick,
	.look = kmod_look,
	.watch = kmod_watch,
	.sleep_on = kmod_sleep_on,
};
