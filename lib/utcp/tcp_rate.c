/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_rate.c: how fast data is delivered, a sample for each ACK
 * (draft-cheng-iccrg-delivery-rate-estimation).
 */
#include "tcp_loss.h"

/* seg leaves, and is in flight already by the counts. */
void
utcp__rate_sent(utcp_sock_t *s, struct utcp__seg *seg)
{
	uint32_t inflight = utcp__inflight(s);

	/* A flight begins: time that passed without one is no slowness. */
	if (inflight <= seg->len)
		s->busy->first_sent_ns = s->busy->delivered_ns = s->u->now_ns;
	seg->delivered = s->delivered;
	seg->delivered_ns = s->busy->delivered_ns;
	seg->first_sent_ns = s->busy->first_sent_ns;
	seg->lost = s->lost;
	seg->tx_inflight = inflight;
	if (s->app_limited)
		seg->flags |= SEG_APP_LIMITED;
	else
		seg->flags &= (uint16_t)~SEG_APP_LIMITED;
}

void
utcp__rate_delivered(utcp_sock_t *s, struct utcp__ackwork *w,
		     const struct utcp__seg *seg, uint32_t end)
{
	uint64_t now = s->u->now_ns;

	/* Data only: a SYN and a FIN are nobody's bytes. */
	s->delivered += end - seg->seq - ((seg->flags & SEG_SYN) != 0) -
			(seg->flags & SEG_FIN && end == seg->seq + seg->len);
	s->busy->delivered_ns = now;
	if (w->rs_valid &&
	    (seg->sent_ns < w->rs_sent_ns ||
	     (seg->sent_ns == w->rs_sent_ns && seq_lt(end, w->rs_end))))
		return;
	w->rs_valid = true;
	w->rs_sent_ns = seg->sent_ns;
	w->rs_end = end;
	w->rs_delivered = seg->delivered;
	w->rs_delivered_ns = seg->delivered_ns;
	w->rs_elapsed_ns = seg->sent_ns - seg->first_sent_ns;
	w->rs_lost = seg->lost;
	w->rs_tx_inflight = seg->tx_inflight;
	w->rs_app_limited = seg->flags & SEG_APP_LIMITED;
	s->busy->first_sent_ns = seg->sent_ns;
}

void
utcp__rate_sample(utcp_sock_t *s, const struct utcp__ackwork *w,
		  utcp_ack_t *ack)
{
	uint64_t acked_ns, interval, bytes;

	/* The bubble without data has left the pipe. */
	if (s->app_limited && s->delivered > s->app_limited)
		s->app_limited = 0;
	if (!w->rs_valid)
		return;
	acked_ns = s->busy->delivered_ns - w->rs_delivered_ns;
	interval = acked_ns > w->rs_elapsed_ns ? acked_ns : w->rs_elapsed_ns;
	ack->prior_delivered = w->rs_delivered;
	ack->tx_inflight = w->rs_tx_inflight;
	ack->app_limited = w->rs_app_limited;
	ack->rate_lost = (uint32_t)(s->lost - w->rs_lost);
	/* Section 3.3: faster than the round trip is an accident of ACKs. */
	if (interval == 0 || interval < s->min_rtt_ns)
		return;
	bytes = s->delivered - w->rs_delivered;
	ack->rate_delivered = bytes;
	ack->interval_ns = interval;
	/* For utcp_info: a slow application does not make the path slow. */
	if (!w->rs_app_limited || s->rate_interval_ns == 0 ||
	    (double)bytes * (double)s->rate_interval_ns >=
		(double)s->rate_delivered * (double)interval) {
		s->rate_delivered = bytes;
		s->rate_interval_ns = interval;
	}
}

void
utcp__rate_app_limited(utcp_sock_t *s)
{
	uint64_t end = s->delivered + utcp__inflight(s);

	/* What is lost and not yet sent again is data to send. */
	if (utcp__next_lost(s))
		return;
	s->app_limited = end ? end : 1;
}
