/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/number.h"

#include <stdint.h>
#include <stdio.h>

#include "tests/unit/unit.h"

static void
numbers_follow_the_highest_of_their_kind(void **state)
{
	const int block = number_block("us-east1");
	const struct {
		int first, used[4], next;
	} cases[] = {
		{ NUMBER_FIRST, { 0, 0, 0, 0 }, 1 },
		{ NUMBER_FIRST, { 3, 1, 2, 0 }, 4 },
		{ NUMBER_FIRST, { 1, 5, 5, 0 }, 6 }, /* what is free in between stays so */
		{ NUMBER_FIRST, { 2, block, block + 7, 0 }, 3 },
		{ NUMBER_FIRST, { NUMBER_BLOCKS - 1, 0, 0, 0 }, 0 },
		{ block, { 0, 1, 2, 3 }, block },
		{ block, { 7, block, block + 7, 0 }, block + 8 },
		{ block, { block - 1, block + NUMBER_BLOCK, 0, 0 }, block },
		{ block, { block + NUMBER_BLOCK - 1, 0, 0, 0 }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(number_next(cases[i].first, cases[i].used, 4), cases[i].next);
}

static void
a_region_has_one_block_of_its_own(void **state)
{
	static const char *const regions[] = { "",
					       "a",
					       "b",
					       "us-east1",
					       "us-west1",
					       "agora-fr1",
					       "europe-west1",
					       "osc-fr1",
					       "far-us1",
					       "asia-east1",
					       "\xc3\xa9t\xc3\xa9" };
	const size_t n = sizeof(regions) / sizeof(*regions);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		int64_t first = number_block(regions[i]);

		assert_true(first >= NUMBER_BLOCKS && first + NUMBER_BLOCK <= INT32_MAX);
		assert_int_equal((first - NUMBER_BLOCKS) % NUMBER_BLOCK, 0);
		assert_int_equal(number_block(regions[i]), first);
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(number_block(regions[k]), first);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_follow_the_highest_of_their_kind),
		cmocka_unit_test(a_region_has_one_block_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
