/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens when nothing comes: tcp_timer. */
#include "tcp_util.h"

static int
error_of(struct tt *t)
{
	int64_t value = 0;

	assert_int_equal(utcp_get(t->s, UTCP_OPT_ERROR, &value), 0);
	return (int)value;
}

/* Without RACK, whose tail probes come before the RTO. */
static void
begin(struct tt *t)
{
	tt_init(t, 4);
	tt_passive(t, TT_OPTS);
	tt_set(t->s, UTCP_OPT_RACK, 0);
}

static void
connect_to(struct tt *t)
{
	utcp_addr_t a = { .addr = { 10, 0, 0, 2 }, .family = 4 };

	t->p->port = 80;
	put16(&a.port_be, 80);
	assert_int_equal(utcp_connect(t->s, &a), -EINPROGRESS);
}

/* ---- retransmission ---------------------------------------------------- */

/* RFC 6298 section 5.5, and R2 of RFC 9293 section 3.8.3. */
static void
rto_doubles_until_it_gives_up(void **state)
{
	uint64_t rto;
	unsigned int i;
	struct tt t;

	(void)state;
	begin(&t);
	tt_set(t.s, UTCP_OPT_RETRIES, 5);
	tt_write(&t, 100);
	tt_expect(&t, "P. 1:101(100)");
	rto = tt_info(&t).rto_ns;
	assert_in_range(rto, 200 * MSEC, SEC);
	for (i = 0; i < 5; i++)
		tt_expect_in(&t, rto << i, "P. 1:101(100)");
	tt_quiet(&t, (rto << 5) - 1);
	tt_state(&t, UTCP_ESTABLISHED);
	tt_quiet(&t, 1);
	assert_int_equal(error_of(&t), ETIMEDOUT);
	assert_int_equal(tt_counter(&t, UTCP_CTR_TIMEOUTS), 6);
	tt_end(&t);
}

static void
rto_stays_below_its_maximum(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_set(t.s, UTCP_OPT_RTO_MAX_NS, SEC);
	tt_write(&t, 100);
	tt_expect(&t, "P. 1:101(100)");
	tt_run(&t, 3 * SEC);
	tt_skip(&t);
	tt_expect_within(&t, SEC, "P. 1:101(100)");
	tt_expect_in(&t, SEC, "P. 1:101(100)");
	tt_expect_in(&t, SEC, "P. 1:101(100)");
	tt_end(&t);
}

/* Section 5.3: an ACK of new data starts it anew. */
static void
progress_restarts_the_rto(void **state)
{
	uint64_t rto;
	struct tt t;

	(void)state;
	begin(&t);
	tt_set(t.s, UTCP_OPT_NODELAY, 1);
	tt_write(&t, 100);
	tt_write(&t, 100);
	tt_expect(&t, "P. 1:201(200)");
	tt_run(&t, 100 * MSEC);
	tt_in(&t, ". 1:1(0) ack 101");
	rto = tt_info(&t).rto_ns;
	tt_expect_in(&t, rto, "P. 101:201(100)");
	tt_in(&t, ". 1:1(0) ack 201");
	tt_quiet(&t, 10 * SEC);
	tt_end(&t);
}

/* Section 5.7: a SYN that was sent again gives no sample; 3 s then. */
static void
rto_is_3_s_after_a_lost_syn(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_open(&t);
	tt_set(t.s, UTCP_OPT_TIMESTAMPS, 0);
	tt_set(t.s, UTCP_OPT_RACK, 0);
	connect_to(&t);
	tt_expect(&t, "S 0:0(0)");
	tt_expect_in(&t, SEC, "S 0:0(0)");
	tt_in(&t, "S. 0:0(0) ack 1 <mss 1460>");
	tt_expect(&t, ". 1:1(0) ack 1");
	tt_write(&t, 100);
	tt_expect(&t, "P. 1:101(100)");
	tt_expect_in(&t, 3 * SEC, "P. 1:101(100)");
	tt_end(&t);
}

static void
syn_is_retried_and_given_up(void **state)
{
	unsigned int i;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_open(&t);
	tt_set(t.s, UTCP_OPT_SYN_RETRIES, 4);
	connect_to(&t);
	tt_expect(&t, "S 0:0(0)");
	for (i = 0; i < 4; i++)
		tt_expect_in(&t, SEC << i, "S 0:0(0)");
	tt_quiet(&t, SEC << 4);
	assert_int_equal(error_of(&t), ETIMEDOUT);
	assert_int_equal(tt_counter(&t, UTCP_CTR_CONNECT_FAILS), 1);
	tt_end(&t);
}

