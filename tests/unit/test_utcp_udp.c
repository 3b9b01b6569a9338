/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UDP sockets: calls and their misuse, what leaves and in how many pieces, what
 * comes and how long it may be looked at, ICMP errors.
 */
#include "utcp_pkt.h"

#define PORT 7000

static struct mk m;
static struct got g;
static uint8_t data[70000];

static void
fill(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(3 + i * 7);
}

struct ctx {
	utcp_t *u;
	utcp_udp_t *s;
	uint64_t base; /* memory before */
};

static utcp_udp_t *
bound(utcp_t *u, int family, utcp_addr_t a)
{
	utcp_udp_t *s;

	assert_int_equal(utcp_udp_open(u, family, &s), 0);
	assert_int_equal(utcp_udp_bind(s, &a), 0);
	return s;
}

static void
start(struct ctx *c, uint32_t offloads, uint32_t mtu)
{
	utcp_config_t cfg = { .now_ns = SECOND,
			      .offloads = offloads,
			      .mtu = mtu };

	c->u = stack_new(&cfg);
	c->s = bound(c->u, 6, any(6, PORT));
	c->base = mem_of(c->u);
}

static int
setup(void **state)
{
	struct ctx *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	pkt_seed = 1;
	fill();
	start(c, 0, 0);
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

static utcp_dgram_t
dgram(int family, uint16_t port, size_t len)
{
	utcp_dgram_t d = { .data = data, .len = len };

	d.peer = them(family, port);
	return d;
}

static void
send_one(utcp_udp_t *s, const utcp_dgram_t *d)
{
	assert_int_equal(utcp_udp_send(s, d, 1), 1);
}

/* g is this datagram. */
static void
check_dgram(int family, uint16_t sport, uint16_t dport, const uint8_t *from,
	    size_t len)
{
	const uint8_t *udp = g.b + g.head;

	assert_int_equal(g.proto, P_UDP);
	assert_int_equal(g.b[0] >> 4, family);
	if (family == 4) {
		assert_memory_equal(g.b + 12, us4, 4);
		assert_memory_equal(g.b + 16, them4, 4);
	} else {
		assert_memory_equal(g.b + 8, us6, 16);
		assert_memory_equal(g.b + 24, them6, 16);
	}
	assert_int_equal(rd16(udp), sport);
	assert_int_equal(rd16(udp + 2), dport);
	assert_int_equal(rd16(udp + 4), len + 8);
	assert_int_equal(g.len, g.head + 8 + len);
	assert_memory_equal(udp + 8, from, len);
}

/* ---- sending ----------------------------------------------------------------- */

static void
what_is_sent_leaves(void **state)
{
	struct ctx *c = *state;

	for (int family = 4; family <= 6; family += 2) {
		for (size_t len = 0; len < 300; len += 1 + len / 9) {
			utcp_dgram_t d = dgram(family, 53, len);

			d.tos = 0xb9;
			d.ttl = (uint8_t)(len % 200 + 1);
			send_one(c->s, &d);
			assert_int_equal(utcp_next_ns(c->u), SECOND);
			assert_true(take(c->u, &g));
			check_dgram(family, PORT, 53, data, len);
			if (family == 4) {
				assert_int_equal(g.b[1], 0xb9);
				assert_int_equal(g.b[8], d.ttl);
				assert_int_equal(rd16(g.b + 6), 0x4000);
			} else {
				assert_int_equal(rd16(g.b) >> 4 & 0xff, 0xb9);
				assert_int_equal(g.b[7], d.ttl);
			}
			assert_false(take(c->u, &g));
		}
	}
	assert_int_equal(mem_of(c->u), c->base);
	assert_int_equal(utcp_next_ns(c->u), UTCP_NEVER);
}

static void
a_checksum_is_never_zero(void **state)
{
	struct ctx *c = *state;
	uint8_t two[2] = { 0 };
	utcp_dgram_t d = dgram(4, 53, 2);

	d.data = two;
	send_one(c->s, &d);
	assert_true(take(c->u, &g));
	/* What makes the sum 0, which would mean that there is none (RFC 768). */
	memcpy(two, g.b + 26, 2);
	send_one(c->s, &d);
	assert_true(take(c->u, &g));
	assert_int_equal(rd16(g.b + 26), 0xffff);
}

/* Any sizes of elements, even and odd pieces. */
static void
any_buffers_hold_it(void **state)
{
	struct ctx *c = *state;
	uint32_t sizes[UTCP_PKT_PARTS_MAX];

	for (int i = 0; i < 500; i++) {
		int family = i % 2 ? 4 : 6;
		size_t len = rnd(1400);
		utcp_dgram_t d = dgram(family, 53, len);
		uint32_t room = 0, need;

		need = (uint32_t)(L2 + (family == 4 ? 28 : 48) + len);
		for (int j = 0; j < UTCP_PKT_PARTS_MAX; j++) {
			sizes[j] = j == 0 ? L2 + 128 : 1 + rnd(200);
			room += sizes[j];
		}
		if (room < need)
			continue;
		send_one(c->s, &d);
		assert_true(take_sized(c->u, &g, sizes, UTCP_PKT_PARTS_MAX));
		check_dgram(family, PORT, 53, data, len);
	}
}

static void
without_room_it_waits(void **state)
{
	struct ctx *c = *state;
	uint32_t sizes[3] = { L2 + 128, 600, 600 };
	utcp_dgram_t d = dgram(4, 53, 1400);

	send_one(c->s, &d);
	for (unsigned int n = 1; n <= 3; n++)
		assert_false(take_sized(c->u, &g, sizes, n));
	sizes[2] = 1300;
	assert_true(take_sized(c->u, &g, sizes, 3));
	check_dgram(4, PORT, 53, data, 1400);
}

static void
what_never_fits_is_dropped(void **state)
{
	struct ctx *c = *state;
	uint32_t sizes[UTCP_PKT_PARTS_MAX];
	utcp_dgram_t d = dgram(4, 53, 1400);

	for (int i = 0; i < UTCP_PKT_PARTS_MAX; i++)
		sizes[i] = i == 0 ? L2 + 128 : 2;
	send_one(c->s, &d);
	d.len = 10;
	send_one(c->s, &d);
	assert_true(take_sized(c->u, &g, sizes, UTCP_PKT_PARTS_MAX));
	check_dgram(4, PORT, 53, data, 10);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_NOMEM), 1);
}

