/* SPDX-License-Identifier: PostgreSQL
 *
 * Both sides compared, table by table: behind FINALIZE at the frozen point, from snapshots that
 * were taken between the fence and the first write over there; for VERIFY as they are now.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "migration/db.h"
#include "migration/move/cutover.h"
#include "migration/move/sql.h"
#include "protocol/sqlstate.h"

#define TRIES        5
#define TRY_WAIT_NS  200000000
#define SNAPSHOT_US  (5 * USEC_PER_SEC)
#define MISMATCHES_N 16 /* that are named one by one */

/* What a table is compared by. */
struct figures {
	char rows[24];
	char hash[64];
};

struct pair {
	struct figures source, target;
};

static int
read_figures(struct job *j, PGconn *c, struct figures *out, struct err *e)
{
	PGresult *r = NULL;

	if (job_finish(j, c, &r, NULL, NULL, e) != 0 || r == NULL)
		return -1;
	snprintf(out->rows, sizeof(out->rows), "%s", PQgetvalue(r, 0, 0));
	snprintf(out->hash, sizeof(out->hash), "%s", PQgetvalue(r, 0, 1));
	PQclear(r);
	return 0;
}

/* Both sides at once. */
static int
compare(struct job *j, PGconn *source, PGconn *target, const char *table, struct pair *out,
	struct err *e)
{
	struct buf sql = { .cap = 0 };
	struct err ignored;
	int rc = 0;

	buf_printf(&sql, "SELECT count(*), %s FROM ONLY %s meridian_row",
		   job_option_is(j, "verify", "count")
		       ? "0"
		       : "coalesce(sum(hashtextextended(meridian_row::text, 0)::numeric), 0)",
		   table);
	if (PQsendQuery(source, buf_text(&sql)) != 1)
		rc = db_error(source, NULL, e);
	else if (PQsendQuery(target, buf_text(&sql)) != 1)
		rc = db_error(target, NULL, e);
	buf_fini(&sql);
	if (rc != 0)
		return rc;
	rc = read_figures(j, source, &out->source, e);
	/* The result of the other side is read too: its connection is used again. */
	if (read_figures(j, target, &out->target, rc == 0 ? e : &ignored) != 0)
		rc = -1;
	return rc;
}

static bool
is_equal(const struct pair *p)
{
	return strcmp(p->source.rows, p->target.rows) == 0 &&
	       strcmp(p->source.hash, p->target.hash) == 0;
}

/* ---- behind FINALIZE ---- */

/* What the armed session has said; afterwards it is an ordinary one, in its snapshot. */
static bool
take_snapshot(PGconn *c)
{
	int64_t end = clock_us() + SNAPSHOT_US;
	int syncs = 0;
	bool is_good = true;

	while (syncs < 3) {
		PGresult *r = PQgetResult(c);

		if (r == NULL && (PQstatus(c) != CONNECTION_OK || clock_us() > end))
			return false;
		if (r == NULL)
			continue;
		if (PQresultStatus(r) == PGRES_PIPELINE_SYNC)
			syncs++;
		else if (PQresultStatus(r) != PGRES_COMMAND_OK &&
			 PQresultStatus(r) != PGRES_TUPLES_OK)
			is_good = false;
		PQclear(r);
	}
	return PQexitPipelineMode(c) == 1 && is_good && PQtransactionStatus(c) == PQTRANS_INTRANS;
}

static int
verify_tables(struct job *j, PGconn *source, PGconn *target, int *ntables, int *nbad, struct err *e)
{
	PGresult *r = db_query(source, e, SQL_PUBLISHED " ORDER BY 1", 0, NULL);
	int rc = r != NULL ? 0 : -1;

	*ntables = r != NULL ? PQntuples(r) : 0;
	for (int i = 0; rc == 0 && i < *ntables; i++) {
		const char *table = PQgetvalue(r, i, 0);
		struct pair p;

		job_progress(j, i * 100 / *ntables, "verify %s", table);
		rc = compare(j, source, target, table, &p, e);
		if (rc != 0 || is_equal(&p))
			continue;
		if (++*nbad <= MISMATCHES_N)
			job_notice(j,
				   "WARNING: %s differs: %s rows on the source, %s on the target",
				   table, p.source.rows, p.target.rows);
	}
	PQclear(r);
	return rc;
}

