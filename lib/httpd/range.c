/* SPDX-License-Identifier: BSD-2-Clause */
/* range.c: the Range field (section 14.1.2). */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "httpd.h"

/* Digits at *p as a number, *p behind them; more than fits is the most that does
   (section 14.1.1). False: there are none. */
static bool
number(const char **p, uint64_t *n)
{
	const char *at = *p;

	for (*n = 0; isdigit((unsigned char)*at); at++)
		*n = *n > (UINT64_MAX - 9) / 10
			 ? UINT64_MAX
			 : *n * 10 + (uint64_t)(*at - '0');
	if (at == *p)
		return false;
	*p = at;
	return true;
}

static void
skip_space(const char **p)
{
	while (**p == ' ' || **p == '\t')
		(*p)++;
}

/* One range-spec. 1: r is it; 0: outside the file; -1: no range at all. */
static int
spec(const char **p, uint64_t size, struct range *r)
{
	uint64_t first, last;

	if (**p == '-') { /* suffix */
		(*p)++;
		if (!number(p, &last))
			return -1;
		if (last > 0 && size == 0) /* satisfied by nothing at all */
			return -1;
		if (last > size)
			last = size;
		*r = (struct range){ size - last, last };
		return last > 0;
	}
	if (!number(p, &first) || *(*p)++ != '-')
		return -1;
	last = size - 1;
	if (isdigit((unsigned char)**p)) {
		if (!number(p, &last) || last < first)
			return -1;
	}
	if (first >= size)
		return 0;
	if (last > size - 1)
		last = size - 1;
	*r = (struct range){ first, last - first + 1 };
	return 1;
}

int
range_parse(const char *field, uint64_t size, struct range r[RANGES_MAX])
{
	const char *p = field;
	uint64_t total = 0;
	int n = 0, asked = 0, ok;

	/* A unit that we do not know, or a field that is wrong, is ignored
	   (section 14.2). */
	if (strncasecmp(p, "bytes=", 6) != 0)
		return 0;
	p += 6;
	for (;;) {
		skip_space(&p);
		while (*p == ',') { /* empty elements (section 5.6.1.2) */
			p++;
			skip_space(&p);
		}
		if (!*p)
			break;
		if (n == RANGES_MAX)
			return 0;
		ok = spec(&p, size, &r[n]);
		skip_space(&p);
		if (ok < 0 || (*p && *p != ','))
			return 0;
		asked++;
		if (ok)
			total += r[n++].len;
	}
	if (asked == 0)
		return 0;
	if (n == 0)
		return -1;
	/* Overlaps that make more of it than there is are an attack (section
	   17.15): all of it then, once. */
	return total > size ? 0 : n;
}
