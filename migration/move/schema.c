/* SPDX-License-Identifier: PostgreSQL
 *
 * The schema of the source on the target: tables first (with what identifies their rows), indexes,
 * foreign keys and triggers behind the data; and the proof that both are the same.
 */
#include "config.h"

#include "migration/move/move.h"

#include <stdlib.h>
#include <string.h>

#include "migration/db.h"
#include "migration/move/dump.h"
#include "migration/move/sql.h"
#include "protocol/sqlstate.h"

#define DIFFERENCES_SHOWN 8
#define ANALYZE_SQL       "ANALYZE"

/* ---- the fingerprint ---- */

/* One text for each thing; search_path is empty, so names are whole. $1: the servers are of one
 * major version. Others print a view in other words (16 has left out what "t." says in FROM t), and
 * have other constraints in the catalog (NOT NULL, from 18 on): its name and its columns, and the
 * columns that are NOT NULL, are compared then. */
/* clang-format off */
static const char things_sql[] =
    "SELECT 'column ' || " SQL_QUALIFIED " || '.' || quote_ident(a.attname) || ' ' ||"
    " format_type(a.atttypid, a.atttypmod) || ' notnull=' || a.attnotnull || ' ' ||"
    " a.attgenerated::text || a.attidentity::text || ' ' || coalesce(pg_get_expr(d.adbin,"
    " d.adrelid), '') AS x FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid"
    " AND d.adnum = a.attnum JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid"
    " = c.relnamespace WHERE " SQL_USER_SCHEMA " AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND"
    " a.attnum > 0 AND NOT a.attisdropped AND " SQL_NOT_OF_EXTENSION("pg_class", "c.oid")
    " UNION ALL SELECT 'constraint ' || quote_ident(k.conname) || ' on ' || " SQL_QUALIFIED " ||"
    " ' ' || pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c ON c.oid ="
    " k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ($1 OR k.contype <> 'n')"
    " AND " SQL_USER_SCHEMA " AND " SQL_NOT_OF_EXTENSION("pg_class", "c.oid")
    " UNION ALL SELECT 'index ' || pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN"
    " '' ELSE ' invalid' END FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN"
    " pg_namespace n ON n.oid = c.relnamespace WHERE " SQL_USER_SCHEMA " AND "
    SQL_NOT_OF_EXTENSION("pg_class", "c.oid")
    " UNION ALL SELECT 'trigger ' || pg_get_triggerdef(g.oid) || ' ' || g.tgenabled::text FROM"
    " pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid ="
    " c.relnamespace WHERE NOT g.tgisinternal AND g.tgname <> 'meridian_fence' AND "
    SQL_USER_SCHEMA
    " UNION ALL SELECT 'function ' || pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace"
    " n ON n.oid = p.pronamespace WHERE p.prokind IN ('f', 'p') AND " SQL_USER_SCHEMA " AND "
    SQL_NOT_OF_EXTENSION("pg_proc", "p.oid")
    " UNION ALL SELECT 'view ' || " SQL_QUALIFIED " || CASE WHEN $1::bool THEN ' ' ||"
    " pg_get_viewdef(c.oid) ELSE '' END FROM pg_class c JOIN pg_namespace n ON n.oid ="
    " c.relnamespace WHERE c.relkind IN ('v', 'm') AND " SQL_USER_SCHEMA " AND "
    SQL_NOT_OF_EXTENSION("pg_class", "c.oid")
    " UNION ALL SELECT 'policy ' || quote_ident(o.polname) || ' on ' || " SQL_QUALIFIED " || ' '"
    " || o.polcmd::text || coalesce(' ' || pg_get_expr(o.polqual, o.polrelid), '') || coalesce('"
    " ' || pg_get_expr(o.polwithcheck, o.polrelid), '') FROM pg_policy o JOIN pg_class c ON"
    " c.oid = o.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE " SQL_USER_SCHEMA
    " UNION ALL SELECT 'sequence ' || quote_ident(q.schemaname) || '.' ||"
    " quote_ident(q.sequencename) || ' ' || q.increment_by || ' ' || q.min_value || ' ' ||"
    " q.max_value || ' ' || q.cycle FROM pg_sequences q JOIN pg_namespace n ON n.nspname ="
    " q.schemaname WHERE " SQL_USER_SCHEMA
    " UNION ALL SELECT 'type ' || quote_ident(n.nspname) || '.' || quote_ident(t.typname) || ' '"
    " || (SELECT string_agg(quote_literal(m.enumlabel), ', ' ORDER BY m.enumsortorder) FROM"
    " pg_enum m WHERE m.enumtypid = t.oid) FROM pg_type t JOIN pg_namespace n ON n.oid ="
    " t.typnamespace WHERE t.typtype = 'e' AND " SQL_USER_SCHEMA " AND "
    SQL_NOT_OF_EXTENSION("pg_type", "t.oid");
