/* SPDX-License-Identifier: PostgreSQL
 *
 * What this proxy does for executors on other proxies of the fleet (fleet.h): each order is a row
 * of meridian.freeze. Runs on a watcher's thread.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "migration/db.h"
#include "migration/fleet.h"
#include "migration/forecast.h"
#include "migration/gate.h"
#include "migration/watch.h"

#define PREWARM_US  (2 * USEC_PER_SEC)
#define REHEARSE_US (5 * USEC_PER_SEC)

/* A row of meridian.freeze. */
struct order {
	struct migrations *ms;
	struct watched *d; /* where the row is */
	const char *uuid, *what, *database, *from, *to, *newdb;
	int migration;
	int64_t attempt, epoch;
	int64_t left_us; /* until the order is void */
	int64_t wait_us; /* until transactions should have come to their end */
	int64_t at_us;   /* when it was given: by the clock of the database */
};

/* The last order of a migration that was obeyed. */
struct obeyed_order {
	struct obeyed_order *next;
	char uuid[UUID_SIZE];
	int64_t attempt, at_us;
	char what[16];
};

void
orders_free(struct obeyed_order *o)
{
	while (o != NULL) {
		struct obeyed_order *next = o->next;

		free(o);
		o = next;
	}
}

/* Whether the order is new; from now on it is not. */
static bool
is_new(struct watched *d, const struct order *o)
{
	struct obeyed_order *a = d->obeyed;

	while (a != NULL && strcmp(a->uuid, o->uuid) != 0)
		a = a->next;
	if (a == NULL) {
		a = xcalloc(1, sizeof(*a));
		snprintf(a->uuid, sizeof(a->uuid), "%s", o->uuid);
		a->next = d->obeyed;
		d->obeyed = a;
	} else if (a->attempt == o->attempt && a->at_us == o->at_us &&
		   strcmp(a->what, o->what) == 0) {
		return false;
	}
	a->attempt = o->attempt;
	a->at_us = o->at_us;
	snprintf(a->what, sizeof(a->what), "%s", o->what);
	return true;
}

/* ---- the orders ---- */

/* What will become of the sessions of this proxy: their logins are tried at the new node. */
static int
do_rehearse(const struct order *o, const struct gate_move *m, struct gate_counts *out,
	    struct err *e)
{
	const struct site *s = &o->ms->site;
	const struct gate_ops *gate = s->ops->gate;
	struct gate_logins *logins = gate->logins(s->arg, m);
	struct forecast f;

	(void)e;
	gate->rehearse(s->arg, logins, clock_us() + REHEARSE_US);
	forecast_make(s, m, logins, &f);
	out->sessions = f.sessions;
	out->closed = f.closed;
	out->kept = f.sessions - f.closed;
	for (size_t i = 0; i < f.reasons.n; i++)
		log_msg(LOG_LEVEL_WARNING, "migration %d: %s: %s", o->migration,
			f.reasons.v[i].object, f.reasons.v[i].detail);
	forecast_fini(&f);
	gate->logins_free(logins);
	return 0;
}

static int
do_prewarm(const struct order *o, const struct gate_move *m, struct gate_counts *out, struct err *e)
{
	const struct site *s = &o->ms->site;

	(void)out;
	return s->ops->gate->prewarm(s->arg, m, clock_us() + PREWARM_US, e);
}

static int
do_freeze(const struct order *o, const struct gate_move *m, struct gate_counts *out, struct err *e)
{
	const struct site *s = &o->ms->site;

	return s->ops->gate->freeze(s->arg, m, clock_us() + o->wait_us, out, e);
}

/* Takes hold of them. Rows of meridian.straggler, written before the order is acknowledged, tell
 * the executor: it reads them once, behind the acknowledgement. */
static int
do_stragglers(const struct order *o, const struct gate_move *m, struct gate_counts *out,
	      struct err *e)
{
	struct gate_straggler *v = xcalloc(FLEET_STRAGGLERS_MAX, sizeof(*v));
	const struct site *s = &o->ms->site;
	size_t n = s->ops->gate->stragglers(s->arg, m, v, FLEET_STRAGGLERS_MAX);
	PGconn *c = o->d->c;
	char *proxy = db_literal(c, s->ops->proxy_id(s->arg)), *uuid = db_literal(c, o->uuid);
	struct buf sql = { .cap = 0 };
	int rc;

