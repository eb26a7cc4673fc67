/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/vars.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "protocol/startup.h"

#include "tests/unit/collisions.h"
#include "tests/unit/cost.h"

#include "tests/unit/unit.h"

#define S(text) SLICE_LITERAL(text)

static struct startup_param
param(const char *name, const char *value)
{
	return (struct startup_param){ .name = slice_str(name), .value = slice_str(value) };
}

/* "a=1 b=2" as settings. */
static struct vars *
made(struct vars_table *t, const char *text)
{
	struct vars *v = vars_empty(t);
	struct slice rest = slice_str(text);

	while (rest.n > 0) {
		struct slice value = slice_cut(&rest, ' ');
		struct slice name = slice_cut(&value, '=');
		struct vars *more = vars_with(v, name, value);

		vars_unref(v);
		v = more;
	}
	return v;
}

static void
assert_vars(const struct vars *v, const char *want)
{
	struct buf b = { 0 };
	struct vars_item item;
	size_t n = 0;

	for (size_t at = 0; vars_next(v, &at, &item); n++)
		buf_printf(&b, "%s%.*s=%.*s", n > 0 ? " " : "", (int)item.name.n, item.name.p,
			   (int)item.value.n, item.value.p);
	assert_string_equal(buf_text(&b), want);
	assert_int_equal(vars_count(v), n);
	buf_fini(&b);
}

static struct vars *
without(struct vars *v, const char *name)
{
	struct vars_item gone = { .name = slice_str(name) };
	size_t n = 1;

	return vars_change(v, &gone, &n, false);
}

static void
equal_settings_are_one_object(void **state)
{
	struct vars_table *t = vars_table_new();
	struct vars *a = made(t, "b=2 a=1"), *b = made(t, "a=1 b=2"), *c = made(t, "a=1 b=3");
	struct vars *d = vars_with(c, S("B"), S("2")), *e = without(a, "b");
	struct vars *none = without(e, "A"), *empty = vars_empty(t);

	(void)state;
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_ptr_not_equal(a, d); /* the name is written otherwise */
	assert_vars(d, "a=1 B=2");
	assert_vars(e, "a=1");
	assert_ptr_equal(none, empty);
	assert_int_equal(vars_table_count(t), 5);
	vars_unref(a);
	assert_vars(b, "a=1 b=2");
	vars_unref(b);
	vars_unref(c);
	vars_unref(d);
	vars_unref(e);
	vars_unref(none);
	vars_unref(empty);
	vars_unref(NULL);
	assert_int_equal(vars_table_count(t), 1);
	vars_table_free(t);
}

static void
one_lies_over_the_other(void **state)
{
	static const struct {
		const char *base, *over, *want;
	} v[] = {
		{ "", "", "" },
		{ "a=1", "", "a=1" },
		{ "", "a=1", "a=1" },
		{ "a=1", "a=2", "a=2" },
		{ "a=1 c=3", "b=2", "a=1 b=2 c=3" },
		{ "b=2", "a=1 c=3", "a=1 b=2 c=3" },
		{ "a=1 b=1 c=1", "a=2 c=2 d=2", "a=2 b=1 c=2 d=2" },
		{ "a=", "a=1", "a=1" },
		{ "aa=1", "a=1", "a=1 aa=1" },
	};
	struct vars_table *t = vars_table_new();

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct vars *base = made(t, v[i].base), *over = made(t, v[i].over);
		struct vars *both = vars_overlay(base, over);

		assert_vars(both, v[i].want);
		vars_unref(base);
		vars_unref(over);
		vars_unref(both);
	}
	assert_int_equal(vars_table_count(t), 1);
	vars_table_free(t);
}

