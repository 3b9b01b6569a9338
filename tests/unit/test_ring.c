/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ring.c: leases, publication and wake-ups of receive rings; what an
 * owner can do wrong; frames over several slots; several queues at once.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "../hostile/rig.h"
#include "ms_ring.h"

#define SLOTS 8
#define START 0xfffffffau /* indices run over 2^32 in every test */

static struct rig rig;
static struct ms_port *port;
static struct ms_kring *ring;
static struct ms_ring *user;
static struct ms_waiter bell;

/* How often the bell was rung since the last call. */
static uint64_t
wakes(void)
{
	uint64_t n;

	return read(bell.wake_fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static int
setup_slots(uint32_t slots)
{
	rig_init(&rig, 4);
	assert_int_equal(rig_port_sized(&rig, &rig_root, 1, 1, slots, &port),
			 0);
	ring = &port->rx[0];
	user = ring->shared;
	/* the owner has used it for a long time, and does not want to be
	   woken for as long */
	ring->head = ring->tail = ring->limit = ring->reserved = START;
	user->head = user->tail = START;
	user->wake = START + 0x40000000;
	bell.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(bell.wake_fd >= 0);
	ring->waiter = &bell;
	return 0;
}

static int
setup(void **state)
{
	(void)state;
	return setup_slots(SLOTS);
}

static int
setup_large(void **state)
{
	(void)state;
	return setup_slots(1024);
}

static int
teardown(void **state)
{
	(void)state;
	ms_port_destroy(port);
	rig_deinit(&rig);
	close(bell.wake_fd);
	return 0;
}

static uint64_t
counter(enum ms_counter which)
{
	return ring->counter[which];
}

static struct ms_lease
reserve(uint32_t want, uint32_t got)
{
	struct ms_lease l;

	assert_int_equal(ms_ring_reserve(ring, 1, want, &l), got);
	assert_int_equal(l.slots, got);
	return l;
}

static bool
finish(struct ms_lease *l)
{
	ms_ring_publish(ring, l);
	ms_os_fence();
	return ms_ring_settle(ring, l);
}

/* ---- leases --------------------------------------------------------------- */

static void
test_lease_is_published_when_finished(void **state)
{
	struct ms_lease l = reserve(3, 3);

	(void)state;
	assert_int_equal(l.first, START);
	assert_int_equal(user->tail, START);
	finish(&l);
	assert_int_equal(user->tail, START + 3);
}

/* All orders in which three leases can finish. */
static void
test_leases_in_any_order(void **state)
{
	static const uint8_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 },
					      { 1, 0, 2 }, { 1, 2, 0 },
					      { 2, 0, 1 }, { 2, 1, 0 } };
	static const uint8_t slots[3] = { 2, 1, 3 };
	uint32_t start = START, i, k, seen, want;
	struct ms_lease l[3];
	bool done[3];

	(void)state;
	for (i = 0; i < 6; i++) {
		for (k = 0; k < 3; k++) {
			l[k] = reserve(slots[k], slots[k]);
			done[k] = false;
		}
		for (k = 0; k < 3; k++) {
			finish(&l[orders[i][k]]);
			done[orders[i][k]] = true;
			want = start;
			for (seen = 0; seen < 3 && done[seen]; seen++)
				want += slots[seen];
			assert_int_equal(user->tail, want);
			assert_int_equal(ring->tail, want);
		}
		assert_int_equal(ring->waiting, 0);
		start += 6;
		ms_os_store_release(&user->head, start);
	}
}

/* Two finish at the same time, each before the other looks around. */
static void
test_leases_finished_together(void **state)
{
	struct ms_lease a = reserve(2, 2), b = reserve(2, 2);

	(void)state;
	ms_ring_publish(ring, &b);
	ms_ring_publish(ring, &a);
	assert_int_equal(user->tail, START + 2);
	ms_ring_settle(ring, &b);
	assert_int_equal(user->tail, START + 4);
	ms_ring_settle(ring, &a);
	assert_int_equal(user->tail, START + 4);

	a = reserve(2, 2);
	b = reserve(2, 2);
	ms_ring_publish(ring, &b);
	ms_ring_publish(ring, &a);
	ms_ring_settle(ring, &a);
	assert_int_equal(user->tail, START + 8);
	ms_ring_settle(ring, &b);
	assert_int_equal(user->tail, START + 8);
	assert_int_equal(ring->waiting, 0);
}

