/* SPDX-License-Identifier: PostgreSQL
 *
 * PREPARE on the target's server: roles, the database, what is said about it. The statements are
 * written by the source's server from its catalogs, each quoted there.
 */
#include "config.h"

#include "migration/move/move.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migration/db.h"
#include "migration/move/sql.h"
#include "protocol/sqlstate.h"

#define MAINTENANCE_DB "postgres"

/* Each row of `r` is a statement. */
static int
run_all(struct job *j, PGconn *to, PGresult *r, struct err *e)
{
	int rc = r != NULL ? 0 : -1;

	for (int i = 0; rc == 0 && i < PQntuples(r); i++)
		rc = job_run(j, to, PQgetvalue(r, i, 0), e);
	PQclear(r);
	return rc;
}

/* "name=value" of a setting s.cfg as SET's words; lists of names are quoted one by one. */
#define SQL_SETTING                                                                               \
	"quote_ident(split_part(s.cfg, '=', 1)) || ' TO ' || CASE WHEN split_part(s.cfg, '=', 1)" \
	" IN ('search_path', 'temp_tablespaces', 'local_preload_libraries',"                      \
	" 'session_preload_libraries') THEN coalesce((SELECT string_agg(quote_literal(CASE WHEN"  \
	" m[1] ~ '^\"' THEN replace(substr(m[1], 2, length(m[1]) - 2), '\"\"', '\"') ELSE m[1]"   \
	" END), ', ') FROM regexp_matches(substr(s.cfg, strpos(s.cfg, '=') + 1),"                 \
	" '(\"(?:[^\"]|\"\")*\"|[^,\\s]+)', 'g') m), '''''')"                                     \
	" ELSE quote_literal(substr(s.cfg, strpos(s.cfg, '=') + 1)) END"

/* ---- roles ---- */

/* JSON: the roles that are ours to make, also those that an earlier try has made. there: the names
 * that the target has, as an array's text. */
static int
roles_to_make(PGconn *from, const char *there, const char *made, char **out, struct err *e)
{
	const char *const params[] = { there, made };

	return db_value(from, out, e,
			"SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]')::text FROM "
			"pg_roles WHERE rolname !~ '^pg_' AND (NOT rolname = ANY ($1::name[]) OR "
			"rolname IN (SELECT jsonb_array_elements_text(coalesce($2, '[]')::jsonb)))",
			2, params) >= 0
		   ? 0
		   : -1;
}

static const char role_words[] =
    "' WITH ' || concat_ws(' ', CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolinherit THEN "
    "'INHERIT' ELSE 'NOINHERIT' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END, CASE WHEN "
    "rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END, CASE "
    "WHEN rolreplication THEN 'REPLICATION' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' END, "
    "'CONNECTION LIMIT ' || rolconnlimit, 'PASSWORD ' || quote_literal(rolpassword), 'VALID UNTIL "
    "' || quote_literal(rolvaliduntil::text))";

static int
make_roles(struct job *j, PGconn *from, PGconn *to, const char *there, const char *names,
	   struct err *e)
{
	const char *const params[] = { there, names };
	struct buf sql = { .cap = 0 };
	bool has_passwords = false;
	int rc;

	if (db_is(from, &has_passwords, e, "SELECT has_table_privilege('pg_authid', 'SELECT')", 0,
		  NULL) != 0)
		return -1;
	if (!has_passwords)
		job_notice(j, "roles are copied without their passwords: that takes a superuser");
	buf_printf(&sql,
		   "SELECT 'CREATE ROLE ' || quote_ident(rolname) || %s FROM %s"
		   " WHERE NOT rolname = ANY ($1::name[])"
		   " AND rolname IN (SELECT jsonb_array_elements_text($2::jsonb)) ORDER BY rolname",
		   role_words,
		   has_passwords
		       ? "pg_authid"
		       : "(SELECT p.rolname, p.rolsuper, p.rolinherit, p.rolcreaterole,"
			 " p.rolcreatedb, p.rolcanlogin, p.rolreplication, p.rolbypassrls,"
			 " p.rolconnlimit, NULL::text AS rolpassword, p.rolvaliduntil"
			 " FROM pg_roles p) a");
	rc = run_all(j, to, db_query(from, e, buf_text(&sql), 2, params), e);
	buf_fini(&sql);
	return rc;
}

