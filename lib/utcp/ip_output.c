/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ip_output.c: writes a packet into the caller's buffers: headers into the first,
 * payload over as many as it takes, copied and summed in one pass.
 */
#include "stack.h"

#define IP_DF 0x4000
#define IP_MF 0x2000

static inline uint32_t
l3_bytes(const struct utcp__out *o, const struct utcp__key *k)
{
	if (k->family == 4)
		return 20;
	return o->frag ? 48 : 40;
}

/* Of element i; an element without a buffer ends what there is. */
static inline uint32_t
room_of(const struct utcp__out *o, unsigned int i)
{
	return i < o->num && LIKELY(o->pkts[i].data != NULL) ? o->pkts[i].len
							     : 0;
}

uint8_t *
utcp__out_begin(struct utcp__out *o, const struct utcp__key *k,
		uint32_t l4_bytes, uint32_t data_bytes)
{
	uint32_t l2 = o->u->cfg.l2_bytes;
	uint32_t l3 = l3_bytes(o, k);
	uint32_t head = l2 + l3 + l4_bytes, room;
	unsigned int i = o->used;

	UTCP_ASSERT(l4_bytes % 2 == 0);
	if (room_of(o, i) < head)
		return NULL;
	room = o->pkts[i].len - head;
	while (room < data_bytes) {
		i++;
		if (room_of(o, i) == 0 || i - o->used >= UTCP_PKT_PARTS_MAX)
			return NULL;
		room += o->pkts[i].len;
	}
	o->key = k;
	o->first = o->at = o->used;
	o->l3_bytes = l3;
	o->l4_bytes = l4_bytes;
	o->fill = head;
	o->data_bytes = 0;
	o->sum = 0;
	o->odd = false;
	o->offload = (o->u->cfg.offloads & UTCP_OFFLOAD_CSUM) != 0 &&
		     !o->frag &&
		     (k->proto == PROTO_TCP || k->proto == PROTO_UDP);
	return o->pkts[o->first].data + l2 + l3;
}

static inline uint16_t
swap16(uint16_t v)
{
	return (uint16_t)(v << 8 | v >> 8);
}

/* One piece, wholly in the element `at`. */
static void
put_piece(struct utcp__out *o, const uint8_t *data, uint32_t n)
{
	uint8_t *to = o->pkts[o->at].data + o->fill;

	if (o->offload) {
		memcpy(to, data, n);
	} else if (!o->odd) {
		o->sum = utcp__sum_copy(to, data, n, o->sum);
	} else {
		/* Its bytes stand in the other half of their words (RFC 1071
		   section 2 (B)): the sum of it, turned round. */
		uint64_t sum = utcp__sum_copy(to, data, n, 0);

		o->sum += swap16(utcp__sum_fold(sum));
	}
	o->odd ^= n & 1;
	o->fill += n;
	o->data_bytes += n;
}

void
utcp__out_data(struct utcp__out *o, const void *data, size_t len)
{
	const uint8_t *from = data;

	while (len > 0) {
		uint32_t room = o->pkts[o->at].len - o->fill;
		uint32_t n = len < room ? (uint32_t)len : room;

		if (n == 0) {
			UTCP_ASSERT(o->at + 1 < o->num);
			o->at++; /* its len is its room: full */
			o->fill = 0;
			continue;
		}
		put_piece(o, from, n);
		from += n;
		len -= n;
	}
}

uint32_t
utcp__frag_id(utcp_t *u, const struct utcp__key *k)
{
	uint8_t ends[32];

	memcpy(ends, k->laddr, 16);
	memcpy(ends + 16, k->raddr, 16);
	return (uint32_t)utcp__siphash(u->key_port, ends, sizeof(ends)) +
	       u->num_frag_ids++;
}

static void
ip4_header(const struct utcp__out *o, uint8_t *ip, uint8_t proto, uint8_t tos,
	   uint8_t ttl, bool df, uint32_t total)
{
	uint32_t frag = df ? IP_DF : 0, id = 0, src, dst;
	uint64_t a, b, sum;

	if (o->frag) {
		frag = (uint32_t)(o->frag_ofs >> 3) |
		       (o->frag_more ? IP_MF : 0);
		id = o->frag_id;
	} else if (!df) {
		id = utcp__frag_id(o->u, o->key);
	} /* else atomic: RFC 6864 section 4.1, the ID means nothing */
	/* In registers, as they are summed: what is stored in bytes and then
	   loaded in words waits for the stores. */
	a = 0x45ull << 56 | (uint64_t)tos << 48 | (uint64_t)total << 32 |
	    (id & 0xffff) << 16 | frag;
	src = get32(o->key->laddr);
	b = (uint64_t)ttl << 56 | (uint64_t)proto << 48 | src;
	dst = get32(o->key->raddr);
	sum = (a >> 32) + (a & 0xffffffff) + (b >> 32) + src + dst;
	b |= (uint64_t)(uint16_t)~utcp__sum_fold(sum) << 32;
	put32(ip, (uint32_t)(a >> 32));
	put32(ip + 4, (uint32_t)a);
	put32(ip + 8, (uint32_t)(b >> 32));
	put32(ip + 12, (uint32_t)b);
	put32(ip + 16, dst);
}

