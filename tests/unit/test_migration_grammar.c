/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/grammar.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

/* Each text with what spec_put() makes of it; NULL: the same. */
static const struct {
	const char *text, *put;
} good[] = {
	/* move */
	{ "mv OF DATABASE app FROM agora_fr1 TO osc_fr1", NULL },
	{ "OF DATABASE app FROM a TO b AS app2", NULL },
	{ "if not exists mv of database app from a to b;", "mv OF DATABASE app FROM a TO b" },
	{ "of database app from db1:5432 to 10.0.0.2:5433",
	  "OF DATABASE app FROM db1:5432 TO 10.0.0.2:5433" },
	{ "\"My Move\" OF DATABASE \"of\" FROM \"to\" TO /run/pg:5432",
	  "\"My Move\" OF DATABASE \"of\" FROM \"to\" TO \"/run/pg:5432\"" },
	{ "'mv' OF DATABASE 'app' FROM 'a' TO 'b'", "mv OF DATABASE app FROM a TO b" },
	{ "App OF DATABASE App FROM A TO B", NULL },
	{ "m OF DATABASE d FROM files TO b", "m OF DATABASE d FROM \"files\" TO b" },
	{ "OF DATABASE d FROM a TO b WITH (identity = auto, Pause_Budget='1s', window = 'a''b')",
	  "OF DATABASE d FROM a TO b WITH (identity = 'auto', pause_budget = '1s', window = "
	  "'a''b')" },
	{ "OF DATABASE d FROM a TO b WITH (a = \"\"\"x\"\"\", b = -5)",
	  "OF DATABASE d FROM a TO b WITH (a = '\"x\"', b = '-5')" },
	{ "/* why */ OF DATABASE d -- here\nFROM a TO b", "OF DATABASE d FROM a TO b" },
	/* regions */
	{ "OF DATABASE movr TO REGIONS us-east1 PRIMARY", NULL },
	{ "g OF DATABASE movr TO REGIONS \"us-east1\" primary, us-west1,europe-west1 survive "
	  "region failure",
	  "g OF DATABASE movr TO REGIONS us-east1 PRIMARY, us-west1, europe-west1 SURVIVE REGION "
	  "FAILURE" },
	{ "OF DATABASE movr TO REGIONS a PRIMARY SURVIVE ZONE FAILURE LOCALITY (promo GLOBAL, "
	  "users REGIONAL BY ROW, rides REGIONAL BY ROW AS region, vehicles REGIONAL BY ROW BY "
	  "(city) MAP cities, t REGIONAL BY TABLE, public.u REGIONAL BY TABLE IN b)",
	  NULL },
	{ "OF DATABASE movr TO REGIONS a PRIMARY LOCALITY (\"Sales\".\"Or.ders\" global, PUBLIC.X "
	  "GLOBAL, \"a\"\"b\" GLOBAL, s.\"T\" GLOBAL)",
	  "OF DATABASE movr TO REGIONS a PRIMARY LOCALITY (\"Sales\".\"Or.ders\" GLOBAL, public.x "
	  "GLOBAL, \"a\"\"b\" GLOBAL, s.\"T\" GLOBAL)" },
	{ "OF DATABASE d TO REGIONS a PRIMARY LOCALITY (\"table\" GLOBAL)", NULL },
	/* distribute */
	{ "OF DATABASE shop DISTRIBUTE BY store_id", NULL },
	{ "OF DATABASE shop DISTRIBUTE BY Store_Id ROOT Stores (stores, orders METHOD concurrent, "
	  "products METHOD BLOCKING, countries METHOD reference, notes METHOD LOCAL)",
	  "OF DATABASE shop DISTRIBUTE BY store_id ROOT stores (stores, orders METHOD CONCURRENT, "
	  "products METHOD BLOCKING, countries METHOD REFERENCE, notes METHOD LOCAL)" },
	{ "OF DATABASE shop DISTRIBUTE BY \"Id\" ROOT s.\"T\" WITH (atomic = on)",
	  "OF DATABASE shop DISTRIBUTE BY \"Id\" ROOT s.\"T\" WITH (atomic = 'on')" },
	{ "OF DATABASE shop DISTRIBUTE BY id(line_items--x\n,orders/* */)",
	  "OF DATABASE shop DISTRIBUTE BY id (line_items, orders)" },
	/* files */
	{ "OF DATABASE app FROM FILES 'db/migrations'",
	  "OF DATABASE app FROM FILES 'db/migrations' ALL REGIONS" },
	{ "v7 OF DATABASE app FROM FILES '/srv/it''s' REGIONS (a, b) CANARY b WITH (lint = 'off')",
	  NULL },
	{ "OF DATABASE app FROM FILES E'a\\'b' ALL REGIONS CANARY a",
	  "OF DATABASE app FROM FILES 'a''b' ALL REGIONS CANARY a" },
};

