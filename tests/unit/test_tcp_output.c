/* SPDX-License-Identifier: BSD-2-Clause */
/* What leaves, and when it does not: tcp_output, tcp_window, tcp_pace. */
#include "tcp_util.h"

#define MSS 1448 /* with timestamps */

static void
set(struct tt *t, int opt, int64_t value)
{
	assert_int_equal(utcp_set(t->s, opt, value), 0);
}

/* An established connection without tail probes, on which n bytes wait. */
static void
begin(struct tt *t, const char *opts)
{
	tt_init(t, 4);
	tt_passive(t, opts);
	set(t, UTCP_OPT_RACK, 0);
}

/* A listener, to be opened by hand. */
static void
listen_to(struct tt *t, int family)
{
	tt_init(t, family);
	tt_listen(t);
	t->p->stack_port = 80;
}

static void
write_flags(struct tt *t, uint32_t len, int flags)
{
	uint8_t buf[8192];
	uint32_t i;

	assert_true(len <= sizeof(buf));
	for (i = 0; i < len; i++)
		buf[i] = tt_byte(t->wrote + i);
	assert_int_equal(utcp_write(t->s, buf, len, flags), len);
	t->wrote += len;
}

/* ---- small segments ------------------------------------------------------- */

static void
nagle_waits_for_the_small_one_before(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, TT_OPTS);
	tt_write(&t, 100);
	tt_expect(&t, "P. 1:101(100) ack 1");
	tt_write(&t, 50);
	tt_write(&t, 50);
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack 101");
	tt_expect(&t, "P. 101:201(100) ack 1");
	tt_end(&t);
}

/* Minshall: full ones in flight do not hold a small one back. */
static void
small_tail_follows_full_segments(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, TT_OPTS);
	tt_write(&t, 2 * MSS + 10);
	tt_expect(&t, ". 1:1449(1448)");
	tt_expect(&t, ". 1449:2897(1448)");
	tt_expect(&t, "P. 2897:2907(10)");
	tt_write(&t, 10);
	tt_none(&t);
	tt_end(&t);
}

static void
nodelay_sends_at_once(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, TT_OPTS);
	set(&t, UTCP_OPT_NODELAY, 1);
	tt_write(&t, 10);
	tt_expect(&t, "P. 1:11(10)");
	tt_write(&t, 10);
	tt_expect(&t, "P. 11:21(10)");
	tt_end(&t);
}

static void
cork_holds_200_ms_at_most(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, TT_OPTS);
	set(&t, UTCP_OPT_CORK, 1);
	tt_write(&t, MSS + 100);
	tt_expect(&t, ". 1:1449(1448)");
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack 1449");
	tt_expect_in(&t, 200 * MSEC, "P. 1449:1549(100)");
	/* The next begins anew. */
	tt_write(&t, 10);
	tt_expect_in(&t, 200 * MSEC, "P. 1549:1559(10)");
	tt_end(&t);
}

static void
cork_taken_off_sends(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, TT_OPTS);
	set(&t, UTCP_OPT_CORK, 1);
	tt_write(&t, 100);
	tt_none(&t);
	set(&t, UTCP_OPT_CORK, 0);
	tt_expect(&t, "P. 1:101(100)");
	tt_end(&t);
}

static void
more_waits_for_the_next_write(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, TT_OPTS);
	write_flags(&t, 100, UTCP_MSG_MORE);
	tt_none(&t);
	write_flags(&t, 100, 0);
	tt_expect(&t, "P. 1:201(200)");
	tt_end(&t);
}

static void
eor_pushes_in_spite_of_cork(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, TT_OPTS);
	set(&t, UTCP_OPT_CORK, 1);
	write_flags(&t, 100, UTCP_MSG_EOR);
	tt_expect(&t, "P. 1:101(100)");
	tt_end(&t);
}

static void
fin_rides_on_the_last_data(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, TT_OPTS);
	tt_write(&t, 100);
	tt_expect(&t, "P. 1:101(100)");
	tt_write(&t, 100); /* held by Nagle, freed by the FIN */
	assert_int_equal(utcp_shutdown(t.s, UTCP_SHUT_WR), 0);
	tt_expect(&t, "FP. 101:201(100)");
	tt_state(&t, UTCP_FIN_WAIT_1);
	tt_in(&t, ". 1:1(0) ack 202");
	tt_state(&t, UTCP_FIN_WAIT_2);
	tt_end(&t);
}

