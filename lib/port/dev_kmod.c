/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dev_kmod.c: ports of the kernel module, by /dev/multistack.
 *
 * The module is not part of this version; the name is kept for it, and says so.
 */
#include <errno.h>
#include <unistd.h>

#include "internal.h"

static int
kmod_open(msport_t *port, msport_error_t *err)
{
	bool there = access("/dev/multistack", F_OK) == 0;

	return msport__fail(NULL, err, -ENODEV,
			    there ? "/dev/multistack is there, but this "
				    "version of libmultistack cannot use the "
				    "kernel module; use daemon:%s"
				  : "no kernel module (/dev/multistack); use "
				    "daemon:%s",
			    port->dev.nic);
}

static void
kmod_close(msport_t *port)
{
}

const struct msport__ops msport__kmod = {
	.name = "the kernel module",
	.open = kmod_open,
	.close = kmod_close,
};
