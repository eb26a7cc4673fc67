/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/http/sql.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/mem.h"
#include "protocol/connuri.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/console.h"
#include "proxy/auth/credential.h"
#include "proxy/cancel/cancel.h"
#include "proxy/http/http_int.h"
#include "proxy/http/sql_int.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"

#define JSON_TYPE        "application/json"
#define ANSWER_HEAD_MAX  ((size_t)8192)
#define URI_HEADER       "Neon-Connection-String"
#define ISOLATION_HEADER "Neon-Batch-Isolation-Level"

static const struct sql_isolation isolations[] = {
	{ "ReadUncommitted", "READ UNCOMMITTED" },
	{ "ReadCommitted", "READ COMMITTED" },
	{ "RepeatableRead", "REPEATABLE READ" },
	{ "Serializable", "SERIALIZABLE" },
};

static const char *const flag_headers[] = { "Neon-Batch-Read-Only", "Neon-Batch-Deferrable" };

void
sql_options(struct session *s)
{
	http_answer(s, 200, NULL,
		    "Allow: OPTIONS, POST\r\n"
		    "Access-Control-Allow-Methods: POST\r\n"
		    "Access-Control-Allow-Headers: Neon-Connection-String, Neon-Raw-Text-Output, "
		    "Neon-Array-Mode, Neon-Pool-Opt-In, Neon-Batch-Isolation-Level, "
		    "Neon-Batch-Read-Only, Neon-Batch-Deferrable, " HTTP_TOKEN_HEADER
		    ", Authorization, Content-Type\r\n"
		    "Access-Control-Max-Age: 86400\r\n",
		    slice_of("", 0));
}

void
sql_put_error(struct buf *out, const struct err *e)
{
	sqljson_put_error(out, "ERROR", e);
}

void
sql_free(struct sql *q)
{
	if (q == NULL)
		return;
	buf_fini(&q->modes);
	buf_fini(&q->out);
	buf_fini(&q->in);
	buf_fini(&q->json);
	buf_fini(&q->report);
	sqljson_result_fini(&q->result);
	free(q);
}

/* ---- the begin of a request ---- */

static bool
is_true(const struct http_head *h, const char *name)
{
	return slice_is_nocase(http_header(h, name), "true");
}

static int
take_isolation(const struct http_head *h, struct sql *q, struct err *e)
{
	struct slice said = http_header(h, ISOLATION_HEADER);

	if (said.p == NULL)
		return 0;
	for (size_t i = 0; i < sizeof(isolations) / sizeof(isolations[0]); i++) {
		if (slice_is_nocase(said, isolations[i].name)) {
			q->isolation = &isolations[i];
			return 0;
		}
	}
	err_set(e, SQLSTATE_INVALID_PARAMETER_VALUE, "invalid value of " ISOLATION_HEADER);
	err_hint(e, "Available values: ReadUncommitted, ReadCommitted, RepeatableRead, "
		    "Serializable.");
	return -1;
}

static int
take_headers(const struct http_head *h, struct sql *q, struct err *e)
{
	if (http_header(h, URI_HEADER).p == NULL)
		return err_set(e, SQLSTATE_CANNOT_CONNECT, "missing " URI_HEADER);
	if (http_header(h, "Authorization").p != NULL) {
		err_set(e, SQLSTATE_FEATURE_NOT_SUPPORTED, "Authorization is not supported");
		err_hint(e, "Give user and password in " URI_HEADER ".");
		return -1;
	}
	q->raw = is_true(h, "Neon-Raw-Text-Output");
	q->array = is_true(h, "Neon-Array-Mode");
	q->read_only = is_true(h, flag_headers[0]);
	q->deferrable = is_true(h, flag_headers[1]);
	return take_isolation(h, q, e);
}

/* The header contains the password: it is wiped when it has been read. */
static int
take_uri(struct session *s, struct err *e)
{
	struct http_request *r = s->http->request;
	struct slice uri = http_header(&r->head, URI_HEADER);
	struct login *l = session_login(s);
	struct buf text = { .cap = 64 * 1024 };
	struct connuri u;
	int result = connuri_parse(uri, &text, &u, e);

	l->packet.cap = STARTUP_BYTES_MAX;
	if (result == 0) {
		connuri_put_startup(&l->packet, &u);
		l->said = credential_new_password(u.password);
		if (l->packet.failed)
			result = err_set(e, SQLSTATE_CANNOT_CONNECT,
					 "the connection string is too long");
		else if (slice_is(u.database, CONSOLE_DATABASE))
			result = err_set(e, SQLSTATE_FEATURE_NOT_SUPPORTED,
					 "the console does not speak HTTP");
	}
	if (text.n > 0)
		OPENSSL_cleanse(text.p, text.n);
	buf_fini(&text);
	OPENSSL_cleanse(r->text.p + (uri.p - r->text.p), uri.n);
	return result;
}

