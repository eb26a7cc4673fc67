/* SPDX-License-Identifier: PostgreSQL
 *
 * The session's side of a pool (proxy/pool/pool.h): how a session that Meridian has authenticated
 * gets a server connection, when it gives it back, and what it waits for meanwhile.
 *
 * Between two transactions a session of a transaction pool is parked: state RELAY, `server` NULL.
 * So is one of a session pool until it says something: its login is answered with what is known
 * without a server. What the client says then is forwarded at once where a connection is idle; else
 * it is kept here, bounded, and the session waits its turn. In a transaction pool it gives the
 * connection back at a safe point (protocol/exchange.h) where nothing pins it; in a session pool,
 * when it ends.
 */
#ifndef PROXY_POOL_POOLED_H
#define PROXY_POOL_POOLED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "protocol/frame.h"
#include "proxy/config/config.h"
#include "proxy/pool/pooled_states.h"
#include "proxy/session/signon.h"

struct err;
struct node_live;
struct observer;
struct pool;
struct rehome;
struct server;
struct session;
struct statements;
struct vars;

struct pooled {
	struct session *session;
	struct rehome
	    *rehome;       /* its place in the queue of another pool (rehome.h); NULL: its own */
	struct pool *pool; /* attached to, waiting at, or last attached to */
	TAILQ_ENTRY(pooled) in_queue;
	struct buf held;               /* what the client said while it waited */
	struct statements *statements; /* what it has prepared */
	struct vars *startup, *vars;   /* settings of its startup packet; those it has now */
	struct vars *told;             /* what it has been told of them; NULL: nothing yet */
	struct buf report;             /* the beginning of a ParameterStatus */
	char *options;                 /* of its startup packet, without meridian.*; NULL: "" */
	struct buf names; /* of settings that `effects` is about: see protocol/sqleffects.h */
	struct buf asked_names;
	uint64_t topology_version; /* with which its node was decided … */
	int64_t decided_us;        /* … and when; INT64_MAX: an operator has said so */
	int64_t waiting_since_us;  /* with what it asks, wherever it has waited … */
	int64_t queued_us;         /* … and in this queue */
	enum pool_mode mode;
	enum pooled_state state; /* pooled_enter() alone writes it */
	unsigned effects;       /* what its queries may have done since it was last looked at … */
	unsigned asked_effects; /* … and that, of the question that is under way */
	unsigned pins;          /* why it keeps its server: see proxy/sqlstate/session_probe.h */
	bool is_elsewhere;      /* it has said so since its node was decided */
	bool notified;          /* it was told that it waits */
	uint8_t cancelled;      /* so often in a row a late cancel request has hit ours instead */
	bool greeted;           /* it has got its ReadyForQuery */
	bool attached;          /* it has, or has had, a server */
	bool skips; /* behind a cancel request, up to a Sync: no server is to see what comes … */
	struct framer skipped; /* … which this follows */
	bool resets_unnamed;   /* in a session pool: its statement without a name … */
	bool resets_named;     /* … or one with a name may take settings back */
};

/* A question of Meridian's own is under way on its server. */
static inline bool
pooled_is_asking(const struct pooled *pd)
{
	return pd->state > POOLED_SERVED;
}

static inline struct slice
pooled_options(const struct pooled *pd)
{
	return slice_str(pd->options != NULL ? pd->options : "");
}

/* pooled_relay.c: what the relay asks. */
extern const struct observer pool_observer, statements_observer;

void pooled_enter(struct pooled *pd, enum pooled_state state);

/* From the end of authentication to ReadyForQuery. */
void pooled_begin(struct session *s);
/* Bytes of the server have gone to the client, the last of a ReadyForQuery among them or not. */
void pooled_answered(struct session *s, bool is_ready);
/* Give the server back where that can be. */
void pooled_settle(struct session *s);
/* The session is at an end, or its server is: give back what can be used again. Idempotent. */
void pooled_part(struct session *s);
/* Bytes of the client's are kept. */
bool pooled_holds(const struct pooled *pd);
/* The client has said something that no server has got yet, and one will. */
bool pooled_owes(const struct session *s);
/* The DETAIL of an error that ends its wait: its node, and what is known of that. */
void pooled_explain_wait(const struct pooled *pd, struct err *e);
/* Deadlines of one that waits; it may be over then. */
void pooled_check_wait(struct pooled *pd, int64_t now_us);

/* So much is kept of what the client has said that it is not to be read now. */
bool pooled_is_full(const struct pooled *pd);

/* The client cancels what it asks, and it has no server: it may be waiting for one. */
void pooled_cancel(struct session *s);

/* Its database is served elsewhere now: between two transactions, what it has of a node it gives
 * up, and its next transaction, or what it waits with, goes where the route says. False: something
 * of the session is on its server, and would be lost. */
bool pooled_can_leave(const struct session *s);
void pooled_leave_node(struct session *s);
/* It has no server yet: its first will be of that node, where that can be. */
void pooled_head_for(struct session *s, struct node_live *live);
/* Its server is of no use any more. False: something of the session was on it, for all that is
 * known; `effects`: of what its queries may have done (sqleffects.h), so much counts. */
bool pooled_forsake(struct session *s, unsigned effects);
/* Nothing keeps it any more from what it has waited with. */
void pooled_resume(struct session *s);

/* In a session pool: the session gets `sv` in place of its own server, which is closed. `sv` is a
 * connection of a pool that counts as lent, is attached to no session yet, and has these settings.
 */
void pooled_replace(struct session *s, struct server *sv, struct vars *settings);

/* Who its client is has changed: its node is decided anew. */
void pooled_moved_locality(struct session *s);

/* The pool's answers. */
void pooled_on_lent(struct pooled *pd, struct server *sv);
/* This node cannot be had now: another is tried. FATAL: no other would do either (a password, a
 * database that does not exist): the client is told `e`. SCARCE: it is told that we are at our
 * limit. */
void pooled_on_refused(struct pooled *pd, const struct err *e, enum signon_end how);

#endif
