/* SPDX-License-Identifier: PostgreSQL
 *
 * A connection that speaks HTTP: requests are received, handed to the handler of their path, and
 * answered, one after the other. What is kept of a client is bounded (INV-4): a head by
 * http_max_head, a body by http_max_body, and what it sends beyond the request by one read.
 */
#include "config.h"

#include "proxy/http/http_int.h"
#include "proxy/http/sql.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/hot.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"

#define HTTP_READ  (16 * 1024)
#define INBOX_MAX  ((size_t)128 * 1024)
#define HTTP_WORDS "HTTP/1.1 100 Continue\r\n\r\n"
/* How much a connection is served before other sessions have their turn, however much it has sent,
 * in requests; GET /metrics counts as all of them. */
#define AT_A_TIME 8

static const struct http_route routes[] = {
	{ .path = "/healthz", .method = HTTP_GET, .handle = answer_healthz },
	{ .path = "/sql",
	  .method = HTTP_POST,
	  .handle = sql_begin,
	  .headers = SQL_CORS,
	  .error_status = 400,
	  .error_type = "application/json",
	  .put_error = sql_put_error },
	{ .path = "/sql", .method = HTTP_OPTIONS, .handle = sql_options, .headers = SQL_CORS },
	{ .path = "/metrics", .method = HTTP_GET, .metrics = true, .handle = answer_metrics },
};
#define ROUTES (sizeof(routes) / sizeof(routes[0]))

const struct conf_listener *
http_listener(const struct session *s)
{
	return &s->worker->world->config->listeners[s->listener];
}

static struct http_request *
request_new(const struct session *s)
{
	struct http_request *r = xcalloc(1, sizeof(*r));

	r->inbox.cap = INBOX_MAX;
	r->text.cap = INBOX_MAX;
	r->body.cap = (size_t)conf_of(s)->http_max_body + 1;
	return r;
}

void
http_request_free(struct http_conn *c)
{
	struct http_request *r = c->request;

	if (r == NULL)
		return;
	buf_fini(&r->inbox);
	buf_fini(&r->text);
	buf_fini(&r->body);
	free(r);
	c->request = NULL;
}

HOT void
http_free(struct session *s)
{
	struct http_conn *c = s->http;

	if (c == NULL)
		return;
	if (c->is_stream)
		atomic_fetch_sub(&s->worker->process->streams, 1);
	http_request_free(c);
	sql_free(c->sql);
	free(c->target);
	free(c->token);
	free(c);
	s->http = NULL;
}

HOT bool
http_speaks(const struct session *s)
{
	return s->http != NULL && s->http->request != NULL;
}

bool
http_awaits_answer(const struct session *s)
{
	return http_speaks(s) && s->http->request->phase != HTTP_ANSWERED;
}

bool
http_is_sending(const struct session *s)
{
	return http_speaks(s) && s->http->request->phase == HTTP_ANSWERED;
}

bool
http_is_quiet(const struct session *s)
{
	const struct http_request *r = s->http->request;

	return r == NULL || (r->phase == HTTP_IN_HEAD && r->inbox.n == 0);
}

/* ---- which handler ---- */

