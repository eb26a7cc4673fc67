/* SPDX-License-Identifier: PostgreSQL
 *
 * One thread for each region: once a second, or when it is notified, it reads the control schemas
 * on the region's node that takes writes. Who serves which database goes to routes.c, who
 * still enters by the region that it has left to redirect.c; what an
 * executor elsewhere asks of this proxy's gate is done (answer.c); an executor that died between
 * freeze and decision, or behind the decision, is replaced: nobody waits for a human there.
 */
#include "config.h"

#include "migration/watch.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "migration/db.h"
#include "migration/lease.h"
#include "migration/migrations_int.h"
#include "migration/redirect.h"
#include "migration/routes.h"
#include "migration/transitions.h"

#define PERIOD_US     USEC_PER_SEC
#define IDLE_US       (10 * USEC_PER_SEC) /* between looks at a database where nothing happens */
#define RECENT_US     (60 * USEC_PER_SEC) /* one migration is often followed by the next */
#define FIRST_LOOK_US (3 * USEC_PER_SEC)
#define NAP_US        (100 * USEC_PER_MSEC)
#define ASKED_US      (300 * USEC_PER_MSEC) /* whoever may connect may ask */
#define AUTHORITY_MAX "1000"

struct region_watch {
	struct watch *w;
	char region[64];
	pthread_t thread;
	bool is_started;
	unsigned heard; /* watch.asked, at the last look */
	struct watched *dbs;
};

struct watch {
	struct migrations *ms;
	struct routes *routes;
	struct region_watch *regions;
	size_t nregions;
	pthread_mutex_t lock;
	size_t looked;     /* regions that have been looked at once */
	atomic_uint asked; /* so often was asked who is still redirected: everybody looks at once */
};

/* ---- the databases ---- */

static void
watched_free(struct watched *d)
{
	PQfinish(d->c);
	free(d->at.dbname);
	for (size_t i = 0; i < d->nrows; i++)
		route_row_fini(&d->rows[i]);
	free(d->rows);
	answers_free(d->answers);
	free(d);
}

static struct watched *
watched_of(struct region_watch *r, const struct finding *f)
{
	for (struct watched *d = r->dbs; d != NULL; d = d->next)
		if (strcmp(d->at.node.name, f->node.name) == 0 &&
		    strcmp(d->at.dbname, f->dbname) == 0)
			return d;
	struct watched *d = xcalloc(1, sizeof(*d));

	d->at.node = f->node;
	d->at.dbname = xstrdup(f->dbname);
	d->next = r->dbs;
	r->dbs = d;
	return d;
}

/* Those that are not found any more go. */
static void
keep_found(struct region_watch *r, const struct findings *found)
{
	struct watched **p = &r->dbs;

	while (*p != NULL) {
		struct watched *d = *p;
		bool is_found = false;

		for (size_t i = 0; i < found->n; i++)
			is_found =
			    is_found || (strcmp(found->v[i].node.name, d->at.node.name) == 0 &&
					 strcmp(found->v[i].dbname, d->at.dbname) == 0);
		if (is_found) {
			p = &d->next;
			continue;
		}
		*p = d->next;
		watched_free(d);
	}
}

static bool
is_connected(struct migrations *ms, struct watched *d)
{
	struct err e;

	if (d->c != NULL && PQstatus(d->c) == CONNECTION_OK)
		return true;
	PQfinish(d->c);
	d->c = finding_open(ms, &d->at, &e);
	if (d->c == NULL)
		return false;
	db_exec(d->c, &e, "SET lock_timeout = '1s'");
	if (lease_has_locks(d->c))
		db_exec(d->c, &e, "LISTEN meridian");
	return PQstatus(d->c) == CONNECTION_OK;
}

/* ---- who serves what ---- */

static int
read_authority(struct watched *d, struct err *e)
{
	PGresult *r =
	    db_query(d->c, e,
		     "SELECT db, CASE WHEN decision IS NULL THEN '' ELSE serves END, newdb, "
		     "epoch FROM meridian.authority LIMIT " AUTHORITY_MAX,
		     0, NULL);

	if (r == NULL)
		return -1;
	for (size_t i = 0; i < d->nrows; i++)
		route_row_fini(&d->rows[i]);
	d->nrows = (size_t)PQntuples(r);
	d->rows = xreallocarray(d->rows, d->nrows + 1, sizeof(*d->rows));
	for (size_t i = 0; i < d->nrows; i++) {
		d->rows[i] = (struct route_row){ .database = xstrdup(PQgetvalue(r, (int)i, 0)),
						 .place = xstrdup(PQgetvalue(r, (int)i, 1)),
						 .newdb = xstrdup(PQgetvalue(r, (int)i, 2)) };
		text_to_int(slice_str(PQgetvalue(r, (int)i, 3)), 0, INT64_MAX, &d->rows[i].epoch);
	}
	PQclear(r);
	return 0;
}

