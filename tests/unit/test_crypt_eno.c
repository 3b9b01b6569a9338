/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP-ENO (RFC 8547): the option, roles, the negotiated TEP, falling back. */
#include "crypt_pair.h"

static const uint8_t nothing[1];

/* An option's bytes behind kind and length. */
#define OPT(...)                                                               \
	(const uint8_t[]){ __VA_ARGS__ },                                      \
	    sizeof((const uint8_t[]){ __VA_ARGS__ })

static int
parse(struct crypt__eno *eno, const uint8_t *body, size_t len)
{
	static uint8_t opt[256];

	opt[0] = ENO_KIND;
	opt[1] = (uint8_t)(len + 2);
	memcpy(opt + 2, body, len);
	return crypt__eno_parse(eno, opt, len + 2);
}

/* ---- the option ---------------------------------------------------------- */

static const struct {
	const char *what;
	const uint8_t *body;
	size_t len;
	int result;
	uint8_t global, num;
	struct {
		uint8_t tep, v, len;
	} sub[3];
} options[] = {
	{ "vacuous", nothing, 0, 0, 0, 0, { { 0 } } },
	{ "one", OPT(0x23), 0, 0, 1, { { 0x23 } } },
	{ "three",
	  OPT(0x21, 0x22, 0x23),
	  0,
	  0,
	  3,
	  { { 0x21 }, { 0x22 }, { 0x23 } } },
	{ "global first", OPT(0x01, 0x23), 0, 0x01, 1, { { 0x23 } } },
	{ "global last", OPT(0x23, 0x03), 0, 0x03, 1, { { 0x23 } } },
	{ "later globals are ignored",
	  OPT(0x01, 0x02, 0x23),
	  0,
	  0x01,
	  1,
	  { { 0x23 } } },
	{ "a global of zeros is the first, too",
	  OPT(0x00, 0x01, 0x23),
	  0,
	  0,
	  1,
	  { { 0x23 } } },
	{ "reserved bits", OPT(0x1d, 0x23), 0, 0x1d, 1, { { 0x23 } } },
	{ "data to the end",
	  OPT(0x21, 0xa3, 1, 2, 3),
	  0,
	  0,
	  2,
	  { { 0x21 }, { 0x23, 1, 3 } } },
	{ "no data although v", OPT(0xa3), 0, 0, 1, { { 0x23, 1, 0 } } },
	{ "length byte",
	  OPT(0x82, 0xa3, 1, 2, 3, 0x21),
	  0,
	  0,
	  2,
	  { { 0x23, 1, 3 }, { 0x21 } } },
	{ "length byte, last",
	  OPT(0x80, 0xa3, 9),
	  0,
	  0,
	  1,
	  { { 0x23, 1, 1 } } },
	{ "data looks like suboptions",
	  OPT(0x81, 0xff, 0x80, 0x80, 0x01),
	  0,
	  1,
	  1,
	  { { 0x7f, 1, 2 } } },
	{ "length beyond the end",
	  OPT(0x83, 0xa3, 1, 2, 3),
	  -EBADMSG,
	  0,
	  0,
	  { { 0 } } },
	{ "length byte at the end",
	  OPT(0x23, 0x80),
	  -EBADMSG,
	  0,
	  0,
	  { { 0 } } },
	{ "length and nothing of data",
	  OPT(0x80, 0xa3),
	  -EBADMSG,
	  0,
	  0,
	  { { 0 } } },
	{ "length before a TEP without v",
	  OPT(0x80, 0x23, 1),
	  -EBADMSG,
	  0,
	  0,
	  { { 0 } } },
	{ "length before a global",
	  OPT(0x80, 0x01, 1),
	  -EBADMSG,
	  0,
	  0,
	  { { 0 } } },
	{ "length before a length",
	  OPT(0x80, 0x80, 0xa3, 1),
	  -EBADMSG,
	  0,
	  0,
	  { { 0 } } },
};

