/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/process/readtally.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/process/stats.h"

const struct readtally *
readtally_first(const readtally_list *list)
{
	return atomic_load_explicit(list, memory_order_acquire);
}

struct readtally *
readtally_get(readtally_list *list, const char *database, const char *region)
{
	struct readtally *first = atomic_load_explicit(list, memory_order_relaxed), *t;

	for (t = first; t != NULL; t = t->next) {
		if (strcmp(t->database, database) == 0 && strcmp(t->region, region) == 0)
			return t;
	}
	t = xcalloc(1, sizeof(*t));
	t->database = xstrdup(database);
	t->region = xstrdup(region);
	t->next = first;
	atomic_store_explicit(list, t, memory_order_release);
	return t;
}

void
readtally_sum(readtally_list *sum, const readtally_list *other)
{
	for (const struct readtally *t = readtally_first(other); t != NULL; t = t->next) {
		struct readtally *to = readtally_get(sum, t->database, t->region);

		for (unsigned i = 0; i < READTALLY_REASONS; i++) {
			stat_add(&to->n[i], stat_get(&t->n[i]));
			stat_add(&to->waited[i], stat_get(&t->waited[i]));
		}
	}
}

void
readtally_fini(readtally_list *list)
{
	struct readtally *t = atomic_load_explicit(list, memory_order_relaxed), *next;

	for (; t != NULL; t = next) {
		next = t->next;
		free(t->database);
		free(t->region);
		free(t);
	}
	atomic_store_explicit(list, NULL, memory_order_relaxed);
}
