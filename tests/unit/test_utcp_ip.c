/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IP input: good packets however they are cut, bad ones of every sort, and
 * fragments. UDP sockets show what came through.
 */
#include "utcp_pkt.h"

#define PORT 7000

struct ctx {
	utcp_t *u;
	utcp_udp_t *s; /* both families, any address */
};

static struct mk m;
static struct got g;

static int
setup(void **state)
{
	struct ctx *c = calloc(1, sizeof(*c));
	utcp_addr_t a = any(6, PORT);

	assert_non_null(c);
	pkt_seed = 1;
	c->u = stack_new(NULL);
	assert_int_equal(utcp_udp_open(c->u, 6, &c->s), 0);
	assert_int_equal(utcp_udp_bind(c->s, &a), 0);
	*state = c;
	return 0;
}

static int
teardown(void **state)
{
	struct ctx *c = *state;

	utcp_destroy(c->u);
	free(c);
	return 0;
}

/* The next datagram; NULL: none. */
static const utcp_dgram_t *
next(struct ctx *c)
{
	static utcp_dgram_t d;

	return utcp_udp_recv(c->s, &d, 1) == 1 ? &d : NULL;
}

static void
expect(struct ctx *c, size_t len, uint8_t first)
{
	const utcp_dgram_t *d = next(c);

	assert_non_null(d);
	assert_int_equal(d->len, len);
	assert_true(data_right(d->data, len, first));
}

static void
expect_none(struct ctx *c)
{
	assert_null(next(c));
}

/* ---- whole packets -------------------------------------------------------------- */

static void
what_comes_says_from_whom(void **state)
{
	struct ctx *c = *state;
	const utcp_dgram_t *d;
	utcp_addr_t a;

	for (int family = 4; family <= 6; family += 2) {
		mk_udp(&m, family, 99, PORT, 100, 3);
		if (family == 4) {
			m.b[1] = 0xb9;
			m.b[8] = 17;
			mk_sum4(&m);
		} else {
			m.b[0] = 0x6b;
			m.b[1] = 0x91;
			m.b[7] = 17;
		}
		give_mk(c->u, &m);
		d = next(c);
		assert_non_null(d);
		a = them(family, 99);
		assert_memory_equal(d->peer.addr, a.addr, 16);
		assert_int_equal(d->peer.port_be, a.port_be);
		assert_int_equal(d->peer.family, family);
		a = us(family, PORT);
		assert_memory_equal(d->local.addr, a.addr, 16);
		assert_int_equal(d->local.port_be, a.port_be);
		assert_int_equal(d->tos, 0xb9);
		assert_int_equal(d->ttl, 17);
		assert_true(data_right(d->data, 100, 3));
	}
	assert_int_equal(drops(c->u), 0);
	assert_int_equal(ctr(c->u, UTCP_CTR_IN_PKTS), 2);
	assert_int_equal(ctr(c->u, UTCP_CTR_IN_BYTES), 128 + 148);
}

static void
any_cut_is_the_same(void **state)
{
	struct ctx *c = *state;

	for (int family = 4; family <= 6; family += 2) {
		mk_udp(&m, family, 99, PORT, 151, 5);
		for (size_t cut = 0; cut <= m.len; cut++) {
			give_cut(c->u, m.b, m.len, &cut, 1, NULL);
			expect(c, 151, 5);
		}
		for (int i = 0; i < 300; i++) {
			size_t cuts[UTCP_PKT_PARTS_MAX - 1], at = 0;
			unsigned int n;

			for (n = 0; n < UTCP_PKT_PARTS_MAX - 1; n++) {
				at += rnd(9);
				if (at > m.len)
					break;
				cuts[n] = at;
			}
			give_cut(c->u, m.b, m.len, cuts, n, NULL);
			expect(c, 151, 5);
		}
	}
	assert_int_equal(drops(c->u), 0);
}