static void
takes_apart(void **state)
{
	struct crypt__eno eno;

	(void)state;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		print_message("%s\n", options[i].what);
		assert_int_equal(parse(&eno, options[i].body, options[i].len),
				 options[i].result);
		if (options[i].result != 0)
			continue;
		assert_int_equal(eno.global, options[i].global);
		assert_int_equal(eno.num, options[i].num);
		for (unsigned int k = 0; k < eno.num; k++) {
			assert_int_equal(eno.sub[k].tep, options[i].sub[k].tep);
			assert_int_equal(eno.sub[k].v, options[i].sub[k].v);
			assert_int_equal(eno.sub[k].len, options[i].sub[k].len);
		}
	}
}

static void
refuses_other_options(void **state)
{
	const uint8_t kind[] = { 68, 3, 0x23 }, len[] = { 69, 4, 0x23 };
	uint8_t large[41] = { 69, 41 };
	struct crypt__eno eno;

	(void)state;
	assert_int_equal(crypt__eno_parse(&eno, kind, 3), -EBADMSG);
	assert_int_equal(crypt__eno_parse(&eno, len, 3), -EBADMSG);
	assert_int_equal(crypt__eno_parse(&eno, len, 1), -EBADMSG);
	assert_int_equal(crypt__eno_parse(&eno, large, 41), -EBADMSG);
}

static const struct crypt__ticket ticket = {
	.tep = TEP_X25519,
	.send = { 1, 2, 3, 4, 5, 6, 7, 8, 9 },
	.expect = { 11, 12, 13, 14, 15, 16, 17, 18, 19 },
};

static void
writes(void **state)
{
	static const uint8_t nonce[] = { 21, 22, 23, 24, 25, 26, 27, 28 };
	struct crypt__offer o = { .num = 2, .teps = { TEP_X448, TEP_X25519 } };
	uint8_t opt[ENO_MAX];

	(void)state;
	memcpy(o.nonce, nonce, sizeof(nonce));
	assert_int_equal(crypt__eno_write(opt, 20, 4, &o), 4);
	assert_memory_equal(opt, ((uint8_t[]){ 69, 4, 0x24, 0x23 }), 4);
	o.global = ENO_B | ENO_A;
	assert_int_equal(crypt__eno_write(opt, 5, 4, &o), 5);
	assert_memory_equal(opt, ((uint8_t[]){ 69, 5, 3, 0x24, 0x23 }), 5);
	assert_int_equal(crypt__eno_write(opt, 4, 4, &o), 0);
	/* A ticket: its nonce is what there is room for. */
	o.resume = &ticket;
	assert_int_equal(crypt__eno_write(opt, 40, 4, &o), 22);
	assert_memory_equal(opt,
			    ((uint8_t[]){ 69, 22, 3, 0x24, 0xa3, 1, 2, 3 }), 8);
	assert_memory_equal(opt + 14, nonce, 8);
	assert_int_equal(crypt__eno_write(opt, 20, 4, &o), 20);
	assert_memory_equal(opt + 14, nonce, 6);
	assert_int_equal(crypt__eno_write(opt, 18, 4, &o), 18);
	/* ... or there is none, and the TEP stands as it was. */
	assert_int_equal(crypt__eno_write(opt, 17, 4, &o), 5);
	assert_memory_equal(opt, ((uint8_t[]){ 69, 5, 3, 0x24, 0x23 }), 5);
}

/* ---- what is agreed on ------------------------------------------------------ */

#define ID1 1, 2, 3, 4, 5, 6, 7, 8, 9
#define ID2 11, 12, 13, 14, 15, 16, 17, 18, 19

