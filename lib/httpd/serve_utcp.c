/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serve_utcp.c: connections on a stack of our own, in the manner of the paper:
 * poll, take a batch, feed it, answer; then send what all of them have to say.
 *
 * A request is read where the frame lies; a reply's text and the file's bytes
 * are referred to until the client has acknowledged them.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "httpd.h"
#include "os.h"

#define EVENTS 256
#define VIEWS 32
#define REOPEN_NS 200000000l
#define PART_MS 50

struct worker {
	struct server srv; /* first */
	mslink_t *link;
	utcp_sock_t *listeners[16];
	pthread_t thread;
	unsigned int spin_us;
	int status;
};

/* ---- the carrier ------------------------------------------------------------ */

static void
utcp_carry_one(struct conn *c, utcp_buf_t *buf, bool more)
{
	int r = c->sock ? utcp_send(c->sock, buf, more ? UTCP_MSG_MORE : 0)
			: -ENOTCONN;

	if (r) {
		c->closing = true;
		reply_done(buf, r);
	}
}

static void
carry_send(struct conn *c, struct reply *r, bool more)
{
	bool body = r->body.len > 0;

	reply_give(r, c);
	utcp_carry_one(c, &r->head, body || more);
	if (body) /* r is there as long as it has not left */
		utcp_carry_one(c, &r->body, more);
}

static void
carry_shutdown(struct conn *c)
{
	(void)utcp_shutdown(c->sock, UTCP_SHUT_WR);
}

static void
carry_close(struct conn *c, bool reset)
{
	utcp_sock_t *s = c->sock;

	conn_closed(c);
	if (reset)
		utcp_abort(s);
	else
		utcp_close(s);
}

static uint64_t
carry_taken(struct conn *c)
{
	utcp_info_t info = { .size = sizeof info };

	return utcp_info(c->sock, &info) ? c->taken : info.bytes_acked;
}

static void carry_input(struct conn *c);

static const struct carrier carrier = {
	.send = carry_send,
	.shutdown = carry_shutdown,
	.close = carry_close,
	.resume = carry_input,
	.taken = carry_taken,
};

/* ---- events ------------------------------------------------------------------- */

static void
carry_input(struct conn *c)
{
	utcp_view_t v[VIEWS];
	size_t took, got;
	int n, i;

	for (;;) {
		n = utcp_views(c->sock, v, VIEWS);
		if (n <= 0 || c->paused)
			break;
		took = 0;
		for (i = 0; i < n; i++) {
			got = conn_feed(c, v[i].data, v[i].len);
			took += got;
			if (got < v[i].len)
				break;
		}
		(void)utcp_consume(c->sock, took);
	}
	if (n < 0) {
		c->srv->resets++;
		carry_close(c, true);
		return;
	}
	if (n == 0 && (utcp_poll(c->sock) & UTCP_RDHUP))
		c->eof = true;
	(void)conn_settle(c);
}

static void
accept_all(struct worker *w, utcp_sock_t *listener)
{
	utcp_sock_t *s;

	while (utcp_accept(listener, &s) == 0) {
		struct conn *c = conn_new(&w->srv, sizeof *c);

		if (!c) {
			utcp_abort(s);
			continue;
		}
		c->sock = s;
		utcp_set_user(s, c);
		if (utcp_poll(s) & UTCP_IN)
			carry_input(c);
	}
}

/* Everybody who became ready. */
static void
events(struct worker *w)
{
	utcp_t *u = mslink_stack(w->link);
	utcp_event_t ev[EVENTS];
	int n;

	do {
		n = utcp_events(u, ev, EVENTS);
		for (int i = 0; i < n; i++) {
			if (!ev[i].user) {
				continue; /* not accepted yet */
			} else if (ev[i].user == w) {
				accept_all(w, ev[i].sock);
			} else if (ev[i].ready & UTCP_ERR) {
				w->srv.resets++;
				carry_close(ev[i].user, true);
			} else if (ev[i].ready & (UTCP_IN | UTCP_RDHUP)) {
				carry_input(ev[i].user);
			}
		}
	} while (n == EVENTS);
}

/* ---- the loop ------------------------------------------------------------------- */

/* The interface went away: tries to have it again. */
static void
come_back(struct worker *w, int why)
{
	const struct timespec pause = { .tv_nsec = REOPEN_NS };

	complain("%s: %s", w->srv.opt->device,
		 msport_error(mslink_port(w->link)));
	while (!stop) {
		why = mslink_reopen(w->link);
		if (why == 0) {
			complain("%s: it is back", w->srv.opt->device);
			return;
		}
		if (why == -EBUSY) {
			stop = 1;
			w->status = 1;
		}
		nanosleep(&pause, NULL);
	}
}

static void
stop_listening(struct worker *w)
{
	for (unsigned int i = 0; i < 16; i++)
		if (w->listeners[i]) {
			accept_all(w, w->listeners[i]);
			utcp_close(w->listeners[i]);
			w->listeners[i] = NULL;
		}
}

/* All is said and acknowledged: what is left is to hear the last FINs. */
static void
part(struct worker *w)
{
	while (mslink_flush(w->link) >= 0 &&
	       mslink_wait(w->link, PART_MS) > 0 && mslink_poll(w->link) >= 0 &&
	       stop < 2 && mslink_now_ns() < w->srv.until_ns)
		;
}

