/* SPDX-License-Identifier: PostgreSQL
 *
 * The preflight of a move. The source: a table of checks, each a query that gives a row (severity,
 * object, detail, fix) for what it has to say (PostgreSQL 12 to 17); then the target, the way
 * between both servers, and the sessions of this proxy.
 */
#include "config.h"

#include "migration/move/move.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migration/db.h"
#include "migration/grammar.h"
#include "migration/move/cutover.h"
#include "migration/move/sql.h"
#include "migration/move/tools.h"
#include "migration/move/verifiers.h"
#include "migration/plan.h"

#define SKEW_US    1000000
#define EXPLICIT_N 32 /* sessions that are named one by one */

/* When a check is less than its query says. */
enum ease {
	ALWAYS,
	IF_REPLICATED,   /* nothing to say without logical replication */
	IDENTITY_AUTO,   /* identity = auto: we see to it */
	OBJECTS_HANDLED, /* large_objects is not error */
	SLOTS_IGNORED,   /* foreign_slots = ignore */
};

struct source_check {
	const char *name;
	const char *sql;
	int from_version;
	enum ease ease;
};

/* Tables with c and n, whatever their persistence. */
#define TABLES SQL_FROM_TABLES
#define ATTRIBUTES                                                                       \
	" FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n" \
	" ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND " SQL_USER_SCHEMA  \
	" AND a.attnum > 0 AND NOT a.attisdropped"
#define THIS_DATABASE "(SELECT oid FROM pg_database WHERE datname = current_database())"
#define OTHER_CLIENTS                                                          \
	"a.datname = current_database() AND a.backend_type = 'client backend'" \
	" AND a.pid <> pg_backend_pid() AND a.application_name !~ '^(meridian|pg_dump)'"

