/* SPDX-License-Identifier: PostgreSQL
 *
 * A live session gets another server connection, and its client notices nothing: for sessions whose
 * login Meridian makes itself and that have a server of their own (pool = session, or pool = off
 * with auth other than passthrough). A session of a transaction pool needs none of this: its next
 * transaction goes elsewhere by itself.
 *
 *   PREPARED   there is a connection to the new node, logged in, that nobody else has
 *   READY      at a safe point (protocol/exchange.h): what the session has left on its old server
 * was asked for, and the new one has it: settings, role, prepared statements, LISTEN. From the
 * asking on the client is not read (what it says stays in the kernel) SWAPPED    the new one is the
 * session's, the old one is closed, the client is read again
 *
 * Each call names the stage that is wanted; stages in front of it are gone through on the way, and
 * what has to wait (a login, a safe point, an answer) is waited for, within the deadline. What
 * fails leaves the session where it was, its client read again; READY may wait as long as its owner
 * wants. What cannot be carried over (temp tables, advisory locks, cursors WITH HOLD, …) is why a
 * session stays: see session_probe.h.
 *
 * A connection that is PREPARED and not wanted is closed after some minutes.
 *
 * All of it on the session's worker.
 */
#ifndef PROXY_MOVE_REHOME_H
#define PROXY_MOVE_REHOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct node_live;
struct observer;
struct session;

/* Whether it could be moved, for all that is known without asking its server: else *why is the word
 * for it ("passthrough login", "temp table", "replication", …). Being in a transaction is no
 * reason: it ends. */
bool rehome_can(const struct session *s, const char **why);

/* Called once per call below. Where the session ends, it is told so in the middle of that: only its
 * id may be read then. SQLSTATE 57014: somebody has dropped it, or moves it himself; the session is
 * theirs then, and must not be touched.
 * e: why the stage was not reached (everything is given up then, and the session
 * stays where it is); NULL: it was. */
typedef void rehome_done_fn(void *arg, struct session *s, const struct err *e);

struct rehome_want {
	struct node_live *live; /* the node to go to; a reference is taken */
	const char *dbname;     /* the database's name there; NULL: as the configuration says */
	int64_t deadline_us;    /* monotonic; 0: server_connect_timeout from now on. It ends the
				   waiting for the stage that is wanted. READY has no end */
	bool frozen;            /* a PAUSE keeps the session READY: where it ends, it is dropped */
	rehome_done_fn *done;
	void *arg;
};

enum rehome_stage { REHOME_NONE, REHOME_PREPARED, REHOME_READY, REHOME_SWAPPED };

/* Go to that stage. A session that is on its way already has a new owner, deadline and goal, and
 * begins anew where that is another place. `done` may be called before it returns. */
void rehome_to(struct session *s, enum rehome_stage goal, const struct rehome_want *want);
/* The node that the session would be attached to now, in that region (NULL: wherever its route
 * leads); borrowed. NULL and *e: there is none. */
struct node_live *rehome_choose(struct session *s, const char *region, struct err *e);
/* The stage that was reached. */
enum rehome_stage rehome_stage(const struct session *s);
/* Somebody waits for a stage that was not reached yet. */
bool rehome_is_going(const struct session *s);
/* What the relay asks (proxy/session/observers.h). */
extern const struct observer rehome_observer;
/* Stay: the new connection is closed, the client is read again. Idempotent. */
void rehome_drop(struct session *s);

#endif
