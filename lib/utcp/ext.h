/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ext.h: the stack's side of extensions: registry and instances (ext.c), what
 * hooks may call (ext_call.c), segments (ext_seg.c), the stream (ext_stream.c). The extensions' side is utcp_ext.h.
 *
 * s->ext is NULL on a connection that has none; who asks, asks that first.
 */
#ifndef UTCP_EXT_H
#define UTCP_EXT_H

#include "sock.h"
#include "sockbuf.h"

#define UTCP__EXT_OPTS 8 /* options of one extension */
#define UTCP__EXT_MAX 8	 /* extensions of one socket */

struct utcp__ext_mod {
	struct utcp__ext_mod *next;
	utcp_ext_ops_t ops;
	utcp_ext_option_t options[UTCP__EXT_OPTS];
	uint32_t flags; /* UTCP_EXT_ALL, UTCP_EXT_MUST */
	void *shared;
	char name[16];
};

/* On a connection, also half open: an instance. On a socket that has no
   connection yet, and on a listener: what its connections will have. */
struct utcp__ext {
	utcp_ext_t pub; /* first */
	struct utcp__ext *next;
	const struct utcp__ext_mod *mod;
	struct utcp__exts *all;
	uint64_t due_ns;
	uint8_t want; /* bytes */
	bool no_gso;
	bool must;
	bool began; /* init returned 0 */
	bool left;  /* no hook is called but release */
	_Alignas(16) uint8_t priv[];
};

/* The stream of a UTCP_EXT_STREAM. */
struct utcp__ext_stream {
	struct utcp__ext *ext; /* NULL: it has left, `wait` is still there */
	/* what the user wrote and `write` was not given: flags in seq_ */
	utcp_buf_t *first, *last;
	uint64_t bytes;
	size_t taken; /* of the first */
	/* the user's buffers that were, until seq_ is acknowledged */
	utcp_buf_t *wait, *wait_last;
	/* what came and `read` did not take: utcp__rblk */
	struct utcp__link raw;
	uint32_t raw_bytes;
	bool write_waits, read_waits; /* for utcp_ext_resume */
	bool write_ended, read_ended;
	bool reading; /* in `read` or `read_end` */
	bool eof;     /* utcp_ext_deliver_end */
};

struct utcp__exts {
	utcp_t *u;
	utcp_sock_t *s; /* NULL: half open */
	struct utcp__ext *first;
	struct utcp__ext_stream *stream; /* NULL: none */
	struct utcp__link work;		 /* u->ext_work: at utcp__leave */
	uint32_t irs;			 /* half open */
	int16_t doom; /* positive errno: to be ended with it; no more hooks */
	uint8_t num;
	uint8_t want;	/* of all, a multiple of 4 */
	uint8_t ecn;	/* 1 + UTCP_EXT_ECN_*; 0: the stack's affair */
	bool no_gso;	/* of any */
	bool ack_first; /* a bare ACK, before all else */
	bool open;
	bool told;     /* the user, of doom */
	bool seen;     /* `in` was called for the segment that comes next */
	bool ended;    /* `end` was called */
	uint8_t reset; /* UTCP_EXT_RST_*: who does it, ahead of the end */
	const struct utcp__ext *ecn_of;
};

/* ---- ext.c ------------------------------------------------------------- */

/* Those that ship; 0, -ENOMEM. */
int utcp__ext_init(utcp_t *u);
void utcp__ext_deinit(utcp_t *u);
extern const utcp_ext_ops_t utcp__accecn_ops;
/* s has another congestion control, or UTCP_OPT_ECN: one for L4S brings accurate
   feedback with it, unless there is to be no ECN. */
void utcp__accecn_follow(utcp_sock_t *s);
/* What is on for all, on a new socket. 0, -ENOMEM. */
int utcp__ext_opened(utcp_sock_t *s);
/* utcp_connect: instances. */
void utcp__ext_begin(utcp_sock_t *s);
/* A SYN for a listener that has some: instances, which were shown it. NULL: none,
   or (refused) the SYN is not to be taken, and was answered if it is to be. */
struct utcp__exts *utcp__ext_syn(utcp_sock_t *l, struct utcp__seg_in *seg,
				 bool *refused);
/* s is the socket of x's connection. */
void utcp__ext_attach(utcp_sock_t *s, struct utcp__exts *x);
/* How ECN works on it (x->ecn). */
void utcp__ext_ecn_apply(utcp_sock_t *s, uint8_t ecn);
/* ESTABLISHED. */
void utcp__ext_open(utcp_sock_t *s);
/* It is over, with this positive errno, or 0: `end`. */
void utcp__ext_end(struct utcp__exts *x, int error);
/* Likewise of a half open one, that `reset` ends. x may be NULL. */
void utcp__ext_end_half(struct utcp__exts *x, uint8_t reset, int error);
/* The end: release, memory. x may be NULL. */
void utcp__ext_free(struct utcp__exts *x);
/* At the end of a public call: those that are doomed end, those that left go,
   streams go on. */
