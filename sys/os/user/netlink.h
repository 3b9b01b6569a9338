/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * netlink.h: asking and telling the kernel about interfaces, addresses, routes
 * and neighbours. All calls are about the network namespace of the calling
 * thread, sleep, and return 0 or a negative errno.
 */
#ifndef MS_NETLINK_H
#define MS_NETLINK_H

#include <libmnl/libmnl.h>

#include "ms_user.h"

/* ---- netlink.c: requests ---- */

struct ms_nl {
	struct mnl_socket *sock;
	uint32_t seq;
	/* a request is built here, and answers are read to here */
	char buf[16384] __attribute__((aligned(8)));
};

int ms_nl_open(struct ms_nl *nl);
void ms_nl_close(struct ms_nl *nl);
/* Starts a request in nl->buf. */
struct nlmsghdr *ms_nl_begin(struct ms_nl *nl, uint16_t type, uint16_t flags);
/* Sends it and gives each answer to cb (may be NULL). */
int ms_nl_run(struct ms_nl *nl, struct nlmsghdr *req, mnl_cb_t cb, void *arg);

/* Reads what an RTM_*ADDR message says. False: nothing for us. */
struct ms_addr {
	int ifindex;
	uint8_t family; /* 4 or 6 */
	uint8_t addr[16];
};
bool ms_addr_read(const struct nlmsghdr *msg, struct ms_addr *out);
/* All addresses of all interfaces. cb returns 0 to go on. */
int ms_addr_each(int (*cb)(const struct ms_addr *a, void *arg), void *arg);

/* ---- netconf.c: settings ---- */

int ms_conf_addr(int ifindex, const uint8_t *addr, uint8_t family,
		 uint8_t prefix, bool on);
int ms_conf_up(int ifindex, uint32_t mtu, bool arp);
/* No link-local address, and so no solicitations from the host. */
int ms_conf_ip6_quiet(int ifindex);
/* One IPV4_DEVCONF_* of <linux/ip.h>, without /proc. */
int ms_conf_ip4(int ifindex, int which, uint32_t value);
/* Receive queues in use, at least 1. */
unsigned int ms_ethtool_rx_queues(const char *ifname);
/* Turns VLAN stripping on or off; *was tells how it stood. */
int ms_ethtool_rxvlan(const char *ifname, bool on, bool *was);

#endif /* MS_NETLINK_H */
