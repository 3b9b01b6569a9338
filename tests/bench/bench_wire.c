/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_wire: frames from a port to ports at the other end of a cable, filled,
 * sent, received and looked at by one thread inside the kernel (the module
 * msbench). One line of JSON.
 *
 *     bench_wire FROM FROM_ADDR NETNS TO TO_ADDR SECONDS BYTES [PORTS TUPLES]
 *
 * FROM and TO are attached interfaces; TO is in the network namespace whose
 * file NETNS is. TUPLES are bound over PORTS ports, in turns, PER_ADDR to an
 * address from TO_ADDR on.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../kernel/modules/bench/msbench.h"
#include "multistack.h"

#include "bench_frame.h"

#define BATCH 256
#define SLOTS 512      /* of the sender, and of a lone receiver: the default */
#define SLOTS_MANY 16  /* of each of many receivers */
#define PER_ADDR 50000 /* tuples of one address */
#define FIRST_PORT 10000
#define SENDER_PORT 9000
#define FRAME_MAX 1514

static void
die(const char *what)
{
	fprintf(stderr, "bench_wire: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* A port on `nic`; *mac is the interface's. */
static int
port_open(const char *nic, uint32_t slots, uint8_t mac[6])
{
	struct ms_cmd_port_create c = { .size = sizeof c,
					.slots = slots,
					.label = "bench" };
	int fd = open("/dev/multistack", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/dev/multistack");
	strncpy(c.nic, nic, sizeof c.nic - 1);
	if (ioctl(fd, MS_IOCTL(MS_CMD_PORT_CREATE), &c) != 0)
		die(nic);
	memcpy(mac, c.mac, sizeof c.mac);
	return fd;
}

static void
claim(int port, uint32_t addr_be, unsigned int number)
{
	struct ms_cmd_bind b = { .size = sizeof b };

	b.tuple.proto = IPPROTO_UDP;
	b.tuple.family = 4;
	b.tuple.port_be = htons((uint16_t)number);
	memcpy(b.tuple.addr, &addr_be, sizeof addr_be);
	if (ioctl(port, MS_IOCTL(MS_CMD_BIND), &b) != 0)
		die("bind");
}

static int
ring_of(int port, int is_rx)
{
	struct ms_cmd_queue_attach q = { .size = sizeof q,
					 .is_rx = (uint16_t)is_rx };
	int fd = ioctl(port, MS_IOCTL(MS_CMD_QUEUE_ATTACH), &q);

	if (fd < 0)
		die("a ring's descriptor");
	return fd;
}

static void
enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(netns);
	close(fd);
}

static void
allow_files(uint32_t n)
{
	struct rlimit lim = { n, n };

	if (setrlimit(RLIMIT_NOFILE, &lim))
		die("setrlimit");
}

static void
measure(struct msbench_run *r, double seconds)
{
	int bench = open("/dev/multistack-bench", O_RDWR | O_CLOEXEC);

	if (bench < 0)
		die("/dev/multistack-bench (the module msbench)");
	/* A tenth of the time to warm up. */
	r->duration_ns = (uint64_t)(seconds * 1e8);
	if (ioctl(bench, MSBENCH_RUN, r) != 0)
		die("run");
	r->duration_ns = (uint64_t)(seconds * 1e9);
	if (ioctl(bench, MSBENCH_RUN, r) != 0)
		die("run");
}

int
main(int argc, char **argv)
{
	struct ms_cmd_sync sync = { .size = sizeof sync };
	struct msbench_run r = { .per_addr = PER_ADDR,
				 .first_port = FIRST_PORT,
				 .batch = BATCH,
				 .sync = (uintptr_t)&sync };
	struct bench_flow flow = { .sport = SENDER_PORT };
	uint32_t i, addrs;
	uint8_t *frames;
	int *port, *ring;

	r.bytes = argc > 7 ? (uint32_t)atoi(argv[7]) : 0;
	r.num_to = argc > 8 ? (uint32_t)atoi(argv[8]) : 1;
	r.tuples = argc > 9 ? (uint32_t)atoi(argv[9]) : r.num_to;
	if (r.bytes < BENCH_HEADER_BYTES || r.bytes > FRAME_MAX ||
	    r.num_to == 0 || r.tuples < r.num_to) {
		fprintf(stderr, "usage: see the top of bench_wire.c\n");
		return 2;
	}
	allow_files(2 * r.num_to + 64);
	addrs = (r.tuples + PER_ADDR - 1) / PER_ADDR;
	frames = calloc(addrs, r.bytes);
	port = calloc(r.num_to, sizeof *port);
	ring = calloc(r.num_to, sizeof *ring);
	if (!frames || !port || !ring)
		die("memory");
	flow.src_be = inet_addr(argv[2]);
	i = (uint32_t)port_open(argv[1], SLOTS, flow.src_mac);
	claim((int)i, flow.src_be, SENDER_PORT);
	r.from = ring_of((int)i, 0);
	enter(argv[3]);
	for (i = 0; i < r.num_to; i++) {
		port[i] = port_open(argv[4], r.num_to == 1 ? SLOTS : SLOTS_MANY,
				    flow.dst_mac);
		ring[i] = ring_of(port[i], 1);
	}
	for (i = 0; i < r.tuples; i++)
		claim(port[i % r.num_to],
		      htonl(ntohl(inet_addr(argv[5])) + i / PER_ADDR),
		      FIRST_PORT + i % PER_ADDR);
	for (i = 0; i < addrs; i++) {
		flow.dst_be = htonl(ntohl(inet_addr(argv[5])) + i);
		bench_frame(frames + (size_t)i * r.bytes, r.bytes, &flow);
	}
	r.to = (uintptr_t)ring;
	r.frames = (uintptr_t)frames;
	measure(&r, atof(argv[6]));
	printf("{\"sent\": %llu, \"received\": %llu, \"mpps\": %.4f}\n",
	       (unsigned long long)r.sent, (unsigned long long)r.received,
	       (double)r.received * 1e3 / (double)r.took_ns);
	return 0;
}
