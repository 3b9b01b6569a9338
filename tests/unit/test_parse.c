/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_parse.c: what the switch reads out of frames: a table of whole frames,
 * each of them cut at every length, and each of the ways to be wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "ms_parse.h"
#include "parse_frames.h"

struct expect {
	uint8_t kind, family, proto, first_fragment;
	uint16_t vlan, l3, l4;
	uint32_t need; /* bytes without which it cannot be understood */
};

/* ---- whole frames, as they are to be read ------------------------------ */

#define K MS_PKT_TUPLE
static const struct {
	const char *name;
	void (*build)(struct built *);
	struct expect e; /* kind family proto first vlan l3 l4 need */
} whole[] = {
	{ "tcp4", b_tcp4, { K, 4, 6, 0, 0, 14, 34, 54 } },
	{ "tcp4 opts", b_tcp4_options, { K, 4, 6, 0, 0, 14, 46, 86 } },
	{ "udp4", b_udp4, { K, 4, 17, 0, 0, 14, 34, 42 } },
	{ "udp4 short", b_udp4_short, { K, 4, 17, 0, 0, 14, 34, 42 } },
	{ "sctp4", b_sctp4, { K, 4, 132, 0, 0, 14, 34, 46 } },
	{ "dccp4", b_dccp4, { K, 4, 33, 0, 0, 14, 34, 46 } },
	{ "udplite4", b_udplite4, { K, 4, 136, 0, 0, 14, 34, 42 } },
	{ "portless4",
	  b_portless4,
	  { MS_PKT_PORTLESS, 4, 253, 0, 0, 14, 34, 34 } },
	{ "padded4", b_padded4, { K, 4, 17, 0, 0, 14, 34, 42 } },
	{ "vlan", b_vlan, { K, 4, 17, 0, 5, 18, 38, 46 } },
	{ "priority", b_priority, { K, 4, 17, 0, 0, 18, 38, 46 } },
	{ "qinq", b_qinq, { K, 6, 17, 0, 0xffff, 22, 62, 70 } },
	{ "first4", b_first4, { K, 4, 17, 1, 0, 14, 34, 42 } },
	{ "later4", b_later4, { MS_PKT_FRAGMENT, 4, 17, 0, 0, 14, 34, 34 } },
	{ "last4", b_last4, { MS_PKT_FRAGMENT, 4, 6, 0, 0, 14, 34, 34 } },
	{ "tcp6", b_tcp6, { K, 6, 6, 0, 0, 14, 54, 86 } },
	{ "udp6 all", b_udp6_all, { K, 6, 17, 0, 0, 14, 126, 134 } },
	{ "first6", b_first6, { K, 6, 17, 1, 0, 14, 70, 78 } },
	{ "later6", b_later6, { MS_PKT_FRAGMENT, 6, 60, 0, 0, 14, 62, 62 } },
	{ "portless6",
	  b_portless6,
	  { MS_PKT_PORTLESS, 6, 50, 0, 0, 14, 54, 54 } },
	{ "nonext6", b_nonext6, { MS_PKT_PORTLESS, 6, 59, 0, 0, 14, 54, 54 } },
	{ "echo4", b_echo4, { MS_PKT_ICMP, 4, 1, 0, 0, 14, 34, 34 } },
	{ "echo6", b_echo6, { MS_PKT_ICMP, 6, 58, 0, 0, 14, 54, 54 } },
};
#undef K

/* ---- checking ------------------------------------------------------------------ */

static uint8_t *guarded; /* a page that ends where nothing is mapped */
static size_t page;

