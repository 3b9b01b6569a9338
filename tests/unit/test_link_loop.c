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
		TEST(what_is_under_way_keeps_awake),
		TEST(the_last_datagram_leaves_before_its_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
