/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port.c: local ports: who has which, and which are free.
 *
 * A utcp__port is shared by those that may share it: a listener and what it
 * accepted, connections from one local port to several peers, TIME-WAITs. In
 * u->ports those that take packets by themselves (bound ones) stand before
 * those that have only connections (`shared`).
 */
#include "tcp_syn.h"

/* RFC 6056 section 3.2, without those that services have by custom. */
#define EPHEMERAL_FIRST 10240u
#define EPHEMERAL_NUM (65536u - EPHEMERAL_FIRST)
#define CHAINS_FIRST 256u
#define CHAINS_MAX 16384u

int
utcp__ports_init(utcp_t *u)
{
	unsigned int i;

	u->ports = utcp__alloc(u, CHAINS_FIRST * sizeof(*u->ports));
	if (!u->ports)
		return -ENOMEM;
	for (i = 0; i < CHAINS_FIRST; i++)
		link_init(&u->ports[i]);
	u->port_mask = CHAINS_FIRST - 1;
	return 0;
}

void
utcp__ports_deinit(utcp_t *u)
{
	UTCP_ASSERT(u->num_ports == 0);
	utcp__free(u, u->ports, (u->port_mask + 1ul) * sizeof(*u->ports));
	u->ports = NULL;
}

static struct utcp__link *
chain(utcp_t *u, uint16_t port_be)
{
	return &u->ports[get16(&port_be) & u->port_mask];
}

static void
put_in_chain(utcp_t *u, struct utcp__port *p)
{
	struct utcp__link *list = chain(u, p->addr.port_be);

	/* Before the first of a circle is behind its head. */
	link_append(p->shared ? list : list->next, &p->link);
}

static void
grow(utcp_t *u)
{
	uint32_t num = (u->port_mask + 1) * 4, old = u->port_mask + 1, i;
	struct utcp__link *to, *from = u->ports;

	if (u->num_ports <= 2 * old || old >= CHAINS_MAX)
		return;
	to = utcp__alloc(u, num * sizeof(*to));
	if (!to)
		return;
	for (i = 0; i < num; i++)
		link_init(&to[i]);
	u->ports = to;
	u->port_mask = num - 1;
	for (i = 0; i < old; i++) {
		while (!link_empty(&from[i])) {
			struct utcp__link *l = from[i].prev;

			link_remove(l);
			put_in_chain(u, CONTAINER(l, struct utcp__port, link));
		}
	}
	utcp__free(u, from, old * sizeof(*from));
}

static struct utcp__port *
find_exact(utcp_t *u, const utcp_addr_t *a, uint8_t proto)
{
	struct utcp__link *list = chain(u, a->port_be), *l;

	for (l = list->next; l != list; l = l->next) {
		struct utcp__port *p = CONTAINER(l, struct utcp__port, link);

		if (p->addr.port_be == a->port_be && p->addr.proto == proto &&
		    p->addr.family == a->family &&
		    memcmp(p->addr.addr, a->addr, 16) == 0)
			return p;
	}
	return NULL;
}

/* Some packet would be for both. */
static bool
overlap(const struct utcp__port *p, const utcp_addr_t *a, bool v6only)
{
	if (p->addr.family == a->family)
		return utcp__is_any(&p->addr) || utcp__is_any(a) ||
		       memcmp(p->addr.addr, a->addr, 16) == 0;
	if (p->addr.family == 6)
		return utcp__is_any(&p->addr) && !p->v6only;
	return utcp__is_any(a) && !v6only;
}

/*
 * Whether the port may not be bound to: someone bound or listening has it; or,
 * without `reuse`, any connection, be it in TIME-WAIT.
 */
static bool
taken(utcp_t *u, const utcp_addr_t *a, uint8_t proto, bool v6only, bool reuse)
{
	struct utcp__link *list = chain(u, a->port_be), *l;

	for (l = list->next; l != list; l = l->next) {
		struct utcp__port *p = CONTAINER(l, struct utcp__port, link);

		if (p->addr.port_be != a->port_be || p->addr.proto != proto ||
		    !overlap(p, a, v6only))
			continue;
		if (!reuse || p->listener || p->udp || p->bound_alone)
			return true;
	}
	return false;
}

