/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utcp.h: a complete TCP/IP without I/O.
 *
 * One stack object: IP packets in, IP packets out, events out in batches, time
 * as an argument, randomness from a seed. No clock, no system call, no global,
 * no thread: what happens follows from the calls alone, so a stack runs as well
 * in a simulation, in virtual time, as on a NIC. Several stacks share nothing.
 *
 * A round of its user's loop (lib/link does this over a port):
 *
 *	utcp_advance(u, now)			timers that are due
 *	utcp_input(u, packets, n)		what came
 *	utcp_events(u, events, n)		sockets that became ready
 *	  utcp_accept, utcp_read, utcp_write...	the application's part
 *	utcp_retain(u)				packets' memory is free again
 *	utcp_output(u, packets, n)		what is to leave
 *	sleep until packets come or utcp_next_ns(u)
 *
 * Calls return 0 (or a count) or a negative errno, and never end the process.
 * A call with an argument that makes no sense returns -EINVAL and changes
 * nothing. A stack and all its sockets belong to one thread at a time.
 * Time is in nanoseconds from any epoch and does not run backwards (an earlier
 * time is taken as the latest seen).
 */
#ifndef MULTISTACK_UTCP_H
#define MULTISTACK_UTCP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UTCP_EXTERN __attribute__((visibility("default")))

typedef struct utcp_s utcp_t;		/* a stack */
typedef struct utcp_sock_s utcp_sock_t; /* a TCP socket: listener, connection */
typedef struct utcp_udp_s utcp_udp_t;	/* a UDP socket */

#define UTCP_NEVER UINT64_MAX /* of a time: not at all */

/* An address of either family, network byte order; IPv4 in the first four
   bytes, the rest 0. All 0 is the wildcard. The layout is struct ms_tuple's. */
typedef struct utcp_addr_s {
	uint8_t addr[16];
	uint16_t port_be;
	uint8_t proto;	/* ignored on input */
	uint8_t family; /* 4 or 6 */
} utcp_addr_t;

/*
 * A packet, or a part of one: the packet is one of these, or several of which
 * all but the last have UTCP_PKT_MORE; offload metadata stands in the first.
 * The layout and the numbers are msport_view_t's. `data` is the start of the
 * frame: config.l2_bytes of link header, then the IP header. The link header is
 * not looked at on input and left to be filled in by others on output.
 */
typedef struct utcp_pkt_s {
	uint8_t *data;
	uint32_t len;	  /* input: bytes here; output: in, room; out, used */
	uint16_t flags;	  /* UTCP_PKT_* */
	uint8_t gso_type; /* UTCP_GSO_* */
	uint8_t reserved;
	uint16_t gso_size;    /* payload bytes of each segment */
	uint16_t csum_start;  /* bytes from the frame's start */
	uint16_t csum_offset; /* bytes from csum_start */
	uint16_t pad;
} utcp_pkt_t;

#define UTCP_PKT_MORE 0x0001 /* the packet goes on in the next element */
/* Checksum from csum_start on is not finished (output: the device does it;
   input: the sender is on this machine, and it need not be). */
#define UTCP_PKT_CSUM_PARTIAL 0x0002
#define UTCP_PKT_CSUM_OK 0x0004 /* input: the L4 checksum was verified */
#define UTCP_PKT_PARTS_MAX 40	/* elements of one packet, at most */

#define UTCP_GSO_NONE 0
#define UTCP_GSO_TCP4 1
#define UTCP_GSO_TCP6 4
#define UTCP_GSO_UDP 5

/* ---- the stack ------------------------------------------------------------ */

#define UTCP_OFFLOAD_CSUM (1u << 0)    /* CSUM_PARTIAL may be sent */
#define UTCP_OFFLOAD_GSO_TCP (1u << 1) /* needs CSUM */
#define UTCP_OFFLOAD_GSO_UDP (1u << 2) /* needs CSUM */
/* Verify no checksum of what comes in: for a memory link. */
#define UTCP_OFFLOAD_CSUM_TRUST (1u << 3)

