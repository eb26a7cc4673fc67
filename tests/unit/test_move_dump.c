/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/move/dump.h"

#include <stdlib.h>
#include <string.h>

#include "migration/move/tools.h"

#include "tests/unit/unit.h"

static const char contents[] =
    ";\n; Archive created at 2026-11-21\n;     dbname: app\n;\n"
    "4; 2615 2200 SCHEMA - public pg_database_owner\n"
    "215; 1259 16386 TABLE public accounts app_owner\n"
    "3300; 2606 16409 FK CONSTRAINT public orders a key with blanks app_owner\n"
    "3211; 0 0 INDEX ATTACH public part_1_pkey app_owner\n"
    "12; 3079 13 EXTENSION - hstore \n"
    "no entry\n"
    "99; 1259 7";

static void
entries_are_read_one_after_another(void **state)
{
	static const struct {
		unsigned classid, oid;
		const char *type;
	} want[] = { { 2615, 2200, "SCHEMA" },
		     { 1259, 16386, "TABLE" },
		     { 2606, 16409, "FK CONSTRAINT" },
		     { 0, 0, "INDEX ATTACH" },
		     { 3079, 13, "EXTENSION" } };
	const char *at = contents;
	struct dump_entry entry;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_true(dump_next(&at, &entry));
		assert_int_equal(entry.classid, want[i].classid);
		assert_int_equal(entry.oid, want[i].oid);
		assert_string_equal(entry.type, want[i].type);
		assert_int_equal(entry.line[entry.length], '\n');
	}
	assert_false(dump_next(&at, &entry));
	assert_int_equal(*at, '\0');
}

static void
what_is_only_for_psql_is_blanked_out(void **state)
{
	struct buf b = { .cap = 0 };

	(void)state;
	buf_str(&b, "--\n-- dump\n--\n\n\\restrict kEy9\n\nSELECT '\\unrestrict other';\n"
		    "CREATE TABLE t();\n\n\\unrestrict kEy9\n");
	dump_plain(&b);
	assert_null(strstr(buf_text(&b), "\\restrict"));
	assert_null(strstr(buf_text(&b), "kEy9"));
	assert_non_null(strstr(buf_text(&b), "'\\unrestrict other'"));
	assert_non_null(strstr(buf_text(&b), "CREATE TABLE t();"));
	buf_fini(&b);
}

static void
a_script_without_them_stays_as_it_is(void **state)
{
	static const char *const scripts[] = { "", "SELECT 1;\n", "SELECT '\\restrict x';\n",
					       "\\restrict never_ends" };
	struct buf b = { .cap = 0 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		buf_clear(&b);
		buf_str(&b, scripts[i]);
		dump_plain(&b);
		assert_string_equal(buf_text(&b), scripts[i]);
	}
	buf_clear(&b);
	buf_str(&b, scripts[3]);
	dump_plain(&b);
	assert_string_equal(slice_trim(buf_view(&b)).n == 0 ? "blank" : "text", "blank");
	buf_fini(&b);
}

static const char *
variable(char **env, const char *name)
{
	size_t n = strlen(name);

	for (; *env != NULL; env++) {
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	}
	return NULL;
}

static void
a_connection_goes_by_the_environment(void **state)
{
	struct err e = { 0 };
	char **env;

	(void)state;
	setenv("PGHOST", "elsewhere", 1);
	setenv("KEPT", "yes", 1);
	env = tool_environment("host=db1 port=5433 user=me password='a b' dbname=app", &e);
	assert_non_null(env);
	assert_string_equal(variable(env, "PGHOST"), "db1");
	assert_string_equal(variable(env, "PGPORT"), "5433");
	assert_string_equal(variable(env, "PGPASSWORD"), "a b");
	assert_string_equal(variable(env, "PGDATABASE"), "app");
	assert_string_equal(variable(env, "KEPT"), "yes");
	assert_non_null(strstr(variable(env, "PGOPTIONS"), "meridian.internal=on"));
	tool_environment_free(env);
	env = tool_environment(NULL, &e);
	assert_null(variable(env, "PGHOST"));
	tool_environment_free(env);
	assert_null(tool_environment("nonsense", &e));
	assert_non_null(strstr(e.msg, "nonsense"));
}

static void
a_program_is_found_or_said_to_be_missing(void **state)
{
	struct err e = { 0 };
	char *path = tool_find("/bin", "sh", &e);

	(void)state;
	assert_string_equal(path, "/bin/sh");
	free(path);
	assert_null(tool_find("/nowhere", "pg_dump", &e));
	assert_string_equal(e.sqlstate, "58P01");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_read_one_after_another),
		cmocka_unit_test(what_is_only_for_psql_is_blanked_out),
		cmocka_unit_test(a_script_without_them_stays_as_it_is),
		cmocka_unit_test(a_connection_goes_by_the_environment),
		cmocka_unit_test(a_program_is_found_or_said_to_be_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