static void
test_full_ring_grants_what_there_is(void **state)
{
	struct ms_lease l = reserve(5, 5), none;

	(void)state;
	assert_int_equal(ms_ring_reserve(ring, 4, 4, &none), 0);
	finish(&l);
	l = reserve(5, 3);
	finish(&l);
	assert_int_equal(reserve(1, 0).slots, 0);
	assert_int_equal(user->tail, START + SLOTS);
	ms_os_store_release(&user->head, START + 2);
	l = reserve(5, 2);
	assert_int_equal(l.first, START + SLOTS);
	finish(&l);
	assert_int_equal(counter(MS_CTR_BAD_HEAD), 0);
}

/* ---- what an owner can do wrong ------------------------------------------------ */

static void
test_bad_heads_are_ignored(void **state)
{
	static const uint32_t bad[] = { START - 1, START + SLOTS + 1, 0x1234,
					START + 0x80000000u };
	struct ms_lease l = reserve(SLOTS, SLOTS);
	uint32_t i;

	(void)state;
	finish(&l);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ms_os_store_release(&user->head, bad[i]);
		(void)reserve(1, 0);
		assert_int_equal(counter(MS_CTR_BAD_HEAD), i + 1);
	}
	ms_os_store_release(&user->head, START + 1);
	l = reserve(SLOTS, 1);
	finish(&l);
	/* and not backwards either */
	ms_os_store_release(&user->head, START);
	(void)reserve(1, 0);
	assert_int_equal(counter(MS_CTR_BAD_HEAD), i + 1);
}

/* What is leased but not published cannot be consumed. */
static void
test_head_past_tail_is_ignored(void **state)
{
	struct ms_lease a = reserve(2, 2), b = reserve(6, 6);

	(void)state;
	finish(&a);
	ms_os_store_release(&user->head, START + 3);
	(void)reserve(1, 0);
	assert_int_equal(counter(MS_CTR_BAD_HEAD), 1);
	ms_os_store_release(&user->head, START + 2);
	a = reserve(3, 2);
	finish(&b);
	finish(&a);
	assert_int_equal(user->tail, START + 10);
}

static uint32_t
input(const uint8_t *frame, uint32_t len)
{
	return rig_input(&rig, 0, frame, len) == MS_VERDICT_TAKEN;
}

static void
claim(void)
{
	assert_int_equal(rig_bind(&rig, &rig_root, port,
				  rig_tuple4(rig_ip, IPPROTO_UDP, 5001)),
			 0);
}

static void
test_bad_buffers_cost_their_frames(void **state)
{
	static const uint32_t bad[] = { 0xffffffff, 0x80000000 };
	uint8_t frame[256], out[256];
	uint32_t len = rig_udp_in(frame, 9, 5001, "hello", 5);
	uint32_t i;

	(void)state;
	claim();
	ring->slots[START & (SLOTS - 1)].buf = bad[0];
	ring->slots[(START + 1) & (SLOTS - 1)].buf = ring->num_bufs;
	ring->slots[(START + 2) & (SLOTS - 1)].buf = ring->num_bufs - 1;
	for (i = 0; i < 3; i++)
		assert_true(input(frame, len));
	assert_int_equal(counter(MS_CTR_DROP_RX_SLOT), 2);
	assert_int_equal(counter(MS_CTR_RX_FRAMES), 1);
	assert_int_equal(counter(MS_CTR_RX_BYTES), len);
	assert_int_equal(rig_counter(&rig, NULL, MS_CTR_DROP_RX_SLOT), 2);
	assert_int_equal(rig_counter(&rig, NULL, MS_CTR_RX_FRAMES), 1);
	assert_int_equal(user->lost, 2);
	assert_int_equal(rig_rx(port, 0, out, sizeof(out)), 65536);
	assert_int_equal(rig_rx(port, 0, out, sizeof(out)), 65536);
	assert_int_equal(rig_rx(port, 0, out, sizeof(out)), len);
	assert_memory_equal(out, frame, len);
	assert_int_equal(rig_rx(port, 0, out, sizeof(out)), 0);
}

/* ---- copies ----------------------------------------------------------------------- */

static void
test_copy_is_exact(void **state)
{
	uint8_t from[400], to[400];
	uint32_t n, i;

	(void)state;
	for (i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 7 + 1);
	for (n = 0; n <= 300; n++) {
		memset(to, 0xee, sizeof(to));
		ms_copy(to + 10, from + 3, n);
		assert_memory_equal(to + 10, from + 3, n);
		for (i = 0; i < sizeof(to); i++)
			if (i < 10 || i >= 10 + n)
				assert_int_equal(to[i], 0xee);
	}
}

