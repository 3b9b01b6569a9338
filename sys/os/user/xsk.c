/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * xsk.c: AF_XDP. One umem a queue; receive chunks go round between the fill
 * and the receive ring, transmit chunks between a stack of free ones, the
 * transmit and the completion ring. The switch reads received frames in place.
 */
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

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
	/* The kernel shows us a frame before it gives back the entry of its
	   chunk (xsk_flush()), so there are more entries than chunks. */
	struct xsk_umem_config cfg = {
		.fill_size = 2 * MS_XSK_RX,
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

/*
 * In copy mode each frame costs the kernel an skb and a turn of its soft
 * interrupts, so a frame of many segments had better get there whole: over a
 * packet socket, as TAPs take them. What the interface does not segment the
 * kernel does, on the way out. -1: it cannot be had (no CAP_NET_RAW), and the
 * segments go out one by one.
 */
static int
gso_open(const char *ifname)
{
	struct sockaddr_ll sll = { .sll_family = AF_PACKET };
	int fd, one = 1, deep = 1 << 22;

	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	sll.sll_ifindex = (int)if_nametoindex(ifname);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &deep, sizeof(deep));
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) ==
		0 &&
	    bind(fd, (struct sockaddr *)&sll, sizeof(sll)) == 0)
		return fd;
	close(fd);
	return -1;
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
	x->fd = x->gso_fd = -1;
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
	/* In the order of frames a zero copy queue has no place for others. */
	if (!x->zero_copy)
		x->gso_fd = gso_open(ifname);
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
	if (x->gso_fd >= 0 && x->sock != NULL)
		close(x->gso_fd);
	x->gso_fd = -1;
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
	if (xsk_ring_prod__reserve(&x->fill, n, &to) != n)
		MS_ASSERT(!"fill ring without room");
	for (i = 0; i < n; i++) {
		uint64_t addr = xsk_ring_cons__rx_desc(&x->rx, at + i)->addr;

		*xsk_ring_prod__fill_addr(&x->fill, to + i) = addr & chunk_mask;
		left += frames[i].verdict == MS_VERDICT_HOST;
	}
	/* In this order: what the kernel fills next has a place to stand. */
	xsk_ring_cons__release(&x->rx, n);
	xsk_ring_prod__submit(&x->fill, n);
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
	x->pending_flows = 0;
	if (!xsk_ring_prod__needs_wakeup(&x->tx))
		return;
	do {
		if (sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 &&
		    errno != EAGAIN && errno != EINTR) {
			/* ENOBUFS, EBUSY: later. Others: the interface is down
			   or gone, and frames wait as in any queue. */
			x->pending = errno == ENOBUFS || errno == EBUSY;
			x->pending_flows = x->pending ? ~(uint64_t)0 : 0;
			return;
		}
	} while (!x->zero_copy && !tx_empty(x) && --tries > 0);
	x->pending = !x->zero_copy && !tx_empty(x);
	if (x->pending)
		x->pending_flows = ~(uint64_t)0;
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

/* Frames of one flow stay in order: one of 64, by its ports. */
static uint64_t
flow_bit(const struct ms_frame *f)
{
	uint32_t ports, l4 = f->meta.csum_start;

	if ((f->meta.flags & MS_SLOT_CSUM_PARTIAL) == 0 || l4 + 4 > f->linear)
		return ~(uint64_t)0; /* any */
	memcpy(&ports, f->data + l4, 4);
	return (uint64_t)1 << (ports * 0x9e3779b1u >> 26);
}

/* The frame whole, with its metadata, which was checked. False: the socket did
   not take it. */
static bool
send_whole(struct ms_xsk *x, const struct ms_frame *f, uint32_t hdr_bytes)
{
	struct iovec iov[MS_FRAME_SLOTS_MAX + 2];
	struct msghdr m = { .msg_iov = iov };
	const struct ms_meta *meta = &f->meta;
	uint32_t left = f->len - f->linear, i;
	struct virtio_net_hdr h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = meta->gso_type,
		.gso_size = meta->gso_size,
		.csum_start = meta->csum_start,
		.csum_offset = meta->csum_offset,
		.hdr_len = (uint16_t)hdr_bytes,
	};

	if ((f->data[meta->csum_start + 13] & 0x80) != 0) /* CWR: RFC 3168
							     6.1.2 */
		h.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	iov[0] = (struct iovec){ &h, sizeof(h) };
	iov[1] = (struct iovec){ (void *)(uintptr_t)f->data, f->linear };
	for (i = 0; i < f->nsegs && left > 0 && i < MS_FRAME_SLOTS_MAX; i++) {
		struct iovec *v = &iov[2 + i];

		v->iov_base = (void *)(uintptr_t)f->segs[i].p;
		v->iov_len = f->segs[i].bytes < left ? f->segs[i].bytes : left;
		left -= (uint32_t)v->iov_len;
	}
	m.msg_iovlen = 2 + i;
	if ((x->pending_flows & flow_bit(f)) != 0)
		kick(x);
	return left == 0 && sendmsg(x->gso_fd, &m, MSG_DONTWAIT) >= 0;
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
	if (x->gso_fd >= 0 && !s.udp && s.hdr_bytes <= f->linear &&
	    send_whole(x, f, s.hdr_bytes))
		return;
	x->pending_flows |= flow_bit(f);
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
		x->pending_flows |= flow_bit(f);
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
