/* SPDX-License-Identifier: BSD-2-Clause */
/* Congestion control: the registry and what hooks are told (cc.c), and the
   formulas of those that ship, each by itself. */
#include "cc.h"
#include "tcp_util.h"

#define M 1000u
#define RTT (100 * MSEC)

/* ---- a control of our own ---------------------------------------------- */

static struct {
	unsigned int inits, releases, acks, asked, undos, events[8], sents;
	enum utcp_cc_event why;
	utcp_ack_t ack;
	utcp_cc_t cc;
	uint64_t random;
	int fails;
	const char *quit; /* in this hook it asks for CUBIC */
	utcp_sock_t *other;
} seen;

struct own {
	uint64_t zero, mark;
};

static void
quit(utcp_cc_t *cc, const char *hook)
{
	if (!seen.quit || strcmp(seen.quit, hook) != 0)
		return;
	if (seen.other)
		assert_int_equal(utcp_set_cc(seen.other, "cubic"), -EBUSY);
	assert_int_equal(utcp_set_cc(cc->sock, "cubic"), 0);
	assert_int_equal(utcp_set_cc(cc->sock, "none such"), -ENOENT);
	/* not before it returns */
	assert_ptr_equal(utcp_stack(cc->sock)->cc_in, cc->sock);
}

static int
own_init(utcp_cc_t *cc)
{
	struct own *o = cc->priv;

	quit(cc, "init");
	seen.inits++;
	assert_int_equal(o->zero, 0);
	assert_int_equal(o->mark, 0);
	o->mark = 42;
	return seen.fails;
}

static void
own_release(utcp_cc_t *cc)
{
	struct own *o = cc->priv;

	assert_int_equal(o->mark, 42);
	quit(cc, "release");
	seen.releases++;
}

static void
own_ack(utcp_cc_t *cc, const utcp_ack_t *ack)
{
	assert_int_equal(((struct own *)cc->priv)->mark, 42);
	quit(cc, "ack");
	assert_true(cc->random != seen.random);
	seen.random = cc->random;
	seen.acks++;
	seen.ack = *ack;
	seen.cc = *cc;
	cc->cwnd += ack->acked;
}

static uint32_t
own_ssthresh(utcp_cc_t *cc, enum utcp_cc_event why)
{
	quit(cc, "ssthresh");
	seen.asked++;
	seen.why = why;
	return cc->cwnd / 4;
}

static uint32_t
own_undo(utcp_cc_t *cc)
{
	quit(cc, "undo");
	seen.undos++;
	return 77 * cc->mss;
}

static void
own_event(utcp_cc_t *cc, enum utcp_cc_event event)
{
	assert_non_null(cc->sock);
	quit(cc, "event");
	seen.events[event]++;
}

static void
own_sent(utcp_cc_t *cc, uint32_t bytes)
{
	assert_true(cc->inflight >= bytes);
	quit(cc, "sent");
	seen.sents += bytes;
}

static const utcp_cc_ops_t own = {
	.size = sizeof(utcp_cc_ops_t),
	.name = "own",
	.priv_bytes = sizeof(struct own),
	.init = own_init,
	.release = own_release,
	.ack = own_ack,
	.ssthresh = own_ssthresh,
	.undo = own_undo,
	.event = own_event,
	.sent = own_sent,
};

static void
begin(struct tt *t, const char *cc)
{
	memset(&seen, 0, sizeof(seen));
	tt_init(t, 4);
	assert_int_equal(utcp_cc_register(t->u, &own), 0);
	tt_listen(t);
	assert_int_equal(utcp_set_cc(t->listener, cc), 0);
	tt_passive(t, "mss 1000,sackOK,nop,wscale 7");
	t->s->srtt_ns = t->s->rttvar_ns = t->s->min_rtt_ns = 0;
	assert_int_equal(utcp_set(t->s, UTCP_OPT_PMTUD, 0), 0);
}

