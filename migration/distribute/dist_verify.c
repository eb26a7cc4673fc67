/* SPDX-License-Identifier: PostgreSQL
 *
 * VERIFY of kind distribute: for each table of the plan what was counted before its copy and after
 * it, and whether it is now what the migration makes of it: where it is, colocated with which, with
 * every foreign key that it had, each row with its parent. Changes nothing.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/distribute/dist_load.h"
#include "migration/distribute/dist_proof.h"
#include "migration/distribute/dist_run.h"
#include "migration/distribute/dist_steps.h"
#include "migration/engine.h"
#include "migration/plan.h"

/* The whole of it. */
struct review {
	struct job *j;
	PGconn *c;
	bool has_citus;
	const char *only;
	const struct rows_sink *out;
	struct plan plan;
	struct dist_args keys; /* of the first step: every key, as it was */
	size_t rows;
};

/* One table. */
struct finding {
	const struct migration_step *s;
	const struct dist_args *a;
	const char *table;
	bool is_reference;
	struct dist_figures kept;
	struct buf wrong, said;
};

static void
put_comma(struct buf *b)
{
	if (b->n > 0)
		buf_str(b, "; ");
}

#define PUT(buf, ...)                         \
	do {                                  \
		put_comma(buf);               \
		buf_printf(buf, __VA_ARGS__); \
	} while (0)
#define WRONG(f, ...) PUT(&(f)->wrong, __VA_ARGS__)
#define SAID(f, ...)  PUT(&(f)->said, __VA_ARGS__)

/* ---- where it is ---- */

static int
look_beside(const struct review *v, struct finding *f, struct err *e)
{
	const char *params[] = { f->table, f->a->colocated };
	bool is_beside = true;

	if (f->is_reference || f->a->colocated == NULL)
		return 0;
	if (db_is(v->c, &is_beside, e,
		  "SELECT count(DISTINCT colocationid) = 1 AND count(*) = 2 FROM pg_dist_partition"
		  " WHERE logicalrelid IN (to_regclass($1), to_regclass($2))",
		  2, params) != 0)
		return -1;
	if (!is_beside)
		WRONG(f, "its shards are not beside those of %s", f->a->colocated);
	return 0;
}

/* Behind its step it is distributed as planned; in front of it, or taken back, a plain table. */
static int
look_where(const struct review *v, struct finding *f, struct err *e)
{
	enum dist_state want = f->is_reference ? DIST_REFERENCE : DIST_HASH, state = DIST_LOCAL;
	char *column = NULL;
	int rc = v->has_citus ? dist_state_of(v->c, f->table, &state, &column, e) : 0;

	if (rc == 0 && step_is_done(f->s)) {
		if (state != want)
			WRONG(f, "it is not distributed any more");
		else if (state == DIST_HASH && strcmp(column, f->a->column) != 0)
			WRONG(f, "it is distributed by %s, not by %s", column, f->a->column);
		else
			rc = look_beside(v, f, e);
	} else if (rc == 0 && f->s->state == STEP_UNDONE) {
		if (state == DIST_LOCAL)
			SAID(f, "it is a local table again");
		else
			WRONG(f, "it was taken back, and is distributed");
	} else if (rc == 0) {
		SAID(f, "%s", state == DIST_HALF ? "half way" : "not distributed yet");
	}
	free(column);
	return rc;
}

/* ---- its keys ---- */

/* A key that is on its way back is missed only when the last step of its phase is done. */
static bool
are_keys_due(const struct review *v)
{
	for (size_t i = 0; i < v->plan.n; i++)
		if (v->plan.v[i].def->phase == PHASE_DATA && !step_is_done(&v->plan.v[i]) &&
		    v->plan.v[i].state != STEP_UNDONE)
			return false;
	return true;
}

/* One that is there and valid has its rows checked by the servers. */
static int
look_at_key(const struct review *v, struct finding *f, const struct dist_key_args *k, struct err *e)
{
	int state = dist_key_state(v->c, k, e);
	char *first = NULL;
	int64_t n = 0;
	int rc;

	if (state == -1)
		return -1;
	if (state == 1)
		return 0;
	if (!are_keys_due(v)) {
		SAID(f, "foreign key %s is %s meanwhile", k->name,
		     state == 0 ? "NOT VALID" : "not there");
		return 0;
	}
	if (state == -2)
		WRONG(f, "foreign key %s is not there", k->name);
	else if (k->is_valid)
		WRONG(f, "foreign key %s is NOT VALID", k->name);
	rc = dist_orphans(v->j, v->c, k, &n, &first, e);
	if (rc == 0 && n > 0)
		WRONG(f, "%" PRId64 "%s rows have no row in %s (%s), the first is %s", n,
		      n >= 1000 ? " or more" : "", k->refer, k->name, first != NULL ? first : "");
	free(first);
	return rc;
}

