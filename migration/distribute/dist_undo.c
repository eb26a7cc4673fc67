/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/db.h"
#include "migration/distribute/dist_load.h"
#include "migration/distribute/dist_run.h"
#include "migration/distribute/dist_sql.h"
#include "migration/distribute/dist_steps.h"
#include "migration/distribute/dist_trim.h"

/* Tables that Citus had before this migration stay as they are: keys to them step aside. */
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
	char *column = NULL;
	bool is_alone = false;
	struct buf sql = { 0 };
	int rc = dist_state_of(c, table, &state, &column, e);

	free(column);
	if (rc != 0 || state == DIST_LOCAL)
		return rc;
	job_progress(j, -1, "bringing %s back to the coordinator", table);
	if (a->is_alone && dist_is_alone_now(j, c, &is_alone, e) != 0)
		return -1;
	if (!is_alone && drop_keys_of(j, c, table, e) != 0)
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

/* What a concurrent copy that failed has left: publications, slots, shards. Citus does it by
 * itself a little later; nobody waits for it. */
static void
clean(PGconn *c)
{
	(void)db_exec(c, NULL, "CALL citus_cleanup_orphaned_resources()");
}

/* A copy in a transaction that did not come to its end is not there: what is distributed is so by
 * somebody else. */
static bool
was_rolled_back(const struct migration_step *s)
{
	return s->def->class == CLASS_T && s->state != STEP_APPLIED;
}

int
dist_undo_tables(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, DIST_PLACE, e);
	struct dist_args a;
	int rc = 0;

	if (c != NULL && was_rolled_back(s))
		return 0;
	if (c == NULL || dist_args_parse(&a, s->args, e) != 0)
		return -1;
	if (dist_act_of(s) == DIST_CONCURRENT)
		rc = dist_end_runs(j, c, e);
	if (rc == 0 && a.table != NULL)
		rc = bring_back(j, c, &a, a.table, e);
	for (size_t i = a.ntables; rc == 0 && i > 0; i--)
		rc = bring_back(j, c, &a, a.tables[i - 1].table, e);
	if (rc == 0 && dist_act_of(s) == DIST_CONCURRENT)
		clean(c);
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
