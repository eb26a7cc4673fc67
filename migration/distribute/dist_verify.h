/* SPDX-License-Identifier: PostgreSQL
 *
 * VERIFY of kind distribute: for each table of the plan what was counted before its copy and after
 * it, and whether it is now what the migration makes of it: where it is, beside whom, with every
 * foreign key that it had, each row with its parent. Changes nothing.
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_VERIFY_H
#define MIGRATION_DISTRIBUTE_DIST_VERIFY_H

#include "base/err.h"
#include "migration/kind.h"

/* `only`: one table, as SQL writes it; NULL: all. 42P01 where the migration is not about it. */
int dist_verify(struct job *j, const char *only, const struct rows_sink *out, struct err *e);

#endif
