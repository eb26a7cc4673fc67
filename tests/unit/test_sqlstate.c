/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/sqlstate.h"

#include <ctype.h>

#include "tests/unit/unit.h"

static void
rows_are_sorted_codes_with_names(void **arg)
{
	(void)arg;
	for (unsigned i = 1; sqlstate_at(i) != NULL; i++) {
		const struct sqlstate *row = sqlstate_at(i);

		assert_int_equal(strlen(row->code), SQLSTATE_LENGTH);
		assert_int_not_equal(row->name[0], '\0');
		for (const char *c = row->code; *c != '\0'; c++)
			assert_true(isdigit((unsigned char)*c) || isupper((unsigned char)*c));
		if (i > 1)
			assert_true(strcmp(sqlstate_at(i - 1)->code, row->code) < 0);
	}
}

static void
every_row_is_found_by_its_code(void **arg)
{
	(void)arg;
	for (unsigned i = 1; sqlstate_at(i) != NULL; i++)
		assert_int_equal(sqlstate_row(slice_str(sqlstate_at(i)->code)), i);
}

static void
what_is_no_code_of_the_table_is_other(void **arg)
{
	static const char *const strange[] = { "",      "2350",  "235050", "ZZZZZ",
					       "00000", "AAAAA", "23506",  "other" };

	(void)arg;
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
		assert_int_equal(sqlstate_row(slice_str(strange[i])), SQLSTATE_OTHER);
	assert_int_equal(sqlstate_row(slice_of("\0\0\0\0\0", 5)), SQLSTATE_OTHER);
	assert_string_equal(sqlstate_at(SQLSTATE_OTHER)->code, "other");
}

static void
names_are_those_of_postgresql(void **arg)
{
	(void)arg;
	assert_string_equal(sqlstate_at(sqlstate_row(slice_str("23505")))->name,
			    "unique_violation");
	assert_string_equal(sqlstate_at(sqlstate_row(slice_str(SQLSTATE_CONNECTION_FAILURE)))->name,
			    "connection_failure");
	assert_string_equal(sqlstate_at(sqlstate_row(slice_str("XX000")))->name, "internal_error");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_sorted_codes_with_names),
		cmocka_unit_test(every_row_is_found_by_its_code),
		cmocka_unit_test(what_is_no_code_of_the_table_is_other),
		cmocka_unit_test(names_are_those_of_postgresql),
	};

	return cmocka_run_group_tests_name("sqlstate", tests, NULL, NULL);
}
