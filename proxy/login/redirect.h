/* SPDX-License-Identifier: PostgreSQL
 *
 * Clients that come by the region that their database has left: they are forwarded, told so where
 * the operator wants it (redirect_notice), and refused when forwarding has ended and there is an
 * address to send them to (`entry` of the region that serves the database now).
 */
#ifndef PROXY_LOGIN_REDIRECT_H
#define PROXY_LOGIN_REDIRECT_H

#include <stdbool.h>

#include "base/buf.h"

struct session;

/* Called before the session gets a server. False: it was refused, and is over. */
bool redirect_admits(struct session *s);
/* The client is let in: count it, and put the notice before its first ReadyForQuery. */
void redirect_welcome(struct session *s, struct buf *out);

#endif