typedef struct utcp_config_s {
	uint32_t size;	  /* of this struct */
	uint32_t mtu;	  /* bytes of IP; 0: 1500. At least 1280 for IPv6, 68 */
	uint8_t seed[32]; /* secret and random, but in tests */
	uint64_t now_ns;
	uint32_t l2_bytes;	/* room for a link header before each packet */
	uint32_t offloads;	/* UTCP_OFFLOAD_* */
	uint32_t gso_max_bytes; /* of IP in one packet; 0: 65535 */
	uint32_t max_socks;	/* connections and listeners; 0: 1 << 20 */
	uint32_t max_syns;	/* half open, all listeners; 0: 65536 */
	uint32_t max_timewait;	/* 0: 262144; the oldest leave early */
	uint64_t max_bytes;	/* of buffered data, all sockets; 0: 1 GiB */
	uint32_t icmp_per_s;	/* ICMP and RST answers to nobody's packets,
				   a second; 0: 1000 */
	uint32_t challenge_per_s; /* RFC 5961 section 10; 0: 1000 */
	const char *cc; /* default congestion control; NULL: "cubic" */
	/* Called when a local port is taken and let go, so that a namespace
	   outside (the switch's) can have its say. claim may choose: port_be 0
	   asks for an ephemeral port, which it writes. Both or none. */
	int (*claim)(void *arg, utcp_addr_t *local, uint8_t proto);
	void (*unclaim)(void *arg, const utcp_addr_t *local, uint8_t proto);
	void *claim_arg;
	/* All memory of the stack; NULL: malloc and free. */
	void *(*alloc)(void *arg, size_t bytes);
	void (*release)(void *arg, void *mem, size_t bytes);
	void *alloc_arg;
} utcp_config_t;

/* Creates a stack. config is copied; NULL takes all defaults (and a seed of
   zeros: for tests only). -EINVAL, -ENOMEM, -ENOENT (no such cc). */
UTCP_EXTERN int utcp_create(utcp_t **out, const utcp_config_t *config);
/* Frees the stack and all its sockets, silently: no packet leaves. `done` of
   each utcp_buf_t not yet acknowledged is called with -ECANCELED. NULL is
   fine. */
UTCP_EXTERN void utcp_destroy(utcp_t *u);

/* Adds or takes away (add 0) an address that connect and sends without a bound
   source address use; the first of each family counts. */
UTCP_EXTERN int utcp_address(utcp_t *u, const utcp_addr_t *addr, int add);
/* The interface's MTU changed. Connections follow. */
UTCP_EXTERN int utcp_set_mtu(utcp_t *u, uint32_t mtu);
/* It takes these offloads (UTCP_OFFLOAD_*) from now on. */
UTCP_EXTERN int utcp_set_offloads(utcp_t *u, uint32_t offloads);

/* Time goes to now_ns: runs what is due. */
UTCP_EXTERN void utcp_advance(utcp_t *u, uint64_t now_ns);
/* When utcp_advance (or utcp_output) has something to do next; now or earlier:
   at once; UTCP_NEVER: only when called for. */
UTCP_EXTERN uint64_t utcp_next_ns(const utcp_t *u);
UTCP_EXTERN uint64_t utcp_now_ns(const utcp_t *u);

/*
 * Takes n packets (elements; a packet's are not split over calls). Their memory
 * is borrowed until utcp_retain(): data that arrived in order is read from
 * there by utcp_views() and utcp_read(). Bad packets are counted. 0, -EINVAL.
 */
UTCP_EXTERN int utcp_input(utcp_t *u, const utcp_pkt_t *pkts, unsigned int n);
/* Copies what nobody has read; the packets' memory is the caller's again. */
UTCP_EXTERN void utcp_retain(utcp_t *u);
/*
 * Writes packets that are to leave into the n buffers; `data` and `len` (room,
 * at least l2_bytes + 128 and even; the buffers may differ) are the caller's.
 * A packet longer than a buffer takes several. Returns how many elements were
 * written, always whole packets; 0: nothing to send now, or not enough room for
 * the next (n of UTCP_PKT_PARTS_MAX suffice if buffers are of 2048 bytes).
 */
UTCP_EXTERN int utcp_output(utcp_t *u, utcp_pkt_t *pkts, unsigned int n);

/* ---- counters --------------------------------------------------------------- */

