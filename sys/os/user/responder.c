/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * responder.c: answers ARP (RFC 826), neighbour solicitations (RFC 4861) and
 * pings (RFC 792, RFC 4443).
 */
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>

#include "offload.h"
#include "responder.h"

#define ETH ETHER_HDR_LEN

static void
ether_reply(uint8_t *out, const uint8_t *in, const uint8_t mac[6])
{
	memcpy(out, in + 6, 6);
	memcpy(out + 6, mac, 6);
	memcpy(out + 12, in + 12, 2);
}

static uint32_t
arp_reply(const struct ms_private *ours, const uint8_t mac[6],
	  const uint8_t *in, uint32_t len, uint8_t *out)
{
	static const uint8_t request[8] = { 0, 1, 8, 0, 6, 4, 0, 1 };
	const uint8_t *arp = in + ETH;

	if (len < ETH + sizeof(struct ether_arp) ||
	    memcmp(arp, request, sizeof(request)) != 0 ||
	    !ms_private_has(ours, arp + 24, 4))
		return 0;
	ether_reply(out, in, mac);
	memcpy(out + ETH, request, sizeof(request));
	out[ETH + 7] = 2; /* reply */
	memcpy(out + ETH + 8, mac, 6);
	memcpy(out + ETH + 14, arp + 24, 4);
	memcpy(out + ETH + 18, arp + 8, 10);
	return ETH + sizeof(struct ether_arp);
}

static uint32_t
echo4_reply(const struct ms_private *ours, const uint8_t mac[6],
	    const uint8_t *in, uint32_t len, uint8_t *out)
{
	const uint8_t *ip = in + ETH;
	uint32_t bytes, hdr;
	uint8_t *o = out + ETH;

	if (len < ETH + 28 || ip[0] != 0x45 || ip[9] != IPPROTO_ICMP ||
	    (ms_be16(ip + 6) & 0x3fff) != 0 || ip[20] != ICMP_ECHO ||
	    !ms_private_has(ours, ip + 16, 4))
		return 0;
	hdr = 20;
	bytes = ms_be16(ip + 2);
	if (bytes < hdr + 8 || bytes > len - ETH ||
	    bytes + ETH > MS_REPLY_BYTES)
		return 0;
	ether_reply(out, in, mac);
	memcpy(o, ip, bytes);
	memcpy(o + 12, ip + 16, 4);
	memcpy(o + 16, ip + 12, 4);
	o[8] = 64;
	o[10] = o[11] = 0;
	ms_csum_put(o + 10, ms_csum_fold(ms_csum_add(0, o, hdr)));
	o[20] = ICMP_ECHOREPLY;
	o[22] = o[23] = 0;
	ms_csum_put(o + 22, ms_csum_fold(ms_csum_add(0, o + hdr, bytes - hdr)));
	return ETH + bytes;
}

/* Turns source and destination round and sums up an ICMPv6 message in place. */
static uint32_t
icmp6_finish(uint8_t *out, const uint8_t *src, const uint8_t *dst,
	     uint32_t bytes)
{
	uint8_t *o = out + ETH;
	uint64_t sum;

	o[0] = 0x60;
	o[1] = o[2] = o[3] = 0;
	o[4] = (uint8_t)(bytes >> 8);
	o[5] = (uint8_t)bytes;
	o[6] = IPPROTO_ICMPV6;
	o[7] = 255;
	memcpy(o + 8, src, 16);
	memcpy(o + 24, dst, 16);
	o[42] = o[43] = 0;
	sum = ms_csum_pseudo(o, 6, IPPROTO_ICMPV6, bytes);
	ms_csum_put(o + 42, ms_csum_fold(ms_csum_add(sum, o + 40, bytes)));
	return ETH + 40 + bytes;
}

static uint32_t
icmp6_reply(const struct ms_private *ours, const uint8_t mac[6],
	    const uint8_t *in, uint32_t len, uint8_t *out)
{
	static const uint8_t any[16];
	const uint8_t *ip = in + ETH, *icmp = ip + 40;
	uint32_t bytes;
	uint8_t *o = out + ETH + 40, addr[16];

	if (len < ETH + 48 || ip[0] >> 4 != 6 || ip[6] != IPPROTO_ICMPV6)
		return 0;
	bytes = ms_be16(ip + 4);
	if (bytes < 8 || bytes > len - ETH - 40 ||
	    bytes + 40 + ETH > MS_REPLY_BYTES)
		return 0;
	if (icmp[0] == ICMP6_ECHO_REQUEST && ms_private_has(ours, ip + 24, 6)) {
		memcpy(addr, ip + 24, 16);
		ether_reply(out, in, mac);
		memcpy(o, icmp, bytes);
		o[0] = ICMP6_ECHO_REPLY;
		return icmp6_finish(out, addr, ip + 8, bytes);
	}
	if (icmp[0] != ND_NEIGHBOR_SOLICIT || ip[7] != 255 || bytes < 24 ||
	    !ms_private_has(ours, icmp + 8, 6) || memcmp(ip + 8, any, 16) == 0)
		return 0;
	ether_reply(out, in, mac);
	memset(o, 0, 8);
	o[0] = ND_NEIGHBOR_ADVERT;
	o[4] = 0x60; /* solicited, override */
	memcpy(o + 8, icmp + 8, 16);
	o[24] = 2; /* target link-layer address */
	o[25] = 1;
	memcpy(o + 26, mac, 6);
	return icmp6_finish(out, o + 8, ip + 8, 32);
}

uint32_t
ms_respond(const struct ms_private *ours, const uint8_t mac[6],
	   const struct ms_frame *f, uint8_t *out)
{
	/* The frame is read-only and in one piece as far as we look. */
	switch (f->linear >= ETH ? ms_be16(f->data + 12) : 0) {
	case ETHERTYPE_ARP:
		return arp_reply(ours, mac, f->data, f->linear, out);
	case ETHERTYPE_IP:
		return echo4_reply(ours, mac, f->data, f->linear, out);
	case ETHERTYPE_IPV6:
		return icmp6_reply(ours, mac, f->data, f->linear, out);
	default:
		return 0;
	}
}
