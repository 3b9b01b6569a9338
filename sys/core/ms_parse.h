/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_parse.h: numbers of the wire, and the look at a frame that nearly every
 * frame needs no more than: Ethernet without VLAN, IPv4 without options and
 * fragments, TCP or UDP. What it does not accept goes to ms_parse().
 */
#ifndef MS_PARSE_H
#define MS_PARSE_H

#include "ms_core.h"

#define MS_ETHER_BYTES 14
#define MS_ETHERTYPE_IP4 0x0800
#define MS_ETHERTYPE_IP6 0x86dd
#define MS_ETHERTYPE_VLAN 0x8100
#define MS_ETHERTYPE_QINQ 0x88a8

#define MS_IP4_BYTES 20
#define MS_IP6_BYTES 40

#define MS_PROTO_HOPOPTS 0
#define MS_PROTO_ICMP 1
#define MS_PROTO_TCP 6
#define MS_PROTO_UDP 17
#define MS_PROTO_DCCP 33
#define MS_PROTO_ROUTING 43
#define MS_PROTO_FRAGMENT 44
#define MS_PROTO_AH 51
#define MS_PROTO_ICMP6 58
#define MS_PROTO_DSTOPTS 60
#define MS_PROTO_SCTP 132
#define MS_PROTO_UDPLITE 136

/* Ethernet, IPv4, TCP without options: the fast path asks for no less. */
#define MS_FAST_BYTES (MS_ETHER_BYTES + MS_IP4_BYTES + 20)

/* A word of the wire in the machine's own order: for comparing, and for sums,
   which come out the same in either order (RFC 1071). */
static inline uint16_t
ms_raw16(const uint8_t *p)
{
	uint16_t v;

	ms_move(&v, p, sizeof(v));
	return v;
}

static inline uint32_t
ms_raw32(const uint8_t *p)
{
	uint32_t v;

	ms_move(&v, p, sizeof(v));
	return v;
}

/* Whether the 20 bytes at p, of which some are not 0, carry a correct IPv4
   header checksum. */
static inline bool
ms_ip4_sum_ok(const uint8_t *p)
{
	uint64_t sum;

	/* To fold is to take the remainder by 2^16 - 1; that it is 0 costs a
	   multiplication. The sum is not 0: there is a version in it. */
	sum = (uint64_t)ms_raw32(p) + ms_raw32(p + 4) + ms_raw32(p + 8) +
	      ms_raw32(p + 12) + ms_raw32(p + 16);
	return sum % 0xffff == 0;
}

/* Neither multicast, nor broadcast, nor 0/8 ("this network", RFC 1122). */
static inline bool
ms_ip4_unicast(const uint8_t *addr)
{
	return (uint8_t)(addr[0] - 1) < 223;
}

/* ... and not of the loopback network, which no wire may carry. */
static inline bool
ms_ip4_ordinary(const uint8_t *addr)
{
	return ms_ip4_unicast(addr) && addr[0] != 127;
}

/* The same of either family; loopback: the interface may carry it. */
static inline bool
ms_addr_allowed(const uint8_t *addr, uint8_t family, bool loopback)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (family == 4)
		return loopback ? ms_ip4_unicast(addr) : ms_ip4_ordinary(addr);
	return addr[0] != 0xff && (loopback || memcmp(addr, one, 16) != 0);
}

/*
 * Whether the frame is of the plain kind and its headers are sound, as
 * ms_parse() would find it. Then the addresses are at p + 26 and p + 30, the
 * ports at p + 34 and p + 36, the protocol at p + 23.
 */
static inline bool
ms_parse_plain4(const uint8_t *p, uint32_t linear, uint32_t len)
{
	uint32_t ip_bytes, l4_bytes;

	if (ms_unlikely(linear < MS_FAST_BYTES))
		return false;
	if (ms_unlikely(ms_be32(p + 12) >> 8 != (MS_ETHERTYPE_IP4 << 8 | 0x45)))
		return false;
	ip_bytes = ms_be16(p + 16);
	if (ms_unlikely(!ms_ip4_sum_ok(p + 14) ||
			(ms_be16(p + 20) & 0x3fff) != 0 ||
			ip_bytes > len - MS_ETHER_BYTES))
		return false;
	if (p[23] == MS_PROTO_TCP) {
		l4_bytes = (uint32_t)(p[46] >> 4) * 4;
		return ms_likely(
		    l4_bytes >= 20 && MS_IP4_BYTES + l4_bytes <= ip_bytes &&
		    MS_ETHER_BYTES + MS_IP4_BYTES + l4_bytes <= linear);
	}
	if (p[23] == MS_PROTO_UDP) {
		l4_bytes = ms_be16(p + 38);
		return ms_likely(l4_bytes >= 8 &&
				 MS_IP4_BYTES + l4_bytes <= ip_bytes);
	}
	return false;
}

#endif /* MS_PARSE_H */