static int
dress_roles(struct job *j, PGconn *from, PGconn *to, const char *names, struct err *e)
{
	const char *const params[] = { names };

	if (run_all(j, to,
		    db_query(from, e,
			     "SELECT 'GRANT ' || quote_ident(r.rolname) || ' TO ' || "
			     "quote_ident(m.rolname) || CASE WHEN a.admin_option THEN ' WITH ADMIN "
			     "OPTION' ELSE '' END FROM pg_auth_members a JOIN pg_roles r ON r.oid "
			     "= a.roleid JOIN pg_roles m ON m.oid = a.member WHERE r.rolname IN "
			     "(SELECT jsonb_array_elements_text($1::jsonb)) OR m.rolname IN "
			     "(SELECT jsonb_array_elements_text($1::jsonb)) ORDER BY 1",
			     1, params),
		    e) != 0)
		return -1;
	return run_all(j, to,
		       db_query(from, e,
				"SELECT 'ALTER ROLE ' || quote_ident(s.rolname) || ' SET ' ||"
				" " SQL_SETTING
				" FROM (SELECT r.rolname, unnest(d.setconfig) AS cfg"
				" FROM pg_db_role_setting d JOIN pg_roles r ON r.oid = d.setrole"
				" WHERE d.setdatabase = 0) s WHERE s.rolname IN"
				" (SELECT jsonb_array_elements_text($1::jsonb)) ORDER BY 1",
				1, params),
		       e);
}

static int
roles_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *from = job_db(j, MOVE_SOURCE, e);
	PGconn *to = from != NULL ? job_db_new(j, s->place, MAINTENANCE_DB, e) : NULL;
	char *there = NULL, *names = NULL;
	int rc = -1;

	if (to != NULL && db_exec(to, e, SQL_SECRETLY("false")) == 0 &&
	    db_value(to, &there, e, "SELECT array_agg(rolname)::text FROM pg_roles", 0, NULL) >= 0)
		rc = roles_to_make(from, there, s->undo, &names, e);
	if (rc == 0)
		rc = job_note_undo(j, names, e);
	if (rc == 0)
		rc = make_roles(j, from, to, there, names, e);
	if (rc == 0)
		rc = dress_roles(j, from, to, names, e);
	free(there);
	free(names);
	PQfinish(to);
	return rc;
}

int
move_server_of_undo(struct job *j, const char *what, PGconn **out, struct err *e)
{
	struct err why;

	*out = job_db_new(j, MOVE_TARGET, MAINTENANCE_DB, e);
	if (*out != NULL)
		return 0;
	if (!job_is_forced(j, "target") && !job_is_forced(j, "abort")) {
		err_prefix(e, "the target cannot be reached");
		return err_hint(e, "ABORT … FORCE leaves behind what is there.");
	}
	why = *e;
	move_report_left(j, MOVE_TARGET, what, &why);
	return 0;
}

static int
roles_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	const char *const params[] = { s->undo };
	PGresult *r;
	PGconn *c;
	int rc = 0;

	if (s->undo == NULL)
		return 0;
	if (move_server_of_undo(j, "the roles that were made stay there", &c, e) != 0)
		return -1;
	if (c == NULL)
		return 0;
	r = db_query(c, e, "SELECT jsonb_array_elements_text($1::jsonb)", 1, params);
	if (r == NULL)
		rc = -1;
	for (int i = 0; rc == 0 && i < PQntuples(r); i++) {
		char *name = db_ident(c, PQgetvalue(r, i, 0));
		struct err why = { 0 };

		if (db_execf(c, &why, "DROP ROLE IF EXISTS %s", name) != 0)
			job_notice(j, "role %s stays on the target: %s", name, why.msg);
		free(name);
		rc = PQstatus(c) == CONNECTION_OK ? 0 : -1;
		if (rc != 0)
			db_error(c, NULL, e);
	}
	PQclear(r);
	PQfinish(c);
	return rc;
}

MOVE_STEP(move_roles, "roles", PHASE_PREPARE, CLASS_R, .act = roles_act, .undo = roles_undo);

/* ---- database ---- */

/* The database is made under a name of our own, and renamed: one that has the final name by then
 * was made by another client. */
static void
making_name(const struct job *j, char out[64])
{
	snprintf(out, 64, "meridian_making_%d", job_id(j));
}

