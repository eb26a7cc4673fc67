/* SPDX-License-Identifier: PostgreSQL
 *
 * What each worker counts. Only the owner writes (no read-modify-write instruction is needed); any
 * thread may read. One table: SHOW STATS, SHOW WORKERS and the manual are made from it.
 */
#ifndef PROXY_STATS_H
#define PROXY_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "proxy/session/why.h"
#include "routing/locality.h"

/* name, what it counts */
#define STATS_COUNTERS(C)                                                                      \
	C(clients_accepted, "connections accepted")                                            \
	C(clients_refused, "connections refused at max_client_conn")                           \
	C(logins, "sessions that reached ReadyForQuery")                                       \
	C(login_failures, "sessions that ended before it")                                     \
	C(cancels, "cancel requests that found their session")                                 \
	C(cancels_unknown, "cancel requests that found none")                                  \
	C(attempts, "connections begun to nodes")                                              \
	C(attempt_failures, "of those, failed before the client was told anything")            \
	C(hedges, "second attempts begun beside a slow first one")                             \
	C(hedges_won, "of those, the ones that answered first")                                \
	C(queries, "simple queries, syncs and function calls sent by clients")                 \
	C(rx_bytes, "bytes from clients")                                                      \
	C(tx_bytes, "bytes to clients")                                                        \
	C(tls_handshakes, "TLS handshakes with clients")                                       \
	C(tls_resumed, "of those, resumed from a ticket")                                      \
	C(proxy_headers, "PROXY headers accepted")                                             \
	C(proxy_headers_refused, "PROXY headers malformed, missing or from peers not trusted") \
	C(headers_ignored, "HTTP headers of places and addresses from peers not trusted")      \
	C(claims_ignored, "self-declared places ignored under residency = strict")             \
	C(consoles, "console sessions")                                                        \
	C(http_requests, "HTTP requests whose head was read")                                  \
	C(http_errors, "HTTP answers that are errors (4xx, 5xx)")                              \
	C(http_websockets, "sessions that came by WebSocket")                                  \
	C(http_tunnels, "sessions that came by CONNECT")                                       \
	C(http_streams_refused, "both of them, refused at http_max_streams")

struct stats {
#define C(name, text) _Atomic uint64_t name;
	STATS_COUNTERS(C)
#undef C
	_Atomic uint64_t why[WHY_COUNT];          /* sessions ended, by reason */
	_Atomic uint64_t located[SOURCE_COUNT];   /* localities decided, by winning source */
	_Atomic uint64_t claimed[SOURCE_COUNT];   /* claims made, by source */
	_Atomic uint64_t untrusted[SOURCE_COUNT]; /* of those, ignored: not trusted */
};

static inline void
stat_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline uint64_t
stat_get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

struct stats_row {
	const char *name, *text;
	size_t offset; /* into struct stats */
};

/* The table, SHOW STATS order. */
const struct stats_row *stats_rows(size_t *n);

#endif
