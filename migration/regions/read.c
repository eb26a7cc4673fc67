/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/regions/read.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "migration/db.h"
#include "migration/regions/ddl.h"
#include "migration/regions/feeds.h"
#include "protocol/sqltoken.h"

/* The value of a column by its name; NULL: SQL NULL, or no such column in this version. */
static const char *
at(const PGresult *r, int row, const char *column)
{
	int n = PQfnumber(r, column);

	return n < 0 || PQgetisnull(r, row, n) ? NULL : PQgetvalue(r, row, n);
}

static char *
copy_at(const PGresult *r, int row, const char *column)
{
	const char *v = at(r, row, column);

	return v != NULL ? xstrdup(v) : NULL;
}

static void
replace(char **to, char *take_value)
{
	free(*to);
	*to = take_value;
}

static const char *
or_empty(const char *s)
{
	return s != NULL ? s : "";
}

/* "SHOW … FROM" and a quoted name. */
static PGresult *
show_of(PGconn *c, const char *show, const char *name, struct err *e)
{
	struct buf b = { 0 };
	PGresult *r;

	buf_str(&b, show);
	buf_u8(&b, ' ');
	ddl_put_name(&b, name);
	r = db_query(c, e, buf_text(&b), 0, NULL);
	buf_fini(&b);
	return r;
}

/* ---- our own role ---- */

/* Newer versions keep crdb_internal closed until the session asks for it; older ones know no such
 * setting. */
static void
open_internals(PGconn *c)
{
	const char *version = PQparameterStatus(c, "crdb_version");
	const char *v = version != NULL ? strstr(version, " v") : NULL;
	struct err ignored;

	if (v != NULL && atoi(v + 2) >= 25)
		(void)db_exec(c, &ignored, "SET allow_unsafe_internals = on");
}

static int
read_user(PGconn *c, struct regions_catalog *out, struct err *e)
{
	struct err ignored;

	replace(&out->user, NULL);
	if (db_value(c, &out->user, e, "SELECT current_user", 0, NULL) < 0)
		return -1;
	if (db_is(c, &out->is_admin, &ignored, "SELECT crdb_internal.is_admin()", 0, NULL) < 0)
		out->is_admin = out->user != NULL && strcmp(out->user, "root") == 0;
	return 0;
}

/* ---- the cluster and the database ---- */

int
regions_read_cluster(PGconn *c, struct strlist *out, struct err *e)
{
	PGresult *r = db_query(c, e, "SHOW REGIONS FROM CLUSTER", 0, NULL);

	if (r == NULL) {
		if (strcmp(e->sqlstate, "42501") == 0)
			err_hint(e, "migration_conninfo's user has to be admin of the cluster.");
		return -1;
	}
	strlist_fini(out);
	for (int i = 0; i < PQntuples(r); i++)
		strlist_add(out, or_empty(at(r, i, "region")));
	PQclear(r);
	return 0;
}

int
regions_read_database(PGconn *c, struct regions_catalog *out, struct err *e)
{
	PGresult *r = db_query(c, e, "SHOW DATABASES", 0, NULL);
	bool found = false;

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r) && !found; i++) {
		if (strcmp(or_empty(at(r, i, "database_name")), out->database) != 0)
			continue;
		found = true;
		replace(&out->owner, copy_at(r, i, "owner"));
		replace(&out->primary, copy_at(r, i, "primary_region"));
		replace(&out->survival, copy_at(r, i, "survival_goal"));
	}
	PQclear(r);
	if (!found)
		return err_set(e, "3D000", "database \"%s\" does not exist", out->database);
	if (out->primary != NULL && out->primary[0] == '\0')
		replace(&out->primary, NULL);
	return 0;
}

int
regions_read_regions(PGconn *c, struct regions_catalog *out, struct err *e)
{
	PGresult *r = show_of(c, "SHOW REGIONS FROM DATABASE", out->database, e);

	if (r == NULL)
		return -1;
	strlist_fini(&out->regions);
	for (int i = 0; i < PQntuples(r); i++)
		strlist_add(&out->regions, or_empty(at(r, i, "region")));
	PQclear(r);
	return 0;
}

static int
read_own_type(PGconn *c, struct regions_catalog *out, struct err *e)
{
	if (out->primary != NULL)
		return 0;
	return db_is(c, &out->has_own_type, e,
		     "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_type"
		     " WHERE typname = 'crdb_internal_region') OR EXISTS (SELECT 1"
		     " FROM pg_catalog.pg_class WHERE relname = 'crdb_internal_region')",
		     0, NULL);
}

/* ---- tables ---- */

/* `only` NULL: all but our own. */
static int
read_tables(PGconn *c, struct regions_catalog *out, const char *schema, const char *only,
	    struct err *e)
{
	PGresult *r = show_of(c, "SHOW TABLES FROM", out->database, e);

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		const char *in = or_empty(at(r, i, "schema_name"));
		const char *name = or_empty(at(r, i, "table_name"));
		struct regions_table *t;
		int64_t rows;

