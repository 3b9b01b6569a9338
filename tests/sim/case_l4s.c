/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_l4s.c: how long packets wait at a bottleneck: Prague's, which marks what
 * waits longer than a step (RFC 9332 section 2.5, without its other queue), and
 * CUBIC's, a queue as deep as the path or deeper, that drops.
 */
#include "cases.h"

#define HDR_BYTES 52 /* IPv4, TCP, timestamps */
#define MTU 1500
#define FLOWS_MAX 8
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

static struct ep *
flow(struct two *t, uint16_t port, const char *cc)
{
	struct ep_conf c = { 0 }, s = { 0 };
	struct listener *l;

	conf_step(&c, OP_FOREVER, 0, 0, 0);
	conf_step(&s, OP_SINK, 0, 0, 0);
	c.cc = cc;
	s.cc = cc;
	conf_opt(&c, UTCP_OPT_SNDBUF_MAX, 1 << 30);
	conf_opt(&s, UTCP_OPT_RCVBUF_MAX, 1 << 30);
	l = app_listen(t->b, 4, port, &s);
	app_connect(t->a, 4, 0, t->b, port, &c);
	while (l->last == NULL && t->w->now_ns < 100 * SEC)
		sim_run_until(t->w, t->w->now_ns + MSEC);
	SIM_CHECK(t->w, l->last != NULL);
	return l->last;
}

static double
ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

void
case_l4s(uint64_t seed)
{
	const struct scene *s = &scenes[(seed - 1) / 2 % SCENES];
	const char *cc = seed % 2 != 0 ? "prague" : "cubic";
	double bdp = (double)s->rate_bps * (double)s->rtt_ns / 8e9;
	double got = 0, squares = 0, used, mean, one, jain;
	struct pipe_conf pipe = { .rate_bps = s->rate_bps,
				  .delay_ns = s->rtt_ns / 2 };
	struct node_conf node = { .cc = cc };
	uint64_t before[FLOWS_MAX], p99, i;
	struct ep *e[FLOWS_MAX];
	const struct waits *q;
	struct two t;

	pipe.queue_bytes = (uint64_t)bdp + 32 * MTU;
	if (seed % 2 != 0) {
		pipe.queue_bytes += (uint64_t)bdp;
		pipe.step_ns = 500 * USEC;
	}
	two_nodes(&t, "l4s", seed, &pipe, &node);
	sim_say(t.w, " %s, %.0f Mb/s, rtt %.0f ms, %u flows", cc,
		(double)s->rate_bps / 1e6, ms(s->rtt_ns), s->flows);
	for (i = 0; i < s->flows; i++) {
		e[i] = flow(&t, (uint16_t)(80 + i), cc);
		sim_run_until(t.w, t.w->now_ns + rng_below(&t.w->rng, SEC));
	}
	sim_run_until(t.w, t.w->now_ns + WARM);
	waits_begin(t.there);
	for (i = 0; i < s->flows; i++)
		before[i] = e[i]->got;
	sim_run_until(t.w, t.w->now_ns + MEASURED);
	q = t.there->waits;
	for (i = 0; i < s->flows; i++) {
		one = (double)(e[i]->got - before[i]);
		got += one;
		squares += one * one;
	}
	jain = got * got / (s->flows * squares);
	used = (double)q->bytes * 8e9 /
	       ((double)s->rate_bps * (double)(t.w->now_ns - q->since_ns));
	mean = ms(q->sum_ns) / (double)q->num;
	p99 = waits_quantile(q, 0.99);
	sim_say(t.w,
		": used %.4f, waits mean %.3f p50 %.2f p99 %.2f max %.2f ms, "
		"Jain %.3f, %llu marks, %llu overflows",
		used, mean, ms(waits_quantile(q, 0.5)), ms(p99), ms(q->max_ns),
		jain, (unsigned long long)t.there->marks,
		(unsigned long long)t.there->overflows);
	if (t.w->verbose)
		printf("l4s %s %.0f %.0f %u %.4f %.3f %.2f %.2f\n", cc,
		       (double)s->rate_bps / 1e6, ms(s->rtt_ns), s->flows, used,
		       mean, ms(p99), ms(q->max_ns));
	if (used < 0.95)
		sim_fail(t.w, "the link is not used");
	if (seed % 2 != 0 && (p99 >= MSEC || mean >= 1))
		sim_fail(t.w, "packets wait too long");
	sim_end(t.w);
}
