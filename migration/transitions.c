/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/transitions.h"

#include <stddef.h>

#include "protocol/sqlstate.h"

/* Where a row leads: to a state, or back to the phase that was interrupted. */
#define TO_PHASE (-2)
/* COMPLETE: where it was interrupted itself, or a REVERSE was (run_complete() asks how far). */
#define TO_COMPLETING (-3)

struct row {
	enum migration_state from;
	enum migration_event event;
	int to;
};

/* clang-format off */
static const struct row rows[] = {
	/* the preflight; RUN repeats it where it has not passed yet */
	{ STATE_CREATED, EVENT_CHECK_PASSED, STATE_PREFLIGHT_SUCCESS },
	{ STATE_CREATED, EVENT_CHECK_FAILED, STATE_PREFLIGHT_ERROR },
	{ STATE_CREATED, EVENT_ABORT, STATE_ABORTING },
	{ STATE_PREFLIGHT_ERROR, EVENT_CHECK_PASSED, STATE_PREFLIGHT_SUCCESS },
	{ STATE_PREFLIGHT_ERROR, EVENT_CHECK_FAILED, STATE_PREFLIGHT_ERROR },
	{ STATE_PREFLIGHT_ERROR, EVENT_RUN_PREPARE, STATE_PREPARING }, /* FORCE */
	{ STATE_PREFLIGHT_ERROR, EVENT_RUN_DATA, STATE_MIGRATING_DATA },
	{ STATE_PREFLIGHT_ERROR, EVENT_RUN_FINALIZE, STATE_FINALIZING },
	{ STATE_PREFLIGHT_ERROR, EVENT_ABORT, STATE_ABORTING },
	{ STATE_PREFLIGHT_SUCCESS, EVENT_CHECK_PASSED, STATE_PREFLIGHT_SUCCESS },
	{ STATE_PREFLIGHT_SUCCESS, EVENT_CHECK_FAILED, STATE_PREFLIGHT_ERROR },
	{ STATE_PREFLIGHT_SUCCESS, EVENT_RUN_PREPARE, STATE_PREPARING },
	{ STATE_PREFLIGHT_SUCCESS, EVENT_RUN_DATA, STATE_MIGRATING_DATA },
	{ STATE_PREFLIGHT_SUCCESS, EVENT_RUN_FINALIZE, STATE_FINALIZING },
	{ STATE_PREFLIGHT_SUCCESS, EVENT_ABORT, STATE_ABORTING },

	/* the phases; RUN and RETRY in a running one: its executor died */
	{ STATE_PREPARING, EVENT_RUN_PREPARE, STATE_PREPARING },
	{ STATE_PREPARING, EVENT_RETRY, STATE_PREPARING },
	{ STATE_PREPARING, EVENT_PHASE_DONE, STATE_PREPARED },
	{ STATE_PREPARING, EVENT_ALL_DONE, STATE_DONE },
	{ STATE_PREPARING, EVENT_WAIT_NODES, STATE_WAITING_NODES },
	{ STATE_PREPARING, EVENT_WAIT_ACK, STATE_WAITING_ACK },
	{ STATE_PREPARING, EVENT_PAUSE, STATE_PAUSED },
	{ STATE_PREPARING, EVENT_FAIL, STATE_ERROR },
	{ STATE_PREPARING, EVENT_ABORT, STATE_ABORTING },
	{ STATE_PREPARED, EVENT_RUN_DATA, STATE_MIGRATING_DATA },
	{ STATE_PREPARED, EVENT_RUN_FINALIZE, STATE_FINALIZING }, /* FORCE (data), or none needed */
	{ STATE_PREPARED, EVENT_ABORT, STATE_ABORTING },
	{ STATE_MIGRATING_DATA, EVENT_RUN_DATA, STATE_MIGRATING_DATA },
	{ STATE_MIGRATING_DATA, EVENT_RETRY, STATE_MIGRATING_DATA },
	{ STATE_MIGRATING_DATA, EVENT_PHASE_DONE, STATE_DATA_MIGRATED },
	{ STATE_MIGRATING_DATA, EVENT_ALL_DONE, STATE_DONE },
	{ STATE_MIGRATING_DATA, EVENT_WAIT_NODES, STATE_WAITING_NODES },
	{ STATE_MIGRATING_DATA, EVENT_WAIT_ACK, STATE_WAITING_ACK },
	{ STATE_MIGRATING_DATA, EVENT_PAUSE, STATE_PAUSED },
	{ STATE_MIGRATING_DATA, EVENT_FAIL, STATE_ERROR },
	{ STATE_MIGRATING_DATA, EVENT_ABORT, STATE_ABORTING },
	{ STATE_DATA_MIGRATED, EVENT_RUN_FINALIZE, STATE_FINALIZING },
	{ STATE_DATA_MIGRATED, EVENT_ABORT, STATE_ABORTING },
	{ STATE_FINALIZING, EVENT_RUN_FINALIZE, STATE_FINALIZING },
	{ STATE_FINALIZING, EVENT_RETRY, STATE_FINALIZING },
	{ STATE_FINALIZING, EVENT_DECIDED, STATE_SWITCHED },
	{ STATE_FINALIZING, EVENT_ALL_DONE, STATE_DONE },
	{ STATE_FINALIZING, EVENT_PHASE_DONE, STATE_DONE }, /* there was nothing to decide */
	{ STATE_FINALIZING, EVENT_WAIT_NODES, STATE_WAITING_NODES },
	{ STATE_FINALIZING, EVENT_WAIT_ACK, STATE_WAITING_ACK },
	{ STATE_FINALIZING, EVENT_PAUSE, STATE_PAUSED },
	{ STATE_FINALIZING, EVENT_FAIL, STATE_ERROR },
	{ STATE_FINALIZING, EVENT_ABORT, STATE_ABORTING },

	/* decided: forward, and back only by the same way */
	{ STATE_SWITCHED, EVENT_RUN_FINALIZE, STATE_SWITCHED },
	{ STATE_SWITCHED, EVENT_RETRY, STATE_SWITCHED },
	{ STATE_SWITCHED, EVENT_PHASE_DONE, STATE_REDIRECTING },
	{ STATE_SWITCHED, EVENT_ALL_DONE, STATE_DONE },
	{ STATE_SWITCHED, EVENT_FAIL, STATE_ERROR },
	{ STATE_REDIRECTING, EVENT_REVERSE, STATE_REVERSING },
	{ STATE_REDIRECTING, EVENT_COMPLETE, STATE_COMPLETING },
	{ STATE_REVERSING, EVENT_REVERSE, STATE_REVERSING },
	{ STATE_REVERSING, EVENT_RETRY, STATE_REVERSING },
	{ STATE_REVERSING, EVENT_PHASE_DONE, STATE_REVERSED },
	{ STATE_REVERSING, EVENT_FAIL, STATE_ERROR },
	{ STATE_REVERSED, EVENT_COMPLETE, STATE_COMPLETING },
	{ STATE_COMPLETING, EVENT_COMPLETE, STATE_COMPLETING },
	{ STATE_COMPLETING, EVENT_RETRY, STATE_COMPLETING },
	{ STATE_COMPLETING, EVENT_PHASE_DONE, STATE_DONE },
	{ STATE_COMPLETING, EVENT_ALL_DONE, STATE_DONE },
	{ STATE_COMPLETING, EVENT_PAUSE, STATE_PAUSED },
	{ STATE_COMPLETING, EVENT_FAIL, STATE_ERROR },

	/* interrupted */
	{ STATE_WAITING_NODES, EVENT_GO_ON, TO_PHASE },
	{ STATE_WAITING_NODES, EVENT_RUN_PREPARE, TO_PHASE },
	{ STATE_WAITING_NODES, EVENT_RUN_DATA, TO_PHASE },
	{ STATE_WAITING_NODES, EVENT_RUN_FINALIZE, TO_PHASE },
	{ STATE_WAITING_NODES, EVENT_RETRY, TO_PHASE },
	{ STATE_WAITING_NODES, EVENT_PAUSE, STATE_PAUSED },
	{ STATE_WAITING_NODES, EVENT_FAIL, STATE_ERROR },
	{ STATE_WAITING_NODES, EVENT_ABORT, STATE_ABORTING },
	{ STATE_WAITING_ACK, EVENT_GO_ON, TO_PHASE },
	{ STATE_WAITING_ACK, EVENT_RUN_PREPARE, TO_PHASE },
	{ STATE_WAITING_ACK, EVENT_RUN_DATA, TO_PHASE },
	{ STATE_WAITING_ACK, EVENT_RUN_FINALIZE, TO_PHASE },
	{ STATE_WAITING_ACK, EVENT_RETRY, TO_PHASE },
	{ STATE_WAITING_ACK, EVENT_PAUSE, STATE_PAUSED },
	{ STATE_WAITING_ACK, EVENT_FAIL, STATE_ERROR },
	{ STATE_WAITING_ACK, EVENT_ABORT, STATE_ABORTING },
	{ STATE_PAUSED, EVENT_RESUME, TO_PHASE },
	{ STATE_PAUSED, EVENT_RETRY, TO_PHASE },
	{ STATE_PAUSED, EVENT_RUN_PREPARE, TO_PHASE },
	{ STATE_PAUSED, EVENT_RUN_DATA, TO_PHASE },
	{ STATE_PAUSED, EVENT_RUN_FINALIZE, TO_PHASE },
	{ STATE_PAUSED, EVENT_COMPLETE, TO_PHASE },
	{ STATE_PAUSED, EVENT_ABORT, STATE_ABORTING },
	{ STATE_ERROR, EVENT_RETRY, TO_PHASE },
	{ STATE_ERROR, EVENT_RUN_PREPARE, TO_PHASE },
	{ STATE_ERROR, EVENT_RUN_DATA, TO_PHASE },
	{ STATE_ERROR, EVENT_RUN_FINALIZE, TO_PHASE },
	{ STATE_ERROR, EVENT_REVERSE, TO_PHASE },
	{ STATE_ERROR, EVENT_COMPLETE, TO_COMPLETING },
	{ STATE_ERROR, EVENT_ABORT, STATE_ABORTING },

	{ STATE_ABORTING, EVENT_ABORT, STATE_ABORTING },
	{ STATE_ABORTING, EVENT_RETRY, STATE_ABORTING },
	{ STATE_ABORTING, EVENT_FAIL, STATE_ERROR },
	{ STATE_ABORTING, EVENT_ABORT_DONE, STATE_ABORTED },
};
/* clang-format on */

