/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_plain.c: target tcp has no tcpcrypt. */
#include "tcp_world.h"

const bool fuzz_sealed = false;

void
fuzz_crypt_stack(utcp_t *u)
{
	(void)u;
}

bool
fuzz_crypt_socket(utcp_sock_t *s)
{
	(void)s;
	return true;
}
