/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/lint.h"

#include <stdio.h>

#include "migration/files/lint_int.h"

#include "tests/unit/unit.h"

/* "big" is large and busy, "tiny" is neither, all else is not there. */
static void
know_table(void *arg, struct slice table, struct lint_table *out)
{
	(void)arg;
	out->exists = slice_is(table, "big") || slice_is(table, "tiny");
	out->bytes = slice_is(table, "big") ? (int64_t)5 << 30 : 8192;
	out->writes = slice_is(table, "big") ? 120.5 : 0;
}

static void
know_column(void *arg, struct slice table, struct slice column, struct lint_column *out)
{
	(void)arg;
	(void)table;
	out->exists = true;
	out->calls = slice_is(column, "used") ? 42 : 0;
	out->is_not_null = slice_is(column, "checked");
	snprintf(out->type, sizeof(out->type), "character varying(20)");
}

static const struct lint_facts facts = { NULL, know_table, know_column, 150000 };

static void
put_finding(void *to, const struct lint_finding *f)
{
	struct buf *b = to, text = f->text;
	static const char *const names[] = { "info", "warn", "error" };

	assert_true(text.n > 0 && f->fix[0] != '\0');
	buf_printf(b, "%s%s %s", b->n > 0 ? "; " : "", names[f->severity], f->rule);
}