		if (only != NULL ? strcmp(in, schema) != 0 || strcmp(name, only) != 0
				 : strcmp(in, "meridian") == 0)
			continue;
		t = regions_catalog_add_table(out, in, name, at(r, i, "locality"));
		replace(&t->type, xstrdup(at(r, i, "type") != NULL ? at(r, i, "type") : "table"));
		t->owner = copy_at(r, i, "owner");
		if (text_to_int(slice_str(at(r, i, "estimated_row_count")), 0, INT64_MAX, &rows))
			t->rows = rows;
	}
	PQclear(r);
	return 0;
}

static int
read_create(PGconn *c, struct regions_table *t, struct err *e)
{
	struct buf b = { 0 };
	PGresult *r;

	buf_str(&b, "SHOW CREATE TABLE ");
	ddl_put_table(&b, t->schema, t->name);
	r = db_query(c, e, buf_text(&b), 0, NULL);
	buf_fini(&b);
	if (r == NULL)
		return -1;
	if (PQntuples(r) > 0)
		replace(&t->create, copy_at(r, 0, "create_statement"));
	PQclear(r);
	if (t->create != NULL)
		regions_table_find_partitions(t);
	return 0;
}

static int
read_columns(PGconn *c, struct regions_table *t, struct err *e)
{
	const char *const names[] = { t->schema, t->name };
	PGresult *r = db_query(c, e,
			       "SELECT column_name, udt_name, is_nullable"
			       " FROM information_schema.columns"
			       " WHERE table_schema = $1 AND table_name = $2",
			       2, names);

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++)
		regions_table_add_column(t, or_empty(at(r, i, "column_name")),
					 or_empty(at(r, i, "udt_name")),
					 strcmp(or_empty(at(r, i, "is_nullable")), "YES") == 0);
	PQclear(r);
	return 0;
}

int
regions_read_table(PGconn *c, const char *schema, const char *table, struct regions_catalog *out,
		   struct err *e)
{
	if (read_tables(c, out, schema, table, e) < 0)
		return -1;
	if (out->ntables == 0)
		return err_set(e, "42P01", "table %s.%s does not exist", schema, table);
	if (read_create(c, &out->tables[0], e) < 0)
		return -1;
	return read_columns(c, &out->tables[0], e);
}

int
regions_read_values(PGconn *c, const struct regions_table *t, const char *column, int max,
		    struct strlist *out, struct err *e)
{
	struct buf b = { 0 };
	PGresult *r;

	buf_str(&b, "SELECT DISTINCT ");
	ddl_put_name(&b, column);
	buf_str(&b, "::text AS v FROM ");
	ddl_put_table(&b, t->schema, t->name);
	buf_str(&b, " WHERE ");
	ddl_put_name(&b, column);
	buf_printf(&b, " IS NOT NULL LIMIT %d", max + 1);
	r = db_query(c, e, buf_text(&b), 0, NULL);
	buf_fini(&b);
	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++)
		strlist_add(out, or_empty(at(r, i, "v")));
	PQclear(r);
	if (out->n > (size_t)max)
		return err_set(e, "54000", "column %s of %s.%s has more than %d values", column,
			       t->schema, t->name, max);
	return 0;
}

/* ---- zone configurations ---- */

/* "TABLE movr.public.users", "PARTITION p OF INDEX movr.public.users@i", "DATABASE movr": the first
 * part of the last name. */
static bool
is_zone_of(const char *target, const char *database)
{
	struct sqltoken_scan s = sqltoken_begin(slice_str(target));
	struct sqltoken t, name = { 0 };
	bool is_head = true;

	while (sqltoken_next(&s, &t)) {
		if (t.kind == SQLTOKEN_MARK) {
			is_head = false;
			continue;
		}
		if (is_head)
			name = t;
		else if (slice_is_nocase(t.text, "OF"))
			is_head = true;
	}
	return slice_is(name.text, database);
}

int
regions_read_zones(PGconn *c, struct regions_catalog *out, struct err *e)
{
	PGresult *r = db_query(c, e, "SHOW ZONE CONFIGURATIONS", 0, NULL);

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		const char *target = at(r, i, "target"), *sql = at(r, i, "raw_config_sql");

		if (target != NULL && sql != NULL && is_zone_of(target, out->database))
			regions_catalog_add_zone(out, target, sql);
	}
	PQclear(r);
	return 0;
}

/* ---- all of it ---- */

