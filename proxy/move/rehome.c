/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/rehome.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/hot.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/move/pause.h"
#include "proxy/move/rehome_int.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/ask.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/session_probe.h"
#include "proxy/sqlstate/statements.h"
#include "proxy/sqlstate/traces.h"
#include "proxy/sqlstate/vars.h"
#include "routing/topology.h"

#define KEEP_S 300 /* how long a connection is kept that no caller wants */

static void advance(struct rehome *r);

static void
rehome_enter(struct rehome *r, enum rehome_state state)
{
	BUG_ON(!rehome_state_may(r->state, state));
	r->state = state;
}

enum rehome_stage
rehome_stage(const struct session *s)
{
	return s->rehome != NULL ? rehome_state_row(s->rehome->state)->stage : REHOME_NONE;
}

/* ---- who can ---- */

/* What is carried over to the new server. */
#define PINS_CARRIED (PIN_LISTEN | PIN_PREPARED | PIN_UNSURE)

static const char *
reason_against(const struct session *s)
{
	struct slice unnamed;
	unsigned pins;

	if (s->state != SESSION_RELAY)
		return s->state == SESSION_CONSOLE ? "console" : "not attached";
	if (s->exchange.replication != REPLICATION_NONE)
		return "replication";
	if (pooled_mode(s) == POOL_TRANSACTION)
		return s->server == NULL                        ? ""
		       : statements_pins(s->pooled->statements) ? "prepared statement"
								: pin_name(s->pooled->pins);
	if (session_is_pooled(s) && s->server == NULL)
		return s->pooled->attached ? "not attached" : "";
	if (s->traces == NULL)
		return "passthrough login";
	pins = traces_pins(s->traces) | pooled_pins(s);
	if (pins & ~(unsigned)PINS_CARRIED)
		return pin_name(pins & ~(unsigned)PINS_CARRIED);
	return traces_unnamed(s->traces, &unnamed) ? "" : "prepared statement";
}

bool
rehome_can(const struct session *s, const char **why)
{
	*why = reason_against(s);
	return **why == '\0';
}

bool
rehome_holds(const struct session *s)
{
	const struct rehome *r = s->rehome;
	enum rehome_stage stage = rehome_stage(s);

	return r != NULL && (rehome_state_row(r->state)->asks || stage == REHOME_READY ||
			     (stage == REHOME_PREPARED && r->goal >= REHOME_READY));
}

/* ---- the end of it ---- */

static void
rehome_free(struct rehome *r)
{
	event_del(&r->timer);
	rehome_let_go(r);
	r->session->rehome = NULL;
	session_observe(r->session, OBSERVER_REHOME, false);
	if (r->live != NULL)
		node_live_unref(r->live);
	free(r->dbname);
	loop_defer(r->session->worker->loop, free, r);
}

/* The session is over: everything is given back. */
static HOT void
rehome_forget(struct session *s)
{
	struct rehome *r = s->rehome;
	rehome_done_fn *done;
	struct err e;

	if (r == NULL)
		return;
	done = r->done;
	rehome_free(r);
	err_set(&e, SQLSTATE_CONNECTION_FAILURE, "the session has ended");
	if (done != NULL)
		done(r->arg, s, &e);
}

/* The new server is of no use any more. What the old one was asked it answers all the same. */
static void
start_over(struct rehome *r)
{
	bool asks_old = r->state == MOVE_CAPTURING || r->state == MOVE_CAPTURING_AGAIN ||
			r->state == MOVE_DISOWNED;

	rehome_let_go(r);
	if (r->state == MOVE_READY) {
		/* Read on what the old server has said meanwhile. If the client has not taken what
		 * was sent before, the relay does that when it has. */
		if (!stream_is_blocked(&r->session->client))
			stream_want(&r->session->server->stream,
				    EV_READ | r->session->server->stream.interest);
	}
	rehome_enter(r, asks_old ? MOVE_DISOWNED : MOVE_STARTING);
}

/* Give the move up and read the client again; the owner is not told. */
static void
give_up(struct rehome *r)
{
	struct session *s = r->session;

	event_del(&r->timer);
	start_over(r);
	r->goal = REHOME_NONE;
	r->done = NULL;
	if (r->state != MOVE_DISOWNED)
		rehome_free(r);
	pause_on_server(s);
}

