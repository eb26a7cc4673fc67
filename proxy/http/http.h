/* SPDX-License-Identifier: PostgreSQL
 *
 * HTTP/1.1 on a listener with `http = on`: what the session knows of it, and what the handlers of
 * paths are written against. A connection is a session in the state HTTP while requests come and
 * are answered; a WebSocket or a CONNECT makes it begin anew, in the state PREFACE, as if it had
 * just been accepted.
 *
 *   conn.c     requests: received, handed to the handler of their path, one after the other
 *   upgrade.c  WebSocket and CONNECT: where HTTP ends and PostgreSQL begins
 *   answer.c   answers, and errors in HTTP's words
 *   sql.c      POST /sql
 *
 * A request owns its bytes until it is answered. While one is there, whatever goes wrong with the
 * session is told as HTTP, whatever state the session is in (session_close_err()).
 */
#ifndef PROXY_HTTP_HTTP_H
#define PROXY_HTTP_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "protocol/http.h"
#include "proxy/session/why.h"

struct session;
struct sql;

/* How a session's client is connected. */
enum transport {
	TRANSPORT_PLAIN, /* TCP, or a unix socket */
	TRANSPORT_WEBSOCKET,
	TRANSPORT_CONNECT,
	TRANSPORT_SQL, /* a request of POST /sql */
};

enum http_phase {
	HTTP_IN_HEAD,  /* the head is not complete; with an empty inbox: not begun */
	HTTP_IN_BODY,  /* the head is complete, the body is not */
	HTTP_HANDLING, /* the request is complete, and its handler has it */
	HTTP_ANSWERED,
};

/* What is done with one method of one path. A GET serves HEAD too. */
struct http_route {
	const char *path;
	enum http_method method;
	bool metrics; /* only on listeners with metrics = on; on others the path does not exist */
	/* Head and body are complete: answers by http_answer(), either before it returns, or later
	 * and then followed by http_go_on(). */
	void (*handle)(struct session *s);
	const char *headers; /* headers of every answer, each with its CRLF; or NULL */
	/* The status for failures behind the request itself, where a retry at another proxy would
	 * not help; 0: by the reason. */
	int error_status;
	/* The body of an error, and its type; NULL: one line of text/plain. */
	const char *error_type;
	void (*put_error)(struct buf *out, const struct err *e);
};

/* The request that is being received or answered. */
struct http_request {
	enum http_phase phase;
	const struct http_route *route; /* NULL until the head is complete; NULL for upgrades */
	struct buf inbox;               /* bytes that were read and not handled yet */
	struct buf text;                /* the bytes of the head */
	struct http_head head;          /* points into them */
	struct http_body framing;
	struct buf body;
	struct http_error refused; /* what is wrong with the request; status 0: nothing */
	int64_t begun_us;          /* when its head was complete */
	bool is_put_off;           /* other sessions have their turn before it */
};

/* A connection that speaks, or has spoken, HTTP. */
struct http_conn {
	/* NULL: none has begun, or the connection does not speak HTTP any more */
	struct http_request *request;
	struct sql *sql; /* the statements that the request runs, or NULL */
	/* what a CONNECT or ?address= named: it is shown, and never dialled */
	char *target;
	char *token;       /* its header Meridian-Token, or NULL */
	uint8_t transport; /* enum transport */
	bool is_stream;    /* counted against http_max_streams */
	bool is_named;     /* the Host of a request is a claim */
};

/* ---- for proxy/session ---- */

/* The first bytes of the connection, in login->inbox, begin a request. */
void http_begin(struct session *s);
void http_on_readable(struct session *s);
void http_check_deadline(struct session *s, int64_t now_us);
void http_free(struct session *s);
/* Whether errors are to be told as HTTP: a request is being received or answered. */
bool http_speaks(const struct session *s);
/* … and was not answered yet. */
bool http_awaits_answer(const struct session *s);
/* Whether an answer is on its way to the client. */
bool http_is_sending(const struct session *s);
/* Append the error as the last answer of the connection. */
void http_put_farewell(struct session *s, enum why why, const struct err *e, struct buf *out);
/* Whether no request has begun, so that the client waits for nothing. */
bool http_is_quiet(const struct session *s);
const char *transport_name(enum transport t);
enum transport http_transport(const struct session *s);
/* What the client asked to be connected to, or "". */
const char *http_target(const struct session *s);
/* What the header Meridian-Token of a WebSocket, a CONNECT or a POST /sql says; NULL: it has none.
 */
const char *http_token(const struct session *s);
/* Whether the client's connection keeps a password private: TLS, loopback, a unix socket, or a peer
 * in trusted_proxies, which is responsible for it. Behind a PROXY header this is about the client
 * that it names. */
bool http_hop_is_private(const struct session *s);

/* ---- for handlers ---- */

/* Answer the session's request. `type` NULL: no body; `headers` are further lines, each with its
 * CRLF, or "". */
void http_answer(struct session *s, int status, const char *type, const char *headers,
		 struct slice body);
/* The same with an error: text/plain, or as the route says. */
void http_refuse(struct session *s, int status, const char *headers, const char *text);
/* Called after an answer that did not come from inside handle(): go on with the next request. The
 * session is in the state HTTP again. */
void http_go_on(struct session *s);

#endif
