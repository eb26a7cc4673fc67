/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/regions/steps.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "migration/regions/read.h"

/* ---- the primary region, the survival goal: a text of the database each ---- */

static bool
is_goal(const struct regions_step *s)
{
	return s->kind == REGIONS_SURVIVAL;
}

static const char *
property_key(const struct regions_step *s)
{
	return is_goal(s) ? "goal" : "primary";
}

/* Set it to `value`; NULL: as it is in a database that is not multi-region. */
static void
put_property(struct buf *sql, const struct regions_step *s, const char *value)
{
	if (is_goal(s))
		ddl_survive(sql, s->database, value != NULL ? value : "zone");
	else if (value != NULL)
		ddl_primary(sql, s->database, value);
	else
		ddl_drop(sql, s->database, s->region);
}

/* What it is now, and whether that is what the step sets; `before` (may be NULL) notes it. */
static int
read_property(struct job *j, const struct regions_step *s, bool *is, char **before, struct err *e)
{
	const char *wanted = is_goal(s) ? s->goal : s->region, *now;
	struct regions_catalog cat;
	int rc = regions_database_now(j, &cat, e);

	now = is_goal(s) ? cat.survival : cat.primary;
	*is = rc == 0 && now != NULL && strcmp(now, wanted) == 0;
	if (before != NULL)
		*before = regions_note(property_key(s), regions_text_or_null(now));
	regions_catalog_fini(&cat);
	return rc;
}

static int
property_is(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	int rc = read_property(j, s, out, NULL, e);

	return rc == 0 && !is_goal(s) ? regions_and_no_jobs(j, out, e) : rc;
}

static int
property_before(struct job *j, const struct regions_step *s, char **out, struct err *e)
{
	bool is;

	return read_property(j, s, &is, out, e);
}

static int
property_act(struct job *j, const struct regions_step *s, struct err *e)
{
	struct buf sql = { 0 };

	put_property(&sql, s, is_goal(s) ? s->goal : s->region);
	return regions_run_sql(j, s, &sql, NULL, property_is, e);
}

/* The last region of a database is its primary one: with it all localities go. */
static int
property_undo(struct job *j, const struct regions_step *s, struct err *e)
{
	const char *set = is_goal(s) ? s->goal : s->region, *old;
	struct buf sql = { 0 };
	bool is = false;
	json_t *o;
	int rc = property_is(j, s, &is, e);

	if (rc != 0 || !is)
		return rc;
	o = regions_before(s);
	old = json_string_value(json_object_get(o, property_key(s)));
	if (old == NULL || strcmp(old, set) != 0) {
		put_property(&sql, s, old);
		rc = regions_run_sql(j, s, &sql, NULL, NULL, e);
	}
	json_decref(o);
	return rc;
}

/* ---- nodes ---- */

static int
missing_nodes(struct job *j, const struct regions_step *s, struct buf *out, struct err *e)
{
	struct strlist have = { 0 };
	PGconn *c = job_db(j, REGIONS_PLACE, e);
	int rc = c != NULL ? regions_read_cluster(c, &have, e) : -1;

	for (size_t i = 0; rc == 0 && i < s->regions.n; i++) {
		if (!strlist_has(&have, s->regions.v[i]))
			buf_printf(out, "%s%s", out->n > 0 ? ", " : "", s->regions.v[i]);
	}
	strlist_fini(&have);
	return rc;
}

static int
nodes_are(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	struct buf missing = { 0 };
	int rc = missing_nodes(j, s, &missing, e);

	*out = rc == 0 && missing.n == 0;
	buf_fini(&missing);
	return rc;
}

static int
nodes_act(struct job *j, const struct regions_step *s, struct err *e)
{
	bool waits = true;

	if (job_set_state(j, STATE_WAITING_NODES, e) < 0)
		return -1;
	while (waits) {
		struct buf missing = { 0 };
		int rc = missing_nodes(j, s, &missing, e);

		waits = missing.n > 0;
		if (waits)
			job_progress(j, -1, "waiting for nodes in %s", buf_text(&missing));
		buf_fini(&missing);
		if (rc < 0 || (waits && job_sleep(j, USEC_PER_SEC, e) < 0))
			return -1;
	}
	return job_set_state(j, STATE_MIGRATING_DATA, e);
}

/* ---- regions ---- */

static int
region_has(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	struct regions_catalog cat;
	int rc = regions_database_now(j, &cat, e);

	*out = rc == 0 && strlist_has(&cat.regions, s->region);
	regions_catalog_fini(&cat);
	return rc;
}

static int
region_is(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	return region_has(j, s, out, e) < 0 ? -1 : regions_and_no_jobs(j, out, e);
}

static int
region_before(struct job *j, const struct regions_step *s, char **out, struct err *e)
{
	bool has;

	if (region_has(j, s, &has, e) < 0)
		return -1;
	*out = regions_note("existed", json_boolean(has));
	return 0;
}

static int
region_act(struct job *j, const struct regions_step *s, struct err *e)
{
	struct buf sql = { 0 };

	ddl_add(&sql, regions_database(j), s->region);
	return regions_run_sql(j, s, &sql, "42710", region_is, e);
}

static int
region_undo(struct job *j, const struct regions_step *s, struct err *e)
{
	json_t *o = regions_before(s);
	bool existed = json_is_true(json_object_get(o, "existed")), has = false;
	struct buf sql = { 0 };

	json_decref(o);
	if (existed || region_has(j, s, &has, e) < 0)
		return existed ? 0 : -1;
	if (!has)
		return 0;
	ddl_drop(&sql, regions_database(j), s->region);
	return regions_run_sql(j, s, &sql, NULL, NULL, e);
}

/* ---- what PLAN says ---- */

static void
primary_text(const struct regions_step *s, struct step_text *out)
{
	ddl_primary(&out->sql, s->database, s->region);
	ddl_drop(&out->undo, s->database, s->region);
	buf_str(&out->undo, ", or SET PRIMARY REGION as it was");
}

static void
nodes_text(const struct regions_step *s, struct step_text *out)
{
	buf_str(&out->sql, "SHOW REGIONS FROM CLUSTER");
	buf_str(&out->undo, "nothing to undo");
	buf_str(&out->estimate, "until nodes are seen in ");
	for (size_t i = 0; i < s->regions.n; i++)
		buf_printf(&out->estimate, "%s%s", i > 0 ? ", " : "", s->regions.v[i]);
}

static void
region_text(const struct regions_step *s, struct step_text *out)
{
	ddl_add(&out->sql, s->database, s->region);
	ddl_drop(&out->undo, s->database, s->region);
}

static void
survival_text(const struct regions_step *s, struct step_text *out)
{
	ddl_survive(&out->sql, s->database, s->goal);
	ddl_survive(&out->undo, s->database, "zone");
	buf_str(&out->undo, ", or as it was");
}

REGIONS_OPS(primary, .done = property_is, .before = property_before, .act = property_act,
	    .undo = property_undo, .text = primary_text);

REGIONS_OPS(nodes, .done = nodes_are, .act = nodes_act, .text = nodes_text);

REGIONS_OPS(region, .done = region_is, .before = region_before, .act = region_act,
	    .undo = region_undo, .text = region_text);

REGIONS_OPS(survival, .done = property_is, .before = property_before, .act = property_act,
	    .undo = property_undo, .text = survival_text);
