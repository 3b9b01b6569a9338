/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_world.h: what fuzz_tcp's files share: two stacks and the wire.
 *
 *	fuzz_tcp.c	the input's steps, time, what must hold in the end
 *	tcp_wire.c	packets that wait: delivered, lost, bent, forged
 *	tcp_calls.c	calls of sockets, good ones and bad ones
 *	tcp_crypt.c	target tcp-crypt: all of it with tcpcrypt, never plain
 *	tcp_plain.c	target tcp: without
 *	tcp_ext.c	extensions that do what they like
 */
#ifndef FUZZ_TCP_WORLD_H
#define FUZZ_TCP_WORLD_H

#include "fuzz.h"
#include "stack.h"
#include "tcp.h"
#include "tcp_syn.h"
#include "tcp_input.h"

#define SOCKS 12
#define UDPS 3
#define WIRE_MAX 64
#define PACKET_MAX 9200
#define OUT_ELEMENTS 48
#define TEXT 65536 /* what is sent stands in it, again and again */

struct packet {
	uint32_t len;
	uint8_t to; /* stack */
	/* as the sender left it: */
	bool partial; /* the checksum is not finished */
	uint16_t csum_start, csum_offset;
	uint8_t gso_type;
	uint16_t gso_size;
	uint8_t bytes[PACKET_MAX];
};

/* One end of a connection, or a listener. */
struct end {
	utcp_sock_t *s;
	uint64_t sent, got; /* of the stream */
	bool own_port;	    /* nobody else had one of its ports before */
	bool deaf;	    /* shut down for reading */
};

struct side {
	struct world *w;
	utcp_t *u;
	uint64_t clock_ns; /* its clock is ahead by this */
	struct end ends[SOCKS];
	utcp_udp_t *udps[UDPS];
	unsigned int num_ends, num_udps;
	uint8_t tcp[128]; /* the last segment that it sent, from IP on */
	uint32_t tcp_len;
	uint32_t hdr;
	int64_t mem, mem_max;
	uint32_t claims;
	uint32_t fail_in; /* allocations till one fails; 0: never */
	uint8_t fail_rate;
	uint32_t dice;
};

struct world {
	struct side side[2];
	struct packet *wire[WIRE_MAX]; /* the first num_wire are on it */
	unsigned int num_wire;
	uint32_t l2_bytes;
	uint64_t now_ns;
	uint64_t got; /* by all */
	unsigned int lent, bufs_num;
	bool hostile; /* somebody forged: the data may be anything */
	struct packet packets[WIRE_MAX];
};

extern uint8_t fuzz_text[TEXT];

static inline uint32_t
dice(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* ---- tcp_wire.c ---- */

void wire_remove(struct world *w, unsigned int i);
/* What side nr has to send goes onto the wire, by calls with n buffers. */
void wire_drain(struct world *w, unsigned int nr, unsigned int n,
		uint32_t room);
/* Gives packet p to its stack, in parts. */
void wire_deliver(struct world *w, const struct packet *p, unsigned int parts,
		  bool merged);
/* The same, cut at odd places, several packets in one call, what is not read
   kept. */
void wire_deliver_odd(struct world *w, struct fuzz_in *in, unsigned int to);
/* The first `rounds` packets are delivered, and what comes of it. */
void wire_flow(struct world *w, unsigned int rounds);
void wire_step(struct world *w, struct fuzz_in *in, uint8_t op);
void forge(struct world *w, struct fuzz_in *in, unsigned int to);
void forge_icmp(struct world *w, struct fuzz_in *in, unsigned int to);
void forge_raw(struct world *w, struct fuzz_in *in, unsigned int to);

/* ---- tcp_crypt.c, tcp_plain.c ---- */

/* Whoever forges, what is read is what was written. */
extern const bool fuzz_sealed;
void fuzz_crypt_stack(utcp_t *u);
/* Of a new socket. False: it may not be used. */
bool fuzz_crypt_socket(utcp_sock_t *s);

/* ---- tcp_calls.c ---- */

utcp_addr_t fuzz_address(unsigned int nr, int family, uint32_t port);
void fuzz_call(struct world *w, struct fuzz_in *in, uint8_t op);
/* Calls that no socket is needed for, and calls that must be refused. */
void fuzz_call_stack(struct world *w, struct fuzz_in *in, uint8_t op);
/* Reads what there is, on all sockets. */
void read_all(struct world *w);
/* A congestion control of no sense. */
void register_odd_cc(utcp_t *u);

/* ---- tcp_ext.c ---- */

/* On all sockets that are opened from now on; how: a stream too, a must. The
   data may be anything then. */
void register_odd_ext(struct side *s, uint8_t how);

#endif /* FUZZ_TCP_WORLD_H */