static void
the_device_finishes_checksums(void **state)
{
	struct ctx *c = *state;

	utcp_destroy(c->u);
	start(c, UTCP_OFFLOAD_CSUM, 0);
	for (int family = 4; family <= 6; family += 2) {
		utcp_dgram_t d = dgram(family, 53, 777);

		send_one(c->s, &d);
		assert_true(take(c->u, &g));
		assert_int_equal(g.meta.flags, UTCP_PKT_CSUM_PARTIAL);
		assert_int_equal(g.meta.csum_start, L2 + g.head);
		assert_int_equal(g.meta.csum_offset, 6);
		check_dgram(family, PORT, 53, data, 777);
	}
}

static void
gso_leaves_as_one_or_as_many(void **state)
{
	struct ctx *c = *state;

	for (int on = 0; on < 2; on++) {
		utcp_destroy(c->u);
		start(c, on ? UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_UDP : 0, 0);
		for (int family = 4; family <= 6; family += 2) {
			utcp_dgram_t d = dgram(family, 53, 10500);
			size_t at = 0;

			d.gso_size = 1000;
			send_one(c->s, &d);
			while (take(c->u, &g)) {
				size_t n = on ? 10500 : 1000;

				if (n > 10500 - at)
					n = 10500 - at;
				check_dgram(family, PORT, 53, data + at, n);
				assert_int_equal(g.meta.gso_size,
						 on ? 1000 : 0);
				assert_int_equal(g.meta.gso_type,
						 on ? UTCP_GSO_UDP : 0);
				at += n;
			}
			assert_int_equal(at, 10500);
		}
		assert_int_equal(ctr(c->u, UTCP_CTR_UDP_OUT), 22);
	}
}

static void
gso_is_cut_to_what_one_packet_takes(void **state)
{
	struct ctx *c = *state;
	utcp_dgram_t d = dgram(4, 53, 12700);
	size_t at = 0;

	utcp_destroy(c->u);
	start(c, UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_UDP, 0);
	d.gso_size = 100; /* 127 of them, 64 in a packet */
	send_one(c->s, &d);
	while (take(c->u, &g)) {
		assert_true(g.len - 28 <= 6400);
		check_dgram(4, PORT, 53, data + at, at == 0 ? 6400 : 6300);
		at += g.len - 28;
	}
	assert_int_equal(at, 12700);
	d.len = 12801;
	assert_int_equal(utcp_udp_send(c->s, &d, 1), -EINVAL);
}

static void
too_long_ones_go_in_fragments(void **state)
{
	struct ctx *c = *state;
	struct ctx peer = { 0 };
	utcp_dgram_t r;

	/* What one stack cuts another joins, through every offload. */
	utcp_destroy(c->u);
	for (unsigned int k = 0; k < 2; k++) {
		start(c, k ? UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_UDP : 0,
		      1500);
		start(&peer, 0, 0);
		for (size_t len = 1470; len < 66000; len += 1 + rnd(1500)) {
			int family = rnd(2) ? 4 : 6;
			utcp_dgram_t d;
			unsigned int n = 0;

			if (len > (family == 4 ? 65507 : 65527))
				continue;
			d = dgram(family, PORT, len);
			d.tos = 2;
			send_one(c->s, &d);
			while (take(c->u, &g)) {
				assert_true(g.len <= 1500);
				give(peer.u, g.b, g.len);
				n++;
			}
			assert_int_equal(utcp_udp_recv(peer.s, &r, 1), 1);
			assert_int_equal(r.len, len);
			assert_int_equal(r.tos, 2);
			assert_memory_equal(r.data, data, len);
			if (len > 1472)
				assert_true(n > 1);
		}
		assert_int_equal(drops(peer.u), 0);
		utcp_destroy(peer.u);
		if (k == 0)
			utcp_destroy(c->u);
	}
}

