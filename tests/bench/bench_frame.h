/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_frame.h: what the benchmarks' programs have in common: a clock, a UDP
 * frame, and its reflection.
 */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BENCH_HEADER_BYTES 42 /* Ethernet, IPv4, UDP */

struct bench_flow {
	uint8_t src_mac[6], dst_mac[6];
	uint32_t src_be, dst_be;
	uint16_t sport, dport;
};

static inline uint64_t
bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CPU time of this process, both user and kernel. */
static inline uint64_t
bench_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* "02:00:..." into six bytes; 0, or -1 if it is no MAC address. */
static inline int
bench_mac(const char *text, uint8_t mac[6])
{
	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1],
		      &mac[2], &mac[3], &mac[4], &mac[5]) == 6
		   ? 0
		   : -1;
}

static inline void
bench_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Writes a frame of `len` bytes (without CRC) with a right IP checksum and no
   UDP checksum. */
static inline void
bench_frame(uint8_t *f, uint32_t len, const struct bench_flow *flow)
{
	uint8_t *ip = f + 14;
	uint32_t sum = 0;

	memset(f, 0, len);
	memcpy(f, flow->dst_mac, 6);
	memcpy(f + 6, flow->src_mac, 6);
	bench_put16(f + 12, 0x0800);
	ip[0] = 0x45;
	bench_put16(ip + 2, len - 14);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, &flow->src_be, 4);
	memcpy(ip + 16, &flow->dst_be, 4);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	bench_put16(ip + 10, ~(sum + (sum >> 16)));
	bench_put16(ip + 20, flow->sport);
	bench_put16(ip + 22, flow->dport);
	bench_put16(ip + 24, len - 34);
}

/* Sends a frame back where it came from: addresses and ports change places,
   which no checksum notices. */
static inline void
bench_reflect(uint8_t *f)
{
	uint8_t mac[6];
	uint32_t a, b;
	uint16_t c, d;

	memcpy(mac, f, 6);
	memcpy(f, f + 6, 6);
	memcpy(f + 6, mac, 6);
	memcpy(&a, f + 26, 4);
	memcpy(&b, f + 30, 4);
	memcpy(f + 26, &b, 4);
	memcpy(f + 30, &a, 4);
	memcpy(&c, f + 34, 2);
	memcpy(&d, f + 36, 2);
	memcpy(f + 34, &d, 2);
	memcpy(f + 36, &c, 2);
}

#endif /* BENCH_FRAME_H */
