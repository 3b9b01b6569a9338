/* SPDX-License-Identifier: BSD-2-Clause */
/* AccECN on a connection: what leaves, by what came (RFC 9768, section 3). */
#include "ext.h"
#include "tcp_util.h"

#define OPT0(e0, ce) "raw ac08" e0 ce
#define FIRST "raw ac08000001000000" /* nothing has come yet */

static void
listener(struct tt *t)
{
	tt_init(t, 4);
	tt_listen(t);
	t->p->stack_port = 80;
	assert_int_equal(utcp_ext_add(t->listener, "accecn", NULL, 0), 0);
}

static void
accept(struct tt *t)
{
	assert_int_equal(utcp_accept(t->listener, &t->s), 0);
}

/* A socket that asks; its SYN has left. */
static void
client(struct tt *t, const char *cc)
{
	utcp_addr_t a = { .addr = { 10, 0, 0, 2 }, .family = 4 };

	tt_init(t, 4);
	tt_open(t);
	if (cc)
		assert_int_equal(utcp_set_cc(t->s, cc), 0);
	else
		assert_int_equal(utcp_ext_add(t->s, "accecn", NULL, 0), 0);
	put16(&a.port_be, 80);
	t->p->port = 80;
	assert_int_equal(utcp_connect(t->s, &a), -EINPROGRESS);
	tt_expect(t, "[noecn] SAEW 0:0(0)");
}

static bool
agreed(struct tt *t)
{
	return tt_info(t).negotiated & UTCP_GOT_EXT_ECN;
}

/* ---- server ------------------------------------------------------------ */

/* Table 2: SYNs by flags and by mark, and the SYN-ACKs to them. */
static void
server_answers(void **state)
{
	static const struct {
		const char *syn, *synack;
		uint32_t got;
	} c[] = {
		{ "[noecn] SAEW", "[noecn] SW.", UTCP_GOT_EXT_ECN },
		{ "[ect1] SAEW", "[noecn] SEW.", UTCP_GOT_EXT_ECN },
		{ "[ect0] SAEW", "[noecn] SA.", UTCP_GOT_EXT_ECN },
		{ "[ce] SAEW", "[noecn] SAW.", UTCP_GOT_EXT_ECN },
		{ "[noecn] SEW", "[noecn] SE.", UTCP_GOT_ECN },
		{ "[noecn] S", "[noecn] S.", 0 },
		/* section 3.1.3 */
		{ "[noecn] SA", "[noecn] SW.", UTCP_GOT_EXT_ECN },
		{ "[noecn] SE", "[noecn] SW.", UTCP_GOT_EXT_ECN },
		{ "[noecn] SW", "[noecn] SW.", UTCP_GOT_EXT_ECN },
		{ "[noecn] SAE", "[noecn] SW.", UTCP_GOT_EXT_ECN },
		{ "[noecn] SAW", "[noecn] SW.", UTCP_GOT_EXT_ECN },
	};
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		listener(&t);
		tt_in(&t, "%s 0:0(0) <mss 1460>", c[i].syn);
		if (c[i].got == UTCP_GOT_EXT_ECN)
			tt_expect(&t, "%s 0:0(0) ack 1 <mss 1460," FIRST ">",
				  c[i].synack);
		else
			tt_expect(&t, "%s 0:0(0) ack 1 <mss 1460>",
				  c[i].synack);
		tt_in(&t, "W. 1:1(0) ack 1");
		accept(&t);
		assert_int_equal(tt_info(&t).negotiated &
				     (UTCP_GOT_ECN | UTCP_GOT_EXT_ECN),
				 c[i].got);
		assert_int_equal(utcp_ext_find(t.s, "accecn") != NULL,
				 c[i].got == UTCP_GOT_EXT_ECN);
		tt_end(&t);
	}
}

/* A CE on the SYN is told by the flags, not by the counter. */
static void
syn_is_not_counted(void **state)
{
	struct tt t;

	(void)state;
	listener(&t);
	tt_in(&t, "[ce] SAEW 0:0(0) <mss 1460>");
	tt_expect(&t, "SAW. 0:0(0) ack 1");
	tt_in(&t, "W. 1:1(0) ack 1");
	accept(&t);
	tt_write(&t, 100);
	tt_expect(&t, "[ect0] PAE. 1:101(100) ack 1");
	tt_end(&t);
}