static void
or_are_refused(void **state)
{
	struct ctx *c = *state;
	utcp_dgram_t d = dgram(4, 53, 1473);

	assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_PMTUD, 2), 0);
	assert_int_equal(utcp_udp_send(c->s, &d, 1), -EMSGSIZE);
	d.gso_size = 1472;
	send_one(c->s, &d);
	d.gso_size = 0;
	d.len = 1472;
	send_one(c->s, &d);
	assert_int_equal(take_all(c->u), 3);
	d = dgram(6, 53, 1453);
	assert_int_equal(utcp_udp_send(c->s, &d, 1), -EMSGSIZE);
	for (int mode = 0; mode < 3; mode++) {
		assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_PMTUD, mode), 0);
		d = dgram(4, 53, 65508);
		assert_int_equal(utcp_udp_send(c->s, &d, 1), -EMSGSIZE);
		d = dgram(6, 53, 65528);
		assert_int_equal(utcp_udp_send(c->s, &d, 1), -EMSGSIZE);
	}
	/* Without discovery, without DF. */
	assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_PMTUD, 0), 0);
	d = dgram(4, 53, 100);
	send_one(c->s, &d);
	assert_true(take(c->u, &g));
	assert_int_equal(rd16(g.b + 6), 0);
}

static void
the_send_queue_is_bounded(void **state)
{
	struct ctx *c = *state;
	utcp_dgram_t d[64];
	utcp_event_t ev[4];
	int n, sum = 0;

	for (int i = 0; i < 64; i++)
		d[i] = dgram(4, 53, 1000);
	assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_SNDBUF, 20000), 0);
	assert_int_equal(utcp_udp_poll(c->s), UTCP_OUT);
	while ((n = utcp_udp_send(c->s, d, 64)) > 0)
		sum += n;
	assert_int_equal(n, -EAGAIN);
	assert_in_range(sum, 10, 20);
	assert_true(mem_of(c->u) - c->base < 21000);
	while (utcp_events(c->u, ev, 4) > 0)
		;
	assert_int_equal(take_all(c->u), sum);
	/* Room again: told, since it was asked for. */
	assert_int_equal(utcp_events(c->u, ev, 4), 1);
	assert_ptr_equal(ev[0].udp, c->s);
	assert_null(ev[0].sock);
	assert_true(ev[0].ready & UTCP_OUT);
	/* One always goes, if nothing else is there. */
	d[0] = dgram(4, 53, 30000);
	send_one(c->s, &d[0]);
	assert_int_equal(utcp_udp_send(c->s, &d[1], 1), -EAGAIN);
	take_all(c->u);
	assert_int_equal(mem_of(c->u), c->base);
}

static void
sockets_take_turns(void **state)
{
	struct ctx *c = *state;
	utcp_udp_t *other = bound(c->u, 4, any(4, PORT + 1));
	utcp_dgram_t d = dgram(4, 53, 10);
	unsigned int run = 0, longest = 0;
	uint32_t last = 0;

	for (int i = 0; i < 100; i++) {
		send_one(c->s, &d);
		send_one(other, &d);
	}
	while (take(c->u, &g)) {
		uint32_t port = rd16(g.b + 20);

		run = port == last ? run + 1 : 1;
		if (run > longest)
			longest = run;
		last = port;
	}
	assert_true(longest <= 16);
}

/* ---- addresses ---------------------------------------------------------------- */

static void
the_source_is_chosen(void **state)
{
	struct ctx *c = *state;
	static const uint8_t alias[4] = { 10, 0, 0, 9 };
	utcp_dgram_t d = dgram(4, 53, 10);
	utcp_udp_t *s, *t;
	utcp_addr_t a;

	/* by who sends */
	d.local = addr4(alias, 0);
	send_one(c->s, &d);
	assert_true(take(c->u, &g));
	assert_memory_equal(g.b + 12, alias, 4);
	d.local.port_be = 1;
	assert_int_equal(utcp_udp_send(c->s, &d, 1), -EINVAL);
	/* by bind */
	s = bound(c->u, 4, addr4(alias, 8000));
	d.local = (utcp_addr_t){ 0 };
	send_one(s, &d);
	assert_true(take(c->u, &g));
	assert_memory_equal(g.b + 12, alias, 4);
	d.local = us(4, 0);
	assert_int_equal(utcp_udp_send(s, &d, 1), -EINVAL);
	/* ephemeral */
	assert_int_equal(utcp_udp_open(c->u, 4, &t), 0);
	assert_int_equal(utcp_udp_getsockname(t, &a), -EINVAL);
	d.local = (utcp_addr_t){ 0 };
	send_one(t, &d);
	assert_int_equal(utcp_udp_getsockname(t, &a), 0);
	assert_true(take(c->u, &g));
	assert_memory_equal(g.b + 20, &a.port_be, 2);
	assert_true(rd16(g.b + 20) >= 1024);
	/* or there is none */
	a = us(4, 0);
	assert_int_equal(utcp_address(c->u, &a, 0), 0);
	assert_int_equal(utcp_udp_send(t, &d, 1), -EADDRNOTAVAIL);
}

static void
ports_are_exclusive(void **state)
{
	struct ctx *c = *state;
	utcp_addr_t a = any(6, PORT);
	utcp_udp_t *s;

	assert_int_equal(utcp_udp_open(c->u, 6, &s), 0);
	assert_int_equal(utcp_udp_bind(s, &a), -EADDRINUSE);
	a = any(4, PORT);
	assert_int_equal(utcp_udp_bind(s, &a), -EAFNOSUPPORT);
	utcp_udp_close(c->s);
	a = any(6, PORT);
	assert_int_equal(utcp_udp_bind(s, &a), 0);
	assert_int_equal(utcp_udp_bind(s, &a), -EINVAL);
	utcp_udp_close(s);
}

