/* SPDX-License-Identifier: PostgreSQL
 *
 * The statements of a file: how they may be run, running one, and asking the catalog afterwards
 * whether it was carried out.
 */
#include "config.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/files/files_int.h"
#include "migration/lease.h"

#define PAUSE_FIRST (50 * USEC_PER_MSEC)
#define PAUSE_MAX   (2 * USEC_PER_SEC)

bool
files_is_wrapper(const struct script *s, size_t i)
{
	struct stmt first, last;

	if (s->n < 2 || (i != 0 && i != s->n - 1))
		return false;
	stmt_read(s->v[0].text, &first);
	stmt_read(s->v[s->n - 1].text, &last);
	return first.what == STMT_BEGIN && last.what == STMT_COMMIT;
}

bool
files_is_alone(const struct script_statement *st, int version)
{
	struct stmt s;

	stmt_read(st->text, &s);
	return st->is_alone || s.what == STMT_ALONE ||
	       (s.alone_before > 0 && version < (int)s.alone_before);
}

enum file_mode
files_mode(struct job *j, const struct script *s, int version)
{
	if (job_option_is(j, "transactional", "per_file"))
		return FILE_TRANSACTION;
	if (job_option_is(j, "transactional", "per_statement") || s->no_transaction)
		return FILE_STATEMENTS;
	for (size_t i = 0; i < s->n; i++)
		if (files_is_alone(&s->v[i], version))
			return FILE_STATEMENTS;
	return FILE_TRANSACTION;
}

int
files_may_run(const struct script *s, enum file_mode mode, int version, struct err *e)
{
	for (size_t i = 0; i < s->n; i++) {
		const char *wrong = NULL;
		struct stmt what;

		stmt_read(s->v[i].text, &what);
		if (what.what == STMT_COPY)
			wrong = "COPY from STDIN or to STDOUT has nobody to talk to: use INSERT";
		else if (files_is_wrapper(s, i))
			continue;
		else if (what.what == STMT_BEGIN || what.what == STMT_COMMIT ||
			 what.what == STMT_ROLLBACK)
			wrong = "a transaction begins or ends inside of the file: Meridian does "
				"that";
		else if (mode == FILE_TRANSACTION && files_is_alone(&s->v[i], version))
			wrong = "it cannot run in a transaction, and transactional = per_file asks "
				"for one";
		if (wrong != NULL)
			return err_set(e, "0A000", "line %u: %s", s->v[i].line, wrong);
	}
	return 0;
}

PGconn *
files_connect(struct job *j, const char *place, struct err *e)
{
	PGconn *c = job_db_new(j, place, NULL, e);
	int64_t ms = job_option_usec(j, "lock_timeout") / USEC_PER_MSEC;

	if (c != NULL && db_execf(c, e, "SET lock_timeout = %lld", (long long)ms) < 0) {
		PQfinish(c);
		return NULL;
	}
	return c;
}

/* ---- one statement ---- */

int
files_run(struct job *j, PGconn *c, struct slice sql, struct err *e)
{
	char *text = xstrndup(sql.p, sql.n);
	int sent = PQsendQueryParams(c, text, 0, NULL, NULL, NULL, NULL, 0);

	free(text);
	if (!sent)
		return db_error(c, NULL, e);
	(void)PQsetSingleRowMode(c); /* however many rows it answers, one is in memory */
	return job_finish(j, c, NULL, NULL, NULL, e);
}

/* ---- transactions ---- */

int
files_ourselves(PGconn *c, struct err *e)
{
	if (!lease_has_locks(c)) /* CockroachDB */
		return 0;
	return db_exec(c, e, "SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL ROLE NONE");
}

int
files_begin(struct job *j, PGconn *c, struct err *e)
{
	if (db_exec(c, e, "BEGIN") < 0)
		return -1;
	if (files_ourselves(c, e) < 0 || job_check_lease(j, c, e) < 0) {
		(void)db_exec(c, NULL, "ROLLBACK");
		return -1;
	}
	return 0;
}

