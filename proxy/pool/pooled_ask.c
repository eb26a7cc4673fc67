/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/pool/pooled_int.h"

#include <strings.h>

#include "base/hot.h"
#include "base/text.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/pool/pool.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/ask.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/statements.h"

#define CHANGE_CAP   ((size_t)512 * 1024) /* of a text that replays settings */
#define QUESTION_CAP ((size_t)1 << 20)
#define CANCELS_MAX  20 /* in a row; behind them it is taken as it is */

/* A standby that has not replayed enough waits for so long before it says so, and is asked again. A
 * query that waits longer keeps it from replaying what removes rows that the query could see. */
#define CHECK_EVERY "0.002"

static ask_done_fn on_replayed, on_probed, on_checked, on_learnt;

/* ---- settings ---- */

static void
part_from_server(struct pooled *pd)
{
	struct server *sv = pd->session->server;

	pooled_enter(pd, POOLED_PARKED);
	pd->session->server = NULL;
	sv->session = NULL;
	stream_want(&sv->stream, EV_READ | (sv->stream.interest & EV_WRITE));
}

/* Its statements are the server's, so also the one without a name; it has said none before it had
 * the server. */
static bool
keeps_statements(const struct pooled *pd)
{
	return pd->mode == POOL_SESSION && pd->attached;
}

static void
begin_asking(struct pooled *pd, enum pooled_state what, struct slice sql)
{
	struct server *sv = pd->session->server;
	bool ahead = what == POOLED_PROBING_AHEAD || what == POOLED_REPLAYING_AHEAD ||
		     what == POOLED_LEARNING;
	bool is_probe = what == POOLED_PROBING || what == POOLED_PROBING_AHEAD;
	ask_done_fn *done = is_probe                  ? on_probed
			    : what == POOLED_CHECKING ? on_checked
			    : what == POOLED_LEARNING ? on_learnt
						      : on_replayed;

	pooled_enter(pd, what);
	if (keeps_statements(pd))
		ask_begin_apart(sv, sql, done);
	else
		ask_begin(sv, sql, done);
	/* it has taken the place of the statement without a name */
	if (ahead)
		statements_attach(pd->statements, sv->statements, &pd->session->exchange);
}

/* Before, the client is told what has changed; then comes what was answered behind the question. */
static void
done_asking(struct pooled *pd, const struct ask_answer *a)
{
	struct session *s = pd->session;

	pooled_tell(pd);
	if (a->rest_n > 0 && s->state == SESSION_RELAY)
		relay_from_server(s, a->rest, a->rest_n);
	if (s->state == SESSION_RELAY && !pooled_is_asking(s))
		pooled_go_on(pd);
	if (UNLIKELY(pd->reads != NULL) && s->state == SESSION_RELAY && !pooled_is_asking(s))
		pool_ops.on_heard(s);
	if (session_has(s, OBSERVER_REHOME))
		pool_ops.on_quiet(s);
}

/* A cancel request came too late for the query that it was for, and hit what we say in between. */
static bool
was_cancelled(struct pooled *pd, const struct ask_answer *a)
{
	bool again = a->failed && !a->lost && pd->cancelled < CANCELS_MAX &&
		     strcmp(a->error.sqlstate, SQLSTATE_QUERY_CANCELED) == 0;

	pd->cancelled = again ? (uint8_t)(pd->cancelled + 1) : 0;
	return again;
}

static void replay_change(struct pooled *pd);
static void check_failed(struct pooled *pd, bool is_lost);

static void
on_replayed(struct server *sv, const struct ask_answer *a)
{
	struct session *s = sv->session;
	struct pooled *pd = s->pooled;
	bool ahead = pd->state == POOLED_REPLAYING_AHEAD;

	pooled_enter(pd, POOLED_SERVED);
	if (a->failed && !a->lost && a->status == 'I' && !ahead) {
		/* all of it was taken back: the connection is as it was */
		if (was_cancelled(pd, a)) {
			replay_change(pd);
			return;
		}
		/* a role, or what else a setting names, may not have been replayed there yet */
		if (pd->home != NULL) {
			check_failed(pd, false);
			return;
		}
		statements_detach(pd->statements);
		part_from_server(pd);
		pool_return(sv);
		session_close_err(s, WHY_SERVER_REFUSED, &a->error);
		return;
	}
	if (a->lost || a->failed || a->status != 'I') {
		if (pd->home != NULL) {
			check_failed(pd, true);
			return;
		}
		sv->close_needed = true;
		session_close_err(s, a->lost && !a->failed ? WHY_SERVER_DIED : WHY_SERVER_REFUSED,
				  &a->error);
		return;
	}
	pd->cancelled = 0;
	vars_unref(sv->vars);
	sv->vars = vars_ref(pd->vars);
	pooled_settled(sv);
	if (!ahead)
		statements_attach(pd->statements, sv->statements, &s->exchange);
	if (pooled_is_greeted(pd))
		done_asking(pd, a);
	else
		pooled_greet(pd);
}

