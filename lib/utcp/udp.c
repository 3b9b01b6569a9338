/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp.c: UDP sockets (RFC 768): datagrams in, calls. udp_output.c sends.
 *
 * What came is queued by reference as long as its packet's memory is lent to
 * the stack, and copied by utcp_retain() if nobody has read it until then. What
 * was read stays, as "lent", while the reader may still look at it.
 */
#include "udp.h"

#define PROTO_UDP 17

#define RCVBUF_DFLT (1u << 20)
#define SNDBUF_DFLT (1u << 20)
#define DGRAM_MAX4 65507 /* 65535 less the headers */
#define DGRAM_MAX6 65527
#define GSO_SEGS_MAX 128

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

/* ---- what comes ------------------------------------------------------------- */

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

	if (s->rx_bytes + cost > s->rcvbuf) {
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
utcp__udp_error(utcp_udp_t *s, int err)
{
	/* Only to who has one peer: others could not tell whose it is. */
	if (s->peer.family == 0)
		return;
	s->error = (int16_t)err;
	utcp__udp_wake(s);
}

void
utcp__udp_mtu(utcp_udp_t *s, uint32_t mtu)
{
	/* The path's MTU is kept by peer; who does not want fragments has
	   something to learn from it. */
	(void)mtu;
	if (s->pmtud == 2)
		utcp__udp_error(s, EMSGSIZE);
}

static void
own_all(utcp_udp_t *s)
{
	struct udp_rx **pp = &s->rx_first, *r;

	s->rx_last = NULL;
	while ((r = *pp) != NULL) {
		if (r->borrowed && r->len > 0) {
			r->own = utcp__alloc_raw(s->u, r->len);
			if (r->own == NULL) {
				COUNT(s->u, DROP_NOMEM);
				*pp = r->next;
				free_rx(s, r);
				continue;
			}
			memcpy(r->own, r->data, r->len);
			r->data = r->own;
		}
		r->borrowed = false;
		s->rx_last = r;
		pp = &r->next;
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

/* ---- calls ------------------------------------------------------------------- */

int
utcp_udp_open(utcp_t *u, int family, utcp_udp_t **out)
{
	utcp_udp_t *s;

	if (u == NULL || out == NULL || (family != 4 && family != 6))
		return -EINVAL;
	s = utcp__alloc(u, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->u = u;
	s->family = (uint8_t)family;
	s->ttl = 64;
	s->pmtud = 1;
	s->rcvbuf = RCVBUF_DFLT;
	s->sndbuf = SNDBUF_DFLT;
	link_init(&s->ready);
	link_init(&s->out);
	link_init(&s->held);
	link_append(&u->udps, &s->all);
	*out = s;
	return 0;
}

void
utcp_udp_close(utcp_udp_t *s)
{
	utcp_t *u;

	if (s == NULL)
		return;
	u = s->u;
	free_lent(s);
	while (s->rx_first != NULL) {
		struct udp_rx *r = s->rx_first;

		s->rx_first = r->next;
		free_rx(s, r);
	}
	utcp__udp_drop_tx(s);
	link_remove(&s->all);
	link_remove(&s->ready);
	link_remove(&s->out);
	link_remove(&s->held);
	if (s->port != NULL) {
		s->port->udp = NULL;
		utcp__port_put(s->port);
	}
	utcp__free(u, s, sizeof(*s));
}

void
utcp__udp_destroy_all(utcp_t *u)
{
	while (!link_empty(&u->udps))
		utcp_udp_close(CONTAINER(u->udps.next, utcp_udp_t, all));
}

static bool
is_wildcard(const utcp_addr_t *a)
{
	static const uint8_t zeros[16];

	return memcmp(a->addr, zeros, 16) == 0;
}

/* An address as others compare it: IPv4 with zeros behind. */
static utcp_addr_t
canon(const utcp_addr_t *a)
{
	utcp_addr_t c = *a;

	c.proto = PROTO_UDP;
	if (c.family == 4)
		memset(c.addr + 4, 0, 12);
	return c;
}

static int
take_port(utcp_udp_t *s, utcp_addr_t *local)
{
	int r;

	r = utcp__port_take(s->u, local, PROTO_UDP, NULL, s->v6only, false,
			    &s->port);
	if (r != 0)
		return r;
	s->port->udp = s;
	s->port->bound_alone = true;
	s->local = *local;
	return 0;
}

int
utcp_udp_bind(utcp_udp_t *s, const utcp_addr_t *local)
{
	utcp_addr_t a;

	if (s == NULL || local == NULL || s->port != NULL)
		return -EINVAL;
	if (local->family != s->family)
		return -EAFNOSUPPORT;
	a = canon(local);
	return take_port(s, &a);
}

static int
autobind(utcp_udp_t *s)
{
	utcp_addr_t any = { .family = s->family, .proto = PROTO_UDP };

	return s->port != NULL ? 0 : take_port(s, &any);
}

/* Whether this socket can send to that family. */
static bool
speaks(const utcp_udp_t *s, uint8_t family)
{
	if (family == s->family)
		return true;
	return s->family == 6 && family == 4 && !s->v6only &&
	       is_wildcard(&s->local);
}

/* The source of what goes to `family`. -EADDRNOTAVAIL: there is none. */
static int
source(const utcp_udp_t *s, uint8_t family, const utcp_addr_t *wish,
       uint8_t *addr)
{
	const utcp_t *u = s->u;
	unsigned int i;

	if (wish != NULL && wish->family != 0 && !is_wildcard(wish)) {
		utcp_addr_t w = canon(wish);

		if (w.family != family ||
		    (w.port_be != 0 && w.port_be != s->local.port_be) ||
		    (!is_wildcard(&s->local) &&
		     memcmp(w.addr, s->local.addr, 16) != 0))
			return -EINVAL;
		memcpy(addr, w.addr, 16);
		return 0;
	}
	if (!is_wildcard(&s->local)) {
		memcpy(addr, s->local.addr, 16);
		return 0;
	}
	for (i = 0; i < u->num_addrs; i++) {
		if (u->addrs[i].family == family) {
			memcpy(addr, u->addrs[i].addr, 16);
			return 0;
		}
	}
	return -EADDRNOTAVAIL;
}

int
utcp_udp_connect(utcp_udp_t *s, const utcp_addr_t *peer)
{
	uint8_t src[16];
	int r;

	if (s == NULL || peer == NULL)
		return -EINVAL;
	if (peer->family == 0) {
		memset(&s->peer, 0, sizeof(s->peer));
		return 0;
	}
	if (!speaks(s, peer->family))
		return -EAFNOSUPPORT;
	if (peer->port_be == 0 || is_wildcard(peer))
		return -EINVAL;
	r = source(s, peer->family, NULL, src);
	if (r == 0)
		r = autobind(s);
	if (r == 0)
		s->peer = canon(peer);
	return r;
}

/* Checks one; the key it goes under. */
static int
prepare(utcp_udp_t *s, const utcp_dgram_t *d, struct utcp__key *k)
{
	const utcp_addr_t *peer = d->peer.family != 0 ? &d->peer : &s->peer;
	uint32_t max = peer->family == 4 ? DGRAM_MAX4 : DGRAM_MAX6;
	uint32_t room;
	utcp_addr_t to;
	int r;

	if (d->data == NULL && d->len > 0)
		return -EINVAL;
	if (peer->family == 0)
		return -EDESTADDRREQ;
	if (!speaks(s, peer->family))
		return -EAFNOSUPPORT;
	if (peer->port_be == 0 || is_wildcard(peer))
		return -EINVAL;
	if (d->len > max)
		return -EMSGSIZE;
	if (d->gso_size != 0 &&
	    (d->gso_size > max || d->len > (size_t)d->gso_size * GSO_SEGS_MAX))
		return -EINVAL;
	to = canon(peer);
	memset(k, 0, sizeof(*k));
	k->family = to.family;
	k->proto = PROTO_UDP;
	memcpy(k->raddr, to.addr, 16);
	k->rport_be = to.port_be;
	r = source(s, to.family, &d->local, k->laddr);
	if (r == 0)
		r = autobind(s);
	k->lport_be = s->local.port_be;
	if (r == 0 && s->pmtud == 2) {
		room = utcp__path_mtu(s->u, k->raddr, k->family) -
		       (k->family == 4 ? 28 : 48);
		if (d->gso_size != 0 && d->gso_size < d->len
			? d->gso_size > room
			: d->len > room)
			return -EMSGSIZE;
	}
	return r;
}

static int
take_error(utcp_udp_t *s)
{
	int err = s->error;

	s->error = 0;
	return -err;
}

int
utcp_udp_send(utcp_udp_t *s, const utcp_dgram_t *dgrams, unsigned int n)
{
	struct utcp__key k;
	unsigned int i;
	int r = 0;

	if (s == NULL || (dgrams == NULL && n > 0) || n > INT32_MAX)
		return -EINVAL;
	if (s->error != 0)
		return take_error(s);
	for (i = 0; i < n; i++) {
		r = prepare(s, &dgrams[i], &k);
		if (r == 0)
			r = utcp__udp_queue(s, &dgrams[i], &k);
		if (r != 0)
			break;
	}
	return i > 0 ? (int)i : r;
}

int
utcp_udp_recv(utcp_udp_t *s, utcp_dgram_t *dgrams, unsigned int n)
{
	struct udp_rx *r;
	unsigned int i, num = 0;

	if (s == NULL || (dgrams == NULL && n > 0) || n > INT32_MAX)
		return -EINVAL;
	if (s->error != 0)
		return take_error(s);
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

uint32_t
utcp_udp_poll(const utcp_udp_t *s)
{
	uint32_t ready = 0;

	if (s == NULL)
		return 0;
	if (s->rx_first != NULL)
		ready |= UTCP_IN;
	if (s->tx_bytes < s->sndbuf)
		ready |= UTCP_OUT;
	if (s->error != 0)
		ready |= UTCP_ERR;
	return ready;
}

int
utcp__udp_events(utcp_t *u, utcp_event_t *ev, unsigned int n)
{
	unsigned int num = 0;

	while (num < n && !link_empty(&u->udp_ready)) {
		utcp_udp_t *s = CONTAINER(u->udp_ready.next, utcp_udp_t, ready);

		link_remove(&s->ready);
		memset(&ev[num], 0, sizeof(ev[num]));
		ev[num].udp = s;
		ev[num].user = s->user;
		ev[num].ready = utcp_udp_poll(s);
		if (ev[num].ready != 0)
			num++;
	}
	return (int)num;
}

int
utcp_udp_getsockname(const utcp_udp_t *s, utcp_addr_t *addr)
{
	if (s == NULL || addr == NULL || s->port == NULL)
		return -EINVAL;
	*addr = s->local;
	if (s->peer.family != 0 && is_wildcard(addr)) {
		if (source(s, s->peer.family, NULL, addr->addr) != 0)
			return -EADDRNOTAVAIL;
		addr->family = s->peer.family;
	}
	return 0;
}

void
utcp_udp_set_user(utcp_udp_t *s, void *user)
{
	if (s != NULL)
		s->user = user;
}

void *
utcp_udp_user(const utcp_udp_t *s)
{
	return s != NULL ? s->user : NULL;
}

int
utcp_udp_set(utcp_udp_t *s, int opt, int64_t value)
{
	int r;

	if (s == NULL)
		return -EINVAL;
	r = utcp__opt_check(opt, value);
	if (r != 0)
		return r;
	switch (opt) {
	case UTCP_OPT_SNDBUF:
		s->sndbuf = value != 0 ? (uint32_t)value : SNDBUF_DFLT;
		return 0;
	case UTCP_OPT_RCVBUF:
		s->rcvbuf = value != 0 ? (uint32_t)value : RCVBUF_DFLT;
		return 0;
	case UTCP_OPT_DSCP:
		s->dscp = (uint8_t)value;
		return 0;
	case UTCP_OPT_TTL:
		s->ttl = (uint8_t)value;
		return 0;
	case UTCP_OPT_V6ONLY:
		if (s->port != NULL)
			return -EISCONN;
		s->v6only = value != 0;
		return 0;
	case UTCP_OPT_PMTUD:
		s->pmtud = (uint8_t)value;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

int
utcp_udp_get(utcp_udp_t *s, int opt, int64_t *value)
{
	if (s == NULL || value == NULL)
		return -EINVAL;
	switch (opt) {
	case UTCP_OPT_SNDBUF:
		*value = s->sndbuf;
		return 0;
	case UTCP_OPT_RCVBUF:
		*value = s->rcvbuf;
		return 0;
	case UTCP_OPT_DSCP:
		*value = s->dscp;
		return 0;
	case UTCP_OPT_TTL:
		*value = s->ttl;
		return 0;
	case UTCP_OPT_V6ONLY:
		*value = s->v6only;
		return 0;
	case UTCP_OPT_PMTUD:
		*value = s->pmtud;
		return 0;
	case UTCP_OPT_ERROR:
		*value = -take_error(s);
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}
