/* SPDX-License-Identifier: PostgreSQL
 *
 * Launching: a pool opens a connection to its node and logs in with its credential. What the node
 * says of itself on the way becomes the pool's welcome for its sessions.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include <openssl/crypto.h>

#include "base/bug.h"
#include "base/clock.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/credential.h"
#include "proxy/control.h"
#include "proxy/pool/pool_int.h"
#include "proxy/session/dial.h"
#include "proxy/session/ownlogin.h"
#include "proxy/session/reports.h"
#include "proxy/session/statements.h"
#include "proxy/session/vars.h"
#include "proxy/worker_int.h"

#define LOGIN_MESSAGE_MAX ((size_t)64 * 1024)

struct launch {
	struct server *server;
	struct pool *pool;
	struct world *world; /* one reference: what is dialled is of this one */
	const struct node *node;
	struct dial dial;
	struct event timer; /* server_connect_timeout */
	struct buf inbox;
	struct ownlogin *own;
	int64_t begun_us;
};

/* How it ended badly. */
enum launch_end {
	LAUNCH_FAILED, /* evidence against the node */
	LAUNCH_UNFIT,  /* the node is well, but not for this pool */
	LAUNCH_FATAL,  /* nor is any other: what the node said is for the clients */
};

static void advance(struct launch *l, enum dial_step step);

void
launch_free(struct launch *l)
{
	if (l == NULL)
		return;
	event_del(&l->timer);
	if (l->server->launch == l)
		l->server->launch = NULL;
	ownlogin_free(l->own);
	buf_fini(&l->inbox);
	world_unref(l->world);
	free(l);
}

static void
fail(struct launch *l, enum launch_end how, const struct err *e)
{
	struct pool *p = l->pool;
	struct worker *w = p->worker;
	struct err copy = *e;

	log_msg(LOG_LEVEL_INFO, "pool %s/%s: node %s of region %s failed: %s", p->database, p->user,
		p->live->name, p->live->region, e->msg);
	if (how == LAUNCH_FAILED) {
		stat_add(&w->stats.attempt_failures, 1);
		atomic_fetch_add(&p->live->failures, 1);
		control_evidence(w->process->control, p->live->id, e->msg);
	}
	snprintf(p->reason, sizeof(p->reason), "%.199s", e->msg);
	p->retry_us = clock_us() + w->world->config->main.server_login_retry;
	server_free(l->server);
	pool_refuse(p, &copy, how == LAUNCH_FATAL);
	pools_arm(w->pools);
}

static void
fail_text(struct launch *l, enum launch_end how, const char *reason)
{
	struct err e;

	err_set(&e, SQLSTATE_CONNECTION_FAILURE, "%s", reason);
	fail(l, how, &e);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	fail_text(arg, LAUNCH_FAILED, "timeout expired");
}

static int
send_startup(struct launch *l)
{
	const struct pool *p = l->pool;
	const struct region *r = &l->world->topology->regions[l->node->region];
	struct startup_param set[] = {
		{ slice_str("user"), slice_str(p->user) },
		{ slice_str("database"), slice_str(p->dbname) },
		{ slice_str("meridian.region"), slice_str(r->name) },
		{ slice_str("options"), slice_str(p->options) },
	};
	struct startup st = { .kind = STARTUP_V3, .major = 3 };
	struct startup_edit edit = { .set = set, .set_n = r->export_locality ? 3 : 2 };
	struct buf b = { .cap = 2 * STARTUP_BYTES_MAX };
	int result = -1;

	if (p->options[0] != '\0')
		set[edit.set_n++] = set[3];
	startup_build(&b, &st, &edit);
	if (!b.failed)
		result = stream_send(&l->server->stream, b.p, b.n);
	buf_fini(&b);
	return result;
}

static void
begin(struct launch *l, enum dial_way way)
{
	struct dial_target to =
	    dial_target(l->world, (uint16_t)(l->node - l->world->topology->nodes));

	l->dial = (struct dial){ .tls = l->pool->worker->tls };
	buf_clear(&l->inbox);
	vars_unref(l->server->reported);
	l->server->reported = vars_empty(l->pool->worker->vars);
	ownlogin_free(l->own);
	l->own = ownlogin_new_credential(l->pool->credential);
	advance(l, dial_begin(&l->dial, &l->server->stream, &to, way));
}

/* sslmode = prefer or allow: the same node again, with TLS or without. */
static bool
again(struct launch *l)
{
	enum dial_way way;

	if (!dial_other_way(&l->dial, &way))
		return false;
	stream_fini(&l->server->stream);
	server_open(l->server);
	begin(l, way);
	return true;
}

