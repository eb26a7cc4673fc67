/* SPDX-License-Identifier: PostgreSQL
 *
 * How many connections the pools of all workers have together, of a database on a node and of a
 * user on a node: for max_db_connections and max_user_connections; and how often a database's
 * schema was changed by their sessions. The counters are shared by reference; counting is one
 * atomic instruction, finding a counter (once per pool) takes a lock.
 */
#ifndef PROXY_POOL_LIMITS_H
#define PROXY_POOL_LIMITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* the default falls through its switch, which clang warns of */
#define HASH_FUNCTION(key, n, hash) HASH_FNV(key, n, hash)
#include <uthash.h>

struct pool_count {
	UT_hash_handle hh; /* under the lock */
	unsigned refs;     /* under the lock */
	atomic_uint n;
	atomic_uint starving; /* pools with waiting sessions and no connection, for want of room */
	atomic_uint changes;  /* of its schema, seen or suspected; wraps */
	char key[];           /* kind, node, name */
};

/* Of a database ('d') or of a user ('u') on the node of that node_live.id. */
struct pool_count *pool_count_get(char kind, uint32_t node, const char *name);
void pool_count_put(struct pool_count *c); /* accepts NULL */

/* One more, where that keeps to `limit` (0: none). False: there is no room. */
bool pool_count_enter(struct pool_count *c, unsigned limit);
void pool_count_leave(struct pool_count *c);

#endif
