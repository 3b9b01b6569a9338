/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_l4s.c: how long packets wait at a bottleneck: Prague's, which marks what
 * waits longer than a step (RFC 9332 section 2.5, without its other queue);
 * CUBIC's, as deep as the path, that drops; and one for CUBIC that is as short as
 * Prague's.
 */
#include "cases.h"

#define HDR_BYTES 52 /* IPv4, TCP, timestamps */
#define MTU 1500
#define PAYLOAD (MTU - HDR_BYTES)
#define FLOWS_MAX 8
#define STEP (500 * USEC)
#define WARM (20 * SEC)
#define MEASURED (20 * SEC)

struct scene {
	uint64_t rate_bps, rtt_ns;
	unsigned int flows;
};

/* A packet of 1500 bytes takes 0.3 ms of the slowest. */
static const struct scene scenes[] = {
	{ 40 * MBPS, 10 * MSEC, 1 },  { 40 * MBPS, 10 * MSEC, 4 },
	{ 40 * MBPS, 20 * MSEC, 1 },  { 40 * MBPS, 20 * MSEC, 2 },
	{ 40 * MBPS, 40 * MSEC, 4 },  { 40 * MBPS, 80 * MSEC, 1 },
	{ 40 * MBPS, 80 * MSEC, 2 },  { 100 * MBPS, 10 * MSEC, 1 },
	{ 100 * MBPS, 10 * MSEC, 8 }, { 100 * MBPS, 20 * MSEC, 1 },
	{ 100 * MBPS, 20 * MSEC, 4 }, { 100 * MBPS, 40 * MSEC, 2 },
	{ 100 * MBPS, 80 * MSEC, 1 }, { 100 * MBPS, 80 * MSEC, 4 },
};
#define SCENES (sizeof(scenes) / sizeof(scenes[0]))

/* From a to b, for ever; *to is b's end. */
static struct ep *
flow(struct two *t, uint16_t port, const char *cc, struct ep **to)
{
	struct ep_conf c = { 0 }, s = { 0 };
	struct listener *l;
	struct ep *from;

	conf_step(&c, OP_FOREVER, 0, 0, 0);
	conf_step(&s, OP_SINK, 0, 0, 0);
	/* Who is not for L4S has RFC 3168's. */
	conf_opt(&c, UTCP_OPT_ECN, 2);
	c.cc = cc;
	s.cc = cc;
	conf_opt(&c, UTCP_OPT_SNDBUF_MAX, 1 << 30);
	conf_opt(&s, UTCP_OPT_RCVBUF_MAX, 1 << 30);
	l = app_listen(t->b, 4, port, &s);
	from = app_connect(t->a, 4, 0, t->b, port, &c);
	while (l->last == NULL && t->w->now_ns < 100 * SEC)
		sim_run_until(t->w, t->w->now_ns + MSEC);
	SIM_CHECK(t->w, l->last != NULL);
	*to = l->last;
	return from;
}

static double
us(uint64_t ns)
{
	return (double)ns / 1e3;
}

enum kind { PRAGUE, CUBIC, CUBIC_SHALLOW, KINDS };

static const char *const kinds[] = {
	[PRAGUE] = "prague",
	[CUBIC] = "cubic",
	[CUBIC_SHALLOW] = "cubic, 1 ms",
};

static void
bottleneck(struct pipe_conf *pipe, const struct scene *s, enum kind kind)
{
	uint64_t bdp = s->rate_bps / 8 * s->rtt_ns / SEC;

	pipe->rate_bps = s->rate_bps;
	pipe->delay_ns = s->rtt_ns / 2;
	pipe->queue_bytes = bdp + 32 * MTU;
	if (kind == PRAGUE) {
		pipe->queue_bytes += bdp;
		pipe->step_ns = STEP;
	} else if (kind == CUBIC_SHALLOW) {
		pipe->queue_bytes = s->rate_bps / 8 / 1000;
	}
}

