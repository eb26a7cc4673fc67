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

/* How a session came. */
enum transport {
	TRANSPORT_PLAIN, /* TCP, or a unix socket */
	TRANSPORT_WEBSOCKET,
	TRANSPORT_CONNECT,
	TRANSPORT_SQL, /* a request of POST /sql */
};

enum http_phase {
	HTTP_IN_HEAD,  /* the head is coming; with an empty inbox: not begun */
	HTTP_IN_BODY,  /* the head is there, the body is coming */
	HTTP_HANDLING, /* all of it is there, and its handler has it */
	HTTP_ANSWERED,
};

/* What is done with one method of one path. A GET serves HEAD too. */
struct http_route {
	const char *path;
	enum http_method method;
	bool metrics; /* only on listeners with metrics = on; elsewhere there is no such path */
	/* Head and body are there: answers by http_answer(), now, or later and then followed by
	 * http_go_on(). */
	void (*handle)(struct session *s);
	const char *headers; /* of every answer, each with its CRLF; or NULL */
	/* The status of what goes wrong behind the request itself, where another proxy would do no
	 * better; 0: by the reason. */
	int error_status;
	/* The body of an error, and its type; NULL: one line of text/plain. */
	const char *error_type;
	void (*put_error)(struct buf *out, const struct err *e);
};

/* The request that is being received or answered. */
struct http_request {
	enum http_phase phase;
	const struct http_route *route; /* NULL until the head is there; NULL for upgrades */
	struct buf inbox;               /* read, and not yet taken */
	struct buf text;                /* the head's bytes */
	struct http_head head;          /* points into them */
	struct http_body framing;
	struct buf body;
	struct http_error refused; /* what is wrong with it; status 0: nothing */
	int64_t begun_us;          /* when its head was there */
	bool is_put_off;           /* others have their turn before it */
};

/* A connection that speaks, or has spoken, HTTP. */
struct http_conn {
	struct http_request *request; /* or NULL: none begun, or no HTTP any more */
	struct sql *sql;              /* the statements that it runs, or NULL */
	char *target;                 /* what a CONNECT or ?address= named: shown, never dialled */
	uint8_t transport;            /* enum transport */
	bool is_stream;               /* counted against http_max_streams */
	bool is_named;                /* a request's Host is a claim */
};

/* ---- for proxy/session ---- */

/* The first bytes are there, in login->inbox: they are a request. */
void http_begin(struct session *s);
void http_on_readable(struct session *s);
void http_on_drained(struct session *s);
void http_check_deadline(struct session *s, int64_t now_us);
void http_free(struct session *s);
/* Whether errors are to be told as HTTP: a request is being received or answered. */
bool http_speaks(const struct session *s);
/* … and not answered yet. */
bool http_awaits_answer(const struct session *s);
/* An answer is on its way to the client. */
bool http_is_sending(const struct session *s);
/* Append the error as the last answer of the connection. */
void http_put_farewell(struct session *s, enum why why, const struct err *e, struct buf *out);
/* Nobody waits for an answer: no request has begun. */
bool http_is_quiet(const struct session *s);
const char *transport_name(enum transport t);
enum transport http_transport(const struct session *s);
/* What the client asked to be connected to, or "". */
const char *http_target(const struct session *s);
/* The client's hop does not show a password to strangers: TLS, loopback, a unix socket, or a peer
 * in trusted_proxies, which answers for it. Behind a PROXY header: of whom that names. */
bool http_hop_is_private(const struct session *s);

/* ---- for handlers ---- */

/* Answer the session's request: type NULL is no body; `headers` are further lines, each with its
 * CRLF, or "". */
void http_answer(struct session *s, int status, const char *type, const char *headers,
		 struct slice body);
/* The same with an error: text/plain, or as the route says. */
void http_refuse(struct session *s, int status, const char *headers, const char *text);
/* Behind an answer that did not come from inside handle(): on with the next request. The session is
 * in the state HTTP (again). */
void http_go_on(struct session *s);

#endif
