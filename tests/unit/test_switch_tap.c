/* SPDX-License-Identifier: BSD-2-Clause */
/* test_switch_tap.c: copies of what a port or an interface sees. */
#include "switch_rx_util.h"

static int
tap(struct ms_port *owner, uint32_t scope, uint32_t id, uint32_t snap,
    uint32_t flags)
{
	struct ms_cmd_tap arg = { .size = sizeof(arg),
				  .scope = scope,
				  .port_id = id,
				  .snap_bytes = snap,
				  .flags = flags };

	return ms_ctl(rig.sw, &rig_root, &owner, MS_CMD_TAP, &arg, sizeof(arg));
}

static struct ms_slot
oldest(struct ms_port *p)
{
	struct ms_ring *r = rig_ring(p, true, 0);

	return rig_slots(r)[r->head & (p->slots - 1)];
}

static uint16_t
oldest_flags(struct ms_port *p)
{
	return oldest(p).flags;
}

static void
test_tap_of_a_port(void **state)
{
	struct ms_port *look = rig_port(&rig, &rig_root);
	uint8_t frame[256], out[256];
	uint32_t len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);

	(void)state;
	assert_int_equal(tap(look, MS_TAP_PORT, port->id, 0, 0), 0);
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
	assert_int_equal(tap(look, 0, 0, 0, 0), 0);
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
	assert_int_equal(tap(look, MS_TAP_NIC, 0, 40, 0), 0);
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

/* A port and an interface that are looked at; what wrongs are copied as. */
static void
expect_refused(struct ms_port *look[2], const uint8_t *frame, uint32_t len,
	       enum ms_counter reason)
{
	uint8_t out[256];
	int i;

	assert_int_equal(rig_send(&rig, port, frame, len), 0);
	assert_int_equal(rig.wire.frames, 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(oldest(look[i]).flags, MS_SLOT_TAP_DROP);
		assert_int_equal(oldest(look[i]).reason, reason);
		assert_int_equal(rig_rx(look[i], 0, out, sizeof(out)), len);
		assert_memory_equal(out, frame, len);
	}
}

static void
test_tap_of_what_is_refused(void **state)
{
	struct ms_port *plain = rig_port(&rig, &rig_root), *look[2], *only;
	uint8_t frame[256], out[256];
	uint32_t len;
	int i;

	(void)state;
	for (i = 0; i < 2; i++)
		look[i] = rig_port(&rig, &rig_root);
	only = rig_port(&rig, &rig_root);
	assert_int_equal(tap(only, MS_TAP_PORT, port->id, 0,
			     MS_TAP_REFUSED | MS_TAP_NO_OTHERS),
			 0);
	assert_int_equal(tap(plain, MS_TAP_PORT, port->id, 0, 0), 0);
	assert_int_equal(tap(look[0], MS_TAP_PORT, port->id, 0, MS_TAP_REFUSED),
			 0);
	assert_int_equal(tap(look[1], MS_TAP_NIC, 0, 0, MS_TAP_REFUSED), 0);
	len = rig_udp_out(frame, 5002, 9, "0123456789abcdef", 16);
	expect_refused(look, frame, len, MS_CTR_DROP_TX_UNBOUND);
	len = rig_udp_out(frame, 5001, 9, "0123456789abcdef", 16);
	frame[6] ^= 2;
	expect_refused(look, frame, len, MS_CTR_DROP_TX_MAC);
	frame[6] ^= 2;
	frame[24] ^= 1;
	expect_refused(look, frame, len, MS_CTR_DROP_TX_HEADER);
	frame[24] ^= 1;
	expect_refused(look, frame, len - 1, MS_CTR_DROP_TX_SHORT);
	rig_ether(frame, false, 0x0806);
	expect_refused(look, frame, 60, MS_CTR_DROP_TX_ETHER);
	expect_refused(look, frame, 5, MS_CTR_DROP_TX_SHORT);
	/* Who does not ask for them has had none of these. */
	assert_int_equal(rig_rx(plain, 0, out, sizeof(out)), 0);
	/* What is sent is no other than before. */
	len = rig_udp_out(frame, 5001, 9, "0123456789abcdef", 16);
	assert_int_equal(rig_send(&rig, port, frame, len), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(oldest(look[i]).flags, MS_SLOT_TAP_TX);
		assert_int_equal(oldest(look[i]).reason, 0);
		assert_int_equal(rig_rx(look[i], 0, out, sizeof(out)), len);
		assert_int_equal(rig_counter(&rig, look[i], MS_CTR_TAP_FRAMES),
				 7);
	}
	assert_int_equal(rig_counter(&rig, plain, MS_CTR_TAP_FRAMES), 1);
	assert_int_equal(rig_counter(&rig, only, MS_CTR_TAP_FRAMES), 6);
	len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);
	(void)taken(frame, len);
	assert_int_equal(rig_counter(&rig, plain, MS_CTR_TAP_FRAMES), 2);
	assert_int_equal(rig_counter(&rig, only, MS_CTR_TAP_FRAMES), 6);
}

