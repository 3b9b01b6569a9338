/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_bad.c: somebody on another path forges packets while a server serves;
 * and peers that vanish.
 */
#include "cases.h"

/* ---- the forger ----------------------------------------------------------------- */

/* Knows addresses and ports, sees nothing of what is sent (RFC 5961, 4987). */
struct forger {
	struct sim *w;
	struct node *victim, *as;
	uint64_t gap_ns, until_ns;
	uint16_t port, client_port;
	unsigned int kind;
	uint64_t sent;
};

static const uint8_t mad_options[][12] = {
	{ 2, 4, 0, 0, 3, 3, 255, 1 },	     /* MSS 0, scale 255 */
	{ 8, 10, 1, 2, 3, 4, 5, 6, 7, 8 },   /* timestamps of nobody */
	{ 5, 10, 0, 0, 0, 9, 0, 0, 0, 1 },   /* SACK upside down */
	{ 2, 40, 5, 180, 1, 1, 1, 1 },	     /* longer than the header */
	{ 0, 255, 255, 255, 8, 1, 0, 0 },    /* after the end */
	{ 34, 4, 1, 1, 254, 2, 1, 1, 4, 2 }, /* cookies of half a size */
};

static void
forge(struct forger *f)
{
	struct sim *w = f->w;
	struct rng *r = &w->rng;
	struct packet *p = packet_new(w, 20 + 20 + 12);
	utcp_addr_t from = node_addr(f->as, 4, 0);
	utcp_addr_t to = node_addr(f->victim, 4, 0);
	static const uint8_t flags[] = {
		TH_RST,		 TH_RST | TH_ACK, TH_SYN,
		TH_SYN | TH_ACK, TH_ACK,	  TH_ACK | TH_PSH,
		TH_FIN | TH_ACK, TH_ACK | TH_URG, 0
	};
	uint8_t *b = p->data;

	memset(b, 0, p->len);
	b[0] = 0x45;
	put16(b + 2, p->len);
	b[8] = 64;
	b[9] = 6;
	memcpy(b + 12, from.addr, 4);
	memcpy(b + 16, to.addr, 4);
	put16(b + 22, f->port);
	if (f->kind == 0) { /* a flood of SYNs from everywhere */
		memcpy(b + 12, "\12\1", 2);
		put16(b + 14, (uint32_t)rng_next(r));
		put16(b + 20, (uint32_t)rng_range(r, 1024, 65535));
		b[33] = TH_SYN;
	} else {
		put16(b + 20, f->client_port);
		b[33] = flags[rng_below(r, sizeof(flags))];
	}
	put32(b + 24, (uint32_t)rng_next(r));
	put32(b + 28, (uint32_t)rng_next(r));
	b[32] = 8 << 4; /* 12 bytes of options */
	put16(b + 34, (uint32_t)rng_next(r));
	memcpy(b + 40, mad_options[rng_below(r, 6)], 12);
	put16(b + 10, (uint16_t)~sim_sum(b, 20, 0));
	put16(b + 36, (uint16_t)~sim_sum(b + 20, 32, sim_pseudo(b, 32, 6)));
	p->corrupt = true; /* the examiner need not look at it */
	p->to = f->victim;
	f->sent++;
	sim_at(w, w->now_ns, packet_event, p);
}

static void
forger_turn(struct sim *w, void *arg)
{
	struct forger *f = arg;

	if (w->now_ns > f->until_ns || w->eps_open == 0)
		return;
	forge(f);
	sim_at(w, w->now_ns + f->gap_ns, forger_turn, f);
}

/* A transfer each way, and requests, while somebody forges; kind 0: SYNs;
   1: whatever for the connection; 2: the same to its client; 3: nothing. */
