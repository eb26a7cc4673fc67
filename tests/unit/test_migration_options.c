/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/options.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

static void
every_default_is_a_value_that_the_option_takes(void **state)
{
	(void)state;
	for (const struct migration_option *o = migration_options; o->name != NULL; o++) {
		struct err e = { 0 };
		char *value = migration_option_check(o, o->standard, &e);

		if (value == NULL)
			fail_msg("%s: %s %s", o->name, e.msg, e.hint);
		free(value);
		assert_true(o->kinds != 0);
		assert_true((o->type == MOPT_WORDS) == (o->words != NULL));
		for (const struct migration_option *p = o + 1; p->name != NULL; p++)
			if ((p->kinds & o->kinds) != 0)
				assert_string_not_equal(p->name, o->name);
	}
}

static const struct {
	enum migration_kind kind;
	const char *name, *value, *kept, *hint;
} cases[] = {
	{ KIND_MOVE, "identity", "AUTO", "auto", NULL },
	{ KIND_MOVE, "Identity", "check", "check", NULL },
	{ KIND_MOVE, "identity", "x", NULL, "It takes check or auto." },
	{ KIND_MOVE, "data", "on", NULL, "It takes online, snapshot or none." },
	{ KIND_MOVE, "pause_budget", "500ms", "500ms", NULL },
	{ KIND_MOVE, "pause_budget", "2", "2s", NULL },
	{ KIND_MOVE, "redirect_until", "30 days", "30d", NULL },
	{ KIND_MOVE, "redirect_until", "1 day 12 hours", "36h", NULL },
	{ KIND_MOVE, "redirect_until", "1h30min", "90min", NULL },
	{ KIND_MOVE, "redirect_until", "soon", NULL,
	  "It takes a duration such as '500ms', '2s' or '30 days'." },
	{ KIND_MOVE, "redirect_until", "-1s", NULL,
	  "It takes a duration such as '500ms', '2s' or '30 days'." },
	{ KIND_MOVE, "redirect_until", "99999 days", NULL,
	  "It takes a duration such as '500ms', '2s' or '30 days'." },
	{ KIND_MOVE, "max_lag", "64kB", "64kB", NULL },
	{ KIND_MOVE, "max_lag", "1024", "1kB", NULL },
	{ KIND_MOVE, "max_lag", "much", NULL, "It takes a size such as '64kB'." },
	{ KIND_MOVE, "attempts", "3", "3", NULL },
	{ KIND_MOVE, "attempts", "0", NULL, "It takes a whole number from 1 to 1000." },
	{ KIND_MOVE, "sequence_gap", "99999999999", NULL,
	  "It takes a whole number from 0 to 2147483647." },
	{ KIND_MOVE, "reverse", "no", "off", NULL },
	{ KIND_MOVE, "reverse", "maybe", NULL, "It takes on or off." },
	{ KIND_MOVE, "window", "2:00 - 4:00", "02:00-04:00 UTC", NULL },
	{ KIND_MOVE, "window", "", "", NULL },
	{ KIND_MOVE, "window", "at night", NULL,
	  "It takes hours of the day, with days in front and a time zone behind: '02:00-04:00 UTC',"
	  " 'Sat,Sun 22:00-02:00 Europe/Berlin', 'Mon-Fri 12:00-13:00 +02:00'." },
	{ KIND_MOVE, "atomic", "on", NULL, "SHOW MIGRATION m OPTIONS lists them." },
	{ KIND_MOVE, "idenity", "on", NULL, "Did you mean \"identity\"?" },
	{ KIND_DISTRIBUTE, "atomic", "on", "on", NULL },
	{ KIND_FILES, "lock_timeout", "1s", "1s", NULL },
	{ KIND_REGIONS_OF, "lock_timeout", "0", "0", NULL },
	{ KIND_FILES, "adopt", "flyway", "flyway", NULL },
};

static void
values_are_checked_and_kept_in_one_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = { 0 };
		const struct migration_option *o =
		    migration_option_find(cases[i].kind, cases[i].name, &e);
		char *value = o != NULL ? migration_option_check(o, cases[i].value, &e) : NULL;

		if (cases[i].kept != NULL) {
			assert_non_null(value);
			assert_string_equal(value, cases[i].kept);
		} else {
			assert_null(value);
			assert_string_equal(e.sqlstate, "22023");
			assert_string_equal(e.hint, cases[i].hint);
		}
		free(value);
	}
}

static void
what_was_kept_is_read_as_a_number(void **state)
{
	(void)state;
	assert_int_equal(migration_option_usec("500ms"), 500000);
	assert_int_equal(migration_option_usec("30d"), 30LL * 86400 * 1000000);
	assert_int_equal(migration_option_usec("0"), 0);
	assert_int_equal(migration_option_usec("never"), 0);
	assert_int_equal(migration_option_int("42"), 42);
	assert_int_equal(migration_option_int("64kB"), 65536);
	assert_int_equal(migration_option_int("x"), 0);
}

static void
the_manual_names_every_option(void **state)
{
	struct buf out = { 0 };

	(void)state;
	migration_options_man(&out);
	for (const struct migration_option *o = migration_options; o->name != NULL; o++)
		assert_non_null(strstr(buf_text(&out), o->name));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_default_is_a_value_that_the_option_takes),
		cmocka_unit_test(values_are_checked_and_kept_in_one_form),
		cmocka_unit_test(what_was_kept_is_read_as_a_number),
		cmocka_unit_test(the_manual_names_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
