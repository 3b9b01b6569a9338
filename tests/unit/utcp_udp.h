/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utcp_udp.h: a stack with a UDP socket, for tests of those and of IP.
 */
#ifndef UTCP_UDP_TEST_H
#define UTCP_UDP_TEST_H

#include "utcp_pkt.h"

#define PORT 7000

static struct mk m;
static struct got g;
static uint8_t data[70000];

static inline void
fill(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(3 + i * 7);
}

struct ctx {
	utcp_t *u;
	utcp_udp_t *s; /* both families, any address */
	uint64_t base; /* memory before */
};

static inline utcp_udp_t *
bound(utcp_t *u, int family, utcp_addr_t a)
{
	utcp_udp_t *s;

	assert_int_equal(utcp_udp_open(u, family, &s), 0);
	assert_int_equal(utcp_udp_bind(s, &a), 0);
	return s;
}

static inline void
start(struct ctx *c, uint32_t offloads, uint32_t mtu)
{
	utcp_config_t cfg = { .now_ns = SECOND,
			      .offloads = offloads,
			      .mtu = mtu };

	c->u = stack_new(&cfg);
	c->s = bound(c->u, 6, any(6, PORT));
	c->base = mem_of(c->u);
}

static inline int
setup(void **state)
{
	struct ctx *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	pkt_seed = 1;
	fill();
	start(c, 0, 0);
	*state = c;
	return 0;
}

static inline int
teardown(void **state)
{
	struct ctx *c = *state;

	utcp_destroy(c->u);
	free(c);
	return 0;
}

/* What came to the socket; NULL: nothing. */
static inline const utcp_dgram_t *
next(struct ctx *c)
{
	static utcp_dgram_t d;

	return utcp_udp_recv(c->s, &d, 1) == 1 ? &d : NULL;
}

static inline void
expect(struct ctx *c, size_t len, uint8_t first)
{
	const utcp_dgram_t *d = next(c);

	assert_non_null(d);
	assert_int_equal(d->len, len);
	assert_true(data_right(d->data, len, first));
}

static inline void
expect_none(struct ctx *c)
{
	assert_null(next(c));
}

static inline utcp_dgram_t
dgram(int family, uint16_t port, size_t len)
{
	utcp_dgram_t d = { .data = data, .len = len };

	d.peer = them(family, port);
	return d;
}

static inline void
send_one(utcp_udp_t *s, const utcp_dgram_t *d)
{
	assert_int_equal(utcp_udp_send(s, d, 1), 1);
}

/* g is this datagram. */
static inline void
check_dgram(int family, uint16_t sport, uint16_t dport, const uint8_t *from,
	    size_t len)
{
	const uint8_t *udp = g.b + g.head;

	assert_int_equal(g.proto, P_UDP);
	assert_int_equal(g.b[0] >> 4, family);
	if (family == 4) {
		assert_memory_equal(g.b + 12, us4, 4);
		assert_memory_equal(g.b + 16, them4, 4);
	} else {
		assert_memory_equal(g.b + 8, us6, 16);
		assert_memory_equal(g.b + 24, them6, 16);
	}
	assert_int_equal(rd16(udp), sport);
	assert_int_equal(rd16(udp + 2), dport);
	assert_int_equal(rd16(udp + 4), len + 8);
	assert_int_equal(g.len, g.head + 8 + len);
	assert_memory_equal(udp + 8, from, len);
}

/* An ICMP error about a datagram from us:sport to them:dport. */
static inline void
mk_error(int family, uint8_t type, uint8_t code, uint32_t rest, uint16_t sport,
	 uint16_t dport)
{
	uint8_t head[8] = { type, code };
	struct mk *q = calloc(1, sizeof(*q));
	size_t n = family == 4 ? 4 : 16, at = family == 4 ? 12 : 8;

	assert_non_null(q);
	mk_udp(q, family, sport, dport, 30, 1);
	memcpy(q->b + at, family == 4 ? us4 : us6, n);
	memcpy(q->b + at + n, family == 4 ? them4 : them6, n);
	mk_done(q);
	wr32(head + 4, rest);
	mk_ip(&m, family, family == 4 ? P_ICMP : P_ICMP6);
	mk_put(&m, head, 8);
	mk_put(&m, q->b, q->len);
	mk_done(&m);
	mk_l4_sum(&m);
	free(q);
}

#endif /* UTCP_UDP_TEST_H */