/* X(NAME, "name", "meaning"). New ones are appended. */
#define UTCP_COUNTERS(X)                                                       \
	X(IN_PKTS, "in_pkts", "packets taken in")                              \
	X(IN_BYTES, "in_bytes", "bytes of IP of those")                        \
	X(OUT_PKTS, "out_pkts", "packets sent, a GSO packet as one")           \
	X(OUT_BYTES, "out_bytes", "bytes of IP of those")                      \
	X(OUT_SEGS, "out_segs", "TCP segments with data sent")                 \
	X(RETRANS_SEGS, "retrans_segs", "of those, retransmissions")           \
	X(TIMEOUTS, "timeouts", "retransmission timeouts")                     \
	X(TLP, "tlp", "tail loss probes (RFC 8985)")                           \
	X(FAST_RECOVERY, "fast_recovery", "entries into fast recovery")        \
	X(UNDO, "undo", "recoveries that were for nothing, undone")            \
	X(DSACK_IN, "dsack_in", "duplicate SACKs received")                    \
	X(DSACK_OUT, "dsack_out", "duplicate SACKs sent")                      \
	X(REORDER, "reorder", "segments seen out of order by the sender")      \
	X(OFO, "ofo", "segments received out of order")                        \
	X(CONNECTS, "connects", "connections opened by us")                    \
	X(ACCEPTS, "accepts", "connections opened by others")                  \
	X(CONNECT_FAILS, "connect_fails", "connections that did not open")     \
	X(RESETS_IN, "resets_in", "connections reset by the peer")             \
	X(RESETS_OUT, "resets_out", "resets sent")                             \
	X(CHALLENGE_ACKS, "challenge_acks", "challenge ACKs (RFC 5961)")       \
	X(KEEPALIVES, "keepalives", "keepalive probes sent")                   \
	X(PROBES, "probes", "zero window probes sent")                         \
	X(COOKIES_OUT, "cookies_out", "SYN cookies sent")                      \
	X(COOKIES_IN, "cookies_in", "SYN cookies accepted")                    \
	X(FASTOPEN_IN, "fastopen_in", "Fast Open data accepted")               \
	X(FASTOPEN_OUT, "fastopen_out", "Fast Open data sent and taken")       \
	X(ECN_CE, "ecn_ce", "packets with congestion experienced")             \
	X(ECN_ECE, "ecn_ece", "congestion echoes heeded")                      \
	X(PMTU, "pmtu", "path MTU changes")                                    \
	X(UDP_IN, "udp_in", "datagrams delivered")                             \
	X(UDP_OUT, "udp_out", "datagrams sent")                                \
	X(TIMEWAITS, "timewaits", "connections that went to TIME-WAIT")        \
	X(TIMEWAIT_REUSED, "timewait_reused", "TIME-WAITs reopened by a SYN")  \
	X(DROP_SHORT, "drop_short", "packet shorter than its headers say")     \
	X(DROP_HEADER, "drop_header", "malformed IP or transport header")      \
	X(DROP_CSUM, "drop_csum", "bad checksum")                              \
	X(DROP_PROTO, "drop_proto", "protocol that nobody handles")            \
	X(DROP_FRAGMENT, "drop_fragment", "fragments never completed")         \
	X(DROP_SOURCE, "drop_source", "from a broadcast or multicast address") \
	X(DROP_CLOSED, "drop_closed", "for a port where nobody is")            \
	X(DROP_STATE, "drop_state", "makes no sense in the state")             \
	X(DROP_PAWS, "drop_paws", "old timestamp (RFC 7323 section 5)")        \
	X(DROP_WINDOW, "drop_window", "outside the receive window")            \
	X(DROP_ACK, "drop_ack", "acknowledges what is too old or never sent")  \
	X(DROP_SYN, "drop_syn", "SYN refused: queue full")                     \
	X(DROP_ACCEPT, "drop_accept", "accept queue full")                     \
	X(DROP_RCVBUF, "drop_rcvbuf", "no room in a receive buffer")           \
	X(DROP_NOMEM, "drop_nomem", "out of memory, or over max_bytes")        \
	X(DROP_LIMIT, "drop_limit", "answers not sent: rate limited")          \
	X(DROP_TIMEWAIT, "drop_timewait", "TIME-WAITs that left early")        \
	X(ACKS_FILTERED, "acks_filtered", "ACKs surpassed in their batch")     \
	X(EXT_OPENS, "ext_opens", "extensions on connections that opened")     \
	X(EXT_LEAVES, "ext_leaves", "extensions that left a connection")       \
	X(EXT_COOKIES, "ext_cookies", "extensions that SYN cookies lost")      \
	X(EXT_FAULTS, "ext_faults", "hooks that answered nonsense")            \
	X(EXT_ENDS, "ext_ends", "connections that extensions ended")           \
	X(DROP_EXT, "drop_ext", "segments refused by an extension")

enum utcp_counter {
#define UTCP_COUNTER_ENUM(NAME, name, meaning) UTCP_CTR_##NAME,
	UTCP_COUNTERS(UTCP_COUNTER_ENUM)
#undef UTCP_COUNTER_ENUM
	    UTCP_CTR_MAX
};

/* Copies up to n counters, by enum utcp_counter; returns how many. */
UTCP_EXTERN unsigned int utcp_counters(const utcp_t *u, uint64_t *values,
				       unsigned int n);
