/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/transitions.h"

#include <stdio.h>

#include "tests/unit/unit.h"

static int
step(int from, int ev, int phase)
{
	return transition((enum migration_state)from, (enum migration_event)ev, phase);
}

/* The set of states that follow one of `from`, by any event in any phase. */
static uint32_t
after(uint32_t from)
{
	uint32_t to = 0;

	for (int s = 0; s < MIGRATION_NSTATES; s++)
		for (int ev = 0; ev < MIGRATION_NEVENTS; ev++)
			for (int p = -1; p < MIGRATION_NPHASES; p++)
				if ((from & 1u << s) != 0 && step(s, ev, p) >= 0)
					to |= 1u << step(s, ev, p);
	return to;
}

static uint32_t
closure(uint32_t from)
{
	uint32_t before;

	do {
		before = from;
		from |= after(from);
	} while (from != before);
	return from;
}

static void
every_state_is_reached_from_created(void **state)
{
	(void)state;
	assert_int_equal(closure(1u << STATE_CREATED), (1u << MIGRATION_NSTATES) - 1);
}

static void
from_every_state_there_is_a_way_to_an_end(void **state)
{
	(void)state;
	for (int s = 0; s < MIGRATION_NSTATES; s++) {
		bool over = transition_is_over((enum migration_state)s);

		if (over)
			assert_int_equal(after(1u << s), 0);
		else
			assert_true((closure(1u << s) & (1u << STATE_DONE | 1u << STATE_ABORTED)) !=
				    0);
	}
}

static void
every_event_happens_somewhere(void **state)
{
	(void)state;
	for (int ev = 0; ev < MIGRATION_NEVENTS; ev++) {
		bool happens = false;

		for (int s = 0; s < MIGRATION_NSTATES; s++)
			happens = happens || step(s, ev, PHASE_DATA) >= 0 ||
				  step(s, ev, PHASE_PREPARE) >= 0 ||
				  step(s, ev, PHASE_FINALIZE) >= 0 ||
				  step(s, ev, PHASE_REVERSE) >= 0;
		if (!happens)
			fail_msg("event %d happens in no state", ev);
	}
}

static void
who_was_interrupted_goes_back_to_the_phase_it_was_in(void **state)
{
	static const int interrupted[] = { STATE_PAUSED, STATE_ERROR, STATE_WAITING_ACK,
					   STATE_WAITING_NODES };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		int s = interrupted[i];

		assert_int_equal(step(s, EVENT_RETRY, PHASE_DATA), STATE_MIGRATING_DATA);
		assert_int_equal(step(s, EVENT_RUN_DATA, PHASE_DATA), STATE_MIGRATING_DATA);
		assert_int_equal(step(s, EVENT_RUN_FINALIZE, PHASE_DATA), -1);
		assert_int_equal(step(s, EVENT_RUN_PREPARE, -1), -1);
		assert_int_equal(step(s, EVENT_ABORT, PHASE_DATA), STATE_ABORTING);
	}
	assert_int_equal(step(STATE_PAUSED, EVENT_RESUME, PHASE_PREPARE), STATE_PREPARING);
	assert_int_equal(step(STATE_ERROR, EVENT_REVERSE, PHASE_REVERSE), STATE_REVERSING);
	assert_int_equal(step(STATE_ERROR, EVENT_REVERSE, PHASE_COMPLETE), -1);
	assert_int_equal(step(STATE_ERROR, EVENT_COMPLETE, PHASE_COMPLETE), STATE_COMPLETING);
	assert_int_equal(step(STATE_ERROR, EVENT_COMPLETE, PHASE_FINALIZE), -1);
	assert_int_equal(step(STATE_ERROR, EVENT_COMPLETE, -1), -1);
}

static void
who_cannot_go_back_may_stay(void **state)
{
	(void)state;
	assert_int_equal(step(STATE_ERROR, EVENT_COMPLETE, PHASE_REVERSE), STATE_COMPLETING);
	assert_int_equal(step(STATE_REVERSING, EVENT_COMPLETE, PHASE_REVERSE), -1);
}

/* A decision is not taken back but by REVERSE, and what is over stays over. */
static void
what_was_decided_goes_forward(void **state)
{
	static const int decided[] = { STATE_SWITCHED, STATE_REDIRECTING, STATE_REVERSING,
				       STATE_REVERSED, STATE_COMPLETING,  STATE_DONE };

	(void)state;
	for (size_t i = 0; i < sizeof(decided) / sizeof(decided[0]); i++)
		assert_int_equal(step(decided[i], EVENT_ABORT, PHASE_FINALIZE), -1);
	assert_int_equal(step(STATE_SWITCHED, EVENT_PAUSE, PHASE_FINALIZE), -1);
	assert_int_equal(step(STATE_REDIRECTING, EVENT_REVERSE, PHASE_FINALIZE), STATE_REVERSING);
	assert_int_equal(step(STATE_FINALIZING, EVENT_REVERSE, PHASE_FINALIZE), -1);
}

static void
a_refusal_names_the_state_and_the_way_out(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(transition_check(STATE_DONE, EVENT_ABORT, -1, &e), -1);
	assert_string_equal(e.sqlstate, "55000");
	assert_string_equal(e.msg, "ABORT is not possible: the migration is in state done");
	assert_string_equal(e.hint, "It is over. CREATE MIGRATION makes a new one.");
	assert_int_equal(transition_check(STATE_REDIRECTING, EVENT_ABORT, PHASE_FINALIZE, &e), -1);
	assert_string_equal(e.hint, "It has been decided forward; use REVERSE MIGRATION.");
	assert_int_equal(transition_check(STATE_PREPARED, EVENT_RUN_DATA, PHASE_PREPARE, &e), 0);
}

static void
a_phase_has_its_event_and_its_state(void **state)
{
	(void)state;
	for (int p = 0; p < MIGRATION_NPHASES; p++) {
		enum migration_state running = transition_running((enum migration_phase)p);

		assert_true(transition_is_running(running));
		assert_int_equal(
		    step((int)running, (int)transition_event((enum migration_phase)p), p), running);
	}
}

static void
the_drawing_has_every_state(void **state)
{
	struct buf out = { 0 };
	char quoted[64];

	(void)state;
	transitions_dot(&out);
	for (int s = 0; s < MIGRATION_NSTATES; s++) {
		snprintf(quoted, sizeof(quoted), "\"%s\" ->",
			 migration_state_name((enum migration_state)s));
		if (!transition_is_over((enum migration_state)s))
			assert_non_null(strstr(buf_text(&out), quoted));
	}
	assert_non_null(
	    strstr(buf_text(&out), "\"switched\" -> \"redirecting\" [label=\"phase done\"]"));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_is_reached_from_created),
		cmocka_unit_test(from_every_state_there_is_a_way_to_an_end),
		cmocka_unit_test(every_event_happens_somewhere),
		cmocka_unit_test(who_was_interrupted_goes_back_to_the_phase_it_was_in),
		cmocka_unit_test(who_cannot_go_back_may_stay),
		cmocka_unit_test(what_was_decided_goes_forward),
		cmocka_unit_test(a_refusal_names_the_state_and_the_way_out),
		cmocka_unit_test(a_phase_has_its_event_and_its_state),
		cmocka_unit_test(the_drawing_has_every_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
