/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/login/early_password.h"

#include <openssl/crypto.h>

#include "base/hot.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/credential.h"
#include "proxy/http/http.h"
#include "proxy/net/websocket.h"
#include "proxy/session/login_state.h"
#include "proxy/session/session_int.h"

#define PASSWORD_MESSAGE_MAX (64 * 1024) /* PostgreSQL's limit for authentication messages */

static void
refuse(struct session *s)
{
	struct err e;

	err_set(&e, SQLSTATE_INVALID_AUTHORIZATION,
		"a password in clear may not come over a connection that is not private");
	err_detail(&e, "The client sent it in front of being asked. That is taken inside TLS, from "
		       "a peer in trusted_proxies, and on the proxy's own host.");
	err_hint(&e, "Connect by wss://, or set pipelineConnect = false in the client.");
	session_close_err(s, WHY_NOT_ALLOWED, &e);
}

HOT enum parse
early_password(struct session *s, bool needed)
{
	struct login *l = s->login;
	struct buf *in = &l->inbox;
	struct slice password;
	struct frame f;
	enum parse p;

	if (http_transport(s) != TRANSPORT_WEBSOCKET || l->said != NULL)
		return PARSE_DONE;
	if (in->n == 0)
		return websocket_in_frame(&s->client) ? PARSE_MORE : PARSE_DONE;
	if (in->p[0] != MSG_PASSWORD)
		return PARSE_DONE;
	p = frame_cut(buf_view(in), PASSWORD_MESSAGE_MAX, &f);
	if (p == PARSE_MORE)
		return p;
	if (p == PARSE_BAD || message_parse_password(f.body, &password) != PARSE_DONE) {
		session_close(s, WHY_PROTOCOL, "Invalid authentication message.");
		return PARSE_BAD;
	}
	if (needed && s->client.ssl == NULL && !http_hop_is_private(s)) {
		refuse(s);
		return PARSE_BAD;
	}
	l->said = credential_new_password(password);
	OPENSSL_cleanse(in->p, f.total);
	buf_drop(in, f.total);
	return PARSE_DONE;
}