/* ---- windows ------------------------------------------------------------------ */

/* RFC 9293 section 3.8.6.2.1: no silly segment for a silly window. */
static void
window_of_less_than_a_segment_waits(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, "mss 1460");
	tt_write(&t, 1460);
	tt_expect(&t, "P. 1:1461(1460)");
	tt_in(&t, ". 1:1(0) ack 1461 win 1000");
	tt_write(&t, 3000);
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack 1461 win 1500");
	tt_expect(&t, ". 1461:2921(1460)");
	tt_none(&t);
	tt_end(&t);
}

/* In the end it is used: rule 4. */
static void
small_window_is_used_after_the_timeout(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, "mss 1460");
	tt_in(&t, ". 1:1(0) ack 1 win 1000");
	tt_write(&t, 3000);
	tt_expect_within(&t, 2 * SEC, ". 1:1001(1000)");
	tt_in(&t, ". 1:1(0) ack 1001 win 65535");
	tt_expect(&t, ". 1001:2461(1460)");
	tt_expect(&t, "P. 2461:3001(540)");
	tt_end(&t);
}

/* Who never offers two segments gets smaller ones: rule 3. */
static void
tiny_windows_get_half_window_segments(void **state)
{
	struct tt t;

	(void)state;
	listen_to(&t, 4);
	t.p->win = 1000;
	tt_in(&t, "S 0:0(0) win 1000 <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1 win 1000");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_write(&t, 2000);
	tt_expect(&t, ". 1:501(500)");
	tt_expect(&t, ". 501:1001(500)");
	tt_none(&t);
	tt_end(&t);
}

static void
fin_waits_for_window(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, "mss 1460");
	tt_in(&t, ". 1:1(0) ack 1 win 100");
	tt_write(&t, 100);
	assert_int_equal(utcp_shutdown(t.s, UTCP_SHUT_WR), 0);
	tt_expect(&t, "P. 1:101(100)");
	tt_none(&t);
	tt_in(&t, ". 1:1(0) ack 101 win 100");
	tt_expect(&t, "F. 101:101(0)");
	tt_end(&t);
}

/* RFC 9293 section 3.8.6.1, and minutes of it. */
static void
zero_window_is_probed_for_minutes(void **state)
{
	uint64_t last = 0;
	unsigned int i;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	begin(&t, "mss 1460");
	tt_in(&t, ". 1:1(0) ack 1 win 0");
	tt_write(&t, 3000);
	tt_none(&t);
	for (i = 0; i < 40; i++) {
		tt_expect_within(&t, 121 * SEC, ". 0:0(0) ack 1");
		/* Longer each time, to a limit (SHLD-30). */
		if (i > 1 && i < 7)
			assert_true(t.now_ns - last > SEC / 4);
		last = t.now_ns;
		tt_in(&t, ". 1:1(0) ack 1 win 0");
		seg = tt_next(&t);
		assert_null(seg);
	}
	assert_true(t.now_ns - t.begin_ns > 1800 * SEC);
	tt_state(&t, UTCP_ESTABLISHED);
	tt_in(&t, ". 1:1(0) ack 1 win 65535");
	tt_expect(&t, ". 1:1461(1460)");
	tt_expect(&t, ". 1461:2921(1460)");
	tt_expect(&t, "P. 2921:3001(80)");
	assert_int_equal(tt_counter(&t, UTCP_CTR_PROBES), 40);
	tt_end(&t);
}

static void
unanswered_probes_end_it(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, "mss 1460");
	set(&t, UTCP_OPT_RETRIES, 3);
	tt_in(&t, ". 1:1(0) ack 1 win 0");
	tt_write(&t, 10);
	tt_expect_within(&t, 4 * SEC, ". 0:0(0)");
	tt_expect_within(&t, 8 * SEC, ". 0:0(0)");
	tt_expect_within(&t, 16 * SEC, ". 0:0(0)");
	tt_quiet(&t, 60 * SEC);
	tt_read_is(&t, -ETIMEDOUT);
	tt_end(&t);
}

