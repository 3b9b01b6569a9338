/* SPDX-License-Identifier: BSD-2-Clause */
/* peer.h: the parts of utcp-peer; peer.c says what it is. */
#ifndef INTEROP_PEER_H
#define INTEROP_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "wire.h"

/* What a socket does by itself. */
enum mode {
	MODE_HOLD,   /* nothing: commands drive it */
	MODE_SINK,   /* reads and compares with the pattern */
	MODE_SOURCE, /* writes so many bytes of the pattern, shuts down */
	MODE_BOTH,   /* both at once */
	MODE_ECHO,   /* writes what it reads, shuts down when the peer does */
};

struct peer;

/* A listener or a connection. */
struct conn {
	struct conn *next, *prev;
	struct peer *p;
	utcp_sock_t *s; /* NULL: closed by us */
	char name[32];
	enum mode mode;
	bool listener, open, eof, shut, quiet;
	bool again;    /* its turn ended before its work did */
	bool keep;     /* not closed by itself when both sides are done */
	uint64_t want; /* bytes to write */
	uint64_t rx, tx, bad_at; /* bad_at: first byte that differs; -1: none */
	uint64_t born_ns, open_ns, first_ns, last_ns;
	unsigned int sent_bufs; /* zero copy: not yet given back */
	uint8_t *echo;		/* read and not yet written */
	size_t echo_len, echo_at;
	/* of a listener: its connections */
	struct conn *parent;
	uint64_t accepted, ended, failed, sum_rx, sum_tx, sum_bad;
};

struct peer {
	utcp_t *u;
	struct wire wire;
	struct conn conns; /* list head */
	bool zerocopy;	   /* utcp_send, utcp_views */
	bool stop;
	unsigned int again; /* connections of which it is said */
	uint8_t *pattern;   /* twice PATTERN_BYTES: any run lies in one piece */
	uint64_t udp_in, udp_out; /* datagrams echoed */
	char line[4096];	  /* of stdin, not yet whole */
	size_t line_len;
};

#define PATTERN_BYTES 1000003u /* prime: no buffer size divides it */

/* conn.c */
struct conn *conn_new(struct peer *p, utcp_sock_t *s, const char *name);
struct conn *conn_find(struct peer *p, const char *name);
/* Does what can be done now, after an event or a command. */
void conn_step(struct conn *c);
/* Tells that it ended (error: positive errno), and forgets it. */
void conn_end(struct conn *c, int error);
ssize_t conn_write(struct conn *c, uint64_t bytes, int flags);
ssize_t conn_read(struct conn *c, uint64_t bytes);
void peer_events(struct peer *p);
void pattern_fill(struct peer *p);

/* udp.c */
int udp_echo_open(struct peer *p, const utcp_addr_t *local);
void udp_echo_step(struct peer *p, utcp_udp_t *s);

/* crypt.c: tcpcrypt on all sockets. -ENOSYS: it is not built. Whether a
   connection is encrypted: 0, or why not. */
int peer_crypt(utcp_t *u);
int peer_session(const utcp_sock_t *s);

/* command.c: one line; answers on stdout. */
void command(struct peer *p, char *line);
/* "nodelay=1", "cc=bbr", "keepidle_ns=2s", on a socket. 0, negative errno. */
int option_set(utcp_sock_t *s, const char *text);

/* json.c: members without a brace, ", " before each. */
void json_info(FILE *f, const utcp_sock_t *s);
void json_counters(FILE *f, const utcp_t *u);
void json_conn(FILE *f, const struct conn *c);

#endif
