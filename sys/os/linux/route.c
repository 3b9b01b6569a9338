// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * route.c: MS_CMD_ROUTE, from the kernel's tables: what a stack has to write
 * into its frames to reach a peer through this interface.
 *
 * Called without locks: all may change meanwhile, the device may go. What is
 * looked up holds it, and an answer that has become stale is told by route_gen.
 */
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/etherdevice.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ipv6_route.h>
#include <net/addrconf.h>
#include <net/dst.h>
#include <net/if_inet6.h>
#include <net/ip.h>
#include <net/ip6_fib.h>
#include <net/ip6_route.h>
#include <net/ip_fib.h>
#include <net/ipv6.h>
#include <net/neighbour.h>
#include <net/route.h>

#include "ms_linux.h"

/* Where the next frame goes. */
struct hop {
	struct dst_entry *dst; /* owned */
	union {
		__be32 daddr4;
		struct in6_addr daddr6;
	};
	bool local;
	bool mapped; /* r->dst_mac follows from the address alone */
};

/* ---- IPv4 ----------------------------------------------------------------- */

/* Asked for one interface, ip_route_output_key() takes whatever has no route
   for a neighbour. */
static int
check_routed4(struct net *net, const struct flowi4 *want)
{
	struct flowi4 fl4 = *want;
	struct fib_result res;
	int err;

	rcu_read_lock();
	err = fib_lookup(net, &fl4, &res, 0);
	rcu_read_unlock();
	return err;
}

static int
route4(struct net *net, const struct net_device *dev, struct ms_cmd_route *r,
       struct hop *hop)
{
	struct flowi4 fl4 = { .flowi4_uid = current_euid() };
	struct rtable *rt;
	int err;

	memcpy(&hop->daddr4, r->dst.addr, 4);
	fl4.daddr = hop->daddr4;
	/* 127.0.0.1 and others' addresses are on other interfaces. */
	if (inet_addr_type(net, hop->daddr4) != RTN_LOCAL) {
		if ((dev->flags & IFF_LOOPBACK) != 0)
			return -ENETUNREACH;
		fl4.flowi4_oif = dev->ifindex;
		err = check_routed4(net, &fl4);
		if (err)
			return err;
	}
	rt = ip_route_output_key(net, &fl4);
	if (IS_ERR(rt))
		return PTR_ERR(rt);
	hop->dst = &rt->dst;
	hop->local = rt->rt_type == RTN_LOCAL;
	if (fl4.saddr == 0)
		return -EADDRNOTAVAIL;
	memcpy(r->src.addr, &fl4.saddr, 4);
	if (rt->rt_type == RTN_BROADCAST) {
		eth_broadcast_addr(r->dst_mac);
		hop->mapped = true;
	} else if (ipv4_is_multicast(hop->daddr4)) {
		ip_eth_mc_map(hop->daddr4, (char *)r->dst_mac);
		hop->mapped = true;
	}
	return 0;
}

/* ---- IPv6 ----------------------------------------------------------------- */

static bool
is_local6(struct net *net, const struct net_device *dev,
	  const struct in6_addr *a)
{
	if ((ipv6_addr_type(a) & IPV6_ADDR_LINKLOCAL) == 0)
		dev = NULL;
	return ipv6_chk_addr(net, a, dev, 0);
}

/* Asked for one interface, ip6_route_output() passes over routes that refuse,
   which are on none; in IPv4 they count. */
static int
check_refused6(struct net *net, const struct flowi6 *want)
{
	struct flowi6 fl6 = *want;
	struct dst_entry *dst;
	int err;

	if (__ipv6_addr_needs_scope_id(ipv6_addr_type(&fl6.daddr)))
		return 0;
	fl6.flowi6_oif = 0;
	dst = ip6_route_output(net, NULL, &fl6);
	err = dst->error;
	dst_release(dst);
	return err == -ENETUNREACH ? 0 : err;
}

static int
route6(struct net *net, const struct net_device *dev, struct ms_cmd_route *r,
       struct hop *hop)
{
	struct flowi6 fl6 = { .flowi6_uid = current_euid() };
	const struct rt6_info *rt;
	int err;

