/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/subject.h"

#include "tests/unit/unit.h"

static void
what_is_meant_is_guessed(void **state)
{
	static const struct {
		const char *text;
		bool is_region;
		const char *kind;
	} cases[] = {
		{ "paris", false, "city" },
		{ "paris, FR", false, "city" },
		{ " Paris ", false, "city" },
		{ "S\xc3\xa3o Paulo", false, "city" },
		{ "\xe6\x9d\xb1\xe4\xba\xac", false, "city" },
		{ "100 Mile House", false, "city" },
		{ "48.85, paris", false, "city" },
		{ "us-east1", true, "region" },
		{ "us-east1", false, "city" },
		{ "81.2.69.142", false, "address" },
		{ " 81.2.69.142 ", false, "address" },
		{ "2001:db8::1", false, "address" },
		{ "[2001:db8::1]", false, "address" },
		{ "48.85,2.35", false, "location" },
		{ "48.85, -2.35", false, "location" },
		{ "-33.9 , 151", false, "location" },
		{ "91,2", false, "location" },
		{ "48,2", false, "location" },
		{ "42", false, "session" },
		{ "0", false, "session" },
		{ "99999999999999999999", false, "session" },
		{ "", false, NULL },
		{ "  ", false, NULL },
		{ "-42", false, NULL },
		{ "48.85", false, NULL },
		{ "81.2.69.300", false, NULL },
		{ "81.2.69.142:5432", false, NULL },
		{ "2001:db8::zz", false, NULL },
		{ "1,2,3", false, NULL },
		{ "?!", false, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *kind = subject_guess(slice_str(cases[i].text), cases[i].is_region);

		if (cases[i].kind == NULL)
			assert_null(kind);
		else
			assert_string_equal(kind != NULL ? kind : "none", cases[i].kind);
	}
}

static void
kinds_have_their_article(void **state)
{
	(void)state;
	assert_string_equal(subject_article("address"), "an");
	assert_string_equal(subject_article("city"), "a");
	assert_string_equal(subject_article("location"), "a");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_meant_is_guessed),
		cmocka_unit_test(kinds_have_their_article),
	};

	return cmocka_run_group_tests_name("proxy/admin/subject", tests, NULL, NULL);
}