/* "a=1 b" (b is to go), made at once to "base"; what became of it, and what was done. */
static void
assert_changed(const char *base, const char *changes, const char *want, const char *done)
{
	struct vars_table *t = vars_table_new();
	struct vars *v = made(t, base), *now;
	struct vars_item items[16];
	struct buf b = { 0 };
	struct slice rest = slice_str(changes);
	size_t n = 0;

	for (; rest.n > 0; n++) {
		struct slice value = slice_cut(&rest, ' ');
		bool is_set = memchr(value.p, '=', value.n) != NULL;

		items[n].name = slice_cut(&value, '=');
		items[n].value = is_set ? value : slice_of(NULL, 0);
	}
	n = vars_sort(items, n);
	now = vars_change(v, items, &n, true);
	assert_vars(now, want);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s%.*s", i > 0 ? " " : "", (int)items[i].name.n, items[i].name.p);
	assert_string_equal(b.n > 0 ? buf_text(&b) : "", done);
	buf_fini(&b);
	vars_unref(v);
	vars_unref(now);
	assert_int_equal(vars_table_count(t), 1);
	vars_table_free(t);
}

static const struct {
	const char *base, *changes, *want, *done;
} changed[] = {
	{ "", "", "", "" },
	{ "a=1", "", "a=1", "" },
	{ "", "b=2 a=1 c=3", "a=1 b=2 c=3", "a b c" },
	{ "", "a=1 b=2 a=3", "a=3 b=2", "a b" },
	{ "b=1 d=2", "a=1 c=3 e=4", "a=1 b=1 c=3 d=2 e=4", "a c e" },
	{ "b=1 d=2", "d=3 b=4", "b=4 d=3", "b d" },
	{ "a=1 b=2 c=3", "b", "a=1 c=3", "b" },
	{ "a=1 b=2 c=3", "c a x", "b=2", "a c x" },
	{ "a=1", "a b=2 a=3", "a=3 b=2", "a b" },
	{ "a=1", "a=3 b=2 a", "b=2", "a b" },
	{ "b=1", "a= b=", "a= b=", "a b" },
	{ "ab=1", "a=1 abc=2", "a=1 ab=1 abc=2", "a abc" },
};

static void
many_changes_are_made_at_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++)
		assert_changed(changed[i].base, changed[i].changes, changed[i].want,
			       changed[i].done);
}

static void
changes_stay_within_bounds(void **state)
{
	struct vars_table *t = vars_table_new();
	struct vars_item *items = calloc(VARS_SET_MAX + 2, sizeof(*items));
	char(*names)[8] = calloc(VARS_SET_MAX + 2, sizeof(*names));
	struct vars *none = vars_empty(t), *full, *now;
	size_t n = VARS_SET_MAX;

	(void)state;
	assert_non_null(items);
	assert_non_null(names);
	for (size_t i = 0; i < VARS_SET_MAX + 2; i++) {
		snprintf(names[i], sizeof(names[i]), "n%05zu", i);
		items[i] = (struct vars_item){ slice_str(names[i]), slice_str("1") };
	}
	full = vars_change(none, items, &n, true);
	assert_int_equal(vars_count(full), VARS_SET_MAX);
	assert_int_equal(n, VARS_SET_MAX);

	/* one more: not; one in the place of another: yes; and one where another goes */
	struct vars_item more[] = { { slice_str(names[3]), slice_of(NULL, 0) },
				    { slice_str(names[5]), slice_str("2") },
				    items[VARS_SET_MAX],
				    items[VARS_SET_MAX + 1] };
	n = 4;
	now = vars_change(full, more, &n, true);
	assert_int_equal(vars_count(now), VARS_SET_MAX);
	assert_int_equal(n, 3);
	vars_unref(now);
	n = 2;
	now = vars_change(full, &items[VARS_SET_MAX], &n, false);
	assert_int_equal(vars_count(now), VARS_SET_MAX + 2);
	vars_unref(now);
	vars_unref(full);
	vars_unref(none);
	vars_table_free(t);
	free(items);
	free(names);
}

#define SETTINGS 4096

/* Settings of one server connection are set in one text, but not in one list: a server takes 1,664
 * entries of that (MaxTupleAttributeNumber). */
