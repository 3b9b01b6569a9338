/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_parse.c: ms_parse() on any bytes. The frame lies in a heap block of
 * exactly its linear size, so that a read past it is seen; the answer must be
 * that of a second parser, written below from the standards without regard to
 * speed, and the fast look of ms_parse.h must agree with both.
 *
 * Input: two bytes of how much of the frame is not linear, then the frame.
 */
#include "fuzz.h"
#include "ms_parse.h"

/* ---- the oracle: reads byte by byte, or fails --------------------------- */

struct bytes {
	const uint8_t *p;
	uint32_t have; /* readable */
	bool short_;   /* something past `have` was asked for */
};

static uint32_t
get(struct bytes *b, uint32_t at, unsigned int n)
{
	uint32_t v = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (at + i >= b->have) {
			b->short_ = true;
			return 0;
		}
		v = v << 8 | b->p[at + i];
	}
	return v;
}

/* An IP packet that starts at `at`; quoted ones are inside an ICMP error. */
struct ip {
	uint32_t at, version, total, header, id, offset;
	uint8_t proto;
	bool more, good;
};

static struct ip
oracle_ip4(struct bytes *b, uint32_t at, bool quoted, uint32_t room)
{
	struct ip ip = { .at = at, .version = 4 };
	uint32_t i, sum = 0, flags;

	if (get(b, at, 1) >> 4 != 4)
		return ip;
	ip.header = (get(b, at, 1) & 15) * 4;
	ip.total = get(b, at + 2, 2);
	ip.id = get(b, at + 4, 2);
	flags = get(b, at + 6, 2);
	ip.proto = (uint8_t)get(b, at + 9, 1);
	ip.offset = (flags & 0x1fff) * 8;
	ip.more = (flags & 0x2000) != 0;
	for (i = 0; i < ip.header; i += 2)
		sum += get(b, at + i, 2);
	while (sum > 0xffff)
		sum = (sum >> 16) + (sum & 0xffff);
	ip.good = !b->short_ && ip.header >= 20 && ip.total >= ip.header &&
		  ip.offset + (ip.total - ip.header) <= 65535 &&
		  (quoted || (sum == 0xffff && ip.total <= room));
	return ip;
}

static struct ip
oracle_ip6(struct bytes *b, uint32_t at, bool quoted, uint32_t room)
{
	struct ip ip = { .at = at, .version = 6, .header = 40 };
	unsigned int count = 0;
	bool first_seen = false;
	uint32_t ext, len, end;

	if (get(b, at, 1) >> 4 != 6)
		return ip;
	ip.total = 40 + get(b, at + 4, 2);
	ip.proto = (uint8_t)get(b, at + 6, 1);
	get(b, at + 39, 1);
	if (b->short_ || (!quoted && ip.total > room))
		return ip;
	end = at + ip.total;
	while (ip.proto == 0 || ip.proto == 43 || ip.proto == 44 ||
	       ip.proto == 51 || ip.proto == 60) {
		ext = at + ip.header;
		if (ip.proto == 0 && count != 0)
			return ip;
		if (++count > 16)
			return ip;
		len = get(b, ext + 1, 1);
		if (ip.proto == 51)
			len = (len + 2) * 4;
		else if (ip.proto == 44)
			len = 8;
		else
			len = (len + 1) * 8;
		if (len < 8)
			len = 8; /* of AH: no shorter one has a meaning */
		if (ext + len > end)
			return ip;
		get(b, ext + len - 1, 1);
		if (b->short_)
			return ip;
		if (ip.proto == 44) {
			if (first_seen)
				return ip;
			ip.offset = get(b, ext + 2, 2) & 0xfff8;
			ip.more = get(b, ext + 2, 2) & 1;
			ip.id = get(b, ext + 4, 4);
			first_seen = ip.more && ip.offset == 0;
		}
		ip.proto = (uint8_t)get(b, ext, 1);
		ip.header += len;
		if (ip.offset != 0)
			break;
	}
	ip.good = !b->short_;
	return ip;
}

static bool
ported(uint8_t proto)
{
	switch (proto) {
	case 6:	  /* TCP */
	case 17:  /* UDP */
	case 33:  /* DCCP */
	case 132: /* SCTP */
	case 136: /* UDP-Lite */
		return true;
	default:
		return false;
	}
}

