/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_timer.h: the timers of a connection (tcp_timer.c).
 */
#ifndef UTCP_TCP_TIMER_H
#define UTCP_TCP_TIMER_H

#include "timer.h"

/* The timers of a connection: s->due[], of which the earliest is in the heap. */
enum utcp__tm {
	UTCP__TM_REXMT,	 /* RTO (RFC 6298), or a zero window's probe */
	UTCP__TM_TLP,	 /* tail loss probe (RFC 8985 section 7) */
	UTCP__TM_REO,	 /* RACK's reordering window */
	UTCP__TM_DELACK, /* an acknowledgement is due */
	UTCP__TM_KEEP,	 /* keepalive */
	UTCP__TM_PACE,	 /* the next burst may leave */
	UTCP__TM_CORK,	 /* cork, for at most so long */
	UTCP__TM_END,	 /* user timeout, FIN-WAIT-2, orphan */
	UTCP__TM_EXT,	 /* the earliest of its extensions */
	UTCP__TM_MAX
};

/* Sets a timer of a connection, to UTCP_NEVER: stops it. */
void utcp__tm_set(utcp_sock_t *s, enum utcp__tm tm, uint64_t at_ns);
/* Puts the earliest of s->due[] into the heap (utcp_advance does it behind
   utcp__tcp_timers, in a later instant than now). */
void utcp__tm_rearm(utcp_sock_t *s);

/* Runs what is due. The socket may be dead after it. */
void utcp__tcp_timers(utcp_sock_t *s);

void utcp__rto_restart(utcp_sock_t *s); /* data in flight: from now on */
void utcp__keep_restart(utcp_sock_t *s);
/* Nothing is in flight and the window is shut: probes; no longer. */
void utcp__persist_start(utcp_sock_t *s);
void utcp__persist_stop(utcp_sock_t *s);

#endif /* UTCP_TCP_TIMER_H */
