/* SPDX-License-Identifier: PostgreSQL
 *
 * Statements of a step that take long, or wait for locks, while the job stays able to stop.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>

#include "base/buf.h"
#include "base/clock.h"
#include "migration/db.h"
#include "migration/job_int.h"
#include "migration/options.h"

#define TICK_MS      50
#define LOOK_US      (2 * USEC_PER_SEC)
#define CANCEL_US    (10 * USEC_PER_SEC) /* a server that does not obey a cancel request is left */
#define RETRY_MIN_US (50 * USEC_PER_MSEC)
#define RETRY_MAX_US (2 * USEC_PER_SEC)

/* ---- statements that take long ---- */

/* Wait a moment for what the server says. -1: the connection is gone. */
static int
wait_readable(PGconn *c)
{
	struct pollfd p = { .fd = PQsocket(c), .events = POLLIN };

	if (p.fd < 0 || (poll(&p, 1, TICK_MS) < 0 && errno != EINTR))
		return -1;
	return p.revents == 0 || PQconsumeInput(c) == 1 ? 0 : -1;
}

/* Cancel the statement, and read what it still says. */
static void
cancel(PGconn *c)
{
	int64_t end = clock_us() + CANCEL_US;
	PGresult *r;

	db_cancel(c);
	while (clock_us() < end && PQstatus(c) == CONNECTION_OK) {
		if (PQisBusy(c) && wait_readable(c) < 0)
			return;
		if (PQisBusy(c))
			continue;
		r = PQgetResult(c);
		if (r == NULL)
			return;
		PQclear(r);
	}
}

/* Up to the end of the query; -1: one of its results was an error, or the job is to stop. */
static int
read_results(struct job *j, PGconn *c, PGresult **out, void (*look)(void *arg), void *arg,
	     struct err *e)
{
	int64_t looked_us = clock_us();
	struct err ignored;
	PGresult *r;
	int rc = 0;

	for (;;) {
		ExecStatusType s;

		while (PQisBusy(c)) {
			if (wait_readable(c) < 0 && PQisBusy(c))
				return rc < 0 ? -1 : db_error(c, NULL, e);
			if (PQisBusy(c) && job_check_stop(j, rc < 0 ? &ignored : e) < 0) {
				cancel(c);
				return -1;
			}
			if (look != NULL && clock_us() - looked_us > LOOK_US) {
				look(arg);
				looked_us = clock_us();
			}
		}
		r = PQgetResult(c);
		if (r == NULL)
			return rc;
		s = PQresultStatus(r);
		if (s == PGRES_COPY_IN || s == PGRES_COPY_OUT || s == PGRES_COPY_BOTH) {
			PQclear(r); /* and the connection is of no use any more */
			return rc < 0 ? -1 : err_set(e, "0A000", "COPY from or to the client");
		}
		if (rc == 0 && s != PGRES_COMMAND_OK && s != PGRES_TUPLES_OK &&
		    s != PGRES_SINGLE_TUPLE && s != PGRES_EMPTY_QUERY)
			rc = db_error(c, r, e);
		if (rc == 0 && out != NULL && *out == NULL && s == PGRES_TUPLES_OK)
			*out = r;
		else
			PQclear(r);
		if (PQstatus(c) != CONNECTION_OK)
			return rc < 0 ? -1 : db_error(c, NULL, e);
	}
}

int
job_finish(struct job *j, PGconn *c, PGresult **out, void (*look)(void *arg), void *arg,
	   struct err *e)
{
	int rc;

	if (out != NULL)
		*out = NULL;
	rc = read_results(j, c, out, look, arg, e);
	if (rc < 0 && out != NULL) {
		PQclear(*out);
		*out = NULL;
	}
	return rc;
}

int
job_run(struct job *j, PGconn *c, const char *sql, struct err *e)
{
	if (PQsendQuery(c, sql) != 1)
		return db_error(c, NULL, e);
	return job_finish(j, c, NULL, NULL, NULL, e);
}

int
job_runf(struct job *j, PGconn *c, struct err *e, const char *fmt, ...)
{
	struct buf sql = { 0 };
	va_list ap;
	int rc;

	va_start(ap, fmt);
	buf_vprintf(&sql, fmt, ap);
	va_end(ap);
	rc = job_run(j, c, buf_text(&sql), e);
	buf_fini(&sql);
	return rc;
}

/* ---- statements that wait for locks ---- */

static int
attempt_of(struct job *j, PGconn *c, const char *sql, struct err *e)
{
	const char *timeout = job_option(j, "lock_timeout");
	int64_t us = *timeout != '\0' ? migration_option_usec(timeout) : 500 * USEC_PER_MSEC;
	bool in_transaction = PQtransactionStatus(c) == PQTRANS_INTRANS;
	struct err ignored;
	int rc;

	if (in_transaction && db_exec(c, e, "SAVEPOINT meridian_retry") < 0)
		return -1;
	rc = db_execf(c, e, "SET lock_timeout = %lld", (long long)(us / USEC_PER_MSEC));
	if (rc == 0)
		rc = db_exec(c, e, sql);
	if (in_transaction && rc == 0)
		return db_exec(c, e, "RELEASE SAVEPOINT meridian_retry; SET lock_timeout = 0");
	if (in_transaction)
		db_exec(c, &ignored, "ROLLBACK TO SAVEPOINT meridian_retry");
	if (PQtransactionStatus(c) != PQTRANS_IDLE && !in_transaction)
		db_exec(c, &ignored, "ROLLBACK");
	db_exec(c, &ignored, "SET lock_timeout = 0");
	return rc;
}

int
job_exec_retry(struct job *j, PGconn *c, const char *sql, struct err *e)
{
	const char *retries = job_option(j, "retries");
	int64_t wait = RETRY_MIN_US, most = *retries != '\0' ? migration_option_int(retries) : 30;

	for (int64_t i = 0;; i++) {
		if (job_check_stop(j, e) < 0)
			return -1;
		if (attempt_of(j, c, sql, e) == 0)
			return 0;
		if (!db_is_retryable(e) || i >= most)
			return -1;
		if (i == 0)
			job_progress(j, j->m.progress, "waits for a lock: %s", e->msg);
		if (job_sleep(j, wait, e) < 0)
			return -1;
		wait = wait * 2 > RETRY_MAX_US ? RETRY_MAX_US : wait * 2;
	}
}
