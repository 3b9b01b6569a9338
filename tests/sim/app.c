/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * app.c: the ends of connections. Each has a script; it acts only when the
 * stack tells of an event (edges), so an event that is not told is a stall.
 */
#include "sim.h"

#define CHUNK 65536

/* ---- the pattern -------------------------------------------------------------- */

const uint8_t *
pattern(uint64_t id, bool from_first, uint64_t ofs, size_t *len)
{
	static uint8_t table[PATTERN];
	static bool made;
	struct rng r = { id * 2 + from_first };
	uint64_t at;

	if (!made) {
		struct rng fill = { 42 };

		for (at = 0; at < PATTERN; at++)
			table[at] = (uint8_t)rng_next(&fill);
		made = true;
	}
	at = (rng_next(&r) % PATTERN + ofs) % PATTERN;
	if (*len > PATTERN - at)
		*len = PATTERN - at;
	return table + at;
}

bool
pattern_is(uint64_t id, bool from_first, uint64_t ofs, const uint8_t *b,
	   size_t len)
{
	const uint8_t *p;
	size_t n;

	for (; len > 0; len -= n, ofs += n, b += n) {
		n = len;
		p = pattern(id, from_first, ofs, &n);
		if (memcmp(p, b, n) != 0)
			return false;
	}
	return true;
}

uint64_t
conn_id(utcp_sock_t *s, bool *first)
{
	utcp_addr_t l, r, swap;
	unsigned int at;

	if (utcp_getsockname(s, &l) != 0 || utcp_getpeername(s, &r) != 0)
		return 0;
	at = l.family == 4 ? 3 : 15;
	*first = l.addr[at] < r.addr[at];
	if (!*first) {
		swap = l;
		l = r;
		r = swap;
	}
	return (uint64_t)l.addr[at] << 48 | (uint64_t)r.addr[at] << 40 |
	       (uint64_t)l.family << 32 | (uint64_t)get16(&l.port_be) << 16 |
	       get16(&r.port_be);
}

/* ---- scripts ---------------------------------------------------------------------- */

void
conf_opt(struct ep_conf *c, int opt, int64_t value)
{
	c->opts[opt] = value;
	c->opt_set[opt] = true;
}

void
conf_step(struct ep_conf *c, enum op op, uint64_t send, uint64_t recv,
	  uint64_t ns)
{
	if (c->num_steps == STEPS_MAX)
		abort();
	c->steps[c->num_steps++] = (struct step){ op, send, recv, ns };
}

static void ep_run(struct ep *e);

static void
ep_timer(struct sim *w, void *arg)
{
	struct ep *e = arg;

	e->sleeping = e->read_pause = false;
	utcp_advance(e->node->u, w->now_ns + e->node->conf.clock_ns);
	ep_run(e);
	node_kick(e->node);
}

static void
ep_end(struct ep *e)
{
	if (e->ended)
		return;
	e->ended = true;
	e->end_ns = e->node->w->now_ns;
	e->node->w->eps_open--;
}

static void
ep_error(struct ep *e, int error)
{
	struct step *st = &e->conf.steps[e->at];

	if (e->ended)
		return;
	e->error = error;
	if (e->at < e->conf.num_steps && st->op == OP_ERROR &&
	    (st->send == 0 || st->send == (uint64_t)error)) {
		e->at++;
		return;
	}
	/* Closing, it may find that the peer has forgotten already. */
	if (!e->conf.may_fail && !(e->conf.waits && st->op == OP_CLOSE))
		sim_fail(e->node->w, "10.0.0.%u %s port %u: error %d (%s)",
			 e->node->nr, e->client ? "client" : "server",
			 (unsigned int)(e->id >> 16 & 0xffff), error,
			 strerror(error));
	utcp_close(e->s);
	e->s = NULL;
	ep_end(e);
}

struct zbuf {
	utcp_buf_t b;
	struct ep *e;
};

static void
zbuf_done(utcp_buf_t *b, int status)
{
	struct zbuf *z = (struct zbuf *)b;

	if (status == 0)
		z->e->acked += b->len;
	free(z);
}

static ssize_t
write_some(struct ep *e, const uint8_t *p, size_t n)
{
	struct zbuf *z;
	int err;

	if (!e->conf.zero_copy)
		return utcp_write(e->s, p, n, e->conf.write_flags);
	if ((utcp_poll(e->s) & (UTCP_OUT | UTCP_ERR | UTCP_HUP)) == 0)
		return -EAGAIN;
	z = calloc(1, sizeof(*z));
	if (z == NULL)
		abort();
	z->e = e;
	z->b.data = p;
	z->b.len = n;
	z->b.done = zbuf_done;
	err = utcp_send(e->s, &z->b, 0);
	if (err != 0)
		free(z);
	return err != 0 ? err : (ssize_t)n;
}

