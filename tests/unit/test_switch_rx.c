/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_switch_rx.c: what an interface's frames meet: who gets which, what is
 * left to the host, which ring of a port, fragments, taps; and how interfaces
 * come and go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "../hostile/rig.h"
#include "ms_batch.h"

#define RINGS 8

static struct rig rig;
static struct ms_port *port; /* udp/5001 on rig_ip and rig_ip6, 8 rings */

static int
setup(void **state)
{
	(void)state;
	rig_init(&rig, 2);
	assert_int_equal(rig_port_sized(&rig, &rig_root, 1, RINGS, 512, &port),
			 0);
	assert_int_equal(rig_bind(&rig, &rig_root, port,
				  rig_tuple4(rig_ip, IPPROTO_UDP, 5001)),
			 0);
	assert_int_equal(rig_bind(&rig, &rig_root, port,
				  rig_tuple6(rig_ip6, IPPROTO_UDP, 5001)),
			 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	while (rig.sw->ports != NULL)
		ms_port_destroy(rig.sw->ports);
	rig_deinit(&rig);
	return 0;
}

static uint64_t
nic_counter(enum ms_counter which)
{
	return rig_counter(&rig, NULL, which);
}

/* The ring that has a frame, which is taken from it; -1: none has. */
static int
ring_of_frame(struct ms_port *p)
{
	static uint8_t out[4096];
	int found = -1;
	unsigned int i;

	for (i = 0; i < p->num_rx; i++) {
		while (rig_rx(p, i, out, sizeof(out)) != 0) {
			assert_int_equal(found, -1);
			found = (int)i;
		}
	}
	return found;
}

/* Gives a frame to the switch and expects that the port gets it. */
static int
taken(const uint8_t *frame, uint32_t len)
{
	int ring;

	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_TAKEN);
	ring = ring_of_frame(port);
	assert_int_not_equal(ring, -1);
	return ring;
}

static void
left(const uint8_t *frame, uint32_t len)
{
	uint64_t host = nic_counter(MS_CTR_RX_HOST);
	uint8_t copy[2048];

	memcpy(copy, frame, len);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_HOST);
	assert_int_equal(ring_of_frame(port), -1);
	assert_int_equal(nic_counter(MS_CTR_RX_HOST), host + 1);
	assert_memory_equal(copy, frame, len); /* untouched */
}

static uint32_t
udp6_in(uint8_t *p, uint16_t sport, uint16_t dport)
{
	rig_udp(p + 54, sport, dport, "x", 1);
	return rig_ip6_hdr(p, true, rig_peer_ip6, rig_ip6, IPPROTO_UDP, 9);
}

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

/* ---- fragments ------------------------------------------------------------------------------ */

/* `ofs` in bytes; payload of 24 bytes, which for the first begins with UDP. */
static uint32_t
fragment(uint8_t *p, uint16_t id, uint32_t ofs, bool more, uint16_t sport,
	 uint16_t dport)
{
	memset(p + 34, 0x55, 24);
	if (ofs == 0) {
		rig_udp(p + 34, sport, dport, "", 0);
		rig_put16(p + 38, 100);
	}
	(void)rig_ip4(p, true, rig_peer_ip, rig_ip, IPPROTO_UDP, 24);
	rig_put16(p + 18, id);
	rig_put16(p + 20, ofs / 8 | (more ? 0x2000u : 0));
	rig_fix4(p);
	return 58;
}

static void
test_later_fragments_follow_the_first(void **state)
{
	uint8_t frame[256];
	uint32_t i, len;
	int ring;

	(void)state;
	for (i = 0; i < 20; i++) {
		len = fragment(frame, (uint16_t)i, 24, true, 0, 0);
		left(frame, len); /* before its first one */
		len = fragment(frame, (uint16_t)i, 0, true,
			       (uint16_t)(1000 + i), 5001);
		ring = taken(frame, len);
		len = fragment(frame, (uint16_t)i, 24, true, 0, 0);
		assert_int_equal(taken(frame, len), ring);
		len = fragment(frame, (uint16_t)i, 48, false, 0, 0);
		assert_int_equal(taken(frame, len), ring);
		frame[29]++; /* of another source */
		rig_fix4(frame);
		left(frame, len);
	}
}

static void
test_fragments_of_the_host(void **state)
{
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = fragment(frame, 7, 0, true, 1, 5001);
	(void)taken(frame, len);
	len = fragment(frame, 7, 24, false, 0, 0);
	(void)taken(frame, len);
	/* the same identification again, for the host */
	len = fragment(frame, 7, 0, true, 1, 5002);
	left(frame, len);
	len = fragment(frame, 7, 24, false, 0, 0);
	left(frame, len);
}

