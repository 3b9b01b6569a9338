/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch_world.h: what fuzz_batch's files share: a batch on a link that is made
 * of memory, and the stack at its other end.
 *
 *	fuzz_batch.c	the input's steps, and what must hold in the end
 *	batch_turn.c	lists of commands, and what a turn may say then
 *	batch_ends.c	sockets: new ones of the batch, all of the peer's
 *	batch_link.c	the calls of link.h that batch.c makes; wire and memory
 */
#ifndef FUZZ_BATCH_WORLD_H
#define FUZZ_BATCH_WORLD_H

#include <errno.h>
#include <stdbool.h>

#include <multistack/batch.h>

#include "fuzz.h"

#define NUMBERS 1024 /* of the batch; more than there can be steps */
#define ENDS 10	     /* of the peer, of each kind */
#define WIRE_MAX 64
#define SEC 1000000000ull
#define MSEC 1000000ull

struct packet {
	struct packet *next;
	utcp_pkt_t meta; /* data is `bytes` */
	uint8_t bytes[];
};

struct packets {
	struct packet *first;
	unsigned int num;
};

/* Of the batch, and of the peer, which has no batch. */
struct mslink_s {
	utcp_t *u;
	struct packets wire;  /* on their way here */
	struct packets came;  /* the next poll takes them */
	struct packets lent;  /* the stack may refer to them */
	int lost;	      /* what calls return; 0 */
	bool reopens;	      /* what has been lost comes back */
	unsigned int lost_in; /* calls till it is lost; 0: never */
};

/* What is known of one of the batch's numbers. */
struct number {
	utcp_sock_t *s; /* or */
	utcp_udp_t *udp;
	uint8_t mode;
	bool want_room, short_now, ended;
	uint32_t told; /* of TELL: what it was told, as far as that holds */
	uint64_t sent, got; /* of the stream */
	uint64_t next;	    /* where the next command writes */
};

/* A connection of the peer's, or a listener. */
struct end {
	utcp_sock_t *s;
	uint64_t sent, got;
};

struct world {
	uint64_t now_ns;
	struct mslink_s link[2];
	msbatch_t *b;
	const msbatch_view_t *v;
	struct number numbers[NUMBERS];
	uint32_t num_numbers; /* that ever were at a time */
	struct end ends[ENDS];
	utcp_udp_t *udps[ENDS];
	unsigned int num_ends, num_udps;
	uint64_t got;	      /* by all */
	uint64_t dgrams;      /* that the batch told */
	bool dgrams_lost;     /* some were with good reason */
	unsigned int blocks;  /* of memory that batch.c has */
	unsigned int fail_in; /* allocations till one fails; 0: never */
	int64_t stack_bytes;  /* that the stacks have */
};

extern struct world fuzz_world;

/* ---- batch_link.c --------------------------------------------------------- */

/* For utcp_config_t. */
void *fuzz_stack_alloc(void *arg, size_t bytes);
void fuzz_stack_release(void *arg, void *mem, size_t bytes);
/* All that waits on the wire comes, the first n of it. */
void wire_flow(unsigned int to, unsigned int n);
/* Something befalls the packets that wait. */
void wire_step(struct fuzz_in *in, unsigned int to);
/* The peer's turn: what came goes in, what it has to send out. */
void peer_turn(void);
void link_end(struct mslink_s *l);

/* ---- batch_turn.c --------------------------------------------------------- */

/* Bytes of a stream, from position `at`; and whether they are. */
void text_put(uint8_t *to, uint64_t at, size_t len);
void text_check(const uint8_t *data, uint64_t at, size_t len);
/* A datagram of len bytes. */
void dgram_put(uint8_t *to, size_t len);
void dgram_check(const uint8_t *data, size_t len);

/* The calls that this makes are in the input, or it is a list of n. */
void fuzz_turn(struct fuzz_in *in);
void turn(const msbatch_cmd_t *cmds, unsigned int n, const uint8_t *data,
	  size_t len, uint32_t flags);
/* One command that writes nothing. */
void turn_one(uint32_t id, uint32_t op, uint32_t arg);
/* Each number is what it is thought to be. */
void numbers_check(void);
/* A number that is new. */
void number_new(uint32_t id, const struct number *k);
/* It is nobody's any more. */
void number_free(struct number *k);

/* ---- batch_ends.c --------------------------------------------------------- */

utcp_addr_t fuzz_address(unsigned int nr, int family, uint32_t port);
/* A new socket of the batch's. */
void fuzz_add(struct fuzz_in *in, uint8_t how);
/* Calls of a socket of the batch's that are not the batch's. */
void fuzz_direct(struct fuzz_in *in, uint8_t how);
/* A call of the peer's. */
void fuzz_peer(struct fuzz_in *in, uint8_t how);
void peer_read_all(void);

#endif /* FUZZ_BATCH_WORLD_H */
