/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * offload.c: checksums and segmentation in software.
 */
#include <netinet/in.h>

#include "offload.h"

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

/* ---- checksums ---- */

static inline uint64_t
add64(uint64_t sum, uint64_t v)
{
	sum += v;
	return sum + (sum < v); /* end-around carry */
}

uint64_t
ms_csum_copy(uint64_t sum, uint8_t *to, const uint8_t *p, uint32_t bytes)
{
	uint64_t a, b, c, d;

	for (; bytes >= 32; bytes -= 32, p += 32, to += 32) {
		memcpy(&a, p, 8);
		memcpy(&b, p + 8, 8);
		memcpy(&c, p + 16, 8);
		memcpy(&d, p + 24, 8);
		memcpy(to, &a, 8);
		memcpy(to + 8, &b, 8);
		memcpy(to + 16, &c, 8);
		memcpy(to + 24, &d, 8);
		sum = add64(add64(sum, a), b);
		sum = add64(add64(sum, c), d);
	}
	for (; bytes >= 2; bytes -= 2, p += 2, to += 2) {
		uint16_t w;

		memcpy(&w, p, 2);
		memcpy(to, &w, 2);
		sum = add64(sum, w);
	}
	if (bytes != 0) {
		uint8_t last[2] = { *p, 0 };
		uint16_t w;

		to[0] = last[0];
		memcpy(&w, last, 2);
		sum = add64(sum, w);
	}
	return sum;
}

uint64_t
ms_csum_add(uint64_t sum, const uint8_t *p, uint32_t bytes)
{
	uint64_t a, b;

	for (; bytes >= 16; bytes -= 16, p += 16) {
		memcpy(&a, p, 8);
		memcpy(&b, p + 8, 8);
		sum = add64(add64(sum, a), b);
	}
	for (; bytes >= 2; bytes -= 2, p += 2) {
		uint16_t w;

		memcpy(&w, p, 2);
		sum = add64(sum, w);
	}
	if (bytes != 0) {
		uint8_t last[2] = { *p, 0 };
		uint16_t w;

		memcpy(&w, last, 2);
		sum = add64(sum, w);
	}
	return sum;
}

uint64_t
ms_csum_pseudo(const uint8_t *ip, uint8_t family, uint8_t proto, uint32_t bytes)
{
	uint8_t tail[8] = {
		0, 0, (uint8_t)(bytes >> 8), (uint8_t)bytes, 0, 0, 0, proto
	};
	uint64_t sum = ms_csum_add(0, tail, sizeof(tail));

	return family == 4 ? ms_csum_add(sum, ip + 12, 8)
			   : ms_csum_add(sum, ip + 8, 32);
}

uint16_t
ms_csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* ---- frames ---- */

bool
ms_reader_copy(struct ms_reader *r, uint8_t *to, uint32_t bytes, uint64_t *sum)
{
	bool odd = false;

	while (bytes > 0) {
		const struct ms_frame *f = r->f;
		const uint8_t *p = f->data;
		uint32_t n = f->linear;

		if (r->seg > 0) {
			if (r->seg > f->nsegs)
				return false;
			p = f->segs[r->seg - 1].p;
			n = f->segs[r->seg - 1].bytes;
		}
		if (r->ofs >= n) {
			r->seg++;
			r->ofs = 0;
			continue;
		}
		n -= r->ofs;
		if (n > bytes)
			n = bytes;
		if (sum == NULL) {
			memcpy(to, p + r->ofs, n);
		} else {
			uint64_t part = ms_csum_copy(0, to, p + r->ofs, n);

			/* A piece that starts at an odd byte counts with its
			   bytes exchanged (RFC 1071 2.B). */
			if (odd) {
				uint16_t w = (uint16_t)~ms_csum_fold(part);

				part = (uint16_t)(w << 8 | w >> 8);
			}
			*sum = add64(*sum, part);
			odd ^= n & 1;
		}
		to += n;
		r->ofs += n;
		bytes -= n;
	}
	return true;
}

int
ms_frame_flatten(const struct ms_frame *f, uint8_t *to)
{
	uint32_t start = f->meta.csum_start;
	struct ms_reader r;
	uint64_t sum = 0;
	uint16_t folded;
	uint8_t *at;

	ms_reader_init(&r, f);
	if ((f->meta.flags & MS_SLOT_CSUM_PARTIAL) == 0)
		return ms_reader_copy(&r, to, f->len, NULL) ? 0 : -EINVAL;
	if (start >= f->len || f->len - start < 2 ||
	    f->meta.csum_offset > f->len - start - 2)
		return -EINVAL;
	if (!ms_reader_copy(&r, to, start, NULL) ||
	    !ms_reader_copy(&r, to + start, f->len - start, &sum))
		return -EINVAL;
	at = to + start + f->meta.csum_offset;
	folded = ms_csum_fold(sum);
	/* RFC 768: 0 would say that there is none. */
	ms_csum_put(at,
		    folded == 0 && f->meta.csum_offset == 6 ? 0xffff : folded);
	return 0;
}

