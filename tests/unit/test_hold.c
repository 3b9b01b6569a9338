/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_hold.c: frames that leave from the sender's own slots: when the sender
 * has these back, and who may go in which order.
 */
#include <pthread.h>
#include <sched.h>

#include "switch_tx_util.h"

#define HOLDS 64

static struct ms_nic_ops ops;
static bool wanted[HOLDS]; /* of the frames in the order sent: hold it */
static uint32_t num_frames;
static struct ms_hold hold[HOLDS];
static uint32_t num_holds;
static bool at_once; /* done before xmit returns */

static uint32_t
holding_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	     uint32_t n, bool more)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (!wanted[num_frames++ % HOLDS])
			continue;
		assert_true(
		    ms_frame_hold(nic, q, &frames[i], &hold[num_holds]));
		if (at_once)
			ms_hold_done(&hold[num_holds]);
		else
			num_holds++;
	}
	return rig_xmit(nic, q, frames, n, more);
}

static int
setup_holds(void **state)
{
	(void)state;
	rig_init(&rig, 1);
	ops = *rig.nic->ops;
	ops.xmit = holding_xmit;
	rig.nic->ops = &ops;
	rig.nic->holds = true;
	port = make_port(SLOTS);
	bind4(port, rig_ip, IPPROTO_UDP, 5001);
	tx = rig_ring(port, false, 0);
	tx->wake = tx->tail + 0x40000000;
	bell.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(bell.wake_fd >= 0);
	port->tx[0].waiter = &bell;
	memset(wanted, 0, sizeof(wanted));
	num_frames = num_holds = 0;
	at_once = false;
	return 0;
}

/* Sends so many frames, each of one slot. */
static void
send_frames(uint32_t n)
{
	uint8_t frame[256];
	uint32_t i, len = udp4(frame);

	for (i = 0; i < n; i++)
		assert_int_equal(rig_tx(port, 0, frame, len), 0);
	kick(port);
}

/* How many slots the user has back, of those he ever filled. */
static uint32_t
back(void)
{
	return tx->tail - SLOTS;
}

static void
test_slots_come_back_in_order(void **state)
{
	static const struct {
		uint32_t order[4];
		uint32_t back[4];
	} cases[] = {
		{ { 0, 1, 2, 3 }, { 1, 2, 3, 6 } },
		{ { 3, 2, 1, 0 }, { 0, 0, 0, 6 } },
		{ { 1, 0, 3, 2 }, { 0, 2, 2, 6 } },
		{ { 2, 0, 1, 3 }, { 0, 1, 3, 6 } },
	};
	uint32_t c, i;

	(void)state;
	for (i = 0; i < 4; i++)
		wanted[i] = true;
	for (c = 0; c < 4; c++) {
		uint32_t before = back();

		num_frames = num_holds = 0;
		send_frames(6);
		assert_int_equal(num_holds, 4);
		assert_int_equal(back(), before);
		for (i = 0; i < 4; i++) {
			ms_hold_done(&hold[cases[c].order[i]]);
			assert_int_equal(back() - before, cases[c].back[i]);
		}
	}
	assert_int_equal(counter(port, OK), 24);
}

static void
test_slots_before_a_held_frame_come_back(void **state)
{
	(void)state;
	wanted[2] = true;
	send_frames(5);
	assert_int_equal(back(), 2);
	send_frames(1);
	assert_int_equal(back(), 2);
	ms_hold_done(&hold[0]);
	assert_int_equal(back(), 6);
	send_frames(1);
	assert_int_equal(back(), 7);
}

static void
test_done_within_xmit(void **state)
{
	(void)state;
	wanted[0] = wanted[1] = at_once = true;
	send_frames(3);
	assert_int_equal(back(), 3);
}

static void
test_a_frame_of_many_slots(void **state)
{
	struct ms_slot *s = rig_slots(tx);
	uint8_t frame[256];
	uint32_t len = udp4(frame);

	(void)state;
	wanted[1] = true;
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	memcpy(rig_buf(port, s[1].buf), frame, 40);
	s[1].len = 40;
	s[1].flags = MS_SLOT_MORE;
	memcpy(rig_buf(port, s[2].buf), frame + 40, len - 40);
	s[2].len = (uint16_t)(len - 40);
	s[2].flags = 0;
	ms_os_store_release(&tx->head, 3);
	kick(port);
	assert_int_equal(num_frames, 2);
	assert_int_equal(back(), 1);
	ms_hold_done(&hold[0]);
	assert_int_equal(back(), 3);
}

static void
test_done_wakes_the_owner(void **state)
{
	(void)state;
	wanted[0] = true;
	tx->wake = tx->tail;
	send_frames(2);
	assert_int_equal(wakes(), 0);
	ms_hold_done(&hold[0]);
	assert_int_equal(wakes(), 1);
}

/* A ring that is all held takes nothing more, and an owner who says that there
   is more is told off as ever. */
