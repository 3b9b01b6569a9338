/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_wire: frames from a port to ports at the other end of a cable, all in
 * one process and one thread: filled, sent, received and looked at. One line
 * of JSON.
 *
 *     bench_wire FROM FROM_ADDR NETNS TO TO_ADDR SECONDS BYTES [PORTS TUPLES]
 *
 * FROM and TO are device strings; TO is opened in the network namespace whose
 * file NETNS is ("-": this one). TUPLES are bound over PORTS ports, in turns,
 * PER_ADDR to an address from TO_ADDR on; each batch goes to so many tuples in
 * a row, from a random one on.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include <multistack/port.h>

#include "bench_frame.h"

#define BATCH 1024
#define SLOTS 4096     /* of the sender, and of a lone receiver */
#define SLOTS_MANY 256 /* of each of many receivers */
#define PER_ADDR 50000 /* tuples of one address */
#define FIRST_PORT 10000
#define SENDER_PORT 9000
#define FRAME_MAX 1514

static struct {
	msport_t *from, **to;
	const char *from_addr, *to_addr;
	uint32_t bytes, ports, tuples;
	uint8_t (*frame)[FRAME_MAX]; /* one an address */
	uint64_t random, sent, received, seen_bytes;
} w;

static void
die(const char *what, int err)
{
	fprintf(stderr, "bench_wire: %s: %s\n", what, strerror(abs(err)));
	exit(1);
}

static msport_t *
port_open(const char *device, uint32_t slots)
{
	msport_options_t opt = { .slots = slots, .label = "bench" };
	msport_error_t err;
	msport_t *port;

	if (msport_open(&port, device, &opt, &err)) {
		fprintf(stderr, "bench_wire: %s\n", err.text);
		exit(1);
	}
	return port;
}

static void
claim(msport_t *port, uint32_t addr_be, uint16_t number)
{
	struct ms_tuple t = { .proto = IPPROTO_UDP,
			      .family = 4,
			      .port_be = htons(number) };
	int r;

	memcpy(t.addr, &addr_be, sizeof addr_be);
	r = msport_bind(port, &t);
	if (r)
		die(msport_error(port), r);
}

static uint32_t
nth_addr(uint32_t tuple)
{
	return htonl(ntohl(inet_addr(w.to_addr)) + tuple / PER_ADDR);
}

static uint16_t
nth_port(uint32_t tuple)
{
	return (uint16_t)(FIRST_PORT + tuple % PER_ADDR);
}

static void
enter(const char *netns)
{
	int fd;

	if (!strcmp(netns, "-"))
		return;
	fd = open(netns, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(netns, errno);
	close(fd);
}

static void
set_up(const char *from, const char *netns, const char *to)
{
	uint32_t i, addrs = (w.tuples + PER_ADDR - 1) / PER_ADDR;
	struct bench_flow flow = { .src_be = inet_addr(w.from_addr),
				   .sport = SENDER_PORT };

	w.from = port_open(from, SLOTS);
	claim(w.from, flow.src_be, SENDER_PORT);
	enter(netns);
	w.to = calloc(w.ports, sizeof(w.to[0]));
	w.frame = calloc(addrs, sizeof(w.frame[0]));
	if (!w.to || !w.frame)
		die("memory", ENOMEM);
	for (i = 0; i < w.ports; i++)
		w.to[i] = port_open(to, w.ports == 1 ? SLOTS : SLOTS_MANY);
	for (i = 0; i < w.tuples; i++)
		claim(w.to[i % w.ports], nth_addr(i), nth_port(i));
	memcpy(flow.src_mac, msport_info(w.from)->mac, 6);
	memcpy(flow.dst_mac, msport_info(w.to[0])->mac, 6);
	for (i = 0; i < addrs; i++) {
		flow.dst_be = nth_addr(i * PER_ADDR);
		bench_frame(w.frame[i], w.bytes, &flow);
	}
}

static uint32_t
next_random(uint32_t below)
{
	w.random ^= w.random << 13;
	w.random ^= w.random >> 7;
	w.random ^= w.random << 17;
	return (uint32_t)(w.random >> 16) % below;
}

/* A batch to tuples from `first` on; how many frames there was room for. */
static uint32_t
give(uint32_t first)
{
	msport_view_t v[BATCH];
	int n = msport_tx(w.from, 0, v, BATCH);
	uint32_t tuple = first;

	if (n < 0)
		die(msport_error(w.from), n);
	for (int i = 0; i < n; i++) {
		memcpy(v[i].data, w.frame[tuple / PER_ADDR], w.bytes);
		bench_put16(v[i].data + 36, nth_port(tuple));
		v[i].len = w.bytes;
		if (++tuple == w.tuples)
			tuple = 0;
	}
	if (n)
		msport_tx_commit(w.from, 0, v, (unsigned int)n);
	msport_sync(w.from, 0);
	w.sent += (uint32_t)n;
	return (uint32_t)n;
}

/* What is there in one port. */
static void
take(msport_t *port)
{
	msport_view_t v[BATCH];
	int n;

	while ((n = msport_rx(port, 0, v, BATCH)) > 0) {
		for (int i = 0; i < n; i++)
			w.seen_bytes += v[i].data[37] + v[i].len;
		msport_rx_release(port, 0, (unsigned int)n);
		w.received += (unsigned int)n;
	}
	if (n < 0)
		die(msport_error(port), n);
}

static void
round_trip(void)
{
	uint32_t first = next_random(w.tuples), i, n;

	n = give(first);
	if (n > w.ports)
		n = w.ports;
	for (i = 0; i < n; i++)
		take(w.to[(first + i) % w.tuples % w.ports]);
}

int
main(int argc, char **argv)
{
	uint64_t began, cpu, end, now, base_sent, base_received;
	double took;

	w.random = 88172645463325252ull;
	w.ports = argc > 8 ? (uint32_t)atoi(argv[8]) : 1;
	w.tuples = argc > 9 ? (uint32_t)atoi(argv[9]) : w.ports;
	w.bytes = argc > 7 ? (uint32_t)atoi(argv[7]) : 0;
	if (w.bytes < BENCH_HEADER_BYTES || w.bytes > FRAME_MAX ||
	    w.ports == 0 || w.tuples < w.ports) {
		fprintf(stderr, "usage: see the top of bench_wire.c\n");
		return 2;
	}
	w.from_addr = argv[2];
	w.to_addr = argv[5];
	set_up(argv[1], argv[3], argv[4]);
	/* A tenth of the time to warm up. */
	end = bench_now_ns() + (uint64_t)(atof(argv[6]) * 1e8);
	while (bench_now_ns() < end)
		round_trip();
	base_sent = w.sent;
	base_received = w.received;
	cpu = bench_cpu_ns();
	began = bench_now_ns();
	end = began + (uint64_t)(atof(argv[6]) * 1e9);
	while ((now = bench_now_ns()) < end)
		round_trip();
	cpu = bench_cpu_ns() - cpu;
	took = (double)(now - began) / 1e9;
	w.sent -= base_sent;
	w.received -= base_received;
	printf("{\"sent\": %llu, \"received\": %llu, \"seconds\": %.4f, "
	       "\"mpps\": %.4f, \"cpu_ns\": %.1f}\n",
	       (unsigned long long)w.sent, (unsigned long long)w.received, took,
	       (double)w.received / took / 1e6,
	       w.received ? (double)cpu / (double)w.received : 0.0);
	for (uint32_t i = 0; i < w.ports; i++)
		msport_close(w.to[i]);
	msport_close(w.from);
	free(w.to);
	free(w.frame);
	return w.seen_bytes == 42; /* so that looking is not optimised away */
}
