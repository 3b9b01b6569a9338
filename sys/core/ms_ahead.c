/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_ahead.c: frames that come one at a time, while those behind them wait
 * where they can be seen. A batch asks for the memory that its frames need
 * while it works on others (ms_rx.c); here each frame that comes has that of
 * those behind it asked for. Nothing is decided and nothing counted.
 */
#include "ms_batch.h"

/* A table of fewer buckets stays in the nearer caches, and so do the rings of
   those who are in it. */
#define WIDE_BUCKETS 256u
/* Frames between the steps. */
#define TO_BUF 4u
#define TO_SLOT 8u

bool
ms_nic_looks_ahead(const struct ms_nic *nic, unsigned int q)
{
	const struct ms_gen *gen = ms_os_load_acquire(&nic->sw->table->gen[0]);
	const struct ms_ahead *a = &nic->batch[q]->rx.ahead;

	return gen->mask >= WIDE_BUCKETS && a->at >= a->num;
}

static inline void
fetch_slot(const struct ms_ahead *a, uint32_t i)
{
	if (i < a->num && a->ring[i] != NULL)
		ms_ring_fetch_slot(a->ring[i]);
}

static inline void
fetch_buf(const struct ms_ahead *a, uint32_t i)
{
	if (i < a->num && a->ring[i] != NULL)
		ms_ring_fetch_buf(a->ring[i]);
}

void
ms_nic_look_ahead(struct ms_nic *nic, unsigned int q,
		  const uint8_t *const *header, uint32_t n)
{
	struct ms_ahead *a = &nic->batch[q]->rx.ahead;
	const struct ms_table *table = nic->sw->table;
	const struct ms_gen *gen = ms_os_load_acquire(&table->gen[0]);
	uint64_t key[MS_AHEAD_MAX];
	uint32_t hash[MS_AHEAD_MAX];
	const uint8_t *p;
	uint64_t value;
	uint32_t i;

	for (i = 0; i < n; i++) {
		p = header[i];
		key[i] = ms_key4(ms_raw32(p + 30), ms_raw16(p + 36), p[23]);
		hash[i] = ms_table_hash4(table, key[i]);
		ms_prefetch(ms_gen_bucket(gen, hash[i]));
	}
	a->gone = ms_os_load_acquire(&nic->sw->gone);
	a->num = n;
	a->at = 0;
	for (i = 0; i < n; i++) {
		value = ms_gen_probe4(gen, key[i], hash[i]);
		a->ring[i] = ms_flow_ring4(nic->sw, value, header[i]);
		if (a->ring[i] != NULL)
			ms_prefetchw(a->ring[i]);
	}
	for (i = 0; i < TO_SLOT; i++)
		fetch_slot(a, i);
	for (i = 0; i < TO_BUF; i++)
		fetch_buf(a, i);
}

void
ms_ahead_step(struct ms_ahead *a, const struct ms_switch *sw)
{
	uint32_t i = a->at++;

	/* If no ring went before this read section, none that was there will
	   go within it. */
	if (ms_unlikely(ms_os_load_once(&sw->gone) != a->gone)) {
		a->num = 0;
		return;
	}
	fetch_buf(a, i + TO_BUF);
	fetch_slot(a, i + TO_SLOT);
}
