/* SPDX-License-Identifier: PostgreSQL
 *
 * The statements of the steps, for PLAN and for the steps themselves, so that what is shown is what
 * is done. Names of tables come as SQL writes them; columns and constraints are quoted here.
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_SQL_H
#define MIGRATION_DISTRIBUTE_DIST_SQL_H

#include "base/buf.h"
#include "migration/distribute/dist_args.h"

/* In front of the functions that need a transaction: keys to reference tables stay local keys
 * (otherwise Citus takes every table that hangs on one into its metadata, and then refuses to
 * distribute their parents); sequential: where keys lead to reference tables. */
void dist_sql_settings(struct buf *b, bool sequential);
void dist_sql_distribute(struct buf *b, const char *table, const char *column,
			 const char *colocated);
void dist_sql_concurrently(struct buf *b, const char *table, const char *column,
			   const char *colocated);
void dist_sql_reference(struct buf *b, const char *table);
/* Every table of a step of DIST_ALL, its circles opened and closed. */
void dist_sql_all(struct buf *b, const struct dist_args *a);
void dist_sql_truncate(struct buf *b, const char *table);
/* With every table that hangs on it by keys. */
void dist_sql_undistribute(struct buf *b, const char *table);

void dist_sql_drop_key(struct buf *b, const struct dist_key_args *k);
void dist_sql_add_key(struct buf *b, const struct dist_key_args *k, bool check);
/* Nothing where it has none. */
void dist_sql_comment_key(struct buf *b, const struct dist_key_args *k);
void dist_sql_validate_key(struct buf *b, const struct dist_key_args *k);
/* How many rows (up to 1000) have no parent, and the first of them. */
void dist_sql_orphans(struct buf *b, const struct dist_key_args *k);
/* 't' where it is there and valid, 'f' where it is not valid, no row where it is not there. */
void dist_sql_key_state(struct buf *b, const struct dist_key_args *k);

/* One statement of a text that was made here, ";" and all that is behind it left out; *rest goes
 * behind it. Empty: there is no more. Citus sends the string that it was given to its workers, so
 * each statement is sent alone. */
struct slice dist_sql_next(struct slice *rest);

#endif
