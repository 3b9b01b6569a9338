/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tx_mbuf.c: mbufs made of a frame that a port sends.
 *
 * The headers come from the switch's own validated copy; what follows them is
 * copied once from the sender's region, where it may change meanwhile. All that
 * the kernel and drivers will believe about the frame is computed here, from
 * that copy. FreeBSD segments in hardware only, so what hardware does not do,
 * UDP above all, is done here.
 */
#include "ms_freebsd.h"

#include <machine/in_cksum.h>

#include "ms_parse.h"

#define CSUM_OFS_TCP 16
#define TCP_BYTES 20 /* without options */
#define UDP_BYTES 8
#define TCP_SEQ 4
#define TCP_OFS 12
#define TCP_FLAGS 13
#define TCP_FIN_PSH 0x09
#define TCP_CWR 0x80

/* ---- lists ------------------------------------------------------------------ */

void
ms_mbufs_free(struct ms_mbufs *l)
{
	struct mbuf *m;

	while ((m = ms_mbufs_pop(l)) != NULL)
		m_freem(m);
}

void
ms_mbufs_join(struct ms_mbufs *to, struct ms_mbufs *from)
{
	if (from->first == NULL)
		return;
	*to->lastp = from->first;
	to->lastp = from->lastp;
	to->num += from->num;
	ms_mbufs_init(from);
}

/* ---- copying ---------------------------------------------------------------- */

/* A place in a frame's segments. */
struct cursor {
	const struct ms_seg *seg;
	uint32_t ofs; /* in *seg */
	uint16_t nsegs;
};

/* The next n bytes to `to`. False: the frame has not so many. */
static bool
cursor_read(struct cursor *c, char *to, uint32_t n)
{
	uint32_t part;

	while (n > 0) {
		if (c->nsegs == 0)
			return false;
		part = MIN(n, c->seg->bytes - c->ofs);
		memcpy(to, c->seg->p + c->ofs, part);
		to += part;
		n -= part;
		c->ofs += part;
		if (c->ofs == c->seg->bytes) {
			c->seg++;
			c->nsegs--;
			c->ofs = 0;
		}
	}
	return true;
}

/* What is next of a frame: first its linear part, then its segments. */
struct source {
	const uint8_t *linear;
	uint32_t left; /* of linear */
	struct cursor c;
};

static bool
source_read(struct source *s, char *to, uint32_t n)
{
	uint32_t part = MIN(n, s->left);

	memcpy(to, s->linear, part);
	s->linear += part;
	s->left -= part;
	return cursor_read(&s->c, to + part, n - part);
}

/* An mbuf with `hdr` bytes of headers, which are together, and the next `n` of
   s. NULL: no memory. */
static struct mbuf *
mbuf_make(const uint8_t *hdr, uint32_t hdr_bytes, struct source *s, uint32_t n)
{
	uint32_t part, used = hdr_bytes;
	struct mbuf *m, *at;

	m = m_getm2(NULL, (int)(hdr_bytes + n), M_NOWAIT, MT_DATA, M_PKTHDR);
	if (m == NULL)
		return NULL;
	memcpy(mtod(m, char *), hdr, hdr_bytes);
	m->m_len = (int)hdr_bytes;
	m->m_pkthdr.len = (int)(hdr_bytes + n);
	for (at = m; n > 0; at = at->m_next, used = 0) {
		if (at == NULL)
			goto out_free;
		part = MIN(n, (uint32_t)M_TRAILINGSPACE(at));
		if (!source_read(s, mtod(at, char *) + used, part))
			goto out_free;
		at->m_len = (int)(used + part);
		n -= part;
	}
	return m;

out_free:
	m_freem(m);
	return NULL;
}

/* ---- where things are ----------------------------------------------------------- */

struct layout {
	uint32_t l3, l4; /* bytes from the frame's start */
	uint32_t hdr;	 /* bytes of all headers */
	uint32_t end;	 /* of the packet; behind it is padding */
	uint8_t family;	 /* 4 or 6 */
	uint8_t proto;
};

