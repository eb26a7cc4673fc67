/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/classify.h"

#include <stdio.h>

#include "base/buf.h"
#include "routing/classify_catalog.h"
#include "tests/unit/unit.h"

static const struct {
	const char *sql;
	enum classify_reason reason;
	const char *what;
} vectors[] = {
	{ "", CLASSIFY_READ, "" },
	{ ";", CLASSIFY_READ, "" },
	{ "SELECT a, count(*) FROM t JOIN u ON t.x = u.y WHERE a = $1 AND b LIKE 'x%' GROUP BY 1",
	  CLASSIFY_READ, "" },
	{ "SELECT 1; SELECT 2", CLASSIFY_READ, "" },
	{ "SELECT 1; DELETE FROM t", CLASSIFY_CHANGES, "DeleteStmt" },
	{ "VALUES (1), (2)", CLASSIFY_READ, "" },
	{ "TABLE t", CLASSIFY_READ, "" },
	{ "SELECT a ->> 'b' FROM t WHERE c BETWEEN 1 AND 2 AND d IS DISTINCT FROM e AND f IN (1, "
	  "2) "
	  "AND g = ANY ($1) AND h SIMILAR TO 'x' AND i ILIKE 'z'",
	  CLASSIFY_READ, "" },
	{ "SELECT extract(year FROM now()), substring('a' FROM 1), x AT TIME ZONE 'utc', trim(both "
	  "'a' "
	  "FROM 'b'), current_user, '1'::int, '{}'::text[], interval '1 day' FROM t",
	  CLASSIFY_READ, "" },
	{ "SELECT a[1], (b).c, ARRAY[1], ROW(1), CASE WHEN a THEN 1 END, EXISTS (SELECT 1), "
	  "coalesce(a, b), greatest(1, 2) FROM t TABLESAMPLE system (1), LATERAL (SELECT 1) AS l",
	  CLASSIFY_READ, "" },
	{ "WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
	  CLASSIFY_READ, "" },
	{ "SELECT sum(x) OVER (PARTITION BY y ORDER BY z ROWS 1 PRECEDING) FROM t", CLASSIFY_READ,
	  "" },
	{ "EXPLAIN SELECT 1", CLASSIFY_READ, "" },
	{ "COPY t TO STDOUT", CLASSIFY_READ, "" },
	{ "COPY (SELECT 1) TO STDOUT WITH (FORMAT csv)", CLASSIFY_READ, "" },
	{ "BEGIN READ ONLY", CLASSIFY_READ_ONLY, "" },
	{ "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", CLASSIFY_READ_ONLY, "" },
	{ "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", CLASSIFY_TRANSACTION, "" },
	{ "BEGIN READ ONLY; SELECT 1", CLASSIFY_TRANSACTION, "" },
	{ "BEGIN", CLASSIFY_BEGIN, "" },
	{ "BEGIN ISOLATION LEVEL REPEATABLE READ", CLASSIFY_BEGIN, "" },
	{ "BEGIN ISOLATION LEVEL SERIALIZABLE", CLASSIFY_TRANSACTION, "" },
	{ "BEGIN; SELECT 1", CLASSIFY_TRANSACTION, "" },
	{ "BEGIN READ WRITE", CLASSIFY_TRANSACTION, "" },
	{ "COMMIT", CLASSIFY_TRANSACTION, "" },
	{ "INSERT INTO t VALUES (1)", CLASSIFY_CHANGES, "InsertStmt" },
	{ "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", CLASSIFY_CHANGES,
	  "MergeStmt" },
	{ "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", CLASSIFY_CHANGES, "DeleteStmt" },
	{ "EXPLAIN ANALYZE UPDATE t SET a = 1", CLASSIFY_CHANGES, "UpdateStmt" },
	{ "COPY (INSERT INTO t VALUES (1) RETURNING a) TO STDOUT", CLASSIFY_CHANGES, "InsertStmt" },
	{ "COPY t FROM STDIN", CLASSIFY_STATEMENT, "COPY FROM" },
	{ "COPY t TO PROGRAM 'cat'", CLASSIFY_STATEMENT, "COPY to a file" },
	{ "COPY t TO '/tmp/x'", CLASSIFY_STATEMENT, "COPY to a file" },
	{ "SELECT * INTO u FROM t", CLASSIFY_INTO, "" },
	{ "SELECT * FROM t FOR SHARE", CLASSIFY_LOCKS, "" },
	{ "SELECT * FROM (SELECT * FROM t FOR UPDATE) AS s", CLASSIFY_LOCKS, "" },
	{ "SELECT 1 UNION SELECT 2 FOR UPDATE", CLASSIFY_LOCKS, "" },
	{ "SELECT nextval('s')", CLASSIFY_FUNCTION, "nextval" },
	{ "SELECT (SELECT f(1))", CLASSIFY_FUNCTION, "f" },
	{ "SELECT 1 ORDER BY nextval('s')", CLASSIFY_FUNCTION, "nextval" },
	{ "SELECT 1 LIMIT setval('s', 1)", CLASSIFY_FUNCTION, "setval" },
	{ "SELECT count(*) FILTER (WHERE f(1)) FROM t", CLASSIFY_FUNCTION, "f" },
	{ "SELECT * FROM f(1)", CLASSIFY_FUNCTION, "f" },
	{ "SELECT pg_advisory_lock(1)", CLASSIFY_FUNCTION, "pg_advisory_lock" },
	{ "SELECT pg_backend_pid()", CLASSIFY_FUNCTION, "pg_backend_pid" },
	{ "SELECT set_config('a.b', 'c', false)", CLASSIFY_FUNCTION, "set_config" },
	{ "SELECT pg_catalog.lower('A')", CLASSIFY_READ, "" },
	{ "SELECT mine.lower('A')", CLASSIFY_FUNCTION, "lower" },
	{ "SELECT a OPERATOR(mine.+) b", CLASSIFY_OPERATOR, "+" },
	{ "SELECT a OPERATOR(pg_catalog.+) b", CLASSIFY_READ, "" },
	{ "SELECT a <-=> b", CLASSIFY_OPERATOR, "<-=>" },
	{ "SELECT 'a'::mood", CLASSIFY_TYPE, "mood" },
	{ "SELECT * FROM pg_stat_activity", CLASSIFY_RELATION, "pg_stat_activity" },
	{ "SELECT * FROM pg_sequences", CLASSIFY_RELATION, "pg_sequences" },
	{ "SELECT * FROM pg_temp.t", CLASSIFY_RELATION, "pg_temp" },
	{ "SELECT * FROM pg_class", CLASSIFY_READ, "" },
	{ "SHOW TimeZone", CLASSIFY_STATEMENT, "VariableShowStmt" },
	{ "SET a = 1", CLASSIFY_STATEMENT, "VariableSetStmt" },
	{ "LISTEN c", CLASSIFY_STATEMENT, "ListenStmt" },
	{ "DO 'BEGIN END'", CLASSIFY_STATEMENT, "DoStmt" },
	{ "CALL p()", CLASSIFY_STATEMENT, "CallStmt" },
	{ "DECLARE c CURSOR WITH HOLD FOR SELECT 1", CLASSIFY_STATEMENT, "DeclareCursorStmt" },
	{ "EXECUTE p(1)", CLASSIFY_STATEMENT, "ExecuteStmt" },
	{ "CREATE TEMP TABLE t AS SELECT 1", CLASSIFY_STATEMENT, "CreateTableAsStmt" },
	{ "SELECT FROM WHERE", CLASSIFY_UNPARSABLE, "" },
	{ "SELECT 'no end", CLASSIFY_UNPARSABLE, "" },
};

