/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/pool/pooled.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/hot.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/pooled_int.h"
#include "proxy/process/descriptors.h"
#include "proxy/session/login_state.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/statements.h"

/* Reading stops when so much is kept of a client that waits; one more read may come on top. */
#define HELD_ENOUGH ((size_t)16 * 1024)
#define HELD_CAP    ((size_t)1 << 20)

void
pooled_enter(struct pooled *pd, enum pooled_state state)
{
	BUG_ON(!pooled_state_may(pd->state, state));
	pd->state = state;
}

/* ---- login ---- */

void
pooled_follow(struct pooled *pd)
{
	struct session *s = pd->session;

	exchange_set_query_ends(&s->exchange, s->server != NULL && s->server->is_cockroachdb);
}

HOT void
pooled_greet(struct pooled *pd)
{
	struct session *s = pd->session;
	struct login *l = s->login;
	struct buf b = { .cap = 2 * HELD_CAP };

	if (UNLIKELY(l->reads_nearby) && !pool_ops.begin_reads(s))
		return;
	pool_ops.put_authenticated(s, &b);
	pooled_put_welcome(pd, &b);
	pool_ops.put_key(s, &b);
	pool_ops.put_welcome(s, &b);
	message_put_ready(&b, 'I');
	stat_add(&s->worker->stats.logins, 1);
	histogram_observe(&s->worker->stats.login, clock_us() - s->connected_at_us);
	if (s->worker->world->config->main.log_connections)
		log_about(LOG_LEVEL_INFO, session_subject(s), "session is ready");
	exchange_init(&s->exchange, REPLICATION_NONE);
	pooled_follow(pd);
	session_sample(s, l->database);
	s->login = NULL;
	session_enter(s, SESSION_RELAY);
	s->quiet_since_us = clock_us();
	if (pd->mode == POOL_SESSION)
		session_trace(s, slice_of(NULL, 0));
	worker_arm_sweep(s->worker);
	stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	if (session_say(s, b.p, b.n) && l->inbox.n > 0)
		relay_take(s, l->inbox.p, l->inbox.n);
	buf_fini(&b);
	login_free(l);
	if (s->state == SESSION_RELAY)
		pooled_settle(s);
}

static void
refuse(struct pooled *pd)
{
	const struct why_row *row = why_get(WHY_NO_ROUTE);
	struct err e;

	if (pooled_is_greeted(pd))
		err_set(&e, SQLSTATE_CONNECTION_FAILURE, "no node can take this session");
	else
		err_set(&e, row->sqlstate, "%s", row->text);
	pooled_explain(pd, &e);
	session_close_err(pd->session, WHY_NO_ROUTE, &e);
}

/* From now on the session has something to ask. Being sent from one pool to the next, or trying the
 * same one again, is all one wait. */
static void
begin_wait(struct pooled *pd)
{
	pd->waiting_since_us = loop_now_us(pd->session->worker->loop);
	pd->notified = false;
	pd->asks_alone = false;
}

/* Ask the pool. The session may have a server then, or wait, or be over. */
static HOT void
acquire(struct pooled *pd)
{
	struct server *sv;

	if (pooled_is_due(pd) && !pooled_decide(pd) &&
	    (!pooled_is_greeted(pd) || pd->pool == NULL)) {
		refuse(pd);
		return;
	}
	sv = pool_lend(pd->pool, pd);
	if (sv != NULL)
		pooled_attach(pd, sv);
}

HOT void
pooled_begin(struct session *s)
{
	struct pooled *pd = xcalloc(1, sizeof(*pd));
	struct login *l = s->login;
	const struct startup *st = login_startup(l);
	struct buf options = { .cap = STARTUP_BYTES_MAX };

	startup_options_strip(&options, st->options);
	pd->session = s;
	pd->mode = l->database->pool;
	if (options.n > 0)
		pd->options = xstrndup(options.p, options.n);
	pd->held.cap = HELD_CAP;
	pd->startup = vars_from_startup(s->worker->vars, st);
	pd->vars = vars_ref(pd->startup);
	pd->statements = statements_new(s->worker->texts, session_prepared(s));
	buf_fini(&options);
	s->pooled = pd;
	session_observe(s, OBSERVER_POOL, true);
	session_observe(s, OBSERVER_STATEMENTS, true);
	session_enter(s, SESSION_ATTACHING);
	stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	if (pooled_decide(pd) && pooled_can_greet(pd)) {
		pooled_greet(pd);
		return;
	}
	begin_wait(pd);
	acquire(pd);
	if (s->state == SESSION_ATTACHING && pd->state == POOLED_SERVED)
		pooled_greet(pd);
}

