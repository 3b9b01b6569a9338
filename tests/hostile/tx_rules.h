/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tx_rules.h: what a port may send, as tables: frames of a port that has bound
 * UDP and TCP 5001 (both families), SCTP 5001 and protocol 253, beside one that
 * has UDP 5002; and the counter that says what came of each.
 */
#ifndef MS_TX_RULES_H
#define MS_TX_RULES_H

#include "frames.h"

#define OK MS_CTR_TX_FRAMES

/* ---- frames ------------------------------------------------------------------ */

RIG_FN uint32_t
udp4(uint8_t *p)
{
	return rig_udp_out(p, 5001, 9, "0123456789abcdef", 16);
}

RIG_FN uint32_t
tcp4(uint8_t *p, uint32_t payload)
{
	memset(p + 34, 0, 20 + payload);
	rig_put16(p + 34, 5001);
	rig_put16(p + 36, 9);
	p[46] = 0x50;
	return rig_ip4(p, false, rig_ip, rig_peer_ip, IPPROTO_TCP,
		       20 + payload);
}

RIG_FN uint32_t
tcp6(uint8_t *p, uint32_t payload)
{
	memset(p + 54, 0, 20 + payload);
	rig_put16(p + 54, 5001);
	rig_put16(p + 56, 9);
	p[66] = 0x50;
	return rig_ip6_hdr(p, false, rig_ip6, rig_peer_ip6, IPPROTO_TCP,
			   20 + payload);
}

RIG_FN uint32_t
udp6(uint8_t *p)
{
	rig_udp(p + 54, 5001, 9, "x", 1);
	return rig_ip6_hdr(p, false, rig_ip6, rig_peer_ip6, IPPROTO_UDP, 9);
}

RIG_FN uint32_t
fragment(uint8_t *p, uint16_t id, uint16_t ofs_more, uint16_t sport)
{
	uint32_t len = rig_udp_out(p, sport, 9, "0123456789abcdef", 16);

	rig_put16(p + 38, 100);
	rig_put16(p + 18, id);
	rig_put16(p + 20, ofs_more);
	rig_fix4(p);
	return len;
}

/* ---- rules ------------------------------------------------------------------- */

/* One byte of a good UDP frame changed; the checksum is made right again. */
static const struct changed {
	const char *name;
	uint32_t at;
	uint8_t value;
	bool sum;
	enum ms_counter which;
} changed[] = {
	{ "destination MAC", 5, 77, true, OK },
	{ "source MAC, first byte", 6, 4, true, MS_CTR_DROP_TX_MAC },
	{ "source MAC, last byte", 11, 77, true, MS_CTR_DROP_TX_MAC },
	{ "ethertype", 13, 6, false, MS_CTR_DROP_TX_ETHER },
	{ "version", 14, 0x65, true, MS_CTR_DROP_TX_HEADER },
	{ "header length", 14, 0x44, false, MS_CTR_DROP_TX_HEADER },
	{ "total length", 17, 45, true, MS_CTR_DROP_TX_SHORT },
	{ "total length of 2^8 more", 16, 1, true, MS_CTR_DROP_TX_SHORT },
	{ "checksum", 24, 0x12, false, MS_CTR_DROP_TX_HEADER },
	{ "later fragment", 21, 1, true, MS_CTR_DROP_TX_FRAGMENT },
	{ "protocol", 23, 1, true, MS_CTR_DROP_TX_UNBOUND },
	{ "protocol, portless", 23, 254, true, MS_CTR_DROP_TX_UNBOUND },
	{ "source address", 29, 77, true, MS_CTR_DROP_TX_UNBOUND },
	{ "source port of nobody", 35, 0x8b, true, MS_CTR_DROP_TX_UNBOUND },
	{ "source port of another", 35, 0x8a, true, MS_CTR_DROP_TX_FOREIGN },
	{ "destination address", 33, 77, true, OK },
	{ "UDP length", 39, 7, true, MS_CTR_DROP_TX_HEADER },
	{ "UDP length past IP", 39, 25, true, MS_CTR_DROP_TX_HEADER },
};

