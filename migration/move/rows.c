/* SPDX-License-Identifier: PostgreSQL
 *
 * Rows that logical replication does not carry, copied from one server to the other through this
 * process: a table by COPY, large objects, materialized views. A block at a time; what was there
 * before is replaced, so that each may be done again.
 */
#include "config.h"

#include "migration/move/move.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "migration/db.h"
#include "migration/move/sql.h"

#define TICK_EVERY (1u << 20) /* bytes */
#define PIECE      65536      /* of a large object */
#define PIECE_TEXT "65536"

static int
pump(struct job *j, PGconn *from, PGconn *to, struct err *e)
{
	size_t since = 0;
	char *row;
	int n;

	while ((n = PQgetCopyData(from, &row, 0)) > 0) {
		int ok = PQputCopyData(to, row, n);

		PQfreemem(row);
		if (ok != 1)
			return db_error(to, NULL, e);
		since += (size_t)n;
		if (since < TICK_EVERY)
			continue;
		since = 0;
		if (job_check_stop(j, e) != 0)
			return -1;
	}
	return n == -1 ? 0 : db_error(from, NULL, e);
}

/* Both are in COPY. */
static int
copy_through(struct job *j, PGconn *from, PGconn *to, struct err *e)
{
	int rc = pump(j, from, to, e);
	int ended = PQputCopyEnd(to, rc == 0 ? NULL : "stopped");
	PGresult *r;

	while ((r = PQgetResult(to)) != NULL) {
		if (rc == 0 && PQresultStatus(r) != PGRES_COMMAND_OK)
			rc = db_error(to, r, e);
		PQclear(r);
	}
	if (rc != 0 || ended != 1)
		return rc != 0 ? rc : db_error(to, NULL, e);
	while ((r = PQgetResult(from)) != NULL) {
		if (rc == 0 && PQresultStatus(r) != PGRES_COMMAND_OK)
			rc = db_error(from, r, e);
		PQclear(r);
	}
	return rc;
}

static int
begin_copy(PGconn *c, ExecStatusType wanted, const char *sql, struct err *e)
{
	PGresult *r = PQexec(c, sql);
	int rc = PQresultStatus(r) == wanted ? 0 : db_error(c, r, e);

	PQclear(r);
	return rc;
}

static int
copy_table(struct job *j, PGconn *from, PGconn *to, const char *table, struct err *e)
{
	const char *const params[] = { table };
	struct buf out = { .cap = 0 }, in = { .cap = 0 };
	char *list;
	int rc;

	/* Generated columns are computed over there. */
	rc = db_value(from, &list, e,
		      "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM"
		      " pg_attribute WHERE attrelid = $1::regclass AND attnum > 0"
		      " AND NOT attisdropped AND attgenerated = ''",
		      1, params);
	if (rc <= 0)
		return rc;
	buf_printf(&out, "COPY (SELECT %s FROM ONLY %s) TO STDOUT", list, table);
	buf_printf(&in, "COPY %s (%s) FROM STDIN", table, list);
	rc = begin_copy(to, PGRES_COPY_IN, buf_text(&in), e);
	if (rc == 0)
		rc = begin_copy(from, PGRES_COPY_OUT, buf_text(&out), e);
	if (rc == 0)
		rc = copy_through(j, from, to, e);
	free(list);
	buf_fini(&out);
	buf_fini(&in);
	return rc;
}

int
rows_copy_table(struct job *j, PGconn *from, PGconn *to, const char *table, struct err *e)
{
	if (db_exec(to, e, "BEGIN") != 0 || job_check_lease(j, to, e) != 0 ||
	    db_exec(to, e, "SET LOCAL session_replication_role = replica") != 0 ||
	    db_execf(to, e, "DELETE FROM ONLY %s", table) != 0 ||
	    copy_table(j, from, to, table, e) != 0)
		return -1;
	return db_exec(to, e, "COMMIT");
}

/* ---- large objects ---- */

static int
copy_pieces(PGconn *from, PGconn *to, const char *oid, struct err *e)
{
	char at[24];
	const char *const ask[] = { oid, at };
	int64_t offset = 0;

	for (;;) {
		const char *put[3] = { oid, at, NULL };
		PGresult *r, *w;
		bool is_last;
		int rc;

		snprintf(at, sizeof(at), "%" PRId64, offset);
		r = db_query(from, e, "SELECT lo_get($1::oid, $2::bigint, " PIECE_TEXT ")", 2, ask);
		if (r == NULL)
			return -1;
		/* "\x" and two digits a byte */
		is_last = PQgetlength(r, 0, 0) < 2 + 2 * PIECE;
		put[2] = PQgetvalue(r, 0, 0);
		w = db_query(to, e, "SELECT lo_put($1::oid, $2::bigint, $3::bytea)", 3, put);
		rc = w != NULL ? 0 : -1;
		PQclear(w);
		PQclear(r);
		if (rc != 0 || is_last)
			return rc;
		offset += PIECE;
	}
}

int
rows_copy_large_objects(struct job *j, PGconn *from, PGconn *to, struct err *e)
{
	PGresult *r = db_query(from, e,
			       "SELECT oid, quote_ident(pg_get_userbyid(lomowner))"
			       " FROM pg_largeobject_metadata ORDER BY oid",
			       0, NULL);
	int rc = r != NULL ? db_exec(to, e, "BEGIN") : -1;

	if (rc == 0)
		rc = job_check_lease(j, to, e);
	for (int i = 0; rc == 0 && i < PQntuples(r); i++) {
		const char *oid = PQgetvalue(r, i, 0);

		rc = db_execf(to, e,
			      "SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE oid = %s;"
			      " SELECT lo_create(%s); ALTER LARGE OBJECT %s OWNER TO %s",
			      oid, oid, oid, PQgetvalue(r, i, 1));
		if (rc == 0)
			rc = copy_pieces(from, to, oid, e);
		if (rc == 0)
			rc = job_check_stop(j, e);
	}
	PQclear(r);
	if (rc == 0)
		return db_exec(to, e, "COMMIT");
	db_exec(to, NULL, "ROLLBACK");
	return -1;
}

/* ---- materialized views ---- */

/* Those that others read come first: a view depends on what its rule names. */
static const char views_sql[] =
    "WITH RECURSIVE views AS (SELECT c.oid, " SQL_QUALIFIED " AS t FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' AND " SQL_USER_SCHEMA
    "), needs AS (SELECT DISTINCT r.ev_class AS view, d.refobjid AS other FROM pg_rewrite r JOIN "
    "pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = "
    "'pg_class'::regclass AND d.refobjid <> r.ev_class), depth AS (SELECT oid, 0 AS n FROM views "
    "UNION SELECT s.view, p.n + 1 FROM needs s JOIN depth p ON p.oid = s.other WHERE p.n < 50) "
    "SELECT v.t FROM views v JOIN depth p ON p.oid = v.oid GROUP BY v.t ORDER BY max(p.n), v.t";

int
rows_refresh_views(struct job *j, PGconn *c, struct err *e)
{
	PGresult *r = db_query(c, e, views_sql, 0, NULL);
	int rc = r != NULL ? 0 : -1;

	for (int i = 0; rc == 0 && i < PQntuples(r); i++)
		rc = job_runf(j, c, e, "REFRESH MATERIALIZED VIEW %s", PQgetvalue(r, i, 0));
	PQclear(r);
	return rc;
}