/* Tell the previous owner that its move was given up. */
static void
cancel_previous(struct session *s, rehome_done_fn *done, void *arg)
{
	struct err e;

	err_set(&e, SQLSTATE_QUERY_CANCELED, "the session's move was given up");
	if (done != NULL)
		done(arg, s, &e);
}

void
rehome_drop(struct session *s)
{
	struct rehome *r = s->rehome;
	rehome_done_fn *done = r != NULL ? r->done : NULL;
	void *arg = r != NULL ? r->arg : NULL;

	if (r == NULL)
		return;
	give_up(r);
	cancel_previous(s, done, arg);
}

void
rehome_fail(struct rehome *r, const struct err *e)
{
	struct session *s = r->session;
	rehome_done_fn *done = r->done;
	void *arg = r->arg;
	struct err copy = *e;

	log_about(LOG_LEVEL_INFO, session_subject(s), "the session stays where it is: %s", e->msg);
	give_up(r);
	if (done != NULL)
		done(arg, s, &copy);
}

static void
reached(struct rehome *r)
{
	static const struct timeval keep = { .tv_sec = KEEP_S };
	struct session *s = r->session;
	rehome_done_fn *done = r->done;
	void *arg = r->arg;

	event_del(&r->timer);
	r->done = NULL;
	if (r->state == MOVE_SWAPPED) {
		rehome_free(r);
		pause_on_server(s);
	} else if (rehome_stage(s) == REHOME_PREPARED) {
		event_add(&r->timer, &keep);
	}
	if (done != NULL)
		done(arg, s, NULL);
}

/* ---- from the old one to the new one ---- */

void
rehome_logged_in(struct rehome *r, struct server *sv)
{
	r->server = sv;
	rehome_reserve(r, sv, true);
	stream_want(&sv->stream, EV_READ | (sv->stream.interest & EV_WRITE));
	rehome_enter(r, MOVE_PREPARED);
	advance(r);
}

static void
become_ready(struct rehome *r)
{
	struct server *old = r->session->server;

	rehome_enter(r, MOVE_READY);
	/* what the old server says from now on waits: its end would be no error now */
	stream_want(&old->stream, 0);
	advance(r);
}

/* Append the notifications among these messages. */
static void
put_notifications(struct buf *b, struct slice messages)
{
	struct frame f;

	while (frame_cut(messages, INT32_MAX, &f) == PARSE_DONE) {
		if (f.type == MSG_NOTIFICATION)
			buf_put(b, messages.p, f.total);
		messages = slice_skip(messages, f.total);
	}
}

static void
on_replayed(struct server *sv, const struct ask_answer *a)
{
	struct rehome *r = sv->session->rehome;
	struct err e;

	rehome_enter(r, MOVE_PREPARED);
	if (a->lost || a->failed || a->status != 'I') {
		err_set(&e, SQLSTATE_OBJECT_NOT_IN_STATE, "the new server refuses it: %s",
			a->lost || a->failed ? a->error.msg : "protocol violation");
		rehome_fail(r, &e);
		return;
	}
	put_notifications(&r->later, a->messages);
	if (a->rest_n > 0 && !rehome_consume(r, a->rest, a->rest_n))
		rehome_server_lost(r, "server closed the connection unexpectedly");
	else
		become_ready(r);
}

static void
on_captured(struct server *sv, const struct ask_answer *a)
{
	struct session *s = sv->session;
	struct rehome *r = s->rehome;
	struct buf messages = { .cap = ASK_ANSWER_MAX };
	unsigned syncs = 0;
	struct err e;

	pooled_drop_question(s);
	if (a->lost) {
		session_close_err(s, WHY_SERVER_DIED, &a->error);
		return;
	}
	/* a notification: the state says that the question is asked, or the relay would have it
	 * asked again */
	if (a->rest_n > 0) {
		relay_from_server(s, a->rest, a->rest_n);
		if (s->state != SESSION_RELAY || s->rehome != r)
			return;
	}
	if (r->goal == REHOME_NONE) {
		rehome_free(r);
		pause_on_server(s);
	} else if (r->state == MOVE_DISOWNED) {
		rehome_enter(r, MOVE_STARTING);
		advance(r);
	} else if (a->failed && r->state == MOVE_CAPTURING &&
		   strcmp(a->error.sqlstate, SQLSTATE_QUERY_CANCELED) == 0) {
		rehome_enter(r, MOVE_CANCELLED);
		advance(r);
	} else {
		rehome_enter(r, MOVE_PREPARED);
		if (rehome_read_answer(r, a, &messages, &syncs, &e) != 0) {
			rehome_fail(r, &e);
		} else if (syncs > 0) {
			rehome_enter(r, MOVE_REPLAYING);
			ask_begin_messages(r->server, &messages, syncs, on_replayed);
		} else {
			become_ready(r);
		}
		buf_fini(&messages);
	}
}