/* Writes until `left` bytes are written or it would block. */
static void
do_write(struct ep *e, uint64_t left)
{
	size_t max = e->conf.write_max != 0 ? e->conf.write_max : CHUNK, len;
	const uint8_t *p;
	ssize_t n;

	while (left > 0) {
		len = left < max ? left : max;
		p = pattern(e->id, e->first, e->sent, &len);
		n = write_some(e, p, len);
		if (n == -EAGAIN || (n == -ENOTCONN && !e->open))
			return;
		if (n <= 0 || (size_t)n > len) {
			ep_error(e, n < 0 ? (int)-n : EPROTO);
			return;
		}
		e->sent += (uint64_t)n;
		e->step_sent += (uint64_t)n;
		left -= (uint64_t)n;
	}
}

static bool
is_right(const struct ep *e, uint64_t ofs, const uint8_t *b, size_t len)
{
	return e->conf.any_data || pattern_is(e->id, !e->first, ofs, b, len);
}

static ssize_t
read_some(struct ep *e, size_t max)
{
	static uint8_t buf[CHUNK];
	utcp_view_t views[8];
	size_t sum = 0, len;
	ssize_t n;
	int num, i;

	if (max > CHUNK)
		max = CHUNK;
	if (!e->conf.zero_copy) {
		n = utcp_read(e->s, buf, max, 0);
		if (n > 0 && !is_right(e, e->got, buf, (size_t)n))
			sim_fail(e->node->w, "wrong data at %llu",
				 (unsigned long long)e->got);
		return n;
	}
	num = utcp_views(e->s, views, 8);
	if (num < 0)
		return num;
	if (num == 0) /* nothing, or the end */
		return utcp_read(e->s, buf, 1, 0);
	for (i = 0; i < num && sum < max; i++) {
		len = views[i].len < max - sum ? views[i].len : max - sum;
		if (!is_right(e, e->got + sum, views[i].data, len))
			sim_fail(e->node->w, "wrong data at %llu",
				 (unsigned long long)(e->got + sum));
		sum += len;
	}
	if (utcp_consume(e->s, sum) != 0)
		sim_fail(e->node->w, "utcp_consume of what utcp_views showed");
	return (ssize_t)sum;
}

/* Reads until `left` bytes are read, it would block, or a pause is due. */
static void
do_read(struct ep *e, uint64_t left)
{
	size_t max = e->conf.read_max != 0 ? e->conf.read_max : CHUNK;
	struct sim *w = e->node->w;
	ssize_t n;

	while (left > 0 && !e->read_pause && !e->got_eof) {
		n = read_some(e, left < max ? left : max);
		if (n == -EAGAIN || (n == -ENOTCONN && !e->open))
			return;
		if (n < 0) {
			ep_error(e, (int)-n);
			return;
		}
		if (n == 0) {
			e->got_eof = true;
			return;
		}
		w->progress_ns = w->now_ns;
		e->got += (uint64_t)n;
		e->step_got += (uint64_t)n;
		left -= (uint64_t)n;
		if (e->conf.read_gap_ns != 0) {
			e->read_pause = true;
			sim_at(w, w->now_ns + e->conf.read_gap_ns, ep_timer, e);
		}
	}
}

static bool
step_xfer(struct ep *e, const struct step *st)
{
	do_write(e, st->send - e->step_sent);
	if (e->s == NULL || e->error != 0)
		return false;
	do_read(e, st->recv - e->step_got);
	if (e->s == NULL || e->error != 0)
		return false;
	if (e->got_eof && e->step_got < st->recv)
		sim_fail(e->node->w,
			 "10.0.0.%u port %u: the end at %llu, not at %llu",
			 e->node->nr, (unsigned int)(e->id >> 16 & 0xffff),
			 (unsigned long long)e->step_got,
			 (unsigned long long)st->recv);
	return e->step_sent == st->send && e->step_got == st->recv;
}

static bool
step_eof(struct ep *e)
{
	uint64_t before = e->got;

	do_read(e, 1);
	if (e->got != before)
		sim_fail(e->node->w, "more data than was sent");
	return e->got_eof;
}

