/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/dist_load.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"

#define LOOKS_APART_US ((int64_t)1000000)
#define MB             ((double)(1 << 20))
#define TABLES_MAX     "10000"
#define KEYS_MAX       "50000"

/* Where there is no table to measure with; and what no measurement may leave. */
#define RATE_STANDARD (20 * MB)
#define RATE_MIN      (1 * MB)
#define RATE_MAX      (200 * MB)
/* A copy writes rows as text on one side, and reads and stores them on the other. */
#define RATE_SHARE   0.25
#define SAMPLE_BYTES ((int64_t)1 << 20)

static const char writes_sql[] =
    "SELECT extract(epoch FROM clock_timestamp()),"
    " coalesce(pg_partition_root(relid)::oid, relid),"
    " sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables GROUP BY 2";

/* sign -1: the first look, +1: the second. */
static int
look(PGconn *db, struct dist_catalog *c, double sign, double *at, struct err *e)
{
	PGresult *r = db_query(db, e, writes_sql, 0, NULL);

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		unsigned long oid = strtoul(PQgetvalue(r, i, 1), NULL, 10);

		*at = strtod(PQgetvalue(r, i, 0), NULL);
		for (size_t t = 0; t < c->ntables; t++)
			if (c->tables[t].oid == (uint32_t)oid)
				c->tables[t].writes += sign * strtod(PQgetvalue(r, i, 2), NULL);
	}
	PQclear(r);
	return 0;
}

static int
dist_load_writes(struct job *j, PGconn *db, struct dist_catalog *c, struct err *e)
{
	double from = 0, to = 0;

	if (look(db, c, -1, &from, e) != 0 || job_sleep(j, LOOKS_APART_US, e) != 0 ||
	    look(db, c, 1, &to, e) != 0)
		return -1;
	for (size_t i = 0; i < c->ntables; i++)
		c->tables[i].writes =
		    to > from && c->tables[i].writes > 0 ? c->tables[i].writes / (to - from) : 0;
	return 0;
}

static int
dist_load_rate(PGconn *db, struct dist_catalog *c, struct err *e)
{
	const struct dist_table *t = NULL;
	int64_t bytes = 0, from = clock_us();
	double rate;
	char *sql;
	int rc;

	c->server.bytes_per_second = RATE_STANDARD;
	for (size_t i = 0; i < c->ntables; i++) {
		const struct dist_table *one = &c->tables[i];

		if (one->relkind == 'r' && one->state == DIST_LOCAL && one->bytes >= SAMPLE_BYTES &&
		    (t == NULL || one->bytes > t->bytes))
			t = one;
	}
	if (t == NULL)
		return 0;
	sql = xasprintf("SELECT coalesce(sum(octet_length(x::text)), 0)"
			" FROM (SELECT * FROM %s LIMIT 20000) x",
			t->name);
	rc = db_int(db, &bytes, e, sql, 0, NULL);
	free(sql);
	rate = RATE_SHARE * (double)bytes * 1e6 / (double)(clock_us() - from + 1);
	if (rc == 0 && bytes > SAMPLE_BYTES / 2)
		c->server.bytes_per_second = rate < RATE_MIN   ? RATE_MIN
					     : rate > RATE_MAX ? RATE_MAX
							       : rate;
	return rc;
}

