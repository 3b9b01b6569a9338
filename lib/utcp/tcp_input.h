/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_input.h: a segment comes.
 */
#ifndef UTCP_TCP_INPUT_H
#define UTCP_TCP_INPUT_H

#include "stack.h"

/* ---- tcp_input.c ------------------------------------------------------- */

void utcp__tcp_input(utcp_t *u, struct utcp__in *in);
/* RFC 9293 section 3.10.7.2 on, for a socket: seg is parsed and verified. The
   socket may be dead after it. */
void utcp__tcp_segment(utcp_sock_t *s, struct utcp__seg_in *seg);
/* Whether odd segments of one connection were answered too often of late; else
   one more is. *whole_ns: when the budget, ten in 5 s (RFC 5961 section 7), is
   whole again; 0 at first. */
bool utcp__odd_often(utcp_t *u, uint64_t *whole_ns);
/* An ACK that answers something odd: of data always, else at most ten in 5 s of
   a connection, against ACK loops. */
void utcp__ack_odd(utcp_sock_t *s, const struct utcp__seg_in *seg);
/* A reset for a segment that is nobody's (section 3.10.7.1), rate limited. */
void utcp__tcp_refuse(utcp_t *u, const struct utcp__seg_in *seg);

/* ---- tcp_filter.c ------------------------------------------------------ */

/* Whether pkt is an ACK and nothing else, and next, which came right behind it
   in one batch, says all of it and more. */
bool utcp__ack_surpassed(const utcp_pkt_t *pkt, const utcp_pkt_t *next,
			 uint32_t l2_bytes);

/* ---- a connection opens (tcp_open.c) ----------------------------------- */

/* In SYN-SENT (RFC 9293 section 3.10.7.3). */
void utcp__syn_sent_input(utcp_sock_t *s, struct utcp__seg_in *seg);
/* Takes the options of a SYN or SYN-ACK: mss, scaling, SACK, timestamps, ECN.
   `offered` is what we said or will say (TO_*). */
void utcp__negotiate(utcp_sock_t *s, const struct utcp__seg_in *seg,
		     uint16_t offered);
/* The connection opens: ESTABLISHED, buffers, cc, events. */
void utcp__established(utcp_sock_t *s);
/* ISN of RFC 6528, and the offset of the timestamp clock (RFC 7323 5.4). */
uint32_t utcp__iss(utcp_t *u, const struct utcp__key *k);
uint32_t utcp__ts_offset(utcp_t *u, const struct utcp__key *k);

/* ---- in order (tcp_data.c) --------------------------------------------- */

/* Data and FIN of seg, which may begin before or behind rcv_nxt and reach out of
   the window (RFC 9293 section 3.10.7.4, seventh and eighth). Schedules the
   acknowledgement. The socket may be dead after it. */
void utcp__tcp_data(utcp_sock_t *s, struct utcp__seg_in *seg);
/* The same for in-order data that fits into the window, nothing missing. */
void utcp__tcp_data_fast(utcp_sock_t *s, struct utcp__seg_in *seg);

/* ---- out of order (tcp_reass.c) ---------------------------------------- */

/* Data out of order in; what is in order now goes to the receive buffer. */
void utcp__reass_insert(utcp_sock_t *s, struct utcp__seg_in *seg);
void utcp__reass_deliver(utcp_sock_t *s);
/* Frees all that is out of order, and forgets the SACK blocks. */
void utcp__reass_drop(utcp_sock_t *s);
/* [start, end) came again: reported as DSACK (RFC 2883). */
void utcp__dsack(utcp_sock_t *s, uint32_t start, uint32_t end);
/* Blocks for the next ACK, DSACK first; returns how many, at most max. */
unsigned int utcp__sack_report(utcp_sock_t *s, struct utcp__sackblk *to,
			       unsigned int max);

#endif /* UTCP_TCP_INPUT_H */