/* Whether the peer has taken all, the FIN too; looks again in a while. */
static bool
peer_has_all(struct ep *e)
{
	struct sim *w = e->node->w;
	utcp_info_t info = app_info(e);

	if (info.state == UTCP_FIN_WAIT_2 || info.state == UTCP_TIME_WAIT ||
	    info.state == UTCP_CLOSED)
		return true;
	(void)utcp_shutdown(e->s, UTCP_SHUT_WR);
	if (!e->sleeping)
		sim_at(w, w->now_ns + 20 * MSEC, ep_timer, e);
	e->sleeping = true;
	return false;
}

/* Runs a step as far as it goes; true: it is done. */
static bool
ep_step(struct ep *e, const struct step *st)
{
	struct sim *w = e->node->w;

	switch (st->op) {
	case OP_XFER:
		return step_xfer(e, st);
	case OP_SLEEP:
		if (e->step_sent != 0)
			return !e->sleeping;
		e->step_sent = 1;
		e->sleeping = true;
		sim_at(w, w->now_ns + st->ns, ep_timer, e);
		return false;
	case OP_SHUT:
		if (utcp_shutdown(e->s, UTCP_SHUT_WR) != 0)
			ep_error(e, EPROTO);
		return true;
	case OP_EOF:
		return step_eof(e);
	case OP_CLOSE:
	case OP_ABORT:
		if (st->op == OP_CLOSE && e->conf.waits && !peer_has_all(e))
			return false;
		if (st->op == OP_CLOSE)
			utcp_close(e->s);
		else
			utcp_abort(e->s);
		e->s = NULL;
		return true;
	case OP_ERROR:
		if (e->error == 0)
			do_read(e, UINT64_MAX);
		return false;
	case OP_FOREVER:
		do_write(e, UINT64_MAX);
		if (e->s != NULL)
			do_read(e, UINT64_MAX);
		return false;
	case OP_SINK:
		do_read(e, UINT64_MAX);
		return e->got_eof;
	}
	return false;
}

static void
ep_run(struct ep *e)
{
	const struct step *st;

	while (e->s != NULL && !e->ended) {
		if (e->at == e->conf.num_steps) {
			ep_end(e);
			return;
		}
		st = &e->conf.steps[e->at];
		if (!e->open && st->op != OP_XFER && st->op != OP_ERROR &&
		    st->op != OP_ABORT)
			return;
		if (!ep_step(e, st)) {
			if (e->at < e->conf.num_steps &&
			    st != &e->conf.steps[e->at])
				continue; /* an error that was waited for */
			return;
		}
		e->at++;
		e->step_sent = e->step_got = 0;
		e->node->w->progress_ns = e->node->w->now_ns;
	}
	if (e->s == NULL)
		ep_end(e);
}

static void
ep_ready(struct handler *h, uint32_t ready)
{
	struct ep *e = (struct ep *)h;
	struct sim *w = e->node->w;
	int64_t error = 0;

	if (e->s == NULL)
		return;
	if (!e->open && (ready & UTCP_OUT) != 0) {
		e->open = true;
		e->open_ns = w->progress_ns = w->now_ns;
	}
	if ((ready & UTCP_ERR) != 0) {
		if (utcp_get(e->s, UTCP_OPT_ERROR, &error) != 0 || error == 0)
			sim_fail(w, "UTCP_ERR without an error");
		ep_error(e, (int)error);
	}
	ep_run(e);
}

static void
ep_close(struct handler *h)
{
	struct ep *e = (struct ep *)h;

	utcp_close(e->s);
	e->s = NULL;
}

static struct ep *
ep_new(struct node *n, const struct ep_conf *c)
{
	struct ep *e = calloc(1, sizeof(*e));

	if (e == NULL)
		abort();
	e->h.ready = ep_ready;
	e->h.close = ep_close;
	e->h.next = n->handlers;
	n->handlers = &e->h;
	e->node = n;
	e->next = n->eps;
	n->eps = e;
	e->conf = *c;
	n->w->eps_open++;
	return e;
}

static void
set_options(struct sim *w, utcp_sock_t *s, const struct ep_conf *c)
{
	int i, err;

	for (i = 0; i < UTCP_OPT_MAX; i++) {
		if (!c->opt_set[i])
			continue;
		err = utcp_set(s, i, c->opts[i]);
		if (err != 0)
			sim_fail(w, "utcp_set of %s to %lld: %d",
				 utcp_opt_name((unsigned int)i),
				 (long long)c->opts[i], err);
	}
	if (c->cc != NULL && utcp_set_cc(s, c->cc) != 0)
		sim_fail(w, "utcp_set_cc %s", c->cc);
}

/* ---- opening -------------------------------------------------------------------------- */

