/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utcp_icmp.h: one connection, and ICMP errors about what it sends, for tests
 * of those.
 */
#ifndef UTCP_ICMP_TEST_H
#define UTCP_ICMP_TEST_H

#include "utcp_pkt.h"

#define PORT 80

static struct mk m;
static struct got g;

struct ctx {
	utcp_t *u;
	utcp_sock_t *s;
	int family;
	uint16_t port;		/* ours */
	uint32_t iss, una, nxt; /* as the wire has it */
	uint64_t now;
	uint32_t mtu; /* what an error says */
};

static inline int
setup(void **state)
{
	*state = calloc(1, sizeof(struct ctx));
	assert_non_null(*state);
	return 0;
}

static inline void
stop(struct ctx *c)
{
	utcp_destroy(c->u);
	c->u = NULL;
}

static inline int
teardown(void **state)
{
	struct ctx *c = *state;

	stop(c);
	free(c);
	return 0;
}

/* Takes what leaves; the last TCP segment's numbers stay. */
static inline unsigned int
drain(struct ctx *c)
{
	unsigned int n = 0;

	while (take(c->u, &g)) {
		const uint8_t *tcp = g.b + g.head;

		assert_int_equal(g.proto, P_TCP);
		c->port = (uint16_t)rd16(tcp);
		if (n++ == 0 && (tcp[13] & 2))
			c->iss = rd32(tcp + 4);
		c->nxt = rd32(tcp + 4) + (tcp[13] & 2 ? 1 : 0) +
			 (uint32_t)(g.len - g.head - (tcp[12] >> 4) * 4u);
	}
	return n;
}

/* A segment of theirs. */
static inline void
give_tcp(struct ctx *c, uint8_t flags, uint32_t seq, uint32_t ack)
{
	uint8_t tcp[24] = { [12] = 0x50, [20] = 2, [21] = 4 };

	mk_ip(&m, c->family, P_TCP);
	wr16(tcp, PORT);
	wr16(tcp + 2, c->port);
	wr32(tcp + 4, seq);
	wr32(tcp + 8, ack);
	if (flags & 2) /* with an MSS */
		tcp[12] = 0x60;
	tcp[13] = flags;
	wr16(tcp + 14, 60000);
	wr16(tcp + 22, 1460);
	mk_put(&m, tcp, flags & 2 ? 24 : 20);
	mk_done(&m);
	mk_l4_sum(&m);
	give_mk(c->u, &m);
}

/* SYN_SENT, with a SYN on its way. */
static inline void
start(struct ctx *c, int family)
{
	utcp_addr_t a = them(family, PORT);

	c->now = SECOND;
	c->family = family;
	c->u = stack_new(NULL);
	assert_int_equal(utcp_open(c->u, family, &c->s), 0);
	assert_int_equal(utcp_connect(c->s, &a), -EINPROGRESS);
	assert_int_equal(drain(c), 1);
	c->una = c->iss;
}

/* ESTABLISHED, with five bytes on their way. */
static inline void
establish(struct ctx *c, int family)
{
	start(c, family);
	give_tcp(c, 0x12, 1000, c->iss + 1);
	drain(c);
	c->una = c->iss + 1;
	assert_int_equal(utcp_write(c->s, "hello", 5, 0), 5);
	assert_int_equal(drain(c), 1);
	assert_int_equal(c->nxt, c->una + 5);
}

static inline uint32_t
state_of(const struct ctx *c)
{
	utcp_info_t i = { .size = sizeof(i) };

	assert_int_equal(utcp_info(c->s, &i), 0);
	return i.state;
}

static inline int64_t
error_of(struct ctx *c)
{
	int64_t v;

	assert_int_equal(utcp_get(c->s, UTCP_OPT_ERROR, &v), 0);
	return v;
}

/* An error about our segment with this sequence number. */
static inline void
give_error(struct ctx *c, uint8_t type, uint8_t code, uint32_t seq)
{
	uint8_t q[60] = { 0 }, head[8] = { type, code };
	size_t h = c->family == 4 ? 20 : 40;

	if (c->family == 4) {
		q[0] = 0x45;
		q[3] = 44;
		q[9] = P_TCP;
		memcpy(q + 12, us4, 4);
		memcpy(q + 16, them4, 4);
	} else {
		q[0] = 0x60;
		q[5] = 24;
		q[6] = P_TCP;
		memcpy(q + 8, us6, 16);
		memcpy(q + 24, them6, 16);
	}
	wr16(q + h, c->port);
	wr16(q + h + 2, PORT);
	wr32(q + h + 4, seq);
	wr32(head + 4, c->mtu);
	mk_ip(&m, c->family, c->family == 4 ? P_ICMP : P_ICMP6);
	mk_put(&m, head, 8);
	mk_put(&m, q, h + 8);
	mk_done(&m);
	mk_l4_sum(&m);
	give_mk(c->u, &m);
}

#endif /* UTCP_ICMP_TEST_H */
