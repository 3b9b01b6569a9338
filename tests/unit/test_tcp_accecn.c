/* SPDX-License-Identifier: BSD-2-Clause */
/* AccECN's encodings and counters (RFC 9768), cell by cell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "accecn.h"

#define MSS 1000

/* AE, CWR and ECE as the tables write them. */
static uint16_t
bits(unsigned int ace)
{
	return (uint16_t)(ace << ACE_SHIFT);
}

/* ---- the handshake ----------------------------------------------------- */

/* Table 2, what host B does; section 3.1.3 for the combinations not in it. */
static void
syn_asks(void **state)
{
	static const enum utcp__ecn want[8] = {
		[0] = ECN_OFF,	    [3] = ECN_CLASSIC,	[1] = ECN_ACCURATE,
		[2] = ECN_ACCURATE, [4] = ECN_ACCURATE, [5] = ECN_ACCURATE,
		[6] = ECN_ACCURATE, [7] = ECN_ACCURATE,
	};

	(void)state;
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(utcp__accecn_asked(TH_SYN | bits(i)), want[i]);
}

/* Table 2, the mode of host A by the SYN-ACK, and what it feeds back. */
static void
synack_answers(void **state)
{
	static const struct {
		enum utcp__ecn mode;
		uint8_t ip;
	} want[8] = {
		[0] = { ECN_OFF, IP_NOT_ECT },	   /* No ECN */
		[1] = { ECN_CLASSIC, IP_NOT_ECT }, /* ECN */
		[2] = { ECN_ACCURATE, IP_NOT_ECT },
		[3] = { ECN_ACCURATE, IP_ECT1 },
		[4] = { ECN_ACCURATE, IP_ECT0 },
		[5] = { ECN_ACCURATE, IP_NOT_ECT }, /* reserved: as sent */
		[6] = { ECN_ACCURATE, IP_CE },
		[7] = { ECN_OFF, IP_NOT_ECT }, /* Broken */
	};
	uint8_t ip;

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(utcp__accecn_answer(TH_SYN | TH_ACK | bits(i),
						     IP_NOT_ECT, &ip),
				 want[i].mode);
		assert_int_equal(ip, want[i].ip);
	}
	/* The reserved one says that it came as it was sent. */
	utcp__accecn_answer(bits(5), IP_ECT1, &ip);
	assert_int_equal(ip, IP_ECT1);
}

/* Tables 2 and 3: the same encoding, which the other end reads. */
static void
echoes_are_read(void **state)
{
	static const unsigned int want[4] = {
		[IP_NOT_ECT] = 2, [IP_ECT1] = 3, [IP_ECT0] = 4, [IP_CE] = 6
	};
	uint8_t ip;

	(void)state;
	for (uint8_t i = 0; i < 4; i++) {
		assert_int_equal(utcp__accecn_echo(i), bits(want[i]));
		assert_int_equal(
		    utcp__accecn_answer(utcp__accecn_echo(i), IP_NOT_ECT, &ip),
		    ECN_ACCURATE);
		assert_int_equal(ip, i);
	}
}

static void
syn_gives_up_asking(void **state)
{
	(void)state;
	assert_int_equal(utcp__accecn_syn(0), bits(7));
	assert_int_equal(utcp__accecn_syn(1), bits(7));
	assert_int_equal(utcp__accecn_syn(2), 0);
	assert_int_equal(utcp__accecn_syn(7), 0);
}