/* clang-format on */

/* To be compared with what `other` has. In a transaction of its own, so that search_path is as it
 * was. */
static PGresult *
ask_things(PGconn *c, const PGconn *other, const char *before, const char *after, struct err *e)
{
	bool is_alike = PQserverVersion(c) / 10000 == PQserverVersion(other) / 10000;
	const char *const params[] = { is_alike ? "true" : "false" };
	bool is_ours = PQtransactionStatus(c) == PQTRANS_IDLE;
	struct buf sql = { .cap = 0 };
	PGresult *r = NULL;

	buf_str(&sql, before);
	buf_str(&sql, things_sql);
	buf_str(&sql, after);
	if ((!is_ours || db_exec(c, e, "BEGIN READ ONLY") == 0) &&
	    db_exec(c, e, "SET LOCAL search_path = ''") == 0)
		r = db_query(c, e, buf_text(&sql), 1, params);
	if (is_ours && PQtransactionStatus(c) != PQTRANS_IDLE &&
	    db_exec(c, NULL, "ROLLBACK") != 0) {
		PQclear(r);
		r = NULL;
		db_error(c, NULL, e);
	}
	buf_fini(&sql);
	return r;
}

/* A hash over columns, constraints, indexes, triggers, functions, views, policies: two databases
 * with the same one have the same schema. The caller frees. */
static char *
fingerprint(PGconn *c, const PGconn *other, struct err *e)
{
	PGresult *r = ask_things(c, other,
				 "SELECT coalesce(md5(string_agg(z.x, E'\\n' ORDER BY z.x"
				 " COLLATE \"C\")), '') FROM (",
				 ") z", e);
	char *hash = r != NULL ? strdup(PQgetvalue(r, 0, 0)) : NULL;

	PQclear(r);
	return hash;
}

static void
put_difference(struct buf *b, int *n, const char *side, const char *thing)
{
	if (++*n > DIFFERENCES_SHOWN)
		return;
	buf_printf(b, "%sonly on the %s: %.*s", b->n > 0 ? "\n" : "", side,
		   (int)(strcspn(thing, "\n") < 160 ? strcspn(thing, "\n") : 160), thing);
}

static void
merge(PGresult *a, PGresult *b, struct buf *out)
{
	int na = PQntuples(a), nb = PQntuples(b), i = 0, k = 0, n = 0;

	while (i < na || k < nb) {
		int order = i == na   ? 1
			    : k == nb ? -1
				      : strcmp(PQgetvalue(a, i, 0), PQgetvalue(b, k, 0));

		if (order < 0)
			put_difference(out, &n, "source", PQgetvalue(a, i++, 0));
		else if (order > 0)
			put_difference(out, &n, "target", PQgetvalue(b, k++, 0));
		else
			i++, k++;
	}
	if (n > DIFFERENCES_SHOWN)
		buf_printf(out, "\nand %d more", n - DIFFERENCES_SHOWN);
}

int
move_compare_schemas(PGconn *source, PGconn *target, struct buf *differences, struct err *e)
{
	char *a = fingerprint(source, target, e);
	char *b = a != NULL ? fingerprint(target, source, e) : NULL;
	int rc = b != NULL ? strcmp(a, b) != 0 : -1;
	PGresult *ra, *rb;

	free(a);
	free(b);
	if (rc <= 0)
		return rc;
	ra = ask_things(source, target, "SELECT z.x FROM (", ") z ORDER BY z.x COLLATE \"C\"", e);
	rb = ra != NULL ? ask_things(target, source, "SELECT z.x FROM (",
				     ") z ORDER BY z.x COLLATE \"C\"", e)
			: NULL;
	if (rb != NULL)
		merge(ra, rb, differences);
	rc = rb != NULL ? 1 : -1;
	PQclear(ra);
	PQclear(rb);
	return rc;
}

int
move_put_fences(PGconn *c, const char *verb, struct buf *sql, struct err *e)
{
	PGresult *r = db_query(c, e, SQL_FENCES " ORDER BY 1", 0, NULL);

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++)
		buf_printf(sql, "ALTER TABLE %s %s TRIGGER meridian_fence; ", PQgetvalue(r, i, 0),
			   verb);
	PQclear(r);
	return 0;
}

/* ---- schema: pre-data, and what identifies rows; one transaction with its mark ---- */

