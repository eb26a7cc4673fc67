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

/* Give the session a key and append BackendKeyData. `sv`: the server connection that it has, or
 * NULL where it will get one for each transaction. Needs s->login. */
void cancel_give_key(struct session *s, const struct server *sv, struct buf *out);
/* The protocol that the client speaks with us: 0 to 2, of 3.x. */
uint16_t cancel_client_minor(const struct startup *st);

/* A request: on its way through the workers, and then perhaps to a peer. */
struct cancel_job {
	struct worker *worker; /* of the session that asks */
	struct world *world;   /* one reference */
	uint64_t session_id;   /* … which may be gone by the time */
	uint32_t slot;
	uint32_t pid;
	uint16_t awaited;     /* workers that have not answered */
	bool found;           /* one of them had the session */
	bool of_peer;         /* another proxy asks: it is told, and nobody else is asked */
	bool boxed;           /* `box` is set, and the secret is its token */
	struct addr source;   /* who asks */
	struct fleet_box box; /* what the secret was */
	uint16_t secret_len;
	uint8_t secret[STARTUP_CANCEL_KEY_MAX];
};

/* A CancelRequest has come. */
void cancel_begin(struct session *s, const struct startup *request);
/* A peer asks the same. */
void cancel_begin_of_peer(struct session *s, const struct fleet_letter *letter);
void cancel_on_client(struct session *s);
/* Nobody remains to be asked: the requester is told, and the job is freed. */
void cancel_over(struct cancel_job *take_job, bool found);
/* The session ends: if it is in the middle of a query, ask the node to stop that. */
void cancel_server(struct session *s);

#endif
