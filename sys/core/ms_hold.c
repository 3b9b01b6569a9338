/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_hold.c: frames that leave from the sender's own slots. Their slots, and
 * those behind them, go back to the user when whoever sends them is done.
 *
 * While no frame is held, tail is the runner's, and it is all that he consumed.
 * While some are, it is moved under the holds' lock, by the runner and by those
 * who are done, up to the oldest held frame.
 */
#include "ms_tx.h"

struct ms_holds {
	struct ms_spin lock;
	struct ms_kring *ring; /* (l) NULL once that is stopped */
	uint32_t mask;	       /* (c) of the ring */
	uint32_t out;	       /* (l) frames held; the last word of one who is
				  done */
	uint32_t first; /* (l) of those consumed, the first slot not back */
	uint32_t pos;	/* (l) ring->pos, as far as the runner has told */
	bool left;	/* (l) by its ring: who is last frees this */
	uint8_t busy[]; /* (l) by slot: a held frame starts here */
};

int
ms_holds_create(struct ms_kring *ring, struct ms_holds **out)
{
	struct ms_holds *h = ms_os_alloc(sizeof(*h) + ring->mask + 1);

	if (h == NULL)
		return -ENOMEM;
	ms_spin_init(&h->lock);
	h->ring = ring;
	h->mask = ring->mask;
	*out = h;
	return 0;
}

static void
holds_free(struct ms_holds *h)
{
	ms_spin_deinit(&h->lock);
	ms_os_free(h);
}

void
ms_holds_stop(struct ms_holds *h)
{
	if (h == NULL)
		return;
	ms_spin_lock(&h->lock);
	h->ring = NULL;
	ms_spin_unlock(&h->lock);
}

void
ms_holds_destroy(struct ms_holds *h)
{
	bool last;

	if (h == NULL)
		return;
	ms_spin_lock(&h->lock);
	h->left = true;
	last = h->out == 0;
	ms_spin_unlock(&h->lock);
	if (last)
		holds_free(h);
}

/* Moves tail up to the oldest held frame. Lock held. */
static void
tail_move(struct ms_holds *h, struct ms_kring *ring)
{
	while (h->first != h->pos && !h->busy[h->first & h->mask])
		h->first++;
	ms_os_store_once(&ring->tail, h->first + h->mask + 1);
	ms_os_store_release(&ring->shared->tail, ring->tail); /* A */
}

bool
ms_holds_any(const struct ms_holds *h)
{
	return h != NULL && ms_os_load_acquire(&h->out) != 0;
}

void
ms_holds_consumed(struct ms_holds *h, struct ms_kring *ring)
{
	ms_spin_lock(&h->lock);
	h->pos = ring->pos;
	tail_move(h, ring);
	ms_spin_unlock(&h->lock);
}

bool
ms_frame_hold(struct ms_nic *nic, unsigned int q, const struct ms_frame *f,
	      struct ms_hold *hold)
{
	const struct ms_tx_batch *tx = &nic->batch[q]->tx;
	struct ms_kring *ring = tx->ring;
	struct ms_holds *h = ring->holds;
	uint32_t i, slot;

	if (h == NULL || f->data < tx->hdr[0] ||
	    f->data > tx->hdr[MS_TX_FRAMES - 1])
		return false;
	slot = ring->pos;
	for (i = 0; f->data != tx->hdr[i]; i++)
		slot += tx->sent[i].slots;
	ms_spin_lock(&h->lock);
	if (h->out == 0)
		h->first = h->pos = ring->pos;
	ms_os_store_once(&h->out, h->out + 1);
	h->busy[slot & h->mask] = 1;
	ms_spin_unlock(&h->lock);
	hold->holds = h;
	hold->slot = slot;
	return true;
}

void
ms_hold_done(struct ms_hold *hold)
{
	struct ms_holds *h = hold->holds;
	struct ms_kring *ring;
	struct ms_read r;
	uint32_t old = 0, now = 0;
	bool last;

	ms_os_read_enter(&r);
	ms_spin_lock(&h->lock);
	h->busy[hold->slot & h->mask] = 0;
	ring = h->ring;
	if (ring != NULL) {
		old = ring->tail;
		tail_move(h, ring);
		now = ring->tail;
	}
	last = h->left && h->out == 1;
	ms_os_store_release(&h->out, h->out - 1);
	ms_spin_unlock(&h->lock);
	if (ring != NULL && now != old) {
		ms_os_fence(); /* E */
		(void)ms_ring_wake(ring, old, now);
	}
	ms_os_read_exit(&r);
	if (last)
		holds_free(h);
}