static void
advance(struct launch *l, enum dial_step step)
{
	if (step == DIAL_FAILED) {
		if (!l->dial.tls_failed || !again(l))
			fail_text(l, l->dial.our_fault ? LAUNCH_UNFIT : LAUNCH_FAILED,
				  l->dial.reason);
	} else if (step == DIAL_READY && send_startup(l) != 0) {
		fail_text(l, LAUNCH_FAILED, "connection lost");
	}
}

/* ---- the node's answers; false: the launch is over ---- */

/* An answer to the node that took its time. */
static void
on_own_answer(void *arg, struct slice reply, const struct err *failed)
{
	struct launch *l = arg;

	if (failed != NULL)
		fail(l, LAUNCH_FATAL, failed);
	else if (stream_send(&l->server->stream, reply.p, reply.n) != 0)
		fail_text(l, LAUNCH_FAILED, "connection lost");
}

static bool
take_auth(struct launch *l, struct slice body)
{
	struct worker *w = l->pool->worker;
	struct ownlogin_away away = { w->process->keymaker, w->mail, on_own_answer, l };
	struct message_auth auth;
	struct buf reply = { .cap = LOGIN_MESSAGE_MAX };
	struct err e;
	bool on = true;

	if (message_parse_auth(body, &auth) != PARSE_DONE) {
		fail_text(l, LAUNCH_FAILED, "protocol violation");
		return false;
	}
	ownlogin_on_channel(l->own, l->server->stream.ssl,
			    l->world->config->regions[l->node->region].channel_binding);
	ownlogin_may_wait(l->own, &away);
	if (ownlogin_answer(l->own, slice_str(l->pool->user), &auth, &reply, &e) != 0) {
		fail(l, LAUNCH_FATAL, &e);
		on = false;
	} else if (reply.n > 0 && stream_send(&l->server->stream, reply.p, reply.n) != 0) {
		fail_text(l, LAUNCH_FAILED, "connection lost");
		on = false;
	}
	if (reply.n > 0)
		OPENSSL_cleanse(reply.p, reply.n);
	buf_fini(&reply);
	return on;
}

static void
take_error(struct launch *l, struct slice body)
{
	struct message_report r;
	struct err e;

	if (message_parse_report(body, &r) != PARSE_DONE) {
		fail_text(l, LAUNCH_FAILED, "protocol violation");
		return;
	}
	stats_error(&l->pool->worker->stats, ERROR_OF_NODE, r.sqlstate);
	if (slice_is(r.sqlstate, SQLSTATE_INVALID_PASSWORD) && ownlogin_suspicion(l->own) != NULL)
		log_msg(LOG_LEVEL_WARNING, "pool %s/%s: %s", l->pool->database, l->pool->user,
			ownlogin_suspicion(l->own));
	message_report_err(&r, &e);
	if (login_another_may_do(r.sqlstate))
		fail(l,
		     slice_is(r.sqlstate, SQLSTATE_TOO_MANY_CONNECTIONS) ? LAUNCH_UNFIT
									 : LAUNCH_FAILED,
		     &e);
	else if (!slice_is(r.sqlstate, SQLSTATE_INVALID_AUTHORIZATION) || !again(l))
		fail(l, LAUNCH_FATAL, &e);
}

static bool
take_key(struct launch *l, struct slice body)
{
	struct server *sv = l->server;
	struct message_key k;

	if (message_parse_key(body, &k) != PARSE_DONE || sv->key_len > 0) {
		fail_text(l, LAUNCH_FAILED, "protocol violation");
		return false;
	}
	sv->pid = k.pid;
	sv->key = xmalloc(k.secret.n);
	sv->key_len = (uint16_t)k.secret.n;
	memcpy(sv->key, k.secret.p, k.secret.n);
	return true;
}

/* Up to a tenth less than server_lifetime, at random. */
static int64_t
expiry(int64_t lifetime, int64_t now_us)
{
	uint32_t random;

	if (lifetime == 0)
		return 0;
	BUG_ON(getrandom(&random, sizeof(random), 0) != sizeof(random));
	return now_us + lifetime - (int64_t)((double)lifetime / 10 * random / UINT32_MAX);
}