/* The window was taken back below what is in flight. */
static void
shrunk_window_still_retransmits(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, "mss 1460");
	tt_write(&t, 2920);
	tt_expect(&t, ". 1:1461(1460)");
	tt_expect(&t, "P. 1461:2921(1460)");
	tt_in(&t, ". 1:1(0) ack 1 win 0");
	tt_expect_within(&t, 4 * SEC, ". 1:1461(1460)");
	tt_in(&t, ". 1:1(0) ack 2921 win 65535");
	tt_none(&t);
	tt_end(&t);
}

/* F-RTO waits for new data to be acknowledged, but not if none can be sent: what
   is left of the window is less than a segment. */
static void
frto_does_not_wait_for_what_cannot_leave(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, "mss 1460");
	tt_in(&t, ". 1:1(0) ack 1 win 4480");
	tt_write(&t, 5 * 1460);
	tt_expect(&t, ". 1:1461(1460)");
	tt_expect(&t, ". 1461:2921(1460)");
	tt_expect(&t, ". 2921:4381(1460)");
	tt_expect_within(&t, 4 * SEC, ". 1:1461(1460)");
	tt_in(&t, ". 1:1(0) ack 1461 win 3020");
	tt_expect(&t, ". 1461:2921(1460)");
	tt_end(&t);
}

/* Reading a lot at once opens a closed window by a segment of its own. */
static void
window_update_after_read(void **state)
{
	uint8_t buf[4096];
	uint32_t win, pos = 1;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	assert_int_equal(utcp_set(t.listener, UTCP_OPT_RCVBUF, 8192), 0);
	tt_passive(&t, "mss 1460");
	set(&t, UTCP_OPT_QUICKACK, 1);
	do {
		tt_in(&t, "P. %u(512) ack 1", pos);
		pos += 512;
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_int_equal(seg->ack, pos);
		win = seg->win;
	} while (win >= 512 && pos < 20000);
	tt_none(&t);
	while (utcp_read(t.s, buf, sizeof(buf), 0) > 0)
		;
	seg = tt_next(&t);
	assert_non_null(seg);
	assert_int_equal(seg->ack, pos);
	assert_true(seg->win >= 4096);
	tt_end(&t);
}

/* The right edge never goes back (RFC 9293 section 3.8.6.2.1), but for what the
   scale cannot express (RFC 7323 section 2.4). */
static void
right_edge_never_shrinks(void **state)
{
	uint32_t edge = 0, pos = 1, i;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	set(&t, UTCP_OPT_QUICKACK, 1);
	for (i = 0; i < 300; i++) {
		uint32_t n = 1 + i * 37 % 700,
			 unit = 1u << tt_info(&t).rcv_wscale;

		tt_in(&t, "P. %u(%u) ack 1", pos, n);
		pos += n;
		seg = tt_next(&t);
		if (!seg)
			continue;
		assert_false(seq_lt(seg->ack + seg->win * unit + unit, edge));
		edge = seg->ack + seg->win * unit;
	}
	tt_end(&t);
}

/* Who never reads is sent no more than the buffer takes, in segments smaller
   than what the scale can express as well. */
static void
tiny_segments_close_the_window(void **state)
{
	uint32_t pos = 1, buf;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_passive(&t, TT_OPTS);
	set(&t, UTCP_OPT_QUICKACK, 1);
	assert_true(tt_info(&t).rcv_wscale > 5);
	buf = t.s->rcvbuf;
	for (;;) {
		tt_in(&t, "P. %u(97) ack 1", pos);
		seg = tt_next(&t);
		assert_non_null(seg);
		if (seg->ack != pos + 97)
			break; /* not taken, or not all of it */
		pos += 97;
		assert_true(pos < buf + 1000);
	}
	assert_true(pos > buf - 1000);
	tt_end(&t);
}

static void
window_clamp_holds(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	assert_int_equal(utcp_set(t.listener, UTCP_OPT_WINDOW_CLAMP, 4000), 0);
	tt_passive(&t, "mss 1460");
	set(&t, UTCP_OPT_QUICKACK, 1);
	tt_in(&t, "P. 1:101(100) ack 1");
	assert_true(tt_next(&t)->win <= 4000);
	tt_end(&t);
}

/* ---- GSO, pacing ------------------------------------------------------------------ */

static void
begin_gso(struct tt *t, utcp_config_t *cfg)
{
	memset(cfg, 0, sizeof(*cfg));
	cfg->offloads = UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_TCP;
	tt_init_config(t, 4, cfg);
	tt_passive(t, TT_OPTS);
	set(t, UTCP_OPT_RACK, 0);
}

