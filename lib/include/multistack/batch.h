/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch.h: the sockets of a link (link.h) by the batch, for programs to which
 * each call costs much: those in other languages.
 *
 * One call is a round of the program's loop. It takes a list of commands
 * (write, close, ...) with what is to be written in one piece of memory, and
 * gives a list of what happened, with all that was read in another. Sockets
 * are named by small numbers. A program's loop:
 *
 *	for (;;) {
 *		n = msbatch_turn(b, cmds, num_cmds, data, len, MSBATCH_SLEEP);
 *		for (i = 0; i < n; i++)
 *			... view->events[i]: adds to the commands
 *		if (n == 0)
 *			poll({ mslink_fd(l), ... }, view->timeout_ns)
 *	}
 *
 * A batch belongs to its link's thread, as the link does. A call with an
 * argument that makes no sense returns -EINVAL and changes nothing.
 */
#ifndef MULTISTACK_BATCH_H
#define MULTISTACK_BATCH_H

#include <multistack/link.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MSBATCH_EXTERN __attribute__((visibility("default")))

typedef struct msbatch_s msbatch_t;

/* How a socket is served. */
#define MSBATCH_TELL 0	 /* its readiness is told, no more */
#define MSBATCH_READ 1	 /* what comes is read */
#define MSBATCH_HOLD 2	 /* neither; room to write is told */
#define MSBATCH_ACCEPT 3 /* a listener: connections come, in mode READ */

/* What happened: bits of `what`, of which one event may have several. */
#define MSBATCH_READY 0x01 /* TELL: arg is utcp_poll's */
#define MSBATCH_DATA 0x02  /* read: len bytes at offset */
#define MSBATCH_EOF 0x04   /* after that, the end; told once */
#define MSBATCH_ERROR 0x08 /* after that: a positive errno in `error` */
#define MSBATCH_ROOM                                                           \
	0x10 /* once after SHORT: there is room again, or the connection has \
		ended, as the next write will say */
#define MSBATCH_ACCEPTED                                                       \
	0x20		   /* arg is the new number; two utcp_addr_t lie at
				 offset: the peer's, ours */
#define MSBATCH_SHORT 0x40 /* of command arg only len bytes were taken */
#define MSBATCH_DGRAM                                                          \
	0x80 /* len bytes at offset: the peer's utcp_addr_t,
				 then a datagram */

typedef struct msbatch_event_s {
	uint32_t id;
	uint16_t what;	 /* MSBATCH_READY and so on */
	uint16_t error;	 /* a positive errno, or 0 */
	uint32_t offset; /* into view.arena */
	uint32_t len;
	uint32_t arg;
	uint32_t pad;
} msbatch_event_t;

enum msbatch_op {
	/* The next len bytes of data. arg MSBATCH_ALL: all of it is taken, else
	   what there is room for; then SHORT says how much, and later commands
	   for this socket in this call, but MODE and ABORT, are left out. */
	MSBATCH_WRITE,
	/* A datagram: the next len bytes of data, of which the first are a
	   utcp_addr_t, its peer (family 0: the connected one). SHORT: the queue
	   had no room for it, nor for those after it in this call. */
	MSBATCH_SENDTO,
	MSBATCH_SHUTDOWN, /* the end, after what was written */
	MSBATCH_CLOSE,	  /* utcp_close(); the number is free */
	MSBATCH_ABORT,	  /* utcp_abort(); the number is free */
	MSBATCH_MODE,	  /* arg: how it is served from now on */
};

#define MSBATCH_ALL 1u

typedef struct msbatch_cmd_s {
	uint32_t id;
	uint32_t op; /* enum msbatch_op */
	uint32_t len;
	uint32_t arg;
} msbatch_cmd_t;

/* What a turn leaves; the batch's, and void with the next turn. `events` stays
   where it is as long as no turn has more than MSBATCH_COMMANDS commands. */
