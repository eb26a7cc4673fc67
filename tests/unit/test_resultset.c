/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/resultset.h"

#include <stdlib.h>

#include "proxy/admin/parameter.h"

#include "tests/unit/unit.h"

static const struct column columns[] = {
	{ "b", COLUMN_BOOL },   { "i", COLUMN_INT4 }, { "l", COLUMN_INT8 },
	{ "f", COLUMN_FLOAT8 }, { "t", COLUMN_TEXT }, { "w", COLUMN_TIME },
};

/* 2026-11-21 11:13:00.000123 UTC */
#define WHEN INT64_C(1795259580000123)

static void
put_row(struct rows *r)
{
	row_begin(r);
	row_bool(r, true);
	row_int(r, -2);
	row_int(r, INT64_C(5000000000));
	row_float(r, 0.1);
	row_text(r, slice_of("a\xff\0b", 4));
	row_time(r, WHEN);
	row_end(r);
}

static void
values_are_written_as_text(void **state)
{
	static const char want[] = "\0\x06"
				   "\0\0\0\1t"
				   "\0\0\0\2-2"
				   "\0\0\0\x0a"
				   "5000000000"
				   "\0\0\0\3"
				   "0.1"
				   "\0\0\0\x08"
				   "a\xef\xbf\xbd\xef\xbf\xbd"
				   "b"
				   "\0\0\0\x1d"
				   "2026-11-21 11:13:00.000123+00";
	struct rows r;

	(void)state;
	rows_init(&r, &(struct heading){ columns, 6, false }, 0);
	put_row(&r);
	assert_int_equal(r.out.p[0], 'D');
	assert_int_equal(get_u32(r.out.p + 1), r.out.n - 1);
	assert_int_equal(r.out.n, 5 + sizeof(want) - 1);
	assert_memory_equal(r.out.p + 5, want, sizeof(want) - 1);
	assert_int_equal(r.n, 1);
	rows_fini(&r);
}

static void
values_are_written_in_binary(void **state)
{
	static const char want[] = "\0\x06"
				   "\0\0\0\1\1"
				   "\0\0\0\4\xff\xff\xff\xfe"
				   "\0\0\0\x08\0\0\0\1\x2a\5\xf2\0"
				   "\0\0\0\x08\x3f\xb9\x99\x99\x99\x99\x99\x9a"
				   "\0\0\0\x08"
				   "a\xef\xbf\xbd\xef\xbf\xbd"
				   "b"
				   "\0\0\0\x08";
	struct rows r;
	size_t n = sizeof(want) - 1;

	(void)state;
	rows_init(&r, &(struct heading){ columns, 6, false }, 0x3f);
	put_row(&r);
	assert_int_equal(r.out.n, 5 + n + 8);
	assert_int_equal(get_u32(r.out.p + 1), 4 + n + 8);
	assert_memory_equal(r.out.p + 5, want, n);
	/* microseconds since 2000-01-01 */
	assert_true(get_u64(r.out.p + 5 + n) == (uint64_t)(WHEN - INT64_C(946684800000000)));
	rows_fini(&r);
}

static void
unknown_values_are_null(void **state)
{
	static const char null[] = "\xff\xff\xff\xff";
	struct rows r;

	(void)state;
	rows_init(&r, &(struct heading){ columns, 6, false }, 0);
	row_begin(&r);
	row_null(&r);
	row_int_known(&r, -1);
	row_int_known(&r, -1);
	row_ms(&r, -1);
	row_str(&r, NULL);
	row_null(&r);
	row_end(&r);
	assert_int_equal(r.out.n, 5 + 2 + 6 * 4);
	for (size_t i = 0; i < 6; i++)
		assert_memory_equal(r.out.p + 7 + 4 * i, null, 4);
	rows_fini(&r);
}

