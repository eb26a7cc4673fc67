/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/history.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "migration/db.h"

#define COLUMNS                                                                                   \
	"file, checksum, state, error, CAST(at AS text), stmts_done, stmts_total, mig, running, " \
	"ms, origin"
#define ERROR_MAX 400

void
history_row_fini(struct history_row *r)
{
	free(r->file);
	free(r->checksum);
	free(r->state);
	free(r->error);
	free(r->at);
	free(r->origin);
	free(r->sums);
	free(r->body);
	free(r->undo_name);
	free(r->undo);
	memset(r, 0, sizeof(*r));
}

void
history_fini(struct history *h)
{
	for (size_t i = 0; i < h->n; i++)
		history_row_fini(&h->v[i]);
	free(h->v);
	memset(h, 0, sizeof(*h));
}

const struct history_row *
history_find(const struct history *h, const char *file)
{
	for (size_t i = 0; i < h->n; i++)
		if (strcmp(h->v[i].file, file) == 0)
			return &h->v[i];
	return NULL;
}

bool
history_is_done(const struct history_row *r)
{
	return r != NULL && strcmp(r->state, HISTORY_DONE) == 0;
}

/* ---- reading ---- */

static char *
text_at(const PGresult *r, int row, int column)
{
	return xstrdup(PQgetvalue(r, row, column));
}

static int
int_at(const PGresult *r, int row, int column)
{
	return (int)strtol(PQgetvalue(r, row, column), NULL, 10);
}

static void
read_row(const PGresult *r, int row, struct history_row *out)
{
	memset(out, 0, sizeof(*out));
	out->file = text_at(r, row, 0);
	out->checksum = text_at(r, row, 1);
	out->state = text_at(r, row, 2);
	out->error = text_at(r, row, 3);
	out->at = text_at(r, row, 4);
	out->done = int_at(r, row, 5);
	out->total = int_at(r, row, 6);
	out->mig = int_at(r, row, 7);
	out->running = int_at(r, row, 8);
	out->ms = int_at(r, row, 9);
	out->origin = text_at(r, row, 10);
	if (PQnfields(r) <= 11)
		return;
	out->sums = text_at(r, row, 11);
	out->body = text_at(r, row, 12);
	out->undo_name = text_at(r, row, 13);
	out->undo = text_at(r, row, 14);
}

/* A database that no migration has been in has no table: that is no error. */
static bool
is_missing(const struct err *e)
{
	return strcmp(e->sqlstate, "42P01") == 0 || strcmp(e->sqlstate, "3F000") == 0;
}

int
history_load(PGconn *c, const char *file, const char *region, struct history_row *out,
	     struct err *e)
{
	const char *params[] = { file, region };
	struct err why = { 0 };
	PGresult *r = db_query(c, &why,
			       "SELECT " COLUMNS ", sums, body, undo_name, undo FROM "
			       "meridian.history WHERE file = $1 AND region = $2",
			       2, params);
	int n;

	memset(out, 0, sizeof(*out));
	if (r == NULL && is_missing(&why))
		return 0;
	if (r == NULL) {
		*e = why;
		return -1;
	}
	n = PQntuples(r);
	if (n > 0)
		read_row(r, 0, out);
	PQclear(r);
	return n > 0;
}

int
history_list(PGconn *c, const char *region, struct history *out, struct err *e)
{
	struct err why = { 0 };
	PGresult *r = db_query(c, &why,
			       "SELECT " COLUMNS " FROM meridian.history WHERE region = $1 "
			       "ORDER BY file LIMIT 20000",
			       1, &region);

	memset(out, 0, sizeof(*out));
	if (r == NULL && is_missing(&why))
		return 0;
	if (r == NULL) {
		*e = why;
		return -1;
	}
	out->n = (size_t)PQntuples(r);
	out->v = xcalloc(out->n + 1, sizeof(*out->v));
	for (size_t i = 0; i < out->n; i++)
		read_row(r, (int)i, &out->v[i]);
	PQclear(r);
	return 0;
}

/* ---- writing ---- */

char *
history_sums(const struct sqltext *t)
{
	struct buf b = { 0 };
	char sum[DIGEST_TEXT];

	for (size_t i = 0; i < t->script.n; i++) {
		digest_text(t->script.v[i].text, sum);
		buf_printf(&b, "%s%s", i > 0 ? " " : "", sum);
	}
	return buf_take_text(&b);
}

