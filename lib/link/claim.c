/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * claim.c: a local port that the stack takes is bound at the switch.
 *
 * Links that share a port bind a tuple once, with a count.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define IDLE_NS 2000000000ull /* an ephemeral port is kept for the next */

/* utcp_addr_t is a struct ms_tuple to the byte. */
_Static_assert(sizeof(utcp_addr_t) == sizeof(struct ms_tuple), "");
_Static_assert(offsetof(utcp_addr_t, addr) == offsetof(struct ms_tuple, addr),
	       "");
_Static_assert(offsetof(utcp_addr_t, port_be) ==
		   offsetof(struct ms_tuple, port_be),
	       "");
_Static_assert(offsetof(utcp_addr_t, proto) == offsetof(struct ms_tuple, proto),
	       "");
_Static_assert(offsetof(utcp_addr_t, family) ==
		   offsetof(struct ms_tuple, family),
	       "");

static struct mslink__claim **
bucket(struct mslink__group *g, const struct ms_tuple *t)
{
	uint32_t h = t->port_be * 0x9e3779b1u;

	return &g->claims[(h >> 16) & (MSLINK__CLAIM_BUCKETS - 1)];
}

static struct mslink__claim **
find(struct mslink__group *g, const struct ms_tuple *t)
{
	struct mslink__claim **p = bucket(g, t);

	while (*p && memcmp(&(*p)->tuple, t, sizeof *t) != 0)
		p = &(*p)->next;
	return p;
}

static bool
is_any6(const struct ms_tuple *t)
{
	static const uint8_t any[16];

	return t->family == 6 && memcmp(t->addr, any, 16) == 0;
}

/* Binds c->tuple. An IPv6 wildcard listener may take IPv4 too, which to the
   switch is a tuple of its own; if another has that one, it keeps it. */
static int
bind_both(struct mslink__group *g, struct mslink__claim *c)
{
	struct ms_tuple four = { .proto = c->tuple.proto, .family = 4 };
	int r = msport_bind(g->port, &c->tuple);

	if (r || !is_any6(&c->tuple))
		return r;
	four.port_be = c->tuple.port_be;
	c->both = msport_bind(g->port, &four) == 0;
	return 0;
}

static void
unbind_both(struct mslink__group *g, struct mslink__claim *c)
{
	(void)msport_unbind(g->port, &c->tuple);
	if (c->both) {
		memset(c->tuple.addr, 0, sizeof c->tuple.addr);
		c->tuple.family = 4;
		(void)msport_unbind(g->port, &c->tuple);
	}
}

/* ---- idle ones ------------------------------------------------------------- */

void
mslink__claims_init(struct mslink__group *g)
{
	g->idle.end = &g->idle.first;
	g->ending.end = &g->ending.first;
}

static void
list_add(struct mslink__claims *list, struct mslink__claim *c)
{
	c->idle_ns = mslink_now_ns();
	c->in = list;
	c->later = NULL;
	c->at = list->end;
	__atomic_store_n(list->end, c, __ATOMIC_RELAXED);
	list->end = &c->later;
}

static void
list_remove(struct mslink__claim *c)
{
	__atomic_store_n(c->at, c->later, __ATOMIC_RELAXED);
	if (c->later)
		c->later->at = c->at;
	else
		c->in->end = c->at;
	c->in = NULL;
}

/* One for this address, of the oldest; NULL. */
static struct mslink__claim *
idle_take(struct mslink__group *g, const struct ms_tuple *t)
{
	struct mslink__claim *c = g->idle.first;

	for (int i = 0; c && i < 8; i++, c = c->later)
		if (c->tuple.proto == t->proto &&
		    c->tuple.family == t->family &&
		    memcmp(c->tuple.addr, t->addr, sizeof t->addr) == 0) {
			list_remove(c);
			return c;
		}
	return NULL;
}

static void
drop(struct mslink__group *g, struct mslink__claim *c)
{
	struct mslink__claim **p = find(g, &c->tuple);

	*p = c->next;
	unbind_both(g, c);
	free(c);
}

void
mslink__claims_expire(struct mslink__group *g, uint64_t now_ns)
{
	struct mslink__claim *c;

	pthread_mutex_lock(&g->lock);
	while ((c = g->idle.first) && now_ns - c->idle_ns > IDLE_NS &&
	       now_ns > c->idle_ns) {
		list_remove(c);
		drop(g, c);
	}
	pthread_mutex_unlock(&g->lock);
}

void
mslink__claims_end(struct mslink__group *g)
{
	struct mslink__claim *c;

	pthread_mutex_lock(&g->lock);
	while ((c = g->ending.first)) {
		list_remove(c);
		drop(g, c);
	}
	pthread_mutex_unlock(&g->lock);
}

/* ---- the stack's hooks --------------------------------------------------------- */

/* A new one; NULL with *r set. */
static struct mslink__claim *
claim_new(struct mslink__group *g, const struct ms_tuple *t, int *r)
{
	struct mslink__claim *c = calloc(1, sizeof *c), **p;

	*r = -ENOMEM;
	if (!c)
		return NULL;
	c->tuple = *t;
	c->ephemeral = t->port_be == 0;
	*r = bind_both(g, c);
	if (*r) {
		free(c);
		return NULL;
	}
	p = bucket(g, &c->tuple);
	c->next = *p;
	*p = c;
	return c;
}

int
mslink__claim(void *arg, utcp_addr_t *local, uint8_t proto)
{
	mslink_t *l = arg;
	struct mslink__group *g = l->group;
	struct mslink__claim *c;
	struct ms_tuple t;
	int r = 0;

	memcpy(&t, local, sizeof t);
	t.proto = proto;
	/* Which ring an answer comes by is not ours to choose. */
	if (t.port_be == 0 && g->rings > 1)
		return -EADDRNOTAVAIL;
	pthread_mutex_lock(&g->lock);
	if (t.port_be == 0) {
		c = idle_take(g, &t);
	} else {
		c = *find(g, &t);
		if (c && c->in)
			list_remove(c);
	}
	if (!c)
		c = claim_new(g, &t, &r);
	if (c) {
		c->refs++;
		local->port_be = c->tuple.port_be;
	}
	pthread_mutex_unlock(&g->lock);
	return r;
}

/* Something, maybe from this port: the switch would refuse it unbound. */
static bool
has_to_send(const mslink_t *l)
{
	return l->sending || mslink__under_way(l) != 0 ||
	       utcp_next_ns(l->u) <= utcp_now_ns(l->u);
}

void
mslink__unclaim(void *arg, const utcp_addr_t *local, uint8_t proto)
{
	mslink_t *l = arg;
	struct mslink__group *g = l->group;
	struct mslink__claim *c;
	struct ms_tuple t;

	memcpy(&t, local, sizeof t);
	t.proto = proto;
	pthread_mutex_lock(&g->lock);
	c = *find(g, &t);
	if (c && --c->refs == 0) {
		if (c->ephemeral)
			list_add(&g->idle, c);
		else if (has_to_send(l))
			list_add(&g->ending, c);
		else
			drop(g, c);
	}
	pthread_mutex_unlock(&g->lock);
}

void
mslink__claims_free(struct mslink__group *g)
{
	for (unsigned int i = 0; i < MSLINK__CLAIM_BUCKETS; i++)
		while (g->claims[i]) {
			struct mslink__claim *c = g->claims[i];

			g->claims[i] = c->next;
			free(c);
		}
}
