/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <stdlib.h>

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

/* What is wrong with one statement; NULL: nothing. */
static const char *
wrong_with(const struct script *s, size_t i, enum file_mode mode, int version)
{
	struct stmt what;

	stmt_read(s->v[i].text, &what);
	if (what.what == STMT_COPY)
		return "COPY from STDIN or to STDOUT has nobody to talk to: use INSERT";
	if (files_is_wrapper(s, i))
		return NULL;
	if (what.what == STMT_BEGIN || what.what == STMT_COMMIT || what.what == STMT_ROLLBACK)
		return "a transaction begins or ends inside of the file: Meridian does that";
	if (mode == FILE_TRANSACTION && files_is_alone(&s->v[i], version))
		return "it cannot run in a transaction, and transactional = per_file asks for one";
	return NULL;
}

int
files_may_run(const struct script *s, enum file_mode mode, int version, struct err *e)
{
	for (size_t i = 0; i < s->n; i++) {
		const char *wrong = wrong_with(s, i, mode, version);

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
