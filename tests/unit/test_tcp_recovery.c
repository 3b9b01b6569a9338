/* SPDX-License-Identifier: BSD-2-Clause */
/* Loss, and what is done about it: tcp_recovery, tcp_sack. */
#include "tcp_util.h"

#define M 1460u /* bytes of a segment, without timestamps */
#define RTT (100 * MSEC)

/* The n-th segment of data, n from 0: its first byte. */
#define AT(n) (1 + (n) * M)
#define NO_SACK "mss 1460,nop,wscale 7"

/* Writes n segments, which all leave, from segment `from` on. */
static void
send_segs(struct tt *t, unsigned int from, unsigned int n)
{
	unsigned int i;

	tt_write(t, n * M);
	for (i = from; i < from + n; i++)
		tt_expect(t, ". %u:%u(%u)", AT(i), AT(i + 1), M);
	tt_none(t);
}

static void
seg_is(struct tt *t, unsigned int n)
{
	tt_expect(t, ". %u:%u(%u)", AT(n), AT(n + 1), M);
}

/* ---- without SACK: RFC 6582, 3042 -------------------------------------- */

static void
three_duplicates_resend_the_first(void **state)
{
	struct tt t;

	(void)state;
	tt_open_rtt(&t, NO_SACK, RTT);
	send_segs(&t, 1, 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(1));
	tt_in(&t, ". 1:1(0) ack %u", AT(1));
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack %u", AT(1));
	seg_is(&t, 1);
	tt_none(&t);
	assert_int_equal(tt_info(&t).recovery, 3);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 5 * M);
	assert_int_equal(tt_counter(&t, UTCP_CTR_FAST_RECOVERY), 1);
	/* all of it */
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(11));
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_int_equal(tt_info(&t).cwnd_bytes, 5 * M);
	tt_end(&t);
}

static void
limited_transmit_sends_two(void **state)
{
	struct tt t;

	(void)state;
	tt_open_rtt(&t, NO_SACK, RTT);
	tt_write(&t, 20 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(1));
	seg_is(&t, 11);
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack %u", AT(1));
	seg_is(&t, 12);
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack %u", AT(1));
	seg_is(&t, 1);
	tt_none(&t);
	tt_end(&t);
}

static void
not_every_ack_is_a_duplicate(void **state)
{
	unsigned int i;
	struct tt t;

	(void)state;
	tt_open_rtt(&t, NO_SACK, RTT);
	send_segs(&t, 1, 10);
	tt_run(&t, RTT);
	for (i = 0; i < 4; i++) { /* RFC 5681 section 2 */
		tt_in(&t, ". %u:%u(10) ack %u", 1 + 10 * i, 11 + 10 * i, AT(1));
		tt_in(&t, ". %u:%u(0) ack %u win %u", 11 + 10 * i, 11 + 10 * i,
		      AT(1), 2000 + i);
	}
	tt_run(&t, MSEC);
	tt_skip(&t);
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_int_equal(tt_counter(&t, UTCP_CTR_RETRANS_SEGS), 0);
	tt_end(&t);
}

static void
a_partial_ack_resends_the_next(void **state)
{
	unsigned int i;
	struct tt t;

	(void)state;
	tt_open_rtt(&t, NO_SACK, RTT);
	send_segs(&t, 1, 10);
	tt_run(&t, RTT);
	for (i = 0; i < 3; i++)
		tt_in(&t, ". 1:1(0) ack %u", AT(1));
	seg_is(&t, 1);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(4));
	seg_is(&t, 4);
	assert_int_equal(tt_info(&t).recovery, 3);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(11));
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 5 * M);
	tt_end(&t);
}

/* RFC 6582 section 3.2, step 2: duplicates of what recovery sent twice. */
static void
no_second_recovery_for_the_same_window(void **state)
{
	unsigned int i;
	struct tt t;

	(void)state;
	tt_open_rtt(&t, NO_SACK, RTT);
	send_segs(&t, 1, 10);
	tt_run(&t, 250 * MSEC + RTT);
	tt_skip(&t); /* the timeout's */
	tt_in(&t, ". 1:1(0) ack %u", AT(11));
	tt_skip(&t);
	send_segs(&t, 11, 2);
	for (i = 0; i < 4; i++)
		tt_in(&t, ". 1:1(0) ack %u", AT(11));
	assert_int_equal(tt_counter(&t, UTCP_CTR_FAST_RECOVERY), 0);
	tt_none(&t);
	tt_end(&t);
}