/* Rows that it changed; -1 and *e. */
static int
change(PGconn *c, struct err *e, const char *sql, int n, const char *const *params)
{
	PGresult *r = db_query(c, e, sql, n, params);
	int rows;

	if (r == NULL)
		return -1;
	rows = PQresultStatus(r) == PGRES_TUPLES_OK ? PQntuples(r)
						    : (int)strtol(PQcmdTuples(r), NULL, 10);
	PQclear(r);
	return rows;
}

static int
change_one(PGconn *c, struct err *e, const char *file, const char *sql, int n,
	   const char *const *params)
{
	int rows = change(c, e, sql, n, params);

	if (rows == 0)
		return err_set(e, "55000", "%s: its row in meridian.history has gone", file);
	return rows < 0 ? -1 : 0;
}

static const char upsert[] =
    "INSERT INTO meridian.history AS h (file, region, checksum, stmts_done, stmts_total, state, "
    "error, at, ms, mig, running, sums, body, undo_name, undo, origin) VALUES ($1, $2, $3, 0, "
    "CAST($4 AS int), 'running', '', clock_timestamp(), 0, CAST($5 AS int), 0, $6, $7, $8, $9, '') "
    "ON CONFLICT (file, region) DO UPDATE SET checksum = excluded.checksum, stmts_total = "
    "excluded.stmts_total, state = 'running', error = '', at = excluded.at, mig = excluded.mig, "
    "sums = excluded.sums, body = excluded.body, undo_name = excluded.undo_name, undo = "
    "excluded.undo WHERE h.state = 'error' OR (h.state = 'running' AND h.mig = excluded.mig)";

static int
put_row(PGconn *c, const struct sqlfile *f, const char *region, int mig, struct err *e)
{
	char total[16], id[16], *sums = history_sums(&f->up);
	const char *params[] = {
		f->up.name,
		region,
		f->up.sum,
		total,
		id,
		sums,
		f->up.text,
		f->undo_none           ? "none"
		: f->undo.name != NULL ? f->undo.name
				       : "",
		f->undo.name != NULL ? f->undo.text : "",
	};
	int rows;

	snprintf(total, sizeof(total), "%zu", f->up.script.n);
	snprintf(id, sizeof(id), "%d", mig);
	rows = change(c, e, upsert, 9, params);
	free(sums);
	return rows;
}

int
history_begin(PGconn *c, const struct sqlfile *f, const char *region, int mig,
	      struct history_row *row, struct err *e)
{
	int rows = put_row(c, f, region, mig, e);
	int found;

	memset(row, 0, sizeof(*row));
	if (rows < 0)
		return -1;
	found = history_load(c, f->up.name, region, row, e);
	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(e, "55000", "%s: its row in meridian.history has gone", f->up.name);
	if (rows > 0 || history_is_done(row))
		return 0;
	err_set(e, "55000", "migration %d is at %s in %s (%s)", row->mig, f->up.name, region,
		row->state);
	err_hint(e, "Let it end, or abort it: SHOW MIGRATION %d", row->mig);
	history_row_fini(row);
	return -1;
}

static int
put_progress(PGconn *c, const char *file, const char *region, int done, int running,
	     const char *sql, struct err *e)
{
	char d[16], r[16];
	const char *params[] = { file, region, d, r };

	snprintf(d, sizeof(d), "%d", done);
	snprintf(r, sizeof(r), "%d", running);
	return change_one(c, e, file, sql, 4, params);
}

int
history_progress(PGconn *c, const char *file, const char *region, int done, int running,
		 struct err *e)
{
	return put_progress(
	    c, file, region, done, running,
	    "UPDATE meridian.history SET stmts_done = CAST($3 AS int), running = CAST($4 AS int), "
	    "at = clock_timestamp() WHERE file = $1 AND region = $2 AND state = 'running'",
	    e);
}

int
history_done(PGconn *c, const char *file, const char *region, int ms, struct err *e)
{
	char m[16];
	const char *params[] = { file, region, m };

	snprintf(m, sizeof(m), "%d", ms);
	return change_one(c, e, file,
			  "UPDATE meridian.history SET state = 'done', stmts_done = stmts_total, "
			  "running = 0, error = '', ms = CAST($3 AS int), at = clock_timestamp() "
			  "WHERE file = $1 AND region = $2 AND state = 'running'",
			  3, params);
}

int
history_error(PGconn *c, const char *file, const char *region, const char *why, struct err *e)
{
	char text[ERROR_MAX];
	const char *params[] = { file, region, text };

	snprintf(text, sizeof(text), "%s", why);
	return change(c, e,
		      "UPDATE meridian.history SET state = 'error', error = $3, at = "
		      "clock_timestamp() WHERE file = $1 AND region = $2 AND state = 'running'",
		      3, params) < 0
		   ? -1
		   : 0;
}

