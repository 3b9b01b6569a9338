/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp_output.c: datagrams out: one by one, many in one (GSO), or, where one is
 * longer than the path takes, in fragments.
 */
#include "tcp_output.h"
#include "udp.h"

#define UDP_HEAD 8
#define TURN 16	 /* packets of one socket, before the next has its turn */
#define MIN4 552 /* a path so narrow gets no DF: see tcp_mtu.c */
#define GSO_SEGS_MAX 64 /* in one packet: what Linux takes everywhere */

enum sent {
	SENT,  /* a packet */
	FULL,  /* no room for it */
	EMPTY, /* nothing more to send */
};

static inline uint32_t
cost_of(const struct udp_tx *t)
{
	return (uint32_t)sizeof(*t) + t->len;
}

static inline uint32_t
l3_of(const struct udp_tx *t)
{
	return t->key.family == 4 ? 20 : 40;
}

int
utcp__udp_queue(utcp_udp_t *s, const utcp_dgram_t *d, const struct utcp__key *k)
{
	uint32_t cost = (uint32_t)(sizeof(struct udp_tx) + d->len);
	struct udp_tx *t;

	if (s->tx_bytes > 0 && s->tx_bytes + cost > s->sndbuf) {
		s->was_full = true;
		return -EAGAIN;
	}
	if (utcp__udp_over(s->u, cost))
		return -ENOMEM;
	t = utcp__alloc_raw(s->u, cost);
	if (t == NULL)
		return -ENOMEM;
	memset(t, 0, sizeof(*t));
	t->key = *k;
	t->len = (uint32_t)d->len;
	t->gso_size = d->gso_size < t->len ? d->gso_size : 0;
	t->tos = d->tos >> 2 != 0 ? d->tos : (uint8_t)(s->dscp << 2 | d->tos);
	t->ttl = d->ttl != 0 ? d->ttl : s->ttl;
	if (d->len > 0)
		memcpy(t->data, d->data, d->len);
	if (s->tx_last != NULL)
		s->tx_last->next = t;
	else
		s->tx_first = t;
	s->tx_last = t;
	s->tx_bytes += cost;
	s->u->buffered_bytes += cost;
	if (link_empty(&s->out))
		link_append(&s->u->udp_outq, &s->out);
	return 0;
}

static void
pop(utcp_udp_t *s)
{
	struct udp_tx *t = s->tx_first;

	s->tx_first = t->next;
	if (t->next == NULL)
		s->tx_last = NULL;
	s->tx_bytes -= cost_of(t);
	s->u->buffered_bytes -= cost_of(t);
	utcp__free(s->u, t, cost_of(t));
	if (s->was_full && s->tx_bytes < s->sndbuf) {
		s->was_full = false;
		utcp__udp_wake(s);
	}
}

void
utcp__udp_drop_tx(utcp_udp_t *s)
{
	s->was_full = false;
	while (s->tx_first != NULL)
		pop(s);
}

static void
header(uint8_t *udp, const struct utcp__key *k, uint32_t bytes)
{
	memcpy(udp, &k->lport_be, 2);
	memcpy(udp + 2, &k->rport_be, 2);
	put16(udp + 4, bytes);
	udp[6] = udp[7] = 0;
}

/* n bytes from t->done on: one datagram, or several of gso_size. */
static enum sent
send_whole(utcp_udp_t *s, struct utcp__out *o, struct udp_tx *t, uint32_t n,
	   uint32_t gso_size, uint32_t mtu)
{
	bool df = s->pmtud != 0 && mtu > MIN4;
	uint8_t *udp;

	udp = utcp__out_begin(o, &t->key, UDP_HEAD, n);
	if (udp == NULL)
		return FULL;
	header(udp, &t->key, UDP_HEAD + n);
	utcp__out_data(o, t->data + t->done, n);
	utcp__out_end(o, PROTO_UDP, t->tos, t->ttl, df, 6, (uint16_t)gso_size);
	COUNT_N(s->u, UDP_OUT,
		n > gso_size && gso_size != 0 ? (n + gso_size - 1) / gso_size
					      : 1);
	t->done += n;
	return SENT;
}

static uint16_t
whole_sum(const struct udp_tx *t, const uint8_t *udp, uint32_t n)
{
	uint64_t sum;
	uint16_t c;

	sum = utcp__sum_pseudo(&t->key, PROTO_UDP, UDP_HEAD + n);
	sum = utcp__sum(udp, UDP_HEAD, sum);
	c = (uint16_t)~utcp__sum_fold(utcp__sum(t->data + t->done, n, sum));
	return c != 0 ? c : 0xffff;
}

