/* SPDX-License-Identifier: PostgreSQL
 *
 * A password that a client says in front of being asked: Neon's driver sends it, and its first
 * queries, right behind the startup packet, all in one frame of its WebSocket (pipelineConnect =
 * "password").
 */
#ifndef PROXY_LOGIN_EARLY_PASSWORD_H
#define PROXY_LOGIN_EARLY_PASSWORD_H

#include <stdbool.h>

#include "base/slice.h"

struct session;

/* Take it from the login's inbox, into login->said. `needed`: it will be used, so it must have come
 * over a connection that is private. PARSE_DONE: there was none, or it has been taken; PARSE_MORE:
 * it has not come whole; PARSE_BAD: the session is over. */
enum parse early_password(struct session *s, bool needed) MUST_CHECK;

#endif