int
history_keep_undo(PGconn *c, const char *file, const char *region, const struct sqltext *t,
		  struct err *e)
{
	const char *params[] = { file, region, t->name, t->text };

	return change_one(c, e, file,
			  "UPDATE meridian.history SET undo_name = $3, undo = $4 WHERE file = $1 "
			  "AND region = $2",
			  4, params);
}

int
history_undoing(PGconn *c, const char *file, const char *region, int done, int running,
		struct err *e)
{
	return put_progress(
	    c, file, region, done, running,
	    "UPDATE meridian.history SET state = 'undoing', stmts_done = CAST($3 AS int), running "
	    "= CAST($4 AS int), at = clock_timestamp() WHERE file = $1 AND region = $2",
	    e);
}

int
history_delete(PGconn *c, const char *file, const char *region, struct err *e)
{
	const char *params[] = { file, region };

	return change(c, e, "DELETE FROM meridian.history WHERE file = $1 AND region = $2", 2,
		      params) < 0
		   ? -1
		   : 0;
}

int
history_adopt(PGconn *c, const struct sqlfile *f, const char *region, int mig, const char *origin,
	      struct err *e)
{
	const char *params[] = { f->up.name, region, origin };
	int rows = put_row(c, f, region, mig, e);

	if (rows <= 0)
		return rows; /* a row of ours is there: it stays */
	return change_one(c, e, f->up.name,
			  "UPDATE meridian.history SET state = 'done', stmts_done = stmts_total, "
			  "origin = $3 WHERE file = $1 AND region = $2 AND state = 'running'",
			  3, params);
}

/* ---- the files as they were ---- */

int
stored_put(PGconn *c, int mig, const struct sqlfile *f, struct err *e)
{
	char id[16];
	const char *params[] = {
		id,
		f->up.name,
		f->up.sum,
		f->up.text,
		f->undo_none           ? "none"
		: f->undo.name != NULL ? f->undo.name
				       : "",
		f->undo.name != NULL ? f->undo.text : "",
	};

	snprintf(id, sizeof(id), "%d", mig);
	return change(c, e,
		      "INSERT INTO meridian.file (mig, file, checksum, body, undo_name, undo) "
		      "VALUES (CAST($1 AS int), $2, $3, $4, $5, $6) ON CONFLICT (mig, file) DO "
		      "UPDATE SET checksum = excluded.checksum, body = excluded.body, undo_name = "
		      "excluded.undo_name, undo = excluded.undo",
		      6, params) < 0
		   ? -1
		   : 0;
}

static int
set_file(const PGresult *r, struct sqlfile *out, struct err *e)
{
	const char *undo_name = PQgetvalue(r, 0, 2);

	memset(out, 0, sizeof(*out));
	if (sqltext_set(&out->up, PQgetvalue(r, 0, 0), slice_str(PQgetvalue(r, 0, 1)), e) < 0)
		return -1;
	out->undo_none = strcmp(undo_name, "none") == 0;
	if (out->undo_none || undo_name[0] == '\0')
		return 0;
	if (sqltext_set(&out->undo, undo_name, slice_str(PQgetvalue(r, 0, 3)), e) < 0) {
		sqlfile_fini(out);
		return -1;
	}
	return 0;
}

int
stored_load(PGconn *c, int mig, const char *file, struct sqlfile *out, struct err *e)
{
	char id[16];
	const char *params[] = { id, file };
	PGresult *r;
	int rc = 0;

	snprintf(id, sizeof(id), "%d", mig);
	r = db_query(c, e,
		     "SELECT file, body, undo_name, undo FROM meridian.file WHERE mig = CAST($1 AS "
		     "int) AND file = $2",
		     2, params);
	if (r == NULL)
		return -1;
	if (PQntuples(r) > 0)
		rc = set_file(r, out, e) < 0 ? -1 : 1;
	PQclear(r);
	return rc;
}

int
stored_count(PGconn *c, int mig, int *out, struct err *e)
{
	char id[16];
	const char *params[] = { id };
	int64_t n = 0;

	snprintf(id, sizeof(id), "%d", mig);
	if (db_int(c, &n, e, "SELECT count(*) FROM meridian.file WHERE mig = CAST($1 AS int)", 1,
		   params) < 0)
		return -1;
	*out = (int)n;
	return 0;
}

int
stored_delete(PGconn *c, int mig, struct err *e)
{
	char id[16];
	const char *params[] = { id };

	snprintf(id, sizeof(id), "%d", mig);
	return change(c, e, "DELETE FROM meridian.file WHERE mig = CAST($1 AS int)", 1, params) < 0
		   ? -1
		   : 0;
}
