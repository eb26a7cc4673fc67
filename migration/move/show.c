/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW MIGRATION m TABLES, SEQUENCES, LAG, SESSIONS. The target may not be there yet: what it would
 * say is left out.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migration/db.h"
#include "migration/gate.h"
#include "migration/move/cutover.h"
#include "migration/move/sql.h"
#include "protocol/sqlstate.h"

static const char *
value(const PGresult *r, int row, int column)
{
	return PQgetisnull(r, row, column) ? NULL : PQgetvalue(r, row, column);
}

/* The row whose first column is `key`; -1. */
static int
find_row(const PGresult *r, const char *key)
{
	for (int i = 0; r != NULL && i < PQntuples(r); i++) {
		if (strcmp(PQgetvalue(r, i, 0), key) == 0)
			return i;
	}
	return -1;
}

/* NULL: it cannot be asked. */
static PGresult *
ask_target(struct job *j, const char *sql)
{
	struct err why;
	PGconn *c = job_db(j, MOVE_TARGET, &why);

	return c != NULL ? db_query(c, &why, sql, 0, NULL) : NULL;
}

/* ---- tables ---- */

static const char tables_sql[] =
    "SELECT " SQL_QUALIFIED ", CASE WHEN c.relkind = 'p' THEN 'partitions' WHEN c.relpersistence ="
    " 'u' THEN 'unlogged' ELSE '' END, CASE WHEN c.reltuples < 0 THEN NULL ELSE c.reltuples::bigint"
    " END, pg_relation_size(c.oid), c.relreplident::text" SQL_FROM_TABLES " ORDER BY 1";

