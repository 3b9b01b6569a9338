/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch_internal.h: the inside of a batch.
 *
 *	batch.c		its sockets' numbers, the turn, beginning and end
 *	batch_cmd.c	what the program wants
 *	batch_event.c	what happened
 */
#ifndef MSBATCH_INTERNAL_H
#define MSBATCH_INTERNAL_H

#include <stdbool.h>

#include <multistack/batch.h>

#define MSBATCH__NONE UINT32_MAX
/* Datagrams that came as one, each with its address. */
#define MSBATCH__DGRAM_BYTES                                                   \
	(UINT16_MAX + UTCP_DGRAMS_MAX * sizeof(utcp_addr_t))

enum msbatch__kind { FREE, TCP, UDP };

struct msbatch__entry {
	void *s; /* by kind */
	uint8_t kind;
	uint8_t mode;
	bool want_room; /* SHORT was told */
	bool ended;	/* EOF or ERROR was told */
	bool queued;
	uint32_t next;	     /* queued, or free */
	uint64_t short_turn; /* in which it was SHORT */
};

struct msbatch_s {
	mslink_t *l;
	utcp_t *u;
	struct msbatch__entry *e; /* moves when there are more */
	uint32_t num, cap;
	uint32_t free;
	uint32_t first, last; /* of the queue */
	uint64_t turn;	      /* never comes again */
	int lost;	      /* what the link said when its port went; 0 */
	uint8_t *arena;
	uint32_t used;
	msbatch_event_t *events;
	uint32_t events_cap, limit; /* all; and how many there may be now */
	msbatch_view_t view;
};

/* ---- batch.c --------------------------------------------------------------- */

/* NULL: no such number. */
static inline struct msbatch__entry *
msbatch__get(const msbatch_t *b, uint32_t id)
{
	return id < b->num && b->e[id].kind != FREE ? &b->e[id] : NULL;
}

/* A number for s; -ENOMEM. */
int msbatch__entry_new(msbatch_t *b, void *s, enum msbatch__kind kind,
		       uint32_t mode);
/* Puts a number into the queue of those that are looked at in the next turn, or
   later in this one; once. */
void msbatch__queue_put(msbatch_t *b, uint32_t id);
/* The first of the queue, which is not empty. It may have been freed since. */
uint32_t msbatch__queue_get(msbatch_t *b);
/* Closes its socket, or aborts it; the number is free. */
void msbatch__end_socket(msbatch_t *b, uint32_t id, bool abort);

/* ---- batch_cmd.c ------------------------------------------------------------- */

/* Carries out n commands, as msbatch_turn(); there is room for an event for
   each. */
void msbatch__commands(msbatch_t *b, const msbatch_cmd_t *cmds, unsigned int n,
		       const uint8_t *data, size_t len);

/* ---- batch_event.c ----------------------------------------------------------- */

/* An event for the caller to complete, who has seen to it that there is room;
   its offset is where the arena is used up to. error: 0 or a negative errno. */
msbatch_event_t *msbatch__tell(msbatch_t *b, uint32_t id, uint32_t what,
			       int error);
/* Tells what those in the queue have to say, as far as there is room. */
void msbatch__serve_queued(msbatch_t *b);
/* And those of which the stack has news. */
void msbatch__serve_new(msbatch_t *b);

#endif /* MSBATCH_INTERNAL_H */
