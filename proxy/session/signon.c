/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/signon.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/hot.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/credential.h"
#include "proxy/net/dial.h"
#include "proxy/process/control.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/ownlogin.h"
#include "proxy/sqlstate/vars.h"

#define LOGIN_MESSAGE_MAX ((size_t)64 * 1024)
#define ANSWERS_MAX       (4 * LOGIN_MESSAGE_MAX) /* all that a node may say until it is ready */

struct signon {
	struct server *server;
	struct worker *worker;
	struct world *world; /* one reference: what is dialled is of this one */
	const struct node *node;
	struct credential *credential; /* one reference, or NULL */
	enum access access;
	char *user;
	char *about;
	struct dial dial;
	struct event timer; /* server_connect_timeout */
	struct buf startup, inbox;
	size_t heard; /* bytes of the node so far */
	struct ownlogin *own;
	int64_t begun_us;
	signon_done_fn *done;
	void *arg;
};

/* ---- what a node says ---- */

static int
parse_version(struct slice text)
{
	int major = 0, minor = 0;
	size_t i = 0;

	for (; i < text.n && i < 3 && text.p[i] >= '0' && text.p[i] <= '9'; i++)
		major = major * 10 + (text.p[i] - '0');
	if (i < text.n && text.p[i] == '.') {
		for (i++; i < text.n && i < 7 && text.p[i] >= '0' && text.p[i] <= '9'; i++)
			minor = minor * 10 + (text.p[i] - '0');
	}
	return major * 10000 + minor;
}

HOT const char *
signon_learn(struct worker *w, const struct node *n, enum access want, struct server *sv,
	     struct slice body)
{
	struct control_lesson lesson = { -1, 0, KIND_UNKNOWN };
	struct message_parameter p;
	bool news = false;

	if (message_parse_parameter(body, &p) != PARSE_DONE)
		return NULL;
	if (slice_is(p.name, "in_hot_standby")) {
		lesson.in_hot_standby = slice_is(p.value, "on");
		sv->is_primary = lesson.in_hot_standby == 0;
		news = n->role == ROLE_UNKNOWN ||
		       (n->role == ROLE_STANDBY) != (lesson.in_hot_standby == 1);
	} else if (slice_is(p.name, "default_transaction_read_only")) {
		/* may be the role's, the database's or the client's own: it says nothing of the
		 * node, and must not keep a role that only reads from being served */
		sv->is_writable = slice_is(p.value, "off");
	} else if (slice_is(p.name, "server_version")) {
		lesson.server_version = parse_version(p.value);
		news = n->server_version == 0;
	} else if (slice_is(p.name, "crdb_version")) {
		lesson.kind = KIND_COCKROACHDB;
		sv->is_cockroachdb = true;
		news = n->kind != KIND_COCKROACHDB;
	}
	if (news && !n->probed)
		control_learned(w->process->control, n->live->id, &lesson);
	else if (news && lesson.in_hot_standby >= 0)
		control_look(w->process->control, n->live);
	if (lesson.in_hot_standby == 1 && (want == ACCESS_READ_WRITE || want == ACCESS_PRIMARY))
		return "the node is a standby";
	if (lesson.in_hot_standby == 0 && want == ACCESS_STANDBY)
		return "the node is not a standby";
	if (sv->is_primary && sv->is_writable && want == ACCESS_READ_ONLY)
		return "the node is not read-only";
	return NULL;
}

bool
signon_another_may_do(struct slice sqlstate)
{
	static const char *const states[] = { SQLSTATE_CANNOT_CONNECT_NOW, SQLSTATE_ADMIN_SHUTDOWN,
					      SQLSTATE_CRASH_SHUTDOWN,
					      SQLSTATE_TOO_MANY_CONNECTIONS };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (slice_is(sqlstate, states[i]))
			return true;
	}
	return slice_starts(sqlstate, "53") || slice_starts(sqlstate, "58");
}

bool
signon_says_nothing_of_node(struct slice sqlstate)
{
	return slice_is(sqlstate, SQLSTATE_TOO_MANY_CONNECTIONS) ||
	       slice_is(sqlstate, SQLSTATE_UNDEFINED_FILE);
}

/* ---- life ---- */

static void advance(struct signon *so, enum dial_step step);

HOT void
signon_free(struct signon *so)
{
	if (so == NULL)
		return;
	event_del(&so->timer);
	if (so->server->signon == so)
		so->server->signon = NULL;
	ownlogin_free(so->own);
	credential_unref(so->credential);
	buf_fini(&so->startup);
	buf_fini(&so->inbox);
	world_unref(so->world);
	free(so->user);
	free(so->about);
	free(so);
}

static void
end(struct signon *so, enum signon_end how, const struct err *e)
{
	struct server *sv = so->server;
	signon_done_fn *done = so->done;
	void *arg = so->arg;

	signon_free(so);
	done(arg, sv, how, e);
}

