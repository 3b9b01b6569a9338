/* SPDX-License-Identifier: BSD-2-Clause */
/* Send and receive buffers, and what connections cost. */
#include "utcp_pair.h"

struct ends {
	struct pair p;
	utcp_sock_t *l, *c, *s;
};

static void
open_ends(struct ends *e)
{
	pair_init(&e->p, 4);
	e->l = pair_listen(&e->p, 1, 80, 64);
	pair_connect(&e->p, e->l, &e->c, &e->s);
}

static uint64_t
buffered(const utcp_t *u)
{
	utcp_usage_t usage;

	utcp_usage(u, &usage);
	return usage.buffered_bytes;
}

static void
small_writes_go_together(void **state)
{
	struct ends e;
	char in[400];

	(void)state;
	open_ends(&e);
	/* Nothing leaves in between. */
	for (int i = 0; i < 400; i++)
		assert_int_equal(utcp_write(e.c, "x", 1, 0), 1);
	assert_true(buffered(e.p.u[0]) < 2048);
	pair_pump(&e.p);
	assert_int_equal(utcp_read(e.s, in, sizeof(in), 0), 400);
	pair_run(&e.p, SEC);
	assert_int_equal(buffered(e.p.u[0]), 0);
	pair_end(&e.p);
}

/* One byte a segment, never read: memory stays in proportion. */
static void
small_segments_go_together(void **state)
{
	struct ends e;
	int n = 0;

	(void)state;
	open_ends(&e);
	assert_int_equal(utcp_set(e.c, UTCP_OPT_NODELAY, 1), 0);
	for (; n < 5000; n++) {
		assert_int_equal(utcp_write(e.c, "x", 1, 0), 1);
		pair_pump(&e.p);
	}
	assert_int_equal(utcp_readable(e.s), n);
	assert_true(buffered(e.p.u[1]) <= 3u * 5000);
	assert_true(e.p.u[1]->pools[UTCP__POOL_RBLK].used < 64);
	pair_end(&e.p);
}

/* Nor does the window creep on with each of them. */
static void
small_segments_do_not_pass_the_buffer(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	assert_int_equal(utcp_set(l, UTCP_OPT_RCVBUF, 4096), 0);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_set(c, UTCP_OPT_NODELAY, 1), 0);
	for (int i = 0; i < 6000; i++) {
		(void)utcp_write(c, "x", 1, 0);
		pair_pump(&p);
	}
	assert_true(utcp_readable(s) > 3000);
	assert_true(utcp_readable(s) <= 4096);
	pair_end(&p);
}

static void
read_before_retain_copies_nothing(void **state)
{
	static uint8_t data[1000];
	struct ends e;
	utcp_pkt_t pkt = { 0 };
	utcp_view_t v;
	uint8_t mem[2048];

	(void)state;
	open_ends(&e);
	memset(data, 7, sizeof(data));
	assert_int_equal(utcp_write(e.c, data, sizeof(data), 0), 1000);
	pkt.data = mem;
	pkt.len = sizeof(mem);
	assert_int_equal(utcp_output(e.p.u[0], &pkt, 1), 1);
	assert_int_equal(utcp_input(e.p.u[1], &pkt, 1), 0);
	assert_int_equal(utcp_views(e.s, &v, 1), 1);
	assert_int_equal(v.len, 1000);
	assert_true(v.data > mem && v.data < mem + sizeof(mem));
	assert_int_equal(buffered(e.p.u[1]), 0);
	assert_int_equal(utcp_consume(e.s, 400), 0);
	utcp_retain(e.p.u[1]);
	memset(mem, 0, sizeof(mem));
	assert_int_equal(utcp_views(e.s, &v, 1), 1);
	assert_int_equal(v.len, 600);
	assert_memory_equal(v.data, data, 600);
	assert_true(buffered(e.p.u[1]) >= 600);
	assert_int_equal(utcp_consume(e.s, 600), 0);
	assert_int_equal(buffered(e.p.u[1]), 0);
	pair_end(&e.p);
}

