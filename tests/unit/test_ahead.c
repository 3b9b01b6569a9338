/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ahead.c: frames that come one by one after the switch was shown them.
 * Whatever it was shown, what it does is the same; ASan sees what it touches.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../hostile/rig.h"

#define PORTS 8
#define PER_PORT 300 /* tuples: the table is wide */
#define FIRST 10000

static struct rig rig;
static struct ms_port *port[PORTS];
static uint8_t frame[MS_AHEAD_MAX][128];
static uint32_t frame_bytes;

static uint16_t
number(unsigned int of, unsigned int i)
{
	return (uint16_t)(FIRST + of * PER_PORT + i);
}

static int
setup(void **state)
{
	unsigned int i, k;

	(void)state;
	rig_init(&rig, 1);
	for (i = 0; i < PORTS; i++) {
		/* Some have several rings. */
		assert_int_equal(
		    rig_port_sized(&rig, &rig_root, 1, 1 + i % 2, 64, &port[i]),
		    0);
		for (k = 0; k < PER_PORT; k++)
			assert_int_equal(
			    rig_bind(
				&rig, &rig_root, port[i],
				rig_tuple4(rig_ip, IPPROTO_UDP, number(i, k))),
			    0);
	}
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

/* Frame i is for port i % PORTS. */
static void
make_frames(void)
{
	uint32_t i;

	for (i = 0; i < MS_AHEAD_MAX; i++)
		frame_bytes = rig_udp_in(frame[i], 9, number(i % PORTS, i), &i,
					 sizeof(i));
}

static void
show(uint32_t n)
{
	const uint8_t *header[MS_AHEAD_MAX];
	struct ms_read r;
	uint32_t i;

	for (i = 0; i < n; i++)
		header[i] = frame[i];
	ms_os_read_enter(&r);
	ms_nic_look_ahead(rig.nic, 0, header, n);
	ms_os_read_exit(&r);
}

static uint32_t
taken_of(unsigned int of)
{
	uint32_t n = 0, ring, i, last;
	uint8_t out[256];

	for (ring = 0; ring < port[of]->num_rx; ring++) {
		last = 0;
		while (rig_rx(port[of], ring, out, sizeof(out)) != 0) {
			memcpy(&i, out + 42, sizeof(i));
			assert_int_equal(i % PORTS, of);
			assert_true(i == of || i > last); /* in order */
			last = i;
			n++;
		}
	}
	return n;
}

static void
test_frames_that_were_shown_come(void **state)
{
	uint32_t i, round;

	(void)state;
	make_frames();
	for (round = 0; round < 20; round++) {
		assert_true(ms_nic_looks_ahead(rig.nic, 0));
		show(MS_AHEAD_MAX);
		assert_false(ms_nic_looks_ahead(rig.nic, 0));
		for (i = 0; i < MS_AHEAD_MAX; i++)
			assert_int_equal(
			    rig_input(&rig, 0, frame[i], frame_bytes),
			    MS_VERDICT_TAKEN);
		for (i = 0; i < PORTS; i++)
			assert_int_equal(taken_of(i), MS_AHEAD_MAX / PORTS);
	}
	assert_int_equal(rig_counter(&rig, NULL, MS_CTR_RX_SEEN),
			 20 * MS_AHEAD_MAX);
}

/* Fewer come than were shown, others come in between, more are shown. */
static void
test_what_was_shown_need_not_come(void **state)
{
	uint32_t i;

	(void)state;
	make_frames();
	show(5);
	for (i = 60; i < 63; i++)
		assert_int_equal(rig_input(&rig, 0, frame[i], frame_bytes),
				 MS_VERDICT_TAKEN);
	show(MS_AHEAD_MAX);
	show(0);
	assert_true(ms_nic_looks_ahead(rig.nic, 0));
	assert_int_equal(rig_input(&rig, 0, frame[0], frame_bytes),
			 MS_VERDICT_TAKEN);
	assert_int_equal(rig_counter(&rig, NULL, MS_CTR_RX_FRAMES), 4);
}

static void
test_ports_go_in_between(void **state)
{
	uint32_t i;

	(void)state;
	make_frames();
	show(MS_AHEAD_MAX);
	assert_int_equal(rig_input(&rig, 0, frame[0], frame_bytes),
			 MS_VERDICT_TAKEN);
	for (i = 1; i < PORTS; i++)
		ms_port_destroy(port[i]);
	for (i = 1; i < MS_AHEAD_MAX; i++)
		assert_int_equal(rig_input(&rig, 0, frame[i], frame_bytes),
				 i % PORTS == 0 ? MS_VERDICT_TAKEN
						: MS_VERDICT_HOST);
	assert_int_equal(taken_of(0), MS_AHEAD_MAX / PORTS);
}

/* The switch sees what is on the wire, and buffers that the user names. */
static void
test_what_is_shown_may_be_anything(void **state)
{
	uint32_t i, k, seed = 1;

	(void)state;
	for (i = 0; i < 2 * PORTS; i++) {
		struct ms_ring *r;

		if (i / PORTS == port[i % PORTS]->num_rx)
			continue;
		r = rig_ring(port[i % PORTS], true, i / PORTS);
		for (k = 0; k < 64; k++)
			rig_slots(r)[k].buf = 0xfffffff0u + k;
		r->head = 0x80000000u;
	}
	for (i = 0; i < MS_AHEAD_MAX; i++) {
		for (k = 0; k < sizeof(frame[i]); k++) {
			seed = seed * 1664525u + 1013904223u;
			frame[i][k] = (uint8_t)(seed >> 24);
		}
	}
	show(MS_AHEAD_MAX);
	for (i = 0; i < MS_AHEAD_MAX; i++)
		assert_int_equal(rig_input(&rig, 0, frame[i], 60),
				 MS_VERDICT_HOST);
	make_frames();
	show(MS_AHEAD_MAX);
	for (i = 0; i < MS_AHEAD_MAX; i++)
		assert_int_equal(rig_input(&rig, 0, frame[i], frame_bytes),
				 MS_VERDICT_TAKEN);
	assert_int_equal(rig_counter(&rig, NULL, MS_CTR_DROP_RX_SLOT),
			 MS_AHEAD_MAX);
}

static void
test_a_narrow_table_is_near_anyway(void **state)
{
	(void)state;
	while (rig.sw->ports != NULL)
		ms_port_destroy(rig.sw->ports);
	assert_false(ms_nic_looks_ahead(rig.nic, 0));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_frames_that_were_shown_come),
		T(test_what_was_shown_need_not_come),
		T(test_ports_go_in_between),
		T(test_what_is_shown_may_be_anything),
		T(test_a_narrow_table_is_near_anyway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