static void
families_are_told_apart(void **state)
{
	struct ctx *c = *state;
	utcp_udp_t *s4 = bound(c->u, 4, any(4, 8000)), *only6;
	utcp_dgram_t d = dgram(6, 53, 1), r;
	utcp_addr_t a = any(6, 8001);

	assert_int_equal(utcp_udp_send(s4, &d, 1), -EAFNOSUPPORT);
	assert_int_equal(utcp_udp_open(c->u, 6, &only6), 0);
	assert_int_equal(utcp_udp_set(only6, UTCP_OPT_V6ONLY, 1), 0);
	assert_int_equal(utcp_udp_bind(only6, &a), 0);
	assert_int_equal(utcp_udp_set(only6, UTCP_OPT_V6ONLY, 0), -EISCONN);
	d = dgram(4, 53, 1);
	assert_int_equal(utcp_udp_send(only6, &d, 1), -EAFNOSUPPORT);
	mk_udp(&m, 4, 53, 8001, 10, 3);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_recv(only6, &r, 1), -EAGAIN);
	mk_udp(&m, 6, 53, 8001, 10, 3);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_recv(only6, &r, 1), 1);
	mk_udp(&m, 6, 53, 8000, 10, 3);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_recv(s4, &r, 1), -EAGAIN);
}

static void
the_exact_address_comes_first(void **state)
{
	struct ctx *c = *state;
	utcp_udp_t *exact;
	utcp_dgram_t r;

	utcp_udp_close(c->s);
	exact = bound(c->u, 4, us(4, PORT));
	mk_udp(&m, 4, 53, PORT, 10, 3);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_recv(exact, &r, 1), 1);
	m.b[19] = 77; /* another address of ours */
	mk_done(&m);
	mk_l4_sum(&m);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_recv(exact, &r, 1), -EAGAIN);
}

static void
connected_hears_its_peer_only(void **state)
{
	struct ctx *c = *state;
	utcp_addr_t a = them(4, 53), none = { 0 };
	utcp_dgram_t d = { .data = data, .len = 5 }, r;

	assert_int_equal(utcp_udp_send(c->s, &d, 1), -EDESTADDRREQ);
	assert_int_equal(utcp_udp_connect(c->s, &a), 0);
	send_one(c->s, &d);
	assert_true(take(c->u, &g));
	check_dgram(4, PORT, 53, data, 5);
	assert_int_equal(utcp_udp_getsockname(c->s, &a), 0);
	assert_memory_equal(a.addr, us4, 4);
	assert_int_equal(a.family, 4);
	mk_udp(&m, 4, 53, PORT, 10, 3);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_recv(c->s, &r, 1), 1);
	mk_udp(&m, 4, 54, PORT, 10, 3);
	give_mk(c->u, &m);
	mk_udp(&m, 6, 53, PORT, 10, 3);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_recv(c->s, &r, 1), -EAGAIN);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_CLOSED), 2);
	assert_int_equal(utcp_udp_connect(c->s, &none), 0);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_recv(c->s, &r, 1), 1);
}

/* ---- receiving ------------------------------------------------------------------- */

/* Gives m without taking its memory away. */
static uint8_t *
lend(utcp_t *u)
{
	utcp_pkt_t pkt = { 0 };

	pkt.data = malloc(L2 + m.len);
	assert_non_null(pkt.data);
	memcpy(pkt.data + L2, m.b, m.len);
	pkt.len = (uint32_t)(L2 + m.len);
	assert_int_equal(utcp_input(u, &pkt, 1), 0);
	return pkt.data;
}

static void
views_are_borrowed_until_retain(void **state)
{
	struct ctx *c = *state;
	utcp_dgram_t r[2];
	uint8_t *a, *b;

	mk_udp(&m, 4, 53, PORT, 100, 3);
	a = lend(c->u);
	mk_udp(&m, 4, 53, PORT, 200, 4);
	b = lend(c->u);
	assert_int_equal(utcp_udp_recv(c->s, &r[0], 1), 1);
	assert_ptr_equal(r[0].data, a + L2 + 28); /* no copy */
	utcp_retain(c->u);
	memset(a, 0xdd, 100);
	free(a);
	memset(b, 0xdd, 200);
	free(b);
	assert_int_equal(utcp_udp_recv(c->s, &r[1], 1), 1);
	assert_int_equal(r[1].len, 200);
	assert_true(data_right(r[1].data, 200, 4));
	/* Fewer than asked for: what was given before is gone. */
	assert_int_equal(utcp_udp_recv(c->s, r, 2), -EAGAIN);
	assert_int_equal(mem_of(c->u), c->base);
}

static void
a_batch_stays_while_it_is_read(void **state)
{
	struct ctx *c = *state;
	utcp_dgram_t r[8];

	for (uint8_t i = 0; i < 12; i++) {
		mk_udp(&m, 4, 53, PORT, 50u + i, i);
		give_mk(c->u, &m); /* retained: copies */
	}
	assert_int_equal(utcp_udp_recv(c->s, r, 8), 8);
	for (uint8_t i = 0; i < 8; i++) {
		assert_int_equal(r[i].len, 50 + i);
		assert_true(data_right(r[i].data, r[i].len, i));
	}
	assert_int_equal(utcp_udp_recv(c->s, r, 8), 4);
	for (uint8_t i = 0; i < 4; i++)
		assert_true(data_right(r[i].data, r[i].len, i + 8));
	utcp_retain(c->u);
	assert_int_equal(mem_of(c->u), c->base);
}

