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

#include "migration/distribute/dist_planner.h"
#include "migration/kind.h"

/* By enum dist_act; NULL-terminated. */
extern const struct step_def *const dist_defs[DIST_NACTS + 1];

/* dist_describe.c */
int dist_describe(struct job *j, const struct migration_step *s, struct step_text *out,
		  struct err *e);
enum dist_act dist_act_of(const struct migration_step *s);

/* dist_concurrent.c */
int dist_concurrent_done(struct job *j, const struct migration_step *s, bool *is_done,
			 struct err *e);
int dist_concurrent_act(struct job *j, const struct migration_step *s, struct err *e);

/* dist_abort.c */
int dist_may_abort(struct job *j, bool is_forced, struct err *e);
/* Whether no table of others hangs on ours that Citus would take back with them. */
int dist_is_alone_now(struct job *j, PGconn *c, bool *out, struct err *e);

/* dist_undo.c */
int dist_undo_keys(struct job *j, const struct migration_step *s, struct err *e);
int dist_undo_tables(struct job *j, const struct migration_step *s, struct err *e);

#endif