/* Sections 3.1.4.2, 3.2.3.2.2: first without the option, then without flags, and
   then data is not ECN-capable; but marks are told of still. */
static void
synack_again(void **state)
{
	struct tt t;

	(void)state;
	listener(&t);
	tt_in(&t, "SAEW 0:0(0) <mss 1460>");
	tt_expect(&t, "SW. 0:0(0) ack 1 <mss 1460," FIRST ">");
	tt_expect_within(&t, 4 * SEC, "SW. 0:0(0) ack 1 <mss 1460>");
	tt_expect_within(&t, 8 * SEC, "S. 0:0(0) ack 1 <mss 1460>");
	tt_in(&t, "W. 1:1(0) ack 1");
	accept(&t);
	assert_true(agreed(&t));
	tt_in(&t, "[ce] PAE. 1:101(100) ack 1");
	tt_expect(&t, "AW. 1:1(0) ack 101 <raw ac08000001000064>");
	tt_write(&t, 100);
	tt_expect(&t, "[noecn] PAW. 1:101(100)");
	tt_end(&t);
}

/* Section 3.1.5: the latest SYN's mark is told; one without flags has the server
   send no ECT; one of the other kind is the end. */
static void
syn_again(void **state)
{
	struct tt t;

	(void)state;
	listener(&t);
	tt_in(&t, "SAEW 0:0(0) <mss 1460>");
	tt_expect(&t, "SW. 0:0(0) ack 1");
	tt_in(&t, "[ce] SAEW 0:0(0) <mss 1460>");
	tt_expect(&t, "SAW. 0:0(0) ack 1 <mss 1460>");
	tt_in(&t, "[noecn] S 0:0(0) <mss 1460>");
	tt_expect(&t, "SW. 0:0(0) ack 1 <mss 1460>");
	tt_in(&t, "W. 1:1(0) ack 1");
	accept(&t);
	tt_write(&t, 100);
	tt_expect(&t, "[noecn] PAE. 1:101(100)");
	tt_end(&t);

	for (int i = 0; i < 2; i++) {
		listener(&t);
		tt_in(&t, "%s 0:0(0) <mss 1460>", i ? "SAEW" : "SEW");
		tt_skip(&t);
		tt_in(&t, "%s 0:0(0) <mss 1460>", i ? "SEW" : "SAEW");
		tt_expect(&t, "R.");
		tt_in(&t, ". 1:1(0) ack 1");
		assert_int_equal(utcp_accept(t.listener, &t.s), -EAGAIN);
		tt_end(&t);
	}
}

/* Table 4: what the first ACK lets us send. */
static void
third_segment(void **state)
{
	static const struct {
		const char *ack, *data;
	} c[] = {
		{ ".", "[noecn]" },   { "E.", "[ect0]" },   { "W.", "[ect0]" },
		{ "EW.", "[noecn]" }, { "A.", "[noecn]" },  { "AE.", "[ect0]" },
		{ "AW.", "[noecn]" }, { "AEW.", "[ect0]" },
	};
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		listener(&t);
		tt_in(&t, "SAEW 0:0(0) <mss 1460>");
		tt_expect(&t, "SW. 0:0(0) ack 1");
		tt_in(&t, "%s 1:1(0) ack 1", c[i].ack);
		accept(&t);
		assert_true(agreed(&t));
		tt_write(&t, 100);
		tt_expect(&t, "%s PAE. 1:101(100)", c[i].data);
		/* feedback goes on in any case */
		tt_in(&t, "[ce] PAE. 1:11(10) ack 101");
		tt_expect(&t, "AW. 101:101(0) ack 11 <raw ac0800000100000a>");
		tt_end(&t);
	}
}

/* Nothing is kept by a cookie, so it is without ECN, lest a SYN-ACK of the other
   kind follows (section 3.1.5). */
