/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/sqleffects.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/cost.h"

#include "tests/unit/unit.h"

static const struct {
	unsigned effect;
	const char *name;
} names[] = {
	{ EFFECT_SETTINGS, "settings" }, { EFFECT_SETTINGS_ALL, "all" },
	{ EFFECT_UNNAMED, "unnamed" },   { EFFECT_LISTEN, "listen" },
	{ EFFECT_ADVISORY, "advisory" }, { EFFECT_TEMP, "temp" },
	{ EFFECT_HOLD, "hold" },         { EFFECT_PREPARE, "prepare" },
	{ EFFECT_LOAD, "load" },         { EFFECT_SESSION, "session" },
	{ EFFECT_CLEAR, "clear" },       { EFFECT_RESET_ALL, "reset" },
	{ EFFECT_CODE, "code" },         { EFFECT_UNKNOWN, "unknown" },
	{ EFFECT_MEANING, "meaning" },   { EFFECT_SCHEMA, "schema" },
};

/* What the text does, as text: "settings all: search_path role". */
static const char *
said(struct buf *b, struct slice sql)
{
	struct buf found = { 0 };
	struct slice rest;
	unsigned effects = sqleffects(sql);

	buf_clear(b);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (effects & names[i].effect)
			buf_printf(b, "%s%s", b->n > 0 ? " " : "", names[i].name);
	}
	sqleffects_names(sql, &found);
	assert_int_equal((effects & EFFECT_SETTINGS) != 0, found.n > 0);
	if (found.n > 0)
		buf_str(b, ":");
	for (rest = buf_view(&found); rest.n > 0;) {
		struct slice name = slice_cut(&rest, '\0');

		buf_printf(b, " %.*s", (int)name.n, name.p);
	}
	buf_fini(&found);
	return buf_text(b);
}

struct example {
	const char *sql, *said;
};

static void
check(const struct example *v, size_t n)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < n; i++) {
		/* exactly as long as the text: what is read beyond it is seen */
		char *copy = malloc(strlen(v[i].sql) + 1);
		size_t length = strlen(v[i].sql);

		assert_non_null(copy);
		memcpy(copy, v[i].sql, length);
		if (strcmp(said(&b, slice_of(copy, length)), v[i].said) != 0)
			fail_msg("%s\n  said %s\n  not  %s", v[i].sql, buf_text(&b), v[i].said);
		free(copy);
	}
	buf_fini(&b);
}

#define CHECK(v) check(v, sizeof(v) / sizeof((v)[0]))

static void
ordinary_statements_do_nothing(void **state)
{
	static const struct example v[] = {
		{ "", "" },
		{ " ", "" },
		{ ";", "" },
		{ "SELECT 1", "" },
		{ "SELECT abalance FROM pgbench_accounts WHERE aid = $1", "" },
		{ "UPDATE t SET work_mem = 1 WHERE reset = 2", "" },
		{ "INSERT INTO listen VALUES ('SET x = 1')", "" },
		{ "BEGIN; UPDATE t SET a = a + 1; COMMIT", "" },
		{ "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", "" },
		{ "SELECT 'a;SET x = 1'", "" },
		{ "SELECT $$;SET x = 1;$$", "" },
		{ "SELECT $a$;LISTEN $$ x $b$;LISTEN x$a$", "" },
		{ "SELECT \";SET x = 1\"", "" },
		{ "SELECT 1 -- ; SET x = 1", "" },
		{ "SELECT 1 /* ; SET x = 1 */", "" },
		{ "SELECT 1 /* /* */ ; SET x = 1 */", "" },
		{ "SELECT 'it''s;SET x = 1'", "" },
		{ "SELECT E'it\\';SET x = 1'", "" },
		{ "SELECT e'a'\n  'b\\';SET x = 1'", "" },
		{ "SELECT a$b$;", "" },
		{ "DECLARE c CURSOR FOR SELECT 1", "" },
		{ "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", "" },
		{ "FETCH ALL FROM c", "" },
		{ "NOTIFY x, 'SET'", "" },
		{ "SELECT temp, temporary, hold FROM t", "" },
		{ "ALTER ROLE r SET search_path TO x", "" },
		{ "ALTER SYSTEM SET work_mem = '4MB'", "" },
		{ "EXECUTE p(1)", "" },
		{ "SHOW search_path", "" },
		{ "SELECT * FROM pg_settings", "" },
		{ "SELECT pg_notify('set_config', 'x')", "" },
		{ "DISCARD PLANS", "" },
		{ "DISCARD SEQUENCES", "" },
		{ "PREPARE TRANSACTION 'gid'", "" },
		{ "COMMIT PREPARED 'gid'", "" },
		{ "SELECT x'27', b'1', n'y', 1e5, 1.5, .5", "" },
		{ "GRANT EXECUTE ON FUNCTION set_config TO r", "" },
		/* what the server refuses whole */
		{ "SELECT 'not closed; SET x = 1", "" },
		{ "SELECT /* not closed; SET x = 1", "" },
		{ "SELECT $$ not closed; SET x = 1", "" },
		{ "SELECT \"not closed; SET x = 1", "" },
	};

	(void)state;
	CHECK(v);
}

