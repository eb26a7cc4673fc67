/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/setting.h"

#include <stdlib.h>

#include "base/buf.h"

#include "tests/unit/unit.h"

static void
put_word(struct buf *b, const struct setting_word *w)
{
	if (w->parameter != 0)
		buf_printf(b, " $%u", w->parameter);
	else
		buf_printf(b, " <%.*s>", w->n, w->text);
}

/* What the text says, as text: "set <meridian.city> <paris>; reset all". */
static const char *
said(struct buf *b, struct slice sql)
{
	static const char *const verbs[] = { [SETTING_SET] = "set",
					     [SETTING_RESET] = "reset",
					     [SETTING_RESET_ALL] = "reset all",
					     [SETTING_SHOW] = "show" };
	struct setting_scan scan;
	struct setting s;

	buf_clear(b);
	setting_begin(&scan, sql);
	while (setting_next(&scan, &s)) {
		assert_false(setting_is_silent(sql));
		buf_printf(b, "%s%s", b->n > 0 ? "; " : "", verbs[s.verb]);
		if (s.verb != SETTING_RESET_ALL)
			put_word(b, &s.name);
		if (s.verb == SETTING_SET)
			put_word(b, &s.value);
		if (s.is_local != 0)
			buf_printf(b, " local=$%u", s.is_local);
		assert_true(s.statement.p >= sql.p && s.statement.n > 0);
		assert_true(s.statement.p + s.statement.n <= sql.p + sql.n);
	}
	return buf_text(b);
}

struct example {
	const char *sql, *said;
};

static void
check(const struct example *all, size_t n)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < n; i++) {
		/* at the very end of memory that is its own */
		size_t len = strlen(all[i].sql);
		char *copy = malloc(len + 1);

		memcpy(copy, all[i].sql, len);
		if (strcmp(said(&b, slice_of(copy, len)), all[i].said) != 0)
			fail_msg("%s: %s instead of %s", all[i].sql, buf_text(&b), all[i].said);
		/* whatever is cut off, it is read to its end and no further */
		for (size_t cut = 0; cut < len; cut++) {
			char *part = malloc(cut + 1);

			memcpy(part, all[i].sql, cut);
			(void)said(&b, slice_of(part, cut));
			free(part);
		}
		free(copy);
	}
	buf_fini(&b);
}
#define CHECK(all) check(all, sizeof(all) / sizeof(all[0]))

static void
set_is_read_in_all_its_spellings(void **state)
{
	static const struct example all[] = {
		{ "SET meridian.city = 'paris'", "set <meridian.city> <paris>" },
		{ "set meridian.city to 'Paris, FR';", "set <meridian.city> <Paris, FR>" },
		{ "SET SESSION meridian.city='new york'", "set <meridian.city> <new york>" },
		{ "sEt sEssion MERIDIAN.City TO Paris ; ", "set <meridian.city> <paris>" },
		{ "SET meridian.city = \"Paris\"", "set <meridian.city> <Paris>" },
		{ "SET \"meridian\".\"city\" = 'a'", "set <meridian.city> <a>" },
		{ "SET \"meridian.city\" = 'a'", "set <meridian.city> <a>" },
		{ "SET meridian . city = 'a'", "set <meridian.city> <a>" },
		{ "SET meridian.location = '48.85,2.35'", "set <meridian.location> <48.85,2.35>" },
		{ "SET meridian.city = 'L''Aquila'", "set <meridian.city> <L'Aquila>" },
		{ "SET meridian.city = E'L\\'Aquila'", "set <meridian.city> <L'Aquila>" },
		{ "SET meridian.city = e'a\\\\b'", "set <meridian.city> <a\\b>" },
		{ "SET meridian.city = $$paris$$", "set <meridian.city> <paris>" },
		{ "SET meridian.city = $a$par$is$a$", "set <meridian.city> <par$is>" },
		{ "SET meridian.city = ''", "set <meridian.city> <>" },
		{ "SET meridian.city = 'S\xc3\xa3o Paulo'",
		  "set <meridian.city> <S\xc3\xa3o Paulo>" },
		{ "/* app */ SET -- why\n meridian.city /* /* in */ out */ = 'paris' -- end",
		  "set <meridian.city> <paris>" },
		{ "\t\n\r\f\v SET\tmeridian.city\n=\r'paris'", "set <meridian.city> <paris>" },
		{ "SET meridian.anything = 'x'", "set <meridian.anything> <x>" },
		{ "SET meridian.city = DEFAULT", "reset <meridian.city>" },
		{ "SET SESSION meridian.city TO default;", "reset <meridian.city>" },
		{ "SET meridian.city = 'default'", "set <meridian.city> <default>" },
	};

	(void)state;
	CHECK(all);
}

