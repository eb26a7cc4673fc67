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
struct reads;
struct rehome;
struct server;
struct session;
struct statements;
struct vars;
struct wal_position;

/* How its node was decided, and what lets it be decided anew. */
enum pooled_choice {
	POOLED_BY_ROUTE,    /* as the route says, for some time */
	POOLED_BY_OPERATOR, /* as long as it can be had */
	POOLED_OUTDATED,    /* its database is served elsewhere: with the next transaction */
	POOLED_RELOCATED,   /* its client is elsewhere: the same, and not kept in its region */
};

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
	struct reads *reads;    /* it reads nearby where it can (proxy/reads/reads.h), or NULL */
	struct node_live *home; /* it is nearby now: where else it would be; or NULL */
	struct pool *home_pool, *near_pool; /* between which it went last, borrowed: they stand … */
	uint64_t pools_freed;               /* … while this says so (struct pools) … */
	uint64_t pools_version;             /* … and its home is that of this world's */
	uint64_t floor; /* what a server nearby must have replayed first; 0: nothing */
	uint64_t seen;  /* in which run of which standby (server.run) it has read, and how far that
			   was is not known; 0: it is, or has not */
	int64_t floor_wait_us, floor_until_us; /* how long `floor` is waited for; until when */
	struct buf names; /* of settings that `effects` is about: see protocol/sqleffects.h */
	struct buf asked_names;
	enum pooled_choice choice; /* of its node … */
	uint64_t topology_version; /* … with which it was decided … */
	int64_t decided_us;        /* … and when */
	int64_t waiting_since_us;  /* with what it asks, wherever it has waited … */
	int64_t queued_us;         /* … and in this queue */
	enum pool_mode mode;
	enum pooled_state state; /* pooled_enter() alone writes it */
	unsigned effects;       /* what its queries may have done since it was last looked at … */
	unsigned asked_effects; /* … and that, of the question that is under way */
	unsigned pins;          /* why it keeps its server: see proxy/sqlstate/session_probe.h */
	uint8_t cancelled;      /* so often in a row a late cancel request has hit ours instead */
	/* Properties, and no states: each of them lasts while the state changes.
	 * Of the wait since waiting_since_us, through the queues of several pools: the client was
	 * told that it waits. */
	bool notified;
	/* Of the session's past, whether it is parked or waits now: it has, or has had, a server.
	 */
	bool attached;
	/* Of what it has prepared, in a session pool: the statement without a name, or one with a
	 * name, may take settings back. */
	bool resets_unnamed, resets_named;
	struct framer skipped; /* SKIPPING: what the client says */
	/* With reads nearby: behind its transactions the server is asked for its position in the
	 * WAL; and it has not been since the client last said something. */
	bool is_tracked, is_untold;
	/* The server nearby had to replay something for what it was asked last. */
	bool has_waited;
	/* What goes to its server next is a whole unit, and its position is asked for behind it. */
	bool asks_behind;
	/* It waits for a server that it has to ask for its position, and nothing else. */
	bool asks_alone;
	bool resends; /* what was kept of the client goes on its way just now */
};

/* pooled_relay.c: what the relay asks. */
extern const struct observer pool_observer, statements_observer;

void pooled_enter(struct pooled *pd, enum pooled_state state);

/* ---- of any session: one that has no pool has POOL_OFF, and nothing of what these are about ----
 */

enum pool_mode pooled_mode(const struct session *s);
/* `options` of its startup packet, without meridian.*. */
struct slice pooled_options(const struct session *s);
/* Why it keeps its server, for all that its pool knows. */
unsigned pooled_pins(const struct session *s);
/* A question of Meridian's own is under way on its server. */
bool pooled_is_asking(const struct session *s);
/* No question of ours is under way, and nothing of the client's is kept. */
bool pooled_is_still(const struct session *s);
/* Bytes of the client's are kept. */
bool pooled_holds(const struct session *s);
/* So much is kept of what the client has said that it is not to be read now. */
bool pooled_is_full(const struct session *s);
/* The client has said something that no server has got yet, and one will. */
bool pooled_owes(const struct session *s);
/* Nothing of the session is on a server, and would be lost without it. */
bool pooled_can_leave(const struct session *s);
/* A move asks the server what is to be taken to another one (CAPTURING). */
void pooled_begin_capture(struct session *s);
/* The question that is under way, if there is one, is answered, or its answer of no use. */
void pooled_drop_question(struct session *s);
/* Nothing keeps it any more from what it has waited with. */
void pooled_resume(struct session *s);
/* The client cancels what it asks, and it has no server: it may be waiting for one. */
void pooled_cancel(struct session *s);

