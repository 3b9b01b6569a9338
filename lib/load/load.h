/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load.h: the rooms of multistack-load.
 *
 *	main.c	    threads, signals, the live line, the end
 *	options.c   the command line
 *	url.c	    where to, and the request's text
 *	worker.c    a thread's share: when the next request is due, what is left
 *	conn.c	    a connection, whichever carries it: requests out, responses
 *		    in, what went wrong
 *	response.c  the parser
 *	run_utcp.c  a stack of our own
 *	run_host.c  the host's sockets, for comparison
 *	stats.c	    counts
 *	hist.c	    times
 *	report.c    the table
 *	json.c	    the same for programs
 *
 * A worker is one thread's: nothing is shared but `stop` and struct live.
 *
 * Sections named are those of RFC 9112 (HTTP/1.1) unless another is named.
 */
#ifndef LOAD_H
#define LOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <multistack/link.h>

#include "hist.h"
#include "program.h"

#define THREADS_MAX 64
#define CONNECTIONS_MAX 1000000
#define PIPELINE_MAX 256
#define SOURCES_MAX 256
#define RETRY_NS 10000000u /* after an attempt to connect that failed */
#define OPENING_MAX 256u   /* at a time of a thread, at the beginning */

struct conn;
struct worker;

/* ---- options.c, url.c --------------------------------------------------------- */

struct options {
	const char *url;
	const char *device; /* NULL: the host's stack */
	utcp_addr_t peer;
	utcp_addr_t sources[SOURCES_MAX];
	unsigned int num_sources; /* 0: whatever the routes say */
	unsigned int threads, connections, pipeline;
	uint64_t duration_ns; /* UINT64_MAX: until all requests are done */
	uint64_t warmup_ns, timeout_ns;
	uint64_t requests;    /* UINT64_MAX: until the time is over */
	double rate;	      /* requests a second; 0: as fast as they go */
	uint64_t interval_ns; /* expected, for the correction; 0: the median */
	const char *method, *body, *host_field;
	size_t body_len;
	const char *fields[64];
	unsigned int num_fields;
	bool head;	  /* responses have no body */
	bool one_each;	  /* a connection for each request */
	bool reset;	  /* connections end by reset */
	char *text;	  /* `pipeline` requests, one behind the other */
	size_t text_len;  /* of one */
	const char *json; /* file, or "-" */
	struct stack_options stack;
	bool spectrum, quiet, verbose;
};

/* -1: go on; else an exit status: all is said. */
int options_parse(struct options *o, int argc, char **argv);
void options_free(struct options *o);
/* What o->url names: o->peer, and o->text with o->method, o->fields and so on.
   False: it does not, and why was said. */
bool url_resolve(struct options *o);

/* ---- stats.c ------------------------------------------------------------------ */

enum error {
	ERR_CONNECT, /* did not open */
	ERR_TIMEOUT, /* nothing came for so long */
	ERR_RESET,   /* by the server, or its stack gave up */
	ERR_CLOSED,  /* before the response was whole */
	ERR_BAD,     /* a response that is none */
	ERR_MAX
};
extern const char *const error_names[ERR_MAX];

/* Of requests that were due after the warm-up. */
struct stats {
	uint64_t begun; /* those below, and of the errors all */
	uint64_t answered;
	uint64_t status[6]; /* by the first digit of the answers; [0] unused */
	uint64_t errors[ERR_MAX]; /* requests, or attempts to connect */
	uint64_t unfinished;	  /* sent, and the end came first */
	uint64_t unsent;	  /* due, and no connection was free */
	uint64_t repeated;    /* sent again: the server had said it closes */
	uint64_t connects;    /* that opened */
	uint64_t idle_closed; /* connections that the server closed, idle */
	uint64_t in_bytes, body_bytes;
	struct hist *latency; /* from when it was due */
	struct hist *service; /* from when it was sent; with a rate only */
	struct hist *connect; /* until open */
};

int stats_init(struct stats *s);
void stats_deinit(struct stats *s);
void stats_add(struct stats *to, const struct stats *from);
uint64_t stats_errors(const struct stats *s);