static const struct {
	const char *text, *sqlstate, *msg, *detail;
} bad[] = {
	{ "", "42601", "syntax error at end of input", "Expected a name, or OF DATABASE." },
	{ "mv", "42601", "syntax error at end of input", "Expected OF." },
	{ "mv OF app", "42601", "syntax error at or near \"app\"", "Expected DATABASE." },
	{ "mv OF DATABASE", "42601", "syntax error at end of input",
	  "Expected the name of a database." },
	{ "OF DATABASE d", "42601", "syntax error at end of input",
	  "Expected FROM, TO REGIONS or DISTRIBUTE BY." },
	{ "OF DATABASE d FROM", "42601", "syntax error at end of input",
	  "Expected a region or node, or FILES 'directory'." },
	{ "OF DATABASE d FROM a b", "42601", "syntax error at or near \"b\"", "Expected TO." },
	{ "OF DATABASE d FROM a TO (", "42601", "syntax error at or near \"(\"",
	  "Expected a region or node." },
	{ "OF DATABASE d FROM a TO b AS", "42601", "syntax error at end of input",
	  "Expected the database's name there." },
	{ "OF DATABASE d FROM a TO b WIHT (x = 1)", "42601", "syntax error at or near \"WIHT\"",
	  "Expected WITH ( option = value, … ), or the end." },
	{ "OF DATABASE d FROM a TO b WITH", "42601", "syntax error at end of input",
	  "Expected \"(\"." },
	{ "OF DATABASE d FROM a TO b WITH ()", "42601", "syntax error at or near \")\"",
	  "Expected an option." },
	{ "OF DATABASE d FROM a TO b WITH (x)", "42601", "syntax error at or near \")\"",
	  "Expected \"=\"." },
	{ "OF DATABASE d FROM a TO b WITH (x =)", "42601", "syntax error at or near \")\"",
	  "Expected a value." },
	{ "OF DATABASE d FROM a TO b WITH (x = 1 y = 2)", "42601", "syntax error at or near \"y\"",
	  "Expected \",\" or \")\"." },
	{ "OF DATABASE d FROM a TO b WITH (x = 1, X = 2)", "42710", "option \"x\" is named twice",
	  "" },
	{ "OF DATABASE d FROM a TO b; c", "42601", "syntax error at or near \"c\"",
	  "Expected WITH ( option = value, … ), or the end." },
	{ "OF DATABASE d FROM a TO 'b", "42601", "unterminated quoted string", "" },
	{ "OF DATABASE d FROM $1 TO b", "42601", "syntax error at or near \"$1\"",
	  "Expected a region or node, or FILES 'directory'." },
	{ "12 OF DATABASE d FROM a TO b", "42602", "a migration's name may not be a number", "" },
	{ "'' OF DATABASE d FROM a TO b", "42602", "a name may not be empty", "" },
	{ "m\xd4 OF DATABASE d FROM a TO b", "22021", "invalid byte sequence for encoding \"UTF8\"",
	  "" },
	{ "IF EXISTS mv OF DATABASE d FROM a TO b", "42601", "syntax error at or near \"EXISTS\"",
	  "Expected NOT." },
	{ "OF DATABASE d TO a", "42601", "syntax error at or near \"a\"", "Expected REGIONS." },
	{ "OF DATABASE d TO REGIONS a, b", "42601", "syntax error at or near \",\"",
	  "Expected PRIMARY." },
	{ "OF DATABASE d TO REGIONS a PRIMARY, a", "42710", "region \"a\" is named twice", "" },
	{ "OF DATABASE d TO REGIONS a PRIMARY SURVIVE NODE FAILURE", "42601",
	  "syntax error at or near \"NODE\"", "Expected ZONE FAILURE or REGION FAILURE." },
	{ "OF DATABASE d TO REGIONS a PRIMARY SURVIVE REGION", "42601",
	  "syntax error at end of input", "Expected FAILURE." },
	{ "OF DATABASE d TO REGIONS a PRIMARY LOCALITY (t LOCAL)", "42601",
	  "syntax error at or near \"LOCAL\"",
	  "Expected GLOBAL, REGIONAL BY TABLE or REGIONAL BY ROW." },
	{ "OF DATABASE d TO REGIONS a PRIMARY LOCALITY (t REGIONAL BY X)", "42601",
	  "syntax error at or near \"X\"", "Expected TABLE or ROW." },
	{ "OF DATABASE d TO REGIONS a PRIMARY LOCALITY (t REGIONAL BY ROW BY city MAP m)", "42601",
	  "syntax error at or near \"city\"", "Expected \"(\"." },
	{ "OF DATABASE d TO REGIONS a PRIMARY LOCALITY (t REGIONAL BY ROW BY (city))", "42601",
	  "syntax error at or near \")\"", "Expected MAP." },
	{ "OF DATABASE d TO REGIONS a PRIMARY LOCALITY (t GLOBAL, T GLOBAL)", "42710",
	  "table \"t\" is named twice", "" },
	{ "OF DATABASE d TO REGIONS a PRIMARY LOCALITY (t GLOBAL", "42601",
	  "syntax error at end of input", "Expected \",\" or \")\"." },
	{ "OF DATABASE d DISTRIBUTE id", "42601", "syntax error at or near \"id\"",
	  "Expected BY." },
	{ "OF DATABASE d DISTRIBUTE BY 'id'", "42601", "syntax error at or near \"'id'\"",
	  "Expected the name of a column." },
	{ "OF DATABASE d DISTRIBUTE BY a.b", "42601", "syntax error at or near \"a.b\"",
	  "Expected the name of a column." },
	{ "OF DATABASE d DISTRIBUTE BY 1x", "42601", "syntax error at or near \"1x\"",
	  "Expected the name of a column." },
	{ "OF DATABASE d DISTRIBUTE BY id ROOT a.b.c", "42601", "syntax error at or near \"a.b.c\"",
	  "Expected the name of a table." },
	{ "OF DATABASE d DISTRIBUTE BY id (t METHOD slow)", "42601",
	  "syntax error at or near \"slow\"",
	  "Expected BLOCKING, CONCURRENT, REFERENCE or LOCAL." },
	{ "OF DATABASE d DISTRIBUTE BY id (t, s.t, t METHOD LOCAL)", "42710",
	  "table \"t\" is named twice", "" },
	{ "OF DATABASE d DISTRIBUTE BY "
	  "a234567890123456789012345678901234567890123456789012345678901234",
	  "42622",
	  "the name \"a234567890123456789012345678901234567890123456789012345678901234\" is "
	  "longer than 63 bytes",
	  "" },
	{ "OF DATABASE d FROM FILES 'x' ALL", "42601", "syntax error at end of input",
	  "Expected REGIONS." },
	{ "OF DATABASE d FROM FILES 'x' REGIONS a", "42601", "syntax error at or near \"a\"",
	  "Expected \"(\"." },
	{ "OF DATABASE d FROM FILES 'x' REGIONS (a,)", "42601", "syntax error at or near \")\"",
	  "Expected a region." },
	{ "OF DATABASE d FROM FILES 'x' REGIONS (a, b, a)", "42710", "region \"a\" is named twice",
	  "" },
	{ "OF DATABASE d FROM FILES x", "42601", "syntax error at or near \"x\"", "Expected TO." },
	{ "OF DATABASE d FROM FILES 'x' CANARY", "42601", "syntax error at end of input",
	  "Expected a region." },
};

