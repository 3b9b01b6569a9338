/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp.h: a segment as it is written: header and options (tcp_options.c).
 */
#ifndef UTCP_TCP_H
#define UTCP_TCP_H

#include <multistack/utcp.h>

#include "ip.h"

/* Headers of IP and TCP, without options. */
static inline uint32_t
utcp__header_bytes(uint8_t family)
{
	return family == 4 ? 40 : 60;
}

/* Of who does not say (RFC 9293 section 3.7.1). */
static inline uint16_t
utcp__default_mss(uint8_t family)
{
	return family == 4 ? 536 : 1220;
}

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

/* A segment of no socket: into the queue of control packets. 0, -ENOBUFS. */
struct utcp__bare {
	uint32_t seq, ack;
	uint16_t wnd;
	uint16_t flags; /* TH_* */
	uint8_t tos, ttl;
	struct utcp__opt_out opts;
	const uint8_t *more; /* options behind those, padded */
	uint32_t more_bytes;
};
int utcp__ctl_tcp(utcp_t *u, const struct utcp__key *k,
		  const struct utcp__bare *b);

/* What a SYN or SYN-ACK with these options offers, besides ECN: TO_*. */
struct utcp__opts;
uint16_t utcp__offer(const struct utcp__opts *o);
/* The window of a SYN or SYN-ACK, never scaled (RFC 7323 section 2.2). */
uint16_t utcp__offer_window(const struct utcp__opts *o);

#endif /* UTCP_TCP_H */
