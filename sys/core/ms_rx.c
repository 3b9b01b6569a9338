/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_rx.c: from an interface to the ports. A batch goes through in stages, so
 * that the memory each stage needs is on its way while the others are worked
 * on: parse and hash, look up, sort by destination, copy.
 */
#include "ms_batch.h"

#define FETCH 8 /* frames whose first bytes are fetched early */

/* What does not change during a batch, in registers. */
struct rx_view {
	const struct ms_switch *sw;
	const struct ms_table *table;
	const struct ms_gen *gen;
	struct ms_nic *nic;
	struct ms_mac mac;
	bool untagged;
};

/* To one receiver, and not from or to loopback addresses over a wire. */
static bool
addrs_allowed(const struct rx_view *v, const struct ms_pkt *pkt)
{
	static const uint8_t none[16];
	bool lo = v->nic->loopback;

	if (!ms_addr_allowed(pkt->daddr, pkt->family, lo))
		return false;
	return ms_addr_allowed(pkt->saddr, pkt->family, lo) ||
	       memcmp(pkt->saddr, none, pkt->family == 6 ? 16 : 4) == 0;
}

/* The ring for packets to (daddr, proto, dport), or NULL if unclaimed. */
static struct ms_kring *
claimed_ring(const struct rx_view *v, const struct ms_pkt *pkt)
{
	struct ms_tuple tuple = { .proto = pkt->proto,
				  .family = pkt->family,
				  .port_be = pkt->dport_be };
	uint64_t value;

	memcpy(tuple.addr, pkt->daddr, pkt->family == 6 ? 16 : 4);
	value = ms_table_value(v->table, &tuple);
	if (value == 0)
		return NULL;
	return ms_flow_ring(v->sw, value, pkt, pkt->saddr, pkt->daddr);
}

/* An error goes where the answers to the packet inside would go. */
static struct ms_kring *
icmp_error_ring(const struct rx_view *v, const struct ms_pkt *pkt)
{
	uint64_t value = ms_table_value(v->table, &pkt->inner);
	struct ms_pkt answer = *pkt;

	if (value == 0)
		return NULL;
	answer.proto = pkt->inner.proto;
	return ms_flow_ring(v->sw, value, &answer, pkt->peer, pkt->inner.addr);
}

/* Any frame that is not plain: the ring it goes to, or NULL for the host. */
static struct ms_kring *
rx_any(const struct rx_view *v, const struct ms_frame *f)
{
	struct ms_kring *ring = NULL;
	struct ms_pkt pkt;

	if (f->linear < MS_ETHER_BYTES || !ms_mac_is(&v->mac, f->data))
		return NULL;
	ms_parse(f->data, f->linear, f->len, &pkt);
	if (pkt.kind == MS_PKT_OTHER || pkt.kind == MS_PKT_BAD ||
	    pkt.vlan != v->nic->vlan || !addrs_allowed(v, &pkt))
		return NULL;
	switch (pkt.kind) {
	case MS_PKT_FRAGMENT:
		if (ms_frag_find(v->nic->frags, MS_DIR_DST, &pkt))
			ring = claimed_ring(v, &pkt);
		break;
	case MS_PKT_ICMP_ERROR:
		ring = icmp_error_ring(v, &pkt);
		break;
	case MS_PKT_TUPLE:
	case MS_PKT_PORTLESS:
		ring = claimed_ring(v, &pkt);
		if (pkt.first_fragment)
			ms_frag_note(v->nic->frags, MS_DIR_DST, &pkt,
				     ring != NULL);
		break;
	default:
		break;
	}
	return ring;
}

/* Stage 1: parses, and asks for the table's line. Frames that are not plain
   are decided at once. */
