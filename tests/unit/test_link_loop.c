/* SPDX-License-Identifier: BSD-2-Clause */
/* A link's loopback, and ports that are let go when what they sent has left. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <multistack/link.h>

#define PORT 7000
#define TURNS 2000

static mslink_t *l;

static int
link_up(void **state)
{
	static unsigned int number;
	msport_error_t err = { 0 };
	char device[96];

	(void)state;
	number++;
	snprintf(device, sizeof device,
		 "pair:o%u,link=o%u,addr=10.0.0.1+fd00::1", number, number);
	if (mslink_open(&l, device, NULL, &err))
		fail_msg("%s: %s", device, err.text);
	return 0;
}

static int
link_down(void **state)
{
	(void)state;
	mslink_close(l);
	return 0;
}

static uint64_t
count(enum mslink_counter c)
{
	uint64_t v[MSLINK_CTR_MAX];

	(void)mslink_counters(l, v, MSLINK_CTR_MAX);
	return v[c];
}

static void
turn(void)
{
	utcp_event_t ev[8];

	assert_true(mslink_poll(l) >= 0);
	(void)utcp_events(mslink_stack(l), ev, 8);
	assert_true(mslink_flush(l) >= 0);
}

static utcp_addr_t
addr(const char *text)
{
	utcp_addr_t a;

	assert_int_equal(mslink_addr(&a, text, PORT), 0);
	return a;
}

static const struct {
	const char *text;
	bool looped; /* or by the switch */
} addresses[] = {
	{ "127.0.0.1", true }, { "127.1.2.3", true }, { "::1", true },
	{ "10.0.0.1", false }, { "fd00::1", false },
};

static void
a_stack_speaks_to_itself(void **state)
{
	static char data[100000], got[sizeof data];

	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(i * 13);
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		uint64_t before = count(MSLINK_CTR_LOOPED);
		utcp_addr_t a = addr(addresses[i].text);
		utcp_sock_t *listener, *c, *s = NULL;
		size_t sent = 0, have = 0;

		utcp_open(mslink_stack(l), a.family, &listener);
		assert_int_equal(utcp_bind(listener, &a), 0);
		assert_int_equal(utcp_listen(listener, 1), 0);
		utcp_open(mslink_stack(l), a.family, &c);
		assert_int_equal(mslink_connect(l, c, &a), -EINPROGRESS);
		for (int n = 0; n < TURNS && have < sizeof data; n++) {
			ssize_t k = utcp_write(c, data + sent,
					       sizeof data - sent, 0);

			sent += k > 0 ? (size_t)k : 0;
			turn();
			if (!s)
				(void)utcp_accept(listener, &s);
			k = s ? utcp_read(s, got + have, sizeof got - have, 0)
			      : 0;
			have += k > 0 ? (size_t)k : 0;
		}
		if (have != sizeof data || memcmp(data, got, have) != 0)
			fail_msg("%s: %zu bytes", addresses[i].text, have);
		assert_true((count(MSLINK_CTR_LOOPED) > before) ==
			    addresses[i].looped);
		utcp_abort(c);
		utcp_abort(s);
		utcp_close(listener);
		for (int n = 0; n < 10; n++)
			turn();
	}
	assert_int_equal(count(MSLINK_CTR_DROP_LOOP_FULL), 0);
}

/* ---- the unspecified address as a peer: this host, as it is to sockets ---- */

#define LATER 7001

static const struct {
	const char *bound; /* NULL: not */
	const char *peer, *is;
} anywhere[] = {
	{ NULL, "0.0.0.0", "127.0.0.1" },
	{ NULL, "::", "::1" },
	{ "0.0.0.0", "0.0.0.0", "127.0.0.1" },
	{ "::", "::", "::1" },
	{ "127.0.0.1", "0.0.0.0", "127.0.0.1" },
	{ "10.0.0.1", "0.0.0.0", "10.0.0.1" },
	{ "fd00::1", "::", "fd00::1" },
	/* and no other address is touched */
	{ NULL, "127.1.2.3", "127.1.2.3" },
	{ NULL, "fd00::1", "fd00::1" },
};

static utcp_addr_t
own(size_t i)
{
	utcp_addr_t a;

	assert_int_equal(mslink_addr(&a, anywhere[i].bound, LATER), 0);
	return a;
}

static void
the_unspecified_address_is_this_host_to_tcp(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof anywhere / sizeof *anywhere; i++) {
		utcp_addr_t a = addr(anywhere[i].peer), got;
		utcp_addr_t is = addr(anywhere[i].is), mine;
		utcp_sock_t *listener, *c, *s = NULL;

		utcp_open(mslink_stack(l), a.family, &listener);
		assert_int_equal(utcp_bind(listener, &is), 0);
		assert_int_equal(utcp_listen(listener, 1), 0);
		utcp_open(mslink_stack(l), a.family, &c);
		if (anywhere[i].bound) {
			mine = own(i);
			assert_int_equal(utcp_bind(c, &mine), 0);
		}
		assert_int_equal(mslink_connect(l, c, &a), -EINPROGRESS);
		assert_int_equal(utcp_getpeername(c, &got), 0);
		assert_memory_equal(got.addr, is.addr, 16);
		assert_int_equal(got.port_be, a.port_be);
		for (int n = 0; n < TURNS && utcp_accept(listener, &s); n++)
			turn();
		assert_non_null(s);
		utcp_abort(c);
		utcp_abort(s);
		utcp_close(listener);
		for (int n = 0; n < 10; n++)
			turn();
	}
}

