/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_defects_frames.c: the known defects of earlier implementations in reading
 * frames: rings, ports, options, fragments, misses.
 */
#include "defects_rig.h"

/* ---- the ring choice that is always 0 on little endian ------------------------ */

static void
test_flows_spread_over_rings(void **state)
{
	uint32_t got[4] = { 0 }, again[4], i, k;
	struct ms_port *port;
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	assert_int_equal(rig_port_sized(&rig, &rig_alice, 1, 4, 1024, &port),
			 0);
	assert_int_equal(rig_bind(&rig, &rig_alice, port, udp(5001)), 0);
	for (k = 0; k < 2; k++) {
		memcpy(again, got, sizeof(got));
		for (i = 0; i < 400; i++) {
			len = rig_udp_in(frame, (uint16_t)(1024 + i), 5001, "x",
					 1);
			assert_int_equal(rig_input(&rig, 0, frame, len),
					 MS_VERDICT_TAKEN);
		}
		for (i = 0; i < 4; i++)
			while (rig_rx(port, i, frame, sizeof(frame)) != 0)
				got[i]++;
	}
	for (i = 0; i < 4; i++) {
		assert_int_equal(got[i], 2 * again[i]); /* each flow stays */
		assert_in_range(again[i], 50, 150);
	}
}

static void
test_flows_spread_over_rings_ip6(void **state)
{
	uint32_t got[3] = { 0 }, i, len;
	struct ms_port *port;
	uint8_t frame[256];

	(void)state;
	assert_int_equal(rig_port_sized(&rig, &rig_alice, 1, 3, 512, &port), 0);
	assert_int_equal(rig_bind(&rig, &rig_alice, port,
				  rig_tuple6(rig_ip6, IPPROTO_UDP, 5001)),
			 0);
	for (i = 0; i < 300; i++) {
		rig_udp(frame + 54, (uint16_t)(1024 + i), 5001, "x", 1);
		len = rig_ip6_hdr(frame, true, rig_peer_ip6, rig_ip6,
				  IPPROTO_UDP, 9);
		assert_int_equal(rig_input(&rig, 0, frame, len),
				 MS_VERDICT_TAKEN);
	}
	for (i = 0; i < 3; i++) {
		while (rig_rx(port, i, frame, sizeof(frame)) != 0)
			got[i]++;
		assert_in_range(got[i], 50, 150);
	}
}

/* ---- IPv6 ports read from the wrong place -------------------------------------- */

static void
test_ip6_ports_are_found(void **state)
{
	struct ms_port *port = bound(&rig_alice,
				     rig_tuple6(rig_ip6, IPPROTO_UDP, 5001));
	uint8_t frame[256], got[256];
	uint32_t len, ext;

	(void)state;
	/* plain, then behind one, two, three extension headers */
	for (ext = 0; ext < 4; ext++) {
		uint32_t at = 54 + 8 * ext, i;

		memset(frame, 0, sizeof(frame));
		for (i = 0; i < ext; i++)
			frame[54 + 8 * i] = i + 1 < ext ? 60 : IPPROTO_UDP;
		rig_udp(frame + at, 1234, 5001, "x", 1);
		len = rig_ip6_hdr(frame, true, rig_peer_ip6, rig_ip6,
				  ext > 0 ? 60 : IPPROTO_UDP, 8 * ext + 9);
		assert_int_equal(rig_input(&rig, 0, frame, len),
				 MS_VERDICT_TAKEN);
		assert_int_equal(rig_rx(port, 0, got, sizeof(got)), len);
		assert_memory_equal(got, frame, len);
		/* ... and sent */
		rig_udp(frame + at, 5001, 1234, "x", 1);
		rig_ip6_hdr(frame, false, rig_ip6, rig_peer_ip6,
			    ext > 0 ? 60 : IPPROTO_UDP, 8 * ext + 9);
		assert_int_equal(rig_send(&rig, port, frame, len), 0);
		assert_int_equal(rig.wire.frames, ext + 1);
		/* what stands where IPv4 would have the ports decides nothing */
		rig_udp(frame + at, 5002, 1234, "x", 1);
		refused(port, frame, len, MS_CTR_DROP_TX_UNBOUND);
	}
}