static void
swap(struct rehome *r)
{
	struct session *s = r->session;
	struct server *old = s->server, *sv = r->server;
	char *scratch = s->worker->scratch;
	ssize_t n = stream_recv(&s->server->stream, scratch, WORKER_SCRATCH);
	struct buf last = { .cap = REHOME_INBOX_MAX };

	/* what the old server has sent a client that listens; it comes before what the new one
	 * sends */
	put_notifications(&last, slice_of(scratch, n > 0 ? (size_t)n : 0));
	buf_slice(&last, buf_view(&r->later));
	buf_fini(&r->later);
	r->later = last;
	r->server = NULL;
	rehome_reserve(r, sv, false);
	log_about(LOG_LEVEL_INFO, session_subject(s), "the session moves to region %s, node %s",
		  sv->live->region, sv->live->name);
	stat_add(&s->worker->stats.rehomed, 1);
	if (session_is_pooled(s)) {
		pooled_replace(s, sv, r->settings);
	} else {
		s->server = sv;
		sv->session = s;
		old->session = NULL;
		server_free(old);
		vars_put_reports(&r->later, r->told, sv->reported);
	}
	stream_want(&sv->stream, EV_READ | (sv->stream.interest & EV_WRITE));
	rehome_enter(r, MOVE_SWAPPED);
	if (r->later.n > 0 && !session_say(s, r->later.p, r->later.n))
		return;
	/* it ends within a message: the relay reads the rest */
	if (r->inbox.n > 0)
		relay_from_server(s, r->inbox.p, r->inbox.n);
	if (s->state == SESSION_RELAY)
		reached(r);
}

/* ---- on and on ---- */

static void
advance(struct rehome *r)
{
	struct session *s = r->session;
	struct buf messages = { .cap = ASK_ANSWER_MAX };

	if (s->state != SESSION_RELAY) {
		rehome_forget(s); /* the session's move is freed */
		return;
	}
	if (rehome_state_row(r->state)->asks)
		return;
	if (rehome_stage(s) >= r->goal) {
		reached(r);
	} else if (r->state == MOVE_STARTING) {
		if (r->server == NULL && r->place == NULL)
			rehome_login(r);
	} else if (r->state == MOVE_READY) {
		swap(r);
	} else if (s->server != NULL && s->server->ask == NULL &&
		   exchange_safe_point(&s->exchange) && !settings_hold(s) && pooled_is_still(s)) {
		rehome_enter(r, r->state == MOVE_CANCELLED ? MOVE_CAPTURING_AGAIN : MOVE_CAPTURING);
		pooled_begin_capture(s);
		rehome_put_question(r, &messages);
		ask_begin_messages(s->server, &messages, 1, on_captured);
		buf_fini(&messages);
	}
}

void
rehome_on_quiet(struct session *s)
{
	struct rehome *r = s->rehome;

	pause_on_server(s);
	if (s->state == SESSION_RELAY && rehome_stage(s) == REHOME_PREPARED &&
	    r->goal >= REHOME_READY)
		advance(r);
}

void
rehome_on_thaw(struct session *s)
{
	struct rehome *r = s->rehome;
	struct err e;

	if (!r->frozen || r->goal != REHOME_READY)
		return;
	err_set(&e, SQLSTATE_OBJECT_NOT_IN_STATE, "the database is no longer paused");
	rehome_fail(r, &e);
}

bool
rehome_in_progress(const struct session *s)
{
	return s->rehome != NULL && s->rehome->done != NULL;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct rehome *r = arg;
	const struct session *s = r->session;
	struct err e;

	(void)fd;
	(void)what;
	if (r->done == NULL) {
		rehome_drop(r->session);
		return;
	}
	if (rehome_stage(s) == REHOME_NONE)
		err_set(&e, SQLSTATE_CONNECTION_FAILURE, "no connection to the node in time");
	else if (!rehome_state_row(r->state)->asks)
		err_set(&e, SQLSTATE_OBJECT_NOT_IN_STATE,
			"the session does not come to the end of its transaction (%s)",
			exchange_activity_name(exchange_activity(&s->exchange)));
	else
		err_set(&e, SQLSTATE_CONNECTION_FAILURE, "a server does not answer in time");
	rehome_fail(r, &e);
}

