/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utcp_ext.h: extensions of TCP by who uses the stack: options of their own on
 * SYNs and segments, a say in what comes and leaves, the ECN bits, a timer, the
 * bytes of the stream. Part of utcp.h, which includes it.
 *
 * An extension is a struct of hooks (utcp_ext_ops_t), registered with a stack by
 * name, and added to single sockets or to all. Each connection that has it has
 * an instance of it (utcp_ext_t), with private state:
 *
 *		client				server
 *	connect	init				(a listener has it)
 *		out	SYN ------------------> init, in	SYN
 *		in	SYN-ACK <-------------- out		SYN-ACK
 *		open				in		ACK
 *						open
 *		out, in, ack, timer...		out, in, ack, timer...
 *	end	end, release			end, release
 *
 * A connection has an extension until it leaves: a hook says UTCP_EXT_LEAVE,
 * which is how one that the peer does not have goes. What was negotiated is the
 * extension's to find out: the stack hands options to `in`, and their absence.
 *
 * What hooks may call: utcp_ext_*() of this connection where their comments say
 * so; utcp_info, utcp_get, utcp_cc, utcp_poll, utcp_getsockname, -peername,
 * utcp_user and utcp_now_ns. Nothing else of the stack.
 *
 * A negative errno from a hook ends its connection, by reset: the user is told
 * that error. So does nonsense (EPROTO; counted as ext_faults). It happens at the
 * end of the public call; no hook is called in between but `end`, and no segment
 * taken.
 *
 * A connection without extensions costs nothing: 16 bytes, a branch.
 *
 * SYN cookies: where a listener has no room for half open connections it answers
 * a SYN by a SYN-ACK that holds all it will know (RFC 4987 section 3.6): MSS, and
 * if there are timestamps window scale and SACK. Nothing of an extension is in it,
 * so none takes part: no hook is called for that SYN, its options are not looked at, the
 * SYN-ACK has none, and the connection that the cookie opens is plain TCP from
 * its first byte to its last, that of a UTCP_EXT_STREAM, too. No hook is ever
 * called for it, utcp_ext_find() has no instance, and the peer's extension finds
 * no option on the SYN-ACK, as if we did not have it. ECN is off, for its flags
 * may have meant something else to an extension. utcp_info has UTCP_GOT_COOKIE,
 * and ext_cookies counts the extensions that did without. A listener with one of
 * UTCP_EXT_MUST sends no cookies: it drops the SYN (drop_syn), which comes again.
 *
 * Fast Open: without data on the SYN, either way, where there is a
 * UTCP_EXT_STREAM.
 */
#ifndef MULTISTACK_UTCP_EXT_H
#define MULTISTACK_UTCP_EXT_H

#include <multistack/utcp.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An extension on a connection: what its hooks are called with. */
typedef struct utcp_ext_s {
	utcp_t *stack;
	utcp_sock_t *sock; /* NULL: half open at a listener, no socket yet */
	void *priv;	   /* priv_bytes, of zeros at init */
	void *arg;	   /* of who added it */
	void *shared;	   /* of who registered it */
	uint32_t flags;	   /* UTCP_EXT_PASSIVE, UTCP_EXT_OPEN */
	uint32_t pad;
} utcp_ext_t;

#define UTCP_EXT_PASSIVE (1u << 0) /* a listener's connection */
#define UTCP_EXT_OPEN (1u << 1)	   /* `open` was called, or would have been */
#define UTCP_EXT_OVER (1u << 2)	   /* in `read`: all has come, no timer runs */

/* Bits of the TCP header, as they stand in segments' flags. */
#define UTCP_TCP_FIN 0x001
#define UTCP_TCP_SYN 0x002
#define UTCP_TCP_RST 0x004
#define UTCP_TCP_PSH 0x008
#define UTCP_TCP_ACK 0x010
#define UTCP_TCP_URG 0x020
#define UTCP_TCP_ECE 0x040
#define UTCP_TCP_CWR 0x080
#define UTCP_TCP_AE 0x100

