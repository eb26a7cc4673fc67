/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/migrations.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "migration/db.h"
#include "migration/job_int.h"
#include "migration/migrations_int.h"

#define GRACE_US  (10 * USEC_PER_SEC)
#define LOOK_US   (20 * USEC_PER_MSEC)
#define LEASE_MIN USEC_PER_SEC

/* ---- life ---- */

struct migrations *
migrations_new(const struct site *site)
{
	struct migrations *ms = xcalloc(1, sizeof(*ms));

	ms->site = *site;
	pthread_mutex_init(&ms->lock, NULL);
	pthread_mutex_init(&ms->dbs_lock, NULL);
	return ms;
}

void
migrations_start(struct migrations *ms)
{
	ms->watch = watch_start(ms);
}

const struct site *
migrations_site(const struct migrations *ms)
{
	return &ms->site;
}

const struct kind *
migrations_kind(const struct migrations *ms, enum migration_kind id)
{
	static const struct kind *const kinds[MIGRATION_NKINDS] = {
		[KIND_MOVE] = &kind_move,
		[KIND_DISTRIBUTE] = &kind_distribute,
		[KIND_FILES] = &kind_files,
		[KIND_REGIONS_OF] = &kind_regions,
	};

	return ms->kinds[id] != NULL ? ms->kinds[id] : kinds[id];
}

bool
migrations_are_over(const struct migrations *ms)
{
	return atomic_load(&ms->is_over);
}

/* ---- executors ---- */

static void
executor_free(struct executor *x)
{
	struct heartbeat *b = &x->heartbeat;

	while (b->first != NULL) {
		struct event *v = b->first;

		b->first = v->next;
		free(v->event);
		free(v->detail);
		free(v);
	}
	pthread_mutex_destroy(&b->lock);
	pthread_mutex_destroy(&b->writing);
	free(b->detail);
	free(b->acks);
	free(b->options);
	pthread_mutex_destroy(&x->lock);
	pthread_cond_destroy(&x->cond);
	job_close(x->j);
	for (size_t i = 0; i < x->nplaces; i++)
		free(x->places[i].dbname);
	free(x->places);
	free(x->force);
	free(x->actor);
	free(x);
}

/* Those whose threads have ended; under the lock. */
static void
reap(struct migrations *ms)
{
	struct executor **p = &ms->executors;

	while (*p != NULL) {
		struct executor *x = *p;

		if (!atomic_load(&x->is_over) || atomic_load(&x->waiters) > 0) {
			p = &x->next;
			continue;
		}
		*p = x->next;
		pthread_join(x->thread, NULL);
		executor_free(x);
	}
}

static struct executor *
executor_of(struct migrations *ms, const char *uuid)
{
	struct executor *x = ms->executors;

	while (x != NULL && (strcmp(x->lease.uuid, uuid) != 0 || atomic_load(&x->is_over)))
		x = x->next;
	return x;
}

bool
executor_is_here(struct migrations *ms, const char *uuid)
{
	bool is_here;

	pthread_mutex_lock(&ms->lock);
	is_here = executor_of(ms, uuid) != NULL;
	pthread_mutex_unlock(&ms->lock);
	return is_here;
}

/* The home of the job is where its row was found. */
static void
choose_home(struct job *j, const struct migration_at *at)
{
	for (size_t pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < j->nplaces; i++) {
			const struct place *p = &j->places[i];
			bool same = pass == 0 ? strcmp(p->node.name, at->node.name) == 0
					      : strcmp(p->node.region, at->node.region) == 0;

			if (same && strcmp(p->dbname, at->dbname) == 0) {
				j->home = i;
				return;
			}
		}
}

/* Without characters that mean something in the SQL literals and LIKE patterns that names stand in.
 */
static void
copy_plain(char *to, size_t size, const char *s)
{
	snprintf(to, size, "%s", s);
	for (char *p = to; *p != '\0'; p++)
		if (*p == '\'' || *p == '\\' || *p == '%')
			*p = '_';
}

static void
lease_init(struct lease *l, struct migrations *ms, const struct migration *m, unsigned n)
{
	struct site_settings settings = { 0 };
	char owner[sizeof(l->owner)];

	ms->site.ops->settings(ms->site.arg, &settings);
	snprintf(l->uuid, sizeof(l->uuid), "%s", m->uuid);
	l->migration = m->id;
	l->lease_us = settings.lease_us < LEASE_MIN ? LEASE_MIN : settings.lease_us;
	copy_plain(l->proxy, sizeof(l->proxy), ms->site.ops->proxy_id(ms->site.arg));
	snprintf(owner, sizeof(owner), "%.90s/%d/%u", l->proxy, (int)getpid(), n);
	copy_plain(l->owner, sizeof(l->owner), owner);
}

