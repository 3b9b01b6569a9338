/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wait_kqueue.c: descriptors that poll readable for a ring, on the BSDs.
 *
 * A receive ring's own descriptor is one already. A transmit ring's polls
 * writable, so a kqueue stands before it.
 */
#include <sys/types.h>
#include <sys/event.h>
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

int
msport__wait_fd(msport_t *port, const struct msport__ring *r)
{
	struct kevent ev;
	int fd, e;

	if (r->wake_events == POLLIN) {
		fd = fcntl(r->wake_fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	fd = kqueue(); /* no child of fork() has it */
	if (fd < 0)
		return -errno;
	EV_SET(&ev, r->wake_fd, EVFILT_WRITE, EV_ADD, 0, 0, NULL);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) ||
	    kevent(fd, &ev, 1, NULL, 0, NULL)) {
		e = -errno;
		close(fd);
		return e;
	}
	return fd;
}

/* A kqueue stays readable until it has looked again at what was ready. */
void
msport__wait_settle(const struct msport__ring *r)
{
	static const struct timespec now;
	struct kevent ev;

	if (r->wake_events != POLLIN)
		(void)kevent(r->poll_fd, NULL, 0, &ev, 1, &now);
}