/* A new one; asks the namespace outside, which may choose the port. */
static int
port_new(utcp_t *u, utcp_addr_t *a, uint8_t proto, struct utcp__port **out)
{
	struct utcp__port *p = utcp__alloc(u, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->addr = *a;
	p->addr.proto = proto;
	if (u->cfg.claim) {
		r = u->cfg.claim(u->cfg.claim_arg, &p->addr, proto);
		if (r == 0 && p->addr.port_be == 0)
			r = -EADDRINUSE;
		if (r < 0) {
			utcp__free(u, p, sizeof(*p));
			return r;
		}
		/* The rest is ours. */
		a->port_be = p->addr.port_be;
		p->addr = *a;
		p->addr.proto = proto;
	}
	p->u = u;
	p->refs = 1;
	u->num_ports++;
	grow(u);
	put_in_chain(u, p);
	*out = p;
	return 0;
}

struct utcp__port *
utcp__port_get(struct utcp__port *p)
{
	p->refs++;
	return p;
}

void
utcp__port_put(struct utcp__port *p)
{
	utcp_t *u;

	if (!p || --p->refs)
		return;
	u = p->u;
	link_remove(&p->link);
	u->num_ports--;
	if (u->cfg.unclaim)
		u->cfg.unclaim(u->cfg.claim_arg, &p->addr, p->addr.proto);
	utcp__free(u, p, sizeof(*p));
}

/* An existing one comes to be bound: before those that are not. */
static void
unshare(utcp_t *u, struct utcp__port *p)
{
	if (!p->shared)
		return;
	p->shared = false;
	link_remove(&p->link);
	put_in_chain(u, p);
}

static int
bind_to(utcp_t *u, utcp_addr_t *a, uint8_t proto, bool v6only, bool reuse,
	struct utcp__port **out)
{
	struct utcp__port *p;
	int r;

	if (taken(u, a, proto, v6only, reuse))
		return -EADDRINUSE;
	p = find_exact(u, a, proto);
	if (p) {
		unshare(u, utcp__port_get(p));
	} else {
		r = port_new(u, a, proto, &p);
		if (r)
			return r;
	}
	p->v6only = v6only;
	*out = p;
	return 0;
}

/* A port for nobody's but the caller's use: from a random place on (RFC 6056
   section 3.3.1). */
static int
bind_any(utcp_t *u, utcp_addr_t *a, uint8_t proto, bool v6only,
	 struct utcp__port **out)
{
	uint32_t start = (uint32_t)(utcp__random(u) % EPHEMERAL_NUM), i;
	int r;

	for (i = 0; i < EPHEMERAL_NUM && !u->cfg.claim; i++) {
		put16(&a->port_be,
		      EPHEMERAL_FIRST + (start + i) % EPHEMERAL_NUM);
		if (!taken(u, a, proto, v6only, false))
			return bind_to(u, a, proto, v6only, false, out);
	}
	a->port_be = 0;
	if (!u->cfg.claim)
		return -EADDRINUSE;
	r = port_new(u, a, proto, out);
	if (r == 0)
		(*out)->v6only = v6only;
	return r;
}

int
utcp__port_take(utcp_t *u, utcp_addr_t *addr, uint8_t proto, bool v6only,
		bool reuse, struct utcp__port **out)
{
	if (addr->port_be)
		return bind_to(u, addr, proto, v6only, reuse, out);
	return bind_any(u, addr, proto, v6only, out);
}

int
utcp__port_tuple(utcp_t *u, const struct utcp__key *k, uint32_t *iss)
{
	struct utcp__ent *e = utcp__find(u, k);

	if (!e)
		return 0;
	if (e->kind == UTCP__TIMEWAIT &&
	    utcp__timewait_reuse(u, CONTAINER(e, struct utcp__tw, ent), iss))
		return 1;
	return -EADDRINUSE;
}

static void
local_of(utcp_addr_t *a, const struct utcp__key *k)
{
	memset(a, 0, sizeof(*a));
	memcpy(a->addr, k->laddr, 16);
	a->port_be = k->lport_be;
	a->family = k->family;
}

/* A port that connections have already and that is free towards this peer. */
static int
share_any(utcp_t *u, struct utcp__key *k, struct utcp__port **out,
	  uint32_t *iss)
{
	uint32_t i;

	for (i = 0; i <= u->port_mask; i++) {
		struct utcp__link *l = u->ports[i].prev;

		for (; l != &u->ports[i]; l = l->prev) {
			struct utcp__port *p = CONTAINER(l, struct utcp__port,
							 link);
			int r;

			if (!p->shared)
				break;
			if (p->addr.family != k->family ||
			    p->addr.proto != PROTO_TCP ||
			    memcmp(p->addr.addr, k->laddr, 16))
				continue;
			k->lport_be = p->addr.port_be;
			utcp__port_get(p);
			r = utcp__port_tuple(u, k, iss);
			if (r >= 0) {
				*out = p;
				return r;
			}
			utcp__port_put(p);
			/* p stays: who stands at k has a reference. */
		}
	}
	k->lport_be = 0;
	return -EADDRNOTAVAIL;
}

/* A new one that has only connections. */
static int
port_new_shared(utcp_t *u, utcp_addr_t *a, struct utcp__port **out)
{
	int r = port_new(u, a, PROTO_TCP, out);

	if (r)
		return r;
	(*out)->shared = true;
	link_remove(&(*out)->link);
	put_in_chain(u, *out);
	return 0;
}

/* The namespace outside chooses; has it none left, ports are shared. */
static int
connect_claimed(utcp_t *u, struct utcp__key *k, struct utcp__port **out,
		uint32_t *iss)
{
	utcp_addr_t a;
	int r;

	k->lport_be = 0;
	local_of(&a, k);
	r = port_new_shared(u, &a, out);
	if (r == -EADDRINUSE || r == -EAGAIN || r == -EADDRNOTAVAIL)
		return share_any(u, k, out, iss);
	if (r == 0)
		k->lport_be = a.port_be;
	return r;
}

/* Takes the port of k for a connection, if it is not somebody's own. */
static int
take_shared(utcp_t *u, const struct utcp__key *k, struct utcp__port **out)
{
	struct utcp__port *p;
	utcp_addr_t a;

	local_of(&a, k);
	p = find_exact(u, &a, PROTO_TCP);
	if (p && p->shared) {
		*out = utcp__port_get(p);
		return 0;
	}
	if (taken(u, &a, PROTO_TCP, true, true))
		return -EADDRINUSE;
	if (p) {
		*out = utcp__port_get(p);
		return 0;
	}
	return port_new_shared(u, &a, out);
}

int
utcp__port_connect(utcp_t *u, struct utcp__key *k, struct utcp__port **out,
		   uint32_t *iss)
{
	uint16_t *next;
	uint64_t f;
	uint32_t i;

	if (u->cfg.claim)
		return connect_claimed(u, k, out, iss);
	/* RFC 6056 section 3.3.4: where to begin depends on the peer, and a
	   counter that few peers have in common goes on from there. */
	k->lport_be = 0;
	f = utcp__siphash(u->key_port, k, sizeof(*k));
	next = &u->port_next[(f >> 32) % 32];
	for (i = 0; i < EPHEMERAL_NUM; i++) {
		struct utcp__port *p;
		uint32_t port = ((uint32_t)f + (*next)++) % EPHEMERAL_NUM;
		int r, reused;

		put16(&k->lport_be, EPHEMERAL_FIRST + port);
		reused = utcp__port_tuple(u, k, iss);
		if (reused < 0)
			continue;
		r = take_shared(u, k, &p);
		if (r == -ENOMEM)
			return r;
		if (r == 0) {
			*out = p;
			return reused;
		}
	}
	k->lport_be = 0;
	return -EADDRNOTAVAIL;
}
