/* SPDX-License-Identifier: BSD-2-Clause */
/* ACKs that the next of their batch surpasses: tcp_filter.c. */
#include "tcp_util.h"

#define MSS 1448
#define SEGS 6

/* Six segments are on their way to the peer, unacknowledged. */
static void
begin(struct tt *t, int family, const char *opts)
{
	tt_init(t, family);
	tt_passive(t, opts);
	tt_write(t, SEGS * 1000);
	tt_run(t, MSEC);
	tt_skip(t);
	assert_int_equal(tt_info(t).unacked_bytes, SEGS * 1000);
}

/* Both arrive in one batch; returns by how much the counter of filtered ACKs
   and what is unacknowledged changed. */
static uint64_t
two(struct tt *t, const char *first, const char *second, uint32_t *acked)
{
	uint64_t before = tt_counter(t, UTCP_CTR_ACKS_FILTERED);
	uint64_t in = tt_counter(t, UTCP_CTR_IN_PKTS);
	uint32_t unacked = tt_info(t).unacked_bytes;
	uint8_t bytes[2][256];
	utcp_pkt_t pkt[2] = { { .data = bytes[0] }, { .data = bytes[1] } };

	pkt[0].len = tt_build(t, bytes[0], first);
	pkt[1].len = tt_build(t, bytes[1], second);
	assert_int_equal(utcp_input(t->u, pkt, 2), 0);
	utcp_retain(t->u);
	assert_int_equal(tt_counter(t, UTCP_CTR_IN_PKTS), in + 2);
	*acked = unacked - tt_info(t).unacked_bytes;
	return tt_counter(t, UTCP_CTR_ACKS_FILTERED) - before;
}

static void
the_last_of_a_run_says_all(void **state)
{
	static const char *const opts[] = { TT_OPTS, TT_SACK };
	uint32_t acked;
	struct tt t;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		for (int i = 0; i < 2; i++) {
			begin(&t, family, opts[i]);
			assert_int_equal(two(&t, ". 1:1(0) ack 1001",
					     ". 1:1(0) ack 3001", &acked),
					 1);
			assert_int_equal(acked, 3000);
			tt_end(&t);
		}
	}
}

/* Of each pair the first has something to say. */
static void
what_says_more_is_heard(void **state)
{
	static const struct {
		const char *first, *second;
		uint32_t acked;
	} pair[] = {
		/* duplicates, and ACKs that came in the wrong order */
		{ ". 1:1(0) ack 1001", ". 1:1(0) ack 1001", 1000 },
		{ ". 1:1(0) ack 3001", ". 1:1(0) ack 2001", 3000 },
		/* data, on either; FIN; PSH, URG, ECN's echo */
		{ ". 1:11(10) ack 1001", ". 1:1(0) ack 2001", 2000 },
		{ ". 1:1(0) ack 1001", ". 1:11(10) ack 2001", 2000 },
		{ ". 1:1(0) ack 1001", "F. 1:1(0) ack 2001", 2000 },
		{ "P. 1:1(0) ack 1001", ". 1:1(0) ack 2001", 2000 },
		{ "E. 1:1(0) ack 1001", ". 1:1(0) ack 2001", 2000 },
		{ "[ce] . 1:1(0) ack 1001", ". 1:1(0) ack 2001", 2000 },
		/* SACK, on either */
		{ ". 1:1(0) ack 1001 <sack 2001:3001>", ". 1:1(0) ack 2001",
		  2000 },
		{ ". 1:1(0) ack 1001", ". 1:1(0) ack 2001 <sack 3001:4001>",
		  2000 },
		/* another sequence number; an older timestamp, which is bad */
		{ ". 0:0(0) ack 1001", ". 1:1(0) ack 2001", 2000 },
		{ ". 1:1(0) ack 1001 <nop,nop,TS val 5000 ecr 0>",
		  ". 1:1(0) ack 2001 <nop,nop,TS val 4999 ecr 0>", 1000 },
	};
	uint32_t acked;
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
		begin(&t, 4, TT_OPTS);
		assert_int_equal(two(&t, pair[i].first, pair[i].second, &acked),
				 0);
		if (acked != pair[i].acked)
			fail_msg("%s, %s: %u acked", pair[i].first,
				 pair[i].second, acked);
		tt_end(&t);
	}
}

/* Nobody makes ACKs of others disappear who cannot see their numbers. */
static void
others_are_no_reason(void **state)
{
	uint8_t bytes[2][256];
	utcp_pkt_t pkt[2] = { { .data = bytes[0] }, { .data = bytes[1] } };
	struct tt t;

	(void)state;
	begin(&t, 4, TT_OPTS);
	pkt[0].len = tt_build(&t, bytes[0], ". 1:1(0) ack 1001");
	pkt[1].len = tt_build(&t, bytes[1], ". 1:1(0) ack 2001");
	bytes[1][15] ^= 1; /* the source address */
	tt_fix(&t, bytes[1], pkt[1].len);
	assert_int_equal(utcp_input(t.u, pkt, 2), 0);
	assert_int_equal(tt_info(&t).unacked_bytes, (SEGS - 1) * 1000);
	assert_int_equal(tt_counter(&t, UTCP_CTR_ACKS_FILTERED), 0);
	tt_end(&t);
}

/* Shorter in truth than the length in its header: not looked at any further. */
static void
cut_ones_are_left_to_the_parser(void **state)
{
	uint64_t drops;
	uint8_t bytes[2][256];
	utcp_pkt_t pkt[2] = { { .data = bytes[0] }, { .data = bytes[1] } };
	struct tt t;

	(void)state;
	begin(&t, 4, TT_OPTS);
	drops = tt_counter(&t, UTCP_CTR_DROP_SHORT);
	pkt[0].len = tt_build(&t, bytes[0], ". 1:1(0) ack 1001");
	pkt[1].len = tt_build(&t, bytes[1], ". 1:1(0) ack 2001") - 4;
	assert_int_equal(utcp_input(t.u, pkt, 2), 0);
	assert_int_equal(tt_info(&t).unacked_bytes, (SEGS - 1) * 1000);
	assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_SHORT), drops + 1);
	assert_int_equal(tt_counter(&t, UTCP_CTR_ACKS_FILTERED), 0);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_of_a_run_says_all),
		cmocka_unit_test(what_says_more_is_heard),
		cmocka_unit_test(others_are_no_reason),
		cmocka_unit_test(cut_ones_are_left_to_the_parser),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