/* RFC 1122 section 4.2.3.9: the network's reason, if it gave one. */
static void
soft_error_is_told_in_the_end(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_open(&t);
	tt_set(t.s, UTCP_OPT_SYN_RETRIES, 1);
	tt_set(t.s, UTCP_OPT_SOFT_ERRORS, 0);
	connect_to(&t);
	tt_expect(&t, "S 0:0(0)");
	tt_icmp(&t, 3, 1, 0, 0);
	assert_int_equal(tt_info(&t).soft_error, EHOSTUNREACH);
	tt_expect_in(&t, SEC, "S 0:0(0)");
	tt_quiet(&t, 2 * SEC);
	assert_int_equal(error_of(&t), EHOSTUNREACH);
	tt_end(&t);
}

static void
user_timeout_ends_it_exactly(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_set(t.s, UTCP_OPT_USER_TIMEOUT_NS, 5 * SEC);
	tt_write(&t, 100);
	tt_expect(&t, "P. 1:101(100)");
	tt_run(&t, 5 * SEC - 1);
	assert_true(tt_skip(&t) >= 3);
	tt_state(&t, UTCP_ESTABLISHED);
	tt_run(&t, 1);
	assert_int_equal(error_of(&t), ETIMEDOUT);
	tt_end(&t);
}

/* Progress puts it off, however slow. */
static void
user_timeout_counts_from_progress(void **state)
{
	unsigned int i;
	struct tt t;

	(void)state;
	begin(&t);
	tt_set(t.s, UTCP_OPT_USER_TIMEOUT_NS, 5 * SEC);
	tt_write(&t, 1000);
	tt_skip(&t);
	for (i = 1; i < 5; i++) {
		tt_run(&t, 4 * SEC);
		tt_skip(&t);
		tt_in(&t, ". 1:1(0) ack %u", 1 + i * 100);
	}
	tt_state(&t, UTCP_ESTABLISHED);
	tt_end(&t);
}

static void
orphan_gives_up_earlier(void **state)
{
	utcp_usage_t usage;
	struct tt t;

	(void)state;
	begin(&t);
	tt_set(t.s, UTCP_OPT_RTO_MAX_NS, SEC);
	tt_write(&t, 100);
	utcp_close(t.s);
	t.s = NULL;
	tt_expect(&t, "FP. 1:101(100)");
	tt_run(&t, 12 * SEC);
	assert_int_equal(tt_skip(&t), 8);
	utcp_usage(t.u, &usage);
	assert_int_equal(usage.socks, 1); /* the listener */
	tt_end(&t);
}

/* ---- acknowledgements -------------------------------------------------- */

static void
delayed_ack_leaves_by_itself(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_run(&t, SEC);
	while (tt_info(&t).segs_in < 40) { /* past the quick ones */
		tt_in(&t, "P. %u(10) ack 1", (unsigned int)t.read + 1);
		tt_run(&t, 100 * MSEC);
		tt_skip(&t);
		tt_read(&t, 10);
	}
	tt_in(&t, "P. %u(10) ack 1", (unsigned int)t.read + 1);
	tt_none(&t);
	tt_expect_within(&t, 200 * MSEC, ". 1:1(0) ack %u",
			 (unsigned int)t.read + 11);
	tt_end(&t);
}

/* ---- keepalive --------------------------------------------------------- */

static void
begin_keep(struct tt *t)
{
	begin(t);
	tt_set(t->s, UTCP_OPT_KEEPIDLE_NS, 10 * SEC);
	tt_set(t->s, UTCP_OPT_KEEPINTVL_NS, 2 * SEC);
	tt_set(t->s, UTCP_OPT_KEEPCNT, 3);
	tt_set(t->s, UTCP_OPT_KEEPALIVE, 1);
}

static void
keepalive_probes_and_ends(void **state)
{
	struct tt t;

	(void)state;
	begin_keep(&t);
	tt_expect_in(&t, 10 * SEC, ". 0:0(0) ack 1");
	tt_expect_in(&t, 2 * SEC, ". 0:0(0) ack 1");
	tt_expect_in(&t, 2 * SEC, ". 0:0(0) ack 1");
	tt_expect_in(&t, 2 * SEC, "R. 1:1(0) ack 1");
	assert_int_equal(error_of(&t), ETIMEDOUT);
	tt_end(&t);
}

/* RFC 9293 section 3.8.4 (MUST-24, 25, 28): only who asks has it, and then each
   two hours. */