static void
what_is_not_known_to_read_writes(void **state)
{
	struct classify c;

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		classify(slice_str(vectors[i].sql), NULL, &c);
		if (c.reason != vectors[i].reason || strcmp(c.what, vectors[i].what) != 0)
			print_error("%s: %s %s\n", vectors[i].sql, classify_reason_name(c.reason),
				    c.what);
		assert_int_equal(c.reason, vectors[i].reason);
		assert_string_equal(c.what, vectors[i].what);
	}
}

/* What the catalog of an application says: safe, or (capitals) one of PostgreSQL's that is not. */
static const char *const names[] = {
	"fmine", "fnextval2", "Flower", "o<=>", "O=", "tmood", "Tpoint"
};

static const struct {
	const char *sql, *what; /* "": it reads */
} by_catalog[] = {
	{ "SELECT mine(1)", "" },
	{ "SELECT public.mine(1)", "" },
	{ "SELECT db.public.mine(1)", "" },
	{ "SELECT pg_catalog.mine(1)", "mine" },
	{ "SELECT mine(yours())", "yours" },
	{ "SELECT * FROM mine() AS m", "" },
	{ "SELECT upper(a)", "" },
	{ "SELECT lower(a)", "lower" },
	{ "SELECT pg_catalog.lower(a)", "" },
	{ "SELECT public.lower(a)", "lower" },
	{ "SELECT public.upper(a)", "upper" },
	{ "SELECT nextval('s')", "nextval" },
	{ "SELECT a <=> b", "" },
	{ "SELECT a OPERATOR(public.<=>) b", "" },
	{ "SELECT a <==> b", "<==>" },
	{ "SELECT a = b", "=" },
	{ "SELECT a OPERATOR(pg_catalog.=) b", "" },
	{ "SELECT a::mood", "" },
	{ "SELECT '{}'::public.mood[]", "" },
	{ "SELECT a::point", "point" },
	{ "SELECT a::tab", "tab" },
	{ "SELECT fmine(1)", "fmine" },
};

