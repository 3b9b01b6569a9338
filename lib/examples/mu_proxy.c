/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mu_proxy: a TCP proxy. Who connects to it is connected to the target, and
 * what either side says is passed on.
 *
 *     mu_proxy DEVICE ADDRESS PORT TARGET PORT
 *     mu_proxy daemon:eth0 0.0.0.0 8080 192.0.2.80 80
 *
 * Each side has a window on the other: while more than HIGH bytes wait for the
 * one, the other is not read, until less than LOW wait. An end is passed on as
 * an end of that direction only; when both have ended, the pair is gone.
 *
 * Compile: cc mu_proxy.c $(pkg-config --cflags --libs multistack-mu)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <multistack/mu.h>

#define HIGH (256u << 10)
#define LOW (64u << 10)

struct side {
	mu_tcp_t tcp; /* first */
	struct pair *pair;
	struct side *other;
	mu_shutdown_t shutdown;
	int ended; /* it has said its last */
};

struct pair {
	struct side client, target;
	mu_connect_t connect;
	int open; /* sides */
};

/* What is passed on, and its request. */
struct part {
	mu_write_t write;
	struct side *from;
	char data[];
};

static struct sockaddr_storage target;

static void on_read(mu_stream_t *s, ssize_t n, const mu_buf_t *buf);

static void
on_close(mu_handle_t *h)
{
	struct pair *p = ((struct side *)h)->pair;

	if (--p->open == 0)
		free(p);
}

static void
end(struct pair *p)
{
	if (!mu_is_closing((mu_handle_t *)&p->client.tcp))
		mu_close((mu_handle_t *)&p->client.tcp, on_close);
	if (!mu_is_closing((mu_handle_t *)&p->target.tcp))
		mu_close((mu_handle_t *)&p->target.tcp, on_close);
}

/* Each part has memory of its own, with its request in front. */
static void
on_alloc(mu_handle_t *h, size_t suggested, mu_buf_t *buf)
{
	struct part *part = malloc(sizeof *part + suggested);

	(void)h;
	buf->base = part ? part->data : NULL;
	buf->len = part ? suggested : 0;
}

static struct part *
part_of(const mu_buf_t *buf)
{
	return buf->base ? (struct part *)(void *)(buf->base -
						   offsetof(struct part, data))
			 : NULL;
}

static void
on_write(mu_write_t *req, int status)
{
	struct part *part = (struct part *)req;
	struct side *from = part->from;

	free(part);
	if (status == UV_ECANCELED)
		return; /* it is ending */
	if (status)
		end(from->pair);
	else if (!from->ended && from->other->tcp.write_queue_size < LOW)
		/* UV_EALREADY: it had never been stopped */
		(void)mu_read_start((mu_stream_t *)&from->tcp, on_alloc,
				    on_read);
}

static void
on_shutdown(mu_shutdown_t *req, int status)
{
	struct side *s = (struct side *)req->handle;

	if (status != UV_ECANCELED && (status || (s->ended && s->other->ended)))
		end(s->pair);
}

static void
on_read(mu_stream_t *s, ssize_t n, const mu_buf_t *buf)
{
	struct side *from = (struct side *)s, *to = from->other;
	struct part *part = part_of(buf);
	mu_buf_t out;

	if (n > 0) {
		part->from = from;
		out = mu_buf_init(buf->base, (unsigned int)n);
		if (mu_write(&part->write, (mu_stream_t *)&to->tcp, &out, 1,
			     on_write) == 0) {
			if (to->tcp.write_queue_size > HIGH)
				mu_read_stop(s);
			return;
		}
		n = UV_EPIPE;
	}
	free(part);
	if (n == UV_EOF) {
		from->ended = 1;
		if (mu_shutdown(&to->shutdown, (mu_stream_t *)&to->tcp,
				on_shutdown))
			end(from->pair);
	} else if (n < 0) {
		end(from->pair);
	}
}

static void
on_connect(mu_connect_t *req, int status)
{
	struct pair *p = ((struct side *)req->handle)->pair;

	if (status == UV_ECANCELED)
		return;
	if (status ||
	    mu_read_start((mu_stream_t *)&p->target.tcp, on_alloc, on_read) ||
	    mu_read_start((mu_stream_t *)&p->client.tcp, on_alloc, on_read))
		end(p);
}

static void
on_connection(mu_stream_t *server, int status)
{
	struct pair *p = status ? NULL : calloc(1, sizeof *p);

	if (!p)
		return;
	p->client.pair = p->target.pair = p;
	p->client.other = &p->target;
	p->target.other = &p->client;
	p->open = 2;
	mu_tcp_init(server->loop, &p->client.tcp);
	mu_tcp_init(server->loop, &p->target.tcp);
	mu_tcp_nodelay(&p->client.tcp, 1);
	mu_tcp_nodelay(&p->target.tcp, 1);
	if (mu_accept(server, (mu_stream_t *)&p->client.tcp) ||
	    mu_tcp_connect(&p->connect, &p->target.tcp,
			   (struct sockaddr *)&target, on_connect))
		end(p);
}

static int
resolve(const char *text, const char *port, struct sockaddr_storage *a)
{
	return mu_ip4_addr(text, atoi(port), (struct sockaddr_in *)a) == 0
		   ? 0
		   : mu_ip6_addr(text, atoi(port), (struct sockaddr_in6 *)a);
}

int
main(int argc, char **argv)
{
	mu_loop_t *loop = mu_default_loop();
	struct sockaddr_storage a;
	msport_error_t err;
	mu_tcp_t server;
	int r;

	if (argc != 6 || resolve(argv[2], argv[3], &a) ||
	    resolve(argv[4], argv[5], &target)) {
		fprintf(stderr,
			"usage: mu_proxy DEVICE ADDRESS PORT TARGET PORT\n");
		return 2;
	}
	if (mu_stack_open(loop, argv[1], NULL, &err)) {
		fprintf(stderr, "mu_proxy: %s\n", err.text);
		return 1;
	}
	mu_tcp_init(loop, &server);
	r = mu_tcp_bind(&server, (struct sockaddr *)&a, 0);
	if (r == 0)
		r = mu_listen((mu_stream_t *)&server, 1024, on_connection);
	if (r) {
		fprintf(stderr, "mu_proxy: %s: %s\n", argv[2], mu_strerror(r));
		return 1;
	}
	printf("mu_proxy: %s port %s is %s port %s\n", argv[2], argv[3],
	       argv[4], argv[5]);
	fflush(stdout);
	return mu_run(loop, UV_RUN_DEFAULT);
}
