/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tuple.c: the tuple table: what is found, what is not, what a reader may
 * see while it changes, a million entries.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ms_table.h"
#include "ms_user.h"

#define PORTS 4

static struct ms_table *table;
static struct ms_port ports[PORTS];

static int
setup(void **state)
{
	uint32_t i;

	(void)state;
	assert_int_equal(ms_table_create(&table), 0);
	for (i = 0; i < PORTS; i++) {
		memset(&ports[i], 0, sizeof(ports[i]));
		ports[i].id = i;
		ports[i].num_rx = (uint16_t)(i + 1);
		ports[i].rx = ms_os_alloc(ports[i].num_rx *
					  sizeof(*ports[i].rx));
		ports[i].rx[0].port = &ports[i];
	}
	return 0;
}

static int
teardown(void **state)
{
	uint32_t i;

	(void)state;
	assert_int_equal(ms_table_count(table), 0);
	ms_table_destroy(table);
	for (i = 0; i < PORTS; i++)
		ms_os_free(ports[i].rx);
	return 0;
}

static struct ms_tuple
tuple4(uint32_t addr, uint8_t proto, uint16_t port)
{
	struct ms_tuple t = { .family = 4, .proto = proto };

	addr = htonl(addr);
	memcpy(t.addr, &addr, 4);
	t.port_be = htons(port);
	return t;
}

static struct ms_tuple
tuple6(uint32_t low, uint8_t proto, uint16_t port)
{
	struct ms_tuple t = { .family = 6, .proto = proto };

	low = htonl(low);
	t.addr[0] = 0xfd;
	memcpy(t.addr + 12, &low, 4);
	t.port_be = htons(port);
	return t;
}

static struct ms_tuple
wild(uint8_t family, uint8_t proto, uint16_t port)
{
	struct ms_tuple t = { .family = family, .proto = proto };

	t.port_be = htons(port);
	return t;
}

static void
bind_to(struct ms_bind *b, struct ms_tuple t, struct ms_port *port)
{
	memset(b, 0, sizeof(*b));
	b->tuple = t;
	b->port = port;
	assert_int_equal(ms_table_insert(table, b), 0);
}

static void
unbind(struct ms_bind *b)
{
	ms_table_delete(table, b);
	ms_os_read_sync();
	ms_table_reclaim(table);
}

static struct ms_port *
lookup(struct ms_tuple t)
{
	struct ms_port *port;
	struct ms_read r;

	ms_os_read_enter(&r);
	port = ms_table_lookup(table, &t);
	ms_os_read_exit(&r);
	return port;
}

/* ---- what is found ---------------------------------------------------------- */

static void
test_only_the_same_tuple_is_found(void **state)
{
	const struct {
		struct ms_tuple t;
		bool hit;
	} cases[] = {
		{ tuple4(0x0a000001, 6, 80), true },
		{ tuple4(0x0a000002, 6, 80), false },
		{ tuple4(0x0a000001, 17, 80), false },
		{ tuple4(0x0a000001, 6, 81), false },
		{ tuple4(0x0a000001, 6, 0x5000), false },
		{ tuple4(0x0100000a, 6, 80), false },
		{ tuple6(0x0a000001, 17, 80), true },
		{ tuple6(0x0a000001, 6, 80), false },
		{ tuple6(0x0a000001, 17, 81), false },
		{ tuple6(0x0a000002, 17, 80), false },
		{ tuple4(0x0a000001, 253, 0), true },
		{ tuple4(0x0a000001, 254, 0), false },
	};
	struct ms_bind b[3];
	size_t i;

	(void)state;
	bind_to(&b[0], cases[0].t, &ports[0]);
	bind_to(&b[1], cases[6].t, &ports[1]);
	bind_to(&b[2], cases[10].t, &ports[2]);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(lookup(cases[i].t) != NULL, cases[i].hit);
		assert_int_equal(ms_table_find(table, &cases[i].t) != NULL,
				 cases[i].hit);
	}
	assert_ptr_equal(lookup(cases[0].t), &ports[0]);
	assert_ptr_equal(lookup(cases[6].t), &ports[1]);
	assert_ptr_equal(lookup(cases[10].t), &ports[2]);
	assert_int_equal(ms_table_count(table), 3);
	for (i = 0; i < 3; i++) {
		assert_ptr_equal(ms_table_find(table, &b[i].tuple), &b[i]);
		unbind(&b[i]);
		assert_null(lookup(b[i].tuple));
	}
}

