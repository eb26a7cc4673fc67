/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/authcache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* uthash's default hash falls through its switch, which clang warns of */
#define HASH_FUNCTION(key, n, hash) HASH_FNV(key, n, hash)
#include <uthash.h>

#include "base/bug.h"
#include "base/hash.h"
#include "base/mem.h"

struct answer {
	UT_hash_handle hh;
	struct authrecord *record; /* one reference; NULL: no such user */
	int64_t fetched_at_us;
	char key[];
};

struct table {
	struct answer *answers; /* ordered by last use, the oldest first */
	uint64_t seed;
	size_t max;
	int64_t ttl_max_us;
};

struct authcache {
	pthread_mutex_t lock;
	struct table found, missing;
};

/* ---- records ---- */

struct authrecord *
authrecord_new(struct slice name, struct slice text, const uint8_t secret[SCRAM_KEY_BYTES],
	       int64_t now_us, struct err *e)
{
	struct authrecord *r;

	if (name.n == 0 || name.n > AUTHFILE_NAME_MAX || text.n > AUTHFILE_SECRET_MAX) {
		err_set(e, "54000", "the name or the secret is too long");
		return NULL;
	}
	r = xcalloc(1, sizeof(*r));
	refcount_init(&r->refs);
	r->fetched_at_us = now_us;
	memcpy(r->name, name.p, name.n);
	r->user.name = r->name;
	r->user.name_len = name.n;
	if (authfile_user_init(&r->user, text, secret, e) == 0)
		return r;
	authrecord_unref(r);
	return NULL;
}

REFCOUNT_REF(authrecord_ref, struct authrecord)

void
authrecord_unref(struct authrecord *r)
{
	if (r == NULL || !refcount_put(&r->refs))
		return;
	authfile_user_fini(&r->user);
	free(r);
}

/* ---- tables ---- */

static struct answer *
find(const struct table *t, struct slice key)
{
	struct answer *a;

	HASH_FIND_BYHASHVALUE(hh, t->answers, key.p, key.n, hash_slice(t->seed, key), a);
	return a;
}

static void
drop(struct table *t, struct answer *a)
{
	if (a == NULL)
		return;
	HASH_DEL(t->answers, a);
	authrecord_unref(a->record);
	free(a);
}

static bool
is_fresh(const struct table *t, const struct answer *a, int64_t ttl_us, int64_t now_us)
{
	if (ttl_us > t->ttl_max_us)
		ttl_us = t->ttl_max_us;
	return now_us - a->fetched_at_us < ttl_us;
}

static struct answer *
take_fresh(struct table *t, struct slice key, int64_t ttl_us, int64_t now_us)
{
	struct answer *a = find(t, key);

	if (a == NULL)
		return NULL;
	if (!is_fresh(t, a, ttl_us, now_us)) {
		drop(t, a);
		return NULL;
	}
	/* to the end of the order */
	HASH_DEL(t->answers, a);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->answers, a->key, a->hh.keylen, a->hh.hashv, a);
	return a;
}

enum authcached
authcache_get(struct authcache *c, struct slice key, int64_t ttl_us, int64_t now_us,
	      struct authrecord **out)
{
	enum authcached known = AUTHCACHED_NOT;
	struct answer *a;

	pthread_mutex_lock(&c->lock);
	a = take_fresh(&c->found, key, ttl_us, now_us);
	if (a != NULL) {
		known = AUTHCACHED_FOUND;
		*out = authrecord_ref(a->record);
	} else if (take_fresh(&c->missing, key, ttl_us, now_us) != NULL) {
		known = AUTHCACHED_MISSING;
	}
	pthread_mutex_unlock(&c->lock);
	return known;
}

void
authcache_put(struct authcache *c, struct slice key, struct authrecord *take_record, int64_t now_us)
{
	struct table *t = take_record != NULL ? &c->found : &c->missing;
	struct answer *a = xcalloc(1, sizeof(*a) + key.n);
	uint32_t hash = hash_slice(t->seed, key);

	BUG_ON(key.n > AUTHCACHE_KEY_MAX);
	a->record = take_record;
	a->fetched_at_us = now_us;
	memcpy(a->key, key.p, key.n);
	pthread_mutex_lock(&c->lock);
	drop(&c->found, find(&c->found, key));
	drop(&c->missing, find(&c->missing, key));
	while (HASH_COUNT(t->answers) >= t->max)
		drop(t, t->answers);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->answers, a->key, key.n, hash, a);
	pthread_mutex_unlock(&c->lock);
}

static void
sweep(struct table *t, int64_t ttl_us, int64_t now_us)
{
	struct answer *a, *next;

	HASH_ITER(hh, t->answers, a, next)
	{
		if (!is_fresh(t, a, ttl_us, now_us))
			drop(t, a);
	}
}

void
authcache_sweep(struct authcache *c, int64_t ttl_us, int64_t now_us)
{
	pthread_mutex_lock(&c->lock);
	sweep(&c->found, ttl_us, now_us);
	sweep(&c->missing, ttl_us, now_us);
	pthread_mutex_unlock(&c->lock);
}

void
authcache_walk(struct authcache *c, void (*visit)(const struct authrecord *r, void *arg), void *arg)
{
	struct answer *a, *next;

	pthread_mutex_lock(&c->lock);
	HASH_ITER(hh, c->found.answers, a, next)
	{
		visit(a->record, arg);
	}
	pthread_mutex_unlock(&c->lock);
}

size_t
authcache_count(struct authcache *c, bool missing)
{
	const struct table *t = missing ? &c->missing : &c->found;
	size_t n;

	pthread_mutex_lock(&c->lock);
	n = HASH_COUNT(t->answers);
	pthread_mutex_unlock(&c->lock);
	return n;
}

/* ---- life ---- */

struct authcache *
authcache_new(size_t found_max, size_t missing_max)
{
	struct authcache *c = xcalloc(1, sizeof(*c));

	(void)pthread_mutex_init(&c->lock, NULL);
	c->found =
	    (struct table){ .seed = hash_new_seed(), .max = found_max, .ttl_max_us = INT64_MAX };
	c->missing = (struct table){ .seed = hash_new_seed(),
				     .max = missing_max,
				     .ttl_max_us = AUTHCACHE_MISSING_MAX_US };
	return c;
}

void
authcache_free(struct authcache *c)
{
	if (c == NULL)
		return;
	while (c->found.answers != NULL)
		drop(&c->found, c->found.answers);
	while (c->missing.answers != NULL)
		drop(&c->missing, c->missing.answers);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}
