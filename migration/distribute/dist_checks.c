/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/dist_checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A table of the migration, and whether something is the matter with it. */
struct table_case {
	struct dist_plan *p;
	const struct dist_catalog *c;
	const struct dist_wish *w;
	const struct dist_table *t;
	const struct dist_choice *choice;
};

void
dist_find(struct dist_plan *p, enum check_severity severity, const char *check, const char *object,
	  const char *fix, const char *fmt, ...)
{
	struct dist_finding *f;
	char detail[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	p->findings = xreallocarray(p->findings, p->nfindings + 1, sizeof(*p->findings));
	f = &p->findings[p->nfindings++];
	f->severity = severity;
	f->check = check;
	f->object = xstrdup(object);
	f->detail = xstrdup(detail);
	f->fix = fix != NULL ? xstrdup(fix) : NULL;
}

static bool
is_spread(const struct table_case *a) /* over the workers, by the column */
{
	return a->choice->method == METHOD_BLOCKING || a->choice->method == METHOD_CONCURRENT;
}

static void
check_column(const struct table_case *a)
{
	const struct dist_table *t = a->t, *root;

	if (t->column_type == NULL) {
		dist_find(a->p, CHECK_ERROR, "missing_distribution_column", t->name,
			  "add the column to it, or say METHOD REFERENCE or METHOD LOCAL",
			  "it has no column %s", a->w->column);
		return;
	}
	root = a->p->root < a->c->ntables ? &a->c->tables[a->p->root] : t;
	if (root->column_type != NULL && strcmp(root->column_type, t->column_type) != 0)
		dist_find(a->p, CHECK_ERROR, "column_type", t->name,
			  "give the column the same type in both tables",
			  "column %s is %s here and %s in %s: their rows cannot be put together",
			  a->w->column, t->column_type, root->column_type, root->name);
	if (t->is_generated)
		dist_find(a->p, CHECK_ERROR, "generated_column", t->name,
			  "distribute by a column that is stored as it is inserted",
			  "column %s is GENERATED ALWAYS AS (...) STORED", a->w->column);
	if (t->has_nulls)
		dist_find(a->p, CHECK_ERROR, "null_values", t->name, "UPDATE or DELETE these rows",
			  "there are rows in which %s is NULL", a->w->column);
	if (t->nulls_unknown)
		dist_find(a->p, CHECK_WARN, "null_values", t->name,
			  "ALTER TABLE ... ALTER COLUMN ... SET NOT NULL",
			  "column %s may be NULL, and looking for such rows took too long",
			  a->w->column);
}

static void
check_keys_without(const struct table_case *a)
{
	for (size_t i = 0; i < a->t->keys_without.n; i++)
		dist_find(a->p, CHECK_ERROR, "key_without_column", a->t->name,
			  "make the column a part of it",
			  "%s is UNIQUE, PRIMARY KEY or EXCLUDE without column %s",
			  a->t->keys_without.v[i], a->w->column);
}

static void
check_numbers(const struct table_case *a)
{
	char *names;

	if (a->t->identities.n > 0) {
		names = dist_list_join(&a->t->identities);
		dist_find(a->p, CHECK_WARN, "irreversible", a->t->name,
			  "make it a bigint with DEFAULT nextval('...'), then there is a way back",
			  "identity column %s: Citus cannot undistribute it, ABORT will not bring "
			  "it back; on workers an int identity gives no numbers",
			  names);
		free(names);
	}
	if (a->t->serials.n > 0) {
		names = dist_list_join(&a->t->serials);
		dist_find(a->p, CHECK_WARN, "serial_on_workers", a->t->name,
			  "ALTER TABLE ... ALTER COLUMN ... TYPE bigint",
			  "column %s takes int numbers from a sequence: an INSERT that enters by a "
			  "worker fails",
			  names);
		free(names);
	}
}

static void
check_what_it_is(const struct table_case *a)
{
	const struct dist_table *t = a->t;
	static const struct {
		const char *check, *detail, *fix;
	} rows[] = {
		{ "temporary_table", "a temporary table cannot be distributed", "leave it out" },
		{ "partition", "it is a partition: its parent is distributed, and it with it",
		  "name the partitioned table instead" },
		{ "inheritance", "it inherits from another table",
		  "ALTER TABLE ... NO INHERIT ..." },
		{ "inheritance", "other tables inherit from it", "ALTER TABLE ... NO INHERIT ..." },
		{ "foreign_table", "a foreign table cannot be distributed", "leave it out" },
		{ "not_owner", "it belongs to a role that we are not a member of",
		  "GRANT its owner to the user of migration_conninfo" },
	};
	const bool holds[] = { t->is_temp,   t->is_partition,   t->is_heir,
			       t->has_heirs, t->relkind == 'f', !t->is_ours };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (holds[i])
			dist_find(a->p, CHECK_ERROR, rows[i].check, t->name, rows[i].fix, "%s",
				  rows[i].detail);
	if (t->relkind == 'p')
		dist_find(a->p, CHECK_INFO, "partitioned_table", t->name, NULL,
			  "its partitions are distributed with it");
	if (t->state == DIST_HALF)
		dist_find(a->p, CHECK_INFO, "half_way", t->name, NULL,
			  "Citus knows it already, its rows are on the coordinator");
	if (t->state == DIST_OTHER || t->state == DIST_HASH)
		dist_find(a->p, CHECK_ERROR, "distributed_otherwise", t->name,
			  "SELECT undistribute_table(...)", "it is distributed already, by %s",
			  t->distributed_by != NULL ? t->distributed_by : "another method");
}

static void
check_concurrent(const struct table_case *a)
{
	if (a->t->is_unlogged)
		dist_find(a->p, CHECK_ERROR, "unlogged_table", a->t->name,
			  "METHOD BLOCKING, or ALTER TABLE ... SET LOGGED",
			  "an unlogged table cannot be copied while it is written to");
	if (!a->t->has_identity)
		dist_find(a->p, CHECK_WARN, "no_replica_identity", a->t->name,
			  "METHOD BLOCKING, or a primary key or REPLICA IDENTITY",
			  "UPDATE and DELETE fail while it is distributed");
	if (a->w->is_atomic)
		dist_find(a->p, CHECK_ERROR, "atomic_concurrent", a->t->name,
			  "METHOD BLOCKING, or atomic = off",
			  "METHOD CONCURRENT cannot be a part of one transaction");
}

static void
check_blocking(const struct table_case *a)
{
	double s = dist_seconds(a->c, a->t->bytes);

	if (!a->w->is_atomic && s > (double)a->w->lock_budget_us / 1e6)
		dist_find(a->p, CHECK_WARN, "lock_budget", a->t->name, "METHOD CONCURRENT",
			  "writes to it wait for about %.1f s, lock_budget is %.1f s", s,
			  (double)a->w->lock_budget_us / 1e6);
}

static void
check_reference(const struct table_case *a)
{
	if (a->t->column_type == NULL && a->t->bytes > DIST_REFERENCE_MAX && a->w->ntables == 0)
		dist_find(a->p, CHECK_ERROR, "missing_distribution_column", a->t->name,
			  "add the column to it, or name the tables, this one METHOD REFERENCE",
			  "it has no column %s, and %lld MB are much to copy to every node",
			  a->w->column, (long long)(a->t->bytes >> 20));
	else
		dist_find(a->p, CHECK_INFO, "reference_table", a->t->name, NULL,
			  "every node gets a copy: %s", a->choice->why);
}

static void
check_table(const struct table_case *a)
{
	if (!a->choice->is_in || a->choice->method == METHOD_LOCAL ||
	    a->choice->method == METHOD_CHOOSE)
		return;
	check_what_it_is(a);
	if (a->t->triggers.n > 0) {
		char *names = dist_list_join(&a->t->triggers);

		dist_find(a->p, CHECK_ERROR, "triggers", a->t->name,
			  "DROP TRIGGER, and do its work elsewhere",
			  "a table with triggers cannot be distributed: %s", names);
		free(names);
	}
	check_numbers(a);
	if (a->choice->method == METHOD_REFERENCE)
		check_reference(a);
	if (!is_spread(a))
		return;
	check_column(a);
	check_keys_without(a);
	if (a->choice->method == METHOD_CONCURRENT)
		check_concurrent(a);
	else
		check_blocking(a);
}

static void
check_name(struct dist_plan *p, const struct dist_catalog *c, const struct spec_name *n)
{
	bool is_ambiguous = false;

	if (dist_catalog_find(c, n->schema, n->table, &is_ambiguous) < c->ntables)
		return;
	dist_find(p, CHECK_ERROR, is_ambiguous ? "ambiguous_table" : "no_such_table", n->table,
		  is_ambiguous ? "say its schema" : NULL,
		  is_ambiguous ? "several schemas have a table of this name"
			       : "there is no such table%s%s",
		  n->schema != NULL ? " in schema " : "", n->schema != NULL ? n->schema : "");
}

static void
check_names(struct dist_plan *p, const struct dist_catalog *c, const struct dist_wish *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->ntables; i++)
		check_name(p, c, &w->tables[i].name);
	if (w->root != NULL)
		check_name(p, c, w->root);
	for (size_t i = 0; i < c->ntables; i++)
		n += p->choice[i].is_in ? 1 : 0;
	if (n == 0)
		dist_find(p, CHECK_ERROR, "nothing_to_distribute", w->column, NULL,
			  "no table has a column %s", w->column);
	else if (p->root < c->ntables && c->tables[p->root].column_type == NULL)
		dist_find(p, CHECK_ERROR, "missing_distribution_column", c->tables[p->root].name,
			  "name another ROOT", "the root has no column %s", w->column);
}

void
dist_checks(struct dist_plan *p, const struct dist_catalog *c, const struct dist_wish *w)
{
	dist_checks_cluster(p, c, w);
	check_names(p, c, w);
	for (size_t n = 0; n < c->ntables; n++) {
		size_t i = p->order[n];
		struct table_case a = { p, c, w, &c->tables[i], &p->choice[i] };

		check_table(&a);
	}
	dist_checks_keys(p, c, w);
}