static void
what_the_catalog_knows_reads(void **state)
{
	struct classify_catalog *catalog = classify_catalog_new();
	struct classify c;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		classify_catalog_add(catalog, slice_str(names[i]));
	classify_catalog_finish(catalog);
	for (size_t i = 0; i < sizeof(by_catalog) / sizeof(by_catalog[0]); i++) {
		classify(slice_str(by_catalog[i].sql), catalog, &c);
		if (strcmp(c.what, by_catalog[i].what) != 0)
			print_error("%s: %s\n", by_catalog[i].sql, c.what);
		assert_string_equal(c.what, by_catalog[i].what);
		assert_int_equal(classify_is_read(c.reason), by_catalog[i].what[0] == '\0');
		assert_int_equal(classify_is_of_names(c.reason), by_catalog[i].what[0] != '\0');
	}
	classify_catalog_free(catalog);
}

/* A server may answer anything: rows that are none, and too many of them. */
static void
a_catalog_is_bounded(void **state)
{
	struct classify_catalog *a = classify_catalog_new(), *b = classify_catalog_new();
	char row[80];

	(void)state;
	classify_catalog_add(a, slice_of("f\0x", 3));
	classify_catalog_add(a, slice_str("f"));
	memset(row, 'f', sizeof(row));
	classify_catalog_add(a, slice_of(row, 65));
	classify_catalog_add(a, slice_of(row, 64));
	row[63] = '\0';
	classify_catalog_finish(a);
	assert_true(classify_catalog_is_safe(a, CLASSIFY_A_FUNCTION, row));
	assert_false(classify_catalog_is_safe(a, CLASSIFY_A_FUNCTION, ""));
	assert_false(classify_catalog_is_safe(a, CLASSIFY_A_TYPE, row));
	for (int i = 0; i < 8001; i++) {
		snprintf(row, sizeof(row), "ff%d", i);
		classify_catalog_add(b, slice_str(row));
	}
	classify_catalog_finish(b);
	assert_false(classify_catalog_is_safe(b, CLASSIFY_A_FUNCTION, "f1"));
	assert_false(classify_catalog_equal(a, b));
	assert_true(classify_catalog_equal(b, b));
	classify_catalog_free(a);
	classify_catalog_free(b);
}