static void
many_changes_are_several_lists(void **state)
{
	struct vars_table *t = vars_table_new();
	struct vars *none = vars_empty(t), *full;
	static const enum vars_failure kinds[] = { VARS_ERROR, VARS_FATAL, VARS_APART };
	char(*names)[24] = calloc(SETTINGS, sizeof(*names));
	struct vars_item *items = calloc(SETTINGS, sizeof(*items));
	size_t n = SETTINGS;

	(void)state;
	assert_non_null(names);
	assert_non_null(items);
	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "a.%zu", i);
		items[i] = (struct vars_item){ slice_str(names[i]), S("1") };
	}
	n = vars_sort(items, n);
	full = vars_change(none, items, &n, false);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct buf sql = { .cap = SIZE_MAX };
		size_t calls = 0;
		struct slice rest;

		vars_put_change(&sql, none, full, kinds[i]);
		for (rest = buf_view(&sql); rest.n > 0;) {
			struct slice one = slice_cut(&rest, kinds[i] == VARS_APART ? '\0' : ';');
			size_t here = 0;

			for (; slice_cut(&one, '(').n > 0 && one.n > 0; here++)
				;
			assert_true(here <= 1664);
			calls += here;
		}
		assert_int_equal(calls, SETTINGS);
		buf_fini(&sql);
	}
	vars_unref(full);
	vars_unref(none);
	vars_table_free(t);
	free(items);
	free(names);
}

static void
a_startup_message_sets_all_but_who_and_where(void **state)
{
	static struct startup in;
	struct vars_table *t = vars_table_new();
	struct vars *v;
	struct slice value;
	size_t n = 0;

	(void)state;
	in.params[n++] = param("user", "app");
	in.params[n++] = param("TimeZone", "UTC");
	in.params[n++] = param("database", "d");
	in.params[n++] = param("options", "-c x=y");
	in.params[n++] = param("application_name", "psql");
	in.params[n++] = param("Meridian.city", "paris");
	in.params[n++] = param("replication", "false");
	in.params[n++] = param("timezone", "Europe/Paris");
	in.params[n++] = param("client_encoding", "caf\xe9");
	in.params[n++] = param("crdb:remote_addr", "x");
	in.params[n++] = param("a.b", "");
	in.params_n = n;
	v = vars_from_startup(t, &in);
	assert_vars(v, "a.b= application_name=psql client_encoding=caf\xef\xbf\xbd "
		       "timezone=Europe/Paris");
	assert_true(vars_get(v, "TIMEZONE", &value));
	assert_true(slice_is(value, "Europe/Paris"));
	assert_false(vars_get(v, "time", &value));
	assert_false(vars_get(v, "user", &value));
	vars_unref(v);
	vars_table_free(t);
}

#define CALL(name, value) "pg_catalog.set_config('" name "', " value ", false)"

static void
a_change_is_the_difference(void **state)
{
	static const struct {
		const char *from, *to, *want;
	} v[] = {
		{ "", "", "" },
		{ "a=1", "a=1", "" },
		{ "", "a=1", "SELECT " CALL("a", "'1'") },
		{ "a=1", "", "RESET ALL; " },
		{ "a=1", "a=2", "SELECT " CALL("a", "'2'") },
		{ "a=1 b=1", "b=1 c=1",
		  "RESET ALL; SELECT " CALL("b", "'1'") ", " CALL("c", "'1'") },
		{ "a=1 b=1", "a=1 b=2 c=1", "SELECT " CALL("b", "'2'") ", " CALL("c", "'1'") },
		{ "a=1", "a=", "SELECT " CALL("a", "''") },
		{ "", "a=it's", "SELECT " CALL("a", "'it''s'") },
		{ "", "a=C:\\'x", "SELECT " CALL("a", "E'C:\\\\''x'") },
		{ "", "a=caf\xc3\xa9", "SELECT " CALL("a", "E'caf\\U000000e9'") },
		{ "", "a=\xf0\x9f\x98\x80\xff", "SELECT " CALL("a", "E'\\U0001f600?'") },
		{ "a=1 datestyle=SQL,DMY", "a=2 datestyle=ISO",
		  "SELECT " CALL("a", "'2'") ", " CALL("datestyle", "NULL") ", " CALL("datestyle",
										      "'ISO'") },
		{ "", "a=1 datestyle=ISO",
		  "SELECT " CALL("a", "'1'") ", " CALL("datestyle", "'ISO'") },
		{ "role=bob", "a=1",
		  "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; SELECT " CALL("a", "'1'") },
		{ "", "a=1 session_authorization=eve",
		  "SELECT " CALL("a", "'1'") ", " CALL("session_authorization", "'eve'") },
		{ "a=1 exit_on_error=on", "b=1 exit_on_error=on",
		  "RESET ALL; SELECT " CALL("b", "'1'") ", " CALL("exit_on_error", "'on'") },
	};
	struct vars_table *t = vars_table_new();
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct vars *from = made(t, v[i].from), *to = made(t, v[i].to);

		buf_clear(&b);
		vars_put_change(&b, from, to, VARS_ERROR);
		assert_string_equal(buf_text(&b), v[i].want);
		vars_unref(from);
		vars_unref(to);
	}
	buf_fini(&b);
	assert_int_equal(vars_table_count(t), 1);
	vars_table_free(t);
}

