/* SPDX-License-Identifier: PostgreSQL
 *
 * Against guessing passwords: refuses logins because others before them have failed
 * (proxy/auth/throttle.h). It counts by the client's address, as a trusted load balancer has told
 * it; behind a balancer that has told none the clients cannot be distinguished, and nothing is
 * counted.
 */
#ifndef PROXY_LOGIN_GUARD_H
#define PROXY_LOGIN_GUARD_H

#include <stdbool.h>

#include "proxy/session/session_int.h"

/* The startup packet has been read. True: the login may go on. False: it waits for its turn (state
 * THROTTLED, then `go_on` is called), or the session is closed. */
bool guard_begin(struct session *s, void (*go_on)(struct session *s));
/* The client has proven itself, or is about to do so at the node: is it let in? Asked also for
 * logins that began before the others had failed. False: the session is closed. */
bool guard_admits(struct session *s);
/* The client's password was wrong, by our check or the node's. False: too many failed before it,
 * and the session is closed: the client does not learn whether its password was right. */
bool guard_failed(struct session *s);
/* The client has proven itself, and is let in. */
void guard_passed(struct session *s);
/* Free what the login holds for this. */
void guard_forget(struct login *l);

#endif
