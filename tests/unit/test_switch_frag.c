/* SPDX-License-Identifier: BSD-2-Clause */
/* test_switch_frag.c: fragments follow their first one, or are the host's. */
#include "switch_rx_util.h"

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_later_fragments_follow_the_first),
		TEST(test_fragments_of_the_host),
		TEST(test_fragments_after_unbind),
		TEST(test_fragments_of_ip6),
		TEST(test_fragment_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
