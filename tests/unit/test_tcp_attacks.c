/* SPDX-License-Identifier: BSD-2-Clause */
/* Who cannot see a connection cannot harm it; who floods gets little, and the
   others notice little (RFC 5961, RFC 6528, RFC 4987, RFC 1337). */
#include "tcp_util.h"

static uint64_t seed = 42;

static uint32_t
rnd(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 32);
}

/* Blind resets over the whole window: one in 2^32 would do. */
static void
blind_reset(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	t.p->iss_known = true;
	for (uint32_t i = 1; i < 10000; i++) {
		tt_in(&t, "R %u:%u(0)", 1 + i * 3, 1 + i * 3);
		tt_skip(&t);
	}
	for (unsigned int i = 0; i < 10000; i++) {
		uint32_t seq = rnd();

		if (seq == 1)
			continue;
		tt_in(&t, "R. %u:%u(0) ack %u", seq, seq, rnd());
		tt_skip(&t);
	}
	tt_state(&t, UTCP_ESTABLISHED);
	/* RFC 5961 section 7: hardly any answers, all in no time */
	assert_true(tt_counter(&t, UTCP_CTR_CHALLENGE_ACKS) <= 10);
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	tt_end(&t);
}

/* Blind SYNs likewise, and blind data: its ACK has to be near ours. */
static void
blind_syn_and_data(void **state)
{
	uint32_t got;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, "mss 1460");
	for (unsigned int i = 0; i < 10000; i++) {
		uint32_t seq = rnd();

		tt_in(&t, "S %u:%u(0)", seq, seq);
		tt_skip(&t);
	}
	for (unsigned int i = 0; i < 10000; i++) {
		uint32_t ack = rnd();

		/* within 65535 of ours: one in 65536 */
		if (ack - 1 + 65536 < 2 * 65536)
			continue;
		tt_in(&t, "P. 1:11(10) ack %u", ack);
		tt_skip(&t);
	}
	got = (uint32_t)utcp_readable(t.s);
	assert_int_equal(got, 0);
	tt_state(&t, UTCP_ESTABLISHED);
	tt_end(&t);
}

/* The count of challenge ACKs tells nobody of others' connections: one who
   uses up the stack's budget uses his own connection's first (CVE-2016-5696). */
static void
challenge_side_channel(void **state)
{
	utcp_config_t cfg = { .challenge_per_s = 100 };
	struct tt_peer *mine;
	utcp_sock_t *other;
	unsigned int n = 0;
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	mine = tt_peer(&t, 3, 1000, 80);
	tt_passive(&t, "mss 1460");
	other = t.s;
	tt_peer(&t, 2, 1001, 80);
	tt_passive(&t, "mss 1460");
	t.p = mine;
	for (unsigned int i = 0; i < 1000; i++) {
		tt_in(&t, "R 2:2(0)");
		n += tt_skip(&t);
	}
	assert_int_equal(n, 10);
	t.p = t.peer0.next;
	tt_in(&t, "R 2:2(0)");
	tt_expect(&t, ". 1:1(0) ack 1");
	utcp_abort(other);
	tt_end(&t);
}

/* A flood of SYNs from everywhere while a client is served: memory is bounded,
   he notices nothing, and new ones get in by cookies. */
static void
syn_flood(void **state)
{
	utcp_config_t cfg = { .max_syns = 1000 };
	struct tt_peer *served, *flood;
	uint64_t peak = 0;
	utcp_usage_t usage;
	uint32_t wrote = 1;
	utcp_sock_t *s;
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_listen(&t);
	assert_int_equal(utcp_listen(t.listener, 2000), 0);
	/* no SYN-ACKs later, to whom the harness has forgotten */
	assert_int_equal(utcp_set(t.listener, UTCP_OPT_SYNACK_RETRIES, 0), 0);
	served = tt_peer(&t, 2, 1000, 80);
	tt_passive(&t, TT_OPTS);
	s = t.s;
	flood = tt_peer(&t, 3, 1000, 80);
	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t who = rnd();

		flood->addr[1] = (uint8_t)who | 1;
		flood->addr[2] = (uint8_t)(who >> 8);
		flood->port = (uint16_t)(who >> 16 | 1);
		flood->isn = rnd();
		t.p = flood;
		tt_in(&t, "S 0:0(0) <" TT_OPTS ">");
		t.out_num = 0;
		utcp_usage(t.u, &usage);
		assert_true(usage.syns <= 1000);
		if (i == 2000)
			peak = usage.mem_bytes;
		if (i % 500 != 499)
			continue;
		t.p = served;
		tt_in(&t, "P. %u:%u(10) ack 1", wrote, wrote + 10);
		wrote += 10;
		tt_expect_within(&t, 40 * MSEC, ". 1:1(0) ack %u", wrote);
	}
	utcp_usage(t.u, &usage);
	assert_true(usage.mem_bytes < peak + 65536);
	assert_true(tt_counter(&t, UTCP_CTR_COOKIES_OUT) > 15000);
	tt_peer(&t, 2, 2000, 80);
	tt_passive(&t, TT_OPTS);
	assert_true(tt_info(&t).negotiated & UTCP_GOT_COOKIE);
	assert_true(tt_info(&t).negotiated & UTCP_GOT_SACK);
	utcp_abort(s);
	tt_end(&t);
}

