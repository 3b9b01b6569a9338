/* SPDX-License-Identifier: BSD-2-Clause */
/* How connections begin, on both sides (RFC 9293 sections 3.5, 3.10.7.2-3). */
#include "tcp_util.h"

static void
set(utcp_sock_t *s, int opt, int64_t value)
{
	assert_int_equal(utcp_set(s, opt, value), 0);
}

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
	set(t.listener, UTCP_OPT_SACK, 0);
	set(t.listener, UTCP_OPT_TIMESTAMPS, 0);
	set(t.listener, UTCP_OPT_WSCALE, -1);
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
		set(t.listener, UTCP_OPT_RCVBUF, 65536);
		set(t.listener, UTCP_OPT_WSCALE, -1);
		tt_in(&t, "P. 1:11(10) ack 1");
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_in_range(seg->win, 510, 512);
		assert_int_equal(utcp_accept(t.listener, &t.s), 0);
		assert_int_equal(tt_info(&t).rcv_wscale, 7);
		tt_end(&t);
	}
}

static void
defer_accept(void **state)
{
	struct tt t;

	(void)state;
	for (int data = 0; data < 2; data++) {
		tt_init(&t, 4);
		tt_listen(&t);
		set(t.listener, UTCP_OPT_DEFER_ACCEPT_NS, 5 * (int64_t)SEC);
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
	set(t.listener, UTCP_OPT_DEFER_ACCEPT_NS, 5 * (int64_t)SEC);
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
	set(other, UTCP_OPT_INITRTO_NS, 100 * (int64_t)MSEC);
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
		set(t.s, UTCP_OPT_ECN, 2);
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
		cmocka_unit_test(synack_again),
		cmocka_unit_test(synack_lost),
		cmocka_unit_test(syn_again),
		cmocka_unit_test(half_open),
		cmocka_unit_test(listener_answers),
		cmocka_unit_test(syn_in_our_name),
		cmocka_unit_test(closed_answers),
		cmocka_unit_test(answers_limited),
		cmocka_unit_test(syn_sent),
		cmocka_unit_test(synack_data),
		cmocka_unit_test(simultaneous),
		cmocka_unit_test(simultaneous_lost),
		cmocka_unit_test(accept_queue_full),
		cmocka_unit_test(cookies),
		cmocka_unit_test(cookie_old),
		cmocka_unit_test(cookie_not_sent),
		cmocka_unit_test(cookie_ack_lost),
		cmocka_unit_test(cookie_and_half_open),
		cmocka_unit_test(said_is_said),
		cmocka_unit_test(defer_accept),
		cmocka_unit_test(defer_no_room),
		cmocka_unit_test(half_open_paws),
		cmocka_unit_test(cookie_ecn),
		cmocka_unit_test(cookie_no_room),
		cmocka_unit_test(synacks_mixed),
		cmocka_unit_test(no_sockets),
		cmocka_unit_test(listener_ends),
		cmocka_unit_test(initial_numbers),
		cmocka_unit_test(ecn),
		cmocka_unit_test(syn_data),
		cmocka_unit_test(ack_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