/* ---- of a session that has one ---- */

/* From the end of authentication to ReadyForQuery. */
void pooled_begin(struct session *s);
/* Bytes of the server have gone to the client, the last of a ReadyForQuery among them or not. */
void pooled_answered(struct session *s, bool is_ready);
/* Give the server back where that can be. */
void pooled_settle(struct session *s);
/* The session is at an end, or its server is: give back what can be used again. Idempotent. */
void pooled_part(struct session *s);
/* The DETAIL of an error that ends its wait: its node, and what is known of that. */
void pooled_explain_wait(const struct pooled *pd, struct err *e);
/* Deadlines of one that waits; it may be over then. */
void pooled_check_wait(struct pooled *pd, int64_t now_us);

/* Its database is served elsewhere now: between two transactions, where pooled_can_leave(), what it
 * has of a node it gives up, and its next transaction, or what it waits with, goes where the route
 * says. */
void pooled_leave_node(struct session *s);
/* It has no server yet: its first will be of that node, where that can be. */
void pooled_head_for(struct session *s, struct node_live *live);
/* Its server is of no use any more. False: something of the session was on it, for all that is
 * known; `effects`: of what its queries may have done (sqleffects.h), so much counts. */
bool pooled_forsake(struct session *s, unsigned effects);

/* In a session pool: the session gets `sv` in place of its own server, which is closed. `sv` is a
 * connection of a pool that counts as lent, is attached to no session yet, and has these settings.
 */
void pooled_replace(struct session *s, struct server *sv, struct vars *settings);

/* It has no server: its next is to be of that node, a standby that must have replayed the WAL up to
 * `floor` (0: anything does), and what the session has seen there (`seen`), which is waited for so
 * long at most. It goes home by itself where that cannot be had; pool_ops.on_refused_nearby() says
 * so. */
void pooled_head_nearby(struct session *s, struct node_live *live, uint64_t floor, int64_t wait_us);
/* It has no server: its next is to be of its own node again. Does nothing where it is. */
void pooled_head_home(struct session *s);
/* What it says next goes home: where that is, is decided anew where it has to be. Does nothing
 * where it has a server, or waits for one. */
void pooled_find_home(struct session *s);
/* At home and at a safe point: it can be asked a question whose answer pool_ops.on_names() gets,
 * and then is; what the client says goes behind it. */
bool pooled_can_learn(const struct session *s);
void pooled_learn_names(struct session *s, struct slice sql);
/* What the client has just said was sent: where `asks_behind` its server is asked for its position
 * in the WAL behind that, so that the answer is there with the client's. Not where the pool has to
 * ask more. */
void pooled_ask_position_behind(struct session *s);
/* It is parked, at home: a server there is asked for its position in the WAL, and nothing else;
 * then pool_ops.on_parked() comes, whether the position has or not. The session may be over. */
void pooled_ask_position(struct session *s);
/* Of n bytes of the server, how many are the client's: the rest answers that question. */
size_t pooled_client_part(struct session *s, const char *p, size_t n);
/* Where its home is: the node that it would be on without reading nearby; NULL: not decided. */
const struct node_live *pooled_home(const struct session *s);

/* Who its client is has changed: its node is decided anew. */
void pooled_moved_locality(struct session *s);
/* The pool for this session on a node where its database has that name. */
struct pool *pooled_pool_at(const struct session *s, struct node_live *live, struct slice dbname);

/* The pool's answers. */
void pooled_on_lent(struct pooled *pd, struct server *sv);
/* This node cannot be had now: another is tried. FATAL: no other would do either (a password, a
 * database that does not exist): the client is told `e`. SCARCE: it is told that we are at our
 * limit. */
void pooled_on_refused(struct pooled *pd, const struct err *e, enum signon_end how);

#endif