static void
cookie(void **state)
{
	utcp_config_t cfg = { .max_syns = 1 };
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_listen(&t);
	utcp_ext_add(t.listener, "accecn", NULL, 0);
	tt_peer(&t, 3, 1001, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_skip(&t);
	tt_peer(&t, 2, 1002, 80);
	tt_in(&t, "SAEW 0:0(0) <" TT_OPTS ">");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_in(&t, "P. 1:11(10) ack 1");
	accept(&t);
	assert_int_equal(
	    tt_info(&t).negotiated & (UTCP_GOT_ECN | UTCP_GOT_EXT_ECN), 0);
	assert_int_equal(tt_counter(&t, UTCP_CTR_EXT_COOKIES), 1);
	tt_end(&t);
}

/* ---- client ------------------------------------------------------------ */

/* Table 2's other half, and table 3 for an answer that came without a mark. */
static void
client_takes_the_answer(void **state)
{
	static const struct {
		const char *synack, *ack, *data;
		uint32_t got;
	} c[] = {
		{ "SW.", "W.", "[ect0] PAE.", UTCP_GOT_EXT_ECN },
		/* our SYN was not sent like that */
		{ "SEW.", "W.", "[noecn] PAE.", UTCP_GOT_EXT_ECN },
		{ "SA.", "W.", "[noecn] PAE.", UTCP_GOT_EXT_ECN },
		{ "SAW.", "W.", "[noecn] PAE.", UTCP_GOT_EXT_ECN },
		{ "SAE.", "W.", "[ect0] PAE.", UTCP_GOT_EXT_ECN },
		{ "SE.", ".", "[ect0] P.", UTCP_GOT_ECN },
		{ "S.", ".", "[noecn] P.", 0 },
		{ "SAEW.", ".", "[noecn] P.", 0 },
	};
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		client(&t, NULL);
		tt_in(&t, "%s 0:0(0) ack 1 <mss 1460>", c[i].synack);
		if (c[i].got == UTCP_GOT_EXT_ECN)
			tt_expect(&t, "%s 1:1(0) ack 1 <" FIRST ">", c[i].ack);
		else
			tt_expect(&t, "%s 1:1(0) ack 1 <>", c[i].ack);
		assert_int_equal(tt_info(&t).negotiated &
				     (UTCP_GOT_ECN | UTCP_GOT_EXT_ECN),
				 c[i].got);
		assert_int_equal(utcp_ext_find(t.s, "accecn") != NULL,
				 c[i].got == UTCP_GOT_EXT_ECN);
		tt_write(&t, 100);
		tt_expect(&t, "%s 1:101(100)", c[i].data);
		tt_end(&t);
	}
}

/* Table 3: the SYN-ACK's mark, on a pure ACK that goes before data that waits;
   CE counts, and once. */
static void
synack_is_told(void **state)
{
	static const struct {
		const char *ip, *ack, *data;
	} c[] = {
		{ "[noecn]", "W.", "PAE." },
		{ "[ect1]", "EW.", "PAE." },
		{ "[ect0]", "A.", "PAE." },
		{ "[ce]", "AW.", "PAW." },
	};
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		client(&t, NULL);
		tt_set(t.s, UTCP_OPT_NODELAY, 1);
		tt_write(&t, 100);
		tt_in(&t, "%s SW. 0:0(0) ack 1 <mss 1460," FIRST ">", c[i].ip);
		tt_expect(&t, "[noecn] %s 1:1(0) ack 1 <" FIRST ">", c[i].ack);
		tt_expect(&t, "[ect0] %s 1:101(100) ack 1 <" FIRST ">",
			  c[i].data);
		/* and again for one that comes again */
		tt_in(&t, "[ce] SW. 0:0(0) ack 1 <mss 1460>");
		tt_expect(&t, "AW. 101:101(0) ack 1");
		tt_in(&t, "[ce] SW. 0:0(0) ack 1 <mss 1460>");
		tt_expect(&t, "AW. 101:101(0) ack 1");
		tt_write(&t, 100);
		tt_expect(&t, "PAW. 101:201(100)");
		tt_end(&t);
	}
}

/* Section 3.1.4.1 */
static void
syn_asks_twice(void **state)
{
	struct tt t;

	(void)state;
	client(&t, NULL);
	tt_expect_within(&t, 4 * SEC, "[noecn] SAEW 0:0(0)");
	tt_expect_within(&t, 4 * SEC, "[noecn] S 0:0(0)");
	/* The first answer counts, to whichever. */
	tt_in(&t, "SW. 0:0(0) ack 1 <mss 1460>");
	tt_expect(&t, "W. 1:1(0) ack 1");
	assert_true(agreed(&t));
	tt_write(&t, 100);
	tt_expect(&t, "[ect0] PAE. 1:101(100)");
	tt_end(&t);
}

