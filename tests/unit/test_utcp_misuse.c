/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls that make no sense: each says so, changes nothing, and the stack goes
   on. */
#include "utcp_pair.h"

static void
null_is_harmless(void **state)
{
	utcp_addr_t a = { .family = 4 };
	utcp_info_t info = { .size = sizeof(info) };
	utcp_usage_t usage;
	utcp_event_t ev;
	utcp_pkt_t pkt = { 0 };
	utcp_sock_t *s;
	utcp_view_t v;
	uint64_t n;
	int64_t value;
	char b[4];

	(void)state;
	assert_int_equal(utcp_create(NULL, NULL), -EINVAL);
	utcp_destroy(NULL);
	assert_int_equal(utcp_address(NULL, &a, 1), -EINVAL);
	assert_int_equal(utcp_set_mtu(NULL, 1500), -EINVAL);
	assert_int_equal(utcp_set_offloads(NULL, 0), -EINVAL);
	utcp_advance(NULL, 1);
	assert_true(utcp_next_ns(NULL) == UTCP_NEVER);
	assert_int_equal(utcp_now_ns(NULL), 0);
	assert_int_equal(utcp_input(NULL, &pkt, 1), -EINVAL);
	utcp_retain(NULL);
	assert_int_equal(utcp_output(NULL, &pkt, 1), -EINVAL);
	assert_int_equal(utcp_counters(NULL, &n, 1), 0);
	utcp_usage(NULL, &usage);
	assert_int_equal(usage.mem_bytes, 0);
	utcp_usage(NULL, NULL);
	assert_int_equal(utcp_events(NULL, &ev, 1), -EINVAL);
	assert_int_equal(utcp_open(NULL, 4, &s), -EINVAL);
	assert_int_equal(utcp_bind(NULL, &a), -EINVAL);
	assert_int_equal(utcp_listen(NULL, 1), -EINVAL);
	assert_int_equal(utcp_accept(NULL, &s), -EINVAL);
	assert_int_equal(utcp_connect(NULL, &a), -EINVAL);
	assert_int_equal(utcp_read(NULL, b, 4, 0), -EINVAL);
	assert_int_equal(utcp_views(NULL, &v, 1), -EINVAL);
	assert_int_equal(utcp_consume(NULL, 0), -EINVAL);
	assert_int_equal(utcp_readable(NULL), 0);
	assert_int_equal(utcp_write(NULL, b, 4, 0), -EINVAL);
	assert_int_equal(utcp_send(NULL, NULL, 0), -EINVAL);
	assert_int_equal(utcp_shutdown(NULL, UTCP_SHUT_WR), -EINVAL);
	utcp_close(NULL);
	utcp_abort(NULL);
	assert_int_equal(utcp_poll(NULL), 0);
	utcp_set_user(NULL, b);
	assert_null(utcp_user(NULL));
	assert_null(utcp_stack(NULL));
	assert_int_equal(utcp_getsockname(NULL, &a), -EINVAL);
	assert_int_equal(utcp_getpeername(NULL, &a), -EINVAL);
	assert_int_equal(utcp_set(NULL, UTCP_OPT_TTL, 1), -EINVAL);
	assert_int_equal(utcp_get(NULL, UTCP_OPT_TTL, &value), -EINVAL);
	assert_int_equal(utcp_set_cc(NULL, "cubic"), -EINVAL);
	assert_null(utcp_cc(NULL));
	assert_int_equal(utcp_info(NULL, &info), -EINVAL);
	assert_int_equal(utcp_cc_register(NULL, NULL), -EINVAL);
	assert_null(utcp_cc_name(NULL, 0));
	assert_int_equal(utcp_udp_open(NULL, 4, NULL), -EINVAL);
	utcp_udp_close(NULL);
}

static int
no_claim(void *arg, utcp_addr_t *local, uint8_t proto)
{
	(void)arg;
	(void)local;
	(void)proto;
	return 0;
}

