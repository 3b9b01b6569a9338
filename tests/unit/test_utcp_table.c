/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of connections, and local ports. */
#include "utcp_pair.h"

static struct utcp__key
key_of(uint32_t i)
{
	struct utcp__key k = { .family = 4, .proto = 6 };

	memcpy(k.raddr, &i, 4);
	k.lport_be = 80;
	k.rport_be = (uint16_t)(i * 7);
	return k;
}

static void
holds_many_while_it_grows(void **state)
{
	enum { NUM = 20000 };
	struct utcp__ent *e = calloc(NUM, sizeof(*e));
	struct utcp__key k;
	utcp_t *u;

	(void)state;
	assert_int_equal(utcp_create(&u, NULL), 0);
	for (uint32_t i = 0; i < NUM; i++) {
		e[i].key = key_of(i);
		utcp__link_ent(u, &e[i]);
		/* Some earlier one and this one, at every size. */
		k = key_of(i / 2);
		assert_ptr_equal(utcp__find(u, &k), &e[i / 2]);
		k = key_of(i);
		assert_ptr_equal(utcp__find(u, &k), &e[i]);
		k = key_of(i + 1);
		assert_null(utcp__find(u, &k));
	}
	assert_true(u->table.mask + 1 >= NUM);
	for (uint32_t i = 0; i < NUM; i += 2)
		utcp__unlink_ent(u, &e[i]);
	for (uint32_t i = 0; i < NUM; i++) {
		k = key_of(i);
		assert_ptr_equal(utcp__find(u, &k), i % 2 ? &e[i] : NULL);
	}
	for (uint32_t i = 1; i < NUM; i += 2)
		utcp__unlink_ent(u, &e[i]);
	assert_int_equal(u->table.count, 0);
	utcp_destroy(u);
	free(e);
}

static void
growth_moves_a_few_at_a_time(void **state)
{
	enum { NUM = 129 };
	struct utcp__ent e[NUM + 1] = { 0 };
	utcp_t *u;

	(void)state;
	assert_int_equal(utcp_create(&u, NULL), 0);
	for (uint32_t i = 0; i < NUM; i++) {
		e[i].key = key_of(i);
		utcp__link_ent(u, &e[i]);
	}
	assert_non_null(u->table.old);
	assert_true(u->table.moved <= 8);
	for (uint32_t i = 0; i < NUM; i++)
		utcp__unlink_ent(u, &e[i]);
	utcp_destroy(u);
}

static void
one_takes_the_place_of_another(void **state)
{
	struct utcp__ent a = { 0 }, b = { 0 };
	utcp_t *u;

	(void)state;
	assert_int_equal(utcp_create(&u, NULL), 0);
	a.key = b.key = key_of(5);
	utcp__link_ent(u, &a);
	assert_ptr_equal(utcp__find(u, &a.key), &a);
	utcp__replace_ent(u, &a, &b);
	assert_false(a.linked);
	assert_ptr_equal(utcp__find(u, &a.key), &b);
	utcp__unlink_ent(u, &a); /* harmless */
	utcp__unlink_ent(u, &b);
	assert_null(utcp__find(u, &a.key));
	utcp_destroy(u);
}

static utcp_sock_t *
listener(utcp_t *u, utcp_addr_t a, int v6only)
{
	utcp_sock_t *s;

	assert_int_equal(utcp_open(u, a.family, &s), 0);
	assert_int_equal(utcp_set(s, UTCP_OPT_V6ONLY, v6only), 0);
	assert_int_equal(utcp_bind(s, &a), 0);
	assert_int_equal(utcp_listen(s, 1), 0);
	return s;
}

static void
exact_address_beats_wildcard(void **state)
{
	struct utcp__key k = { .family = 4, .proto = 6 };
	utcp_addr_t any4 = { .family = 4 }, any6 = { .family = 6 };
	utcp_sock_t *exact, *wild4, *wild6;
	utcp_t *u;

	(void)state;
	assert_int_equal(utcp_create(&u, NULL), 0);
	put16(&any4.port_be, 80);
	put16(&any6.port_be, 80);
	exact = listener(u, pair_addr(4, 1, 80), 0);
	put16(&k.lport_be, 80);
	k.laddr[0] = 10;
	k.laddr[3] = 1;
	assert_ptr_equal(utcp__find_listener(u, &k), exact);
	k.laddr[3] = 2;
	assert_null(utcp__find_listener(u, &k));
	utcp_close(exact);

	/* The IPv6 wildcard takes both families, unless told not to. */
	wild6 = listener(u, any6, 0);
	assert_ptr_equal(utcp__find_listener(u, &k), wild6);
	utcp_close(wild6);
	wild6 = listener(u, any6, 1);
	assert_null(utcp__find_listener(u, &k));
	wild4 = listener(u, any4, 0);
	assert_ptr_equal(utcp__find_listener(u, &k), wild4);
	k.family = 6;
	assert_ptr_equal(utcp__find_listener(u, &k), wild6);
	put16(&k.lport_be, 81);
	assert_null(utcp__find_listener(u, &k));
	utcp_destroy(u);
}

