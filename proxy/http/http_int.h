/* SPDX-License-Identifier: PostgreSQL
 *
 * What the files of proxy/http share, and no other file uses.
 */
#ifndef PROXY_HTTP_HTTP_INT_H
#define PROXY_HTTP_HTTP_INT_H

#include "proxy/http/http.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/session_int.h"

const struct conf_listener *http_listener(const struct session *s);

static inline const struct conf_main *
conf_of(const struct session *s)
{
	return &s->worker->world->config->main;
}

/* conn.c: frees the request and its bytes. */
void http_request_free(struct http_conn *c);

/* upgrade.c: keep what the request's header says it has seen, in place of what an earlier one of
 * the connection has said (http_token()). False: it has no such header. */
#define HTTP_TOKEN_HEADER "Meridian-Token"
bool http_take_token(struct http_conn *c);

/* … the request is a CONNECT, or asks for a WebSocket on a path that has no handler. */
bool upgrade_is_asked(const struct http_head *h);
/* Accept it, so that the session begins anew; or refuse it. */
void upgrade_begin(struct session *s);

/* answer.c: handlers */
void answer_healthz(struct session *s);
/* metrics.c */
void answer_metrics(struct session *s);

/* What a request asks of the way in, which stands above: proxy/rooms.c fills it in. */
struct http_ops {
	/* Its head says who and where the caller is. */
	void (*claim_headers)(struct session *s, const struct http_head *h);
	/* Behind CONNECT or the handshake of a WebSocket: the session begins, as if the client had
	 * just connected, with what is in login->inbox. */
	void (*on_inbox)(struct session *s);
	/* POST /sql: the startup packet is there. */
	void (*admit)(struct session *s);
};
extern const struct http_ops http_ops;

#endif
