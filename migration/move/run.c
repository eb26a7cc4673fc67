/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/move/move.h"

#include <poll.h>
#include <stdarg.h>

#include "base/clock.h"
#include "migration/db.h"
#include "protocol/sqlstate.h"

#define TICK_MS    100
#define DRAIN_US   (5 * USEC_PER_SEC)
#define CANCEL_ERR 256

static void
cancel(PGconn *c)
{
	char text[CANCEL_ERR];
	PGcancel *k = PQgetCancel(c);

	if (k != NULL)
		PQcancel(k, text, sizeof(text));
	PQfreeCancel(k);
}

/* Until the server has something to say. -1: the connection is gone. */
static int
wait_readable(PGconn *c, int ms)
{
	struct pollfd p = { .fd = PQsocket(c), .events = POLLIN };

	if (p.fd < 0)
		return -1;
	return poll(&p, 1, ms) >= 0 && PQconsumeInput(c) == 1 ? 0 : -1;
}

/* What a cancelled statement still says. */
static void
drain(PGconn *c)
{
	int64_t end = clock_us() + DRAIN_US;
	PGresult *r;

	while (PQisBusy(c) && clock_us() < end) {
		if (wait_readable(c, TICK_MS) != 0)
			return;
	}
	while (!PQisBusy(c) && (r = PQgetResult(c)) != NULL)
		PQclear(r);
}

/* Results up to the end of the query; -1 where one of them is an error, or the query was stopped.
 */
int
move_finish(struct job *j, PGconn *c, PGresult **out, struct err *e)
{
	PGresult *r;
	int rc = 0;

	if (out != NULL)
		*out = NULL;
	for (;;) {
		while (PQisBusy(c)) {
			if (wait_readable(c, TICK_MS) != 0)
				return db_error(c, NULL, e);
			if (PQisBusy(c) && job_check_stop(j, e) != 0) {
				cancel(c);
				drain(c);
				return -1;
			}
		}
		r = PQgetResult(c);
		if (r == NULL)
			return rc;
		if (rc == 0 && PQresultStatus(r) != PGRES_COMMAND_OK &&
		    PQresultStatus(r) != PGRES_TUPLES_OK)
			rc = db_error(c, r, e);
		if (rc == 0 && out != NULL && *out == NULL && PQresultStatus(r) == PGRES_TUPLES_OK)
			*out = r;
		else
			PQclear(r);
		if (rc != 0 && out != NULL) {
			PQclear(*out);
			*out = NULL;
		}
	}
}

int
move_finish_until(struct job *j, PGconn *c, int64_t deadline_us, struct err *e)
{
	PGresult *r;
	int rc = 0;

	while (PQisBusy(c)) {
		int64_t left = deadline_us - clock_us();

		if (left <= 0) {
			cancel(c);
			deadline_us = clock_us() + DRAIN_US;
			if (rc != 0)
				return rc;
			rc = err_set(e, SQLSTATE_CUTOVER_DEADLINE, "the pause has lasted too long");
			continue;
		}
		if (wait_readable(c, left < TICK_MS * USEC_PER_MSEC
					 ? (int)(left / USEC_PER_MSEC) + 1
					 : TICK_MS) != 0)
			return db_error(c, NULL, e);
	}
	(void)j;
	/* It may have ended well all the same. */
	rc = 0;
	while ((r = PQgetResult(c)) != NULL) {
		if (rc == 0 && PQresultStatus(r) != PGRES_COMMAND_OK &&
		    PQresultStatus(r) != PGRES_TUPLES_OK)
			rc = db_error(c, r, e);
		PQclear(r);
	}
	return rc;
}

int
move_exec(struct job *j, PGconn *c, const char *sql, struct err *e)
{
	if (PQsendQuery(c, sql) != 1)
		return db_error(c, NULL, e);
	return move_finish(j, c, NULL, e);
}

int
move_execf(struct job *j, PGconn *c, struct err *e, const char *fmt, ...)
{
	struct buf sql = { .cap = 0 };
	va_list ap;
	int rc;

	va_start(ap, fmt);
	buf_vprintf(&sql, fmt, ap);
	va_end(ap);
	rc = move_exec(j, c, buf_text(&sql), e);
	buf_fini(&sql);
	return rc;
}

/* `statement` with each %s replaced by `name`. */
static void
put_statement(struct buf *b, const char *statement, const char *name)
{
	const char *at;

	while ((at = strstr(statement, "%s")) != NULL) {
		buf_put(b, statement, (size_t)(at - statement));
		buf_str(b, name);
		statement = at + 2;
	}
	buf_str(b, statement);
}

int
move_each(struct job *j, PGconn *c, const char *query, const char *statement, struct err *e)
{
	PGresult *r = db_query(c, e, query, 0, NULL);
	struct buf sql = { .cap = 0 };
	int n = r != NULL ? PQntuples(r) : -1;

	for (int i = 0; i < n; i++) {
		buf_clear(&sql);
		put_statement(&sql, statement, PQgetvalue(r, i, 0));
		if (job_check_stop(j, e) != 0 || job_exec_retry(j, c, buf_text(&sql), e) != 0)
			n = -1;
	}
	PQclear(r);
	buf_fini(&sql);
	return n;
}

int
move_wait_until(struct job *j, PGconn *c, const char *sql, int64_t usec, const char *what,
		struct err *e)
{
	int64_t end = clock_us() + usec;
	bool is_true = false;

	for (;;) {
		if (db_is(c, &is_true, e, sql, 0, NULL) != 0)
			return -1;
		if (is_true)
			return 0;
		if (clock_us() > end)
			return err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "%s took too long", what);
		if (job_sleep(j, 20 * USEC_PER_MSEC, e) != 0)
			return -1;
	}
}