struct offload {
	const char *name;
	uint8_t kind; /* 4 or 6: TCP; 17: UDP over IPv4; 132: SCTP */
	uint16_t payload;
	uint8_t gso_type;
	uint16_t gso_size;
	uint16_t csum_start, csum_offset; /* 0, 0: not partial */
	enum ms_counter which;
};

#define OFFLOAD MS_CTR_DROP_TX_OFFLOAD
static const struct offload offloads[] = {
	{ "partial TCP", 4, 10, 0, 0, 34, 16, OK },
	{ "partial TCP over IPv6", 6, 10, 0, 0, 54, 16, OK },
	{ "partial UDP", 17, 10, 0, 0, 34, 6, OK },
	{ "partial SCTP", 132, 10, 0, 0, 34, 8, OFFLOAD },
	{ "start one byte off", 4, 10, 0, 0, 35, 16, OFFLOAD },
	{ "start in the IP header", 4, 10, 0, 0, 14, 16, OFFLOAD },
	{ "start far away", 4, 10, 0, 0, 0xfff0, 16, OFFLOAD },
	{ "UDP's offset for TCP", 4, 10, 0, 0, 34, 6, OFFLOAD },
	{ "TCP's offset for UDP", 17, 10, 0, 0, 34, 16, OFFLOAD },
	{ "offset far away", 4, 10, 0, 0, 34, 0xffff, OFFLOAD },
	{ "GSO", 4, 1900, MS_GSO_TCP4, 1460, 34, 16, OK },
	{ "GSO over IPv6", 6, 1900, MS_GSO_TCP6, 1440, 54, 16, OK },
	{ "GSO of UDP", 17, 1900, MS_GSO_UDP, 1472, 34, 6, OK },
	{ "GSO of a short frame", 4, 10, MS_GSO_TCP4, 1460, 34, 16, OK },
	{ "GSO without partial sum", 4, 1900, MS_GSO_TCP4, 1460, 0, 0,
	  OFFLOAD },
	{ "GSO of the other family", 4, 1900, MS_GSO_TCP6, 1440, 34, 16,
	  OFFLOAD },
	{ "GSO of the other family", 6, 1900, MS_GSO_TCP4, 1440, 54, 16,
	  OFFLOAD },
	{ "GSO of TCP as UDP", 4, 1900, MS_GSO_UDP, 1440, 34, 16, OFFLOAD },
	{ "GSO of UDP as TCP", 17, 1900, MS_GSO_TCP4, 1440, 34, 6, OFFLOAD },
	{ "GSO type 2", 4, 1900, 2, 1440, 34, 16, OFFLOAD },
	{ "GSO type 255", 4, 1900, 255, 1440, 34, 16, OFFLOAD },
	{ "GSO by 0", 4, 1900, MS_GSO_TCP4, 0, 34, 16, OFFLOAD },
	{ "GSO by 1", 4, 1900, MS_GSO_TCP4, 1, 34, 16, OFFLOAD },
	{ "GSO of UDP by 1", 17, 1900, MS_GSO_UDP, 1, 34, 6, OFFLOAD },
	{ "segments over the MTU", 4, 1900, MS_GSO_TCP4, 1461, 34, 16,
	  MS_CTR_DROP_TX_LONG },
	{ "segments over the MTU", 17, 1900, MS_GSO_UDP, 1473, 34, 6,
	  MS_CTR_DROP_TX_LONG },
};

RIG_FN uint32_t
build_offload(uint8_t *frame, const struct offload *o)
{
	switch (o->kind) {
	case 4:
		return tcp4(frame, o->payload);
	case 6:
		return tcp6(frame, o->payload);
	case 17:
		memset(frame + 42, 0, o->payload);
		(void)rig_udp_out(frame, 5001, 9, "", 0);
		rig_put16(frame + 38, 8u + o->payload);
		return rig_ip4(frame, false, rig_ip, rig_peer_ip, IPPROTO_UDP,
			       8u + o->payload);
	default:
		memset(frame + 34, 0, 12 + o->payload);
		rig_put16(frame + 34, 5001);
		return rig_ip4(frame, false, rig_ip, rig_peer_ip, IPPROTO_SCTP,
			       12u + o->payload);
	}
}

#endif /* MS_TX_RULES_H */
