/* SPDX-License-Identifier: BSD-2-Clause */
/* kmod_linux.c: what is Linux's way about the module and its users. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define NAMESPACE "/proc/thread-self/ns/net"

const struct msport__kmod_words msport__kmod_words = {
	.load = "`modprobe multistack`, or use daemon:",
	.load_ends_in_nic = true,
	.grant = "install the module's udev rule (60-multistack.rules)",
	.files = "ulimit -n",
	.limits = "max_ports and max_memory in "
		  "/sys/module/multistack/parameters",
};

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