static void
test_every_length_arrives(void **state)
{
	uint8_t frame[2048], out[2048], *buf;
	uint32_t n, len, i;

	(void)state;
	claim();
	for (n = 0; n <= 1472; n += n < 160 ? 1 : 97) {
		for (i = 0; i < n; i++)
			frame[42 + i] = (uint8_t)(n + i);
		rig_udp(frame + 34, 9, 5001, "", 0);
		rig_put16(frame + 38, 8 + n);
		len = rig_ip4(frame, true, rig_peer_ip, rig_ip, IPPROTO_UDP,
			      8 + n);
		buf = rig_buf(port, ring->slots[ring->tail & (SLOTS - 1)].buf);
		memset(buf, 0xee, port->buf_bytes);
		assert_true(input(frame, len));
		assert_int_equal(buf[len], 0xee); /* no byte more */
		assert_int_equal(rig_rx(port, 0, out, sizeof(out)), len);
		assert_memory_equal(out, frame, len);
	}
}

/* A frame in pieces, with offload metadata, over several slots. */
static void
test_frame_spans_slots(void **state)
{
	static uint8_t frame[10000], out[10000];
	struct ms_seg segs[3] = { { frame + 100, 1 },
				  { frame + 101, 0 },
				  { frame + 101, 6000 - 101 } };
	struct ms_frame f = { .data = frame,
			      .linear = 100,
			      .len = 6000,
			      .segs = segs,
			      .nsegs = 3 };
	const struct ms_slot *slot;
	uint32_t i;

	(void)state;
	claim();
	for (i = 42; i < 6000; i++)
		frame[i] = (uint8_t)(i >> 5);
	rig_udp(frame + 34, 9, 5001, "", 0);
	rig_put16(frame + 38, 6000 - 34);
	(void)rig_ip4(frame, true, rig_peer_ip, rig_ip, IPPROTO_UDP, 6000 - 34);
	f.meta.flags = MS_SLOT_CSUM_PARTIAL;
	f.meta.gso_type = MS_GSO_UDP;
	f.meta.gso_size = 1400;
	f.meta.csum_start = 34;
	f.meta.csum_offset = 6;
	ms_nic_input(rig.nic, 0, &f, 1);
	assert_int_equal(f.verdict, MS_VERDICT_TAKEN);
	assert_int_equal(user->tail, START + 3);

	slot = &ring->slots[START & (SLOTS - 1)];
	assert_int_equal(slot->flags, MS_SLOT_MORE | MS_SLOT_CSUM_PARTIAL);
	assert_int_equal(slot->len, 2048);
	assert_int_equal(slot->gso_type, MS_GSO_UDP);
	assert_int_equal(slot->gso_size, 1400);
	assert_int_equal(slot->csum_start, 34);
	assert_int_equal(slot->csum_offset, 6);
	slot = &ring->slots[(START + 1) & (SLOTS - 1)];
	assert_int_equal(slot->flags, MS_SLOT_MORE);
	assert_int_equal(slot->gso_type, 0);
	slot = &ring->slots[(START + 2) & (SLOTS - 1)];
	assert_int_equal(slot->flags, 0);
	assert_int_equal(slot->len, 6000 - 4096);
	assert_int_equal(rig_rx(port, 0, out, sizeof(out)), 6000);
	assert_memory_equal(out, frame, 6000);
}

/* Long and short frames of one batch keep their order; a long one that does
   not fit leaves its place to a short one behind it. */
static void
test_long_and_short_in_one_batch(void **state)
{
	static uint8_t data[6][8192], out[8192];
	static const uint32_t len[6] = { 60, 5000, 60, 8000, 4000, 61 };
	struct ms_frame f[6] = { 0 };
	uint32_t i;

	(void)state;
	claim();
	for (i = 0; i < 6; i++) {
		rig_udp(data[i] + 34, 9, 5001, "", 0);
		rig_put16(data[i] + 38, len[i] - 34);
		(void)rig_ip4(data[i], true, rig_peer_ip, rig_ip, IPPROTO_UDP,
			      len[i] - 34);
		f[i].data = data[i];
		f[i].linear = f[i].len = len[i];
	}
	ms_nic_input(rig.nic, 0, f, 6);
	/* 1, 3, 1 slots; 4 do not fit; 2 and 1 do */
	assert_int_equal(counter(MS_CTR_RX_FRAMES), 5);
	assert_int_equal(counter(MS_CTR_DROP_RX_FULL), 1);
	assert_int_equal(user->lost, 1);
	for (i = 0; i < 6; i++) {
		if (i == 3)
			continue;
		assert_int_equal(rig_rx(port, 0, out, sizeof(out)), len[i]);
		assert_memory_equal(out, data[i], len[i]);
	}
}