static void
the_incomplete_is_refused(void **state)
{
	utcp_cc_ops_t ops;
	unsigned int i;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	assert_int_equal(utcp_cc_register(NULL, &own), -EINVAL);
	assert_int_equal(utcp_cc_register(t.u, NULL), -EINVAL);
	for (i = 0; i < 9; i++) {
		ops = own;
		switch (i) {
		case 0:
			ops.size = sizeof(ops) - 1;
			break;
		case 1:
			ops.name = NULL;
			break;
		case 2:
			ops.name = "";
			break;
		case 3:
			ops.name = "sixteen letters!";
			break;
		case 4:
			ops.priv_bytes = 1025;
			break;
		case 5:
			ops.init = NULL;
			break;
		case 6:
			ops.ack = NULL;
			break;
		case 7:
			ops.ssthresh = NULL;
			break;
		default:
			ops.flags = 0x80;
			break;
		}
		assert_int_equal(utcp_cc_register(t.u, &ops), -EINVAL);
	}
	/* Who keeps its own recovery needs no ssthresh. */
	ops = own;
	ops.ssthresh = NULL;
	ops.flags = UTCP_CC_OWN_RECOVERY;
	assert_int_equal(utcp_cc_register(t.u, &ops), 0);
	assert_int_equal(utcp_cc_register(t.u, &own), -EEXIST);
	assert_string_equal(utcp_cc_name(t.u, 0), "newreno");
	assert_string_equal(utcp_cc_name(t.u, 1), "cubic");
	assert_string_equal(utcp_cc_name(t.u, 2), "bbr");
	assert_string_equal(utcp_cc_name(t.u, 3), "prague");
	assert_string_equal(utcp_cc_name(t.u, 4), "own");
	assert_null(utcp_cc_name(t.u, 5));
	assert_null(utcp_cc_name(NULL, 0));
	tt_end(&t);
}

static void
sockets_open_with_the_default(void **state)
{
	utcp_sock_t *before, *one, *two;
	struct tt t;

	(void)state;
	begin(&t, "newreno");
	assert_int_equal(utcp_open(t.u, 4, &before), 0);
	assert_int_equal(utcp_cc_default(NULL, "own"), -EINVAL);
	assert_int_equal(utcp_cc_default(t.u, NULL), -EINVAL);
	assert_int_equal(utcp_cc_default(t.u, "none such"), -ENOENT);
	assert_int_equal(utcp_cc_default(t.u, "own"), 0);
	assert_int_equal(utcp_cc_default(t.u, "own"), 0);
	assert_int_equal(utcp_open(t.u, 4, &one), 0);
	assert_int_equal(utcp_open(t.u, 4, &two), 0);
	assert_string_equal(utcp_cc(before), "cubic");
	assert_string_equal(utcp_cc(t.listener), "newreno");
	assert_string_equal(utcp_cc(t.s), "newreno");
	assert_string_equal(utcp_cc(one), "own");
	/* A default costs a socket nothing. */
	assert_ptr_equal(one->opts, two->opts);
	utcp_close(one);
	utcp_close(two);
	/* What a control brings along comes with it. */
	assert_int_equal(utcp_cc_default(t.u, "prague"), 0);
	assert_int_equal(utcp_open(t.u, 4, &one), 0);
	assert_string_equal(utcp_cc(one), "prague");
	assert_int_equal(utcp_ext_remove(one, "accecn"), 0);
	utcp_close(one);
	utcp_close(before);
	tt_end(&t);
}

static void
names_are_chosen(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, "own");
	assert_string_equal(utcp_cc(t.s), "own");
	assert_string_equal(utcp_cc(t.listener), "own");
	assert_null(utcp_cc(NULL));
	assert_int_equal(utcp_set_cc(t.s, "none such"), -ENOENT);
	assert_int_equal(utcp_set_cc(t.s, NULL), -EINVAL);
	assert_int_equal(utcp_set_cc(NULL, "own"), -EINVAL);
	assert_string_equal(utcp_cc(t.s), "own");
	assert_int_equal(seen.inits, 1);
	/* another takes over, and back */
	assert_int_equal(utcp_set_cc(t.s, "bbr"), 0);
	assert_int_equal(seen.releases, 1);
	assert_string_equal(tt_info(&t).cc, "bbr");
	assert_string_equal(utcp_cc(t.listener), "own");
	assert_int_equal(utcp_set_cc(t.s, "own"), 0);
	assert_int_equal(seen.inits, 2);
	assert_int_equal(utcp_set_cc(t.s, "own"), 0);
	assert_int_equal(seen.inits, 2);
	tt_end(&t);
	assert_int_equal(seen.releases, 2);
}

static void
who_does_not_start_is_replaced(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, "newreno");
	seen.fails = -EPERM;
	assert_int_equal(utcp_set_cc(t.s, "own"), 0);
	assert_int_equal(seen.inits, 1);
	assert_int_equal(seen.releases, 0);
	assert_string_equal(tt_info(&t).cc, "newreno");
	tt_write(&t, 100);
	tt_expect(&t, ". 1:101(100)");
	tt_end(&t);
}

