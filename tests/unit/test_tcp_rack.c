/* SPDX-License-Identifier: BSD-2-Clause */
/* Loss by time, and tail loss probes (RFC 8985): tcp_rack. */
#include "tcp_util.h"

#define M 1460u /* bytes of a segment, without timestamps */
#define RTT (100 * MSEC)
#define USEC 1000ull

#define AT(n) (1 + (n) * M)

static void
begin(struct tt *t)
{
	tt_open_rtt(t, TT_SACK, RTT);
}

static void
seg_is(struct tt *t, unsigned int n)
{
	tt_expect(t, ". %u:%u(%u)", AT(n), AT(n + 1), M);
}

static void
send_segs(struct tt *t, unsigned int from, unsigned int n)
{
	unsigned int i;

	tt_write(t, n * M);
	for (i = from; i < from + n; i++)
		seg_is(t, i);
	tt_none(t);
}

/* Section 6.2, step 4: while no reordering was seen three SACKed segments are
   enough, at once. */
static void
three_sacked_are_enough(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	send_segs(&t, 1, 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(4));
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(5));
	seg_is(&t, 1);
	tt_none(&t);
	tt_end(&t);
}

/* One is, a quarter of the round trip later, to the nanosecond. */
static void
one_sacked_waits_for_the_window(void **state)
{
	static const uint64_t rtts[] = { 100 * MSEC, 40 * USEC };
	unsigned int i;
	struct tt t;

	(void)state;
	for (i = 0; i < 2; i++) {
		tt_open_rtt(&t, TT_SACK, rtts[i]);
		send_segs(&t, 1, 3);
		tt_run(&t, rtts[i]);
		tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(3));
		tt_none(&t);
		tt_expect_in(&t, rtts[i] / 4, ". %u:%u(%u)", AT(1), AT(2), M);
		assert_int_equal(tt_info(&t).recovery, 3);
		assert_int_equal(tt_counter(&t, UTCP_CTR_TIMEOUTS), 0);
		tt_end(&t);
	}
}

/* What arrives late, sent once, is reordering: from then on three SACKed ones
   do not do. */
static void
reordering_is_learnt(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	send_segs(&t, 1, 5);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(3));
	tt_in(&t, ". 1:1(0) ack %u", AT(3));
	assert_int_equal(tt_counter(&t, UTCP_CTR_REORDER), 1);
	tt_in(&t, ". 1:1(0) ack %u", AT(6));
	send_segs(&t, 6, 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(6), AT(7), AT(11));
	tt_none(&t);
	tt_run(&t, RTT / 5);
	tt_none(&t);
	/* It comes in time: no recovery at all. */
	tt_in(&t, ". 1:1(0) ack %u", AT(11));
	assert_int_equal(tt_counter(&t, UTCP_CTR_FAST_RECOVERY), 0);
	assert_int_equal(tt_info(&t).recovery, 0);
	/* This does not. */
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(11), AT(12), AT(16));
	tt_expect_within(&t, RTT / 4, ". %u:%u(%u)", AT(11), AT(12), M);
	tt_end(&t);
}

/* Also when the retransmission was out before the late one came: that it was for
   nothing tells. */
static void
reordering_is_learnt_from_an_undo(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	send_segs(&t, 1, 5);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(6));
	seg_is(&t, 1);
	tt_in(&t, ". 1:1(0) ack %u", AT(6));
	tt_run(&t, RTT / 10);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(6), AT(1), AT(2));
	assert_int_equal(tt_counter(&t, UTCP_CTR_UNDO), 1);
	send_segs(&t, 6, 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(6), AT(7), AT(16));
	tt_none(&t);
	tt_expect_within(&t, RTT / 2, ". %u:%u(%u)", AT(6), AT(7), M);
	tt_end(&t);
}

/* Each round with a DSACK makes the window a quarter longer. */
static void
dsacks_make_the_window_longer(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	send_segs(&t, 1, 3);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(3));
	tt_expect_in(&t, RTT / 4, ". %u:%u(%u)", AT(1), AT(2), M);
	tt_in(&t, ". 1:1(0) ack %u", AT(4));
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(4), AT(1), AT(2));
	assert_int_equal(tt_counter(&t, UTCP_CTR_UNDO), 1);
	send_segs(&t, 4, 3);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(4), AT(5), AT(6));
	tt_expect_in(&t, RTT / 2, ". %u:%u(%u)", AT(4), AT(5), M);
	tt_end(&t);
}

