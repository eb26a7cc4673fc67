/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/redirect.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/utf8.h"
#include "migration/db.h"
#include "migration/gate.h"
#include "migration/options.h"
#include "migration/watch.h"

#define FLUSH_US  (10 * USEC_PER_SEC)
#define ROWS_MAX  "10000" /* of one migration, all proxies together */
#define KEPT_DAYS "60"
#define TRIM_EACH 32 /* flushes */

#define ASK_US     (2 * USEC_PER_SEC)
#define ASK_NAP_US (10 * USEC_PER_MSEC)
#define FRESH      "5 seconds" /* a proxy whose heartbeat is older does not count */

/* ---- which ---- */

/* The newest event of the journal says whether the database was moved, or moved back. */
static const char read_sql[] =
    "SELECT m.uuid, m.id, m.db, m.src, m.dst, m.newdb, m.options, m.state, "
    "CAST(extract(epoch FROM j.at) * 1000000 AS int8), CAST(extract(epoch FROM m.finished_at) "
    "* 1000000 AS int8), CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS int8) FROM "
    "meridian.migration m LEFT JOIN LATERAL (SELECT at, detail->>'state' AS state FROM "
    "meridian.journal WHERE uuid = m.uuid AND event = 'state' AND detail->>'state' IN "
    "('redirecting', 'reversed') ORDER BY seq DESC LIMIT 1) j ON true WHERE m.kind = 'move' AND "
    "m.is_home AND m.state IN ('switched', 'redirecting', 'reversing', 'completing', 'done', "
    "'error', 'paused') AND (m.state = 'switched' OR j.state = 'redirecting') AND NOT EXISTS "
    "(SELECT 1 FROM meridian.authority a WHERE a.db = m.db AND a.decision = 'away' AND a.serves "
    "<> m.dst) ORDER BY m.created_at DESC LIMIT 100";

static int64_t
number_at(const PGresult *r, int row, int column)
{
	int64_t n = 0;

	if (!PQgetisnull(r, row, column))
		text_to_int(slice_str(PQgetvalue(r, row, column)), 0, INT64_MAX, &n);
	return n;
}

/* COMPLETE ends it early. */
static void
set_end(struct redirect *out, const PGresult *r, int row)
{
	struct err ignored;
	const struct migration_option *o =
	    migration_option_find(KIND_MOVE, "redirect_until", &ignored);
	int64_t begun = number_at(r, row, 8), finished = number_at(r, row, 9), until;
	json_t *options;
	const char *said;
	time_t seconds;
	struct tm tm;

	if (begun == 0)
		return;
	options = json_loads(PQgetvalue(r, row, 6), 0, NULL);
	said = json_string_value(json_object_get(options, o->name));
	until = begun + migration_option_usec(said != NULL ? said : o->standard);
	json_decref(options);
	if (strcmp(PQgetvalue(r, row, 7), "done") == 0 && finished > 0 && finished < until)
		until = finished;
	out->ends = true;
	out->left_us = until - number_at(r, row, 10);
	seconds = (time_t)(until / USEC_PER_SEC);
	if (gmtime_r(&seconds, &tm) != NULL)
		(void)strftime(out->until, sizeof(out->until), "%Y-%m-%d %H:%M:%S+00", &tm);
}

static void
add_row(struct redirects *out, const PGresult *r, int row)
{
	struct redirect *v;

	for (size_t i = 0; i < out->n; i++)
		if (strcmp(out->v[i].database, PQgetvalue(r, row, 2)) == 0 &&
		    strcmp(out->v[i].from, PQgetvalue(r, row, 3)) == 0)
			return;
	out->v = xreallocarray(out->v, out->n + 1, sizeof(*out->v));
	v = &out->v[out->n++];
	*v = (struct redirect){ .migration = atoi(PQgetvalue(r, row, 1)),
				.database = xstrdup(PQgetvalue(r, row, 2)),
				.from = xstrdup(PQgetvalue(r, row, 3)),
				.to = xstrdup(PQgetvalue(r, row, 4)),
				.newdb = xstrdup(PQgetvalue(r, row, 5)) };
	(void)text_copy(v->uuid, sizeof(v->uuid), slice_str(PQgetvalue(r, row, 0)));
	set_end(v, r, row);
}

int
redirects_read(PGconn *c, struct redirects *out, struct err *e)
{
	PGresult *r = db_query(c, e, read_sql, 0, NULL);

	*out = (struct redirects){ 0 };
	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++)
		add_row(out, r, i);
	PQclear(r);
	return 0;
}

