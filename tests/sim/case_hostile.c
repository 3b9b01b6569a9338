/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_hostile.c: a client is served, while another, or who sits on its path,
 * does what it can against the server. The client notices little, and the
 * server's memory stays bounded.
 */
#include "cases.h"

#define EVIL 40	    /* connections of the other */
#define ROUNDS 60   /* of the client's exchange */
#define SAMPLE MSEC /* how often memory is looked at */

enum kind {
	QUIET,
	ACK_STORM,    /* on path: both ends are told data that nobody sent */
	SILLY_READER, /* reads a byte at a time, asks for small segments */
	NO_READER,    /* asks for all, reads nothing */
	OVERLAP,      /* other data for the same place, bytes here and there */
	MAD_OPTIONS,  /* on segments that fit */
	BLIND_ICMP,   /* errors about what was not sent */
	FRAGMENTS,    /* of datagrams that never end */
	SYN_RATE,     /* as fast as a gigabit carries them */
	KINDS,
};

static const struct {
	const char *name;
	uint64_t gap_ns; /* between acts */
	uint64_t memory; /* bytes that it may cost, at any time */
} kinds[] = {
	[QUIET] = { "quiet", 0, 0 },
	[ACK_STORM] = { "ACK storm", MSEC, 100 * KB },
	[SILLY_READER] = { "silly reader", 0, 4 * MB },
	[NO_READER] = { "no reader", 0, 4 * MB },
	[OVERLAP] = { "overlap", 20 * USEC, 6 * MB },
	[MAD_OPTIONS] = { "options", 20 * USEC, 100 * KB },
	[BLIND_ICMP] = { "blind ICMP", 10 * USEC, 100 * KB },
	[FRAGMENTS] = { "fragments", 10 * USEC, 1 * MB },
	[SYN_RATE] = { "SYNs at rate", 672, 500 * KB },
};

struct hostile {
	struct sim *w;
	enum kind kind;
	struct node *client, *server, *evil;
	struct ep *good;
	/* both ends of the other's connections */
	struct ep *near[EVIL], *far[EVIL];
	uint64_t mem_most, acts;
};

/* ---- packets ---------------------------------------------------------------------- */

/* A packet of IPv4 with `bytes` behind its header, which are for the caller. */
static struct packet *
packet4(struct sim *w, const struct node *from, const struct node *to,
	uint8_t proto, uint32_t bytes)
{
	struct packet *p = packet_new(w, 20 + bytes);
	utcp_addr_t s = node_addr(from, 4, 0), d = node_addr(to, 4, 0);
	uint8_t *b = p->data;

	memset(b, 0, p->len);
	b[0] = 0x45;
	put16(b + 2, p->len);
	b[8] = 64;
	b[9] = proto;
	memcpy(b + 12, s.addr, 4);
	memcpy(b + 16, d.addr, 4);
	return p;
}

/* It arrives, with its checksums. */
static void
arrives(struct hostile *h, struct packet *p, struct node *at)
{
	uint8_t *b = p->data;
	uint32_t n = p->len - 20, ofs = b[9] == 6 ? 16 : b[9] == 1 ? 2 : 0;
	uint32_t sum = b[9] == 1 ? 0 : sim_pseudo(b, n, b[9]);

	put16(b + 10, (uint16_t)~sim_sum(b, 20, 0));
	if (ofs != 0 && (get16(b + 6) & 0x3fff) == 0)
		put16(b + 20 + ofs, (uint16_t)~sim_sum(b + 20, n, sum));
	p->corrupt = true;
	p->to = at;
	sim_at(h->w, h->w->now_ns, packet_event, p);
}

/* A segment to e's end as from its peer: at `at` from what it expects, with
   `bytes` of noise, acknowledging what it sent. */
static void
segment(struct hostile *h, struct ep *e, uint32_t at, uint32_t opt_bytes,
	uint32_t bytes)
{
	struct node *from = e->node == h->server ? h->evil : h->server;
	utcp_info_t info;
	utcp_addr_t l, r;
	struct packet *p;
	uint8_t *t;
	uint32_t i;

	if (e->s == NULL || utcp_getsockname(e->s, &l) != 0 ||
	    utcp_getpeername(e->s, &r) != 0)
		return;
	info = app_info(e);
	p = packet4(h->w, from, e->node, 6, 20 + opt_bytes + bytes);
	t = p->data + 20;
	memcpy(t, &r.port_be, 2);
	memcpy(t + 2, &l.port_be, 2);
	put32(t + 4, info.rcv_nxt + at);
	put32(t + 8, info.snd_una);
	t[12] = (uint8_t)((20 + opt_bytes) << 2);
	t[13] = TH_ACK;
	put16(t + 14, 2000);
	for (i = 20; i < 20 + opt_bytes + bytes; i++)
		t[i] = (uint8_t)rng_next(&h->w->rng);
	arrives(h, p, e->node);
}

