/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/regions/steps.h"

#include <stdlib.h>
#include <string.h>

static bool
has_column(const struct regions_catalog *cat, const char *column)
{
	return regions_table_column(&cat->tables[0], column) != NULL;
}

/* Drop a column that we made. One that cannot be dropped stays, and a NOTICE says so. */
static int
drop_column(struct job *j, const struct regions_step *s, const char *column, struct err *e)
{
	struct regions_catalog cat;
	struct buf sql = { 0 };
	int rc = regions_table_now(j, s, &cat, e);
	bool has = rc == 0 && has_column(&cat, column);

	regions_catalog_fini(&cat);
	if (rc < 0 || !has)
		return rc;
	buf_str(&sql, "ALTER TABLE ");
	ddl_put_table(&sql, s->schema, s->table);
	buf_str(&sql, " DROP COLUMN ");
	ddl_put_name(&sql, column);
	return regions_run_sql(j, s, &sql, NULL, NULL, e);
}

/* ---- the locality ---- */

static int
locality_holds(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	struct regions_catalog cat;
	struct table_home now, wanted;
	int rc = regions_table_now(j, s, &cat, e);

	*out = false;
	if (rc == 0) {
		home_parse(cat.tables[0].locality, &now);
		home_parse(s->home, &wanted);
		*out = home_is_same(&now, &wanted);
		home_fini(&now);
		home_fini(&wanted);
	}
	regions_catalog_fini(&cat);
	return rc;
}

static int
locality_is(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	return locality_holds(j, s, out, e) < 0 ? -1 : regions_and_no_jobs(j, out, e);
}

static int
locality_before(struct job *j, const struct regions_step *s, char **out, struct err *e)
{
	struct regions_catalog cat;
	int rc = regions_table_now(j, s, &cat, e);

	if (rc == 0) {
		json_t *o =
		    json_pack("{s:o, s:b}", "home", regions_text_or_null(cat.tables[0].locality),
			      "column", has_column(&cat, REGIONS_HIDDEN));

		*out = json_dumps(o, JSON_COMPACT);
		json_decref(o);
	}
	regions_catalog_fini(&cat);
	return rc;
}

static int
locality_set(struct job *j, const struct regions_step *s, const char *text,
	     int (*enough)(struct job *, const struct regions_step *, bool *, struct err *),
	     struct err *e)
{
	struct table_home home;
	struct buf sql = { 0 };

	home_parse(text, &home);
	ddl_locality(&sql, s->schema, s->table, &home);
	home_fini(&home);
	return regions_run_sql(j, s, &sql, NULL, enough, e);
}

static int
locality_act(struct job *j, const struct regions_step *s, struct err *e)
{
	return locality_set(j, s, s->home, locality_is, e);
}

/* The table is where it was, and without the column that came with REGIONAL BY ROW: its values
 * would keep the regions from being dropped. */
static int
locality_undo(struct job *j, const struct regions_step *s, struct err *e)
{
	json_t *o = regions_before(s);
	const char *old = json_string_value(json_object_get(o, "home"));
	bool had_column = json_is_true(json_object_get(o, "column")), is = false;
	int rc = locality_holds(j, s, &is, e);

	if (rc == 0 && is && (old == NULL || strcmp(old, s->home) != 0))
		rc = locality_set(j, s, old, NULL, e);
	if (rc == 0 && o != NULL && json_object_size(o) > 0 && !had_column &&
	    strncmp(s->home, "REGIONAL BY ROW", 15) == 0)
		rc = drop_column(j, s, REGIONS_HIDDEN, e);
	json_decref(o);
	return rc;
}

static void
locality_text(const struct regions_step *s, struct step_text *out)
{
	struct table_home home;

	home_parse(s->home, &home);
	ddl_locality(&out->sql, s->schema, s->table, &home);
	if (home.kind == HOME_ROW)
		buf_str(&out->estimate, "every row is written anew: the region becomes part of the "
					"primary key");
	home_fini(&home);
	home = (struct table_home){ HOME_TABLE, NULL };
	ddl_locality(&out->undo, s->schema, s->table, &home);
	buf_str(&out->undo, ", or as it was");
}

REGIONS_OPS(locality, .done = locality_is, .before = locality_before, .act = locality_act,
	    .undo = locality_undo, .text = locality_text);

/* ---- the column that says the region, computed from the city ---- */

static int
computed_is(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	struct regions_catalog cat;
	int rc = regions_table_now(j, s, &cat, e);

	*out = rc == 0 && has_column(&cat, REGIONS_COMPUTED);
	regions_catalog_fini(&cat);
	return rc == 0 ? regions_and_no_jobs(j, out, e) : -1;
}