static void
the_unspecified_address_is_this_host_to_udp(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof anywhere / sizeof *anywhere; i++) {
		utcp_addr_t a = addr(anywhere[i].peer), got;
		utcp_addr_t is = addr(anywhere[i].is), mine;
		utcp_dgram_t d = { .data = "x", .len = 1 }, r;
		utcp_udp_t *c, *s;
		int came = 0;

		utcp_udp_open(mslink_stack(l), a.family, &s);
		assert_int_equal(utcp_udp_bind(s, &is), 0);
		utcp_udp_open(mslink_stack(l), a.family, &c);
		if (anywhere[i].bound) {
			mine = own(i);
			assert_int_equal(utcp_udp_bind(c, &mine), 0);
		}
		/* One that names its peer, and one of a connected socket. */
		d.peer = a;
		mslink_peer(&d.peer, anywhere[i].bound ? &mine : NULL);
		assert_int_equal(utcp_udp_send(c, &d, 1), 1);
		assert_int_equal(mslink_udp_connect(l, c, &a), 0);
		assert_int_equal(utcp_udp_getpeername(c, &got), 0);
		assert_memory_equal(got.addr, is.addr, 16);
		assert_memory_equal(got.addr, d.peer.addr, 16);
		assert_int_equal(got.port_be, a.port_be);
		d.peer = (utcp_addr_t){ 0 };
		assert_int_equal(utcp_udp_send(c, &d, 1), 1);
		for (int n = 0; n < TURNS && came < 2; n++) {
			turn();
			came += utcp_udp_recv(s, &r, 1) == 1;
		}
		assert_int_equal(came, 2);
		utcp_udp_close(c);
		utcp_udp_close(s);
		turn();
	}
}

/* What is wrong with a peer but its address, and nobody there. */
static void
it_is_refused_like_any_other(void **state)
{
	utcp_addr_t four = addr("0.0.0.0"), six = addr("::"), none = four;
	utcp_sock_t *c;
	utcp_udp_t *u;
	int64_t v = 0;

	(void)state;
	none.port_be = 0;
	utcp_open(mslink_stack(l), 4, &c);
	utcp_udp_open(mslink_stack(l), 4, &u);
	assert_int_equal(mslink_connect(l, c, &six), -EAFNOSUPPORT);
	assert_int_equal(mslink_connect(l, c, &none), -EINVAL);
	assert_int_equal(mslink_udp_connect(l, u, &six), -EAFNOSUPPORT);
	assert_int_equal(mslink_udp_connect(l, u, &none), -EINVAL);
	/* The stack itself does not know what it could be. */
	assert_int_equal(utcp_connect(c, &four), -EINVAL);
	assert_int_equal(utcp_udp_connect(u, &four), -EINVAL);
	assert_int_equal(mslink_connect(l, c, &four), -EINPROGRESS);
	for (int n = 0; n < TURNS && !(utcp_poll(c) & UTCP_ERR); n++)
		turn();
	assert_int_equal(utcp_get(c, UTCP_OPT_ERROR, &v), 0);
	assert_int_equal(v, ECONNREFUSED);
	utcp_close(c);
	utcp_udp_close(u);
}

/* What waits to come in is no time to sleep. */
static void
what_is_under_way_keeps_awake(void **state)
{
	utcp_addr_t a = addr("127.0.0.1");
	utcp_dgram_t d = { .data = "x", .len = 1, .peer = a };
	utcp_udp_t *s;

	(void)state;
	utcp_udp_open(mslink_stack(l), 4, &s);
	assert_int_equal(utcp_udp_bind(s, &a), 0);
	assert_int_equal(mslink_arm(l), 0);
	assert_int_equal(mslink_timeout_ns(l), UTCP_NEVER);
	assert_int_equal(utcp_udp_send(s, &d, 1), 1);
	assert_int_equal(mslink_flush(l), 0);
	assert_int_equal(mslink_arm(l), 1);
	assert_int_equal(mslink_timeout_ns(l), 0);
	assert_int_equal(mslink_wait(l, -1), 1);
	assert_int_equal(mslink_poll(l), 1);
	assert_int_equal(utcp_udp_recv(s, &d, 1), 1);
	utcp_udp_close(s);
}

/* A port that was bound by number is let go at once, but not before what was
   sent from it has left. */
static void
the_last_datagram_leaves_before_its_port(void **state)
{
	utcp_addr_t a = addr("10.0.0.1"), to = a;
	utcp_dgram_t d = { .data = "x", .len = 1 }, r;
	utcp_udp_t *s, *t;
	struct ms_tuple tuple;

	(void)state;
	to.port_be = 0;
	utcp_udp_open(mslink_stack(l), 4, &t);
	assert_int_equal(utcp_udp_bind(t, &to), 0);
	assert_int_equal(utcp_udp_getsockname(t, &d.peer), 0);
	utcp_udp_open(mslink_stack(l), 4, &s);
	assert_int_equal(utcp_udp_bind(s, &a), 0);
	assert_int_equal(utcp_udp_send(s, &d, 1), 1);
	utcp_udp_close(s);
	memcpy(&tuple, &a, sizeof tuple);
	tuple.proto = 17;
	assert_int_equal(msport_bind(mslink_port(l), &tuple), -EADDRINUSE);
	for (int n = 0; n < TURNS; n++) {
		turn();
		if (utcp_udp_recv(t, &r, 1) == 1)
			break;
	}
	assert_int_equal(r.peer.port_be, a.port_be);
	turn();
	assert_int_equal(msport_bind(mslink_port(l), &tuple), 0);
	utcp_udp_close(t);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, link_up, link_down)
	const struct CMUnitTest tests[] = {
		TEST(a_stack_speaks_to_itself),
		TEST(the_unspecified_address_is_this_host_to_tcp),
		TEST(the_unspecified_address_is_this_host_to_udp),
		TEST(it_is_refused_like_any_other),
		TEST(what_is_under_way_keeps_awake),
		TEST(the_last_datagram_leaves_before_its_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