static void
padding_is_cut(void **state)
{
	struct ctx *c = *state;
	size_t len, cut;

	for (int family = 4; family <= 6; family += 2) {
		for (size_t pad = 1; pad < 50; pad++) {
			mk_udp(&m, family, 99, PORT, 6, 9);
			len = m.len;
			memset(m.b + len, 0x77, pad);
			give(c->u, m.b, len + pad);
			expect(c, 6, 9);
			cut = len;
			give_cut(c->u, m.b, len + pad, &cut, 1, NULL);
			expect(c, 6, 9);
			cut = len + pad / 2;
			give_cut(c->u, m.b, len + pad, &cut, 1, NULL);
			expect(c, 6, 9);
		}
	}
}

static void
udp_may_be_shorter_than_ip(void **state)
{
	struct ctx *c = *state;

	for (int family = 4; family <= 6; family += 2) {
		mk_udp(&m, family, 99, PORT, 40, 9);
		m.len -= 13;
		wr16(m.b + m.head + 4, 8 + 27);
		mk_l4_sum(&m);
		m.len += 13;
		give_mk(c->u, &m);
		expect(c, 27, 9);
	}
}

static void
no_prefix_is_taken_for_the_whole(void **state)
{
	struct ctx *c = *state;

	for (int family = 4; family <= 6; family += 2) {
		mk_udp(&m, family, 99, PORT, 60, 9);
		for (size_t len = 1; len < m.len; len++) {
			uint64_t before = drops(c->u);

			give(c->u, m.b, len);
			expect_none(c);
			assert_int_equal(drops(c->u), before + 1);
		}
	}
	assert_int_equal(take_all(c->u), 0);
}

static void
every_wrong_bit_is_seen(void **state)
{
	struct ctx *c = *state;
	size_t bit, bits;

	/* A checksum sees all of them, one at a time; IPv6 has none for
	   priority, label and hop limit. */
	mk_udp(&m, 4, 99, PORT, 33, 9);
	for (bit = 0, bits = m.len * 8; bit < bits; bit++) {
		m.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		give_mk(c->u, &m);
		expect_none(c);
		m.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	mk_udp(&m, 6, 99, PORT, 33, 9);
	for (bit = 32, bits = m.len * 8; bit < bits; bit++) {
		if (bit / 8 == 7)
			continue;
		m.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		give_mk(c->u, &m);
		expect_none(c);
		m.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	give_mk(c->u, &m);
	expect(c, 33, 9);
}

static void
offloads_say_what_was_verified(void **state)
{
	struct ctx *c = *state;
	utcp_pkt_t meta = { .flags = UTCP_PKT_CSUM_OK };

	mk_udp(&m, 6, 99, PORT, 33, 9);
	m.b[46] ^= 1;
	give_mk(c->u, &m);
	expect_none(c);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_CSUM), 1);
	give_cut(c->u, m.b, m.len, NULL, 0, &meta);
	expect(c, 33, 9);
	meta.flags = UTCP_PKT_CSUM_PARTIAL;
	give_cut(c->u, m.b, m.len, NULL, 0, &meta);
	expect(c, 33, 9);
}

static void
without_a_checksum(void **state)
{
	struct ctx *c = *state;

	mk_udp(&m, 4, 99, PORT, 33, 9);
	wr16(m.b + 26, 0);
	give_mk(c->u, &m);
	expect(c, 33, 9);
	mk_udp(&m, 6, 99, PORT, 33, 9);
	wr16(m.b + 46, 0);
	give_mk(c->u, &m);
	expect_none(c); /* RFC 8200 section 8.1 */
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_CSUM), 1);
}

static void
gro_is_taken_whole(void **state)
{
	struct ctx *c = *state;
	utcp_pkt_t meta = { .flags = UTCP_PKT_CSUM_PARTIAL,
			    .gso_type = UTCP_GSO_UDP,
			    .gso_size = 1000 };
	const utcp_dgram_t *d;
	size_t cuts[3] = { 1500, 3001, 4000 };

	mk_udp(&m, 4, 99, PORT, 5500, 9);
	give_cut(c->u, m.b, m.len, cuts, 3, &meta);
	d = next(c);
	assert_non_null(d);
	assert_int_equal(d->len, 5500);
	assert_int_equal(d->gso_size, 1000);
	assert_true(data_right(d->data, 5500, 9));
	assert_int_equal(ctr(c->u, UTCP_CTR_UDP_IN), 6);
}

/* ---- bad headers ------------------------------------------------------------------ */

