/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * defects_rig.h: one switch, told through its own calls, for the tests of known
 * defects of earlier implementations.
 */
#ifndef DEFECTS_RIG_H
#define DEFECTS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../hostile/rig.h"

static struct rig rig;

static inline int
setup(void **state)
{
	(void)state;
	rig_init(&rig, 1);
	return 0;
}

static inline int
teardown(void **state)
{
	(void)state;
	while (rig.sw->ports != NULL)
		ms_port_destroy(rig.sw->ports);
	rig_deinit(&rig);
	return 0;
}

static inline struct ms_port *
bound(const struct ms_cred *cred, struct ms_tuple tuple)
{
	struct ms_port *port = rig_port(&rig, cred);

	assert_int_equal(rig_bind(&rig, cred, port, tuple), 0);
	return port;
}

static inline struct ms_tuple
udp(uint16_t port)
{
	return rig_tuple4(rig_ip, IPPROTO_UDP, port);
}

/* Sends and expects that nobody got it and that `which` says so. */
static inline void
refused(struct ms_port *port, const void *frame, uint32_t len,
	enum ms_counter which)
{
	uint64_t before = rig_counter(&rig, port, which);
	uint64_t wire = rig.wire.frames, host = rig.host.frames;
	uint64_t local = rig_counter(&rig, NULL, MS_CTR_TX_LOCAL);

	assert_int_equal(rig_send(&rig, port, frame, len), 0);
	assert_int_equal(rig_counter(&rig, port, which), before + 1);
	assert_int_equal(rig_counter(&rig, NULL, which) > 0, 1);
	assert_int_equal(rig.wire.frames, wire);
	assert_int_equal(rig.host.frames, host);
	assert_int_equal(rig_counter(&rig, NULL, MS_CTR_TX_LOCAL), local);
	assert_int_not_equal(rig_ring(port, false, 0)->lost, 0);
}

#endif /* DEFECTS_RIG_H */
