/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utcp_pkt.h: packets made by hand, and taken apart, for tests of the IP side
 * of a stack. Nothing here shares code with the stack.
 */
#ifndef UTCP_PKT_H
#define UTCP_PKT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include <multistack/utcp.h>

#define L2 14
#define P_ICMP 1
#define P_TCP 6
#define P_UDP 17
#define P_ICMP6 58
#define MS 1000000ull
#define SECOND 1000000000ull

static const uint8_t us4[4] = { 10, 0, 0, 1 }, them4[4] = { 10, 0, 0, 2 };
static const uint8_t us6[16] = { 0xfd, [15] = 1 };
static const uint8_t them6[16] = { 0xfd, [15] = 2 };

static uint64_t pkt_seed = 1;

static inline uint32_t
rnd(uint32_t below)
{
	pkt_seed = pkt_seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(pkt_seed >> 33) % below;
}

static inline uint32_t
rd16(const uint8_t *p)
{
	return (uint32_t)(p[0] << 8 | p[1]);
}

static inline uint32_t
rd32(const uint8_t *p)
{
	return rd16(p) << 16 | rd16(p + 2);
}

static inline void
wr16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void
wr32(uint8_t *p, uint32_t v)
{
	wr16(p, v >> 16);
	wr16(p + 2, v);
}

static inline uint32_t
add_words(uint32_t sum, const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Sum over the transport part of the IP packet at ip, pseudo header included
   where there is one: 0xffff if the checksum in it is right. */
static inline uint32_t
l4_sum(const uint8_t *ip, uint8_t proto, size_t head, size_t total)
{
	uint32_t sum = 0;

	if (proto != P_ICMP) {
		sum = proto + (uint32_t)(total - head);
		sum = ip[0] >> 4 == 4 ? add_words(sum, ip + 12, 8)
				      : add_words(sum, ip + 8, 32);
	}
	return add_words(sum, ip + head, total - head);
}

/* A packet in the making. */
struct mk {
	uint8_t b[70000]; /* from the IP header on */
	size_t head, len; /* of IP: header, all */
	uint8_t proto;
};

static inline void
mk_sum4(struct mk *m)
{
	wr16(m->b + 10, 0);
	wr16(m->b + 10, ~add_words(0, m->b, m->head) & 0xffff);
}

/* The checksum of the transport, anew. */
static inline void
mk_l4_sum(struct mk *m)
{
	size_t at = m->head + (m->proto == P_TCP   ? 16
			       : m->proto == P_UDP ? 6
						   : 2);
	uint32_t c;

	wr16(m->b + at, 0);
	c = ~l4_sum(m->b, m->proto, m->head, m->len) & 0xffff;
	wr16(m->b + at, c == 0 && m->proto == P_UDP ? 0xffff : c);
}

/* From them to us; the transport part follows with mk_put. */
static inline void
mk_ip(struct mk *m, int family, uint8_t proto)
{
	m->proto = proto;
	if (family == 4) {
		m->head = 20;
		memset(m->b, 0, 20);
		m->b[0] = 0x45;
		m->b[6] = 0x40;
		m->b[8] = 64;
		m->b[9] = proto;
		memcpy(m->b + 12, them4, 4);
		memcpy(m->b + 16, us4, 4);
	} else {
		m->head = 40;
		memset(m->b, 0, 40);
		m->b[0] = 0x60;
		m->b[6] = proto;
		m->b[7] = 64;
		memcpy(m->b + 8, them6, 16);
		memcpy(m->b + 24, us6, 16);
	}
	m->len = m->head;
}

/* Lengths and sums as they should be. */
static inline void
mk_done(struct mk *m)
{
	if (m->b[0] >> 4 == 4) {
		wr16(m->b + 2, (uint32_t)m->len);
		mk_sum4(m);
	} else {
		wr16(m->b + 4, (uint32_t)m->len - 40);
	}
}

static inline void
mk_put(struct mk *m, const void *data, size_t len)
{
	memcpy(m->b + m->len, data, len);
	m->len += len;
}

/* A datagram from them:sport to us:dport with len bytes that follow from
   `first`. */
static inline void
mk_udp(struct mk *m, int family, uint16_t sport, uint16_t dport, size_t len,
       uint8_t first)
{
	uint8_t udp[8] = { 0 };
	size_t i;

	mk_ip(m, family, P_UDP);
	wr16(udp, sport);
	wr16(udp + 2, dport);
	wr16(udp + 4, (uint32_t)len + 8);
	mk_put(m, udp, 8);
	for (i = 0; i < len; i++)
		m->b[m->len++] = (uint8_t)(first + i * 7);
	mk_done(m);
	mk_l4_sum(m);
}

struct frag {
	uint8_t b[4000];
	size_t len;
};

/* Bytes [from, to) of the transport part of m as a fragment. */
static inline void
mk_frag(struct frag *f, const struct mk *m, uint32_t id, size_t from, size_t to,
	bool more)
{
	size_t head = m->head;

	memcpy(f->b, m->b, head);
	if (m->b[0] >> 4 == 4) {
		wr16(f->b + 4, id);
		wr16(f->b + 6, (uint32_t)(from / 8) | (more ? 0x2000 : 0));
	} else {
		f->b[6] = 44;
		f->b[40] = m->b[6];
		f->b[41] = 0;
		wr16(f->b + 42, (uint32_t)from | more);
		wr32(f->b + 44, id);
		head = 48;
	}
	memcpy(f->b + head, m->b + m->head + from, to - from);
	f->len = head + to - from;
	if (m->b[0] >> 4 == 4) {
		wr16(f->b + 2, (uint32_t)f->len);
		wr16(f->b + 10, 0);
		wr16(f->b + 10, ~add_words(0, f->b, 20) & 0xffff);
	} else {
		wr16(f->b + 4, (uint32_t)f->len - 40);
	}
}

static inline bool
data_right(const void *data, size_t len, uint8_t first)
{
	const uint8_t *p = data;
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != (uint8_t)(first + i * 7))
			return false;
	return true;
}