/* Of a frame whose metadata the switch has found sound. */
static bool
layout_of(struct layout *l, const struct ms_frame *f)
{
	const uint8_t *p = f->data;
	uint16_t type;

	if (f->linear < ETHER_HDR_LEN + ETHER_VLAN_ENCAP_LEN + MS_IP4_BYTES)
		return false;
	l->l3 = ETHER_HDR_LEN;
	type = ms_be16(p + 2 * ETHER_ADDR_LEN);
	if (type == ETHERTYPE_VLAN || type == MS_ETHERTYPE_QINQ)
		l->l3 += ETHER_VLAN_ENCAP_LEN;
	l->family = p[l->l3] >> 4;
	l->l4 = f->meta.csum_start;
	l->proto = f->meta.csum_offset == CSUM_OFS_TCP ? IPPROTO_TCP
						       : IPPROTO_UDP;
	l->hdr = l->l4 + (l->proto == IPPROTO_TCP ? TCP_BYTES : UDP_BYTES);
	if (l->l4 < l->l3 + (l->family == 6 ? MS_IP6_BYTES : MS_IP4_BYTES) ||
	    l->hdr > f->linear)
		return false;
	if (l->proto == IPPROTO_TCP)
		l->hdr = MAX(l->hdr, l->l4 + (p[l->l4 + TCP_OFS] >> 4) * 4u);
	l->end = l->l3 +
		 (l->family == 4
		      ? ms_be16(p + l->l3 + 2)
		      : MS_IP6_BYTES + (uint32_t)ms_be16(p + l->l3 + 4));
	return l->hdr <= f->linear && l->hdr <= l->end && l->end <= f->len;
}

static uint64_t
csum_flag(const struct layout *l)
{
	if (l->proto == IPPROTO_TCP)
		return l->family == 4 ? CSUM_IP_TCP : CSUM_IP6_TCP;
	return l->family == 4 ? CSUM_IP_UDP : CSUM_IP6_UDP;
}

static uint64_t
tso_flag(const struct layout *l)
{
	return l->family == 4 ? CSUM_IP_TSO : CSUM_IP6_TSO;
}

/* ---- checksums --------------------------------------------------------------------- */

static void
put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t
fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* An even number of bytes. */
static uint32_t
sum16(const uint8_t *p, uint32_t bytes, uint32_t sum)
{
	uint32_t i;

	for (i = 0; i < bytes; i += 2)
		sum += ms_be16(p + i);
	return fold(sum);
}

/* The pseudo header's sum, of so many bytes from l4 on, where the checksum will
   be: what a driver and a stack that delay it expect. */
static void
put_pseudo(uint8_t *frame, const struct layout *l, uint32_t ofs, uint32_t bytes)
{
	uint32_t addrs = l->l3 + (l->family == 4 ? 12 : 8);
	uint32_t sum = sum16(frame + addrs, l->family == 4 ? 8 : 32,
			     bytes + l->proto);

	put16(frame + l->l4 + ofs, sum);
}

/* Finishes the sum over m from l4 on, whose start is in its place. */
static void
sum_finish(struct mbuf *m, const struct layout *l, uint32_t ofs)
{
	uint16_t sum = in_cksum_skip(m, (int)l->end, (int)l->l4);

	if (sum == 0 && l->proto == IPPROTO_UDP)
		sum = 0xffff;
	memcpy(mtod(m, char *) + l->l4 + ofs, &sum, sizeof(sum));
}

/* Delays the checksum of m, or finishes it. */
static void
sum_set(struct mbuf *m, const struct layout *l, uint32_t ofs, uint64_t hwassist)
{
	if ((hwassist & csum_flag(l)) == 0) {
		sum_finish(m, l, ofs);
		return;
	}
	m->m_pkthdr.csum_flags = (int)csum_flag(l);
	m->m_pkthdr.csum_data = (int)ofs;
}

/* ---- segments ------------------------------------------------------------------------ */

struct gso {
	struct layout l;
	uint32_t size;	  /* payload of each segment but the last */
	uint32_t payload; /* of the frame */
	uint32_t ofs;	  /* of the checksum, from l4 */
};

/* The headers of the segment whose n bytes begin `at` bytes into the payload;
   hdr: those of the whole. */
