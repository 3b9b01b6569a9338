/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tx.c: from the switch to the driver.
 *
 * What the switch sends in a read section waits in a list, and goes to the
 * driver, or to the host, when the section is over: drivers take locks that
 * they may hold when they hand us a frame. One thread at a time takes from the
 * list of a queue, so that frames stay in order.
 *
 * if_transmit(9) does not say when there is room. It loses an mbuf and says so,
 * and only the queue of old drivers can be looked at before. Then what is left
 * waits, the switch is told that there is no room, so that the frames behind it
 * wait in their ports' rings, and a timer tries again.
 */
#include "ms_freebsd.h"

#include <sys/kernel.h>
#include <sys/proc.h>
#include <sys/refcount.h>
#include <sys/signalvar.h>
#include <sys/smp.h>

/* Frames of one read section. */
#define ROUND_FRAMES 64
/* Rounds of one call of sync for others' frames only, before a task goes on
   with them. */
#define SYNC_ROUNDS_OTHERS 8
#define WAIT_FRAMES 512 /* in one list */
#define RETRY_US_MIN 50
#define RETRY_US_MAX 2000
#define ALL_HWASSIST                                                           \
	(CSUM_DELAY_DATA | CSUM_DELAY_DATA_IPV6 | CSUM_IP_TSO | CSUM_IP6_TSO)

/* Turns of one thread at a list that others fill, before a task goes on. */
#define FLUSH_TURNS 8

struct ms_txq {
	struct ms_ifnet *mi; /* (c) */
	unsigned int q;	     /* (c) of the nic */
	u_int users;	     /* atomic: threads that are about to flush it */
	struct mtx lock;
	struct ms_mbufs wire; /* (l) owned; for the driver */
	struct ms_mbufs host; /* (l) owned; for the host's stack */
	bool flushing;	      /* (l) somebody takes from the lists */
	bool stopped;	      /* (l) nothing is sent any more */
	bool full;	      /* (l) the driver takes none just now */
	bool armed;	      /* (l) retry runs */
	uint32_t delay_us; /* (l) of that; doubles while the driver is full */
	struct callout retry;
	struct task more;	      /* flushes, and runs the scheduler */
	uint64_t counter[MS_CTR_MAX]; /* (l) */
} __aligned(CACHE_LINE_SIZE);

static struct ms_txq *
txq_of(const struct ms_nic *nic, unsigned int q)
{
	const struct ms_ifnet *mi = nic->os;

	return &mi->txq[q];
}

static void
txq_lose(struct ms_txq *txq, enum ms_counter which, uint32_t n)
{
	ms_os_store_once(&txq->counter[which], txq->counter[which] + n);
}

/* Whether it can send at all; what it is handed otherwise is refused. */
static bool
is_running(if_t ifp)
{
	return (if_getflags(ifp) & IFF_UP) != 0 &&
	       (if_getdrvflags(ifp) & IFF_DRV_RUNNING) != 0;
}

/* ---- to the driver and the host ------------------------------------------------- */

/* What can go now. The lock is held. */
static bool
lists_take(struct ms_txq *txq, struct ms_mbufs *wire, struct ms_mbufs *host)
{
	ms_mbufs_init(wire);
	ms_mbufs_init(host);
	if (txq->stopped)
		return false;
	ms_mbufs_join(host, &txq->host);
	if (!txq->full)
		ms_mbufs_join(wire, &txq->wire);
	return host->first != NULL || wire->first != NULL;
}

/* No read section. Returns how many were lost; what is left in the list has to
   wait. */
static uint32_t
wire_send(const struct ms_txq *txq, struct ms_mbufs *wire)
{
	if_t ifp = txq->mi->ifp;
	uint32_t lost = 0;
	struct mbuf *m;

	if (!is_running(ifp)) {
		lost = wire->num;
		ms_mbufs_free(wire);
	}
	while (wire->first != NULL && lost == 0 && !ms_if_full(ifp)) {
		m = ms_mbufs_pop(wire);
		/* One of its queues for one of ours, so that frames stay in
		   order whoever sends them. */
		m->m_pkthdr.flowid = txq->q;
		M_HASHTYPE_SET(m, M_HASHTYPE_OPAQUE);
		if (if_transmit(ifp, m) != 0)
			lost = 1;
	}
	return lost;
}

/* No lock held, no read section. */
static uint32_t
lists_send(const struct ms_txq *txq, struct ms_mbufs *wire,
	   struct ms_mbufs *host)
{
	if_t ifp = txq->mi->ifp;
	struct ms_compat_tracker t;
	struct mbuf *m;
	uint32_t lost;

	CURVNET_SET_QUIET(txq->mi->vn->vnet);
	ms_stack_enter(&t);
	while ((m = ms_mbufs_pop(host)) != NULL)
		ms_local_input(ifp, m);
	lost = wire_send(txq, wire);
	ms_stack_exit(&t);
	CURVNET_RESTORE();
	return lost;
}

