/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls for sockets, between two stacks. */
#include "utcp_pair.h"

static void
connects(int family)
{
	utcp_addr_t a;
	struct pair p;
	utcp_sock_t *l, *c, *s, *none;

	pair_init(&p, family);
	l = pair_listen(&p, 1, 80, 8);
	assert_int_equal(utcp_accept(l, &none), -EAGAIN);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(pair_state(c), UTCP_ESTABLISHED);
	assert_int_equal(pair_state(s), UTCP_ESTABLISHED);
	assert_int_equal(utcp_accept(l, &none), -EAGAIN);
	assert_null(none);

	assert_int_equal(utcp_getpeername(c, &a), 0);
	assert_memory_equal(a.addr, p.addr[1].addr, 16);
	assert_int_equal(get16(&a.port_be), 80);
	assert_int_equal(utcp_getsockname(s, &a), 0);
	assert_memory_equal(a.addr, p.addr[1].addr, 16);
	assert_int_equal(utcp_getsockname(c, &a), 0);
	assert_true(get16(&a.port_be) >= 1024);
	assert_int_equal(a.family, family);
	assert_ptr_equal(utcp_stack(c), p.u[0]);
	utcp_close(c);
	utcp_close(s);
	pair_end(&p);
}

static void
connects_over_ipv4(void **state)
{
	(void)state;
	connects(4);
}

static void
connects_over_ipv6(void **state)
{
	(void)state;
	connects(6);
}

static void
ipv6_wildcard_takes_ipv4(void **state)
{
	utcp_addr_t any = { .family = 6 }, to = pair_addr(4, 2, 80), a;
	struct pair p;
	utcp_sock_t *l, *c, *s;
	char b[4];

	(void)state;
	pair_init(&p, 4);
	any.port_be = to.port_be;
	assert_int_equal(utcp_open(p.u[1], 6, &l), 0);
	assert_int_equal(utcp_bind(l, &any), 0);
	assert_int_equal(utcp_listen(l, 1), 0);
	assert_int_equal(utcp_open(p.u[0], 4, &c), 0);
	assert_int_equal(utcp_connect(c, &to), -EINPROGRESS);
	pair_pump(&p);
	assert_int_equal(utcp_accept(l, &s), 0);
	assert_int_equal(utcp_getpeername(s, &a), 0);
	assert_int_equal(a.family, 4);
	assert_int_equal(utcp_write(s, "hi", 2, 0), 2);
	pair_pump(&p);
	assert_int_equal(utcp_read(c, b, 4, 0), 2);
	pair_end(&p);
}

static void
both_sides_may_close_at_once(void **state)
{
	utcp_usage_t usage;
	struct pair p;
	utcp_sock_t *l, *c, *s;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	utcp_close(c);
	utcp_close(s);
	pair_run(&p, 300 * SEC);
	for (int i = 0; i < 2; i++) {
		utcp_usage(p.u[i], &usage);
		assert_int_equal(usage.socks, i);
		assert_int_equal(usage.timewaits, 0);
		assert_int_equal(p.u[i]->ctr[UTCP_CTR_RESETS_OUT], 0);
	}
	utcp_close(l);
	pair_end(&p);
}

static void
bytes_arrive_as_they_were_written(void **state)
{
	enum { BYTES = 300000 };
	struct pair p;
	utcp_sock_t *l, *c, *s;
	uint8_t *buf = malloc(BYTES);
	size_t wrote = 0, got = 0;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	for (size_t i = 0; i < BYTES; i++)
		buf[i] = pattern(i);
	while (got < BYTES) {
		uint8_t in[7777];
		ssize_t n = utcp_write(c, buf + wrote, BYTES - wrote, 0);

		if (n > 0)
			wrote += (size_t)n;
		else if (wrote < BYTES)
			assert_int_equal(n, -EAGAIN);
		pair_run(&p, MSEC);
		while ((n = utcp_read(s, in, sizeof(in), 0)) > 0) {
			assert_memory_equal(in, buf + got, (size_t)n);
			got += (size_t)n;
		}
		assert_int_equal(n, -EAGAIN);
	}
	utcp_close(c);
	pair_pump(&p);
	assert_int_equal(utcp_read(s, buf, 1, 0), 0);
	utcp_close(s);
	pair_run(&p, 100 * SEC);
	pair_end(&p);
	free(buf);
}

