/* SPDX-License-Identifier: BSD-2-Clause */
/* How connections begin, on both sides (RFC 9293 sections 3.5, 3.10.7.2-3). */
#include "tcp_util.h"

/* SYN-ACKs are sent again after 1, 2, 4, 8, 16 s; then it is over. */
static void
synack_again(void **state)
{
	struct tt t;
	utcp_usage_t usage;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	tt_in(&t, "S 0:0(0) <" TT_OPTS ">");
	tt_expect(&t, "S. 0:0(0) ack 1");
	for (uint64_t wait = 1; wait <= 16; wait *= 2)
		tt_expect_in(&t, wait * SEC, "S. 0:0(0) ack 1");
	utcp_usage(t.u, &usage);
	assert_int_equal(usage.syns, 1);
	tt_quiet(&t, 100 * SEC);
	utcp_usage(t.u, &usage);
	assert_int_equal(usage.syns, 0);
	/* the late ACK is nobody's */
	tt_in(&t, ". 1:1(0) ack 1");
	tt_expect(&t, "R 1:1(0)");
	tt_end(&t);
}

/* The SYN again has the SYN-ACK again, the same. */
static void
syn_again(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	tt_in(&t, "S 0:0(0) <" TT_OPTS ">");
	tt_expect(
	    &t,
	    "S. 0:0(0) ack 1 <mss 1460,sackOK,TS val * ecr 1000,nop,wscale 7>");
	tt_in(&t, "S 0:0(0) <mss 1460,sackOK,TS val 1500 ecr 0,nop,wscale 7>");
	tt_expect(&t, "S. 0:0(0) ack 1 <mss 1460,sackOK,TS val * ecr 1500,"
		      "nop,wscale 7>");
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_end(&t);
}

/* What a half open connection answers. */
static void
half_open(void **state)
{
	static const struct {
		const char *in, *out;
		unsigned int syns; /* left */
	} cases[] = {
		{ "R 1:1(0)", NULL, 0 },
		{ "R. 1:1(0) ack 1", NULL, 0 },
		{ "R 2:2(0)", ". 1:1(0) ack 1", 1 }, /* RFC 5961 section 3 */
		{ "R 70000:70000(0)", NULL, 1 },     /* out of the window */
		{ "R 0:0(0)", NULL, 1 },
		{ ". 1:1(0) ack 0", "R 0:0(0)", 1 }, /* RFC 9293 3.10.7.4 */
		{ ". 1:1(0) ack 2", "R 2:2(0)", 1 },
		{ ". 70000:70000(0) ack 1", ". 1:1(0) ack 1", 1 },
		{ "P 1:11(10)", NULL, 1 },   /* no ACK */
		{ "S 100:100(0)", NULL, 0 }, /* back to LISTEN */
		{ "S 100000:100000(0)", ". 1:1(0) ack 1", 1 },
	};
	utcp_usage_t usage;
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tt_init(&t, 4);
		tt_listen(&t);
		t.p->stack_port = 80;
		tt_in(&t, "S 0:0(0) <mss 1460>");
		tt_expect(&t, "S. 0:0(0) ack 1");
		tt_in(&t, "%s", cases[i].in);
		if (cases[i].out != NULL)
			tt_expect(&t, "%s", cases[i].out);
		tt_none(&t);
		utcp_usage(t.u, &usage);
		if (usage.syns != cases[i].syns)
			fail_msg("%s: %u half open", cases[i].in, usage.syns);
		assert_int_equal(utcp_accept(t.listener, &t.s), -EAGAIN);
		tt_end(&t);
	}
}

/* What a listener answers to what is no SYN. */
static void
listener_answers(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ ". 1:1(0) ack 5", "R 5:5(0)" },
		{ "S. 0:0(0) ack 5", "R 5:5(0)" },
		{ "R 1:1(0)", NULL },
		{ "R. 1:1(0) ack 5", NULL },
		{ "P 1:11(10)", NULL },
		{ "F 1:1(0)", NULL },
		{ "SF 0:0(0)", NULL },
		{ "SR 0:0(0)", NULL },
	};
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	t.p->iss_known = true;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tt_in(&t, "%s", cases[i].in);
		if (cases[i].out != NULL)
			tt_expect(&t, "%s", cases[i].out);
		tt_none(&t);
	}
	tt_end(&t);
}

