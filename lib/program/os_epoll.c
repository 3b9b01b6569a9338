/* SPDX-License-Identifier: BSD-2-Clause */
/* os_epoll.c: Linux. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "os.h"

#define EVENTS 256

int
os_poller_open(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int
os_poller_add(int poller, int fd, void *user)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = user };

	return epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

int
os_poller_change(int poller, int fd, void *user, bool in, bool out)
{
	struct epoll_event ev = {
		.events = (in ? EPOLLIN : 0u) | (out ? EPOLLOUT : 0u),
		.data.ptr = user,
	};

	return epoll_ctl(poller, EPOLL_CTL_MOD, fd, &ev) ? -errno : 0;
}

int
os_poller_wait(int poller, struct os_event *to, int n, int timeout_ms)
{
	struct epoll_event ev[EVENTS];

	n = epoll_wait(poller, ev, n < EVENTS ? n : EVENTS, timeout_ms);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		uint32_t e = ev[i].events;

		to[i].user = ev[i].data.ptr;
		to[i].in = (e & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0;
		to[i].out = (e & EPOLLOUT) != 0;
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
	cpu_set_t may, one;
	unsigned int n;

	if (pthread_getaffinity_np(pthread_self(), sizeof may, &may))
		return;
	n = (unsigned int)CPU_COUNT(&may);
	if (n == 0)
		return;
	i %= n;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &may) && i-- == 0) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			(void)pthread_setaffinity_np(pthread_self(), sizeof one,
						     &one);
			return;
		}
}