static const struct {
	const char *sql, *said;
	bool in_transaction;
} vectors[] = {
	{ "CREATE INDEX i ON big (a)", "error require-concurrent-index-creation", 1 },
	{ "CREATE INDEX i ON tiny (a)", "info require-concurrent-index-creation", 1 },
	{ "CREATE INDEX CONCURRENTLY i ON big (a)", "", 0 },
	{ "CREATE INDEX CONCURRENTLY ON big (a)", "error concurrent-index-without-a-name", 0 },
	{ "CREATE INDEX CONCURRENTLY i ON big (a)",
	  "error ban-concurrent-index-creation-in-transaction", 1 },
	{ "DROP INDEX i", "warn require-concurrent-index-deletion", 1 },
	{ "DROP INDEX CONCURRENTLY i", "", 0 },
	{ "DROP TABLE IF EXISTS big", "warn ban-drop-table", 1 },
	{ "TRUNCATE big CASCADE", "error ban-truncate-cascade", 1 },
	{ "TRUNCATE big", "", 1 },
	{ "DROP DATABASE d", "error ban-drop-database", 0 },
	{ "ALTER TABLE big ADD COLUMN a int", "", 1 },
	{ "ALTER TABLE big ADD COLUMN a int DEFAULT 1 NOT NULL", "", 1 },
	{ "ALTER TABLE big ADD COLUMN a timestamptz DEFAULT now()", "", 1 },
	{ "ALTER TABLE big ADD a int NOT NULL", "error adding-required-field", 1 },
	{ "ALTER TABLE IF EXISTS ONLY big ADD COLUMN IF NOT EXISTS a uuid DEFAULT "
	  "gen_random_uuid()",
	  "error adding-field-with-default", 1 },
	{ "ALTER TABLE tiny ADD COLUMN a float DEFAULT random()", "info adding-field-with-default",
	  1 },
	{ "ALTER TABLE big ADD COLUMN a bigserial", "error adding-serial-primary-key-field", 1 },
	{ "ALTER TABLE big ADD COLUMN a int GENERATED ALWAYS AS (b + 1) STORED",
	  "error add-column-generated-stored", 1 },
	{ "ALTER TABLE big ADD COLUMN a json", "warn add-column-json", 1 },
	{ "ALTER TABLE big ADD COLUMN a int REFERENCES x (i)",
	  "error adding-foreign-key-constraint", 1 },
	{ "ALTER TABLE big ADD COLUMN a int, ADD COLUMN b int NOT NULL",
	  "error adding-required-field", 1 },
	{ "ALTER TABLE big ADD CONSTRAINT c CHECK (a > 0)", "error constraint-missing-not-valid",
	  1 },
	{ "ALTER TABLE big ADD CONSTRAINT c CHECK (a > 0) NOT VALID", "", 1 },
	{ "ALTER TABLE big ADD CHECK (a > 0)", "error constraint-missing-not-valid", 1 },
	{ "ALTER TABLE big ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES x (i)",
	  "error adding-foreign-key-constraint", 1 },
	{ "ALTER TABLE big ADD FOREIGN KEY (a) REFERENCES x (i) NOT VALID", "", 1 },
	{ "ALTER TABLE big VALIDATE CONSTRAINT c", "", 1 },
	{ "ALTER TABLE big ADD CONSTRAINT c UNIQUE (a)", "error disallowed-unique-constraint", 1 },
	{ "ALTER TABLE big ADD CONSTRAINT c UNIQUE USING INDEX i", "", 1 },
	{ "ALTER TABLE big ADD CONSTRAINT c EXCLUDE USING gist (a WITH &&)",
	  "error add-exclusion-constraint", 1 },
	{ "ALTER TABLE big DROP COLUMN used", "error ban-drop-column", 1 },
	{ "ALTER TABLE big DROP a", "warn ban-drop-column", 1 },
	{ "ALTER TABLE big DROP CONSTRAINT c", "", 1 },
	{ "ALTER TABLE big RENAME COLUMN a TO b", "error renaming-column", 1 },
	{ "ALTER TABLE big RENAME a TO b", "error renaming-column", 1 },
	{ "ALTER TABLE big RENAME TO huge", "error renaming-table", 1 },
	{ "ALTER TABLE big RENAME CONSTRAINT a TO b", "", 1 },
	{ "ALTER TABLE big ALTER COLUMN a TYPE bigint", "error changing-column-type", 1 },
	{ "ALTER TABLE big ALTER a SET DATA TYPE varchar(30)", "", 1 },
	{ "ALTER TABLE big ALTER a TYPE text", "", 1 },
	{ "ALTER TABLE big ALTER a TYPE varchar(10)", "error changing-column-type", 1 },
	{ "ALTER TABLE big ALTER a TYPE text USING upper(a)", "error changing-column-type", 1 },
	{ "ALTER TABLE big ALTER COLUMN a SET NOT NULL", "error adding-not-nullable-field", 1 },
	{ "ALTER TABLE big ALTER COLUMN checked SET NOT NULL", "", 1 },
	{ "ALTER TABLE big ALTER COLUMN a DROP NOT NULL", "warn ban-drop-not-null", 1 },
	{ "ALTER TABLE big ALTER COLUMN a SET DEFAULT 1", "", 1 },
	{ "ALTER TABLE big SET LOGGED", "error table-rewrite", 1 },
	{ "ALTER TABLE big DETACH PARTITION p", "error require-concurrent-partition-detach", 1 },
	{ "ALTER SCHEMA s RENAME TO t", "error rename-schema", 1 },
	{ "VACUUM FULL big", "error table-rewrite", 0 },
	{ "VACUUM (FULL) big", "error table-rewrite", 0 },
	{ "VACUUM big", "", 0 },
	{ "CLUSTER big USING i", "error table-rewrite", 1 },
	{ "REINDEX TABLE big", "error require-concurrent-reindex", 1 },
	{ "REINDEX (CONCURRENTLY) TABLE big", "", 0 },
	{ "REFRESH MATERIALIZED VIEW v", "warn require-concurrent-refresh-materialized-view", 1 },
	{ "UPDATE big SET a = 1", "error backfill", 1 },
	{ "UPDATE big SET a = 1 WHERE b", "", 1 },
	{ "DELETE FROM big", "error backfill", 1 },
	{ "SET lock_timeout = 0", "error require-timeout-settings", 1 },
	{ "SET LOCAL lock_timeout TO '0'", "error require-timeout-settings", 1 },
	{ "SET lock_timeout = '2s'", "", 1 },
	{ "LOCK TABLE big", "error lock-table", 1 },
	{ "ALTER DOMAIN d ADD CHECK (VALUE > 0)", "warn ban-alter-domain-with-add-constraint", 1 },
	{ "SELECT 'CREATE INDEX i ON big (a)'", "", 1 },
};

