/* SPDX-License-Identifier: PostgreSQL
 *
 * A database with a control schema, and the thread that reads it: once a second, or when it is
 * notified; an idle one every ten seconds. A connection without an answer for five seconds is
 * closed, and another one is opened.
 */
#include "config.h"

#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "migration/db.h"
#include "migration/job_int.h"
#include "migration/journal.h"
#include "migration/lease.h"
#include "migration/redirect.h"
#include "migration/routes.h"
#include "migration/transitions.h"
#include "migration/watch.h"

#define IDLE_US       (10 * USEC_PER_SEC) /* between looks at a database where nothing happens */
#define RECENT_US     (60 * USEC_PER_SEC) /* one migration is often followed by the next */
#define AUTHORITY_MAX "1000"
#define STALL_LOOKS   5 /* looks: what goes wrong for a moment is not worth a word */

static void
hang_up(struct watched *d)
{
	PQfinish(d->c);
	d->c = NULL;
}

static void
rows_free(struct route_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		route_row_fini(&rows[i]);
	free(rows);
}

void
watched_free(struct watched *d)
{
	hang_up(d);
	free(d->at.dbname);
	rows_free(d->rows, d->nrows);
	orders_free(d->obeyed);
	free(d);
}

static int
connect_to(struct watched *d, struct err *e)
{
	if (d->c != NULL && PQstatus(d->c) == CONNECTION_OK)
		return 0;
	hang_up(d);
	d->c = control_db_open(d->r->w->ms, &d->at, e);
	if (d->c == NULL || db_exec(d->c, e, "SET lock_timeout = '1s'") < 0)
		return -1;
	return lease_has_locks(d->c) ? db_exec(d->c, e, "LISTEN meridian") : 0;
}

/* ---- which region serves which database ---- */

