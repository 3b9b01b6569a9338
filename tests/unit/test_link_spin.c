/* SPDX-License-Identifier: BSD-2-Clause */
/* spin.h: when a link looks for frames before it sleeps. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../lib/link/spin.h"

static struct mslink__spin p;
static uint64_t now;

/* It sleeps, and so long after that a frame comes. */
static void
sleep_of(uint64_t ns)
{
	mslink__spin_sleeps(&p, now);
	now += ns;
	mslink__spin_found(&p, now);
}

static void
short_sleeps(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		sleep_of(MSLINK__SPIN_NEAR_NS - 1);
}

static int
begin(void **state)
{
	(void)state;
	now = 1000;
	mslink__spin_init(&p, 0);
	return 0;
}

static void
it_sleeps_at_first(void **state)
{
	(void)state;
	assert_false(mslink__spin_more(&p, now, now));
}

static void
short_sleeps_in_a_row_make_it_look(void **state)
{
	(void)state;
	short_sleeps(MSLINK__SPIN_SLEEPS - 1);
	assert_false(mslink__spin_more(&p, now, now));
	short_sleeps(1);
	assert_true(mslink__spin_more(&p, now, now));
	assert_true(mslink__spin_more(&p, now + MSLINK__SPIN_NS - 1, now));
}

static void
a_long_sleep_begins_the_row_again(void **state)
{
	(void)state;
	short_sleeps(MSLINK__SPIN_SLEEPS - 1);
	sleep_of(MSLINK__SPIN_NEAR_NS);
	short_sleeps(MSLINK__SPIN_SLEEPS - 1);
	assert_false(mslink__spin_more(&p, now, now));
}

static void
looking_in_vain_ends_it(void **state)
{
	(void)state;
	short_sleeps(MSLINK__SPIN_SLEEPS);
	assert_false(mslink__spin_more(&p, now + MSLINK__SPIN_NS, now));
	assert_false(mslink__spin_more(&p, now, now));
	short_sleeps(MSLINK__SPIN_SLEEPS - 1);
	assert_false(mslink__spin_more(&p, now, now));
}

/* Frames that come while it looks are no sleeps. */
static void
what_comes_without_a_sleep_counts_nothing(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2 * MSLINK__SPIN_SLEEPS; i++)
		mslink__spin_found(&p, now);
	assert_false(mslink__spin_more(&p, now, now));
}

static void
what_was_asked_for_stays(void **state)
{
	(void)state;
	mslink__spin_init(&p, 7);
	assert_true(mslink__spin_more(&p, now + 6999, now));
	assert_false(mslink__spin_more(&p, now + 7000, now));
	assert_true(mslink__spin_more(&p, now + 6999, now));
	mslink__spin_init(&p, MSLINK_SPIN_NEVER);
	short_sleeps(2 * MSLINK__SPIN_SLEEPS);
	assert_false(mslink__spin_more(&p, now, now));
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
