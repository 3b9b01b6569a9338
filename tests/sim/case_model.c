/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_model.c: what comes through, against what the congestion controls'
 * models say: the grid of clean links, loss, queues too short, fairness, marks.
 */
#include <math.h>

#include "../../lib/examples/cc_westwood.h"
#include "cases.h"

#define HDR_BYTES 52 /* IPv4, TCP, timestamps */
#define MTU 1500
#define PAYLOAD (MTU - HDR_BYTES)

static const char *const ccs[] = { "cubic", "newreno", "bbr" };

/* A flow that sends for ever from a to b; the receiver's end. */
static struct ep *
flow(struct two *t, uint16_t port, const char *cc, int64_t ecn)
{
	struct ep_conf c = { 0 }, s = { 0 };
	struct listener *l;

	conf_step(&c, OP_FOREVER, 0, 0, 0);
	conf_step(&s, OP_SINK, 0, 0, 0);
	c.cc = cc;
	conf_opt(&c, UTCP_OPT_ECN, ecn);
	conf_opt(&s, UTCP_OPT_ECN, ecn != 0);
	conf_opt(&c, UTCP_OPT_SNDBUF_MAX, 1 << 30);
	conf_opt(&s, UTCP_OPT_RCVBUF_MAX, 1 << 30);
	l = app_listen(t->b, 4, port, &s);
	app_connect(t->a, 4, 0, t->b, port, &c);
	while (l->last == NULL && t->w->now_ns < 100 * SEC)
		sim_run_until(t->w, t->w->now_ns + MSEC);
	SIM_CHECK(t->w, l->last != NULL);
	return l->last;
}

/* Bytes a second of one flow, over `ns` after `warm_ns`. */
static double
goodput(struct two *t, struct ep *e, uint64_t warm_ns, uint64_t ns)
{
	uint64_t before;

	sim_run_until(t->w, t->w->now_ns + warm_ns);
	before = e->got;
	sim_run_until(t->w, t->w->now_ns + ns);
	return (double)(e->got - before) * 1e9 / (double)ns;
}

static void
result(struct sim *w, const char *what, double got, double want, double low,
       double high)
{
	if (w->verbose)
		printf("%s seed %llu:%s: %s %.3f of the model's %.3f Mb/s: "
		       "%.3f\n",
		       w->group, (unsigned long long)w->seed, w->what, what,
		       got * 8e-6, want * 8e-6, got / want);
	if (got < want * low || got > want * high)
		sim_fail(w, "%s is %.3f Mb/s, the model says %.3f: %.3f", what,
			 got * 8e-6, want * 8e-6, got / want);
}

/* ---- rates and delays ------------------------------------------------------- */

/* The cheap ones first: CI takes as many as it has time for. */
static const struct {
	uint64_t rate_bps, rtt_ns;
} grid[] = {
	{ 1 * MBPS, 20 * USEC },    { 1 * MBPS, 2 * MSEC },
	{ 1 * MBPS, 40 * MSEC },    { 1 * MBPS, 300 * MSEC },
	{ 10 * MBPS, 20 * USEC },   { 10 * MBPS, 2 * MSEC },
	{ 10 * MBPS, 40 * MSEC },   { 100 * MBPS, 20 * USEC },
	{ 100 * MBPS, 2 * MSEC },   { 1 * GBPS, 20 * USEC },
	{ 1 * GBPS, 2 * MSEC },	    { 10 * GBPS, 20 * USEC },
	{ 10 * MBPS, 300 * MSEC },  { 100 * MBPS, 40 * MSEC },
	{ 10 * GBPS, 2 * MSEC },    { 1 * GBPS, 40 * MSEC },
	{ 100 * MBPS, 300 * MSEC }, { 10 * GBPS, 40 * MSEC },
	{ 1 * GBPS, 300 * MSEC },   { 10 * GBPS, 300 * MSEC },
};
#define GRID (sizeof(grid) / sizeof(grid[0]))

