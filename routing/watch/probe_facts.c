/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "routing/watch/probe_int.h"

/* That a node is a standby is believed this long after it was last said: promotions are silent. */
#define STANDBY_BELIEVED_US (60 * USEC_PER_SEC)

/* Columns of every answer, in this order; a level gives NULL for what it does not ask. */
enum column {
	COL_RECOVERY,
	COL_READ_ONLY,
	COL_SYSTEM_ID,
	COL_TIMELINE,
	COL_LSN,
	COL_RECEIVED,
	COL_RECEIVING,
	COL_REPLAY_AGE,
	COL_MAX,
	COL_USED,
	COL_CITUS,
	COL_COUNT
};

/* All of it is open to any role; pg_monitor adds the standby's timeline of the stream. A primary's
 * timeline is read from the name of its log file, since pg_control_checkpoint() tells the old one
 * until the first checkpoint after a promotion. */
static const char full_sql[] =
    "SELECT r, pg_catalog.current_setting('default_transaction_read_only'),"
    " (SELECT system_identifier FROM pg_catalog.pg_control_system()),"
    " CASE WHEN r THEN coalesce((SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver),"
    "  (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()))"
    "  ELSE ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))"
    "::bit(32)::int END,"
    " CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn()"
    "  ELSE pg_catalog.pg_current_wal_lsn() END - '0/0'::pg_catalog.pg_lsn,"
    " pg_catalog.pg_last_wal_receive_lsn() - '0/0'::pg_catalog.pg_lsn,"
    " EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver),"
    " (extract(epoch FROM clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())"
    " * 1000000)::bigint,"
    " pg_catalog.current_setting('max_connections')::int"
    " - pg_catalog.current_setting('superuser_reserved_connections')::int"
    " - coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0),"
    " (SELECT sum(numbackends) FROM pg_catalog.pg_stat_database),"
    " EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'citus')"
    " FROM pg_catalog.pg_is_in_recovery() AS r";

static const char core_sql[] = "SELECT pg_catalog.pg_is_in_recovery(),"
			       " pg_catalog.current_setting('default_transaction_read_only'),"
			       " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL";

static const char cockroachdb_sql[] =
    "SELECT false, current_setting('default_transaction_read_only'),"
    " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL";

const char facts_citus_sql[] = "SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_node)";

/* The server writes it when it begins the timeline, and a standby gets it from where it streams. */
void
facts_put_history(struct buf *sql, uint32_t timeline)
{
	buf_printf(sql,
		   "SELECT CASE WHEN pg_catalog.has_function_privilege("
		   "'pg_catalog.pg_read_file(text,bigint,bigint,boolean)', 'execute') THEN "
		   "pg_catalog.pg_read_file('pg_wal/%08X.history', 0, 65536, true) END",
		   timeline);
}

enum facts_level
facts_first_level(const PGconn *conn)
{
	return PQparameterStatus(conn, "crdb_version") != NULL ? FACTS_COCKROACHDB : FACTS_FULL;
}

const char *const facts_sql[] = {
	[FACTS_FULL] = full_sql,
	[FACTS_CORE] = core_sql,
	[FACTS_NONE] = NULL,
	[FACTS_COCKROACHDB] = cockroachdb_sql,
};

bool
facts_is_beyond(const char *sqlstate)
{
	static const char *const states[] = {
		"42501", /* insufficient_privilege */
		"42883", /* undefined_function */
		"42P01", /* undefined_table */
		"42703", /* undefined_column */
		"42704", /* undefined_object */
		"42601", /* syntax_error */
		"0A000", /* feature_not_supported */
	};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(sqlstate, states[i]) == 0)
			return true;
	return false;
}

static int64_t
number(const PGresult *res, enum column c, int64_t max)
{
	int64_t v;

	if (PQgetisnull(res, 0, c) || !text_to_int(slice_str(PQgetvalue(res, 0, c)), 0, max, &v))
		return 0;
	return v;
}

static bool
truth(const PGresult *res, enum column c)
{
	bool v = false;

	if (PQgetisnull(res, 0, c))
		return false;
	if (strcmp(PQgetvalue(res, 0, c), "t") == 0)
		return true;
	return text_to_bool(slice_str(PQgetvalue(res, 0, c)), &v) && v;
}