/* Whether what has the name is the one that we made. */
static int
is_made_by_us(struct job *j, PGconn *c, const struct migration_step *s, bool *out, struct err *e)
{
	const char *const params[] = { job_dbname(j, MOVE_TARGET), s->undo };

	return db_is(c, out, e,
		     "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1"
		     " AND oid::text = $2::jsonb ->> 'oid')",
		     2, params);
}

static int
make_database_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	PGconn *c;
	int rc;

	*is_done = false;
	if (s->undo == NULL)
		return 0;
	c = job_db_new(j, s->place, MAINTENANCE_DB, e);
	if (c == NULL)
		return -1;
	rc = is_made_by_us(j, c, s, is_done, e);
	PQfinish(c);
	return rc;
}

/* The statement that makes one like the source's. */
static char *
create_statement(const char *name, PGconn *from, PGconn *to, struct err *e)
{
	int there = PQserverVersion(to), here = PQserverVersion(from);
	const char *const params[] = { name };
	struct buf sql = { .cap = 0 };
	char *statement = NULL;

	buf_str(&sql, "SELECT 'CREATE DATABASE ' || quote_ident($1) || ' OWNER ' ||"
		      " quote_ident(pg_get_userbyid(d.datdba)) || ' TEMPLATE template0 ENCODING '"
		      " || quote_literal(pg_encoding_to_char(d.encoding)) || ' LC_COLLATE ' ||"
		      " quote_literal(d.datcollate) || ' LC_CTYPE ' || quote_literal(d.datctype)");
	if (there >= 150000 && here < 150000)
		buf_str(&sql, " || ' LOCALE_PROVIDER libc'");
	else if (there >= 150000 && here < 170000)
		buf_str(&sql, " || CASE d.datlocprovider WHEN 'i' THEN ' LOCALE_PROVIDER icu"
			      " ICU_LOCALE ' || quote_literal(d.daticulocale)"
			      " ELSE ' LOCALE_PROVIDER libc' END");
	else if (there >= 170000)
		buf_str(&sql, " || CASE d.datlocprovider WHEN 'i' THEN ' LOCALE_PROVIDER icu"
			      " ICU_LOCALE ' || quote_literal(d.datlocale)"
			      " WHEN 'b' THEN ' LOCALE_PROVIDER builtin BUILTIN_LOCALE ' ||"
			      " quote_literal(d.datlocale) ELSE ' LOCALE_PROVIDER libc' END");
	buf_str(&sql, " FROM pg_database d WHERE d.datname = current_database()");
	if (db_value(from, &statement, e, buf_text(&sql), 1, params) < 0)
		statement = NULL;
	buf_fini(&sql);
	return statement;
}

/* What it is known by, before it has the name. */
static int
note_made(struct job *j, PGconn *to, const char *making, struct err *e)
{
	const char *const params[] = { making };
	char *note = NULL;
	int rc = db_value(to, &note, e,
			  "SELECT jsonb_build_object('oid', oid::text)::text FROM pg_database"
			  " WHERE datname = $1",
			  1, params);

	if (rc >= 0)
		rc = note != NULL ? job_note_undo(j, note, e)
				  : err_set(e, SQLSTATE_INVALID_CATALOG_NAME,
					    "database %s is gone again", making);
	free(note);
	return rc;
}

static int
make_named(struct job *j, PGconn *from, PGconn *to, struct err *e)
{
	char making[64], *statement, *name;
	int rc = -1;

	making_name(j, making);
	statement = create_statement(making, from, to, e);
	if (statement != NULL && job_note_undo(j, "{}", e) == 0 &&
	    job_runf(j, to, e, "DROP DATABASE IF EXISTS %s", making) == 0 &&
	    job_run(j, to, statement, e) == 0 && note_made(j, to, making, e) == 0) {
		name = db_ident(to, job_dbname(j, MOVE_TARGET));
		rc = job_runf(j, to, e, "ALTER DATABASE %s RENAME TO %s", making, name);
		free(name);
	}
	free(statement);
	return rc;
}

static int
make_database_act(struct job *j, const struct migration_step *s, struct err *e)
{
	const char *name = job_dbname(j, MOVE_TARGET);
	const char *const params[] = { name };
	PGconn *from = job_db(j, MOVE_SOURCE, e);
	PGconn *to = from != NULL ? job_db_new(j, s->place, MAINTENANCE_DB, e) : NULL;
	bool exists = false;
	int rc = -1;

	if (to != NULL)
		rc = db_is(to, &exists, e,
			   "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", 1, params);
	if (rc == 0 && exists) {
		err_set(e, "42P04", "database \"%s\" exists already on the target", name);
		rc = err_hint(e, "Drop it there, or CREATE MIGRATION … AS another name.");
	} else if (rc == 0) {
		rc = make_named(j, from, to, e);
	}
	PQfinish(to);
	return rc;
}

