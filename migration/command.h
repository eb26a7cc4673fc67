/* SPDX-License-Identifier: PostgreSQL
 *
 * The commands of the console about migrations, each a function that waits for databases: the
 * console gives it a thread (proxy/move/migrations.h). All state is in the control schema, so any
 * proxy of the fleet answers any command.
 */
#ifndef MIGRATION_COMMAND_H
#define MIGRATION_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct migrations;

/* X(constant, words as the journal has them) */
#define MIGRATION_VERBS(X)                                 \
	X(VERB_CREATE, "CREATE MIGRATION")                 \
	X(VERB_PLAN, "PLAN MIGRATION")                     \
	X(VERB_CHECK, "CHECK MIGRATION")                   \
	X(VERB_RUN, "RUN MIGRATION")                       \
	X(VERB_ACK, "ACK MIGRATION")                       \
	X(VERB_ABORT, "ABORT MIGRATION")                   \
	X(VERB_REVERSE, "REVERSE MIGRATION")               \
	X(VERB_COMPLETE, "COMPLETE MIGRATION")             \
	X(VERB_PAUSE, "PAUSE MIGRATION")                   \
	X(VERB_RESUME, "RESUME MIGRATION")                 \
	X(VERB_RETRY, "RETRY MIGRATION")                   \
	X(VERB_SET, "SET MIGRATION")                       \
	X(VERB_VERIFY, "VERIFY MIGRATION")                 \
	X(VERB_FOLLOW, "FOLLOW MIGRATION")                 \
	X(VERB_SHOW_LIST, "SHOW MIGRATIONS")               \
	X(VERB_SHOW, "SHOW MIGRATION")                     \
	X(VERB_SHOW_STEPS, "SHOW MIGRATION STEPS")         \
	X(VERB_SHOW_CHECKS, "SHOW MIGRATION CHECKS")       \
	X(VERB_SHOW_SQL, "SHOW MIGRATION SQL")             \
	X(VERB_SHOW_TABLES, "SHOW MIGRATION TABLES")       \
	X(VERB_SHOW_SEQUENCES, "SHOW MIGRATION SEQUENCES") \
	X(VERB_SHOW_LAG, "SHOW MIGRATION LAG")             \
	X(VERB_SHOW_SESSIONS, "SHOW MIGRATION SESSIONS")   \
	X(VERB_SHOW_LOG, "SHOW MIGRATION LOG")             \
	X(VERB_SHOW_OPTIONS, "SHOW MIGRATION OPTIONS")     \
	X(VERB_SHOW_IMPACT, "SHOW MIGRATION IMPACT")       \
	X(VERB_SHOW_FILES, "SHOW MIGRATION FILES")         \
	X(VERB_SHOW_OPTION, "SHOW MIGRATION option")       \
	X(VERB_SHOW_REDIRECTS, "SHOW REDIRECTS")           \
	X(VERB_SHOW_AUTHORITY, "SHOW AUTHORITY")           \
	X(VERB_SHOW_EXECUTORS, "SHOW EXECUTORS")

#define MIGRATION_CONSTANT(constant, words) constant,
enum migration_verb { MIGRATION_VERBS(MIGRATION_CONSTANT) MIGRATION_NVERBS };
#undef MIGRATION_CONSTANT

struct migration_request {
	enum migration_verb verb;
	const char *migration; /* as it was said: id, name or uuid prefix; NULL */
	const char *text;      /* CREATE: all behind CREATE MIGRATION; SET: ( … ) */
	const char *phase;     /* RUN, CHECK: "PREPARE" … "ALL", "NEXT", "STEP"; NULL */
	const char *argument;  /* STEP's number, ACK's guard, VERIFY's tables, SHOW's option, LIKE's
				* pattern, PLAN's format; NULL */
	const char *argument2; /* ACK's text, SHOW MIGRATIONS STATE's word; NULL */
	const char *deadline;  /* RUN … DEADLINE; NULL */
	const char *force;     /* FORCE ( guard , … ): ( … ); NULL */
	bool nowait;
	bool is_forced;                         /* ABORT … FORCE */
	const char *user, *address, *statement; /* for the journal */
};

/* Where the answer goes; called on the command's own thread. */
struct migration_sink {
	void *arg;
	/* Values as text, NULL for SQL NULL; as many as the console's table has columns. */
	void (*row)(void *arg, const char *const *values, size_t n);
	void (*notice)(void *arg, const char *severity, const struct err *e);
	/* FOLLOW: one line, without its end. */
	void (*line)(void *arg, const char *text);
	/* The client has gone, or said Ctrl-C: answer soon. */
	bool (*is_cancelled)(void *arg);
};

/* The answer of every command but SHOW <topic>, PLAN and FOLLOW: migration, name, kind, state,
 * step, progress, detail, next. */
#define MIGRATION_RESULT_COLUMNS 8

/* 0, or -1 and *e (42704, 55000, 22023, 55P03, 57014, MR…). */
int migration_execute(struct migrations *ms, const struct migration_request *rq,
		      const struct migration_sink *sink, struct err *e);

#endif
