/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_switch_way.c: how frames lie in transmit slots, and where they go.
 */
#include "switch_tx_util.h"

/* ---- slots --------------------------------------------------------------------------- */

static void
test_bad_slots(void **state)
{
	static const struct {
		uint32_t buf;
		uint16_t len, flags;
	} bad[] = {
		{ 0xffffffff, 60, 0 },
		{ 0x40000000, 60, 0 },
		{ 0, 0, 0 }, /* 65536 do not fit */
		{ 0, 2049, 0 },
		{ 0, 0xffff, 0 },
		{ 0, 60, MS_SLOT_CSUM_OK },
		{ 0, 60, MS_SLOT_TAP_RX },
		{ 0, 60, 0x8000 },
	};
	uint8_t frame[256];
	uint32_t len = udp4(frame);
	struct ms_slot *slot;
	uint32_t good;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		slot = next_slot();
		good = slot->buf;
		assert_int_equal(rig_tx(port, 0, frame, len), 0);
		slot->len = bad[i].len;
		slot->flags = bad[i].flags;
		if (bad[i].buf != 0)
			slot->buf = bad[i].buf;
		expect(MS_CTR_DROP_TX_SLOT);
		slot->buf = good;
	}
	slot = next_slot();
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	slot->buf = port->num_bufs - 1; /* the last one is good */
	memcpy(rig_buf(port, slot->buf), frame, len);
	expect(OK);
}

static void
test_frame_spans_slots(void **state)
{
	static const uint16_t cuts[][4] = { { 1, 13, 20, 26 },
					    { 14, 20, 8, 18 },
					    { 30, 1, 1, 28 },
					    { 57, 1, 1, 1 } };
	uint8_t frame[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		assert_int_equal(udp4(frame) + 2, 60);
		frame[58] = frame[59] = 0;
		put_chain(frame, cuts[i], 4, false);
		expect(OK);
		assert_int_equal(rig.wire.kept[i].bytes, 60);
		assert_memory_equal(rig.wire.kept[i].data, frame, 60);
	}
}

static void
test_long_frame_in_slots(void **state)
{
	static const uint16_t sizes[4] = { 2048, 100, 2048, 1000 };
	static uint8_t frame[8192];
	uint32_t i;

	(void)state;
	(void)tcp4(frame, 5196 - 54);
	for (i = 54; i < 5196; i++)
		frame[i] = (uint8_t)(i >> 3);
	next_slot();
	put_chain(frame, sizes, 4, false);
	rig_slots(tx)[(tx->head - 4) & (SLOTS - 1)].flags |=
	    MS_SLOT_CSUM_PARTIAL;
	rig_slots(tx)[(tx->head - 4) & (SLOTS - 1)].gso_type = MS_GSO_TCP4;
	rig_slots(tx)[(tx->head - 4) & (SLOTS - 1)].gso_size = 1000;
	rig_slots(tx)[(tx->head - 4) & (SLOTS - 1)].csum_start = 34;
	rig_slots(tx)[(tx->head - 4) & (SLOTS - 1)].csum_offset = 16;
	expect(OK);
	assert_int_equal(rig.wire.kept[0].bytes, 5196);
	assert_memory_equal(rig.wire.kept[0].data, frame, RIG_WIRE_BYTES);
}

static void
test_chain_that_goes_on_waits(void **state)
{
	static const uint16_t sizes[2] = { 30, 28 };
	uint8_t frame[256];

	(void)state;
	(void)udp4(frame);
	put_chain(frame, sizes, 1, true);
	kick(port);
	assert_int_equal(counter(port, OK) + drops(port), 0);
	assert_int_equal(tx->doze, 1); /* and nobody is kept busy */
	put_chain(frame + 30, sizes + 1, 1, false);
	expect(OK);
	assert_memory_equal(rig.wire.kept[0].data, frame, 58);
}

static void
test_endless_chains(void **state)
{
	static const uint16_t sizes[SLOTS] = { [0 ... SLOTS - 1] = 10 };
	static uint8_t frame[SLOTS * 10];
	uint64_t lost;

	(void)state;
	put_chain(frame, sizes, MS_FRAME_SLOTS_MAX, true);
	expect(MS_CTR_DROP_TX_SLOT);
	put_chain(frame, sizes, SLOTS, true);
	kick(port);
	lost = drops(port);
	assert_int_equal(lost, 2);
	assert_int_equal(tx->tail - tx->head,
			 SLOTS - (SLOTS - MS_FRAME_SLOTS_MAX));
	/* a bad slot in a chain costs the whole chain, and nothing else */
	put_chain(frame, sizes, 1, false);
	kick(port);
	assert_int_equal(drops(port), 3);
	put_chain(frame, sizes, 3, false);
	rig_slots(tx)[(tx->head - 2) & (SLOTS - 1)].buf = 0x12345678;
	expect(MS_CTR_DROP_TX_SLOT);
}

