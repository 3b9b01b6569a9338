/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock_name.c: the calls that give a socket its two ends: bind, listen, accept,
 * connect, and those that tell them.
 */
#include "ext.h"
#include "tcp_input.h"
#include "tcp_syn.h"

/* Copies an address, what is behind an IPv4 address zeroed. */
static int
take_addr(const utcp_sock_t *s, const utcp_addr_t *from, utcp_addr_t *to)
{
	if (from->family != 4 && from->family != 6)
		return -EAFNOSUPPORT;
	if (from->family != s->family)
		return -EAFNOSUPPORT;
	memset(to, 0, sizeof(*to));
	memcpy(to->addr, from->addr, from->family == 4 ? 4 : 16);
	to->port_be = from->port_be;
	to->proto = PROTO_TCP;
	to->family = from->family;
	return 0;
}

int
utcp_bind(utcp_sock_t *s, const utcp_addr_t *local)
{
	utcp_addr_t a;
	int r;

	if (!s || !local || s->orphan)
		return -EINVAL;
	r = take_addr(s, local, &a);
	if (r)
		return r;
	if (s->port || s->state != UTCP_CLOSED || s->dead)
		return -EINVAL;
	if (utcp__is_many(a.addr, a.family))
		return -EADDRNOTAVAIL;
	r = utcp__port_take(s->u, &a, PROTO_TCP, OPT(s, V6ONLY),
			    OPT(s, REUSEADDR), &s->port);
	if (r)
		return r;
	s->port->bound_alone = true;
	s->bound = true;
	return 0;
}

int
utcp_listen(utcp_sock_t *s, int backlog)
{
	struct utcp__listen *l;

	if (!s || s->orphan || backlog < 0 || backlog > 65535)
		return -EINVAL;
	if (s->state != UTCP_CLOSED && s->state != UTCP_LISTEN)
		return -EISCONN;
	if (!s->port || s->dead)
		return -EINVAL;
	if (!s->listen) {
		if (s->port->listener)
			return -EADDRINUSE;
		l = utcp__alloc(s->u, sizeof(*l));
		if (!l)
			return -ENOMEM;
		link_init(&l->accept);
		link_init(&l->syns);
		s->listen = l;
		s->port->listener = s;
		utcp__set_state(s, UTCP_LISTEN);
	}
	s->listen->backlog = backlog ? (uint32_t)backlog : 1;
	return 0;
}

int
utcp_accept(utcp_sock_t *listener, utcp_sock_t **out)
{
	struct utcp__listen *l;
	utcp_sock_t *s;

	if (!listener || !out)
		return -EINVAL;
	*out = NULL;
	l = listener->listen;
	if (!l || listener->orphan)
		return -EINVAL;
	if (link_empty(&l->accept)) {
		listener->told &= (uint8_t)~UTCP_IN;
		return -EAGAIN;
	}
	s = CONTAINER(l->accept.next, utcp_sock_t, accept_link);
	link_remove(&s->accept_link);
	l->num_accept--;
	s->parent = NULL;
	s->user = NULL;
	/* That it can be written to is no news. */
	s->told = UTCP_OUT;
	utcp__wake(s);
	*out = s;
	return 0;
}

/* Fills in the local end of k. */
static int
source_addr(const utcp_sock_t *s, struct utcp__key *k)
{
	if (!s->port || utcp__is_any(&s->port->addr))
		return utcp__source(s->u, k->family, k->raddr, k->laddr);
	memcpy(k->laddr, s->port->addr.addr, 16);
	return 0;
}

/* The tuple: unique, of the bound port or of one that is chosen. Returns as
   utcp__port_connect. */
static int
take_tuple(utcp_sock_t *s, struct utcp__key *k, uint32_t *iss)
{
	if (!s->port)
		return utcp__port_connect(s->u, k, &s->port, iss);
	k->lport_be = s->port->addr.port_be;
	return utcp__port_tuple(s->u, k, iss);
}

static int
connect_state(const utcp_sock_t *s)
{
	if (s->dead || s->orphan)
		return -EINVAL;
	switch (s->state) {
	case UTCP_CLOSED:
		return 0;
	case UTCP_SYN_SENT:
	case UTCP_SYN_RECEIVED:
		return -EALREADY;
	default:
		return -EISCONN;
	}
}

int
utcp_connect(utcp_sock_t *s, const utcp_addr_t *peer)
{
	struct utcp__key k = { .proto = PROTO_TCP };
	utcp_addr_t a;
	uint32_t iss = 0;
	int r, reused;

	if (!s || !peer)
		return -EINVAL;
	r = connect_state(s);
	if (!r)
		r = take_addr(s, peer, &a);
	if (r)
		return r;
	if (!a.port_be || utcp__is_any(&a) || utcp__is_many(a.addr, a.family))
		return -EINVAL;
	memcpy(k.raddr, a.addr, 16);
	k.rport_be = a.port_be;
	k.family = a.family;
	r = source_addr(s, &k);
	if (r)
		return r;
	reused = take_tuple(s, &k, &iss);
	if (reused < 0)
		return reused;
	s->ent.key = k;
	utcp__link_ent(s->u, &s->ent);
	/* RFC 9293 section 3.9.1.1 (MUST-42): others may listen there. */
	if (s->bound)
		s->port->bound_alone = s->bound = false;
	utcp__conn_init(s);
	s->iss = reused ? iss : utcp__iss(s->u, &k);
	s->snd_una = s->snd_nxt = s->snd_sml = s->iss;
	utcp__set_state(s, UTCP_SYN_SENT);
	if (UNLIKELY(s->ext)) {
		utcp__enter(s->u);
		utcp__ext_begin(s);
		utcp__leave(s->u);
	}
	if (OPT(s, FASTOPEN_CONNECT) && !utcp__ext_stream(s) && !s->dead &&
	    utcp__fastopen_prepare(s)) {
		/* RFC 7413 section 4.2.1: the SYN waits for the first data. */
		s->fastopen_syn = true;
		utcp__wake(s);
		return 0;
	}
	utcp__want_output(s);
	return -EINPROGRESS;
}

static void
addr_of(utcp_addr_t *to, const uint8_t addr[16], uint16_t port_be, int family)
{
	memset(to, 0, sizeof(*to));
	memcpy(to->addr, addr, 16);
	to->port_be = port_be;
	to->proto = PROTO_TCP;
	to->family = (uint8_t)family;
}

int
utcp_getsockname(const utcp_sock_t *s, utcp_addr_t *addr)
{
	const struct utcp__key *k;

	if (!s || !addr || s->orphan)
		return -EINVAL;
	k = &s->ent.key;
	if (k->family) {
		addr_of(addr, k->laddr, k->lport_be, k->family);
		return 0;
	}
	if (!s->port)
		return -EINVAL;
	*addr = s->port->addr;
	return 0;
}

int
utcp_getpeername(const utcp_sock_t *s, utcp_addr_t *addr)
{
	const struct utcp__key *k;

	if (!s || !addr || s->orphan)
		return -EINVAL;
	k = &s->ent.key;
	if (!k->family || s->dead)
		return -ENOTCONN;
	addr_of(addr, k->raddr, k->rport_be, k->family);
	return 0;
}
