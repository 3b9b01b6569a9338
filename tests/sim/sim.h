/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim.h: stacks over links in virtual time.
 *
 *	main.c		what to run, seeds, a process for each, failures
 *	world.c		events in time order, failures, the end
 *	node.c		nodes (a stack each)
 *	pipe.c		one direction of a link: all that can happen to a packet
 *	dualq.c		a bottleneck of two queues, for L4S
 *	app.c		applications: scripts of transfers over a connection
 *	chaos.c		applications that call anything
 *	crypt.c		tcpcrypt on all stacks, where that library is built
 *	wire.c		looks at every segment: what no TCP may do
 *	case_*.c	the worlds, and what must come of them
 *
 * All that is random comes from the seed, so a run can be repeated.
 */
#ifndef SIM_H
#define SIM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcapng.h" /* of lib/sim */
#include "stack.h"

#define USEC 1000ull
#define MINUTE (60 * SEC)
#define KB 1000ull
#define MB 1000000ull
#define MBPS 1000000ull
#define GBPS 1000000000ull

struct sim;
struct node;
struct pipe;
struct ep;

/* ---- random ----------------------------------------------------------------- */

struct rng {
	uint64_t s;
};
uint64_t rng_next(struct rng *r);
/* From 0 to n - 1 (n 0: 0); from low to high; log-uniform. */
uint64_t rng_below(struct rng *r, uint64_t n);
uint64_t rng_range(struct rng *r, uint64_t low, uint64_t high);
uint64_t rng_log(struct rng *r, uint64_t low, uint64_t high);
bool rng_chance(struct rng *r, double p);

/* ---- events ------------------------------------------------------------------- */

typedef void (*event_fn)(struct sim *w, void *arg);

struct event {
	uint64_t at_ns, order;
	event_fn fn;
	void *arg;
};

/* Calls fn(w, arg) at that time; in the order of the calls at equal times. */
void sim_at(struct sim *w, uint64_t at_ns, event_fn fn, void *arg);

/* ---- pipes ----------------------------------------------------------------------- */

struct pipe_conf {
	uint64_t rate_bps; /* 0: no limit */
	uint64_t delay_ns;
	uint64_t jitter_ns;   /* more delay, from 0 to this */
	bool jitter_reorders; /* else order is kept */
	double loss;	      /* of each packet */
	uint64_t loss_every;  /* every such is lost, exactly; 0: none */
	double burst_begin;   /* Gilbert-Elliott: into the bad state... */
	double burst_end;     /* ...and out of it, for each packet */
	double burst_loss;    /* in it */
	double reorder;	      /* is held back by reorder_ns */
	uint64_t reorder_ns;
	double dup, corrupt;
	uint64_t queue_bytes; /* droptail; 0: no limit */
	uint64_t mark_bytes;  /* CE from this queue on; 0: never */
	bool dualq;	      /* two queues; then no loss, no duplicates */
	uint64_t step_ns;     /* CE on L4S's that waits longer; 0: never */
	uint32_t mtu;	      /* 0: any */
	bool mtu_silent;      /* too big: no ICMP (a black hole) */
	uint64_t dead_from_ns, dead_to_ns; /* loses all */
};

struct pipe {
	struct sim *w;
	struct pipe_conf conf;
	const char *name;
	uint64_t busy_ns;  /* the queue is empty at */
	uint64_t last_ns;  /* the last arrival */
	bool bad;	   /* Gilbert-Elliott's state, */
	uint64_t burst_ns; /* when it was looked at last */
	/* what happened */
	uint64_t pkts, bytes, overflows, losses, marks, too_big, broken, late;
	uint64_t backlog_max, backlog_sum; /* bytes, at each packet */
	struct waits *waits;		   /* NULL: not measured */
	struct waits *classic_waits;	   /* of the other queue, if dualq */
	struct dualq *dualq;		   /* NULL: one queue */
};

/* How long packets waited in a queue, since waits_begin. */
#define WAIT_STEP (10 * USEC)
#define WAITS_MAX 200000 /* of WAIT_STEP; longer ones count as this */

struct waits {
	uint64_t since_ns, num, bytes, sum_ns, max_ns;
	uint32_t hist[WAITS_MAX + 1];
};

struct packet {
	struct packet *next;
	struct node *to;
	uint32_t len, room;
	uint64_t since_ns; /* in a queue of dualq's */
	bool corrupt;
	uint8_t data[];
};

struct packet *packet_new(struct sim *w, uint32_t len);
void packet_free(struct sim *w, struct packet *p);
/* The event of an arrival: of a packet. */
void packet_event(struct sim *w, void *arg);
/* Takes p, a packet of IP, not longer than a frame. */
void pipe_send(struct pipe *pipe, struct node *from, struct packet *p);
/* What the stack wrote, offloads done in software. */
void pipe_send_pkt(struct pipe *pipe, struct node *from, const utcp_pkt_t *el,
		   unsigned int n);
/* Whether it goes by L4S's rules (RFC 9331 section 5.1); marks it CE, if it is of
   an ECN transport. */