struct sent {
	utcp_buf_t buf;
	int calls, status;
};

static void
on_done(utcp_buf_t *buf, int status)
{
	struct sent *x = buf->user;

	x->calls++;
	x->status = status;
}

static void
sent_buffers_come_back_acknowledged(void **state)
{
	static uint8_t data[50000];
	struct sent x[3];
	struct pair p;
	utcp_sock_t *l, *c, *s;
	utcp_view_t v[8];
	size_t got = 0;
	int n;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i);
	for (size_t i = 0; i < 3; i++) {
		static const size_t at[] = { 0, 1, 30000, 50000 };

		memset(&x[i], 0, sizeof(x[i]));
		x[i].buf.data = data + at[i];
		x[i].buf.len = at[i + 1] - at[i];
		x[i].buf.done = on_done;
		x[i].buf.user = &x[i];
		assert_int_equal(utcp_send(c, &x[i].buf, 0), 0);
	}
	for (int i = 0; i < 1000 && got < sizeof(data); i++) {
		pair_run(&p, MSEC);
		while ((n = utcp_views(s, v, 8)) > 0) {
			size_t part = 0;

			for (int k = 0; k < n; k++) {
				assert_memory_equal(
				    v[k].data, data + got + part, v[k].len);
				part += v[k].len;
			}
			assert_true(part <= utcp_readable(s));
			assert_int_equal(utcp_consume(s, part), 0);
			got += part;
		}
		assert_int_equal(n, 0);
	}
	pair_run(&p, SEC);
	assert_int_equal(got, sizeof(data));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(x[i].calls, 1);
		assert_int_equal(x[i].status, 0);
	}
	pair_end(&p);
}

static void
destroy_returns_buffers_cancelled(void **state)
{
	struct sent x = { .buf = { .data = "abc", .len = 3, .done = on_done } };
	struct pair p;
	utcp_sock_t *l, *c, *s;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	x.buf.user = &x;
	assert_int_equal(utcp_send(c, &x.buf, 0), 0);
	pair_end(&p);
	assert_int_equal(x.calls, 1);
	assert_int_equal(x.status, -ECANCELED);
}

static void
abort_resets_and_returns_buffers(void **state)
{
	struct sent x = { .buf = { .data = "abc", .len = 3, .done = on_done } };
	struct pair p;
	utcp_sock_t *l, *c, *s;
	int64_t error;
	char b[8];

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	x.buf.user = &x;
	assert_int_equal(utcp_send(c, &x.buf, 0), 0);
	utcp_abort(c);
	assert_int_equal(x.calls, 1);
	assert_int_equal(x.status, -ECANCELED);
	pair_pump(&p);
	assert_true(utcp_poll(s) & UTCP_ERR);
	assert_true(utcp_poll(s) & UTCP_HUP);
	assert_int_equal(utcp_get(s, UTCP_OPT_ERROR, &error), 0);
	assert_int_equal(error, ECONNRESET);
	assert_int_equal(utcp_get(s, UTCP_OPT_ERROR, &error), 0);
	assert_int_equal(error, 0);
	assert_int_equal(utcp_read(s, b, 8, 0), 0);
	assert_int_equal(utcp_write(s, b, 8, 0), -EPIPE);
	utcp_close(s);
	pair_end(&p);
}

static void
error_is_told_once_by_read(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;
	char b[8];

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_write(c, "xy", 2, 0), 2);
	pair_pump(&p);
	utcp_abort(c);
	pair_pump(&p);
	/* What had come in order is still there. */
	assert_int_equal(utcp_read(s, b, 8, 0), 2);
	assert_int_equal(utcp_read(s, b, 8, 0), -ECONNRESET);
	assert_int_equal(utcp_read(s, b, 8, 0), 0);
	utcp_close(s);
	pair_end(&p);
}

