/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_random.c: a world drawn from the seed: link, stacks, options, scripts;
 * everything may happen, and all bytes come.
 */
#include "cases.h"

void
draw_pipe(struct rng *r, struct pipe_conf *p)
{
	*p = (struct pipe_conf){ 0 };
	p->rate_bps = rng_chance(r, 0.2) ? 0 : rng_log(r, MBPS, 10 * GBPS);
	p->delay_ns = rng_log(r, 10 * USEC, 200 * MSEC);
	if (rng_chance(r, 0.7))
		p->queue_bytes = rng_log(r, 10000, 1000000);
	if (rng_chance(r, 0.3))
		p->jitter_ns = rng_log(r, 1 * USEC, p->delay_ns + USEC);
	p->jitter_reorders = rng_chance(r, 0.3);
	if (rng_chance(r, 0.5))
		p->loss = (double)rng_log(r, 1, 1000) / 10000;
	if (rng_chance(r, 0.2)) {
		p->burst_begin = (double)rng_log(r, 1, 100) / 10000;
		p->burst_end = (double)rng_range(r, 5, 100) / 100;
		p->burst_loss = (double)rng_range(r, 30, 100) / 100;
	}
	if (rng_chance(r, 0.3)) {
		p->reorder = (double)rng_log(r, 1, 2000) / 10000;
		p->reorder_ns = rng_log(r, 10 * USEC, 2 * p->delay_ns + MSEC);
	}
	if (rng_chance(r, 0.2))
		p->dup = (double)rng_log(r, 1, 2000) / 10000;
	if (rng_chance(r, 0.2))
		p->corrupt = (double)rng_log(r, 1, 300) / 10000;
	if (rng_chance(r, 0.2))
		p->mark_bytes = rng_log(r, 3000, 100000);
	if (rng_chance(r, 0.2))
		p->step_ns = rng_log(r, 10 * USEC, 10 * MSEC);
	if (rng_chance(r, 0.1)) {
		p->dead_from_ns = SEC + rng_log(r, MSEC, 10 * SEC);
		p->dead_to_ns = p->dead_from_ns + rng_log(r, MSEC, 60 * SEC);
	}
}

void
say_pipe(struct sim *w, const char *name, const struct pipe_conf *p)
{
	sim_say(w, " %s: %.3f Mb/s %.3f ms", name, (double)p->rate_bps / 1e6,
		(double)p->delay_ns / 1e6);
	if (p->queue_bytes)
		sim_say(w, " queue %llu", (unsigned long long)p->queue_bytes);
	if (p->jitter_ns)
		sim_say(w, " jitter %.3f ms%s", (double)p->jitter_ns / 1e6,
			p->jitter_reorders ? "!" : "");
	if (p->loss > 0)
		sim_say(w, " loss %.2f%%", p->loss * 100);
	if (p->burst_begin > 0)
		sim_say(w, " bursts %.2f%%/%.0f%%/%.0f%%", p->burst_begin * 100,
			p->burst_end * 100, p->burst_loss * 100);
	if (p->reorder > 0)
		sim_say(w, " reorder %.2f%% by %.3f ms", p->reorder * 100,
			(double)p->reorder_ns / 1e6);
	if (p->dup > 0)
		sim_say(w, " dup %.2f%%", p->dup * 100);
	if (p->corrupt > 0)
		sim_say(w, " corrupt %.2f%%", p->corrupt * 100);
	if (p->dead_to_ns)
		sim_say(w, " dead %.3f-%.3f s", (double)p->dead_from_ns / 1e9,
			(double)p->dead_to_ns / 1e9);
}

static void
draw_node(struct rng *r, struct node_conf *n)
{
	static const char *const ccs[] = { "newreno", "cubic", "bbr",
					   "prague" };
	static const uint32_t mtus[] = { 1280, 9000, 576, 65535, 296, 100 };

	*n = (struct node_conf){ 0 };
	n->cc = ccs[rng_below(r, 4)];
	n->mtu = rng_chance(r, 0.7) ? 1500 : mtus[rng_below(r, 6)];
	if (rng_chance(r, 0.3))
		n->offloads = UTCP_OFFLOAD_CSUM;
	if (n->offloads && rng_chance(r, 0.7))
		n->offloads |= UTCP_OFFLOAD_GSO_TCP;
	n->clock_ns = rng_next(r) >> rng_range(r, 5, 40);
	if (rng_chance(r, 0.4))
		n->poll_ns = rng_log(r, USEC, MSEC);
	n->merge = rng_chance(r, 0.5);
}

