/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_txcheck.c: what a port may send, and where it goes. Looks at snapshots
 * only, never at the sender's memory.
 */
#include "ms_tx.h"

#define GSO_TCP_BYTES_MIN 48 /* of a segment; fewer is abuse of the host */
#define GSO_UDP_SEGS_MAX 128
#define CSUM_OFS_TCP 16
#define CSUM_OFS_UDP 6

/* ---- is it allowed ---------------------------------------------------------- */

/* IP that ms_parse() called bad: cut off, or wrong? */
static enum ms_counter
bad_reason(const struct ms_frame *f, const struct ms_pkt *pkt)
{
	uint32_t room = f->len - pkt->l3_ofs;
	const uint8_t *ip = f->data + pkt->l3_ofs;

	if (f->linear - pkt->l3_ofs < MS_IP4_BYTES)
		return MS_CTR_DROP_TX_SHORT;
	if (pkt->family == 4 && ms_be16(ip + 2) > room)
		return MS_CTR_DROP_TX_SHORT;
	if (pkt->family == 6 && MS_IP6_BYTES + (uint32_t)ms_be16(ip + 4) > room)
		return MS_CTR_DROP_TX_SHORT;
	return MS_CTR_DROP_TX_HEADER;
}

/* Whether a partial checksum is where the transport header has it. */
static bool
csum_sound(const struct ms_tx_view *v, const struct ms_meta *m,
	   const struct ms_pkt *pkt)
{
	uint16_t offset;

	if ((v->nic->features & MS_FEATURE_CSUM_TX) == 0 ||
	    pkt->kind != MS_PKT_TUPLE || pkt->first_fragment)
		return false;
	if (pkt->proto == MS_PROTO_TCP)
		offset = CSUM_OFS_TCP;
	else if (pkt->proto == MS_PROTO_UDP)
		offset = CSUM_OFS_UDP;
	else
		return false;
	return m->csum_start == pkt->l4_ofs && m->csum_offset == offset;
}

/* Segmentation: of what the interface can do, and of sound proportions. */
static enum ms_counter
gso_reason(const struct ms_tx_view *v, const struct ms_frame *f,
	   const struct ms_pkt *pkt)
{
	const struct ms_meta *m = &f->meta;
	bool udp = m->gso_type == MS_GSO_UDP;
	uint32_t l4 = pkt->l4_ofs;
	uint32_t hdr_end = l4 + 8;
	uint32_t payload;

	if ((m->flags & MS_SLOT_CSUM_PARTIAL) == 0 ||
	    (m->gso_type != MS_GSO_UDP &&
	     m->gso_type != (pkt->family == 4 ? MS_GSO_TCP4 : MS_GSO_TCP6)) ||
	    pkt->proto != (udp ? MS_PROTO_UDP : MS_PROTO_TCP) ||
	    (v->nic->features &
	     (udp ? MS_FEATURE_GSO_UDP : MS_FEATURE_GSO_TCP)) == 0)
		return MS_CTR_DROP_TX_OFFLOAD;
	if (!udp)
		hdr_end = l4 + (uint32_t)(f->data[l4 + 12] >> 4) * 4;
	if (pkt->ip_bytes != f->len - pkt->l3_ofs || m->gso_size == 0)
		return MS_CTR_DROP_TX_OFFLOAD;
	payload = f->len - hdr_end;
	if (udp && payload > (uint32_t)m->gso_size * GSO_UDP_SEGS_MAX)
		return MS_CTR_DROP_TX_OFFLOAD;
	if (!udp && m->gso_size < GSO_TCP_BYTES_MIN)
		return MS_CTR_DROP_TX_OFFLOAD;
	if (hdr_end - pkt->l3_ofs + m->gso_size > v->mtu)
		return MS_CTR_DROP_TX_LONG;
	return 0;
}

static enum ms_counter
offload_reason(const struct ms_tx_view *v, const struct ms_frame *f,
	       const struct ms_pkt *pkt)
{
	if ((f->meta.flags & MS_SLOT_CSUM_PARTIAL) != 0 &&
	    !csum_sound(v, &f->meta, pkt))
		return MS_CTR_DROP_TX_OFFLOAD;
	if (f->meta.gso_type != MS_GSO_NONE)
		return gso_reason(v, f, pkt);
	if (f->len - pkt->l3_ofs > v->mtu)
		return MS_CTR_DROP_TX_LONG;
	return 0;
}

static enum ms_counter
owner_reason(const struct ms_tx_view *v, uint64_t value)
{
	if (ms_likely(value == v->own))
		return 0;
	return value == 0 ? MS_CTR_DROP_TX_UNBOUND : MS_CTR_DROP_TX_FOREIGN;
}

/* Whether the packet comes from a tuple of this port. A later fragment gets
   its ports here. */