void
sql_begin(struct session *s)
{
	struct http_conn *c = s->http;
	const struct http_head *h = &c->request->head;
	struct err e;

	c->sql = xcalloc(1, sizeof(*c->sql));
	if (!http_hop_is_private(s)) {
		err_set(&e, SQLSTATE_INVALID_AUTHORIZATION,
			"a password in clear may not come over a connection that is not private");
		err_hint(&e, "Use https://, or list the load balancer in trusted_proxies.");
		sql_fail(s, 403, &e);
		return;
	}
	if (take_headers(h, c->sql, &e) != 0 || take_uri(s, &e) != 0) {
		sql_fail(s, 400, &e);
		return;
	}
	c->sql->says_token = http_take_token(c);
	c->transport = TRANSPORT_SQL;
	s->login->world = world_ref(worker_world(s->worker));
	s->quiet_since_us = clock_us();
	stat_add(&s->worker->stats.http_sql, 1);
	/* an earlier request of this connection may have made claims */
	claims_drop(&s->claims, SOURCE_STARTUP);
	claims_drop(&s->claims, SOURCE_GEOIP);
	exchange_init(&s->exchange, REPLICATION_NONE);
	http_ops.admit(s);
}

/* ---- the end of a request ---- */

/* The session is only a connection again, without a user. */
static void
leave_session(struct session *s)
{
	struct slice no_names[NAME_COUNT] = { 0 };
	struct buf b = { .cap = 16 };
	if (s->server != NULL) {
		cancel_server(s);
		if (stream_is_open(&s->server->stream)) {
			message_put_bare(&b, MSG_TERMINATE);
			(void)stream_send(&s->server->stream, b.p, b.n);
			buf_fini(&b);
		}
		server_free(s->server);
		s->server = NULL;
	}
	session_do_not_sample(s);
	login_free(s->login);
	s->login = NULL;
	credential_unref(s->credential);
	s->credential = NULL;
	if (s->admitted)
		atomic_fetch_sub(&s->worker->process->clients, 1);
	s->admitted = false;
	session_set_names(s, no_names);
	s->http->transport = TRANSPORT_PLAIN;
	if (s->state != SESSION_HTTP)
		session_enter(s, SESSION_HTTP);
	s->quiet_since_us = clock_us();
}

/* What has been seen; and the headers of a batch are repeated, so that the client sees that they
 * were obeyed. */
static void
put_headers(const struct session *s, struct buf *out)
{
	const struct http_head *h = &s->http->request->head;
	const struct sql *q = s->http->sql;
	bool said[] = { q->read_only, q->deferrable };

	sql_put_token(q, out);
	if (!q->batch)
		return;
	if (q->isolation != NULL)
		buf_printf(out, ISOLATION_HEADER ": %s\r\n", q->isolation->name);
	for (size_t i = 0; i < 2; i++) {
		if (http_header(h, flag_headers[i]).p != NULL)
			buf_printf(out, "%s: %s\r\n", flag_headers[i], said[i] ? "true" : "false");
	}
}

void
sql_end(struct session *s, int status, struct slice body)
{
	struct sql *q = s->http->sql;
	struct buf headers = { .cap = 1024 };
	bool handling = s->state == SESSION_HTTP;

	leave_session(s);
	if (status == 200)
		put_headers(s, &headers);
	/* a client may read its answer slowly, so there must be room for all of it */
	if ((size_t)1 << s->client.out_bits < body.n + ANSWER_HEAD_MAX)
		stream_keep_at_most(&s->client, body.n + ANSWER_HEAD_MAX);
	/* sending to a client that is gone ends the session, and frees what it holds */
	s->http->sql = NULL;
	http_answer(s, status, JSON_TYPE, buf_text(&headers), body);
	buf_fini(&headers);
	sql_free(q);
	/* inside its handler the request goes on by itself */
	if (!handling && s->state == SESSION_HTTP)
		http_go_on(s);
}

void
sql_fail(struct session *s, int status, const struct err *e)
{
	struct buf body = { .cap = 16384 };

	stats_error(&s->worker->stats, ERROR_OF_MERIDIAN, slice_str(e->sqlstate));
	sqljson_put_error(&body, "ERROR", e);
	sql_end(s, status, buf_view(&body));
	buf_fini(&body);
}

void
sql_on_refusal(struct session *s, struct slice report)
{
	struct buf body = { .cap = 1 << 20 };

	if (sqljson_put_report(&body, report) == PARSE_DONE && !body.failed)
		sql_end(s, 400, buf_view(&body));
	else
		session_close(s, WHY_SERVER_PROTOCOL, NULL);
	buf_fini(&body);
}
