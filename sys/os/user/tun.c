/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tun.c: TAP devices. One system call a frame, so large frames count: the
 * kernel hands over whole TCP sends and GRO results with a virtio header.
 * IFF_NAPI is left off: 64 B frames cost 510 ns a write with it, 310 without,
 * and what we write is large already, so there is nothing for its GRO to join.
 */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tun.h"

/* Younger than the headers of Linux 6.1: USO, from 6.2 on. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define FRAME_SPACE ((MS_FRAME_BYTES_MAX + 127u) & ~63u)
#define ARENA_BYTES ((size_t)4 * FRAME_SPACE)
#define IOV_MAX_FRAME (MS_FRAME_SLOTS_MAX + 4)
/* At once: a system call each, so more would only leave the cache. */
#define READ_MAX 64

static int
queue_open(struct ms_tun *t, const char *name, struct ms_err *err)
{
	struct ifreq ifr;
	int fd, r;

	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		/* Who may not open it has not the capability either: the same
		   answer as from the other kinds. */
		if (r == -EACCES || r == -EPERM)
			return ms_err_set(err, -EPERM,
					  "TAP '%s': CAP_NET_ADMIN is needed, "
					  "and to open /dev/net/tun: run as "
					  "root, or attach it by multistackd",
					  name);
		return ms_err_set(err, r,
				  "cannot open /dev/net/tun: %s; load the tun "
				  "module, or give the container the device",
				  strerror(-r));
	}
	memset(&ifr, 0, sizeof(ifr));
	memcpy(ifr.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	if (ioctl(fd, TUNSETIFF, &ifr) != 0) {
		r = -errno;
		close(fd);
		if (r == -EPERM)
			return ms_err_set(
			    err, r, "TAP '%s': CAP_NET_ADMIN is needed", name);
		if (r == -EINVAL || r == -EBUSY)
			return ms_err_set(err, -EBUSY,
					  "'%s' is there already and is no "
					  "free multi-queue TAP; take another "
					  "name",
					  name);
		return ms_err_set(err, r, "TAP '%s': %s", name, strerror(-r));
	}
	memcpy(t->name, ifr.ifr_name, sizeof(t->name) - 1);
	return fd;
}

static int
offloads_set(struct ms_tun *t)
{
	unsigned long base = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 |
			     TUN_F_TSO_ECN;

	t->features = MS_TUN_FEATURES;
	if (ioctl(t->fd[0], TUNSETOFFLOAD, base | TUN_F_USO4 | TUN_F_USO6) ==
	    0) {
		t->features |= MS_FEATURE_GSO_UDP;
		return 0;
	}
	return ioctl(t->fd[0], TUNSETOFFLOAD, base) == 0 ? 0 : -errno;
}

int
ms_tun_open(struct ms_tun *t, const char *name, unsigned int queues,
	    struct ms_err *err)
{
	int hdr_bytes = sizeof(struct virtio_net_hdr), r;
	struct ms_link link;
	unsigned int q;

	t->fd = calloc(queues, sizeof(*t->fd));
	t->arena = calloc(queues, sizeof(*t->arena));
	r = t->fd == NULL || t->arena == NULL ? -ENOMEM : 0;
	for (q = 0; r == 0 && q < queues; q++) {
		r = queue_open(t, q == 0 ? name : t->name, err);
		if (r < 0) {
			ms_tun_close(t);
			return r;
		}
		t->fd[t->queues++] = r;
		r = ioctl(t->fd[q], TUNSETVNETHDRSZ, &hdr_bytes) != 0 ? -errno
								      : 0;
		t->arena[q] = malloc(ARENA_BYTES);
		if (r == 0 && t->arena[q] == NULL)
			r = -ENOMEM;
	}
	if (r == 0)
		r = offloads_set(t);
	if (r == 0)
		r = ms_link_get(t->name, &link);
	if (r != 0) {
		ms_tun_close(t);
		return ms_err_set(err, r, "TAP '%s': %s", name, strerror(-r));
	}
	t->ifindex = link.ifindex;
	memcpy(t->mac, link.mac, 6);
	return 0;
}

void
ms_tun_close(struct ms_tun *t)
{
	unsigned int q;

	for (q = 0; q < t->queues; q++) {
		close(t->fd[q]);
		free(t->arena[q]);
	}
	free(t->fd);
	free(t->arena);
	memset(t, 0, sizeof(*t));
}