/* Section 3.1.2: as if each was the server. */
static void
simultaneous_open(void **state)
{
	struct tt t;

	(void)state;
	client(&t, NULL);
	tt_in(&t, "[ect1] SAEW 0:0(0) <mss 1460>");
	tt_expect(&t, "SEW. 0:0(0) ack 1");
	tt_in(&t, "[noecn] SW. 0:0(0) ack 1 <mss 1460>");
	tt_expect(&t, "W. 1:1(0) ack 1");
	assert_true(agreed(&t));
	tt_end(&t);
}

/* ---- feedback ---------------------------------------------------------- */

static void
open_client(struct tt *t, const char *cc)
{
	client(t, cc);
	tt_in(t, "SW. 0:0(0) ack 1 <mss 1460," FIRST ">");
	tt_expect(t, "W. 1:1(0) ack 1");
}

/* Sections 3.2.2.5.1 and 3.2.3.3: at once for a change, and for the second CE;
   bytes by mark. */
static void
marks_are_acknowledged(void **state)
{
	struct tt t;

	(void)state;
	open_client(&t, NULL);
	/* not those of the beginning, which are all acknowledged at once */
	for (uint32_t i = 0; i < 40; i++)
		tt_in(&t, "[noecn] PAE. %u:%u(1000)", 1 + 1000 * i,
		      1001 + 1000 * i);
	tt_run(&t, 50 * MSEC);
	tt_skip(&t);
	tt_in(&t, "[ect0] AE. 40001:41001(1000) ack 1");
	tt_run(&t, 50 * MSEC);
	tt_skip(&t);
	tt_in(&t, "[ce] AE. 41001:42001(1000) ack 1");
	tt_expect(&t, "AW. 1:1(0) ack 42001 <raw ac080003e90003e8>");
	tt_in(&t, "[ce] AE. 42001:42002(1) ack 1");
	tt_quiet(&t, 10 * MSEC);
	tt_in(&t, "[ce] AE. 42002:42003(1) ack 1");
	tt_expect(&t, ". 1:1(0) ack 42003 <raw ac080003e90003ea>");
	tt_in(&t, "[ect1] AE. 42003:42004(1) ack 1");
	tt_expect_within(&t, SEC,
			 ". 1:1(0) ack 42004 <raw ac0b0003e90003ea000002>");
	/* Nothing new: no option. */
	tt_in(&t, "[noecn] AE. 42004:42005(1) ack 1");
	tt_expect_within(&t, SEC, ". 1:1(0) ack 42005 <>");
	tt_end(&t);
}

/* With SACK, two blocks have their place. */
static void
sack_blocks_go_first(void **state)
{
	struct tt t;

	(void)state;
	client(&t, NULL);
	tt_in(&t, "SW. 0:0(0) ack 1 <" TT_OPTS "," FIRST ">");
	tt_expect(&t, "W. 1:1(0) ack 1");
	tt_in(&t, "[ce] PAE. 1001:2001(1000) ack 1");
	tt_expect(&t, "AW. 1:1(0) ack 1 <TS val * ecr *,"
		      "sack 1001:2001,raw ac080000010003e8>");
	tt_in(&t, "[ce] PAE. 3001:4001(1000) ack 1");
	tt_expect(&t, "AEW. 1:1(0) ack 1 <TS val * ecr *,"
		      "sack 3001:4001 1001:2001,raw ac080000010007d0>");
	tt_end(&t);
}

/* One reduction a round for CUBIC, whatever the number of marks; the bytes are
   counted. */
static void
marks_are_heeded(void **state)
{
	uint32_t before;
	struct tt t;

	(void)state;
	open_client(&t, NULL);
	tt_write(&t, 10 * 1460);
	tt_skip(&t);
	before = tt_info(&t).cwnd_bytes;
	tt_in(&t, "AE. 1:1(0) ack 1461");
	assert_true(tt_info(&t).cwnd_bytes > before);
	before = tt_info(&t).cwnd_bytes;
	tt_in(&t, "AEW. 1:1(0) ack 4381 <raw ac08000001000b68>");
	assert_int_equal(tt_info(&t).delivered_ce_bytes, 2920);
	assert_int_equal(tt_info(&t).recovery, 2);
	tt_in(&t, ". 1:1(0) ack 5841 <raw ac0800000100111c>");
	assert_int_equal(tt_info(&t).delivered_ce_bytes, 4380);
	tt_in(&t, ". 1:1(0) ack 14601");
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_int_equal(tt_info(&t).ssthresh_bytes, before * 7 / 10);
	/* no CWR of RFC 3168: the counter is at 5 */
	tt_write(&t, 100);
	tt_expect(&t, "[ect0] PAE. 14601:14701(100)");
	tt_end(&t);
}

