/* SPDX-License-Identifier: BSD-2-Clause */
/* case_basic.c: one connection in a clean world, script by script. */
#include "cases.h"

/* Two nodes and a link with both directions alike. */
void
two_nodes(struct two *t, const char *group, uint64_t seed,
	  const struct pipe_conf *pipe, const struct node_conf *node)
{
	t->w = sim_new(group, seed);
	t->there = sim_pipe(t->w, "there", pipe);
	t->back = sim_pipe(t->w, "back", pipe);
	t->a = sim_node(t->w, node, t->there);
	t->b = sim_node(t->w, node, t->back);
}

struct script {
	const char *name;
	void (*make)(struct ep_conf *client, struct ep_conf *server);
};

static void
bulk(struct ep_conf *c, struct ep_conf *s)
{
	conf_step(c, OP_XFER, 2 * MB, 0, 0);
	conf_step(c, OP_SHUT, 0, 0, 0);
	conf_step(c, OP_EOF, 0, 0, 0);
	conf_step(c, OP_CLOSE, 0, 0, 0);
	conf_step(s, OP_XFER, 0, 2 * MB, 0);
	conf_step(s, OP_EOF, 0, 0, 0);
	conf_step(s, OP_CLOSE, 0, 0, 0);
}

static void
both_ways(struct ep_conf *c, struct ep_conf *s)
{
	conf_step(c, OP_XFER, 1 * MB, 3 * MB, 0);
	conf_step(c, OP_SHUT, 0, 0, 0);
	conf_step(c, OP_EOF, 0, 0, 0);
	conf_step(c, OP_CLOSE, 0, 0, 0);
	conf_step(s, OP_XFER, 3 * MB, 1 * MB, 0);
	conf_step(s, OP_EOF, 0, 0, 0);
	conf_step(s, OP_CLOSE, 0, 0, 0);
}

static void
requests(struct ep_conf *c, struct ep_conf *s)
{
	int i;

	for (i = 0; i < 30; i++) {
		conf_step(c, OP_XFER, 100 + (uint64_t)i, 0, 0);
		conf_step(c, OP_XFER, 0, 1 + 997 * (uint64_t)i, 0);
		conf_step(s, OP_XFER, 0, 100 + (uint64_t)i, 0);
		conf_step(s, OP_XFER, 1 + 997 * (uint64_t)i, 0, 0);
	}
	conf_step(c, OP_CLOSE, 0, 0, 0);
	conf_step(s, OP_EOF, 0, 0, 0);
	conf_step(s, OP_CLOSE, 0, 0, 0);
}

/* The client ends its side first, the server goes on for long. */
static void
half_close(struct ep_conf *c, struct ep_conf *s)
{
	conf_step(c, OP_XFER, 10, 0, 0);
	conf_step(c, OP_SHUT, 0, 0, 0);
	conf_step(c, OP_XFER, 0, 500 * KB, 0);
	conf_step(c, OP_EOF, 0, 0, 0);
	conf_step(c, OP_CLOSE, 0, 0, 0);
	conf_step(s, OP_XFER, 0, 10, 0);
	conf_step(s, OP_EOF, 0, 0, 0);
	conf_step(s, OP_SLEEP, 0, 0, 200 * SEC);
	conf_step(s, OP_XFER, 500 * KB, 0, 0);
	conf_step(s, OP_CLOSE, 0, 0, 0);
}

/* The server ends first: it is his TIME-WAIT. */
static void
server_closes(struct ep_conf *c, struct ep_conf *s)
{
	conf_step(s, OP_XFER, 5000, 0, 0);
	conf_step(s, OP_CLOSE, 0, 0, 0);
	conf_step(c, OP_XFER, 0, 5000, 0);
	conf_step(c, OP_EOF, 0, 0, 0);
	conf_step(c, OP_CLOSE, 0, 0, 0);
}

