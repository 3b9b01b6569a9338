/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem.c: the stack's memory, its randomness and its keyed hash.
 */
#include <stdlib.h>

#include "sockbuf.h"
#include "tcp_loss.h"
#include "tcp_syn.h"

/* ---- memory ------------------------------------------------------------ */

void *
utcp__alloc(utcp_t *u, size_t bytes)
{
	void *mem;

	if (u->cfg.alloc) {
		mem = u->cfg.alloc(u->cfg.alloc_arg, bytes);
		if (mem)
			memset(mem, 0, bytes);
	} else {
		mem = calloc(1, bytes);
	}
	if (mem)
		u->mem_bytes += bytes;
	return mem;
}

void *
utcp__alloc_raw(utcp_t *u, size_t bytes)
{
	void *mem = u->cfg.alloc ? u->cfg.alloc(u->cfg.alloc_arg, bytes)
				 : malloc(bytes);

	if (mem)
		u->mem_bytes += bytes;
	return mem;
}

void
utcp__free(utcp_t *u, void *mem, size_t bytes)
{
	if (!mem)
		return;
	UTCP_ASSERT(u->mem_bytes >= bytes);
	u->mem_bytes -= bytes;
	if (u->cfg.alloc)
		u->cfg.release(u->cfg.alloc_arg, mem, bytes);
	else
		free(mem);
}

/*
 * Pools. Objects are cut from chunks; a chunk in which none is used goes back,
 * but for one. Sockets begin on a cache line: then a connection is found with
 * one miss. Builds that check themselves take each object from the allocator,
 * so that a sanitizer sees one used after its end.
 */
#define CHUNK_BYTES (64u << 10)
#define LINE_BYTES 64u

struct chunk {
	struct utcp__link link; /* of its pool's lists */
	void *free;		/* singly linked through their first word */
	void *mem;		/* as allocated */
	uint32_t used;
};
_Static_assert(sizeof(struct chunk) <= LINE_BYTES, "objects are aligned");

void
utcp__pools_init(utcp_t *u)
{
	static const uint32_t bytes[UTCP__POOL_MAX] = {
		[UTCP__POOL_SOCK] = sizeof(struct utcp_sock_s),
		[UTCP__POOL_BUSY] = sizeof(struct utcp__busy),
		[UTCP__POOL_SYN] = sizeof(struct utcp__syn),
		[UTCP__POOL_TW] = sizeof(struct utcp__tw),
		[UTCP__POOL_SEG] = sizeof(struct utcp__seg),
		[UTCP__POOL_RBLK] = sizeof(struct utcp__rblk),
		[UTCP__POOL_CTL] = UTCP__CTL_PKT_BYTES,
	};
	unsigned int i;

	for (i = 0; i < UTCP__POOL_MAX; i++) {
		struct utcp__pool *pool = &u->pools[i];
		uint32_t align = i == UTCP__POOL_SOCK ? LINE_BYTES : 16;

		pool->bytes = (bytes[i] + 7) & ~7u;
		/* Behind the object stands its chunk. */
		pool->slot = (pool->bytes + 8 + align - 1) & ~(align - 1);
		link_init(&pool->partial);
		link_init(&pool->full);
	}
}

#if !defined(UTCP_DEBUG)
static void
chunk_free(utcp_t *u, struct chunk *c)
{
	link_remove(&c->link);
	utcp__free(u, c->mem, CHUNK_BYTES + LINE_BYTES);
}

void
utcp__pools_deinit(utcp_t *u)
{
	unsigned int i;

	for (i = 0; i < UTCP__POOL_MAX; i++) {
		struct utcp__pool *pool = &u->pools[i];

		if (!pool->slot)
			continue; /* never begun */
		while (!link_empty(&pool->partial))
			chunk_free(u, CONTAINER(pool->partial.next,
						struct chunk, link));
		while (!link_empty(&pool->full))
			chunk_free(
			    u, CONTAINER(pool->full.next, struct chunk, link));
	}
}

static struct chunk **
chunk_of(const struct utcp__pool *pool, void *obj)
{
	return (struct chunk **)(void *)((uint8_t *)obj + pool->bytes);
}

static int
pool_grow(utcp_t *u, struct utcp__pool *pool)
{
	uint8_t *mem = utcp__alloc_raw(u, CHUNK_BYTES + LINE_BYTES), *obj, *end;
	struct chunk *c;

	if (!mem)
		return -ENOMEM;
	c = (void *)(mem + (-(uintptr_t)mem & (LINE_BYTES - 1)));
	c->mem = mem;
	c->free = NULL;
	c->used = 0;
	link_append(&pool->partial, &c->link);
	pool->empty++;
	end = mem + CHUNK_BYTES + LINE_BYTES;
	obj = (uint8_t *)c + LINE_BYTES;
	for (; obj + pool->slot <= end; obj += pool->slot) {
		memcpy(obj, &c->free, sizeof(void *));
		c->free = obj;
		*chunk_of(pool, obj) = c;
	}
	return 0;
}

