/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define RX_PKTS 64	/* in one round */
#define RX_ELEMENTS 256 /* of one batch: of any packet's parts, and more */
#define PKT_MAX 65600
#define RX_GAP 64 /* between buffers: who reads past one reads rubbish */
#define TX_BUFS 512
#define TX_BYTES 2048

static void
give_up(const char *what)
{
	fprintf(stderr, "utcp-peer: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void *
must(void *mem)
{
	if (mem == NULL)
		give_up("memory");
	return mem;
}

/* ---- capture ------------------------------------------------------------------ */

static void
capture(struct wire *w, const struct iovec *iov, int num, uint32_t len)
{
	struct iovec out[UTCP_PKT_PARTS_MAX + 1];
	uint32_t head[4], left;
	struct timespec ts;
	int i;

	if (w->pcap_fd < 0)
		return;
	left = w->opt.snap && len > w->opt.snap ? w->opt.snap : len;
	clock_gettime(CLOCK_REALTIME, &ts);
	head[0] = (uint32_t)ts.tv_sec;
	head[1] = (uint32_t)ts.tv_nsec;
	head[2] = left;
	head[3] = len;
	out[0] = (struct iovec){ head, sizeof(head) };
	for (i = 0; i < num && left && i < UTCP_PKT_PARTS_MAX; i++) {
		out[i + 1] = iov[i];
		if (out[i + 1].iov_len > left)
			out[i + 1].iov_len = left;
		left -= (uint32_t)out[i + 1].iov_len;
	}
	if (writev(w->pcap_fd, out, i + 1) < 0)
		give_up(w->opt.pcap);
}

static void
capture_open(struct wire *w)
{
	/* Nanoseconds, version 2.4, LINKTYPE_RAW. */
	const uint32_t head[6] = { 0xa1b23c4d, 4 << 16 | 2, 0, 0, 262144, 101 };

	w->pcap_fd = -1;
	if (w->opt.pcap == NULL)
		return;
	w->pcap_fd = open(w->opt.pcap, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			  0644);
	if (w->pcap_fd < 0 || write(w->pcap_fd, head, sizeof(head)) < 0)
		give_up(w->opt.pcap);
}

/* ---- open and close --------------------------------------------------------------- */

static unsigned long
kernel_offloads(uint32_t offloads)
{
	unsigned long on = 0;

	if (offloads & UTCP_OFFLOAD_CSUM)
		on |= TUN_F_CSUM;
	if (offloads & UTCP_OFFLOAD_GSO_TCP)
		on |= TUN_F_TSO4 | TUN_F_TSO6;
	if (offloads & UTCP_OFFLOAD_GSO_UDP)
		on |= TUN_F_USO4 | TUN_F_USO6;
	return on;
}

void
wire_open(struct wire *w, utcp_t *u, const struct wire_options *opt)
{
	int hdr_bytes = sizeof(struct virtio_net_hdr);
	struct ifreq ifr = { 0 };
	size_t rx_bytes;

	memset(w, 0, sizeof(*w));
	w->opt = *opt;
	w->u = u;
	w->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (w->fd < 0)
		give_up("/dev/net/tun");
	snprintf(ifr.ifr_name, IFNAMSIZ, "%s", opt->name);
	ifr.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(w->fd, TUNSETIFF, &ifr))
		give_up(opt->name);
	if (ioctl(w->fd, TUNSETVNETHDRSZ, &hdr_bytes) ||
	    ioctl(w->fd, TUNSETOFFLOAD, kernel_offloads(opt->offloads)))
		give_up("offloads");
	/* Each packet begins in a buffer of its own. */
	rx_bytes = PKT_MAX / opt->buf_bytes + 1;
	rx_bytes *= opt->buf_bytes + RX_GAP;
	w->rx = must(malloc(RX_PKTS * rx_bytes));
	memset(w->rx, 0xee, RX_PKTS * rx_bytes);
	w->rx_pkts = must(calloc(RX_ELEMENTS, sizeof(utcp_pkt_t)));
	w->tx = must(malloc(TX_BUFS * TX_BYTES));
	w->tx_pkts = must(calloc(TX_BUFS, sizeof(utcp_pkt_t)));
	w->in = impair_create(opt->seed * 2);
	w->out = impair_create(opt->seed * 2 + 1);
	capture_open(w);
}

void
wire_close(struct wire *w)
{
	wire_release(w);
	impair_destroy(w->in);
	impair_destroy(w->out);
	free(w->rx);
	free(w->rx_pkts);
	free(w->tx);
	free(w->tx_pkts);
	if (w->pcap_fd >= 0)
		close(w->pcap_fd);
	close(w->fd);
}

/* ---- in ------------------------------------------------------------------------------ */

static void
feed_batch(struct wire *w)
{
	if (w->rx_num)
		utcp_input(w->u, w->rx_pkts, w->rx_num);
	w->rx_num = 0;
}

/* Adds a packet to the batch: parts of at most buf_bytes, which are in memory
   from `at` on, `step` apart. */
static void
feed(struct wire *w, uint8_t *at, uint32_t step, const utcp_pkt_t *meta,
     uint32_t len)
{
	struct iovec iov[UTCP_PKT_PARTS_MAX] = { 0 };
	uint32_t left = len;
	unsigned int n = 0;

	if (w->rx_num + UTCP_PKT_PARTS_MAX > RX_ELEMENTS)
		feed_batch(w);
	for (; left; n++, at += step) {
		utcp_pkt_t *p = &w->rx_pkts[w->rx_num++];

		if (n == 0)
			*p = *meta;
		else
			memset(p, 0, sizeof(*p));
		p->data = at;
		p->len = left < w->opt.buf_bytes ? left : w->opt.buf_bytes;
		left -= p->len;
		if (left)
			p->flags |= UTCP_PKT_MORE;
		iov[n] = (struct iovec){ p->data, p->len };
	}
	capture(w, iov, (int)n, len);
}

static void
meta_of(utcp_pkt_t *p, const struct virtio_net_hdr *h)
{
	memset(p, 0, sizeof(*p));
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		p->flags = UTCP_PKT_CSUM_PARTIAL;
		p->csum_start = h->csum_start;
		p->csum_offset = h->csum_offset;
	} else if (h->flags & VIRTIO_NET_HDR_F_DATA_VALID) {
		p->flags = UTCP_PKT_CSUM_OK;
	}
	p->gso_type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	p->gso_size = h->gso_size;
}