static int
setup(void **state)
{
	(void)state;
	page = (size_t)sysconf(_SC_PAGESIZE);
	guarded = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(guarded, MAP_FAILED);
	assert_int_equal(mprotect(guarded + page, page, PROT_NONE), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	return munmap(guarded, 2 * page);
}

/* Parses with the last readable byte at the edge of the world. */
static const uint8_t *
parse_edge(const struct built *b, uint32_t linear, uint32_t len,
	   struct ms_pkt *pkt)
{
	uint8_t *p = guarded + page - linear;

	memcpy(p, b->p, linear);
	memset(pkt, 0xee, sizeof(*pkt));
	ms_parse(p, linear, len, pkt);
	return p;
}

/* The fast look accepts nothing that the slow one does not, nor differently. */
static void
check_plain(const uint8_t *p, uint32_t linear, uint32_t len,
	    const struct ms_pkt *pkt)
{
	if (!ms_parse_plain4(p, linear, len))
		return;
	assert_int_equal(pkt->kind, MS_PKT_TUPLE);
	assert_int_equal(pkt->family, 4);
	assert_int_equal(pkt->l4_ofs, 34);
	assert_int_equal(pkt->first_fragment, 0);
	assert_int_equal(pkt->proto, p[23]);
	assert_ptr_equal(pkt->saddr, p + 26);
	assert_ptr_equal(pkt->daddr, p + 30);
	assert_memory_equal(&pkt->sport_be, p + 34, 2);
	assert_memory_equal(&pkt->dport_be, p + 36, 2);
}

static void
check_pkt(const struct built *b, const struct expect *e, const uint8_t *p,
	  const struct ms_pkt *pkt)
{
	bool has_ports = e->kind == MS_PKT_TUPLE;

	assert_int_equal(pkt->kind, e->kind);
	assert_int_equal(pkt->family, e->family);
	assert_int_equal(pkt->proto, e->proto);
	assert_int_equal(pkt->first_fragment, e->first_fragment);
	assert_int_equal(pkt->vlan, e->vlan);
	assert_int_equal(pkt->l3_ofs, e->l3);
	assert_int_equal(pkt->l4_ofs, e->l4);
	assert_int_equal(pkt->sport_be, has_ports ? htons(SPORT) : 0);
	assert_int_equal(pkt->dport_be, has_ports ? htons(DPORT) : 0);
	assert_ptr_equal(pkt->saddr, p + b->l3 + (e->family == 4 ? 12 : 8));
	assert_ptr_equal(pkt->daddr, p + b->l3 + (e->family == 4 ? 16 : 24));
}

static void
test_whole_frames(void **state)
{
	struct ms_pkt pkt;
	const uint8_t *p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		struct built b = { .len = 0 };

		print_message("  %s\n", whole[i].name);
		whole[i].build(&b);
		p = parse_edge(&b, b.len, b.len, &pkt);
		check_pkt(&b, &whole[i].e, p, &pkt);
		check_plain(p, b.len, b.len, &pkt);
	}
}

/* A frame of which nothing is missing but the readable part is cut (it lies in
   further segments): all or nothing. */
static void
test_every_linear_length(void **state)
{
	struct ms_pkt pkt;
	const uint8_t *p;
	uint32_t n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		struct built b = { .len = 0 };

		whole[i].build(&b);
		for (n = 0; n < b.len; n++) {
			p = parse_edge(&b, n, b.len, &pkt);
			check_plain(p, n, b.len, &pkt);
			if (n >= whole[i].e.need)
				check_pkt(&b, &whole[i].e, p, &pkt);
			else if (n >= whole[i].e.l3)
				assert_int_equal(pkt.kind, MS_PKT_BAD);
			else
				assert_int_equal(pkt.kind, MS_PKT_OTHER);
		}
	}
}

/* A frame that ends early: its IP header promises more than there is. */
static void
test_every_frame_length(void **state)
{
	struct ms_pkt pkt;
	const uint8_t *p;
	uint32_t n, ip_end;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		struct built b = { .len = 0 };

		whole[i].build(&b);
		p = parse_edge(&b, b.len, b.len, &pkt);
		ip_end = pkt.l3_ofs + pkt.ip_bytes;
		for (n = 0; n < b.len; n++) {
			p = parse_edge(&b, n, n, &pkt);
			check_plain(p, n, n, &pkt);
			if (n >= ip_end)
				check_pkt(&b, &whole[i].e, p, &pkt);
			else if (n >= whole[i].e.l3)
				assert_int_equal(pkt.kind, MS_PKT_BAD);
			else
				assert_int_equal(pkt.kind, MS_PKT_OTHER);
		}
	}
}

