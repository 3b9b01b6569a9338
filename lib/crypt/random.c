/* SPDX-License-Identifier: BSD-2-Clause */
/* random.c: a file of its own, so that a test can have another. */
#include <errno.h>

#include <openssl/rand.h>

#include "prim.h"

int
crypt__random(void *buf, size_t len)
{
	return RAND_priv_bytes(buf, (int)len) == 1 ? 0 : -EIO;
}
