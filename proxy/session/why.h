/* SPDX-License-Identifier: PostgreSQL
 *
 * Why a session ended: one table, rendered everywhere (log, ErrorResponse, counters, SHOW ERRORS).
 */
#ifndef PROXY_SESSION_WHY_H
#define PROXY_SESSION_WHY_H

#include <stddef.h>

#include "base/log.h"

/* id, log level, SQLSTATE ("" : the client is told nothing), counter, what the client is told */
#define WHY_TABLE(W)                                                                              \
	W(NONE, DEBUG, "", "none", "")                                                            \
	W(CLIENT_DONE, DEBUG, "", "client_done", "client disconnected")                           \
	W(CLIENT_GONE, INFO, "", "client_gone", "client closed the connection unexpectedly")      \
	W(CLIENT_ERROR, INFO, "", "client_error", "error on the client connection")               \
	W(LOGIN_TIMEOUT, INFO, "08P01", "login_timeout", "login took too long")                   \
	W(PROTOCOL, INFO, "08P01", "protocol_violation", "protocol violation")                    \
	W(HTTP, INFO, "08P01", "http", "HTTP request refused")                                    \
	W(HTTP_DONE, DEBUG, "", "http_done", "HTTP connection done")                              \
	W(WEBSOCKET, INFO, "", "websocket", "invalid WebSocket frame")                            \
	W(PING_TIMEOUT, INFO, "", "ping_timeout", "client does not answer WebSocket pings")       \
	W(PROXY_HEADER, INFO, "", "proxy_header", "invalid PROXY header")                         \
	W(TLS_HANDSHAKE, INFO, "", "tls_handshake", "TLS handshake failed")                       \
	W(TLS_REQUIRED, INFO, "28000", "tls_required", "this listener requires TLS")              \
	W(BAD_SETTING, INFO, "22023", "bad_setting", "invalid meridian setting")                  \
	W(TOO_MANY, INFO, "53300", "too_many_clients", "sorry, too many clients already")         \
	W(NO_ROUTE, WARNING, "08006", "no_route", "no region can take this session")              \
	W(CHANNEL_BINDING, INFO, "28000", "channel_binding",                                      \
	  "SCRAM channel binding cannot pass through this proxy")                                 \
	W(AUTH_FAILED, INFO, "28P01", "auth_failed", "password authentication failed")            \
	W(THROTTLED, INFO, "28000", "throttled", "too many failed logins")                        \
	W(LOOKUP_FAILED, WARNING, "08006", "lookup_failed",                                       \
	  "the user's secret could not be looked up")                                             \
	W(NOT_ALLOWED, INFO, "42501", "not_allowed", "permission denied")                         \
	W(SERVER_REFUSED, INFO, "", "server_refused", "the server refused the session")           \
	W(WRONG_ROLE, INFO, "08006", "wrong_role", "the node does not have the wanted role")      \
	W(SERVER_DIED, WARNING, "57P01", "server_died",                                           \
	  "server closed the connection unexpectedly")                                            \
	W(SERVER_ERROR, WARNING, "08006", "server_error", "error on the server connection")       \
	W(SERVER_PROTOCOL, WARNING, "08P01", "server_protocol",                                   \
	  "protocol violation by the server")                                                     \
	W(IDLE_TIMEOUT, INFO, "57P05", "client_idle_timeout",                                     \
	  "terminating connection due to client_idle_timeout")                                    \
	W(IDLE_TRANSACTION, INFO, "25P03", "idle_transaction_timeout",                            \
	  "terminating connection due to idle_transaction_timeout")                               \
	W(QUERY_TIMEOUT, INFO, "57014", "query_timeout",                                          \
	  "terminating connection due to query_timeout")                                          \
	W(QUERY_WAIT, INFO, "53300", "query_wait_timeout",                                        \
	  "no server connection became free within query_wait_timeout")                           \
	W(KILLED, INFO, "57P01", "killed", "terminating connection due to administrator command") \
	W(DRAINED, INFO, "57P01", "drained",                                                      \
	  "terminating connection because its region is being drained")                           \
	W(MOVED, INFO, "57P01", "moved", "this database has moved to another region")             \
	W(ENTRY_CLOSED, INFO, "57P03", "entry_closed",                                            \
	  "this database has moved, and is no longer forwarded to")                               \
	W(SHUTDOWN, INFO, "57P01", "shutdown", "the proxy is shutting down")                      \
	W(CANCEL_DONE, DEBUG, "", "cancel_done", "cancel request handled")                        \
	W(OUT_OF_MEMORY, ERROR, "53200", "out_of_memory", "out of memory")

enum why {
#define W(id, level, sqlstate, counter, text) WHY_##id,
	WHY_TABLE(W)
#undef W
	    WHY_COUNT
};

struct why_row {
	enum log_level level;
	const char *sqlstate, *counter, *text;
};

const struct why_row *why_get(enum why w);

#endif