static const struct {
	const char *what;
	const uint8_t *own;
	size_t own_len;
	const uint8_t *peer;
	size_t peer_len;
	bool aware, ticket;
	uint8_t tep_byte; /* 0: encryption is off */
	bool own_b, resumed;
} pairs[] = {
	{ "client and server", OPT(0x21, 0x23), OPT(0x01, 0x23), 0, 0, 0x23 },
	{ "server and client", OPT(0x01, 0x23), OPT(0x21, 0x23), 0, 0, 0x23,
	  1 },
	{ "the last of host B's", OPT(0x23, 0x21), OPT(0x01, 0x21, 0x23), 0, 0,
	  0x23 },
	{ "... that host A has (figure 12)", OPT(0x22, 0x21),
	  OPT(0x01, 0x21, 0x22, 0x7e), 0, 0, 0x22 },
	{ "the same, seen by host B", OPT(0x01, 0x21, 0x22, 0x7e),
	  OPT(0x22, 0x21), 0, 0, 0x22, 1 },
	{ "nothing in common", OPT(0x21), OPT(0x01, 0x23), 0, 0, 0 },
	{ "vacuous", OPT(0x23), OPT(0x01), 0, 0, 0 },
	{ "both are A: echoed by a middlebox", OPT(0x23), OPT(0x23), 0, 0, 0 },
	{ "both are B", OPT(0x01, 0x23), OPT(0x01, 0x23), 0, 0, 0 },
	{ "aware, and the peer is", OPT(0x02, 0x23), OPT(0x03, 0x23), 1, 0,
	  0x23 },
	{ "aware, and the peer is not", OPT(0x02, 0x23), OPT(0x01, 0x23), 1, 0,
	  0 },
	{ "a TEP twice is not valid", OPT(0x21, 0x23),
	  OPT(0x01, 0x21, 0x23, 0x23), 0, 0, 0x21 },
	{ "... nor in ours", OPT(0x21, 0x23, 0x23), OPT(0x01, 0x21, 0x23), 0, 0,
	  0x21 },
	{ "resumed", OPT(0xa3, ID1, 5), OPT(0x01, 0xa3, ID2, 6, 7), 0, 1, 0xa3,
	  0, 1 },
	{ "resumed, by host B", OPT(0x01, 0xa3, ID1, 5), OPT(0xa3, ID2, 6, 7),
	  0, 1, 0xa3, 1, 1 },
	{ "without nonces", OPT(0xa3, ID1), OPT(0x01, 0xa3, ID2), 0, 1, 0xa3, 0,
	  1 },
	{ "host B wants fresh keys", OPT(0xa3, ID1, 5), OPT(0x01, 0x23), 0, 1,
	  0x23 },
	{ "host B resumes what A did not offer", OPT(0x23),
	  OPT(0x01, 0xa3, ID2, 6), 0, 1, 0 },
	{ "host B's half is another", OPT(0xa3, ID1), OPT(0x01, 0xa3, ID1), 0,
	  1, 0 },
	{ "... but it has a second TEP", OPT(0x21, 0xa3, ID1),
	  OPT(0x01, 0x21, 0xa3, ID1), 0, 1, 0x21 },
	{ "host B's half is cut", OPT(0xa3, ID1), OPT(0x01, 0xa3, 11, 12), 0, 1,
	  0 },
	{ "host B's nonce is too long", OPT(0xa3, ID1),
	  OPT(0x01, 0xa3, ID2, 1, 2, 3, 4, 5, 6, 7, 8, 9), 0, 1, 0 },
	{ "host B agrees to what we cannot resume", OPT(0xa3, ID1),
	  OPT(0x01, 0xa3, ID2), 0, 0, 0 },
	{ "host A resumes, B fresh, seen by B", OPT(0x01, 0x23), OPT(0xa3, ID1),
	  0, 0, 0x23, 1 },
};

