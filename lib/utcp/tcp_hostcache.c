/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_hostcache.c: what is known of peers, over connections (RFC 9040). So many
 * and no more: the least recently asked for makes room.
 */
#include "tcp_syn.h"

#define HOSTS_MAX 4096u
#define BUCKETS 1024u

struct node {
	struct node *next; /* in its bucket */
	struct utcp__link lru;
	uint8_t addr[16];
	uint8_t family;
	uint32_t bucket;
	struct utcp__host host;
};

struct utcp__hosts {
	struct utcp__link lru; /* the one longest not asked for, first */
	uint32_t num;
	struct node *bucket[BUCKETS];
};

static uint32_t
bucket_of(const utcp_t *u, const uint8_t *addr, uint8_t family)
{
	uint8_t in[17];

	memcpy(in, addr, 16);
	in[16] = family;
	return (uint32_t)utcp__siphash(u->key_hash, in, sizeof(in)) &
	       (BUCKETS - 1);
}

static void
node_unlink(struct utcp__hosts *h, struct node *n)
{
	struct node **at = &h->bucket[n->bucket];

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	link_remove(&n->lru);
	h->num--;
}

static struct utcp__hosts *
hosts_get(utcp_t *u)
{
	if (u->hosts == NULL) {
		u->hosts = utcp__alloc(u, sizeof(*u->hosts));
		if (u->hosts != NULL)
			link_init(&u->hosts->lru);
	}
	return u->hosts;
}

static struct node *
node_add(utcp_t *u, struct utcp__hosts *h, const uint8_t addr[16],
	 uint8_t family, uint32_t bucket)
{
	struct node *n;

	if (h->num >= HOSTS_MAX) {
		n = CONTAINER(h->lru.next, struct node, lru);
		node_unlink(h, n);
		memset(n, 0, sizeof(*n));
	} else {
		n = utcp__alloc(u, sizeof(*n));
		if (n == NULL)
			return NULL;
	}
	memcpy(n->addr, addr, 16);
	n->family = family;
	n->bucket = bucket;
	n->next = h->bucket[bucket];
	h->bucket[bucket] = n;
	link_append(&h->lru, &n->lru);
	h->num++;
	return n;
}

struct utcp__host *
utcp__host(utcp_t *u, const uint8_t *raddr, uint8_t family, bool add)
{
	struct utcp__hosts *h = add ? hosts_get(u) : u->hosts;
	uint8_t addr[16] = { 0 };
	uint32_t bucket;
	struct node *n;

	if (h == NULL || (h->num == 0 && !add))
		return NULL;
	memcpy(addr, raddr, family == 4 ? 4 : 16);
	bucket = bucket_of(u, addr, family);
	for (n = h->bucket[bucket]; n != NULL; n = n->next)
		if (n->family == family && memcmp(n->addr, addr, 16) == 0)
			break;
	if (n != NULL) {
		link_remove(&n->lru);
		link_append(&h->lru, &n->lru);
		return &n->host;
	}
	if (!add)
		return NULL;
	n = node_add(u, h, addr, family, bucket);
	return n == NULL ? NULL : &n->host;
}

void
utcp__hosts_deinit(utcp_t *u)
{
	struct utcp__hosts *h = u->hosts;

	if (h == NULL)
		return;
	while (!link_empty(&h->lru)) {
		struct node *n = CONTAINER(h->lru.next, struct node, lru);

		node_unlink(h, n);
		utcp__free(u, n, sizeof(*n));
	}
	utcp__free(u, h, sizeof(*h));
	u->hosts = NULL;
}
