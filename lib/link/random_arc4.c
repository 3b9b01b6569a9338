/* SPDX-License-Identifier: BSD-2-Clause */
/* random_arc4.c: FreeBSD 10 and 11. */
#include <stdlib.h>

#include "internal.h"

int
mslink__random(void *buf, size_t bytes)
{
	arc4random_buf(buf, bytes);
	return 0;
}
