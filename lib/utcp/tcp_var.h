/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_var.h: a connection. Its socket is one block, of what lasts; what is there
 * only while something is under way is a second, struct utcp__busy.
 *
 * A stream offset (`ofs`) is 64 bits and counts data bytes only, from 0.
 */
#ifndef UTCP_TCP_VAR_H
#define UTCP_TCP_VAR_H

#include <multistack/utcp.h>

#include "table.h"
#include "tcp.h"
#include "tcp_timer.h"

/* Options, shared by the sockets that have the same. */
struct utcp__opts {
	struct utcp__opts *next; /* in u->opts */
	uint32_t refs, hash;
	const struct utcp__cc_mod *cc;
	int64_t v[UTCP_OPT_MAX];
};
#define OPT(s, NAME) ((s)->opts->v[UTCP_OPT_##NAME])

enum utcp__recovery { REC_OPEN, REC_DISORDER, REC_CWR, REC_FAST, REC_LOSS };

struct utcp__listen {		  /* of a listener */
	struct utcp__link accept; /* by s->accept_link */
	struct utcp__link syns;	  /* half open ones */
	uint32_t backlog, num_accept, num_syns, num_fastopen;
	uint64_t cookie_ns;    /* a SYN cookie was sent last; 0: never */
	uint8_t cookie_wscale; /* our scale in it */
};

/* What lasts of a congestion control's view; the rest is made for each call. */
struct utcp__cc {
	uint32_t cwnd, ssthresh;
	uint64_t pacing_rate;
	uint64_t latest_rtt_ns;
	void *priv;
	uint32_t gso_max, initcwnd;
};

/*
 * What a connection has only while something is under way, either way. Idle
 * ones share u->rest, which is for reading: lists are empty, the rest is 0. Who
 * begins something calls utcp__rouse() before; a block goes back at the end of
 * a public call, when nothing of it is in use any more.
 */
struct utcp__busy {
	utcp_sock_t *s;
	struct utcp__link roused; /* u->roused: to be looked at */
	struct utcp__link held;	  /* u->held: has borrowed blocks */

	/* what the user wrote, oldest first (sndbuf.c) */
	utcp_buf_t *sndq, *sndq_last;
	utcp_buf_t *snd_cur;   /* where snd_nxt's data is; NULL: search */
	utcp_buf_t *snd_again; /* what was sent again last; likewise */
	struct utcp__eor *eor; /* ends of records not yet sent: the last, whose
				  next is the first; NULL: none */

	/* what is in flight (tcp_sack.c) */
	struct utcp__link segs; /* utcp__seg by sequence */
	struct utcp__link sent; /* and by time */
	struct utcp__link lost; /* LOST and not sent again, by sequence */
	struct utcp__sackcache *sackc; /* NULL: no SACK came */
	uint32_t undo_una;	       /* snd_una when recovery began */
	uint32_t undo_end;	       /* and snd_nxt */
	int32_t undo_retrans;	       /* retransmissions not yet DSACKed */
	uint32_t prior_cwnd, prior_ssthresh;
	uint32_t prr_delivered, prr_out, prr_fs; /* RFC 6937, 9937 */
	uint32_t retrans_ts; /* timestamp clock at the first retransmission */
	uint64_t reduced_ns; /* the window was, last, because of loss */
	uint32_t again_ssthresh; /* for recovery's end; 0 */
	uint32_t told_seq;	 /* an ICMP said told_mtu of this; it waits */
	uint16_t told_mtu;	 /* 0: none waits */
	uint64_t rack_sent_ns;
	uint16_t rack_order, sent_order;
	uint64_t delivered_ns, first_sent_ns; /* delivery rate */
	uint64_t progress_ns;  /* when unacknowledged data was first waiting */
	uint64_t pace_next_ns; /* the next packet may leave */
	uint64_t pace_late_ns; /* now: it is late; NEVER: it waits */
	uint64_t limit_ns;     /* s->limits counts up to here */
	uint8_t limit;	       /* enum utcp__limit: since then */

	/* what came (rcvbuf.c, tcp_reass.c) */
	struct utcp__link rcvq;	 /* utcp__rblk, in order */
	struct utcp__link reass; /* utcp__rblk, out of order */
	uint32_t reass_bytes, reass_blks;
	struct utcp__sackblk *sacks; /* [4], of utcp__alloc; NULL: none */
	struct utcp__sackblk dsack;  /* start != end: to be reported */
	uint32_t fin_seq; /* of a FIN out of order; valid if s->fin_ofo */
	/* receive autotuning */
	uint32_t rcv_rtt_seq;
	uint64_t rcv_rtt_ns, rcv_rtt_at_ns;
	uint64_t rcvq_ns;
	uint32_t rcvq_seq, rcvq_space;
};

