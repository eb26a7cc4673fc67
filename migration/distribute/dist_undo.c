/* SPDX-License-Identifier: PostgreSQL
 *
 * How tables and keys are taken back, and what has come between the plan and an ABORT: tables of
 * others that hang on ours by keys would go back with them, and keys that the plan does not know
 * would not come back.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/distribute/dist_load.h"
#include "migration/distribute/dist_run.h"
#include "migration/distribute/dist_sql.h"
#include "migration/distribute/dist_steps.h"

#define NAMES_SHOWN "10"

/* ours: the tables of the plan. k: the keys that they have, or that lead to them; is_kept: the plan
 * brings it back; is_outside: the other end is distributed, and not ours. $1: the migration. */
static const char keys_sql[] =
    "WITH given AS (SELECT args FROM meridian.step WHERE mig = CAST($1 AS int) AND name = 'keys'),"
    " ours AS (SELECT to_regclass(t->>'table') AS oid"
    "  FROM given, jsonb_array_elements(args->'tables') t),"
    " k AS (SELECT x.conname, x.conrelid, EXISTS (SELECT FROM given,"
    "   jsonb_array_elements(args->'keys') g WHERE g->>'name' = x.conname"
    "   AND to_regclass(g->>'table') = x.conrelid) AS is_kept,"
    "  EXISTS (SELECT FROM pg_dist_partition p WHERE p.logicalrelid IN (x.conrelid, x.confrelid)"
    "   AND p.logicalrelid NOT IN (SELECT oid FROM ours WHERE oid IS NOT NULL)) AS is_outside"
    "  FROM pg_constraint x WHERE x.contype = 'f' AND x.conparentid = 0"
    "   AND (x.conrelid IN (SELECT oid FROM ours) OR x.confrelid IN (SELECT oid FROM ours))"
    "   AND NOT relation_is_a_known_shard(x.conrelid)"
    "   AND NOT relation_is_a_known_shard(x.confrelid))";

static int
ask(struct job *j, PGconn *c, const char *what, char **out, struct err *e)
{
	char id[16];
	const char *params[] = { id };
	char *sql = xasprintf("%s %s", keys_sql, what);
	int rc;

	snprintf(id, sizeof(id), "%d", job_id(j));
	rc = db_value(c, out, e, sql, 1, params);
	free(sql);
	return rc < 0 ? -1 : 0;
}

int
dist_may_abort(struct job *j, bool is_forced, struct err *e)
{
	PGconn *c = job_db(j, DIST_PLACE, e);
	char *names = NULL;
	bool has_citus = false;
	int rc;

	if (c == NULL || dist_has_citus(c, &has_citus, e) != 0)
		return -1;
	if (!has_citus)
		return 0;
	/* Where tables go back one by one every key of theirs goes. */
	rc = ask(j, c,
		 "SELECT string_agg(n, ', ') FROM (SELECT format('%I on %s', conname,"
		 " conrelid::regclass) AS n FROM k WHERE NOT is_kept"
		 " AND EXISTS (SELECT FROM k WHERE is_outside)"
		 " AND EXISTS (SELECT FROM ours o JOIN pg_dist_partition p"
		 "  ON p.logicalrelid = o.oid) ORDER BY 1 LIMIT " NAMES_SHOWN ") q",
		 &names, e);
	if (rc == 0 && names != NULL && is_forced)
		job_notice(j, "foreign keys that are not of this migration are dropped: %s", names);
	else if (rc == 0 && names != NULL) {
		rc = err_set(e, "55000", "ABORT would lose foreign keys that came after the plan");
		err_detail(e, "%s: with it the tables hang on others that are distributed.", names);
		err_hint(e, "Drop them, or have them dropped: ABORT MIGRATION %d FORCE.",
			 job_id(j));
	}
	free(names);
	return rc;
}

