/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * response.c: the parser. Strict, for what is measured has to be HTTP: lines
 * end in CR LF, names are tokens, values have no control characters, and a body
 * whose length is in doubt (section 6.3) is refused. Whatever a server sends,
 * no more is kept of it than a line.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "load.h"

#define LENGTH_DIGITS 18
#define CHUNK_DIGITS 15

void
response_reset(struct response *r, bool to_head)
{
	free(r->line);
	*r = (struct response){ .to_head = to_head };
}

void
response_deinit(struct response *r)
{
	free(r->line);
	r->line = NULL;
}

/* ---- characters ---------------------------------------------------------------- */

/* RFC 9110 section 5.6.2 */
static bool
is_token(const char *p, size_t n)
{
	static const char other[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i], low = c | 0x20;

		if ((low < 'a' || low > 'z') && (c < '0' || c > '9') &&
		    (c == 0 || !strchr(other, c)))
			return false;
	}
	return n > 0;
}

/* Visible ones, blanks, and those above ASCII. */
static bool
is_text(const char *p, size_t n)
{
	bool good = true;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		good &= (c >= 0x20 && c != 0x7f) || c == '\t';
	}
	return good;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void
trim(const char **p, size_t *n)
{
	while (*n && is_blank(**p)) {
		(*p)++;
		(*n)--;
	}
	while (*n && is_blank((*p)[*n - 1]))
		(*n)--;
}

static bool
same(const char *p, size_t n, const char *word)
{
	return n == strlen(word) && strncasecmp(p, word, n) == 0;
}

/* ---- the head --------------------------------------------------------------------- */

/* "HTTP/1.1 200 OK" (section 4); the reason may be missing with its blank. */
static bool
status_line(struct response *r, const char *p, size_t n)
{
	unsigned int status = 0;

	if (n < 12 || memcmp(p, "HTTP/1.", 7) != 0 || p[7] < '0' ||
	    p[7] > '1' || p[8] != ' ' || (n > 12 && p[12] != ' '))
		return false;
	for (int i = 9; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		status = status * 10 + (unsigned int)(p[i] - '0');
	}
	if (status < 100 || status > 599 || !is_text(p, n))
		return false;
	r->head = (struct head){ .status = (uint16_t)status,
				 .old = p[7] == '0' };
	return true;
}

static bool
length_field(struct head *h, const char *p, size_t n)
{
	uint64_t length = 0;

	if (n == 0 || n > LENGTH_DIGITS)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		length = length * 10 + (uint64_t)(p[i] - '0');
	}
	if (h->has_length && h->length != length)
		return false;
	h->has_length = true;
	h->length = length;
	return true;
}

static void
connection_field(struct head *h, const char *p, size_t n)
{
	while (n) {
		const char *comma = memchr(p, ',', n), *word = p;
		size_t len = comma ? (size_t)(comma - p) : n;

		p += len + (comma != NULL);
		n -= len + (comma != NULL);
		trim(&word, &len);
		if (same(word, len, "close"))
			h->close = true;
		else if (same(word, len, "keep-alive"))
			h->keep = true;
	}
}

/* Section 5. Those of a trailer mean nothing (h NULL). */
static bool
field_line(struct head *h, const char *p, size_t n)
{
	const char *colon = memchr(p, ':', n), *value;
	size_t name, len;

	if (!colon)
		return false;
	name = (size_t)(colon - p);
	value = colon + 1;
	len = n - name - 1;
	if (!is_token(p, name) || !is_text(value, len))
		return false;
	trim(&value, &len);
	if (!h)
		return true;
	if (same(p, name, "content-length"))
		return length_field(h, value, len);
	if (same(p, name, "transfer-encoding")) {
		/* We have asked for nothing else (section 6.1). */
		if (h->chunked || h->old || !same(value, len, "chunked"))
			return false;
		h->chunked = true;
	}
	if (same(p, name, "connection"))
		connection_field(h, value, len);
	return true;
}

static void
done(struct response *r)
{
	r->state = RESPONSE_DONE;
}

/* What follows (section 6.3). */
static bool
head_end(struct response *r)
{
	const struct head *h = &r->head;

	if (h->status < 200) {
		/* We have not asked for another protocol. */
		if (h->status == 101 || ++r->interim > INTERIM_MAX)
			return false;
		r->state = RESPONSE_STATUS;
	} else if (r->to_head || h->status == 204 || h->status == 304) {
		done(r);
	} else if (h->chunked) {
		if (h->has_length)
			return false;
		r->state = RESPONSE_SIZE;
	} else if (h->has_length) {
		r->left = h->length;
		r->state = RESPONSE_BODY;
		if (r->left == 0)
			done(r);
	} else {
		r->state = RESPONSE_TO_END;
	}
	return true;
}

/* ---- lines --------------------------------------------------------------------------- */

/* Section 7.1 */
static bool
size_line(struct response *r, const char *p, size_t n)
{
	uint64_t size = 0;
	size_t i;

	for (i = 0; i < n && i <= CHUNK_DIGITS; i++) {
		unsigned char c = (unsigned char)p[i], low = c | 0x20;

		if (c >= '0' && c <= '9')
			size = size << 4 | (c - '0');
		else if (low >= 'a' && low <= 'f')
			size = size << 4 | (low - 'a' + 10u);
		else
			break;
	}
	if (i == 0 || i > CHUNK_DIGITS)
		return false;
	p += i;
	n -= i;
	trim(&p, &n);
	if (n && (*p != ';' || !is_text(p, n)))
		return false;
	r->left = size;
	r->state = size ? RESPONSE_CHUNK : RESPONSE_TRAILER;
	r->head_bytes = 0; /* the trailer's from here on */
	return true;
}

