// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * rx.c: from an skb to the switch, one at a time, as the kernel hands them out.
 *
 * An skb may be shared with a packet socket, cloned, in many pieces. Nothing
 * of it is changed here, for until the switch has spoken it may be the host's.
 * Nor are headers believed where others could change them: of an skb in pieces
 * (a packet socket's mapped ring, MSG_ZEROCOPY) the first MS_HDR_BYTES are
 * copied and only the copy is parsed.
 */
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/slab.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>

#include "ms_linux.h"

#define FRAME_SEGS 64 /* of one frame; GRO has 17 to 45 as a rule */
/* Segmentation that enum ms_gso has no word for. */
#define GSO_ODD                                                                \
	(SKB_GSO_FCOE | SKB_GSO_GRE | SKB_GSO_GRE_CSUM | SKB_GSO_IPXIP4 |      \
	 SKB_GSO_IPXIP6 | SKB_GSO_UDP_TUNNEL | SKB_GSO_UDP_TUNNEL_CSUM |       \
	 SKB_GSO_PARTIAL | SKB_GSO_TUNNEL_REMCSUM | SKB_GSO_SCTP |             \
	 SKB_GSO_ESP)
#define HDR_AT 6 /* with it, a tag and MACs before it, IP is on a word */

/* A frame that is not one plain piece of memory: what its ms_frame points
   to. */
struct rx_pieces {
	struct ms_frame f;
	uint8_t hdr[HDR_AT + VLAN_HLEN + MS_HDR_BYTES] __aligned(8);
	struct ms_seg seg[FRAME_SEGS];
};

/* ---- offload metadata ---------------------------------------------------------- */

/*
 * Whether the sum that the driver took over the whole packet (from skb->data
 * on) is right. p: the Ethernet header, with so many bytes behind it. Not for
 * fragments, options and padding: then the application looks itself.
 */
static bool
complete_ok(const struct sk_buff *skb, const uint8_t *p, uint32_t bytes)
{
	const struct ipv6hdr *ip6 = (const void *)(p + ETH_HLEN);
	const struct iphdr *ip = (const void *)(p + ETH_HLEN);
	__wsum sum = skb->csum;
	uint32_t len;

	if (skb->protocol == htons(ETH_P_IP) &&
	    bytes >= ETH_HLEN + sizeof(*ip) && ip->ihl == 5 &&
	    ntohs(ip->tot_len) == skb->len && !ip_is_fragment(ip) &&
	    (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP)) {
		/* The header's own sum is 0, or the frame is not taken. */
		len = skb->len - sizeof(*ip);
		return csum_tcpudp_magic(ip->saddr, ip->daddr, len,
					 ip->protocol, sum) == 0;
	}
	if (skb->protocol == htons(ETH_P_IPV6) &&
	    bytes >= ETH_HLEN + sizeof(*ip6) &&
	    ntohs(ip6->payload_len) + sizeof(*ip6) == skb->len &&
	    (ip6->nexthdr == IPPROTO_TCP || ip6->nexthdr == IPPROTO_UDP)) {
		len = skb->len - sizeof(*ip6);
		sum = csum_sub(sum, csum_partial(ip6, sizeof(*ip6), 0));
		return csum_ipv6_magic(&ip6->saddr, &ip6->daddr, len,
				       ip6->nexthdr, sum) == 0;
	}
	return false;
}

static void
meta_gso(struct ms_meta *m, const struct sk_buff *skb)
{
	const struct skb_shared_info *sh = skb_shinfo(skb);

	if ((sh->gso_type & SKB_GSO_TCPV4) != 0)
		m->gso_type = MS_GSO_TCP4;
	else if ((sh->gso_type & SKB_GSO_TCPV6) != 0)
		m->gso_type = MS_GSO_TCP6;
	else if ((sh->gso_type & SKB_GSO_UDP_L4) != 0)
		m->gso_type = MS_GSO_UDP;
	else
		return; /* LRO, or one large datagram */
	m->gso_size = sh->gso_size;
}

/* shift: bytes that the frame's start is before the skb's MAC header. In line:
   most have nothing to say. */
static __always_inline void
meta_set(struct ms_meta *m, const struct sk_buff *skb, uint32_t shift,
	 const struct ms_frame *f)
{
	*m = (struct ms_meta){ .flags = 0 };
	switch (skb->ip_summed) {
	case CHECKSUM_NONE:
		break;
	case CHECKSUM_UNNECESSARY:
		m->flags = MS_SLOT_CSUM_OK;
		break;
	case CHECKSUM_PARTIAL:
		/* SCTP's is another sum, and nobody will look at it. */
		if (skb_csum_is_sctp((struct sk_buff *)skb)) {
			m->flags = MS_SLOT_CSUM_OK;
			break;
		}
		m->flags = MS_SLOT_CSUM_PARTIAL;
		m->csum_start = skb_checksum_start_offset(skb) + ETH_HLEN +
				shift;
		m->csum_offset = skb->csum_offset;
		break;
	case CHECKSUM_COMPLETE:
		if (complete_ok(skb, f->data + shift, f->linear - shift))
			m->flags = MS_SLOT_CSUM_OK;
		break;
	}
}

/* ---- frames in pieces --------------------------------------------------------- */

/* A part of the frame, of which the next *skip bytes are known already. False:
   there are too many. */
static bool
part_add(struct rx_pieces *p, const uint8_t *at, uint32_t bytes, uint32_t *skip)
{
	uint32_t known = min(bytes, *skip);

	*skip -= known;
	if (known == bytes)
		return true;
	if (p->f.nsegs == FRAME_SEGS)
		return false;
	p->seg[p->f.nsegs].p = at + known;
	p->seg[p->f.nsegs].bytes = bytes - known;
	p->f.nsegs++;
	return true;
}

static bool
parts_of(struct rx_pieces *p, const struct sk_buff *skb, uint32_t *skip)
{
	const struct skb_shared_info *sh = skb_shinfo(skb);
	unsigned int i;

	if (!part_add(p, skb->data, skb_headlen(skb), skip))
		return false;
	for (i = 0; i < sh->nr_frags; i++) {
		const skb_frag_t *frag = &sh->frags[i];

		if (PageHighMem(skb_frag_page(frag)) ||
		    !part_add(p, skb_frag_address(frag), skb_frag_size(frag),
			      skip))
			return false;
	}
	return true;
}

/* All of skb behind its first `skip` bytes. False: not to be had that way. */
static bool
pieces_add(struct rx_pieces *p, const struct sk_buff *skb, uint32_t skip)
{
	const struct sk_buff *part;

	if (!parts_of(p, skb, &skip))
		return false;
	skb_walk_frags(skb, part)
	{
		if (skb_has_frag_list(part) || !parts_of(p, part, &skip))
			return false;
	}
	return true;
}

/* The first bytes of the frame, with its tag where the wire had it; what comes
   by lo (mac) has the attachment's. */
static void
header_copy(struct rx_pieces *p, const struct ms_nic *nic,
	    const struct sk_buff *skb, const uint8_t *mac)
{
	uint32_t bytes = min_t(uint32_t, skb->len + ETH_HLEN, MS_HDR_BYTES);
	uint8_t *h = p->hdr + HDR_AT + VLAN_HLEN;
	__be16 tag[2] = { htons(ETH_P_8021Q), 0 };

	/* Cannot fail: it has so many. */
	if (skb_copy_bits(skb, -ETH_HLEN, h, bytes) != 0)
		bytes = 0;
	if (mac != NULL) {
		ether_addr_copy(h, mac);
		ether_addr_copy(h + ETH_ALEN, mac);
		tag[1] = htons(nic->vlan);
	} else if (skb_vlan_tag_present(skb) && skb_vlan_tag_get_id(skb) != 0) {
		tag[0] = skb->vlan_proto;
		tag[1] = htons(skb_vlan_tag_get(skb));
	}
	p->f.len = skb->len + ETH_HLEN;
	if (tag[1] != 0) {
		h -= VLAN_HLEN;
		memmove(h, h + VLAN_HLEN, 2 * ETH_ALEN);
		memcpy(h + 2 * ETH_ALEN, tag, sizeof(tag));
		bytes += VLAN_HLEN;
		p->f.len += VLAN_HLEN;
	}
	p->f.data = h;
	p->f.linear = bytes;
	p->f.segs = p->seg;
}

/* More than IP's length can say (BIG TCP): then that is 0, which would be
   wrong elsewhere. */
static void
header_shorten(struct rx_pieces *p, const struct sk_buff *skb)
{
	struct ipv6hdr *ip6 = (void *)(p->hdr + HDR_AT + VLAN_HLEN + ETH_HLEN);
	struct iphdr *ip = (void *)ip6;

	if (skb->protocol == htons(ETH_P_IP) && ip->ihl >= 5) {
		ip->tot_len = htons(U16_MAX);
		ip_send_check(ip);
	} else if (skb->protocol == htons(ETH_P_IPV6)) {
		ip6->payload_len = htons(U16_MAX);
	}
}

static bool
pieces_input(struct ms_netdev *md, struct rx_pieces *p)
{
	ms_nic_input(md->nic, ms_rx_queue(), &p->f, 1);
	return p->f.verdict == MS_VERDICT_TAKEN;
}

/* Lost for want of memory. It was claimed. */
static bool
count_nomem(struct ms_netdev *md)
{
	ms_netdev_count(md, MS_CTR_RX_SEEN, 1);
	ms_netdev_count(md, MS_CTR_DROP_NOMEM, 1);
	return true;
}

/* The rare frame of which not even the pieces fit: in one piece. */
static bool
rx_monster(struct ms_netdev *md, const struct sk_buff *skb, struct rx_pieces *p,
	   uint32_t skip)
{
	uint8_t *rest;
	bool taken;

	if (!ms_nic_claims(md->nic, &p->f))
		return false;
	rest = kmalloc(skb->len - skip, GFP_ATOMIC | __GFP_NOWARN);
	if (rest == NULL)
		return count_nomem(md);
	if (skb_copy_bits(skb, skip, rest, skb->len - skip) != 0) {
		kfree(rest);
		return false;
	}
	p->seg[0].p = rest;
	p->seg[0].bytes = skb->len - skip;
	p->f.nsegs = 1;
	taken = pieces_input(md, p);
	kfree(rest);
	return taken;
}

/* A frame of any shape, as one. */
static bool
rx_whole(struct ms_netdev *md, const struct sk_buff *skb, const uint8_t *mac,
	 struct rx_pieces *p)
{
	uint32_t shift, skip;

	header_copy(p, md->nic, skb, mac);
	shift = p->f.len - ETH_HLEN - skb->len;
	if (p->f.linear < ETH_HLEN + shift)
		return false;
	skip = p->f.linear - ETH_HLEN - shift;
	meta_set(&p->f.meta, skb, shift, &p->f);
	if (skb_is_gso(skb))
		meta_gso(&p->f.meta, skb);
	p->f.nsegs = 0;
	p->f.os = NULL;
	/* Not all that runs over lo is seen by the interface. */
	if (mac != NULL && !ms_nic_claims(md->nic, &p->f))
		return false;
	if (!pieces_add(p, skb, skip))
		return rx_monster(md, skb, p, skip);
	return pieces_input(md, p);
}

/*
 * Segments what an application could not make sense of as a whole. The host's
 * frames are looked at and left alone.
 */
static bool
rx_segments(struct ms_netdev *md, const struct sk_buff *skb, const uint8_t *mac,
	    struct rx_pieces *p)
{
	struct sk_buff *copy, *seg, *next;

	header_copy(p, md->nic, skb, mac);
	if (p->f.len > MS_FRAME_BYTES_MAX)
		header_shorten(p, skb);
	if (!ms_nic_claims(md->nic, &p->f))
		return false;
	copy = pskb_copy((struct sk_buff *)skb, GFP_ATOMIC);
	if (copy == NULL)
		return count_nomem(md);
	__skb_push(copy, ETH_HLEN);
	seg = __skb_gso_segment(copy, NETIF_F_SG | NETIF_F_HW_CSUM, false);
	kfree_skb(copy);
	if (seg == ERR_PTR(-ENOMEM))
		return count_nomem(md);
	if (IS_ERR_OR_NULL(seg))
		return false; /* malformed: let the host say so */
	for (; seg != NULL; seg = next) {
		next = seg->next;
		skb_mark_not_on_list(seg);
		__skb_pull(seg, ETH_HLEN);
		if (!rx_whole(md, seg, mac, p)) {
			ms_netdev_count(md, MS_CTR_RX_HOST, -1);
			ms_netdev_count(md, MS_CTR_DROP_RX_GONE, 1);
		}
		consume_skb(seg);
	}
	return true;
}

/* All that is not in one piece, and plain. */
static noinline bool
rx_any(struct ms_netdev *md, const struct sk_buff *skb, const uint8_t *mac)
{
	struct rx_pieces p;

	if (skb->data - skb_mac_header(skb) != ETH_HLEN ||
	    !ms_skb_readable(skb))
		return false;
	if (skb_is_gso(skb) &&
	    ((skb_shinfo(skb)->gso_type & GSO_ODD) != 0 ||
	     skb->len > MS_FRAME_BYTES_MAX - ETH_HLEN - VLAN_HLEN))
		return rx_segments(md, skb, mac, &p);
	return rx_whole(md, skb, mac, &p);
}

/* ---- the hook -------------------------------------------------------------------- */

bool
ms_rx_skb(struct ms_netdev *md, const struct sk_buff *skb, const uint8_t *mac)
{
	struct ms_frame f;

	if (unlikely(mac != NULL || skb_is_nonlinear(skb) || skb_is_gso(skb) ||
		     skb_vlan_tag_present(skb) ||
		     skb->data - skb_mac_header(skb) != ETH_HLEN))
		return rx_any(md, skb, mac);
	f.data = skb_mac_header(skb);
	f.len = skb->len + ETH_HLEN;
	f.linear = f.len;
	f.segs = NULL;
	f.nsegs = 0;
	f.os = NULL;
	meta_set(&f.meta, skb, 0, &f);
	ms_nic_input(md->nic, ms_rx_queue(), &f, 1);
	return f.verdict == MS_VERDICT_TAKEN;
}

/*
 * The frames behind this one, where they are to be seen: in this processor's
 * backlog (veth, lo, RPS), which nobody else takes from meanwhile.
 */
static noinline void
look_ahead(struct ms_netdev *md)
{
	const uint8_t *header[MS_AHEAD_MAX];
	const struct sk_buff *skb;
	uint32_t n = 0;

	skb_queue_walk(&this_cpu_ptr(&softnet_data)->process_queue, skb)
	{
		if (skb->dev == md->dev && skb_headroom(skb) >= ETH_HLEN &&
		    skb_headlen(skb) >= MS_AHEAD_BYTES - ETH_HLEN)
			header[n++] = skb->data - ETH_HLEN;
		if (n == MS_AHEAD_MAX)
			break;
	}
	ms_nic_look_ahead(md->nic, ms_rx_queue(), header, n);
}

/* Packet sockets have seen the frame: they come first. */
rx_handler_result_t
ms_rx_handler(struct sk_buff **pskb)
{
	struct sk_buff *skb = *pskb;
	struct ms_netdev *md = rcu_dereference(skb->dev->rx_handler_data);
	const uint8_t *p = skb_mac_header(skb);

	/* Most of the host's own goes by here. */
	if (ms_nic_passes(md->nic, ms_rx_queue(), p, skb_tail_pointer(skb) - p))
		return RX_HANDLER_PASS;
	if (unlikely(skb->pkt_type != PACKET_HOST) &&
	    READ_ONCE(md->nic->tap) == NULL) {
		ms_netdev_count(md, MS_CTR_RX_SEEN, 1);
		ms_netdev_count(md, MS_CTR_RX_HOST, 1);
		return RX_HANDLER_PASS;
	}
	if (ms_nic_looks_ahead(md->nic, ms_rx_queue()))
		look_ahead(md);
	if (!ms_rx_skb(md, skb, NULL))
		return RX_HANDLER_PASS;
	napi_consume_skb(skb, 1); /* bottom halves are off */
	return RX_HANDLER_CONSUMED;
}