/* Name of counter i, its meaning; NULL past the last. */
UTCP_EXTERN const char *utcp_counter_name(unsigned int i);
UTCP_EXTERN const char *utcp_counter_text(unsigned int i);
/* Bytes of memory that the stack has, all told; of data buffered in it; and how
   many connections (any state but TIME-WAIT), half open ones, TIME-WAITs. */
typedef struct utcp_usage_s {
	uint64_t mem_bytes;
	uint64_t buffered_bytes;
	uint32_t socks;
	uint32_t syns;
	uint32_t timewaits;
	uint32_t pad;
} utcp_usage_t;
UTCP_EXTERN void utcp_usage(const utcp_t *u, utcp_usage_t *usage);

/* ---- events ------------------------------------------------------------------- */

#define UTCP_IN 0x01	/* data, a connection to accept, or the end to read */
#define UTCP_OUT 0x04	/* room to write; the connection is open */
#define UTCP_ERR 0x08	/* UTCP_OPT_ERROR says which */
#define UTCP_HUP 0x10	/* both directions are closed */
#define UTCP_RDHUP 0x20 /* the peer will send no more */

typedef struct utcp_event_s {
	utcp_sock_t *sock; /* NULL: of a UDP socket */
	utcp_udp_t *udp;
	void *user;
	uint32_t ready; /* UTCP_IN and so on, as utcp_poll now returns */
	uint32_t pad;
} utcp_event_t;

/*
 * Up to n sockets on which something has become ready since the last time it
 * was told (edges, but `ready` is the level). Returns how many. A socket stands
 * here once; one closed in the meantime does not.
 */
UTCP_EXTERN int utcp_events(utcp_t *u, utcp_event_t *events, unsigned int n);

/* ---- TCP sockets ---------------------------------------------------------------- */

/* family 4, or 6 (which also takes IPv4 as mapped addresses are not used: a
   listener on the IPv6 wildcard without UTCP_OPT_V6ONLY takes both families).
   -EINVAL, -ENOMEM, -ENFILE (max_socks). */
UTCP_EXTERN int utcp_open(utcp_t *u, int family, utcp_sock_t **out);
/* Port 0: an ephemeral one. -EINVAL (bound already), -EADDRINUSE, -EACCES,
   -EAFNOSUPPORT, or what config.claim says. */
UTCP_EXTERN int utcp_bind(utcp_sock_t *s, const utcp_addr_t *local);
/* Backlog of connections not yet accepted (0: 1; at most 65535). May be called
   again to change it. -EINVAL (not bound), -EISCONN. */
UTCP_EXTERN int utcp_listen(utcp_sock_t *s, int backlog);
/* A connection, which belongs to the caller then; it has the listener's
   options. -EAGAIN, -EINVAL (no listener), -ECONNABORTED never: one that has
   ended in the meantime is returned with what it sent, and its error. */
UTCP_EXTERN int utcp_accept(utcp_sock_t *listener, utcp_sock_t **out);
/* -EINPROGRESS; UTCP_OUT follows, or UTCP_ERR. -EISCONN, -EALREADY,
   -EADDRNOTAVAIL (no source address or port), -EADDRINUSE, -EAFNOSUPPORT.
   With UTCP_OPT_FASTOPEN_CONNECT, and a cookie of this peer at hand (or
   UTCP_OPT_FASTOPEN_NOCOOKIE), the SYN waits for the first utcp_write, maybe of
   0 bytes, and 0 is returned. */
UTCP_EXTERN int utcp_connect(utcp_sock_t *s, const utcp_addr_t *peer);

#define UTCP_MSG_PEEK 0x02   /* read: leave it there */
#define UTCP_MSG_MORE 0x8000 /* write: as cork, for this call */
/* write: a record ends with it; it is pushed, and no segment has bytes of two.
   TCP itself knows no records: the other side need not see where they end. */
#define UTCP_MSG_EOR 0x80

/* Bytes copied; 0: the peer has closed its side. -EAGAIN, -ENOTCONN, and once
   the error that ended the connection (-ECONNRESET, -ETIMEDOUT, ...). */
UTCP_EXTERN ssize_t utcp_read(utcp_sock_t *s, void *buf, size_t len, int flags);
/* What can be read, without a copy: up to n parts. Returns how many (0: none
   now, see utcp_poll), or an error as utcp_read. Valid until the next call of
   utcp_retain, utcp_consume, utcp_read or utcp_close. */
typedef struct utcp_view_s {
	const uint8_t *data;
	size_t len;
} utcp_view_t;
UTCP_EXTERN int utcp_views(utcp_sock_t *s, utcp_view_t *views, unsigned int n);
/* The first len bytes were read. -EINVAL: so many are not there. */
UTCP_EXTERN int utcp_consume(utcp_sock_t *s, size_t len);
/* Bytes that can be read now. */
UTCP_EXTERN size_t utcp_readable(const utcp_sock_t *s);

