/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * in_cksum.c: the Internet checksum (RFC 1071), alone and on the way of a copy.
 *
 * A sum is kept as 64 bits whose value counts modulo 2^16 - 1 only. Because
 * 2^64 = 2^32 = 2^16 = 1 there, wide words may be added as well as narrow ones,
 * in the order of memory on a machine of any byte order. What these functions
 * return has at most 34 bits, so that callers can add several without a carry.
 */
#include "ip.h"

/* Adds with the carry back in: 64 bits in one's complement. */
static inline uint64_t
add64(uint64_t a, uint64_t b)
{
	a += b;
	return a + (a < b);
}

static inline uint64_t
narrow(uint64_t sum)
{
	return (sum & 0xffffffff) + (sum >> 32);
}

static inline uint64_t
load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

static inline uint32_t
load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static inline uint16_t
load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

/* The last byte of an odd length: a zero follows (RFC 1071 section 1). */
static inline uint16_t
load_last(const uint8_t *p)
{
	const uint8_t two[2] = { p[0], 0 };

	return load16(two);
}

/* The last bytes, fewer than 8; a call of memcpy would cost more than they. */
static inline uint64_t
sum_tail(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;

	if (len & 4) {
		sum = load32(p);
		p += 4;
	}
	if (len & 2) {
		sum += load16(p);
		p += 2;
	}
	return len & 1 ? sum + load_last(p) : sum;
}

static inline uint64_t
copy_tail(uint8_t *to, const uint8_t *p, size_t len)
{
	uint64_t sum = sum_tail(p, len);

	if (len & 4) {
		memcpy(to, p, 4);
		to += 4;
		p += 4;
	}
	if (len & 2) {
		memcpy(to, p, 2);
		to += 2;
		p += 2;
	}
	if (len & 1)
		*to = *p;
	return sum;
}

static uint64_t
sum_words(const uint8_t *p, size_t len, uint64_t sum)
{
	uint64_t a = sum, b = 0;

	for (; len >= 16; len -= 16, p += 16) {
		a = add64(a, load64(p));
		b = add64(b, load64(p + 8));
	}
	if (len >= 8) {
		b = add64(b, load64(p));
		len -= 8;
		p += 8;
	}
	if (len > 0)
		a = add64(a, sum_tail(p, len));
	return narrow(add64(a, b));
}

static uint64_t
copy_words(uint8_t *to, const uint8_t *p, size_t len, uint64_t sum)
{
	uint64_t a = sum, b = 0;

	for (; len >= 16; len -= 16, p += 16, to += 16) {
		uint64_t v = load64(p), w = load64(p + 8);

		memcpy(to, &v, 8);
		memcpy(to + 8, &w, 8);
		a = add64(a, v);
		b = add64(b, w);
	}
	if (len >= 8) {
		uint64_t v = load64(p);

		memcpy(to, &v, 8);
		b = add64(b, v);
		len -= 8;
		p += 8;
		to += 8;
	}
	if (len > 0)
		a = add64(a, copy_tail(to, p, len));
	return narrow(add64(a, b));
}

/*
 * Vectors of 16 bytes, as the compiler makes them of whatever the machine has
 * (SSE2, NEON, VSX). Two sums in each 64-bit lane: of whole words, which
 * overflows, and of their upper halves, which does not. What the lower halves
 * come to is the first less the second at its place: exact, since it is below
 * 2^64. So a vector costs two additions and a shift.
 */
typedef uint64_t vec __attribute__((vector_size(16)));

struct lanes {
	vec all, high;
};

static inline void
gather(struct lanes *l, const uint8_t *p, vec *v)
{
	memcpy(v, p, 16);
	l->all += *v;
	l->high += *v >> 32;
}

static inline uint64_t
join(const struct lanes *a, const struct lanes *b)
{
	vec all = a->all + b->all, high = a->high + b->high;
	vec sum = high + (all - (high << 32));

	return sum[0] + sum[1];
}

static uint64_t
sum_vec(const uint8_t *p, size_t len, uint64_t sum)
{
	struct lanes a = { { 0 }, { 0 } }, b = a;
	vec v;

	for (; len >= 32; len -= 32, p += 32) {
		gather(&a, p, &v);
		gather(&b, p + 16, &v);
	}
	return sum_words(p, len, add64(sum, join(&a, &b)));
}

