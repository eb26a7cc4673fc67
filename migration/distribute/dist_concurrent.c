/* SPDX-License-Identifier: PostgreSQL
 *
 * create_distributed_table_concurrently(): a statement that stands alone, can take hours, is not a
 * transaction, and leaves the table half way when it fails; then the same statement goes on. Its
 * session does not end with the executor that sent it: the next executor waits for it.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "migration/db.h"
#include "migration/distribute/dist_load.h"
#include "migration/distribute/dist_proof.h"
#include "migration/distribute/dist_run.h"
#include "migration/distribute/dist_sql.h"
#include "migration/distribute/dist_steps.h"

#define OTHERS_US (500 * USEC_PER_MSEC)

/* What SHOW MIGRATIONS says while it runs. */
struct watch {
	struct job *j;
	PGconn *c; /* not the one that copies */
	const struct dist_args *a;
	int64_t rows; /* of the table, about; 0: not known */
};

int
dist_is_spread(struct job *j, PGconn *c, const struct dist_args *a, bool *is_done, struct err *e)
{
	enum dist_state state = DIST_LOCAL;
	char *column = NULL;
	int rc = dist_state_of(c, a->table, &state, &column, e);

	(void)j;
	*is_done = rc == 0 && state == DIST_HASH && strcmp(column, a->column) == 0;
	if (rc == 0 && state == DIST_HASH && !*is_done)
		rc = err_set(e, "55000", "%s is distributed by %s, not by %s", a->table, column,
			     a->column);
	free(column);
	return rc;
}

/* The rows that the workers have taken in: one row of this view for each shard being copied. */
static void
look(void *arg)
{
	struct watch *w = arg;
	int64_t n = 0;
	struct err why;
	int percent;

	if (db_int(w->c, &n, &why,
		   "SELECT coalesce(sum(result::bigint), 0) FROM run_command_on_workers("
		   "'SELECT coalesce(sum(tuples_processed), 0) FROM pg_stat_progress_copy')"
		   " WHERE success",
		   0, NULL) != 0)
		return;
	percent = w->rows > 0 && n <= w->rows ? (int)(n * 100 / w->rows) : -1;
	if (n > 0)
		job_progress(w->j, percent, "copying %s: %lld rows", w->a->table, (long long)n);
	else
		job_progress(w->j, -1, "copying %s: catching up", w->a->table);
}

/* Wait while another session distributes: an executor that is gone began it, or another client. */
static int
wait_for_others(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	int pid = 0;

	for (;;) {
		if (dist_operation(c, &pid, e) != 0)
			return -1;
		if (pid == 0)
			return 0;
		job_progress(j, -1, "%s: waiting for the operation of process %d", a->table, pid);
		if (job_sleep(j, OTHERS_US, e) != 0)
			return -1;
	}
}

static PGconn *
connect_runner(struct job *j, struct err *e)
{
	PGconn *c = job_db_new(j, DIST_PLACE, NULL, e);
	bool notices = c != NULL && PQserverVersion(c) >= 140000;

	if (c == NULL)
		return NULL;
	if (db_execf(c, e, "SET application_name = '" DIST_APPLICATION "%d'", job_id(j)) == 0 &&
	    (!notices || db_exec(c, e, "SET client_connection_check_interval = 0") == 0))
		return c;
	PQfinish(c);
	return NULL;
}

static int
run(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	const char *params[] = { a->table };
	struct watch w = { .j = j, .c = c, .a = a };
	PGconn *runner = connect_runner(j, e);
	struct dist_figures f = { NULL, NULL };
	struct buf sql = { 0 };
	struct err ignored;
	int rc;

	if (runner == NULL)
		return -1;
	(void)db_int(c, &w.rows, &ignored,
		     "SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class"
		     " WHERE oid = $1::regclass OR oid IN (SELECT relid FROM"
		     " pg_partition_tree($1::regclass))",
		     1, params);
	dist_sql_concurrently(&sql, a->table, a->column, a->colocated);
	rc = dist_proof_count(j, c, a, DIST_BEFORE, &f, e);
	if (rc == 0)
		rc = PQsendQuery(runner, buf_text(&sql)) == 1
			 ? job_finish(j, runner, NULL, look, &w, e)
			 : db_error(runner, NULL, e);
	if (rc == 0)
		rc = dist_proof_count(j, c, a, DIST_AFTER, &f, e);
	buf_fini(&sql);
	dist_figures_fini(&f);
	PQfinish(runner);
	return rc;
}

int
dist_concurrently(struct job *j, PGconn *c, const struct dist_args *a, struct err *e)
{
	bool is_done = false;
	enum dist_state state = DIST_LOCAL;
	char *column = NULL;

	if (wait_for_others(j, c, a, e) != 0 || dist_is_spread(j, c, a, &is_done, e) != 0)
		return -1;
	if (is_done || run(j, c, a, e) == 0)
		return 0;
	/* Half way is where the next attempt goes on. */
	if (dist_state_of(c, a->table, &state, &column, NULL) == 0 && state == DIST_HALF &&
	    e->hint[0] == '\0')
		err_hint(e,
			 "%s is half way: it can be read and written. RETRY MIGRATION %d goes "
			 "on, ABORT MIGRATION %d brings it back.",
			 a->table, job_id(j), job_id(j));
	free(column);
	return -1;
}