static void
settings_have_names(void **state)
{
	static const struct example v[] = {
		{ "SET search_path = a, b", "settings meaning: search_path" },
		{ "set Search_Path to 'x'", "settings meaning: search_path" },
		{ " \t\n SET work_mem='4MB';", "settings: work_mem" },
		{ "/* a */ SET -- b\n work_mem TO 1", "settings: work_mem" },
		{ "SET SESSION work_mem = 1", "settings: work_mem" },
		{ "SET LOCAL work_mem = 1", "" },
		{ "SET LOCAL TimeZone = 'UTC'", "meaning" },
		{ "SET LOCAL TIME ZONE 'UTC'", "meaning" },
		{ "SET LOCAL datestyle TO DEFAULT", "meaning" },
		{ "SET LOCAL search_path = a", "meaning" },
		{ "SET LOCAL SCHEMA 'a'", "meaning" },
		{ "SET LOCAL ROLE bob", "meaning" },
		{ "SELECT set_config('TimeZone', $1, true)", "meaning" },
		{ "SELECT set_config('search_path', $1, true)", "meaning" },
		{ "SET TRANSACTION READ ONLY", "" },
		{ "SET CONSTRAINTS ALL DEFERRED", "" },
		{ "SET app.tenant = '42'", "settings: app.tenant" },
		{ "SET \"App\".\"Tenant\" = '42'", "settings: app.tenant" },
		{ "SET \"app.tenant\" = '42'", "settings: app.tenant" },
		{ "SET a.b.c = 1", "settings: a.b.c" },
		{ "SET session.user = 1", "settings: session.user" },
		{ "SET local.user = 1", "settings: local.user" },
		{ "SET LOCAL app.tenant = 1", "" },
		{ "SET TIME ZONE 'UTC'", "settings meaning: timezone" },
		{ "SET TIME ZONE -5", "settings meaning: timezone" },
		{ "SET TIME ZONE LOCAL", "settings all meaning: timezone" },
		{ "SET TIME ZONE INTERVAL '1' HOUR", "settings all meaning: timezone" },
		{ "SET NAMES 'utf8'", "settings meaning: client_encoding" },
		{ "SET NAMES DEFAULT", "settings all meaning: client_encoding" },
		{ "SET SCHEMA 'x'", "settings meaning: search_path" },
		{ "SET ROLE bob", "settings meaning: role" },
		{ "SET ROLE NONE", "settings meaning: role" },
		{ "SET SESSION ROLE bob", "settings meaning: role" },
		{ "SET SESSION AUTHORIZATION bob", "settings meaning: role session_authorization" },
		{ "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
		  "settings: default_transaction_deferrable default_transaction_isolation "
		  "default_transaction_read_only" },
		{ "SET XML OPTION DOCUMENT", "settings all meaning: xmloption" },
		{ "SET x TO DEFAULT", "settings all: x" },
		{ "SET x = default", "settings all: x" },
		{ "SET x = 'default'", "settings: x" },
		{ "SET U&\"x\" = 1", "all unnamed" },
		{ "SET \"a\"\"b\" = 1", "all unnamed" },
		{ "SET dynamic_library_path = 'x'", "settings session: dynamic_library_path" },
		{ "SET a = 1; SET b = 2; SET A = 3", "settings: a b" },
		{ "SELECT 1; SET a = 1", "settings: a" },
		{ "SELECT 'x'; SET a = 1", "settings: a" },
		{ "SELECT $$x$$; SET a = 1", "settings: a" },
		{ "SELECT \"x\"; SET a = 1", "settings: a" },
		{ "SELECT 1 /* x */; SET a = 1", "settings: a" },
		{ "SELECT 1 -- x\n; SET a = 1", "settings: a" },
		{ "SELECT $1; SET a = 1", "settings: a" },
		{ "SELECT 1 - 2 / 3; SET a = 1", "settings: a" },
		{ ";;SET a = 1", "settings: a" },
		{ "RESET work_mem", "settings all: work_mem" },
		{ "RESET app.tenant", "settings all: app.tenant" },
		{ "RESET ROLE", "settings all meaning: role" },
		{ "RESET SESSION AUTHORIZATION",
		  "settings all meaning: role session_authorization" },
		{ "RESET TIME ZONE", "settings all meaning: timezone" },
		{ "RESET ALL", "all reset" },
		{ "DISCARD ALL", "all clear reset" },
		{ "UPDATE pg_settings SET setting = 'x' WHERE name = 'y'", "all" },
		{ "UPDATE pg_catalog.pg_settings SET setting = 'x'", "all" },
	};

	(void)state;
	CHECK(v);
}

