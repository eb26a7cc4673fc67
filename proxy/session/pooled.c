/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/pooled.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/pool/ask.h"
#include "proxy/pool/pool.h"
#include "proxy/session/authenticate.h"
#include "proxy/session/cancel.h"
#include "proxy/session/pooled_int.h"
#include "proxy/session/rehome_int.h"
#include "proxy/session/session_int.h"
#include "proxy/session/statements.h"
#include "proxy/session/traces.h"
#include "proxy/worker_int.h"

/* Reading stops when so much is kept of a client that waits; one more read may come on top. */
#define HELD_ENOUGH ((size_t)16 * 1024)
#define HELD_CAP    ((size_t)1 << 20)
#define CHANGE_CAP  ((size_t)512 * 1024) /* of a text that replays settings */
/* A session looks for a better node so often, where its own is well. */
#define DECIDE_AGAIN_US (5 * USEC_PER_SEC)

static void ready(struct pooled *pd);

/* ---- which pool ---- */

static struct pool *
pool_at(struct pooled *pd, const struct world *w, uint16_t node)
{
	const struct session *s = pd->session;
	struct slice database = session_name(s, NAME_DATABASE);
	struct pool_key key = {
		.live = w->topology->nodes[node].live,
		.database = database,
		.dbname = locate_dbname(w, database),
		.user = session_name(s, NAME_USER),
		.options = slice_str(pd->options),
		.access = (enum access)s->access,
	};

	return pool_get(s->worker, &key);
}

static void
move_to(struct pooled *pd, struct pool *p)
{
	if (pd->pool != p) {
		pool_join(p);
		if (pd->pool != NULL)
			pool_leave(pd->pool);
		pd->pool = p;
	}
	pool_set_credential(p, pd->session->credential);
}

/* Nothing there, and nothing is coming soon. */
static bool
is_hopeless(const struct pool *p)
{
	return pool_is_failing(p) && pool_size(p) == 0;
}

/* min_pool_size connections wait wherever a session of this user may be sent one day. */
static void
want_all(struct pooled *pd, const struct route *route)
{
	const struct world *w = worker_world(pd->session->worker);
	const struct config *c = w->config;
	struct slice database = session_name(pd->session, NAME_DATABASE);

	if (config_pool_sizes(c, config_database(c, database)).min == 0)
		return;
	for (unsigned i = 0; i < route->nnodes; i++)
		pool_want(pool_at(pd, w, route->nodes[i]), pd->session->credential);
}

/* Decide the route anew, and take the first node on it that has not just failed. False: there is
 * none; pd->pool is the first of those that have failed then, if there is any. */
static bool
decide(struct pooled *pd)
{
	struct session *s = pd->session;
	const struct world *w = worker_world(s->worker);
	struct route *route = &s->worker->route;
	int sticky = pd->pool != NULL
			 ? topology_region_by_name(w->topology, slice_str(pd->pool->live->region))
			 : -1;

	locate_route_again(s, sticky, NULL, route);
	pd->topology_version = w->topology->version;
	pd->decided_us = clock_us();
	want_all(pd, route);
	for (unsigned i = 0; i < route->nnodes; i++) {
		struct pool *p = pool_at(pd, w, route->nodes[i]);

		pool_set_credential(p, s->credential);
		if (!is_hopeless(p)) {
			move_to(pd, p);
			return true;
		}
	}
	if (route->nnodes > 0)
		move_to(pd, pool_at(pd, w, route->nodes[0]));
	return false;
}

/* A migration has decided that its database is served elsewhere, or by another name. */
static bool
is_astray(const struct pooled *pd, const struct world *w, const struct node *n)
{
	struct slice database = session_name(pd->session, NAME_DATABASE);
	const struct authority *a = locate_authority(w, database);

	return a != NULL && (!authority_has(a, w->topology, n) ||
			     !slice_is(locate_dbname(w, database), pd->pool->dbname));
}

static bool
is_due(struct pooled *pd)
{
	const struct world *w = worker_world(pd->session->worker);
	const struct topology *t = w->topology;
	const struct node *n;
	int64_t now_us;

	if (pd->pool == NULL || is_hopeless(pd->pool))
		return true;
	if (pd->topology_version == t->version)
		return false;
	now_us = clock_us();
	n = topology_node_by_live(t, pd->pool->live);
	if (n == NULL || !node_usable(t, n, now_us) || now_us - pd->decided_us >= DECIDE_AGAIN_US ||
	    is_astray(pd, w, n))
		return true;
	pd->topology_version = t->version;
	return false;
}

/* ---- login ---- */

