/* SPDX-License-Identifier: BSD-2-Clause */
/* series.c: columns of numbers over time. */
#include "internal.h"

int
mssim__series_add(struct mssim__series *s, const double *row,
		  unsigned int columns)
{
	size_t room = s->room ? 2 * s->room : 1024;
	unsigned int i;
	double *p;

	if (s->num == s->room) {
		for (i = 0; i < columns; i++) {
			p = realloc(s->column[i], room * sizeof(*p));
			if (!p)
				return -ENOMEM;
			s->column[i] = p;
		}
		s->room = room;
	}
	for (i = 0; i < columns; i++)
		s->column[i][s->num] = row[i];
	s->num++;
	return 0;
}

void
mssim__series_free(struct mssim__series *s)
{
	unsigned int i;

	for (i = 0; i < MSSIM__COLUMNS_MAX; i++)
		free(s->column[i]);
}
