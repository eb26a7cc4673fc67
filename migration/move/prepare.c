/* SPDX-License-Identifier: PostgreSQL
 *
 * PREPARE on the source: functions, the fence (not in force), schema changes blocked. Nothing that
 * stops a reader or a writer for longer than lock_timeout.
 */
#include "config.h"

#include "migration/move/move.h"

#include <stdlib.h>

#include "migration/db.h"
#include "migration/grammar.h"
#include "migration/move/sql.h"
#include "migration/store.h"

/* A test (SQL with one column) at the place of the step. */
static int
holds_at(struct job *j, const struct migration_step *s, bool *out, struct err *e, const char *sql)
{
	PGconn *c = job_db(j, s->place, e);

	return c != NULL ? db_is(c, out, e, sql, 0, NULL) : -1;
}

/* ---- control_source ---- */

static const char ddl_block[] =
    "CREATE OR REPLACE FUNCTION meridian.ddl_block() RETURNS event_trigger LANGUAGE plpgsql"
    " SECURITY DEFINER SET search_path = pg_catalog AS $f$\n"
    "DECLARE r record; what text;\n"
    "BEGIN\n"
    " IF current_setting('meridian.internal', true) = 'on' THEN RETURN; END IF;\n"
    " IF tg_event = 'sql_drop' THEN\n"
    "  SELECT object_identity INTO what FROM pg_event_trigger_dropped_objects()\n"
    "   WHERE original AND coalesce(schema_name, '') !~ '^pg_temp' LIMIT 1;\n"
    " ELSIF tg_tag <> 'REFRESH MATERIALIZED VIEW' THEN\n"
    "  SELECT coalesce(object_identity, '') INTO what FROM pg_event_trigger_ddl_commands()\n"
    "   WHERE coalesce(schema_name, '') !~ '^pg_temp' LIMIT 1;\n"
    " END IF;\n"
    " IF what IS NULL THEN RETURN; END IF;\n"
    " IF EXISTS (SELECT FROM meridian.marker WHERE kind = 'ddl' AND payload = '\"record\"') THEN\n"
    "  INSERT INTO meridian.ddl_log(role, tag, object, query)"
    " VALUES (session_user, tg_tag, what,\n"
    /* that of all statements of the message: passwords may stand beside it */
    "   CASE WHEN current_query() !~* '(passw|pwd|secret|server|mapping|subscription|encrypted)'"
    " THEN left(current_query(), 10000) END);\n"
    "  RETURN;\n"
    " END IF;\n"
    " RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE ="
    " 'schema changes are blocked: the database is being moved',"
    " DETAIL = tg_tag || ' ' || what,"
    " HINT = 'Wait for its migration to end, or ABORT it.';\n"
    "END $f$";

/* The row of meridian.authority before anything is decided; how many were made (0: there is one),
 * -1. */
static int
put_authority(struct job *j, PGconn *c, bool is_writable, struct err *e)
{
	const char *const params[] = { job_database(j), is_writable ? "t" : "f", job_spec(j)->from,
				       job_dbname(j, MOVE_SOURCE) };
	PGresult *r = db_query(c, e,
			       "INSERT INTO meridian.authority(db, epoch, writable, serves, newdb)"
			       " VALUES ($1, 1, $2, $3, $4) ON CONFLICT (db) DO NOTHING",
			       4, params);
	int n = r != NULL ? atoi(PQcmdTuples(r)) : -1;

	PQclear(r);
	return n;
}

static int
control_source_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	int n;

	if (c == NULL || db_exec(c, e, SQL_FENCE_FUNCTION) != 0 || db_exec(c, e, ddl_block) != 0)
		return -1;
	n = put_authority(j, c, true, e);
	if (n < 0)
		return -1;
	return n > 0 ? job_note_undo(j, "{\"authority\": true}", e) : 0;
}

static int
control_source_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);
	char *db;
	int rc;

	if (c == NULL)
		return -1;
	db = db_literal(c, job_database(j));
	rc = db_execf(c, e,
		      "DROP FUNCTION IF EXISTS meridian.fence();"
		      " DROP FUNCTION IF EXISTS meridian.ddl_block();"
		      " DELETE FROM meridian.marker WHERE mig = %d;"
		      " DELETE FROM meridian.authority WHERE db = %s AND %s"
		      " AND decision IS DISTINCT FROM 'back'", /* then it is what proxies go by */
		      job_id(j), db, s->undo != NULL ? "true" : "false");
	free(db);
	return rc;
}

MOVE_STEP(move_control_source, "control_source", PHASE_PREPARE, CLASS_T, .act = control_source_act,
	  .undo = control_source_undo);

