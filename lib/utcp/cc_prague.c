/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_prague.c: Prague (draft-briscoe-iccrg-prague-congestion-control), for L4S
 * (RFC 9330, 9331): it answers to how much of a round was marked, not to whether
 * something was, so a bottleneck may mark from a queue of half a millisecond on.
 *
 * For that it takes what AccECN tells (ext_accecn.c). On a connection without
 * it, data is not sent as L4S, and this is Reno, by bytes, to echoes and losses.
 */
#include "cc_util.h"
#include "tcp_var.h"

#define GAIN (1.0 / 16) /* of the moving average */
/* Flows of shorter round trips behave as if theirs was this one, once they are
   old: else they would leave nothing to the longer ones. */
#define VIRTUAL_NS (25 * MSEC)
#define YOUNG_ROUNDS 500
/* Marks come once a sawtooth. When none have come for two of them, and not for
   so many rounds either, the path has become wider (or slow start ended at the
   mark of a burst), and the window grows by a segment a round more each round.
   The draft has only the one segment a round, which takes half a minute to fill
   100 Mb/s over 80 ms. */
#define QUIET_ROUNDS 8
/* A queue that marks by RFC 3168's rules gives all the same marks, few and late,
   and who gives way little to each starves the others. It is known by what stands
   in it, where L4S's queues have a millisecond (RFC 9331 section 4.3): if marks
   came in so many more rounds with more than this than with less, they are
   answered as Reno does. */
#define OLD_QUEUE_NS (3 * MSEC)
#define OLD_ROUNDS 8
#define OLD_ROUNDS_MAX 32
#define MIN_SEGS 2
#define BURST_PER_S 4096 /* a burst is a quarter of a millisecond, at most */

struct prague {
	double alpha;  /* share of bytes marked, averaged over rounds */
	double cwnd;   /* bytes */
	uint32_t said; /* as the stack was told; another: it has changed it */
	/* this round, by cc->delivered */
	uint64_t round_end, round_begin, marked;
	uint64_t alpha_ns; /* the average was taken, at the end of a round */
	/* the window was lowered for a mark: not again before */
	uint64_t quiet_end, quiet_ns;
	uint64_t least_rtt_ns; /* of this round; UTCP_NEVER */
	uint32_t old_queue;    /* rounds with one, less those without */
	uint32_t rounds;       /* since slow start */
	uint32_t unmarked;     /* rounds, up to now */
	uint32_t sawtooth;     /* rounds to grow back what was taken last */
	bool grew;	       /* in this round */
	bool seen;  /* a mark: before the first, the average says nothing */
	bool exact; /* ce is a count, not an echo */
	double old_cwnd; /* what undo brings back */
};

/* Whether marks are counted, and not just echoed. */
static bool
is_exact(const utcp_cc_t *cc)
{
	return cc->sock->negotiated & UTCP_GOT_EXT_ECN;
}

static bool
is_old(const struct prague *p)
{
	return p->rounds >= YOUNG_ROUNDS;
}

/* Whether the bottleneck knows nothing of L4S. */
static bool
is_old_queue(const struct prague *p)
{
	return p->old_queue >= OLD_ROUNDS;
}

/* Whether this flow goes by the virtual round trip. */
static bool
is_virtual(const struct prague *p, const utcp_cc_t *cc)
{
	return is_old(p) && !is_old_queue(p) && cc->srtt_ns < VIRTUAL_NS;
}

/* A round trip as this flow behaves. */
static uint64_t
virtual_ns(const struct prague *p, const utcp_cc_t *cc)
{
	return is_virtual(p, cc) ? VIRTUAL_NS : cc->srtt_ns;
}

/* The stack sets it in recovery, and after a rest. */
static void
follow(struct prague *p, const utcp_cc_t *cc)
{
	if (cc->cwnd != p->said)
		p->cwnd = cc->cwnd;
	p->said = cc->cwnd;
}

static void
tell(struct prague *p, utcp_cc_t *cc)
{
	double rate;

	/* One after a timeout (RFC 5681 section 3.1). */
	if (p->cwnd < cc->mss)
		p->cwnd = cc->mss;
	rate = p->cwnd;
	cc->cwnd = (uint32_t)p->cwnd;
	p->said = cc->cwnd;
	if (!cc->srtt_ns)
		return;
	/* Exactly the window a round trip, but while that is
	   to double. */
	if (cc->cwnd < cc->ssthresh / 2)
		rate *= 2;
	/* What is on its way to ssthresh is not to wait for it. */
	if (cc->recovery == CC_RECOVERY || cc->recovery == CC_CWR)
		rate = cc->ssthresh;
	rate *= 1e9 / (double)cc->srtt_ns;
	cc->pacing_rate = (uint64_t)rate + 1;
	cc->gso_max = (uint32_t)(cc->pacing_rate / BURST_PER_S);
	if (cc->gso_max < cc->mss)
		cc->gso_max = cc->mss;
}

static void
begin_round(struct prague *p, const utcp_cc_t *cc)
{
	p->round_begin = cc->delivered;
	p->round_end = cc->delivered + (cc->snd_nxt - cc->snd_una);
	p->marked = 0;
	p->least_rtt_ns = UTCP_NEVER;
}

static int
prague_init(utcp_cc_t *cc)
{
	struct prague *p = cc->priv;

	p->alpha = 1; /* the first mark halves, as for Reno */
	p->cwnd = cc->cwnd;
	p->said = cc->cwnd;
	p->alpha_ns = cc->now_ns;
	begin_round(p, cc);
	return 0;
}

