/* SPDX-License-Identifier: BSD-2-Clause */
/* Extensions: what a peer sees of one on its segments, and what its hooks see. */
#include "ext_script.h"

/* Data gets shorter by what the option takes, so that a packet never is longer
   than 1500 bytes; what is not wanted is not taken off. */
static void
segments_keep_to_the_mtu(void **state)
{
	static const struct {
		unsigned int want, put;
		unsigned int data;
		const char *raw; /* 3 NOPs of padding are the stack's */
	} cases[] = {
		{ 0, 2, 1448, "" },
		{ 6, 2, 1440, "raw fd064d531011" },
		{ 8, 4, 1440, "raw fd084d5310111213" },
		{ 9, 4, 1436, "raw fd084d5310111213" },
		{ 28, 24, 1420,
		  "raw fd1c4d53101112131415161718191a1b1c1d1e1f"
		  "2021222324252627" },
		{ 40, 24, 1420,
		  "raw fd1c4d53101112131415161718191a1b1c1d1e1f"
		  "2021222324252627" },
		{ 8, 5, 1440, "" }, /* it does not fit */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int n = cases[i].data;
		struct script s;
		struct tt t;

		begin(&t, &s, 0);
		s.want = cases[i].want;
		s.seg_bytes = cases[i].put;
		tt_passive(&t, SYN_OPTS);
		tt_skip(&t);
		tt_write(&t, 5000);
		tt_expect(&t, ". 1:%u(%u) ack 1 <TS val * ecr *%s%s>", 1 + n, n,
			  cases[i].raw[0] ? "," : "", cases[i].raw);
		assert_int_equal(s.out.segs, 1);
		tt_expect(&t, ". %u:%u(%u) ack 1", 1 + n, 1 + 2 * n, n);
		assert_int_equal(s.out.ofs, 3 * n); /* the third has left */
		end(&t, &s);
	}
}

/* SACK blocks take what is left; a bare ACK keeps room for one. */
static void
sack_blocks_give_way(void **state)
{
	static const struct {
		unsigned int want, blocks;
	} cases[] = { { 0, 3 },
		      { 8, 2 },
		      { 16, 1 },
		      /* no room for so much: nothing is written */
		      { 28, 3 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct script s;
		struct tt_seg *seg;
		struct tt t;

		begin(&t, &s, 0);
		s.want = cases[i].want;
		s.seg_bytes = cases[i].want < 4 ? 99 : cases[i].want - 4;
		tt_passive(&t, SYN_OPTS);
		tt_skip(&t);
		tt_in(&t, ". 101:201(100) ack 1");
		tt_in(&t, ". 301:401(100) ack 1");
		tt_in(&t, ". 501:601(100) ack 1");
		tt_skip(&t);
		tt_in(&t, ". 701:801(100) ack 1");
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_int_equal(seg->len, 0);
		assert_int_equal(seg->num_sacks, cases[i].blocks);
		end(&t, &s);
	}
}

static void
bits_are_its_own(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_set(t.listener, UTCP_OPT_NODELAY, 1);
	s.set_flags = UTCP_TCP_AE | UTCP_TCP_ECE;
	s.ecn_mode = UTCP_EXT_ECN_OWN;
	tt_in(&t, "SEWA 0:0(0) <" SYN_OPTS ">");
	assert_int_equal(s.in.flags, UTCP_TCP_SYN | UTCP_TCP_ECE |
					 UTCP_TCP_CWR | UTCP_TCP_AE);
	tt_expect(&t, "[noecn] S.EA 0:0(0) ack 1");
	tt_in(&t, "[ce] .WA 1:1(0) ack 1");
	assert_int_equal(s.in.ecn, 3);
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	assert_int_equal(tt_info(&t).negotiated & UTCP_GOT_ECN, 0);
	assert_true(tt_info(&t).negotiated & UTCP_GOT_EXT_ECN);
	tt_write(&t, 10);
	tt_expect(&t, "[ect0] P.EA 1:11(10) ack 1");
	assert_int_equal(s.out.flags, UTCP_TCP_PSH | UTCP_TCP_ACK);
	s.set_ecn = 1;
	s.set_flags = UTCP_TCP_CWR | UTCP_TCP_FIN | UTCP_TCP_SYN;
	tt_write(&t, 10);
	tt_expect(&t, "[ect1] P.W 11:21(10) ack 1"); /* no FIN, no SYN */
	s.set_flags = 0;
	s.set_ecn = -1;
	/* An ECE is a bit of a count: nothing slows down. */
	tt_in(&t, ".E 1:1(0) ack 21");
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_int_equal(s.ack.acked, 20);
	assert_int_equal(s.ack.segs, 2);
	/* But what it says of marks does, once a window. */
	tt_write(&t, 5000);
	tt_skip(&t);
	s.ce = 100;
	tt_in(&t, ". 1:1(0) ack 1469");
	assert_int_equal(tt_info(&t).recovery, 2);
	assert_int_equal(tt_info(&t).delivered_ce_bytes, 100);
	assert_int_equal(tt_counter(&t, UTCP_CTR_ECN_ECE), 1);
	end(&t, &s);
}

static void
a_control_of_its_own_answers_marks(void **state)
{
	utcp_cc_ops_t cc;
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	cc = utcp__cc_newreno;
	cc.name = "scalable";
	cc.flags = UTCP_CC_OWN_ECN | UTCP_CC_L4S;
	assert_int_equal(utcp_cc_register(t.u, &cc), 0);
	assert_int_equal(utcp_set_cc(t.listener, "scalable"), 0);
	s.ecn_mode = UTCP_EXT_ECN_OWN;
	tt_passive(&t, SYN_OPTS);
	tt_skip(&t);
	tt_write(&t, 1448);
	tt_expect(&t, "[ect1] P. 1:1449(1448) ack 1");
	s.ce = 1448;
	tt_in(&t, ". 1:1(0) ack 1449");
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_int_equal(tt_info(&t).delivered_ce_bytes, 1448);
	/* Again: not new, so not ECN-capable but if it says so. */
	tt_write(&t, 10);
	tt_expect(&t, "[ect1] P. 1449:1459(10) ack 1");
	tt_expect_within(&t, SEC, "[noecn] P. 1449:1459(10) ack 1");
	assert_int_equal(s.out.again, 1);
	end(&t, &s);
}

static void
segments_are_refused(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_passive(&t, SYN_OPTS);
	tt_skip(&t);
	s.in_says = UTCP_EXT_DROP;
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_none(&t);
	assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_EXT), 1);
	tt_read_is(&t, -EAGAIN);
	s.in_says = 0;
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	tt_read(&t, 10);
	end(&t, &s);
}

