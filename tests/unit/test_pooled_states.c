/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/pool/pooled_states.h"

#include "tests/unit/unit.h"

static void
each_state_can_come_to_its_end(void **state)
{
	(void)state;
	for (unsigned s = 0; s < POOLED_STATE_COUNT; s++) {
		if (s != POOLED_PARKED)
			assert_true(pooled_state_may((enum pooled_state)s, POOLED_PARKED));
	}
}

static void
a_question_begins_and_ends_where_the_server_is_the_sessions(void **state)
{
	(void)state;
	for (unsigned s = POOLED_SERVED + 1; s < POOLED_STATE_COUNT; s++) {
		for (unsigned from = 0; from < POOLED_STATE_COUNT; from++)
			assert_int_equal(
			    pooled_state_may((enum pooled_state)from, (enum pooled_state)s),
			    from == POOLED_SERVED);
		assert_true(pooled_state_may((enum pooled_state)s, POOLED_SERVED));
	}
}

static void
a_queue_is_left_before_a_server_is_had(void **state)
{
	(void)state;
	assert_false(pooled_state_may(POOLED_WAITING, POOLED_SERVED));
	assert_false(pooled_state_may(POOLED_SERVED, POOLED_WAITING));
}

static void
what_is_skipped_goes_to_no_server(void **state)
{
	(void)state;
	for (unsigned s = 0; s < POOLED_STATE_COUNT; s++) {
		assert_int_equal(pooled_state_may(POOLED_SKIPPING, (enum pooled_state)s),
				 s == POOLED_PARKED);
		assert_int_equal(pooled_state_may((enum pooled_state)s, POOLED_SKIPPING),
				 s == POOLED_PARKED);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_state_can_come_to_its_end),
		cmocka_unit_test(a_question_begins_and_ends_where_the_server_is_the_sessions),
		cmocka_unit_test(a_queue_is_left_before_a_server_is_had),
		cmocka_unit_test(what_is_skipped_goes_to_no_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
