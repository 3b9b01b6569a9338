/* SPDX-License-Identifier: BSD-2-Clause */
/* Data out of order: what is kept, what is told of it (RFC 2018, RFC 2883). */
#include "tcp_util.h"

#define SACK(blocks) " <nop,nop,TS val * ecr *,nop,nop,sack " blocks ">"

static void
begin(struct tt *t)
{
	tt_init(t, 4);
	tt_listen(t);
	assert_int_equal(utcp_set(t->listener, UTCP_OPT_RCVBUF, 65536), 0);
	tt_passive(t, TT_OPTS);
}

static void
hole_filled(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_in(&t, ". 1001:2001(1000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1" SACK("1001:2001"));
	tt_in(&t, ". 2001:3001(1000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1" SACK("1001:3001"));
	assert_int_equal(utcp_readable(t.s), 0);
	tt_in(&t, ". 1:1001(1000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 3001 <nop,nop,TS val * ecr *>");
	tt_read(&t, 3000);
	tt_end(&t);
}

/* The newest first; three beside timestamps, four without (RFC 2018 4). */
static void
newest_first(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_in(&t, ". 11:21(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1" SACK("11:21"));
	tt_in(&t, ". 31:41(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1" SACK("31:41 11:21"));
	tt_in(&t, ". 51:61(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1" SACK("51:61 31:41 11:21"));
	tt_in(&t, ". 71:81(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1" SACK("71:81 51:61 31:41"));
	/* one grows: it is the newest */
	tt_in(&t, ". 41:46(5) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1" SACK("31:46 71:81 51:61"));
	/* two become one */
	tt_in(&t, ". 46:51(5) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1" SACK("31:61 71:81 11:21"));
	/* a part of the hole */
	tt_in(&t, ". 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 21" SACK("31:61 71:81"));
	tt_in(&t, ". 21:31(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 61" SACK("71:81"));
	tt_in(&t, ". 61:71(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 81 <nop,nop,TS val * ecr *>");
	tt_read(&t, 80);
	tt_end(&t);
	tt_init(&t, 4);
	tt_passive(&t, TT_SACK);
	for (unsigned int i = 0; i < 6; i++)
		tt_in(&t, ". %u:%u(10) ack 1", 11 + 20 * i, 21 + 20 * i);
	for (unsigned int i = 0; i < 5; i++)
		(void)tt_next(&t);
	tt_expect(&t, ". 1:1(0) ack 1 <nop,nop,sack 111:121 91:101 71:81 "
		      "51:61>");
	/* one that fell out of the list: all of it is told again */
	tt_in(&t, ". 21:26(5) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1 <nop,nop,sack 11:26 111:121 91:101 "
		      "71:81>");
	tt_end(&t);
}

static void
no_sack(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, "mss 1460");
	for (unsigned int i = 1; i < 5; i++) {
		tt_in(&t, ". %u:%u(10) ack 1", 1 + 10 * i, 11 + 10 * i);
		tt_expect(&t, ". 1:1(0) ack 1 <>");
	}
	tt_in(&t, ". 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 51 <>");
	tt_read(&t, 50);
	tt_end(&t);
}

/* RFC 2883 section 4: duplicates, told once. */
static void
dsack(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_in(&t, ". 1:101(100) ack 1");
	tt_expect(&t, ". 1:1(0) ack 101");
	/* all of it, below */
	tt_in(&t, ". 1:101(100) ack 1");
	tt_expect(&t, ". 1:1(0) ack 101" SACK("1:101"));
	/* a part, below (4.2.1) */
	tt_in(&t, ". 51:151(100) ack 1");
	tt_expect(&t, ". 1:1(0) ack 151" SACK("51:101"));
	/* within what is out of order: with the block that holds it (4.1.2) */
	tt_in(&t, ". 201:301(100) ack 1");
	tt_expect(&t, ". 1:1(0) ack 151" SACK("201:301"));
	tt_in(&t, ". 401:501(100) ack 1");
	tt_expect(&t, ". 1:1(0) ack 151" SACK("401:501 201:301"));
	tt_in(&t, ". 221:241(20) ack 1");
	tt_expect(&t, ". 1:1(0) ack 151" SACK("221:241 201:301 401:501"));
	/* a part of it (4.2.3) */
	tt_in(&t, ". 281:351(70) ack 1");
	tt_expect(&t, ". 1:1(0) ack 151" SACK("281:301 201:351 401:501"));
	/* below, while there is a hole */
	tt_in(&t, ". 1:51(50) ack 1");
	tt_expect(&t, ". 1:1(0) ack 151" SACK("1:51 201:351 401:501"));
	/* and not again */
	tt_in(&t, ". 501:511(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 151" SACK("401:511 201:351"));
	assert_int_equal(tt_counter(&t, UTCP_CTR_DSACK_OUT), 5);
	tt_in(&t, ". 151:201(50) ack 1");
	tt_skip(&t);
	tt_in(&t, ". 351:401(50) ack 1");
	tt_expect(&t, ". 1:1(0) ack 511 <nop,nop,TS val * ecr *>");
	tt_read(&t, 510);
	tt_end(&t);
}

