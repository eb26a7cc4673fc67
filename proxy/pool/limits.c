/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/pool/limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool_count *all; /* under the lock */
static uint64_t seed;          /* of its hashes; 0: there has been none yet */

static struct pool_count *
count_new(struct slice key, uint32_t hash)
{
	struct pool_count *c = xcalloc(1, sizeof(*c) + key.n);

	memcpy(c->key, key.p, key.n);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, all, c->key, key.n, hash, c);
	return c;
}

struct pool_count *
pool_count_get(char kind, uint32_t node, const char *name)
{
	struct buf key = { 0 };
	struct pool_count *c;
	uint32_t hash;

	buf_u8(&key, (uint8_t)kind);
	buf_u32(&key, node);
	buf_slice(&key, slice_str(name));
	pthread_mutex_lock(&lock);
	if (seed == 0)
		seed = hash_new_seed();
	hash = hash_slice(seed, buf_view(&key));
	HASH_FIND_BYHASHVALUE(hh, all, key.p, key.n, hash, c);
	if (c == NULL)
		c = count_new(buf_view(&key), hash);
	c->refs++;
	pthread_mutex_unlock(&lock);
	buf_fini(&key);
	return c;
}

void
pool_count_put(struct pool_count *c)
{
	if (c == NULL)
		return;
	pthread_mutex_lock(&lock);
	if (--c->refs == 0) {
		HASH_DELETE(hh, all, c);
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
