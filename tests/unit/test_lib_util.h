/* SPDX-License-Identifier: BSD-2-Clause */
/* test_lib_util.h: a UDP frame and a few steps that many tests take. */
#ifndef TEST_LIB_UTIL_H
#define TEST_LIB_UTIL_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <multistack/port.h>

#define HDR_BYTES 42 /* Ethernet, IPv4, UDP */

struct flow {
	uint8_t smac[6], dmac[6];
	const char *src, *dst;
	uint16_t sport, dport;
};

static inline void
put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* A frame of `len` bytes; byte i behind the headers is i + seed. */
static inline void
udp_frame(uint8_t *f, uint32_t len, const struct flow *flow, uint8_t seed)
{
	uint8_t *ip = f + 14;
	uint32_t sum = 0, i;

	memset(f, 0, HDR_BYTES);
	memcpy(f, flow->dmac, 6);
	memcpy(f + 6, flow->smac, 6);
	put16(f + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, len - 14);
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	assert_int_equal(inet_pton(AF_INET, flow->src, ip + 12), 1);
	assert_int_equal(inet_pton(AF_INET, flow->dst, ip + 16), 1);
	for (i = 0; i < 20; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~sum & 0xffff);
	put16(ip + 20, flow->sport);
	put16(ip + 22, flow->dport);
	put16(ip + 24, len - 34);
	for (i = HDR_BYTES; i < len; i++)
		f[i] = (uint8_t)(i + seed);
}

/* 0, or what bind said. */
static inline int
try_bind(msport_t *p, const char *addr, uint16_t number)
{
	struct ms_tuple t;

	assert_int_equal(msport_tuple(&t, addr, IPPROTO_UDP, number), 0);
	return msport_bind(p, &t);
}

static inline void
must_bind(msport_t *p, const char *addr, uint16_t number)
{
	int r = try_bind(p, addr, number);

	if (r)
		fail_msg("bind %s:%u: %d, %s", addr, number, r,
			 msport_error(p));
}

static inline msport_t *
must_open(const char *device, const msport_options_t *opt)
{
	msport_error_t err;
	msport_t *p;

	if (msport_open(&p, device, opt, &err))
		fail_msg("%s: %d, %s", device, err.code, err.text);
	return p;
}

static inline uint64_t
counter(msport_t *p, unsigned int i)
{
	struct ms_cmd_stats s = { .size = sizeof s };

	assert_int_equal(msport_stats(p, &s), 0);
	return s.counter[i];
}

#endif /* TEST_LIB_UTIL_H */
