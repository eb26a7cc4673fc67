/* SPDX-License-Identifier: PostgreSQL
 *
 * Pieces of SQL that several steps of a move share. No percent signs: they may stand in formats.
 */
#ifndef MIGRATION_MOVE_SQL_H
#define MIGRATION_MOVE_SQL_H

/* Schemas of users. */
#define SQL_USER_SCHEMA                                                                       \
	"n.nspname NOT IN ('pg_catalog', 'information_schema', 'meridian') AND n.nspname !~ " \
	"'^pg_'"
/* Not made by an extension. */
#define SQL_NOT_OF_EXTENSION(classid, oid)                                                      \
	"NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.deptype = 'e' AND x.classid = " \
	"'" classid "'::pg_catalog.regclass AND x.objid = " oid ")"
#define SQL_QUALIFIED \
	"pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)"
#define SQL_FROM_TABLES                                                                        \
	" FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE c.relkind IN ('r', 'p') AND " SQL_USER_SCHEMA                                  \
	" AND " SQL_NOT_OF_EXTENSION("pg_class", "c.oid")

/* Every table that a fence stands in front of. */
#define SQL_TABLES "SELECT " SQL_QUALIFIED " AS t" SQL_FROM_TABLES
/* Those whose rows are replicated. */
#define SQL_PUBLISHED SQL_TABLES " AND c.relkind = 'r' AND c.relpersistence = 'p'"
#define SQL_UNLOGGED  SQL_TABLES " AND c.relkind = 'r' AND c.relpersistence = 'u'"

/* Of a table c: an UPDATE or DELETE can be published. */
#define SQL_HAS_IDENTITY                                                                        \
	"(c.relreplident = 'f' OR EXISTS (SELECT FROM pg_catalog.pg_index i"                    \
	" WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate AND CASE c.relreplident" \
	" WHEN 'i' THEN i.indisreplident WHEN 'd' THEN i.indisprimary ELSE false END))"
/* Of a table c: a unique index that could be its identity. */
#define SQL_IDENTITY_INDEX                                                                   \
	"(SELECT pg_catalog.quote_ident(ic.relname) FROM pg_catalog.pg_index i"              \
	" JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = c.oid"     \
	" AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL"       \
	" AND i.indexprs IS NULL AND NOT EXISTS (SELECT FROM"                                \
	" pg_catalog.unnest(i.indkey[0:i.indnkeyatts - 1]) k JOIN pg_catalog.pg_attribute a" \
	" ON a.attrelid = i.indrelid AND a.attnum = k WHERE NOT a.attnotnull)"               \
	" ORDER BY i.indnkeyatts, ic.relname LIMIT 1)"

#define SQL_FENCES                                                   \
	"SELECT " SQL_QUALIFIED " AS t FROM pg_catalog.pg_trigger g" \
	" JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid"           \
	" JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"  \
	" WHERE g.tgname = 'meridian_fence' AND NOT g.tgisinternal"

/* What is decided is on disk before it is answered, and walsenders see it at once, also where
 * commits are not waited for as a rule. In a transaction. */
#define SQL_DURABLE                                                                              \
	"set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off'" \
	" THEN 'local' ELSE current_setting('synchronous_commit') END, true)"

#define SQL_FENCE_FUNCTION                                                                 \
	"CREATE OR REPLACE FUNCTION meridian.fence() RETURNS trigger LANGUAGE plpgsql"     \
	" SECURITY DEFINER SET search_path = pg_catalog AS $f$\n"                          \
	"DECLARE there text;\n"                                                            \
	"BEGIN\n"                                                                          \
	" SELECT serves INTO there FROM meridian.authority WHERE decision = 'away';\n"     \
	" RAISE EXCEPTION USING ERRCODE = 'MR001', MESSAGE ="                              \
	" 'this node no longer accepts writes for database ' || "                          \
	"quote_ident(current_database()),\n"                                               \
	"  DETAIL = coalesce('It is served by ' || there || '.', 'It is being moved.'),\n" \
	"  HINT = 'Try it again through Meridian.';\n"                                     \
	"END $f$"

#endif