static void
test_frame_longer_than_the_ring(void **state)
{
	static uint8_t frame[SLOTS * 2048 + 1];
	uint32_t len = sizeof(frame);

	(void)state;
	claim();
	rig_udp(frame + 34, 9, 5001, "", 0);
	rig_put16(frame + 38, len - 34);
	(void)rig_ip4(frame, true, rig_peer_ip, rig_ip, IPPROTO_UDP, len - 34);
	assert_true(input(frame, len));
	assert_int_equal(counter(MS_CTR_DROP_RX_LONG), 1);
	assert_int_equal(user->tail, START);
	/* a byte less fills it */
	rig_put16(frame + 38, len - 35);
	(void)rig_ip4(frame, true, rig_peer_ip, rig_ip, IPPROTO_UDP, len - 35);
	assert_true(input(frame, len - 1));
	assert_int_equal(user->tail, START + SLOTS);
}

/* A buffer of 64 KiB holds any frame: 65536 bytes are told as 0. */
static void
test_slot_of_64k(void **state)
{
	static uint8_t frame[65536], out[65536];
	struct ms_cmd_port_create arg = { .size = sizeof(arg),
					  .slots = 8,
					  .buf_bytes = 65536 };
	struct ms_frame f = { .data = frame, .linear = 65536, .len = 65536 };
	struct ms_port *big;
	struct ms_lease l;

	(void)state;
	assert_int_equal(ms_port_create(rig.nic, &rig_root, &arg, &big), 0);
	memset(frame, 0x5a, sizeof(frame));
	assert_int_equal(ms_ring_put(&big->rx[0], &f, 0, &l), MS_CTR_RX_FRAMES);
	assert_int_equal(l.slots, 1);
	assert_int_equal(big->rx[0].slots[0].len, 0);
	assert_int_equal(rig_rx(big, 0, out, sizeof(out)), 65536);
	assert_memory_equal(out, frame, sizeof(out));
	ms_port_destroy(big);
}

/* ---- wake-ups ------------------------------------------------------------------------ */

/* Tail goes from <= wake to > wake: then, and only then. */
static void
test_wake_rule(void **state)
{
	static const struct {
		int32_t mark; /* from the old tail */
		uint32_t step;
		bool wake;
	} cases[] = {
		{ 0, 1, true },	  { 0, 5, true },   { 1, 1, false },
		{ 1, 2, true },	  { 4, 4, false },  { 4, 5, true },
		{ -1, 1, false }, { -1, 5, false }, { -1000, 5, false },
	};
	struct ms_lease l;
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ms_os_store_once(&user->wake,
				 ring->tail + (uint32_t)cases[i].mark);
		l = reserve(cases[i].step, cases[i].step);
		assert_int_equal(finish(&l), cases[i].wake);
		assert_int_equal(wakes(), cases[i].wake);
		ms_os_store_release(&user->head, ring->tail);
	}
	assert_int_equal(counter(MS_CTR_RX_WAKEUPS), 4);
}

/* A younger lease finishes first: who closes the gap wakes, once for all. */
static void
test_wake_comes_from_who_publishes(void **state)
{
	struct ms_lease a = reserve(2, 2), b = reserve(2, 2);

	(void)state;
	ms_os_store_once(&user->wake, START + 2); /* inside b */
	assert_false(finish(&b));
	assert_int_equal(wakes(), 0);
	assert_true(finish(&a));
	assert_int_equal(wakes(), 1);
}

static void
test_one_wake_a_batch(void **state)
{
	uint8_t frame[64];
	struct ms_frame f[6] = { 0 };
	uint32_t i, len = rig_udp_in(frame, 9, 5001, "hello", 5);

	(void)state;
	claim();
	for (i = 0; i < 6; i++) {
		f[i].data = frame;
		f[i].linear = f[i].len = len;
	}
	ms_os_store_once(&user->wake, START);
	ms_nic_input(rig.nic, 0, f, 6);
	assert_int_equal(wakes(), 1);
	assert_int_equal(counter(MS_CTR_RX_WAKEUPS), 1);
	assert_int_equal(rig_counter(&rig, NULL, MS_CTR_RX_WAKEUPS), 1);
	/* the owner sleeps on, and is not woken again */
	ms_nic_input(rig.nic, 0, f, 2);
	assert_int_equal(wakes(), 0);
}

