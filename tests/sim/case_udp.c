/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_udp.c: datagrams of all sizes, one by one and many in one send, in
 * fragments where they must be; what comes is whole and what was sent, and on a
 * clean link all of it comes, once.
 */
#include "cases.h"

#define PORT 5353
#define HEAD 12 /* number, length, hash of both */
#define BATCH_MAX 60000

struct talker {
	struct handler h;
	struct node *node, *peer;
	utcp_udp_t *s;
	struct rng rng;
	int family;
	uint32_t left, sent, got, refused, size_max;
	uint64_t gap_ns;
	uint8_t *seen; /* of the peer's datagrams, a bit each */
	struct talker *other;
};

static uint32_t
hash_of(uint32_t number, uint32_t len)
{
	struct rng r = { (uint64_t)number << 32 | len };

	return (uint32_t)rng_next(&r);
}

static void
fill(uint8_t *to, uint32_t number, uint32_t len)
{
	const uint8_t *p;
	size_t n;
	uint32_t at;

	put32(to, number);
	put32(to + 4, len);
	put32(to + 8, hash_of(number, len));
	for (at = HEAD; at < len; at += (uint32_t)n) {
		n = len - at;
		p = pattern(number, true, at, &n);
		memcpy(to + at, p, n);
	}
}

static void
take(struct talker *k, const uint8_t *d, size_t len)
{
	struct sim *w = k->node->w;
	uint32_t number;

	SIM_CHECK(w, len >= HEAD && get32(d + 4) == len);
	number = get32(d);
	SIM_CHECK(w, get32(d + 8) == hash_of(number, (uint32_t)len));
	SIM_CHECK(w, pattern_is(number, true, HEAD, d + HEAD, len - HEAD));
	SIM_CHECK(w, number < k->other->sent);
	if ((k->seen[number / 8] & 1 << number % 8) == 0)
		k->got++;
	else
		SIM_CHECK(w, k->node->out->conf.dup > 0);
	k->seen[number / 8] |= (uint8_t)(1 << number % 8);
	w->progress_ns = w->now_ns;
}

static void
talker_ready(struct handler *h, uint32_t ready)
{
	struct talker *k = (struct talker *)h;
	struct sim *w = k->node->w;
	utcp_dgram_t d[4];
	size_t at, part;
	int n, i;

	(void)ready;
	while (k->s != NULL &&
	       (n = utcp_udp_recv(k->s, d,
				  1 + (unsigned int)rng_below(&k->rng, 4))) > 0)
		for (i = 0; i < n; i++) {
			SIM_CHECK(w, d[i].peer.family == k->family &&
					 get16(&d[i].peer.port_be) == PORT);
			for (at = 0; at < d[i].len; at += part) {
				part = d[i].len - at;
				if (d[i].gso_size && part > d[i].gso_size)
					part = d[i].gso_size;
				take(k, (const uint8_t *)d[i].data + at, part);
			}
		}
}

static void
talker_close(struct handler *h)
{
	struct talker *k = (struct talker *)h;

	utcp_udp_close(k->s);
	k->s = NULL;
	free(k->seen);
	k->seen = NULL;
}

/* Sends one datagram, or several of a size in one. */
static void
talk(struct sim *w, void *arg)
{
	static uint8_t buf[BATCH_MAX + 70000];
	struct talker *k = arg;
	utcp_dgram_t d = { .data = buf };
	uint32_t len, n = 1, i;
	int err;

	len = (uint32_t)rng_range(&k->rng, HEAD, k->size_max);
	if (len < 1200 && rng_chance(&k->rng, 0.5)) {
		n = (uint32_t)rng_range(&k->rng, 1, 40);
		if (n > k->left)
			n = k->left;
		d.gso_size = len;
	}
	for (i = 0; i < n; i++)
		fill(buf + i * len, k->sent + i, len);
	d.len = (size_t)n * len;
	d.peer = node_addr(k->peer, k->family, PORT);
	utcp_advance(k->node->u, w->now_ns);
	k->sent += n; /* before: they may come at once */
	err = utcp_udp_send(k->s, &d, 1);
	if (err == 1) {
		k->left -= n;
	} else {
		k->sent -= n;
		k->refused++;
		SIM_CHECK(w, err == -EAGAIN);
	}
	node_kick(k->node);
	if (k->left > 0)
		sim_at(w, w->now_ns + rng_below(&k->rng, k->gap_ns), talk, k);
	else
		w->eps_open--;
}

