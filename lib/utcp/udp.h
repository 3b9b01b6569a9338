/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp.h: UDP: what comes (udp_input.c), the calls (udp_sock.c), what leaves
 * (udp_output.c). First what the rest of the stack calls.
 */
#ifndef UTCP_UDP_H
#define UTCP_UDP_H

#include "ip.h"
#include "stack.h"

void utcp__udp_input(utcp_t *u, struct utcp__in *in);
void utcp__udp_error(utcp_udp_t *s, int err, bool hard);
/* Whether s, found by k, takes packets of this remote end. */
bool utcp__udp_takes(const utcp_udp_t *s, const struct utcp__key *k);
/* Sends what is queued on all of u->udp_outq, in turns, as far as room goes. */
void utcp__udp_flush(utcp_t *u, struct utcp__out *o);
void utcp__udp_retain(utcp_t *u);
void utcp__udp_destroy_all(utcp_t *u);
int utcp__udp_events(utcp_t *u, utcp_event_t *ev, unsigned int n);

/* A datagram, or several in one piece (GRO), that came. */
struct udp_rx {
	struct udp_rx *next;
	const uint8_t *data; /* borrowed, or own */
	uint8_t *own;	     /* of len bytes; NULL */
	uint32_t len;
	uint16_t gso_size; /* 0: one datagram */
	uint8_t tos, ttl;
	bool borrowed; /* data lies in a packet's memory, till retain */
	utcp_addr_t peer, local;
};

/* What one entry of utcp_udp_send() asked for. */
struct udp_tx {
	struct udp_tx *next;
	struct utcp__key key;
	uint32_t len, done; /* bytes of data; of those, sent */
	uint32_t gso_size;  /* 0: one datagram */
	uint32_t frag_ofs;  /* of the datagram being sent in fragments: L4
			       bytes that have left; 0: none has */
	uint32_t frag_id;
	uint8_t tos, ttl;
	uint8_t data[];
};

struct utcp_udp_s {
	utcp_t *u;
	void *user;
	struct utcp__link all;	 /* u->udps */
	struct utcp__link ready; /* u->udp_ready: has an event to tell */
	struct utcp__link out;	 /* u->udp_outq: has something to send */
	struct utcp__link held;	 /* u->udp_held: borrowed or lent data */
	struct utcp__port *port; /* a reference; NULL: not bound */
	utcp_addr_t local, peer; /* peer.family 0: not connected */
	struct udp_rx *rx_first, *rx_last;
	struct udp_rx *rx_borrowed; /* the first borrowed; no other is before */
	struct udp_rx *lent;	    /* read, the reader may still look at it */
	struct udp_tx *tx_first, *tx_last;
	uint32_t rx_bytes, tx_bytes; /* as they cost, lent ones too */
	uint32_t rcvbuf, sndbuf;
	int16_t error; /* positive errno, to be told once */
	uint8_t family;
	uint8_t dscp, ttl;
	uint8_t pmtud; /* 0: no DF; 1: what is too long goes in fragments;
			  2: and is refused */
	bool v6only;
	bool reuse;	  /* others that say so, too, may have its address */
	bool soft_errors; /* told of these too */
	bool orphan;	  /* closed: it sends what is queued, and goes */
	bool was_full;	  /* a send was refused: tell when there is room */
};

/* The error that waits to be told, negative, and forgets it. */
static inline int
utcp__udp_take_error(utcp_udp_t *s)
{
	int err = s->error;

	s->error = 0;
	return -err;
}

/* Its end, and what it has queued. */
void utcp__udp_free(utcp_udp_t *s);
/* Readiness may have changed. */
void utcp__udp_wake(utcp_udp_t *s);
/* Whether so many more bytes are too many for the whole stack. */
static inline bool
utcp__udp_over(const utcp_t *u, uint32_t cost)
{
	return u->cfg.max_bytes != 0 &&
	       u->buffered_bytes + cost > u->cfg.max_bytes;
}

/* Puts a copy into the queue; d and k are checked. -EAGAIN: full; -ENOMEM. */
int utcp__udp_queue(utcp_udp_t *s, const utcp_dgram_t *d,
		    const struct utcp__key *k);
/* Forgets what is queued, to be sent or to be read. */
void utcp__udp_drop_tx(utcp_udp_t *s);
void utcp__udp_drop_rx(utcp_udp_t *s);

#endif /* UTCP_UDP_H */