bool packet_is_l4s(const struct packet *p);
bool packet_mark(struct packet *p);
/* p has left the queue at that time. */
void pipe_deliver(struct pipe *pipe, struct packet *p, uint64_t at_ns);
/* In place of one queue. */
void dualq_start(struct pipe *pipe);
void dualq_end(struct pipe *pipe);
void dualq_send(struct pipe *pipe, struct packet *p);
void waits_add(struct waits *w, uint64_t ns, uint32_t len);
/* From now on; what was measured is forgotten. */
void waits_begin(struct pipe *pipe);
/* So long, or shorter, did this share of packets wait. */
uint64_t waits_quantile(const struct waits *w, double share);
uint16_t sim_sum(const uint8_t *b, size_t len, uint32_t sum);
/* The pseudo header's, of a packet, for l4_bytes of proto. */
uint32_t sim_pseudo(const uint8_t *pkt, uint32_t l4_bytes, uint8_t proto);

/* ---- nodes --------------------------------------------------------------------------- */

struct node_conf {
	uint32_t mtu;	   /* 0: 1500 */
	uint32_t offloads; /* UTCP_OFFLOAD_* */
	const char *cc;	   /* NULL: the default */
	uint64_t clock_ns; /* its clock is so much ahead */
	uint64_t poll_ns;  /* packets wait for a poll every so often; 0: none */
	uint64_t extra_ns; /* on its way in: a longer access */
	bool merge;	   /* GRO: joins segments that follow each other */
	double no_memory;  /* of each allocation, once it is made */
	const utcp_config_t *base; /* the rest; NULL */
};

struct node {
	struct sim *w;
	struct node_conf conf;
	unsigned int nr; /* address 10.0.0.nr, fd00::nr */
	utcp_t *u;
	struct pipe *out;
	struct packet *in, **in_end; /* wait for the poll */
	bool poll_set;
	uint64_t wake_ns; /* an event is set for then */
	uint64_t spin_ns;
	unsigned int spins;
	int64_t mem;
	struct mssim__pcapng *pcap;
	struct ep *eps;		  /* all of this node */
	struct handler *handlers; /* all, to be freed */
	uint64_t ctr[UTCP_CTR_MAX];
};

/* ---- the world -------------------------------------------------------------------------- */

#define NODES_MAX 64
#define PIPES_MAX 16

struct sim {
	const char *group;
	uint64_t seed;
	struct rng rng;
	uint64_t now_ns;
	struct event *heap;
	unsigned int num_events, room_events;
	uint64_t order;
	struct node *nodes[NODES_MAX];
	unsigned int num_nodes;
	struct pipe *pipes[PIPES_MAX];
	unsigned int num_pipes;
	struct packet *free_packets;
	uint32_t eps_open;    /* not yet at the end of their scripts */
	uint64_t progress_ns; /* a byte was read, a connection opened */
	uint64_t stall_ns;    /* no progress for so long is a failure */
	uint64_t end_ns;      /* sim_run stops here though eps are open */
	struct wire *wire;    /* the examiner; NULL: off */
	char what[400];	      /* the world in words, for failures */
	bool verbose;
	bool lost_at_sea; /* packets to addresses of nobody may be sent */
	bool veiled;	  /* segments' data is not what users wrote */
};

extern const char *sim_pcap_dir; /* NULL: no traces */
/* Puts an extension on each new stack; NULL: none. */
extern void (*sim_extend)(struct sim *w, struct node *n);
void sim_encrypt(struct sim *w, struct node *n);