struct utcp_sock_s {
	struct utcp__ent ent; /* first; UTCP__CONN */
	utcp_t *u;
	struct utcp__opts *opts;     /* a reference */
	struct utcp__port *port;     /* a reference, NULL: not bound */
	struct utcp__listen *listen; /* NULL: no listener */
	utcp_sock_t *parent;	     /* in the accept queue of; NULL */
	void *user;
	struct utcp__busy *busy; /* never NULL: at rest &u->rest */
	struct utcp__exts *ext;	 /* extensions (ext.h); NULL: none */

	struct utcp__link all; /* u->socks */
	/* Who is in an accept queue has nobody to tell events to. */
	union {
		struct utcp__link ready; /* u->ready: has an event to tell */
		struct utcp__link accept_link;
	};
	struct utcp__link out; /* u->outq: wants to send */

	uint8_t state;	     /* enum utcp_state */
	uint8_t family;	     /* as opened */
	uint8_t recovery;    /* enum utcp__recovery */
	uint8_t told;	     /* readiness last told, UTCP_* */
	int16_t error;	     /* positive errno that ended it; 0 */
	uint16_t negotiated; /* UTCP_GOT_* */
	int16_t soft_error;  /* last soft ICMP error, positive; told instead of
				ETIMEDOUT (RFC 1122 section 4.2.3.9); 0 */

	/* conditions */
	bool orphan : 1;     /* closed by the user; freed at the end */
	bool dead : 1;	     /* ended; freed when it is safe (u->dead) */
	bool passive : 1;    /* by a listener */
	bool ack_now : 1;    /* an ACK is owed, at once */
	bool fin_wanted : 1; /* shut down for writing: a FIN after the data */
	bool fin_sent : 1;
	bool fin_seen : 1;   /* the peer's FIN is in order and acknowledged */
	bool rd_shut : 1;    /* shut down for reading */
	bool write_more : 1; /* the last write said MORE */
	bool push : 1;	     /* send what there is (end of cork, EOR) */
	bool cwnd_limited : 1;
	bool persist : 1;      /* REXMT probes a zero window */
	bool ece_owed : 1;     /* RFC 3168: echo until CWR */
	bool cwr_owed : 1;     /* tell the peer that we slowed down */
	bool fastopen_syn : 1; /* SYN waits for the first write */
	bool syn_data_refused : 1;
	bool pingpong : 1;	 /* what comes is answered with data */
	bool fastopen_child : 1; /* counts in the listener's num_fastopen */
	bool tlp_retrans : 1;	 /* the probe was a retransmission */
	bool frto : 1;		 /* RFC 5682 in progress */
	bool frto_new : 1;	 /* its step 2b: new data goes first */
	bool undo_armed : 1;
	bool undo_sent : 1;  /* something was retransmitted since: retrans_ts */
	bool loss_seen : 1;  /* lost data that no reduction answers for yet */
	bool again_seen : 1; /* a retransmission was lost: likewise */
	bool reo_seen : 1;   /* RFC 8985 reordering seen */
	bool dsack_round : 1;
	bool pmtu_probing : 1;
	bool keep_probing : 1;
	bool tlp_owed : 1;   /* output is to send a tail loss probe */
	bool probe_owed : 1; /* ... a keepalive or zero window probe */
	bool syn_owed : 1;   /* ... the SYN again */
	bool bound : 1;	     /* by utcp_bind: port->bound_alone is ours */

	/* send sequence space (RFC 9293 section 3.3.1) */
	uint32_t iss;
	uint32_t snd_una;
	uint32_t snd_nxt; /* also the most ever sent: retransmissions do not
			      turn it back */
	uint32_t snd_wnd; /* bytes, scaled */
	uint32_t snd_wl1, snd_wl2;
	uint32_t max_wnd;  /* largest ever offered by the peer */
	uint32_t snd_sml;  /* end of the last small segment (Minshall) */
	uint64_t una_ofs;  /* stream offset of snd_una */
	uint64_t end_ofs;  /* of what the user wrote */
	uint16_t mss;	   /* bytes of data in a full segment, without the
			      timestamp option's 12 when negotiated */
	uint16_t peer_mss; /* as the peer said */
	uint16_t pmtu;
	uint8_t snd_wscale, rcv_wscale;

	uint32_t sndbuf; /* bytes, now */

