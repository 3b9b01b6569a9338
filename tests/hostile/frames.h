/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frames.h: tuples and frames as the tests make them: two hosts on a wire, "we"
 * and "the peer". Needs nothing but the ABI, so that programs outside of the
 * switch use it too. All checks abort.
 */
#ifndef MS_FRAMES_H
#define MS_FRAMES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "multistack.h"

#define RIG_CHECK(x)                                                           \
	do {                                                                   \
		if (!(x)) {                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s\n",          \
				__FILE__, __LINE__, #x);                       \
			abort();                                               \
		}                                                              \
	} while (0)

#define RIG_FN static inline __attribute__((unused))
static const uint8_t rig_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t rig_peer_mac[6] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t rig_ip[4] = { 10, 0, 0, 1 };
static const uint8_t rig_peer_ip[4] = { 10, 0, 0, 2 };
static const uint8_t rig_ip6[16] = { 0xfd, [15] = 1 };
static const uint8_t rig_peer_ip6[16] = { 0xfd, [15] = 2 };

RIG_FN struct ms_tuple
rig_tuple4(const uint8_t addr[4], uint8_t proto, uint16_t port)
{
	struct ms_tuple t = { .family = 4, .proto = proto };

	t.port_be = htons(port);
	memcpy(t.addr, addr, 4);
	return t;
}

RIG_FN struct ms_tuple
rig_tuple6(const uint8_t addr[16], uint8_t proto, uint16_t port)
{
	struct ms_tuple t = { .family = 6, .proto = proto };

	t.port_be = htons(port);
	memcpy(t.addr, addr, 16);
	return t;
}

/* ---- frames ------------------------------------------------------------------ */

RIG_FN uint16_t
rig_sum(const uint8_t *p, uint32_t n)
{
	uint32_t sum = 0, i;

	for (i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum > 0xffff)
		sum = (sum >> 16) + (sum & 0xffff);
	return htons((uint16_t)~sum);
}

RIG_FN void
rig_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Computes the IPv4 header checksum of a frame without VLAN anew. */
RIG_FN void
rig_fix4(uint8_t *frame)
{
	uint16_t sum;

	rig_put16(frame + 24, 0);
	sum = rig_sum(frame + 14, (frame[14] & 15) * 4u);
	memcpy(frame + 24, &sum, 2);
}

RIG_FN void
rig_ether(uint8_t *p, bool inbound, uint16_t type)
{
	memcpy(p, inbound ? rig_mac : rig_peer_mac, 6);
	memcpy(p + 6, inbound ? rig_peer_mac : rig_mac, 6);
	rig_put16(p + 12, type);
}

/* Ethernet and IPv4 around n bytes of payload that the caller puts at 34. */
RIG_FN uint32_t
rig_ip4(uint8_t *p, bool inbound, const uint8_t src[4], const uint8_t dst[4],
	uint8_t proto, uint32_t n)
{
	rig_ether(p, inbound, 0x0800);
	memset(p + 14, 0, 20);
	p[14] = 0x45;
	rig_put16(p + 16, 20 + n);
	p[22] = 64;
	p[23] = proto;
	memcpy(p + 26, src, 4);
	memcpy(p + 30, dst, 4);
	rig_fix4(p);
	return 34 + n;
}

RIG_FN uint32_t
rig_ip6_hdr(uint8_t *p, bool inbound, const uint8_t src[16],
	    const uint8_t dst[16], uint8_t proto, uint32_t n)
{
	rig_ether(p, inbound, 0x86dd);
	memset(p + 14, 0, 8);
	p[14] = 0x60;
	rig_put16(p + 18, n);
	p[20] = proto;
	p[21] = 64;
	memcpy(p + 22, src, 16);
	memcpy(p + 38, dst, 16);
	return 54 + n;
}

RIG_FN void
rig_udp(uint8_t *p, uint16_t sport, uint16_t dport, const void *payload,
	uint32_t n)
{
	rig_put16(p, sport);
	rig_put16(p + 2, dport);
	rig_put16(p + 4, 8 + n);
	rig_put16(p + 6, 0);
	memcpy(p + 8, payload, n);
}

/* From the peer to port `dport` here. */
RIG_FN uint32_t
rig_udp_in(uint8_t *p, uint16_t sport, uint16_t dport, const void *payload,
	   uint32_t n)
{
	rig_udp(p + 34, sport, dport, payload, n);
	return rig_ip4(p, true, rig_peer_ip, rig_ip, IPPROTO_UDP, 8 + n);
}

/* From port `sport` here to the peer. */
RIG_FN uint32_t
rig_udp_out(uint8_t *p, uint16_t sport, uint16_t dport, const void *payload,
	    uint32_t n)
{
	rig_udp(p + 34, sport, dport, payload, n);
	return rig_ip4(p, false, rig_ip, rig_peer_ip, IPPROTO_UDP, 8 + n);
}

#endif /* MS_FRAMES_H */
