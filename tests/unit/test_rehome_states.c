/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/rehome_states.h"

#include "tests/unit/unit.h"

static const struct rehome_state_row *
row(unsigned state)
{
	return rehome_state_row((enum rehome_state)state);
}

static bool
may(unsigned from, unsigned to)
{
	return rehome_state_may((enum rehome_state)from, (enum rehome_state)to);
}

static void
each_move_can_be_given_up_until_the_server_is_the_sessions(void **state)
{
	(void)state;
	for (unsigned s = 0; s < MOVE_STATE_COUNT; s++)
		assert_int_equal(may(s, MOVE_STARTING) || may(s, MOVE_DISOWNED), s != MOVE_SWAPPED);
	assert_int_equal(row(MOVE_SWAPPED)->to, 0);
}

static void
an_answer_of_the_old_server_is_read_or_disowned(void **state)
{
	const unsigned asking[] = { MOVE_CAPTURING, MOVE_CAPTURING_AGAIN };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_true(row(asking[i])->asks);
		assert_true(may(asking[i], MOVE_PREPARED));
		assert_true(may(asking[i], MOVE_DISOWNED));
		assert_false(may(asking[i], MOVE_STARTING));
	}
	assert_true(row(MOVE_DISOWNED)->asks);
	assert_int_equal(row(MOVE_DISOWNED)->stage, REHOME_NONE);
}

static void
a_cancelled_question_is_asked_once_more(void **state)
{
	(void)state;
	assert_true(may(MOVE_CAPTURING, MOVE_CANCELLED));
	assert_true(may(MOVE_CANCELLED, MOVE_CAPTURING_AGAIN));
	assert_false(may(MOVE_CANCELLED, MOVE_CAPTURING));
	assert_false(may(MOVE_CAPTURING_AGAIN, MOVE_CANCELLED));
	assert_int_equal(row(MOVE_CANCELLED)->stage, REHOME_PREPARED);
	assert_string_equal(row(MOVE_CANCELLED)->name, "CANCELLED");
}

static void
the_server_is_swapped_at_ready_only(void **state)
{
	(void)state;
	for (unsigned s = 0; s < MOVE_STATE_COUNT; s++)
		assert_int_equal(may(s, MOVE_SWAPPED), s == MOVE_READY);
	assert_false(row(MOVE_READY)->asks);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_move_can_be_given_up_until_the_server_is_the_sessions),
		cmocka_unit_test(an_answer_of_the_old_server_is_read_or_disowned),
		cmocka_unit_test(a_cancelled_question_is_asked_once_more),
		cmocka_unit_test(the_server_is_swapped_at_ready_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
