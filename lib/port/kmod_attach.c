/* SPDX-License-Identifier: BSD-2-Clause */
/* kmod_attach.c: attaching interfaces to the module. */
#include <errno.h>
#include <string.h>

#include "internal.h"

static int
words(msport_t *port, msport_error_t *err, int code, const struct ms_err *w)
{
	return msport__fail(port, err, code, "%s", w->text);
}

static bool
is(const struct ms_cmd_attach *a, const char *kind)
{
	return !strcmp(a->kind, kind);
}

static int
check(const struct ms_cmd_attach *a, struct ms_err *w)
{
	int r = ms_attach_check(a, w);

	if (r || is(a, "") || is(a, "rx_handler") || is(a, "xdp"))
		return r;
	return ms_err_set(w, -EINVAL,
			  "the kernel module has no kind of attachment '%s'; "
			  "there are: rx_handler, xdp%s",
			  a->kind,
			  is(a, "tc") || is(a, "tap") || is(a, "pair")
			      ? " (tc, tap and pair are multistackd's)"
			      : "");
}

/* What the module's errno means, where it is not that of others. */
static int
refused(msport_t *port, const struct ms_cmd_attach *a, int code,
	msport_error_t *err)
{
	char who[80];

	switch (code) {
	case -EBUSY:
		msport__kmod_holder(a->nic, who, sizeof who);
		return msport__fail(port, err, code,
				    "'%s' gives its packets to %s already, and "
				    "an interface has one taker; take it from "
				    "there (`ip link set %s nomaster`, for "
				    "one), or attach what stands above it",
				    a->nic, *who ? who : "somebody else",
				    a->nic);
	case -EINVAL:
		return msport__fail(
		    port, err, code,
		    "%s: options '%s' or queues %u are not "
		    "what the kernel module takes: "
		    "qdisc=auto|always|never, tx=skb|xdp|page, and "
		    "queues 0",
		    a->nic, a->options, a->queues);
	case -EOPNOTSUPP:
		if (strstr(a->options, "tx="))
			return msport__fail(port, err, code,
					    "%s cannot send as '%s' asks; "
					    "leave that out (a veth takes XDP "
					    "frames after `ethtool -K %s gro "
					    "on` at its other end)",
					    a->nic, a->options, a->nic);
		return msport__fail(port, err, code,
				    "'%s' has no Ethernet header; the kernel "
				    "module needs one",
				    a->nic);
	default:
		return code;
	}
}

/*
 * Whether XDP is to be tried where nobody asked for it. Not on a veth: what
 * comes over it may have a checksum that nobody has finished, which XDP cannot
 * see, and its other end would lose segmentation.
 */
static bool
xdp_by_itself(const char *nic)
{
	struct ms_link link;

	return ms_link_get(nic, &link) == 0 && link.ether && !link.loopback &&
	       strcmp(link.kind, "veth") != 0;
}

int
msport__kmod_attach(msport_t *port, const struct ms_cmd_attach *arg,
		    msport__ioctl *ioctl_, msport_error_t *err)
{
	struct ms_cmd_attach a = *arg;
	struct ms_err w = { "" };
	bool generic = a.flags & MS_ATTACH_GENERIC;
	int r;

	r = check(&a, &w);
	if (r)
		return words(port, err, r, &w);
	r = ioctl_(port, MS_CMD_ATTACH, &a, sizeof a, err);
	if (r)
		return refused(port, &a, r, err);
	if (is(&a, "rx_handler") ||
	    (is(&a, "") && !generic && !xdp_by_itself(a.nic)))
		return 0;
	r = msport__kmod_xdp_on(a.nic, generic, &w);
	if (r == 0 || is(&a, ""))
		return 0; /* by its rx_handler, then */
	a.flags = MS_ATTACH_FORCE;
	(void)ioctl_(port, MS_CMD_DETACH, &a, sizeof a, NULL);
	return words(port, err, r, &w);
}

int
msport__kmod_detach(msport_t *port, const struct ms_cmd_attach *arg,
		    msport__ioctl *ioctl_, msport_error_t *err)
{
	struct ms_cmd_attach a = *arg;
	struct ms_err w = { "" };
	int r, x;

	r = ms_attach_check(&a, &w);
	if (r)
		return words(port, err, r, &w);
	r = ioctl_(port, MS_CMD_DETACH, &a, sizeof a, err);
	if (r && r != -ENODEV)
		return r;
	x = msport__kmod_xdp_off(a.nic, &w);
	if (x == 0)
		return 0; /* or all that was left of it */
	return r || x == -ENOENT || !*w.text ? r : words(port, err, x, &w);
}