static void
test_chain_longer_than_a_small_ring(void **state)
{
	struct ms_port *small = make_port(8);
	struct ms_ring *r = rig_ring(small, false, 0);
	uint32_t i;

	(void)state;
	for (i = 0; i < 8; i++) {
		rig_slots(r)[i].len = 100;
		rig_slots(r)[i].flags = MS_SLOT_MORE;
	}
	ms_os_store_release(&r->head, 8);
	kick(small);
	assert_int_equal(counter(small, MS_CTR_DROP_TX_SLOT), 1);
	assert_int_equal(r->tail, 16);
}

static void
test_frame_over_64k(void **state)
{
	static const uint16_t sizes[33] = { [0 ... 32] = 2048 };
	static uint8_t frame[33 * 2048];

	(void)state;
	(void)tcp4(frame, 1000);
	put_chain(frame, sizes, 33, false);
	expect(MS_CTR_DROP_TX_LONG);
}

/* The validated copy is what goes out, whatever the sender writes meanwhile:
   headers never come from its memory again. */
static uint32_t
evil_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	  uint32_t n, bool more)
{
	uint32_t i;

	memset(port->tx[0].bufs, 0xff, (size_t)port->num_bufs * 2048);
	for (i = 0; i < n; i++) {
		assert_true(frames[i].linear >= frames[i].len ||
			    frames[i].linear >= 54);
		assert_true(frames[i].data < port->tx[0].bufs ||
			    frames[i].data >=
				port->tx[0].bufs +
				    (size_t)port->num_bufs * 2048);
	}
	return rig_xmit(nic, q, frames, n, more);
}

static void
test_headers_are_snapshots(void **state)
{
	struct ms_nic_ops ops = *rig.nic->ops;
	static uint8_t frame[2048];
	uint32_t len = tcp4(frame, 1000);

	(void)state;
	ops.xmit = evil_xmit;
	rig.nic->ops = &ops;
	send_expect(frame, len, OK);
	assert_memory_equal(rig.wire.kept[0].data, frame, MS_HDR_BYTES);
	assert_int_equal(rig.wire.kept[0].data[MS_HDR_BYTES], 0xff);
	rig.nic->ops = rig_ops();
}

/* ---- where frames go -------------------------------------------------------------------- */

static void
test_to_another_port(void **state)
{
	uint8_t frame[256], out[256];
	uint32_t len;

	(void)state;
	rig_udp(frame + 34, 5001, 5002, "0123456789abcdef", 16);
	len = rig_ip4(frame, false, rig_ip, rig_ip, IPPROTO_UDP, 24);
	send_expect(frame, len, OK);
	assert_int_equal(counter(port, MS_CTR_TX_LOCAL), 1);
	assert_int_equal(rig.wire.frames + rig.host.frames, 0);
	len = rig_rx(other, 0, out, sizeof(out)) +
	      rig_rx(other, 1, out, sizeof(out));
	assert_int_equal(len, 58);
	assert_memory_equal(out, frame, len);
	assert_int_equal(counter(other, MS_CTR_RX_FRAMES), 1);
	/* to itself */
	rig_udp(frame + 34, 5001, 5001, "0123456789abcdef", 16);
	send_expect(frame, len, OK);
	assert_int_equal(counter(port, MS_CTR_RX_FRAMES), 1);
	assert_int_equal(counter(NULL, MS_CTR_TX_LOCAL), 2);
}

static void
test_to_the_host(void **state)
{
	struct ms_nic_ops ops = *rig.nic->ops;
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	rig_udp(frame + 34, 5001, 7777, "0123456789abcdef", 16);
	len = rig_ip4(frame, false, rig_ip, rig_ip, IPPROTO_UDP, 24);
	send_expect(frame, len, OK);
	assert_int_equal(counter(port, MS_CTR_TX_HOST), 1);
	assert_int_equal(rig.host.frames, 1);
	assert_int_equal(rig.wire.frames, 0);
	assert_memory_equal(rig.host.kept[0].data, frame, len);
	ops.to_host = NULL;
	rig.nic->ops = &ops;
	send_expect(frame, len, MS_CTR_DROP_TX_NOHOST);
	rig.nic->ops = rig_ops();
}

static void
test_to_ip6_on_this_host(void **state)
{
	uint8_t frame[256], out[256];
	uint32_t len;

	(void)state;
	bind6(other, IPPROTO_UDP, 5002);
	rig_udp(frame + 54, 5001, 5002, "x", 1);
	len = rig_ip6_hdr(frame, false, rig_ip6, rig_ip6, IPPROTO_UDP, 9);
	send_expect(frame, len, OK);
	assert_int_equal(counter(port, MS_CTR_TX_LOCAL), 1);
	assert_int_equal(rig_rx(other, 0, out, sizeof(out)) +
			     rig_rx(other, 1, out, sizeof(out)),
			 len);
	rig_put16(frame + 56, 7777);
	send_expect(frame, len, OK);
	assert_int_equal(counter(port, MS_CTR_TX_HOST), 1);
}