/* Copies into the send buffer; returns bytes taken. -EAGAIN (full), -EPIPE
   (shut down or ended), -ENOTCONN, -ENOMEM, or the connection's error. */
UTCP_EXTERN ssize_t utcp_write(utcp_sock_t *s, const void *buf, size_t len,
			       int flags);

/*
 * Data sent from where it is. The bytes and this struct belong to the stack
 * from utcp_send() to the call of `done`, and must not change meanwhile. done
 * may be NULL only if the bytes and the struct live as long as the socket.
 */
typedef struct utcp_buf_s {
	const void *data;
	size_t len;
	/* status 0: the peer acknowledged all of it; else what ended the
	   connection, or -ECANCELED. Called from utcp_input, utcp_advance,
	   utcp_abort, utcp_close or utcp_destroy; and from any call, this
	   utcp_send before it returns, too, if an extension's hook ends the
	   connection there. It must not call the stack but for utcp_send,
	   utcp_write and utcp_shutdown on this socket. */
	void (*done)(struct utcp_buf_s *buf, int status);
	void *user;
	struct utcp_buf_s *next_; /* the stack's */
	uint64_t seq_;		  /* the stack's */
} utcp_buf_t;
/* Takes all of it, whatever UTCP_OPT_SNDBUF is (utcp_poll tells when it would
   be polite). flags: UTCP_MSG_MORE, UTCP_MSG_EOR. -EINVAL (empty), -EPIPE,
   -ENOTCONN, or the connection's error; then the buffer stays the caller's. */
UTCP_EXTERN int utcp_send(utcp_sock_t *s, utcp_buf_t *buf, int flags);

#define UTCP_SHUT_RD 0
#define UTCP_SHUT_WR 1
#define UTCP_SHUT_RDWR 2
/* SHUT_RD: reads return 0 where they would return -EAGAIN; what comes is taken
   and can be read still. With both shut, data is answered with a reset (RFC
   1122 section 4.2.2.13). -ENOTCONN, -EINVAL. */
UTCP_EXTERN int utcp_shutdown(utcp_sock_t *s, int how);
/*
 * The handle is gone with this call; the connection ends in order by itself,
 * sending what was written. With received data unread (RFC 2525 section 2.17)
 * or UTCP_OPT_LINGER 0 it is reset. A listener's connections not yet accepted
 * are reset. NULL is fine.
 */
UTCP_EXTERN void utcp_close(utcp_sock_t *s);
/* Resets the connection; the handle is gone. NULL is fine. */
UTCP_EXTERN void utcp_abort(utcp_sock_t *s);

/* UTCP_IN and so on: the level. */
UTCP_EXTERN uint32_t utcp_poll(const utcp_sock_t *s);
UTCP_EXTERN void utcp_set_user(utcp_sock_t *s, void *user);
UTCP_EXTERN void *utcp_user(const utcp_sock_t *s);
UTCP_EXTERN utcp_t *utcp_stack(const utcp_sock_t *s);
/* All TCP sockets that are not closed, in no order: the first (after NULL), the one
   behind `after`, of this stack; NULL: that was the last. */
UTCP_EXTERN utcp_sock_t *utcp_next_sock(const utcp_t *u,
					const utcp_sock_t *after);
/* -ENOTCONN, or for the name -EINVAL (not bound). */
UTCP_EXTERN int utcp_getsockname(const utcp_sock_t *s, utcp_addr_t *addr);
UTCP_EXTERN int utcp_getpeername(const utcp_sock_t *s, utcp_addr_t *addr);

/*
 * Options: X(NAME, "meaning", default, lowest, highest). Set on a listener
 * they hold for the connections it accepts. All can be read; times are in
 * nanoseconds.
 */