struct bad {
	const char *what;
	int family;
	size_t at; /* byte to change, from the IP header on */
	uint8_t to;
	int counter;
};

static void
a_bad_header_is_counted(void **state)
{
	static const struct bad cases[] = {
		{ "version 0", 4, 0, 0x05, UTCP_CTR_DROP_HEADER },
		{ "version 5", 4, 0, 0x55, UTCP_CTR_DROP_HEADER },
		{ "version 6 of IPv4", 4, 0, 0x65, -1 },
		{ "header of 16", 4, 0, 0x44, UTCP_CTR_DROP_HEADER },
		{ "header of 0", 4, 0, 0x40, UTCP_CTR_DROP_HEADER },
		{ "total 19", 4, 3, 19, UTCP_CTR_DROP_SHORT },
		{ "total 0", 4, 3, 0, UTCP_CTR_DROP_SHORT },
		{ "total too long", 4, 2, 1, UTCP_CTR_DROP_SHORT },
		{ "total of UDP's header less 1", 4, 3, 27,
		  UTCP_CTR_DROP_SHORT },
		{ "checksum", 4, 11, 0x12, UTCP_CTR_DROP_CSUM },
		{ "multicast source", 4, 12, 224, UTCP_CTR_DROP_SOURCE },
		{ "class E source", 4, 12, 240, UTCP_CTR_DROP_SOURCE },
		{ "source 0", 4, 12, 0, UTCP_CTR_DROP_SOURCE },
		{ "loopback source", 4, 12, 127, UTCP_CTR_DROP_SOURCE },
		{ "protocol", 4, 9, 132, UTCP_CTR_DROP_PROTO },
		{ "ICMPv6 in IPv4", 4, 9, 58, UTCP_CTR_DROP_PROTO },
		{ "UDP length 7", 4, 25, 7, UTCP_CTR_DROP_SHORT },
		{ "UDP length too long", 4, 24, 1, UTCP_CTR_DROP_SHORT },
		{ "UDP port", 4, 22, 1, UTCP_CTR_DROP_CSUM },
		{ "payload too long", 6, 4, 1, UTCP_CTR_DROP_SHORT },
		{ "payload 7", 6, 5, 7, UTCP_CTR_DROP_SHORT },
		{ "multicast source", 6, 8, 0xff, UTCP_CTR_DROP_SOURCE },
		{ "no next header", 6, 6, 59, UTCP_CTR_DROP_PROTO },
		{ "protocol", 6, 6, 132, UTCP_CTR_DROP_PROTO },
		{ "ICMP in IPv6", 6, 6, 1, UTCP_CTR_DROP_PROTO },
		{ "UDP length 7", 6, 45, 7, UTCP_CTR_DROP_SHORT },
	};
	struct ctx *c = *state;
	uint64_t before;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct bad *b = &cases[i];

		mk_udp(&m, b->family, 99, PORT, 12, 9);
		m.b[b->at] = b->to;
		if (b->family == 4 && b->at != 11 && b->at < 20) {
			m.head = (m.b[0] & 15) * 4;
			if (m.head == 20)
				mk_sum4(&m);
		}
		before = b->counter < 0 ? 0 : ctr(c->u, b->counter);
		give_mk(c->u, &m);
		if (next(c) != NULL)
			fail_msg("%s was taken", b->what);
		if (b->counter >= 0 && ctr(c->u, b->counter) != before + 1)
			fail_msg("%s was not counted as %s", b->what,
				 utcp_counter_name((unsigned int)b->counter));
	}
}