/* ---- IP options ---------------------------------------------------------------------------- */

static void
test_ip_options_shift_the_ports(void **state)
{
	struct ms_port *port = bound(&rig_alice, udp(5001));
	struct ms_port *trap = bound(&rig_root, udp(0x0101));
	uint8_t frame[256], got[256];
	uint32_t words, len;

	(void)state;
	for (words = 1; words <= 10; words++) {
		/* the options' bytes are 1: read as ports they were trap's */
		memset(frame + 34, 1, 4 * words);
		rig_udp(frame + 34 + 4 * words, 0x0101, 5001, "x", 1);
		len = rig_ip4(frame, true, rig_peer_ip, rig_ip, IPPROTO_UDP,
			      4 * words + 9);
		frame[14] = (uint8_t)(0x45 + words);
		rig_fix4(frame);
		assert_int_equal(rig_input(&rig, 0, frame, len),
				 MS_VERDICT_TAKEN);
		assert_int_equal(rig_rx(trap, 0, got, sizeof(got)), 0);
		assert_int_equal(rig_rx(port, 0, got, sizeof(got)), len);
		assert_memory_equal(got, frame, len);
	}
	/* a header that claims more than there is stays with the host */
	rig_udp(frame + 34, 9, 5001, "x", 1);
	len = rig_ip4(frame, true, rig_peer_ip, rig_ip, IPPROTO_UDP, 9);
	frame[14] = 0x4f;
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_HOST);
	frame[14] = 0x44;
	rig_fix4(frame);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_HOST);
}

/* ---- fragments parsed as having ports -------------------------------------------------------- */

static uint32_t
fragment(uint8_t *frame, bool inbound, uint16_t id, uint16_t frag,
	 uint16_t sport, uint16_t dport)
{
	uint32_t len;

	rig_udp(frame + 34, sport, dport, "12345678", 8);
	len = rig_ip4(frame, inbound, inbound ? rig_peer_ip : rig_ip,
		      inbound ? rig_ip : rig_peer_ip, IPPROTO_UDP, 16);
	rig_put16(frame + 18, id);
	rig_put16(frame + 20, frag);
	rig_fix4(frame);
	return len;
}

static void
test_fragments_follow_the_first(void **state)
{
	struct ms_port *port = bound(&rig_alice, udp(5001));
	struct ms_port *trap = bound(&rig_bob, udp(5002));
	uint8_t frame[256], got[256];
	uint32_t len;

	(void)state;
	/* what looks like 5002's ports is data of a train we do not know */
	len = fragment(frame, true, 1, 0x0001, 9, 5002);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_HOST);
	/* a first fragment has ports, the later ones are its */
	len = fragment(frame, true, 2, 0x2000, 9, 5001);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_TAKEN);
	assert_int_equal(rig_rx(port, 0, got, sizeof(got)), len);
	len = fragment(frame, true, 2, 0x0002, 9, 5002);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_TAKEN);
	assert_int_equal(rig_rx(port, 0, got, sizeof(got)), len);
	assert_int_equal(rig_rx(trap, 0, got, sizeof(got)), 0);
	/* a first fragment for the host ends the claim on that train */
	len = fragment(frame, true, 2, 0x2000, 9, 5999);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_HOST);
	len = fragment(frame, true, 2, 0x0002, 9, 5001);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_HOST);
}

