/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * xsk.c: AF_XDP. One umem a queue; receive chunks go round between the fill
 * and the receive ring, transmit chunks between a stack of free ones, the
 * transmit and the completion ring. The switch reads received frames in place.
 */
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/ethernet.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "attach.h"
#include "offload.h"
#include "xsk.h"

#ifndef SOL_XDP
#define SOL_XDP 283
#endif
/* Younger than the headers of Linux 6.1: frames that one sendto() sends in
   copy mode, 32 without it. */
#define OPT_MAX_TX_BUDGET 9

#define HEADROOM_BYTES 256 /* XDP_PACKET_HEADROOM: the kernel keeps it free */
#define HUGE_BYTES ((uintptr_t)2 << 20)
#define BUSY_TRIES 100
#define BUSY_PAUSE_MS 5
#define IDLE_CHECK 64 /* empty looks between questions for an error */

static int
umem_open(struct ms_xsk *x, uint32_t mtu)
{
	struct xsk_umem_config cfg = {
		.fill_size = MS_XSK_RX,
		.comp_size = MS_XSK_TX,
	};

	x->chunk_bytes = 2048;
	if (mtu + ETHER_HDR_LEN + MS_VLAN_BYTES + HEADROOM_BYTES >
	    x->chunk_bytes)
		x->chunk_bytes = 4096;
	x->mtu_bytes_max = x->chunk_bytes - HEADROOM_BYTES;
	x->area_bytes = (size_t)(MS_XSK_RX + MS_XSK_TX) * x->chunk_bytes;
	cfg.frame_size = x->chunk_bytes;
	x->map_bytes = x->area_bytes + HUGE_BYTES;
	x->map = mmap(NULL, x->map_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (x->map == MAP_FAILED) {
		x->map = NULL;
		return -ENOMEM;
	}
	x->area = (uint8_t *)(((uintptr_t)x->map + HUGE_BYTES - 1) &
			      ~(HUGE_BYTES - 1));
	/* A wish: fewer TLB misses. The kernel populates what it pins. */
	madvise(x->area, x->area_bytes, MADV_HUGEPAGE);
	return xsk_umem__create(&x->umem, x->area, x->area_bytes, &x->fill,
				&x->done, &cfg);
}

/* All receive chunks to the kernel, all transmit chunks to the stack. */
static int
chunks_share_out(struct ms_xsk *x)
{
	uint32_t at, i;

	if (xsk_ring_prod__reserve(&x->fill, MS_XSK_RX, &at) != MS_XSK_RX)
		return -EIO;
	for (i = 0; i < MS_XSK_RX; i++)
		*xsk_ring_prod__fill_addr(&x->fill, at + i) = (uint64_t)i *
							      x->chunk_bytes;
	xsk_ring_prod__submit(&x->fill, MS_XSK_RX);
	for (i = 0; i < MS_XSK_TX; i++)
		x->free_chunk[i] = MS_XSK_RX + MS_XSK_TX - 1 - i;
	x->num_free = MS_XSK_TX;
	return 0;
}

static int
open_once(struct ms_xsk *x, const char *ifname, unsigned int q, uint32_t mtu,
	  bool generic)
{
	struct xsk_socket_config cfg = {
		.rx_size = MS_XSK_RX,
		.tx_size = MS_XSK_TX,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		/* Without XDP_COPY the kernel takes zero copy if it can. */
		.bind_flags = (uint16_t)(XDP_USE_NEED_WAKEUP |
					 (generic ? XDP_COPY : 0)),
	};
	int r;

	r = umem_open(x, mtu);
	if (r == 0)
		r = xsk_socket__create(&x->sock, ifname, q, x->umem, &x->rx,
				       &x->tx, &cfg);
	if (r == 0) {
		x->fd = xsk_socket__fd(x->sock);
		/* libxdp leaves it open for whatever we may execute. */
		fcntl(x->fd, F_SETFD, FD_CLOEXEC);
		r = chunks_share_out(x);
	}
	if (r != 0)
		ms_xsk_close(x);
	return r;
}

int
ms_xsk_open(struct ms_xsk *x, const char *ifname, unsigned int q, uint32_t mtu,
	    bool generic)
{
	const struct timespec pause = { .tv_nsec = BUSY_PAUSE_MS * 1000000 };
	struct xdp_options opt = { 0 };
	socklen_t len = sizeof(opt);
	int budget = 512, tries = BUSY_TRIES, r;

	ms_spin_init(&x->lock);
	x->fd = -1;
	/* The kernel lets go of a closed socket's queue and of its pinned pages
	   a little later, on a work queue (xp_put_pool()). */
	do {
		r = open_once(x, ifname, q, mtu, generic);
		if (r != -EBUSY && r != -ENOBUFS)
			break;
		nanosleep(&pause, NULL);
	} while (--tries > 0);
	if (r != 0)
		return r;
	if (getsockopt(x->fd, SOL_XDP, XDP_OPTIONS, &opt, &len) == 0)
		x->zero_copy = (opt.flags & XDP_OPTIONS_ZEROCOPY) != 0;
	/* Not there before Linux 6.18: then it is 32. */
	setsockopt(x->fd, SOL_XDP, OPT_MAX_TX_BUDGET, &budget, sizeof(budget));
	return 0;
}

void
ms_xsk_close(struct ms_xsk *x)
{
	if (x->sock != NULL)
		xsk_socket__delete(x->sock);
	if (x->umem != NULL)
		xsk_umem__delete(x->umem);
	if (x->map != NULL)
		munmap(x->map, x->map_bytes);
	x->sock = NULL;
	x->umem = NULL;
	x->map = NULL;
}

/* ---- receive ---- */

/* An interface that is gone shows only as an error of the socket. */
static int
receive_none(struct ms_xsk *x)
{
	socklen_t len = sizeof(int);
	int e = 0;

	if (++x->idle % IDLE_CHECK != 0)
		return 0;
	if (getsockopt(x->fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0 &&
	    (e == ENETDOWN || e == ENODEV || e == ENXIO))
		return -ENODEV;
	return 0;
}

int
ms_xsk_receive(struct ms_xsk *x, struct ms_nic *nic, unsigned int q)
{
	struct ms_frame frames[MS_BATCH_MAX];
	uint32_t chunk_mask = ~(x->chunk_bytes - 1), at, to, n, i, left = 0;

	n = xsk_ring_cons__peek(&x->rx, MS_BATCH_MAX, &at);
	if (n == 0)
		return receive_none(x);
	x->idle = 0;
	for (i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&x->rx,
								  at + i);
		struct ms_frame *f = &frames[i];

		f->data = x->area + d->addr;
		f->linear = f->len = d->len;
		f->segs = NULL;
		f->nsegs = 0;
		f->verdict = MS_VERDICT_HOST;
		memset(&f->meta, 0, sizeof(f->meta));
		ms_prefetch(f->data);
	}
	ms_nic_input(nic, q, frames, n);
	/* As many chunks as there are entries: there is always room. */
	if (xsk_ring_prod__reserve(&x->fill, n, &to) != n)
		MS_ASSERT(!"fill ring without room");
	for (i = 0; i < n; i++) {
		uint64_t addr = xsk_ring_cons__rx_desc(&x->rx, at + i)->addr;

		*xsk_ring_prod__fill_addr(&x->fill, to + i) = addr & chunk_mask;
		left += frames[i].verdict == MS_VERDICT_HOST;
	}
	xsk_ring_prod__submit(&x->fill, n);
	xsk_ring_cons__release(&x->rx, n);
	if (left != 0)
		ms_count(&x->unclaimed, left);
	if (xsk_ring_prod__needs_wakeup(&x->fill))
		recvfrom(x->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	return (int)n;
}

/* ---- transmit ---- */

static void
reap(struct ms_xsk *x)
{
	uint32_t at, n, i;

	n = xsk_ring_cons__peek(&x->done, MS_XSK_TX, &at);
	for (i = 0; i < n; i++)
		x->free_chunk[x->num_free++] =
		    (uint32_t)(*xsk_ring_cons__comp_addr(&x->done, at + i) /
			       x->chunk_bytes);
	if (n > 0)
		xsk_ring_cons__release(&x->done, n);
}

static bool
tx_empty(const struct ms_xsk *x)
{
	return ms_os_load_acquire(x->tx.consumer) ==
	       ms_os_load_once(x->tx.producer);
}

/* Tells the kernel. In copy mode it sends within the call, a limited number
   of frames each time. */
static void
kick(struct ms_xsk *x)
{
	unsigned int tries = MS_XSK_TX / 32;

	if (!x->pending)
		return;
	x->pending = false;
	if (!xsk_ring_prod__needs_wakeup(&x->tx))
		return;
	do {
		if (sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 &&
		    errno != EAGAIN && errno != EINTR) {
			/* ENOBUFS, EBUSY: later. Others: the interface is down
			   or gone, and frames wait as in any queue. */
			x->pending = errno == ENOBUFS || errno == EBUSY;
			return;
		}
	} while (!x->zero_copy && !tx_empty(x) && --tries > 0);
	x->pending = !x->zero_copy && !tx_empty(x);
}

static uint8_t *
chunk_take(struct ms_xsk *x, uint32_t *chunk)
{
	if (x->num_free == 0) {
		reap(x);
		if (x->num_free == 0) {
			kick(x);
			reap(x);
		}
		if (x->num_free == 0) {
			x->starved = true;
			return NULL;
		}
	}
	*chunk = x->free_chunk[--x->num_free];
	return x->area + (size_t)*chunk * x->chunk_bytes;
}

static void
chunk_send(struct ms_xsk *x, uint32_t chunk, uint32_t bytes)
{
	struct xdp_desc *d;
	uint32_t at;

	/* The ring holds all transmit chunks. */
	if (xsk_ring_prod__reserve(&x->tx, 1, &at) != 1)
		MS_ASSERT(!"transmit ring without room");
	d = xsk_ring_prod__tx_desc(&x->tx, at);
	d->addr = (uint64_t)chunk * x->chunk_bytes;
	d->len = bytes;
	d->options = 0;
	xsk_ring_prod__submit(&x->tx, 1);
	x->pending = true;
}

/* A frame for the driver to segment, which this one does not do. */
static void
send_segments(struct ms_xsk *x, const struct ms_frame *f)
{
	struct ms_segmenter s;
	uint32_t chunk, bytes;
	uint8_t *to;

	if (ms_segmenter_init(&s, f) != 0 || s.segs > MS_XSK_SEGS_MAX ||
	    s.seg_bytes_max > x->mtu_bytes_max) {
		ms_count(&x->refused, 1);
		return;
	}
	while (s.payload_left > 0) {
		to = chunk_take(x, &chunk);
		bytes = to != NULL ? ms_segmenter_next(&s, to) : 0;
		if (bytes == 0) {
			if (to != NULL)
				x->free_chunk[x->num_free++] = chunk;
			ms_count(&x->refused, 1);
			return;
		}
		chunk_send(x, chunk, bytes);
	}
}

uint32_t
ms_xsk_room(struct ms_xsk *x)
{
	uint32_t n;

	ms_spin_lock(&x->lock);
	if (x->num_free < MS_BATCH_MAX)
		reap(x);
	n = x->num_free;
	if (n == 0)
		x->starved = true;
	ms_spin_unlock(&x->lock);
	return n;
}

uint32_t
ms_xsk_xmit(struct ms_xsk *x, struct ms_frame *frames, uint32_t n)
{
	uint32_t i, chunk;
	uint8_t *to;

	ms_spin_lock(&x->lock);
	for (i = 0; i < n; i++) {
		const struct ms_frame *f = &frames[i];

		if (f->meta.gso_type != MS_GSO_NONE) {
			send_segments(x, f);
			continue;
		}
		if (f->len > x->mtu_bytes_max) {
			ms_count(&x->refused, 1);
			continue;
		}
		to = chunk_take(x, &chunk);
		if (to == NULL)
			break;
		if (ms_frame_flatten(f, to) != 0) {
			x->free_chunk[x->num_free++] = chunk;
			ms_count(&x->refused, 1);
			continue;
		}
		chunk_send(x, chunk, f->len);
	}
	ms_spin_unlock(&x->lock);
	return i;
}

bool
ms_xsk_flush(struct ms_xsk *x)
{
	bool again;

	if (!ms_os_load_once(&x->pending) && !ms_os_load_once(&x->starved))
		return false;
	ms_spin_lock(&x->lock);
	kick(x);
	reap(x);
	again = x->pending || (x->starved && x->num_free > 0);
	x->starved = false;
	ms_spin_unlock(&x->lock);
	return again;
}

void
ms_xsk_stats(const struct ms_xsk *x, const struct ms_nic *nic,
	     uint64_t counter[MS_CTR_MAX])
{
	struct xdp_statistics st = { 0 };
	socklen_t len = sizeof(st);

	if (getsockopt(x->fd, SOL_XDP, XDP_STATISTICS, &st, &len) == 0)
		counter[MS_CTR_DROP_RX_FULL] += st.rx_dropped + st.rx_ring_full;
	ms_stats_unclaimed(nic, counter, ms_os_load_once(&x->unclaimed));
	counter[MS_CTR_DROP_TX_NIC] += ms_os_load_once(&x->refused);
}
