/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp_input.c: datagrams in (RFC 768). udp_sock.c has the calls, udp_output.c sends.
 *
 * What came is queued by reference as long as its packet's memory is lent to
 * the stack, and copied by utcp_retain() if nobody has read it until then. What
 * was read stays, as "lent", while the reader may still look at it.
 */
#include "udp.h"

static inline uint32_t
cost_of(const struct udp_rx *r)
{
	return (uint32_t)sizeof(*r) + r->len;
}

static void
free_rx(utcp_udp_t *s, struct udp_rx *r)
{
	s->rx_bytes -= cost_of(r);
	s->u->buffered_bytes -= cost_of(r);
	if (r->own != NULL)
		utcp__free(s->u, r->own, r->len);
	utcp__free(s->u, r, sizeof(*r));
}

static void
free_lent(utcp_udp_t *s)
{
	struct udp_rx *r;

	while ((r = s->lent) != NULL) {
		s->lent = r->next;
		free_rx(s, r);
	}
}

void
utcp__udp_wake(utcp_udp_t *s)
{
	if (link_empty(&s->ready))
		link_append(&s->u->udp_ready, &s->ready);
}

/* ---- what comes -------------------------------------------------------- */

static bool
same_addr(const uint8_t *a, const utcp_addr_t *b, uint8_t family)
{
	return family == b->family && memcmp(a, b->addr, 16) == 0;
}

bool
utcp__udp_takes(const utcp_udp_t *s, const struct utcp__key *k)
{
	return s->peer.family == 0 ||
	       (same_addr(k->raddr, &s->peer, k->family) &&
		k->rport_be == s->peer.port_be);
}

static void
addr_of(utcp_addr_t *a, const uint8_t *addr, uint16_t port_be, uint8_t family)
{
	memcpy(a->addr, addr, 16);
	a->port_be = port_be;
	a->proto = PROTO_UDP;
	a->family = family;
}

/* The data into memory of its own. False: no memory. */
static bool
copy_parts(utcp_t *u, struct udp_rx *r, const struct utcp__in *in)
{
	unsigned int i;
	uint8_t *to;

	r->own = to = utcp__alloc_raw(u, r->len);
	if (to == NULL)
		return false;
	r->data = to;
	for (i = 0; i < in->num_parts; i++) {
		uint32_t skip = i == 0 ? 8 : 0;

		memcpy(to, in->part[i].data + skip, in->part[i].len - skip);
		to += in->part[i].len - skip;
	}
	return true;
}

static void
queue(utcp_udp_t *s, const struct utcp__in *in)
{
	utcp_t *u = s->u;
	uint32_t len = in->l4_bytes - 8;
	uint32_t cost = (uint32_t)sizeof(struct udp_rx) + len;
	struct udp_rx *r;

	/* Nobody sends that, and readers have room for so many. */
	if (in->gso_size != 0 &&
	    len > (uint32_t)in->gso_size * UTCP_DGRAMS_MAX) {
		COUNT(u, DROP_HEADER);
		return;
	}
	/* One is taken in any case: a small buffer is no deaf socket. */
	if (s->rx_bytes > 0 && s->rx_bytes + cost > s->rcvbuf) {
		COUNT(u, DROP_RCVBUF);
		return;
	}
	r = utcp__udp_over(u, cost) ? NULL : utcp__alloc(u, sizeof(*r));
	if (r == NULL) {
		COUNT(u, DROP_NOMEM);
		return;
	}
	r->len = len;
	addr_of(&r->peer, in->key.raddr, in->key.rport_be, in->key.family);
	addr_of(&r->local, in->key.laddr, in->key.lport_be, in->key.family);
	r->gso_size = in->gso_size < len ? in->gso_size : 0;
	r->tos = in->tos;
	r->ttl = in->ttl;
	if (in->borrowed && in->num_parts == 1) {
		r->data = in->l4 + 8;
		r->borrowed = true;
		if (s->rx_borrowed == NULL)
			s->rx_borrowed = r;
		if (link_empty(&s->held))
			link_append(&u->udp_held, &s->held);
	} else if (len > 0 && !copy_parts(u, r, in)) {
		COUNT(u, DROP_NOMEM);
		utcp__free(u, r, sizeof(*r));
		return;
	}
	s->rx_bytes += cost;
	u->buffered_bytes += cost;
	if (s->rx_last != NULL)
		s->rx_last->next = r;
	else
		s->rx_first = r;
	s->rx_last = r;
	COUNT_N(u, UDP_IN,
		r->gso_size != 0 ? (len + r->gso_size - 1) / r->gso_size : 1);
	utcp__udp_wake(s);
}