static bool
oracle_l4(const struct bytes *all, const struct ip *ip)
{
	struct bytes b = *all;
	uint32_t l4 = ip->at + ip->header;
	uint32_t payload = ip->total - ip->header;
	uint32_t len;

	if (b.have > ip->at + ip->total)
		b.have = ip->at + ip->total;
	switch (ip->proto) {
	case 6:
		get(&b, l4 + 19, 1);
		len = (get(&b, l4 + 12, 1) >> 4) * 4;
		if (len < 20)
			return false;
		get(&b, l4 + len - 1, 1);
		return !b.short_;
	case 17:
		get(&b, l4 + 7, 1);
		len = get(&b, l4 + 4, 2);
		return !b.short_ && len >= 8 && (ip->more || len <= payload);
	case 33:
	case 132:
		get(&b, l4 + 11, 1);
		return !b.short_;
	case 136:
		get(&b, l4 + 7, 1);
		return !b.short_;
	default:
		return true;
	}
}

static bool
oracle_quoted(const struct bytes *all, const struct ip *ip, struct ip *inner,
	      uint32_t *ports)
{
	struct bytes b = *all;
	uint32_t l4 = ip->at + ip->header;
	uint8_t type;

	if (b.have > ip->at + ip->total)
		b.have = ip->at + ip->total;
	type = (uint8_t)get(&b, l4, 1);
	get(&b, l4 + 7, 1);
	if (b.short_)
		return false;
	if (ip->version == 4 && type != 3 && type != 4 && type != 11 &&
	    type != 12)
		return false;
	if (ip->version == 6 && (type < 1 || type > 4))
		return false;
	*inner = ip->version == 4 ? oracle_ip4(&b, l4 + 8, true, 0)
				  : oracle_ip6(&b, l4 + 8, true, 0);
	if (!inner->good || inner->offset != 0 || inner->proto == 1 ||
	    inner->proto == 58)
		return false;
	/* Only to who sent it. */
	if (ip->version == 4
		? memcmp(b.p + inner->at + 12, b.p + ip->at + 16, 4)
		: memcmp(b.p + inner->at + 8, b.p + ip->at + 24, 16))
		return false;
	*ports = 0;
	if (ported(inner->proto)) {
		*ports = get(&b, inner->at + inner->header, 4);
		if (b.short_ || inner->header + 4 > inner->total)
			return false;
	}
	return true;
}

/* ---- the comparison ------------------------------------------------------ */

static uint16_t
be(uint16_t v)
{
	const uint8_t *p = (const uint8_t *)&v;

	return (uint16_t)(p[0] << 8 | p[1]);
}

static void
check_inner(const struct ms_pkt *pkt, const struct bytes *b,
	    const struct ip *ip)
{
	struct ms_tuple want = { .family = (uint8_t)ip->version };
	unsigned int bytes = ip->version == 4 ? 4 : 16;
	uint32_t addr, ports = 0;
	struct ip inner;

	if (!oracle_quoted(b, ip, &inner, &ports)) {
		FUZZ_CHECK(pkt->kind == MS_PKT_ICMP);
		return;
	}
	FUZZ_CHECK(pkt->kind == MS_PKT_ICMP_ERROR);
	addr = inner.at + (ip->version == 4 ? 12 : 8);
	memcpy(want.addr, b->p + addr, bytes);
	want.proto = inner.proto;
	FUZZ_CHECK(be(pkt->inner.port_be) == ports >> 16);
	want.port_be = pkt->inner.port_be;
	FUZZ_CHECK(memcmp(&want, &pkt->inner, sizeof(want)) == 0);
}

static void
check_ip(const struct ms_pkt *pkt, struct bytes *b, uint32_t ofs,
	 const struct ip *ip)
{
	unsigned int src = ip->version == 4 ? 12 : 8;
	unsigned int dst = ip->version == 4 ? 16 : 24;
	uint32_t l4 = ip->at + ip->header;
	bool first = ip->more && ip->offset == 0;

	FUZZ_CHECK(pkt->family == ip->version);
	FUZZ_CHECK(pkt->l3_ofs == ofs);
	if (!ip->good) {
		FUZZ_CHECK(pkt->kind == MS_PKT_BAD);
		return;
	}
	if (ip->offset == 0 && ip->proto == (ip->version == 4 ? 1 : 58)) {
		check_inner(pkt, b, ip);
	} else if (ip->offset != 0) {
		FUZZ_CHECK(pkt->kind == MS_PKT_FRAGMENT);
	} else if (!oracle_l4(b, ip)) {
		FUZZ_CHECK(pkt->kind == MS_PKT_BAD);
		return;
	} else if (ported(ip->proto)) {
		FUZZ_CHECK(pkt->kind == MS_PKT_TUPLE);
		FUZZ_CHECK(be(pkt->sport_be) == get(b, l4, 2));
		FUZZ_CHECK(be(pkt->dport_be) == get(b, l4 + 2, 2));
		FUZZ_CHECK(pkt->first_fragment == first);
	} else {
		FUZZ_CHECK(pkt->kind == MS_PKT_PORTLESS);
		FUZZ_CHECK(pkt->first_fragment == first);
	}
	FUZZ_CHECK(pkt->proto == ip->proto);
	FUZZ_CHECK(pkt->l4_ofs == l4);
	FUZZ_CHECK(pkt->ip_bytes == ip->total);
	FUZZ_CHECK(pkt->saddr == b->p + ip->at + src);
	FUZZ_CHECK(pkt->daddr == b->p + ip->at + dst);
	if (ip->offset != 0 || first)
		FUZZ_CHECK(pkt->frag_id == ip->id);
}