/* Table 4, for each mark that the SYN-ACK may have left with. */
static void
third_segment(void **state)
{
	static const struct {
		unsigned int cep;
		bool ce, no_ect, deaf;
	} want[8] = {
		[0] = { 5, false, true, true }, /* notes 1, 3 */
		[1] = { 5, false, false, false },
		[2] = { 5, false, false, false },
		[3] = { 5, false, true, false },
		[4] = { 5, false, true, false },
		[5] = { 5, false, false, false },
		[6] = { 6, true, true, false },
		[7] = { 5, false, false, false },
	};
	struct utcp__accecn a;

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		utcp__accecn_init(&a);
		assert_int_equal(
		    utcp__accecn_third(&a, bits(i), true, IP_NOT_ECT),
		    want[i].ce);
		assert_int_equal(a.s_cep, want[i].cep);
		assert_int_equal(a.no_ect, want[i].no_ect);
		assert_int_equal(a.deaf, want[i].deaf);
		/* With data it is the counter. */
		utcp__accecn_init(&a);
		assert_false(
		    utcp__accecn_third(&a, bits(i), false, IP_NOT_ECT));
		assert_int_equal(a.s_cep, 5);
		assert_false(a.no_ect || a.deaf);
	}
	/* Section 3.2.2.3: ECT may become CE, nothing else. */
	utcp__accecn_init(&a);
	assert_true(utcp__accecn_third(&a, bits(6), true, IP_ECT0));
	assert_false(a.no_ect);
	utcp__accecn_init(&a);
	utcp__accecn_third(&a, bits(2), true, IP_ECT0);
	assert_true(a.no_ect);
}

/* ---- receiver ---------------------------------------------------------- */

/* Section 3.2.1 */
static void
counters_begin(void **state)
{
	struct utcp__accecn a;

	(void)state;
	utcp__accecn_init(&a);
	assert_int_equal(a.r_cep, 5);
	assert_int_equal(a.r_ceb, 0);
	assert_int_equal(a.r_e0b, 1);
	assert_int_equal(a.r_e1b, 1);
	assert_int_equal(a.s_cep, 5);
	assert_int_equal(a.s_ceb, 0);
	assert_int_equal(utcp__accecn_flags(&a, true), bits(5));
}

/* Section 3.2: packets by CE, bytes by all three. */
static void
marks_are_counted(void **state)
{
	struct utcp__accecn a;

	(void)state;
	utcp__accecn_init(&a);
	utcp__accecn_came(&a, IP_NOT_ECT, 1, 1, true);
	utcp__accecn_came(&a, IP_ECT1, 10, 1, true);
	utcp__accecn_came(&a, IP_ECT0, 200, 2, true);
	utcp__accecn_came(&a, IP_CE, 3000, 3, true);
	utcp__accecn_came(&a, IP_CE, 0, 1, false); /* a control packet */
	assert_int_equal(a.r_e1b, 11);
	assert_int_equal(a.r_e0b, 201);
	assert_int_equal(a.r_ceb, 3000);
	assert_int_equal(a.r_cep, 9);
	assert_int_equal(utcp__accecn_flags(&a, false), bits(1));
}

/* Section 3.2.2.5.1 */
static void
acks_at_once(void **state)
{
	struct utcp__accecn a;

	(void)state;
	utcp__accecn_init(&a);
	assert_false(utcp__accecn_came(&a, IP_ECT1, MSS, 1, true));
	/* a change, and not the change back */
	assert_true(utcp__accecn_came(&a, IP_CE, MSS, 1, true));
	utcp__accecn_flags(&a, true);
	assert_false(utcp__accecn_came(&a, IP_CE, MSS, 1, true));
	/* the second one since */
	assert_true(utcp__accecn_came(&a, IP_CE, MSS, 1, true));
	utcp__accecn_flags(&a, true);
	assert_false(utcp__accecn_came(&a, IP_ECT1, MSS, 1, true));
	/* ACKs: no change counts, and the third one does */
	assert_false(utcp__accecn_came(&a, IP_CE, 0, 1, false));
	assert_false(utcp__accecn_came(&a, IP_CE, 0, 1, false));
	assert_true(utcp__accecn_came(&a, IP_CE, 0, 1, false));
	/* but the packet before counts, be it data or not */
	utcp__accecn_flags(&a, true);
	assert_false(utcp__accecn_came(&a, IP_CE, MSS, 1, true));
	assert_false(utcp__accecn_came(&a, IP_NOT_ECT, 0, 1, true));
	assert_true(utcp__accecn_came(&a, IP_CE, MSS, 1, true));
	/* however many: told once */
	utcp__accecn_came(&a, IP_CE, MSS, 1000, true);
	utcp__accecn_flags(&a, true);
	assert_false(utcp__accecn_came(&a, IP_CE, MSS, 1, true));
}

