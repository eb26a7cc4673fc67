/* SPDX-License-Identifier: PostgreSQL
 *
 * Meridian logs in to the node itself: with what its own authentication of the client has left
 * (proxy/auth/credential.h), or with a password that the client has sent in clear, without being
 * asked (Neon's driver over a WebSocket) or in the header of POST /sql. The node's requests are
 * answered here and do not reach the client: cleartext, MD5, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS.
 * The node's verdict does reach it.
 *
 * As with libpq, a password is sent in the form that the node asks for: an operator who does not
 * want nodes to get passwords in clear sets the region's sslmode.
 *
 * One object is for one login of one connection. A password that was sent in clear is kept here
 * only, until the login is over, and is then wiped (INV-20).
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
/* Takes a reference of its own; NULL: a credential that answers nothing. */
struct ownlogin *ownlogin_new_credential(struct credential *c);
void ownlogin_free(struct ownlogin *o); /* accepts NULL */

/* To be called before an answer: the connection's TLS towards the node (NULL: none; borrowed until
 * the login is over), and what the operator wants of it. Where it is not called, there is no TLS,
 * and no binding is wanted. */
void ownlogin_on_channel(struct ownlogin *o, const struct ssl_st *ssl, enum binding_mode mode);

/* For keys that are made on a thread of their own: ownlogin_answer() then appends nothing, and
 * `done` is called later, on the thread of `home`, with the answer, or with why it failed (`failed`
 * not NULL). Where it is not set, the keys are made in ownlogin_answer(). */
struct ownlogin_away {
	struct keymaker *maker;
	struct mailbox *home;
	void (*ready)(void *arg, struct slice reply, const struct err *failed);
	void *arg;
};
void ownlogin_may_wait(struct ownlogin *o, const struct ownlogin_away *away);

/* A request of the node: append to `out` the answer (nothing, where none is due). -1 and *e: 28000
 * a request that the credential cannot answer, or a channel that is not bound; 08P01 or 28P01 a
 * node that breaks the exchange. */
int ownlogin_answer(struct ownlogin *o, struct slice user, const struct message_auth *auth,
		    struct buf *out, struct err *e) MUST_CHECK;

/* A hint for the operator when the node has refused the login, or NULL: why a credential that was
 * good enough for us may not be for the node. */
const char *ownlogin_suspicion(const struct ownlogin *o);

#endif