/* From whatever hook: it runs to its end, then CUBIC is there. */
static void
a_hook_can_ask_for_another(void **state)
{
	static const char *const hooks[] = { "init", "ack",   "ssthresh",
					     "undo", "event", "sent" };
	struct tt t;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		begin(&t, "newreno");
		seen.quit = hooks[i];
		seen.other = t.listener;
		assert_int_equal(utcp_set_cc(t.s, "own"), 0);
		tt_write(&t, 10 * M);
		tt_skip(&t);
		tt_run(&t, RTT / 10);
		tt_in(&t, ". 1:1(0) ack 1 <sack %u:%u>", 1 + M, 1 + 5 * M);
		tt_run(&t, RTT / 10);
		tt_in(&t, ". 1:1(0) ack %u", 1 + 10 * M);
		/* it came twice: recovery was for nothing */
		tt_in(&t, ". 1:1(0) ack %u <sack 1:%u>", 1 + 10 * M, 1 + M);
		assert_string_equal(tt_info(&t).cc, "cubic");
		assert_int_equal(seen.inits, 1);
		assert_int_equal(seen.releases, 1);
		assert_null(t.u->cc_in);
		assert_null(t.u->cc_next);
		assert_in_range(tt_info(&t).cwnd_bytes, M, 80 * M);
		tt_end(&t);
	}
	/* too late */
	begin(&t, "own");
	seen.quit = "release";
	assert_int_equal(utcp_set_cc(t.s, "newreno"), 0);
	assert_string_equal(tt_info(&t).cc, "newreno");
	assert_null(t.u->cc_next);
	tt_end(&t);
}

static void
hooks_see_what_is(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, "own");
	tt_write(&t, 20 * M);
	assert_int_equal(tt_skip(&t), 10);
	assert_int_equal(seen.sents, 10 * M);
	tt_run(&t, RTT);
	tt_in(&t, ". 1:1(0) ack %u", 1 + 2 * M);
	assert_int_equal(seen.acks, 1);
	assert_int_equal(seen.ack.acked, 2 * M);
	assert_int_equal(seen.ack.delivered, 2 * M);
	assert_int_equal(seen.ack.lost, 0);
	assert_int_equal(seen.ack.prior_inflight, 10 * M);
	assert_int_equal(seen.ack.rtt_ns, RTT);
	assert_int_equal(seen.ack.rate_delivered, 2 * M);
	assert_int_equal(seen.ack.interval_ns, RTT);
	assert_int_equal(seen.ack.tx_inflight, 2 * M);
	assert_int_equal(seen.cc.mss, M);
	assert_int_equal(seen.cc.now_ns, t.u->now_ns);
	assert_int_equal(seen.cc.srtt_ns, RTT);
	assert_int_equal(seen.cc.min_rtt_ns, RTT);
	assert_int_equal(seen.cc.latest_rtt_ns, RTT);
	assert_int_equal(seen.cc.delivered, 2 * M);
	assert_int_equal(seen.cc.inflight, 8 * M);
	assert_int_equal(seen.cc.initcwnd, 10 * M);
	assert_int_equal(seen.cc.recovery, 0);
	assert_true(seen.cc.cwnd_limited);
	assert_ptr_equal(seen.cc.sock, t.s);
	assert_int_equal(tt_info(&t).cwnd_bytes, 12 * M);
	tt_end(&t);
}

static void
hooks_are_asked_in_recovery(void **state)
{
	struct tt t;

	(void)state;
	begin(&t, "own");
	tt_write(&t, 10 * M);
	tt_skip(&t);
	tt_run(&t, RTT / 10);
	tt_in(&t, ". 1:1(0) ack 1 <sack %u:%u>", 1 + M, 1 + 5 * M);
	assert_int_equal(seen.asked, 1);
	assert_int_equal(seen.why, UTCP_CC_LOSS);
	assert_int_equal(seen.events[UTCP_CC_LOSS], 1);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 10 * M / 4);
	assert_int_equal(seen.ack.lost, M);
	tt_run(&t, RTT / 10);
	tt_in(&t, ". 1:1(0) ack %u", 1 + 10 * M);
	assert_int_equal(seen.events[UTCP_CC_RECOVERED], 1);
	/* the retransmission came twice */
	tt_in(&t, ". 1:1(0) ack %u <sack 1:%u>", 1 + 10 * M, 1 + M);
	assert_int_equal(seen.undos, 1);
	assert_int_equal(seen.events[UTCP_CC_UNDO], 1);
	assert_int_equal(tt_info(&t).cwnd_bytes, 77 * M);
	/* a timeout, and a rest */
	assert_int_equal(utcp_set(t.s, UTCP_OPT_RACK, 0), 0);
	tt_write(&t, M);
	tt_run(&t, 400 * MSEC);
	assert_int_equal(seen.events[UTCP_CC_TIMEOUT], 1);
	assert_int_equal(seen.why, UTCP_CC_TIMEOUT);
	tt_in(&t, ". 1:1(0) ack %u", 1 + 11 * M);
	tt_run(&t, 10 * SEC);
	tt_write(&t, M);
	tt_skip(&t);
	assert_int_equal(seen.events[UTCP_CC_IDLE], 1);
	tt_end(&t);
}

