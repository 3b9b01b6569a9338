/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_util.h: one stack under a virtual clock, its peer a script.
 *
 * Segments are written as tcpdump and packetdrill write them, relative to both
 * sides' initial sequence numbers:
 *
 *	struct tt t;
 *
 *	tt_init(&t, 4);
 *	tt_passive(&t, TT_OPTS);		handshake, t.s is accepted
 *	tt_in(&t, "P. 1:101(100) ack 1");	arrives now
 *	tt_expect_in(&t, 40 * MSEC, ". 1:1(0) ack 101");
 *	tt_read(&t, 100);			the pattern is compared
 *	tt_write(&t, 2000);
 *	tt_expect(&t, ". 1:1449(1448) ack 101");
 *	tt_quiet(&t, 100 * MSEC);		nothing more in that time
 *	tt_end(&t);				all memory is back
 *
 * A segment: [ecn] FLAGS SEQ:END(LEN) ack N win N urg N <options>
 *	[noecn] [ect0] [ect1] [ce]	of the IP header
 *	FLAGS	S F R P . U E W A	(. is ACK, E is ECE, W is CWR, A is AE)
 *	SEQ:END(LEN), SEQ(LEN) or SEQ	(1 is the first byte of data)
 *	win	as it stands in the header, not scaled
 *	options	mss 1460, sackOK, wscale 7, nop, eol, TS val 1 ecr 2,
 *		sack 1:2 5:9, FO, FO 0011223344556677, FOEXP, raw 1e040102
 * Not said when injecting: ack is all that came, win is t->p->win, TS is added
 * if it was negotiated (noTS: not). Not said when expecting: not compared; but
 * options within <> are all there are (TS may be more). PSH is compared only
 * if asked for. Numbers may be * when expecting.
 * The stack's timestamps are relative to the first that was seen.
 *
 * A failure prints what was expected, what came, and the last segments.
 */
#ifndef TCP_UTIL_H
#define TCP_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stack.h"

#define TT_MSS "mss 1460"
#define TT_OPTS "mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7"
#define TT_SACK "mss 1460,sackOK,nop,wscale 7" /* all but timestamps */

#define TT_QUEUE 512 /* packets that left and were not yet expected */
#define TT_BYTES_MAX 65600

enum tt_mode { TT_NO, TT_ANY, TT_IS };

/* A segment, said or seen. Sequence numbers are relative. */
struct tt_seg {
	uint16_t flags; /* TH_* */
	int ecn;	/* of IP; -1: not said */
	int ttl, dscp;
	enum tt_mode has_seq, has_len, has_ack, has_win, has_urg;
	uint32_t seq, len, ack, win, urg;
	bool has_opts; /* <> stands there */
	enum tt_mode mss, wscale, sack_ok, ts, ts_ecr_is, fo;
	uint32_t mss_is, wscale_is, ts_val, ts_ecr;
	bool fo_exp, no_ts;
	unsigned int fo_len, num_sacks, raw_len;
	uint8_t fo_cookie[40], raw[40];
	struct utcp__sackblk sacks[4];
	/* seen only */
	uint64_t at_ns;
	uint16_t gso_size;
	const uint8_t *data; /* of len */
};

/* The other end of a connection. */
struct tt_peer {
	struct tt_peer *next;
	uint8_t addr[16];
	uint16_t port, stack_port; /* 0: any, taken from what comes */
	uint32_t isn;		   /* our initial sequence number */
	uint32_t iss;		   /* the stack's */
	bool iss_known, ts, ts_known;
	uint32_t ts_base;  /* the stack's first timestamp */
	uint32_t ts_last;  /* the last that came, relative */
	uint32_t ts_ofs;   /* ours: milliseconds + this */
	uint32_t seen_end; /* all that came up to here, relative */
	uint32_t win;	   /* offered if nothing is said */
	uint8_t ecn;	   /* of IP, if nothing is said */
};

