/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * in_cksum.c: the Internet checksum (RFC 1071), alone and on the way of a copy.
 *
 * A sum is kept as 64 bits whose value counts modulo 2^16 - 1 only. Because
 * 2^64 = 2^32 = 2^16 = 1 there, wide words may be added as well as narrow ones,
 * in the order of memory on a machine of any byte order. What these functions
 * return has at most 34 bits, so that callers can add several without a carry.
 */
#include "internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

/* The last bytes, fewer than 8, as if zeros followed. */
static inline uint64_t
load_tail(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	memcpy(&v, p, len);
	return v;
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
		a = add64(a, load_tail(p, len));
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
	if (len > 0) {
		uint64_t v = load_tail(p, len);

		memcpy(to, &v, len);
		a = add64(a, v);
	}
	return narrow(add64(a, b));
}

#if defined(__x86_64__)

#define TARGET_AVX2 __attribute__((target("avx2")))

/* 32-bit words gather in 64-bit lanes: the even ones as they are under a mask,
   the odd ones shifted down. A lane is full after 2^32 words. */
static inline TARGET_AVX2 __m256i
gather256(__m256i acc, __m256i v, __m256i mask)
{
	acc = _mm256_add_epi64(acc, _mm256_and_si256(v, mask));
	return _mm256_add_epi64(acc, _mm256_srli_epi64(v, 32));
}

static inline TARGET_AVX2 uint64_t
lanes256(__m256i a, __m256i b)
{
	__m256i s = _mm256_add_epi64(a, b);
	__m128i h = _mm_add_epi64(_mm256_castsi256_si128(s),
				  _mm256_extracti128_si256(s, 1));

	h = _mm_add_epi64(h, _mm_unpackhi_epi64(h, h));
	return (uint64_t)_mm_cvtsi128_si64(h);
}

static TARGET_AVX2 uint64_t
sum_avx2(const uint8_t *p, size_t len, uint64_t sum)
{
	const __m256i mask = _mm256_set1_epi64x(0xffffffff);
	__m256i a = _mm256_setzero_si256(), b = a;

	for (; len >= 64; len -= 64, p += 64) {
		a = gather256(a, _mm256_loadu_si256((const void *)p), mask);
		b = gather256(b, _mm256_loadu_si256((const void *)(p + 32)),
			      mask);
	}
	return sum_words(p, len, add64(sum, lanes256(a, b)));
}

static TARGET_AVX2 uint64_t
copy_avx2(uint8_t *to, const uint8_t *p, size_t len, uint64_t sum)
{
	const __m256i mask = _mm256_set1_epi64x(0xffffffff);
	__m256i a = _mm256_setzero_si256(), b = a;

	for (; len >= 64; len -= 64, p += 64, to += 64) {
		__m256i v = _mm256_loadu_si256((const void *)p);
		__m256i w = _mm256_loadu_si256((const void *)(p + 32));

		_mm256_storeu_si256((void *)to, v);
		_mm256_storeu_si256((void *)(to + 32), w);
		a = gather256(a, v, mask);
		b = gather256(b, w, mask);
	}
	return copy_words(to, p, len, add64(sum, lanes256(a, b)));
}

/* The same with what every x86-64 has. */
static inline __m128i
gather128(__m128i acc, __m128i v, __m128i mask)
{
	acc = _mm_add_epi64(acc, _mm_and_si128(v, mask));
	return _mm_add_epi64(acc, _mm_srli_epi64(v, 32));
}

static inline uint64_t
lanes128(__m128i a, __m128i b)
{
	a = _mm_add_epi64(a, b);
	a = _mm_add_epi64(a, _mm_unpackhi_epi64(a, a));
	return (uint64_t)_mm_cvtsi128_si64(a);
}

static uint64_t
sum_sse2(const uint8_t *p, size_t len, uint64_t sum)
{
	const __m128i mask = _mm_set1_epi64x(0xffffffff);
	__m128i a = _mm_setzero_si128(), b = a;

	for (; len >= 32; len -= 32, p += 32) {
		a = gather128(a, _mm_loadu_si128((const void *)p), mask);
		b = gather128(b, _mm_loadu_si128((const void *)(p + 16)), mask);
	}
	return sum_words(p, len, add64(sum, lanes128(a, b)));
}

static uint64_t
copy_sse2(uint8_t *to, const uint8_t *p, size_t len, uint64_t sum)
{
	const __m128i mask = _mm_set1_epi64x(0xffffffff);
	__m128i a = _mm_setzero_si128(), b = a;

	for (; len >= 32; len -= 32, p += 32, to += 32) {
		__m128i v = _mm_loadu_si128((const void *)p);
		__m128i w = _mm_loadu_si128((const void *)(p + 16));

		_mm_storeu_si128((void *)to, v);
		_mm_storeu_si128((void *)(to + 16), w);
		a = gather128(a, v, mask);
		b = gather128(b, w, mask);
	}
	return copy_words(to, p, len, add64(sum, lanes128(a, b)));
}

#endif /* __x86_64__ */

/* Below so many bytes the scalar loop is as fast. */
#define VECTOR_MIN 128

/* Which way is asked anew in each call: the compiler's runtime keeps the
   processor's features in a word that it fills before main, so there is no
   state of ours, and the branch is always taken the same way. */
uint64_t
utcp__sum(const void *p, size_t len, uint64_t sum)
{
#if defined(__x86_64__)
	if (len >= VECTOR_MIN) {
		if (__builtin_cpu_supports("avx2"))
			return sum_avx2(p, len, sum);
		return sum_sse2(p, len, sum);
	}
#endif
	return sum_words(p, len, sum);
}

uint64_t
utcp__sum_copy(void *to, const void *from, size_t len, uint64_t sum)
{
#if defined(__x86_64__)
	if (len >= VECTOR_MIN) {
		if (__builtin_cpu_supports("avx2"))
			return copy_avx2(to, from, len, sum);
		return copy_sse2(to, from, len, sum);
	}
#endif
	return copy_words(to, from, len, sum);
}

uint16_t
utcp__sum_fold(uint64_t sum)
{
	sum = narrow(sum);
	sum = narrow(sum);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

uint64_t
utcp__sum_pseudo(const struct utcp__key *k, uint8_t proto, uint32_t l4_bytes)
{
	/* RFC 9293 section 3.1 and RFC 8200 section 8.1: the same sum, since
	   what is wider in the latter is zeros. */
	uint32_t n = k->family == 4 ? 4 : 16;
	uint8_t rest[8] = { 0 };
	uint64_t sum;

	put32(rest, l4_bytes);
	rest[7] = proto;
	sum = load64(rest);
	if (n == 4) {
		sum = add64(sum, load_tail(k->laddr, 4));
		sum = add64(sum, load_tail(k->raddr, 4));
		return narrow(sum);
	}
	sum = add64(sum, load64(k->laddr));
	sum = add64(sum, load64(k->laddr + 8));
	sum = add64(sum, load64(k->raddr));
	sum = add64(sum, load64(k->raddr + 8));
	return narrow(sum);
}
