/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW: what the control schemas, the kinds and the gate know, of one migration (columns:
 * migration/topics.h) and of all (SHOW REDIRECTS, AUTHORITY, EXECUTORS); and what FINALIZE and
 * COMPLETE say of clients that still enter by the region that was left.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "migration/command_int.h"
#include "migration/db.h"
#include "migration/gate.h"
#include "migration/journal.h"
#include "migration/migrations_int.h"
#include "migration/options.h"
#include "migration/redirect.h"
#include "protocol/sqlstate.h"

#define LOG_BATCH 500
#define FRESH     "40 seconds" /* clients with a session are written every ten seconds */

static void
tell_unreached(struct command_run *c, const struct err *why)
{
	if (why->msg[0] != '\0')
		command_notice(c, "not every place could be asked: %s", why->msg);
}

/* ---- SHOW MIGRATIONS ---- */

/* SQL's LIKE: % any text, _ any character, \ takes its meaning away. */
static bool
is_like(const char *text, const char *pattern)
{
	for (; *pattern != '\0'; pattern++, text++) {
		if (*pattern == '%') {
			for (;; text++) {
				if (is_like(text, pattern + 1))
					return true;
				if (*text == '\0')
					return false;
			}
		}
		if (*text == '\0')
			return false;
		if (*pattern == '_')
			continue;
		if (*pattern == '\\' && pattern[1] != '\0')
			pattern++;
		if (*pattern != *text)
			return false;
	}
	return *text == '\0';
}

static void
list_row(void *to, const struct migration_at *at)
{
	struct command_run *c = to;
	const struct migration *m = &at->m;
	const char *state = migration_state_name(m->state), *wanted = c->rq->argument2;
	size_t n = wanted != NULL ? strlen(wanted) : 0;
	const char *more[] = { m->database, or_null(m->created_by), or_null(m->created_at),
			       or_null(m->finished_at), m->uuid };

	if (c->rq->argument != NULL && !is_like(m->name, c->rq->argument))
		return;
	/* "running" means every "running(…)". */
	if (wanted != NULL &&
	    (strncasecmp(state, wanted, n) != 0 || (state[n] != '\0' && state[n] != '(')))
		return;
	command_put_row(c, m, more, sizeof(more) / sizeof(more[0]));
}

int
command_list(struct command_run *c, struct err *e)
{
	struct err unreached = { .msg = "" };

	(void)e;
	migrations_list(c->ms, list_row, c, &unreached);
	tell_unreached(c, &unreached);
	return 0;
}

int
command_show(struct command_run *c, struct err *e)
{
	(void)e;
	command_row(c, &c->at.m);
	return 0;
}

/* ---- of one migration ---- */

static void
step_row(struct command_run *c, const struct step_row *r)
{
	char n[16], attempt[16];
	const char *values[] = { n,
				 r->phase,
				 r->place,
				 r->name,
				 r->label,
				 r->class,
				 step_state_name(r->state),
				 attempt,
				 or_null(r->started),
				 or_null(r->ended),
				 or_null(r->error) };

	snprintf(n, sizeof(n), "%d", r->n);
	snprintf(attempt, sizeof(attempt), "%d", r->attempt);
	ROW(c, values);
}

int
command_show_steps(struct command_run *c, struct err *e)
{
	struct step_rows rows;
	struct job *j;
	struct plan plan = { 0 };
	bool is_frozen;
	int rc;

	if (c->at.m.plan_hash[0] == '\0') {
		/* Before the first RUN the plan is what it would be. */
		j = job_open(c->ms, &c->at.m, e);
		rc = j != NULL ? job_plan(j, &plan, &is_frozen, e) : -1;
		for (size_t i = 0; i < plan.n && rc == 0; i++) {
			const struct migration_step *s = &plan.v[i];
			struct step_row r = {
				.n = s->n,
				.phase = (char *)(uintptr_t)migration_phase_name(s->def->phase),
				.place = s->place,
				.name = (char *)(uintptr_t)s->def->name,
				.label = s->label,
				.class = (char *)(uintptr_t)step_class_name(s->def->class),
				.state = s->state
			};

			step_row(c, &r);
		}
		plan_fini(&plan);
		job_close(j);
		return rc;
	}
	if (store_steps(c->at.db, c->at.m.uuid, &rows, e) != 0)
		return -1;
	for (size_t i = 0; i < rows.n; i++)
		step_row(c, &rows.v[i]);
	step_rows_fini(&rows);
	return 0;
}