/* Half a change would leave settings of somebody else. */
static void
replay(struct pooled *pd, const struct buf *sql, bool ahead)
{
	if (sql->failed)
		session_close(pd->session, WHY_PROTOCOL, "Too many settings to be replayed.");
	else
		begin_asking(pd, ahead ? POOLED_REPLAYING_AHEAD : POOLED_REPLAYING, buf_view(sql));
}

/* From what its server has to what it has, before anything else is said. */
static void
replay_change(struct pooled *pd)
{
	struct server *sv = pd->session->server;
	struct buf sql = { .cap = CHANGE_CAP };

	vars_put_change(&sql, sv->vars, pd->vars, keeps_statements(pd) ? VARS_APART : VARS_ERROR);
	if (sql.n > 0)
		replay(pd, &sql, false);
	buf_fini(&sql);
}

HOT void
pooled_attach(struct pooled *pd, struct server *sv)
{
	struct session *s = pd->session;
	struct buf sql = { .cap = CHANGE_CAP };
	bool ahead = false;

	pooled_enter(pd, POOLED_SERVED);
	s->server = sv;
	sv->session = s;
	if (UNLIKELY(sv->is_cockroachdb))
		pooled_follow(pd);
	if (sv->vars != pd->vars) {
		/* one round trip for the change and what the client says; nearby it may fail */
		ahead = pooled_is_greeted(pd) && pd->home == NULL && pooled_ends_on_error(sv);
		vars_put_change(&sql, sv->vars, pd->vars, ahead ? VARS_FATAL : VARS_ERROR);
	}
	if (sql.n > 0) {
		replay(pd, &sql, ahead);
	} else {
		statements_attach(pd->statements, sv->statements, &s->exchange);
		pooled_tell(pd);
	}
	pd->attached = true;
	buf_fini(&sql);
}

/* ---- replayed far enough ---- */

/* A run of a standby begins with its postmaster, or when that has begun anew behind a crash of one
 * of its processes: statistics begin anew with it. Both are microseconds. */
#define RUN_SQL                                                                               \
	"(pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time()) "              \
	"OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8 OPERATOR(pg_catalog.#) "            \
	"((pg_catalog.date_part('epoch', pg_catalog.pg_stat_get_bgwriter_stat_reset_time()) " \
	"OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8 OPERATOR(pg_catalog.<<) 3)"

bool
pooled_is_shown(struct pooled *pd)
{
	const struct server *sv = pd->session->server;
	const struct pool *p = pd->pool;

	if (sv->run == 0 || sv->run != p->run || p->replayed < pd->floor ||
	    (pd->seen != 0 && pd->seen != sv->run))
		return false;
	pd->floor = 0;
	return true;
}

/* Its run, where that is not known; or 1. */
static void
ask_check(struct pooled *pd)
{
	struct buf sql = { .cap = QUESTION_CAP };

	buf_printf(&sql,
		   "SELECT %s WHERE pg_catalog.pg_last_wal_replay_lsn() OPERATOR(pg_catalog.>=) "
		   "'%X/%X'::pg_catalog.pg_lsn OR pg_catalog.pg_sleep(" CHECK_EVERY ") IS NULL",
		   pd->session->server->run == 0 ? RUN_SQL : "1", (unsigned)(pd->floor >> 32),
		   (unsigned)pd->floor);
	begin_asking(pd, POOLED_CHECKING, buf_view(&sql));
	buf_fini(&sql);
}

void
pooled_check(struct pooled *pd)
{
	pd->floor_until_us = loop_now_us(pd->session->worker->loop) + pd->floor_wait_us;
	ask_check(pd);
}

/* False: it has not replayed enough. *run: 0 where it does not say. */
static bool
read_checked(struct slice messages, int64_t *run)
{
	struct slice value;
	struct frame f;

	*run = 0;
	while (frame_cut(messages, BUF_CAP_DEFAULT, &f) == PARSE_DONE) {
		if (f.type == MSG_DATA_ROW) {
			f.body = slice_skip(f.body, 2);
			return session_probe_next_column(&f.body, &value) &&
			       (value.p == NULL || text_to_int(value, INT64_MIN, INT64_MAX, run));
		}
		messages = slice_skip(messages, f.total);
	}
	return false;
}

/* The server has replayed `floor`, in this run of it. */
static void
note_replayed(struct server *sv, uint64_t run, uint64_t floor)
{
	struct pool *p = sv->pool;

	if (sv->run == 0)
		sv->run = run;
	if (p->run != sv->run) {
		p->run = sv->run;
		p->replayed = 0;
	}
	if (floor > p->replayed)
		p->replayed = floor;
}

