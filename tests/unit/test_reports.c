/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/reports.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/exchange.h"
#include "protocol/message.h"
#include "proxy/sqlstate/vars.h"

#include "tests/unit/cost.h"

#include "tests/unit/unit.h"

struct seen {
	struct buf text;
};

static void
on_report(void *arg, struct slice body)
{
	struct seen *seen = arg;
	struct message_parameter m;

	assert_int_equal(message_parse_parameter(body, &m), PARSE_DONE);
	buf_printf(&seen->text, "%.*s=%.*s;", (int)m.name.n, m.name.p, (int)m.value.n, m.value.p);
}

/* As the relay does it. */
static void
feed(struct exchange *f, struct buf *part, struct slice bytes, struct seen *seen)
{
	/* exactly as long as what was read */
	char *copy = malloc(bytes.n + 1);
	struct framer before = exchange_server_framer(f);
	unsigned events;

	assert_non_null(copy);
	memcpy(copy, bytes.p, bytes.n);
	events = exchange_server(f, copy, bytes.n, NULL);
	assert_int_equal(events & EXCHANGE_BAD, 0);
	if ((events & EXCHANGE_PARAMETER) || part->n > 0)
		reports_read(part, before, slice_of(copy, bytes.n), on_report, seen);
	free(copy);
}

static void
put_row(struct buf *b, const char *value)
{
	size_t at = message_row_begin(b, 1);

	message_row_value(b, slice_str(value));
	buf_message_end(b, at);
}

static void
put_answer(struct buf *b)
{
	put_row(b, "S\0\0\0\x0d"
		   "a\0b\0");
	message_put_parameter(b, slice_str("TimeZone"), slice_str("UTC"));
	put_row(b, "a longer row that is not of any interest");
	message_put_command_complete(b, "SELECT 2");
	message_put_parameter(b, slice_str("DateStyle"), slice_str("ISO, MDY"));
	message_put_parameter(b, slice_str("x"), slice_str(""));
	message_put_ready(b, 'I');
	put_row(b, "S");
	message_put_ready(b, 'I');
}

#define WANTED "TimeZone=UTC;DateStyle=ISO, MDY;x=;"

static void
reports_are_found_however_the_bytes_are_cut(void **state)
{
	struct buf answer = { 0 };

	(void)state;
	put_answer(&answer);
	for (size_t first = 0; first <= answer.n; first++) {
		for (size_t second = first; second <= answer.n; second++) {
			struct seen seen = { { 0 } };
			struct buf part = { 0 };
			struct exchange f;

			exchange_init(&f, REPLICATION_NONE);
			feed(&f, &part, slice_of(answer.p, first), &seen);
			feed(&f, &part, slice_of(answer.p + first, second - first), &seen);
			feed(&f, &part, slice_of(answer.p + second, answer.n - second), &seen);
			assert_string_equal(buf_text(&seen.text), WANTED);
			assert_int_equal(part.n, 0);
			buf_fini(&seen.text);
			buf_fini(&part);
		}
	}
	buf_fini(&answer);
}

static void
reports_are_found_byte_by_byte(void **state)
{
	struct buf answer = { 0 }, part = { 0 };
	struct seen seen = { { 0 } };
	struct exchange f;

	(void)state;
	put_answer(&answer);
	exchange_init(&f, REPLICATION_NONE);
	for (size_t i = 0; i < answer.n; i++)
		feed(&f, &part, slice_of(answer.p + i, 1), &seen);
	assert_string_equal(buf_text(&seen.text), WANTED);
	buf_fini(&seen.text);
	buf_fini(&part);
	buf_fini(&answer);
}

static void
one_that_is_too_long_is_not_kept(void **state)
{
	static const char head[] = { 'S', 0, 2, 0, 0, 'a', 0 };
	struct buf part = { 0 };
	struct seen seen = { { 0 } };
	struct exchange f;

	(void)state;
	for (size_t n = 1; n <= sizeof(head); n++) {
		exchange_init(&f, REPLICATION_NONE);
		feed(&f, &part, slice_of(head, n), &seen);
		feed(&f, &part, slice_of(head + n, sizeof(head) - n), &seen);
		assert_int_equal(part.n, 0);
	}
	assert_int_equal(seen.text.n, 0);
}

static void
a_few_greetings_are_remembered(void **state)
{
	struct vars_table *t = vars_table_new();
	struct greetings *g = greetings_new();
	struct vars *none = vars_empty(t), *said = vars_with(none, slice_str("a"), slice_str("1"));
	struct vars *first = vars_with(none, slice_str("n"), slice_str("0"));

	(void)state;
	assert_null(greetings_find(g, none, none));
	greetings_restart(g, none, said);
	assert_ptr_equal(greetings_find(g, none, none), said);
	for (int i = 0; i < 7; i++) {
		struct vars *v = vars_with(none, slice_str("n"), slice_of(&"0123456789"[i], 1));

		greetings_note(g, v, said);
		greetings_note(g, v, none);
		assert_ptr_equal(greetings_find(g, v, none), none);
		vars_unref(v);
	}
	/* a login that reports the same changes nothing, another one everything */
	greetings_restart(g, none, said);
	assert_non_null(greetings_find(g, first, none));
	greetings_restart(g, none, first);
	assert_null(greetings_find(g, first, none));
	assert_ptr_equal(greetings_find(g, none, none), first);
	for (int i = 0; i < 8; i++) {
		struct vars *v = vars_with(said, slice_str("n"), slice_of(&"0123456789"[i], 1));

		greetings_note(g, v, said);
		vars_unref(v);
	}
	assert_null(greetings_find(g, none, none));
	greetings_free(g);
	greetings_free(NULL);
	vars_unref(none);
	vars_unref(said);
	vars_unref(first);
	assert_int_equal(vars_table_count(t), 1);
	vars_table_free(t);
}