static struct executor *
executor_new(struct migrations *ms, const struct migration_at *at, const struct run_request *rq,
	     struct err *e)
{
	struct job *j = job_open(ms, &at->m, e);
	struct executor *x;

	if (j == NULL)
		return NULL;
	choose_home(j, at);
	x = xcalloc(1, sizeof(*x));
	x->j = j;
	j->x = x;
	x->what = rq->what;
	x->phase = rq->phase;
	x->step = rq->step;
	x->deadline_us = rq->deadline_us > 0 ? clock_us() + rq->deadline_us : 0;
	x->force = rq->force != NULL && *rq->force != '\0' ? xstrdup(rq->force) : NULL;
	x->is_forced = rq->is_forced;
	x->actor = xstrdup(rq->user != NULL ? rq->user : "");
	x->nplaces = j->nplaces;
	x->places = xcalloc(j->nplaces, sizeof(*x->places));
	for (size_t i = 0; i < j->nplaces; i++)
		x->places[i] = (struct control_db){ .node = j->places[i].node,
						    .dbname = xstrdup(j->places[i].dbname) };
	pthread_mutex_init(&x->heartbeat.lock, NULL);
	pthread_mutex_init(&x->heartbeat.writing, NULL);
	x->heartbeat.last = &x->heartbeat.first;
	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->cond, NULL);
	return x;
}

/* Signals are the main thread's. */
static int
thread_start(struct executor *x, struct err *e)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&x->thread, NULL, executor_main, x);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc == 0 ? 0 : err_set(e, "53000", "cannot start a thread: %s", strerror(rc));
}

/* An executor of this process that lives: ABORT stops it, everything else is refused. */
static int
is_at_work(struct executor *x, const struct run_request *rq, bool *is_ordered, struct err *e)
{
	*is_ordered = false;
	if (rq->what == RUN_ABORT) {
		atomic_store(&x->order, STOP_ABORT);
		if (rq->is_forced)
			atomic_store(&x->force_abort, true);
		*is_ordered = true;
		return 0;
	}
	err_set(e, "55P03", "an executor of this proxy is at work on migration %d",
		x->lease.migration);
	return err_hint(e, "FOLLOW MIGRATION %d; shows it, PAUSE or ABORT MIGRATION stops it.",
			x->lease.migration);
}

static int
start_new(struct migrations *ms, const struct migration_at *at, const struct run_request *rq,
	  struct executor **out, bool *is_ordered, struct err *e)
{
	struct executor *x = executor_new(ms, at, rq, e), *other;
	int rc;

	if (x == NULL)
		return -1;
	pthread_mutex_lock(&ms->lock);
	reap(ms);
	other = executor_of(ms, at->m.uuid);
	lease_init(&x->lease, ms, &at->m, ++ms->nexecutors);
	atomic_store(&x->waiters, 1);
	if (atomic_load(&ms->is_over))
		rc = err_set(e, "57P03", "this proxy is shutting down");
	else if (other != NULL)
		rc = is_at_work(other, rq, is_ordered, e);
	else
		rc = thread_start(x, e);
	if (rc == 0 && !*is_ordered) {
		x->next = ms->executors;
		ms->executors = x;
	}
	pthread_mutex_unlock(&ms->lock);
	if (rc == 0 && !*is_ordered) {
		*out = x;
		return 0;
	}
	executor_free(x);
	return rc;
}

int
executor_start(struct migrations *ms, const struct migration_at *at, const struct run_request *rq,
	       struct err *e)
{
	struct executor *x = NULL;
	bool is_ordered = false, runs;

	if (start_new(ms, at, rq, &x, &is_ordered, e) < 0)
		return -1;
	if (is_ordered)
		return 0;
	/* Until it has its lease and its state, or knows why not. */
	pthread_mutex_lock(&x->lock);
	while (x->started == EXECUTOR_STARTS)
		pthread_cond_wait(&x->cond, &x->lock);
	runs = x->started == EXECUTOR_RUNS;
	if (!runs)
		*e = x->why;
	pthread_mutex_unlock(&x->lock);
	atomic_fetch_sub(&x->waiters, 1); /* from here on it may be freed */
	if (runs)
		return 0;
	/* An executor of another proxy is alive: it reads the ABORT in the row. */
	if (rq->what == RUN_ABORT && strcmp(e->sqlstate, "55P03") == 0 && at->db != NULL)
		return store_set_request(at->db, at->m.uuid,
					 rq->is_forced ? REQUEST_ABORT_FORCE : REQUEST_ABORT, e);
	return -1;
}

bool
request_is_abort(const char *request)
{
	return strncmp(request, REQUEST_ABORT, strlen(REQUEST_ABORT)) == 0;
}

int
executor_request(struct migrations *ms, const struct migration_at *at, const char *request,
		 struct err *e)
{
	struct executor *x;

