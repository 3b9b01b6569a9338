/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mu_echo: an echo server as one writes it with libuv, on a stack of its own.
 *
 *     mu_echo DEVICE ADDRESS PORT [SPIN_US]
 *     mu_echo daemon:eth0 0.0.0.0 7007
 *
 * SPIN_US: look so long for the next frame before sleeping.
 *
 * With each mu_ a uv_ and without mu_stack_open() (-DSOCKETS) it is the same
 * server on the kernel's sockets: `inv bench mu` makes that of it to compare.
 *
 * Compile: cc mu_echo.c $(pkg-config --cflags --libs multistack-mu)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <multistack/mu.h>

/* A connection, and the one buffer that it needs: while a part is on its way
   back nothing more is read, so a client that does not listen is told to stop
   by TCP's own window. */
struct conn {
	mu_tcp_t tcp; /* first: a handle's address is the connection's */
	mu_write_t write;
	char buf[16384];
};

static unsigned long long accepted, bytes;

static void on_read(mu_stream_t *s, ssize_t n, const mu_buf_t *buf);

static void
on_close(mu_handle_t *h)
{
	free(h); /* not before: the loop and the stack knew it */
}

static void
on_alloc(mu_handle_t *h, size_t suggested, mu_buf_t *buf)
{
	struct conn *c = (struct conn *)h;

	(void)suggested;
	*buf = mu_buf_init(c->buf, sizeof c->buf);
}

static void
on_write(mu_write_t *req, int status)
{
	mu_stream_t *s = req->handle;

	if (status)
		mu_close((mu_handle_t *)s, on_close);
	else
		mu_read_start(s, on_alloc, on_read);
}

static void
on_read(mu_stream_t *s, ssize_t n, const mu_buf_t *buf)
{
	struct conn *c = (struct conn *)s;
	mu_buf_t out;
	int r;

	if (n == 0)
		return; /* nothing after all */
	if (n < 0) {	/* UV_EOF, or what went wrong */
		mu_close((mu_handle_t *)s, on_close);
		return;
	}
	bytes += (unsigned long long)n;
	out = mu_buf_init(buf->base, (unsigned int)n);
	r = mu_try_write(s, &out, 1); /* mostly it is all gone with this */
	if (r == n)
		return;
	if (r > 0) {
		out.base += r;
		out.len -= (size_t)r;
	}
	mu_read_stop(s);
	if (mu_write(&c->write, s, &out, 1, on_write))
		mu_close((mu_handle_t *)s, on_close);
}

static void
on_connection(mu_stream_t *server, int status)
{
	struct conn *c;

	if (status)
		return;
	c = malloc(sizeof *c);
	if (!c)
		return; /* it waits; the next one tries again */
	mu_tcp_init(server->loop, &c->tcp);
	if (mu_accept(server, (mu_stream_t *)&c->tcp) ||
	    mu_tcp_nodelay(&c->tcp, 1) ||
	    mu_read_start((mu_stream_t *)&c->tcp, on_alloc, on_read)) {
		mu_close((mu_handle_t *)&c->tcp, on_close);
		return;
	}
	accepted++;
}

static void
close_all(mu_handle_t *h, void *server)
{
	if (!mu_is_closing(h)) /* connections are malloc's, others are not */
		mu_close(h, h->type == UV_TCP && (void *)h != server ? on_close
								     : NULL);
}

static void
on_signal(mu_signal_t *sig, int number)
{
	(void)number;
	mu_walk(sig->loop, close_all, sig->data);
}

static int
resolve(const char *text, int port, struct sockaddr_storage *a)
{
	return mu_ip4_addr(text, port, (struct sockaddr_in *)a) == 0
		   ? 0
		   : mu_ip6_addr(text, port, (struct sockaddr_in6 *)a);
}

int
main(int argc, char **argv)
{
	mu_loop_t *loop = mu_default_loop();
	struct sockaddr_storage a;
	mu_signal_t sig;
	mu_tcp_t server;
	int r;

	if (argc < 4 || resolve(argv[2], atoi(argv[3]), &a)) {
		fprintf(stderr, "usage: mu_echo DEVICE ADDRESS PORT [SPIN_US]\n"
				"   as: mu_echo daemon:eth0 0.0.0.0 7007\n");
		return 2;
	}
#ifndef SOCKETS
	mu_options_t opt = { .size = sizeof opt };
	msport_error_t err;

	if (argc > 4)
		opt.spin_us = (uint32_t)atoi(argv[4]);
	if (mu_stack_open(loop, argv[1], &opt, &err)) {
		fprintf(stderr, "mu_echo: %s\n", err.text);
		return 1;
	}
#endif
	mu_tcp_init(loop, &server);
	r = mu_tcp_bind(&server, (struct sockaddr *)&a, 0);
	if (r == 0)
		r = mu_listen((mu_stream_t *)&server, 1024, on_connection);
	if (r) {
		fprintf(stderr, "mu_echo: %s: %s\n", argv[2], mu_strerror(r));
		return 1;
	}
	mu_signal_init(loop, &sig);
	sig.data = &server;
	mu_signal_start(&sig, on_signal, SIGTERM);
	printf("mu_echo: serving %s port %s\n", argv[2], argv[3]);
	fflush(stdout);
	mu_run(loop, UV_RUN_DEFAULT);
	mu_loop_close(loop);
	printf("mu_echo: %llu accepted, %llu bytes\n", accepted, bytes);
	return 0;
}