static void
put(const char *text, struct buf *out)
{
	struct spec s;
	struct err e = { 0 };

	if (spec_parse(slice_str(text), &s, &e) != 0) {
		buf_printf(out, "%s (%s)", e.msg, e.detail);
		return;
	}
	spec_put(&s, out);
	spec_fini(&s);
}

static void
each_form_is_read_and_put_back_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const char *expected = good[i].put != NULL ? good[i].put : good[i].text;
		struct buf once = { 0 }, twice = { 0 };

		put(good[i].text, &once);
		assert_string_equal(buf_text(&once), expected);
		put(buf_text(&once), &twice);
		assert_string_equal(buf_text(&twice), expected);
		buf_fini(&once);
		buf_fini(&twice);
	}
}

static void
each_mistake_is_answered_with_what_was_expected(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct spec s;
		struct err e = { 0 };

		if (spec_parse(slice_str(bad[i].text), &s, &e) == 0)
			fail_msg("%s was taken", bad[i].text);
		assert_string_equal(e.msg, bad[i].msg);
		assert_string_equal(e.detail, bad[i].detail);
		assert_string_equal(e.sqlstate, bad[i].sqlstate);
	}
}

/* Whatever a text is cut off to is read or refused, and leaks nothing. */
static void
every_beginning_of_a_statement_is_read_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		for (size_t n = 0; n < strlen(good[i].text); n++) {
			char *cut = xstrndup(good[i].text, n);
			struct spec s;
			struct err e = { 0 };

			if (spec_parse(slice_of(cut, n), &s, &e) == 0)
				spec_fini(&s);
			else
				assert_true(e.msg[0] != '\0' && strlen(e.sqlstate) == 5);
			free(cut);
		}
	}
}

