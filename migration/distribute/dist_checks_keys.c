/* SPDX-License-Identifier: PostgreSQL
 *
 * Foreign keys: which of them the cluster cannot have, and which are not enforced for a while.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/distribute/dist_checks.h"

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
has_column_at_same_place(const struct key_case *a)
{
	for (size_t i = 0; i < a->k->columns.n && i < a->k->refers.n; i++)
		if (strcmp(a->k->columns.v[i], a->w->column) == 0 &&
		    strcmp(a->k->refers.v[i], a->w->column) == 0)
			return true;
	return false;
}

static bool
sets_column(const struct key_case *a)
{
	bool on_delete = a->k->on_delete == 'n' || a->k->on_delete == 'd';
	bool on_update = a->k->on_update == 'n' || a->k->on_update == 'd';

	if (!dist_list_has(&a->k->columns, a->w->column))
		return false;
	if (on_delete && a->k->sets.n > 0 && !dist_list_has(&a->k->sets, a->w->column))
		on_delete = false;
	return on_delete || on_update;
}

static void
check_hash_to_hash(const struct key_case *a)
{
	if (!has_column_at_same_place(a))
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
check_ends(const struct key_case *a)
{
	static void (*const table[3][3])(const struct key_case *) = {
		[FATE_HASH][FATE_HASH] = check_hash_to_hash,
		[FATE_HASH][FATE_LOCAL] = check_hash_to_local,
		[FATE_LOCAL][FATE_HASH] = check_local_to_hash,
		[FATE_REFERENCE][FATE_HASH] = check_reference_to_hash,
		[FATE_REFERENCE][FATE_LOCAL] = check_reference_to_local,
	};
	enum fate from = fate_of(a, a->k->from), to = fate_of(a, a->k->to);

	if (table[from][to] != NULL)
		table[from][to](a);
	if (from == FATE_HASH && sets_column(a))
		dist_find(a->p, CHECK_ERROR, "key_sets_column", a->object,
			  "ON DELETE CASCADE or NO ACTION, or SET NULL (other columns)",
			  "SET NULL or SET DEFAULT would change column %s: %s", a->w->column,
			  a->k->definition);
}

/* Steps that drop it and bring it back; 0: none. */
static void
gap_of(const struct key_case *a, size_t *from, size_t *to)
{
	*from = *to = 0;
	for (size_t i = 0; i < a->p->nsteps; i++) {
		const struct dist_step *s = &a->p->steps[i];

		for (size_t j = 0; j < s->nkeys; j++) {
			if (s->keys[j] != a->n)
				continue;
			if (s->act == DIST_DROP_KEYS)
				*from = i + 1;
			else if (s->act == DIST_ADD_KEYS || s->act == DIST_VALIDATE)
				*to = i + 1;
		}
	}
}

static void
check_gap(const struct key_case *a)
{
	size_t from, to;

	gap_of(a, &from, &to);
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
check_self(const struct key_case *a)
{
	dist_find(a->p, CHECK_INFO, "self_reference", a->object, NULL,
		  "the table refers to itself: nothing to be done for it");
}

void
dist_checks_keys(struct dist_plan *p, const struct dist_catalog *c, const struct dist_wish *w)
{
	for (size_t i = 0; i < c->nkeys; i++) {
		struct key_case a = { .p = p, .c = c, .w = w, .k = &c->keys[i], .n = i };

		a.from = &c->tables[a.k->from];
		a.to = &c->tables[a.k->to];
		if (!is_concerned(&a, a.k->from) && !is_concerned(&a, a.k->to))
			continue;
		a.object = xasprintf("%s on %s", a.k->name, a.from->name);
		check_ends(&a);
		if (a.k->from == a.k->to)
			check_self(&a);
		else
			check_gap(&a);
		free(a.object);
	}
}
