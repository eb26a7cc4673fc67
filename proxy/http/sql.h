/* SPDX-License-Identifier: PostgreSQL
 *
 * SQL over HTTP: POST /sql, in the shapes of Neon's serverless driver (`neon()`). Each request is a
 * session of its own: its header says who it is, its locality is found, it is attached to the node
 * of its route, Meridian logs in there itself, sends the statements in one go, and answers when the
 * node has said all. Several statements are one transaction. Then the server connection is closed,
 * and the HTTP connection is ready for the next request.
 *
 *   sql.c      a request: what its headers say, how it begins, how it ends
 *   sqlrun.c   the statements, and what the node says to them
 *   sqltoken.c what the caller has seen (proxy/reads): what it is to read must show that
 *
 * Kept for a request: its body (http_max_body), the messages made of it, and the answer
 * (sql_max_response).
 */
#ifndef PROXY_HTTP_SQL_H
#define PROXY_HTTP_SQL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct session;
struct sql;

/* ---- for proxy/http: handlers of the path, and what the connection holds ---- */

#define SQL_CORS                             \
	"Access-Control-Allow-Origin: *\r\n" \
	"Access-Control-Expose-Headers: Meridian-Token\r\n"

void sql_begin(struct session *s);
void sql_options(struct session *s);
void sql_put_error(struct buf *out, const struct err *e);
void sql_free(struct sql *q); /* accepts NULL */

/* ---- called by proxy/login ---- */

/* The candidates of its login are known: those that have what its caller has seen go first. */
void sql_order_candidates(struct session *s);

/* ---- called by proxy/session ---- */

/* The node has refused the login: the body of its ErrorResponse. */
void sql_on_refusal(struct session *s, struct slice report);
/* The login is over: send the statements. */
void sql_run(struct session *s);
void sql_on_server(struct session *s, short what);

#endif