static void
the_parts_of_a_spec_are_where_they_belong(void **state)
{
	struct spec s;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(
	    spec_parse(slice_str("IF NOT EXISTS m OF DATABASE app FROM FILES 'd' REGIONS "
				 "(b, a) CANARY a WITH (Retries = 3)"),
		       &s, &e),
	    0);
	assert_int_equal(s.kind, KIND_FILES);
	assert_true(s.if_not_exists);
	assert_string_equal(s.name, "m");
	assert_string_equal(s.directory, "d");
	assert_int_equal(s.regions.n, 2);
	assert_string_equal(s.regions.v[0], "b");
	assert_false(s.all_regions);
	assert_string_equal(s.canary, "a");
	assert_int_equal(s.options.n, 1);
	assert_string_equal(s.options.v[0], "retries");
	assert_string_equal(s.values.v[0], "3");
	spec_fini(&s);
	assert_int_equal(
	    spec_parse(slice_str("OF DATABASE m TO REGIONS a PRIMARY LOCALITY (x.\"Y\" "
				 "REGIONAL BY ROW BY (city) MAP cities)"),
		       &s, &e),
	    0);
	assert_int_equal(s.kind, KIND_REGIONS_OF);
	assert_null(s.name);
	assert_string_equal(s.placings[0].name.schema, "x");
	assert_string_equal(s.placings[0].name.table, "Y");
	assert_string_equal(s.placings[0].column, "city");
	assert_string_equal(s.placings[0].map, "cities");
	assert_int_equal(s.placings[0].locality, LOCALITY_BY_ROW_MAP);
	spec_fini(&s);
}

static void
options_and_tables_are_read_alone_too(void **state)
{
	struct strlist options, values;
	struct spec_name n;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(spec_parse_options(slice_str("(A = b, c = 'd e')"), &options, &values, &e),
			 0);
	assert_int_equal(options.n, 2);
	assert_string_equal(options.v[0], "a");
	assert_string_equal(values.v[1], "d e");
	strlist_fini(&options);
	strlist_fini(&values);
	assert_int_equal(spec_parse_options(slice_str("(a = b c"), &options, &values, &e), -1);
	assert_string_equal(e.detail, "Expected \",\" or \")\".");
	assert_int_equal(options.n, 0);
	assert_int_equal(spec_parse_name(slice_str("S.\"T\""), &n, &e), 0);
	assert_string_equal(n.schema, "s");
	assert_string_equal(n.table, "T");
	spec_name_fini(&n);
	assert_int_equal(spec_parse_name(slice_str("a b"), &n, &e), -1);
	assert_int_equal(spec_parse_name(slice_str("\"a"), &n, &e), -1);
}

static void
a_list_without_end_is_refused(void **state)
{
	struct buf text = { 0 };
	struct strlist options, values;
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i <= SPEC_ITEMS_MAX; i++)
		buf_printf(&text, "%so%d = 1", i > 0 ? ", " : "(", i);
	assert_int_equal(spec_parse_options(buf_view(&text), &options, &values, &e), -1);
	assert_string_equal(e.sqlstate, "54000");
	buf_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_form_is_read_and_put_back_the_same),
		cmocka_unit_test(each_mistake_is_answered_with_what_was_expected),
		cmocka_unit_test(every_beginning_of_a_statement_is_read_or_refused),
		cmocka_unit_test(the_parts_of_a_spec_are_where_they_belong),
		cmocka_unit_test(options_and_tables_are_read_alone_too),
		cmocka_unit_test(a_list_without_end_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