static void
fail(struct signon *so, enum signon_end how, const struct err *e)
{
	struct node_live *live = so->server->live;
	struct err copy = *e;

	log_msg(LOG_LEVEL_INFO, "%s: node %s of region %s failed: %s", so->about, live->name,
		live->region, e->msg);
	if (how == SIGNON_FAILED) {
		stat_add(&so->worker->stats.attempt_failures, 1);
		atomic_fetch_add(&live->failures, 1);
		control_evidence(so->worker->process->control, live->id, e->msg);
	}
	end(so, how, &copy);
}

static void
fail_text(struct signon *so, enum signon_end how, const char *reason)
{
	struct err e;

	err_set(&e, SQLSTATE_CONNECTION_FAILURE, "%s", reason);
	fail(so, how, &e);
}

/* The node has heard who wants what, and that may be why it takes its time. */
static bool
is_slow_by_request(const struct signon *so)
{
	struct startup *st = worker_startup(so->worker);

	return so->dial.step == DIAL_READY &&
	       startup_parse(buf_view(&so->startup), st, NULL) == PARSE_DONE &&
	       startup_may_delay(st);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct signon *so = arg;

	(void)fd;
	(void)what;
	fail_text(so, is_slow_by_request(so) ? SIGNON_UNFIT : SIGNON_FAILED, "timeout expired");
}

static void
begin(struct signon *so, enum dial_way way)
{
	struct dial_target to =
	    world_dial_target(so->world, (uint16_t)(so->node - so->world->topology->nodes));

	so->server->terms = to.terms;
	so->dial = (struct dial){ .tls = so->worker->tls };
	buf_clear(&so->inbox);
	so->heard = 0;
	vars_unref(so->server->reported);
	so->server->reported = vars_empty(so->worker->vars);
	ownlogin_free(so->own);
	so->own = ownlogin_new_credential(so->credential);
	advance(so, dial_begin(&so->dial, &so->server->stream, &to, way));
}

/* sslmode = prefer or allow: the same node again, with TLS or without. */
static bool
again(struct signon *so)
{
	enum dial_way way;

	if (!dial_other_way(&so->dial, &way))
		return false;
	stream_fini(&so->server->stream);
	server_open(so->server);
	begin(so, way);
	return true;
}

static void
advance(struct signon *so, enum dial_step step)
{
	enum signon_end how = so->dial.our_fault ? SIGNON_UNFIT : SIGNON_FAILED;

	if (step == DIAL_FAILED) {
		if (so->dial.no_descriptor)
			how = SIGNON_SCARCE;
		if (!so->dial.tls_failed || !again(so))
			fail_text(so, how, so->dial.reason);
	} else if (step == DIAL_READY &&
		   stream_send(&so->server->stream, so->startup.p, so->startup.n) != 0) {
		fail_text(so, SIGNON_FAILED, "connection lost");
	}
}

/* ---- the node's answers; false: the login is over ---- */

/* An answer to the node that took its time. */
static void
on_own_answer(void *arg, struct slice reply, const struct err *failed)
{
	struct signon *so = arg;

	if (failed != NULL)
		fail(so, SIGNON_FATAL, failed);
	else if (stream_send(&so->server->stream, reply.p, reply.n) != 0)
		fail_text(so, SIGNON_FAILED, "connection lost");
}

static bool
take_auth(struct signon *so, struct slice body)
{
	struct worker *w = so->worker;
	struct ownlogin_away away = { w->process->keymaker, w->mail, on_own_answer, so };
	struct message_auth auth;
	struct buf reply = { .cap = LOGIN_MESSAGE_MAX };
	struct err e;
	bool on = true;

	if (message_parse_auth(body, &auth) != PARSE_DONE) {
		fail_text(so, SIGNON_FAILED, "protocol violation");
		return false;
	}
	ownlogin_on_channel(so->own, so->server->stream.ssl,
			    so->world->config->regions[so->node->region].channel_binding);
	ownlogin_may_wait(so->own, &away);
	if (ownlogin_answer(so->own, slice_str(so->user), &auth, &reply, &e) != 0) {
		fail(so, SIGNON_FATAL, &e);
		on = false;
	} else if (reply.n > 0 && stream_send(&so->server->stream, reply.p, reply.n) != 0) {
		fail_text(so, SIGNON_FAILED, "connection lost");
		on = false;
	}
	if (reply.n > 0)
		OPENSSL_cleanse(reply.p, reply.n);
	buf_fini(&reply);
	return on;
}

static void
take_error(struct signon *so, struct slice body)
{
	struct message_report r;
	struct err e;

	if (message_parse_report(body, &r) != PARSE_DONE) {
		fail_text(so, SIGNON_FAILED, "protocol violation");
		return;
	}
	stats_error(&so->worker->stats, ERROR_OF_NODE, r.sqlstate);
	if (slice_is(r.sqlstate, SQLSTATE_INVALID_PASSWORD) && ownlogin_suspicion(so->own) != NULL)
		log_msg(LOG_LEVEL_WARNING, "%s: %s", so->about, ownlogin_suspicion(so->own));
	message_report_err(&r, &e);
	if (signon_another_may_do(r.sqlstate))
		fail(so, signon_says_nothing_of_node(r.sqlstate) ? SIGNON_UNFIT : SIGNON_FAILED,
		     &e);
	else if (!slice_is(r.sqlstate, SQLSTATE_INVALID_AUTHORIZATION) || !again(so))
		fail(so, SIGNON_FATAL, &e);
}