static void
refused_connection_tells(void **state)
{
	utcp_event_t ev[4];
	utcp_addr_t to;
	struct pair p;
	utcp_sock_t *c;
	char b;

	(void)state;
	pair_init(&p, 4);
	to = pair_addr(4, 2, 99);
	assert_int_equal(utcp_open(p.u[0], 4, &c), 0);
	utcp_set_user(c, &p);
	assert_int_equal(utcp_connect(c, &to), -EINPROGRESS);
	assert_int_equal(utcp_connect(c, &to), -EALREADY);
	assert_int_equal(utcp_events(p.u[0], ev, 4), 0);
	pair_pump(&p);
	assert_int_equal(utcp_events(p.u[0], ev, 4), 1);
	assert_ptr_equal(ev[0].sock, c);
	assert_ptr_equal(ev[0].user, &p);
	assert_true(ev[0].ready & UTCP_ERR);
	assert_int_equal(utcp_read(c, &b, 1, 0), -ECONNREFUSED);
	utcp_close(c);
	pair_end(&p);
}

static void
half_close_both_ways(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;
	char b[8];

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_write(c, "q", 1, 0), 1);
	assert_int_equal(utcp_shutdown(c, UTCP_SHUT_WR), 0);
	assert_int_equal(utcp_write(c, "q", 1, 0), -EPIPE);
	pair_pump(&p);
	assert_int_equal(pair_state(c), UTCP_FIN_WAIT_2);
	assert_int_equal(pair_state(s), UTCP_CLOSE_WAIT);
	assert_true(utcp_poll(s) & UTCP_RDHUP);
	assert_false(utcp_poll(s) & UTCP_HUP);
	assert_int_equal(utcp_read(s, b, 8, 0), 1);
	assert_int_equal(utcp_read(s, b, 8, 0), 0);
	/* The other direction goes on, for as long as it likes. */
	pair_run(&p, 1000 * SEC);
	assert_int_equal(utcp_write(s, "answer", 6, 0), 6);
	pair_pump(&p);
	assert_int_equal(utcp_read(c, b, 8, 0), 6);
	assert_int_equal(utcp_shutdown(s, UTCP_SHUT_WR), 0);
	pair_run(&p, SEC);
	assert_int_equal(utcp_read(c, b, 8, 0), 0);
	assert_true(utcp_poll(c) & UTCP_HUP);
	assert_true(utcp_poll(s) & UTCP_HUP);
	assert_false(utcp_poll(s) & UTCP_ERR);
	utcp_close(c);
	utcp_close(s);
	pair_end(&p);
}

static void
shut_for_reading_reads_on(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;
	char b[8];

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_write(c, "before", 6, 0), 6);
	pair_pump(&p);
	assert_int_equal(utcp_shutdown(s, UTCP_SHUT_RD), 0);
	/* what there is, then the end, then what comes nevertheless */
	assert_int_equal(utcp_read(s, b, 8, 0), 6);
	assert_memory_equal(b, "before", 6);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(utcp_read(s, b, 8, 0), 0);
		assert_int_equal(utcp_poll(s), UTCP_IN | UTCP_OUT | UTCP_RDHUP);
		assert_int_equal(utcp_write(c, "after", 5, 0), 5);
		pair_run(&p, SEC);
		assert_int_equal(utcp_read(s, b, 8, 0), 5);
	}
	assert_int_equal(utcp_write(s, "still", 5, 0), 5);
	pair_pump(&p);
	assert_int_equal(utcp_read(c, b, 8, 0), 5);
	utcp_close(s);
	pair_pump(&p);
	assert_int_equal(utcp_read(c, b, 8, 0), 0);
	utcp_close(c);
	pair_end(&p);
}

static void
close_with_unread_data_resets(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;
	char b[8];

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_write(c, "unread", 6, 0), 6);
	pair_pump(&p);
	utcp_close(s);
	pair_pump(&p);
	assert_int_equal(utcp_read(c, b, 8, 0), -ECONNRESET);
	utcp_close(c);
	pair_end(&p);
}

static void
linger_0_resets(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;
	char b[8];

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_set(s, UTCP_OPT_LINGER, 0), 0);
	utcp_close(s);
	pair_pump(&p);
	assert_int_equal(utcp_read(c, b, 8, 0), -ECONNRESET);
	utcp_close(c);
	pair_end(&p);
}