static void
what_drivers_set_costs_no_plan(void **state)
{
	static const struct {
		const char *from, *to, *want;
	} v[] = {
		{ "", "application_name=it's", "SET application_name TO 'it''s'" },
		{ "", "application_name=x client_encoding=UTF8 extra_float_digits=3 timezone=UTC",
		  "SET application_name TO 'x'; SET client_encoding TO 'UTF8'; "
		  "SET extra_float_digits TO '3'; SET timezone TO 'UTC'" },
		{ "datestyle=SQL,DMY", "datestyle=ISO",
		  "SET datestyle TO DEFAULT; SET datestyle TO 'ISO'" },
		{ "a=1", "a=1 application_name=x", "SET application_name TO 'x'" },
		{ "a=1 application_name=y", "application_name=x",
		  "RESET ALL; SET application_name TO 'x'" },
		/* these go in one statement with others, and those have an order */
		{ "exit_on_error=on", "application_name=x exit_on_error=on",
		  "SELECT " CALL("application_name", "'x'") ", " CALL("exit_on_error", "'on'") },
		{ "", "application_name=x search_path=a,b",
		  "SELECT " CALL("application_name", "'x'") ", " CALL("search_path", "'a,b'") },
	};
	struct vars_table *t = vars_table_new();
	struct vars *none = vars_empty(t), *two = made(t, "application_name=x timezone=UTC");
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct vars *from = made(t, v[i].from), *to = made(t, v[i].to);

		buf_clear(&b);
		vars_put_change(&b, from, to, VARS_ERROR);
		assert_string_equal(buf_text(&b), v[i].want);
		vars_unref(from);
		vars_unref(to);
	}
	buf_clear(&b);
	vars_put_change(&b, none, two, VARS_FATAL);
	assert_string_equal(buf_text(&b), "SET exit_on_error TO on; SET application_name TO 'x'; "
					  "SET timezone TO 'UTC'; RESET exit_on_error");
	buf_clear(&b);
	vars_put_change(&b, none, two, VARS_APART);
	assert_int_equal(b.n, sizeof("SET application_name TO 'x'\0SET timezone TO 'UTC'") - 1);
	assert_memory_equal(b.p, "SET application_name TO 'x'\0SET timezone TO 'UTC'", b.n);
	buf_fini(&b);
	vars_unref(none);
	vars_unref(two);
	vars_table_free(t);
}