static int
verify_act(struct job *j, const struct migration_step *s, struct err *e)
{
	struct cutover *c = cutover_of(j);
	int n = 0, bad = 0, rc;
	char detail[96];

	(void)s;
	if (job_option_is(j, "verify", "off"))
		return 0;
	if (c->frozen_from == NULL || c->frozen_to == NULL || !take_snapshot(c->frozen_to)) {
		job_notice(j, "the snapshots of the frozen point are gone; VERIFY MIGRATION "
			      "compares what is there now");
		job_event(j, "verify-skipped", NULL);
		cutover_reset(c);
		return 0;
	}
	rc = verify_tables(j, c->frozen_from, c->frozen_to, &n, &bad, e);
	cutover_reset(c);
	if (rc != 0)
		return -1;
	snprintf(detail, sizeof(detail), "{\"tables\": %d, \"different\": %d}", n, bad);
	job_event(j, bad > 0 ? "verify-mismatch" : "verified", detail);
	if (bad > 0)
		job_notice(j,
			   "WARNING: %d of %d tables differ at the frozen point; REVERSE is still"
			   " possible",
			   bad, n);
	else
		job_notice(j, "verified at the frozen point: %d tables are the same", n);
	return 0;
}

MOVE_STEP(move_verify, "verify", PHASE_FINALIZE, CLASS_R, .act = verify_act);

/* ---- VERIFY MIGRATION ---- */

/* Both sides live on: what is the same once is the same; what differs and stands still differs. */
static int
compare_live(struct job *j, PGconn *source, PGconn *target, const char *table, struct pair *p,
	     const char **detail, struct err *e)
{
	struct pair last;
	struct timespec t = { .tv_nsec = TRY_WAIT_NS };

	*detail = "";
	for (int i = 0; i < TRIES; i++) {
		if (compare(j, source, target, table, p, e) != 0)
			return -1;
		if (is_equal(p))
			return 0;
		*detail =
		    i > 0 && memcmp(&last, p, sizeof(last)) == 0 ? "differs" : "is being written";
		last = *p;
		nanosleep(&t, NULL);
	}
	return 0;
}

int
move_verify_tables(struct job *j, const char *table, const struct rows_sink *out, struct err *e)
{
	PGconn *source = job_db(j, MOVE_SOURCE, e);
	PGconn *target = source != NULL ? job_db(j, MOVE_TARGET, e) : NULL;
	const char *const params[] = { table };
	PGresult *r = NULL;
	int rc;

	if (target != NULL)
		r = db_query(source, e,
			     "SELECT q.t FROM (" SQL_PUBLISHED
			     ") q WHERE $1::text IS NULL OR q.t = $1"
			     " OR q.t = 'public.' || $1 ORDER BY 1",
			     1, params);
	rc = r != NULL ? 0 : -1;
	if (rc == 0 && PQntuples(r) == 0 && table != NULL)
		rc = err_set(e, "42P01", "there is no table %s that is replicated", table);
	for (int i = 0; rc == 0 && i < PQntuples(r); i++) {
		struct pair p = { 0 };
		const char *detail = "";

		rc = compare_live(j, source, target, PQgetvalue(r, i, 0), &p, &detail, e);
		if (rc == 0) {
			const char *values[] = { PQgetvalue(r, i, 0), p.source.rows, p.target.rows,
						 is_equal(&p) ? "t" : "f", detail };

			out->row(out->arg, values, sizeof(values) / sizeof(values[0]));
		}
	}
	PQclear(r);
	return rc;
}
