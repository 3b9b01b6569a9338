/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls that make no sense: each says so, changes nothing, and the stack goes
   on. */
#include "misuse.h"
#include "utcp_pair.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

/* A table that lacks a public call fails. */
static void
null_is_harmless(void **state)
{
	static const char *const calls[] = {
#include "utcp_calls.inc"
#include "utcp_cc_calls.inc"
#include "utcp_ext_calls.inc"
	};
	utcp_addr_t a = { .family = 4 };
	utcp_info_t info = { .size = sizeof(info) };
	utcp_usage_t usage = { .mem_bytes = 1 };
	utcp_pkt_t pkt = { 0 };
	utcp_event_t ev;
	utcp_dgram_t d;
	utcp_sock_t *s;
	utcp_view_t v;
	int64_t value;
	uint64_t n;
	char b[4];
	const struct misuse rows[] = {
		SAYS(utcp_create(NULL, NULL), -EINVAL),
		NOTHING(utcp_destroy(NULL)),
		SAYS(utcp_address(NULL, &a, 1), -EINVAL),
		SAYS(utcp_set_mtu(NULL, 1500), -EINVAL),
		SAYS(utcp_set_offloads(NULL, 0), -EINVAL),
		NOTHING(utcp_advance(NULL, 1)),
		SAYS(utcp_next_ns(NULL), UTCP_NEVER),
		SAYS(utcp_now_ns(NULL), 0),
		SAYS(utcp_input(NULL, &pkt, 1), -EINVAL),
		NOTHING(utcp_retain(NULL)),
		SAYS(utcp_output(NULL, &pkt, 1), -EINVAL),
		SAYS(utcp_counters(NULL, &n, 1), 0),
		IS_NULL(utcp_counter_name(UTCP_CTR_MAX)),
		IS_NULL(utcp_counter_text(UTCP_CTR_MAX)),
		NOTHING(utcp_usage(NULL, &usage)),
		NOTHING(utcp_usage(NULL, NULL)),
		SAYS(utcp_events(NULL, &ev, 1), -EINVAL),
		SAYS(utcp_open(NULL, 4, &s), -EINVAL),
		SAYS(utcp_bind(NULL, &a), -EINVAL),
		SAYS(utcp_listen(NULL, 1), -EINVAL),
		SAYS(utcp_accept(NULL, &s), -EINVAL),
		SAYS(utcp_connect(NULL, &a), -EINVAL),
		SAYS(utcp_read(NULL, b, 4, 0), -EINVAL),
		SAYS(utcp_views(NULL, &v, 1), -EINVAL),
		SAYS(utcp_consume(NULL, 0), -EINVAL),
		SAYS(utcp_readable(NULL), 0),
		SAYS(utcp_write(NULL, b, 4, 0), -EINVAL),
		SAYS(utcp_send(NULL, NULL, 0), -EINVAL),
		SAYS(utcp_shutdown(NULL, UTCP_SHUT_WR), -EINVAL),
		NOTHING(utcp_close(NULL)),
		NOTHING(utcp_abort(NULL)),
		SAYS(utcp_poll(NULL), 0),
		NOTHING(utcp_set_user(NULL, b)),
		IS_NULL(utcp_user(NULL)),
		IS_NULL(utcp_stack(NULL)),
		IS_NULL(utcp_next_sock(NULL, NULL)),
		SAYS(utcp_getsockname(NULL, &a), -EINVAL),
		SAYS(utcp_getpeername(NULL, &a), -EINVAL),
		SAYS(utcp_set(NULL, UTCP_OPT_TTL, 1), -EINVAL),
		SAYS(utcp_get(NULL, UTCP_OPT_TTL, &value), -EINVAL),
		SAYS(utcp_set_cc(NULL, "cubic"), -EINVAL),
		IS_NULL(utcp_cc(NULL)),
		IS_NULL(utcp_opt_name(UTCP_OPT_MAX)),
		IS_NULL(utcp_opt_text(UTCP_OPT_MAX)),
		SAYS(utcp_info(NULL, &info), -EINVAL),
		SAYS(utcp_udp_open(NULL, 4, NULL), -EINVAL),
		SAYS(utcp_udp_bind(NULL, &a), -EINVAL),
		SAYS(utcp_udp_connect(NULL, &a), -EINVAL),
		SAYS(utcp_udp_send(NULL, &d, 1), -EINVAL),
		SAYS(utcp_udp_recv(NULL, &d, 1), -EINVAL),
		NOTHING(utcp_udp_close(NULL)),
		SAYS(utcp_udp_poll(NULL), 0),
		SAYS(utcp_udp_getsockname(NULL, &a), -EINVAL),
		SAYS(utcp_udp_getpeername(NULL, &a), -EINVAL),
		NOTHING(utcp_udp_set_user(NULL, b)),
		IS_NULL(utcp_udp_user(NULL)),
		IS_NULL(utcp_udp_stack(NULL)),
		SAYS(utcp_udp_set(NULL, UTCP_OPT_TTL, 1), -EINVAL),
		SAYS(utcp_udp_get(NULL, UTCP_OPT_TTL, &value), -EINVAL),
		SAYS(utcp_cc_register(NULL, NULL), -EINVAL),
		SAYS(utcp_cc_default(NULL, NULL), -EINVAL),
		IS_NULL(utcp_cc_name(NULL, 0)),
		SAYS(utcp_ext_register(NULL, NULL, 0, NULL), -EINVAL),
		IS_NULL(utcp_ext_shared(NULL, "x")),
		IS_NULL(utcp_ext_name(NULL, 0)),
		SAYS(utcp_ext_add(NULL, "x", NULL, 0), -EINVAL),
		SAYS(utcp_ext_remove(NULL, "x"), -EINVAL),
		IS_NULL(utcp_ext_find(NULL, "x")),
		IS_NULL(utcp_ext_put(NULL, 0, 0)),
		SAYS(utcp_ext_want(NULL, 4), -EINVAL),
		SAYS(utcp_ext_timer(NULL, 0), -EINVAL),
		SAYS(utcp_ext_ack_now(NULL), -EINVAL),
		SAYS(utcp_ext_ack_first(NULL), -EINVAL),
		SAYS(utcp_ext_gso(NULL, 0), -EINVAL),
		SAYS(utcp_ext_output(NULL), -EINVAL),
		SAYS(utcp_ext_ecn(NULL, UTCP_EXT_ECN_OFF), -EINVAL),
		SAYS(utcp_ext_emit(NULL, b, 4, 0), -EINVAL),
		SAYS(utcp_ext_deliver(NULL, b, 4), -EINVAL),
		SAYS(utcp_ext_deliver_end(NULL), -EINVAL),
		SAYS(utcp_ext_resume(NULL), -EINVAL),
		IS_NULL(utcp_ext_alloc(NULL, 4)),
		NOTHING(utcp_ext_free(NULL, NULL, 0)),
	};

	(void)state;
	misuse_check(rows, ARRAY(rows));
	misuse_complete(rows, ARRAY(rows), calls, ARRAY(calls));
	assert_int_equal(usage.mem_bytes, 0);
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

/* Of a socket not yet bound or connected; none of it changes it. Calls in
   states that are not for them are test_utcp_states.c's. */
static void
addresses_are_checked(void **state)
{
	utcp_addr_t to6 = pair_addr(6, 2, 80), many = pair_addr(4, 0, 80);
	utcp_addr_t none = { .family = 4 }, no_port = pair_addr(4, 3, 0);
	utcp_addr_t odd = pair_addr(4, 3, 80);
	struct pair p;
	utcp_sock_t *s;

	(void)state;
	pair_init(&p, 4);
	many.addr[0] = 224;
	odd.family = 5;
	put16(&none.port_be, 80);
	assert_int_equal(utcp_open(p.u[0], 4, &s), 0);
	{
		const struct misuse rows[] = {
			SAYS(utcp_bind(s, NULL), -EINVAL),
			SAYS(utcp_bind(s, &to6), -EAFNOSUPPORT),
			SAYS(utcp_bind(s, &odd), -EAFNOSUPPORT),
			SAYS(utcp_bind(s, &many), -EADDRNOTAVAIL),
			SAYS(utcp_connect(s, NULL), -EINVAL),
			SAYS(utcp_connect(s, &to6), -EAFNOSUPPORT),
			SAYS(utcp_connect(s, &odd), -EAFNOSUPPORT),
			SAYS(utcp_connect(s, &many), -EINVAL),
			SAYS(utcp_connect(s, &none), -EINVAL),
			SAYS(utcp_connect(s, &no_port), -EINVAL),
		};

		misuse_check(rows, ARRAY(rows));
	}
	assert_int_equal(utcp_bind(s, &no_port), 0);
	pair_end(&p);
}

/* Of a connection, which goes on as if nothing had been said. */
static void
arguments_are_checked(void **state)
{
	utcp_buf_t empty = { .data = "x" }, no_data = { .len = 1 };
	utcp_buf_t huge = { .data = "x", .len = SIZE_MAX };
	utcp_info_t none = { .size = 0 }, large = { .size = sizeof(large) + 1 };
	utcp_sock_t *l, *c, *s;
	int64_t value;
	struct pair p;
	utcp_view_t v;
	char b[4];

	(void)state;
	pair_open(&p, &l, &c, &s);
	{
		const struct misuse rows[] = {
			SAYS(utcp_listen(l, -1), -EINVAL),
			SAYS(utcp_listen(l, 65536), -EINVAL),
			SAYS(utcp_accept(l, NULL), -EINVAL),
			SAYS(utcp_read(c, NULL, 4, 0), -EINVAL),
			SAYS(utcp_read(c, b, 4, 0x4000), -EINVAL),
			SAYS(utcp_read(c, b, 4, -1), -EINVAL),
			SAYS(utcp_views(c, NULL, 1), -EINVAL),
			SAYS(utcp_views(c, &v, UINT32_MAX), 0),
			SAYS(utcp_consume(c, 1), -EINVAL),
			SAYS(utcp_consume(c, SIZE_MAX), -EINVAL),
			SAYS(utcp_write(c, NULL, 4, 0), -EINVAL),
			SAYS(utcp_write(c, b, 4, 0x4000), -EINVAL),
			SAYS(utcp_write(c, b, SIZE_MAX, 0), -EINVAL),
			SAYS(utcp_write(c, b, 0, 0), 0),
			SAYS(utcp_write(c, NULL, 0, 0), 0),
			SAYS(utcp_send(c, NULL, 0), -EINVAL),
			SAYS(utcp_send(c, &empty, 0), -EINVAL),
			SAYS(utcp_send(c, &no_data, 0), -EINVAL),
			SAYS(utcp_send(c, &huge, 0), -EINVAL),
			SAYS(utcp_send(c, &empty, UTCP_MSG_PEEK), -EINVAL),
			SAYS(utcp_shutdown(c, -1), -EINVAL),
			SAYS(utcp_shutdown(c, 3), -EINVAL),
			SAYS(utcp_getsockname(c, NULL), -EINVAL),
			SAYS(utcp_getpeername(c, NULL), -EINVAL),
			SAYS(utcp_set(c, -1, 0), -ENOPROTOOPT),
			SAYS(utcp_set(c, UTCP_OPT_MAX, 0), -ENOPROTOOPT),
			SAYS(utcp_set(c, UTCP_OPT_TTL, 0), -EINVAL),
			SAYS(utcp_set(c, UTCP_OPT_TTL, INT64_MAX), -EINVAL),
			SAYS(utcp_set(c, UTCP_OPT_RCVBUF, INT64_MIN), -EINVAL),
			SAYS(utcp_get(c, -1, &value), -ENOPROTOOPT),
			SAYS(utcp_get(c, UTCP_OPT_MAX, &value), -ENOPROTOOPT),
			SAYS(utcp_get(c, UTCP_OPT_TTL, NULL), -EINVAL),
			SAYS(utcp_set_cc(c, NULL), -EINVAL),
			SAYS(utcp_set_cc(c, "nosuch"), -ENOENT),
			SAYS(utcp_info(c, NULL), -EINVAL),
			SAYS(utcp_info(c, &none), -EINVAL),
			SAYS(utcp_info(c, &large), -EINVAL),
		};

		misuse_check(rows, ARRAY(rows));
	}
	assert_int_equal(utcp_write(c, "good", 4, 0), 4);
	pair_pump(&p);
	assert_int_equal(utcp_read(s, b, 4, 0), 4);
	assert_memory_equal(b, "good", 4);
	pair_end(&p);
}

static void
udp_arguments_are_checked(void **state)
{
	utcp_addr_t a = pair_addr(4, 1, 80), to = pair_addr(4, 2, 80);
	utcp_addr_t odd = { .family = 5 }, to6 = pair_addr(6, 2, 80);
	utcp_addr_t no_port = pair_addr(4, 2, 0);
	utcp_dgram_t ok = { .data = "x", .len = 1 }, to_none = ok;
	utcp_dgram_t no_data = { .len = 1 }, to_odd = ok, huge = ok;
	utcp_dgram_t many = { .data = "x", .len = 1000, .gso_size = 1 };
	utcp_dgram_t other = ok;
	utcp_udp_t *s, *t;
	int64_t value;
	struct pair p;

	(void)state;
	pair_init(&p, 4);
	no_data.peer = huge.peer = many.peer = other.peer = to;
	to_odd.peer = odd;
	huge.len = SIZE_MAX;
	other.local = pair_addr(4, 99, 0);
	put16(&odd.port_be, 80);
	assert_int_equal(utcp_udp_open(p.u[0], 4, &s), 0);
	assert_int_equal(utcp_udp_bind(s, &a), 0);
	assert_int_equal(utcp_udp_open(p.u[0], 4, &t), 0);
	{
		const struct misuse rows[] = {
			SAYS(utcp_udp_open(p.u[0], 5, &t), -EINVAL),
			SAYS(utcp_udp_open(p.u[0], 4, NULL), -EINVAL),
			SAYS(utcp_udp_bind(s, &a), -EINVAL), /* again */
			SAYS(utcp_udp_bind(t, NULL), -EINVAL),
			SAYS(utcp_udp_bind(t, &a), -EADDRINUSE),
			SAYS(utcp_udp_bind(t, &to6), -EAFNOSUPPORT),
			SAYS(utcp_udp_getsockname(t, &a), -EINVAL),
			SAYS(utcp_udp_getsockname(s, NULL), -EINVAL),
			SAYS(utcp_udp_getpeername(t, &a), -ENOTCONN),
			SAYS(utcp_udp_getpeername(s, NULL), -EINVAL),
			SAYS(utcp_udp_connect(s, NULL), -EINVAL),
			SAYS(utcp_udp_connect(s, &odd), -EAFNOSUPPORT),
			SAYS(utcp_udp_connect(s, &no_port), -EINVAL),
			SAYS(utcp_udp_send(s, NULL, 1), -EINVAL),
			SAYS(utcp_udp_send(s, NULL, 0), 0),
			SAYS(utcp_udp_send(s, &ok, UINT32_MAX), -EINVAL),
			SAYS(utcp_udp_send(s, &to_none, 1), -EDESTADDRREQ),
			SAYS(utcp_udp_send(s, &to_odd, 1), -EAFNOSUPPORT),
			SAYS(utcp_udp_send(s, &no_data, 1), -EINVAL),
			SAYS(utcp_udp_send(s, &huge, 1), -EMSGSIZE),
			SAYS(utcp_udp_send(s, &many, 1), -EINVAL),
			SAYS(utcp_udp_send(s, &other, 1), -EINVAL),
			SAYS(utcp_udp_recv(s, NULL, 1), -EINVAL),
			SAYS(utcp_udp_recv(s, &ok, UINT32_MAX), -EINVAL),
			SAYS(utcp_udp_recv(s, &ok, 1), -EAGAIN),
			SAYS(utcp_udp_set(s, -1, 0), -ENOPROTOOPT),
			SAYS(utcp_udp_set(s, UTCP_OPT_SACK, 0), -ENOPROTOOPT),
			SAYS(utcp_udp_set(s, UTCP_OPT_TTL, 256), -EINVAL),
			SAYS(utcp_udp_set(s, UTCP_OPT_V6ONLY, 1), -EISCONN),
			SAYS(utcp_udp_get(s, UTCP_OPT_MAX, &value),
			     -ENOPROTOOPT),
			SAYS(utcp_udp_get(s, UTCP_OPT_TTL, NULL), -EINVAL),
		};

		misuse_check(rows, ARRAY(rows));
	}
	assert_int_equal(utcp_udp_connect(s, &to), 0);
	assert_int_equal(utcp_udp_send(s, &ok, 1), 1);
	pair_end(&p);
}

/* No room: nothing leaves, and it leaves when there is some. */
static void
buffers_of_no_use_are_left_alone(void **state)
{
	static uint8_t mem[2][2048];
	const utcp_pkt_t good = { .data = mem[0], .len = sizeof(mem[0]) };
	const utcp_pkt_t none = { .data = NULL, .len = 2048 };
	const utcp_pkt_t tiny = { .data = mem[1], .len = 1 };
	utcp_sock_t *l, *c, *s;
	struct pair p;

	(void)state;
	pair_open(&p, &l, &c, &s);
	assert_int_equal(utcp_write(c, mem, 1400, 0), 1400);
	{
		utcp_pkt_t nothing[2] = { none, good },
			   small[2] = { tiny, good };
		utcp_pkt_t cut[2] = { good, none };
		const struct misuse rows[] = {
			SAYS(utcp_output(p.u[0], nothing, 2), 0),
			SAYS(utcp_output(p.u[0], small, 2), 0),
			SAYS((cut[0].len = 200, utcp_output(p.u[0], cut, 2)),
			     0),
			SAYS(utcp_output(p.u[0], cut, UINT32_MAX), -EINVAL),
		};

		misuse_check(rows, ARRAY(rows));
	}
	pair_pump(&p);
	assert_int_equal(utcp_readable(s), 1400);
	pair_end(&p);
}

static int
cc_init(utcp_cc_t *cc)
{
	(void)cc;
	return 0;
}

static void
cc_ack(utcp_cc_t *cc, const utcp_ack_t *ack)
{
	(void)cc;
	(void)ack;
}

static void
incomplete_congestion_controls_are_refused(void **state)
{
	const utcp_cc_ops_t good = { .size = sizeof(good),
				     .flags = UTCP_CC_OWN_RECOVERY,
				     .name = "ours",
				     .init = cc_init,
				     .ack = cc_ack };
	utcp_cc_ops_t bad[9];
	utcp_t *u;

	(void)state;
	for (size_t i = 0; i < ARRAY(bad); i++)
		bad[i] = good;
	bad[0].size--;
	bad[1].name = NULL;
	bad[2].name = "";
	bad[3].name = "sixteen letters.";
	bad[4].flags |= 1u << 31;
	bad[5].priv_bytes = 1025;
	bad[6].init = NULL;
	bad[7].ack = NULL;
	bad[8].flags = 0; /* without ssthresh */
	assert_int_equal(utcp_create(&u, NULL), 0);
	assert_int_equal(utcp_cc_register(u, NULL), -EINVAL);
	for (size_t i = 0; i < ARRAY(bad); i++)
		assert_int_equal(utcp_cc_register(u, &bad[i]), -EINVAL);
	assert_int_equal(utcp_cc_register(u, &good), 0);
	assert_int_equal(utcp_cc_register(u, &good), -EEXIST);
	assert_string_equal(utcp_cc_name(u, 4), "ours");
	assert_null(utcp_cc_name(u, 5));
	utcp_destroy(u);
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
calls_by_lot(uint32_t seed, int family)
{
	enum { NUM = 12 };
	utcp_sock_t *s[NUM] = { 0 };
	static utcp_buf_t bufs[NUM];
	static uint8_t data[5000];
	utcp_addr_t to, a;
	struct pair p;
	utcp_event_t ev[4];
	utcp_view_t v[4];
	int64_t value;
	uint32_t r = seed * 2654435761u + 1;

	pair_init(&p, family);
	for (int i = 0; i < 400; i++) {
		int k, who;

		r = r * 1664525 + 1013904223;
		k = (int)(r >> 8) % NUM;
		who = k % 2;
		to = pair_addr(family, 2 - who, 80 + (r >> 20) % 2);
		switch ((r >> 24) % 24) {
		case 0:
		case 1:
			if (!s[k])
				assert_int_equal(
				    utcp_open(p.u[who], family, &s[k]), 0);
			break;
		case 2:
			a = pair_addr(family, who + 1, 80 + (r >> 21) % 2);
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
		calls_by_lot(seed, seed % 2 ? 6 : 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_is_harmless),
		cmocka_unit_test(bad_configurations_are_refused),
		cmocka_unit_test(stack_calls_check_their_arguments),
		cmocka_unit_test(addresses_are_checked),
		cmocka_unit_test(arguments_are_checked),
		cmocka_unit_test(udp_arguments_are_checked),
		cmocka_unit_test(buffers_of_no_use_are_left_alone),
		cmocka_unit_test(incomplete_congestion_controls_are_refused),
		cmocka_unit_test(number_of_sockets_is_bounded),
		cmocka_unit_test(calls_in_any_order_end_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
