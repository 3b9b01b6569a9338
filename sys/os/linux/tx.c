// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * tx.c: from the switch to the driver.
 *
 * A batch becomes a list of skbs, which the driver gets under one lock of its
 * queue with the hint that more follow. Drivers stop their queues: what is left
 * then waits here, goes first, and until it is gone the switch is told that
 * there is no room, so that the frames behind it wait in their ports' rings.
 * Where somebody has configured how frames leave an interface, by a qdisc or
 * a filter, they go through that.
 *
 * Nothing here is called from within a driver, so what is sent here is never
 * nested in another transmission.
 */
#include <linux/hrtimer.h>
#include <linux/if_vlan.h>
#include <linux/netdevice.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <net/sch_generic.h>

#include "ms_txq.h"

/* Frames sent with bottom halves off, before receivers behind a veth, who may
   have room for 256, get their turn. A processor keeps 64 skbs for such use:
   with half of them under way none goes back to the allocator, which more than
   doubles the speed. */
#define ROUND_FRAMES 32
/* Rounds of one call of sync for others' frames only, before a tasklet goes on
   with them. */
#define SYNC_ROUNDS_OTHERS 8
#define RETRY_NS_MIN 20000u
#define RETRY_NS_MAX 1000000u
#define QDISC_FRAMES 1000 /* for a device that does not say */
/* Of a processor's backlog of received frames, half of what it takes by
   default (net.core.netdev_max_backlog). */
#define BACKLOG_FRAMES 500
/* skbs to a virtual device at a time: a NAPI behind it has room for 256. */
#define PUSH_SKBS_VIRTUAL 128
/* How long a qdisc is thought to have no more room than it once had. */
#define QDISC_FULL_JIFFIES (HZ / 5)

static struct ms_txq *
txq_of(const struct ms_nic *nic, unsigned int q)
{
	const struct ms_netdev *md = nic->os;

	return &md->txq[q];
}

/* The driver's queue; the number of those can change at any time. */
static struct netdev_queue *
dev_queue(const struct ms_txq *txq)
{
	struct net_device *dev = txq->md->dev;
	unsigned int num = READ_ONCE(dev->real_num_tx_queues);

	return netdev_get_tx_queue(dev, txq->q < num ? txq->q : txq->q % num);
}

/* Whether somebody has said how frames leave here: a qdisc that was put there
   has a handle, those that are there by default have none. */
static bool
has_rules(const struct ms_netdev *md, const struct netdev_queue *nq)
{
	const struct Qdisc *root, *own;

	if (md->ignore_qdisc || md->respect_qdisc)
		return md->respect_qdisc;
	root = rcu_dereference_bh(md->dev->qdisc);
	own = rcu_dereference_bh(nq->qdisc);
	return root->handle != 0 || own->handle != 0 ||
	       ms_dev_egress_filtered(md->dev);
}

/* ---- skbs that wait ----------------------------------------------------- */

static void
skbs_init(struct ms_skbs *l)
{
	l->first = NULL;
	l->lastp = &l->first;
	l->num = 0;
}

/* A list of skbs, as of one that was cut into segments. */
static void
skbs_append(struct ms_skbs *l, struct sk_buff *skb)
{
	*l->lastp = skb;
	for (; skb != NULL; skb = skb->next) {
		l->lastp = &skb->next;
		l->num++;
	}
}

static struct sk_buff *
skbs_pop(struct ms_skbs *l)
{
	struct sk_buff *skb = l->first;

	l->first = skb->next;
	if (l->first == NULL)
		l->lastp = &l->first;
	l->num--;
	skb_mark_not_on_list(skb);
	return skb;
}

static void
skbs_push_back(struct ms_skbs *l, struct sk_buff *skb)
{
	skb->next = l->first;
	if (l->first == NULL)
		l->lastp = &skb->next;
	l->first = skb;
	l->num++;
}

/* ---- sending what waits; txq->lock held ----------------------------------- */

static void
push_drop(struct ms_txq *txq)
{
	ms_tx_xdp_drop(txq);
	ms_txq_lose(txq, MS_CTR_DROP_TX_NIC, txq->skbs.num);
	kfree_skb_list(txq->skbs.first);
	skbs_init(&txq->skbs);
}

/*
 * A qdisc that is full says so by losing a frame. What it holds then is its
 * room for the next moments, so that it has to say so rarely.
 */