/* What `in`, `out` and others return besides 0 and negative errnos. */
#define UTCP_EXT_LEAVE 1 /* this extension leaves this connection */
#define UTCP_EXT_DROP 2	 /* `in`: the segment is refused, counted (drop_ext) */
#define UTCP_EXT_WAIT 3	 /* `write_end`: not yet; utcp_ext_resume() */

/* Who reset a connection, in `end`; 0: nobody. IN: the peer, by a reset that
   counts (RFC 5961). OUT: we; our reset may be lost, or the limit for answers may
   have kept it back. */
#define UTCP_EXT_RST_IN 1
#define UTCP_EXT_RST_OUT 2

/* ---- a segment that comes ------------------------------------------------- */

/* One of the extension's options on it. */
typedef struct utcp_ext_opt_s {
	const uint8_t *data; /* behind kind, length and ExID; valid in `in` */
	uint8_t len;	     /* bytes of it */
	uint8_t which;	     /* index in ops->options */
	uint8_t pad[6];
} utcp_ext_opt_t;

#define UTCP_EXT_OPTS_MAX                                                      \
	8 /* of one extension on one segment; others are
			       passed over */

typedef struct utcp_ext_in_s {
	uint32_t seq, ack; /* as in the header */
	uint64_t ofs;	   /* place of its data in the stream, from 0 */
	uint32_t len;	   /* bytes of data */
	uint16_t segs;	   /* segments that came merged into this, at least 1 */
	uint16_t flags;	   /* UTCP_TCP_* */
	uint16_t wnd;	   /* as in the header, not scaled */
	uint8_t ecn;	   /* of IP: 0 not, 1 ECT(1), 2 ECT(0), 3 CE; of merged
			      ones what all had */
	uint8_t num_opts;  /* 0: it has none of ours */
	uint32_t pad;
	utcp_ext_opt_t opts[UTCP_EXT_OPTS_MAX];
} utcp_ext_in_t;

/* ---- a segment that leaves ------------------------------------------------ */

typedef struct utcp_ext_out_s {
	/* may be changed */
	uint16_t flags; /* UTCP_TCP_*: only AE, CWR and ECE */
	uint8_t ecn;	/* of IP */
	/* to be read */
	uint8_t again; /* sent so many times before; of data: 0 or 1 */
	uint16_t segs; /* of how many it is the model: with GSO the device makes
			   copies of header and options, one for each gso_size
			   bytes of data */
	uint16_t probe; /* 1: of a shut window, or keepalive; its data, if any,
			   is new */
	uint32_t seq, ack;
	uint64_t ofs;  /* place of its data in the stream, from 0 */
	uint32_t len;  /* bytes of data, of all segs */
	uint32_t room; /* bytes that options may still take: with kind, length,
			  ExID. utcp_ext_put() counts it down */
	uint8_t *at_;  /* the stack's */
	const void *ops_; /* the stack's */
} utcp_ext_out_t;

/*
 * In `out`: writes an option, ops->options[which] with len bytes of content.
 * Returns where these belong (all of them to be written at once by the caller),
 * or NULL: no room, or no such option. May be called again for another one.
 */
UTCP_EXTERN void *utcp_ext_put(utcp_ext_out_t *seg, unsigned int which,
			       unsigned int len);

/*
 * The room of 40 bytes that a header has for options is shared out so:
 *
 * SYN, SYN-ACK: the stack's own (MSS, SACK permitted, timestamps, window scale:
 * 20 bytes, and a Fast Open cookie's 4 to 20), the rest to the extensions in the
 * order in which they were added, at least 20 bytes if Fast Open is not used.
 *
 * Segments: timestamps (12), then what extensions have asked for by
 * utcp_ext_want(), then SACK blocks, as many as there is room left for. On a
 * segment without data room for one block (12) is kept if there is one to tell,
 * so that extensions have 16 then (28 without timestamps).
 *
 * Data segments become shorter by what was asked for, so that no packet is longer
 * than the path takes; that includes probes for its MTU. cwnd's mss stays.
 * What would leave less than 8 bytes of data in a segment is not given.
 */

