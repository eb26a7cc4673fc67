/* SPDX-License-Identifier: PostgreSQL
 *
 * A session: one client connection and the server connection it is attached to. What others may
 * know of it; its inside is proxy/session/session_int.h. All of this on the worker that owns the
 * session.
 */
#ifndef PROXY_SESSION_SESSION_H
#define PROXY_SESSION_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/slice.h"
#include "proxy/session/why.h"
#include "routing/locality.h"
#include "routing/route.h"

struct session;
struct worker;

/* End it: the client is told (FATAL, at a message boundary) where it can be, then everything is
 * closed. First caller wins. `detail` may be NULL. */
void session_close(struct session *s, enum why why, const char *detail) __attribute__((cold));

/* That worker's session of that id; NULL: it is not here. */
struct session *session_by_id(const struct worker *w, uint64_t id);

/* What SHOW SESSIONS shows; strings are borrowed until the session runs again. */
struct session_facts {
	uint64_t id;
	int worker;
	struct slice database, user, application_name;
	struct addr client_addr; /* the peer of the socket */
	struct addr true_addr;   /* what a trusted PROXY header said, else the same */
	const char *listener;
	const char
	    *state; /* "preface", "attaching", "login", "idle", "active", "idle in transaction" … */
	const char *city, *country;
	enum locality_source source;
	enum confidence confidence;
	enum access access;      /* what it asked for, else the database's */
	char home[64];           /* region attached to, or "" */
	char node[128];          /* node attached to, or "" */
	const char *tls;         /* "TLSv1.3", or "" */
	const char *auth;        /* "scram-sha-256": how it has proven who it is */
	uint32_t hba_line;       /* of hba_file, that said so; or 0 */
	int64_t connected_at_us; /* wall clock */
	uint64_t rx_bytes, tx_bytes, queries;
	int64_t client_rtt_us, server_rtt_us; /* TCP_INFO; -1 unknown */
	const char *move_block;               /* why it cannot be moved now: "" it could */
	struct slice endpoint; /* the private endpoint of a cloud that it came through, or "" */
	uint32_t server_pid;
	const char *server_tls, *server_cipher; /* "" : none */
	bool console;
	bool pooled;           /* what server connection it has is a pool's */
	const char *transport; /* "tcp", "unix", "websocket", "connect", "sql" */
	const char *target;    /* what the client asked HTTP to connect to, or "" */
};

/* `deep` also asks the kernel for the round trips (two system calls). */
void session_facts(const struct session *s, bool deep, struct session_facts *out);

/* The claims of its locality (SHOW SESSION, EXPLAIN … SESSION). */
const struct claims *session_claims(const struct session *s);

/* State history, oldest first: when (wall clock), state, why. Returns how many (≤ max). */
struct session_step {
	int64_t at_us;
	const char *state;
	const char *note; /* reason of a close, node of an attempt …, or "" */
};
size_t session_history(const struct session *s, struct session_step *out, size_t max);

#endif
