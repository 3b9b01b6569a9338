/* SPDX-License-Identifier: BSD-2-Clause */
/* crypt.c: utcp-peer with tcpcrypt. */
#include <errno.h>

#include "peer.h"

#ifdef HAS_CRYPT
#include <multistack/utcp_crypt.h>

int
peer_crypt(utcp_t *u)
{
	return utcp_crypt_register(u);
}

int
peer_session(const utcp_sock_t *s)
{
	utcp_crypt_session_t session = { .size = sizeof(session) };

	return utcp_crypt_session(s, &session);
}
#else
int
peer_crypt(utcp_t *u)
{
	(void)u;
	return -ENOSYS;
}

int
peer_session(const utcp_sock_t *s)
{
	(void)s;
	return -ENOSYS;
}
#endif