int
command_show_checks(struct command_run *c, struct err *e)
{
	struct checks found = { 0 };

	if (c->at.m.checks[0] != '\0' && !checks_parse(&found, c->at.m.checks))
		return err_set(e, SQLSTATE_INTERNAL_ERROR, "the checks in the row cannot be read");
	for (int severity = CHECK_ERROR; severity >= CHECK_INFO; severity--)
		for (size_t i = 0; i < found.n; i++) {
			const struct check *v = &found.v[i];
			const char *values[] = { check_severity_name(v->severity), v->check,
						 or_null(v->object), or_null(v->detail),
						 or_null(v->fix) };

			if ((int)v->severity == severity)
				ROW(c, values);
		}
	checks_fini(&found);
	return 0;
}

static void
log_row(void *to, const struct journal_row *row)
{
	struct command_run *c = to;
	char seq[24];
	const char *values[] = { seq, row->at, or_null(row->actor), row->event, row->detail };

	snprintf(seq, sizeof(seq), "%lld", (long long)row->seq);
	ROW(c, values);
}

int
command_show_log(struct command_run *c, struct err *e)
{
	int64_t last = 0, before;

	do {
		before = last;
		if (journal_read(c->at.db, c->at.m.uuid, last, LOG_BATCH, log_row, c, &last, e) !=
		    0)
			return -1;
	} while (last > before && !command_is_cancelled(c));
	return 0;
}

/* ---- options ---- */

static const char *
value_of(const json_t *options, const struct migration_option *o)
{
	const char *value = json_string_value(json_object_get(options, o->name));

	return value != NULL ? value : o->standard;
}

int
command_show_options(struct command_run *c, struct err *e)
{
	json_t *options = json_loads(c->at.m.options, 0, NULL);

	(void)e;
	for (const struct migration_option *o = migration_options; o->name != NULL; o++) {
		bool is_set = json_object_get(options, o->name) != NULL;
		char until[64];
		const char *values[] = { o->name,     value_of(options, o),
					 o->standard, is_set ? "t" : "f",
					 until,       o->help };

		snprintf(until, sizeof(until), "%s%s", o->live ? "at any time" : "until ",
			 o->live ? "" : migration_phase_name(o->until));
		if ((o->kinds & 1u << c->at.m.kind) != 0)
			ROW(c, values);
	}
	json_decref(options);
	return 0;
}

int
command_show_option(struct command_run *c, struct err *e)
{
	const struct migration_option *o = migration_option_find(c->at.m.kind, c->rq->argument, e);
	json_t *options;
	const char *value;

	if (o == NULL)
		return -1;
	options = json_loads(c->at.m.options, 0, NULL);
	value = value_of(options, o);
	c->sink->row(c->sink->arg, &value, 1);
	json_decref(options);
	return 0;
}

/* ---- what the kinds know ---- */

static const struct {
	enum migration_verb verb;
	enum show_topic topic;
} topics[] = {
	{ VERB_SHOW_TABLES, SHOW_TABLES }, { VERB_SHOW_SEQUENCES, SHOW_SEQUENCES },
	{ VERB_SHOW_LAG, SHOW_LAG },       { VERB_SHOW_SESSIONS, SHOW_SESSIONS },
	{ VERB_SHOW_IMPACT, SHOW_IMPACT }, { VERB_SHOW_FILES, SHOW_MATRIX },
};

int
command_show_kind(struct command_run *c, struct err *e)
{
	const struct rows_sink out = { c->sink->row, c->sink->arg };
	struct job *j = job_open(c->ms, &c->at.m, e);
	int rc = -1;

	for (size_t i = 0; j != NULL && i < sizeof(topics) / sizeof(topics[0]); i++) {
		if (topics[i].verb != c->rq->verb)
			continue;
		if (job_kind(j)->show != NULL)
			rc = job_kind(j)->show(j, topics[i].topic, &out, e);
		else
			err_set(e, SQLSTATE_FEATURE_NOT_SUPPORTED,
				"a migration of kind %s has nothing to show there",
				migration_kind_name(c->at.m.kind));
	}
	job_close(j);
	return rc;
}

/* ---- sessions ---- */

static void
session_row(void *to, const struct gate_session *s)
{
	struct command_run *c = to;
	char id[24];
	const char *values[] = { id,      s->user,  s->client_addr,         s->application_name,
				 s->pool, s->state, s->movable ? "t" : "f", or_null(s->why) };

	snprintf(id, sizeof(id), "%llu", (unsigned long long)s->id);
	ROW(c, values);
}

