/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock.h: sockets: beginning, states, end (sock.c), blocks of what is under way
 * (sock_busy.c), options (sockopt.c).
 */
#ifndef UTCP_SOCK_H
#define UTCP_SOCK_H

#include "stack.h"

/* ---- sock.c ------------------------------------------------------------ */

/* Public calls that may end sockets or buffers begin and end with these; at the
   end of the outermost `done` hooks run and u->dead is freed. */
static inline void
utcp__enter(utcp_t *u)
{
	u->depth++;
}
void utcp__leave(utcp_t *u);

/* What a connection begins with; its key is set. */
void utcp__conn_init(utcp_sock_t *s);
/* A connection from a listener, SYN_RECEIVED, in the table in the place of the
   half open one if there is one; not yet in the accept queue. NULL: out of
   memory. */
utcp_sock_t *utcp__sock_accepted(utcp_sock_t *listener,
				 const struct utcp__key *k);
/* It is ESTABLISHED (or a Fast Open one): into the accept queue. */
void utcp__sock_queue(utcp_sock_t *listener, utcp_sock_t *s);
/* utcp_destroy: it ends silently, whoever holds it. */
void utcp__sock_destroy(utcp_sock_t *s);

/* Changes the state; to CLOSED only by utcp__sock_dead. */
void utcp__set_state(utcp_sock_t *s, enum utcp_state state);
/*
 * The connection is over (error 0: in order; else a positive errno to tell).
 * Takes it out of the table, stops timers, calls `done` of its buffers, tells
 * the user (ERR, HUP). If it is an orphan it goes to u->dead and is freed at
 * the end of the public call; else it stays until utcp_close.
 */
void utcp__sock_dead(utcp_sock_t *s, int error);
/*
 * Ends it with a reset, where RFC 9293 section 3.10.5 asks for one (put into the
 * queue of control packets at once), and utcp__sock_dead(s, error).
 */
void utcp__sock_abort(utcp_sock_t *s, int error);
/* The same in answer to seg, an acknowledgement for which nobody is left: the
   reset stands where the peer expects it by its own word (RFC 9293 section
   3.10.7.1, RFC 5961 section 3.2), whatever of ours it has not seen. */
void utcp__sock_refuse(utcp_sock_t *s, const struct utcp__seg_in *seg);
/* The peer has reset it: utcp__sock_dead(s, error). */
void utcp__sock_reset(utcp_sock_t *s, int error);

/* Its readiness may have changed: has utcp_events tell it. */
void utcp__wake(utcp_sock_t *s);
/* It has, or may have, something to send. */
void utcp__want_output(utcp_sock_t *s);
static inline void
utcp__ack_soon(utcp_sock_t *s)
{
	s->ack_now = true;
	utcp__want_output(s);
}

/* ---- at rest or not (sock_busy.c) -------------------------------------- */

/* Something begins: it has a block of its own. false: no memory. */
bool utcp__rouse(utcp_sock_t *s);
/* It needs none any more. */
void utcp__rest(utcp_sock_t *s);
/* Blocks that are not needed any more go back. */
void utcp__settle(utcp_t *u);

/* ---- options (sockopt.c) ----------------------------------------------- */

/* Defaults into u->dflt. */
int utcp__opts_init(utcp_t *u);
/* 0, -ENOPROTOOPT, -EINVAL (out of range). */
int utcp__opt_check(int opt, int64_t value);
void utcp__opts_put(utcp_t *u, struct utcp__opts *o);
/* Puts a copy that is not shared in the place of the set at *at, of a socket or
   the stack, and returns it, in no chain. NULL: out of memory, all as it was. */
struct utcp__opts *utcp__opts_own(utcp_t *u, struct utcp__opts **at);
static inline struct utcp__opts *
utcp__opts_get(struct utcp__opts *o)
{
	o->refs++;
	return o;
}

#endif /* UTCP_SOCK_H */