static void
set_config_is_read(void **state)
{
	static const struct example v[] = {
		{ "SELECT set_config('app.t', '1', false)", "settings: app.t" },
		{ "SELECT pg_catalog.Set_Config('app.t', '1', false)", "settings: app.t" },
		{ "SELECT \"set_config\"('app.t', '1', 'f')", "settings: app.t" },
		{ "SELECT set_config('app.t', $1, false)", "settings: app.t" },
		{ "SELECT set_config('app.t', '1', true)", "" },
		{ "SELECT set_config($1, $2, true)", "meaning" },
		{ "SELECT set_config($1, $2, 'on'::bool)", "meaning" },
		{ "SELECT set_config('app.t', '1', $1)", "settings: app.t" },
		{ "SELECT set_config('app.t', '1', not true)", "settings: app.t" },
		{ "SELECT set_config('app.t', '1', true and false)", "settings: app.t" },
		{ "SELECT set_config('app.t'::text, '1'::text, false)", "settings: app.t" },
		{ "SELECT set_config($1, $2, false)", "all unnamed" },
		{ "SELECT set_config('app.' || x, 'y', false)", "all unnamed" },
		{ "SELECT set_config('app.' 'x', 'y', false)", "all unnamed" },
		{ "SELECT set_config('app''x', 'y', false)", "all unnamed" },
		{ "SELECT set_config(E'app.x', 'y', false)", "settings: app.x" },
		{ "SELECT set_config(E'app\\x2ex', 'y', false)", "all unnamed" },
		{ "SELECT set_config(f('a', 'b'), g(array[1,2]), false)", "all unnamed" },
		{ "SELECT set_config('a', f(1, 2), true)", "" },
		{ "SELECT set_config('work_mem', NULL, false)", "settings all: work_mem" },
		{ "SELECT set_config('a', '1', true), set_config('b', '1', false)", "settings: b" },
		{ "SELECT set_config('a', '1'", "all unnamed" },
		{ "SELECT set_config(", "all unnamed" },
		{ "SELECT set_config /* x */ ('a', '1', false)", "settings: a" },
		{ "SELECT * FROM t WHERE set_config('a', '1', false) = '1'", "settings: a" },
		{ "SELECT set_config(name => 'a', value => 'b', is_local => true)", "all unnamed" },
	};

	(void)state;
	CHECK(v);
}

