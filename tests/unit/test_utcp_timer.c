/* SPDX-License-Identifier: BSD-2-Clause */
/* The heap of timers; the random numbers and hashes that others rely on. */
#include "utcp_pair.h"

#define NUM 1000

static utcp_t *
stack_with_room(void)
{
	utcp_t *u;

	assert_int_equal(utcp_create(&u, NULL), 0);
	assert_int_equal(utcp__heap_reserve(u, NUM + 3), 0);
	return u;
}

static void
timers_go_off_in_order(void **state)
{
	static struct utcp__timer t[NUM];
	utcp_t *u = stack_with_room();
	uint64_t last = 0;
	int n = 0;

	(void)state;
	for (int i = 0; i < NUM; i++) {
		utcp__timer_init(&t[i]);
		utcp__timer_at(u, &t[i], 1 + utcp__random(u) % 5000);
	}
	for (int i = 0; i < NUM; i += 3)
		utcp__timer_stop(u, &t[i]);
	for (int i = 1; i < NUM; i += 3) /* earlier: moves */
		utcp__timer_at(u, &t[i], 1 + utcp__random(u) % 100);
	for (uint64_t now = 0; now <= 5000; now += 7) {
		struct utcp__timer *x;

		u->now_ns = now;
		while ((x = utcp__timer_due(u)) != NULL) {
			assert_true(x >= t && x < t + NUM);
			assert_true((x - t) % 3 != 0);
			assert_int_equal(x->at_ns, UTCP_NEVER);
			n++;
		}
		assert_true(utcp__timer_next(u) > now);
		assert_true(utcp__timer_next(u) >= last);
		last = utcp__timer_next(u);
	}
	assert_int_equal(n, NUM - (NUM + 2) / 3);
	assert_true(utcp__timer_next(u) == UTCP_NEVER);
	utcp_destroy(u);
}

static void
ties_go_by_insertion(void **state)
{
	struct utcp__timer t[50];
	utcp_t *u = stack_with_room();

	(void)state;
	for (int i = 0; i < 50; i++) {
		utcp__timer_init(&t[i]);
		utcp__timer_at(u, &t[i], 5);
	}
	u->now_ns = 5;
	for (int i = 0; i < 50; i++)
		assert_ptr_equal(utcp__timer_due(u), &t[i]);
	assert_null(utcp__timer_due(u));
	utcp_destroy(u);
}

static void
later_is_found_out_when_it_goes_off(void **state)
{
	struct utcp__timer t;
	utcp_t *u = stack_with_room();

	(void)state;
	utcp__timer_init(&t);
	utcp__timer_at(u, &t, 10);
	utcp__timer_at(u, &t, 20); /* put off: a store elsewhere */
	assert_true(utcp__timer_next(u) == 10);
	utcp__timer_at(u, &t, 4);
	assert_true(utcp__timer_next(u) == 4);
	utcp__timer_stop(u, &t);
	utcp__timer_stop(u, &t);
	assert_true(utcp__timer_next(u) == UTCP_NEVER);
	utcp_destroy(u);
}

static void
room_follows_the_number_of_sockets(void **state)
{
	utcp_sock_t *s[500];
	uint32_t room;
	utcp_t *u;

	(void)state;
	assert_int_equal(utcp_create(&u, NULL), 0);
	for (int i = 0; i < 500; i++)
		assert_int_equal(utcp_open(u, 4, &s[i]), 0);
	room = u->heap.room;
	assert_true(room >= 503);
	for (int i = 0; i < 500; i++)
		utcp_close(s[i]);
	assert_true(u->heap.room < room);
	utcp_destroy(u);
}

static void
time_does_not_run_backwards(void **state)
{
	utcp_t *u = stack_with_room();

	(void)state;
	utcp_advance(u, 500);
	utcp_advance(u, 400);
	assert_int_equal(utcp_now_ns(u), 500);
	utcp_destroy(u);
}

/* Where the sockets sleep, a timer is what wakes them, and nothing is due at
   once for ever. */
static void
idle_stack_sleeps(void **state)
{
	struct pair p;
	utcp_sock_t *l, *c, *s;

	(void)state;
	pair_open(&p, &l, &c, &s);
	assert_int_equal(utcp_write(c, "x", 1, 0), 1);
	assert_true(utcp_next_ns(p.u[0]) <= utcp_now_ns(p.u[0]));
	pair_run(&p, 500 * SEC);
	assert_true(utcp_next_ns(p.u[0]) == UTCP_NEVER);
	assert_true(utcp_next_ns(p.u[1]) == UTCP_NEVER);
	pair_end(&p);
}

/* RFC 8439 section 2.3.2. */
static void
chacha_as_in_the_rfc(void **state)
{
	static const uint32_t want[16] = {
		0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3,
		0xc7f4d1c7, 0x0368c033, 0x9aaa2204, 0x4e6cd4c3,
		0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
		0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2,
	};
	uint32_t in[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
	uint32_t out[16];

	(void)state;
	for (uint32_t i = 0; i < 8; i++)
		in[4 + i] = 0x03020100 + i * 0x04040404;
	in[12] = 1;
	in[13] = 0x09000000;
	in[14] = 0x4a000000;
	utcp__chacha_block(in, out);
	assert_memory_equal(out, want, sizeof(want));
}

/* The paper's test vector, of 15 bytes; and two of its reference code. */
static void
siphash_as_in_the_paper(void **state)
{
	static const uint64_t key[2] = { 0x0706050403020100,
					 0x0f0e0d0c0b0a0908 };
	uint8_t data[16];

	(void)state;
	for (int i = 0; i < 16; i++)
		data[i] = (uint8_t)i;
	assert_true(utcp__siphash(key, data, 15) == 0xa129ca6149be45e5);
	assert_true(utcp__siphash(key, data, 0) == 0x726fdb47dd0e0e31);
	assert_true(utcp__siphash(key, data, 8) == 0x93f5f5799a932462);
}

static void
seed_decides_the_numbers(void **state)
{
	utcp_config_t c = { .size = sizeof(c) };
	uint64_t first[8];

	(void)state;
	for (int round = 0; round < 3; round++) {
		utcp_t *u;

		c.seed[31] = round == 2;
		assert_int_equal(utcp_create(&u, &c), 0);
		for (int i = 0; i < 8; i++) {
			uint64_t v = utcp__random(u);

			if (round == 0)
				first[i] = v;
			else if (round == 1)
				assert_true(v == first[i]);
			else
				assert_true(v != first[i]);
		}
		utcp_destroy(u);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_go_off_in_order),
		cmocka_unit_test(ties_go_by_insertion),
		cmocka_unit_test(later_is_found_out_when_it_goes_off),
		cmocka_unit_test(room_follows_the_number_of_sockets),
		cmocka_unit_test(time_does_not_run_backwards),
		cmocka_unit_test(idle_stack_sleeps),
		cmocka_unit_test(chacha_as_in_the_rfc),
		cmocka_unit_test(siphash_as_in_the_paper),
		cmocka_unit_test(seed_decides_the_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
