/* SPDX-License-Identifier: BSD-2-Clause */
/* How fast packets leave, and how large. */
#include "tcp_output.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define BURST_MIN_SEGS 2
#define UNPACED_SEGS 10 /* an initial window leaves as it is */

/* What cwnd and the round trip time come to; 0: not known. */
static uint64_t
natural_rate(const utcp_sock_t *s)
{
	uint64_t rate;

	if (s->cc.pacing_rate)
		return s->cc.pacing_rate;
	if (!s->srtt_ns)
		return 0;
	/* cwnd < 2^32 and SEC < 2^30: no overflow. */
	rate = (uint64_t)s->cc.cwnd * SEC / s->srtt_ns;
	/* Slow start doubles in a round trip; after it some headroom, so that
	   the pace is not what holds cwnd down. */
	return s->cc.cwnd < s->cc.ssthresh / 2 ? 2 * rate : rate + rate / 5;
}

bool
utcp__pace_blocked(utcp_sock_t *s)
{
	if (s->busy->pace_next_ns <= s->u->now_ns)
		return false;
	if (!s->pace_rate) {
		s->busy->pace_next_ns = 0; /* switched off meanwhile */
		return false;
	}
	if (s->due[UTCP__TM_PACE] != s->busy->pace_next_ns)
		utcp__tm_set(s, UTCP__TM_PACE, s->busy->pace_next_ns);
	return true;
}

void
utcp__pace_sent(utcp_sock_t *s, uint32_t bytes)
{
	uint64_t rate = s->pace_rate, now = s->u->now_ns;
	uint64_t len_ns, late_ns;

	if (!rate || s->bytes_sent < UNPACED_SEGS * (uint64_t)s->mss)
		return;
	len_ns = bytes * SEC / rate;
	/* A late start is made up for, by half of this packet's time at
	   most: timers are coarse, and that must not cost rate. */
	late_ns = s->busy->pace_next_ns ? now - MIN(s->busy->pace_next_ns, now)
					: 0;
	len_ns -= MIN(late_ns, len_ns / 2);
	s->busy->pace_next_ns = MAX(s->busy->pace_next_ns, now) + len_ns;
}

/* Payload for which the caller's buffers have room, at a guess that is never
   too high; most is enough. */
static uint32_t
room_bytes(const struct utcp__out *o, uint32_t most)
{
	uint32_t head = o->u->cfg.l2_bytes + 40 + 60, room = 0;
	unsigned int i;

	for (i = 0; i < o->num && i < UTCP_PKT_PARTS_MAX; i++) {
		room += o->pkts[i].len;
		if (room >= most + head)
			return most;
	}
	return room > head ? room - head : 0;
}

uint32_t
utcp__burst_bytes(utcp_sock_t *s, const struct utcp__out *o, uint32_t mss)
{
	uint32_t most = s->u->cfg.gso_max_bytes, bytes;
	uint64_t rate;

	if (!(s->u->cfg.offloads & UTCP_OFFLOAD_GSO_TCP) ||
	    !(s->u->cfg.offloads & UTCP_OFFLOAD_CSUM))
		return mss;
	most = MIN(most ? most : 65535u, 65535u);
	most -= MIN(most, 40u + 20u + 40u); /* headers, at their longest */
	if (s->cc.gso_max)
		most = MIN(most, s->cc.gso_max);
	rate = s->pace_rate ? s->pace_rate : natural_rate(s);
	bytes = most;
	/* A millisecond's worth, so that a burst holds nobody up; on paths so
	   short that the millisecond is long, all that fits. */
	if (rate && s->min_rtt_ns > MSEC / 2 && rate / 1024 < most)
		bytes = (uint32_t)(rate / 1024);
	bytes = MIN(MAX(bytes, BURST_MIN_SEGS * mss), most);
	/* A packet too large for all of them would never leave. */
	if (o->used == 0)
		bytes = room_bytes(o, bytes);
	return bytes < mss ? mss : bytes - bytes % mss;
}

/* ---- what held it up --------------------------------------------------------- */

#define LIMIT_SHIFT 14

void
utcp__limit_change(utcp_sock_t *s, enum utcp__limit limit)
{
	uint64_t now = s->u->now_ns, units;

	if (s->busy->limit == LIMIT_NONE) {
		s->busy->limit_ns = now;
	} else {
		units = (now - s->busy->limit_ns) >> LIMIT_SHIFT;
		s->limits[s->busy->limit - 1] += (uint32_t)units;
		/* What is left over counts for the next. */
		s->busy->limit_ns += units << LIMIT_SHIFT;
	}
	s->busy->limit = (uint8_t)limit;
}

void
utcp__limit_times(const utcp_sock_t *s, uint64_t ns[3])
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		ns[i] = (uint64_t)s->limits[i] << LIMIT_SHIFT;
	if (s->busy->limit != LIMIT_NONE)
		ns[s->busy->limit - 1] += s->u->now_ns - s->busy->limit_ns;
	ns[0] += ns[1] + ns[2];
}