/* ECT(1), and all the window that the marks leave. */
static void
prague_is_l4s(void **state)
{
	struct tt t;

	(void)state;
	open_client(&t, "prague");
	assert_true(agreed(&t));
	tt_write(&t, 100);
	tt_expect(&t, "[ect1] PAE. 1:101(100)");
	tt_in(&t, "AW. 1:1(0) ack 101 <raw ac08000001000064>");
	/* the first mark halves; recovery is none of this */
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_in_range(tt_info(&t).cwnd_bytes, 7300, 7400);
	tt_end(&t);

	/* without AccECN at the other end: ECT(0), echoes are heeded */
	client(&t, "prague");
	tt_in(&t, "SE. 0:0(0) ack 1 <mss 1460>");
	tt_expect(&t, ". 1:1(0) ack 1");
	tt_write(&t, 100);
	tt_expect(&t, "[ect0] P. 1:101(100)");
	tt_in(&t, "E. 1:1(0) ack 101");
	assert_int_equal(tt_counter(&t, UTCP_CTR_ECN_ECE), 1);
	assert_in_range(tt_info(&t).ssthresh_bytes, 7300, 7400);
	tt_end(&t);
}

/* Who wants no ECN has none, in either order. */
static void
prague_without_ecn(void **state)
{
	struct tt t;

	(void)state;
	for (int i = 0; i < 3; i++) {
		tt_init(&t, 4);
		tt_open(&t);
		if (i != 1)
			assert_int_equal(utcp_set_cc(t.s, "prague"), 0);
		tt_set(t.s, UTCP_OPT_ECN, 0);
		if (i == 1)
			assert_int_equal(utcp_set_cc(t.s, "prague"), 0);
		if (i == 2)
			tt_set(t.s, UTCP_OPT_ECN, 1);
		/* -ENOENT: it is not there */
		assert_int_equal(utcp_ext_remove(t.s, "accecn"),
				 i == 2 ? 0 : -ENOENT);
		tt_end(&t);
	}
}

/* Devices clear CWR on all segments but the first (section 3.3.4). */
static void
gso_and_the_middle_bit(void **state)
{
	utcp_config_t cfg = { .offloads = UTCP_OFFLOAD_CSUM |
					  UTCP_OFFLOAD_GSO_TCP };
	utcp_addr_t a = { .addr = { 10, 0, 0, 2 }, .family = 4 };
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_open(&t);
	utcp_ext_add(t.s, "accecn", NULL, 0);
	put16(&a.port_be, 80);
	t.p->port = 80;
	utcp_connect(t.s, &a);
	tt_skip(&t);
	tt_in(&t, "SW. 0:0(0) ack 1 <mss 1460>");
	tt_skip(&t);
	tt_write(&t, 5840);
	seg = tt_next(&t);
	assert_non_null(seg);
	assert_int_equal(seg->flags & TH_CWR, 0);
	assert_true(seg->gso_size > 0);
	tt_skip(&t);
	tt_in(&t, "[ce] PAE. 1:11(10) ack 5841");
	tt_skip(&t);
	tt_write(&t, 5840);
	while ((seg = tt_next(&t)) != NULL) {
		assert_true(seg->flags & TH_CWR);
		assert_int_equal(seg->gso_size, 0);
	}
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(server_answers),
		cmocka_unit_test(syn_is_not_counted),
		cmocka_unit_test(synack_again),
		cmocka_unit_test(syn_again),
		cmocka_unit_test(third_segment),
		cmocka_unit_test(cookie),
		cmocka_unit_test(client_takes_the_answer),
		cmocka_unit_test(synack_is_told),
		cmocka_unit_test(syn_asks_twice),
		cmocka_unit_test(simultaneous_open),
		cmocka_unit_test(marks_are_acknowledged),
		cmocka_unit_test(sack_blocks_go_first),
		cmocka_unit_test(marks_are_heeded),
		cmocka_unit_test(prague_is_l4s),
		cmocka_unit_test(prague_without_ecn),
		cmocka_unit_test(gso_and_the_middle_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
