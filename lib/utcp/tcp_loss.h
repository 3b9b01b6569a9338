/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_loss.h: what was sent, and its fate: tcp_ack.c (the order of things),
 * tcp_sent.c and tcp_sack.c (scoreboard), tcp_rate.c (rate sample), tcp_rack.c
 * (loss by time, tail probes), tcp_recovery.c (states, cwnd). First what all
 * may use, then what these files share.
 */
#ifndef UTCP_TCP_LOSS_H
#define UTCP_TCP_LOSS_H

#include "cc.h"
#include "stack.h"

#define SEG_SACKED 0x01	 /* the peer has it */
#define SEG_LOST 0x02	 /* taken for lost, not in the pipe */
#define SEG_RETRANS 0x04 /* sent again, and in the pipe */
#define SEG_EVER 0x08	 /* was sent more than once */
#define SEG_SYN 0x10
#define SEG_FIN 0x20
#define SEG_PROBE 0x40 /* path MTU probe */
#define SEG_APP_LIMITED 0x100

/* Sent at once and not yet acknowledged: one segment, or what one GSO packet
   carried (split when a part of it is acknowledged). */
struct utcp__seg {
	struct utcp__link link;	   /* s->segs, by sequence number */
	struct utcp__link by_time; /* busy->sent, by time of (re)transmission:
				      not SACKed, not lost; or busy->lost */
	uint32_t seq, len;	   /* len with SYN and FIN, which count 1 */
	uint16_t flags;		   /* SEG_* */
	uint8_t times;		   /* sent */
	uint16_t unit;	/* bytes of each segment on the wire (mss, gso_size) */
	uint16_t order; /* of sending, of those of one time */
	uint64_t sent_ns;
	/* for the rate sample, when it was sent last */
	uint64_t delivered, delivered_ns, first_sent_ns, lost;
	uint32_t tx_inflight;
};

/* [seq, seq+len) was sent for the first time (SYN, FIN in flags). -ENOMEM: then
   do not send it. Sets sent_ns, rate state, RTO, TLP; advances snd_nxt. */
int utcp__seg_sent(utcp_sock_t *s, uint32_t seq, uint32_t len, uint16_t flags);
/* seg was sent again, whole (cut by utcp__seg_split before). */
void utcp__seg_resent(utcp_sock_t *s, struct utcp__seg *seg);
/* Cuts seg behind its first n bytes. -ENOMEM. */
int utcp__seg_split(utcp_sock_t *s, struct utcp__seg *seg, uint32_t n);
/* The next to retransmit: LOST, not RETRANS, not SACKED, lowest first; NULL. */
struct utcp__seg *utcp__next_lost(utcp_sock_t *s);
/* Frees all. */
void utcp__segs_drop(utcp_sock_t *s);
/* An acceptable ACK (snd_una <= ack <= snd_nxt checked): scoreboard, rtt, loss,
   recovery, congestion control, timers, `done`. wnd_changed: the segment
   updated the send window; has_data: it carries data, SYN or FIN. Returns true
   if our FIN or SYN was acknowledged by it. */
bool utcp__tcp_ack(utcp_sock_t *s, const struct utcp__seg_in *seg,
		   bool wnd_changed, bool has_data);
/* Bytes that may leave now as far as congestion (or PRR) is concerned. */
uint32_t utcp__cwnd_room(utcp_sock_t *s);
/* The RTO went off (data in flight): marks lost, enters REC_LOSS, backs off. */
void utcp__loss_timeout(utcp_sock_t *s);
/* TLP went off: what to send again, or NULL: new data if there is some. The
   sender calls utcp__tlp_sent after it. */
struct utcp__seg *utcp__tlp_pick(utcp_sock_t *s);
void utcp__tlp_sent(utcp_sock_t *s, bool retrans);
/* REO went off. */
void utcp__rack_timeout(utcp_sock_t *s);
/* Sets TLP if it applies (data in flight, open, SACK); or stops it. */
void utcp__tlp_schedule(utcp_sock_t *s);
/* Data is there to send, less than cwnd was used (rate: app limited). */
void utcp__rate_app_limited(utcp_sock_t *s);
/* First data after idleness: RFC 5681 section 4.1. */
void utcp__idle_restart(utcp_sock_t *s);
/* An ICMP said too big: what is in flight and larger is lost, without blame. */
void utcp__mtu_resend(utcp_sock_t *s);
/* A round trip of rtt_ns: srtt, rttvar, rto. */
void utcp__rtt_sample(utcp_sock_t *s, uint64_t rtt_ns);

/* ---- among these files, and cc.c --------------------------------------- */

#define DUPTHRESH 3u
#define REORDERING_MAX 300u

/* What one ACK did, gathered on its way through the rooms. */
struct utcp__ackwork {
	const struct utcp__seg_in *in;
	uint32_t acked;		 /* bytes by which snd_una went on */
	uint32_t sacked;	 /* bytes newly SACKed */
	uint32_t delivered;	 /* both, each byte once */
	uint32_t segs;		 /* of those; with extensions only */
	uint32_t ce;		 /* that extensions tell of; bytes */
	uint32_t prior_inflight; /* before it */
	uint64_t prior_lost;	 /* s->lost before it */
	uint64_t rtt_ns;      /* of the oldest segment newly acked; 0: none */
	uint64_t rtt_last_ns; /* of the newest */
	bool dup;	      /* a duplicate ACK, RFC 5681 section 2 */
	bool dsack;
	bool orig;	/* acked what was sent once, before high_seq */
	bool retrans;	/* acked what was sent again */
	bool probed;	/* the path MTU probe arrived */
	bool recovered; /* a reduction ended with it */
	struct utcp__sackblk dsack_blk;
	/* rate sample: the newest sent of what it acked */
	bool rs_valid, rs_app_limited;
	uint32_t rs_tx_inflight, rs_end;
	uint64_t rs_delivered, rs_delivered_ns, rs_sent_ns, rs_elapsed_ns;
	uint64_t rs_lost;
};