	if (!ipv6_mod_enabled())
		return -EAFNOSUPPORT;
	memcpy(&hop->daddr6, r->dst.addr, 16);
	fl6.daddr = hop->daddr6;
	if (is_local6(net, dev, &hop->daddr6)) {
		memcpy(r->src.addr, r->dst.addr, 16);
		hop->local = true;
		return 0;
	}
	if ((dev->flags & IFF_LOOPBACK) != 0)
		return -ENETUNREACH;
	fl6.flowi6_oif = dev->ifindex;
	err = check_refused6(net, &fl6);
	if (err)
		return err;
	err = ip6_dst_lookup(net, NULL, &hop->dst, &fl6);
	if (err)
		return err;
	rt = container_of(hop->dst, struct rt6_info, dst);
	hop->local = (rt->rt6i_flags & (RTF_LOCAL | RTF_ANYCAST)) != 0;
	memcpy(r->src.addr, &fl6.saddr, 16);
	if (ipv6_addr_is_multicast(&hop->daddr6)) {
		ipv6_eth_mc_map(&hop->daddr6, (char *)r->dst_mac);
		hop->mapped = true;
	}
	return 0;
}

/* ---- the next hop's MAC --------------------------------------------------- */

static bool
neigh_mac(struct neighbour *n, const struct net_device *dev, uint8_t mac[6])
{
	char ha[MAX_ADDR_LEN];

	if ((READ_ONCE(n->nud_state) & NUD_VALID) == 0 || READ_ONCE(n->dead) ||
	    n->dev != dev || dev->addr_len != ETH_ALEN)
		return false;
	neigh_ha_snapshot(ha, n, dev);
	memcpy(mac, ha, ETH_ALEN);
	return true;
}

/*
 * The MAC of a neighbour. It is used, in the kernel's sense, so that one that is
 * missing or stale is solicited. -EAGAIN: not known within some milliseconds.
 */
static int
neigh_resolve(struct neighbour *n, const struct net_device *dev, uint8_t mac[6])
{
	static const unsigned int pause_ms[] = { 1, 1, 2, 3, 4, 8, 12 };
	unsigned int i;

	for (i = 0;; i++) {
		neigh_event_send(n, NULL);
		if (neigh_mac(n, dev, mac))
			return 0;
		if (i == ARRAY_SIZE(pause_ms) || READ_ONCE(n->dead))
			return -EAGAIN;
		fsleep(1000ul * pause_ms[i]);
	}
}

/* ---- all together --------------------------------------------------------- */

static int
fill_local(const struct ms_nic *nic, struct ms_cmd_route *r)
{
	memcpy(r->dst_mac, r->src_mac, sizeof(r->dst_mac));
	r->mtu = ms_os_load_once(&nic->mtu);
	r->state = MS_ROUTE_LOCAL;
	return 0;
}

/* Takes hop->dst. */
static int
fill_remote(const struct ms_nic *nic, const struct net_device *dev,
	    struct hop *hop, struct ms_cmd_route *r)
{
	struct neighbour *n = NULL;
	int err = -ENETUNREACH;

	if (READ_ONCE(hop->dst->dev) == dev) {
		err = 0;
		r->mtu = min(dst_mtu(hop->dst), ms_os_load_once(&nic->mtu));
		r->state = MS_ROUTE_REACHABLE;
		if (!hop->mapped) {
			n = dst_neigh_lookup(hop->dst, &hop->daddr4);
			err = n != NULL ? 0 : -ENOBUFS;
		}
	}
	dst_release(hop->dst);
	if (n == NULL)
		return err;
	if (neigh_resolve(n, dev, r->dst_mac) != 0)
		r->state = MS_ROUTE_PENDING;
	neigh_release(n);
	return 0;
}

static int
route(struct net *net, struct ms_nic *nic, const struct net_device *dev,
      struct ms_cmd_route *r)
{
	struct hop hop = { .dst = NULL };
	unsigned int i;
	int err;

	if (!net_eq(dev_net(dev), net))
		return -ENODEV;
	for (i = 0; i < sizeof(r->src_mac); i++)
		r->src_mac[i] = ms_os_load_once(&nic->mac[i]);
	err = r->dst.family == 4 ? route4(net, dev, r, &hop)
				 : route6(net, dev, r, &hop);
	if (err || hop.local) {
		dst_release(hop.dst);
		return err ? err : fill_local(nic, r);
	}
	return fill_remote(nic, dev, &hop, r);
}

int
ms_route(struct ms_nic *nic, struct ms_cmd_route *r)
{
	const struct ms_netdev *md = nic->os;
	struct net *net;
	int err;

	memset(&r->src, 0, sizeof(r->src));
	memset(r->src_mac, 0, sizeof(r->src_mac));
	memset(r->dst_mac, 0, sizeof(r->dst_mac));
	r->src.family = r->dst.family;
	net = ms_netns_net(md->ns);
	if (net == NULL)
		return -ENODEV;
	err = route(net, nic, md->dev, r);
	put_net(net);
	return err;
}
