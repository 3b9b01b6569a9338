/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.h: a stack (utcp.h) on a port of the switch (port.h), with the clock,
 * the randomness and the Ethernet that the stack does without.
 *
 * A program's loop:
 *
 *	for (;;) {
 *		mslink_poll(l);		time and frames go in
 *		utcp_events(u, ...)	what became ready; accept, read, write
 *		mslink_flush(l);	frames go out
 *		mslink_wait(l, -1);	sleep until a frame or a timer
 *	}
 *
 * Calls return 0 (or a count) or a negative errno. A call with an argument that
 * makes no sense (a link that is NULL, a socket of another link's stack) returns
 * -EINVAL and changes nothing. A link, its stack and the stack's sockets belong
 * to one thread at a time. For more threads the port has
 * several rings, each a link with a stack of its own (mslink_open_ring): a
 * connection's frames always come by the same ring.
 */
#ifndef MULTISTACK_LINK_H
#define MULTISTACK_LINK_H

#include <multistack/port.h>
#include <multistack/utcp.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MSLINK_EXTERN __attribute__((visibility("default")))

typedef struct mslink_s mslink_t;

typedef struct mslink_options_s {
	uint32_t size;	    /* of this struct */
	uint16_t rings;	    /* links that are to share the port; 0: 1 */
	uint16_t num_addrs; /* of addrs */
	/* 0: by the device. Frames of any size span buffers of any. */
	uint32_t slots; /* in each ring */
	uint32_t buf_bytes;
	/* Of the device's offloads use none of these: UTCP_OFFLOAD_*. */
	uint32_t no_offloads;
	char label[16]; /* shown by `multistack status` */
	/* The stack's own addresses, for connections that are not bound to
	   one. None: those that the switch's routes name. Copied. */
	const utcp_addr_t *addrs;
	/*
	 * The stack's configuration. The link sets l2_bytes, now_ns and the
	 * claim hooks itself, adds the device's offloads, and sets what is 0
	 * here: mtu from the interface, seed from the system's randomness.
	 * config.size may be 0: all defaults.
	 */
	utcp_config_t config;
} mslink_options_t;

/*
 * Opens a port on device (as msport_open) and makes a stack on its ring 0.
 * opt, err may be NULL. Errors of msport_open and utcp_create.
 */
MSLINK_EXTERN int mslink_open(mslink_t **out, const char *device,
			      const mslink_options_t *opt, msport_error_t *err);
/*
 * Another stack on ring `ring` (1 and up) of the port of `first`, with the same
 * options and a seed of its own; for another thread. The port lasts until the
 * last of its links is closed. A tuple that several links bind is bound once;
 * its connections are spread over all rings, so each of the links has to
 * listen. For the same reason connect() takes a link that has its port alone.
 * -EINVAL (no such ring), -EBUSY (it has a link), -ENOMEM.
 */
MSLINK_EXTERN int mslink_open_ring(mslink_t **out, mslink_t *first,
				   unsigned int ring);
/* Sends what the stack has to send now, frees the stack and, of the last link,
   the port. NULL is fine. */
MSLINK_EXTERN void mslink_close(mslink_t *l);

MSLINK_EXTERN utcp_t *mslink_stack(const mslink_t *l);
/* Borrowed. Commands on a port that several threads' links share are not for
   others. */
MSLINK_EXTERN msport_t *mslink_port(const mslink_t *l);
/* The clock that the link gives the stack: CLOCK_MONOTONIC. */
MSLINK_EXTERN uint64_t mslink_now_ns(void);
/* "10.0.0.1", "::" and so on, and a port in host order. -EINVAL. */
MSLINK_EXTERN int mslink_addr(utcp_addr_t *addr, const char *text,
			      uint16_t port);

/*
 * One batch in: the time, timers that are due, frames that came. What the
 * stack's sockets then have to read may lie in the ring until the next call of
 * mslink_poll or mslink_flush, which do utcp_retain(). Returns how many views
 * were taken (0: none waited), -ENETDOWN (interface gone), -ECONNRESET (daemon
 * gone), -EBADMSG: mslink_reopen().
 */
MSLINK_EXTERN int mslink_poll(mslink_t *l);
/* Frames out, until the stack has no more or the ring is full. Returns how many
   views were sent; errors as mslink_poll. */
MSLINK_EXTERN int mslink_flush(mslink_t *l);
/*
 * Sleeps until there are frames, room to send what did not fit, or a timer of
 * the stack is due, but at most timeout_ms (-1: no matter how long). 1: there
 * is something to do, or near; 0: timed out; -EINTR; errors as mslink_poll.
 */
MSLINK_EXTERN int mslink_wait(mslink_t *l, int timeout_ms);

/*
 * For an event loop: a descriptor that polls readable when the link has
 * something to do, if mslink_arm() returned 0 before sleeping (1: do not sleep)
 * and the loop does not sleep longer than mslink_timeout_ns() says (UTCP_NEVER:
 * as long as it likes). The descriptor is the link's, and another one after
 * mslink_reopen().
 */
MSLINK_EXTERN int mslink_fd(mslink_t *l);
MSLINK_EXTERN int mslink_arm(mslink_t *l);
MSLINK_EXTERN uint64_t mslink_timeout_ns(const mslink_t *l);

/*
 * To be woken costs more than most answers take to come. So before it sleeps a
 * program may look on for frames: 1, mslink_poll() again instead; 0, sleep.
 * mslink_wait() asks by itself, and returns 1 then.
 */
MSLINK_EXTERN int mslink_near(mslink_t *l);
/* For how long after the last frame, in microseconds. 0, which is how a link
   begins: 100, as long as that pays: after 8 sleeps in a row of less than
   200 us, until once nothing comes. */
#define MSLINK_SPIN_NEVER UINT32_MAX
MSLINK_EXTERN void mslink_spin(mslink_t *l, uint32_t us);

/*
 * After -ENETDOWN, -ECONNRESET or -EBADMSG: opens the port anew with all that
 * it had bound. Connections go on as far as their peers have patience: what was
 * in the rings is lost and sent again. Errors of msport_reopen: the call can be
 * repeated. -EBUSY: other threads' links share the port; close them.
 */
MSLINK_EXTERN int mslink_reopen(mslink_t *l);

/*
 * For the end of a program: goes on until all connections have ended (those
 * that it has closed, in order), or nothing is to be sent and nothing was heard
 * for 50 ms, but at most ms. Events are lost meanwhile. 0; -ETIMEDOUT: some are
 * left; errors as mslink_poll.
 */
MSLINK_EXTERN int mslink_linger(mslink_t *l, uint32_t ms);

/*
 * utcp_connect() for who has not said which addresses are his: asks the switch
 * for the source address towards the peer first, and takes the unspecified
 * address for this host, as mslink_peer() does, by what s is bound to. Errors
 * of utcp_connect and msport_route.
 */
MSLINK_EXTERN int mslink_connect(mslink_t *l, utcp_sock_t *s,
				 const utcp_addr_t *peer);
/* The same of UDP, where no way to the peer is no error: it shows when what is
   sent is dropped. Errors of utcp_udp_connect. */
MSLINK_EXTERN int mslink_udp_connect(mslink_t *l, utcp_udp_t *s,
				     const utcp_addr_t *peer);
/*
 * Whom a program means by an address: the unspecified one (0.0.0.0, ::), which
 * no packet can go to, means this host, as with a host's sockets. It becomes
 * the one that the socket is bound to, local, else (NULL, another family, or
 * unspecified as well) loopback's, 127.0.0.1 or ::1. The port stays, and so
 * does any other address. Of use for datagrams that name their peer. NULL is
 * fine.
 */
MSLINK_EXTERN void mslink_peer(utcp_addr_t *peer, const utcp_addr_t *local);

/* X(NAME, "name", "meaning"). New ones are appended. */
#define MSLINK_COUNTERS(X)                                                     \
	X(POLLS, "polls", "calls of mslink_poll")                              \
	X(VIEWS_IN, "views_in", "views of frames taken")                       \
	X(VIEWS_OUT, "views_out", "views of frames sent")                      \
	X(SLEEPS, "sleeps", "times asleep")                                    \
	X(LEARNT, "learnt", "neighbours learnt from what they sent")           \
	X(ROUTES, "routes", "questions for a route")                           \
	X(HELD, "held", "frames kept until their neighbour is known")          \
	X(NO_ROOM, "no_room", "times that the transmit ring was full")         \
	X(DROP_NO_ROUTE, "drop_no_route", "there is no way to the peer")       \
	X(DROP_HELD, "drop_held", "neighbour did not answer in time")          \
	X(DROP_HOLD_FULL, "drop_hold_full", "too many frames wait for one")    \
	X(LOOPED, "looped", "frames to a loopback address, for this stack")    \
	X(DROP_LOOP_FULL, "drop_loop_full", "too many of those")

enum mslink_counter {
#define MSLINK_COUNTER_ENUM(NAME, name, meaning) MSLINK_CTR_##NAME,
	MSLINK_COUNTERS(MSLINK_COUNTER_ENUM)
#undef MSLINK_COUNTER_ENUM
	    MSLINK_CTR_MAX
};

/* Copies up to n counters, by enum mslink_counter; returns how many. */
MSLINK_EXTERN unsigned int mslink_counters(const mslink_t *l, uint64_t *values,
					   unsigned int n);
/* Name of counter i, its meaning; NULL past the last. */
MSLINK_EXTERN const char *mslink_counter_name(unsigned int i);
MSLINK_EXTERN const char *mslink_counter_text(unsigned int i);

#ifdef __cplusplus
}
#endif

#endif /* MULTISTACK_LINK_H */
