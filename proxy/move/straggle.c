/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/straggle_int.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/hot.h"
#include "base/mem.h"
#include "protocol/aborted.h"
#include "proxy/move/pause.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/ask.h"
#include "proxy/session/session_int.h"

/* How long our ROLLBACK may take, and how long a connection whose server process was ended may stay
 * open. */
#define PATIENCE_US (500 * USEC_PER_MSEC)

/* ---- life ---- */

static void straggle_on_timer(evutil_socket_t fd, short what, void *arg);

static struct straggle *
straggle_new(struct session *s)
{
	struct straggle *st = xcalloc(1, sizeof(*st));

	st->session = s;
	st->held.cap = st->said.cap = STRAGGLE_HELD_MAX + WORKER_SCRATCH;
	st->rest.cap = STRAGGLE_HELD_MAX;
	evtimer_assign(&st->timer, loop_base(s->worker->loop), straggle_on_timer, st);
	s->straggle = st;
	session_observe(s, OBSERVER_STRAGGLER, true);
	return st;
}

void
straggle_enter(struct straggle *st, enum straggle_state state)
{
	BUG_ON(!straggle_state_may(st->state, state));
	st->state = state;
}

void
straggle_call_ready(struct straggle *st)
{
	void (*ready)(void *arg) = st->ready;

	st->ready = NULL;
	event_del(&st->timer);
	if (ready != NULL)
		ready(st->arg);
}

HOT void
straggle_free(struct straggle *st)
{
	if (st == NULL)
		return;
	straggle_call_ready(st);
	st->session->straggle = NULL;
	session_observe(st->session, OBSERVER_STRAGGLER, false);
	buf_fini(&st->held);
	buf_fini(&st->said);
	buf_fini(&st->rest);
	if (st->aborted != NULL)
		aborted_fini(st->aborted);
	free(st->aborted);
	loop_defer(st->session->worker->loop, free, st);
}

void
straggle_wait_for(struct straggle *st, void (*ready)(void *arg), void *arg)
{
	static const struct timeval patience = { .tv_usec = PATIENCE_US };

	straggle_call_ready(st); /* an earlier caller may be waiting */
	st->ready = ready;
	st->arg = arg;
	event_add(&st->timer, &patience);
}

void
straggle_read_client(struct session *s, bool read)
{
	short base = (short)(s->client.interest & ~(EV_READ | EV_CLOSED));

	stream_want(&s->client, (short)(base | (read ? EV_READ : EV_CLOSED)));
}

/* ---- taking hold ---- */

static void
on_rolled_back(struct server *sv, const struct ask_answer *a)
{
	struct session *s = sv->session;
	struct straggle *st = s->straggle;

	straggle_call_ready(st);
	if (a->lost || a->failed || a->status != 'I') {
		/* the transaction is over all the same: no COMMIT was sent */
		sv->close_needed = true;
		straggle_drop_server(st);
	}
	straggle_answer(st);
	if (s->straggle == st)
		pooled_resume(s);
}

static void
seize(struct straggle *st)
{
	struct session *s = st->session;
	struct server *sv = s->server;

	straggle_enter(st, STRAGGLE_HOLDING_SERVER);
	/* read the server even if the client takes its answers slowly */
	stream_want(&sv->stream, (short)(sv->stream.interest | EV_READ));
	if (sv->ask == NULL)
		return;
	/* a question of Meridian's own is outstanding: its answer is of no use any more */
	st->discards_server = true;
	ask_free(sv->ask);
	pooled_drop_question(s);
}

bool
straggle_begin(struct session *s, void (*ready)(void *arg), void *arg)
{
	const struct exchange *f = &s->exchange;
	bool is_idle_in_transaction;
	struct straggle *st;

	if (s->straggle != NULL || s->server == NULL || s->terminated)
		return true;
	st = straggle_new(s);
	straggle_read_client(s, false);
	is_idle_in_transaction = f->pending == 0 && !f->open && !f->reopened && !f->skip &&
				 f->copy == EXCHANGE_COPY_NONE && f->tx != 'I' && f->unsure == 0 &&
				 exchange_at_server_boundary(f) && s->server->ask == NULL &&
				 pooled_is_still(s);
	if (!is_idle_in_transaction) {
		seize(st);
		return true;
	}
	straggle_enter(st, STRAGGLE_ROLLING_BACK);
	straggle_wait_for(st, ready, arg);
	ask_begin_apart(s->server, slice_str("ROLLBACK"), on_rolled_back);
	return false;
}