static const char states_sql[] =
    "SELECT " SQL_QUALIFIED ", CASE r.srsubstate WHEN 'i' THEN 'waiting' WHEN 'd' THEN 'copying'"
    " WHEN 'f' THEN 'copied' WHEN 's' THEN 'copied' WHEN 'r' THEN 'replicated' ELSE"
    " r.srsubstate::text END, p.bytes FROM pg_subscription_rel r JOIN pg_subscription s"
    " ON s.oid = r.srsubid AND s.subname ~ '^mrd_' JOIN pg_class c ON c.oid = r.srrelid"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN (SELECT relid, max(bytes_processed) AS bytes FROM pg_stat_progress_copy"
    " GROUP BY relid) p ON p.relid = r.srrelid";

static const char *
method_of(const struct job *j, const char *kind)
{
	if (strcmp(kind, "unlogged") == 0)
		return job_option(j, "unlogged");
	if (*kind != '\0')
		return kind;
	return move_is_online(j) ? "replication" : job_option(j, "data");
}

static void
put_table(struct job *j, const PGresult *r, int i, const PGresult *states,
	  const struct rows_sink *out)
{
	int k = find_row(states, PQgetvalue(r, i, 0));
	const char *identity = PQgetvalue(r, i, 4);
	const char *bytes = k >= 0 ? value(states, k, 2) : NULL;
	const char *state = k >= 0 ? PQgetvalue(states, k, 1) : "";
	int64_t all = strtoll(PQgetvalue(r, i, 3), NULL, 10);
	char percent[16] = "";

	if (strcmp(state, "replicated") == 0 || strcmp(state, "copied") == 0)
		snprintf(percent, sizeof(percent), "100");
	else if (bytes != NULL && all > 0)
		snprintf(percent, sizeof(percent), "%d",
			 (int)(strtoll(bytes, NULL, 10) * 100 / all > 99
				   ? 99
				   : strtoll(bytes, NULL, 10) * 100 / all));
	const char *const values[] = { PQgetvalue(r, i, 0),
				       method_of(j, PQgetvalue(r, i, 1)),
				       state,
				       value(r, i, 2),
				       PQgetvalue(r, i, 3),
				       *percent != '\0' ? percent : NULL,
				       strcmp(identity, "f") == 0 ? "REPLICA IDENTITY FULL" : "" };

	out->row(out->arg, values, sizeof(values) / sizeof(values[0]));
}

static int
show_tables(struct job *j, const struct rows_sink *out, struct err *e)
{
	PGconn *c = job_db(j, MOVE_SOURCE, e);
	PGresult *r = c != NULL ? db_query(c, e, tables_sql, 0, NULL) : NULL;
	PGresult *states;

	if (r == NULL)
		return -1;
	states = ask_target(j, states_sql);
	for (int i = 0; i < PQntuples(r); i++)
		put_table(j, r, i, states, out);
	PQclear(states);
	PQclear(r);
	return 0;
}

/* ---- sequences ---- */

static const char sequences_sql[] =
    "SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename), coalesce(last_value,"
    " start_value), CASE WHEN last_value IS NULL THEN 'f' ELSE 't' END, CASE WHEN cache_size > 1"
    " THEN 'CACHE ' || cache_size ELSE '' END FROM pg_sequences WHERE schemaname <> 'meridian'"
    " ORDER BY 1";

static int
show_sequences(struct job *j, const struct rows_sink *out, struct err *e)
{
	PGconn *c = job_db(j, MOVE_SOURCE, e);
	PGresult *r = c != NULL ? db_query(c, e, sequences_sql, 0, NULL) : NULL;
	PGresult *there;

	if (r == NULL)
		return -1;
	there = ask_target(j, sequences_sql);
	for (int i = 0; i < PQntuples(r); i++) {
		int k = find_row(there, PQgetvalue(r, i, 0));
		const char *const values[] = { PQgetvalue(r, i, 0), PQgetvalue(r, i, 1),
					       k >= 0 ? PQgetvalue(there, k, 1) : NULL,
					       PQgetvalue(r, i, 2), PQgetvalue(r, i, 3) };

		out->row(out->arg, values, sizeof(values) / sizeof(values[0]));
	}
	PQclear(there);
	PQclear(r);
	return 0;
}

/* ---- lag ---- */

static const char lag_sql[] =
    "SELECT coalesce(r.state, CASE WHEN s.active THEN 'active' WHEN to_jsonb(s) ->> 'wal_status' ="
    " 'lost' THEN 'lost' ELSE 'stopped' END), pg_wal_lsn_diff(pg_current_wal_lsn(),"
    " coalesce(r.replay_lsn, s.confirmed_flush_lsn))::bigint, extract(epoch FROM r.replay_lag) *"
    " 1000 FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid"
    " WHERE s.slot_name = $1";

static int
show_lag(struct job *j, const struct rows_sink *out)
{
	for (int backward = 0; backward < 2; backward++) {
		struct direction d;
		const char *params[1];
		struct err why;
		PGconn *c;
		PGresult *r = NULL;

		direction_of(j, backward == 1, &d);
		params[0] = d.subscription;
		c = job_db(j, d.from, &why);
		if (c != NULL)
			r = db_query(c, &why, lag_sql, 1, params);
		for (int i = 0; r != NULL && i < PQntuples(r); i++) {
			const char *const values[] = { d.to_name,      d.from_name,
						       value(r, i, 0), value(r, i, 1),
						       value(r, i, 2), d.subscription };

			out->row(out->arg, values, sizeof(values) / sizeof(values[0]));
		}
		PQclear(r);
	}
	return 0;
}

/* ---- sessions ---- */

static void
put_session(void *to, const struct gate_session *s)
{
	const struct rows_sink *out = to;
	char id[24];

	snprintf(id, sizeof(id), "%" PRIu64, s->id);
	const char *const values[] = {
		id,      s->user,  s->client_addr,         s->application_name,
		s->pool, s->state, s->movable ? "t" : "f", s->why
	};

	out->row(out->arg, values, sizeof(values) / sizeof(values[0]));
}

/* Of the side that serves. */
static int
show_sessions(struct job *j, const struct rows_sink *out)
{
	const struct site *site = job_site(j);
	struct rows_sink copy = *out;
	bool is_moved = false;
	struct direction d;
	struct gate_move m;
	struct err why;

	direction_of(j, false, &d);
	if (decision_is_forward(j, &d, &is_moved, &why) == 0 && is_moved)
		direction_of(j, true, &d);
	direction_gate(j, &d, &m);
	site->ops->gate->sessions(site->arg, &m, put_session, &copy);
	return 0;
}

int
move_show(struct job *j, enum show_topic topic, const struct rows_sink *out, struct err *e)
{
	switch (topic) {
	case SHOW_TABLES:
		return show_tables(j, out, e);
	case SHOW_SEQUENCES:
		return show_sequences(j, out, e);
	case SHOW_LAG:
		return show_lag(j, out);
	case SHOW_SESSIONS:
		return show_sessions(j, out);
	case SHOW_IMPACT:
	case SHOW_MATRIX:
		break;
	}
	return err_set(e, SQLSTATE_FEATURE_NOT_SUPPORTED,
		       "a migration of kind move has nothing to show there");
}
