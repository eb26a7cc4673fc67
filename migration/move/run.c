/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/move/move.h"

#include <poll.h>

#include "base/clock.h"
#include "migration/db.h"
#include "protocol/sqlstate.h"

#define TICK_MS  100
#define DRAIN_US (5 * USEC_PER_SEC)

/* Until the server has something to say. -1: the connection is gone. */
static int
wait_readable(PGconn *c, int ms)
{
	struct pollfd p = { .fd = PQsocket(c), .events = POLLIN };

	if (p.fd < 0)
		return -1;
	return poll(&p, 1, ms) >= 0 && PQconsumeInput(c) == 1 ? 0 : -1;
}

int
move_finish_until(PGconn *c, int64_t deadline_us, struct err *e)
{
	PGresult *r;
	int rc = 0;

	while (PQisBusy(c)) {
		int64_t left = deadline_us - clock_us();

		if (left <= 0) {
			db_cancel(c);
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
move_each(struct job *j, PGconn *c, const char *query, const char *statement, struct err *e)
{
	PGresult *r = db_query(c, e, query, 0, NULL);
	struct buf sql = { .cap = 0 };
	int n = r != NULL ? PQntuples(r) : -1;

	for (int i = 0; i < n; i++) {
		const char *rest = statement, *at;

		buf_clear(&sql);
		while ((at = strstr(rest, "%s")) != NULL) {
			buf_put(&sql, rest, (size_t)(at - rest));
			buf_str(&sql, PQgetvalue(r, i, 0));
			rest = at + 2;
		}
		buf_str(&sql, rest);
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
