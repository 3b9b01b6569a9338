/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_data.c: data and FIN arrive (RFC 9293 section 3.10.7.4, seventh and
 * eighth), and when they are acknowledged (RFC 5681 section 4.2).
 */
#include "ext.h"
#include "tcp_input.h"
#include "tcp_output.h"
#include "tcp_syn.h"

#define QUICK_ACKS 16

/* ---- when to acknowledge ----------------------------------------------- */

static uint32_t
now_ms(const utcp_sock_t *s)
{
	return (uint32_t)(s->u->now_ns / MSEC) | 1;
}

/* Loss, or what looks like it: the sender shall see each of our ACKs. */
static void
quick_mode(utcp_sock_t *s)
{
	s->quick_acks = QUICK_ACKS;
	s->pingpong = false;
	utcp__ack_soon(s);
}

/* rcv_nxt went forward by data. */
static void
schedule_ack(utcp_sock_t *s, bool quick)
{
	uint32_t unacked = s->rcv_nxt - s->rcv_acked;
	int64_t every = OPT(s, ACK_EVERY), wait = OPT(s, DELACK_NS);

	/* RFC 9293 section 3.8.6.3 (MUST-58, 59): of full segments every
	   second, and none later than 0.5 s. */
	if (s->ack_now || quick || unacked > (every - 1) * s->rcv_mss ||
	    wait == 0 || OPT(s, QUICKACK) != 0 ||
	    !link_empty(&s->busy->reass)) {
		utcp__ack_soon(s);
		return;
	}
	if (s->due[UTCP__TM_DELACK] == UTCP_NEVER)
		utcp__tm_set(s, UTCP__TM_DELACK, s->u->now_ns + (uint64_t)wait);
}

/* Whether the application answers what comes, so that ACKs ride on answers. */
static void
learn_pingpong(utcp_sock_t *s)
{
	uint32_t sent_ms = (uint32_t)(s->last_snd_ns / MSEC) | 1;

	if ((uint32_t)s->bytes_sent == s->sent_then)
		return;
	s->sent_then = (uint32_t)s->bytes_sent;
	if (s->last_data_ms != 0 &&
	    sent_ms - s->last_data_ms <= OPT(s, DELACK_NS) / (int64_t)MSEC)
		s->pingpong = true;
}

/* The size of the peer's segments. What came merged may not say how many it was
   once; none was larger than we allowed. */
static void
learn_mss(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	uint32_t size = seg->in->gso_size ? seg->in->gso_size : seg->len;
	uint32_t most;

	if (LIKELY(size <= s->rcv_mss))
		return;
	most = utcp__mss_offer(s->u, s->opts, s->ent.key.family);
	if (size > most)
		size = most;
	if (size > s->rcv_mss)
		s->rcv_mss = (uint16_t)size;
}

/*
 * What a segment tells about its sender: how large its segments are, whether
 * it was idle. True: it is acknowledged at once, since the sender may be in
 * slow start, or waiting for it.
 */
static bool
learn(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	uint32_t ms = now_ms(s), idle = ms - s->last_data_ms;

	learn_mss(s, seg);
	if (s->last_data_ms != 0 && s->rto_ns != 0 &&
	    (uint64_t)idle * MSEC > s->rto_ns)
		s->quick_acks = QUICK_ACKS;
	learn_pingpong(s);
	s->last_data_ms = ms;
	if (s->quick_acks == 0 || s->pingpong)
		return false;
	s->quick_acks--;
	return true;
}

static void
rtt_is(utcp_sock_t *s, uint64_t rtt_ns, bool least)
{
	uint64_t old = s->busy->rcv_rtt_ns;

	if (old == 0 || (least && rtt_ns < old))
		s->busy->rcv_rtt_ns = rtt_ns;
	else if (!least)
		s->busy->rcv_rtt_ns = old - old / 8 + rtt_ns / 8;
}

/* The round trip time as a receiver sees it, for the size of the buffer. */
static void
measure_rtt(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	uint64_t now = s->u->now_ns;
	uint32_t ms;

	if ((seg->opts & TO_TS) != 0 && seg->ts_ecr != 0 &&
	    seg->len >= s->rcv_mss) {
		ms = utcp__ts_now(s->u, s->ts_ofs) - seg->ts_ecr;
		if (ms > 0 && ms < 60000)
			rtt_is(s, ms * MSEC, false);
	}
	/* A window of data takes a round trip, at least. */
	if (s->busy->rcv_rtt_at_ns != 0) {
		if (seq_lt(s->rcv_nxt, s->busy->rcv_rtt_seq))
			return;
		if (now > s->busy->rcv_rtt_at_ns)
			rtt_is(s, now - s->busy->rcv_rtt_at_ns, true);
	}
	s->busy->rcv_rtt_at_ns = now;
	s->busy->rcv_rtt_seq = s->rcv_adv;
}

void
utcp__tcp_data_fast(utcp_sock_t *s, struct utcp__seg_in *seg)
{
	bool quick = learn(s, seg);

	measure_rtt(s, seg);
	if (utcp__rcv_append(s, seg) < 0)
		return; /* counted; it will come again */
	schedule_ack(s, quick);
}

/* ---- the slow way ------------------------------------------------------ */