/* ---- the formulas ------------------------------------------------------ */

/* A control without a stack. */
struct bench {
	utcp_cc_t cc;
	const utcp_cc_ops_t *ops;
	uint64_t priv[160];
	struct utcp_sock_s sock;
	struct utcp_s u;
};

static void
bench_init(struct bench *b, const utcp_cc_ops_t *ops, uint32_t segs)
{
	memset(b, 0, sizeof(*b));
	b->ops = ops;
	assert_true(ops->priv_bytes <= sizeof(b->priv));
	b->sock.u = &b->u;
	b->sock.busy = &b->u.rest;
	link_init(&b->u.rest.lost);
	b->cc = (utcp_cc_t){
		.cwnd = segs * M,
		.ssthresh = UINT32_MAX,
		.mss = M,
		.now_ns = 100 * SEC,
		.srtt_ns = RTT,
		.min_rtt_ns = RTT,
		.initcwnd = 10 * M,
		.cwnd_limited = 1,
		.random = 12345,
		.sock = &b->sock,
		.priv = b->priv,
		.snd_nxt = segs * M,
	};
	assert_int_equal(ops->init(&b->cc), 0);
}

/* A round trip: the window is acknowledged, in ACKs of two segments. */
static void
bench_round(struct bench *b, uint64_t rtt)
{
	uint32_t left = b->cc.cwnd, n, in_flight = left;
	utcp_ack_t ack = { 0 };
	uint64_t step = rtt * 2 * M / left;

	while (left >= 2 * M) {
		n = 2 * M;
		b->cc.now_ns += step;
		b->cc.snd_una += n;
		b->cc.snd_nxt = b->cc.snd_una + b->cc.cwnd;
		ack.prior_delivered = b->cc.delivered;
		b->cc.delivered += n;
		b->cc.inflight = in_flight;
		ack.acked = ack.delivered = n;
		ack.prior_inflight = in_flight;
		ack.rtt_ns = rtt;
		b->ops->ack(&b->cc, &ack);
		left -= n;
	}
}

static uint32_t
segs(const struct bench *b)
{
	return (b->cc.cwnd + M / 2) / M;
}

static void
lose(struct bench *b)
{
	b->cc.snd_nxt = b->cc.snd_una + b->cc.cwnd;
	b->cc.ssthresh = b->ops->ssthresh(&b->cc, UTCP_CC_LOSS);
	b->cc.cwnd = b->cc.ssthresh;
}

static void
newreno_adds_and_halves(void **state)
{
	struct bench b;
	unsigned int i;

	(void)state;
	bench_init(&b, &utcp__cc_newreno, 10);
	bench_round(&b, RTT);
	assert_int_equal(segs(&b), 20);
	b.cc.ssthresh = b.cc.cwnd;
	for (i = 0; i < 10; i++)
		bench_round(&b, RTT);
	assert_in_range(segs(&b), 29, 30);
	b.cc.cwnd = 40 * M;
	lose(&b);
	assert_int_equal(b.cc.ssthresh, 20 * M);
	b.cc.cwnd = M;
	lose(&b);
	assert_int_equal(b.cc.ssthresh, 2 * M);
	/* Without memory for its state it goes on. */
	b.cc.priv = NULL;
	b.cc.cwnd = b.cc.ssthresh = 20 * M;
	for (i = 0; i < 10; i++)
		bench_round(&b, RTT);
	assert_in_range(segs(&b), 28, 30);
}

