/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim.h: networks of stacks (utcp.h) in virtual time.
 *
 * Hosts, each with a stack as it is, no model of one; routers; links with a
 * rate, a delay, a queue and its management, losses of all kinds. Nothing
 * sleeps: a second of 100 Mb/s passes in the time that its packets need. All
 * that is random follows from the seed, so that a run can be repeated to the
 * bit.
 *
 *	mssim_create(&w, 1);
 *	mssim_host(w, NULL, &a);
 *	mssim_host(w, NULL, &b);
 *	mssim_link(w, a, b, &way, &way, &link);
 *	mssim_flow(w, &conf, &flow);		bytes from a to b
 *	mssim_run(w, 10000000000);		ten seconds
 *	mssim_flow_series(flow, MSSIM_FLOW_CWND, &n)
 *
 * Calls return 0 (or a count) or a negative errno. -EINVAL: an argument makes
 * no sense; nothing has changed then. A world belongs to one thread at a time.
 * Times are in nanoseconds since the world began; a stack's own clock
 * (utcp_now_ns) shows MSSIM_CLOCK_NS more.
 */
#ifndef MULTISTACK_SIM_H
#define MULTISTACK_SIM_H

#include <multistack/utcp.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MSSIM_EXTERN __attribute__((visibility("default")))
#define MSSIM_CLOCK_NS 1000000000ull
#define MSSIM_NODES_MAX 4096

typedef struct mssim_s mssim_t;
typedef struct mssim_node_s mssim_node_t; /* a host or a router */
typedef struct mssim_link_s mssim_link_t; /* between two nodes, both ways */
typedef struct mssim_flow_s mssim_flow_t; /* bytes from one host to another */

/* ---- the world ------------------------------------------------------------ */

/* An empty world at time 0. -ENOMEM. */
MSSIM_EXTERN int mssim_create(mssim_t **out, uint64_t seed);
/* Frees it with all that is in it. Not from a callback. NULL is fine. */
MSSIM_EXTERN void mssim_destroy(mssim_t *w);
MSSIM_EXTERN uint64_t mssim_now_ns(const mssim_t *w);
/*
 * Runs to time until_ns, or to the event in which mssim_stop() was called.
 * 0: it is until_ns; 1: stopped before. -ENOMEM: something could not be
 * recorded or sent; the world may go on. -EBUSY: it runs already.
 */
MSSIM_EXTERN int mssim_run(mssim_t *w, uint64_t until_ns);
/* From a callback: mssim_run() returns after this event. */
MSSIM_EXTERN void mssim_stop(mssim_t *w);
/* Time series of flows and links get a value so often; 0: none. 10 ms at
   first. */
MSSIM_EXTERN int mssim_sample(mssim_t *w, uint64_t every_ns);

/* ---- nodes ------------------------------------------------------------------ */

typedef struct mssim_host_conf_s {
	uint32_t size; /* of this struct */
	uint32_t mtu;  /* 0: 1500 */
	/*
	 * Sockets that are not of a flow became ready: `num` events, borrowed
	 * for the call. May call the stack and mssim_stop(); data not read by
	 * its end is copied. NULL: nobody is told.
	 */
	void (*ready)(void *arg, const utcp_event_t *events, int num);
	void *arg;
	/* The stack's; NULL: all defaults. size, mtu, seed, now_ns, l2_bytes
	   and offloads are the simulator's. Copied. */
	const utcp_config_t *config;
} mssim_host_conf_t;

/* A host with a stack; conf may be NULL. -ENOMEM, -ENOSPC, errors of
   utcp_create. */
MSSIM_EXTERN int mssim_host(mssim_t *w, const mssim_host_conf_t *conf,
			    mssim_node_t **out);
/* A node that only passes packets on (it counts no hops). */
MSSIM_EXTERN int mssim_router(mssim_t *w, mssim_node_t **out);
/* Its stack, for utcp.h's calls; NULL: a router. A socket's user pointer is
   the caller's, but an odd one is the simulator's. */
