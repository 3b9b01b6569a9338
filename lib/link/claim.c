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
	return &g->claims[(t->port_be ^ (t->port_be >> 8)) & 255];
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

int
mslink__claim(void *arg, utcp_addr_t *local, uint8_t proto)
{
	mslink_t *l = arg;
	struct mslink__group *g = l->group;
	struct mslink__claim *c, **p;
	struct ms_tuple t;
	int r = 0;

	memcpy(&t, local, sizeof t);
	t.proto = proto;
	/* Which ring an answer comes by is not ours to choose. */
	if (t.port_be == 0 && g->rings > 1)
		return -EADDRNOTAVAIL;
	pthread_mutex_lock(&g->lock);
	p = find(g, &t);
	c = t.port_be ? *p : NULL;
	if (c) {
		c->refs++;
		goto out;
	}
	c = calloc(1, sizeof *c);
	if (!c) {
		r = -ENOMEM;
		goto out;
	}
	c->tuple = t;
	c->refs = 1;
	r = bind_both(g, c);
	if (r) {
		free(c);
		goto out;
	}
	local->port_be = c->tuple.port_be;
	p = bucket(g, &c->tuple);
	c->next = *p;
	*p = c;
out:
	pthread_mutex_unlock(&g->lock);
	return r;
}

void
mslink__unclaim(void *arg, const utcp_addr_t *local, uint8_t proto)
{
	mslink_t *l = arg;
	struct mslink__group *g = l->group;
	struct mslink__claim *c, **p;
	struct ms_tuple t;

	memcpy(&t, local, sizeof t);
	t.proto = proto;
	pthread_mutex_lock(&g->lock);
	p = find(g, &t);
	c = *p;
	if (c && --c->refs == 0) {
		*p = c->next;
		(void)msport_unbind(g->port, &c->tuple);
		if (c->both) {
			memset(&c->tuple, 0, sizeof c->tuple);
			c->tuple.port_be = t.port_be;
			c->tuple.proto = proto;
			c->tuple.family = 4;
			(void)msport_unbind(g->port, &c->tuple);
		}
		free(c);
	}
	pthread_mutex_unlock(&g->lock);
}

void
mslink__claims_free(struct mslink__group *g)
{
	for (unsigned int i = 0; i < 256; i++)
		while (g->claims[i]) {
			struct mslink__claim *c = g->claims[i];

			g->claims[i] = c->next;
			free(c);
		}
}