/* ---- an acknowledgement ---------------------------------------------------- */

typedef struct utcp_ext_ack_s {
	uint32_t acked;	    /* bytes by which SND.UNA advanced */
	uint32_t delivered; /* bytes newly acknowledged or SACKed */
	uint32_t segs;	    /* segments of those */
	uint32_t inflight;  /* bytes before this acknowledgement */
	uint32_t has_data;  /* the segment that brought it has data or FIN */
	/* To be set with UTCP_EXT_ECN_OWN: bytes, of those delivered (at most
	   that, or one mss), that were marked. Becomes utcp_ack_t.ce. */
	uint32_t ce;
} utcp_ext_ack_t;

/* ---- the hooks -------------------------------------------------------------- */

typedef struct utcp_ext_option_s {
	uint8_t kind;
	uint8_t exid_bytes; /* of kinds 253, 254 (RFC 6994): 2 or 4; else 0 */
	uint16_t pad;
	uint32_t exid;
} utcp_ext_option_t;

/* It stands between the user's bytes and the stream: `write` and `read`. One of a
   connection's extensions at most. */
#define UTCP_EXT_STREAM (1u << 0)

typedef struct utcp_ext_ops_s {
	uint32_t size;	     /* of this struct, as who fills it in knows it */
	uint32_t flags;	     /* UTCP_EXT_STREAM */
	const char *name;    /* at most 15 characters; copied */
	uint32_t priv_bytes; /* private state, at most 1024; half open
				connections at a listener have it too */
	uint32_t num_options;
	/* At most 8, copied. The stack's own kinds (0 to 5, 8, 34; 254 with
	   Fast Open's ExID) are refused. */
	const utcp_ext_option_t *options;

	/* Optional. The stack ends, behind all instances; shared is that of
	   utcp_ext_register. */
	void (*destroy)(utcp_t *stack, void *shared);
	/* Optional. A connection begins: before its SYN is sent, or with a SYN
	   that came to a listener. 0, UTCP_EXT_LEAVE, negative errno. */
	int (*init)(utcp_ext_t *ext);
	/* Optional. The instance ends; called if init returned 0. Calls nothing
	   but utcp_ext_free. */
	void (*release)(utcp_ext_t *ext);
	/* Optional. The connection is ESTABLISHED; behind `in` of the segment
	   that made it so, before anything else of it. As init. */
	int (*open)(utcp_ext_t *ext);
	/* Optional. A segment came: SYN, SYN-ACK, or any that is for this
	   connection (sequence number, timestamp in order; not a reset), before
	   what it acknowledges and carries is taken; a SYN or SYN-ACK that came
	   again, too. Not: an ACK that another one in the same batch says more
	   than. 0, UTCP_EXT_LEAVE,
	   UTCP_EXT_DROP, negative errno. May call utcp_ext_want, _ack_now,
	   _output, _timer, _ecn, _emit, _resume. */
	int (*in)(utcp_ext_t *ext, const utcp_ext_in_t *seg);
	/* Optional. A segment leaves (not a reset). 0, UTCP_EXT_LEAVE (what it
	   put on the segment is taken off), negative errno. May call
	   utcp_ext_put, utcp_ext_want (for the next one), _timer. */
	int (*out)(utcp_ext_t *ext, utcp_ext_out_t *seg);
	/* Optional. Of what was sent, something arrived, or the segment says so
	   again; before the congestion control hears of it. */
	void (*ack)(utcp_ext_t *ext, utcp_ext_ack_t *ack);
	/* Optional. The time of utcp_ext_timer() has come. 0, UTCP_EXT_LEAVE,
	   negative errno. May call what `in` may. */
	int (*timer)(utcp_ext_t *ext);

	/*
	 * With UTCP_EXT_STREAM. As long as the extension is on the connection,
	 * before it opens as well, what the user writes waits for `write`, and
	 * what comes goes through `read`. When it leaves, what `write` was not
	 * given is sent as it is, and what `read` did not take is read as it is.
	 */
	/* Required. The connection is open, and the user has written these
	   bytes: takes some (all, best), and emits what becomes of them. flags:
	   UTCP_MSG_MORE, UTCP_MSG_EOR at the end of a record. Returns bytes
	   taken; 0: not now, utcp_ext_resume() will have it called again;
	   negative errno. May call utcp_ext_emit, _timer. Called while less
	   than the send buffer is unacknowledged, with 64 KiB at most. */
	ssize_t (*write)(utcp_ext_t *ext, const void *data, size_t len,
			 int flags);
	/* Optional. The user writes no more, all was taken: emits what is left;
	   the FIN follows. 0, UTCP_EXT_WAIT, negative errno. */
	int (*write_end)(utcp_ext_t *ext);
	/* Required. These bytes came, in order. Returns how many it takes (all,
	   if it can: it is not given them again in one piece with what follows);
	   0: not now, utcp_ext_resume() (with UTCP_EXT_OVER the end: EPROTO);
	   negative errno. What it makes of them
	   goes to the user by utcp_ext_deliver(). What is not taken counts for
	   the window, as does what was delivered and not read. Called while less
	   than the receive buffer is unread. */
	ssize_t (*read)(utcp_ext_t *ext, const void *data, size_t len);
	/* Optional. The peer sends no more, and `read` has taken all. 0: the
	   user is told; negative errno (cut off: -EBADMSG). */
	int (*read_end)(utcp_ext_t *ext);

	/*
	 * Optional; who gives a size that ends before it has it not. The
	 * connection is over, whether it ever opened or not (what follows is
	 * TIME-WAIT at most): called once. `read` may still be called for what had
	 * come before, and then `release`, which waits for the user to let go of
	 * it, too; until he has, utcp_info says how it stood. reset:
	 * UTCP_EXT_RST_IN, _OUT; 0: it ended in order or timed out, or its user
	 * closed it before it opened. error: what he is told, a negative errno;
	 * 0: nothing, it was in order, or he ended it. Of connections half open
	 * at a listener only if they are reset: others come and go. Not, if the
	 * extension has left, or `init` did not return 0. May call utcp_ext_free.
	 */
	void (*end)(utcp_ext_t *ext, int reset, int error);
} utcp_ext_ops_t;