struct sim *sim_new(const char *group, uint64_t seed);
/* Ends all stacks, looks whether memory is back, frees. */
void sim_end(struct sim *w);
/* It went wrong: prints it, leaves the process. */
void sim_fail(struct sim *w, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));
#define SIM_CHECK(w, x)                                                        \
	do {                                                                   \
		if (!(x))                                                      \
			sim_fail(w, "%s:%d: does not hold: %s", __FILE__,      \
				 __LINE__, #x);                                \
	} while (0)
/* Adds words to w->what. */
void sim_say(struct sim *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Prints what happened on the links, and the stacks' counters. */
void sim_say_all(struct sim *w);
struct pipe *sim_pipe(struct sim *w, const char *name,
		      const struct pipe_conf *conf);
struct node *sim_node(struct sim *w, const struct node_conf *conf,
		      struct pipe *out);
/* Until all scripts are at their end, or w->end_ns. */
void sim_run(struct sim *w);
/* Until time at_ns. */
void sim_run_until(struct sim *w, uint64_t at_ns);
/* Until nothing is left that could happen (TIME-WAIT is over). */
void sim_settle(struct sim *w);
/* The node has something to do now: its application called its stack. */
void node_kick(struct node *n);
void node_arrive(struct node *n, struct packet *p);
/* Writes p to the node's trace, if it has one; out: it was sent. */
void node_trace(struct node *n, const struct packet *p, bool out);
struct node *sim_node_of(struct sim *w, const uint8_t *pkt);
utcp_addr_t node_addr(const struct node *n, int family, uint16_t port);
/* By how much a counter grew, over all nodes. */
uint64_t sim_counter(struct sim *w, enum utcp_counter c);

/* ---- applications ------------------------------------------------------------------------------ */

/* What an end of a connection does, in order. */
enum op {
	OP_XFER,  /* write `send` and read `recv` bytes, both at once */
	OP_SLEEP, /* for ns */
	OP_SHUT,  /* for writing */
	OP_EOF,	  /* the peer shut down: read says 0 */
	OP_CLOSE, /* the end */
	OP_ABORT,
	OP_ERROR,   /* the connection ended with an error: send is errno */
	OP_FOREVER, /* write until the world ends, reading all that comes */
	OP_SINK,    /* read until the end or the world's */
};

struct step {
	enum op op;
	uint64_t send, recv, ns;
};

#define STEPS_MAX 128
#define PATTERN 65521 /* a prime: a shift by a power of two shows */

struct ep_conf {
	struct step steps[STEPS_MAX];
	unsigned int num_steps;
	uint32_t write_max; /* bytes in one call; 0: 64 KiB */
	uint32_t read_max;
	uint64_t read_gap_ns; /* pause after each read */
	bool zero_copy;	      /* utcp_send, utcp_views */
	bool may_fail;	      /* an error ends the script, and is fine */
	bool any_data;	      /* what is read is not looked at */
	bool waits;	      /* closes when the peer has all: what closes
				 earlier gives up early on a bad link */
	uint16_t write_flags;
	int64_t opts[UTCP_OPT_MAX];
	bool opt_set[UTCP_OPT_MAX];
	const char *cc;
};

/* What utcp_set_user points to begins with this. */
struct handler {
	void (*ready)(struct handler *h, uint32_t ready);
	void (*close)(struct handler *h); /* the world ends */
	struct handler *next;		  /* of the node */
};

struct ep {
	struct handler h;
	struct ep *next; /* of the node */
	struct node *node;
	struct ep_conf conf;
	utcp_sock_t *s;
	uint64_t id;	    /* the connection's: the pattern */
	bool client, first; /* which of both; by address */
	bool open, ended;   /* established once; at the end of the script */
	bool sleeping, read_pause, got_eof;
	unsigned int at;	      /* of steps */
	uint64_t sent, got;	      /* of the stream */
	uint64_t step_sent, step_got; /* of the step */
	uint64_t acked;		      /* of utcp_send, done */
	uint64_t open_ns, end_ns;
	int error;
};

struct listener {
	struct handler h;
	struct node *node;
	utcp_sock_t *s;
	struct ep_conf conf; /* of who is accepted */
	void (*accepted)(struct listener *l, utcp_sock_t *s); /* NULL: an ep */
	unsigned int num;
	struct ep *last; /* accepted */
};

void conf_opt(struct ep_conf *c, int opt, int64_t value);
void conf_step(struct ep_conf *c, enum op op, uint64_t send, uint64_t recv,
	       uint64_t ns);
struct listener *app_listen(struct node *n, int family, uint16_t port,
			    const struct ep_conf *c);
/* Opens a connection; port 0: an ephemeral one. */
struct ep *app_connect(struct node *n, int family, uint16_t from_port,
		       struct node *to, uint16_t port, const struct ep_conf *c);
/* The same as app_connect, later. */
void app_connect_at(struct node *n, int family, struct node *to, uint16_t port,
		    const struct ep_conf *c, uint64_t at_ns);
/* The event of that. */
void app_connect_event(struct sim *w, void *arg);
/* Of an accepted socket. */
struct ep *app_ep(struct node *n, utcp_sock_t *s, const struct ep_conf *c);
/* The node's events. */
void app_events(struct node *n);
void app_close_all(struct node *n);
/* After utcp_destroy. */
void app_free(struct node *n);
utcp_info_t app_info(struct ep *e);
/* Bytes of the pattern from ofs on, of the connection's stream from the node
   with the lower number, or to it. */
const uint8_t *pattern(uint64_t id, bool from_first, uint64_t ofs, size_t *len);
bool pattern_is(uint64_t id, bool from_first, uint64_t ofs, const uint8_t *b,
		size_t len);
/* A connection's id, the same at both ends; whether this is the first one's.
   0: it has no name. */
uint64_t conn_id(utcp_sock_t *s, bool *first);

/* ---- the examiner of segments ------------------------------------------------------------------- */

struct wire *wire_new(void);
void wire_free(struct wire *x);
/* A packet leaves a node (before the link), arrives at one. */
void wire_out(struct sim *w, struct node *n, const uint8_t *pkt, uint32_t len);
void wire_in(struct sim *w, struct node *n, const struct packet *p);

/* ---- cases ------------------------------------------------------------------------------------------- */

/* A group of worlds: each seed one. `run` fails by sim_fail. */
struct group {
	const char *name;
	const char *text;
	void (*run)(uint64_t seed);
	unsigned int seeds; /* in CI */
};
extern const struct group sim_groups[];
extern bool sim_verbose;

#endif /* SIM_H */
