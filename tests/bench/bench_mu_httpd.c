/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_mu_httpd: multistack-httpd's requests and replies, carried by mu.h, to
 * see what that costs over UTCP's own calls (serve_utcp.c).
 *
 *     bench_mu_httpd DEVICE ADDRESS PORT FOLDER
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <multistack/mu.h>

#include "httpd.h"

struct mu_conn {
	struct conn c; /* first */
	mu_tcp_t tcp;
	unsigned int writes; /* under way */
	bool close_after, closed;
	uint64_t taken;
	uint8_t *stash; /* input that waits while it is paused */
	size_t stash_len;
};

/* A reply that is under way. */
struct late {
	mu_write_t write; /* first */
	struct mu_conn *h;
	struct reply *r;
};

static struct server srv;
atomic_int stop;

const char program_name[] = "bench_mu_httpd";

static struct mu_conn *
of(struct conn *c)
{
	return CONTAINER(c, struct mu_conn, c);
}

/* ---- out ------------------------------------------------------------------ */

static void
done(struct reply *r, int status)
{
	bool body = r->body.len > 0;

	reply_done(&r->head, status);
	if (body)
		reply_done(&r->body, status);
}

static void
on_closed(mu_handle_t *handle)
{
	struct mu_conn *h = handle->data;

	free(h->stash);
	conn_put(&h->c);
}

static void
end(struct mu_conn *h, bool reset)
{
	if (h->closed)
		return;
	h->closed = true;
	h->c.refs++;
	conn_closed(&h->c);
	if (!reset || mu_tcp_close_reset(&h->tcp, on_closed))
		mu_close((mu_handle_t *)&h->tcp, on_closed);
}

static void
on_shut(mu_shutdown_t *req, int status)
{
	(void)status;
	free(req);
}

/* All is written and taken. */
static void
wind_up(struct mu_conn *h)
{
	if (!h->closed && h->close_after && h->writes == 0)
		end(h, false);
}

static void
on_late(mu_write_t *req, int status)
{
	struct late *late = (struct late *)req;
	struct mu_conn *h = late->h;

	if (status == 0)
		h->taken += late->r->head.len + late->r->body.len;
	h->writes--;
	done(late->r, status);
	free(late);
	wind_up(h);
	conn_put(&h->c);
}

static void
carry_send(struct conn *c, struct reply *r, bool more)
{
	struct mu_conn *h = of(c);
	struct late *late = h->closed ? NULL : malloc(sizeof *late);
	unsigned int num = 1;
	mu_buf_t b[2];

	(void)more; /* all of a round leaves together */
	reply_give(r, c);
	b[0] = mu_buf_init((char *)(uintptr_t)r->head.data,
			   (unsigned int)r->head.len);
	if (r->body.len)
		b[num++] = mu_buf_init((char *)(uintptr_t)r->body.data,
				       (unsigned int)r->body.len);
	if (late) {
		late->h = h;
		late->r = r;
	}
	if (!late || mu_write_ref(&late->write, (mu_stream_t *)&h->tcp, b, num,
				  on_late)) {
		free(late);
		c->closing = true;
		done(r, UV_ECANCELED);
		return;
	}
	h->writes++;
	c->refs++;
}

static void
carry_shutdown(struct conn *c)
{
	struct mu_conn *h = of(c);
	mu_shutdown_t *req = h->closed ? NULL : malloc(sizeof *req);

	if (req && mu_shutdown(req, (mu_stream_t *)&h->tcp, on_shut))
		free(req);
}

static void
carry_close(struct conn *c, bool reset)
{
	of(c)->close_after = true;
	if (reset) {
		end(of(c), true);
		return;
	}
	if (of(c)->writes) /* the FIN goes with the last of it */
		carry_shutdown(c);
	wind_up(of(c));
}

/* ---- in ------------------------------------------------------------------- */

static void
feed(struct mu_conn *h, const uint8_t *data, size_t len)
{
	size_t took = conn_feed(&h->c, data, len);
	uint8_t *rest;

	if (took == len || h->closed)
		return;
	rest = malloc(len - took);
	if (!rest) {
		h->c.closing = true;
		return;
	}
	memcpy(rest, data + took, len - took);
	h->stash = rest;
	h->stash_len = len - took;
	(void)mu_read_stop((mu_stream_t *)&h->tcp);
}

