/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_echo: a TCP server with its own stack, in one thread and one loop.
 *
 *     tcp_echo DEVICE PORT ADDRESS...
 *     tcp_echo daemon:eth0 7007 192.0.2.7 2001:db8::7
 *
 * It gives back what it reads, straight from where it was received: what the
 * send buffer does not take stays unread, so a client that does not listen is
 * told to stop by TCP's own window, and no buffer of ours is needed.
 *
 * Compile: cc tcp_echo.c $(pkg-config --cflags --libs multistack)
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <multistack/link.h>

#define BATCH 64

static struct {
	unsigned long long accepted, ended, failed, bytes;
} count;

static volatile sig_atomic_t stop;

/* Marks listeners among the sockets, by their `user`. */
static char listener;

/* Moves what can be moved. Returns 1 when all is said, a negative errno when
   the connection has failed, else 0. */
static int
echo(utcp_sock_t *s)
{
	utcp_view_t v;
	ssize_t n;
	int r;

	while ((r = utcp_views(s, &v, 1)) > 0) {
		n = utcp_write(s, v.data, v.len, 0);
		if (n == -EAGAIN)
			return 0; /* UTCP_OUT will come */
		if (n < 0)
			return (int)n;
		utcp_consume(s, (size_t)n);
		count.bytes += (unsigned long long)n;
	}
	if (r < 0 && r != -EAGAIN)
		return r;
	return (utcp_poll(s) & UTCP_RDHUP) != 0;
}

static void
serve(utcp_sock_t *s)
{
	int r = echo(s);

	if (r == 0)
		return;
	count.ended++;
	count.failed += r < 0;
	utcp_close(s); /* what was written is still sent */
}

static void
on_event(const utcp_event_t *e)
{
	utcp_sock_t *s;

	if (e->user != &listener) {
		serve(e->sock);
		return;
	}
	while (utcp_accept(e->sock, &s) == 0) {
		utcp_set_user(s, NULL);
		count.accepted++;
		serve(s); /* data may be there already */
	}
}

static int
claim(mslink_t *l, const char *address, const char *port)
{
	unsigned long number = strtoul(port, NULL, 10);
	utcp_sock_t *s = NULL;
	utcp_addr_t a;
	const char *why;
	int r;

	if (number == 0 || number > 65535 ||
	    mslink_addr(&a, address, (uint16_t)number)) {
		fprintf(stderr,
			"tcp_echo: '%s' port '%s' is no address of IPv4 or "
			"IPv6 with a port of 1 to 65535\n",
			address, port);
		return -EINVAL;
	}
	r = utcp_open(mslink_stack(l), a.family, &s);
	if (r == 0)
		r = utcp_bind(s, &a);
	if (r == 0)
		r = utcp_listen(s, 1024);
	if (r < 0) {
		why = msport_error(mslink_port(l)); /* of the claim */
		fprintf(stderr, "tcp_echo: %s\n", *why ? why : strerror(-r));
		utcp_close(s);
		return r;
	}
	utcp_set_user(s, &listener);
	printf("tcp_echo: serving %s port %s\n", address, port);
	return 0;
}

static int
run(mslink_t *l)
{
	utcp_event_t events[BATCH];
	int r = 0, n;

	while (!stop && r >= 0) {
		r = mslink_poll(l); /* time and frames go in */
		if (r < 0)
			break;
		while ((n = utcp_events(mslink_stack(l), events, BATCH)) > 0)
			for (int i = 0; i < n; i++)
				on_event(&events[i]);
		r = mslink_flush(l); /* frames go out */
		if (r < 0)
			break;
		r = mslink_wait(l, -1); /* a frame or a timer */
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

int
main(int argc, char **argv)
{
	mslink_options_t opt = { .size = sizeof(opt), .label = "tcp_echo" };
	struct sigaction sa = { .sa_handler = on_signal };
	msport_error_t err;
	mslink_t *l;
	int r;

	if (argc < 4) {
		fprintf(stderr, "usage: tcp_echo DEVICE PORT ADDRESS...\n"
				"   as: tcp_echo daemon:eth0 7007 192.0.2.7\n");
		return 2;
	}
	r = mslink_open(&l, argv[1], &opt, &err);
	if (r) {
		fprintf(stderr, "tcp_echo: %s\n", err.text);
		return 1;
	}
	for (int i = 3; i < argc && r == 0; i++)
		r = claim(l, argv[i], argv[2]);
	if (r)
		goto out;
	fflush(stdout);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	r = run(l);
	if (r < 0)
		fprintf(stderr, "tcp_echo: %s: %s\n", argv[1], strerror(-r));
	printf("tcp_echo: %llu accepted, %llu ended, %llu of them badly, "
	       "%llu bytes\n",
	       count.accepted, count.ended, count.failed, count.bytes);
out:
	mslink_close(l);
	return r < 0;
}
