/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_crypt.c: target tcp-crypt, in which no byte is read that was not sealed. */
#include <multistack/utcp_crypt.h>

#include "prim.h"
#include "tcp_world.h"

const bool fuzz_sealed = true;

/* In place of random.c: the same each time, and never twice. */
int
crypt__random(void *buf, size_t len)
{
	static uint32_t state;
	uint8_t *p = buf;

	while (len-- > 0)
		*p++ = (uint8_t)dice(&state);
	return 0;
}

void
fuzz_crypt_stack(utcp_t *u)
{
	FUZZ_CHECK(utcp_crypt_register(u) == 0);
}

bool
fuzz_crypt_socket(utcp_sock_t *s)
{
	const utcp_crypt_options_t o = { .size = sizeof(o),
					 .flags = UTCP_CRYPT_MUST };
	int err = utcp_crypt_set(s, &o);

	/* Another extension's options may leave no place. */
	FUZZ_CHECK(err == 0 || err == -ENOMEM || err == -EEXIST);
	return err == 0;
}
