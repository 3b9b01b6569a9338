/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * internal.h: the simulator inside.
 *
 *	core.c		random numbers, events in time order, packets
 *	pipe.c		one way of a link: a queue, then a wire
 *	aqm.c		what a queue drops and marks
 *	net.c		the world: nodes, links, routes, the run
 *	host.c		a node's stack
 *	flow.c		the application that always has something to send
 *	series.c	columns of numbers over time
 *	pcapng.c	what an interface saw, for Wireshark; also tests/sim's
 *
 * core.c, pipe.c, aqm.c and pcapng.c know nothing of nodes.
 */
#ifndef MSSIM_INTERNAL_H
#define MSSIM_INTERNAL_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <multistack/sim.h>

#include "pcapng.h"

#define MSSIM__SEC 1000000000ull
#define MSSIM__PACKET_ROOM 2048

/* ---- random ----------------------------------------------------------------- */

struct mssim__rng {
	uint64_t s;
};

uint64_t mssim__random(struct mssim__rng *r);
/* From 0 to n - 1 (n 0: 0). */
uint64_t mssim__below(struct mssim__rng *r, uint64_t n);
bool mssim__chance(struct mssim__rng *r, double p);

/* ---- events ------------------------------------------------------------------- */

/* Its owner keeps it; it is in the heap while it is set. */
struct mssim__event {
	uint64_t at_ns, order;
	uint32_t place; /* in the heap, from 1; 0: not set */
	void (*fn)(void *arg);
	void *arg;
};

struct mssim__core {
	uint64_t now_ns;
	struct mssim__event **heap;
	uint32_t num, room;
	uint32_t reserved; /* events that may be set at once */
	uint64_t order;
	struct mssim__packet *spare;
};

/* n more events may be set at once; what cannot fail later fails here:
   -ENOMEM. */
int mssim__reserve(struct mssim__core *c, uint32_t n);
/* Sets it, or moves it: fn(arg) at that time, not before now; events of one
   time happen in the order in which they were set. */
void mssim__set(struct mssim__core *c, struct mssim__event *ev, uint64_t at_ns);
void mssim__unset(struct mssim__core *c, struct mssim__event *ev);
/* Runs the first event if it is not later than that; whether there was one. */
bool mssim__step(struct mssim__core *c, uint64_t until_ns);
/* Frees spare packets and the heap. */
void mssim__core_deinit(struct mssim__core *c);

/* ---- packets ------------------------------------------------------------------ */

struct mssim__packet {
	struct mssim__packet *next;
	struct mssim__event ev; /* of one that left the order */
	struct mssim__pipe *pipe;
	void *to;	/* for the user of the pipe */
	uint64_t at_ns; /* came to the queue; then: arrives */
	uint32_t len, room;
	bool corrupt;
	uint8_t data[];
};

/* A packet of len bytes, contents unset; NULL: no memory. */
struct mssim__packet *mssim__packet(struct mssim__core *c, uint32_t len);
void mssim__packet_free(struct mssim__core *c, struct mssim__packet *p);
/* The Internet checksum's sum of bytes and a sum so far, not inverted. */
uint16_t mssim__sum(const uint8_t *b, size_t len, uint32_t sum);
/* The pseudo header's, of a packet, for l4_bytes of proto. */
uint32_t mssim__pseudo(const uint8_t *pkt, uint32_t l4_bytes, uint8_t proto);