MSSIM_EXTERN utcp_t *mssim_stack(const mssim_node_t *n);
/* The application called the stack: it is to send and to set its timers. Not
   needed in `ready`. */
MSSIM_EXTERN void mssim_kick(mssim_node_t *n);
/* Its address of a family (4: 10.0.0.0/8, 6: fd00::/96, by its number). */
MSSIM_EXTERN int mssim_addr(const mssim_node_t *n, int family,
			    utcp_addr_t *out);

/* ---- links -------------------------------------------------------------------- */

/* What decides which packets of a queue are dropped or marked before it is
   full. */
enum mssim_aqm {
	MSSIM_DROPTAIL, /* nothing */
	MSSIM_STEP,	/* CE from a delay of target_ns, or step_bytes, on */
	MSSIM_CODEL,	/* RFC 8289 */
	MSSIM_PIE,	/* RFC 8033 */
	MSSIM_HOOK,	/* `hook` */
	MSSIM_AQM_MAX,
};

enum mssim_verdict { MSSIM_PASS, MSSIM_DROP, MSSIM_MARK };

/* One way of a link. All zeros: a perfect one. Probabilities are from 0 to 1,
   of each packet. */
typedef struct mssim_way_s {
	uint32_t size;	   /* of this struct */
	uint32_t aqm;	   /* enum mssim_aqm */
	uint64_t rate_bps; /* 0: no limit, no queue */
	uint64_t delay_ns;
	uint64_t jitter_ns;	  /* more delay, from 0 to this, evenly */
	uint64_t queue_bytes;	  /* 0: no limit */
	uint32_t jitter_reorders; /* else order is kept */
	uint32_t ecn; /* CODEL, PIE: mark who is able to ECN, drop others */
	uint64_t target_ns;   /* 0: CODEL 5 ms, PIE 15 ms, STEP 1 ms */
	uint64_t interval_ns; /* CODEL; 0: 100 ms */
	uint64_t step_bytes;  /* STEP: by bytes; 0: by target_ns */
	/* HOOK: asked of each packet that comes to the queue; returns enum
	   mssim_verdict. The packet is borrowed. */
	int (*hook)(void *arg, const uint8_t *pkt, uint32_t len,
		    uint64_t now_ns, uint64_t backlog_bytes);
	void *hook_arg;
	double loss;
	uint64_t loss_every; /* every such is lost, exactly; 0: none */
	double burst_begin;  /* Gilbert-Elliott: into the bad state... */
	double burst_end;    /* ...and out of it */
	double burst_loss;   /* in it */
	double reorder;	     /* is held back by reorder_ns */
	uint64_t reorder_ns;
	double dup, corrupt;		   /* twice; one bit turned */
	uint32_t mtu;			   /* 0: any */
	uint32_t mtu_silent;		   /* too big: no ICMP (a black hole) */
	uint64_t dead_from_ns, dead_to_ns; /* loses all */
} mssim_way_t;

typedef struct mssim_way_stats_s {
	uint64_t pkts, bytes;	   /* came to the queue */
	uint64_t sent, sent_bytes; /* left it */
	uint64_t overflows;	   /* found it full */
	uint64_t drops;		   /* by the AQM */
	uint64_t marks;		   /* with CE, by the AQM */
	uint64_t losses;	   /* on the way: loss, bursts, dead */
	uint64_t too_big, corrupted, reordered, duplicated;
	uint64_t nomem;
	uint64_t backlog_max; /* bytes */
	uint64_t backlog_sum; /* bytes, at each packet: the average's */
} mssim_way_stats_t;

/* A link; conf of each way are copied. Routes go over the least number of
   links. -EINVAL, -ENOMEM. */
MSSIM_EXTERN int mssim_link(mssim_t *w, mssim_node_t *a, mssim_node_t *b,
			    const mssim_way_t *a_to_b,
			    const mssim_way_t *b_to_a, mssim_link_t **out);
/* From now on, way 0 (a to b) or 1 is like that. Packets in its queue stay;
   one that is being sent goes on as it was. */
MSSIM_EXTERN int mssim_link_set(mssim_link_t *link, int way,
				const mssim_way_t *conf);