static void
test_value_leads_to_all_rings(void **state)
{
	struct ms_bind b;
	uint64_t value;
	uint32_t i;

	(void)state;
	for (i = 0; i < PORTS; i++) {
		bind_to(&b, tuple4(0x0a000001, 6, 80), &ports[i]);
		value = ms_table_value(table, &b.tuple);
		assert_ptr_equal(ms_value_rings(value), ports[i].rx);
		assert_int_equal(ms_value_num(value), i + 1);
		assert_true(value == ms_port_value(&ports[i]));
		unbind(&b);
	}
}

static void
test_twice_is_refused(void **state)
{
	struct ms_bind a, b = { 0 };

	(void)state;
	bind_to(&a, tuple4(0x0a000001, 6, 80), &ports[0]);
	b.tuple = a.tuple;
	b.port = &ports[1];
	assert_int_equal(ms_table_insert(table, &b), -EADDRINUSE);
	assert_ptr_equal(lookup(a.tuple), &ports[0]);
	unbind(&a);
	bind_to(&a, tuple6(1, 6, 80), &ports[0]);
	b.tuple = a.tuple;
	assert_int_equal(ms_table_insert(table, &b), -EADDRINUSE);
	unbind(&a);
	/* what was never there is not taken away */
	ms_table_delete(table, &b);
	assert_int_equal(ms_table_count(table), 0);
}

static void
test_nonsense_is_refused(void **state)
{
	struct ms_port odd = ports[0];
	struct ms_bind b = { .port = &odd };

	(void)state;
	b.tuple = tuple4(1, 6, 80);
	odd.num_rx = 0;
	assert_int_equal(ms_table_insert(table, &b), -EINVAL);
	odd.num_rx = MS_RINGS_MAX + 1;
	assert_int_equal(ms_table_insert(table, &b), -EINVAL);
	odd.num_rx = 1;
	odd.rx = (struct ms_kring *)(void *)((uint8_t *)ports[0].rx + 8);
	assert_int_equal(ms_table_insert(table, &b), -EINVAL);
	odd.rx = ports[0].rx;
	b.tuple.family = 5;
	assert_int_equal(ms_table_insert(table, &b), -EINVAL);
	assert_null(ms_table_find(table, &b.tuple));
}

static void
test_update_moves_the_tuple(void **state)
{
	struct ms_bind b4, b6;

	(void)state;
	bind_to(&b4, tuple4(0x0a000001, 6, 80), &ports[0]);
	bind_to(&b6, tuple6(1, 6, 80), &ports[0]);
	b4.port = b6.port = &ports[3];
	ms_table_update(table, &b4);
	ms_table_update(table, &b6);
	assert_ptr_equal(lookup(b4.tuple), &ports[3]);
	assert_ptr_equal(lookup(b6.tuple), &ports[3]);
	assert_int_equal(ms_table_count(table), 2);
	unbind(&b4);
	unbind(&b6);
}

/* ---- wildcards and local addresses -------------------------------------------- */

static void
add_addr(struct ms_tuple t)
{
	assert_int_equal(ms_table_addr_add(table, t.addr, t.family), 0);
}

static void
del_addr(struct ms_tuple t)
{
	ms_table_addr_del(table, t.addr, t.family);
}

static bool
is_local(struct ms_tuple t)
{
	struct ms_read r;
	bool yes;

	ms_os_read_enter(&r);
	yes = ms_table_addr_local(table, t.addr, t.family);
	if (t.family == 4)
		assert_int_equal(ms_table_local4(table, t.addr), yes);
	ms_os_read_exit(&r);
	return yes;
}

