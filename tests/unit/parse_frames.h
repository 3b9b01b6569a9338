/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parse_frames.h: frames of every shape, built header by header, for the tests
 * of the parser.
 */
#ifndef PARSE_FRAMES_H
#define PARSE_FRAMES_H

#include "../hostile/rig.h"

#define FRAME_MAX 512
#define SPORT 0x1234
#define DPORT 0x5678

static const uint8_t src4[4] = { 10, 0, 0, 2 }, dst4[4] = { 10, 0, 0, 1 };

/* A frame under construction. */
struct built {
	uint8_t p[FRAME_MAX];
	uint32_t len;
	uint32_t l3; /* offset of the (outer) IP header, 0: none */
};

/* ---- bricks ------------------------------------------------------------- */

RIG_FN void
put(struct built *b, const void *bytes, uint32_t n)
{
	assert_true(b->len + n <= FRAME_MAX);
	memcpy(b->p + b->len, bytes, n);
	b->len += n;
}

RIG_FN void
zeros(struct built *b, uint32_t n)
{
	static const uint8_t none[FRAME_MAX];

	put(b, none, n);
}

RIG_FN void
put16(struct built *b, uint16_t v)
{
	uint8_t p[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	put(b, p, 2);
}

RIG_FN void
ether(struct built *b, uint16_t type)
{
	put(b, rig_mac, 6);
	put(b, rig_peer_mac, 6);
	put16(b, type);
}

/* Length and checksum come with ip_end(). */
RIG_FN uint32_t
ip4(struct built *b, uint8_t proto, uint16_t frag, uint32_t options)
{
	uint32_t at = b->len;
	uint8_t h[20] = { 0 };

	h[0] = (uint8_t)(0x45 + options / 4);
	h[4] = 0xab;
	h[5] = 0xcd;
	h[6] = (uint8_t)(frag >> 8);
	h[7] = (uint8_t)frag;
	h[8] = 64;
	h[9] = proto;
	memcpy(h + 12, src4, 4);
	memcpy(h + 16, dst4, 4);
	put(b, h, 20);
	while (options-- > 0)
		put(b, "\1", 1); /* no operation */
	return at;
}

RIG_FN void
sum4(struct built *b, uint32_t at)
{
	uint16_t sum;

	memset(b->p + at + 10, 0, 2);
	sum = rig_sum(b->p + at, (b->p[at] & 15) * 4u);
	memcpy(b->p + at + 10, &sum, 2);
}

RIG_FN void
ip4_end(struct built *b, uint32_t at)
{
	rig_put16(b->p + at + 2, b->len - at);
	sum4(b, at);
}

RIG_FN uint32_t
ip6(struct built *b, uint8_t proto)
{
	uint32_t at = b->len;

	put(b, "\x60\0\0\0\0\0", 6);
	put(b, &proto, 1);
	put(b, "\x40", 1);
	put(b, rig_peer_ip6, 16);
	put(b, rig_ip6, 16);
	return at;
}

RIG_FN void
ip6_end(struct built *b, uint32_t at)
{
	rig_put16(b->p + at + 4, b->len - at - 40);
}

/* An extension header of `bytes` (hop-by-hop, routing, options). */
RIG_FN void
ext6(struct built *b, uint8_t next, uint32_t bytes)
{
	uint8_t len = (uint8_t)(bytes / 8 - 1);

	put(b, &next, 1);
	put(b, &len, 1);
	zeros(b, bytes - 2);
}

RIG_FN void
ah(struct built *b, uint8_t next, uint32_t bytes)
{
	uint8_t len = (uint8_t)(bytes / 4 - 2);

	put(b, &next, 1);
	put(b, &len, 1);
	zeros(b, bytes - 2);
}

RIG_FN void
frag6(struct built *b, uint8_t next, uint16_t ofs_more)
{
	put(b, &next, 1);
	zeros(b, 1);
	put16(b, ofs_more);
	put(b, "\xde\xad\xbe\xef", 4);
}

RIG_FN void
ports(struct built *b)
{
	put16(b, SPORT);
	put16(b, DPORT);
}

RIG_FN void
tcp(struct built *b, uint32_t options)
{
	uint8_t doff = (uint8_t)((20 + options) / 4 << 4);

	ports(b);
	zeros(b, 8);
	put(b, &doff, 1);
	zeros(b, 7 + options);
}

RIG_FN void
udp(struct built *b, uint32_t payload)
{
	ports(b);
	put16(b, (uint16_t)(8 + payload));
	zeros(b, 2 + payload);
}

RIG_FN void
portful(struct built *b, uint32_t rest)
{
	ports(b);
	zeros(b, rest);
}

/* ---- whole frames ---------------------------------------------------------- */

RIG_FN void
b_tcp4(struct built *b)
{
	ether(b, 0x0800);
	b->l3 = ip4(b, 6, 0x4000, 0);
	tcp(b, 0);
	zeros(b, 6);
	ip4_end(b, b->l3);
}

RIG_FN void
b_tcp4_options(struct built *b)
{
	ether(b, 0x0800);
	b->l3 = ip4(b, 6, 0, 12);
	tcp(b, 20);
	ip4_end(b, b->l3);
}

RIG_FN void
b_udp4(struct built *b)
{
	ether(b, 0x0800);
	b->l3 = ip4(b, 17, 0, 0);
	udp(b, 10);
	ip4_end(b, b->l3);
}

RIG_FN void
b_udp4_short(struct built *b) /* what UDP counts is less than IP has */
{
	ether(b, 0x0800);
	b->l3 = ip4(b, 17, 0, 0);
	udp(b, 10);
	zeros(b, 7);
	ip4_end(b, b->l3);
}

RIG_FN void
b_sctp4(struct built *b)
{
	ether(b, 0x0800);
	b->l3 = ip4(b, 132, 0, 0);
	portful(b, 8);
	ip4_end(b, b->l3);
}

RIG_FN void
b_dccp4(struct built *b)
{
	ether(b, 0x0800);
	b->l3 = ip4(b, 33, 0, 0);
	portful(b, 8);
	ip4_end(b, b->l3);
}

RIG_FN void
b_udplite4(struct built *b)
{
	ether(b, 0x0800);
	b->l3 = ip4(b, 136, 0, 0);
	portful(b, 4);
	ip4_end(b, b->l3);
}

RIG_FN void
b_portless4(struct built *b)
{
	ether(b, 0x0800);
	b->l3 = ip4(b, 253, 0, 0);
	zeros(b, 3);
	ip4_end(b, b->l3);
}

RIG_FN void
b_padded4(struct built *b)
{
	b_udp4(b);
	zeros(b, 20); /* not of the packet */
}

RIG_FN void
b_vlan(struct built *b)
{
	ether(b, 0x8100);
	put16(b, 0x6005); /* priority 3, VLAN 5 */
	put16(b, 0x0800);
	b->l3 = ip4(b, 17, 0, 0);
	udp(b, 4);
	ip4_end(b, b->l3);
}

RIG_FN void
b_priority(struct built *b)
{
	ether(b, 0x8100);
	put16(b, 0x6000);
	put16(b, 0x0800);
	b->l3 = ip4(b, 17, 0, 0);
	udp(b, 4);
	ip4_end(b, b->l3);
}

RIG_FN void
b_qinq(struct built *b)
{
	ether(b, 0x88a8);
	put16(b, 0x0064);
	put16(b, 0x8100);
	put16(b, 0x0005);
	put16(b, 0x86dd);
	b->l3 = ip6(b, 17);
	udp(b, 4);
	ip6_end(b, b->l3);
}

RIG_FN void
b_first4(struct built *b)
{
	ether(b, 0x0800);
	b->l3 = ip4(b, 17, 0x2000, 0);
	ports(b);
	put16(b, 0x0b07); /* of the whole datagram */
	zeros(b, 2 + 24);
	ip4_end(b, b->l3);
}

RIG_FN void
b_later4(struct built *b)
{
	ether(b, 0x0800);
	b->l3 = ip4(b, 17, 0x2004, 0);
	portful(b, 28); /* looks like ports, and is payload */
	ip4_end(b, b->l3);
}

RIG_FN void
b_last4(struct built *b)
{
	ether(b, 0x0800);
	b->l3 = ip4(b, 6, 0x0008, 0);
	zeros(b, 3);
	ip4_end(b, b->l3);
}

RIG_FN void
b_tcp6(struct built *b)
{
	ether(b, 0x86dd);
	b->l3 = ip6(b, 6);
	tcp(b, 12);
	ip6_end(b, b->l3);
}

RIG_FN void
b_udp6_all(struct built *b) /* every extension header */
{
	ether(b, 0x86dd);
	b->l3 = ip6(b, 0);
	ext6(b, 43, 8);
	ext6(b, 51, 24);
	ah(b, 60, 16);
	ext6(b, 44, 16);
	frag6(b, 17, 0); /* atomic */
	udp(b, 5);
	ip6_end(b, b->l3);
}

RIG_FN void
b_first6(struct built *b)
{
	ether(b, 0x86dd);
	b->l3 = ip6(b, 44);
	frag6(b, 60, 1);
	ext6(b, 17, 8);
	ports(b);
	put16(b, 3000);
	zeros(b, 2 + 16);
	ip6_end(b, b->l3);
}

RIG_FN void
b_later6(struct built *b)
{
	ether(b, 0x86dd);
	b->l3 = ip6(b, 44);
	frag6(b, 60, 8 << 3);
	portful(b, 12);
	ip6_end(b, b->l3);
}

RIG_FN void
b_portless6(struct built *b)
{
	ether(b, 0x86dd);
	b->l3 = ip6(b, 50);
	zeros(b, 9);
	ip6_end(b, b->l3);
}

RIG_FN void
b_nonext6(struct built *b)
{
	ether(b, 0x86dd);
	b->l3 = ip6(b, 59);
	ip6_end(b, b->l3);
}

RIG_FN void
b_echo4(struct built *b)
{
	ether(b, 0x0800);
	b->l3 = ip4(b, 1, 0, 0);
	put(b, "\x08", 1);
	zeros(b, 15);
	ip4_end(b, b->l3);
}

RIG_FN void
b_echo6(struct built *b)
{
	ether(b, 0x86dd);
	b->l3 = ip6(b, 58);
	put(b, "\x80", 1);
	zeros(b, 11);
	ip6_end(b, b->l3);
}

RIG_FN void
b_arp(struct built *b)
{
	ether(b, 0x0806);
	zeros(b, 46);
}

RIG_FN void
b_lldp(struct built *b)
{
	ether(b, 0x88cc);
	zeros(b, 46);
}

RIG_FN void
b_length(struct built *b) /* 802.3, LLC */
{
	ether(b, 46);
	zeros(b, 46);
}

#endif /* PARSE_FRAMES_H */
