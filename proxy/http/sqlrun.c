/* SPDX-License-Identifier: PostgreSQL
 *
 * The statements of a request. All of them, with what makes a batch a transaction, are sent in one
 * pipeline that ends in one Sync: a batch costs one round trip, and at the first error the node
 * skips its rest. The node's answers become JSON as they come.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/http/http_int.h"
#include "proxy/http/sql_int.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"
#include "proxy/sqlstate/sampler.h"
#include "routing/topology.h"

/* Messages take more room than the body that they are made from, and quoted array literals too. */
#define PIPELINE_MAX(body) (2 * (size_t)(body) + ((size_t)1 << 20))

#define QUESTION_MAX ((size_t)4096)

enum { COPY_IN = 'G', COPY_OUT = 'H', COPY_BOTH = 'W' };

static struct sql *
sql_of(const struct session *s)
{
	return s->http->sql;
}

static size_t
statements(const struct sql *q)
{
	return q->nqueries + (q->batch ? 2 : 0);
}

/* The node has said all that is due. */
static void
finish(struct session *s)
{
	struct sql *q = sql_of(s);

	if (q->report.n > 0) {
		sql_end(s, 400, buf_view(&q->report));
	} else if (q->at != statements(q)) {
		session_close(s, WHY_SERVER_PROTOCOL, NULL);
	} else {
		if (q->batch)
			buf_str(&q->json, "]}");
		sql_end(s, 200, buf_view(&q->json));
	}
}

/* ---- to the node ---- */

static void
server_lost(struct session *s)
{
	struct sql *q = sql_of(s);
	char detail[400];

	/* the node has sent its reason; or all that was asked of it */
	if (q->report.n > 0 || q->phase == SQL_TELLING) {
		finish(s);
		return;
	}
	snprintf(detail, sizeof(detail), "Region %s, node %s, server process %" PRIu32 ".",
		 s->server->live->region, s->server->live->name, s->server->pid);
	stream_fini(&s->server->stream);
	session_close(s, WHY_SERVER_DIED, detail);
}

/* The first `callers` bytes are its caller's. False: the request is over. */
static bool
send_to_node(struct session *s, const struct buf *b, size_t callers)
{
	unsigned events;

	if (s->sampler != NULL && callers > 0)
		sampler_client(s->sampler, slice_of(b->p, callers));
	events = exchange_client(&s->exchange, b->p, b->n);

	if (!(events & EXCHANGE_BAD) && stream_send(&s->server->stream, b->p, b->n) == 0)
		return true;
	server_lost(s);
	return false;
}

/* The statements, and behind them the question what has been seen. */
static bool
send_statements(struct session *s)
{
	struct sql *q = sql_of(s);
	size_t callers = q->out.n;
	bool open;

	q->phase = SQL_RUNNING;
	q->out.cap += QUESTION_MAX;
	if (q->says_token)
		sql_put_question(s, &q->out);
	stat_add(&s->worker->stats.queries, q->nqueries);
	stream_keep_at_most(&s->server->stream, q->out.n + 1);
	open = send_to_node(s, &q->out, callers);
	if (open)
		buf_fini(&q->out);
	return open;
}

static bool
send_check(struct session *s)
{
	struct buf b = { .cap = 1024 };
	bool open;

	sql_of(s)->phase = SQL_CHECKING;
	sql_put_check(sql_of(s), &b);
	open = send_to_node(s, &b, 0);
	buf_fini(&b);
	return open;
}

/* ---- the statement that is being answered ---- */

/* Whether the statement is the client's own, and not one of those that make a batch a
 * transaction. */
static bool
is_callers(const struct sql *q)
{
	return q->batch ? q->at > 0 && q->at <= q->nqueries : q->at == 0;
}

static void
begin_statement(struct sql *q)
{
	size_t i = q->batch ? q->at - 1 : 0;

	if (is_callers(q))
		sqljson_result_init(&q->result, q->raw, q->modes.p[i] != 0);
}

static enum parse
end_statement(struct sql *q, struct slice tag)
{
	enum parse p = PARSE_DONE;

	if (q->at >= statements(q))
		return PARSE_BAD;
	if (is_callers(q)) {
		p = sqljson_put_complete(&q->json, &q->result, tag);
		sqljson_result_fini(&q->result);
		if (q->batch && q->at < q->nqueries)
			buf_str(&q->json, ",");
	}
	q->at++;
	if (q->at < statements(q))
		begin_statement(q);
	return p;
}

/* ---- from the node ---- */

static void
refuse_size(struct session *s)
{
	struct err e;

	err_set(&e, SQLSTATE_PROGRAM_LIMIT_EXCEEDED, "the response is too large");
	err_detail(&e, "The limit is %" PRId64 " bytes (sql_max_response).",
		   conf_of(s)->sql_max_response);
	sql_fail(s, 507, &e);
}

/* Roll back before the client is told of the error, so that no lock remains. False: the request is
 * over. */
