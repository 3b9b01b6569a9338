/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ext_ask: a server that says how busy it is by a TCP option of its own
 * (ext_load.c), and a client that hears it.
 *
 *     ext_ask serve DEVICE ADDRESS PORT
 *     ext_ask ask DEVICE ADDRESS PORT [TIMES]
 *     ext_ask serve daemon:eth0 192.0.2.7 7007
 *     ext_ask ask daemon:eth0 192.0.2.7 7007 3     # there
 *
 * The server answers each byte that it is sent with one; its load is ten for
 * each connection, a hundred at most. With a client or a server that has no such
 * option, a kernel's say, all works, and nobody hears of it:
 *
 *     nc 192.0.2.7 7007
 *
 * Compile: cc ext_ask.c ext_load.c $(pkg-config --cflags --libs multistack)
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <multistack/link.h>

#include "ext_load.h"

#define BATCH 64

static volatile sig_atomic_t stop;

/* The server's listener, the client's connection. */
static utcp_sock_t *first;
static unsigned int connections, load;
static unsigned long asks; /* the client's, still to do */

/* Returns negative errnos when the connection is over. */
static int
answer(utcp_sock_t *s)
{
	char buf[512];
	ssize_t n;

	while ((n = utcp_read(s, buf, sizeof(buf), 0)) > 0)
		if (utcp_write(s, buf, (size_t)n, 0) < 0)
			return -EPIPE; /* more questions than answers fit */
	return n == 0 ? -ECONNRESET : n == -EAGAIN ? 0 : (int)n;
}

static void
count(int more)
{
	connections += (unsigned int)more;
	load = connections < 10 ? 10 * connections : 100;
}

static void
serve(const utcp_event_t *e)
{
	utcp_sock_t *s = e->sock;

	if (s != first) {
		if (answer(s) < 0) {
			utcp_close(s);
			count(-1);
		}
		return;
	}
	while (utcp_accept(first, &s) == 0) {
		count(1);
		(void)answer(s);
	}
}

/* Asks, and hears the answer, again and again. Stops the program. */
static void
ask(const utcp_event_t *e)
{
	char c;

	if (e->ready & UTCP_ERR) {
		int64_t error = 0;

		utcp_get(e->sock, UTCP_OPT_ERROR, &error);
		printf("ext_ask: %s\n", strerror((int)error));
		stop = 2;
		return;
	}
	if (utcp_read(e->sock, &c, 1, 0) == 1) {
		printf("ext_ask: load %d\n", load_of(e->sock));
		asks--;
	} else if (load_of(e->sock) >= 0) {
		printf("ext_ask: connected, load %d\n", load_of(e->sock));
	} else {
		printf("ext_ask: connected, no word of load\n");
	}
	fflush(stdout);
	if (asks == 0)
		stop = 1;
	else
		(void)utcp_write(e->sock, "?", 1, 0);
}

static int
run(mslink_t *l, void (*on_event)(const utcp_event_t *e))
{
	utcp_event_t events[BATCH];
	int r = 0, n;

	while (!stop && r >= 0) {
		r = mslink_poll(l);
		if (r < 0)
			break;
		while ((n = utcp_events(mslink_stack(l), events, BATCH)) > 0)
			for (int i = 0; i < n && !stop; i++)
				on_event(&events[i]);
		r = mslink_flush(l);
		if (r >= 0 && !stop)
			r = mslink_wait(l, -1);
		if (r == -EINTR)
			r = 0;
	}
	return r;
}

static void
on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static int
begin(mslink_t *l, const utcp_addr_t *a, bool server)
{
	utcp_t *u = mslink_stack(l);
	int r = load_register(u, server ? &load : NULL);

	if (r == 0)
		r = utcp_open(u, a->family, &first);
	if (r < 0)
		return r;
	if (!server) {
		r = mslink_connect(l, first, a);
		return r == -EINPROGRESS ? 0 : r;
	}
	r = utcp_bind(first, a);
	return r == 0 ? utcp_listen(first, 128) : r;
}

int
main(int argc, char **argv)
{
	mslink_options_t opt = { .size = sizeof(opt), .label = "ext_ask" };
	struct sigaction sa = { .sa_handler = on_signal };
	bool server = argc > 1 && strcmp(argv[1], "serve") == 0;
	msport_error_t err;
	utcp_addr_t a;
	mslink_t *l;
	int r;

	if (argc < 5 || (!server && strcmp(argv[1], "ask") != 0) ||
	    mslink_addr(&a, argv[3], (uint16_t)strtoul(argv[4], NULL, 10))) {
		fprintf(stderr, "usage: ext_ask serve DEVICE ADDRESS PORT\n"
				"       ext_ask ask DEVICE ADDRESS PORT "
				"[TIMES]\n");
		return 2;
	}
	asks = argc > 5 ? strtoul(argv[5], NULL, 10) : 1;
	if (mslink_open(&l, argv[2], &opt, &err)) {
		fprintf(stderr, "ext_ask: %s\n", err.text);
		return 1;
	}
	r = begin(l, &a, server);
	if (r == 0) {
		if (server)
			printf("ext_ask: serving %s port %s\n", argv[3],
			       argv[4]);
		fflush(stdout);
		sigaction(SIGINT, &sa, NULL);
		sigaction(SIGTERM, &sa, NULL);
		r = run(l, server ? serve : ask);
	}
	if (r < 0)
		fprintf(stderr, "ext_ask: %s: %s\n", argv[3], strerror(-r));
	utcp_close(first);
	mslink_close(l); /* sends what is to be sent */
	return r < 0 || stop == 2;
}