static void
conflicting_binds_are_refused(void **state)
{
	/* first, second, what the second gets; both bound, not closed */
	struct {
		int family[2], host[2], v6only[2], expect;
	} cases[] = {
		{ { 4, 4 }, { 1, 1 }, { 0, 0 }, -EADDRINUSE },
		{ { 4, 4 }, { 1, 2 }, { 0, 0 }, 0 },
		{ { 4, 4 }, { 0, 1 }, { 0, 0 }, -EADDRINUSE },
		{ { 4, 4 }, { 1, 0 }, { 0, 0 }, -EADDRINUSE },
		{ { 6, 4 }, { 0, 1 }, { 0, 0 }, -EADDRINUSE },
		{ { 6, 4 }, { 0, 1 }, { 1, 0 }, 0 },
		{ { 4, 6 }, { 0, 0 }, { 0, 0 }, -EADDRINUSE },
		{ { 4, 6 }, { 0, 0 }, { 0, 1 }, 0 },
		{ { 6, 4 }, { 1, 1 }, { 0, 0 }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		utcp_t *u;

		assert_int_equal(utcp_create(&u, NULL), 0);
		for (int k = 0; k < 2; k++) {
			utcp_addr_t a = pair_addr(cases[i].family[k],
						  cases[i].host[k], 80);
			utcp_sock_t *s;

			if (!cases[i].host[k])
				memset(a.addr, 0, 16);
			assert_int_equal(utcp_open(u, a.family, &s), 0);
			assert_int_equal(
			    utcp_set(s, UTCP_OPT_V6ONLY, cases[i].v6only[k]),
			    0);
			assert_int_equal(utcp_bind(s, &a),
					 k ? cases[i].expect : 0);
		}
		utcp_destroy(u);
	}
}

static void
port_of_connections_can_be_bound_again(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s, *again;
	utcp_addr_t a;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, 80, 8);
	a = pair_addr(4, 2, 80);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_open(p.u[1], 4, &again), 0);
	assert_int_equal(utcp_bind(again, &a), -EADDRINUSE);
	utcp_close(l);
	/* Its connection is still there. */
	assert_int_equal(utcp_set(again, UTCP_OPT_REUSEADDR, 0), 0);
	assert_int_equal(utcp_bind(again, &a), -EADDRINUSE);
	assert_int_equal(utcp_set(again, UTCP_OPT_REUSEADDR, 1), 0);
	assert_int_equal(utcp_bind(again, &a), 0);
	assert_int_equal(utcp_listen(again, 1), 0);
	assert_int_equal(utcp_write(c, "x", 1, 0), 1);
	pair_pump(&p);
	assert_int_equal(utcp_readable(s), 1);
	pair_end(&p);
}

static void
ephemeral_ports_differ_and_run_out(void **state)
{
	utcp_addr_t to = pair_addr(4, 9, 80), me = pair_addr(4, 1, 0), a;
	static uint8_t seen[65536];
	utcp_sock_t *s;
	unsigned int n = 0;
	utcp_t *u;
	int r;

	(void)state;
	memset(seen, 0, sizeof(seen));
	assert_int_equal(utcp_create(&u, NULL), 0);
	assert_int_equal(utcp_address(u, &me, 1), 0);
	for (;;) {
		assert_int_equal(utcp_open(u, 4, &s), 0);
		r = utcp_connect(s, &to);
		if (r != -EINPROGRESS)
			break;
		assert_int_equal(utcp_getsockname(s, &a), 0);
		assert_int_equal(seen[get16(&a.port_be)]++, 0);
		n++;
	}
	assert_int_equal(r, -EADDRNOTAVAIL);
	assert_true(n > 50000);
	/* To another peer the same ports are free. */
	to = pair_addr(4, 8, 80);
	assert_int_equal(utcp_connect(s, &to), -EINPROGRESS);
	utcp_destroy(u);
}

/* A listener's port that only its connections have still is anyone's, towards
   others. */
static void
port_outlives_its_listener_for_all(void **state)
{
	enum { PORT = 20000 };
	utcp_addr_t to = pair_addr(4, 9, 80), a;
	utcp_sock_t *l, *c, *s, *x;
	unsigned int n = 0;
	struct pair p;

	(void)state;
	pair_init(&p, 4);
	l = pair_listen(&p, 1, PORT, 8);
	pair_connect(&p, l, &c, &s);
	utcp_close(l);
	for (;;) {
		assert_int_equal(utcp_open(p.u[1], 4, &x), 0);
		if (utcp_connect(x, &to) != -EINPROGRESS)
			break;
		assert_int_equal(utcp_getsockname(x, &a), 0);
		n += get16(&a.port_be) == PORT;
	}
	assert_int_equal(n, 1);
	utcp_abort(s);
	pair_end(&p);
}

