/* SPDX-License-Identifier: PostgreSQL
 *
 * Meridian logs in to the node itself: with what its own authentication of the client has left in
 * its hands (proxy/auth/credential.h), or with a password that the client has said in clear: in
 * front of being asked (Neon's driver over a WebSocket), or in the header of POST /sql. The node's
 * requests are answered here and do not reach the client: cleartext, MD5, SCRAM-SHA-256 and
 * SCRAM-SHA-256-PLUS. What the node thinks of the answer does. A password is sent as the node asks
 * for it, as libpq has it: whoever does not want a node to be told a password in clear sets the
 * region's sslmode.
 *
 * One login of one connection. What was said in clear lives here alone, until the login is over,
 * and is wiped then.
 */
#ifndef PROXY_SESSION_OWNLOGIN_H
#define PROXY_SESSION_OWNLOGIN_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"
#include "protocol/message.h"
#include "proxy/config/config.h"

struct credential;
struct keymaker;
struct mailbox;
struct ownlogin;
struct ssl_st;

/* Copies the password. */
struct ownlogin *ownlogin_new(struct slice password);
/* Takes a reference of its own; NULL is a credential of no use. */
struct ownlogin *ownlogin_new_credential(struct credential *c);
void ownlogin_free(struct ownlogin *o); /* accepts NULL */

/* In front of an answer: the connection's TLS towards the node (NULL: none; borrowed until the
 * login is over), and what the operator wants of it. Not called: as if there were none, and nothing
 * were wanted. */
void ownlogin_on_channel(struct ownlogin *o, const struct ssl_st *ssl, enum binding_mode mode);

/* Where making keys of a password takes a thread of its own: ownlogin_answer() appends nothing
 * then, and says later, on the thread of `home`, what it would have appended, or why it failed
 * (`failed` not NULL). Not called: it takes the time it takes. */
struct ownlogin_away {
	struct keymaker *maker;
	struct mailbox *home;
	void (*ready)(void *arg, struct slice reply, const struct err *failed);
	void *arg;
};
void ownlogin_may_wait(struct ownlogin *o, const struct ownlogin_away *away);

/* A request of the node: append to `out` what answers it (nothing, where nothing is due). -1 and
 * *e: 28000 a request that the credential cannot answer, or a channel that is not bound; 08P01 or
 * 28P01 a node that breaks the exchange. */
int ownlogin_answer(struct ownlogin *o, struct slice user, const struct message_auth *auth,
		    struct buf *out, struct err *e) MUST_CHECK;

/* What to tell the operator when the node has refused the login, or NULL: why a credential that was
 * good enough for us may not be for it. */
const char *ownlogin_suspicion(const struct ownlogin *o);

#endif
