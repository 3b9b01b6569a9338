/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_switch_rx.c: what an interface's frames meet: who gets which, what is
 * left to the host, and which ring of a port.
 */
#include "switch_rx_util.h"

/* ---- the host's share -------------------------------------------------------- */

static void
test_unclaimed_frames_are_left(void **state)
{
	static const uint8_t other[4] = { 10, 0, 0, 3 };
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = rig_udp_in(frame, 9, 5002, "x", 1);
	left(frame, len);
	rig_udp(frame + 34, 9, 5001, "x", 1);
	len = rig_ip4(frame, true, rig_peer_ip, other, IPPROTO_UDP, 9);
	left(frame, len);
	frame[46] = 0x50;
	len = rig_ip4(frame, true, rig_peer_ip, rig_ip, IPPROTO_TCP, 20);
	left(frame, len);
	len = udp6_in(frame, 9, 5002);
	left(frame, len);
	memset(frame + 34, 0, 20);
	len = rig_ip4(frame, true, rig_peer_ip, rig_ip, IPPROTO_ICMP, 16);
	frame[34] = 8; /* echo */
	left(frame, len);
	rig_ether(frame, true, 0x0806);
	left(frame, 60);
	left(frame, 13);
	left(frame, 0);
	assert_int_equal(nic_counter(MS_CTR_RX_SEEN), 8);
}

static void
test_other_macs_are_left(void **state)
{
	static const uint8_t macs[][6] = {
		{ 2, 0, 0, 0, 0, 9 },
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		{ 1, 0, 0x5e, 0, 0, 1 },
		{ 2, 0, 0, 0, 1, 1 },
	};
	uint8_t frame[256];
	uint32_t len, i;

	(void)state;
	for (i = 0; i < sizeof(macs) / sizeof(macs[0]); i++) {
		len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);
		(void)taken(frame, len);
		memcpy(frame, macs[i], 6);
		left(frame, len);
		len = udp6_in(frame, 9, 5001);
		(void)taken(frame, len);
		memcpy(frame, macs[i], 6);
		left(frame, len);
	}
}

static void
test_addresses_that_are_nobodys(void **state)
{
	static const uint8_t dst[][4] = { { 224, 0, 0, 1 },
					  { 255, 255, 255, 255 },
					  { 0, 0, 0, 0 },
					  { 127, 0, 0, 1 },
					  { 240, 0, 0, 1 } };
	static const uint8_t src[][4] = { { 127, 0, 0, 1 },
					  { 224, 0, 0, 1 },
					  { 255, 255, 255, 255 } };
	static const uint8_t any[4];
	uint8_t frame[256];
	uint32_t len, i;

	(void)state;
	assert_int_equal(
	    rig_bind(&rig, &rig_root, port, rig_tuple4(any, IPPROTO_UDP, 5003)),
	    0);
	rig_udp(frame + 34, 9, 5003, "0123456789abcdef", 16);
	len = rig_ip4(frame, true, rig_peer_ip, rig_ip, IPPROTO_UDP, 24);
	(void)taken(frame, len);
	for (i = 0; i < sizeof(dst) / sizeof(dst[0]); i++) {
		(void)rig_ip4(frame, true, rig_peer_ip, dst[i], IPPROTO_UDP,
			      24);
		left(frame, len);
	}
	for (i = 0; i < sizeof(src) / sizeof(src[0]); i++) {
		(void)rig_ip4(frame, true, src[i], rig_ip, IPPROTO_UDP, 24);
		left(frame, len);
	}
}

static void
test_ip6_addresses_that_are_nobodys(void **state)
{
	static const uint8_t all[16] = { 0xff, 2, [15] = 1 }, none[16];
	static const uint8_t lo[16] = { [15] = 1 };
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	assert_int_equal(rig_bind(&rig, &rig_root, port,
				  rig_tuple6(none, IPPROTO_UDP, 5003)),
			 0);
	len = udp6_in(frame, 9, 5003);
	(void)taken(frame, len);
	memcpy(frame + 38, all, 16);
	left(frame, len);
	memcpy(frame + 38, none, 16);
	left(frame, len);
	memcpy(frame + 38, lo, 16);
	left(frame, len);
	memcpy(frame + 38, rig_ip6, 16);
	memcpy(frame + 22, lo, 16);
	left(frame, len);
}