int
command_show_sessions(struct command_run *c, struct err *e)
{
	const struct site *site = migrations_site(c->ms);
	struct gate_move move;
	bool is_there;

	if (c->at.m.kind != KIND_MOVE)
		return command_show_kind(c, e);
	/* Where the database is now, and where it would go. */
	is_there = c->at.m.state == STATE_SWITCHED || c->at.m.state == STATE_REDIRECTING ||
		   c->at.m.state == STATE_REVERSING;
	move = (struct gate_move){ .migration = c->at.m.id,
				   .database = c->at.m.database,
				   .from = is_there ? c->at.m.dst : c->at.m.src,
				   .to = is_there ? c->at.m.src : c->at.m.dst,
				   .newdb = or_null(c->at.m.newdb) };
	site->ops->gate->sessions(site->arg, &move, session_row, c);
	return 0;
}

/* ---- SHOW AUTHORITY, SHOW EXECUTORS: what the nodes themselves say ---- */

int
command_authority(struct command_run *c, struct err *e)
{
	struct control_dbs found = { 0 };
	struct err why;
	static const char sql[] = "SELECT db, epoch, writable, coalesce(decision, ''), "
				  "coalesce(serves, ''), coalesce(newdb, '') FROM "
				  "meridian.authority ORDER BY 1";

	(void)e;
	control_dbs_everywhere(c->ms, LOOK_AGE_US, &found, NULL, &why);
	for (size_t i = 0; i < found.n && !command_is_cancelled(c); i++) {
		PGconn *db = control_db_open(c->ms, &found.v[i], &why);
		PGresult *r = db != NULL ? db_query(db, &why, sql, 0, NULL) : NULL;

		for (int k = 0; r != NULL && k < PQntuples(r); k++) {
			const char *values[] = { PQgetvalue(r, k, 0),
						 found.v[i].node.name,
						 found.v[i].dbname,
						 PQgetvalue(r, k, 1),
						 PQgetvalue(r, k, 2),
						 or_null(PQgetvalue(r, k, 3)),
						 or_null(PQgetvalue(r, k, 4)),
						 or_null(PQgetvalue(r, k, 5)) };

			ROW(c, values);
		}
		PQclear(r);
		PQfinish(db);
	}
	control_dbs_fini(&found);
	tell_unreached(c, &why);
	return 0;
}

static void
executor_row(void *to, const struct executor_row *v)
{
	struct command_run *c = to;
	char id[16], token[24];
	const char *values[] = { id,
				 v->uuid,
				 v->database,
				 v->place,
				 v->owner,
				 v->proxy,
				 token,
				 or_null(v->heartbeat),
				 v->is_alive ? "t" : "f",
				 or_null(v->step) };

	snprintf(id, sizeof(id), "%d", v->migration);
	snprintf(token, sizeof(token), "%lld", (long long)v->token);
	ROW(c, values);
}

int
command_executors(struct command_run *c, struct err *e)
{
	struct err why = { .msg = "" };

	(void)e;
	executors_list(c->ms, executor_row, c, &why);
	tell_unreached(c, &why);
	return 0;
}

/* ---- redirections ---- */

/* The address that clients are sent to, the caller's; NULL: none is configured. */
static char *
entry_of(struct command_run *c, const struct redirect *r)
{
	const struct site *site = migrations_site(c->ms);

	return site->ops->redirects != NULL ? site->ops->redirects->entry(site->arg, r->to) : NULL;
}

static void
callers_of(struct command_run *c, PGconn *db, const struct redirect *m)
{
	static const char sql[] =
	    "SELECT addr, usr, application, sum(CASE WHEN last_seen > clock_timestamp() - interval "
	    "'" FRESH "' THEN sessions ELSE 0 END), sum(logins), sum(refused), max(last_seen), "
	    "CAST($2 AS int) FROM meridian.redirect WHERE uuid = $1 GROUP BY 1, 2, 3 ORDER BY 7 "
	    "DESC, 1, 2, 3 LIMIT 10000";
	char id[16], *entry = entry_of(c, m);
	const char *params[] = { m->uuid, id };
	struct err ignored;
	PGresult *r;

	snprintf(id, sizeof(id), "%d", m->migration);
	r = db_query(db, &ignored, sql, 2, params);
	for (int i = 0; r != NULL && i < PQntuples(r); i++) {
		const char *values[] = { id,
					 m->database,
					 m->from,
					 m->to,
					 or_null(PQgetvalue(r, i, 0)),
					 or_null(PQgetvalue(r, i, 1)),
					 or_null(PQgetvalue(r, i, 2)),
					 PQgetvalue(r, i, 3),
					 PQgetvalue(r, i, 4),
					 PQgetvalue(r, i, 5),
					 PQgetvalue(r, i, 6),
					 or_null(m->until),
					 entry };

		ROW(c, values);
	}
	PQclear(r);
	free(entry);
}