/* An extension header between the IPv6 header and what follows it. */
static inline void
mk_insert6(struct mk *m, uint8_t type, const void *body, size_t len)
{
	memmove(m->b + 40 + len, m->b + 40, m->len - 40);
	memcpy(m->b + 40, body, len);
	m->b[40] = m->b[6];
	m->b[6] = type;
	m->len += len;
	wr16(m->b + 4, (uint32_t)m->len - 40);
}

/* ---- a stack with our addresses ---------------------------------------- */

static inline utcp_addr_t
addr4(const uint8_t a[4], uint16_t port)
{
	utcp_addr_t r = { .family = 4 };

	memcpy(r.addr, a, 4);
	wr16((uint8_t *)&r.port_be, port);
	return r;
}

static inline utcp_addr_t
addr6(const uint8_t a[16], uint16_t port)
{
	utcp_addr_t r = { .family = 6 };

	memcpy(r.addr, a, 16);
	wr16((uint8_t *)&r.port_be, port);
	return r;
}

static inline utcp_addr_t
any(int family, uint16_t port)
{
	utcp_addr_t r = { .family = (uint8_t)family };

	wr16((uint8_t *)&r.port_be, port);
	return r;
}

static inline utcp_addr_t
us(int family, uint16_t port)
{
	return family == 4 ? addr4(us4, port) : addr6(us6, port);
}

static inline utcp_addr_t
them(int family, uint16_t port)
{
	return family == 4 ? addr4(them4, port) : addr6(them6, port);
}

static inline utcp_t *
stack_new(utcp_config_t *cfg)
{
	utcp_config_t c = { .now_ns = SECOND };
	utcp_addr_t a;
	utcp_t *u;

	if (cfg != NULL)
		c = *cfg;
	c.size = sizeof(c);
	if (c.l2_bytes == 0)
		c.l2_bytes = L2;
	assert_int_equal(utcp_create(&u, &c), 0);
	a = us(4, 0);
	assert_int_equal(utcp_address(u, &a, 1), 0);
	a = us(6, 0);
	assert_int_equal(utcp_address(u, &a, 1), 0);
	return u;
}

static inline uint64_t
ctr(const utcp_t *u, int which)
{
	uint64_t v[UTCP_CTR_MAX];

	assert_int_equal(utcp_counters(u, v, UTCP_CTR_MAX), UTCP_CTR_MAX);
	return v[which];
}

/* All drops together. */
static inline uint64_t
drops(const utcp_t *u)
{
	uint64_t sum = 0;
	int i;

	for (i = UTCP_CTR_DROP_SHORT; i <= UTCP_CTR_DROP_TIMEWAIT; i++)
		sum += ctr(u, i);
	return sum;
}

/* Gives a packet in elements that end after cut[0], cut[1]... bytes of IP, and
   then takes its memory away. Each lies in memory of its own size, so that a
   sanitizer sees a byte read too far. */
