/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW POOLS, SHOW SERVERS, SHOW PAUSES and RECONNECT: pools and their connections, over all
 * workers.
 */
#include "config.h"

#include <stdio.h>

#include "proxy/admin/commands.h"
#include "proxy/admin/fanout.h"
#include "proxy/move/pause.h"
#include "proxy/pool/show.h"
#include "proxy/process/worker.h"
#include "proxy/process/world.h"
#include "proxy/session/session.h"

#define FILTERS "[REGION <region>] [DATABASE <database>] [USER <user>]"

static void
row_time_known(struct rows *rows, int64_t wall_us)
{
	if (wall_us > 0)
		row_time(rows, wall_us);
	else
		row_null(rows);
}

/* ---- SHOW POOLS ---- */

static const struct column pool_columns[] = {
	{ "database", EVERYDAY_CUT(COLUMN_TEXT, 13) },
	{ "user", EVERYDAY_CUT(COLUMN_TEXT, 12) },
	{ "region", COLUMN_TEXT },
	{ "node", EVERYDAY_CUT(COLUMN_TEXT, 21) },
	{ "worker", EVERYDAY(COLUMN_INT4) },
	{ "cl_active", EVERYDAY(COLUMN_INT4) },
	{ "cl_waiting", EVERYDAY(COLUMN_INT4) },
	{ "sv_active", EVERYDAY(COLUMN_INT4) },
	{ "sv_idle", EVERYDAY(COLUMN_INT4) },
	{ "sv_reset", COLUMN_INT4 },
	{ "sv_held", COLUMN_INT4 },
	{ "sv_login", COLUMN_INT4 },
	{ "maxwait", EVERYDAY(COLUMN_INT4) },
	{ "maxwait_us", COLUMN_INT4 },
	{ "pool_mode", COLUMN_TEXT },
	{ "pool_size", COLUMN_INT4 },
	{ "paused", COLUMN_BOOL },
	{ "lent", COLUMN_INT8 },
	{ "waited", COLUMN_INT8 },
	{ "wait_us", COLUMN_INT8 },
	{ "options", COLUMN_TEXT },
	{ "reason", COLUMN_TEXT },
};

static void
pool_row(void *arg, const struct pool_facts *f)
{
	struct fanout *a = arg;
	struct rows *rows = &a->rows;

	if (!fanout_fits(a, f->region, slice_str(f->database), slice_str(f->user), ""))
		return;
	row_begin(rows);
	row_str(rows, f->database);
	row_str(rows, f->user);
	row_str(rows, f->region);
	row_str(rows, f->node);
	row_int(rows, worker_id(a->to));
	row_int(rows, f->cl_active);
	row_int(rows, f->cl_waiting);
	row_int(rows, f->sv_used);
	row_int(rows, f->sv_idle);
	row_int(rows, f->sv_reset);
	row_int(rows, f->sv_held);
	row_int(rows, f->sv_login);
	row_int(rows, f->maxwait_us / 1000000);
	row_int(rows, f->maxwait_us % 1000000);
	row_str(rows, f->mode);
	row_int(rows, f->size);
	row_bool(rows, f->paused);
	row_count(rows, f->lent);
	row_count(rows, f->waited);
	row_count(rows, f->wait_us);
	row_str(rows, f->options);
	row_str(rows, f->reason);
	row_end(rows);
}

static enum answer
pools_answer(struct fanout *a)
{
	pools_show(a->to, pool_row, a);
	return ANSWER_NEXT;
}

static int
pools_begin(struct run *r)
{
	return fanout_take_filters(r, fanout_begin(r, pools_answer));
}

/* ---- SHOW SERVERS ---- */

static const struct column server_columns[] = {
	{ "region", COLUMN_TEXT },        { "node", COLUMN_TEXT },
	{ "server_pid", COLUMN_INT8 },    { "session", COLUMN_INT8 },
	{ "worker", COLUMN_INT4 },        { "database", COLUMN_TEXT },
	{ "user", COLUMN_TEXT },          { "state", COLUMN_TEXT },
	{ "server_rtt_us", COLUMN_INT8 }, { "connected_at", COLUMN_TIME },
	{ "queries", COLUMN_INT8 },       { "pool_mode", COLUMN_TEXT },
	{ "state_since", COLUMN_TIME },   { "close_needed", COLUMN_BOOL },
	{ "tls", COLUMN_TEXT },           { "prepared_statements", COLUMN_INT4 },
	{ "tls_cipher", COLUMN_TEXT },
};

/* The row of a connection that is in no pool: it has its session's state, times and counts. */
static void
own_row(struct fanout *a, const struct session *s)
{
	struct rows *rows = &a->rows;
	struct session_facts f;

	session_facts(s, true, &f);
	if (f.node[0] == '\0' || f.pooled || !fanout_fits(a, f.home, f.database, f.user, f.state))
		return;
	row_begin(rows);
	row_str(rows, f.home);
	row_str(rows, f.node);
	row_int_known(rows, f.server_pid > 0 ? (int64_t)f.server_pid : -1);
	row_count(rows, f.id);
	row_int(rows, f.worker);
	row_text(rows, f.database);
	row_text(rows, f.user);
	row_str(rows, f.state);
	row_int_known(rows, f.server_rtt_us);
	row_time(rows, f.connected_at_us);
	row_count(rows, f.queries);
	row_str(rows, "off");
	row_null(rows);
	row_bool(rows, false);
	row_str(rows, f.server_tls);
	row_null(rows);
	row_str(rows, f.server_cipher);
	row_end(rows);
}