static void
bad_configurations_are_refused(void **state)
{
	utcp_config_t good = { .size = sizeof(good) };
	struct {
		utcp_config_t c;
		int expect;
	} cases[] = {
		{ { .size = 0 }, -EINVAL },
		{ { .size = sizeof(good) + 1 }, -EINVAL },
		{ { .size = sizeof(good), .mtu = 67 }, -EINVAL },
		{ { .size = sizeof(good), .mtu = 65536 }, -EINVAL },
		{ { .size = sizeof(good), .l2_bytes = 1000 }, -EINVAL },
		{ { .size = sizeof(good), .gso_max_bytes = 65536 }, -EINVAL },
		{ { .size = sizeof(good), .offloads = 1u << 31 }, -EINVAL },
		{ { .size = sizeof(good), .offloads = UTCP_OFFLOAD_GSO_TCP },
		  -EINVAL },
		{ { .size = sizeof(good), .claim = no_claim }, -EINVAL },
		{ { .size = sizeof(good), .cc = "nosuch" }, -ENOENT },
		{ { .size = sizeof(good), .cc = "" }, -ENOENT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		utcp_t *u = (utcp_t *)&good;

		assert_int_equal(utcp_create(&u, &cases[i].c), cases[i].expect);
		assert_null(u);
	}
	for (size_t i = 0; i < 3; i++) {
		const char *const names[] = { "newreno", "cubic", "bbr" };
		utcp_t *u;

		good.cc = names[i];
		assert_int_equal(utcp_create(&u, &good), 0);
		utcp_destroy(u);
	}
}

static void
stack_calls_check_their_arguments(void **state)
{
	utcp_addr_t a = pair_addr(4, 1, 0), none = { .family = 4 };
	utcp_pkt_t pkts[UTCP_PKT_PARTS_MAX + 2] = { 0 };
	uint8_t mem[64] = { 0 };
	utcp_sock_t *s;
	utcp_t *u;

	(void)state;
	assert_int_equal(utcp_create(&u, NULL), 0);
	assert_int_equal(utcp_address(u, NULL, 1), -EINVAL);
	assert_int_equal(utcp_address(u, &none, 1), -EINVAL);
	assert_int_equal(utcp_address(u, &a, 0), -ENOENT);
	assert_int_equal(utcp_address(u, &a, 1), 0);
	assert_int_equal(utcp_address(u, &a, 1), -EEXIST);
	assert_int_equal(utcp_address(u, &a, 0), 0);
	for (int i = 0; i < 16; i++) {
		a = pair_addr(4, 10 + i, 0);
		assert_int_equal(utcp_address(u, &a, 1), 0);
	}
	a = pair_addr(4, 99, 0);
	assert_int_equal(utcp_address(u, &a, 1), -ENOSPC);
	a.family = 5;
	assert_int_equal(utcp_address(u, &a, 1), -EINVAL);
	assert_int_equal(utcp_set_mtu(u, 0), -EINVAL);
	assert_int_equal(utcp_set_mtu(u, 65536), -EINVAL);
	assert_int_equal(utcp_set_offloads(u, UTCP_OFFLOAD_GSO_UDP), -EINVAL);

	assert_int_equal(utcp_input(u, NULL, 0), 0);
	assert_int_equal(utcp_input(u, NULL, 1), -EINVAL);
	pkts[0].len = 10;
	assert_int_equal(utcp_input(u, pkts, 1), -EINVAL); /* no data */
	pkts[0].data = mem;
	pkts[0].flags = UTCP_PKT_MORE;
	assert_int_equal(utcp_input(u, pkts, 1), -EINVAL); /* no end */
	pkts[0].flags = 0;
	assert_int_equal(utcp_input(u, pkts, 1), 0); /* bad: counted */
	assert_int_equal(u->ctr[UTCP_CTR_IN_PKTS], 1);
	for (int i = 0; i < UTCP_PKT_PARTS_MAX + 1; i++) {
		pkts[i] = pkts[0];
		pkts[i].flags = UTCP_PKT_MORE;
	}
	pkts[0].flags = UTCP_PKT_MORE;
	pkts[UTCP_PKT_PARTS_MAX + 1] = (utcp_pkt_t){ .data = mem, .len = 1 };
	assert_int_equal(utcp_input(u, pkts, UTCP_PKT_PARTS_MAX + 2), 0);
	assert_int_equal(u->ctr[UTCP_CTR_IN_PKTS], 2);
	assert_int_equal(utcp_output(u, NULL, 1), -EINVAL);
	assert_int_equal(utcp_output(u, NULL, 0), 0);
	assert_int_equal(utcp_events(u, NULL, 1), -EINVAL);
	assert_int_equal(utcp_events(u, NULL, 0), 0);
	assert_int_equal(utcp_open(u, 5, &s), -EINVAL);
	assert_int_equal(utcp_open(u, 4, NULL), -EINVAL);
	utcp_destroy(u);
}

/* What each call says of a socket in a state that is not for it. */
static void
states_are_checked(void **state)
{
	utcp_addr_t a, to = pair_addr(4, 2, 80), to6 = pair_addr(6, 2, 80);
	utcp_addr_t many = pair_addr(4, 0, 80), none = { .family = 4 };
	utcp_buf_t buf = { .data = "x", .len = 1 }, empty = { .data = "x" };
	utcp_sock_t *l, *c, *s, *x;
	struct pair p;
	utcp_view_t v;
	char b[4];

	(void)state;
	pair_init(&p, 4);
	many.addr[0] = 224;
	put16(&none.port_be, 80);

	assert_int_equal(utcp_open(p.u[0], 4, &x), 0);
	assert_int_equal(utcp_listen(x, 1), -EINVAL); /* not bound */
	assert_int_equal(utcp_accept(x, &s), -EINVAL);
	assert_int_equal(utcp_read(x, b, 4, 0), -ENOTCONN);
	assert_int_equal(utcp_views(x, &v, 1), -ENOTCONN);
	assert_int_equal(utcp_write(x, b, 4, 0), -ENOTCONN);
	assert_int_equal(utcp_send(x, &buf, 0), -ENOTCONN);
	assert_int_equal(utcp_shutdown(x, UTCP_SHUT_WR), -ENOTCONN);
	assert_int_equal(utcp_getpeername(x, &a), -ENOTCONN);
	assert_int_equal(utcp_getsockname(x, &a), -EINVAL);
	assert_int_equal(utcp_poll(x), 0);
	assert_int_equal(utcp_bind(x, &to6), -EAFNOSUPPORT);
	assert_int_equal(utcp_bind(x, &many), -EADDRNOTAVAIL);
	assert_int_equal(utcp_connect(x, &to6), -EAFNOSUPPORT);
	assert_int_equal(utcp_connect(x, &many), -EINVAL);
	assert_int_equal(utcp_connect(x, &none), -EINVAL);
	none = pair_addr(4, 3, 0);
	assert_int_equal(utcp_connect(x, &none), -EINVAL); /* port 0 */
	none.port_be = 0;
	assert_int_equal(utcp_bind(x, &none), 0);
	assert_int_equal(utcp_bind(x, &none), -EINVAL); /* again */
	assert_int_equal(utcp_listen(x, -1), -EINVAL);
	assert_int_equal(utcp_listen(x, 65536), -EINVAL);
	assert_int_equal(utcp_listen(x, 0), 0);
	assert_int_equal(utcp_listen(x, 5), 0);
	assert_int_equal(utcp_connect(x, &to), -EISCONN);
	assert_int_equal(utcp_write(x, b, 4, 0), -ENOTCONN);
	assert_int_equal(utcp_read(x, b, 4, 0), -ENOTCONN);
	assert_int_equal(utcp_shutdown(x, UTCP_SHUT_WR), -ENOTCONN);
	utcp_close(x);

	l = pair_listen(&p, 1, 80, 8);
	assert_int_equal(utcp_accept(l, NULL), -EINVAL);
	pair_connect(&p, l, &c, &s);
	assert_int_equal(utcp_connect(c, &to), -EISCONN);
	assert_int_equal(utcp_bind(c, &none), -EINVAL);
	assert_int_equal(utcp_listen(c, 1), -EISCONN);
	assert_int_equal(utcp_accept(c, &x), -EINVAL);
	assert_int_equal(utcp_read(c, NULL, 4, 0), -EINVAL);
	assert_int_equal(utcp_read(c, b, 4, 0x4000), -EINVAL);
	assert_int_equal(utcp_read(c, b, 4, 0), -EAGAIN);
	assert_int_equal(utcp_views(c, NULL, 1), -EINVAL);
	assert_int_equal(utcp_consume(c, 1), -EINVAL);
	assert_int_equal(utcp_write(c, NULL, 4, 0), -EINVAL);
	assert_int_equal(utcp_write(c, b, 4, 0x4000), -EINVAL);
	assert_int_equal(utcp_write(c, b, 0, 0), 0);
	assert_int_equal(utcp_send(c, &empty, 0), -EINVAL);
	assert_int_equal(utcp_send(c, NULL, 0), -EINVAL);
	assert_int_equal(utcp_shutdown(c, 3), -EINVAL);
	assert_int_equal(utcp_set_cc(c, "nosuch"), -ENOENT);
	assert_int_equal(utcp_get(c, UTCP_OPT_TTL, NULL), -EINVAL);
	assert_int_equal(utcp_getsockname(c, NULL), -EINVAL);
	/* And after all that it works. */
	assert_int_equal(utcp_write(c, "good", 4, 0), 4);
	pair_pump(&p);
	assert_int_equal(utcp_read(s, b, 4, 0), 4);
	assert_memory_equal(b, "good", 4);

	/* One that has ended. */
	utcp_abort(c);
	pair_pump(&p);
	assert_int_equal(utcp_write(s, b, 4, 0), -ECONNRESET);
	assert_int_equal(utcp_write(s, b, 4, 0), -EPIPE);
	assert_int_equal(utcp_send(s, &buf, 0), -EPIPE);
	assert_int_equal(utcp_shutdown(s, UTCP_SHUT_WR), -ENOTCONN);
	assert_int_equal(utcp_connect(s, &to), -EINVAL);
	assert_int_equal(utcp_bind(s, &to), -EINVAL);
	assert_int_equal(utcp_listen(s, 1), -EINVAL);
	assert_int_equal(utcp_getpeername(s, &a), -ENOTCONN);
	assert_int_equal(utcp_getsockname(s, &a), 0);
	assert_int_equal(utcp_set(s, UTCP_OPT_NODELAY, 1), 0);
	assert_int_equal(utcp_set_cc(s, "bbr"), 0);
	utcp_close(s);
	pair_end(&p);
}

static void
number_of_sockets_is_bounded(void **state)
{
	utcp_config_t c = { .max_socks = 3 };
	utcp_sock_t *l, *s, *t, *x;
	struct pair p;

	(void)state;
	pair_init_with(&p, 4, c);
	l = pair_listen(&p, 1, 80, 8);
	pair_connect(&p, l, &s, &t);
	assert_int_equal(utcp_open(p.u[1], 4, &x), 0);
	assert_int_equal(utcp_open(p.u[1], 4, &x), -ENFILE);
	assert_null(x);
	utcp_abort(t);
	assert_int_equal(utcp_open(p.u[1], 4, &x), 0);
	pair_end(&p);
}

/* Any call on any socket in any order, by lot; the peer is real. */
static void
calls_by_lot(uint32_t seed)
{
	enum { NUM = 12 };
	utcp_sock_t *s[NUM] = { 0 };
	static utcp_buf_t bufs[NUM];
	static uint8_t data[5000];
	utcp_addr_t to = pair_addr(4, 2, 80), a;
	struct pair p;
	utcp_event_t ev[4];
	utcp_view_t v[4];
	int64_t value;
	uint32_t r = seed * 2654435761u + 1;

	pair_init(&p, 4);
	for (int i = 0; i < 400; i++) {
		int k, who;

		r = r * 1664525 + 1013904223;
		k = (int)(r >> 8) % NUM;
		who = k % 2;
		to.addr[3] = (uint8_t)(2 - who);
		put16(&to.port_be, 80 + (r >> 20) % 2);
		switch ((r >> 24) % 24) {
		case 0:
		case 1:
			if (!s[k])
				assert_int_equal(utcp_open(p.u[who], 4, &s[k]),
						 0);
			break;
		case 2:
			a = pair_addr(4, who + 1, 80 + (r >> 21) % 2);
			(void)utcp_bind(s[k], &a);
			(void)utcp_listen(s[k], 4);
			break;
		case 3:
		case 4:
			(void)utcp_connect(s[k], &to);
			break;
		case 5:
			if (!s[k])
				(void)utcp_accept(s[(k + 2) % NUM], &s[k]);
			break;
		case 6:
		case 7:
			(void)utcp_write(s[k], data, r % sizeof(data),
					 r & UTCP_MSG_MORE);
			break;
		case 8:
			/* A buffer without an end belongs to its socket. */
			if (!bufs[k].data) {
				bufs[k].data = data;
				bufs[k].len = 1 + r % 4000;
				if (utcp_send(s[k], &bufs[k], 0))
					bufs[k].data = NULL;
			}
			break;
		case 9:
			(void)utcp_read(s[k], data, r % sizeof(data), 0);
			break;
		case 10:
			(void)utcp_views(s[k], v, 4);
			(void)utcp_consume(s[k], r % 2000);
			break;
		case 11:
			(void)utcp_shutdown(s[k], (int)(r % 3));
			break;
		case 12:
			utcp_close(s[k]);
			s[k] = NULL;
			break;
		case 13:
			utcp_abort(s[k]);
			s[k] = NULL;
			break;
		case 14:
			value = (int64_t)(r >> 4) - 1000;
			(void)utcp_set(s[k], (int)(r % UTCP_OPT_MAX), value);
			(void)utcp_set(s[k], (int)(r % UTCP_OPT_MAX),
				       value % 3);
			(void)utcp_get(s[k], (int)(r % UTCP_OPT_MAX), &value);
			break;
		case 15:
			(void)utcp_set_cc(s[k], r & 16 ? "bbr" : "newreno");
			break;
		case 16:
			(void)utcp_set_mtu(p.u[who], r % 3000);
			break;
		case 17:
			(void)utcp_events(p.u[who], ev, r % 5);
			break;
		case 18:
			p.cut = r & 1024;
			break;
		case 19:
		case 20:
			pair_run(&p, (uint64_t)(r % 1000) * MSEC);
			break;
		default:
			(void)pair_move(&p, who);
			break;
		}
	}
	pair_end(&p);
	memset(bufs, 0, sizeof(bufs));
}

static void
calls_in_any_order_end_well(void **state)
{
	(void)state;
	for (uint32_t seed = 0; seed < 300; seed++)
		calls_by_lot(seed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_is_harmless),
		cmocka_unit_test(bad_configurations_are_refused),
		cmocka_unit_test(stack_calls_check_their_arguments),
		cmocka_unit_test(states_are_checked),
		cmocka_unit_test(number_of_sockets_is_bounded),
		cmocka_unit_test(calls_in_any_order_end_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
