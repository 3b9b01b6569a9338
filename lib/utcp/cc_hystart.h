/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_hystart.h: HyStart++ (RFC 9406): leaving slow start when the round trip
 * grows, before loss.
 */
#ifndef UTCP_CC_HYSTART_H
#define UTCP_CC_HYSTART_H

#include "cc_util.h"

struct utcp__hystart {
	uint64_t last_min_ns, min_ns; /* of the last round, of this one */
	uint64_t base_ns;	      /* when conservative slow start began */
	uint32_t round_end;	      /* sequence number */
	uint32_t rest;		      /* bytes not yet worth one of growth */
	uint8_t samples, css_rounds;
	bool css, done, begun;
};

/* A slow start begins (at the start of the connection; after a timeout RFC
   9406 section 4.3 does without). */
void utcp__hystart_reset(struct utcp__hystart *h);
/* An ACK below ssthresh, of n bytes to grow by: raises cwnd, or sets ssthresh to
   it. Returns bytes left over beyond ssthresh. */
uint32_t utcp__hystart_ack(struct utcp__hystart *h, utcp_cc_t *cc,
			   const utcp_ack_t *ack, uint32_t n);

#endif /* UTCP_CC_HYSTART_H */
