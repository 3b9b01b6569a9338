/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * util.h: byte order, sequence numbers, lists: what every room uses.
 *
 * Sequence numbers are host order, modulo 2^32 (RFC 9293 section 3.4).
 */
#ifndef UTCP_UTIL_H
#define UTCP_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MSEC 1000000ull
#define SEC 1000000000ull
#define CONTAINER(ptr, type, member)                                           \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#if defined(UTCP_DEBUG)
#include <assert.h>
#define UTCP_ASSERT(x) assert(x)
#else
#define UTCP_ASSERT(x) ((void)0)
#endif

static inline bool
seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool
seq_leq(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline uint16_t
get16(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] << 8 | b[1]);
}

/* Between network order and the machine's. */
static inline uint32_t
utcp__swap32(uint32_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap32(v);
#endif
	return v;
}

static inline uint32_t
get32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return utcp__swap32(v);
}

static inline void
put16(void *p, uint32_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

static inline void
put32(void *p, uint32_t v)
{
	v = utcp__swap32(v);
	memcpy(p, &v, 4);
}

/* Circular list; a link not in a list points to itself. */
struct utcp__link {
	struct utcp__link *next, *prev;
};

static inline void
link_init(struct utcp__link *l)
{
	l->next = l->prev = l;
}

static inline bool
link_empty(const struct utcp__link *l)
{
	return l->next == l;
}

static inline void
link_append(struct utcp__link *list, struct utcp__link *l)
{
	l->prev = list->prev;
	l->next = list;
	list->prev->next = l;
	list->prev = l;
}

static inline void
link_remove(struct utcp__link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	link_init(l);
}

#endif /* UTCP_UTIL_H */