void
draw_options(struct rng *r, struct ep_conf *c)
{
	static const struct {
		int opt;
		int64_t low, high;
	} opts[] = {
		{ UTCP_OPT_NODELAY, 0, 1 },
		{ UTCP_OPT_CORK, 0, 1 },
		{ UTCP_OPT_QUICKACK, 0, 1 },
		{ UTCP_OPT_MAXSEG, 64, 2000 },
		{ UTCP_OPT_SNDBUF, 2000, 500000 },
		{ UTCP_OPT_RCVBUF, 2000, 500000 },
		{ UTCP_OPT_RCVBUF_MAX, 4096, 1000000 },
		{ UTCP_OPT_WINDOW_CLAMP, 100, 100000 },
		{ UTCP_OPT_KEEPALIVE, 0, 1 },
		{ UTCP_OPT_NOTSENT_LOWAT, 1, 50000 },
		{ UTCP_OPT_ECN, 0, 2 },
		{ UTCP_OPT_SACK, 0, 1 },
		{ UTCP_OPT_TIMESTAMPS, 0, 1 },
		{ UTCP_OPT_WSCALE, -1, 14 },
		{ UTCP_OPT_RACK, 0, 1 },
		{ UTCP_OPT_PACING, 0, 2 },
		{ UTCP_OPT_INITCWND, 1, 50 },
		{ UTCP_OPT_DELACK_NS, 0, 499999999 },
		{ UTCP_OPT_ACK_EVERY, 1, 64 },
		{ UTCP_OPT_PMTUD, 0, 2 },
		{ UTCP_OPT_RTO_MIN_NS, 1000000, 1000000000 },
	};
	size_t i;

	for (i = 0; i < sizeof(opts) / sizeof(opts[0]); i++)
		if (rng_chance(r, 0.12))
			conf_opt(c, opts[i].opt,
				 opts[i].low +
				     (int64_t)rng_below(
					 r, (uint64_t)(opts[i].high -
						       opts[i].low + 1)));
	/* a network this bad may need more than the default */
	conf_opt(c, UTCP_OPT_RETRIES, 255);
	conf_opt(c, UTCP_OPT_SYN_RETRIES, 127);
	conf_opt(c, UTCP_OPT_SYNACK_RETRIES, 127);
}

static void
draw_calls(struct rng *r, struct ep_conf *c)
{
	c->zero_copy = rng_chance(r, 0.3);
	if (rng_chance(r, 0.4))
		c->write_max = (uint32_t)rng_log(r, 100, 100000);
	if (rng_chance(r, 0.4))
		c->read_max = (uint32_t)rng_log(r, 100, 100000);
}

/* The same exchange from both ends. */
static void
draw_scripts(struct rng *r, struct ep_conf *c, struct ep_conf *s)
{
	unsigned int rounds = (unsigned int)rng_log(r, 1, 30), i;
	uint64_t max = rng_log(r, 100, 1000000) / rounds + 1, to, from;
	bool both;

	for (i = 0; i < rounds; i++) {
		to = rng_below(r, max);
		from = rng_below(r, max);
		both = rng_chance(r, 0.5);
		conf_step(c, OP_XFER, to, both ? from : 0, 0);
		conf_step(s, OP_XFER, both ? from : 0, to, 0);
		if (!both) {
			conf_step(c, OP_XFER, 0, from, 0);
			conf_step(s, OP_XFER, from, 0, 0);
		}
		if (rng_chance(r, 0.1))
			conf_step(rng_chance(r, 0.5) ? c : s, OP_SLEEP, 0, 0,
				  rng_log(r, MSEC, 900 * SEC));
	}
	if (rng_chance(r, 0.5)) {
		conf_step(c, OP_SHUT, 0, 0, 0);
		conf_step(c, OP_EOF, 0, 0, 0);
	}
	conf_step(s, OP_EOF, 0, 0, 0);
	conf_step(c, OP_CLOSE, 0, 0, 0);
	conf_step(s, OP_CLOSE, 0, 0, 0);
}

/* A timeout has a cause: a packet that did not come, or came late. Else the
   connections live by their timers: too slow, though they do not stall. A few
   come of a queue that grows without a limit. */
