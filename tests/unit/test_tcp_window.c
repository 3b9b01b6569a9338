/* SPDX-License-Identifier: BSD-2-Clause */
/* Windows, the peer's and ours: tcp_output, tcp_window, persist of tcp_timer. */
#include "tcp_util.h"

/* RFC 9293 section 3.8.6.2.1: no silly segment for a silly window. */
static void
window_of_less_than_a_segment_waits(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, "mss 1460");
	tt_write(&t, 1460);
	tt_expect(&t, "P. 1:1461(1460)");
	tt_in(&t, ". 1:1(0) ack 1461 win 1000");
	tt_write(&t, 3000);
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack 1461 win 1500");
	tt_expect(&t, ". 1461:2921(1460)");
	tt_none(&t);
	tt_end(&t);
}

/* In the end it is used: rule 4. */
static void
small_window_is_used_after_the_timeout(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, "mss 1460");
	tt_in(&t, ". 1:1(0) ack 1 win 1000");
	tt_write(&t, 3000);
	tt_expect_within(&t, 2 * SEC, ". 1:1001(1000)");
	tt_in(&t, ". 1:1(0) ack 1001 win 65535");
	tt_expect(&t, ". 1001:2461(1460)");
	tt_expect(&t, "P. 2461:3001(540)");
	tt_end(&t);
}

/* Who never offers two segments gets smaller ones: rule 3. */
static void
tiny_windows_get_half_window_segments(void **state)
{
	struct tt t;

	(void)state;
	tt_listen_bare(&t, 4);
	t.p->win = 1000;
	tt_in(&t, "S 0:0(0) win 1000 <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1 win 1000");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_write(&t, 2000);
	tt_expect(&t, ". 1:501(500)");
	tt_expect(&t, ". 501:1001(500)");
	tt_none(&t);
	tt_end(&t);
}

static void
fin_waits_for_window(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, "mss 1460");
	tt_in(&t, ". 1:1(0) ack 1 win 100");
	tt_write(&t, 100);
	assert_int_equal(utcp_shutdown(t.s, UTCP_SHUT_WR), 0);
	tt_expect(&t, "P. 1:101(100)");
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack 101 win 100");
	tt_expect(&t, "F. 101:101(0)");
	tt_end(&t);
}

/* RFC 9293 section 3.8.6.1, and minutes of it. */
static void
zero_window_is_probed_for_minutes(void **state)
{
	uint64_t last = 0;
	unsigned int i;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_open_plain(&t, "mss 1460");
	tt_in(&t, ". 1:1(0) ack 1 win 0");
	tt_write(&t, 3000);
	tt_none(&t);
	for (i = 0; i < 40; i++) {
		tt_expect_within(&t, 121 * SEC, ". 0:0(0) ack 1");
		/* Longer each time, to a limit (SHLD-30). */
		if (i > 1 && i < 7)
			assert_true(t.now_ns - last > SEC / 4);
		last = t.now_ns;
		tt_in(&t, ". 1:1(0) ack 1 win 0");
		seg = tt_next(&t);
		assert_null(seg);
	}
	assert_true(t.now_ns - t.begin_ns > 1800 * SEC);
	tt_state(&t, UTCP_ESTABLISHED);
	tt_in(&t, ". 1:1(0) ack 1 win 65535");
	tt_expect(&t, ". 1:1461(1460)");
	tt_expect(&t, ". 1461:2921(1460)");
	tt_expect(&t, "P. 2921:3001(80)");
	assert_int_equal(tt_counter(&t, UTCP_CTR_PROBES), 40);
	tt_end(&t);
}

static void
unanswered_probes_end_it(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, "mss 1460");
	tt_set(t.s, UTCP_OPT_RETRIES, 3);
	tt_in(&t, ". 1:1(0) ack 1 win 0");
	tt_write(&t, 10);
	tt_expect_within(&t, 4 * SEC, ". 0:0(0)");
	tt_expect_within(&t, 8 * SEC, ". 0:0(0)");
	tt_expect_within(&t, 16 * SEC, ". 0:0(0)");
	tt_quiet(&t, 60 * SEC);
	tt_read_is(&t, -ETIMEDOUT);
	tt_end(&t);
}