static void
what_is_not_quite_set_says_nothing(void **state)
{
	static const struct example all[] = {
		{ "", "" },
		{ ";;; ;", "" },
		{ "SET", "" },
		{ "SET LOCAL meridian.city = 'paris'", "" },
		{ "SET search_path = 'x'", "" },
		{ "SET meridian = 'x'", "" },
		{ "SET meridian. = 'x'", "" },
		{ "SET meridian.city", "" },
		{ "SET meridian.city =", "" },
		{ "SET meridian.city 'paris'", "" },
		{ "SET meridian.city = 'paris', 'rome'", "" },
		{ "SET meridian.city = 'paris' 'rome'", "" },
		{ "SET meridian.city = 12", "" },
		{ "SET meridian.city = B'1'", "" },
		{ "SET meridian.city = U&'x'", "" },
		{ "SET meridian.city = E'S\\u00e3o'", "" },
		{ "SET meridian.city = 'a\\b'", "" },
		{ "SET meridian.city = 'paris", "" },
		{ "SET meridian.city = $a$paris", "" },
		{ "SET meridian.city /* = 'paris'", "" },
		{ "SET meridian.city FROM CURRENT", "" },
		{ "SETmeridian.city = 'paris'", "" },
		{ "SET meridian_city = 'paris'", "" },
		{ "UPDATE t SET meridian.city = 'paris'", "" },
		{ "ALTER ROLE r SET meridian.city = 'paris'", "" },
		{ "-- SET meridian.city = 'paris'", "" },
		{ "SELECT 'SET meridian.city = ''paris'''", "" },
	};

	(void)state;
	CHECK(all);
}

static void
reset_discard_and_show_are_read(void **state)
{
	static const struct example all[] = {
		{ "RESET meridian.city", "reset <meridian.city>" },
		{ "reset MERIDIAN.CITY ;", "reset <meridian.city>" },
		{ "RESET ALL", "reset all" },
		{ "reset all;", "reset all" },
		{ "DISCARD ALL", "reset all" },
		{ "DISCARD PLANS", "" },
		{ "RESET ALL meridian.city", "" },
		{ "RESET SESSION AUTHORIZATION", "" },
		{ "RESET search_path", "" },
		{ "SHOW meridian.region", "show <meridian.region>" },
		{ "show \"meridian\".route;", "show <meridian.route>" },
		{ "SHOW ALL", "" },
		{ "SHOW TIME ZONE", "" },
		{ "SHOW meridian.city, meridian.region", "" },
	};

	(void)state;
	CHECK(all);
}

static void
set_config_is_read_with_parameters_and_in_lists(void **state)
{
	static const struct example all[] = {
		{ "SELECT set_config('meridian.city', 'paris', false)",
		  "set <meridian.city> <paris>" },
		{ "select pg_catalog.set_config('Meridian.City','paris','f');",
		  "set <meridian.city> <paris>" },
		{ "SELECT \"set_config\"('meridian.city', 'paris', false)", "" },
		{ "SELECT set_config('meridian.city', 'paris', true)", "" },
		{ "SELECT set_config('meridian.city', 'paris', 'on')", "" },
		{ "SELECT set_config('meridian.city', 'paris')", "" },
		{ "SELECT set_config('meridian.city', NULL, false)", "reset <meridian.city>" },
		{ "SELECT set_config('meridian.city', $1, false)", "set <meridian.city> $1" },
		{ "SELECT set_config($1, $2, $3)", "set $1 $2 local=$3" },
		{ "SELECT set_config($1::text, $2::character varying(20), $3::pg_catalog.bool)",
		  "set $1 $2 local=$3" },
		{ "SELECT set_config($0, $2, false)", "" },
		{ "SELECT set_config($70000, $2, false)", "" },
		{ "SELECT set_config('app.user', 'x', false)", "" },
		{ "SELECT set_config('app.user', 'x', false), set_config('meridian.city', $1, "
		  "false) AS c, set_config('meridian.country', 'FR'::text, false) x",
		  "set <meridian.city> $1; set <meridian.country> <FR>" },
		{ "SELECT set_config('meridian.city', 'a', false), now(); RESET ALL",
		  "set <meridian.city> <a>; reset all" },
		{ "SELECT set_config('meridian.city', 'a', false), now('\\'); RESET ALL",
		  "set <meridian.city> <a>" },
		{ "SELECT set_config('meridian.city', lower('A'), false)", "" },
		{ "SELECT current_setting('meridian.city')", "" },
		{ "SELECT 1", "" },
	};

	(void)state;
	CHECK(all);
}