/* Eighth: the FIN, at rcv_nxt. The socket may be dead after it. */
static void
take_fin(utcp_sock_t *s)
{
	s->rcv_nxt++;
	s->fin_ofo = false;
	s->fin_seen = true;
	utcp__reass_drop(s); /* nothing can follow */
	if (UNLIKELY(s->ext))
		utcp__ext_later(s->ext); /* `read_end` */
	utcp__ack_soon(s);
	switch (s->state) {
	case UTCP_SYN_RECEIVED:
	case UTCP_ESTABLISHED:
		utcp__set_state(s, UTCP_CLOSE_WAIT);
		utcp__wake(s);
		break;
	case UTCP_FIN_WAIT_1:
		/* Ours is not acknowledged, or it were FIN-WAIT-2. */
		utcp__set_state(s, UTCP_CLOSING);
		utcp__wake(s);
		break;
	case UTCP_FIN_WAIT_2:
		utcp__timewait_enter(s);
		break;
	default:
		break;
	}
}

/*
 * Data at rcv_nxt, within the window, while there is some behind it. What came
 * first stands: only what fills holes is taken from this. -ENOMEM: not all was.
 */
static int
fill_holes(utcp_sock_t *s, struct utcp__seg_in *seg)
{
	uint32_t end = seg->seq + seg->len, from, stop;
	struct utcp__seg_in head;
	int rc;

	while (seg->len > 0 && !link_empty(&s->busy->reass)) {
		from = CONTAINER(s->busy->reass.next, struct utcp__rblk, link)
			   ->seq;
		if (seq_leq(end, from))
			break;
		head = *seg;
		utcp__seg_trim_end(&head, end - from);
		rc = head.len > 0 ? utcp__rcv_append(s, &head) : 0;
		if (rc < 0)
			return rc;
		utcp__reass_deliver(s);
		stop = seq_lt(end, s->rcv_nxt) ? end : s->rcv_nxt;
		utcp__dsack(s, from, stop);
		utcp__seg_trim_front(seg, stop - seg->seq);
	}
	rc = seg->len > 0 ? utcp__rcv_append(s, seg) : 0;
	if (rc == 0)
		utcp__reass_deliver(s);
	return rc;
}

/* Cuts off what lies outside the window. False: there is nothing left. */
static bool
trim(utcp_sock_t *s, struct utcp__seg_in *seg)
{
	uint32_t edge = seq_lt(s->rcv_nxt, s->rcv_adv) ? s->rcv_adv
						       : s->rcv_nxt;
	uint32_t end = seg->seq + seg->len, old;
	bool fin = (seg->flags & TH_FIN) != 0;

	if (seq_lt(seg->seq, s->rcv_nxt)) {
		old = seq_lt(end, s->rcv_nxt) ? end - seg->seq
					      : s->rcv_nxt - seg->seq;
		if (old > 0) {
			/* RFC 2883 section 4: all of it, or a part. */
			utcp__dsack(s, seg->seq, seg->seq + old);
			quick_mode(s);
		}
		utcp__seg_trim_front(seg, old);
		if (seg->len == 0 && !(fin && end == s->rcv_nxt)) {
			utcp__ack_odd(s, seg);
			return false;
		}
	}
	if (seg->len > 0 && seq_lt(edge, end)) {
		/* More than was offered, a zero window's probe perhaps. */
		COUNT(s->u, DROP_WINDOW);
		quick_mode(s);
		if (!seq_lt(seg->seq, edge))
			return false;
		utcp__seg_trim_end(seg, end - edge);
		seg->flags &= (uint16_t)~TH_FIN;
	}
	/* A bare FIN needs no room in a buffer, so it is good at the edge. */
	return !seq_lt(edge, seg->seq);
}

void
utcp__tcp_data(utcp_sock_t *s, struct utcp__seg_in *seg)
{
	bool fin, quick;
	uint32_t end;

	if (s->fin_seen) {
		/* What precedes the end may come again, unacknowledged as it
		   was. Text behind it is ignored. */
		if (seq_lt(seg->seq, s->rcv_nxt))
			utcp__ack_odd(s, seg);
		else
			COUNT(s->u, DROP_STATE);
		return;
	}
	/* RFC 1122 section 4.2.2.13: data for which there is no reader, but
	   perhaps an extension. */
	if ((s->orphan || (s->rd_shut && s->fin_wanted)) && seg->len > 0 &&
	    seq_lt(s->rcv_nxt, seg->seq + seg->len) && !utcp__ext_stream(s)) {
		COUNT(s->u, DROP_STATE);
		utcp__sock_refuse(s, seg);
		return;
	}
	if (!trim(s, seg))
		return;
	fin = (seg->flags & TH_FIN) != 0;
	end = seg->seq + seg->len;
	if (seg->seq != s->rcv_nxt) {
		/* RFC 5681 section 4.2: out of order, acknowledged at once */
		if (seg->len > 0) {
			COUNT(s->u, OFO);
			s->last_data_ms = now_ms(s);
			learn_mss(s, seg);
			utcp__reass_insert(s, seg);
		}
		if (fin && !s->fin_ofo) {
			s->fin_ofo = true;
			s->busy->fin_seq = end;
		}
		quick_mode(s);
		return;
	}
	if (seg->len > 0) {
		quick = learn(s, seg);
		measure_rtt(s, seg);
		if (link_empty(&s->busy->reass)) {
			if (utcp__rcv_append(s, seg) < 0)
				return; /* counted; it will come again */
		} else {
			/* RFC 5681 section 4.2: it fills (a part of) a gap. */
			utcp__ack_soon(s);
			if (fill_holes(s, seg) < 0)
				return;
		}
		schedule_ack(s, quick);
	}
	if ((fin && s->rcv_nxt == end) ||
	    (s->fin_ofo && s->rcv_nxt == s->busy->fin_seq))
		take_fin(s);
	else if (s->fin_ofo && seq_lt(s->busy->fin_seq, s->rcv_nxt))
		s->fin_ofo = false; /* data beyond it: it was none */
}