/* The window was taken back below what is in flight. */
static void
shrunk_window_still_retransmits(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, "mss 1460");
	tt_write(&t, 2920);
	tt_expect(&t, ". 1:1461(1460)");
	tt_expect(&t, "P. 1461:2921(1460)");
	tt_in(&t, ". 1:1(0) ack 1 win 0");
	tt_expect_within(&t, 4 * SEC, ". 1:1461(1460)");
	tt_in(&t, ". 1:1(0) ack 2921 win 65535");
	tt_none(&t);
	tt_end(&t);
}

/* F-RTO waits for new data to be acknowledged, but not if none can be sent: what
   is left of the window is less than a segment. */
static void
frto_does_not_wait_for_what_cannot_leave(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, "mss 1460");
	tt_in(&t, ". 1:1(0) ack 1 win 4480");
	tt_write(&t, 5 * 1460);
	tt_expect(&t, ". 1:1461(1460)");
	tt_expect(&t, ". 1461:2921(1460)");
	tt_expect(&t, ". 2921:4381(1460)");
	tt_expect_within(&t, 4 * SEC, ". 1:1461(1460)");
	tt_in(&t, ". 1:1(0) ack 1461 win 3020");
	tt_expect(&t, ". 1461:2921(1460)");
	tt_end(&t);
}

/* Reading a lot at once opens a closed window by a segment of its own. */
static void
window_update_after_read(void **state)
{
	uint8_t buf[4096];
	uint32_t win, pos = 1;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	assert_int_equal(utcp_set(t.listener, UTCP_OPT_RCVBUF, 8192), 0);
	tt_passive(&t, "mss 1460");
	tt_set(t.s, UTCP_OPT_QUICKACK, 1);
	do {
		tt_in(&t, "P. %u(512) ack 1", pos);
		pos += 512;
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_int_equal(seg->ack, pos);
		win = seg->win;
	} while (win >= 512 && pos < 20000);
	tt_none(&t);
	while (utcp_read(t.s, buf, sizeof(buf), 0) > 0)
		;
	seg = tt_next(&t);
	assert_non_null(seg);
	assert_int_equal(seg->ack, pos);
	assert_true(seg->win >= 4096);
	tt_end(&t);
}

/* The right edge never goes back (RFC 9293 section 3.8.6.2.1), but for what the
   scale cannot express (RFC 7323 section 2.4). */
static void
right_edge_never_shrinks(void **state)
{
	uint32_t edge = 0, pos = 1, i;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	tt_set(t.s, UTCP_OPT_QUICKACK, 1);
	for (i = 0; i < 300; i++) {
		uint32_t n = 1 + i * 37 % 700,
			 unit = 1u << tt_info(&t).rcv_wscale;

		tt_in(&t, "P. %u(%u) ack 1", pos, n);
		pos += n;
		seg = tt_next(&t);
		if (!seg)
			continue;
		assert_false(seq_lt(seg->ack + seg->win * unit + unit, edge));
		edge = seg->ack + seg->win * unit;
	}
	tt_end(&t);
}

/* Who never reads is sent no more than the buffer takes, in segments smaller
   than what the scale can express as well. */
static void
tiny_segments_close_the_window(void **state)
{
	uint32_t pos = 1, buf;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	tt_set(t.s, UTCP_OPT_QUICKACK, 1);
	assert_true(tt_info(&t).rcv_wscale > 5);
	buf = t.s->rcvbuf;
	for (;;) {
		tt_in(&t, "P. %u(97) ack 1", pos);
		seg = tt_next(&t);
		assert_non_null(seg);
		if (seg->ack != pos + 97)
			break; /* not taken, or not all of it */
		pos += 97;
		assert_true(pos < buf + 1000);
	}
	assert_true(pos > buf - 1000);
	tt_end(&t);
}