static void
statements_of_one_text_are_read_in_order(void **state)
{
	static const struct example all[] = {
		{ "SET meridian.city = 'a'; SELECT 1", "set <meridian.city> <a>" },
		{ "SET meridian.city = 'a'; SET meridian.country = 'FR';",
		  "set <meridian.city> <a>; set <meridian.country> <FR>" },
		{ "BEGIN; SET meridian.city = 'a'; COMMIT", "set <meridian.city> <a>" },
		{ "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
		  "reset all" },
		{ "SELECT ';', $$;$$, \";\" /*;*/ --;\n; RESET ALL", "reset all" },
		{ "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; RESET ALL)", "" },
		{ "INSERT INTO t (SELECT 1; RESET ALL; ) ; SHOW meridian.city",
		  "show <meridian.city>" },
		{ "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; RESET ALL; END", "" },
		{ "SELECT '\\'; RESET ALL --'", "" },
		{ "SELECT E'\\'; RESET ALL --'; DISCARD ALL", "reset all" },
		{ "SELECT U&'\\' ; RESET ALL", "" },
		{ "SELECT 'open; RESET ALL", "" },
		{ "SELECT 1 /* open; RESET ALL", "" },
		{ "SHOW meridian.city; SHOW meridian.region",
		  "show <meridian.city>; show <meridian.region>" },
	};

	(void)state;
	CHECK(all);
}

static void
where_a_statement_stands_is_known(void **state)
{
	static const char sql[] = "SELECT 1; /* x */ SHOW meridian.city -- y\n; RESET ALL";
	struct setting_scan scan;
	struct setting s;

	(void)state;
	setting_begin(&scan, slice_str(sql));
	assert_true(setting_next(&scan, &s));
	assert_true(slice_is(s.statement, "SHOW meridian.city -- y\n"));
	assert_true(setting_next(&scan, &s));
	assert_true(slice_is(s.statement, "RESET ALL"));
	assert_false(setting_next(&scan, &s));
}

static void
a_text_that_does_not_fit_says_nothing(void **state)
{
	struct buf sql = { 0 }, b = { 0 };
	static const unsigned fits = SETTING_TEXT_MAX;

	(void)state;
	for (unsigned n = fits - 1; n <= fits + 1; n++) {
		buf_clear(&sql);
		buf_str(&sql, "SET meridian.city = '");
		for (unsigned i = 0; i < n; i++)
			buf_u8(&sql, 'x');
		buf_str(&sql, "'; RESET ALL");
		assert_int_equal(strstr(said(&b, buf_view(&sql)), "set <") != NULL, n <= fits);
		assert_non_null(strstr(buf_text(&b), "reset all"));
	}
	buf_clear(&sql);
	buf_str(&sql, "SHOW meridian.");
	for (unsigned i = 0; i < 2 * fits; i++)
		buf_str(&sql, "x.");
	assert_string_equal(said(&b, buf_view(&sql)), "");
	buf_fini(&sql);
	buf_fini(&b);
}

static void
most_texts_are_silent_at_a_look(void **state)
{
	static const char *const silent[] = {
		"",
		"SELECT 1",
		"select 1;",
		"SeLeCt abalance FROM pgbench_accounts WHERE aid = 4711;",
		"SELECT   city FROM t",
		"SELECT sum(x) FROM t",
		"SELECT pg_sleep(1)",
		"UPDATE t SET x = 1",
		"BEGIN",
		"END;",
		"insert into t values (1)",
		"VALUES (1)",
	};
	static const char *const others[] = {
		"SELECT 1; SELECT 2",
		"BEGIN;SET meridian.city = 'x'",
		"SELECT set_config('meridian.city', 'x', false)",
		"select Pg_Catalog.set_config('meridian.city', 'x', false)",
		"SELECT/**/set_config('meridian.city', 'x', false)",
		"SELECT /**/set_config('meridian.city', 'x', false)",
		"SELECT\tset_config('meridian.city', 'x', false)",
		"set meridian.city to x",
		" SELECT 1",
		"-- hello",
		"select",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++)
		assert_true(setting_is_silent(slice_str(silent[i])));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(setting_is_silent(slice_str(others[i])));
}

static void
booleans_are_read_as_postgresql_reads_them(void **state)
{
	static const char *const yes[] = {
		"t", "true", "TRUE", "tr", "y", "yes", "on", "1", " t "
	};
	static const char *const no[] = { "", "f", "false", "no", "off", "o", "0", "trues", "2" };

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(setting_is_true(slice_str(yes[i])));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(setting_is_true(slice_str(no[i])));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_is_read_in_all_its_spellings),
		cmocka_unit_test(what_is_not_quite_set_says_nothing),
		cmocka_unit_test(reset_discard_and_show_are_read),
		cmocka_unit_test(set_config_is_read_with_parameters_and_in_lists),
		cmocka_unit_test(statements_of_one_text_are_read_in_order),
		cmocka_unit_test(where_a_statement_stands_is_known),
		cmocka_unit_test(a_text_that_does_not_fit_says_nothing),
		cmocka_unit_test(most_texts_are_silent_at_a_look),
		cmocka_unit_test(booleans_are_read_as_postgresql_reads_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
