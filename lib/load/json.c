/* SPDX-License-Identifier: BSD-2-Clause */
/* json.c: the same for programs: one object, times in nanoseconds. */
#include <errno.h>
#include <stdlib.h>

#include "load.h"

static void
put_string(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			fprintf(to, "\\u%04x", c);
		else
			fputc(c, to);
	}
	fputc('"', to);
}

static void
put_count(FILE *to, const char *name, uint64_t n, bool last)
{
	fprintf(to, "\"%s\": %llu%s", name, (unsigned long long)n,
		last ? "" : ", ");
}

static int
put_hist(FILE *to, const char *name, const struct hist *h)
{
	static const struct {
		const char *name;
		double percent;
	} at[] = {
		{ "50", 50 },	    { "75", 75 },	  { "90", 90 },
		{ "95", 95 },	    { "99", 99 },	  { "99.9", 99.9 },
		{ "99.99", 99.99 }, { "99.999", 99.999 }, { "100", 100 },
	};
	char *text = hist_base64(h);

	if (!text)
		return -ENOMEM;
	fprintf(to, ",\n \"%s\": {", name);
	put_count(to, "count", h->total, false);
	put_count(to, "min_ns", h->total ? h->min : 0, false);
	put_count(to, "max_ns", h->max, false);
	fprintf(to,
		"\"mean_ns\": %.1f, \"stdev_ns\": %.1f,\n"
		"  \"percentiles_ns\": {",
		hist_mean(h), hist_stdev(h));
	for (size_t i = 0; i < sizeof at / sizeof *at; i++)
		put_count(to, at[i].name, hist_percentile(h, at[i].percent),
			  i + 1 == sizeof at / sizeof *at);
	fprintf(to, "},\n  \"hdr\": \"%s\"}", text);
	free(text);
	return 0;
}

static void
put_what(FILE *to, const struct options *o)
{
	fputs("{\"program\": \"multistack-load " MS_VERSION "\",\n \"url\": ",
	      to);
	put_string(to, o->url);
	fputs(", \"method\": ", to);
	put_string(to, o->method);
	fputs(", \"device\": ", to);
	if (o->device)
		put_string(to, o->device);
	else
		fputs("null", to);
	fprintf(to,
		",\n \"threads\": %u, \"connections\": %u, "
		"\"pipeline\": %u, \"close\": %s, \"rate\": ",
		o->threads, o->connections, o->pipeline,
		o->one_each ? "true" : "false");
	if (o->rate > 0)
		fprintf(to, "%g", o->rate);
	else
		fputs("null", to);
	fprintf(to, ", \"warmup_s\": %g", (double)o->warmup_ns / 1e9);
}

static void
put_counts(FILE *to, const struct stats *s)
{
	static const char *const classes[] = { NULL,  NULL,  "2xx",
					       "3xx", "4xx", "5xx" };

	fputs(",\n \"requests\": {", to);
	put_count(to, "begun", s->begun, false);
	put_count(to, "answered", s->answered, false);
	put_count(to, "unfinished", s->unfinished, false);
	put_count(to, "unsent", s->unsent, false);
	put_count(to, "repeated", s->repeated, true);
	fputs("},\n \"status\": {", to);
	for (int i = 2; i < 6; i++)
		put_count(to, classes[i], s->status[i], i == 5);
	fputs("},\n \"errors\": {", to);
	for (int i = 0; i < ERR_MAX; i++)
		put_count(to, error_names[i], s->errors[i], i + 1 == ERR_MAX);
	fputs("},\n ", to);
	put_count(to, "connects", s->connects, false);
	put_count(to, "idle_closed", s->idle_closed, false);
	put_count(to, "in_bytes", s->in_bytes, false);
	put_count(to, "body_bytes", s->body_bytes, true);
}

int
json(FILE *to, const struct result *r)
{
	const struct stats *s = r->stats;
	double seconds = r->seconds > 0 ? r->seconds : 1e-9;
	int e;

	put_what(to, r->opt);
	fprintf(to,
		",\n \"seconds\": %.6f, \"cpu_seconds\": %.6f, "
		"\"per_s\": %.3f, \"in_bytes_per_s\": %.1f",
		r->seconds, r->cpu_seconds, (double)s->answered / seconds,
		(double)s->in_bytes / seconds);
	put_counts(to, s);
	e = put_hist(to, "latency", s->latency);
	if (e == 0 && r->opt->rate > 0)
		e = put_hist(to, "service", s->service);
	if (e == 0 && r->corrected) {
		e = put_hist(to, "corrected", r->corrected);
		fprintf(to, ",\n \"interval_ns\": %llu",
			(unsigned long long)r->interval_ns);
	}
	if (e == 0)
		e = put_hist(to, "connect", s->connect);
	fputs("}\n", to);
	return e == 0 && ferror(to) ? -EIO : e;
}
