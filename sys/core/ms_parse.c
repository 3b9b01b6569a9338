/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_parse.c: what the switch has to know of a frame, from bytes that anybody
 * may have written. Every offset is compared with what is there before the
 * byte is read; all arithmetic is unsigned on 32 bits, and no sum of lengths
 * from the wire exceeds 2^17.
 */
#include "ms_parse.h"

#define IP6_EXT_MAX 16 /* extension headers in one packet, more is abuse */
#define VLAN_TAGS_MAX 4
#define TCP_HDR_BYTES 20
#define UDP_HDR_BYTES 8
#define SCTP_HDR_BYTES 12
#define DCCP_HDR_BYTES 12
#define ICMP_HDR_BYTES 8

/* The IP layer's view of a packet, outer or inside an ICMP error. */
struct ip_view {
	const uint8_t *p; /* first byte of the IP header */
	uint32_t linear;  /* bytes that may be read from p on */
	uint32_t bytes;	  /* of the packet, as its header says */
	uint32_t l4;	  /* offset of what is after all headers of IP */
	uint32_t frag_id;
	uint8_t proto;
	bool fragment; /* not the first */
	bool more;     /* first fragment, and others follow */
	bool deep;     /* and extension headers stand before its ports */
};

static bool
ip4_options_sum_ok(const uint8_t *p, uint32_t hdr_bytes)
{
	uint32_t sum = 0;
	uint32_t i;

	for (i = 0; i < hdr_bytes; i += 2)
		sum += ms_raw16(p + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/*
 * Reads the IPv4 header at v->p. `inner`: quoted by an ICMP error, so the
 * checksum may have been spoiled on the way and the packet is cut short.
 */
static bool
ip4_view(struct ip_view *v, uint32_t room, bool inner)
{
	uint32_t hdr_bytes, frag;

	if (v->linear < MS_IP4_BYTES || v->p[0] >> 4 != 4)
		return false;
	hdr_bytes = (uint32_t)(v->p[0] & 15) * 4;
	if (hdr_bytes < MS_IP4_BYTES || hdr_bytes > v->linear)
		return false;
	v->bytes = ms_be16(v->p + 2);
	if (v->bytes < hdr_bytes)
		return false;
	if (!inner && (v->bytes > room || !ip4_options_sum_ok(v->p, hdr_bytes)))
		return false;
	frag = ms_be16(v->p + 6);
	/* Ends past 64 KiB: nobody can have sent that. */
	if ((frag & 0x1fff) * 8 + v->bytes - hdr_bytes > 0xffff)
		return false;
	v->fragment = (frag & 0x1fff) != 0;
	v->more = !v->fragment && (frag & 0x2000) != 0;
	v->frag_id = ms_be16(v->p + 4);
	v->proto = v->p[9];
	v->l4 = hdr_bytes;
	return true;
}

static bool
ip6_is_ext(uint8_t next)
{
	return next == MS_PROTO_HOPOPTS || next == MS_PROTO_ROUTING ||
	       next == MS_PROTO_FRAGMENT || next == MS_PROTO_AH ||
	       next == MS_PROTO_DSTOPTS;
}

/*
 * Walks the extension headers from v->l4 on (RFC 8200 section 4; AH: RFC 4302
 * section 2.2). Behind the fragment header of a later fragment there is no
 * header that means anything, so the walk ends there.
 */
static bool
ip6_walk(struct ip_view *v)
{
	uint32_t end = v->linear < v->bytes ? v->linear : v->bytes;
	uint32_t ext_bytes, frag;
	unsigned int n;
	const uint8_t *e;

	for (n = 0; ip6_is_ext(v->proto); n++) {
		if (n == IP6_EXT_MAX || end - v->l4 < 8)
			return false;
		/* Hop-by-hop options stand first or nowhere. */
		if (v->proto == MS_PROTO_HOPOPTS && n != 0)
			return false;
		e = v->p + v->l4;
		ext_bytes = ((uint32_t)e[1] + 1) * 8;
		v->deep |= v->more;
		if (v->proto == MS_PROTO_AH)
			ext_bytes = ((uint32_t)e[1] + 2) * 4;
		if (v->proto == MS_PROTO_FRAGMENT) {
			ext_bytes = 8;
			if (v->more)
				return false; /* a fragment of a fragment */
			frag = ms_be16(e + 2);
			v->fragment = (frag & 0xfff8) != 0;
			v->more = !v->fragment && (frag & 1) != 0;
			v->frag_id = ms_be32(e + 4);
		}
		if (ext_bytes > end - v->l4)
			return false;
		v->proto = e[0];
		v->l4 += ext_bytes;
		if (v->fragment)
			break;
	}
	return true;
}

static bool
ip6_view(struct ip_view *v, uint32_t room, bool inner)
{
	if (v->linear < MS_IP6_BYTES || v->p[0] >> 4 != 6)
		return false;
	v->bytes = MS_IP6_BYTES + ms_be16(v->p + 4);
	if (!inner && v->bytes > room)
		return false;
	v->proto = v->p[6];
	v->l4 = MS_IP6_BYTES;
	return ip6_walk(v);
}

/* These have their ports in the first four bytes. */
static bool
has_ports(uint8_t proto)
{
	return proto == MS_PROTO_TCP || proto == MS_PROTO_UDP ||
	       proto == MS_PROTO_SCTP || proto == MS_PROTO_UDPLITE ||
	       proto == MS_PROTO_DCCP;
}

/* Whether the transport header at v->l4 is all there and says nothing that
   cannot be. */
static bool
l4_sound(const struct ip_view *v)
{
	uint32_t end = v->linear < v->bytes ? v->linear : v->bytes;
	uint32_t there = end - v->l4; /* readable */
	const uint8_t *h = v->p + v->l4;
	uint32_t bytes;

	switch (v->proto) {
	case MS_PROTO_TCP:
		if (there < TCP_HDR_BYTES)
			return false;
		bytes = (uint32_t)(h[12] >> 4) * 4;
		return bytes >= TCP_HDR_BYTES && bytes <= there;
	case MS_PROTO_UDP:
		if (there < UDP_HDR_BYTES)
			return false;
		bytes = ms_be16(h + 4);
		if (bytes < UDP_HDR_BYTES)
			return false;
		/* A first fragment holds only the start of what it counts. */
		return v->more || bytes <= v->bytes - v->l4;
	case MS_PROTO_UDPLITE:
		return there >= UDP_HDR_BYTES;
	case MS_PROTO_SCTP:
		return there >= SCTP_HDR_BYTES;
	case MS_PROTO_DCCP:
		return there >= DCCP_HDR_BYTES;
	default:
		return true;
	}
}

static bool
icmp_is_error(uint8_t family, uint8_t type)
{
	if (family == 6)
		return type >= 1 && type <= 4; /* RFC 4443 section 2.1 */
	/* Unreachable, source quench, time exceeded, parameter problem. Not
	   the redirect: routes are the host's. */
	return type == 3 || type == 4 || type == 11 || type == 12;
}

/*
 * Finds who sent the packet that the ICMP error at `v` quotes: its header and
 * at least the first four bytes after it, where the ports are (RFC 792 has
 * eight, RFC 4443 as much as fits).
 */
static bool
icmp_inner(const struct ip_view *v, struct ms_pkt *pkt)
{
	struct ms_tuple *t = &pkt->inner;
	uint32_t end = v->linear < v->bytes ? v->linear : v->bytes;
	uint32_t ofs = v->l4 + ICMP_HDR_BYTES;
	struct ip_view in = { 0 };
	size_t bytes;
	bool ok;

	if (ofs > end)
		return false;
	in.p = v->p + ofs;
	in.linear = end - ofs;
	if (pkt->family == 4)
		ok = ip4_view(&in, 0, true);
	else
		ok = ip6_view(&in, 0, true);
	if (!ok || in.fragment || in.proto == MS_PROTO_ICMP ||
	    in.proto == MS_PROTO_ICMP6)
		return false;
	if (has_ports(in.proto)) {
		if (in.linear < in.l4 || in.linear - in.l4 < 4 ||
		    in.bytes < in.l4 || in.bytes - in.l4 < 4)
			return false;
		t->port_be = ms_raw16(in.p + in.l4);
		pkt->dport_be = t->port_be;
		pkt->sport_be = ms_raw16(in.p + in.l4 + 2);
	}
	t->proto = in.proto;
	t->family = pkt->family;
	bytes = pkt->family == 4 ? 4 : 16;
	memcpy(t->addr, in.p + (pkt->family == 4 ? 12 : 8), bytes);
	pkt->peer = in.p + (pkt->family == 4 ? 16 : 24);
	/* An error is told to who sent the packet, and to nobody else. */
	return memcmp(t->addr, pkt->daddr, bytes) == 0;
}

/* What is behind the IP headers decides what kind of packet it is. */
static void
classify(const struct ip_view *v, struct ms_pkt *pkt)
{
	uint32_t end = v->linear < v->bytes ? v->linear : v->bytes;
	const uint8_t *h = v->p + v->l4;

	if (v->fragment) {
		pkt->kind = MS_PKT_FRAGMENT;
		return;
	}
	if (v->proto == (pkt->family == 4 ? MS_PROTO_ICMP : MS_PROTO_ICMP6)) {
		pkt->kind = MS_PKT_ICMP;
		if (end - v->l4 >= ICMP_HDR_BYTES &&
		    icmp_is_error(pkt->family, h[0]) && icmp_inner(v, pkt))
			pkt->kind = MS_PKT_ICMP_ERROR;
		return;
	}
	if (!l4_sound(v))
		return;
	pkt->first_fragment = v->more;
	pkt->deep_ports = v->deep;
	pkt->kind = MS_PKT_PORTLESS;
	if (has_ports(v->proto)) {
		pkt->kind = MS_PKT_TUPLE;
		pkt->sport_be = ms_raw16(h);
		pkt->dport_be = ms_raw16(h + 2);
	}
}

/* Skips the tags of 802.1Q and 802.1ad. The outermost with a number is the
   frame's VLAN. Returns the ethertype behind them; *ofs is behind it. */
static uint16_t
skip_vlan(const uint8_t *data, uint32_t linear, uint32_t *ofs, uint16_t *vlan)
{
	uint16_t type = ms_be16(data + 12);
	uint16_t id;
	unsigned int n;

	*ofs = MS_ETHER_BYTES;
	for (n = 0; n < VLAN_TAGS_MAX; n++) {
		if (type != MS_ETHERTYPE_VLAN && type != MS_ETHERTYPE_QINQ)
			break;
		if (linear - *ofs < 4)
			return 0;
		id = ms_be16(data + *ofs) & 0x0fff;
		/* Stacked VLANs are no attachment's: a number that cannot be
		   on the wire. */
		if (id != 0)
			*vlan = *vlan == 0 ? id : 0xffff;
		type = ms_be16(data + *ofs + 2);
		*ofs += 4;
	}
	return type;
}

void
ms_parse(const uint8_t *data, uint32_t linear, uint32_t len, struct ms_pkt *pkt)
{
	struct ip_view v = { 0 };
	uint32_t ofs;
	uint16_t type;
	bool ok;

	memset(pkt, 0, sizeof(*pkt));
	if (linear > len)
		linear = len;
	if (linear < MS_ETHER_BYTES)
		return;
	type = skip_vlan(data, linear, &ofs, &pkt->vlan);
	if (type != MS_ETHERTYPE_IP4 && type != MS_ETHERTYPE_IP6)
		return;
	pkt->kind = MS_PKT_BAD;
	pkt->l3_ofs = (uint16_t)ofs;
	v.p = data + ofs;
	v.linear = linear - ofs;
	if (type == MS_ETHERTYPE_IP4) {
		ok = ip4_view(&v, len - ofs, false);
		pkt->family = 4;
	} else {
		ok = ip6_view(&v, len - ofs, false);
		pkt->family = 6;
	}
	if (!ok)
		return;
	pkt->proto = v.proto;
	pkt->l4_ofs = (uint16_t)(ofs + v.l4);
	pkt->ip_bytes = v.bytes;
	pkt->frag_id = v.frag_id;
	pkt->saddr = v.p + (pkt->family == 4 ? 12 : 8);
	pkt->daddr = v.p + (pkt->family == 4 ? 16 : 24);
	classify(&v, pkt);
}