static void
ports_are_not_guessed_from_the_last(void **state)
{
	utcp_addr_t me = pair_addr(4, 1, 0), a;
	unsigned int near = 0, last = 0;
	utcp_sock_t *s;
	utcp_t *u;

	(void)state;
	assert_int_equal(utcp_create(&u, NULL), 0);
	assert_int_equal(utcp_address(u, &me, 1), 0);
	for (int i = 0; i < 100; i++) {
		utcp_addr_t to = pair_addr(4, 2 + i, 80);
		unsigned int port;

		assert_int_equal(utcp_open(u, 4, &s), 0);
		assert_int_equal(utcp_connect(s, &to), -EINPROGRESS);
		assert_int_equal(utcp_getsockname(s, &a), 0);
		port = get16(&a.port_be);
		near += port > last && port - last < 100;
		last = port;
	}
	assert_true(near < 10);
	utcp_destroy(u);
}

/* ---- the namespace outside --------------------------------------------- */

struct outside {
	int claims, unclaims, refuse;
	unsigned int next;
};

static int
claim(void *arg, utcp_addr_t *local, uint8_t proto)
{
	struct outside *o = arg;

	assert_int_equal(proto, 6);
	if (o->refuse)
		return o->refuse;
	if (!local->port_be)
		put16(&local->port_be, o->next++);
	o->claims++;
	return 0;
}

static void
unclaim(void *arg, const utcp_addr_t *local, uint8_t proto)
{
	struct outside *o = arg;

	(void)proto;
	assert_true(local->port_be != 0);
	o->unclaims++;
}

static void
outside_has_its_say(void **state)
{
	struct outside o = { .next = 40000 };
	utcp_config_t c = { .claim = claim,
			    .unclaim = unclaim,
			    .claim_arg = &o };
	utcp_addr_t a, to = pair_addr(4, 2, 80), any = { .family = 4 };
	utcp_sock_t *l, *s, *t;
	struct pair p;

	(void)state;
	pair_init_with(&p, 4, c);
	l = pair_listen(&p, 1, 80, 8);
	assert_int_equal(o.claims, 1);
	pair_connect(&p, l, &s, &t);
	assert_int_equal(o.claims, 2); /* the accepted one shares */
	assert_int_equal(utcp_getsockname(s, &a), 0);
	assert_int_equal(get16(&a.port_be), 40000);
	utcp_close(l);
	assert_int_equal(o.unclaims, 0);
	utcp_abort(s);
	utcp_abort(t);
	assert_int_equal(o.unclaims, 2);

	o.refuse = -EACCES;
	assert_int_equal(utcp_open(p.u[0], 4, &s), 0);
	assert_int_equal(utcp_bind(s, &to), -EACCES);
	assert_int_equal(utcp_connect(s, &to), -EACCES);
	/* None left: what is there is shared, by those of the same address. */
	o.refuse = 0;
	a = pair_addr(6, 1, 0);
	assert_int_equal(utcp_address(p.u[0], &a, 1), 0);
	to = pair_addr(6, 2, 80);
	assert_int_equal(utcp_open(p.u[0], 6, &t), 0);
	assert_int_equal(utcp_connect(t, &to), -EINPROGRESS);
	to = pair_addr(4, 2, 80);
	assert_int_equal(utcp_connect(s, &to), -EINPROGRESS);
	o.refuse = -EADDRINUSE;
	to = pair_addr(4, 3, 80);
	assert_int_equal(utcp_open(p.u[0], 4, &t), 0);
	assert_int_equal(utcp_connect(t, &to), -EINPROGRESS);
	assert_int_equal(utcp_getsockname(t, &a), 0);
	assert_int_equal(get16(&a.port_be), 40002);
	assert_int_equal(utcp_open(p.u[0], 4, &t), 0);
	assert_int_equal(utcp_connect(t, &to), -EADDRNOTAVAIL);
	o.refuse = 0;
	assert_int_equal(utcp_bind(t, &any), 0);
	assert_int_equal(utcp_getsockname(t, &a), 0);
	assert_int_equal(get16(&a.port_be), 40003);
	pair_end(&p);
	assert_int_equal(o.claims, o.unclaims);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_many_while_it_grows),
		cmocka_unit_test(growth_moves_a_few_at_a_time),
		cmocka_unit_test(one_takes_the_place_of_another),
		cmocka_unit_test(exact_address_beats_wildcard),
		cmocka_unit_test(conflicting_binds_are_refused),
		cmocka_unit_test(port_of_connections_can_be_bound_again),
		cmocka_unit_test(ephemeral_ports_differ_and_run_out),
		cmocka_unit_test(port_outlives_its_listener_for_all),
		cmocka_unit_test(ports_are_not_guessed_from_the_last),
		cmocka_unit_test(outside_has_its_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
