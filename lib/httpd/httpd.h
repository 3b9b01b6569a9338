/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * httpd.h: the rooms of multistack-httpd.
 *
 *	main.c	      options, threads, signals
 *	serve_utcp.c  a stack of our own: poll, take a batch, feed, answer
 *	serve_host.c  the host's sockets, for comparison
 *	conn.c	      a connection, whichever carries it: requests in, replies
 *		      out, timeouts
 *	request.c     the parser and what it found (llhttp)
 *	target.c      a request's target: a path below the folder, or an error
 *	respond.c     what to say: conditions, ranges, errors
 *	range.c	      the Range field
 *	reply.c	      a reply's memory and text
 *	files.c	      the folder: open files, mapped, a bounded number of them
 *	mime.c	      types by name
 *	date.c	      dates as HTTP writes them
 *
 * A server (struct server) is one thread's: nothing is shared.
 *
 * Sections named are those of RFC 9110 (semantics) unless another is named.
 */
#ifndef HTTPD_H
#define HTTPD_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <llhttp.h>
#include <multistack/link.h>

#include "program.h"

#define TARGET_BYTES 8000 /* a longer one: 414 (RFC 9112 section 3) */
#define HEAD_MAX 16384	  /* bytes of a request's head; more: 431 */
#define BODY_MAX 65536	  /* of a body that nobody reads; more: 413 */
#define REPLIES_MAX 64	  /* unsent of one connection, then it waits */
#define RANGES_MAX 32	  /* of one request; more: the whole file */

struct conn;
struct reply;
struct server;

/* ---- files.c -------------------------------------------------------------- */

struct file {
	struct file *next; /* in its bucket */
	struct list lru;   /* cached ones, the least recently used first */
	struct files *files;
	unsigned int refs; /* replies', and the cache's */
	bool cached;
	bool is_dir; /* a directory: nothing mapped */
	uint32_t hash;
	uint64_t checked_ns;
	const uint8_t *data;
	uint64_t size;
	int64_t mtime; /* seconds */
	dev_t dev;
	ino_t ino;
	struct timespec ctim; /* changes with the content and the mode */
	char etag[48];	      /* with its quotes */
	const char *type;
	uint16_t meta_bytes;
	char meta[256]; /* header fields that each 200 and 206 has */
	char path[];	/* below the folder, without a leading slash */
};

struct files;

/* The folder at `root`, with at most max files open. Negative errno. */
int files_create(struct files **out, const char *root, unsigned int max);
void files_destroy(struct files *fs);
/*
 * The file at path (normalized, decoded, relative), with a reference. -ENOENT,
 * -EACCES (also: not a regular file, a symbolic link, a name with a dot in
 * front), -EMFILE and so on. Looks at the disk at most once a second for each.
 */
int files_open(struct files *fs, const char *path, uint64_t now_ns,
	       struct file **out);
void file_put(struct file *f);
/* Bytes of a mapping that was cut short behind our back read as 0 from now on,
   instead of ending the process. */
int files_guard(void);

/* ---- mime.c ---------------------------------------------------------------- */

/* A media type, with a charset for text; never NULL. */
const char *mime_type(const char *path);

/* ---- date.c ---------------------------------------------------------------- */

#define DATE_BYTES 30
/* "Sun, 06 Nov 1994 08:49:37 GMT" (section 5.6.7), 29 characters. */
void date_write(char to[DATE_BYTES], int64_t seconds);
/* Any of the three formats. -EINVAL. */
int date_parse(const char *text, int64_t *seconds);

/* ---- target.c -------------------------------------------------------------- */

/*
 * Decodes and normalizes the target of len bytes into path (at least len + 1
 * bytes): no leading slash, no ".", no "..". slash: it ends with one, or is
 * empty. 0, or the status of a refusal.
 */
int target_path(const char *target, size_t len, char *path, bool *slash);
/* Where the folder at path is: encoded again, with a slash in front and behind,
   and the query of the target of len bytes. At most 3 * strlen(path) + len + 2
   bytes, without a NUL; returns how many. */
size_t target_folder(const char *path, const char *target, size_t len,
		     char *to);