static void
rx_parse(const struct rx_view *v, struct ms_rx_batch *b,
	 const struct ms_frame *frames, uint32_t n)
{
	/* Copies that no store to b can change, for the compiler's sake. */
	const uint64_t k[3] = { v->table->key4[0], v->table->key4[1],
				v->table->key4[2] };
	const struct ms_gen *gen = v->gen;
	const struct ms_mac mac = v->mac;
	const uint32_t shift = gen->shift;
	const bool untagged = v->untagged;
	const struct ms_frame *f;
	const uint8_t *p;
	uint32_t i, hash;
	uint64_t key;

	for (i = 0; i < n; i++) {
		f = &frames[i];
		p = f->data;
		if (ms_likely(i + FETCH < n))
			ms_prefetch(frames[i + FETCH].data);
		if (ms_likely(ms_parse_plain4(p, f->linear, f->len) &&
			      untagged && ms_mac_is(&mac, p) &&
			      ms_ip4_ordinary(p + 26) &&
			      ms_ip4_ordinary(p + 30))) {
			key = ms_key4(ms_raw32(p + 30), ms_raw16(p + 36),
				      p[23]);
			hash = ms_hash2(k, key);
			b->key[i] = key;
			b->hash[i] = hash;
			ms_prefetch(&gen->bucket[hash >> shift]);
		} else {
			b->key[i] = 0;
			b->ring[i] = rx_any(v, f);
		}
	}
}

/* Stage 2: looks up, decides, sorts. Returns how many stay with the host. */
static uint32_t
rx_lookup(const struct rx_view *v, struct ms_rx_batch *b,
	  struct ms_frame *frames, uint32_t n)
{
	struct ms_kring *ring;
	uint64_t value;
	uint32_t host = 0;
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (ms_likely(b->key[i] != 0)) {
			value = ms_gen_probe4(v->gen, b->key[i], b->hash[i]);
			if (value == 0)
				value = ms_table_wild4(v->table, b->key[i],
						       frames[i].data + 30);
			ring = ms_flow_ring4(v->sw, value, frames[i].data);
		} else {
			ring = b->ring[i];
		}
		if (ring == NULL) {
			frames[i].verdict = MS_VERDICT_HOST;
			host++;
			continue;
		}
		frames[i].verdict = MS_VERDICT_TAKEN;
		ms_deliver_add(&b->deliver, i, frames[i].len, ring);
	}
	return host;
}

static void
rx_tap(const struct ms_tap *tap, const struct ms_frame *frames, uint32_t n,
       uint64_t *counter)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		ms_tap_frame(tap, &frames[i], MS_SLOT_TAP_RX, counter);
}

/* Read section. */
static inline void
view_init(struct rx_view *v, struct ms_nic *nic)
{
	v->sw = nic->sw;
	v->table = nic->sw->table;
	v->gen = ms_os_load_acquire(&v->table->gen[0]);
	v->nic = nic;
	v->mac = ms_nic_mac(nic);
	v->untagged = nic->vlan == 0;
}

bool
ms_nic_claims(struct ms_nic *nic, const struct ms_frame *f)
{
	struct rx_view v;
	struct ms_read r;
	bool claimed;

	ms_os_read_enter(&r);
	view_init(&v, nic);
	claimed = rx_any(&v, f) != NULL;
	ms_os_read_exit(&r);
	return claimed;
}

/* As ms_nic_unclaimed(). */
static inline bool
number_unclaimed(const struct ms_nic *nic, const uint8_t *p, uint32_t bytes)
{
	uint32_t proto, ports;

	if (ms_likely(bytes >= 38 &&
		      ms_be32(p + 12) >> 8 == (MS_ETHERTYPE_IP4 << 8 | 0x45) &&
		      (ms_be16(p + 20) & 0x3fff) == 0)) {
		proto = p[23];
		ports = 34;
	} else if (bytes >= 58 && ms_be16(p + 12) == MS_ETHERTYPE_IP6) {
		proto = p[20];
		ports = 54;
	} else {
		return false;
	}
	return (proto == MS_PROTO_TCP || proto == MS_PROTO_UDP) &&
	       ms_table_number_free(nic->sw->table, proto == MS_PROTO_UDP,
				    ms_raw16(p + ports + 2));
}

bool
ms_nic_unclaimed(struct ms_nic *nic, const uint8_t *p, uint32_t bytes)
{
	return number_unclaimed(nic, p, bytes);
}

