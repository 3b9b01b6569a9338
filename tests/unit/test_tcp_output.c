/* SPDX-License-Identifier: BSD-2-Clause */
/* What leaves, and when it does not. */
#include "tcp_util.h"

#define MSS 1448 /* with timestamps */

static void
write_flags(struct tt *t, uint32_t len, int flags)
{
	uint8_t buf[8192];
	uint32_t i;

	assert_true(len <= sizeof(buf));
	for (i = 0; i < len; i++)
		buf[i] = tt_byte(t->wrote + i);
	assert_int_equal(utcp_write(t->s, buf, len, flags), len);
	t->wrote += len;
}

/* ---- small segments ---------------------------------------------------- */

static void
nagle_waits_for_the_small_one_before(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_OPTS);
	tt_write(&t, 100);
	tt_expect(&t, "P. 1:101(100) ack 1");
	tt_write(&t, 50);
	tt_write(&t, 50);
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack 101");
	tt_expect(&t, "P. 101:201(100) ack 1");
	tt_end(&t);
}

/* Minshall: full ones in flight do not hold a small one back. */
static void
small_tail_follows_full_segments(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_OPTS);
	tt_write(&t, 2 * MSS + 10);
	tt_expect(&t, ". 1:1449(1448)");
	tt_expect(&t, ". 1449:2897(1448)");
	tt_expect(&t, "P. 2897:2907(10)");
	tt_write(&t, 10);
	tt_none(&t);
	tt_end(&t);
}

static void
nodelay_sends_at_once(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_OPTS);
	tt_set(t.s, UTCP_OPT_NODELAY, 1);
	tt_write(&t, 10);
	tt_expect(&t, "P. 1:11(10)");
	tt_write(&t, 10);
	tt_expect(&t, "P. 11:21(10)");
	tt_end(&t);
}

static void
cork_holds_200_ms_at_most(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_OPTS);
	tt_set(t.s, UTCP_OPT_CORK, 1);
	tt_write(&t, MSS + 100);
	tt_expect(&t, ". 1:1449(1448)");
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack 1449");
	tt_expect_in(&t, 200 * MSEC, "P. 1449:1549(100)");
	/* The next begins anew. */
	tt_write(&t, 10);
	tt_expect_in(&t, 200 * MSEC, "P. 1549:1559(10)");
	tt_end(&t);
}

static void
cork_taken_off_sends(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_OPTS);
	tt_set(t.s, UTCP_OPT_CORK, 1);
	tt_write(&t, 100);
	tt_none(&t);
	tt_set(t.s, UTCP_OPT_CORK, 0);
	tt_expect(&t, "P. 1:101(100)");
	tt_end(&t);
}

static void
more_waits_for_the_next_write(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_OPTS);
	write_flags(&t, 100, UTCP_MSG_MORE);
	tt_none(&t);
	write_flags(&t, 100, 0);
	tt_expect(&t, "P. 1:201(200)");
	tt_end(&t);
}

static void
eor_pushes_in_spite_of_cork(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_OPTS);
	tt_set(t.s, UTCP_OPT_CORK, 1);
	write_flags(&t, 100, UTCP_MSG_EOR);
	tt_expect(&t, "P. 1:101(100)");
	tt_end(&t);
}

/* The segments of a flight, each of so many bytes, pushed if not full. */
static void
expect_segments(struct tt *t, uint32_t from, const uint32_t *len,
		unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		tt_expect(t, "%s. %u:%u(%u) ack 1", len[i] < 1000 ? "P" : "",
			  from, from + len[i], len[i]);
		from += len[i];
	}
	tt_none(t);
}

/* No segment has bytes of two records, whenever it leaves; what was written
   before a record goes with it. */
static void
segments_end_with_their_record(void **state)
{
	static const uint32_t first[] = { 1000, 1000, 1000, 1000, 1000,
					  1000, 1000, 1000, 1000, 1000 };
	static const uint32_t rest[] = { 800, 400, 400, 1000, 1000, 300 };
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, "mss 1000,sackOK,nop,wscale 7");
	tt_set(t.s, UTCP_OPT_PMTUD, 0);
	tt_write(&t, 10400);
	for (int i = 0; i < 3; i++)
		write_flags(&t, 400, UTCP_MSG_EOR);
	tt_write(&t, 2300);
	expect_segments(&t, 1, first, 10);
	tt_in(&t, ". 1:1(0) ack 10001");
	expect_segments(&t, 10001, rest, 6);
	/* Nor when they are sent again. */
	tt_in(&t, ". 1:1(0) ack 10801 <sack 11201:13901>");
	tt_expect_within(&t, SEC, ". 10801:11201(400) ack 1");
	tt_in(&t, ". 1:1(0) ack 13901");
	tt_quiet(&t, SEC);
	tt_end(&t);
}

