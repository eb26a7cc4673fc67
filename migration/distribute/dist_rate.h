/* SPDX-License-Identifier: PostgreSQL
 *
 * How much happens on a server, measured: changes a second of each table, and how fast rows can be
 * copied. Part of dist_load().
 */
#ifndef MIGRATION_DISTRIBUTE_DIST_RATE_H
#define MIGRATION_DISTRIBUTE_DIST_RATE_H

#include "base/err.h"
#include "migration/db.h"
#include "migration/distribute/dist_catalog.h"
#include "migration/kind.h"

/* Two looks at the statistics, a second apart. */
int dist_load_writes(struct job *j, PGconn *db, struct dist_catalog *c, struct err *e);
/* The largest table's first rows as text, timed. */
int dist_load_rate(PGconn *db, struct dist_catalog *c, struct err *e);

#endif
