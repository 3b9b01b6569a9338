// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * xdp.c: from a driver's page to the switch.
 *
 * The program in bpf/ calls the function here for each frame that the driver
 * receives. What it passes on comes again as an skb, to ms_rx_handler(), with
 * all that is known of it; so whatever XDP shows only in part is left to that.
 */
#include <linux/bpf.h>
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/module.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/ip6_checksum.h>
#include <net/xdp.h>

#include "ms_linux.h"

#define STRIPS_VLAN (NETIF_F_HW_VLAN_CTAG_RX | NETIF_F_HW_VLAN_STAG_RX)

#ifdef MS_HAVE_KFUNC

/* Whether this checksum, of so many bytes from the transport header on, is
   that of the pseudo header alone: somebody else was to finish it. */
static bool
is_partial(const struct ms_frame *f, uint8_t proto, uint32_t l3, uint32_t l4,
	   uint32_t bytes, uint16_t offset)
{
	const uint8_t *p = f->data;
	__sum16 sum, is;

	if (l4 + offset + sizeof(is) > f->linear)
		return false;
	memcpy(&is, p + l4 + offset, sizeof(is));
	if ((p[l3] >> 4) == 4) {
		const struct iphdr *ip = (const void *)(p + l3);

		sum = csum_tcpudp_magic(ip->saddr, ip->daddr, bytes, proto, 0);
	} else {
		const struct ipv6hdr *ip6 = (const void *)(p + l3);

		sum = csum_ipv6_magic(&ip6->saddr, &ip6->daddr, bytes, proto,
				      0);
	}
	return is == (__force __sum16) ~(__force uint16_t)sum;
}

/*
 * A veth shows what its peer has sent, with the checksums that the peer would
 * have left to a NIC. They are known by their value, for there is nothing else
 * to know them by. One sum in 65536 has it by chance, and is then not verified
 * by the receiver: between two ends of a veth there is no wire to spoil it.
 */
static void
guess_partial(struct ms_frame *f)
{
	const struct vlan_ethhdr *eth = (const void *)f->data;
	uint32_t l3 = ETH_HLEN, l4, bytes;
	__be16 type = eth->h_vlan_proto;
	uint16_t offset;
	uint8_t proto;

	if (eth_type_vlan(type) && f->linear >= VLAN_ETH_HLEN) {
		type = eth->h_vlan_encapsulated_proto;
		l3 = VLAN_ETH_HLEN;
	}
	if (type == htons(ETH_P_IP) && f->linear >= l3 + sizeof(struct iphdr)) {
		const struct iphdr *ip = (const void *)(f->data + l3);

		proto = ip->protocol;
		l4 = l3 + ip->ihl * 4u;
		bytes = ntohs(ip->tot_len) - ip->ihl * 4u;
		if ((ip->frag_off & htons(IP_MF | IP_OFFSET)) != 0)
			return;
	} else if (type == htons(ETH_P_IPV6) &&
		   f->linear >= l3 + sizeof(struct ipv6hdr)) {
		const struct ipv6hdr *ip6 = (const void *)(f->data + l3);

		proto = ip6->nexthdr;
		l4 = l3 + sizeof(*ip6);
		bytes = ntohs(ip6->payload_len);
	} else {
		return;
	}
	if (proto == IPPROTO_TCP)
		offset = offsetof(struct tcphdr, check);
	else if (proto == IPPROTO_UDP)
		offset = offsetof(struct udphdr, check);
	else
		return;
	if (!is_partial(f, proto, l3, l4, bytes, offset))
		return;
	f->meta.flags = MS_SLOT_CSUM_PARTIAL;
	f->meta.csum_start = l4;
	f->meta.csum_offset = offset;
}

/* Two ends of one thing in memory. */
static bool
is_veth(const struct net_device *dev)
{
	return dev->netdev_ops->ndo_get_peer_dev != NULL;
}

/* What follows the first part of a frame. */
static uint16_t
frags_of(struct xdp_buff *xdp, struct ms_seg *seg, uint32_t *bytes)
{
	const struct skb_shared_info *si;
	uint16_t i;

	if (likely(!xdp_buff_has_frags(xdp)))
		return 0;
	si = xdp_get_shared_info_from_buff(xdp);
	for (i = 0; i < si->nr_frags && i < MAX_SKB_FRAGS; i++) {
		seg[i].p = skb_frag_address(&si->frags[i]);
		seg[i].bytes = skb_frag_size(&si->frags[i]);
		*bytes += seg[i].bytes;
	}
	return i;
}

/* True: taken. Read section. */
static bool
xdp_input(struct xdp_buff *xdp)
{
	struct net_device *dev = xdp->rxq->dev;
	struct ms_netdev *md = ms_netdev_of(dev);
	struct ms_seg seg[MAX_SKB_FRAGS];
	struct ms_frame f = {
		.data = xdp->data,
		.linear = xdp->data_end - xdp->data,
		.segs = seg,
	};
	bool veth;

	if (md == NULL || f.linear < ETH_HLEN ||
	    ms_nic_passes(md->nic, ms_rx_queue(), f.data, f.linear))
		return false;
	/* A tag that the NIC has taken off does not show here, and without it
	   a frame of a VLAN would look like one of ours. */
	veth = is_veth(dev);
	if (unlikely((dev->features & STRIPS_VLAN) != 0 && !veth))
		return false;
	f.len = f.linear;
	f.nsegs = frags_of(xdp, seg, &f.len);
	/* Longer than a frame: one that is to be segmented. */
	if (unlikely(f.len > READ_ONCE(dev->mtu) + VLAN_ETH_HLEN))
		return false;
	if (veth)
		guess_partial(&f);
	if (unlikely(!READ_ONCE(md->xdp_rx)))
		WRITE_ONCE(md->xdp_rx, true);
	ms_nic_input(md->nic, ms_rx_queue(), &f, 1);
	return f.verdict == MS_VERDICT_TAKEN;
}

int ms_xdp_rx(struct xdp_md *ctx);

__bpf_kfunc_start_defs();

/* What became of the frame, as an XDP verdict. For programs of type XDP. */
__bpf_kfunc int
ms_xdp_rx(struct xdp_md *ctx)
{
	bool taken;

	/* BPF_PROG_TEST_RUN before 6.10: the processor's queue is not ours. */
	if (unlikely(!in_softirq()))
		return XDP_PASS;
	rcu_read_lock();
	taken = xdp_input((struct xdp_buff *)ctx);
	rcu_read_unlock();
	return taken ? XDP_DROP : XDP_PASS;
}

__bpf_kfunc_end_defs();

MS_KFUNCS_START(ms_xdp_kfuncs)
BTF_ID_FLAGS(func, ms_xdp_rx)
MS_KFUNCS_END(ms_xdp_kfuncs)

static const struct btf_kfunc_id_set xdp_kfuncs = {
	.owner = THIS_MODULE,
	.set = &ms_xdp_kfuncs,
};

int
ms_xdp_init(void)
{
	int err;

	err = register_btf_kfunc_id_set(BPF_PROG_TYPE_XDP, &xdp_kfuncs);
	/* The module came without BTF. */
	return err == -ENOENT ? -EOPNOTSUPP : err;
}

#else

int
ms_xdp_init(void)
{
	return -EOPNOTSUPP;
}

#endif
