/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segment.c: what a device does with a large send: cut it, and finish the
 * checksums, so that a bad link can lose each segment alone.
 */
#include <stdlib.h>
#include <string.h>

#include <multistack/utcp.h>

#include "impair.h"

static uint32_t
get16(const uint8_t *p)
{
	return (uint32_t)(p[0] << 8 | p[1]);
}

static void
put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t
sum16(uint32_t sum, const uint8_t *p, uint32_t n)
{
	for (; n > 1; n -= 2, p += 2)
		sum += get16(p);
	return n ? sum + ((uint32_t)p[0] << 8) : sum;
}

static uint32_t
fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* The field holds the pseudo header's part. */
static void
finish_checksum(struct frame *f)
{
	uint8_t *field = f->data + f->csum_start + f->csum_offset;
	uint32_t sum;

	if (!(f->flags & UTCP_PKT_CSUM_PARTIAL) ||
	    f->csum_start + f->csum_offset + 2u > f->len)
		return;
	sum = fold(sum16(0, f->data + f->csum_start, f->len - f->csum_start));
	put16(field, sum ? sum : 0xffff);
	f->flags &= (uint16_t)~UTCP_PKT_CSUM_PARTIAL;
}

/* Lengths and checksums of a segment whose header was copied. */
static void
finish_headers(struct frame *f, uint32_t tcp, uint32_t id)
{
	uint32_t l4_bytes = f->len - tcp, sum;
	uint8_t *ip = f->data;

	if (ip[0] >> 4 == 4) {
		put16(ip + 2, f->len);
		put16(ip + 4, get16(ip + 4) + id);
		put16(ip + 10, 0);
		put16(ip + 10, fold(sum16(0, ip, tcp)));
		sum = sum16(6 + l4_bytes, ip + 12, 8);
	} else {
		put16(ip + 4, f->len - 40);
		sum = sum16(6 + l4_bytes, ip + 8, 32);
	}
	put16(ip + tcp + 16, 0);
	put16(ip + tcp + 16, fold(sum16(sum, ip + tcp, l4_bytes)));
}

void
segment_put(struct impair *im, struct frame *f, uint64_t now_ns)
{
	uint32_t tcp = f->csum_start, head, seq, n, at;
	struct frame *s;
	uint8_t *h;

	if (f->gso_type != UTCP_GSO_TCP4 && f->gso_type != UTCP_GSO_TCP6) {
		finish_checksum(f);
		impair_put(im, f, now_ns);
		return;
	}
	head = tcp + (f->data[tcp + 12] >> 4) * 4u;
	seq = get16(f->data + tcp + 4) << 16 | get16(f->data + tcp + 6);
	for (at = head; at < f->len; at += n) {
		n = f->len - at < f->gso_size ? f->len - at : f->gso_size;
		s = frame_new(head + n);
		memcpy(s->data, f->data, head);
		memcpy(s->data + head, f->data + at, n);
		h = s->data + tcp;
		put16(h + 4, (seq + at - head) >> 16);
		put16(h + 6, seq + at - head);
		if (at > head)
			h[13] &= 0x7f; /* CWR: the first only */
		if (at + n < f->len)
			h[13] &= 0xf6; /* FIN, PSH: the last only */
		finish_headers(s, tcp, (at - head) / f->gso_size);
		impair_put(im, s, now_ns);
	}
	free(f);
}