static const char *const method_names[] = {
	[HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",       [HTTP_POST] = "POST",
	[HTTP_OPTIONS] = "OPTIONS", [HTTP_CONNECT] = "CONNECT", [HTTP_OTHER] = "",
};

static bool
is_path_of(const struct session *s, const struct http_route *route, struct slice path)
{
	return slice_is(path, route->path) && (!route->metrics || http_listener(s)->metrics);
}

static bool
is_known_path(const struct session *s, struct slice path)
{
	for (size_t i = 0; i < ROUTES; i++) {
		if (is_path_of(s, &routes[i], path))
			return true;
	}
	return false;
}

static const struct http_route *
find_route(const struct session *s, const struct http_head *h)
{
	enum http_method method = h->method == HTTP_HEAD ? HTTP_GET : h->method;

	for (size_t i = 0; i < ROUTES; i++) {
		if (routes[i].method == method && is_path_of(s, &routes[i], h->path))
			return &routes[i];
	}
	return NULL;
}

/* The path has other methods, which an Allow header lists; or there is no such path. */
static void
refuse_path(struct session *s)
{
	struct buf allow = { .cap = 256 };

	for (size_t i = 0; i < ROUTES; i++) {
		if (is_path_of(s, &routes[i], s->http->request->head.path))
			buf_printf(&allow, "%s%s%s", allow.n == 0 ? "Allow: " : ", ",
				   method_names[routes[i].method],
				   routes[i].method == HTTP_GET ? ", HEAD" : "");
	}
	buf_str(&allow, "\r\n");
	if (is_known_path(s, s->http->request->head.path))
		http_refuse(s, 405, buf_text(&allow), "this path has no such method");
	else
		http_refuse(s, 404, "", "no such path");
	buf_fini(&allow);
}

/* ---- one request ---- */

/* The request's bytes are malformed, so it is not known where the next request begins: the
 * connection ends. */
static void
refuse_bytes(struct session *s, const struct http_error *e)
{
	s->http->request->refused = *e;
	session_close(s, WHY_HTTP, e->text);
}

/* False: more bytes are needed, or the request is over. */
static bool
take_head(struct session *s)
{
	struct http_request *r = s->http->request;
	size_t max = (size_t)conf_of(s)->http_max_head, used;
	struct http_error e;
	enum parse p = http_parse_head(buf_view(&r->inbox), max, &r->head, &used, &e);

	if (p == PARSE_MORE)
		return false;
	if (p == PARSE_DONE) {
		/* more bytes will come into the inbox: the head gets a buffer of its own */
		buf_put(&r->text, r->inbox.p, used);
		p = http_parse_head(buf_view(&r->text), max, &r->head, &used, &e);
	}
	if (p != PARSE_DONE) {
		refuse_bytes(s, &e);
		return false;
	}
	buf_drop(&r->inbox, used);
	stat_add(&s->worker->stats.http_requests, 1);
	r->begun_us = clock_us();
	http_body_init(&r->framing, &r->head);
	http_ops.claim_headers(s, &r->head);
	r->route = find_route(s, &r->head);
	r->phase = HTTP_IN_BODY;
	return true;
}

static bool
take_body(struct session *s)
{
	struct http_request *r = s->http->request;
	struct http_error e;
	size_t used;
	/* only POST may have a body */
	uint64_t max = r->route->method == HTTP_POST ? (uint64_t)conf_of(s)->http_max_body : 0;
	enum parse p = http_body_take(&r->framing, buf_view(&r->inbox), max, &r->body, &used, &e);

	if (p == PARSE_BAD) {
		refuse_bytes(s, &e);
		return false;
	}
	if (p == PARSE_MORE && r->head.expect_continue) {
		r->head.expect_continue = false;
		if (used == 0 && !session_say(s, HTTP_WORDS, sizeof(HTTP_WORDS) - 1))
			return false;
	}
	if (used > 0)
		buf_drop(&r->inbox, used);
	if (p == PARSE_DONE)
		r->phase = HTTP_HANDLING;
	return p == PARSE_DONE;
}

static bool
has_body(const struct http_head *h)
{
	return h->chunked || h->length > 0;
}

/* The head is complete. A request that will not be handled is refused before its body has come; its
 * body could then be taken for a next request, so the connection ends. */
static bool
take_request(struct session *s)
{
	struct http_request *r = s->http->request;
	bool upgrade =
	    r->route == NULL && upgrade_is_asked(&r->head) && !is_known_path(s, r->head.path);

	if (r->route == NULL && has_body(&r->head))
		r->head.keep_alive = false;
	if (upgrade)
		upgrade_begin(s);
	else if (r->route == NULL)
		refuse_path(s);
	else if (take_body(s))
		r->route->handle(s);
	/* a handler may have ended the session, or changed its protocol */
	return s->state == SESSION_HTTP && http_speaks(s) &&
	       s->http->request->phase == HTTP_ANSWERED;
}

/* The answer was sent: make room for the next request. False: there is none. */
static bool
next_request(struct session *s)
{
	struct http_request *r = s->http->request;

	if (!r->head.keep_alive) {
		if (s->http->request->inbox.n > 0 || has_body(&r->head))
			session_end_unread(s, WHY_HTTP_DONE);
		else
			session_end(s, WHY_HTTP_DONE);
		return false;
	}
	buf_fini(&r->text);
	buf_fini(&r->body);
	r->route = NULL;
	r->phase = HTTP_IN_HEAD;
	s->quiet_since_us = clock_us();
	if (r->inbox.n > 0)
		return true;
	http_request_free(s->http);
	return false;
}

/* Handle the bytes that are here, as far as other sessions need not wait. */
static void
advance(struct session *s)
{
	unsigned done = 0;
	bool more = true;

	while (more && s->state == SESSION_HTTP && http_speaks(s)) {
		struct http_request *r = s->http->request;

		r->is_put_off = r->phase == HTTP_IN_HEAD && done >= AT_A_TIME;
		switch (r->phase) {
		case HTTP_IN_HEAD:
			more = !r->is_put_off && take_head(s);
			break;
		case HTTP_IN_BODY:
			more = take_request(s);
			break;
		case HTTP_HANDLING:
			more = false;
			break;
		case HTTP_ANSWERED:
			done += r->route != NULL && r->route->metrics ? AT_A_TIME : 1;
			/* a client that does not read its answers is not served further */
			more = !stream_is_blocked(&s->client) && next_request(s);
			break;
		}
	}
}

static bool
is_full(const struct http_request *r)
{
	return r->phase >= HTTP_HANDLING && r->inbox.n + HTTP_READ > INBOX_MAX;
}

/* What a client sends behind a request that is not answered yet, or whose answer it does not read,
 * is kept up to a limit; then its socket is not read until there is room. The request is freed when
 * all that was kept has been answered. */
static void
want_requests(struct session *s)
{
	const struct http_request *r;
	short what = EV_READ;

	/* the session speaks PostgreSQL's protocol by now, or has ended */
	if ((s->state != SESSION_HTTP && !http_speaks(s)) || s->state >= SESSION_FAREWELL)
		return;
	r = s->http->request;
	if (r != NULL && is_full(r))
		what = r->phase == HTTP_HANDLING ? EV_CLOSED : 0;
	stream_want(&s->client, (short)((s->client.interest & EV_WRITE) | what));
}

void
http_go_on(struct session *s)
{
	advance(s);
	want_requests(s);
	if (s->state == SESSION_HTTP && http_speaks(s) && s->http->request->is_put_off)
		loop_again(&s->client.ev, EV_READ);
	else /* the event that called this may have been the one for reading */
		stream_announce(&s->client);
	worker_arm_sweep(s->worker);
}

void
http_begin(struct session *s)
{
	struct http_conn *c = xcalloc(1, sizeof(*c));

	s->http = c;
	c->request = request_new(s);
	buf_slice(&c->request->inbox, buf_view(&s->login->inbox));
	login_free(s->login);
	s->login = NULL;
	session_enter(s, SESSION_HTTP);
	s->quiet_since_us = clock_us();
	if (http_listener(s)->tls == MODE_REQUIRE && !stream_is_encrypted(&s->client) &&
	    s->peer.family != ADDR_UNIX) {
		refuse_bytes(s, &(struct http_error){ 400, "this listener requires TLS" });
		return;
	}
	http_go_on(s);
}

void
http_on_readable(struct session *s)
{
	struct http_conn *c = s->http;
	ssize_t n;

	if (c->request != NULL && c->request->is_put_off) {
		http_go_on(s);
		return;
	}
	/* a login on behalf of the request has the client read again, even if the inbox is full */
	if (c->request != NULL && is_full(c->request)) {
		want_requests(s);
		return;
	}
	n = stream_recv(&s->client, s->worker->scratch, HTTP_READ);
	if (n == STREAM_AGAIN)
		return;
	if (n <= 0) {
		session_abort(s, http_is_quiet(s) ? WHY_HTTP_DONE : WHY_CLIENT_GONE);
		return;
	}
	if (c->request == NULL) {
		c->request = request_new(s);
		s->quiet_since_us = clock_us();
	}
	buf_put(&c->request->inbox, s->worker->scratch, (size_t)n);
	if (c->request->inbox.failed)
		session_abort(s, WHY_OUT_OF_MEMORY);
	else
		http_go_on(s);
}

/* ---- time ---- */

void
http_check_deadline(struct session *s, int64_t now_us)
{
	const struct conf_main *conf = conf_of(s);
	int64_t quiet = now_us - s->quiet_since_us;

	if (http_is_quiet(s)) {
		if (conf->http_idle_timeout > 0 && quiet > conf->http_idle_timeout)
			session_end(s, WHY_HTTP_DONE);
	} else if (s->http->request->phase == HTTP_ANSWERED) {
		/* a long answer may take long, as long as the client reads it */
		if (s->quiet_moved != (uint32_t)stream_unsent(&s->client)) {
			s->quiet_moved = (uint32_t)stream_unsent(&s->client);
			s->quiet_since_us = now_us;
		} else if (conf->client_login_timeout > 0 && quiet > conf->client_login_timeout)
			session_abort(s, WHY_CLIENT_ERROR);
	} else if (s->http->request->phase != HTTP_HANDLING) {
		if (conf->client_login_timeout > 0 && quiet > conf->client_login_timeout)
			session_close(s, WHY_LOGIN_TIMEOUT, NULL);
	}
}
