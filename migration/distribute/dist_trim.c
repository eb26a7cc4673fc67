/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/dist_load.h"

#include <stdlib.h>

#include "migration/db.h"

/* w: each table, and with it the views that stand on it, views on views too. Indexes before their
 * comments. */
static const char trimmings_sql[] =
    "WITH RECURSIVE w (base, oid) AS ("
    " SELECT c.oid, c.oid FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384"
    " UNION SELECT w.base, r.ev_class FROM w"
    "  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = w.oid"
    "   AND d.classid = 'pg_rewrite'::regclass"
    "  JOIN pg_rewrite r ON r.oid = d.objid WHERE r.ev_class <> w.oid),"
    " v AS (SELECT w.base, c.* FROM w JOIN pg_class c ON c.oid = w.oid"
    "  WHERE c.relkind IN ('v', 'm')),"
    " t (n, base, sql) AS ("
    " SELECT 1, v.base, regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE( UNIQUE)? INDEX ',"
    "  'CREATE\\1 INDEX IF NOT EXISTS ') FROM v JOIN pg_index i ON i.indrelid = v.oid"
    " UNION ALL SELECT 2, v.base, format('ALTER VIEW %s ALTER COLUMN %I SET DEFAULT %s',"
    "  v.oid::regclass, a.attname, pg_get_expr(d.adbin, d.adrelid)) FROM v"
    "  JOIN pg_attrdef d ON d.adrelid = v.oid"
    "  JOIN pg_attribute a ON a.attrelid = v.oid AND a.attnum = d.adnum"
    " UNION ALL SELECT 2, v.base, regexp_replace(rtrim(pg_get_ruledef(r.oid), ';'),"
    "  '^CREATE RULE', 'CREATE OR REPLACE RULE') FROM v JOIN pg_rewrite r ON r.ev_class = v.oid"
    "  WHERE r.rulename <> '_RETURN'"
    " UNION ALL SELECT 2, v.base, regexp_replace(pg_get_triggerdef(g.oid), '^CREATE TRIGGER',"
    "  'CREATE OR REPLACE TRIGGER') FROM v JOIN pg_trigger g ON g.tgrelid = v.oid"
    "  WHERE NOT g.tgisinternal"
    " UNION ALL SELECT 3, v.base, format('GRANT %s ON %s TO %s%s', x.privilege_type,"
    "  v.oid::regclass, CASE WHEN x.grantee = 0 THEN 'PUBLIC'"
    "  ELSE quote_ident(pg_get_userbyid(x.grantee)) END,"
    "  CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
    "  FROM v, aclexplode(v.relacl) x WHERE x.grantee <> v.relowner"
    " UNION ALL SELECT 3, v.base, format('GRANT %s (%I) ON %s TO %s%s', x.privilege_type,"
    "  a.attname, v.oid::regclass, CASE WHEN x.grantee = 0 THEN 'PUBLIC'"
    "  ELSE quote_ident(pg_get_userbyid(x.grantee)) END,"
    "  CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
    "  FROM v JOIN pg_attribute a ON a.attrelid = v.oid, aclexplode(a.attacl) x"
    " UNION ALL SELECT 4, w.base, CASE d.objsubid WHEN 0 THEN format('COMMENT ON %s %s IS %L',"
    "  CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END,"
    "  w.oid::regclass, d.description) ELSE format('COMMENT ON COLUMN %s.%I IS %L',"
    "  w.oid::regclass, a.attname, d.description) END FROM w JOIN pg_class c ON c.oid = w.oid"
    "  JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = w.oid"
    "  LEFT JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum = d.objsubid"
    " UNION ALL SELECT 4, w.base, format('COMMENT ON INDEX %s IS %L', i.indexrelid::regclass,"
    "  d.description) FROM w JOIN pg_index i ON i.indrelid = w.oid"
    "  JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = i.indexrelid"
    " UNION ALL SELECT 4, w.base, format('COMMENT ON CONSTRAINT %I ON %s IS %L', x.conname,"
    "  w.oid::regclass, d.description) FROM w JOIN pg_constraint x ON x.conrelid = w.oid"
    "  JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = x.oid"
    "  WHERE x.contype <> 'f'"
    " UNION ALL SELECT 4, w.base, format('COMMENT ON POLICY %I ON %s IS %L', p.polname,"
    "  w.oid::regclass, d.description) FROM w JOIN pg_policy p ON p.polrelid = w.oid"
    "  JOIN pg_description d ON d.classoid = 'pg_policy'::regclass AND d.objoid = p.oid)"
    " SELECT base, sql FROM t ORDER BY base, n, sql LIMIT 20000";

int
dist_load_trimmings(PGconn *db, struct dist_catalog *c, struct err *e)
{
	PGresult *r = db_query(db, e, trimmings_sql, 0, NULL);

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		uint32_t oid = (uint32_t)strtoul(PQgetvalue(r, i, 0), NULL, 10);

		for (size_t t = 0; t < c->ntables; t++)
			if (c->tables[t].oid == oid)
				strlist_add(&c->tables[t].trimmings, PQgetvalue(r, i, 1));
	}
	PQclear(r);
	return 0;
}

int
dist_put_trimmings(struct job *j, PGconn *db, const struct strlist *statements, struct err *e)
{
	for (size_t i = 0; i < statements->n; i++) {
		struct err why = { .msg = "" };

		if (job_check_stop(j, e) != 0 || db_exec(db, e, "SAVEPOINT meridian_trim") != 0)
			return -1;
		if (job_exec_retry(j, db, statements->v[i], &why) == 0)
			continue;
		job_notice(j, "this could not be put back: %s: %s", statements->v[i], why.msg);
		if (db_exec(db, e, "ROLLBACK TO SAVEPOINT meridian_trim") != 0)
			return -1;
	}
	return 0;
}
