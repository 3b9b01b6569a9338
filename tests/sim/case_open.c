/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_open.c: the begin and the end of connections: both sides at once, many
 * at a time, nobody there, small paths, Fast Open, cookies.
 */
#include "cases.h"

static void
draw_loss(struct rng *r, struct pipe_conf *p)
{
	p->delay_ns = rng_log(r, 50 * USEC, 50 * MSEC);
	p->rate_bps = 100 * MBPS;
	p->queue_bytes = 300000;
	if (rng_chance(r, 0.7))
		p->loss = (double)rng_range(r, 1, 25) / 100;
	if (rng_chance(r, 0.5))
		p->dup = (double)rng_range(r, 1, 20) / 100;
	if (rng_chance(r, 0.5)) {
		p->jitter_ns = p->delay_ns;
		p->jitter_reorders = true;
	}
}

static void
say_loss(struct sim *w, const struct pipe_conf *p)
{
	sim_say(w, ", delay %.3f ms, loss %.0f%%, dup %.0f%%%s",
		(double)p->delay_ns / 1e6, p->loss * 100, p->dup * 100,
		p->jitter_ns ? ", reordered" : "");
}

static void
patient(struct ep_conf *c)
{
	conf_opt(c, UTCP_OPT_RETRIES, 255);
	conf_opt(c, UTCP_OPT_SYN_RETRIES, 127);
	conf_opt(c, UTCP_OPT_SYNACK_RETRIES, 127);
}

/* ---- both open, both close (RFC 9293 sections 3.5 and 3.6) --------------------- */

static void
simultaneous(struct two *t)
{
	struct ep_conf a = { 0 }, b = { 0 };

	patient(&a);
	patient(&b);
	conf_step(&a, OP_XFER, 30000, 20000, 0);
	conf_step(&b, OP_XFER, 20000, 30000, 0);
	conf_step(&a, OP_SHUT, 0, 0, 0);
	conf_step(&b, OP_SHUT, 0, 0, 0);
	conf_step(&a, OP_EOF, 0, 0, 0);
	conf_step(&b, OP_EOF, 0, 0, 0);
	conf_step(&a, OP_CLOSE, 0, 0, 0);
	conf_step(&b, OP_CLOSE, 0, 0, 0);
	app_connect(t->a, 4, 5000, t->b, 6000, &a);
	app_connect(t->b, 4, 6000, t->a, 5000, &b);
	sim_run(t->w);
}

void
case_open(uint64_t seed)
{
	struct pipe_conf pipe = { 0 };
	struct node_conf node = { 0 };
	struct rng r = { seed };
	struct two t;

	draw_loss(&r, &pipe);
	two_nodes(&t, "open", seed, &pipe, &node);
	t.w->stall_ns = 60 * MINUTE;
	sim_say(t.w, " both open");
	say_loss(t.w, &pipe);
	simultaneous(&t);
	sim_settle(t.w);
	all_is_back(t.w);
	sim_end(t.w);
}

/* ---- many ------------------------------------------------------------------------- */