/* The next fragment of a datagram of n bytes from t->done on (RFC 791 section
   2.3, RFC 8200 section 4.5). The checksum goes over all of it. */
static enum sent
send_fragment(utcp_udp_t *s, struct utcp__out *o, struct udp_tx *t, uint32_t n,
	      uint32_t mtu)
{
	uint32_t all = UDP_HEAD + n, from = t->frag_ofs;
	uint32_t max = (mtu - l3_of(t) - (t->key.family == 4 ? 0 : 8)) & ~7u;
	uint32_t bytes = all - from < max ? all - from : max;
	uint32_t head = from == 0 ? UDP_HEAD : 0;
	uint8_t *l4;

	if (from == 0)
		t->frag_id = utcp__frag_id(s->u, &t->key);
	o->frag = true;
	o->frag_more = from + bytes < all;
	o->frag_ofs = (uint16_t)from;
	o->frag_id = t->frag_id;
	l4 = utcp__out_begin(o, &t->key, head, bytes - head);
	if (l4 != NULL) {
		if (head != 0) {
			uint16_t c;

			header(l4, &t->key, all);
			c = whole_sum(t, l4, n);
			memcpy(l4 + 6, &c, 2);
		}
		utcp__out_data(o, t->data + t->done + from + head - UDP_HEAD,
			       bytes - head);
		utcp__out_end(o, PROTO_UDP, t->tos, t->ttl, false, 0xffff, 0);
		t->frag_ofs += bytes;
	}
	o->frag = false;
	if (l4 == NULL)
		return FULL;
	if (t->frag_ofs == all) {
		t->frag_ofs = 0;
		t->done += n;
		COUNT(s->u, UDP_OUT);
	}
	return SENT;
}

/* The next packet of t. */
static enum sent
send_next(utcp_udp_t *s, struct utcp__out *o, struct udp_tx *t)
{
	uint32_t mtu = utcp__path_mtu(s->u, t->key.raddr, t->key.family);
	uint32_t room = mtu - l3_of(t) - UDP_HEAD, left = t->len - t->done, n;
	uint32_t gso = t->gso_size, most;

	if (gso == 0 || gso > left)
		n = left;
	else if (!(s->u->cfg.offloads & UTCP_OFFLOAD_GSO_UDP) || gso > room ||
		 t->frag_ofs != 0)
		n = gso;
	else {
		most = s->u->cfg.gso_max_bytes - l3_of(t) - UDP_HEAD;
		if (most > gso * GSO_SEGS_MAX)
			most = gso * GSO_SEGS_MAX;
		n = most - most % gso;
		if (n < gso)
			n = gso;
		if (n > left)
			n = left;
		return send_whole(s, o, t, n, gso, mtu);
	}
	if (n > room || t->frag_ofs != 0)
		return send_fragment(s, o, t, n, mtu);
	return send_whole(s, o, t, n, 0, mtu);
}

static enum sent
send_one(utcp_udp_t *s, struct utcp__out *o)
{
	struct udp_tx *t = s->tx_first;
	enum sent r;

	if (t == NULL)
		return EMPTY;
	r = send_next(s, o, t);
	if (r == FULL && o->used == 0 && o->num >= UTCP_PKT_PARTS_MAX) {
		/* More buffers than these will not come: it never fits. */
		COUNT(s->u, DROP_NOMEM);
		pop(s);
		return SENT;
	}
	if (r == SENT && t->done == t->len && t->frag_ofs == 0)
		pop(s);
	return r;
}

void
utcp__udp_flush(utcp_t *u, struct utcp__out *o)
{
	while (!link_empty(&u->udp_outq)) {
		utcp_udp_t *s = CONTAINER(u->udp_outq.next, utcp_udp_t, out);
		enum sent r = SENT;
		int i;

		for (i = 0; i < TURN && r == SENT; i++)
			r = send_one(s, o);
		/* Who could not send at all keeps the first place. */
		if (r == FULL && i == 1)
			return;
		link_remove(&s->out);
		if (r != EMPTY)
			link_append(&u->udp_outq, &s->out);
		else if (s->orphan)
			utcp__udp_free(s);
		if (r == FULL)
			return;
	}
}
