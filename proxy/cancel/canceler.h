/* SPDX-License-Identifier: PostgreSQL
 *
 * A cancel request on its way to a node: it dials as the session was dialled, says the node's own
 * key, and is over when the node closes the connection, for by then it has signalled its process.
 *
 * While one is under way for a server connection (server.cancels), that may not be lent to another
 * session, or the request could hit that. It may die meanwhile: who frees a server connection calls
 * canceler_forget().
 */
#ifndef PROXY_CANCEL_CANCELER_H
#define PROXY_CANCEL_CANCELER_H

#include <stdbool.h>
#include <stdint.h>

struct fleet_box;
struct server;
struct session;
struct worker;

/* Called once, on the worker. */
typedef void canceler_done_fn(void *arg);

/* For the server connection that the session has. False, and `done` is not called: there is nobody
 * to ask. */
bool canceler_for_session(struct session *s, canceler_done_fn *done, void *arg);
/* For a session that is over in the middle of a query: takes its connection, and keeps that until
 * the node closes it, asking again and again; a request that overtakes its query is lost. */
void canceler_for_orphan(struct session *s);
/* For the server connection that a box names, of a proxy that is gone. Only nodes that stand in the
 * configuration are dialled. False: as above. */
bool canceler_for_box(struct worker *w, uint32_t pid, const struct fleet_box *box,
		      canceler_done_fn *done, void *arg);
/* The server connection is being freed. */
void canceler_forget(struct server *sv);

#endif