static void
gso_sends_the_window_as_one(void **state)
{
	utcp_config_t cfg;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	begin_gso(&t, &cfg);
	tt_write(&t, 5 * MSS + 7);
	seg = tt_next(&t);
	assert_non_null(seg);
	assert_int_equal(seg->len, 5 * MSS + 7);
	assert_int_equal(seg->gso_size, MSS);
	assert_true(seg->flags & TH_PSH);
	/* A retransmission after a timeout is what cwnd allows: one. */
	tt_expect_within(&t, 4 * SEC, ". 1:1449(1448)");
	tt_end(&t);
}

static void
gso_keeps_to_its_maximum(void **state)
{
	uint32_t total = 0;
	utcp_config_t cfg = {
		.offloads = UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_TCP,
		.gso_max_bytes = 5000,
	};
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	tt_init_config(&t, 4, &cfg);
	tt_passive(&t, TT_OPTS);
	tt_write(&t, 8 * MSS);
	while ((seg = tt_next(&t))) {
		assert_true(seg->len + 52 <= 5000);
		assert_int_equal(seg->len % MSS, 0);
		total += seg->len;
	}
	assert_int_equal(total, 8 * MSS);
	tt_end(&t);
}

/* Few buffers: smaller packets, not none. */
static void
gso_fits_into_what_there_is(void **state)
{
	uint8_t bytes[2][2048];
	utcp_pkt_t pkts[2];
	utcp_config_t cfg;
	uint32_t seen = 0;
	struct tt t;

	(void)state;
	begin_gso(&t, &cfg);
	tt_write(&t, 10 * MSS);
	for (;;) {
		memset(pkts, 0, sizeof(pkts));
		pkts[0].data = bytes[0];
		pkts[1].data = bytes[1];
		pkts[0].len = pkts[1].len = 2048;
		if (utcp_output(t.u, pkts, 2) == 0)
			break;
		seen += pkts[0].len + pkts[1].len - 52;
	}
	assert_int_equal(seen, 10 * MSS);
	tt_end(&t);
}

static void
rate_is_kept_after_the_first_ten(void **state)
{
	uint64_t begin_ns;
	uint32_t sent = 0;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	begin(&t, TT_OPTS);
	set(&t, UTCP_OPT_MAX_PACING_RATE, 1000000);
	set(&t, UTCP_OPT_SNDBUF, 1 << 20);
	tt_write(&t, 60 * MSS);
	begin_ns = t.now_ns;
	while (sent < 60 * MSS && t.now_ns < begin_ns + SEC) {
		tt_run(&t, MSEC / 4);
		while ((seg = tt_next(&t))) {
			sent += seg->len;
			tt_in(&t, ". 1:1(0) ack %u", sent + 1);
		}
	}
	assert_int_equal(sent, 60 * MSS);
	/* 50 segments at 1 MB/s take 72 ms. */
	assert_true(t.now_ns - begin_ns > 68 * MSEC);
	assert_true(t.now_ns - begin_ns < 80 * MSEC);
	tt_end(&t);
}

/* ---- flags and options ---------------------------------------------------------------- */

