/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * words_freebsd.c: what explain.c says of FreeBSD, where root alone has
 * privileges, in a jail those that the jail has.
 */
#include <string.h>
#include <unistd.h>

#include "host.h"

const struct ms__words ms__words = {
	.sockets = "sockstat",
	.load = "kldload",
	.route = "route -n get",
	.command = "msctl",
	.status = "msctl list",
	.admin = "root",
	.descriptors = ", kern.maxfiles",
};

/* The module asks by itself; this is for the words. */
void
ms_cred_self(struct ms_cred *cred)
{
	bool root = geteuid() == 0;

	memset(cred, 0, sizeof(*cred));
	cred->uid = geteuid();
	cred->pid = getpid();
	cred->net_admin = cred->net_raw = cred->net_bind_service = root;
}

int
ms__explain_low_port(const struct ms_ask *ask, const char *name,
		     unsigned int port, int code, struct ms_err *err)
{
	return ms_err_set(err, code,
			  "%s is a reserved port: be root, or have sysctl "
			  "net.inet.ip.portrange.reservedhigh below %u",
			  name, port);
}

int
ms__explain_no_raw(const struct ms_ask *ask, const char *name, int code,
		   struct ms_err *err)
{
	return ms_err_set(err, code,
			  "%s: a whole protocol needs what a raw socket does: "
			  "root, in a jail allow.raw_sockets too",
			  name);
}

int
ms__explain_no_admin(const struct ms_ask *ask, int code, struct ms_err *err)
{
	return ms_err_set(err, code,
			  "process %d of user %u may not attach or detach: be "
			  "root, in a jail with a network of its own (vnet)",
			  (int)ask->cred->pid, ask->cred->uid);
}