/* What the kernel says of the frame that it gave. */
static void
meta_read(struct ms_meta *m, const struct virtio_net_hdr *h)
{
	memset(m, 0, sizeof(*m));
	if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0) {
		m->flags = MS_SLOT_CSUM_PARTIAL;
		m->csum_start = h->csum_start;
		m->csum_offset = h->csum_offset;
	} else if ((h->flags & VIRTIO_NET_HDR_F_DATA_VALID) != 0) {
		m->flags = MS_SLOT_CSUM_OK;
	}
	m->gso_type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	if (m->gso_type != MS_GSO_NONE)
		m->gso_size = h->gso_size;
}

static void
meta_write(struct virtio_net_hdr *h, const struct ms_frame *f,
	   unsigned int skip)
{
	const struct ms_meta *m = &f->meta;
	uint32_t l4 = m->csum_start, hdr;

	memset(h, 0, sizeof(*h));
	if ((m->flags & MS_SLOT_CSUM_PARTIAL) != 0) {
		h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->csum_start = (uint16_t)(l4 - skip);
		h->csum_offset = m->csum_offset;
	} else if ((m->flags & MS_SLOT_CSUM_OK) != 0) {
		h->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (m->gso_type == MS_GSO_NONE)
		return;
	h->gso_type = m->gso_type;
	h->gso_size = m->gso_size;
	hdr = l4 + 8;
	if (m->gso_type != MS_GSO_UDP && l4 + 14 <= f->linear) {
		hdr = l4 + (uint32_t)(f->data[l4 + 12] >> 4) * 4;
		if ((f->data[l4 + 13] & 0x80) != 0) /* CWR: RFC 3168 6.1.2 */
			h->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	}
	if (hdr > f->linear)
		hdr = f->linear;
	h->hdr_len = (uint16_t)(hdr - skip);
}

/* The virtio header lies in the headroom: one plain read() is cheaper than one
   into two places. */
int
ms_tun_read(struct ms_tun *t, unsigned int q, struct ms_frame *frames)
{
	uint8_t *p = t->arena[q], *end = p + ARENA_BYTES;
	struct virtio_net_hdr h;
	unsigned int n = 0;

	while (n < READ_MAX && (size_t)(end - p) >= FRAME_SPACE) {
		struct ms_frame *f = &frames[n];
		ssize_t got;

		got = read(t->fd[q], p + MS_TUN_HEADROOM - sizeof(h),
			   sizeof(h) + MS_FRAME_BYTES_MAX);
		if (got < 0) {
			if (errno == EINTR)
				continue;
			if (n == 0 && errno != EAGAIN)
				return errno == EBADFD || errno == EIO ? -ENODEV
								       : -errno;
			break;
		}
		got -= (ssize_t)sizeof(h);
		if (got < 14 || got > MS_FRAME_BYTES_MAX)
			continue;
		memcpy(&h, p + MS_TUN_HEADROOM - sizeof(h), sizeof(h));
		memset(f, 0, sizeof(*f));
		f->data = p + MS_TUN_HEADROOM;
		f->linear = f->len = (uint32_t)got;
		meta_read(&f->meta, &h);
		p += (MS_TUN_HEADROOM + (size_t)got + 63) & ~(size_t)63;
		n++;
	}
	return (int)n;
}

int
ms_tun_write(struct ms_tun *t, unsigned int q, const struct ms_frame *f,
	     const uint8_t *macs, unsigned int skip)
{
	struct iovec iov[IOV_MAX_FRAME];
	struct virtio_net_hdr h;
	unsigned int n = 1, i;
	uint32_t left;

	if (f->linear < 14 + skip)
		return -EINVAL;
	meta_write(&h, f, skip);
	iov[0].iov_base = &h;
	iov[0].iov_len = sizeof(h);
	if (macs != NULL || skip != 0) {
		iov[1].iov_base = (void *)(uintptr_t)(macs != NULL ? macs
								   : f->data);
		iov[n++].iov_len = 12;
		iov[n].iov_base = (void *)(uintptr_t)(f->data + 12 + skip);
		iov[n++].iov_len = f->linear - 12 - skip;
	} else {
		iov[1].iov_base = (void *)(uintptr_t)f->data;
		iov[n++].iov_len = f->linear;
	}
	left = f->len - f->linear;
	for (i = 0; i < f->nsegs && left > 0 && n < IOV_MAX_FRAME; i++, n++) {
		iov[n].iov_base = (void *)(uintptr_t)f->segs[i].p;
		iov[n].iov_len = f->segs[i].bytes < left ? f->segs[i].bytes
							 : left;
		left -= (uint32_t)iov[n].iov_len;
	}
	if (left > 0)
		return -EMSGSIZE;
	while (writev(t->fd[q], iov, (int)n) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}
