/* SPDX-License-Identifier: PostgreSQL
 *
 * Asks a CockroachDB cluster what struct regions_catalog holds. SHOW statements gain columns from
 * version to version, so each is read by the names of its columns. Changes nothing; the one ALTER
 * (regions_read_licence) names a region that cannot be.
 */
#ifndef MIGRATION_REGIONS_READ_H
#define MIGRATION_REGIONS_READ_H

#include <libpq-fe.h>

#include "base/err.h"
#include "migration/regions/catalog.h"

/* Everything but feeds, jobs and the licence. Not a CockroachDB: version NULL, and nothing else is
 * filled in. */
int regions_read(PGconn *c, const char *database, struct regions_catalog *out, struct err *e);
/* Region statements that a licence forbids say so before they say that a region does not exist. */
int regions_read_licence(PGconn *c, struct regions_catalog *out, struct err *e);
/* Changefeeds that run, those without a sink too. */
int regions_read_feeds(PGconn *c, struct regions_catalog *out, struct err *e);
/* Schema changes of this database that are not over. */
int regions_read_jobs(PGconn *c, struct regions_catalog *out, struct err *e);

/* Pieces of regions_read(), for steps that ask again and again. */
int regions_read_database(PGconn *c, struct regions_catalog *out, struct err *e);
int regions_read_cluster(PGconn *c, struct strlist *out, struct err *e);
int regions_read_regions(PGconn *c, struct regions_catalog *out, struct err *e);
/* The locality of one table; the columns and the text of SHOW CREATE TABLE. */
int regions_read_table(PGconn *c, const char *schema, const char *table,
		       struct regions_catalog *out, struct err *e);
int regions_read_zones(PGconn *c, struct regions_catalog *out, struct err *e);
/* Values of a column, at most `max`; -1 and *e (54000) where there are more. */
int regions_read_values(PGconn *c, const struct regions_table *t, const char *column, int max,
			struct strlist *out, struct err *e);

#endif
