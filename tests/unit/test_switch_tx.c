/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_switch_tx.c: what a port may send: the rules, and the counter of each
 * refusal.
 */
#include "switch_tx_util.h"

/* ---- the rules ------------------------------------------------------------------ */

static void
test_own_tuples_may_send(void **state)
{
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = udp4(frame);
	send_expect(frame, len, OK);
	assert_memory_equal(rig.wire.kept[0].data, frame, len);
	send_expect(frame, tcp4(frame, 7), OK);
	send_expect(frame, tcp6(frame, 7), OK);
	send_expect(frame, udp6(frame), OK);
	memset(frame + 34, 0, 40);
	rig_put16(frame + 34, 5001);
	len = rig_ip4(frame, false, rig_ip, rig_peer_ip, IPPROTO_SCTP, 30);
	send_expect(frame, len, OK);
	len = rig_ip4(frame, false, rig_ip, rig_peer_ip, 253, 30);
	send_expect(frame, len, OK);
	assert_int_equal(rig.wire.frames, 6);
	assert_int_equal(counter(port, MS_CTR_TX_BYTES),
			 58 + 61 + 81 + 63 + 64 + 64);
}

/* One byte of a good UDP frame changed; the checksum is made right again. */
static const struct {
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

static void
test_every_rule_has_its_counter(void **state)
{
	uint8_t frame[256];
	uint32_t len;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(changed) / sizeof(changed[0]); i++) {
		print_message("  %s\n", changed[i].name);
		len = udp4(frame);
		frame[changed[i].at] = changed[i].value;
		if (changed[i].sum)
			rig_fix4(frame);
		send_expect(frame, len, changed[i].which);
	}
	assert_int_equal(rig.wire.frames, 2);
	assert_int_equal(rig.host.frames, 0);
}

static void
test_short_frames(void **state)
{
	uint8_t frame[256];
	uint32_t len, n;

	(void)state;
	len = udp4(frame);
	for (n = 1; n < len; n++)
		send_expect(frame, n, MS_CTR_DROP_TX_SHORT);
	len = tcp6(frame, 0);
	for (n = 1; n < len; n++)
		send_expect(frame, n, MS_CTR_DROP_TX_SHORT);
	send_expect(frame, len, OK);
}

static void
test_other_ip6_rules(void **state)
{
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = udp6(frame);
	frame[37] = 7; /* source address */
	send_expect(frame, len, MS_CTR_DROP_TX_UNBOUND);
	len = udp6(frame);
	frame[55] = 0x8b;
	send_expect(frame, len, MS_CTR_DROP_TX_UNBOUND);
	len = udp6(frame);
	frame[20] = 58;
	send_expect(frame, len, MS_CTR_DROP_TX_UNBOUND);
	len = udp6(frame);
	frame[14] = 0x40;
	send_expect(frame, len, MS_CTR_DROP_TX_HEADER);
	len = udp6(frame);
	frame[6] = 4;
	send_expect(frame, len, MS_CTR_DROP_TX_MAC);
}

static void
test_vlan_rules(void **state)
{
	uint8_t frame[256];
	uint32_t len = udp4(frame);

	(void)state;
	memmove(frame + 16, frame + 12, len - 12);
	rig_put16(frame + 12, 0x8100);
	rig_put16(frame + 14, 7);
	send_expect(frame, len + 4, MS_CTR_DROP_TX_VLAN);
	rig.nic->vlan = 7;
	send_expect(frame, len + 4, OK);
	len = udp4(frame);
	send_expect(frame, len, MS_CTR_DROP_TX_VLAN);
}

/* A wildcard lends the host's addresses, but for those claimed exactly. */
static void
test_wildcard_sources(void **state)
{
	static const uint8_t second[4] = { 10, 0, 0, 77 };
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	bind4(port, any4, IPPROTO_UDP, 5002);
	bind4(port, any4, IPPROTO_UDP, 5003);
	len = rig_udp_out(frame, 5003, 9, "0123456789abcdef", 16);
	send_expect(frame, len, OK);
	memcpy(frame + 26, second, 4);
	rig_fix4(frame);
	send_expect(frame, len, MS_CTR_DROP_TX_UNBOUND);
	ms_mutex_lock(&rig.sw->ctl_lock);
	assert_int_equal(ms_table_addr_add(rig.sw->table, second, 4), 0);
	ms_mutex_unlock(&rig.sw->ctl_lock);
	send_expect(frame, len, OK);
	memset(frame + 26, 0, 4);
	rig_fix4(frame);
	send_expect(frame, len, MS_CTR_DROP_TX_UNBOUND);
	len = rig_udp_out(frame, 5002, 9, "0123456789abcdef", 16);
	send_expect(frame, len, MS_CTR_DROP_TX_FOREIGN);
}