/* What the node would have said at the end of a login. */
static void
greet(struct pooled *pd)
{
	struct session *s = pd->session;
	struct login *l = s->login;
	struct buf b = { .cap = 2 * HELD_CAP };

	pd->greeted = true;
	auth_put_ok(l, &b);
	pooled_put_welcome(pd, &b);
	cancel_give_key(s, pd->mode == POOL_TRANSACTION ? NULL : s->server, &b);
	message_put_ready(&b, 'I');
	stat_add(&s->worker->stats.logins, 1);
	histogram_observe(&s->worker->stats.login, clock_us() - s->connected_at_us);
	if (s->worker->world->config->main.log_connections)
		log_about(LOG_LEVEL_INFO, session_subject(s), "session is ready");
	flow_init(&s->flow, REPLICATION_NONE);
	s->login = NULL;
	session_enter(s, SESSION_RELAY);
	s->quiet_since_us = clock_us();
	if (pd->mode == POOL_SESSION)
		s->traces = traces_new(slice_of(NULL, 0));
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
refuse(struct pooled *pd, const struct err *why)
{
	struct session *s = pd->session;
	struct err e = *why;

	if (!pd->greeted) {
		err_set(&e, why_get(WHY_NO_ROUTE)->sqlstate, "%s", why_get(WHY_NO_ROUTE)->text);
		if (pd->pool != NULL)
			err_detail(&e, "Tried %s %s: %s.", pd->pool->live->region,
				   pd->pool->live->name, pd->pool->reason);
	}
	session_close_err(s, WHY_NO_ROUTE, &e);
}

/* Ask the pool. The session may have a server then, or wait, or be over. */
static void
acquire(struct pooled *pd)
{
	struct server *sv;
	struct err e;

	if (is_due(pd) && !decide(pd) && (!pd->greeted || pd->pool == NULL)) {
		err_set(&e, SQLSTATE_CONNECTION_FAILURE, "no node can take this session");
		refuse(pd, &e);
		return;
	}
	pd->waiting_since_us = clock_us();
	pd->notified = false;
	sv = pool_lend(pd->pool, pd);
	if (sv != NULL)
		pooled_attach(pd, sv);
}

void
pooled_begin(struct session *s)
{
	struct pooled *pd = xcalloc(1, sizeof(*pd));
	struct login *l = s->login;
	const struct startup *st = login_startup(l);
	struct buf options = { .cap = STARTUP_BYTES_MAX };

	startup_options_strip(&options, st->options);
	pd->session = s;
	pd->mode = l->database->pool;
	pd->options = xstrndup(options.n > 0 ? options.p : "", options.n);
	pd->held.cap = HELD_CAP;
	pd->startup = vars_from_startup(s->worker->vars, st);
	pd->vars = vars_ref(pd->startup);
	pd->statements = statements_new(s->worker->texts);
	buf_fini(&options);
	s->pooled = pd;
	session_enter(s, SESSION_ATTACHING);
	stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	if (pd->mode == POOL_TRANSACTION && decide(pd) && pooled_can_greet(pd)) {
		greet(pd);
		return;
	}
	acquire(pd);
	if (s->state == SESSION_ATTACHING && s->server != NULL && !pd->asking)
		greet(pd);
}

/* ---- attached, or waiting ---- */

static bool
says_terminate(const struct session *s, const char *p, size_t n)
{
	return n >= 5 && p[0] == MSG_TERMINATE && flow_at_client_boundary(&s->flow);
}

static void
keep(struct pooled *pd, const char *p, size_t n)
{
	struct session *s = pd->session;

	buf_put(&pd->held, p, n);
	if (pd->held.failed)
		session_close(s, WHY_PROTOCOL, "Too many statements at once.");
	else if (pd->held.n >= HELD_ENOUGH)
		stream_want(&s->client, s->client.interest & ~EV_READ);
}

bool
pooled_is_full(const struct pooled *pd)
{
	return pd->held.n >= HELD_ENOUGH || statements_waits(pd->statements);
}

/* What the client says can be sent now. */
static bool
can_send(const struct pooled *pd)
{
	return pd->session->server != NULL && (!pd->asking || pd->ahead);
}

bool
pooled_take(struct session *s, const char *p, size_t n)
{
	struct pooled *pd = s->pooled;

	if (s->server == NULL && !pd->waiting) {
		if (says_terminate(s, p, n)) {
			session_end(s, WHY_CLIENT_DONE);
			return false;
		}
		acquire(pd);
		if (s->state != SESSION_RELAY)
			return false;
	}
	if (can_send(pd))
		return true;
	keep(pd, p, n);
	return false;
}

/* What was kept goes on its way. */
static void
go_on(struct pooled *pd)
{
	struct session *s = pd->session;
	struct buf held = pd->held;
	bool open = true;

	pd->held = (struct buf){ .cap = HELD_CAP };
	if (held.n >= HELD_ENOUGH)
		stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	if (held.n > 0)
		open = relay_to_server(s, held.p, held.n);
	buf_fini(&held);
	if (open && s->state == SESSION_RELAY)
		pooled_settle(s);
}

/* Nothing is kept where whoever has asked for the server is about to say what it is for. */
static void
ready(struct pooled *pd)
{
	if (!pd->greeted)
		greet(pd);
	else if (pd->held.n > 0)
		go_on(pd);
}

void
pooled_on_lent(struct pooled *pd, struct server *sv)
{
	if (pd->rehome != NULL) {
		rehome_on_lent(pd->rehome, sv);
		return;
	}
	pooled_attach(pd, sv);
	if (can_send(pd))
		ready(pd);
}

void
pooled_on_refused(struct pooled *pd, const struct err *e, bool fatal)
{
	struct session *s = pd->session;

	if (pd->rehome != NULL) {
		rehome_on_refused(pd->rehome, e);
		return;
	}
	if (fatal) {
		session_close_err(s, WHY_SERVER_REFUSED, e);
		return;
	}
	acquire(pd);
	if (can_send(pd))
		ready(pd);
}

/* ---- settings ---- */

static void
part_from_server(struct pooled *pd)
{
	struct server *sv = pd->session->server;

	pd->session->server = NULL;
	sv->session = NULL;
	stream_want(&sv->stream, EV_READ | (sv->stream.interest & EV_WRITE));
}

/* Its statements are the server's, so also the one without a name. */
static bool
keeps_statements(const struct pooled *pd)
{
	return pd->mode == POOL_SESSION && pd->greeted;
}

static void
begin_asking(struct pooled *pd, struct slice sql, bool ahead, ask_done_fn *done)
{
	struct server *sv = pd->session->server;

	pd->asking = true;
	pd->ahead = ahead;
	if (keeps_statements(pd))
		ask_begin_apart(sv, sql, done);
	else
		ask_begin(sv, sql, done);
	/* it has taken the place of the statement without a name */
	if (ahead)
		statements_attach(pd->statements, sv->statements, &pd->session->flow);
}

/* Before, the client is told what has changed; then comes what was answered behind the question. */
static void
done_asking(struct pooled *pd, const struct ask_answer *a)
{
	struct session *s = pd->session;

	pooled_tell(pd);
	if (a->rest_n > 0 && s->state == SESSION_RELAY)
		relay_from_server(s, a->rest, a->rest_n);
	if (s->state == SESSION_RELAY && !pd->asking)
		go_on(pd);
	if (s->rehome != NULL)
		rehome_on_quiet(s);
}

static void
on_replayed(struct server *sv, const struct ask_answer *a)
{
	struct session *s = sv->session;
	struct pooled *pd = s->pooled;
	bool ahead = pd->ahead;

	pd->asking = pd->ahead = false;
	if (a->failed && !a->lost && a->status == 'I' && !ahead) {
		/* all of it was taken back: the connection is as it was */
		statements_detach(pd->statements);
		part_from_server(pd);
		pool_return(sv);
		session_close_err(s, WHY_SERVER_REFUSED, &a->error);
		return;
	}
	if (a->lost || a->failed || a->status != 'I') {
		sv->close_needed = true;
		session_close_err(s, a->lost && !a->failed ? WHY_SERVER_DIED : WHY_SERVER_REFUSED,
				  &a->error);
		return;
	}
	vars_unref(sv->vars);
	sv->vars = vars_ref(pd->vars);
	pooled_settled(sv);
	if (!ahead)
		statements_attach(pd->statements, sv->statements, &s->flow);
	if (pd->greeted)
		done_asking(pd, a);
	else
		greet(pd);
}

/* Half a change would leave settings of somebody else. */
static void
replay(struct pooled *pd, const struct buf *sql, bool ahead)
{
	if (sql->failed)
		session_close(pd->session, WHY_PROTOCOL, "Too many settings to be replayed.");
	else
		begin_asking(pd, buf_view(sql), ahead, on_replayed);
}

void
pooled_attach(struct pooled *pd, struct server *sv)
{
	struct session *s = pd->session;
	struct buf sql = { .cap = CHANGE_CAP };
	bool ahead = false;

	s->server = sv;
	sv->session = s;
	if (sv->vars != pd->vars) {
		/* one round trip for the change and what the client says */
		ahead = pd->greeted && pooled_ends_on_error(sv);
		vars_put_change(&sql, sv->vars, pd->vars, ahead ? VARS_FATAL : VARS_ERROR);
	}
	if (sql.n > 0) {
		replay(pd, &sql, ahead);
	} else {
		statements_attach(pd->statements, sv->statements, &s->flow);
		pooled_tell(pd);
	}
	buf_fini(&sql);
}

/* ---- giving it back ---- */

static void
let_go(struct pooled *pd)
{
	struct server *sv = pd->session->server;

	statements_detach(pd->statements);
	part_from_server(pd);
	pool_return(sv);
}

/* A reset has brought the server's own settings back, and not those that the session began with:
 * they follow, before anything else. */
static void
restore(struct pooled *pd)
{
	struct server *sv = pd->session->server;
	struct buf sql = { .cap = CHANGE_CAP };

	/* what the server has may not be known, but then not if the session has more than we know
	 */
	if (sv->vars != pd->vars &&
	    (sv->vars != NULL || !(pd->pins & (PIN_SETTING | PIN_LOAD | PIN_UNSURE))))
		vars_put_change(&sql, sv->vars, pd->vars,
				keeps_statements(pd) ? VARS_APART : VARS_ERROR);
	if (sql.n > 0)
		replay(pd, &sql, false);
	buf_fini(&sql);
}

static void
on_reset(struct server *sv, const struct ask_answer *a)
{
	if (a->lost || a->failed || a->status != 'I') {
		server_free(sv);
		return;
	}
	vars_unref(sv->vars);
	sv->vars = vars_empty(sv->worker->vars);
	pooled_settled(sv);
	pooled_forget_statements(sv);
	pool_return(sv);
}

static void
reset(struct server *sv)
{
	const char *sql = sv->worker->world->config->main.server_reset_query;

	if (sql == NULL) {
		server_free(sv);
		return;
	}
	pool_put(sv, SERVER_BUSY);
	ask_begin(sv, slice_str(sql), on_reset);
}

static void
on_truth(struct server *sv, const struct ask_answer *a)
{
	struct session *s = sv->session;
	struct pooled *pd;
	bool cancelled = a->failed && strcmp(a->error.sqlstate, SQLSTATE_QUERY_CANCELED) == 0;
	bool ahead;

	if (s == NULL) {
		/* nobody wants to know any more */
		if (a->lost)
			server_free(sv);
		else
			reset(sv);
		return;
	}
	pd = s->pooled;
	ahead = pd->ahead;
	pd->asking = pd->ahead = pd->learning = false;
	if (a->lost) {
		session_close_err(s, WHY_SERVER_DIED, &a->error);
		return;
	}
	/* a cancel request came too late for its query, and hit ours */
	pd->asked_again = cancelled && !pd->asked_again;
	if (!pd->asked_again)
		pooled_learn(pd, a);
	if (!ahead) {
		statements_attach(pd->statements, sv->statements, &s->flow);
		if (!pd->asked_again)
			restore(pd);
	}
	done_asking(pd, a);
}

void
pooled_settle(struct session *s)
{
	struct pooled *pd = s->pooled;
	struct buf sql = { .cap = HELD_CAP };

	if (s->server == NULL || pd->asking || !flow_safe_point(&s->flow) ||
	    !statements_settled(pd->statements) ||
	    (pd->mode == POOL_SESSION && !pooled_was_reset(pd)))
		return;
	if (pooled_suspects(pd, &sql)) {
		pd->learning = true;
		begin_asking(pd, buf_view(&sql), !pooled_was_reset(pd), on_truth);
	} else if (pd->mode == POOL_TRANSACTION && pd->pins == 0 &&
		   !statements_pins(pd->statements)) {
		let_go(pd);
	}
	buf_fini(&sql);
}

void
pooled_part(struct session *s)
{
	struct pooled *pd = s->pooled;
	struct server *sv = s->server;
	bool idle = pd->greeted && flow_is_idle(&s->flow) && s->flow.unsure == 0 &&
		    statements_settled(pd->statements);
	bool pinned = pd->pins != 0 || statements_pins(pd->statements);

	if (pd->waiting)
		pool_forget(pd->pool, pd);
	if (sv == NULL)
		return;
	statements_detach(pd->statements);
	s->server = NULL;
	sv->session = NULL;
	if (!idle || (pd->asking && !pd->learning) || !stream_is_open(&sv->stream) ||
	    sv->close_needed)
		server_free(sv);
	else if (pd->asking)
		pool_put(sv, SERVER_BUSY); /* on_truth() will come */
	else if (pd->mode == POOL_SESSION || pinned || (pd->effects | pd->asked_effects) != 0)
		reset(sv);
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
	move_to(pd, sv->pool);
	(void)vars_ref(settings);
	vars_unref(pd->vars);
	pd->vars = settings;
	vars_unref(sv->vars);
	sv->vars = vars_ref(settings);
	pooled_settled(sv);
	s->server = sv;
	sv->session = s;
	statements_attach(pd->statements, sv->statements, &s->flow);
	pooled_tell(pd);
}

bool
pooled_owes(const struct session *s)
{
	const struct pooled *pd = s->pooled;

	/* nobody is served under PAUSE: it is not waited for */
	return (pd->held.n > 0 && !(pd->waiting && pd->pool->paused)) ||
	       statements_holds(pd->statements);
}

static void
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
	free(pd->options);
	free(pd);
}