/* ---- range.c --------------------------------------------------------------- */

struct range {
	uint64_t start, len;
};

/* How many ranges of a file of size bytes the field asks for: 0: serve all of
   it; -1: none can be satisfied (416). */
int range_parse(const char *field, uint64_t size, struct range r[RANGES_MAX]);

/* ---- request.c -------------------------------------------------------------- */

enum field {
	FIELD_NONE,
	FIELD_HOST,
	FIELD_RANGE,
	FIELD_IF_RANGE,
	FIELD_IF_MATCH,
	FIELD_IF_NONE_MATCH,
	FIELD_IF_MODIFIED_SINCE,
	FIELD_IF_UNMODIFIED_SINCE,
	FIELD_EXPECT,
	FIELD_TRANSFER_ENCODING,
	FIELD_MAX
};

/* A request in the making: a connection has one only while it needs it. */
struct request {
	llhttp_t parser;
	struct request *next;	    /* free ones */
	uint32_t bytes, body_bytes; /* so far; of those, of the body */
	int refused; /* the status of a refusal while parsing; 0 */
	bool done;
	bool cut;	/* without its body, which the client keeps back */
	bool head_done; /* what still comes is body and trailers */
	bool keep_alive;
	char last;	  /* byte of the feed before */
	const char *from; /* this feed */
	uint8_t field;	  /* enum field, whose value comes */
	uint8_t name_len;
	uint16_t target_len;
	uint16_t text_len;
	uint16_t value[FIELD_MAX]; /* offset in text; 0: not there */
	char *target;		   /* small, or TARGET_BYTES of its own */
	char name[32];
	char small[512];
	char text[1536]; /* values, each with a NUL behind */
};

struct request *request_new(struct server *srv);
void request_free(struct server *srv, struct request *q);
/* Feeds bytes to it until the request is complete; returns how many it took.
   Look at done and refused then. */
size_t request_feed(struct request *q, const char *data, size_t len);
/* A field's value, NULL if the request has none. */
const char *request_field(const struct request *q, enum field f);

/* ---- reply.c ---------------------------------------------------------------- */

/* Text, then perhaps a part of a file. Both are sent from where they are. */
struct reply {
	utcp_buf_t head, body;
	struct reply *next; /* free ones; of serve_host.c: to be sent */
	struct server *srv;
	struct conn *conn; /* counted */
	struct file *file; /* a reference, or NULL */
	uint8_t left;	   /* of head and body, not yet sent */
	bool over;	   /* text was longer than there was room */
	uint32_t room;
	uint32_t text_len;
	char text[];
};

#define REPLY_TEXT 704
/* With room for so many bytes of text. NULL: no memory. */
struct reply *reply_new(struct server *srv, size_t room);
void reply_text(struct reply *r, const char *text, size_t len);
void reply_string(struct reply *r, const char *text);
void reply_number(struct reply *r, uint64_t n);
/* Takes a reference of its own. */
void reply_body(struct reply *r, struct file *f, uint64_t ofs, uint64_t len);
/* It is c's from here on, and the carrier's: both buffers are ready. */
void reply_give(struct reply *r, struct conn *c);
/* Not sent after all. */
void reply_free(struct reply *r);
/* utcp_buf_t's, of head and body. */
void reply_done(utcp_buf_t *buf, int status);

/* ---- respond.c -------------------------------------------------------------- */

/* Answers q on c. Returns whether the connection may go on after it. */
bool respond(struct conn *c, const struct request *q);
/* An error with its page. extra: more fields, or NULL. q NULL: there is no
   request, and the connection closes. */
void respond_error(struct conn *c, const struct request *q, int status,
		   const char *extra);

/* ---- conn.c ----------------------------------------------------------------- */

enum phase {
	PHASE_IDLE,   /* waits for a request */
	PHASE_HEAD,   /* has a part of one */
	PHASE_SEND,   /* replies are on their way */
	PHASE_LINGER, /* has said its last; reads what is still said to it */
	PHASE_MAX
};