static void
test_fragments_after_unbind(void **state)
{
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = fragment(frame, 7, 0, true, 1, 5001);
	(void)taken(frame, len);
	assert_int_equal(rig_unbind(&rig, &rig_root, port,
				    rig_tuple4(rig_ip, IPPROTO_UDP, 5001)),
			 0);
	len = fragment(frame, 7, 24, false, 0, 0);
	left(frame, len);
}

static uint32_t
fragment6(uint8_t *p, uint32_t id, uint32_t ofs, bool more, uint16_t dport)
{
	memset(p + 54, 0, 8 + 24);
	p[54] = IPPROTO_UDP;
	rig_put16(p + 56, ofs | more);
	rig_put16(p + 60, id);
	if (ofs == 0) {
		rig_udp(p + 62, 9, dport, "", 0);
		rig_put16(p + 66, 100);
	}
	return rig_ip6_hdr(p, true, rig_peer_ip6, rig_ip6, 44, 32);
}

static void
test_fragments_of_ip6(void **state)
{
	uint8_t frame[256];
	uint32_t len;
	int ring;

	(void)state;
	len = fragment6(frame, 7, 0, true, 5001);
	ring = taken(frame, len);
	len = fragment6(frame, 7, 24, false, 0);
	assert_int_equal(taken(frame, len), ring);
	len = fragment6(frame, 8, 24, false, 0);
	left(frame, len);
}

static void
test_fragment_table(void **state)
{
	uint8_t saddr[16] = { 1 }, daddr[16] = { 2 };
	struct ms_pkt pkt = { .family = 4,
			      .proto = 17,
			      .saddr = saddr,
			      .daddr = daddr,
			      .sport_be = 77,
			      .dport_be = 88 };
	struct ms_fragtable *t;
	struct ms_pkt later;
	uint32_t i, found = 0;

	(void)state;
	assert_int_equal(ms_frag_create(&t), 0);
	for (i = 0; i < 10 * MS_FRAG_SLOTS; i++) {
		pkt.frag_id = i;
		ms_frag_note(t, MS_DIR_DST, &pkt, true);
		later = pkt;
		later.sport_be = later.dport_be = 0;
		assert_false(ms_frag_find(t, MS_DIR_SRC, &later));
		assert_true(ms_frag_find(t, MS_DIR_DST, &later));
		assert_int_equal(later.sport_be, 77);
		assert_int_equal(later.dport_be, 88);
		later.proto = 6;
		assert_false(ms_frag_find(t, MS_DIR_DST, &later));
	}
	/* only the newest are remembered */
	for (i = 0; i < 10 * MS_FRAG_SLOTS; i++) {
		later = pkt;
		later.frag_id = i;
		if (!ms_frag_find(t, MS_DIR_DST, &later))
			continue;
		found++;
		ms_frag_note(t, MS_DIR_DST, &later, false);
		assert_false(ms_frag_find(t, MS_DIR_DST, &later));
	}
	assert_in_range(found, MS_FRAG_SLOTS / 2, MS_FRAG_SLOTS);
	ms_frag_destroy(t);
	ms_frag_destroy(NULL);
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

/* ---- taps ---------------------------------------------------------------------------------------- */

static int
tap(struct ms_port *owner, uint32_t scope, uint32_t id, uint32_t snap)
{
	struct ms_cmd_tap arg = { .size = sizeof(arg),
				  .scope = scope,
				  .port_id = id,
				  .snap_bytes = snap };

	return ms_ctl(rig.sw, &rig_root, &owner, MS_CMD_TAP, &arg, sizeof(arg));
}

static uint16_t
oldest_flags(struct ms_port *p)
{
	struct ms_ring *r = rig_ring(p, true, 0);

	return rig_slots(r)[r->head & (p->slots - 1)].flags;
}

static void
test_tap_of_a_port(void **state)
{
	struct ms_port *look = rig_port(&rig, &rig_root);
	uint8_t frame[256], out[256];
	uint32_t len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);

	(void)state;
	assert_int_equal(tap(look, MS_TAP_PORT, port->id, 0), 0);
	(void)taken(frame, len);
	assert_int_equal(oldest_flags(look), MS_SLOT_TAP_RX);
	assert_int_equal(rig_rx(look, 0, out, sizeof(out)), len);
	assert_memory_equal(out, frame, len);
	/* what it sends; not what is refused */
	len = rig_udp_out(frame, 5001, 9, "0123456789abcdef", 16);
	assert_int_equal(rig_send(&rig, port, frame, len), 0);
	assert_int_equal(oldest_flags(look), MS_SLOT_TAP_TX);
	assert_int_equal(rig_rx(look, 0, out, sizeof(out)), len);
	assert_memory_equal(out, frame, len);
	len = rig_udp_out(frame, 5002, 9, "0123456789abcdef", 16);
	assert_int_equal(rig_send(&rig, port, frame, len), 0);
	assert_int_equal(rig_rx(look, 0, out, sizeof(out)), 0);
	/* not what others get */
	len = rig_udp_in(frame, 9, 5002, "x", 1);
	left(frame, len);
	assert_int_equal(rig_rx(look, 0, out, sizeof(out)), 0);
	assert_int_equal(rig_counter(&rig, look, MS_CTR_TAP_FRAMES), 2);
	assert_int_equal(rig_counter(&rig, look, MS_CTR_RX_FRAMES), 0);
	assert_int_equal(tap(look, 0, 0, 0), 0);
	len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);
	(void)taken(frame, len);
	assert_int_equal(rig_rx(look, 0, out, sizeof(out)), 0);
}