static void
ready(struct signon *so)
{
	struct worker *w = so->worker;

	histogram_observe(&w->stats.attempt, clock_us() - so->begun_us);
	atomic_fetch_add(&so->server->live->connects, 1);
	end(so, SIGNON_READY, NULL);
}

static bool
take(struct signon *so, const struct frame *f)
{
	const char *unfit;
	struct server *sv = so->server;
	struct message_key k;

	switch (f->type) {
	case MSG_AUTHENTICATION:
		return take_auth(so, f->body);
	case MSG_PARAMETER_STATUS:
		unfit = signon_learn(so->worker, so->node, so->access, so->server, f->body);
		if (unfit != NULL) {
			fail_text(so, SIGNON_UNFIT, unfit);
			return false;
		}
		vars_report(&so->server->reported, f->body);
		return true;
	case MSG_BACKEND_KEY:
		if (message_parse_key(f->body, &k) != PARSE_DONE || sv->key_len > 0) {
			fail_text(so, SIGNON_FAILED, "protocol violation");
			return false;
		}
		sv->pid = k.pid;
		server_keep_key(sv, k.secret);
		return true;
	case MSG_NOTICE:
	case MSG_NEGOTIATE_VERSION:
		return true;
	case MSG_ERROR:
		take_error(so, f->body);
		return false;
	case MSG_READY:
		ready(so);
		return false;
	default:
		fail_text(so, SIGNON_FAILED, "protocol violation");
		return false;
	}
}

void
signon_on_event(struct signon *so, short what)
{
	char *scratch = so->worker->scratch;
	struct frame f;
	size_t seen = 0;
	enum parse p;
	ssize_t n;

	if (so->dial.step != DIAL_READY) {
		advance(so, dial_on_event(&so->dial, what));
		return;
	}
	if ((what & EV_WRITE) && stream_flush(&so->server->stream) != 0) {
		fail_text(so, SIGNON_FAILED, "connection lost");
		return;
	}
	if (!(what & EV_READ))
		return;
	n = stream_recv(&so->server->stream, scratch, LOGIN_MESSAGE_MAX);
	if (n == STREAM_AGAIN)
		return;
	if (n > 0) {
		buf_put(&so->inbox, scratch, (size_t)n);
		so->heard += (size_t)n;
	}
	if (n <= 0 || so->inbox.failed || so->heard > ANSWERS_MAX) {
		fail_text(so, SIGNON_FAILED,
			  n <= 0 ? "server closed the connection unexpectedly"
				 : "protocol violation");
		return;
	}
	while ((p = frame_cut(slice_skip(buf_view(&so->inbox), seen), LOGIN_MESSAGE_MAX, &f)) ==
	       PARSE_DONE) {
		seen += f.total;
		if (!take(so, &f))
			return;
	}
	if (p == PARSE_BAD)
		fail_text(so, SIGNON_FAILED, "protocol violation");
	else
		buf_drop(&so->inbox, seen);
}

/* The first dial. It may fail at once, and not while its owner is asking for it. */
static void
on_start(evutil_socket_t fd, short what, void *arg)
{
	struct signon *so = arg;
	int64_t limit = so->world->config->main.server_connect_timeout;
	struct timeval tv = { .tv_sec = limit / USEC_PER_SEC, .tv_usec = limit % USEC_PER_SEC };

	(void)fd;
	(void)what;
	if (so->node == NULL) {
		fail_text(so, SIGNON_UNFIT, "the node is no longer configured");
		return;
	}
	if (so->startup.n == 0) {
		fail_text(so, SIGNON_UNFIT, "the startup packet is too long for it");
		return;
	}
	evtimer_assign(&so->timer, loop_base(so->worker->loop), on_timer, so);
	if (limit > 0)
		event_add(&so->timer, &tv);
	stat_add(&so->worker->stats.attempts, 1);
	atomic_fetch_add(&so->server->live->attempts, 1);
	begin(so, DIAL_AS_CONFIGURED);
}

void
signon_begin(const struct signon_order *order)
{
	static const struct timeval now = { 0 };
	struct server *sv = order->server;
	struct signon *so = xcalloc(1, sizeof(*so));

	so->server = sv;
	so->worker = sv->worker;
	so->world = world_ref(worker_world(sv->worker));
	so->node = topology_node_by_live(so->world->topology, sv->live);
	so->credential = credential_ref(order->credential);
	so->access = order->access;
	so->user = xstrdup(order->user);
	so->about = xstrdup(order->about);
	so->startup.cap = 2 * STARTUP_BYTES_MAX;
	buf_slice(&so->startup, order->startup);
	so->inbox.cap = LOGIN_MESSAGE_MAX;
	so->begun_us = clock_us();
	so->done = order->done;
	so->arg = order->arg;
	sv->signon = so;
	evtimer_assign(&so->timer, loop_base(sv->worker->loop), on_start, so);
	event_add(&so->timer, &now);
}
