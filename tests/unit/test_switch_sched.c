/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_switch_sched.c: what the owner of a transmit ring sees, and whose turn it
 * is.
 */
#include <pthread.h>

#include "switch_tx_util.h"

/* ---- the ring's owner ---------------------------------------------------------------------- */

static void
test_bad_heads_are_ignored(void **state)
{
	static const uint32_t bad[] = { SLOTS + 1, 0xffffffff, 0x80000000 };
	uint8_t frame[256];
	uint32_t i, len = udp4(frame);

	(void)state;
	for (i = 0; i < 3; i++) {
		uint64_t before = counter(port, MS_CTR_BAD_HEAD);

		ms_os_store_release(&tx->head, bad[i]);
		kick(port);
		assert_true(counter(port, MS_CTR_BAD_HEAD) > before);
		assert_int_equal(counter(port, OK) + drops(port), 0);
		assert_int_equal(tx->tail, SLOTS);
	}
	ms_os_store_release(&tx->head, 0);
	send_expect(frame, len, OK);
	ms_os_store_release(&tx->head, 0); /* backwards */
	kick(port);
	assert_int_equal(counter(port, OK), 1);
	ms_os_store_release(&tx->head, 1);
	send_expect(frame, len, OK);
}

static uint32_t
filling_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	     uint32_t n, bool more)
{
	assert_in_range(n, 1, rig.room);
	rig.room -= n;
	return rig_xmit(nic, q, frames, n, more);
}

static void
test_no_room_loses_nothing(void **state)
{
	struct ms_nic_ops ops = *rig.nic->ops;
	uint8_t frame[256];
	uint32_t i, len = udp4(frame);

	(void)state;
	ops.xmit = filling_xmit;
	rig.nic->ops = &ops;
	for (i = 0; i < 10; i++)
		assert_int_equal(rig_tx(port, 0, frame, len), 0);
	rig.room = 3;
	kick(port);
	for (i = 3; i < 10; i++) {
		assert_int_equal(rig.wire.frames, i);
		assert_int_equal(tx->tail, SLOTS + i);
		assert_int_equal(ms_nic_sched_run(rig.nic, 0, 256), 0);
		rig.room = 1;
		rig_run(&rig, 0); /* nobody has to kick */
	}
	assert_int_equal(rig.wire.frames, 10);
	assert_int_equal(drops(port), 0);
	rig.nic->ops = rig_ops();
}

/* What does not go to the interface does not wait for it. */
static void
test_no_room_does_not_stop_local_frames(void **state)
{
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	rig.room = 0;
	len = udp4(frame);
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	rig_udp(frame + 34, 5002, 5001, "0123456789abcdef", 16);
	len = rig_ip4(frame, false, rig_ip, rig_ip, IPPROTO_UDP, 24);
	assert_int_equal(rig_tx(other, 0, frame, len), 0);
	ms_kring_tx_ready(&port->tx[0]);
	ms_kring_tx_ready(&other->tx[0]);
	(void)ms_nic_sched_run(rig.nic, 0, 256);
	assert_int_equal(counter(other, MS_CTR_TX_LOCAL), 1);
	assert_int_equal(counter(port, OK), 0);
}

static uint32_t
half_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	  uint32_t n, bool more)
{
	return rig_xmit(nic, q, frames, n / 2, more);
}

static void
test_driver_refuses(void **state)
{
	struct ms_nic_ops ops = *rig.nic->ops;
	uint8_t frame[256];
	uint32_t i, len = udp4(frame);

	(void)state;
	ops.xmit = half_xmit;
	rig.nic->ops = &ops;
	for (i = 0; i < 10; i++)
		assert_int_equal(rig_tx(port, 0, frame, len), 0);
	kick(port);
	assert_int_equal(counter(port, OK), 5);
	assert_int_equal(counter(port, MS_CTR_TX_BYTES), 5 * len);
	assert_int_equal(counter(port, MS_CTR_DROP_TX_NIC), 5);
	assert_int_equal(tx->tail, SLOTS + 10);
	rig.nic->ops = rig_ops();
}

static void
test_owner_is_woken_when_asked(void **state)
{
	uint8_t frame[256];
	uint32_t len = udp4(frame);

	(void)state;
	send_expect(frame, len, OK);
	assert_int_equal(wakes(), 0);
	tx->wake = tx->tail; /* at the next slot given back */
	send_expect(frame, len, OK);
	assert_int_equal(wakes(), 1);
	send_expect(frame, len, OK);
	assert_int_equal(wakes(), 0);
	tx->wake = tx->tail + 1;
	send_expect(frame, len, OK);
	assert_int_equal(wakes(), 0);
	send_expect(frame, len, OK);
	assert_int_equal(wakes(), 1);
}

static void
test_doze(void **state)
{
	uint8_t frame[256];
	uint32_t len = udp4(frame);

	(void)state;
	assert_int_equal(tx->doze, 1); /* from the start */
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	rig_run(&rig, 0);
	assert_int_equal(counter(port, OK), 0); /* nobody kicked */
	assert_true(ms_kring_tx_pending(&port->tx[0]));
	expect(OK);
	assert_false(ms_kring_tx_pending(&port->tx[0]));
	assert_int_equal(tx->doze, 1);
	ms_kring_tx_ready(&port->tx[0]); /* for nothing */
	rig_run(&rig, 0);
	assert_int_equal(tx->doze, 1);
}

