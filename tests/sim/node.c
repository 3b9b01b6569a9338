/* SPDX-License-Identifier: BSD-2-Clause */
/* node.c: nodes: a stack each, what comes to it and leaves it. */
#include "sim.h"

#define SPINS_MAX 1000
#define OUT_BUFS 48

/* ---- nodes -------------------------------------------------------------------------- */

static void *
node_alloc(void *arg, size_t bytes)
{
	struct node *n = arg;

	if (n->u != NULL && n->conf.no_memory > 0 &&
	    rng_chance(&n->w->rng, n->conf.no_memory))
		return NULL;
	n->mem += (int64_t)bytes;
	return malloc(bytes);
}

static void
node_release(void *arg, void *mem, size_t bytes)
{
	struct node *n = arg;

	if (mem != NULL)
		n->mem -= (int64_t)bytes;
	free(mem);
}

utcp_addr_t
node_addr(const struct node *n, int family, uint16_t port)
{
	utcp_addr_t a = { .family = (uint8_t)family };

	if (family == 4) {
		a.addr[0] = 10;
		a.addr[3] = (uint8_t)n->nr;
	} else {
		a.addr[0] = 0xfd;
		a.addr[15] = (uint8_t)n->nr;
	}
	put16(&a.port_be, port);
	return a;
}

struct node *
sim_node_of(struct sim *w, const uint8_t *pkt)
{
	unsigned int nr = pkt[0] >> 4 == 4 ? pkt[19] : pkt[39];

	if (pkt[0] >> 4 == 4 && pkt[17] != 0)
		return NULL;
	return nr >= 1 && nr <= w->num_nodes ? w->nodes[nr - 1] : NULL;
}

struct node *
sim_node(struct sim *w, const struct node_conf *conf, struct pipe *out)
{
	struct node *n = calloc(1, sizeof(*n));
	utcp_config_t cfg = { 0 };
	utcp_addr_t a;
	char path[500];
	unsigned int i;
	int family;

	SIM_CHECK(w, n != NULL && w->num_nodes < NODES_MAX);
	n->w = w;
	n->conf = *conf;
	n->out = out;
	n->in_end = &n->in;
	n->wake_ns = UTCP_NEVER;
	w->nodes[w->num_nodes++] = n;
	n->nr = w->num_nodes;
	if (conf->base != NULL)
		cfg = *conf->base;
	cfg.size = sizeof(cfg);
	cfg.mtu = conf->mtu;
	cfg.offloads = conf->offloads;
	cfg.cc = conf->cc;
	cfg.now_ns = w->now_ns + conf->clock_ns;
	cfg.alloc = node_alloc;
	cfg.release = node_release;
	cfg.alloc_arg = n;
	for (i = 0; i < sizeof(cfg.seed); i++)
		cfg.seed[i] = (uint8_t)rng_next(&w->rng);
	SIM_CHECK(w, utcp_create(&n->u, &cfg) == 0);
	for (family = 4; family <= 6; family += 2) {
		a = node_addr(n, family, 0);
		SIM_CHECK(w, utcp_address(n->u, &a, 1) == 0);
	}
	if (sim_extend != NULL)
		sim_extend(w, n);
	if (sim_pcap_dir != NULL) {
		snprintf(path, sizeof(path), "%s/sim-%s-%llu-node%u.pcapng",
			 sim_pcap_dir, w->group, (unsigned long long)w->seed,
			 n->nr);
		n->pcap = mssim__pcapng_open(path);
		if (n->pcap == NULL)
			perror(path);
		else
			printf("  trace: %s\n", path);
	}
	return n;
}

/* Has the stack send; returns whether it did. */
static bool
node_output(struct node *n)
{
	static uint8_t bufs[OUT_BUFS][2048];
	utcp_pkt_t el[OUT_BUFS];
	struct sim *w = n->w;
	unsigned int i, j;
	bool sent = false;
	int num;

	for (;;) {
		memset(el, 0, sizeof(el));
		for (i = 0; i < OUT_BUFS; i++) {
			el[i].data = bufs[i];
			el[i].len = sizeof(bufs[i]);
		}
		num = utcp_output(n->u, el, OUT_BUFS);
		if (num < 0 || num > OUT_BUFS)
			sim_fail(w, "utcp_output: %d", num);
		if (num == 0)
			return sent;
		sent = true;
		for (i = 0; i < (unsigned int)num; i = j + 1) {
			for (j = i; (el[j].flags & UTCP_PKT_MORE) != 0; j++)
				if (j + 1 == (unsigned int)num)
					sim_fail(w, "a packet without an end");
			pipe_send_pkt(n->out, n, &el[i], j + 1 - i);
		}
	}
}

static void
wake(struct sim *w, void *arg)
{
	struct node *n = arg;

	if (n->wake_ns > w->now_ns)
		return; /* it was put off, or another has done it */
	n->wake_ns = UTCP_NEVER;
	node_kick(n);
}

static uint64_t
node_now(const struct node *n)
{
	return n->w->now_ns + n->conf.clock_ns;
}

/* Events, application, output, the next timer: after input or advance. */
static void
node_finish(struct node *n)
{
	struct sim *w = n->w;
	uint64_t next;
	bool sent;

	app_events(n);
	sent = node_output(n);
	next = utcp_next_ns(n->u);
	if (next == UTCP_NEVER)
		return;
	next = next < node_now(n) ? w->now_ns : next - n->conf.clock_ns;
	if (next > w->now_ns || sent || n->spin_ns != w->now_ns) {
		n->spins = 0;
		n->spin_ns = w->now_ns;
	} else if (++n->spins > SPINS_MAX) {
		sim_fail(w,
			 "10.0.0.%u spins: utcp_next_ns is now, and nothing "
			 "happens",
			 n->nr);
	}
	if (next < n->wake_ns) {
		n->wake_ns = next;
		sim_at(w, next, wake, n);
	}
}

