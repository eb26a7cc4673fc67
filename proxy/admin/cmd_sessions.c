/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW SESSIONS, SHOW SESSION, KILL SESSION, and REHOME SESSION, which gives a session another
 * server connection and answers when the session has moved, or with the reason why it cannot. A
 * session is read and ended only on the worker that owns it (fanout.h).
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/explain.h"
#include "proxy/admin/fanout.h"
#include "proxy/move/rehome.h"
#include "proxy/process/worker.h"
#include "proxy/session/route.h"
#include "proxy/session/session.h"

/* ---- filters ---- */

#define FILTERS "[REGION <region>] [DATABASE <database>] [USER <user>] [STATE <state>]"

/* ---- SHOW SESSIONS ---- */

static const struct column session_columns[] = {
	{ "id", EVERYDAY(COLUMN_INT8) },
	{ "worker", COLUMN_INT4 },
	{ "database", EVERYDAY_CUT(COLUMN_TEXT, 12) },
	{ "user", EVERYDAY_CUT(COLUMN_TEXT, 12) },
	{ "client_addr", EVERYDAY_CUT(COLUMN_TEXT, 21) },
	{ "true_addr", COLUMN_TEXT },
	{ "state", EVERYDAY_CUT(COLUMN_TEXT, 19) },
	{ "city", EVERYDAY_CUT(COLUMN_TEXT, 13) },
	{ "country", COLUMN_TEXT },
	{ "locality_source", COLUMN_TEXT },
	{ "home", EVERYDAY_CUT(COLUMN_TEXT, 15) },
	{ "node", COLUMN_TEXT },
	{ "tls", COLUMN_TEXT },
	{ "application_name", COLUMN_TEXT },
	{ "connected_at", COLUMN_TIME },
	{ "rx_bytes", COLUMN_INT8 },
	{ "tx_bytes", COLUMN_INT8 },
	{ "queries", COLUMN_INT8 },
	{ "client_rtt_us", COLUMN_INT8 },
	{ "server_rtt_us", COLUMN_INT8 },
	{ "move_block", COLUMN_TEXT },
	{ "confidence", COLUMN_TEXT },
	{ "listener", COLUMN_TEXT },
	{ "server_pid", COLUMN_INT8 },
	{ "transport", COLUMN_TEXT },
	{ "endpoint", COLUMN_TEXT },
};

static void
session_row(struct fanout *a, const struct session *s)
{
	struct rows *rows = &a->rows;
	struct session_facts f;
	char addr[ADDR_TEXT_MAX];

	session_facts(s, true, &f);
	if (!fanout_fits(a, f.home, f.database, f.user, f.state))
		return;
	row_begin(rows);
	row_count(rows, f.id);
	row_int(rows, f.worker);
	row_text(rows, f.database);
	row_text(rows, f.user);
	row_str(rows, addr_print(&f.client_addr, addr));
	row_str(rows, addr_print(&f.true_addr, addr));
	row_str(rows, f.state);
	row_str(rows, f.city);
	row_str(rows, f.country);
	row_str(rows, locality_source_name(f.source));
	row_str(rows, f.home);
	row_str(rows, f.node);
	row_str(rows, f.tls);
	row_text(rows, f.application_name);
	row_time(rows, f.connected_at_us);
	row_count(rows, f.rx_bytes);
	row_count(rows, f.tx_bytes);
	row_count(rows, f.queries);
	row_int_known(rows, f.client_rtt_us);
	row_int_known(rows, f.server_rtt_us);
	row_str(rows, f.move_block);
	row_str(rows, confidence_name(f.confidence));
	row_str(rows, f.listener);
	row_int_known(rows, f.server_pid > 0 ? (int64_t)f.server_pid : -1);
	row_str(rows, f.transport);
	row_text(rows, f.endpoint);
	row_end(rows);
}

static int
sessions_begin(struct run *r)
{
	struct fanout *a = fanout_begin(r, fanout_sessions);

	a->row = session_row;
	return fanout_take_filters(r, a);
}

/* ---- SHOW SESSION <id> ---- */

static const struct column detail_columns[] = {
	{ "section", COLUMN_TEXT },
	{ "key", COLUMN_TEXT },
	{ "value", COLUMN_TEXT },
};

static void
detail_text(struct rows *rows, const char *section, const char *key, struct slice value)
{
	row_begin(rows);
	row_str(rows, section);
	row_str(rows, key);
	row_text(rows, value);
	row_end(rows);
}

static void __attribute__((format(printf, 4, 5)))
detail(struct rows *rows, const char *section, const char *key, const char *fmt, ...)
{
	struct buf value = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&value, fmt, ap);
	va_end(ap);
	detail_text(rows, section, key, buf_view(&value));
	buf_fini(&value);
}

