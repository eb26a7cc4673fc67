/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/split.h"

#include "migration/files/digest.h"
#include "migration/files/stmt.h"

#include "tests/unit/unit.h"

struct vector {
	const char *text;
	size_t n;
	const char *v[4];
};

static const struct vector vectors[] = {
	{ "", 0, { 0 } },
	{ " ;; ; -- nothing\n/* ; */", 0, { 0 } },
	{ "SELECT 1", 1, { "SELECT 1" } },
	{ "SELECT 1;\n\nSELECT 2 ; ", 2, { "SELECT 1", "SELECT 2" } },
	{ "SELECT ';', 'it''s;'; b", 2, { "SELECT ';', 'it''s;'", "b" } },
	{ "SELECT E'\\';'; b", 2, { "SELECT E'\\';'", "b" } },
	{ "SELECT '\\'; b", 2, { "SELECT '\\'", "b" } },
	{ "SELECT \"a;\"\"b\"; b", 2, { "SELECT \"a;\"\"b\"", "b" } },
	{ "SELECT $$;$$; b", 2, { "SELECT $$;$$", "b" } },
	{ "SELECT $a$ $$;$b$ $a$; b", 2, { "SELECT $a$ $$;$b$ $a$", "b" } },
	{ "SELECT a$1; b", 2, { "SELECT a$1", "b" } },
	{ "SELECT $1; b", 2, { "SELECT $1", "b" } },
	{ "a /* ; /* ; */ ; */ b; c", 2, { "a /* ; /* ; */ ; */ b", "c" } },
	{ "a -- ;\nb; c -- d", 2, { "a -- ;\nb", "c" } },
	{ "a - -1; b", 2, { "a - -1", "b" } },
	{ "CREATE RULE r AS ON INSERT TO t DO (a; b); c",
	  2,
	  { "CREATE RULE r AS ON INSERT TO t DO (a; b)", "c" } },
	{ "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 END; "
	  "END; c",
	  2,
	  { "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 "
	    "END; END",
	    "c" } },
	{ "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC a; END; BEGIN; c; END",
	  4,
	  { "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC a; END", "BEGIN", "c", "END" } },
	{ "CREATE TABLE begin (atomic int); c", 2, { "CREATE TABLE begin (atomic int)", "c" } },
	{ "CREATE FUNCTION begin() AS $$;$$; c", 2, { "CREATE FUNCTION begin() AS $$;$$", "c" } },
	{ "SELECT 1e'a;'; b", 2, { "SELECT 1e'a;'", "b" } },
};

static void
statements_end_where_postgresql_ends_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct script s;
		struct err e = { 0 };

		assert_int_equal(split_script(slice_str(vectors[i].text), &s, &e), 0);
		if (s.n != vectors[i].n)
			fail_msg("%s: %zu statements", vectors[i].text, s.n);
		for (size_t k = 0; k < s.n; k++)
			if (!slice_is(s.v[k].text, vectors[i].v[k]))
				fail_msg("%s: statement %zu is <%.*s>", vectors[i].text, k + 1,
					 (int)s.v[k].text.n, s.v[k].text.p);
		script_fini(&s);
	}
}