static void
test_linear_is_cut_to_len(void **state)
{
	struct built b = { .len = 0 };
	struct ms_pkt pkt;

	(void)state;
	b_tcp4(&b);
	ms_parse(b.p, FRAME_MAX, b.len - 7, &pkt);
	assert_int_equal(pkt.kind, MS_PKT_BAD);
	ms_parse(b.p, FRAME_MAX, b.len, &pkt);
	assert_int_equal(pkt.kind, MS_PKT_TUPLE);
}

static void
test_not_ip(void **state)
{
	void (*const build[])(struct built *) = { b_arp, b_lldp, b_length };
	struct ms_pkt pkt;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(build) / sizeof(build[0]); i++) {
		struct built b = { .len = 0 };

		build[i](&b);
		parse_edge(&b, b.len, b.len, &pkt);
		assert_int_equal(pkt.kind, MS_PKT_OTHER);
	}
}

/* ---- wrong in one place ------------------------------------------------------------ */

static void
edit8(struct built *b, uint32_t at, uint8_t v)
{
	b->p[at] = v;
	if (b->l3 == 14 && b->p[12] == 8 && at < 34 && at != 24 && at != 25)
		sum4(b, 14);
}

#define BAD MS_PKT_BAD
static const struct {
	const char *name;
	void (*build)(struct built *);
	uint32_t at;
	uint8_t value;
	uint8_t kind;
} wrong[] = {
	{ "version", b_tcp4, 14, 0x55, BAD },
	{ "header of 16 bytes", b_tcp4, 14, 0x44, BAD },
	{ "header past the packet", b_tcp4, 17, 19, BAD },
	{ "no room for TCP", b_tcp4, 17, 39, BAD },
	{ "longer than the frame", b_tcp4, 17, 47, BAD },
	{ "longer by 2^8", b_tcp4, 16, 1, BAD },
	{ "checksum, high", b_tcp4, 24, 0, BAD },
	{ "checksum, low", b_tcp4, 25, 0x77, BAD },
	{ "TCP header of 16 bytes", b_tcp4, 46, 0x40, BAD },
	{ "TCP header of 0 bytes", b_tcp4, 46, 0, BAD },
	{ "TCP header past the packet", b_tcp4, 46, 0x70, BAD },
	{ "TCP header to its end", b_tcp4, 46, 0x50, MS_PKT_TUPLE },
	{ "UDP of 7 bytes", b_udp4, 39, 7, BAD },
	{ "UDP of 0 bytes", b_udp4, 39, 0, BAD },
	{ "UDP longer than IP", b_udp4, 39, 19, BAD },
	{ "UDP longer by 2^8", b_udp4, 38, 1, BAD },
	{ "UDP header alone", b_udp4, 39, 8, MS_PKT_TUPLE },
	{ "fragment past 64 KiB", b_later4, 20, 0x3f, MS_PKT_FRAGMENT },
	{ "UDP of 7 bytes in a first fragment", b_first4, 38, 0, BAD },
	{ "version 4 in an IPv6 frame", b_tcp6, 14, 0x40, BAD },
	{ "IPv6 payload past the frame", b_tcp6, 19, 33, BAD },
	{ "IPv6 payload cuts TCP", b_tcp6, 19, 31, BAD },
	{ "IPv6 payload of 0", b_tcp6, 19, 0, BAD },
	{ "hop-by-hop header past the packet", b_udp6_all, 55, 200, BAD },
	{ "routing header past the packet", b_udp6_all, 63, 10, BAD },
	{ "AH past the packet", b_udp6_all, 87, 60, BAD },
	{ "options past the packet", b_udp6_all, 103, 9, BAD },
	{ "hop-by-hop not first", b_udp6_all, 62, 0, BAD },
	{ "no next header", b_udp6_all, 54, 59, MS_PKT_PORTLESS },
	{ "ICMPv4 over IPv6", b_tcp6, 20, 1, MS_PKT_PORTLESS },
	{ "ICMPv6 over IPv4", b_tcp4, 23, 58, MS_PKT_PORTLESS },
	{ "more fragments, but IPv6 whole", b_udp6_all, 121, 1, MS_PKT_TUPLE },
};
#undef BAD

