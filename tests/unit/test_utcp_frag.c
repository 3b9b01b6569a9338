/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragments, in any order, overlapping, missing, too many.
 */
#include "utcp_udp.h"

static void
give_frag(struct ctx *c, uint32_t id, size_t from, size_t to, bool more)
{
	struct frag f;

	mk_frag(&f, &m, id, from, to, more);
	give(c->u, f.b, f.len);
}

/* All of m in pieces of `size`, in this order of a permutation. */
static void
give_shuffled(struct ctx *c, uint32_t id, size_t size)
{
	size_t all = m.len - m.head, n = (all + size - 1) / size, i, j;
	size_t order[64];

	assert_true(n <= 64);
	for (i = 0; i < n; i++)
		order[i] = i;
	for (i = n; i > 1; i--) {
		size_t t = order[i - 1];

		j = rnd((uint32_t)i);
		order[i - 1] = order[j];
		order[j] = t;
	}
	for (i = 0; i < n; i++) {
		size_t from = order[i] * size;
		size_t to = from + size < all ? from + size : all;

		give_frag(c, id, from, to, to < all);
		if (i + 1 < n && rnd(4) == 0) /* a copy changes nothing */
			give_frag(c, id, from, to, to < all);
	}
}

static void
fragments_in_any_order(void **state)
{
	struct ctx *c = *state;
	uint64_t before;

	mk_udp(&m, 4, 99, PORT, 1, 1);
	give_frag(c, 0, 8, 9, false);
	utcp_advance(c->u, 40 * SECOND);
	before = mem_of(c->u);
	for (int family = 4; family <= 6; family += 2) {
		for (uint32_t i = 0; i < 200; i++) {
			size_t len = 1 + rnd(3000);
			size_t size = ((len + 8) / (1 + rnd(20)) & ~7ull) + 16;

			mk_udp(&m, family, 99, PORT, len, (uint8_t)i);
			give_shuffled(c, i, size);
			expect(c, len, (uint8_t)i);
		}
	}
	expect_none(c);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_FRAGMENT), 1);
	/* Nothing stays behind but an empty list. */
	assert_true(mem_of(c->u) <= before + 256);
}

static void
the_longest_datagram(void **state)
{
	struct ctx *c = *state;
	struct frag f;

	for (int family = 4; family <= 6; family += 2) {
		size_t max = family == 4 ? 65507 : 65527, all = max + 8;

		mk_udp(&m, family, 99, PORT, max, 1);
		for (size_t at = 0; at < all; at += 1440) {
			size_t to = at + 1440 < all ? at + 1440 : all;

			mk_frag(&f, &m, 5, at, to, to < all);
			give(c->u, f.b, f.len);
		}
		expect(c, max, 1);
	}
}

static void
fragments_of_many_at_once(void **state)
{
	struct ctx *c = *state;

	for (int family = 4; family <= 6; family += 2) {
		for (uint32_t id = 0; id < 50; id++) {
			mk_udp(&m, family, 99, PORT, 100 + id, (uint8_t)id);
			give_frag(c, id, 0, 64, true);
		}
		for (uint32_t id = 0; id < 50; id++) {
			mk_udp(&m, family, 99, PORT, 100 + id, (uint8_t)id);
			give_frag(c, id, 64, 108 + id, false);
			expect(c, 100 + id, (uint8_t)id);
		}
	}
}

struct overlap {
	const char *what;
	struct {
		size_t from, to;
		bool more;
	} f[5];
	bool ok;
};

