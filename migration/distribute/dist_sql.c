/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/dist_sql.h"

#include "base/pgquote.h"

#define ORPHANS_MAX 1000

/* In quotes: a name may be a word of SQL. */
static void
put_name(struct buf *b, const char *name)
{
	pgquote_ident(b, slice_str(name));
}

static void
put_literal(struct buf *b, const char *s)
{
	pgquote_literal(b, slice_str(s));
}

struct slice
dist_sql_next(struct slice *rest)
{
	char quote = '\0';

	for (size_t i = 0; i < rest->n; i++) {
		char c = rest->p[i];

		if (quote != '\0' ? c == quote : c == '\'' || c == '"')
			quote = quote != '\0' ? '\0' : c;
		if (quote == '\0' && c == ';' && i + 1 < rest->n && rest->p[i + 1] == '\n') {
			struct slice s = slice_of(rest->p, i);

			*rest = slice_of(rest->p + i + 2, rest->n - i - 2);
			return s;
		}
	}
	*rest = slice_of(rest->p + rest->n, 0);
	return *rest;
}

void
dist_sql_settings(struct buf *b, bool sequential)
{
	buf_str(b, "SET LOCAL citus.enable_local_reference_table_foreign_keys = off;\n");
	if (sequential)
		buf_str(b, "SET LOCAL citus.multi_shard_modify_mode = 'sequential';\n");
}

static void
put_call(struct buf *b, const char *function, const char *table, const char *column,
	 const char *colocated)
{
	buf_printf(b, "SELECT %s(", function);
	put_literal(b, table);
	if (column != NULL) {
		buf_str(b, ", ");
		put_literal(b, column);
	}
	if (colocated != NULL) {
		buf_str(b, ", colocate_with => ");
		put_literal(b, colocated);
	}
	buf_str(b, ");\n");
}

void
dist_sql_distribute(struct buf *b, const char *table, const char *column, const char *colocated)
{
	put_call(b, "create_distributed_table", table, column, colocated);
}

void
dist_sql_concurrently(struct buf *b, const char *table, const char *column, const char *colocated)
{
	put_call(b, "create_distributed_table_concurrently", table, column, colocated);
}

void
dist_sql_reference(struct buf *b, const char *table)
{
	put_call(b, "create_reference_table", table, NULL, NULL);
}

void
dist_sql_all(struct buf *b, const struct dist_args *a)
{
	const char *colocated = a->colocated;

	for (size_t i = 0; i < a->nkeys; i++)
		dist_sql_drop_key(b, &a->keys[i]);
	for (size_t i = 0; i < a->ntables; i++) {
		const struct dist_table_args *t = &a->tables[i];

		if (t->is_reference) {
			dist_sql_reference(b, t->table);
			continue;
		}
		dist_sql_distribute(b, t->table, a->column, colocated);
		if (colocated == NULL)
			colocated = t->table;
	}
	for (size_t i = 0; i < a->nkeys; i++)
		dist_sql_add_key(b, &a->keys[i], a->keys[i].is_valid);
}

void
dist_sql_truncate(struct buf *b, const char *table)
{
	put_call(b, "truncate_local_data_after_distributing_table", table, NULL, NULL);
}

void
dist_sql_undistribute(struct buf *b, const char *table)
{
	buf_str(b, "SELECT undistribute_table(");
	put_literal(b, table);
	buf_str(b, ", cascade_via_foreign_keys => true);\n");
}

void
dist_sql_drop_key(struct buf *b, const struct dist_key_args *k)
{
	buf_printf(b, "ALTER TABLE %s DROP CONSTRAINT IF EXISTS ", k->table);
	put_name(b, k->name);
	buf_str(b, ";\n");
}

void
dist_sql_add_key(struct buf *b, const struct dist_key_args *k, bool check)
{
	buf_printf(b, "ALTER TABLE %s ADD CONSTRAINT ", k->table);
	put_name(b, k->name);
	buf_printf(b, " %s%s;\n", k->definition, check ? "" : " NOT VALID");
	dist_sql_comment_key(b, k);
}

void
dist_sql_comment_key(struct buf *b, const struct dist_key_args *k)
{
	if (k->comment == NULL)
		return;
	buf_str(b, "COMMENT ON CONSTRAINT ");
	put_name(b, k->name);
	buf_printf(b, " ON %s IS ", k->table);
	put_literal(b, k->comment);
	buf_str(b, ";\n");
}

void
dist_sql_validate_key(struct buf *b, const struct dist_key_args *k)
{
	buf_printf(b, "ALTER TABLE %s VALIDATE CONSTRAINT ", k->table);
	put_name(b, k->name);
	buf_str(b, ";\n");
}

/* Rows with a NULL in the key are not looked at: MATCH SIMPLE. */
void
dist_sql_orphans(struct buf *b, const struct dist_key_args *k)
{
	buf_str(b, "SELECT count(*), min(o.v) FROM (SELECT concat_ws(', '");
	for (size_t i = 0; i < k->columns.n; i++) {
		buf_str(b, ", c.");
		put_name(b, k->columns.v[i]);
	}
	buf_printf(b, ") AS v FROM %s c LEFT JOIN %s p ON ", k->table, k->refer);
	for (size_t i = 0; i < k->columns.n && i < k->refers.n; i++) {
		buf_str(b, i > 0 ? " AND p." : "p.");
		put_name(b, k->refers.v[i]);
		buf_str(b, " = c.");
		put_name(b, k->columns.v[i]);
	}
	buf_str(b, " WHERE p.");
	put_name(b, k->refers.n > 0 ? k->refers.v[0] : "");
	buf_str(b, " IS NULL");
	for (size_t i = 0; i < k->columns.n; i++) {
		buf_str(b, " AND c.");
		put_name(b, k->columns.v[i]);
		buf_str(b, " IS NOT NULL");
	}
	buf_printf(b, " LIMIT %d) o;\n", ORPHANS_MAX);
}

void
dist_sql_key_state(struct buf *b, const struct dist_key_args *k)
{
	buf_str(b, "SELECT convalidated FROM pg_constraint WHERE contype = 'f' AND conrelid = "
		   "to_regclass(");
	put_literal(b, k->table);
	buf_str(b, ") AND conname = ");
	put_literal(b, k->name);
}
