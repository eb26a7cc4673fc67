/* SPDX-License-Identifier: PostgreSQL
 *
 * What is asked of the target before a move, of the way between both servers, and of the sessions
 * of this proxy.
 */
#include "config.h"

#include "migration/move/move.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/db.h"
#include "migration/grammar.h"
#include "migration/move/cutover.h"
#include "migration/move/sql.h"
#include "migration/move/tools.h"
#include "migration/move/verifiers.h"

#define SKEW_US    1000000
#define EXPLICIT_N 32 /* sessions that are named one by one */

static void
check_versions(PGconn *source, PGconn *target, struct checks *out)
{
	char text[96];
	int a = PQserverVersion(source) / 10000, b = PQserverVersion(target) / 10000;

	if (a <= b)
		return;
	snprintf(text, sizeof(text), "source %d, target %d", a, b);
	checks_add(out, CHECK_ERROR, "target_version", "", text,
		   "the target must not be older than the source");
}

/* A query about the target with the rows of struct source_check; params as it needs. */
static int
ask(PGconn *c, const char *check, const char *sql, const char *param, struct checks *out,
    struct err *e)
{
	const char *const params[] = { param };
	PGresult *r = db_query(c, e, sql, param != NULL ? 1 : 0, params);

	if (r == NULL)
		return err_prefix(e, "check %s", check);
	for (int i = 0; i < PQntuples(r); i++)
		checks_add(out,
			   strcmp(PQgetvalue(r, i, 0), "ERROR") == 0 ? CHECK_ERROR : CHECK_WARN,
			   check, PQgetvalue(r, i, 1), PQgetvalue(r, i, 2), PQgetvalue(r, i, 3));
	PQclear(r);
	return 0;
}

static int
check_extensions(PGconn *source, PGconn *target, struct checks *out, struct err *e)
{
	char *list = NULL;
	int rc;

	if (db_value(source, &list, e,
		     "SELECT coalesce(json_object_agg(extname, extversion), '{}')::text"
		     " FROM pg_extension",
		     0, NULL) < 0)
		return -1;
	rc = ask(
	    target, "target_extension",
	    "SELECT 'ERROR', x.key, 'version ' || x.value || ' is not available on the target',"
	    " 'install its package there' FROM json_each_text($1::json) x WHERE NOT EXISTS (SELECT"
	    " FROM pg_available_extension_versions v WHERE v.name = x.key AND v.version = x.value)",
	    list, out, e);
	free(list);
	return rc;
}

static int
check_skew(PGconn *source, PGconn *target, struct checks *out, struct err *e)
{
	static const char clock[] =
	    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
	int64_t a = 0, b = 0;
	char text[64];

	if (db_int(source, &a, e, clock, 0, NULL) != 0 ||
	    db_int(target, &b, e, clock, 0, NULL) != 0)
		return -1;
	if (llabs(a - b) < SKEW_US)
		return 0;
	snprintf(text, sizeof(text), "the clocks differ by %.1f s", (double)llabs(a - b) / 1e6);
	checks_add(out, CHECK_WARN, "clock_skew", "", text, "run a time service on both");
	return 0;
}

static const char database_sql[] =
    "SELECT 'ERROR', datname::text, 'exists already on the target', 'DROP DATABASE there, or AS"
    " another name' FROM pg_database WHERE datname = $1";

static const char workers_sql[] =
    "SELECT 'ERROR', '', 'max_logical_replication_workers = ' || current_setting("
    "'max_logical_replication_workers') || ', of which ' || (SELECT count(*) FROM"
    " pg_stat_subscription WHERE pid IS NOT NULL) || ' are busy', 'raise it'"
    " WHERE (SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL) + 2 >"
    " current_setting('max_logical_replication_workers')::int"
    " UNION ALL SELECT 'ERROR', '', 'max_replication_slots = 0 on the target', 'raise it'"
    " WHERE current_setting('max_replication_slots')::int < 2"
    " UNION ALL SELECT 'WARN', '', 'wal_level = ' || current_setting('wal_level') ||"
    " ' on the target: there is no way back', 'wal_level = logical there, or reverse = off'"
    " WHERE current_setting('wal_level') <> 'logical'";

static const char rights_sql[] =
    "SELECT 'ERROR', current_user::text, 'is no superuser ' || $1, 'migration_conninfo: a role"
    " that may make roles, databases, subscriptions and event triggers'"
    " WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)";

/* The server at `c` connects to the other one as a subscriber would, in a transaction that is
 * taken back. */
