/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chaos.c: applications that call anything at any time, with arguments of all
 * kinds. What is read must be what was written, as far as it goes.
 */
#include "cases.h"

#define SOCKS 24
#define CALLS 400
#define PORT 7000

/* One socket of such an application. */
struct wild {
	struct handler h;
	struct node *node;
	utcp_sock_t *s;
	struct chaos *chaos;
	uint64_t id, sent, got;
	bool first, listener, pending;
};

/* One such application on a node. */
struct chaos {
	struct node *node, *peer;
	unsigned int calls, num;
	struct wild *all[SOCKS];
};

static void
wild_ready(struct handler *h, uint32_t ready)
{
	struct wild *x = (struct wild *)h;

	(void)ready;
	x->pending = true;
}

static void
wild_close(struct handler *h)
{
	struct wild *x = (struct wild *)h;

	utcp_close(x->s);
	x->s = NULL;
}

static struct wild *
wild_new(struct chaos *ch)
{
	struct wild *x = calloc(1, sizeof(*x));

	if (x == NULL)
		abort();
	x->h.ready = wild_ready;
	x->h.close = wild_close;
	x->h.next = ch->node->handlers;
	ch->node->handlers = &x->h;
	x->node = ch->node;
	x->chaos = ch;
	return x;
}

static struct rng *
rng_of(struct chaos *ch)
{
	return &ch->node->w->rng;
}

static void
wild_write(struct wild *x)
{
	struct rng *r = rng_of(x->chaos);
	size_t len = rng_log(r, 1, 20000);
	const uint8_t *p;
	ssize_t n;

	if (x->id == 0)
		x->id = conn_id(x->s, &x->first);
	if (x->id == 0)
		return;
	p = pattern(x->id, x->first, x->sent, &len);
	n = utcp_write(x->s, p, len,
		       rng_chance(r, 0.2)   ? UTCP_MSG_MORE
		       : rng_chance(r, 0.1) ? UTCP_MSG_EOR
					    : 0);
	SIM_CHECK(x->node->w, n != 0 && n <= (ssize_t)len);
	if (n > 0)
		x->sent += (uint64_t)n;
}

static void
wild_sent(utcp_buf_t *b, int status)
{
	(void)status;
	free(b);
}

static void
wild_send(struct wild *x)
{
	struct rng *r = rng_of(x->chaos);
	size_t len = rng_log(r, 1, 60000);
	utcp_buf_t *b;

	if (x->id == 0)
		x->id = conn_id(x->s, &x->first);
	if (x->id == 0 || x->sent > 300000)
		return;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		abort();
	b->data = pattern(x->id, x->first, x->sent, &len);
	b->len = len;
	b->done = wild_sent;
	if (utcp_send(x->s, b, rng_chance(r, 0.3) ? UTCP_MSG_MORE : 0) == 0)
		x->sent += len;
	else
		free(b);
}

static void
wild_read(struct wild *x)
{
	static uint8_t buf[65536];
	struct rng *r = rng_of(x->chaos);
	utcp_view_t v[4];
	bool peek;
	ssize_t n;
	int num;

	if (x->id == 0)
		x->id = conn_id(x->s, &x->first);
	/* Accepted when it was reset already, it has no name. */
	if (x->id == 0) {
		(void)utcp_read(x->s, buf, sizeof(buf), 0);
		return;
	}
	if (rng_chance(r, 0.3)) {
		num = utcp_views(x->s, v, 4);
		if (num <= 0)
			return;
		SIM_CHECK(x->node->w, pattern_is(x->id, !x->first, x->got,
						 v[0].data, v[0].len));
		SIM_CHECK(x->node->w, utcp_consume(x->s, v[0].len) == 0);
		x->got += v[0].len;
		return;
	}
	peek = rng_chance(r, 0.1);
	n = utcp_read(x->s, buf, rng_log(r, 1, sizeof(buf)),
		      peek ? UTCP_MSG_PEEK : 0);
	if (n <= 0)
		return;
	SIM_CHECK(x->node->w,
		  pattern_is(x->id, !x->first, x->got, buf, (size_t)n));
	if (!peek)
		x->got += (uint64_t)n;
}

static void
wild_accept(struct wild *x)
{
	struct chaos *ch = x->chaos;
	struct wild *y;
	utcp_sock_t *s;

	if (ch->num == SOCKS || utcp_accept(x->s, &s) != 0)
		return;
	y = wild_new(ch);
	y->s = s;
	utcp_set_user(s, y);
	y->id = conn_id(s, &y->first);
	ch->all[ch->num++] = y;
}

static void
wild_connect(struct wild *x)
{
	utcp_addr_t to = node_addr(
	    x->chaos->peer, rng_chance(rng_of(x->chaos), 0.5) ? 4 : 6,
	    (uint16_t)(PORT + rng_below(rng_of(x->chaos), 3)));

	int err;

	if (x->listener)
		return;
	err = utcp_connect(x->s, &to);
	if (err != 0 && err != -EINPROGRESS)
		return;
	x->sent = x->got = 0; /* it may be the second time */
	x->id = conn_id(x->s, &x->first);
}