/* ---- SACK -------------------------------------------------------------- */

static void
sacks_resend_the_holes_only(void **state)
{
	struct tt t;

	(void)state;
	tt_open_rtt(&t, TT_SACK, RTT);
	send_segs(&t, 1, 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(3));
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u %u:%u>", AT(1), AT(4), AT(5),
	      AT(2), AT(3));
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u %u:%u>", AT(1), AT(4), AT(7),
	      AT(2), AT(3));
	seg_is(&t, 1);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u %u:%u>", AT(1), AT(4), AT(11),
	      AT(2), AT(3));
	seg_is(&t, 3);
	tt_none(&t);
	assert_int_equal(tt_info(&t).sacked_bytes, 8 * M);
	assert_int_equal(tt_info(&t).lost_bytes, 2 * M);
	assert_int_equal(tt_info(&t).retrans_out_bytes, 2 * M);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(11));
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_int_equal(tt_info(&t).sacked_bytes, 0);
	assert_int_equal(tt_info(&t).lost_bytes, 0);
	assert_int_equal(tt_info(&t).retrans_out_bytes, 0);
	assert_int_equal(tt_info(&t).total_retrans_segs, 2);
	tt_end(&t);
}

static void
bad_sack_blocks_are_not_taken(void **state)
{
	static const uint32_t bad[][2] = {
		{ AT(11), AT(12) },    /* never sent */
		{ AT(3), AT(12) },     /* partly */
		{ AT(5), AT(4) },      /* backwards */
		{ AT(4), AT(4) },      /* empty */
		{ 0x80000000, AT(4) }, /* far away */
		{ AT(4) + 1, AT(5) },  /* not a whole segment */
		{ AT(4), AT(5) - 1 },
	};
	unsigned int i;
	struct tt t;

	(void)state;
	tt_open_rtt(&t, TT_SACK, RTT);
	send_segs(&t, 1, 10);
	tt_run(&t, RTT);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), bad[i][0],
		      bad[i][1]);
		assert_int_equal(tt_info(&t).sacked_bytes, 0);
	}
	assert_int_equal(tt_info(&t).recovery, 0);
	tt_end(&t);
}

static void
without_rack_rfc_6675_decides(void **state)
{
	struct tt t;

	(void)state;
	tt_open_rtt(&t, TT_SACK, RTT);
	tt_set(t.s, UTCP_OPT_RACK, 0);
	send_segs(&t, 1, 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(3), AT(5));
	tt_quiet(&t, 50 * MSEC);
	/* three above segment 2, but those above 6 do not count for it */
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u %u:%u>", AT(1), AT(7), AT(8),
	      AT(3), AT(5));
	seg_is(&t, 1);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u %u:%u>", AT(1), AT(7), AT(11),
	      AT(3), AT(5));
	seg_is(&t, 2);
	seg_is(&t, 5);
	tt_end(&t);
}

static void
prr_sends_in_proportion(void **state)
{
	unsigned int i, sent = 0;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_open_rtt(&t, TT_SACK, RTT);
	tt_write(&t, 40 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_run(&t, RTT);
	/* to 20 in flight */
	tt_in(&t, ". 1:1(0) ack %u", AT(11));
	assert_int_equal(tt_skip(&t), 20);
	tt_run(&t, RTT);
	for (i = 1; i < 20; i++) {
		tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(11), AT(12),
		      AT(12 + i));
		while ((seg = tt_next(&t)) != NULL)
			sent += seg->seq >= AT(31) || seg->seq == AT(11);
	}
	/* a half of 20 */
	/* two before it was known, by limited transmit */
	assert_in_range(sent, 10, 12);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 10 * M);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(33));
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_int_equal(tt_info(&t).cwnd_bytes, 10 * M);
	tt_end(&t);
}

/* ---- timeouts ---------------------------------------------------------- */

static void
a_timeout_begins_anew(void **state)
{
	uint64_t rto;
	struct tt t;

	(void)state;
	tt_open_rtt(&t, NO_SACK, RTT);
	send_segs(&t, 1, 10);
	rto = tt_info(&t).rto_ns;
	tt_expect_in(&t, rto, ". %u:%u(%u)", AT(1), AT(2), M);
	assert_int_equal(tt_info(&t).cwnd_bytes, M);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 5 * M);
	assert_int_equal(tt_info(&t).recovery, 4);
	assert_int_equal(tt_info(&t).backoff, 1);
	/* Again: ssthresh is not halved twice for one loss. */
	tt_expect_in(&t, 2 * rto, ". %u:%u(%u)", AT(1), AT(2), M);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 5 * M);
	tt_run(&t, RTT);
	/* Slow start; nothing new to try with: it was lost. */
	tt_in(&t, ". 1:1(0) ack %u", AT(2));
	seg_is(&t, 2);
	seg_is(&t, 3);
	tt_none(&t);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(4));
	tt_skip(&t);
	tt_in(&t, ". 1:1(0) ack %u", AT(11));
	assert_int_equal(tt_info(&t).recovery, 0);
	tt_end(&t);
}