static void
stack_keeps_to_max_bytes(void **state)
{
	static uint8_t data[200000];
	utcp_config_t c = { .max_bytes = 100000 };
	utcp_sock_t *l, *s[2], *t[2];
	struct pair p;
	ssize_t n;

	(void)state;
	pair_init_with(&p, 4, c);
	l = pair_listen(&p, 1, 80, 64);
	for (int i = 0; i < 2; i++) {
		pair_connect(&p, l, &s[i], &t[i]);
		assert_int_equal(utcp_set(s[i], UTCP_OPT_SNDBUF, 200000), 0);
		assert_int_equal(utcp_set(t[i], UTCP_OPT_RCVBUF, 200000), 0);
	}
	/* Nobody reads: both sides fill up, and say so. */
	for (int i = 0; i < 50; i++) {
		for (int k = 0; k < 2; k++) {
			n = utcp_write(s[k], data, sizeof(data), 0);
			assert_true(n > 0 || n == -EAGAIN || n == -ENOMEM);
		}
		pair_run(&p, 100 * MSEC);
		assert_true(buffered(p.u[0]) <= 100000);
		/* What was offered before is taken. */
		assert_true(buffered(p.u[1]) <= 150000);
	}
	/* It goes on as soon as somebody reads. */
	for (int i = 0; i < 300; i++) {
		pair_run(&p, SEC);
		for (int k = 0; k < 2; k++)
			while (utcp_read(t[k], data, sizeof(data), 0) > 0)
				;
	}
	assert_int_equal(buffered(p.u[0]), 0);
	pair_end(&p);
}

static void
buffers_grow_with_the_path(void **state)
{
	static uint8_t data[1 << 20];
	struct ends e;

	(void)state;
	open_ends(&e);
	assert_int_equal(e.c->sndbuf, 65536);
	assert_int_equal(e.s->rcvbuf, 65536);
	for (int i = 0; i < 200; i++) {
		(void)utcp_write(e.c, data, sizeof(data), 0);
		/* 1 ms each way */
		(void)pair_move(&e.p, 0);
		e.p.now_ns += MSEC;
		utcp_advance(e.p.u[0], e.p.now_ns);
		utcp_advance(e.p.u[1], e.p.now_ns);
		while (utcp_read(e.s, data, sizeof(data), 0) > 0)
			;
		(void)pair_move(&e.p, 1);
		e.p.now_ns += MSEC;
		utcp_advance(e.p.u[0], e.p.now_ns);
		utcp_advance(e.p.u[1], e.p.now_ns);
	}
	assert_true(e.c->sndbuf > 300000);
	assert_true(e.s->rcvbuf > 300000);
	assert_true(e.c->sndbuf <= 4u << 20);
	assert_true(e.s->rcvbuf <= 6u << 20);
	pair_end(&e.p);
}

static void
set_sizes_stay(void **state)
{
	static uint8_t data[1 << 20];
	struct ends e;

	(void)state;
	open_ends(&e);
	assert_int_equal(utcp_set(e.c, UTCP_OPT_SNDBUF, 50000), 0);
	assert_int_equal(utcp_set(e.s, UTCP_OPT_RCVBUF, 70000), 0);
	for (int i = 0; i < 100; i++) {
		(void)utcp_write(e.c, data, sizeof(data), 0);
		assert_true(e.c->end_ofs - e.c->una_ofs <= 50000);
		pair_run(&e.p, MSEC);
		assert_true(utcp_readable(e.s) <= 70000);
		while (utcp_read(e.s, data, sizeof(data), 0) > 0)
			;
	}
	assert_int_equal(e.c->sndbuf, 50000);
	assert_int_equal(e.s->rcvbuf, 70000);
	pair_end(&e.p);
}

static void
slow_reader_shuts_the_window(void **state)
{
	static uint8_t data[1 << 20], in[1 << 20];
	size_t wrote = 0, got = 0;
	struct ends e;
	ssize_t n;

	(void)state;
	open_ends(&e);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i);
	assert_int_equal(utcp_set(e.s, UTCP_OPT_RCVBUF, 20000), 0);
	for (int i = 0; i < 2000 && got < 300000; i++) {
		n = utcp_write(e.c, data + wrote, 300000 - wrote, 0);
		wrote += n > 0 ? (size_t)n : 0;
		pair_run(&e.p, 500 * MSEC);
		/* The first window, offered before the buffer was set. */
		assert_true(utcp_readable(e.s) <= 65536);
		n = utcp_read(e.s, in + got, 1 + got % 3000, 0);
		got += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(got, 300000);
	assert_memory_equal(in, data, got);
	pair_end(&e.p);
}

struct chain {
	utcp_buf_t buf;
	utcp_sock_t *s;
	uint8_t data[3000];
	int left;
};

static void
send_next(utcp_buf_t *buf, int status)
{
	struct chain *c = buf->user;

	if (status)
		return;
	if (c->left--)
		assert_int_equal(utcp_send(c->s, buf, 0), 0);
	else
		assert_int_equal(utcp_shutdown(c->s, UTCP_SHUT_WR), 0);
}

