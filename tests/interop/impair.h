/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * impair.h: one direction of a bad link, seeded: loss (single or in bursts),
 * duplication, corruption, reordering, delay, jitter, a rate with a queue
 * before it, CE marks of that queue, a silent MTU.
 */
#ifndef INTEROP_IMPAIR_H
#define INTEROP_IMPAIR_H

#include <stdbool.h>
#include <stdint.h>

/* An IP packet in one piece, with the metadata of its first utcp_pkt_t. */
struct frame {
	struct frame *next;
	uint64_t due_ns, order;
	uint32_t len;
	uint16_t flags;
	uint8_t gso_type;
	uint16_t gso_size, csum_start, csum_offset;
	uint8_t data[];
};

struct impair;

/* Never NULL: out of memory ends the program. Passes everything at first. */
struct impair *impair_create(uint64_t seed);
void impair_destroy(struct impair *im);
/*
 * "loss=0.02,delay=10ms": sets what is named, 0 switches it off again; "none"
 * sets all to 0. Probabilities loss, dup, corrupt, reorder; burst (mean length
 * of a loss, packets); times delay, jitter, late (how late a reordered one
 * is); rate (bits a second, with k, m, g), queue and mark (bytes waiting above
 * which packets are dropped, or marked), mtu. -1: not understood.
 */
int impair_parse(struct impair *im, const char *spec);
/* Whether packets must go through it. */
bool impair_busy(const struct impair *im);
/* Takes the frame (of frame_new), to be given back by impair_get. */
void impair_put(struct impair *im, struct frame *f, uint64_t now_ns);
/* The same, but as a device would: large sends cut, checksums finished.
   (segment.c) */
void segment_put(struct impair *im, struct frame *f, uint64_t now_ns);
/* The next that has arrived, the caller's then; NULL. */
struct frame *impair_get(struct impair *im, uint64_t now_ns);
/* When impair_get will have one; UINT64_MAX: nothing is on its way. */
uint64_t impair_next(const struct impair *im);

struct impair_count {
	uint64_t in, lost, dup, corrupt, late, full, marked, too_big;
};
struct impair_count impair_count(const struct impair *im);

struct frame *frame_new(uint32_t len);
/* "10ms", "2s", "5us", "7ns", "3" (seconds); UINT64_MAX: no time. */
uint64_t parse_time(const char *text);

#endif
