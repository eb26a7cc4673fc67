/* SPDX-License-Identifier: PostgreSQL
 *
 * A cancel request on its way to a node. It dials as the session was dialled, sends the node's own
 * key, and is over when the node closes the connection: by then the node has signalled its process.
 *
 * While a request is under way for a server connection (server.cancels), that connection must not
 * be lent to another session, whose query could be cancelled. The connection may be freed
 * meanwhile: then canceler_forget() is called.
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

/* For the session's server connection. False: it has none that can be asked, and `done` is not
 * called. */
bool canceler_for_session(struct session *s, canceler_done_fn *done, void *arg);
/* For a session that ends in the middle of a query: takes its server connection and keeps it until
 * the node closes it. The request is repeated until then, since one that overtakes its query is
 * lost. */
void canceler_for_orphan(struct session *s);
/* For the server connection that a box names, of a proxy that is gone. Only nodes in the
 * configuration are dialled. False: as above. */
bool canceler_for_box(struct worker *w, uint32_t pid, const struct fleet_box *box,
		      canceler_done_fn *done, void *arg);
/* The server connection is being freed. */
void canceler_forget(struct server *sv);

#endif