/* ---- attached, or waiting ---- */

bool
pooled_is_full(const struct session *s)
{
	return session_is_pooled(s) &&
	       (s->pooled->held.n >= HELD_ENOUGH || statements_waits(s->pooled->statements));
}

/* What the client says can be sent now. */
static bool
can_send(const struct pooled *pd)
{
	return pd->state == POOLED_SERVED || pd->state == POOLED_REPLAYING_AHEAD ||
	       pd->state == POOLED_PROBING_AHEAD || pd->state == POOLED_LEARNING;
}

/* What the client sees behind this its server is asked for; or it is what a run of a standby has
 * shown, which never shows less later. */
static void
note_said(struct pooled *pd)
{
	const struct server *sv = pd->session->server;

	if (pd->home != NULL && sv->run != 0)
		pd->seen = sv->run;
	else
		pd->is_untold = true;
}

HOT bool
pooled_take(struct session *s, const char *p, size_t n)
{
	struct pooled *pd = s->pooled;

	if (s->server == NULL && pd->state != POOLED_WAITING) {
		if (n >= 5 && p[0] == MSG_TERMINATE && exchange_at_client_boundary(&s->exchange)) {
			session_end(s, WHY_CLIENT_DONE);
			return false;
		}
		begin_wait(pd);
		acquire(pd);
		if (s->state != SESSION_RELAY)
			return false;
	}
	if (can_send(pd) && (pd->floor == 0 || pooled_is_shown(pd))) {
		if (UNLIKELY(pd->is_tracked))
			note_said(pd);
		return true;
	}
	buf_put(&pd->held, p, n);
	if (pd->held.failed)
		session_close(s, WHY_PROTOCOL, "Too many statements at once.");
	else if (pd->held.n >= HELD_ENOUGH)
		session_only_watch(s);
	if (pd->state == POOLED_SERVED && s->state == SESSION_RELAY)
		pooled_check(pd);
	return false;
}

void
pooled_go_on(struct pooled *pd)
{
	struct session *s = pd->session;
	struct buf held = pd->held;
	bool open = true;

	pd->held = (struct buf){ .cap = HELD_CAP };
	if (held.n >= HELD_ENOUGH)
		stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	if (held.n > 0) {
		pd->resends = true;
		open = relay_to_server(s, held.p, held.n);
		pd->resends = false;
		if (UNLIKELY(pd->asks_behind))
			pooled_ask_position_behind(s);
	}
	buf_fini(&held);
	if (open && s->state == SESSION_RELAY)
		pooled_settle(s);
}

/* The session has its server. What its client sent meanwhile is sent on, or the server is asked;
 * where nothing was held, the caller that asked for the server sends what it is for. */
static void
ready(struct pooled *pd)
{
	if (!pooled_is_greeted(pd))
		pooled_greet(pd);
	else if (pd->held.n > 0)
		pooled_go_on(pd);
	else if (UNLIKELY(pd->asks_alone))
		pooled_settle(pd->session);
}

/* What the pool lends at once is used at once. */
static void
acquire_and_send(struct pooled *pd)
{
	acquire(pd);
	if (can_send(pd))
		ready(pd);
}

void
pooled_ask_position(struct session *s)
{
	struct pooled *pd = s->pooled;

	pd->is_untold = true;
	begin_wait(pd);
	pd->asks_alone = true;
	acquire_and_send(pd);
}

void
pooled_on_lent(struct pooled *pd, struct server *sv)
{
	if (pd->rehome != NULL) {
		pool_ops.next_on_lent(pd->rehome, sv);
		return;
	}
	pooled_attach(pd, sv);
	if (can_send(pd))
		ready(pd);
}

void
pooled_on_refused(struct pooled *pd, const struct err *e, enum signon_end how)
{
	struct session *s = pd->session;

	if (pd->rehome != NULL) {
		pool_ops.next_on_refused(pd->rehome, e);
	} else if (how == SIGNON_FATAL && pd->home == NULL) {
		/* nearby it may be that the role is not replayed yet */
		session_close_err(s, WHY_SERVER_REFUSED, e);
	} else if (how == SIGNON_SCARCE) {
		/* For another node there would be no descriptor either. */
		stat_add(&s->worker->stats.clients_without_descriptors, 1);
		session_close(s, WHY_TOO_MANY, DESCRIPTORS_NONE_LEFT);
	} else {
		pooled_note_refusal(pd);
		acquire_and_send(pd);
	}
}

/* ---- parting ---- */

