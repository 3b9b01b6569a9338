/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utcp_pair.h: two stacks and a wire between them, in virtual time.
 */
#ifndef UTCP_PAIR_H
#define UTCP_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stack.h"

#define BUFS 256
#define BUF_BYTES 2048

struct pair {
	utcp_t *u[2];
	utcp_addr_t addr[2]; /* the first of each, port 0 */
	uint64_t now_ns;
	uint64_t packets[2]; /* that each sent */
	bool cut;	     /* nothing arrives */
	uint64_t base[2];    /* mem_bytes at the beginning */
	uint8_t *mem;
};

static inline utcp_addr_t
pair_addr(int family, int host, unsigned int port)
{
	utcp_addr_t a = { .family = (uint8_t)family };

	if (family == 4) {
		a.addr[0] = 10;
		a.addr[3] = (uint8_t)host;
	} else {
		a.addr[0] = 0xfd;
		a.addr[15] = (uint8_t)host;
	}
	put16(&a.port_be, port);
	return a;
}

static inline void
pair_init_with(struct pair *p, int family, utcp_config_t c)
{
	memset(p, 0, sizeof(*p));
	p->now_ns = 1000 * SEC;
	c.size = sizeof(c);
	c.now_ns = p->now_ns;
	for (int i = 0; i < 2; i++) {
		c.seed[0] = (uint8_t)(i + 1);
		assert_int_equal(utcp_create(&p->u[i], &c), 0);
		p->addr[i] = pair_addr(family, i + 1, 0);
		assert_int_equal(utcp_address(p->u[i], &p->addr[i], 1), 0);
	}
	p->mem = malloc(BUFS * BUF_BYTES);
	assert_non_null(p->mem);
}

static inline void
pair_init(struct pair *p, int family)
{
	pair_init_with(p, family, (utcp_config_t){ 0 });
}

static inline void
pair_end(struct pair *p)
{
	utcp_destroy(p->u[0]);
	utcp_destroy(p->u[1]);
	free(p->mem);
}

/* What one has to send goes to the other; returns how many elements. */
static inline int
pair_move(struct pair *p, int from)
{
	utcp_pkt_t pkts[BUFS];
	int n;

	memset(pkts, 0, sizeof(pkts));
	for (int i = 0; i < BUFS; i++) {
		pkts[i].data = p->mem + i * BUF_BYTES;
		pkts[i].len = BUF_BYTES;
	}
	n = utcp_output(p->u[from], pkts, BUFS);
	assert_true(n >= 0);
	p->packets[from] += (uint64_t)n;
	if (n && !p->cut)
		assert_int_equal(utcp_input(p->u[!from], pkts, (unsigned int)n),
				 0);
	/* Borrowed memory is not looked at behind this. */
	utcp_retain(p->u[!from]);
	memset(p->mem, 0xee, (size_t)n * BUF_BYTES);
	return n;
}

/* Until nobody has anything to say at this time. */
static inline void
pair_pump(struct pair *p)
{
	for (int i = 0; i < 10000; i++)
		if (!(pair_move(p, 0) + pair_move(p, 1)))
			return;
	fail_msg("two stacks talk without an end");
}

/* Time passes, timers run. */
static inline void
pair_run(struct pair *p, uint64_t ns)
{
	uint64_t end = p->now_ns + ns;

	pair_pump(p);
	for (;;) {
		uint64_t next = utcp_next_ns(p->u[0]);

		if (utcp_next_ns(p->u[1]) < next)
			next = utcp_next_ns(p->u[1]);
		if (next > end)
			break;
		if (next > p->now_ns)
			p->now_ns = next;
		utcp_advance(p->u[0], p->now_ns);
		utcp_advance(p->u[1], p->now_ns);
		pair_pump(p);
	}
	p->now_ns = end;
	utcp_advance(p->u[0], end);
	utcp_advance(p->u[1], end);
	pair_pump(p);
}

static inline utcp_sock_t *
pair_listen(struct pair *p, int who, unsigned int port, int backlog)
{
	utcp_addr_t a = p->addr[who];
	utcp_sock_t *s;

	put16(&a.port_be, port);
	assert_int_equal(utcp_open(p->u[who], a.family, &s), 0);
	assert_int_equal(utcp_bind(s, &a), 0);
	assert_int_equal(utcp_listen(s, backlog), 0);
	return s;
}

/* 0 connects to the listener of 1. */
static inline void
pair_connect(struct pair *p, utcp_sock_t *listener, utcp_sock_t **c,
	     utcp_sock_t **s)
{
	utcp_addr_t a;

	assert_int_equal(utcp_getsockname(listener, &a), 0);
	memcpy(a.addr, p->addr[1].addr, 16);
	a.family = p->addr[1].family;
	assert_int_equal(utcp_open(p->u[0], a.family, c), 0);
	assert_int_equal(utcp_connect(*c, &a), -EINPROGRESS);
	pair_pump(p);
	assert_int_equal(utcp_accept(listener, s), 0);
	assert_true(utcp_poll(*c) & UTCP_OUT);
}

/* Two stacks, and a connection between them. */
static inline void
pair_open(struct pair *p, utcp_sock_t **listener, utcp_sock_t **c,
	  utcp_sock_t **s)
{
	pair_init(p, 4);
	*listener = pair_listen(p, 1, 80, 8);
	pair_connect(p, *listener, c, s);
}

static inline unsigned int
pair_state(const utcp_sock_t *s)
{
	utcp_info_t i = { .size = sizeof(i) };

	assert_int_equal(utcp_info(s, &i), 0);
	return i.state;
}

/* A buffer that was lent, what came of it. */
struct pair_sent {
	utcp_buf_t buf; /* done is pair_done, user this */
	int calls, status;
};

static inline void
pair_done(utcp_buf_t *buf, int status)
{
	struct pair_sent *x = buf->user;

	x->calls++;
	x->status = status;
}

static inline uint8_t
pattern(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7);
}

#endif /* UTCP_PAIR_H */
