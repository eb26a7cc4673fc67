/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/token.h"

#include "tests/unit/unit.h"

static void
a_token_is_read_as_it_was_written(void **state)
{
	static const struct wal_token all[] = {
		{ 0x6a1f0c2b3d4e5f60, 0x3000148, 2 },
		{ 1, 1, 1 },
		{ UINT64_MAX, UINT64_MAX, UINT32_MAX },
	};
	struct buf b = { .cap = 128 };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct wal_token t;

		buf_clear(&b);
		token_put(&b, &all[i]);
		assert_true(b.n < TOKEN_TEXT_MAX);
		assert_true(token_parse(buf_view(&b), &t));
		assert_true(t.system_id == all[i].system_id && t.lsn == all[i].lsn &&
			    t.timeline == all[i].timeline);
	}
	buf_clear(&b);
	token_put(&b, &all[0]);
	assert_string_equal(buf_text(&b), "m1.6a1f0c2b3d4e5f60.2.3000148");
	buf_fini(&b);
}

static void
what_is_no_token_is_refused(void **state)
{
	static const char *const none[] = {
		"",
		"m1",
		"m1.",
		"m1.1.1",
		"m1.1.1.",
		"m1.1.1.0",
		"m1.0.1.1",
		"m1.1.0.1",
		"m1.01.1.1",
		"m1.1.1.1.",
		"m1.1.1.1.1",
		"m1.1.1.g",
		"m1.-1.1.1",
		"m1. 1.1.1",
		"m1.1.1.1 ",
		"m2.1.1.1",
		"M1.1.1.1",
		"m1.1.100000000.1",
		"m1.10000000000000000.1.1",
		"m1.1.1.10000000000000000",
		"0/3000148",
	};
	struct wal_token t;

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		if (token_parse(slice_str(none[i]), &t))
			fail_msg("%s is read", none[i]);
	}
	assert_true(token_parse(slice_str("m1.A.F.B"), &t));
	assert_true(t.system_id == 10 && t.timeline == 15 && t.lsn == 11);
}

static void
raising_never_lowers(void **state)
{
	static const struct {
		const char *what, *has, *seen, *is;
	} table[] = {
		{ "further", "m1.1.1.5", "m1.1.1.7", "m1.1.1.7" },
		{ "not as far", "m1.1.1.7", "m1.1.1.5", "m1.1.1.7" },
		{ "a later timeline", "m1.1.1.7", "m1.1.2.5", "m1.1.2.5" },
		{ "an earlier one", "m1.1.2.5", "m1.1.1.7", "m1.1.2.5" },
		{ "another cluster", "m1.1.2.5", "m1.2.1.1", "m1.2.1.1" },
	};
	struct buf b = { .cap = 128 };
	struct wal_token t = { 0 }, seen;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_true(token_parse(slice_str(table[i].has), &t));
		assert_true(token_parse(slice_str(table[i].seen), &seen));
		token_raise(&t, &seen);
		buf_clear(&b);
		token_put(&b, &t);
		if (strcmp(buf_text(&b), table[i].is) != 0)
			fail_msg("%s: %s", table[i].what, buf_text(&b));
	}
	t = (struct wal_token){ 0 };
	token_raise(&t, &seen);
	assert_true(t.lsn == seen.lsn && t.system_id == seen.system_id);
	buf_fini(&b);
}

static const char history[] = "1\t0/3000148\tno recovery target specified\n"
			      "\n"
			      "# a comment\n"
			      "2\t1/A0\tat restore point \"3\t0/1\"\n";