static void
closed_connection_sends_what_was_written(void **state)
{
	enum { BYTES = 60000 };
	static uint8_t data[BYTES], in[BYTES];
	utcp_usage_t usage;
	struct pair p;
	utcp_sock_t *l, *c, *s;
	size_t got = 0;
	ssize_t n;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	for (size_t i = 0; i < BYTES; i++)
		data[i] = pattern(i);
	assert_int_equal(utcp_write(c, data, BYTES, 0), BYTES);
	utcp_close(c);
	for (int i = 0; i < 100; i++) {
		pair_run(&p, MSEC);
		while ((n = utcp_read(s, in + got, BYTES - got, 0)) > 0)
			got += (size_t)n;
	}
	assert_int_equal(got, BYTES);
	assert_memory_equal(in, data, BYTES);
	utcp_close(s);
	pair_run(&p, 200 * SEC);
	utcp_usage(p.u[0], &usage);
	assert_int_equal(usage.socks, 0);
	assert_int_equal(usage.timewaits, 0);
	assert_int_equal(usage.buffered_bytes, 0);
	utcp_usage(p.u[1], &usage);
	assert_int_equal(usage.socks, 1); /* the listener */
	pair_end(&p);
}

static void
listeners_end_resets_who_waits(void **state)
{
	utcp_usage_t usage;
	utcp_addr_t to;
	struct pair p;
	utcp_sock_t *l, *c;
	char b[8];

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	to = pair_addr(4, 2, 80);
	assert_int_equal(utcp_open(p.u[0], 4, &c), 0);
	assert_int_equal(utcp_connect(c, &to), -EINPROGRESS);
	pair_pump(&p);
	assert_int_equal(pair_state(c), UTCP_ESTABLISHED);
	utcp_close(l);
	pair_pump(&p);
	assert_int_equal(utcp_read(c, b, 8, 0), -ECONNRESET);
	utcp_close(c);
	utcp_usage(p.u[1], &usage);
	assert_int_equal(usage.socks, 0);
	pair_end(&p);
}

static void
who_left_the_accept_queue_is_not_returned(void **state)
{
	utcp_usage_t usage;
	utcp_addr_t to;
	struct pair p;
	utcp_sock_t *l, *c, *s;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	to = pair_addr(4, 2, 80);
	assert_int_equal(utcp_open(p.u[0], 4, &c), 0);
	assert_int_equal(utcp_connect(c, &to), -EINPROGRESS);
	pair_pump(&p);
	utcp_abort(c);
	pair_pump(&p);
	assert_int_equal(utcp_accept(l, &s), -EAGAIN);
	utcp_usage(p.u[1], &usage);
	assert_int_equal(usage.socks, 1);
	utcp_close(l);
	pair_end(&p);
}

static void
events_are_edges(void **state)
{
	utcp_event_t ev[8];
	utcp_addr_t to;
	struct pair p;
	utcp_sock_t *l, *c, *s;
	char b[8];

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	to = pair_addr(4, 2, 80);
	assert_int_equal(utcp_open(p.u[0], 4, &c), 0);
	assert_int_equal(utcp_connect(c, &to), -EINPROGRESS);
	pair_pump(&p);
	assert_int_equal(utcp_events(p.u[0], ev, 8), 1);
	assert_int_equal(ev[0].ready, UTCP_OUT);
	assert_int_equal(utcp_events(p.u[1], ev, 8), 1);
	assert_ptr_equal(ev[0].sock, l);
	assert_int_equal(utcp_accept(l, &s), 0);
	/* No news: it can be written to. */
	assert_int_equal(utcp_events(p.u[1], ev, 8), 0);
	assert_int_equal(utcp_write(c, "a", 1, 0), 1);
	pair_pump(&p);
	assert_int_equal(utcp_events(p.u[1], ev, 8), 1);
	assert_int_equal(ev[0].ready, UTCP_IN | UTCP_OUT);
	assert_int_equal(utcp_events(p.u[1], ev, 8), 0);
	/* More is news, though nobody has read the first. */
	pair_run(&p, 50 * MSEC);
	assert_int_equal(utcp_write(c, "b", 1, 0), 1);
	pair_pump(&p);
	assert_int_equal(utcp_events(p.u[1], ev, 8), 1);
	assert_int_equal(utcp_read(s, b, 8, 0), 2);
	/* What is read before it is told is not told. */
	pair_run(&p, 50 * MSEC);
	assert_int_equal(utcp_write(c, "c", 1, 0), 1);
	pair_pump(&p);
	assert_int_equal(utcp_read(s, b, 8, 0), 1);
	assert_int_equal(utcp_events(p.u[1], ev, 8), 0);
	/* One that is closed is not told. */
	pair_run(&p, 50 * MSEC);
	assert_int_equal(utcp_write(c, "d", 1, 0), 1);
	pair_pump(&p);
	utcp_close(s);
	assert_int_equal(utcp_events(p.u[1], ev, 8), 0);
	utcp_close(c);
	pair_end(&p);
}

