/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_daemon: frames from process to process through multistackd, by local
 * delivery, and what a wake-up costs. One line of JSON.
 *
 *     bench_daemon recv DEVICE SECONDS ADDRESS PORT
 *     bench_daemon send DEVICE SECONDS ADDRESS PORT TO_PORT BYTES
 *     bench_daemon self DEVICE SECONDS ADDRESS PORT TO_PORT BYTES
 *     bench_daemon pong DEVICE SECONDS ADDRESS PORT sleep|spin
 *     bench_daemon ping DEVICE SECONDS ADDRESS PORT TO_PORT sleep|spin
 *
 * self: one process sends to its own second tuple and receives. ping and pong
 * pass one frame to and fro; ping says how long a round trip took.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include <multistack/port.h>

#include "bench_frame.h"

#define BATCH 256
#define SLOTS 4096
#define MAX_RTTS (1u << 20)

static volatile sig_atomic_t stop;
static uint64_t sent, received, first_ns, last_ns, bytes_seen, end_ns;
static uint8_t frame[1514];

static void
on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static void
die(const char *what, int err)
{
	fprintf(stderr, "bench_daemon: %s: %s\n", what, strerror(abs(err)));
	exit(1);
}

static bool
going(void)
{
	return !stop && bench_now_ns() < end_ns;
}

static void
claim(msport_t *port, const char *addr, uint16_t number)
{
	struct ms_tuple tuple;
	int r = msport_tuple(&tuple, addr, IPPROTO_UDP, number);

	if (!r)
		r = msport_bind(port, &tuple);
	if (r)
		die(msport_error(port), r);
}

/* What is there, up to a batch; frames are looked at and given back. */
static unsigned int
take(msport_t *port)
{
	msport_view_t v[BATCH];
	int n = msport_rx(port, 0, v, BATCH);

	if (n < 0)
		die(msport_error(port), n);
	if (!n)
		return 0;
	for (int i = 0; i < n; i++)
		bytes_seen += v[i].data[37] + v[i].len;
	msport_rx_release(port, 0, (unsigned int)n);
	last_ns = bench_now_ns();
	if (!received)
		first_ns = last_ns;
	received += (unsigned int)n;
	return (unsigned int)n;
}

/* As many copies of `frame` as there is room for, up to a batch. */
static unsigned int
give(msport_t *port, uint32_t bytes)
{
	msport_view_t v[BATCH];
	int n = msport_tx(port, 0, v, BATCH);

	if (n < 0)
		die(msport_error(port), n);
	for (int i = 0; i < n; i++) {
		memcpy(v[i].data, frame, bytes);
		v[i].len = bytes;
	}
	if (n) {
		msport_tx_commit(port, 0, v, (unsigned int)n);
		msport_sync(port, 0);
	}
	sent += (unsigned int)n;
	return (unsigned int)n;
}

static void
run_recv(msport_t *port)
{
	while (going())
		if (!take(port))
			msport_wait(port, 1, 0, 10);
}

static void
run_send(msport_t *port, uint32_t bytes)
{
	while (going())
		if (!give(port, bytes))
			msport_wait(port, 0, 0, 10);
}

static void
run_self(msport_t *port, uint32_t bytes)
{
	while (going()) {
		unsigned int n = give(port, bytes);

		if (!take(port) && !n)
			msport_wait(port, 1, 0, 1);
	}
}

/* One frame in, the same one out again, its ports and addresses exchanged. */
static bool
reflect(msport_t *port)
{
	msport_view_t rx, tx;
	int n = msport_rx(port, 0, &rx, 1);

	if (n < 0)
		die(msport_error(port), n);
	if (!n || msport_tx(port, 0, &tx, 1) != 1)
		return false;
	memcpy(tx.data, rx.data, rx.len);
	tx.len = rx.len;
	bench_reflect(tx.data);
	msport_rx_release(port, 0, 1);
	msport_tx_commit(port, 0, &tx, 1);
	msport_sync(port, 0);
	received++;
	return true;
}

static void
run_pong(msport_t *port, bool spin)
{
	while (going())
		if (!reflect(port) && !spin)
			msport_wait(port, 1, 0, 10);
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
run_ping(msport_t *port, bool spin)
{
	uint32_t *rtt = calloc(MAX_RTTS, sizeof *rtt), n = 0;

	if (!rtt)
		die("memory", ENOMEM);
	while (going() && n < MAX_RTTS) {
		uint64_t began = bench_now_ns();

		msport_send(port, 0, frame, 60);
		while (going() && !take(port))
			if (!spin)
				msport_wait(port, 1, 0, 10);
		rtt[n++] = (uint32_t)(bench_now_ns() - began);
	}
	qsort(rtt, n, sizeof *rtt, by_value);
	printf("{\"mode\": \"ping\", \"frames\": %u, \"median_ns\": %u, "
	       "\"p99_ns\": %u}\n",
	       n, n ? rtt[n / 2] : 0, n ? rtt[n - n / 100 - 1] : 0);
	free(rtt);
}

static void
make_frame(const msport_t *port, const char *addr, uint16_t from, uint16_t to,
	   uint32_t bytes)
{
	struct bench_flow flow = { .src_be = inet_addr(addr),
				   .dst_be = inet_addr(addr),
				   .sport = from,
				   .dport = to };

	memcpy(flow.src_mac, msport_info(port)->mac, 6);
	memcpy(flow.dst_mac, msport_info(port)->mac, 6);
	bench_frame(frame, bytes, &flow);
}

int
main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	msport_options_t opt = { .slots = SLOTS, .label = "bench" };
	const char *mode = argc > 5 ? argv[1] : "";
	uint16_t from = argc > 5 ? (uint16_t)atoi(argv[5]) : 0;
	uint32_t bytes = argc > 7 ? (uint32_t)atoi(argv[7]) : 60;
	bool spin = argc > 6 && !strcmp(argv[argc - 1], "spin");
	msport_error_t err;
	msport_t *port;
	double took;

	if (argc < 6 || bytes > sizeof frame) {
		fprintf(stderr, "usage: see the top of bench_daemon.c\n");
		return 2;
	}
	if (bytes < BENCH_HEADER_BYTES)
		bytes = 60;
	sigaction(SIGTERM, &sa, NULL);
	if (msport_open(&port, argv[2], &opt, &err)) {
		fprintf(stderr, "bench_daemon: %s\n", err.text);
		return 1;
	}
	claim(port, argv[4], from);
	if (argc > 6)
		make_frame(port, argv[4], from, (uint16_t)atoi(argv[6]), bytes);
	if (!strcmp(mode, "self"))
		claim(port, argv[4], (uint16_t)atoi(argv[6]));
	puts("ready");
	fflush(stdout);
	end_ns = bench_now_ns() + (uint64_t)(atof(argv[3]) * 1e9);
	if (!strcmp(mode, "recv"))
		run_recv(port);
	else if (!strcmp(mode, "send"))
		run_send(port, bytes);
	else if (!strcmp(mode, "self"))
		run_self(port, bytes);
	else if (!strcmp(mode, "pong"))
		run_pong(port, spin);
	else if (!strcmp(mode, "ping"))
		run_ping(port, spin);
	took = received && last_ns > first_ns
		   ? (double)(last_ns - first_ns) / 1e9
		   : 1;
	printf("{\"mode\": \"%s\", \"sent\": %llu, \"received\": %llu, "
	       "\"mpps\": %.4f}\n",
	       mode, (unsigned long long)sent, (unsigned long long)received,
	       (double)received / took / 1e6);
	msport_close(port);
	return bytes_seen == 42; /* so that looking is not optimised away */
}