static void
test_polled_scheduler_needs_no_kicks(void **state)
{
	uint8_t frame[256];
	uint32_t i, len = udp4(frame);

	(void)state;
	ms_nic_sched_poll(rig.nic, 0, true);
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	kick(port);
	assert_int_equal(counter(port, OK), 1);
	for (i = 2; i < 10; i++) {
		assert_int_equal(tx->doze, 0);
		assert_int_equal(rig_tx(port, 0, frame, len), 0);
		assert_int_equal(ms_nic_sched_run(rig.nic, 0, 256), 1);
		assert_int_equal(counter(port, OK), i);
	}
	ms_nic_sched_poll(rig.nic, 0, false);
	assert_int_equal(ms_nic_sched_run(rig.nic, 0, 256), 0);
	assert_int_equal(tx->doze, 1);
}

static void
test_stopped_port_sends_nothing(void **state)
{
	uint8_t frame[256];
	uint32_t len = udp4(frame);

	(void)state;
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	ms_kring_tx_ready(&port->tx[0]);
	ms_kring_tx_ready(&port->tx[1]);
	ms_kring_tx_ready(&other->tx[0]);
	ms_kring_stop(&port->tx[0]); /* the first of the list */
	rig_run(&rig, 0);
	ms_kring_tx_ready(&port->tx[0]);
	rig_run(&rig, 0);
	assert_int_equal(rig.wire.frames, 0);
	ms_kring_tx_ready(&port->tx[1]);
	ms_kring_tx_ready(&other->tx[0]);
	ms_kring_stop(&other->tx[0]); /* the last of the list */
	ms_kring_tx_ready(&other->tx[1]);
	rig_run(&rig, 0);
	assert_int_equal(rig.nic->sched[0].num, 0);
}

/* ---- whose turn it is -------------------------------------------------------------------------- */

/* Keeps a ring full of frames of one size. */
static void
fill(struct ms_port *p, const uint8_t *frame, uint32_t len)
{
	while (rig_tx(p, 0, frame, len) == 0)
		;
}

static void
test_greedy_rings_share_bytes(void **state)
{
	static const uint32_t payloads[3] = { 6, 500, 1400 };
	static uint8_t frames[3][2048];
	struct ms_port *p[3];
	uint64_t bytes[3], least, most;
	uint32_t i, len[3], round;

	(void)state;
	for (i = 0; i < 3; i++) {
		p[i] = make_port(1024);
		bind4(p[i], rig_ip, IPPROTO_UDP, (uint16_t)(6000 + i));
		memset(frames[i], 0, 2048);
		(void)rig_udp_out(frames[i], (uint16_t)(6000 + i), 9, "", 0);
		rig_put16(frames[i] + 38, 8 + payloads[i]);
		len[i] = rig_ip4(frames[i], false, rig_ip, rig_peer_ip,
				 IPPROTO_UDP, 8 + payloads[i]);
	}
	for (round = 0; round < 300; round++) {
		for (i = 0; i < 3; i++) {
			fill(p[i], frames[i], len[i]);
			ms_kring_tx_ready(&p[i]->tx[0]);
		}
		(void)ms_nic_sched_run(rig.nic, 0, 100);
	}
	least = UINT64_MAX;
	most = 0;
	for (i = 0; i < 3; i++) {
		/* short frames are charged 64 bytes */
		bytes[i] = counter(p[i], OK) * (len[i] < 64 ? 64 : len[i]);
		if (bytes[i] < least)
			least = bytes[i];
		if (bytes[i] > most)
			most = bytes[i];
	}
	assert_true(least > 20 * MS_DRR_QUANTUM_BYTES);
	assert_true(most - least <= 2 * MS_DRR_QUANTUM_BYTES);
}

/* Garbage is charged as well: it buys its writer no extra turn. */
static void
test_garbage_pays(void **state)
{
	uint8_t frame[256];
	struct ms_port *good = make_port(1024);
	struct ms_port *bad = make_port(1024);
	uint32_t len, round;

	(void)state;
	bind4(good, rig_ip, IPPROTO_UDP, 6000);
	len = rig_udp_out(frame, 6000, 9, "0123456789abcdef", 16);
	for (round = 0; round < 200; round++) {
		fill(good, frame, len);
		ms_os_store_release(&rig_ring(bad, false, 0)->head,
				    rig_ring(bad, false, 0)->tail);
		ms_kring_tx_ready(&good->tx[0]);
		ms_kring_tx_ready(&bad->tx[0]);
		(void)ms_nic_sched_run(rig.nic, 0, 100);
	}
	assert_true(counter(good, OK) + 600 >= drops(bad));
	assert_true(counter(good, OK) > 5000);
}

#define LONG_SLOTS 30