static void
check_timeouts(struct sim *w)
{
	uint64_t causes = 0, timeouts = sim_counter(w, UTCP_CTR_TIMEOUTS);
	unsigned int i;

	for (i = 0; i < w->num_pipes; i++)
		causes += w->pipes[i]->losses + w->pipes[i]->overflows +
			  w->pipes[i]->broken + w->pipes[i]->late;
	if (timeouts > 20 + causes)
		sim_fail(w, "%llu timeouts, and %llu packets lost or late",
			 (unsigned long long)timeouts,
			 (unsigned long long)causes);
}

/* An acknowledgement may come after the other end's timeout. */
static bool
too_lazy(const struct ep_conf *c, const struct ep_conf *s)
{
	int64_t lazy = 40 * (int64_t)MSEC, rto = 200 * (int64_t)MSEC;
	const struct ep_conf *both[] = { c, s };
	int64_t v;
	int i;

	for (i = 0; i < 2; i++) {
		v = both[i]->opts[UTCP_OPT_DELACK_NS];
		if (both[i]->opt_set[UTCP_OPT_DELACK_NS] && v > lazy)
			lazy = v;
		v = both[i]->opts[UTCP_OPT_RTO_MIN_NS];
		if (both[i]->opt_set[UTCP_OPT_RTO_MIN_NS] && v < rto)
			rto = v;
	}
	return lazy * 2 > rto;
}

bool
is_harsh(const struct pipe_conf *p)
{
	return p->loss > 0.05 || p->burst_begin > 0 || p->corrupt > 0.01 ||
	       p->dead_to_ns != 0;
}

void
case_random(uint64_t seed)
{
	random_world("random", seed, NULL);
}

void
random_world(const char *group, uint64_t seed,
	     void (*prepare)(struct sim *w, struct node *n))
{
	struct sim *w = sim_new(group, seed);
	struct rng *r = &w->rng;
	struct pipe_conf there, back;
	struct node_conf na, nb;
	unsigned int conns, i;
	struct node *a, *b;
	bool lazy = false;
	int family;

	w->stall_ns = 60 * MINUTE;
	draw_pipe(r, &there);
	if (rng_chance(r, 0.6)) {
		back = there;
	} else {
		draw_pipe(r, &back);
		back.delay_ns = there.delay_ns;
	}
	say_pipe(w, "there", &there);
	say_pipe(w, "back", &back);
	draw_node(r, &na);
	draw_node(r, &nb);
	family = rng_chance(r, 0.5) ? 4 : 6;
	if (family == 6 && na.mtu < 1280)
		na.mtu = 1280;
	if (family == 6 && nb.mtu < 1280)
		nb.mtu = 1280;
	/* no router is in between: both know what the link carries */
	if (rng_chance(r, 0.8))
		nb.mtu = na.mtu;
	else
		there.mtu = back.mtu = na.mtu < nb.mtu ? na.mtu : nb.mtu;
	/* two packets of any size wait in a queue */
	if (there.queue_bytes != 0 && there.queue_bytes < 2 * na.mtu)
		there.queue_bytes = 2 * na.mtu;
	if (back.queue_bytes != 0 && back.queue_bytes < 2 * nb.mtu)
		back.queue_bytes = 2 * nb.mtu;
	sim_say(w, " %s/%s IPv%d mtu %u/%u", na.cc, nb.cc, family, na.mtu,
		nb.mtu);
	a = sim_node(w, &na, sim_pipe(w, "there", &there));
	b = sim_node(w, &nb, sim_pipe(w, "back", &back));
	if (prepare != NULL) {
		prepare(w, a);
		prepare(w, b);
	}
	conns = (unsigned int)rng_log(r, 1, 8);
	for (i = 0; i < conns; i++) {
		struct ep_conf c = { 0 }, s = { 0 };

		draw_options(r, &c);
		draw_options(r, &s);
		draw_calls(r, &c);
		draw_calls(r, &s);
		draw_scripts(r, &c, &s);
		c.waits = s.waits = is_harsh(&there) || is_harsh(&back);
		lazy |= too_lazy(&c, &s);
		app_listen(b, family, (uint16_t)(80 + i), &s);
		app_connect_at(a, family, b, (uint16_t)(80 + i), &c,
			       SEC + rng_below(r, SEC));
	}
	sim_run(w);
	sim_settle(w);
	if (!lazy && prepare == NULL)
		check_timeouts(w);
	all_is_back(w);
	sim_end(w);
}
