/* SPDX-License-Identifier: BSD-2-Clause */
/* The three-way handshake: options, who opens, who answers (RFC 9293 sections 3.5
   and 3.10.7.3). */
#include "tcp_util.h"

/* What is offered comes back, as far as we have it, and nothing else. */
static void
synack_options(void **state)
{
	static const struct {
		const char *syn, *synack;
		uint32_t got;
	} cases[] = {
		{ "", "mss 1460", 0 },
		{ "mss 1460", "mss 1460", 0 },
		{ "mss 1460,sackOK", "mss 1460,nop,nop,sackOK", UTCP_GOT_SACK },
		{ "mss 1460,nop,wscale 3", "mss 1460,nop,wscale 7",
		  UTCP_GOT_WSCALE },
		{ "TS val 5 ecr 0", "mss 1460,nop,nop,TS val * ecr 5",
		  UTCP_GOT_TIMESTAMPS },
		{ "mss 1460,sackOK,TS val 5 ecr 0,nop,wscale 14",
		  "mss 1460,sackOK,TS val * ecr 5,nop,wscale 7",
		  UTCP_GOT_SACK | UTCP_GOT_TIMESTAMPS | UTCP_GOT_WSCALE },
		/* unknown ones, of any length, do not disturb */
		{ "raw fd06aabbccdd,mss 900", "mss 1460", 0 },
	};
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tt_init(&t, 4);
		tt_listen(&t);
		t.p->stack_port = 80;
		if (cases[i].syn[0] != '\0')
			tt_in(&t, "S 0:0(0) <%s>", cases[i].syn);
		else
			tt_in(&t, "S 0:0(0)");
		tt_expect(&t, "S. 0:0(0) ack 1 win 65535 <%s>",
			  cases[i].synack);
		tt_in(&t, ". 1:1(0) ack 1");
		tt_none(&t);
		assert_int_equal(utcp_accept(t.listener, &t.s), 0);
		assert_int_equal(tt_info(&t).negotiated, cases[i].got);
		tt_end(&t);
	}
}

/* Options that are off are neither offered nor taken. */
static void
options_off(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 6);
	tt_listen(&t);
	tt_set(t.listener, UTCP_OPT_SACK, 0);
	tt_set(t.listener, UTCP_OPT_TIMESTAMPS, 0);
	tt_set(t.listener, UTCP_OPT_WSCALE, -1);
	t.p->stack_port = 80;
	tt_in(&t, "S 0:0(0) <" TT_OPTS ">");
	tt_expect(&t, "S. 0:0(0) ack 1 <mss 1440>");
	tt_in(&t, ". 1:1(0) ack 1 <noTS>");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	assert_int_equal(tt_info(&t).negotiated, 0);
	tt_end(&t);
}

static void
active_options(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_active(&t, TT_OPTS);
	assert_int_equal(tt_info(&t).negotiated,
			 UTCP_GOT_SACK | UTCP_GOT_TIMESTAMPS | UTCP_GOT_WSCALE);
	assert_int_equal(tt_info(&t).snd_wscale, 7);
	assert_int_equal(tt_info(&t).mss, 1448);
	tt_ready(&t, UTCP_OUT, UTCP_IN | UTCP_ERR | UTCP_HUP);
	assert_int_equal(tt_counter(&t, UTCP_CTR_CONNECTS), 1);
	tt_end(&t);
	tt_init(&t, 4);
	tt_active(&t, "mss 100");
	assert_int_equal(tt_info(&t).negotiated, 0);
	assert_int_equal(tt_info(&t).mss, 100);
	assert_int_equal(tt_info(&t).rcv_wscale, 0);
	tt_end(&t);
}

/* RFC 5681 section 3.1, RFC 6298 section 5.7: a path that loses SYN-ACKs is
   begun on slowly. */
static void
synack_lost(void **state)
{
	struct tt t;

	(void)state;
	for (unsigned int lost = 0; lost < 3; lost++) {
		tt_init(&t, 4);
		tt_listen(&t);
		t.p->stack_port = 80;
		tt_in(&t, "S 0:0(0) <mss 1460>");
		tt_expect(&t, "S. 0:0(0) ack 1");
		for (unsigned int i = 0; i < lost; i++)
			tt_expect_in(&t, SEC << i, "S. 0:0(0) ack 1");
		tt_in(&t, ". 1:1(0) ack 1");
		assert_int_equal(utcp_accept(t.listener, &t.s), 0);
		assert_int_equal(tt_info(&t).cwnd_bytes,
				 lost > 1 ? 1460 : 14600);
		tt_write(&t, 100);
		tt_expect(&t, "P. 1:101(100) ack 1");
		if (lost > 0)
			tt_expect_in(&t, 3 * SEC, "P. 1:101(100) ack 1");
		tt_end(&t);
	}
}

