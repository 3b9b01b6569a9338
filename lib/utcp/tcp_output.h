/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_output.h: a segment leaves.
 */
#ifndef UTCP_TCP_OUTPUT_H
#define UTCP_TCP_OUTPUT_H

#include "stack.h"

/* ---- what may leave (tcp_output.c) ------------------------------------- */

/*
 * Sends what the socket may send now. Returns true if it wants to go on when
 * there is more room (or a turn for the others was due); false: nothing more
 * now, timers are set.
 */
bool utcp__tcp_output(utcp_sock_t *s, struct utcp__out *o);
/* Stream offset of seq, which is snd_una or later. */
static inline uint64_t
utcp__ofs_of(const utcp_sock_t *s, uint32_t seq)
{
	/* The SYN counts one, as long as it is not acknowledged. */
	return s->una_ofs + (seq - s->snd_una) -
	       (utcp__syn_unacked(s) && seq != s->iss);
}

/* ---- how fast (tcp_pace.c) --------------------------------------------- */

/* cwnd, round trip or options have changed: what follows for the pace. */
void utcp__pace_update(utcp_sock_t *s);
/* Whether the next packet has to wait for its time (PACE is set then). */
bool utcp__pace_blocked(utcp_sock_t *s);
void utcp__pace_sent(utcp_sock_t *s, uint32_t bytes);
/* What held the connection's data up, for utcp_info. */
enum utcp__limit { LIMIT_NONE, LIMIT_NET, LIMIT_RWND, LIMIT_SNDBUF };
void utcp__limit_change(utcp_sock_t *s, enum utcp__limit limit);
/* From now on it is this; NONE when all is acknowledged. */
static inline void
utcp__limit_is(utcp_sock_t *s, enum utcp__limit limit)
{
	if (s->busy->limit != limit)
		utcp__limit_change(s, limit);
}
/* Nanoseconds until now: with data to send or in flight, of those by the peer's
   window, by the send buffer. */
void utcp__limit_times(const utcp_sock_t *s, uint64_t ns[3]);
/* Bytes for one packet, a multiple of mss (GSO), at least one. */
uint32_t utcp__burst_bytes(utcp_sock_t *s, const struct utcp__out *o,
			   uint32_t mss);

/* ---- one segment, into the caller's buffers (tcp_segment.c) ------------ */

/* Bytes of options on every segment. */
static inline uint32_t
utcp__opt_bytes(const utcp_sock_t *s)
{
	return s->negotiated & UTCP_GOT_TIMESTAMPS ? 12 : 0;
}
/* What extensions want on the next segment with data (ext_seg.c), and both. */
uint32_t utcp__ext_room_of(const utcp_sock_t *s);
static inline uint32_t
utcp__ext_room(const utcp_sock_t *s)
{
	return LIKELY(!s->ext) ? 0 : utcp__ext_room_of(s);
}
static inline uint32_t
utcp__opt_fixed(const utcp_sock_t *s)
{
	return utcp__opt_bytes(s) + utcp__ext_room(s);
}
struct utcp__seg_out {
	uint32_t seq, len; /* data bytes */
	uint16_t flags;	   /* TH_* */
	uint16_t gso_size; /* 0: one segment */
	bool ect;	   /* ECN-capable: new data only (RFC 3168 6.1.5) */
	bool fresh;	   /* sent for the first time: utcp__seg_sent */
	uint16_t mark;	   /* with these SEG_* */
};
/* Bytes of options on the next segment with data, SACK blocks included. */
uint32_t utcp__opts_more(const utcp_sock_t *s);
static inline uint32_t
utcp__opts_now(const utcp_sock_t *s)
{
	if (LIKELY(s->num_sacks == 0 && s->ext == NULL &&
		   s->busy->dsack.start == s->busy->dsack.end))
		return utcp__opt_bytes(s);
	return utcp__opts_more(s);
}
/* Writes one. -ENOBUFS (no room), -ENOMEM: nothing has happened. */
int utcp__segment(utcp_sock_t *s, struct utcp__out *o,
		  const struct utcp__seg_out *seg);
/* SYN or SYN-ACK, first or again; likewise. */
int utcp__segment_syn(utcp_sock_t *s, struct utcp__out *o);

/* ---- what we offer (tcp_window.c) -------------------------------------- */

/* Our window as it would be offered now, bytes, silly window avoided. */
uint32_t utcp__rcv_window(utcp_sock_t *s);
/* The application has read: an update is worth a segment (RFC 9293 3.8.6.2.2). */
void utcp__window_update(utcp_sock_t *s);
/* mss from pmtu, peer_mss, MAXSEG; tells the congestion control. */
void utcp__set_mss(utcp_sock_t *s);
/* The window scale to offer, by RCVBUF_MAX or RCVBUF; -1: none. */
int utcp__wscale_offer(const struct utcp__opts *opts);
/* The MSS option's value, by the interface's MTU and MAXSEG. */
uint16_t utcp__mss_offer(const utcp_t *u, const struct utcp__opts *opts,
			 uint8_t family);

/* ---- how large (tcp_mtu.c) --------------------------------------------- */

/* The interface's; there is no IPv6 over less than 1280 (RFC 8200 section 5). */
static inline uint32_t
utcp__link_mtu(const utcp_t *u, uint8_t family)
{
	return family == 6 && u->cfg.mtu < 1280 ? 1280 : u->cfg.mtu;
}
/* MTU of the path to this peer as far as it is known: the interface's, or what
   was learnt in the last ten minutes. For s->pmtu at the beginning. */
uint32_t utcp__path_mtu(utcp_t *u, const uint8_t *raddr, uint8_t family);
/* Someone says so: what to believe, kept for the peer; 0: nothing. */
uint32_t utcp__path_mtu_told(utcp_t *u, const uint8_t *raddr, uint8_t family,
			     uint32_t mtu);
/* Whether its segments carry IPv4's don't-fragment: not below the least path
   MTU that we believe in, so that narrower paths work still. */
bool utcp__df(const utcp_sock_t *s);
void utcp__mtu_told(utcp_sock_t *s, uint32_t mtu, uint32_t seq); /* by ICMP */
void utcp__mtu_timeout(utcp_sock_t *s); /* the oldest in flight timed out */
void utcp__mtu_changed(utcp_sock_t *s); /* the interface's */
/* Data bytes of a probe to send now, as one segment, instead of an mss of data;
   0: none; UTCP__PROBE_WAITS: send no new data until more is acknowledged, then
   ask again (something is in flight). It looks at all conditions itself. Who
   sends it sets s->pmtu_probing and s->probe_seq (its first sequence number)
   and marks the segment SEG_PROBE. */
#define UTCP__PROBE_WAITS UINT32_MAX
uint32_t utcp__mtu_probe(utcp_sock_t *s);
void utcp__mtu_probe_acked(utcp_sock_t *s);
void utcp__mtu_probe_lost(utcp_sock_t *s);
void utcp__mtu_black_hole(utcp_sock_t *s); /* full segments time out */

#endif /* UTCP_TCP_OUTPUT_H */
