/* SPDX-License-Identifier: BSD-2-Clause */
/* Large sends (GSO) that are lost in part, and buffers of a caller that are too
   small for what is to leave. */
#include "tcp_util.h"

#define MSS 1448u

static void
begin_large(struct tt *t)
{
	utcp_config_t cfg = { .offloads = UTCP_OFFLOAD_CSUM |
					  UTCP_OFFLOAD_GSO_TCP };

	tt_init_config(t, 4, &cfg);
	tt_passive(t, TT_OPTS);
}

/* One large packet leaves, of so many bytes from seq on. */
static void
large_is(struct tt *t, uint32_t seq, uint32_t len)
{
	struct tt_seg *seg = tt_next(t);

	assert_non_null(seg);
	assert_int_equal(seg->seq, seq);
	assert_int_equal(seg->len, len);
}

/* RFC 8985 section 7.3: the last segment is sent again, not all of what left
   as one. */
static void
a_tail_probe_is_one_segment(void **state)
{
	struct tt t;

	(void)state;
	begin_large(&t);
	tt_write(&t, 5 * MSS);
	large_is(&t, 1, 5 * MSS);
	tt_expect_within(&t, SEC, ". %u:%u(%u)", 1 + 4 * MSS, 1 + 5 * MSS, MSS);
	assert_int_equal(tt_counter(&t, UTCP_CTR_TLP), 1);
	assert_int_equal(tt_counter(&t, UTCP_CTR_RETRANS_SEGS), 1);
	/* Its SACK tells what is missing. */
	tt_run(&t, 5 * MSEC);
	tt_in(&t, ". 1:1(0) ack 1 <sack %u:%u>", 1 + 4 * MSS, 1 + 5 * MSS);
	assert_int_equal(tt_info(&t).sacked_bytes, MSS);
	assert_int_equal(tt_info(&t).recovery, 3);
	tt_end(&t);
}

/* One whose last segment is not full: that is what is sent again. */
static void
a_tail_probe_of_a_short_tail(void **state)
{
	struct tt t;

	(void)state;
	begin_large(&t);
	tt_write(&t, 3 * MSS + 100);
	large_is(&t, 1, 3 * MSS + 100);
	tt_expect_within(&t, SEC, "P. %u:%u(100)", 1 + 3 * MSS,
			 1 + 3 * MSS + 100);
	tt_end(&t);
}

/* A closed connection whose peer's window stays shut, and who answers nothing,
   ends sooner than one that somebody waits for. */
static void
an_orphan_probes_for_less_long(void **state)
{
	utcp_usage_t usage;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	tt_write(&t, 3 * MSS);
	tt_skip(&t);
	tt_in(&t, ". 1:1(0) ack %u win 0", 1 + 3 * MSS);
	tt_write(&t, 1000);
	tt_none(&t);
	utcp_close(t.s);
	t.s = NULL;
	tt_run(&t, 20 * SEC);
	utcp_usage(t.u, &usage);
	assert_int_equal(usage.socks, 2); /* and the listener */
	tt_run(&t, 600 * SEC);
	utcp_usage(t.u, &usage);
	assert_int_equal(usage.socks, 1);
	assert_true(tt_counter(&t, UTCP_CTR_PROBES) >= 7);
	assert_true(tt_counter(&t, UTCP_CTR_PROBES) <= 9);
	tt_skip(&t);
	tt_end(&t);
}

/* What does not fit into as many buffers as may be asked for never leaves, and
   does not stand in the way of the rest. */
static void
an_answer_that_never_fits_is_dropped(void **state)
{
	static uint8_t mem[UTCP_PKT_PARTS_MAX][8];
	utcp_pkt_t pkts[UTCP_PKT_PARTS_MAX];
	uint64_t before;
	unsigned int i;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	before = tt_counter(&t, UTCP_CTR_DROP_NOMEM);
	t.batch = true;
	tt_peer(&t, 2, 999, 81);
	tt_in(&t, "S 0:0(0) win 1000"); /* nobody listens there */
	memset(pkts, 0, sizeof(pkts));
	for (i = 0; i < UTCP_PKT_PARTS_MAX; i++) {
		pkts[i].data = mem[i];
		pkts[i].len = sizeof(mem[i]);
	}
	assert_int_equal(utcp_output(t.u, pkts, 2), 0);
	assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_NOMEM), before);
	assert_int_equal(utcp_output(t.u, pkts, UTCP_PKT_PARTS_MAX), 0);
	assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_NOMEM), before + 1);
	t.batch = false;
	t.p = &t.peer0;
	tt_write(&t, 100);
	tt_expect(&t, "P. 1:101(100)");
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tail_probe_is_one_segment),
		cmocka_unit_test(a_tail_probe_of_a_short_tail),
		cmocka_unit_test(an_orphan_probes_for_less_long),
		cmocka_unit_test(an_answer_that_never_fits_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