static int
read_authority(struct watched *d, struct err *e)
{
	PGresult *r =
	    db_query(d->c, e,
		     "SELECT db, CASE WHEN decision IS NULL THEN '' ELSE serves END, newdb, "
		     "epoch FROM meridian.authority LIMIT " AUTHORITY_MAX,
		     0, NULL);
	struct route_row *rows, *before;
	size_t n, nbefore;

	if (r == NULL)
		return -1;
	n = (size_t)PQntuples(r);
	rows = xcalloc(n + 1, sizeof(*rows));
	for (size_t i = 0; i < n; i++) {
		rows[i] = (struct route_row){ .database = xstrdup(PQgetvalue(r, (int)i, 0)),
					      .place = xstrdup(PQgetvalue(r, (int)i, 1)),
					      .newdb = xstrdup(PQgetvalue(r, (int)i, 2)) };
		text_to_int(slice_str(PQgetvalue(r, (int)i, 3)), 0, INT64_MAX, &rows[i].epoch);
	}
	PQclear(r);
	pthread_mutex_lock(&d->r->lock);
	before = d->rows;
	nbefore = d->nrows;
	d->rows = rows;
	d->nrows = n;
	d->looked_us = clock_us();
	pthread_mutex_unlock(&d->r->lock);
	rows_free(before, nbefore);
	return 0;
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

/* Whether the death of its executor leaves something to be done: *rq. An ABORT that was ordered
 * before the death was noticed is done too. */
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

/* ---- migrations at rest ----
 *
 * No executor works on a migration that rests between two phases, and what it needs to go on may be
 * lost meanwhile. Every proxy looks; the one whose UPDATE of the row succeeds reports it, in
 * the journal and the log.
 */

/* The line `detail` of a row at rest is empty, or says why it cannot go on. */
static void
note_stall(struct watched *d, const struct migration *m, bool is_final, const char *why)
{
	const char *text = *why != '\0' ? why : "what stood still goes on";
	char *detail;
	struct err e;

	if (strcmp(m->detail, why) == 0) {
		d->stall_looks = 0;
		return;
	}
	if (!is_final && ++d->stall_looks < STALL_LOOKS)
		return;
	d->stall_looks = 0;
	if (store_set_detail(d->c, m, why, &e) <= 0)
		return;
	log_msg(*why != '\0' ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "migration %d: %s", m->id, text);
	detail = json_text(json_pack("{ss}", "text", text));
	if (journal_add(d->c, m, "watcher", JOURNAL_NOTICE, detail, &e) < 0)
		log_msg(LOG_LEVEL_WARNING, "migration %d: that is not in its journal: %s", m->id,
			e.msg);
	free(detail);
}

static void
look_for_stalls(struct watched *d)
{
	struct err e;
	PGresult *r = db_query(d->c, &e,
			       "SELECT uuid FROM meridian.migration WHERE is_home AND state IN"
			       " ('data-migrated', 'redirecting')",
			       0, NULL);

	for (int i = 0; r != NULL && i < PQntuples(r); i++) {
		struct buf why = { .cap = 1024 };
		const struct kind *k;
		bool is_final = false;
		struct migration m;

		if (store_load(d->c, PQgetvalue(r, i, 0), &m, &e) <= 0)
			continue;
		k = migrations_kind(d->r->w->ms, m.kind);
		if (k->stalled != NULL && k->stalled(d->c, &m, &is_final, &why, &e) == 0)
			note_stall(d, &m, is_final, buf_text(&why));
		buf_fini(&why);
		migration_fini(&m);
	}
	PQclear(r);
}

/* ---- one look ---- */

static int
look(struct watched *d, struct err *e)
{
	struct migrations *ms = d->r->w->ms;

	if (connect_to(d, e) < 0 || read_authority(d, e) < 0)
		return -1;
	if (d->active_us == 0)
		d->active_us = d->looked_us;
	if (db_is(d->c, &d->is_active, e,
		  "SELECT EXISTS (SELECT 1 FROM meridian.migration WHERE state NOT IN ('done', "
		  "'aborted', 'reversed'))",
		  0, NULL) < 0)
		return -1;
	if (d->is_active)
		fleet_proxy_heartbeat(ms, d);
	redirects_look(ms, d);
	if (d->is_active) {
		d->active_us = d->looked_us;
		look_for_dead(ms, d);
		look_for_stalls(d);
	}
	return PQstatus(d->c) == CONNECTION_OK ? 0 : db_error(d->c, NULL, e);
}

/* Silence is logged once, and its end. */
static void
note(struct watched *d, bool is_well, const struct err *e)
{
	if (is_well == !d->is_silent)
		return;
	d->is_silent = !is_well;
	if (is_well)
		log_msg(LOG_LEVEL_INFO, "migrations: database %s on %s answers again", d->at.dbname,
			d->at.node.name);
	else
		log_msg(LOG_LEVEL_WARNING,
			"migrations: database %s on %s does not say what its migrations need: %s",
			d->at.dbname, d->at.node.name, e->msg);
}

/* Whether a look is due. A node that cannot be reached is left to the region's thread. */
static bool
is_due(struct watched *d)
{
	unsigned asked = atomic_load(&d->r->w->asked);
	bool is_reached, at_once = asked != d->heard;
	int64_t now = clock_us();
	bool is_idle = !d->is_active && d->looked_us > 0 && now - d->looked_us < IDLE_US &&
		       (d->active_us == 0 || now - d->active_us >= RECENT_US);

	d->heard = asked;
	if (at_once)
		d->flush_us = 0;
	pthread_mutex_lock(&d->r->lock);
	is_reached = d->r->is_reached;
	pthread_mutex_unlock(&d->r->lock);
	return (is_reached || d->c != NULL) && (at_once || !is_idle);
}

static void
look_if_due(struct watched *d)
{
	struct err e;
	bool is_well;

	if (!is_due(d))
		return;
	is_well = look(d, &e) == 0;
	note(d, is_well, &e);
	/* Where nothing happens our connection does not keep the database in use (DROP DATABASE).
	 */
	if (!d->is_active || (d->c != NULL && PQstatus(d->c) != CONNECTION_OK))
		hang_up(d);
	pthread_mutex_lock(&d->r->lock);
	d->is_tried = true;
	pthread_mutex_unlock(&d->r->lock);
	watch_tell_routes(d->r);
}

void
watched_listen(struct watched *d, int64_t us)
{
	struct pollfd p = { .fd = PQsocket(d->c), .events = POLLIN };
	bool was_called = false;
	PGnotify *note;

	if (poll(&p, 1, (int)(us / USEC_PER_MSEC)) <= 0)
		return;
	if (PQconsumeInput(d->c) == 0) {
		hang_up(d);
		return;
	}
	while ((note = PQnotifies(d->c)) != NULL) {
		if (strcmp(note->extra, REDIRECTS_COLLECT) == 0) {
			atomic_fetch_add(&d->r->w->asked, 1);
			watch_wake(d->r->w);
		} else {
			was_called = true;
		}
		PQfreemem(note);
	}
	if (was_called)
		fleet_proxy_obey(d->r->w->ms, d);
}

void *
watched_main(void *arg)
{
	struct watched *d = arg;
	struct migrations *ms = d->r->w->ms;

	do
		look_if_due(d);
	while (watch_wait(d->r->w, d->heard, d));
	if (migrations_are_over(ms)) {
		redirects_forget_proxy(ms, d);
		fleet_proxy_leave(ms, d);
	}
	return NULL;
}
