/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_send: sends a number of bytes by a congestion control of its own, and tells
 * how it went.
 *
 *     cc_send DEVICE ADDRESS PORT BYTES [CONTROL]
 *     cc_send daemon:eth0 192.0.2.1 5001 100000000
 *     nc -l 5001 >/dev/null                 # there
 *
 * CONTROL: "westwood" (cc_westwood.c) if nothing is said, or one that ships.
 *
 * Compile: cc cc_send.c cc_westwood.c $(pkg-config --cflags --libs multistack)
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <multistack/link.h>

#include "cc_westwood.h"

#define BATCH 16

static const char zeros[65536];

struct sending {
	utcp_sock_t *s;
	unsigned long long left;
	bool shut;
};

/* Writes what is taken, and shuts down behind the last byte. A negative errno
   when the connection has failed. */
static int
write_more(struct sending *x)
{
	ssize_t n = 0;

	while (x->left > 0) {
		n = utcp_write(x->s, zeros,
			       x->left < sizeof(zeros) ? (size_t)x->left
						       : sizeof(zeros),
			       0);
		if (n < 0)
			return n == -EAGAIN || n == -ENOTCONN ? 0 : (int)n;
		x->left -= (unsigned long long)n;
	}
	if (!x->shut)
		x->shut = utcp_shutdown(x->s, UTCP_SHUT_WR) == 0;
	return 0;
}

/* 1: all was sent and the other end has closed; 0: not yet. */
static int
on_event(struct sending *x, const utcp_event_t *e)
{
	char buf[4096];
	ssize_t n = 0;
	int r;

	if (e->ready & UTCP_OUT) {
		r = write_more(x);
		if (r < 0)
			return r;
	}
	while (e->ready & UTCP_IN &&
	       (n = utcp_read(x->s, buf, sizeof(buf), 0)) > 0)
		;
	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	return (e->ready & UTCP_RDHUP) != 0;
}

static int
run(mslink_t *l, struct sending *x)
{
	utcp_event_t events[BATCH];
	int done = 0, r = 0, n;

	while (done == 0 && r >= 0) {
		r = mslink_poll(l);
		while (r >= 0 && done == 0 &&
		       (n = utcp_events(mslink_stack(l), events, BATCH)) > 0)
			for (int i = 0; i < n && done == 0; i++)
				done = on_event(x, &events[i]);
		if (r >= 0)
			r = mslink_flush(l);
		if (r >= 0 && done == 0)
			r = mslink_wait(l, -1);
		if (r == -EINTR)
			r = 0;
	}
	return done < 0 ? done : r < 0 ? r : 0;
}

static void
report(const utcp_sock_t *s, uint64_t ns)
{
	utcp_info_t i = { .size = sizeof(i) };

	if (utcp_info(s, &i) < 0 || ns == 0)
		return;
	printf("cc_send: %s: %llu bytes in %.3f s, %.1f Mbit/s, "
	       "%llu sent again, round trip %.3f ms\n",
	       i.cc, (unsigned long long)i.bytes_acked, (double)ns / 1e9,
	       (double)i.bytes_acked * 8e3 / (double)ns,
	       (unsigned long long)i.bytes_retrans, (double)i.rtt_ns / 1e6);
}

static int
fail(const char *what, int r)
{
	fprintf(stderr, "cc_send: %s: %s\n", what, strerror(-r));
	return 1;
}

int
main(int argc, char **argv)
{
	mslink_options_t opt = { .size = sizeof(opt), .label = "cc_send" };
	const char *control = argc > 5 ? argv[5] : cc_westwood.name;
	struct sending x = { 0 };
	msport_error_t err;
	utcp_addr_t peer;
	uint64_t begin;
	mslink_t *l;
	int r;

	if (argc < 5 ||
	    mslink_addr(&peer, argv[2], (uint16_t)strtoul(argv[3], NULL, 10))) {
		fprintf(stderr, "usage: cc_send DEVICE ADDRESS PORT BYTES "
				"[CONTROL]\n");
		return 2;
	}
	x.left = strtoull(argv[4], NULL, 10);
	if (mslink_open(&l, argv[1], &opt, &err)) {
		fprintf(stderr, "cc_send: %s\n", err.text);
		return 1;
	}
	r = utcp_cc_register(mslink_stack(l), &cc_westwood);
	if (r == 0)
		r = utcp_open(mslink_stack(l), peer.family, &x.s);
	if (r == 0)
		r = utcp_set_cc(x.s, control);
	if (r < 0) {
		mslink_close(l);
		return fail(control, r);
	}
	begin = utcp_now_ns(mslink_stack(l));
	r = mslink_connect(l, x.s, &peer);
	r = r == 0 || r == -EINPROGRESS ? run(l, &x) : r;
	if (r == 0)
		report(x.s, utcp_now_ns(mslink_stack(l)) - begin);
	utcp_close(x.s);
	mslink_close(l);
	return r < 0 ? fail(argv[2], r) : 0;
}