int
regions_read(PGconn *c, const char *database, struct regions_catalog *out, struct err *e)
{
	const char *version = PQparameterStatus(c, "crdb_version");

	*out = (struct regions_catalog){ .database = xstrdup(database) };
	if (version == NULL)
		return 0;
	out->version = xstrdup(version);
	open_internals(c);
	if (read_user(c, out, e) < 0 || regions_read_cluster(c, &out->cluster, e) < 0 ||
	    regions_read_database(c, out, e) < 0 || regions_read_regions(c, out, e) < 0 ||
	    read_own_type(c, out, e) < 0 || read_tables(c, out, NULL, NULL, e) < 0 ||
	    regions_read_zones(c, out, e) < 0)
		return -1;
	for (size_t i = 0; i < out->ntables; i++) {
		struct regions_table *t = &out->tables[i];

		if (strcmp(t->type, "table") != 0)
			continue;
		if ((out->primary == NULL && read_create(c, t, e) < 0) || read_columns(c, t, e) < 0)
			return -1;
	}
	return 0;
}

int
regions_read_licence(PGconn *c, struct regions_catalog *out, struct err *e)
{
	struct buf b = { 0 };
	struct err why = { 0 };

	ddl_primary(&b, out->database, "no region: Meridian asks for the licence");
	if (db_exec(c, &why, buf_text(&b)) < 0) {
		if (strcmp(why.sqlstate, "XXC02") == 0 || strcmp(why.sqlstate, "XXC01") == 0)
			replace(&out->licence, xstrdup(why.msg));
	}
	buf_fini(&b);
	if (PQstatus(c) == CONNECTION_BAD)
		return err_set(e, "08006", "%s", why.msg);
	return 0;
}

/* ---- changefeeds and jobs ---- */

int
regions_read_feeds(PGconn *c, struct regions_catalog *out, struct err *e)
{
	PGresult *r;

	open_internals(c);
	r = db_query(c, e, "SHOW CHANGEFEED JOBS", 0, NULL);
	/* Old versions have no such statement, and no names of tables beside that of the feed. */
	if (r == NULL && strncmp(e->sqlstate, "42", 2) == 0)
		r = db_query(c, e,
			     "SELECT job_id, description, status FROM crdb_internal.jobs WHERE "
			     "job_type = 'CHANGEFEED' AND status IN ('running', 'pending') LIMIT "
			     "10000",
			     0, NULL);
	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		const char *status = or_empty(at(r, i, "status"));

		if (strcmp(status, "running") == 0 || strcmp(status, "pending") == 0)
			regions_catalog_add_feed(out, or_empty(at(r, i, "job_id")), false,
						 or_empty(at(r, i, "description")),
						 at(r, i, "full_table_names"));
	}
	PQclear(r);
	r = db_query(c, e,
		     "SELECT query_id, query FROM crdb_internal.cluster_queries WHERE upper(query) "
		     "LIKE '%CHANGEFEED%' LIMIT 10000",
		     0, NULL);
	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		const char *text = or_empty(at(r, i, "query"));

		if (feed_is_changefeed(text) && !feed_has_sink(text))
			regions_catalog_add_feed(out, or_empty(at(r, i, "query_id")), true, text,
						 NULL);
	}
	PQclear(r);
	return 0;
}

/* Names of the database in a job's description are whole ("movr.public.users"), or it is about the
 * type of regions. What is cleaned up afterwards quotes the statement: CLEANUP JOB for '…'. */
static bool
names(struct slice text, const char *database)
{
	struct sqltoken_scan s = sqltoken_begin(text);
	struct sqltoken t;

	while (sqltoken_next(&s, &t)) {
		if (t.kind != SQLTOKEN_MARK &&
		    (slice_is(t.text, database) || slice_is(t.text, "crdb_internal_region")))
			return true;
	}
	return false;
}

static bool
is_job_of(const char *description, const char *database)
{
	struct sqltoken_scan s = sqltoken_begin(slice_str(description));
	struct sqltoken t;

	if (names(slice_str(description), database))
		return true;
	while (sqltoken_next(&s, &t)) {
		if (t.kind == SQLTOKEN_STRING && names(t.text, database))
			return true;
	}
	return false;
}

int
regions_read_jobs(PGconn *c, struct regions_catalog *out, struct err *e)
{
	PGresult *r;

	open_internals(c);
	r = db_query(c, e,
		     "SELECT job_id, job_type, description, status FROM crdb_internal.jobs WHERE "
		     "job_type IN ('SCHEMA CHANGE', 'NEW SCHEMA CHANGE', 'TYPEDESC SCHEMA CHANGE') "
		     "AND status IN ('pending', 'running', 'paused', 'reverting', "
		     "'pause-requested', 'cancel-requested') LIMIT 10000",
		     0, NULL);

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		const char *text = or_empty(at(r, i, "description"));

		if (is_job_of(text, out->database))
			regions_catalog_add_job(out, or_empty(at(r, i, "job_id")),
						or_empty(at(r, i, "job_type")), text,
						or_empty(at(r, i, "status")));
	}
	PQclear(r);
	return 0;
}