/* What was seen, in words and for `inv bench prague`. */
static double
report(struct two *t, const struct scene *s, enum kind kind, double jain)
{
	const struct waits *q = t->there->waits;
	double secs = (double)(t->w->now_ns - q->since_ns) / 1e9;
	double used = (double)q->bytes * 8 / ((double)s->rate_bps * secs);
	double mean = us(q->sum_ns) / (double)q->num;

	sim_say(t->w,
		": used %.4f, waits %.0f us on average, %.0f, %.0f of 99 %%, "
		"%.0f at most, Jain %.3f",
		used, mean, us(waits_quantile(q, 0.5)),
		us(waits_quantile(q, 0.99)), us(q->max_ns), jain);
	if (t->w->verbose)
		printf("{\"queue\": \"%s\", \"mbps\": %.0f, \"rtt_ms\": %.0f, "
		       "\"flows\": %u, \"used\": %.4f, \"mean_us\": %.0f, "
		       "\"p50_us\": %.0f, \"p99_us\": %.0f, \"max_us\": %.0f, "
		       "\"jain\": %.3f}\n",
		       kinds[kind], (double)s->rate_bps / 1e6,
		       us(s->rtt_ns) / 1e3, s->flows, used, mean,
		       us(waits_quantile(q, 0.5)), us(waits_quantile(q, 0.99)),
		       us(q->max_ns), jain);
	return used;
}

void
case_l4s(uint64_t seed)
{
	const struct scene *s = &scenes[(seed - 1) / KINDS % SCENES];
	enum kind kind = (enum kind)((seed - 1) % KINDS);
	const char *cc = kind == PRAGUE ? "prague" : "cubic";
	double got = 0, squares = 0, used, jain, one;
	struct node_conf node = { .cc = cc };
	struct pipe_conf pipe = { 0 };
	uint64_t before[FLOWS_MAX], p99, i;
	struct ep *e[FLOWS_MAX], *from[FLOWS_MAX];
	uint64_t marked = 0;
	struct two t;

	bottleneck(&pipe, s, kind);
	two_nodes(&t, "l4s", seed, &pipe, &node);
	sim_say(t.w, " %s, %.0f Mb/s, rtt %.0f ms, %u flows", kinds[kind],
		(double)s->rate_bps / 1e6, us(s->rtt_ns) / 1e3, s->flows);
	for (i = 0; i < s->flows; i++) {
		from[i] = flow(&t, (uint16_t)(80 + i), cc, &e[i]);
		sim_run_until(t.w, t.w->now_ns + rng_below(&t.w->rng, SEC));
	}
	sim_run_until(t.w, t.w->now_ns + WARM);
	waits_begin(t.there);
	for (i = 0; i < s->flows; i++)
		before[i] = e[i]->got;
	sim_run_until(t.w, t.w->now_ns + MEASURED);
	for (i = 0; i < s->flows; i++) {
		one = (double)(e[i]->got - before[i]);
		got += one;
		squares += one * one;
		marked += app_info(from[i]).delivered_ce_bytes;
	}
	jain = got * got / (s->flows * squares);
	used = report(&t, s, kind, jain);
	p99 = waits_quantile(t.there->waits, 0.99);
	if (kind == PRAGUE) {
		SIM_CHECK(t.w, used >= 0.95);
		SIM_CHECK(t.w, p99 <= MSEC);
		SIM_CHECK(t.w, jain >= 0.9);
		SIM_CHECK(t.w, t.there->overflows == 0);
		/* AccECN: what was marked is told to the byte, but for what is
		   on its way. */
		SIM_CHECK(t.w, t.there->marks > 0);
		SIM_CHECK(t.w, marked <= t.there->marks * PAYLOAD);
		SIM_CHECK(t.w, marked >= t.there->marks * PAYLOAD * 0.98);
		SIM_CHECK(t.w, sim_counter(t.w, UTCP_CTR_RETRANS_SEGS) == 0);
	} else if (kind == CUBIC) {
		SIM_CHECK(t.w, used >= 0.95);
		SIM_CHECK(t.w, p99 > 5 * MSEC);
	} else {
		SIM_CHECK(t.w, p99 <= MSEC);
		SIM_CHECK(t.w, t.there->overflows > 0);
	}
	sim_end(t.w);
}

/* ---- a queue that is not L4S's ---------------------------------------------- */

/*
 * One queue for all, which marks all that is ECN-capable from 10 ms on (RFC 3168):
 * beside CUBIC Prague must not take much more than its half (RFC 9331 section
 * 4.3).
 */
