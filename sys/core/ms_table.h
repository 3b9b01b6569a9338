/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_table.h: the inside of the tuple table, for the batch path, which looks
 * up in steps (hash, prefetch, probe) and wants no call between them.
 *
 * A table per family: buckets of one cache line, open addressing from bucket
 * to bucket. Readers take no lock. An entry is published by its key, after its
 * value; it is taken back by a tombstone in its key, and only when all readers
 * of that time are gone may key and value be used again. A bucket that holds
 * an empty entry ends a probe.
 *
 * Hashing is multilinear (Dietzfelbinger 1996; Thorup 2015, "High speed
 * hashing for integers and strings"): the high 32 bits of k0 + k1*x1 + k2*x2
 * ... mod 2^64 are strongly universal for random 64-bit k. Who does not know
 * the keys cannot choose collisions. The last step is a bijection, which takes
 * nothing of that away; it breaks up rows of neighbouring ports and addresses,
 * which a linear function maps to rows.
 */
#ifndef MS_TABLE_H
#define MS_TABLE_H

#include "ms_core.h"

#define MS_BUCKET_ENTRIES 4
#define MS_NUMBERS 4096
#define MS_KEY_LIVE (1ull << 56) /* else: empty (0) or a tombstone */
#define MS_KEY_DEAD                                                            \
	(1ull << 57)		 /* deleted, may still be read; low bits: next
				    of the list */
#define MS_KEY_FREE (1ull << 58) /* deleted, may be used again */

struct ms_entry {
	uint64_t key;
	uint64_t value; /* IPv4: as ms_bind.value; IPv6: the ms_bind */
};

struct ms_bucket {
	struct ms_entry e[MS_BUCKET_ENTRIES];
};

struct ms_gen {		/* one size of a table */
	uint32_t shift; /* (c) of a hash, to a bucket */
	uint32_t mask;	/* (c) buckets - 1 */
	uint32_t used;	/* (b) entries not empty */
	uint32_t live;	/* (b) */
	uint64_t dead;	/* (b) 1 + index of the first of the dead, or 0 */
	struct ms_bind **bind; /* (b) of each entry; behind the buckets */
	uint8_t pad[MS_CACHE_LINE - 24 - sizeof(void *)];
	struct ms_bucket bucket[];
};

struct ms_addrs; /* ms_tuple.c */

struct ms_table {
	struct ms_gen *gen[2];	/* (r) IPv4, IPv6 */
	uint32_t wild[2];	/* (r) wildcard tuples */
	uint64_t addr_filter;	/* (r) one bit for each local address */
	struct ms_addrs *addrs; /* (r) */
	uint64_t key4[3];	/* (c) random, as all keys */
	uint64_t key6[2][6];	/* (c) [0] bucket and key, [1] key */
	uint64_t key_addr[5];	/* (c) */
	/* (r) TCP and UDP: claims of each port number, modulo MS_NUMBERS, of
	   any address of either family */
	uint32_t numbers[2][MS_NUMBERS];
};

/* Whether nobody can have claimed this number, as it lies on the wire. */
static inline bool
ms_table_number_free(const struct ms_table *t, bool udp, uint16_t port)
{
	uint16_t number = (uint16_t)(port << 8 | port >> 8);

	return ms_os_load_once(&t->numbers[udp][number % MS_NUMBERS]) == 0;
}

/* Of a multilinear sum. */
static inline uint32_t
ms_hash_end(uint64_t sum)
{
	uint32_t h = (uint32_t)(sum >> 32);

	h = (h ^ h >> 16) * 0x7feb352du;
	h = (h ^ h >> 15) * 0x846ca68bu;
	return h;
}

/* Of an IPv4 key: half of the last step is enough for buckets. */
static inline uint32_t
ms_hash2(const uint64_t k[3], uint64_t x)
{
	uint64_t sum = k[0] + k[1] * (uint32_t)x + k[2] * (x >> 32);
	uint32_t h = (uint32_t)(sum >> 32);

	return (h ^ h >> 15) * 0x2c1b3c6du;
}

/* addr and port as they lie on the wire, in the machine's own order. */
static inline uint64_t
ms_key4(uint32_t addr, uint16_t port, uint8_t proto)
{
	return MS_KEY_LIVE | (uint64_t)proto << 48 | (uint64_t)port << 32 |
	       addr;
}

static inline uint32_t
ms_table_hash4(const struct ms_table *t, uint64_t key)
{
	return ms_hash2(t->key4, key);
}

static inline const struct ms_bucket *
ms_gen_bucket(const struct ms_gen *g, uint32_t hash)
{
	return &g->bucket[hash >> g->shift];
}

static inline bool
ms_bucket_has_empty(const struct ms_bucket *b)
{
	return ms_os_load_once(&b->e[0].key) == 0 ||
	       ms_os_load_once(&b->e[1].key) == 0 ||
	       ms_os_load_once(&b->e[2].key) == 0 ||
	       ms_os_load_once(&b->e[3].key) == 0;
}

/*
 * The value of exactly this key, or 0. All entries of a bucket are compared and
 * the one that fits is picked by masks: which one it is, no branch predictor
 * could know. Read section.
 */
static inline uint64_t
ms_gen_probe4(const struct ms_gen *g, uint64_t key, uint32_t hash)
{
	uint32_t i = hash >> g->shift;
	const struct ms_bucket *b;
	uint64_t found, fits;
	unsigned int j;

	for (;;) {
		b = &g->bucket[i];
		found = 0;
		for (j = 0; j < MS_BUCKET_ENTRIES; j++) {
			fits = ms_os_load_acquire(&b->e[j].key) == key;
			found |= ms_os_load_once(&b->e[j].value) & (0 - fits);
		}
		if (ms_likely(found != 0))
			return found;
		if (ms_likely(ms_bucket_has_empty(b)))
			return 0;
		i = (i + 1) & g->mask;
	}
}

/* One bit of addr_filter for this address. */
static inline uint64_t
ms_table_addr_bit4(const struct ms_table *t, uint32_t addr)
{
	return 1ull << ((t->key_addr[0] + t->key_addr[1] * addr) >> 58);
}

/* Whether an IPv4 address may be local: nearly all others are told here. */
static inline bool
ms_table_perhaps4(const struct ms_table *t, const uint8_t *addr)
{
	uint32_t a;

	ms_move(&a, addr, 4);
	return (ms_os_load_once(&t->addr_filter) & ms_table_addr_bit4(t, a)) !=
		   0 ||
	       addr[0] == 127;
}

/* ms_table_addr_local() for IPv4. */
static inline bool
ms_table_local4(const struct ms_table *t, const uint8_t *addr)
{
	if (ms_likely(!ms_table_perhaps4(t, addr)))
		return false;
	return ms_table_addr_local(t, addr, 4);
}

/* What a value leads to: the first of a port's receive rings, and how many. */
static inline struct ms_kring *
ms_value_rings(uint64_t value)
{
	return (struct ms_kring *)(uintptr_t)(value & ~63ull);
}

static inline uint32_t
ms_value_num(uint64_t value)
{
	return (uint32_t)(value & 63) + 1;
}

static inline uint64_t
ms_port_value(const struct ms_port *port)
{
	return (uint64_t)(uintptr_t)port->rx | (uint64_t)(port->num_rx - 1);
}

/* As ms_table_lookup(), for the value; 0 if unclaimed. Read section. */
uint64_t ms_table_value(const struct ms_table *t, const struct ms_tuple *tuple);
/* The second half of it, for IPv4: exact was probed and not found. addr: of
   the tuple behind key. Read section. */
uint64_t ms_table_wild4(const struct ms_table *t, uint64_t key,
			const uint8_t *addr);

#endif /* MS_TABLE_H */