void
pooled_free(struct pooled *pd)
{
	if (pd == NULL)
		return;
	if (pd->pool != NULL)
		pool_leave(pd->pool);
	pd->pool = NULL;
	loop_defer(pd->session->worker->loop, free_pooled, pd);
}

/* ---- served elsewhere ---- */

bool
pooled_can_leave(const struct session *s)
{
	const struct pooled *pd = s->pooled;

	return pd->mode == POOL_TRANSACTION && !pd->asking && pd->pins == 0 &&
	       (pd->effects | pd->asked_effects) == 0 && !statements_pins(pd->statements) &&
	       statements_settled(pd->statements);
}

void
pooled_leave_node(struct session *s)
{
	struct pooled *pd = s->pooled;
	bool waits = pd->waiting;

	pooled_part(s);
	pd->topology_version = 0;
	pd->decided_us = 0;
	if (!waits) {
		(void)decide(pd);
		return;
	}
	acquire(pd);
	if (can_send(pd))
		ready(pd);
}

bool
pooled_forsake(struct session *s, unsigned effects)
{
	struct pooled *pd = s->pooled;
	bool lost = pd->mode == POOL_SESSION || pd->pins != 0 || statements_pins(pd->statements) ||
		    ((pd->effects | pd->asked_effects) & effects) != 0;

	s->server->close_needed = true;
	pooled_part(s);
	pd->asking = pd->ahead = pd->learning = pd->asked_again = false;
	pd->effects = pd->asked_effects = 0;
	buf_clear(&pd->names);
	buf_clear(&pd->asked_names);
	return !lost;
}