static bool
roll_back(struct session *s)
{
	struct buf b = { .cap = 64 };
	bool open;

	sql_of(s)->phase = SQL_ROLLING_BACK;
	message_put_query(&b, SLICE_LITERAL("ROLLBACK"));
	open = send_to_node(s, &b, b.n);
	buf_fini(&b);
	return open;
}

/* The standby has said how far it is. PARSE_MORE: the request is over. */
static enum parse
take_checked(struct session *s)
{
	struct sql *q = sql_of(s);
	struct err e;

	if (q->report.n > 0) {
		finish(s);
		return PARSE_MORE;
	}
	if (q->is_shown)
		return send_statements(s) ? PARSE_DONE : PARSE_MORE;
	if (clock_us() < q->wait_until_us)
		return send_check(s) ? PARSE_DONE : PARSE_MORE;
	err_set(&e, SQLSTATE_OBJECT_NOT_IN_STATE,
		"the standby has not replayed what the request is to show");
	err_hint(&e, "Try again, or let it run at the primary (meridian.access).");
	sql_fail(s, 400, &e);
	return PARSE_MORE;
}

/* PARSE_MORE: the request is over. */
static enum parse
take_ready(struct session *s, char status)
{
	struct sql *q = sql_of(s);

	if (q->phase == SQL_CHECKING)
		return take_checked(s);
	if (q->phase == SQL_RUNNING && q->says_token) {
		q->phase = SQL_TELLING;
		return PARSE_DONE;
	}
	if (q->report.n > 0 && status != 'I' && q->phase != SQL_ROLLING_BACK)
		return roll_back(s) ? PARSE_DONE : PARSE_MORE;
	finish(s);
	return PARSE_MORE;
}

/* A row of the answer to a question of our own. */
static void
take_our_row(struct session *s, struct slice row)
{
	if (sql_of(s)->phase == SQL_CHECKING)
		sql_of(s)->is_shown = true;
	else
		sql_take_said(s, row);
}

/* What is answered now was asked by Meridian. */
static bool
is_our_own(const struct sql *q)
{
	return q->phase == SQL_TELLING || q->phase == SQL_CHECKING;
}

/* One message of the node. PARSE_MORE: the request is over. */
static enum parse
take_message(struct session *s, const struct frame *f)
{
	struct sql *q = sql_of(s);
	struct err e;
	char status;

	if (is_our_own(q) && f->type != MSG_READY &&
	    (f->type != MSG_ERROR || q->phase == SQL_TELLING)) {
		if (f->type == MSG_DATA_ROW)
			take_our_row(s, f->body);
		return PARSE_DONE;
	}
	switch (f->type) {
	case MSG_ROW_DESCRIPTION:
		return is_callers(q) ? sqljson_put_fields(&q->json, &q->result, f->body)
				     : PARSE_BAD;
	case MSG_DATA_ROW:
		return is_callers(q) ? sqljson_put_row(&q->json, &q->result, f->body) : PARSE_BAD;
	case MSG_COMMAND_COMPLETE:
		return q->phase == SQL_RUNNING ? end_statement(q, f->body) : PARSE_DONE;
	case MSG_EMPTY_QUERY:
		return end_statement(q, slice_of("", 0));
	case MSG_ERROR:
		return q->report.n == 0 ? sqljson_put_report(&q->report, f->body) : PARSE_DONE;
	case MSG_READY:
		if (message_parse_ready(f->body, &status) != PARSE_DONE)
			return PARSE_BAD;
		return take_ready(s, status);
	case COPY_IN:
	case COPY_OUT:
	case COPY_BOTH:
		err_set(&e, SQLSTATE_FEATURE_NOT_SUPPORTED, "COPY is not supported over HTTP");
		sql_fail(s, 400, &e);
		return PARSE_MORE;
	default:
		return PARSE_DONE;
	}
}

/* Handles the complete messages at the front of `in`; returns their length. SIZE_MAX: the request
 * is over. */
static size_t
take_messages(struct session *s, struct slice in)
{
	size_t max = (size_t)conf_of(s)->sql_max_response, taken = 0;
	struct sql *q = sql_of(s);
	enum parse p, r = PARSE_DONE;
	struct frame f;

	while ((p = frame_cut(slice_skip(in, taken), max + 5, &f)) == PARSE_DONE) {
		r = take_message(s, &f);
		if (r == PARSE_MORE)
			break;
		if (r == PARSE_BAD || q->json.failed || q->report.failed)
			break;
		taken += f.total;
	}
	if (r == PARSE_MORE)
		return SIZE_MAX;
	if (q->json.failed || q->report.failed)
		refuse_size(s);
	else if (r == PARSE_BAD)
		session_close(s, WHY_SERVER_PROTOCOL, NULL);
	else if (p == PARSE_BAD)
		refuse_size(s);
	else
		return taken;
	return SIZE_MAX;
}

