/* SPDX-License-Identifier: PostgreSQL
 *
 * What is prepared on one server connection: up to max_prepared_statements, and where one more is
 * wanted, the one goes that was not used for longest.
 */
#include "config.h"

#include "proxy/sqlstate/statements_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hot.h"
#include "base/mem.h"

struct server_statements *
server_statements_new(struct statement_table *t)
{
	struct server_statements *ss = xcalloc(1, sizeof(*ss));

	ss->table = t;
	TAILQ_INIT(&ss->used);
	TAILQ_INIT(&ss->staying);
	TAILQ_INIT(&ss->surplus);
	return ss;
}

HOT void
server_statements_free(struct server_statements *ss)
{
	if (ss == NULL)
		return;
	server_statements_clear(ss);
	free(ss);
}

HOT void
server_statements_clear(struct server_statements *ss)
{
	struct slot *slot;

	while ((slot = TAILQ_FIRST(&ss->used)) != NULL ||
	       (slot = TAILQ_FIRST(&ss->staying)) != NULL) {
		slot_unlink(ss, slot);
		slot_free(slot);
	}
	while ((slot = TAILQ_FIRST(&ss->surplus)) != NULL) {
		TAILQ_REMOVE(&ss->surplus, slot, all);
		slot_free(slot);
	}
}

size_t
server_statements_count(const struct server_statements *ss)
{
	return HASH_COUNT(ss->by_statement);
}

/* A fresh name, so that "already exists" cannot happen, whatever became of those before. */
struct slot *
slot_new(struct server_statements *ss, struct statement *st)
{
	struct slot *slot = xcalloc(1, sizeof(*slot));

	slot->st = st != NULL ? statement_ref(st) : NULL;
	slot->n = (uint8_t)snprintf(slot->name, sizeof(slot->name), STATEMENTS_PREFIX "%" PRIu64,
				    ++ss->serial);
	return slot;
}

struct slot *
slot_like(const struct slot *other)
{
	struct slot *slot = xcalloc(1, sizeof(*slot));

	memcpy(slot->name, other->name, sizeof(slot->name));
	slot->n = other->n;
	return slot;
}

void
slot_stands_for(struct slot *slot, struct statement *st)
{
	statement_unref(slot->st);
	slot->st = st != NULL ? statement_ref(st) : NULL;
}

void
slot_free(struct slot *slot)
{
	if (slot == NULL)
		return;
	statement_unref(slot->st);
	free(slot);
}

/* Where memory lies no client chooses: one multiplication is enough (Fibonacci hashing). */
static uint32_t
place_hash(const struct statement *st)
{
	return (uint32_t)((uint64_t)(uintptr_t)st * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

struct slot *
slot_find(struct server_statements *ss, const struct statement *st)
{
	struct slot *slot;

	HASH_FIND_BYHASHVALUE(hh, ss->by_statement, &st, sizeof(st), place_hash(st), slot);
	return slot;
}

static void
add(struct server_statements *ss, struct slot *slot)
{
	HASH_ADD_BYHASHVALUE(hh, ss->by_statement, st, sizeof(slot->st), place_hash(slot->st),
			     slot);
}

/* Where one is that is found by its statement. */
static struct slots *
list_of(struct server_statements *ss, const struct slot *slot)
{
	return slot->confirmed && slot->st->repeatable ? &ss->used : &ss->staying;
}

void
slot_touch(struct server_statements *ss, struct slot *slot)
{
	struct slots *list = list_of(ss, slot);

	if (TAILQ_NEXT(slot, all) == NULL)
		return;
	TAILQ_REMOVE(list, slot, all);
	TAILQ_INSERT_TAIL(list, slot, all);
}

struct slot *
slot_link(struct server_statements *ss, struct slot *slot)
{
	struct slot *old = slot_find(ss, slot->st);

	if (old != NULL)
		slot_unlink(ss, old);
	add(ss, slot);
	TAILQ_INSERT_TAIL(list_of(ss, slot), slot, all);
	if (old == NULL || old->confirmed)
		return old;
	old->displaced = true;
	return NULL;
}

void
slot_unlink(struct server_statements *ss, struct slot *slot)
{
	HASH_DEL(ss->by_statement, slot);
	TAILQ_REMOVE(list_of(ss, slot), slot, all);
}

void
slot_confirm(struct server_statements *ss, struct slot *slot)
{
	if (!slot->displaced)
		TAILQ_REMOVE(list_of(ss, slot), slot, all);
	slot->confirmed = true;
	if (!slot->displaced)
		TAILQ_INSERT_TAIL(list_of(ss, slot), slot, all);
}

void
slot_discard(struct server_statements *ss, struct slot *slot)
{
	if (slot != NULL)
		TAILQ_INSERT_TAIL(&ss->surplus, slot, all);
}

void
slot_restore(struct server_statements *ss, struct slot *slot)
{
	if (slot == NULL)
		return;
	if (slot->st == NULL || slot_find(ss, slot->st) != NULL) {
		slot_discard(ss, slot);
		return;
	}
	/* what was asked of it has been answered, or skipped, while another stood in its place */
	slot->asked = false;
	add(ss, slot);
	TAILQ_INSERT_HEAD(list_of(ss, slot), slot, all);
}

/* A statement that cannot be repeated stays, and so does one whose Parse is under way. */
struct slot *
slot_take_victim(struct server_statements *ss)
{
	unsigned max = ss->table->max > 0 ? ss->table->max : 1;
	struct slot *slot = TAILQ_FIRST(&ss->surplus);

	if (slot != NULL) {
		TAILQ_REMOVE(&ss->surplus, slot, all);
		return slot;
	}
	if (HASH_COUNT(ss->by_statement) < max)
		return NULL;
	slot = TAILQ_FIRST(&ss->used);
	if (slot != NULL)
		slot_unlink(ss, slot);
	return slot;
}