struct conn {
	struct server *srv;
	utcp_sock_t *sock; /* NULL: gone, or of serve_host.c */
	struct request *req;
	struct list timer;  /* server's phase[], the oldest first */
	struct list resume; /* server's, while it has to go on */
	uint64_t since_ns;
	uint64_t taken;	  /* when it was looked at last */
	uint32_t refs;	  /* its own while it is open, and its replies' */
	uint32_t replies; /* not yet sent */
	uint8_t phase;	  /* enum phase */
	bool closing;	  /* after the replies */
	bool linger;	  /* and what comes is to be read away first */
	bool eof;	  /* the peer will say no more */
	bool paused;	  /* REPLIES_MAX: input waits */
};

/* What carries connections. */
struct carrier {
	/* Sends it (and has reply_done called, also if it fails). more: another
	   follows at once. */
	void (*send)(struct conn *c, struct reply *r, bool more);
	/* No more from us: a FIN after what was sent. */
	void (*shutdown)(struct conn *c);
	/* It is over: in order, or reset. Calls conn_closed() in the end. */
	void (*close)(struct conn *c, bool reset);
	/* It was paused and may go on, or must close: has input looked at. */
	void (*resume)(struct conn *c);
	/* Bytes of replies that have left so far, by whoever takes them. */
	uint64_t (*taken)(struct conn *c);
};

struct conn *conn_new(struct server *srv, size_t bytes);
/* Feeds input to it and answers; returns how many bytes it took: all of them,
   unless it paused. */
size_t conn_feed(struct conn *c, const uint8_t *data, size_t len);
/* Called after input: closes if that is due. False: c is gone. */
bool conn_settle(struct conn *c);
/* One of its replies has left. */
void conn_replied(struct conn *c);
/* The carrier's end of it is gone; c may be gone. */
void conn_closed(struct conn *c);
void conn_put(struct conn *c);

/* ---- server ------------------------------------------------------------------ */

struct options {
	const char *root;
	const char *device; /* NULL: the host's stack */
	utcp_addr_t listen[16];
	unsigned int num_listen;
	unsigned int threads;
	unsigned int cache;
	uint64_t timeout_ns[PHASE_MAX];
	uint64_t grace_ns;
	struct stack_options stack;
	bool quiet, verbose;
};

struct server {
	const struct options *opt;
	const struct carrier *carrier;
	unsigned int index; /* of its thread */
	uint64_t now_ns;
	int64_t now_s;	      /* of the day's clock */
	uint64_t date_due_ns; /* prefix is to be written anew */
	uint64_t until_ns; /* it ends: at this time at last; 0: it does not */
	struct files *files;
	struct list phase[PHASE_MAX];
	struct list resume;
	struct reply *free_replies;
	struct request *free_requests;
	unsigned int num_free_replies, num_free_requests;
	unsigned int num_conns;
	unsigned int num_replies; /* given to the carrier, not yet done */
	uint16_t prefix_len;
	char prefix[96]; /* Server and Date, for each reply */
	/* told at the end */
	uint64_t conns, requests, errors, timeouts, resets, sent_bytes;
};

int server_init(struct server *srv, const struct options *opt,
		const struct carrier *carrier, unsigned int index);
void server_deinit(struct server *srv);
void server_clock(struct server *srv, uint64_t now_ns);
/*
 * Whether it is time to end. Once `stop` is set, connections that wait for a
 * request are closed, others are after their answer; a second signal, or
 * opt->grace_ns, ends that too.
 */
bool server_over(struct server *srv);
/* Closes who was silent too long. */
void server_timeouts(struct server *srv);
/* Lets those go on that waited for replies to leave. */
void server_resume(struct server *srv);
/* Milliseconds to the next timeout, at most 500: that is how long a signal may
   have to wait. */
int server_timeout_ms(const struct server *srv);

/* Both run until `stop`; an exit status. */
extern atomic_int stop; /* how often it was told to: a signal's handler's */
int serve_utcp(const struct options *opt);
int serve_host(const struct options *opt);
/* Adds src's counts to dst's; prints them. */
void server_add(struct server *dst, const struct server *src);
/* "listening on ...", on stdout. */
void server_ready(const struct options *opt);
void server_report(const struct options *opt, const struct server *srv);

#endif /* HTTPD_H */
