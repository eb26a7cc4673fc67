/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/subscriber.h"

#include "tests/unit/unit.h"

static const struct {
	const char *name;
	const char *place, *database; /* NULL: a database's own name */
} names[] = {
	{ "meridian:osc-fr1 app", "osc-fr1", "app" },
	{ "meridian:10.0.0.1:5432 app", "10.0.0.1:5432", "app" },
	{ "meridian:osc-fr1 with blanks: and colons", "osc-fr1", "with blanks: and colons" },
	{ "meridian:osc-fr1  app", "osc-fr1", " app" },
	{ "meridian:osc-fr1 meridian:x y", "osc-fr1", "meridian:x y" },
	{ "meridian:osc-fr1 ", NULL, NULL },
	{ "meridian:osc-fr1", NULL, NULL },
	{ "meridian: app", NULL, NULL },
	{ "meridian:", NULL, NULL },
	{ "meridian", NULL, NULL },
	{ "Meridian:osc-fr1 app", NULL, NULL },
	{ "app", NULL, NULL },
	{ "", NULL, NULL },
};

static void
a_name_says_a_place_and_a_database_or_is_a_databases_own(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct slice place, database;
		bool cut = subscriber_cut_name(slice_str(names[i].name), &place, &database);

		assert_int_equal(cut, names[i].place != NULL);
		if (cut) {
			assert_true(slice_is(place, names[i].place));
			assert_true(slice_is(database, names[i].database));
		}
	}
}

static void
what_is_put_is_what_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct buf b = { .cap = 256 };

		if (names[i].place == NULL)
			continue;
		subscriber_put_name(&b, names[i].place, names[i].database);
		assert_string_equal(buf_text(&b), names[i].name);
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_says_a_place_and_a_database_or_is_a_databases_own),
		cmocka_unit_test(what_is_put_is_what_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
