// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * tx_skb.c: an skb made of a frame that a port sends.
 *
 * The headers come from the switch's own validated copy; what follows them is
 * copied once from the sender's region, where it may change meanwhile. All that
 * the kernel and drivers will believe about the frame (offsets, number of
 * segments) is computed here, from that copy.
 */
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/percpu.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/tcp.h>

#include "ms_txq.h"

/* Up to so many bytes a frame is one piece of memory; of a longer one the
   payload lies in pages of its own. */
#define LINEAR_BYTES_MAX 1600

/* Where the next payloads go, a processor's own: bottom halves are off. As many
   blocks as are under way, of 32 KiB, but no more. */
#define TX_BLOCKS 64

struct tx_blocks {
	struct page_frag block[TX_BLOCKS]; /* each with a reference of ours */
	unsigned int at;		   /* is being filled */
};

static DEFINE_PER_CPU(struct tx_blocks, tx_blocks);

bool
ms_cursor_read(struct ms_cursor *c, uint8_t *to, uint32_t n)
{
	uint32_t part;

	while (n > 0) {
		if (unlikely(c->nsegs == 0))
			return false;
		part = min(n, c->seg->bytes - c->ofs);
		memcpy(to, c->seg->p + c->ofs, part);
		to += part;
		n -= part;
		c->ofs += part;
		if (c->ofs == c->seg->bytes) {
			c->seg++;
			c->nsegs--;
			c->ofs = 0;
		}
	}
	return true;
}

/*
 * A block with room, or NULL. One that is full is filled again when nobody has
 * a frame in it any more, first this one, then the one that was full the longest
 * ago: a new one is cleared by many a kernel, which costs as much as the copy.
 */
static struct page_frag *
block_get(struct tx_blocks *b)
{
	const gfp_t gfp = GFP_ATOMIC | __GFP_NOWARN;
	struct page_frag *pf = &b->block[b->at];

	if (pf->page != NULL && pf->offset == pf->size &&
	    page_ref_count(pf->page) != 1) {
		b->at = (b->at + 1) % TX_BLOCKS;
		pf = &b->block[b->at];
	}
	return skb_page_frag_refill(1, pf, gfp) ? pf : NULL;
}

/* The rest of the frame into pages. */
static bool
skb_add_pages(struct sk_buff *skb, struct ms_cursor *c, uint32_t bytes)
{
	struct tx_blocks *b = this_cpu_ptr(&tx_blocks);
	struct page_frag *pf;
	uint32_t part;
	int i;

	for (i = 0; bytes > 0; i++) {
		pf = i < MAX_SKB_FRAGS ? block_get(b) : NULL;
		if (pf == NULL)
			return false;
		part = min(bytes, pf->size - pf->offset);
		if (!ms_cursor_read(c, page_address(pf->page) + pf->offset,
				    part))
			return false;
		get_page(pf->page);
		skb_fill_page_desc(skb, i, pf->page, pf->offset, part);
		skb->len += part;
		skb->data_len += part;
		skb->truesize += part;
		pf->offset += part;
		bytes -= part;
	}
	return true;
}

/*
 * The headers without their first VLAN tag, which goes beside them: where a
 * driver cannot put it back, the kernel does. *cut: bytes that are missing now.
 */
static void
skb_put_headers(struct sk_buff *skb, const struct ms_frame *f, uint32_t *cut)
{
	const struct vlan_ethhdr *h = (const void *)f->data;

	*cut = 0;
	if (likely(!eth_type_vlan(h->h_vlan_proto)) ||
	    f->linear < VLAN_ETH_HLEN) {
		skb_put_data(skb, f->data, f->linear);
		return;
	}
	*cut = VLAN_HLEN;
	skb_put_data(skb, f->data, 2 * ETH_ALEN);
	skb_put_data(skb, f->data + 2 * ETH_ALEN + VLAN_HLEN,
		     f->linear - 2 * ETH_ALEN - VLAN_HLEN);
	__vlan_hwaccel_put_tag(skb, h->h_vlan_proto, ntohs(h->h_vlan_TCI));
}

/* Protocol, and where the headers are. */
static void
skb_set_headers(struct sk_buff *skb)
{
	const struct ethhdr *eth = (const void *)skb->data;
	uint32_t l4 = 0;

	skb_reset_mac_header(skb);
	skb_set_network_header(skb, ETH_HLEN);
	skb->protocol = eth->h_proto;
	if (eth->h_proto == htons(ETH_P_IP))
		l4 = ETH_HLEN + (uint32_t)(skb->data[ETH_HLEN] & 15) * 4;
	else if (eth->h_proto == htons(ETH_P_IPV6))
		l4 = ETH_HLEN + sizeof(struct ipv6hdr);
	if (likely(l4 != 0 && l4 <= skb_headlen(skb)))
		skb_set_transport_header(skb, l4);
}