static void
ready(struct launch *l)
{
	struct server *sv = l->server;
	struct pool *p = l->pool;
	struct worker *w = p->worker;
	int64_t now_us = clock_us();

	histogram_observe(&w->stats.attempt, now_us - l->begun_us);
	atomic_fetch_add(&p->live->connects, 1);
	p->retry_us = 0;
	sv->vars = vars_empty(w->vars);
	sv->settled = vars_ref(sv->reported);
	greetings_restart(p->greetings, sv->vars, sv->reported);
	sv->statements = server_statements_new(w->texts);
	sv->launched_us = now_us;
	sv->expires_us = expiry(w->world->config->main.server_lifetime, now_us);
	launch_free(l);
	pool_give(sv);
}

static bool
take(struct launch *l, const struct frame *f)
{
	const char *unfit;

	switch (f->type) {
	case MSG_AUTHENTICATION:
		return take_auth(l, f->body);
	case MSG_PARAMETER_STATUS:
		unfit = login_learn(l->pool->worker, l->node, l->pool->access, l->server, f->body);
		if (unfit != NULL) {
			fail_text(l, LAUNCH_UNFIT, unfit);
			return false;
		}
		vars_report(&l->server->reported, f->body);
		return true;
	case MSG_BACKEND_KEY:
		return take_key(l, f->body);
	case MSG_NOTICE:
	case MSG_NEGOTIATE_VERSION:
		return true;
	case MSG_ERROR:
		take_error(l, f->body);
		return false;
	case MSG_READY:
		ready(l);
		return false;
	default:
		fail_text(l, LAUNCH_FAILED, "protocol violation");
		return false;
	}
}

static void
read_answer(struct launch *l)
{
	char *scratch = l->pool->worker->scratch;
	ssize_t n = stream_recv(&l->server->stream, scratch, LOGIN_MESSAGE_MAX);
	struct frame f;
	size_t seen = 0;
	enum parse p;

	if (n == STREAM_AGAIN)
		return;
	if (n > 0)
		buf_put(&l->inbox, scratch, (size_t)n);
	if (n <= 0 || l->inbox.failed) {
		fail_text(l, LAUNCH_FAILED,
			  n <= 0 ? "server closed the connection unexpectedly"
				 : "protocol violation");
		return;
	}
	while ((p = frame_cut(slice_skip(buf_view(&l->inbox), seen), LOGIN_MESSAGE_MAX, &f)) ==
	       PARSE_DONE) {
		seen += f.total;
		if (!take(l, &f))
			return;
	}
	if (p == PARSE_BAD)
		fail_text(l, LAUNCH_FAILED, "protocol violation");
	else
		buf_drop(&l->inbox, seen);
}

void
launch_on_event(struct launch *l, short what)
{
	if (l->dial.step != DIAL_READY)
		advance(l, dial_on_event(&l->dial, what));
	else if ((what & EV_WRITE) && stream_flush(&l->server->stream) != 0)
		fail_text(l, LAUNCH_FAILED, "connection lost");
	else if (what & EV_READ)
		read_answer(l);
}

/* The first dial. It may fail at once, and not while somebody is asking the pool. */
static void
on_start(evutil_socket_t fd, short what, void *arg)
{
	struct launch *l = arg;
	int64_t limit = l->world->config->main.server_connect_timeout;
	struct timeval tv = { .tv_sec = limit / USEC_PER_SEC, .tv_usec = limit % USEC_PER_SEC };

	(void)fd;
	(void)what;
	if (l->node == NULL) {
		fail_text(l, LAUNCH_UNFIT, "the node is no longer configured");
		return;
	}
	evtimer_assign(&l->timer, loop_base(l->pool->worker->loop), on_timer, l);
	if (limit > 0)
		event_add(&l->timer, &tv);
	stat_add(&l->pool->worker->stats.attempts, 1);
	atomic_fetch_add(&l->pool->live->attempts, 1);
	begin(l, DIAL_AS_CONFIGURED);
}

void
launch_begin(struct pool *p)
{
	struct worker *w = p->worker;
	struct launch *l = xcalloc(1, sizeof(*l));
	static const struct timeval now = { 0 };

	l->pool = p;
	l->begun_us = clock_us();
	l->inbox.cap = LOGIN_MESSAGE_MAX;
	l->world = world_ref(worker_world(w));
	l->node = topology_node_by_live(l->world->topology, p->live);
	l->server = server_new(w, NULL, p->live);
	l->server->launch = l;
	l->server->pool = p;
	pool_put(l->server, SERVER_LAUNCHING);
	evtimer_assign(&l->timer, loop_base(w->loop), on_start, l);
	event_add(&l->timer, &now);
}