static uint32_t
add_vlan(uint8_t *frame, uint32_t len, uint16_t tag)
{
	memmove(frame + 16, frame + 12, len - 12);
	rig_put16(frame + 12, 0x8100);
	rig_put16(frame + 14, tag);
	return len + 4;
}

static void
test_vlans(void **state)
{
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);
	len = add_vlan(frame, len, 7);
	left(frame, len);
	rig_put16(frame + 14, 0xe000); /* priority only */
	(void)taken(frame, len);
	rig.nic->vlan = 7;
	left(frame, len);
	rig_put16(frame + 14, 0x2007);
	(void)taken(frame, len);
	len = add_vlan(frame, len, 7); /* stacked */
	left(frame, len);
	len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);
	left(frame, len); /* untagged is not VLAN 7 */
}

static void
test_loopback_asks_for_no_mac(void **state)
{
	static const uint8_t lo[4] = { 127, 0, 0, 1 };
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	assert_int_equal(
	    rig_bind(&rig, &rig_root, port, rig_tuple4(lo, IPPROTO_UDP, 5001)),
	    0);
	rig_udp(frame + 34, 9, 5001, "0123456789abcdef", 16);
	len = rig_ip4(frame, true, lo, lo, IPPROTO_UDP, 24);
	memset(frame, 0, 12);
	left(frame, len);
	rig.nic->loopback = true;
	(void)taken(frame, len);
}

static void
test_no_way_to_the_host(void **state)
{
	uint8_t frame[64] = { 0 };

	(void)state;
	rig.nic->features &= ~MS_FEATURE_HOST;
	assert_int_equal(rig_input(&rig, 0, frame, 60), MS_VERDICT_HOST);
	assert_int_equal(nic_counter(MS_CTR_RX_HOST), 0);
	assert_int_equal(nic_counter(MS_CTR_DROP_RX_NOHOST), 1);
}

/* ---- batches ----------------------------------------------------------------------- */

#define MANY 40

/* A full batch for many ports, plain and not, among frames for the host. */
static void
test_batch_is_sorted_by_port(void **state)
{
	static uint8_t data[MS_BATCH_MAX][256], out[256];
	static struct ms_frame f[MS_BATCH_MAX];
	struct ms_port *ports[MANY];
	uint32_t i, n, len, seq[MANY] = { 0 };

	(void)state;
	for (i = 0; i < MANY; i++) {
		assert_int_equal(
		    rig_port_sized(&rig, &rig_root, 1, 1, 64, &ports[i]), 0);
		assert_int_equal(rig_bind(&rig, &rig_root, ports[i],
					  rig_tuple4(rig_ip, IPPROTO_UDP,
						     (uint16_t)(6000 + i))),
				 0);
	}
	for (i = 0; i < MS_BATCH_MAX; i++) {
		uint32_t pay[4] = { i };

		/* every 41st to nobody, every 7th with a priority tag */
		n = i * 17 % (MANY + 1);
		len = rig_udp_in(data[i], 9, (uint16_t)(6000 + n), pay, 16);
		if (i % 7 == 0)
			len = add_vlan(data[i], len, 0x2000);
		f[i].data = data[i];
		f[i].linear = f[i].len = len;
	}
	ms_nic_input(rig.nic, 0, f, MS_BATCH_MAX);
	for (i = 0; i < MS_BATCH_MAX; i++) {
		n = i * 17 % (MANY + 1);
		if (n == MANY) {
			assert_int_equal(f[i].verdict, MS_VERDICT_HOST);
			continue;
		}
		assert_int_equal(f[i].verdict, MS_VERDICT_TAKEN);
		assert_int_equal(rig_rx(ports[n], 0, out, sizeof(out)),
				 f[i].len);
		assert_memory_equal(out, data[i], f[i].len);
		seq[n]++;
	}
	for (i = 0; i < MANY; i++) {
		assert_int_equal(rig_rx(ports[i], 0, out, sizeof(out)), 0);
		assert_int_equal(rig_counter(&rig, ports[i], MS_CTR_RX_FRAMES),
				 seq[i]);
	}
	/* the scratch was left clean */
	ms_nic_input(rig.nic, 0, f, 1);
	assert_int_equal(rig_rx(ports[0], 0, out, sizeof(out)), f[0].len);
}

