/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/dist_run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/distribute/dist_sql.h"

#define GONE_US   (30 * USEC_PER_SEC)
#define PAUSE_US  (100 * USEC_PER_MSEC)
#define PAUSE_MAX (5 * USEC_PER_SEC)

int
dist_value(struct job *j, PGconn *c, const char *sql, char **out, struct err *e)
{
	PGresult *r = NULL;

	*out = NULL;
	if (PQsendQuery(c, sql) != 1)
		return db_error(c, NULL, e);
	if (job_finish(j, c, &r, NULL, NULL, e) < 0)
		return -1;
	if (r != NULL && PQntuples(r) > 0)
		*out = db_text(r, 0, 0);
	PQclear(r);
	return 0;
}

static int
run_once(struct job *j, PGconn *c, const char *sql, struct err *e)
{
	struct slice rest = slice_of(sql, strlen(sql)), one;
	int rc = db_exec(c, e, "SAVEPOINT meridian_dist");

	if (rc == 0)
		rc = db_execf(c, e, "SET LOCAL lock_timeout = %" PRId64,
			      job_option_usec(j, "lock_timeout") / USEC_PER_MSEC);
	/* One after another: Citus hands the text of a statement on as it came. */
	while (rc == 0 && (one = dist_sql_next(&rest)).n > 0) {
		char *text = xstrndup(one.p, one.n);

		rc = job_run(j, c, text, e);
		free(text);
	}
	return rc == 0 ? db_exec(c, e, "RELEASE SAVEPOINT meridian_dist") : -1;
}

int
dist_run_locked(struct job *j, PGconn *c, const char *sql, struct err *e)
{
	int64_t left = job_option_int(j, "retries"), pause = PAUSE_US;

	while (run_once(j, c, sql, e) != 0) {
		if (!db_is_retryable(e) || left-- <= 0 ||
		    db_exec(c, NULL, "ROLLBACK TO SAVEPOINT meridian_dist") != 0)
			return -1;
		job_progress(j, -1, "waiting for a lock: %s", e->msg);
		if (job_sleep(j, pause, e) != 0)
			return -1;
		pause = pause * 2 < PAUSE_MAX ? pause * 2 : PAUSE_MAX;
	}
	return 0;
}

int
dist_state_of(PGconn *c, const char *table, enum dist_state *out, char **column, struct err *e)
{
	PGresult *r = db_query(c, e,
			       "SELECT partmethod, repmodel, column_to_column_name(logicalrelid,"
			       " partkey) FROM pg_dist_partition"
			       " WHERE logicalrelid = to_regclass($1)",
			       1, &table);

	*column = NULL;
	*out = DIST_LOCAL;
	if (r == NULL)
		return -1;
	if (PQntuples(r) > 0) {
		*out = dist_state_from(PQgetvalue(r, 0, 0)[0], PQgetvalue(r, 0, 1)[0]);
		if (*out == DIST_HASH)
			*column = xstrdup(PQgetvalue(r, 0, 2));
	}
	PQclear(r);
	return 0;
}

int
dist_key_state(PGconn *c, const struct dist_key_args *k, struct err *e)
{
	struct buf sql = { 0 };
	char *value = NULL;
	int rc;

	dist_sql_key_state(&sql, k);
	rc = db_value(c, &value, e, buf_text(&sql), 0, NULL);
	buf_fini(&sql);
	if (rc == 1)
		rc = value[0] == 't' ? 1 : 0;
	else if (rc == 0)
		rc = -2;
	free(value);
	return rc;
}

int
dist_orphans(struct job *j, PGconn *c, const struct dist_key_args *k, int64_t *n, char **first,
	     struct err *e)
{
	struct buf sql = { 0 };
	PGresult *r;

	*first = NULL;
	dist_sql_orphans(&sql, k);
	if (job_check_stop(j, e) != 0) {
		buf_fini(&sql);
		return -1;
	}
	r = db_query(c, e, buf_text(&sql), 0, NULL);
	buf_fini(&sql);
	if (r == NULL)
		return -1;
	*n = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
	*first = db_text(r, 0, 1);
	PQclear(r);
	return 0;
}

int
dist_operation(PGconn *c, int *pid, struct err *e)
{
	int64_t n = 0;
	int rc = db_int(c, &n, e,
			"SELECT coalesce(max(l.pid), 0) FROM pg_locks l WHERE l.locktype ="
			" 'advisory' AND l.classid = 0 AND l.objid = 2 AND l.objsubid = 9"
			" AND l.granted AND l.database = (SELECT oid FROM pg_database"
			" WHERE datname = current_database())",
			0, NULL);

	*pid = (int)n;
	return rc;
}

int
dist_end_runs(struct job *j, PGconn *c, struct err *e)
{
	char *sql = xasprintf(
	    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
	    " WHERE datname = current_database() AND application_name = '" DIST_APPLICATION "%d'",
	    job_id(j));
	int64_t n = 1, until = clock_us() + GONE_US;
	int rc = 0;

	while (rc == 0 && n > 0) {
		rc = db_int(c, &n, e, sql, 0, NULL);
		if (rc == 0 && n > 0 && clock_us() > until)
			rc = err_set(e, "55006", "a session that distributes a table does not end");
		if (rc == 0 && n > 0)
			rc = job_sleep(j, PAUSE_US, e);
	}
	free(sql);
	return rc;
}
