/* SPDX-License-Identifier: PostgreSQL
 *
 * Statements that take long: sent, and waited for while the migration's thread stays able to stop.
 * And what the steps ask of the catalogs of Citus.
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_RUN_H
#define MIGRATION_DISTRIBUTE_DIST_RUN_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "base/err.h"
#include "migration/distribute/dist_args.h"
#include "migration/kind.h"

/* application_name of the sessions that distribute concurrently, behind it the migration's number:
 * not that of executors, so that a run is not ended with the executor that began it. */
#define DIST_APPLICATION "meridian-distribute-"

/* One statement: its first value, the caller's; NULL where there is none. */
int dist_value(struct job *j, PGconn *c, const char *sql, char **out, struct err *e);
/* Statements of dist_sql.h, in the transaction that is open, with lock_timeout, and again after
 * it. */
int dist_run_locked(struct job *j, PGconn *c, const char *sql, struct err *e);

/* What a table is to Citus now; *column the caller's, NULL unless DIST_HASH. A table that is not
 * there is DIST_LOCAL. */
int dist_state_of(PGconn *c, const char *table, enum dist_state *out, char **column, struct err *e);
/* The key: 1 valid, 0 not valid, -2 not there; -1 and *e. */
int dist_key_state(PGconn *c, const struct dist_key_args *k, struct err *e);
/* Rows of the child without a parent (up to 1000), and the first of them. */
int dist_orphans(struct job *j, PGconn *c, const struct dist_key_args *k, int64_t *n, char **first,
		 struct err *e);
/* The process that holds the lock of the one concurrent operation that Citus allows; 0: none. */
int dist_operation(PGconn *c, int *pid, struct err *e);
/* End our own sessions that distribute concurrently, and wait until they are gone. */
int dist_end_runs(struct job *j, PGconn *c, struct err *e);

#endif