static void
a_token_is_judged_by_the_ends_of_timelines(void **state)
{
	static const struct {
		const char *what, *token;
		uint32_t timeline;
		enum token_verdict is;
	} table[] = {
		{ "the same timeline", "m1.1.3.ffffffffffff", 3, TOKEN_STANDS },
		{ "in front of the end of its own", "m1.1.1.3000147", 3, TOKEN_STANDS },
		{ "at its end", "m1.1.1.3000148", 3, TOKEN_STANDS },
		{ "behind it", "m1.1.1.3000149", 3, TOKEN_LOST },
		{ "behind that of the second", "m1.1.2.1000000a1", 3, TOKEN_LOST },
		{ "in front of that", "m1.1.2.a1", 3, TOKEN_STANDS },
		{ "a timeline that is to come", "m1.1.4.1", 3, TOKEN_UNKNOWN },
		{ "history of another timeline", "m1.1.1.1", 2, TOKEN_UNKNOWN },
		{ "another cluster", "m1.2.3.1", 3, TOKEN_FOREIGN },
	};
	struct timeline_ends e, none = { 0 };
	struct wal_token t;

	(void)state;
	assert_true(timeline_ends_read(&e, 3, slice_str(history)));
	assert_int_equal(e.n, 2);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_true(token_parse(slice_str(table[i].token), &t));
		if (token_judge(&t, 1, table[i].timeline, &e) != table[i].is)
			fail_msg("%s", table[i].what);
	}
	t = (struct wal_token){ 1, 1, 1 };
	assert_int_equal(token_judge(&t, 1, 3, &none), TOKEN_UNKNOWN);
	t.timeline = 0;
	assert_int_equal(token_judge(&t, 1, 0, &none), TOKEN_UNKNOWN);
}

static void
a_history_that_is_none_says_nothing(void **state)
{
	static const char *const none[] = {
		"1", "1 3000148", "1\t0/x", "x\t0/1", "0\t0/1", "3\t0/1", "1\t0/1ffffffff",
	};
	struct timeline_ends e;

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		if (timeline_ends_read(&e, 3, slice_str(none[i])))
			fail_msg("%s is read", none[i]);
		assert_int_equal(e.of, 0);
	}
	assert_true(timeline_ends_read(&e, 3, slice_str("")));
	assert_int_equal(e.n, 0);
}

static void
the_last_ends_are_kept(void **state)
{
	struct buf b = { .cap = 4096 };
	struct timeline_ends e;

	(void)state;
	for (unsigned i = 1; i < 2 * TIMELINE_ENDS; i++)
		buf_printf(&b, "%u\t0/%X\twhy\n", i, 16 * i);
	assert_true(timeline_ends_read(&e, 2 * TIMELINE_ENDS, buf_view(&b)));
	assert_int_equal(e.n, TIMELINE_ENDS);
	for (unsigned i = 0; i < TIMELINE_ENDS; i++)
		assert_true(e.ends[i].lsn == 16 * e.ends[i].timeline &&
			    e.ends[i].timeline == TIMELINE_ENDS + i);
	buf_fini(&b);
}

static void
a_token_is_found_in_a_comment_alone(void **state)
{
	static const struct {
		const char *sql, *value; /* NULL: there is none */
	} all[] = {
		{ "SELECT 1 /*meridian_token='m1.1.1.1'*/", "m1.1.1.1" },
		{ "/*action='a''b',meridian_token='x',route='/r'*/ SELECT 1", "x" },
		{ "SELECT 1 -- meridian_token='x'", "x" },
		{ "SELECT 1 -- meridian_token='x", "x" },
		{ "SELECT /* a /* meridian_token='x' */ b */ 1", "x" },
		{ "SELECT /* a */ 1 /*meridian_token='x'*/ + /*meridian_token='y'*/ 2", "x" },
		{ "SELECT 'a' /*meridian_token=''*/", "" },
		{ "SELECT '/*meridian_token=''x''*/'", NULL },
		{ "SELECT $$/*meridian_token='x'*/$$", NULL },
		{ "SELECT \"/*meridian_token='x'*/\"", NULL },
		{ "SELECT meridian_token='x'", NULL },
		{ "SELECT 1 /*meridian_token=x*/", NULL },
		{ "SELECT 1", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct slice value = slice_str("");
		bool is_there = token_in_comment(slice_str(all[i].sql), &value);

		assert_int_equal(is_there, all[i].value != NULL);
		if (is_there)
			assert_true(slice_is(value, all[i].value));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_is_read_as_it_was_written),
		cmocka_unit_test(what_is_no_token_is_refused),
		cmocka_unit_test(a_token_is_found_in_a_comment_alone),
		cmocka_unit_test(raising_never_lowers),
		cmocka_unit_test(a_token_is_judged_by_the_ends_of_timelines),
		cmocka_unit_test(a_history_that_is_none_says_nothing),
		cmocka_unit_test(the_last_ends_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