/* The last SACK blocks and where the walk ended, so that what was said again
   costs nothing. */
struct utcp__sackcache {
	struct utcp__sackblk blk[4];
	unsigned int num;
	struct utcp__seg *hint; /* NULL: begin at the first */
};

static inline bool
utcp__has_sack(const utcp_sock_t *s)
{
	return s->negotiated & UTCP_GOT_SACK;
}

static inline struct utcp__seg *
utcp__first_seg(const utcp_sock_t *s)
{
	return CONTAINER(s->busy->segs.next, struct utcp__seg, link);
}

/* NULL: it is the last. */
static inline struct utcp__seg *
utcp__next_seg(const utcp_sock_t *s, const struct utcp__seg *seg)
{
	return seg->link.next == &s->busy->segs
		   ? NULL
		   : CONTAINER(seg->link.next, struct utcp__seg, link);
}

/* Segments on the wire that n bytes of one record are. */
static inline uint32_t
utcp__num_segs(const utcp_sock_t *s, uint32_t n)
{
	return n <= s->mss ? 1 : (n + s->mss - 1) / s->mss;
}

static inline bool
utcp__cc_own(const utcp_sock_t *s)
{
	return s->cc_mod && s->cc_mod->ops.flags & UTCP_CC_OWN_RECOVERY;
}

/* tcp_sent.c */
/* seg is acknowledged, or cut away: out of all lists, memory; the counts are the
   caller's. */
void utcp__seg_free(utcp_sock_t *s, struct utcp__seg *seg);
void utcp__sackcache_free(utcp_sock_t *s);

/* tcp_sack.c */
/* n bytes from the front of seg (or all) arrived, which were not SACKed. */
void utcp__seg_delivered(utcp_sock_t *s, struct utcp__ackwork *w,
			 struct utcp__seg *seg, uint32_t n);
void utcp__sack_blocks(utcp_sock_t *s, struct utcp__ackwork *w);
/* Taken for lost. blame: congestion may be why. */
void utcp__mark_lost(utcp_sock_t *s, struct utcp__seg *seg, bool blame);
/* They were not lost after all. */
void utcp__unmark_lost(utcp_sock_t *s);
/* The peer took back what it had SACKed (RFC 2018 section 8). */
void utcp__sack_renege(utcp_sock_t *s);
/* RFC 6675 section 4, IsLost(), for all: without RACK. */
void utcp__sack_mark(utcp_sock_t *s);
/* Without SACK a duplicate ACK stands for a segment that arrived (RFC 6582,
   9937); adds it, or takes away what n acknowledged bytes explain. */
void utcp__reno_add(utcp_sock_t *s, struct utcp__ackwork *w);
void utcp__reno_remove(utcp_sock_t *s, struct utcp__ackwork *w);
/* Without SACK: the first segment is lost. */
void utcp__reno_mark(utcp_sock_t *s);

/* tcp_rate.c */
void utcp__rate_sent(utcp_sock_t *s, struct utcp__seg *seg);
void utcp__rate_delivered(utcp_sock_t *s, struct utcp__ackwork *w,
			  const struct utcp__seg *seg, uint32_t end);
/* Fills the rate part of ack; all bytes of w are delivered. */
void utcp__rate_sample(utcp_sock_t *s, const struct utcp__ackwork *w,
		       utcp_ack_t *ack);

/* tcp_rack.c */
void utcp__rack_delivered(utcp_sock_t *s, struct utcp__ackwork *w,
			  const struct utcp__seg *seg, uint32_t end);
void utcp__rack_dsack(utcp_sock_t *s, const struct utcp__ackwork *w);
/* Fast or loss recovery ended (RFC 8985 section 6.2, step 4). */
void utcp__rack_recovered(utcp_sock_t *s);
void utcp__rack_detect(utcp_sock_t *s);
/* RFC 8985 section 7.4. */
void utcp__tlp_ack(utcp_sock_t *s, const struct utcp__ackwork *w);

/* tcp_recovery.c */
/* States, marks, undo, after the scoreboard was brought up to date. */
void utcp__recovery_ack(utcp_sock_t *s, struct utcp__ackwork *w);
/* cwnd in recovery. delivered 0: not by an ACK. */
void utcp__prr(utcp_sock_t *s, uint32_t delivered, bool safe);
/* Slows down once, without anything to send again: ECN, TLP. */
void utcp__enter_cwr(utcp_sock_t *s, uint32_t acked, enum utcp_cc_event why);
/* Losses were marked, by an ACK or by time (NULL): fast recovery, if not there
   already. */
void utcp__losses(utcp_sock_t *s, const struct utcp__ackwork *w);

/* cc.c */
uint32_t utcp__initial_window(const utcp_sock_t *s);
void utcp__cc_event(utcp_sock_t *s, enum utcp_cc_event event);

#endif /* UTCP_TCP_LOSS_H */
