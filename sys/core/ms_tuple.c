/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_tuple.c: who owns (address, protocol, port). ms_table.h has the layout
 * and the rules for readers.
 *
 * A table grows, shrinks and sheds tombstones by building a new generation
 * beside the old one; readers see either, whole.
 */
#include "ms_parse.h"
#include "ms_table.h"

#define GEN_BUCKETS_MIN 16u
#define GEN_BUCKETS_MAX (1u << 26)
#define ADDRS_MIN 16u

struct ms_addr {
	uint8_t addr[16];
	uint32_t family; /* (r) 0: empty; published last */
	uint32_t refs;	 /* (b) */
};

struct ms_addrs {      /* open addressing, at most half full */
	uint32_t mask; /* (c) */
	uint32_t num;  /* (b) */
	struct ms_addr e[];
};

_Static_assert(sizeof(struct ms_bucket) == MS_CACHE_LINE, "one line");
_Static_assert(sizeof(struct ms_gen) == MS_CACHE_LINE, "buckets aligned");

static unsigned int
family_index(uint8_t family)
{
	return family == 6;
}

static bool
is_zero(const uint8_t *p, size_t bytes)
{
	while (bytes-- > 0) {
		if (*p++ != 0)
			return false;
	}
	return true;
}

static bool
tuple_wild(const struct ms_tuple *tuple)
{
	return is_zero(tuple->addr, tuple->family == 6 ? 16 : 4);
}

static bool
tuple_equal(const struct ms_tuple *a, const struct ms_tuple *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* ---- keys --------------------------------------------------------------- */

static uint32_t
hash6(const uint64_t k[6], const struct ms_tuple *tuple)
{
	uint64_t sum = k[0];
	uint32_t word;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		memcpy(&word, tuple->addr + 4 * i, sizeof(word));
		sum += k[1 + i] * word;
	}
	word = (uint32_t)tuple->port_be << 8 | tuple->proto;
	sum += k[5] * word;
	return ms_hash_end(sum);
}

static uint64_t
tuple_key(const struct ms_table *t, const struct ms_tuple *tuple,
	  uint32_t *hash)
{
	uint64_t key;
	uint32_t addr;

	if (tuple->family == 6) {
		*hash = hash6(t->key6[0], tuple);
		key = (uint64_t)hash6(t->key6[1], tuple) << 32 | *hash;
		return (key | MS_KEY_LIVE) & ~(MS_KEY_DEAD | MS_KEY_FREE);
	}
	memcpy(&addr, tuple->addr, 4);
	key = ms_key4(addr, tuple->port_be, tuple->proto);
	*hash = ms_table_hash4(t, key);
	return key;
}

static uint64_t
bind_entry_value(const struct ms_bind *bind)
{
	return bind->tuple.family == 6 ? (uint64_t)(uintptr_t)bind
				       : bind->value;
}

/* ---- generations -------------------------------------------------------- */

static struct ms_gen *
gen_create(uint32_t buckets)
{
	struct ms_gen *g;
	size_t per_bucket = sizeof(g->bucket[0]) +
			    MS_BUCKET_ENTRIES * sizeof(g->bind[0]);
	uint32_t log2 = 0;

	g = ms_os_alloc(sizeof(*g) + buckets * per_bucket);
	if (g == NULL)
		return NULL;
	while (1u << log2 < buckets)
		log2++;
	g->shift = 32 - log2;
	g->mask = buckets - 1;
	g->bind = (struct ms_bind **)(void *)&g->bucket[buckets];
	return g;
}

static uint64_t
gen_index(const struct ms_gen *g, const struct ms_entry *e)
{
	return (uint64_t)(e - &g->bucket[0].e[0]);
}

static uint64_t
gen_entries(const struct ms_gen *g)
{
	return ((uint64_t)g->mask + 1) * MS_BUCKET_ENTRIES;
}

/* Puts an entry where a probe will find it. There is room: g is at most half
   used. Readers may be at work. */