/* $1: the column. %s: what Citus hides. One row per table; lists are JSON. */
static const char tables_sql[] =
    "SELECT c.oid, n.nspname, c.relname, format('%%I.%%I', n.nspname, c.relname), c.relkind,"
    " c.relpersistence = 't', c.relpersistence = 'u', c.relispartition,"
    " NOT c.relispartition AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid),"
    " c.relkind <> 'p' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid),"
    " pg_has_role(c.relowner, 'MEMBER'),"
    " CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false ELSE EXISTS (SELECT FROM"
    "  pg_index i WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'i'"
    "  THEN i.indisreplident ELSE i.indisprimary END) END,"
    " format_type(a.atttypid, a.atttypmod), coalesce(a.attgenerated <> '', false),"
    " NOT coalesce(a.attnotnull, true),"
    " EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary"
    "  AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum),"
    " CASE c.relkind WHEN 'p' THEN (SELECT coalesce(sum(pg_table_size(relid)), 0)"
    "  FROM pg_partition_tree(c.oid)) WHEN 'f' THEN 0 ELSE pg_table_size(c.oid) END::bigint,"
    " greatest(c.reltuples, 0)::bigint,"
    " (SELECT jsonb_agg(tgname ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid"
    "  AND NOT tgisinternal),"
    " (SELECT jsonb_agg(attname ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid"
    "  AND attidentity <> '' AND NOT attisdropped),"
    " (SELECT jsonb_agg(s.attname ORDER BY s.attnum) FROM pg_attribute s JOIN pg_attrdef d"
    "  ON d.adrelid = s.attrelid AND d.adnum = s.attnum WHERE s.attrelid = c.oid"
    "  AND s.attgenerated = '' AND s.atttypid IN ('int2'::regtype, 'int4'::regtype)"
    "  AND pg_get_expr(d.adbin, d.adrelid) LIKE '%%nextval(%%'),"
    " (SELECT jsonb_agg(ic.relname ORDER BY ic.relname) FROM pg_index i JOIN pg_class ic"
    "  ON ic.oid = i.indexrelid WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion)"
    "  AND NOT EXISTS (SELECT FROM generate_series(0, i.indnkeyatts - 1) k"
    "   WHERE i.indkey[k] = a.attnum AND (NOT i.indisexclusion OR (SELECT o.oprname"
    "    FROM pg_constraint x JOIN pg_operator o ON o.oid = x.conexclop[k + 1]"
    "    WHERE x.conindid = i.indexrelid AND x.contype = 'x') = '=')))"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = $1 AND a.attnum > 0"
    "  AND NOT a.attisdropped"
    " WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname NOT IN ('pg_catalog',"
    "  'information_schema', 'pg_toast', 'meridian', 'citus', 'citus_internal', 'columnar',"
    "  'columnar_internal')"
    " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass"
    "  AND d.objid = c.oid AND d.deptype = 'e')%s"
    " ORDER BY n.nspname, c.relname LIMIT " TABLES_MAX;

/* pg_constraint does not hide the shards of tables that are half way, and shards that wait for
 * their removal look like tables. */
static const char not_a_shard[] =
    " AND NOT relation_is_a_known_shard(c.oid) AND NOT EXISTS (SELECT FROM pg_dist_cleanup u"
    " WHERE u.object_type = 1 AND to_regclass(u.object_name) = c.oid)";

/* %s: SET NULL (columns), which PostgreSQL has since 15. */
static const char keys_sql[] =
    "SELECT x.conname, x.conrelid, x.confrelid, x.confdeltype, x.confupdtype, x.convalidated,"
    " pg_get_constraintdef(x.oid),"
    " (SELECT jsonb_agg(a.attname ORDER BY k.n) FROM unnest(x.conkey) WITH ORDINALITY k(col, n)"
    "  JOIN pg_attribute a ON a.attrelid = x.conrelid AND a.attnum = k.col),"
    " (SELECT jsonb_agg(a.attname ORDER BY k.n) FROM unnest(x.confkey) WITH ORDINALITY k(col, n)"
    "  JOIN pg_attribute a ON a.attrelid = x.confrelid AND a.attnum = k.col), %s,"
    " obj_description(x.oid, 'pg_constraint')"
    " FROM pg_constraint x WHERE x.contype = 'f' AND x.conparentid = 0"
    " ORDER BY x.conrelid::regclass::text, x.conname LIMIT " KEYS_MAX;

static const char set_columns[] =
    "(SELECT jsonb_agg(a.attname) FROM unnest(x.confdelsetcols) k(col) JOIN pg_attribute a"
    " ON a.attrelid = x.conrelid AND a.attnum = k.col)";

static const char partitions_sql[] =
    "SELECT logicalrelid::oid, partmethod, repmodel,"
    " column_to_column_name(logicalrelid, partkey), colocationid FROM pg_dist_partition";

static const char server_sql[] =
    "SELECT current_setting('wal_level'),"
    " (SELECT setting FROM pg_settings WHERE name = 'output_plugin_libraries'),"
    " current_setting('max_replication_slots')::int"
    "  - (SELECT count(*) FROM pg_replication_slots),"
    " current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication)";

static const char cluster_sql[] =
    "SELECT citus_is_coordinator(),"
    " EXISTS (SELECT FROM pg_dist_node WHERE groupid = 0),"
    " (SELECT count(*) FROM pg_dist_node WHERE groupid <> 0 AND noderole = 'primary'"
    "  AND isactive AND shouldhaveshards),"
    " current_setting('citus.shard_replication_factor')";

static const char health_sql[] =
    "SELECT format('%s:%s -> %s:%s', from_nodename, from_nodeport, to_nodename, to_nodeport)"
    " FROM citus_check_cluster_node_health() WHERE result IS DISTINCT FROM true LIMIT 20";

