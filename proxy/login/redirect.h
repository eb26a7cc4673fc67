/* SPDX-License-Identifier: PostgreSQL
 *
 * Clients that come by the region that their database has left: forwarded, told so where the
 * operator wants it (redirect_notice), and refused when forwarding has ended and there is an
 * address to send them to (entry of the region that serves them now).
 */
#ifndef PROXY_LOGIN_REDIRECT_H
#define PROXY_LOGIN_REDIRECT_H

#include <stdbool.h>

#include "base/buf.h"

struct session;

/* Before the session gets a server. False: it was refused, and is over. */
bool redirect_admits(struct session *s);
/* It is let in: counted, and the notice goes in front of its first ReadyForQuery. */
void redirect_welcome(struct session *s, struct buf *out);

#endif
