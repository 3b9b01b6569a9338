/* SPDX-License-Identifier: BSD-2-Clause */
/* os_kqueue.c: the BSDs. */
#include <sys/types.h>
#include <sys/event.h>
#include <sys/socket.h>
#include <errno.h>
#include <stddef.h>
#include <time.h>

#include "os.h"

#define EVENTS 256

int
os_poller_open(void)
{
	int fd = kqueue();

	return fd < 0 ? -errno : fd;
}

int
os_poller_add(int poller, int fd, void *user)
{
	struct kevent ev[2];

	EV_SET(&ev[0], fd, EVFILT_READ, EV_ADD, 0, 0, user);
	EV_SET(&ev[1], fd, EVFILT_WRITE, EV_ADD | EV_DISABLE, 0, 0, user);
	/* A listening socket has no room to write that one could wait for. */
	if (kevent(poller, ev, 1, NULL, 0, NULL) < 0)
		return -errno;
	(void)kevent(poller, &ev[1], 1, NULL, 0, NULL);
	return 0;
}

int
os_poller_change(int poller, int fd, void *user, bool in, bool out)
{
	struct kevent ev[2];

	EV_SET(&ev[0], fd, EVFILT_READ, in ? EV_ENABLE : EV_DISABLE, 0, 0,
	       user);
	EV_SET(&ev[1], fd, EVFILT_WRITE, out ? EV_ENABLE : EV_DISABLE, 0, 0,
	       user);
	return kevent(poller, ev, 2, NULL, 0, NULL) < 0 ? -errno : 0;
}

int
os_poller_wait(int poller, struct os_event *to, int n, int timeout_ms)
{
	struct timespec t = { timeout_ms / 1000,
			      (long)(timeout_ms % 1000) * 1000000 };
	struct kevent ev[EVENTS];

	n = kevent(poller, NULL, 0, ev, n < EVENTS ? n : EVENTS,
		   timeout_ms < 0 ? NULL : &t);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		to[i].user = ev[i].udata;
		to[i].in = ev[i].filter == EVFILT_READ;
		to[i].out = ev[i].filter == EVFILT_WRITE;
	}
	return n;
}

int
os_accept(int fd)
{
	int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return c < 0 ? -errno : c;
}

void
os_pin(unsigned int i)
{
	(void)i; /* cpuset(1) does it from outside */
}
