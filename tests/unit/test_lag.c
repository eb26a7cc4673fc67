/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/lag.h"

#include "tests/unit/unit.h"

/* The primary was at 100 at t=10, at 200 at t=20, at 300 at t=30. */
static struct lag_marks
primary(void)
{
	struct lag_marks m = { 0 };

	for (unsigned i = 1; i <= 3; i++)
		lag_mark(&m, 10 * i, 100 * i);
	return m;
}

static void
lag_is_told_from_marks(void **state)
{
	static const struct {
		const char *what;
		struct lag_standby s;
		struct lag expect;
	} table[] = {
		{ "caught up", { 35, 300, 300, true, 999 }, { 0, 0 } },
		{ "ahead of the last mark", { 35, 350, 350, true, 999 }, { 0, 0 } },
		{ "replayed up to the second mark", { 35, 300, 250, true, 999 }, { 15, 50 } },
		{ "its own word is less", { 35, 300, 250, true, 7 }, { 7, 50 } },
		{ "the stream hangs: all that came is replayed, but the primary was further",
		  { 35, 250, 250, true, 999 },
		  { 15, 50 } },
		{ "sampled before the last mark was taken",
		  { 25, 250, 250, true, 999 },
		  { 0, 50 } },
		{ "no stream, has everything", { 35, 300, 300, false, 999 }, { 5, 0 } },
		{ "no stream, old", { 35, 120, 120, false, 999 }, { 25, 180 } },
		{ "beyond the marks", { 35, 300, 50, true, 999 }, { 999, 250 } },
		{ "beyond the marks, no word of its own", { 35, 300, 50, true, -1 }, { -1, 250 } },
	};
	struct lag_marks m = primary();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct lag lag = lag_of(&table[i].s, &m);

		if (lag.us != table[i].expect.us || lag.bytes != table[i].expect.bytes)
			fail_msg("%s: %d us, %d bytes", table[i].what, (int)lag.us, (int)lag.bytes);
	}
}

static void
without_a_primary_the_standbys_word_is_taken(void **state)
{
	struct lag_standby s = { 35, 300, 250, true, 77 };
	struct lag_marks none = { 0 };

	(void)state;
	assert_int_equal(lag_of(&s, NULL).us, 77);
	assert_int_equal(lag_of(&s, &none).us, 77);
	assert_int_equal(lag_of(&s, NULL).bytes, 50);
	s.replayed = 300;
	assert_int_equal(lag_of(&s, NULL).us, 0);
	s.receiving = false;
	assert_int_equal(lag_of(&s, NULL).us, 77);
	s.received = 0;
	s.replay_age_us = -1;
	assert_int_equal(lag_of(&s, NULL).us, -1);
	assert_int_equal(lag_of(&s, NULL).bytes, -1);
}

static void
old_marks_give_way(void **state)
{
	struct lag_marks m = { 0 };
	struct lag_standby s = { 2000, 0, 0, false, -1 };

	(void)state;
	for (unsigned i = 1; i <= 100; i++)
		lag_mark(&m, 10 * i, 100 * i);
	s.replayed = 100 * (100 - LAG_MARKS);
	assert_int_equal(lag_of(&s, &m).us, -1);
	s.replayed += 100;
	assert_int_equal(lag_of(&s, &m).us, 2000 - 10 * (100 - LAG_MARKS + 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lag_is_told_from_marks),
		cmocka_unit_test(without_a_primary_the_standbys_word_is_taken),
		cmocka_unit_test(old_marks_give_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