static void
what_has_no_end_is_refused_with_its_line(void **state)
{
	static const char *const bad[][2] = {
		{ "a;\n'b", "line 2: the string that begins here has no end" },
		{ "a;\n\n\"b", "line 3: the quoted name that begins here has no end" },
		{ "$x$ b $$", "line 1: the dollar-quoted string that begins here has no end" },
		{ "/* /* */", "line 1: the comment that begins here has no end" },
		{ "a;\nb (c; d", "line 2: a parenthesis of this statement is not closed" },
		{ "CREATE FUNCTION f() BEGIN ATOMIC a;",
		  "line 1: the body of this statement has no END" },
		{ "\\i other.sql", "line 1: psql's own commands cannot be carried out here" },
		{ "SELECT 1 \\gset", "line 1: psql's own commands cannot be carried out here" },
		{ "-- meridian: fly\n", "line 1: there is no such comment for Meridian" },
		{ "-- meridian: undo\n", "line 1: this comment lacks its value" },
		{ "-- meridian: alone yes\n",
		  "line 1: this comment takes nothing behind its word" },
		{ "a;\n-- meridian: no-transaction\n",
		  "line 2: this comment belongs in front of the first statement" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct script s;
		struct err e = { 0 };

		assert_int_equal(split_script(slice_str(bad[i][0]), &s, &e), -1);
		assert_string_equal(e.msg, bad[i][1]);
		assert_string_equal(e.sqlstate, "42601");
		assert_null(s.v);
	}
}

static void
comments_speak_of_the_file_or_of_the_next_statement(void **state)
{
	static const char text[] = "-- V3\n--   meridian:  no-transaction\n"
				   "-- meridian: undo V3.undo.sql\r\n"
				   "-- meridian: lint-ok ban-drop-column, backfill\n"
				   "a; -- meridian: done-when SELECT 1; x\n"
				   "--meridian: alone\nb\n-- meridian: nothing of this is read\n;c";
	struct script s;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(split_script(slice_str(text), &s, &e), 0);
	assert_int_equal(s.n, 3);
	assert_true(s.no_transaction);
	assert_true(slice_is(s.undo, "V3.undo.sql"));
	assert_false(s.undo_none);
	assert_true(statement_allows(&s.v[0], "ban-drop-column"));
	assert_true(statement_allows(&s.v[0], "backfill"));
	assert_false(statement_allows(&s.v[0], "fill"));
	assert_true(slice_is(s.v[1].done_when, "SELECT 1; x"));
	assert_true(s.v[1].is_alone);
	assert_false(s.v[0].is_alone || s.v[2].is_alone);
	assert_int_equal(s.v[1].line, 7);
	assert_int_equal(s.v[2].line, 9);
	script_fini(&s);
	assert_int_equal(split_script(slice_str("-- meridian: undo NONE\n"), &s, &e), 0);
	assert_true(s.undo_none && s.undo.n == 0);
	script_fini(&s);
}

static void
line_ends_do_not_change_what_a_file_is(void **state)
{
	char a[DIGEST_TEXT], b[DIGEST_TEXT];

	(void)state;
	digest_text(SLICE_LITERAL("abc"), a);
	assert_string_equal(a, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_text(SLICE_LITERAL(""), a);
	assert_string_equal(a, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	digest_text(SLICE_LITERAL("a\nb\n\nc"), a);
	digest_text(SLICE_LITERAL("a\r\nb\r\n\r\nc"), b);
	assert_string_equal(a, b);
	digest_text(SLICE_LITERAL("a\rb\n\nc"), b);
	assert_string_not_equal(a, b);
	digest_text(SLICE_LITERAL("a\r"), a);
	digest_text(SLICE_LITERAL("a"), b);
	assert_string_not_equal(a, b);
}

/* ---- what a statement is ---- */

static const struct {
	const char *text;
	enum stmt_what what;
	enum stmt_post post;
	const char *name, *table;
} kinds[] = {
	{ "CREATE TABLE t (i int)", STMT_PLAIN, POST_UNKNOWN, "", "" },
	{ "CREATE INDEX i ON t (a)", STMT_PLAIN, POST_UNKNOWN, "", "" },
	{ "create /* x */ unique index concurrently if not exists \"I x\" on only s.\"T\" (a)",
	  STMT_ALONE, POST_INDEX_VALID, "\"I x\"", "s.\"T\"" },
	{ "CREATE INDEX CONCURRENTLY ON t (a)", STMT_ALONE, POST_INDEX_VALID, "", "t" },
	{ "DROP INDEX CONCURRENTLY IF EXISTS s.i", STMT_ALONE, POST_INDEX_GONE, "s.i", "" },
	{ "DROP INDEX i", STMT_PLAIN, POST_UNKNOWN, "", "" },
	{ "REINDEX (CONCURRENTLY, VERBOSE) TABLE s.t", STMT_ALONE, POST_REINDEX, "s.t", "" },
	{ "REINDEX INDEX CONCURRENTLY i", STMT_ALONE, POST_REINDEX, "i", "" },
	{ "REINDEX TABLE t", STMT_PLAIN, POST_UNKNOWN, "", "" },
	{ "REINDEX DATABASE d", STMT_ALONE, POST_AGAIN, "", "" },
	{ "ALTER TYPE s.mood ADD VALUE IF NOT EXISTS 'ok' BEFORE 'x'", STMT_PLAIN, POST_ENUM_VALUE,
	  "s.mood", "" },
	{ "ALTER TYPE mood RENAME TO m", STMT_PLAIN, POST_UNKNOWN, "", "" },
	{ "VACUUM (ANALYZE) t", STMT_ALONE, POST_AGAIN, "", "" },
	{ "CLUSTER", STMT_ALONE, POST_AGAIN, "", "" },
	{ "CLUSTER t USING i", STMT_PLAIN, POST_UNKNOWN, "", "" },
	{ "CREATE DATABASE \"D\" OWNER x", STMT_ALONE, POST_DATABASE, "\"D\"", "" },
	{ "DROP DATABASE IF EXISTS d", STMT_ALONE, POST_NO_DATABASE, "d", "" },
	{ "ALTER TABLE p DETACH PARTITION s.c CONCURRENTLY", STMT_ALONE, POST_DETACHED, "s.c",
	  "p" },
	{ "ALTER TABLE p DETACH PARTITION s.c", STMT_PLAIN, POST_UNKNOWN, "", "" },
	{ "DROP SUBSCRIPTION s", STMT_ALONE, POST_NO_SUBSCRIPTION, "s", "" },
	{ "COPY t (a) FROM STDIN", STMT_COPY, POST_UNKNOWN, "", "" },
	{ "COPY t FROM '/x'", STMT_PLAIN, POST_UNKNOWN, "", "" },
	{ "BEGIN ISOLATION LEVEL SERIALIZABLE", STMT_BEGIN, POST_UNKNOWN, "", "" },
	{ "START TRANSACTION", STMT_BEGIN, POST_UNKNOWN, "", "" },
	{ "COMMIT", STMT_COMMIT, POST_UNKNOWN, "", "" },
	{ "END", STMT_COMMIT, POST_UNKNOWN, "", "" },
	{ "ROLLBACK", STMT_ROLLBACK, POST_UNKNOWN, "", "" },
	{ "ROLLBACK TO SAVEPOINT a", STMT_PLAIN, POST_UNKNOWN, "", "" },
	{ "SET search_path = a", STMT_SETTING, POST_UNKNOWN, "", "" },
	{ "SET LOCAL search_path = a", STMT_PLAIN, POST_UNKNOWN, "", "" },
	{ "RESET ALL", STMT_SETTING, POST_UNKNOWN, "", "" },
	{ "SELECT create_distributed_table_concurrently('a', 'b')", STMT_ALONE, POST_UNKNOWN, "",
	  "" },
	{ "'create index concurrently'", STMT_PLAIN, POST_UNKNOWN, "", "" },
};

static void
a_statement_says_whether_it_stands_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct stmt s;

		stmt_read(slice_str(kinds[i].text), &s);
		if (s.what != kinds[i].what || s.post != kinds[i].post ||
		    !slice_is(s.name, kinds[i].name) || !slice_is(s.table, kinds[i].table))
			fail_msg("%s: %d %d <%.*s> <%.*s>", kinds[i].text, (int)s.what, (int)s.post,
				 (int)s.name.n, s.name.p, (int)s.table.n, s.table.p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_end_where_postgresql_ends_them),
		cmocka_unit_test(what_has_no_end_is_refused_with_its_line),
		cmocka_unit_test(comments_speak_of_the_file_or_of_the_next_statement),
		cmocka_unit_test(line_ends_do_not_change_what_a_file_is),
		cmocka_unit_test(a_statement_says_whether_it_stands_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