#define NROWS (sizeof(rows) / sizeof(rows[0]))

static const struct {
	enum migration_event begins;
	enum migration_state running;
} phases[] = {
	[PHASE_PREPARE] = { EVENT_RUN_PREPARE, STATE_PREPARING },
	[PHASE_DATA] = { EVENT_RUN_DATA, STATE_MIGRATING_DATA },
	[PHASE_FINALIZE] = { EVENT_RUN_FINALIZE, STATE_FINALIZING },
	[PHASE_REVERSE] = { EVENT_REVERSE, STATE_REVERSING },
	[PHASE_COMPLETE] = { EVENT_COMPLETE, STATE_COMPLETING },
};

#define WORD(constant, words) words,
static const char *const events[] = { MIGRATION_EVENTS(WORD) NULL };
#undef WORD

enum migration_event
transition_event(enum migration_phase phase)
{
	return phases[phase].begins;
}

enum migration_state
transition_running(enum migration_phase phase)
{
	return phases[phase].running;
}

/* Whether an event is RUN of some phase, and of another one. */
static bool
begins_another(enum migration_event ev, int phase)
{
	for (int p = 0; p < MIGRATION_NPHASES; p++)
		if (phases[p].begins == ev)
			return p != phase;
	return false;
}

int
transition(enum migration_state from, enum migration_event ev, int phase)
{
	for (size_t i = 0; i < NROWS; i++) {
		if (rows[i].from != from || rows[i].event != ev)
			continue;
		if (rows[i].to == TO_COMPLETING)
			return phase >= PHASE_REVERSE ? STATE_COMPLETING : -1;
		if (rows[i].to != TO_PHASE)
			return rows[i].to;
		if (phase < 0 || phase >= MIGRATION_NPHASES || begins_another(ev, phase))
			return -1;
		return (int)phases[phase].running;
	}
	return -1;
}