static void
test_one_byte_wrong(void **state)
{
	struct ms_pkt pkt;
	const uint8_t *p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct built b = { .len = 0 };

		print_message("  %s\n", wrong[i].name);
		wrong[i].build(&b);
		edit8(&b, wrong[i].at, wrong[i].value);
		p = parse_edge(&b, b.len, b.len, &pkt);
		check_plain(p, b.len, b.len, &pkt);
		assert_int_equal(pkt.kind, wrong[i].kind);
	}
}

static void
test_fragment_past_64k_is_bad(void **state)
{
	struct built b = { .len = 0 };
	struct ms_pkt pkt;

	(void)state;
	b_later4(&b);
	rig_put16(b.p + 20, 0x1fff); /* 65528, and 32 bytes */
	sum4(&b, 14);
	parse_edge(&b, b.len, b.len, &pkt);
	assert_int_equal(pkt.kind, MS_PKT_BAD);
}

static void
test_too_many_extension_headers(void **state)
{
	struct ms_pkt pkt;
	uint32_t n, i;

	(void)state;
	for (n = 15; n <= 18; n++) {
		struct built b = { .len = 0 };

		ether(&b, 0x86dd);
		b.l3 = ip6(&b, 60);
		for (i = 1; i < n; i++)
			ext6(&b, 60, 8);
		ext6(&b, 17, 8);
		udp(&b, 0);
		ip6_end(&b, b.l3);
		parse_edge(&b, b.len, b.len, &pkt);
		assert_int_equal(pkt.kind, n <= 16 ? MS_PKT_TUPLE : MS_PKT_BAD);
	}
}

static void
test_fragment_of_a_fragment(void **state)
{
	struct built b = { .len = 0 };
	struct ms_pkt pkt;

	(void)state;
	ether(&b, 0x86dd);
	b.l3 = ip6(&b, 44);
	frag6(&b, 44, 1);
	frag6(&b, 17, 0);
	udp(&b, 0);
	ip6_end(&b, b.l3);
	parse_edge(&b, b.len, b.len, &pkt);
	assert_int_equal(pkt.kind, MS_PKT_BAD);
}

static void
test_five_vlan_tags(void **state)
{
	struct built b = { .len = 0 };
	struct ms_pkt pkt;
	int i;

	(void)state;
	ether(&b, 0x8100);
	for (i = 0; i < 5; i++) {
		put16(&b, 1);
		put16(&b, i < 4 ? 0x8100 : 0x0800);
	}
	b.l3 = ip4(&b, 17, 0, 0);
	udp(&b, 0);
	ip4_end(&b, b.l3);
	parse_edge(&b, b.len, b.len, &pkt);
	assert_int_equal(pkt.kind, MS_PKT_OTHER);
}

static void
test_fragment_ids(void **state)
{
	struct built b4 = { .len = 0 }, b6 = { .len = 0 };
	struct ms_pkt pkt;

	(void)state;
	b_later4(&b4);
	parse_edge(&b4, b4.len, b4.len, &pkt);
	assert_int_equal(pkt.frag_id, 0xabcd);
	b_later6(&b6);
	parse_edge(&b6, b6.len, b6.len, &pkt);
	assert_int_equal(pkt.frag_id, 0xdeadbeef);
}

/* ---- ICMP errors -------------------------------------------------------------------- */

/* Quotes a packet from dst4 to src4: we sent it. Returns where it starts. */
static uint32_t
error4(struct built *b, uint8_t type, uint8_t proto, uint16_t frag,
       uint32_t options)
{
	uint32_t inner;

	ether(b, 0x0800);
	b->l3 = ip4(b, 1, 0, 0);
	put(b, &type, 1);
	zeros(b, 7);
	inner = ip4(b, proto, frag, options);
	memcpy(b->p + inner + 12, dst4, 4);
	memcpy(b->p + inner + 16, src4, 4);
	rig_put16(b->p + inner + 2, 1400);
	return inner;
}

static uint32_t
error6(struct built *b, uint8_t type, uint8_t proto)
{
	uint32_t inner;

	ether(b, 0x86dd);
	b->l3 = ip6(b, 58);
	put(b, &type, 1);
	zeros(b, 7);
	inner = ip6(b, proto);
	memcpy(b->p + inner + 8, rig_ip6, 16);
	memcpy(b->p + inner + 24, rig_peer_ip6, 16);
	rig_put16(b->p + inner + 4, 1400);
	return inner;
}

