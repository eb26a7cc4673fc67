/* SPDX-License-Identifier: PostgreSQL
 *
 * A password that a client sends without being asked: Neon's driver sends it, and its first
 * queries, right behind the startup packet, all in one frame of its WebSocket (pipelineConnect =
 * "password").
 */
#ifndef PROXY_LOGIN_EARLY_PASSWORD_H
#define PROXY_LOGIN_EARLY_PASSWORD_H

#include <stdbool.h>

#include "base/slice.h"

struct session;

/* Take it from the login's inbox into login->said. `needed`: it will be used, so it must have come
 * over a private connection. PARSE_DONE: it was taken, or there was none; PARSE_MORE: it is not
 * complete yet; PARSE_BAD: the session is over. */
enum parse early_password(struct session *s, bool needed) MUST_CHECK;

#endif