#define MSBATCH_COMMANDS 1024
typedef struct msbatch_view_s {
	const msbatch_event_t *events;
	const uint8_t *arena;
	uint32_t max_events; /* but for answers to commands */
	uint32_t arena_bytes;
	uint32_t num_events;
	uint32_t
	    num_answers;     /* of those the first, to commands: SHORT, ERROR */
	uint64_t timeout_ns; /* how long the program may sleep; UTCP_NEVER */
	int32_t error;	     /* of the link, as mslink_poll; 0 */
	uint32_t pad;
} msbatch_view_t;

/* Flags of a turn. */
/* If there is no event the program will sleep: it is looked for one a while
   before, if frames are near (mslink_near). */
#define MSBATCH_SLEEP 1u

/*
 * Serves sockets of l, which is borrowed and outlives the batch. arena_bytes:
 * most that one turn reads (0: 1 MiB; at least 128 KiB are taken); max_events:
 * most that it tells (0: 1024; at least 256). What does not fit comes with the
 * next turn. The batch alone calls utcp_events and utcp_set_user of this stack.
 * -EINVAL (more than 2^24 events), -ENOMEM.
 */
MSBATCH_EXTERN int msbatch_create(msbatch_t **out, mslink_t *l,
				  uint32_t arena_bytes, uint32_t max_events);
/* Closes all sockets of the batch. NULL is fine. */
MSBATCH_EXTERN void msbatch_destroy(msbatch_t *b);
/* Borrowed, at the same place for the batch's life. */
MSBATCH_EXTERN const msbatch_view_t *msbatch_view(const msbatch_t *b);

/* Takes a socket of the link's stack; returns its number. -EINVAL (mode;
   another stack's; the batch's already), -ENOMEM: it stays the caller's. */
MSBATCH_EXTERN int msbatch_add(msbatch_t *b, utcp_sock_t *s, uint32_t mode);
MSBATCH_EXTERN int msbatch_add_udp(msbatch_t *b, utcp_udp_t *s, uint32_t mode);
/* The socket, for calls of utcp.h other than utcp_close, utcp_abort,
   utcp_set_user; NULL: no such number, or of the other kind. */
MSBATCH_EXTERN utcp_sock_t *msbatch_sock(const msbatch_t *b, uint32_t id);
MSBATCH_EXTERN utcp_udp_t *msbatch_udp(const msbatch_t *b, uint32_t id);

/* As the command, but at once, and what is left to be sent is not waited for:
   utcp_close() says what comes of it. -EINVAL: no such number. */
MSBATCH_EXTERN int msbatch_close(msbatch_t *b, uint32_t id);

/*
 * A turn: does the n commands, with the len bytes of data that they write;
 * sends; takes what came. Returns how many events view.events has, or the
 * link's error (view.num_events may then still be some). A command for a number
 * that does not exist is answered by an ERROR event of EBADF; one that makes no
 * sense by EINVAL. If it is that it has more than is left of data, those after
 * it are not done. -EINVAL (more than 2^24 commands), -ENOMEM: nothing was done.
 */
MSBATCH_EXTERN int msbatch_turn(msbatch_t *b, const msbatch_cmd_t *cmds,
				unsigned int n, const void *data, size_t len,
				uint32_t flags);

/*
 * For a program that does something else meanwhile, from whatever thread that
 * is not in a call at the same time: frames and time go in, frames go out, and
 * events stay for the next turn. What the last turn left stays as it is, but
 * view.timeout_ns says how long this may be put off if no frame comes (see
 * mslink_fd). 0, or errors as mslink_poll.
 */
MSBATCH_EXTERN int msbatch_keep(msbatch_t *b);

/*
 * mslink_reopen(), after a turn has returned the link's error. Until it succeeds
 * turns go on without the port: timers run, connections end in their time. It is
 * not for msbatch_keep's thread.
 */
MSBATCH_EXTERN int msbatch_reopen(msbatch_t *b);

#ifdef __cplusplus
}
#endif

#endif /* MULTISTACK_BATCH_H */
