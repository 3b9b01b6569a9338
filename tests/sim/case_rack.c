/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_rack.c: RACK-TLP on and off in the same worlds: links that reorder, and
 * round trips so short that others had to switch it off.
 */
#include "cases.h"

#define RUNS 40 /* luck must not decide */

struct link_case {
	const char *name;
	struct pipe_conf pipe;
};

static const struct link_case links[] = {
	{ "reordered a little",
	  { .rate_bps = 100 * MBPS,
	    .delay_ns = 10 * MSEC,
	    .queue_bytes = 500000,
	    .reorder = 0.01,
	    .reorder_ns = 1 * MSEC } },
	{ "reordered a lot",
	  { .rate_bps = 100 * MBPS,
	    .delay_ns = 10 * MSEC,
	    .queue_bytes = 500000,
	    .reorder = 0.1,
	    .reorder_ns = 4 * MSEC } },
	{ "jitter that reorders",
	  { .rate_bps = 100 * MBPS,
	    .delay_ns = 10 * MSEC,
	    .queue_bytes = 500000,
	    .jitter_ns = 3 * MSEC,
	    .jitter_reorders = true } },
	{ "reordered, with loss",
	  { .rate_bps = 50 * MBPS,
	    .delay_ns = 10 * MSEC,
	    .queue_bytes = 500000,
	    .reorder = 0.02,
	    .reorder_ns = 2 * MSEC,
	    .loss = 0.002 } },
	{ "tiny round trip",
	  { .rate_bps = 10 * GBPS,
	    .delay_ns = 5 * USEC,
	    .queue_bytes = 500000 } },
	{ "tiny round trip, small queue",
	  { .rate_bps = 10 * GBPS,
	    .delay_ns = 10 * USEC,
	    .queue_bytes = 40000 } },
	{ "tiny round trip, loss",
	  { .rate_bps = 1 * GBPS,
	    .delay_ns = 10 * USEC,
	    .queue_bytes = 200000,
	    .loss = 0.002 } },
	{ "tiny round trip, reordered",
	  { .rate_bps = 1 * GBPS,
	    .delay_ns = 10 * USEC,
	    .queue_bytes = 200000,
	    .reorder = 0.01,
	    .reorder_ns = 30 * USEC } },
	{ "short answers, loss",
	  { .rate_bps = 1 * GBPS,
	    .delay_ns = 1 * MSEC,
	    .queue_bytes = 200000,
	    .loss = 0.02 } },
};
#define LINKS (sizeof(links) / sizeof(links[0]))

/* Seconds that the exchange takes. */
static double
took(const struct link_case *l, uint64_t seed, bool rack)
{
	bool answers = strncmp(l->name, "short", 5) == 0;
	struct ep_conf c = { 0 }, s = { 0 };
	struct node_conf node = { 0 };
	struct two t;
	struct ep *e;
	double sum;
	int i;

	for (i = 0; i < (answers ? 50 : 1); i++) {
		conf_step(&c, OP_XFER, 100, 0, 0);
		conf_step(&s, OP_XFER, 0, 100, 0);
		conf_step(&c, OP_XFER, 0, answers ? 10000 : 4 * MB, 0);
		conf_step(&s, OP_XFER, answers ? 10000 : 4 * MB, 0, 0);
	}
	conf_step(&c, OP_CLOSE, 0, 0, 0);
	conf_step(&s, OP_EOF, 0, 0, 0);
	conf_step(&s, OP_CLOSE, 0, 0, 0);
	conf_opt(&c, UTCP_OPT_RACK, rack);
	conf_opt(&s, UTCP_OPT_RACK, rack);
	two_nodes(&t, "rack", seed, &l->pipe, &node);
	sim_say(t.w, " %s, RACK %s", l->name, rack ? "on" : "off");
	app_listen(t.b, 4, 80, &s);
	e = app_connect(t.a, 4, 0, t.b, 80, &c);
	sim_run(t.w);
	sum = (double)(e->end_ns - e->open_ns) / 1e9;
	sim_end(t.w);
	return sum;
}

void
case_rack(uint64_t seed)
{
	const struct link_case *l = &links[(seed - 1) % LINKS];
	double on = 0, off = 0;
	struct sim *w;
	uint64_t i;

	for (i = 0; i < RUNS; i++) {
		on += took(l, seed * 1000 + i, true);
		off += took(l, seed * 1000 + i, false);
	}
	if (sim_verbose)
		printf("rack seed %llu: %s: %.3f ms with, %.3f ms without\n",
		       (unsigned long long)seed, l->name, on * 1e3 / RUNS,
		       off * 1e3 / RUNS);
	if (on > off * 1.05) {
		w = sim_new("rack", seed);
		sim_fail(w, "%s: %.3f ms with RACK, %.3f ms without", l->name,
			 on * 1e3 / RUNS, off * 1e3 / RUNS);
	}
}
