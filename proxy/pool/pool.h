/* SPDX-License-Identifier: PostgreSQL
 *
 * Pools: server connections that are lent to sessions. One pool per worker, database, user, node
 * and `options` of the startup packet, so that a session that is lent a connection finds what its
 * own login would have given it, but for settings, which are replayed (proxy/sqlstate/vars.h). A
 * worker has its share of the sizes that the operator wrote: no lock, no other worker's connection.
 *
 * A connection is opened by its pool, not by a session (launch.c): dial, login with the pool's
 * credential, and then it goes to the session that has waited longest. Connections are lent in the
 * order last come, first lent, so that those beyond the need grow old and are closed (keeper.c);
 * sessions wait in the order in which they came.
 *
 * Nothing here looks at messages; what a session does with a connection is proxy/pool/pooled.h.
 */
#ifndef PROXY_POOL_POOL_H
#define PROXY_POOL_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* the default falls through its switch, which clang warns of */
#define HASH_FUNCTION(key, n, hash) HASH_FNV(key, n, hash)
#include <uthash.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "proxy/config/config.h"
#include "proxy/session/server.h"
#include "routing/route.h"

struct credential;
struct greetings;
struct pool_count;
struct pooled;
struct reads;
struct rehome;
struct session;
struct wal_position;

TAILQ_HEAD(server_list, server);
TAILQ_HEAD(pooled_list, pooled);
TAILQ_HEAD(pool_list, pool);

struct pool {
	UT_hash_handle hh;
	char *name;                    /* all that tells it from others */
	TAILQ_ENTRY(pool) all;         /* pools of the worker */
	TAILQ_ENTRY(pool) in_starving; /* where it is `starving` */
	struct worker *worker;
	struct node_live *live;        /* one reference */
	char *database, *dbname;       /* as clients say it; as the node does */
	char *user, *options;          /* options without meridian.*; "" */
	enum access access;            /* what its sessions wanted of the node */
	struct credential *credential; /* what it logs in with, or NULL; one reference */
	struct server_list places[SERVER_PLACES];
	unsigned n[SERVER_PLACES];
	struct pooled_list waiting; /* first come first */
	unsigned nwaiting;
	unsigned nsessions;                       /* that are at this pool, waiting or not */
	struct pool_count *of_database, *of_user; /* over all workers */
	int64_t wanted_us;           /* monotonic: a login may have come here; 0: never */
	int64_t told_us;             /* … and the other workers were told so */
	int64_t promised_us;         /* until then its database is about to be served here */
	struct greetings *greetings; /* what its servers report to sessions */
	bool starving;               /* counted in of_database->starving and of_user->starving */
	struct pool_sizes sizes;     /* pool_sizes() alone reads them */
	uint64_t sizes_version;      /* … of the configuration that they are of */
	uint64_t terms;              /* what TLS its connections must have … */
	uint64_t terms_version;      /* … of the same */
	bool paused;                 /* PAUSE: nothing is lent */
	bool giving;                 /* those who wait are being served */
	int64_t retry_us;            /* a launch has failed: no other before this; 0: none has */
	char reason[200];            /* … and why */
	/* Of a standby's: what it has replayed, as far as somebody has seen, in this run of it; one
	 * that was started again, also after a crash of its own, may have replayed less. */
	uint64_t run, replayed;
	uint64_t lent, waited; /* counters: attachments, and those that had to wait */
	uint64_t wait_us;      /* counter: time waited, of those that are over */
};

/* The worker's pool of that kind, made where there is none. Borrowed: it lives while it has
 * sessions or connections (pool_join(), pool_leave()). */
struct pool_key {
	struct node_live *live;
	struct slice database, dbname, user, options;
	enum access access;
};
struct pool *pool_get(struct worker *w, const struct pool_key *key);
/* A session of this user could be sent here one day: keep min_pool_size connections for it, in each
 * worker. */
void pool_want(struct pool *p, struct credential *c);
void pool_join(struct pool *p);
void pool_leave(struct pool *p);
/* What to log in with from now on; takes a reference of its own. */
void pool_set_credential(struct pool *p, struct credential *c);

/* A database on the node of that node_live.id, over all workers; one reference. Any thread. */
struct pool_count *pool_database_get(uint32_t node, const char *dbname);
void pool_database_put(struct pool_count *c);
/* How often its schema was changed, seen or suspected, by sessions of pools; wraps. */
unsigned pool_database_changes(const struct pool_count *c);

