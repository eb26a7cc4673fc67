/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/straggle_int.h"

#include <stdlib.h>

#include "migration/types.h"
#include "protocol/exchange.h"
#include "protocol/exchange_list.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/traces.h"

/* Send what the server has said through the relay, without the last step: what the client is to
 * hear is in `said`. */
static void
deliver(struct straggle *st)
{
	struct session *s = st->session;
	struct buf all = { .cap = STRAGGLE_HELD_MAX + 2 * WORKER_SCRATCH };
	char front[EXCHANGE_HELD_MAX];

	straggle_enter(st, STRAGGLE_DELIVERED);
	if (st->discards_server)
		return;
	buf_put(&all, front, exchange_put_held(&s->exchange, front));
	buf_slice(&all, buf_view(&st->held));
	if (all.n > 0 && !all.failed)
		relay_from_server(s, all.p, all.n);
	buf_fini(&all);
}

/* How much of `said` the client may hear: whole messages, up to the last ReadyForQuery (INV-6). The
 * first `rest` bytes belong to a message that had begun before. */
static size_t
deliverable(const struct buf *said, size_t rest, bool *is_ready)
{
	struct slice in = slice_skip(buf_view(said), rest);
	size_t end = rest < said->n ? rest : said->n, at = rest;
	struct frame f;

	*is_ready = false;
	while (frame_cut(in, SIZE_MAX >> 1, &f) == PARSE_DONE) {
		at += f.total;
		in = slice_skip(in, f.total);
		if (f.type == MSG_READY) {
			end = at;
			*is_ready = true;
		}
	}
	return end;
}

/* The client awaits the answer to one command only, and its transaction was committed: that command
 * was COMMIT. */
static bool
put_commit_answer(const struct straggle *st, struct buf *out)
{
	const struct session *s = st->session;
	bool holds = settings_hold(s) || pooled_holds(s);

	if (st->discards_server || holds || exchange_pending(&s->exchange) != 1)
		return false;
	if (exchange_is_kept(&s->exchange))
		return exchange_put_commit(&s->exchange, out);
	if (!exchange_awaits_query(&s->exchange))
		return false;
	message_put_command_complete(out, "COMMIT");
	message_put_ready(out, 'I');
	return true;
}

static bool
answer_committed(struct straggle *st)
{
	struct session *s = st->session;
	struct buf out = { .cap = 4096 };
	bool known = put_commit_answer(st, &out);

	if (known) {
		if (s->traces != NULL)
			traces_answered(s->traces);
		straggle_drop_server(st);
		straggle_restart(st);
		if (session_say(s, out.p, out.n))
			straggle_end(st);
	}
	buf_fini(&out);
	return known;
}

static void
conclude(struct straggle *st, bool progress, bool had_begun)
{
	struct session *s = st->session;
	bool in_same = had_begun && s->exchange.tx != 'I', committed;
	struct err e = { 0 };

	/* then the server has begun another transaction, and the migration may have looked at the
	 * first */
	if (progress && !in_same && !exchange_is_idle(&s->exchange))
		st->outcome = GATE_UNKNOWN;
	if (st->outcome == GATE_ABORTED) {
		straggle_drop_server(st);
		straggle_answer(st);
	} else if (st->outcome != GATE_COMMITTED || !in_same || !answer_committed(st)) {
		committed = st->outcome == GATE_COMMITTED;
		err_set(&e, SQLSTATE_OUTCOME_UNKNOWN,
			committed
			    ? "the answer to a statement was lost while its database was moved"
			    : "it is not known what became of the transaction");
		err_detail(&e, "%s",
			   committed ? "It was committed."
				     : "The connection ended while its database was moved.");
		err_hint(&e, "Reconnect, and look before you try again.");
		session_close_err(s, WHY_MOVED, &e);
	}
}

void
straggle_finish(struct straggle *st)
{
	struct session *s = st->session;
	bool had_begun = s->exchange.tx != 'I', skipped = exchange_skips(&s->exchange);
	size_t rest = s->exchange.server.left, n;
	bool is_ready = false, told = false;

	straggle_call_ready(st);
	deliver(st);
	if (s->state != SESSION_RELAY)
		return;
	n = deliverable(&st->said, rest, &is_ready);
	s->fatal_told = false;
	if (n < rest) {
		/* inside a message the client can be told nothing (INV-6) */
		session_abort(s, WHY_MOVED);
		return;
	}
	told = n == 0 || session_say(s, st->said.p, n);
	buf_clear(&st->said);
	if (!told)
		return;
	/* the client is at a message boundary now, even if the server's last message was cut off */
	s->exchange.server = (struct exchange_side){ 0 };
	if (!is_ready)
		s->exchange.skip = skipped;
	if ((is_ready || st->discards_server) && exchange_is_idle(&s->exchange)) {
		straggle_drop_server(st);
		straggle_end(st);
	} else {
		conclude(st, is_ready, had_begun);
	}
}

bool
straggle_settle(struct session *s, int outcome, void (*ready)(void *arg), void *arg)
{
	struct straggle *st = s->straggle;

	if (st == NULL || !straggle_state_row(st->state)->keeps_server)
		return true;
	/* no COMMIT was sent */
	st->outcome = exchange_is_busy(&s->exchange) ? outcome : GATE_ABORTED;
	if (st->state == STRAGGLE_SERVER_CLOSED) {
		straggle_finish(st);
		return true;
	}
	if (st->state == STRAGGLE_HOLDING_SERVER)
		straggle_enter(st, STRAGGLE_AWAITING_CLOSE);
	straggle_wait_for(st, ready, arg);
	return false;
}

void
straggle_release(struct straggle *st)
{
	struct session *s = st->session;
	struct buf all = { .cap = STRAGGLE_HELD_MAX + 2 * WORKER_SCRATCH };
	char front[EXCHANGE_HELD_MAX];

	if (st->discards_server || st->state != STRAGGLE_HOLDING_SERVER) {
		st->outcome = exchange_is_busy(&s->exchange) ? GATE_UNKNOWN : GATE_ABORTED;
		straggle_finish(st);
		return;
	}
	/* the server goes on: what it has said meanwhile goes to the client */
	buf_put(&all, front, exchange_put_held(&s->exchange, front));
	buf_slice(&all, buf_view(&st->held));
	straggle_enter(st, STRAGGLE_ENDED);
	straggle_free(st);
	straggle_read_client(s, true);
	stream_want(&s->server->stream, (short)(s->server->stream.interest | EV_READ));
	if (!all.failed && all.n > 0)
		relay_from_server(s, all.p, all.n);
	buf_fini(&all);
}
