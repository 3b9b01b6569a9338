/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ext_load.h: a TCP option by which a server tells its clients how busy it is,
 * on segments that go anyway.
 */
#ifndef EXT_LOAD_H
#define EXT_LOAD_H

#include <multistack/utcp.h>

/* Makes it known to a stack, on every socket opened from now on. *load (0 to
   100) is what we say of ourselves, read whenever there is something to say; it
   lasts as long as the stack. NULL: we only listen. As utcp_ext_register. */
int load_register(utcp_t *u, const unsigned int *load);
/* What the peer said last, 0 to 100; -1: nothing, or it has no such option. */
int load_of(const utcp_sock_t *s);

#endif /* EXT_LOAD_H */