/* ---- calls of hooks ---------------------------------------------------------- */

/* Options of so many bytes (kind, length, ExID counted; rounded up to 4 over
   all extensions) are to be on the next segments; 0, as at first: none, and
   `out` has no room but on a SYN. At most 40; -EINVAL. */
UTCP_EXTERN int utcp_ext_want(utcp_ext_t *ext, unsigned int bytes);
/* `timer` is to be called then; UTCP_NEVER: not. One time an instance; half
   open, it counts when the connection has its socket. */
UTCP_EXTERN int utcp_ext_timer(utcp_ext_t *ext, uint64_t at_ns);
/* An acknowledgement is to leave at once, with or without data. -EINVAL before
   there is a socket. */
UTCP_EXTERN int utcp_ext_ack_now(utcp_ext_t *ext);
/* An acknowledgement without data leaves before anything else does. Likewise. */
UTCP_EXTERN int utcp_ext_ack_first(utcp_ext_t *ext);
/* Packets of several segments for the device to cut (GSO), as at first, or one
   segment each (on 0): if it would not copy AE, CWR and ECE to all, as Linux
   does not copy CWR, or if each is to have an option of its own. */
UTCP_EXTERN int utcp_ext_gso(utcp_ext_t *ext, int on);
/* Something may have become possible: output looks again. Likewise. */
UTCP_EXTERN int utcp_ext_output(utcp_ext_t *ext);

#define UTCP_EXT_ECN_OFF 0
#define UTCP_EXT_ECN_RFC3168 1
#define UTCP_EXT_ECN_OWN 2
/*
 * How ECN works on this connection, told by the extension that negotiated it, in
 * init or in `in` of SYN or SYN-ACK; else the stack finds out by RFC 3168 and
 * UTCP_OPT_ECN. OWN: the stack reads and writes neither AE, CWR nor ECE; `out`
 * does, `in` and `ack` do. New data leaves ECT(0), or ECT(1) if the congestion
 * control has UTCP_CC_L4S, unless `out` changes it. -EBUSY: another has it.
 */