	if (store_set_request(at->db, at->m.uuid, request, e) < 0)
		return -1;
	pthread_mutex_lock(&ms->lock);
	x = executor_of(ms, at->m.uuid);
	if (x != NULL && strcmp(request, "pause") == 0)
		atomic_store(&x->order, STOP_PAUSE);
	pthread_mutex_unlock(&ms->lock);
	return 0;
}

/* ---- the end ---- */

static bool
all_over(struct migrations *ms)
{
	bool yes = true;

	pthread_mutex_lock(&ms->lock);
	for (const struct executor *x = ms->executors; x != NULL; x = x->next)
		yes = yes && atomic_load(&x->is_over);
	pthread_mutex_unlock(&ms->lock);
	return yes;
}

/* Statements of its own on any place; asked by connections of ours. */
static void
executor_cancel(struct migrations *ms, const struct executor *x)
{
	for (size_t i = 0; i < x->nplaces; i++) {
		struct err e;
		PGconn *c = migrations_open(ms, &x->places[i].node, x->places[i].dbname, &e);

		if (c != NULL && lease_has_locks(c))
			db_execf(c, &e,
				 "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE "
				 "application_name = 'meridian-exec-%d' AND state = 'active'",
				 x->lease.migration);
		PQfinish(c);
	}
}

void
migrations_stop(struct migrations *ms)
{
	int64_t grace = clock_us() + GRACE_US;

	atomic_store(&ms->is_over, true);
	pthread_mutex_lock(&ms->lock);
	for (struct executor *x = ms->executors; x != NULL; x = x->next)
		atomic_store(&x->order, STOP_SHUTDOWN);
	pthread_mutex_unlock(&ms->lock);
	while (!all_over(ms) && clock_us() < grace)
		clock_sleep(LOOK_US);
	/* A statement that takes its time: end it, the step is resumed later. */
	pthread_mutex_lock(&ms->lock);
	for (struct executor *x = ms->executors; x != NULL; x = x->next)
		if (!atomic_load(&x->is_over))
			executor_cancel(ms, x);
	pthread_mutex_unlock(&ms->lock);
}

void
migrations_free(struct migrations *ms)
{
	if (ms == NULL)
		return;
	migrations_stop(ms);
	watch_stop(ms->watch);
	while (ms->executors != NULL) {
		struct executor *x = ms->executors;

		ms->executors = x->next;
		pthread_join(x->thread, NULL);
		executor_free(x);
	}
	region_dbs_free(ms->dbs);
	pthread_mutex_destroy(&ms->lock);
	pthread_mutex_destroy(&ms->dbs_lock);
	free(ms);
}

/* ---- SHOW EXECUTORS ---- */

static const char executors_sql[] =
    "SELECT l.mig, l.uuid, coalesce(m.db, ''), l.owner, l.proxy, CAST(l.heartbeat AS text), "
    "coalesce(m.step, ''), l.token, l.heartbeat > clock_timestamp() - interval '%d milliseconds' "
    "FROM meridian.lease l LEFT JOIN meridian.migration m ON m.uuid = l.uuid WHERE l.owner <> '' "
    "AND coalesce(m.is_home, false) ORDER BY 1";

static void
executors_of(PGconn *c, const struct control_db *f, int lease_ms,
	     void (*each)(void *to, const struct executor_row *row), void *to, struct err *e)
{
	PGresult *r = db_queryf(c, e, executors_sql, lease_ms);

	for (int i = 0; r != NULL && i < PQntuples(r); i++) {
		struct executor_row row = { .migration = atoi(PQgetvalue(r, i, 0)),
					    .uuid = PQgetvalue(r, i, 1),
					    .database = PQgetvalue(r, i, 2),
					    .place = f->node.name,
					    .owner = PQgetvalue(r, i, 3),
					    .proxy = PQgetvalue(r, i, 4),
					    .heartbeat = PQgetvalue(r, i, 5),
					    .step = PQgetvalue(r, i, 6),
					    .is_alive = PQgetvalue(r, i, 8)[0] == 't' };

		text_to_int(slice_str(PQgetvalue(r, i, 7)), 0, INT64_MAX, &row.token);
		each(to, &row);
	}
	PQclear(r);
}

void
executors_list(struct migrations *ms, void (*each)(void *to, const struct executor_row *row),
	       void *to, struct err *e)
{
	struct control_dbs found = { 0 };
	struct site_settings settings = { 0 };

	ms->site.ops->settings(ms->site.arg, &settings);
	control_dbs_everywhere(ms, LOOK_AGE_US, &found, NULL, e);
	for (size_t i = 0; i < found.n; i++) {
		PGconn *c = control_db_open(ms, &found.v[i], e);

		if (c != NULL)
			executors_of(c, &found.v[i], (int)(settings.lease_us / USEC_PER_MSEC), each,
				     to, e);
		PQfinish(c);
	}
	control_dbs_fini(&found);
}
