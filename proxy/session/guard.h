/* SPDX-License-Identifier: PostgreSQL
 *
 * Guessing passwords: which logins are refused because those before them have failed
 * (proxy/auth/throttle.h). The address that counts is that of the client, as a trusted load
 * balancer has told it; where one has not, nobody can be told from anybody, and nothing is counted.
 */
#ifndef PROXY_SESSION_GUARD_H
#define PROXY_SESSION_GUARD_H

#include <stdbool.h>

#include "proxy/session/session_int.h"

/* The startup packet has been read: may this user try from there? Also when a proof has come: of
 * many that try at once only the first ones may. False: the session is closed. */
bool guard_admits(struct session *s);
/* Its password was wrong, we or the node say. */
void guard_failed(struct session *s);
/* It has proven itself. */
void guard_passed(struct session *s);

#endif