static void txq_retry(void *arg);

/* Somebody goes on later. The lock is held. */
static void
txq_arm(struct ms_txq *txq)
{
	if (txq->stopped || txq->armed)
		return;
	txq->armed = true;
	callout_reset_sbt(&txq->retry, SBT_1US * txq->delay_us, 0, txq_retry,
			  txq, 0);
	if (txq->delay_us < RETRY_US_MAX)
		txq->delay_us *= 2;
}

/* Or at once. The lock is held. */
static void
txq_go_on(struct ms_txq *txq)
{
	if (!txq->stopped)
		(void)taskqueue_enqueue(ms_tasks, &txq->more);
}

/* What became of `num` for the driver. The lock is held. */
static void
wire_done(struct ms_txq *txq, struct ms_mbufs *left, uint32_t num,
	  uint32_t lost)
{
	txq_lose(txq, MS_CTR_DROP_TX_NIC, lost);
	if (left->num + lost < num)
		txq->delay_us = RETRY_US_MIN;
	if (left->num + lost > 0) {
		txq->full = true;
		txq_arm(txq);
	}
	/* Before what has come meanwhile. */
	ms_mbufs_join(left, &txq->wire);
	ms_mbufs_join(&txq->wire, left);
}

/* Sends what waits, unless somebody is at it: he sees to it before he leaves.
   No lock held, no read section; txq stays meanwhile. */
static void
txq_flush(struct ms_txq *txq)
{
	unsigned int turns = FLUSH_TURNS;
	struct ms_mbufs wire, host;
	uint32_t lost, num;

	mtx_lock(&txq->lock);
	if (txq->flushing) {
		mtx_unlock(&txq->lock);
		return;
	}
	txq->flushing = true;
	while (lists_take(txq, &wire, &host)) {
		num = wire.num;
		mtx_unlock(&txq->lock);
		lost = lists_send(txq, &wire, &host);
		mtx_lock(&txq->lock);
		wire_done(txq, &wire, num, lost);
		if (--turns == 0) {
			txq_go_on(txq);
			break;
		}
	}
	txq->flushing = false;
	mtx_unlock(&txq->lock);
}

/* ---- what the switch calls; read section ------------------------------------------ */

uint32_t
ms_tx_room(struct ms_nic *nic, unsigned int q)
{
	struct ms_txq *txq = txq_of(nic, q);
	uint32_t num = ms_os_load_once(&txq->wire.num);
	if_t ifp = txq->mi->ifp;

	if (nic->loopback || !is_running(ifp))
		return MS_BATCH_MAX; /* and xmit refuses them */
	if (!ms_os_load_once(&txq->full) && num < WAIT_FRAMES &&
	    !ms_if_full(ifp))
		return WAIT_FRAMES - num;
	mtx_lock(&txq->lock);
	txq_arm(txq);
	mtx_unlock(&txq->lock);
	return 0;
}

/* Mbufs of n frames to one of the lists, unless nothing is sent any more. */
static bool
frames_add(struct ms_txq *txq, struct ms_mbufs *list,
	   const struct ms_frame *frames, uint32_t n, uint64_t hwassist,
	   uint32_t tso_max)
{
	uint32_t lost[MS_CTR_MAX] = { 0 };
	struct ms_mbufs out;
	enum ms_counter why;
	bool stopped;
	uint32_t i;

	ms_mbufs_init(&out);
	for (i = 0; i < n; i++)
		if (!ms_tx_mbufs(&out, &frames[i], hwassist, tso_max, &why))
			lost[why]++;
	mtx_lock(&txq->lock);
	stopped = txq->stopped;
	if (!stopped) {
		txq_lose(txq, MS_CTR_DROP_NOMEM, lost[MS_CTR_DROP_NOMEM]);
		txq_lose(txq, MS_CTR_DROP_TX_OFFLOAD,
			 lost[MS_CTR_DROP_TX_OFFLOAD]);
		ms_mbufs_join(list, &out);
	}
	mtx_unlock(&txq->lock);
	ms_mbufs_free(&out);
	return !stopped;
}

uint32_t
ms_tx_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	   uint32_t n, bool more)
{
	struct ms_txq *txq = txq_of(nic, q);
	if_t ifp = txq->mi->ifp;
	uint64_t hwassist = (uint32_t)if_gethwassist(ifp);

	/* What is to leave lo is for nobody. */
	if (nic->loopback || !is_running(ifp))
		return 0;
	/* The tag stands in the frame, where not all look behind it. */
	if (nic->vlan != 0)
		hwassist = 0;
	return frames_add(txq, &txq->wire, frames, n, hwassist,
			  if_gethwtsomax(ifp))
		   ? n
		   : 0;
}

