/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_echo: a client for an echo server, on the host's sockets.
 *
 *     bench_echo ADDRESS PORT CONNECTIONS SECONDS
 *
 * Each connection sends 64 bytes, and again when they are back. Prints round
 * trips and seconds as JSON; not counted: those of the first tenth of the time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BYTES 64
#define EVENTS 256

struct conn {
	int fd;
	unsigned int got;
};

static char word[BYTES];

static void
die(const char *what)
{
	fprintf(stderr, "bench_echo: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
say(const struct conn *c)
{
	if (send(c->fd, word, BYTES, MSG_NOSIGNAL) != BYTES)
		die("send");
}

static void
open_one(struct conn *c, const struct sockaddr_in *to, int ep)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	if (connect(c->fd, (const struct sockaddr *)to, sizeof(*to)))
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev))
		die("epoll_ctl");
}

/* Whether a whole word came back. */
static bool
hear(struct conn *c)
{
	char buf[BYTES];
	ssize_t n = recv(c->fd, buf, BYTES - c->got, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		die("recv");
	if (n < 0)
		return false;
	c->got += (unsigned int)n;
	if (c->got < BYTES)
		return false;
	c->got = 0;
	return true;
}

static unsigned long
run(int ep, uint64_t until_ns)
{
	struct epoll_event ev[EVENTS];
	unsigned long trips = 0;

	while (now_ns() < until_ns) {
		int n = epoll_wait(ep, ev, EVENTS, 100);

		for (int i = 0; i < n; i++)
			if (hear(ev[i].data.ptr)) {
				trips++;
				say(ev[i].data.ptr);
			}
	}
	return trips;
}

int
main(int argc, char **argv)
{
	struct rlimit files = { 1 << 17, 1 << 17 };
	struct sockaddr_in to = { .sin_family = AF_INET };
	unsigned int connections;
	unsigned long trips;
	struct conn *c;
	uint64_t start;
	double s;
	int ep;

	if (argc != 5 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: bench_echo ADDRESS PORT CONNECTIONS "
				"SECONDS\n");
		return 2;
	}
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	connections = (unsigned int)atoi(argv[3]);
	s = atof(argv[4]);
	(void)setrlimit(RLIMIT_NOFILE, &files);
	ep = epoll_create1(EPOLL_CLOEXEC);
	c = calloc(connections, sizeof(*c));
	if (ep < 0 || !c)
		die("no memory");
	for (unsigned int i = 0; i < connections; i++)
		open_one(&c[i], &to, ep);
	for (unsigned int i = 0; i < connections; i++)
		say(&c[i]);
	start = now_ns();
	(void)run(ep, start + (uint64_t)(s * 1e8));
	start = now_ns();
	trips = run(ep, start + (uint64_t)(s * 1e9));
	s = (double)(now_ns() - start) / 1e9;
	printf("{\"trips\": %lu, \"seconds\": %.6f}\n", trips, s);
	return 0;
}