/* Of the source, as "classid oid": constraints and indexes that are a table's identity. */
static const char identities_sql[] =
    "SELECT 'pg_constraint'::regclass::oid, k.oid FROM pg_constraint k JOIN pg_index i"
    " ON i.indexrelid = k.conindid JOIN pg_class c ON c.oid = i.indrelid AND c.oid = k.conrelid"
    " WHERE c.relkind = 'r' AND k.contype IN ('p', 'u') AND CASE c.relreplident WHEN 'i' THEN"
    " i.indisreplident ELSE i.indisprimary END"
    " UNION ALL SELECT 'pg_class'::regclass::oid, i.indexrelid FROM pg_index i"
    " JOIN pg_class c ON c.oid = i.indrelid WHERE c.relkind = 'r' AND c.relreplident = 'i'"
    " AND i.indisreplident";

static bool
is_among(const PGresult *r, const struct dump_entry *entry)
{
	for (int i = 0; i < PQntuples(r); i++) {
		if (strtoul(PQgetvalue(r, i, 0), NULL, 10) == entry->classid &&
		    strtoul(PQgetvalue(r, i, 1), NULL, 10) == entry->oid)
			return true;
	}
	return false;
}

static int
schema_script(struct job *j, PGconn *from, struct buf *script, struct err *e)
{
	struct buf contents = { .cap = 0 }, behind = { .cap = 0 };
	struct dump_entry entry;
	PGresult *r = NULL;
	const char *at;
	struct dump d;
	int rc;

	if (dump_make(j, &d, e) != 0)
		return -1;
	rc = dump_contents(j, &d, "pre-data", &contents, e);
	if (rc == 0) {
		r = db_query(from, e, identities_sql, 0, NULL);
		rc = r != NULL ? dump_contents(j, &d, "post-data", &behind, e) : -1;
	}
	at = buf_text(&behind);
	while (rc == 0 && dump_next(&at, &entry)) {
		if (!is_among(r, &entry))
			continue;
		buf_put(&contents, entry.line, entry.length);
		buf_u8(&contents, '\n');
	}
	if (rc == 0)
		rc = dump_sql(j, &d, buf_text(&contents), script, e);
	PQclear(r);
	buf_fini(&contents);
	buf_fini(&behind);
	dump_fini(&d);
	return rc;
}

static int
has_mark(struct job *j, PGconn *c, const char *mark, bool *out, struct err *e)
{
	struct buf sql = { .cap = 0 };
	int rc;

	buf_printf(&sql,
		   "SELECT EXISTS (SELECT FROM meridian.marker WHERE mig = %d AND kind = '%s')",
		   job_id(j), mark);
	rc = db_is(c, out, e, buf_text(&sql), 0, NULL);
	buf_fini(&sql);
	return rc;
}

static int
schema_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	return c != NULL ? has_mark(j, c, "schema", is_done, e) : -1;
}

static int
run_script(struct job *j, PGconn *c, struct buf *script, struct err *e)
{
	if (db_exec(c, e, "BEGIN") != 0 || job_check_lease(j, c, e) != 0 ||
	    job_run(j, c, buf_text(script), e) != 0 ||
	    db_execf(c, e,
		     "INSERT INTO meridian.marker(mig, kind, at) VALUES (%d, 'schema',"
		     " clock_timestamp())",
		     job_id(j)) != 0)
		return -1;
	return db_exec(c, e, "COMMIT");
}

static int
schema_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *from = job_db(j, MOVE_SOURCE, e);
	struct buf script = { .cap = 0 };
	PGconn *to;
	int rc = -1;

	if (from == NULL)
		return -1;
	job_progress(j, -1, "reading the schema");
	if (schema_script(j, from, &script, e) == 0) {
		job_progress(j, -1, "writing the schema");
		to = job_db_new(j, s->place, NULL, e);
		rc = to != NULL ? run_script(j, to, &script, e) : -1;
		PQfinish(to);
	}
	buf_fini(&script);
	return rc;
}

/* It goes with the database. */
MOVE_STEP(move_schema, "schema", PHASE_PREPARE, CLASS_I, .done = schema_done, .act = schema_act);

/* ---- post_data ---- */

static int
post_data_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	PGconn *from = job_db(j, MOVE_SOURCE, e);
	PGconn *to = from != NULL ? job_db(j, s->place, e) : NULL;
	char *a, *b;

	*is_done = false;
	if (to == NULL)
		return -1;
	a = fingerprint(from, to, e);
	b = a != NULL ? fingerprint(to, from, e) : NULL;
	*is_done = b != NULL && strcmp(a, b) == 0;
	free(a);
	if (b == NULL)
		return -1;
	free(b);
	/* Statistics are the last of it. */
	return *is_done ? has_mark(j, to, "post_data", is_done, e) : 0;
}