/* Tables that Citus had before this migration stay as they are: keys to them are dropped. */
static int
drop_keys_of(struct job *j, PGconn *c, const char *table, struct err *e)
{
	PGresult *r = db_query(c, e,
			       "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I',"
			       " conrelid::regclass, conname) FROM pg_constraint"
			       " WHERE contype = 'f' AND conparentid = 0 AND conrelid <> confrelid"
			       " AND $1::regclass IN (conrelid, confrelid)"
			       " AND NOT relation_is_a_known_shard(conrelid)"
			       " AND NOT relation_is_a_known_shard(confrelid) LIMIT 10000",
			       1, &table);
	int rc = r != NULL ? 0 : -1;

	for (int i = 0; rc == 0 && i < PQntuples(r); i++)
		rc = job_exec_retry(j, c, PQgetvalue(r, i, 0), e);
	PQclear(r);
	return rc;
}

static int
bring_back(struct job *j, PGconn *c, const struct dist_args *a, const char *table, struct err *e)
{
	enum dist_state state = DIST_LOCAL;
	char *column = NULL, *is_alone = NULL;
	struct buf sql = { 0 };
	int rc = dist_state_of(c, table, &state, &column, e);

	free(column);
	if (rc != 0 || state == DIST_LOCAL)
		return rc;
	job_progress(j, -1, "bringing %s back to the coordinator", table);
	/* Whether no table of others hangs on ours that Citus would take back with them. */
	if (a->is_alone &&
	    ask(j, c, "SELECT NOT EXISTS (SELECT FROM k WHERE is_outside)", &is_alone, e) != 0)
		return -1;
	if (is_alone == NULL || is_alone[0] != 't')
		rc = drop_keys_of(j, c, table, e);
	free(is_alone);
	if (rc != 0)
		return -1;
	dist_sql_settings(&sql, true);
	dist_sql_undistribute(&sql, table);
	rc = job_exec_retry(j, c, buf_text(&sql), e);
	buf_fini(&sql);
	if (rc != 0 && strcmp(e->sqlstate, "0A000") == 0 && e->hint[0] == '\0')
		err_hint(e, "Citus does not bring back tables with identity columns, and none "
			    "that hang on them by keys.");
	return rc;
}

int
dist_undo_tables(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, DIST_PLACE, e);
	struct dist_args a;
	int rc = 0;

	/* A copy in a transaction that did not commit is not there: another session has distributed
	 * what is distributed. */
	if (c != NULL && s->def->class == CLASS_T && s->state != STEP_APPLIED)
		return 0;
	if (c == NULL || dist_args_parse(&a, s->args, e) != 0)
		return -1;
	if (dist_act_of(s) == DIST_CONCURRENT)
		rc = dist_end_runs(j, c, e);
	if (rc == 0 && a.table != NULL)
		rc = bring_back(j, c, &a, a.table, e);
	for (size_t i = a.ntables; rc == 0 && i > 0; i--)
		rc = bring_back(j, c, &a, a.tables[i - 1].table, e);
	/* What a concurrent copy that failed has left: publications, slots, shards. Citus drops it
	 * by itself a little later. */
	if (rc == 0 && dist_act_of(s) == DIST_CONCURRENT)
		(void)db_exec(c, NULL, "CALL citus_cleanup_orphaned_resources()");
	dist_args_fini(&a);
	return rc;
}

static int
restore_key(struct job *j, PGconn *c, const struct dist_key_args *k, struct err *e)
{
	struct buf sql = { 0 };
	int rc = dist_key_state(c, k, e);

	if (rc == -2)
		dist_sql_add_key(&sql, k, false);
	else if (rc != -1)
		dist_sql_comment_key(&sql, k);
	if ((rc == -2 || rc == 0) && k->is_valid)
		dist_sql_validate_key(&sql, k);
	if (rc != -1)
		rc = sql.n > 0 ? dist_run_locked(j, c, buf_text(&sql), e) : 0;
	buf_fini(&sql);
	return rc;
}

/* Every key and what else hung on the tables, as it was before the first step. */
int
dist_undo_keys(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, DIST_PLACE, e);
	struct dist_args a;
	int rc = 0;

	if (c == NULL || dist_args_parse(&a, s->args, e) != 0)
		return -1;
	for (size_t i = 0; rc == 0 && i < a.nkeys; i++)
		rc = restore_key(j, c, &a.keys[i], e);
	if (rc == 0)
		rc = dist_put_trimmings(j, c, &a.trimmings, e);
	dist_args_fini(&a);
	return rc;
}