static void
what_overlaps_goes(void **state)
{
	static const struct overlap cases[] = {
		{ "in order",
		  { { 0, 64, 1 }, { 64, 128, 1 }, { 128, 208, 0 } },
		  true },
		{ "over the end of the last",
		  { { 0, 64, 1 }, { 56, 128, 1 }, { 128, 208, 0 } },
		  false },
		{ "over the begin of the next",
		  { { 128, 208, 0 }, { 0, 64, 1 }, { 64, 136, 1 } },
		  false },
		{ "within",
		  { { 0, 128, 1 }, { 64, 72, 1 }, { 128, 208, 0 } },
		  false },
		{ "around",
		  { { 64, 72, 1 }, { 0, 128, 1 }, { 128, 208, 0 } },
		  false },
		{ "longer than before",
		  { { 0, 64, 1 }, { 0, 72, 1 }, { 64, 208, 0 } },
		  false },
		{ "behind the end",
		  { { 128, 200, 0 }, { 200, 208, 1 }, { 0, 128, 1 } },
		  false },
		{ "two ends",
		  { { 128, 208, 0 }, { 64, 128, 0 }, { 0, 64, 1 } },
		  false },
		{ "the end before what is there",
		  { { 128, 208, 1 }, { 64, 128, 0 }, { 0, 64, 1 } },
		  false },
	};
	struct ctx *c = *state;

	for (int family = 4; family <= 6; family += 2) {
		mk_udp(&m, family, 99, PORT, 200, 1);
		for (uint32_t i = 0; i < 9; i++) {
			uint64_t before = ctr(c->u, UTCP_CTR_DROP_FRAGMENT);

			for (int j = 0; j < 5; j++)
				if (cases[i].f[j].to != 0)
					give_frag(c, i, cases[i].f[j].from,
						  cases[i].f[j].to,
						  cases[i].f[j].more);
			if (cases[i].ok != (next(c) != NULL))
				fail_msg("%s", cases[i].what);
			if (cases[i].ok)
				continue;
			assert_true(ctr(c->u, UTCP_CTR_DROP_FRAGMENT) > before);
			/* and the rest of it goes too */
			give_frag(c, i, 0, 64, true);
			give_frag(c, i, 64, 128, true);
			give_frag(c, i, 128, 208, false);
			expect_none(c);
		}
	}
}

static void
bad_fragments(void **state)
{
	static const uint8_t m4[20] = { 0x4f, [5] = 7, [8] = 64, P_UDP, 0,
					0,    10,      0,	 0,	2,
					10,   0,       0,	 1 };
	struct ctx *c = *state;
	struct frag f;

	/* Not a multiple of 8, and more to come. */
	for (int family = 4; family <= 6; family += 2) {
		mk_udp(&m, family, 99, PORT, 200, 1);
		mk_frag(&f, &m, 1, 0, 100, true);
		give(c->u, f.b, f.len);
		assert_int_equal(ctr(c->u, UTCP_CTR_DROP_HEADER),
				 family == 4 ? 1 : 2);
	}
	assert_true(take(c->u, &g)); /* RFC 8200: told, code 0, length field */
	assert_int_equal(g.b[40], 4);
	assert_int_equal(rd32(g.b + 44), 4);

	/* Beyond what a packet can be. */
	mk_frag(&f, &m, 2, 0, 104, true);
	wr16(f.b + 42, 0xffd9);
	give(c->u, f.b, f.len);
	assert_true(take(c->u, &g));
	assert_int_equal(rd32(g.b + 44), 42);
	mk_udp(&m, 4, 99, PORT, 200, 1);
	mk_frag(&f, &m, 3, 0, 104, false);
	wr16(f.b + 6, 0x1fff);
	wr16(f.b + 10, 0);
	wr16(f.b + 10, ~add_words(0, f.b, 20) & 0xffff);
	give(c->u, f.b, f.len);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_FRAGMENT), 1);

	/* A first one without the transport's header. */
	mk_udp(&m, 6, 99, PORT, 200, 1);
	m.b[6] = P_TCP;
	give_frag(c, 4, 0, 16, true);
	assert_true(take(c->u, &g));
	assert_int_equal(rd16(g.b + 40), 0x0403); /* RFC 7112 */
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_FRAGMENT), 2);
	expect_none(c);
	/* not even if other headers are before it */
	mk_udp(&m, 6, 99, PORT, 200, 1);
	mk_insert6(&m, 60, (const uint8_t[8]){ 0, 0, 1, 4 }, 8);
	give_frag(c, 5, 0, 8, true);
	assert_true(take(c->u, &g));
	assert_int_equal(rd16(g.b + 40), 0x0403);
	give_frag(c, 6, 0, 16, true);
	assert_false(take(c->u, &g));

	/* Longer than a packet can be, with the first one's options. */
	for (size_t ofs = 0; ofs < 65500; ofs += 1024) {
		size_t len = ofs + 1024 < 65500 ? 1024 : 65500 - ofs;

		memset(f.b, 1, sizeof(f.b)); /* options: no operation */
		memcpy(f.b, m4, sizeof(m4));
		wr16(f.b + 2, (uint32_t)(60 + len));
		wr16(f.b + 6, (uint32_t)ofs / 8 | (len == 1024 ? 0x2000 : 0));
		wr16(f.b + 10, ~add_words(0, f.b, 60) & 0xffff);
		give(c->u, f.b, 60 + len);
	}
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_FRAGMENT), 4);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_SHORT), 0);
}

