/* SPDX-License-Identifier: PostgreSQL
 *
 * The fence of the side that is left: put in force in one transaction with the marker and the
 * authority, and lifted again when it was not to be.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "migration/db.h"
#include "migration/move/cutover.h"
#include "migration/move/sql.h"

#define RETRY_US (50 * USEC_PER_MSEC)

/* Clients that do not come through Meridian and are in a transaction would delay the fence. Readers
 * cannot be told from writers: they can begin again. */
#define SQL_END_OTHERS                                                                \
	"SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a"                  \
	" WHERE a.datname = current_database() AND a.backend_type = 'client backend'" \
	" AND a.pid <> pg_backend_pid() AND a.application_name !~ '^meridian'"        \
	" AND a.xact_start IS NOT NULL AND a.state <> 'idle'; "

/* Where each sequence stands, moved on by the gap, inside its bounds. */
#define SQL_SEQUENCES                                                                          \
	"(SELECT coalesce(jsonb_agg(jsonb_build_array(quote_ident(q.schemaname) || '.' ||"     \
	" quote_ident(q.sequencename), CASE WHEN q.last_value IS NULL THEN q.start_value ELSE" \
	" greatest(q.min_value, least(q.max_value, q.last_value::numeric + q.increment_by *"   \
	" %" PRId64 "::numeric)) END, q.last_value IS NOT NULL)), '[]') FROM pg_sequences q"   \
	" WHERE q.schemaname <> 'meridian')"

static int
begin(struct job *j, const struct direction *d, struct cutover *c, struct err *e)
{
	if (c->fence == NULL || PQstatus(c->fence) != CONNECTION_OK) {
		PQfinish(c->fence);
		c->fence = job_db_new(j, d->from, NULL, e);
	}
	if (c->fence == NULL)
		return -1;
	if (PQtransactionStatus(c->fence) != PQTRANS_IDLE && db_exec(c->fence, e, "ROLLBACK") != 0)
		return -1;
	if (db_exec(c->fence, e, "BEGIN") != 0)
		return -1;
	return job_check_lease(j, c->fence, e);
}

/* Everything that is asked of the server before the pause. */
int
fence_prepare(struct job *j, const struct direction *d, struct cutover *c, struct err *e)
{
	char *db;

	buf_clear(&c->closing);
	if (begin(j, d, c, e) != 0)
		return -1;
	db = db_literal(c->fence, job_database(j));
	buf_str(&c->closing, SQL_END_OTHERS "SELECT " SQL_DURABLE "; ");
	buf_printf(&c->closing, "SET LOCAL lock_timeout = %" PRId64 "; ",
		   job_option_usec(j, "lock_timeout") / USEC_PER_MSEC);
	if (move_put_fences(c->fence, "ENABLE", &c->closing, e) != 0) {
		free(db);
		return -1;
	}
	buf_printf(&c->closing,
		   "UPDATE meridian.authority SET writable = false, epoch = %" PRId64
		   " WHERE db = %s; DELETE FROM meridian.marker WHERE mig = %d AND kind = '%s';"
		   " INSERT INTO meridian.marker(mig, kind, at, payload) SELECT %d, '%s',"
		   " clock_timestamp(), jsonb_build_object('try', '%" PRId64
		   "', 'seq', " SQL_SEQUENCES "); COMMIT",
		   c->epoch, db, job_id(j), d->marker, job_id(j), d->marker, c->epoch,
		   job_option_int(j, "sequence_gap"));
	free(db);
	return 0;
}

/* One round trip: the transaction is open already. */
int
fence_close(struct job *j, const struct direction *d, struct cutover *c, struct err *e)
{
	int64_t end = c->frozen_us + job_option_usec(j, "pause_budget");
	int rc = 0;

	while (rc == 0) {
		rc = db_exec(c->fence, e, buf_text(&c->closing));
		if (rc == 0 || !db_is_retryable(e) || clock_us() > end)
			break;
		rc = begin(j, d, c, e);
	}
	if (rc != 0)
		db_exec(c->fence, NULL, "ROLLBACK");
	return rc;
}

/* As one transaction that holds the lease: an executor that has lost it lifts no fence. */
static int
exec_leased(struct job *j, PGconn *c, const char *sql, struct err *e)
{
	int64_t tries = job_option_int(j, "retries");

	for (;;) {
		int rc = db_exec(c, e, "BEGIN");

		if (rc == 0)
			rc = job_check_lease(j, c, e);
		if (rc == 0)
			rc = db_execf(c, e, "SET LOCAL lock_timeout = %" PRId64,
				      job_option_usec(j, "lock_timeout") / USEC_PER_MSEC);
		if (rc == 0)
			rc = db_exec(c, e, sql);
		if (rc == 0)
			return db_exec(c, e, "COMMIT");
		db_exec(c, NULL, "ROLLBACK");
		if (!db_is_retryable(e) || tries-- <= 0 || job_sleep(j, RETRY_US, e) != 0)
			return -1;
	}
}

/* It was in force before this cut-over: writes have been stopped for good. */
static bool
stays_in_force(const struct job *j, const struct direction *d)
{
	return !d->is_backward &&
	       (job_step_done(j, "read_only", NULL) || job_step_done(j, "stop_writes", NULL));
}

/* The other side was not asked, and may come back with another decision: this one is newer. */
static void
put_own_decision(struct job *j, const struct direction *d, PGconn *c, struct buf *sql)
{
	char *serves = db_literal(c, d->from_name), *newdb = db_literal(c, job_dbname(j, d->from));

	buf_printf(sql,
		   ", decision = '%s', serves = %s, newdb = %s, epoch = greatest(epoch + 2,"
		   " (extract(epoch FROM clock_timestamp()) * 1000)::bigint)",
		   d->is_backward ? "forward" : "back", serves, newdb);
	free(serves);
	free(newdb);
}

/* Whether the fence was never in force: no transaction has to be waited for then. A fence whose
 * connection was lost may yet come into force. */
static bool
is_open(struct job *j, PGconn *c)
{
	const char *const params[] = { job_database(j) };
	const PGconn *fence = cutover_of(j)->fence;
	struct err ignored;
	bool yes = false;

	if (fence != NULL && PQstatus(fence) != CONNECTION_OK)
		return false;
	return db_is(
		   c, &yes, &ignored,
		   "SELECT (SELECT writable FROM meridian.authority WHERE db = $1) AND NOT EXISTS"
		   " (SELECT FROM pg_trigger WHERE tgname = 'meridian_fence' AND tgenabled <> 'D')",
		   1, params) == 0 &&
	       yes;
}

int
fence_lift(struct job *j, const struct direction *d, struct err *e)
{
	bool is_alone = cutover_of(j)->is_alone, is_kept = stays_in_force(j, d);
	PGconn *c = job_db(j, d->from, e);
	struct buf sql = { .cap = 0 };
	char *db;
	int rc = 0;

	if (c == NULL)
		return -1;
	if (!is_alone && (is_kept || is_open(j, c)))
		return 0;
	if (!is_kept)
		rc = move_put_fences(c, "DISABLE", &sql, e);
	if (rc == 0) {
		buf_printf(&sql,
			   "SELECT " SQL_DURABLE "; UPDATE meridian.authority SET writable = %s",
			   is_kept ? "writable" : "true");
		if (is_alone)
			put_own_decision(j, d, c, &sql);
		db = db_literal(c, job_database(j));
		buf_printf(&sql, " WHERE db = %s", db);
		free(db);
		rc = exec_leased(j, c, buf_text(&sql), e);
	}
	buf_fini(&sql);
	return rc;
}