void
redirects_fini(struct redirects *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].database);
		free(r->v[i].from);
		free(r->v[i].to);
		free(r->v[i].newdb);
	}
	free(r->v);
	*r = (struct redirects){ 0 };
}

/* ---- our part of the callers ---- */

struct part_row {
	char *addr, *user, *application;
	int64_t logins, refused, age_us;
	int sessions;
};

struct part {
	struct part_row *v;
	size_t n;
};

/* Beyond the bound all further clients are one row without a name. */
static struct part_row *
row_of(struct part *p, const char *addr, const char *user, const char *application)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->v[i].addr, addr) == 0 && strcmp(p->v[i].user, user) == 0 &&
		    strcmp(p->v[i].application, application) == 0)
			return &p->v[i];
	if (p->n >= REDIRECT_CALLERS_MAX && *addr != '\0')
		return row_of(p, "", "", "");
	p->v = xreallocarray(p->v, p->n + 1, sizeof(*p->v));
	p->v[p->n] = (struct part_row){ .addr = xstrdup(addr),
					.user = xstrdup(user),
					.application = xstrdup(application),
					.age_us = INT64_MAX };
	return &p->v[p->n++];
}

static void
add_caller(void *to, const struct redirect_caller *c)
{
	struct part_row *row = row_of(to, c->addr, c->user, c->application);

	row->logins += c->logins;
	row->refused += c->refused;
	if (c->age_us < row->age_us)
		row->age_us = c->age_us;
}

static void
add_session(void *to, const struct gate_session *s)
{
	struct part_row *row = row_of(to, s->client_addr, s->user, s->application_name);

	row->sessions++;
	row->age_us = 0;
}

/* Names are whatever clients say. */
static json_t *
text_of(const char *said)
{
	struct buf b = { .cap = 4096 };
	json_t *text;

	utf8_put(&b, slice_str(said));
	text = json_string(buf_text(&b));
	buf_fini(&b);
	return text;
}