/* Nor with GSO, nor across buffers that were given by reference. */
static void
records_of_one_gso_packet(void **state)
{
	static uint8_t data[3000];
	utcp_buf_t bufs[3];
	utcp_config_t cfg = { .offloads = UTCP_OFFLOAD_CSUM |
					  UTCP_OFFLOAD_GSO_TCP };
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_passive(&t, TT_OPTS);
	t.no_pattern = true;
	for (unsigned int i = 0; i < 3; i++) {
		memset(&bufs[i], 0, sizeof(bufs[i]));
		bufs[i].data = data;
		bufs[i].len = 3000;
		assert_int_equal(
		    utcp_send(t.s, &bufs[i], i == 1 ? UTCP_MSG_EOR : 0), 0);
	}
	seg = tt_next(&t);
	assert_non_null(seg);
	assert_int_equal(seg->len, 6000);
	assert_int_equal(seg->gso_size, MSS);
	assert_true(seg->flags & TH_PSH);
	seg = tt_next(&t);
	assert_non_null(seg);
	assert_int_equal(seg->len, 3000);
	tt_in(&t, ". 1:1(0) ack 9001");
	tt_end(&t);
}

/* A write of nothing ends the record; one that was taken in part does not, and
   what is left unsent takes its marks along. */
static void
records_end_late_or_not(void **state)
{
	static uint8_t data[10000];
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_SACK);
	tt_set(t.s, UTCP_OPT_SNDBUF, 4096);
	tt_set(t.s, UTCP_OPT_CORK, 1);
	write_flags(&t, 100, 0);
	assert_int_equal(utcp_write(t.s, NULL, 0, UTCP_MSG_EOR), 0);
	write_flags(&t, 100, UTCP_MSG_EOR);
	tt_expect(&t, "P. 1:101(100)");
	tt_expect(&t, "P. 101:201(100)");
	/* All is sent: there is nothing to end. */
	assert_int_equal(utcp_write(t.s, NULL, 0, UTCP_MSG_EOR), 0);
	t.no_pattern = true;
	assert_int_equal(utcp_write(t.s, data, sizeof(data), UTCP_MSG_EOR),
			 3896);
	tt_expect(&t, ". 201:1661(1460)");
	tt_expect(&t, ". 1661:3121(1460)");
	tt_none(&t); /* 976 wait for the rest */
	tt_in(&t, ". 1:1(0) ack 3121 win 0");
	write_flags(&t, 10, UTCP_MSG_EOR);
	write_flags(&t, 10, UTCP_MSG_EOR);
	tt_none(&t);
	tt_end(&t);
}

static void
fin_rides_on_the_last_data(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_OPTS);
	tt_write(&t, 100);
	tt_expect(&t, "P. 1:101(100)");
	tt_write(&t, 100); /* held by Nagle, freed by the FIN */
	assert_int_equal(utcp_shutdown(t.s, UTCP_SHUT_WR), 0);
	tt_expect(&t, "FP. 101:201(100)");
	tt_state(&t, UTCP_FIN_WAIT_1);
	tt_in(&t, ". 1:1(0) ack 202");
	tt_state(&t, UTCP_FIN_WAIT_2);
	tt_end(&t);
}

/* ---- GSO, pacing ------------------------------------------------------- */

static void
begin_gso(struct tt *t, utcp_config_t *cfg)
{
	memset(cfg, 0, sizeof(*cfg));
	cfg->offloads = UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_TCP;
	tt_init_config(t, 4, cfg);
	tt_passive(t, TT_OPTS);
	tt_set(t->s, UTCP_OPT_RACK, 0);
}

static void
gso_sends_the_window_as_one(void **state)
{
	utcp_config_t cfg;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	begin_gso(&t, &cfg);
	tt_write(&t, 5 * MSS + 7);
	seg = tt_next(&t);
	assert_non_null(seg);
	assert_int_equal(seg->len, 5 * MSS + 7);
	assert_int_equal(seg->gso_size, MSS);
	assert_true(seg->flags & TH_PSH);
	/* A retransmission after a timeout is what cwnd allows: one. */
	tt_expect_within(&t, 4 * SEC, ". 1:1449(1448)");
	tt_end(&t);
}

static void
gso_keeps_to_its_maximum(void **state)
{
	uint32_t total = 0;
	utcp_config_t cfg = {
		.offloads = UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_TCP,
		.gso_max_bytes = 5000,
	};
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_passive(&t, TT_OPTS);
	tt_write(&t, 8 * MSS);
	while ((seg = tt_next(&t))) {
		assert_true(seg->len + 52 <= 5000);
		assert_int_equal(seg->len % MSS, 0);
		total += seg->len;
	}
	assert_int_equal(total, 8 * MSS);
	tt_end(&t);
}