/* Section 3.2.2.1: once, on a pure ACK. */
static void
echo_goes_on_a_pure_ack(void **state)
{
	struct utcp__accecn a;

	(void)state;
	utcp__accecn_init(&a);
	a.echo_owed = true;
	a.echo = IP_ECT1;
	assert_int_equal(utcp__accecn_flags(&a, false), bits(5));
	assert_int_equal(utcp__accecn_flags(&a, true), bits(3));
	assert_int_equal(utcp__accecn_flags(&a, true), bits(5));
}

/* Section 3.2.3.3: when there is an option, and what it says. */
static void
options_that_leave(void **state)
{
	struct utcp__accecn a;
	uint8_t b[9];

	(void)state;
	utcp__accecn_init(&a);
	assert_int_equal(utcp__accecn_fields(&a, 28, true), 0);
	a.opt_owed = true;
	assert_int_equal(utcp__accecn_fields(&a, 4, true), 0);
	assert_int_equal(utcp__accecn_fields(&a, 8, true), 2);
	utcp__accecn_write(&a, b, 2);
	assert_memory_equal(b, "\0\0\1\0\0\0", 6);
	assert_int_equal(utcp__accecn_fields(&a, 28, true), 0);
	a.data_owed = true;
	assert_int_equal(utcp__accecn_fields(&a, 28, false), 0);
	assert_int_equal(utcp__accecn_fields(&a, 28, true), 2);
	a.data_owed = false;

	/* ECT(1) alone is told in the other order. */
	utcp__accecn_came(&a, IP_ECT1, 0x123456, 1, true);
	utcp__accecn_came(&a, IP_CE, 0x0a0b0c, 1, true);
	assert_true(utcp__accecn_order1(&a));
	assert_int_equal(utcp__accecn_fields(&a, 28, false), 2);
	utcp__accecn_write(&a, b, 2);
	assert_memory_equal(b, "\x12\x34\x57\x0a\x0b\x0c", 6);
	assert_int_equal(utcp__accecn_fields(&a, 28, false), 0);

	/* Both: what changed must be told, or nothing. */
	utcp__accecn_came(&a, IP_ECT0, 2, 1, true);
	assert_false(utcp__accecn_order1(&a));
	assert_int_equal(utcp__accecn_fields(&a, 28, false), 3);
	assert_int_equal(utcp__accecn_fields(&a, 8, false), 2);
	utcp__accecn_write(&a, b, 3);
	assert_memory_equal(b, "\0\0\3\x0a\x0b\x0c\x12\x34\x57", 9);
	utcp__accecn_came(&a, IP_ECT1, 1, 1, true);
	assert_int_equal(utcp__accecn_fields(&a, 8, false), 0);
	assert_int_equal(utcp__accecn_fields(&a, 12, false), 3);

	/* 24 bits */
	utcp__accecn_came(&a, IP_CE, 0xffffff, 1, true);
	utcp__accecn_write(&a, b, 3);
	assert_memory_equal(b + 3, "\x0a\x0b\x0b", 3);
}

