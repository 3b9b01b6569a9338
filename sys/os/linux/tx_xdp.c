// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * tx_xdp.c: frames to the driver without an skb, many in one call, for
 * attachments with the option tx=xdp.
 *
 * Such a frame is bytes and nothing else: those that need a checksum finished,
 * or are to be segmented, make their batch go by skb; and so do all while
 * somebody on this host looks at what leaves, for these he would not see.
 */
#include <linux/if_vlan.h>
#include <linux/jiffies.h>
#include <net/xdp.h>

#include "ms_txq.h"

#define TAIL_BYTES SKB_DATA_ALIGN(sizeof(struct skb_shared_info))
/* A frame, the room before it that programs count on, and what an skb made of
   it needs behind it, fit into a page. */
#define FRAME_BYTES_MAX (PAGE_SIZE - XDP_PACKET_HEADROOM - TAIL_BYTES)
/* Tries without a frame taken before the first one is given up: a driver that
   does not take it for its length says no more than that. */
#define TRIES_MAX 10
/* How long a driver that takes none is not asked again. */
#define OFF_JIFFIES HZ

/* Frees page and all. */
static void
frames_free(struct xdp_frame **frame, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		xdp_return_frame(frame[i]);
}

static struct xdp_frame *
frame_make(const struct ms_frame *f)
{
	uint32_t bytes = SKB_DATA_ALIGN(XDP_PACKET_HEADROOM + f->len) +
			 TAIL_BYTES;
	struct ms_cursor c = { .seg = f->segs, .nsegs = f->nsegs };
	struct xdp_frame *x;
	uint8_t *data;

	x = napi_alloc_frag(bytes);
	if (unlikely(x == NULL))
		return NULL;
	data = (uint8_t *)x + XDP_PACKET_HEADROOM;
	memset(x, 0, sizeof(*x));
	x->data = data;
	x->len = f->len;
	x->headroom = XDP_PACKET_HEADROOM - sizeof(*x);
	x->frame_sz = bytes;
	ms_xdp_frame_mem(x, MEM_TYPE_PAGE_SHARED);
	memcpy(data, f->data, f->linear);
	if (unlikely(
		!ms_cursor_read(&c, data + f->linear, f->len - f->linear))) {
		xdp_return_frame(x);
		return NULL;
	}
	return x;
}

static bool
is_plain(const struct ms_frame *f)
{
	return f->meta.flags == 0 && f->meta.gso_type == MS_GSO_NONE &&
	       f->linear <= f->len && f->len <= FRAME_BYTES_MAX;
}

/* How many of the n frames the driver took, the first ones, or an error. */
static int
driver_send(struct net_device *dev, struct xdp_frame **frame, uint32_t n)
{
	int sent = dev->netdev_ops->ndo_xdp_xmit(dev, n, frame, XDP_XMIT_FLUSH);

	return min_t(int, sent, n);
}

void
ms_tx_xdp_push(struct ms_txq *txq)
{
	struct ms_xdp_frames *l = &txq->xdp;
	int sent;

	sent = ms_dev_takes_xdp_frames(txq->md->dev)
		   ? driver_send(txq->md->dev, l->frame, l->num)
		   : -ENXIO;
	if (unlikely(sent < 0)) {
		ms_tx_xdp_drop(txq);
		return;
	}
	l->tries = sent == 0 ? l->tries + 1 : 0;
	if (l->tries > TRIES_MAX) {
		l->tries = 0;
		ms_txq_lose(txq, MS_CTR_DROP_TX_NIC, 1);
		xdp_return_frame(l->frame[0]);
		sent = 1;
	}
	l->num -= sent;
	memmove(l->frame, l->frame + sent, l->num * sizeof(l->frame[0]));
}

void
ms_tx_xdp_drop(struct ms_txq *txq)
{
	ms_txq_lose(txq, MS_CTR_DROP_TX_NIC, txq->xdp.num);
	frames_free(txq->xdp.frame, txq->xdp.num);
	txq->xdp.num = 0;
}

bool
ms_tx_xdp(struct ms_txq *txq, const struct ms_frame *frames, uint32_t n)
{
	struct net_device *dev = txq->md->dev;
	struct ms_xdp_frames *l = &txq->xdp;
	uint32_t i, num = 0;
	int sent;

	if (n > ARRAY_SIZE(l->frame) || !ms_dev_takes_xdp_frames(dev) ||
	    time_before(jiffies, l->off_until) || dev_nit_active(dev))
		return false;
	for (i = 0; i < n; i++)
		if (!is_plain(&frames[i]))
			return false;
	for (i = 0; i < n; i++) {
		l->frame[num] = frame_make(&frames[i]);
		if (likely(l->frame[num] != NULL))
			num++;
	}
	sent = driver_send(dev, l->frame, num);
	if (unlikely(sent < 0)) {
		frames_free(l->frame, num);
		l->off_until = jiffies + OFF_JIFFIES;
		return false;
	}
	ms_txq_lose(txq, MS_CTR_DROP_NOMEM, n - num);
	l->num = num - sent;
	if (l->num != 0 && sent != 0)
		memmove(l->frame, l->frame + sent,
			l->num * sizeof(l->frame[0]));
	return true;
}