/* A retransmission is lost too: what was sent after it tells. */
static void
a_lost_retransmission_goes_again(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_write(&t, 30 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(9));
	seg_is(&t, 1);
	tt_skip(&t); /* new data */
	tt_run(&t, MSEC);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(11));
	tt_skip(&t);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(12));
	seg_is(&t, 1);
	assert_int_equal(tt_counter(&t, UTCP_CTR_TIMEOUTS), 0);
	assert_int_equal(tt_info(&t).recovery, 3);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", t.s->snd_nxt - t.s->iss);
	assert_int_equal(tt_info(&t).recovery, 0);
	tt_end(&t);
}

/* New data left first, then, in the same instant of the clock, what was lost: the
   first says nothing of the second. */
static void
equal_times_are_no_order(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_write(&t, 40 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(3));
	seg_is(&t, 11);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(4));
	seg_is(&t, 12);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(5));
	seg_is(&t, 1);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(11));
	tt_skip(&t);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(13));
	tt_skip(&t);
	tt_in(&t, ". 1:1(0) ack %u", AT(13));
	assert_int_equal(tt_counter(&t, UTCP_CTR_RETRANS_SEGS), 1);
	assert_int_equal(tt_info(&t).recovery, 0);
	tt_end(&t);
}

/* RFC 5681 section 4.3: then the window is lowered again, when recovery ends; but
   once for all that was sent again in the same round trip. */
static void
lost_retransmissions_lower_the_window_again(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_write(&t, 40 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_run(&t, RTT);
	/* 1 and 2 of 1 to 10 are lost, and so are they when sent again. */
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(3), AT(9));
	seg_is(&t, 1);
	seg_is(&t, 2);
	tt_skip(&t); /* new data */
	assert_int_equal(tt_info(&t).ssthresh_bytes, 5 * M);
	tt_run(&t, MSEC);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(3), AT(11));
	tt_skip(&t);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 5 * M);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(3), AT(12));
	seg_is(&t, 1);
	tt_skip(&t);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 5 * M);
	assert_int_equal(tt_info(&t).recovery, 3);
	/* 1 arrives now, 2 is found to be lost again with it. */
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(2), AT(3), AT(13));
	tt_skip(&t);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 5 * M);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", t.s->snd_nxt - t.s->iss);
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 5 * M / 2);
	assert_int_equal(tt_info(&t).cwnd_bytes, 5 * M / 2);
	assert_int_equal(tt_counter(&t, UTCP_CTR_TIMEOUTS), 0);
	tt_end(&t);
}

/* Of what a timeout sent again: it is no more slow start. */
static void
lost_after_a_timeout_ends_slow_start(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_write(&t, 10 * M);
	assert_int_equal(tt_skip(&t), 10);
	tt_run(&t, 4 * SEC / 10); /* a probe and the timeout */
	while (tt_info(&t).recovery != 4)
		tt_run(&t, 10 * MSEC);
	tt_skip(&t);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(2));
	seg_is(&t, 2);
	seg_is(&t, 3);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 5 * M);
	/* 2 is lost again. */
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(2), AT(3), AT(4));
	seg_is(&t, 2);
	assert_int_equal(tt_info(&t).recovery, 3);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 2 * M);
	tt_run(&t, RTT);
	tt_skip(&t);
	tt_in(&t, ". 1:1(0) ack %u", t.s->snd_nxt - t.s->iss);
	assert_int_equal(tt_info(&t).recovery, 0);
	tt_end(&t);
}

/* ---- tail loss probes (section 7) -------------------------------------- */

static void
a_probe_sends_the_last_again(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	send_segs(&t, 1, 3);
	tt_expect_in(&t, 2 * RTT, ". %u:%u(%u)", AT(3), AT(4), M);
	assert_int_equal(tt_counter(&t, UTCP_CTR_TLP), 1);
	assert_int_equal(tt_info(&t).recovery, 0);
	/* Only the last had been lost: one ACK for all. */
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", AT(4));
	tt_none(&t);
	assert_int_equal(tt_counter(&t, UTCP_CTR_TIMEOUTS), 0);
	tt_end(&t);
}

