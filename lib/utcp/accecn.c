/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * accecn.c: the encodings and counters of AccECN (RFC 9768).
 */
#include "accecn.h"

#define CEP_INIT 5
#define ACE_MASK 7u
#define FIELD_MASK 0xffffffu
#define CE_ACK_DATA 2 /* so many CE have an ACK sent, if data waits for one */
#define CE_ACK 3      /* or if none does: an ACK of ACKs */
/* All that was sent for so long came with CE: that is no congestion. */
#define RUN_ROUNDS 4
#define RUN_PKTS 40

/* ---- the handshake ----------------------------------------------------- */

enum utcp__ecn
utcp__accecn_asked(uint16_t flags)
{
	switch (flags & TH_ACE) {
	case 0:
		return ECN_OFF;
	case TH_CWR | TH_ECE:
		return ECN_CLASSIC;
	default: /* section 3.1.3: whatever else */
		return ECN_ACCURATE;
	}
}

enum utcp__ecn
utcp__accecn_answer(uint16_t flags, uint8_t sent, uint8_t *ip)
{
	*ip = sent;
	switch (flags & TH_ACE) {
	case TH_CWR:
		*ip = IP_NOT_ECT;
		return ECN_ACCURATE;
	case TH_CWR | TH_ECE:
		*ip = IP_ECT1;
		return ECN_ACCURATE;
	case TH_AE:
		*ip = IP_ECT0;
		return ECN_ACCURATE;
	case TH_AE | TH_CWR:
		*ip = IP_CE;
		return ECN_ACCURATE;
	case TH_AE | TH_ECE: /* reserved; section 3.1.3 */
		return ECN_ACCURATE;
	case TH_ECE:
		return ECN_CLASSIC;
	default: /* none, or our own flags sent back by a broken server */
		return ECN_OFF;
	}
}

uint16_t
utcp__accecn_echo(uint8_t ip)
{
	static const uint16_t flags[] = {
		[IP_NOT_ECT] = TH_CWR,
		[IP_ECT1] = TH_CWR | TH_ECE,
		[IP_ECT0] = TH_AE,
		[IP_CE] = TH_AE | TH_CWR,
	};

	return flags[ip & 3];
}

/* ---- a connection ------------------------------------------------------ */

void
utcp__accecn_init(struct utcp__accecn *a)
{
	*a = (struct utcp__accecn){
		.r_cep = CEP_INIT,
		.r_e0b = 1,
		.r_e1b = 1,
		.told_e0b = 1,
		.told_e1b = 1,
		.s_cep = CEP_INIT,
	};
}

/* ---- receiver ---------------------------------------------------------- */

bool
utcp__accecn_came(struct utcp__accecn *a, uint8_t ip, uint32_t len,
		  uint32_t pkts, bool waiting)
{
	bool now = false;
	uint32_t n;

	if (ip == IP_ECT0) {
		a->r_e0b += len;
	} else if (ip == IP_ECT1) {
		a->r_e1b += len;
	} else if (ip == IP_CE) {
		a->r_ceb += len;
		a->r_cep += pkts;
		n = a->ce_untold + pkts;
		a->ce_untold = (uint8_t)(n < UINT8_MAX ? n : UINT8_MAX);
		/* Change-triggered, increment-triggered. */
		now = (len > 0 && !a->last_ce) ||
		      n >= (len > 0 || waiting ? CE_ACK_DATA : CE_ACK);
	}
	a->last_ce = ip == IP_CE;
	return now;
}

uint16_t
utcp__accecn_flags(struct utcp__accecn *a, bool pure)
{
	a->ce_untold = 0;
	if (a->echo_owed && pure) {
		a->echo_owed = false;
		return utcp__accecn_echo(a->echo);
	}
	return (uint16_t)((a->r_cep & ACE_MASK) << ACE_SHIFT);
}

bool
utcp__accecn_order1(const struct utcp__accecn *a)
{
	return a->r_e1b != 1 && a->r_e0b == 1;
}

/* Fields of it that tell all that is to be told. */
static unsigned int
fields_due(const struct utcp__accecn *a, bool data)
{
	bool first = a->r_e0b != a->told_e0b, last = a->r_e1b != a->told_e1b;

	if (utcp__accecn_order1(a)) {
		first = last;
		last = false;
	}
	if (last)
		return 3;
	/* Padding has room for the second anyway. */
	return first || a->r_ceb != a->told_ceb || a->opt_owed ||
		       (data && a->data_owed)
		   ? 2
		   : 0;
}

unsigned int
utcp__accecn_fields(const struct utcp__accecn *a, uint32_t room, bool data)
{
	unsigned int fields = fields_due(a, data);

	/* All that ever changed, if it fits. */
	if (fields && a->r_e0b != 1 && a->r_e1b != 1 &&
	    room >= utcp__accecn_bytes(3))
		fields = 3;
	return fields && room >= utcp__accecn_bytes(fields) ? fields : 0;
}

static void
put24(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 16);
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)v;
}

void
utcp__accecn_write(struct utcp__accecn *a, uint8_t *to, unsigned int fields)
{
	bool order1 = utcp__accecn_order1(a);

	put24(to, order1 ? a->r_e1b : a->r_e0b);
	put24(to + 3, a->r_ceb);
	if (fields == 3)
		put24(to + 6, order1 ? a->r_e0b : a->r_e1b);
	a->told_ceb = a->r_ceb;
	if (!order1 || fields == 3)
		a->told_e0b = a->r_e0b;
	if (order1 || fields == 3)
		a->told_e1b = a->r_e1b;
	a->opt_owed = false;
}

