/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/regions/ddl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/pgquote.h"

void
ddl_put_name(struct buf *b, const char *name)
{
	buf_u8(b, '"');
	for (; *name != '\0'; name++) {
		if (*name == '"')
			buf_u8(b, '"');
		buf_u8(b, (uint8_t)*name);
	}
	buf_u8(b, '"');
}

void
ddl_put_table(struct buf *b, const char *schema, const char *table)
{
	ddl_put_name(b, schema);
	buf_u8(b, '.');
	ddl_put_name(b, table);
}

static void
literal(struct buf *b, const char *s)
{
	pgquote_literal(b, slice_str(s));
}

/* ---- the database ---- */

static void
alter_database(struct buf *b, const char *database, const char *what, const char *region)
{
	buf_str(b, "ALTER DATABASE ");
	ddl_put_name(b, database);
	buf_str(b, what);
	ddl_put_name(b, region);
}

void
ddl_primary(struct buf *b, const char *database, const char *region)
{
	alter_database(b, database, " SET PRIMARY REGION ", region);
}

void
ddl_add(struct buf *b, const char *database, const char *region)
{
	alter_database(b, database, " ADD REGION ", region);
}

void
ddl_drop(struct buf *b, const char *database, const char *region)
{
	alter_database(b, database, " DROP REGION ", region);
}

void
ddl_survive(struct buf *b, const char *database, const char *goal)
{
	buf_str(b, "ALTER DATABASE ");
	ddl_put_name(b, database);
	buf_printf(b, " SURVIVE %s FAILURE", strcmp(goal, "region") == 0 ? "REGION" : "ZONE");
}

/* ---- tables ---- */

static void
alter_table(struct buf *b, const char *schema, const char *table)
{
	buf_str(b, "ALTER TABLE ");
	ddl_put_table(b, schema, table);
}

void
ddl_locality(struct buf *b, const char *schema, const char *table, const struct table_home *home)
{
	static const char *const words[] = {
		[HOME_NONE] = "REGIONAL BY TABLE",
		[HOME_GLOBAL] = "GLOBAL",
		[HOME_TABLE] = "REGIONAL BY TABLE",
		[HOME_ROW] = "REGIONAL BY ROW",
	};

	alter_table(b, schema, table);
	buf_printf(b, " SET LOCALITY %s", words[home->kind]);
	if (home->name != NULL) {
		buf_str(b, home->kind == HOME_ROW ? " AS " : " IN ");
		ddl_put_name(b, home->name);
	} else if (home->kind == HOME_TABLE || home->kind == HOME_NONE) {
		buf_str(b, " IN PRIMARY REGION");
	}
}

void
ddl_visible(struct buf *b, const char *schema, const char *table, const char *column, bool visible)
{
	alter_table(b, schema, table);
	buf_str(b, " ALTER COLUMN ");
	ddl_put_name(b, column);
	buf_str(b, visible ? " SET VISIBLE" : " SET NOT VISIBLE");
}

void
ddl_partition(struct buf *b, const char *schema, const char *table, const char *index,
	      const char *clause)
{
	if (index != NULL) {
		buf_str(b, "ALTER INDEX ");
		ddl_put_table(b, schema, table);
		buf_u8(b, '@');
		ddl_put_name(b, index);
	} else {
		alter_table(b, schema, table);
	}
	buf_u8(b, ' ');
	buf_str(b, clause != NULL ? clause : "PARTITION BY NOTHING");
}

/* ---- cities ---- */

void
city_map_add(struct city_map *m, const char *value, const char *region)
{
	m->v = xreallocarray(m->v, m->n + 1, sizeof(m->v[0]));
	m->v[m->n].value = xstrdup(value);
	m->v[m->n].region = region != NULL ? xstrdup(region) : NULL;
	m->n++;
}

void
city_map_fini(struct city_map *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].value);
		free(m->v[i].region);
	}
	free(m->v);
	*m = (struct city_map){ 0 };
}

/* "city" IN ('a', 'b'): false where that region has none. */
static bool
cities_of(struct buf *b, const char *column, const struct city_map *map, const char *region)
{
	size_t n = 0;

	for (size_t i = 0; i < map->n; i++) {
		if (map->v[i].region == NULL || strcmp(map->v[i].region, region) != 0)
			continue;
		if (n++ == 0) {
			ddl_put_name(b, column);
			buf_str(b, " IN (");
		} else {
			buf_str(b, ", ");
		}
		literal(b, map->v[i].value);
	}
	if (n > 0)
		buf_u8(b, ')');
	return n > 0;
}

/* Each region once, in the order in which the map has them. */
static void
regions_of(const struct city_map *map, struct strlist *out)
{
	for (size_t i = 0; i < map->n; i++) {
		if (map->v[i].region != NULL && !strlist_has(out, map->v[i].region))
			strlist_add(out, map->v[i].region);
	}
}

static void
not_there(struct buf *b, const char *column, const struct city_map *map, const char *region)
{
	(void)cities_of(b, column, map, region);
	buf_str(b, " AND crdb_region <> ");
	literal(b, region);
}

void
ddl_backfill(struct buf *b, const char *schema, const char *table, const char *column,
	     const struct city_map *map, const char *region, int64_t batch)
{
	buf_str(b, "UPDATE ");
	ddl_put_table(b, schema, table);
	buf_str(b, " SET crdb_region = ");
	literal(b, region);
	buf_str(b, " WHERE ");
	not_there(b, column, map, region);
	buf_printf(b, " LIMIT %" PRId64, batch);
}

void
ddl_backfill_left(struct buf *b, const char *schema, const char *table, const char *column,
		  const struct city_map *map)
{
	struct strlist regions = { 0 };

	regions_of(map, &regions);
	buf_str(b, "SELECT count(*) FROM ");
	ddl_put_table(b, schema, table);
	buf_str(b, " WHERE ");
	for (size_t i = 0; i < regions.n; i++) {
		buf_str(b, i > 0 ? " OR (" : "(");
		not_there(b, column, map, regions.v[i]);
		buf_u8(b, ')');
	}
	if (regions.n == 0)
		buf_str(b, "false");
	strlist_fini(&regions);
}

void
ddl_computed(struct buf *b, const char *schema, const char *table, const char *column,
	     const char *from, const struct city_map *map, const char *primary)
{
	struct strlist regions = { 0 };

	regions_of(map, &regions);
	alter_table(b, schema, table);
	buf_str(b, " ADD COLUMN ");
	ddl_put_name(b, column);
	buf_str(b, " crdb_internal_region AS (CASE");
	for (size_t i = 0; i < regions.n; i++) {
		buf_str(b, " WHEN ");
		(void)cities_of(b, from, map, regions.v[i]);
		buf_str(b, " THEN ");
		literal(b, regions.v[i]);
	}
	if (regions.n == 0)
		buf_str(b, " WHEN false THEN NULL");
	buf_str(b, " ELSE ");
	literal(b, primary);
	buf_str(b, " END) STORED NOT NULL");
	strlist_fini(&regions);
}
