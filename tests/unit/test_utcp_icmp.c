/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP errors about TCP: which end a connection, which are remembered, and
 * which are not even looked at (RFC 1122 section 4.2.3.9, RFC 5461, RFC 5927).
 */
#include "utcp_icmp.h"

struct icmp {
	int family;
	uint8_t type, code;
	int err;
	bool hard;
};

#ifndef ENONET
#define ENONET EHOSTUNREACH
#endif

static const struct icmp errors[] = {
	{ 4, 3, 0, ENETUNREACH, false },   { 4, 3, 1, EHOSTUNREACH, false },
	{ 4, 3, 2, ENOPROTOOPT, true },	   { 4, 3, 3, ECONNREFUSED, true },
	{ 4, 3, 5, EOPNOTSUPP, false },	   { 4, 3, 6, ENETUNREACH, true },
	{ 4, 3, 7, EHOSTDOWN, true },	   { 4, 3, 8, ENONET, true },
	{ 4, 3, 9, ENETUNREACH, true },	   { 4, 3, 10, EHOSTUNREACH, true },
	{ 4, 3, 11, ENETUNREACH, false },  { 4, 3, 12, EHOSTUNREACH, false },
	{ 4, 3, 13, EHOSTUNREACH, true },  { 4, 3, 14, EHOSTUNREACH, true },
	{ 4, 3, 15, EHOSTUNREACH, true },  { 4, 11, 0, EHOSTUNREACH, false },
	{ 4, 11, 1, EHOSTUNREACH, false }, { 4, 12, 0, EPROTO, false },
	{ 6, 1, 0, ENETUNREACH, false },   { 6, 1, 1, EACCES, true },
	{ 6, 1, 3, EHOSTUNREACH, false },  { 6, 1, 4, ECONNREFUSED, true },
	{ 6, 1, 5, EACCES, true },	   { 6, 3, 0, EHOSTUNREACH, false },
	{ 6, 4, 0, EPROTO, false },	   { 6, 4, 1, EPROTO, true },
	{ 6, 127, 0, EPROTO, false },
};
#define NUM_ERRORS (sizeof(errors) / sizeof(*errors))

/* RFC 9293 section 3.9.2.2; RFC 5461 section 4.1, with the option */
static void
they_end_what_is_not_open(void **state)
{
	struct ctx *c = *state;

	for (size_t i = 0; i < 2 * NUM_ERRORS; i++) {
		const struct icmp *e = &errors[i / 2];
		bool soft_too = i % 2 == 0;

		start(c, e->family);
		if (!soft_too)
			assert_int_equal(
			    utcp_set(c->s, UTCP_OPT_SOFT_ERRORS, 0), 0);
		give_error(c, e->type, e->code, c->iss);
		assert_int_equal(drain(c), 0); /* no reset for it */
		if (e->hard || soft_too) {
			assert_int_equal(state_of(c), UTCP_CLOSED);
			assert_true(utcp_poll(c->s) & UTCP_ERR);
			assert_true(utcp_poll(c->s) & UTCP_HUP);
			assert_int_equal(error_of(c), e->err);
			assert_int_equal(ctr(c->u, UTCP_CTR_CONNECT_FAILS), 1);
			/* It is gone: what comes is nobody's. */
			give_tcp(c, 0x10, 1000, c->iss + 1);
			assert_true(take(c->u, &g));
			assert_int_equal(g.b[g.head + 13], 4);
		} else {
			assert_int_equal(state_of(c), UTCP_SYN_SENT);
			assert_int_equal(error_of(c), 0);
		}
		stop(c);
	}
}

static void
soft_ones_say_why_it_timed_out(void **state)
{
	struct ctx *c = *state;

	for (size_t i = 0; i < NUM_ERRORS; i++) {
		const struct icmp *e = &errors[i];

		if (e->hard)
			continue;
		start(c, e->family);
		assert_int_equal(utcp_set(c->s, UTCP_OPT_SOFT_ERRORS, 0), 0);
		give_error(c, e->type, e->code, c->iss);
		for (int j = 0; j < 400 && state_of(c) != UTCP_CLOSED; j++) {
			utcp_advance(c->u, c->now += SECOND);
			drain(c);
		}
		assert_int_equal(state_of(c), UTCP_CLOSED);
		assert_int_equal(error_of(c), e->err);
		stop(c);
	}
}