/* RFC 5682: after the timeout the first ACK is answered with new data; if the
   next acknowledges what was never sent again, nothing had been lost. */
static void
frto_without_sack(void **state)
{
	struct tt t;

	(void)state;
	tt_open_rtt(&t, NO_SACK, RTT);
	tt_write(&t, 30 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_expect_in(&t, tt_info(&t).rto_ns, ". %u:%u(%u)", AT(1), AT(2), M);
	tt_in(&t, ". 1:1(0) ack %u", AT(2));
	seg_is(&t, 11);
	seg_is(&t, 12);
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack %u", AT(3));
	assert_int_equal(tt_counter(&t, UTCP_CTR_UNDO), 1);
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_in_range(tt_info(&t).cwnd_bytes, 10 * M, 11 * M);
	assert_int_equal(tt_info(&t).lost_bytes, 0);
	tt_end(&t);
}

static void
frto_finds_a_real_loss(void **state)
{
	struct tt t;

	(void)state;
	tt_open_rtt(&t, NO_SACK, RTT);
	tt_write(&t, 30 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_expect_in(&t, tt_info(&t).rto_ns, ". %u:%u(%u)", AT(1), AT(2), M);
	tt_in(&t, ". 1:1(0) ack %u", AT(2));
	seg_is(&t, 11);
	seg_is(&t, 12);
	tt_run(&t, RTT);
	/* step 3a: only the new data arrived */
	tt_in(&t, ". 1:1(0) ack %u", AT(2));
	seg_is(&t, 2);
	assert_int_equal(tt_info(&t).recovery, 4);
	assert_int_equal(tt_counter(&t, UTCP_CTR_UNDO), 0);
	tt_end(&t);
}

static void
frto_with_sack(void **state)
{
	struct tt t;

	(void)state;
	tt_open_rtt(&t, TT_SACK, RTT);
	tt_set(t.s, UTCP_OPT_RACK, 0);
	tt_write(&t, 30 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_expect_in(&t, tt_info(&t).rto_ns, ". %u:%u(%u)", AT(1), AT(2), M);
	/* A SACK of what was sent once. */
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(3));
	assert_int_equal(tt_counter(&t, UTCP_CTR_UNDO), 1);
	assert_in_range(tt_info(&t).cwnd_bytes, 10 * M, 11 * M);
	tt_end(&t);
}

/* RFC 3522: the timestamp tells that the first sending arrived. */
static void
eifel_undoes_a_timeout(void **state)
{
	uint32_t m = M - 12;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	assert_int_equal(utcp_set_cc(t.listener, "newreno"), 0);
	tt_passive(&t, "mss 1460,TS val 1000 ecr 0,nop,wscale 7");
	tt_write(&t, m);
	tt_skip(&t);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", 1 + m);
	tt_write(&t, 5 * m);
	assert_int_equal(tt_skip(&t), 5);
	tt_expect_in(&t, tt_info(&t).rto_ns, ". %u:%u(%u)", 1 + m, 1 + 2 * m,
		     m);
	/* 100: when it was sent first, by the stack's clock */
	tt_in(&t, ". 1:1(0) ack %u <nop,nop,TS val 1300 ecr 100>", 1 + 2 * m);
	assert_int_equal(tt_counter(&t, UTCP_CTR_UNDO), 1);
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_true(tt_info(&t).cwnd_bytes >= 10 * m);
	assert_int_equal(tt_info(&t).lost_bytes, 0);
	assert_int_equal(tt_info(&t).backoff, 0);
	tt_none(&t);
	tt_end(&t);
}

static void
dsacks_undo_a_recovery(void **state)
{
	struct tt t;

	(void)state;
	tt_open_rtt(&t, TT_SACK, RTT);
	send_segs(&t, 1, 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(3), AT(6));
	seg_is(&t, 1);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(3), AT(8));
	seg_is(&t, 2);
	/* They were late only. */
	tt_in(&t, ". 1:1(0) ack %u", AT(8));
	tt_in(&t, ". 1:1(0) ack %u", AT(11));
	assert_int_equal(tt_info(&t).cwnd_bytes, 5 * M);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(11), AT(1), AT(2));
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(11), AT(2), AT(3));
	assert_int_equal(tt_counter(&t, UTCP_CTR_UNDO), 1);
	assert_int_equal(tt_counter(&t, UTCP_CTR_DSACK_IN), 2);
	assert_int_equal(tt_info(&t).dsack_dups, 2);
	assert_true(tt_info(&t).cwnd_bytes >= 10 * M);
	assert_int_equal(tt_info(&t).ssthresh_bytes, UINT32_MAX);
	tt_end(&t);
}

