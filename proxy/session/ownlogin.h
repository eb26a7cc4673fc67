/* SPDX-License-Identifier: PostgreSQL
 *
 * Meridian logs in to the node itself, with a password that the client has said in clear: in front
 * of being asked (Neon's driver over a WebSocket), or in the header of POST /sql. The node's
 * requests are answered here and do not reach the client: cleartext, MD5, SCRAM-SHA-256. What the
 * node thinks of the password does. It is sent as the node asks for it, as libpq has it: whoever
 * does not want a node to be told a password in clear sets the region's sslmode.
 *
 * The password lives here alone, until the login is over, and is wiped then.
 */
#ifndef PROXY_SESSION_OWNLOGIN_H
#define PROXY_SESSION_OWNLOGIN_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"
#include "protocol/message.h"

struct ownlogin;

/* Copies the password. */
struct ownlogin *ownlogin_new(struct slice password);
void ownlogin_free(struct ownlogin *o); /* accepts NULL */

/* A request of the node: append to `out` what answers it (nothing, where nothing is due). -1 and
 * *e: 28000 a method that is not known here, 08P01 or 28P01 a node that breaks the exchange. */
int ownlogin_answer(struct ownlogin *o, struct slice user, const struct message_auth *auth,
		    struct buf *out, struct err *e) MUST_CHECK;

#endif
