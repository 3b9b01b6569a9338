/* SPDX-License-Identifier: BSD-2-Clause */
/* cache.c: sessions that can be resumed. */
#include <stdlib.h>
#include <string.h>

#include "cache.h"

/* Identifiers are random, and who chose a peer's address chose one to connect
   to: no need for a keyed hash. */
static unsigned int
hash(const void *mem, size_t len)
{
	const uint8_t *p = mem;
	uint32_t h = 2166136261u;

	while (len-- > 0)
		h = (h ^ *p++) * 16777619u;
	return (h ^ h >> 16) % CACHE_BUCKETS;
}

static bool
same_peer(const utcp_addr_t *a, const utcp_addr_t *b)
{
	return a->family == b->family && a->port_be == b->port_be &&
	       memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

static unsigned int
hash_peer(const utcp_addr_t *peer)
{
	return hash(peer->addr, sizeof(peer->addr)) ^ (peer->port_be & 0xff);
}

static unsigned int
bucket_of(const struct crypt__session *s)
{
	return s->active ? hash_peer(&s->peer)
			 : hash(s->ticket.expect, RESUME_HALF);
}

static void
drop(struct crypt__cache *c, struct crypt__session *s)
{
	struct crypt__session **at = &c->bucket[bucket_of(s)];

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (s->older != NULL)
		s->older->newer = s->newer;
	else
		c->oldest = s->newer;
	if (s->newer != NULL)
		s->newer->older = s->older;
	else
		c->newest = s->older;
	c->num--;
	crypt__free(s, sizeof(*s));
}

static void
expire(struct crypt__cache *c, uint64_t now_ns)
{
	while (c->oldest != NULL &&
	       (now_ns - c->oldest->at_ns > CACHE_NS || c->num > CACHE_MAX))
		drop(c, c->oldest);
}

void
crypt__cache_put(struct crypt__cache *c, uint64_t now_ns,
		 const utcp_addr_t *peer, const struct crypt__secret *secret,
		 uint8_t name[RESUME_HALF])
{
	struct crypt__session *s = calloc(1, sizeof(*s));
	unsigned int at;

	if (s == NULL)
		return;
	s->secret = *secret;
	if (crypt__secret_ticket(secret, &s->ticket) != 0) {
		crypt__free(s, sizeof(*s));
		return;
	}
	memcpy(name, s->ticket.expect, RESUME_HALF);
	s->at_ns = now_ns;
	s->active = peer != NULL;
	if (peer != NULL)
		s->peer = *peer;
	at = bucket_of(s);
	s->next = c->bucket[at];
	c->bucket[at] = s;
	s->older = c->newest;
	if (c->newest != NULL)
		c->newest->newer = s;
	else
		c->oldest = s;
	c->newest = s;
	c->num++;
	expire(c, now_ns);
}

static bool
take(struct crypt__cache *c, struct crypt__session *s,
     struct crypt__secret *secret, struct crypt__ticket *t)
{
	if (s == NULL)
		return false;
	*secret = s->secret;
	*t = s->ticket;
	drop(c, s);
	return true;
}

bool
crypt__cache_take_peer(struct crypt__cache *c, uint64_t now_ns,
		       const utcp_addr_t *peer, crypt__allows_fn allows,
		       const void *arg, struct crypt__secret *secret,
		       struct crypt__ticket *t)
{
	struct crypt__session *s;

	expire(c, now_ns);
	for (s = c->bucket[hash_peer(peer)]; s != NULL; s = s->next)
		if (s->active && same_peer(&s->peer, peer) &&
		    allows(arg, &s->secret))
			break;
	return take(c, s, secret, t);
}

bool
crypt__cache_take_named(struct crypt__cache *c, uint64_t now_ns, uint8_t tep,
			const uint8_t *half, struct crypt__secret *secret,
			struct crypt__ticket *t)
{
	struct crypt__session *s;

	expire(c, now_ns);
	for (s = c->bucket[hash(half, RESUME_HALF)]; s != NULL; s = s->next)
		if (!s->active && s->secret.tep == tep &&
		    memcmp(s->ticket.expect, half, RESUME_HALF) == 0)
			break;
	return take(c, s, secret, t);
}

void
crypt__cache_forget(struct crypt__cache *c, const uint8_t name[RESUME_HALF])
{
	struct crypt__session *s, *older;

	for (s = c->newest; s != NULL; s = older) {
		older = s->older;
		if (memcmp(s->ticket.expect, name, RESUME_HALF) == 0)
			drop(c, s);
	}
}

void
crypt__cache_clear(struct crypt__cache *c)
{
	while (c->oldest != NULL)
		drop(c, c->oldest);
}
