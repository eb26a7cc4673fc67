/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/redirects.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "routing/topology.h"

#define NAME_SIZE 64 /* the longest of PostgreSQL's names */

struct caller_key {
	char addr[64], user[NAME_SIZE], application[NAME_SIZE]; /* padded with zeroes */
};

struct caller {
	UT_hash_handle hh;
	struct caller_key key;
	int64_t logins, refused, seen_us;
};

struct known {
	LIST_ENTRY(known) next;
	struct redirection v;
	char *told_by, *database;
	int64_t ends_us; /* clock_us(); INT64_MAX: not known yet */
	struct caller *callers;
	bool is_said; /* the last report of the watcher that told of it contains it */
};

struct redirections {
	pthread_mutex_t lock;
	atomic_uint n;
	LIST_HEAD(, known) all;
};

struct redirections *
redirections_new(void)
{
	struct redirections *r = xcalloc(1, sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	LIST_INIT(&r->all);
	return r;
}

static void
callers_free(struct caller *all)
{
	struct caller *c, *next;

	for (c = all; c != NULL; c = next) {
		next = c->hh.next;
		HASH_DEL(all, c);
		free(c);
	}
}

static void
known_free(struct known *k)
{
	callers_free(k->callers);
	free(k->told_by);
	free(k->database);
	free(k);
}

void
redirections_free(struct redirections *r)
{
	if (r == NULL)
		return;
	while (!LIST_EMPTY(&r->all)) {
		struct known *k = LIST_FIRST(&r->all);

		LIST_REMOVE(k, next);
		known_free(k);
	}
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static struct known *
known_of(struct redirections *r, const char *uuid)
{
	struct known *k;

	LIST_FOREACH (k, &r->all, next)
		if (strcmp(k->v.uuid, uuid) == 0)
			return k;
	return NULL;
}

/* ---- what the watcher says ---- */

void
redirections_set(struct redirections *r, const char *told_by, const struct redirect *v, size_t n)
{
	struct known *k, *next;

	pthread_mutex_lock(&r->lock);
	LIST_FOREACH (k, &r->all, next)
		k->is_said = strcmp(k->told_by, told_by) != 0;
	for (size_t i = 0; i < n; i++) {
		const struct redirect *from = &v[i];

		k = known_of(r, from->uuid);
		if (k == NULL) {
			k = xcalloc(1, sizeof(*k));
			LIST_INSERT_HEAD(&r->all, k, next);
			atomic_fetch_add(&r->n, 1);
			(void)text_copy(k->v.uuid, sizeof(k->v.uuid), slice_str(from->uuid));
		}
		free(k->told_by);
		free(k->database);
		k->told_by = xstrdup(told_by);
		k->database = xstrdup(from->database);
		(void)text_copy(k->v.from, sizeof(k->v.from), slice_str(from->from));
		(void)text_copy(k->v.to, sizeof(k->v.to), slice_str(from->to));
		(void)text_copy(k->v.until, sizeof(k->v.until), slice_str(from->until));
		k->ends_us = from->ends ? clock_us() + from->left_us : INT64_MAX;
		k->is_said = true;
	}
	for (k = LIST_FIRST(&r->all); k != NULL; k = next) {
		next = LIST_NEXT(k, next);
		if (k->is_said)
			continue;
		LIST_REMOVE(k, next);
		atomic_fetch_sub(&r->n, 1);
		known_free(k);
	}
	pthread_mutex_unlock(&r->lock);
}

/* ---- callers ---- */

static void
key_make(struct caller_key *k, struct slice addr, struct slice user, struct slice application)
{
	*k = (struct caller_key){ 0 };
	(void)text_copy(k->addr, sizeof(k->addr), addr);
	(void)text_copy(k->user, sizeof(k->user), user);
	(void)text_copy(k->application, sizeof(k->application), application);
}

/* Clients beyond the bound share an entry without a name. */
static struct caller *
caller_of(struct known *k, const struct caller_key *key)
{
	static const struct caller_key nameless = { .addr = "" };
	struct caller *c;

	HASH_FIND(hh, k->callers, key, sizeof(*key), c);
	if (c == NULL && HASH_COUNT(k->callers) >= REDIRECT_CALLERS_MAX && key->addr[0] != '\0') {
		key = &nameless;
		HASH_FIND(hh, k->callers, key, sizeof(*key), c);
	}
	if (c == NULL) {
		c = xcalloc(1, sizeof(*c));
		c->key = *key;
		HASH_ADD(hh, k->callers, key, sizeof(c->key), c);
	}
	return c;
}

static void
add(struct redirections *r, const char *uuid, const struct caller_key *key, const struct caller *n)
{
	struct known *k;
	struct caller *c;

	pthread_mutex_lock(&r->lock);
	k = known_of(r, uuid);
	if (k != NULL) {
		c = caller_of(k, key);
		c->logins += n->logins;
		c->refused += n->refused;
		if (n->seen_us > c->seen_us)
			c->seen_us = n->seen_us;
	}
	pthread_mutex_unlock(&r->lock);
}

void
redirections_count(struct redirections *r, const char *uuid, const char *addr, struct slice user,
		   struct slice application, bool refused)
{
	const struct caller one = { .logins = !refused, .refused = refused, .seen_us = clock_us() };
	struct caller_key key;

	key_make(&key, slice_str(addr), user, application);
	add(r, uuid, &key, &one);
}

void
redirections_put(struct redirections *r, const char *uuid, const struct redirect_caller *v)
{
	const struct caller back = { .logins = v->logins,
				     .refused = v->refused,
				     .seen_us = clock_us() - v->age_us };
	struct caller_key key;

	key_make(&key, slice_str(v->addr), slice_str(v->user), slice_str(v->application));
	add(r, uuid, &key, &back);
}

void
redirections_take(struct redirections *r, const char *uuid,
		  void (*each)(void *to, const struct redirect_caller *c), void *to)
{
	struct caller *all = NULL;
	struct known *k;
	int64_t now_us = clock_us();

	pthread_mutex_lock(&r->lock);
	k = known_of(r, uuid);
	if (k != NULL) {
		all = k->callers;
		k->callers = NULL;
	}
	pthread_mutex_unlock(&r->lock);
	for (const struct caller *c = all; c != NULL; c = c->hh.next) {
		const struct redirect_caller v = { c->key.addr, c->key.user, c->key.application,
						   c->logins,   c->refused,  now_us - c->seen_us };

		each(to, &v);
	}
	callers_free(all);
}

/* ---- at a login ---- */

static int
region_of(const struct topology *t, const char *place)
{
	const struct node *n = topology_node_by_name(t, slice_str(place));

	return n != NULL ? n->region : topology_region_by_name(t, slice_str(place));
}

bool
redirections_is_entrance(const struct topology *t, const char *from, const char *to)
{
	return t->self_region >= 0 && region_of(t, from) == t->self_region &&
	       region_of(t, to) != t->self_region;
}

/* Whether the decision is in force here, and no later one. */
static bool
is_in_force(const struct topology *t, const struct known *k)
{
	const struct authority *a = topology_authority(t, slice_str(k->database));

	return a != NULL && strcmp(a->place, k->v.to) == 0 &&
	       redirections_is_entrance(t, k->v.from, k->v.to);
}

bool
redirections_find(struct redirections *r, const struct topology *t, struct slice database,
		  struct redirection *out)
{
	struct known *k;
	bool found = false;

	if (atomic_load_explicit(&r->n, memory_order_relaxed) == 0)
		return false;
	pthread_mutex_lock(&r->lock);
	LIST_FOREACH (k, &r->all, next) {
		if (!slice_is(database, k->database) || !is_in_force(t, k))
			continue;
		*out = k->v;
		out->is_over = k->ends_us <= clock_us();
		found = true;
		break;
	}
	pthread_mutex_unlock(&r->lock);
	return found;
}
