/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "migration/db.h"
#include "migration/files/files_int.h"
#include "migration/files/lint.h"
#include "migration/grammar.h"

/* ---- places ---- */

void
regions_names(struct job *j, struct strlist *out)
{
	const struct site *site = job_site(j);
	const struct spec *spec = job_spec(j);
	struct strlist all = { 0 };

	if (spec->canary != NULL)
		strlist_add_once(out, spec->canary);
	for (size_t i = 0; i < spec->regions.n; i++)
		strlist_add_once(out, spec->regions.v[i]);
	if (spec->all_regions)
		site->ops->regions(site->arg, &all);
	/* ALL REGIONS: those that take writes first, so that the first one can be the home. */
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < all.n; i++) {
			struct site_node v[SITE_NODES_MAX];
			struct err ignored;
			int n = site->ops->nodes(site->arg, all.v[i], v, &ignored);

			if (n > 0 && (pass > 0 || v[0].is_primary))
				strlist_add_once(out, all.v[i]);
		}
	strlist_fini(&all);
}

/* A region that is known to have standbys only is no place: nothing is ever written there. */
static int
add_place(struct job *j, const char *region, struct err *e)
{
	const struct site *site = job_site(j);
	struct site_node v[SITE_NODES_MAX];
	int n = site->ops->nodes(site->arg, region, v, e);

	if (n < 0)
		return -1;
	if (n == 0)
		return err_set(e, "42704", "region \"%s\" has no node", region);
	if (v[0].is_usable && !v[0].is_primary)
		return 0;
	return job_add_place(j, region, &v[0], job_database(j), e);
}

int
regions_resolve(struct job *j, struct err *e)
{
	struct strlist names = { 0 };
	bool any = false;
	int rc = 0;

	regions_names(j, &names);
	for (size_t i = 0; i < names.n && rc == 0; i++) {
		rc = add_place(j, names.v[i], e);
		any = any || job_node(j, names.v[i]) != NULL;
	}
	if (rc == 0 && !any)
		rc = err_set(e, "55000", "no region has a node that takes writes");
	strlist_fini(&names);
	return rc;
}

/* ---- what they say ---- */

/* Names of replication slots and of what uses them: a region with a subscription by the name of a
 * slot that another one has receives what that one publishes. */
struct links {
	struct strlist slots, subscriptions;
};

static void
take_names(PGconn *c, const char *sql, struct strlist *out)
{
	struct err ignored;
	PGresult *r = db_query(c, &ignored, sql, 0, NULL);

	for (int i = 0; r != NULL && i < PQntuples(r); i++)
		strlist_add(out, PQgetvalue(r, i, 0));
	PQclear(r);
}

static int
ask_one(struct job *j, struct file_region *r, struct links *links)
{
	bool is_standby = false;
	PGconn *c;

	if (job_node(j, r->name) == NULL) {
		r->is_standby = true;
		return 0;
	}
	c = job_db(j, r->name, &r->why);
	if (c == NULL)
		return -1;
	if (db_is(c, &is_standby, &r->why, "SELECT pg_catalog.pg_is_in_recovery()", 0, NULL) < 0 ||
	    history_list(c, r->name, &r->history, &r->why) < 0)
		return -1;
	r->is_standby = is_standby;
	r->version = PQserverVersion(c);
	r->db = c;
	take_names(c,
		   "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE slot_type = "
		   "'logical' AND database = pg_catalog.current_database() LIMIT 1000",
		   &links->slots);
	take_names(c,
		   "SELECT subslotname FROM pg_catalog.pg_subscription WHERE subenabled AND "
		   "subslotname IS NOT NULL AND subdbid = (SELECT oid FROM pg_catalog.pg_database "
		   "WHERE datname = pg_catalog.current_database()) LIMIT 1000",
		   &links->subscriptions);
	return 0;
}

static bool
share(const struct strlist *a, const struct strlist *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (strlist_has(b, a->v[i]))
			return true;
	return false;
}

void
regions_ask(struct job *j, struct file_regions *out)
{
	const struct spec *spec = job_spec(j);
	struct strlist names = { 0 };
	struct links *links;

	regions_names(j, &names);
	out->n = names.n;
	out->v = xcalloc(names.n + 1, sizeof(*out->v));
	links = xcalloc(names.n + 1, sizeof(*links));
	for (size_t i = 0; i < names.n; i++) {
		out->v[i].name = xstrdup(names.v[i]);
		out->v[i].is_canary = spec->canary != NULL && strcmp(spec->canary, names.v[i]) == 0;
		(void)ask_one(j, &out->v[i], &links[i]);
	}
	for (size_t i = 0; i < out->n; i++)
		for (size_t k = 0; k < out->n; k++)
			if (i != k && share(&links[i].subscriptions, &links[k].slots))
				strlist_add(&out->v[i].publishers, out->v[k].name);
	for (size_t i = 0; i < names.n; i++) {
		strlist_fini(&links[i].slots);
		strlist_fini(&links[i].subscriptions);
	}
	free(links);
	strlist_fini(&names);
}

void
regions_fini(struct file_regions *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].name);
		history_fini(&r->v[i].history);
		strlist_fini(&r->v[i].publishers);
	}
	free(r->v);
	memset(r, 0, sizeof(*r));
}

bool
region_takes_files(const struct file_region *r)
{
	return r->db != NULL && !r->is_standby;
}

/* ---- order ---- */

bool
regions_are_linked(const struct file_regions *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].publishers.n > 0)
			return true;
	return false;
}

/* Whether region b has to have the file before a. */
static bool
comes_first(const struct file_region *b, const struct file_region *a, unsigned way)
{
	if (way == LINT_ADDS)
		return strlist_has(&b->publishers, a->name);
	if (way == LINT_TAKES)
		return strlist_has(&a->publishers, b->name);
	return false;
}

void
regions_order(const struct file_regions *r, unsigned way, size_t *order)
{
	bool *placed = xcalloc(r->n + 1, sizeof(*placed));

	for (size_t n = 0; n < r->n; n++) {
		size_t pick = r->n;

		for (size_t i = 0; i < r->n && pick == r->n; i++) {
			bool waits = placed[i];

			for (size_t k = 0; k < r->n && !waits; k++)
				waits =
				    k != i && !placed[k] && comes_first(&r->v[k], &r->v[i], way);
			if (!waits)
				pick = i;
		}
		for (size_t i = 0; i < r->n && pick == r->n; i++)
			if (!placed[i]) /* they wait for each other */
				pick = i;
		placed[pick] = true;
		order[n] = pick;
	}
	free(placed);
}
