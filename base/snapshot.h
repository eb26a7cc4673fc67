/* SPDX-License-Identifier: PostgreSQL
 *
 * Immutable objects shared by threads. A snapshot is built by one thread, published whole, and read
 * by many without a lock; it is freed when its last reference goes.
 *
 * A slot is where the publisher leaves the newest snapshot for one reader. The reader takes it when
 * it next needs one: no reader is woken, and nothing piles up. Both sides are one atomic exchange.
 */
#ifndef BASE_SNAPSHOT_H
#define BASE_SNAPSHOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct refcount {
	atomic_int n;
};

static inline void
refcount_init(struct refcount *r)
{
	atomic_init(&r->n, 1);
}

static inline void
refcount_get(struct refcount *r)
{
	atomic_fetch_add_explicit(&r->n, 1, memory_order_relaxed);
}

/* True when that was the last reference: the caller frees the object. */
static inline bool
refcount_put(struct refcount *r)
{
	return atomic_fetch_sub_explicit(&r->n, 1, memory_order_acq_rel) == 1;
}

/* Defines the function that takes a reference and returns the object, whose field `refs` counts. */
#define REFCOUNT_REF(name, type)        \
	type *name(type *o)             \
	{                               \
		refcount_get(&o->refs); \
		return o;               \
	}

struct snapshot_slot {
	_Atomic(void *) fresh; /* owns one reference, or NULL */
};

/* Leave `take_new` (its reference goes into the slot); returns an older one that was never taken,
 * whose reference the caller now has, or NULL. */
static inline void *
snapshot_slot_put(struct snapshot_slot *slot, void *take_new)
{
	return atomic_exchange_explicit(&slot->fresh, take_new, memory_order_acq_rel);
}

/* The newest snapshot with its reference, or NULL where there is nothing new. */
static inline void *
snapshot_slot_take(struct snapshot_slot *slot)
{
	if (atomic_load_explicit(&slot->fresh, memory_order_relaxed) == NULL)
		return NULL;
	return atomic_exchange_explicit(&slot->fresh, NULL, memory_order_acq_rel);
}

#endif
