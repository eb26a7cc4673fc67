/* SPDX-License-Identifier: PostgreSQL
 *
 * Reads a struct dist_catalog from a server, with or without Citus (PostgreSQL 12 and later, Citus
 * 11.2 and later). Changes nothing; takes a second, because changes per second are the difference
 * of two looks.
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_LOAD_H
#define MIGRATION_DISTRIBUTE_DIST_LOAD_H

#include "base/err.h"
#include "migration/distribute/dist_catalog.h"
#include "migration/distribute/dist_planner.h"
#include "migration/kind.h"

/* The one place of a job of this kind. */
#define DIST_PLACE "coordinator"

/* 0 and *out (fini it), or -1 and *e. `column`: the one to distribute by. */
int dist_load(struct job *j, const char *column, struct dist_catalog *out, struct err *e);
/* Which of the tables that the plan would distribute have rows without a value in the column. */
int dist_load_nulls(struct job *j, const char *column, const struct dist_plan *p,
		    struct dist_catalog *c, struct err *e);
/* dist_trim.c: what hangs on a table and is not there any more when Citus has made the table anew
 * (create_distributed_table_concurrently() and undistribute_table() do): comments, and of the views
 * on it the grants, rules, triggers, defaults and indexes. Kept as statements that do no harm where
 * it is still there. For every table of the catalog; search_path is to be pg_catalog: names come
 * with their schemas. */
int dist_load_trimmings(PGconn *db, struct dist_catalog *c, struct err *e);
/* In the transaction that is open; one that cannot be put back is left out, with a NOTICE. */
int dist_put_trimmings(struct job *j, PGconn *db, const struct strlist *statements, struct err *e);
/* The server alone: whether Citus is there. */
int dist_has_citus(PGconn *db, bool *out, struct err *e);

#endif
