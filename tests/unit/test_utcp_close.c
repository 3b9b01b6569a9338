/* SPDX-License-Identifier: BSD-2-Clause */
/* How sockets end, between two stacks. */
#include "utcp_pair.h"

static void
both_sides_may_close_at_once(void **state)
{
	utcp_usage_t usage;
	struct pair p;
	utcp_sock_t *l, *c, *s;

	(void)state;
	pair_open(&p, &l, &c, &s);
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
destroy_returns_buffers_cancelled(void **state)
{
	struct pair_sent x = {
		.buf = { .data = "abc", .len = 3, .done = pair_done }
	};
	struct pair p;
	utcp_sock_t *l, *c, *s;

	(void)state;
	pair_open(&p, &l, &c, &s);
	x.buf.user = &x;
	assert_int_equal(utcp_send(c, &x.buf, 0), 0);
	pair_end(&p);
	assert_int_equal(x.calls, 1);
	assert_int_equal(x.status, -ECANCELED);
}

static void
abort_resets_and_returns_buffers(void **state)
{
	struct pair_sent x = {
		.buf = { .data = "abc", .len = 3, .done = pair_done }
	};
	struct pair p;
	utcp_sock_t *l, *c, *s;
	int64_t error;
	char b[8];

	(void)state;
	pair_open(&p, &l, &c, &s);
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
half_close_both_ways(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;
	char b[8];

	(void)state;
	pair_open(&p, &l, &c, &s);
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
	pair_open(&p, &l, &c, &s);
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
	pair_open(&p, &l, &c, &s);
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
	pair_open(&p, &l, &c, &s);
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
	pair_open(&p, &l, &c, &s);
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
who_left_the_accept_queue_is_read_still(void **state)
{
	utcp_usage_t usage;
	utcp_addr_t to;
	struct pair p;
	utcp_sock_t *l, *c, *s;
	char b[8];

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	to = pair_addr(4, 2, 80);
	/* accepted; with the listener; with the stack */
	for (int how = 0; how < 3; how++) {
		assert_int_equal(utcp_open(p.u[0], 4, &c), 0);
		assert_int_equal(utcp_connect(c, &to), -EINPROGRESS);
		pair_pump(&p);
		assert_int_equal(utcp_write(c, "bye", 3, 0), 3);
		pair_pump(&p);
		utcp_abort(c);
		pair_pump(&p);
		if (how == 1) {
			utcp_close(l);
			utcp_usage(p.u[1], &usage);
			assert_int_equal(usage.socks, 0);
			l = pair_listen(&p, 1, 80, 8);
		} else if (how == 0) {
			assert_int_equal(utcp_accept(l, &s), 0);
			assert_int_equal(utcp_accept(l, &c), -EAGAIN);
			assert_int_equal(utcp_poll(s), UTCP_IN | UTCP_RDHUP |
							   UTCP_HUP | UTCP_ERR);
			assert_int_equal(utcp_read(s, b, 8, 0), 3);
			assert_int_equal(utcp_read(s, b, 8, 0), -ECONNRESET);
			utcp_close(s);
		}
	}
	utcp_usage(p.u[1], &usage);
	assert_int_equal(usage.socks, 2);
	pair_end(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_may_close_at_once),
		cmocka_unit_test(destroy_returns_buffers_cancelled),
		cmocka_unit_test(abort_resets_and_returns_buffers),
		cmocka_unit_test(half_close_both_ways),
		cmocka_unit_test(shut_for_reading_reads_on),
		cmocka_unit_test(close_with_unread_data_resets),
		cmocka_unit_test(linger_0_resets),
		cmocka_unit_test(closed_connection_sends_what_was_written),
		cmocka_unit_test(listeners_end_resets_who_waits),
		cmocka_unit_test(who_left_the_accept_queue_is_read_still),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