static void
test_wildcard_matches_local_addresses_only(void **state)
{
	struct ms_bind w4, w6;

	(void)state;
	add_addr(tuple4(0x0a000001, 0, 0));
	add_addr(tuple6(1, 0, 0));
	bind_to(&w4, wild(4, 6, 80), &ports[0]);
	bind_to(&w6, wild(6, 6, 80), &ports[1]);
	assert_ptr_equal(lookup(tuple4(0x0a000001, 6, 80)), &ports[0]);
	assert_null(lookup(tuple4(0x0a000002, 6, 80)));
	assert_null(lookup(tuple4(0x0a000001, 6, 81)));
	assert_null(lookup(tuple4(0x0a000001, 17, 80)));
	assert_ptr_equal(lookup(tuple4(0x7f000001, 6, 80)), &ports[0]);
	assert_ptr_equal(lookup(tuple6(1, 6, 80)), &ports[1]);
	assert_null(lookup(tuple6(2, 6, 80)));
	/* the wildcard itself is not an address of any packet */
	assert_null(lookup(w4.tuple));
	assert_null(lookup(w6.tuple));
	assert_ptr_equal(ms_table_find(table, &w4.tuple), &w4);
	del_addr(tuple4(0x0a000001, 0, 0));
	assert_null(lookup(tuple4(0x0a000001, 6, 80)));
	del_addr(tuple6(1, 0, 0));
	unbind(&w4);
	unbind(&w6);
	assert_null(lookup(tuple4(0x7f000001, 6, 80)));
}

static void
test_exact_beats_wildcard(void **state)
{
	struct ms_bind w, e;

	(void)state;
	add_addr(tuple4(0x0a000001, 0, 0));
	add_addr(tuple4(0x0a000002, 0, 0));
	bind_to(&w, wild(4, 17, 53), &ports[0]);
	bind_to(&e, tuple4(0x0a000001, 17, 53), &ports[1]);
	assert_ptr_equal(lookup(tuple4(0x0a000001, 17, 53)), &ports[1]);
	assert_ptr_equal(lookup(tuple4(0x0a000002, 17, 53)), &ports[0]);
	unbind(&e);
	assert_ptr_equal(lookup(tuple4(0x0a000001, 17, 53)), &ports[0]);
	unbind(&w);
	assert_null(lookup(tuple4(0x0a000001, 17, 53)));
}

static void
test_addresses_are_counted(void **state)
{
	struct ms_tuple a = tuple4(0x0a000001, 0, 0);

	(void)state;
	add_addr(a);
	add_addr(a);
	del_addr(a);
	assert_true(is_local(a));
	del_addr(a);
	assert_false(is_local(a));
	del_addr(a); /* not there: nothing happens */
	assert_true(is_local(tuple4(0x7f123456, 0, 0)));
	assert_false(is_local(tuple4(0x80000001, 0, 0)));
	/* an IPv6 address that begins with the same bytes is another */
	add_addr(a);
	a.family = 6;
	assert_false(is_local(a));
	a.family = 4;
	del_addr(a);
}

static void
test_many_addresses(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 500; i++)
		add_addr(i % 2 ? tuple4(0x0a000000 + i, 0, 0)
			       : tuple6(i, 0, 0));
	for (i = 0; i < 1000; i++)
		assert_int_equal(is_local(i % 2 ? tuple4(0x0a000000 + i, 0, 0)
						: tuple6(i, 0, 0)),
				 i < 500);
	for (i = 0; i < 500; i += 3)
		del_addr(i % 2 ? tuple4(0x0a000000 + i, 0, 0)
			       : tuple6(i, 0, 0));
	for (i = 0; i < 500; i++)
		assert_int_equal(is_local(i % 2 ? tuple4(0x0a000000 + i, 0, 0)
						: tuple6(i, 0, 0)),
				 i % 3 != 0);
}

/* ---- tombstones ------------------------------------------------------------------ */

static uint32_t
used(unsigned int f)
{
	return table->gen[f]->used;
}

