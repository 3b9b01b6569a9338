/* SPDX-License-Identifier: BSD-2-Clause */
/* Options, counters and what is told about a connection. */
#include "utcp_pair.h"

static void
full_buffer_tells_when_there_is_room(void **state)
{
	static uint8_t data[1 << 20];
	utcp_event_t ev[8];
	struct pair p;
	utcp_sock_t *l, *c, *s;
	ssize_t n, all = 0;

	(void)state;
	pair_open(&p, &l, &c, &s);
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
	pair_open(&p, &l, &c, &s);
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
	pair_open(&p, &l, &c, &s);
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
	pair_open(&p, &l, &c, &s);
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
	pair_open(&p, &l, &c, &s);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_buffer_tells_when_there_is_room),
		cmocka_unit_test(low_waters_hold_events_back),
		cmocka_unit_test(large_rcvlowat_does_not_stall),
		cmocka_unit_test(user_timeout_set_late_counts),
		cmocka_unit_test(equal_options_are_shared),
		cmocka_unit_test(options_have_names_and_ranges),
		cmocka_unit_test(some_options_are_for_before),
		cmocka_unit_test(counters_have_names),
		cmocka_unit_test(info_tells_what_happened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
