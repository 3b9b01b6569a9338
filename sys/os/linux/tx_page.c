// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * tx_page.c: large payloads leave from the pages of the port that sends them.
 *
 * Only where a NIC cuts the frame into segments and takes the pieces from
 * memory by itself. Whatever keeps a frame on this host (a socket, a tap, a
 * queue of another device) makes a copy of its own first and ends the loan. The
 * slots go back to the port when the frame is done with; the pages live as long
 * as the frame even if the port does not.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <net/rtnetlink.h>

#include "ms_txq.h"

/* Less is copied in the time that the book-keeping takes. */
#define PAYLOAD_BYTES_MIN 8192

struct loan { /* one frame that is out */
	struct ubuf_info ubuf;
	struct ms_hold hold;
};

/* There has been one. */
static bool loans_made;

/* The last skb with these pages goes, or has copied them. */
static void
loan_done(struct sk_buff *skb, struct ubuf_info *ubuf, bool sent)
{
	struct loan *loan = container_of(ubuf, struct loan, ubuf);

	if (!refcount_dec_and_test(&ubuf->refcnt))
		return;
	ms_hold_done(&loan->hold);
	kfree(loan);
	module_put(THIS_MODULE); /* ms_tx_page_deinit() waits for who is here */
}

static void
loan_init(struct loan *loan)
{
#if defined(MS_HAVE_UBUF_OPS)
	static const struct ubuf_info_ops ops = { .complete = loan_done };

	loan->ubuf.ops = &ops;
#else
	loan->ubuf.callback = loan_done;
#endif
	loan->ubuf.flags = SKBFL_ZEROCOPY_FRAG;
	refcount_set(&loan->ubuf.refcnt, 1);
}

/* Some bytes within one page, as a new fragment or more of the last one. */
static bool
add_part(struct sk_buff *skb, const uint8_t *p, uint32_t bytes)
{
	struct page *page = vmalloc_to_page(p);
	int i = skb_shinfo(skb)->nr_frags;
	uint32_t ofs = offset_in_page(p);

	if (skb_can_coalesce(skb, i, page, ofs)) {
		skb_frag_size_add(&skb_shinfo(skb)->frags[i - 1], bytes);
	} else {
		if (i == MAX_SKB_FRAGS)
			return false;
		get_page(page);
		skb_fill_page_desc(skb, i, page, ofs, bytes);
	}
	skb->len += bytes;
	skb->data_len += bytes;
	skb->truesize += bytes;
	return true;
}

static bool
add_segs(struct sk_buff *skb, const struct ms_frame *f)
{
	uint32_t i, done, part;
	const uint8_t *p;

	for (i = 0; i < f->nsegs; i++) {
		for (done = 0; done < f->segs[i].bytes; done += part) {
			p = f->segs[i].p + done;
			part = min_t(uint32_t, f->segs[i].bytes - done,
				     PAGE_SIZE - offset_in_page(p));
			if (!add_part(skb, p, part))
				return false;
		}
	}
	return true;
}

static void
remove_segs(struct sk_buff *skb)
{
	int i;

	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++)
		put_page(skb_frag_page(&skb_shinfo(skb)->frags[i]));
	skb_shinfo(skb)->nr_frags = 0;
	skb->len -= skb->data_len;
	skb->truesize -= skb->data_len;
	skb->data_len = 0;
}

/* The NIC does the segmentation, and nobody listens who would need a copy. */
static bool
pays(const struct ms_txq *txq, const struct ms_frame *f)
{
	struct net_device *dev = txq->md->dev;
	int type;

	if (!txq->md->by_page || f->len - f->linear < PAYLOAD_BYTES_MIN)
		return false;
	if (f->meta.gso_type == MS_GSO_TCP4)
		type = SKB_GSO_TCPV4;
	else if (f->meta.gso_type == MS_GSO_TCP6)
		type = SKB_GSO_TCPV6;
	else
		return false;
	return net_gso_ok(dev->features, type) && !dev_nit_active(dev);
}

bool
ms_tx_page_add(struct ms_txq *txq, struct sk_buff *skb,
	       const struct ms_frame *f)
{
	struct loan *loan;

	if (!pays(txq, f))
		return false;
	loan = kmalloc(sizeof(*loan), GFP_ATOMIC | __GFP_NOWARN);
	if (loan == NULL)
		return false;
	if (!add_segs(skb, f) ||
	    !ms_frame_hold(txq->md->nic, txq->q, f, &loan->hold)) {
		remove_segs(skb);
		kfree(loan);
		return false;
	}
	__module_get(THIS_MODULE); /* there is an open port */
	if (!READ_ONCE(loans_made))
		WRITE_ONCE(loans_made, true);
	loan_init(loan);
	skb_zcopy_init(skb, &loan->ubuf);
	return true;
}

bool
ms_tx_page_device(const struct net_device *dev)
{
	const struct rtnl_link_ops *kind = dev->rtnl_link_ops;

	/* The peer of a tun is a program: it gets a copy. */
	if ((dev->priv_flags & IFF_NO_QUEUE) != 0 ||
	    (dev->flags & IFF_LOOPBACK) != 0 ||
	    (kind != NULL && strcmp(kind->kind, "tun") == 0))
		return false;
	return (dev->features & NETIF_F_SG) != 0 &&
	       (dev->features & NETIF_F_ALL_TSO) != 0;
}

/*
 * Who gave the last reference back is still on his way out of loan_done(): with
 * bottom halves off, for which the first waits, or as a task, which can lose
 * its processor there but does not give it away, for which the second does.
 */
void
ms_tx_page_deinit(void)
{
	if (!loans_made)
		return;
	synchronize_rcu();
	synchronize_rcu_tasks();
}
