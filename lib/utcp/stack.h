/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack.h: the stack, and what passes between its rooms.
 *
 *	packets in   ip_input -> tcp_input -> tcp_ack (what was sent)
 *	                      |            -> tcp_data, rcvbuf (what came)
 *	                      |-> tcp_syn, tcp_timewait (no socket yet, any more)
 *	                      |-> udp, icmp
 *	time         timer -> tcp_timer -> the rooms below
 *	packets out  utcp_output -> tcp_output -> ip_output (caller's buffers)
 *	calls        sock, sock_name, sndbuf, rcvbuf, sockopt
 *	extensions   ext, asked by tcp_* where s->ext is not NULL
 *
 * Rules. The stack's time is u->now_ns and nobody's else. All memory comes from
 * utcp__alloc or a pool, and is accounted. Nothing is sent but from
 * utcp_output(): who wants to send marks the socket (utcp__want_output) or
 * queues a control packet (utcp__ctl). A socket is freed only by sock.c, at the
 * end of a public call, so never while a frame on the call stack uses it: who
 * ends a connection calls utcp__sock_dead().
 */
#ifndef UTCP_STACK_H
#define UTCP_STACK_H

#include "mem.h"
#include "tcp_var.h"

struct utcp_s {
	utcp_config_t cfg;
	uint64_t now_ns;
	uint64_t key_hash[2], key_iss[2], key_cookie[2][2], key_fastopen[2];
	uint64_t key_port[2];
	uint32_t num_frag_ids; /* given out by utcp__frag_id */
	/* utcp__random (mem.c): ChaCha20's state and block, what is left */
	uint32_t rng[16], rng_buf[16], rng_left;
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
	struct utcp__ext_mod *ext_mods;
	struct utcp__link ext_work;	    /* utcp__exts (ext.h) */
	const utcp_sock_t *cc_in;	    /* whose hook runs */
	const struct utcp__cc_mod *cc_next; /* it asked for */
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
	/* tcp_syn.c, tcp_timewait.c, ip_reass.c, tcp_hostcache.c have their own */
	struct utcp__link syns[8];
	struct utcp__timer syn_timer, tw_timer, reass_timer;
	struct utcp__link timewaits;
	struct utcp__reass *reass;
	struct utcp__hosts *hosts;
	uint64_t ctr[UTCP_CTR_MAX];
	uint32_t depth; /* inside a public call that must not free sockets */
	utcp_buf_t *done_first, *done_last; /* acknowledged, `done` to call;
					       the status is in seq_ */
};

#define COUNT(u, NAME) ((u)->ctr[UTCP_CTR_##NAME]++)
#define COUNT_N(u, NAME, n) ((u)->ctr[UTCP_CTR_##NAME] += (n))

/* The address from which to speak to peer, for who is not bound to one: to a
   loopback address from a loopback address, else the first of this family
   (utcp_address). -EADDRNOTAVAIL. */
int utcp__source(const utcp_t *u, uint8_t family, const uint8_t *peer,
		 uint8_t *addr);

/* The timestamp clock in milliseconds. */
static inline uint32_t
utcp__ts_now(const utcp_t *u, uint32_t ofs)
{
	return (uint32_t)(u->now_ns / MSEC) + ofs;
}

#endif /* UTCP_STACK_H */