static void
ect_on_new_data_only(void **state)
{
	struct tt t;

	(void)state;
	listen_to(&t, 4);
	tt_in(&t, "SEW 0:0(0) <%s>", TT_OPTS);
	tt_expect(&t, "[noecn] SE. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	set(&t, UTCP_OPT_RACK, 0);
	tt_write(&t, 100);
	tt_expect(&t, "[ect0] P. 1:101(100)");
	tt_expect_within(&t, 4 * SEC, "[noecn] P. 1:101(100)");
	tt_in(&t, "P. 1:101(100) ack 101");
	tt_expect_within(&t, SEC, "[noecn] . 101:101(0) ack 101");
	tt_end(&t);
}

/* RFC 3168 section 6.1.6 */
static void
no_ect_on_window_probes(void **state)
{
	struct tt t;

	(void)state;
	listen_to(&t, 4);
	tt_in(&t, "SEW 0:0(0) <mss 1460>");
	tt_expect(&t, "SE. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1 win 600");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_write(&t, 1000);
	tt_expect_within(&t, 4 * SEC, "[noecn] . 1:601(600)");
	tt_in(&t, ". 1:1(0) ack 601 win 600");
	tt_expect(&t, "[ect0] P. 601:1001(400)");
	tt_end(&t);
}

static void
cwr_goes_with_the_next_new_data(void **state)
{
	struct tt t;

	(void)state;
	listen_to(&t, 4);
	tt_in(&t, "SEW 0:0(0) <%s>", TT_OPTS);
	tt_expect(&t, "SE. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_write(&t, 2 * MSS);
	tt_expect(&t, ". 1:1449(1448)");
	tt_expect(&t, "P. 1449:2897(1448)");
	tt_in(&t, "E. 1:1(0) ack 2897");
	tt_write(&t, 100);
	tt_expect(&t, "WP. 2897:2997(100)");
	tt_in(&t, ". 1:1(0) ack 2997");
	tt_write(&t, 100);
	tt_expect(&t, "P. 2997:3097(100)");
	tt_end(&t);
}

static void
ece_until_cwr(void **state)
{
	struct tt t;

	(void)state;
	listen_to(&t, 4);
	tt_in(&t, "SEW 0:0(0) <%s>", TT_OPTS);
	tt_expect(&t, "SE. 0:0(0) ack 1");
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	set(&t, UTCP_OPT_QUICKACK, 1);
	tt_in(&t, "[ce] P. 1:101(100) ack 1");
	tt_expect(&t, "E. 1:1(0) ack 101");
	tt_in(&t, "[ect0] P. 101:201(100) ack 1");
	tt_expect(&t, "E. 1:1(0) ack 201");
	tt_in(&t, "[ect0] WP. 201:301(100) ack 1");
	tt_expect(&t, ". 1:1(0) ack 301");
	tt_end(&t);
}

/* An ECN-setup SYN that got no answer is repeated without. */
static void
ecn_syn_falls_back(void **state)
{
	utcp_addr_t a = { .addr = { 10, 0, 0, 2 }, .family = 4 };
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_open(&t);
	set(&t, UTCP_OPT_ECN, 2);
	t.p->port = 80;
	put16(&a.port_be, 80);
	assert_int_equal(utcp_connect(t.s, &a), -EINPROGRESS);
	tt_expect(&t, "SEW 0:0(0)");
	tt_expect_in(&t, SEC, "S 0:0(0)");
	tt_in(&t, "SE. 0:0(0) ack 1 <%s>", TT_OPTS);
	tt_expect(&t, ". 1:1(0) ack 1");
	assert_int_equal(tt_info(&t).negotiated & UTCP_GOT_ECN, 0);
	tt_end(&t);
}

static void
sack_blocks_ride_on_data(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, TT_OPTS);
	tt_in(&t, "P. 101:201(100) ack 1");
	tt_expect(&t, ". 1:1(0) ack 1 <nop,nop,TS val * ecr *,nop,nop,"
		      "sack 101:201>");
	tt_write(&t, 4 * MSS);
	/* 12 bytes of it are taken by the blocks. */
	tt_expect(&t, ". 1:1437(1436) ack 1");
	tt_end(&t);
}

static void
mss_option_and_segments_follow_the_smaller(void **state)
{
	static const struct {
		int family;
		int64_t maxseg;
		const char *syn;
		uint32_t mss_said, mss_used;
	} cases[] = {
		{ 4, 0, "mss 1460", 1460, 1460 },
		{ 6, 0, "mss 1440", 1440, 1440 },
		{ 4, 1000, "mss 1460", 1000, 1000 },
		{ 4, 0, "mss 700", 1460, 700 },
		{ 4, 0, "nop", 1460, 536 }, /* RFC 9293 section 3.7.1 */
		{ 6, 0, "nop", 1440, 1220 },
		{ 4, 0, "mss 1", 1460, 48 },
	};
	unsigned int i;
	struct tt_seg *seg;
	struct tt t;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		listen_to(&t, cases[i].family);
		assert_int_equal(
		    utcp_set(t.listener, UTCP_OPT_MAXSEG, cases[i].maxseg), 0);
		tt_in(&t, "S 0:0(0) <%s>", cases[i].syn);
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_int_equal(seg->mss_is, cases[i].mss_said);
		tt_in(&t, ". 1:1(0) ack 1");
		assert_int_equal(utcp_accept(t.listener, &t.s), 0);
		tt_write(&t, 4000);
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_int_equal(seg->len, cases[i].mss_used);
		tt_end(&t);
	}
}