static void
push_qdisc(struct ms_txq *txq, struct netdev_queue *nq)
{
	const struct Qdisc *qdisc = rcu_dereference_bh(nq->qdisc);
	int rc = NET_XMIT_SUCCESS;

	while (txq->skbs.first != NULL && rc == NET_XMIT_SUCCESS) {
		rc = dev_queue_xmit(skbs_pop(&txq->skbs));
		rc = net_xmit_eval(rc); /* a macro that takes it twice */
		if (likely(rc == NET_XMIT_SUCCESS)) {
			txq->delay_ns = RETRY_NS_MIN;
			continue;
		}
		ms_txq_lose(txq, MS_CTR_DROP_TX_NIC, 1);
		txq->full_bytes = READ_ONCE(qdisc->qstats.backlog);
		txq->full_until = jiffies + QDISC_FULL_JIFFIES;
	}
}

/*
 * Frames to a virtual device queue up again on this processor, behind it. We
 * fill that only so far that nothing is lost in it.
 */
static uint32_t
backlog_room(const struct net_device *dev)
{
	const struct softnet_data *sd = this_cpu_ptr(&softnet_data);
	uint32_t len;

	if ((dev->priv_flags & IFF_NO_QUEUE) == 0)
		return MS_BATCH_MAX;
	len = skb_queue_len_lockless(&sd->input_pkt_queue);
	return len < BACKLOG_FRAMES ? BACKLOG_FRAMES - len : 0;
}

/* skbs that can go to it now, one after the other. */
static uint32_t
burst_max(const struct net_device *dev)
{
	if ((dev->priv_flags & IFF_NO_QUEUE) == 0)
		return UINT_MAX;
	return min_t(uint32_t, backlog_room(dev), PUSH_SKBS_VIRTUAL);
}

/*
 * To the driver, until it stops. A virtual one says by its answer that the
 * frame was lost, a queue behind it being full: what is left waits for that
 * too.
 */
static void
push_driver(struct ms_txq *txq, struct netdev_queue *nq)
{
	struct net_device *dev = txq->md->dev;
	uint16_t index = nq - dev->_tx;
	bool tapped = dev_nit_active(dev);
	uint32_t left = burst_max(dev);
	struct sk_buff *skb;
	int rc = NETDEV_TX_OK;

	HARD_TX_LOCK(dev, nq, smp_processor_id());
	while (txq->skbs.first != NULL && rc == NETDEV_TX_OK && left-- > 0 &&
	       !netif_xmit_frozen_or_stopped(nq)) {
		skb = skbs_pop(&txq->skbs);
		skb_set_queue_mapping(skb, index);
		if (unlikely(tapped))
			dev_queue_xmit_nit(skb, dev);
		rc = netdev_start_xmit(skb, dev, nq, txq->skbs.first != NULL);
		if (likely(rc == NETDEV_TX_OK))
			txq->delay_ns = RETRY_NS_MIN;
		else if (dev_xmit_complete(rc))
			ms_txq_lose(txq, MS_CTR_DROP_TX_NIC, 1);
		else
			skbs_push_back(&txq->skbs, skb);
	}
	HARD_TX_UNLOCK(dev, nq);
}

static void
txq_push(struct ms_txq *txq)
{
	struct netdev_queue *nq = dev_queue(txq);

	if (unlikely(!ms_tx_dev_ready(txq->md->dev))) {
		push_drop(txq);
		return;
	}
	if (unlikely(txq->xdp.num != 0)) {
		ms_tx_xdp_push(txq);
		if (txq->xdp.num == 0)
			txq->delay_ns = RETRY_NS_MIN;
	}
	if (txq->skbs.first == NULL || txq->xdp.num != 0)
		return;
	if (has_rules(txq->md, nq))
		push_qdisc(txq, nq);
	else
		push_driver(txq, nq);
}

/* Tries again later: sooner if the driver took something the last time. */
static void
txq_arm(struct ms_txq *txq)
{
	if (txq->stopped || hrtimer_is_queued(&txq->retry))
		return;
	hrtimer_start(&txq->retry, ns_to_ktime(txq->delay_ns),
		      HRTIMER_MODE_REL_SOFT);
	if (txq->delay_ns < RETRY_NS_MAX)
		txq->delay_ns *= 2;
}

/* ---- what the switch calls -------------------------------------------------- */

/* Of a qdisc, as far as can be told: in frames by its limit, and in frames of
   full length by what it held when it was full. */
