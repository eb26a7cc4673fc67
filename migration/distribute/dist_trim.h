/* SPDX-License-Identifier: PostgreSQL
 *
 * What hangs on a table and is not there any more when Citus has made the table anew (which
 * create_distributed_table_concurrently() and undistribute_table() do): comments, and of the views
 * on it the grants, rules, triggers, defaults and indexes. Kept as statements that do no harm where
 * it is still there.
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_TRIM_H
#define MIGRATION_DISTRIBUTE_DIST_TRIM_H

#include <libpq-fe.h>

#include "base/err.h"
#include "base/mem.h"
#include "migration/distribute/dist_catalog.h"
#include "migration/kind.h"

/* For every table of the catalog. search_path is to be pg_catalog: names come with their schemas.
 */
int dist_load_trimmings(PGconn *db, struct dist_catalog *c, struct err *e);
/* In the transaction that is open; one that cannot be put back is left out, with a NOTICE. */
int dist_put_trimmings(struct job *j, PGconn *db, const struct strlist *statements, struct err *e);

#endif
