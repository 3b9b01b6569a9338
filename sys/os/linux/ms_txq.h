/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_txq.h: what tx.c, tx_page.c and tx_xdp.c share: a transmit queue of an
 * attachment.
 *
 * Field tag (q): under ms_txq.lock, which the runner of the queue's scheduler
 * and the timer take. It is the outermost of the locks on the way into a
 * driver; whoever holds it takes none of the core's.
 */
#ifndef MS_TXQ_H
#define MS_TXQ_H

#include <linux/interrupt.h>

#include "ms_linux.h"

/* What the driver had no room for; sent first when it has. */
struct ms_skbs {
	struct sk_buff *first, **lastp;
	uint32_t num;
};

#define MS_XDP_FRAMES 64 /* in one call; as many as the switch sends at once */

/* The same of XDP frames. */
struct ms_xdp_frames {
	struct xdp_frame *frame[MS_XDP_FRAMES];
	uint32_t num;
	uint32_t tries;		 /* since the driver took one */
	unsigned long off_until; /* jiffies; till then by skb: the driver takes
				    none just now */
};

struct ms_txq {
	struct ms_netdev *md; /* (c) */
	unsigned int q;	      /* (c) of the nic; the driver's is q modulo the
				 number that it has just now */
	spinlock_t lock;
	bool stopped;		  /* (q) nothing is sent any more */
	struct ms_skbs skbs;	  /* (q) owned */
	struct ms_xdp_frames xdp; /* (q) owned; go before skbs */
	uint32_t delay_ns;	  /* (q) before the next try; doubles while the
				 driver takes nothing */
	/* what a qdisc held when it last had no room, by which the next frames
	   go until that moment */
	uint32_t full_bytes;	  /* (q) */
	unsigned long full_until; /* (q) jiffies */
	struct hrtimer retry; /* soft: tries again, and runs the scheduler */
	struct tasklet_struct more;   /* runs the scheduler */
	uint64_t counter[MS_CTR_MAX]; /* (q) */
} ____cacheline_aligned_in_smp;

/* n more frames that came to nothing. txq->lock held. */
static inline void
ms_txq_lose(struct ms_txq *txq, enum ms_counter which, uint32_t n)
{
	WRITE_ONCE(txq->counter[which], txq->counter[which] + n);
}

/* Whether dev can send at all; what it is handed otherwise is refused. */
static inline bool
ms_tx_dev_ready(const struct net_device *dev)
{
	return netif_running(dev) && netif_carrier_ok(dev) &&
	       netif_device_present((struct net_device *)dev);
}

/* Something waits. txq->lock held, or only a hint. */
static inline bool
ms_txq_waits(const struct ms_txq *txq)
{
	return READ_ONCE(txq->skbs.first) != NULL || READ_ONCE(txq->xdp.num);
}

/* ---- tx_skb.c ----------------------------------------------------------- */

/* A place in a frame's segments: {.seg = f->segs, .nsegs = f->nsegs}. */
struct ms_cursor {
	const struct ms_seg *seg;
	uint32_t ofs; /* in *seg */
	uint16_t nsegs;
};

/* Copies the next n bytes to `to`. False: the frame has not so many. */
bool ms_cursor_read(struct ms_cursor *c, uint8_t *to, uint32_t n);
/* As ms_tx_skb(), for a frame that goes straight to the driver: its payload may
   be lent instead of copied. txq->lock held. */
struct sk_buff *ms_tx_skb_direct(struct ms_txq *txq, const struct ms_frame *f,
				 enum ms_counter *why);
/* Frees what ms_tx_skb() kept for its next payloads. Nobody calls that any
   more. */
void ms_tx_skb_deinit(void);

/* ---- tx_page.c ------------------------------------------------------------ */

/* Adds the frame's segments to skb, which has the rest, by reference: their
   slots are held until skb is done with. False: copy them. txq->lock held. */
bool ms_tx_page_add(struct ms_txq *txq, struct sk_buff *skb,
		    const struct ms_frame *f);
/* Whether that is worth trying with this device. */
bool ms_tx_page_device(const struct net_device *dev);
/* Waits until nobody runs code of tx_page.c any more; nothing is lent. Sleeps;
   half a second perhaps, if ever a frame was. */
void ms_tx_page_deinit(void);

/* ---- tx_xdp.c; txq->lock held, bottom halves off -------------------------- */

/* Sends a batch, or nothing of it (false): then it goes by skb. What the driver
   has no room for waits. Nothing waits before. */
bool ms_tx_xdp(struct ms_txq *txq, const struct ms_frame *frames, uint32_t n);
/* Sends what waits, as far as the driver takes it. */
void ms_tx_xdp_push(struct ms_txq *txq);
/* Frees what waits, and counts it. */
void ms_tx_xdp_drop(struct ms_txq *txq);

#endif /* MS_TXQ_H */
