/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp_sock.c: the calls on UDP sockets, but for receiving (udp_input.c).
 */
#include "sock.h"
#include "tcp_output.h"
#include "udp.h"

#define RCVBUF_DFLT (1u << 20)
#define SNDBUF_DFLT (1u << 20)
#define DGRAM_MAX4 65507 /* 65535 less the headers */
#define DGRAM_MAX6 65527

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

static utcp_udp_t *sharer(const utcp_udp_t *s, const utcp_addr_t *local);

/* What comes is another's, or nobody's. */
static void
port_leave(utcp_udp_t *s)
{
	if (s->port == NULL || s->port->udp != s)
		return;
	s->port->udp = sharer(s, &s->local);
	s->port->bound_alone = s->port->udp != NULL;
}

void
utcp_udp_close(utcp_udp_t *s)
{
	if (s == NULL)
		return;
	utcp__udp_drop_rx(s);
	link_remove(&s->ready);
	s->was_full = false;
	s->orphan = true;
	port_leave(s);
	if (s->tx_first == NULL)
		utcp__udp_free(s);
}

void
utcp__udp_free(utcp_udp_t *s)
{
	utcp_t *u = s->u;

	utcp__udp_drop_rx(s);
	utcp__udp_drop_tx(s);
	s->orphan = true;
	port_leave(s);
	link_remove(&s->all);
	link_remove(&s->ready);
	link_remove(&s->out);
	link_remove(&s->held);
	if (s->port != NULL)
		utcp__port_put(s->port);
	utcp__free(u, s, sizeof(*s));
}

void
utcp__udp_destroy_all(utcp_t *u)
{
	while (!link_empty(&u->udps))
		utcp__udp_free(CONTAINER(u->udps.next, utcp_udp_t, all));
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

/* Another socket with that address, if both let others have theirs. */
static utcp_udp_t *
sharer(const utcp_udp_t *s, const utcp_addr_t *local)
{
	struct utcp__link *l = s->u->udps.prev;

	for (; s->reuse && l != &s->u->udps; l = l->prev) {
		utcp_udp_t *o = CONTAINER(l, utcp_udp_t, all);

		if (o != s && o->reuse && !o->orphan && o->port != NULL &&
		    memcmp(&o->local, local, sizeof(*local)) == 0)
			return o;
	}
	return NULL;
}

static int
take_port(utcp_udp_t *s, utcp_addr_t *local)
{
	utcp_udp_t *o = local->port_be != 0 ? sharer(s, local) : NULL;
	int r;

	if (o != NULL) {
		s->port = utcp__port_get(o->port);
		s->port->udp = s; /* the newest gets what comes */
		s->local = *local;
		return 0;
	}
	/* Who is closed and has still something to send shares it. */
	r = utcp__port_take(s->u, local, PROTO_UDP, s->v6only, true, &s->port);
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
	       utcp__is_any(&s->local);
}

/* The source of what goes to peer. -EADDRNOTAVAIL: there is none. */
static int
source(const utcp_udp_t *s, const utcp_addr_t *peer, const utcp_addr_t *wish,
       uint8_t *addr)
{
	if (wish != NULL && wish->family != 0 && !utcp__is_any(wish)) {
		utcp_addr_t w = canon(wish);

		if (w.family != peer->family ||
		    (w.port_be != 0 && w.port_be != s->local.port_be) ||
		    (!utcp__is_any(&s->local) &&
		     memcmp(w.addr, s->local.addr, 16) != 0))
			return -EINVAL;
		memcpy(addr, w.addr, 16);
		return 0;
	}
	if (utcp__is_any(&s->local))
		return utcp__source(s->u, peer->family, peer->addr, addr);
	memcpy(addr, s->local.addr, 16);
	return 0;
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
	if (peer->port_be == 0 || utcp__is_any(peer))
		return -EINVAL;
	r = source(s, peer, NULL, src);
	if (r == 0)
		r = autobind(s);
	if (r == 0)
		s->peer = canon(peer);
	return r;
}

/* Bytes of data that go to that address in one packet: RFC 1122 section 3.4's
   GET_MAXSIZES. */
static uint32_t
path_room(utcp_t *u, const uint8_t *raddr, uint8_t family)
{
	return utcp__path_mtu(u, raddr, family) - (family == 4 ? 28 : 48);
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
	if (peer->port_be == 0 || utcp__is_any(peer))
		return -EINVAL;
	if (d->len > max)
		return -EMSGSIZE;
	if (d->gso_size != 0 &&
	    (d->gso_size > max ||
	     d->len > (size_t)d->gso_size * UTCP_DGRAMS_MAX))
		return -EINVAL;
	to = canon(peer);
	memset(k, 0, sizeof(*k));
	k->family = to.family;
	k->proto = PROTO_UDP;
	memcpy(k->raddr, to.addr, 16);
	k->rport_be = to.port_be;
	r = source(s, &to, &d->local, k->laddr);
	if (r == 0)
		r = autobind(s);
	k->lport_be = s->local.port_be;
	if (r == 0 && s->pmtud == 2) {
		room = path_room(s->u, k->raddr, k->family);
		if (d->gso_size != 0 && d->gso_size < d->len
			? d->gso_size > room
			: d->len > room)
			return -EMSGSIZE;
	}
	return r;
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
		return utcp__udp_take_error(s);
	for (i = 0; i < n; i++) {
		r = prepare(s, &dgrams[i], &k);
		if (r == 0)
			r = utcp__udp_queue(s, &dgrams[i], &k);
		if (r != 0)
			break;
	}
	return i > 0 ? (int)i : r;
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
	if (s->peer.family != 0 && utcp__is_any(addr)) {
		if (source(s, &s->peer, NULL, addr->addr) != 0)
			return -EADDRNOTAVAIL;
		addr->family = s->peer.family;
	}
	return 0;
}

int
utcp_udp_getpeername(const utcp_udp_t *s, utcp_addr_t *addr)
{
	if (s == NULL || addr == NULL)
		return -EINVAL;
	if (s->peer.family == 0)
		return -ENOTCONN;
	*addr = s->peer;
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

utcp_t *
utcp_udp_stack(const utcp_udp_t *s)
{
	return s != NULL ? s->u : NULL;
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
	case UTCP_OPT_REUSEADDR:
		if (s->port != NULL)
			return -EISCONN;
		s->reuse = value != 0;
		return 0;
	case UTCP_OPT_PMTUD:
		s->pmtud = (uint8_t)value;
		return 0;
	case UTCP_OPT_SOFT_ERRORS:
		s->soft_errors = value != 0;
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
	case UTCP_OPT_REUSEADDR:
		*value = s->reuse;
		return 0;
	case UTCP_OPT_PMTUD:
		*value = s->pmtud;
		return 0;
	case UTCP_OPT_SOFT_ERRORS:
		*value = s->soft_errors;
		return 0;
	case UTCP_OPT_MAXSEG:
		if (s->peer.family == 0)
			return -ENOTCONN;
		*value = path_room(s->u, s->peer.addr, s->peer.family);
		return 0;
	case UTCP_OPT_ERROR:
		*value = -utcp__udp_take_error(s);
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}
