/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UDP sockets: what leaves and in how many pieces, whose addresses it has; misuse
 * of the calls.
 */
#include "utcp_udp.h"

/* ---- sending ----------------------------------------------------------- */

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

/* The MTU changes while a datagram of a batch is half sent. */
static void
a_new_mtu_finds_fragments_under_way(void **state)
{
	static const uint32_t mtus[][2] = { { 1500, 9000 }, { 9000, 1500 } };
	struct ctx *c = *state;
	struct ctx peer = { 0 };
	utcp_dgram_t r;

	utcp_destroy(c->u);
	for (unsigned int i = 0; i < 4; i++) {
		int family = i < 2 ? 4 : 6;
		utcp_dgram_t d = dgram(family, PORT, 30000);

		start(c, UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_UDP,
		      mtus[i % 2][0]);
		start(&peer, 0, 0);
		d.gso_size = i % 2 ? 10000 : 3000;
		send_one(c->s, &d);
		assert_true(take(c->u, &g));
		give(peer.u, g.b, g.len);
		assert_int_equal(utcp_set_mtu(c->u, mtus[i % 2][1]), 0);
		for (size_t got = 0; got < d.len; got += r.len) {
			while (utcp_udp_recv(peer.s, &r, 1) == -EAGAIN) {
				assert_true(take(c->u, &g));
				give_cut(peer.u, g.b, g.len, NULL, 0, &g.meta);
			}
			assert_int_equal(r.len % d.gso_size, 0);
			assert_memory_equal(r.data, data + got, r.len);
		}
		assert_false(take(c->u, &g));
		assert_int_equal(drops(peer.u), 0);
		utcp_destroy(peer.u);
		if (i < 3)
			utcp_destroy(c->u);
	}
}

/* RFC 6864 section 4.3, RFC 8200 section 4.5: of what may be cut none is the
   same as that of another, lately. */
static void
identifications_do_not_repeat(void **state)
{
	static uint8_t seen[65536];
	struct ctx *c = *state;
	utcp_dgram_t d = dgram(4, 53, 100);
	uint32_t last = 0;

	assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_PMTUD, 0), 0);
	for (int i = 0; i < 10000; i++) {
		send_one(c->s, &d);
		assert_true(take(c->u, &g));
		assert_int_equal(rd16(g.b + 6), 0);
		assert_int_equal(seen[rd16(g.b + 4)]++, 0);
	}
	d = dgram(6, 53, 2000);
	for (int i = 0; i < 100; i++) {
		send_one(c->s, &d);
		assert_true(take(c->u, &g));
		assert_int_equal(g.b[6], 44);
		assert_true(i == 0 || rd32(g.b + 44) != last);
		last = rd32(g.b + 44);
		assert_true(take(c->u, &g));
		assert_int_equal(rd32(g.b + 44), last);
	}
}

/* RFC 6437 section 3 */
static void
a_flow_has_a_label(void **state)
{
	struct ctx *c = *state;
	uint32_t first = 0, label, others = 0;

	for (uint16_t port = 53; port < 153; port++) {
		utcp_dgram_t d = dgram(6, port, 100);

		for (int i = 0; i < 2; i++) {
			send_one(c->s, &d);
			assert_true(take(c->u, &g));
			label = rd32(g.b) & 0xfffff;
			if (i == 0)
				others += label != first;
			else
				assert_int_equal(label, first);
			first = label;
		}
	}
	assert_true(others > 90);
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

/* ---- addresses --------------------------------------------------------- */

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
	utcp_addr_t a = them(4, 53), none = { 0 }, b;
	utcp_dgram_t d = { .data = data, .len = 5 }, r;

	assert_int_equal(utcp_udp_send(c->s, &d, 1), -EDESTADDRREQ);
	assert_int_equal(utcp_udp_getpeername(c->s, &b), -ENOTCONN);
	assert_int_equal(utcp_udp_connect(c->s, &a), 0);
	assert_int_equal(utcp_udp_getpeername(c->s, &b), 0);
	assert_memory_equal(b.addr, a.addr, 16);
	assert_int_equal(b.port_be, a.port_be);
	assert_int_equal(b.family, 4);
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

/* ---- misuse ------------------------------------------------------------ */

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
		{ UTCP_OPT_PMTUD, 0 },	   { UTCP_OPT_SOFT_ERRORS, 1 },
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
		T(a_new_mtu_finds_fragments_under_way),
		T(identifications_do_not_repeat),
		T(a_flow_has_a_label),
		T(or_are_refused),
		T(the_send_queue_is_bounded),
		T(sockets_take_turns),
		T(the_source_is_chosen),
		T(ports_are_exclusive),
		T(families_are_told_apart),
		T(the_exact_address_comes_first),
		T(connected_hears_its_peer_only),
		T(misuse_is_refused),
		T(options_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
