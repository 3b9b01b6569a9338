/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run_utcp.c: connections on stacks of our own, one for each thread, each with
 * a port of its own: an answer has to come back to the stack that has asked.
 *
 * Responses are read where the frames lie; the text of requests is sent from
 * one place, and only who refers to it is remembered until it has arrived.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"
#include "os.h"

#define EVENTS 256
#define VIEWS 32

/* Bytes of the text under way. */
struct sent {
	utcp_buf_t buf;
	struct sent *next; /* free ones */
	struct utcp_worker *u;
};

struct utcp_worker {
	struct worker w; /* first */
	mslink_t *link;
	struct sent *free;
	bool routed; /* the stack knows its own address */
};

static struct utcp_worker *
of(struct worker *w)
{
	return CONTAINER(w, struct utcp_worker, w);
}

/* ---- the carrier ------------------------------------------------------------------ */

static int
set_options(const struct options *o, utcp_sock_t *s)
{
	int r = utcp_set(s, UTCP_OPT_NODELAY, 1);

	/* Ports are few: what comes late is answered with a reset. */
	if (r == 0 && o->one_each)
		r = utcp_set(s, UTCP_OPT_MSL_NS, 0);
	return r ? r : stack_options_set(&o->stack, s);
}

static int
carry_open(struct conn *c)
{
	struct utcp_worker *u = of(c->w);
	const struct options *o = c->w->opt;
	int r = utcp_open(mslink_stack(u->link), o->peer.family, &c->sock);

	if (r) {
		c->sock = NULL;
		return r;
	}
	utcp_set_user(c->sock, c);
	r = set_options(o, c->sock);
	if (r == 0 && o->num_sources)
		r = utcp_bind(c->sock, &o->sources[c->source]);
	if (r == 0 && (o->num_sources || u->routed)) {
		r = utcp_connect(c->sock, &o->peer);
	} else if (r == 0) {
		r = mslink_connect(u->link, c->sock, &o->peer);
		u->routed = r == 0 || r == -EINPROGRESS;
	}
	return r == -EINPROGRESS ? 0 : r;
}

static void
sent_done(utcp_buf_t *buf, int status)
{
	struct sent *s = CONTAINER(buf, struct sent, buf);

	(void)status;
	s->next = s->u->free;
	s->u->free = s;
}

static int
carry_send(struct conn *c, unsigned int n)
{
	struct utcp_worker *u = of(c->w);
	const struct options *o = c->w->opt;
	struct sent *s = u->free;
	int r;

	if (s)
		u->free = s->next;
	else
		s = malloc(sizeof *s);
	if (!s)
		return -ENOMEM;
	*s = (struct sent){
		.buf = { .data = o->text,
			 .len = n * o->text_len,
			 .done = sent_done },
		.u = u,
	};
	r = utcp_send(c->sock, &s->buf, 0);
	if (r)
		sent_done(&s->buf, r);
	return r;
}

static void
carry_close(struct conn *c, bool reset)
{
	utcp_sock_t *s = c->sock;

	c->sock = NULL;
	if (reset)
		utcp_abort(s);
	else
		utcp_close(s);
}

static const struct carrier carrier = {
	.open = carry_open,
	.send = carry_send,
	.close = carry_close,
};

/* ---- events --------------------------------------------------------------------------- */

static void
input(struct conn *c, uint32_t ready)
{
	utcp_view_t v[VIEWS];
	size_t took;
	int n, i;

	do {
		n = utcp_views(c->sock, v, VIEWS);
		took = 0;
		for (i = 0; i < n; i++) {
			conn_feed(c, v[i].data, v[i].len);
			took += v[i].len;
		}
		if (n > 0)
			(void)utcp_consume(c->sock, took);
	} while (n == VIEWS);
	if (n < 0)
		conn_failed(c, n);
	else
		conn_settle(c, ready & UTCP_RDHUP);
}

static void
event(struct conn *c, uint32_t ready)
{
	int64_t why = ECONNRESET;

	c->w->now_ns = mslink_now_ns();
	if (ready & UTCP_ERR) {
		(void)utcp_get(c->sock, UTCP_OPT_ERROR, &why);
		conn_failed(c, -(int)why);
		return;
	}
	if (c->state == CONN_OPENING) {
		if (!(ready & (UTCP_OUT | UTCP_IN)))
			return;
		conn_opened(c);
		if (c->state != CONN_OPEN)
			return;
	}
	if (ready & (UTCP_IN | UTCP_RDHUP))
		input(c, ready);
}

static void
events(struct utcp_worker *u)
{
	utcp_t *stack = mslink_stack(u->link);
	utcp_event_t ev[EVENTS];
	int n;

	do {
		n = utcp_events(stack, ev, EVENTS);
		for (int i = 0; i < n; i++)
			event(ev[i].user, ev[i].ready);
	} while (n == EVENTS);
}