bool
straggle_describe(const struct session *s, struct gate_straggler *out)
{
	const struct straggle *st = s->straggle;

	if (st == NULL || !straggle_state_row(st->state)->keeps_server || s->server == NULL)
		return false;
	*out = (struct gate_straggler){
		.session = s->id,
		.pid = s->server->pid,
		.in_flight = exchange_activity(&s->exchange) != EXCHANGE_IN_TRANSACTION &&
			     exchange_activity(&s->exchange) != EXCHANGE_IN_FAILED_TRANSACTION,
		.outcome = GATE_UNKNOWN,
	};
	out->in_commit = out->in_flight;
	out->in_block = s->exchange.tx != 'I';
	return true;
}

static void
straggle_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct straggle *st = arg;

	(void)fd;
	(void)what;
	if (st->state == STRAGGLE_ROLLING_BACK) {
		/* the migration will end the server process: no COMMIT was sent, so that rolls
		 * back */
		seize(st);
		straggle_call_ready(st);
	} else if (st->state == STRAGGLE_AWAITING_CLOSE) {
		straggle_finish(st);
	}
}

bool
straggle_answers_client(const struct session *s)
{
	return s->straggle != NULL && straggle_state_row(s->straggle->state)->answers;
}

bool
straggle_must_reconnect(const struct session *s)
{
	return s->straggle != NULL && straggle_state_row(s->straggle->state)->reconnects;
}

bool
straggle_reconnects_later(struct session *s)
{
	struct straggle *st = s->straggle;

	if (!straggle_answers_client(s))
		return false;
	if (st->state == STRAGGLE_ANSWERING)
		straggle_enter(st, STRAGGLE_ANSWERING_LAST);
	else if (st->state == STRAGGLE_HOLDING_CLIENT)
		straggle_enter(st, STRAGGLE_MUST_RECONNECT);
	return true;
}

/* ---- a server that goes while nothing is open ---- */

bool
straggle_hides_server_end(const struct session *s)
{
	return s->straggle == NULL && exchange_is_idle(&s->exchange) && pause_is_frozen(s);
}

void
straggle_server_ended(struct session *s)
{
	struct straggle *st = straggle_new(s);

	straggle_drop_server(st);
	if (st->state == STRAGGLE_MUST_RECONNECT)
		straggle_read_client(s, false);
	else
		straggle_end(st);
}

bool
straggle_is_open(const struct session *s)
{
	const struct straggle *st = s->straggle;

	return st != NULL &&
	       (st->state == STRAGGLE_ROLLING_BACK || straggle_state_row(st->state)->keeps_server);
}

/* ---- the server ---- */

static void
hold_server_bytes(struct straggle *st)
{
	struct session *s = st->session;
	struct stream *stream = &s->server->stream;
	char *scratch = s->worker->scratch;
	ssize_t n = stream_recv(stream, scratch, WORKER_SCRATCH);

	if (n == STREAM_AGAIN)
		return;
	if (n > 0 && !st->discards_server)
		buf_put(&st->held, scratch, (size_t)n);
	if (n > 0 && st->held.n < STRAGGLE_HELD_MAX)
		return;
	/* the connection has ended, or the server said more than will be passed on */
	stream_want(stream, 0);
	if (n > 0)
		return;
	if (st->state == STRAGGLE_AWAITING_CLOSE)
		straggle_finish(st);
	else if (st->state == STRAGGLE_HOLDING_SERVER)
		straggle_enter(st, STRAGGLE_SERVER_CLOSED);
}

/* While what the server says is kept, nothing of it goes the usual way. */
static bool
takes_server(struct session *s, short what)
{
	struct straggle *st = s->straggle;

	if (!straggle_is_open(s))
		return false;
	if ((what & EV_WRITE) && stream_flush(&s->server->stream) != 0)
		stream_want(&s->server->stream, EV_READ);
	if (what & EV_READ)
		hold_server_bytes(st);
	return true;
}

/* The client was let through to the server: some of what that says is for us. */
static bool
passes(struct session *s, const struct answer *a)
{
	struct straggle *st = s->straggle;

	if (st->state != STRAGGLE_DELIVERED && st->state != STRAGGLE_REPLAYING)
		return true;
	if (st->state == STRAGGLE_DELIVERED)
		buf_put(&st->said, a->p, a->n);
	straggle_on_answer(s, a->events & EXCHANGE_READY);
	return false;
}

static bool
holds_client(struct session *s)
{
	straggle_on_client(s);
	return true;
}

static const char *
doing(const struct session *s)
{
	return straggle_answers_client(s) ? exchange_activity_name(EXCHANGE_IN_FAILED_TRANSACTION)
					  : NULL;
}

static void
on_server_gone(struct session *s)
{
	straggle_free(s->straggle);
}

const struct observer straggler_observer = {
	.name = "straggler",
	.holds_client = holds_client,
	.takes_server = takes_server,
	.passes = passes,
	.on_client_drained = straggle_on_client_drained,
	.doing = doing,
	.on_server_gone = on_server_gone,
};