static void
what_a_server_is_certain_to_say_is_known(void **state)
{
	static const struct {
		const char *name, *value, *want;
	} v[] = {
		{ "application_name", "psql", "application_name=psql;client_encoding=LATIN1;" },
		{ "application_name", "caf\xc3\xa9", NULL },
		{ "application_name",
		  "0123456789012345678901234567890123456789012345678901234567890123", NULL },
		{ "client_encoding", "utf8", "application_name=;client_encoding=UTF8;" },
		{ "client_encoding", "LATIN2", NULL },
		{ "extra_float_digits", "3", "application_name=;client_encoding=LATIN1;" },
		{ "extra_float_digits", "9", NULL },
		{ "timezone", "UTC", NULL },
	};
	struct vars_table *t = vars_table_new();
	struct greetings *g = greetings_new();
	struct vars *none = vars_empty(t), *name, *base;

	(void)state;
	name = vars_with(none, slice_str("application_name"), slice_str(""));
	base = vars_with(name, slice_str("client_encoding"), slice_str("LATIN1"));
	assert_null(greetings_find(g, name, none));
	greetings_restart(g, none, base);
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct vars *startup = vars_with(none, slice_str(v[i].name), slice_str(v[i].value));
		const struct vars *found = greetings_find(g, startup, none);
		struct buf b = { 0 };
		struct vars_item item;

		for (size_t at = 0; found != NULL && vars_next(found, &at, &item);)
			buf_printf(&b, "%.*s=%.*s;", (int)item.name.n, item.name.p,
				   (int)item.value.n, item.value.p);
		assert_int_equal(found != NULL, v[i].want != NULL);
		if (v[i].want != NULL)
			assert_string_equal(buf_text(&b), v[i].want);
		buf_fini(&b);
		vars_unref(startup);
	}
	greetings_free(g);
	vars_unref(none);
	vars_unref(name);
	vars_unref(base);
	assert_int_equal(vars_table_count(t), 1);
	vars_table_free(t);
}

/* `n` reports of settings that were reported before, in three reads, of which the cuts are
 * anywhere: how long the lists take; both are what the last report of each name says. */
static double
cost_of_reports(const void *arg, size_t n)
{
	struct vars_table *t = vars_table_new();
	struct vars *told = vars_empty(t), *reported = vars_empty(t);
	struct buf bytes = { .cap = SIZE_MAX }, part = { 0 };
	struct exchange f;
	double ms;
	char name[24], value[24];

	(void)arg;
	exchange_init(&f, REPLICATION_NONE);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "Name%u", i);
		message_put_parameter(&bytes, slice_str(name), slice_str("long ago, a long value"));
	}
	for (size_t i = 0; i < n; i++) {
		snprintf(value, sizeof(value), "%zu", i);
		message_put_parameter(&bytes, slice_str(i % 2 == 0 ? "Name7" : "Name70"),
				      slice_str(value));
	}
	ms = cost_ms();
	for (size_t from = 0, i = 1; i <= 3; i++) {
		struct slice read = slice_of(bytes.p + from, bytes.n * i / 3 - from);
		struct framer before = exchange_server_framer(&f);
		struct reports r;

		(void)exchange_server(&f, read.p, read.n, NULL);
		reports_begin(&r, &reported, &told, read);
		reports_read(&part, before, read, reports_add, &r);
		reports_end(&r);
		from += read.n;
	}
	ms = cost_ms() - ms;
	assert_ptr_equal(told, reported);
	assert_int_equal(vars_count(told), 100);
	for (size_t i = n > 2 ? n - 2 : 0; i < n; i++) {
		struct slice now;

		snprintf(value, sizeof(value), "%zu", i);
		assert_true(vars_get(told, i % 2 == 0 ? "Name7" : "Name70", &now));
		assert_true(slice_is(now, value));
	}
	vars_unref(told);
	vars_unref(reported);
	vars_table_free(t);
	buf_fini(&bytes);
	buf_fini(&part);
	return ms;
}

static void
many_reports_cost_little_more_than_one(void **state)
{
	double few = cost_least(cost_of_reports, NULL, 1),
	       many = cost_least(cost_of_reports, NULL, 10000);

	(void)state;
	print_message("# reports: %.2f ms for one, %.2f ms for 10,000\n", few, many);
	assert_cost(many, 4, few > 1 ? 1 : few);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_are_found_however_the_bytes_are_cut),
		cmocka_unit_test(reports_are_found_byte_by_byte),
		cmocka_unit_test(one_that_is_too_long_is_not_kept),
		cmocka_unit_test(many_reports_cost_little_more_than_one),
		cmocka_unit_test(a_few_greetings_are_remembered),
		cmocka_unit_test(what_a_server_is_certain_to_say_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