void
case_grid(uint64_t seed)
{
	uint64_t i = (seed - 1) % (3 * GRID), rate, rtt, bdp, full_ns;
	struct pipe_conf pipe = { 0 };
	struct node_conf node = { 0 };
	struct two t;

	rate = grid[i / 3].rate_bps;
	rtt = grid[i / 3].rtt_ns;
	node.cc = ccs[i % 3];
	bdp = (uint64_t)((double)rate * (double)rtt / 8e9);
	pipe.rate_bps = rate;
	pipe.delay_ns = rtt / 2;
	pipe.queue_bytes = bdp + 32 * MTU;
	/* a round trip with the queue full */
	full_ns = rtt +
		  (uint64_t)((double)pipe.queue_bytes * 8e9 / (double)rate);
	two_nodes(&t, "grid", seed, &pipe, &node);
	sim_say(t.w, " %s, %.0f Mb/s, rtt %.2f ms", node.cc, (double)rate / 1e6,
		(double)rtt / 1e6);
	result(
	    t.w, "goodput",
	    goodput(&t, flow(&t, 80, node.cc, 0), 25 * full_ns, 40 * full_ns),
	    (double)rate / 8 * PAYLOAD / MTU, 0.9, 1.05);
	sim_end(t.w);
}

/* ---- loss ---------------------------------------------------------------------- */

/*
 * Every so many packets (n) one is lost, exactly, as the models assume. Reno:
 * the window grows from W/2 to W in W/2 round trips, and stands for the one of
 * the recovery: 3/8 W^2 + W/2 packets a cycle (Mathis and others 1997, who
 * leave out the recovery). CUBIC: RFC 9438 section 5.1, or its Reno-friendly
 * region, whichever is more. Packets a round trip.
 */
static double
model_window(const char *cc, double n, double rtt_s)
{
	double w = (sqrt(0.25 + 1.5 * n) - 0.5) / 0.75;
	double reno = n / (w / 2 + 1);
	double cubic = pow(0.4 * 3.7 / (4 * 0.3), 0.25) * pow(rtt_s * n, 0.75);

	return strcmp(cc, "cubic") == 0 && cubic > reno ? cubic : reno;
}

void
case_loss(uint64_t seed)
{
	static const uint64_t every[] = { 100, 400, 2000, 8000 };
	static const uint64_t rtts[] = { 10 * MSEC, 100 * MSEC };
	uint64_t i = (seed - 1) % 24, rtt, n;
	struct pipe_conf pipe = { 0 };
	struct node_conf node = { 0 };
	double window, rate, want;
	struct two t;

	node.cc = ccs[i % 3];
	n = every[i / 3 % 4];
	rtt = rtts[i / 12];
	pipe.delay_ns = rtt / 2;
	if (i % 3 == 2) { /* does not mind */
		pipe.rate_bps = 20 * MBPS;
		pipe.queue_bytes = (uint64_t)(20e6 / 8 * (double)rtt / 1e9) +
				   32 * MTU;
		pipe.loss = 1.0 / (double)n;
		want = 20e6 / 8 * PAYLOAD / MTU * (1 - pipe.loss);
	} else {
		window = model_window(node.cc, (double)n, (double)rtt / 1e9);
		want = window * PAYLOAD / ((double)rtt / 1e9);
		pipe.loss_every = n;
	}
	two_nodes(&t, "loss", seed, &pipe, &node);
	/* the way back loses nothing */
	t.back->conf.loss = 0;
	t.back->conf.loss_every = 0;
	rate = want / PAYLOAD;
	sim_say(t.w, " %s, one of %llu lost, rtt %.0f ms", node.cc,
		(unsigned long long)n, (double)rtt / 1e6);
	result(t.w, "goodput",
	       goodput(&t, flow(&t, 80, node.cc, 0),
		       (uint64_t)(10e9 * (double)n / rate) + 2 * SEC,
		       (uint64_t)(20e9 * (double)n / rate) + 10 * SEC),
	       want, 0.9, i % 3 == 2 ? 1.02 : 1.1);
	sim_end(t.w);
}

/* ---- a control of one's own -------------------------------------------------- */

/*
 * The example, registered as its user would: packets are lost by chance, as on
 * radio, and that is no reason to slow down. NewReno makes by the model what
 * one in 500 lost lets it; Westwood+ keeps most of the link.
 */
void
case_westwood(uint64_t seed)
{
	bool own = seed % 2 == 0;
	const char *cc = own ? cc_westwood.name : "newreno";
	double rtt_s = 0.04, n = 500, link = 20e6 / 8 * PAYLOAD / MTU, want;
	struct pipe_conf pipe = { .rate_bps = 20 * MBPS,
				  .delay_ns = 20 * MSEC,
				  .queue_bytes = 100000,
				  .loss = 1 / n };
	struct node_conf node = { 0 };
	struct two t;

	two_nodes(&t, "westwood", seed, &pipe, &node);
	t.back->conf.loss = 0;
	SIM_CHECK(t.w, utcp_cc_register(t.a->u, &cc_westwood) == 0);
	want = own ? link : model_window(cc, n, rtt_s) * PAYLOAD / rtt_s;
	sim_say(t.w, " %s", cc);
	result(t.w, "goodput",
	       goodput(&t, flow(&t, 80, cc, 0), 20 * SEC, 100 * SEC), want,
	       own ? 0.75 : 0.5, own ? 1.0 : 1.2);
	sim_end(t.w);
}