static void
full_buffer_tells_when_there_is_room(void **state)
{
	static uint8_t data[1 << 20];
	utcp_event_t ev[8];
	struct pair p;
	utcp_sock_t *l, *c, *s;
	ssize_t n, all = 0;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_set(c, UTCP_OPT_SNDBUF, 10000), 0);
	assert_int_equal(utcp_set(s, UTCP_OPT_RCVBUF, 4096), 0);
	assert_int_equal(utcp_events(p.u[0], ev, 8), 1);
	for (int i = 0; i < 100; i++) {
		while ((n = utcp_write(c, data, sizeof(data), 0)) > 0)
			all += n;
		assert_int_equal(n, -EAGAIN);
		pair_run(&p, SEC);
	}
	assert_int_equal(utcp_events(p.u[0], ev, 8), 0);
	while (utcp_read(s, data, sizeof(data), 0) > 0)
		pair_run(&p, SEC);
	assert_int_equal(utcp_events(p.u[0], ev, 8), 1);
	assert_true(ev[0].ready & UTCP_OUT);
	assert_true(all >= 10000);
	pair_end(&p);
}

static void
low_waters_hold_events_back(void **state)
{
	static uint8_t data[200000];
	struct pair p;
	utcp_sock_t *l, *c, *s;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_set(s, UTCP_OPT_RCVLOWAT, 1000), 0);
	assert_int_equal(utcp_write(c, data, 999, 0), 999);
	pair_run(&p, 50 * MSEC);
	assert_false(utcp_poll(s) & UTCP_IN);
	assert_int_equal(utcp_write(c, data, 1, 0), 1);
	pair_run(&p, 50 * MSEC);
	assert_true(utcp_poll(s) & UTCP_IN);

	assert_int_equal(utcp_set(c, UTCP_OPT_NOTSENT_LOWAT, 5000), 0);
	assert_true(utcp_poll(c) & UTCP_OUT);
	assert_int_equal(utcp_write(c, data, 6000, 0), 6000);
	assert_false(utcp_poll(c) & UTCP_OUT);
	pair_pump(&p);
	assert_true(utcp_poll(c) & UTCP_OUT);
	pair_end(&p);
}

/* More than the buffer can hold is not waited for. */
static void
large_rcvlowat_does_not_stall(void **state)
{
	static uint8_t data[100000];
	struct pair p;
	utcp_sock_t *l, *c, *s;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	assert_int_equal(utcp_set(l, UTCP_OPT_RCVBUF, 16384), 0);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_set(s, UTCP_OPT_RCVLOWAT, 50000), 0);
	assert_true(utcp_write(c, data, 50000, 0) > 20000);
	pair_run(&p, 10 * SEC);
	assert_true(utcp_poll(s) & UTCP_IN);
	pair_end(&p);
}

static void
user_timeout_set_late_counts(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;
	int64_t error;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	p.cut = true;
	assert_int_equal(utcp_write(c, "lost", 4, 0), 4);
	pair_run(&p, 20 * SEC); /* backed off beyond what follows */
	assert_false(utcp_poll(c) & UTCP_ERR);
	assert_int_equal(utcp_set(c, UTCP_OPT_USER_TIMEOUT_NS, 21 * SEC), 0);
	pair_run(&p, 2 * SEC);
	assert_int_equal(utcp_get(c, UTCP_OPT_ERROR, &error), 0);
	assert_int_equal(error, ETIMEDOUT);
	pair_end(&p);
}

