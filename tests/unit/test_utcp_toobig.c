/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "Too big", said of TCP: when it is believed (RFC 5927 section 7), and what
 * goes again then.
 */
#include "utcp_icmp.h"

static uint32_t
pmtu_of(const struct ctx *c)
{
	utcp_info_t i = { .size = sizeof(i) };

	assert_int_equal(utcp_info(c->s, &i), 0);
	return i.pmtu;
}

/* A full segment (or so many) of ours is on its way. */
static void
fill_path(struct ctx *c, size_t len)
{
	static uint8_t data[20000];

	c->una = c->nxt;
	assert_int_equal(utcp_write(c->s, data, len, 0), len);
	assert_true(drain(c) > 0);
	assert_int_equal(c->nxt, c->una + len);
}

static void
too_big(struct ctx *c, uint32_t mtu, uint32_t seq)
{
	c->mtu = mtu;
	give_error(c, c->family == 4 ? 3 : 2, c->family == 4 ? 4 : 0, seq);
	c->mtu = 0;
}

/* Time goes on until something leaves; the length of it. */
static size_t
next_len(struct ctx *c)
{
	for (int i = 0; i < 5000 && !take(c->u, &g); i++)
		utcp_advance(c->u, c->now += MS);
	return g.len;
}

static void
what_never_worked_is_believed_at_once(void **state)
{
	struct ctx *c = *state;
	uint32_t seq;

	for (int family = 4; family <= 6; family += 2) {
		uint32_t full = 5 * (family == 4 ? 1460 : 1440);

		establish(c, family);
		give_tcp(c, 0x10, 1001, c->nxt);
		fill_path(c, 1000);
		too_big(c, 1300, c->una); /* it was not longer */
		assert_int_equal(pmtu_of(c), 1500);
		assert_int_equal(ctr(c->u, UTCP_CTR_DROP_STATE), 1);
		give_tcp(c, 0x10, 1001, c->nxt);
		fill_path(c, full);
		too_big(c, 1300, c->una);
		assert_int_equal(pmtu_of(c), 1300);
		/* What did not fit goes again, at once, in full segments. */
		seq = c->una;
		for (uint32_t left = full, n; left > 0; left -= n, seq += n) {
			assert_true(take(c->u, &g));
			n = (uint32_t)(g.len - g.head - 20);
			assert_int_equal(rd32(g.b + g.head + 4), seq);
			assert_true(g.len == 1300 || n == left);
		}
		assert_false(take(c->u, &g));
		stop(c);
	}
}

static void
what_worked_is_doubted_at_a_timeout(void **state)
{
	struct ctx *c = *state;

	for (int family = 4; family <= 6; family += 2) {
		establish(c, family);
		give_tcp(c, 0x10, 1001, c->nxt);
		fill_path(c, 5000);
		give_tcp(c, 0x10, 1001, c->nxt);
		/* A lie: what it is about is acknowledged. */
		fill_path(c, 5000);
		too_big(c, 1300, c->una);
		assert_int_equal(pmtu_of(c), 1500);
		assert_false(take(c->u, &g));
		give_tcp(c, 0x10, 1001, c->nxt);
		fill_path(c, 5000);
		assert_int_equal(next_len(c), 1500); /* a timeout of others */
		assert_int_equal(pmtu_of(c), 1500);
		give_tcp(c, 0x10, 1001, c->nxt);
		/* The truth: nothing comes through. */
		fill_path(c, 5000);
		too_big(c, 1400, c->una);
		too_big(c, 1300, c->una);
		assert_int_equal(pmtu_of(c), 1500);
		assert_int_equal(next_len(c), 1300);
		assert_int_equal(rd32(g.b + g.head + 4), c->una);
		assert_int_equal(pmtu_of(c), 1300);
		/* and further down the path, on what timed out, at once */
		too_big(c, 1280, c->una);
		assert_int_equal(pmtu_of(c), 1280);
		stop(c);
	}
}

/* What it was about has come through, and the next times out. */
static void
another_timeout_proves_nothing(void **state)
{
	struct ctx *c = *state;

	establish(c, 4);
	give_tcp(c, 0x10, 1001, c->nxt);
	fill_path(c, 5000);
	give_tcp(c, 0x10, 1001, c->nxt);
	fill_path(c, 5000);
	too_big(c, 1300, c->una);
	give_tcp(c, 0x10, 1001, c->una + 1460);
	assert_int_equal(next_len(c), 1500);
	assert_int_equal(rd32(g.b + g.head + 4), c->una + 1460);
	assert_int_equal(pmtu_of(c), 1500);
	stop(c);
}

/* RFC 6864 section 4.2: what may be cut on its way is not sent again under the
   identification of the first. */
static void
a_copy_has_its_own_identification(void **state)
{
	struct ctx *c = *state;
	uint32_t id;

	establish(c, 4);
	give_tcp(c, 0x10, 1001, c->nxt);
	assert_int_equal(utcp_set(c->s, UTCP_OPT_PMTUD, 0), 0);
	assert_int_equal(utcp_write(c->s, "hello", 5, 0), 5);
	assert_true(take(c->u, &g));
	assert_int_equal(rd16(g.b + 6), 0);
	id = rd16(g.b + 4);
	assert_int_equal(next_len(c), 45);
	assert_int_equal(rd16(g.b + 6), 0);
	assert_int_not_equal(rd16(g.b + 4), id);
}

/* RFC 7413 section 4.1.3 */
static void
a_syn_goes_again_without_its_data(void **state)
{
	static uint8_t data[2000];
	utcp_addr_t a = them(4, PORT);
	struct ctx *c = *state;

	c->family = 4;
	c->u = stack_new(NULL);
	assert_int_equal(utcp_open(c->u, 4, &c->s), 0);
	assert_int_equal(utcp_set(c->s, UTCP_OPT_FASTOPEN_CONNECT, 1), 0);
	assert_int_equal(utcp_set(c->s, UTCP_OPT_FASTOPEN_NOCOOKIE, 1), 0);
	assert_int_equal(utcp_connect(c->s, &a), 0);
	assert_int_equal(utcp_write(c->s, data, 1000, 0), 1000);
	assert_true(take(c->u, &g));
	assert_true(g.len > 552);
	c->port = (uint16_t)rd16(g.b + g.head);
	c->iss = rd32(g.b + g.head + 4);
	too_big(c, 800, c->iss); /* it was not so long */
	assert_int_equal(drain(c), 0);
	too_big(c, 552, c->iss);
	assert_true(take(c->u, &g));
	assert_int_equal(g.b[g.head + 13], 2);
	assert_int_equal(g.len, g.head + (g.b[g.head + 12] >> 4) * 4);
	assert_int_equal(drain(c), 0);
	give_tcp(c, 0x12, 1000, c->iss + 1);
	assert_true(take(c->u, &g));
	assert_int_equal(g.len, 40 + 496);
	assert_int_equal(rd32(g.b + g.head + 4), c->iss + 1);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_never_worked_is_believed_at_once),
		T(what_worked_is_doubted_at_a_timeout),
		T(another_timeout_proves_nothing),
		T(a_copy_has_its_own_identification),
		T(a_syn_goes_again_without_its_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