static int
computed_before(struct job *j, const struct regions_step *s, char **out, struct err *e)
{
	struct regions_catalog cat;
	int rc = regions_table_now(j, s, &cat, e);

	if (rc == 0)
		*out = regions_note("column", json_boolean(has_column(&cat, REGIONS_COMPUTED)));
	regions_catalog_fini(&cat);
	return rc;
}

static int
computed_act(struct job *j, const struct regions_step *s, struct err *e)
{
	struct buf sql = { 0 };

	ddl_computed(&sql, s->schema, s->table, REGIONS_COMPUTED, s->column, &s->cities, s->region);
	return regions_run_sql(j, s, &sql, "42701", computed_is, e);
}

static int
computed_undo(struct job *j, const struct regions_step *s, struct err *e)
{
	json_t *o = regions_before(s);
	bool is_ours = json_is_false(json_object_get(o, "column"));

	json_decref(o);
	return is_ours ? drop_column(j, s, REGIONS_COMPUTED, e) : 0;
}

static void
computed_text(const struct regions_step *s, struct step_text *out)
{
	ddl_computed(&out->sql, s->schema, s->table, REGIONS_COMPUTED, s->column, &s->cities,
		     s->region);
	buf_str(&out->estimate, "every row is written once, by the server");
	buf_str(&out->undo, "ALTER TABLE ");
	ddl_put_table(&out->undo, s->schema, s->table);
	buf_str(&out->undo, " DROP COLUMN " REGIONS_COMPUTED);
}

REGIONS_OPS(column, .done = computed_is, .before = computed_before, .act = computed_act,
	    .undo = computed_undo, .text = computed_text);

/* ---- the hidden column, shown ---- */

static int
visible_is(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	struct regions_catalog cat;
	int rc = regions_table_now(j, s, &cat, e);

	*out = rc == 0 && has_column(&cat, REGIONS_HIDDEN) && cat.tables[0].create != NULL &&
	       !regions_column_is_hidden(cat.tables[0].create, REGIONS_HIDDEN);
	regions_catalog_fini(&cat);
	return rc;
}

static int
visible_before(struct job *j, const struct regions_step *s, char **out, struct err *e)
{
	bool is;

	if (visible_is(j, s, &is, e) < 0)
		return -1;
	*out = regions_note("visible", json_boolean(is));
	return 0;
}

static int
visible_act(struct job *j, const struct regions_step *s, struct err *e)
{
	struct buf sql = { 0 };

	ddl_visible(&sql, s->schema, s->table, REGIONS_HIDDEN, true);
	return regions_run_sql(j, s, &sql, NULL, visible_is, e);
}

static int
visible_undo(struct job *j, const struct regions_step *s, struct err *e)
{
	json_t *o = regions_before(s);
	bool was_hidden = json_is_false(json_object_get(o, "visible")), is = false;
	struct buf sql = { 0 };

	json_decref(o);
	if (!was_hidden || visible_is(j, s, &is, e) < 0)
		return was_hidden ? -1 : 0;
	if (!is)
		return 0;
	ddl_visible(&sql, s->schema, s->table, REGIONS_HIDDEN, false);
	return regions_run_sql(j, s, &sql, NULL, NULL, e);
}

static void
visible_text(const struct regions_step *s, struct step_text *out)
{
	ddl_visible(&out->sql, s->schema, s->table, REGIONS_HIDDEN, true);
	ddl_visible(&out->undo, s->schema, s->table, REGIONS_HIDDEN, false);
}

REGIONS_OPS(visible, .done = visible_is, .before = visible_before, .act = visible_act,
	    .undo = visible_undo, .text = visible_text);

/* ---- the application ---- */

static int
deployed_is(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	(void)s;
	(void)e;
	*out = job_was_acked(j, "app_deployed") || job_is_forced(j, "app_deployed");
	return 0;
}

static int
deployed_act(struct job *j, const struct regions_step *s, struct err *e)
{
	(void)s;
	return job_wait_ack(j, "app_deployed",
			    "deploy mappings that know the column " REGIONS_HIDDEN, e);
}

static void
deployed_text(const struct regions_step *s, struct step_text *out)
{
	(void)s;
	buf_str(&out->sql, "-- deploy mappings that know the column " REGIONS_HIDDEN
			   ", then ACK MIGRATION … app_deployed");
	buf_str(&out->estimate, "until ACK");
	buf_str(&out->undo, "nothing to undo");
}

REGIONS_OPS(deployed, .done = deployed_is, .act = deployed_act, .text = deployed_text);
