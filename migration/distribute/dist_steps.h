/* SPDX-License-Identifier: PostgreSQL
 *
 * The steps of kind distribute: what PLAN shows of each, how it is done, how one sees that it is
 * done, and how it is taken back.
 *
 * Tables go back together: undistribute_table() takes all that hang together by keys, so that the
 * first undo of a table does it for the others, which then are found done. Where keys lead to
 * tables that Citus had before, each goes back alone, its keys dropped. Keys come back last, as the
 * undo of the first step: Citus would refuse one between a local and a distributed table.
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_STEPS_H
#define MIGRATION_DISTRIBUTE_DIST_STEPS_H

#include "migration/distribute/dist_args.h"
#include "migration/distribute/dist_planner.h"
#include "migration/kind.h"

/* By enum dist_act; NULL-terminated. */
extern const struct step_def *const dist_defs[DIST_NACTS + 1];

/* dist_describe.c */
int dist_describe(struct job *j, const struct migration_step *s, struct step_text *out,
		  struct err *e);
enum dist_act dist_act_of(const struct migration_step *s);

/* dist_concurrent.c: whether the table is distributed by the column; 55000: it is by another one.
 */
int dist_is_spread(struct job *j, PGconn *c, const struct dist_args *a, bool *is_done,
		   struct err *e);
int dist_concurrently(struct job *j, PGconn *c, const struct dist_args *a, struct err *e);

/* dist_undo.c */
int dist_may_abort(struct job *j, bool is_forced, struct err *e);
int dist_undo_keys(struct job *j, const struct migration_step *s, struct err *e);
int dist_undo_tables(struct job *j, const struct migration_step *s, struct err *e);

/* dist_impact.c: SHOW MIGRATION m IMPACT: after each step, which keys nothing holds to and which
 * tables are joined with one that is elsewhere, and what statements meet that. */
int dist_impact(struct job *j, const struct dist_catalog *c, const struct dist_plan *p,
		const struct dist_wish *w, const struct rows_sink *out, struct err *e);

/* dist_verify.c: struct kind's `verify` */
int dist_verify(struct job *j, const char *table, const struct rows_sink *out, struct err *e);

#endif