void
node_kick(struct node *n)
{
	utcp_advance(n->u, node_now(n));
	node_finish(n);
}

/* ---- packets in -------------------------------------------------------------------------- */

/* Whether b goes on where a (the last of a merge that began with first) ends,
   as GRO sees it; l4 header bytes, payload. */
static bool
follows(const struct packet *first, const struct packet *a,
	const struct packet *b)
{
	uint32_t l3 = 20, l4 = (uint32_t)(a->data[32] >> 4) * 4;
	const uint8_t *x = a->data + l3, *y = b->data + l3;

	if (b->len < 40 || b->data[0] != 0x45 || b->data[9] != 6 ||
	    memcmp(a->data + 12, b->data + 12, 8) != 0 ||
	    a->data[1] != b->data[1] || b->len <= l3 + l4 ||
	    a->len != first->len || b->len > first->len)
		return false;
	if (memcmp(x, y, 4) != 0 || memcmp(x + 8, y + 8, 5) != 0 ||
	    (y[13] & ~TH_PSH) != x[13] || (x[13] & ~TH_ECE) != TH_ACK ||
	    memcmp(x + 14, y + 14, 2) != 0 ||
	    memcmp(x + 20, y + 20, l4 - 20) != 0)
		return false;
	return get32(y + 4) == get32(x + 4) + a->len - l3 - l4 &&
	       get16(b->data + 2) == b->len &&
	       sim_sum(b->data + l3, b->len - l3,
		       sim_pseudo(b->data, b->len - l3, 6)) == 0xffff &&
	       sim_sum(b->data, 20, 0) == 0xffff;
}

/* Fills el with the first of the list p, and, merged with it, those that
   follow. Returns how many. */
static unsigned int
merge(struct node *n, struct packet *p, utcp_pkt_t *el)
{
	struct packet *last = p;
	unsigned int num = 1;
	uint32_t skip, total = p->len;

	memset(el, 0, sizeof(*el));
	el->data = p->data;
	el->len = p->len;
	if (!n->conf.merge || p->len < 40)
		return 1;
	if (p->data[0] != 0x45 || p->data[9] != 6 ||
	    (p->data[33] & ~TH_ECE) != TH_ACK || get16(p->data + 2) != p->len ||
	    sim_sum(p->data, 20, 0) != 0xffff)
		return 1;
	skip = 20 + (uint32_t)(p->data[32] >> 4) * 4;
	if (skip < 40 || p->len <= skip ||
	    sim_sum(p->data + 20, p->len - 20,
		    sim_pseudo(p->data, p->len - 20, 6)) != 0xffff)
		return 1;
	while (last->next != NULL && num < UTCP_PKT_PARTS_MAX &&
	       total + last->next->len < 65535 &&
	       follows(p, last, last->next)) {
		last = last->next;
		memset(&el[num], 0, sizeof(*el));
		el[num - 1].flags |= UTCP_PKT_MORE;
		el[num].data = last->data + skip;
		el[num].len = last->len - skip;
		total += el[num++].len;
	}
	if (num == 1)
		return 1;
	el->gso_type = UTCP_GSO_TCP4;
	el->gso_size = (uint16_t)(p->len - skip);
	el->flags |= UTCP_PKT_CSUM_OK;
	p->data[33] |= last->data[33] & TH_PSH;
	put16(p->data + 2, total);
	put16(p->data + 10, 0);
	put16(p->data + 10, (uint16_t)~sim_sum(p->data, 20, 0));
	return num;
}

/* Gives the stack the packets that have come. */
static void
node_input(struct node *n)
{
	utcp_pkt_t el[UTCP_PKT_PARTS_MAX];
	struct packet *list = n->in, *p;
	struct sim *w = n->w;
	unsigned int num, i;
	int err;

	n->in = NULL;
	n->in_end = &n->in;
	utcp_advance(n->u, node_now(n));
	for (p = list; p != NULL;) {
		num = merge(n, p, el);
		err = utcp_input(n->u, el, num);
		if (err != 0)
			sim_fail(w, "utcp_input: %d", err);
		for (i = 0; i < num; i++)
			p = p->next;
	}
	app_events(n);
	utcp_retain(n->u);
	while ((p = list) != NULL) {
		list = p->next;
		/* who reads it later reads this */
		memset(p->data, 0xdb, p->len);
		packet_free(w, p);
	}
	node_finish(n);
}

static void
poll_node(struct sim *w, void *arg)
{
	struct node *n = arg;

	n->poll_set = false;
	node_input(n);
}

void
node_trace(struct node *n, const struct packet *p, bool out)
{
	mssim__pcapng_write(n->pcap, n->w->now_ns, p->data, p->len, out);
	/* the process may end at any time */
	mssim__pcapng_flush(n->pcap);
}

void
node_arrive(struct node *n, struct packet *p)
{
	struct sim *w = n->w;

	node_trace(n, p, false);
	if (w->wire != NULL)
		wire_in(w, n, p);
	p->next = NULL;
	*n->in_end = p;
	n->in_end = &p->next;
	if (n->conf.poll_ns == 0) {
		node_input(n);
	} else if (!n->poll_set) {
		n->poll_set = true;
		sim_at(w, w->now_ns + rng_below(&w->rng, n->conf.poll_ns),
		       poll_node, n);
	}
}
