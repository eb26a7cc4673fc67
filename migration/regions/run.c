/* SPDX-License-Identifier: PostgreSQL
 *
 * One statement that changes the schema of a CockroachDB database, from a client that may die: the
 * server makes a job of it, which goes on without us.
 */
#include "config.h"

#include "migration/regions/steps.h"

#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "migration/db.h"
#include "migration/regions/read.h"

#define TRIES_LOST 10
#define TRIES_BUSY 120
#define PAUSE_US   (500 * USEC_PER_MSEC)
#define POLL_MS    100

/* ---- jobs ---- */

int
regions_and_no_jobs(struct job *j, bool *is, struct err *e)
{
	PGconn *c = *is ? job_db(j, REGIONS_PLACE, e) : NULL;
	struct regions_catalog cat = { 0 };
	int rc;

	if (!*is)
		return 0;
	if (c == NULL)
		return -1;
	cat.database = xstrdup(regions_database(j));
	rc = regions_read_jobs(c, &cat, e);
	*is = cat.njobs == 0;
	regions_catalog_fini(&cat);
	return rc;
}

/* 1: some run; 0: none; -1: one is paused, which would be waited for without an end. */
static int
look_at_jobs(struct job *j, PGconn *c, struct err *e)
{
	struct regions_catalog cat = { .database = xstrdup(job_dbname(j, REGIONS_PLACE)) };
	int rc = regions_read_jobs(c, &cat, e);

	for (size_t i = 0; rc >= 0 && i < cat.njobs; i++) {
		const struct regions_job *job = &cat.jobs[i];

		rc = 1;
		if (strcmp(job->status, "paused") == 0) {
			err_set(e, "55000", "job %s is paused: %s", job->id, job->description);
			err_hint(e, "RESUME JOB %s or CANCEL JOB %s, then RETRY.", job->id,
				 job->id);
			rc = -1;
		} else {
			job_progress(j, -1, "waiting for job %s: %s", job->id, job->description);
		}
	}
	regions_catalog_fini(&cat);
	return rc;
}

/* Wait until no schema change of this database runs. */
static int
wait_jobs(struct job *j, PGconn *c, struct err *e)
{
	int rc;

	while ((rc = look_at_jobs(j, c, e)) > 0) {
		if (job_sleep(j, PAUSE_US, e) < 0)
			return -1;
	}
	return rc;
}

/* ---- the statement ---- */

/* Until the answer is whole, with a look around every 100 ms. */
static int
wait_answer(struct job *j, PGconn *c, struct err *e)
{
	while (PQisBusy(c)) {
		struct pollfd p = { .fd = PQsocket(c), .events = POLLIN };

		if (poll(&p, 1, POLL_MS) > 0 && !PQconsumeInput(c))
			return 0; /* the error is the result's */
		if (job_check_stop(j, e) < 0)
			return -1;
	}
	return 0;
}

enum ran { RAN, FAILED, STOPPED };

static enum ran
execute(struct job *j, PGconn *c, const char *sql, struct err *e)
{
	enum ran ran = RAN;
	PGresult *r;

	if (!PQsendQuery(c, sql)) {
		db_error(c, NULL, e);
		return FAILED;
	}
	for (;;) {
		if (wait_answer(j, c, e) < 0)
			return STOPPED;
		r = PQgetResult(c);
		if (r == NULL)
			return ran;
		if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK) {
			db_error(c, r, e);
			ran = FAILED;
		}
		PQclear(r);
		if (PQstatus(c) == CONNECTION_BAD)
			return FAILED;
	}
}

static bool
is_lost(const struct err *e)
{
	return strncmp(e->sqlstate, "08", 2) == 0 || strncmp(e->sqlstate, "57P", 3) == 0;
}

/* Another change has to end first, which it does by itself. */
static bool
is_busy(const struct err *e)
{
	static const char *const words[] = { "is underway", "being added or dropped",
					     "being created or dropped",
					     "undergoing a schema change",
					     "primary key change is in progress" };

	if (db_is_retryable(e))
		return true;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strstr(e->msg, words[i]) != NULL)
			return true;
	}
	return false;
}

struct ddl {
	const char *sql, *fine;
	int (*enough)(struct job *j, const struct regions_step *s, bool *yes, struct err *e);
	const struct regions_step *step;
};

/* An earlier try, ours or that of an executor that died, may have left a job that has done it. */
static enum ran
try_once(struct job *j, const struct ddl *d, struct err *e)
{
	PGconn *c = job_db(j, REGIONS_PLACE, e);
	bool is_done = false;
	enum ran ran;

	if (c == NULL)
		return FAILED;
	if (wait_jobs(j, c, e) < 0)
		return is_lost(e) ? FAILED : STOPPED;
	if (d->enough != NULL && d->enough(j, d->step, &is_done, e) < 0)
		return FAILED;
	if (is_done)
		return RAN;
	c = job_db_new(j, REGIONS_PLACE, NULL, e);
	if (c == NULL)
		return FAILED;
	ran = execute(j, c, d->sql, e);
	PQfinish(c);
	if (ran == FAILED && d->fine != NULL && strcmp(e->sqlstate, d->fine) == 0)
		ran = RAN;
	return ran;
}

int
regions_run_sql(struct job *j, const struct regions_step *s, struct buf *sql, const char *fine,
		int (*enough)(struct job *, const struct regions_step *, bool *, struct err *),
		struct err *e)
{
	struct ddl d = { .sql = buf_text(sql), .fine = fine, .enough = enough, .step = s };
	int lost = 0, busy = 0;
	enum ran ran;
	PGconn *c = NULL;

	while ((ran = try_once(j, &d, e)) == FAILED) {
		if ((!is_lost(e) || ++lost >= TRIES_LOST) && (!is_busy(e) || ++busy >= TRIES_BUSY))
			break;
		job_progress(j, -1, "%s: trying again", e->msg);
		if (job_sleep(j, PAUSE_US, e) < 0) {
			ran = STOPPED;
			break;
		}
	}
	buf_fini(sql);
	if (ran == FAILED && strcmp(e->sqlstate, "XXC02") == 0)
		err_hint(e, "Give the cluster a licence, then RETRY; nothing of this step was "
			    "done.");
	else if (ran == FAILED && strcmp(e->sqlstate, "42501") == 0)
		err_hint(e, "migration_conninfo's user has to be admin, or the owner of the "
			    "database and of every table.");
	if (ran == RAN)
		c = job_db(j, REGIONS_PLACE, e);
	return c == NULL ? -1 : wait_jobs(j, c, e);
}
