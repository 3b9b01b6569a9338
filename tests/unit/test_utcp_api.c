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
bytes_arrive_as_they_were_written(void **state)
{
	enum { BYTES = 300000 };
	struct pair p;
	utcp_sock_t *l, *c, *s;
	uint8_t *buf = malloc(BYTES);
	size_t wrote = 0, got = 0;

	(void)state;
	pair_open(&p, &l, &c, &s);
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

static void
sent_buffers_come_back_acknowledged(void **state)
{
	static uint8_t data[50000];
	struct pair_sent x[3];
	struct pair p;
	utcp_sock_t *l, *c, *s;
	utcp_view_t v[8];
	size_t got = 0;
	int n;

	(void)state;
	pair_open(&p, &l, &c, &s);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i);
	for (size_t i = 0; i < 3; i++) {
		static const size_t at[] = { 0, 1, 30000, 50000 };

		memset(&x[i], 0, sizeof(x[i]));
		x[i].buf.data = data + at[i];
		x[i].buf.len = at[i + 1] - at[i];
		x[i].buf.done = pair_done;
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
error_is_told_once_by_read(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;
	char b[8];

	(void)state;
	pair_open(&p, &l, &c, &s);
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
peeked_data_stays(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;
	char b[8] = { 0 };

	(void)state;
	pair_open(&p, &l, &c, &s);
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
		cmocka_unit_test(bytes_arrive_as_they_were_written),
		cmocka_unit_test(sent_buffers_come_back_acknowledged),
		cmocka_unit_test(error_is_told_once_by_read),
		cmocka_unit_test(refused_connection_tells),
		cmocka_unit_test(events_are_edges),
		cmocka_unit_test(peeked_data_stays),
		cmocka_unit_test(
		    accepted_connections_have_the_listeners_options),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
