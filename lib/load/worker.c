/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker.c: a thread's share of the load.
 *
 * With a rate, requests are due at fixed times, whatever has become of those
 * before: each takes the connection that has waited longest, and if none is free
 * it waits, and its wait counts. So a server that stalls is charged with
 * what it would have done to clients that do not wait for each other.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "load.h"

#define LOOKS                                                                  \
	8 /* for silent connections, in the time that they may be silent */
#define TICK_NS 1000000000u
#define WAKE_NS 100000000u /* at last, for a signal */

/* The index-th share of n. */
static uint64_t
share(uint64_t n, unsigned int of, unsigned int index)
{
	return n / of + (index < n % of);
}

int
worker_init(struct worker *w, const struct options *opt,
	    const struct carrier *carrier, struct live *live,
	    unsigned int index)
{
	*w = (struct worker){
		.opt = opt,
		.carrier = carrier,
		.live = live,
		.index = index,
		.num_conns = (unsigned int)share(opt->connections, opt->threads,
						 index),
		.left = UINT64_MAX,
		.due_ns = UINT64_MAX,
	};
	list_init(&w->idle);
	list_init(&w->retry);
	if (opt->requests != UINT64_MAX)
		w->left = share(opt->requests, opt->threads, index);
	if (opt->rate > 0)
		w->every_ns = 1e9 * opt->threads / opt->rate;
	if (live->recent) {
		w->recent = hist_create();
		if (!w->recent)
			return -ENOMEM;
	}
	return stats_init(&w->stats) ? -ENOMEM : conn_create_all(w);
}

void
worker_deinit(struct worker *w)
{
	conn_destroy_all(w);
	stats_deinit(&w->stats);
	hist_destroy(w->recent);
}

/* When the num_due-th request is due: threads take turns. */
static void
due(struct worker *w)
{
	double at = ((double)w->num_due +
		     (double)w->index / (double)w->opt->threads) *
		    w->every_ns;

	w->due_ns = w->start_ns + (uint64_t)at;
}

void
worker_start(struct worker *w)
{
	const struct options *o = w->opt;

	w->now_ns = mslink_now_ns();
	w->begin_ns = w->now_ns + o->warmup_ns;
	w->end_ns = o->duration_ns == UINT64_MAX ? UINT64_MAX
						 : w->begin_ns + o->duration_ns;
	w->look_ns = w->now_ns + o->timeout_ns / LOOKS;
	w->tick_ns = w->now_ns + TICK_NS;
	w->start_ns = w->now_ns;
	if (w->every_ns > 0)
		due(w);
}

/* ---- requests ---------------------------------------------------------------------- */

void
worker_begun(struct worker *w, uint64_t due_ns)
{
	if (due_ns < w->begin_ns)
		return;
	w->stats.begun++;
	if (w->left != UINT64_MAX)
		w->left--;
}

void
worker_error(struct worker *w, uint64_t due_ns, enum error e)
{
	if (due_ns < w->begin_ns)
		return;
	w->stats.errors[e]++;
}

void
worker_answered(struct worker *w, const struct pend *p,
		const struct response *r)
{
	uint64_t ns = w->now_ns - p->due_ns;

	if (w->recent)
		hist_record(w->recent, ns);
	if (p->due_ns < w->begin_ns)
		return;
	w->stats.answered++;
	w->stats.status[r->head.status / 100]++;
	w->stats.body_bytes += r->body_bytes;
	hist_record(w->stats.latency, ns);
	if (w->every_ns > 0)
		hist_record(w->stats.service, w->now_ns - p->sent_ns);
}

/* ---- time ------------------------------------------------------------------------------ */

/* Requests that are due, as far as there are connections for them. */
static void
schedule(struct worker *w)
{
	while (w->due_ns <= w->now_ns && w->left > 0 && !list_empty(&w->idle)) {
		uint64_t at = w->due_ns;

		w->num_due++;
		due(w);
		conn_assign(CONTAINER(w->idle.next, struct conn, wait), at);
	}
}

/* Few at a time: a server's queue for those that come is no place to wait. */
static void
retry(struct worker *w)
{
	while (!list_empty(&w->retry) && w->opening < OPENING_MAX) {
		struct conn *c = CONTAINER(w->retry.next, struct conn, wait);

		if (w->now_ns - c->since_ns < RETRY_NS)
			return;
		conn_start(c);
	}
}

/* Who has been silent too long. It is looked for now and then only, so that
   nothing is to be done for those that are not. */
static void
look(struct worker *w)
{
	for (unsigned int i = 0; i < w->num_conns; i++) {
		struct conn *c = conn_at(w, i);

		if ((c->state == CONN_OPENING ||
		     (c->state == CONN_OPEN && c->num)) &&
		    w->now_ns - c->since_ns >= w->opt->timeout_ns)
			conn_timeout(c);
	}
	w->look_ns = w->now_ns + w->opt->timeout_ns / LOOKS;
}

/* Tells who shows it. */
static void
tick(struct worker *w)
{
	uint64_t errors = stats_errors(&w->stats);

	w->tick_ns += TICK_NS;
	if (!w->recent)
		return;
	pthread_mutex_lock(&w->live->lock);
	hist_add(w->live->recent, w->recent);
	w->live->errors += errors - w->told;
	pthread_mutex_unlock(&w->live->lock);
	w->told = errors;
	hist_reset(w->recent);
}

static uint64_t
thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What is still under way, and what should have been. */
static void
finish(struct worker *w)
{
	uint64_t until = w->now_ns < w->end_ns ? w->now_ns : w->end_ns, n;

	w->over_ns = until;
	if (w->counts)
		w->cpu_ns = thread_cpu_ns() - w->cpu_ns;
	for (unsigned int i = 0; i < w->num_conns; i++) {
		struct conn *c = conn_at(w, i);

		for (uint32_t k = 0; k < c->num; k++) {
			uint32_t at = (c->first + k) % w->opt->pipeline;

			w->stats.unfinished += c->pend[at].due_ns >=
					       w->begin_ns;
		}
	}
	for (n = 0; w->due_ns < until && n < w->left; n++) {
		w->stats.unsent += w->due_ns >= w->begin_ns;
		w->num_due++;
		due(w);
	}
}

bool
worker_step(struct worker *w)
{
	w->now_ns = mslink_now_ns();
	if (!w->counts && w->now_ns >= w->begin_ns) {
		w->counts = true;
		w->cpu_ns = thread_cpu_ns();
	}
	if (atomic_load_explicit(&stop, memory_order_relaxed) ||
	    w->now_ns >= w->end_ns || (w->left == 0 && w->outstanding == 0)) {
		finish(w);
		return false;
	}
	schedule(w);
	retry(w);
	if (w->now_ns >= w->look_ns)
		look(w);
	if (w->now_ns >= w->tick_ns)
		tick(w);
	return true;
}

uint64_t
worker_wake_ns(const struct worker *w)
{
	uint64_t at = w->now_ns + WAKE_NS;

	if (w->end_ns < at)
		at = w->end_ns;
	if (w->look_ns < at)
		at = w->look_ns;
	if (w->tick_ns < at)
		at = w->tick_ns;
	if (w->due_ns < at && w->left > 0 && !list_empty(&w->idle))
		at = w->due_ns;
	if (!list_empty(&w->retry) && w->opening < OPENING_MAX) {
		struct conn *c = CONTAINER(w->retry.next, struct conn, wait);

		if (c->since_ns + RETRY_NS < at)
			at = c->since_ns + RETRY_NS;
	}
	return at;
}