static void
a_timer_goes_off(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_passive(&t, SYN_OPTS);
	tt_skip(&t);
	assert_int_equal(utcp_ext_timer(s.ext, t.now_ns + 5 * MSEC), 0);
	tt_quiet(&t, 4 * MSEC);
	assert_int_equal(s.timers, 0);
	tt_quiet(&t, MSEC);
	assert_int_equal(s.timers, 1);
	tt_quiet(&t, SEC);
	assert_int_equal(s.timers, 1);
	assert_int_equal(utcp_ext_timer(s.ext, t.now_ns + MSEC), 0);
	assert_int_equal(utcp_ext_timer(s.ext, UTCP_NEVER), 0);
	tt_quiet(&t, SEC);
	assert_int_equal(s.timers, 1);
	/* An ACK asked for leaves at once; a bare one ahead of data. */
	assert_int_equal(utcp_ext_ack_now(s.ext), 0);
	tt_expect(&t, ". 1:1(0) ack 1");
	tt_write(&t, 10);
	tt_skip(&t);
	tt_in(&t, ". 1:1(0) ack 11");
	assert_int_equal(utcp_ext_ack_first(s.ext), 0);
	tt_write(&t, 10);
	tt_expect(&t, ". 11:11(0) ack 1");
	tt_expect(&t, "P. 11:21(10) ack 1");
	tt_none(&t);
	end(&t, &s);
}

/* What one has is not the other's, whatever a peer puts on segments. */
static void
hostile_options_are_passed_over(void **state)
{
	static const struct {
		const char *raw;
		unsigned int num;
	} cases[] = {
		{ "raw fd024d53", 0 },	     /* no room for an ExID */
		{ "raw fd054d5400", 0 },     /* another's */
		{ "raw fe064d530102", 0 },   /* another kind */
		{ "raw fd284d53", 0 },	     /* longer than all options */
		{ "raw fd00", 0 },	     /* of no length */
		{ "raw fd", 0 },	     /* nor room for one */
		{ "raw 00fd064d530102", 0 }, /* behind the end */
		{ "raw fd044d53", 1 },	     /* of nothing */
		{ "raw ac02ac02ac02ac02ac02ac02ac02ac02ac02ac02", 8 },
		{ "raw ac03fffd064d530102", 2 },
	};
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	s.stays = true;
	tt_passive(&t, SYN_OPTS);
	tt_skip(&t);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tt_in(&t, ". 1:1(0) ack 1 <TS val 1000 ecr 0,%s>",
		      cases[i].raw);
		if (s.in.num_opts != cases[i].num)
			fail_msg("%s: %u options", cases[i].raw, s.in.num_opts);
	}
	end(&t, &s);
}

/* One call for what the device cuts; or a call, and a packet, for each. */
static void
a_model_of_several_segments(void **state)
{
	(void)state;
	for (int on = 1; on >= 0; on--) {
		utcp_config_t c = { .size = sizeof(c),
				    .offloads = UTCP_OFFLOAD_CSUM |
						UTCP_OFFLOAD_GSO_TCP };
		struct script s = {
			.set_ecn = -1, .ecn_mode = -1, .want = 8, .seg_bytes = 4
		};
		struct tt_seg *seg;
		struct tt t;

		tt_init_config(&t, 4, &c);
		assert_int_equal(utcp_ext_register(t.u, &ops, UTCP_EXT_ALL, &s),
				 0);
		t.p->stack_port = 80;
		tt_passive(&t, SYN_OPTS);
		tt_skip(&t);
		assert_int_equal(utcp_ext_gso(s.ext, on), 0);
		s.outs = 0;
		tt_write(&t, 4 * 1440);
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_int_equal(seg->raw_len, 8); /* the option */
		assert_int_equal(seg->gso_size, on ? 1440 : 0);
		assert_int_equal(s.outs, on ? 1 : 4);
		assert_int_equal(s.out.segs, on ? 4 : 1);
		assert_int_equal(s.out.ofs, on ? 0 : 3 * 1440);
		tt_in(&t, ". 1:1(0) ack 5761");
		assert_int_equal(s.ack.segs, 4);
		end(&t, &s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_keep_to_the_mtu),
		cmocka_unit_test(sack_blocks_give_way),
		cmocka_unit_test(bits_are_its_own),
		cmocka_unit_test(a_control_of_its_own_answers_marks),
		cmocka_unit_test(segments_are_refused),
		cmocka_unit_test(a_timer_goes_off),
		cmocka_unit_test(hostile_options_are_passed_over),
		cmocka_unit_test(a_model_of_several_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
