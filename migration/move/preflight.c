/* SPDX-License-Identifier: PostgreSQL
 *
 * What is asked of the source before a move: a table of checks, each a query that gives a row
 * (severity, object, detail, fix) for what it has to say. PostgreSQL 12 to 17.
 */
#include "config.h"

#include "migration/move/move.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migration/db.h"
#include "migration/move/sql.h"

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
severity_of(const struct job *j, const struct source_check *check, const char *word)
{
	enum check_severity severity = strcmp(word, "ERROR") == 0  ? CHECK_ERROR
				       : strcmp(word, "WARN") == 0 ? CHECK_WARN
								   : CHECK_INFO;

	if (check->ease == IDENTITY_AUTO && job_option_is(j, "identity", "auto"))
		return CHECK_INFO;
	if ((check->ease == OBJECTS_HANDLED && !job_option_is(j, "large_objects", "error")) ||
	    (check->ease == SLOTS_IGNORED && job_option_is(j, "foreign_slots", "ignore")))
		return CHECK_WARN;
	return severity;
}

static int
run_check(struct job *j, PGconn *c, const struct source_check *check, struct checks *out,
	  struct err *e)
{
	PGresult *r = db_query(c, e, check->sql, 0, NULL);

	if (r == NULL)
		return err_prefix(e, "check %s", check->name);
	for (int i = 0; i < PQntuples(r); i++)
		checks_add(out, severity_of(j, check, PQgetvalue(r, i, 0)), check->name,
			   PQgetvalue(r, i, 1), PQgetvalue(r, i, 2), PQgetvalue(r, i, 3));
	PQclear(r);
	return 0;
}

/* Two of them would take back each other's fences. A row that has no home any more is a copy. */
static const char others_sql[] =
    "SELECT 'migration ' || id || ' ' || name, 'moves this database: ' || state FROM"
    " meridian.migration WHERE is_home AND kind = 'move' AND id <> $1::int AND db = $2 AND state"
    " NOT IN ('created', 'preflight-success', 'preflight-error', 'done', 'aborted', 'reversed')"
    " UNION ALL SELECT 'database ' || db, 'is served by ' || serves FROM meridian.authority"
    " WHERE db = $2 AND decision = 'away'";

static int
check_others(struct job *j, PGconn *c, struct checks *out, struct err *e)
{
	bool is_there = false;
	char id[16];
	const char *const params[] = { id, job_database(j) };
	PGresult *r;

	if (db_is(c, &is_there, e, "SELECT to_regclass('meridian.authority') IS NOT NULL", 0,
		  NULL) != 0)
		return -1;
	if (!is_there)
		return 0;
	snprintf(id, sizeof(id), "%d", job_id(j));
	r = db_query(c, e, others_sql, 2, params);
	if (r == NULL)
		return err_prefix(e, "check other_migration");
	for (int i = 0; i < PQntuples(r); i++)
		checks_add(out, CHECK_ERROR, "other_migration", PQgetvalue(r, i, 0),
			   PQgetvalue(r, i, 1), "COMPLETE, REVERSE or ABORT that one first");
	PQclear(r);
	return 0;
}

int
move_check_source(struct job *j, PGconn *c, struct checks *out, struct err *e)
{
	for (size_t i = 0; i < NCHECKS; i++) {
		const struct source_check *check = &checks_of_source[i];

		if (PQserverVersion(c) < check->from_version)
			continue;
		if ((check->ease == IF_REPLICATED || check->ease == IDENTITY_AUTO) &&
		    !move_is_online(j))
			continue;
		if (run_check(j, c, check, out, e) != 0)
			return -1;
	}
	return check_others(j, c, out, e);
}
