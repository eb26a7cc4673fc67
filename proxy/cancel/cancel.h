/* SPDX-License-Identifier: PostgreSQL
 *
 * Cancel keys and cancel requests. A session's client gets a process id and a secret of ours; who
 * says both has its query cancelled, wherever the session has moved: every worker is asked, and
 * where none of them knows the key, the proxy of the fleet that issued it (peers.h).
 *
 * The process id is the node's own while the session cannot get another server connection, for
 * tools take it for pg_backend_pid(); else it is a number of ours. The secret has four bytes, or
 * under protocol 3.2 what protocol/fleetkey.h makes of a token (without a fleet, 32 random bytes).
 * Meridian speaks 3.2 with clients that ask for it, whatever the node speaks: the two protocols
 * differ in nothing else.
 */
#ifndef PROXY_CANCEL_CANCEL_H
#define PROXY_CANCEL_CANCEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "protocol/fleetkey.h"
#include "protocol/startup.h"

struct server;
struct session;
struct worker;
struct world;

/* Give the session a key and append BackendKeyData. `sv`: its server connection; NULL: it gets one
 * for each transaction. Needs s->login. */
void cancel_give_key(struct session *s, const struct server *sv, struct buf *out);
/* The minor version of the protocol 3 that the client speaks with us: 0 to 2. */
uint16_t cancel_client_minor(const struct startup *st);

/* A cancel request, on its way through the workers and perhaps to a peer. */
struct cancel_job {
	struct worker *worker; /* the worker of the session that asks */
	struct world *world;   /* one reference */
	uint64_t session_id;   /* that session, which may have ended meanwhile */
	uint32_t slot;
	uint32_t pid;
	uint16_t awaited; /* workers that have not answered */
	bool found;       /* one of them had the session */
	/* another proxy asks: it is answered, and no further proxy is asked */
	bool from_peer;
	bool boxed;           /* `box` is set, and the secret is its token */
	struct addr source;   /* the address of the client that asks */
	struct fleet_box box; /* what was sealed in the secret */
	uint16_t secret_len;
	uint8_t secret[STARTUP_CANCEL_KEY_MAX];
};

/* A CancelRequest has come. */
void cancel_begin(struct session *s, const struct startup *request);
/* A peer has handed on a request. */
void cancel_begin_for_peer(struct session *s, const struct fleet_letter *letter);
void cancel_on_client(struct session *s);
/* No worker or peer is left to ask: answer the client or the peer, and free the job. */
void cancel_finish(struct cancel_job *take_job, bool found);
/* The session ends: if it is in the middle of a query, ask the node to cancel that. */
void cancel_server(struct session *s);

#endif