static void
a_probe_prefers_new_data(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_write(&t, 12 * M);
	assert_int_equal(tt_skip(&t), 10);
	/* beyond the congestion window */
	tt_expect_in(&t, 2 * RTT, ". %u:%u(%u)", AT(11), AT(12), M);
	assert_int_equal(tt_counter(&t, UTCP_CTR_RETRANS_SEGS), 0);
	tt_end(&t);
}

static void
a_single_segment_waits_for_the_delayed_ack(void **state)
{
	uint64_t rto;
	struct tt t;

	(void)state;
	begin(&t);
	rto = tt_info(&t).rto_ns;
	send_segs(&t, 1, 1);
	/* 2 * srtt + 200 ms is beyond the RTO, which it replaces */
	assert_in_range(rto, 2 * RTT, 4 * RTT);
	tt_expect_in(&t, rto, ". %u:%u(%u)", AT(1), AT(2), M);
	assert_int_equal(tt_counter(&t, UTCP_CTR_TLP), 1);
	assert_int_equal(tt_counter(&t, UTCP_CTR_TIMEOUTS), 0);
	/* one only, then the timeout */
	tt_expect_in(&t, rto, ". %u:%u(%u)", AT(1), AT(2), M);
	assert_int_equal(tt_counter(&t, UTCP_CTR_TLP), 1);
	assert_int_equal(tt_counter(&t, UTCP_CTR_TIMEOUTS), 1);
	tt_end(&t);
}

/* The probe's SACK shows the hole: fast recovery instead of a timeout. */
static void
a_probe_brings_recovery_about(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	send_segs(&t, 1, 4);
	tt_expect_in(&t, 2 * RTT, ". %u:%u(%u)", AT(4), AT(5), M);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(4), AT(5));
	seg_is(&t, 1);
	assert_int_equal(tt_info(&t).recovery, 3);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(2), AT(4), AT(5));
	seg_is(&t, 2);
	tt_end(&t);
}

/* Section 7.4.2: whose probe repaired a loss unseen slows down for it. */
static void
a_repaired_loss_is_paid_for(void **state)
{
	static const struct {
		bool dsack;
		uint32_t ssthresh;
	} cases[] = { { false, 2 * M }, { true, UINT32_MAX } };
	unsigned int i;
	struct tt t;

	(void)state;
	for (i = 0; i < 2; i++) {
		begin(&t);
		send_segs(&t, 1, 3);
		tt_expect_in(&t, 2 * RTT, ". %u:%u(%u)", AT(3), AT(4), M);
		tt_run(&t, RTT);
		tt_in(&t, ". 1:1(0) ack %u", AT(4));
		if (cases[i].dsack) /* both arrived */
			tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(4), AT(3),
			      AT(4));
		send_segs(&t, 4, 2);
		tt_run(&t, RTT);
		tt_in(&t, ". 1:1(0) ack %u", AT(6));
		assert_int_equal(tt_info(&t).ssthresh_bytes, cases[i].ssthresh);
		tt_end(&t);
	}
}

/* Off: neither the one nor the other. */
static void
the_option_turns_it_off(void **state)
{
	struct tt t;

	(void)state;
	begin(&t);
	tt_set(t.s, UTCP_OPT_RACK, 0);
	send_segs(&t, 1, 3);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u <sack %u:%u>", AT(1), AT(2), AT(3));
	tt_quiet(&t, 150 * MSEC);
	assert_int_equal(tt_counter(&t, UTCP_CTR_TLP), 0);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_sacked_are_enough),
		cmocka_unit_test(one_sacked_waits_for_the_window),
		cmocka_unit_test(reordering_is_learnt),
		cmocka_unit_test(reordering_is_learnt_from_an_undo),
		cmocka_unit_test(dsacks_make_the_window_longer),
		cmocka_unit_test(a_lost_retransmission_goes_again),
		cmocka_unit_test(equal_times_are_no_order),
		cmocka_unit_test(lost_retransmissions_lower_the_window_again),
		cmocka_unit_test(lost_after_a_timeout_ends_slow_start),
		cmocka_unit_test(a_probe_sends_the_last_again),
		cmocka_unit_test(a_probe_prefers_new_data),
		cmocka_unit_test(a_single_segment_waits_for_the_delayed_ack),
		cmocka_unit_test(a_probe_brings_recovery_about),
		cmocka_unit_test(a_repaired_loss_is_paid_for),
		cmocka_unit_test(the_option_turns_it_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