static void
floats_read_back_as_the_same_number(void **state)
{
	static const struct {
		double v;
		const char *text;
	} cases[] = {
		{ 0, "0" },           { 0.1, "0.1" },      { 1.0 / 3, "0.3333333333333333" },
		{ 12.345, "12.345" }, { 1e300, "1e+300" }, { -2.5, "-2.5" },
	};
	static const struct column one[] = { { "f", COLUMN_FLOAT8 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rows r;

		rows_init(&r, &(struct heading){ one, 1, false }, 0);
		row_begin(&r);
		row_float(&r, cases[i].v);
		row_end(&r);
		assert_int_equal(r.out.n, 11 + strlen(cases[i].text));
		assert_memory_equal(r.out.p + 11, cases[i].text, strlen(cases[i].text));
		rows_fini(&r);
	}
}

static void
times_before_1970_are_shown(void **state)
{
	char text[TIME_TEXT_MAX];

	(void)state;
	assert_string_equal(time_text(0, text), "1970-01-01 00:00:00.000000+00");
	assert_string_equal(time_text(-1, text), "1969-12-31 23:59:59.999999+00");
}

static void
columns_are_described_with_their_formats(void **state)
{
	static const char first[] = "b\0\0\0\0\0\0\0\0\0\0\x10\0\1\xff\xff\xff\xff\0\0";
	static const char last[] = "w\0\0\0\0\0\0\0\0\0\x04\xa0\0\x08\xff\xff\xff\xff\0\1";
	struct buf out = { 0 };
	size_t n = sizeof(first) - 1;

	(void)state;
	rows_describe(&out, &(struct heading){ columns, 6, false }, 0x20);
	assert_int_equal(out.n, 7 + 6 * n);
	assert_memory_equal(out.p + 7, first, n);
	assert_memory_equal(out.p + 7 + 5 * n, last, n);
	buf_fini(&out);
}

static void
parameters_are_read_in_both_formats(void **state)
{
	static const struct {
		uint32_t oid;
		int16_t format;
		struct slice value;
		const char *text;
	} cases[] = {
		{ 25, 0, { "abc", 3 }, "abc" },
		{ 25, 1, { "abc", 3 }, "abc" },
		{ 23, 0, { "42", 2 }, "42" },
		{ 23, 1, { "\0\0\0\x2a", 4 }, "42" },
		{ 23, 1, { "\xff\xff\xff\xfe", 4 }, "-2" },
		{ 21, 1, { "\xff\xfe", 2 }, "-2" },
		{ 20, 1, { "\0\0\0\1\0\0\0\0", 8 }, "4294967296" },
		{ 16, 1, { "\1", 1 }, "true" },
		{ 701, 1, { "\x40\x04\0\0\0\0\0\0", 8 }, "2.5" },
		{ 23, 1, { "\0\0\x2a", 3 }, NULL },
		{ 25, 2, { "a", 1 }, NULL },
		{ 25, 0, { "a\0b", 3 }, NULL },
		{ 25, 0, { "\xff", 1 }, NULL },
		{ 25, 0, { "", 0 }, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = { 0 };
		char *text = parameter_text(cases[i].oid, cases[i].format, cases[i].value, &e);

		if (cases[i].text != NULL)
			assert_string_equal(text, cases[i].text);
		else
			assert_true(text == NULL && e.sqlstate[0] != '\0');
		free(text);
	}
}

/* What terminals make commands of, and what looks like another row in a script. */
static void
control_characters_are_made_visible(void **state)
{
	static const struct column texts[] = { { "a", COLUMN_TEXT }, { "b", COLUMN_TEXT } };
	static const char said[] = "caf\xc3\xa9 \x1b[2J\n\t\x7f\xc2\x9b\\x1b";
	static const char *const want[] = { "caf\xc3\xa9 \\x1b[2J\\x0a\\x09\\x7f\\xc2\\x9b\\x1b",
					    "caf\xc3\xa9 \\x1b[2J\n\t\\x7f\\xc2\\x9b\\x1b" };
	struct rows r;
	size_t at = 7;

	(void)state;
	rows_init(&r, &(struct heading){ texts, 2, false }, 0);
	row_begin(&r);
	row_str(&r, said);
	row_lines(&r, said);
	row_end(&r);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(get_u32(r.out.p + at), strlen(want[i]));
		assert_memory_equal(r.out.p + at + 4, want[i], strlen(want[i]));
		at += 4 + strlen(want[i]);
	}
	assert_int_equal(r.out.n, at);
	rows_fini(&r);
}

static const struct column some[] = {
	{ "hidden", COLUMN_INT8 }, { "id", EVERYDAY(COLUMN_INT8) },
	{ "absent", COLUMN_TEXT }, { "name", EVERYDAY_CUT(COLUMN_TEXT, 5) },
	{ "when", COLUMN_TIME },
};

static void
put_some(struct rows *r, const char *name)
{
	row_begin(r);
	row_int(r, 7);
	row_int(r, 8);
	row_null(r);
	row_str(r, name);
	row_time(r, WHEN);
	row_end(r);
}

/* Formats are those of the columns that the client knows of. */
static void
the_short_form_has_some_columns(void **state)
{
	static const char want[] = "\0\2"
				   "\0\0\0\1"
				   "8"
				   "\0\0\0\4"
				   "anna";
	static const char binary[] = "\0\2"
				     "\0\0\0\x08\0\0\0\0\0\0\0\x08"
				     "\0\0\0\4"
				     "anna";
	const struct heading h = { some, 5, true };
	struct buf out = { 0 };
	struct rows r;

	(void)state;
	rows_init(&r, &h, 0);
	put_some(&r, "anna");
	assert_int_equal(r.out.n, 5 + sizeof(want) - 1);
	assert_memory_equal(r.out.p + 5, want, sizeof(want) - 1);
	rows_fini(&r);
	rows_init(&r, &h, 1);
	put_some(&r, "anna");
	assert_int_equal(r.out.n, 5 + sizeof(binary) - 1);
	assert_memory_equal(r.out.p + 5, binary, sizeof(binary) - 1);
	rows_fini(&r);
	rows_describe(&out, &h, 1);
	assert_memory_equal(out.p + 5, "\0\2id\0", 5);
	assert_memory_equal(out.p + 5 + 2 + 3 + 18, "name\0", 5);
	assert_int_equal(out.n, 5 + 2 + 3 + 18 + 5 + 18);
	assert_int_equal(out.p[5 + 2 + 3 + 17], 1);
	buf_fini(&out);
}

static void
long_text_is_cut_in_the_short_form(void **state)
{
	static const struct {
		const char *said, *everyday;
	} cases[] = {
		{ "", "" },
		{ "annas", "annas" },
		{ "annabel", "anna\xe2\x80\xa6" },
		{ "caf\xc3\xa9s", "caf\xc3\xa9s" },
		{ "caf\xc3\xa9 noir", "caf\xc3\xa9\xe2\x80\xa6" },
		/* two characters of a terminal each */
		{ "\xe6\x9d\xb1\xe4\xba\xac", "\xe6\x9d\xb1\xe4\xba\xac" },
		{ "\xe6\x9d\xb1\xe4\xba\xac\xe9\x83\xbd", "\xe6\x9d\xb1\xe4\xba\xac\xe2\x80\xa6" },
		{ "ab\ncd", "ab\\x\xe2\x80\xa6" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].everyday);
		struct rows r;

		rows_init(&r, &(struct heading){ some, 5, true }, 0);
		put_some(&r, cases[i].said);
		assert_int_equal(get_u32(r.out.p + 12), n);
		assert_memory_equal(r.out.p + 16, cases[i].everyday, n);
		rows_fini(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_written_as_text),
		cmocka_unit_test(control_characters_are_made_visible),
		cmocka_unit_test(the_short_form_has_some_columns),
		cmocka_unit_test(long_text_is_cut_in_the_short_form),
		cmocka_unit_test(values_are_written_in_binary),
		cmocka_unit_test(unknown_values_are_null),
		cmocka_unit_test(floats_read_back_as_the_same_number),
		cmocka_unit_test(times_before_1970_are_shown),
		cmocka_unit_test(columns_are_described_with_their_formats),
		cmocka_unit_test(parameters_are_read_in_both_formats),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