/* What marks of this round came by. */
static void
judge_queue(struct prague *p, const utcp_cc_t *cc)
{
	if (!p->marked || p->least_rtt_ns == UTCP_NEVER)
		return;
	if (p->least_rtt_ns > cc->min_rtt_ns + OLD_QUEUE_NS)
		p->old_queue += p->old_queue < OLD_ROUNDS_MAX;
	else
		p->old_queue -= p->old_queue > 0;
}

/* Once a round trip, the longer of it and of the virtual one. */
static void
end_round(struct prague *p, utcp_cc_t *cc)
{
	uint64_t bytes = cc->delivered - p->round_begin;
	double share;

	if (cc->delivered < p->round_end || !bytes ||
	    cc->now_ns - p->alpha_ns < virtual_ns(p, cc))
		return;
	judge_queue(p, cc);
	p->unmarked = p->marked ? 0 : p->unmarked + p->grew;
	p->grew = false;
	if (p->seen) {
		share = (double)p->marked / (double)bytes;
		p->alpha += GAIN * ((share < 1 ? share : 1) - p->alpha);
	}
	if (cc->cwnd >= cc->ssthresh && !is_old(p))
		p->rounds++;
	p->alpha_ns = cc->now_ns;
	begin_round(p, cc);
}

/* At the first mark, for a round trip. */
static void
reduce(struct prague *p, utcp_cc_t *cc)
{
	double before = p->cwnd, least = MIN_SEGS * cc->mss;

	p->seen = true;
	if (cc->delivered < p->quiet_end || cc->now_ns < p->quiet_ns)
		return;
	p->cwnd *= is_old_queue(p) ? 0.5 : 1 - p->alpha / 2;
	if (p->cwnd < least)
		p->cwnd = before < least ? before : least;
	p->quiet_end = cc->delivered + (cc->snd_nxt - cc->snd_una);
	p->quiet_ns = is_old(p) ? cc->now_ns + virtual_ns(p, cc) : 0;
	/* Of slow start's end nothing follows for that. */
	p->sawtooth = 0;
	if (cc->ssthresh != UINT32_MAX)
		p->sawtooth = (uint32_t)((before - p->cwnd) / cc->mss);
	cc->ssthresh = (uint32_t)p->cwnd;
}

/* A segment a round trip, for what came without a mark; of a
   short round trip as much as makes a rate grow as on the virtual one. */
static void
grow(struct prague *p, utcp_cc_t *cc, uint32_t n)
{
	uint32_t wait = 2 * p->sawtooth + QUIET_ROUNDS;
	double scale = 1, ratio;

	if (cc->cwnd < cc->ssthresh) {
		cc->cwnd = (uint32_t)p->cwnd;
		n = cc->cwnd < cc->ssthresh ? utcp__cc_slow_start(cc, n) : n;
		p->cwnd = cc->cwnd;
	}
	if (is_virtual(p, cc)) {
		ratio = (double)cc->srtt_ns / (double)VIRTUAL_NS;
		scale = ratio * ratio;
	}
	/* Where nobody ever marks, it is Reno. */
	if (p->seen && p->unmarked > wait)
		scale *= p->unmarked - wait;
	p->grew = true;
	p->cwnd += scale * n * cc->mss / p->cwnd;
}

static void
prague_ack(utcp_cc_t *cc, const utcp_ack_t *ack)
{
	struct prague *p = cc->priv;
	uint32_t n = utcp__cc_growth(cc, ack), ce = 0;

	follow(p, cc);
	if (ack->rtt_ns && ack->rtt_ns < p->least_rtt_ns)
		p->least_rtt_ns = ack->rtt_ns;
	p->exact = is_exact(cc);
	if (p->exact) {
		ce = ack->ce;
		p->marked += ce;
		if (ce && cc->recovery <= CC_DISORDER)
			reduce(p, cc);
	}
	if (n > ce)
		grow(p, cc, n - ce);
	end_round(p, cc);
	tell(p, cc);
}

/* For losses, and for echoes that are not counts: as Reno. A
   window that marks have lowered in this round already is not halved again in
   full: both together halve it. */
static uint32_t
prague_ssthresh(utcp_cc_t *cc, enum utcp_cc_event why)
{
	struct prague *p = cc->priv;
	double half, least = MIN_SEGS * cc->mss;

	follow(p, cc);
	half = p->cwnd / 2;
	if (why == UTCP_CC_LOSS && p->exact && cc->delivered < p->quiet_end)
		half = p->cwnd / (2 - p->alpha);
	p->old_cwnd = p->cwnd;
	p->cwnd = half > least ? half : least;
	p->sawtooth = (uint32_t)((p->old_cwnd - half) / cc->mss);
	p->unmarked = 0;
	return (uint32_t)p->cwnd;
}

static uint32_t
prague_undo(utcp_cc_t *cc)
{
	struct prague *p = cc->priv;

	if (p->old_cwnd < cc->cwnd)
		return cc->cwnd;
	return (uint32_t)p->old_cwnd;
}

const utcp_cc_ops_t utcp__cc_prague = {
	.size = sizeof(utcp_cc_ops_t),
	.flags = UTCP_CC_PACES | UTCP_CC_OWN_ECN | UTCP_CC_L4S,
	.name = "prague",
	.priv_bytes = sizeof(struct prague),
	.init = prague_init,
	.ack = prague_ack,
	.ssthresh = prague_ssthresh,
	.undo = prague_undo,
};