static void
the_receive_queue_is_bounded(void **state)
{
	struct ctx *c = *state;
	utcp_dgram_t r;
	unsigned int n = 0;

	assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_RCVBUF, 50000), 0);
	for (int len = 0; len <= 1000; len += 1000) {
		for (int i = 0; i < 5000; i++) {
			mk_udp(&m, 4, 53, PORT, (size_t)len, 3);
			give_mk(c->u, &m);
		}
		/* Empty ones cost as well. */
		assert_true(mem_of(c->u) - c->base < 60000);
		assert_true(ctr(c->u, UTCP_CTR_DROP_RCVBUF) > 4000u * n);
		n = 0;
		while (utcp_udp_recv(c->s, &r, 1) == 1)
			n++;
		assert_in_range(n, 40, 1000);
		n = 1;
	}
	assert_int_equal(mem_of(c->u), c->base);
}

static void
the_stack_as_a_whole_is_bounded(void **state)
{
	struct ctx *c = *state;
	utcp_config_t cfg = { .now_ns = SECOND, .max_bytes = 30000 };
	utcp_dgram_t d = dgram(4, 53, 1000);
	utcp_udp_t *s;
	int n = 0;

	utcp_destroy(c->u);
	c->u = stack_new(&cfg);
	s = bound(c->u, 4, any(4, PORT));
	for (int i = 0; i < 100; i++) {
		mk_udp(&m, 4, 53, PORT, 1000, 3);
		give_mk(c->u, &m);
	}
	assert_true(ctr(c->u, UTCP_CTR_DROP_NOMEM) > 70);
	while (utcp_udp_send(s, &d, 1) == 1)
		n++;
	assert_int_equal(utcp_udp_send(s, &d, 1), -ENOMEM);
	assert_true(n < 30);
}

static void
events_tell_what_is_new(void **state)
{
	struct ctx *c = *state;
	int user = 1;
	utcp_event_t ev[4];
	utcp_dgram_t r;

	utcp_udp_set_user(c->s, &user);
	assert_ptr_equal(utcp_udp_user(c->s), &user);
	assert_int_equal(utcp_events(c->u, ev, 4), 0);
	mk_udp(&m, 4, 53, PORT, 10, 3);
	give_mk(c->u, &m);
	give_mk(c->u, &m);
	assert_int_equal(utcp_events(c->u, ev, 4), 1);
	assert_ptr_equal(ev[0].udp, c->s);
	assert_ptr_equal(ev[0].user, &user);
	assert_int_equal(ev[0].ready, UTCP_IN | UTCP_OUT);
	assert_int_equal(utcp_events(c->u, ev, 4), 0); /* edges */
	give_mk(c->u, &m);
	assert_int_equal(utcp_events(c->u, ev, 4), 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(utcp_udp_recv(c->s, &r, 1), 1);
	assert_int_equal(utcp_udp_poll(c->s), UTCP_OUT);
	/* A closed one tells nothing. */
	give_mk(c->u, &m);
	utcp_udp_close(c->s);
	assert_int_equal(utcp_events(c->u, ev, 4), 0);
}

/* ---- ICMP -------------------------------------------------------------------------- */

static void
a_closed_port_is_told(void **state)
{
	struct ctx *c = *state;

	for (int family = 4; family <= 6; family += 2) {
		for (size_t len = 0; len < 1400; len += 199) {
			size_t most = family == 4 ? 548 : 568;

			mk_udp(&m, family, 53, 9, len, 3);
			give_mk(c->u, &m);
			assert_true(take(c->u, &g));
			assert_int_equal(g.proto,
					 family == 4 ? P_ICMP : P_ICMP6);
			assert_int_equal(rd16(g.b + g.head),
					 family == 4 ? 0x0303 : 0x0104);
			assert_int_equal(g.len - g.head - 8,
					 m.len < most ? m.len : most);
			assert_memory_equal(g.b + g.head + 8, m.b,
					    g.len - g.head - 8);
		}
	}
}

static void
to_many_nothing_is_told(void **state)
{
	struct ctx *c = *state;

	mk_udp(&m, 4, 53, 9, 10, 3);
	m.b[16] = 239;
	mk_done(&m);
	mk_l4_sum(&m);
	give_mk(c->u, &m);
	memset(m.b + 16, 255, 4);
	mk_done(&m);
	mk_l4_sum(&m);
	give_mk(c->u, &m);
	mk_udp(&m, 6, 53, 9, 10, 3);
	m.b[24] = 0xff;
	mk_l4_sum(&m);
	give_mk(c->u, &m);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_CLOSED), 3);
	assert_int_equal(take_all(c->u), 0);
}

static void
answers_are_limited(void **state)
{
	struct ctx *c = *state;
	uint64_t now = SECOND;
	unsigned int n = 0;

	for (int s = 0; s < 3; s++) {
		for (int i = 0; i < 5000; i++) {
			mk_udp(&m, 4, 53, 9, 10, 3);
			give_mk(c->u, &m);
			n += take_all(c->u);
		}
		assert_in_range(n, 900u * (unsigned int)(s + 1),
				1000u * (unsigned int)(s + 1));
		utcp_advance(c->u, now += SECOND);
	}
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_LIMIT), 15000 - n);
}

