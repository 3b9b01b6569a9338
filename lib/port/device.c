/* SPDX-License-Identifier: BSD-2-Clause */
/* device.c: device strings. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"
#include "ms_proto.h"

static int
set_nic(struct msport__device *dev, const char *nic, bool need_nic,
	msport_error_t *err)
{
	size_t n = strlen(nic);

	if (n == 0 && need_nic)
		return msport__fail(NULL, err, -EINVAL,
				    "'%s' names no interface; write for "
				    "example 'daemon:eth0'",
				    dev->name);
	if (n >= sizeof dev->nic)
		return msport__fail(NULL, err, -EINVAL,
				    "'%s' is too long for an interface name "
				    "(%zu characters at most)",
				    nic, sizeof dev->nic - 1);
	memcpy(dev->nic, nic, n + 1);
	return 0;
}

/* "daemon", "daemon:IF", "daemon@PATH", "daemon@PATH:IF" from behind the
   word; PATH may contain colons if IF is given. */
static int
parse_daemon(struct msport__device *dev, const char *rest, bool need_nic,
	     msport_error_t *err)
{
	const char *env = msport__getenv("MULTISTACK_SOCKET");
	const char *path = env && *env ? env : MS_SOCKET_PATH;
	const char *colon = strrchr(rest, ':');
	size_t n = strlen(path);

	dev->kind = MSPORT__DAEMON;
	if (*rest == '@') {
		path = rest + 1;
		n = colon ? (size_t)(colon - path) : strlen(path);
	}
	if (n == 0 || n >= sizeof dev->socket)
		return msport__fail(NULL, err, -EINVAL,
				    "'%s': the path of the daemon's socket has "
				    "to have 1 to %zu characters",
				    dev->name, sizeof dev->socket - 1);
	memcpy(dev->socket, path, n);
	dev->socket[n] = '\0';
	return set_nic(dev, colon ? colon + 1 : "", need_nic, err);
}

static int
parse_inproc(struct msport__device *dev, msport_error_t *err)
{
	struct ms_err words = { "" };
	int r = ms_attach_spec(dev->name, &dev->attach, &words);

	if (r)
		return msport__fail(NULL, err, r, "%s", words.text);
	dev->kind = MSPORT__INPROC;
	memcpy(dev->nic, dev->attach.nic, sizeof dev->nic);
	return 0;
}

int
msport__device_parse(struct msport__device *dev, const char *text,
		     bool need_nic, msport_error_t *err)
{
	memset(dev, 0, sizeof *dev);
	if (strlen(text) >= sizeof dev->name)
		return msport__fail(NULL, err, -EINVAL,
				    "the device string has more than %zu "
				    "characters",
				    sizeof dev->name - 1);
	strcpy(dev->name, text);
	if (!strncmp(text, "daemon", 6) && (text[6] == ':' || text[6] == '@' ||
					    (text[6] == '\0' && !need_nic)))
		return parse_daemon(dev, text + 6, need_nic, err);
	if (!strncmp(text, "kmod:", 5) ||
	    (!strcmp(text, "kmod") && !need_nic)) {
		dev->kind = MSPORT__KMOD;
		return set_nic(dev, text + 4 + (text[4] == ':'), need_nic, err);
	}
	if (strchr(text, ':'))
		return parse_inproc(dev, err);
	if (strpbrk(text, ",=@"))
		return msport__fail(NULL, err, -EINVAL,
				    "'%s': options need a kind of attachment "
				    "before them, as in 'xdp:eth0,queues=1'",
				    text);
	if (parse_daemon(dev, "", false, err))
		return -EINVAL;
	dev->kind = MSPORT__ANY;
	return set_nic(dev, text, need_nic, err);
}
