/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UDP sockets: what comes and how long it may be looked at, ICMP errors, memory
 * that runs out.
 */
#include "utcp_udp.h"

/* ---- receiving --------------------------------------------------------- */

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

/* One in several parts has memory of its own from the beginning. */
static void
retain_copies_only_what_is_borrowed(void **state)
{
	struct ctx *c = *state;
	size_t cut = 60;
	utcp_dgram_t r;
	uint8_t *a;

	mk_udp(&m, 4, 53, PORT, 100, 3);
	a = lend(c->u);
	mk_udp(&m, 4, 53, PORT, 200, 4);
	give_cut(c->u, m.b, m.len, &cut, 1, NULL); /* retains */
	free(a);
	expect(c, 100, 3);
	expect(c, 200, 4);
	assert_int_equal(utcp_udp_recv(c->s, &r, 1), -EAGAIN);
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
more_in_one_than_anybody_sends_is_refused(void **state)
{
	utcp_pkt_t meta = { .gso_type = UTCP_GSO_UDP, .gso_size = 10 };
	struct ctx *c = *state;

	for (size_t more = 0; more < 2; more++) {
		mk_udp(&m, 4, 53, PORT, 10 * UTCP_DGRAMS_MAX + more, 3);
		give_cut(c->u, m.b, m.len, NULL, 0, &meta);
		assert_int_equal(ctr(c->u, UTCP_CTR_DROP_HEADER), more);
	}
	expect(c, 10 * UTCP_DGRAMS_MAX, 3);
	expect_none(c);
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
the_least_buffer_holds_one(void **state)
{
	struct ctx *c = *state;
	utcp_dgram_t r;

	assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_RCVBUF, 1), 0);
	mk_udp(&m, 4, 53, PORT, 1400, 3);
	for (int i = 0; i < 3; i++) {
		give_mk(c->u, &m);
		give_mk(c->u, &m);
		assert_int_equal(ctr(c->u, UTCP_CTR_DROP_RCVBUF), i + 1);
		assert_int_equal(utcp_udp_recv(c->s, &r, 1), 1);
		assert_true(data_right(r.data, r.len, 3));
		assert_int_equal(utcp_udp_recv(c->s, &r, 1), -EAGAIN);
	}
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
	assert_ptr_equal(utcp_udp_stack(c->s), c->u);
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

/* ---- ICMP -------------------------------------------------------------- */

static void
a_closed_port_is_told(void **state)
{
	struct ctx *c = *state;

	for (int family = 4; family <= 6; family += 2) {
		for (size_t len = 0; len < 1400; len += 199) {
			size_t most = family == 4 ? 548 : 1232;

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

static void
answers_wait_in_a_bounded_queue(void **state)
{
	struct ctx *c = *state;
	utcp_config_t cfg = { .now_ns = SECOND, .icmp_per_s = 100000 };

	utcp_destroy(c->u);
	c->u = stack_new(&cfg);
	for (int i = 0; i < 6000; i++) {
		mk_udp(&m, 4, 53, 9, 10, 3);
		give_mk(c->u, &m);
	}
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_LIMIT), 6000 - 4096);
	assert_int_equal(take_all(c->u), 4096);
	give_mk(c->u, &m);
	assert_int_equal(take_all(c->u), 1);
}

static void
icmp_errors_reach_the_connected(void **state)
{
	static const struct {
		int family;
		uint8_t type, code;
		int err; /* 0: none */
		bool soft;
	} cases[] = {
		{ 4, 3, 0, ENETUNREACH, true },
		{ 4, 3, 1, EHOSTUNREACH, true },
		{ 4, 3, 2, ENOPROTOOPT, false },
		{ 4, 3, 3, ECONNREFUSED, false },
		{ 4, 3, 5, EOPNOTSUPP, true },
		{ 4, 3, 13, EHOSTUNREACH, false },
		{ 4, 3, 15, EHOSTUNREACH, false },
		{ 4, 3, 16, 0, false },
		{ 4, 4, 0, 0, false },
		{ 4, 5, 0, 0, false },
		{ 4, 8, 0, 0, false },
		{ 4, 11, 0, EHOSTUNREACH, true },
		{ 4, 12, 0, EPROTO, true },
		{ 6, 1, 0, ENETUNREACH, true },
		{ 6, 1, 1, EACCES, false },
		{ 6, 1, 4, ECONNREFUSED, false },
		{ 6, 1, 7, EPROTO, true },
		{ 6, 100, 0, EPROTO, true },
		{ 6, 3, 0, EHOSTUNREACH, true },
		{ 6, 4, 1, EPROTO, false },
		{ 6, 128, 0, 0, false },
		{ 6, 135, 0, 0, false },
	};
	struct ctx *c = *state;
	utcp_dgram_t d = { .data = data, .len = 5 }, r;
	int64_t v;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		utcp_addr_t a = them(cases[i].family, 53);

		assert_int_equal(utcp_udp_connect(c->s, &a), 0);
		assert_int_equal(utcp_udp_set(c->s, UTCP_OPT_SOFT_ERRORS, 0),
				 0);
		mk_error(cases[i].family, cases[i].type, cases[i].code, 0, PORT,
			 53);
		give_mk(c->u, &m);
		if (cases[i].soft) {
			assert_int_equal(utcp_udp_poll(c->s), UTCP_OUT);
			assert_int_equal(
			    utcp_udp_set(c->s, UTCP_OPT_SOFT_ERRORS, 1), 0);
			give_mk(c->u, &m);
		}
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
	assert_int_equal(utcp_udp_get(c->s, UTCP_OPT_MAXSEG, &v), -ENOTCONN);
	assert_int_equal(utcp_udp_connect(c->s, &d.peer), 0);
	assert_int_equal(utcp_udp_get(c->s, UTCP_OPT_MAXSEG, &v), 0);
	assert_int_equal(v, 1472);
	mk_error(4, 3, 4, 1300, PORT, 53);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_get(c->s, UTCP_OPT_MAXSEG, &v), 0);
	assert_int_equal(v, 1272);
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

/* ---- memory that runs out ---------------------------------------------- */

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
		T(views_are_borrowed_until_retain),
		T(retain_copies_only_what_is_borrowed),
		T(a_batch_stays_while_it_is_read),
		T(more_in_one_than_anybody_sends_is_refused),
		T(the_receive_queue_is_bounded),
		T(the_least_buffer_holds_one),
		T(the_stack_as_a_whole_is_bounded),
		T(events_tell_what_is_new),
		T(a_closed_port_is_told),
		T(to_many_nothing_is_told),
		T(answers_are_limited),
		T(answers_wait_in_a_bounded_queue),
		T(icmp_errors_reach_the_connected),
		T(icmp_errors_reach_nobody_else),
		T(the_path_tells_its_mtu),
		T(an_old_router_does_not_say_how_much),
		T(no_memory_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