int
command_redirects(struct command_run *c, struct err *e)
{
	struct control_dbs found = { 0 };
	struct err ignored;

	control_dbs_everywhere(c->ms, LOOK_AGE_US, &found, NULL, e);
	for (size_t i = 0; i < found.n && !command_is_cancelled(c); i++) {
		PGconn *db = control_db_open(c->ms, &found.v[i], &ignored);
		struct redirects all = { 0 };

		if (db != NULL && redirects_read(db, &all, &ignored) == 0 && all.n > 0)
			redirects_collect(c->ms, db, db);
		for (size_t k = 0; k < all.n && !command_is_cancelled(c); k++) {
			(void)redirect_flush(c->ms, db, &all.v[k], true, &ignored);
			callers_of(c, db, &all.v[k]);
		}
		redirects_fini(&all);
		PQfinish(db);
	}
	control_dbs_fini(&found);
	return 0;
}

/* ---- What FINALIZE and COMPLETE say of redirections ---- */

/* The redirection of the command's migration, and how many hosts were seen; NULL: it has none, or
 * cannot be asked. */
static const struct redirect *
own_redirect(struct command_run *c, struct redirects *all, int64_t *hosts)
{
	const struct site *site = migrations_site(c->ms);
	struct site_node v[SITE_NODES_MAX];
	struct err ignored;

	if (c->at.db == NULL || redirects_read(c->at.db, all, &ignored) < 0)
		return NULL;
	for (size_t i = 0; i < all->n; i++) {
		const struct redirect *r = &all->v[i];
		PGconn *left = NULL;

		if (strcmp(r->uuid, c->at.m.uuid) != 0)
			continue;
		/* Right behind the switch the fleet still watches the side that was left. */
		if (site->ops->nodes(site->arg, r->from, v, &ignored) > 0 && v[0].is_usable)
			left = migrations_open(c->ms, &v[0], r->database, &ignored);
		redirects_collect(c->ms, c->at.db, left != NULL ? left : c->at.db);
		PQfinish(left);
		(void)redirect_flush(c->ms, c->at.db, r, true, &ignored);
		return redirect_hosts(c->at.db, r, hosts, &ignored) == 0 ? r : NULL;
	}
	return NULL;
}

static void
put_hosts(struct buf *out, int64_t n)
{
	if (n == 0)
		buf_str(out, "No client host was seen that enters");
	else
		buf_printf(out, "%" PRId64 " client host%s", n,
			   n == 1 ? " still enters" : "s still enter");
}

void
command_put_redirects(struct command_run *c, const struct migration *m, struct buf *out)
{
	struct redirects all = { 0 };
	int64_t hosts = 0;
	const struct redirect *r = own_redirect(c, &all, &hosts);
	char *entry = r != NULL ? entry_of(c, r) : NULL;

	buf_str(out, "- ");
	if (r != NULL)
		put_hosts(out, hosts);
	else
		buf_str(out, "Who still enters");
	buf_printf(out, " through %s (SHOW REDIRECTS)", m->src);
	if (r != NULL)
		buf_printf(out, "; it forwards until %s", r->until);
	if (r != NULL && entry == NULL)
		buf_printf(out,
			   "\n- Say what clients are to connect to then: entry in [region %s]; as "
			   "long as nobody does, it goes on forwarding",
			   r->to);
	free(entry);
	redirects_fini(&all);
}

void
command_tell_redirects_end(struct command_run *c)
{
	struct redirects all = { 0 };
	struct buf said = { .cap = 4096 };
	int64_t hosts = 0;
	const struct redirect *r =
	    c->at.m.state == STATE_REDIRECTING ? own_redirect(c, &all, &hosts) : NULL;
	char *entry = r != NULL ? entry_of(c, r) : NULL;

	if (r != NULL && hosts > 0) {
		put_hosts(&said, hosts);
		if (entry != NULL)
			command_notice(c,
				       "%s through %s (SHOW REDIRECTS): from COMPLETE on they are "
				       "refused (57P03) and told to connect to %s",
				       buf_text(&said), r->from, entry);
		else
			command_notice(c,
				       "%s through %s (SHOW REDIRECTS): they are forwarded on, "
				       "because [region %s] has no entry to tell them",
				       buf_text(&said), r->from, r->to);
	}
	free(entry);
	buf_fini(&said);
	redirects_fini(&all);
}