static const char back_sql[] =
    "SELECT CASE WHEN citus_check_connection_to_node(current_setting('citus.local_hostname'),"
    " current_setting('port')::int) THEN NULL ELSE format('%s:%s as %s',"
    " current_setting('citus.local_hostname'), current_setting('port'), current_user) END";

int
dist_has_citus(PGconn *db, bool *out, struct err *e)
{
	return db_is(db, out, e, "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')",
		     0, NULL);
}

static bool
truth(const PGresult *r, int row, int col)
{
	return !PQgetisnull(r, row, col) && PQgetvalue(r, row, col)[0] == 't';
}

static int64_t
number(const PGresult *r, int row, int col)
{
	return strtoll(PQgetvalue(r, row, col), NULL, 10);
}

static void
names(struct strlist *to, const PGresult *r, int row, int col)
{
	json_t *list, *name;
	size_t i;

	if (PQgetisnull(r, row, col))
		return;
	list = json_loads(PQgetvalue(r, row, col), 0, NULL);
	json_array_foreach(list, i, name) strlist_add(to, json_string_value(name));
	json_decref(list);
}

static void
read_table(struct dist_catalog *c, const PGresult *r, int row)
{
	struct dist_table *t =
	    dist_catalog_add_table(c, PQgetvalue(r, row, 1), PQgetvalue(r, row, 2));

	t->oid = (uint32_t)number(r, row, 0);
	free(t->name);
	t->name = xstrdup(PQgetvalue(r, row, 3));
	t->relkind = PQgetvalue(r, row, 4)[0];
	t->is_temp = truth(r, row, 5);
	t->is_unlogged = truth(r, row, 6);
	t->is_partition = truth(r, row, 7);
	t->is_heir = truth(r, row, 8);
	t->has_heirs = truth(r, row, 9);
	t->is_ours = truth(r, row, 10);
	t->has_identity = truth(r, row, 11);
	t->column_type = db_text(r, row, 12);
	t->is_generated = truth(r, row, 13);
	t->nulls_unknown = truth(r, row, 14);
	t->is_primary_key = truth(r, row, 15);
	t->bytes = number(r, row, 16);
	t->rows = number(r, row, 17);
	names(&t->triggers, r, row, 18);
	names(&t->identities, r, row, 19);
	names(&t->serials, r, row, 20);
	names(&t->keys_without, r, row, 21);
}

/* Run a query and hand its rows to `read`. */
static int
each_row(PGconn *db, const char *sql, const char *param, struct dist_catalog *c,
	 void (*read)(struct dist_catalog *c, const PGresult *r, int row), struct err *e)
{
	PGresult *r = db_query(db, e, sql, param != NULL ? 1 : 0, &param);

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++)
		read(c, r, i);
	PQclear(r);
	return 0;
}

static struct dist_table *
by_oid(const struct dist_catalog *c, int64_t oid)
{
	for (size_t i = 0; i < c->ntables; i++)
		if (c->tables[i].oid == (uint32_t)oid)
			return &c->tables[i];
	return NULL;
}

static void
read_key(struct dist_catalog *c, const PGresult *r, int row)
{
	const struct dist_table *from = by_oid(c, number(r, row, 1));
	const struct dist_table *to = by_oid(c, number(r, row, 2));
	struct dist_key *k;

	if (from == NULL || to == NULL) /* shards, and tables of extensions */
		return;
	k = dist_catalog_add_key(c, PQgetvalue(r, row, 0), (size_t)(from - c->tables),
				 (size_t)(to - c->tables));
	k->on_delete = PQgetvalue(r, row, 3)[0];
	k->on_update = PQgetvalue(r, row, 4)[0];
	k->is_valid = truth(r, row, 5);
	k->definition = xstrdup(PQgetvalue(r, row, 6));
	names(&k->columns, r, row, 7);
	names(&k->refers, r, row, 8);
	names(&k->sets, r, row, 9);
	k->comment = db_text(r, row, 10);
}

static void
read_partition(struct dist_catalog *c, const PGresult *r, int row)
{
	struct dist_table *t = by_oid(c, number(r, row, 0));
	char method = PQgetvalue(r, row, 1)[0], model = PQgetvalue(r, row, 2)[0];

	if (t == NULL)
		return;
	t->state = dist_state_from(method, model);
	t->distributed_by = db_text(r, row, 3);
	t->colocation = (int)number(r, row, 4);
}

static void
read_server(struct dist_catalog *c, const PGresult *r, int row)
{
	c->server.wal_level = xstrdup(PQgetvalue(r, row, 0));
	c->server.plugins = db_text(r, row, 1);
	c->server.slots_free = (int)number(r, row, 2);
	c->server.senders_free = (int)number(r, row, 3);
}