static void
peeked_data_stays(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;
	char b[8] = { 0 };

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_write(c, "abcdef", 6, 0), 6);
	pair_pump(&p);
	assert_int_equal(utcp_read(s, b, 4, UTCP_MSG_PEEK), 4);
	assert_int_equal(utcp_read(s, b, 2, 0), 2);
	assert_memory_equal(b, "ab", 2);
	assert_int_equal(utcp_readable(s), 4);
	assert_int_equal(utcp_consume(s, 5), -EINVAL);
	assert_int_equal(utcp_consume(s, 3), 0);
	assert_int_equal(utcp_read(s, b, 8, 0), 1);
	assert_memory_equal(b, "f", 1);
	pair_end(&p);
}

static void
accepted_connections_have_the_listeners_options(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;
	int64_t v;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	assert_int_equal(utcp_set(l, UTCP_OPT_NODELAY, 1), 0);
	assert_int_equal(utcp_set(l, UTCP_OPT_TTL, 17), 0);
	assert_int_equal(utcp_set_cc(l, "bbr"), 0);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_get(s, UTCP_OPT_NODELAY, &v), 0);
	assert_int_equal(v, 1);
	assert_int_equal(utcp_get(s, UTCP_OPT_TTL, &v), 0);
	assert_int_equal(v, 17);
	assert_string_equal(utcp_cc(s), "bbr");
	assert_string_equal(utcp_cc(c), "cubic");
	assert_int_equal(utcp_get(c, UTCP_OPT_TTL, &v), 0);
	assert_int_equal(v, 64);
	pair_end(&p);
}

static void
equal_options_are_shared(void **state)
{
	utcp_sock_t *s[8];
	utcp_t *u;

	(void)state;
	assert_int_equal(utcp_create(&u, NULL), 0);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(utcp_open(u, 4, &s[i]), 0);
		assert_int_equal(utcp_set(s[i], UTCP_OPT_TTL, 10 + i % 2), 0);
		assert_int_equal(utcp_set(s[i], UTCP_OPT_NODELAY, 1), 0);
	}
	for (int i = 2; i < 8; i++)
		assert_ptr_equal(s[i]->opts, s[i - 2]->opts);
	assert_ptr_not_equal(s[0]->opts, s[1]->opts);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(utcp_set(s[i], UTCP_OPT_TTL, 64), 0);
		assert_int_equal(utcp_set(s[i], UTCP_OPT_NODELAY, 0), 0);
		assert_ptr_equal(s[i]->opts, u->dflt);
	}
	utcp_destroy(u);
}

static void
options_have_names_and_ranges(void **state)
{
	static const char *const upper[] = {
#define UPPER(NAME, meaning, dflt, low, high) #NAME,
		UTCP_OPTIONS(UPPER)
	};
	static const int64_t range[][3] = {
#define RANGE(NAME, meaning, dflt, low, high) { dflt, low, high },
		UTCP_OPTIONS(RANGE)
	};
	utcp_sock_t *s;
	utcp_t *u;
	int64_t v;

	(void)state;
	assert_int_equal(utcp_create(&u, NULL), 0);
	assert_int_equal(utcp_open(u, 4, &s), 0);
	for (int i = 0; i < UTCP_OPT_MAX; i++) {
		char low[32] = { 0 };

		for (size_t k = 0; upper[i][k]; k++)
			low[k] = upper[i][k] == '_' || upper[i][k] < 'A'
				     ? upper[i][k]
				     : (char)(upper[i][k] + 32);
		assert_string_equal(utcp_opt_name((unsigned int)i), low);
		assert_true(strlen(utcp_opt_text((unsigned int)i)) > 5);
		assert_int_equal(utcp_get(s, i, &v), 0);
		assert_int_equal(v, range[i][0]);
		assert_int_equal(utcp_set(s, i, range[i][1] - 1), -EINVAL);
		assert_int_equal(utcp_set(s, i, range[i][2] + 1), -EINVAL);
		assert_int_equal(utcp_set(s, i, range[i][1]), 0);
		assert_int_equal(utcp_set(s, i, range[i][2]), 0);
		assert_int_equal(utcp_get(s, i, &v), 0);
		assert_int_equal(v, range[i][2]);
	}
	assert_null(utcp_opt_name(UTCP_OPT_MAX));
	assert_null(utcp_opt_text(UTCP_OPT_MAX));
	assert_int_equal(utcp_set(s, UTCP_OPT_MAX, 0), -ENOPROTOOPT);
	assert_int_equal(utcp_get(s, -1, &v), -ENOPROTOOPT);
	utcp_destroy(u);
}