	/* what is in flight (tcp_sack.c) */
	uint32_t out_bytes; /* snd_nxt - snd_una */
	uint32_t sacked_bytes, lost_bytes, retrans_bytes;
	uint32_t high_seq;		   /* snd_nxt when recovery began */
	uint32_t fack;			   /* highest SACKed + 1 */
	uint32_t sacked_segs;		   /* segments of sacked_bytes */
	uint32_t cwnd_used, cwnd_used_seq; /* most in flight, of this round */
	uint16_t dupacks;
	uint16_t reordering; /* segments */
	/* RACK (RFC 8985) */
	uint64_t rack_rtt_ns;
	uint32_t rack_end;
	uint8_t rack_reo_mult, rack_reo_persist;
	uint32_t rack_dsack_end;
	uint32_t tlp_end; /* TLP.end_seq; valid if tlp_out */
	uint8_t tlp_out;
	uint8_t backoff; /* RTO's, exponent */
	uint8_t retries; /* since the last progress */
	uint8_t probes;	 /* keepalives without an answer */

	/* round trip time (RFC 6298) */
	uint64_t srtt_ns, rttvar_ns, rto_ns;
	uint64_t min_rtt_ns; /* windowed, RACK's */
	uint64_t min_rtt_at_ns;

	/* delivery rate */
	uint64_t delivered, lost, delivered_ce;
	uint64_t app_limited; /* delivered when the app limit ends; 0 */
	uint64_t rate_delivered, rate_interval_ns;

	/* receive sequence space */
	uint32_t irs;
	uint32_t rcv_nxt;
	uint32_t rcv_adv;      /* right edge offered to the peer */
	uint32_t rcv_acked;    /* rcv_nxt as the last ACK said */
	uint32_t rcvbuf;       /* bytes, now */
	uint32_t rcvq_bytes;   /* in rcvq, unread */
	uint32_t last_data_ms; /* when data came last; 0: never */
	uint32_t sent_then;    /* bytes_sent at that time */
	/* bytes_received and milliseconds, lately: what came since (sock_busy.c) */
	uint32_t rcv_mark, rcv_mark_ms;
	uint16_t rcv_mss;   /* estimate */
	uint8_t num_sacks;  /* of what came out of order, newest first */
	uint8_t quick_acks; /* ACKs to send at once at the start */
	uint32_t ts_recent, ts_ofs; /* RFC 7323; ours is now + ts_ofs */
	uint64_t ts_recent_ns;
	bool fin_ofo;	 /* a FIN came out of order: busy->fin_seq */
	uint8_t rcv_ecn; /* of the last segment */

	/* congestion control */
	struct utcp__cc cc;
	const struct utcp__cc_mod *cc_mod; /* NULL: not started */
	uint64_t pace_rate;		   /* bytes a second in use; 0 */

	/* timers */
	struct utcp__timer timer;
	uint64_t due[UTCP__TM_MAX];
	uint64_t last_rcv_ns, last_snd_ns; /* any segment; data */

	/* counts for utcp_info */
	uint64_t bytes_sent, bytes_retrans, bytes_received;
	uint64_t segs_in, segs_out;
	uint32_t total_retrans, dsack_dups;
	uint32_t limits[3]; /* by enum utcp__limit - 1, of 2^14 ns */
	uint64_t
	    challenge_ns; /* when odd segments have all their budget again */

	/* path MTU (tcp_mtu.c), RFC 4821 */
	uint16_t probe_low, probe_high;
	uint16_t probe_size; /* IP bytes of the probe sent or to be sent */
	uint16_t acked_max;  /* data bytes of the longest segment acknowledged,
				since the path was narrower */
	uint32_t probe_seq;
	uint64_t probe_at_ns;

	uint8_t *cookie; /* Fast Open: to send; [17], the length first; NULL */
};

static inline void
utcp__tm_clear(utcp_sock_t *s, enum utcp__tm tm)
{
	s->due[tm] = UTCP_NEVER;
}

/* The SYN counts one in the sequence numbers, as long as it is in flight. */
static inline bool
utcp__syn_unacked(const utcp_sock_t *s)
{
	return s->una_ofs == 0 && s->snd_una == s->iss;
}

/* Bytes of the window that the peer still has from us. */
static inline uint32_t
utcp__offered(const utcp_sock_t *s)
{
	return seq_lt(s->rcv_nxt, s->rcv_adv) ? s->rcv_adv - s->rcv_nxt : 0;
}

/* RFC 6675's pipe, in bytes. */
static inline uint32_t
utcp__inflight(const utcp_sock_t *s)
{
	return s->out_bytes - s->sacked_bytes - s->lost_bytes +
	       s->retrans_bytes;
}

#endif /* UTCP_TCP_VAR_H */