/* A connection for the session, or NULL: then it waits, and pooled_on_lent() or pooled_on_refused()
 * will be called. `vars`: settings of the session: a connection that has the same is preferred. */
struct server *pool_lend(struct pool *p, struct pooled *pd);
/* The session waits no longer. */
void pool_forget(struct pool *p, struct pooled *pd);
/* A connection comes back in which nothing is left of its session but settings and statements: it
 * is lent to the session that has waited longest, or becomes idle. */
void pool_return(struct server *sv);
/* The last cancel request for it is over: what was held goes to the others. Does nothing otherwise.
 */
void pool_cancel_done(struct server *sv);
/* Open connections as far as somebody waits and the limits allow. */
void pool_grow(struct pool *p);
void pool_put(struct server *sv, enum server_place place);
/* Have so many connections, as far as the limits allow: the database will be served here. They stay
 * for a minute, or until promised_us is taken back: it will not be. */
void pool_warm(struct pool *p, unsigned n);
/* Close what is idle; what is lent is closed when it comes back (RECONNECT). */
void pool_reconnect(struct pool *p);
/* The configuration may be another: the same, where its connections are not what it wants. */
void pool_renew(struct pool *p);
void pool_pause(struct pool *p, bool paused);
/* The connection is ready and lent to no session: the first session that waits gets it, or it
 * becomes idle. */
void pool_give(struct server *sv);
/* A launch has failed, and it is too early for the next. */
bool pool_is_failing(const struct pool *p);
/* There is a connection, or one that was begun not long ago: behind a failure, those that have not
 * answered in all this time will not either. */
bool pool_has_hope(const struct pool *p);
/* Connections now, in all places. */
unsigned pool_size(const struct pool *p);
/* What the operator wrote for pools of this database. */
const struct pool_sizes *pool_sizes(struct pool *p);
/* This worker's share of default_pool_size and its like. */
unsigned pool_share(const struct worker *w, int size);
const char *server_place_name(enum server_place place);

/* Each worker's own: its pools, and the timer that looks after them (keeper.c). */
struct pools;
struct pools *pools_new(struct worker *w);
void pools_free(struct pools *ps);
struct pool_list *pools_list(struct pools *ps);
struct pool_list *pools_of_worker(const struct worker *w);
/* Something has a deadline now: a connection is idle … */
void pools_arm(struct pools *ps);
/* … a session waits, which cannot wait for the next usual look. */
void pools_hurry(struct pools *ps);
/* The world has changed. */
void pools_refresh(struct pools *ps);
/* The worker is draining: no more launches but for who waits; idle ones are closed. */
void pools_drain(struct pools *ps);

/* What a pool and its sessions ask of the rooms above: proxy/rooms.c fills it in. */
struct pool_ops {
	/* Something is paused that its sessions are in. */
	bool (*is_paused)(const struct pool *p);
	/* Of a login that is answered without a node: what has ended the authentication, its cancel
	 * key, and what there is to be said to who has just come. */
	void (*put_authenticated)(struct session *s, struct buf *out);
	void (*put_key)(struct session *s, struct buf *out);
	void (*put_welcome)(struct session *s, struct buf *out);
	/* A question of ours is over: it may be a safe point for who wants to move the session. */
	void (*on_quiet)(struct session *s);
	/* Of a session that may read nearby: it begins (false: and is over); it has no server any
	 * more and may have another; what its server has said of the WAL behind a transaction; a
	 * question of the pool's is over, and it has its server; no server nearby could be had, or
	 * none that has replayed enough: it has gone home. */
	bool (*begin_reads)(struct session *s);
	void (*on_parked)(struct session *s);
	void (*on_position)(struct session *s, const struct wal_position *position);
	void (*on_heard)(struct session *s);
	void (*on_refused_nearby)(struct session *s);
	/* What its home has answered to pooled_learn_names(), raw messages; none: it has failed. */
	void (*on_names)(struct session *s, struct slice messages);
	/* Something of it is on the server nearby that it cannot leave. */
	void (*on_pinned_nearby)(struct session *s);
	void (*free_reads)(struct reads *r);
	/* The pool's answers to a place in its queue that a session on its way there has. */
	void (*next_on_lent)(struct rehome *r, struct server *sv);
	void (*next_on_refused)(struct rehome *r, const struct err *e);
};
extern const struct pool_ops pool_ops;

/* launch.c */
void launch_begin(struct pool *p);

#endif