static void
some_options_are_for_before(void **state)
{
	static const int early[] = { UTCP_OPT_SACK, UTCP_OPT_TIMESTAMPS,
				     UTCP_OPT_WSCALE, UTCP_OPT_ECN,
				     UTCP_OPT_FASTOPEN };
	struct pair p;
	utcp_sock_t *l, *c, *s;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++) {
		assert_int_equal(utcp_set(c, early[i], 0), -EISCONN);
		assert_int_equal(utcp_set(s, early[i], 0), -EISCONN);
		assert_int_equal(utcp_set(l, early[i], 0), 0);
	}
	pair_end(&p);
}

static void
counters_have_names(void **state)
{
	uint64_t v[UTCP_CTR_MAX + 1];
	utcp_t *u;

	(void)state;
	assert_int_equal(utcp_create(&u, NULL), 0);
	for (unsigned int i = 0; i < UTCP_CTR_MAX; i++) {
		assert_non_null(utcp_counter_name(i));
		assert_non_null(utcp_counter_text(i));
	}
	assert_null(utcp_counter_name(UTCP_CTR_MAX));
	assert_null(utcp_counter_text(UTCP_CTR_MAX));
	assert_int_equal(utcp_counters(u, v, UTCP_CTR_MAX + 1), UTCP_CTR_MAX);
	assert_int_equal(utcp_counters(u, v, 1), 1);
	utcp_destroy(u);
}

static void
info_tells_what_happened(void **state)
{
	static uint8_t data[100000];
	utcp_info_t i = { .size = sizeof(i) };
	struct pair p;
	utcp_sock_t *l, *c, *s;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_set(s, UTCP_OPT_RCVBUF, 200000), 0);
	for (int k = 0; k < 20; k++) {
		assert_int_equal(utcp_write(c, data, 5000, 0), 5000);
		pair_run(&p, 10 * MSEC);
	}
	assert_int_equal(utcp_info(c, &i), 0);
	assert_int_equal(i.state, UTCP_ESTABLISHED);
	assert_int_equal(i.bytes_acked, 100000);
	assert_int_equal(i.bytes_sent, 100000);
	assert_int_equal(i.unacked_bytes, 0);
	assert_int_equal(i.notsent_bytes, 0);
	assert_int_equal(i.total_retrans_segs, 0);
	assert_int_equal(i.mss, 1448);
	assert_int_equal(i.pmtu, 1500);
	assert_true(i.negotiated & UTCP_GOT_SACK);
	assert_true(i.negotiated & UTCP_GOT_TIMESTAMPS);
	assert_true(i.negotiated & UTCP_GOT_WSCALE);
	assert_true(i.rto_ns >= 200 * MSEC);
	assert_true(i.cwnd_bytes >= 10 * 1448);
	assert_string_equal(i.cc, "cubic");
	assert_int_equal(utcp_info(s, &i), 0);
	assert_int_equal(i.bytes_received, 100000);
	assert_int_equal(i.unread_bytes, 100000);
	assert_int_equal(i.rcv_mss, 1448);
	pair_run(&p, 500 * MSEC);
	assert_int_equal(utcp_info(s, &i), 0);
	assert_in_range(i.last_data_ms, 500, 520);
	assert_in_range(i.last_heard_ms, 500, 520);
	assert_int_equal(utcp_info(c, &i), 0);
	assert_in_range(i.last_sent_ms, 500, 520);
	assert_int_equal(i.last_data_ms, UINT32_MAX);
	assert_int_equal(i.probes, 0);
	i.size = 0;
	assert_int_equal(utcp_info(s, &i), -EINVAL);
	i.size = sizeof(i) + 1;
	assert_int_equal(utcp_info(s, &i), -EINVAL);
	i.size = 8; /* an older, shorter struct */
	i.mss = 77;
	assert_int_equal(utcp_info(s, &i), 0);
	assert_int_equal(i.mss, 77);
	pair_end(&p);
}

/* Every allocation fails once: no crash, no leak, and it works afterwards. */
struct failing {
	long count, at;
};

