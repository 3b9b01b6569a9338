/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* words_linux.c: what explain.c says of Linux. */
#include <string.h>

#include "host.h"

const struct ms__words ms__words = {
	.sockets = "ss -anp",
	.load = "modprobe",
	.route = "ip route get",
	.command = "multistack",
	.status = "multistack status",
	.admin = "CAP_NET_ADMIN",
	.descriptors = ", LimitNOFILE= of the unit",
};

int
ms__explain_errno(const char *what, int code, struct ms_err *err)
{
	switch (code) {
	case -EMFILE:
	case -ENFILE:
		return ms_err_set(err, code,
				  "out of descriptors for %s: raise the limit "
				  "(ulimit -n, LimitNOFILE= of the unit)",
				  what);
	case -ENOMEM:
		return ms_err_set(err, code, "out of memory for %s", what);
	case -EPERM:
	case -EACCES:
		return ms_err_set(err, code,
				  "not permitted for %s: it needs "
				  "CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF: run "
				  "as root, or give the program these "
				  "capabilities",
				  what);
	default:
		return ms_err_set(err, code, "%s: %s", what, strerror(-code));
	}
}

int
ms__explain_low_port(const struct ms_ask *ask, const char *name,
		     unsigned int port, int code, struct ms_err *err)
{
	if (ask->cred->net_bind_service)
		return ms_err_set(err, code,
				  ask->kernel
				      ? "%s: CAP_NET_BIND_SERVICE is needed in "
					"the user namespace that owns this "
					"network"
				      : "%s: the switch itself has no "
					"CAP_NET_BIND_SERVICE; start it with "
					"that",
				  name);
	return ms_err_set(err, code,
			  "%s is a low port: it needs CAP_NET_BIND_SERVICE, or "
			  "sysctl net.ipv4.ip_unprivileged_port_start=%u (it "
			  "is %u)",
			  name, port, ms_unprivileged_port_start());
}

/* Where the capability is missing that the caller seems to have. */
static const char *
raw_where(const struct ms_ask *ask)
{
	if (!ask->cred->net_raw)
		return "";
	return ask->kernel ? " in the user namespace that owns this network"
			   : ", which the switch itself lacks";
}

int
ms__explain_no_raw(const struct ms_ask *ask, const char *name, int code,
		   struct ms_err *err)
{
	return ms_err_set(err, code, "%s: a whole protocol needs CAP_NET_RAW%s",
			  name, raw_where(ask));
}

int
ms__explain_no_admin(const struct ms_ask *ask, int code, struct ms_err *err)
{
	return ms_err_set(err, code,
			  "process %d of user %u has no CAP_NET_ADMIN, which "
			  "attaching and detaching takes: be root, or have it "
			  "among the ambient capabilities",
			  (int)ask->cred->pid, ask->cred->uid);
}
