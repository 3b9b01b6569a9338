/* SPDX-License-Identifier: BSD-2-Clause */
/* stats.c: counts of a thread, and of all. */
#include <errno.h>
#include <string.h>

#include "load.h"

const char *const error_names[ERR_MAX] = {
	[ERR_CONNECT] = "connect", [ERR_TIMEOUT] = "timeout",
	[ERR_RESET] = "reset",	   [ERR_CLOSED] = "closed",
	[ERR_BAD] = "bad",
};

int
stats_init(struct stats *s)
{
	*s = (struct stats){ 0 };
	s->latency = hist_create();
	s->service = hist_create();
	s->connect = hist_create();
	return s->latency && s->service && s->connect ? 0 : -ENOMEM;
}

void
stats_deinit(struct stats *s)
{
	hist_destroy(s->latency);
	hist_destroy(s->service);
	hist_destroy(s->connect);
}

void
stats_add(struct stats *to, const struct stats *from)
{
	to->begun += from->begun;
	to->answered += from->answered;
	for (int i = 0; i < 6; i++)
		to->status[i] += from->status[i];
	for (int i = 0; i < ERR_MAX; i++)
		to->errors[i] += from->errors[i];
	to->unfinished += from->unfinished;
	to->unsent += from->unsent;
	to->repeated += from->repeated;
	to->connects += from->connects;
	to->idle_closed += from->idle_closed;
	to->in_bytes += from->in_bytes;
	to->body_bytes += from->body_bytes;
	hist_add(to->latency, from->latency);
	hist_add(to->service, from->service);
	hist_add(to->connect, from->connect);
}

uint64_t
stats_errors(const struct stats *s)
{
	uint64_t n = s->status[4] + s->status[5];

	for (int i = 0; i < ERR_MAX; i++)
		n += s->errors[i];
	return n;
}
