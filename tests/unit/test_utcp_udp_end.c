/* SPDX-License-Identifier: BSD-2-Clause */
/* UDP sockets: how they end, how they share, what they say to loopback. */
#include "utcp_udp.h"

/* The handle is gone, what was queued is not; nor is its memory, until then. */
static void
what_was_queued_leaves_after_the_close(void **state)
{
	struct ctx *c = *state;
	utcp_udp_t *s = bound(c->u, 4, any(4, 5353));
	utcp_dgram_t d = dgram(4, 53, 100);
	uint64_t before = mem_of(c->u);

	for (int i = 0; i < 40; i++) /* more than one turn's */
		send_one(s, &d);
	utcp_udp_close(s);
	for (int i = 0; i < 40; i++) {
		assert_true(mem_of(c->u) > c->base);
		assert_true(take(c->u, &g));
		check_dgram(4, 5353, 53, data, 100);
	}
	assert_false(take(c->u, &g));
	assert_true(mem_of(c->u) < before);
	assert_int_equal(mem_of(c->u), c->base);
}

/* It hears no more, and its port can be had. */
static void
one_that_is_closed_has_no_say(void **state)
{
	struct ctx *c = *state;
	utcp_udp_t *s = bound(c->u, 4, us(4, 5353)), *t;
	utcp_dgram_t d = dgram(4, 53, 100), r;
	utcp_event_t e;

	send_one(s, &d);
	utcp_udp_close(s);
	mk_udp(&m, 4, 53, 5353, 30, 1);
	give_mk(c->u, &m);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_CLOSED), 1);
	t = bound(c->u, 4, us(4, 5353));
	mk_udp(&m, 4, 53, 5353, 30, 1);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_recv(t, &r, 1), 1);
	(void)take_all(c->u);
	give_mk(c->u, &m);
	assert_int_equal(utcp_udp_recv(t, &r, 1), 1);
	while (utcp_events(c->u, &e, 1) > 0)
		assert_ptr_equal(e.udp, t);
	utcp_udp_close(t);
}

/* A stack that ends sends nothing more. */
static void
the_stacks_end_is_theirs(void **state)
{
	struct ctx *c = *state;
	utcp_udp_t *s = bound(c->u, 4, any(4, 5353));
	utcp_dgram_t d = dgram(4, 53, 100);

	send_one(s, &d);
	utcp_udp_close(s); /* teardown: memory is counted, and checked */
}

static utcp_udp_t *
sharing(struct ctx *c, int64_t reuse, int r)
{
	utcp_addr_t a = us(4, 5353);
	utcp_udp_t *s;
	int64_t v;

	assert_int_equal(utcp_udp_open(c->u, 4, &s), 0);
	assert_int_equal(utcp_udp_set(s, UTCP_OPT_REUSEADDR, reuse), 0);
	assert_int_equal(utcp_udp_get(s, UTCP_OPT_REUSEADDR, &v), 0);
	assert_int_equal(v, reuse);
	assert_int_equal(utcp_udp_bind(s, &a), r);
	return s;
}

static bool
hears(struct ctx *c, utcp_udp_t *s)
{
	utcp_dgram_t r;

	mk_udp(&m, 4, 53, 5353, 30, 1);
	give_mk(c->u, &m);
	return utcp_udp_recv(s, &r, 1) == 1;
}

static void
the_newest_of_those_that_share_hears(void **state)
{
	struct ctx *c = *state;
	utcp_udp_t *s[3], *not;

	s[0] = sharing(c, 1, 0);
	not = sharing(c, 0, -EADDRINUSE);
	s[1] = sharing(c, 1, 0);
	s[2] = sharing(c, 1, 0);
	assert_int_equal(utcp_udp_set(s[2], UTCP_OPT_REUSEADDR, 0), -EISCONN);
	assert_true(hears(c, s[2]));
	utcp_udp_close(s[1]);
	assert_true(hears(c, s[2]));
	utcp_udp_close(s[2]);
	assert_true(hears(c, s[0]));
	utcp_udp_close(not);
	not = sharing(c, 0, -EADDRINUSE);
	utcp_udp_close(s[0]);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_CLOSED), 0);
	utcp_udp_close(not);
	s[0] = sharing(c, 0, 0);
	not = sharing(c, 1, -EADDRINUSE);
	utcp_udp_close(not);
	utcp_udp_close(s[0]);
	assert_int_equal(mem_of(c->u), c->base);
}

/* To a loopback address from a loopback address, whatever the stack's are. */
static void
loopback_is_spoken_to_from_loopback(void **state)
{
	static const struct {
		int family;
		uint8_t to[16], from[16];
	} cases[] = {
		{ 4, { 127, 0, 0, 1 }, { 127, 0, 0, 1 } },
		{ 4, { 127, 9, 9, 9 }, { 127, 0, 0, 1 } },
		{ 6, { [15] = 1 }, { [15] = 1 } },
	};
	struct ctx *c = *state;
	utcp_addr_t name;
	utcp_sock_t *t;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t n = cases[i].family == 4 ? 4 : 16;
		utcp_dgram_t d = dgram(cases[i].family, 53, 10);

		memcpy(d.peer.addr, cases[i].to, n);
		send_one(c->s, &d);
		assert_true(take(c->u, &g));
		assert_memory_equal(g.b + (n == 4 ? 12 : 8), cases[i].from, n);
		assert_int_equal(utcp_open(c->u, cases[i].family, &t), 0);
		assert_int_equal(utcp_connect(t, &d.peer), -EINPROGRESS);
		assert_int_equal(utcp_getsockname(t, &name), 0);
		assert_memory_equal(name.addr, cases[i].from, n);
		utcp_abort(t);
		(void)take_all(c->u);
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_was_queued_leaves_after_the_close),
		T(one_that_is_closed_has_no_say),
		T(the_stacks_end_is_theirs),
		T(the_newest_of_those_that_share_hears),
		T(loopback_is_spoken_to_from_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
