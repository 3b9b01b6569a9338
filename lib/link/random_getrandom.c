/* SPDX-License-Identifier: BSD-2-Clause */
/* random_getrandom.c: Linux, FreeBSD from 12 on. */
#include <errno.h>
#include <sys/random.h>

#include "internal.h"

int
mslink__random(void *buf, size_t bytes)
{
	return getrandom(buf, bytes, 0) == (ssize_t)bytes ? 0 : -errno;
}
