/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/ident.h"

#include <stdlib.h>

#include "tests/unit/hbafiles.h"
#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct ident *
parse(const char *text, struct err *e)
{
	struct hbafiles files[] = { { "ident", text }, { NULL, NULL } };
	struct hbafile_source source = hbafiles_source(files);

	return ident_read(&source, "ident", e);
}

static const char sample[] = "# MAP     SYSTEM                     DATABASE\n"
			     "staff     alice                      alice\n"
			     "staff     \"Bob Smith\"                bob\n"
			     "staff     carol                      admin\n"
			     "staff     carol                      carol\n"
			     "mail      /^(.*)@example\\.com$       \\1\n"
			     "mail      /^(.*)@guest\\.net$         guest\n"
			     "mail      /^(.*)@long\\.net$          \"x\\1y\"\n"
			     "anybody   root                       all\n"
			     "anybody   eve                        \"all\"\n"
			     "families  /^dba_                     /^app_[a-z]+$\n"
			     "nothing   /^a(b)?$                   \\1\n"
			     "plain     x                          \\1\n"
			     "twice     /^(.*)-(.*)$               \\1_\\1\n";

static void
a_map_says_who_may_be_whom(void **state)
{
	static const struct {
		const char *map, *system, *user;
		bool allowed;
	} rows[] = {
		{ NULL, "alice", "alice", true },
		{ NULL, "alice", "Alice", false },
		{ NULL, "alice", "bob", false },
		{ NULL, "", "", false },
		{ "staff", "alice", "alice", true },
		{ "staff", "alice", "bob", false },
		{ "staff", "Bob Smith", "bob", true },
		{ "staff", "bob", "bob", false }, /* a map says all that there is to say */
		{ "staff", "carol", "admin", true },
		{ "staff", "carol", "carol", true },
		{ "staff", "carol", "alice", false },
		{ "nowhere", "alice", "alice", false },
		{ "mail", "dan@example.com", "dan", true },
		{ "mail", "dan@example.com", "dan@example.com", false },
		{ "mail", "dan@example.comm", "dan", false },
		{ "mail", "dan@exampleXcom", "dan", false },
		{ "mail", "dan@guest.net", "guest", true },
		{ "mail", "dan@guest.net", "dan", false },
		{ "mail", "m@long.net", "xmy", true },
		{ "mail", "m@long.net", "xmyy", false },
		{ "mail", "m@long.net", "xmz", false },
		{ "mail", "m@long.net", "ymy", false },
		{ "mail", "m@long.net", "xny", false },
		{ "mail", "m@long.net", "m", false },
		/* what was filled in is a name, even where it reads like a word of the grammar */
		{ "mail", "all@example.com", "postgres", false },
		{ "mail", "all@example.com", "all", true },
		{ "mail", "/.*@example.com", "postgres", false },
		{ "mail", "+admin@example.com", "postgres", false },
		{ "mail", "@example.com", "", false },
		{ "anybody", "root", "postgres", true },
		{ "anybody", "eve", "postgres", false },
		{ "anybody", "eve", "all", true },
		{ "families", "dba_1", "app_x", true },
		{ "families", "dba_1", "app_1", false },
		{ "families", "xdba_1", "app_x", false },
		{ "nothing", "ab", "b", true },
		{ "nothing", "a", "b", false },
		{ "plain", "x", "\\1", true },
		{ "twice", "a-b", "a_\\1", true }, /* the first one only, as in PostgreSQL */
	};
	struct err e = { 0 };
	struct ident *t = parse(sample, &e);

	(void)state;
	assert_non_null(t);
	assert_int_equal(ident_count(t), 13);
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (ident_allows(t, rows[i].map, slice_str(rows[i].system),
				 slice_str(rows[i].user)) != rows[i].allowed)
			fail_msg("map %s: \"%s\" as \"%s\"", rows[i].map, rows[i].system,
				 rows[i].user);
	}
	ident_unref(t);
}

static void
names_with_a_zero_byte_or_too_long_are_nobodys(void **state)
{
	char longest[IDENT_NAME_MAX + 2], user[80];
	struct err e = { 0 };
	struct ident *t = parse("m /^x+$ all\nm a all\n", &e);

	(void)state;
	memset(longest, 'x', sizeof(longest));
	memset(user, 'u', sizeof(user));
	assert_true(ident_allows(t, "m", slice_of(longest, IDENT_NAME_MAX), slice_str("u")));
	assert_false(ident_allows(t, "m", slice_of(longest, IDENT_NAME_MAX + 1), slice_str("u")));
	assert_true(ident_allows(t, "m", slice_str("a"), slice_of(user, 63)));
	assert_false(ident_allows(t, "m", slice_str("a"), slice_of(user, 64)));
	assert_false(ident_allows(t, "m", slice_of("a\0b", 3), slice_str("u")));
	assert_false(ident_allows(t, NULL, slice_of("a\0b", 3), slice_str("a")));
	assert_false(ident_allows(t, "m", slice_str("a"), slice_of("u\0", 2)));
	ident_unref(t);
}

static void
without_a_file_only_the_same_name_will_do(void **state)
{
	(void)state;
	assert_true(ident_allows(NULL, NULL, slice_str("a"), slice_str("a")));
	assert_false(ident_allows(NULL, "m", slice_str("a"), slice_str("a")));
	assert_false(ident_has_map(NULL, "m"));
}

static void
maps_are_known_by_name(void **state)
{
	struct err e = { 0 };
	struct ident *t = parse("m a a\n", &e);

	(void)state;
	assert_true(ident_has_map(t, "m"));
	assert_false(ident_has_map(t, "M"));
	assert_ptr_equal(ident_ref(t), t);
	ident_unref(t);
	ident_unref(t);
	ident_unref(NULL);
}

static void
errors_name_the_line_and_what_is_wrong(void **state)
{
	static const struct {
		const char *text, *message;
	} rows[] = {
		{ "m a\n",
		  "ident:1: expected three fields (map, system user, database user), found 2" },
		{ "m a a\nm a a a\n",
		  "ident:2: expected three fields (map, system user, database user), found 4" },
		{ "m a,b c\n", "ident:1: expected one value in field 2, found 2" },
		{ "m a +admins\n",
		  "ident:1: \"+admins\": a proxy does not know who is a member of a role" },
		{ "m /a \\1\n", "ident:1: regular expression \"a\" has no subexpressions as "
				"requested by backreference in \"\\1\"" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct err e = { 0 };

		assert_null(parse(rows[i].text, &e));
		assert_string_equal(e.msg, rows[i].message);
	}
}

static void
a_broken_expression_is_said_to_be_one(void **state)
{
	static const char *const texts[] = { "m /( a\n", "m /(a) /[\n", "\n\nm /*( x\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct err e = { 0 };

		assert_null(parse(texts[i], &e));
		assert_non_null(strstr(e.msg, ": invalid regular expression \""));
	}
}

static void
a_file_that_is_not_there_is_an_error(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_null(ident_load("/nonexistent/ident", &e));
	assert_non_null(strstr(e.msg, "auth_ident_file: could not open file"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map_says_who_may_be_whom),
		cmocka_unit_test(names_with_a_zero_byte_or_too_long_are_nobodys),
		cmocka_unit_test(without_a_file_only_the_same_name_will_do),
		cmocka_unit_test(maps_are_known_by_name),
		cmocka_unit_test(errors_name_the_line_and_what_is_wrong),
		cmocka_unit_test(a_broken_expression_is_said_to_be_one),
		cmocka_unit_test(a_file_that_is_not_there_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