static void
look(struct lint *l, struct buf *b, const char *sql, bool in_transaction)
{
	struct script s;
	struct err e = { 0 };

	buf_clear(b);
	l->facts = &facts;
	l->found = put_finding;
	l->to = b;
	assert_int_equal(split_script(slice_str(sql), &s, &e), 0);
	for (size_t i = 0; i < s.n; i++)
		lint_statement(l, &s.v[i], in_transaction);
	script_fini(&s);
}

static void
each_rule_finds_what_it_is_about_and_nothing_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct lint l = { 0 };
		struct buf b = { 0 };

		look(&l, &b, vectors[i].sql, vectors[i].in_transaction);
		if (strcmp(buf_text(&b), vectors[i].said) != 0)
			fail_msg("%s: %s", vectors[i].sql, buf_text(&b));
		buf_fini(&b);
		lint_fini(&l);
	}
}

static void
a_table_that_the_files_made_is_nobodys_yet(void **state)
{
	struct lint l = { 0 };
	struct buf b = { 0 };

	(void)state;
	look(&l, &b, "CREATE TABLE IF NOT EXISTS new (a int)", true);
	look(&l, &b,
	     "CREATE INDEX ON new (a); ALTER TABLE New ADD b int NOT NULL; UPDATE new SET a = 1;"
	     "ALTER TABLE new DROP b; DROP TABLE new",
	     true);
	assert_string_equal(buf_text(&b), "");
	buf_fini(&b);
	lint_fini(&l);
}

static void
a_comment_allows_a_rule_for_one_statement(void **state)
{
	struct lint l = { 0 };
	struct buf b = { 0 };

	(void)state;
	look(&l, &b,
	     "-- meridian: lint-ok require-concurrent-index-creation\n"
	     "CREATE INDEX i ON big (a); CREATE INDEX k ON big (a)",
	     true);
	assert_string_equal(buf_text(&b), "error require-concurrent-index-creation");
	buf_fini(&b);
	lint_fini(&l);
}

static void
types_that_grow_leave_rows_alone(void **state)
{
	(void)state;
	assert_true(lint_type_grows("character varying(20)", SLICE_LITERAL("varchar(20)")));
	assert_true(lint_type_grows("character varying(20)", SLICE_LITERAL("varchar")));
	assert_true(
	    lint_type_grows("character varying(20)", SLICE_LITERAL("character varying(21)")));
	assert_false(lint_type_grows("character varying(20)", SLICE_LITERAL("varchar(19)")));
	assert_false(lint_type_grows("character varying", SLICE_LITERAL("varchar(19)")));
	assert_true(lint_type_grows("numeric(10,2)", SLICE_LITERAL("decimal(12,2)")));
	assert_false(lint_type_grows("numeric(10,2)", SLICE_LITERAL("numeric(12,3)")));
	assert_false(lint_type_grows("integer", SLICE_LITERAL("bigint")));
	assert_true(lint_type_grows("integer", SLICE_LITERAL("INTEGER")));
	assert_false(lint_type_grows("text", SLICE_LITERAL("varchar(10)")));
}

static void
what_adds_and_what_takes_away(void **state)
{
	(void)state;
	assert_int_equal(lint_way(SLICE_LITERAL("CREATE TABLE a ()")), LINT_ADDS);
	assert_int_equal(lint_way(SLICE_LITERAL("ALTER TABLE a ADD COLUMN b int")), LINT_ADDS);
	assert_int_equal(lint_way(SLICE_LITERAL("ALTER TABLE a DROP COLUMN b")), LINT_TAKES);
	assert_int_equal(lint_way(SLICE_LITERAL("ALTER TABLE a ADD b int, DROP COLUMN c")),
			 LINT_ADDS | LINT_TAKES);
	assert_int_equal(lint_way(SLICE_LITERAL("DROP TABLE a")), LINT_TAKES);
	assert_int_equal(lint_way(SLICE_LITERAL("CREATE INDEX i ON a (b)")), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_finds_what_it_is_about_and_nothing_else),
		cmocka_unit_test(a_table_that_the_files_made_is_nobodys_yet),
		cmocka_unit_test(a_comment_allows_a_rule_for_one_statement),
		cmocka_unit_test(types_that_grow_leave_rows_alone),
		cmocka_unit_test(what_adds_and_what_takes_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