static void
none_ends_what_is_open(void **state)
{
	struct ctx *c = *state;

	for (size_t i = 0; i < NUM_ERRORS; i++) {
		const struct icmp *e = &errors[i];

		establish(c, e->family);
		give_error(c, e->type, e->code, c->una);
		assert_int_equal(state_of(c), UTCP_ESTABLISHED);
		assert_int_equal(error_of(c), 0);
		/* It goes on as if nothing had been. */
		give_tcp(c, 0x10, 1001, c->nxt);
		assert_int_equal(utcp_write(c->s, "x", 1, 0), 1);
		assert_int_equal(drain(c), 1);
		stop(c);
	}
}

static void
progress_forgets_it(void **state)
{
	struct ctx *c = *state;

	establish(c, 4);
	give_error(c, 3, 1, c->una);
	give_tcp(c, 0x10, 1001, c->nxt);
	assert_int_equal(utcp_write(c->s, "x", 1, 0), 1);
	for (int j = 0; j < 3000 && state_of(c) != UTCP_CLOSED; j++) {
		drain(c);
		utcp_advance(c->u, c->now += SECOND);
	}
	assert_int_equal(state_of(c), UTCP_CLOSED);
	assert_int_equal(error_of(c), ETIMEDOUT);
}

static uint32_t
cwnd_of(const struct ctx *c)
{
	utcp_info_t i = { .size = sizeof(i) };

	assert_int_equal(utcp_info(c->s, &i), 0);
	return i.cwnd_bytes;
}

/* RFC 6633 section 3, and what is no error */
static void
source_quench_is_nothing(void **state)
{
	static const struct {
		int family;
		uint8_t type, code;
	} cases[] = {
		{ 4, 4, 0 },  { 4, 5, 1 },   { 4, 8, 0 },   { 4, 3, 16 },
		{ 4, 13, 0 }, { 6, 128, 0 }, { 6, 135, 0 }, { 6, 255, 0 },
	};
	struct ctx *c = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint32_t cwnd;

		start(c, cases[i].family);
		give_error(c, cases[i].type, cases[i].code, c->iss);
		assert_int_equal(state_of(c), UTCP_SYN_SENT);
		stop(c);
		establish(c, cases[i].family);
		cwnd = cwnd_of(c);
		give_error(c, cases[i].type, cases[i].code, c->una);
		assert_int_equal(ctr(c->u, UTCP_CTR_DROP_PROTO), 1);
		assert_int_equal(cwnd_of(c), cwnd);
		assert_false(take(c->u, &g));
		stop(c);
	}
}

static void
only_what_is_in_flight_counts(void **state)
{
	struct ctx *c = *state;

	for (int family = 4; family <= 6; family += 2) {
		uint8_t type = family == 4 ? 3 : 1;
		uint8_t code = family == 4 ? 3 : 4;
		static const int32_t off[] = { -1, 1, 2, 1 << 30, INT32_MIN };

		start(c, family);
		for (int i = 0; i < 5; i++) {
			give_error(c, type, code, c->iss + (uint32_t)off[i]);
			assert_int_equal(state_of(c), UTCP_SYN_SENT);
			assert_int_equal(ctr(c->u, UTCP_CTR_DROP_WINDOW),
					 i + 1);
		}
		/* of another connection */
		c->port ^= 1;
		give_error(c, type, code, c->iss);
		assert_int_equal(state_of(c), UTCP_SYN_SENT);
		assert_int_equal(ctr(c->u, UTCP_CTR_DROP_CLOSED), 1);
		c->port ^= 1;
		stop(c);

		/* sent to another address than the packet came from */
		start(c, family);
		give_error(c, type, code, c->iss + 7);
		m.b[m.head - 1] ^= 1;
		wr32(m.b + m.head + 8 + m.head + 4, c->iss);
		mk_done(&m);
		mk_l4_sum(&m);
		give_mk(c->u, &m);
		assert_int_equal(state_of(c), UTCP_SYN_SENT);
		assert_int_equal(ctr(c->u, UTCP_CTR_DROP_HEADER), 1);
		stop(c);
	}
}

static uint32_t
half_open(const struct ctx *c)
{
	utcp_usage_t usage;

	utcp_usage(c->u, &usage);
	return usage.syns;
}

/* It is over on both sides, and only waits (TIME-WAIT). */
static void
what_is_over_does_not_care(void **state)
{
	struct ctx *c = *state;
	utcp_usage_t usage;

	establish(c, 4);
	give_tcp(c, 0x10, 1001, c->nxt);
	assert_int_equal(utcp_shutdown(c->s, UTCP_SHUT_WR), 0);
	assert_int_equal(drain(c), 1);
	give_tcp(c, 0x11, 1001, c->nxt + 1);
	drain(c);
	give_error(c, 3, 3, c->nxt);
	assert_int_equal(ctr(c->u, UTCP_CTR_DROP_STATE), 1);
	utcp_usage(c->u, &usage);
	assert_int_equal(usage.timewaits, 1);
}