void
pooled_tell_parked(struct pooled *pd)
{
	if (UNLIKELY(pd->reads != NULL) && pd->state == POOLED_PARKED)
		pool_ops.on_parked(pd->session);
}

HOT void
pooled_part(struct session *s)
{
	struct pooled *pd = s->pooled;
	struct server *sv = s->server;
	bool idle = pooled_is_greeted(pd) && exchange_is_idle(&s->exchange) &&
		    s->exchange.unsure == 0 && statements_settled(pd->statements);
	bool pinned = pd->pins != 0 || statements_pins(pd->statements);
	bool is_probing = pd->state == POOLED_PROBING || pd->state == POOLED_PROBING_AHEAD ||
			  pd->state == POOLED_LEARNING;
	bool is_busy = pooled_is_asking(s) && !is_probing;

	if (pd->state == POOLED_WAITING)
		pool_forget(pd->pool, pd);
	if (sv == NULL)
		return;
	if (is_probing && idle)
		pooled_leave_question(pd);
	pooled_enter(pd, POOLED_PARKED);
	statements_detach(pd->statements);
	s->server = NULL;
	sv->session = NULL;
	if (!idle || s->fatal_told || is_busy || !stream_is_open(&sv->stream) || sv->close_needed)
		server_free(sv);
	else if (is_probing)
		pool_put(sv, SERVER_BUSY); /* the question's end will come */
	else if (pd->mode == POOL_SESSION || pinned || (pd->effects | pd->asked_effects) != 0)
		pooled_reset(sv, pd->startup);
	else
		pool_return(sv);
}

void
pooled_replace(struct session *s, struct server *sv, struct vars *settings)
{
	struct pooled *pd = s->pooled;
	struct server *old = s->server;

	statements_detach(pd->statements);
	s->server = NULL;
	old->session = NULL;
	server_free(old);
	pooled_move_to(pd, sv->pool);
	(void)vars_ref(settings);
	vars_unref(pd->vars);
	pd->vars = settings;
	vars_unref(sv->vars);
	sv->vars = vars_ref(settings);
	pooled_settled(sv);
	s->server = sv;
	sv->session = s;
	statements_attach(pd->statements, sv->statements, &s->exchange);
	pooled_tell(pd);
}

/* ---- what other rooms ask of any session ---- */

enum pool_mode
pooled_mode(const struct session *s)
{
	return session_is_pooled(s) ? s->pooled->mode : POOL_OFF;
}

struct slice
pooled_options(const struct session *s)
{
	const char *options = session_is_pooled(s) ? s->pooled->options : NULL;

	return slice_str(options != NULL ? options : "");
}

unsigned
pooled_pins(const struct session *s)
{
	return session_is_pooled(s) ? s->pooled->pins : 0;
}

bool
pooled_is_asking(const struct session *s)
{
	return session_is_pooled(s) && (s->pooled->state > POOLED_SERVED ||
					(s->server != NULL && s->server->ask_behind != NULL));
}

bool
pooled_is_still(const struct session *s)
{
	return !session_is_pooled(s) || (!pooled_is_asking(s) && s->pooled->held.n == 0 &&
					 statements_settled(s->pooled->statements));
}

bool
pooled_holds(const struct session *s)
{
	return session_is_pooled(s) &&
	       (s->pooled->held.n > 0 || statements_holds(s->pooled->statements));
}

bool
pooled_owes(const struct session *s)
{
	const struct pooled *pd = s->pooled;

	/* under PAUSE no session gets a connection, so PAUSE does not wait for one that waits */
	return pooled_holds(s) && (!(pd->state == POOLED_WAITING && pd->pool->paused) ||
				   statements_holds(pd->statements));
}

void
pooled_begin_capture(struct session *s)
{
	if (session_is_pooled(s))
		pooled_enter(s->pooled, POOLED_CAPTURING);
}

void
pooled_drop_question(struct session *s)
{
	if (session_is_pooled(s) && s->pooled->state > POOLED_SERVED)
		pooled_enter(s->pooled, POOLED_SERVED);
}

static HOT void
free_pooled(void *arg)
{
	struct pooled *pd = arg;

	statements_free(pd->statements);
	vars_unref(pd->startup);
	vars_unref(pd->vars);
	vars_unref(pd->told);
	buf_fini(&pd->report);
	buf_fini(&pd->held);
	buf_fini(&pd->names);
	buf_fini(&pd->asked_names);
	node_live_unref(pd->home);
	pool_ops.free_reads(pd->reads);
	free(pd->options);
	free(pd);
}