static void
tell_routes(struct region_watch *r)
{
	struct route_row *all = NULL;
	size_t n = 0;

	/* What could never be asked may know better. */
	for (const struct watched *d = r->dbs; d != NULL; d = d->next)
		if (d->looked_us == 0)
			return;
	for (const struct watched *d = r->dbs; d != NULL; d = d->next)
		for (size_t i = 0; i < d->nrows; i++) {
			all = xreallocarray(all, n + 1, sizeof(*all));
			all[n++] = d->rows[i];
		}
	routes_update(r->w->routes, r->region, all, n);
	free(all);
}

/* ---- executors that died ---- */

/* Whether the migration must not stay as it is: between freeze and switch, or decided. */
static bool
must_go_on(struct migrations *ms, const char *kind, enum migration_state state, const char *steps)
{
	int id = migration_kind_of(kind);
	const struct kind *k = id < 0 ? NULL : migrations_kind(ms, (enum migration_kind)id);
	struct slice rest = slice_str(steps);

	if (state == STATE_SWITCHED || state == STATE_REVERSING)
		return true;
	while (k != NULL && rest.n > 0) {
		struct slice name = slice_cut(&rest, ',');

		for (const struct step_def *const *def = k->defs; *def != NULL; def++)
			if ((*def)->in_pause && slice_is(name, (*def)->name))
				return true;
	}
	return false;
}

static void
replace_executor(struct migrations *ms, const struct watched *d, const char *uuid,
		 const struct run_request *rq)
{
	struct migration_at at = { .node = d->at.node, .dbname = xstrdup(d->at.dbname) };
	struct err e;

	if (store_load(d->c, uuid, &at.m, &e) > 0) {
		log_msg(LOG_LEVEL_WARNING, "migration %d: its executor is gone; this proxy %s",
			at.m.id, rq->what == RUN_ABORT ? "does its ABORT" : "goes on");
		if (executor_start(ms, &at, rq, &e) < 0)
			log_msg(LOG_LEVEL_WARNING, "migration %d: %s", at.m.id, e.msg);
	} else {
		migration_init(&at.m);
	}
	migration_at_fini(&at);
}

/* What its executor's death leaves to be done: 1 and *rq. An ABORT that was ordered while nobody
 * knew that it was dead is not forgotten. */
static bool
is_wanted(struct migrations *ms, PGresult *r, int i, struct run_request *rq)
{
	enum migration_state state = (enum migration_state)migration_state_of(PQgetvalue(r, i, 2));
	const char *request = PQgetvalue(r, i, 4);

	*rq = (struct run_request){ .what = RUN_RECOVER, .user = "watcher" };
	if (executor_is_here(ms, PQgetvalue(r, i, 0)))
		return false;
	if (request_is_abort(request) && transition(state, EVENT_ABORT, -1) >= 0) {
		rq->what = RUN_ABORT;
		rq->is_forced = strcmp(request, REQUEST_ABORT_FORCE) == 0;
		return true;
	}
	return must_go_on(ms, PQgetvalue(r, i, 1), state, PQgetvalue(r, i, 3));
}

static void
look_for_dead(struct migrations *ms, struct watched *d)
{
	struct site_settings settings = { 0 };
	struct err e;
	PGresult *r;

	ms->site.ops->settings(ms->site.arg, &settings);
	r = db_queryf(
	    d->c, &e,
	    "SELECT m.uuid, m.kind, m.state, coalesce((SELECT string_agg(name, ',') FROM "
	    "meridian.step s WHERE s.uuid = m.uuid AND s.state = 'running'), ''), m.request FROM "
	    "meridian.migration m JOIN meridian.lease l ON l.uuid = m.uuid WHERE m.is_home AND "
	    "(m.state IN ('running(finalize)', 'switched', 'reversing', 'aborting', 'error', "
	    "'paused') OR m.request LIKE '" REQUEST_ABORT "%%') AND l.heartbeat "
	    "< "
	    "clock_timestamp() - interval '%" PRId64 " milliseconds'",
	    settings.lease_us / USEC_PER_MSEC);
	for (int i = 0; r != NULL && i < PQntuples(r); i++) {
		struct run_request rq;

		if (is_wanted(ms, r, i, &rq))
			replace_executor(ms, d, PQgetvalue(r, i, 0), &rq);
	}
	PQclear(r);
}

/* ---- one look ---- */

static bool
is_asked(struct region_watch *r)
{
	return atomic_load(&r->w->asked) != r->heard;
}

static bool
is_left_alone(const struct watched *d)
{
	int64_t now = clock_us();

	if (d->is_active || d->looked_us == 0)
		return false;
	if (d->active_us > 0 && now - d->active_us < RECENT_US)
		return false;
	return now - d->looked_us < IDLE_US;
}

static void
look_at_db(struct region_watch *r, struct watched *d, bool at_once)
{
	struct migrations *ms = r->w->ms;
	struct err e;

	if (at_once)
		d->flush_us = 0;
	else if (is_left_alone(d))
		return;
	if (!is_connected(ms, d) || read_authority(d, &e) < 0)
		return;
	d->looked_us = clock_us();
	if (d->active_us == 0)
		d->active_us = d->looked_us;
	if (db_is(d->c, &d->is_active, &e,
		  "SELECT EXISTS (SELECT 1 FROM meridian.migration WHERE state NOT IN ('done', "
		  "'aborted', 'reversed'))",
		  0, NULL) < 0)
		return;
	if (d->is_active)
		answers_beat(ms, d);
	redirects_look(ms, d);
	if (d->is_active) {
		d->active_us = d->looked_us;
		look_for_dead(ms, d);
		return;
	}
	/* Nothing happens there: nobody shall find the database in use by us. */
	PQfinish(d->c);
	d->c = NULL;
}