/* Of several duplicates the first is told, and what is there besides (4.3). */
static void
dsack_of_several(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_SACK);
	tt_in(&t, ". 1001:3001(2000) ack 1");
	tt_in(&t, ". 4001:5001(1000) ack 1");
	tt_in(&t, ". 7001:8001(1000) ack 1");
	tt_skip(&t);
	tt_in(&t, "P. 1:6001(6000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 6001 <nop,nop,sack 1001:3001 7001:8001>");
	tt_in(&t, "P. 6001:8001(2000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 8001 <nop,nop,sack 7001:8001>");
	tt_in(&t, "P. 1:1001(1000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 8001 <nop,nop,sack 1:1001>");
	tt_read(&t, 8000);
	/* the same in the queue */
	tt_in(&t, ". 9001:10001(1000) ack 1");
	tt_in(&t, ". 11001:12001(1000) ack 1");
	tt_skip(&t);
	tt_in(&t, ". 9001:13001(4000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 8001 <nop,nop,sack 9001:10001 9001:13001>");
	tt_end(&t);
}

/* Two copies, different data: the first that came stands. */
static void
first_copy_stands(void **state)
{
	char a[200], b[200], got[200];
	struct tt t;

	(void)state;
	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	begin(&t);
	tt_in_data(&t, a, ". 51:101(50) ack 1");
	tt_in_data(&t, a, ". 121:131(10) ack 1");
	/* over both, and the holes */
	tt_in_data(&t, b, ". 31:151(120) ack 1");
	/* in order, over all */
	tt_in_data(&t, b, ". 1:201(200) ack 1");
	tt_skip(&t);
	assert_int_equal(utcp_read(t.s, got, sizeof(got), 0), 200);
	for (unsigned int i = 0; i < 200; i++)
		assert_int_equal(
		    got[i],
		    (i >= 50 && i < 100) || (i >= 120 && i < 130) ? 'a' : 'b');
	/* what was read already does not come again */
	tt_in_data(&t, a, ". 101:211(110) ack 1");
	assert_int_equal(utcp_read(t.s, got, sizeof(got), 0), 10);
	tt_end(&t);
}

/* Any order of arrival, with overlaps, gives the same stream. */
static void
any_order(void **state)
{
	uint64_t rnd = 88172645463325252ull;
	struct tt t;

	(void)state;
	for (unsigned int round = 0; round < 80; round++) {
		uint32_t len = 0;

		begin(&t);
		for (unsigned int i = 0; i < 2000; i++) {
			uint32_t from, n;

			rnd ^= rnd << 13;
			rnd ^= rnd >> 7;
			rnd ^= rnd << 17;
			from = (uint32_t)(rnd % 3200);
			from -= from < 200 ? from : 200;
			n = 1 + (uint32_t)(rnd >> 40) % 300;
			if (from + n > 3000)
				n = 3000 - from;
			tt_in(&t, ". %u:%u(%u) ack 1", 1 + from, 1 + from + n,
			      n);
			tt_skip(&t);
			len = (uint32_t)utcp_readable(t.s);
			if (len == 3000)
				break;
		}
		assert_int_equal(len, 3000);
		assert_int_equal(t.s->busy->reass_bytes, 0);
		assert_int_equal(t.s->busy->reass_blks, 0);
		assert_int_equal(t.s->num_sacks, 0);
		tt_read(&t, 3000);
		tt_end(&t);
	}
}

/* Tiny segments, each with a hole before it: memory is bounded, the connection
   goes on. */