static void
gen_put(struct ms_gen *g, uint64_t key, uint32_t hash, struct ms_bind *bind)
{
	uint32_t i = hash >> g->shift;
	struct ms_entry *e;
	unsigned int j;

	for (;; i = (i + 1) & g->mask) {
		for (j = 0; j < MS_BUCKET_ENTRIES; j++) {
			e = &g->bucket[i].e[j];
			if (e->key != 0 && e->key != MS_KEY_FREE)
				continue;
			if (e->key == 0)
				g->used++;
			g->live++;
			g->bind[gen_index(g, e)] = bind;
			ms_os_store_once(&e->value, bind_entry_value(bind));
			ms_os_store_release(&e->key, key);
			return;
		}
	}
}

/* The entry of exactly this tuple, or NULL. */
static struct ms_entry *
gen_find(struct ms_gen *g, uint64_t key, uint32_t hash,
	 const struct ms_tuple *tuple)
{
	uint32_t i = hash >> g->shift;
	const struct ms_bind *bind;
	struct ms_bucket *b;
	uint64_t value;
	unsigned int j;

	for (;; i = (i + 1) & g->mask) {
		b = &g->bucket[i];
		for (j = 0; j < MS_BUCKET_ENTRIES; j++) {
			if (ms_os_load_acquire(&b->e[j].key) != key)
				continue;
			if (tuple->family != 6)
				return &b->e[j];
			value = ms_os_load_once(&b->e[j].value);
			bind = (const struct ms_bind *)(uintptr_t)value;
			if (tuple_equal(&bind->tuple, tuple))
				return &b->e[j];
		}
		if (ms_bucket_has_empty(b))
			return NULL;
	}
}

/*
 * The key of an entry is not enough to place an IPv4 entry's or an IPv6
 * entry's hash anew: the first is computed from the key, the second is its low
 * half but for the bits that say "live".
 */
static uint32_t
entry_hash(const struct ms_table *t, unsigned int f, uint64_t key)
{
	return f == 0 ? ms_table_hash4(t, key) : (uint32_t)key;
}

static uint32_t
gen_size_for(uint64_t live)
{
	uint32_t buckets = GEN_BUCKETS_MIN;

	while (buckets < GEN_BUCKETS_MAX &&
	       (uint64_t)buckets * MS_BUCKET_ENTRIES < 4 * live)
		buckets <<= 1;
	return buckets;
}

/* Moves everything into a generation that fits `live` entries. Sleeps. */
static int
gen_rebuild(struct ms_table *t, unsigned int f, uint64_t live)
{
	struct ms_gen *old = t->gen[f];
	struct ms_gen *g;
	const struct ms_entry *e;
	uint32_t i;
	unsigned int j;

	if (live * 2 > (uint64_t)GEN_BUCKETS_MAX * MS_BUCKET_ENTRIES)
		return -ENOMEM;
	g = gen_create(gen_size_for(live));
	if (g == NULL)
		return -ENOMEM;
	for (i = 0; i <= old->mask; i++) {
		for (j = 0; j < MS_BUCKET_ENTRIES; j++) {
			e = &old->bucket[i].e[j];
			if ((e->key & MS_KEY_LIVE) != 0)
				gen_put(g, e->key, entry_hash(t, f, e->key),
					old->bind[gen_index(old, e)]);
		}
	}
	ms_os_store_release(&t->gen[f], g);
	ms_os_read_sync();
	ms_os_free(old);
	return 0;
}

/* ---- the table ---------------------------------------------------------- */

static struct ms_addrs *
addrs_create(uint32_t size)
{
	struct ms_addrs *a;

	a = ms_os_alloc(sizeof(*a) + (size_t)size * sizeof(a->e[0]));
	if (a != NULL)
		a->mask = size - 1;
	return a;
}