/* Offload metadata goes along; a long frame fills several slots. */
static void
test_local_offloads(void **state)
{
	static uint8_t frame[4096], out[8192];
	static const uint16_t sizes[2] = { 2048, 1952 };
	struct ms_slot *slot = next_slot();
	struct ms_ring *rx;
	unsigned int i;

	(void)state;
	bind4(other, rig_ip, IPPROTO_TCP, 9);
	(void)tcp4(frame, 4000 - 54);
	(void)rig_ip4(frame, false, rig_ip, rig_ip, IPPROTO_TCP, 4000 - 34);
	put_chain(frame, sizes, 2, false);
	slot->flags |= MS_SLOT_CSUM_PARTIAL;
	slot->gso_type = MS_GSO_TCP4;
	slot->gso_size = 1400;
	slot->csum_start = 34;
	slot->csum_offset = 16;
	expect(OK);
	for (i = 0; i < 2; i++) {
		rx = rig_ring(other, true, i);
		if (rx->tail == rx->head)
			continue;
		slot = &rig_slots(rx)[0];
		assert_int_equal(slot->flags,
				 MS_SLOT_MORE | MS_SLOT_CSUM_PARTIAL);
		assert_int_equal(slot->gso_type, MS_GSO_TCP4);
		assert_int_equal(slot->gso_size, 1400);
		assert_int_equal(rig_rx(other, i, out, sizeof(out)), 4000);
		assert_memory_equal(out, frame, 4000);
		return;
	}
	fail_msg("%s", "no ring has it");
}

/* Many ways in one batch: each gets its frames, in order. */
static void
test_ways_mixed(void **state)
{
	uint8_t frame[256], out[256];
	static const uint16_t dports[4] = { 9, 5002, 7777, 5002 };
	uint32_t i, len, pay[4] = { 0 }, seen = 0;

	(void)state;
	for (i = 0; i < 40; i++) {
		pay[0] = i;
		rig_udp(frame + 34, i % 5 == 4 ? 5002 : 5001, dports[i % 4],
			pay, 16);
		len = rig_ip4(frame, false, rig_ip,
			      i % 4 == 0 ? rig_peer_ip : rig_ip, IPPROTO_UDP,
			      24);
		assert_int_equal(rig_tx(port, 0, frame, len), 0);
	}
	kick(port);
	assert_int_equal(counter(port, MS_CTR_DROP_TX_FOREIGN), 8);
	assert_int_equal(counter(port, OK), 32);
	assert_int_equal(rig.wire.frames, 8);
	assert_int_equal(rig.host.frames, 8);
	assert_int_equal(counter(port, MS_CTR_TX_LOCAL), 16);
	for (i = 0; i < 40; i += 4) {
		if (i % 5 == 4)
			continue;
		memcpy(pay, rig.wire.kept[seen].data + 42, 4);
		assert_int_equal(pay[0], i);
		memcpy(pay, rig.host.kept[seen].data + 42, 4);
		seen++;
	}
	for (i = 1; i < 40; i += 2) {
		if (i % 5 == 4)
			continue;
		assert_int_not_equal(rig_rx(other, 0, out, sizeof(out)) +
					 rig_rx(other, 1, out, sizeof(out)),
				     0);
	}
}

static void
test_loopback_interface(void **state)
{
	static const uint8_t lo[4] = { 127, 0, 0, 1 };
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	bind4(port, lo, IPPROTO_UDP, 5001);
	rig_udp(frame + 34, 5001, 7777, "0123456789abcdef", 16);
	len = rig_ip4(frame, false, lo, lo, IPPROTO_UDP, 24);
	send_expect(frame, len, OK);
	assert_int_equal(rig.host.frames, 1);
	memset(frame, 0, 12);
	send_expect(frame, len, MS_CTR_DROP_TX_MAC);
	rig.nic->loopback = true;
	send_expect(frame, len, OK);
	assert_int_equal(rig.host.frames, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bad_slots),
		TEST(test_frame_spans_slots),
		TEST(test_long_frame_in_slots),
		TEST(test_chain_that_goes_on_waits),
		TEST(test_endless_chains),
		TEST(test_chain_longer_than_a_small_ring),
		TEST(test_frame_over_64k),
		TEST(test_headers_are_snapshots),
		TEST(test_to_another_port),
		TEST(test_to_the_host),
		TEST(test_to_ip6_on_this_host),
		TEST(test_local_offloads),
		TEST(test_ways_mixed),
		TEST(test_loopback_interface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