static int
drop_database(struct job *j, PGconn *c, const char *name, struct err *e)
{
	char *quoted = db_ident(c, name);
	int rc = job_runf(j, c, e, "DROP DATABASE IF EXISTS %s%s", quoted,
			  PQserverVersion(c) >= 130000 ? " WITH (FORCE)" : "");

	free(quoted);
	return rc;
}

static int
make_database_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	char making[64];
	bool is_ours;
	PGconn *c;
	int rc;

	if (s->undo == NULL)
		return 0;
	if (move_server_of_undo(j, "the database that was made stays there", &c, e) != 0)
		return -1;
	if (c == NULL)
		return 0;
	making_name(j, making);
	rc = drop_database(j, c, making, e);
	if (rc == 0)
		rc = is_made_by_us(j, c, s, &is_ours, e);
	if (rc == 0 && is_ours)
		rc = drop_database(j, c, job_dbname(j, MOVE_TARGET), e);
	PQfinish(c);
	return rc;
}

MOVE_STEP(move_make_database, "database", PHASE_PREPARE, CLASS_I, .done = make_database_done,
	  .act = make_database_act, .undo = make_database_undo);

/* ---- database_settings ---- */

/* $1: the name there. */
static const char settings_sql[] =
    "SELECT CASE WHEN s.rolname IS NULL THEN 'ALTER DATABASE ' || quote_ident($1) ELSE"
    " 'ALTER ROLE ' || quote_ident(s.rolname) || ' IN DATABASE ' || quote_ident($1) END"
    " || ' SET ' || " SQL_SETTING
    " FROM (SELECT r.rolname, unnest(x.setconfig) AS cfg FROM pg_db_role_setting x"
    " JOIN pg_database d ON d.oid = x.setdatabase LEFT JOIN pg_roles r ON r.oid = x.setrole"
    " WHERE d.datname = current_database()) s ORDER BY 1";

static const char grants_sql[] =
    "SELECT x.statement FROM (SELECT 0 AS n, 'REVOKE ALL ON DATABASE ' || quote_ident($1) ||"
    " ' FROM PUBLIC' AS statement FROM pg_database d WHERE d.datname = current_database()"
    " AND d.datacl IS NOT NULL UNION ALL SELECT 1, 'GRANT ' || a.privilege_type || ' ON DATABASE '"
    " || quote_ident($1) || ' TO ' || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE"
    " quote_ident(pg_get_userbyid(a.grantee)) END || CASE WHEN a.is_grantable THEN"
    " ' WITH GRANT OPTION' ELSE '' END FROM pg_database d, aclexplode(d.datacl) a"
    " WHERE d.datname = current_database() AND a.grantee <> d.datdba"
    " UNION ALL SELECT 2, 'COMMENT ON DATABASE ' || quote_ident($1) || ' IS ' ||"
    " quote_literal(shobj_description(d.oid, 'pg_database')) FROM pg_database d"
    " WHERE d.datname = current_database()"
    " UNION ALL SELECT 3, 'ALTER DATABASE ' || quote_ident($1) || ' CONNECTION LIMIT ' ||"
    " d.datconnlimit FROM pg_database d WHERE d.datname = current_database()) x"
    " WHERE x.statement IS NOT NULL ORDER BY x.n, x.statement";

static int
database_settings_act(struct job *j, const struct migration_step *s, struct err *e)
{
	const char *const params[] = { job_dbname(j, MOVE_TARGET) };
	PGconn *from = job_db(j, MOVE_SOURCE, e);
	PGconn *to = from != NULL ? job_db_new(j, s->place, MAINTENANCE_DB, e) : NULL;
	int rc = -1;

	if (to != NULL && run_all(j, to, db_query(from, e, settings_sql, 1, params), e) == 0)
		rc = run_all(j, to, db_query(from, e, grants_sql, 1, params), e);
	PQfinish(to);
	return rc;
}

/* They go with the database. */
MOVE_STEP(move_database_settings, "database_settings", PHASE_PREPARE, CLASS_R,
	  .act = database_settings_act);
