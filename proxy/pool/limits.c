/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/pool/limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool_count *all; /* under the lock */

struct pool_count *
pool_count_get(char kind, uint32_t node, const char *name)
{
	size_t size = strlen(name) + 1;
	struct pool_count *c;

	pthread_mutex_lock(&lock);
	for (c = all; c != NULL; c = c->next) {
		if (c->kind == kind && c->node == node && strcmp(c->name, name) == 0)
			break;
	}
	if (c == NULL) {
		c = xcalloc(1, sizeof(*c) + size);
		c->kind = kind;
		c->node = node;
		memcpy(c->name, name, size);
		c->next = all;
		all = c;
	}
	c->refs++;
	pthread_mutex_unlock(&lock);
	return c;
}

void
pool_count_put(struct pool_count *c)
{
	struct pool_count **at;

	if (c == NULL)
		return;
	pthread_mutex_lock(&lock);
	if (--c->refs == 0) {
		for (at = &all; *at != c; at = &(*at)->next)
			;
		*at = c->next;
		free(c);
	}
	pthread_mutex_unlock(&lock);
}

bool
pool_count_enter(struct pool_count *c, unsigned limit)
{
	unsigned n = atomic_fetch_add(&c->n, 1);

	if (limit == 0 || n < limit)
		return true;
	atomic_fetch_sub(&c->n, 1);
	return false;
}

void
pool_count_leave(struct pool_count *c)
{
	atomic_fetch_sub(&c->n, 1);
}