static void
look_at_region(struct region_watch *r)
{
	struct findings found = { 0 };
	bool at_once = is_asked(r);
	struct err e;

	r->heard = atomic_load(&r->w->asked);
	if (migrations_look(r->w->ms, r->region, at_once ? 1 : LOOK_AGE_US, &found, &e) < 0)
		return;
	keep_found(r, &found);
	for (size_t i = 0; i < found.n; i++)
		look_at_db(r, watched_of(r, &found.v[i]), at_once);
	findings_fini(&found);
	tell_routes(r);
}

/* Until something was said on one of the connections, or the time is over. */
static void
listen_to_all(struct region_watch *r, int64_t us)
{
	struct pollfd fds[64];
	nfds_t n = 0;

	for (struct watched *d = r->dbs; d != NULL && n < 64; d = d->next)
		if (d->c != NULL && PQstatus(d->c) == CONNECTION_OK)
			fds[n++] = (struct pollfd){ .fd = PQsocket(d->c), .events = POLLIN };
	if (poll(fds, n, (int)(us / USEC_PER_MSEC)) <= 0)
		return;
	for (struct watched *d = r->dbs; d != NULL; d = d->next) {
		PGnotify *note;
		bool was_called = false;

		if (d->c == NULL || PQconsumeInput(d->c) == 0)
			continue;
		while ((note = PQnotifies(d->c)) != NULL) {
			if (strcmp(note->extra, REDIRECTS_ASKED) == 0)
				atomic_fetch_add(&r->w->asked, 1);
			else
				was_called = true;
			PQfreemem(note);
		}
		if (was_called)
			answers_give(r->w->ms, d);
	}
}

static void
note_first_look(struct watch *w)
{
	pthread_mutex_lock(&w->lock);
	w->looked++;
	pthread_mutex_unlock(&w->lock);
}

static void *
region_main(void *arg)
{
	struct region_watch *r = arg;
	struct migrations *ms = r->w->ms;

	look_at_region(r);
	note_first_look(r->w);
	while (!migrations_are_over(ms)) {
		int64_t until = clock_us() + PERIOD_US;

		for (int64_t left = PERIOD_US;
		     left > (is_asked(r) ? PERIOD_US - ASKED_US : 0) && !migrations_are_over(ms);
		     left = until - clock_us())
			listen_to_all(r, left < NAP_US ? left : NAP_US);
		if (!migrations_are_over(ms))
			look_at_region(r);
	}
	for (struct watched *d = r->dbs; d != NULL; d = d->next) {
		redirects_leave(ms, d);
		answers_leave(ms, d);
	}
	while (r->dbs != NULL) {
		struct watched *d = r->dbs;

		r->dbs = d->next;
		watched_free(d);
	}
	return NULL;
}

/* ---- life ---- */

static void
start_threads(struct watch *w)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (size_t i = 0; i < w->nregions; i++) {
		struct region_watch *r = &w->regions[i];

		r->is_started = pthread_create(&r->thread, NULL, region_main, r) == 0;
		if (!r->is_started)
			log_msg(LOG_LEVEL_ERROR, "the migrations of region %s cannot be watched",
				r->region);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static bool
is_first_look_over(struct watch *w)
{
	bool yes;

	pthread_mutex_lock(&w->lock);
	yes = w->looked == w->nregions;
	pthread_mutex_unlock(&w->lock);
	return yes;
}

struct watch *
watch_start(struct migrations *ms)
{
	const struct timespec nap = { .tv_nsec = 5 * 1000 * 1000 };
	struct watch *w = xcalloc(1, sizeof(*w));
	struct strlist regions = { 0 };
	int64_t until = clock_us() + FIRST_LOOK_US;

	w->ms = ms;
	w->routes = routes_new(&ms->site);
	pthread_mutex_init(&w->lock, NULL);
	routes_read(w->routes);
	ms->site.ops->regions(ms->site.arg, &regions);
	w->nregions = regions.n;
	w->regions = xcalloc(regions.n + 1, sizeof(*w->regions));
	for (size_t i = 0; i < regions.n; i++) {
		w->regions[i].w = w;
		snprintf(w->regions[i].region, sizeof(w->regions[i].region), "%s", regions.v[i]);
	}
	strlist_fini(&regions);
	start_threads(w);
	while (!is_first_look_over(w) && clock_us() < until)
		nanosleep(&nap, NULL);
	return w;
}

void
watch_stop(struct watch *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < w->nregions; i++)
		if (w->regions[i].is_started)
			pthread_join(w->regions[i].thread, NULL);
	routes_free(w->routes);
	pthread_mutex_destroy(&w->lock);
	free(w->regions);
	free(w);
}