bool
ms_nic_passes(struct ms_nic *nic, unsigned int q, const uint8_t *p,
	      uint32_t bytes)
{
	uint64_t *counter = nic->batch[q]->rx.counter;

	if (!number_unclaimed(nic, p, bytes) ||
	    ms_os_load_once(&nic->tap) != NULL ||
	    (nic->features & MS_FEATURE_HOST) == 0)
		return false;
	ms_ctr_add(&counter[MS_CTR_RX_SEEN], 1);
	ms_ctr_add(&counter[MS_CTR_RX_HOST], 1);
	return true;
}

/* As ms_mac_is(), where there is but one frame to compare with. */
static inline bool
nic_mac_is(const struct ms_nic *nic, const uint8_t *p)
{
	uint8_t diff = 0;
	unsigned int i;

	for (i = 0; i < 6; i++)
		diff |= ms_os_load_once(&nic->mac[i]) ^ p[i];
	return diff == 0;
}

/*
 * A frame that comes alone, if nothing about it is uncommon: there is nothing
 * to sort and nothing to do meanwhile. False: all is as it was. Read section.
 */
static bool
input_one(struct ms_nic *nic, uint64_t *counter, struct ms_frame *f)
{
	const struct ms_table *table = nic->sw->table;
	const uint8_t *p = f->data;
	const struct ms_gen *gen;
	struct ms_kring *ring;
	uint64_t key, value;

	if (ms_unlikely(!ms_parse_plain4(p, f->linear, f->len) ||
			!nic_mac_is(nic, p) || nic->vlan != 0 ||
			!ms_ip4_ordinary(p + 26) || !ms_ip4_ordinary(p + 30) ||
			ms_os_load_once(&nic->tap) != NULL))
		return false;
	gen = ms_os_load_acquire(&table->gen[0]);
	key = ms_key4(ms_raw32(p + 30), ms_raw16(p + 36), p[23]);
	value = ms_gen_probe4(gen, key, ms_table_hash4(table, key));
	if (value == 0)
		value = ms_table_wild4(table, key, p + 30);
	ring = ms_flow_ring4(nic->sw, value, p);
	if (ring == NULL) {
		if ((nic->features & MS_FEATURE_HOST) == 0)
			return false;
		f->verdict = MS_VERDICT_HOST;
		ms_ctr_add(&counter[MS_CTR_RX_HOST], 1);
	} else {
		if (!ms_ring_put_one(ring, f, counter))
			return false;
		f->verdict = MS_VERDICT_TAKEN;
	}
	ms_ctr_add(&counter[MS_CTR_RX_SEEN], 1);
	return true;
}

void
ms_nic_input(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	     uint32_t n)
{
	struct ms_rx_batch *b = &nic->batch[q]->rx;
	const struct ms_tap *tap;
	struct rx_view v;
	struct ms_read r;
	uint32_t host;

	ms_os_read_enter(&r);
	if (b->ahead.at < b->ahead.num)
		ms_ahead_step(&b->ahead, nic->sw);
	if (n == 1 && ms_likely(input_one(nic, b->counter, frames))) {
		ms_os_read_exit(&r);
		return;
	}
	view_init(&v, nic);
	b->deliver.frames = frames;
	b->deliver.counter = b->counter;

	rx_parse(&v, b, frames, n);
	host = rx_lookup(&v, b, frames, n);
	tap = ms_os_load_acquire(&nic->tap);
	if (ms_unlikely(tap != NULL))
		rx_tap(tap, frames, n, b->counter);
	ms_deliver_run(&b->deliver);
	ms_os_read_exit(&r);

	ms_ctr_add(&b->counter[MS_CTR_RX_SEEN], n);
	if ((nic->features & MS_FEATURE_HOST) != 0)
		ms_ctr_add(&b->counter[MS_CTR_RX_HOST], host);
	else
		ms_ctr_add(&b->counter[MS_CTR_DROP_RX_NOHOST], host);
}