static enum ms_counter
source_reason(const struct ms_tx_view *v, struct ms_pkt *pkt)
{
	struct ms_fragtable *frags = v->nic->frags;
	struct ms_tuple tuple = { .family = pkt->family };
	enum ms_counter reason;

	if (pkt->kind == MS_PKT_ICMP || pkt->kind == MS_PKT_ICMP_ERROR)
		return MS_CTR_DROP_TX_UNBOUND;
	if (pkt->kind == MS_PKT_FRAGMENT &&
	    !ms_frag_find(frags, MS_DIR_SRC, pkt))
		return MS_CTR_DROP_TX_FRAGMENT;
	/* Who reassembles without RFC 5722 would take other ports from it. */
	if (pkt->deep_ports)
		return MS_CTR_DROP_TX_FRAGMENT;
	tuple.proto = pkt->proto;
	tuple.port_be = pkt->sport_be;
	memcpy(tuple.addr, pkt->saddr, pkt->family == 6 ? 16 : 4);
	reason = owner_reason(v, ms_table_value(v->table, &tuple));
	if (pkt->kind == MS_PKT_FRAGMENT && reason != 0)
		return MS_CTR_DROP_TX_FRAGMENT;
	if (pkt->first_fragment && reason == 0)
		ms_frag_note(frags, MS_DIR_SRC, pkt, true);
	return reason;
}

/* The rules, in the order in which they are told to the user. */
static enum ms_counter
refuse_any(const struct ms_tx_view *v, const struct ms_frame *f,
	   struct ms_pkt *pkt)
{
	enum ms_counter reason;

	if (f->linear < MS_ETHER_BYTES)
		return MS_CTR_DROP_TX_SHORT;
	ms_parse(f->data, f->linear, f->len, pkt);
	if (pkt->kind == MS_PKT_OTHER)
		return MS_CTR_DROP_TX_ETHER;
	if (!ms_mac_is(&v->mac, f->data + 6))
		return MS_CTR_DROP_TX_MAC;
	if (pkt->vlan != v->nic->vlan)
		return MS_CTR_DROP_TX_VLAN;
	if (pkt->kind == MS_PKT_BAD)
		return bad_reason(f, pkt);
	reason = offload_reason(v, f, pkt);
	if (reason != 0)
		return reason;
	return source_reason(v, pkt);
}

/* ---- where it goes ---------------------------------------------------------- */

static void
route_local(const struct ms_tx_view *v, struct ms_sent *s,
	    const struct ms_pkt *pkt)
{
	struct ms_tuple tuple = { .family = pkt->family,
				  .proto = pkt->proto,
				  .port_be = pkt->dport_be };
	uint64_t value;

	memcpy(tuple.addr, pkt->daddr, pkt->family == 6 ? 16 : 4);
	value = ms_table_value(v->table, &tuple);
	s->way = MS_WAY_HOST;
	if (value == 0)
		return;
	s->way = MS_WAY_LOCAL;
	s->ring = ms_flow_ring(v->sw, value, pkt, pkt->saddr, pkt->daddr);
}

void
ms_tx_decide(const struct ms_tx_view *v, const struct ms_frame *f,
	     struct ms_sent *s)
{
	struct ms_pkt pkt;

	s->reason = (uint8_t)refuse_any(v, f, &pkt);
	if (s->reason != 0)
		return;
	if (ms_table_addr_local(v->table, pkt.daddr, pkt.family))
		route_local(v, s, &pkt);
	else if (!ms_addr_allowed(pkt.saddr, pkt.family, v->nic->loopback))
		s->reason = MS_CTR_DROP_TX_HEADER;
	else
		s->way = MS_WAY_NIC;
}

/* The value of a plain frame's source or destination at addr. */
static inline uint64_t
plain_value(const struct ms_tx_view *v, uint64_t key, uint32_t hash,
	    const uint8_t *addr)
{
	uint64_t value = ms_gen_probe4(v->gen, key, hash);

	if (ms_unlikely(value == 0))
		value = ms_table_wild4(v->table, key, addr);
	return value;
}

/* To this host: the same as ms_tx_decide() would say. */
static void
route_plain(const struct ms_tx_view *v, const uint8_t *p, struct ms_sent *s)
{
	uint64_t value = plain_value(v, s->to_key, s->to_hash, p + 30);

	s->way = MS_WAY_HOST;
	if (value == 0)
		return;
	s->way = MS_WAY_LOCAL;
	s->ring = ms_flow_ring4(v->sw, value, p);
}

void
ms_tx_decide_plain(const struct ms_tx_view *v, const struct ms_frame *f,
		   struct ms_sent *s)
{
	const uint8_t *p = f->data;

	s->reason = (uint8_t)owner_reason(
	    v, plain_value(v, s->key, s->hash, p + 26));
	if (ms_unlikely(s->reason != 0))
		return;
	if (s->to_key != 0 && ms_table_addr_local(v->table, p + 30, 4))
		route_plain(v, p, s);
	else
		s->way = MS_WAY_NIC;
}
