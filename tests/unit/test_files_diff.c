/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/diff.h"

#include "tests/unit/unit.h"

static const struct {
	const char *was, *is, *diff;
} vectors[] = {
	{ "a\nb\nc\n", "a\nb\nc\n", "" },
	{ "a\nb\nc\n", "a\r\nb\r\nc\r\n", "" },
	{ "a\nb\nc\n", "a\nx\nc\n", "-b\n+x" },
	{ "a\nb\nc\n", "a\nc\n", "-b" },
	{ "a\nc\n", "a\nb\nc\n", "+b" },
	{ "", "a", "+a" },
	{ "a\nb\nc\nd\ne\n", "x\nb\nc\nd\ny\n", "-a\n+x\n-e\n+y" },
	{ "a\nb\nc\nd\n", "d\na\nb\nc\n", "+d\n-d" },
};

static void
the_lines_that_went_and_came_are_shown(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct buf b = { 0 };

		diff_lines(&b, slice_str(vectors[i].was), slice_str(vectors[i].is), 40);
		assert_string_equal(buf_text(&b), vectors[i].diff);
		buf_fini(&b);
	}
}

static void
a_long_difference_is_cut(void **state)
{
	struct buf b = { 0 }, was = { 0 }, is = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++) {
		buf_printf(&was, "%d\n", i);
		buf_printf(&is, "%d\n", i + 5000);
	}
	diff_lines(&b, buf_view(&was), buf_view(&is), 3);
	assert_string_equal(buf_text(&b), "-0\n-1\n-2\n… and 1997 lines more");
	buf_fini(&b);
	buf_fini(&was);
	buf_fini(&is);
}

static void
statements_that_differ_are_named(void **state)
{
	struct buf b = { 0 };

	(void)state;
	diff_sums(&b, SLICE_LITERAL("aaaaaaaaaaaaaaaa bb cc"),
		  SLICE_LITERAL("aaaaaaaaaaaaaaaa xx cc d"), 8);
	assert_string_equal(buf_text(&b), "statement 2: bb -> xx\nstatement 4:  -> d (new)");
	buf_clear(&b);
	diff_sums(&b, SLICE_LITERAL("a b c"), SLICE_LITERAL("x"), 2);
	assert_string_equal(buf_text(&b), "statement 1: a -> x\nstatement 2: b -> (gone)\n…");
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lines_that_went_and_came_are_shown),
		cmocka_unit_test(a_long_difference_is_cut),
		cmocka_unit_test(statements_that_differ_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
