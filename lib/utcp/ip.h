/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ip.h: a packet that came (ip_input.c, ip_reass.c, icmp.c), a packet that
 * leaves (ip_output.c, ctl.c), and their checksums (in_cksum.c).
 */
#ifndef UTCP_IP_H
#define UTCP_IP_H

#include <multistack/utcp.h>

#include "table.h"

#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_FRAGMENT 44
#define PROTO_ICMP6 58

/* ---- it came ----------------------------------------------------------- */

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

/* ---- checksums (in_cksum.c) -------------------------------------------- */

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

/* ---- it leaves --------------------------------------------------------- */

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
	/* a fragment, set by the caller before utcp__out_begin: only udp_output.c */
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
#define UTCP__CTL_BYTES 1240 /* a packet of 1280, IPv6's least MTU */
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

#endif /* UTCP_IP_H */