/* ---- which ring ---------------------------------------------------------------------- */

static void
test_flows_spread_and_stay(void **state)
{
	uint32_t count[RINGS] = { 0 };
	int where[512];
	uint8_t frame[256];
	uint32_t i, len, round;

	(void)state;
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 512; i++) {
			len = rig_udp_in(frame, (uint16_t)(1000 + i), 5001,
					 "0123456789abcdef", 16);
			if (round == 0) {
				where[i] = taken(frame, len);
				count[where[i]]++;
			} else {
				assert_int_equal(taken(frame, len), where[i]);
			}
		}
	}
	for (i = 0; i < RINGS; i++)
		assert_in_range(count[i], 512 / RINGS / 4, 512 / RINGS * 4);
}

/* However a flow's packet looks, it goes to the flow's ring. */
static void
test_all_shapes_of_a_flow_meet(void **state)
{
	uint8_t frame[256], tagged[256], opts[256], err[256];
	uint32_t i, len, n;
	int ring;

	(void)state;
	for (i = 0; i < 32; i++) {
		len = rig_udp_in(frame, (uint16_t)(1000 + i), 5001,
				 "0123456789abcdef", 16);
		ring = taken(frame, len);
		/* tagged: not plain */
		memcpy(tagged, frame, len);
		n = add_vlan(tagged, len, 0x2000);
		assert_int_equal(taken(tagged, n), ring);
		/* with IP options */
		memcpy(opts, frame, 34);
		memset(opts + 34, 1, 4);
		memcpy(opts + 38, frame + 34, len - 34);
		opts[14] = 0x46;
		rig_put16(opts + 16, len - 14 + 4);
		rig_fix4(opts);
		assert_int_equal(taken(opts, len + 4), ring);
		/* an error about our answer */
		memset(err + 34, 0, 8);
		err[34] = 3;
		rig_udp(err + 62, 5001, (uint16_t)(1000 + i), "", 0);
		(void)rig_ip4(err + 28, false, rig_ip, rig_peer_ip, IPPROTO_UDP,
			      8);
		err[34] = 3;
		memset(err + 35, 0, 7);
		n = rig_ip4(err, true, rig_peer_ip, rig_ip, IPPROTO_ICMP,
			    8 + 28);
		assert_int_equal(taken(err, n), ring);
	}
}

static void
test_flows_of_ip6(void **state)
{
	uint32_t count[RINGS] = { 0 };
	uint8_t frame[256], err[256];
	uint32_t i, len, n;
	int ring;

	(void)state;
	for (i = 0; i < 256; i++) {
		len = udp6_in(frame, (uint16_t)(1000 + i), 5001);
		ring = taken(frame, len);
		count[ring]++;
		rig_udp(err + 54 + 8 + 40, 5001, (uint16_t)(1000 + i), "", 0);
		(void)rig_ip6_hdr(err + 48, false, rig_ip6, rig_peer_ip6,
				  IPPROTO_UDP, 8);
		memset(err + 54, 0, 8);
		err[54] = 1;
		n = rig_ip6_hdr(err, true, rig_peer_ip6, rig_ip6, 58, 56);
		assert_int_equal(taken(err, n), ring);
	}
	for (i = 0; i < RINGS; i++)
		assert_in_range(count[i], 256 / RINGS / 5, 256 / RINGS * 5);
}

/* ---- ICMP errors -------------------------------------------------------------------------- */

static void
test_icmp_error_about_others_is_left(void **state)
{
	uint8_t err[256];
	uint32_t len;

	(void)state;
	rig_udp(err + 62, 5002, 9, "", 0);
	(void)rig_ip4(err + 28, false, rig_ip, rig_peer_ip, IPPROTO_UDP, 8);
	memset(err + 34, 0, 8);
	err[34] = 3;
	len = rig_ip4(err, true, rig_peer_ip, rig_ip, IPPROTO_ICMP, 36);
	left(err, len);
}

/* ---- whole protocols -------------------------------------------------------------------------- */