	buf_str(&sql, "INSERT INTO meridian.straggler (uuid, attempt, proxy, session, pid, "
		      "in_flight, in_commit, in_block) VALUES ");
	for (size_t i = 0; i < n; i++)
		buf_printf(&sql, "%s(%s, %" PRId64 ", %s, '%" PRIu64 "', %" PRIu32 ", %s, %s, %s)",
			   i > 0 ? ", " : "", uuid, o->attempt, proxy, v[i].session, v[i].pid,
			   v[i].in_flight ? "true" : "false", v[i].in_commit ? "true" : "false",
			   v[i].in_block ? "true" : "false");
	buf_str(&sql, " ON CONFLICT (uuid, proxy, session) DO UPDATE SET attempt = "
		      "excluded.attempt, pid = excluded.pid, in_flight = excluded.in_flight, "
		      "in_commit = excluded.in_commit, in_block = excluded.in_block, outcome = "
		      "NULL");
	rc = n > 0 ? db_exec(c, e, buf_text(&sql)) : 0;
	out->open = (unsigned)n;
	buf_fini(&sql);
	free(proxy);
	free(uuid);
	free(v);
	return rc;
}

/* What became of them is in those rows now. */
static int
do_settle(const struct order *o, const struct gate_move *m, struct gate_counts *out, struct err *e)
{
	const struct site *s = &o->ms->site;
	char attempt[24];
	const char *params[] = { o->uuid, s->ops->proxy_id(s->arg), attempt };
	struct gate_straggler *v;
	PGresult *r;
	size_t n;

	snprintf(attempt, sizeof(attempt), "%" PRId64, o->attempt);
	r = db_query(o->d->c, e,
		     "SELECT session, outcome FROM meridian.straggler WHERE uuid = $1 AND proxy = "
		     "$2 AND attempt = CAST($3 AS int8) AND outcome IS NOT NULL",
		     3, params);
	if (r == NULL)
		return -1;
	n = (size_t)PQntuples(r);
	v = xcalloc(n + 1, sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		int what = atoi(PQgetvalue(r, (int)i, 1));

		v[i].session = strtoull(PQgetvalue(r, (int)i, 0), NULL, 10);
		v[i].outcome = what == GATE_ABORTED     ? GATE_ABORTED
			       : what == GATE_COMMITTED ? GATE_COMMITTED
							: GATE_UNKNOWN;
	}
	PQclear(r);
	if (n > 0)
		s->ops->gate->settle(s->arg, m, v, n);
	out->aborted = (unsigned)n;
	free(v);
	return 0;
}

static int
do_switch(const struct order *o, const struct gate_move *m, struct gate_counts *out, struct err *e)
{
	const struct site *s = &o->ms->site;

	s->ops->serve(s->arg, m->database, m->to, o->newdb, o->epoch);
	return s->ops->gate->switch_over(s->arg, m, out, e);
}

static int
do_resume(const struct order *o, const struct gate_move *m, struct gate_counts *out, struct err *e)
{
	const struct site *s = &o->ms->site;

	(void)out;
	(void)e;
	s->ops->gate->resume(s->arg, m);
	return 0;
}

static const struct {
	const char *word;
	bool expires; /* it is not worth doing when its time is over */
	bool freezes;
	int (*act)(const struct order *o, const struct gate_move *m, struct gate_counts *out,
		   struct err *e);
} words[] = {
	{ "rehearse", true, false, do_rehearse }, { "prewarm", true, false, do_prewarm },
	{ "freeze", true, true, do_freeze },      { "stragglers", true, true, do_stragglers },
	{ "settle", false, true, do_settle },     { "switch", false, false, do_switch },
	{ "resume", false, false, do_resume },
};

/* ---- rows ---- */

static void
acknowledge(struct migrations *ms, struct watched *d, const struct order *o, bool is_frozen,
	    const struct gate_counts *n)
{
	char attempt[24], mig[16];
	const char *params[] = { o->uuid, ms->site.ops->proxy_id(ms->site.arg), attempt, o->what,
				 is_frozen ? mig : NULL };
	struct err e;
	char sql[640];

	snprintf(attempt, sizeof(attempt), "%" PRId64, o->attempt);
	snprintf(mig, sizeof(mig), "%d", o->migration);
	snprintf(
	    sql, sizeof(sql),
	    "WITH p AS (UPDATE meridian.proxy SET frozen_for = CAST($5 AS int), heartbeat = "
	    "clock_timestamp() WHERE id = $2 RETURNING 1) INSERT INTO meridian.freeze_ack (uuid, "
	    "proxy, attempt, what, at, sessions, open, kept, closed, aborted) VALUES ($1, $2, "
	    "CAST($3 AS int8), $4, clock_timestamp(), %u, %u, %u, %u, %u) ON CONFLICT (uuid, "
	    "proxy) DO UPDATE SET attempt = excluded.attempt, what = excluded.what, at = "
	    "excluded.at, sessions = excluded.sessions, open = excluded.open, kept = "
	    "excluded.kept, closed = excluded.closed, aborted = excluded.aborted",
	    n->sessions, n->open, n->kept, n->closed, n->aborted);
	if (db_change(d->c, &e, sql, 5, params) < 0)
		log_msg(LOG_LEVEL_WARNING, "migration %d: cannot answer %s: %s", o->migration,
			o->what, e.msg);
}