static void
check(const struct ms_pkt *pkt, const uint8_t *data, uint32_t linear,
      uint32_t len)
{
	struct bytes b = { data, linear, false };
	uint32_t at = 12, tags = 0, ids = 0, id, type;
	struct ip ip;

	type = get(&b, at, 2);
	while ((type == 0x8100 || type == 0x88a8) && tags++ < 4) {
		id = get(&b, at + 2, 2) & 0xfff;
		type = get(&b, at + 4, 2);
		/* a tag that is cut off says nothing */
		if (b.short_)
			break;
		if (id != 0)
			ids = ids == 0 ? id : 0xffff;
		at += 4;
	}
	if (b.short_ || (type != 0x0800 && type != 0x86dd)) {
		FUZZ_CHECK(pkt->kind == MS_PKT_OTHER);
		return;
	}
	FUZZ_CHECK(pkt->vlan == ids);
	at += 2;
	if (type == 0x0800)
		ip = oracle_ip4(&b, at, false, len - at);
	else
		ip = oracle_ip6(&b, at, false, len - at);
	b.short_ = false;
	check_ip(pkt, &b, at, &ip);
}

/* What the fast look accepts is what ms_parse() finds. */
static void
check_plain(const struct ms_pkt *pkt, const uint8_t *data, uint32_t linear,
	    uint32_t len)
{
	if (!ms_parse_plain4(data, linear, len))
		return;
	FUZZ_CHECK(pkt->kind == MS_PKT_TUPLE);
	FUZZ_CHECK(pkt->family == 4 && !pkt->first_fragment);
	FUZZ_CHECK(pkt->vlan == 0 && pkt->l3_ofs == 14 && pkt->l4_ofs == 34);
	FUZZ_CHECK(pkt->proto == data[23]);
	FUZZ_CHECK(pkt->saddr == data + 26 && pkt->daddr == data + 30);
	FUZZ_CHECK(pkt->sport_be == ms_raw16(data + 34));
	FUZZ_CHECK(pkt->dport_be == ms_raw16(data + 36));
}

static void
fix_sum(uint8_t *p, uint32_t have)
{
	uint32_t sum = 0, bytes, i;

	if (have < 14 + 20 || p[12] != 8 || p[13] != 0)
		return;
	bytes = (p[14] & 15) * 4u;
	if (bytes < 20 || have < 14 + bytes)
		return;
	p[24] = p[25] = 0;
	for (i = 0; i < bytes; i += 2)
		sum += (uint32_t)p[14 + i] << 8 | p[15 + i];
	while (sum > 0xffff)
		sum = (sum >> 16) + (sum & 0xffff);
	p[24] = (uint8_t)(~sum >> 8);
	p[25] = (uint8_t)~sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	uint16_t how = fuzz_u16(&in);
	uint32_t linear = (uint32_t)in.left;
	uint32_t len = linear + (how & 0x7fff);
	struct ms_pkt pkt, again;
	uint8_t *frame;

	if (linear > 65568)
		return 0;
	frame = calloc(1, linear ? linear : 1);
	FUZZ_CHECK(frame != NULL);
	if (linear > 0)
		memcpy(frame, in.p, linear);
	/* Half of the inputs get the checksum that mutation cannot guess. */
	if ((how & 0x8000) != 0)
		fix_sum(frame, linear);
	memset(&pkt, 0xa5, sizeof(pkt));
	ms_parse(frame, linear, len, &pkt);
	check(&pkt, frame, linear, len);
	check_plain(&pkt, frame, linear, len);
	memset(&again, 0x5a, sizeof(again));
	ms_parse(frame, linear, len, &again);
	FUZZ_CHECK(again.kind == pkt.kind && again.l4_ofs == pkt.l4_ofs);
	free(frame);
	return 0;
}