struct tt {
	utcp_t *u;
	utcp_config_t cfg; /* as created */
	uint64_t now_ns, begin_ns;
	uint8_t family;
	utcp_sock_t *listener; /* on port 80 */
	utcp_sock_t *s;	       /* the connection */
	struct tt_peer *p;     /* whose segments tt_in injects */
	struct tt_peer peer0;  /* the first */
	bool batch;	       /* tt_in does not have the stack answer */
	bool keep;	       /* nor calls utcp_retain */
	bool no_pattern;       /* data sent is not the pattern */
	uint64_t slack_ns;     /* how exact times are: 0 */
	uint64_t wrote, read;  /* bytes of the pattern */
	/* what left */
	struct tt_pkt {
		struct tt_seg seg;
		uint8_t proto;
		uint32_t len;
		uint8_t *bytes; /* from the IP header on */
	} out[TT_QUEUE];
	unsigned int out_first, out_num;
	/* for the message of a failure */
	char log[40][220];
	unsigned int log_at;
	void *held[256]; /* packets, until utcp_retain */
	unsigned int num_held;
	int64_t mem; /* bytes that the stack has */
};

/* A stack of defaults: address 10.0.0.1 or fd00::1, MTU 1500, seed fixed, time
   1000 s. The peer is 10.0.0.2 or fd00::2. */
#define tt_init(t, family) tt__init(t, family, NULL, __FILE__, __LINE__)
/* The same of this config (alloc, seed and now are the harness'). */
#define tt_init_config(t, family, config)                                      \
	tt__init(t, family, config, __FILE__, __LINE__)
/* Closes what is in t->s and t->listener, destroys; memory must be back. */
#define tt_end(t) tt__end(t, __FILE__, __LINE__)

/* A listener on port 80 into t->listener, a socket into t->s: to set options
   before tt_passive or tt_active, which make them if they are not there. */
#define tt_listen(t) tt__listen(t, __FILE__, __LINE__)
#define tt_open(t) tt__open(t, __FILE__, __LINE__)
/* The peer opens with these options on its SYN; t->s is accepted. */
#define tt_passive(t, opts) tt__passive(t, opts, __FILE__, __LINE__)
/* t->s connects to port 80 of the peer, which answers with these options. */
#define tt_active(t, opts) tt__active(t, opts, __FILE__, __LINE__)
/* Another peer (n: 2 on) of this port to this port of the stack; t->p is it.
   Free with the rest. */
struct tt_peer *tt_peer(struct tt *t, unsigned int n, uint16_t port,
			uint16_t stack_port);

/* A segment arrives. Its data is the pattern, or `data` of LEN bytes. */
#define tt_in(t, ...) tt__in(t, NULL, __FILE__, __LINE__, __VA_ARGS__)
#define tt_in_data(t, data, ...)                                               \
	tt__in(t, data, __FILE__, __LINE__, __VA_ARGS__)
/* Any packet of IP. */
#define tt_in_raw(t, bytes, len) tt__in_raw(t, bytes, len, __FILE__, __LINE__)
/* An ICMP error about the stack's segment at this relative seq; mtu for
   "too big" (type 3 code 4, IPv6 type 2 code 0). */
#define tt_icmp(t, type, code, mtu, seq)                                       \
	tt__icmp(t, type, code, mtu, seq, __FILE__, __LINE__)
/* The bytes of such a segment, to change and inject: returns the length. */
uint32_t tt_build(struct tt *t, uint8_t *to, const char *text);
/* Sets the TCP checksum and the IP length and checksum right again. */
void tt_fix(struct tt *t, uint8_t *pkt, uint32_t len);

/* The next that leaves is this, now. */
#define tt_expect(t, ...) tt__expect(t, 0, 0, __FILE__, __LINE__, __VA_ARGS__)
/* The next that leaves is this and leaves ns from now; time goes there. */
#define tt_expect_in(t, ns, ...)                                               \
	tt__expect(t, 1, ns, __FILE__, __LINE__, __VA_ARGS__)
/* The next that leaves, within ns, is this; time goes to when it left. */
#define tt_expect_within(t, ns, ...)                                           \
	tt__expect(t, 2, ns, __FILE__, __LINE__, __VA_ARGS__)
/* The next that leaves, whatever: NULL: nothing now. Valid until many more. */
struct tt_seg *tt_next(struct tt *t);
/* The same, whole packets of any protocol. */
struct tt_pkt *tt_next_pkt(struct tt *t);
/* Nothing is to leave now; within ns (time goes there). */
#define tt_none(t) tt__quiet(t, 0, __FILE__, __LINE__)
#define tt_quiet(t, ns) tt__quiet(t, ns, __FILE__, __LINE__)
/* Time goes on by ns; what leaves is queued. */
void tt_run(struct tt *t, uint64_t ns);
/* Forgets what left and was not expected; returns how many. */
unsigned int tt_skip(struct tt *t);
/* Text of a segment as above; into one of several static buffers. */
const char *tt_text(const struct tt_seg *seg);