static void
done_may_send_the_next(void **state)
{
	struct chain c = { .left = 20 };
	uint8_t in[3000];
	struct ends e;
	ssize_t n;
	size_t got = 0;

	(void)state;
	open_ends(&e);
	c.s = e.c;
	c.buf = (utcp_buf_t){ .data = c.data,
			      .len = sizeof(c.data),
			      .done = send_next,
			      .user = &c };
	assert_int_equal(utcp_send(e.c, &c.buf, 0), 0);
	for (int i = 0; i < 100; i++) {
		pair_run(&e.p, 10 * MSEC);
		while ((n = utcp_read(e.s, in, sizeof(in), 0)) > 0)
			got += (size_t)n;
	}
	assert_int_equal(got, 21 * sizeof(c.data));
	assert_int_equal(n, 0);
	pair_end(&e.p);
}

/* A thousand buffers in flight come back one by one, also out of a mix with
   written ones. */
static void
mixed_buffers_keep_their_order(void **state)
{
	enum { NUM = 300 };
	static struct chain c[NUM];
	static uint8_t in[2 * NUM];
	struct ends e;
	size_t got = 0;
	ssize_t n;

	(void)state;
	open_ends(&e);
	for (int i = 0; i < NUM; i++) {
		uint8_t b = (uint8_t)(i + 1);

		memset(c[i].data, i, 1);
		c[i].left = -1;
		c[i].buf = (utcp_buf_t){ .data = c[i].data, .len = 1 };
		assert_int_equal(utcp_send(e.c, &c[i].buf, UTCP_MSG_MORE), 0);
		assert_int_equal(utcp_write(e.c, &b, 1, UTCP_MSG_MORE), 1);
	}
	for (int i = 0; i < 10; i++) {
		pair_run(&e.p, SEC);
		while ((n = utcp_read(e.s, in + got, sizeof(in) - got, 0)) > 0)
			got += (size_t)n;
	}
	assert_int_equal(got, sizeof(in));
	for (int i = 0; i < NUM; i++) {
		assert_int_equal(in[2 * i], (uint8_t)i);
		assert_int_equal(in[2 * i + 1], (uint8_t)(i + 1));
	}
	pair_end(&e.p);
}

/* All told: the socket, its place in the tables, what its congestion control
   keeps, timers. */
static void
idle_connections_are_small(void **state)
{
#if defined(UTCP_DEBUG)
	enum { NUM = 2000 };
#else
	enum { NUM = 10000 };
#endif
	utcp_config_t c = { .max_socks = 20000 };
	utcp_usage_t before, after;
	utcp_sock_t *l, *s, *t;
	struct pair p;

	(void)state;
	pair_init_with(&p, 4, c);
	l = pair_listen(&p, 1, 80, 64);
	utcp_usage(p.u[1], &before);
	for (int i = 0; i < NUM; i++) {
		pair_connect(&p, l, &s, &t);
		assert_int_equal(utcp_write(s, "request", 7, 0), 7);
		pair_pump(&p);
		assert_int_equal(utcp_consume(t, 7), 0);
		assert_int_equal(utcp_write(t, "answer", 6, 0), 6);
		pair_pump(&p);
		assert_int_equal(utcp_consume(s, 6), 0);
	}
	pair_run(&p, SEC);
	utcp_usage(p.u[1], &after);
	assert_int_equal(after.socks, NUM + 1);
	if (after.mem_bytes - before.mem_bytes > 1024ull * NUM)
		fail_msg(
		    "%llu bytes each",
		    (unsigned long long)(after.mem_bytes - before.mem_bytes) /
			NUM);
	/* They are all still there. */
	assert_int_equal(utcp_write(s, "again", 5, 0), 5);
	pair_pump(&p);
	assert_int_equal(utcp_readable(t), 5);
	pair_end(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_writes_go_together),
		cmocka_unit_test(small_segments_go_together),
		cmocka_unit_test(small_segments_do_not_pass_the_buffer),
		cmocka_unit_test(read_before_retain_copies_nothing),
		cmocka_unit_test(stack_keeps_to_max_bytes),
		cmocka_unit_test(buffers_grow_with_the_path),
		cmocka_unit_test(set_sizes_stay),
		cmocka_unit_test(slow_reader_shuts_the_window),
		cmocka_unit_test(done_may_send_the_next),
		cmocka_unit_test(mixed_buffers_keep_their_order),
		cmocka_unit_test(idle_connections_are_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
