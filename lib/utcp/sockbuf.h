/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sockbuf.h: what the user wrote (sndbuf.c), what he may read (rcvbuf.c).
 */
#ifndef UTCP_SOCKBUF_H
#define UTCP_SOCKBUF_H

#include "stack.h"

struct utcp__rblk {
	struct utcp__link link;
	const uint8_t *data; /* borrowed from a packet, or `own` + something */
	uint32_t len;
	uint32_t room;	  /* of own; 0: borrowed */
	uint32_t own_len; /* of own, filled */
	uint32_t seq;	  /* in the reassembly queue */
	uint8_t *own;	  /* of utcp__alloc */
};

/* Where a record ends (UTCP_MSG_EOR), in the stream. */
struct utcp__eor {
	struct utcp__eor *next;
	uint64_t ofs;
};

/* Appends len bytes of the stream, from stream offset ofs on, to the packet. */
void utcp__snd_copy(utcp_sock_t *s, uint64_t ofs, uint32_t len,
		    struct utcp__out *o);
/* snd_una's offset went forward by n data bytes: calls `done` of buffers that
   are acknowledged whole; una_ofs is updated. May make the socket writable. */
void utcp__snd_acked(utcp_sock_t *s, uint32_t n);
/* A buffer is done with: ours is freed, `done` of a user's is called at the end
   of the public call. */
void utcp__buf_end(utcp_sock_t *s, utcp_buf_t *b, int status);
/* A buffer of ours, with room for so many bytes (NULL: over a limit), more bytes
   into it; whether it is one. */
utcp_buf_t *utcp__own_new(utcp_t *u, size_t room);
void utcp__own_fill(utcp_buf_t *b, const void *data, size_t len);
bool utcp__buf_is_own(const utcp_buf_t *b);
/* b goes to the end of the stream; a copy of all of data does (false: no
   memory, nothing has happened). Then utcp__snd_written, with UTCP_MSG_*. */
void utcp__snd_append(utcp_sock_t *s, utcp_buf_t *b);
bool utcp__snd_put_all(utcp_sock_t *s, const void *data, size_t len);
void utcp__snd_written(utcp_sock_t *s, int flags);
/* `done` of all, with this status (0 or negative errno). */
void utcp__snd_drop(utcp_sock_t *s, int status);
/* Data bytes written and not yet sent (the FIN does not count). */
uint32_t utcp__snd_unsent(const utcp_sock_t *s);
/* Of those so many bytes, how many may go in one segment: up to where a record
   ends. Only with busy->eor, whose first is beyond snd_nxt then. */
uint32_t utcp__snd_record(utcp_sock_t *s, uint32_t unsent);
/* In-order data of seg, from its parts, into the receive queue; the first part
   by reference if seg->in->borrowed. Advances rcv_nxt. -ENOMEM: not taken. */
int utcp__rcv_append(utcp_sock_t *s, struct utcp__seg_in *seg);
/* Moves a block of the reassembly queue, in order now, behind the queue. */
void utcp__rcv_append_blk(utcp_sock_t *s, struct utcp__rblk *b);
/* A block with a copy of seg, and room for so many bytes in all. NULL: over a
   limit. */
struct utcp__rblk *utcp__rblk_new(utcp_t *u, const struct utcp__seg_in *seg,
				  uint32_t room);
/* Copies seg, which follows b, into the room behind b's data. False: it does
   not fit there. */
bool utcp__rblk_append(struct utcp__rblk *b, const struct utcp__seg_in *seg);
void utcp__rblk_free(utcp_t *u, struct utcp__rblk *b);
/* Bytes of memory that b takes, all told. */
static inline uint32_t
utcp__rblk_cost(const struct utcp__rblk *b)
{
	return (uint32_t)sizeof(*b) + (b->room ? b->room + 16 : 0);
}
/* A copy of data, of who stands between the stream and the user. 0, -ENOMEM. */
int utcp__rcv_deliver(utcp_sock_t *s, const void *data, uint32_t len);
/* Blocks of a list become the user's. */
void utcp__rcv_take_raw(utcp_sock_t *s, struct utcp__link *list,
			uint32_t bytes);
void utcp__rcv_drop(utcp_sock_t *s);  /* queue and reassembly, unread */
void utcp__bufs_init(utcp_sock_t *s); /* sizes of both buffers */
/* Negative; it is told once. */
int utcp__take_error(utcp_sock_t *s);
/* Copies what is borrowed (utcp_retain); the connection may be dead then. */
void utcp__rcv_retain(utcp_sock_t *s);
/* Free bytes to offer as the window, before silly window avoidance. */
uint32_t utcp__rcv_space(const utcp_sock_t *s);
/* The largest window, when all is read: at least what can be said of one, or it
   would stay shut. */
uint32_t utcp__rcv_most(const utcp_sock_t *s);

#endif /* UTCP_SOCKBUF_H */
