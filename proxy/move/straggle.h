/* SPDX-License-Identifier: PostgreSQL
 *
 * Stragglers: sessions that a migration has frozen (migration/gate.h) and that did not come to the
 * end of their transaction in time. The client hears no more from its server until it is known what
 * became of the transaction; then it hears that, and nothing that contradicts it (INV-21):
 *
 *   idle in it       we roll it back on its own connection, which stays good
 *   a statement is   the migration ends the server process and asks what became of it (settle):
 *   under way          answered after all   the client hears what the server has said
 *                      aborted              40001, and so on (protocol/aborted.h)
 *                      committed            COMMIT, where that is all it awaits; else MR006
 *                      unknown              MR006, and the connection ends
 *
 * If the freeze ends before the migration has said it, as a lease does, the client gets its server
 * back; if that connection has ended meanwhile, the outcome is unknown.
 *
 * A client that awaits nothing is sent nothing. Its connection stays, unless its server connection
 * held more than settings and statements of a transaction pool: then it is told to reconnect
 * (57P01) at the end of its transaction.
 *
 * A session whose server goes while it is frozen between two transactions is no straggler, and its
 * client does not hear of it: it is moved, or told to reconnect, when the freeze ends.
 *
 * All of it runs on the session's worker.
 */
#ifndef PROXY_MOVE_STRAGGLE_H
#define PROXY_MOVE_STRAGGLE_H

#include <stdbool.h>
#include <stddef.h>

#include "migration/gate.h"

struct observer;
struct session;

/* Take hold of a session in a transaction (pause_is_open(), state RELAY). False: our ROLLBACK is
 * outstanding, and `ready` will be called once. True: straggle_describe() gives it to the
 * migration, or nothing has to be done. */
bool straggle_begin(struct session *s, void (*ready)(void *arg), void *arg);
/* Fill in what the migration is to find out about. False: nothing. */
bool straggle_describe(const struct session *s, struct gate_straggler *out);
/* The migration says what became of the transaction. False: the server has not closed the
 * connection yet, and its last bytes may answer the question: `ready` will be called once. */
bool straggle_settle(struct session *s, int outcome, void (*ready)(void *arg), void *arg);
/* Whether we answer the client in its server's place. */
bool straggle_answers_client(const struct session *s);
/* Whether the end of the server connection is to be hidden from the client: the session is frozen
 * between two transactions. */
bool straggle_hides_server_end(const struct session *s);
void straggle_server_ended(struct session *s);
/* Whether the server's answer or end is still awaited. */
bool straggle_is_open(const struct session *s);
/* Whether the client will be told to reconnect: what the session had on its server is lost, or
 * could not be moved. */
bool straggle_must_reconnect(const struct session *s);
/* The session cannot be moved. Where the client is still being answered in the server's place, it
 * finishes its transaction first and is then told to reconnect. False: it is not. */
bool straggle_reconnects_later(struct session *s);

extern const struct observer straggler_observer;

/* Where s->straggle is not NULL: */
/* Nothing keeps the client from being read any more. */
void straggle_proceed(struct session *s);

#endif