/* A place is not used again before those who may still read it are gone. */
static void
test_tombstone_waits_for_reclaim(void **state)
{
	struct ms_tuple t = tuple4(0x0a000001, 6, 80);
	struct ms_bind a, b;

	(void)state;
	bind_to(&a, t, &ports[0]);
	ms_table_delete(table, &a);
	assert_null(lookup(t));
	assert_int_equal(ms_table_count(table), 0);
	assert_int_equal(used(0), 1);
	bind_to(&b, t, &ports[1]); /* elsewhere in the bucket */
	assert_int_equal(used(0), 2);
	assert_ptr_equal(lookup(t), &ports[1]);
	ms_os_read_sync();
	ms_table_reclaim(table);
	assert_int_equal(used(0), 1);
	assert_ptr_equal(lookup(t), &ports[1]);
	ms_table_reclaim(table); /* twice is nothing */
	assert_int_equal(used(0), 1);
	unbind(&b);
	assert_int_equal(used(0), 0);
}

/* Buckets that overflow keep their tombstones, so that a probe goes on. */
static void
test_probe_goes_on_past_tombstones(void **state)
{
	static struct ms_bind b[32];
	uint32_t i, j, hash;
	uint32_t n = 0;
	uint64_t key;
	struct ms_tuple t;

	(void)state;
	/* more tuples of one bucket than it holds */
	for (i = 0; n < 7; i++) {
		t = tuple4(0x0a000000 + i, 6, 80);
		key = ms_key4(htonl(0x0a000000 + i), t.port_be, 6);
		hash = ms_table_hash4(table, key);
		if (hash >> table->gen[0]->shift == 3) {
			bind_to(&b[n], t, &ports[n % PORTS]);
			n++;
		}
	}
	for (i = 0; i < n; i++) {
		ms_table_delete(table, &b[i]);
		for (j = 0; j < n; j++)
			assert_int_equal(lookup(b[j].tuple) != NULL, j > i);
		if (i % 2)
			ms_table_reclaim(table);
		for (j = 0; j < n; j++)
			assert_int_equal(lookup(b[j].tuple) != NULL, j > i);
	}
	ms_table_reclaim(table);
	assert_int_equal(ms_table_count(table), 0);
	/* the full bucket's places are used again */
	j = used(0);
	for (i = 0; i < n; i++)
		bind_to(&b[i], b[i].tuple, b[i].port);
	assert_true(used(0) < j + n);
	for (i = 0; i < n; i++)
		assert_ptr_equal(lookup(b[i].tuple), b[i].port);
	for (i = 0; i < n; i++)
		unbind(&b[i]);
}

/* For ever binding and unbinding, the table stays small. */
static void
test_churn_does_not_grow(void **state)
{
	struct ms_bind b[8];
	uint32_t round, i;

	(void)state;
	for (i = 0; i < 8; i++)
		bind_to(&b[i], tuple4(i, 6, 80), &ports[0]);
	for (round = 0; round < 20000; round++) {
		i = round % 8;
		ms_table_delete(table, &b[i]);
		bind_to(&b[i], tuple4(round, 17, (uint16_t)round), &ports[1]);
		if (round % 4 == 0) {
			ms_os_read_sync();
			ms_table_reclaim(table);
		}
	}
	assert_true(table->gen[0]->mask < 32);
	assert_int_equal(ms_table_count(table), 8);
	for (i = 0; i < 8; i++)
		unbind(&b[i]);
}

/* IPv6 keys are hashes: different tuples may share one. */
static void
test_equal_fingerprints_are_told_apart(void **state)
{
	struct ms_bind a, b;

	(void)state;
	/* keys that make all hashes one */
	memset(table->key6, 0, sizeof(table->key6));
	bind_to(&a, tuple6(1, 6, 80), &ports[0]);
	bind_to(&b, tuple6(2, 17, 81), &ports[1]);
	assert_ptr_equal(lookup(a.tuple), &ports[0]);
	assert_ptr_equal(lookup(b.tuple), &ports[1]);
	assert_null(lookup(tuple6(3, 6, 80)));
	unbind(&a);
	assert_null(lookup(a.tuple));
	assert_ptr_equal(lookup(b.tuple), &ports[1]);
	unbind(&b);
}

/* ---- keys ----------------------------------------------------------------------------- */

