/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/grammar.h"

#include <stdio.h>

#include "tests/unit/unit.h"

static bool
fits_small(const struct statement *st)
{
	const char *n = statement_arg(st, "n");

	return n != NULL && strlen(n) == 1;
}

static void
describe_n(struct statement *st)
{
	const char *n = statement_arg(st, "n");

	snprintf(st->own_name, sizeof(st->own_name), "%s", n != NULL ? n : "?");
	st->own_column = (struct column){ st->own_name, COLUMN_TEXT };
}

/* A language for the test: spelled so that each kind of element stands somewhere. */
static const struct column one_column[] = { { "one", COLUMN_TEXT } };
static const struct column plum_columns[] = {
	{ "kind", EVERYDAY_CUT(COLUMN_TEXT, 10) },
	{ "stone", COLUMN_BOOL },
	{ "n", EVERYDAY(COLUMN_INT4) },
};
static const struct command rows[] = {
	{ .words = "SHOW APPLES", .help = "h", COLUMNS(one_column) },
	{ .words = "SHOW APPLE", .args = "<id>", .help = "h" },
	{ .words = "SHOW PEARS", .args = "[RIPE] [FROM <tree>] [KIND <kind>]", .help = "h" },
	{ .words = "PICK",
	  .args = "[FOR] (RED <red> | GREEN <green> | ALL) [TO <basket>]",
	  .help = "h" },
	{ .words = "PUT", .args = "<key> (= | TO) <value...>", .help = "h" },
	{ .words = "COUNT", .args = "<n>", .fits = fits_small, .tag = "small" },
	{ .words = "COUNT", .args = "<n>", .tag = "big", .describe = describe_n, .help = "h" },
	{ .words = "CALL f '(' ')'" },
	{ .words = "CLEAN", .args = "(A <a> | B) CLEAR", .help = "h" },
	{ .words = "CLEAN CLEAR", .help = "h" },
	{ .words = "SHOW PLUMS", .args = "[FULL]", .help = "h", COLUMNS(plum_columns) },
};
COMMAND_TABLE(fruit, rows);
static const struct command_table *const tables[] = { &fruit, NULL };

/* "WORDS name=value keyword …", or the error and its hint. */
static void
print_statement(const char *text, struct buf *out)
{
	struct slice rest = slice_str(text);
	struct statement st;
	struct err e = { 0 };

	if (statement_parse(&rest, tables, &st, &e) != 0) {
		buf_printf(out, "%s %s / %s", e.sqlstate, e.msg, e.hint);
		return;
	}
	buf_str(out, st.command != NULL ? st.command->words : "nothing");
	for (unsigned i = 0; i < st.nargs; i++) {
		buf_printf(out, " %.*s", (int)st.args[i].name.n, st.args[i].name.p);
		if (st.args[i].param > 0)
			buf_printf(out, "=$%u", st.args[i].param);
		else if (st.args[i].value != NULL)
			buf_printf(out, "=%s", st.args[i].value);
	}
	if (rest.n > 0)
		buf_printf(out, " ; %.*s", (int)rest.n, rest.p);
	statement_fini(&st);
}