void
case_old_queue(uint64_t seed)
{
	static const uint64_t rtts[] = { 10 * MSEC, 20 * MSEC, 40 * MSEC,
					 80 * MSEC };
	uint64_t rtt = rtts[(seed - 1) % 4], i, before[2];
	struct pipe_conf pipe = { .rate_bps = 40 * MBPS,
				  .delay_ns = rtt / 2,
				  .mark_bytes = 50000,
				  .queue_bytes = 1000000 };
	struct node_conf node = { 0 };
	struct ep *to[2];
	double got[2];
	struct two t;

	two_nodes(&t, "oldqueue", seed, &pipe, &node);
	flow(&t, 80, "prague", &to[0]);
	sim_run_until(t.w, t.w->now_ns + rng_below(&t.w->rng, SEC));
	flow(&t, 81, "cubic", &to[1]);
	sim_run_until(t.w, t.w->now_ns + WARM);
	for (i = 0; i < 2; i++)
		before[i] = to[i]->got;
	sim_run_until(t.w, t.w->now_ns + 3 * MEASURED);
	for (i = 0; i < 2; i++)
		got[i] = (double)(to[i]->got - before[i]) * 8e3 /
			 (3 * MEASURED);
	sim_say(t.w, " rtt %.0f ms: Prague %.1f, CUBIC %.1f Mb/s",
		us(rtt) / 1e3, got[0], got[1]);
	if (t.w->verbose)
		printf("oldqueue%s\n", t.w->what);
	SIM_CHECK(t.w, got[0] + got[1] > 30);
	SIM_CHECK(t.w, got[0] > 8);
	SIM_CHECK(t.w, got[1] > 8);
	sim_end(t.w);
}

/* ---- two queues -------------------------------------------------------------- */

/*
 * DualQ: as many flows of each kind. L4S's packets do not wait, the others for the
 * target; nobody is pushed aside, and the link is used.
 */
void
case_dualq(uint64_t seed)
{
	const struct scene s = { (seed - 1) / 4 % 2 != 0 ? 100 * MBPS
							 : 40 * MBPS,
				 (10 * MSEC) << (seed - 1) % 4, 4 };
	struct pipe_conf pipe = { .rate_bps = s.rate_bps,
				  .delay_ns = s.rtt_ns / 2,
				  .step_ns = MSEC,
				  .dualq = true,
				  .queue_bytes = 2000000 };
	uint64_t before[FLOWS_MAX], i;
	struct node_conf node = { 0 };
	const struct waits *l, *c;
	struct ep *to[FLOWS_MAX];
	double got[2] = { 0, 0 }, used;
	struct two t;

	two_nodes(&t, "dualq", seed, &pipe, &node);
	for (i = 0; i < s.flows; i++) {
		flow(&t, (uint16_t)(80 + i), i % 2 ? "cubic" : "prague",
		     &to[i]);
		sim_run_until(t.w, t.w->now_ns + rng_below(&t.w->rng, SEC));
	}
	sim_run_until(t.w, t.w->now_ns + WARM);
	waits_begin(t.there);
	for (i = 0; i < s.flows; i++)
		before[i] = to[i]->got;
	sim_run_until(t.w, t.w->now_ns + MEASURED);
	for (i = 0; i < s.flows; i++)
		got[i % 2] += (double)(to[i]->got - before[i]) * 8e3 / MEASURED;
	l = t.there->waits;
	c = t.there->classic_waits;
	used = (double)(l->bytes + c->bytes) * 8e9 /
	       ((double)s.rate_bps * (double)MEASURED);
	sim_say(t.w,
		" %.0f Mb/s, rtt %.0f ms: used %.4f, Prague %.1f, CUBIC %.1f "
		"Mb/s; waits %.0f us on average, %.0f of 99 %%, CUBIC's %.0f "
		"and %.0f",
		(double)s.rate_bps / 1e6, us(s.rtt_ns) / 1e3, used, got[0],
		got[1], us(l->sum_ns) / (double)l->num,
		us(waits_quantile(l, 0.99)), us(c->sum_ns) / (double)c->num,
		us(waits_quantile(c, 0.99)));
	if (t.w->verbose)
		printf("dualq%s\n", t.w->what);
	SIM_CHECK(t.w, used >= 0.99);
	SIM_CHECK(t.w, waits_quantile(l, 0.99) <= MSEC);
	SIM_CHECK(t.w, c->sum_ns / c->num > 10 * MSEC);
	SIM_CHECK(t.w, got[0] > 0.25 * (double)s.rate_bps / 1e6);
	SIM_CHECK(t.w, got[1] > 0.25 * (double)s.rate_bps / 1e6);
	sim_end(t.w);
}