/* Nobody's segment: RFC 9293 section 3.10.7.1. */
static void
closed_answers(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "S 0:0(0)", "R. 0:0(0) ack 1" },
		{ "S 0:10(10)", "R. 0:0(0) ack 11" },
		{ "F 5:15(10)", "R. 0:0(0) ack 16" },
		{ ". 1:1(0) ack 7", "R 7:7(0)" },
		{ "S. 1:1(0) ack 7", "R 7:7(0)" },
		{ "R 1:1(0)", NULL },
		{ "R. 1:1(0) ack 7", NULL },
	};
	struct tt t;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct tt_seg *seg;

			tt_init(&t, family);
			t.p->stack_port = 81;
			t.p->iss_known = true;
			t.p->iss = 0;
			tt_in(&t, "%s", cases[i].in);
			if (cases[i].out == NULL) {
				tt_none(&t);
			} else {
				seg = tt_next(&t);
				assert_non_null(seg);
				if (strncmp(tt_text(seg), cases[i].out,
					    strlen(cases[i].out)) != 0)
					fail_msg("%s", tt_text(seg));
			}
			tt_end(&t);
		}
	}
}

/* RFC 9293 section 3.10.7.3. */
static void
syn_sent(void **state)
{
	static const struct {
		const char *in, *out;
		int error; /* it ends so; 0: it goes on */
	} cases[] = {
		{ ". 100:100(0) ack 0", "R 0:0(0)", 0 },
		{ "S. 0:0(0) ack 0", "R 0:0(0)", 0 },
		{ "S. 0:0(0) ack 2", "R 2:2(0)", 0 },
		/* it echoes what we never said, and may be of another time */
		{ "S. 0:0(0) ack 1 <mss 1460,TS val 1000 ecr 10000>",
		  "R 1:1(0)", 0 },
		{ ". 100:100(0) ack 1", NULL, 0 },
		{ "R 0:0(0)", NULL, 0 },
		{ "R. 0:0(0) ack 2", NULL, 0 },
		{ "R. 0:0(0) ack 1", NULL, ECONNREFUSED },
		{ "F 0:0(0)", NULL, 0 },
	};
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		utcp_addr_t a = { .addr = { 10, 0, 0, 2 }, .family = 4 };
		int64_t error = 0;

		tt_init(&t, 4);
		tt_open(&t);
		put16(&a.port_be, 80);
		t.p->port = 80;
		assert_int_equal(utcp_connect(t.s, &a), -EINPROGRESS);
		tt_expect(&t, "S 0:0(0)");
		tt_in(&t, "%s", cases[i].in);
		if (cases[i].out != NULL)
			tt_expect(&t, "%s", cases[i].out);
		tt_none(&t);
		if (cases[i].error != 0) {
			tt_ready(&t, UTCP_ERR | UTCP_HUP, 0);
			utcp_get(t.s, UTCP_OPT_ERROR, &error);
			assert_int_equal(error, cases[i].error);
		} else {
			tt_state(&t, UTCP_SYN_SENT);
			tt_in(&t, "S. 0:0(0) ack 1 <" TT_OPTS ">");
			tt_expect(&t, ". 1:1(0) ack 1");
			tt_state(&t, UTCP_ESTABLISHED);
		}
		tt_end(&t);
	}
}

/* Data and FIN may come with the SYN-ACK. */
static void
synack_data(void **state)
{
	utcp_addr_t a = { .addr = { 10, 0, 0, 2 }, .family = 4 };
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_open(&t);
	put16(&a.port_be, 80);
	t.p->port = 80;
	assert_int_equal(utcp_connect(t.s, &a), -EINPROGRESS);
	tt_expect(&t, "S 0:0(0)");
	tt_in(&t, "SF. 0:100(100) ack 1 <mss 1460>");
	tt_expect(&t, ". 1:1(0) ack 102");
	tt_state(&t, UTCP_CLOSE_WAIT);
	tt_read(&t, 100);
	tt_read_is(&t, 0);
	tt_end(&t);
}

/* Both open at once (RFC 9293 figure 7). */
static void
simultaneous(void **state)
{
	utcp_addr_t a = { .addr = { 10, 0, 0, 2 }, .family = 4 };
	struct tt t;

	(void)state;
	for (int synack = 0; synack < 2; synack++) {
		tt_init(&t, 4);
		tt_open(&t);
		put16(&a.port_be, 80);
		t.p->port = 80;
		assert_int_equal(utcp_connect(t.s, &a), -EINPROGRESS);
		tt_expect(&t, "S 0:0(0)");
		tt_in(&t, "S 0:0(0) <" TT_OPTS ">");
		tt_expect(&t, "S. 0:0(0) ack 1 <mss 1460,sackOK,TS val * ecr "
			      "1000,nop,wscale 7>");
		tt_state(&t, UTCP_SYN_RECEIVED);
		if (synack)
			tt_in(&t, "S. 0:0(0) ack 1 <mss 1460,sackOK,"
				  "TS val 1000 ecr 0,nop,wscale 7>");
		else
			tt_in(&t, ". 1:1(0) ack 1");
		tt_state(&t, UTCP_ESTABLISHED);
		tt_skip(&t);
		tt_write(&t, 10);
		tt_expect(&t, "P. 1:11(10) ack 1");
		tt_in(&t, "P. 1:11(10) ack 11");
		tt_expect(&t, ". 11:11(0) ack 11");
		tt_read(&t, 10);
		tt_end(&t);
	}
}

