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

/* ---- regions.c, show.c: what is and what is wanted, for CHECK, PLAN and SHOW ---- */

struct regions_outlook {
	struct regions_catalog cat;
	struct regions_wish wish;
	struct city_map *maps;
};

/* Fini it in any case. */
int regions_look(struct job *j, struct regions_outlook *o, struct err *e);
/* Jobs and changefeeds too; and whether there is a licence. */
int regions_look_closer(struct job *j, struct regions_outlook *o, bool with_licence, struct err *e);
void regions_outlook_fini(struct regions_outlook *o);
int regions_show(struct job *j, enum show_topic topic, const struct rows_sink *out, struct err *e);

extern const struct step_def *const regions_defs[REGIONS_NSTEPS + 1];

/* ---- one sort of step; NULL: there is nothing of that ---- */

struct regions_ops {
	int (*done)(struct job *j, const struct regions_step *s, bool *out, struct err *e);
	int (*before)(struct job *j, const struct regions_step *s, char **json, struct err *e);
	int (*act)(struct job *j, const struct regions_step *s, struct err *e);
	int (*undo)(struct job *j, const struct regions_step *s, struct err *e);
	void (*text)(const struct regions_step *s, struct step_text *out);
};
#define REGIONS_OPS(of, ...) const struct regions_ops regions_ops_##of = { __VA_ARGS__ }

extern const struct regions_ops regions_ops_partitions, regions_ops_primary, regions_ops_nodes,
    regions_ops_region, regions_ops_survival, regions_ops_feeds, regions_ops_column,
    regions_ops_locality, regions_ops_visible, regions_ops_deployed, regions_ops_backfill;

/* ---- run.c: statements ---- */

/* One statement that changes the schema: waits for the jobs of this database before and after, and
 * comes back when the server says "not now" or the connection is lost. `enough` is asked before
 * each try: whether the work is done already. A statement that fails with the SQLSTATE `fine`
 * (NULL: none) was done. `sql` is finished. */
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
json_t *regions_before(const struct regions_step *s);

#endif
