/* SPDX-License-Identifier: PostgreSQL
 *
 * Transactions that did not come to their end before the deadline of the freeze. Their server
 * processes are ended, and only when those are gone is the server asked what became of each
 * transaction: a client is never told of a COMMIT that did not happen, nor of an error where it
 * did.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "migration/db.h"
#include "migration/fleet.h"
#include "migration/move/cutover.h"
#include "protocol/sqlstate.h"

#define GONE_US (3 * USEC_PER_SEC)

/* The transactions of these processes, with the epoch that pg_stat_activity leaves out, and whether
 * what runs may be a COMMIT (which is not known of a text that is cut or hidden). Functions
 * of version 10 that are still there in 17. */
static const char xids_sql[] =
    "WITH t AS (SELECT txid_snapshot_xmax(txid_current_snapshot()) AS top) SELECT a.pid, CASE WHEN "
    "a.backend_xid IS NOT NULL THEN (top - top % 4294967296) + a.backend_xid::text::bigint - CASE "
    "WHEN a.backend_xid::text::bigint > top % 4294967296 THEN 4294967296 ELSE 0 END END, a.query "
    "~* '\\m(commit|end|prepare)\\M' OR length(a.query) NOT BETWEEN 1 AND 1000 OR a.query LIKE "
    "'<%', pg_terminate_backend(a.pid) FROM pg_stat_activity a, t WHERE a.pid = ANY ($1::int[]) "
    "AND a.datname = current_database()";

/* Unless this has changed, no transaction has come to its end since. */
static const char top_sql[] = "SELECT txid_snapshot_xmax(txid_current_snapshot())";

static int
wait_gone(struct job *j, PGconn *c, const char *pids, struct err *e)
{
	const char *const params[] = { pids };
	int64_t end = clock_us() + GONE_US;
	bool gone = false;

	for (;;) {
		if (db_is(c, &gone, e,
			  "SELECT NOT EXISTS (SELECT FROM pg_stat_activity"
			  " WHERE pid = ANY ($1::int[]) AND datname = current_database())",
			  1, params) != 0)
			return -1;
		if (gone)
			return 0;
		if (clock_us() > end)
			return err_set(
			    e, SQLSTATE_OBJECT_IN_USE,
			    "a server process of a transaction that was ended is still there");
		if (job_sleep(j, 5 * USEC_PER_MSEC, e) != 0)
			return -1;
	}
}

static int
row_of(const PGresult *r, uint32_t pid)
{
	for (int i = 0; i < PQntuples(r); i++) {
		if (strtoul(PQgetvalue(r, i, 0), NULL, 10) == pid)
			return i;
	}
	return -1;
}

/* A transaction that had no number when its process was ended: it had written nothing, so nothing
 * can have been lost. But a statement that may commit could have begun to write after we looked;
 * if it has, something has come to its end meanwhile. */
static bool
is_sure(const PGresult *r, int row, const struct gate_straggler *s, bool quiet)
{
	bool commits = row < 0 || strcmp(PQgetvalue(r, row, 2), "t") == 0;

	return quiet || !s->in_commit || (s->in_block && !commits);
}

static int
find_outcome(PGconn *c, const char *xid, struct gate_straggler *s, struct err *e)
{
	const char *const params[] = { xid };
	char *status = NULL;
	int rc = 0;

	if (db_value(c, &status, e, "SELECT txid_status($1::bigint)", 1, params) < 0)
		rc = -1;
	else if (status == NULL || strcmp(status, "in progress") == 0) /* prepared */
		s->outcome = GATE_UNKNOWN;
	else
		s->outcome = strcmp(status, "committed") == 0 ? GATE_COMMITTED : GATE_ABORTED;
	free(status);
	return rc;
}

static int
end_them(struct job *j, PGconn *c, struct gate_straggler *v, size_t n, struct err *e)
{
	struct buf pids = { .cap = 0 };
	char *before = NULL, *after = NULL;
	const char *params[1];
	PGresult *r = NULL;
	int rc = -1;

	for (size_t i = 0; i < n; i++)
		buf_printf(&pids, "%s%" PRIu32, i > 0 ? "," : "{", v[i].pid);
	buf_str(&pids, "}");
	params[0] = buf_text(&pids);
	if (db_value(c, &before, e, top_sql, 0, NULL) >= 0)
		r = db_query(c, e, xids_sql, 1, params);
	if (r != NULL && wait_gone(j, c, buf_text(&pids), e) == 0 &&
	    db_value(c, &after, e, top_sql, 0, NULL) >= 0)
		rc = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		int row = row_of(r, v[i].pid);
		bool quiet = before != NULL && after != NULL && strcmp(before, after) == 0;

		if (row >= 0 && !PQgetisnull(r, row, 1))
			rc = find_outcome(c, PQgetvalue(r, row, 1), &v[i], e);
		else
			v[i].outcome = is_sure(r, row, &v[i], quiet) ? GATE_ABORTED : GATE_UNKNOWN;
	}
	PQclear(r);
	buf_fini(&pids);
	free(before);
	free(after);
	return rc;
}

int
stragglers_end(struct job *j, const struct direction *d, struct gate_move *m, struct err *e)
{
	PGconn *c = job_db(j, d->from, e);
	struct fleet_stragglers s;
	int rc;

	if (c == NULL)
		return -1;
	rc = fleet_stragglers(j, m, &s, e);
	if (rc == 0 && s.n > 0) {
		rc = end_them(j, c, s.v, s.n, e);
		/* Where their end is not known, the gates are told so: they end connections. */
		for (size_t i = 0; rc != 0 && i < s.n; i++)
			s.v[i].outcome = GATE_UNKNOWN;
		fleet_settle(j, m, &s);
	}
	fleet_stragglers_fini(&s);
	return rc;
}
