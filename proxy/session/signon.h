/* SPDX-License-Identifier: PostgreSQL
 *
 * Meridian logs in to a node on its own account, with no client behind it: dial, StartupMessage,
 * the node's requests answered with a credential, up to ReadyForQuery. For connections of pools,
 * and for a session that is to get another server. What the node says of itself on the way is in
 * the struct server then: pid, key, `reported`.
 *
 * Knows nothing of pools and sessions. Its end is told once, and never before signon_begin() has
 * returned.
 */
#ifndef PROXY_SESSION_SIGNON_H
#define PROXY_SESSION_SIGNON_H

#include "base/err.h"
#include "base/slice.h"
#include "proxy/session/server.h"
#include "routing/route.h"

struct credential;
struct node;
struct worker;
struct signon;

enum signon_end {
	SIGNON_READY,
	SIGNON_FAILED, /* evidence against the node */
	SIGNON_UNFIT,  /* the node is well, but not for this */
	SIGNON_SCARCE, /* we have no descriptor: there is none for any other node either */
	SIGNON_FATAL,  /* nor is any other: what the node said is for the clients */
};

/* `e` is NULL for READY. The signon is gone when it is called; the server is the owner's. */
typedef void signon_done_fn(void *arg, struct server *sv, enum signon_end how, const struct err *e);

struct signon_order {
	struct server *server;         /* the owner's, without a connection yet */
	struct credential *credential; /* or NULL: the node lets us in as it is */
	const char *user;
	enum access access;   /* what is wanted of the node */
	struct slice startup; /* the StartupMessage; empty: it could not be written */
	const char *about;    /* for the log: "pool movr/app" */
	signon_done_fn *done;
	void *arg;
};

/* Within server_connect_timeout; to the node of server->live, as the world of now has it. All of
 * the order is copied or referenced. */
void signon_begin(const struct signon_order *order);
void signon_on_event(struct signon *so, short what);
void signon_free(struct signon *so); /* accepts NULL; `done` is not called */

/* What a ParameterStatus of a node teaches goes to control. Returns why the node does not fit. */
const char *signon_learn(struct worker *w, const struct node *n, enum access want,
			 struct server *sv, struct slice body);
/* Errors that say "not here, not now" rather than "not you": another node may do better. */
bool signon_another_may_do(struct slice sqlstate);
/* … and the node is well: a role may have a limit of its own, and everybody may name a library that
 * is not there (local_preload_libraries). */
bool signon_says_nothing_of_node(struct slice sqlstate);

#endif