static void
test_protocol_without_ports(void **state)
{
	uint8_t frame[256] = { 0 };
	uint32_t len;

	(void)state;
	len = rig_ip4(frame, true, rig_peer_ip, rig_ip, 253, 20);
	left(frame, len);
	assert_int_equal(
	    rig_bind(&rig, &rig_root, port, rig_tuple4(rig_ip, 253, 0)), 0);
	(void)taken(frame, len);
}

/* ---- without a frame ------------------------------------------------------------ */

static bool
passes(const uint8_t *frame, uint32_t bytes)
{
	return ms_nic_passes(rig.nic, 0, frame, bytes);
}

static void
test_numbers_nobody_claims_pass_at_a_glance(void **state)
{
	uint64_t seen = nic_counter(MS_CTR_RX_SEEN);
	uint64_t host = nic_counter(MS_CTR_RX_HOST);
	struct ms_tuple t;
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = rig_udp_in(frame, 9, 5002, "x", 1);
	assert_true(passes(frame, len));
	assert_true(passes(frame, 38)); /* all that it looks at */
	assert_false(passes(frame, 37));
	assert_int_equal(nic_counter(MS_CTR_RX_SEEN), seen + 2);
	assert_int_equal(nic_counter(MS_CTR_RX_HOST), host + 2);
	/* claimed, of any address and family */
	len = rig_udp_in(frame, 9, 5001, "x", 1);
	assert_false(passes(frame, len));
	len = udp6_in(frame, 9, 5001);
	assert_false(passes(frame, len));
	len = udp6_in(frame, 9, 5002);
	assert_true(passes(frame, len));
	/* the number is TCP's own */
	len = rig_udp_in(frame, 9, 5001, "x", 1);
	frame[23] = IPPROTO_TCP;
	assert_true(passes(frame, len));
	/* what a glance does not tell */
	len = rig_udp_in(frame, 9, 5002, "x", 1);
	frame[23] = IPPROTO_ICMP;
	assert_false(passes(frame, len));
	frame[23] = IPPROTO_UDP;
	frame[20] = 0x20; /* more fragments */
	assert_false(passes(frame, len));
	frame[20] = 0;
	frame[14] = 0x46; /* options */
	assert_false(passes(frame, len));
	frame[14] = 0x45;
	/* until it is claimed, and again when it is not */
	t = rig_tuple6(rig_ip6, IPPROTO_UDP, 5002);
	assert_int_equal(rig_bind(&rig, &rig_root, port, t), 0);
	assert_false(passes(frame, len));
	assert_int_equal(rig_unbind(&rig, &rig_root, port, t), 0);
	assert_true(passes(frame, len));
}

static void
test_claims_are_told_without_a_frame(void **state)
{
	uint64_t seen = nic_counter(MS_CTR_RX_SEEN);
	struct ms_frame f = { 0 };
	uint8_t frame[256];

	(void)state;
	f.data = frame;
	f.len = f.linear = rig_udp_in(frame, 9, 5001, "x", 1);
	assert_true(ms_nic_claims(rig.nic, &f));
	f.len = f.linear = udp6_in(frame, 9, 5001);
	assert_true(ms_nic_claims(rig.nic, &f));
	f.len = 3000; /* of which we see the headers */
	assert_true(ms_nic_claims(rig.nic, &f));
	f.len = f.linear = rig_udp_in(frame, 9, 5002, "x", 1);
	assert_false(ms_nic_claims(rig.nic, &f));
	assert_int_equal(ring_of_frame(port), -1);
	assert_int_equal(nic_counter(MS_CTR_RX_SEEN), seen);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unclaimed_frames_are_left),
		TEST(test_other_macs_are_left),
		TEST(test_addresses_that_are_nobodys),
		TEST(test_ip6_addresses_that_are_nobodys),
		TEST(test_vlans),
		TEST(test_loopback_asks_for_no_mac),
		TEST(test_no_way_to_the_host),
		TEST(test_batch_is_sorted_by_port),
		TEST(test_flows_spread_and_stay),
		TEST(test_all_shapes_of_a_flow_meet),
		TEST(test_flows_of_ip6),
		TEST(test_icmp_error_about_others_is_left),
		TEST(test_protocol_without_ports),
		TEST(test_numbers_nobody_claims_pass_at_a_glance),
		TEST(test_claims_are_told_without_a_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