static void
agrees(void **state)
{
	uint8_t own[ENO_MAX], peer[ENO_MAX];
	struct crypt__eno o, p;
	struct crypt__choice c;
	bool on;

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		print_message("%s\n", pairs[i].what);
		own[0] = peer[0] = ENO_KIND;
		own[1] = (uint8_t)(2 + pairs[i].own_len);
		peer[1] = (uint8_t)(2 + pairs[i].peer_len);
		memcpy(own + 2, pairs[i].own, pairs[i].own_len);
		memcpy(peer + 2, pairs[i].peer, pairs[i].peer_len);
		assert_int_equal(crypt__eno_parse(&o, own, own[1]), 0);
		assert_int_equal(crypt__eno_parse(&p, peer, peer[1]), 0);
		on = crypt__eno_choose(&o, &p, pairs[i].aware,
				       pairs[i].ticket ? &ticket : NULL, &c);
		assert_int_equal(on, pairs[i].tep_byte != 0);
		if (!on)
			continue;
		assert_int_equal(c.tep_byte, pairs[i].tep_byte);
		assert_int_equal(c.own_b, pairs[i].own_b);
		assert_int_equal(c.resumed, pairs[i].resumed);
		assert_int_equal(c.peer_aware, (p.global & ENO_A) != 0);
		if (c.resumed) {
			assert_ptr_equal(c.own_nonce + c.own_nonce_len,
					 own + own[1]);
			assert_ptr_equal(c.peer_nonce + c.peer_nonce_len,
					 peer + peer[1]);
		}
	}
}

static const struct crypt__ticket *
find(void *arg, uint8_t tep, const uint8_t *half)
{
	(*(unsigned int *)arg)++;
	return tep == ticket.tep &&
		       memcmp(half, ticket.expect, RESUME_HALF) == 0
		   ? &ticket
		   : NULL;
}

static const struct {
	const char *what;
	const uint8_t *peer;
	size_t len;
	bool aware;
	uint8_t tep;
	bool resumed;
	unsigned int finds;
} syns[] = {
	{ "our last counts", OPT(0x23, 0x24), 0, 0x23 },
	{ "the one there is", OPT(0x22, 0x24), 0, 0x24 },
	{ "none that we have", OPT(0x22, 0x21), 0, 0 },
	{ "vacuous", nothing, 0, 0, 0 },
	{ "host B, like us", OPT(0x01, 0x23), 0, 0 },
	{ "not aware", OPT(0x23), 1, 0 },
	{ "aware", OPT(0x02, 0x23), 1, 0x23 },
	{ "known", OPT(0xa3, ID2, 1), 0, 0x23, 1, 1 },
	{ "forgotten", OPT(0xa3, ID1, 1), 0, 0x23, 0, 1 },
	{ "less than 9 bytes: as if fresh", OPT(0xa3, 1, 2, 3), 0, 0x23, 0, 0 },
	{ "too long a nonce: as if fresh", OPT(0xa3, ID2, ID1), 0, 0x23, 0, 0 },
	{ "twice", OPT(0x89, 0xa3, ID2, 1, 0x23), 0, 0, 0, 0 },
};

static void
answers(void **state)
{
	static const uint8_t teps[] = { TEP_X448, TEP_X25519 };
	const struct crypt__ticket *t;
	struct crypt__eno p;
	unsigned int finds;

	(void)state;
	for (size_t i = 0; i < sizeof(syns) / sizeof(syns[0]); i++) {
		print_message("%s\n", syns[i].what);
		finds = 0;
		assert_int_equal(parse(&p, syns[i].peer, syns[i].len), 0);
		assert_int_equal(crypt__eno_answer(&p, teps, 2, syns[i].aware,
						   find, &finds, &t),
				 syns[i].tep);
		assert_ptr_equal(t, syns[i].resumed ? &ticket : NULL);
		assert_int_equal(finds, syns[i].finds);
	}
	/* Without a memory for sessions. */
	assert_int_equal(parse(&p, OPT(0xa3, ID2, 1)), 0);
	assert_int_equal(crypt__eno_answer(&p, teps, 2, 0, NULL, NULL, &t),
			 TEP_X25519);
	assert_null(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_apart),
		cmocka_unit_test(refuses_other_options),
		cmocka_unit_test(writes),
		cmocka_unit_test(agrees),
		cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