struct ep *
app_ep(struct node *n, utcp_sock_t *s, const struct ep_conf *c)
{
	struct ep *e = ep_new(n, c);

	e->s = s;
	e->id = conn_id(s, &e->first);
	e->open = true;
	e->open_ns = n->w->now_ns;
	utcp_set_user(s, e);
	n->w->progress_ns = n->w->now_ns;
	return e;
}

static void
listener_ready(struct handler *h, uint32_t ready)
{
	struct listener *l = (struct listener *)h;
	utcp_sock_t *s;
	int err;

	(void)ready;
	if (l->s == NULL)
		return;
	while ((err = utcp_accept(l->s, &s)) == 0) {
		l->num++;
		if (l->accepted != NULL) {
			l->accepted(l, s);
		} else {
			l->last = app_ep(l->node, s, &l->conf);
			ep_run(l->last);
		}
	}
	if (err != -EAGAIN)
		sim_fail(l->node->w, "utcp_accept: %d", err);
}

static void
listener_close(struct handler *h)
{
	struct listener *l = (struct listener *)h;

	utcp_close(l->s);
	l->s = NULL;
}

struct listener *
app_listen(struct node *n, int family, uint16_t port, const struct ep_conf *c)
{
	utcp_addr_t a = { .family = (uint8_t)family };
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		abort();
	put16(&a.port_be, port);
	l->h.ready = listener_ready;
	l->h.close = listener_close;
	l->h.next = n->handlers;
	n->handlers = &l->h;
	l->node = n;
	l->conf = *c;
	SIM_CHECK(n->w, utcp_open(n->u, family, &l->s) == 0);
	set_options(n->w, l->s, c);
	utcp_set_user(l->s, l);
	SIM_CHECK(n->w, utcp_bind(l->s, &a) == 0);
	SIM_CHECK(n->w, utcp_listen(l->s, 4096) == 0);
	return l;
}

struct ep *
app_connect(struct node *n, int family, uint16_t from_port, struct node *to,
	    uint16_t port, const struct ep_conf *c)
{
	utcp_addr_t peer = node_addr(to, family, port);
	utcp_addr_t local = { .family = (uint8_t)family };
	struct ep *e = ep_new(n, c);
	int err;

	utcp_advance(n->u, n->w->now_ns + n->conf.clock_ns);
	e->client = true;
	SIM_CHECK(n->w, utcp_open(n->u, family, &e->s) == 0);
	set_options(n->w, e->s, c);
	utcp_set_user(e->s, e);
	if (from_port != 0) {
		put16(&local.port_be, from_port);
		SIM_CHECK(n->w, utcp_bind(e->s, &local) == 0);
	}
	err = utcp_connect(e->s, &peer);
	if (err != -EINPROGRESS && err != 0)
		sim_fail(n->w, "utcp_connect: %d", err);
	e->id = conn_id(e->s, &e->first);
	if (e->id == 0)
		sim_fail(n->w, "no name of a connecting socket");
	ep_run(e);
	node_kick(n);
	return e;
}

struct later {
	struct node *n, *to;
	int family;
	uint16_t port;
	struct ep_conf c;
};

void
app_connect_event(struct sim *w, void *arg)
{
	struct later *l = arg;

	w->eps_open--;
	app_connect(l->n, l->family, 0, l->to, l->port, &l->c);
	free(l);
}

void
app_connect_at(struct node *n, int family, struct node *to, uint16_t port,
	       const struct ep_conf *c, uint64_t at_ns)
{
	struct later *l = malloc(sizeof(*l));

	if (l == NULL)
		abort();
	*l = (struct later){ n, to, family, port, *c };
	n->w->eps_open++; /* so that the world goes on till then */
	sim_at(n->w, at_ns, app_connect_event, l);
}

void
app_events(struct node *n)
{
	utcp_event_t ev[8];
	struct handler *h;
	int num, i;

	do {
		num = utcp_events(n->u, ev, 8);
		for (i = 0; i < num; i++) {
			h = ev[i].user;
			if (h != NULL)
				h->ready(h, ev[i].ready);
		}
	} while (num > 0);
}

void
app_close_all(struct node *n)
{
	struct handler *h;

	for (h = n->handlers; h != NULL; h = h->next)
		h->close(h);
}

void
app_free(struct node *n)
{
	struct handler *h;

	while ((h = n->handlers) != NULL) {
		n->handlers = h->next;
		free(h);
	}
	n->eps = NULL;
}

utcp_info_t
app_info(struct ep *e)
{
	utcp_info_t info = { .size = sizeof(info) };

	if (e->s != NULL)
		utcp_info(e->s, &info);
	return info;
}