static void
test_mtu(void **state)
{
	static uint8_t frame[2048];
	uint32_t len;

	(void)state;
	len = tcp4(frame, 1460);
	send_expect(frame, len, OK);
	len = tcp4(frame, 1461);
	send_expect(frame, len, MS_CTR_DROP_TX_LONG);
	len = tcp6(frame, 1440);
	send_expect(frame, len, OK);
	len = tcp6(frame, 1441);
	send_expect(frame, len, MS_CTR_DROP_TX_LONG);
	ms_nic_changed(rig.nic, NULL, 1400);
	len = tcp4(frame, 1361);
	send_expect(frame, len, MS_CTR_DROP_TX_LONG);
}

/* ---- fragments ------------------------------------------------------------------- */

static uint32_t
fragment(uint8_t *p, uint16_t id, uint16_t ofs_more, uint16_t sport)
{
	uint32_t len = rig_udp_out(p, sport, 9, "0123456789abcdef", 16);

	rig_put16(p + 38, 100);
	rig_put16(p + 18, id);
	rig_put16(p + 20, ofs_more);
	rig_fix4(p);
	return len;
}

static void
test_fragments_follow_an_own_first_one(void **state)
{
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = fragment(frame, 7, 0x2003, 0);
	send_expect(frame, len, MS_CTR_DROP_TX_FRAGMENT);
	len = fragment(frame, 7, 0x2000, 5001);
	send_expect(frame, len, OK);
	len = fragment(frame, 7, 0x2003, 0);
	send_expect(frame, len, OK);
	len = fragment(frame, 7, 0x0006, 0);
	send_expect(frame, len, OK);
	len = fragment(frame, 8, 0x0006, 0);
	send_expect(frame, len, MS_CTR_DROP_TX_FRAGMENT);
	/* a refused first one opens nothing */
	len = fragment(frame, 9, 0x2000, 5002);
	send_expect(frame, len, MS_CTR_DROP_TX_FOREIGN);
	len = fragment(frame, 9, 0x0006, 0);
	send_expect(frame, len, MS_CTR_DROP_TX_FRAGMENT);
	/* nor does another port's */
	len = fragment(frame, 10, 0x2000, 5002);
	assert_int_equal(rig_send(&rig, other, frame, len), 0);
	assert_int_equal(counter(other, OK), 1);
	len = fragment(frame, 10, 0x0006, 0);
	send_expect(frame, len, MS_CTR_DROP_TX_FRAGMENT);
	/* what was received opens nothing either */
	len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);
	rig_put16(frame + 38, 100);
	rig_put16(frame + 20, 0x2000);
	rig_fix4(frame);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_TAKEN);
	len = fragment(frame, 0, 0x0006, 0);
	send_expect(frame, len, MS_CTR_DROP_TX_FRAGMENT);
}

/* ---- offloads ----------------------------------------------------------------------- */

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

static uint32_t
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

static void
send_offload(const struct offload *o, enum ms_counter which)
{
	static uint8_t frame[2048];
	uint32_t len = build_offload(frame, o);
	struct ms_slot *slot = next_slot();

	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	slot->gso_type = o->gso_type;
	slot->gso_size = o->gso_size;
	slot->csum_start = o->csum_start;
	slot->csum_offset = o->csum_offset;
	if (o->csum_start != 0)
		slot->flags = MS_SLOT_CSUM_PARTIAL;
	expect(which);
}

static void
test_offload_metadata(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++) {
		print_message("  %s\n", offloads[i].name);
		send_offload(&offloads[i], offloads[i].which);
	}
}

static void
test_offloads_that_the_interface_lacks(void **state)
{
	size_t i;

	(void)state;
	rig.nic->features = MS_FEATURE_HOST;
	for (i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++)
		if (offloads[i].which == OK)
			send_offload(&offloads[i], OFFLOAD);
	rig.nic->features = MS_FEATURE_HOST | MS_FEATURE_CSUM_TX;
	for (i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++)
		if (offloads[i].which == OK)
			send_offload(&offloads[i],
				     offloads[i].gso_type != 0 ? OFFLOAD : OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_own_tuples_may_send),
		TEST(test_every_rule_has_its_counter),
		TEST(test_short_frames),
		TEST(test_other_ip6_rules),
		TEST(test_vlan_rules),
		TEST(test_wildcard_sources),
		TEST(test_mtu),
		TEST(test_fragments_follow_an_own_first_one),
		TEST(test_offload_metadata),
		TEST(test_offloads_that_the_interface_lacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
