/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Internet checksum: every way to compute it against a slow one that is
 * plainly right, over lengths, alignments and contents. The file under test is
 * compiled in here, for the ways that this machine's processor would not take.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../../lib/utcp/in_cksum.c"

#define SIZE 70000
#define GUARD 0xa5

static uint64_t seed = 1;

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % below;
}

/* RFC 1071 section 1, as it stands there: words in network order. */
static uint16_t
slow(const uint8_t *p, size_t len, uint16_t from)
{
	uint32_t sum = from;
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	if (len % 2 != 0)
		sum += (uint32_t)(p[len - 1] << 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Folded in memory order, as a value in network order. 0 and 0xffff are one. */
static uint16_t
value(uint64_t sum)
{
	uint16_t v = utcp__sum_fold(sum);

	v = get16(&v);
	return v == 0xffff ? 0 : v;
}

static uint16_t
expected(const uint8_t *p, size_t len)
{
	uint16_t v = slow(p, len, 0);

	return v == 0xffff ? 0 : v;
}

typedef uint64_t sum_fn(const uint8_t *, size_t, uint64_t);
typedef uint64_t copy_fn(uint8_t *, const uint8_t *, size_t, uint64_t);

static uint64_t
sum_public(const uint8_t *p, size_t len, uint64_t sum)
{
	return utcp__sum(p, len, sum);
}

static uint64_t
copy_public(uint8_t *to, const uint8_t *p, size_t len, uint64_t sum)
{
	return utcp__sum_copy(to, p, len, sum);
}

static struct {
	const char *name;
	sum_fn *sum;
	copy_fn *copy;
	bool avx2;
} ways[] = {
	{ "public", sum_public, copy_public, false },
	{ "words", sum_words, copy_words, false },
	{ "vectors", sum_vec, copy_vec, false },
#if defined(__x86_64__)
	{ "avx2", sum_avx2, copy_avx2, true },
#endif
};
#define NUM_WAYS (sizeof(ways) / sizeof(*ways))

static bool
can(size_t way)
{
#if defined(__x86_64__)
	return !ways[way].avx2 || __builtin_cpu_supports("avx2");
#else
	return !ways[way].avx2;
#endif
}

struct bufs {
	uint8_t *from, *to;
};

static int
setup(void **state)
{
	struct bufs *b = malloc(sizeof(*b));

	assert_non_null(b);
	b->from = malloc(SIZE);
	b->to = malloc(SIZE);
	assert_non_null(b->from);
	assert_non_null(b->to);
	for (size_t i = 0; i < SIZE; i++)
		b->from[i] = (uint8_t)rnd(256);
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct bufs *b = *state;

	free(b->from);
	free(b->to);
	free(b);
	return 0;
}

/* One length and alignment, all ways: the sum, the copy, nothing beside it. */
static void
try(struct bufs *b, size_t from, size_t to, size_t len)
{
	uint16_t want = expected(b->from + from, len);
	size_t w;

	for (w = 0; w < NUM_WAYS; w++) {
		uint64_t sum;

		if (!can(w))
			continue;
		sum = ways[w].sum(b->from + from, len, 0);
		assert_int_equal(value(sum), want);
		assert_true(sum >> 34 == 0);
		memset(b->to, GUARD, to + len + 64);
		sum = ways[w].copy(b->to + to, b->from + from, len, 0);
		assert_int_equal(value(sum), want);
		assert_true(sum >> 34 == 0);
		assert_memory_equal(b->to + to, b->from + from, len);
		for (size_t i = 0; i < to; i++)
			assert_int_equal(b->to[i], GUARD);
		for (size_t i = 0; i < 64; i++)
			assert_int_equal(b->to[to + len + i], GUARD);
	}
}

static void
every_short_length(void **state)
{
	for (size_t len = 0; len <= 700; len++)
		try(*state, len % 7, len % 5, len);
}

static void
every_alignment(void **state)
{
	for (size_t from = 0; from < 33; from++) {
		for (size_t to = 0; to < 33; to += 1 + from % 3) {
			try(*state, from, to, 100 + from * 3 + to);
			try(*state, from, to, 2048 + from + to);
		}
	}
}

static void
random_long_ones(void **state)
{
	for (int i = 0; i < 300; i++)
		try(*state, rnd(64), rnd(64), rnd(i % 10 == 0 ? 65000 : 4000));
}

static void
carries_all_come_back(void **state)
{
	struct bufs *b = *state;

	/* The most carries that there can be, and the fewest. */
	memset(b->from, 0xff, SIZE);
	for (size_t len = 0; len < 300; len++)
		try(b, len % 3, len % 2, len);
	try(b, 1, 2, 65535);
	memset(b->from, 0, SIZE);
	try(b, 0, 2, 65535);
	for (size_t i = 0; i < SIZE; i++)
		b->from[i] = i % 8 == 0 ? 0xff : 0;
	try(b, 0, 0, 65535);
	for (size_t i = 0; i < SIZE; i++)
		b->from[i] = (uint8_t)rnd(256);
}

/* A sum goes on over pieces, of which all but the last are even. */
static void
pieces_make_one_sum(void **state)
{
	struct bufs *b = *state;

	for (int i = 0; i < 400; i++) {
		size_t len = rnd(5000), at = 0;
		uint64_t sum = 0, copied = 0;

		while (at < len) {
			size_t n = rnd(900) & ~1u;

			if (n > len - at || n == 0)
				n = len - at;
			sum = utcp__sum(b->from + at, n, sum);
			copied = utcp__sum_copy(b->to + at, b->from + at, n,
						copied);
			at += n;
		}
		assert_int_equal(value(sum), expected(b->from, len));
		assert_int_equal(value(copied), expected(b->from, len));
		assert_memory_equal(b->to, b->from, len);
	}
}

static void
sums_can_be_added(void **state)
{
	struct bufs *b = *state;
	uint64_t total = 0;

	for (int i = 0; i < 40; i++)
		total += utcp__sum(b->from + i * 1000, 1000, 0);
	assert_int_equal(value(total), expected(b->from, 40000));
}

static void
fold_takes_any_sum(void **state)
{
	(void)state;
	assert_int_equal(utcp__sum_fold(0), 0);
	assert_int_equal(utcp__sum_fold(0xffff), 0xffff);
	assert_int_equal(utcp__sum_fold(0x10000), 1);
	assert_int_equal(utcp__sum_fold(UINT64_MAX), 0xffff);
	assert_int_equal(utcp__sum_fold(0xffff0000ffff0001ull), 1);
	for (int i = 0; i < 1000; i++) {
		uint64_t v = (uint64_t)rnd(UINT32_MAX) << 32 | rnd(UINT32_MAX);
		uint64_t m = v % 0xffff;

		assert_int_equal(utcp__sum_fold(v) % 0xffff, m);
		assert_true(utcp__sum_fold(v) != 0 || v == 0);
	}
}

static void
pseudo_headers_of_both_families(void **state)
{
	struct bufs *b = *state;

	for (int i = 0; i < 200; i++) {
		uint32_t len = rnd(65536);
		struct utcp__key k = { .family = i % 2 ? 4 : 6 };
		size_t n = k.family == 4 ? 4 : 16;
		uint8_t flat[40] = { 0 }, proto = (uint8_t)rnd(256);

		memcpy(k.laddr, b->from + i, n);
		memcpy(k.raddr, b->from + 100 + i, n);
		memcpy(flat, k.laddr, n);
		memcpy(flat + n, k.raddr, n);
		if (k.family == 4) { /* RFC 9293 section 3.1 */
			flat[9] = proto;
			put16(flat + 10, len);
		} else { /* RFC 8200 section 8.1 */
			put32(flat + 32, len);
			flat[39] = proto;
		}
		assert_int_equal(value(utcp__sum_pseudo(&k, proto, len)),
				 expected(flat, k.family == 4 ? 12 : 40));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_short_length),
		cmocka_unit_test(every_alignment),
		cmocka_unit_test(random_long_ones),
		cmocka_unit_test(carries_all_come_back),
		cmocka_unit_test(pieces_make_one_sum),
		cmocka_unit_test(sums_can_be_added),
		cmocka_unit_test(fold_takes_any_sum),
		cmocka_unit_test(pseudo_headers_of_both_families),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