/* Length and checksum. False: bad, counted. */
static bool
check(utcp_t *u, struct utcp__in *in)
{
	uint32_t len;

	if (in->l4_bytes < 8 || in->part[0].len < 8) {
		COUNT(u, DROP_SHORT);
		return false;
	}
	len = get16(in->l4 + 4);
	if (len < 8 || len > in->l4_bytes) {
		COUNT(u, DROP_SHORT);
		return false;
	}
	utcp__in_trim(in, len);
	if (in->l4[6] == 0 && in->l4[7] == 0) {
		/* None: with IPv6 that is an error (RFC 8200 section 8.1). */
		if (in->key.family == 4 || in->csum_ok)
			return true;
		COUNT(u, DROP_CSUM);
		return false;
	}
	if (!in->csum_ok && !utcp__csum_good(in, PROTO_UDP)) {
		COUNT(u, DROP_CSUM);
		return false;
	}
	return true;
}

void
utcp__udp_input(utcp_t *u, struct utcp__in *in)
{
	utcp_udp_t *s;

	if (!check(u, in))
		return;
	memcpy(&in->key.rport_be, in->l4, 2);
	memcpy(&in->key.lport_be, in->l4 + 2, 2);
	s = utcp__find_udp(u, &in->key);
	if (s == NULL || !utcp__udp_takes(s, &in->key)) {
		COUNT(u, DROP_CLOSED);
		/* RFC 1122 section 4.1.3.1, RFC 4443 section 3.1 */
		utcp__icmp_error(u, in, 3, 3, 1, 4);
		return;
	}
	queue(s, in);
}

void
utcp__udp_error(utcp_udp_t *s, int err, bool hard)
{
	/* Only to who has one peer: others could not tell whose it is. RFC 1122
	   section 4.1.3.3 wants all told, but few expect a send to fail since a
	   router was busy: who does asks for it. */
	if (s->peer.family == 0 || !(hard || s->soft_errors)) {
		COUNT(s->u, DROP_STATE);
		return;
	}
	s->error = (int16_t)err;
	utcp__udp_wake(s);
}

/* Takes r out of the queue's middle. */
static void
lose(utcp_udp_t *s, struct udp_rx *r)
{
	struct udp_rx **pp = &s->rx_first, *before = NULL;

	while (*pp != r) {
		before = *pp;
		pp = &before->next;
	}
	*pp = r->next;
	if (s->rx_last == r)
		s->rx_last = before;
	COUNT(s->u, DROP_NOMEM);
	free_rx(s, r);
}

static void
own_all(utcp_udp_t *s)
{
	struct udp_rx *r = s->rx_borrowed, *next;

	s->rx_borrowed = NULL;
	for (; r != NULL; r = next) {
		next = r->next;
		/* One that came in parts among them has its own already. */
		if (!r->borrowed)
			continue;
		r->borrowed = false;
		if (r->len == 0)
			continue;
		r->own = utcp__alloc_raw(s->u, r->len);
		if (r->own == NULL) {
			lose(s, r);
			continue;
		}
		memcpy(r->own, r->data, r->len);
		r->data = r->own;
	}
}

void
utcp__udp_retain(utcp_t *u)
{
	while (!link_empty(&u->udp_held)) {
		utcp_udp_t *s = CONTAINER(u->udp_held.next, utcp_udp_t, held);

		free_lent(s);
		own_all(s);
		link_remove(&s->held);
	}
}

int
utcp_udp_recv(utcp_udp_t *s, utcp_dgram_t *dgrams, unsigned int n)
{
	struct udp_rx *r;
	unsigned int i, num = 0;

	if (s == NULL || (dgrams == NULL && n > 0) || n > INT32_MAX)
		return -EINVAL;
	if (s->error != 0)
		return utcp__udp_take_error(s);
	for (r = s->rx_first; r != NULL && num < n; r = r->next)
		num++;
	if (num < n)
		free_lent(s);
	for (i = 0; i < num; i++) {
		utcp_dgram_t *d = &dgrams[i];

		r = s->rx_first;
		s->rx_first = r->next;
		if (r->next == NULL)
			s->rx_last = NULL;
		if (s->rx_borrowed == r)
			s->rx_borrowed = r->next;
		memset(d, 0, sizeof(*d));
		d->data = r->data;
		d->len = r->len;
		d->peer = r->peer;
		d->local = r->local;
		d->gso_size = r->gso_size;
		d->tos = r->tos;
		d->ttl = r->ttl;
		r->next = s->lent;
		s->lent = r;
	}
	if (num > 0 && link_empty(&s->held))
		link_append(&s->u->udp_held, &s->held);
	return num > 0 || n == 0 ? (int)num : -EAGAIN;
}

void
utcp__udp_drop_rx(utcp_udp_t *s)
{
	free_lent(s);
	while (s->rx_first != NULL) {
		struct udp_rx *r = s->rx_first;

		s->rx_first = r->next;
		free_rx(s, r);
	}
	s->rx_last = s->rx_borrowed = NULL;
}
