/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wait.c: sleeping on a ring, and noticing that nobody will wake it.
 *
 * Nothing signals a ring when multistackd is killed; its socket does. A sleeper
 * polls that too, and one that never sleeps looks at it once in IDLE_LOOKS
 * fruitless looks at the ring, so that it costs nothing to speak of. A module
 * does not go while it has ports, and the ring's own descriptor hangs up when
 * the interface goes.
 */
#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define IDLE_LOOKS 1024

int
msport__gone(msport_t *port, const struct msport__ring *r)
{
	switch (__atomic_load_n(&r->shared->gone, __ATOMIC_RELAXED)) {
	case 0:
		return 0;
	case MS_GONE_DAEMON:
		return msport__die(port, -ECONNRESET);
	default:
		return msport__die(port, -ENETDOWN);
	}
}

/* A step of one's own: who takes it is awake, and need not be rung for. */
static int
step(msport_t *port, struct msport__ring *r)
{
	if (r->is_rx)
		__atomic_store_n(&r->shared->wake, r->next - 1,
				 __ATOMIC_RELAXED);
	return port->ops->look(port, r);
}

int
msport__idle(msport_t *port, struct msport__ring *r)
{
	int dead = __atomic_load_n(&port->dead, __ATOMIC_RELAXED);

	if (dead)
		return dead;
	dead = msport__gone(port, r);
	if (dead)
		return dead;
	if (r->steps)
		return step(port, r);
	if (++r->idle < IDLE_LOOKS)
		return 0;
	r->idle = 0;
	return port->ops->look(port, r);
}

static struct msport__ring *
find(msport_t *port, int is_rx, unsigned int ring)
{
	if (ring >= (is_rx ? port->num_rx : port->num_tx))
		return NULL;
	return is_rx ? &port->rx[ring] : &port->tx[ring];
}

int
msport_fd(msport_t *port, int is_rx, unsigned int ring)
{
	struct msport__ring *r = find(port, is_rx, ring);

	if (!r)
		return msport__no_ring(port, ring);
	if (r->poll_fd >= 0)
		return r->poll_fd;
	r->poll_fd = msport__wait_fd(port, r);
	return r->poll_fd;
}

/* Whether the user owns a slot that it does not know of yet. -EBADMSG. */
static int
ready(msport_t *port, struct msport__ring *r)
{
	uint32_t tail = __atomic_load_n(&r->shared->tail, __ATOMIC_ACQUIRE);

	if (tail - r->head > r->mask + 1)
		return msport__bad(port);
	return tail != (r->is_rx ? r->next : r->head);
}

/* Quiets wake_fd: what it signals was seen, or will be before sleeping. A level
   goes off by itself when `wake` moves. */
static void
drain(const struct msport__ring *r)
{
	uint8_t sink[512];
	ssize_t n;

	if (r->wake_level)
		return;
	do
		n = read(r->wake_fd, sink, sizeof sink);
	while (n == (ssize_t)sizeof sink || (n < 0 && errno == EINTR));
}

static int
arm(msport_t *port, struct msport__ring *r)
{
	uint32_t wake;
	int e, yes;

	e = ready(port, r);
	if (e)
		return e;
	if (!r->is_rx && r->head != r->synced) {
		e = msport_sync(port, r->index);
		if (e)
			return e;
	}
	drain(r);
	/* What comes to the switch from here on makes its descriptors readable,
	   which are among those that are slept on. */
	if (r->steps && r->is_rx) {
		e = step(port, r);
		yes = ready(port, r);
		if (yes || e)
			return yes ? yes : e;
	}
	/*
	 * A transmit ring is empty of room here: all its slots are with the
	 * switch, which will give back each one. So wait for a quarter of them.
	 */
	wake = r->is_rx ? r->next : r->head + r->mask / 4;
	__atomic_store_n(&r->shared->wake, wake, __ATOMIC_RELAXED);
	ms_os_fence(); /* F */
	if (r->wake_level && r->poll_fd >= 0)
		msport__wait_settle(r);
	r->idle = 0;
	e = __atomic_load_n(&port->dead, __ATOMIC_RELAXED);
	if (!e)
		e = msport__gone(port, r);
	if (!e && r->steps && !r->is_rx)
		e = port->ops->look(port, r);
	yes = r->is_rx || !e ? ready(port, r) : 0;
	return yes ? yes : e;
}

int
msport_arm(msport_t *port, int is_rx, unsigned int ring)
{
	struct msport__ring *r = find(port, is_rx, ring);
	int e;

	if (!r)
		return msport__no_ring(port, ring);
	e = arm(port, r);
	if (e || r->steps)
		return e;
	/* The sleeper may have been woken by the switch's death: who else
	   would tell it? */
	e = port->ops->look(port, r);
	return e && ready(port, r) > 0 && is_rx ? 1 : e;
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Sleeps until something happens. 0, or -EINTR and its like. */
static int
doze(msport_t *port, struct msport__ring *r, int timeout_ms)
{
	struct pollfd p[2];
	int e, n = port->ops->sleep_on(port, r, p);

	if (n < 0)
		return n;
	if (poll(p, (nfds_t)n, timeout_ms) < 0)
		return -errno;
	if (n > 1 && p[1].revents) {
		e = port->ops->look(port, r);
		if (e)
			return r->is_rx && ready(port, r) > 0 ? 0 : e;
	}
	return 0;
}

int
msport_wait(msport_t *port, int is_rx, unsigned int ring, int timeout_ms)
{
	struct msport__ring *r = find(port, is_rx, ring);
	int64_t end = timeout_ms > 0 ? now_ms() + timeout_ms : 0;
	int e;

	if (!r)
		return msport__no_ring(port, ring);
	for (;;) {
		e = arm(port, r);
		if (e || timeout_ms == 0)
			return e;
		e = doze(port, r, timeout_ms);
		if (e)
			return e;
		if (timeout_ms > 0) {
			int64_t left = end - now_ms();

			timeout_ms = left > 0 ? (int)left : 0;
		}
	}
}