UTCP_EXTERN int utcp_ext_ecn(utcp_ext_t *ext, int mode);

/* Bytes into the stream, behind all that went there; copied. Of a UTCP_EXT_STREAM
   on an open connection, in any hook but `out` and `ack`. flags: UTCP_MSG_MORE,
   UTCP_MSG_EOR. 0, -EINVAL, -EPIPE (its FIN is sent), -ENOMEM. */
UTCP_EXTERN int utcp_ext_emit(utcp_ext_t *ext, const void *data, size_t len,
			      int flags);
/* Bytes for the user, behind those before; copied. In `read` and `read_end` only.
   0, -EINVAL, -ENOMEM. */
UTCP_EXTERN int utcp_ext_deliver(utcp_ext_t *ext, const void *data, size_t len);
/* The user is to find the end there, although the peer's FIN has not come. Where
   utcp_ext_deliver may be called. */
UTCP_EXTERN int utcp_ext_deliver_end(utcp_ext_t *ext);
/* `write` or `read` that took nothing, or not all, can take more now: they are
   called before the public call that this is in returns. */
UTCP_EXTERN int utcp_ext_resume(utcp_ext_t *ext);

/* Memory for an instance, of zeros, counted as the stack's; `release` frees it.
   NULL. */
UTCP_EXTERN void *utcp_ext_alloc(utcp_ext_t *ext, size_t bytes);
UTCP_EXTERN void utcp_ext_free(utcp_ext_t *ext, void *mem, size_t bytes);

/* ---- calls of users ------------------------------------------------------------ */

#define UTCP_EXT_ALL                                                           \
	(1u << 0) /* register: on every socket opened from now on */
/* A connection that opens without it, or that it leaves, is reset: EPROTO. */
#define UTCP_EXT_MUST (1u << 1)

/*
 * Makes ops known to this stack; copied, hooks outlive the stack. flags:
 * UTCP_EXT_ALL, with it UTCP_EXT_MUST. shared: ext->shared of all instances, and
 * ext->arg of those that are there by ALL.
 * "accecn" (RFC 9768) is there from the beginning, on no socket.
 * -EEXIST (name; with ALL an option, or a STREAM, that another with ALL has),
 * -EINVAL (incomplete), -ENOMEM.
 */
UTCP_EXTERN int utcp_ext_register(utcp_t *u, const utcp_ext_ops_t *ops,
				  uint32_t flags, void *shared);
/* What utcp_ext_register was given; NULL: no such extension. */
UTCP_EXTERN void *utcp_ext_shared(const utcp_t *u, const char *name);
/* Name of the i-th; NULL past the last. */
UTCP_EXTERN const char *utcp_ext_name(const utcp_t *u, unsigned int i);
/*
 * The connection that this socket makes, or those that it, a listener, accepts,
 * have the extension. flags: UTCP_EXT_MUST. -ENOENT, -EEXIST (it has it, or one
 * of its options, or a STREAM; at most 8 in all: -ENOSPC), -EISCONN (too late),
 * -EINVAL, -ENOMEM.
 */
UTCP_EXTERN int utcp_ext_add(utcp_sock_t *s, const char *name, void *arg,
			     uint32_t flags);
/* Not, although it was added, or registered with ALL. -ENOENT, -EISCONN. */
UTCP_EXTERN int utcp_ext_remove(utcp_sock_t *s, const char *name);
/* The instance on a connection, until utcp_close, or until it leaves; NULL: not
   there. Its flags tell whether the connection is open. For what an extension's
   author offers to users of his own: utcp_ext_output and the like may be called
   with it, as from `timer`. */
UTCP_EXTERN utcp_ext_t *utcp_ext_find(const utcp_sock_t *s, const char *name);

#ifdef __cplusplus
}
#endif

#endif /* MULTISTACK_UTCP_EXT_H */