static void
what_pins_is_seen(void **state)
{
	static const struct example v[] = {
		{ "LISTEN x", "listen" },
		{ "listen \"x\"", "listen" },
		{ "UNLISTEN *", "clear" },
		{ "SELECT pg_advisory_lock(1)", "advisory" },
		{ "SELECT pg_catalog.PG_TRY_ADVISORY_LOCK_SHARED(1)", "advisory" },
		{ "SELECT pg_advisory_xact_lock(1)", "" },
		{ "SELECT pg_try_advisory_xact_lock_shared(1)", "" },
		{ "SELECT pg_advisory_unlock(1)", "clear" },
		{ "SELECT pg_advisory_unlock_all()", "clear" },
		{ "SELECT \"pg_advisory_lock\"(1)", "advisory" },
		{ "CREATE TEMP TABLE t (a int)", "temp" },
		{ "create temporary table t as select 1", "temp" },
		{ "CREATE LOCAL TEMP TABLE t (a int)", "temp" },
		{ "CREATE GLOBAL TEMPORARY TABLE t (a int)", "temp" },
		{ "CREATE /* x */ TEMP -- y\n VIEW v AS SELECT 1", "temp" },
		{ "CREATE OR REPLACE TEMP VIEW v AS SELECT 1", "temp" },
		{ "CREATE TABLE pg_temp.t (a int)", "temp schema" },
		{ "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
		  "temp schema" },
		{ "SELECT 1 INTO TEMP t", "temp" },
		{ "SELECT 1 AS a INTO LOCAL TEMPORARY TABLE t", "temp" },
		{ "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", "temp" },
		{ "DROP TABLE t", "clear" },
		{ "DISCARD TEMP", "clear" },
		{ "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "hold" },
		{ "DECLARE c SCROLL CURSOR with hold FOR SELECT 1", "hold" },
		{ "CLOSE c", "clear" },
		{ "PREPARE p AS SELECT 1", "prepare" },
		{ "PREPARE transaction AS SELECT 1", "prepare" },
		{ "DEALLOCATE p", "clear" },
		{ "DEALLOCATE ALL", "clear reset" },
		{ "DEALLOCATE PREPARE ALL", "clear reset" },
		{ "LOAD 'auto_explain'", "load" },
		{ "LOAD $$x$$", "load" },
		{ "SELECT dblink_connect('c', 'x')", "session" },
		{ "SELECT pg_replication_origin_session_setup('x')", "session" },
		{ "BEGIN; LISTEN a; CREATE TEMP TABLE t (a int); END", "listen temp" },
	};

	(void)state;
	CHECK(v);
}

static void
a_change_of_the_schema_is_seen(void **state)
{
	static const struct example v[] = {
		{ "CREATE TABLE temp (temporary int)", "schema" },
		{ "create unlogged table t (a int)", "schema" },
		{ "CREATE FOREIGN TABLE t (a int) SERVER s", "schema" },
		{ "CREATE OR REPLACE RECURSIVE VIEW v (n) AS SELECT 1", "schema" },
		{ "CREATE MATERIALIZED VIEW v AS SELECT 1", "schema" },
		{ "CREATE FUNCTION f() RETURNS int SET search_path TO x AS $$ SET y = 1 $$",
		  "schema" },
		{ "ALTER TABLE t ADD c int", "schema" },
		{ "ALTER TYPE t ADD VALUE 'x'", "schema" },
		{ "alter /* */ extension e UPDATE", "schema" },
		{ "CREATE SCHEMA IF NOT EXISTS s", "schema" },
		{ "BEGIN; ALTER DOMAIN d DROP NOT NULL", "schema" },
		{ "DO $$ BEGIN EXECUTE 'CREATE TABLE t (a int)'; END $$", "code schema" },
		{ "DROP TABLE t; CREATE TABLE t (a int)", "clear schema" },
		{ "CREATE INDEX i ON t (a)", "" },
		{ "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "" },
		{ "CREATE ROLE r", "" },
		{ "CREATE TRIGGER t BEFORE INSERT ON v EXECUTE FUNCTION f()", "" },
		{ "CREATE TEMP TABLE t (a int)", "temp" },
		{ "CREATE \"table\"", "" },
		{ "CREATE", "" },
		{ "ALTER ROLE r SET x = 1", "" },
		{ "SELECT 'CREATE TABLE t (a int)'", "" },
		{ "SELECT \"create\", alter FROM t", "" },
	};

	(void)state;
	CHECK(v);
}

static void
the_body_of_do_is_read(void **state)
{
	static const struct example v[] = {
		{ "CALL f(1)", "code" },
		{ "DO $$ BEGIN NULL; END $$", "code" },
		{ "DO LANGUAGE plpgsql $$ BEGIN PERFORM set_config('a.b', '1', false); END $$",
		  "settings code: a.b" },
		{ "DO $$ BEGIN EXECUTE 'LISTEN x'; END $$", "listen code" },
		{ "DO $$ BEGIN EXECUTE 'SET a.b = 1'; END $$", "settings code: a.b" },
		{ "DO 'BEGIN PERFORM pg_advisory_lock(1); END'", "advisory code" },
		{ "DO 'BEGIN PERFORM set_config(''a.b'', ''1'', false); END'", "all unnamed code" },
		{ "DO $$ BEGIN LOAD := 1; END $$", "code" },
		{ "DO $$ BEGIN EXECUTE 'DO $x$ BEGIN EXECUTE ''LOAD $y$z$y$''; END $x$'; END $$",
		  "load code" },
		{ "DO $a$ $b$ $c$ $d$ $e$ x $e$ $d$ $c$ $b$ $a$", "code unknown" },
	};

	(void)state;
	CHECK(v);
}

static void
a_backslash_is_read_both_ways(void **state)
{
	static const struct example v[] = {
		{ "SELECT '\\'; SET a = 1; --'", "settings: a" },
		{ "SELECT '\\'; SELECT '; SET a = 1; --'", "settings: a" },
		{ "SELECT 'a' LIKE 'b' ESCAPE '\\'", "" },
		{ "SELECT 'a\\b', 'c\\\\'", "" },
		{ "SELECT '\\', $$'; SET a = 1; --$$", "settings: a" },
		{ "DO $x$ BEGIN EXECUTE '\\'; SET a = 1; --'; END $x$", "settings code: a" },
	};

	(void)state;
	CHECK(v);
}

static void
odd_texts_are_suspected(void **state)
{
	static const struct example v[] = {
		{ "SELECT U&\"\\0073et_config\"('a', '1', false)", "unknown" },
		{ "SELECT U&\"x\"", "" },
		{ "SELECT U&'\\';SET a = 1", "settings: a" },
		{ "SELECT 1e'\\';SET a = 1'", "" },
		{ "SELECT e'a' 'b\\';SET a = 1; --'", "settings: a" },
		{ "SET", "all unnamed" },
		{ "SET ;", "all unnamed" },
		{ "RESET", "all unnamed" },
		{ "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; LISTEN x)", "listen" },
	};

	(void)state;
	CHECK(v);
}

static void
every_beginning_of_a_text_can_be_read(void **state)
{
	static const char text[] =
	    "SET a.b = 'c'; SELECT set_config('x', E'\\'', false), $t$;$t$, U&\"\\0041\", 'a\\', "
	    "/* /* */ */ pg_advisory_lock(1); DO $$ 'LISTEN x' $$; DECLARE c CURSOR WITH HOLD";
	struct buf b = { 0 };

	(void)state;
	for (size_t n = 0; n <= sizeof(text) - 1; n++) {
		char *copy = malloc(n + 1);

		assert_non_null(copy);
		memcpy(copy, text, n);
		(void)said(&b, slice_of(copy, n));
		free(copy);
	}
	buf_fini(&b);
}

/* "SET a…a.b…b.b…b = 1", with so many letters in its first part, and in those behind it. */
static void
put_long_name(struct buf *text, struct buf *name, size_t first, size_t more, unsigned parts)
{
	for (size_t i = 0; i < first; i++)
		buf_u8(name, 'a');
	for (unsigned part = 1; part < parts; part++) {
		buf_u8(name, '.');
		for (size_t i = 0; i < more; i++)
			buf_u8(name, 'b');
	}
	buf_str(text, "SET ");
	buf_slice(text, buf_view(name));
	buf_str(text, " = 1");
}

static void
check_long_name(size_t first, size_t more, unsigned parts)
{
	struct buf text = { 0 }, name = { 0 }, found = { 0 };
	unsigned effects;

	put_long_name(&text, &name, first, more, parts);
	buf_u8(&name, '\0');
	effects = sqleffects(buf_view(&text));
	sqleffects_names(buf_view(&text), &found);
	if (name.n - 1 <= SQLEFFECTS_NAME_MAX) {
		assert_int_equal(effects, EFFECT_SETTINGS);
		assert_int_equal(found.n, name.n);
		assert_memory_equal(found.p, name.p, name.n);
	} else {
		assert_int_equal(effects, EFFECT_UNNAMED | EFFECT_SETTINGS_ALL);
		assert_int_equal(found.n, 0);
	}
	buf_fini(&text);
	buf_fini(&name);
	buf_fini(&found);
}

static void
a_name_fits_or_is_none(void **state)
{
	(void)state;
	for (size_t first = 1; first < 2 * SQLEFFECTS_NAME_MAX; first++)
		check_long_name(first, 0, 1);
	for (size_t first = SQLEFFECTS_NAME_MAX - 4; first < SQLEFFECTS_NAME_MAX + 4; first++) {
		for (size_t more = 1; more < 4; more++) {
			check_long_name(first, more, 2);
			check_long_name(first, more, 3);
		}
		check_long_name(first, 4096, 2);
		check_long_name(first, 4096, 16);
	}
	check_long_name(1, 1, SQLEFFECTS_NAME_MAX);
	check_long_name(1, 64, 64);
}

/* Texts that would be long to read if each part of them were read again for every other. */
static void
a_hostile_text_is_read_in_little_time(void **state)
{
	static const char *const parts[] = { "set_config(", "SET a%zu = 1;", "DO $$ DO '", "E'a'\n",
					     "/*",          "SET local",     "do " };
	struct buf found = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct buf text = { 0 };
		char part[64];

		for (size_t n = 0; text.n < 256 * 1024; n++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(part, sizeof(part), parts[i], n);
#pragma GCC diagnostic pop
			buf_str(&text, part);
		}
		(void)sqleffects(buf_view(&text));
		sqleffects_names(buf_view(&text), &found);
		assert_true(found.n <= SQLEFFECTS_NAMES_MAX);
		buf_fini(&text);
	}
	assert_true(found.failed);
	buf_fini(&found);
}

/* Of a text of 64 kB with `n` names, each set over and over. */
static double
cost_of_names(const void *arg, size_t n)
{
	struct buf text = { 0 }, found = { 0 };
	double ms;

	for (size_t i = 0; text.n < 65536; i++)
		buf_printf(&text, "SET %c%c=1;", 'a' + (int)(i % n / 26), 'a' + (int)(i % 26));
	ms = cost_ms();
	for (int i = 0; i < 5; i++)
		sqleffects_names(buf_view(&text), &found);
	ms = cost_ms() - ms;
	assert_int_equal(found.n, 3 * n);
	(void)arg;
	buf_fini(&text);
	buf_fini(&found);
	return ms;
}

static void
many_names_cost_little_more_than_few(void **state)
{
	double few = cost_least(cost_of_names, NULL, 26),
	       many = cost_least(cost_of_names, NULL, 26 * 26);

	(void)state;
	print_message("# texts of SET: %.1f ms with 26 names, %.1f ms with 676\n", few, many);
	assert_cost(many, 1, few);
}

/* Of a text of `n` bytes that are one part over and over. */
static double
cost_of_parts(const void *part, size_t n)
{
	struct buf text = { 0 };
	double ms;

	while (text.n < n)
		buf_str(&text, part);
	ms = cost_ms();
	(void)sqleffects(buf_view(&text));
	ms = cost_ms() - ms;
	buf_fini(&text);
	return ms;
}

/* Bytes that belong to words and begin none. */
static void
a_run_that_begins_no_word_is_read_once(void **state)
{
	static const char *const parts[] = { "$", "$a$", "$$1", "1$", "9", "1a" };

	(void)state;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		double few = cost_least(cost_of_parts, parts[i], 8 * 1024),
		       many = cost_least(cost_of_parts, parts[i], 64 * 1024);

		print_message("# %s: %.1f ms for 8 kB, %.1f ms for 64 kB\n", parts[i], few, many);
		assert_cost(many, 8, few > 1 ? 1 : few);
	}
}