static void
on_input(mu_stream_t *s, ssize_t n, const mu_buf_t *buf)
{
	struct mu_conn *h = s->data;

	if (n > 0) {
		feed(h, (const uint8_t *)buf->base, (size_t)n);
	} else if (n == UV_EOF) {
		h->c.eof = true;
	} else if (n < 0) {
		h->c.srv->resets++;
		end(h, true);
		return;
	}
	if (!h->closed)
		(void)conn_settle(&h->c);
}

static void
carry_resume(struct conn *c)
{
	struct mu_conn *h = of(c);
	uint8_t *data = h->stash;
	size_t len = h->stash_len;

	h->stash = NULL;
	if (data)
		feed(h, data, len);
	free(data);
	if (!h->closed && conn_settle(c) && !h->stash)
		(void)mu_read_start_view((mu_stream_t *)&h->tcp, on_input);
}

static uint64_t
carry_taken(struct conn *c)
{
	return of(c)->taken;
}

static const struct carrier carrier = {
	.send = carry_send,
	.shutdown = carry_shutdown,
	.close = carry_close,
	.resume = carry_resume,
	.taken = carry_taken,
};

static void
on_connection(mu_stream_t *server, int status)
{
	struct conn *c = status ? NULL : conn_new(&srv, sizeof(struct mu_conn));
	struct mu_conn *h;

	if (!c)
		return;
	h = of(c);
	if (mu_tcp_init(server->loop, &h->tcp))
		abort(); /* the loop has its stack */
	h->tcp.data = h;
	if (mu_accept(server, (mu_stream_t *)&h->tcp) ||
	    mu_tcp_nodelay(&h->tcp, 1) ||
	    mu_read_start_view((mu_stream_t *)&h->tcp, on_input))
		end(h, true);
}

/* ---- the loop ------------------------------------------------------------- */

static void
on_turn(mu_prepare_t *prepare)
{
	server_clock(&srv, mslink_now_ns());
	server_resume(&srv);
	server_timeouts(&srv);
	(void)prepare;
}

static void
on_tick(mu_timer_t *tick)
{
	(void)tick; /* for a turn */
}

static void
on_term(mu_signal_t *sig, int number)
{
	(void)number;
	mu_stop(sig->loop);
}

int
main(int argc, char **argv)
{
	struct options o = {
		.threads = 1,
		.cache = 1000,
		.timeout_ns = { 60000000000, 10000000000, 60000000000,
				2000000000 },
	};
	mu_loop_t *loop = mu_default_loop();
	struct sockaddr_in a;
	mu_prepare_t prepare;
	msport_error_t err;
	mu_signal_t sig;
	mu_timer_t tick;
	mu_tcp_t server;

	if (argc != 5 || mu_ip4_addr(argv[2], atoi(argv[3]), &a)) {
		fprintf(stderr, "usage: bench_mu_httpd DEVICE ADDRESS PORT "
				"FOLDER\n");
		return 2;
	}
	o.root = argv[4];
	if (server_init(&srv, &o, &carrier, 0)) {
		complain("%s: no such folder", o.root);
		return 1;
	}
	if (mu_stack_open(loop, argv[1], NULL, &err)) {
		complain("%s", err.text);
		return 1;
	}
	mu_tcp_init(loop, &server);
	if (mu_tcp_bind(&server, (struct sockaddr *)&a, 0) ||
	    mu_listen((mu_stream_t *)&server, 65535, on_connection)) {
		complain("%s: cannot listen", argv[2]);
		return 1;
	}
	mu_prepare_init(loop, &prepare);
	mu_prepare_start(&prepare, on_turn);
	mu_timer_init(loop, &tick);
	mu_timer_start(&tick, on_tick, 500, 500);
	mu_signal_init(loop, &sig);
	mu_signal_start(&sig, on_term, SIGTERM);
	server_clock(&srv, mslink_now_ns());
	puts("listening");
	fflush(stdout);
	mu_run(loop, UV_RUN_DEFAULT);
	return 0;
}
