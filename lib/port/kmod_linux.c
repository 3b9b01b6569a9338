/* SPDX-License-Identifier: BSD-2-Clause */
/* kmod_linux.c: what is Linux's way about the module and its users. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define DEVICE MSPORT__KMOD_DEVICE
#define NAMESPACE "/proc/thread-self/ns/net"

const char msport__kmod_limits[] =
    "max_ports and max_memory in /sys/module/multistack/parameters";

const char *
msport__getenv(const char *name)
{
	return secure_getenv(name);
}

void
msport__kmod_keep(void *region, size_t bytes)
{
	(void)madvise(region, bytes, MADV_DONTFORK);
}

/* ---- the device is not there ------------------------------------------------ */

/* What `daemon:` would be called for the same interface. */
static const char *
instead(const msport_t *port)
{
	return *port->dev.nic ? port->dev.nic : "eth0";
}

static int
no_permission(msport_error_t *err)
{
	struct stat st;
	struct group *g;

	if (stat(DEVICE, &st) || st.st_gid == 0 || !(st.st_mode & S_IWGRP))
		return msport__fail(NULL, err, -EACCES,
				    "no permission for " DEVICE
				    ", which no group may use; install "
				    "the module's udev rule "
				    "(60-multistack.rules), or be root");
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
				    "`modprobe multistack`, or use daemon:%s",
				    code == -ENOENT
					? "there is no " DEVICE
					: "nobody is behind " DEVICE,
				    instead(port));
	case -EACCES:
	case -EPERM:
		return no_permission(err);
	case -EMFILE:
	case -ENFILE:
		return msport__fail(NULL, err, code,
				    "out of file descriptors; raise the limit "
				    "(ulimit -n)");
	default:
		return msport__fail(NULL, err, code,
				    "cannot open " DEVICE ": %s",
				    strerror(-code));
	}
}

/* ---- network namespaces ------------------------------------------------------ */

int
msport__kmod_place(void)
{
	return open(NAMESPACE, O_RDONLY | O_CLOEXEC);
}

int
msport__kmod_enter(int place, int *back)
{
	struct stat theirs, ours;
	int r = 0;

	*back = -1;
	if (place < 0)
		return 0;
	*back = open(NAMESPACE, O_RDONLY | O_CLOEXEC);
	if (*back < 0 || fstat(*back, &ours) || fstat(place, &theirs))
		r = -errno;
	else if (ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev) {
		if (setns(place, CLONE_NEWNET) == 0)
			return 0;
		r = -errno;
	}
	if (*back >= 0)
		close(*back);
	*back = -1;
	return r;
}

void
msport__kmod_leave(int back)
{
	if (back < 0)
		return;
	(void)setns(back, CLONE_NEWNET); /* it came from there */
	close(back);
}
