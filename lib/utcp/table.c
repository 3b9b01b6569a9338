/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.c: who is where. Connections, half open ones and TIME-WAITs stand in
 * one hash table by their 4-tuple; it grows a few buckets at a time, so that no
 * packet waits for a million entries to move. Listeners and UDP sockets are
 * found by their port.
 */
#include "stack.h"

#define BUCKETS_MIN 256u
#define BUCKETS_MAX (1u << 24)

int
utcp__table_init(utcp_t *u)
{
	struct utcp__table *t = &u->table;

	t->bucket = utcp__alloc(u, BUCKETS_MIN * sizeof(*t->bucket));
	if (!t->bucket)
		return -ENOMEM;
	t->mask = BUCKETS_MIN - 1;
	return 0;
}

void
utcp__table_deinit(utcp_t *u)
{
	struct utcp__table *t = &u->table;

	utcp__free(u, t->bucket, (t->mask + 1ul) * sizeof(*t->bucket));
	utcp__free(u, t->old, (t->old_mask + 1ul) * sizeof(*t->old));
	memset(t, 0, sizeof(*t));
}

static uint32_t
hash(const utcp_t *u, const struct utcp__key *k)
{
	uint64_t w[5], a, b;

	w[0] = k->lport_be | (uint32_t)k->rport_be << 16 |
	       (uint64_t)k->family << 32 | (uint64_t)k->proto << 40;
	if (k->family == 4) {
		memcpy(&a, k->laddr, 4);
		memcpy((char *)&a + 4, k->raddr, 4);
		w[1] = a;
		return (uint32_t)utcp__siphash(u->key_hash, w, 16);
	}
	memcpy(&a, k->laddr, 8);
	memcpy(&b, k->laddr + 8, 8);
	w[1] = a;
	w[2] = b;
	memcpy(&a, k->raddr, 8);
	memcpy(&b, k->raddr + 8, 8);
	w[3] = a;
	w[4] = b;
	return (uint32_t)utcp__siphash(u->key_hash, w, 40);
}

