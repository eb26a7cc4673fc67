/* SPDX-License-Identifier: PostgreSQL
 *
 * What the catalogs of databases say of names (routing/classify_catalog.h), for all workers: one
 * per database and node, learnt by a session at its home, behind a transaction, where a text has a
 * name that PostgreSQL does not bring along. It is of no use any more once a session of a pool of
 * this process has changed the schema of its database, and after a minute, as others may have.
 *
 * A session keeps the one that it has got, and looks for another where that is of no use. Looking
 * and learning take a lock; whether one is of use still does not.
 */
#ifndef PROXY_READS_CATALOG_H
#define PROXY_READS_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/slice.h"
#include "base/snapshot.h"

#define CATALOG_LIVES_US (60 * USEC_PER_SEC)

struct classify_catalog;
struct pool;
struct pool_count;

struct catalog {
	struct refcount refs;
	struct pool_count *of; /* its database and node; one reference */
	unsigned changes;      /* of the schema, when it was asked for */
	int64_t learnt_us;     /* monotonic */
	uint64_t serial;       /* of what it says: another number, other words */
	struct classify_catalog *names;
};

bool catalog_is_fresh(const struct catalog *c, const struct pool *home, int64_t now_us);
/* A reference to the one that is of use; NULL: there is none. */
struct catalog *catalog_get(const struct pool *home, int64_t now_us);
struct catalog *catalog_find(uint32_t node, const char *dbname, int64_t now_us);
void catalog_unref(struct catalog *c); /* accepts NULL */

/* Whether the caller is to ask for it now. Then comes the answer to it, raw messages, or that there
 * is none; `changes` is pool_database_changes() in front of the question. */
bool catalog_begin(const struct pool *home, int64_t now_us);
void catalog_learn(const struct pool *home, unsigned changes, struct slice messages,
		   int64_t now_us);
void catalog_fail(const struct pool *home, int64_t now_us);

#endif