int
files_again(struct job *j, int attempt, struct err *e)
{
	int64_t pause = PAUSE_FIRST;
	struct err why = { 0 };

	if (!db_is_retryable(e) || attempt >= job_option_int(j, "retries"))
		return -1;
	job_progress(j, -1, "waits for a lock, attempt %d: %s", attempt + 2, e->msg);
	for (int i = 0; i < attempt && pause < PAUSE_MAX; i++)
		pause *= 2;
	if (job_sleep(j, pause < PAUSE_MAX ? pause : PAUSE_MAX, &why) < 0) {
		*e = why;
		return -1;
	}
	return 0;
}

void
files_roll_back(PGconn *c)
{
	if (PQtransactionStatus(c) != PQTRANS_IDLE)
		(void)db_exec(c, NULL, "ROLLBACK");
}

int
files_end(PGconn *c, int rc, struct err *e)
{
	if (rc == 0 && db_exec(c, e, "COMMIT") == 0)
		return 0;
	files_roll_back(c);
	return -1;
}

/* ---- whether it was carried out ---- */

/* What an index that was being built, or rebuilt, is called in the catalog; $1 its name, $2 its
 * table or ''. */
#define INDEX_OF                                                                         \
	"FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid " \
	"JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = "    \
	"(pg_catalog.parse_ident($1))[1] AND i.indrelid = pg_catalog.to_regclass($2) "
/* $1 an index, or a table where $2 says so. */
#define LEFTOVER_OF                                                                           \
	"FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid "      \
	"JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT i.indisvalid "    \
	"AND c.relname ~ '_cc(new|old)[0-9]*$' AND i.indrelid = CASE WHEN $2 = 'table' "      \
	"THEN pg_catalog.to_regclass($1) ELSE (SELECT o.indrelid FROM pg_catalog.pg_index o " \
	"WHERE o.indexrelid = pg_catalog.to_regclass($1)) END "
#define NAMED(table, column)                                            \
	"SELECT EXISTS (SELECT FROM pg_catalog." table " WHERE " column \
	" = (pg_catalog.parse_ident($1))[1])"

/* True: it has been carried out. $1 the name, $2 the table, $3 the value. */
static const char *const questions[] = {
	[POST_INDEX_VALID] = "SELECT EXISTS (SELECT " INDEX_OF "AND i.indisvalid)",
	[POST_INDEX_GONE] = "SELECT pg_catalog.to_regclass($1) IS NULL",
	[POST_ENUM_VALUE] = "SELECT EXISTS (SELECT FROM pg_catalog.pg_enum WHERE enumtypid = "
			    "pg_catalog.to_regtype($1) AND enumlabel = $3)",
	[POST_DATABASE] = NAMED("pg_database", "datname"),
	[POST_NO_DATABASE] = "SELECT NOT (" NAMED("pg_database", "datname") ")",
	[POST_TABLESPACE] = NAMED("pg_tablespace", "spcname"),
	[POST_NO_TABLESPACE] = "SELECT NOT (" NAMED("pg_tablespace", "spcname") ")",
	[POST_SUBSCRIPTION] = NAMED("pg_subscription", "subname"),
	[POST_NO_SUBSCRIPTION] = "SELECT NOT (" NAMED("pg_subscription", "subname") ")",
	[POST_DETACHED] = "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhrelid = "
			  "pg_catalog.to_regclass($1) AND inhparent = pg_catalog.to_regclass($2))",
};

struct words {
	char *name, *table, *value;
};

static void
words_init(struct words *w, const struct stmt *s)
{
	struct buf b = { 0 };

	w->name = xstrndup(s->name.n > 0 ? s->name.p : "", s->name.n);
	w->table = xstrndup(s->table.n > 0 ? s->table.p : "", s->table.n);
	/* Without the doubled quotes of SQL. */
	for (size_t i = 0; i < s->value.n; i++) {
		buf_u8(&b, (uint8_t)s->value.p[i]);
		i += s->value.p[i] == '\'' && i + 1 < s->value.n && s->value.p[i + 1] == '\'';
	}
	w->value = buf_take_text(&b);
}

static void
words_fini(struct words *w)
{
	free(w->name);
	free(w->table);
	free(w->value);
}