static void
icmp(struct hostile *h)
{
	static const uint8_t types[][2] = { { 3, 1 }, { 3, 2 },	 { 3, 3 },
					    { 3, 4 }, { 11, 0 }, { 12, 0 } };
	struct rng *r = &h->w->rng;
	struct packet *p = packet4(h->w, h->evil, h->server, 1, 8 + 28);
	struct packet *q = packet4(h->w, h->server, h->client, 6, 20);
	const uint8_t *kind = types[rng_below(r, 6)];
	uint8_t *b = p->data + 20;

	b[0] = kind[0];
	b[1] = kind[1];
	put16(b + 6, rng_chance(r, 0.5) ? 68 : (uint32_t)rng_below(r, 1500));
	memcpy(b + 8, q->data, 20);
	put16(b + 28, 80);
	put16(b + 30, 4000);
	put32(b + 32, (uint32_t)rng_next(r));
	packet_free(h->w, q);
	arrives(h, p, h->server);
}

static void
a_fragment(struct hostile *h)
{
	struct rng *r = &h->w->rng;
	struct packet *p;

	p = packet4(h->w, h->evil, h->server, rng_chance(r, 0.5) ? 17 : 6,
		    8 * (uint32_t)rng_range(r, 1, 180));
	put16(p->data + 4, (uint32_t)rng_below(r, 3000));
	put16(p->data + 6, 0x2000 | (uint32_t)rng_below(r, 8000));
	arrives(h, p, h->server);
}

static void
a_syn(struct hostile *h)
{
	struct rng *r = &h->w->rng;
	struct packet *p = packet4(h->w, h->evil, h->server, 6, 20);
	uint8_t *b = p->data;

	put32(b + 12, 0x0a000000 | (uint32_t)rng_range(r, 1 << 16, 1 << 24));
	put16(b + 20, (uint32_t)rng_range(r, 1024, 65535));
	put16(b + 22, 80);
	put32(b + 24, (uint32_t)rng_next(r));
	b[32] = 5 << 4;
	b[33] = TH_SYN;
	put16(b + 34, 65535);
	arrives(h, p, h->server);
}

/* ---- what the other does, again and again --------------------------------------------- */

static void
one_act(struct hostile *h)
{
	struct rng *r = &h->w->rng;
	uint64_t i = rng_below(r, EVIL);

	switch (h->kind) {
	case ACK_STORM:
		segment(h, h->near[i], 0, 0, 10);
		segment(h, h->far[i], 0, 0, 10);
		break;
	case OVERLAP:
		segment(h, h->near[i], (uint32_t)rng_below(r, 65000), 0,
			(uint32_t)rng_log(r, 1, 1400));
		break;
	case MAD_OPTIONS:
		segment(h, h->near[i], 0, 4 * (uint32_t)rng_range(r, 1, 10),
			(uint32_t)rng_below(r, 3));
		break;
	case BLIND_ICMP:
		icmp(h);
		break;
	case FRAGMENTS:
		a_fragment(h);
		break;
	case SYN_RATE:
		a_syn(h);
		break;
	default:
		break;
	}
	h->acts++;
}

static void
act(struct sim *w, void *arg)
{
	struct hostile *h = arg;

	if (h->good != NULL && h->good->ended)
		return;
	one_act(h);
	sim_at(w, w->now_ns + kinds[h->kind].gap_ns, act, h);
}

/* Looks at the server's memory, while the client is served. */
static void
sample(struct sim *w, void *arg)
{
	struct hostile *h = arg;
	utcp_usage_t usage;

	utcp_usage(h->server->u, &usage);
	if (usage.mem_bytes > h->mem_most)
		h->mem_most = usage.mem_bytes;
	if (h->good == NULL || !h->good->ended)
		sim_at(w, w->now_ns + SAMPLE, sample, h);
}

/* ---- the world ------------------------------------------------------------------------- */

static void
begin_world(struct hostile *h, uint64_t seed)
{
	struct pipe_conf pipe = { .rate_bps = GBPS,
				  .delay_ns = 2 * MSEC,
				  .queue_bytes = 1 * MB };
	utcp_config_t cfg = { .max_syns = 1024 };
	struct node_conf node = { .base = &cfg };
	struct sim *w = sim_new("hostile", seed);

	h->w = w;
	h->client = sim_node(w, &node, sim_pipe(w, "client", &pipe));
	h->evil = sim_node(w, &node, sim_pipe(w, "evil", &pipe));
	pipe.rate_bps = 0; /* each has an access of its own */
	h->server = sim_node(w, &node, sim_pipe(w, "server", &pipe));
	wire_free(w->wire); /* it would take what is forged for theirs */
	w->wire = NULL;
	w->lost_at_sea = true; /* answers to addresses that nobody has */
	sim_say(w, " %s", kinds[h->kind].name);
}

