/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * internal.h: the inside of mu.
 *
 *	stack.c	    a stack on a loop: when it gets the processor
 *	end.c	    how it ends
 *	handle.c    what all handles share: beginning, end, requests
 *	stream.c    reading and accepting
 *	write.c	    writing and shutting down
 *	tcp.c	    names, options, connecting
 *	udp.c, udp_io.c
 *	addr.c	    sockaddr and utcp_addr_t
 *
 * A handle is `fed` to be looked at soon from a fresh stack of calls: what is
 * libuv's pending queue.
 */
#ifndef MU_INTERNAL_H
#define MU_INTERNAL_H

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include <multistack/mu.h>

struct mu__link {
	struct mu__link *prev, *next;
};

struct mu__stack {
	struct mu__stack *next; /* in the registry, under its lock */
	uv_loop_t *loop;
	mslink_t *link; /* owned */
	utcp_t *u;	/* the link's */

	/* None of these keeps the loop alive but `check` while there are
	   requests, and uv_walk does not show them. */
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle; /* active: do not sleep */
	uv_timer_t timer;
	uv_poll_t *poll;     /* owned; NULL: the device is away */
	unsigned int closed; /* of these */
	unsigned int hidden; /* a flag of theirs */

	struct mu__link fed; /* handles */
	unsigned int reqs, handles;
	bool in_round;
	bool woken; /* there may be something to take in */
	bool dirty; /* ... or to send */
	bool timing;
	uint64_t timer_at; /* uv_now() when it goes off */
	uint64_t retry_at; /* the device is away: next attempt */

	uint32_t linger_ms;
	uint32_t spin_us; /* as it was asked for */
	uint64_t pid;
	pthread_t owner; /* whose loop it is */
	uint8_t gather[65536];
};

enum {
	MU__READABLE = 1 << 0,
	MU__WRITABLE = 1 << 1,
	MU__SHUT = 1 << 2,
	MU__READ_EOF = 1 << 3,
	MU__LISTENING = 1 << 4,
	MU__VIEW = 1 << 5, /* reads without a copy */
	MU__NODELAY = 1 << 7,
	MU__KEEPALIVE = 1 << 8,
	MU__RESET = 1 << 9,
	MU__CONNECTED = 1 << 10,  /* UDP */
	MU__PROCESSING = 1 << 11, /* UDP */
	MU__RECVMMSG = 1 << 12,
	MU__FAMILY6 = 1 << 13, /* of the socket */
	MU__UDP = 1 << 14,
};

/* What TCP and UDP handles begin with. */
struct mu__handle {
	MU_HANDLE_FIELDS
};

#define MU__LOOKS 32 /* at one handle before the others have their turn */
#define MU__IO_MAX_BYTES 0x7ffff000u

/* ---- stack.c ------------------------------------------------------------- */

/* The stack of a loop, opened if the environment names a device; NULL: there
   is none. */
struct mu__stack *mu__stack_of(uv_loop_t *loop);
/* Something is to be taken in, sent or told before the loop sleeps. */
void mu__stack_stir(struct mu__stack *s);
/* What was written outside of a round, and nobody else will send. */
void mu__stack_flush(struct mu__stack *s);
/* Frames out and in, nobody is told: for who tries again at once, whom a kernel
   would not have kept waiting. False: not now. */
bool mu__stack_turn(struct mu__stack *s);
/* The link failed with r. */
void mu__stack_away(struct mu__stack *s, int r);

/* ---- end.c --------------------------------------------------------------- */

/* At exit, linger for the stacks of this thread. */
void mu__at_exit(void);
void mu__registry_add(struct mu__stack *s);
void mu__registry_remove(struct mu__stack *s);
struct mu__stack *mu__registry_find(const uv_loop_t *loop);

/* ---- handle.c ------------------------------------------------------------ */

/* Whether a handle is one of ours. */
bool mu__is_ours(const void *handle);
/* Fields behind those that all share are left to the caller. */
void mu__handle_init(struct mu__handle *h, struct mu__stack *s,
		     uv_handle_type type);
void mu__start(struct mu__handle *h);
void mu__stop(struct mu__handle *h);
/* To be looked at soon. */
void mu__feed(void *handle);
void mu__unfeed(struct mu__handle *h);
void mu__req_add(struct mu__stack *s);
void mu__req_remove(struct mu__stack *s);
size_t mu__count(const uv_buf_t bufs[], unsigned int nbufs);
/* Copies bufs into *to, which is `small` (4) if that suffices. UV_ENOMEM. */
int mu__bufs_copy(uv_buf_t **to, uv_buf_t small[4], const uv_buf_t bufs[],
		  unsigned int nbufs);

static inline bool
mu__is_closing(const void *handle)
{
	return uv_is_closing((const uv_handle_t *)handle) != 0;
}

/* ---- addr.c -------------------------------------------------------------- */

/* UV_EINVAL: no address of IPv4 or IPv6. One that is IPv4 mapped into IPv6
   becomes IPv4. */
int mu__addr_from(utcp_addr_t *to, const struct sockaddr *from);
/* As much of it as *len has room for; *len: its length. mapped: IPv4 as
   IPv6. */
void mu__addr_to(struct sockaddr *to, int *len, const utcp_addr_t *from,
		 bool mapped);
bool mu__addr_is_any(const utcp_addr_t *a);

/* No address to speak from is no way to the peer, as the kernel sees it. */
static inline int
mu__no_source(int r)
{
	return r == UV_EADDRNOTAVAIL ? UV_ENETUNREACH : r;
}

/* ---- stream.c, write.c, tcp.c -------------------------------------------- */

/* Something is ready (UTCP_*), or it was fed. */
void mu__stream_io(mu_stream_t *h, uint32_t ready);
void mu__stream_close(mu_stream_t *h);
void mu__stream_closed(mu_stream_t *h);
void mu__write(mu_stream_t *h);
void mu__write_callbacks(mu_stream_t *h);
/* All that waits is done with `error`. */
void mu__write_cancel(mu_stream_t *h, int error);
void mu__drain(mu_stream_t *h);
/* An attempt to connect may have come to its end. */
void mu__connect_io(mu_stream_t *h, uint32_t ready);
/* The socket takes the handle's options and events. */
int mu__tcp_adopt(mu_stream_t *h, utcp_sock_t *sock, uint32_t flags);
int mu__tcp_listen(mu_stream_t *h, int backlog, mu_connection_cb cb);

/* ---- udp_io.c ------------------------------------------------------------ */

void mu__udp_io(mu_udp_t *h, uint32_t ready);
void mu__udp_close(mu_udp_t *h);
void mu__udp_closed(mu_udp_t *h);
void mu__udp_rest_drop(mu_udp_t *h);
int mu__udp_deferred_bind(mu_udp_t *h, uint8_t family);

#endif /* MU_INTERNAL_H */