/* Each question has three parameters, so that one call asks them all. */
static int
ask(PGconn *c, const char *question, const struct words *w, bool *out, struct err *e)
{
	struct buf sql = { 0 };
	const char *params[] = { w->name, w->table, w->value };
	int rc;

	buf_printf(&sql,
		   "WITH given AS (SELECT CAST($1 AS text), CAST($2 AS text), CAST($3 AS text)) %s",
		   question);
	rc = db_is(c, out, e, buf_text(&sql), 3, params);
	buf_fini(&sql);
	return rc;
}

int
outcome_ask(PGconn *c, const struct script_statement *st, enum outcome *out, struct err *e)
{
	struct stmt s;
	struct words w;
	bool is_done = false;
	int rc;

	stmt_read(st->text, &s);
	*out = OUTCOME_UNKNOWN;
	if (st->done_when.n > 0) {
		char *sql = xstrndup(st->done_when.p, st->done_when.n);

		rc = db_is(c, &is_done, e, sql, 0, NULL);
		free(sql);
		*out = is_done ? OUTCOME_DONE : OUTCOME_NOT_DONE;
		return rc < 0 ? err_prefix(e, "done-when") : 0;
	}
	if (s.post == POST_AGAIN || s.post == POST_REINDEX)
		*out = OUTCOME_NOT_DONE; /* and once more does no harm */
	if (s.post >= sizeof(questions) / sizeof(questions[0]) || questions[s.post] == NULL ||
	    s.name.n == 0)
		return 0;
	words_init(&w, &s);
	rc = ask(c, questions[s.post], &w, &is_done, e);
	words_fini(&w);
	*out = is_done ? OUTCOME_DONE : OUTCOME_NOT_DONE;
	return rc;
}

/* ---- what is left behind ---- */

/* Drop indexes that a failed build left: no session builds them any more, and IF NOT EXISTS would
 * take them for built. */
static int
drop_invalid(struct job *j, PGconn *c, const char *from, const char *const params[2], struct err *e)
{
	struct buf sql = { 0 };
	PGresult *r;
	int rc = 0;

	buf_printf(
	    &sql,
	    "SELECT pg_catalog.format('DROP INDEX CONCURRENTLY IF EXISTS %%I.%%I', n.nspname, "
	    "c.relname) %s AND NOT i.indisvalid AND c.relkind = 'i' AND NOT EXISTS (SELECT FROM "
	    "pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)",
	    from);
	r = db_query(c, e, buf_text(&sql), 2, params);
	buf_fini(&sql);
	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r) && rc == 0; i++) {
		const char *drop = PQgetvalue(r, i, 0);

		job_notice(j, "an index that was not finished is removed: %s", drop);
		for (int attempt = 0; (rc = files_run(j, c, slice_str(drop), e)) < 0; attempt++)
			if (files_again(j, attempt, e) < 0)
				break;
	}
	PQclear(r);
	return rc;
}

int
outcome_clean(struct job *j, PGconn *c, const struct script_statement *st, struct err *e)
{
	struct stmt s;
	struct words w;
	int rc = 0;

	stmt_read(st->text, &s);
	if (s.name.n == 0)
		return 0;
	words_init(&w, &s);
	if (s.post == POST_INDEX_VALID) {
		const char *params[] = { w.name, w.table };

		rc = drop_invalid(j, c, INDEX_OF, params, e);
	} else if (s.post == POST_REINDEX) {
		const char *params[] = { w.name, s.on_table ? "table" : "index" };

		rc = drop_invalid(j, c, LEFTOVER_OF, params, e);
	} else if (s.post == POST_DETACHED) {
		const char *params[] = { w.name, w.table };
		char *sql;

		/* A partition whose detaching was interrupted is in between: end it. */
		rc = db_value(c, &sql, e,
			      "SELECT pg_catalog.format('ALTER TABLE %s DETACH PARTITION %s "
			      "FINALIZE', inhparent::pg_catalog.regclass, "
			      "inhrelid::pg_catalog.regclass) FROM pg_catalog.pg_inherits WHERE "
			      "inhrelid = pg_catalog.to_regclass($1) AND inhparent = "
			      "pg_catalog.to_regclass($2) AND inhdetachpending",
			      2, params);
		if (rc > 0)
			rc = files_run(j, c, slice_str(sql), e);
		free(sql);
	}
	words_fini(&w);
	return rc;
}