/* A SYN from where it goes to would be answered to ourselves. */
static void
syn_in_our_name(void **state)
{
	struct tt t;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		tt_init(&t, (uint8_t)family);
		tt_listen(&t);
		memcpy(t.p->addr, t.u->addrs[0].addr, sizeof(t.p->addr));
		t.p->port = t.p->stack_port = 80;
		tt_in(&t, "S 0:0(0) <mss 1460>");
		tt_none(&t);
		assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_SOURCE), 1);
		/* of another port it is one like others */
		t.p->port = 81;
		tt_in(&t, "S 0:0(0) <mss 1460>");
		tt_expect(&t, "S. 0:0(0) ack 1");
		tt_end(&t);
	}
}

/* Answers to nobody's segments are limited. */
static void
answers_limited(void **state)
{
	utcp_config_t cfg = { .icmp_per_s = 10 };
	unsigned int n = 0;
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	t.p->stack_port = 81;
	for (unsigned int i = 0; i < 100; i++) {
		tt_in(&t, ". 1:1(0) ack 7");
		n += tt_skip(&t);
	}
	assert_in_range(n, 5, 20);
	assert_true(tt_counter(&t, UTCP_CTR_DROP_LIMIT) >= 80);
	tt_end(&t);
}

/* No room in the accept queue: the last ACK is dropped, and asked for again. */
static void
accept_queue_full(void **state)
{
	utcp_sock_t *one;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	assert_int_equal(utcp_listen(t.listener, 1), 0);
	tt_peer(&t, 2, 1001, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_peer(&t, 2, 1002, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	/* the first's ACK comes second */
	t.p = t.peer0.next->next;
	tt_in(&t, ". 1:1(0) ack 1");
	tt_none(&t);
	assert_true(tt_counter(&t, UTCP_CTR_DROP_ACCEPT) > 0);
	/* and a third is not even answered */
	tt_peer(&t, 2, 1003, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_none(&t);
	assert_int_equal(utcp_accept(t.listener, &one), 0);
	assert_int_equal(utcp_accept(t.listener, &t.s), -EAGAIN);
	t.p = t.peer0.next->next->next;
	tt_expect_in(&t, SEC, "S. 0:0(0) ack 1");
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_read(&t, 10);
	utcp_abort(one);
	tt_end(&t);
}

static void
defer_accept(void **state)
{
	struct tt t;

	(void)state;
	for (int data = 0; data < 2; data++) {
		tt_init(&t, 4);
		tt_listen(&t);
		tt_set(t.listener, UTCP_OPT_DEFER_ACCEPT_NS, 5 * (int64_t)SEC);
		t.p->stack_port = 80;
		tt_in(&t, "S 0:0(0) <" TT_OPTS ">");
		tt_expect(&t, "S. 0:0(0) ack 1");
		tt_in(&t, ". 1:1(0) ack 1");
		tt_quiet(&t, 3 * SEC);
		assert_int_equal(utcp_accept(t.listener, &t.s), -EAGAIN);
		if (data) {
			tt_in(&t, "P. 1:101(100) ack 1");
			tt_expect(&t, ". 1:1(0) ack 101");
			assert_int_equal(utcp_accept(t.listener, &t.s), 0);
			tt_read(&t, 100);
		} else {
			tt_quiet(&t, 2 * SEC);
			assert_int_equal(utcp_accept(t.listener, &t.s), 0);
			tt_write(&t, 10);
			tt_expect(&t, "P. 1:11(10) ack 1");
		}
		tt_end(&t);
	}
}

/* Time is up, and there is no room: the handshake is asked for again. */
static void
defer_no_room(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	assert_int_equal(utcp_listen(t.listener, 1), 0);
	tt_set(t.listener, UTCP_OPT_DEFER_ACCEPT_NS, 5 * (int64_t)SEC);
	for (uint16_t i = 0; i < 2; i++) {
		tt_peer(&t, 2, (uint16_t)(1000 + i), 80);
		tt_in(&t, "S 0:0(0) <mss 1460>");
		tt_expect(&t, "S. 0:0(0) ack 1");
		tt_in(&t, ". 1:1(0) ack 1");
		tt_run(&t, MSEC);
	}
	tt_expect_within(&t, 5 * SEC, "S. 0:0(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	tt_end(&t);
}

/* RFC 7323 section 5.3 holds before the handshake is over, too. */
static void
half_open_paws(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	tt_in(&t, "S 0:0(0) <" TT_OPTS ">");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1 <nop,nop,TS val 999 ecr 0>");
	tt_expect(&t, ". 1:1(0) ack 1 <nop,nop,TS val * ecr 1000>");
	tt_in(&t, ". 1:1(0) ack 1 <noTS>");
	tt_none(&t);
	assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_PAWS), 2);
	assert_int_equal(utcp_accept(t.listener, &t.s), -EAGAIN);
	tt_in(&t, ". 1:1(0) ack 1 <nop,nop,TS val 1000 ecr 0>");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_end(&t);
}

/* Listeners of different patience: each SYN-ACK in its time. */
static void
synacks_mixed(void **state)
{
	utcp_addr_t a = { .family = 4 };
	utcp_sock_t *other;
	struct tt_peer *slow;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	put16(&a.port_be, 81);
	assert_int_equal(utcp_open(t.u, 4, &other), 0);
	assert_int_equal(utcp_bind(other, &a), 0);
	assert_int_equal(utcp_listen(other, 5), 0);
	tt_set(other, UTCP_OPT_INITRTO_NS, 100 * (int64_t)MSEC);
	slow = tt_peer(&t, 2, 1001, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_peer(&t, 2, 1002, 81);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_expect_in(&t, 100 * MSEC, "S. 0:0(0) ack 1");
	tt_expect_in(&t, 200 * MSEC, "S. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	t.p = slow;
	tt_expect_in(&t, 700 * MSEC, "S. 0:0(0) ack 1");
	utcp_close(other);
	tt_skip(&t);
	tt_end(&t);
}

/* There are no more sockets: the client tries again, and is let in later. */
static void
no_sockets(void **state)
{
	utcp_config_t cfg = { .max_socks = 2 };
	utcp_sock_t *one;
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_listen(&t);
	tt_peer(&t, 2, 1001, 80);
	tt_passive(&t, "mss 1460");
	one = t.s;
	t.s = NULL;
	tt_peer(&t, 2, 1002, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), -EAGAIN);
	assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_NOMEM), 1);
	utcp_abort(one);
	tt_skip(&t);
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_end(&t);
}

/* The end of a listener is the end of what is half open. */
static void
listener_ends(void **state)
{
	utcp_usage_t usage;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	tt_in(&t, "S 0:0(0) <" TT_OPTS ">");
	tt_expect(&t, "S. 0:0(0) ack 1");
	utcp_close(t.listener);
	t.listener = NULL;
	utcp_usage(t.u, &usage);
	assert_int_equal(usage.syns, 0);
	tt_in(&t, ". 1:1(0) ack 1");
	tt_expect(&t, "R 1:1(0)");
	tt_quiet(&t, 60 * SEC);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(synack_again),
		cmocka_unit_test(syn_again),
		cmocka_unit_test(half_open),
		cmocka_unit_test(listener_answers),
		cmocka_unit_test(syn_in_our_name),
		cmocka_unit_test(answers_limited),
		cmocka_unit_test(accept_queue_full),
		cmocka_unit_test(defer_accept),
		cmocka_unit_test(defer_no_room),
		cmocka_unit_test(half_open_paws),
		cmocka_unit_test(synacks_mixed),
		cmocka_unit_test(no_sockets),
		cmocka_unit_test(listener_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
