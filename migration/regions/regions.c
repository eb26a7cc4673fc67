/* SPDX-License-Identifier: PostgreSQL
 *
 * Kind regions: a CockroachDB database becomes multi-region. One place, "cluster": a node of the
 * cluster, as the primary region's section of the configuration names it, else any that is known as
 * CockroachDB. The control schema is in the database itself.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "migration/regions/read.h"
#include "migration/regions/steps.h"
#include "routing/places.h"

#define CITIES_MAX 10000

/* ---- where ---- */

/* A node of that region; 1 found, 0 there is none. */
static int
node_in(const struct site *site, const char *region, bool only_cockroach, struct site_node *out)
{
	struct site_node v[SITE_NODES_MAX];
	struct err ignored;
	int n = site->ops->nodes(site->arg, region, v, &ignored);
	const struct site_node *best = NULL;

	for (int i = 0; i < n; i++) {
		bool is_it = strcmp(v[i].kind, "cockroachdb") == 0;

		if (best == NULL || (is_it && v[i].is_usable &&
				     (strcmp(best->kind, "cockroachdb") != 0 || !best->is_usable)))
			best = &v[i];
	}
	if (best == NULL || (only_cockroach && strcmp(best->kind, "cockroachdb") != 0))
		return 0;
	*out = *best;
	return 1;
}

static int
resolve(struct job *j, struct err *e)
{
	struct site_node node;
	const struct site *site = job_site(j);
	const struct spec *spec = job_spec(j);
	struct strlist regions = { 0 };
	int found = 0;

	for (size_t i = 0; found == 0 && i < spec->regions.n; i++)
		found = node_in(site, spec->regions.v[i], false, &node);
	if (found == 0) {
		site->ops->regions(site->arg, &regions);
		for (size_t i = 0; found == 0 && i < regions.n; i++)
			found = node_in(site, regions.v[i], true, &node);
		strlist_fini(&regions);
	}
	if (found == 0) {
		err_set(e, "42704", "no region of the configuration has a node of the cluster");
		err_hint(e, "A [region] section with the name of a region of the cluster says "
			    "where to connect.");
		return -1;
	}
	return job_add_place(j, REGIONS_PLACE, &node, job_database(j), e);
}

/* ---- what is, and what is wanted ---- */

void
regions_outlook_fini(struct regions_outlook *o)
{
	for (size_t i = 0; o->maps != NULL && i < o->wish.spec->nplacings; i++)
		city_map_fini(&o->maps[i]);
	free(o->maps);
	regions_catalog_fini(&o->cat);
}

/* The configuration may call "gcp-us-east1" what the cluster calls "us-east1". */
static const char *
as_the_cluster_says(const struct spec *spec, const char *region)
{
	struct slice bare = places_strip_provider(slice_str(region)), other;

	if (strlist_has(&spec->regions, region))
		return region;
	for (size_t i = 0; i < spec->regions.n; i++) {
		other = places_strip_provider(slice_str(spec->regions.v[i]));
		if (other.n == bare.n && strncasecmp(other.p, bare.p, bare.n) == 0)
			return spec->regions.v[i];
	}
	return region;
}

/* Each value of the column, with the region that the router has for it. */
static int
read_map(struct job *j, PGconn *c, const struct regions_table *t, const char *column,
	 struct city_map *out, struct err *e)
{
	const struct site *site = job_site(j);
	struct strlist cities = { 0 };
	int rc = regions_read_values(c, t, column, CITIES_MAX, &cities, e);

	for (size_t i = 0; rc == 0 && i < cities.n; i++) {
		char *region = site->ops->region_of_city != NULL
				   ? site->ops->region_of_city(site->arg, cities.v[i])
				   : NULL;

		city_map_add(out, cities.v[i],
			     region != NULL ? as_the_cluster_says(job_spec(j), region) : NULL);
		free(region);
	}
	strlist_fini(&cities);
	return rc;
}

int
regions_look(struct job *j, struct regions_outlook *o, struct err *e)
{
	const struct spec *spec = job_spec(j);
	PGconn *c = job_db(j, REGIONS_PLACE, e);

	*o = (struct regions_outlook){
		.wish = { .spec = spec,
			  .computed = job_option_is(j, "region_column", "computed"),
			  .feeds = job_option(j, "changefeeds"),
			  .require_ack = job_option_is(j, "require_ack", "on") }
	};
	if (c == NULL || regions_read(c, regions_database(j), &o->cat, e) < 0)
		return -1;
	o->maps = xcalloc(spec->nplacings, sizeof(o->maps[0]));
	o->wish.maps = o->maps;
	for (size_t i = 0; i < spec->nplacings; i++) {
		const struct spec_placing *p = &spec->placings[i];
		const struct regions_table *t = regions_table_of(&o->cat, &p->name);

		if (p->locality == LOCALITY_BY_ROW_MAP && t != NULL &&
		    strcmp(p->map, REGIONS_MAP) == 0 &&
		    regions_table_column(t, p->column) != NULL &&
		    read_map(j, c, t, p->column, &o->maps[i], e) < 0)
			return -1;
	}
	return 0;
}

/* ---- CHECK and PLAN ---- */

int
regions_look_closer(struct job *j, struct regions_outlook *o, bool with_licence, struct err *e)
{
	PGconn *c = job_db(j, REGIONS_PLACE, e);

	if (c == NULL)
		return -1;
	if (o->cat.version == NULL)
		return 0;
	if (with_licence && regions_read_licence(c, &o->cat, e) < 0)
		return -1;
	if (regions_read_jobs(c, &o->cat, e) < 0)
		return -1;
	return regions_read_feeds(c, &o->cat, e);
}

static int
check(struct job *j, enum migration_phase phase, struct checks *out, struct err *e)
{
	struct regions_outlook o;
	int rc = regions_look(j, &o, e);

	if (rc == 0)
		rc = regions_look_closer(j, &o, phase == PHASE_PREPARE, e);
	if (rc == 0)
		regions_judge(out, &o.wish, &o.cat);
	regions_outlook_fini(&o);
	return rc;
}

static int
plan(struct job *j, struct plan *out, struct err *e)
{
	struct regions_outlook o;
	struct regions_plan p = { 0 };
	int rc = regions_look(j, &o, e);

	if (rc == 0 && o.cat.version == NULL)
		rc = err_set(e, "0A000", "the node of database %s is no CockroachDB",
			     regions_database(j));
	if (rc == 0)
		regions_plan_make(&p, &o.wish, &o.cat);
	for (size_t i = 0; rc == 0 && i < p.n; i++) {
		char *label = regions_step_label(&p.v[i]), *args = regions_step_json(&p.v[i]);

		if (plan_add(out, regions_defs[p.v[i].kind], REGIONS_PLACE, label, args) < 0)
			rc = -1;
		free(label);
		free(args);
	}
	regions_plan_fini(&p);
	regions_outlook_fini(&o);
	return rc;
}

const struct kind kind_regions = {
	.id = KIND_REGIONS_OF,
	.defs = regions_defs,
	.resolve = resolve,
	.check = check,
	.plan = plan,
	.show = regions_show,
};