void *
utcp__pool_get(utcp_t *u, enum utcp__pool_id id)
{
	struct utcp__pool *pool = &u->pools[id];
	struct chunk *c;
	void *obj;

	if (UNLIKELY(link_empty(&pool->partial)) && pool_grow(u, pool))
		return NULL;
	c = CONTAINER(pool->partial.next, struct chunk, link);
	obj = c->free;
	memcpy(&c->free, obj, sizeof(void *));
	if (c->used++ == 0)
		pool->empty--;
	if (!c->free) {
		link_remove(&c->link);
		link_append(&pool->full, &c->link);
	}
	pool->used++;
	return memset(obj, 0, pool->bytes);
}

void
utcp__pool_put(utcp_t *u, enum utcp__pool_id id, void *obj)
{
	struct utcp__pool *pool = &u->pools[id];
	struct chunk *c = *chunk_of(pool, obj);

	if (!c->free) {
		link_remove(&c->link);
		link_append(pool->partial.next, &c->link);
	}
	memcpy(obj, &c->free, sizeof(void *));
	c->free = obj;
	pool->used--;
	if (--c->used)
		return;
	if (pool->empty) {
		chunk_free(u, c);
		return;
	}
	/* The one that stays is the last to be taken from. */
	pool->empty = 1;
	link_remove(&c->link);
	link_append(&pool->partial, &c->link);
}
#else
void
utcp__pools_deinit(utcp_t *u)
{
	unsigned int i;

	for (i = 0; i < UTCP__POOL_MAX; i++)
		UTCP_ASSERT(u->pools[i].used == 0);
}

void *
utcp__pool_get(utcp_t *u, enum utcp__pool_id id)
{
	void *obj = utcp__alloc(u, u->pools[id].bytes);

	if (obj)
		u->pools[id].used++;
	return obj;
}

void
utcp__pool_put(utcp_t *u, enum utcp__pool_id id, void *obj)
{
	UTCP_ASSERT(u->pools[id].used > 0);
	u->pools[id].used--;
	utcp__free(u, obj, u->pools[id].bytes);
}
#endif

/* ---- randomness: ChaCha20 (RFC 8439) with the seed for a key ----------- */

static inline uint32_t
rotl32(uint32_t v, int n)
{
	return v << n | v >> (32 - n);
}

static inline void
quarter(uint32_t x[16], int a, int b, int c, int d)
{
	x[a] += x[b];
	x[d] = rotl32(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotl32(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotl32(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotl32(x[b] ^ x[c], 7);
}

/* RFC 8439 section 2.3. */
void
utcp__chacha_block(const uint32_t in[16], uint32_t out[16])
{
	uint32_t x[16];
	int i;

	memcpy(x, in, sizeof(x));
	for (i = 0; i < 10; i++) {
		quarter(x, 0, 4, 8, 12);
		quarter(x, 1, 5, 9, 13);
		quarter(x, 2, 6, 10, 14);
		quarter(x, 3, 7, 11, 15);
		quarter(x, 0, 5, 10, 15);
		quarter(x, 1, 6, 11, 12);
		quarter(x, 2, 7, 8, 13);
		quarter(x, 3, 4, 9, 14);
	}
	for (i = 0; i < 16; i++)
		out[i] = x[i] + in[i];
}

void
utcp__random_init(utcp_t *u, const uint8_t seed[32])
{
	static const uint32_t sigma[4] = { 0x61707865, 0x3320646e, 0x79622d32,
					   0x6b206574 };

	memcpy(u->rng, sigma, sizeof(sigma));
	memcpy(u->rng + 4, seed, 32);
	u->rng_left = 0;
}

uint64_t
utcp__random(utcp_t *u)
{
	uint64_t v;

	if (u->rng_left < 2) {
		utcp__chacha_block(u->rng, u->rng_buf);
		if (++u->rng[12] == 0)
			u->rng[13]++;
		u->rng_left = 16;
	}
	u->rng_left -= 2;
	memcpy(&v, &u->rng_buf[u->rng_left], sizeof(v));
	return v;
}

/* ---- SipHash-2-4 (Aumasson, Bernstein) --------------------------------- */

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t
rotl64(uint64_t v, int n)
{
	return v << n | v >> (64 - n);
}

static inline void
sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotl64(s->v1, 13) ^ s->v0;
	s->v3 = rotl64(s->v3, 16) ^ s->v2;
	s->v0 = rotl64(s->v0, 32) + s->v3;
	s->v2 += s->v1;
	s->v3 = rotl64(s->v3, 21) ^ s->v0;
	s->v1 = rotl64(s->v1, 17) ^ s->v2;
	s->v2 = rotl64(s->v2, 32);
}

static inline void
sip_word(struct sip *s, uint64_t m)
{
	s->v3 ^= m;
	sip_round(s);
	sip_round(s);
	s->v0 ^= m;
}

uint64_t
utcp__siphash(const uint64_t key[2], const void *data, size_t len)
{
	struct sip s = { key[0] ^ 0x736f6d6570736575,
			 key[1] ^ 0x646f72616e646f6d,
			 key[0] ^ 0x6c7967656e657261,
			 key[1] ^ 0x7465646279746573 };
	const uint8_t *p = data;
	uint64_t last = (uint64_t)len << 56, m;
	size_t i;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&m, p, 8);
		if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
			m = __builtin_bswap64(m);
		sip_word(&s, m);
	}
	for (i = 0; i < len; i++)
		last |= (uint64_t)p[i] << (8 * i);
	sip_word(&s, last);
	s.v2 ^= 0xff;
	for (i = 0; i < 4; i++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
