/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/dist_steps.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/db.h"
#include "migration/distribute/dist_load.h"
#include "migration/distribute/dist_proof.h"
#include "migration/distribute/dist_run.h"
#include "migration/distribute/dist_sql.h"

static int
run_locked(struct job *j, PGconn *c, struct buf *sql, struct err *e)
{
	int rc = sql->n > 0 ? dist_run_locked(j, c, buf_text(sql), e) : 0;

	buf_fini(sql);
	return rc;
}

/* The copy of tables, in one transaction, with what was counted before and after it. */
static int
copy_locked(struct job *j, PGconn *c, const struct dist_args *a, struct buf *sql, struct err *e)
{
	int rc;

	dist_proof_sql(sql, a, DIST_AFTER);
	rc = run_locked(j, c, sql, e);
	return rc == 0 ? dist_proof_compare(j, c, a, e) : -1;
}

/* ---- keys ---- */

static int
keys_before(struct job *j, const struct migration_step *s, char **json, struct err *e)
{
	(void)j;
	(void)e;
	*json = xstrdup(s->args);
	return 0;
}

static int
drop_keys(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	struct buf sql = { 0 };

	for (size_t i = 0; i < a->nkeys; i++)
		dist_sql_drop_key(&sql, &a->keys[i]);
	return run_locked(j, c, &sql, e);
}

/* Both ends spread alike, or the parent everywhere: else Citus takes the child half way along. */
static int
may_add(PGconn *c, const struct dist_key_args *k, struct err *e)
{
	const char *params[] = { k->table, k->refer };
	bool may = false;

	if (db_is(c, &may, e,
		  "SELECT EXISTS (SELECT FROM pg_dist_partition f, pg_dist_partition t"
		  " WHERE f.logicalrelid = to_regclass($1) AND t.logicalrelid = to_regclass($2)"
		  " AND f.partmethod = 'h' AND (t.repmodel = 't' AND t.partmethod = 'n'"
		  "  OR t.partmethod = 'h' AND t.colocationid = f.colocationid))",
		  2, params) != 0)
		return -1;
	if (may)
		return 0;
	err_set(e, "55000", "foreign key %s on %s cannot come back yet", k->name, k->table);
	err_detail(e, "%s and %s are not distributed together.", k->table, k->refer);
	return -1;
}

static int
add_keys(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	struct buf sql = { 0 };
	int rc = 0;

	dist_sql_settings(&sql, a->is_sequential);
	for (size_t i = 0; i < a->nkeys && rc != -1; i++) {
		rc = dist_key_state(c, &a->keys[i], e);
		if (rc != -2)
			continue;
		rc = may_add(c, &a->keys[i], e);
		if (rc == 0)
			dist_sql_add_key(&sql, &a->keys[i], false);
	}
	if (rc != -1)
		return run_locked(j, c, &sql, e);
	buf_fini(&sql);
	return -1;
}

static int
all_valid(struct job *j, PGconn *c, const struct dist_args *a, bool *is_done, struct err *e)
{
	int rc = 1;

	(void)j;
	for (size_t i = 0; i < a->nkeys && rc == 1; i++)
		rc = dist_key_state(c, &a->keys[i], e);
	*is_done = rc == 1;
	return rc == -1 ? -1 : 0;
}

static int
validate(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	struct buf sql = { 0 };
	int rc;

	for (size_t i = 0; i < a->nkeys; i++)
		dist_sql_validate_key(&sql, &a->keys[i]);
	rc = job_run(j, c, buf_text(&sql), e);
	buf_fini(&sql);
	if (rc != 0 && strcmp(e->sqlstate, "23503") == 0) {
		if (job_option_is(j, "orphans", "report")) {
			job_notice(j, "foreign key %s stays NOT VALID: %s", a->keys[0].name,
				   e->detail[0] != '\0' ? e->detail : e->msg);
			return 0;
		}
		err_hint(e,
			 "Delete these rows or insert their parents, then RETRY; or "
			 "SET MIGRATION %d (orphans = report).",
			 job_id(j));
	}
	return rc;
}

