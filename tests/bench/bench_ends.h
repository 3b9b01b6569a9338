/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_ends.h: two stacks in one thread, joined by memory.
 *
 * direct: what one puts out is what the other takes in, in the same buffers.
 * pair: each on a port of a switch of its own, the switches joined by the
 * attachment `pair`; nothing is left to offloads in either.
 */
#ifndef BENCH_ENDS_H
#define BENCH_ENDS_H

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <multistack/link.h>

#define BENCH_BATCH 128
#define BENCH_PORT 7000

struct bench_end {
	utcp_t *u;
	mslink_t *link; /* NULL: direct */
	struct bench_end *peer;
	utcp_addr_t addr;
	utcp_pkt_t pkts[BENCH_BATCH];
	uint8_t *bufs;
	uint32_t buf_bytes;
};

static inline void
bench_die(const char *what, int err)
{
	fprintf(stderr, "%s: %s\n", what, strerror(abs(err)));
	exit(1);
}

static inline uint64_t
bench_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Processor time of this process: what a core would need if it had no one
   else to serve. */
static inline uint64_t
bench_cpu_ns(void)
{
	return bench_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static inline void
bench_end_direct(struct bench_end *e, const utcp_config_t *given)
{
	utcp_config_t c = *given;
	int r;

	c.size = sizeof c;
	c.now_ns = mslink_now_ns();
	r = utcp_create(&e->u, &c);
	if (r)
		bench_die("utcp_create", r);
	r = utcp_address(e->u, &e->addr, 1);
	if (r)
		bench_die("utcp_address", r);
	e->buf_bytes = (c.mtu + 63u) & ~63u;
	if (e->buf_bytes < 2048)
		e->buf_bytes = 2048;
	e->bufs = aligned_alloc(64, (size_t)BENCH_BATCH * e->buf_bytes);
	if (!e->bufs)
		bench_die("buffers", -ENOMEM);
	memset(e->bufs, 0, (size_t)BENCH_BATCH * e->buf_bytes);
}

static inline void
bench_end_pair(struct bench_end *e, int side, const utcp_config_t *given)
{
	mslink_options_t o = { .size = sizeof o };
	msport_error_t err;
	char device[128], addr[32];
	int r;

	o.config = *given;
	o.config.size = sizeof o.config;
	o.config.mtu = 0;
	o.buf_bytes = 2048;
	while (o.buf_bytes < given->mtu + 14)
		o.buf_bytes *= 2;
	inet_ntop(AF_INET, e->addr.addr, addr, sizeof addr);
	snprintf(device, sizeof device,
		 "pair:p%d,link=bench,side=%d,addr=%s,mtu=%u,offload=0", side,
		 side, addr, given->mtu);
	r = mslink_open(&e->link, device, &o, &err);
	if (r)
		bench_die(err.text, r);
	e->u = mslink_stack(e->link);
}

/* Two ends, 10.0.0.1 and 10.0.0.2. */
static inline void
bench_ends(struct bench_end e[2], bool pair, const utcp_config_t *c)
{
	memset(e, 0, 2 * sizeof *e);
	for (int i = 0; i < 2; i++) {
		utcp_config_t mine = *c;

		mine.seed[0] = (uint8_t)(i + 1);
		e[i].peer = &e[!i];
		if (mslink_addr(&e[i].addr, i ? "10.0.0.2" : "10.0.0.1",
				BENCH_PORT))
			bench_die("address", -EINVAL);
		if (pair)
			bench_end_pair(&e[i], i, &mine);
		else
			bench_end_direct(&e[i], &mine);
	}
}

static inline void
bench_ends_close(struct bench_end e[2])
{
	for (int i = 0; i < 2; i++) {
		if (e[i].link)
			mslink_close(e[i].link);
		else
			utcp_destroy(e[i].u);
		free(e[i].bufs);
	}
}

/* Time and input; the application's part comes between this and bench_out. */
static inline void
bench_in(struct bench_end *e)
{
	if (e->link)
		(void)mslink_poll(e->link);
	else
		utcp_advance(e->u, mslink_now_ns());
}

/* Output, which direct is the other's input: his turn is next. Returns how
   many elements left. */
static inline int
bench_out(struct bench_end *e)
{
	int n;

	if (e->link)
		return mslink_flush(e->link);
	/* What the other one wrote was looked at; its buffers are its own. */
	utcp_retain(e->u);
	for (unsigned int i = 0; i < BENCH_BATCH; i++) {
		e->pkts[i].data = e->bufs + (size_t)i * e->buf_bytes;
		e->pkts[i].len = e->buf_bytes;
	}
	n = utcp_output(e->u, e->pkts, BENCH_BATCH);
	if (n > 0)
		(void)utcp_input(e->peer->u, e->pkts, (unsigned int)n);
	return n;
}

static inline utcp_sock_t *
bench_listen(struct bench_end *e)
{
	utcp_sock_t *s;
	int r = utcp_open(e->u, 4, &s);

	if (r == 0)
		r = utcp_bind(s, &e->addr);
	if (r == 0)
		r = utcp_listen(s, 65535);
	if (r)
		bench_die("listen", r);
	return s;
}

#endif /* BENCH_ENDS_H */
