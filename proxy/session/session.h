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

struct authority;
struct session;
struct world;

/* End it: the client is told (FATAL, at a message boundary) where it can be, then everything is
 * closed. First caller wins. `detail` may be NULL. */
void session_close(struct session *s, enum why why, const char *detail) __attribute__((cold));

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

/* Who wants a route. */
struct route_wish {
	struct slice database; /* as clients say it */
	enum access access;
	const struct locality *locality;
	int sticky_region; /* where callers of that place were last, or -1 */
	uint64_t seed;
	const struct authority *as_if; /* as if that were decided; NULL: what is */
};

/* Served regions from the database's section or from what a migration has decided, policy from
 * [meridian]. */
void locate_route(const struct world *w, const struct route_wish *wish, struct route *out);
/* What a migration has decided of this database; NULL: nothing. */
const struct authority *locate_authority(const struct world *w, struct slice database);
/* The name of this database on nodes, as the configuration has it: what migrations call it. */
struct slice locate_configured_dbname(const struct world *w, struct slice database);
/* … and where it is served now. */
struct slice locate_dbname(const struct world *w, struct slice database);

#endif