static inline void
mssim__put16(void *at, uint32_t v)
{
	uint8_t *b = at;

	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

/* ---- a pipe ------------------------------------------------------------------- */

struct mssim__list {
	struct mssim__packet *first, **end;
};

struct mssim__aqm {
	/* CoDel's (RFC 8289 section 5) */
	uint64_t first_above_ns, drop_next_ns;
	uint32_t count, last_count;
	bool dropping;
	/* PIE's (RFC 8033 section 4) */
	double prob;
	uint64_t update_ns, old_delay_ns, burst_ns;
};

struct mssim__pipe {
	struct mssim__core *core;
	mssim_way_t conf;
	struct mssim__rng rng;
	struct mssim__list queue; /* waiting */
	struct mssim__packet *sending;
	uint64_t queued_bytes; /* waiting */
	struct mssim__event sent_ev;
	struct mssim__list wire; /* on their way, in order */
	struct mssim__event arrive_ev;
	uint64_t last_ns; /* the last arrival in order */
	struct mssim__aqm aqm;
	bool bad;	   /* Gilbert-Elliott's state, */
	uint64_t burst_ns; /* when it was looked at last */
	mssim_way_stats_t stats;
	struct mssim__pcapng *near, *far; /* at its begin, at its end */
	/* Takes a packet that arrives. */
	void (*deliver)(struct mssim__pipe *pipe, struct mssim__packet *p);
	/* Takes an ICMP error for the sender of a packet that did not fit. */
	void (*bounce)(struct mssim__pipe *pipe, struct mssim__packet *p);
	void *from, *to; /* for the user of the pipe */
};

/* -EINVAL: a conf that makes no sense. */
int mssim__way_check(const mssim_way_t *conf);
/* deliver, bounce, from and to are the caller's to set. -ENOMEM. */
int mssim__pipe_init(struct mssim__pipe *pipe, struct mssim__core *core,
		     const mssim_way_t *conf, uint64_t seed);
/* Frees the packets in it. */
void mssim__pipe_deinit(struct mssim__pipe *pipe);
/* Takes p, a packet of IP. */
void mssim__pipe_send(struct mssim__pipe *pipe, struct mssim__packet *p);
/* Bytes in the queue, of the one being sent what is left; how long they
   take. */
uint64_t mssim__backlog(const struct mssim__pipe *pipe);
uint64_t mssim__delay_ns(const struct mssim__pipe *pipe);

/* The next of the queue that is to be sent; what CoDel drops before it is
   freed. NULL: none. */
struct mssim__packet *mssim__aqm_take(struct mssim__pipe *pipe);
/* Whether p may enter the queue; it may get a mark. */
bool mssim__aqm_admit(struct mssim__pipe *pipe, struct mssim__packet *p);

static inline void
mssim__list_init(struct mssim__list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static inline void
mssim__list_put(struct mssim__list *l, struct mssim__packet *p)
{
	p->next = NULL;
	*l->end = p;
	l->end = &p->next;
}

static inline struct mssim__packet *
mssim__list_take(struct mssim__list *l)
{
	struct mssim__packet *p = l->first;

	if (p && !(l->first = p->next))
		l->end = &l->first;
	return p;
}

/* ---- series ------------------------------------------------------------------- */

#define MSSIM__COLUMNS_MAX 9

struct mssim__series {
	double *column[MSSIM__COLUMNS_MAX];
	size_t num, room;
};

/* Appends a row. -ENOMEM. */
int mssim__series_add(struct mssim__series *s, const double *row,
		      unsigned int columns);
void mssim__series_free(struct mssim__series *s);

/* ---- the world ---------------------------------------------------------------- */

#define MSSIM__OUT_BUFS 40

struct mssim_node_s {
	mssim_t *w;
	uint32_t nr; /* from 1 */
	utcp_t *u;   /* NULL: a router */
	uint32_t mtu;
	mssim_host_conf_t conf;
	struct mssim__event wake;
	uint64_t spin_ns; /* woken so often at one time */
	uint32_t spins;
	uint16_t *route; /* link + 1, by nr - 1; 0: none */
	uint64_t no_route, nomem;
};

struct mssim_link_s {
	mssim_t *w;
	mssim_node_t *node[2];
	struct mssim__pipe pipe[2]; /* from node[i] */
	struct mssim__pcapng *pcap[2];
	struct mssim__series series[2];
	uint64_t sent_bytes[2]; /* when it was sampled last */
};

struct mssim_s {
	struct mssim__core core;
	struct mssim__rng rng;
	mssim_node_t **nodes;
	mssim_link_t **links;
	mssim_flow_t *flows;
	uint32_t num_nodes, num_links, room_nodes, room_links;
	bool routed; /* routes are of the links that are */
	bool running, stop;
	int error; /* of this run */
	uint64_t sample_ns;
	struct mssim__event sampler;
	struct mssim__packet *out[MSSIM__OUT_BUFS]; /* to write packets in */
};

struct mssim_flow_s {
	mssim_t *w;
	mssim_flow_t *next;
	mssim_flow_conf_t conf;
	mssim_opt_t *opts;
	char cc[16];
	uint16_t port;
	utcp_sock_t *listener, *sock, *peer;
	struct mssim__event start, stop;
	bool shut;
	mssim_flow_stats_t stats;
	utcp_info_t info; /* of the end */
	struct mssim__series series;
	uint64_t sampled_bytes, sampled_ns;
};

/* A packet for this node, or to be passed on by it. Takes it. */
void mssim__node_packet(mssim_node_t *n, struct mssim__packet *p);
/* The stack runs what is due, applications are told, packets leave. */
void mssim__node_work(mssim_node_t *n);
/* The way to the node of the packet's destination; NULL: none. */
struct mssim__pipe *mssim__route(mssim_node_t *n, const uint8_t *pkt);
void mssim__node_end(mssim_node_t *n);
/* An event of a socket of a flow. */
void mssim__flow_event(mssim_node_t *n, const utcp_event_t *ev);
void mssim__flow_sample(mssim_flow_t *f, uint64_t now_ns);
void mssim__flow_free(mssim_flow_t *f);

#endif /* MSSIM_INTERNAL_H */