static void
segment_header(const struct gso *g, uint8_t *hdr, uint32_t index, uint32_t at,
	       uint32_t n)
{
	const struct layout *l = &g->l;
	uint32_t bytes = l->hdr - l->l4 + n;
	uint8_t *ip = hdr + l->l3, *l4 = hdr + l->l4;
	uint32_t seq;

	if (l->family == 4) {
		put16(ip + 2, l->hdr - l->l3 + n);
		put16(ip + 4, ms_be16(ip + 4) + index);
		put16(ip + 10, 0);
		put16(ip + 10, ~sum16(ip, l->l4 - l->l3, 0));
	} else {
		put16(ip + 4, l->hdr - l->l3 - MS_IP6_BYTES + n);
	}
	if (l->proto == IPPROTO_TCP) {
		seq = ms_be32(l4 + TCP_SEQ) + at;
		put16(l4 + TCP_SEQ, seq >> 16);
		put16(l4 + TCP_SEQ + 2, seq);
		if (at + n < g->payload)
			l4[TCP_FLAGS] &= ~TCP_FIN_PSH;
		if (at > 0)
			l4[TCP_FLAGS] &= ~TCP_CWR;
	} else {
		put16(l4 + 4, bytes);
	}
	put_pseudo(hdr, l, g->ofs, bytes);
}

static bool
segments(struct ms_mbufs *out, const struct ms_frame *f, const struct gso *g,
	 struct source *s, uint64_t hwassist)
{
	uint8_t hdr[MS_HDR_BYTES];
	struct layout l = g->l;
	uint32_t at, n, index;
	struct mbuf *m;

	if (l.hdr > sizeof(hdr))
		return false;
	for (at = index = 0; at < g->payload; at += n, index++) {
		n = MIN(g->size, g->payload - at);
		memcpy(hdr, f->data, l.hdr);
		segment_header(g, hdr, index, at, n);
		m = mbuf_make(hdr, l.hdr, s, n);
		if (m == NULL)
			return false;
		l.end = l.hdr + n;
		sum_set(m, &l, g->ofs, hwassist);
		ms_mbufs_append(out, m);
	}
	return true;
}

/* ---- all together ---------------------------------------------------------------------- */

/* One mbuf for the whole, which its taker may have to segment. */
static bool
whole(struct ms_mbufs *out, const struct ms_frame *f, const struct gso *g,
      struct source *s, uint64_t hwassist)
{
	uint32_t hdr = g != NULL ? g->l.hdr : MIN(f->linear, ETHER_HDR_LEN);
	struct mbuf *m;

	s->linear += hdr;
	s->left -= hdr;
	m = mbuf_make(f->data, hdr, s, f->len - hdr);
	if (m == NULL)
		return false;
	if (g != NULL)
		sum_set(m, &g->l, g->ofs, hwassist);
	if (g != NULL && g->size < g->payload) {
		m->m_pkthdr.csum_flags |= (int)(tso_flag(&g->l) |
						(hwassist & CSUM_IP));
		m->m_pkthdr.tso_segsz = (uint16_t)g->size;
	}
	ms_mbufs_append(out, m);
	return true;
}

/* Whether who gets it segments it himself. */
static bool
segments_himself(const struct gso *g, const struct ms_frame *f,
		 uint64_t hwassist, uint32_t tso_max)
{
	uint64_t need = csum_flag(&g->l) | tso_flag(&g->l);

	return g->l.proto == IPPROTO_TCP && (hwassist & need) == need &&
	       (tso_max == 0 || f->len <= tso_max);
}

bool
ms_tx_mbufs(struct ms_mbufs *l, const struct ms_frame *f, uint64_t hwassist,
	    uint32_t tso_max, enum ms_counter *why)
{
	struct source s = { .linear = f->data,
			    .left = f->linear,
			    .c = { .seg = f->segs, .nsegs = f->nsegs } };
	bool partial = (f->meta.flags & MS_SLOT_CSUM_PARTIAL) != 0;
	struct gso g = { .ofs = f->meta.csum_offset };
	struct ms_mbufs out;
	bool done;

	*why = MS_CTR_DROP_TX_OFFLOAD;
	if ((partial && !layout_of(&g.l, f)) ||
	    (!partial && f->meta.gso_type != MS_GSO_NONE))
		return false;
	*why = MS_CTR_DROP_NOMEM;
	ms_mbufs_init(&out);
	if (partial) {
		g.payload = g.l.end - g.l.hdr;
		g.size = f->meta.gso_type != MS_GSO_NONE ? f->meta.gso_size
							 : g.payload;
	}
	if (!partial || g.size >= g.payload ||
	    segments_himself(&g, f, hwassist, tso_max)) {
		done = whole(&out, f, partial ? &g : NULL, &s, hwassist);
	} else {
		s.linear += g.l.hdr;
		s.left -= g.l.hdr;
		done = segments(&out, f, &g, &s, hwassist);
	}
	if (!done) {
		ms_mbufs_free(&out);
		return false;
	}
	ms_mbufs_join(l, &out);
	return true;
}
