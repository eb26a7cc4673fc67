/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/reads/catalog.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/mem.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/pool/pool.h"
#include "proxy/sqlstate/session_probe.h"
#include "routing/classify_catalog.h"

/* A database is asked so often at most, and less where it has not answered. */
#define ASK_EVERY_US  USEC_PER_SEC
#define ASK_FAILED_US (10 * USEC_PER_SEC)

/* A database on a node. */
struct place {
	TAILQ_ENTRY(place) all;
	struct pool_count *of;  /* one reference */
	struct catalog *latest; /* one reference, or NULL */
	int64_t ask_from_us;    /* not before */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* under the lock */
static TAILQ_HEAD(, place) places = TAILQ_HEAD_INITIALIZER(places);
static uint64_t serials;

void
catalog_unref(struct catalog *c)
{
	if (c == NULL || !refcount_put(&c->refs))
		return;
	pool_database_put(c->of);
	classify_catalog_free(c->names);
	free(c);
}

static bool
is_of_use(const struct catalog *c, int64_t now_us)
{
	return now_us - c->learnt_us < CATALOG_LIVES_US &&
	       c->changes == pool_database_changes(c->of);
}

bool
catalog_is_fresh(const struct catalog *c, const struct pool *home, int64_t now_us)
{
	return c->of == home->of_database && is_of_use(c, now_us);
}

static struct place *
find(const struct pool_count *of)
{
	struct place *p;

	TAILQ_FOREACH (p, &places, all) {
		if (p->of == of)
			return p;
	}
	return NULL;
}

static struct catalog *
find_latest(const struct pool_count *of, int64_t now_us)
{
	struct catalog *c = NULL;
	struct place *p;

	pthread_mutex_lock(&lock);
	p = find(of);
	if (p != NULL && p->latest != NULL && is_of_use(p->latest, now_us)) {
		c = p->latest;
		refcount_get(&c->refs);
	}
	pthread_mutex_unlock(&lock);
	return c;
}

struct catalog *
catalog_get(const struct pool *home, int64_t now_us)
{
	return find_latest(home->of_database, now_us);
}

struct catalog *
catalog_find(uint32_t node, const char *dbname, int64_t now_us)
{
	struct pool_count *of = pool_database_get(node, dbname);
	struct catalog *c = find_latest(of, now_us);

	pool_database_put(of);
	return c;
}

/* ---- asking ---- */

static void
drop(struct place *p)
{
	TAILQ_REMOVE(&places, p, all);
	catalog_unref(p->latest);
	pool_database_put(p->of);
	free(p);
}

/* Those that nobody has asked for in a while. */
static void
drop_old(int64_t now_us)
{
	struct place *p, *next;

	for (p = TAILQ_FIRST(&places); p != NULL; p = next) {
		next = TAILQ_NEXT(p, all);
		if (now_us - p->ask_from_us > 10 * CATALOG_LIVES_US)
			drop(p);
	}
}

static struct place *
find_or_add(const struct pool *home, int64_t now_us)
{
	struct place *p = find(home->of_database);

	if (p != NULL)
		return p;
	drop_old(now_us);
	p = xcalloc(1, sizeof(*p));
	p->of = pool_database_get(home->live->id, home->dbname);
	p->ask_from_us = now_us;
	TAILQ_INSERT_HEAD(&places, p, all);
	return p;
}

bool
catalog_begin(const struct pool *home, int64_t now_us)
{
	struct place *p;
	bool is_due;

	pthread_mutex_lock(&lock);
	p = find_or_add(home, now_us);
	is_due = now_us >= p->ask_from_us && (p->latest == NULL || !is_of_use(p->latest, now_us));
	if (is_due)
		p->ask_from_us = now_us + ASK_EVERY_US;
	pthread_mutex_unlock(&lock);
	return is_due;
}

void
catalog_fail(const struct pool *home, int64_t now_us)
{
	pthread_mutex_lock(&lock);
	find_or_add(home, now_us)->ask_from_us = now_us + ASK_FAILED_US;
	pthread_mutex_unlock(&lock);
}

static struct classify_catalog *
read_names(struct slice messages)
{
	struct classify_catalog *names = classify_catalog_new();
	struct slice row, name;
	struct frame f;

	while (frame_cut(messages, BUF_CAP_DEFAULT, &f) == PARSE_DONE) {
		row = f.body;
		if (f.type == MSG_DATA_ROW && row.n > 2) {
			row = slice_skip(row, 2);
			if (session_probe_next_column(&row, &name) && name.p != NULL)
				classify_catalog_add(names, name);
		}
		messages = slice_skip(messages, f.total);
	}
	classify_catalog_finish(names);
	return names;
}

void
catalog_learn(const struct pool *home, unsigned changes, struct slice messages, int64_t now_us)
{
	struct catalog *c = xcalloc(1, sizeof(*c)), *old;
	struct place *p;

	refcount_init(&c->refs);
	c->of = pool_database_get(home->live->id, home->dbname);
	c->changes = changes;
	c->learnt_us = now_us;
	c->names = read_names(messages);
	pthread_mutex_lock(&lock);
	p = find_or_add(home, now_us);
	old = p->latest;
	/* verdicts on texts stay where the words are the same */
	c->serial =
	    old != NULL && classify_catalog_equal(old->names, c->names) ? old->serial : ++serials;
	p->latest = c;
	pthread_mutex_unlock(&lock);
	catalog_unref(old);
}