static uint32_t
qdisc_room(const struct ms_txq *txq, const struct Qdisc *qdisc)
{
	const struct net_device *dev = txq->md->dev;
	uint32_t limit = READ_ONCE(qdisc->limit);
	uint32_t len = qdisc_qlen_sum(qdisc);
	uint32_t bytes = READ_ONCE(qdisc->qstats.backlog);
	uint32_t room;

	if (limit == 0)
		limit = READ_ONCE(dev->tx_queue_len);
	if (limit == 0)
		limit = QDISC_FRAMES;
	room = len < limit ? limit - len : 0;
	if (len == 0 || time_after(jiffies, READ_ONCE(txq->full_until)))
		return room;
	if (bytes >= READ_ONCE(txq->full_bytes))
		return 0;
	bytes = READ_ONCE(txq->full_bytes) - bytes;
	return min_t(uint32_t, room, bytes / (dev->mtu + ETH_HLEN));
}

/* How many frames can go now, if none wait. */
static uint32_t
dev_room(const struct ms_txq *txq)
{
	const struct ms_netdev *md = txq->md;
	struct netdev_queue *nq = dev_queue(txq);
	const struct Qdisc *qdisc;

	if (unlikely(!ms_tx_dev_ready(md->dev)))
		return MS_BATCH_MAX; /* and xmit refuses them */
	if (unlikely(has_rules(md, nq))) {
		qdisc = rcu_dereference_bh(nq->qdisc);
		if (qdisc->enqueue != NULL)
			return qdisc_room(txq, qdisc);
	}
	return netif_xmit_frozen_or_stopped(nq) ? 0 : backlog_room(md->dev);
}

uint32_t
ms_tx_room(struct ms_nic *nic, unsigned int q)
{
	struct ms_txq *txq = txq_of(nic, q);
	uint32_t room = 0;

	if (likely(!ms_txq_waits(txq)))
		room = dev_room(txq);
	if (likely(room > 0))
		return room;
	spin_lock(&txq->lock);
	txq_push(txq);
	if (!ms_txq_waits(txq))
		room = dev_room(txq);
	if (room == 0)
		txq_arm(txq);
	spin_unlock(&txq->lock);
	return room;
}

/* What a driver cannot do is done for it; skbs that need nothing of the sort
   do not have to ask. */
static void
txq_add(struct ms_txq *txq, const struct ms_frame *f, bool direct)
{
	struct net_device *dev = txq->md->dev;
	enum ms_counter why;
	struct sk_buff *skb;
	bool again = false;

	skb = direct ? ms_tx_skb_direct(txq, f, &why) : ms_tx_skb(dev, f, &why);
	if (unlikely(skb == NULL)) {
		ms_txq_lose(txq, why, 1);
		return;
	}
	if (direct && (skb->ip_summed == CHECKSUM_PARTIAL ||
		       skb_is_nonlinear(skb) || skb_vlan_tag_present(skb))) {
		skb = validate_xmit_skb_list(skb, dev, &again);
		if (unlikely(skb == NULL)) {
			ms_txq_lose(txq, MS_CTR_DROP_TX_NIC, 1);
			return;
		}
	}
	skbs_append(&txq->skbs, skb);
}

uint32_t
ms_tx_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	   uint32_t n, bool more)
{
	struct ms_txq *txq = txq_of(nic, q);
	bool direct;
	uint32_t i;

	if (unlikely(!ms_tx_dev_ready(txq->md->dev)))
		return 0;
	spin_lock(&txq->lock);
	if (unlikely(txq->stopped)) {
		spin_unlock(&txq->lock);
		return 0;
	}
	direct = !has_rules(txq->md, dev_queue(txq));
	if (!txq->md->xdp_tx || !direct || !ms_tx_xdp(txq, frames, n)) {
		for (i = 0; i < n; i++)
			txq_add(txq, &frames[i], direct);
		txq_push(txq);
	}
	if (unlikely(ms_txq_waits(txq)))
		txq_arm(txq);
	spin_unlock(&txq->lock);
	return n;
}

void
ms_tx_stats(struct ms_netdev *md, uint64_t counter[MS_CTR_MAX])
{
	unsigned int q, i;

	for (q = 0; md->txq != NULL && q < nr_cpu_ids; q++)
		for (i = 0; i < MS_CTR_MAX; i++)
			counter[i] += READ_ONCE(md->txq[q].counter[i]);
}

/* ---- who runs the scheduler --------------------------------------------------- */

/* One round. Bottom halves are off, in a read section. True: there may be more
   to do. What keeps the queue from sending starts the timer by way of
   ms_tx_room(). */
static bool
txq_round(const struct ms_txq *txq)
{
	return ms_nic_sched_run(txq->md->nic, txq->q, ROUND_FRAMES) >=
	       ROUND_FRAMES;
}

