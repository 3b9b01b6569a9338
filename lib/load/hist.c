/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hist.c: what is asked of a histogram after it has been filled, and its
 * encoding (HdrHistogram's V2, https://hdrhistogram.org).
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hist.h"

#define COOKIE 0x1c849313u	      /* version 2, counts as varints */
#define COOKIE_COMPRESSED 0x1c849314u /* and zlib's format around it */
#define HEAD_BYTES 40
#define STORED_MAX 65535u /* bytes of a block that deflate leaves as it is */

struct hist *
hist_create(void)
{
	struct hist *h = calloc(1, sizeof *h);

	if (h)
		h->min = UINT64_MAX;
	return h;
}

void
hist_destroy(struct hist *h)
{
	free(h);
}

void
hist_reset(struct hist *h)
{
	memset(h, 0, sizeof *h);
	h->min = UINT64_MAX;
}

void
hist_add(struct hist *to, const struct hist *from)
{
	for (unsigned int i = 0; i < HIST_COUNTS; i++)
		to->counts[i] += from->counts[i];
	to->total += from->total;
	if (from->min < to->min)
		to->min = from->min;
	if (from->max > to->max)
		to->max = from->max;
}

uint64_t
hist_value(unsigned int i)
{
	unsigned int bucket = i / HIST_HALF;

	if (bucket < 2)
		return i;
	return (uint64_t)(i % HIST_HALF + HIST_HALF) << (bucket - 1);
}

uint64_t
hist_width(unsigned int i)
{
	unsigned int bucket = i / HIST_HALF;

	return bucket < 2 ? 1 : 1ull << (bucket - 1);
}

/* What stands for all values of a count. */
static uint64_t
middle(unsigned int i)
{
	return hist_value(i) + hist_width(i) / 2;
}

void
hist_add_corrected(struct hist *to, const struct hist *from,
		   uint64_t interval_ns)
{
	hist_add(to, from);
	if (interval_ns == 0)
		return;
	for (unsigned int i = 0; i < HIST_COUNTS; i++) {
		uint64_t v = middle(i);

		if (from->counts[i] == 0)
			continue;
		for (; v >= 2 * interval_ns; v -= interval_ns)
			hist_record_n(to, v - interval_ns, from->counts[i]);
	}
}

uint64_t
hist_percentile(const struct hist *h, double percent)
{
	uint64_t want = (uint64_t)ceil(percent / 100 * (double)h->total);
	uint64_t seen = 0, v;

	if (h->total == 0)
		return 0;
	if (want == 0)
		want = 1;
	for (unsigned int i = 0; i < HIST_COUNTS; i++) {
		seen += h->counts[i];
		if (seen >= want) {
			v = hist_value(i) + hist_width(i) - 1;
			return v < h->max ? v : h->max;
		}
	}
	return h->max;
}

double
hist_mean(const struct hist *h)
{
	double sum = 0;

	for (unsigned int i = 0; i < HIST_COUNTS; i++)
		sum += (double)h->counts[i] * (double)middle(i);
	return h->total ? sum / (double)h->total : 0;
}

double
hist_stdev(const struct hist *h)
{
	double mean = hist_mean(h), sum = 0;

	for (unsigned int i = 0; i < HIST_COUNTS; i++) {
		double d = (double)middle(i) - mean;

		if (h->counts[i])
			sum += (double)h->counts[i] * d * d;
	}
	return h->total ? sqrt(sum / (double)h->total) : 0;
}

/* ---- encoding ----------------------------------------------------------------- */

static uint8_t *
put_be(uint8_t *to, uint64_t v, unsigned int bytes)
{
	while (bytes--)
		*to++ = (uint8_t)(v >> 8 * bytes);
	return to;
}

/* Sign in the lowest bit, seven bits a byte, the ninth byte whole. */
static uint8_t *
put_varint(uint8_t *to, int64_t n)
{
	uint64_t v = (uint64_t)n << 1 ^ (uint64_t)(n >> 63);
	int i;

	for (i = 0; i < 8 && v >= 0x80; i++, v >>= 7)
		*to++ = (uint8_t)(v | 0x80);
	*to++ = (uint8_t)v;
	return to;
}

/* Counts, and runs of zeros as negative numbers, up to the last count. */
static uint8_t *
put_counts(uint8_t *to, const struct hist *h)
{
	unsigned int end = h->total ? hist_index(h->max) + 1 : 0, i = 0;

	while (i < end) {
		unsigned int zeros = 0;

		while (i < end && h->counts[i] == 0) {
			zeros++;
			i++;
		}
		if (zeros)
			to = put_varint(to, -(int64_t)zeros);
		else
			to = put_varint(to, (int64_t)h->counts[i++]);
	}
	return to;
}

static uint8_t *
put_plain(uint8_t *to, const struct hist *h)
{
	const double ratio = 1.0;
	uint64_t bits;
	uint8_t *at = to + HEAD_BYTES, *end = put_counts(at, h);

	memcpy(&bits, &ratio, sizeof bits);
	to = put_be(to, COOKIE, 4);
	to = put_be(to, (uint64_t)(end - at), 4);
	to = put_be(to, 0, 4); /* index of the first count */
	to = put_be(to, HIST_DIGITS, 4);
	to = put_be(to, 1, 8);
	to = put_be(to, HIST_MOST, 8);
	(void)put_be(to, bits, 8);
	return end;
}

static uint32_t
adler32(const uint8_t *p, size_t len)
{
	uint32_t a = 1, b = 0;

	while (len--) {
		a = (a + *p++) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

/* zlib's format (RFC 1950), with blocks that are not compressed: the zeros,
   most of it, are gone already. */
static uint8_t *
put_zlib(uint8_t *to, const uint8_t *from, size_t len)
{
	uint32_t sum = adler32(from, len);
	bool last;

	to = put_be(to, 0x7801, 2);
	do {
		size_t n = len < STORED_MAX ? len : STORED_MAX;

		last = n == len;
		*to++ = last;
		*to++ = (uint8_t)n;
		*to++ = (uint8_t)(n >> 8);
		*to++ = (uint8_t)~n;
		*to++ = (uint8_t)(~n >> 8);
		memcpy(to, from, n);
		to += n;
		from += n;
		len -= n;
	} while (!last);
	return put_be(to, sum, 4);
}

static char *
base64(const uint8_t *from, size_t len)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = malloc((len + 2) / 3 * 4 + 1), *to = text;

	for (size_t i = 0; text && i < len; i += 3) {
		uint32_t v = (uint32_t)from[i] << 16;

		if (i + 1 < len)
			v |= (uint32_t)from[i + 1] << 8;
		if (i + 2 < len)
			v |= from[i + 2];
		*to++ = digit[v >> 18];
		*to++ = digit[v >> 12 & 63];
		*to++ = i + 1 < len ? digit[v >> 6 & 63] : '=';
		*to++ = i + 2 < len ? digit[v & 63] : '=';
	}
	if (text)
		*to = '\0';
	return text;
}

char *
hist_base64(const struct hist *h)
{
	size_t most = HEAD_BYTES + 9ul * HIST_COUNTS, len;
	uint8_t *plain = malloc(most);
	uint8_t *all = malloc(8 + most + 5 * (most / STORED_MAX + 1) + 6), *end;
	char *text = NULL;

	if (plain && all) {
		len = (size_t)(put_plain(plain, h) - plain);
		end = put_zlib(all + 8, plain, len);
		(void)put_be(put_be(all, COOKIE_COMPRESSED, 4),
			     (uint64_t)(end - all - 8), 4);
		text = base64(all, (size_t)(end - all));
	}
	free(plain);
	free(all);
	return text;
}