static void
wild_option(struct wild *x)
{
	static const char *const ccs[] = { "bbr", "newreno", "prague" };
	struct rng *r = rng_of(x->chaos);
	int opt = (int)rng_below(r, UTCP_OPT_MAX + 2) - 1;
	int64_t v = (int64_t)(rng_next(r) >> rng_below(r, 64));

	/* not those that make it wait for hours */
	if (rng_chance(r, 0.1))
		v = -v;
	if (opt == UTCP_OPT_RTO_MAX_NS || opt == UTCP_OPT_KEEPALIVE ||
	    opt == UTCP_OPT_FASTOPEN_NOCOOKIE || opt == UTCP_OPT_FASTOPEN ||
	    opt == UTCP_OPT_FASTOPEN_CONNECT || opt == UTCP_OPT_TTL_MIN ||
	    opt == UTCP_OPT_FIN_TIMEOUT_NS || opt == UTCP_OPT_RETRIES)
		return;
	if (rng_chance(r, 0.2))
		utcp_set_cc(x->s, ccs[rng_below(r, 3)]);
	else if (rng_chance(r, 0.5))
		utcp_set(x->s, opt, v);
	else
		utcp_get(x->s, opt, &v);
}

static void
wild_open(struct chaos *ch)
{
	utcp_addr_t a = { .family = 0 };
	struct rng *r = rng_of(ch);
	struct wild *x;
	int err;

	if (ch->num == SOCKS)
		return;
	a.family = rng_chance(r, 0.6) ? 4 : 6;
	x = wild_new(ch);
	err = utcp_open(ch->node->u, a.family, &x->s);
	SIM_CHECK(ch->node->w, err == 0 || err == -ENFILE || err == -ENOMEM);
	if (err != 0)
		return;
	utcp_set_user(x->s, x);
	ch->all[ch->num++] = x;
	put16(&a.port_be, (uint32_t)(PORT + rng_below(r, 4)));
	if (rng_chance(r, 0.5) && utcp_bind(x->s, &a) == 0 &&
	    rng_chance(r, 0.7))
		x->listener = utcp_listen(x->s, (int)rng_below(r, 5)) == 0;
}

static void
wild_end(struct chaos *ch, unsigned int i, bool abort_it)
{
	struct wild *x = ch->all[i];

	ch->all[i] = ch->all[--ch->num];
	if (abort_it)
		utcp_abort(x->s);
	else
		utcp_close(x->s);
	x->s = NULL;
}

static void
wild_names(struct wild *x)
{
	utcp_info_t info = { .size = sizeof(info) };
	utcp_addr_t a;

	utcp_getsockname(x->s, &a);
	utcp_getpeername(x->s, &a);
	utcp_info(x->s, &info);
	utcp_poll(x->s);
	utcp_readable(x->s);
}

static void
call(struct chaos *ch)
{
	struct rng *r = rng_of(ch);
	unsigned int i;
	struct wild *x;

	if (ch->num == 0 || rng_chance(r, 0.08)) {
		wild_open(ch);
		return;
	}
	i = (unsigned int)rng_below(r, ch->num);
	x = ch->all[i];
	switch (rng_below(r, 16)) {
	case 0:
	case 1:
	case 2:
	case 3:
		wild_write(x);
		break;
	case 4:
		wild_send(x);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		wild_read(x);
		break;
	case 9:
		wild_accept(x);
		break;
	case 10:
		wild_connect(x);
		break;
	case 11:
		wild_option(x);
		break;
	case 12:
		if (rng_chance(r, 0.3))
			utcp_shutdown(x->s, (int)rng_below(r, 4));
		break;
	case 13:
		wild_names(x);
		break;
	case 14:
		if (rng_chance(r, 0.2))
			wild_end(ch, i, false);
		break;
	default:
		if (rng_chance(r, 0.1))
			wild_end(ch, i, true);
	}
}

static void
turn(struct sim *w, void *arg)
{
	struct chaos *ch = arg;
	unsigned int n = (unsigned int)rng_range(&w->rng, 1, 10);

	utcp_advance(ch->node->u, w->now_ns + ch->node->conf.clock_ns);
	while (n-- > 0 && ch->calls > 0) {
		ch->calls--;
		call(ch);
	}
	node_kick(ch->node);
	if (ch->calls > 0)
		sim_at(w, w->now_ns + rng_log(&w->rng, USEC, 500 * MSEC), turn,
		       ch);
}

void
case_chaos(uint64_t seed)
{
	struct pipe_conf pipe = { .rate_bps = 50 * MBPS,
				  .queue_bytes = 100000 };
	struct node_conf node = { 0 };
	struct chaos ch[2] = { 0 };
	struct rng r = { seed };
	utcp_config_t cfg = { 0 };
	struct two t;
	int i;

	pipe.delay_ns = rng_log(&r, 20 * USEC, 20 * MSEC);
	if (rng_chance(&r, 0.6)) {
		pipe.loss = 0.03;
		pipe.dup = 0.03;
		pipe.reorder = 0.05;
		pipe.reorder_ns = 2 * pipe.delay_ns;
	}
	if (rng_chance(&r, 0.3))
		cfg.max_socks = 12;
	if (rng_chance(&r, 0.3))
		cfg.max_bytes = 200000;
	if (rng_chance(&r, 0.3))
		cfg.max_timewait = 3;
	if (rng_chance(&r, 0.5))
		node.poll_ns = 50 * USEC;
	if (rng_chance(&r, 0.3))
		node.offloads = UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_TCP;
	if (rng_chance(&r, 0.25))
		node.no_memory = (double)rng_log(&r, 1, 300) / 1000;
	node.base = &cfg;
	two_nodes(&t, "chaos", seed, &pipe, &node);
	for (i = 0; i < 2; i++) {
		ch[i].node = i == 0 ? t.a : t.b;
		ch[i].peer = i == 0 ? t.b : t.a;
		ch[i].calls = CALLS;
		sim_at(t.w, SEC, turn, &ch[i]);
	}
	while ((ch[0].calls > 0 || ch[1].calls > 0) && t.w->num_events > 0)
		sim_run_until(t.w, t.w->now_ns + SEC);
	all_is_back(t.w);
	sim_end(t.w);
}
