/* SPDX-License-Identifier: BSD-2-Clause */
/* table_none.c: for systems whose processes' descriptors nobody else opens. */
#include "internal.h"

void
mslink__table_init(mslink_t *l)
{
	l->table_due_ns = UTCP_NEVER;
}

void
mslink__table_deinit(mslink_t *l)
{
}

void
mslink__table_write(mslink_t *l, uint64_t now_ns)
{
}