/* Somebody goes on: between rounds receivers have their turn, and where there
   is no end to it, ksoftirqd shares the processor. */
static void
txq_go_on(struct ms_txq *txq)
{
	spin_lock(&txq->lock);
	if (!txq->stopped)
		tasklet_schedule(&txq->more);
	spin_unlock(&txq->lock);
}

static void
txq_more(struct tasklet_struct *tasklet)
{
	struct ms_txq *txq = from_tasklet(txq, tasklet, more);

	rcu_read_lock();
	if (!READ_ONCE(txq->md->gone) && txq_round(txq))
		txq_go_on(txq);
	rcu_read_unlock();
}

/* Soft timer: bottom halves are off. */
static enum hrtimer_restart
txq_retry(struct hrtimer *timer)
{
	struct ms_txq *txq = container_of(timer, struct ms_txq, retry);

	rcu_read_lock();
	if (READ_ONCE(txq->md->gone))
		goto out;
	spin_lock(&txq->lock);
	txq_push(txq);
	if (ms_txq_waits(txq))
		txq_arm(txq);
	spin_unlock(&txq->lock);
	if (txq_round(txq))
		txq_go_on(txq);
out:
	rcu_read_unlock();
	return HRTIMER_NORESTART;
}

/* Frames of this ring that were not sent yet. A hint: its runner may be at
   work. */
static bool
has_frames(const struct ms_kring *ring)
{
	return READ_ONCE(ring->head) != READ_ONCE(ring->pos) ||
	       ms_kring_tx_pending(ring);
}

/* One round for the ring's queue; *more: there may be more to do, which is
   left to a tasklet after the last. -ENETDOWN. */
static int
sync_round(struct ms_kring *ring, bool last, bool *more)
{
	struct ms_txq *txq;
	struct ms_sched *s;
	int err = 0;

	local_bh_disable();
	rcu_read_lock();
	s = ms_os_load_acquire(&ring->sched);
	if (s == NULL) {
		err = -ENETDOWN;
	} else {
		txq = txq_of(s->nic, s->q);
		*more = txq_round(txq);
		if (*more && last)
			txq_go_on(txq);
	}
	rcu_read_unlock();
	local_bh_enable();
	return err;
}

int
ms_tx_sync(struct ms_kring *ring)
{
	/* As often as it takes for a full ring of ours and one of others. */
	unsigned int left = 2 * (ring->mask + 1) / ROUND_FRAMES + 1;
	unsigned int others = SYNC_ROUNDS_OTHERS;
	bool more, last;
	int err;

	ms_kring_tx_ready(ring);
	do {
		left--;
		if (!has_frames(ring))
			others--;
		last = left == 0 || others == 0 || signal_pending(current);
		err = sync_round(ring, last, &more);
		if (err || !more)
			return err;
		cond_resched();
	} while (!last);
	return 0;
}

/* ---- life ------------------------------------------------------------------------ */

int
ms_tx_create(struct ms_netdev *md)
{
	struct ms_txq *txq;
	unsigned int q;

	md->txq = kvcalloc(nr_cpu_ids, sizeof(*md->txq), GFP_KERNEL_ACCOUNT);
	if (md->txq == NULL)
		return -ENOMEM;
	for (q = 0; q < nr_cpu_ids; q++) {
		txq = &md->txq[q];
		txq->md = md;
		txq->q = q;
		spin_lock_init(&txq->lock);
		skbs_init(&txq->skbs);
		txq->delay_ns = RETRY_NS_MIN;
		txq->full_until = txq->xdp.off_until = jiffies;
		tasklet_setup(&txq->more, txq_more);
		ms_hrtimer_setup(&txq->retry, txq_retry, CLOCK_MONOTONIC,
				 HRTIMER_MODE_REL_SOFT);
	}
	return 0;
}

void
ms_tx_destroy(struct ms_netdev *md)
{
	struct ms_txq *txq;
	unsigned int q;

	for (q = 0; md->txq != NULL && q < nr_cpu_ids; q++) {
		txq = &md->txq[q];
		spin_lock_bh(&txq->lock);
		txq->stopped = true;
		push_drop(txq);
		spin_unlock_bh(&txq->lock);
		hrtimer_cancel(&txq->retry);
		tasklet_kill(&txq->more);
	}
	kvfree(md->txq);
	md->txq = NULL;
}

void
ms_tx_deinit(void)
{
	ms_tx_page_deinit();
	ms_tx_skb_deinit();
}