static void
keepalive_is_off_or_slow(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_quiet(&t, 10000 * SEC);
	tt_set(t.s, UTCP_OPT_KEEPALIVE, 1);
	tt_expect(&t, ". 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	tt_expect_in(&t, 7200 * SEC, ". 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	tt_set(t.s, UTCP_OPT_KEEPALIVE, 0);
	tt_quiet(&t, 10000 * SEC);
	tt_end(&t);
}

static void
keepalive_answered_goes_on(void **state)
{
	unsigned int i;
	struct tt t;

	(void)state;
	begin_keep(&t);
	for (i = 0; i < 10; i++) {
		tt_expect_in(&t, 10 * SEC, ". 0:0(0) ack 1");
		tt_expect_in(&t, 2 * SEC, ". 0:0(0) ack 1");
		tt_in(&t, ". 1:1(0) ack 1");
		tt_none(&t);
	}
	tt_state(&t, UTCP_ESTABLISHED);
	tt_end(&t);
}

static void
traffic_puts_keepalive_off(void **state)
{
	struct tt t;

	(void)state;
	begin_keep(&t);
	tt_run(&t, 9 * SEC);
	tt_in(&t, ". 1:1(0) ack 1");
	tt_skip(&t);
	tt_expect_in(&t, 10 * SEC, ". 0:0(0) ack 1");
	tt_set(t.s, UTCP_OPT_KEEPALIVE, 0);
	tt_quiet(&t, 100 * SEC);
	tt_end(&t);
}

/* RFC 5482 section 4: the user timeout has the last word. */
static void
user_timeout_overrides_keepalive_count(void **state)
{
	struct tt t;

	(void)state;
	begin_keep(&t);
	tt_set(t.s, UTCP_OPT_USER_TIMEOUT_NS, 11 * SEC);
	tt_expect_in(&t, 10 * SEC, ". 0:0(0) ack 1");
	tt_expect_in(&t, 2 * SEC, "R. 1:1(0) ack 1");
	assert_int_equal(error_of(&t), ETIMEDOUT);
	tt_end(&t);
}

/* ---- the end ----------------------------------------------------------- */

static void
fin_wait_2_of_an_orphan_ends(void **state)
{
	utcp_usage_t usage;
	struct tt t;

	(void)state;
	begin(&t);
	tt_set(t.s, UTCP_OPT_FIN_TIMEOUT_NS, 7 * SEC);
	utcp_close(t.s);
	t.s = NULL;
	tt_expect(&t, "F. 1:1(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 2");
	tt_quiet(&t, 7 * SEC - 1);
	utcp_usage(t.u, &usage);
	assert_int_equal(usage.socks, 2);
	tt_quiet(&t, 1);
	utcp_usage(t.u, &usage);
	assert_int_equal(usage.socks, 1);
	tt_end(&t);
}

/* With an owner it waits for ever: the peer may send for days. */
static void
fin_wait_2_with_an_owner_stays(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_set(t.s, UTCP_OPT_FIN_TIMEOUT_NS, 7 * SEC);
	assert_int_equal(utcp_shutdown(t.s, UTCP_SHUT_WR), 0);
	tt_expect(&t, "F. 1:1(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 2");
	tt_quiet(&t, 3600 * SEC);
	tt_state(&t, UTCP_FIN_WAIT_2);
	tt_end(&t);
}

/* An idle connection has nothing to do at any time. */
static void
idle_connection_has_no_timer(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_run(&t, 10 * SEC);
	assert_int_equal(utcp_next_ns(t.u), UTCP_NEVER);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rto_doubles_until_it_gives_up),
		cmocka_unit_test(rto_stays_below_its_maximum),
		cmocka_unit_test(progress_restarts_the_rto),
		cmocka_unit_test(rto_is_3_s_after_a_lost_syn),
		cmocka_unit_test(syn_is_retried_and_given_up),
		cmocka_unit_test(soft_error_is_told_in_the_end),
		cmocka_unit_test(user_timeout_ends_it_exactly),
		cmocka_unit_test(user_timeout_counts_from_progress),
		cmocka_unit_test(orphan_gives_up_earlier),
		cmocka_unit_test(delayed_ack_leaves_by_itself),
		cmocka_unit_test(keepalive_probes_and_ends),
		cmocka_unit_test(keepalive_is_off_or_slow),
		cmocka_unit_test(keepalive_answered_goes_on),
		cmocka_unit_test(traffic_puts_keepalive_off),
		cmocka_unit_test(user_timeout_overrides_keepalive_count),
		cmocka_unit_test(fin_wait_2_of_an_orphan_ends),
		cmocka_unit_test(fin_wait_2_with_an_owner_stays),
		cmocka_unit_test(idle_connection_has_no_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
