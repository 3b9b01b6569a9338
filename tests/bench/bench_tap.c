/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_tap: what a bulk flow over a TAP is compared with.
 *
 *     bench_tap relay NAMESPACE:NAME NAMESPACE:NAME
 *     bench_tap sink ADDRESS PORT PATH SECONDS
 *
 * relay joins the kernels of two namespaces by a TAP in each, and carries whole
 * frames with their offload metadata from one to the other: what the kernel
 * reaches when its interface is a TAP. sink asks an HTTP server for a file over
 * and over and says how fast it comes, in a line of JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void
die(const char *what)
{
	fprintf(stderr, "bench_tap: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- relay ---------------------------------------------------------------------- */

static int
tap_open(const char *where)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	const char *colon = strchr(where, ':');
	int hdr = sizeof(struct virtio_net_hdr), ns, fd;
	char path[128];

	if (!colon)
		die(where);
	snprintf(path, sizeof path, "/run/netns/%.*s", (int)(colon - where),
		 where);
	ns = open(path, O_RDONLY);
	if (ns < 0 || setns(ns, CLONE_NEWNET))
		die(path);
	close(ns);
	snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", colon + 1);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) ||
	    ioctl(fd, TUNSETVNETHDRSZ, &hdr) ||
	    ioctl(fd, TUNSETOFFLOAD,
		  TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN))
		die(where);
	return fd;
}

static void __attribute__((noreturn))
relay(const char *a, const char *b)
{
	static uint8_t frame[1 << 17];
	struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLIN } };

	p[0].fd = tap_open(a);
	p[1].fd = tap_open(b);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int moved = 0;

		for (int i = 0; i < 2; i++)
			for (int k = 0; k < 64; k++) {
				ssize_t n = read(p[i].fd, frame, sizeof frame);

				if (n <= 0)
					break;
				if (write(p[!i].fd, frame, (size_t)n) < 0 &&
				    errno != EIO && errno != EINVAL)
					die("write");
				moved++;
			}
		if (!moved && poll(p, 2, -1) < 0)
			die("poll");
	}
}

/* ---- sink ------------------------------------------------------------------------- */

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int
sink(const char *addr, const char *port, const char *path, double seconds)
{
	static char buf[1 << 18];
	struct sockaddr_in sa = { .sin_family = AF_INET };
	uint64_t from = 0, now, end, got = 0, all = 0;
	int fd = socket(AF_INET, SOCK_STREAM, 0), n;
	char ask[256];

	sa.sin_port = htons((uint16_t)atoi(port));
	if (inet_pton(AF_INET, addr, &sa.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&sa, sizeof sa))
		die(addr);
	n = snprintf(ask, sizeof ask, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n",
		     path);
	/* So many that one is always being answered: 32 GiB of the file. */
	for (int i = 0; i < 512; i++)
		if (write(fd, ask, (size_t)n) != n)
			die("write");
	end = now_ns() + 500000000u; /* for the window to open */
	for (;;) {
		ssize_t r = recv(fd, buf, sizeof buf, 0);

		if (r <= 0)
			die("the server has closed");
		got += (uint64_t)r;
		all += (uint64_t)r;
		now = now_ns();
		if (now < end)
			continue;
		if (from)
			break;
		from = now;
		got = 0;
		end = now + (uint64_t)(seconds * 1e9);
	}
	/* gbits: all that came, as the window opened too */
	printf("{\"case\": \"sink\", \"gbps\": %.3f, \"gbits\": %.3f}\n",
	       (double)got * 8 / (double)(now - from), (double)all * 8e-9);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "relay"))
		relay(argv[2], argv[3]);
	if (argc == 6 && !strcmp(argv[1], "sink"))
		return sink(argv[2], argv[3], argv[4], atof(argv[5]));
	return 2;
}
