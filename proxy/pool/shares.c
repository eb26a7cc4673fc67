/* SPDX-License-Identifier: PostgreSQL
 *
 * What the pools of different workers have to do with one another: not connections, but the room
 * that max_db_connections and max_user_connections leave to all of them, and the wish to be warm. A
 * pool that has sessions waiting, no connection, and no room starves; the others see that in a
 * counter they share, and give up a connection that is idle or has had its time. Those of one
 * worker that starve stand in a queue: the one that has starved longest takes the room that is
 * left.
 */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/hot.h"
#include "base/mem.h"
#include "proxy/auth/credential.h"
#include "proxy/pool/pool_int.h"
#include "proxy/process/worker_int.h"

/* Other workers are told again so often that a user is here. */
#define TELL_US (30 * USEC_PER_SEC)

/* ---- what all workers count ---- */

static pthread_mutex_t counts_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool_count *counts; /* under the lock */
static uint64_t counts_seed;      /* of its hashes; 0: there has been none yet */

struct pool_count *
pool_count_get(char kind, uint32_t node, const char *name)
{
	struct buf key = { 0 };
	struct pool_count *c;
	uint32_t hash;

	buf_u8(&key, (uint8_t)kind);
	buf_u32(&key, node);
	buf_slice(&key, slice_str(name));
	pthread_mutex_lock(&counts_lock);
	if (counts_seed == 0)
		counts_seed = hash_new_seed();
	hash = hash_slice(counts_seed, buf_view(&key));
	HASH_FIND_BYHASHVALUE(hh, counts, key.p, key.n, hash, c);
	if (c == NULL) {
		c = xcalloc(1, sizeof(*c) + key.n);
		memcpy(c->key, key.p, key.n);
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, counts, c->key, key.n, hash, c);
	}
	c->refs++;
	pthread_mutex_unlock(&counts_lock);
	buf_fini(&key);
	return c;
}

void
pool_count_put(struct pool_count *c)
{
	if (c == NULL)
		return;
	pthread_mutex_lock(&counts_lock);
	if (--c->refs == 0) {
		HASH_DELETE(hh, counts, c);
		free(c);
	}
	pthread_mutex_unlock(&counts_lock);
}

struct pool_count *
pool_database_get(uint32_t node, const char *dbname)
{
	return pool_count_get('d', node, dbname);
}

void
pool_database_put(struct pool_count *c)
{
	pool_count_put(c);
}

