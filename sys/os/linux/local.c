// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * local.c: the host's own stack and the ports of the same machine.
 *
 *   host to port   what an application of the host sends to an address of this
 *                  host runs through lo. There we look at it, and hand on what
 *                  is claimed as if it had come by ns->local
 *   port to host   received on lo, as the host's own packets are: with the
 *                  route that one of its sockets would have used, so that
 *                  nobody asks whether such a source may come in there
 *
 * Each way goes through the processor's backlog, so neither is ever inside of
 * the other.
 */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <net/ip6_route.h>
#include <net/route.h>

#include "ms_linux.h"

/* ---- from the host ---------------------------------------------------------- */

static rx_handler_result_t
local_rx_handler(struct sk_buff **pskb)
{
	struct sk_buff *skb = *pskb;
	const struct ms_netns *ns = rcu_dereference(skb->dev->rx_handler_data);
	struct ms_netdev *md = rcu_dereference(ns->local);
	const uint8_t *p = skb_mac_header(skb);
	uint8_t mac[ETH_ALEN];
	unsigned int i;

	if (md == NULL || skb->pkt_type != PACKET_HOST ||
	    ms_nic_unclaimed(md->nic, p, skb_tail_pointer(skb) - p))
		return RX_HANDLER_PASS;
	for (i = 0; i < ETH_ALEN; i++)
		mac[i] = READ_ONCE(md->nic->mac[i]);
	if (!ms_rx_skb(md, skb, mac))
		return RX_HANDLER_PASS;
	napi_consume_skb(skb, 1); /* bottom halves are off */
	return RX_HANDLER_CONSUMED;
}

bool
ms_local_is_handler(const struct net_device *dev)
{
	return rtnl_dereference(dev->rx_handler) == local_rx_handler;
}

int
ms_local_start(struct ms_netns *ns, struct net *net)
{
	struct net_device *lo = net->loopback_dev;

	if (ms_local_is_handler(lo))
		return 0;
	return netdev_rx_handler_register(lo, local_rx_handler, ns);
}

void
ms_local_stop(struct ms_netns *ns, struct net *net)
{
	struct net_device *lo = net->loopback_dev;

	if (ms_local_is_handler(lo))
		netdev_rx_handler_unregister(lo);
}

/* ---- to the host ------------------------------------------------------------ */

/* The route of the last frame: those of a batch have few. */
struct local_route {
	struct dst_entry *dst; /* counted, or NULL */
	__be16 protocol;
	struct in6_addr saddr, daddr; /* IPv4: the first word */
};

static struct dst_entry *
route4(struct net *net, __be32 saddr, __be32 daddr)
{
	struct flowi4 fl4 = { .saddr = saddr, .daddr = daddr };
	struct rtable *rt = ip_route_output_key(net, &fl4);

	if (IS_ERR(rt))
		return NULL;
	if ((rt->rt_flags & RTCF_LOCAL) == 0) {
		ip_rt_put(rt);
		return NULL;
	}
	return &rt->dst;
}

#if IS_ENABLED(CONFIG_IPV6)
static struct dst_entry *
route6(const struct net_device *dev, const struct local_route *r)
{
	struct flowi6 fl6 = { .saddr = r->saddr, .daddr = r->daddr };
	struct dst_entry *dst;

	if (!ipv6_mod_enabled())
		return NULL;
	if ((ipv6_addr_type(&r->daddr) & IPV6_ADDR_LINKLOCAL) != 0)
		fl6.flowi6_oif = dev->ifindex;
	dst = ip6_route_output(dev_net(dev), NULL, &fl6);
	if (dst->error != 0 ||
	    (container_of(dst, struct rt6_info, dst)->rt6i_flags & RTF_LOCAL) ==
		0) {
		dst_release(dst);
		return NULL;
	}
	return dst;
}
#else
static struct dst_entry *
route6(const struct net_device *dev, const struct local_route *r)
{
	return NULL;
}
#endif

/* The way of a packet into the host, counted for it; NULL: there is none. */
static struct dst_entry *
route_of(struct local_route *r, const struct net_device *dev,
	 const struct sk_buff *skb)
{
	const struct ipv6hdr *ip6 = (const void *)skb->data;
	const struct iphdr *ip = (const void *)skb->data;
	struct in6_addr saddr = { 0 }, daddr = { 0 };

	if (skb->protocol == htons(ETH_P_IP)) {
		saddr.s6_addr32[0] = ip->saddr;
		daddr.s6_addr32[0] = ip->daddr;
	} else {
		saddr = ip6->saddr;
		daddr = ip6->daddr;
	}
	if (r->dst == NULL || r->protocol != skb->protocol ||
	    !ipv6_addr_equal(&r->saddr, &saddr) ||
	    !ipv6_addr_equal(&r->daddr, &daddr)) {
		dst_release(r->dst);
		r->protocol = skb->protocol;
		r->saddr = saddr;
		r->daddr = daddr;
		r->dst = skb->protocol == htons(ETH_P_IP)
			     ? route4(dev_net(dev), ip->saddr, ip->daddr)
			     : route6(dev, r);
	}
	return r->dst != NULL ? dst_clone(r->dst) : NULL;
}

/* Takes skb. False: the host did not, and it is gone. */
static bool
local_receive(struct ms_netdev *md, struct local_route *r, struct sk_buff *skb)
{
	struct dst_entry *dst;

	/* lo's MAC address, on both ends. */
	memset(skb->data, 0, 2 * ETH_ALEN);
	skb->protocol = eth_type_trans(skb, skb->dev);
	__vlan_hwaccel_clear_tag(skb);
	skb_reset_network_header(skb);
	dst = route_of(r, md->dev, skb);
	if (dst == NULL) {
		ms_netdev_count(md, MS_CTR_DROP_TX_NOHOST, 1);
		kfree_skb(skb);
		return true;
	}
	skb_dst_set(skb, dst);
	return netif_rx(skb) == NET_RX_SUCCESS;
}

uint32_t
ms_local_to_host(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
		 uint32_t n)
{
	struct ms_netdev *md = nic->os;
	struct net_device *lo = dev_net(md->dev)->loopback_dev;
	struct local_route route = { .dst = NULL };
	enum ms_counter why;
	struct sk_buff *skb;
	uint32_t i;

	for (i = 0; i < n; i++) {
		skb = ms_tx_skb(lo, &frames[i], &why);
		if (skb == NULL)
			ms_netdev_count(md, why, 1);
		else if (!local_receive(md, &route, skb))
			break; /* the backlog is full: so are the others */
	}
	dst_release(route.dst);
	return i;
}