/* clang-format off */
static const struct source_check checks_of_source[] = {
	{ "wal_level",
	  "SELECT 'ERROR', '', 'wal_level = ' || current_setting('wal_level'),"
	  " 'ALTER SYSTEM SET wal_level = logical; and restart'"
	  " WHERE current_setting('wal_level') <> 'logical'", 0, IF_REPLICATED },
	{ "free_slots",
	  "SELECT 'ERROR', '', (SELECT count(*) FROM pg_replication_slots) || ' of ' ||"
	  " current_setting('max_replication_slots') || ' replication slots are used',"
	  " 'raise max_replication_slots (2, and one for each table copied at once)'"
	  " WHERE (SELECT count(*) FROM pg_replication_slots WHERE slot_name !~ '^mrd_') + 4 >"
	  " current_setting('max_replication_slots')::int", 0, IF_REPLICATED },
	{ "free_walsenders",
	  "SELECT 'ERROR', '', (SELECT count(*) FROM pg_stat_replication) || ' of ' ||"
	  " current_setting('max_wal_senders') || ' walsenders are used', 'raise max_wal_senders'"
	  " WHERE (SELECT count(*) FROM pg_stat_replication WHERE application_name !~ '^mrd_') + 4 >"
	  " current_setting('max_wal_senders')::int", 0, IF_REPLICATED },
	{ "slot_wal_cap",
	  "SELECT CASE current_setting('max_slot_wal_keep_size') WHEN '-1' THEN 'WARN' ELSE 'INFO' END,"
	  " '', 'max_slot_wal_keep_size = ' || current_setting('max_slot_wal_keep_size'),"
	  " 'unlimited: a target that is down fills the disk of the source; limited: the slot is lost"
	  " then, and DATA begins again'", 130000, IF_REPLICATED },
	{ "slot_idle_limit",
	  "SELECT 'WARN', '', 'idle_replication_slot_timeout = ' ||"
	  " current_setting('idle_replication_slot_timeout'), 'the slot of a target that is down for"
	  " longer is lost, and DATA begins again'"
	  " WHERE current_setting('idle_replication_slot_timeout') <> '0'", 180000, IF_REPLICATED },
	{ "no_replica_identity",
	  "SELECT 'ERROR', " SQL_QUALIFIED ", 'UPDATE and DELETE on the source would fail once it is"
	  " published (seen so far: ' || coalesce(u.n_tup_upd, 0) || ' and ' || coalesce(u.n_tup_del, 0)"
	  " || ')', 'ALTER TABLE ' || " SQL_QUALIFIED " || ' REPLICA IDENTITY ' || coalesce('USING INDEX '"
	  " || " SQL_IDENTITY_INDEX ", 'FULL') || ', or identity = auto'"
	  " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
	  " LEFT JOIN pg_stat_all_tables u ON u.relid = c.oid WHERE c.relkind = 'r'"
	  " AND c.relpersistence = 'p' AND " SQL_USER_SCHEMA " AND "
	  SQL_NOT_OF_EXTENSION("pg_class", "c.oid") " AND NOT " SQL_HAS_IDENTITY, 0, IDENTITY_AUTO },
	{ "identity_full",
	  "SELECT 'WARN', " SQL_QUALIFIED ", 'REPLICA IDENTITY FULL: before version 16 the target reads"
	  " the whole table for each UPDATE and DELETE', 'add a primary key'" TABLES
	  " AND c.relreplident = 'f'", 0, IF_REPLICATED },
	{ "unlogged_table",
	  "SELECT 'WARN', " SQL_QUALIFIED ", 'not in the WAL: cannot be replicated', 'unlogged = empty or"
	  " freeze_copy'" TABLES " AND c.relpersistence = 'u'", 0, ALWAYS },
	{ "large_objects",
	  "SELECT 'ERROR', '', count(*) || ' large objects: logical decoding does not carry them',"
	  " 'large_objects = freeze_copy copies them in the write pause'"
	  " FROM pg_largeobject_metadata HAVING count(*) > 0", 0, OBJECTS_HANDLED },
	{ "large_object_refs",
	  "SELECT 'WARN', " SQL_QUALIFIED " || '.' || quote_ident(a.attname), 'column of type ' ||"
	  " a.atttypid::regtype || ' may name large objects', 'use bytea'" ATTRIBUTES
	  " AND (a.atttypid = 'oid'::regtype OR a.atttypid = to_regtype('lo'))", 0, ALWAYS },
	{ "extension",
	  "SELECT 'INFO', extname, 'version ' || extversion, 'must be available on the target'"
	  " FROM pg_extension WHERE extname <> 'plpgsql'", 0, ALWAYS },
	{ "extension_config",
	  "SELECT 'WARN', extname, 'has tables of its own that are not replicated',"
	  " 'copy them by hand' FROM pg_extension WHERE extconfig IS NOT NULL", 0, ALWAYS },
	{ "matview",
	  "SELECT 'INFO', " SQL_QUALIFIED ", 'is refreshed on the target', 'matviews = refresh_before,"
	  " refresh_after or skip' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
	  " WHERE c.relkind = 'm' AND " SQL_USER_SCHEMA, 0, ALWAYS },
	{ "foreign_table",
	  "SELECT 'WARN', " SQL_QUALIFIED ", 'its server must be reachable from the new region',"
	  " 'check the address of the foreign server' FROM pg_class c JOIN pg_namespace n"
	  " ON n.oid = c.relnamespace WHERE c.relkind = 'f' AND " SQL_USER_SCHEMA, 0, ALWAYS },
	{ "partition_root",
	  "SELECT 'INFO', " SQL_QUALIFIED ", 'its partitions are replicated one by one', 'new partitions"
	  " wait until the move is over'" TABLES " AND c.relkind = 'p'", 0, ALWAYS },
	{ "row_security",
	  "SELECT 'WARN', " SQL_QUALIFIED ", 'has row level security', 'the role that owns the"
	  " subscription must bypass it'" TABLES " AND c.relrowsecurity", 0, IF_REPLICATED },
	{ "replica_trigger",
	  "SELECT 'WARN', " SQL_QUALIFIED " || '.' || quote_ident(g.tgname), 'ENABLE REPLICA or ALWAYS:"
	  " fires on the target for every change that arrives', 'what it does may be done twice'"
	  " FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n"
	  " ON n.oid = c.relnamespace WHERE NOT g.tgisinternal AND g.tgenabled IN ('R', 'A')",
	  0, IF_REPLICATED },
	{ "event_trigger",
	  "SELECT 'WARN', evtname::text, 'on ' || evtevent, 'fires when the schema is made on the target'"
	  " FROM pg_event_trigger WHERE evtname !~ '^meridian_'", 0, ALWAYS },
	{ "other_slot",
	  "SELECT 'ERROR', slot_name::text, plugin || ' slot, ' || CASE WHEN active THEN 'in use' ELSE"
	  " 'not in use' END || ': who reads it loses its position at the switch',"
	  " 'foreign_slots = ignore' FROM pg_replication_slots WHERE slot_type = 'logical'"
	  " AND database = current_database() AND slot_name !~ '^mrd_'"
	  " AND slot_name !~ '^pg_[0-9]+_sync_'", 0, SLOTS_IGNORED },
	{ "other_publication",
	  "SELECT 'WARN', pubname::text, 'its subscribers stay with the source', 'let them subscribe"
	  " anew after the move' FROM pg_publication WHERE pubname !~ '^mrd_'", 0, ALWAYS },
	{ "other_subscription",
	  "SELECT 'ERROR', subname::text, 'the database is itself a subscriber', 'drop the subscription'"
	  " FROM pg_subscription WHERE subdbid = " THIS_DATABASE " AND subname !~ '^mrd_'", 0, ALWAYS },
	{ "prepared_xact",
	  "SELECT 'ERROR', gid, 'prepared by ' || owner || ' ' || date_trunc('second', now() - prepared)"
	  " || ' ago: the slot waits for it for ever', 'COMMIT PREPARED or ROLLBACK PREPARED'"
	  " FROM pg_prepared_xacts", 0, ALWAYS },
	{ "long_xact",
	  "SELECT 'WARN', a.pid::text, a.usename || ' has had a transaction open for ' ||"
	  " date_trunc('second', now() - a.xact_start) || ' (' || a.state || ')', 'the slot waits for it'"
	  " FROM pg_stat_activity a WHERE a.xact_start < now() - interval '30 s'"
	  " AND a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()", 0, ALWAYS },
	{ "direct_clients",
	  "SELECT 'WARN', coalesce(host(a.client_addr), 'local') || ' ' || a.application_name,"
	  " count(*) || ' sessions of ' || a.usename, 'those that do not come through Meridian meet the"
	  " fence (MR001) after the switch' FROM pg_stat_activity a WHERE " OTHER_CLIENTS
	  " GROUP BY a.client_addr, a.application_name, a.usename", 0, ALWAYS },
	{ "superuser_clients",
	  "SELECT DISTINCT 'WARN', a.usename::text, 'an application that is superuser could pass the"
	  " fence (session_replication_role)', 'use a plain role' FROM pg_stat_activity a"
	  " JOIN pg_roles r ON r.oid = a.usesysid WHERE r.rolsuper AND " OTHER_CLIENTS, 0, ALWAYS },
	{ "sequence_cache",
	  "SELECT 'INFO', quote_ident(schemaname) || '.' || quote_ident(sequencename), 'CACHE ' ||"
	  " cache_size || ': sessions hold values in reserve', 'the target begins behind them'"
	  " FROM pg_sequences WHERE cache_size > 1 AND schemaname <> 'meridian'", 0, ALWAYS },
	{ "sequences",
	  "SELECT 'INFO', '', count(*) || ' sequences', 'set on the target in the write pause'"
	  " FROM pg_sequences WHERE schemaname <> 'meridian'", 0, ALWAYS },
	{ "volatile_on_oid",
	  "SELECT 'WARN', " SQL_QUALIFIED " || '.' || quote_ident(a.attname), a.atttypid::regtype ||"
	  " ' column: the numbers inside differ on the target', 'store names'" ATTRIBUTES
	  " AND a.atttypid IN ('regclass'::regtype, 'regproc'::regtype, 'regprocedure'::regtype,"
	  " 'regtype'::regtype, 'regoper'::regtype, 'regconfig'::regtype, 'xid'::regtype,"
	  " 'cid'::regtype)", 0, ALWAYS },
	{ "collation",
	  "SELECT 'WARN', datname::text, datcollate || ' / ' || datctype || ', provider ' ||"
	  " datlocprovider::text || ', version ' || coalesce(pg_database_collation_actual_version(oid), '-'),"
	  " 'the same on the target, or indexes on text are in another order there' FROM pg_database"
	  " WHERE datname = current_database() AND datcollate NOT IN ('C', 'POSIX', 'C.UTF-8')",
	  150000, ALWAYS },
	{ "encoding",
	  "SELECT 'INFO', datname::text, pg_encoding_to_char(encoding), 'the same on the target'"
	  " FROM pg_database WHERE datname = current_database()", 0, ALWAYS },
	{ "db_setting",
	  "SELECT 'INFO', coalesce(r.rolname, '*'), array_to_string(s.setconfig, ', '), 'set on the target"
	  " too' FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole"
	  " WHERE s.setdatabase = " THIS_DATABASE, 0, ALWAYS },
	{ "size",
	  "SELECT 'INFO', current_database()::text, pg_size_pretty(pg_database_size(current_database())),"
	  " 'the target needs about a third more while it copies'", 0, ALWAYS },
};
/* clang-format on */