static int
trim(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	return dist_put_trimmings(j, c, &a->trimmings, e);
}

/* ---- rows without a parent ---- */

static int
report_orphans(struct job *j, const struct dist_key_args *k, int64_t n, const char *first,
	       struct err *e)
{
	const char *more = n >= 1000 ? " or more" : "";

	if (job_option_is(j, "orphans", "report")) {
		job_notice(j, "%" PRId64 "%s rows of %s have no row in %s (%s), the first is %s", n,
			   more, k->table, k->refer, k->name, first);
		return 0;
	}
	err_set(e, "23503", "%" PRId64 "%s rows of %s have no row in %s", n, more, k->table,
		k->refer);
	err_detail(e, "Foreign key %s, the first is (%s).", k->name, first);
	err_hint(e,
		 "Delete them or insert their parents, then RETRY; or SET MIGRATION %d (orphans "
		 "= report).",
		 job_id(j));
	return -1;
}

static int
orphans(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	for (size_t i = 0; i < a->nkeys; i++) {
		char *first = NULL;
		int64_t n = 0;
		int rc = dist_orphans(j, c, &a->keys[i], &n, &first, e);

		if (rc == 0 && n > 0)
			rc = report_orphans(j, &a->keys[i], n, first != NULL ? first : "", e);
		free(first);
		if (rc != 0)
			return -1;
	}
	return 0;
}

/* ---- tables ---- */

/* orphans = report: a key with orphans would stop the copy, so it goes and comes back NOT VALID. */
static int
set_keys_aside(struct job *j, PGconn *c, const struct dist_args *a, struct buf *drop,
	       struct buf *add, struct err *e)
{
	if (!job_option_is(j, "orphans", "report"))
		return 0;
	for (size_t i = 0; i < a->nkeys; i++) {
		char *first = NULL;
		int64_t n = 0;

		if (dist_orphans(j, c, &a->keys[i], &n, &first, e) != 0)
			return -1;
		free(first);
		if (n == 0)
			continue;
		dist_sql_drop_key(drop, &a->keys[i]);
		dist_sql_add_key(add, &a->keys[i], false);
	}
	return 0;
}

static int
distribute(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	struct buf sql = { 0 }, add = { 0 };
	int rc;

	dist_sql_settings(&sql, a->is_sequential);
	rc = set_keys_aside(j, c, a, &sql, &add, e);
	dist_proof_sql(&sql, a, DIST_BEFORE);
	dist_sql_distribute(&sql, a->table, a->column, a->colocated);
	buf_slice(&sql, buf_view(&add));
	buf_fini(&add);
	if (rc == 0)
		return copy_locked(j, c, a, &sql, e);
	buf_fini(&sql);
	return -1;
}

static int
reference(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	struct buf sql = { 0 };

	dist_sql_settings(&sql, a->is_sequential);
	dist_proof_sql(&sql, a, DIST_BEFORE);
	dist_sql_reference(&sql, a->table);
	return copy_locked(j, c, a, &sql, e);
}

static int
distribute_all(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	struct buf sql = { 0 };

	dist_sql_settings(&sql, a->is_sequential);
	dist_proof_sql(&sql, a, DIST_BEFORE);
	dist_sql_all(&sql, a);
	return copy_locked(j, c, a, &sql, e);
}

/* ---- the rows that stay on the coordinator ---- */

static int
has_no_rows(struct job *j, PGconn *c, const struct dist_args *a, bool *is_done, struct err *e)
{
	const char *params[] = { a->table };

	(void)j;
	return db_is(c, is_done, e,
		     "SELECT sum(pg_relation_size(relid)) = 0"
		     " FROM (SELECT relid FROM pg_partition_tree($1::regclass)"
		     " UNION SELECT $1::regclass) t",
		     1, params);
}

static int
truncate_rows(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	struct buf sql = { 0 };
	int rc;

	dist_sql_truncate(&sql, a->table);
	rc = job_exec_retry(j, c, buf_text(&sql), e);
	buf_fini(&sql);
	return rc;
}

/* ---- the table of definitions ---- */

