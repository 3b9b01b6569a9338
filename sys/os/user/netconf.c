/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * netconf.c: settings of interfaces of our own, and what ethtool knows.
 */
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "netlink.h"

int
ms_conf_addr(int ifindex, const uint8_t *addr, uint8_t family, uint8_t prefix,
	     bool on)
{
	size_t bytes = family == 4 ? 4 : 16;
	struct ifaddrmsg *ifa;
	struct nlmsghdr *req;
	struct ms_nl nl;
	int r;

	r = ms_nl_open(&nl);
	if (r != 0)
		return r;
	req = ms_nl_begin(&nl, on ? RTM_NEWADDR : RTM_DELADDR,
			  on ? NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK
			     : NLM_F_ACK);
	ifa = mnl_nlmsg_put_extra_header(req, sizeof(*ifa));
	ifa->ifa_family = family == 4 ? AF_INET : AF_INET6;
	ifa->ifa_prefixlen = prefix;
	ifa->ifa_index = (uint32_t)ifindex;
	if (family == 6)
		ifa->ifa_flags = IFA_F_NODAD; /* the link has two ends */
	mnl_attr_put(req, IFA_LOCAL, bytes, addr);
	mnl_attr_put(req, IFA_ADDRESS, bytes, addr);
	r = ms_nl_run(&nl, req, NULL, NULL);
	ms_nl_close(&nl);
	return r;
}

static struct nlmsghdr *
link_begin(struct ms_nl *nl, int ifindex, struct ifinfomsg **ifi)
{
	struct nlmsghdr *req = ms_nl_begin(nl, RTM_SETLINK, NLM_F_ACK);

	*ifi = mnl_nlmsg_put_extra_header(req, sizeof(**ifi));
	(*ifi)->ifi_family = AF_UNSPEC;
	(*ifi)->ifi_index = ifindex;
	return req;
}

int
ms_conf_up(int ifindex, uint32_t mtu, bool arp)
{
	struct ifinfomsg *ifi;
	struct nlmsghdr *req;
	struct ms_nl nl;
	int r;

	r = ms_nl_open(&nl);
	if (r != 0)
		return r;
	req = link_begin(&nl, ifindex, &ifi);
	ifi->ifi_change = IFF_UP | IFF_NOARP;
	ifi->ifi_flags = IFF_UP | (arp ? 0 : IFF_NOARP);
	mnl_attr_put_u32(req, IFLA_MTU, mtu);
	r = ms_nl_run(&nl, req, NULL, NULL);
	ms_nl_close(&nl);
	return r;
}

int
ms_conf_ip6_quiet(int ifindex)
{
	struct nlattr *spec, *inet6;
	struct ifinfomsg *ifi;
	struct nlmsghdr *req;
	struct ms_nl nl;
	int r;

	r = ms_nl_open(&nl);
	if (r != 0)
		return r;
	req = link_begin(&nl, ifindex, &ifi);
	spec = mnl_attr_nest_start(req, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(req, AF_INET6);
	mnl_attr_put_u8(req, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(req, inet6);
	mnl_attr_nest_end(req, spec);
	r = ms_nl_run(&nl, req, NULL, NULL);
	ms_nl_close(&nl);
	return r;
}

int
ms_conf_ip4(int ifindex, int which, uint32_t value)
{
	struct nlattr *spec, *inet, *conf;
	struct ifinfomsg *ifi;
	struct nlmsghdr *req;
	struct ms_nl nl;
	int r;

	r = ms_nl_open(&nl);
	if (r != 0)
		return r;
	req = link_begin(&nl, ifindex, &ifi);
	spec = mnl_attr_nest_start(req, IFLA_AF_SPEC);
	inet = mnl_attr_nest_start(req, AF_INET);
	conf = mnl_attr_nest_start(req, IFLA_INET_CONF);
	mnl_attr_put_u32(req, (uint16_t)which, value);
	mnl_attr_nest_end(req, conf);
	mnl_attr_nest_end(req, inet);
	mnl_attr_nest_end(req, spec);
	r = ms_nl_run(&nl, req, NULL, NULL);
	ms_nl_close(&nl);
	return r;
}

static int
ethtool(const char *ifname, void *cmd)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = 0;
	struct ifreq ifr;

	if (fd < 0)
		return -errno;
	memset(&ifr, 0, sizeof(ifr));
	memcpy(ifr.ifr_name, ifname, strnlen(ifname, IFNAMSIZ - 1));
	ifr.ifr_data = cmd;
	if (ioctl(fd, SIOCETHTOOL, &ifr) != 0)
		r = -errno;
	close(fd);
	return r;
}

unsigned int
ms_ethtool_rx_queues(const char *ifname)
{
	struct ethtool_channels ch = { .cmd = ETHTOOL_GCHANNELS };
	struct ethtool_rxnfc rings = { .cmd = ETHTOOL_GRXRINGS };
	unsigned int n = 0;

	if (ethtool(ifname, &ch) == 0)
		n = ch.rx_count + ch.combined_count;
	else if (ethtool(ifname, &rings) == 0)
		n = (unsigned int)rings.data;
	return n != 0 ? n : 1;
}

int
ms_ethtool_rxvlan(const char *ifname, bool on, bool *was)
{
	struct ethtool_value v = { .cmd = ETHTOOL_GFLAGS };
	int r;

	r = ethtool(ifname, &v);
	if (r != 0)
		return r;
	if (was != NULL)
		*was = (v.data & ETH_FLAG_RXVLAN) != 0;
	if (((v.data & ETH_FLAG_RXVLAN) != 0) == on)
		return 0;
	v.cmd = ETHTOOL_SFLAGS;
	v.data ^= ETH_FLAG_RXVLAN;
	return ethtool(ifname, &v);
}