static struct talker *
talker_new(struct node *n, struct node *peer, int family, struct rng *r,
	   uint32_t size_max)
{
	utcp_addr_t a = { .family = (uint8_t)family };
	struct talker *k = calloc(1, sizeof(*k));

	if (k == NULL)
		abort();
	k->h.ready = talker_ready;
	k->h.close = talker_close;
	k->h.next = n->handlers;
	n->handlers = &k->h;
	k->node = n;
	k->peer = peer;
	k->family = family;
	k->rng.s = rng_next(r);
	k->left = (uint32_t)rng_range(r, 10, 400);
	k->size_max = size_max;
	k->gap_ns = rng_log(r, 100 * USEC, 20 * MSEC);
	/* a stack puts 64 datagrams of a peer together at a time */
	if (size_max > 500 && k->gap_ns < n->out->conf.delay_ns / 2)
		k->gap_ns = n->out->conf.delay_ns / 2;
	k->seen = calloc(1, 100);
	put16(&a.port_be, PORT);
	SIM_CHECK(n->w, utcp_udp_open(n->u, family, &k->s) == 0);
	utcp_udp_set_user(k->s, k);
	SIM_CHECK(n->w, utcp_udp_set(k->s, UTCP_OPT_RCVBUF, 1 << 28) == 0);
	SIM_CHECK(n->w, utcp_udp_set(k->s, UTCP_OPT_SNDBUF, 1 << 28) == 0);
	SIM_CHECK(n->w, utcp_udp_set(k->s, UTCP_OPT_PMTUD, 0) == 0);
	SIM_CHECK(n->w, utcp_udp_bind(k->s, &a) == 0);
	n->w->eps_open++;
	sim_at(n->w, SEC, talk, k);
	return k;
}

void
case_udp(uint64_t seed)
{
	struct pipe_conf pipe = { .rate_bps = GBPS };
	struct node_conf node = { 0 };
	struct rng r = { seed };
	struct talker *a, *b;
	uint32_t size_max;
	struct two t;
	int family = rng_chance(&r, 0.5) ? 4 : 6;
	bool bad = rng_chance(&r, 0.5);

	pipe.delay_ns = rng_log(&r, 10 * USEC, 50 * MSEC);
	if (rng_chance(&r, 0.5)) { /* fragments come in any order */
		pipe.jitter_ns = pipe.delay_ns;
		pipe.jitter_reorders = true;
	}
	if (bad) {
		pipe.loss = (double)rng_range(&r, 0, 20) / 100;
		pipe.dup = (double)rng_range(&r, 0, 20) / 100;
	}
	size_max = (uint32_t)rng_log(&r, 100, 60000);
	/* two bits in two fragments are more than a checksum can see */
	if (bad && size_max < 1200 && rng_chance(&r, 0.5))
		pipe.corrupt = (double)rng_range(&r, 0, 5) / 100;
	if (rng_chance(&r, 0.4))
		node.offloads = UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_UDP;
	if (rng_chance(&r, 0.3))
		node.mtu = family == 4 ? 576 : 1280;
	if (rng_chance(&r, 0.3))
		node.poll_ns = 100 * USEC;
	two_nodes(&t, "udp", seed, &pipe, &node);
	sim_say(t.w, " IPv%d to %u bytes, mtu %u%s, loss %.2f dup %.2f", family,
		size_max, node.mtu, pipe.jitter_ns ? ", reordered" : "",
		pipe.loss, pipe.dup);
	a = talker_new(t.a, t.b, family, &r, size_max);
	b = talker_new(t.b, t.a, family, &r, size_max);
	a->other = b;
	b->other = a;
	sim_run(t.w);
	sim_settle(t.w);
	if (!bad && (a->got != b->sent || b->got != a->sent))
		sim_fail(t.w, "of %u and %u datagrams came %u and %u", a->sent,
			 b->sent, b->got, a->got);
	all_is_back(t.w);
	sim_end(t.w);
}