static void
loop(struct worker *w)
{
	struct server *srv = &w->srv;
	uint64_t busy_ns = 0, spin_ns = srv->opt->stack.spin_us * 1000ull;
	int n, sent;

	while (!server_over(srv)) {
		if (srv->until_ns)
			stop_listening(w);
		n = mslink_poll(w->link);
		if (n < 0) {
			if (stop)
				break;
			come_back(w, n);
			continue;
		}
		server_clock(srv, utcp_now_ns(mslink_stack(w->link)));
		events(w);
		server_resume(srv);
		server_timeouts(srv);
		sent = mslink_flush(w->link);
		if (n > 0 || sent > 0) {
			busy_ns = srv->now_ns;
			continue;
		}
		if (srv->now_ns - busy_ns >= spin_ns)
			(void)mslink_wait(w->link, server_timeout_ms(srv));
	}
	part(w);
}

static int
listen_on(struct worker *w, const utcp_addr_t *addr, utcp_sock_t **out)
{
	const struct options *o = w->srv.opt;
	utcp_sock_t *s;
	int r = utcp_open(mslink_stack(w->link), addr->family, &s);

	if (r)
		return r;
	r = utcp_set(s, UTCP_OPT_NODELAY, 1);
	if (r == 0)
		r = stack_options_set(&o->stack, s);
	if (r == 0)
		r = utcp_bind(s, addr);
	if (r == 0)
		r = utcp_listen(s, 65535);
	if (r) {
		utcp_close(s);
		return r;
	}
	utcp_set_user(s, w);
	*out = s;
	return 0;
}

static int
listen_all(struct worker *w)
{
	const struct options *o = w->srv.opt;
	int r;

	for (unsigned int i = 0; i < o->num_listen; i++) {
		r = listen_on(w, &o->listen[i], &w->listeners[i]);
		if (r) {
			const char *why = msport_error(mslink_port(w->link));

			complain("listening address %u: %s", i + 1,
				 *why ? why : strerror(-r));
			return r;
		}
	}
	return 0;
}

static void *
work(void *arg)
{
	struct worker *w = arg;

	if (w->srv.opt->stack.pin)
		os_pin(w->srv.index);
	loop(w);
	return NULL;
}

/* ---- beginning and end ---------------------------------------------------------- */

static int
worker_open(struct worker *w, const struct options *opt, unsigned int index,
	    struct worker *first)
{
	mslink_options_t lo = {
		.size = sizeof lo,
		.rings = (uint16_t)opt->threads,
		.slots = opt->stack.slots,
		.buf_bytes = opt->stack.buf_bytes,
		.no_offloads = opt->stack.no_offloads,
		.label = "httpd",
	};
	msport_error_t err = { 0 };
	int r;

	if (first == w)
		r = mslink_open(&w->link, opt->device, &lo, &err);
	else
		r = mslink_open_ring(&w->link, first->link, index);
	if (r) {
		complain("%s", *err.text ? err.text : strerror(-r));
		return r;
	}
	r = server_init(&w->srv, opt, &carrier, index);
	if (r) {
		complain("%s: %s", opt->root, strerror(-r));
		return r;
	}
	return listen_all(w);
}

/* What the link and the stack counted. */
static void
report(const struct worker *w)
{
	uint64_t link[MSLINK_CTR_MAX], utcp[UTCP_CTR_MAX];
	unsigned int i;

	printf("multistack-httpd: thread %u:", w->srv.index);
	mslink_counters(w->link, link, MSLINK_CTR_MAX);
	for (i = 0; i < MSLINK_CTR_MAX; i++)
		if (link[i])
			printf(" %s %llu", mslink_counter_name(i),
			       (unsigned long long)link[i]);
	utcp_counters(mslink_stack(w->link), utcp, UTCP_CTR_MAX);
	for (i = 0; i < UTCP_CTR_MAX; i++)
		if (utcp[i])
			printf(" %s %llu", utcp_counter_name(i),
			       (unsigned long long)utcp[i]);
	putchar('\n');
}

/* What is said on the way out: connections end with a reset. */
static void
worker_close(struct worker *w)
{
	struct server *srv = &w->srv;

	if (!w->link)
		return;
	for (unsigned int i = 0; i < 16; i++)
		utcp_close(w->listeners[i]);
	for (unsigned int i = 0; srv->files && i < PHASE_MAX; i++)
		while (!list_empty(&srv->phase[i]))
			carry_close(
			    CONTAINER(srv->phase[i].next, struct conn, timer),
			    true);
	mslink_close(w->link);
	if (srv->files)
		server_deinit(srv);
}

static int
run(struct worker *w, unsigned int threads)
{
	unsigned int started;
	int r = 0;

	for (started = 1; started < threads && r == 0; started++)
		r = pthread_create(&w[started].thread, NULL, work, &w[started]);
	if (r) {
		complain("a thread: %s", strerror(r));
		stop = 1;
		started--;
	} else {
		work(&w[0]);
	}
	while (--started > 0)
		pthread_join(w[started].thread, NULL);
	return r;
}

int
serve_utcp(const struct options *opt)
{
	struct worker *w = calloc(opt->threads, sizeof *w);
	struct server all = { 0 };
	int r = w ? 0 : -ENOMEM;
	unsigned int i;

	for (i = 0; i < opt->threads && r == 0; i++)
		r = worker_open(&w[i], opt, i, &w[0]);
	if (r == 0) {
		server_ready(opt);
		r = run(w, opt->threads);
	}
	for (i = 0; w && i < opt->threads; i++) {
		server_add(&all, &w[i].srv);
		r |= w[i].status;
		if (w[i].link && opt->verbose)
			report(&w[i]);
		worker_close(&w[i]);
	}
	free(w);
	if (r == 0)
		server_report(opt, &all);
	return r != 0;
}