/* One SYN over and over: its sender is told ten times in five seconds. */
static void
same_syn(void **state)
{
	unsigned int n = 0;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	for (unsigned int i = 0; i < 1000; i++) {
		tt_in(&t, "S 0:0(0) <mss 1460>");
		n += tt_skip(&t);
	}
	assert_in_range(n, 2, 11);
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_end(&t);
}

/* ACKs that guess at cookies. */
static void
cookie_guess(void **state)
{
	utcp_config_t cfg = { .max_syns = 1, .icmp_per_s = 10 };
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_listen(&t);
	tt_peer(&t, 3, 1001, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_peer(&t, 2, 1002, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_skip(&t);
	t.p->iss_known = true;
	for (unsigned int i = 0; i < 10000; i++) {
		uint32_t seq = rnd();

		tt_in(&t, ". %u:%u(0) ack %u", seq, seq, rnd());
		t.out_num = 0;
	}
	assert_int_equal(tt_counter(&t, UTCP_CTR_COOKIES_IN), 0);
	tt_end(&t);
}

/* Connections that are opened and never accepted stop at the backlog. */
static void
accept_flood(void **state)
{
	utcp_usage_t usage;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	assert_int_equal(utcp_listen(t.listener, 8), 0);
	for (unsigned int i = 0; i < 200; i++) {
		tt_peer(&t, 2, (uint16_t)(1000 + i), 80);
		t.p->iss_known = true;
		tt_in(&t, "S 0:0(0) <mss 1460>");
		tt_skip(&t);
		tt_in(&t, ". 1:1(0) ack 1");
		tt_skip(&t);
	}
	utcp_usage(t.u, &usage);
	assert_int_equal(usage.socks, 9);
	assert_true(usage.syns <= 16);
	tt_end(&t);
}

/* Windows that are tiny, or go back, or come and go: nothing is sent in crumbs,
   nothing stops for ever. */
static void
tiny_windows(void **state)
{
	unsigned int n = 0;
	struct tt_seg *seg;
	uint32_t at = 1;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, "mss 1460");
	tt_in(&t, ". 1:1(0) ack 1 win 0");
	tt_write(&t, 20000);
	tt_none(&t);
	/* a byte more with each ACK */
	for (unsigned int i = 1; i <= 500; i++) {
		tt_in(&t, ". 1:1(0) ack 1 win %u", i);
		n += tt_skip(&t);
	}
	assert_true(n <= 2);
	tt_in(&t, ". 1:1(0) ack 1 win 0");
	/* opened and served at last */
	while (at < 20001) {
		tt_in(&t, ". 1:1(0) ack %u win 3000", at);
		tt_run(&t, 500 * MSEC);
		while ((seg = tt_next(&t)) != NULL)
			if (seg->seq + seg->len > at && seg->seq <= at)
				at = seg->seq + seg->len;
	}
	tt_end(&t);
}

/* A peer with an MSS of 1, or 0, does not have us send a byte a packet. */
static void
tiny_mss(void **state)
{
	static const char *const syns[] = { "mss 0", "mss 1",
					    "mss 1,TS val 1 ecr 0" };
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		tt_init(&t, 4);
		tt_passive(&t, syns[i]);
		tt_write(&t, 1000);
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_true(seg->len >= 36);
		tt_end(&t);
	}
}

/* ACKs of each byte, in crumbs, do not open the window faster (RFC 3465). */
static void
ack_division(void **state)
{
	uint32_t cwnd;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, "mss 1000");
	tt_write(&t, 20000);
	tt_run(&t, 10 * MSEC);
	tt_skip(&t);
	cwnd = tt_info(&t).cwnd_bytes;
	for (uint32_t i = 1; i <= 1000; i++) {
		tt_in(&t, ". 1:1(0) ack %u", 1 + i);
		tt_skip(&t);
	}
	assert_true(tt_info(&t).cwnd_bytes <= cwnd + 1000);
	tt_end(&t);
}