static void
test_all_slots_held(void **state)
{
	uint8_t frame[256];
	uint32_t i, len = udp4(frame);

	(void)state;
	for (i = 0; i < HOLDS; i++)
		wanted[i] = true;
	send_frames(SLOTS);
	assert_int_equal(num_holds, SLOTS);
	assert_int_equal(rig_tx(port, 0, frame, len), -ENOBUFS);
	ms_os_store_release(&tx->head, SLOTS + 1);
	kick(port);
	assert_int_equal(num_frames, SLOTS);
	assert_true(counter(port, MS_CTR_BAD_HEAD) > 0);
	ms_os_store_release(&tx->head, SLOTS);
	for (i = 0; i < SLOTS; i++)
		ms_hold_done(&hold[SLOTS - 1 - i]);
	assert_int_equal(back(), SLOTS);
	memset(wanted, 0, sizeof(wanted));
	send_frames(1);
	assert_int_equal(back(), SLOTS + 1);
}

static void
test_the_port_goes_first(void **state)
{
	(void)state;
	wanted[0] = wanted[1] = true;
	send_frames(2);
	ms_port_destroy(port);
	ms_hold_done(&hold[1]);
	ms_hold_done(&hold[0]);
}

static void
test_the_interface_goes_first(void **state)
{
	(void)state;
	wanted[0] = true;
	send_frames(1);
	ms_nic_destroy(rig.nic);
	rig.nic = NULL;
	ms_hold_done(&hold[0]);
	assert_int_equal(tx->gone, MS_GONE_NIC);
	ms_port_destroy(port);
}

static void
test_other_interfaces_hold_nothing(void **state)
{
	struct ms_port *p;
	uint8_t frame[256];
	uint32_t len = udp4(frame);
	struct ms_frame f = { .data = frame, .linear = len, .len = len };
	struct ms_hold h;

	(void)state;
	rig.nic->holds = false;
	p = make_port(SLOTS);
	bind4(p, rig_ip, IPPROTO_UDP, 5002);
	send_frames(1);
	assert_false(ms_frame_hold(rig.nic, 0, &f, &h));
	ms_port_destroy(p);
}

/* ---- from another thread --------------------------------------------------- */

#define STORM 5000

struct out { /* what a driver has of a frame */
	struct ms_hold hold;
	const uint8_t *p;
	uint8_t byte;
};

static struct out queue[HOLDS];
static uint32_t queue_head, queue_tail;
static uint32_t storm_seed;

static uint32_t
chance(uint32_t n)
{
	storm_seed = storm_seed * 1664525u + 1013904223u;
	return (storm_seed >> 16) % n;
}

/* Leaves two of three frames to the other thread, where it has room. */
static uint32_t
queueing_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	      uint32_t n, bool more)
{
	struct out *o;
	uint32_t i;

	(void)more;
	for (i = 0; i < n; i++) {
		if (chance(3) == 0 ||
		    queue_head - ms_os_load_acquire(&queue_tail) == HOLDS)
			continue;
		o = &queue[queue_head % HOLDS];
		assert_true(ms_frame_hold(nic, q, &frames[i], &o->hold));
		assert_int_equal(frames[i].nsegs, 1);
		o->p = frames[i].segs->p;
		o->byte = *o->p;
		ms_os_store_release(&queue_head, queue_head + 1);
	}
	return n;
}

/* As a driver: takes frames some at a time, reads them, is done with them out
   of order. */
static void *
driver_main(void *arg)
{
	uint32_t from, to, i;

	(void)arg;
	for (from = 0;; from = to) {
		to = ms_os_load_acquire(&queue_head);
		if (to == from) {
			if (ms_os_load_acquire(&num_frames) == STORM &&
			    ms_os_load_acquire(&queue_head) == from)
				return NULL;
			sched_yield();
			continue;
		}
		for (i = to; i != from; i--) {
			struct out *o = &queue[(i - 1) % HOLDS];

			assert_int_equal(*o->p, o->byte);
			ms_hold_done(&o->hold);
		}
		ms_os_store_release(&queue_tail, to);
	}
}

static void
test_done_by_another_thread(void **state)
{
	uint8_t frame[1024], payload[558] = { 0 };
	uint32_t sent = 0, len;
	pthread_t driver;

	(void)state;
	storm_seed = 4711;
	queue_head = queue_tail = 0;
	ops.xmit = queueing_xmit;
	len = rig_udp_out(frame, 5001, 9, payload, sizeof(payload));
	assert_int_equal(pthread_create(&driver, NULL, driver_main, NULL), 0);
	while (sent < STORM) {
		frame[len - 1] = frame[MS_HDR_BYTES] = (uint8_t)sent;
		if (rig_tx(port, 0, frame, len) == 0)
			sent++;
		else
			sched_yield();
		if (chance(8) == 0 || sent == STORM)
			kick(port);
	}
	while (ms_os_load_acquire(&tx->doze) == 0)
		kick(port);
	ms_os_store_release(&num_frames, STORM);
	pthread_join(driver, NULL);
	assert_int_equal(counter(port, OK), STORM);
	assert_int_equal(drops(port), 0);
	assert_int_equal(ms_os_load_acquire(&tx->tail), STORM + SLOTS);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup_holds, teardown)
	const struct CMUnitTest tests[] = {
		T(test_slots_come_back_in_order),
		T(test_slots_before_a_held_frame_come_back),
		T(test_done_within_xmit),
		T(test_a_frame_of_many_slots),
		T(test_done_wakes_the_owner),
		T(test_all_slots_held),
		T(test_the_port_goes_first),
		T(test_the_interface_goes_first),
		T(test_other_interfaces_hold_nothing),
		T(test_done_by_another_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