/* Table 5: lengths as they may come. */
static void
options_that_come(void **state)
{
	static const uint8_t f[12] = { 0, 0, 1, 0, 1, 2, 0, 0, 1, 9, 9, 9 };
	struct utcp__accecn_opt o;

	(void)state;
	for (uint32_t n = 0; n <= 12; n++) {
		memset(&o, 0, sizeof(o));
		utcp__accecn_parse(&o, f, n);
		assert_true(o.have);
		assert_false(o.zeroed);
		assert_int_equal(o.have_ceb, n >= 6);
		assert_int_equal(o.ceb, n >= 6 ? 0x102 : 0);
	}
	/* Section 3.2.3.2.4: either end field may be the zeroed one. */
	utcp__accecn_parse(&o, (const uint8_t *)"\0\0\0\0\0\0\0\0\1", 9);
	assert_true(o.zeroed);
	utcp__accecn_parse(&o, (const uint8_t *)"\0\0\1\0\0\0\0\0\0", 9);
	assert_true(o.zeroed);
	utcp__accecn_parse(&o, (const uint8_t *)"\0\0\1\0\0\0", 6);
	assert_false(o.zeroed);
}

/* ---- sender ------------------------------------------------------------ */

static struct utcp__accecn_ce
feedback(struct utcp__accecn *a, unsigned int ace, uint32_t delivered,
	 int32_t ceb)
{
	struct utcp__accecn_ack k = {
		.flags = bits(ace & 7),
		.delivered = delivered,
		.mss = MSS,
		.opt = { .have = ceb >= 0, .have_ceb = ceb >= 0 },
	};

	if (ceb >= 0)
		k.opt.ceb = (uint32_t)ceb & 0xffffff;
	return utcp__accecn_feedback(a, &k);
}

/* Section 3.2.2.2, and 3.2.2.5.2 where the field may have gone round. */
static void
ace_is_decoded(void **state)
{
	static const struct {
		unsigned int ace;
		uint32_t delivered;
		int32_t ceb; /* -1: no option */
		uint32_t pkts, bytes;
	} c[] = {
		{ 5, 2 * MSS, -1, 0, 0 },
		{ 6, 2 * MSS, -1, 1, MSS },
		{ 7, 2 * MSS, -1, 2, 2 * MSS },
		{ 0, 3 * MSS, -1, 3, 3 * MSS }, /* wraps once */
		{ 4, 7 * MSS, -1, 7, 7 * MSS },
		/* More than it may stand for: the field is right. */
		{ 0, MSS, -1, 3, MSS },
		/* The safest case: all that it may stand for. */
		{ 5, 8 * MSS, -1, 8, 8 * MSS },
		{ 6, 10 * MSS, -1, 9, 9 * MSS },
		{ 5, 44 * MSS, -1, 40, 40 * MSS },
		/* The option says. */
		{ 5, 44 * MSS, 0, 0, 0 },
		{ 6, 44 * MSS, MSS, 1, MSS },
		{ 6, 44 * MSS, 9 * MSS, 9, 9 * MSS },
		{ 5, 44 * MSS, 31 * MSS + 1, 32, 31 * MSS + 1 },
		{ 5, 44 * MSS, 44 * MSS, 40, 44 * MSS },
	};
	struct utcp__accecn a;
	struct utcp__accecn_ce ce;

	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		utcp__accecn_init(&a);
		a.opts = c[i].ceb >= 0 ? ACCECN_GOOD : ACCECN_ABSENT;
		a.acked = true;
		ce = feedback(&a, c[i].ace, c[i].delivered, c[i].ceb);
		assert_int_equal(ce.pkts, c[i].pkts);
		assert_int_equal(ce.bytes, c[i].bytes);
		assert_int_equal(a.s_cep, 5 + c[i].pkts);
	}
}

/* A receiver's counters and a sender's agree, whatever comes: over many wraps of
   both fields, with options on some ACKs only. */
static void
both_ends_agree(void **state)
{
	struct utcp__accecn r, s;
	uint64_t told = 0, rng = 1;
	uint32_t delivered = 0;

	(void)state;
	utcp__accecn_init(&r);
	utcp__accecn_init(&s);
	s.opts = ACCECN_GOOD;
	for (unsigned int i = 0; i < 200000; i++) {
		bool ce, now;

		rng = rng * 6364136223846793005ull + 1442695040888963407ull;
		ce = rng >> 61 == 0 || (i / 1000 % 2 && rng >> 63);
		now = utcp__accecn_came(&r, ce ? IP_CE : IP_ECT1, MSS, 1, true);
		delivered += MSS;
		if (!now && i % 2)
			continue;
		told += feedback(&s, utcp__accecn_flags(&r, true) >> ACE_SHIFT,
				 delivered,
				 rng >> 40 & 1 ? (int32_t)r.r_ceb & 0xffffff
					       : -1)
			    .bytes;
		delivered = 0;
		assert_int_equal(s.s_cep, r.r_cep);
	}
	told += feedback(&s, r.r_cep, MSS, (int32_t)(r.r_ceb & 0xffffff)).bytes;
	assert_int_equal(told, r.r_ceb);
}

