/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dualq.c: a bottleneck of two queues (RFC 9332, appendix A: DualPI2). L4S's
 * packets go first, but for those of the other queue that have waited so much
 * longer. The classic queue is held at a target by a PI controller, which drops
 * (or marks ECT(0)) with the square of the probability by which it marks L4S's;
 * those are marked from a step on as well.
 */
#include "sim.h"

#define TARGET (15 * MSEC)
#define UPDATE (16 * MSEC)
#define ALPHA 0.16 /* Hz, for round trips of up to 100 ms */
#define BETA 3.2
#define COUPLING 2.0
#define SHIFT (2 * TARGET) /* L4S's are ahead by so much */

enum { L4S, CLASSIC, QUEUES };

struct dualq {
	struct packet *first[QUEUES], **end[QUEUES];
	uint64_t bytes;
	double p;
	uint64_t last_wait_ns;
	bool busy;
};

static void send_next(struct pipe *pipe);

static uint64_t
head_wait(const struct pipe *pipe, int queue)
{
	const struct packet *p = pipe->dualq->first[queue];

	return p == NULL ? 0 : pipe->w->now_ns - p->since_ns;
}

static void
update(struct sim *w, void *arg)
{
	struct pipe *pipe = arg;
	struct dualq *q = pipe->dualq;
	uint64_t wait = head_wait(pipe, CLASSIC), l = head_wait(pipe, L4S);

	if (wait < l)
		wait = l;
	q->p += ALPHA * ((double)wait - (double)TARGET) * 1e-9 +
		BETA * ((double)wait - (double)q->last_wait_ns) * 1e-9;
	q->p = q->p < 0 ? 0 : q->p > 1 / COUPLING ? 1 / COUPLING : q->p;
	q->last_wait_ns = wait;
	sim_at(w, w->now_ns + UPDATE, update, pipe);
}

void
dualq_start(struct pipe *pipe)
{
	struct dualq *q = calloc(1, sizeof(*q));
	int i;

	SIM_CHECK(pipe->w, q != NULL);
	for (i = 0; i < QUEUES; i++)
		q->end[i] = &q->first[i];
	pipe->dualq = q;
	sim_at(pipe->w, pipe->w->now_ns + UPDATE, update, pipe);
}

void
dualq_end(struct pipe *pipe)
{
	struct dualq *q = pipe->dualq;
	struct packet *p;
	int i;

	for (i = 0; q != NULL && i < QUEUES; i++)
		while ((p = q->first[i]) != NULL) {
			q->first[i] = p->next;
			packet_free(pipe->w, p);
		}
	free(q);
}

static struct packet *
take(struct dualq *q, int queue)
{
	struct packet *p = q->first[queue];

	q->first[queue] = p->next;
	if (p->next == NULL)
		q->end[queue] = &q->first[queue];
	p->next = NULL;
	q->bytes -= p->len;
	return p;
}

/* The next to leave, marked if need be; NULL: it is dropped. */
static struct packet *
pick(struct pipe *pipe, int queue)
{
	struct dualq *q = pipe->dualq;
	uint64_t wait = head_wait(pipe, queue);
	struct rng *r = &pipe->w->rng;
	struct packet *p = take(q, queue);

	if (queue == L4S) {
		if ((wait > pipe->conf.step_ns ||
		     rng_chance(r, COUPLING * q->p)) &&
		    packet_mark(p))
			pipe->marks++;
		if (pipe->waits != NULL)
			waits_add(pipe->waits, wait, p->len);
		return p;
	}
	if (rng_chance(r, q->p * q->p) && !packet_mark(p)) {
		pipe->overflows++;
		packet_free(pipe->w, p);
		return NULL;
	}
	if (pipe->classic_waits != NULL)
		waits_add(pipe->classic_waits, wait, p->len);
	return p;
}

static void
link_free(struct sim *w, void *arg)
{
	struct pipe *pipe = arg;

	(void)w;
	pipe->dualq->busy = false;
	send_next(pipe);
}

static void
send_next(struct pipe *pipe)
{
	struct dualq *q = pipe->dualq;
	struct packet *p = NULL;
	uint64_t left_ns;
	int queue;

	while (p == NULL && (q->first[L4S] || q->first[CLASSIC])) {
		queue = q->first[L4S] == NULL ||
				(q->first[CLASSIC] != NULL &&
				 head_wait(pipe, CLASSIC) >
				     head_wait(pipe, L4S) + SHIFT)
			    ? CLASSIC
			    : L4S;
		p = pick(pipe, queue);
	}
	if (p == NULL)
		return;
	q->busy = true;
	left_ns = pipe->w->now_ns + (uint64_t)((double)p->len * 8e9 /
					       (double)pipe->conf.rate_bps);
	sim_at(pipe->w, left_ns, link_free, pipe);
	pipe_deliver(pipe, p, left_ns);
}

void
dualq_send(struct pipe *pipe, struct packet *p)
{
	struct dualq *q = pipe->dualq;
	int queue = packet_is_l4s(p) ? L4S : CLASSIC;

	if (q->bytes + p->len > pipe->conf.queue_bytes) {
		pipe->overflows++;
		packet_free(pipe->w, p);
		return;
	}
	p->since_ns = pipe->w->now_ns;
	p->next = NULL;
	*q->end[queue] = p;
	q->end[queue] = &p->next;
	q->bytes += p->len;
	if (!q->busy)
		send_next(pipe);
}
