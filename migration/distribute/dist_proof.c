/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/dist_proof.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/db.h"
#include "migration/distribute/dist_run.h"

static const char *const moments[] = { [DIST_BEFORE] = "before", [DIST_AFTER] = "after" };

/* For the workers too, which read the rows when the table is distributed. */
static const char *const same_texts[] = {
	"SET LOCAL citus.propagate_set_commands = 'local'",
	"SET LOCAL timezone = 'UTC'",
	"SET LOCAL datestyle = 'ISO, YMD'",
	"SET LOCAL intervalstyle = 'postgres'",
	"SET LOCAL extra_float_digits = 1",
	"SET LOCAL bytea_output = 'hex'",
};

enum dist_verify
dist_proof_wanted(const struct job *j)
{
	if (job_option_is(j, "verify", "off"))
		return DIST_VERIFY_OFF;
	return job_option_is(j, "verify", "full") ? DIST_VERIFY_FULL : DIST_VERIFY_COUNT;
}

static size_t
ntables(const struct dist_args *a)
{
	return a->ntables > 0 ? a->ntables : 1;
}

static const char *
table_at(const struct dist_args *a, size_t i)
{
	return a->ntables > 0 ? a->tables[i].table : a->table;
}

/* No column is called as the row is. */
static const char *
figures_of(const struct dist_args *a)
{
	return a->verify == DIST_VERIFY_FULL
		   ? "count(*) || ' ' || coalesce(sum(hashtextextended(meridian_row::text,"
		     " 0)::numeric), 0)"
		   : "count(*)::text";
}

void
dist_proof_sql(struct buf *b, const struct dist_args *a, enum dist_moment when)
{
	if (a->verify == DIST_VERIFY_OFF)
		return;
	if (when == DIST_BEFORE) {
		/* Writes wait from the first look on; clients that lock tables in this order do not
		 * wait for us and we for them. */
		if (a->verify == DIST_VERIFY_FULL)
			for (size_t i = 0; i < sizeof(same_texts) / sizeof(same_texts[0]); i++)
				buf_printf(b, "%s;\n", same_texts[i]);
		for (size_t i = 0; i < ntables(a); i++)
			buf_printf(b, "LOCK TABLE %s IN EXCLUSIVE MODE;\n", table_at(a, i));
	}
	for (size_t i = 0; i < ntables(a); i++)
		buf_printf(b,
			   "SELECT set_config('meridian.%s_%zu', %s, true) FROM %s meridian_row;\n",
			   moments[when], i, figures_of(a), table_at(a, i));
}

/* ---- kept with the step ---- */

static json_t *
kept(const char *json)
{
	json_t *o = json != NULL ? json_loads(json, 0, NULL) : NULL;

	if (json_is_object(o))
		return o;
	json_decref(o);
	return json_object();
}

static int
keep(struct job *j, const json_t *figures, struct err *e)
{
	char *text = json_dumps(figures, JSON_COMPACT);
	int rc = job_note_undo(j, text, e);

	free(text);
	return rc;
}

static void
put_figures(json_t *to, const char *table, enum dist_moment when, const char *figures)
{
	json_t *o = json_object_get(to, table);

	if (o == NULL) {
		o = json_object();
		json_object_set_new(to, table, o);
	}
	if (figures != NULL)
		json_object_set_new(o, moments[when], json_string(figures));
}

static char *
text_of(const json_t *o, enum dist_moment when)
{
	const char *s = json_string_value(json_object_get(o, moments[when]));

	return s != NULL ? xstrdup(s) : NULL;
}

void
dist_proof_read(const struct migration_step *s, const char *table, struct dist_figures *out)
{
	json_t *all = kept(s->undo), *o = json_object_get(all, table);

	*out = (struct dist_figures){ text_of(o, DIST_BEFORE), text_of(o, DIST_AFTER) };
	json_decref(all);
}

void
dist_figures_fini(struct dist_figures *f)
{
	free(f->before);
	free(f->after);
	*f = (struct dist_figures){ NULL, NULL };
}

/* ---- in the transaction of the copy ---- */

static int
compare_one(struct job *j, PGconn *c, const char *table, size_t i, json_t *found, struct err *e)
{
	char *values[2] = { NULL, NULL };
	int rc = 0;

	for (int when = DIST_BEFORE; when <= DIST_AFTER && rc == 0; when++) {
		char *sql =
		    xasprintf("SELECT current_setting('meridian.%s_%zu', true)", moments[when], i);

		rc = dist_value(j, c, sql, &values[when], e);
		free(sql);
		if (rc == 0 && values[when] != NULL)
			put_figures(found, table, (enum dist_moment)when, values[when]);
	}
	if (rc == 0 &&
	    (values[0] == NULL || values[1] == NULL || strcmp(values[0], values[1]) != 0)) {
		rc = err_set(e, "XX001", "%s is not the same on the workers", table);
		err_detail(e, "Rows, and the sum of their hashes: %s before the copy, %s after it.",
			   values[0] != NULL ? values[0] : "", values[1] != NULL ? values[1] : "");
		err_hint(e, "Nothing has been changed: the copy was rolled back.");
	}
	free(values[0]);
	free(values[1]);
	return rc;
}

int
dist_proof_compare(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	json_t *found;
	int rc = 0;

	if (a->verify == DIST_VERIFY_OFF)
		return 0;
	found = json_object();
	for (size_t i = 0; i < ntables(a) && rc == 0; i++)
		rc = compare_one(j, c, table_at(a, i), i, found, e);
	if (rc == 0)
		rc = keep(j, found, e);
	json_decref(found);
	return rc;
}

/* ---- with concurrent writes ---- */

int
dist_proof_count(struct job *j, PGconn *c, const struct dist_args *a, enum dist_moment when,
		 struct dist_figures *f, struct err *e)
{
	char **to = when == DIST_BEFORE ? &f->before : &f->after, *sql;
	json_t *found;
	int rc;

	if (a->verify == DIST_VERIFY_OFF)
		return 0;
	job_progress(j, -1, "counting %s", a->table);
	free(*to);
	*to = NULL;
	sql = xasprintf("SELECT %s FROM %s meridian_row", figures_of(a), a->table);
	rc = db_exec(c, e, "BEGIN");
	for (size_t i = 0; rc == 0 && i < sizeof(same_texts) / sizeof(same_texts[0]); i++)
		rc = db_exec(c, e, same_texts[i]);
	if (rc == 0)
		rc = dist_value(j, c, sql, to, e);
	if (PQtransactionStatus(c) != PQTRANS_IDLE)
		(void)db_exec(c, NULL, "ROLLBACK");
	free(sql);
	if (rc != 0)
		return -1;
	found = json_object();
	put_figures(found, a->table, DIST_BEFORE, f->before);
	put_figures(found, a->table, DIST_AFTER, f->after);
	rc = keep(j, found, e);
	json_decref(found);
	return rc;
}
