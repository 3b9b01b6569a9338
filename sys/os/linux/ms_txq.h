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

#include "ms_linux.h"

/* What the driver had no room for; sent first when it has. */
struct ms_skbs {
	struct sk_buff *first, **lastp;
	uint32_t num;
};

struct ms_txq {
	struct ms_netdev *md; /* (c) */
	unsigned int q;	      /* (c) of the nic; the driver's is q modulo the
				 number that it has just now */
	spinlock_t lock;
	bool stopped;	      /* (q) nothing is sent any more */
	struct ms_skbs skbs;  /* (q) owned */
	uint32_t delay_ns;    /* (q) before the next try; doubles while the
				 driver takes nothing */
	struct hrtimer retry; /* soft: tries again, and runs the scheduler */
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

/* ---- skb.c -------------------------------------------------------------- */

/* Frees what ms_tx_skb() kept for its next payloads. Nobody calls that any
   more. */
void ms_tx_skb_deinit(void);

#endif /* MS_TXQ_H */
