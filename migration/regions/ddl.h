/* SPDX-License-Identifier: PostgreSQL
 *
 * The statements of CockroachDB's multi-region SQL, one region or table in each, every name quoted.
 * Each is a statement of its own, never inside BEGIN: in a transaction a schema change may fail at
 * COMMIT when the rest is committed already (XXA00).
 *
 * Source: CockroachDB documentation, "ALTER DATABASE", "ALTER TABLE … SET LOCALITY".
 */
#ifndef MIGRATION_REGIONS_DDL_H
#define MIGRATION_REGIONS_DDL_H

#include "base/buf.h"
#include "base/mem.h"
#include "migration/regions/catalog.h"

/* "name", quotes doubled. */
void ddl_put_name(struct buf *b, const char *name);
/* "schema"."table". */
void ddl_put_table(struct buf *b, const char *schema, const char *table);

void ddl_primary(struct buf *b, const char *database, const char *region);
void ddl_add(struct buf *b, const char *database, const char *region);
void ddl_drop(struct buf *b, const char *database, const char *region);
/* goal: "zone" or "region". */
void ddl_survive(struct buf *b, const char *database, const char *goal);
void ddl_locality(struct buf *b, const char *schema, const char *table,
		  const struct table_home *home);
void ddl_visible(struct buf *b, const char *schema, const char *table, const char *column,
		 bool visible);
/* index NULL: the table's own rows. clause NULL: PARTITION BY NOTHING. */
void ddl_partition(struct buf *b, const char *schema, const char *table, const char *index,
		   const char *clause);

/* ---- which region the rows of a city belong to ---- */

/* Values of a column, each with its region; NULL region: the map has no answer. */
struct city_map {
	struct {
		char *value, *region;
	} * v;
	size_t n;
};

void city_map_add(struct city_map *m, const char *value, const char *region);
void city_map_fini(struct city_map *m);

/* UPDATE of at most `batch` rows whose region is not the one of their city. */
void ddl_backfill(struct buf *b, const char *schema, const char *table, const char *column,
		  const struct city_map *map, const char *region, int64_t batch);
/* How many rows are left for that, of all regions. */
void ddl_backfill_left(struct buf *b, const char *schema, const char *table, const char *column,
		       const struct city_map *map);
/* A stored column that says the region of each row: no UPDATE, and no change of the application. */
void ddl_computed(struct buf *b, const char *schema, const char *table, const char *column,
		  const char *from, const struct city_map *map, const char *primary);

#endif