static void
assert_list(const struct buf *list, const char *want)
{
	struct slice rest = buf_view(list), known = slice_str(want);

	while (known.n > 0) {
		struct slice one = slice_cut(&rest, '\0'), wanted = slice_cut(&known, ' ');

		assert_int_equal(one.n, wanted.n);
		assert_memory_equal(one.p, wanted.p, wanted.n);
		assert_true(sqleffects_is_named(buf_view(list), wanted));
	}
	assert_int_equal(rest.n, 0);
}

static void
lists_of_names_are_in_order(void **state)
{
	struct buf a = { 0 }, b = { 0 }, small = { .cap = 8 };

	(void)state;
	assert_false(sqleffects_is_named(buf_view(&a), slice_str("a")));
	sqleffects_put_names(&a, buf_view(&b));
	assert_list(&a, "");
	sqleffects_names(slice_str("SET m = 1; SET B = 1; SET mm = 1; SET z.z = 1; SET b = 2"), &a);
	assert_list(&a, "b m mm z.z");
	assert_false(sqleffects_is_named(buf_view(&a), slice_str("a")));
	assert_false(sqleffects_is_named(buf_view(&a), slice_str("mmm")));
	assert_false(sqleffects_is_named(buf_view(&a), slice_str("zz")));
	assert_true(sqleffects_is_named(buf_view(&a), slice_str("Z.Z")));
	sqleffects_put_names(&b, buf_view(&a));
	assert_list(&b, "b m mm z.z");
	buf_clear(&b);
	sqleffects_names(slice_str("SET a = 1; SET n = 1; SET mm = 1; SET zz = 1"), &b);
	sqleffects_put_names(&a, buf_view(&b));
	assert_list(&a, "a b m mm n z.z zz");
	/* no more than there is room for */
	sqleffects_put_names(&small, SLICE_LITERAL("a\0b\0c\0"));
	sqleffects_put_names(&small, SLICE_LITERAL("b\0d\0"));
	assert_list(&small, "a b c d");
	assert_false(small.failed);
	sqleffects_put_names(&small, SLICE_LITERAL("e\0"));
	assert_true(small.failed);
	buf_fini(&a);
	buf_fini(&b);
	buf_fini(&small);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_statements_do_nothing),
		cmocka_unit_test(settings_have_names),
		cmocka_unit_test(set_config_is_read),
		cmocka_unit_test(what_pins_is_seen),
		cmocka_unit_test(a_change_of_the_schema_is_seen),
		cmocka_unit_test(the_body_of_do_is_read),
		cmocka_unit_test(a_backslash_is_read_both_ways),
		cmocka_unit_test(odd_texts_are_suspected),
		cmocka_unit_test(a_name_fits_or_is_none),
		cmocka_unit_test(a_hostile_text_is_read_in_little_time),
		cmocka_unit_test(many_names_cost_little_more_than_few),
		cmocka_unit_test(a_run_that_begins_no_word_is_read_once),
		cmocka_unit_test(lists_of_names_are_in_order),
		cmocka_unit_test(every_beginning_of_a_text_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