/* SACK blocks of nonsense, many of them: nothing is taken from them. */
static void
sack_nonsense(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_SACK);
	tt_write(&t, 10000);
	tt_run(&t, 10 * MSEC);
	tt_skip(&t);
	for (unsigned int i = 0; i < 10000; i++) {
		uint32_t a = rnd(), b = rnd();

		if (i % 2)
			tt_in(&t, ". 1:1(0) ack 1 <nop,nop,sack %u:%u %u:%u>",
			      a, b, b, a);
		else
			tt_in(&t, ". 1:1(0) ack 1 <nop,nop,sack %u:%u>",
			      a % 20000, b % 20000);
		tt_skip(&t);
	}
	tt_in(&t, ". 1:1(0) ack 10001");
	tt_run(&t, SEC);
	assert_int_equal(tt_info(&t).unacked_bytes, 0);
	assert_int_equal(tt_info(&t).sacked_bytes, 0);
	tt_end(&t);
}

static void
any_segments(struct tt *t, unsigned int n)
{
	static const char *const flags[] = { ".",  "P.", "F.",	 "S",  "S.",
					     "R",  "R.", "PU.",	 "E.", "W.",
					     "FP", "SF", "FPU.", "." };

	for (unsigned int i = 0; i < n; i++) {
		uint32_t seq = rnd() % 400, len = rnd() % 60;
		const char *f = flags[rnd() % 14];

		if (f[0] == 'R' && rnd() % 8)
			continue;
		if (rnd() % 50 == 0)
			seq = rnd();
		tt_in(t, "%s %u:%u(%u) ack %u win %u", f, seq, seq + len, len,
		      rnd() % 200, rnd() % 3 ? 65535 : rnd() % 300);
		tt_skip(t);
		if (t->s != NULL && rnd() % 4 == 0) {
			uint8_t buf[100] = { 0 };

			utcp_write(t->s, buf, rnd() % 100, 0);
			utcp_read(t->s, buf, sizeof(buf), 0);
		}
		if (t->s != NULL && rnd() % 100 == 0)
			utcp_shutdown(t->s, (int)(rnd() % 3));
		if (t->s != NULL && rnd() % 200 == 0) {
			utcp_close(t->s);
			t->s = NULL;
		}
		if (rnd() % 10 == 0)
			tt_run(t, rnd() % 300 * MSEC);
		tt_skip(t);
	}
}

/* Any segment in any state: whatever comes, nothing breaks and all memory comes
   back. */
static void
any_segment(void **state)
{
	struct tt t;

	(void)state;
	for (unsigned int round = 0; round < 120; round++) {
		tt_init(&t, round % 3 ? 4 : 6);
		t.no_pattern = true;
		if (round % 2)
			tt_active(&t, round % 4 < 2 ? TT_OPTS : TT_SACK);
		else
			tt_passive(&t, round % 4 < 2 ? TT_OPTS : "mss 500");
		any_segments(&t, 150);
		tt_end(&t);
	}
}

static void *(*real_alloc)(void *arg, size_t bytes);

static void *
rare_alloc(void *arg, size_t bytes)
{
	return rnd() % 3 ? NULL : real_alloc(arg, bytes);
}

/* The same when memory is short: what cannot be kept is not acknowledged. */
static void
no_memory(void **state)
{
	uint64_t dropped = 0;
	struct tt t;

	(void)state;
	for (unsigned int round = 0; round < 60; round++) {
		tt_init(&t, 4);
		t.no_pattern = true;
		tt_passive(&t, round % 2 ? TT_OPTS : TT_SACK);
		real_alloc = t.u->cfg.alloc;
		t.u->cfg.alloc = rare_alloc;
		for (unsigned int i = 0; i < 30; i++) {
			any_segments(&t, 5);
			tt_peer(&t, 3, (uint16_t)(1000 + i), 80);
			t.p->iss_known = true;
			tt_in(&t, "S 0:0(0) <" TT_OPTS ">");
			tt_skip(&t);
			tt_in(&t, "P. 1:11(10) ack 1");
			tt_skip(&t);
			t.p = &t.peer0;
		}
		dropped += tt_counter(&t, UTCP_CTR_DROP_NOMEM);
		tt_end(&t);
	}
	assert_true(dropped > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blind_reset),
		cmocka_unit_test(blind_syn_and_data),
		cmocka_unit_test(challenge_side_channel),
		cmocka_unit_test(syn_flood),
		cmocka_unit_test(same_syn),
		cmocka_unit_test(cookie_guess),
		cmocka_unit_test(accept_flood),
		cmocka_unit_test(tiny_windows),
		cmocka_unit_test(tiny_mss),
		cmocka_unit_test(ack_division),
		cmocka_unit_test(sack_nonsense),
		cmocka_unit_test(any_segment),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
