/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/login/attempt.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hot.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/process/control.h"
#include "proxy/session/login_state.h"
#include "proxy/session/route.h"
#include "proxy/session/signon.h"

#define ANSWER_MAX (64 * 1024)
#define OURS_MORE  64 /* more than Meridian usually adds to a startup packet */

static const struct node *
node_of(const struct attempt *a)
{
	return &a->login->world->topology->nodes[a->node];
}

static void
attempt_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *a = arg;

	(void)fd;
	(void)what;
	attach_failed(a,
		      a->dial.step == DIAL_READY && startup_may_delay(login_startup(a->login))
			  ? ATTEMPT_UNFIT
			  : ATTEMPT_FAILED,
		      "timeout expired");
}

static void advance(struct attempt *a, enum dial_step step);
static void build_startup(const struct attempt *a, struct buf *b);

HOT void
attempt_begin(struct login *l, unsigned place, uint16_t node, enum dial_way way)
{
	struct session *s = l->session;
	const struct node *n = &l->world->topology->nodes[node];
	int64_t limit = l->world->config->main.server_connect_timeout;
	struct dial_target to = world_dial_target(l->world, node);
	struct attempt *a = xcalloc(1, sizeof(*a));
	struct buf first = { .cap = 2 * STARTUP_BYTES_MAX };
	struct timeval tv;

	a->login = l;
	a->node = node;
	a->begun_us = clock_us();
	a->inbox.cap = ANSWER_MAX;
	a->server = server_new(s->worker, s, n->live);
	a->server->attempt = a;
	a->dial.tls = s->worker->tls;
	l->attempts[place] = a;
	evtimer_assign(&a->timer, loop_base(s->worker->loop), attempt_on_timer, a);
	if (limit > 0) {
		tv.tv_sec = limit / USEC_PER_SEC;
		tv.tv_usec = limit % USEC_PER_SEC;
		event_add(&a->timer, &tv);
	}
	stat_add(&s->worker->stats.attempts, 1);
	atomic_fetch_add(&n->live->attempts, 1);
	if (dial_may_say(&to, way))
		build_startup(a, &first);
	if (!first.failed)
		to.first = buf_view(&first);
	advance(a, dial_begin(&a->dial, &a->server->stream, &to, way));
	buf_fini(&first);
}

HOT void
attempt_free(struct attempt *a)
{
	if (a == NULL)
		return;
	event_del(&a->timer);
	server_free(a->server);
	buf_fini(&a->inbox);
	free(a);
}

enum { STARTUP_TOO_LONG = -2 };

/* The StartupMessage for this node; `failed`: it is too long. */
static HOT void
build_startup(const struct attempt *a, struct buf *b)
{
	struct login *l = a->login;
	const struct region *r = &l->world->topology->regions[node_of(a)->region];
	struct startup_param set[3];
	/* with a client that we authenticate we have negotiated the protocol ourselves */
	struct startup_edit edit = { .set = set, .plain = l->auth != NULL };
	struct slice said = session_name(l->session, NAME_DATABASE);
	struct slice dbname = l->through == NULL ? locate_dbname(l->world, said) : said;

	if (dbname.p != said.p)
		edit.database = dbname;
	if (r->export_locality) {
		set[edit.set_n++] =
		    (struct startup_param){ slice_str("meridian.region"), slice_str(r->name) };
		if (l->locality.city[0] != '\0')
			set[edit.set_n++] = (struct startup_param){ slice_str("meridian.city"),
								    slice_str(l->locality.city) };
		if (l->locality.country[0] != '\0')
			set[edit.set_n++] =
			    (struct startup_param){ slice_str("meridian.country"),
						    slice_str(l->locality.country) };
	}
	(void)buf_reserve(b, l->packet.n + OURS_MORE);
	startup_build(b, login_startup(l), &edit);
	if (b->failed) {
		/* the client's own parameters fill the packet: they go without ours */
		buf_clear(b);
		edit.set_n = 0;
		startup_build(b, login_startup(l), &edit);
	}
}

/* -1: the connection failed. */
static int
send_startup(struct attempt *a)
{
	struct buf b = { .cap = 2 * STARTUP_BYTES_MAX };
	int result = STARTUP_TOO_LONG;

	build_startup(a, &b);
	if (!b.failed)
		result = stream_send(&a->server->stream, b.p, b.n);
	buf_fini(&b);
	return result;
}

