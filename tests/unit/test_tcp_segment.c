/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands in a segment: IP's fields, flags, options, its size. */
#include "tcp_util.h"

#define MSS 1448 /* with timestamps */

/* RFC 9293 section 3.9.1.9 (MUST-48, 49; SHLD-21): on all segments, and it may
   change. */
static void
dscp_and_ttl_are_the_options(void **state)
{
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		tt_init(&t, family);
		tt_listen(&t);
		assert_int_equal(utcp_set(t.listener, UTCP_OPT_DSCP, 46), 0);
		assert_int_equal(utcp_set(t.listener, UTCP_OPT_TTL, 9), 0);
		t.p->stack_port = 80;
		tt_in(&t, "S 0:0(0) <mss 1000>");
		for (int i = 0; i < 3; i++) {
			seg = tt_next(&t);
			assert_non_null(seg);
			assert_int_equal(seg->dscp, i < 2 ? 46 : 0);
			assert_int_equal(seg->ttl, i < 2 ? 9 : 64);
			if (i == 2)
				break;
			if (i == 0) {
				tt_in(&t, ". 1:1(0) ack 1");
				assert_int_equal(utcp_accept(t.listener, &t.s),
						 0);
			} else {
				tt_set(t.s, UTCP_OPT_DSCP, 0);
				tt_set(t.s, UTCP_OPT_TTL, 64);
			}
			tt_write(&t, 1000);
		}
		tt_end(&t);
	}
}

