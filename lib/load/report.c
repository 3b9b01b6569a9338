/* SPDX-License-Identifier: BSD-2-Clause */
/* report.c: the table, much as wrk2's. */
#include <string.h>

#include "load.h"

static const double percents[] = { 50, 75, 90, 99, 99.9, 99.99, 99.999, 100 };

static void
put_time(FILE *to, double ns)
{
	if (ns < 1e6)
		fprintf(to, "%9.2fus", ns / 1e3);
	else if (ns < 1e9)
		fprintf(to, "%9.2fms", ns / 1e6);
	else
		fprintf(to, "%9.2fs ", ns / 1e9);
}

static void
put_bytes(FILE *to, double bytes)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	unsigned int i = 0;

	for (; bytes >= 1024 && i < 4; i++)
		bytes /= 1024;
	fprintf(to, "%.2f%s", bytes, units[i]);
}

/* HdrHistogram's own table: five values in each half of what is left. */
static void
put_spectrum(FILE *to, const struct hist *h)
{
	double percent = 0, step = 10;
	unsigned int ticks = 0;

	fprintf(to, "\n       Value   Percentile   TotalCount "
		    "1/(1-Percentile)\n\n");
	for (;;) {
		uint64_t v = hist_percentile(h, percent), below = 0;

		for (unsigned int i = 0; i <= hist_index(v); i++)
			below += h->counts[i];
		if (below == h->total)
			percent = 100;
		fprintf(to, "%12.3f %12.6f %12llu", (double)v / 1e6,
			percent / 100, (unsigned long long)below);
		if (percent >= 100)
			break;
		fprintf(to, " %12.2f\n", 100 / (100 - percent));
		percent += step;
		if (++ticks == 5) {
			step /= 2;
			ticks = 0;
		}
	}
	fprintf(to,
		"\n#[Mean    = %12.3f, StdDeviation   = %12.3f]\n"
		"#[Max     = %12.3f, Total count    = %12llu]\n"
		"#[Buckets = %12d, SubBuckets     = %12u] in ms\n",
		hist_mean(h) / 1e6, hist_stdev(h) / 1e6, (double)h->max / 1e6,
		(unsigned long long)h->total, HIST_BUCKETS, 2 * HIST_HALF);
}

static void
put_hist(FILE *to, const char *title, const struct hist *h, bool spectrum)
{
	if (h->total == 0)
		return;
	fprintf(to, "  %s\n", title);
	for (size_t i = 0; i < sizeof percents / sizeof *percents; i++) {
		fprintf(to, "%8.3f%%", percents[i]);
		put_time(to, (double)hist_percentile(h, percents[i]));
		fputc('\n', to);
	}
	fputs("    mean ", to);
	put_time(to, hist_mean(h));
	fputs(", standard deviation ", to);
	put_time(to, hist_stdev(h));
	fputc('\n', to);
	if (spectrum)
		put_spectrum(to, h);
}

/* What went wrong, if anything did. */
static void
put_errors(FILE *to, const struct stats *s)
{
	const struct {
		const char *what;
		uint64_t n;
	} also[] = {
		{ "status 3xx", s->status[3] },
		{ "status 4xx", s->status[4] },
		{ "status 5xx", s->status[5] },
		{ "under way at the end", s->unfinished },
		{ "due, and never sent", s->unsent },
		{ "sent again, as the server had closed", s->repeated },
		{ "connections closed while idle", s->idle_closed },
	};

	for (int i = 0; i < ERR_MAX; i++)
		if (s->errors[i])
			fprintf(to, "  Errors: %s %llu\n", error_names[i],
				(unsigned long long)s->errors[i]);
	for (size_t i = 0; i < sizeof also / sizeof *also; i++)
		if (also[i].n)
			fprintf(to, "  %s: %llu\n", also[i].what,
				(unsigned long long)also[i].n);
}

void
report(FILE *to, const struct result *r)
{
	const struct options *o = r->opt;
	const struct stats *s = r->stats;
	double seconds = r->seconds > 0 ? r->seconds : 1e-9;
	char title[96];

	fprintf(to, "%s, %s: %u thread%s, %u connection%s", o->url,
		o->device ? o->device : "the host's stack", o->threads,
		o->threads > 1 ? "s" : "", o->connections,
		o->connections > 1 ? "s" : "");
	if (o->pipeline > 1)
		fprintf(to, ", %u requests in each", o->pipeline);
	if (o->rate > 0)
		fprintf(to, ", %g requests/s due", o->rate);
	fputc('\n', to);
	put_hist(to,
		 o->rate > 0 ? "Latency (HdrHistogram), from when it was due"
			     : "Latency (HdrHistogram), as measured",
		 s->latency, o->spectrum);
	if (o->rate > 0)
		put_hist(to, "From when it was sent", s->service, false);
	if (r->corrected) {
		snprintf(title, sizeof title,
			 "Corrected for one request each %.3f ms",
			 (double)r->interval_ns / 1e6);
		put_hist(to, title, r->corrected, false);
	}
	if (o->one_each)
		put_hist(to, "Of that, until the connection was open",
			 s->connect, false);
	fprintf(to, "  %llu requests in %.2fs, ",
		(unsigned long long)s->answered, r->seconds);
	put_bytes(to, (double)s->in_bytes);
	fputs(" read\n", to);
	put_errors(to, s);
	fprintf(to, "Requests/sec: %12.2f\nTransfer/sec:     ",
		(double)s->answered / seconds);
	put_bytes(to, (double)s->in_bytes / seconds);
	fprintf(to, "\nRequests/CPU-sec: %8.2f\n",
		(double)s->answered /
		    (r->cpu_seconds > 0 ? r->cpu_seconds : 1e-9));
}