static void
check_inner(const struct ms_pkt *pkt, uint8_t family, uint8_t proto,
	    bool has_ports)
{
	assert_int_equal(pkt->kind, MS_PKT_ICMP_ERROR);
	assert_int_equal(pkt->inner.family, family);
	assert_int_equal(pkt->inner.proto, proto);
	assert_int_equal(pkt->inner.port_be, has_ports ? htons(SPORT) : 0);
	if (family == 4) {
		assert_memory_equal(pkt->inner.addr, dst4, 4);
		assert_memory_equal(pkt->inner.addr + 4, rig_ip6 + 1, 12);
		assert_memory_equal(pkt->peer, src4, 4);
	} else {
		assert_memory_equal(pkt->inner.addr, rig_ip6, 16);
		assert_memory_equal(pkt->peer, rig_peer_ip6, 16);
	}
	if (has_ports) {
		assert_int_equal(pkt->dport_be, htons(SPORT));
		assert_int_equal(pkt->sport_be, htons(DPORT));
	}
}

static void
test_icmp4_error_types(void **state)
{
	struct ms_pkt pkt;
	unsigned int type;
	bool error;

	(void)state;
	for (type = 0; type < 256; type++) {
		struct built b = { .len = 0 };

		error4(&b, (uint8_t)type, 6, 0, 0);
		portful(&b, 4);
		ip4_end(&b, b.l3);
		parse_edge(&b, b.len, b.len, &pkt);
		error = type == 3 || type == 4 || type == 11 || type == 12;
		if (error)
			check_inner(&pkt, 4, 6, true);
		else
			assert_int_equal(pkt.kind, MS_PKT_ICMP);
	}
}

static void
test_icmp6_error_types(void **state)
{
	struct ms_pkt pkt;
	unsigned int type;

	(void)state;
	for (type = 0; type < 256; type++) {
		struct built b = { .len = 0 };

		error6(&b, (uint8_t)type, 17);
		portful(&b, 4);
		ip6_end(&b, b.l3);
		parse_edge(&b, b.len, b.len, &pkt);
		if (type >= 1 && type <= 4)
			check_inner(&pkt, 6, 17, true);
		else
			assert_int_equal(pkt.kind, MS_PKT_ICMP);
	}
}

/* Cut at every byte: an error only while the ports are there. */
static void
test_icmp_error_cut(void **state)
{
	struct ms_pkt pkt;
	uint32_t inner, n, need;
	int family;

	(void)state;
	for (family = 4; family <= 6; family += 2) {
		struct built b = { .len = 0 };

		inner = family == 4 ? error4(&b, 3, 6, 0, 8) : error6(&b, 1, 6);
		portful(&b, 4);
		need = inner + (family == 4 ? 28 : 40) + 4;
		for (n = b.l3 + (family == 4 ? 28 : 48); n <= b.len; n++) {
			if (family == 4) {
				rig_put16(b.p + b.l3 + 2, n - b.l3);
				sum4(&b, b.l3);
			} else {
				rig_put16(b.p + b.l3 + 4, n - b.l3 - 40);
			}
			parse_edge(&b, n, n, &pkt);
			if (n >= need)
				check_inner(&pkt, (uint8_t)family, 6, true);
			else
				assert_int_equal(pkt.kind, MS_PKT_ICMP);
		}
	}
}

