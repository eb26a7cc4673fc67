/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/regions/steps.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "migration/regions/read.h"

static int
partitions_gone(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	struct regions_catalog cat;
	int rc = regions_table_now(j, s, &cat, e);

	*out = rc == 0;
	for (size_t i = 0; *out && i < cat.tables[0].npartitioned; i++) {
		const char *index = cat.tables[0].partitioned[i].index;

		*out = (index == NULL) != (s->index == NULL) ||
		       (index != NULL && strcmp(index, s->index) != 0);
	}
	regions_catalog_fini(&cat);
	return rc == 0 ? regions_and_no_jobs(j, out, e) : -1;
}

static int
partitions_before(struct job *j, const struct regions_step *s, char **out, struct err *e)
{
	struct regions_catalog cat = { .database = xstrdup(regions_database(j)) };
	PGconn *c = job_db(j, REGIONS_PLACE, e);
	json_t *zones = json_array();
	int rc = c != NULL ? regions_read_zones(c, &cat, e) : -1;

	for (size_t i = 0; rc == 0 && i < cat.nzones; i++) {
		if (strlist_has(&s->zones, cat.zones[i].target))
			json_array_append_new(zones,
					      json_pack("{s:s, s:s}", "target", cat.zones[i].target,
							"sql", cat.zones[i].sql));
	}
	*out = regions_note("zones", zones);
	regions_catalog_fini(&cat);
	return rc;
}

/* A statement for each placement that was noted: what stands of it there, between two texts. */
static int
each_zone(struct job *j, const struct regions_step *s, const char *const around[3], struct err *e)
{
	json_t *o = regions_before(s), *z;
	size_t i;
	int rc = 0;

	json_array_foreach(json_object_get(o, "zones"), i, z)
	{
		struct buf sql = { 0 };

		buf_printf(&sql, "%s%s%s", around[0],
			   json_string_value(json_object_get(z, around[1])), around[2]);
		if (rc == 0)
			rc = regions_run_sql(j, s, &sql, NULL, NULL, e);
		else
			buf_fini(&sql);
	}
	json_decref(o);
	return rc;
}

static int
partitions_act(struct job *j, const struct regions_step *s, struct err *e)
{
	static const char *const discard[] = { "ALTER ", "target", " CONFIGURE ZONE DISCARD" };
	struct buf sql = { 0 };

	/* placements first: the names of partitions identify them */
	if (each_zone(j, s, discard, e) < 0)
		return -1;
	ddl_partition(&sql, s->schema, s->table, s->index, NULL);
	return regions_run_sql(j, s, &sql, NULL, partitions_gone, e);
}

static int
partitions_undo(struct job *j, const struct regions_step *s, struct err *e)
{
	static const char *const restore[] = { "", "sql", "" };
	struct buf sql = { 0 };
	bool gone;

	if (partitions_gone(j, s, &gone, e) < 0)
		return -1;
	if (gone) {
		ddl_partition(&sql, s->schema, s->table, s->index, s->clause);
		if (regions_run_sql(j, s, &sql, NULL, NULL, e) < 0)
			return -1;
	}
	return each_zone(j, s, restore, e);
}

static void
partitions_text(const struct regions_step *s, struct step_text *out)
{
	for (size_t i = 0; i < s->zones.n; i++)
		buf_printf(&out->sql, "ALTER %s CONFIGURE ZONE DISCARD;\n", s->zones.v[i]);
	ddl_partition(&out->sql, s->schema, s->table, s->index, NULL);
	ddl_partition(&out->undo, s->schema, s->table, s->index, s->clause);
	for (size_t i = 0; i < s->zones.n; i++)
		buf_printf(&out->undo, ";\nALTER %s CONFIGURE ZONE … as it was", s->zones.v[i]);
	buf_str(&out->estimate, "replicas go where the database's go");
}

REGIONS_OPS(partitions, .done = partitions_gone, .before = partitions_before, .act = partitions_act,
	    .undo = partitions_undo, .text = partitions_text);
