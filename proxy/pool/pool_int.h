/* SPDX-License-Identifier: PostgreSQL
 *
 * The inside of pools, for the files of proxy/pool and the server connection's own end.
 */
#ifndef PROXY_POOL_POOL_INT_H
#define PROXY_POOL_POOL_INT_H

#include <event2/event_struct.h>

#include "base/clock.h"
#include "proxy/pool/pool.h"
#include "proxy/session/signon.h"

/* For so long a question of ours is under way; behind it, it may never be answered. */
#define SOON_US USEC_PER_SEC

/* pool.c */
void pool_free(struct pool *p);
/* The connection is being closed: it leaves its pool, which opens another where somebody waits. */
void pool_remove(struct server *sv);
/* One more connection, where the limits over all workers allow it; an idle one of another pool may
 * have to go for that. */
bool pool_launch(struct pool *p);
/* The same to be warm: nobody's has to go for it, and whoever waits comes first. */
bool pool_launch_spare(struct pool *p);
void pool_refuse(struct pool *p, const struct err *e, enum signon_end how);

/* shares.c: pools of other workers. A login here may have its next session there. */
void shares_want(struct pool *p);
/* Whether it has sessions that wait, no connection at all, and no room to open one. */
void shares_starve(struct pool *p, bool starving);
/* Another pool does. */
bool shares_others_starve(const struct pool *p);
/* The connection is nobody's now: whether it has to go, so that a pool that starves can open one.
 */
bool shares_must_go(const struct server *sv);
/* There is room: whoever starves may try. */
void shares_wake(struct worker *w);

/* An idle connection can be read: the node has closed it, or says something nobody asked for. */
void keeper_on_idle(struct server *sv, short what);

struct pools {
	struct worker *worker;
	struct pool *by_name;
	uint64_t seed; /* of its hashes */
	struct pool_list list;
	struct event timer;
	bool draining;
	bool quick; /* the timer was set with a session waiting */
};

#endif