/* Few buffers: smaller packets, not none. */
static void
gso_fits_into_what_there_is(void **state)
{
	uint8_t bytes[2][2048];
	utcp_pkt_t pkts[2];
	utcp_config_t cfg;
	uint32_t seen = 0;
	struct tt t;

	(void)state;
	begin_gso(&t, &cfg);
	tt_write(&t, 10 * MSS);
	for (;;) {
		memset(pkts, 0, sizeof(pkts));
		pkts[0].data = bytes[0];
		pkts[1].data = bytes[1];
		pkts[0].len = pkts[1].len = 2048;
		if (utcp_output(t.u, pkts, 2) == 0)
			break;
		seen += pkts[0].len + pkts[1].len - 52;
	}
	assert_int_equal(seen, 10 * MSS);
	tt_end(&t);
}

static void
rate_is_kept_after_the_first_ten(void **state)
{
	uint64_t begin_ns;
	uint32_t sent = 0;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_OPTS);
	tt_set(t.s, UTCP_OPT_MAX_PACING_RATE, 1000000);
	tt_set(t.s, UTCP_OPT_SNDBUF, 1 << 20);
	tt_write(&t, 60 * MSS);
	begin_ns = t.now_ns;
	while (sent < 60 * MSS && t.now_ns < begin_ns + SEC) {
		tt_run(&t, MSEC / 4);
		while ((seg = tt_next(&t))) {
			sent += seg->len;
			tt_in(&t, ". 1:1(0) ack %u", sent + 1);
		}
	}
	assert_int_equal(sent, 60 * MSS);
	/* 50 segments at 1 MB/s take 72 ms. */
	assert_true(t.now_ns - begin_ns > 68 * MSEC);
	assert_true(t.now_ns - begin_ns < 80 * MSEC);
	tt_end(&t);
}

/* ---- what is told, and where it goes ------------------------------------ */

static void
what_held_it_up_is_told(void **state)
{
	utcp_info_t i;
	struct tt t;

	(void)state;
	tt_open_plain(&t, "mss 1460");
	tt_run(&t, 500 * MSEC); /* idle: counts as nothing */
	tt_in(&t, ". 1:1(0) ack 1 win 0");
	tt_write(&t, 3000);
	tt_run(&t, 300 * MSEC);
	tt_skip(&t);
	tt_in(&t, ". 1:1(0) ack 1 win 65535");
	tt_run(&t, 100 * MSEC);
	assert_int_equal(tt_skip(&t), 3);
	i = tt_info(&t);
	assert_in_range(i.rwnd_limited_ns, 299 * MSEC, 301 * MSEC);
	assert_in_range(i.busy_ns, 399 * MSEC, 401 * MSEC);
	assert_int_equal(i.sndbuf_limited_ns, 0);
	tt_in(&t, ". 1:1(0) ack 3001");
	tt_run(&t, 500 * MSEC); /* idle again */
	assert_int_equal(tt_skip(&t), 0);
	i = tt_info(&t);
	assert_in_range(i.busy_ns, 399 * MSEC, 401 * MSEC);
	tt_end(&t);
}

/* Little room at a time: nothing is lost, nothing comes twice. */
static void
one_buffer_at_a_time(void **state)
{
	uint8_t bytes[2048];
	utcp_pkt_t pkt;
	uint32_t seen = 0;
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_OPTS);
	tt_write(&t, 6 * MSS);
	for (;;) {
		memset(&pkt, 0, sizeof(pkt));
		pkt.data = bytes;
		pkt.len = sizeof(bytes);
		if (utcp_output(t.u, &pkt, 1) == 0)
			break;
		assert_int_equal(pkt.len, 52 + MSS);
		assert_int_equal(bytes[52], tt_byte(seen));
		seen += pkt.len - 52;
	}
	assert_int_equal(seen, 6 * MSS);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nagle_waits_for_the_small_one_before),
		cmocka_unit_test(small_tail_follows_full_segments),
		cmocka_unit_test(nodelay_sends_at_once),
		cmocka_unit_test(cork_holds_200_ms_at_most),
		cmocka_unit_test(cork_taken_off_sends),
		cmocka_unit_test(more_waits_for_the_next_write),
		cmocka_unit_test(eor_pushes_in_spite_of_cork),
		cmocka_unit_test(segments_end_with_their_record),
		cmocka_unit_test(records_of_one_gso_packet),
		cmocka_unit_test(records_end_late_or_not),
		cmocka_unit_test(fin_rides_on_the_last_data),
		cmocka_unit_test(gso_sends_the_window_as_one),
		cmocka_unit_test(gso_keeps_to_its_maximum),
		cmocka_unit_test(gso_fits_into_what_there_is),
		cmocka_unit_test(rate_is_kept_after_the_first_ten),
		cmocka_unit_test(what_held_it_up_is_told),
		cmocka_unit_test(one_buffer_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
