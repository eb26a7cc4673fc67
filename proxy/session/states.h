/* SPDX-License-Identifier: PostgreSQL
 *
 * The states of a session, in one table: label, what bounds the stay, whether the client can be
 * sent an ErrorResponse, legal successors. FAREWELL and CLOSED can be reached from everywhere.
 * `meridian --dump-states` prints the table for graphviz.
 */
#ifndef PROXY_SESSION_STATES_H
#define PROXY_SESSION_STATES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* clang-format off */
#define TO(state) (1u << SESSION_##state)
#define SESSION_STATES(S)                                                                          \
	S(NEW,           "new",           "",         false, TO(PROXY_HEADER) | TO(PREFACE))       \
	S(PROXY_HEADER,  "proxy header",  "login",    false, TO(PREFACE))                          \
	S(PREFACE,       "preface",       "login",    true,  TO(TLS_HELLO) | TO(TLS_HANDSHAKE) |   \
	                                                     TO(THROTTLED) |                       \
	                                                     TO(LOOKUP) | TO(AUTH) |               \
	                                                     TO(ATTACHING) | TO(CONSOLE_LOGIN) |   \
	                                                     TO(CONSOLE) | TO(CANCELLING) |        \
	                                                     TO(PEER) | TO(HTTP) | TO(PAUSED))     \
	S(TLS_HELLO,     "tls hello",     "login",    false, TO(TLS_HANDSHAKE))                    \
	S(TLS_HANDSHAKE, "tls handshake", "login",    false, TO(STARTUP))                          \
	S(STARTUP,       "startup",       "login",    true,  TO(THROTTLED) |                       \
	                                                     TO(LOOKUP) | TO(AUTH) |               \
	                                                     TO(ATTACHING) | TO(CONSOLE_LOGIN) |   \
	                                                     TO(CONSOLE) | TO(CANCELLING) |        \
	                                                     TO(PEER) | TO(HTTP) | TO(PAUSED))     \
	S(HTTP,          "http",          "http",     true,  TO(PREFACE) | TO(THROTTLED) |         \
	                                                     TO(LOOKUP) |                          \
	                                                     TO(ATTACHING) | TO(PAUSED))           \
	S(THROTTLED,     "throttled",     "login",    true,  TO(LOOKUP) | TO(AUTH) |               \
	                                                     TO(ATTACHING) | TO(HTTP) |            \
	                                                     TO(PAUSED) | TO(CONSOLE_LOGIN))       \
	S(LOOKUP,        "looking up",    "login",    true,  TO(AUTH) | TO(ATTACHING) | TO(HTTP) | \
	                                                     TO(PAUSED))                           \
	S(AUTH,          "authenticating", "login",   true,  TO(ATTACHING) | TO(PAUSED))           \
	S(PAUSED,        "paused",        "",         true,  TO(ATTACHING))                        \
	S(ATTACHING,     "attaching",     "login",    true,  TO(LOGIN) | TO(RELAY))                \
	S(LOGIN,         "login",         "login",    true,  TO(RELAY) | TO(SQL) | TO(HTTP))       \
	S(SQL,           "sql",           "idle",     true,  TO(HTTP))                             \
	S(RELAY,         "relay",         "idle",     true,  0)                                    \
	S(PEER,          "peer",          "login",    false, TO(CANCELLING))                       \
	S(CANCELLING,    "cancelling",    "login",    false, 0)                                    \
	S(CONSOLE_LOGIN, "console login", "login",    true,  TO(CONSOLE))                          \
	S(CONSOLE,       "console",       "",         true,  0)                                    \
	S(FAREWELL,      "farewell",      "farewell", false, 0)                                    \
	S(CLOSED,        "closed",        "",         false, 0)

enum session_state {
#define S(id, label, deadline, speaks, to) SESSION_##id,
	SESSION_STATES(S)
#undef S
	SESSION_STATE_COUNT
};
/* clang-format on */

struct session_state_row {
	const char *name;     /* "PROXY_HEADER" */
	const char *label;    /* "proxy header" */
	const char *deadline; /* "login", "http", "idle", "farewell", "" */
	bool speaks;
	uint32_t to; /* bits of legal successors */
};

const struct session_state_row *session_state_row(enum session_state s);
/* Append the machine as a graph in graphviz' language. */
void session_states_dot(struct buf *out);
bool session_state_may(enum session_state from, enum session_state to);

#endif