/* As it came, and as much as one packet holds. */
static void
who_waited_in_vain_is_quoted(void **state)
{
	struct ctx *c = *state;
	uint64_t now = SECOND;

	for (int family = 4; family <= 6; family += 2) {
		for (size_t len = 8; len < 1480; len += 184) {
			uint8_t echo = family == 4 ? 8 : 128;
			size_t most = family == 4 ? 548 : 1232;
			struct frag f;

			mk_udp(&m, family, 99, PORT, 2000, 1);
			if (len % 16 != 0) { /* of an echo request as well */
				m.b[family == 4 ? 9 : 6] = family == 4
							       ? P_ICMP
							       : P_ICMP6;
				m.b[m.head] = echo;
			}
			if (family == 6)
				mk_insert6(&m, 60,
					   (const uint8_t[8]){ 0, 0, 1, 4 }, 8);
			mk_frag(&f, &m, 1, 0, len + 8, true);
			give(c->u, f.b, f.len);
			utcp_advance(c->u, now += 61 * SECOND);
			assert_true(take(c->u, &g));
			most = f.len < most ? f.len : most;
			assert_int_equal(g.len, g.head + 8 + most);
			assert_memory_equal(g.b + g.head + 8, f.b, most);
		}
	}
}

static void
fragments_do_not_wait_forever(void **state)
{
	struct ctx *c = *state;
	uint64_t now = SECOND, before;

	for (int family = 4; family <= 6; family += 2) {
		uint64_t wait = family == 4 ? 30 * SECOND : 60 * SECOND;

		mk_udp(&m, family, 99, PORT, 200, 1);
		before = ctr(c->u, UTCP_CTR_DROP_FRAGMENT);
		give_frag(c, 1, 0, 64, true);
		give_frag(c, 2, 64, 208, false);
		assert_true(utcp_next_ns(c->u) <= now + wait);
		utcp_advance(c->u, now + wait - 1);
		assert_int_equal(ctr(c->u, UTCP_CTR_DROP_FRAGMENT), before);
		now += wait;
		utcp_advance(c->u, now);
		assert_int_equal(ctr(c->u, UTCP_CTR_DROP_FRAGMENT), before + 2);
		/* Told, of that whose first fragment was here. */
		assert_true(take(c->u, &g));
		assert_int_equal(rd16(g.b + g.head),
				 family == 4 ? 0x0b01 : 0x0301);
		assert_int_equal(take_all(c->u), 0);
		give_frag(c, 1, 64, 208, false);
		expect_none(c);
		utcp_advance(c->u, now += wait);
		assert_int_equal(utcp_next_ns(c->u), UTCP_NEVER);
	}
}