static HOT void
advance(struct attempt *a, enum dial_step step)
{
	enum dial_way way;
	int sent;
	enum attempt_end how = a->dial.our_fault ? ATTEMPT_UNFIT : ATTEMPT_FAILED;

	if (a->dial.tls_failed && dial_other_way(&a->dial, &way))
		how = ATTEMPT_RETRY;
	if (step == DIAL_FAILED)
		attach_failed(a, how, a->dial.reason);
	else if (step == DIAL_READY && !a->dial.said && (sent = send_startup(a)) != 0)
		attach_failed(a, sent == STARTUP_TOO_LONG ? ATTEMPT_UNFIT : ATTEMPT_FAILED,
			      sent == STARTUP_TOO_LONG ? "the startup packet is too long for it"
						       : "connection lost");
}

/* An ErrorResponse came first. False: the attempt is over. */
static bool
read_error(struct attempt *a, struct slice body)
{
	struct message_report r;
	char reason[200];
	enum dial_way way;

	if (message_parse_report(body, &r) != PARSE_DONE) {
		attach_failed(a, ATTEMPT_FAILED, "protocol violation");
		return false;
	}
	snprintf(reason, sizeof(reason), "%.*s (%.*s)",
		 (int)(r.message.n < 150 ? r.message.n : 150), r.message.p,
		 (int)(r.sqlstate.n < 5 ? r.sqlstate.n : 5), r.sqlstate.p);
	if (signon_another_may_do(r.sqlstate)) {
		stats_error(&a->login->session->worker->stats, ERROR_OF_NODE, r.sqlstate);
		attach_failed(
		    a, signon_says_nothing_of_node(r.sqlstate) ? ATTEMPT_UNFIT : ATTEMPT_FAILED,
		    reason);
		return false;
	}
	if (slice_is(r.sqlstate, SQLSTATE_INVALID_AUTHORIZATION) &&
	    dial_other_way(&a->dial, &way)) {
		stats_error(&a->login->session->worker->stats, ERROR_OF_NODE, r.sqlstate);
		attach_failed(a, ATTEMPT_RETRY, reason);
		return false;
	}
	attach_won(a); /* the refusal concerns the client: it is forwarded */
	return false;
}

/* One message of the answer. True: look at the next one; false: the attempt is over. */
static bool
read_message(struct attempt *a, const struct frame *f)
{
	struct message_auth auth;
	const char *unfit;

	switch (f->type) {
	case MSG_AUTHENTICATION:
		if (message_parse_auth(f->body, &auth) == PARSE_DONE && auth.code == AUTH_OK)
			return true;
		attach_won(a);
		return false;
	case MSG_ERROR:
		return read_error(a, f->body);
	case MSG_PARAMETER_STATUS:
		unfit = signon_learn(a->server->worker, node_of(a), a->login->access, a->server,
				     f->body);
		if (unfit == NULL)
			return true;
		attach_failed(a, ATTEMPT_UNFIT, unfit);
		return false;
	case MSG_BACKEND_KEY:
	case MSG_NOTICE:
	case MSG_NEGOTIATE_VERSION:
		return true;
	case MSG_READY:
		attach_won(a);
		return false;
	default:
		attach_failed(a, ATTEMPT_FAILED, "protocol violation");
		return false;
	}
}

HOT void
attempt_on_event(struct attempt *a, short what)
{
	char *scratch = a->login->session->worker->scratch;
	struct stream *st = &a->server->stream;
	struct frame f;
	enum parse p;
	ssize_t n;

	if (a->dial.step != DIAL_READY) {
		advance(a, dial_on_event(&a->dial, what));
		return;
	}
	if ((what & EV_WRITE) && stream_flush(st) != 0) {
		attach_failed(a, ATTEMPT_FAILED, "connection lost");
		return;
	}
	if (!(what & EV_READ))
		return;
	n = stream_recv(st, scratch, ANSWER_MAX);
	if (n == STREAM_AGAIN)
		return;
	if (n <= 0) {
		attach_failed(a, ATTEMPT_FAILED, "server closed the connection unexpectedly");
		return;
	}
	buf_put(&a->inbox, scratch, (size_t)n);
	if (a->inbox.failed) {
		attach_failed(a, ATTEMPT_FAILED, "protocol violation");
		return;
	}
	while ((p = frame_cut(slice_skip(buf_view(&a->inbox), a->seen), ANSWER_MAX, &f)) ==
	       PARSE_DONE) {
		a->seen += f.total;
		if (!read_message(a, &f))
			return;
	}
	if (p == PARSE_BAD)
		attach_failed(a, ATTEMPT_FAILED, "protocol violation");
}