/* ---- identity ---- */

#define SQL_NO_IDENTITY                                                        \
	SQL_FROM_TABLES " AND c.relkind = 'r' AND c.relpersistence = 'p' AND " \
			"NOT " SQL_HAS_IDENTITY

static int
identity_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	return holds_at(j, s, is_done, e, "SELECT NOT EXISTS (SELECT" SQL_NO_IDENTITY ")");
}

static int
identity_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	if (c == NULL)
		return -1;
	/* What they had, for the way back: committed before the first of them changes. */
	if (db_execf(c, e,
		     "INSERT INTO meridian.marker(mig, kind, at, payload) SELECT %d, 'identity',"
		     " clock_timestamp(), coalesce((SELECT "
		     "jsonb_agg(jsonb_build_object('table', " SQL_QUALIFIED
		     ", 'identity', c.relreplident::text, 'index', NULL))" SQL_NO_IDENTITY
		     "), '[]') ON CONFLICT (mig, kind) DO NOTHING",
		     job_id(j)) != 0)
		return -1;
	return move_each(j, c,
			 "SELECT " SQL_QUALIFIED " || ' REPLICA IDENTITY ' || coalesce("
			 "'USING INDEX ' || " SQL_IDENTITY_INDEX ", 'FULL')" SQL_NO_IDENTITY
			 " ORDER BY 1",
			 "ALTER TABLE %s", e) >= 0
		   ? 0
		   : -1;
}

static int
identity_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	return c != NULL ? move_restore_identity(j, c, e) : -1;
}

MOVE_STEP(move_identity, "identity", PHASE_PREPARE, CLASS_I, .done = identity_done,
	  .act = identity_act, .undo = identity_undo);

/* ---- ddl_block ---- */

static int
ddl_block_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	if (c == NULL)
		return -1;
	if (job_option_is(j, "ddl", "record") &&
	    (db_exec(
		 c, e,
		 "CREATE TABLE IF NOT EXISTS meridian.ddl_log(n bigserial PRIMARY KEY, at"
		 " timestamptz NOT NULL DEFAULT clock_timestamp(), role text NOT NULL, tag text NOT"
		 " NULL, object text NOT NULL, query text, told bool NOT NULL DEFAULT false)") !=
		 0 ||
	     db_execf(c, e,
		      "INSERT INTO meridian.marker(mig, kind, at, payload) VALUES (%d, 'ddl',"
		      " clock_timestamp(), '\"record\"') ON CONFLICT (mig, kind) DO NOTHING",
		      job_id(j)) != 0))
		return -1;
	return db_exec(c, e,
		       "CREATE EVENT TRIGGER meridian_ddl ON ddl_command_end"
		       " EXECUTE FUNCTION meridian.ddl_block();"
		       " CREATE EVENT TRIGGER meridian_drop ON sql_drop"
		       " EXECUTE FUNCTION meridian.ddl_block()");
}

static int
ddl_block_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	if (c == NULL)
		return -1;
	return db_exec(c, e,
		       "DROP EVENT TRIGGER IF EXISTS meridian_ddl;"
		       " DROP EVENT TRIGGER IF EXISTS meridian_drop;"
		       " DROP TABLE IF EXISTS meridian.ddl_log");
}

MOVE_STEP(move_ddl_block, "ddl_block", PHASE_PREPARE, CLASS_T, .act = ddl_block_act,
	  .undo = ddl_block_undo);

/* ---- fences ---- */

#define SQL_WITHOUT_FENCE                                                                         \
	SQL_TABLES " AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid" \
		   " AND g.tgname = 'meridian_fence')"

#define CREATE_FENCE                                                                        \
	"CREATE TRIGGER meridian_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s" \
	" FOR EACH STATEMENT EXECUTE FUNCTION meridian.fence()"

/* Give every table its fence; a new one is in the state that is asked for. */
static int
lay_fences(struct job *j, PGconn *c, bool in_force, struct err *e)
{
	int n = move_each(j, c, SQL_WITHOUT_FENCE " ORDER BY 1",
			  in_force ? CREATE_FENCE
				   : CREATE_FENCE "; ALTER TABLE %s DISABLE TRIGGER meridian_fence",
			  e);

	if (n > 0)
		job_progress(j, -1, "%d tables have a fence", n);
	return n >= 0 ? 0 : -1;
}

static int
fence_laid(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	return holds_at(j, s, is_done, e, "SELECT NOT EXISTS (" SQL_WITHOUT_FENCE ")");
}

static int
fence_source_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	return c != NULL ? lay_fences(j, c, false, e) : -1;
}