static void
test_every_table_hashes_differently(void **state)
{
	struct ms_table *other;
	uint32_t i, same = 0;

	(void)state;
	assert_int_equal(ms_table_create(&other), 0);
	for (i = 0; i < 1000; i++)
		same += ms_table_hash4(table, ms_key4(i, 80, 6)) >> 24 ==
			ms_table_hash4(other, ms_key4(i, 80, 6)) >> 24;
	assert_true(same < 50);
	ms_table_destroy(other);
}

/* How many pairs of neighbouring tuples, as clients choose them, meet in one of
   64 groups of buckets. */
static uint64_t
pairs(const struct ms_table *t)
{
	uint64_t count[64] = { 0 }, sum = 0;
	uint32_t i, hash;

	for (i = 0; i < 6400; i++) {
		hash = ms_table_hash4(t,
				      ms_key4(htonl(0x0a000000 + i / 100),
					      htons((uint16_t)(i % 100)), 6));
		count[hash >> 26]++;
	}
	for (i = 0; i < 64; i++)
		sum += count[i] * (count[i] - 1) / 2;
	return sum;
}

/* Of universal hashing only the mean over all keys is known: most keys are no
   worse than twice of it. */
static void
test_hash_spreads(void **state)
{
	const uint64_t mean = 6400ull * 6399 / 2 / 64;
	struct ms_table *t;
	uint32_t i, bad = 0;

	(void)state;
	for (i = 0; i < 101; i++) {
		assert_int_equal(ms_table_create(&t), 0);
		bad += pairs(t) > 2 * mean;
		ms_table_destroy(t);
	}
	assert_in_range(bad, 0, 50);
}

/* ---- growth ------------------------------------------------------------------------------ */

#define MILLION 1000000

static struct ms_tuple
nth(uint32_t i)
{
	return tuple4(0x0a000000 + (i >> 14), i & 1 ? 6 : 17,
		      (uint16_t)(1 + i % 16384));
}

static void
test_a_million(void **state)
{
	struct ms_bind *b = calloc(MILLION, sizeof(*b));
	uint32_t i;

	(void)state;
	assert_non_null(b);
	for (i = 0; i < MILLION; i++)
		bind_to(&b[i], nth(i), &ports[i % PORTS]);
	assert_int_equal(ms_table_count(table), MILLION);
	for (i = 0; i < MILLION; i++)
		assert_ptr_equal(lookup(b[i].tuple), &ports[i % PORTS]);
	for (i = 0; i < 100000; i++)
		assert_null(lookup(tuple4(0x0b000000 + i, 6, 80)));
	assert_ptr_equal(ms_table_find(table, &b[777777].tuple), &b[777777]);
	for (i = 0; i < MILLION; i++) {
		ms_table_delete(table, &b[i]);
		if (i % 100000 == 99999) {
			ms_os_read_sync();
			ms_table_reclaim(table);
		}
	}
	assert_int_equal(ms_table_count(table), 0);
	assert_true(table->gen[0]->mask < 1024); /* it gave memory back */
	free(b);
}

static void
test_no_memory_to_grow(void **state)
{
	struct ms_bind *b = calloc(1000, sizeof(*b));
	uint32_t i, n;
	int err = 0;

	(void)state;
	for (n = 0; n < 1000; n++) {
		b[n].tuple = nth(n);
		b[n].port = &ports[0];
		ms_os_fail_after(1, true);
		err = ms_table_insert(table, &b[n]);
		ms_os_fail_after(0, false);
		if (err != 0)
			break;
	}
	assert_int_equal(err, -ENOMEM);
	for (i = 0; i < n; i++)
		assert_ptr_equal(lookup(b[i].tuple), &ports[0]);
	assert_null(lookup(b[n].tuple));
	bind_to(&b[n], nth(n), &ports[1]);
	assert_ptr_equal(lookup(b[n].tuple), &ports[1]);
	for (i = 0; i <= n; i++)
		unbind(&b[i]);
	free(b);
}

