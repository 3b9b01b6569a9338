/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * internal.h: the inside of a link.
 *
 *	link.c	    opening, closing, what links of one port share
 *	claim.c	    ports that the stack takes, in the switch's namespace
 *	io.c	    batches between rings and stack, and sleeping
 *	neigh.c	    who is where on the Ethernet
 *	loop.c	    what the stack says to itself
 *	table_*.c   what is told of its connections
 *
 * Several threads' links share a port. Each has a ring for itself; commands
 * (bind, route) are made under the group's lock.
 */
#ifndef MSLINK_INTERNAL_H
#define MSLINK_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include <multistack/link.h>

#include "spin.h"
#include <multistack/link_table.h>

#define MSLINK__BATCH 256u /* views of one call */
#define MSLINK__HOT 128u   /* transmit buffers in turn, see io.c, but */
#define MSLINK__HOT_BYTES (256u << 10) /* not more of them than this */
#define MSLINK__NEIGHS 1024u	       /* a power of two */
#define MSLINK__TABLE_NS 1000000000u   /* that its table is late at most */
#define MSLINK__HOLD_MAX 64u /* frames that wait for their neighbour */

struct mslink__claim;

/* Claims that nobody has, the oldest first. */
struct mslink__claims {
	struct mslink__claim *first, **end;
};

/* A tuple bound by links of this port. */
struct mslink__claim {
	struct mslink__claim *next;	   /* in its bucket */
	struct mslink__claim *later, **at; /* among the idle ones, or ending */
	struct ms_tuple tuple;
	struct mslink__claims *in; /* NULL: somebody has it */
	unsigned int refs;
	bool both;	  /* IPv6 wildcard: the IPv4 one is bound beside it */
	bool ephemeral;	  /* the switch chose the port */
	uint64_t idle_ns; /* since */
};

#define MSLINK__CLAIM_BUCKETS 16384u

struct mslink__group {
	pthread_mutex_t lock;
	msport_t *port;
	mslink_options_t opt;
	utcp_addr_t *addrs; /* owned, opt.addrs */
	unsigned int rings, refs;
	uint64_t ring_used; /* bit by ring */
	bool inproc;	    /* the switch is in this process */
	/* Ephemeral ports that nobody has any more are kept for a moment: who
	   opens many connections takes the next one from here. */
	struct mslink__claims idle;
	/* Others are let go when what was sent from them has left. */
	struct mslink__claims ending;
	struct mslink__claim *claims[MSLINK__CLAIM_BUCKETS];
};

enum mslink__neigh_state {
	NEIGH_NONE,
	NEIGH_LEARNT, /* by a frame from there */
	NEIGH_ROUTED, /* the switch's routes say so */
	NEIGH_PENDING,
	NEIGH_SELF, /* a loopback address, and the interface is not lo */
};

struct mslink__neigh {
	uint8_t addr[16];
	uint8_t family;
	uint8_t state; /* enum mslink__neigh_state */
	uint8_t mac[6];
	uint32_t gen;	   /* region's route_gen of this knowledge */
	uint64_t asked_ns; /* last question for a route */
};

/* A frame that waits. */
struct mslink__held {
	struct mslink__held *next;
	uint64_t until_ns;
	utcp_pkt_t meta; /* of its first element */
	uint32_t len;
	uint8_t data[];
};

struct mslink_s {
	struct mslink__group *group;
	msport_t *port;
	unsigned int ring;
	utcp_t *u;
	uint32_t l2_bytes;
	uint8_t mac[6];
	uint16_t vlan;
	const uint32_t *route_gen; /* in the region */
	uint32_t gen;		   /* that the MTU was asked at */
	uint32_t mtu;

	unsigned int unreleased; /* views that the stack may still refer to */
	unsigned int last_out;	 /* views of the last flush */
	bool want_room;		 /* the transmit ring was full */
	bool sending;		 /* frames are being made, or none ever again */
	const struct ms_ring *tx_ring;
	uint8_t *hot[MSLINK__HOT]; /* in turn; num_hot 0: the slots' own */
	unsigned int num_hot, next_hot;
	unsigned int frame_views; /* that a frame may take */
	msport_view_t rx[MSLINK__BATCH];
	msport_view_t tx[MSLINK__BATCH];

	struct mslink__neigh *neighs;
	struct mslink__neigh *last_neigh;
	struct mslink__held *held, **held_end;
	unsigned int num_held;
	uint64_t held_next_ns;

