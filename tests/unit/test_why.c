/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/why.h"

#include <ctype.h>

#include "tests/unit/unit.h"

static void
counters_are_unique_words(void **arg)
{
	(void)arg;
	for (int a = 0; a < WHY_COUNT; a++) {
		const char *name = why_get((enum why)a)->counter;

		assert_int_not_equal(name[0], '\0');
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
		for (int b = 0; b < a; b++)
			assert_string_not_equal(name, why_get((enum why)b)->counter);
	}
}

static void
a_sqlstate_has_five_letters_or_none(void **arg)
{
	(void)arg;
	for (int w = 0; w < WHY_COUNT; w++) {
		const char *state = why_get((enum why)w)->sqlstate;

		assert_true(strlen(state) == 0 || strlen(state) == 5);
		for (; *state != '\0'; state++)
			assert_true(isdigit((unsigned char)*state) ||
				    isupper((unsigned char)*state));
	}
}

/* PostgreSQL's error message style guide: a primary message has no full stop. */
static void
whoever_is_told_something_is_told_it_in_words(void **arg)
{
	(void)arg;
	for (int w = WHY_NONE + 1; w < WHY_COUNT; w++) {
		const char *text = why_get((enum why)w)->text;

		assert_int_not_equal(text[0], '\0');
		assert_int_not_equal(text[strlen(text) - 1], '.');
	}
}

/* An orderly end and a scan of our port must not fill the log. */
static void
orderly_ends_are_no_news(void **arg)
{
	(void)arg;
	assert_int_equal(why_get(WHY_CLIENT_DONE)->level, LOG_LEVEL_DEBUG);
	assert_int_equal(why_get(WHY_CANCEL_DONE)->level, LOG_LEVEL_DEBUG);
	for (int w = 0; w < WHY_COUNT; w++)
		assert_true(why_get((enum why)w)->level < LOG_LEVEL_FATAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_are_unique_words),
		cmocka_unit_test(a_sqlstate_has_five_letters_or_none),
		cmocka_unit_test(whoever_is_told_something_is_told_it_in_words),
		cmocka_unit_test(orderly_ends_are_no_news),
	};

	return cmocka_run_group_tests_name("why", tests, NULL, NULL);
}
