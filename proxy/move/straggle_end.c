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

/* All that the server has said goes its way, but for the last step: what the client is to hear is
 * in `said`. */
static void
deliver(struct straggle *st)
{
	struct session *s = st->session;
	struct buf all = { .cap = STRAGGLE_HELD_MAX + 2 * WORKER_SCRATCH };
	char front[EXCHANGE_HELD_MAX];

	st->stage = DELIVERED;
	if (st->deaf)
		return;
	buf_put(&all, front, exchange_put_held(&s->exchange, front));
	buf_slice(&all, buf_view(&st->held));
	if (all.n > 0 && !all.failed)
		relay_from_server(s, all.p, all.n);
	buf_fini(&all);
}

/* Up to where the client may hear it: whole messages, up to the last ReadyForQuery. `rest`: bytes
 * of a message that had begun before. */
static size_t
audible(const struct buf *said, size_t rest, bool *is_ready)
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

static void
close_unknown(struct session *s, bool committed)
{
	struct err e = { 0 };

	err_set(&e, SQLSTATE_OUTCOME_UNKNOWN,
		committed ? "the answer to a statement was lost while its database was moved"
			  : "it is not known what became of the transaction");
	err_detail(&e, "%s",
		   committed ? "It was committed."
			     : "The connection ended while its database was moved.");
	err_hint(&e, "Reconnect, and look before you try again.");
	session_close_err(s, WHY_MOVED, &e);
}

/* All that the client awaits is the answer to one command, in a transaction that was committed: so
 * it was a COMMIT. */
static bool
put_commit(const struct straggle *st, struct buf *out)
{
	const struct session *s = st->session;

	bool holds = settings_hold(s) || (session_is_pooled(s) && pooled_holds(s->pooled));

	if (st->deaf || holds || exchange_pending(&s->exchange) != 1)
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
tell_committed(struct straggle *st)
{
	struct session *s = st->session;
	struct buf out = { .cap = 4096 };
	bool known = put_commit(st, &out);

	if (known) {
		straggle_leave_server(st);
		straggle_restart(st);
		if (session_say(s, out.p, out.n))
			straggle_be_done(st);
	}
	buf_fini(&out);
	return known;
}

static void
conclude(struct straggle *st, bool progress, bool had_begun)
{
	struct session *s = st->session;
	bool in_same = had_begun && s->exchange.tx != 'I';

	/* what the migration has found may be of the one before */
	if (progress && !in_same && !exchange_is_idle(&s->exchange))
		st->outcome = GATE_UNKNOWN;
	if (st->outcome == GATE_ABORTED) {
		straggle_leave_server(st);
		straggle_answer(st);
	} else if (st->outcome != GATE_COMMITTED || !in_same || !tell_committed(st)) {
		close_unknown(s, st->outcome == GATE_COMMITTED);
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
	n = audible(&st->said, rest, &is_ready);
	s->fatal_told = false;
	if (n < rest) {
		session_abort(s, WHY_MOVED); /* in the middle of a message: nothing can be said */
		return;
	}
	told = n == 0 || session_say(s, st->said.p, n);
	buf_clear(&st->said);
	if (!told)
		return;
	/* it is between two messages now, whatever came behind */
	s->exchange.server = (struct exchange_side){ 0 };
	if (!is_ready)
		s->exchange.skip = skipped;
	if ((is_ready || st->deaf) && exchange_is_idle(&s->exchange)) {
		straggle_leave_server(st);
		straggle_be_done(st);
	} else {
		conclude(st, is_ready, had_begun);
	}
}

bool
straggle_settle(struct session *s, int outcome, void (*ready)(void *arg), void *arg)
{
	struct straggle *st = s->straggle;

	if (st == NULL || st->stage != SEIZED)
		return true;
	/* no COMMIT was ever sent */
	st->outcome = exchange_is_busy(&s->exchange) ? outcome : GATE_ABORTED;
	if (!st->lost) {
		straggle_wait_for(st, ready, arg);
		return false;
	}
	straggle_finish(st);
	return true;
}

/* Its server goes on as if nothing had been: what it has said meanwhile goes to the client. */
static void
let_go(struct straggle *st)
{
	struct session *s = st->session;
	struct buf all = { .cap = STRAGGLE_HELD_MAX + 2 * WORKER_SCRATCH };
	char front[EXCHANGE_HELD_MAX];

	buf_put(&all, front, exchange_put_held(&s->exchange, front));
	buf_slice(&all, buf_view(&st->held));
	straggle_free(st);
	straggle_read_client(s, true);
	stream_want(&s->server->stream, (short)(s->server->stream.interest | EV_READ));
	if (!all.failed && all.n > 0)
		relay_from_server(s, all.p, all.n);
	buf_fini(&all);
}

void
straggle_release(struct straggle *st)
{
	if (!st->deaf && !st->lost) {
		let_go(st);
		return;
	}
	st->outcome = exchange_is_busy(&st->session->exchange) ? GATE_UNKNOWN : GATE_ABORTED;
	straggle_finish(st);
}