/* ---- sender ------------------------------------------------------------ */

bool
utcp__accecn_third(struct utcp__accecn *a, uint16_t flags, bool pure,
		   uint8_t sent)
{
	uint16_t ace = flags & TH_ACE;

	if (!pure)
		return false;
	a->acked = true;
	if (ace == 0) {
		/* Note 1: it is in no mode of ECN, or something clears it. */
		a->no_ect = a->deaf = true;
		return false;
	}
	if (ace == utcp__accecn_echo(IP_CE)) {
		a->s_cep = CEP_INIT + 1;
		/* Section 3.2.2.3: from Not-ECT it cannot have become CE. */
		a->no_ect |= sent == IP_NOT_ECT;
		return true;
	}
	if (ace == utcp__accecn_echo(IP_ECT0) ||
	    ace == utcp__accecn_echo(IP_ECT1) ||
	    ace == utcp__accecn_echo(IP_NOT_ECT))
		a->no_ect |= ace != utcp__accecn_echo(sent);
	return false;
}

void
utcp__accecn_parse(struct utcp__accecn_opt *o, const uint8_t *fields,
		   uint32_t n)
{
	o->have = true;
	o->zeroed = n >= 3 && (fields[0] | fields[1] | fields[2]) == 0;
	if (n >= 9)
		o->zeroed |= (fields[6] | fields[7] | fields[8]) == 0;
	o->have_ceb = n >= 6;
	if (o->have_ceb)
		o->ceb = (uint32_t)fields[3] << 16 | (uint32_t)fields[4] << 8 |
			 fields[5];
}

void
utcp__accecn_judge(struct utcp__accecn *a, const struct utcp__accecn_opt *o)
{
	if (a->opts == ACCECN_UNSEEN) {
		a->opts = ACCECN_ABSENT;
		if (o->have)
			a->opts = o->zeroed ? ACCECN_ZEROED : ACCECN_GOOD;
	} else if (a->opts == ACCECN_ABSENT && o->have) {
		a->opts = ACCECN_GOOD;
	}
}

/* Section 3.2.2.5.2 and appendix A.2: packets with CE, if the field may have
   gone round. bytes: CE bytes, if an option told them. */
static uint32_t
count_ce(const struct utcp__accecn *a, const struct utcp__accecn_ack *k,
	 bool told, uint32_t bytes)
{
	uint32_t ace = (uint32_t)(k->flags & TH_ACE) >> ACE_SHIFT, n;
	uint32_t pkts = (k->delivered + k->mss - 1) / k->mss, safe;

	n = (ace - a->s_cep) & ACE_MASK;
	if (pkts <= ACE_MASK)
		return n;
	safe = pkts - ((pkts - n) & ACE_MASK);
	if (!told)
		return safe;
	while (n < safe && n * k->mss < bytes)
		n += ACE_MASK + 1;
	return n;
}

/* Section 3.2.2.3: CE for every packet of the first rounds is no congestion. */
static void
judge_run(struct utcp__accecn *a, const struct utcp__accecn_ack *k, uint32_t ce)
{
	uint32_t pkts = (k->delivered + k->mss - 1) / k->mss;

	if (a->run_rounds >= RUN_ROUNDS || pkts == 0)
		return;
	if (ce < pkts) {
		a->run_rounds = RUN_ROUNDS;
		return;
	}
	a->run_pkts += pkts;
	if (k->position < a->run_end)
		return;
	a->run_end = k->end;
	if (++a->run_rounds == RUN_ROUNDS) {
		if (a->run_pkts >= RUN_PKTS)
			a->no_ect = a->deaf = true;
		else
			a->run_rounds--; /* too few to tell */
	}
}

struct utcp__accecn_ce
utcp__accecn_feedback(struct utcp__accecn *a, const struct utcp__accecn_ack *k)
{
	struct utcp__accecn_ce ce = { 0 };
	uint32_t bytes = 0;
	bool told;

	utcp__accecn_judge(a, &k->opt);
	told = k->opt.have_ceb && a->opts == ACCECN_GOOD;
	/* Section 3.2.2.4: zero at first. */
	if (!a->acked && (k->flags & TH_ACE) == 0)
		a->no_ect = a->deaf = true;
	a->acked = true;
	if (told)
		bytes = (k->opt.ceb - a->s_ceb) & FIELD_MASK;
	ce.pkts = count_ce(a, k, told, bytes);
	a->s_cep += ce.pkts;
	if (told) {
		/* Section 3.2.3.2.5: the bytes came, the packets did not. */
		if (bytes > a->guessed && ce.pkts == 0 &&
		    k->delivered <= ACE_MASK * k->mss)
			a->no_ect = true;
		a->s_ceb += bytes;
		ce.bytes = bytes > a->guessed ? bytes - a->guessed : 0;
		a->guessed = 0;
	} else {
		ce.bytes = ce.pkts * k->mss; /* appendix A.3 */
		if (ce.bytes > k->delivered)
			ce.bytes = k->delivered;
		a->guessed += ce.bytes;
	}
	judge_run(a, k, ce.pkts);
	if (a->deaf)
		return (struct utcp__accecn_ce){ 0 };
	return ce;
}