/* What each step does, and how one sees that it is done (NULL: its row says so). */
static const struct {
	int (*act)(struct job *j, PGconn *c, const struct dist_args *a, struct err *e);
	int (*done)(struct job *j, PGconn *c, const struct dist_args *a, bool *is_done,
		    struct err *e);
} works[DIST_NACTS] = {
	[DIST_ORPHANS] = { orphans, NULL },
	[DIST_DROP_KEYS] = { drop_keys, NULL },
	[DIST_BLOCKING] = { distribute, NULL },
	[DIST_CONCURRENT] = { dist_concurrently, dist_is_spread },
	[DIST_REFER] = { reference, NULL },
	[DIST_ALL] = { distribute_all, NULL },
	[DIST_TRIM] = { trim, NULL },
	[DIST_ADD_KEYS] = { add_keys, NULL },
	[DIST_VALIDATE] = { validate, all_valid },
	[DIST_TRUNCATE] = { truncate_rows, has_no_rows },
};

/* The step's connection and arguments; `is_done` NULL: act. */
static int
work(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	enum dist_act act = dist_act_of(s);
	PGconn *c = job_db(j, DIST_PLACE, e);
	struct dist_args a;
	int rc;

	if (c == NULL || dist_args_parse(&a, s->args, e) != 0)
		return -1;
	a.verify = dist_proof_wanted(j);
	rc = is_done != NULL ? works[act].done(j, c, &a, is_done, e) : works[act].act(j, c, &a, e);
	dist_args_fini(&a);
	return rc;
}

static int
act(struct job *j, const struct migration_step *s, struct err *e)
{
	/* The keys are kept by the row of the step alone. */
	return dist_act_of(s) == DIST_KEEP_KEYS ? 0 : work(j, s, NULL, e);
}

static int
done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	return work(j, s, is_done, e);
}

#define STEP(step, in, how, ...)                                                                \
	{                                                                                       \
		.name = step, .phase = in, .class = how, .describe = dist_describe, .act = act, \
		__VA_ARGS__                                                                     \
	}

/* A step without an undo goes back with the undo of others. */
static const struct step_def defs[DIST_NACTS] = {
	[DIST_KEEP_KEYS] =
	    STEP("keys", PHASE_PREPARE, CLASS_T, .before = keys_before, .undo = dist_undo_keys),
	[DIST_ORPHANS] = STEP("orphans", PHASE_DATA, CLASS_R, .undo = NULL),
	[DIST_DROP_KEYS] = STEP("drop_keys", PHASE_DATA, CLASS_T, .undo = NULL),
	[DIST_BLOCKING] = STEP("distribute", PHASE_DATA, CLASS_T, .undo = dist_undo_tables),
	[DIST_CONCURRENT] = STEP("distribute_concurrently", PHASE_DATA, CLASS_I, .done = done,
				 .undo = dist_undo_tables),
	[DIST_REFER] = STEP("reference", PHASE_DATA, CLASS_T, .undo = dist_undo_tables),
	[DIST_ALL] = STEP("distribute_all", PHASE_DATA, CLASS_T, .undo = dist_undo_tables),
	[DIST_TRIM] = STEP("trimmings", PHASE_DATA, CLASS_T, .undo = NULL),
	[DIST_ADD_KEYS] = STEP("add_keys", PHASE_DATA, CLASS_T, .undo = NULL),
	[DIST_VALIDATE] = STEP("validate_key", PHASE_DATA, CLASS_I, .done = done),
	[DIST_TRUNCATE] = STEP("truncate_local", PHASE_FINALIZE, CLASS_I, .done = done),
};

#undef STEP

const struct step_def *const dist_defs[DIST_NACTS + 1] = {
	&defs[0], &defs[1], &defs[2], &defs[3], &defs[4],  &defs[5],
	&defs[6], &defs[7], &defs[8], &defs[9], &defs[10], NULL,
};

enum dist_act
dist_act_of(const struct migration_step *s)
{
	for (size_t i = 0; i < DIST_NACTS; i++)
		if (s->def == &defs[i])
			return (enum dist_act)i;
	return DIST_NACTS;
}
