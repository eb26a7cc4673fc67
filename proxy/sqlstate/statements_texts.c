/* SPDX-License-Identifier: PostgreSQL
 *
 * The texts that a worker's sessions have prepared. Two sessions that prepare the same text, with
 * the same types and under settings of equal meaning, share one; it goes with the last that refers
 * to it.
 */
#include "config.h"

#include "proxy/sqlstate/statements_int.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/hash.h"
#include "base/hot.h"
#include "base/mem.h"
#include "protocol/deallocate.h"
#include "protocol/sqleffects.h"

struct statement_table *
statement_table_new(unsigned max)
{
	struct statement_table *t = xcalloc(1, sizeof(*t));

	t->seed = hash_new_seed();
	t->max = max;
	return t;
}

void
statement_table_free(struct statement_table *t)
{
	if (t == NULL)
		return;
	BUG_ON(t->texts != NULL);
	free(t);
}

void
statement_table_limit(struct statement_table *t, unsigned max)
{
	t->max = max;
}

HOT uint64_t
statement_table_seed(const struct statement_table *t)
{
	return t->seed;
}

size_t
statement_table_count(const struct statement_table *t)
{
	return HASH_COUNT(t->texts);
}

uint32_t
statement_hash(const struct statement_table *t, struct slice s)
{
	return hash_slice(t->seed, s);
}

static struct statement *
new_statement(struct statement_table *t, size_t n)
{
	struct statement *st = xcalloc(1, sizeof(*st) + n);

	st->table = t;
	st->refs = 1;
	st->n = (uint32_t)n;
	return st;
}

/* It will run often, and then its text is not read again. */
static void
note_effects(struct statement *st)
{
	struct buf names = { .cap = SQLEFFECTS_NAMES_MAX };
	struct deallocate name;

	st->effects = sqleffects(st->sql);
	if (st->effects & EFFECT_SETTINGS)
		sqleffects_names(st->sql, &names);
	if (names.failed)
		st->effects |= EFFECT_UNNAMED;
	st->names = names.p;
	st->names_n = (uint16_t)names.n;
	st->drops_all = deallocate_read(st->sql, &name) == DEALLOCATE_ALL;
}

static struct statement *
keep(struct statement_table *t, uint64_t meaning, struct slice tail, struct slice sql)
{
	struct statement *st = new_statement(t, tail.n);

	memcpy(st->tail, tail.p, tail.n);
	st->sql = slice_of(st->tail + (sql.p - tail.p), sql.n);
	st->meaning = meaning;
	st->repeatable = true;
	note_effects(st);
	return st;
}

/* The meaning is in the hash; where that does not tell two apart (one in 2^32), the later is not
 * shared. */
struct statement *
statement_get(struct statement_table *t, uint64_t meaning, struct slice tail, struct slice sql)
{
	uint32_t hash = statement_hash(t, tail) ^ (uint32_t)(meaning ^ meaning >> 32);
	struct statement *st = NULL;
	bool taken;

	if (meaning == 0)
		return keep(t, meaning, tail, sql);
	HASH_FIND_BYHASHVALUE(hh, t->texts, tail.p, tail.n, hash, st);
	if (st != NULL && st->meaning == meaning)
		return statement_ref(st);
	taken = st != NULL;
	st = keep(t, meaning, tail, sql);
	if (taken)
		return st;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->texts, st->tail, st->n, hash, st);
	st->shared = true;
	return st;
}

struct statement *
statement_of_length(struct statement_table *t)
{
	struct statement *st = new_statement(t, 0);

	st->effects = EFFECT_UNKNOWN;
	return st;
}

struct statement *
statement_ref(struct statement *st)
{
	st->refs++;
	return st;
}

void
statement_withdraw(struct statement *st)
{
	if (!st->shared)
		return;
	HASH_DELETE(hh, st->table->texts, st);
	st->shared = false;
}

HOT void
statement_unref(struct statement *st)
{
	if (st == NULL || --st->refs > 0)
		return;
	statement_withdraw(st);
	free(st->names);
	free(st);
}
