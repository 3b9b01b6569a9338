/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls on links that make no sense: each says so, and the link goes on. */
#include <errno.h>
#include <stdio.h>

#include <multistack/link.h>

#include "misuse.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

/* A table that lacks a public call fails. */
static void
null_is_harmless(void **state)
{
	static const char *const calls[] = {
#include "link_calls.inc"
	};
	utcp_addr_t a = { .family = 4 };
	mslink_t *l;
	uint64_t n;
	const struct misuse rows[] = {
		SAYS(mslink_open(NULL, "pair:x", NULL, NULL), -EINVAL),
		SAYS(mslink_open(&l, NULL, NULL, NULL), -EINVAL),
		SAYS(mslink_open_ring(NULL, NULL, 1), -EINVAL),
		SAYS(mslink_open_ring(&l, NULL, 1), -EINVAL),
		NOTHING(mslink_close(NULL)),
		IS_NULL(mslink_stack(NULL)),
		IS_NULL(mslink_port(NULL)),
		SAYS(mslink_now_ns() == 0, 0),
		SAYS(mslink_addr(NULL, "::", 1), -EINVAL),
		SAYS(mslink_addr(&a, NULL, 1), -EINVAL),
		SAYS(mslink_addr(&a, "here", 1), -EINVAL),
		SAYS(mslink_poll(NULL), -EINVAL),
		SAYS(mslink_flush(NULL), -EINVAL),
		SAYS(mslink_wait(NULL, 0), -EINVAL),
		SAYS(mslink_fd(NULL), -EINVAL),
		SAYS(mslink_arm(NULL), -EINVAL),
		SAYS(mslink_timeout_ns(NULL), UTCP_NEVER),
		SAYS(mslink_near(NULL), 0),
		NOTHING(mslink_spin(NULL, 1)),
		SAYS(mslink_reopen(NULL), -EINVAL),
		SAYS(mslink_linger(NULL, 0), -EINVAL),
		SAYS(mslink_connect(NULL, NULL, &a), -EINVAL),
		SAYS(mslink_udp_connect(NULL, NULL, &a), -EINVAL),
		NOTHING(mslink_peer(NULL, &a)),
		SAYS(mslink_counters(NULL, &n, 1), 0),
		IS_NULL(mslink_counter_name(MSLINK_CTR_MAX)),
		IS_NULL(mslink_counter_text(MSLINK_CTR_MAX)),
	};

	(void)state;
	misuse_check(rows, ARRAY(rows));
	misuse_complete(rows, ARRAY(rows), calls, ARRAY(calls));
}

static void
bad_options_are_refused(void **state)
{
	const mslink_options_t good = { .size = sizeof(good) };
	struct {
		const char *device;
		mslink_options_t o;
		int want;
	} cases[] = {
		{ "nosuch:x", good, -EINVAL },
		{ "pair:x,addr=10.0.0.1", good, -EINVAL }, /* no size */
		{ "pair:x,addr=10.0.0.1", good, -EINVAL }, /* no addrs */
		{ "pair:x,addr=10.0.0.1", good, -EINVAL }, /* MTU */
		{ "pair:x,addr=10.0.0.1", good, -ENOENT }, /* no such cc */
		{ "pair:x,addr=10.0.0.1", good, -E2BIG },  /* rings */
	};

	(void)state;
	cases[1].o.size = 0;
	cases[2].o.num_addrs = 1;
	cases[3].o.config.size = sizeof(good.config);
	cases[3].o.config.mtu = 20;
	cases[4].o.config.size = sizeof(good.config);
	cases[4].o.config.cc = "nosuch";
	cases[5].o.rings = UINT16_MAX;
	for (size_t i = 0; i < ARRAY(cases); i++) {
		msport_error_t err = { 0 };
		mslink_t *l = (mslink_t *)&err;
		int r = mslink_open(&l, cases[i].device, &cases[i].o, &err);

		if (r != cases[i].want)
			fail_msg("case %zu: %d (%s)", i, r, err.text);
		assert_null(l);
		assert_true(err.text[0]);
		/* And without a place for the text. */
		assert_int_equal(
		    mslink_open(&l, cases[i].device, &cases[i].o, NULL),
		    cases[i].want);
	}
}

static void
arguments_are_checked(void **state)
{
	static const char *const devices[2] = {
		"pair:m0,link=misuse,side=0,addr=10.0.0.1",
		"pair:m1,link=misuse,side=1,addr=10.0.0.2",
	};
	utcp_addr_t to, odd = { .family = 5 };
	mslink_t *l[2], *ring = NULL;
	utcp_sock_t *s, *others;
	utcp_udp_t *u;
	uint64_t ctr[MSLINK_CTR_MAX + 1];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(mslink_open(&l[i], devices[i], NULL, NULL), 0);
	assert_int_equal(mslink_addr(&to, "10.0.0.2", 80), 0);
	assert_int_equal(utcp_open(mslink_stack(l[0]), 4, &s), 0);
	assert_int_equal(utcp_open(mslink_stack(l[1]), 4, &others), 0);
	assert_int_equal(utcp_udp_open(mslink_stack(l[0]), 4, &u), 0);
	{
		const struct misuse rows[] = {
			SAYS(mslink_open_ring(NULL, l[0], 1), -EINVAL),
			SAYS(mslink_open_ring(&ring, l[0], 0), -EBUSY),
			SAYS(mslink_open_ring(&ring, l[0], 1), -EINVAL),
			SAYS(mslink_open_ring(&ring, l[0], UINT32_MAX),
			     -EINVAL),
			SAYS(mslink_connect(l[0], NULL, &to), -EINVAL),
			SAYS(mslink_connect(l[0], s, NULL), -EINVAL),
			SAYS(mslink_connect(l[0], s, &odd), -EAFNOSUPPORT),
			/* a socket of another link's stack */
			SAYS(mslink_connect(l[0], others, &to), -EINVAL),
			SAYS(mslink_udp_connect(l[0], NULL, &to), -EINVAL),
			SAYS(mslink_udp_connect(l[0], u, NULL), -EINVAL),
			SAYS(mslink_udp_connect(l[1], u, &to), -EINVAL),
			SAYS(mslink_udp_connect(l[0], u, &odd), -EAFNOSUPPORT),
			SAYS(mslink_counters(l[0], NULL, 1), 0),
			SAYS(mslink_counters(l[0], ctr, UINT32_MAX),
			     MSLINK_CTR_MAX),
			SAYS(mslink_wait(l[0], 0), 0),
		};

		misuse_check(rows, ARRAY(rows));
	}
	assert_null(ring);
	assert_int_equal(utcp_bind(others, &to), 0);
	assert_int_equal(utcp_listen(others, 1), 0);
	assert_int_equal(mslink_connect(l[0], s, &to), -EINPROGRESS);
	for (int i = 0; i < 10000 && !(utcp_poll(s) & UTCP_OUT); i++) {
		assert_true(mslink_flush(l[i % 2]) >= 0);
		assert_true(mslink_poll(l[!(i % 2)]) >= 0);
	}
	assert_true(utcp_poll(s) & UTCP_OUT);
	for (int i = 0; i < 2; i++)
		mslink_close(l[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_is_harmless),
		cmocka_unit_test(bad_options_are_refused),
		cmocka_unit_test(arguments_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
