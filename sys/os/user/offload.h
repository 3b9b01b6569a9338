/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * offload.h: what a driver without offloads needs done in software: Internet
 * checksums (RFC 1071), and cutting a large frame into segments.
 */
#ifndef MS_OFFLOAD_H
#define MS_OFFLOAD_H

#include "ms_core.h"

/* ---- checksums ---- */

/* Adds bytes to an unfolded sum; an odd number only in the last piece. */
uint64_t ms_csum_add(uint64_t sum, const uint8_t *p, uint32_t bytes);
/* As ms_csum_add, and copies the bytes: one pass, so that what is sent is what
   was summed up although a hostile side writes to p meanwhile. */
uint64_t ms_csum_copy(uint64_t sum, uint8_t *to, const uint8_t *p,
		      uint32_t bytes);
/* Addresses of the IP header at `ip`, protocol and length of what follows. */
uint64_t ms_csum_pseudo(const uint8_t *ip, uint8_t family, uint8_t proto,
			uint32_t bytes);
/* The one's complement in the machine's order; ms_csum_put stores it. */
uint16_t ms_csum_fold(uint64_t sum);
static inline void
ms_csum_put(uint8_t *p, uint16_t sum)
{
	memcpy(p, &sum, 2);
}

/* ---- frames ---- */

/* Reads a frame from its start to its end, each byte once. */
struct ms_reader {
	const struct ms_frame *f;
	uint32_t seg; /* 0: the linear part */
	uint32_t ofs; /* in it */
};

static inline void
ms_reader_init(struct ms_reader *r, const struct ms_frame *f)
{
	r->f = f;
	r->seg = 0;
	r->ofs = 0;
}

/* Copies the next bytes; false if there are not so many. `sum` (may be NULL)
   gets their sum; only the last call for one sum may be for an odd number. */
bool ms_reader_copy(struct ms_reader *r, uint8_t *to, uint32_t bytes,
		    uint64_t *sum);

/*
 * Copies a frame that is not to be segmented to `to`, f->len bytes long, and
 * finishes its checksum if that is asked for. -EINVAL: metadata is nonsense.
 */
int ms_frame_flatten(const struct ms_frame *f, uint8_t *to);

/*
 * Cuts a GSO frame. Init checks it: -EINVAL for nonsense metadata. next
 * writes the next segment to `to`, at most seg_bytes_max long, and returns its
 * length, 0 after the last. The frame is borrowed meanwhile.
 */
struct ms_segmenter {
	struct ms_reader reader;
	uint32_t l3, l4, hdr_bytes, payload_left, gso_size;
	uint32_t seg_bytes_max;
	uint32_t segs; /* how many there are in all */
	uint32_t index;
	uint32_t seq;
	uint16_t ip_id;
	uint8_t family, tcp_flags;
	bool udp;
	uint8_t hdr[256];
};
int ms_segmenter_init(struct ms_segmenter *s, const struct ms_frame *f);
uint32_t ms_segmenter_next(struct ms_segmenter *s, uint8_t *to);

#endif /* MS_OFFLOAD_H */