static int
fence_source_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	return c != NULL ? move_drop_fences(j, c, e) : -1;
}

MOVE_STEP(move_fence_source_disabled, "fence_source_disabled", PHASE_PREPARE, CLASS_I,
	  .done = fence_laid, .act = fence_source_act, .undo = fence_source_undo);

/* Tables have come with their fence: see control_target. */
static int
fence_target_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	return holds_at(j, s, is_done, e,
			"SELECT NOT EXISTS (" SQL_WITHOUT_FENCE ") AND NOT EXISTS"
			" (SELECT FROM pg_event_trigger WHERE evtname = 'meridian_new')");
}

static int
fence_target_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	if (c == NULL || lay_fences(j, c, true, e) != 0)
		return -1;
	return db_exec(c, e,
		       "DROP EVENT TRIGGER IF EXISTS meridian_new;"
		       " DROP FUNCTION IF EXISTS meridian.fence_new()");
}

/* It goes with the database. */
MOVE_STEP(move_fence_target, "fence_target", PHASE_PREPARE, CLASS_I, .done = fence_target_done,
	  .act = fence_target_act);

/* ---- read_only, stop_writes: the fence on the source, for good ---- */

static int
writes_stopped(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	return holds_at(j, s, is_done, e,
			"SELECT NOT EXISTS (" SQL_FENCES
			" AND g.tgenabled = 'D') AND EXISTS (SELECT"
			" FROM meridian.authority WHERE NOT writable)");
}

static int
set_writes(struct job *j, PGconn *c, bool allowed, struct err *e)
{
	struct buf sql = { .cap = 0 };
	char *db = db_literal(c, job_database(j));
	int rc = move_put_fences(c, allowed ? "DISABLE" : "ENABLE", &sql, e);

	if (rc == 0) {
		buf_printf(&sql, "UPDATE meridian.authority SET writable = %s WHERE db = %s",
			   allowed ? "true" : "false", db);
		rc = job_exec_retry(j, c, buf_text(&sql), e);
	}
	free(db);
	buf_fini(&sql);
	return rc;
}

static int
stop_writes_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	return c != NULL ? set_writes(j, c, false, e) : -1;
}

static int
stop_writes_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	return c != NULL ? set_writes(j, c, true, e) : -1;
}

MOVE_STEP(move_read_only, "read_only", PHASE_PREPARE, CLASS_I, .done = writes_stopped,
	  .act = stop_writes_act, .undo = stop_writes_undo);

MOVE_STEP(move_stop_writes, "stop_writes", PHASE_DATA, CLASS_I, .done = writes_stopped,
	  .act = stop_writes_act, .undo = stop_writes_undo);

/* ---- control_target ---- */

/* A table never exists without its fence: clients of the target could write it. */
static const char fence_new[] =
    "CREATE OR REPLACE FUNCTION meridian.fence_new() RETURNS event_trigger LANGUAGE plpgsql"
    " SET search_path = pg_catalog AS $f$\n"
    "DECLARE r record;\n"
    "BEGIN\n"
    " FOR r IN SELECT c.oid FROM pg_event_trigger_ddl_commands() d JOIN pg_class c"
    " ON c.oid = d.objid WHERE d.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p')"
    " AND c.relpersistence <> 't' AND NOT d.in_extension AND d.schema_name <> 'meridian' LOOP\n"
    "  EXECUTE format('CREATE TRIGGER meridian_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE"
    " ON %s FOR EACH STATEMENT EXECUTE FUNCTION meridian.fence()', r.oid::regclass);\n"
    " END LOOP;\n"
    "END $f$;"
    " DROP EVENT TRIGGER IF EXISTS meridian_new;"
    " CREATE EVENT TRIGGER meridian_new ON ddl_command_end"
    " WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO')"
    " EXECUTE FUNCTION meridian.fence_new()";

static int
control_target_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	if (c == NULL)
		return -1;
	if (db_is(c, is_done, e, "SELECT to_regprocedure('meridian.fence()') IS NOT NULL", 0,
		  NULL) != 0 ||
	    !*is_done)
		return *is_done ? -1 : 0;
	return db_is(c, is_done, e, "SELECT EXISTS (SELECT FROM meridian.authority)", 0, NULL);
}

static int
control_target_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	if (c == NULL || store_create(c, e) != 0 || db_exec(c, e, SQL_FENCE_FUNCTION) != 0 ||
	    db_exec(c, e, fence_new) != 0)
		return -1;
	return put_authority(j, c, false, e) >= 0 ? 0 : -1;
}

MOVE_STEP(move_control_target, "control_target", PHASE_PREPARE, CLASS_I,
	  .done = control_target_done, .act = control_target_act);
