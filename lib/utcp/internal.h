/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * internal.h: the rooms of the stack and what passes between them.
 *
 *	packets in   ip_input -> tcp_input -> tcp_ack (what was sent)
 *	                      |            -> sockbuf (what came)
 *	                      |-> tcp_syn, tcp_timewait (no socket yet, any more)
 *	                      |-> udp, icmp
 *	time         timer -> tcp_timer -> the rooms below
 *	packets out  utcp_output -> tcp_output -> out (buffers of the caller)
 *	calls        sock, sockbuf, sockopt
 *
 * Rules. The stack's time is u->now_ns and nobody's else. All memory comes from
 * utcp__alloc or a pool, and is accounted. Nothing is sent but from
 * utcp_output(): who wants to send marks the socket (utcp__want_output) or
 * queues a control packet (utcp__ctl). A socket is freed only by
 * utcp__sock_free(), which nobody calls while a frame above him on the call
 * stack still uses the socket: who ends a connection calls utcp__sock_dead().
 *
 * Sequence numbers are host order, modulo 2^32 (RFC 9293 section 3.4). A
 * stream offset (`ofs`) is 64 bits and counts data bytes only, from 0.
 */
#ifndef UTCP_INTERNAL_H
#define UTCP_INTERNAL_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <multistack/utcp.h>

#define MSEC 1000000ull
#define SEC 1000000000ull
#define CONTAINER(ptr, type, member)                                           \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#if defined(UTCP_DEBUG)
#include <assert.h>
#define UTCP_ASSERT(x) assert(x)
#else
#define UTCP_ASSERT(x) ((void)0)
#endif

/* ---- small things ----------------------------------------------------------- */

static inline bool
seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool
seq_leq(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline uint16_t
get16(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] << 8 | b[1]);
}

/* Between network order and the machine's. */
static inline uint32_t
utcp__swap32(uint32_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap32(v);
#endif
	return v;
}

static inline uint32_t
get32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return utcp__swap32(v);
}