static void
ect_on_new_data_only(void **state)
{
	struct tt t;

	(void)state;
	tt_listen_bare(&t, 4);
	tt_in(&t, "SEW 0:0(0) <%s>", TT_OPTS);
	tt_expect(&t, "[noecn] SE. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_set(t.s, UTCP_OPT_RACK, 0);
	tt_write(&t, 100);
	tt_expect(&t, "[ect0] P. 1:101(100)");
	tt_expect_within(&t, 4 * SEC, "[noecn] P. 1:101(100)");
	tt_in(&t, "P. 1:101(100) ack 101");
	tt_expect_within(&t, SEC, "[noecn] . 101:101(0) ack 101");
	tt_end(&t);
}

/* RFC 3168 section 6.1.6 */
static void
no_ect_on_window_probes(void **state)
{
	struct tt t;

	(void)state;
	tt_listen_bare(&t, 4);
	tt_in(&t, "SEW 0:0(0) <mss 1460>");
	tt_expect(&t, "SE. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1 win 600");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_write(&t, 1000);
	tt_expect_within(&t, 4 * SEC, "[noecn] . 1:601(600)");
	tt_in(&t, ". 1:1(0) ack 601 win 600");
	tt_expect(&t, "[ect0] P. 601:1001(400)");
	tt_end(&t);
}

static void
cwr_goes_with_the_next_new_data(void **state)
{
	struct tt t;

	(void)state;
	tt_listen_bare(&t, 4);
	tt_in(&t, "SEW 0:0(0) <%s>", TT_OPTS);
	tt_expect(&t, "SE. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_write(&t, 2 * MSS);
	tt_expect(&t, ". 1:1449(1448)");
	tt_expect(&t, "P. 1449:2897(1448)");
	tt_in(&t, "E. 1:1(0) ack 2897");
	tt_write(&t, 100);
	tt_expect(&t, "WP. 2897:2997(100)");
	tt_in(&t, ". 1:1(0) ack 2997");
	tt_write(&t, 100);
	tt_expect(&t, "P. 2997:3097(100)");
	tt_end(&t);
}

static void
ece_until_cwr(void **state)
{
	struct tt t;

	(void)state;
	tt_listen_bare(&t, 4);
	tt_in(&t, "SEW 0:0(0) <%s>", TT_OPTS);
	tt_expect(&t, "SE. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_set(t.s, UTCP_OPT_QUICKACK, 1);
	tt_in(&t, "[ce] P. 1:101(100) ack 1");
	tt_expect(&t, "E. 1:1(0) ack 101");
	tt_in(&t, "[ect0] P. 101:201(100) ack 1");
	tt_expect(&t, "E. 1:1(0) ack 201");
	tt_in(&t, "[ect0] WP. 201:301(100) ack 1");
	tt_expect(&t, ". 1:1(0) ack 301");
	tt_end(&t);
}

/* An ECN-setup SYN that got no answer is repeated without. */
static void
ecn_syn_falls_back(void **state)
{
	utcp_addr_t a = { .addr = { 10, 0, 0, 2 }, .family = 4 };
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_open(&t);
	tt_set(t.s, UTCP_OPT_ECN, 2);
	t.p->port = 80;
	put16(&a.port_be, 80);
	assert_int_equal(utcp_connect(t.s, &a), -EINPROGRESS);
	tt_expect(&t, "SEW 0:0(0)");
	tt_expect_in(&t, SEC, "S 0:0(0)");
	tt_in(&t, "SE. 0:0(0) ack 1 <%s>", TT_OPTS);
	tt_expect(&t, ". 1:1(0) ack 1");
	assert_int_equal(tt_info(&t).negotiated & UTCP_GOT_ECN, 0);
	tt_end(&t);
}

static void
sack_blocks_ride_on_data(void **state)
{
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_OPTS);
	tt_in(&t, "P. 101:201(100) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1 <nop,nop,TS val * ecr *,nop,nop,"
		      "sack 101:201>");
	tt_write(&t, 4 * MSS);
	/* 12 bytes of it are taken by the blocks. */
	tt_expect(&t, ". 1:1437(1436) ack 1");
	tt_end(&t);
}

static void
mss_option_and_segments_follow_the_smaller(void **state)
{
	static const struct {
		int family;
		int64_t maxseg;
		const char *syn;
		uint32_t mss_said, mss_used;
	} cases[] = {
		{ 4, 0, "mss 1460", 1460, 1460 },
		{ 6, 0, "mss 1440", 1440, 1440 },
		{ 4, 1000, "mss 1460", 1000, 1000 },
		{ 4, 0, "mss 700", 1460, 700 },
		{ 4, 0, "nop", 1460, 536 }, /* RFC 9293 section 3.7.1 */
		{ 6, 0, "nop", 1440, 1220 },
		{ 4, 0, "mss 1", 1460, 48 },
	};
	unsigned int i;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tt_listen_bare(&t, cases[i].family);
		assert_int_equal(
		    utcp_set(t.listener, UTCP_OPT_MAXSEG, cases[i].maxseg), 0);
		tt_in(&t, "S 0:0(0) <%s>", cases[i].syn);
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_int_equal(seg->mss_is, cases[i].mss_said);
		tt_in(&t, ". 1:1(0) ack 1");
		assert_int_equal(utcp_accept(t.listener, &t.s), 0);
		tt_write(&t, 4000);
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_int_equal(seg->len, cases[i].mss_used);
		tt_end(&t);
	}
}

/* utcp_info: busy, of that for want of window, of send buffer. */

/* RFC 9293 section 3.10.7.4 (MUST-58, 59) */
static void
one_ack_for_all_that_came_together(void **state)
{
	char text[80];
	uint8_t pkt[1200];
	struct tt t;

	(void)state;
	tt_open_plain(&t, TT_SACK);
	t.batch = true;
	for (uint32_t i = 0; i < 10; i++) {
		snprintf(text, sizeof(text), "P. %u:%u(1000) ack 1",
			 1 + 1000 * i, 1001 + 1000 * i);
		tt_in_raw(&t, pkt, tt_build(&t, pkt, text));
	}
	t.batch = false;
	tt_expect(&t, ". 1:1(0) ack 10001");
	tt_none(&t);
	tt_read(&t, 10000);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dscp_and_ttl_are_the_options),
		cmocka_unit_test(ect_on_new_data_only),
		cmocka_unit_test(no_ect_on_window_probes),
		cmocka_unit_test(cwr_goes_with_the_next_new_data),
		cmocka_unit_test(ece_until_cwr),
		cmocka_unit_test(ecn_syn_falls_back),
		cmocka_unit_test(sack_blocks_ride_on_data),
		cmocka_unit_test(mss_option_and_segments_follow_the_smaller),
		cmocka_unit_test(one_ack_for_all_that_came_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
