/* SPDX-License-Identifier: PostgreSQL
 *
 * The steps of kind regions on a live cluster. Each is class I: it asks the catalog whether it is
 * done, looks for a job that an earlier try has left running before it repeats a statement, and
 * runs each statement as a transaction of its own on a connection of its own (when we go away, the
 * server's job goes on, and the next try finds it).
 */
#ifndef MIGRATION_REGIONS_STEPS_H
#define MIGRATION_REGIONS_STEPS_H

#include <jansson.h>

#include "migration/kind.h"
#include "migration/regions/planner.h"

#define REGIONS_PLACE "cluster"

extern const struct step_def *const regions_defs[REGIONS_NSTEPS + 1];

/* ---- one sort of step; NULL: there is nothing of that ---- */

struct regions_ops {
	int (*done)(struct job *j, const struct regions_step *s, bool *out, struct err *e);
	int (*before)(struct job *j, const struct regions_step *s, char **json, struct err *e);
	int (*act)(struct job *j, const struct regions_step *s, const struct migration_step *m,
		   struct err *e);
	int (*undo)(struct job *j, const struct regions_step *s, const struct migration_step *m,
		    struct err *e);
	void (*text)(const char *database, const struct regions_step *s, struct step_text *out);
};

extern const struct regions_ops regions_ops_partitions, regions_ops_primary, regions_ops_nodes,
    regions_ops_region, regions_ops_survival, regions_ops_feeds, regions_ops_column,
    regions_ops_locality, regions_ops_visible, regions_ops_deployed, regions_ops_backfill;

/* ---- run.c: statements ---- */

/* One statement that changes the schema: waits for the jobs of this database before and after, and
 * comes back when the server says "not now" or the connection is lost. `enough` is asked before
 * each try: whether the work is done already. A statement that fails with the SQLSTATE `fine` was
 * done. */
struct regions_ddl {
	const char *sql;
	const char *fine; /* NULL: none */
	int (*enough)(struct job *j, const struct regions_step *s, bool *yes, struct err *e);
	const struct regions_step *step;
};

/* The same; `sql` is finished. */
int regions_run_sql(struct job *j, const struct regions_step *s, struct buf *sql, const char *fine,
		    int (*enough)(struct job *, const struct regions_step *, bool *, struct err *),
		    struct err *e);
/* *is stays true only when no job of the database is under way. */
int regions_and_no_jobs(struct job *j, bool *is, struct err *e);

/* ---- steps.c: what they have in common ---- */

const char *regions_database(struct job *j);
/* The database's row and regions; fini the catalog in any case. */
int regions_database_now(struct job *j, struct regions_catalog *out, struct err *e);
/* One table, tables[0]; fini the catalog in any case. */
int regions_table_now(struct job *j, const struct regions_step *s, struct regions_catalog *out,
		      struct err *e);
/* {"key": value}, for the row of the step; the caller frees. */
char *regions_note(const char *key, json_t *take_value);
json_t *regions_text_or_null(const char *s);
/* What `before` found. */
json_t *regions_before(const struct migration_step *m);

#endif
