/* SPDX-License-Identifier: PostgreSQL
 *
 * Guessing passwords: which logins are refused because those before them have failed
 * (proxy/auth/throttle.h). The address that counts is that of the client, as a trusted load
 * balancer has told it; where one has not, nobody can be told from anybody, and nothing is counted.
 */
#ifndef PROXY_LOGIN_GUARD_H
#define PROXY_LOGIN_GUARD_H

#include <stdbool.h>

#include "proxy/session/session_int.h"

/* The startup packet has been read. True: it may go on. False: the session waits for its turn
 * (state THROTTLED, then `go_on` is called), or is closed. */
bool guard_begin(struct session *s, void (*go_on)(struct session *s));
/* It has proven itself, or is about to do so to the node: is it let in? Also of those that began
 * before the others had failed. False: the session is closed. */
bool guard_admits(struct session *s);
/* Its password was wrong, we or the node say. False: too many were before it, and the session is
 * closed: its client is told nothing of the password. */
bool guard_failed(struct session *s);
/* It has proven itself, and is let in. */
void guard_passed(struct session *s);
/* What the login holds of it. */
void guard_forget(struct login *l);

#endif