/* Into the bad link, in one piece. */
static void
detain(struct impair *im, const utcp_pkt_t *meta, const struct iovec *iov,
       uint32_t len, uint64_t now_ns)
{
	struct frame *f = frame_new(len);
	uint32_t n, at = 0;

	for (; at < len; at += n, iov++) {
		n = (uint32_t)iov->iov_len < len - at ? (uint32_t)iov->iov_len
						      : len - at;
		memcpy(f->data + at, iov->iov_base, n);
	}
	f->flags = meta->flags & (uint16_t)~UTCP_PKT_MORE;
	f->gso_type = meta->gso_type;
	f->gso_size = meta->gso_size;
	f->csum_start = meta->csum_start;
	f->csum_offset = meta->csum_offset;
	segment_put(im, f, now_ns);
}

static utcp_pkt_t
meta_of_frame(const struct frame *f)
{
	return (utcp_pkt_t){ .flags = f->flags,
			     .gso_type = f->gso_type,
			     .gso_size = f->gso_size,
			     .csum_start = f->csum_start,
			     .csum_offset = f->csum_offset };
}

static void
feed_arrived(struct wire *w)
{
	struct frame *f;
	utcp_pkt_t meta;

	while ((f = impair_get(w->in, utcp_now_ns(w->u))) != NULL) {
		meta = meta_of_frame(f);
		f->next = w->lent;
		w->lent = f;
		feed(w, f->data, w->opt.buf_bytes, &meta, f->len);
	}
}