/* The other's connections; what they are for depends. */
static void
open_evil(struct hostile *h)
{
	struct ep_conf c = { .may_fail = true }, s = { .may_fail = true };
	struct ep *e;
	unsigned int i;

	c.any_data = s.any_data = true;
	/* what is forged has none */
	conf_opt(&c, UTCP_OPT_TIMESTAMPS, 0);
	if (h->kind == SILLY_READER || h->kind == NO_READER) {
		conf_opt(&c, UTCP_OPT_MAXSEG, 64);
		conf_opt(&c, UTCP_OPT_RCVBUF, 3000);
		c.read_max = 1;
		c.read_gap_ns = h->kind == NO_READER ? MINUTE * 60 : MSEC;
		conf_step(&s, OP_FOREVER, 0, 0, 0);
	} else {
		conf_step(&s, OP_SINK, 0, 0, 0);
	}
	conf_step(&c, OP_SINK, 0, 0, 0);
	app_listen(h->server, 4, 81, &s);
	for (i = 0; i < EVIL; i++)
		h->far[i] = app_connect(h->evil, 4, 0, h->server, 81, &c);
	sim_run_until(h->w, h->w->now_ns + 100 * MSEC);
	for (i = 0, e = h->server->eps; i < EVIL; i++, e = e->next) {
		SIM_CHECK(h->w, e != NULL);
		h->near[i] = e;
	}
}

static void
serve(struct hostile *h)
{
	struct ep_conf c = { 0 }, s = { 0 };
	int i;

	for (i = 0; i < ROUNDS; i++) {
		conf_step(&c, OP_XFER, 20000, 0, 0);
		conf_step(&c, OP_XFER, 0, 50000, 0);
		conf_step(&s, OP_XFER, 0, 20000, 0);
		conf_step(&s, OP_XFER, 50000, 0, 0);
	}
	conf_step(&c, OP_CLOSE, 0, 0, 0);
	conf_step(&s, OP_EOF, 0, 0, 0);
	conf_step(&s, OP_CLOSE, 0, 0, 0);
	app_listen(h->server, 4, 80, &s);
	h->good = app_connect(h->client, 4, 4000, h->server, 80, &c);
	while (!h->good->ended)
		sim_run_until(h->w, h->w->now_ns + 10 * MSEC);
}

/* Seconds that the client's exchange took, with the server's most memory and
   what went over the other's and the server's links. */
static double
hostile(uint64_t seed, enum kind kind, uint64_t *mem, uint64_t *pkts)
{
	struct hostile h = { .kind = kind };
	struct sim *w;
	double took;

	begin_world(&h, seed);
	w = h.w;
	if (kind != QUIET)
		open_evil(&h);
	sim_at(w, w->now_ns, sample, &h);
	if (kinds[kind].gap_ns != 0)
		sim_at(w, w->now_ns, act, &h);
	sim_run_until(w, w->now_ns + 200 * MSEC);
	serve(&h);
	took = (double)(h.good->end_ns - h.good->open_ns) / 1e9;
	*mem = h.mem_most;
	*pkts = w->pipes[1]->pkts;
	/* an act may lead to a few answers, not to a storm */
	if (kind == ACK_STORM && *pkts > 3 * h.acts + 500)
		sim_fail(w, "%llu packets after %llu acts",
			 (unsigned long long)*pkts, (unsigned long long)h.acts);
	sim_end(w);
	return took;
}

void
case_hostile(uint64_t seed)
{
	enum kind kind = (enum kind)(1 + (seed - 1) % (KINDS - 1));
	uint64_t mem, quiet_mem, pkts, quiet_pkts;
	double quiet = hostile(seed, QUIET, &quiet_mem, &quiet_pkts);
	double took = hostile(seed, kind, &mem, &pkts);

	if (sim_verbose)
		printf("hostile seed %llu: %s: %.3f s, quiet %.3f s; %llu and "
		       "%llu bytes; %llu packets of the other\n",
		       (unsigned long long)seed, kinds[kind].name, took, quiet,
		       (unsigned long long)mem, (unsigned long long)quiet_mem,
		       (unsigned long long)pkts);
	if (took > quiet * 1.1 || mem > quiet_mem + kinds[kind].memory)
		sim_fail(sim_new("hostile", seed),
			 "%s: %.3f s, quiet %.3f s; %llu and %llu bytes",
			 kinds[kind].name, took, quiet, (unsigned long long)mem,
			 (unsigned long long)quiet_mem);
}
