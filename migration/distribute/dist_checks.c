/* SPDX-License-Identifier: PostgreSQL
 *
 * What stands against distributing: the cluster, the tables, and their foreign keys.
 */
#include "config.h"

#include "migration/distribute/dist_planner.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* ---- tables ---- */

/* A table of the migration that is looked at. */
struct table_case {
	struct dist_plan *p;
	const struct dist_catalog *c;
	const struct dist_wish *w;
	const struct dist_table *t;
	const struct dist_choice *choice;
};

/* One more finding; fix may be NULL. */
static void __attribute__((format(printf, 6, 7)))
dist_find(struct dist_plan *p, enum check_severity severity, const char *check, const char *object,
	  const char *fix, const char *fmt, ...)
{
	char detail[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	checks_add(&p->findings, severity, check, object, detail, fix);
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
	double s;

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
	if (a->choice->method != METHOD_BLOCKING && a->choice->method != METHOD_CONCURRENT)
		return; /* it is not spread over the workers */
	check_column(a);
	for (size_t i = 0; i < a->t->keys_without.n; i++)
		dist_find(a->p, CHECK_ERROR, "key_without_column", a->t->name,
			  "make the column a part of it",
			  "%s is UNIQUE, PRIMARY KEY or EXCLUDE without column %s",
			  a->t->keys_without.v[i], a->w->column);
	if (a->choice->method == METHOD_CONCURRENT)
		check_concurrent(a);
	else {
		s = dist_seconds(a->c, a->t->bytes);
		if (!a->w->is_atomic && s > (double)a->w->lock_budget_us / 1e6)
			dist_find(a->p, CHECK_WARN, "lock_budget", a->t->name, "METHOD CONCURRENT",
				  "writes to it wait for about %.1f s, lock_budget is %.1f s", s,
				  (double)a->w->lock_budget_us / 1e6);
	}
}

/* ---- the cluster: whether Citus is there and can do what the plan needs ---- */

static bool
uses(const struct dist_plan *p, enum dist_act act)
{
	for (size_t i = 0; i < p->nsteps; i++)
		if (p->steps[i].act == act)
			return true;
	return false;
}

static void
check_citus(struct dist_plan *p, const struct dist_server *s)
{
	if (!s->is_coordinator)
		dist_find(p, CHECK_ERROR, "not_coordinator", "", "name the coordinator's region",
			  "this node is a worker: tables are distributed on the coordinator");
	if (s->workers == 0)
		dist_find(p, CHECK_ERROR, "no_workers", "pg_dist_node",
			  "SELECT citus_add_node('host', port)",
			  "there is no worker that takes shards: Citus would put all of them on "
			  "the coordinator");
	if (!s->is_registered && (uses(p, DIST_CONCURRENT) || uses(p, DIST_REFER)))
		dist_find(p, CHECK_ERROR, "coordinator_not_registered", "pg_dist_node",
			  "SELECT citus_set_coordinator_host('host', port)",
			  "the coordinator is not among the nodes of the cluster");
	for (size_t i = 0; i < s->unreachable.n; i++)
		dist_find(p, CHECK_ERROR, "node_unreachable", s->unreachable.v[i],
			  "SELECT * FROM citus_check_cluster_node_health()",
			  "these nodes do not reach each other");
}

/* What create_distributed_table_concurrently() needs: it copies by logical replication, from the
 * coordinator to itself and to the workers. */
static void
check_replication(struct dist_plan *p, const struct dist_server *s)
{
	if (strcmp(s->wal_level, "logical") != 0)
		dist_find(p, CHECK_ERROR, "wal_level", "wal_level",
			  "ALTER SYSTEM SET wal_level = logical, and a restart",
			  "it is %s on the coordinator, METHOD CONCURRENT needs logical",
			  s->wal_level);
	if (s->plugins != NULL && strstr(s->plugins, "citus") == NULL)
		dist_find(p, CHECK_ERROR, "output_plugin_libraries", "output_plugin_libraries",
			  "ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding, "
			  "citus; SELECT pg_reload_conf()",
			  "citus is not among them: %s", s->plugins);
	if (s->slots_free < s->workers)
		dist_find(p, CHECK_ERROR, "replication_slots", "max_replication_slots",
			  "raise max_replication_slots, or drop slots that nobody uses",
			  "%d are free on the coordinator, one for each of %d workers is needed",
			  s->slots_free, s->workers);
	if (s->senders_free < s->workers)
		dist_find(p, CHECK_ERROR, "wal_senders", "max_wal_senders", "raise max_wal_senders",
			  "%d are free on the coordinator, one for each of %d workers is needed",
			  s->senders_free, s->workers);
	if (s->connects_back != NULL)
		dist_find(p, CHECK_ERROR, "connect_back", "citus.local_hostname",
			  "set citus.local_hostname, and let the coordinator in by its own "
			  "pg_hba.conf",
			  "the coordinator cannot connect to itself: %s", s->connects_back);
	if (s->replication_factor > 1)
		dist_find(p, CHECK_ERROR, "shard_replication_factor",
			  "citus.shard_replication_factor", "set it to 1",
			  "it is %d, METHOD CONCURRENT needs 1", s->replication_factor);
}

static void
check_atomic(struct dist_plan *p, const struct dist_catalog *c, const struct dist_wish *w)
{
	double sum = 0, budget = (double)w->lock_budget_us / 1e6;
	size_t n = 0;

	for (size_t i = 0; i < c->ntables; i++)
		if (p->choice[i].is_in && (p->choice[i].method == METHOD_BLOCKING ||
					   p->choice[i].method == METHOD_REFERENCE)) {
			sum += dist_seconds(c, c->tables[i].bytes);
			n++;
		}
	if (w->is_atomic && sum > budget)
		dist_find(p, CHECK_WARN, "lock_budget", "atomic", "atomic = off",
			  "writes to %zu tables wait for about %.1f s, lock_budget is %.1f s", n,
			  sum, budget);
	if (!w->is_atomic && n > 1 && sum <= budget && !uses(p, DIST_CONCURRENT))
		dist_find(p, CHECK_INFO, "atomic_possible", "atomic", "atomic = on",
			  "all %zu tables could be distributed in one transaction of about "
			  "%.1f s: nothing would ever be half way",
			  n, sum);
}

/* ---- foreign keys: which the cluster cannot have, and which are not enforced for a while ---- */

/* What a table will be. */
enum fate { FATE_LOCAL, FATE_REFERENCE, FATE_HASH };

struct key_case {
	struct dist_plan *p;
	const struct dist_catalog *c;
	const struct dist_wish *w;
	const struct dist_key *k;
	size_t n; /* of the key */
	const struct dist_table *from, *to;
	char *object; /* "orders_store_id_fkey on public.orders" */
};

static enum fate
fate_of(const struct key_case *a, size_t table)
{
	const struct dist_table *t = &a->c->tables[table];

	switch (a->p->choice[table].method) {
	case METHOD_BLOCKING:
	case METHOD_CONCURRENT:
		return FATE_HASH;
	case METHOD_REFERENCE:
		return FATE_REFERENCE;
	case METHOD_CHOOSE:
	case METHOD_LOCAL:
		break;
	}
	return t->state == DIST_HASH        ? FATE_HASH
	       : t->state == DIST_REFERENCE ? FATE_REFERENCE
					    : FATE_LOCAL;
}

static bool
is_concerned(const struct key_case *a, size_t table)
{
	enum spec_method m = a->p->choice[table].method;

	return a->p->choice[table].is_in && m != METHOD_CHOOSE && m != METHOD_LOCAL;
}

static bool
sets_column(const struct key_case *a)
{
	bool on_delete = a->k->on_delete == 'n' || a->k->on_delete == 'd';
	bool on_update = a->k->on_update == 'n' || a->k->on_update == 'd';

	if (!strlist_has(&a->k->columns, a->w->column))
		return false;
	if (on_delete && a->k->sets.n > 0 && !strlist_has(&a->k->sets, a->w->column))
		on_delete = false;
	return on_delete || on_update;
}

static void
check_hash_to_hash(const struct key_case *a)
{
	for (size_t i = 0; i < a->k->columns.n && i < a->k->refers.n; i++)
		if (strcmp(a->k->columns.v[i], a->w->column) == 0 &&
		    strcmp(a->k->refers.v[i], a->w->column) == 0)
			return;
	dist_find(a->p, CHECK_ERROR, "key_without_column", a->object,
		  "put the column into both sides of it, at the same place, or drop it",
		  "it refers to %s without column %s at the same place on both sides: %s",
		  a->to->name, a->w->column, a->k->definition);
}

static void
check_hash_to_local(const struct key_case *a)
{
	dist_find(a->p, CHECK_ERROR, "parent_stays_local", a->object,
		  "distribute it too, or say METHOD REFERENCE for it, or drop the key",
		  "%s would be distributed, and %s, to which it refers, not", a->from->name,
		  a->to->name);
}

static void
check_local_to_hash(const struct key_case *a)
{
	bool is_lost = a->p->choice[a->k->to].method == METHOD_CONCURRENT;
	bool was_said = a->p->choice[a->k->from].method == METHOD_LOCAL;

	dist_find(a->p, was_said && !is_lost ? CHECK_WARN : CHECK_ERROR, "child_stays_local",
		  a->object, "distribute it too, or drop the key",
		  is_lost ? "%s stays local: the key cannot come back when %s is distributed"
			  : "%s stays local: a DELETE from %s will not look at its rows",
		  a->from->name, a->to->name);
}

static void
check_reference_to_hash(const struct key_case *a)
{
	dist_find(a->p, CHECK_ERROR, "reference_to_distributed", a->object, "drop the key",
		  "%s would be a reference table: it cannot refer to %s, which is distributed",
		  a->from->name, a->to->name);
}

static void
check_reference_to_local(const struct key_case *a)
{
	dist_find(a->p, CHECK_WARN, "reference_to_local", a->object,
		  "say METHOD REFERENCE for it too",
		  "%s is a reference table: Citus takes %s, which stays local, into its metadata",
		  a->from->name, a->to->name);
}

static void
check_gap(const struct key_case *a)
{
	size_t from = 0, to = 0; /* the steps that drop it and bring it back; 0: none */

	for (size_t i = 0; i < a->p->nsteps; i++) {
		const struct dist_step *s = &a->p->steps[i];

		for (size_t j = 0; j < s->nkeys; j++) {
			if (s->keys[j] != a->n)
				continue;
			if (s->act == DIST_DROP_KEYS)
				from = i + 1;
			else if (s->act == DIST_ADD_KEYS || s->act == DIST_VALIDATE)
				to = i + 1;
		}
	}
	if (a->p->is_cut[a->n])
		dist_find(a->p, CHECK_WARN, "circle_of_keys", a->object, NULL,
			  "the keys run in a circle; this one is dropped and comes back when "
			  "%s and %s are distributed",
			  a->from->name, a->to->name);
	if (from == 0)
		return;
	if (to == 0)
		dist_find(a->p, CHECK_ERROR, "key_lost", a->object, NULL,
			  "it is dropped in step %zu and cannot come back", from);
	else
		dist_find(a->p, CHECK_WARN, "key_not_enforced", a->object,
			  "METHOD BLOCKING keeps keys",
			  "%s -> %s: dropped in step %zu, back and checked after step %zu",
			  a->from->name, a->to->name, from, to);
}

static void
check_keys(struct dist_plan *p, const struct dist_catalog *c, const struct dist_wish *w)
{
	for (size_t i = 0; i < c->nkeys; i++) {
		struct key_case a = { .p = p, .c = c, .w = w, .k = &c->keys[i], .n = i };

		a.from = &c->tables[a.k->from];
		a.to = &c->tables[a.k->to];
		if (!is_concerned(&a, a.k->from) && !is_concerned(&a, a.k->to))
			continue;
		a.object = xasprintf("%s on %s", a.k->name, a.from->name);
		static void (*const table[3][3])(const struct key_case *) = {
			[FATE_HASH][FATE_HASH] = check_hash_to_hash,
			[FATE_HASH][FATE_LOCAL] = check_hash_to_local,
			[FATE_LOCAL][FATE_HASH] = check_local_to_hash,
			[FATE_REFERENCE][FATE_HASH] = check_reference_to_hash,
			[FATE_REFERENCE][FATE_LOCAL] = check_reference_to_local,
		};
		enum fate from = fate_of(&a, a.k->from), to = fate_of(&a, a.k->to);

		if (table[from][to] != NULL)
			table[from][to](&a);
		if (from == FATE_HASH && sets_column(&a))
			dist_find(a.p, CHECK_ERROR, "key_sets_column", a.object,
				  "ON DELETE CASCADE or NO ACTION, or SET NULL (other columns)",
				  "SET NULL or SET DEFAULT would change column %s: %s", a.w->column,
				  a.k->definition);
		if (a.k->from == a.k->to)
			dist_find(p, CHECK_INFO, "self_reference", a.object, NULL,
				  "the table refers to itself: nothing to be done for it");
		else
			check_gap(&a);
		free(a.object);
	}
}

/* ---- all ---- */

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

void
dist_checks(struct dist_plan *p, const struct dist_catalog *c, const struct dist_wish *w)
{
	size_t concerned = 0;

	if (!c->server.has_citus)
		dist_find(p, CHECK_ERROR, "citus_extension", "citus",
			  "shared_preload_libraries = 'citus', a restart, CREATE EXTENSION citus",
			  "the extension is not installed in this database");
	else
		check_citus(p, &c->server);
	if (uses(p, DIST_CONCURRENT))
		check_replication(p, &c->server);
	check_atomic(p, c, w);
	for (size_t i = 0; i < w->ntables; i++)
		check_name(p, c, &w->tables[i].name);
	if (w->root != NULL)
		check_name(p, c, w->root);
	for (size_t i = 0; i < c->ntables; i++)
		concerned += p->choice[i].is_in ? 1 : 0;
	if (concerned == 0)
		dist_find(p, CHECK_ERROR, "nothing_to_distribute", w->column, NULL,
			  "no table has a column %s", w->column);
	else if (p->root < c->ntables && c->tables[p->root].column_type == NULL)
		dist_find(p, CHECK_ERROR, "missing_distribution_column", c->tables[p->root].name,
			  "name another ROOT", "the root has no column %s", w->column);
	for (size_t n = 0; n < c->ntables; n++) {
		size_t i = p->order[n];
		struct table_case a = { p, c, w, &c->tables[i], &p->choice[i] };

		check_table(&a);
	}
	check_keys(p, c, w);
}