void utcp__ext_work(utcp_t *u);
/* Puts x into u->ext_work. */
void utcp__ext_later(struct utcp__exts *x);
/* x->no_gso is brought up to date. */
void utcp__ext_note_gso(struct utcp__exts *x);
/* Its connection is to end with this positive errno. */
void utcp__ext_doom(struct utcp__exts *x, int error);
/* A hook answered nonsense. */
void utcp__ext_fault(struct utcp__ext *e);
/* What a hook returned: 0, UTCP_EXT_LEAVE, an errno. True: 0. */
bool utcp__ext_took(struct utcp__ext *e, int r);
/* A cookie opened a connection of l's; whether one may be sent. */
void utcp__ext_cookie(const utcp_sock_t *l);
bool utcp__ext_cookie_may(const utcp_sock_t *l);

static inline bool
utcp__ext_lives(const struct utcp__ext *e)
{
	return e->began && !e->left && !e->all->doom;
}

/* ---- ext_seg.c --------------------------------------------------------- */

/* A segment for s, or for a half open connection. False: it is done with. */
bool utcp__ext_in(struct utcp__exts *x, const struct utcp__seg_in *seg);
/* A segment that leaves: writes options to `to`, at most room bytes, and returns
   how many, padded; 0 also if the connection is to end. */
struct utcp__ext_way {
	uint32_t seq, ack, len;
	uint64_t ofs;
	uint16_t segs;
	uint8_t again;
	bool probe;
	uint16_t flags; /* in and out: TH_* */
	uint8_t ecn;	/* in and out */
};
uint32_t utcp__ext_out(struct utcp__exts *x, struct utcp__ext_way *way,
		       uint8_t *to, uint32_t room);
/* The same of a SYN-ACK without a socket: options behind a's own go to more.
   False: the connection is not to be. */
struct utcp__synack;
bool utcp__ext_synack(const struct utcp__synack *a, struct utcp__bare *synack,
		      uint8_t more[40]);
/* Returns the bytes that were marked. */
struct utcp__ackwork;
uint32_t utcp__ext_ack(utcp_sock_t *s, const struct utcp__ackwork *w,
		       bool has_data);
void utcp__ext_timers(utcp_sock_t *s);

/* ---- ext_stream.c ------------------------------------------------------ */

/* NULL: bytes go straight. */
static inline struct utcp__ext_stream *
utcp__ext_stream(const utcp_sock_t *s)
{
	if (LIKELY(!s->ext) || !s->ext->stream || !s->ext->stream->ext)
		return NULL;
	return s->ext->stream;
}
/* Written, and not yet in the stream. */
static inline uint64_t
utcp__ext_waiting(const utcp_sock_t *s)
{
	const struct utcp__ext_stream *st = utcp__ext_stream(s);

	return st ? st->bytes : 0;
}
/* The FIN has to wait for what the extension still has to say. */
static inline bool
utcp__ext_holds_fin(const utcp_sock_t *s)
{
	const struct utcp__ext_stream *st = utcp__ext_stream(s);

	return st && !st->write_ended;
}
/* Came in order, and not yet the user's. */
static inline uint32_t
utcp__ext_raw(const utcp_sock_t *s)
{
	return LIKELY(!s->ext) || !s->ext->stream ? 0
						  : s->ext->stream->raw_bytes;
}
/* The reader has come to the end, but for what is in the queue. */
static inline bool
utcp__rd_end(const utcp_sock_t *s)
{
	const struct utcp__ext_stream *st = utcp__ext_stream(s);

	if (UNLIKELY(st != NULL))
		return st->eof || (s->fin_seen && st->read_ended) || s->rd_shut;
	return s->fin_seen || s->rd_shut;
}
/* The user's calls, the state checked. */
ssize_t utcp__ext_write(utcp_sock_t *s, const void *buf, size_t len, int flags);
void utcp__ext_send(utcp_sock_t *s, utcp_buf_t *buf, int flags);
/* una_ofs went on. */
void utcp__ext_acked(utcp_sock_t *s);
/* The connection is over: what was written ends with status. */
void utcp__ext_snd_drop(utcp_sock_t *s, int status);
/* Goes on, both ways, as far as it goes. */
void utcp__ext_pump(utcp_sock_t *s);
void utcp__ext_pump_in(utcp_sock_t *s);
/* The extension leaves: bytes go straight from here on. */
void utcp__ext_stream_end(struct utcp__exts *x);

#endif /* UTCP_EXT_H */
