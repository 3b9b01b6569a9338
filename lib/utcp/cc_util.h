/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_util.h: what the congestion controls that ship have in common.
 */
#ifndef UTCP_CC_UTIL_H
#define UTCP_CC_UTIL_H

#include "cc.h"

/* As in utcp_cc_t.recovery. */
enum { CC_OPEN, CC_DISORDER, CC_CWR, CC_RECOVERY, CC_LOSS };

/* Segments that one ACK may add in slow start: RFC 9406 section 4.3 has no limit
   where bursts are bounded (tcp_pace.c), and 46 are what one ACK of a receiver
   that takes GRO's segments whole stands for. After a timeout as RFC 3465
   section 2.3 has it. */
#define SLOW_START_LIMIT 46
#define SLOW_START_LIMIT_LOSS 2

/* Bytes of this ACK for which cwnd may grow: not in fast recovery, only if the
   window was what limited (RFC 7661), and for duplicates not at all (RFC 5681
   section 3.2) unless the path is known to reorder: then the stack tells us
   that all is open. */
static inline uint32_t
utcp__cc_growth(const utcp_cc_t *cc, const utcp_ack_t *ack)
{
	if (cc->recovery == CC_CWR || cc->recovery == CC_RECOVERY ||
	    !cc->cwnd_limited)
		return 0;
	return cc->recovery == CC_OPEN || ack->acked ? ack->delivered : 0;
}

/* Slow start up to ssthresh; returns the bytes of n left over beyond it. */
static inline uint32_t
utcp__cc_slow_start(utcp_cc_t *cc, uint32_t n)
{
	uint32_t limit = cc->recovery == CC_LOSS ? SLOW_START_LIMIT_LOSS
						 : SLOW_START_LIMIT;
	uint32_t room = cc->ssthresh - cc->cwnd, add;

	add = n < limit * cc->mss ? n : limit * cc->mss;
	if (add <= room) {
		cc->cwnd += add;
		return 0;
	}
	cc->cwnd += room;
	return add - room;
}

/* What a reduction starts from: what is in flight, as far as the window had
   let it out (RFC 5681 section 3.1: not cwnd, which an idle application may
   have left large). */
static inline uint32_t
utcp__cc_flight(const utcp_cc_t *cc)
{
	uint32_t flight = cc->snd_nxt - cc->snd_una;

	return flight < cc->cwnd ? flight : cc->cwnd;
}

/* The window in whole segments, which is what a round trip delivers of it. */
static inline uint32_t
utcp__cc_whole(const utcp_cc_t *cc)
{
	return cc->cwnd > cc->mss ? cc->cwnd - cc->cwnd % cc->mss : cc->mss;
}

#endif /* UTCP_CC_UTIL_H */
