/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * misuse.h: a table of calls that make no sense, and what each says.
 */
#ifndef MISUSE_H
#define MISUSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct misuse {
	const char *call; /* as it is written */
	intmax_t said, want;
};

#define SAYS(call, want) { #call, (intmax_t)(call), (intmax_t)(want) }
#define IS_NULL(call) { #call, (intmax_t)(intptr_t)(call), 0 }
#define NOTHING(call) { #call, ((call), 0), 0 } /* it returns nothing */

static inline void
misuse_check(const struct misuse *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].said != rows[i].want)
			fail_msg("%s: %jd, not %jd", rows[i].call, rows[i].said,
				 rows[i].want);
}

/* Whether each of these calls stands in the table. */
static inline void
misuse_complete(const struct misuse *rows, size_t n, const char *const *calls,
		size_t num_calls)
{
	for (size_t c = 0; c < num_calls; c++) {
		size_t len = strlen(calls[c]), i = 0;

		while (i < n && (strncmp(rows[i].call, calls[c], len) != 0 ||
				 rows[i].call[len] != '('))
			i++;
		if (i == n)
			fail_msg("%s is public and not in the table", calls[c]);
	}
}

#endif /* MISUSE_H */
