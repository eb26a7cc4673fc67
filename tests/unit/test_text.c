/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/text.h"

#include "tests/unit/unit.h"

static void
durations_have_units(void **state)
{
	static const struct {
		const char *text;
		int64_t usec;
	} good[] = {
		{ "0", 0 },           { "15", 15000000 },    { "500ms", 500000 },
		{ "1.5s", 1500000 },  { "0.5", 500000 },     { "10 min", 600000000 },
		{ "1h", 3600000000 }, { "1d", 86400000000 }, { "7us", 7 },
	};
	static const char *const bad[] = { "", "s", "5x", "1 2", "0x10", "inf", "nan", "1e400" };
	int64_t v;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(text_to_usec(slice_str(good[i].text), &v));
		assert_true(v == good[i].usec);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_to_usec(slice_str(bad[i]), &v));
}

static void
durations_are_printed_in_the_largest_whole_unit(void **state)
{
	struct buf b = { 0 };

	(void)state;
	text_put_usec(&b, 0);
	buf_u8(&b, ' ');
	text_put_usec(&b, 90000000);
	buf_u8(&b, ' ');
	text_put_usec(&b, 600000000);
	buf_u8(&b, ' ');
	text_put_usec(&b, 1500);
	assert_string_equal(buf_text(&b), "0 90s 10min 1500us");
	buf_fini(&b);
}

static void
quoting_cannot_be_escaped(void **state)
{
	struct buf b = { 0 };

	(void)state;
	text_put_safe(&b, slice_str("two\nlines\"="), 100);
	text_put_safe(&b, slice_str("abcdef"), 3);
	assert_string_equal(buf_text(&b), "\"two\\x0alines\\\"=\"abc…");
	buf_fini(&b);
}

static void
numbers_and_booleans_have_bounds(void **state)
{
	int64_t v;
	double d;
	bool t;

	(void)state;
	assert_true(text_to_int(slice_str("-99"), -99, 99, &v) && v == -99);
	assert_false(text_to_int(slice_str("100"), -99, 99, &v));
	assert_false(text_to_int(slice_str(" 1"), 0, 9, &v));
	assert_false(text_to_int(slice_str("99999999999999999999"), INT64_MIN, INT64_MAX, &v));
	assert_true(text_to_double(slice_str("-2.35"), &d) && d < -2.34 && d > -2.36);
	assert_false(text_to_double(slice_str("2,35"), &d));
	assert_true(text_to_bytes(slice_str("64kB"), &v) && v == 65536);
	assert_true(text_to_bool(slice_str("Yes"), &t) && t);
	assert_true(text_to_bool(slice_str("off"), &t) && !t);
	assert_false(text_to_bool(slice_str("maybe"), &t));
}

static void
what_does_not_fit_is_not_appended(void **state)
{
	char to[4] = { '.', '.', '.', '.' };
	size_t n = 0;

	(void)state;
	assert_true(text_append(to, 3, &n, slice_of(NULL, 0)));
	assert_true(text_append(to, 3, &n, slice_str("ab")));
	assert_false(text_append(to, 3, &n, slice_str("cd")));
	assert_int_equal(n, 2);
	assert_true(text_append(to, 3, &n, slice_str("c")));
	assert_true(text_append(to, 3, &n, slice_of(NULL, 0)));
	assert_false(text_append(to, 3, &n, slice_str("d")));
	assert_int_equal(n, 3);
	assert_memory_equal(to, "abc.", 4);
	/* a count that is past the end leaves no room, not a lot */
	n = 4;
	assert_false(text_append(to, 3, &n, slice_str("d")));
	assert_false(text_append(to, 3, &n, slice_of(NULL, 0)));
	assert_int_equal(n, 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_have_units),
		cmocka_unit_test(durations_are_printed_in_the_largest_whole_unit),
		cmocka_unit_test(quoting_cannot_be_escaped),
		cmocka_unit_test(numbers_and_booleans_have_bounds),
		cmocka_unit_test(what_does_not_fit_is_not_appended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
