/* SPDX-License-Identifier: PostgreSQL
 *
 * A live session gets another server connection, and its client notices nothing. This is for
 * sessions whose login Meridian makes itself and that have a server of their own (pool = session,
 * or pool = off with auth other than passthrough). A session of a transaction pool does not need
 * it: its next transaction is routed anew.
 *
 *   PREPARED   a connection to the new node is logged in and kept for this session
 *   READY      at a safe point (protocol/exchange.h) the old server was asked for what the session
 *              has left there, and the new one has it: settings, role, prepared statements,
 *              LISTEN. Since that question the client is not read: its bytes stay in the kernel
 *   SWAPPED    the new connection is the session's, the old one is closed, the client is read
 *
 * A call names the stage that is wanted. The stages before it are passed on the way; what takes
 * time (a login, a safe point, an answer) is waited for until the deadline. After a failure the
 * session stays where it was, and its client is read again. READY may last as long as its owner
 * wants. A session with something that cannot be carried over (temp tables, advisory locks, cursors
 * WITH HOLD, …) stays as well: see session_probe.h.
 *
 * A PREPARED connection that is not wanted is closed after some minutes.
 *
 * All of it runs on the session's worker.
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

/* Whether the session could be moved, as far as that is known without asking its server: else *why
 * is the word for it ("passthrough login", "temp table", "replication", …). Being in a transaction
 * is no reason: transactions end. */
bool rehome_can(const struct session *s, const char **why);

/* Called once for each call of rehome_to(). e is NULL: the stage was reached; else it says why not.
 * Where the session is ending, only its id may be read. SQLSTATE 57014: another caller has dropped
 * the move, or has taken it over; the session must not be touched. With any other error the move
 * was given up, and the session stays where it is. */
typedef void rehome_done_fn(void *arg, struct session *s, const struct err *e);

struct rehome_want {
	struct node_live *live; /* the node to go to; a reference is taken */
	const char *dbname;     /* the database's name there; NULL: as the configuration says */
	/* Monotonic; 0: server_connect_timeout from now on. It ends the wait for the stage that is
	 * wanted. READY has no end. */
	int64_t deadline_us;
	/* a PAUSE keeps the session READY: at its end the move is dropped */
	bool frozen;
	rehome_done_fn *done;
	void *arg;
};

enum rehome_stage { REHOME_NONE, REHOME_PREPARED, REHOME_READY, REHOME_SWAPPED };

/* Bring the session to that stage. A session that is being moved already gets the new owner,
 * deadline and goal, and begins anew where that is another place. `done` may be called before this
 * returns. */
void rehome_to(struct session *s, enum rehome_stage goal, const struct rehome_want *want);
/* The node that the session would be attached to now, in that region (NULL: wherever its route
 * leads); borrowed. NULL and *e: there is none. */
struct node_live *rehome_choose(struct session *s, const char *region, struct err *e);
/* The stage that was reached. */
enum rehome_stage rehome_stage(const struct session *s);
/* Whether a caller waits for a stage that was not reached yet. */
bool rehome_in_progress(const struct session *s);
/* What the relay asks (proxy/session/observers.h). */
extern const struct observer rehome_observer;
/* Give the move up: the new connection is closed, the client is read again. Idempotent. */
void rehome_drop(struct session *s);

#endif