static void
detail_facts(struct rows *rows, const struct session_facts *f)
{
	char addr[ADDR_TEXT_MAX], when[TIME_TEXT_MAX];

	detail(rows, "facts", "id", "%llu", (unsigned long long)f->id);
	detail(rows, "facts", "worker", "%d", f->worker);
	detail_text(rows, "facts", "database", f->database);
	detail_text(rows, "facts", "user", f->user);
	detail_text(rows, "facts", "application_name", f->application_name);
	detail(rows, "facts", "client_addr", "%s", addr_print(&f->client_addr, addr));
	detail(rows, "facts", "true_addr", "%s", addr_print(&f->true_addr, addr));
	detail_text(rows, "facts", "endpoint", f->endpoint);
	detail(rows, "facts", "listener", "%s", f->listener);
	detail(rows, "facts", "transport", "%s", f->transport);
	detail(rows, "facts", "target", "%s", f->target);
	detail(rows, "facts", "state", "%s", f->state);
	detail(rows, "facts", "tls", "%s", f->tls);
	detail(rows, "facts", "auth", "%s", f->auth);
	if (f->hba_line > 0)
		detail(rows, "facts", "hba_line", "%u", f->hba_line);
	detail(rows, "facts", "connected_at", "%s", time_text(f->connected_at_us, when));
	detail(rows, "facts", "home", "%s", f->home);
	detail(rows, "facts", "node", "%s", f->node);
	detail(rows, "facts", "server_pid", "%u", f->server_pid);
}

static void
detail_locality(struct rows *rows, const struct session_facts *f, const struct explained *x)
{
	detail(rows, "locality", "city", "%s", f->city);
	detail(rows, "locality", "country", "%s", f->country);
	detail(rows, "locality", "source", "%s", locality_source_name(f->source));
	detail(rows, "locality", "confidence", "%s", confidence_name(f->confidence));
	for (size_t i = 0; i < x->nevidence; i++) {
		const struct locality_evidence *e = &x->evidence[i];
		char key[64];

		snprintf(key, sizeof(key), "%s %s", locality_source_name(e->source),
			 claim_kind_name(e->kind));
		detail(rows, "evidence", key, "%.*s: %s%s%s", (int)e->value.n, e->value.p,
		       e->outcome, e->trusted ? "" : " (self-declared)", e->won ? " (won)" : "");
	}
}

static void
detail_route(struct rows *rows, const struct world *w, const struct route *route)
{
	const struct topology *t = w->topology;
	char key[16], reason[256];

	for (unsigned i = 0; i < route->nrows; i++) {
		const struct route_row *row = &route->rows[i];

		snprintf(key, sizeof(key), "%u", i + 1);
		route_reason_text(t, row, clock_us(), reason, sizeof(reason));
		detail(rows, "route", key, "%s%s%s %s: %s", t->regions[row->region].name,
		       row->node >= 0 ? " " : "", row->node >= 0 ? t->nodes[row->node].name : "",
		       route_verdict_name(row->verdict), reason);
	}
}

static enum answer
session_answer(struct fanout *a)
{
	const struct session *s = session_by_id(a->to, a->id);
	const struct world *w = worker_world(a->to);
	const struct conf_database *db;
	struct session_facts f;
	struct explained x;
	struct session_step steps[64];
	char when[TIME_TEXT_MAX];
	struct route_wish wish;
	struct route *route;
	size_t n;

	if (s == NULL)
		return ANSWER_NEXT;
	session_facts(s, true, &f);
	db = config_database(w->config, f.database);
	explain_locality(w, session_claims(s), db, &x);
	detail_facts(&a->rows, &f);
	n = session_history(s, steps, sizeof(steps) / sizeof(steps[0]));
	for (size_t i = 0; i < n; i++)
		detail(&a->rows, "history", time_text(steps[i].at_us, when), "%s%s%s",
		       steps[i].state, steps[i].note[0] != '\0' ? ": " : "", steps[i].note);
	detail_locality(&a->rows, &f, &x);
	route = xcalloc(1, sizeof(*route));
	wish = (struct route_wish){ .database = f.database,
				    .access = f.access,
				    .locality = &x.locality,
				    .sticky_region = -1,
				    .seed = f.id };
	locate_route(w, &wish, route);
	detail_route(&a->rows, w, route);
	free(route);
	detail(&a->rows, "bytes", "rx_bytes", "%llu", (unsigned long long)f.rx_bytes);
	detail(&a->rows, "bytes", "tx_bytes", "%llu", (unsigned long long)f.tx_bytes);
	detail(&a->rows, "bytes", "queries", "%llu", (unsigned long long)f.queries);
	if (f.client_rtt_us >= 0)
		detail(&a->rows, "bytes", "client_rtt_us", "%lld", (long long)f.client_rtt_us);
	if (f.server_rtt_us >= 0)
		detail(&a->rows, "bytes", "server_rtt_us", "%lld", (long long)f.server_rtt_us);
	detail(&a->rows, "move", "move_block", "%s", f.move_block);
	return ANSWER_STOP;
}