/* utcp_info: busy, of that for want of window, of send buffer. */
static void
what_held_it_up_is_told(void **state)
{
	utcp_info_t i;
	struct tt t;

	(void)state;
	begin(&t, "mss 1460");
	tt_run(&t, 500 * MSEC); /* idle: counts as nothing */
	tt_in(&t, ". 1:1(0) ack 1 win 0");
	tt_write(&t, 3000);
	tt_run(&t, 300 * MSEC);
	tt_skip(&t);
	tt_in(&t, ". 1:1(0) ack 1 win 65535");
	tt_run(&t, 100 * MSEC);
	assert_int_equal(tt_skip(&t), 3);
	i = tt_info(&t);
	assert_in_range(i.rwnd_limited_ns, 299 * MSEC, 301 * MSEC);
	assert_in_range(i.busy_ns, 399 * MSEC, 401 * MSEC);
	assert_int_equal(i.sndbuf_limited_ns, 0);
	tt_in(&t, ". 1:1(0) ack 3001");
	tt_run(&t, 500 * MSEC); /* idle again */
	assert_int_equal(tt_skip(&t), 0);
	i = tt_info(&t);
	assert_in_range(i.busy_ns, 399 * MSEC, 401 * MSEC);
	tt_end(&t);
}

/* Little room at a time: nothing is lost, nothing comes twice. */
static void
one_buffer_at_a_time(void **state)
{
	uint8_t bytes[2048];
	utcp_pkt_t pkt;
	uint32_t seen = 0;
	struct tt t;

	(void)state;
	begin(&t, TT_OPTS);
	tt_write(&t, 6 * MSS);
	for (;;) {
		memset(&pkt, 0, sizeof(pkt));
		pkt.data = bytes;
		pkt.len = sizeof(bytes);
		if (utcp_output(t.u, &pkt, 1) == 0)
			break;
		assert_int_equal(pkt.len, 52 + MSS);
		assert_int_equal(bytes[52], tt_byte(seen));
		seen += pkt.len - 52;
	}
	assert_int_equal(seen, 6 * MSS);
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nagle_waits_for_the_small_one_before),
		cmocka_unit_test(small_tail_follows_full_segments),
		cmocka_unit_test(nodelay_sends_at_once),
		cmocka_unit_test(cork_holds_200_ms_at_most),
		cmocka_unit_test(cork_taken_off_sends),
		cmocka_unit_test(more_waits_for_the_next_write),
		cmocka_unit_test(eor_pushes_in_spite_of_cork),
		cmocka_unit_test(fin_rides_on_the_last_data),
		cmocka_unit_test(window_of_less_than_a_segment_waits),
		cmocka_unit_test(small_window_is_used_after_the_timeout),
		cmocka_unit_test(tiny_windows_get_half_window_segments),
		cmocka_unit_test(fin_waits_for_window),
		cmocka_unit_test(zero_window_is_probed_for_minutes),
		cmocka_unit_test(unanswered_probes_end_it),
		cmocka_unit_test(shrunk_window_still_retransmits),
		cmocka_unit_test(frto_does_not_wait_for_what_cannot_leave),
		cmocka_unit_test(window_update_after_read),
		cmocka_unit_test(right_edge_never_shrinks),
		cmocka_unit_test(tiny_segments_close_the_window),
		cmocka_unit_test(window_clamp_holds),
		cmocka_unit_test(gso_sends_the_window_as_one),
		cmocka_unit_test(gso_keeps_to_its_maximum),
		cmocka_unit_test(gso_fits_into_what_there_is),
		cmocka_unit_test(rate_is_kept_after_the_first_ten),
		cmocka_unit_test(ect_on_new_data_only),
		cmocka_unit_test(no_ect_on_window_probes),
		cmocka_unit_test(cwr_goes_with_the_next_new_data),
		cmocka_unit_test(ece_until_cwr),
		cmocka_unit_test(ecn_syn_falls_back),
		cmocka_unit_test(sack_blocks_ride_on_data),
		cmocka_unit_test(mss_option_and_segments_follow_the_smaller),
		cmocka_unit_test(what_held_it_up_is_told),
		cmocka_unit_test(one_buffer_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
