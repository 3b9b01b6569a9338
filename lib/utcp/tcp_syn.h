/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_syn.h: connections that have no socket yet (tcp_syn.c, tcp_syncookie.c,
 * tcp_fastopen.c) or any more (tcp_timewait.c), and what is known of their peers
 * (tcp_hostcache.c).
 */
#ifndef UTCP_TCP_SYN_H
#define UTCP_TCP_SYN_H

#include "stack.h"

/* ---- half open (tcp_syn.c) --------------------------------------------- */

struct utcp__syn {
	struct utcp__ent ent; /* UTCP__SYN */
	struct utcp__link
	    link;	       /* u->syns[retries], by time: the oldest first */
	utcp_sock_t *listener; /* borrowed: the listener's end ends it */
	struct utcp__link of_listener;
	uint64_t due_ns, born_ns, odd_ns;
	uint32_t irs, iss;
	uint32_t ts_recent, ts_ofs;
	uint16_t mss, wnd, wnd_acked;
	uint16_t wnd_said; /* our window in the SYN-ACK, and our scale: */
	uint8_t wscale_said;
	uint8_t wscale, opts; /* TO_*, both sides' */
	uint8_t retries;
	bool ecn;
	bool acked;		/* deferred accept: completed, waits for data */
	bool exp_fastopen;	/* the cookie goes by the experimental option */
	bool cookie_due;	/* the SYN-ACK carries a Fast Open cookie */
	struct utcp__exts *ext; /* NULL: none; ours */
};

void utcp__listen_input(utcp_sock_t *listener, struct utcp__seg_in *seg);
void utcp__syn_input(struct utcp__syn *syn, struct utcp__seg_in *seg);
void utcp__syn_timer(utcp_t *u);
void utcp__listen_end(utcp_sock_t *listener); /* its half open ones */
void utcp__syn_drop(struct utcp__syn *syn);
/* A SYN-ACK of these options, from listener l, with this window. */
struct utcp__synack {
	const struct utcp__key *key;
	uint32_t iss, irs;
	uint16_t wnd;
	bool ecn;
	uint8_t again;		/* sent so many times before */
	struct utcp__exts *ext; /* NULL: none */
	struct utcp__opt_out opts;
};
void utcp__synack_send(utcp_sock_t *l, const struct utcp__synack *a);
/* A socket in SYN_RECEIVED, of the peer's SYN seg (or what is known of it), to
   which we said, or will say, iss and this window and scale, and offered
   TO_*. NULL. */
struct utcp__said {
	uint32_t iss, ts_ofs;
	uint16_t wnd, offered;
	uint8_t wscale;
};
utcp_sock_t *utcp__syn_child(utcp_sock_t *l, const struct utcp__seg_in *seg,
			     const struct utcp__said *said);
/* What we say now, but for iss and the timestamps' offset. */
void utcp__syn_say(const utcp_sock_t *l, struct utcp__said *said);
/* Its SYN is acknowledged by seg: ESTABLISHED, into the accept queue. */
void utcp__syn_open(utcp_sock_t *l, utcp_sock_t *s,
		    const struct utcp__seg_in *seg);
/* A good SYN: a half open connection, whose first sequence number is iss. */
void utcp__listen_syn(utcp_sock_t *listener, struct utcp__seg_in *seg,
		      uint32_t iss);

/* ---- SYN cookies (tcp_syncookie.c) ---------------------------------------- */

/* A SYN-ACK with a cookie, for which nothing is kept. */
void utcp__cookie_send(utcp_sock_t *l, const struct utcp__seg_in *seg,
		       bool ecn);
/* Whether cookies of l may still come back; whether seg's ACK is one; makes a
   connection of it. */
bool utcp__cookie_lately(const utcp_sock_t *l);
bool utcp__cookie_good(utcp_sock_t *l, const struct utcp__seg_in *seg);
void utcp__cookie_take(utcp_sock_t *l, struct utcp__seg_in *seg);

/* ---- TIME-WAIT (tcp_timewait.c) ---------------------------------------- */

struct utcp__tw {
	struct utcp__ent ent;	 /* UTCP__TIMEWAIT */
	struct utcp__link link;	 /* u->timewaits, by expiry, per MSL a list */
	struct utcp__port *port; /* a reference */
	uint64_t expires_ns, ts_seen_ns, msl_ns;
	uint32_t snd_nxt, rcv_nxt, rcv_wnd, ts_recent, ts_ofs;
	bool ts;
	uint8_t tos, ttl;
};

/* s goes to TIME-WAIT: becomes a utcp__tw and is dead (told
   without error). */
void utcp__timewait_enter(utcp_sock_t *s);
void utcp__timewait_input(struct utcp__tw *tw, struct utcp__seg_in *seg);
void utcp__timewait_timer(utcp_t *u);
void utcp__timewait_drop(utcp_t *u, struct utcp__tw *tw);
/* Whether connect() may take this tuple over: RFC 6191. Then it is gone, and
   *iss is to be used. */
bool utcp__timewait_reuse(utcp_t *u, struct utcp__tw *tw, uint32_t *iss);

/* ---- Fast Open (tcp_fastopen.c) ---------------------------------------- */

void utcp__fastopen_cookie(utcp_t *u, const struct utcp__key *k,
			   uint8_t cookie[8]);
/* A SYN with TO_FASTOPEN (or data, without cookies) for a listener: true if a
   connection was made of it, with its data in the receive queue. */
bool utcp__fastopen_accept(utcp_sock_t *listener, struct utcp__seg_in *seg,
			   uint32_t iss);
/* A Fast Open connection leaves SYN_RECEIVED (established, or sock_dead): the
   listener may take another. Harmless for any other socket. */
void utcp__fastopen_done(utcp_sock_t *s);
/* Client with FASTOPEN_CONNECT, before the SYN: s->cookie from what is known of
   the peer: [0] is the length (0: ask for one) | 0x80 if by the experimental
   option; NULL: leave the option out. True: data may go with the SYN. */
bool utcp__fastopen_prepare(utcp_sock_t *s);
/* s->cookie freed: no option from now on. */
void utcp__fastopen_forget(utcp_sock_t *s);
/* The SYN-ACK came: cookie learnt, s->cookie freed. */
void utcp__fastopen_synack(utcp_sock_t *s, const struct utcp__seg_in *seg);
/* Client: the RTO went off for a SYN with the option: send it without from now
   on (RFC 7413 section 4.1.3.1: and stay away from it for a while). */
void utcp__fastopen_timeout(utcp_sock_t *s);

/* ---- peers (tcp_hostcache.c) ----------------------------------------------- */

/* What is known of the peer; bounded, least recently used. */
struct utcp__host {
	uint8_t cookie[16];
	uint8_t cookie_len;
	bool cookie_exp;
	uint16_t mss;
	uint16_t pmtu;	  /* 0: unknown */
	uint16_t unasked; /* cookie requests lost, one after the other */
	uint64_t pmtu_ns; /* when it was learnt */
	uint64_t fastopen_bad_ns; /* not before; 0 */
};
/* NULL: not known (and add false), or no memory. */
struct utcp__host *utcp__host(utcp_t *u, const uint8_t *raddr, uint8_t family,
			      bool add);
void utcp__hosts_deinit(utcp_t *u);

#endif /* UTCP_TCP_SYN_H */
