/* SPDX-License-Identifier: BSD-2-Clause */
/* spin.h: when a loop looks for frames before it sleeps. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../lib/mu/spin.h"

static struct mu__spin p;
static uint64_t now;

/* It sleeps, and so long after that a frame comes. */
static void
sleep_of(uint64_t ns)
{
	mu__spin_sleeps(&p, now);
	now += ns;
	mu__spin_found(&p, now);
}

static void
short_sleeps(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		sleep_of(MU__SPIN_NEAR_NS - 1);
}

static int
begin(void **state)
{
	(void)state;
	now = 1000;
	mu__spin_init(&p, 0);
	return 0;
}

static void
it_sleeps_at_first(void **state)
{
	(void)state;
	assert_false(mu__spin_more(&p, now, now));
}

static void
short_sleeps_in_a_row_make_it_look(void **state)
{
	(void)state;
	short_sleeps(MU__SPIN_SLEEPS - 1);
	assert_false(mu__spin_more(&p, now, now));
	short_sleeps(1);
	assert_true(mu__spin_more(&p, now, now));
	assert_true(mu__spin_more(&p, now + MU__SPIN_NS - 1, now));
}

static void
a_long_sleep_begins_the_row_again(void **state)
{
	(void)state;
	short_sleeps(MU__SPIN_SLEEPS - 1);
	sleep_of(MU__SPIN_NEAR_NS);
	short_sleeps(MU__SPIN_SLEEPS - 1);
	assert_false(mu__spin_more(&p, now, now));
}

static void
looking_in_vain_ends_it(void **state)
{
	(void)state;
	short_sleeps(MU__SPIN_SLEEPS);
	assert_false(mu__spin_more(&p, now + MU__SPIN_NS, now));
	assert_false(mu__spin_more(&p, now, now));
	short_sleeps(MU__SPIN_SLEEPS - 1);
	assert_false(mu__spin_more(&p, now, now));
}

/* Frames that come while it looks are no sleeps. */
static void
what_comes_without_a_sleep_counts_nothing(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2 * MU__SPIN_SLEEPS; i++)
		mu__spin_found(&p, now);
	assert_false(mu__spin_more(&p, now, now));
}

static void
what_was_asked_for_stays(void **state)
{
	(void)state;
	mu__spin_init(&p, 7);
	assert_true(mu__spin_more(&p, now + 6999, now));
	assert_false(mu__spin_more(&p, now + 7000, now));
	assert_true(mu__spin_more(&p, now + 6999, now));
	mu__spin_init(&p, MU_SPIN_NEVER);
	short_sleeps(2 * MU__SPIN_SLEEPS);
	assert_false(mu__spin_more(&p, now, now));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(it_sleeps_at_first, begin),
		cmocka_unit_test_setup(short_sleeps_in_a_row_make_it_look,
				       begin),
		cmocka_unit_test_setup(a_long_sleep_begins_the_row_again,
				       begin),
		cmocka_unit_test_setup(looking_in_vain_ends_it, begin),
		cmocka_unit_test_setup(
		    what_comes_without_a_sleep_counts_nothing, begin),
		cmocka_unit_test_setup(what_was_asked_for_stays, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