/* Its SYN-ACK is lost: ours is sent again. */
static void
simultaneous_lost(void **state)
{
	utcp_addr_t a = { .addr = { 10, 0, 0, 2 }, .family = 4 };
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_open(&t);
	put16(&a.port_be, 80);
	t.p->port = 80;
	assert_int_equal(utcp_connect(t.s, &a), -EINPROGRESS);
	tt_expect(&t, "S 0:0(0)");
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_expect_within(&t, 3 * SEC, "S. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 2");
	tt_expect(&t, "R 2:2(0)");
	tt_in(&t, ". 1:1(0) ack 1");
	tt_state(&t, UTCP_ESTABLISHED);
	tt_end(&t);
}

/* RFC 6528: not to be guessed, but going forward for one tuple. */
static void
initial_numbers(void **state)
{
	uint32_t iss[8], same[3];
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	for (unsigned int i = 0; i < 8; i++) {
		tt_peer(&t, 2, (uint16_t)(1000 + i), 80);
		tt_in(&t, "S 0:0(0) <mss 1460>");
		tt_expect(&t, "S. 0:0(0) ack 1");
		iss[i] = t.p->iss;
		for (unsigned int j = 0; j < i; j++)
			assert_true(iss[i] - iss[j] + 100000 > 200000);
	}
	tt_peer(&t, 2, 999, 80);
	for (unsigned int i = 0; i < 3; i++) {
		t.p->iss_known = false;
		tt_in(&t, "S 0:0(0) <mss 1460>");
		tt_expect(&t, "S. 0:0(0) ack 1");
		same[i] = t.p->iss;
		tt_in(&t, "R 1:1(0)");
		tt_run(&t, 100 * MSEC);
	}
	/* a tick each 4 us */
	assert_int_equal(same[1] - same[0], 25000);
	assert_int_equal(same[2] - same[1], 25000);
	tt_end(&t);
}

/* RFC 3168 section 6.1.1, both sides. */
static void
ecn(void **state)
{
	utcp_addr_t a = { .addr = { 10, 0, 0, 2 }, .family = 4 };
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	tt_in(&t, "SEW 0:0(0) <mss 1460>");
	tt_expect(&t, "SE. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	assert_int_equal(tt_info(&t).negotiated, UTCP_GOT_ECN);
	tt_end(&t);
	/* only ECE is no ECN-setup SYN */
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	tt_in(&t, "SE 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_end(&t);
	for (int i = 0; i < 3; i++) {
		tt_init(&t, 4);
		tt_open(&t);
		tt_set(t.s, UTCP_OPT_ECN, 2);
		put16(&a.port_be, 80);
		t.p->port = 80;
		assert_int_equal(utcp_connect(t.s, &a), -EINPROGRESS);
		tt_expect(&t, "SEW 0:0(0)");
		tt_in(&t, "%s 0:0(0) ack 1 <mss 1460>",
		      i == 0   ? "SE."
		      : i == 1 ? "S."
			       : "SEW.");
		tt_expect(&t, ". 1:1(0) ack 1");
		assert_int_equal(tt_info(&t).negotiated,
				 i == 0 ? UTCP_GOT_ECN : 0);
		tt_end(&t);
	}
}

/* SYN data without Fast Open is not acknowledged, and not kept. */
static void
syn_data(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	tt_in(&t, "S 0:100(100) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_in(&t, "P. 1:101(100) ack 1");
	tt_expect(&t, ". 1:1(0) ack 101");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_read(&t, 100);
	tt_end(&t);
}

/* The last ACK may be lost: data, or a FIN, does as well. */
static void
ack_lost(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_in(&t, "F. 1:1(0) ack 1");
	tt_expect(&t, ". 1:1(0) ack 2");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_state(&t, UTCP_CLOSE_WAIT);
	tt_read_is(&t, 0);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(synack_options),
		cmocka_unit_test(options_off),
		cmocka_unit_test(active_options),
		cmocka_unit_test(synack_lost),
		cmocka_unit_test(closed_answers),
		cmocka_unit_test(syn_sent),
		cmocka_unit_test(synack_data),
		cmocka_unit_test(simultaneous),
		cmocka_unit_test(simultaneous_lost),
		cmocka_unit_test(initial_numbers),
		cmocka_unit_test(ecn),
		cmocka_unit_test(syn_data),
		cmocka_unit_test(ack_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
