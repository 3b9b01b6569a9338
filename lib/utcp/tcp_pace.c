/* SPDX-License-Identifier: BSD-2-Clause */
/* How fast packets leave, and how large. */
#include "cc.h"
#include "ext.h"
#include "tcp_output.h"

#define UNPACED_SEGS 10 /* an initial window leaves as it is (RFC 6928) */
#define BURST_MIN_SEGS 2
#define LATE_NS MSEC /* of a timer, which is made up for */

/*
 * Who does not pace sends when ACKs come, and where many come at once, as behind
 * a batching receiver, a window leaves at once, for a queue that need not have
 * room for it. So bursts are bounded there (RFC 9406 section 4.3, RFC 7661
 * section 4.4.2): a quarter of a millisecond of the rate, but not less than
 * these. On shorter paths a window is a burst for any clock; the path counts, for
 * behind a busy peer round trips are long everywhere.
 */
#define BOUNDED_RTT_NS MSEC
#define BOUND_PER_S 4096
#define BOUND_SEGS 6
#define BOUND_SEGS_FIRST                                                       \
	20 /* before any congestion: an initial window doubled */

/* Whether each packet has its time. */
static bool
paces(const utcp_sock_t *s)
{
	int64_t mode = OPT(s, PACING);

	return mode == 2 || (mode && OPT(s, MAX_PACING_RATE)) ||
	       (mode == 1 && s->cc_mod && s->cc_mod->ops.flags & UTCP_CC_PACES);
}

/* Faster than the window goes round, so that the pace is not what holds it down:
   2 while slow start doubles it, else 1.2. 0: not known. */
static uint64_t
window_rate(const utcp_sock_t *s)
{
	uint64_t tenths = s->cc.cwnd < s->cc.ssthresh / 2 ? 20 : 12, rate;

	if (!s->srtt_ns)
		return 0;
	/* cwnd < 2^31, and SEC / 10 * 20 < 2^31: no overflow. */
	rate = s->cc.cwnd * (tenths * (SEC / 10)) / s->srtt_ns;
	return rate + (rate == 0);
}

void
utcp__pace_update(utcp_sock_t *s)
{
	uint64_t most = (uint64_t)OPT(s, MAX_PACING_RATE), rate = 0;

	if (paces(s)) {
		rate = s->cc.pacing_rate ? s->cc.pacing_rate : window_rate(s);
		if (most && (!rate || rate > most))
			rate = most;
	} else if (OPT(s, PACING) && s->min_rtt_ns > BOUNDED_RTT_NS &&
		   s->cc.cwnd > UNPACED_SEGS * (uint32_t)s->mss) {
		rate = window_rate(s);
	}
	s->pace_rate = rate;
}

/* Bytes that may leave ahead of their time. */
static uint64_t
bound(const utcp_sock_t *s)
{
	uint64_t least = s->cc.ssthresh == UINT32_MAX ? BOUND_SEGS_FIRST
						      : BOUND_SEGS;

	least *= s->mss;
	return MAX(least, s->pace_rate / BOUND_PER_S);
}

bool
utcp__pace_blocked(utcp_sock_t *s)
{
	uint64_t next = s->busy->pace_next_ns, now = s->u->now_ns, ahead = 0;

	if (!s->pace_rate) {
		s->busy->pace_next_ns = 0; /* switched off meanwhile */
		return false;
	}
	if (next > now && !paces(s))
		ahead = bound(s) * SEC / s->pace_rate;
	if (next > now + ahead) {
		/* Half a burst at a time, not a timer for each segment. */
		next -= ahead / 2;
		if (s->due[UTCP__TM_PACE] != next)
			utcp__tm_set(s, UTCP__TM_PACE, next);
		s->busy->pace_late_ns = UTCP_NEVER;
		return true;
	}
	/* It waited, and what the timer was late by must not cost rate. */
	if (s->busy->pace_late_ns == UTCP_NEVER) {
		s->busy->pace_late_ns = now;
		if (now > LATE_NS && next < now - LATE_NS)
			s->busy->pace_next_ns = now - LATE_NS;
	}
	return false;
}

void
utcp__pace_sent(utcp_sock_t *s, uint32_t bytes)
{
	uint64_t rate = s->pace_rate, now = s->u->now_ns;

	if (!rate || s->bytes_sent < UNPACED_SEGS * (uint64_t)s->mss)
		return;
	if (s->busy->pace_next_ns < now && s->busy->pace_late_ns != now)
		s->busy->pace_next_ns = now;
	s->busy->pace_next_ns += bytes * SEC / rate;
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
	    !(s->u->cfg.offloads & UTCP_OFFLOAD_CSUM) ||
	    (UNLIKELY(s->ext != NULL) && s->ext->no_gso))
		return mss;
	most = MIN(most ? most : 65535u, 65535u);
	most -= MIN(most, 40u + 20u + 40u); /* headers, at their longest */
	if (s->cc.gso_max)
		most = MIN(most, s->cc.gso_max);
	rate = s->pace_rate ? s->pace_rate : window_rate(s);
	bytes = most;
	/* A millisecond's worth, so that a burst holds nobody up; on paths so
	   short that the millisecond is long, all that fits. */
	if (rate && s->min_rtt_ns > MSEC / 2 && rate / 1024 < most)
		bytes = (uint32_t)(rate / 1024);
	if (s->pace_rate && !paces(s))
		bytes = (uint32_t)MIN(bytes, bound(s) / 2);
	bytes = MIN(MAX(bytes, BURST_MIN_SEGS * mss), most);
	/* A packet too large for all of them would never leave. */
	if (o->used == 0)
		bytes = room_bytes(o, bytes);
	return bytes < mss ? mss : bytes - bytes % mss;
}

/* ---- what held it up --------------------------------------------------- */

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
