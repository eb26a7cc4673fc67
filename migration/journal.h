/* SPDX-License-Identifier: PostgreSQL
 *
 * The journal of a migration: rows that are never changed, numbered from 1 without races between
 * its writers (the executor, and the commands of the console on any proxy). It is written where
 * the migration's home is and, for a move, follows by the replication of the move itself: so never
 * write it to two places.
 */
#ifndef MIGRATION_JOURNAL_H
#define MIGRATION_JOURNAL_H

#include <libpq-fe.h>
#include <stdint.h>

#include "base/err.h"

struct migration;

struct journal_row {
	int64_t seq;
	const char *at, *actor, *event;
	const char *detail; /* JSON object; NULL: none */
};

/* Events that FOLLOW and WAIT look for; detail of `notice`: {"text":…}, of `state`: {"state":…}. */
#define JOURNAL_COMMAND "command" /* {"statement":…, "user":…, "address":…} */
#define JOURNAL_STATE   "state"
#define JOURNAL_STEP    "step" /* begins: {"n":…, "name":…, "label":…, "place":…} */
#define JOURNAL_STEP_DONE \
	"step-done" /* the same, with "ms", and "found":true where it was skipped */
#define JOURNAL_STEP_FAIL "step-error" /* the same, with "error", "sqlstate", "detail", "hint" */
#define JOURNAL_UNDO      "undo"
#define JOURNAL_NOTICE    "notice"
#define JOURNAL_PROGRESS  "progress" /* {"percent":…, "text":…} */
#define JOURNAL_EXECUTOR  "executor" /* {"owner":…, "token":…, "event":"starts"} */

int journal_add(PGconn *c, const struct migration *m, const char *actor, const char *event,
		const char *detail_json, struct err *e);
/* Rows behind `after`, oldest first, at most `limit`: the number of the last one in *last (not
 * touched where there is none). */
int journal_read(PGconn *c, const char *uuid, int64_t after, int limit,
		 void (*each)(void *to, const struct journal_row *row), void *to, int64_t *last,
		 struct err *e);
/* The last number; 0: empty. */
int journal_last(PGconn *c, const char *uuid, int64_t *out, struct err *e);

#endif
