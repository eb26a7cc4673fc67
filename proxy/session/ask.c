/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/ask.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hot.h"
#include "base/mem.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/server.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/reports.h"

struct ask {
	struct server *server;
	ask_done_fn *done;
	struct buf in;
	size_t kept;    /* of it: bytes of the answer; what stood behind them was passed on … */
	size_t seen;    /* … up to here: bytes looked at */
	unsigned syncs; /* answered so far … */
	unsigned until; /* … of so many */
	struct ask_answer answer;
};

static HOT void
finish(struct ask *a)
{
	struct server *sv = a->server;
	struct slice rest = slice_of(a->in.p, a->kept);
	struct reports r;
	struct frame f;

	sv->ask = NULL;
	a->answer.messages = rest;
	reports_begin(&r, &sv->reported, NULL, rest);
	while (frame_cut(rest, ASK_ANSWER_MAX, &f) == PARSE_DONE) {
		if (f.type == MSG_PARAMETER_STATUS)
			reports_add(&r, f.body);
		rest = slice_skip(rest, f.total);
	}
	reports_end(&r);
	a->answer.rest = a->in.p != NULL ? a->in.p + a->seen : NULL;
	a->answer.rest_n = a->in.n - a->seen;
	a->done(sv, &a->answer);
	ask_free(a);
}

static void
lost(struct ask *a, const char *reason)
{
	a->answer.lost = true;
	/* what it said last is why */
	if (!a->answer.failed)
		err_set(&a->answer.error, SQLSTATE_CONNECTION_FAILURE, "%s", reason);
	stream_fini(&a->server->stream);
	finish(a);
}

/* A session that listens is told what comes meanwhile, which is no part of the answer. False: the
 * server is not the session's yet (rehome.h), and the message is the caller's of the question. */
static bool
passes_on(struct ask *a, struct slice raw)
{
	struct server *sv = a->server;
	struct session *s = sv->session;

	if (s != NULL && s->server != sv)
		return false;
	/* others than the client wait for the answer: INV-3 holds with that much of patience */
	if (s != NULL && s->state == SESSION_RELAY && session_say(s, raw.p, raw.n) &&
	    stream_unsent(&s->client) > ASK_ANSWER_MAX)
		stream_want(&sv->stream, sv->stream.interest & ~EV_READ);
	return true;
}

static enum parse
take(struct ask *a, const struct frame *f)
{
	struct message_report r;

	switch (f->type) {
	case MSG_ERROR:
		if (a->syncs > 0) {
			a->answer.failed_behind = true;
		} else if (!a->answer.failed && message_parse_report(f->body, &r) == PARSE_DONE) {
			a->answer.failed = true;
			message_report_err(&r, &a->answer.error);
		}
		return PARSE_MORE;
	case MSG_READY:
		if (message_parse_ready(f->body, &a->answer.status) != PARSE_DONE)
			return PARSE_BAD;
		return ++a->syncs == a->until ? PARSE_DONE : PARSE_MORE;
	default:
		return PARSE_MORE;
	}
}

/* n bytes from `seen` on are the answer's next. */
static void
keep(struct ask *a, size_t n)
{
	if (a->kept != a->seen)
		memmove(a->in.p + a->kept, a->in.p + a->seen, n);
	a->kept += n;
	a->seen += n;
}

/* What has come, message by message. DONE: the answer is whole. */
static enum parse
take_all(struct ask *a)
{
	struct server *sv = a->server;
	struct frame f;
	enum parse p;

	while ((p = frame_cut(slice_skip(buf_view(&a->in), a->seen), ASK_ANSWER_MAX, &f)) ==
	       PARSE_DONE) {
		if (f.type == MSG_NOTIFICATION &&
		    passes_on(a, slice_of(a->in.p + a->seen, f.total))) {
			if (sv->ask != a)
				break; /* the session has ended, and its server with it */
			a->seen += f.total;
			continue;
		}
		p = take(a, &f);
		keep(a, f.total);
		if (p != PARSE_MORE)
			break;
	}
	return p;
}