static void
a_change_that_fails_can_end_the_connection(void **state)
{
	struct vars_table *t = vars_table_new();
	struct vars *none = vars_empty(t), *a = made(t, "a=1"), *x = made(t, "exit_on_error=off");
	struct buf b = { 0 };

	(void)state;
	vars_put_change(&b, none, a, VARS_FATAL);
	assert_string_equal(buf_text(&b), "SET exit_on_error TO on; SELECT " CALL(
					      "a", "'1'") "; RESET exit_on_error");
	buf_clear(&b);
	vars_put_change(&b, a, a, VARS_FATAL);
	assert_int_equal(b.n, 0);
	vars_put_change(&b, a, x, VARS_FATAL);
	assert_string_equal(buf_text(&b), "RESET ALL; SET exit_on_error TO on; SELECT " CALL(
					      "exit_on_error", "'off'"));
	buf_clear(&b);
	vars_put_change(&b, a, none, VARS_FATAL);
	assert_string_equal(buf_text(&b),
			    "RESET ALL; SET exit_on_error TO on; RESET exit_on_error");
	buf_clear(&b);
	vars_put_change(&b, NULL, a, VARS_ERROR);
	assert_string_equal(
	    buf_text(&b),
	    "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; SELECT " CALL("a", "'1'"));
	buf_clear(&b);
	vars_put_change(&b, NULL, a, VARS_APART);
	assert_memory_equal(
	    b.p, "RESET SESSION AUTHORIZATION\0RESET ROLE\0RESET ALL\0SELECT " CALL("a", "'1'"),
	    b.n);
	buf_fini(&b);
	vars_unref(none);
	vars_unref(a);
	vars_unref(x);
	vars_table_free(t);
}

static void
a_superusers_role_comes_first_and_every_role_last(void **state)
{
	struct vars_table *t = vars_table_new();
	struct vars *none = vars_empty(t), *v = made(t, "log_statement=all role=bob");
	struct buf b = { 0 };

	(void)state;
	vars_put_change(&b, none, v, VARS_ERROR);
	assert_string_equal(
	    buf_text(&b),
	    "SELECT (SELECT pg_catalog.set_config('role', 'bob', false) FROM pg_catalog.pg_roles "
	    "WHERE rolsuper AND rolname OPERATOR(pg_catalog.=) 'bob'), " CALL(
		"log_statement", "'all'") ", " CALL("role", "'bob'"));
	buf_fini(&b);
	vars_unref(none);
	vars_unref(v);
	vars_table_free(t);
}

static void
equal_meaning_is_one_number(void **state)
{
	struct vars_table *t = vars_table_new();
	struct vars *none = vars_empty(t), *a = made(t, "application_name=a statement_timeout=1");
	struct vars *b = made(t, "app.tenant=1"), *c = made(t, "application_name=c timezone=UTC");
	struct vars *d = made(t, "timezone=UTC work_mem=1MB"), *e = made(t, "timezone=GMT");

	(void)state;
	assert_int_not_equal(vars_meaning(none), 0);
	assert_int_equal(vars_meaning(none), vars_meaning(a));
	assert_int_equal(vars_meaning(none), vars_meaning(b));
	assert_int_not_equal(vars_meaning(none), vars_meaning(c));
	assert_int_equal(vars_meaning(c), vars_meaning(d));
	assert_int_not_equal(vars_meaning(c), vars_meaning(e));
	vars_unref(none);
	vars_unref(a);
	vars_unref(b);
	vars_unref(c);
	vars_unref(d);
	vars_unref(e);
	assert_int_equal(vars_table_count(t), 1);
	vars_table_free(t);
}

static void
a_client_hears_what_it_was_not_told(void **state)
{
	struct vars_table *t = vars_table_new();
	struct vars *told = vars_empty(t), *reported = vars_ref(told);
	struct buf b = { 0 };

	(void)state;
	vars_report(&reported, S("TimeZone\0UTC\0"));
	vars_report(&reported, S("DateStyle\0ISO, MDY\0"));
	vars_report(&reported, S("malformed"));
	assert_vars(reported, "DateStyle=ISO, MDY TimeZone=UTC");
	vars_put_reports(&b, told, reported);
	assert_int_equal(b.n, 5 + 10 + 9 + 5 + 9 + 4);
	assert_memory_equal(b.p,
			    "S\0\0\0\x17"
			    "DateStyle\0ISO, MDY\0S\0\0\0\x11TimeZone\0UTC",
			    b.n);
	vars_unref(told);
	told = vars_ref(reported);
	vars_report(&reported, S("TimeZone\0GMT\0"));
	buf_clear(&b);
	vars_put_reports(&b, told, reported);
	assert_int_equal(b.n, 18);
	assert_memory_equal(b.p, "S\0\0\0\x11TimeZone\0GMT", 18);
	buf_clear(&b);
	vars_put_reports(&b, reported, reported);
	assert_int_equal(b.n, 0);
	buf_fini(&b);
	vars_unref(told);
	vars_unref(reported);
	vars_table_free(t);
}