/* An ICMP error about a datagram from us:sport to them:dport. */
static void
mk_error(int family, uint8_t type, uint8_t code, uint32_t rest, uint16_t sport,
	 uint16_t dport)
{
	uint8_t head[8] = { type, code };
	struct mk *q = calloc(1, sizeof(*q));
	size_t n = family == 4 ? 4 : 16, at = family == 4 ? 12 : 8;

	assert_non_null(q);
	mk_udp(q, family, sport, dport, 30, 1);
	memcpy(q->b + at, family == 4 ? us4 : us6, n);
	memcpy(q->b + at + n, family == 4 ? them4 : them6, n);
	mk_done(q);
	wr32(head + 4, rest);
	mk_ip(&m, family, family == 4 ? P_ICMP : P_ICMP6);
	mk_put(&m, head, 8);
	mk_put(&m, q->b, q->len);
	mk_done(&m);
	mk_l4_sum(&m);
	free(q);
}

static void
icmp_errors_reach_the_connected(void **state)
{
	static const struct {
		int family;
		uint8_t type, code;
		int err; /* 0: none */
	} cases[] = {
		{ 4, 3, 0, ENETUNREACH },
		{ 4, 3, 1, EHOSTUNREACH },
		{ 4, 3, 2, ENOPROTOOPT },
		{ 4, 3, 3, ECONNREFUSED },
		{ 4, 3, 13, EHOSTUNREACH },
		{ 4, 3, 15, EHOSTUNREACH },
		{ 4, 3, 16, 0 },
		{ 4, 4, 0, 0 },
		{ 4, 5, 0, 0 },
		{ 4, 8, 0, 0 },
		{ 4, 11, 0, EHOSTUNREACH },
		{ 4, 12, 0, EPROTO },
		{ 6, 1, 0, ENETUNREACH },
		{ 6, 1, 1, EACCES },
		{ 6, 1, 4, ECONNREFUSED },
		{ 6, 1, 7, 0 },
		{ 6, 3, 0, EHOSTUNREACH },
		{ 6, 4, 1, EPROTO },
		{ 6, 128, 0, 0 },
		{ 6, 135, 0, 0 },
	};
	struct ctx *c = *state;
	utcp_dgram_t d = { .data = data, .len = 5 }, r;
	int64_t v;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		utcp_addr_t a = them(cases[i].family, 53);

		assert_int_equal(utcp_udp_connect(c->s, &a), 0);
		mk_error(cases[i].family, cases[i].type, cases[i].code, 0, PORT,
			 53);
		give_mk(c->u, &m);
		assert_int_equal(utcp_udp_poll(c->s),
				 UTCP_OUT | (cases[i].err ? UTCP_ERR : 0));
		if (cases[i].err == 0)
			continue;
		assert_int_equal(utcp_udp_send(c->s, &d, 1), -cases[i].err);
		assert_int_equal(utcp_udp_send(c->s, &d, 1), 1); /* once */
		give_mk(c->u, &m);
		assert_int_equal(utcp_udp_recv(c->s, &r, 1), -cases[i].err);
		give_mk(c->u, &m);
		assert_int_equal(utcp_udp_get(c->s, UTCP_OPT_ERROR, &v), 0);
		assert_int_equal(v, cases[i].err);
		assert_int_equal(utcp_udp_get(c->s, UTCP_OPT_ERROR, &v), 0);
		assert_int_equal(v, 0);
	}
	/* No ICMP about ICMP, whatever it said; only what was sent left. */
	while (take(c->u, &g))
		assert_int_equal(g.proto, P_UDP);
}

static void
icmp_errors_reach_nobody_else(void **state)
{
	struct ctx *c = *state;
	utcp_addr_t a = them(4, 53);

	mk_error(4, 3, 3, 0, PORT, 53);
	give_mk(c->u, &m); /* not connected */
	assert_int_equal(utcp_udp_poll(c->s), UTCP_OUT);
	assert_int_equal(utcp_udp_connect(c->s, &a), 0);
	mk_error(4, 3, 3, 0, PORT, 54);
	give_mk(c->u, &m);
	mk_error(4, 3, 3, 0, PORT + 1, 53);
	give_mk(c->u, &m);
	mk_error(4, 3, 3, 0, PORT, 53);
	m.b[28 + 19] = 3; /* about a packet to somebody else */
	mk_l4_sum(&m);
	give_mk(c->u, &m);
	mk_error(4, 3, 3, 0, PORT, 53);
	m.b[28 + 15] = 3; /* that we did not send */
	mk_l4_sum(&m);
	give_mk(c->u, &m);
	mk_error(4, 3, 3, 0, PORT, 53);
	m.b[28 + 7] = 1; /* about a later fragment: no ports in it */
	mk_l4_sum(&m);
	give_mk(c->u, &m);
	mk_error(4, 3, 3, 0, PORT, 53);
	m.b[22] ^= 1;
	give_mk(c->u, &m);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_CSUM), 1);
	assert_int_equal(utcp_udp_poll(c->s), UTCP_OUT);
	/* cut at any byte: 28 and what is needed of the other */
	for (size_t len = 20; len < 20 + 8 + 20 + 8; len++) {
		mk_error(4, 3, 3, 0, PORT, 53);
		m.len = len;
		mk_done(&m);
		if (len >= 28)
			mk_l4_sum(&m);
		give_mk(c->u, &m);
		assert_int_equal(utcp_udp_poll(c->s), UTCP_OUT);
	}
	mk_error(4, 3, 3, 0, PORT, 53);
	m.len = 20 + 8 + 20 + 8;
	mk_done(&m);
	mk_l4_sum(&m);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_poll(c->s), UTCP_OUT | UTCP_ERR);
}

