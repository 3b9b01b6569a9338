/* SPDX-License-Identifier: BSD-2-Clause */
/* kmod_missing.c: words for a device that cannot be opened. */
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/types.h>
#include <sys/stat.h>

#include "internal.h"

#define DEVICE MSPORT__KMOD_DEVICE

static int
no_permission(msport_error_t *err)
{
	struct stat st;
	struct group *g;

	if (stat(DEVICE, &st) || st.st_gid == 0 || !(st.st_mode & S_IWGRP))
		return msport__fail(NULL, err, -EACCES,
				    "no permission for " DEVICE
				    ", which no group may use; %s, or be root",
				    msport__kmod_words.grant);
	g = getgrgid(st.st_gid);
	return msport__fail(NULL, err, -EACCES,
			    "no permission for " DEVICE "; become a member of "
			    "its group%s%s%s, or ask the administrator",
			    g ? " '" : "", g ? g->gr_name : "", g ? "'" : "");
}

static int
not_loaded(const msport_t *port, const char *why, msport_error_t *err)
{
	const char *nic = *port->dev.nic ? port->dev.nic : "eth0";

	return msport__fail(NULL, err, -ENODEV,
			    "the kernel module is not loaded (%s); %s%s", why,
			    msport__kmod_words.load,
			    msport__kmod_words.load_ends_in_nic ? nic : "");
}

int
msport__kmod_missing(const msport_t *port, int code, msport_error_t *err)
{
	switch (code) {
	case -ENOENT:
		return not_loaded(port, "there is no " DEVICE, err);
	case -ENXIO:
	case -ENODEV:
	case -ENOTTY:
		return not_loaded(port, "nobody is behind " DEVICE, err);
	case -EACCES:
	case -EPERM:
		return no_permission(err);
	case -EMFILE:
	case -ENFILE:
		return msport__fail(NULL, err, code,
				    "out of file descriptors; raise the limit "
				    "(%s)",
				    msport__kmod_words.files);
	default:
		return msport__fail(NULL, err, code,
				    "cannot open " DEVICE ": %s",
				    strerror(-code));
	}
}