static int
session_begin(struct run *r)
{
	return fanout_take_id(r, fanout_begin(r, session_answer), run_arg(r, "id"));
}

/* ---- KILL SESSION <id> ---- */

static enum answer
kill_answer(struct fanout *a)
{
	struct session *s = session_by_id(a->to, a->id);

	if (s == NULL)
		return ANSWER_NEXT;
	session_close(s, WHY_KILLED, NULL);
	return ANSWER_STOP;
}

static int
kill_begin(struct run *r)
{
	return fanout_take_id(r, fanout_begin(r, kill_answer), run_arg(r, "id"));
}

/* ---- REHOME SESSION ---- */

static const struct column rehome_columns[] = {
	{ "id", COLUMN_INT8 },
	{ "home", COLUMN_TEXT },
	{ "node", COLUMN_TEXT },
};

static void
on_done(void *arg, struct session *s, const struct err *e)
{
	struct fanout *a = arg;
	struct session_facts f;

	if (e != NULL) {
		a->err = *e;
		fanout_answered(a, ANSWER_FAIL);
		return;
	}
	session_facts(s, false, &f);
	row_begin(&a->rows);
	row_count(&a->rows, f.id);
	row_str(&a->rows, f.home);
	row_str(&a->rows, f.node);
	row_end(&a->rows);
	fanout_answered(a, ANSWER_STOP);
}

static enum answer
rehome_answer(struct fanout *a)
{
	struct session *s = session_by_id(a->to, a->id);
	struct rehome_want want = { .done = on_done, .arg = a };
	const char *why;

	if (s == NULL)
		return ANSWER_NEXT;
	if (!rehome_can(s, &why)) {
		err_set(&a->err, SQLSTATE_OBJECT_NOT_IN_STATE, "session %llu cannot be moved: %s",
			(unsigned long long)a->id, why);
		return ANSWER_FAIL;
	}
	if (rehome_stage(s) != REHOME_NONE) {
		err_set(&a->err, SQLSTATE_OBJECT_NOT_IN_STATE, "session %llu is on its way already",
			(unsigned long long)a->id);
		return ANSWER_FAIL;
	}
	want.live = rehome_choose(s, a->region, &a->err);
	if (want.live == NULL)
		return ANSWER_FAIL;
	rehome_to(s, REHOME_SWAPPED, &want);
	return ANSWER_WAIT;
}

static int
rehome_begin(struct run *r)
{
	struct fanout *a = fanout_begin(r, rehome_answer);

	return fanout_take_region(r, a) < 0 ? -1 : fanout_take_id(r, a, run_arg(r, "id"));
}

static const struct command commands[] = {
	{ .words = "REHOME SESSION",
	  .args = "<id> [TO REGION <region>]",
	  .privilege = PRIVILEGE_ADMIN,
	  COLUMNS(rehome_columns),
	  .tag = "REHOME SESSION",
	  .begin = rehome_begin,
	  .row = fanout_row,
	  .end = fanout_end,
	  .help =
	      "give one session another server connection, where its route leads now or in that "
	      "region, at the end of its transaction; its client stays connected",
	  .brief = "give one session another server connection, maybe elsewhere",
	  .example = "REHOME SESSION 26 TO REGION us-east1",
	  .answer = "26|us-east1|10.0.10.15:5432" },
	{ .words = "SHOW SESSIONS",
	  .args = "[FULL] " FILTERS,
	  COLUMNS(session_columns),
	  .begin = sessions_begin,
	  .row = fanout_row,
	  .end = fanout_end,
	  .help = "one row per client: who it is, where it is, where it went, and what it is doing",
	  .brief = "one row per client: who and where it is, where it went",
	  .example = "SHOW SESSIONS DATABASE movr",
	  .answer = "26|movr|app|127.0.0.1:33032|idle|paris|europe-west1" },
	{ .words = "SHOW SESSION",
	  .args = "<id>",
	  COLUMNS(detail_columns),
	  .begin = session_begin,
	  .row = fanout_row,
	  .end = fanout_end,
	  .help = "all about one session: history, locality evidence, route, bytes, why it cannot "
		  "be moved",
	  .brief = "all about one session: history, evidence, route, bytes",
	  .example = "SHOW SESSION 26",
	  .answer =
	      "facts|user|app\n"
	      "facts|state|idle\n"
	      "locality|city|paris\n"
	      "evidence|startup city|paris: city of region europe-west1 (self-declared) (won)\n"
	      "bytes|queries|1\n"
	      "move|move_block|passthrough login" },
	{ .words = "KILL SESSION",
	  .args = "<id>",
	  .privilege = PRIVILEGE_ADMIN,
	  .tag = "KILL SESSION",
	  .begin = kill_begin,
	  .row = fanout_row,
	  .end = fanout_end,
	  .help = "end one session; its client gets a FATAL error (57P01)",
	  .example = "KILL SESSION 26" },
};

COMMAND_TABLE(commands_sessions, commands);