/* A server that is no friend may answer anything: whatever does not fit reads as unknown. */
bool
facts_read(struct probe_facts *f, const PGresult *res, enum facts_level level)
{
	if (PQntuples(res) != 1 || PQnfields(res) != COL_COUNT)
		return false;
	f->recovery = truth(res, COL_RECOVERY);
	f->read_only = truth(res, COL_READ_ONLY);
	f->system_id = (uint64_t)number(res, COL_SYSTEM_ID, INT64_MAX);
	f->timeline = (uint32_t)number(res, COL_TIMELINE, UINT32_MAX);
	f->lsn = (uint64_t)number(res, COL_LSN, INT64_MAX);
	f->received = (uint64_t)number(res, COL_RECEIVED, INT64_MAX);
	f->receiving = truth(res, COL_RECEIVING);
	/* less than nothing where its clock went back: nothing */
	f->replay_age_us =
	    PQgetisnull(res, 0, COL_REPLAY_AGE) ? -1 : number(res, COL_REPLAY_AGE, INT64_MAX);
	f->max_connections = (int)number(res, COL_MAX, INT32_MAX);
	f->used_connections = (int)number(res, COL_USED, INT32_MAX);
	f->kind = level == FACTS_COCKROACHDB ? KIND_COCKROACHDB
		  : truth(res, COL_CITUS)    ? KIND_CITUS
					     : KIND_POSTGRES;
	f->multi = level == FACTS_COCKROACHDB;
	return true;
}

bool
facts_is_primary(const struct watch *w)
{
	return w->facts.at_us != 0 && !w->facts.recovery && !w->facts.multi;
}

bool
facts_has_primary(const struct watch *w)
{
	const struct prober *p = w->prober;

	for (size_t i = 0; i < p->nwatches; i++) {
		const struct watch *o = p->watches[i];

		if (facts_is_primary(o) && o->facts.system_id == w->facts.system_id &&
		    o->health.state == NODE_UP)
			return true;
	}
	return false;
}

/* The primary of the cluster that `w` belongs to: of several, that of the highest timeline. */
static const struct watch *
primary_of(const struct watch *w)
{
	const struct prober *p = w->prober;
	const struct watch *best = NULL;

	for (size_t i = 0; i < p->nwatches; i++) {
		const struct watch *o = p->watches[i];

		if (facts_is_primary(o) && o->facts.system_id == w->facts.system_id &&
		    (best == NULL || o->facts.timeline > best->facts.timeline))
			best = o;
	}
	return best;
}

/* Two nodes that take writes with one system identifier: one of them was left behind. */
static void
watch_for_twins(struct watch *w)
{
	const struct watch *best = w->facts.system_id != 0 ? primary_of(w) : NULL;
	bool behind =
	    best != NULL && w->facts.timeline != 0 && best->facts.timeline > w->facts.timeline;

	if (behind && best->facts.timeline != w->twin)
		log_about(LOG_LEVEL_ERROR, watch_subject(w),
			  "this node takes writes on timeline %u, but %s of the same cluster does "
			  "on timeline %u: no writes are sent here",
			  w->facts.timeline, best->name, best->facts.timeline);
	w->twin = behind ? best->facts.timeline : 0;
}

void
facts_apply(struct watch *w, int64_t now_us)
{
	w->facts.at_us = now_us;
	if (facts_is_primary(w)) {
		/* as of when it was asked: a standby that has this has all that came before */
		lag_mark(&w->marks, w->step_us, w->facts.lsn);
		w->lag = (struct lag){ 0, 0 };
		watch_for_twins(w);
		return;
	}
	w->twin = 0;
	w->marks = (struct lag_marks){ 0 };
	w->lag = (struct lag){ -1, -1 };
	if (w->facts.recovery && w->facts.lsn != 0) {
		const struct watch *primary = w->facts.system_id != 0 ? primary_of(w) : NULL;
		struct lag_standby s = { now_us, w->facts.received, w->facts.lsn,
					 w->facts.receiving, w->facts.replay_age_us };

		w->lag = lag_of(&s, primary != NULL ? &primary->marks : NULL);
	}
}

enum node_role
facts_role(const struct watch *w, int64_t now_us)
{
	bool by_login = w->said.in_hot_standby >= 0 && w->said_at_us > w->facts.at_us;
	int64_t at_us = by_login ? w->said_at_us : w->facts.at_us;
	bool standby = by_login ? w->said.in_hot_standby != 0 : w->facts.recovery;
	bool multi = w->facts.multi || w->said.kind == KIND_COCKROACHDB;

	if (at_us == 0)
		return ROLE_UNKNOWN;
	if (!standby)
		return multi ? ROLE_MULTI : ROLE_PRIMARY;
	if (w->health.last_good_us - at_us > STANDBY_BELIEVED_US ||
	    (by_login && now_us - at_us > STANDBY_BELIEVED_US))
		return ROLE_UNKNOWN;
	return ROLE_STANDBY;
}