static void
martians_of_ipv6(void **state)
{
	static const uint8_t bad[3][16] = {
		{ 0 },
		{ [15] = 1 },
		{ [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2 },
	};
	struct ctx *c = *state;

	for (int i = 0; i < 3; i++) {
		mk_udp(&m, 6, 99, PORT, 12, 9);
		memcpy(m.b + 8, bad[i], 16);
		mk_l4_sum(&m);
		give_mk(c->u, &m);
		expect_none(c);
		assert_int_equal(ctr(c->u, UTCP_CTR_DROP_SOURCE), i + 1);
	}
}

static void
ipv4_options(void **state)
{
	static const struct {
		uint8_t opt[12];
		bool ok;
	} cases[] = {
		{ { 1, 1, 1, 0, 7, 0 }, true }, /* end before junk */
		{ { 7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 1 }, true },
		{ { 148, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1 }, true },
		{ { 7, 13, 4, 0, 0, 0, 0, 0, 0, 0, 0, 1 }, false },
		{ { 7, 1 }, false },
		{ { 7, 0 }, false },
		{ { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 7 }, false },
		{ { 131, 7, 4, 10, 0, 0, 9, 0 }, false },    /* loose source */
		{ { 1, 137, 7, 4, 10, 0, 0, 9, 0 }, false }, /* and strict */
	};
	struct ctx *c = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		mk_udp(&m, 4, 99, PORT, 12, 9);
		memmove(m.b + 32, m.b + 20, m.len - 20);
		memcpy(m.b + 20, cases[i].opt, 12);
		m.b[0] = 0x48;
		m.head = 32;
		m.len += 12;
		mk_done(&m);
		give_mk(c->u, &m);
		if (cases[i].ok)
			expect(c, 12, 9);
		else
			expect_none(c);
		for (size_t cut = 1; cases[i].ok && cut < 45; cut++) {
			give_cut(c->u, m.b, m.len, &cut, 1, NULL);
			expect(c, 12, 9);
		}
	}
}

/* ---- IPv6 extension headers ---------------------------------------------------------- */

struct ext {
	const char *what;
	uint8_t type;
	uint8_t body[16];
	size_t len;
	bool ok;
	int icmp_code;	  /* of a parameter problem; -1: none */
	uint32_t pointer; /* of that */
};

static void
ipv6_extension_headers(void **state)
{
	static const struct ext cases[] = {
		{ "hop-by-hop, padded", 0, { 0, 0, 1, 4 }, 8, true, -1, 0 },
		{ "router alert", 0, { 0, 0, 5, 2, 0, 0 }, 8, true, -1, 0 },
		{ "Pad1s", 60, { 0, 0 }, 8, true, -1, 0 },
		{ "routing, none left", 43, { 0, 0, 0, 0 }, 8, true, -1, 0 },
		{ "routing, one left", 43, { 0, 0, 0, 1 }, 8, false, 0, 42 },
		{ "option too long", 60, { 0, 0, 1, 5 }, 8, false, -1, 0 },
		{ "option cut",
		  60,
		  { 0, 0, 1, 3, 0, 0, 0, 1 },
		  8,
		  false,
		  -1,
		  0 },
		{ "skip unknown", 60, { 0, 0, 0x3e, 4 }, 8, true, -1, 0 },
		{ "drop unknown", 60, { 0, 0, 0x7e, 4 }, 8, false, -1, 0 },
		{ "tell unknown",
		  60,
		  { 0, 0, 0, 0, 0xbe, 2 },
		  8,
		  false,
		  2,
		  44 },
		{ "tell unknown, not many",
		  60,
		  { 0, 0, 0xfe, 4 },
		  8,
		  false,
		  2,
		  42 },
		{ "longer than the packet",
		  60,
		  { 0, 20, 1, 4 },
		  8,
		  false,
		  -1,
		  0 },
		{ "unknown header", 200, { 0, 0, 0, 0 }, 8, false, 1, 6 },
		{ "two units", 60, { 0, 1, 1, 12 }, 16, true, -1, 0 },
	};
	struct ctx *c = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct ext *e = &cases[i];

		mk_udp(&m, 6, 99, PORT, 12, 9);
		mk_insert6(&m, e->type, e->body, e->len);
		for (size_t cut = 0; cut <= m.len; cut += 3) {
			if (cut == 0)
				give_mk(c->u, &m);
			else
				give_cut(c->u, m.b, m.len, &cut, 1, NULL);
			if (e->ok != (next(c) != NULL))
				fail_msg("%s: %d", e->what, !e->ok);
			if (take(c->u, &g) != (e->icmp_code >= 0))
				fail_msg("%s: ICMP", e->what);
			if (e->icmp_code < 0)
				continue;
			assert_int_equal(g.proto, P_ICMP6);
			assert_int_equal(g.b[40], 4);
			assert_int_equal(g.b[41], e->icmp_code);
			assert_int_equal(rd32(g.b + 44), e->pointer);
			assert_memory_equal(g.b + 48, m.b, m.len);
		}
	}
}