/* What the client has said, and waits here, goes home. */
static void
check_failed(struct pooled *pd, bool is_lost)
{
	struct session *s = pd->session;
	struct server *sv = s->server;

	if (is_lost) {
		(void)pooled_forsake(s, 0);
	} else {
		statements_detach(pd->statements);
		part_from_server(pd);
		pool_return(sv);
	}
	pooled_head_home(s);
	pool_ops.on_refused_nearby(s);
	pooled_resume(s);
}

static void
on_checked(struct server *sv, const struct ask_answer *a)
{
	struct pooled *pd = sv->session->pooled;
	int64_t run;

	pooled_enter(pd, POOLED_SERVED);
	if (a->lost || a->failed) {
		check_failed(pd, a->lost);
	} else if (read_checked(a->messages, &run)) {
		note_replayed(sv, (uint64_t)run, pd->floor);
		/* it has seen more elsewhere, and how much that is cannot be asked any more */
		if (pd->seen != 0 && pd->seen != sv->run) {
			check_failed(pd, false);
			return;
		}
		pd->floor = 0;
		statements_attach(pd->statements, sv->statements, &pd->session->exchange);
		done_asking(pd, a);
	} else if (loop_now_us(sv->worker->loop) < pd->floor_until_us) {
		pd->has_waited = true;
		ask_check(pd);
	} else {
		check_failed(pd, false);
	}
}

/* ---- giving it back ---- */

static HOT void
on_reset(struct server *sv, const struct ask_answer *a)
{
	if (a->lost || a->failed || a->status != 'I') {
		server_free(sv);
		return;
	}
	if (a->failed_behind) {
		vars_unref(sv->vars);
		sv->vars = NULL;
	}
	pooled_settled(sv);
	server_statements_clear(sv->statements);
	pool_return(sv);
}

/* The next session most often begins with the same settings as the last: they are sent in one go
 * with the reset, so that it need not wait for a round trip. */
HOT void
pooled_reset(struct server *sv, struct vars *next)
{
	const char *sql = sv->worker->world->config->main.server_reset_query;
	struct buf messages = { .cap = ASK_ANSWER_MAX };
	struct vars *has = NULL;
	unsigned syncs = 1;
	size_t at;

	if (sql == NULL) {
		server_free(sv);
		return;
	}
	message_put_query(&messages, slice_str(sql));
	/* settings behind a query of the operator's are known where it is the usual one */
	if (strcasecmp(sql, "DISCARD ALL") == 0) {
		has = vars_empty(sv->worker->vars);
		vars_unref(has); /* the table has it */
	}
	if (has != next) {
		at = buf_message(&messages, MSG_QUERY);
		vars_put_change(&messages, has, next, VARS_ERROR);
		buf_u8(&messages, 0);
		buf_message_end(&messages, at);
		syncs++;
	}
	(void)vars_ref(next);
	vars_unref(sv->vars);
	sv->vars = next;
	pool_put(sv, SERVER_BUSY);
	ask_begin_messages(sv, &messages, syncs, on_reset);
	buf_fini(&messages);
}

/* The session that asked is gone. */
static void
take_back(struct server *sv, const struct ask_answer *a)
{
	struct vars *none;

	if (a->lost) {
		server_free(sv);
		return;
	}
	none = vars_empty(sv->worker->vars);
	pooled_reset(sv, none);
	vars_unref(none);
}

/* Nothing of the session is on its server, and all that it asked is answered. */
static bool
asks_position_alone(const struct pooled *pd)
{
	return pd->is_tracked && pd->pins == 0 && (pd->effects | pd->asked_effects) == 0 &&
	       !statements_pins(pd->statements) && exchange_safe_point(&pd->session->exchange);
}

/* It was only asked for its position, and the session that asked is gone. */
static void
give_back(struct server *sv, const struct ask_answer *a)
{
	if (a->lost || a->status != 'I')
		server_free(sv);
	else
		pool_return(sv);
}

void
pooled_leave_question(struct pooled *pd)
{
	bool is_probe = pd->state == POOLED_PROBING || pd->state == POOLED_PROBING_AHEAD;

	if (is_probe && pd->mode == POOL_TRANSACTION && asks_position_alone(pd))
		ask_hand_over(pd->session->server->ask, give_back);
}