uint32_t
ms_tx_to_host(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	      uint32_t n)
{
	struct ms_txq *txq = txq_of(nic, q);
	uint32_t num = ms_os_load_once(&txq->host.num);

	if (num >= WAIT_FRAMES)
		return 0;
	n = MIN(n, WAIT_FRAMES - num);
	return frames_add(txq, &txq->host, frames, n, ALL_HWASSIST, 0) ? n : 0;
}

void
ms_tx_stats(struct ms_ifnet *mi, uint64_t counter[MS_CTR_MAX])
{
	unsigned int q, i;

	for (q = 0; mi->txq != NULL && q < ms_num_queues(); q++)
		for (i = 0; i < MS_CTR_MAX; i++)
			counter[i] += ms_os_load_once(&mi->txq[q].counter[i]);
}

/* ---- who runs the scheduler --------------------------------------------------------- */

/* One round. Read section. True: there may be more to do. What keeps the queue
   from sending starts the timer by way of ms_tx_room(). */
static bool
txq_round(const struct ms_txq *txq)
{
	return ms_nic_sched_run(txq->mi->nic, txq->q, ROUND_FRAMES) >=
	       ROUND_FRAMES;
}

static void
txq_more(void *arg, int pending)
{
	struct ms_txq *txq = arg;
	struct ms_read r;
	bool more = false;

	txq_flush(txq);
	ms_os_read_enter(&r);
	if (!ms_os_load_acquire(&txq->mi->gone))
		more = txq_round(txq);
	ms_os_read_exit(&r);
	txq_flush(txq);
	if (more) {
		mtx_lock(&txq->lock);
		txq_go_on(txq);
		mtx_unlock(&txq->lock);
	}
}

static void
txq_retry(void *arg)
{
	struct ms_txq *txq = arg;

	mtx_lock(&txq->lock);
	txq->armed = false;
	txq->full = false;
	txq_go_on(txq);
	mtx_unlock(&txq->lock);
}

/* Frames of this ring that were not sent yet. A hint: its runner may be at
   work. */
static bool
has_frames(const struct ms_kring *ring)
{
	return ms_os_load_once(&ring->head) != ms_os_load_once(&ring->pos) ||
	       ms_kring_tx_pending(ring);
}

/* One round for the ring's queue; *more: there may be more to do, which is
   left to a task after the last. -ENETDOWN. */
static int
sync_round(struct ms_kring *ring, bool last, bool *more)
{
	struct ms_txq *txq = NULL;
	struct ms_sched *s;
	struct ms_read r;

	ms_os_read_enter(&r);
	s = ms_os_load_acquire(&ring->sched);
	if (s != NULL) {
		txq = txq_of(s->nic, s->q);
		refcount_acquire(&txq->users);
		*more = txq_round(txq);
	}
	ms_os_read_exit(&r);
	if (txq == NULL)
		return -ENETDOWN;
	txq_flush(txq);
	if (*more && last) {
		mtx_lock(&txq->lock);
		txq_go_on(txq);
		mtx_unlock(&txq->lock);
	}
	(void)refcount_release(&txq->users);
	return 0;
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
		last = left == 0 || others == 0 || SIGPENDING(curthread);
		err = sync_round(ring, last, &more);
		if (err || !more)
			return err;
		maybe_yield();
	} while (!last);
	return 0;
}

/* ---- life -------------------------------------------------------------------------------- */

int
ms_tx_create(struct ms_ifnet *mi)
{
	struct ms_txq *txq;
	unsigned int q;

	mi->txq = ms_os_alloc(ms_num_queues() * sizeof(*mi->txq));
	if (mi->txq == NULL)
		return -ENOMEM;
	for (q = 0; q < ms_num_queues(); q++) {
		txq = &mi->txq[q];
		txq->mi = mi;
		txq->q = q;
		refcount_init(&txq->users, 1); /* mi's */
		mtx_init(&txq->lock, "multistack tx", NULL, MTX_DEF);
		ms_mbufs_init(&txq->wire);
		ms_mbufs_init(&txq->host);
		txq->delay_us = RETRY_US_MIN;
		callout_init(&txq->retry, 1);
		TASK_INIT(&txq->more, 0, txq_more, txq);
	}
	return 0;
}

static void
txq_destroy(struct ms_txq *txq)
{
	mtx_lock(&txq->lock);
	txq->stopped = true;
	mtx_unlock(&txq->lock);
	(void)callout_drain(&txq->retry);
	taskqueue_drain(ms_tasks, &txq->more);
	while (ms_os_load_acquire(&txq->users) > 1)
		pause("mstx", 1);
	ms_mbufs_free(&txq->wire);
	ms_mbufs_free(&txq->host);
	mtx_destroy(&txq->lock);
}

void
ms_tx_destroy(struct ms_ifnet *mi)
{
	unsigned int q;

	for (q = 0; mi->txq != NULL && q < ms_num_queues(); q++)
		txq_destroy(&mi->txq[q]);
	ms_os_free(mi->txq);
	mi->txq = NULL;
}