static void
test_forged_fragments_are_refused(void **state)
{
	struct ms_port *port = bound(&rig_alice, udp(5001));
	struct ms_port *other = bound(&rig_bob, udp(5002));
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	/* no first fragment, whatever stands where ports would be */
	len = fragment(frame, false, 3, 0x0001, 5001, 9);
	refused(port, frame, len, MS_CTR_DROP_TX_FRAGMENT);
	len = fragment(frame, false, 3, 0x2000, 5001, 9);
	assert_int_equal(rig_send(&rig, port, frame, len), 0);
	assert_int_equal(rig.wire.frames, 1);
	/* nobody else continues the train */
	len = fragment(frame, false, 3, 0x0002, 5002, 9);
	refused(other, frame, len, MS_CTR_DROP_TX_FRAGMENT);
	assert_int_equal(rig_send(&rig, port, frame, len), 0);
	assert_int_equal(rig.wire.frames, 2);
}

/* RFC 5722: a fragment at offset 8 would replace ports that stand deeper. */
static void
test_ports_cannot_be_overlapped(void **state)
{
	struct ms_port *port = bound(&rig_alice,
				     rig_tuple6(rig_ip6, IPPROTO_UDP, 5001));
	uint8_t frame[256] = { 0 };
	uint32_t len;

	(void)state;
	frame[54] = IPPROTO_UDP;
	rig_put16(frame + 56, 1); /* first, and more follow */
	rig_udp(frame + 62, 5001, 9, "12345678", 8);
	len = rig_ip6_hdr(frame, false, rig_ip6, rig_peer_ip6, 44, 24);
	assert_int_equal(rig_send(&rig, port, frame, len), 0);
	assert_int_equal(rig.wire.frames, 1);
	/* the same behind destination options */
	frame[54] = 60;
	memset(frame + 62, 0, 8);
	frame[62] = IPPROTO_UDP;
	rig_udp(frame + 70, 5001, 9, "12345678", 8);
	len = rig_ip6_hdr(frame, false, rig_ip6, rig_peer_ip6, 44, 32);
	refused(port, frame, len, MS_CTR_DROP_TX_FRAGMENT);
}

/* ---- a miss delivered to port 0 ---------------------------------------------------------------- */

static void
test_miss_goes_to_the_host(void **state)
{
	struct ms_port *first = bound(&rig_alice, udp(5001));
	struct ms_port *second = bound(&rig_bob, udp(5002));
	static const uint8_t other_ip[4] = { 10, 0, 0, 9 };
	uint8_t frame[256];
	uint32_t len, port;

	(void)state;
	for (port = 0; port < 65536; port += 7) {
		if (port == 5001 || port == 5002)
			continue;
		len = rig_udp_in(frame, 9, (uint16_t)port, "x", 1);
		assert_int_equal(rig_input(&rig, 0, frame, len),
				 MS_VERDICT_HOST);
	}
	/* the right port of another protocol, address, family; no packet */
	rig_udp(frame + 34, 9, 5001, "x", 1);
	len = rig_ip4(frame, true, rig_peer_ip, other_ip, IPPROTO_UDP, 9);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_HOST);
	len = rig_ip4(frame, true, rig_peer_ip, rig_ip, 132, 20);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_HOST);
	rig_udp(frame + 54, 9, 5001, "x", 1);
	len = rig_ip6_hdr(frame, true, rig_peer_ip6, rig_ip6, IPPROTO_UDP, 9);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_HOST);
	memset(frame, 0, 60);
	rig_ether(frame, true, 0x0806);
	assert_int_equal(rig_input(&rig, 0, frame, 60), MS_VERDICT_HOST);
	assert_int_equal(rig_rx(first, 0, frame, sizeof(frame)), 0);
	assert_int_equal(rig_rx(second, 0, frame, sizeof(frame)), 0);
	assert_int_equal(rig_counter(&rig, NULL, MS_CTR_RX_HOST),
			 rig_counter(&rig, NULL, MS_CTR_RX_SEEN));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_flows_spread_over_rings),
		TEST(test_flows_spread_over_rings_ip6),
		TEST(test_ip6_ports_are_found),
		TEST(test_ip_options_shift_the_ports),
		TEST(test_fragments_follow_the_first),
		TEST(test_forged_fragments_are_refused),
		TEST(test_ports_cannot_be_overlapped),
		TEST(test_miss_goes_to_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
