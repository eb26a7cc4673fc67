/* SPDX-License-Identifier: PostgreSQL
 *
 * What may happen to a migration in which state: one table of states and events. The console reads
 * it before it carries out a command, the engine before it writes a state; `meridian --dump-states`
 * draws it.
 *
 * Source: the states' names and their order are those of the application migrations that a hosting
 * service once had (created, prepared, data-migrated, …), and of the states in between.
 */
#ifndef MIGRATION_TRANSITIONS_H
#define MIGRATION_TRANSITIONS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "migration/types.h"

/* X(constant, words for people) */
#define MIGRATION_EVENTS(X)                                                    \
	X(EVENT_CHECK_PASSED, "check passed")                                  \
	X(EVENT_CHECK_FAILED, "check failed")                                  \
	X(EVENT_RUN_PREPARE, "RUN PREPARE")                                    \
	X(EVENT_RUN_DATA, "RUN DATA")                                          \
	X(EVENT_RUN_FINALIZE, "RUN FINALIZE")                                  \
	X(EVENT_PHASE_DONE, "phase done") /* after its last step */            \
	X(EVENT_ALL_DONE, "all done")     /* … and no later one has steps */ \
	X(EVENT_DECIDED, "decided")       /* forward: REVERSE, not ABORT */    \
	X(EVENT_REVERSE, "REVERSE")                                            \
	X(EVENT_COMPLETE, "COMPLETE")                                          \
	X(EVENT_WAIT_NODES, "nodes missing")                                   \
	X(EVENT_WAIT_ACK, "ACK missing")                                       \
	X(EVENT_GO_ON, "wait over")                                            \
	X(EVENT_PAUSE, "PAUSE")                                                \
	X(EVENT_RESUME, "RESUME")                                              \
	X(EVENT_FAIL, "step failed")                                           \
	X(EVENT_RETRY, "RETRY")                                                \
	X(EVENT_ABORT, "ABORT")                                                \
	X(EVENT_ABORT_DONE, "all undone")

#define MIGRATION_CONSTANT(constant, words) constant,
enum migration_event { MIGRATION_EVENTS(MIGRATION_CONSTANT) MIGRATION_NEVENTS };
#undef MIGRATION_CONSTANT

/* The state that follows; -1: not in this state. `phase` is the row's (that of the step that runs
 * or ran last, -1: none): one that was interrupted goes back to its state, and RUN of another one
 * is refused until then. Which phases have steps is not known here: that RUN DATA comes after
 * PREPARE is the caller's to see. */
int transition(enum migration_state from, enum migration_event ev, int phase);
/* The same for the console: -1 and *e (55000). */
int transition_check(enum migration_state from, enum migration_event ev, int phase, struct err *e);
/* The event that begins a phase. */
enum migration_event transition_event(enum migration_phase phase);
/* The state while steps of a phase run. */
enum migration_state transition_running(enum migration_phase phase);
/* Nothing can happen any more. */
bool transition_is_over(enum migration_state s);
/* An executor is at work, or ought to be. */
bool transition_is_running(enum migration_state s);
/* Every pair of states that the table allows, as a digraph of Graphviz. */
void transitions_dot(struct buf *out);

#endif
