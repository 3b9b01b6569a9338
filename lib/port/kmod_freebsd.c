/* SPDX-License-Identifier: BSD-2-Clause */
/* kmod_freebsd.c: what is FreeBSD's way about the module and its users. */
#include <sys/types.h>
#include <sys/mman.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

const struct msport__kmod_words msport__kmod_words = {
	.load = "`kldload multistack`; in a jail, have devfs show the device "
		"there",
	.grant = "have devfs give it to one (devfs.rules(5))",
	.files = "ulimit -n, kern.maxfiles",
	.limits = "sysctl net.multistack.max_ports and "
		  "net.multistack.max_memory",
};

const char *
msport__getenv(const char *name)
{
	return issetugid() ? NULL : getenv(name);
}

void
msport__kmod_keep(void *region, size_t bytes)
{
	(void)minherit(region, bytes, INHERIT_NONE);
}

/* ---- networks: a process has one, its jail's -------------------------------- */

int
msport__kmod_place(void)
{
	return -1;
}

int
msport__kmod_enter(int place, int *back)
{
	*back = -1;
	return 0;
}

void
msport__kmod_leave(int back)
{
}

/* ---- attaching -------------------------------------------------------------- */

/* What the module's errno means, where it is not that of others. */
static int
refused(msport_t *port, const struct ms_cmd_attach *a, int code,
	msport_error_t *err)
{
	switch (code) {
	case -EBUSY:
		return msport__fail(
		    port, err, code,
		    "'%s' was attached before, and somebody has "
		    "put an input routine of his own over ours "
		    "since (netmap without the driver's help "
		    "does); end that, or make the interface "
		    "anew",
		    a->nic);
	case -EINVAL:
		return msport__fail(port, err, code,
				    "%s: kind '%s', options '%s' or queues %u "
				    "are not what the kernel module takes",
				    a->nic, a->kind, a->options, a->queues);
	case -EOPNOTSUPP:
		return msport__fail(port, err, code,
				    "'%s' has no Ethernet frames at its input; "
				    "of a bridge or lagg attach the members, "
				    "of a vlan on 10.4 the parent",
				    a->nic);
	default:
		return code;
	}
}

/* cmd, of what can be one's at all. */
static int
command(msport_t *port, uint32_t cmd, const struct ms_cmd_attach *arg,
	msport__ioctl *ioctl_, msport_error_t *err)
{
	struct ms_cmd_attach a = *arg;
	struct ms_err w = { "" };
	int r = ms_attach_check(&a, &w);

	if (r)
		return msport__fail(port, err, r, "%s", w.text);
	return ioctl_(port, cmd, &a, sizeof a, err);
}

int
msport__kmod_attach(msport_t *port, const struct ms_cmd_attach *arg,
		    msport__ioctl *ioctl_, msport_error_t *err)
{
	int r = command(port, MS_CMD_ATTACH, arg, ioctl_, err);

	return r ? refused(port, arg, r, err) : 0;
}

int
msport__kmod_detach(msport_t *port, const struct ms_cmd_attach *arg,
		    msport__ioctl *ioctl_, msport_error_t *err)
{
	return command(port, MS_CMD_DETACH, arg, ioctl_, err);
}