	struct mslink__looped *loop, **loop_end;
	struct mslink__looped *loop_lent; /* the stack may refer to them */
	size_t loop_bytes;

	mslink_table_t *table; /* in shared memory, behind it rows; or NULL */
	int table_fd;
	uint32_t table_seq;
	uint64_t table_due_ns; /* UTCP_NEVER: it says how things are */

	struct mslink__spin spin;
	uint64_t frame_ns; /* when frames last came or went */

	uint64_t ctr[MSLINK_CTR_MAX];
};

#define COUNT(l, NAME) ((l)->ctr[MSLINK_CTR_##NAME]++)
#define COUNT_N(l, NAME, n) ((l)->ctr[MSLINK_CTR_##NAME] += (n))

/* ---- claim.c: config.claim, config.unclaim; arg is the link -------------- */

int mslink__claim(void *arg, utcp_addr_t *local, uint8_t proto);
void mslink__unclaim(void *arg, const utcp_addr_t *local, uint8_t proto);
void mslink__claims_init(struct mslink__group *g);
/* Lets go of what was idle for a while. */
void mslink__claims_expire(struct mslink__group *g, uint64_t now_ns);
/* And of what has ended, as the switch has all that this link has sent. */
void mslink__claims_end(struct mslink__group *g);
static inline bool
mslink__claims_wait(const struct mslink__group *g)
{
	return __atomic_load_n(&g->ending.first, __ATOMIC_RELAXED) != NULL;
}
void mslink__claims_free(struct mslink__group *g);

/* ---- neigh.c ------------------------------------------------------------- */

int mslink__neigh_init(mslink_t *l);
void mslink__neigh_deinit(mslink_t *l);
/* The first element of a frame that came: who sent it is where it came from. */
void mslink__learn(mslink_t *l, const msport_view_t *v);
/*
 * Fills the Ethernet header of the frame that starts at v. 0; -EAGAIN: its
 * neighbour is being asked for; -EHOSTUNREACH; -ELOOP: it is for this stack.
 */
int mslink__address(mslink_t *l, msport_view_t *v, uint64_t now_ns);
/* Asks the switch, under the group's lock. */
int mslink__route(mslink_t *l, const uint8_t *addr, uint8_t family,
		  struct ms_cmd_route *r);
/* Keeps a frame of n views until its neighbour answers. */
void mslink__hold(mslink_t *l, const msport_view_t *v, unsigned int n,
		  uint64_t now_ns);
/* Puts frames whose neighbour is known now into views (n, with room); returns
   how many views were filled. */
unsigned int mslink__unhold(mslink_t *l, msport_view_t *v, unsigned int n,
			    uint64_t now_ns);

/* ---- loop.c -------------------------------------------------------------- */

bool mslink__is_loopback(const uint8_t *addr, uint8_t family);
void mslink__loop_init(mslink_t *l);
void mslink__loop_deinit(mslink_t *l);
/* Copies a frame of n views; it comes in with the next batch. */
void mslink__loop_put(mslink_t *l, const msport_view_t *v, unsigned int n);
/* Gives the stack a batch of them; returns how many. */
unsigned int mslink__loop_input(mslink_t *l);
/* The stack does not refer to them any more. */
void mslink__loop_release(mslink_t *l);

/* ---- table_memfd.c, table_none.c ------------------------------------------- */

/* Makes the table; there is none where that fails. */
void mslink__table_init(mslink_t *l);
void mslink__table_deinit(mslink_t *l);
/* Writes it anew. */
void mslink__table_write(mslink_t *l, uint64_t now_ns);
/* Something happened: it will be written, in a second at the latest. */
static inline void
mslink__table_touch(mslink_t *l)
{
	if (l->table_due_ns == UTCP_NEVER && l->table)
		l->table_due_ns = utcp_now_ns(l->u) + MSLINK__TABLE_NS;
}

/* ---- io.c ---------------------------------------------------------------- */

/* Transmit slots that the switch has not taken yet. */
uint32_t mslink__under_way(const mslink_t *l);

/* ---- link.c -------------------------------------------------------------- */

/* What the port says of itself, after open and reopen. */
void mslink__refresh(mslink_t *l);
/* route_gen moved: the MTU may have. */
void mslink__routes_moved(mslink_t *l);

/* ---- random_getrandom.c, random_arc4.c ------------------------------------- */

/* Fills up to 256 bytes that nobody can guess. -errno. */
int mslink__random(void *buf, size_t bytes);

#endif /* MSLINK_INTERNAL_H */