#define UTCP_OPTIONS(X)                                                        \
	X(NODELAY, "send small segments at once (no Nagle)", 0, 0, 1)          \
	X(CORK, "send full segments only, for 200 ms at most", 0, 0, 1)        \
	X(QUICKACK, "acknowledge at once", 0, 0, 1)                            \
	X(MAXSEG, "largest segment, sent and asked for; 0: by MTU", 0, 0,      \
	  65495)                                                               \
	X(SNDBUF, "send buffer, bytes; 0: grows by itself", 0, 0, 1 << 30)     \
	X(RCVBUF, "receive buffer, bytes; 0: grows by itself", 0, 0, 1 << 30)  \
	X(SNDBUF_MAX, "to which it grows", 4 << 20, 4096, 1 << 30)             \
	X(RCVBUF_MAX, "to which it grows", 6 << 20, 4096, 1 << 30)             \
	X(WINDOW_CLAMP, "largest window offered; 0: none", 0, 0, UINT32_MAX)   \
	X(KEEPALIVE, "probe an idle connection", 0, 0, 1)                      \
	X(KEEPIDLE_NS, "idle for so long before the first probe",              \
	  7200000000000, 1000000, 32767000000000)                              \
	X(KEEPINTVL_NS, "between probes", 75000000000, 1000000,                \
	  32767000000000)                                                      \
	X(KEEPCNT, "probes without an answer before it ends", 9, 1, 127)       \
	X(USER_TIMEOUT_NS,                                                     \
	  "data unacknowledged so long ends it (RFC 5482);"                    \
	  " 0: by RETRIES",                                                    \
	  0, 0, 86400000000000)                                                \
	X(RETRIES, "retransmissions of data before it ends", 15, 1, 255)       \
	X(SYN_RETRIES,                                                         \
	  "retransmissions of a SYN before it ends (RFC 9293 MUST-23)", 7, 0,  \
	  127)                                                                 \
	X(SYNACK_RETRIES, "retransmissions of a SYN-ACK", 5, 0, 127)           \
	X(NOTSENT_LOWAT, "UTCP_OUT only below so many unsent bytes; 0: none",  \
	  0, 0, UINT32_MAX)                                                    \
	X(RCVLOWAT, "UTCP_IN only from so many bytes on", 1, 1, 1 << 30)       \
	X(LINGER, "-1: close in order; 0: close by reset", -1, -1, 0)          \
	X(FIN_TIMEOUT_NS, "in FIN-WAIT-2 after close", 60000000000, 0,         \
	  86400000000000)                                                      \
	X(MSL_NS, "TIME-WAIT takes two of these", 30000000000, 0,              \
	  120000000000)                                                        \
	X(FASTOPEN, "listener: take data on SYNs, so many at once; 0: none",   \
	  0, 0, 65535)                                                         \
	X(FASTOPEN_CONNECT, "send the first data on the SYN (RFC 7413)", 0, 0, \
	  1)                                                                   \
	X(FASTOPEN_NOCOOKIE, "both without cookies: in closed networks only",  \
	  0, 0, 1)                                                             \
	X(DEFER_ACCEPT_NS, "listener: tell when data has come, or after this", \
	  0, 0, 600000000000)                                                  \
	X(ECN, "0: off, 1: if asked, 2: ask (RFC 3168)", 1, 0, 2)              \
	X(SACK, "selective acknowledgements (RFC 2018)", 1, 0, 1)              \
	X(TIMESTAMPS, "timestamps (RFC 7323)", 1, 0, 1)                        \
	X(WSCALE, "window scaling; the largest shift, or -1 for none", 14, -1, \
	  14)                                                                  \
	X(RACK, "loss by time, and tail probes (RFC 8985)", 1, 0, 1)           \
	X(PACING,                                                              \
	  "0: off, 1: if the congestion control asks, else bursts are "        \
	  "bounded, 2: always",                                                \
	  1, 0, 2)                                                             \
	X(MAX_PACING_RATE, "bytes a second; 0: no limit", 0, 0, 1000000000000) \
	X(INITCWND, "segments (RFC 6928)", 10, 1, 1000)                        \
	X(INITRTO_NS, "before there is a measurement (RFC 6298)", 1000000000,  \
	  1000000, 60000000000)                                                \
	X(RTO_MIN_NS, "least retransmission timeout", 200000000, 1000000,      \
	  60000000000)                                                         \
	X(RTO_MAX_NS, "and most", 120000000000, 1000000000, 120000000000)      \
	X(DELACK_NS, "an acknowledgement waits at most so long (RFC 1122)",    \
	  40000000, 0, 499999999)                                              \
	X(ACK_EVERY, "full segments for one acknowledgement", 2, 1, 64)        \
	X(PMTUD, "0: never, 1: by ICMP, 2: and by probing (RFC 4821)", 2, 0,   \
	  2)                                                                   \
	X(DSCP, "differentiated services code point", 0, 0, 63)                \
	X(TTL, "time to live, hop limit", 64, 1, 255)                          \
	X(TTL_MIN, "drop what comes with less (RFC 5082)", 0, 0, 255)          \
	X(V6ONLY, "IPv6 listener takes no IPv4", 0, 0, 1)                      \
	X(REUSEADDR, "bind although connections have the port", 1, 0, 1)       \
	X(ERROR, "the error that ended it, positive, and forgets it", 0, 0, 0) \
	X(SOFT_ERRORS, "ICMP errors that may pass end an attempt to connect",  \
	  1, 0, 1)