HOT void
pooled_release(struct session *s)
{
	struct pooled *pd = s->pooled;

	s->pooled = NULL;
	session_observe(s, OBSERVER_POOL, false);
	session_observe(s, OBSERVER_STATEMENTS, false);
	if (pd->pool != NULL)
		pool_leave(pd->pool);
	pd->pool = NULL;
	loop_defer(s->worker->loop, free_pooled, pd);
}

/* ---- served elsewhere ---- */

bool
pooled_can_leave(const struct session *s)
{
	const struct pooled *pd = s->pooled;

	return session_is_pooled(s) && (pd->mode == POOL_TRANSACTION || !pd->attached) &&
	       !pooled_is_asking(s) && pd->pins == 0 && (pd->effects | pd->asked_effects) == 0 &&
	       !statements_pins(pd->statements) && statements_settled(pd->statements);
}

void
pooled_leave_node(struct session *s)
{
	struct pooled *pd = s->pooled;
	bool waits = pd->state == POOLED_WAITING;

	pooled_part(s);
	pd->choice = POOLED_OUTDATED;
	if (!waits) {
		(void)pooled_decide(pd);
		pooled_tell_parked(pd);
		return;
	}
	acquire_and_send(pd);
}

void
pooled_head_for(struct session *s, struct node_live *live)
{
	struct pooled *pd = s->pooled;
	bool waits = pd->state == POOLED_WAITING;

	if (waits)
		pool_forget(pd->pool, pd);
	pooled_send_to(pd, live);
	if (!waits)
		return;
	acquire_and_send(pd);
}

bool
pooled_forsake(struct session *s, unsigned effects)
{
	struct pooled *pd = s->pooled;
	bool lost = pd->mode == POOL_SESSION || pd->pins != 0 || statements_pins(pd->statements) ||
		    ((pd->effects | pd->asked_effects) & effects) != 0;

	s->server->close_needed = true;
	pooled_part(s);
	pd->cancelled = 0;
	pd->effects = pd->asked_effects = 0;
	buf_clear(&pd->names);
	buf_clear(&pd->asked_names);
	return !lost;
}

void
pooled_resume(struct session *s)
{
	struct pooled *pd = s->pooled;

	if (!session_is_pooled(s))
		return;
	if (s->server != NULL) {
		pooled_settle(s);
		return;
	}
	if (pd->held.n == 0)
		pooled_tell_parked(pd);
	if (pd->held.n == 0 || pd->state == POOLED_WAITING)
		return;
	begin_wait(pd);
	acquire_and_send(pd);
}

/* ---- waiting too long ---- */

void
pooled_explain_wait(const struct pooled *pd, struct err *e)
{
	const struct pool *p = pd->pool;
	const char *why = p->retry_us > 0 ? p->reason : "no connection is free";

	if (p->retry_us == 0 && (pd->state != POOLED_WAITING || p->n[SERVER_LAUNCHING] > 0))
		why = "no answer yet";
	err_detail(e, "Region %.60s, node %.80s: %.140s.", p->live->region, p->live->name, why);
}

void
pooled_check_wait(struct pooled *pd, int64_t now_us)
{
	struct session *s = pd->session;
	const struct conf_main *conf = &s->worker->world->config->main;
	int64_t waited = now_us - pd->waiting_since_us;
	const struct topology *t;

	if (pd->state != POOLED_WAITING || pd->rehome != NULL)
		return; /* another's refusal has had it sent elsewhere */
	if (conf->query_wait_timeout > 0 && waited >= conf->query_wait_timeout) {
		const struct why_row *row = why_get(WHY_QUERY_WAIT);
		struct err e;

		err_set(&e, row->sqlstate, "%s", row->text);
		pooled_explain_wait(pd, &e);
		session_close_err(pd->session, WHY_QUERY_WAIT, &e);
		return;
	}
	if (pooled_is_greeted(pd) && !pd->notified && conf->query_wait_notify > 0 &&
	    waited >= conf->query_wait_notify) {
		struct buf b = { .cap = 4096 };
		struct err e;

		pd->notified = true;
		err_set(&e, "00000", "no server connection is free, the query waits");
		err_detail(&e, "Region %s, node %s.", pd->pool->live->region, pd->pool->live->name);
		message_put_notice(&b, "NOTICE", &e);
		(void)session_say(s, b.p, b.n);
		buf_fini(&b);
	}
	if (s->state == SESSION_CLOSED)
		return;
	/* its pool is in trouble, and the world has changed since it came here */
	t = worker_world(s->worker)->topology;
	if (!pooled_is_hopeless(pd->pool) ||
	    (pd->topology_version == t->version && pd->choice < POOLED_OUTDATED))
		return;
	pool_forget(pd->pool, pd);
	acquire_and_send(pd);
}