int
ms_table_create(struct ms_table **out)
{
	struct ms_table *t;

	t = ms_os_alloc(sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	ms_os_random(t->key4, sizeof(t->key4));
	ms_os_random(t->key6, sizeof(t->key6));
	ms_os_random(t->key_addr, sizeof(t->key_addr));
	t->gen[0] = gen_create(GEN_BUCKETS_MIN);
	t->gen[1] = gen_create(GEN_BUCKETS_MIN);
	t->addrs = addrs_create(ADDRS_MIN);
	if (t->gen[0] == NULL || t->gen[1] == NULL || t->addrs == NULL) {
		ms_table_destroy(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

void
ms_table_destroy(struct ms_table *t)
{
	if (t == NULL)
		return;
	ms_os_free(t->gen[0]);
	ms_os_free(t->gen[1]);
	ms_os_free(t->addrs);
	ms_os_free(t);
}

/* Counts a claim, or takes it back. */
static void
number_count(struct ms_table *t, const struct ms_tuple *tuple, uint32_t by)
{
	uint16_t number = (uint16_t)(tuple->port_be << 8 | tuple->port_be >> 8);
	uint32_t *n;

	if (tuple->proto != MS_PROTO_TCP && tuple->proto != MS_PROTO_UDP)
		return;
	n = &t->numbers[tuple->proto == MS_PROTO_UDP][number % MS_NUMBERS];
	ms_os_store_once(n, *n + by);
}

int
ms_table_insert(struct ms_table *t, struct ms_bind *bind)
{
	unsigned int f = family_index(bind->tuple.family);
	struct ms_gen *g = t->gen[f];
	uint32_t hash;
	uint64_t key;
	int err;

	if (((uintptr_t)bind->port->rx & 63) != 0 || bind->port->num_rx == 0 ||
	    bind->port->num_rx > MS_RINGS_MAX ||
	    (bind->tuple.family != 4 && bind->tuple.family != 6))
		return -EINVAL;
	key = tuple_key(t, &bind->tuple, &hash);
	if (gen_find(g, key, hash, &bind->tuple) != NULL)
		return -EADDRINUSE;
	if (((uint64_t)g->used + 1) * 2 > gen_entries(g)) {
		err = gen_rebuild(t, f, (uint64_t)g->live + 1);
		if (err != 0)
			return err;
		g = t->gen[f];
	}
	ms_os_store_once(&bind->value, ms_port_value(bind->port));
	gen_put(g, key, hash, bind);
	number_count(t, &bind->tuple, 1);
	if (tuple_wild(&bind->tuple))
		ms_os_store_once(&t->wild[f], t->wild[f] + 1);
	return 0;
}

void
ms_table_delete(struct ms_table *t, struct ms_bind *bind)
{
	unsigned int f = family_index(bind->tuple.family);
	struct ms_gen *g = t->gen[f];
	struct ms_entry *e;
	uint32_t hash;
	uint64_t key;

	key = tuple_key(t, &bind->tuple, &hash);
	e = gen_find(g, key, hash, &bind->tuple);
	if (e == NULL)
		return;
	ms_os_store_once(&e->key, MS_KEY_DEAD | g->dead);
	g->dead = 1 + gen_index(g, e);
	g->live--;
	number_count(t, &bind->tuple, UINT32_MAX);
	if (tuple_wild(&bind->tuple))
		ms_os_store_once(&t->wild[f], t->wild[f] - 1);
}

/*
 * A bucket that has an empty entry was never passed by a probe since its
 * generation was built (a bucket once full gets no entry emptied while it has
 * none), so its tombstones stop nobody and become empty as well.
 */
static void
gen_reclaim(struct ms_gen *g)
{
	struct ms_entry *e;
	struct ms_bucket *b;
	uint64_t index;

	while (g->dead != 0) {
		index = g->dead - 1;
		b = &g->bucket[index / MS_BUCKET_ENTRIES];
		e = &b->e[index % MS_BUCKET_ENTRIES];
		g->dead = e->key & ~MS_KEY_DEAD;
		if (ms_bucket_has_empty(b)) {
			ms_os_store_once(&e->key, 0);
			g->used--;
		} else {
			ms_os_store_once(&e->key, MS_KEY_FREE);
		}
	}
}

void
ms_table_reclaim(struct ms_table *t)
{
	unsigned int f;

	for (f = 0; f < 2; f++) {
		gen_reclaim(t->gen[f]);
		/* Far too large by now: give memory back, if there is any to
		   build the smaller one. */
		if (t->gen[f]->mask + 1 > GEN_BUCKETS_MIN &&
		    (uint64_t)t->gen[f]->live * 16 < gen_entries(t->gen[f]))
			(void)gen_rebuild(t, f, t->gen[f]->live);
	}
}

void
ms_table_update(struct ms_table *t, struct ms_bind *bind)
{
	struct ms_gen *g = t->gen[family_index(bind->tuple.family)];
	struct ms_entry *e;
	uint32_t hash;
	uint64_t key;

	ms_os_store_once(&bind->value, ms_port_value(bind->port));
	key = tuple_key(t, &bind->tuple, &hash);
	e = gen_find(g, key, hash, &bind->tuple);
	if (e != NULL)
		ms_os_store_once(&e->value, bind_entry_value(bind));
}

/* ---- lookups ------------------------------------------------------------ */

static uint64_t
lookup_exact(const struct ms_table *t, const struct ms_tuple *tuple)
{
	unsigned int f = family_index(tuple->family);
	struct ms_gen *g = ms_os_load_acquire(&t->gen[f]);
	const struct ms_bind *bind;
	struct ms_entry *e;
	uint32_t hash;
	uint64_t key, value;

	key = tuple_key(t, tuple, &hash);
	if (f == 0)
		return ms_gen_probe4(g, key, hash);
	e = gen_find(g, key, hash, tuple);
	if (e == NULL)
		return 0;
	value = ms_os_load_once(&e->value);
	bind = (const struct ms_bind *)(uintptr_t)value;
	return ms_os_load_once(&bind->value);
}

uint64_t
ms_table_wild4(const struct ms_table *t, uint64_t key, const uint8_t *addr)
{
	struct ms_gen *g;

	if (ms_os_load_once(&t->wild[0]) == 0 || !ms_table_local4(t, addr))
		return 0;
	g = ms_os_load_acquire(&t->gen[0]);
	key &= ~0xffffffffull;
	return ms_gen_probe4(g, key, ms_table_hash4(t, key));
}

uint64_t
ms_table_value(const struct ms_table *t, const struct ms_tuple *tuple)
{
	struct ms_tuple wild;
	uint64_t value;

	if (tuple_wild(tuple)) /* the wildcard is no address of a packet */
		return 0;
	value = lookup_exact(t, tuple);
	if (value != 0)
		return value;
	if (ms_os_load_once(&t->wild[family_index(tuple->family)]) == 0 ||
	    !ms_table_addr_local(t, tuple->addr, tuple->family))
		return 0;
	wild = *tuple;
	memset(wild.addr, 0, sizeof(wild.addr));
	return lookup_exact(t, &wild);
}

struct ms_port *
ms_table_lookup(const struct ms_table *t, const struct ms_tuple *tuple)
{
	uint64_t value = ms_table_value(t, tuple);

	return value == 0 ? NULL : ms_value_rings(value)->port;
}

struct ms_bind *
ms_table_find(const struct ms_table *t, const struct ms_tuple *tuple)
{
	struct ms_gen *g = t->gen[family_index(tuple->family)];
	struct ms_bind *bind;
	struct ms_entry *e;
	uint32_t hash;
	uint64_t key;

	key = tuple_key(t, tuple, &hash);
	e = gen_find(g, key, hash, tuple);
	if (e == NULL)
		return NULL;
	/* What comes from callers may be no tuple at all. */
	bind = g->bind[gen_index(g, e)];
	return tuple_equal(&bind->tuple, tuple) ? bind : NULL;
}

uint64_t
ms_table_count(const struct ms_table *t)
{
	return (uint64_t)ms_os_load_once(&t->gen[0]->live) +
	       ms_os_load_once(&t->gen[1]->live);
}

/* ---- local addresses ---------------------------------------------------- */

static uint32_t
addr_hash(const struct ms_table *t, const uint8_t *addr, uint8_t family)
{
	uint64_t sum = t->key_addr[0];
	unsigned int words = family == 6 ? 4 : 1;
	unsigned int i;
	uint32_t word;

	for (i = 0; i < words; i++) {
		memcpy(&word, addr + 4 * i, sizeof(word));
		sum += t->key_addr[1 + i] * word;
	}
	return (uint32_t)(sum >> 32); /* ms_table_addr_bit4 takes its top */
}

static uint64_t
addr_bit(uint32_t hash)
{
	return 1ull << (hash >> 26);
}

static struct ms_addr *
addrs_find(struct ms_addrs *a, uint32_t hash, const uint8_t *addr,
	   uint8_t family)
{
	size_t bytes = family == 6 ? 16 : 4;
	uint32_t i = hash & a->mask;
	uint32_t have;

	for (;; i = (i + 1) & a->mask) {
		have = ms_os_load_acquire(&a->e[i].family);
		if (have == 0)
			return NULL;
		if (have == family && memcmp(a->e[i].addr, addr, bytes) == 0)
			return &a->e[i];
	}
}

static void
addrs_put(struct ms_addrs *a, uint32_t hash, const uint8_t *addr,
	  uint8_t family, uint32_t refs)
{
	uint32_t i = hash & a->mask;

	while (a->e[i].family != 0)
		i = (i + 1) & a->mask;
	memcpy(a->e[i].addr, addr, family == 6 ? 16 : 4);
	a->e[i].refs = refs;
	a->num++;
	ms_os_store_release(&a->e[i].family, family);
}

/* Copies all but `without` into a new table with room for `room` more. */
static int
addrs_rebuild(struct ms_table *t, uint32_t room, const struct ms_addr *without)
{
	struct ms_addrs *old = t->addrs;
	struct ms_addrs *a;
	const struct ms_addr *e;
	uint64_t filter = 0;
	uint32_t size = ADDRS_MIN;
	uint32_t hash, i;

	while (size < 2 * (old->num + room))
		size <<= 1;
	a = addrs_create(size);
	if (a == NULL)
		return -ENOMEM;
	for (i = 0; i <= old->mask; i++) {
		e = &old->e[i];
		if (e->family == 0 || e == without)
			continue;
		hash = addr_hash(t, e->addr, (uint8_t)e->family);
		addrs_put(a, hash, e->addr, (uint8_t)e->family, e->refs);
		filter |= addr_bit(hash);
	}
	ms_os_store_once(&t->addr_filter, filter);
	ms_os_store_release(&t->addrs, a);
	ms_os_read_sync();
	ms_os_free(old);
	return 0;
}

int
ms_table_addr_add(struct ms_table *t, const uint8_t *addr, uint8_t family)
{
	uint32_t hash = addr_hash(t, addr, family);
	struct ms_addr *e;
	int err;

	e = addrs_find(t->addrs, hash, addr, family);
	if (e != NULL) {
		e->refs++;
		return 0;
	}
	if (2 * (t->addrs->num + 1) > t->addrs->mask) {
		err = addrs_rebuild(t, t->addrs->num + 1, NULL);
		if (err != 0)
			return err;
	}
	addrs_put(t->addrs, hash, addr, family, 1);
	ms_os_store_once(&t->addr_filter, t->addr_filter | addr_bit(hash));
	return 0;
}

/*
 * Without memory for the smaller table the address stays where it is with no
 * references, and its bit in the filter with it: local for too long is
 * harmless, the host drops what is sent to it.
 */
void
ms_table_addr_del(struct ms_table *t, const uint8_t *addr, uint8_t family)
{
	struct ms_addr *e;

	e = addrs_find(t->addrs, addr_hash(t, addr, family), addr, family);
	if (e == NULL)
		return;
	if (e->refs > 0)
		e->refs--;
	if (e->refs == 0)
		(void)addrs_rebuild(t, 0, e);
}

bool
ms_table_addr_local(const struct ms_table *t, const uint8_t *addr,
		    uint8_t family)
{
	uint32_t hash;

	if (family == 4 && addr[0] == 127)
		return true;
	hash = addr_hash(t, addr, family);
	if ((ms_os_load_once(&t->addr_filter) & addr_bit(hash)) == 0)
		return false;
	return addrs_find(ms_os_load_acquire(&t->addrs), hash, addr, family) !=
	       NULL;
}
