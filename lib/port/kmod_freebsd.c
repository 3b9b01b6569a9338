/* SPDX-License-Identifier: BSD-2-Clause */
/* kmod_freebsd.c: what is FreeBSD's way about the module and its users. */
#include <sys/types.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define DEVICE MSPORT__KMOD_DEVICE

const char msport__kmod_limits[] =
    "sysctl net.multistack.max_ports and net.multistack.max_memory";

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

/* ---- the device is not there ------------------------------------------------ */

static int
no_permission(msport_error_t *err)
{
	struct stat st;
	struct group *g;

	if (stat(DEVICE, &st) || st.st_gid == 0 || !(st.st_mode & S_IWGRP))
		return msport__fail(NULL, err, -EACCES,
				    "no permission for " DEVICE
				    ", which no group may use; have devfs "
				    "give it to one (devfs.rules(5)), or be "
				    "root");
	g = getgrgid(st.st_gid);
	return msport__fail(NULL, err, -EACCES,
			    "no permission for " DEVICE "; become a member of "
			    "its group%s%s%s, or ask the administrator",
			    g ? " '" : "", g ? g->gr_name : "", g ? "'" : "");
}

int
msport__kmod_missing(const msport_t *port, int code, msport_error_t *err)
{
	switch (code) {
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
	case -ENOTTY:
		return msport__fail(NULL, err, -ENODEV,
				    "the kernel module is not loaded (%s); "
				    "`kldload multistack`; in a jail, have "
				    "devfs show the device there",
				    code == -ENOENT
					? "there is no " DEVICE
					: "nobody is behind " DEVICE);
	case -EACCES:
	case -EPERM:
		return no_permission(err);
	case -EMFILE:
	case -ENFILE:
		return msport__fail(NULL, err, code,
				    "out of file descriptors; raise the limit "
				    "(ulimit -n, kern.maxfiles)");
	default:
		return msport__fail(NULL, err, code,
				    "cannot open " DEVICE ": %s",
				    strerror(-code));
	}
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

int
msport__kmod_attach(msport_t *port, const struct ms_cmd_attach *arg,
		    msport__ioctl *ioctl_, msport_error_t *err)
{
	struct ms_cmd_attach a = *arg;
	struct ms_err w = { "" };
	int r = ms_attach_check(&a, &w);

	if (r)
		return msport__fail(port, err, r, "%s", w.text);
	r = ioctl_(port, MS_CMD_ATTACH, &a, sizeof a, err);
	return r ? refused(port, &a, r, err) : 0;
}

int
msport__kmod_detach(msport_t *port, const struct ms_cmd_attach *arg,
		    msport__ioctl *ioctl_, msport_error_t *err)
{
	struct ms_cmd_attach a = *arg;
	struct ms_err w = { "" };
	int r = ms_attach_check(&a, &w);

	if (r)
		return msport__fail(port, err, r, "%s", w.text);
	return ioctl_(port, MS_CMD_DETACH, &a, sizeof a, err);
}