static void
the_path_tells_its_mtu(void **state)
{
	struct ctx *c = *state;
	utcp_dgram_t d = dgram(4, 53, 1400);
	int64_t v;

	/* Fragments from then on. */
	mk_error(4, 3, 4, 1300, PORT, 53);
	give_mk(c->u, &m);
	send_one(c->s, &d);
	assert_int_equal(take_all(c->u), 2);
	d = dgram(6, 53, 1400);
	send_one(c->s, &d);
	assert_int_equal(take_all(c->u), 1);
	mk_error(6, 2, 0, 1300, PORT, 53);
	give_mk(c->u, &m);
	send_one(c->s, &d);
	assert_int_equal(take_all(c->u), 2);
	/* Not below what is sane. */
	mk_error(6, 2, 0, 1279, PORT, 53);
	give_mk(c->u, &m);
	d.len = 1252;
	send_one(c->s, &d);
	assert_int_equal(take_all(c->u), 1);
	mk_error(4, 3, 4, 67, PORT, 53);
	give_mk(c->u, &m);
	mk_error(4, 3, 4, 200, PORT, 53);
	give_mk(c->u, &m);
	d = dgram(4, 53, 552 - 28);
	send_one(c->s, &d);
	assert_true(take(c->u, &g));
	check_dgram(4, PORT, 53, data, 552 - 28);
	assert_int_equal(rd16(g.b + 6), 0); /* narrower paths may cut it */
	/* Forgotten after ten minutes. */
	utcp_advance(c->u, 602 * SECOND);
	d.len = 1400;
	send_one(c->s, &d);
	assert_int_equal(take_all(c->u), 1);
	/* Told to who does not want fragments. */
	d.peer = them(4, 53);
	assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_PMTUD, 2), 0);
	assert_int_equal(utcp_udp_connect(c->s, &d.peer), 0);
	mk_error(4, 3, 4, 1300, PORT, 53);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_get(c->s, UTCP_OPT_ERROR, &v), 0);
	assert_int_equal(v, EMSGSIZE);
	assert_int_equal(utcp_udp_send(c->s, &d, 1), -EMSGSIZE);
}

static void
an_old_router_does_not_say_how_much(void **state)
{
	struct ctx *c = *state;
	utcp_dgram_t d = dgram(4, 53, 1472);

	mk_error(4, 3, 4, 0, PORT, 53);
	wr16(m.b + 28 + 2, 1500);
	mk_l4_sum(&m);
	give_mk(c->u, &m);
	send_one(c->s, &d);
	assert_true(take(c->u, &g));
	assert_true(g.len <= 1492 && g.len > 1480); /* RFC 1191 section 7 */
}

/* ---- misuse ------------------------------------------------------------------------ */

static void
misuse_is_refused(void **state)
{
	struct ctx *c = *state;
	utcp_dgram_t d = dgram(4, 53, 10);
	utcp_addr_t a = any(4, 1);
	utcp_udp_t *s;
	int64_t v;

	assert_int_equal(utcp_udp_open(NULL, 4, &s), -EINVAL);
	assert_int_equal(utcp_udp_open(c->u, 5, &s), -EINVAL);
	assert_int_equal(utcp_udp_open(c->u, 4, NULL), -EINVAL);
	assert_int_equal(utcp_udp_bind(NULL, &a), -EINVAL);
	assert_int_equal(utcp_udp_bind(c->s, NULL), -EINVAL);
	assert_int_equal(utcp_udp_connect(NULL, &a), -EINVAL);
	assert_int_equal(utcp_udp_connect(c->s, NULL), -EINVAL);
	assert_int_equal(utcp_udp_connect(c->s, &a), -EINVAL); /* wildcard */
	a = them(4, 0);
	assert_int_equal(utcp_udp_connect(c->s, &a), -EINVAL);
	a.family = 7;
	assert_int_equal(utcp_udp_connect(c->s, &a), -EAFNOSUPPORT);
	assert_int_equal(utcp_udp_send(NULL, &d, 1), -EINVAL);
	assert_int_equal(utcp_udp_send(c->s, NULL, 1), -EINVAL);
	assert_int_equal(utcp_udp_send(c->s, &d, 0), 0);
	d.peer.port_be = 0;
	assert_int_equal(utcp_udp_send(c->s, &d, 1), -EINVAL);
	d = dgram(4, 53, 10);
	d.data = NULL;
	assert_int_equal(utcp_udp_send(c->s, &d, 1), -EINVAL);
	d = dgram(4, 53, 10);
	d.gso_size = UINT32_MAX;
	assert_int_equal(utcp_udp_send(c->s, &d, 1), -EINVAL);
	d = dgram(4, 53, SIZE_MAX);
	assert_int_equal(utcp_udp_send(c->s, &d, 1), -EMSGSIZE);
	assert_int_equal(utcp_udp_recv(NULL, &d, 1), -EINVAL);
	assert_int_equal(utcp_udp_recv(c->s, NULL, 1), -EINVAL);
	assert_int_equal(utcp_udp_recv(c->s, &d, 0), 0);
	assert_int_equal(utcp_udp_recv(c->s, &d, 1), -EAGAIN);
	assert_int_equal(utcp_udp_poll(NULL), 0);
	assert_int_equal(utcp_udp_getsockname(NULL, &a), -EINVAL);
	assert_int_equal(utcp_udp_getsockname(c->s, NULL), -EINVAL);
	assert_int_equal(utcp_udp_set(NULL, UTCP_OPT_TTL, 1), -EINVAL);
	assert_int_equal(utcp_udp_set(c->s, -1, 1), -ENOPROTOOPT);
	assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_MAX, 1), -ENOPROTOOPT);
	assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_NODELAY, 1), -ENOPROTOOPT);
	assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_TTL, 0), -EINVAL);
	assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_TTL, 256), -EINVAL);
	assert_int_equal(utcp_udp_get(c->s, UTCP_OPT_NODELAY, &v),
			 -ENOPROTOOPT);
	assert_int_equal(utcp_udp_get(c->s, UTCP_OPT_TTL, NULL), -EINVAL);
	utcp_udp_set_user(NULL, &v);
	assert_null(utcp_udp_user(NULL));
	utcp_udp_close(NULL);
	assert_int_equal(take_all(c->u), 0);
}