/* Writes the pattern to t->s, all of it taken. */
#define tt_write(t, len) tt__write(t, len, __FILE__, __LINE__)
/* Reads exactly that much of t->s, and it is the pattern. */
#define tt_read(t, len) tt__read(t, len, __FILE__, __LINE__)
/* utcp_read of t->s returns this (0: the end; negative: the error). */
#define tt_read_is(t, ret) tt__read_is(t, ret, __FILE__, __LINE__)
/* Byte i of a stream (0: the first of data). */
uint8_t tt_byte(uint64_t i);
/* enum utcp_state of t->s is this. */
#define tt_state(t, state) tt__state(t, state, __FILE__, __LINE__)
utcp_info_t tt_info(struct tt *t);
uint64_t tt_counter(struct tt *t, enum utcp_counter i);
/* utcp_poll has all of these bits and none of those. */
#define tt_ready(t, has, has_not) tt__ready(t, has, has_not, __FILE__, __LINE__)

void tt__init(struct tt *t, int family, const utcp_config_t *cfg,
	      const char *file, int line);
void tt__end(struct tt *t, const char *file, int line);
void tt__listen(struct tt *t, const char *file, int line);
void tt__open(struct tt *t, const char *file, int line);
void tt__passive(struct tt *t, const char *opts, const char *file, int line);
void tt__active(struct tt *t, const char *opts, const char *file, int line);
void tt__in(struct tt *t, const void *data, const char *file, int line,
	    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void tt__in_raw(struct tt *t, const void *bytes, uint32_t len, const char *file,
		int line);
void tt__icmp(struct tt *t, uint8_t type, uint8_t code, uint32_t mtu,
	      uint32_t seq, const char *file, int line);
void tt__expect(struct tt *t, int mode, uint64_t ns, const char *file, int line,
		const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void tt__quiet(struct tt *t, uint64_t ns, const char *file, int line);
void tt__write(struct tt *t, uint32_t len, const char *file, int line);
void tt__read(struct tt *t, uint32_t len, const char *file, int line);
void tt__read_is(struct tt *t, ssize_t ret, const char *file, int line);
void tt__state(struct tt *t, enum utcp_state state, const char *file, int line);
void tt__ready(struct tt *t, uint32_t has, uint32_t has_not, const char *file,
	       int line);

static inline void
tt_set(utcp_sock_t *s, int opt, int64_t value)
{
	assert_int_equal(utcp_set(s, opt, value), 0);
}

/* A listener, to be opened by hand. */
static inline void
tt_listen_bare(struct tt *t, int family)
{
	tt_init(t, family);
	tt_listen(t);
	t->p->stack_port = 80;
}

/* An open connection without tail probes. */
static inline void
tt_open_plain(struct tt *t, const char *opts)
{
	tt_init(t, 4);
	tt_passive(t, opts);
	tt_set(t->s, UTCP_OPT_RACK, 0);
}

/* One with a measured round trip, and NewReno. */
static inline void
tt_open_rtt(struct tt *t, const char *opts, uint64_t rtt_ns)
{
	const uint32_t mss = 1460;

	tt_init(t, 4);
	tt_listen(t);
	assert_int_equal(utcp_set_cc(t->listener, "newreno"), 0);
	tt_passive(t, opts);
	/* The script answered the handshake in no time. */
	t->s->srtt_ns = t->s->rttvar_ns = t->s->min_rtt_ns = 0;
	tt_set(t->s, UTCP_OPT_PMTUD, 0);
	tt_write(t, mss);
	tt_expect(t, ". 1:%u(%u)", mss + 1, mss);
	tt_run(t, rtt_ns);
	tt_in(t, ". 1:1(0) ack %u", mss + 1);
	tt_none(t);
	assert_int_equal(tt_info(t).rtt_ns, rtt_ns);
}

/* An open connection without quick ACKs left: a byte, and its answer. */
static inline void
tt_open_slow(struct tt *t, const char *opts)
{
	tt_init(t, 4);
	tt_passive(t, opts);
	tt_in(t, "P. 1:11(10) ack 1");
	tt_expect(t, ". 1:1(0) ack 11");
	tt_read(t, 10);
	tt_write(t, 10);
	tt_expect(t, "P. 1:11(10) ack 11");
	tt_in(t, ". 11:11(0) ack 11");
	tt_none(t);
}

#endif /* TCP_UTIL_H */