/* ---- a queue that is too short --------------------------------------------------- */

/*
 * A sixth of the product of rate and delay, and a receiver that looks for packets
 * only now and then: an ACK stands for more than the queue holds. Who answers
 * it with a burst as long loses every time. The model is the whole rate; Reno
 * makes 3/4 of it with a queue of no length.
 */
void
case_shallow(uint64_t seed)
{
	static const uint64_t polls[] = { 0, 500 * USEC, 2 * MSEC, 4 * MSEC };
	static const double least[][3] = { { 0.8, 0.7, 0.85 },
					   { 0.8, 0.7, 0.85 },
					   { 0.65, 0.6, 0.75 },
					   { 0.6, 0.55, 0.65 } };
	struct pipe_conf pipe = { .rate_bps = 100 * MBPS,
				  .delay_ns = 5 * MSEC,
				  .queue_bytes = 20000 };
	struct node_conf node = { .offloads = UTCP_OFFLOAD_CSUM |
					      UTCP_OFFLOAD_GSO_TCP };
	uint64_t cc = (seed - 1) % 3, poll = (seed - 1) / 3 % 4;
	struct two t;

	two_nodes(&t, "shallow", seed, &pipe, &node);
	t.b->conf.poll_ns = polls[poll];
	t.b->conf.merge = polls[poll] != 0;
	sim_say(t.w, " %s, polls %.1f ms apart", ccs[cc],
		(double)polls[poll] / 1e6);
	result(t.w, "goodput",
	       goodput(&t, flow(&t, 80, ccs[cc], 0), 2 * SEC, 18 * SEC),
	       100e6 / 8 * PAYLOAD / MTU, least[poll][cc], 1.05);
	sim_end(t.w);
}

/* ---- fairness ------------------------------------------------------------------- */

#define FLOWS 4

void
case_fair(uint64_t seed)
{
	static const char *const mixes[][FLOWS] = {
		{ "cubic", "cubic", "cubic", "cubic" },
		{ "cubic", "newreno", "cubic", "newreno" },
		{ "newreno", "newreno", "newreno", "newreno" },
	};
	const char *const *mix = mixes[(seed - 1) % 3];
	uint64_t rtt = (seed - 1) / 3 % 2 == 0 ? 10 * MSEC : 40 * MSEC, i;
	uint64_t rate = 40 * MBPS, before[FLOWS];
	struct pipe_conf pipe = { .rate_bps = rate };
	struct node_conf node = { 0 };
	double got, sum = 0, squares = 0, jain;
	struct ep *e[FLOWS];
	struct two t;

	pipe.delay_ns = rtt / 2;
	pipe.jitter_ns = 50 * USEC; /* no phase is locked */
	pipe.queue_bytes = (uint64_t)((double)rate * (double)rtt / 8e9) +
			   20 * MTU;
	two_nodes(&t, "fair", seed, &pipe, &node);
	sim_say(t.w, " %s with %s, rtt %.0f ms", mix[0], mix[1],
		(double)rtt / 1e6);
	for (i = 0; i < FLOWS; i++) {
		e[i] = flow(&t, (uint16_t)(80 + i), mix[i], 0);
		sim_run_until(t.w, t.w->now_ns + rng_below(&t.w->rng, SEC));
	}
	sim_run_until(t.w, t.w->now_ns + 15 * SEC);
	for (i = 0; i < FLOWS; i++)
		before[i] = e[i]->got;
	sim_run_until(t.w, t.w->now_ns + 45 * SEC);
	for (i = 0; i < FLOWS; i++) {
		got = (double)(e[i]->got - before[i]) / 45;
		sum += got;
		squares += got * got;
		sim_say(t.w, " %s %.2f Mb/s", mix[i], got * 8e-6);
	}
	jain = sum * sum / (FLOWS * squares);
	if (t.w->verbose)
		printf("fair seed %llu:%s: Jain %.3f\n",
		       (unsigned long long)seed, t.w->what, jain);
	if (jain < 0.9)
		sim_fail(t.w, "Jain's index is %.3f", jain);
	/* more than all: what waited behind a hole when it began */
	result(t.w, "all together", sum, (double)rate / 8 * PAYLOAD / MTU, 0.9,
	       1.01);
	sim_end(t.w);
}