/* Segmentation of what is longer than one segment. */
static bool
skb_set_gso(struct sk_buff *skb, const struct ms_meta *m)
{
	uint32_t start = skb_checksum_start_offset(skb);
	uint32_t hdr = sizeof(struct udphdr);
	uint32_t type = SKB_GSO_UDP_L4;
	const struct tcphdr *th;

	if (m->gso_type == MS_GSO_TCP4 || m->gso_type == MS_GSO_TCP6) {
		if (start + sizeof(*th) > skb_headlen(skb))
			return false;
		th = (const void *)(skb->data + start);
		hdr = th->doff * 4u;
		type = m->gso_type == MS_GSO_TCP4 ? SKB_GSO_TCPV4
						  : SKB_GSO_TCPV6;
		/* The first segment alone says that the window was cut. */
		if (th->cwr)
			type |= SKB_GSO_TCP_ECN;
	} else if (m->gso_type != MS_GSO_UDP) {
		return false;
	}
	if (m->gso_size == 0 || start + hdr > skb_headlen(skb))
		return false;
	if (skb->len - start - hdr <= m->gso_size)
		return true;
	skb_shinfo(skb)->gso_type = type;
	skb_shinfo(skb)->gso_size = m->gso_size;
	skb_shinfo(skb)->gso_segs = DIV_ROUND_UP(skb->len - start - hdr,
						 m->gso_size);
	return true;
}

static bool
skb_set_meta(struct sk_buff *skb, const struct ms_meta *m, uint32_t cut)
{
	if ((m->flags & MS_SLOT_CSUM_PARTIAL) == 0)
		return m->gso_type == MS_GSO_NONE;
	if (m->csum_start < ETH_HLEN + cut ||
	    !skb_partial_csum_set(skb, m->csum_start - cut, m->csum_offset))
		return false;
	return m->gso_type == MS_GSO_NONE || skb_set_gso(skb, m);
}

/* Empty, with room for so many bytes. Cut from a processor's own page, as
   drivers do for what they receive: to free it costs less than kfree(). */
static struct sk_buff *
skb_make(const struct net_device *dev, uint32_t bytes)
{
	uint32_t headroom = LL_RESERVED_SPACE(dev) + NET_IP_ALIGN;
	struct sk_buff *skb;
	void *data;

	bytes = SKB_DATA_ALIGN(headroom + bytes + dev->needed_tailroom) +
		SKB_DATA_ALIGN(sizeof(struct skb_shared_info));
	data = napi_alloc_frag(bytes);
	if (unlikely(data == NULL))
		return NULL;
	skb = napi_build_skb(data, bytes);
	if (unlikely(skb == NULL)) {
		skb_free_frag(data);
		return NULL;
	}
	skb_reserve(skb, headroom);
	return skb;
}

/* What the linear part does not hold. txq: as ms_tx_skb_direct(), or NULL. */
static bool
skb_add_payload(struct sk_buff *skb, struct ms_txq *txq,
		const struct ms_frame *f, struct ms_cursor *c, uint32_t bytes)
{
	if (bytes == 0)
		return true;
	if (txq != NULL && ms_tx_page_add(txq, skb, f))
		return true;
	return skb_add_pages(skb, c, bytes);
}

static struct sk_buff *
skb_of(struct net_device *dev, struct ms_txq *txq, const struct ms_frame *f,
       enum ms_counter *why)
{
	struct ms_cursor c = { .seg = f->segs, .nsegs = f->nsegs };
	uint32_t linear = f->len <= LINEAR_BYTES_MAX ? f->len : f->linear;
	struct sk_buff *skb;
	uint32_t cut;

	*why = MS_CTR_DROP_TX_OFFLOAD;
	if (unlikely(f->linear < ETH_HLEN || f->linear > linear))
		return NULL;
	*why = MS_CTR_DROP_NOMEM;
	skb = skb_make(dev, linear);
	if (unlikely(skb == NULL))
		return NULL;
	skb->dev = dev;
	skb_put_headers(skb, f, &cut);
	skb_set_headers(skb);
	if (linear > f->linear &&
	    unlikely(!ms_cursor_read(&c, skb_put(skb, linear - f->linear),
				     linear - f->linear)))
		goto out_free;
	if (unlikely(!skb_add_payload(skb, txq, f, &c, f->len - linear)))
		goto out_free;
	*why = MS_CTR_DROP_TX_OFFLOAD;
	if (unlikely(f->meta.flags != 0 || f->meta.gso_type != MS_GSO_NONE) &&
	    unlikely(!skb_set_meta(skb, &f->meta, cut)))
		goto out_free;
	return skb;

out_free:
	kfree_skb(skb);
	return NULL;
}

struct sk_buff *
ms_tx_skb(struct net_device *dev, const struct ms_frame *f,
	  enum ms_counter *why)
{
	return skb_of(dev, NULL, f, why);
}

struct sk_buff *
ms_tx_skb_direct(struct ms_txq *txq, const struct ms_frame *f,
		 enum ms_counter *why)
{
	return skb_of(txq->md->dev, txq, f, why);
}

void
ms_tx_skb_deinit(void)
{
	struct tx_blocks *b;
	unsigned int i;
	int cpu;

	for_each_possible_cpu(cpu)
	{
		b = per_cpu_ptr(&tx_blocks, cpu);
		for (i = 0; i < TX_BLOCKS; i++) {
			if (b->block[i].page != NULL)
				put_page(b->block[i].page);
			b->block[i].page = NULL;
		}
	}
}
