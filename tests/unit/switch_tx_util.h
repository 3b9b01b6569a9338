/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_tx_util.h: for the tests of transmission: two ports on a rig, frames
 * of the first, and what is expected of them.
 */
#ifndef SWITCH_TX_UTIL_H
#define SWITCH_TX_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "../hostile/rig.h"
#include "../hostile/tx_rules.h"

#define SLOTS 64

static const uint8_t any4[4];

static struct rig rig;
static struct ms_port *port;  /* udp and tcp 5001, sctp 5001, protocol 253 */
static struct ms_port *other; /* udp 5002 */
static struct ms_ring *tx;
static struct ms_waiter bell;

RIG_FN struct ms_port *
make_port(uint32_t slots)
{
	struct ms_port *p;

	assert_int_equal(rig_port_sized(&rig, &rig_root, 2, 2, slots, &p), 0);
	return p;
}

RIG_FN void
bind4(struct ms_port *p, const uint8_t addr[4], uint8_t proto, uint16_t n)
{
	assert_int_equal(
	    rig_bind(&rig, &rig_root, p, rig_tuple4(addr, proto, n)), 0);
}

RIG_FN void
bind6(struct ms_port *p, uint8_t proto, uint16_t n)
{
	assert_int_equal(
	    rig_bind(&rig, &rig_root, p, rig_tuple6(rig_ip6, proto, n)), 0);
}

RIG_FN int
setup(void **state)
{
	(void)state;
	rig_init(&rig, 1);
	port = make_port(SLOTS);
	other = make_port(SLOTS);
	bind4(port, rig_ip, IPPROTO_UDP, 5001);
	bind4(port, rig_ip, IPPROTO_TCP, 5001);
	bind4(port, rig_ip, IPPROTO_SCTP, 5001);
	bind4(port, rig_ip, 253, 0);
	bind6(port, IPPROTO_UDP, 5001);
	bind6(port, IPPROTO_TCP, 5001);
	bind4(other, rig_ip, IPPROTO_UDP, 5002);
	tx = rig_ring(port, false, 0);
	/* no wake-up for a long time, unless a test asks for it */
	tx->wake = tx->tail + 0x40000000;
	bell.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(bell.wake_fd >= 0);
	port->tx[0].waiter = &bell;
	return 0;
}

RIG_FN int
teardown(void **state)
{
	(void)state;
	while (rig.sw->ports != NULL)
		ms_port_destroy(rig.sw->ports);
	rig_deinit(&rig);
	close(bell.wake_fd);
	return 0;
}

RIG_FN uint64_t
wakes(void)
{
	uint64_t n;

	return read(bell.wake_fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

RIG_FN uint64_t
counter(struct ms_port *p, enum ms_counter which)
{
	return rig_counter(&rig, p, which);
}

/* The slot that the next frame of port goes into. */
RIG_FN struct ms_slot *
next_slot(void)
{
	return &rig_slots(tx)[tx->head & (SLOTS - 1)];
}

RIG_FN void
kick(struct ms_port *p)
{
	ms_kring_tx_ready(&p->tx[0]);
	rig_run(&rig, 0);
}

/* The sum of all counters that say a frame was not forwarded. */
RIG_FN uint64_t
drops(struct ms_port *p)
{
	uint64_t ctr[MS_CTR_MAX], sum = 0;
	unsigned int i;

	rig_stats(&rig, p, ctr);
	for (i = MS_CTR_DROP_RX_FULL; i <= MS_CTR_DROP_NOMEM; i++)
		sum += ctr[i];
	return sum;
}

/* Sends what is in the ring already, one frame, and says what came of it. */
RIG_FN void
expect(enum ms_counter which)
{
	uint64_t sent = counter(port, OK), lost = drops(port);
	uint64_t before = counter(port, which), nic = counter(NULL, which);

	kick(port);
	assert_int_equal(counter(port, which), before + 1);
	assert_int_equal(counter(NULL, which), nic + 1);
	assert_int_equal(counter(port, OK), sent + (which == OK));
	assert_int_equal(drops(port), lost + (which != OK));
	assert_int_equal(tx->lost, drops(port));
	assert_int_equal(tx->tail, tx->head + SLOTS);
}

RIG_FN void
send_expect(const uint8_t *frame, uint32_t len, enum ms_counter which)
{
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	expect(which);
}

/* ---- frames ------------------------------------------------------------------ */

/* Puts a frame into slots of the given sizes; the last has no MORE. */
RIG_FN void
put_chain(const uint8_t *frame, const uint16_t *sizes, uint32_t n, bool open)
{
	struct ms_slot *s;
	uint32_t i;

	for (i = 0; i < n; i++) {
		s = next_slot();
		memset((uint8_t *)s + 4, 0, sizeof(*s) - 4);
		memcpy(rig_buf(port, s->buf), frame, sizes[i]);
		s->len = sizes[i];
		s->flags = i + 1 < n || open ? MS_SLOT_MORE : 0;
		frame += sizes[i];
		ms_os_store_release(&tx->head, tx->head + 1);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif /* SWITCH_TX_UTIL_H */
