/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c: multistack-load's threads, what it shows meanwhile, and its end. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define LOOK_NS 100000000l

atomic_int stop;
static atomic_uint running;

const char program_name[] = "multistack-load";

/* The second one ends it at once. */
static void
on_signal(int sig)
{
	if (stop++)
		_exit(128 + sig);
}

/* ---- the live line -------------------------------------------------------------------- */

static void
show(struct live *live)
{
	struct hist *h = live->recent;

	pthread_mutex_lock(&live->lock);
	fprintf(stderr,
		"\r\033[K%llu requests/s, %llu errors, p50 %.3f ms, "
		"p99 %.3f ms",
		(unsigned long long)h->total, (unsigned long long)live->errors,
		(double)hist_percentile(h, 50) / 1e6,
		(double)hist_percentile(h, 99) / 1e6);
	hist_reset(h);
	pthread_mutex_unlock(&live->lock);
	fflush(stderr);
}

struct started {
	struct worker *w;
	void *(*work)(void *);
};

static void *
begin(void *arg)
{
	struct started *s = arg;

	s->work(s->w);
	running--;
	return NULL;
}

static void
watch(struct live *live)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	unsigned int looks = 0;

	while (running) {
		nanosleep(&pause, NULL);
		if (live->recent && ++looks % 10 == 1 && looks > 1)
			show(live);
	}
	if (live->recent)
		fputs("\r\033[K", stderr);
}

int
run_threads(struct worker *const w[], unsigned int n, void *(*work)(void *))
{
	struct started s[THREADS_MAX];
	unsigned int i;
	int r = 0;

	running = n;
	for (i = 0; i < n && r == 0; i++) {
		s[i] = (struct started){ .w = w[i], .work = work };
		r = pthread_create(&w[i]->thread, NULL, begin, &s[i]);
	}
	if (r) {
		complain("a thread: %s", strerror(r));
		stop = 1;
		running -= n - --i;
	}
	watch(w[0]->live);
	while (i-- > 0)
		pthread_join(w[i]->thread, NULL);
	return -r;
}

void
total_add(struct total *all, const struct worker *w)
{
	stats_add(&all->stats, &w->stats);
	if (w->begin_ns < all->begin_ns)
		all->begin_ns = w->begin_ns;
	if (w->over_ns > all->over_ns)
		all->over_ns = w->over_ns;
	all->cpu_ns += w->cpu_ns;
	all->status |= w->status;
}

/* ---- the end ---------------------------------------------------------------------------- */

static int
write_json(const struct result *r)
{
	const char *path = r->opt->json;
	bool out = strcmp(path, "-") == 0;
	FILE *to = out ? stdout : fopen(path, "w");
	int e = to ? json(to, r) : -errno;

	if (to && (out ? fflush(to) : fclose(to)) && e == 0)
		e = -errno;
	if (e)
		complain("%s: %s", path, strerror(-e));
	return e;
}

/* Says it all; an exit status. */
static int
conclude(const struct options *o, const struct total *all)
{
	struct result r = { .opt = o,
			    .stats = &all->stats,
			    .cpu_seconds = (double)all->cpu_ns / 1e9 };
	struct hist *corrected = o->rate > 0 ? NULL : hist_create();
	int status = all->status || stats_errors(&all->stats) > 0;

	if (all->over_ns > all->begin_ns)
		r.seconds = (double)(all->over_ns - all->begin_ns) / 1e9;
	if (corrected) {
		r.interval_ns = o->interval_ns;
		if (r.interval_ns == 0)
			r.interval_ns = hist_percentile(all->stats.latency, 50);
		hist_add_corrected(corrected, all->stats.latency,
				   r.interval_ns);
		r.corrected = corrected;
	}
	if (!o->quiet && !(o->json && strcmp(o->json, "-") == 0))
		report(stdout, &r);
	if (o->json && write_json(&r))
		status = 1;
	hist_destroy(corrected);
	return status;
}

static int
run(const struct options *o)
{
	struct live live = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct total all = { .begin_ns = UINT64_MAX };
	int r = stats_init(&all.stats);

	if (r == 0 && !o->quiet && isatty(STDERR_FILENO)) {
		live.recent = hist_create();
		r = live.recent ? 0 : -ENOMEM;
	}
	if (r)
		complain("out of memory");
	else
		r = o->device ? run_utcp(o, &live, &all)
			      : run_host(o, &live, &all);
	if (r == 0)
		r = conclude(o, &all);
	hist_destroy(live.recent);
	stats_deinit(&all.stats);
	return r != 0;
}

int
main(int argc, char **argv)
{
	struct options o;
	int status = options_parse(&o, argc, argv);

	if (status < 0) {
		catch_signals(on_signal);
		status = run(&o);
	}
	options_free(&o);
	return status;
}