/* A SYN of theirs, answered. */
static void
knock(struct ctx *c)
{
	c->port = PORT + 1;
	give_tcp(c, 2, 999, 0);
	assert_int_equal(drain(c), 1);
	assert_int_equal(half_open(c), 1);
}

static void
half_open_ones_end_listeners_do_not(void **state)
{
	struct ctx *c = *state;
	utcp_addr_t a = us(4, PORT + 1);

	start(c, 4);
	assert_int_equal(utcp_open(c->u, 4, &c->s), 0);
	assert_int_equal(utcp_bind(c->s, &a), 0);
	assert_int_equal(utcp_listen(c->s, 4), 0);
	for (int soft_too = 0; soft_too < 2; soft_too++) {
		assert_int_equal(utcp_set(c->s, UTCP_OPT_SOFT_ERRORS, soft_too),
				 0);
		knock(c);
		give_error(c, 3, 3, c->iss - 1);
		give_error(c, 3, 3, c->iss + 1);
		give_error(c, 3, 4, c->iss);
		if (!soft_too)
			give_error(c, 3, 1, c->iss);
		assert_int_equal(half_open(c), 1);
		give_error(c, 3, soft_too ? 1 : 3, c->iss);
		assert_int_equal(half_open(c), 0);
		give_tcp(c, 0x10, 1000, c->iss + 1);
		assert_true(take(c->u, &g));
		assert_int_equal(g.b[g.head + 13], 4);
		assert_int_equal(state_of(c), UTCP_LISTEN);
	}
}

static void
what_quotes_extension_headers(void **state)
{
	static const uint8_t pad[8] = { 60, 0, 1, 4 };
	static const uint8_t frag[8] = { P_TCP, 0, 0, 1 };
	struct ctx *c = *state;
	struct mk *q = calloc(1, sizeof(*q));
	uint8_t head[8] = { 1, 4 };

	assert_non_null(q);
	/* Through destination options and a first fragment; not of a later
	   one, and not through what is cut. */
	for (int later = 0; later < 3; later++) {
		start(c, 6);
		give_error(c, 1, 4, c->iss);
		*q = m;
		memmove(q->b, m.b + 48, 48);
		q->len = 48;
		q->head = 40;
		mk_insert6(q, 44, frag, 8);
		mk_insert6(q, 60, pad, 8);
		if (later == 1)
			wr16(q->b + 40 + 8 + 2, 8);
		stop(c);
		start(c, 6);
		wr16(q->b + 56, c->port);
		wr32(q->b + 60, c->iss);
		mk_ip(&m, 6, P_ICMP6);
		mk_put(&m, head, 8);
		mk_put(&m, q->b, later == 2 ? 63 : 64);
		mk_done(&m);
		mk_l4_sum(&m);
		give_mk(c->u, &m);
		assert_int_equal(state_of(c),
				 later ? UTCP_SYN_SENT : UTCP_CLOSED);
		stop(c);
	}
	free(q);
}

static void
anything_may_be_quoted(void **state)
{
	struct ctx *c = *state;

	for (int i = 0; i < 20000; i++) {
		if (i % 2000 == 0) {
			if (c->u != NULL)
				stop(c);
			establish(c, i % 4000 == 0 ? 4 : 6);
		}
		give_error(c, (uint8_t)rnd(8), (uint8_t)rnd(16), c->una);
		for (uint32_t n = rnd(5); n > 0; n--)
			m.b[m.head + rnd((uint32_t)(m.len - m.head))] =
			    (uint8_t)rnd(256);
		if (rnd(3) == 0)
			m.len -= rnd((uint32_t)(m.len - m.head));
		mk_done(&m);
		if (m.len >= m.head + 4)
			mk_l4_sum(&m);
		give_mk(c->u, &m);
		drain(c);
		assert_int_equal(state_of(c), UTCP_ESTABLISHED);
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(they_end_what_is_not_open),
		T(soft_ones_say_why_it_timed_out),
		T(none_ends_what_is_open),
		T(progress_forgets_it),
		T(source_quench_is_nothing),
		T(only_what_is_in_flight_counts),
		T(half_open_ones_end_listeners_do_not),
		T(what_is_over_does_not_care),
		T(what_quotes_extension_headers),
		T(anything_may_be_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