/* The address of an object that any cluster understands, or NULL rows for what is not there; on
 * the target a function of the session tells which of them are missing. */
static const char missing_function[] =
    "CREATE OR REPLACE FUNCTION pg_temp.meridian_missing(kind text, names text[], args text[])"
    " RETURNS bool LANGUAGE plpgsql AS $f$ BEGIN"
    " RETURN (pg_get_object_address(kind, names, args)).objid IS NULL;"
    " EXCEPTION WHEN OTHERS THEN RETURN true; END $f$";

static int
is_missing(PGconn *from, PGconn *to, const struct dump_entry *entry, bool *out, struct err *e)
{
	const char *params[3];
	PGresult *r;
	int rc = 0;

	/* Without an object of its own it may be said twice (ROW SECURITY, COMMENT, ATTACH). */
	*out = true;
	if (entry->oid == 0 || strcmp(entry->type, "COMMENT") == 0 ||
	    strcmp(entry->type, "INDEX ATTACH") == 0 || strcmp(entry->type, "ROW SECURITY") == 0)
		return 0;
	r = db_queryf(from, e,
		      "SELECT type, object_names::text, object_args::text"
		      " FROM pg_identify_object_as_address(%u, %u, 0)",
		      entry->classid, entry->oid);
	if (r == NULL)
		return -1;
	if (PQntuples(r) == 1 && !PQgetisnull(r, 0, 0)) {
		for (int i = 0; i < 3; i++)
			params[i] = PQgetvalue(r, 0, i);
		rc =
		    db_is(to, out, e, "SELECT pg_temp.meridian_missing($1, $2::text[], $3::text[])",
			  3, params);
	}
	PQclear(r);
	return rc;
}

static int
restore_missing(struct job *j, PGconn *from, PGconn *to, struct err *e)
{
	struct buf all = { .cap = 0 }, missing = { .cap = 0 };
	int workers = (int)job_option_int(j, "copy_workers");
	struct dump_entry entry;
	bool is_it = false;
	const char *at;
	struct dump d;
	int rc;

	if (dump_make(j, &d, e) != 0)
		return -1;
	rc = dump_contents(j, &d, "post-data", &all, e);
	if (rc == 0)
		rc = db_exec(to, e, missing_function);
	at = buf_text(&all);
	while (rc == 0 && dump_next(&at, &entry)) {
		rc = is_missing(from, to, &entry, &is_it, e);
		if (rc != 0 || !is_it)
			continue;
		buf_put(&missing, entry.line, entry.length);
		buf_u8(&missing, '\n');
	}
	if (rc == 0 && missing.n > 0)
		rc = dump_restore(j, &d, buf_text(&missing), workers > 0 ? workers : 2, e);
	buf_fini(&all);
	buf_fini(&missing);
	dump_fini(&d);
	return rc;
}

static int
post_data_act(struct job *j, const struct migration_step *s, struct err *e)
{
	PGconn *from = job_db(j, MOVE_SOURCE, e);
	PGconn *to = from != NULL ? job_db(j, s->place, e) : NULL;
	struct move_names names = move_names(j);
	struct buf differences = { .cap = 0 };
	int rc;

	if (to == NULL)
		return -1;
	/* Foreign keys and the worker that applies changes wait for each other: it has to be at
	 * rest. */
	if (move_is_online(j) &&
	    (job_runf(j, to, e, "ALTER SUBSCRIPTION %s DISABLE", names.forward) != 0 ||
	     move_wait_for_worker(j, to, names.forward, false, e) != 0))
		return -1;
	job_progress(j, -1, "indexes, foreign keys and triggers");
	if (restore_missing(j, from, to, e) != 0)
		return -1;
	job_progress(j, -1, "statistics");
	if (job_run(j, to, ANALYZE_SQL, e) != 0)
		return -1;
	rc = move_compare_schemas(from, to, &differences, e);
	if (rc == 1 && move_report_changes(j, e) != 0)
		rc = -1;
	if (rc == 1) {
		rc = err_set(e, SQLSTATE_GUARD_FAILED, "the schemas of source and target differ");
		err_detail(e, "%s", buf_text(&differences));
	}
	buf_fini(&differences);
	if (rc != 0)
		return -1;
	return db_execf(
	    to, e,
	    "INSERT INTO meridian.marker(mig, kind, at) VALUES (%d, 'post_data',"
	    " clock_timestamp()) ON CONFLICT (mig, kind) DO UPDATE SET at = excluded.at",
	    job_id(j));
}

/* It goes with the database. */
MOVE_STEP(move_post_data, "post_data", PHASE_DATA, CLASS_I, .done = post_data_done,
	  .act = post_data_act);
