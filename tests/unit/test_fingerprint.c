/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/fingerprint.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

static const struct {
	const char *sql, *text;
} vectors[] = {
	{ "SELECT 1", "select ?" },
	{ "select\n  $1 -- why\n", "select ?" },
	{ "SELECT /* a /* b */ c */ 1;", "select ?" },
	{ "SELECT a FROM t WHERE b='it''s' AND c = 1.5e-3",
	  "select a from t where b = ? and c = ?" },
	{ "SELECT a FROM t WHERE b >= $1 and c IN (1,2,  3)",
	  "select a from t where b >= ? and c in (?, ...)" },
	{ "SELECT a FROM t WHERE c IN ($1)", "select a from t where c in (?)" },
	{ "INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'),(3,'z')",
	  "insert into t (a, b) values (?, ...)" },
	{ "INSERT INTO t VALUES (1, now()), (2, now())", "insert into t values (?, now())" },
	{ "INSERT INTO t VALUES (1, now()), (2, 3)", "insert into t values (?, now()), (?, ...)" },
	{ "SELECT \"Name\".\"a\"\"b\" FROM S.T", "select \"Name\".\"a\"\"b\" from s.t" },
	{ "SELECT E'a\\'b', U&'d\\0061', $q$ secret $q$, x'ff', 0x1F, 1_000",
	  "select ?, ..., x ?, ..." },
	{ "SELECT a::int, b->>'k', count(*), c[1], -5",
	  "select a::int, b ->> ?, count(*), c[?], - ?" },
	{ "BEGIN; SELECT 1; COMMIT;", "begin; select ?; commit" },
	{ "SELECT 'C:\\dir'", "select ?" },
	{ "SELECT U&\"d\\0061t\", \"A \"\"b\"", "select U&\"d\\0061t\", \"A \"\"b\"" },
	/* where the string ends hangs on standard_conforming_strings */
	{ "SELECT a, 'b\\' FROM t WHERE x = 'secret'", "select a, ? ..." },
	{ "SELECT '\\'", "select ?" },
	{ "", "" },
	{ ";", "" },
	{ "SELECT '", "select ?" },
	{ "ALTER USER u PASSWORD 'secret'", "alter user u password ?" },
	{ "UPDATE t SET a=a+1 WHERE b=:v", "update t set a = a + ? where b =:v" },
};

static void
put(const char *sql, bool is_cut, struct buf *out)
{
	size_t n = strlen(sql);
	/* exactly as long as it is */
	char *copy = malloc(n + 1);

	assert_non_null(copy);
	memcpy(copy, sql, n);
	(void)fingerprint_put(slice_of(copy, n), is_cut, out);
	free(copy);
}

static void
constants_comments_and_spelling_make_no_difference(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct buf b = { 0 };

		buf_str(&b, "before ");
		put(vectors[i].sql, false, &b);
		assert_string_equal(buf_text(&b) + 7, vectors[i].text);
		buf_fini(&b);
	}
}

static void
what_is_cut_says_so_and_is_bounded(void **state)
{
	struct buf b = { 0 }, sql = { 0 };

	(void)state;
	put("SELECT a, b FROM t WHERE x = 'abc", true, &b);
	assert_string_equal(buf_text(&b), "select a, b from t where x = ? ...");
	buf_clear(&b);
	buf_str(&sql, "SELECT ");
	for (int i = 0; i < 2000; i++)
		buf_printf(&sql, "column_%d, ", i);
	put(buf_text(&sql), false, &b);
	assert_true(b.n <= FINGERPRINT_MAX && b.n > FINGERPRINT_MAX - 50);
	assert_string_equal(buf_text(&b) + b.n - 4, " ...");
	buf_clear(&b);
	buf_clear(&sql);
	for (int i = 0; i < 2000; i++)
		buf_str(&sql, "((");
	for (int i = 0; i < 2000; i++)
		buf_str(&sql, "),");
	put(buf_text(&sql), false, &b);
	assert_true(b.n <= FINGERPRINT_MAX);
	buf_fini(&b);
	buf_fini(&sql);
}

static void
another_text_has_another_number(void **state)
{
	(void)state;
	assert_int_not_equal(fingerprint_id(SLICE_LITERAL("select a")),
			     fingerprint_id(SLICE_LITERAL("select b")));
	assert_int_equal(fingerprint_id(SLICE_LITERAL("")), UINT64_C(0xcbf29ce484222325));
	assert_int_equal(fingerprint_id(SLICE_LITERAL("a")), UINT64_C(0xaf63dc4c8601ec8c));
}

static void
tables_are_told_by_the_words_before_them(void **state)
{
	static const struct {
		const char *text, *tables;
	} all[] = {
		{ "select a from t", "t" },
		{ "select a from public.t, only s where x = ?", "public.t, s" },
		{ "select a from t as x join s.\"U\" on x.a = ? left join t on true",
		  "t, s.\"U\"" },
		{ "insert into t (a) select b from s on conflict (a) do update set a = ?", "t, s" },
		{ "update t set a = ? where b is distinct from c", "t" },
		{ "delete from only t where a = ?", "t" },
		{ "select extract(year from a), now() from t for update", "t" },
		{ "select a from generate_series(?, ...), t", "" },
		{ "select a from (select b from t where c = ?) x", "t" },
		{ "alter table if exists t add b int", "t" },
		{ "begin", "" },
		{ "select a from", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct buf b = { 0 };

		buf_str(&b, "t, ");
		fingerprint_put_tables(slice_str(all[i].text), &b);
		assert_string_equal(buf_text(&b) + 3, all[i].tables);
		buf_fini(&b);
	}
}

static void
names_are_found_as_words(void **state)
{
	struct slice text = SLICE_LITERAL("select \"Big\".a_b from big where x.id = ?");

	(void)state;
	assert_true(fingerprint_names(text, SLICE_LITERAL("BIG")));
	assert_true(fingerprint_names(text, SLICE_LITERAL("a_b")));
	assert_true(fingerprint_names(text, SLICE_LITERAL("select")));
	assert_false(fingerprint_names(text, SLICE_LITERAL("a")));
	assert_false(fingerprint_names(text, SLICE_LITERAL("b")));
	assert_false(fingerprint_names(text, SLICE_LITERAL("bi")));
	assert_false(fingerprint_names(text, SLICE_LITERAL("")));
	assert_false(fingerprint_names(SLICE_LITERAL(""), SLICE_LITERAL("x")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(constants_comments_and_spelling_make_no_difference),
		cmocka_unit_test(what_is_cut_says_so_and_is_bounded),
		cmocka_unit_test(another_text_has_another_number),
		cmocka_unit_test(tables_are_told_by_the_words_before_them),
		cmocka_unit_test(names_are_found_as_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