static void
check_reach(struct job *j, PGconn *c, const char *peer_place, const char *check, struct checks *out)
{
	bool direct = !job_option_is(j, "connection", "through_meridian");
	struct err why = { 0 };
	char *peer, *literal;

	/* The database of the target may not be there yet. */
	peer = move_peer_conninfo(
	    j, peer_place,
	    strcmp(peer_place, MOVE_TARGET) == 0 ? "postgres" : job_dbname(j, peer_place), &why);
	if (peer == NULL) {
		checks_add(out, CHECK_ERROR, check, "", why.msg, why.hint);
		return;
	}
	literal = db_literal(c, peer);
	if (db_exec(c, &why, "BEGIN") == 0 && db_exec(c, &why, SQL_SECRETLY("true")) == 0)
		db_execf(c, &why,
			 "CREATE SUBSCRIPTION mrd_reach CONNECTION %s PUBLICATION mrd_reach WITH"
			 " (create_slot = false, enabled = false, copy_data = false,"
			 " slot_name = NONE)",
			 literal);
	db_exec(c, NULL, "ROLLBACK");
	if (why.msg[0] != '\0')
		checks_add(out, CHECK_ERROR, check, "", why.msg,
			   direct ? "pg_hba.conf there, migration_peer_conninfo of its region, or "
				    "connection = through_meridian"
				  : "migration_through_conninfo of the region that replicates, the "
				    "login at Meridian, or pg_hba.conf of the other one");
	free(peer);
	free(literal);
}

static int
check_logical(struct job *j, PGconn *source, PGconn *target, struct checks *out, struct err *e)
{
	if (!move_is_online(j))
		return 0;
	if (ask(target, "target_workers", workers_sql, NULL, out, e) != 0)
		return -1;
	check_reach(j, target, MOVE_SOURCE, "target_reaches_source", out);
	if (move_has_way_back(j))
		check_reach(j, source, MOVE_TARGET, "source_reaches_target", out);
	return 0;
}

static void
check_programs(struct job *j, struct checks *out)
{
	static const char *const programs[] = { "pg_dump", "pg_restore" };
	struct err why = { 0 };

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		char *path = tool_of_job(j, programs[i], &why);

		if (path == NULL)
			checks_add(out, CHECK_ERROR, "programs", programs[i], why.msg, why.hint);
		free(path);
	}
}

static int
check_verifiers(struct job *j, PGconn *source, PGconn *target, struct checks *out, struct err *e)
{
	struct gate_logins *logins = move_logins(j);
	unsigned closed;
	int rc = move_check_verifiers(j, source, target, logins, out, &closed, e);

	if (logins != NULL)
		job_site(j)->ops->gate->logins_free(logins);
	return rc;
}

static int
check_server(struct job *j, PGconn *source, PGconn *target, struct checks *out, struct err *e)
{
	check_versions(source, target, out);
	if (ask(source, "rights", rights_sql, "on the source", out, e) != 0 ||
	    ask(target, "rights", rights_sql, "on the target", out, e) != 0)
		return -1;
	if (!job_step_done(j, "database", NULL) &&
	    ask(target, "target_database", database_sql, job_dbname(j, MOVE_TARGET), out, e) != 0)
		return -1;
	if (check_extensions(source, target, out, e) != 0 ||
	    check_skew(source, target, out, e) != 0 ||
	    check_verifiers(j, source, target, out, e) != 0)
		return -1;
	return check_logical(j, source, target, out, e);
}

int
move_check_target(struct job *j, PGconn *source, struct checks *out, struct err *e)
{
	struct err why = { 0 };
	PGconn *target = job_db_new(j, MOVE_TARGET, "postgres", &why);
	int rc;

	check_programs(j, out);
	if (target == NULL) {
		checks_add(out, CHECK_ERROR, "target_reachable", job_spec(j)->to, why.msg,
			   "migration_conninfo, and the region's nodes");
		return 0;
	}
	rc = check_server(j, source, target, out, e);
	PQfinish(target);
	return rc;
}

/* ---- sessions of this proxy ---- */

struct pinned {
	struct checks *out;
	unsigned n;
};

static void
add_pinned(void *to, const struct gate_session *s)
{
	struct pinned *p = to;
	char object[96];

	if (s->movable || ++p->n > EXPLICIT_N)
		return;
	snprintf(object, sizeof(object), "session %llu", (unsigned long long)s->id);
	checks_add(p->out, CHECK_WARN, "pinned_session", object, s->why,
		   "it is told to reconnect at the switch (57P01)");
}

int
move_check_sessions(struct job *j, struct checks *out)
{
	const struct gate_ops *gate = job_site(j)->ops->gate;
	struct pinned p = { .out = out };
	struct direction d;
	struct gate_move m;
	char text[64];

	if (gate == NULL)
		return 0;
	direction_of(j, false, &d);
	direction_gate(j, &d, &m);
	gate->sessions(job_site(j)->arg, &m, add_pinned, &p);
	if (p.n > EXPLICIT_N) {
		snprintf(text, sizeof(text), "%u more sessions cannot be moved", p.n - EXPLICIT_N);
		checks_add(out, CHECK_WARN, "pinned_session", "", text,
			   "SHOW MIGRATION m SESSIONS lists them");
	}
	return 0;
}