/* RFC 2018 section 8: after a timeout, what the peer threw away goes again. */
static void
a_renege_is_survived(void **state)
{
	unsigned int i;
	struct tt t;

	(void)state;
	tt_open_rtt(&t, TT_SACK, RTT);
	send_segs(&t, 1, 4);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(5));
	seg_is(&t, 1);
	/* It has the first, and says nothing of the others. */
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(2));
	tt_expect_within(&t, 3 * SEC, ". %u:%u(%u)", AT(2), AT(3), M);
	assert_int_equal(tt_info(&t).sacked_bytes, 0);
	for (i = 3; i < 5; i++) {
		tt_run(&t, RTT);
		tt_in(&t, ". 1:1(0) ack %u", AT(i));
		tt_expect_within(&t, 3 * SEC, ". %u(%u)", AT(i), M);
		tt_skip(&t);
	}
	tt_in(&t, ". 1:1(0) ack %u", AT(5));
	assert_int_equal(tt_info(&t).unacked_bytes, 0);
	tt_end(&t);
}

/* ---- ECN --------------------------------------------------------------- */

static void
an_echo_counts_once_a_window(void **state)
{
	struct tt_seg *seg;
	unsigned int cwr = 0;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	assert_int_equal(utcp_set_cc(t.listener, "newreno"), 0);
	t.p->stack_port = 80;
	tt_in(&t, "SEW 0:0(0) win 65535 <" TT_SACK ">");
	tt_expect(&t, "SE. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	assert_true(tt_info(&t).negotiated & UTCP_GOT_ECN);
	tt_set(t.s, UTCP_OPT_RACK, 0);
	tt_write(&t, 40 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_run(&t, RTT);
	tt_in(&t, "E. 1:1(0) ack %u", AT(1));
	assert_int_equal(tt_info(&t).recovery, 2);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 9 * M / 2);
	tt_in(&t, "E. 1:1(0) ack %u", AT(4));
	tt_in(&t, "E. 1:1(0) ack %u", AT(10));
	assert_int_equal(tt_info(&t).ssthresh_bytes, 9 * M / 2);
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_int_equal(tt_info(&t).cwnd_bytes, 9 * M / 2);
	while ((seg = tt_next(&t)) != NULL)
		cwr += (seg->flags & TH_CWR) != 0;
	assert_int_equal(cwr, 1);
	assert_int_equal(tt_counter(&t, UTCP_CTR_ECN_ECE), 3);
	/* Later it is a new one. */
	tt_in(&t, "E. 1:1(0) ack %u", AT(11));
	assert_int_equal(tt_info(&t).recovery, 2);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_duplicates_resend_the_first),
		cmocka_unit_test(limited_transmit_sends_two),
		cmocka_unit_test(not_every_ack_is_a_duplicate),
		cmocka_unit_test(a_partial_ack_resends_the_next),
		cmocka_unit_test(no_second_recovery_for_the_same_window),
		cmocka_unit_test(sacks_resend_the_holes_only),
		cmocka_unit_test(bad_sack_blocks_are_not_taken),
		cmocka_unit_test(without_rack_rfc_6675_decides),
		cmocka_unit_test(prr_sends_in_proportion),
		cmocka_unit_test(a_timeout_begins_anew),
		cmocka_unit_test(frto_without_sack),
		cmocka_unit_test(frto_finds_a_real_loss),
		cmocka_unit_test(frto_with_sack),
		cmocka_unit_test(eifel_undoes_a_timeout),
		cmocka_unit_test(dsacks_undo_a_recovery),
		cmocka_unit_test(a_renege_is_survived),
		cmocka_unit_test(an_echo_counts_once_a_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