static void
memory_bounded(void **state)
{
	utcp_usage_t before, usage;
	struct tt t;

	(void)state;
	begin(&t);
	utcp_usage(t.u, &before);
	for (uint32_t i = 1; i < 30000; i++) {
		tt_in(&t, ". %u:%u(1) ack 1", 1 + 2 * i, 2 + 2 * i);
		tt_skip(&t);
	}
	utcp_usage(t.u, &usage);
	assert_true(usage.mem_bytes - before.mem_bytes < 300000);
	assert_true(tt_counter(&t, UTCP_CTR_DROP_RCVBUF) > 10000);
	/* all that is missing comes */
	for (uint32_t i = 0; i < 60; i++) {
		tt_in(&t, ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
		tt_skip(&t);
	}
	tt_read(&t, 60000);
	tt_end(&t);
}

/* A run behind a hole takes few blocks, and the SACK covers all of it. */
static void
long_run(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	for (uint32_t i = 1; i < 45; i++) {
		tt_in(&t, ". %u:%u(1448) ack 1", 1 + 1448 * i, 1449 + 1448 * i);
		tt_skip(&t);
	}
	assert_true(t.s->busy->reass_blks <= 8);
	assert_int_equal(t.s->num_sacks, 1);
	assert_int_equal(t.s->busy->sacks[0].end - t.s->busy->sacks[0].start,
			 44 * 1448);
	tt_in(&t, ". 1:1449(1448) ack 1");
	tt_expect(&t, ". 1:1(0) ack %u", 1 + 45 * 1448);
	tt_read(&t, 45 * 1448);
	tt_end(&t);
}

/* Full segments within the window are all kept, whatever is missing. */
static void
many_holes(void **state)
{
	struct tt t;

	(void)state;
	for (unsigned int every = 2; every < 6; every++) {
		begin(&t);
		for (uint32_t i = 0; i < 45; i++) {
			if (i % every == 0)
				continue;
			tt_in(&t, ". %u:%u(1448) ack 1", 1 + 1448 * i,
			      1449 + 1448 * i);
			tt_skip(&t);
		}
		assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_RCVBUF), 0);
		for (uint32_t i = 0; i < 45; i += every)
			tt_in(&t, ". %u:%u(1448) ack 1", 1 + 1448 * i,
			      1449 + 1448 * i);
		tt_read(&t, 45 * 1448);
		tt_end(&t);
	}
}

/* When there is no room any more the highest goes, and is told no longer. */
static void
lowest_first(void **state)
{
	utcp_info_t info;
	struct tt t;

	(void)state;
	begin(&t);
	for (uint32_t i = 2; i < 3000; i++) {
		tt_in(&t, ". %u:%u(1) ack 1", 30001 + 2 * i, 30002 + 2 * i);
		tt_skip(&t);
	}
	assert_true(tt_counter(&t, UTCP_CTR_DROP_RCVBUF) > 0);
	for (uint32_t i = 1; i < 20; i++) {
		tt_in(&t, ". %u:%u(1448) ack 1", 1 + 1448 * i, 1449 + 1448 * i);
		tt_skip(&t);
	}
	tt_in(&t, ". 1:1449(1448) ack 1");
	info = tt_info(&t);
	assert_int_equal(info.unread_bytes, 20 * 1448);
	for (unsigned int i = 0; i < t.s->num_sacks; i++)
		assert_true(
		    seq_lt(t.s->busy->sacks[i].start, t.s->busy->sacks[i].end));
	tt_end(&t);
}

/* Sequence numbers wrap around within the queue. */
static void
wraps(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	t.p->isn = 0xffffffffu - 1500;
	tt_passive(&t, TT_OPTS);
	tt_in(&t, ". 2001:3001(1000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1" SACK("2001:3001"));
	tt_in(&t, ". 1001:2001(1000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1" SACK("1001:3001"));
	tt_in(&t, ". 1:1001(1000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 3001");
	tt_read(&t, 3000);
	tt_end(&t);
}

/* After a hole was filled, segments are acknowledged at once for a while. */
static void
quick_after_loss(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	for (uint32_t i = 0; i < 20; i++) {
		tt_in(&t, ". %u:%u(10) ack 1", 1 + 10 * i, 11 + 10 * i);
		tt_run(&t, 40 * MSEC);
	}
	tt_skip(&t);
	tt_in(&t, ". 201:211(10) ack 1");
	tt_none(&t);
	tt_in(&t, ". 221:231(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 211" SACK("221:231"));
	tt_in(&t, ". 211:221(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 231");
	tt_in(&t, ". 231:241(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 241");
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hole_filled),
		cmocka_unit_test(newest_first),
		cmocka_unit_test(no_sack),
		cmocka_unit_test(dsack),
		cmocka_unit_test(dsack_of_several),
		cmocka_unit_test(first_copy_stands),
		cmocka_unit_test(any_order),
		cmocka_unit_test(memory_bounded),
		cmocka_unit_test(long_run),
		cmocka_unit_test(many_holes),
		cmocka_unit_test(lowest_first),
		cmocka_unit_test(wraps),
		cmocka_unit_test(quick_after_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
