/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * accecn.h: accurate ECN feedback (AccECN, RFC 9768): what its fields mean, as
 * functions of their arguments alone. ext_accecn.c has a connection use them.
 *
 * Each end counts what came to it with which mark (r_*, the receiver's part)
 * and what the other end says came to it (s_*, the sender's part).
 */
#ifndef UTCP_ACCECN_H
#define UTCP_ACCECN_H

#include "tcp.h"

/* ECN field of IP. */
enum { IP_NOT_ECT, IP_ECT1, IP_ECT0, IP_CE };

/* How the ends tell each other of marks. */
enum utcp__ecn { ECN_OFF, ECN_CLASSIC, ECN_ACCURATE };

#define TH_ACE (TH_AE | TH_CWR | TH_ECE)
#define ACE_SHIFT 6

#define OPT_ACCECN0 172 /* EE0B, ECEB, EE1B */
#define OPT_ACCECN1 174 /* EE1B, ECEB, EE0B */

/* ---- the handshake (section 3.1) --------------------------------------- */

/* Flags of our SYN: of the first and, as section 3.1.4.1 wants it, the second;
   none afterwards. */
static inline uint16_t
utcp__accecn_syn(unsigned int attempt)
{
	return attempt < 2 ? TH_ACE : 0;
}

/* What a SYN with these flags asks of a server that speaks AccECN: table 2,
   second half, and section 3.1.3. */
enum utcp__ecn utcp__accecn_asked(uint16_t flags);

/* What a SYN-ACK with these flags answers to a SYN that asked for AccECN: table
   2. *ip: the ECN field that our SYN, which left with `sent`, came with. */
enum utcp__ecn utcp__accecn_answer(uint16_t flags, uint8_t sent, uint8_t *ip);

/* Flags that say with which ECN field a SYN, or a SYN-ACK, came: tables 2 and 3.
   On the SYN-ACK, and on the pure ACK of the SYN-ACK. */
uint16_t utcp__accecn_echo(uint8_t ip);

/* ---- a connection ------------------------------------------------------ */

/* What is known of the peer's options (section 3.2.3.2). */
enum utcp__accecn_opts {
	ACCECN_UNSEEN, /* no segment that should have one has come yet */
	ACCECN_ABSENT, /* it had none, so far */
	ACCECN_GOOD,
	ACCECN_ZEROED, /* it was 0 at first: not to be believed */
};

struct utcp__accecn {
	/* what came to us */
	uint32_t r_cep;			       /* packets with CE */
	uint32_t r_ceb, r_e0b, r_e1b;	       /* bytes of data by mark */
	uint32_t told_ceb, told_e0b, told_e1b; /* as the last option said */
	uint8_t ce_untold; /* CE packets since the last segment that left */
	bool last_ce;	   /* the packet before was one */
	/* what came to the peer, as it says */
	uint32_t s_cep, s_ceb;
	uint32_t guessed;  /* CE bytes without an option, of s_ceb to come */
	uint32_t run_pkts; /* acknowledged, as long as all were CE */
	uint64_t run_end;  /* stream position where its round ends */
	uint8_t run_rounds;
	uint8_t opts;	/* enum utcp__accecn_opts */
	bool acked;	/* feedback has come */
	bool no_ect;	/* our packets leave without ECT from now on */
	bool deaf;	/* the peer's feedback means nothing */
	bool echo_owed; /* the next pure ACK tells of the SYN-ACK */
	bool opt_owed;	/* the next segment tests the option */
	bool data_owed; /* and so does the first one with data */
	uint8_t echo;	/* ECN field of the SYN-ACK */
};

/* Both counters' initial values (section 3.2.1). */
void utcp__accecn_init(struct utcp__accecn *a);

/* ---- receiver (sections 3.2.2.5.1, 3.2.3.3) ---------------------------- */

/* An acceptable packet came (or pkts of them in one): len bytes of data, with
   this ECN field; waiting: data is not yet acknowledged. True: an ACK is due at
   once. */
bool utcp__accecn_came(struct utcp__accecn *a, uint8_t ip, uint32_t len,
		       uint32_t pkts, bool waiting);

/* Flags of a segment without SYN; pure: it has neither data nor SACK blocks. It
   leaves. */
uint16_t utcp__accecn_flags(struct utcp__accecn *a, bool pure);

/* Fields of the option on the next segment, as room bytes of options take them,
   padding included: 2 (8 bytes) or 3 (12); 0: it needs none, or what it needs
   does not fit. data: the segment has some. */
unsigned int utcp__accecn_fields(const struct utcp__accecn *a, uint32_t room,
				 bool data);
/* Bytes that those need, all told. */
static inline uint32_t
utcp__accecn_bytes(unsigned int fields)
{
	return (2 + 3 * fields + 3) & ~3u;
}
/* Whether it is AccECN1's order that says it shorter. */
bool utcp__accecn_order1(const struct utcp__accecn *a);
/* Writes the fields, 3 bytes each; remembers what was told. */
void utcp__accecn_write(struct utcp__accecn *a, uint8_t *to,
			unsigned int fields);

/* ---- sender (sections 3.2.2, 3.2.3) ------------------------------------ */

/* The first segment of a client's that acknowledges our SYN-ACK, in SYN-RECEIVED
   (section 3.2.2.1, table 4); pure: without data and SACK. sent: with what the
   SYN-ACK left. Returns whether it came with CE. */
bool utcp__accecn_third(struct utcp__accecn *a, uint16_t flags, bool pure,
			uint8_t sent);

/* An option; n: bytes behind kind and length, of either kind. */
struct utcp__accecn_opt {
	bool have, have_ceb, zeroed;
	uint32_t ceb;
};
void utcp__accecn_parse(struct utcp__accecn_opt *o, const uint8_t *fields,
			uint32_t n);
/* That a SYN-ACK, or the first acknowledgement of one, came with this (sections
   3.2.3.2.3, 3.2.3.2.4). */
void utcp__accecn_judge(struct utcp__accecn *a,
			const struct utcp__accecn_opt *o);

/* An acknowledgement that no newer one has overtaken. */
struct utcp__accecn_ack {
	uint16_t flags;
	uint32_t delivered; /* bytes that it newly acknowledged, or SACKed */
	uint32_t mss;
	uint64_t position; /* stream position of what is acknowledged... */
	uint64_t end;	   /* ...and of what was sent */
	struct utcp__accecn_opt opt;
};
/* Packets of ours that came with CE since the last one, and, of data, bytes. */
struct utcp__accecn_ce {
	uint32_t pkts, bytes;
};
struct utcp__accecn_ce utcp__accecn_feedback(struct utcp__accecn *a,
					     const struct utcp__accecn_ack *k);

#endif /* UTCP_ACCECN_H */