/* Each report copies the list: what a hostile node says without an end must not make it longer. */
static void
reports_without_an_end_are_bounded(void **state)
{
	struct vars_table *t = vars_table_new();
	struct vars *reported = vars_empty(t), *full;
	struct slice value;
	struct buf body = { 0 };
	char *big = xcalloc(1, VARS_REPORTS_BYTES + 3);

	(void)state;
	memset(big, 'x', VARS_REPORTS_BYTES + 1);
	vars_report(&reported, slice_of(big, VARS_REPORTS_BYTES + 2));
	assert_int_equal(vars_count(reported), 0);
	big[1] = '\0';
	vars_report(&reported, slice_of(big, VARS_REPORTS_BYTES + 2));
	assert_int_equal(vars_count(reported), 0);
	for (unsigned i = 0; i < 2 * VARS_REPORTS_MAX; i++) {
		buf_clear(&body);
		buf_printf(&body, "a%u%cv%c", i, '\0', '\0');
		vars_report(&reported, buf_view(&body));
	}
	assert_int_equal(vars_count(reported), VARS_REPORTS_MAX);
	assert_true(vars_get(reported, "a0", &value));
	full = reported;
	vars_report(&reported, S("b\0v\0"));
	assert_ptr_equal(reported, full);
	vars_unref(reported);
	buf_fini(&body);
	free(big);
	vars_table_free(t);
}

/* Of lists with one setting, which clients choose. */
static double
cost_of_values(const void *arg, size_t n)
{
	struct vars_table *t = vars_table_new();
	struct vars **all = calloc(n, sizeof(struct vars *)), *none = vars_empty(t);
	const bool *collide = arg;
	double ms = cost_ms();

	assert_non_null(all);
	for (size_t i = 0; i < n; i++) {
		char value[COLLISION_BYTES];

		if (*collide)
			collision_make(slice_of("application_name", 17), i, value);
		else
			snprintf(value, sizeof(value), "%060zu", i);
		all[i] = vars_with(none, S("application_name"), slice_str(value));
	}
	ms = cost_ms() - ms;
	assert_int_equal(vars_table_count(t), n + 1);
	for (size_t i = 0; i < n; i++)
		vars_unref(all[i]);
	free(all);
	vars_unref(none);
	vars_table_free(t);
	return ms;
}

static void
values_that_were_chosen_cost_no_more_than_others(void **state)
{
	(void)state;
	collisions_cost_nothing("values", cost_of_values, COLLISIONS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_settings_are_one_object),
		cmocka_unit_test(one_lies_over_the_other),
		cmocka_unit_test(many_changes_are_made_at_once),
		cmocka_unit_test(changes_stay_within_bounds),
		cmocka_unit_test(many_changes_are_several_lists),
		cmocka_unit_test(a_startup_message_sets_all_but_who_and_where),
		cmocka_unit_test(a_change_is_the_difference),
		cmocka_unit_test(what_drivers_set_costs_no_plan),
		cmocka_unit_test(a_change_that_fails_can_end_the_connection),
		cmocka_unit_test(a_superusers_role_comes_first_and_every_role_last),
		cmocka_unit_test(equal_meaning_is_one_number),
		cmocka_unit_test(a_client_hears_what_it_was_not_told),
		cmocka_unit_test(reports_without_an_end_are_bounded),
		cmocka_unit_test(values_that_were_chosen_cost_no_more_than_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
