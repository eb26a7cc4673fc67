/* SPDX-License-Identifier: PostgreSQL
 *
 * A connection to a node. One that belongs to a session alone (pool = off) is made for it and goes
 * with it; one of a pool (proxy/pool/pool.h) outlives the sessions that it is lent to. All of it on
 * one worker.
 */
#ifndef PROXY_SESSION_SERVER_H
#define PROXY_SESSION_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/slice.h"
#include "proxy/net/stream.h"
#include "proxy/session/bulk.h"

struct ask;
struct attempt;
struct node_live;
struct pool;
struct server_statements;
struct session;
struct signon;
struct vars;
struct worker;

/* Where a connection of a pool is. */
enum server_place {
	SERVER_OWN,       /* in no pool */
	SERVER_LAUNCHING, /* connecting, logging in */
	SERVER_IDLE,      /* to be lent; the one that came last goes first */
	SERVER_LENT,      /* a session has it */
	SERVER_BUSY,      /* no session has it: it is being reset, or checked */
	SERVER_HELD,      /* a cancel request is under way that must not hit the next session */
	SERVER_PLACES
};

struct server {
	struct stream stream;
	struct worker *worker;
	struct session *session; /* NULL: no session has it */
	struct bulk_state bulk;  /* of what it sends */
	struct attempt *attempt; /* until it is attached */
	struct signon *signon;   /* until it is logged in, where no client has a part in that */
	struct ask *ask;         /* a question of our own is under way … */
	struct ask *ask_behind;  /* … or will be, when what its session awaits has come */
	struct node_live *live;  /* one reference */
	union {
		uint8_t here[8];
		uint8_t *apart;
	} key; /* the server's own secret, for cancels; `here` where it fits */
	uint32_t pid;
	uint16_t key_len;
	/* what its login has said, in an order that is its own (PostgreSQL 16 hashes it) */
	bool is_primary;  /* in_hot_standby = off */
	bool is_next;     /* it waits to become the server of `session` (rehome.h) */
	bool is_writable; /* default_transaction_read_only = off */
	bool is_cockroachdb;

	/* of a pool */
	uint64_t run;      /* of a standby's: which run of it this is (pool.h); 0: not known */
	bool close_needed; /* not to be lent again */
	uint8_t place;     /* enum server_place: pool_put() alone writes it */
	uint16_t cancels;  /* cancel requests under way for it */
	struct pool *pool; /* NULL: it belongs to its session */
	TAILQ_ENTRY(server) in_place;
	struct server_statements *statements; /* what is prepared on it */
	struct vars *vars;                    /* its settings; NULL: not known */
	struct vars *reported;                /* what it has said of some of them … */
	struct vars *settled;                 /* … when `vars` was known to be so */
	uint64_t terms;                       /* of TLS, when it was dialled */
	int64_t launched_us, since_us;        /* monotonic: logged in; came to its place */
	int64_t expires_us;                   /* server_lifetime, less its jitter; 0: never */
};

/* For a session (`s` not NULL), or for a pool. */
struct server *server_new(struct worker *w, struct session *s, struct node_live *live);
/* Once more, for another dial: its stream was closed. */
void server_open(struct server *sv);
/* Its own secret, once. */
void server_keep_key(struct server *sv, struct slice key);
struct slice server_key(const struct server *sv);
/* Close it and take it out of its pool. The struct goes at the end of the tick. Accepts NULL. */
void server_free(struct server *sv);

#endif
