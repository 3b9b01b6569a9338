/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib_ends.h: ports at both ends of a wire in memory, on two switches of this
 * process.
 */
#ifndef LIB_ENDS_H
#define LIB_ENDS_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_lib_util.h"

#define A_ADDR "10.9.0.1"
#define B_ADDR "10.9.0.2"
#define A_DEV "pair:p0,link=lib,side=0,addr=" A_ADDR ",offload=1"
#define B_DEV "pair:p1,link=lib,side=1,addr=" B_ADDR ",offload=1"

struct ends {
	msport_t *a, *b;
	struct flow ab, ba;
};

static inline int
setup_with(void **state, const msport_options_t *opt)
{
	struct ends *e = calloc(1, sizeof *e);

	assert_non_null(e);
	e->a = must_open(A_DEV, opt);
	e->b = must_open(B_DEV, opt);
	must_bind(e->a, A_ADDR, 1000);
	must_bind(e->b, B_ADDR, 2000);
	e->ab = (struct flow){
		.src = A_ADDR, .dst = B_ADDR, .sport = 1000, .dport = 2000
	};
	memcpy(e->ab.smac, msport_info(e->a)->mac, 6);
	memcpy(e->ab.dmac, msport_info(e->b)->mac, 6);
	e->ba = (struct flow){
		.src = B_ADDR, .dst = A_ADDR, .sport = 2000, .dport = 1000
	};
	memcpy(e->ba.smac, e->ab.dmac, 6);
	memcpy(e->ba.dmac, e->ab.smac, 6);
	*state = e;
	return 0;
}

static inline int
setup(void **state)
{
	return setup_with(state, NULL);
}

static inline int
setup_small(void **state)
{
	static const msport_options_t opt = { .slots = 8, .extra_bufs = 2 };

	return setup_with(state, &opt);
}

static inline int
teardown(void **state)
{
	struct ends *e = *state;

	msport_close(e->a);
	msport_close(e->b);
	free(e);
	return 0;
}

/* n frames of `bytes` from a to b; the i-th has seed first + i. */
static inline void
send_ab(struct ends *e, unsigned int n, uint32_t bytes, uint8_t first)
{
	uint8_t f[2048];

	for (unsigned int i = 0; i < n; i++) {
		udp_frame(f, bytes, &e->ab, (uint8_t)(first + i));
		assert_int_equal(msport_send(e->a, 0, f, bytes), 0);
	}
}

static inline void
is_frame(const uint8_t *got, uint32_t len, uint8_t seed)
{
	for (uint32_t i = HDR_BYTES; i < len; i++)
		if (got[i] != (uint8_t)(i + seed))
			fail_msg("byte %u of %u is wrong", i, len);
}

static inline void
unbind(msport_t *p, const char *addr, uint16_t number)
{
	struct ms_tuple t;

	assert_int_equal(msport_tuple(&t, addr, IPPROTO_UDP, number), 0);
	assert_int_equal(msport_unbind(p, &t), 0);
}

#endif /* LIB_ENDS_H */
