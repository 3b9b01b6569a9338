/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kmod_holder.c: who has an interface's rx_handler. The kernel does not say it
 * outright; it shows who stands above the interface.
 */
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "netlink.h"

/* Kinds that stand on one lower interface and take its packets by a handler;
   a VLAN, for one, does not. */
static const char *const uppers[] = { "macvlan", "macvtap", "ipvlan", "ipvtap",
				      "macsec" };

struct search {
	int ifindex;
	int master;		       /* the interface's, 0: none */
	char slave_kind[32];	       /* "bridge", as the master says */
	char kind[32], name[IFNAMSIZ]; /* of who stands on it */
};

struct link {
	int ifindex, master, lower;
	char name[IFNAMSIZ], kind[32], slave_kind[32];
};

static void
copy(char *to, size_t bytes, const struct nlattr *a)
{
	snprintf(to, bytes, "%.*s", (int)mnl_attr_get_payload_len(a),
		 mnl_attr_get_str(a));
}

static void
read_info(struct link *l, const struct nlattr *info)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			copy(l->kind, sizeof l->kind, a);
		else if (mnl_attr_get_type(a) == IFLA_INFO_SLAVE_KIND)
			copy(l->slave_kind, sizeof l->slave_kind, a);
	}
}

static void
read_link(struct link *l, const struct nlmsghdr *msg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(msg);
	const struct nlattr *a;

	memset(l, 0, sizeof *l);
	l->ifindex = ifi->ifi_index;
	mnl_attr_for_each(a, msg, sizeof *ifi)
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			copy(l->name, sizeof l->name, a);
			break;
		case IFLA_MASTER:
			l->master = (int)mnl_attr_get_u32(a);
			break;
		case IFLA_LINK:
			l->lower = (int)mnl_attr_get_u32(a);
			break;
		case IFLA_LINKINFO:
			read_info(l, a);
			break;
		default:
			break;
		}
	}
}

static int
look(const struct nlmsghdr *msg, void *arg)
{
	struct search *s = arg;
	struct link l;

	if (msg->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	read_link(&l, msg);
	if (l.ifindex == s->ifindex) {
		s->master = l.master;
		memcpy(s->slave_kind, l.slave_kind, sizeof s->slave_kind);
		return MNL_CB_OK;
	}
	for (size_t i = 0; i < sizeof uppers / sizeof *uppers; i++) {
		if (l.lower == s->ifindex && !strcmp(l.kind, uppers[i])) {
			memcpy(s->kind, l.kind, sizeof s->kind);
			memcpy(s->name, l.name, sizeof s->name);
		}
	}
	return MNL_CB_OK;
}

void
msport__kmod_holder(const char *nic, char *text, size_t bytes)
{
	struct search s = { .ifindex = (int)if_nametoindex(nic) };
	struct ifinfomsg *ifi;
	struct nlmsghdr *req;
	struct ms_nl nl;
	char master[IFNAMSIZ];

	*text = '\0';
	if (s.ifindex == 0 || ms_nl_open(&nl))
		return;
	req = ms_nl_begin(&nl, RTM_GETLINK, NLM_F_DUMP);
	ifi = mnl_nlmsg_put_extra_header(req, sizeof *ifi);
	ifi->ifi_family = AF_UNSPEC;
	if (ms_nl_run(&nl, req, look, &s) == 0) {
		if (s.master && if_indextoname((unsigned int)s.master, master))
			snprintf(text, bytes, "%s '%s'",
				 *s.slave_kind ? s.slave_kind : "its master",
				 master);
		else if (*s.name)
			snprintf(text, bytes, "%s '%s'", s.kind, s.name);
	}
	ms_nl_close(&nl);
}
