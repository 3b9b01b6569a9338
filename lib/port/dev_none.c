/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dev_none.c: systems where the kernel module is the only switch: there is no
 * multistackd, and no attachment that a program could have in itself.
 */
#include <errno.h>

#include "internal.h"

static int
none_open(msport_t *port, msport_error_t *err)
{
	/* An interface alone was named, and the module is not loaded. */
	if (port->dev.kind == MSPORT__ANY)
		return msport__kmod_missing(port, -ENOENT, err);
	return msport__fail(NULL, err, -EOPNOTSUPP,
			    "'%s': this system has the kernel module alone; "
			    "write for example 'kmod:%s'",
			    port->dev.name,
			    *port->dev.nic ? port->dev.nic : "em0");
}

static void
none_close(msport_t *port)
{
}

const struct msport__ops msport__daemon = {
	.name = "multistackd",
	.open = none_open,
	.close = none_close,
};

const struct msport__ops msport__inproc = {
	.name = "a switch in this process",
	.open = none_open,
	.close = none_close,
};