MSSIM_EXTERN int mssim_link_stats(const mssim_link_t *link, int way,
				  mssim_way_stats_t *out);
/* Writes a pcapng file of what the interface at its end a (0) or b (1) sends
   and receives, until the world ends. -EBUSY: there is one; errno of fopen. */
MSSIM_EXTERN int mssim_link_capture(mssim_link_t *link, int end,
				    const char *path);

enum mssim_link_column {
	MSSIM_LINK_TIME,    /* s */
	MSSIM_LINK_BACKLOG, /* bytes in the queue */
	MSSIM_LINK_DELAY,   /* s that the queue takes */
	MSSIM_LINK_RATE,    /* bits a second that left, since the last value */
	MSSIM_LINK_DROPS,   /* in all: overflows and the AQM's */
	MSSIM_LINK_MARKS,   /* in all */
	MSSIM_LINK_COLUMNS,
};
/* A time series of way 0 or 1: *num values, borrowed until the world runs
   again. NULL: no such. */
MSSIM_EXTERN const double *mssim_link_series(const mssim_link_t *link, int way,
					     int column, size_t *num);

/* ---- flows ---------------------------------------------------------------------- */

typedef struct mssim_opt_s {
	int opt; /* UTCP_OPT_* */
	int pad;
	int64_t value;
} mssim_opt_t;

typedef struct mssim_flow_conf_s {
	uint32_t size; /* of this struct */
	uint32_t num_opts;
	mssim_node_t *from, *to; /* hosts */
	const char *cc;		 /* the sender's; NULL: its stack's */
	const mssim_opt_t *opts; /* of both ends; copied */
	uint64_t start_ns;
	uint64_t stop_ns; /* writes no more; 0: goes on */
	uint64_t bytes;	  /* to send; 0: without end */
	int family;	  /* 4 or 6; 0: 4 */
	int pad;
} mssim_flow_conf_t;

/* A connection from `from` to `to`, opened at start_ns, that has always
   something to send. -EINVAL, -ENOENT (no such cc), -ENOMEM. */
MSSIM_EXTERN int mssim_flow(mssim_t *w, const mssim_flow_conf_t *conf,
			    mssim_flow_t **out);

typedef struct mssim_flow_stats_s {
	int error;	      /* positive errno that ended it; 0 */
	int done;	      /* the receiver has all of it, and the end */
	uint64_t opened_ns;   /* UTCP_NEVER: not yet */
	uint64_t finished_ns; /* when the last byte came, or the error */
	uint64_t written, received; /* bytes */
} mssim_flow_stats_t;

MSSIM_EXTERN int mssim_flow_stats(const mssim_flow_t *f,
				  mssim_flow_stats_t *out);
/* The sender's socket, to look at; NULL before it opens and after it ended,
   when utcp_info of its end is still to be had here. */
MSSIM_EXTERN utcp_sock_t *mssim_flow_sock(const mssim_flow_t *f);
MSSIM_EXTERN int mssim_flow_info(const mssim_flow_t *f, utcp_info_t *info);

enum mssim_flow_column {
	MSSIM_FLOW_TIME,     /* s */
	MSSIM_FLOW_CWND,     /* bytes */
	MSSIM_FLOW_SSTHRESH, /* bytes; UINT32_MAX: not known */
	MSSIM_FLOW_RTT,	     /* s, smoothed; 0: not measured */
	MSSIM_FLOW_INFLIGHT, /* bytes */
	MSSIM_FLOW_GOODPUT,  /* bits a second received, since the last value */
	MSSIM_FLOW_RECEIVED, /* bytes in all */
	MSSIM_FLOW_RETRANS,  /* segments in all */
	MSSIM_FLOW_PACING,   /* bits a second; 0: not paced */
	MSSIM_FLOW_COLUMNS,
};
/* As mssim_link_series; from start_ns on, until it is finished. */
MSSIM_EXTERN const double *mssim_flow_series(const mssim_flow_t *f, int column,
					     size_t *num);

#ifdef __cplusplus
}
#endif

#endif /* MULTISTACK_SIM_H */