/* ---- the loop ---------------------------------------------------------------------------- */

/* Sleeps until a frame or a time; to the nanosecond, as requests are due. */
static int
rest(struct utcp_worker *u)
{
	uint64_t now = mslink_now_ns(), until = worker_wake_ns(&u->w);
	uint64_t ns = until > now ? until - now : 0, of_link;
	struct pollfd p = { .fd = mslink_fd(u->link), .events = POLLIN };
	struct timespec t;
	int r;

	if (p.fd < 0)
		return p.fd;
	if (ns >= 1000000 * 10ull)
		return mslink_wait(u->link, (int)(ns / 1000000));
	of_link = mslink_timeout_ns(u->link);
	if (of_link < ns)
		ns = of_link;
	r = ns ? mslink_arm(u->link) : 1;
	if (r)
		return r;
	t = (struct timespec){ .tv_nsec = (long)ns };
	return ppoll(&p, 1, &t, NULL) < 0 && errno != EINTR ? -errno : 0;
}

static void
loop(struct utcp_worker *u)
{
	uint64_t busy_ns = 0, spin_ns = u->w.opt->stack.spin_us * 1000ull;
	int n, sent;

	worker_start(&u->w);
	for (;;) {
		n = mslink_poll(u->link);
		events(u);
		if (!worker_step(&u->w))
			return;
		sent = n < 0 ? n : mslink_flush(u->link);
		if (sent < 0)
			break;
		if (n > 0 || sent > 0) {
			busy_ns = u->w.now_ns;
		} else if (u->w.now_ns - busy_ns >= spin_ns) {
			n = rest(u);
			if (n < 0 && n != -EINTR)
				break;
		}
	}
	complain("%s: %s", u->w.opt->device,
		 msport_error(mslink_port(u->link)));
	u->w.status = 1;
	stop = 1;
	(void)worker_step(&u->w);
}

static void *
work(void *arg)
{
	struct utcp_worker *u = arg;

	if (u->w.opt->stack.pin)
		os_pin(u->w.index);
	loop(u);
	return NULL;
}

/* ---- beginning and end ------------------------------------------------------------------- */

/* What the link and the stack counted. */
static void
tell(const struct utcp_worker *u)
{
	uint64_t link[MSLINK_CTR_MAX], utcp[UTCP_CTR_MAX];
	unsigned int i;

	fprintf(stderr, "multistack-load: thread %u:", u->w.index);
	mslink_counters(u->link, link, MSLINK_CTR_MAX);
	for (i = 0; i < MSLINK_CTR_MAX; i++)
		if (link[i])
			fprintf(stderr, " %s %llu", mslink_counter_name(i),
				(unsigned long long)link[i]);
	utcp_counters(mslink_stack(u->link), utcp, UTCP_CTR_MAX);
	for (i = 0; i < UTCP_CTR_MAX; i++)
		if (utcp[i])
			fprintf(stderr, " %s %llu", utcp_counter_name(i),
				(unsigned long long)utcp[i]);
	fputc('\n', stderr);
}

static int
link_open(struct utcp_worker *u, const struct options *o)
{
	mslink_options_t lo = {
		.size = sizeof lo,
		.slots = o->stack.slots,
		.buf_bytes = o->stack.buf_bytes,
		.no_offloads = o->stack.no_offloads,
		.label = "load",
	};
	msport_error_t err = { 0 };
	int r = mslink_open(&u->link, o->device, &lo, &err);

	if (r)
		complain("%s", *err.text ? err.text : strerror(-r));
	return r;
}

static void
link_close(struct utcp_worker *u)
{
	if (u->link && u->w.opt->verbose)
		tell(u);
	for (unsigned int i = 0; u->link && i < u->w.num_conns; i++)
		carry_close(conn_at(&u->w, i), true);
	mslink_close(u->link);
	while (u->free) {
		struct sent *s = u->free;

		u->free = s->next;
		free(s);
	}
}

int
run_utcp(const struct options *o, struct live *live, struct total *all)
{
	struct utcp_worker *u = calloc(o->threads, sizeof *u);
	struct worker *w[THREADS_MAX] = { NULL };
	unsigned int i;
	int r = u ? 0 : -ENOMEM;

	for (i = 0; i < o->threads && r == 0; i++) {
		w[i] = &u[i].w;
		r = worker_init(w[i], o, &carrier, live, i);
		if (r == 0 && link_open(&u[i], o))
			r = -ENODEV; /* it was said why */
	}
	if (r == 0)
		r = run_threads(w, o->threads, work);
	else if (r == -ENOMEM)
		complain("out of memory");
	for (i = 0; u && i < o->threads; i++) {
		if (r == 0)
			total_add(all, w[i]);
		link_close(&u[i]);
		worker_deinit(&u[i].w);
	}
	free(u);
	return r;
}