static void
test_tap_of_an_interface(void **state)
{
	struct ms_port *look = rig_port(&rig, &rig_root);
	uint8_t frame[256], out[256];
	uint32_t len;

	(void)state;
	assert_int_equal(tap(look, MS_TAP_NIC, 0, 40), 0);
	rig_ether(frame, true, 0x0806);
	left(frame, 60);
	assert_int_equal(rig_rx(look, 0, out, sizeof(out)), 40);
	assert_memory_equal(out, frame, 40);
	len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);
	(void)taken(frame, len);
	assert_int_equal(oldest_flags(look), MS_SLOT_TAP_RX);
	assert_int_equal(rig_rx(look, 0, out, sizeof(out)), 40);
	len = rig_udp_out(frame, 5001, 9, "0123456789abcdef", 16);
	assert_int_equal(rig_send(&rig, port, frame, len), 0);
	assert_int_equal(oldest_flags(look), MS_SLOT_TAP_TX);
	assert_int_equal(rig_rx(look, 0, out, sizeof(out)), 40);
	assert_int_equal(rig.wire.frames, 1);
	assert_int_equal(nic_counter(MS_CTR_TAP_FRAMES), 3);
}

static void
test_full_tap_loses_only_copies(void **state)
{
	struct ms_port *look = rig_port(&rig, &rig_root);
	uint8_t frame[256];
	uint32_t i, len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);

	(void)state;
	assert_int_equal(tap(look, MS_TAP_PORT, port->id, 0), 0);
	for (i = 0; i < look->slots + 5; i++)
		(void)taken(frame, len);
	assert_int_equal(rig_counter(&rig, look, MS_CTR_TAP_LOST), 5);
	assert_int_equal(rig_counter(&rig, look, MS_CTR_TAP_FRAMES),
			 look->slots);
	assert_int_equal(rig_ring(look, true, 0)->lost, 5);
	assert_int_equal(rig_ring(port, true, 0)->lost, 0);
}

static void
test_several_taps(void **state)
{
	struct ms_port *look[3];
	uint8_t frame[256], out[256];
	uint32_t i, len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);

	(void)state;
	for (i = 0; i < 3; i++) {
		look[i] = rig_port(&rig, &rig_root);
		assert_int_equal(tap(look[i], MS_TAP_PORT, port->id, 0), 0);
	}
	ms_port_destroy(look[1]); /* the middle one of the list */
	(void)taken(frame, len);
	assert_int_equal(rig_rx(look[0], 0, out, sizeof(out)), len);
	assert_int_equal(rig_rx(look[2], 0, out, sizeof(out)), len);
	/* the one looked at goes */
	ms_port_destroy(port);
	assert_null(look[0]->tapping);
	assert_null(look[2]->tapping);
	ms_mutex_lock(&rig.sw->ctl_lock);
	assert_int_equal(ms_tap_start(look[0], look[0], NULL, 0), -EINVAL);
	assert_int_equal(ms_tap_start(look[0], NULL, NULL, 0), -EINVAL);
	assert_int_equal(ms_tap_start(look[0], look[2], NULL, 0), 0);
	assert_int_equal(ms_tap_start(look[0], look[2], NULL, 0), -EBUSY);
	ms_mutex_unlock(&rig.sw->ctl_lock);
}

/* ---- interfaces ------------------------------------------------------------------------------------- */

