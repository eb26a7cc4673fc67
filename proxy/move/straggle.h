/* SPDX-License-Identifier: PostgreSQL
 *
 * Stragglers: sessions that a migration has frozen (migration/gate.h) and that did not come to the
 * end of their transaction in time. What their server says reaches the client no more until it is
 * known what became of the transaction; then the client hears that, and never anything else:
 *
 *   idle in it       rolled back by us on its own connection, which stays good
 *   a statement is   the migration ends the server process and asks what became of it (settle):
 *   under way          answered after all   what the server has said goes to the client
 *                      aborted              40001, and so on (protocol/aborted.h)
 *                      committed            COMMIT, where that is all that is awaited; else MR006
 *                      unknown              MR006, and the connection ends
 *
 * Where the freeze ends, as a lease does, and nobody has said it, the client is let through to its
 * server again; where that has gone meanwhile it is unknown.
 *
 * Nothing is said to a client that awaits nothing. Its connection stays, unless its server
 * connection held more than settings and statements of a transaction pool: then it is told to
 * reconnect (57P01) when it has ended its transaction.
 *
 * A server that dies while its session is frozen between two transactions is no straggler, but the
 * client does not hear of it either: it is moved, or told to reconnect, when the freeze ends.
 *
 * All of it on the session's worker.
 */
#ifndef PROXY_MOVE_STRAGGLE_H
#define PROXY_MOVE_STRAGGLE_H

#include <stdbool.h>
#include <stddef.h>

#include "migration/gate.h"

struct observer;
struct session;

/* Take hold of a session in a transaction (pause_is_open(), state RELAY). False: it comes to its
 * end by itself, `ready` will be called (once). True: straggle_tell() has it for the migration now,
 * or nothing has to be done. */
bool straggle_begin(struct session *s, void (*ready)(void *arg), void *arg);
/* What the migration is to find out of; false: nothing. */
bool straggle_tell(const struct session *s, struct gate_straggler *out);
/* What became of it. False: the server has not closed the connection yet, which may bring the
 * truth: `ready` will be called (once). */
bool straggle_settle(struct session *s, int outcome, void (*ready)(void *arg), void *arg);
/* The client is being answered in the place of its server. */
bool straggle_is_settled(const struct session *s);
/* Its server's end is not for the client: its session is frozen between two transactions. */
bool straggle_may_lose(const struct session *s);
void straggle_lose(struct session *s);
/* That has happened. */
bool straggle_has_lost(const struct session *s);
/* What the server may yet say or do is awaited. */
bool straggle_is_open(const struct session *s);
/* What the session had on its server is gone. */
bool straggle_is_doomed(const struct session *s);
/* It cannot be moved, but it is to end its transaction first: then it is told to reconnect. False:
 * nothing of that kind is open. */
bool straggle_dooms(struct session *s);

extern const struct observer straggler_observer;

/* Where s->straggle is not NULL: */
/* Nothing keeps the client any more. */
void straggle_go_on(struct session *s);

#endif
