/* SPDX-License-Identifier: BSD-2-Clause */
/* SYN cookies (RFC 4987 section 3.6). */
#include "tcp_util.h"

/* More half open ones than there is room for: cookies, which know all if there
   are timestamps. */
static void
cookies(void **state)
{
	static const struct {
		const char *syn, *synack;
		uint32_t got, mss;
	} cases[] = {
		{ "mss 1460", "mss 1460", UTCP_GOT_COOKIE, 1460 },
		{ "mss 1000", "mss 1460", UTCP_GOT_COOKIE, 536 },
		{ "mss 1460,sackOK,nop,wscale 7", "mss 1460", UTCP_GOT_COOKIE,
		  1460 },
		{ "mss 1400,sackOK,TS val 1000 ecr 0,nop,wscale 9",
		  "mss 1460,sackOK,TS val * ecr 1000,nop,wscale 7",
		  UTCP_GOT_COOKIE | UTCP_GOT_SACK | UTCP_GOT_TIMESTAMPS |
		      UTCP_GOT_WSCALE,
		  1388 },
	};
	utcp_config_t cfg = { .max_syns = 1 };
	utcp_usage_t usage;
	struct tt t;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		for (size_t i = 0; i < 4; i++) {
			tt_init_config(&t, family, &cfg);
			tt_listen(&t);
			tt_peer(&t, 3, 1001, 80);
			tt_in(&t, "S 0:0(0) <mss 1460>");
			tt_skip(&t);
			tt_peer(&t, 2, 1002, 80);
			tt_in(&t, "S 0:0(0) <%s>", cases[i].syn);
			if (family == 4)
				tt_expect(&t, "S. 0:0(0) ack 1 <%s>",
					  cases[i].synack);
			else
				tt_expect(&t, "S. 0:0(0) ack 1");
			utcp_usage(t.u, &usage);
			assert_int_equal(usage.syns, 1);
			/* forged */
			tt_in(&t, ". 1:1(0) ack 2");
			tt_expect(&t, "R 2:2(0)");
			tt_in(&t, "P. 1:11(10) ack 1");
			tt_expect(&t, ". 1:1(0) ack 11");
			assert_int_equal(utcp_accept(t.listener, &t.s), 0);
			assert_int_equal(tt_info(&t).negotiated, cases[i].got);
			if (family == 4)
				assert_int_equal(tt_info(&t).mss, cases[i].mss);
			tt_read(&t, 10);
			assert_int_equal(tt_counter(&t, UTCP_CTR_COOKIES_IN),
					 1);
			tt_end(&t);
		}
	}
}

/* A cookie is good for two minutes at most. */
static void
cookie_old(void **state)
{
	utcp_config_t cfg = { .max_syns = 1 };
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_listen(&t);
	tt_peer(&t, 3, 1001, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_peer(&t, 2, 1002, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_run(&t, 130 * SEC);
	tt_skip(&t);
	tt_in(&t, ". 1:1(0) ack 1");
	tt_expect(&t, "R 1:1(0)");
	assert_int_equal(utcp_accept(t.listener, &t.s), -EAGAIN);
	tt_end(&t);
}

/* Without cookies out, no ACK is looked at as if it were one. */
static void
cookie_not_sent(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	for (uint32_t i = 0; i < 100; i++) {
		tt_in(&t, ". 1:1(0) ack %u", i * 7919);
		tt_skip(&t);
	}
	assert_int_equal(tt_counter(&t, UTCP_CTR_ACCEPTS), 0);
	tt_end(&t);
}

/* While cookies are out, data behind a lost ACK is no reason for a reset. */
static void
cookie_ack_lost(void **state)
{
	utcp_config_t cfg = { .max_syns = 1 };
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_listen(&t);
	tt_peer(&t, 3, 1001, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_skip(&t);
	tt_peer(&t, 2, 1002, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_in(&t, "P. 11:21(10) ack 1");
	tt_none(&t);
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	tt_end(&t);
}

/* A SYN that comes again when there is room has another answer; the first is as
   good. */
static void
cookie_and_half_open(void **state)
{
	utcp_config_t cfg = { .max_syns = 1 };
	struct tt_peer *first;
	struct tt t;
	uint32_t iss;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_listen(&t);
	first = tt_peer(&t, 3, 1001, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_skip(&t);
	tt_peer(&t, 2, 1002, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	iss = t.p->iss;
	t.p = first;
	tt_in(&t, "R 1:1(0)");
	t.p = t.peer0.next;
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_skip(&t);
	assert_int_not_equal(t.p->iss, iss);
	t.p->iss = iss;
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_end(&t);
}

/* What the SYN-ACK said holds, whatever is set of the listener meanwhile. */
static void
said_is_said(void **state)
{
	utcp_config_t cfg = { .max_syns = 1 };
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	for (int cookie = 0; cookie < 2; cookie++) {
		tt_init_config(&t, 4, &cfg);
		tt_listen(&t);
		if (cookie) {
			tt_peer(&t, 3, 1001, 80);
			tt_in(&t, "S 0:0(0) <mss 1460>");
			tt_skip(&t);
		}
		tt_peer(&t, 2, 1002, 80);
		tt_in(&t, "S 0:0(0) <" TT_OPTS ">");
		tt_expect(&t, "S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,"
			      "TS val * ecr *,nop,wscale 7>");
		tt_set(t.listener, UTCP_OPT_RCVBUF, 65536);
		tt_set(t.listener, UTCP_OPT_WSCALE, -1);
		tt_in(&t, "P. 1:11(10) ack 1");
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_in_range(seg->win, 510, 512);
		assert_int_equal(utcp_accept(t.listener, &t.s), 0);
		assert_int_equal(tt_info(&t).rcv_wscale, 7);
		tt_end(&t);
	}
}

/* A cookie remembers that ECN was agreed on, and that no MSS was said. */
static void
cookie_ecn(void **state)
{
	utcp_config_t cfg = { .max_syns = 1 };
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_listen(&t);
	tt_peer(&t, 3, 1001, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_skip(&t);
	tt_peer(&t, 2, 1002, 80);
	tt_in(&t, "SEW 0:0(0) <TS val 1000 ecr 0>");
	tt_expect(&t, "SE. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	assert_int_equal(tt_info(&t).negotiated,
			 UTCP_GOT_COOKIE | UTCP_GOT_TIMESTAMPS | UTCP_GOT_ECN);
	assert_int_equal(tt_info(&t).mss, 524);
	tt_end(&t);
}

/* Cookies come back while the accept queue is full: they are good later. */
static void
cookie_no_room(void **state)
{
	utcp_config_t cfg = { .max_syns = 1 };
	utcp_sock_t *one;
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_listen(&t);
	assert_int_equal(utcp_listen(t.listener, 1), 0);
	tt_peer(&t, 3, 1001, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_peer(&t, 2, 1002, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	t.p = t.peer0.next->next;
	tt_in(&t, ". 1:1(0) ack 1");
	t.p = t.peer0.next;
	tt_in(&t, ". 1:1(0) ack 1");
	tt_none(&t);
	assert_int_equal(utcp_accept(t.listener, &one), 0);
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	utcp_abort(one);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cookies),
		cmocka_unit_test(cookie_old),
		cmocka_unit_test(cookie_not_sent),
		cmocka_unit_test(cookie_ack_lost),
		cmocka_unit_test(cookie_and_half_open),
		cmocka_unit_test(said_is_said),
		cmocka_unit_test(cookie_ecn),
		cmocka_unit_test(cookie_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
