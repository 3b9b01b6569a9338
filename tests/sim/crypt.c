/* SPDX-License-Identifier: BSD-2-Clause */
/* crypt.c: worlds whose stacks have tcpcrypt. */
#include <multistack/utcp_crypt.h>

#include "sim.h"

void
sim_encrypt(struct sim *w, struct node *n)
{
	int err = utcp_crypt_register(n->u);

	w->veiled = true;
	/* Where memory fails it is plain TCP. */
	SIM_CHECK(w, err == 0 || (err == -ENOMEM && n->conf.no_memory > 0));
}