/* Sections 3.2.2.4, 3.2.2.3, 3.2.3.2.5: feedback that cannot be. */
static void
mangled(void **state)
{
	struct utcp__accecn a;
	struct utcp__accecn_ack k;

	(void)state;
	/* zero from the beginning */
	utcp__accecn_init(&a);
	assert_int_equal(feedback(&a, 0, MSS, -1).pkts, 0);
	assert_true(a.no_ect && a.deaf);
	/* zero later is a value */
	utcp__accecn_init(&a);
	feedback(&a, 5, MSS, -1);
	assert_int_equal(feedback(&a, 0, 3 * MSS, -1).pkts, 3);
	assert_false(a.no_ect || a.deaf);
	/* bytes without packets */
	utcp__accecn_init(&a);
	feedback(&a, 5, MSS, 0);
	feedback(&a, 5, MSS, MSS);
	assert_true(a.no_ect);
	assert_false(a.deaf);
	/* all of four rounds marked; and all but one packet */
	for (uint32_t spared = 0; spared < 2; spared++) {
		utcp__accecn_init(&a);
		for (uint32_t i = 1; i <= 100; i++) {
			k = (struct utcp__accecn_ack){
				.flags = bits((5 + i - (i > 9 ? spared : 0)) &
					      7),
				.delivered = MSS,
				.mss = MSS,
				.position = i * MSS,
				.end = (i + 10) * MSS,
			};
			utcp__accecn_feedback(&a, &k);
		}
		assert_int_equal(a.deaf, !spared);
		assert_int_equal(a.no_ect, !spared);
	}
}

/* Section 3.2.3.2.3, 3.2.3.2.4 */
static void
options_are_judged(void **state)
{
	static const struct utcp__accecn_opt none,
	    good = { .have = true }, zero = { .have = true, .zeroed = true };
	struct utcp__accecn a;

	(void)state;
	utcp__accecn_init(&a);
	utcp__accecn_judge(&a, &none);
	assert_int_equal(a.opts, ACCECN_ABSENT);
	utcp__accecn_judge(&a, &good);
	assert_int_equal(a.opts, ACCECN_GOOD);
	utcp__accecn_judge(&a, &none);
	assert_int_equal(a.opts, ACCECN_GOOD);
	utcp__accecn_init(&a);
	utcp__accecn_judge(&a, &zero);
	utcp__accecn_judge(&a, &good);
	assert_int_equal(a.opts, ACCECN_ZEROED);
	/* What they say is not used then. */
	feedback(&a, 5, MSS, -1);
	assert_int_equal(feedback(&a, 5, 8 * MSS, 0).pkts, 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syn_asks),
		cmocka_unit_test(synack_answers),
		cmocka_unit_test(echoes_are_read),
		cmocka_unit_test(syn_gives_up_asking),
		cmocka_unit_test(third_segment),
		cmocka_unit_test(counters_begin),
		cmocka_unit_test(marks_are_counted),
		cmocka_unit_test(acks_at_once),
		cmocka_unit_test(echo_goes_on_a_pure_ack),
		cmocka_unit_test(options_that_leave),
		cmocka_unit_test(options_that_come),
		cmocka_unit_test(ace_is_decoded),
		cmocka_unit_test(both_ends_agree),
		cmocka_unit_test(mangled),
		cmocka_unit_test(options_are_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