static void
extension_headers_are_bounded(void **state)
{
	static const uint8_t pad[8] = { 0, 0, 1, 4 };
	struct ctx *c = *state;

	mk_udp(&m, 6, 99, PORT, 12, 9);
	for (int i = 1; i <= 40; i++) {
		mk_insert6(&m, 60, pad, 8);
		give_mk(c->u, &m);
		if (i <= 8)
			expect(c, 12, 9);
		else
			expect_none(c);
	}
	/* Hop-by-hop options come first or not at all. */
	mk_udp(&m, 6, 99, PORT, 12, 9);
	mk_insert6(&m, 0, pad, 8);
	mk_insert6(&m, 60, pad, 8);
	give_mk(c->u, &m);
	expect_none(c);
}

static void
unknown_protocols_are_told(void **state)
{
	struct ctx *c = *state;

	mk_udp(&m, 4, 99, PORT, 12, 9);
	m.b[9] = 132;
	mk_sum4(&m);
	give_mk(c->u, &m);
	assert_true(take(c->u, &g));
	assert_int_equal(g.b[20], 3);
	assert_int_equal(g.b[21], 2);
	assert_memory_equal(g.b + 28, m.b, m.len);
}

/* ---- fragments -------------------------------------------------------------------- */

struct frag {
	uint8_t b[4000];
	size_t len;
};

/* Bytes [from, to) of the transport part of m as a fragment. */
static void
mk_frag(struct frag *f, uint32_t id, size_t from, size_t to, bool more)
{
	size_t head = m.head;

	memcpy(f->b, m.b, head);
	if (m.b[0] >> 4 == 4) {
		wr16(f->b + 4, id);
		wr16(f->b + 6, (uint32_t)(from / 8) | (more ? 0x2000 : 0));
	} else {
		f->b[6] = 44;
		f->b[40] = m.b[6];
		f->b[41] = 0;
		wr16(f->b + 42, (uint32_t)from | more);
		wr32(f->b + 44, id);
		head = 48;
	}
	memcpy(f->b + head, m.b + m.head + from, to - from);
	f->len = head + to - from;
	if (m.b[0] >> 4 == 4) {
		wr16(f->b + 2, (uint32_t)f->len);
		wr16(f->b + 10, 0);
		wr16(f->b + 10, ~add_words(0, f->b, 20) & 0xffff);
	} else {
		wr16(f->b + 4, (uint32_t)f->len - 40);
	}
}