static double
served(uint64_t seed, unsigned int kind, uint64_t *mem)
{
	struct pipe_conf pipe = { .rate_bps = 100 * MBPS,
				  .delay_ns = 2 * MSEC,
				  .queue_bytes = 200000 };
	struct ep_conf c = { 0 }, s = { 0 };
	struct node_conf node = { 0 };
	utcp_config_t cfg = { .max_syns = 256 };
	utcp_usage_t usage;
	struct forger f;
	struct two t;
	struct ep *e;
	double sum;
	int i;

	node.base = &cfg;
	two_nodes(&t, "attack", seed, &pipe, &node);
	sim_say(t.w, " kind %u", kind);
	for (i = 0; i < 20; i++) {
		conf_step(&c, OP_XFER, 20000, 0, 0);
		conf_step(&c, OP_XFER, 0, 50000, 0);
		conf_step(&s, OP_XFER, 0, 20000, 0);
		conf_step(&s, OP_XFER, 50000, 0, 0);
	}
	conf_step(&c, OP_CLOSE, 0, 0, 0);
	conf_step(&s, OP_EOF, 0, 0, 0);
	conf_step(&s, OP_CLOSE, 0, 0, 0);
	app_listen(t.b, 4, 80, &s);
	f = (struct forger){ .w = t.w,
			     .victim = kind == 2 ? t.a : t.b,
			     .as = kind == 2 ? t.b : t.a,
			     .gap_ns = 10 * USEC,
			     .until_ns = 60 * SEC,
			     .port = kind == 2 ? 4000 : 80,
			     .client_port = kind == 2 ? 80 : 4000,
			     .kind = kind };
	wire_free(t.w->wire); /* it would take what is forged for the peer's */
	t.w->wire = NULL;
	t.w->lost_at_sea = true; /* answers to addresses that nobody has */
	if (kind < 2) {		 /* it begins before */
		t.w->eps_open++;
		sim_at(t.w, SEC, forger_turn, &f);
		sim_run_until(t.w, SEC + 100 * MSEC);
		t.w->eps_open--;
	}
	e = app_connect(t.a, 4, 4000, t.b, 80, &c);
	/* before the client is open, a SYN of anybody opens it from both sides
	   (RFC 9293 section 3.5): there is no defence against that */
	if (kind == 2)
		sim_at(t.w, t.w->now_ns + 10 * MSEC, forger_turn, &f);
	sim_run(t.w);
	sum = (double)(e->end_ns - e->open_ns) / 1e9;
	utcp_usage(t.b->u, &usage);
	*mem = usage.mem_bytes;
	sim_settle(t.w);
	all_is_back(t.w);
	sim_end(t.w);
	return sum;
}

void
case_attack(uint64_t seed)
{
	uint64_t mem, quiet_mem;
	double quiet = served(seed, 3, &quiet_mem);
	unsigned int kind = (unsigned int)(seed - 1) % 3;
	double took = served(seed, kind, &mem);

	if (sim_verbose)
		printf("attack seed %llu: kind %u: %.3f s, quiet %.3f s, %llu "
		       "and %llu bytes\n",
		       (unsigned long long)seed, kind, took, quiet,
		       (unsigned long long)mem, (unsigned long long)quiet_mem);
	if (took > quiet * 1.1 || mem > quiet_mem + 400000)
		sim_fail(sim_new("attack", seed),
			 "kind %u: %.3f s, quiet %.3f s, %llu and %llu bytes",
			 kind, took, quiet, (unsigned long long)mem,
			 (unsigned long long)quiet_mem);
}

/* ---- peers that vanish ------------------------------------------------------------------ */

/* What each end does when the link is cut for ever, and what it is told. */
void
case_vanish(uint64_t seed)
{
	struct pipe_conf pipe = { .rate_bps = 100 * MBPS,
				  .queue_bytes = 200000 };
	struct ep_conf c = { 0 }, s = { 0 };
	struct node_conf node = { 0 };
	struct rng r = { seed };
	bool keep = rng_chance(&r, 0.5), timeout = rng_chance(&r, 0.5);
	bool close = rng_chance(&r, 0.3);
	struct two t;

	pipe.delay_ns = rng_log(&r, 50 * USEC, 50 * MSEC);
	pipe.dead_from_ns = SEC + rng_log(&r, MSEC, 3 * SEC);
	pipe.dead_to_ns = UTCP_NEVER;
	two_nodes(&t, "vanish", seed, &pipe, &node);
	t.w->stall_ns = 200 * MINUTE;
	sim_say(t.w, " at %.3f s, delay %.3f ms%s%s%s",
		(double)pipe.dead_from_ns / 1e9, (double)pipe.delay_ns / 1e6,
		keep ? ", keepalive" : "", timeout ? ", user timeout" : "",
		close ? ", closes" : "");
	c.may_fail = s.may_fail = true;
	/* who only waits learns by keepalive alone */
	conf_opt(&s, UTCP_OPT_KEEPALIVE, 1);
	conf_opt(&s, UTCP_OPT_KEEPIDLE_NS, 10 * SEC);
	conf_opt(&s, UTCP_OPT_KEEPINTVL_NS, SEC);
	if (keep) {
		conf_opt(&c, UTCP_OPT_KEEPALIVE, 1);
		conf_opt(&c, UTCP_OPT_KEEPIDLE_NS, 20 * SEC);
	}
	if (timeout)
		conf_opt(&c, UTCP_OPT_USER_TIMEOUT_NS, 30 * SEC);
	conf_opt(&c, UTCP_OPT_FIN_TIMEOUT_NS, 30 * SEC);
	if (close) {
		conf_step(&c, OP_XFER, rng_log(&r, 1, 3 * MB), 0, 0);
		conf_step(&c, OP_CLOSE, 0, 0, 0);
	} else {
		conf_step(&c, OP_FOREVER, 0, 0, 0);
	}
	conf_step(&s, OP_SINK, 0, 0, 0);
	conf_step(&s, OP_CLOSE, 0, 0, 0);
	app_listen(t.b, 4, 80, &s);
	app_connect_at(t.a, 4, t.b, 80, &c, SEC + rng_below(&r, SEC));
	sim_run(t.w);
	sim_settle(t.w);
	all_is_back(t.w);
	sim_end(t.w);
}