/* Where the IP header is, past VLAN tags; its family, or 0. */
static uint8_t
find_l3(const uint8_t *p, uint32_t linear, uint32_t *l3)
{
	uint32_t ofs = 12;

	while (ofs + 2 <= linear && ofs < 28) {
		uint16_t type = ms_be16(p + ofs);

		*l3 = ofs + 2;
		if (type == 0x0800)
			return 4;
		if (type == 0x86dd)
			return 6;
		if (type != 0x8100 && type != 0x88a8)
			return 0;
		ofs += 4;
	}
	return 0;
}

int
ms_segmenter_init(struct ms_segmenter *s, const struct ms_frame *f)
{
	const struct ms_meta *m = &f->meta;
	uint32_t l4 = m->csum_start;

	if ((m->flags & MS_SLOT_CSUM_PARTIAL) == 0 || m->gso_size == 0)
		return -EINVAL;
	s->family = find_l3(f->data, f->linear, &s->l3);
	s->udp = m->gso_type == MS_GSO_UDP;
	if (s->family == 0 ||
	    (!s->udp &&
	     m->gso_type != (s->family == 4 ? MS_GSO_TCP4 : MS_GSO_TCP6)))
		return -EINVAL;
	if (l4 < s->l3 + (s->family == 4 ? 20 : 40) || l4 + 8 > f->linear ||
	    (!s->udp && l4 + 20 > f->linear))
		return -EINVAL;
	if (s->family == 4 && l4 - s->l3 != (uint32_t)(f->data[s->l3] & 15) * 4)
		return -EINVAL;
	s->l4 = l4;
	s->hdr_bytes = l4 + 8;
	if (!s->udp) {
		uint32_t tcp = (uint32_t)(f->data[l4 + 12] >> 4) * 4;

		if (tcp < 20)
			return -EINVAL;
		s->hdr_bytes = l4 + tcp;
	}
	if (s->hdr_bytes > f->linear || s->hdr_bytes > sizeof(s->hdr) ||
	    s->hdr_bytes >= f->len)
		return -EINVAL;
	ms_reader_init(&s->reader, f);
	ms_reader_copy(&s->reader, s->hdr, s->hdr_bytes, NULL);
	s->payload_left = f->len - s->hdr_bytes;
	s->gso_size = m->gso_size;
	s->seg_bytes_max = s->hdr_bytes + s->gso_size;
	s->segs = (s->payload_left + s->gso_size - 1) / s->gso_size;
	s->index = 0;
	s->ip_id = s->family == 4 ? ms_be16(s->hdr + s->l3 + 4) : 0;
	s->seq = s->udp ? 0 : ms_be32(s->hdr + l4 + 4);
	s->tcp_flags = s->udp ? 0 : s->hdr[l4 + 13];
	return 0;
}

static void
put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* The headers of the segment with `n` bytes of payload; returns the sum over
   pseudo header and transport header. */
static uint64_t
segment_headers(struct ms_segmenter *s, uint8_t *to, uint32_t n, bool last)
{
	uint8_t *ip = to + s->l3, *l4 = to + s->l4, flags = s->tcp_flags;
	uint32_t l4_bytes = s->hdr_bytes - s->l4 + n;

	memcpy(to, s->hdr, s->hdr_bytes);
	if (s->family == 4) {
		put16(ip + 2, s->l4 - s->l3 + l4_bytes);
		put16(ip + 4, s->ip_id + s->index);
		put16(ip + 10, 0);
		ms_csum_put(ip + 10,
			    ms_csum_fold(ms_csum_add(0, ip, s->l4 - s->l3)));
	} else {
		put16(ip + 4, s->l4 - s->l3 - 40 + l4_bytes);
	}
	if (s->udp) {
		put16(l4 + 4, l4_bytes);
		put16(l4 + 6, 0);
	} else {
		uint32_t seq = s->seq + s->index * s->gso_size;

		put16(l4 + 4, seq >> 16);
		put16(l4 + 6, seq);
		if (!last)
			flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
		if (s->index > 0)
			flags &= (uint8_t)~TCP_CWR;
		l4[13] = flags;
		put16(l4 + 16, 0);
	}
	return ms_csum_add(ms_csum_pseudo(ip, s->family,
					  s->udp ? IPPROTO_UDP : IPPROTO_TCP,
					  l4_bytes),
			   l4, s->hdr_bytes - s->l4);
}

uint32_t
ms_segmenter_next(struct ms_segmenter *s, uint8_t *to)
{
	uint32_t n = s->payload_left < s->gso_size ? s->payload_left
						   : s->gso_size;
	uint64_t sum;
	uint16_t folded;

	if (n == 0)
		return 0;
	sum = segment_headers(s, to, n, n == s->payload_left);
	/* TCP and UDP headers are of even length, so the sum goes on. */
	if (!ms_reader_copy(&s->reader, to + s->hdr_bytes, n, &sum))
		return 0;
	folded = ms_csum_fold(sum);
	if (s->udp)
		ms_csum_put(to + s->l4 + 6, folded == 0 ? 0xffff : folded);
	else
		ms_csum_put(to + s->l4 + 16, folded);
	s->payload_left -= n;
	s->index++;
	return s->hdr_bytes + n;
}
