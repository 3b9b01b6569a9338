/* SPDX-License-Identifier: BSD-2-Clause */
/* When data is acknowledged (RFC 5681 section 4.2, RFC 9293 section 3.8.6.3). */
#include "sock.h"
#include "tcp_util.h"

/* ---- acknowledging ----------------------------------------------------- */

/* At the start each segment is acknowledged at once, sixteen of them. */
static void
quick_acks(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	for (uint32_t i = 0; i < 16; i++) {
		tt_in(&t, "P. %u:%u(100) ack 1", 1 + 100 * i, 101 + 100 * i);
		tt_expect(&t, ". 1:1(0) ack %u", 101 + 100 * i);
	}
	tt_in(&t, "P. 1601:1701(100) ack 1");
	tt_expect_in(&t, 40 * MSEC, ". 1:1(0) ack 1701");
	tt_read(&t, 1700);
	tt_end(&t);
}

static void
delayed_ack(void **state)
{
	struct tt t;

	(void)state;
	tt_open_slow(&t, TT_OPTS);
	/* one small one waits */
	tt_in(&t, "P. 11:111(100) ack 11");
	tt_expect_in(&t, 40 * MSEC, ". 11:11(0) ack 111");
	/* a reply takes it along */
	tt_in(&t, "P. 111:211(100) ack 11");
	tt_none(&t);
	tt_write(&t, 5);
	tt_expect(&t, "P. 11:16(5) ack 211");
	tt_in(&t, ". 211:211(0) ack 16");
	tt_quiet(&t, 100 * MSEC);
	tt_end(&t);
}

/* Of full segments every second; what came as one of several at once. */
static void
every_second(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	tt_set(t.listener, UTCP_OPT_RCVBUF, 1 << 20);
	tt_passive(&t, TT_SACK);
	for (uint32_t i = 0; i < 16; i++) {
		tt_in(&t, ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
		tt_expect(&t, ". 1:1(0) ack %u", 1001 + 1000 * i);
	}
	for (uint32_t i = 16; i < 26; i += 2) {
		tt_in(&t, ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
		tt_none(&t);
		tt_in(&t, ". %u:%u(1000) ack 1", 1001 + 1000 * i,
		      2001 + 1000 * i);
		tt_expect(&t, ". 1:1(0) ack %u", 2001 + 1000 * i);
	}
	tt_set(t.s, UTCP_OPT_ACK_EVERY, 4);
	for (uint32_t i = 26; i < 29; i++) {
		tt_in(&t, ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
		tt_none(&t);
	}
	tt_in(&t, ". 29001:30001(1000) ack 1");
	tt_expect(&t, ". 1:1(0) ack 30001");
	tt_end(&t);
}

static void
quickack_option(void **state)
{
	struct tt t;

	(void)state;
	tt_open_slow(&t, TT_OPTS);
	tt_set(t.s, UTCP_OPT_QUICKACK, 1);
	tt_in(&t, "P. 11:111(100) ack 11");
	tt_expect(&t, ". 11:11(0) ack 111");
	tt_set(t.s, UTCP_OPT_QUICKACK, 0);
	tt_set(t.s, UTCP_OPT_DELACK_NS, 10 * (int64_t)MSEC);
	tt_in(&t, "P. 111:211(100) ack 11");
	tt_expect_in(&t, 10 * MSEC, ". 11:11(0) ack 211");
	tt_set(t.s, UTCP_OPT_DELACK_NS, 0);
	tt_in(&t, "P. 211:311(100) ack 11");
	tt_expect(&t, ". 11:11(0) ack 311");
	tt_end(&t);
}

/* ---- fifth: the window ------------------------------------------------- */

/* An older segment that comes later does not turn the window back. */
static void
window_updates(void **state)
{
	struct tt t;

	(void)state;
	tt_open_slow(&t, "mss 1460");
	tt_in(&t, ". 11:11(0) ack 11 win 1000");
	assert_int_equal(tt_info(&t).snd_wnd_bytes, 1000);
	/* same seq and ack: taken */
	tt_in(&t, ". 11:11(0) ack 11 win 500");
	assert_int_equal(tt_info(&t).snd_wnd_bytes, 500);
	/* wl1 is 21 then */
	tt_in(&t, "P. 21:31(10) ack 11 win 2000");
	tt_in(&t, "P. 11:21(10) ack 11 win 100");
	assert_int_equal(tt_info(&t).snd_wnd_bytes, 2000);
	/* same seq, older ack */
	tt_skip(&t);
	tt_write(&t, 10);
	tt_expect(&t, "P. 11:21(10) ack 31");
	tt_in(&t, ". 31:31(0) ack 21 win 3000");
	tt_in(&t, ". 31:31(0) ack 11 win 50");
	assert_int_equal(tt_info(&t).snd_wnd_bytes, 3000);
	tt_end(&t);
}

/* The receiver's own measure of the round trip, from windows and timestamps. */
static void
receiver_rtt(void **state)
{
	struct tt t;
	uint32_t at = 1;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	for (unsigned int i = 0; i < 300; i++) {
		tt_in(&t, ". %u:%u(1448) ack 1", at, at + 1448);
		at += 1448;
		tt_read(&t, 1448);
		if (i % 10 == 9)
			tt_run(&t, 20 * MSEC);
		tt_skip(&t);
	}
	assert_int_equal(utcp__rouse(t.s), true);
	assert_in_range(t.s->busy->rcv_rtt_ns, 10 * MSEC, 500 * MSEC);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quick_acks),
		cmocka_unit_test(delayed_ack),
		cmocka_unit_test(every_second),
		cmocka_unit_test(quickack_option),
		cmocka_unit_test(window_updates),
		cmocka_unit_test(receiver_rtt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