/* RFC 9438 sections 4.2, 4.6: the cube, its plateau after K seconds. */
static void
cubic_is_a_cube(void **state)
{
	struct bench b;
	uint64_t begin;
	double k, t, want;

	(void)state;
	bench_init(&b, &utcp__cc_cubic, 1000);
	lose(&b);
	assert_in_range(b.cc.ssthresh, 699 * M, 701 * M);
	begin = b.cc.now_ns;
	k = 9.0856; /* (1000 * 0.3 / 0.4) ** (1 / 3) */
	while (b.cc.now_ns < begin + 14 * SEC) {
		bench_round(&b, RTT);
		/* t counts from the first ACK; the target is a round ahead */
		t = (double)(b.cc.now_ns - begin) * 1e-9;
		want = 1000 + 0.4 * (t - k) * (t - k) * (t - k);
		assert_true(b.cc.cwnd >= (uint32_t)((want - 16) * M));
		assert_true(b.cc.cwnd <= (uint32_t)((want + 16) * M));
	}
	assert_true(b.cc.cwnd > 1030 * M);
}

/* Section 4.7: a flow that loses below its last maximum leaves room. */
static void
cubic_converges_fast(void **state)
{
	struct bench b;
	unsigned int i;

	(void)state;
	bench_init(&b, &utcp__cc_cubic, 1000);
	lose(&b);
	b.cc.cwnd = 800 * M;
	lose(&b); /* the plateau is 800 * 0.85 = 680 */
	for (i = 0; i < 70; i++)
		bench_round(&b, RTT);
	assert_in_range(segs(&b), 665, 695);
}

/* Section 4.3: on short paths it is Reno. */
static void
cubic_is_friendly(void **state)
{
	struct bench b;
	unsigned int i;

	(void)state;
	bench_init(&b, &utcp__cc_cubic, 20);
	b.cc.srtt_ns = 5 * MSEC;
	lose(&b);
	assert_int_equal(segs(&b), 14);
	/* alpha is 0.53 up to where it was, then 1 */
	for (i = 0; i < 10; i++)
		bench_round(&b, 5 * MSEC);
	assert_in_range(segs(&b), 19, 20);
	for (i = 0; i < 10; i++)
		bench_round(&b, 5 * MSEC);
	assert_in_range(segs(&b), 28, 30);
}

static void
cubic_undoes(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, &utcp__cc_cubic, 100);
	lose(&b);
	assert_int_equal(segs(&b), 70);
	assert_int_equal(b.ops->undo(&b.cc), 100 * M);
}

/* Section 5.8: time without use of the window is no time. */
static void
cubic_waits_for_the_application(void **state)
{
	struct bench b;
	uint32_t before;
	unsigned int i;

	(void)state;
	bench_init(&b, &utcp__cc_cubic, 1000);
	lose(&b);
	for (i = 0; i < 10; i++)
		bench_round(&b, RTT);
	before = b.cc.cwnd;
	b.cc.cwnd_limited = 0;
	for (i = 0; i < 100; i++)
		bench_round(&b, RTT);
	assert_int_equal(b.cc.cwnd, before);
	b.cc.cwnd_limited = 1;
	bench_round(&b, RTT);
	assert_true(b.cc.cwnd < before + 40 * M);
}

/* RFC 9406: the round trip grows, slow start becomes a quarter as fast, and ends
   after five rounds of that. */
static void
hystart_leaves_before_loss(void **state)
{
	uint32_t before;
	struct bench b;
	unsigned int i;

	(void)state;
	bench_init(&b, &utcp__cc_cubic, 20);
	for (i = 0; i < 3; i++)
		bench_round(&b, RTT);
	assert_in_range(segs(&b), 150, 160);
	before = b.cc.cwnd;
	bench_round(&b, RTT + 20 * MSEC);
	assert_true(b.cc.cwnd < before * 3 / 2);
	assert_true(b.cc.cwnd > before);
	assert_int_equal(b.cc.ssthresh, UINT32_MAX);
	for (i = 0; i < 5; i++)
		bench_round(&b, RTT + 40 * MSEC);
	assert_true(b.cc.ssthresh < UINT32_MAX);
	/* A hiccup is none. */
	bench_init(&b, &utcp__cc_cubic, 20);
	for (i = 0; i < 3; i++)
		bench_round(&b, RTT);
	bench_round(&b, RTT + 20 * MSEC);
	before = b.cc.cwnd;
	bench_round(&b, RTT);
	assert_true(b.cc.cwnd > before * 3 / 2);
}

/* ---- BBR over a pipe --------------------------------------------------- */

/* A link of this rate and delay that queues without end: what is acknowledged in
   each millisecond, of what was sent a round trip ago. */