static struct rehome *
rehome_new(struct session *s)
{
	struct rehome *r = xcalloc(1, sizeof(*r));

	r->session = s;
	r->inbox.cap = r->later.cap = REHOME_INBOX_MAX;
	evtimer_assign(&r->timer, loop_base(s->worker->loop), on_timer, r);
	s->rehome = r;
	session_observe(s, OBSERVER_REHOME, true);
	return r;
}

static bool
is_other_place(const struct rehome *r, const struct rehome_want *want)
{
	return r->live != want->live || (r->dbname == NULL) != (want->dbname == NULL) ||
	       (r->dbname != NULL && strcmp(r->dbname, want->dbname) != 0);
}

static void
set_target(struct rehome *r, const struct rehome_want *want)
{
	struct node_live *live = node_live_ref(want->live);

	start_over(r);
	if (r->live != NULL)
		node_live_unref(r->live);
	free(r->dbname);
	r->live = live;
	r->dbname = want->dbname != NULL ? xstrdup(want->dbname) : NULL;
}

static void
set_deadline(struct rehome *r, int64_t deadline_us)
{
	int64_t limit = r->session->worker->world->config->main.server_connect_timeout;
	int64_t left = deadline_us > 0 ? deadline_us - clock_us() : limit;
	struct timeval tv = { .tv_sec = left / USEC_PER_SEC, .tv_usec = left % USEC_PER_SEC };

	event_del(&r->timer);
	if (left <= 0 && deadline_us > 0)
		tv = (struct timeval){ 0 };
	if (left > 0 || deadline_us > 0)
		event_add(&r->timer, &tv);
}

void
rehome_to(struct session *s, enum rehome_stage goal, const struct rehome_want *want)
{
	struct rehome *r = s->rehome;
	rehome_done_fn *done;
	const char *why;
	struct err e;

	if (!rehome_can(s, &why)) {
		err_set(&e, SQLSTATE_OBJECT_NOT_IN_STATE, "session %" PRIu64 " cannot be moved: %s",
			s->id, why);
		rehome_drop(s);
		want->done(want->arg, s, &e);
		return;
	}
	/* its next transaction goes where the route leads anyway */
	if (pooled_mode(s) == POOL_TRANSACTION) {
		if (exchange_is_idle(&s->exchange) && pooled_can_leave(s))
			pooled_leave_node(s);
		want->done(want->arg, s, NULL);
		return;
	}
	if (s->server == NULL) {
		pooled_head_for(s, want->live);
		want->done(want->arg, s, NULL);
		return;
	}
	if (r == NULL && want->dbname == NULL && s->server->live == want->live) {
		want->done(want->arg, s, NULL); /* it is at that stage already */
		return;
	}
	if (r == NULL)
		r = rehome_new(s);
	done = r->done;
	r->done = NULL;
	cancel_previous(s, done, r->arg);
	if (is_other_place(r, want))
		set_target(r, want);
	r->goal = goal;
	r->done = want->done;
	r->arg = want->arg;
	r->frozen = want->frozen;
	log_about(LOG_LEVEL_DEBUG, session_subject(s),
		  "the session is to move to region %s, node %s", want->live->region,
		  want->live->name);
	set_deadline(r, want->deadline_us);
	advance(r);
}

static bool
holds_client(struct session *s)
{
	return rehome_holds(s) && pause_stops(s);
}

static void
on_server_sent(struct session *s, const struct answer *a)
{
	(void)a;
	rehome_on_quiet(s);
}

/* The server connection is about to be given up: what the server says now is not read. */
static bool
holds_server(const struct session *s)
{
	return rehome_stage(s) == REHOME_READY;
}

const struct observer rehome_observer = {
	.name = "rehome",
	.holds_client = holds_client,
	.on_server_sent = on_server_sent,
	.holds_server = holds_server,
	.on_end = rehome_forget,
	.on_server_gone = rehome_forget,
};