/* ---- response.c --------------------------------------------------------------- */

#define LINE_MAX_BYTES 8192u  /* of a head or a chunk's size; more: bad */
#define HEAD_MAX_BYTES 65536u /* of a response's head, and of its trailer */
#define INTERIM_MAX 16	      /* 1xx before a response */

enum response_state {
	RESPONSE_STATUS, /* lines of the head */
	RESPONSE_FIELD,
	RESPONSE_BODY, /* `left` bytes */
	RESPONSE_SIZE, /* chunked */
	RESPONSE_CHUNK,
	RESPONSE_CHUNK_END,
	RESPONSE_TRAILER,
	RESPONSE_TO_END, /* until the connection ends */
	RESPONSE_DONE,
	RESPONSE_BAD,
};

/* What a head says. */
struct head {
	uint64_t length;
	uint16_t status;
	bool has_length, chunked, close, keep, old; /* old: HTTP/1.0 */
};

/* A response in the making. All zeros is a new one, of a request that was not
   HEAD. */
struct response {
	uint8_t state; /* enum response_state */
	bool to_head;  /* it answers HEAD */
	bool begun;    /* a byte of it came */
	uint8_t interim;
	uint16_t line_len;
	struct head head;
	uint32_t head_bytes;
	uint64_t left;
	uint64_t body_bytes;
	char *line; /* a part of one, which the input ended in; or NULL */
};

/*
 * A head that was read, and what it says: servers say the same again and again,
 * for a second at least. The same bytes mean the same.
 */
struct head_cache {
	struct head head;
	size_t len;
	char text[1024];
};

/* Ready for the next one. */
void response_reset(struct response *r, bool to_head);
void response_deinit(struct response *r);
/* Feeds bytes until the response is complete or bad; returns how many it took.
   Look at r->state then. cache may be NULL. */
size_t response_feed(struct response *r, struct head_cache *cache,
		     const char *data, size_t len);
/* The connection has ended in order: whether that completes it. */
bool response_end(struct response *r);
/* Of a complete one: whether the connection goes on. */
bool response_keeps(const struct response *r);

/* ---- conn.c --------------------------------------------------------------------- */

enum conn_state {
	CONN_SHUT,
	CONN_OPENING,
	CONN_OPEN,
};

/* A request under way. */
struct pend {
	uint64_t due_ns, sent_ns;
};

struct conn {
	struct worker *w;
	utcp_sock_t *sock; /* of run_utcp.c */
	int fd;		   /* of run_host.c */
	size_t out;	   /* bytes of requests that the socket has not taken */
	struct list wait;  /* worker's idle or retry */
	uint64_t since_ns; /* when it began to open, or had a response last */
	uint8_t state;	   /* enum conn_state */
	bool waits;	   /* wait is in a list */
	bool served;	   /* had a response since it opened */
	bool closing;	   /* the server closes after the response that came */
	uint16_t source;   /* of opt->sources */
	uint32_t first, num; /* of pend, a ring */
	uint32_t unsent;     /* of those, the last ones */
	struct response resp;
	struct pend pend[];
};

/* What carries connections. */
struct carrier {
	/* Begins to open: conn_opened() or conn_failed() follows. Negative
	   errno: it will not. */
	int (*open)(struct conn *c);
	/* Sends so many requests. Negative errno: the connection is broken. */
	int (*send)(struct conn *c, unsigned int n);
	/* Lets it go: in order, or reset. */
	void (*close)(struct conn *c, bool reset);
};

/* Connections that the worker has, all shut and to be opened. -ENOMEM. */
int conn_create_all(struct worker *w);
void conn_destroy_all(struct worker *w);
/* i < w->num_conns */
struct conn *conn_at(const struct worker *w, unsigned int i);
/* One that is shut: opens it if there is something to do. */
void conn_start(struct conn *c);
/* The same for a request that is due at due_ns, or sends it on an open one. */
void conn_assign(struct conn *c, uint64_t due_ns);
/* Told by the carrier. Input first, then settle; both only while it is open. */
void conn_opened(struct conn *c);
void conn_feed(struct conn *c, const uint8_t *data, size_t len);
/* end: the server will say no more. */
void conn_settle(struct conn *c, bool end);
/* It did not open or is broken: a negative errno. */
void conn_failed(struct conn *c, int why);
/* Nothing came for too long. */
void conn_timeout(struct conn *c);