static void
give_frag(struct ctx *c, uint32_t id, size_t from, size_t to, bool more)
{
	struct frag f;

	mk_frag(&f, id, from, to, more);
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

			mk_frag(&f, 5, at, to, to < all);
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
	struct ctx *c = *state;
	struct frag f;

	/* Not a multiple of 8, and more to come. */
	for (int family = 4; family <= 6; family += 2) {
		mk_udp(&m, family, 99, PORT, 200, 1);
		mk_frag(&f, 1, 0, 100, true);
		give(c->u, f.b, f.len);
		assert_int_equal(ctr(c->u, UTCP_CTR_DROP_HEADER),
				 family == 4 ? 1 : 2);
	}
	assert_true(take(c->u, &g)); /* RFC 8200: told, code 0, length field */
	assert_int_equal(g.b[40], 4);
	assert_int_equal(rd32(g.b + 44), 4);

	/* Beyond what a packet can be. */
	mk_frag(&f, 2, 0, 104, true);
	wr16(f.b + 42, 0xffd9);
	give(c->u, f.b, f.len);
	assert_true(take(c->u, &g));
	assert_int_equal(rd32(g.b + 44), 42);
	mk_udp(&m, 4, 99, PORT, 200, 1);
	mk_frag(&f, 3, 0, 104, false);
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

/* ---- anything at all ----------------------------------------------------------------- */

static void
mutate(void)
{
	unsigned int n = 1 + rnd(6);

	while (n-- > 0) {
		size_t at = rnd((uint32_t)(rnd(2) ? m.len : 64));

		if (at >= m.len)
			continue;
		switch (rnd(4)) {
		case 0:
			m.b[at] ^= (uint8_t)(1 << rnd(8));
			break;
		case 1:
			m.b[at] = (uint8_t)rnd(256);
			break;
		case 2:
			m.b[at] = (uint8_t)(rnd(2) ? 0 : 0xff);
			break;
		default:
			m.len = 1 + rnd((uint32_t)m.len);
			break;
		}
	}
	if (rnd(4) != 0 && m.len >= 20 && (m.b[0] & 15) >= 5 &&
	    (m.b[0] & 15u) * 4 <= m.len) {
		/* So that it gets further. */
		m.head = (m.b[0] & 15) * 4;
		if (m.b[0] >> 4 == 4)
			mk_sum4(&m);
	}
}

static void
nothing_breaks_it(void **state)
{
	static const uint8_t ext[8] = { 0, 0, 5, 2, 0, 0, 1, 0 };
	static const uint8_t types[5] = { 0, 43, 44, 60, 51 };
	struct ctx *c = *state;
	utcp_pkt_t meta = { 0 };
	uint64_t now = SECOND, base = mem_of(c->u);
	struct frag f;

	for (int i = 0; i < 30000; i++) {
		int family = rnd(2) ? 4 : 6;
		size_t cuts[3];
		unsigned int n = rnd(4);

		mk_udp(&m, family, 99, PORT, rnd(200), 1);
		if (family == 6)
			while (rnd(2))
				mk_insert6(&m, types[rnd(5)], ext, 8);
		if (rnd(3) == 0 && m.len - m.head > 16) {
			size_t from = rnd(2) * 8;

			mk_frag(&f, rnd(8), from, m.len - m.head, rnd(2));
			memcpy(m.b, f.b, f.len);
			m.len = f.len;
		} else if (rnd(3) == 0) {
			m.b[family == 4 ? 9 : 6] = family == 4 ? 1 : 58;
		} else if (rnd(3) == 0) {
			m.b[family == 4 ? 9 : 6] = P_TCP;
		}
		mutate();
		for (unsigned int j = 0; j < n; j++)
			cuts[j] = rnd((uint32_t)m.len + 1);
		for (unsigned int j = 1; j < n; j++)
			if (cuts[j] < cuts[j - 1])
				cuts[j] = cuts[j - 1];
		meta.flags = rnd(3) ? UTCP_PKT_CSUM_OK : 0;
		meta.gso_type = (uint8_t)(rnd(8) ? 0 : rnd(256));
		meta.gso_size = (uint16_t)rnd(65536);
		give_cut(c->u, m.b, m.len, cuts, n, &meta);
		while (next(c) != NULL)
			;
		if (i % 100 == 0) {
			take_all(c->u);
			utcp_advance(c->u, now += SECOND);
		}
	}
	take_all(c->u);
	utcp_advance(c->u, now + 100 * SECOND);
	take_all(c->u);
	while (next(c) != NULL)
		;
	utcp_retain(c->u);
	/* What is kept: idle objects of pools. */
	assert_true(mem_of(c->u) < base + (1u << 20));
	mk_udp(&m, 6, 99, PORT, 10, 1);
	give_mk(c->u, &m);
	expect(c, 10, 1);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_comes_says_from_whom),
		T(any_cut_is_the_same),
		T(padding_is_cut),
		T(udp_may_be_shorter_than_ip),
		T(no_prefix_is_taken_for_the_whole),
		T(every_wrong_bit_is_seen),
		T(offloads_say_what_was_verified),
		T(without_a_checksum),
		T(gro_is_taken_whole),
		T(a_bad_header_is_counted),
		T(martians_of_ipv6),
		T(ipv4_options),
		T(ipv6_extension_headers),
		T(extension_headers_are_bounded),
		T(unknown_protocols_are_told),
		T(fragments_in_any_order),
		T(the_longest_datagram),
		T(fragments_of_many_at_once),
		T(what_overlaps_goes),
		T(bad_fragments),
		T(fragments_do_not_wait_forever),
		T(fragments_are_bounded),
		T(atomic_fragments_stand_alone),
		T(a_fragment_in_a_fragment_is_nothing),
		T(congestion_marks_survive_fragments),
		T(nothing_breaks_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
