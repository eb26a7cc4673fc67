/* SPDX-License-Identifier: PostgreSQL
 *
 * Rows that logical replication does not carry, copied from one server to the other through this
 * process: a table by COPY, large objects, materialized views. A block at a time; what was there
 * before is replaced, so that each may be done again.
 */
#ifndef MIGRATION_MOVE_ROWS_H
#define MIGRATION_MOVE_ROWS_H

#include <libpq-fe.h>

#include "base/err.h"

struct job;

/* One transaction on `to`. `table`: qualified and quoted. */
int rows_copy_table(struct job *j, PGconn *from, PGconn *to, const char *table, struct err *e);
int rows_copy_large_objects(struct job *j, PGconn *from, PGconn *to, struct err *e);
/* Every materialized view of the database. */
int rows_refresh_views(struct job *j, PGconn *c, struct err *e);

#endif