/* ---- several queues at once --------------------------------------------------------------- */

#define QUEUES 3
#define EACH 20000

static void *
producer(void *arg)
{
	unsigned int q = (unsigned int)(uintptr_t)arg;
	uint8_t data[16][64];
	struct ms_frame f[16] = { 0 };
	uint32_t sent = 0, i, n;

	while (sent < EACH) {
		n = 1 + sent % 16;
		for (i = 0; i < n; i++) {
			uint32_t pay[2] = { q, sent + i };

			f[i].data = data[i];
			f[i].linear = f[i].len = rig_udp_in(data[i], 9, 5001,
							    pay, 8);
		}
		ms_nic_input(rig.nic, q, f, n);
		sent += n;
	}
	return NULL;
}

/* Every frame arrives at most once, whole, in its queue's order; what does not
   arrive was counted. */
static void
test_queues_fill_one_ring(void **state)
{
	uint32_t next[QUEUES] = { 0 }, got = 0, pay[2];
	pthread_t thread[QUEUES];
	uint64_t total = 0, lost;
	uint8_t out[256];
	uintptr_t q;
	bool last = false;

	(void)state;
	claim();
	for (q = 0; q < QUEUES; q++)
		assert_int_equal(
		    pthread_create(&thread[q], NULL, producer, (void *)q), 0);
	for (;;) {
		if (rig_rx(port, 0, out, sizeof(out)) != 0) {
			memcpy(pay, out + 42, 8);
			assert_in_range(pay[0], 0, QUEUES - 1);
			assert_true(pay[1] >= next[pay[0]]);
			next[pay[0]] = pay[1] + 1;
			got++;
			continue;
		}
		if (last)
			break;
		if (rig_counter(&rig, NULL, MS_CTR_RX_SEEN) >= QUEUES * EACH) {
			for (q = 0; q < QUEUES; q++)
				pthread_join(thread[q], NULL);
			last = true;
		}
	}
	total = rig_counter(&rig, NULL, MS_CTR_RX_SEEN);
	lost = rig_counter(&rig, NULL, MS_CTR_DROP_RX_FULL);
	assert_int_equal(counter(MS_CTR_RX_FRAMES), got);
	assert_int_equal(got + lost, total);
	assert_int_equal(counter(MS_CTR_BAD_HEAD), 0);
	assert_int_equal(user->lost, lost);
	assert_int_equal(ring->waiting, 0);
	assert_int_equal(ring->tail, ring->reserved);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void
test_stopped_ring_takes_nothing(void **state)
{
	uint8_t frame[64];
	uint32_t len = rig_udp_in(frame, 9, 5001, "hello", 5);
	struct ms_frame f = { .data = frame, .linear = len, .len = len };
	struct ms_lease l;

	(void)state;
	claim();
	ms_kring_stop(ring);
	ms_kring_stop(ring);
	assert_true(input(frame, len));
	assert_int_equal(counter(MS_CTR_DROP_RX_GONE), 1);
	assert_int_equal(rig_counter(&rig, NULL, MS_CTR_DROP_RX_GONE), 1);
	assert_int_equal(ms_ring_put(ring, &f, 0, &l), MS_CTR_DROP_RX_GONE);
	assert_int_equal(user->tail, START);
}

static void
test_zeroed_ring_can_be_stopped(void **state)
{
	struct ms_kring none;

	(void)state;
	memset(&none, 0, sizeof(none));
	ms_kring_stop(&none);
	ms_kring_deinit(&none);
	assert_false(none.stopped);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lease_is_published_when_finished),
		TEST(test_leases_in_any_order),
		TEST(test_leases_finished_together),
		TEST(test_full_ring_grants_what_there_is),
		TEST(test_bad_heads_are_ignored),
		TEST(test_head_past_tail_is_ignored),
		TEST(test_bad_buffers_cost_their_frames),
		TEST(test_copy_is_exact),
		TEST(test_every_length_arrives),
		TEST(test_frame_spans_slots),
		TEST(test_long_and_short_in_one_batch),
		TEST(test_frame_longer_than_the_ring),
		TEST(test_slot_of_64k),
		TEST(test_wake_rule),
		TEST(test_wake_comes_from_who_publishes),
		TEST(test_one_wake_a_batch),
		cmocka_unit_test_setup_teardown(test_queues_fill_one_ring,
						setup_large, teardown),
		TEST(test_stopped_ring_takes_nothing),
		TEST(test_zeroed_ring_can_be_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