#define NCHECKS (sizeof(checks_of_source) / sizeof(checks_of_source[0]))

static enum check_severity
severity_of(const char *word)
{
	return strcmp(word, "ERROR") == 0  ? CHECK_ERROR
	       : strcmp(word, "WARN") == 0 ? CHECK_WARN
					   : CHECK_INFO;
}

/* A check for each row (severity, object, detail, fix) of the query. */
static int
ask(PGconn *c, const char *check, const char *sql, const char *param, struct checks *out,
    struct err *e)
{
	const char *const params[] = { param };
	PGresult *r = db_query(c, e, sql, param != NULL ? 1 : 0, params);

	if (r == NULL)
		return err_prefix(e, "check %s", check);
	for (int i = 0; i < PQntuples(r); i++)
		checks_add(out, severity_of(PQgetvalue(r, i, 0)), check, PQgetvalue(r, i, 1),
			   PQgetvalue(r, i, 2), PQgetvalue(r, i, 3));
	PQclear(r);
	return 0;
}

static int
check_source(struct job *j, PGconn *c, const struct source_check *check, struct checks *out,
	     struct err *e)
{
	size_t from = out->n;

	if (PQserverVersion(c) < check->from_version)
		return 0;
	if ((check->ease == IF_REPLICATED || check->ease == IDENTITY_AUTO) && !move_is_online(j))
		return 0;
	if (ask(c, check->name, check->sql, NULL, out, e) != 0)
		return -1;
	for (; from < out->n; from++) {
		if (check->ease == IDENTITY_AUTO && job_option_is(j, "identity", "auto"))
			out->v[from].severity = CHECK_INFO;
		if ((check->ease == OBJECTS_HANDLED &&
		     !job_option_is(j, "large_objects", "error")) ||
		    (check->ease == SLOTS_IGNORED && job_option_is(j, "foreign_slots", "ignore")))
			out->v[from].severity = CHECK_WARN;
	}
	return 0;
}