/* How a text gets deep: n times `open`, a column, n times `close`. */
static const struct {
	const char *begin, *open, *close;
	bool is_flat; /* however long it is */
} depths[] = {
	{ "", "1 + ", "", false },
	{ "", "(", ")", false },
	{ "", "NOT ", "", false },
	{ "", "(SELECT ", ")", false },
	{ "", "a[", "]", false },
	{ "", "", "::int", false },
	{ "", "", " UNION SELECT 1", false },
	{ "", "", ", 2 UNION SELECT 1", false },
	{ "", "lower(", ")", false },
	{ "", "- ", "", false },
	{ "", "CASE WHEN ", " THEN 1 END", false },
	{ "", "CASE WHEN b AND ", " THEN 1 END", false },
	{ "", "(SELECT b END, (SELECT ", "))", false },
	{ "", "(b).and + ", "", false },
	{ "", "(b).end + ", "", false },
	{ "* FROM ", "(", " JOIN b ON c)", false },
	{ "* FROM ", "", " JOIN b ON c AND d", false },
	{ "", "", " COLLATE \"C\"", false },
	{ "", "1, ", "", true },
	{ "1 WHERE ", "b = 1 AND ", "", true },
	{ "1 WHERE ", "b = 1 AND c = 2 OR ", "", true },
	{ "", "CASE WHEN b THEN c END, ", "", true },
	{ "", "lower(b) AS and, ", "", true },
};

static enum classify_reason
of_depth(size_t i, unsigned n)
{
	struct buf sql = { 0 };
	struct classify c;

	buf_printf(&sql, "SELECT %s", depths[i].begin);
	for (unsigned k = 0; k < n; k++)
		buf_str(&sql, depths[i].open);
	buf_str(&sql, "a");
	for (unsigned k = 0; k < n; k++)
		buf_str(&sql, depths[i].close);
	if (sql.n > CLASSIFY_TEXT_MAX)
		sql.n = CLASSIFY_TEXT_MAX;
	classify(buf_view(&sql), NULL, &c);
	buf_fini(&sql);
	return c.reason;
}

/* libpg_query would use up the stack. */
static void
what_is_deep_is_not_parsed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		enum classify_reason few = of_depth(i, 20), many = of_depth(i, 20000);

		if (few == CLASSIFY_TOO_LONG || (many == CLASSIFY_TOO_LONG) == depths[i].is_flat)
			print_error("%s, %s: %s, %s\n", depths[i].open, depths[i].close,
				    classify_reason_name(few), classify_reason_name(many));
		assert_int_not_equal(few, CLASSIFY_TOO_LONG);
		assert_int_equal(many != CLASSIFY_TOO_LONG, depths[i].is_flat);
	}
}

static void
length_is_bounded(void **state)
{
	struct buf sql = { 0 };
	struct classify c;

	(void)state;
	buf_str(&sql, "SELECT 1");
	while (sql.n <= CLASSIFY_TEXT_MAX)
		buf_str(&sql, "        ");
	classify(buf_view(&sql), NULL, &c);
	assert_int_equal(c.reason, CLASSIFY_TOO_LONG);
	classify(slice_of(sql.p, CLASSIFY_TEXT_MAX), NULL, &c);
	assert_int_equal(c.reason, CLASSIFY_READ);
	buf_fini(&sql);
}

/* The text may end anywhere, and holds no NUL. */
static void
a_text_that_is_cut_is_looked_at_no_further(void **state)
{
	static const char sql[] = "SELECT 1; DELETE FROM t";
	struct classify c;

	(void)state;
	for (size_t n = 0; n < sizeof(sql); n++) {
		classify(slice_of(sql, n), NULL, &c);
		assert_true(c.reason == CLASSIFY_READ || c.reason == CLASSIFY_UNPARSABLE ||
			    c.reason == CLASSIFY_CHANGES);
		if (n == sizeof(sql) - 1)
			assert_int_equal(c.reason, CLASSIFY_CHANGES);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_known_to_read_writes),
		cmocka_unit_test(what_the_catalog_knows_reads),
		cmocka_unit_test(a_catalog_is_bounded),
		cmocka_unit_test(what_is_deep_is_not_parsed),
		cmocka_unit_test(length_is_bounded),
		cmocka_unit_test(a_text_that_is_cut_is_looked_at_no_further),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