/* A frame of more than a turn's share. */
static void
put_long(void)
{
	static const uint16_t sizes[LONG_SLOTS] = {
		[0 ... LONG_SLOTS - 1] = 2048,
	};
	static uint8_t frame[LONG_SLOTS * 2048];
	struct ms_slot *slot = next_slot();

	(void)tcp4(frame, sizeof(frame) - 54);
	put_chain(frame, sizes, LONG_SLOTS, false);
	slot->flags |= MS_SLOT_CSUM_PARTIAL;
	slot->gso_type = MS_GSO_TCP4;
	slot->gso_size = 1400;
	slot->csum_start = 34;
	slot->csum_offset = 16;
}

/* It is sent after some turns, in one run, behind what another has. */
static void
test_frame_longer_than_the_share(void **state)
{
	struct ms_port *small = make_port(1024);
	uint8_t frame[256];
	uint32_t len = rig_udp_out(frame, 6000, 9, "", 0);

	(void)state;
	bind4(small, rig_ip, IPPROTO_UDP, 6000);
	fill(small, frame, len);
	ms_kring_tx_ready(&small->tx[0]);
	put_long();
	kick(port);
	assert_true(counter(port, MS_CTR_TX_SYNCS) > 3);
	assert_int_equal(counter(port, OK), 1);
	assert_int_equal(counter(port, MS_CTR_TX_BYTES), LONG_SLOTS * 2048);
	assert_int_equal(counter(small, OK), 1024);
}

static void
test_lone_ring_waits_for_no_turn(void **state)
{
	(void)state;
	put_long();
	expect(OK);
	assert_int_equal(rig.wire.kept[0].bytes, LONG_SLOTS * 2048);
	put_long();
	expect(OK);
	assert_int_equal(counter(port, MS_CTR_TX_SYNCS), 2);
}

static void
test_budget_is_kept(void **state)
{
	uint8_t frame[256];
	uint32_t len = udp4(frame);
	uint32_t i;

	(void)state;
	fill(port, frame, len);
	ms_kring_tx_ready(&port->tx[0]);
	for (i = 1; i <= SLOTS; i++) {
		assert_int_equal(ms_nic_sched_run(rig.nic, 0, 1), 1);
		assert_int_equal(rig.wire.frames, i);
	}
	assert_int_equal(ms_nic_sched_run(rig.nic, 0, 1), 0);
	assert_int_equal(tx->doze, 1);
}

/* ---- several threads --------------------------------------------------------------------------- */

#define SENDERS 3
#define EACH 20000

static struct ms_port *sender_port[SENDERS];

/* Sends, kicks only when asked, and runs the scheduler when it kicked: as the
   callers of a kernel do. */
static void *
sender(void *arg)
{
	struct ms_port *p = sender_port[(uintptr_t)arg];
	struct ms_ring *r = rig_ring(p, false, 0);
	uint32_t i, len, pay[4] = { (uint32_t)(uintptr_t)arg };
	uint8_t frame[256];

	for (i = 0; i < EACH;) {
		pay[1] = i;
		len = rig_udp_out(frame, (uint16_t)(6000 + pay[0]), 9, pay, 16);
		if (rig_tx(p, 0, frame, len) == 0) {
			i++;
			ms_os_fence(); /* H */
		}
		if (MS_USER_READ(r->doze) != 0) {
			ms_kring_tx_ready(&p->tx[0]);
			(void)ms_nic_sched_run(rig.nic, 0, 256);
		}
	}
	return NULL;
}

/* Nothing is lost or left behind, whoever happened to be the runner. */
static void
test_many_runners(void **state)
{
	pthread_t thread[SENDERS];
	uintptr_t i;

	(void)state;
	for (i = 0; i < SENDERS; i++) {
		sender_port[i] = make_port(64);
		bind4(sender_port[i], rig_ip, IPPROTO_UDP,
		      (uint16_t)(6000 + i));
	}
	for (i = 0; i < SENDERS; i++)
		assert_int_equal(
		    pthread_create(&thread[i], NULL, sender, (void *)i), 0);
	for (i = 0; i < SENDERS; i++)
		pthread_join(thread[i], NULL);
	/* who left at the end may have left frames to a runner that had gone
	   on with its budget used up */
	rig_run(&rig, 0);
	for (i = 0; i < SENDERS; i++) {
		assert_int_equal(counter(sender_port[i], OK), EACH);
		assert_int_equal(drops(sender_port[i]), 0);
	}
	assert_int_equal(rig.wire.frames, SENDERS * EACH);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bad_heads_are_ignored),
		TEST(test_no_room_loses_nothing),
		TEST(test_no_room_does_not_stop_local_frames),
		TEST(test_driver_refuses),
		TEST(test_owner_is_woken_when_asked),
		TEST(test_doze),
		TEST(test_polled_scheduler_needs_no_kicks),
		TEST(test_stopped_port_sends_nothing),
		TEST(test_greedy_rings_share_bytes),
		TEST(test_garbage_pays),
		TEST(test_frame_longer_than_the_share),
		TEST(test_lone_ring_waits_for_no_turn),
		TEST(test_budget_is_kept),
		TEST(test_many_runners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
