/* SPDX-License-Identifier: PostgreSQL
 *
 * What each worker counts. Only the owner writes (no read-modify-write instruction is needed); any
 * thread may read. SHOW STATS, SHOW WORKERS and the manual are made from one table.
 */
#ifndef PROXY_PROCESS_STATS_H
#define PROXY_PROCESS_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/histogram.h"
#include "base/slice.h"
#include "protocol/sqlstate.h"
#include "routing/locality.h"
#include "routing/route.h"

/* name, what it counts */
#define STATS_COUNTERS(C)                                                                      \
	C(clients_accepted, "connections accepted")                                            \
	C(clients_refused, "connections refused at max_client_conn")                           \
	C(clients_without_descriptors, "connections refused because no descriptors were left") \
	C(logins, "sessions that reached ReadyForQuery")                                       \
	C(login_failures, "sessions that ended before it")                                     \
	C(logins_throttled, "logins refused because too many before them had failed")          \
	C(logins_delayed, "logins that waited their turn because too many had failed")         \
	C(auth_queries, "users that auth_query was asked for")                                 \
	C(auth_query_failures, "of those, the ones that no node could be asked for")           \
	C(cancels, "cancel requests that found their session")                                 \
	C(cancels_unknown, "cancel requests that found none")                                  \
	C(cancels_handed_on, "cancel requests whose session a peer had")                       \
	C(cancels_of_peers, "cancel requests that peers handed on to us")                      \
	C(cancels_direct, "cancel requests told to the node of a proxy that is gone")          \
	C(cancels_limited, "cancel requests not handed on: too many, or too many that missed") \
	C(peers_refused, "letters of peers refused: not of this fleet, or for another proxy")  \
	C(attempts, "connections begun to nodes")                                              \
	C(attempt_failures, "connections to nodes that failed, unseen by the client")          \
	C(hedges, "second attempts begun beside a slow first one")                             \
	C(hedges_won, "second attempts that answered first")                                   \
	C(pool_lent, "server connections of pools lent to sessions")                           \
	C(pool_waited, "of those, the ones that a session had to wait for")                    \
	C(rehomed, "sessions that were moved to another server connection")                    \
	C(aborted, "transactions that were ended because their database was being moved")      \
	C(queries, "queries, executions and function calls sent by clients")                   \
	C(transactions, "times that a node was ready for a query outside a transaction")       \
	C(rx_bytes, "bytes from clients")                                                      \
	C(tx_bytes, "bytes to clients")                                                        \
	C(tls_handshakes, "TLS handshakes with clients")                                       \
	C(tls_resumed, "TLS handshakes with clients that were resumed from a ticket")          \
	C(proxy_headers, "PROXY headers accepted")                                             \
	C(proxy_headers_refused, "PROXY headers malformed, missing or from peers not trusted") \
	C(headers_ignored, "HTTP headers of places and addresses from peers not trusted")      \
	C(claims_ignored, "self-declared places ignored under residency = strict")             \
	C(settings, "meridian.* settings taken from queries: SET and set_config()")            \
	C(settings_wrong, "of such, those whose value is none and does not count")             \
	C(reads_near, "transactions that a standby nearby has run (reads = nearest)")          \
	C(reads_home, "of such sessions, those that ran at home")                              \
	C(reads_behind, "of those, reads that no standby nearby had replayed enough for")      \
	C(reads_again, "of those, what a standby had refused and home was asked again")        \
	C(consoles, "console sessions")                                                        \
	C(http_requests, "HTTP requests whose head was read")                                  \
	C(http_errors, "HTTP answers that are errors (4xx, 5xx)")                              \
	C(http_websockets, "sessions that came by WebSocket")                                  \
	C(http_tunnels, "sessions that came by CONNECT")                                       \
	C(http_sql, "requests of POST /sql that became sessions")                              \
	C(http_streams_refused, "WebSocket and CONNECT requests refused at http_max_streams")  \
	C(failover_waits, "logins that waited for a node, which no region had (failover_wait)")

/* The sender of an ErrorResponse. */
enum error_source { ERROR_OF_MERIDIAN, ERROR_OF_NODE, ERROR_SOURCES };

#define STATS_STATUS_FIRST 100
#define STATS_STATUSES     500

/* As many as there are in enum session_state and enum why (proxy/session/states.h, why.h), which
 * session.c checks … */
#define STATS_STATES 21
#define STATS_WHYS   37
/* … and in enum server_place (proxy/session/server.h). */
#define STATS_POOL_PLACES 6

/* All of it are 64-bit counters: stats_sum() relies on that. */
struct stats {
#define C(name, text) _Atomic uint64_t name;
	STATS_COUNTERS(C)
#undef C
	_Atomic uint64_t why[STATS_WHYS];         /* sessions ended, by reason */
	_Atomic uint64_t located[SOURCE_COUNT];   /* localities decided, by winning source */
	_Atomic uint64_t claimed[SOURCE_COUNT];   /* claims made, by source */
	_Atomic uint64_t untrusted[SOURCE_COUNT]; /* of those, ignored: not trusted */
	_Atomic uint64_t states[STATS_STATES];    /* sessions in each state now */
	_Atomic uint64_t pool_servers[STATS_POOL_PLACES]; /* connections in each place now */
	/* sessions that wait for a connection now */
	_Atomic uint64_t pool_waiting;
	_Atomic uint64_t routes[SOURCE_COUNT][ROUTE_OUTCOMES];
	/* by row of the table of SQLSTATEs */
	_Atomic uint64_t errors[ERROR_SOURCES][SQLSTATE_ROWS_MAX];
	_Atomic uint64_t http_answers[STATS_STATUSES]; /* by status */
	struct histogram login;                        /* from accept() to ReadyForQuery */
	struct histogram attach;    /* from the route's decision to the answer of a node */
	struct histogram http;      /* from an HTTP request's head to its answer */
	struct histogram pool_wait; /* of a session, for a connection of a pool */
	struct histogram attempt;   /* one connection: from its beginning to the node's answer */
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

const char *stats_error_source(enum error_source s); /* "meridian", "node" */

/* Add one to a gauge, or take one off. */
static inline void
stat_enter(_Atomic uint64_t *gauge)
{
	stat_add(gauge, 1);
}

static inline void
stat_leave(_Atomic uint64_t *gauge)
{
	stat_add(gauge, UINT64_MAX);
}

/* An ErrorResponse was sent, or received. */
void stats_error(struct stats *s, enum error_source source, struct slice sqlstate);
void stats_http_answer(struct stats *s, int status);
/* Add another thread's counters, as they are now, to the caller's sum. */
void stats_sum(struct stats *sum, const struct stats *other);

struct stats_row {
	const char *name, *text;
	size_t offset; /* into struct stats */
};

/* The table, SHOW STATS order. */
const struct stats_row *stats_rows(size_t *n);

#endif
