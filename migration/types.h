/* SPDX-License-Identifier: PostgreSQL
 *
 * The words of migrations: kinds, states, phases, classes of steps. Their spelling is what
 * operators read and what the control schema keeps, so it never changes.
 */
#ifndef MIGRATION_TYPES_H
#define MIGRATION_TYPES_H

#define MIGRATION_KINDS(X)               \
	X(KIND_MOVE, "move")             \
	X(KIND_REGIONS_OF, "regions")    \
	X(KIND_DISTRIBUTE, "distribute") \
	X(KIND_FILES, "files")

/* Which may follow which is migration/transitions.c. */
#define MIGRATION_STATES(X)                                 \
	X(STATE_CREATED, "created")                         \
	X(STATE_PREFLIGHT_ERROR, "preflight-error")         \
	X(STATE_PREFLIGHT_SUCCESS, "preflight-success")     \
	X(STATE_PREPARING, "running(prepare)")              \
	X(STATE_PREPARED, "prepared")                       \
	X(STATE_MIGRATING_DATA, "running(data)")            \
	X(STATE_DATA_MIGRATED, "data-migrated")             \
	X(STATE_FINALIZING, "running(finalize)")            \
	X(STATE_SWITCHED, "switched") /* decided forward */ \
	X(STATE_REDIRECTING, "redirecting")                 \
	X(STATE_REVERSING, "reversing")                     \
	X(STATE_REVERSED, "reversed")                       \
	X(STATE_COMPLETING, "completing")                   \
	X(STATE_DONE, "done")                               \
	X(STATE_WAITING_NODES, "waiting-nodes")             \
	X(STATE_WAITING_ACK, "waiting-ack")                 \
	X(STATE_PAUSED, "paused")                           \
	X(STATE_ERROR, "error")                             \
	X(STATE_ABORTING, "aborting")                       \
	X(STATE_ABORTED, "aborted")

/* What RUN names, and what the engine runs by itself. */
#define MIGRATION_PHASES(X)           \
	X(PHASE_PREPARE, "prepare")   \
	X(PHASE_DATA, "data")         \
	X(PHASE_FINALIZE, "finalize") \
	X(PHASE_REVERSE, "reverse")   \
	X(PHASE_COMPLETE, "complete")

/* How a step is repeated after a crash. */
#define MIGRATION_CLASSES(X)                                                               \
	X(CLASS_T, "T") /* transactional: its row commits with the action, exactly once */ \
	X(CLASS_I, "I") /* idempotent: a query tells whether it is done */                 \
	X(CLASS_R, "R") /* run again as a whole */

#define MIGRATION_STEP_STATES(X)                    \
	X(STEP_PENDING, "pending")                  \
	X(STEP_RUNNING, "running")                  \
	X(STEP_APPLIED, "done")                     \
	X(STEP_SKIPPED, "skipped") /* found done */ \
	X(STEP_FAILED, "error")                     \
	X(STEP_UNDONE, "undone")

#define MIGRATION_CONSTANT(constant, word) constant,
enum migration_kind { MIGRATION_KINDS(MIGRATION_CONSTANT) MIGRATION_NKINDS };
enum migration_state { MIGRATION_STATES(MIGRATION_CONSTANT) MIGRATION_NSTATES };
enum migration_phase { MIGRATION_PHASES(MIGRATION_CONSTANT) MIGRATION_NPHASES };
enum step_class { MIGRATION_CLASSES(MIGRATION_CONSTANT) MIGRATION_NCLASSES };
enum step_state { MIGRATION_STEP_STATES(MIGRATION_CONSTANT) MIGRATION_NSTEP_STATES };
#undef MIGRATION_CONSTANT

const char *migration_kind_name(enum migration_kind k);
const char *migration_state_name(enum migration_state s);
const char *migration_phase_name(enum migration_phase p);
const char *step_class_name(enum step_class c);
const char *step_state_name(enum step_state s);
/* -1: there is no such word. */
int migration_kind_of(const char *word);
int migration_state_of(const char *word);
int migration_phase_of(const char *word);
int step_state_of(const char *word);

/* Meridian's own class of SQLSTATE. */
#define SQLSTATE_NODE_FENCED      "MR001" /* this node takes no writes for the database any more */
#define SQLSTATE_DDL_BLOCKED      "MR002"
#define SQLSTATE_CUTOVER_DEADLINE "MR003"
#define SQLSTATE_DECIDED          "MR004" /* already decided otherwise */
#define SQLSTATE_GUARD_FAILED     "MR005" /* DETAIL: the guards */
#define SQLSTATE_OUTCOME_UNKNOWN  "MR006"
#define SQLSTATE_LEASE_LOST       "MR007" /* another executor has the migration now */

#endif