static void
read_cluster(struct dist_catalog *c, const PGresult *r, int row)
{
	c->server.is_coordinator = truth(r, row, 0);
	c->server.is_registered = truth(r, row, 1);
	c->server.workers = (int)number(r, row, 2);
	c->server.replication_factor = (int)number(r, row, 3);
}

static void
read_pair(struct dist_catalog *c, const PGresult *r, int row)
{
	strlist_add(&c->server.unreachable, PQgetvalue(r, row, 0));
}

static void
read_back(struct dist_catalog *c, const PGresult *r, int row)
{
	c->server.connects_back = db_text(r, row, 0);
}

/* One snapshot of the catalogs. */
static int
load_catalog(PGconn *db, const char *column, struct dist_catalog *c, struct err *e)
{
	char *tables = xasprintf(tables_sql, c->server.has_citus ? not_a_shard : "");
	char *keys =
	    xasprintf(keys_sql, PQserverVersion(db) >= 150000 ? set_columns : "NULL::jsonb");
	int rc = db_exec(db, e, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");

	/* So that definitions of keys name the schemas of their tables. */
	if (rc == 0)
		rc = db_exec(db, e, "SET LOCAL search_path = pg_catalog");
	if (rc == 0)
		rc = each_row(db, tables, column, c, read_table, e);
	if (rc == 0)
		rc = each_row(db, keys, NULL, c, read_key, e);
	if (rc == 0)
		rc = dist_load_trimmings(db, c, e);
	if (rc == 0 && c->server.has_citus)
		rc = each_row(db, partitions_sql, NULL, c, read_partition, e);
	if (PQtransactionStatus(db) != PQTRANS_IDLE)
		(void)db_exec(db, NULL, "ROLLBACK");
	free(tables);
	free(keys);
	return rc;
}

static int
load_server(PGconn *db, struct dist_catalog *c, struct err *e)
{
	bool is_new = false;

	if (dist_has_citus(db, &c->server.has_citus, e) != 0 ||
	    each_row(db, server_sql, NULL, c, read_server, e) != 0)
		return -1;
	if (!c->server.has_citus)
		return 0;
	if (db_is(db, &is_new, e, "SELECT to_regclass('pg_catalog.pg_dist_cleanup') IS NOT NULL", 0,
		  NULL) != 0)
		return -1;
	if (!is_new)
		return err_set(e, "0A000", "Citus 11.2 or later is needed");
	if (each_row(db, cluster_sql, NULL, c, read_cluster, e) != 0)
		return -1;
	if (!c->server.is_coordinator)
		return 0;
	return each_row(db, health_sql, NULL, c, read_pair, e) != 0 ||
		       each_row(db, back_sql, NULL, c, read_back, e) != 0
		   ? -1
		   : 0;
}

int
dist_load(struct job *j, const char *column, struct dist_catalog *out, struct err *e)
{
	PGconn *db = job_db(j, DIST_PLACE, e);

	memset(out, 0, sizeof(*out));
	if (db != NULL && load_server(db, out, e) == 0 && load_catalog(db, column, out, e) == 0 &&
	    dist_load_writes(j, db, out, e) == 0 && dist_load_rate(db, out, e) == 0)
		return 0;
	dist_catalog_fini(out);
	return -1;
}

int
dist_load_nulls(struct job *j, const char *column, const struct dist_plan *p,
		struct dist_catalog *c, struct err *e)
{
	PGconn *db = job_db(j, DIST_PLACE, e);

	if (db == NULL)
		return -1;
	for (size_t i = 0; i < c->ntables; i++) {
		struct err why = { 0 };
		char *col, *sql;
		int rc;
		enum spec_method m = p->choice[i].method;

		if (!p->choice[i].is_in || !c->tables[i].nulls_unknown ||
		    (m != METHOD_BLOCKING && m != METHOD_CONCURRENT))
			continue;
		/* Bounded by a timeout of the statement: a table without an index on the column is
		 * read whole. */
		col = db_ident(db, column);
		sql = xasprintf("SELECT EXISTS (SELECT FROM %s WHERE %s IS NULL)",
				c->tables[i].name, col);
		rc = db_exec(db, e, "SET statement_timeout = '3s'");
		if (rc == 0 && db_is(db, &c->tables[i].has_nulls, &why, sql, 0, NULL) == 0)
			c->tables[i].nulls_unknown = false;
		if (rc == 0)
			rc = db_exec(db, e, "SET statement_timeout = 0");
		free(col);
		free(sql);
		if (rc < 0)
			return -1;
	}
	return 0;
}