void
case_many(uint64_t seed)
{
	struct pipe_conf pipe = { 0 };
	struct node_conf node = { 0 };
	utcp_config_t cfg = { 0 };
	struct rng r = { seed };
	unsigned int i, n, bytes;
	struct two t;
	bool fast, cookies;

	draw_loss(&r, &pipe);
	n = (unsigned int)rng_range(&r, 50, 400);
	cookies = rng_chance(&r, 0.4);
	fast = rng_chance(&r, 0.4);
	if (cookies)
		cfg.max_syns = (uint32_t)rng_range(&r, 1, 16);
	if (rng_chance(&r, 0.3))
		cfg.max_timewait = (uint32_t)rng_range(&r, 1, 50);
	node.base = &cfg;
	if (rng_chance(&r, 0.5))
		node.poll_ns = 200 * USEC;
	two_nodes(&t, "many", seed, &pipe, &node);
	t.w->stall_ns = 60 * MINUTE; /* a tail may be unlucky often */
	sim_say(t.w, " %u connections%s%s", n, cookies ? ", cookies" : "",
		fast ? ", fast open" : "");
	say_loss(t.w, &pipe);
	for (i = 0; i < 4; i++) {
		struct ep_conf c = { 0 }, s = { 0 };
		unsigned int k;

		bytes = (unsigned int)rng_log(&r, 1, 20000);
		patient(&c);
		patient(&s);
		if (fast) {
			conf_opt(&c, UTCP_OPT_FASTOPEN_CONNECT, 1);
			conf_opt(&s, UTCP_OPT_FASTOPEN, 100);
		}
		/* who speaks first must be the client: a cookie's connection
		   whose last ACK is lost is not known to the server; and if
		   its first data is lost too, what follows is reset */
		c.may_fail = s.may_fail = cookies;
		c.waits = s.waits = pipe.loss > 0.1;
		if (cookies) { /* the other end may know nothing of it */
			conf_opt(&s, UTCP_OPT_KEEPALIVE, 1);
			conf_opt(&s, UTCP_OPT_KEEPIDLE_NS, 5 * SEC);
			conf_opt(&c, UTCP_OPT_KEEPALIVE, 1);
			conf_opt(&c, UTCP_OPT_KEEPIDLE_NS, 5 * SEC);
		}
		conf_step(&c, OP_XFER, bytes, 0, 0);
		conf_step(&s, OP_XFER, 0, bytes, 0);
		conf_step(&c, OP_XFER, 0, 2 * bytes, 0);
		conf_step(&s, OP_XFER, 2 * bytes, 0, 0);
		if (i % 2 == 0) {
			conf_step(&c, OP_CLOSE, 0, 0, 0);
			conf_step(&s, OP_EOF, 0, 0, 0);
			conf_step(&s, OP_CLOSE, 0, 0, 0);
		} else {
			conf_step(&s, OP_CLOSE, 0, 0, 0);
			conf_step(&c, OP_EOF, 0, 0, 0);
			conf_step(&c, OP_CLOSE, 0, 0, 0);
		}
		app_listen(t.b, 4, (uint16_t)(80 + i), &s);
		for (k = 0; k < n / 4; k++)
			app_connect_at(t.a, 4, t.b, (uint16_t)(80 + i), &c,
				       SEC + rng_below(&r, 2 * SEC));
	}
	sim_run(t.w);
	sim_settle(t.w);
	all_is_back(t.w);
	sim_end(t.w);
}

/* ---- small paths --------------------------------------------------------------------- */

/* The link carries less than both ends think: told by ICMP, or silently. */
void
case_mtu(uint64_t seed)
{
	static const uint32_t mtus[] = { 576, 1000, 1280, 1400, 1480 };
	uint64_t i = seed - 1;
	int family = i % 2 == 0 ? 4 : 6;
	struct ep_conf c = { 0 }, s = { 0 };
	struct pipe_conf pipe = { .rate_bps = 100 * MBPS,
				  .delay_ns = 5 * MSEC,
				  .queue_bytes = 300000 };
	struct node_conf node = { 0 };
	utcp_info_t info;
	struct two t;
	struct ep *e;

	pipe.mtu_silent = i / 2 % 2 != 0;
	pipe.mtu = mtus[i / 4 % 5];
	if (family == 6 && pipe.mtu < 1280)
		pipe.mtu = 1280;
	if (i >= 20)
		pipe.loss = 0.01;
	node.mtu = i / 20 % 2 == 0 ? 1500 : 9000;
	conf_step(&c, OP_XFER, 1 * MB, 300 * KB, 0);
	conf_step(&s, OP_XFER, 300 * KB, 1 * MB, 0);
	conf_step(&c, OP_SHUT, 0, 0, 0);
	conf_step(&s, OP_EOF, 0, 0, 0);
	conf_step(&s, OP_CLOSE, 0, 0, 0);
	conf_step(&c, OP_EOF, 0, 0, 0);
	two_nodes(&t, "mtu", seed, &pipe, &node);
	sim_say(t.w, " IPv%d MTU %u, path %u, %s", family, node.mtu, pipe.mtu,
		pipe.mtu_silent ? "silent" : "told");
	app_listen(t.b, family, 80, &s);
	e = app_connect(t.a, family, 0, t.b, 80, &c);
	sim_run(t.w);
	info = app_info(e);
	if (t.w->verbose)
		printf("mtu seed %llu:%s: pmtu %u, %.3f s\n",
		       (unsigned long long)seed, t.w->what, info.pmtu,
		       (double)(e->end_ns - e->open_ns) / 1e9);
	SIM_CHECK(t.w, info.pmtu <= pipe.mtu);
	if (!pipe.mtu_silent)
		SIM_CHECK(t.w, info.pmtu == pipe.mtu);
	/* by probing, after a few timeouts */
	if (e->end_ns - e->open_ns > (pipe.mtu_silent ? 60 : 5) * SEC)
		sim_fail(t.w, "it took %.3f s",
			 (double)(e->end_ns - e->open_ns) / 1e9);
	all_is_back(t.w);
	sim_end(t.w);
}