static void
obey(struct migrations *ms, struct watched *d, const struct order *o)
{
	struct gate_move m = { .migration = o->migration,
			       .attempt = (uint64_t)o->attempt,
			       .database = o->database,
			       .from = o->from,
			       .to = o->to,
			       .newdb = *o->newdb != '\0' ? o->newdb : NULL,
			       .expires_us = o->left_us };
	struct gate_counts n = { 0 };
	struct err e;

	/* An executor in this process calls the gate itself. */
	if (executor_is_here(ms, o->uuid) || !is_new(d, o))
		return;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(words[i].word, o->what) != 0 || (words[i].expires && o->left_us <= 0))
			continue;
		if (words[i].act(o, &m, &n, &e) < 0)
			log_msg(LOG_LEVEL_WARNING, "migration %d: %s: %s", o->migration, o->what,
				e.msg);
		else
			acknowledge(ms, d, o, words[i].freezes, &n);
	}
}

void
fleet_proxy_obey(struct migrations *ms, struct watched *d)
{
	struct err e;
	PGresult *r;

	r = db_query(
	    d->c, &e,
	    "SELECT uuid, what, db, src, dst, newdb, mig, attempt, epoch, CAST(extract(epoch "
	    "FROM expires - clock_timestamp()) * 1000000 AS int8), CAST(extract(epoch FROM "
	    "until - clock_timestamp()) * 1000000 AS int8), CAST(extract(epoch FROM at) * "
	    "1000000 AS int8) FROM meridian.freeze WHERE at > clock_timestamp() - interval '1 "
	    "hour'",
	    0, NULL);
	for (int i = 0; r != NULL && i < PQntuples(r); i++) {
		struct order o = { .ms = ms,
				   .d = d,
				   .uuid = PQgetvalue(r, i, 0),
				   .what = PQgetvalue(r, i, 1),
				   .database = PQgetvalue(r, i, 2),
				   .from = PQgetvalue(r, i, 3),
				   .to = PQgetvalue(r, i, 4),
				   .newdb = PQgetvalue(r, i, 5),
				   .migration = atoi(PQgetvalue(r, i, 6)) };
		int64_t *const numbers[] = { &o.attempt, &o.epoch, &o.left_us, &o.wait_us,
					     &o.at_us };

		for (int f = 0; f < 5; f++)
			text_to_int(slice_str(PQgetvalue(r, i, 7 + f)), INT64_MIN, INT64_MAX,
				    numbers[f]);
		obey(ms, d, &o);
	}
	PQclear(r);
}

void
fleet_proxy_heartbeat(struct migrations *ms, struct watched *d)
{
	const struct site_ops *ops = ms->site.ops;
	const char *params[] = { ops->proxy_id(ms->site.arg), ops->proxy_address(ms->site.arg),
				 ops->proxy_region(ms->site.arg) };
	struct err e;

	(void)db_change(
	    d->c, &e,
	    "INSERT INTO meridian.proxy (id, addr, region, heartbeat) VALUES ($1, $2, $3, "
	    "clock_timestamp()) ON CONFLICT (id) DO UPDATE SET addr = excluded.addr, region "
	    "= excluded.region, heartbeat = excluded.heartbeat",
	    3, params);
	fleet_proxy_obey(ms, d);
}

void
fleet_proxy_leave(struct migrations *ms, struct watched *d)
{
	const char *params[] = { ms->site.ops->proxy_id(ms->site.arg) };
	struct err e;

	if (d->c != NULL)
		(void)db_change(d->c, &e,
				"DELETE FROM meridian.proxy WHERE id = $1 OR heartbeat < "
				"clock_timestamp() - interval '1 day'",
				1, params);
}
