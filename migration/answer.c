/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "migration/answer_int.h"
#include "migration/db.h"
#include "migration/forecast.h"
#include "migration/gate.h"

#define PREWARM_US  (2 * USEC_PER_SEC)
#define REHEARSE_US (5 * USEC_PER_SEC)

/* The last thing that was done for a migration. */
struct answers {
	struct answers *next;
	char uuid[UUID_SIZE];
	int64_t attempt, at_us;
	char what[16];
};

void
answers_free(struct answers *a)
{
	while (a != NULL) {
		struct answers *next = a->next;

		free(a);
		a = next;
	}
}

/* Whether it is new; it is not from now on. */
static bool
is_new(struct watched *d, const struct asked *q)
{
	struct answers *a = d->answers;

	while (a != NULL && strcmp(a->uuid, q->uuid) != 0)
		a = a->next;
	if (a == NULL) {
		a = xcalloc(1, sizeof(*a));
		snprintf(a->uuid, sizeof(a->uuid), "%s", q->uuid);
		a->next = d->answers;
		d->answers = a;
	} else if (a->attempt == q->attempt && a->at_us == q->at_us &&
		   strcmp(a->what, q->what) == 0) {
		return false;
	}
	a->attempt = q->attempt;
	a->at_us = q->at_us;
	snprintf(a->what, sizeof(a->what), "%s", q->what);
	return true;
}

/* ---- words ---- */

static int
do_rehearse(const struct asked *q, const struct gate_move *m, struct gate_counts *out,
	    struct err *e)
{
	const struct site *s = &q->ms->site;
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
		log_msg(LOG_LEVEL_WARNING, "migration %d: %s: %s", q->migration,
			f.reasons.v[i].object, f.reasons.v[i].detail);
	forecast_fini(&f);
	gate->logins_free(logins);
	return 0;
}

static int
do_prewarm(const struct asked *q, const struct gate_move *m, struct gate_counts *out, struct err *e)
{
	const struct site *s = &q->ms->site;

	(void)out;
	return s->ops->gate->prewarm(s->arg, m, clock_us() + PREWARM_US, e);
}

static int
do_freeze(const struct asked *q, const struct gate_move *m, struct gate_counts *out, struct err *e)
{
	const struct site *s = &q->ms->site;

	return s->ops->gate->freeze(s->arg, m, clock_us() + q->wait_us, out, e);
}

static int
do_switch(const struct asked *q, const struct gate_move *m, struct gate_counts *out, struct err *e)
{
	const struct site *s = &q->ms->site;

	s->ops->serve(s->arg, m->database, m->to, q->newdb, q->epoch);
	return s->ops->gate->switch_over(s->arg, m, out, e);
}

static int
do_resume(const struct asked *q, const struct gate_move *m, struct gate_counts *out, struct err *e)
{
	const struct site *s = &q->ms->site;

	(void)out;
	(void)e;
	s->ops->gate->resume(s->arg, m);
	return 0;
}

static const struct {
	const char *word;
	bool expires; /* not worth doing when its time is over */
	bool freezes;
	int (*act)(const struct asked *q, const struct gate_move *m, struct gate_counts *out,
		   struct err *e);
} words[] = {
	{ "rehearse", true, false, do_rehearse }, { "prewarm", true, false, do_prewarm },
	{ "freeze", true, true, do_freeze },      { "stragglers", true, true, answer_stragglers },
	{ "settle", false, true, answer_settle }, { "switch", false, false, do_switch },
	{ "resume", false, false, do_resume },
};

/* ---- rows ---- */

static void
acknowledge(struct migrations *ms, struct watched *d, const struct asked *q, bool is_frozen,
	    const struct gate_counts *n)
{
	char attempt[24], mig[16];
	const char *params[] = { q->uuid, ms->site.ops->proxy_id(ms->site.arg), attempt, q->what,
				 is_frozen ? mig : NULL };
	struct err e;
	PGresult *r;
	char sql[640];

	snprintf(attempt, sizeof(attempt), "%" PRId64, q->attempt);
	snprintf(mig, sizeof(mig), "%d", q->migration);
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
	r = db_query(d->c, &e, sql, 5, params);
	if (r == NULL)
		log_msg(LOG_LEVEL_WARNING, "migration %d: cannot answer %s: %s", q->migration,
			q->what, e.msg);
	PQclear(r);
}

static void
answer(struct migrations *ms, struct watched *d, const struct asked *q)
{
	struct gate_move m = { .migration = q->migration,
			       .attempt = (uint64_t)q->attempt,
			       .database = q->database,
			       .from = q->from,
			       .to = q->to,
			       .newdb = *q->newdb != '\0' ? q->newdb : NULL,
			       .expires_us = q->left_us };
	struct gate_counts n = { 0 };
	struct err e;

	/* The executor of this process asks its own gate itself. */
	if (executor_is_here(ms, q->uuid) || !is_new(d, q))
		return;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(words[i].word, q->what) != 0 || (words[i].expires && q->left_us <= 0))
			continue;
		if (words[i].act(q, &m, &n, &e) < 0)
			log_msg(LOG_LEVEL_WARNING, "migration %d: %s: %s", q->migration, q->what,
				e.msg);
		else
			acknowledge(ms, d, q, words[i].freezes, &n);
	}
}

void
answers_give(struct migrations *ms, struct watched *d)
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
		struct asked q = { .ms = ms,
				   .d = d,
				   .uuid = PQgetvalue(r, i, 0),
				   .what = PQgetvalue(r, i, 1),
				   .database = PQgetvalue(r, i, 2),
				   .from = PQgetvalue(r, i, 3),
				   .to = PQgetvalue(r, i, 4),
				   .newdb = PQgetvalue(r, i, 5),
				   .migration = atoi(PQgetvalue(r, i, 6)) };
		int64_t *const numbers[] = { &q.attempt, &q.epoch, &q.left_us, &q.wait_us,
					     &q.at_us };

		for (int f = 0; f < 5; f++)
			text_to_int(slice_str(PQgetvalue(r, i, 7 + f)), INT64_MIN, INT64_MAX,
				    numbers[f]);
		answer(ms, d, &q);
	}
	PQclear(r);
}

void
answers_beat(struct migrations *ms, struct watched *d)
{
	const struct site_ops *ops = ms->site.ops;
	const char *params[] = { ops->proxy_id(ms->site.arg), ops->proxy_address(ms->site.arg),
				 ops->proxy_region(ms->site.arg) };
	struct err e;
	PGresult *r;

	r = db_query(
	    d->c, &e,
	    "INSERT INTO meridian.proxy (id, addr, region, heartbeat) VALUES ($1, $2, $3, "
	    "clock_timestamp()) ON CONFLICT (id) DO UPDATE SET addr = excluded.addr, region "
	    "= excluded.region, heartbeat = excluded.heartbeat",
	    3, params);
	PQclear(r);
	answers_give(ms, d);
}

void
answers_leave(struct migrations *ms, struct watched *d)
{
	const char *params[] = { ms->site.ops->proxy_id(ms->site.arg) };
	struct err e;

	if (d->c != NULL)
		PQclear(db_query(d->c, &e,
				 "DELETE FROM meridian.proxy WHERE id = $1 OR heartbeat < "
				 "clock_timestamp() - interval '1 day'",
				 1, params));
}