/* As little as can be said: each time that all is read it opens again. */
static void
tiny_buffers_open_again(void **state)
{
	static const struct {
		int opt, value;
		bool listener; /* set before the connection opens */
	} cases[] = {
		{ UTCP_OPT_RCVBUF, 100, false },
		{ UTCP_OPT_RCVBUF, 1, false },
		{ UTCP_OPT_RCVBUF, 1, true },
		{ UTCP_OPT_RCVBUF, 300, true },
		{ UTCP_OPT_WINDOW_CLAMP, 100, false },
		{ UTCP_OPT_WINDOW_CLAMP, 1, false },
		{ UTCP_OPT_WINDOW_CLAMP, 1, true },
		{ UTCP_OPT_WINDOW_CLAMP, 700, true },
	};
	uint32_t pos, win, len, scale;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tt_init(&t, 4);
		tt_listen(&t);
		if (cases[i].listener)
			tt_set(t.listener, cases[i].opt, cases[i].value);
		tt_passive(&t, TT_SACK);
		tt_set(t.s, UTCP_OPT_QUICKACK, 1);
		if (!cases[i].listener)
			tt_set(t.s, cases[i].opt, cases[i].value);
		scale = tt_info(&t).rcv_wscale;
		win = t.s->rcv_adv - t.s->rcv_nxt;
		pos = 1;
		for (int round = 0; round < 200; round++) {
			len = win < 1000 ? win : 1000;
			assert_true(len > 0);
			tt_in(&t, "P. %u(%u) ack 1", pos, len);
			pos += len;
			tt_read(&t, len);
			while ((seg = tt_next(&t)) != NULL) {
				assert_int_equal(seg->ack, pos);
				win = seg->win << scale;
			}
		}
		assert_true(win <= 1000);
		tt_end(&t);
	}
}

static void
window_clamp_holds(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	assert_int_equal(utcp_set(t.listener, UTCP_OPT_WINDOW_CLAMP, 4000), 0);
	tt_passive(&t, "mss 1460");
	tt_set(t.s, UTCP_OPT_QUICKACK, 1);
	tt_in(&t, "P. 1:101(100) ack 1");
	assert_true(tt_next(&t)->win <= 4000);
	tt_end(&t);
}

/* Set when the connection is open already, to less than a segment, or than the
   scale can say: what is read makes room again, and the peer is told. */
static void
a_small_clamp_opens_again(void **state)
{
	static const int64_t clamps[] = { 1, 90, 700, 2000 };
	uint32_t seq = 1, win, n, i;
	struct tt_seg *seg;
	utcp_info_t info;
	size_t k;

	(void)state;
	for (k = 0; k < sizeof(clamps) / sizeof(clamps[0]); k++) {
		struct tt t;

		tt_open_plain(&t, TT_OPTS);
		tt_set(t.s, UTCP_OPT_WINDOW_CLAMP, clamps[k]);
		win = 65535;
		for (seq = 1, i = 0; i < 200; i++) {
			n = MIN(win, 1448u);
			tt_in(&t, ". %u:%u(%u) ack 1", seq, seq + n, n);
			seq += n;
			win -= n;
			tt_read(&t, n);
			tt_run(&t, 50 * MSEC);
			info = tt_info(&t);
			while ((seg = tt_next(&t)) != NULL)
				win = seg->win << info.rcv_wscale;
			assert_true(win > 0);
		}
		assert_true(win <=
			    MAX((uint32_t)clamps[k], 1u << info.rcv_wscale));
		tt_end(&t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(window_of_less_than_a_segment_waits),
		cmocka_unit_test(small_window_is_used_after_the_timeout),
		cmocka_unit_test(tiny_windows_get_half_window_segments),
		cmocka_unit_test(fin_waits_for_window),
		cmocka_unit_test(zero_window_is_probed_for_minutes),
		cmocka_unit_test(unanswered_probes_end_it),
		cmocka_unit_test(shrunk_window_still_retransmits),
		cmocka_unit_test(frto_does_not_wait_for_what_cannot_leave),
		cmocka_unit_test(window_update_after_read),
		cmocka_unit_test(right_edge_never_shrinks),
		cmocka_unit_test(tiny_segments_close_the_window),
		cmocka_unit_test(tiny_buffers_open_again),
		cmocka_unit_test(window_clamp_holds),
		cmocka_unit_test(a_small_clamp_opens_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
