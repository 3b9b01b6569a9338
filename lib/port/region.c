/* SPDX-License-Identifier: BSD-2-Clause */
/* region.c: from a mapped region to rings, believing nothing it says. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static bool
power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* Whether all that the header promises lies inside `bytes`. */
static bool
sane(const struct ms_region *h, uint64_t bytes)
{
	uint64_t rings = (uint64_t)h->tx_rings + h->rx_rings;
	uint64_t ring_bytes = sizeof(struct ms_ring) +
			      (uint64_t)h->slots * sizeof(struct ms_slot);

	return h->magic == MS_REGION_MAGIC && h->abi == MS_ABI_VERSION &&
	       h->bytes <= bytes && h->tx_rings && h->rx_rings &&
	       h->tx_rings <= MS_RINGS_MAX && h->rx_rings <= MS_RINGS_MAX &&
	       power_of_two(h->slots) && h->slots <= MS_SLOTS_MAX &&
	       power_of_two(h->buf_bytes) && h->buf_bytes >= MS_BUF_BYTES_MIN &&
	       h->buf_bytes <= MS_BUF_BYTES_MAX && h->extra_bufs <= h->bufs &&
	       h->ring_stride >= ring_bytes &&
	       h->ring_stride % MS_CACHE_LINE == 0 &&
	       h->ring_ofs % MS_CACHE_LINE == 0 && h->ring_ofs < bytes &&
	       h->ring_stride <= bytes &&
	       rings * h->ring_stride <= bytes - h->ring_ofs &&
	       h->bufs_ofs < bytes && h->bufs_ofs % MS_CACHE_LINE == 0 &&
	       (uint64_t)h->bufs * h->buf_bytes <= bytes - h->bufs_ofs;
}

/* One ring at `ofs`; its slots have to lie inside its stride. */
static bool
ring_init(msport_t *port, struct msport__ring *r, const struct ms_region *h,
	  uint64_t ofs, bool is_rx, unsigned int index)
{
	uint8_t *base = (uint8_t *)port->region + ofs;
	uint32_t slots_ofs;

	r->shared = (struct ms_ring *)(void *)base;
	slots_ofs = MS_USER_READ(r->shared->slots_ofs);
	if (slots_ofs < sizeof(struct ms_ring) ||
	    slots_ofs % sizeof(struct ms_slot) ||
	    slots_ofs >
		h->ring_stride - (uint64_t)h->slots * sizeof(struct ms_slot))
		return false;
	r->slots = (struct ms_slot *)(void *)(base + slots_ofs);
	r->bufs = port->bufs;
	r->mask = h->slots - 1;
	r->num_bufs = h->bufs;
	r->buf_shift = port->buf_shift;
	r->is_rx = is_rx;
	r->index = (uint16_t)index;
	r->head = r->next = r->synced = MS_USER_READ(r->shared->head);
	r->tail = r->head;
	r->poll_fd = -1;
	return true;
}

static bool
rings_init(msport_t *port, const struct ms_region *h, bool is_rx)
{
	struct msport__ring *rings = is_rx ? port->rx : port->tx;
	unsigned int n = is_rx ? h->rx_rings : h->tx_rings;

	for (unsigned int i = 0; i < n; i++) {
		uint64_t nth = is_rx ? (uint64_t)h->tx_rings + i : i;

		if (!ring_init(port, &rings[i], h,
			       h->ring_ofs + nth * h->ring_stride, is_rx, i))
			return false;
	}
	return true;
}

int
msport__rings_alloc(msport_t *port, msport_error_t *err)
{
	unsigned int tx = port->info.tx_rings, rx = port->info.rx_rings;

	if (!tx || !rx || tx > MS_RINGS_MAX || rx > MS_RINGS_MAX)
		return msport__fail(NULL, err, -EPROTO,
				    "the switch made a port of %u transmit "
				    "and %u receive rings",
				    tx, rx);
	port->tx = aligned_alloc(_Alignof(struct msport__ring),
				 tx * sizeof *port->tx);
	port->rx = aligned_alloc(_Alignof(struct msport__ring),
				 rx * sizeof *port->rx);
	if (!port->tx || !port->rx) {
		free(port->tx);
		free(port->rx);
		port->tx = port->rx = NULL;
		return msport__fail(NULL, err, -ENOMEM, "out of memory");
	}
	memset(port->tx, 0, tx * sizeof *port->tx);
	memset(port->rx, 0, rx * sizeof *port->rx);
	port->num_tx = tx;
	port->num_rx = rx;
	for (unsigned int i = 0; i < tx + rx; i++) {
		struct msport__ring *r = i < tx ? &port->tx[i]
						: &port->rx[i - tx];

		r->wake_fd = r->kick_fd = r->poll_fd = -1;
		r->wake_events = POLLIN;
	}
	return 0;
}

int
msport__rings_init(msport_t *port, msport_error_t *err)
{
	struct ms_region h; /* read once */

	if (port->region_bytes < sizeof h)
		goto bad;
	memcpy(&h, port->region, sizeof h);
	if (!sane(&h, port->region_bytes) || h.tx_rings != port->num_tx ||
	    h.rx_rings != port->num_rx)
		goto bad;
	port->bufs = (uint8_t *)port->region + h.bufs_ofs;
	port->num_bufs = h.bufs;
	port->extra_bufs = h.extra_bufs;
	port->buf_shift = (uint32_t)__builtin_ctz(h.buf_bytes);
	if (rings_init(port, &h, false) && rings_init(port, &h, true))
		return 0;
bad:
	return msport__fail(NULL, err, -EPROTO,
			    "the region that %s gave does not look like one "
			    "of ABI version %d",
			    port->ops->name, MS_ABI_VERSION);
}

void
msport__rings_destroy(msport_t *port)
{
	for (unsigned int i = 0; i < port->num_tx + port->num_rx; i++) {
		struct msport__ring *r = i < port->num_tx
					     ? &port->tx[i]
					     : &port->rx[i - port->num_tx];

		if (r->poll_fd >= 0)
			close(r->poll_fd);
	}
	free(port->tx);
	free(port->rx);
	port->tx = port->rx = NULL;
	port->num_tx = port->num_rx = 0;
}