static void
statements_are_recognised(void **state)
{
	static const struct {
		const char *text, *statement;
	} cases[] = {
		{ "", "nothing" },
		{ " -- nothing", "nothing" },
		{ ";show apples", "nothing ; show apples" },
		{ "show APPLES", "SHOW APPLES" },
		{ "show apples; show pears ripe", "SHOW APPLES ;  show pears ripe" },
		{ "SHOW APPLE 'x y'", "SHOW APPLE id=x y" },
		{ "SHOW APPLE \"Mixed\"", "SHOW APPLE id=Mixed" },
		{ "SHOW APPLE $1", "SHOW APPLE id=$1" },
		{ "SHOW APPLE ''", "SHOW APPLE id=" },
		{ "SHOW PEARS", "SHOW PEARS" },
		{ "SHOW PEARS KIND k FROM t", "SHOW PEARS KIND kind=k FROM tree=t" },
		{ "SHOW PEARS FROM t RIPE", "SHOW PEARS FROM tree=t RIPE" },
		{ "pick red 'dark'", "PICK RED red=dark" },
		{ "pick for green g to b", "PICK FOR GREEN green=g TO basket=b" },
		{ "pick all", "PICK ALL" },
		{ "put a = b", "PUT key=a value=b" },
		{ "put a=b", "PUT key=a value=b" },
		{ "put a to 'b c'", "PUT key=a TO value=b c" },
		{ "put a = b, 'c' , d ;", "PUT key=a value=b, 'c' , d" },
		{ "count 5", "COUNT n=5" },
		{ "count 55", "COUNT n=55" },
		{ "call F()", "CALL f '(' ')'" },
		{ "clean a x clear", "CLEAN A a=x CLEAR" },
		{ "clean clear", "CLEAN CLEAR" },
		{ "clean b clear", "CLEAN B CLEAR" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf got = { 0 };

		print_statement(cases[i].text, &got);
		assert_string_equal(buf_text(&got), cases[i].statement);
		buf_fini(&got);
	}
}

static void
mistakes_are_answered_with_what_is_nearest(void **state)
{
	static const struct {
		const char *text, *answer;
	} cases[] = {
		{ "show aples", "42601 syntax error at or near \"aples\" / Did you mean SHOW "
				"APPLES? Type HELP for "
				"all commands." },
		{ "show apples now", "42601 syntax error at or near \"now\" / Usage: SHOW APPLES" },
		{ "show apple", "42601 syntax error at end of input / Usage: SHOW APPLE <id>" },
		{ "pick blue",
		  "42601 syntax error at or near \"blue\" / Usage: PICK [FOR] (RED <red> | GREEN "
		  "<green> | ALL) [TO <basket>]" },
		{ "pick red", "42601 syntax error at end of input / Usage: PICK [FOR] (RED <red> | "
			      "GREEN <green> "
			      "| ALL) [TO <basket>]" },
		{ "show pears ripe ripe",
		  "42601 syntax error at or near \"ripe\" / Usage: SHOW PEARS [RIPE] [FROM <tree>] "
		  "[KIND <kind>]" },
		{ "frobnicate", "42601 syntax error at or near \"frobnicate\" / Type HELP for the "
				"commands that the "
				"console understands." },
		{ "pick red 'x", "42601 unterminated quoted string / " },
		{ "select * from pg_catalog.pg_class",
		  "0A000 the console has no tables or catalogs, and understands no SQL / Type HELP "
		  "for the commands that it understands." },
		{ "'show' apples",
		  "42601 syntax error at or near \"'show'\" / Did you mean SHOW APPLES? Type "
		  "HELP for all commands." },
		{ "put a =",
		  "42601 syntax error at end of input / Usage: PUT <key> (= | TO) <value...>" },
		{ "show apple E'\\xff'",
		  "22021 the escapes of a string make no valid UTF-8 text / " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf got = { 0 };

		print_statement(cases[i].text, &got);
		assert_string_equal(buf_text(&got), cases[i].answer);
		buf_fini(&got);
	}
}

static void
a_statement_of_many_words_matches_nothing_but_a_rest(void **state)
{
	struct buf text = { 0 }, got = { 0 };

	(void)state;
	buf_str(&text, "pick red ");
	for (int i = 0; i < 1000; i++)
		buf_str(&text, "b ");
	print_statement(buf_text(&text), &got);
	assert_non_null(strstr(buf_text(&got), "42601 syntax error"));
	buf_clear(&got);
	memcpy(text.p, "put a =  ", 9);
	print_statement(buf_text(&text), &got);
	assert_non_null(strstr(buf_text(&got), "b b b b"));
	buf_fini(&text);
	buf_fini(&got);
}

static void
parameters_are_bound_inside_a_rest(void **state)
{
	struct slice text = slice_str("put a = (b = $2, '$1', $1)");
	struct statement st, bound;
	struct err e = { 0 };
	char first[] = "x'y", second[] = "2", *values[] = { first, second };

	(void)state;
	assert_int_equal(statement_parse(&text, tables, &st, &e), 0);
	assert_int_equal(st.nparams, 2);
	assert_int_equal(statement_bind(&st, values, 2, &bound, &e), 0);
	assert_string_equal(statement_arg(&bound, "value"), "(b = '2', '$1', 'x''y')");
	statement_fini(&bound);
	values[0] = NULL;
	assert_int_equal(statement_bind(&st, values, 2, &bound, &e), -1);
	assert_string_equal(e.sqlstate, "22004");
	statement_fini(&st);
}

static void
parameters_are_bound_where_values_stand(void **state)
{
	struct slice text = slice_str("pick green $2 to $1");
	struct statement st, bound;
	struct err e = { 0 };
	char one[] = "one", two[] = "two", *values[] = { one, two }, *nulls[] = { one, NULL };

	(void)state;
	assert_int_equal(statement_parse(&text, tables, &st, &e), 0);
	assert_int_equal(st.nparams, 2);
	assert_null(statement_arg(&st, "green"));
	assert_int_equal(statement_bind(&st, values, 2, &bound, &e), 0);
	assert_string_equal(statement_arg(&bound, "green"), "two");
	assert_string_equal(statement_arg(&bound, "basket"), "one");
	assert_true(statement_has(&bound, "TO"));
	assert_false(statement_has(&bound, "RED"));
	statement_fini(&bound);
	assert_int_equal(statement_bind(&st, nulls, 2, &bound, &e), -1);
	assert_string_equal(e.sqlstate, "22004");
	statement_fini(&st);
}

static void
commands_may_describe_their_own_column(void **state)
{
	struct slice text = slice_str("count $1");
	struct statement st, bound;
	struct heading h;
	struct err e = { 0 };
	char value[] = "many", *values[] = { value };

	(void)state;
	assert_int_equal(statement_parse(&text, tables, &st, &e), 0);
	assert_string_equal(st.command->tag, "big");
	h = statement_heading(&st);
	assert_int_equal(heading_count(&h), 1);
	assert_string_equal(h.columns[0].name, "?");
	assert_int_equal(statement_bind(&st, values, 1, &bound, &e), 0);
	h = statement_heading(&bound);
	assert_int_equal(heading_count(&h), 1);
	assert_string_equal(h.columns[0].name, "many");
	statement_fini(&st);
	statement_fini(&bound);
	assert_int_equal(statement_heading(&st).n, 0);
	text = slice_str("show apples");
	assert_int_equal(statement_parse(&text, tables, &st, &e), 0);
	h = statement_heading(&st);
	assert_int_equal(heading_count(&h), 1);
	statement_fini(&st);
}

static void
a_short_form_has_the_columns_of_every_day(void **state)
{
	struct slice text = slice_str("show plums; show plums full");
	struct statement st;
	struct heading h;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(statement_parse(&text, tables, &st, &e), 0);
	h = statement_heading(&st);
	assert_true(h.everyday);
	assert_int_equal(heading_count(&h), 2);
	statement_fini(&st);
	assert_int_equal(statement_parse(&text, tables, &st, &e), 0);
	h = statement_heading(&st);
	assert_false(h.everyday);
	assert_int_equal(heading_count(&h), 3);
	statement_fini(&st);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_are_recognised),
		cmocka_unit_test(mistakes_are_answered_with_what_is_nearest),
		cmocka_unit_test(a_statement_of_many_words_matches_nothing_but_a_rest),
		cmocka_unit_test(parameters_are_bound_inside_a_rest),
		cmocka_unit_test(parameters_are_bound_where_values_stand),
		cmocka_unit_test(commands_may_describe_their_own_column),
		cmocka_unit_test(a_short_form_has_the_columns_of_every_day),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