struct bbr_run {
	struct bench b;
	uint64_t rate;		  /* bytes a millisecond */
	double credit, sent_more; /* bytes that may leave now */
	struct {
		uint64_t sent_ns, delivered, delivered_ns;
		uint32_t inflight;
	} fly[65536];
	uint64_t head, tail; /* of fly, segments */
	uint64_t free_ns;    /* the link is */
	uint64_t arrive[65536];
	uint64_t delivered_ns;
	uint32_t most;
};

static void
bbr_ms(struct bbr_run *r)
{
	utcp_cc_t *cc = &r->b.cc;
	utcp_ack_t ack;
	uint64_t i, now;

	cc->now_ns += MSEC;
	now = cc->now_ns;
	while (r->head < r->tail && r->arrive[r->head % 65536] <= now) {
		i = r->head++ % 65536;
		memset(&ack, 0, sizeof(ack));
		cc->delivered += M;
		cc->inflight -= M;
		cc->snd_una += M;
		ack.acked = ack.delivered = M;
		ack.prior_inflight = cc->inflight + M;
		ack.rtt_ns = r->arrive[i] - r->fly[i].sent_ns;
		ack.prior_delivered = r->fly[i].delivered;
		ack.tx_inflight = r->fly[i].inflight;
		ack.rate_delivered = cc->delivered - r->fly[i].delivered;
		ack.interval_ns = r->arrive[i] - r->fly[i].delivered_ns;
		r->delivered_ns = r->arrive[i];
		r->b.ops->ack(cc, &ack);
	}
	r->credit += (double)cc->pacing_rate / 1000;
	while (cc->inflight + M <= cc->cwnd && r->credit >= M) {
		r->credit -= M;
		i = r->tail++ % 65536;
		cc->inflight += M;
		cc->snd_nxt += M;
		if (cc->inflight == M)
			r->delivered_ns = now;
		r->fly[i].sent_ns = now;
		r->fly[i].delivered = cc->delivered;
		r->fly[i].delivered_ns = r->delivered_ns;
		r->fly[i].inflight = cc->inflight;
		r->free_ns = r->free_ns > now ? r->free_ns : now;
		r->free_ns += MSEC * M / r->rate;
		r->arrive[i] = r->free_ns + 40 * MSEC;
		r->most = cc->inflight > r->most ? cc->inflight : r->most;
	}
	if (r->credit > 10 * M)
		r->credit = 10 * M;
}

/* 8 Mb/s... 1000 bytes a ms, 40 ms: 40 segments in flight. */
static void
bbr_finds_the_path(void **state)
{
	struct bbr_run *r = calloc(1, sizeof(*r));
	uint64_t before;
	unsigned int i;

	(void)state;
	assert_non_null(r);
	bench_init(&r->b, &utcp__cc_bbr, 10);
	r->rate = 1000;
	for (i = 0; i < 2000; i++)
		bbr_ms(r);
	/* startup's queue: at most some products of bandwidth and delay */
	assert_in_range(r->most, 60 * M, 200 * M);
	before = r->b.cc.delivered;
	r->most = 0;
	for (i = 0; i < 20000; i++)
		bbr_ms(r);
	/* of 20 MB */
	assert_in_range(r->b.cc.delivered - before, 18800 * M, 20000 * M);
	/* and without a queue to speak of */
	assert_true(r->most < 90 * M);
	assert_in_range(r->b.cc.pacing_rate, 800000, 1300000);
	/* The path becomes four times as fast: found in some seconds. */
	r->rate = 4000;
	for (i = 0; i < 15000; i++)
		bbr_ms(r);
	assert_in_range(r->b.cc.pacing_rate, 3200000, 5200000);
	free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_incomplete_is_refused),
		cmocka_unit_test(names_are_chosen),
		cmocka_unit_test(sockets_open_with_the_default),
		cmocka_unit_test(who_does_not_start_is_replaced),
		cmocka_unit_test(a_hook_can_ask_for_another),
		cmocka_unit_test(hooks_see_what_is),
		cmocka_unit_test(hooks_are_asked_in_recovery),
		cmocka_unit_test(newreno_adds_and_halves),
		cmocka_unit_test(cubic_is_a_cube),
		cmocka_unit_test(cubic_converges_fast),
		cmocka_unit_test(cubic_is_friendly),
		cmocka_unit_test(cubic_undoes),
		cmocka_unit_test(cubic_waits_for_the_application),
		cmocka_unit_test(hystart_leaves_before_loss),
		cmocka_unit_test(bbr_finds_the_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
