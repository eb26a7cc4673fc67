/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/regions/planner.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migration/regions/feeds.h"

#define FIX_MAX 512

struct judge {
	struct checks *out;
	const struct regions_wish *w;
	const struct regions_catalog *c;
};

static void finding(const struct judge *j, enum check_severity severity, const char *check,
		    const char *object, const char *fix, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

static void
finding(const struct judge *j, enum check_severity severity, const char *check, const char *object,
	const char *fix, const char *fmt, ...)
{
	char detail[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	checks_add(j->out, severity, check, object, detail, fix);
}

/* ---- the cluster and the database ---- */

static void
judge_cluster(const struct judge *j)
{
	const struct strlist *wanted = &j->w->spec->regions;

	for (size_t i = 0; i < wanted->n; i++) {
		for (size_t k = 0; k < i; k++) {
			if (strcmp(wanted->v[i], wanted->v[k]) == 0)
				finding(j, CHECK_ERROR, "named_twice", wanted->v[i], "",
					"TO REGIONS names this region twice");
		}
	}
	if (j->c->licence != NULL)
		finding(j, CHECK_ERROR, "licence", j->c->database,
			"SET CLUSTER SETTING enterprise.license = '…'", "%s", j->c->licence);
	if (!strlist_has(&j->c->cluster, wanted->v[0]))
		finding(j, CHECK_ERROR, "primary_region", wanted->v[0],
			"start nodes with --locality=region=…, or choose a region that has nodes",
			"no node of the cluster is in the primary region");
	for (size_t i = 1; i < wanted->n; i++) {
		if (!strlist_has(&j->c->cluster, wanted->v[i]))
			finding(j, CHECK_WARN, "waiting_nodes", wanted->v[i],
				"start nodes there after PREPARE; step nodes goes on by itself",
				"no node of the cluster is in this region yet");
	}
}

static void
judge_database(const struct judge *j)
{
	const struct regions_catalog *c = j->c;
	size_t n = j->w->spec->regions.n;

	for (size_t i = 0; i < j->c->regions.n; i++)
		n += !strlist_has(&j->w->spec->regions, j->c->regions.v[i]);
	if (j->w->spec->survive == SURVIVE_REGION && n < 3)
		finding(j, CHECK_ERROR, "survival", c->database, "name at least three regions",
			"SURVIVE REGION FAILURE asks for 3 regions, there will be %zu", n);
	if (c->primary == NULL && c->has_own_type)
		finding(j, CHECK_ERROR, "crdb_internal_region", c->database,
			"ALTER TYPE … RENAME TO …, or ALTER TABLE … RENAME TO …",
			"something in the database has the name of the type of regions");
	if (c->primary != NULL && strcmp(c->primary, j->w->spec->regions.v[0]) != 0)
		finding(j, CHECK_WARN, "primary_region", c->primary, "",
			"the primary region is another one now, and will be changed to %s",
			j->w->spec->regions.v[0]);
	for (size_t i = 0; i < c->regions.n; i++) {
		if (!strlist_has(&j->w->spec->regions, c->regions.v[i]))
			finding(j, CHECK_INFO, "extra_region", c->regions.v[i], "",
				"the database has this region already; it stays");
	}
}

/* The owner of an object may alter it; an admin may alter all. */
static void
judge_rights(const struct judge *j)
{
	const struct regions_catalog *c = j->c;

	if (c->is_admin || c->user == NULL)
		return;
	if (c->owner == NULL || strcmp(c->owner, c->user) != 0)
		finding(j, CHECK_ERROR, "privileges", c->database,
			"GRANT admin TO …, or ALTER DATABASE … OWNER TO …",
			"%s is neither admin nor owner (%s) of the database", c->user,
			c->owner != NULL ? c->owner : "?");
	for (size_t i = 0; i < c->ntables; i++) {
		const struct regions_table *t = &c->tables[i];

		if (t->owner == NULL || strcmp(t->owner, c->user) == 0)
			continue;
		finding(j, CHECK_ERROR, "privileges", t->name, "ALTER TABLE … OWNER TO …",
			"%s is not the owner (%s) of table %s.%s", c->user, t->owner, t->schema,
			t->name);
	}
}

/* Fields of a zone configuration that multi-region SQL writes itself. */
static bool
is_managed(const char *sql)
{
	static const char *const fields[] = { "num_replicas",      "num_voters",
					      "constraints",       "lease_preferences",
					      "voter_constraints", "global_reads" };

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (strcasestr(sql, fields[i]) != NULL)
			return true;
	}
	return false;
}

static void
judge_zones(const struct judge *j)
{
	const struct regions_catalog *c = j->c;
	char fix[FIX_MAX];

	if (c->primary != NULL)
		return;
	for (size_t i = 0; i < c->nzones; i++) {
		const struct regions_zone *z = &c->zones[i];

		if (strncmp(z->target, "PARTITION ", 10) == 0 || !is_managed(z->sql))
			continue;
		snprintf(fix, sizeof(fix), "ALTER %s CONFIGURE ZONE DISCARD", z->target);
		finding(j, CHECK_ERROR, "zone_configuration", z->target, fix,
			"replicas are placed by hand here, which the regions of the database will "
			"do from now on");
	}
}

static void
judge_partitions(const struct judge *j)
{
	for (size_t i = 0; i < j->c->ntables && j->c->primary == NULL; i++) {
		const struct regions_table *t = &j->c->tables[i];

		for (size_t k = 0; k < t->npartitioned; k++) {
			const char *index = t->partitioned[k].index;

			finding(j, CHECK_WARN, "old_partitions", t->name, "",
				"%s%s is partitioned by hand (%zu partitions); step partitions "
				"takes them away first, ABORT puts them back",
				index != NULL ? "index " : "the table", index != NULL ? index : "",
				t->partitioned[k].names.n);
		}
	}
}

/* ---- tables ---- */

static void
judge_cities(const struct judge *j, const struct spec_placing *p, const struct regions_table *t,
	     const struct city_map *map)
{
	size_t lost = 0;
	const char *first = NULL;

	if (strcmp(p->map, REGIONS_MAP) != 0)
		finding(j, CHECK_ERROR, "map", p->map, "BY (column) MAP " REGIONS_MAP,
			"there is no such map; " REGIONS_MAP
			" is what the proxy itself makes of a city");
	for (size_t i = 0; i < map->n; i++) {
		const char *region = map->v[i].region;

		if (region != NULL && strlist_has(&j->w->spec->regions, region))
			continue;
		if (region != NULL)
			finding(j, CHECK_WARN, "city_elsewhere", map->v[i].value, "",
				"its region is %s, which is none of the database's; such rows of "
				"%s.%s stay in the primary region",
				region, t->schema, t->name);
		else if (lost++ == 0)
			first = map->v[i].value;
	}
	if (lost > 0)
		finding(j, CHECK_WARN, "city_unknown", t->name,
			"give the city to a region: cities = … in its [region] section",
			"%zu values of %s have no region (the first: %s); such rows stay in the "
			"primary region",
			lost, p->column, first);
}

static void
judge_by_row_as(const struct judge *j, const struct spec_placing *p, const struct regions_table *t)
{
	const struct regions_column *col = regions_table_column(t, p->column);

	if (col == NULL) {
		finding(j, CHECK_ERROR, "region_column", p->column,
			"ALTER TABLE … ADD COLUMN … crdb_internal_region AS ( … ) STORED NOT NULL",
			"table %s.%s has no such column", t->schema, t->name);
		return;
	}
	if (strstr(col->type, "crdb_internal_region") == NULL)
		finding(j, CHECK_ERROR, "region_column", p->column,
			"use a column of type crdb_internal_region",
			"column of %s.%s has type %s, not crdb_internal_region", t->schema, t->name,
			col->type);
	if (col->is_nullable)
		finding(j, CHECK_ERROR, "region_column", p->column,
			"ALTER TABLE … ALTER COLUMN … SET NOT NULL", "column of %s.%s may be NULL",
			t->schema, t->name);
}

static void
judge_by_map(const struct judge *j, const struct spec_placing *p, const struct regions_table *t,
	     const struct city_map *map)
{
	const struct regions_column *col = regions_table_column(t, REGIONS_COMPUTED);

	if (regions_table_column(t, p->column) == NULL)
		finding(j, CHECK_ERROR, "city_column", p->column, "",
			"table %s.%s has no such column", t->schema, t->name);
	judge_cities(j, p, t, map);
	if (regions_is_computed(j->w, p)) {
		if (col != NULL && strstr(col->type, "crdb_internal_region") == NULL)
			finding(j, CHECK_ERROR, "region_column", t->name,
				"SET MIGRATION … (region_column = hidden)",
				"the table has a column " REGIONS_COMPUTED " of type %s already",
				col->type);
		return;
	}
	if (t->rows >= 0)
		finding(j, CHECK_INFO, "backfill", t->name, "",
			"about %" PRId64 " rows; each row that changes its region is an insert and "
			"a delete for a changefeed. region_column = computed needs no update of "
			"rows and no change of the application",
			t->rows);
}

/* CREATE checks before there is a number. */
static const char *
number(const struct judge *j, char out[16])
{
	if (j->w->migration == 0)
		return "…";
	snprintf(out, 16, "%d", j->w->migration);
	return out;
}

static void
judge_stop(const struct judge *j, const struct regions_feed *f, const char *name)
{
	bool is_allowed = strcmp(j->w->feeds, "allow") == 0;
	char buf[16], fix[FIX_MAX] = "";
	const char *id = number(j, buf);

	if (!is_allowed && f->is_sinkless)
		snprintf(fix, sizeof(fix), "ACK MIGRATION %s changefeed_stop", id);
	else if (!is_allowed)
		snprintf(fix, sizeof(fix),
			 "ACK MIGRATION %s changefeed_stop, or SET MIGRATION %s (changefeeds = "
			 "pause)",
			 id, id);
	finding(j, CHECK_WARN, "changefeed_stop", name, fix,
		"changefeed %s%s ends when the primary key of this table changes "
		"(schema_change_policy = 'stop')%s",
		f->id, f->is_sinkless ? ", which has no sink," : "",
		is_allowed ? "" : "; step changefeeds of the table stops there");
}

/* What a change of the primary key does to the consumers of changefeeds. */
static void
judge_feeds(const struct judge *j, const struct regions_table *t)
{
	char *name = xasprintf("%s.%s", t->schema, t->name);
	char buf[16], fix[FIX_MAX] = "";

	for (size_t i = 0; i < j->c->nfeeds; i++) {
		const struct regions_feed *f = &j->c->feeds[i];

		if (!feed_watches(f, j->c->database, t))
			continue;
		if (feed_stops(f)) {
			judge_stop(j, f, name);
			continue;
		}
		if (j->w->require_ack)
			snprintf(fix, sizeof(fix), "ACK MIGRATION %s changefeed_format",
				 number(j, buf));
		finding(j, CHECK_WARN, "changefeed_format", name, fix,
			"changefeed %s will repeat every row, with the region's column in rows and "
			"in the key",
			f->id);
	}
	free(name);
}

static void
judge_placings(const struct judge *j)
{
	const struct spec *spec = j->w->spec;

	for (size_t i = 0; i < spec->nplacings; i++) {
		const struct spec_placing *p = &spec->placings[i];
		const struct regions_table *t = regions_table_of(j->c, &p->name);

		if (t == NULL) {
			finding(j, CHECK_ERROR, "no_such_table", p->name.table, "",
				"the database has no such table, or several of this name");
			continue;
		}
		for (size_t k = 0; k < i; k++) {
			if (regions_table_of(j->c, &spec->placings[k].name) == t)
				finding(j, CHECK_ERROR, "named_twice", p->name.table, "",
					"LOCALITY names this table twice");
		}
		if (strcmp(t->type, "table") != 0)
			finding(j, CHECK_ERROR, "not_a_table", t->name, "", "it is a %s", t->type);
		if (p->locality == LOCALITY_BY_TABLE && p->region != NULL &&
		    !strlist_has(&j->w->spec->regions, p->region) &&
		    !strlist_has(&j->c->regions, p->region))
			finding(j, CHECK_ERROR, "table_region", p->region, "name it in TO REGIONS",
				"table %s.%s is to be in a region that the database will not have",
				t->schema, t->name);
		if (p->locality == LOCALITY_BY_ROW_AS)
			judge_by_row_as(j, p, t);
		if (p->locality == LOCALITY_BY_ROW_MAP)
			judge_by_map(j, p, t, &j->w->maps[i]);
		if (regions_changes_key(p, t))
			judge_feeds(j, t);
	}
}

void
regions_judge(struct checks *out, const struct regions_wish *w, const struct regions_catalog *c)
{
	const struct judge j = { out, w, c };

	if (c->version == NULL) {
		finding(&j, CHECK_ERROR, "not_cockroachdb", c->database, "",
			"the node does not say crdb_version: regions are CockroachDB's");
		return;
	}
	judge_cluster(&j);
	judge_database(&j);
	judge_rights(&j);
	judge_zones(&j);
	judge_partitions(&j);
	for (size_t i = 0; i < j.c->njobs; i++)
		finding(&j, CHECK_WARN, "schema_change", j.c->jobs[i].id, "",
			"a schema change is %s, steps wait for it: %s", j.c->jobs[i].status,
			j.c->jobs[i].description);
	judge_placings(&j);
}
