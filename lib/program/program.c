/* SPDX-License-Identifier: BSD-2-Clause */
/* program.c: options of a stack and its port, signals, words. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

void
complain(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s: %s\n", program_name, text);
}

void
catch_signals(void (*on_signal)(int sig))
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* ---- options ------------------------------------------------------------- */

bool
option_number(const char *text, double least, double most, double *n)
{
	char *end;

	errno = 0;
	*n = strtod(text, &end);
	if (errno || end == text || *end || !(*n >= least) || !(*n <= most)) {
		complain("'%s' is no number from %g to %g", text, least, most);
		return false;
	}
	return true;
}

bool
option_uint(const char *text, unsigned int least, unsigned int most,
	    unsigned int *to)
{
	double n;

	if (!option_number(text, least, most, &n))
		return false;
	*to = (unsigned int)n;
	return true;
}

static bool
option_set(struct stack_options *o, const char *text)
{
	const char *eq = strchr(text, '='), *name;
	double n;

	if (!eq || o->num_set == sizeof o->set / sizeof *o->set) {
		complain("'%s' is not NAME=VALUE, or there are too many", text);
		return false;
	}
	for (unsigned int i = 0; (name = utcp_opt_name(i)) != NULL; i++) {
		if (strncmp(name, text, (size_t)(eq - text)) != 0 ||
		    name[eq - text])
			continue;
		if (!option_number(eq + 1, -1e15, 1e15, &n))
			return false;
		o->set[o->num_set].opt = (int)i;
		o->set[o->num_set++].value = (int64_t)n;
		return true;
	}
	complain("there is no option '%.*s'", (int)(eq - text), text);
	return false;
}

bool
option_stack(struct stack_options *o, int c, const char *arg)
{
	switch (c) {
	case OPT_CC:
		o->cc = arg;
		return true;
	case 'o':
		return option_set(o, arg);
	case OPT_PIN:
		o->pin = true;
		return true;
	case OPT_SPIN:
		return option_uint(arg, 0, 1000000, &o->spin_us);
	case OPT_SLOTS:
		return option_uint(arg, MS_SLOTS_MIN, MS_SLOTS_MAX, &o->slots);
	case OPT_BUFFER:
		return option_uint(arg, MS_BUF_BYTES_MIN, MS_BUF_BYTES_MAX,
				   &o->buf_bytes);
	case OPT_NO_OFFLOADS:
		o->no_offloads = UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_TCP |
				 UTCP_OFFLOAD_GSO_UDP;
		return true;
	default:
		return false;
	}
}

int
stack_options_set(const struct stack_options *o, utcp_sock_t *s)
{
	int r = 0;

	for (unsigned int i = 0; i < o->num_set && r == 0; i++)
		r = utcp_set(s, o->set[i].opt, o->set[i].value);
	if (r == 0 && o->cc)
		r = utcp_set_cc(s, o->cc);
	return r;
}
