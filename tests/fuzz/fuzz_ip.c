/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_ip.c: packets of any kind, fragments above all, for a stack with a
 * listener and two UDP sockets.
 *
 * The input is a list of packets: each a header that is right but for what the
 * input says, then its bytes. Fragments overlap, repeat, leave gaps, end twice.
 * ICMP errors speak of what the UDP sockets, which may be connected, have sent.
 * Datagrams that come out whole are as long as they say, and after it all
 * memory is back.
 */
#include <multistack/utcp.h>

#include "fuzz.h"
#include "util.h"

#define PACKETS_MAX 200
#define PEER_PORT 1234

static int64_t mem_bytes;
static volatile uint8_t seen; /* so that data is read */

static void *
count_alloc(void *arg, size_t bytes)
{
	mem_bytes += (int64_t)bytes;
	return malloc(bytes);
}

static void
count_release(void *arg, void *mem, size_t bytes)
{
	if (mem != NULL)
		mem_bytes -= (int64_t)bytes;
	free(mem);
}

static uint16_t
sum16(const uint8_t *b, size_t len, uint32_t sum)
{
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	if (len % 2 != 0)
		sum += (uint32_t)b[len - 1] << 8;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* A fragment (or a whole packet) of IPv4: offset, more, id, protocol. */
static uint32_t
packet4(struct fuzz_in *in, uint8_t *b, uint8_t how)
{
	uint32_t hdr = 20 + (how & 0x30u) / 4, len = fuzz_u8(in) * 8u;

	memset(b, 0, hdr);
	b[0] = (uint8_t)(0x40 | hdr / 4);
	b[5] = fuzz_u8(in) & 3;
	put16(b + 6, fuzz_u16(in) & ((how & 8) != 0 ? 0x20ff : 0x2003));
	b[8] = 64;
	b[9] = (how & 4) != 0 ? 6 : (how & 0x40) != 0 ? 1 : 17;
	memcpy(b + 12, "\12\0\0\2\12\0\0\1", 8);
	if (hdr > 20)
		fuzz_bytes(in, b + 20, hdr - 20);
	if ((how & 0x80) != 0)
		len += fuzz_u8(in) & 7;
	fuzz_bytes(in, b + hdr, len);
	put16(b + 2, hdr + len);
	put16(b + 10, (uint16_t)~sum16(b, hdr, 0));
	return hdr + len;
}

/* The same of IPv6, and other extension headers. */
static uint32_t
packet6(struct fuzz_in *in, uint8_t *b, uint8_t how)
{
	static const uint8_t kinds[] = { 44, 0, 60, 43 };
	uint32_t at = 40, len, n;
	uint8_t *next = b + 6, kind;

	memset(b, 0, 40);
	b[0] = 0x60;
	b[7] = 64;
	b[8] = b[24] = 0xfd;
	b[23] = 2;
	b[39] = 1;
	for (n = how >> 6; n > 0; n--) {
		kind = fuzz_u8(in);
		*next = kinds[kind & 3];
		next = b + at;
		memset(b + at, 0, 64);
		if ((kind & 3) == 0) {
			put16(b + at + 2, fuzz_u16(in) & 0x3f9);
			b[at + 7] = fuzz_u8(in) & 3;
			at += 8;
			continue;
		}
		b[at + 1] = kind >> 2 & 3;
		fuzz_bytes(in, b + at + 2, 8u * b[at + 1] + 6);
		at += 8u * b[at + 1] + 8;
	}
	*next = (how & 4) != 0 ? 6 : (how & 16) != 0 ? 58 : 17;
	len = fuzz_u8(in) * 8u;
	fuzz_bytes(in, b + at, len);
	put16(b + 4, at - 40 + len);
	return at + len;
}

/* What an ICMP error speaks of: a datagram from a socket of ours. */
static void
quote(uint8_t *q, bool v6)
{
	uint32_t hdr = v6 ? 40 : 20;

	q[0] = v6 ? 0x60 : 0x45;
	if (v6) {
		q[6] = 17;
		memcpy(q + 8, "\375\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
		memcpy(q + 24, "\375\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
	} else {
		put16(q + 6, 0);
		q[9] = 17;
		memcpy(q + 12, "\12\0\0\1\12\0\0\2", 8);
	}
	put16(q + hdr, 53);
	put16(q + hdr + 2, PEER_PORT);
}

/* A transport header at p that leads somewhere, without a checksum that is
   wrong: UDP's may be 0 (IPv4), others are computed over the fragment. */
static void
aim(uint8_t *b, uint32_t len, uint8_t how)
{
	uint32_t hdr = b[0] >> 4 == 4 ? (b[0] & 15) * 4u : 40, at, l4, sum;
	uint8_t proto = b[0] >> 4 == 4 ? b[9] : b[6];

	if (len < hdr + 20 || (b[0] >> 4 == 4 && (get16(b + 6) & 0x1fff) != 0))
		return;
	l4 = len - hdr;
	if (proto == 6 || proto == 17) {
		if ((how & 0x80) != 0)
			put16(b + hdr, PEER_PORT);
		put16(b + hdr + 2, (how & 1) != 0 ? 53 : 80);
		at = proto == 6 ? 16 : 6;
		sum = proto + l4;
	} else if (proto == 1 || proto == 58) {
		if ((how & 1) != 0 && l4 >= 8 + 60)
			quote(b + hdr + 8, proto == 58);
		at = 2;
		sum = proto == 1 ? 0 : proto + l4;
	} else {
		return;
	}
	if (proto != 1)
		sum = hdr == 40 ? sum16(b + 8, 32, sum) : sum16(b + 12, 8, sum);
	put16(b + hdr + at, 0);
	if (proto == 17 && hdr != 40 && (get16(b + 6) & 0x2000) != 0)
		return;
	if (proto == 17)
		put16(b + hdr + 4, l4);
	put16(b + hdr + at, (uint16_t)~sum16(b + hdr, l4, sum));
}

static void
receive(utcp_t *u, utcp_udp_t **udps)
{
	utcp_dgram_t d[2];
	uint8_t x = 0;
	int i, k, n;

	for (i = 0; i < 2; i++) {
		while ((n = utcp_udp_recv(udps[i], d, 2)) > 0)
			for (k = 0; k < n; k++)
				if (d[k].len > 0)
					x ^= ((const uint8_t *)d[k]
						  .data)[d[k].len - 1];
	}
	seen = x;
	utcp_retain(u);
}

static void
drain(utcp_t *u)
{
	static uint8_t bufs[48][2048];
	utcp_pkt_t el[48];
	unsigned int i, turns = 0;

	do {
		memset(el, 0, sizeof(el));
		for (i = 0; i < 48; i++) {
			el[i].data = bufs[i];
			el[i].len = sizeof(bufs[i]);
		}
		FUZZ_CHECK(turns++ < 1000);
	} while (utcp_output(u, el, 48) > 0);
}

static void
peer_of(utcp_addr_t *a, uint8_t family)
{
	memset(a, 0, sizeof(*a));
	memcpy(a->addr, family == 4 ? "\12\0\0\2" : "\375\0\0", 4);
	if (family == 6)
		a->addr[15] = 2;
	a->family = family;
	put16(&a->port_be, PEER_PORT);
}

/* One that goes in fragments, and as far as the path is told. */
static void
send_some(utcp_udp_t **udps)
{
	static const uint8_t bytes[3000];
	utcp_dgram_t d = { .data = bytes, .len = sizeof(bytes) };
	int i;

	for (i = 0; i < 2; i++) {
		peer_of(&d.peer, i == 0 ? 4 : 6);
		(void)utcp_udp_send(udps[i], &d, 1);
	}
}

static utcp_t *
begin(utcp_udp_t **udps, bool connected)
{
	utcp_config_t cfg = { .size = sizeof(cfg), .now_ns = SEC };
	utcp_addr_t a4 = { .addr = { 10, 0, 0, 1 }, .family = 4 };
	utcp_addr_t a6 = { .addr = { 0xfd }, .family = 6 }, to;
	utcp_sock_t *s;
	utcp_t *u;
	int i;

	a6.addr[15] = 1;
	cfg.alloc = count_alloc;
	cfg.release = count_release;
	FUZZ_CHECK(utcp_create(&u, &cfg) == 0);
	FUZZ_CHECK(utcp_address(u, &a4, 1) == 0);
	FUZZ_CHECK(utcp_address(u, &a6, 1) == 0);
	put16(&a4.port_be, 80);
	put16(&a6.port_be, 80);
	FUZZ_CHECK(utcp_open(u, 6, &s) == 0);
	memset(a6.addr, 0, 16);
	FUZZ_CHECK(utcp_bind(s, &a6) == 0);
	FUZZ_CHECK(utcp_listen(s, 3) == 0);
	put16(&a4.port_be, 53);
	put16(&a6.port_be, 53);
	for (i = 0; i < 2; i++) {
		FUZZ_CHECK(utcp_udp_open(u, i == 0 ? 4 : 6, &udps[i]) == 0);
		utcp_udp_set(udps[i], UTCP_OPT_V6ONLY, i);
		FUZZ_CHECK(utcp_udp_bind(udps[i], i == 0 ? &a4 : &a6) == 0);
		if (!connected)
			continue;
		utcp_udp_set(udps[i], UTCP_OPT_SOFT_ERRORS, 1);
		peer_of(&to, i == 0 ? 4 : 6);
		FUZZ_CHECK(utcp_udp_connect(udps[i], &to) == 0);
	}
	return u;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[8192];
	struct fuzz_in in = { data, size };
	unsigned int n = 0, parts;
	uint64_t now = SEC;
	utcp_pkt_t el[2];
	utcp_udp_t *udps[2];
	uint8_t how, *copy;
	uint32_t len;
	utcp_t *u;

	mem_bytes = 0;
	u = begin(udps, size % 2 != 0);
	while (in.left > 0 && n++ < PACKETS_MAX) {
		how = fuzz_u8(&in);
		if (how == 255) {
			now += (uint64_t)fuzz_u8(&in) * SEC;
			utcp_advance(u, now);
			continue;
		}
		len = (how & 2) != 0 ? packet6(&in, bytes, how)
				     : packet4(&in, bytes, how);
		aim(bytes, len, how);
		copy = malloc(len);
		memcpy(copy, bytes, len);
		parts = (how & 32) != 0 && len > 100 ? 2 : 1;
		memset(el, 0, sizeof(el));
		el[0].data = copy;
		el[0].len = parts == 2 ? 60 + (how & 31u) : len;
		if (parts == 2) {
			el[0].flags = UTCP_PKT_MORE;
			el[1].data = copy + el[0].len;
			el[1].len = len - el[0].len;
		}
		FUZZ_CHECK(utcp_input(u, el, parts) == 0);
		if ((how & 8) != 0)
			receive(u, udps);
		if ((how & 0x14) == 0x14)
			send_some(udps);
		utcp_retain(u);
		free(copy);
		drain(u);
	}
	receive(u, udps);
	utcp_destroy(u);
	FUZZ_CHECK(mem_bytes == 0);
	return 0;
}