/* ---- worker.c ------------------------------------------------------------------- */

/* What threads tell the one that shows it, each second. */
struct live {
	pthread_mutex_t lock;
	struct hist *recent; /* NULL: nobody looks */
	uint64_t errors;
};

struct worker {
	const struct options *opt;
	const struct carrier *carrier;
	struct live *live;
	unsigned int index;
	pthread_t thread;
	int status; /* errors of its own: an exit status */

	char *conns; /* num_conns, each of conn_bytes */
	unsigned int num_conns;
	size_t conn_bytes;
	struct list idle;  /* with a rate: those that can take a request */
	struct list retry; /* to be opened, the first first */
	unsigned int opening;

	uint64_t now_ns;
	uint64_t begin_ns; /* the warm-up is over: what is due is counted */
	uint64_t end_ns;
	uint64_t left;	      /* requests that may still be sent */
	uint64_t outstanding; /* in connections */
	double every_ns;      /* with a rate: between requests */
	uint64_t start_ns;    /* of the first of them */
	uint64_t due_ns;      /* of the next; UINT64_MAX without a rate */
	uint64_t num_due;
	uint64_t look_ns; /* for connections that are silent too long */
	uint64_t tick_ns; /* for the live line */
	uint64_t told;	  /* errors so far */
	uint64_t over_ns; /* when it was */
	uint64_t cpu_ns;  /* of the thread, while it counted */
	bool counts;

	struct stats stats;
	struct hist *recent;
	struct head_cache cache;
};

/* Its share of opt, as worker `index`. -ENOMEM. */
int worker_init(struct worker *w, const struct options *opt,
		const struct carrier *carrier, struct live *live,
		unsigned int index);
void worker_deinit(struct worker *w);
/* Time runs from now on. */
void worker_start(struct worker *w);
/* What is due. False: it is over, and what was under way is counted. */
bool worker_step(struct worker *w);
/* Until when worker_step() has nothing to do. */
uint64_t worker_wake_ns(const struct worker *w);
/* A request that is due at due_ns begins; w->left was not 0. */
void worker_begun(struct worker *w, uint64_t due_ns);
/* It ends, at w->now_ns, with a response or without. */
void worker_answered(struct worker *w, const struct pend *p,
		     const struct response *r);
void worker_error(struct worker *w, uint64_t due_ns, enum error e);

/* What all threads counted. */
struct total {
	struct stats stats;
	uint64_t begin_ns, over_ns; /* from the first to the last */
	uint64_t cpu_ns;
	int status; /* an exit status */
};

extern atomic_int stop; /* a signal's handler's */
/* Both run all threads until the end and add up what they counted; a negative
   errno: they could not begin, and why was said. */
int run_utcp(const struct options *o, struct live *live, struct total *all);
int run_host(const struct options *o, struct live *live, struct total *all);

/* ---- main.c ---------------------------------------------------------------------- */

/* Starts a thread for each worker and waits for their ends, showing what goes
   on. work() takes the worker. Negative errno. */
int run_threads(struct worker *const w[], unsigned int n,
		void *(*work)(void *));
void total_add(struct total *all, const struct worker *w);

/* ---- report.c, json.c ------------------------------------------------------------- */

struct result {
	const struct options *opt;
	const struct stats *stats;
	const struct hist *corrected; /* NULL with a rate */
	uint64_t interval_ns;	      /* by which it is */
	double seconds, cpu_seconds;
};

void report(FILE *to, const struct result *r);
/* 0, or a negative errno. */
int json(FILE *to, const struct result *r);

#endif /* LOAD_H */
