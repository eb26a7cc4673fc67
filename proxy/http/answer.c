/* SPDX-License-Identifier: PostgreSQL
 *
 * Answers of HTTP requests, and how errors of a session become errors of HTTP.
 */
#include "config.h"

#include <time.h>

#include "base/clock.h"
#include "proxy/http/http_int.h"
#include "proxy/process/worker_int.h"

#define PLAIN_TEXT "text/plain; charset=utf-8"
/* Bodies up to this size are copied behind their head, to go out in one call. */
#define ANSWER_TOGETHER ((size_t)64 * 1024)

/* The status for a reason to end the session. */
static const struct {
	enum why why;
	int status;
} statuses[] = {
	{ WHY_LOGIN_TIMEOUT, 408 },   { WHY_TLS_REQUIRED, 400 }, { WHY_BAD_SETTING, 400 },
	{ WHY_AUTH_FAILED, 400 },     { WHY_NOT_ALLOWED, 403 },  { WHY_SERVER_REFUSED, 400 },
	{ WHY_CHANNEL_BINDING, 400 }, { WHY_PROTOCOL, 400 },     { WHY_HTTP, 400 },
	{ WHY_OUT_OF_MEMORY, 500 },   { WHY_KILLED, 500 },
};

static int
status_of(const struct http_request *r, enum why why)
{
	if (r->refused.status != 0)
		return r->refused.status;
	if (r->phase == HTTP_HANDLING && r->route->error_status != 0 && why != WHY_SHUTDOWN &&
	    why != WHY_TOO_MANY)
		return r->route->error_status;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		if (statuses[i].why == why)
			return statuses[i].status;
	}
	return 503;
}

/* The head of an answer. */
static void
put_head(struct session *s, int status, const char *type, const char *headers, size_t length,
	 struct buf *out)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t now = time(NULL);
	struct tm t;
	const struct http_request *r = s->http->request;
	struct buf lines = { .cap = 4096 };

	/* RFC 9110 section 5.6.7: the names are English, whatever the locale */
	gmtime_r(&now, &t);
	buf_printf(&lines, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[t.tm_wday],
		   t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
	if (r->route != NULL && r->route->headers != NULL)
		buf_str(&lines, r->route->headers);
	buf_str(&lines, headers);
	http_put_answer(out, status, type, buf_text(&lines), length, r->head.keep_alive);
	buf_fini(&lines);
	stats_http_answer(&s->worker->stats, status);
	if (status >= 400)
		stat_add(&s->worker->stats.http_errors, 1);
}

void
http_answer(struct session *s, int status, const char *type, const char *headers, struct slice body)
{
	struct http_request *r = s->http->request;
	struct buf out = { .cap = ANSWER_TOGETHER + 8192 };

	if (s->worker->draining)
		r->head.keep_alive = false;
	put_head(s, status, type, headers, body.n, &out);
	if (r->head.method == HTTP_HEAD)
		body.n = 0;
	if (body.n <= ANSWER_TOGETHER) {
		buf_slice(&out, body);
		body.n = 0;
	}
	histogram_observe(&s->worker->stats.http, clock_us() - r->begun_us);
	r->phase = HTTP_ANSWERED;
	if (session_say(s, out.p, out.n) && body.n > 0)
		(void)session_say(s, body.p, body.n);
	buf_fini(&out);
}

/* The body of an error: one line, or what the route makes of it. */
static const char *
put_error_body(const struct http_request *r, const struct err *e, struct buf *body)
{
	if (r->route != NULL && r->route->put_error != NULL) {
		r->route->put_error(body, e);
		return r->route->error_type;
	}
	buf_printf(body, "%s%s%s\n", e->msg, e->detail[0] != '\0' ? ": " : "", e->detail);
	return PLAIN_TEXT;
}

void
http_refuse(struct session *s, int status, const char *headers, const char *text)
{
	struct buf body = { .cap = 16384 };
	const char *type;
	struct err e;

	err_set(&e, "08P01", "%s", text);
	type = put_error_body(s->http->request, &e, &body);
	http_answer(s, status, type, headers, buf_view(&body));
	buf_fini(&body);
}

void
http_put_farewell(struct session *s, enum why why, const struct err *e, struct buf *out)
{
	struct http_request *r = s->http->request;
	struct buf body = { .cap = 16384 };
	int status = status_of(r, why);
	const char *type;

	/* the head may be parsed in part: nothing of it counts */
	if (r->phase == HTTP_IN_HEAD)
		r->head.method = HTTP_OTHER;
	r->head.keep_alive = false;
	type = put_error_body(r, e, &body);
	put_head(s, status, type, status == 503 ? "Retry-After: 1\r\n" : "", body.n, out);
	if (r->head.method != HTTP_HEAD)
		buf_slice(out, buf_view(&body));
	buf_fini(&body);
}

void
answer_healthz(struct session *s)
{
	if (s->worker->draining)
		http_refuse(s, 503, "", "draining");
	else
		http_answer(s, 200, PLAIN_TEXT, "Cache-Control: no-store\r\n",
			    SLICE_LITERAL("ok\n"));
}