/* RFC 6437 section 3: of a flow always the same, and not to be guessed. */
static uint32_t
flow_label(const utcp_t *u, const struct utcp__key *k)
{
	uint64_t h = u->key_hash[0], a[4];
	int i;

	memcpy(a, k->laddr, 16);
	memcpy(a + 2, k->raddr, 16);
	for (i = 0; i < 4; i++)
		h = (h ^ a[i]) * 0x9e3779b97f4a7c15ull;
	h ^= (uint64_t)k->lport_be << 16 | k->rport_be;
	h = (h ^ u->key_hash[1] ^ h >> 29) * 0xbf58476d1ce4e5b9ull;
	return (uint32_t)(h >> 44);
}

static void
ip6_header(const struct utcp__out *o, uint8_t *ip, uint8_t proto, uint8_t tos,
	   uint8_t ttl, uint32_t payload)
{
	put32(ip, 6u << 28 | (uint32_t)tos << 20 | flow_label(o->u, o->key));
	put16(ip + 4, payload);
	ip[6] = o->frag ? PROTO_FRAGMENT : proto;
	ip[7] = ttl;
	memcpy(ip + 8, o->key->laddr, 16);
	memcpy(ip + 24, o->key->raddr, 16);
	if (o->frag) { /* RFC 8200 section 4.5 */
		ip[40] = proto;
		ip[41] = 0;
		put16(ip + 42, (uint32_t)o->frag_ofs | o->frag_more);
		put32(ip + 44, o->frag_id);
	}
}

static void
checksum(const struct utcp__out *o, uint8_t *l4, uint8_t proto, uint16_t offset)
{
	uint64_t sum = 0;
	uint16_t c;

	if (proto != PROTO_ICMP)
		sum = utcp__sum_pseudo(o->key, proto,
				       o->l4_bytes + o->data_bytes);
	if (o->offload) {
		c = utcp__sum_fold(sum);
	} else {
		sum = utcp__sum(l4, o->l4_bytes, sum) + o->sum;
		c = (uint16_t)~utcp__sum_fold(sum);
		if (c == 0 && proto == PROTO_UDP)
			c = 0xffff; /* RFC 768: 0 would say that there is none */
	}
	memcpy(l4 + offset, &c, 2);
}

static uint8_t
gso_type(uint8_t proto, uint8_t family)
{
	if (proto == PROTO_UDP)
		return UTCP_GSO_UDP;
	return family == 4 ? UTCP_GSO_TCP4 : UTCP_GSO_TCP6;
}

void
utcp__out_end(struct utcp__out *o, uint8_t proto, uint8_t tos, uint8_t ttl,
	      bool df, uint16_t csum_offset, uint16_t gso_size)
{
	utcp_pkt_t *pkt = &o->pkts[o->first];
	uint32_t l2 = o->u->cfg.l2_bytes, bytes;
	uint8_t *ip = pkt->data + l2;
	unsigned int i;

	bytes = o->l4_bytes + o->data_bytes;
	if (csum_offset != 0xffff)
		checksum(o, ip + o->l3_bytes, proto, csum_offset);
	if (o->key->family == 4)
		ip4_header(o, ip, proto, tos, ttl, df, 20 + bytes);
	else
		ip6_header(o, ip, proto, tos, ttl, o->l3_bytes - 40 + bytes);
	bytes += o->l3_bytes;
	UTCP_ASSERT(bytes <= 65535 + 40);

	for (i = o->first; i <= o->at; i++) {
		o->pkts[i].flags = i < o->at ? UTCP_PKT_MORE : 0;
		o->pkts[i].gso_type = UTCP_GSO_NONE;
		o->pkts[i].reserved = 0;
		o->pkts[i].gso_size = 0;
		o->pkts[i].csum_start = o->pkts[i].csum_offset = 0;
		o->pkts[i].pad = 0;
	}
	o->pkts[o->at].len = o->fill;
	if (o->offload && csum_offset != 0xffff) {
		pkt->flags |= UTCP_PKT_CSUM_PARTIAL;
		pkt->csum_start = (uint16_t)(l2 + o->l3_bytes);
		pkt->csum_offset = csum_offset;
	}
	if (gso_size != 0 && o->data_bytes > gso_size) {
		UTCP_ASSERT(o->offload);
		pkt->gso_type = gso_type(proto, o->key->family);
		pkt->gso_size = gso_size;
	}
	o->used = o->at + 1;
	COUNT(o->u, OUT_PKTS);
	COUNT_N(o->u, OUT_BYTES, bytes);
}
