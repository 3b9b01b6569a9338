/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_rx_util.h: for the tests of receiving: a port on a rig, and what
 * becomes of frames that the interface hands in.
 */
#ifndef SWITCH_RX_UTIL_H
#define SWITCH_RX_UTIL_H

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

RIG_FN int
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

RIG_FN int
teardown(void **state)
{
	(void)state;
	while (rig.sw->ports != NULL)
		ms_port_destroy(rig.sw->ports);
	rig_deinit(&rig);
	return 0;
}

RIG_FN uint64_t
nic_counter(enum ms_counter which)
{
	return rig_counter(&rig, NULL, which);
}

/* The ring that has a frame, which is taken from it; -1: none has. */
RIG_FN int
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
RIG_FN int
taken(const uint8_t *frame, uint32_t len)
{
	int ring;

	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_TAKEN);
	ring = ring_of_frame(port);
	assert_int_not_equal(ring, -1);
	return ring;
}

RIG_FN void
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

RIG_FN uint32_t
udp6_in(uint8_t *p, uint16_t sport, uint16_t dport)
{
	rig_udp(p + 54, sport, dport, "x", 1);
	return rig_ip6_hdr(p, true, rig_peer_ip6, rig_ip6, IPPROTO_UDP, 9);
}

#endif /* SWITCH_RX_UTIL_H */