unsigned
pool_database_changes(const struct pool_count *c)
{
	return atomic_load_explicit(&c->changes, memory_order_acquire);
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

/* ---- room ---- */

/* What has happened to a pool of another worker. */
struct room_letter {
	struct letter letter;
	struct pool_place of;
};

static void
tell_others(const struct pool *p, void (*fn)(struct letter *letter, void *owner))
{
	struct worker *w = p->worker;

	for (int i = 0; i < w->process->nworkers; i++) {
		struct room_letter *l;

		if (w->process->workers[i] == w)
			continue;
		l = xcalloc(1, sizeof(*l));
		l->of = (struct pool_place){ NULL, p->of_database, p->of_user };
		worker_post(w->process->workers[i], &l->letter, fn);
	}
}

static void
on_starving(struct letter *letter, void *owner)
{
	struct room_letter *l = (struct room_letter *)letter;

	(void)pool_make_room(owner, &l->of);
	free(l);
}

void
shares_starve(struct pool *p, bool starving)
{
	struct pools *ps = p->worker->pools;
	unsigned by = starving ? 1 : UINT32_MAX;

	if (p->starving == starving)
		return;
	p->starving = starving;
	atomic_fetch_add(&p->of_database->starving, by);
	atomic_fetch_add(&p->of_user->starving, by);
	if (!starving) {
		TAILQ_REMOVE(&ps->starving, p, in_starving);
		return;
	}
	TAILQ_INSERT_TAIL(&ps->starving, p, in_starving);
	if (TAILQ_FIRST(&ps->starving) == p)
		pools_look_soon(ps);
	tell_others(p, on_starving);
}

bool
shares_others_starve(const struct pool *p)
{
	unsigned own = p->starving;

	return atomic_load_explicit(&p->of_database->starving, memory_order_relaxed) > own ||
	       atomic_load_explicit(&p->of_user->starving, memory_order_relaxed) > own;
}

HOT bool
shares_must_go(const struct server *sv)
{
	const struct pool *p = sv->pool;

	return shares_others_starve(p) &&
	       (p->nwaiting == 0 || clock_us() - sv->launched_us > SHARES_STAY_US);
}

/* The first of this worker's that can use it. False: there is none. */
static bool
feed_first(struct pools *ps, const struct pool_place *of)
{
	struct pool *p;

	TAILQ_FOREACH (p, &ps->starving, in_starving) {
		if ((p->of_database == of->of_database || p->of_user == of->of_user) &&
		    pool_has_room(p)) {
			pool_grow(p);
			return pool_size(p) > 0;
		}
	}
	return false;
}

static void
on_room(struct letter *letter, void *owner)
{
	struct room_letter *l = (struct room_letter *)letter;
	struct worker *w = owner;

	(void)feed_first(w->pools, &l->of);
	free(l);
}

static unsigned
starving_of(const struct pool_count *c, unsigned own)
{
	unsigned all = atomic_load_explicit(&c->starving, memory_order_relaxed);

	return all > own ? all - own : 0;
}

void
shares_room(const struct pool *p)
{
	const struct pool_place of = { p, p->of_database, p->of_user };
	struct pools *ps = p->worker->pools;
	unsigned own_database = 0, own_user = 0, own, others;
	const struct pool *q;

	TAILQ_FOREACH (q, &ps->starving, in_starving) {
		own_database += q->of_database == of.of_database;
		own_user += q->of_user == of.of_user;
	}
	own = own_database > own_user ? own_database : own_user;
	others = starving_of(of.of_database, own_database) + starving_of(of.of_user, own_user);
	ps->owed += own;
	if (own > 0 && ps->owed >= own + others) {
		ps->owed = others > 0 ? ps->owed - (own + others) : 0;
		if (feed_first(ps, &of))
			return;
	}
	if (others > 0)
		tell_others(p, on_room);
}

/* ---- warmth ---- */

struct want_letter {
	struct letter letter;
	struct node_live *live;
	struct credential *credential;
	enum access access;
	char *database, *dbname, *user, *options;
};

static void
on_want(struct letter *letter, void *owner)
{
	struct want_letter *l = (struct want_letter *)letter;
	struct pool_key key = { .live = l->live,
				.database = slice_str(l->database),
				.dbname = slice_str(l->dbname),
				.user = slice_str(l->user),
				.options = slice_str(l->options),
				.access = l->access };
	struct worker *w = owner;
	struct pool *p;

	if (!w->draining) {
		p = pool_get(w, &key);
		if (p->credential == NULL)
			pool_set_credential(p, l->credential);
		p->wanted_us = p->told_us = clock_us();
		pools_arm(w->pools);
	}
	node_live_unref(l->live);
	credential_unref(l->credential);
	free(l->database);
	free(l->dbname);
	free(l->user);
	free(l->options);
	free(l);
}

void
shares_want(struct pool *p)
{
	struct worker *w = p->worker;
	int64_t now_us = clock_us();

	if (p->told_us > 0 && now_us - p->told_us < TELL_US)
		return;
	p->told_us = now_us;
	for (int i = 0; i < w->process->nworkers; i++) {
		struct want_letter *l;

		if (w->process->workers[i] == w)
			continue;
		l = xcalloc(1, sizeof(*l));
		l->live = node_live_ref(p->live);
		l->credential = credential_ref(p->credential);
		l->access = p->access;
		l->database = xstrdup(p->database);
		l->dbname = xstrdup(p->dbname);
		l->user = xstrdup(p->user);
		l->options = xstrdup(p->options);
		worker_post(w->process->workers[i], &l->letter, on_want);
	}
}