int
transition_check(enum migration_state from, enum migration_event ev, int phase, struct err *e)
{
	if (transition(from, ev, phase) >= 0)
		return 0;
	err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "%s is not possible: the migration is in state %s",
		events[ev], migration_state_name(from));
	if (transition_is_over(from))
		return err_hint(e, "It is over. CREATE MIGRATION makes a new one.");
	if (ev == EVENT_ABORT && transition(from, EVENT_REVERSE, phase) >= 0)
		return err_hint(e, "It has been decided forward; use REVERSE MIGRATION.");
	return -1;
}

bool
transition_is_over(enum migration_state s)
{
	return s == STATE_DONE || s == STATE_ABORTED;
}

bool
transition_is_running(enum migration_state s)
{
	static const bool running[MIGRATION_NSTATES] = {
		[STATE_PREPARING] = true,     [STATE_MIGRATING_DATA] = true,
		[STATE_FINALIZING] = true,    [STATE_SWITCHED] = true,
		[STATE_REVERSING] = true,     [STATE_COMPLETING] = true,
		[STATE_WAITING_NODES] = true, [STATE_WAITING_ACK] = true,
		[STATE_ABORTING] = true,
	};

	return running[s];
}

/* ---- the drawing ---- */

static void
put_edge(struct buf *out, const struct row *row, const char *to)
{
	buf_printf(out, "\t\"%s\" -> \"%s\" [label=\"%s\"];\n", migration_state_name(row->from), to,
		   events[row->event]);
}

/* One edge for each phase to which a row may lead back. */
static void
put_ways_back(struct buf *out, const struct row *row)
{
	for (int p = 0; p < MIGRATION_NPHASES; p++) {
		int to = transition(row->from, row->event, p);

		if (to >= 0)
			put_edge(out, row, migration_state_name((enum migration_state)to));
	}
}

void
transitions_dot(struct buf *out)
{
	buf_str(out, "digraph migration {\n\trankdir=LR;\n");
	for (size_t i = 0; i < NROWS; i++) {
		if (rows[i].to == TO_PHASE)
			put_ways_back(out, &rows[i]);
		else if (rows[i].to == TO_COMPLETING)
			put_edge(out, &rows[i], migration_state_name(STATE_COMPLETING));
		else
			put_edge(out, &rows[i],
				 migration_state_name((enum migration_state)rows[i].to));
	}
	buf_str(out, "}\n");
}