/* ---- its rows ---- */

static int
count_rows(const struct review *v, struct finding *f, struct err *e)
{
	char *sql = xasprintf("SELECT count(*) FROM %s", f->table), *n;
	int rc;

	rc = dist_value(v->j, v->c, sql, &n, e);
	if (rc == 0)
		SAID(f, "%s rows now", n != NULL ? n : "no");
	free(sql);
	free(n);
	return rc;
}

/* "count sum" */
static char *
count_of(const char *figures)
{
	return figures != NULL ? xstrndup(figures, strcspn(figures, " ")) : NULL;
}

/* NULL: unknown. */
static const char *
verdict(struct finding *f)
{
	if (f->wrong.n > 0)
		return "f";
	if (f->kept.before == NULL || f->kept.after == NULL)
		return NULL;
	if (strcmp(f->kept.before, f->kept.after) == 0)
		return "t";
	SAID(f, "it was written while it was copied");
	return NULL;
}

static void
put_row(struct review *v, struct finding *f)
{
	char *before = count_of(f->kept.before), *after = count_of(f->kept.after);
	const char *equal = verdict(f);
	const char *row[] = { f->table, before, after, equal, NULL };

	put_comma(&f->wrong);
	buf_slice(&f->wrong, buf_view(&f->said));
	row[4] = buf_text(&f->wrong);
	v->out->row(v->out->arg, row, sizeof(row) / sizeof(row[0]));
	v->rows++;
	free(before);
	free(after);
}

/* ---- all tables ---- */

static int
one_table(struct review *v, struct finding *f, struct err *e)
{
	const char *params[] = { f->table, v->only };
	bool is_wanted = true, is_there = false;
	int rc = 0;

	if (v->only != NULL)
		rc = db_is(v->c, &is_wanted, e, "SELECT to_regclass($1) = to_regclass($2)", 2,
			   params);
	if (rc != 0 || !is_wanted)
		return rc;
	dist_proof_read(f->s, f->table, &f->kept);
	rc = db_is(v->c, &is_there, e, "SELECT to_regclass($1) IS NOT NULL", 1, &f->table);
	if (rc == 0 && !is_there)
		WRONG(f, "there is no such table any more");
	if (rc == 0 && is_there)
		rc = look_where(v, f, e);
	for (size_t i = 0; rc == 0 && is_there && i < v->keys.nkeys; i++)
		if (strcmp(v->keys.keys[i].table, f->table) == 0)
			rc = look_at_key(v, f, &v->keys.keys[i], e);
	if (rc == 0 && is_there)
		rc = count_rows(v, f, e);
	if (rc == 0)
		put_row(v, f);
	dist_figures_fini(&f->kept);
	buf_fini(&f->wrong);
	buf_fini(&f->said);
	return rc;
}

static int
one_step(struct review *v, const struct migration_step *s, struct err *e)
{
	enum dist_act act = dist_act_of(s);
	struct dist_args a;
	int rc = 0;

	if (act != DIST_BLOCKING && act != DIST_CONCURRENT && act != DIST_REFER && act != DIST_ALL)
		return 0;
	if (dist_args_parse(&a, s->args, e) != 0)
		return -1;
	if (act != DIST_ALL)
		rc = one_table(
		    v,
		    &(struct finding){
			.s = s, .a = &a, .table = a.table, .is_reference = act == DIST_REFER },
		    e);
	for (size_t i = 0; i < a.ntables && rc == 0; i++)
		rc = one_table(v,
			       &(struct finding){ .s = s,
						  .a = &a,
						  .table = a.tables[i].table,
						  .is_reference = a.tables[i].is_reference },
			       e);
	dist_args_fini(&a);
	return rc;
}

int
dist_verify(struct job *j, const char *only, const struct rows_sink *out, struct err *e)
{
	struct review v = { .j = j, .only = only, .out = out };
	bool is_frozen;
	int rc = 0;

	v.c = job_db(j, DIST_PLACE, e);
	if (v.c == NULL || dist_has_citus(v.c, &v.has_citus, e) != 0 ||
	    job_plan(j, &v.plan, &is_frozen, e) != 0)
		return -1;
	for (size_t i = 0; i < v.plan.n && rc == 0 && v.keys.column == NULL; i++)
		if (dist_act_of(&v.plan.v[i]) == DIST_KEEP_KEYS)
			rc = dist_args_parse(&v.keys, v.plan.v[i].args, e);
	for (size_t i = 0; i < v.plan.n && rc == 0; i++)
		rc = one_step(&v, &v.plan.v[i], e);
	if (rc == 0 && v.rows == 0 && only != NULL)
		rc = err_set(e, "42P01", "the migration is not about table %s", only);
	dist_args_fini(&v.keys);
	plan_fini(&v.plan);
	return rc;
}