enum utcp_opt {
#define UTCP_OPTION_ENUM(NAME, meaning, dflt, low, high) UTCP_OPT_##NAME,
	UTCP_OPTIONS(UTCP_OPTION_ENUM)
#undef UTCP_OPTION_ENUM
	    UTCP_OPT_MAX
};

/* -ENOPROTOOPT (no such option), -EINVAL (out of range), -EISCONN (only before
   the connection opens: SACK, TIMESTAMPS, WSCALE, ECN, FASTOPEN...). */
UTCP_EXTERN int utcp_set(utcp_sock_t *s, int opt, int64_t value);
UTCP_EXTERN int utcp_get(utcp_sock_t *s, int opt, int64_t *value);
/* Congestion control by name, at any time; from one of its hooks: when that
   returns. One for L4S (UTCP_CC_L4S: "prague") brings the extension "accecn"
   along, if the connection is not open yet and UTCP_OPT_ECN is not 0. -ENOENT,
   -ENOMEM, -EBUSY (in a hook of another connection). */
UTCP_EXTERN int utcp_set_cc(utcp_sock_t *s, const char *name);
UTCP_EXTERN const char *utcp_cc(const utcp_sock_t *s);
/* Name of option i ("nodelay"), its meaning; NULL past the last. */
UTCP_EXTERN const char *utcp_opt_name(unsigned int i);
UTCP_EXTERN const char *utcp_opt_text(unsigned int i);

enum utcp_state { /* RFC 9293 section 3.3.2 */
		  UTCP_CLOSED,
		  UTCP_LISTEN,
		  UTCP_SYN_SENT,
		  UTCP_SYN_RECEIVED,
		  UTCP_ESTABLISHED,
		  UTCP_FIN_WAIT_1,
		  UTCP_FIN_WAIT_2,
		  UTCP_CLOSE_WAIT,
		  UTCP_CLOSING,
		  UTCP_LAST_ACK,
		  UTCP_TIME_WAIT,
};

/* What was negotiated. */
#define UTCP_GOT_TIMESTAMPS (1u << 0)
#define UTCP_GOT_SACK (1u << 1)
#define UTCP_GOT_WSCALE (1u << 2)
#define UTCP_GOT_ECN (1u << 3)
#define UTCP_GOT_FASTOPEN (1u << 4) /* data on the SYN was taken */
#define UTCP_GOT_COOKIE (1u << 5)   /* opened by a SYN cookie */
#define UTCP_GOT_EXT (1u << 6)	    /* an extension is on it */
#define UTCP_GOT_EXT_ECN (1u << 7)  /* ECN is an extension's */

typedef struct utcp_info_s {
	uint32_t size;	  /* in: of this struct */
	uint8_t state;	  /* enum utcp_state */
	uint8_t recovery; /* 0 open, 1 disorder, 2 ECN, 3 recovery, 4 loss */
	uint8_t snd_wscale;
	uint8_t rcv_wscale;
	uint32_t negotiated; /* UTCP_GOT_* */
	uint32_t mss;	     /* sent, bytes, without options */
	uint32_t rcv_mss;    /* seen from the peer */
	uint32_t pmtu;
	uint64_t rtt_ns;
	uint64_t rttvar_ns;
	uint64_t min_rtt_ns;
	uint64_t rto_ns;
	uint32_t backoff;
	uint32_t cwnd_bytes;
	uint32_t ssthresh_bytes;
	uint32_t snd_wnd_bytes;
	uint32_t rcv_wnd_bytes;
	uint32_t unacked_bytes; /* in flight or lost */
	uint32_t sacked_bytes;
	uint32_t lost_bytes;
	uint32_t retrans_out_bytes;
	uint32_t notsent_bytes;
	uint32_t unread_bytes;
	uint32_t reordering_segs;
	uint64_t total_retrans_segs;
	uint64_t bytes_sent; /* with retransmissions */
	uint64_t bytes_acked;
	uint64_t bytes_received;
	uint64_t bytes_retrans;
	uint64_t segs_in, segs_out;
	uint64_t delivered_bytes;
	uint64_t delivered_ce_bytes;
	uint64_t pacing_rate;	/* bytes a second; 0: none */
	uint64_t delivery_rate; /* bytes a second */
	uint64_t busy_ns, rwnd_limited_ns, sndbuf_limited_ns;
	uint32_t snd_nxt, snd_una, rcv_nxt; /* sequence numbers */
	uint32_t dsack_dups;
	char cc[16];
	/* How long ago, modulo 2^32: data was sent; any segment came; data came
	   (UINT32_MAX: none yet). */
	uint32_t last_sent_ms, last_heard_ms, last_data_ms;
	uint32_t probes; /* keepalives, window probes without an answer */
	/* What ICMP last said that did not end it, a positive errno; 0. */
	uint32_t soft_error;
	uint32_t pad;
} utcp_info_t;
/* -EINVAL: size 0 or larger than any known. */
UTCP_EXTERN int utcp_info(const utcp_sock_t *s, utcp_info_t *info);