static uint64_t
copy_vec(uint8_t *to, const uint8_t *p, size_t len, uint64_t sum)
{
	struct lanes a = { { 0 }, { 0 } }, b = a;
	vec v, w;

	for (; len >= 32; len -= 32, p += 32, to += 32) {
		gather(&a, p, &v);
		gather(&b, p + 16, &w);
		memcpy(to, &v, 16);
		memcpy(to + 16, &w, 16);
	}
	return copy_words(to, p, len, add64(sum, join(&a, &b)));
}

#if defined(UTCP_AVX2)

#define ALIGN_MIN 2048
#define TARGET_AVX2 __attribute__((target("avx2")))

/* The same with vectors of 32 bytes. */
typedef uint64_t vec32 __attribute__((vector_size(32)));

struct lanes32 {
	vec32 all, high;
};

static inline TARGET_AVX2 void
gather32(struct lanes32 *l, const uint8_t *p, vec32 *v)
{
	memcpy(v, p, 32);
	l->all += *v;
	l->high += *v >> 32;
}

static inline TARGET_AVX2 uint64_t
join32(const struct lanes32 *a, const struct lanes32 *b)
{
	vec32 all = a->all + b->all, high = a->high + b->high;
	vec32 sum = high + (all - (high << 32));
	uint64_t r = sum[0] + sum[1] + sum[2] + sum[3];

	/* GCC 12 forgets it before a sibling call, and the caller's SSE code
	   then waits for upper halves that nobody wants. */
	__builtin_ia32_vzeroupper();
	return r;
}

static TARGET_AVX2 uint64_t
sum_avx2(const uint8_t *p, size_t len, uint64_t sum)
{
	struct lanes32 a = { { 0 }, { 0 } }, b = a;
	vec32 v;

	for (; len >= 64; len -= 64, p += 64) {
		gather32(&a, p, &v);
		gather32(&b, p + 32, &v);
	}
	return sum_words(p, len, add64(sum, join32(&a, &b)));
}

static TARGET_AVX2 uint64_t
copy_avx2(uint8_t *to, const uint8_t *p, size_t len, uint64_t sum)
{
	struct lanes32 a = { { 0 }, { 0 } }, b = a;
	size_t head = (0 - (uintptr_t)to) & 31;
	vec32 v, w;

	/* Stores that cross cache lines cost more than this detour; an odd
	   one would turn the words round. */
	if (len >= ALIGN_MIN && head % 2 == 0) {
		sum = copy_words(to, p, head, sum);
		to += head;
		p += head;
		len -= head;
	}
	for (; len >= 64; len -= 64, p += 64, to += 64) {
		gather32(&a, p, &v);
		gather32(&b, p + 32, &w);
		memcpy(to, &v, 32);
		memcpy(to + 32, &w, 32);
	}
	return copy_words(to, p, len, add64(sum, join32(&a, &b)));
}

#endif /* UTCP_AVX2 */

/* Below so many bytes the scalar loop is as fast. */
#define VECTOR_MIN 128

/* Which way is asked anew in each call: the compiler's runtime keeps the
   processor's features in a word that it fills before main, so there is no
   state of ours, and the branch is always taken the same way. */
uint64_t
utcp__sum(const void *p, size_t len, uint64_t sum)
{
	if (len >= VECTOR_MIN) {
#if defined(UTCP_AVX2)
		if (__builtin_cpu_supports("avx2"))
			return sum_avx2(p, len, sum);
#endif
		return sum_vec(p, len, sum);
	}
	return sum_words(p, len, sum);
}

uint64_t
utcp__sum_copy(void *to, const void *from, size_t len, uint64_t sum)
{
	if (len >= VECTOR_MIN) {
#if defined(UTCP_AVX2)
		/* Below, narrow stores win: fewer cross cache lines. */
		if (len >= ALIGN_MIN && __builtin_cpu_supports("avx2"))
			return copy_avx2(to, from, len, sum);
#endif
		return copy_vec(to, from, len, sum);
	}
	return copy_words(to, from, len, sum);
}

uint64_t
utcp__sum_pseudo(const struct utcp__key *k, uint8_t proto, uint32_t l4_bytes)
{
	/* RFC 9293 section 3.1 and RFC 8200 section 8.1: the same sum, since
	   what is wider in the latter is zeros. */
	uint32_t rest[2];
	uint64_t sum;

	put32(&rest[0], l4_bytes);
	put32(&rest[1], proto);
	sum = (uint64_t)rest[0] + rest[1];
	if (k->family == 4)
		return sum + load32(k->laddr) + load32(k->raddr);
	sum = add64(sum, load64(k->laddr));
	sum = add64(sum, load64(k->laddr + 8));
	sum = add64(sum, load64(k->raddr));
	sum = add64(sum, load64(k->raddr + 8));
	return narrow(sum);
}