static void
test_create_without_memory(void **state)
{
	struct ms_table *t = NULL;
	unsigned int n;
	int err = -ENOMEM;

	(void)state;
	for (n = 1; err == -ENOMEM; n++) {
		assert_true(n < 20);
		ms_os_fail_after(n, false);
		err = ms_table_create(&t);
	}
	ms_os_fail_after(0, false);
	assert_int_equal(err, 0);
	assert_true(n > 3);
	ms_table_destroy(t);
	ms_table_destroy(NULL);
}

/* ---- readers beside a writer ---------------------------------------------------------------- */

#define STABLE 64
#define CHANGING 2000

static struct ms_bind stable[2 * STABLE], changing[2][CHANGING];
static struct ms_tuple asked[2][CHANGING]; /* by the readers */
static uint32_t stop;
static uint64_t wrong;

/* Entries that stay are always found; those that come and go are found with
   their own port or not at all. */
static void *
reader(void *arg)
{
	struct ms_port *port;
	struct ms_read r;
	uint32_t i = 0;

	while (!ms_os_load_once(&stop)) {
		ms_os_read_enter(&r);
		port = ms_table_lookup(table, &stable[i % (2 * STABLE)].tuple);
		if (port != &ports[i % (2 * STABLE) % 2])
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
		port = ms_table_lookup(table, &asked[i % 2][i % CHANGING]);
		if (port != NULL && port != &ports[2 + i % 2])
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
		(void)ms_table_addr_local(table, asked[0][i % 64].addr, 4);
		ms_os_read_exit(&r);
		i++;
	}
	return arg;
}

static void
writer(void)
{
	struct ms_bind *b[2];
	uint32_t round, i, f;

	for (round = 0; round < 6; round++) {
		for (i = 0; i < CHANGING; i++)
			for (f = 0; f < 2; f++)
				bind_to(&changing[f][i], asked[f][i],
					&ports[2 + f]);
		for (i = 0; i < CHANGING; i++) {
			b[0] = &changing[0][i];
			b[1] = &changing[1][(i * 7) % CHANGING];
			ms_table_delete(table, b[0]);
			ms_table_delete(table, b[1]);
			if (i % 64 == 0) {
				ms_os_read_sync();
				ms_table_reclaim(table);
			}
			if (i % 100 == 0) {
				add_addr(b[0]->tuple);
				del_addr(b[0]->tuple);
			}
		}
		ms_os_read_sync();
		ms_table_reclaim(table);
	}
}

static void
test_growth_beside_readers(void **state)
{
	pthread_t thread[2];
	uint32_t i;

	(void)state;
	for (i = 0; i < STABLE; i++) {
		bind_to(&stable[2 * i], tuple4(i + 1, 6, 7), &ports[0]);
		bind_to(&stable[2 * i + 1], tuple6(i, 6, 7), &ports[1]);
	}
	for (i = 0; i < CHANGING; i++) {
		asked[0][i] = tuple4(0x0a000000 + i, 17, 9);
		asked[1][i] = tuple6(0x0a000000 + i, 17, 9);
	}
	stop = 0;
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, reader, NULL),
				 0);
	writer();
	ms_os_store_once(&stop, 1);
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(wrong, 0);
	for (i = 0; i < 2 * STABLE; i++)
		unbind(&stable[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_only_the_same_tuple_is_found),
		TEST(test_value_leads_to_all_rings),
		TEST(test_twice_is_refused),
		TEST(test_nonsense_is_refused),
		TEST(test_update_moves_the_tuple),
		TEST(test_wildcard_matches_local_addresses_only),
		TEST(test_exact_beats_wildcard),
		TEST(test_addresses_are_counted),
		TEST(test_many_addresses),
		TEST(test_tombstone_waits_for_reclaim),
		TEST(test_probe_goes_on_past_tombstones),
		TEST(test_churn_does_not_grow),
		TEST(test_equal_fingerprints_are_told_apart),
		TEST(test_every_table_hashes_differently),
		TEST(test_hash_spreads),
		TEST(test_a_million),
		TEST(test_no_memory_to_grow),
		TEST(test_create_without_memory),
		TEST(test_growth_beside_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