static inline void
give_cut(utcp_t *u, const uint8_t *ip, size_t len, const size_t *cut,
	 unsigned int num_cuts, const utcp_pkt_t *meta)
{
	utcp_pkt_t pkt[UTCP_PKT_PARTS_MAX];
	size_t at = 0, end, skip;
	unsigned int i;

	memset(pkt, 0, sizeof(pkt));
	if (meta != NULL)
		pkt[0] = *meta;
	for (i = 0; i <= num_cuts; i++) {
		skip = i == 0 ? L2 : 0;
		end = i == num_cuts ? len : cut[i];
		pkt[i].data = malloc(end - at + skip + (end - at + skip == 0));
		assert_non_null(pkt[i].data);
		memset(pkt[i].data, 0xee, skip);
		memcpy(pkt[i].data + skip, ip + at, end - at);
		pkt[i].len = (uint32_t)(end - at + skip);
		pkt[i].flags |= i < num_cuts ? UTCP_PKT_MORE : 0;
		at = end;
	}
	assert_int_equal(utcp_input(u, pkt, num_cuts + 1), 0);
	utcp_retain(u);
	for (i = 0; i <= num_cuts; i++) {
		memset(pkt[i].data, 0xdd, pkt[i].len);
		free(pkt[i].data);
	}
}

static inline void
give(utcp_t *u, const uint8_t *ip, size_t len)
{
	give_cut(u, ip, len, NULL, 0, NULL);
}

static inline void
give_mk(utcp_t *u, const struct mk *m)
{
	give(u, m->b, m->len);
}

/* ---- what leaves ------------------------------------------------------- */

/* A packet that left, in one piece, with what it said in its parts. */
struct got {
	uint8_t b[70000]; /* from the IP header on */
	size_t len, head;
	uint8_t proto;	 /* of the transport, or 44: a fragment */
	utcp_pkt_t meta; /* of the first element */
	unsigned int parts;
};

/* Checks what all packets owe: lengths, header checksum, metadata; the
   transport's checksum, finished if it was left to the device. */
static inline void
got_check(struct got *g)
{
	if (g->b[0] >> 4 == 4) {
		g->head = (g->b[0] & 15) * 4;
		g->proto = g->b[9];
		assert_int_equal(rd16(g->b + 2), g->len);
		assert_int_equal(add_words(0, g->b, g->head), 0xffff);
		if (rd16(g->b + 6) & 0x3fff)
			return;
	} else {
		assert_int_equal(g->b[0] >> 4, 6);
		g->head = 40;
		g->proto = g->b[6];
		assert_int_equal(rd16(g->b + 4), g->len - 40);
		if (g->proto == 44)
			return;
	}
	if (g->meta.flags & UTCP_PKT_CSUM_PARTIAL) {
		size_t at = g->meta.csum_start - L2;
		uint32_t c;

		assert_int_equal(at, g->head);
		/* as a device does it */
		c = ~add_words(0, g->b + at, g->len - at) & 0xffff;
		wr16(g->b + at + g->meta.csum_offset, c);
	}
	assert_int_equal(l4_sum(g->b, g->proto, g->head, g->len), 0xffff);
}

/* Takes one packet out into elements of these sizes; returns false if there is
   none. */
static inline bool
take_sized(utcp_t *u, struct got *g, const uint32_t *sizes, unsigned int n)
{
	utcp_pkt_t pkt[UTCP_PKT_PARTS_MAX + 8];
	uint8_t *mem[UTCP_PKT_PARTS_MAX + 8];
	unsigned int i;
	int num;

	memset(pkt, 0xab, sizeof(pkt));
	for (i = 0; i < n; i++) {
		pkt[i].data = mem[i] = malloc(sizes[i]);
		assert_non_null(mem[i]);
		memset(mem[i], 0xcc, sizes[i]);
		pkt[i].len = sizes[i];
	}
	num = utcp_output(u, pkt, n);
	assert_true(num >= 0 && num <= (int)n);
	g->len = 0;
	for (i = 0; i < (unsigned int)num; i++) {
		size_t skip = i == 0 ? L2 : 0;

		assert_ptr_equal(pkt[i].data, mem[i]);
		assert_true(pkt[i].len <= sizes[i]);
		memcpy(g->b + g->len, pkt[i].data + skip, pkt[i].len - skip);
		g->len += pkt[i].len - skip;
		if (!(pkt[i].flags & UTCP_PKT_MORE))
			break;
	}
	if (num > 0) {
		assert_int_equal(i + 1, num); /* whole, and only one fits */
		g->meta = pkt[0];
		g->parts = (unsigned int)num;
		got_check(g);
	}
	for (i = 0; i < n; i++)
		free(mem[i]);
	return num > 0;
}

/* Into one element, so that one packet at a time comes. */
static inline bool
take(utcp_t *u, struct got *g)
{
	uint32_t size = 66000;

	return take_sized(u, g, &size, 1);
}

static inline unsigned int
take_all(utcp_t *u)
{
	static struct got g;
	unsigned int n = 0;

	while (take(u, &g))
		n++;
	return n;
}

static inline uint64_t
mem_of(const utcp_t *u)
{
	utcp_usage_t usage;

	utcp_usage(u, &usage);
	return usage.mem_bytes;
}

#endif /* UTCP_PKT_H */