/* Zero windows for minutes, then the rest. */
static void
slow_reader(struct ep_conf *c, struct ep_conf *s)
{
	conf_step(c, OP_XFER, 1 * MB, 0, 0);
	conf_step(c, OP_SHUT, 0, 0, 0);
	conf_step(c, OP_EOF, 0, 0, 0);
	conf_step(c, OP_CLOSE, 0, 0, 0);
	conf_step(s, OP_SLEEP, 0, 0, 7 * MINUTE);
	conf_step(s, OP_XFER, 0, 10 * KB, 0);
	conf_step(s, OP_SLEEP, 0, 0, 3 * MINUTE);
	conf_step(s, OP_XFER, 0, 990 * KB, 0);
	conf_step(s, OP_EOF, 0, 0, 0);
	conf_step(s, OP_CLOSE, 0, 0, 0);
	conf_opt(s, UTCP_OPT_RCVBUF, 65536);
}

static void
both_close(struct ep_conf *c, struct ep_conf *s)
{
	conf_step(c, OP_XFER, 1000, 1000, 0);
	conf_step(c, OP_CLOSE, 0, 0, 0);
	conf_step(s, OP_XFER, 1000, 1000, 0);
	conf_step(s, OP_CLOSE, 0, 0, 0);
}

static void
aborted(struct ep_conf *c, struct ep_conf *s)
{
	conf_step(c, OP_XFER, 100 * KB, 0, 0);
	conf_step(c, OP_SLEEP, 0, 0, SEC);
	conf_step(c, OP_ABORT, 0, 0, 0);
	conf_step(s, OP_XFER, 0, 100 * KB, 0);
	conf_step(s, OP_ERROR, ECONNRESET, 0, 0);
	conf_step(s, OP_CLOSE, 0, 0, 0);
}

static const struct script scripts[] = {
	{ "bulk", bulk },
	{ "both ways", both_ways },
	{ "requests", requests },
	{ "half close", half_close },
	{ "server closes", server_closes },
	{ "slow reader", slow_reader },
	{ "both close", both_close },
	{ "abort", aborted },
};
#define SCRIPTS (sizeof(scripts) / sizeof(scripts[0]))

/* seed: which script, family, link, way of calling. */
void
case_basic(uint64_t seed)
{
	static const uint64_t delays[] = { 20 * USEC, 5 * MSEC, 150 * MSEC };
	uint64_t i = seed - 1;
	struct ep_conf c = { 0 }, s = { 0 };
	struct pipe_conf pipe = { .rate_bps = 100 * MBPS,
				  .queue_bytes = 1000000 };
	struct node_conf node = { 0 };
	const struct script *sc;
	int family;
	struct two t;

	sc = &scripts[i % SCRIPTS];
	i /= SCRIPTS;
	family = i % 2 == 0 ? 4 : 6;
	i /= 2;
	pipe.delay_ns = delays[i % 3];
	i /= 3;
	c.zero_copy = s.zero_copy = i % 2 != 0;
	i /= 2;
	if (i % 2 != 0)
		node.offloads = UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_TCP;
	two_nodes(&t, "basic", seed, &pipe, &node);
	sim_say(t.w, " %s, IPv%d, delay %.3f ms%s%s", sc->name, family,
		(double)pipe.delay_ns / 1e6, c.zero_copy ? ", zero copy" : "",
		node.offloads ? ", offloads" : "");
	sc->make(&c, &s);
	app_listen(t.b, family, 80, &s);
	app_connect(t.a, family, 0, t.b, 80, &c);
	sim_run(t.w);
	sim_settle(t.w);
	all_is_back(t.w);
	SIM_CHECK(t.w, sim_counter(t.w, UTCP_CTR_TIMEOUTS) == 0);
	sim_end(t.w);
}

/* Nothing but listeners is left. */
void
all_is_back(struct sim *w)
{
	utcp_usage_t u;
	unsigned int i;

	for (i = 0; i < w->num_nodes; i++) {
		app_close_all(w->nodes[i]);
		node_kick(w->nodes[i]);
	}
	sim_settle(w);
	for (i = 0; i < w->num_nodes; i++) {
		utcp_usage(w->nodes[i]->u, &u);
		if (u.socks != 0 || u.syns != 0 || u.timewaits != 0 ||
		    u.buffered_bytes != 0)
			sim_fail(w,
				 "10.0.0.%u has %u sockets, %u half open, %u "
				 "TIME-WAITs, %llu bytes buffered at the end "
				 "of all",
				 i + 1, u.socks, u.syns, u.timewaits,
				 (unsigned long long)u.buffered_bytes);
	}
}
