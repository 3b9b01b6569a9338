/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IP input: good packets however they are cut, and bad ones of every sort. UDP
 * sockets show what came through.
 */
#include "utcp_udp.h"

/* ---- whole packets ----------------------------------------------------- */

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

/* ---- bad headers ------------------------------------------------------- */

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

/* ---- IPv6 extension headers -------------------------------------------- */

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
		{ "jumbo", 0, { 0, 0, 0xc2, 4, 0, 1, 0, 0 }, 8, false, 2, 42 },
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

/* RFC 8200 section 4.2, RFC 4443 section 2.4 (e) */
static void
what_went_to_many_is_told_on_request(void **state)
{
	static const uint8_t all[16] = { 0xff, 2, [15] = 1 };
	struct ctx *c = *state;

	for (unsigned int i = 0; i < 16; i++) {
		uint8_t type = i & 1 ? 0 : 60, action = i >> 1 & 3;
		bool many = i & 8;
		uint8_t opt[8] = { 0, 0, (uint8_t)(action << 6 | 0x1e), 4 };

		mk_udp(&m, 6, 99, PORT, 12, 9);
		if (many)
			memcpy(m.b + 24, all, 16);
		mk_l4_sum(&m);
		mk_insert6(&m, type, opt, 8);
		give_mk(c->u, &m);
		assert_int_equal(next(c) != NULL, action == 0);
		assert_int_equal(take(c->u, &g),
				 action == 2 || (action == 3 && !many));
		if (g.len == 0)
			continue;
		assert_int_equal(rd16(g.b + 40), 0x0402);
		assert_int_equal(rd32(g.b + 44), 42);
		assert_memory_equal(g.b + 8, us6, 16);
		assert_memory_equal(g.b + 48, m.b, m.len);
	}
	/* For nothing else. */
	mk_udp(&m, 6, 99, PORT, 12, 9);
	m.b[6] = 200;
	memcpy(m.b + 24, all, 16);
	give_mk(c->u, &m);
	assert_false(take(c->u, &g));
}

static void
nothing_is_told_of_errors(void **state)
{
	static const uint8_t opt[8] = { P_ICMP6, 0, 0xbe, 4 };
	static const struct {
		uint8_t type;
		bool told;
	} cases[] = { { 1, false },   { 2, false },   { 4, false },
		      { 127, false }, { 137, false }, { 128, true },
		      { 129, true },  { 135, true } };
	struct ctx *c = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t icmp[60] = { cases[i].type };

		mk_ip(&m, 6, 60);
		mk_put(&m, opt, 8);
		mk_put(&m, icmp, sizeof(icmp));
		mk_done(&m);
		give_mk(c->u, &m);
		assert_int_equal(take(c->u, &g), cases[i].told);
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
	/* A length of 0 would be a jumbogram's. */
	mk_udp(&m, 6, 99, PORT, 12, 9);
	mk_insert6(&m, 0, (const uint8_t[8]){ 0, 0, 0xc2, 4, 0, 1 }, 8);
	wr16(m.b + 4, 0);
	give_mk(c->u, &m);
	expect_none(c);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_SHORT), 1);
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

/* ---- anything at all --------------------------------------------------- */

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

			mk_frag(&f, &m, rnd(8), from, m.len - m.head, rnd(2));
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
		T(what_went_to_many_is_told_on_request),
		T(nothing_is_told_of_errors),
		T(extension_headers_are_bounded),
		T(unknown_protocols_are_told),
		T(nothing_breaks_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