/* Questions of Meridian's are none of its caller's transactions. */
static void
count(struct session *s, unsigned events, struct exchange_tally *tally)
{
	const struct sql *q = sql_of(s);
	bool is_last = (events & EXCHANGE_READY) && exchange_pending(&s->exchange) == 0;

	if (q->phase == SQL_CHECKING)
		return;
	if (is_last && q->says_token && q->phase != SQL_ROLLING_BACK && tally->transactions > 0)
		tally->transactions--;
	relay_count(s, tally);
	if (s->sampler != NULL && is_last)
		sampler_answered(s->sampler);
}

/* The new bytes are handled where they lie in the scratch buffer, unless older ones wait. */
static void
take_bytes(struct session *s, struct slice in)
{
	struct exchange_tally tally = { 0 };
	struct sql *q = sql_of(s);
	unsigned events = exchange_server(&s->exchange, in.p, in.n, &tally);
	size_t n;

	count(s, events, &tally);
	if (events & EXCHANGE_BAD) {
		session_close(s, WHY_SERVER_PROTOCOL, NULL);
		return;
	}
	if (q->in.n > 0) {
		buf_slice(&q->in, in);
		if (q->in.failed) {
			refuse_size(s);
			return;
		}
		n = take_messages(s, buf_view(&q->in));
		if (n != SIZE_MAX)
			buf_drop(&q->in, n);
		return;
	}
	n = take_messages(s, in);
	if (n != SIZE_MAX && n < in.n)
		buf_slice(&q->in, slice_skip(in, n));
}

void
sql_on_server(struct session *s, short what)
{
	struct stream *st = &s->server->stream;
	char *scratch = s->worker->scratch;
	ssize_t n;

	if ((what & EV_WRITE) && stream_flush(st) != 0) {
		server_lost(s);
		return;
	}
	if (!(what & EV_READ))
		return;
	n = stream_recv(st, scratch, WORKER_SCRATCH);
	if (n == STREAM_AGAIN)
		return;
	if (n <= 0)
		server_lost(s);
	else
		take_bytes(s, slice_of(scratch, (size_t)n));
}

/* The statements, as messages. -1 and *e, with the status of the answer: they cannot be sent. */
static int
build_pipeline(struct session *s, struct buf *b, int *status, struct err *e)
{
	struct http_request *request = s->http->request;
	struct sql *q = sql_of(s);
	struct buf begin = { .cap = 256 };
	struct sqljson_request r;

	*status = 400;
	if (sqljson_parse(buf_view(&request->body), &r, e) != 0)
		return -1;
	q->batch = r.batch;
	q->nqueries = r.nqueries;
	if (q->batch) {
		buf_printf(&begin, "BEGIN%s%s%s%s", q->isolation != NULL ? " ISOLATION LEVEL " : "",
			   q->isolation != NULL ? q->isolation->sql : "",
			   q->read_only ? " READ ONLY" : "", q->deferrable ? " DEFERRABLE" : "");
		message_put_statement(b, slice_str(""), buf_view(&begin));
		buf_fini(&begin);
	}
	for (size_t i = 0; i < r.nqueries; i++) {
		sqljson_put_query(b, &r, i);
		buf_u8(&q->modes, sqljson_array_mode(&r, i, q->array));
	}
	if (q->batch)
		message_put_statement(b, slice_str(""), slice_str("COMMIT"));
	message_put_bare(b, MSG_SYNC);
	sqljson_request_fini(&r);
	buf_fini(&request->body);
	*status = 413;
	if (b->failed || q->modes.failed)
		return err_set(e, SQLSTATE_PROGRAM_LIMIT_EXCEEDED, "the request is too large");
	return 0;
}

/* What the answer may take, and where it begins. */
static void
begin_answer(struct session *s)
{
	struct sql *q = sql_of(s);

	q->json.cap = (size_t)conf_of(s)->sql_max_response;
	q->in.cap = q->json.cap + 2 * WORKER_SCRATCH;
	q->report.cap = 1 << 20;
	if (q->batch)
		buf_str(&q->json, "{\"results\":[");
	if (q->at < statements(q))
		begin_statement(q);
}

void
sql_run(struct session *s)
{
	struct buf rest = s->login->server_inbox; /* bytes that came behind the end of the login */
	struct sql *q = sql_of(s);
	bool open;
	struct err e;
	int status;

	s->login->server_inbox = (struct buf){ 0 };
	q->out.cap = PIPELINE_MAX(s->http->request->body.n);
	session_enter(s, SESSION_SQL);
	session_sample(s, s->login->database);
	status = sql_take_floor(s, &e) != 0 ? 400 : 0;
	login_free(s->login);
	s->login = NULL;
	if (status != 0 || build_pipeline(s, &q->out, &status, &e) != 0) {
		sql_fail(s, status, &e);
	} else {
		begin_answer(s);
		s->quiet_since_us = clock_us();
		worker_arm_sweep(s->worker);
		stream_want(&s->server->stream, EV_READ | (s->server->stream.interest & EV_WRITE));
		open = sql_must_check(s) ? send_check(s) : send_statements(s);
		if (open && rest.n > 0)
			take_bytes(s, buf_view(&rest));
	}
	buf_fini(&rest);
}