static void
on_probed(struct server *sv, const struct ask_answer *a)
{
	struct session *s = sv->session;
	struct pooled *pd;
	bool ahead, again;

	if (s == NULL) {
		take_back(sv, a);
		return;
	}
	pd = s->pooled;
	ahead = pd->state == POOLED_PROBING_AHEAD;
	pooled_enter(pd, POOLED_SERVED);
	if (a->lost && (pd->home != NULL || asks_position_alone(pd))) {
		/* what the client has asked there it has heard */
		(void)pooled_forsake(s, 0);
		pooled_tell_parked(pd);
		return;
	}
	if (a->lost) {
		session_close_err(s, WHY_SERVER_DIED, &a->error);
		return;
	}
	again = was_cancelled(pd, a);
	pd->is_untold = pd->is_untold || (again && pd->is_tracked);
	if (!again)
		pooled_learn(pd, a);
	if (!ahead) {
		statements_attach(pd->statements, sv->statements, &s->exchange);
		/* what the client has said meanwhile waits for the answer */
		if (again)
			pooled_settle(s);
		/* a reset has brought the server's own settings back, and not those that the
		 * session began with: they follow, unless the session has more than we know */
		else if (sv->vars != pd->vars &&
			 (sv->vars != NULL || !(pd->pins & (PIN_SETTING | PIN_LOAD | PIN_UNSURE))))
			replay_change(pd);
	}
	done_asking(pd, a);
}

/* ---- what its catalog says ---- */

bool
pooled_can_learn(const struct session *s)
{
	const struct pooled *pd = s->pooled;

	return s->server != NULL && pd->home == NULL && !pooled_is_asking(s) &&
	       exchange_safe_point(&s->exchange) && statements_settled(pd->statements);
}

void
pooled_learn_names(struct session *s, struct slice sql)
{
	begin_asking(s->pooled, POOLED_LEARNING, sql);
}

static void
on_learnt(struct server *sv, const struct ask_answer *a)
{
	struct session *s = sv->session;

	if (s == NULL) {
		take_back(sv, a);
		return;
	}
	pooled_enter(s->pooled, POOLED_SERVED);
	pool_ops.on_names(s, a->lost || a->failed ? slice_of(NULL, 0) : a->messages);
	if (a->lost)
		session_close_err(s, WHY_SERVER_DIED, &a->error);
	else
		done_asking(s->pooled, a);
}

/* ---- behind what the client awaits ---- */

void
pooled_ask_position_behind(struct session *s)
{
	struct pooled *pd = s->pooled;
	struct buf sql = { .cap = QUESTION_CAP };
	bool is_sent;

	/* what was sent may have been the client's Terminate: the session is no pool's any more */
	if (pd == NULL || s->state != SESSION_RELAY)
		return;
	is_sent = s->server != NULL && pd->state == POOLED_SERVED && pd->held.n == 0;
	if (!pd->asks_behind || (!is_sent && pd->home != NULL))
		return;
	/* what has to wait at home may have company when it goes on */
	pd->asks_behind = false;
	if (!is_sent || pd->pins != 0 || !pd->is_untold || s->server->ask_behind != NULL ||
	    exchange_pending(&s->exchange) != 1 || !exchange_at_client_boundary(&s->exchange) ||
	    stream_is_blocked(&s->server->stream) || statements_holds(pd->statements) ||
	    (pd->effects | pd->asked_effects) != 0)
		return;
	pooled_put_position_question(pd, &sql);
	ask_send_behind(s->server, buf_view(&sql), on_probed);
	pd->is_untold = false;
	buf_fini(&sql);
}

size_t
pooled_client_part(struct session *s, const char *p, size_t n)
{
	struct server *sv = s->server;
	size_t part;

	if (sv == NULL || sv->ask_behind == NULL)
		return n;
	part = exchange_server_part(&s->exchange, p, n);
	if (part < n)
		ask_put(sv->ask_behind, p + part, n - part);
	return part;
}

/* ---- what follows a transaction ---- */

HOT void
pooled_settle(struct session *s)
{
	struct pooled *pd = s->pooled;
	struct buf sql = { .cap = QUESTION_CAP };

	if (UNLIKELY(pd->reads != NULL) && s->server != NULL && s->server->ask_behind != NULL) {
		if (exchange_pending(&s->exchange) == 0) {
			pooled_enter(pd, POOLED_PROBING);
			ask_take_over(s->server);
		}
		return;
	}
	if (s->server == NULL || pd->state != POOLED_SERVED || !exchange_safe_point(&s->exchange) ||
	    !statements_settled(pd->statements) ||
	    (pd->mode == POOL_SESSION && !pooled_was_reset(pd)))
		return;
	if (pooled_suspects(pd, &sql)) {
		begin_asking(pd, pooled_was_reset(pd) ? POOLED_PROBING : POOLED_PROBING_AHEAD,
			     buf_view(&sql));
	} else if (pd->mode == POOL_TRANSACTION && pd->pins == 0 &&
		   !statements_pins(pd->statements)) {
		struct server *sv = pd->session->server;

		statements_detach(pd->statements);
		part_from_server(pd);
		pool_return(sv);
		pooled_tell_parked(pd);
	} else if (UNLIKELY(pd->home != NULL)) {
		pool_ops.on_pinned_nearby(s);
	}
	buf_fini(&sql);
}