static void
test_icmp_error_about_others(void **state)
{
	struct ms_pkt pkt;

	(void)state;
	{ /* a protocol without ports needs its header only */
		struct built b = { .len = 0 };

		error4(&b, 11, 253, 0, 0);
		ip4_end(&b, b.l3);
		parse_edge(&b, b.len, b.len, &pkt);
		check_inner(&pkt, 4, 253, false);
	}
	{ /* ping's own trouble is the host's */
		struct built b = { .len = 0 };

		error4(&b, 3, 1, 0, 0);
		zeros(&b, 8);
		ip4_end(&b, b.l3);
		parse_edge(&b, b.len, b.len, &pkt);
		assert_int_equal(pkt.kind, MS_PKT_ICMP);
	}
	{ /* a later fragment has no ports */
		struct built b = { .len = 0 };

		error4(&b, 11, 17, 0x0010, 0);
		portful(&b, 4);
		ip4_end(&b, b.l3);
		parse_edge(&b, b.len, b.len, &pkt);
		assert_int_equal(pkt.kind, MS_PKT_ICMP);
	}
	{ /* not IP inside */
		struct built b = { .len = 0 };
		uint32_t inner = error4(&b, 3, 6, 0, 0);

		b.p[inner] = 0x65;
		portful(&b, 4);
		ip4_end(&b, b.l3);
		parse_edge(&b, b.len, b.len, &pkt);
		assert_int_equal(pkt.kind, MS_PKT_ICMP);
	}
	{ /* the quoted packet says that it is shorter than its ports */
		struct built b = { .len = 0 };
		uint32_t inner = error4(&b, 3, 6, 0, 0);

		rig_put16(b.p + inner + 2, 23);
		portful(&b, 4);
		ip4_end(&b, b.l3);
		parse_edge(&b, b.len, b.len, &pkt);
		assert_int_equal(pkt.kind, MS_PKT_ICMP);
	}
}

/* The quoted header's checksum may have been spoiled by routers. */
static void
test_icmp_error_inner_checksum_is_not_looked_at(void **state)
{
	struct built b = { .len = 0 };
	struct ms_pkt pkt;
	uint32_t inner;

	(void)state;
	inner = error4(&b, 3, 17, 0, 0);
	rig_put16(b.p + inner + 10, 0x1111);
	portful(&b, 4);
	ip4_end(&b, b.l3);
	parse_edge(&b, b.len, b.len, &pkt);
	check_inner(&pkt, 4, 17, true);
}

/* ---- any bytes ------------------------------------------------------------------------ */

/* Nothing is read behind the end, and what is found lies inside. */
static void
test_noise(void **state)
{
	struct ms_pkt pkt;
	const uint8_t *p;
	uint32_t n, i, round;

	(void)state;
	srandom(20141007);
	for (round = 0; round < 200000; round++) {
		struct built b = { .len = 0 };

		whole[(size_t)random() % (sizeof(whole) / sizeof(whole[0]))]
		    .build(&b);
		for (i = (uint32_t)random() % 4; i-- > 0;)
			b.p[12 + (uint32_t)random() % (b.len - 12)] =
			    (uint8_t)random();
		if ((random() & 1) != 0 && b.l3 == 14 && b.p[12] == 8)
			if (14 + (b.p[14] & 15) * 4u <= b.len)
				sum4(&b, 14);
		n = (random() & 3) != 0 ? b.len
					: (uint32_t)random() % (b.len + 1);
		p = parse_edge(&b, n, n, &pkt);
		check_plain(p, n, n, &pkt);
		if (pkt.kind == MS_PKT_OTHER || pkt.kind == MS_PKT_BAD)
			continue;
		assert_true(pkt.l4_ofs <= n);
		assert_true(pkt.l3_ofs + pkt.ip_bytes <= n);
		assert_true(pkt.family == 4 || pkt.family == 6);
		if (pkt.kind == MS_PKT_TUPLE)
			assert_true(pkt.l4_ofs + 8u <= n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_frames),
		cmocka_unit_test(test_every_linear_length),
		cmocka_unit_test(test_every_frame_length),
		cmocka_unit_test(test_linear_is_cut_to_len),
		cmocka_unit_test(test_not_ip),
		cmocka_unit_test(test_one_byte_wrong),
		cmocka_unit_test(test_fragment_past_64k_is_bad),
		cmocka_unit_test(test_too_many_extension_headers),
		cmocka_unit_test(test_fragment_of_a_fragment),
		cmocka_unit_test(test_five_vlan_tags),
		cmocka_unit_test(test_fragment_ids),
		cmocka_unit_test(test_icmp4_error_types),
		cmocka_unit_test(test_icmp6_error_types),
		cmocka_unit_test(test_icmp_error_cut),
		cmocka_unit_test(test_icmp_error_about_others),
		cmocka_unit_test(
		    test_icmp_error_inner_checksum_is_not_looked_at),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
