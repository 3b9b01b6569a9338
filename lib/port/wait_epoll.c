/* SPDX-License-Identifier: BSD-2-Clause */
/* wait_epoll.c: descriptors that poll readable for a ring, on Linux. */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "internal.h"

int
msport__wait_fd(msport_t *port, const struct msport__ring *r)
{
	struct epoll_event ev = { .events = (uint32_t)r->wake_events };
	int ep, e;

	_Static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT, "");
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0)
		return -errno;
	e = epoll_ctl(ep, EPOLL_CTL_ADD, r->wake_fd, &ev) ? -errno : 0;
	if (!e)
		e = port->ops->watch(port, ep);
	if (e) {
		close(ep);
		return e;
	}
	return ep;
}

void
msport__wait_settle(const struct msport__ring *r)
{
	/* epoll looks again at what is a level. */
}