/* BBR beside CUBIC, and beside another of its kind, over queues of half the
   product of rate and delay to eight times that. Published measurements of the
   third version see it take up to 80 % beside CUBIC where the queue is short,
   and a third or more where it is long: nobody starves. */
void
case_share(uint64_t seed)
{
	static const double queues[] = { 0.5, 1, 2, 4, 8 };
	static const uint64_t rtts[] = { 20 * MSEC, 60 * MSEC };
	uint64_t i = seed - 1, rtt = rtts[i / 10 % 2], rate = 50 * MBPS;
	const char *other = ccs[i / 5 % 2 == 0 ? 0 : 2];
	double bdp = (double)rate * (double)rtt / 8e9, got[2], sum;
	uint64_t before[2];
	struct pipe_conf pipe = { .rate_bps = rate,
				  .delay_ns = rtt / 2,
				  .jitter_ns = 50 * USEC };
	struct node_conf node = { 0 };
	struct ep *e[2];
	struct two t;

	pipe.queue_bytes = (uint64_t)(queues[i % 5] * bdp);
	two_nodes(&t, "share", seed, &pipe, &node);
	sim_say(t.w, " bbr with %s, rtt %.0f ms, queue of %.1f products", other,
		(double)rtt / 1e6, queues[i % 5]);
	e[0] = flow(&t, 80, "bbr", 0);
	sim_run_until(t.w, t.w->now_ns + rng_below(&t.w->rng, SEC));
	e[1] = flow(&t, 81, other, 0);
	sim_run_until(t.w, t.w->now_ns + 15 * SEC);
	before[0] = e[0]->got;
	before[1] = e[1]->got;
	sim_run_until(t.w, t.w->now_ns + 60 * SEC);
	got[0] = (double)(e[0]->got - before[0]) / 60;
	got[1] = (double)(e[1]->got - before[1]) / 60;
	sum = got[0] + got[1];
	sim_say(t.w, ": %.2f and %.2f Mb/s", got[0] * 8e-6, got[1] * 8e-6);
	result(t.w, "both together", sum, (double)rate / 8 * PAYLOAD / MTU, 0.9,
	       1.02);
	/* of what there is, the less lucky one of a kind, or of two kinds */
	sum *= other == ccs[2] ? 0.25 : 0.08;
	if (got[0] < sum || got[1] < sum)
		sim_fail(t.w, "one starves");
	sim_end(t.w);
}

/* ---- marks instead of losses -------------------------------------------------------- */

void
case_ecn(uint64_t seed)
{
	static const uint64_t rtts[] = { 2 * MSEC, 20 * MSEC };
	uint64_t rtt = rtts[(seed - 1) / 2 % 2], bdp;
	const char *cc = ccs[(seed - 1) % 2];
	struct pipe_conf pipe = { .rate_bps = 100 * MBPS };
	struct node_conf node = { 0 };
	struct two t;
	struct ep *e;
	double got;

	bdp = (uint64_t)((double)pipe.rate_bps * (double)rtt / 8e9);
	pipe.delay_ns = rtt / 2;
	pipe.mark_bytes = bdp + 10 * MTU;
	pipe.queue_bytes = 10 * bdp + 300 * MTU;
	two_nodes(&t, "ecn", seed, &pipe, &node);
	sim_say(t.w, " %s, rtt %.0f ms, marks from %llu bytes on", cc,
		(double)rtt / 1e6, (unsigned long long)pipe.mark_bytes);
	e = flow(&t, 80, cc, 2);
	got = goodput(&t, e, 3 * SEC, 10 * SEC);
	result(t.w, "goodput", got, 100e6 / 8 * PAYLOAD / MTU, 0.9, 1.05);
	if (t.w->verbose)
		printf(
		    "ecn seed %llu: %llu marks, queue %llu on average, %llu "
		    "at most, %llu overflows\n",
		    (unsigned long long)seed,
		    (unsigned long long)t.there->marks,
		    (unsigned long long)(t.there->backlog_sum / t.there->pkts),
		    (unsigned long long)t.there->backlog_max,
		    (unsigned long long)t.there->overflows);
	SIM_CHECK(t.w, t.there->marks > 0);
	SIM_CHECK(t.w, t.there->overflows == 0);
	SIM_CHECK(t.w, sim_counter(t.w, UTCP_CTR_RETRANS_SEGS) == 0);
	/* a halving or so a mark: the queue does not stand at the mark */
	SIM_CHECK(t.w, t.there->backlog_sum / t.there->pkts < pipe.mark_bytes);
	sim_end(t.w);
}
