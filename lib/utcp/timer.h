/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timer.h: the heap of timers (timer.c). A connection has one entry in it, for
 * the earliest of its own (tcp_timer.h).
 */
#ifndef UTCP_TIMER_H
#define UTCP_TIMER_H

#include <multistack/utcp.h>

#include "util.h"

/*
 * A heap of exact times, ties in the order of insertion. An entry is moved in
 * the heap only when it has to go off earlier: one that is put off goes off at
 * the old time, sees that it is not due, and goes in again. So restarting a
 * timer costs a store.
 */
struct utcp__timer {
	uint64_t at_ns; /* in the heap for; UTCP_NEVER: not in it */
	uint32_t pos;
	uint32_t order; /* of insertion, modulo 2^32 */
};

struct utcp__heap {
	struct utcp__heap_slot {
		uint64_t at_ns;
		struct utcp__timer *t;
	} *slots;
	uint32_t num, room;
	uint32_t order;
};

static inline void
utcp__timer_init(struct utcp__timer *t)
{
	t->at_ns = UTCP_NEVER;
}

/* Room for so many timers in all; so timer_at cannot fail. -ENOMEM. */
int utcp__heap_reserve(utcp_t *u, uint32_t num);
/* Goes off at at_ns, or already earlier. */
void utcp__timer_at(utcp_t *u, struct utcp__timer *t, uint64_t at_ns);
void utcp__timer_stop(utcp_t *u, struct utcp__timer *t);
/* Takes the earliest that is due at u->now_ns out; NULL. */
struct utcp__timer *utcp__timer_due(utcp_t *u);
uint64_t utcp__timer_next(const utcp_t *u);
void utcp__heap_deinit(utcp_t *u);

#endif /* UTCP_TIMER_H */
