/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/regions/steps.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "migration/regions/read.h"

static bool
is_partitioned(const struct regions_catalog *cat, const struct regions_step *s)
{
	const struct regions_table *t = &cat->tables[0];

	for (size_t i = 0; i < t->npartitioned; i++) {
		const char *index = t->partitioned[i].index;

		if ((index == NULL) == (s->index == NULL) &&
		    (index == NULL || strcmp(index, s->index) == 0))
			return true;
	}
	return false;
}

static int
partitions_gone(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	struct regions_catalog cat;
	int rc = regions_table_now(j, s, &cat, e);

	*out = rc == 0 && !is_partitioned(&cat, s);
	regions_catalog_fini(&cat);
	return rc == 0 ? regions_and_no_jobs(j, out, e) : -1;
}

/* "PARTITION p OF INDEX movr.public.users@users_city_idx" is about this table's partition p. */
static bool
is_zone_of_partition(const struct regions_zone *z, const struct regions_step *s,
		     const struct strlist *names)
{
	char *table = xasprintf(".%s.%s@%s", s->schema, s->table, s->index != NULL ? s->index : "");
	bool is = strncmp(z->target, "PARTITION ", 10) == 0 && strstr(z->target, table) != NULL;
	size_t i = 0;

	while (is && i < names->n &&
	       (strncmp(z->target + 10, names->v[i], strlen(names->v[i])) != 0 ||
		z->target[10 + strlen(names->v[i])] != ' '))
		i++;
	free(table);
	return is && i < names->n;
}

static void
partition_names(const struct regions_step *s, struct strlist *out)
{
	struct regions_table t = { .create = s->clause };

	regions_table_find_partitions(&t);
	for (size_t i = 0; i < t.npartitioned; i++) {
		strlist_copy(out, &t.partitioned[i].names);
		strlist_fini(&t.partitioned[i].names);
		free(t.partitioned[i].text);
		free(t.partitioned[i].index);
	}
	free(t.partitioned);
}

static int
partitions_before(struct job *j, const struct regions_step *s, char **out, struct err *e)
{
	struct regions_catalog cat = { .database = xstrdup(regions_database(j)) };
	PGconn *c = job_db(j, REGIONS_PLACE, e);
	json_t *zones = json_array();
	struct strlist names = { 0 };
	int rc = c != NULL ? regions_read_zones(c, &cat, e) : -1;

	partition_names(s, &names);
	for (size_t i = 0; rc == 0 && i < cat.nzones; i++) {
		if (is_zone_of_partition(&cat.zones[i], s, &names))
			json_array_append_new(zones,
					      json_pack("{s:s, s:s}", "target", cat.zones[i].target,
							"sql", cat.zones[i].sql));
	}
	*out = regions_note("zones", zones);
	strlist_fini(&names);
	regions_catalog_fini(&cat);
	return rc;
}

/* Placements first: they are told by the names of partitions. */
static int
discard_zones(struct job *j, const struct regions_step *s, const struct migration_step *m,
	      struct err *e)
{
	json_t *o = regions_before(m), *z;
	size_t i;
	int rc = 0;

	json_array_foreach(json_object_get(o, "zones"), i, z)
	{
		struct buf sql = { 0 };

		buf_printf(&sql, "ALTER %s CONFIGURE ZONE DISCARD",
			   json_string_value(json_object_get(z, "target")));
		if (rc == 0)
			rc = regions_run_sql(j, s, &sql, NULL, NULL, e);
		else
			buf_fini(&sql);
	}
	json_decref(o);
	return rc;
}

static int
partitions_act(struct job *j, const struct regions_step *s, const struct migration_step *m,
	       struct err *e)
{
	struct buf sql = { 0 };

	if (discard_zones(j, s, m, e) < 0)
		return -1;
	ddl_partition(&sql, s->schema, s->table, s->index, NULL);
	return regions_run_sql(j, s, &sql, NULL, partitions_gone, e);
}

static int
restore_zones(struct job *j, const struct regions_step *s, const struct migration_step *m,
	      struct err *e)
{
	json_t *o = regions_before(m), *z;
	size_t i;
	int rc = 0;

	json_array_foreach(json_object_get(o, "zones"), i, z)
	{
		struct buf sql = { 0 };

		buf_str(&sql, json_string_value(json_object_get(z, "sql")));
		if (rc == 0)
			rc = regions_run_sql(j, s, &sql, NULL, NULL, e);
		else
			buf_fini(&sql);
	}
	json_decref(o);
	return rc;
}

static int
partitions_undo(struct job *j, const struct regions_step *s, const struct migration_step *m,
		struct err *e)
{
	struct buf sql = { 0 };
	bool gone;

	if (partitions_gone(j, s, &gone, e) < 0)
		return -1;
	if (gone) {
		ddl_partition(&sql, s->schema, s->table, s->index, s->clause);
		if (regions_run_sql(j, s, &sql, NULL, NULL, e) < 0)
			return -1;
	}
	return restore_zones(j, s, m, e);
}

static void
partitions_text(const char *database, const struct regions_step *s, struct step_text *out)
{
	struct strlist names = { 0 };

	partition_names(s, &names);
	for (size_t i = 0; i < names.n; i++) {
		buf_str(&out->sql, "ALTER PARTITION ");
		ddl_put_name(&out->sql, names.v[i]);
		buf_str(&out->sql, " OF INDEX ");
		ddl_put_name(&out->sql, database);
		buf_u8(&out->sql, '.');
		ddl_put_table(&out->sql, s->schema, s->table);
		buf_u8(&out->sql, '@');
		ddl_put_name(&out->sql, s->index != NULL ? s->index : "primary");
		buf_str(&out->sql, " CONFIGURE ZONE DISCARD;\n");
	}
	ddl_partition(&out->sql, s->schema, s->table, s->index, NULL);
	ddl_partition(&out->undo, s->schema, s->table, s->index, s->clause);
	buf_str(&out->estimate, "rows go where the database's replicas go");
	strlist_fini(&names);
}

const struct regions_ops regions_ops_partitions = {
	.done = partitions_gone,
	.before = partitions_before,
	.act = partitions_act,
	.undo = partitions_undo,
	.text = partitions_text,
};