static void
test_bad_interfaces_are_refused(void **state)
{
	struct ms_nic tmpl = {
		.ops = rig_ops(), .name = "x0", .mtu = 1500, .num_queues = 1
	};
	static const struct ms_nic_ops no_xmit = { .name = "none" };
	struct ms_nic bad, *nic;
	unsigned int n;
	int err = -ENOMEM;

	(void)state;
	bad = tmpl;
	bad.ops = NULL;
	assert_int_equal(ms_nic_create(rig.sw, &bad, &nic), -EINVAL);
	bad.ops = &no_xmit;
	assert_int_equal(ms_nic_create(rig.sw, &bad, &nic), -EINVAL);
	bad = tmpl;
	bad.num_queues = 0;
	assert_int_equal(ms_nic_create(rig.sw, &bad, &nic), -EINVAL);
	bad = tmpl;
	bad.vlan = 4095;
	assert_int_equal(ms_nic_create(rig.sw, &bad, &nic), -EINVAL);
	bad = tmpl;
	bad.name[0] = '\0';
	assert_int_equal(ms_nic_create(rig.sw, &bad, &nic), -EINVAL);
	bad = tmpl;
	strcpy(bad.name, "rig0");
	assert_int_equal(ms_nic_create(rig.sw, &bad, &nic), -EEXIST);
	for (n = 1; err == -ENOMEM; n++) {
		assert_true(n < 20);
		ms_os_fail_after(n, false);
		err = ms_nic_create(rig.sw, &tmpl, &nic);
	}
	ms_os_fail_after(0, false);
	assert_int_equal(err, 0);
	assert_true(n > 4);
	ms_nic_destroy(nic);
	ms_nic_destroy(NULL);
	ms_switch_destroy(NULL);
}

static void
test_interface_goes_before_its_port(void **state)
{
	struct ms_waiter bell = { .wake_fd = eventfd(0, EFD_NONBLOCK) };
	struct ms_ring *rx = rig_ring(port, true, 0);
	uint64_t rung;

	(void)state;
	port->rx[0].waiter = &bell;
	ms_kring_tx_ready(&port->tx[0]);
	ms_nic_destroy(rig.nic);
	assert_int_equal(rx->gone, MS_GONE_NIC);
	assert_int_equal(rig_ring(port, false, 0)->gone, MS_GONE_NIC);
	assert_int_equal(read(bell.wake_fd, &rung, 8), 8);
	assert_null(port->nic);
	ms_kring_tx_ready(&port->tx[0]); /* nothing happens */
	port->rx[0].waiter = NULL;
	ms_port_destroy(port);
	rig.nic = NULL;
	close(bell.wake_fd);
}

static void
test_change_is_told_to_ports(void **state)
{
	static const uint8_t mac[6] = { 2, 9, 9, 9, 9, 9 };
	uint32_t gen = port->region->route_gen;
	uint8_t frame[256];
	uint32_t len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);

	(void)state;
	ms_nic_changed(rig.nic, mac, 1400);
	assert_int_not_equal(port->region->route_gen, gen);
	left(frame, len);
	memcpy(frame, mac, 6);
	(void)taken(frame, len);
	assert_int_equal(rig.nic->mtu, 1400);
}

static void
test_names_follow_interfaces(void **state)
{
	struct ms_nic tmpl = {
		.ops = rig_ops(), .name = "x0", .mtu = 1500, .num_queues = 1
	};
	struct ms_nic *nic;

	(void)state;
	assert_int_equal(ms_nic_create(rig.sw, &tmpl, &nic), 0);
	assert_int_equal(ms_nic_rename(nic, "rig0"), -EEXIST);
	assert_string_equal(nic->name, "x0");
	assert_int_equal(ms_nic_rename(nic, "x0"), 0);
	assert_int_equal(ms_nic_rename(rig.nic, "a-longer-name"), 0);
	assert_int_equal(ms_nic_rename(rig.nic, "y"), 0);
	assert_int_equal(ms_nic_rename(nic, "rig0"), 0);
	/* the new one is its own, to the last byte */
	assert_int_equal(ms_nic_rename(nic, "y"), -EEXIST);
	ms_nic_destroy(nic);
}

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
		TEST(test_later_fragments_follow_the_first),
		TEST(test_fragments_of_the_host),
		TEST(test_fragments_after_unbind),
		TEST(test_fragments_of_ip6),
		TEST(test_fragment_table),
		TEST(test_protocol_without_ports),
		TEST(test_tap_of_a_port),
		TEST(test_tap_of_an_interface),
		TEST(test_full_tap_loses_only_copies),
		TEST(test_several_taps),
		TEST(test_bad_interfaces_are_refused),
		TEST(test_interface_goes_before_its_port),
		TEST(test_change_is_told_to_ports),
		TEST(test_names_follow_interfaces),
		TEST(test_numbers_nobody_claims_pass_at_a_glance),
		TEST(test_claims_are_told_without_a_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
