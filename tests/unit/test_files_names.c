/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/names.h"

#include "tests/unit/unit.h"

static void
digits_are_numbers(void **state)
{
	static const char *const ordered[] = {
		"001_a.sql",  "002_a.sql",   "2_b.sql",      "9.sql",     "10.sql",
		"100.sql",    "V1.9__x.sql", "V1.10__x.sql", "V9__a.sql", "V010__a.sql",
		"V10__b.sql", "V10__b2.sql", "a.sql",        "b",         "b.sql",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ordered) / sizeof(ordered[0]); i++)
		for (size_t k = 0; k < sizeof(ordered) / sizeof(ordered[0]); k++) {
			int c = names_compare(ordered[i], ordered[k]);

			if ((c < 0) != (i < k) || (c == 0) != (i == k))
				fail_msg("%s and %s: %d", ordered[i], ordered[k], c);
		}
}

static void
a_version_is_read(void **state)
{
	(void)state;
	assert_true(slice_is(names_version("V003__add_col.sql"), "003"));
	assert_true(slice_is(names_version("V3_1__x.sql"), "3_1"));
	assert_true(slice_is(names_version("20240101_x.sql"), "20240101"));
	assert_true(slice_is(names_version("add.sql"), ""));
	assert_true(names_same_version(SLICE_LITERAL("003"), SLICE_LITERAL("3")));
	assert_true(names_same_version(SLICE_LITERAL("1.02"), SLICE_LITERAL("1_2")));
	assert_false(names_same_version(SLICE_LITERAL("1.2"), SLICE_LITERAL("1.2.1")));
	assert_false(names_same_version(SLICE_LITERAL("12"), SLICE_LITERAL("1")));
	assert_false(names_same_version(SLICE_LITERAL("1.2"), SLICE_LITERAL("12")));
}

static void
what_takes_back_is_no_migration(void **state)
{
	(void)state;
	assert_true(names_is_migration("V3__x.sql"));
	assert_true(names_is_migration("1_x.up.sql"));
	assert_false(names_is_migration("1_x.down.sql"));
	assert_false(names_is_migration("V3__x.undo.sql"));
	assert_false(names_is_migration("U3__x.sql"));
	assert_false(names_is_migration(".hidden.sql"));
	assert_false(names_is_migration("README.md"));
	assert_false(names_is_migration(".sql"));
	assert_true(names_is_migration("Users.sql"));
	assert_true(names_is_undo_of("V3__x.undo.sql", "V3__x.sql"));
	assert_true(names_is_undo_of("1_x.down.sql", "1_x.up.sql"));
	assert_true(names_is_undo_of("U003__x.sql", "V3__y.sql"));
	assert_false(names_is_undo_of("U4__x.sql", "V3__x.sql"));
	assert_false(names_is_undo_of("V3__y.undo.sql", "V3__x.sql"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digits_are_numbers),
		cmocka_unit_test(a_version_is_read),
		cmocka_unit_test(what_takes_back_is_no_migration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