static inline bool
key_equal(const struct utcp__key *a, const struct utcp__key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* The hash of the last key is kept: who looks for a key and does not find it
   puts it in, more often than not. */
static uint32_t
key_hash(utcp_t *u, const struct utcp__key *k)
{
	if (!key_equal(&u->table.last_key, k)) {
		u->table.last_hash = hash(u, k);
		u->table.last_key = *k;
	}
	return u->table.last_hash;
}

/* Where the pointer to an entry with this hash would stand. */
static struct utcp__ent **
bucket_of(struct utcp__table *t, uint32_t hash)
{
	if (t->old && (hash & t->old_mask) >= t->moved)
		return &t->old[hash & t->old_mask];
	return &t->bucket[hash & t->mask];
}

static struct utcp__ent *
find(utcp_t *u, const struct utcp__key *k, uint32_t hash)
{
	struct utcp__ent *e = *bucket_of(&u->table, hash);

	while (e && (e->hash != hash || !key_equal(&e->key, k)))
		e = e->next;
	return e;
}

/*
 * Found lately, by a cheap mix of the ports: busy connections are found again
 * without the hash. Who makes many collide here gains nothing but to make us
 * hash, which is what we would do anyway.
 */
static inline struct utcp__ent **
lately(utcp_t *u, const struct utcp__key *k)
{
	uint32_t v = k->lport_be | (uint32_t)k->rport_be << 16, a;

	memcpy(&a, k->raddr, 4);
	v = (v ^ a) * 0x9e3779b1u;
	return &u->lately[v >> 24];
}

struct utcp__ent *
utcp__find(utcp_t *u, const struct utcp__key *k)
{
	struct utcp__ent **c = lately(u, k), *e = *c;

	if (e && key_equal(&e->key, k))
		return e;
	e = find(u, k, key_hash(u, k));
	if (e)
		*c = e;
	return e;
}

static void
forget(utcp_t *u, const struct utcp__ent *e)
{
	struct utcp__ent **c = lately(u, &e->key);

	if (*c == e)
		*c = NULL;
}

/* Moves the next few buckets of the old array. */
static void
move_some(utcp_t *u)
{
	struct utcp__table *t = &u->table;
	unsigned int i;

	for (i = 0; t->old && i < 4; i++) {
		struct utcp__ent *e = t->old[t->moved], *next;

		t->moved++;
		for (; e; e = next) {
			struct utcp__ent **b = &t->bucket[e->hash & t->mask];

			next = e->next;
			e->next = *b;
			*b = e;
		}
		if (t->moved > t->old_mask) {
			utcp__free(u, t->old,
				   (t->old_mask + 1ul) * sizeof(*t->old));
			t->old = NULL;
		}
	}
}

/* One entry in two buckets, at most: each in a chain is a cache miss. Without
   memory chains get longer. */
static void
grow(utcp_t *u)
{
	struct utcp__table *t = &u->table;
	struct utcp__ent **bucket;
	uint64_t num = 2 * (t->mask + 1ull);

	if (t->old || t->count <= t->mask / 2 || num > BUCKETS_MAX)
		return;
	bucket = utcp__alloc(u, num * sizeof(*bucket));
	if (!bucket)
		return;
	t->old = t->bucket;
	t->old_mask = t->mask;
	t->moved = 0;
	t->bucket = bucket;
	t->mask = (uint32_t)(num - 1);
}

void
utcp__link_ent(utcp_t *u, struct utcp__ent *e)
{
	struct utcp__ent **b;

	e->hash = key_hash(u, &e->key);
	UTCP_ASSERT(!e->linked && !find(u, &e->key, e->hash));
	*lately(u, &e->key) = e;
	grow(u);
	move_some(u);
	b = bucket_of(&u->table, e->hash);
	e->next = *b;
	*b = e;
	e->linked = true;
	u->table.count++;
}

static struct utcp__ent **
link_to(utcp_t *u, const struct utcp__ent *e)
{
	struct utcp__ent **p = bucket_of(&u->table, e->hash);

	while (*p != e)
		p = &(*p)->next;
	return p;
}

void
utcp__unlink_ent(utcp_t *u, struct utcp__ent *e)
{
	if (!e->linked)
		return;
	forget(u, e);
	*link_to(u, e) = e->next;
	e->next = NULL;
	e->linked = false;
	u->table.count--;
	move_some(u);
}

void
utcp__replace_ent(utcp_t *u, struct utcp__ent *from, struct utcp__ent *to)
{
	UTCP_ASSERT(from->linked && !to->linked);
	UTCP_ASSERT(key_equal(&from->key, &to->key));
	forget(u, from);
	to->hash = from->hash;
	to->next = from->next;
	*link_to(u, from) = to;
	from->next = NULL;
	from->linked = false;
	to->linked = true;
}

/* How well a bound address fits a packet's: exact before wildcard, the own
   family before the other; 0: not at all. */
static int
fit(const struct utcp__port *p, const struct utcp__key *k)
{
	size_t bytes = k->family == 4 ? 4 : 16;
	bool wild = utcp__is_any(&p->addr);

	if (p->addr.port_be != k->lport_be)
		return 0;
	if (p->addr.family != k->family)
		return wild && k->family == 4 && !p->v6only;
	if (wild)
		return 2;
	return memcmp(p->addr.addr, k->laddr, bytes) == 0 ? 3 : 0;
}

static struct utcp__port *
find_port(utcp_t *u, const struct utcp__key *k, bool udp)
{
	struct utcp__link *list = &u->ports[get16(&k->lport_be) & u->port_mask];
	struct utcp__port *best = NULL;
	struct utcp__link *l;
	int best_fit = 0;

	for (l = list->next; l != list; l = l->next) {
		struct utcp__port *p = CONTAINER(l, struct utcp__port, link);
		int f;

		/* Behind the first of these there are no others (port.c). */
		if (p->shared)
			break;
		if (udp ? !p->udp : !p->listener)
			continue;
		f = fit(p, k);
		if (f > best_fit) {
			best_fit = f;
			best = p;
		}
	}
	return best;
}

utcp_sock_t *
utcp__find_listener(utcp_t *u, const struct utcp__key *k)
{
	struct utcp__port *p = find_port(u, k, false);

	return p ? p->listener : NULL;
}

utcp_udp_t *
utcp__find_udp(utcp_t *u, const struct utcp__key *k)
{
	struct utcp__port *p = find_port(u, k, true);

	return p ? p->udp : NULL;
}