static inline void
put16(void *p, uint32_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

static inline void
put32(void *p, uint32_t v)
{
	v = utcp__swap32(v);
	memcpy(p, &v, 4);
}

/* Circular list; a link not in a list points to itself. */
struct utcp__link {
	struct utcp__link *next, *prev;
};

static inline void
link_init(struct utcp__link *l)
{
	l->next = l->prev = l;
}

static inline bool
link_empty(const struct utcp__link *l)
{
	return l->next == l;
}

static inline void
link_append(struct utcp__link *list, struct utcp__link *l)
{
	l->prev = list->prev;
	l->next = list;
	list->prev->next = l;
	list->prev = l;
}

static inline void
link_remove(struct utcp__link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	link_init(l);
}

/* ---- who is where: the table of connections (table.c) ------------------------ */

enum utcp__kind { UTCP__CONN, UTCP__SYN, UTCP__TIMEWAIT };

/* Local and remote end. IPv4 in the first four bytes. */
struct utcp__key {
	uint8_t laddr[16], raddr[16];
	uint16_t lport_be, rport_be;
	uint8_t family; /* 4 or 6, of the packets */
	uint8_t proto;
	uint16_t pad; /* 0 */
};

struct utcp__ent {
	struct utcp__ent *next; /* in its bucket */
	uint32_t hash;
	uint8_t kind; /* enum utcp__kind */
	bool linked;  /* stands in the table */
	struct utcp__key key;
};

/* A local port that is taken, by sockets together (a listener and what it
   accepted); let go with the last. */
struct utcp__port {
	struct utcp__link link;
	utcp_t *u;
	utcp_addr_t addr; /* as bound: the address may be the wildcard */
	uint32_t refs;
	utcp_sock_t *listener; /* borrowed; NULL */
	utcp_udp_t *udp;       /* borrowed; NULL */
	bool v6only;
	bool bound_alone; /* bound by utcp_bind, by a socket still open */
	bool shared;	  /* ephemeral, of connections only */
};

struct utcp__table {
	struct utcp__ent **bucket, **old; /* old: while it grows */
	uint32_t mask, old_mask, moved, count;
	struct utcp__key last_key; /* whose hash was made last */
	uint32_t last_hash;
};

int utcp__ports_init(utcp_t *u);
void utcp__ports_deinit(utcp_t *u);
int utcp__table_init(utcp_t *u);
void utcp__table_deinit(utcp_t *u);
/* SipHash of the key under the stack's secret. */
uint32_t utcp__hash(utcp_t *u, const struct utcp__key *k);
/* NULL if there is none. */
struct utcp__ent *utcp__find(utcp_t *u, const struct utcp__key *k);
/* e->key is set; -EADDRINUSE, -ENOMEM. */
int utcp__link_ent(utcp_t *u, struct utcp__ent *e);
void utcp__unlink_ent(utcp_t *u, struct utcp__ent *e);
/* Puts `to` in the place of `from` (the same key). */
void utcp__replace_ent(utcp_t *u, struct utcp__ent *from, struct utcp__ent *to);
/* The listener for packets to this key: exact address before wildcard, own
   family before the IPv6 wildcard without V6ONLY. NULL. */
utcp_sock_t *utcp__find_listener(utcp_t *u, const struct utcp__key *k);
utcp_udp_t *utcp__find_udp(utcp_t *u, const struct utcp__key *k);
/* Takes a port (addr->port_be 0: an ephemeral one, written back; RFC 6056,
   and config.claim); for a connection's 4-tuple, rkey not NULL, one that makes
   the tuple unique. Returns a reference. -EADDRINUSE, ... */
int utcp__port_take(utcp_t *u, utcp_addr_t *addr, uint8_t proto,
		    const struct utcp__key *rkey, bool v6only, bool reuse,
		    struct utcp__port **out);
/* For a connection from k, whose local port is written: one that makes the
   tuple unique. 0; 1: a TIME-WAIT made way and *iss is to be used;
   -EADDRNOTAVAIL, -ENOMEM, or what config.claim says. */
int utcp__port_connect(utcp_t *u, struct utcp__key *k, struct utcp__port **out,
		       uint32_t *iss);
/* Whether the tuple is free: 0, 1 (as above), -EADDRINUSE. */
int utcp__port_tuple(utcp_t *u, const struct utcp__key *k, uint32_t *iss);
struct utcp__port *utcp__port_get(struct utcp__port *p);
void utcp__port_put(struct utcp__port *p);

/* ---- memory (mem.c) ------------------------------------------------------------ */

enum utcp__pool_id {
	UTCP__POOL_SOCK,
	UTCP__POOL_BUSY,
	UTCP__POOL_SYN,
	UTCP__POOL_TW,
	UTCP__POOL_SEG,
	UTCP__POOL_RBLK,
	UTCP__POOL_CTL,
	UTCP__POOL_MAX
};

struct utcp__pool {
	struct utcp__link partial,
	    full;	      /* chunks: with free objects; without */
	uint32_t bytes;	      /* of one object */
	uint32_t slot;	      /* with what we need */
	uint32_t used, empty; /* objects; chunks with none */
};

/* Zeroed. NULL: out of memory. Accounted in u->mem_bytes. */
void *utcp__alloc(utcp_t *u, size_t bytes);
/* Not zeroed. */
void *utcp__alloc_raw(utcp_t *u, size_t bytes);
void utcp__free(utcp_t *u, void *mem, size_t bytes);
/* An object of the pool, zeroed; NULL. */
void *utcp__pool_get(utcp_t *u, enum utcp__pool_id id);
void utcp__pool_put(utcp_t *u, enum utcp__pool_id id, void *obj);
int utcp__pools_init(utcp_t *u);
void utcp__pools_deinit(utcp_t *u);

/* Random, from the seed (ChaCha or the like, not predictable from outside). */
uint64_t utcp__random(utcp_t *u);
void utcp__random_init(utcp_t *u, const uint8_t seed[32]);
void utcp__chacha_block(const uint32_t in[16], uint32_t out[16]);
/* Keyed with the stack's secret: SipHash-2-4 of the bytes. */
uint64_t utcp__siphash(const uint64_t key[2], const void *data, size_t len);

/* ---- timers (timer.c) ------------------------------------------------------------ */

/*
 * A heap of exact times, ties in the order of insertion. An entry is moved in
 * the heap only when it has to go off earlier: one that is put off goes off at
 * the old time, sees that it is not due, and goes in again. So restarting a
 * timer costs a store.
 */
struct utcp__timer {
	uint64_t at_ns; /* in the heap for; UTCP_NEVER: not in it */
	uint32_t pos;
	uint32_t order; /* of insertion, modulo 2^32 */
};

struct utcp__heap {
	struct utcp__heap_slot {
		uint64_t at_ns;
		struct utcp__timer *t;
	} *slots;
	uint32_t num, room;
	uint32_t order;
};

static inline void
utcp__timer_init(struct utcp__timer *t)
{
	t->at_ns = UTCP_NEVER;
}

/* Room for so many timers in all; so timer_at cannot fail. -ENOMEM. */
int utcp__heap_reserve(utcp_t *u, uint32_t num);
/* Goes off at at_ns, or already earlier. */
void utcp__timer_at(utcp_t *u, struct utcp__timer *t, uint64_t at_ns);
void utcp__timer_stop(utcp_t *u, struct utcp__timer *t);
/* Takes the earliest that is due at u->now_ns out; NULL. */
struct utcp__timer *utcp__timer_due(utcp_t *u);
uint64_t utcp__timer_next(const utcp_t *u);
void utcp__heap_deinit(utcp_t *u);

/* The timers of a connection: s->due[], of which the earliest is in the heap. */
enum utcp__tm {
	UTCP__TM_REXMT,	 /* RTO (RFC 6298), or a zero window's probe */
	UTCP__TM_TLP,	 /* tail loss probe (RFC 8985 section 7) */
	UTCP__TM_REO,	 /* RACK's reordering window */
	UTCP__TM_DELACK, /* an acknowledgement is due */
	UTCP__TM_KEEP,	 /* keepalive */
	UTCP__TM_PACE,	 /* the next burst may leave */
	UTCP__TM_CORK,	 /* cork, for at most so long */
	UTCP__TM_END,	 /* user timeout, FIN-WAIT-2, orphan */
	UTCP__TM_MAX
};

/* Sets a timer of a connection, to UTCP_NEVER: stops it. */
void utcp__tm_set(utcp_sock_t *s, enum utcp__tm tm, uint64_t at_ns);
static inline void utcp__tm_clear(utcp_sock_t *s, enum utcp__tm tm);
/* Puts the earliest of s->due[] into the heap (utcp_advance does it behind
   utcp__tcp_timers, in a later instant than now). */
void utcp__tm_rearm(utcp_sock_t *s);
/* tcp_timer.c: what is due of this connection. It may be freed by this. */
void utcp__tcp_timers(utcp_sock_t *s);

/* ---- a packet that came (ip_input.c fills it) -------------------------------------- */

struct utcp__in {
	struct utcp__key key; /* as the receiver sees it: laddr is the
				 destination; ports filled in by L4 */
	const uint8_t *l3;    /* the IP header, in one piece with l4's */
	const uint8_t *l4;    /* the transport header, in one piece (as much of
				 it as the first part has: 60 bytes or all) */
	uint32_t l4_bytes;    /* from there to the end of the IP packet, over
				 all parts */
	uint8_t tos;	      /* traffic class: DSCP and ECN */
	uint8_t ttl;
	bool csum_ok;	   /* need not be verified */
	bool borrowed;	   /* parts lie in packets' memory, till retain */
	uint16_t gso_size; /* 0, or payload of each of several segments */
	unsigned int num_parts;
	utcp_view_t part[UTCP_PKT_PARTS_MAX]; /* of l4_bytes; part[0] starts at
						 l4 */
};

/* ip_input.c: one packet of n elements. Verifies, reassembles, dispatches. */
void utcp__ip_input(utcp_t *u, const utcp_pkt_t *pkt, unsigned int n);
/* Cuts the IP payload to its first l4_bytes. */
void utcp__in_trim(struct utcp__in *in, uint32_t l4_bytes);
/* To who handles proto, or the IPv6 extension headers before it. `whole`: no
   fragment header may come (any more). */
void utcp__ip_upper(utcp_t *u, struct utcp__in *in, uint8_t proto, bool whole);
/* ip_reass.c: a fragment; `in` is its payload. The last one delivers. */
struct utcp__frag {
	uint32_t id;
	uint32_t ofs; /* bytes */
	uint8_t proto;
	bool more;
};
void utcp__reass_input(utcp_t *u, struct utcp__in *in,
		       const struct utcp__frag *frag);
void utcp__reass_tick(utcp_t *u); /* fragments that waited too long */
void utcp__reass_deinit(utcp_t *u);
/* L4 checksum over all parts and the pseudo header; true: right. */
bool utcp__csum_good(const struct utcp__in *in, uint8_t proto);
/* icmp.c */
void utcp__icmp_input(utcp_t *u, struct utcp__in *in, int version);
/* An ICMP error about `in` (port unreachable, ...), rate limited. */
void utcp__icmp_error(utcp_t *u, const struct utcp__in *in, uint8_t type4,
		      uint8_t code4, uint8_t type6, uint8_t code6);
/* The same with the word behind the checksum (a pointer), for the version of
   `in` alone. */
void utcp__icmp_send(utcp_t *u, const struct utcp__in *in, uint8_t type,
		     uint8_t code, uint32_t rest);
/* udp.c */
void utcp__udp_input(utcp_t *u, struct utcp__in *in);
void utcp__udp_error(utcp_udp_t *s, int err);
/* The `mtu` of the path to this peer was told (from icmp.c). */
void utcp__udp_mtu(utcp_udp_t *s, uint32_t mtu);
/* Whether s, found by k, takes packets of this remote end. */
bool utcp__udp_takes(const utcp_udp_t *s, const struct utcp__key *k);

/* ---- checksums (in_cksum.c) ---------------------------------------------------------- */

/* Adds len bytes at p to a one's complement sum (RFC 1071) of 16-bit words in
   memory order; every piece but the last of one sum has an even length. */
uint64_t utcp__sum(const void *p, size_t len, uint64_t sum);
/* The same in one pass with a copy. */
uint64_t utcp__sum_copy(void *to, const void *from, size_t len, uint64_t sum);
/* Folded to 16 bits, in memory order, not complemented. */
static inline uint16_t
utcp__sum_fold(uint64_t sum)
{
	uint32_t s;

	sum = (sum & 0xffffffff) + (sum >> 32);
	s = (uint32_t)((sum & 0xffffffff) + (sum >> 32));
	/* The upper half gets both halves and the carry of the lower. */
	return (uint16_t)((s + (s >> 16 | s << 16)) >> 16);
}
/* Pseudo header of k (addresses, protocol) and the L4 length. symmetric. */
uint64_t utcp__sum_pseudo(const struct utcp__key *k, uint8_t proto,
			  uint32_t l4_bytes);

/* ---- a packet that leaves (out.c) ------------------------------------------------------- */

/* The caller's buffers, and the packet that is being written into them. */
struct utcp__out {
	utcp_t *u;
	utcp_pkt_t *pkts;
	unsigned int num, used;
	/* the packet in work */
	const struct utcp__key *key;
	unsigned int first;	     /* its first element */
	uint32_t l3_bytes, l4_bytes; /* headers */
	uint32_t fill;		     /* of element `at`, bytes from its start */
	unsigned int at;
	uint32_t data_bytes; /* payload so far */
	uint64_t sum;	     /* of the payload */
	bool odd;	     /* payload so far has an odd length */
	bool offload;	     /* the checksum is the device's to finish */
	/* a fragment, set by the caller before utcp__out_begin: only udp.c */
	bool frag, frag_more;
	uint16_t frag_ofs; /* bytes of L4 before this one, a multiple of 8 */
	uint32_t frag_id;
};

/*
 * Begins a packet from k's local to its remote end, with l4_bytes of transport
 * header and data_bytes of payload to follow. Returns where the transport
 * header goes (l4_bytes in one piece, to be written by the caller, its checksum
 * field 0), or NULL if there is no room for all of it: nothing has happened
 * then. k is borrowed until utcp__out_end.
 */
uint8_t *utcp__out_begin(struct utcp__out *o, const struct utcp__key *k,
			 uint32_t l4_bytes, uint32_t data_bytes);
/* Appends payload, copied and summed in one pass. */
void utcp__out_data(struct utcp__out *o, const void *data, size_t len);
/*
 * Ends it: IP header, checksum (at csum_offset of the transport header) or its
 * offload, GSO metadata (gso_size 0: none; else payload is cut so). tos: DSCP
 * and ECN. df: IPv4's don't-fragment. Counts it.
 */
void utcp__out_end(struct utcp__out *o, uint8_t proto, uint8_t tos, uint8_t ttl,
		   bool df, uint16_t csum_offset, uint16_t gso_size);

/* An identification for a datagram that may be fragmented: none comes again
   soon for the same two hosts (RFC 6864 section 4.3), and nobody else can tell
   the next (RFC 7739 section 5.3). */
uint32_t utcp__frag_id(utcp_t *u, const struct utcp__key *k);

/*
 * A control packet without a socket, or ahead of it: RST, SYN-ACK of a half
 * open connection, ACK of TIME-WAIT, ICMP. The L4 bytes are copied, checksum
 * field 0. Queue bounded (max 4096): the newest are dropped and counted.
 * Returns 0, -ENOBUFS. csum_offset 0xffff: the checksum is there already.
 */
#define UTCP__CTL_BYTES 576
int utcp__ctl(utcp_t *u, const struct utcp__key *k, uint8_t proto,
	      const void *l4, uint32_t l4_bytes, uint16_t csum_offset,
	      uint8_t tos, uint8_t ttl);
/* The pool's size, for packets as long as TCP's header; ctl.c allocates what is
   longer (ICMP) by itself. */
#define UTCP__CTL_PKT_BYTES 160
/* Writes queued control packets; true: there was no room for all of them. */
bool utcp__ctl_output(utcp_t *u, struct utcp__out *o);
void utcp__ctl_deinit(utcp_t *u);
/* Whether an answer to nobody's packet may be sent now (token bucket of
   config.icmp_per_s); of challenge ACKs. Counts what may not. */
bool utcp__allow_answer(utcp_t *u);
bool utcp__allow_challenge(utcp_t *u);

/* ---- TCP: a segment that came (tcp_options.c fills it) ------------------------------------ */

#define TH_FIN 0x01
#define TH_SYN 0x02
#define TH_RST 0x04
#define TH_PSH 0x08
#define TH_ACK 0x10
#define TH_URG 0x20
#define TH_ECE 0x40
#define TH_CWR 0x80
#define TH_AE 0x100

#define TO_MSS 0x01
#define TO_WSCALE 0x02
#define TO_SACK_OK 0x04
#define TO_TS 0x08
#define TO_SACK 0x10
#define TO_FASTOPEN 0x20

struct utcp__sackblk {
	uint32_t start, end; /* [start, end) */
};

struct utcp__seg_in {
	uint32_t seq, ack;
	uint32_t wnd;	/* as it stands, not scaled */
	uint32_t len;	/* data bytes, without SYN and FIN */
	uint16_t flags; /* TH_* */
	uint16_t urp;
	/* options */
	uint16_t opts; /* TO_* */
	uint16_t mss;
	uint8_t wscale;
	uint8_t num_sacks;
	uint8_t cookie_len; /* Fast Open: 0 asks for one */
	bool exp_fastopen;  /* by the experimental option, RFC 6994 */
	uint8_t cookie[16];
	uint32_t ts_val, ts_ecr;
	struct utcp__sackblk sacks[4];
	/* data, where it lies */
	unsigned int num_parts;
	utcp_view_t part[UTCP_PKT_PARTS_MAX];
	const struct utcp__in *in;
};

/* Header and options of in, and where data lies. -EINVAL: malformed header (bad
   options are skipped, RFC 9293 section 3.1). */
int utcp__tcp_parse(struct utcp__seg_in *seg, struct utcp__in *in);
/* Cuts n bytes of data off the front (advances seq) or the end. */
void utcp__seg_trim_front(struct utcp__seg_in *seg, uint32_t n);
void utcp__seg_trim_end(struct utcp__seg_in *seg, uint32_t n);

/* Options of a segment that leaves: written in the order and padding that
   tcp_options.c documents; returns bytes, a multiple of 4, at most 40. */
struct utcp__opt_out {
	uint16_t opts; /* TO_* */
	uint16_t mss;
	uint8_t wscale;
	uint8_t num_sacks; /* as many of them as fit */
	uint8_t cookie_len;
	bool exp_fastopen;
	const uint8_t *cookie;
	uint32_t ts_val, ts_ecr;
	struct utcp__sackblk sacks[4];
};
unsigned int utcp__tcp_options(uint8_t *to, const struct utcp__opt_out *o);
/* What a SYN or SYN-ACK with these options offers, besides ECN: TO_*. */
struct utcp__opts;
uint16_t utcp__offer(const struct utcp__opts *o);
/* The window of a SYN or SYN-ACK, never scaled (RFC 7323 section 2.2). */
uint16_t utcp__offer_window(const struct utcp__opts *o);

/* ---- TCP: a segment that left (tcp_sack.c owns these) -------------------------------------- */

#define SEG_SACKED 0x01	 /* the peer has it */
#define SEG_LOST 0x02	 /* taken for lost, not in the pipe */
#define SEG_RETRANS 0x04 /* sent again, and in the pipe */
#define SEG_EVER 0x08	 /* was sent more than once */
#define SEG_SYN 0x10
#define SEG_FIN 0x20
#define SEG_PROBE 0x40 /* path MTU probe */
#define SEG_APP_LIMITED 0x100

/* Sent at once and not yet acknowledged: one segment, or what one GSO packet
   carried (split when a part of it is acknowledged). */
struct utcp__seg {
	struct utcp__link link;	   /* s->segs, by sequence number */
	struct utcp__link by_time; /* s->sent, by time of (re)transmission:
				      not SACKed, not lost */
	uint32_t seq, len;	   /* len with SYN and FIN, which count 1 */
	uint16_t flags;		   /* SEG_* */
	uint8_t times;		   /* sent */
	uint16_t unit; /* bytes of each segment on the wire (mss, gso_size) */
	uint64_t sent_ns;
	/* for the rate sample, when it was sent last */
	uint64_t delivered, delivered_ns, first_sent_ns, lost;
	uint32_t tx_inflight;
};

/* ---- TCP: a half open connection (tcp_syn.c) ------------------------------------------------- */

struct utcp__syn {
	struct utcp__ent ent; /* UTCP__SYN */
	struct utcp__link
	    link;	       /* u->syns[retries], by time: the oldest first */
	utcp_sock_t *listener; /* borrowed: the listener's end ends it */
	struct utcp__link of_listener;
	uint64_t due_ns, born_ns, odd_ns;
	uint32_t irs, iss;
	uint32_t ts_recent, ts_ofs;
	uint16_t mss, wnd, wnd_acked;
	uint16_t wnd_said; /* our window in the SYN-ACK, and our scale: */
	uint8_t wscale_said;
	uint8_t wscale, opts; /* TO_*, both sides' */
	uint8_t retries, tos;
	bool ecn;
	bool acked;	   /* deferred accept: completed, waits for data */
	bool exp_fastopen; /* the cookie goes by the experimental option */
	bool cookie_due;   /* the SYN-ACK carries a Fast Open cookie */
};

/* ---- TCP: TIME-WAIT (tcp_timewait.c) ----------------------------------------------------------- */

struct utcp__tw {
	struct utcp__ent ent;	 /* UTCP__TIMEWAIT */
	struct utcp__link link;	 /* u->timewaits, by expiry, per MSL a list */
	struct utcp__port *port; /* a reference */
	uint64_t expires_ns, ts_seen_ns, msl_ns;
	uint32_t snd_nxt, rcv_nxt, rcv_wnd, ts_recent, ts_ofs;
	bool ts;
	uint8_t tos, ttl;
};

/* ---- TCP: data that came (sockbuf.c, tcp_reass.c) ------------------------------------------------ */

struct utcp__rblk {
	struct utcp__link link;
	const uint8_t *data; /* borrowed from a packet, or `own` + something */
	uint32_t len;
	uint32_t room;	  /* of own; 0: borrowed */
	uint32_t own_len; /* of own, filled */
	uint32_t seq;	  /* in the reassembly queue */
	uint8_t *own;	  /* of utcp__alloc */
};

/* ---- options, shared by the sockets that have the same ---------------------------------------------- */

struct utcp__opts {
	struct utcp__opts *next; /* in u->opts */
	uint32_t refs, hash;
	const struct utcp__cc_mod *cc;
	int64_t v[UTCP_OPT_MAX];
};
#define OPT(s, NAME) ((s)->opts->v[UTCP_OPT_##NAME])

/* ---- congestion control (cc.c) ----------------------------------------------------------------------- */

struct utcp__cc_mod {
	struct utcp__cc_mod *next;
	utcp_cc_ops_t ops;
	char name[16];
};

int utcp__cc_init(utcp_t *u); /* registers those that ship */
void utcp__cc_deinit(utcp_t *u);
const struct utcp__cc_mod *utcp__cc_find(utcp_t *u, const char *name);
/* The connection is open (or changes its control): starts mod. Falls back to
   NewReno; never fails. */
void utcp__cc_start(utcp_sock_t *s, const struct utcp__cc_mod *mod);
void utcp__cc_stop(utcp_sock_t *s);
/* What a hook is called with: up to date, until the next call. */
utcp_cc_t *utcp__cc_view(utcp_sock_t *s);
/* Takes what the hook set. */
void utcp__cc_taken(utcp_sock_t *s);
extern const utcp_cc_ops_t utcp__cc_newreno, utcp__cc_cubic, utcp__cc_bbr;

/* ---- a TCP socket -------------------------------------------------------------------------------------- */

enum utcp__recovery { REC_OPEN, REC_DISORDER, REC_CWR, REC_FAST, REC_LOSS };

struct utcp__listen {		  /* of a listener */
	struct utcp__link accept; /* by s->accept_link */
	struct utcp__link syns;	  /* half open ones */
	uint32_t backlog, num_accept, num_syns, num_fastopen;
	uint64_t cookie_ns;    /* a SYN cookie was sent last; 0: never */
	uint8_t cookie_wscale; /* our scale in it */
};

/* What lasts of a congestion control's view; the rest is made for each call. */
struct utcp__cc {
	uint32_t cwnd, ssthresh;
	uint64_t pacing_rate;
	uint64_t latest_rtt_ns;
	void *priv;
	uint32_t gso_max, initcwnd;
};

/*
 * What a connection has only while something is under way, either way. Idle
 * ones share u->rest, which is for reading: lists are empty, the rest is 0. Who
 * begins something calls utcp__rouse() before; a block goes back at the end of
 * a public call, when nothing of it is in use any more.
 */
struct utcp__busy {
	utcp_sock_t *s;
	struct utcp__link roused; /* u->roused: to be looked at */
	struct utcp__link held;	  /* u->held: has borrowed blocks */

	/* what the user wrote, oldest first (sockbuf.c) */
	utcp_buf_t *sndq, *sndq_last;
	utcp_buf_t *snd_cur; /* where snd_nxt's data is; NULL: search */

	/* what is in flight (tcp_sack.c) */
	struct utcp__link segs;	       /* utcp__seg by sequence */
	struct utcp__link sent;	       /* and by time */
	struct utcp__seg *lost_hint;   /* none LOST and unsent before; NULL */
	struct utcp__sackcache *sackc; /* NULL: no SACK came */
	uint32_t undo_una;	       /* snd_una when recovery began */
	uint32_t undo_end;	       /* and snd_nxt */
	int32_t undo_retrans;	       /* retransmissions not yet DSACKed */
	uint32_t prior_cwnd, prior_ssthresh;
	uint32_t prr_delivered, prr_out, prr_fs; /* RFC 6937, 9937 */
	uint32_t retrans_ts; /* timestamp clock at the first retransmission */
	uint64_t rack_sent_ns;
	uint64_t delivered_ns, first_sent_ns; /* delivery rate */
	uint64_t progress_ns;  /* when unacknowledged data was first waiting */
	uint64_t pace_next_ns; /* the next packet may leave */
	uint64_t limit_ns;     /* s->limits counts up to here */
	uint8_t limit;	       /* enum utcp__limit: since then */

	/* what came (rcvbuf.c, tcp_reass.c) */
	struct utcp__link rcvq;	 /* utcp__rblk, in order */
	struct utcp__link reass; /* utcp__rblk, out of order */
	uint32_t reass_bytes, reass_blks;
	struct utcp__sackblk *sacks; /* [4], of utcp__alloc; NULL: none */
	struct utcp__sackblk dsack;  /* start != end: to be reported */
	uint32_t fin_seq; /* of a FIN out of order; valid if s->fin_ofo */
	/* receive autotuning */
	uint32_t rcv_rtt_seq;
	uint64_t rcv_rtt_ns, rcv_rtt_at_ns;
	uint64_t rcvq_ns;
	uint32_t rcvq_seq, rcvq_space;
};

struct utcp_sock_s {
	struct utcp__ent ent; /* first; UTCP__CONN */
	utcp_t *u;
	struct utcp__opts *opts;     /* a reference */
	struct utcp__port *port;     /* a reference, NULL: not bound */
	struct utcp__listen *listen; /* NULL: no listener */
	utcp_sock_t *parent;	     /* in the accept queue of; NULL */
	void *user;
	struct utcp__busy *busy; /* never NULL: at rest &u->rest */

	struct utcp__link all; /* u->socks */
	/* Who is in an accept queue has nobody to tell events to. */
	union {
		struct utcp__link ready; /* u->ready: has an event to tell */
		struct utcp__link accept_link;
	};
	struct utcp__link out; /* u->outq: wants to send */

	uint8_t state;	     /* enum utcp_state */
	uint8_t family;	     /* as opened */
	uint8_t recovery;    /* enum utcp__recovery */
	uint8_t told;	     /* readiness last told, UTCP_* */
	int16_t error;	     /* positive errno that ended it; 0 */
	uint16_t negotiated; /* UTCP_GOT_* */
	int16_t soft_error;  /* last soft ICMP error, positive; told instead of
				ETIMEDOUT (RFC 1122 section 4.2.3.9); 0 */

	/* conditions */
	bool orphan : 1;     /* closed by the user; freed at the end */
	bool dead : 1;	     /* ended; freed when it is safe (u->dead) */
	bool passive : 1;    /* by a listener */
	bool ack_now : 1;    /* an ACK is owed, at once */
	bool fin_wanted : 1; /* shut down for writing: a FIN after the data */
	bool fin_sent : 1;
	bool fin_seen : 1;   /* the peer's FIN is in order and acknowledged */
	bool rd_shut : 1;    /* shut down for reading */
	bool write_more : 1; /* the last write said MORE */
	bool push : 1;	     /* send what there is (end of cork, EOR) */
	bool cwnd_limited : 1;
	bool persist : 1;      /* REXMT probes a zero window */
	bool ece_owed : 1;     /* RFC 3168: echo until CWR */
	bool cwr_owed : 1;     /* tell the peer that we slowed down */
	bool fastopen_syn : 1; /* SYN waits for the first write */
	bool syn_data_refused : 1;
	bool pingpong : 1;	 /* what comes is answered with data */
	bool fastopen_child : 1; /* counts in the listener's num_fastopen */
	bool tlp_retrans : 1;	 /* the probe was a retransmission */
	bool frto : 1;		 /* RFC 5682 in progress */
	bool frto_new : 1;	 /* its step 2b: new data goes first */
	bool undo_armed : 1;
	bool undo_sent : 1; /* something was retransmitted since: retrans_ts */
	bool loss_seen : 1; /* lost data that no reduction answers for yet */
	bool reo_seen : 1;  /* RFC 8985 reordering seen */
	bool dsack_round : 1;
	bool pmtu_probing : 1;
	bool keep_probing : 1;
	bool tlp_owed : 1;   /* output is to send a tail loss probe */
	bool probe_owed : 1; /* ... a keepalive or zero window probe */
	bool syn_owed : 1;   /* ... the SYN again */
	bool bound : 1;	     /* by utcp_bind: port->bound_alone is ours */

	/* send sequence space (RFC 9293 section 3.3.1) */
	uint32_t iss;
	uint32_t snd_una;
	uint32_t snd_nxt; /* also the most ever sent: retransmissions do not
			      turn it back */
	uint32_t snd_wnd; /* bytes, scaled */
	uint32_t snd_wl1, snd_wl2;
	uint32_t max_wnd;  /* largest ever offered by the peer */
	uint32_t snd_sml;  /* end of the last small segment (Minshall) */
	uint64_t una_ofs;  /* stream offset of snd_una */
	uint64_t end_ofs;  /* of what the user wrote */
	uint16_t mss;	   /* bytes of data in a full segment, without the
			      timestamp option's 12 when negotiated */
	uint16_t peer_mss; /* as the peer said */
	uint16_t pmtu;
	uint8_t snd_wscale, rcv_wscale;

	uint32_t sndbuf; /* bytes, now */

	/* what is in flight (tcp_sack.c) */
	uint32_t out_bytes; /* snd_nxt - snd_una */
	uint32_t sacked_bytes, lost_bytes, retrans_bytes;
	uint32_t high_seq;		   /* snd_nxt when recovery began */
	uint32_t fack;			   /* highest SACKed + 1 */
	uint32_t sacked_segs;		   /* segments of sacked_bytes */
	uint32_t cwnd_used, cwnd_used_seq; /* most in flight, of this round */
	uint16_t dupacks;
	uint16_t reordering; /* segments */
	/* RACK (RFC 8985) */
	uint64_t rack_rtt_ns;
	uint32_t rack_end;
	uint8_t rack_reo_mult, rack_reo_persist;
	uint32_t rack_dsack_end;
	uint32_t tlp_end; /* TLP.end_seq; valid if tlp_out */
	uint8_t tlp_out;
	uint8_t backoff; /* RTO's, exponent */
	uint8_t retries; /* since the last progress */
	uint8_t probes;	 /* keepalives without an answer */

	/* round trip time (RFC 6298) */
	uint64_t srtt_ns, rttvar_ns, rto_ns;
	uint64_t min_rtt_ns; /* windowed, RACK's */
	uint64_t min_rtt_at_ns;

	/* delivery rate */
	uint64_t delivered, lost, delivered_ce;
	uint64_t app_limited; /* delivered when the app limit ends; 0 */
	uint64_t rate_delivered, rate_interval_ns;

	/* receive sequence space */
	uint32_t irs;
	uint32_t rcv_nxt;
	uint32_t rcv_adv;      /* right edge offered to the peer */
	uint32_t rcv_acked;    /* rcv_nxt as the last ACK said */
	uint32_t rcvbuf;       /* bytes, now */
	uint32_t rcvq_bytes;   /* in rcvq, unread */
	uint32_t last_data_ms; /* when data came last; 0: never */
	uint32_t sent_then;    /* bytes_sent at that time */
	/* bytes_received and milliseconds, lately: what came since (sock_busy.c) */
	uint32_t rcv_mark, rcv_mark_ms;
	uint16_t rcv_mss;   /* estimate */
	uint8_t num_sacks;  /* of what came out of order, newest first */
	uint8_t quick_acks; /* ACKs to send at once at the start */
	uint32_t ts_recent, ts_ofs; /* RFC 7323; ours is now + ts_ofs */
	uint64_t ts_recent_ns;
	bool fin_ofo;	 /* a FIN came out of order: busy->fin_seq */
	uint8_t rcv_ecn; /* of the last segment */

	/* congestion control */
	struct utcp__cc cc;
	const struct utcp__cc_mod *cc_mod; /* NULL: not started */
	uint64_t pace_rate;		   /* bytes a second in use; 0 */

	/* timers */
	struct utcp__timer timer;
	uint64_t due[UTCP__TM_MAX];
	uint64_t last_rcv_ns, last_snd_ns; /* any segment; data */

	/* counts for utcp_info */
	uint64_t bytes_sent, bytes_retrans, bytes_received;
	uint64_t segs_in, segs_out;
	uint32_t total_retrans, dsack_dups;
	uint32_t limits[3]; /* by enum utcp__limit - 1, of 2^14 ns */
	uint64_t
	    challenge_ns; /* when odd segments have all their budget again */

	/* path MTU (tcp_mtu.c), RFC 4821 */
	uint16_t probe_low, probe_high;
	uint16_t probe_size; /* IP bytes of the probe sent or to be sent */
	uint32_t probe_seq;
	uint64_t probe_at_ns;

	uint8_t *cookie; /* Fast Open: to send; [17], the length first; NULL */
};

static inline void
utcp__tm_clear(utcp_sock_t *s, enum utcp__tm tm)
{
	s->due[tm] = UTCP_NEVER;
}

/* RFC 6675's pipe, in bytes. */
static inline uint32_t
utcp__inflight(const utcp_sock_t *s)
{
	return s->out_bytes - s->sacked_bytes - s->lost_bytes +
	       s->retrans_bytes;
}

/* ---- the stack -------------------------------------------------------------------------------------------- */

struct utcp_s {
	utcp_config_t cfg;
	uint64_t now_ns;
	uint64_t key_hash[2], key_iss[2], key_cookie[2][2], key_fastopen[2];
	uint64_t key_port[2];
	uint32_t num_frag_ids; /* given out by utcp__frag_id */
	uint8_t rng[64];       /* state of utcp__random (mem.c) */
	uint32_t rng_left;
	uint32_t rng_buf[16];
	struct utcp__table table;
	struct utcp__ent *lately[256]; /* found lately (table.c) */
	struct utcp__heap heap;
	struct utcp__pool pools[UTCP__POOL_MAX];
	uint64_t mem_bytes, buffered_bytes;
	struct utcp__link *ports; /* utcp__port by port number: port_mask + 1 */
	uint32_t port_mask, num_ports;
	uint16_t port_next[32]; /* RFC 6056 section 3.3.4 */
	struct utcp__link socks, ready, outq, held, dead, roused;
	struct utcp__busy rest; /* of all that are idle */
	utcp_cc_t cc;		/* utcp__cc_view */
	struct utcp__link udps, udp_ready, udp_outq, udp_held;
	uint32_t num_socks, num_syns, num_timewaits;
	struct utcp__opts *dflt;     /* options of a new socket */
	struct utcp__opts *opts[32]; /* all sets, by their hash (sockopt.c) */
	struct utcp__cc_mod *ccs;
	utcp_addr_t addrs[16];
	unsigned int num_addrs;
	/* control packets */
	struct utcp__ctl_pkt *ctl_first, *ctl_last;
	uint32_t num_ctl;
	uint64_t answers_ns, challenges_ns; /* token buckets */
	uint32_t answers, challenges;
	/* the tuple whose hash tcp_open.c made last */
	struct utcp__key tuple;
	uint64_t tuple_hash;
	/* tcp_syn.c, tcp_timewait.c, ip_input.c, tcp_mtu.c have their own */
	struct utcp__link syns[8];
	struct utcp__timer syn_timer, tw_timer, reass_timer;
	struct utcp__link timewaits;
	struct utcp__reass *reass;
	struct utcp__hosts *hosts; /* per peer: Fast Open cookies, path MTU,
				      ssthresh: bounded (tcp_hosts.c) */
	uint64_t ctr[UTCP_CTR_MAX];
	uint32_t depth; /* inside a public call that must not free sockets */
	utcp_buf_t *done_first, *done_last; /* acknowledged, `done` to call;
					       the status is in seq_ */
};

static inline void
utcp__enter(utcp_t *u)
{
	u->depth++;
}

#define COUNT(u, NAME) ((u)->ctr[UTCP_CTR_##NAME]++)
#define COUNT_N(u, NAME, n) ((u)->ctr[UTCP_CTR_##NAME] += (n))

/* ---- sock.c: beginning, states, end --------------------------------------------------------------------------- */

/* A socket with these options (a reference is taken), CLOSED. NULL. */
utcp_sock_t *utcp__sock_new(utcp_t *u, int family, struct utcp__opts *opts);
/* Something begins: it has a block of its own. false: no memory. */
bool utcp__rouse(utcp_sock_t *s);
/* It needs none any more. */
void utcp__rest(utcp_sock_t *s);
/* Blocks that are not needed any more go back. */
void utcp__settle(utcp_t *u);
/* Changes the state; to CLOSED only by utcp__sock_dead. */
void utcp__set_state(utcp_sock_t *s, enum utcp_state state);
/*
 * The connection is over (error 0: in order; else a positive errno to tell).
 * Takes it out of the table, stops timers, calls `done` of its buffers, tells
 * the user (ERR, HUP). If it is an orphan it goes to u->dead and is freed at
 * the end of the public call (utcp__reap); else it stays until utcp_close.
 */
void utcp__sock_dead(utcp_sock_t *s, int error);
/*
 * Ends it with a reset, where RFC 9293 section 3.10.5 asks for one (put into the
 * queue of control packets at once), and utcp__sock_dead(s, error).
 */
void utcp__sock_abort(utcp_sock_t *s, int error);
/* Public calls that may end sockets or buffers begin and end with these; at the
   end of the outermost `done` hooks run and u->dead is freed. */
static inline void utcp__enter(utcp_t *u);
void utcp__leave(utcp_t *u);
/* utcp_destroy: it ends silently, whoever holds it. */
void utcp__sock_destroy(utcp_sock_t *s);
/* utcp.c: known ones, in a combination that makes sense. */
bool utcp__offloads_ok(uint32_t offloads);
/* Frees those in u->dead; called last by public calls, when depth is 0. */
void utcp__reap(utcp_t *u);
/* The user will write no more: fin_wanted, and the state that follows. */
void utcp__sock_fin(utcp_sock_t *s);
/* What a connection begins with; its key is set. */
void utcp__conn_init(utcp_sock_t *s);
/* It is bound, or listening, no more (a reference to the port stays). */
void utcp__sock_unname(utcp_sock_t *s);
/* Its readiness may have changed: has utcp_events tell it. */
void utcp__wake(utcp_sock_t *s);
/* It has, or may have, something to send. */
void utcp__want_output(utcp_sock_t *s);
static inline void
utcp__ack_soon(utcp_sock_t *s)
{
	s->ack_now = true;
	utcp__want_output(s);
}
/* A connection accepted from a listener: hashed in place of `syn` (or new,
   NULL), SYN_RECEIVED, sequence numbers and options from seg and syn, not yet
   in the accept queue. NULL: out of memory. (tcp_syn.c uses it) */
utcp_sock_t *utcp__sock_accepted(utcp_sock_t *listener,
				 const struct utcp__key *k);
/* It is ESTABLISHED (or a Fast Open one): into the accept queue. */
void utcp__sock_queue(utcp_sock_t *listener, utcp_sock_t *s);
void utcp__opts_put(utcp_t *u, struct utcp__opts *o);
/* s's options, not shared with another (sockopt.c). NULL: out of memory. */
struct utcp__opts *utcp__opts_own(utcp_sock_t *s);
static inline struct utcp__opts *
utcp__opts_get(struct utcp__opts *o)
{
	o->refs++;
	return o;
}

/* sockopt.c: 0, -ENOPROTOOPT, -EINVAL (out of range). */
int utcp__opt_check(int opt, int64_t value);
/* Defaults into u->dflt. */
int utcp__opts_init(utcp_t *u);

/* ---- sockbuf.c: what the user wrote, what he may read ------------------------------------------------------------ */

/* Appends len bytes of the stream, from stream offset ofs on, to the packet. */
void utcp__snd_copy(utcp_sock_t *s, uint64_t ofs, uint32_t len,
		    struct utcp__out *o);
/* snd_una's offset went forward by n data bytes: calls `done` of buffers that
   are acknowledged whole; una_ofs is updated. May make the socket writable. */
void utcp__snd_acked(utcp_sock_t *s, uint32_t n);
/* `done` of all, with this status (0 or negative errno). */
void utcp__snd_drop(utcp_sock_t *s, int status);
/* Data bytes written and not yet sent (the FIN does not count). */
uint32_t utcp__snd_unsent(const utcp_sock_t *s);
/* Grows the send buffer with cwnd. */
void utcp__snd_tune(utcp_sock_t *s);
/* In-order data of seg, from its parts, into the receive queue; the first part
   by reference if seg->in->borrowed. Advances rcv_nxt. -ENOMEM: not taken. */
int utcp__rcv_append(utcp_sock_t *s, struct utcp__seg_in *seg);
/* Moves a block of the reassembly queue, in order now, behind the queue. */
void utcp__rcv_append_blk(utcp_sock_t *s, struct utcp__rblk *b);
void utcp__rblk_free(utcp_t *u, struct utcp__rblk *b);
/* Bytes of memory that b takes, all told. */
static inline uint32_t
utcp__rblk_cost(const struct utcp__rblk *b)
{
	return (uint32_t)sizeof(*b) + (b->room ? b->room + 16 : 0);
}
/* A block that owns a copy of seg's data. NULL. */
struct utcp__rblk *utcp__rblk_copy(utcp_t *u, const struct utcp__seg_in *seg);
void utcp__rcv_drop(utcp_sock_t *s);   /* queue and reassembly, unread */
void utcp__rcv_forget(utcp_sock_t *s); /* the user reads no more */
void utcp__bufs_init(utcp_sock_t *s);  /* sizes of both buffers */
/* Negative; it is told once. */
int utcp__take_error(utcp_sock_t *s);
/* Copies what is borrowed (utcp_retain); the connection may be dead then. */
void utcp__rcv_retain(utcp_sock_t *s);
/* Free bytes to offer as the window, before silly window avoidance. */
uint32_t utcp__rcv_space(const utcp_sock_t *s);
/* Grows the receive buffer (dynamic right-sizing), after data was read. */
void utcp__rcv_tune(utcp_sock_t *s);

/* ---- tcp_input.c -------------------------------------------------------------------------------------------------- */

void utcp__tcp_input(utcp_t *u, struct utcp__in *in);
/* RFC 9293 section 3.10.7.2 on, for a socket: seg is parsed and verified. The
   socket may be dead after it. */
void utcp__tcp_segment(utcp_sock_t *s, struct utcp__seg_in *seg);
/* tcp_open.c: 3.10.7.3. */
void utcp__syn_sent_input(utcp_sock_t *s, struct utcp__seg_in *seg);
/* tcp_data.c: data and FIN of seg, which may begin before or behind rcv_nxt and
   reach out of the window (RFC 9293 section 3.10.7.4, seventh and eighth). The
   acknowledgement is scheduled. The socket may be dead after it. */
void utcp__tcp_data(utcp_sock_t *s, struct utcp__seg_in *seg);
/* The same for in-order data that fits into the window, nothing missing. */
void utcp__tcp_data_fast(utcp_sock_t *s, struct utcp__seg_in *seg);
/* Acknowledge at once. */
static inline void utcp__ack_soon(utcp_sock_t *s);
/* Whether odd segments of one connection were answered too often of late; else
   one more is. *whole_ns: when the budget, ten in 5 s (RFC 5961 section 7), is
   whole again; 0 at first. */
bool utcp__odd_often(utcp_t *u, uint64_t *whole_ns);
/* An ACK that answers something odd: of data always, else at most ten in 5 s of
   a connection, against ACK loops. */
void utcp__ack_odd(utcp_sock_t *s, const struct utcp__seg_in *seg);
/* A reset for a segment that is nobody's (section 3.10.7.1), rate limited. */
void utcp__tcp_refuse(utcp_t *u, const struct utcp__seg_in *seg);
/* RFC 5961: an ACK of what we have, rate limited. */
void utcp__challenge(utcp_sock_t *s);
/* Takes the options of a SYN or SYN-ACK: mss, scaling, SACK, timestamps, ECN.
   `offered` is what we said or will say (TO_*). */
void utcp__negotiate(utcp_sock_t *s, const struct utcp__seg_in *seg,
		     uint16_t offered);
/* The connection opens: ESTABLISHED, buffers, cc, events. */
void utcp__established(utcp_sock_t *s);
/* ISN of RFC 6528, and the offset of the timestamp clock (RFC 7323 5.4). */
uint32_t utcp__iss(utcp_t *u, const struct utcp__key *k);
uint32_t utcp__ts_offset(utcp_t *u, const struct utcp__key *k);
/* The timestamp clock in milliseconds. */
static inline uint32_t
utcp__ts_now(const utcp_t *u, uint32_t ofs)
{
	return (uint32_t)(u->now_ns / MSEC) + ofs;
}

/* tcp_reass.c: data out of order in, sacks updated; returns true if rcv_nxt has
   moved because blocks became in order. */
void utcp__reass_insert(utcp_sock_t *s, struct utcp__seg_in *seg);
bool utcp__reass_deliver(utcp_sock_t *s);
/* Frees all that is out of order, and forgets the SACK blocks. */
void utcp__reass_drop(utcp_sock_t *s);
/* [start, end) came again: reported as DSACK (RFC 2883). */
void utcp__dsack(utcp_sock_t *s, uint32_t start, uint32_t end);
/* Blocks for the next ACK, DSACK first; returns how many, at most max. */
unsigned int utcp__sack_report(utcp_sock_t *s, struct utcp__sackblk *to,
			       unsigned int max);

/* tcp_syn.c */
void utcp__listen_input(utcp_sock_t *listener, struct utcp__seg_in *seg);
void utcp__syn_input(struct utcp__syn *syn, struct utcp__seg_in *seg);
void utcp__syn_timer(utcp_t *u);
void utcp__syn_drop(struct utcp__syn *syn);
void utcp__listen_end(utcp_sock_t *listener); /* its half open ones */
/* A SYN-ACK of these options, from listener l, with this window. */
struct utcp__synack {
	const struct utcp__key *key;
	uint32_t iss, irs;
	uint16_t wnd;
	bool ecn;
	struct utcp__opt_out opts;
};
void utcp__synack_send(utcp_sock_t *l, const struct utcp__synack *a);
/* A socket in SYN_RECEIVED, of the peer's SYN seg (or what is known of it), to
   which we said, or will say, iss and this window and scale, and offered
   TO_*. NULL. */
struct utcp__said {
	uint32_t iss, ts_ofs;
	uint16_t wnd, offered;
	uint8_t wscale;
};
utcp_sock_t *utcp__syn_child(utcp_sock_t *l, const struct utcp__seg_in *seg,
			     const struct utcp__said *said);
/* What we say now, but for iss and the timestamps' offset. */
void utcp__syn_say(const utcp_sock_t *l, struct utcp__said *said);
/* Its SYN is acknowledged by seg: ESTABLISHED, into the accept queue. */
void utcp__syn_open(utcp_sock_t *l, utcp_sock_t *s,
		    const struct utcp__seg_in *seg);
/* tcp_cookie.c: a SYN-ACK with a cookie, for which nothing is kept. */
void utcp__cookie_send(utcp_sock_t *l, const struct utcp__seg_in *seg,
		       bool ecn);
/* Whether cookies of l may still come back; whether seg's ACK is one; makes a
   connection of it. */
bool utcp__cookie_lately(const utcp_sock_t *l);
bool utcp__cookie_good(utcp_sock_t *l, const struct utcp__seg_in *seg);
void utcp__cookie_take(utcp_sock_t *l, struct utcp__seg_in *seg);
/* A SYN that may take a TIME-WAIT's place, whose successor begins at iss. */
void utcp__listen_reopen(utcp_sock_t *listener, struct utcp__seg_in *seg,
			 uint32_t iss);

/* tcp_timewait.c: s goes to TIME-WAIT: becomes a utcp__tw and is dead (told
   without error). */
void utcp__timewait_enter(utcp_sock_t *s);
void utcp__timewait_input(struct utcp__tw *tw, struct utcp__seg_in *seg);
void utcp__timewait_timer(utcp_t *u);
void utcp__timewait_drop(utcp_t *u, struct utcp__tw *tw);
/* Whether connect() may take this tuple over: RFC 6191. Then it is gone, and
   *iss is to be used. */
bool utcp__timewait_reuse(utcp_t *u, struct utcp__tw *tw, uint32_t *iss);

/* tcp_fastopen.c */
void utcp__fastopen_cookie(utcp_t *u, const struct utcp__key *k,
			   uint8_t cookie[8]);
/* A SYN with TO_FASTOPEN (or data, without cookies) for a listener: true if a
   connection was made of it, with its data in the receive queue. */
bool utcp__fastopen_accept(utcp_sock_t *listener, struct utcp__seg_in *seg,
			   uint32_t iss);
/* A Fast Open connection leaves SYN_RECEIVED (established, or sock_dead): the
   listener may take another. Harmless for any other socket. */
void utcp__fastopen_done(utcp_sock_t *s);
/* Client, before the SYN: s->cookie from what is known of the peer: [0] is the
   length (0: ask for one) | 0x80 if by the experimental option; NULL: leave the
   option out. True: data may go with the SYN. */
bool utcp__fastopen_prepare(utcp_sock_t *s);
/* s->cookie freed: no option from now on. */
void utcp__fastopen_forget(utcp_sock_t *s);
/* The SYN-ACK came: cookie learnt, s->cookie freed. */
void utcp__fastopen_synack(utcp_sock_t *s, const struct utcp__seg_in *seg);
/* Client: the RTO went off for a SYN with the option: send it without from now
   on (RFC 7413 section 4.1.3.1: and stay away from it for a while). */
void utcp__fastopen_timeout(utcp_sock_t *s);
/* What is known of the peer (tcp_hosts.c); bounded, least recently used. */
struct utcp__host {
	uint8_t cookie[16];
	uint8_t cookie_len;
	bool cookie_exp;
	uint16_t mss;
	uint16_t pmtu; /* 0: unknown */
	uint16_t pad;
	uint64_t pmtu_ns;	  /* when it was learnt */
	uint64_t fastopen_bad_ns; /* not before; 0 */
};
/* NULL: not known (and add false), or no memory. */
struct utcp__host *utcp__host(utcp_t *u, const uint8_t *raddr, uint8_t family,
			      bool add);
void utcp__hosts_deinit(utcp_t *u);

/* ---- tcp_output.c ---------------------------------------------------------------------------------------------------- */

/*
 * Sends what the socket may send now. Returns true if it wants to go on when
 * there is more room (or a turn for the others was due); false: nothing more
 * now, timers are set.
 */
bool utcp__tcp_output(utcp_sock_t *s, struct utcp__out *o);
/* Our window as it would be offered now, bytes, silly window avoided. */
uint32_t utcp__rcv_window(utcp_sock_t *s);
/* The application has read: an update is worth a segment (RFC 9293 3.8.6.2.2). */
void utcp__window_update(utcp_sock_t *s);
/* mss from pmtu, peer_mss, MAXSEG; tells the congestion control. */
void utcp__set_mss(utcp_sock_t *s);
/* The window scale to offer, by RCVBUF_MAX or RCVBUF; -1: none. */
int utcp__wscale_offer(const struct utcp__opts *opts);
/* The MSS option's value, by the interface's MTU and MAXSEG. */
uint16_t utcp__mss_offer(const utcp_t *u, const struct utcp__opts *opts,
			 uint8_t family);
/* Stream offset of seq, which is snd_una or later. */
static inline uint64_t
utcp__ofs_of(const utcp_sock_t *s, uint32_t seq)
{
	/* The SYN counts one, as long as it is not acknowledged. */
	return s->una_ofs + (seq - s->snd_una) -
	       (s->una_ofs == 0 && s->snd_una == s->iss && seq != s->iss);
}

/* tcp_segment.c: one segment, into the caller's buffers. */
struct utcp__seg_out {
	uint32_t seq, len; /* data bytes */
	uint16_t flags;	   /* TH_* */
	uint16_t gso_size; /* 0: one segment */
	bool ect;	   /* ECN-capable: new data only (RFC 3168 6.1.5) */
	bool fresh;	   /* sent for the first time: utcp__seg_sent */
	uint16_t mark;	   /* with these SEG_* */
};
/* Bytes of options on the next segment, SACK blocks included. */
uint32_t utcp__opts_now(const utcp_sock_t *s);
/* Writes one. -ENOBUFS (no room), -ENOMEM: nothing has happened. */
int utcp__segment(utcp_sock_t *s, struct utcp__out *o,
		  const struct utcp__seg_out *seg);
/* SYN or SYN-ACK, first or again; likewise. */
int utcp__segment_syn(utcp_sock_t *s, struct utcp__out *o);

/* tcp_pace.c */
/* Whether the next packet has to wait for its time (PACE is set then). */
bool utcp__pace_blocked(utcp_sock_t *s);
void utcp__pace_sent(utcp_sock_t *s, uint32_t bytes);
/* What held the connection's data up, for utcp_info. */
enum utcp__limit { LIMIT_NONE, LIMIT_NET, LIMIT_RWND, LIMIT_SNDBUF };
void utcp__limit_change(utcp_sock_t *s, enum utcp__limit limit);
/* From now on it is this; NONE when all is acknowledged. */
static inline void
utcp__limit_is(utcp_sock_t *s, enum utcp__limit limit)
{
	if (s->busy->limit != limit)
		utcp__limit_change(s, limit);
}
/* Nanoseconds until now: with data to send or in flight, of those by the peer's
   window, by the send buffer. */
void utcp__limit_times(const utcp_sock_t *s, uint64_t ns[3]);
/* Bytes for one packet, a multiple of mss (GSO), at least one. */
uint32_t utcp__burst_bytes(utcp_sock_t *s, const struct utcp__out *o,
			   uint32_t mss);

/* Bytes of options on every segment. */
static inline uint32_t
utcp__opt_bytes(const utcp_sock_t *s)
{
	return s->negotiated & UTCP_GOT_TIMESTAMPS ? 12 : 0;
}

/* tcp_timer.c */
void utcp__rto_restart(utcp_sock_t *s); /* data in flight: from now on */
void utcp__keep_restart(utcp_sock_t *s);
/* Nothing is in flight and the window is shut: probes; no longer. */
void utcp__persist_start(utcp_sock_t *s);
void utcp__persist_stop(utcp_sock_t *s);

/* tcp_mtu.c */
/* MTU of the path to this peer as far as it is known: the interface's, or what
   was learnt in the last ten minutes. For s->pmtu at the beginning. */
uint32_t utcp__path_mtu(utcp_t *u, const uint8_t *raddr, uint8_t family);
/* Someone says so: what to believe, kept for the peer; 0: nothing. */
uint32_t utcp__path_mtu_told(utcp_t *u, const uint8_t *raddr, uint8_t family,
			     uint32_t mtu);
/* Whether its segments carry IPv4's don't-fragment: not below the least path
   MTU that we believe in, so that narrower paths work still. */
bool utcp__df(const utcp_sock_t *s);
void utcp__mtu_told(utcp_sock_t *s, uint32_t mtu, uint32_t seq); /* by ICMP */
void utcp__mtu_changed(utcp_sock_t *s); /* the interface's */
/* Data bytes of a probe to send now, as one segment, instead of an mss of data;
   0: none; UTCP__PROBE_WAITS: send no new data until more is acknowledged, then
   ask again (something is in flight). It looks at all conditions itself. Who
   sends it sets s->pmtu_probing and s->probe_seq (its first sequence number)
   and marks the segment SEG_PROBE. */
#define UTCP__PROBE_WAITS UINT32_MAX
uint32_t utcp__mtu_probe(utcp_sock_t *s);
void utcp__mtu_probe_acked(utcp_sock_t *s);
void utcp__mtu_probe_lost(utcp_sock_t *s);
void utcp__mtu_black_hole(utcp_sock_t *s); /* full segments time out */
/* icmp.c: an error about a packet of this connection; soft or hard. */
void utcp__tcp_error(utcp_sock_t *s, int err, bool hard);

/* ---- what was sent and its fate: tcp_ack.c tcp_sack.c tcp_rack.c tcp_recovery.c tcp_rate.c ------------------------------ */

/* [seq, seq+len) was sent for the first time (SYN, FIN in flags). -ENOMEM: then
   do not send it. Sets sent_ns, rate state, RTO, TLP; advances snd_nxt. */
int utcp__seg_sent(utcp_sock_t *s, uint32_t seq, uint32_t len, uint16_t flags);
/* seg was sent again, whole (cut by utcp__seg_split before). */
void utcp__seg_resent(utcp_sock_t *s, struct utcp__seg *seg);
/* Cuts seg behind its first n bytes. -ENOMEM. */
int utcp__seg_split(utcp_sock_t *s, struct utcp__seg *seg, uint32_t n);
/* The next to retransmit: LOST, not RETRANS, not SACKED, lowest first; NULL. */
struct utcp__seg *utcp__next_lost(utcp_sock_t *s);
/* Frees all. */
void utcp__segs_drop(utcp_sock_t *s);
/* An acceptable ACK (snd_una <= ack <= snd_nxt checked): scoreboard, rtt, loss,
   recovery, congestion control, timers, `done`. wnd_changed: the segment
   updated the send window; has_data: it carries data, SYN or FIN. Returns true
   if our FIN or SYN was acknowledged by it. */
bool utcp__tcp_ack(utcp_sock_t *s, const struct utcp__seg_in *seg,
		   bool wnd_changed, bool has_data);
/* Bytes that may leave now as far as congestion (or PRR) is concerned. */
uint32_t utcp__cwnd_room(utcp_sock_t *s);
/* The RTO went off (data in flight): marks lost, enters REC_LOSS, backs off. */
void utcp__loss_timeout(utcp_sock_t *s);
/* TLP went off: what to send again, or NULL: new data if there is some. The
   sender calls utcp__tlp_sent after it. */
struct utcp__seg *utcp__tlp_pick(utcp_sock_t *s);
void utcp__tlp_sent(utcp_sock_t *s, bool retrans);
/* REO went off. */
void utcp__rack_timeout(utcp_sock_t *s);
/* Sets TLP if it applies (data in flight, open, SACK); or stops it. */
void utcp__tlp_schedule(utcp_sock_t *s);
/* Data is there to send, less than cwnd was used (rate: app limited). */
void utcp__rate_app_limited(utcp_sock_t *s);
/* First data after idleness: RFC 5681 section 4.1. */
void utcp__idle_restart(utcp_sock_t *s);
/* An ICMP said too big: what is in flight and larger is lost, without blame. */
void utcp__mtu_resend(utcp_sock_t *s);
/* A round trip of rtt_ns: srtt, rttvar, rto. */
void utcp__rtt_sample(utcp_sock_t *s, uint64_t rtt_ns);

/* ---- udp.c ---------------------------------------------------------------------------------------------------------------- */

/* Sends what is queued on all of u->udp_outq, in turns; returns true if there is
   more than room. */
bool utcp__udp_flush(utcp_t *u, struct utcp__out *o);
void utcp__udp_retain(utcp_t *u);
void utcp__udp_destroy_all(utcp_t *u);
int utcp__udp_events(utcp_t *u, utcp_event_t *ev, unsigned int n);

#endif /* UTCP_INTERNAL_H */
