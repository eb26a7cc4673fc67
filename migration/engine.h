/* SPDX-License-Identifier: PostgreSQL
 *
 * What the commands of the console ask of the engine: find migrations, make one, look (check, plan)
 * without changing anything, and have an executor do it. Everything here waits: call it on a thread
 * of its own. Which command is allowed in which state is not decided here
 * (migration/transitions.h).
 */
#ifndef MIGRATION_ENGINE_H
#define MIGRATION_ENGINE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "migration/kind.h"
#include "migration/plan.h"
#include "migration/site.h"
#include "migration/store.h"

struct migrations;

/* A migration and where its row was found. */
struct migration_at {
	struct migration m;
	struct site_node node;
	char *dbname;
	PGconn *db; /* open, application_name meridian-console; of migrations_find() only */
};

void migration_at_fini(struct migration_at *at);

/* `ref`: number, name or the first six or more digits of the uuid. The home of the migration, or
 * its newest copy where that cannot be reached (m.is_home tells). -1 and *e: 42704, 42725 (more
 * than one), or the reason why a place could not be asked. */
int migrations_find(struct migrations *ms, const char *ref, struct migration_at *out,
		    struct err *e);
/* Every migration once, by number. Places that cannot be asked are left out; `*e` says the last
 * such reason (msg "" : none). */
void migrations_list(struct migrations *ms, void (*each)(void *to, const struct migration_at *at),
		     void *to, struct err *e);
/* Give it a number, make the control schema where it is missing, insert the row; `m` has kind,
 * database, spec, options, name, … from the caller. 42710. */
int migrations_create(struct migrations *ms, struct migration *m, const char *created_by,
		      struct err *e);

/* ---- a job without an executor: for CHECK, PLAN, SHOW, VERIFY ---- */

/* The kind has named its places; no lease. NULL and *e. */
struct job *job_open(struct migrations *ms, const struct migration *m, struct err *e);
void job_close(struct job *j);
/* From here on its connections are read-only (PLAN, SHOW); open ones are closed. */
void job_set_read_only(struct job *j);
/* job_check_stop() fails (57014) as soon as the command is cancelled. */
void job_set_cancel(struct job *j, bool (*is_cancelled)(void *arg), void *arg);
const char *job_first_place(const struct job *j);
const struct kind *job_kind(const struct job *j);
int job_may_begin(struct job *j, enum migration_phase phase, struct err *e);
int job_checks(struct job *j, enum migration_phase before, struct checks *out, struct err *e);
/* The frozen plan with what became of its steps, or, where there is none yet, what it would be. */
int job_plan(struct job *j, struct plan *out, bool *is_frozen, struct err *e);

/* ---- executors ---- */

enum run_what {
	RUN_PHASE, /* that phase, and those in front of it that are not done: no, only that one */
	RUN_ALL,   /* every phase up to FINALIZE */
	RUN_NEXT,  /* the next step */
	RUN_STEP,  /* the steps up to number n */
	RUN_ABORT,
	RUN_REVERSE,
	RUN_COMPLETE,
	/* The watcher's, for an executor that died: forward where it is decided, else what was
	 * between freeze and decision is undone, and the state is error. */
	RUN_RECOVER,
	RUN_AGAIN, /* what was asked for last: RETRY, RESUME, and after a crash */
};

struct run_request {
	enum run_what what;
	enum migration_phase phase;
	int step;
	int64_t deadline_us; /* RUN … DEADLINE: how long it may take, 0: no end */
	const char *force;   /* guards, separated by commas; NULL */
	bool is_forced;      /* ABORT … FORCE */
	const char *user;
};

/* Whether a guard is among those of run_request.force. */
bool guard_is_named(const char *force, const char *guard);

/* What a row asks of an executor of another proxy; "pause" too. */
#define REQUEST_ABORT       "abort"
#define REQUEST_ABORT_FORCE "abort force"
/* An ABORT that an executor elsewhere has not obeyed yet; where that one is dead, a proxy that
 * watches the database does it. */
bool request_is_abort(const char *request);

/* Have it run on a thread of its own. Returns when the lease is ours and the state says so: 0; -1
 * and *e: 55P03 another executor has it, 55000 the plan has changed, … */
int executor_start(struct migrations *ms, const struct migration_at *at,
		   const struct run_request *rq, struct err *e);
/* "pause": its executor stops at the next step or wait, wherever it is; "": take that back. */
int executor_request(struct migrations *ms, const struct migration_at *at, const char *request,
		     struct err *e);
/* Whether it runs in this process. */
bool executor_is_here(struct migrations *ms, const char *uuid);

/* One row for SHOW EXECUTORS. */
struct executor_row {
	int migration;
	const char *uuid, *database, *place, *owner, *proxy, *heartbeat, *step;
	int64_t token;
	bool is_alive; /* its heartbeat is fresh, by the clock of the database */
};
void executors_list(struct migrations *ms, void (*each)(void *to, const struct executor_row *row),
		    void *to, struct err *e);

#endif
