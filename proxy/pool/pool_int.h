/* SPDX-License-Identifier: PostgreSQL
 *
 * The inside of pools, for the files of proxy/pool and the server connection's own end.
 */
#ifndef PROXY_POOL_POOL_INT_H
#define PROXY_POOL_POOL_INT_H

#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* the default falls through its switch, which clang warns of */
#define HASH_FUNCTION(key, n, hash) HASH_FNV(key, n, hash)
#include <uthash.h>

#include "base/clock.h"
#include "proxy/pool/pool.h"
#include "proxy/session/signon.h"

/* A connection stays so long where it is, though others starve: reconnecting has its price. */
#define SHARES_STAY_US (50 * USEC_PER_MSEC)
/* For so long a question of ours is under way; behind it, it may never be answered. */
#define SOON_US USEC_PER_SEC

/* How many connections the pools of all workers have together, of a database on a node and of a
 * user on a node: for max_db_connections and max_user_connections; and how often a database's
 * schema was changed by their sessions. The counters are shared by reference; counting is one
 * atomic instruction, finding a counter (once per pool) takes a lock. */
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

/* pool.c */
void pool_free(struct pool *p);
/* The connection is being closed: it leaves its pool, which opens another where somebody waits. */
void pool_remove(struct server *sv);
/* One more connection, where the limits over all workers allow it; an idle one of another pool may
 * have to go for that. */
bool pool_launch(struct pool *p);
/* The same for a connection that is kept warm: no other connection is closed for it, and sessions
 * that wait come first. */
bool pool_launch_spare(struct pool *p);
/* The limits over all workers allow one more. */
bool pool_has_room(const struct pool *p);
/* Close the one connection of this worker that is idle for longest, of those that keep this pool
 * from having one: they count in what is full and `of` counts in too. False: there is none. */
struct pool_place {
	const struct pool *pool; /* NULL: one of another worker's, which may be served by now */
	/* compared, and not looked into */
	const struct pool_count *of_database, *of_user;
};
bool pool_make_room(struct worker *w, const struct pool_place *of);
void pool_refuse(struct pool *p, const struct err *e, enum signon_end how);

/* shares.c: pools of other workers. A login here may have its next session there. */
void shares_want(struct pool *p);
/* Whether it has sessions that wait, no connection at all, and no room to open one. */
void shares_starve(struct pool *p, bool starving);
/* Another pool does. */
bool shares_others_starve(const struct pool *p);
/* The connection is lent to no session now: whether it must be closed, so that a pool that starves
 * can open one. */
bool shares_must_go(const struct server *sv);
/* A connection of this pool is gone: the room goes to one that starves, where there is any. Those
 * of this worker have their share of it, as many as there are beside those of the others. */
void shares_room(const struct pool *p);

/* An idle connection can be read: the node has closed it, or sends a message that was not asked
 * for. */
void keeper_on_idle(struct server *sv, short what);

/* keeper.c: a pool has begun to starve, and is looked at soon. */
void pools_look_soon(struct pools *ps);

struct pools {
	struct worker *worker;
	struct pool *by_name;
	uint64_t seed; /* of its hashes */
	struct pool_list list;
	uint64_t freed; /* pools so far: as long as it stays, all that there were are there */
	struct pool_list starving; /* in the order in which they began to */
	uint64_t owed;             /* what shares_room() has not given them yet of their share */
	struct event timer;
	bool draining;
	bool quick; /* the timer was set with a session waiting */
};

#endif
