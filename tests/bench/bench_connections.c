/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_connections: what connections cost, stack to stack over memory, both in
 * one thread. One line of JSON.
 *
 *     bench_connections rate direct|pair SECONDS
 *     bench_connections idle NUMBER
 *
 * rate: open, accept, close by the client, close by the server; so many are
 * under way at once. idle: opens so many and lets them be; then says what a
 * connection costs and how one more is answered among them.
 */
#include <sys/resource.h>
#include <unistd.h>

#include "bench_ends.h"

#define UNDER_WAY 256
#define EVENTS 256

static uint64_t opened, closed;

/* ---- set-ups and tear-downs -------------------------------------------------- */

static void
open_one(struct bench_end *e, const utcp_addr_t *from)
{
	utcp_sock_t *s;
	int r = utcp_open(e->u, 4, &s);

	if (r == 0 && from)
		r = utcp_bind(s, from);
	if (r == 0)
		r = utcp_connect(s, &e->peer->addr);
	if (r && r != -EINPROGRESS)
		bench_die("connect", r);
	opened++;
}

/* Opened: close at once. The client leaves first, and waits. */
static void
client_events(struct bench_end *e)
{
	utcp_event_t ev[EVENTS];
	int n;

	do {
		n = utcp_events(e->u, ev, EVENTS);
		for (int i = 0; i < n; i++) {
			if (ev[i].ready & UTCP_ERR)
				bench_die("a connection failed", -ECONNRESET);
			if (ev[i].ready & UTCP_OUT) {
				utcp_close(ev[i].sock);
				closed++;
			}
		}
	} while (n == EVENTS);
}

static void
server_events(struct bench_end *e, utcp_sock_t *listener)
{
	utcp_event_t ev[EVENTS];
	utcp_sock_t *s;
	int n;

	do {
		n = utcp_events(e->u, ev, EVENTS);
		for (int i = 0; i < n; i++) {
			if (ev[i].sock == listener)
				while (utcp_accept(listener, &s) == 0) {
					utcp_set_user(s, s);
					if (utcp_poll(s) & UTCP_RDHUP)
						utcp_close(s);
				}
			else if (ev[i].user && (ev[i].ready & UTCP_RDHUP))
				utcp_close(ev[i].sock);
		}
	} while (n == EVENTS);
}

static int
rate(bool pair, double seconds)
{
	/* The client's ports come round again in seconds: its connections stay
	   in TIME-WAIT for less than that. */
	utcp_config_t c = { .mtu = 1500, .max_timewait = 20000 };
	uint64_t from_ns, cpu_ns, end_ns, now_ns, base;
	utcp_sock_t *listener;
	struct bench_end e[2];

	bench_ends(e, pair, &c);
	listener = bench_listen(&e[1]);
	from_ns = mslink_now_ns();
	end_ns = from_ns + 300000000u;
	cpu_ns = base = 0;
	for (;;) {
		bench_in(&e[0]);
		client_events(&e[0]);
		while (opened - closed < UNDER_WAY)
			open_one(&e[0], NULL);
		(void)bench_out(&e[0]);
		bench_in(&e[1]);
		server_events(&e[1], listener);
		(void)bench_out(&e[1]);
		now_ns = mslink_now_ns();
		if (now_ns < end_ns)
			continue;
		if (cpu_ns)
			break;
		cpu_ns = bench_cpu_ns();
		base = closed;
		from_ns = now_ns;
		end_ns = now_ns + (uint64_t)(seconds * 1e9);
	}
	cpu_ns = bench_cpu_ns() - cpu_ns;
	printf("{\"case\": \"rate\", \"per_s\": %.0f, \"per_core_s\": %.0f}\n",
	       (double)(closed - base) * 1e9 / (double)(now_ns - from_ns),
	       (double)(closed - base) * 1e9 / (double)cpu_ns);
	utcp_close(listener);
	bench_ends_close(e);
	return 0;
}

/* ---- idle ones ----------------------------------------------------------------- */