/* Two moves of a database would take back each other's fences. A row that is no home any more is a
 * copy. */
static const char others_sql[] =
    "SELECT 'ERROR', 'migration ' || id || ' ' || name, 'moves this database: ' || state, fix FROM"
    " meridian.migration, (VALUES ('COMPLETE, REVERSE or ABORT that one first')) f(fix) WHERE"
    " is_home AND kind = 'move' AND id <> $1::int AND db = current_database() AND state"
    " NOT IN ('created', 'preflight-success', 'preflight-error', 'done', 'aborted', 'reversed')"
    " UNION ALL SELECT 'ERROR', 'database ' || db, 'is served by ' || serves, fix FROM"
    " meridian.authority, (VALUES ('COMPLETE, REVERSE or ABORT that one first')) f(fix)"
    " WHERE db = current_database() AND decision = 'away'";

int
move_check_source(struct job *j, PGconn *c, struct checks *out, struct err *e)
{
	bool is_there = false;
	char id[16];

	for (size_t i = 0; i < NCHECKS; i++)
		if (check_source(j, c, &checks_of_source[i], out, e) != 0)
			return -1;
	if (db_is(c, &is_there, e, "SELECT to_regclass('meridian.authority') IS NOT NULL", 0,
		  NULL) != 0)
		return -1;
	snprintf(id, sizeof(id), "%d", job_id(j));
	return is_there ? ask(c, "other_migration", others_sql, id, out, e) : 0;
}

/* ---- the target, and the way between both ---- */

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
check_server(struct job *j, PGconn *source, PGconn *target, struct checks *out, struct err *e)
{
	int here = PQserverVersion(source) / 10000, there = PQserverVersion(target) / 10000, rc;
	struct gate_logins *logins;
	unsigned closed;
	char text[96];

	snprintf(text, sizeof(text), "source %d, target %d", here, there);
	if (here > there)
		checks_add(out, CHECK_ERROR, "target_version", "", text,
			   "the target must not be older than the source");
	if (ask(source, "rights", rights_sql, "on the source", out, e) != 0 ||
	    ask(target, "rights", rights_sql, "on the target", out, e) != 0)
		return -1;
	if (!job_step_done(j, "database", NULL) &&
	    ask(target, "target_database", database_sql, job_dbname(j, MOVE_TARGET), out, e) != 0)
		return -1;
	if (check_extensions(source, target, out, e) != 0 ||
	    check_skew(source, target, out, e) != 0)
		return -1;
	logins = move_logins(j);
	rc = move_check_verifiers(j, source, target, logins, out, &closed, e);
	if (logins != NULL)
		job_site(j)->ops->gate->logins_free(logins);
	if (rc != 0)
		return -1;
	if (!move_is_online(j))
		return 0;
	if (ask(target, "target_workers", workers_sql, NULL, out, e) != 0)
		return -1;
	check_reach(j, target, MOVE_SOURCE, "target_reaches_source", out);
	if (move_has_way_back(j))
		check_reach(j, source, MOVE_TARGET, "source_reaches_target", out);
	return 0;
}

int
move_check_target(struct job *j, PGconn *source, struct checks *out, struct err *e)
{
	static const char *const programs[] = { "pg_dump", "pg_restore" };
	struct err why = { 0 };
	PGconn *target;
	int rc;

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		char *path = tool_of_job(j, programs[i], &why);

		if (path == NULL)
			checks_add(out, CHECK_ERROR, "programs", programs[i], why.msg, why.hint);
		free(path);
	}
	target = job_db_new(j, MOVE_TARGET, "postgres", &why);
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
