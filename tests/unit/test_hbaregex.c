/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/hbaregex.h"

#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
an_expression_matches_what_it_says(void **state)
{
	static const struct {
		const char *regex, *text;
		bool matches;
	} rows[] = {
		{ "^a.c$", "abc", true },          { "^a.c$", "abcd", false },
		{ "", "anything", true },          { "^(a|b)+$", "abba", true },
		{ "^a{2,3}$", "aa", true },        { "^a{2,3}$", "a", false },
		{ "^a\\.b$", "a.b", true },        { "^a\\.b$", "axb", false },
		{ "^\\w+$", "a_1", true },         { "^\\W$", "a", false },
		{ "^a\\sb$", "a b", true },        { "^\\S+$", "a b", false },
		{ "^[a-c]x[^a-c]$", "bxd", true }, { "^[]x]$", "]", true },
		{ "^[^]x]$", "]", false },         { "^[[:digit:]]+$", "12", true },
		{ "^[[:digit:]]+$", "1a", false }, { "^[[.].]]$", "]", true },
		{ "^(.)\\1$", "aa", true },        { "^(.)\\1$", "ab", false },
		{ "^\\[\\]\\\\$", "[]\\", true },  { "^\\(x\\)$", "(x)", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct err e = { 0 };
		regex_t re;

		if (hbaregex_compile(rows[i].regex, &re, &e) != 0)
			fail_msg("%s: %s", rows[i].regex, e.msg);
		if ((regexec(&re, rows[i].text, 0, NULL, 0) == 0) != rows[i].matches)
			fail_msg("%s: %s", rows[i].regex, rows[i].text);
		regfree(&re);
	}
}

static void
what_servers_read_otherwise_is_refused(void **state)
{
	static const char *const escapes[] = {
		"\\d",  "a\\D",  "\\m",  "x\\yx",   "\\A",     "\\Z",    "\\b",    "\\B",
		"\\n",  "\\x41", "\\0",  "\\u0041", "\\\\\\d", "[a]\\d", "[]]\\d", "[[:alpha:]]\\d",
		"\\<a", "a\\>",  "\\`a", "a\\'",
	};
	static const char *const brackets[] = { "[\\d]",   "[\\]]", "x[^\\w]",
						"[a\\-z]", "[]\\]", "[[:alpha:]\\]" };
	/* the C library refuses these by itself */
	static const char *const others[] = { "(?i)a", "(?:a)", "(?=a)",        "***:a",
					      "(",     "[a",    "a{2,1}",       "*a",
					      "[[:x",  "\\",    "[[:nothing:]]" };
	static const char *const greedy[] = { "^(.*?)@", "a+?", "a??", "a{2}?" };
	struct err e;
	regex_t re;

	(void)state;
	for (size_t i = 0; i < COUNT(greedy); i++) {
		if (hbaregex_compile(greedy[i], &re, &e) == 0)
			fail_msg("accepted: %s", greedy[i]);
		assert_non_null(strstr(e.msg, "a repetition that is not greedy"));
	}
	for (size_t i = 0; i < COUNT(escapes); i++) {
		if (hbaregex_compile(escapes[i], &re, &e) == 0)
			fail_msg("accepted: %s", escapes[i]);
		assert_non_null(strstr(e.msg, "a backslash that is not read so everywhere"));
	}
	for (size_t i = 0; i < COUNT(brackets); i++) {
		if (hbaregex_compile(brackets[i], &re, &e) == 0)
			fail_msg("accepted: %s", brackets[i]);
		assert_non_null(strstr(e.msg, "a backslash inside brackets"));
	}
	for (size_t i = 0; i < COUNT(others); i++) {
		if (hbaregex_compile(others[i], &re, &e) == 0)
			fail_msg("accepted: %s", others[i]);
		assert_non_null(strstr(e.msg, "invalid regular expression \""));
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_expression_matches_what_it_says),
		cmocka_unit_test(what_servers_read_otherwise_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