/* ---- UDP sockets ------------------------------------------------------------- */

UTCP_EXTERN int utcp_udp_open(utcp_t *u, int family, utcp_udp_t **out);
UTCP_EXTERN int utcp_udp_bind(utcp_udp_t *s, const utcp_addr_t *local);
/* Only from and to this peer; family 0 undoes it. */
UTCP_EXTERN int utcp_udp_connect(utcp_udp_t *s, const utcp_addr_t *peer);

#define UTCP_DGRAMS_MAX 128 /* that come or are sent as one, at most */
typedef struct utcp_dgram_s {
	const void *data; /* receive: a view, valid until utcp_retain() or the
			      next receive that returns fewer */
	size_t len;
	utcp_addr_t peer;  /* send: family 0 for the connected one */
	utcp_addr_t local; /* receive: where it came to; send: source, or
			      family 0 */
	uint32_t gso_size; /* send: cut into datagrams of so many bytes; 0: one;
			      receive: the same, if they came in one */
	uint8_t tos;	   /* DSCP and ECN */
	uint8_t ttl;	   /* send 0: as the option */
	uint16_t pad;
} utcp_dgram_t;
/* Up to n datagrams; returns how many went into the queue. -EAGAIN (queue
   full), -EMSGSIZE, -EDESTADDRREQ, -ECONNREFUSED (once, from ICMP). Data is
   copied. */
UTCP_EXTERN int utcp_udp_send(utcp_udp_t *s, const utcp_dgram_t *dgrams,
			      unsigned int n);
/* Up to n datagrams; returns how many; they are consumed. -EAGAIN. */
UTCP_EXTERN int utcp_udp_recv(utcp_udp_t *s, utcp_dgram_t *dgrams,
			      unsigned int n);
/* The handle is gone with this call; what was queued still leaves. NULL is
   fine. */
UTCP_EXTERN void utcp_udp_close(utcp_udp_t *s);
UTCP_EXTERN uint32_t utcp_udp_poll(const utcp_udp_t *s);
/* -EINVAL (not bound), -EADDRNOTAVAIL; -ENOTCONN. */
UTCP_EXTERN int utcp_udp_getsockname(const utcp_udp_t *s, utcp_addr_t *addr);
UTCP_EXTERN int utcp_udp_getpeername(const utcp_udp_t *s, utcp_addr_t *addr);
UTCP_EXTERN void utcp_udp_set_user(utcp_udp_t *s, void *user);
UTCP_EXTERN void *utcp_udp_user(const utcp_udp_t *s);
UTCP_EXTERN utcp_t *utcp_udp_stack(const utcp_udp_t *s);
/* UTCP_OPT_SNDBUF, RCVBUF (0: 1 MiB; both hold one datagram, however small they
   are), DSCP (where dgram.tos has none), TTL,
   V6ONLY, REUSEADDR (0 at first: sockets that all set it before they bind share
   an address; the last one bound receives), ERROR, and PMTUD, which is 1 at first: 0: IPv4 without DF; 1: what is
   longer than the path takes goes in fragments; 2: it is refused, -EMSGSIZE,
   and a connected socket is told so by UTCP_ERR when the path gets narrower.
   SOFT_ERRORS, 0 at first: a connected socket is told also of ICMP errors that
   may pass (no route, time exceeded), not only that nobody is there. MAXSEG can
   be read of a connected one: bytes of the longest datagram that goes to its
   peer in one packet, as far as the path is known; -ENOTCONN. */
UTCP_EXTERN int utcp_udp_set(utcp_udp_t *s, int opt, int64_t value);
UTCP_EXTERN int utcp_udp_get(utcp_udp_t *s, int opt, int64_t *value);

#ifdef __cplusplus
}
#endif

#include <multistack/utcp_cc.h>	 /* congestion control */
#include <multistack/utcp_ext.h> /* TCP options and more of your own */

#endif /* MULTISTACK_UTCP_H */