static bool
take_line(struct response *r, const char *p, size_t n)
{
	switch (r->state) {
	case RESPONSE_STATUS:
		r->state = RESPONSE_FIELD;
		return status_line(r, p, n);
	case RESPONSE_FIELD:
		return n ? field_line(&r->head, p, n) : head_end(r);
	case RESPONSE_SIZE:
		return size_line(r, p, n);
	case RESPONSE_CHUNK_END:
		r->state = RESPONSE_SIZE;
		return n == 0;
	default: /* the trailer */
		if (n)
			return field_line(NULL, p, n);
		done(r);
		return true;
	}
}

/* A part of a line, which is to go on in what comes next. */
static bool
keep(struct response *r, const char *p, size_t n)
{
	if (n > LINE_MAX_BYTES - r->line_len)
		return false;
	if (!r->line)
		r->line = malloc(LINE_MAX_BYTES);
	if (!r->line)
		return false;
	memcpy(r->line + r->line_len, p, n);
	r->line_len = (uint16_t)(r->line_len + n);
	return true;
}

/* Feeds one line or what there is of it; returns how many bytes it took. */
static size_t
feed_line(struct response *r, const char *p, size_t len)
{
	const char *end = memchr(p, '\n', len);
	size_t n = end ? (size_t)(end - p) + 1 : len, took = n;
	bool good = true;

	r->head_bytes += (uint32_t)n;
	if (n > LINE_MAX_BYTES || r->head_bytes > HEAD_MAX_BYTES) {
		r->state = RESPONSE_BAD;
		return took;
	}
	if (!end || r->line_len) {
		good = keep(r, p, n);
		p = r->line;
		n = r->line_len;
	}
	if (good && end) {
		good = n >= 2 && p[n - 2] == '\r' && take_line(r, p, n - 2);
		r->line_len = 0;
	}
	if (!good)
		r->state = RESPONSE_BAD;
	return took;
}

/* ---- the whole -------------------------------------------------------------------------- */

static size_t
feed_body(struct response *r, size_t len)
{
	size_t n = len < r->left ? len : (size_t)r->left;

	if (r->state == RESPONSE_TO_END) {
		r->body_bytes += len;
		return len;
	}
	r->body_bytes += n;
	r->left -= n;
	if (r->left == 0) {
		if (r->state == RESPONSE_CHUNK) {
			r->state = RESPONSE_CHUNK_END;
			r->head_bytes = 0;
		} else {
			done(r);
		}
	}
	return n;
}

static bool
in_body(const struct response *r)
{
	return r->state == RESPONSE_BODY || r->state == RESPONSE_CHUNK ||
	       r->state == RESPONSE_TO_END;
}

/* Whether the head is the last one again: then it is read. */
static size_t
feed_known(struct response *r, const struct head_cache *cache, const char *p,
	   size_t len)
{
	if (cache->len == 0 || len < cache->len ||
	    cache->len > HEAD_MAX_BYTES - r->head_bytes ||
	    memcmp(p, cache->text, cache->len) != 0)
		return 0;
	r->head = cache->head;
	r->head_bytes += (uint32_t)cache->len;
	(void)head_end(r); /* as good as when it came first */
	return cache->len;
}

static void
learn(struct head_cache *cache, const struct response *r, const char *p,
      size_t len)
{
	if (r->state == RESPONSE_BAD || r->head.status < 200 ||
	    len > sizeof cache->text)
		return;
	memcpy(cache->text, p, len);
	cache->len = len;
	cache->head = r->head;
}

/* A head, as far as it is here. */
static size_t
feed_head(struct response *r, struct head_cache *cache, const char *p,
	  size_t len)
{
	bool whole = r->state == RESPONSE_STATUS && r->line_len == 0;
	size_t at = 0;

	if (cache && whole) {
		at = feed_known(r, cache, p, len);
		if (at)
			return at;
	}
	do {
		at += feed_line(r, p + at, len - at);
	} while (at < len && r->state == RESPONSE_FIELD);
	if (cache && whole && r->state > RESPONSE_FIELD)
		learn(cache, r, p, at);
	return at;
}

size_t
response_feed(struct response *r, struct head_cache *cache, const char *data,
	      size_t len)
{
	size_t at = 0;

	while (at < len && r->state < RESPONSE_DONE) {
		r->begun = true;
		if (in_body(r))
			at += feed_body(r, len - at);
		else if (r->state <= RESPONSE_FIELD)
			at += feed_head(r, cache, data + at, len - at);
		else
			at += feed_line(r, data + at, len - at);
	}
	return at;
}

bool
response_end(struct response *r)
{
	if (r->state != RESPONSE_TO_END)
		return false;
	done(r);
	return true;
}

bool
response_keeps(const struct response *r)
{
	bool to_end = !r->head.chunked && !r->head.has_length && !r->to_head &&
		      r->head.status != 204 && r->head.status != 304;

	if (to_end || r->head.close)
		return false;
	return !r->head.old || r->head.keep;
}