static void
server_row(void *arg, const struct server_facts *f)
{
	struct fanout *a = arg;
	struct rows *rows = &a->rows;

	if (!fanout_fits(a, f->region, slice_str(f->database), slice_str(f->user), f->state))
		return;
	row_begin(rows);
	row_str(rows, f->region);
	row_str(rows, f->node);
	row_int_known(rows, f->pid > 0 ? (int64_t)f->pid : -1);
	row_int_known(rows, f->session > 0 ? (int64_t)f->session : -1);
	row_int(rows, worker_id(a->to));
	row_str(rows, f->database);
	row_str(rows, f->user);
	row_str(rows, f->state);
	row_int_known(rows, f->rtt_us);
	row_time_known(rows, f->connected_at_us);
	row_null(rows);
	row_str(rows, f->mode);
	row_time_known(rows, f->since_us);
	row_bool(rows, f->close_needed);
	row_str(rows, f->tls);
	row_int(rows, f->prepared);
	row_str(rows, f->tls_cipher);
	row_end(rows);
}

static enum answer
servers_answer(struct fanout *a)
{
	enum answer answer = fanout_sessions(a);

	if (answer == ANSWER_NEXT)
		pools_show_servers(a->to, server_row, a);
	return answer;
}

static int
servers_begin(struct run *r)
{
	struct fanout *a = fanout_begin(r, servers_answer);

	a->row = own_row;
	return fanout_take_filters(r, a);
}

/* ---- SHOW PAUSES ---- */

static const struct column pause_columns[] = {
	{ "database", COLUMN_TEXT },  { "region", COLUMN_TEXT }, { "worker", COLUMN_INT4 },
	{ "paused_at", COLUMN_TIME }, { "held", COLUMN_INT4 },   { "open", COLUMN_INT4 },
	{ "migration", COLUMN_INT4 },
};

static enum answer
pauses_answer(struct fanout *a)
{
	struct rows *rows = &a->rows;
	struct pause_facts f;
	const struct pause_scope *scope = &f.pause.scope;

	for (size_t i = 0; i < pause_count(a->to); i++) {
		pause_facts(a->to, i, &f);
		row_begin(rows);
		row_str(rows, scope->database[0] != '\0' ? scope->database : NULL);
		row_str(rows, scope->region[0] != '\0' ? scope->region : NULL);
		row_int(rows, worker_id(a->to));
		row_time(rows, f.pause.since_us);
		row_int(rows, f.held);
		row_int(rows, f.open);
		row_int_known(rows, scope->migration != 0 ? scope->migration : -1);
		row_end(rows);
	}
	return ANSWER_NEXT;
}

static int
pauses_begin(struct run *r)
{
	fanout_begin(r, pauses_answer);
	return 0;
}

/* ---- RECONNECT ---- */

static enum answer
reconnect_answer(struct fanout *a)
{
	a->count += pools_renew(a->to, a->database, a->region);
	return ANSWER_NEXT;
}

static int
reconnect_begin(struct run *r)
{
	return fanout_take_filters(r, fanout_begin(r, reconnect_answer));
}

static enum step
reconnect_row(struct run *r)
{
	struct fanout *a = r->state;
	enum step step = fanout_row(r);
	struct err e = { 0 };

	if (step != STEP_DONE || a->count == 0)
		return step;
	err_set(&e, "00000", "%u session%s a connection of %s own", a->count,
		a->count == 1 ? " keeps" : "s keep", a->count == 1 ? "its" : "their");
	err_hint(&e, "It ends with the session: KILL SESSION, or DRAIN with a deadline.");
	run_notice(r, "NOTICE", &e);
	return step;
}

static const struct command commands[] = {
	{ .words = "SHOW POOLS",
	  .args = "[FULL] " FILTERS,
	  COLUMNS(pool_columns),
	  .begin = pools_begin,
	  .row = fanout_row,
	  .end = fanout_end,
	  .help = "one row per pool and worker: sessions that are there and that wait, server "
		  "connections by what they do, how often one was lent and how long was waited",
	  .brief = "one row per pool and worker: who is served, who waits",
	  .example = "SHOW POOLS DATABASE movr",
	  .answer = "movr|app|10.0.10.15:5432|1|3|0|1|2|0" },
	{ .words = "SHOW SERVERS",
	  .args = FILTERS " [STATE <state>]",
	  COLUMNS(server_columns),
	  .begin = servers_begin,
	  .row = fanout_row,
	  .end = fanout_end,
	  .help = "one row per connection to a node, those of pools included",
	  .example = "SHOW SERVERS STATE 'idle'",
	  .answer = "us-east1|10.0.10.15:5432|18210||1|movr|app|idle|1440|2026-11-21 "
		    "13:16:25.020546+00|17|transaction|2026-11-21 "
		    "13:18:02.770121+00|f|TLSv1.3|4|TLS_AES_256_GCM_SHA384" },
	{ .words = "SHOW PAUSES",
	  COLUMNS(pause_columns),
	  .begin = pauses_begin,
	  .row = fanout_row,
	  .end = fanout_end,
	  .help = "one row per PAUSE in force and worker: sessions that it holds, and those that "
		  "are in a transaction yet; `migration`: whose freeze it is, which RESUME does "
		  "not end",
	  .brief = "one row per PAUSE in force and worker: sessions that it holds",
	  .example = "SHOW PAUSES",
	  .answer = "movr||1|2026-11-21 13:16:25.020546+00|3|1|" },
	{ .words = "RECONNECT",
	  .args = "[DATABASE <database>] [REGION <region>]",
	  .privilege = PRIVILEGE_ADMIN,
	  .begin = reconnect_begin,
	  .row = reconnect_row,
	  .end = fanout_end,
	  .help = "close the server connections of pools, those that are lent as they come back",
	  .brief = "close the server connections of pools",
	  .example = "RECONNECT DATABASE movr" },
};

COMMAND_TABLE(commands_pools, commands);