static char *
json_of(const struct part *p)
{
	json_t *list = json_array();
	char *text;

	for (size_t i = 0; i < p->n; i++) {
		const struct part_row *v = &p->v[i];

		json_array_append_new(
		    list,
		    json_pack("{so,so,so,sI,sI,si,sI}", "addr", text_of(v->addr), "usr",
			      text_of(v->user), "application", text_of(v->application), "logins",
			      (json_int_t)v->logins, "refused", (json_int_t)v->refused, "sessions",
			      v->sessions, "age", (json_int_t)(v->age_us / USEC_PER_MSEC)));
	}
	text = json_dumps(list, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(list);
	return text;
}

/* One way there and back, however many they are. */
static const char flush_sql[] =
    "WITH x AS (SELECT * FROM json_to_recordset(CAST($3 AS json)) AS x(addr text, usr text, "
    "application text, logins int8, refused int8, sessions int, age int8)), gone AS (UPDATE "
    "meridian.redirect r SET sessions = 0 WHERE r.uuid = $1 AND r.proxy = $2 AND r.sessions <> 0 "
    "AND NOT EXISTS (SELECT 1 FROM x WHERE x.addr = r.addr AND x.usr = r.usr AND x.application = "
    "r.application)) INSERT INTO meridian.redirect AS r (uuid, proxy, addr, usr, application, "
    "sessions, logins, refused, last_seen) SELECT $1, $2, addr, usr, application, "
    "sum(sessions), sum(logins), sum(refused), clock_timestamp() - min(age) * interval '1 ms' "
    "FROM x GROUP BY addr, usr, application ON CONFLICT (uuid, proxy, addr, usr, application) DO "
    "UPDATE SET sessions = excluded.sessions, logins = r.logins + excluded.logins, refused = "
    "r.refused + excluded.refused, last_seen = greatest(r.last_seen, excluded.last_seen)";

static const char trim_sql[] =
    "DELETE FROM meridian.redirect r WHERE r.uuid = $1 AND (r.last_seen < clock_timestamp() - "
    "interval '" KEPT_DAYS " days' OR r.last_seen < (SELECT o.last_seen FROM meridian.redirect o "
    "WHERE o.uuid = $1 ORDER BY o.last_seen DESC OFFSET " ROWS_MAX " LIMIT 1))";

int
redirect_flush(struct migrations *ms, PGconn *c, const struct redirect *r, bool look, struct err *e)
{
	const struct site *s = &ms->site;
	const struct gate_move move = { .migration = r->migration,
					.database = r->database,
					.from = r->to,
					.to = r->from,
					.newdb = *r->newdb != '\0' ? r->newdb : NULL };
	const char *params[] = { r->uuid, s->ops->proxy_id(s->arg), NULL };
	struct part p = { 0 };
	char *json;
	int rc;

	if (s->ops->redirects == NULL || !s->ops->redirects->is_entrance(s->arg, r->from, r->to))
		return 0;
	s->ops->redirects->take(s->arg, r->uuid, add_caller, &p);
	if (look)
		s->ops->gate->sessions(s->arg, &move, add_session, &p);
	json = json_of(&p);
	params[2] = json;
	rc = db_change(c, e, flush_sql, 3, params) < 0 ? -1 : 0;
	free(json);
	for (size_t i = 0; i < p.n; i++) {
		struct part_row *v = &p.v[i];
		const struct redirect_caller caller = { v->addr,   v->user,    v->application,
							v->logins, v->refused, v->age_us };

		if (rc < 0 && v->logins + v->refused > 0)
			s->ops->redirects->put(s->arg, r->uuid, &caller);
		free(v->addr);
		free(v->user);
		free(v->application);
	}
	free(p.v);
	return rc;
}

void
redirects_collect(struct migrations *ms, PGconn *home, PGconn *square)
{
	static const char missing[] =
	    "SELECT count(*) FROM unnest(CAST($1 AS text[])) AS i(id) WHERE NOT EXISTS (SELECT 1 "
	    "FROM meridian.proxy p WHERE p.id = i.id AND p.callers_at >= CAST($2 AS "
	    "timestamptz))";
	const char *me[] = { ms->site.ops->proxy_id(ms->site.arg) };
	char *ids = NULL, *asked = NULL;
	struct err ignored;

	/* The ids of the live proxies without ours, as an SQL array. */
	if (db_value(square, &ids, &ignored,
		     "SELECT array_agg(id) FROM meridian.proxy WHERE id <> $1 AND heartbeat > "
		     "clock_timestamp() - interval '" FRESH "' HAVING count(*) > 0",
		     1, me) > 0 &&
	    db_value(home, &asked, &ignored, "SELECT clock_timestamp()", 0, NULL) > 0 &&
	    db_exec(square, &ignored, "NOTIFY meridian, '" REDIRECTS_COLLECT "'") == 0) {
		const char *params[] = { ids, asked };
		int64_t until = clock_us() + ASK_US, left;

		while (db_int(home, &left, &ignored, missing, 2, params) == 0 && left > 0 &&
		       clock_us() < until)
			clock_sleep(ASK_NAP_US);
	}
	free(asked);
	free(ids);
}

int
redirect_hosts(PGconn *c, const struct redirect *r, int64_t *out, struct err *e)
{
	const char *params[] = { r->uuid };

	return db_int(c, out, e,
		      "SELECT count(DISTINCT addr) FROM meridian.redirect WHERE uuid = $1 AND "
		      "last_seen > clock_timestamp() - interval '1 day'",
		      1, params);
}

/* ---- the watcher's ---- */

static void
flush_all(struct migrations *ms, struct watched *d, const struct redirects *all, bool look)
{
	const char *me[] = { ms->site.ops->proxy_id(ms->site.arg) };
	struct err e;

	for (size_t i = 0; i < all->n; i++) {
		const char *params[] = { all->v[i].uuid };

		if (redirect_flush(ms, d->c, &all->v[i], look, &e) < 0)
			log_msg(LOG_LEVEL_DEBUG, "migration %d: its callers are not written: %s",
				all->v[i].migration, e.msg);
		else if (d->flushes % TRIM_EACH == 0)
			(void)db_change(d->c, &e, trim_sql, 1, params);
	}
	(void)db_change(d->c, &e,
			"UPDATE meridian.proxy SET callers_at = clock_timestamp() WHERE id = $1", 1,
			me);
}

void
redirects_look(struct migrations *ms, struct watched *d)
{
	const struct site *s = &ms->site;
	struct redirects all;
	struct err e;
	char *told_by;

	if (s->ops->redirects == NULL || redirects_read(d->c, &all, &e) < 0)
		return;
	told_by = xasprintf("%s/%s", d->at.node.region, d->at.dbname);
	s->ops->redirects->set(s->arg, told_by, all.v, all.n);
	free(told_by);
	if (all.n > 0 && clock_us() >= d->flush_us) {
		flush_all(ms, d, &all, true);
		d->flush_us = clock_us() + FLUSH_US;
		d->flushes++;
	}
	redirects_fini(&all);
}

void
redirects_forget_proxy(struct migrations *ms, struct watched *d)
{
	struct redirects all;
	struct err e;

	if (ms->site.ops->redirects == NULL || d->c == NULL || redirects_read(d->c, &all, &e) < 0)
		return;
	flush_all(ms, d, &all, false);
	redirects_fini(&all);
}