/* Of a frame in bad slots as much as can be read. */
static void
test_tap_of_bad_slots(void **state)
{
	static const struct {
		uint32_t buf;
		uint16_t flags, copied;
	} bad[] = {
		{ 0xffffffff, 0, 0 },
		{ 0, MS_SLOT_CSUM_OK, 58 },
		{ 0, 0xfffe, 58 },
	};
	struct ms_port *look = rig_port(&rig, &rig_root);
	struct ms_ring *r = rig_ring(port, false, 0);
	uint32_t len, good;
	uint8_t frame[256], out[256];
	struct ms_slot *slot;
	size_t i;

	(void)state;
	assert_int_equal(tap(look, MS_TAP_PORT, port->id, 0, MS_TAP_REFUSED),
			 0);
	len = rig_udp_out(frame, 5001, 9, "0123456789abcdef", 16);
	assert_int_equal(len, 58);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		slot = &rig_slots(r)[r->head & (port->slots - 1)];
		good = slot->buf;
		assert_int_equal(rig_tx(port, 0, frame, len), 0);
		slot->flags = bad[i].flags;
		if (bad[i].buf != 0)
			slot->buf = bad[i].buf;
		ms_kring_tx_ready(&port->tx[0]);
		rig_run(&rig, 0);
		assert_int_equal(rig_counter(&rig, port, MS_CTR_DROP_TX_SLOT),
				 i + 1);
		slot->buf = good;
		if (bad[i].copied != 0) {
			assert_int_equal(oldest(look).reason,
					 MS_CTR_DROP_TX_SLOT);
			assert_true(oldest_flags(look) & MS_SLOT_TAP_DROP);
			assert_false(oldest_flags(look) & MS_SLOT_CSUM_OK);
		}
		assert_int_equal(rig_rx(look, 0, out, sizeof(out)),
				 bad[i].copied);
	}
	assert_int_equal(rig_counter(&rig, look, MS_CTR_TAP_LOST), 0);
}

static void
test_full_tap_loses_only_copies(void **state)
{
	struct ms_port *look = rig_port(&rig, &rig_root);
	uint8_t frame[256];
	uint32_t i, len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);

	(void)state;
	assert_int_equal(tap(look, MS_TAP_PORT, port->id, 0, 0), 0);
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
		assert_int_equal(tap(look[i], MS_TAP_PORT, port->id, 0, 0), 0);
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
	assert_int_equal(ms_tap_start(look[0], look[0], NULL, 0, 0), -EINVAL);
	assert_int_equal(ms_tap_start(look[0], NULL, NULL, 0, 0), -EINVAL);
	assert_int_equal(ms_tap_start(look[0], look[2], NULL, 0, 0), 0);
	assert_int_equal(ms_tap_start(look[0], look[2], NULL, 0, 0), -EBUSY);
	ms_mutex_unlock(&rig.sw->ctl_lock);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_tap_of_a_port),
		TEST(test_tap_of_an_interface),
		TEST(test_tap_of_what_is_refused),
		TEST(test_tap_of_bad_slots),
		TEST(test_full_tap_loses_only_copies),
		TEST(test_several_taps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