static uint64_t
resident_bytes(void)
{
	unsigned long total, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fscanf(f, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	if (f)
		fclose(f);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* One round of both; returns whether anything moved. */
static bool
round_of(struct bench_end e[2], utcp_sock_t *listener, uint64_t *accepted)
{
	utcp_event_t ev[EVENTS];
	utcp_sock_t *s;
	int moved = 0;

	bench_in(&e[0]);
	(void)utcp_events(e[0].u, ev, EVENTS);
	moved += bench_out(&e[0]);
	bench_in(&e[1]);
	(void)utcp_events(e[1].u, ev, EVENTS);
	while (utcp_accept(listener, &s) == 0) {
		utcp_set_user(s, s);
		(*accepted)++;
	}
	moved += bench_out(&e[1]);
	return moved > 0;
}

/* A request and its answer on a new connection; nanoseconds. */
static uint64_t
ask_ns(struct bench_end e[2], utcp_sock_t *listener)
{
	uint64_t from_ns = mslink_now_ns();
	utcp_sock_t *s, *t = NULL;
	char text[5];
	int r = utcp_open(e[0].u, 4, &s);

	if (r == 0)
		r = utcp_connect(s, &e[1].addr);
	while (r == -EINPROGRESS || r == -EAGAIN) {
		bench_in(&e[0]);
		if (r == -EINPROGRESS && (utcp_poll(s) & UTCP_OUT))
			r = utcp_write(s, "who?", 4, 0) == 4 ? -EAGAIN : -EPIPE;
		if (r == -EAGAIN && utcp_read(s, text, 5, 0) == 5)
			r = 0;
		(void)bench_out(&e[0]);
		bench_in(&e[1]);
		if (!t)
			(void)utcp_accept(listener, &t);
		if (t && utcp_read(t, text, 4, 0) == 4)
			(void)utcp_write(t, "yours", 5, 0);
		(void)bench_out(&e[1]);
	}
	if (r)
		bench_die("nobody answers among them", r);
	utcp_close(s);
	utcp_close(t);
	return mslink_now_ns() - from_ns;
}

static int
idle(uint64_t want)
{
	utcp_config_t c = { .mtu = 1500, .max_socks = 2 << 20 };
	uint64_t accepted = 0, before, ns = 0, worst = 0, one, cpu_ns;
	uint32_t each = 50000; /* connections from one address */
	utcp_sock_t *listener;
	struct bench_end e[2];
	utcp_usage_t usage, at_first;
	utcp_addr_t from;

	bench_ends(e, false, &c);
	listener = bench_listen(&e[1]);
	utcp_usage(e[1].u, &at_first);
	before = resident_bytes();
	for (uint64_t i = 0; i < want; i++) {
		from = e[0].addr;
		from.addr[1] = (uint8_t)(1 + i / each);
		from.port_be = htons((uint16_t)(10000 + i % each));
		open_one(&e[0], &from);
		if (i % 32 == 31)
			(void)round_of(e, listener, &accepted);
	}
	while (accepted < want && round_of(e, listener, &accepted))
		;
	if (accepted < want)
		bench_die("not all were accepted", -ECONNREFUSED);
	for (int i = 0; i < 20; i++) /* delayed acknowledgements and the like */
		(void)round_of(e, listener, &accepted);
	utcp_usage(e[1].u, &usage);
	before = resident_bytes() - before;
	cpu_ns = bench_cpu_ns();
	for (int i = 0; i < 1000; i++) {
		one = ask_ns(e, listener);
		ns += one;
		if (one > worst)
			worst = one;
	}
	cpu_ns = bench_cpu_ns() - cpu_ns;
	printf("{\"case\": \"idle\", \"connections\": %llu, \"bytes\": %.1f, "
	       "\"resident\": %.1f, \"answer_us\": %.1f, \"worst_us\": %.1f, "
	       "\"answer_cpu_us\": %.1f}\n",
	       (unsigned long long)want,
	       (double)(usage.mem_bytes - at_first.mem_bytes) / (double)want,
	       (double)before / 2 / (double)want, (double)ns / 1e6,
	       (double)worst / 1e3, (double)cpu_ns / 1e6);
	utcp_close(listener);
	bench_ends_close(e);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "rate"))
		return rate(!strcmp(argv[2], "pair"), atof(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "idle"))
		return idle((uint64_t)atoll(argv[2]));
	return 2;
}
