/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/random.h"

#include "tests/unit/unit.h"

static void
nothing_is_given_out_twice(void **state)
{
	struct random r = { 0 };
	uint64_t v[1000];

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		random_take(&r, &v[i], sizeof(v[i]));
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(v[i], v[j]);
	}
}

static void
what_was_given_out_is_not_kept(void **state)
{
	struct random r = { 0 };
	uint8_t got[18];

	(void)state;
	random_take(&r, got, sizeof(got));
	assert_int_equal(r.left, RANDOM_AHEAD - sizeof(got));
	for (size_t i = 0; i < sizeof(got); i++)
		assert_int_equal(r.bytes[i], 0);
}

static void
what_is_left_over_of_too_few_is_not_mixed_with_more(void **state)
{
	struct random r = { 0 };
	uint8_t got[200];

	(void)state;
	random_take(&r, got, sizeof(got));
	random_take(&r, got, sizeof(got));
	assert_int_equal(r.left, RANDOM_AHEAD - sizeof(got));
	random_take(&r, got, 0);
	random_take(&r, got, RANDOM_AHEAD - sizeof(got));
	assert_int_equal(r.left, 0);
	random_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_given_out_twice),
		cmocka_unit_test(what_was_given_out_is_not_kept),
		cmocka_unit_test(what_is_left_over_of_too_few_is_not_mixed_with_more),
	};

	return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
