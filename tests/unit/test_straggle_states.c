/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/straggle_states.h"

#include "tests/unit/unit.h"

static const struct straggle_state_row *
row(unsigned state)
{
	return straggle_state_row((enum straggle_state)state);
}

static bool
may(unsigned from, unsigned to)
{
	return straggle_state_may((enum straggle_state)from, (enum straggle_state)to);
}

/* The states that can follow, at once or later. */
static unsigned
reached_from(unsigned state)
{
	unsigned reached = row(state)->to, before;

	do {
		before = reached;
		for (unsigned s = 0; s < STRAGGLE_STATE_COUNT; s++) {
			if (reached & (1u << s))
				reached |= row(s)->to;
		}
	} while (reached != before);
	return reached;
}

static void
each_state_is_reached_and_reaches_the_end(void **state)
{
	const unsigned all = (1u << STRAGGLE_STATE_COUNT) - 1;

	(void)state;
	assert_int_equal(reached_from(STRAGGLE_NEW), all & ~(1u << STRAGGLE_NEW));
	for (unsigned s = 0; s < STRAGGLE_STATE_COUNT; s++) {
		assert_int_equal((reached_from(s) & (1u << STRAGGLE_ENDED)) != 0,
				 s != STRAGGLE_ENDED);
	}
	assert_int_equal(row(STRAGGLE_ENDED)->to, 0);
}

static void
no_state_is_entered_twice(void **state)
{
	(void)state;
	for (unsigned s = 0; s < STRAGGLE_STATE_COUNT; s++)
		assert_false(reached_from(s) & (1u << s));
}

static void
a_client_that_must_reconnect_is_not_let_through_to_a_server(void **state)
{
	(void)state;
	for (unsigned s = 0; s < STRAGGLE_STATE_COUNT; s++) {
		for (unsigned to = 0; to < STRAGGLE_STATE_COUNT; to++) {
			if (row(s)->reconnects && may(s, to))
				assert_true(row(to)->reconnects || to == STRAGGLE_ENDED);
		}
	}
	assert_false(may(STRAGGLE_ANSWERING_LAST, STRAGGLE_HOLDING_CLIENT));
}

/* What the client is answered may contradict what the server says: first that is done with. */
static void
the_client_is_answered_when_nothing_of_the_server_is_kept(void **state)
{
	(void)state;
	for (unsigned s = 0; s < STRAGGLE_STATE_COUNT; s++) {
		assert_false(row(s)->keeps_server && (row(s)->answers || row(s)->reconnects));
		for (unsigned to = 0; to < STRAGGLE_STATE_COUNT; to++) {
			if (row(s)->keeps_server && may(s, to))
				assert_false(row(to)->answers);
			if (row(s)->answers && may(s, to))
				assert_false(row(to)->keeps_server);
		}
	}
}

static void
names_are_unique(void **state)
{
	(void)state;
	for (unsigned a = 0; a < STRAGGLE_STATE_COUNT; a++) {
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(row(a)->name, row(b)->name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_state_is_reached_and_reaches_the_end),
		cmocka_unit_test(no_state_is_entered_twice),
		cmocka_unit_test(a_client_that_must_reconnect_is_not_let_through_to_a_server),
		cmocka_unit_test(the_client_is_answered_when_nothing_of_the_server_is_kept),
		cmocka_unit_test(names_are_unique),
	};

	return cmocka_run_group_tests_name("straggle_states", tests, NULL, NULL);
}
