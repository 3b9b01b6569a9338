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