int
wire_input(struct wire *w)
{
	uint32_t step = w->opt.buf_bytes + RX_GAP;
	unsigned int parts = PKT_MAX / w->opt.buf_bytes + 1;
	struct iovec iov[PKT_MAX / 512 + 2];
	struct virtio_net_hdr h;
	utcp_pkt_t meta;
	uint8_t *at;
	ssize_t len;
	int n;

	for (n = 0; n < RX_PKTS; n++) {
		at = w->rx + (size_t)n * parts * step;
		iov[0] = (struct iovec){ &h, sizeof(h) };
		for (unsigned int i = 0; i < parts; i++)
			iov[i + 1] = (struct iovec){ at + i * step,
						     w->opt.buf_bytes };
		len = readv(w->fd, iov, (int)parts + 1);
		if (len < (ssize_t)sizeof(h))
			break;
		len -= (ssize_t)sizeof(h);
		meta_of(&meta, &h);
		if (impair_busy(w->in))
			detain(w->in, &meta, iov + 1, (uint32_t)len,
			       utcp_now_ns(w->u));
		else
			feed(w, at, step, &meta, (uint32_t)len);
	}
	feed_arrived(w);
	feed_batch(w);
	return n;
}

void
wire_release(struct wire *w)
{
	struct frame *f;

	while ((f = w->lent) != NULL) {
		w->lent = f->next;
		free(f);
	}
}

/* ---- out ------------------------------------------------------------------------------ */

static void
put_on_wire(struct wire *w, const utcp_pkt_t *meta, struct iovec *iov, int num)
{
	struct virtio_net_hdr h = { 0 };

	if (meta->flags & UTCP_PKT_CSUM_PARTIAL) {
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.csum_start = meta->csum_start;
		h.csum_offset = meta->csum_offset;
	}
	h.gso_type = meta->gso_type;
	h.gso_size = meta->gso_size;
	if (meta->gso_type == UTCP_GSO_TCP4 || meta->gso_type == UTCP_GSO_TCP6)
		h.hdr_len = meta->csum_start + 20; /* a hint */
	iov[0] = (struct iovec){ &h, sizeof(h) };
	if (writev(w->fd, iov, num + 1) < 0)
		w->failed++;
}

static void
send_packet(struct wire *w, const utcp_pkt_t *pkts, unsigned int n)
{
	struct iovec iov[UTCP_PKT_PARTS_MAX + 1];
	uint32_t len = 0;

	for (unsigned int i = 0; i < n && i < UTCP_PKT_PARTS_MAX; i++) {
		iov[i + 1] = (struct iovec){ pkts[i].data, pkts[i].len };
		len += pkts[i].len;
	}
	capture(w, iov + 1, (int)n, len);
	if (impair_busy(w->out))
		detain(w->out, pkts, iov + 1, len, utcp_now_ns(w->u));
	else
		put_on_wire(w, pkts, iov, (int)n);
}

static void
send_arrived(struct wire *w)
{
	struct iovec iov[2];
	struct frame *f;
	utcp_pkt_t meta;

	while ((f = impair_get(w->out, utcp_now_ns(w->u))) != NULL) {
		meta = meta_of_frame(f);
		iov[1] = (struct iovec){ f->data, f->len };
		put_on_wire(w, &meta, iov, 1);
		free(f);
	}
}

int
wire_output(struct wire *w)
{
	int n, first, packets = 0;

	/* Not for ever: what comes meanwhile wants to be heard too. */
	for (int round = 0; round < 16; round++) {
		for (int i = 0; i < TX_BUFS; i++) {
			w->tx_pkts[i] = (utcp_pkt_t){ 0 };
			w->tx_pkts[i].data = w->tx + (size_t)i * TX_BYTES;
			w->tx_pkts[i].len = TX_BYTES;
		}
		n = utcp_output(w->u, w->tx_pkts, TX_BUFS);
		if (n <= 0)
			break;
		for (first = 0; n; packets++) {
			int end = first;

			while (w->tx_pkts[end++].flags & UTCP_PKT_MORE)
				continue;
			send_packet(w, &w->tx_pkts[first],
				    (unsigned int)(end - first));
			n -= end - first;
			first = end;
		}
	}
	send_arrived(w);
	return packets;
}

uint64_t
wire_next(const struct wire *w)
{
	uint64_t in = impair_next(w->in), out = impair_next(w->out);

	return in < out ? in : out;
}