static void
options_are_kept(void **state)
{
	static const struct {
		int opt;
		int64_t v;
	} cases[] = {
		{ UTCP_OPT_SNDBUF, 5000 }, { UTCP_OPT_RCVBUF, 6000 },
		{ UTCP_OPT_DSCP, 46 },	   { UTCP_OPT_TTL, 9 },
		{ UTCP_OPT_PMTUD, 0 },
	};
	struct ctx *c = *state;
	utcp_dgram_t d = dgram(4, 53, 10);
	int64_t v;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(utcp_udp_set(c->s, cases[i].opt, cases[i].v),
				 0);
		assert_int_equal(utcp_udp_get(c->s, cases[i].opt, &v), 0);
		assert_int_equal(v, cases[i].v);
	}
	d.tos = 1;
	send_one(c->s, &d);
	assert_true(take(c->u, &g));
	assert_int_equal(g.b[1], 46 << 2 | 1);
	assert_int_equal(g.b[8], 9);
}

/* ---- memory that runs out ---------------------------------------------------------- */

static int allowed;

static void *
scarce(void *arg, size_t bytes)
{
	(void)arg;
	return allowed-- > 0 ? malloc(bytes) : NULL;
}

static void
release(void *arg, void *mem, size_t bytes)
{
	(void)arg;
	(void)bytes;
	free(mem);
}

static void
no_memory_is_survived(void **state)
{
	struct ctx *c = *state;
	utcp_config_t cfg = { .now_ns = SECOND,
			      .alloc = scarce,
			      .release = release };

	utcp_destroy(c->u);
	allowed = 1 << 30;
	c->u = stack_new(&cfg);
	c->s = bound(c->u, 6, any(6, PORT));
	for (int left = 0; left < 40; left++) {
		utcp_dgram_t d = dgram(4, 53, 3000), r;
		size_t cut = 30;

		allowed = left;
		mk_udp(&m, 4, 53, PORT, 100, 3);
		give_mk(c->u, &m);
		give_cut(c->u, m.b, m.len, &cut, 1, NULL);
		mk_udp(&m, 4, 53, 9, 100, 3);
		give_mk(c->u, &m);
		mk_udp(&m, 6, 53, PORT, 100, 3);
		m.b[6] = 44;
		give_mk(c->u, &m);
		mk_error(4, 3, 4, 1300, PORT, 53);
		give_mk(c->u, &m);
		(void)utcp_udp_send(c->s, &d, 1);
		take_all(c->u);
		while (utcp_udp_recv(c->s, &r, 1) == 1)
			assert_true(data_right(r.data, r.len, 3));
	}
	allowed = 1 << 30;
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_is_sent_leaves),
		T(a_checksum_is_never_zero),
		T(any_buffers_hold_it),
		T(without_room_it_waits),
		T(what_never_fits_is_dropped),
		T(the_device_finishes_checksums),
		T(gso_leaves_as_one_or_as_many),
		T(gso_is_cut_to_what_one_packet_takes),
		T(too_long_ones_go_in_fragments),
		T(or_are_refused),
		T(the_send_queue_is_bounded),
		T(sockets_take_turns),
		T(the_source_is_chosen),
		T(ports_are_exclusive),
		T(families_are_told_apart),
		T(the_exact_address_comes_first),
		T(connected_hears_its_peer_only),
		T(views_are_borrowed_until_retain),
		T(a_batch_stays_while_it_is_read),
		T(the_receive_queue_is_bounded),
		T(the_stack_as_a_whole_is_bounded),
		T(events_tell_what_is_new),
		T(a_closed_port_is_told),
		T(to_many_nothing_is_told),
		T(answers_are_limited),
		T(icmp_errors_reach_the_connected),
		T(icmp_errors_reach_nobody_else),
		T(the_path_tells_its_mtu),
		T(an_old_router_does_not_say_how_much),
		T(misuse_is_refused),
		T(options_are_kept),
		T(no_memory_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