void
pooled_resume(struct session *s)
{
	struct pooled *pd = s->pooled;

	if (s->server != NULL) {
		pooled_settle(s);
		return;
	}
	if (pd->held.n == 0 || pd->waiting)
		return;
	acquire(pd);
	if (can_send(pd))
		ready(pd);
}

/* ---- waiting too long ---- */

static void
notify(struct pooled *pd)
{
	struct session *s = pd->session;
	struct buf b = { .cap = 4096 };
	struct err e;

	pd->notified = true;
	err_set(&e, "00000", "no server connection is free, the query waits");
	err_detail(&e, "Region %s, node %s.", pd->pool->live->region, pd->pool->live->name);
	message_put_notice(&b, "NOTICE", &e);
	(void)session_say(s, b.p, b.n);
	buf_fini(&b);
}

/* Its pool is in trouble, and the world has changed since it came here. */
static void
look_elsewhere(struct pooled *pd)
{
	const struct topology *t = worker_world(pd->session->worker)->topology;

	if (pd->topology_version == t->version || !is_hopeless(pd->pool))
		return;
	pool_forget(pd->pool, pd);
	acquire(pd);
	if (can_send(pd))
		ready(pd);
}

void
pooled_check_wait(struct pooled *pd, int64_t now_us)
{
	struct session *s = pd->session;
	const struct conf_main *conf = &s->worker->world->config->main;
	int64_t waited = now_us - pd->waiting_since_us;

	if (!pd->waiting || pd->rehome != NULL)
		return; /* another's refusal has had it sent elsewhere */
	if (conf->query_wait_timeout > 0 && waited >= conf->query_wait_timeout) {
		session_close(s, WHY_QUERY_WAIT, NULL);
		return;
	}
	if (pd->greeted && !pd->notified && conf->query_wait_notify > 0 &&
	    waited >= conf->query_wait_notify)
		notify(pd);
	if (s->state != SESSION_CLOSED)
		look_elsewhere(pd);
}