static void
fragments_are_bounded(void **state)
{
	struct ctx *c = *state;
	uint64_t base = mem_of(c->u), most = 0;

	mk_udp(&m, 6, 99, PORT, 1400, 1);
	for (uint32_t id = 0; id < 20000; id++) {
		wr32(m.b + 20, id / 8); /* of many sources */
		give_frag(c, id, 0, 1400, true);
		if (mem_of(c->u) > most)
			most = mem_of(c->u);
	}
	assert_true(most - base < 1u << 20);
	/* One source alone has not even that. */
	wr32(m.b + 20, 77777);
	for (uint32_t id = 0; id < 1000; id++)
		give_frag(c, id, 0, 1400, true);
	wr32(m.b + 20, 2);
	assert_int_equal(memcmp(m.b + 8, them6, 16), 0);
	mk_l4_sum(&m);
	give_frag(c, 9, 0, 800, true);
	give_frag(c, 9, 800, 1408, false);
	expect(c, 1400, 1);
	/* Pieces of one datagram are bounded as well. */
	mk_udp(&m, 4, 99, PORT, 9000, 1);
	base = ctr(c->u, UTCP_CTR_DROP_FRAGMENT);
	for (size_t at = 8; at < 9000; at += 16)
		give_frag(c, 77, at, at + 8, true);
	assert_true(ctr(c->u, UTCP_CTR_DROP_FRAGMENT) > base);
}

static void
their_bytes_are_bounded(void **state)
{
	struct ctx *c = *state;
	uint64_t base = mem_of(c->u), most = 0;

	/* Few of many pieces each, but for the first. */
	mk_udp(&m, 6, 99, PORT, 60000, 1);
	for (uint32_t id = 0; id < 200; id++) {
		wr32(m.b + 20, id / 8);
		for (size_t at = 1400; at < 58000; at += 1400)
			give_frag(c, id, at, at + 1400, true);
		if (mem_of(c->u) > most)
			most = mem_of(c->u);
	}
	assert_true(most - base > 3u << 20);
	assert_true(most - base < 5u << 20);
	assert_true(ctr(c->u, UTCP_CTR_DROP_FRAGMENT) > 100);
	/* The newest are the ones that are kept. */
	m.b[8] = 0xfd;
	mk_udp(&m, 6, 99, PORT, 1000, 1);
	give_frag(c, 1, 800, 1008, false);
	give_frag(c, 1, 0, 800, true);
	expect(c, 1000, 1);
}

static void
atomic_fragments_stand_alone(void **state)
{
	struct ctx *c = *state;

	mk_udp(&m, 6, 99, PORT, 200, 1);
	give_frag(c, 1, 0, 64, true);
	give_frag(c, 1, 0, 208, false); /* RFC 6946 */
	expect(c, 200, 1);
	give_frag(c, 1, 64, 208, false);
	expect(c, 200, 1);
}

static void
a_fragment_in_a_fragment_is_nothing(void **state)
{
	static const uint8_t atomic[8] = { 0 };
	struct ctx *c = *state;

	mk_udp(&m, 6, 99, PORT, 200, 1);
	mk_insert6(&m, 44, atomic, 8);
	give_frag(c, 1, 0, 64, true);
	give_frag(c, 1, 64, 216, false);
	expect_none(c);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_PROTO), 1);
}

static void
congestion_marks_survive_fragments(void **state)
{
	static const struct {
		uint8_t ecn[2];
		int is; /* -1: dropped */
	} cases[] = {
		{ { 2, 2 }, 2 },  { { 2, 3 }, 3 }, { { 3, 2 }, 3 },
		{ { 0, 0 }, 0 },  { { 3, 3 }, 3 }, { { 0, 3 }, -1 },
		{ { 3, 0 }, -1 },
	};
	struct ctx *c = *state;

	for (uint32_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (int j = 0; j < 2; j++) {
			mk_udp(&m, 4, 99, PORT, 200, 1);
			m.b[1] = cases[i].ecn[j];
			give_frag(c, i, j ? 64 : 0, j ? 208 : 64, !j);
		}
		if (cases[i].is < 0) {
			expect_none(c);
		} else {
			const utcp_dgram_t *d = next(c);

			assert_non_null(d);
			assert_int_equal(d->tos, cases[i].is);
		}
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(fragments_in_any_order),
		T(the_longest_datagram),
		T(fragments_of_many_at_once),
		T(what_overlaps_goes),
		T(bad_fragments),
		T(who_waited_in_vain_is_quoted),
		T(fragments_do_not_wait_forever),
		T(fragments_are_bounded),
		T(their_bytes_are_bounded),
		T(atomic_fragments_stand_alone),
		T(a_fragment_in_a_fragment_is_nothing),
		T(congestion_marks_survive_fragments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