/* Some of the answer is there. */
static void
look(struct ask *a)
{
	struct server *sv = a->server;
	enum parse p = take_all(a);
	size_t kept;

	if (sv->ask != a)
		return;
	if (p == PARSE_DONE) {
		finish(a);
		return;
	}
	/* what was passed on makes room */
	kept = a->kept;
	keep(a, a->in.n - a->seen);
	a->in.n = a->kept;
	a->kept = a->seen = kept;
	if (p == PARSE_BAD)
		lost(a, "protocol violation");
	else if (a->in.failed || a->in.n > ASK_ANSWER_MAX)
		lost(a, "the answer to a question of the proxy is too long");
}

static void
read_answer(struct ask *a)
{
	struct server *sv = a->server;
	char *scratch = sv->worker->scratch;
	ssize_t n = stream_recv(&sv->stream, scratch, WORKER_SCRATCH);

	if (n == STREAM_AGAIN)
		return;
	if (n <= 0) {
		lost(a, "server closed the connection unexpectedly");
		return;
	}
	buf_put(&a->in, scratch, (size_t)n);
	look(a);
}

HOT void
ask_on_event(struct ask *a, short what)
{
	struct server *sv = a->server;

	if (what & EV_WRITE) {
		struct session *s = sv->session;

		/* what was queued goes on its way; with the session's own behind it, that is for
		 * the session */
		if (s != NULL && s->server == sv && s->state == SESSION_RELAY)
			relay_on_server(s, EV_WRITE);
		else if (stream_flush(&sv->stream) != 0)
			lost(a, "connection lost");
	}
	if ((what & EV_READ) && sv->ask == a)
		read_answer(a);
}

static HOT struct ask *
new_ask(struct server *sv, const struct buf *messages, unsigned syncs, ask_done_fn *done)
{
	struct ask *a = xcalloc(1, sizeof(*a));

	a->server = sv;
	a->done = done;
	a->until = syncs;
	a->in.cap = ASK_ANSWER_MAX + WORKER_SCRATCH;
	/* where the connection is gone, reading says so */
	(void)stream_send(&sv->stream, messages->p, messages->n);
	return a;
}

HOT void
ask_begin_messages(struct server *sv, const struct buf *messages, unsigned syncs, ask_done_fn *done)
{
	sv->ask = new_ask(sv, messages, syncs, done);
	stream_want(&sv->stream, EV_READ | (sv->stream.interest & EV_WRITE));
}

void
ask_send_behind(struct server *sv, struct slice sql, ask_done_fn *done)
{
	struct buf b = { .cap = ASK_ANSWER_MAX };

	message_put_query(&b, sql);
	sv->ask_behind = new_ask(sv, &b, 1, done);
	buf_fini(&b);
}

void
ask_put(struct ask *a, const char *p, size_t n)
{
	buf_put(&a->in, p, n);
}

void
ask_take_over(struct server *sv)
{
	struct ask *a = sv->ask_behind;

	sv->ask = a;
	sv->ask_behind = NULL;
	stream_want(&sv->stream, EV_READ | (sv->stream.interest & EV_WRITE));
	if (a->in.n > 0)
		look(a);
}

void
ask_hand_over(struct ask *a, ask_done_fn *done)
{
	a->done = done;
}

void
ask_begin(struct server *sv, struct slice sql, ask_done_fn *done)
{
	struct buf b = { .cap = ASK_ANSWER_MAX };

	message_put_query(&b, sql);
	ask_begin_messages(sv, &b, 1, done);
	buf_fini(&b);
}

void
ask_put_apart(struct buf *b, struct slice statements)
{
	struct slice name = slice_str(ASK_STATEMENT_NAME);

	while (statements.n > 0) {
		/* one that failed has left its name behind */
		message_put_close_statement(b, name);
		message_put_statement(b, name, slice_cut(&statements, '\0'));
	}
	message_put_close_statement(b, name);
}

void
ask_begin_apart(struct server *sv, struct slice statements, ask_done_fn *done)
{
	struct buf b = { .cap = ASK_ANSWER_MAX };

	ask_put_apart(&b, statements);
	message_put_bare(&b, MSG_SYNC);
	ask_begin_messages(sv, &b, 1, done);
	buf_fini(&b);
}

HOT void
ask_free(struct ask *a)
{
	if (a == NULL)
		return;
	if (a->server->ask == a)
		a->server->ask = NULL;
	buf_fini(&a->in);
	free(a);
}