static void *
failing_alloc(void *arg, size_t bytes)
{
	struct failing *f = arg;

	return f->count++ == f->at ? NULL : malloc(bytes);
}

static void
failing_release(void *arg, void *mem, size_t bytes)
{
	(void)arg;
	(void)bytes;
	free(mem);
}

static bool
talk(struct failing *f)
{
	utcp_config_t c = { .size = sizeof(c),
			    .alloc = failing_alloc,
			    .release = failing_release,
			    .alloc_arg = f };
	utcp_addr_t a = pair_addr(4, 1, 0), to = pair_addr(4, 1, 80);
	static uint8_t mem[64][2048], data[30000];
	utcp_sock_t *l = NULL, *s = NULL, *x = NULL;
	size_t got = 0;
	utcp_t *u;

	f->count = 0;
	if (utcp_create(&u, &c))
		return false;
	(void)utcp_address(u, &a, 1);
	if (utcp_open(u, 4, &l) || utcp_bind(l, &to) || utcp_listen(l, 4))
		goto out;
	if (utcp_open(u, 4, &s) || utcp_connect(s, &to) != -EINPROGRESS)
		goto out;
	(void)utcp_set(s, UTCP_OPT_NODELAY, 1);
	for (int i = 0; i < 600 && got < sizeof(data); i++) {
		utcp_pkt_t pkts[64];
		int n;

		memset(pkts, 0, sizeof(pkts));
		for (int k = 0; k < 64; k++) {
			pkts[k].data = mem[k];
			pkts[k].len = sizeof(mem[k]);
		}
		utcp_advance(u, (uint64_t)i * 20 * MSEC);
		n = utcp_output(u, pkts, 64);
		assert_true(n >= 0);
		if (n)
			assert_int_equal(utcp_input(u, pkts, (unsigned int)n),
					 0);
		utcp_retain(u);
		if (!x && utcp_accept(l, &x) == 0)
			(void)utcp_write(x, data, sizeof(data), 0);
		n = (int)utcp_read(s, data, sizeof(data), 0);
		if (n > 0)
			got += (size_t)n;
	}
out:
	utcp_close(x);
	utcp_close(s);
	utcp_close(l);
	utcp_destroy(u);
	return got == sizeof(data);
}

static void
every_allocation_may_fail(void **state)
{
	struct failing f = { .at = -1 };
	long all;

	(void)state;
	assert_true(talk(&f));
	all = f.count;
	assert_true(all > 10);
	for (f.at = 0; f.at < all; f.at++)
		(void)talk(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connects_over_ipv4),
		cmocka_unit_test(connects_over_ipv6),
		cmocka_unit_test(ipv6_wildcard_takes_ipv4),
		cmocka_unit_test(both_sides_may_close_at_once),
		cmocka_unit_test(bytes_arrive_as_they_were_written),
		cmocka_unit_test(sent_buffers_come_back_acknowledged),
		cmocka_unit_test(destroy_returns_buffers_cancelled),
		cmocka_unit_test(abort_resets_and_returns_buffers),
		cmocka_unit_test(error_is_told_once_by_read),
		cmocka_unit_test(refused_connection_tells),
		cmocka_unit_test(half_close_both_ways),
		cmocka_unit_test(shut_for_reading_reads_on),
		cmocka_unit_test(close_with_unread_data_resets),
		cmocka_unit_test(linger_0_resets),
		cmocka_unit_test(closed_connection_sends_what_was_written),
		cmocka_unit_test(listeners_end_resets_who_waits),
		cmocka_unit_test(who_left_the_accept_queue_is_not_returned),
		cmocka_unit_test(events_are_edges),
		cmocka_unit_test(full_buffer_tells_when_there_is_room),
		cmocka_unit_test(low_waters_hold_events_back),
		cmocka_unit_test(large_rcvlowat_does_not_stall),
		cmocka_unit_test(user_timeout_set_late_counts),
		cmocka_unit_test(peeked_data_stays),
		cmocka_unit_test(
		    accepted_connections_have_the_listeners_options),
		cmocka_unit_test(equal_options_are_shared),
		cmocka_unit_test(options_have_names_and_ranges),
		cmocka_unit_test(some_options_are_for_before),
		cmocka_unit_test(counters_have_names),
		cmocka_unit_test(info_tells_what_happened),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
