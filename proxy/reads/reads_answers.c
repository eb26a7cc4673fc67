/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/reads/reads_int.h"

#include "base/hot.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/pool/pooled.h"
#include "proxy/reads/units.h"
#include "proxy/reads/verdicts.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/sampler.h"

#define READY_BYTES 6 /* of a ReadyForQuery */

enum decision {
	UNDECIDED,
	STANDS,
	WRITES,       /* the standby refuses it: it is no read, or none that a standby can do */
	SERIALIZABLE, /* the standby refuses all that this session reads */
	ENDED,        /* the standby's recovery has ended it */
};

static bool
says(const struct message_report *r, const char *sqlstate, const char *text)
{
	return slice_is(r->sqlstate, sqlstate) &&
	       memmem(r->message.p, r->message.n, text, strlen(text)) != NULL;
}

/* What a standby says of a write, of a query that its recovery ends, and of what no standby can do
 * (an unlogged table, a role whose transactions are SERIALIZABLE). Done again at home all give what
 * they would have given there. */
static enum decision
judge_error(struct slice body)
{
	struct message_report r;

	if (message_parse_report(body, &r) != PARSE_DONE)
		return STANDS;
	if (says(&r, SQLSTATE_SERIALIZATION_FAILURE, "conflict with recovery"))
		return ENDED;
	if (says(&r, SQLSTATE_FEATURE_NOT_SUPPORTED, "in a hot standby"))
		return SERIALIZABLE;
	return slice_is(r.sqlstate, SQLSTATE_READ_ONLY_TRANSACTION) ||
		       says(&r, SQLSTATE_FEATURE_NOT_SUPPORTED, "during recovery")
		   ? WRITES
		   : STANDS;
}

/* The first message that says how it went. */
static enum decision
decide(struct slice in)
{
	struct frame f;
	enum parse got;

	while ((got = frame_cut(in, INT32_MAX, &f)) == PARSE_DONE) {
		if (f.type == MSG_ERROR)
			return judge_error(f.body);
		if (strchr("123ntTNA", f.type) == NULL)
			return STANDS;
		in = slice_skip(in, f.total);
	}
	/* a long one that is no error has come so far that it will come whole */
	if (got == PARSE_BAD || (in.n > 0 && strchr("E123ntTNA", in.p[0]) == NULL))
		return STANDS;
	return UNDECIDED;
}

/* The text of that statement of the unit is not taken for a read again. */
static void
remember(struct session *s, size_t i)
{
	const struct unit_judge judge = { reads_judge_text, reads_judge_prepared, s };
	const struct reads *r = s->pooled->reads;
	struct slice sql;

	if (units_executed_text(buf_view(&r->unit), &judge, i, &sql))
		verdicts_refuse(s->worker->verdicts, sql, r->serial);
}

/* The answer to several statements: a write that is refused behind one that reads is an error of
 * the client's, which has heard of the other one; it is not taken for a read again. */
static void
follow(struct session *s, const struct answer *a)
{
	struct reads *r = s->pooled->reads;
	struct slice in = slice_of(a->p, a->n);
	struct frame_piece piece;

	while (framer_next(&r->heard, &in, &piece) == PARSE_DONE) {
		r->has_failed = r->has_failed || (piece.begins && piece.type == MSG_ERROR);
		if (piece.ends && !r->has_failed && strchr("CIs", piece.type) != NULL)
			r->answered++;
	}
	if (!(a->events & EXCHANGE_READY))
		return;
	r->is_followed = false;
	if (r->has_failed && r->answered > 0 &&
	    slice_is(slice_of(s->exchange.sqlstate, sizeof(s->exchange.sqlstate)),
		     SQLSTATE_READ_ONLY_TRANSACTION))
		remember(s, r->answered);
}

/* The answer is dropped up to its end; then the pool takes the server back, and says so
 * (reads_on_parked()). What waits for it goes on in either case: the rest of the unit may. */
static bool
drop(struct session *s, const struct answer *a)
{
	pooled_answered(s, (a->events & EXCHANGE_READY) && exchange_pending(&s->exchange) == 0);
	return false;
}

static bool
refuse(struct session *s, const struct answer *a, enum decision why)
{
	struct reads *r = s->pooled->reads;

	r->state = WAY_REFUSED;
	buf_clear(&r->answer);
	if (why == WRITES)
		remember(s, 0);
	r->is_serializable = r->is_serializable || why == SERIALIZABLE;
	return drop(s, a);
}

/* Should this server be left by a fail-over, what it has shown may be lost. */
static void
note_place(struct session *s)
{
	struct reads *r = s->pooled->reads;
	struct node_live *live = s->server->live;

	r->read_us = loop_now_us(s->worker->loop);
	r->read_timeline = r->near_timeline;
	if (r->read_at == live)
		return;
	node_live_unref(r->read_at);
	r->read_at = node_live_ref(live);
}

/* The client hears of it from now on: first, what was kept of it. */
static bool
stand(struct session *s, size_t kept)
{
	struct reads *r = s->pooled->reads;
	bool open = kept == 0 || session_say(s, r->answer.p, kept);

	r->state = WAY_SERVED;
	note_place(s);
	reads_count(s, r->reason);
	buf_clear(&r->answer);
	return open;
}

/* The end of an answer waits for the position of its server, where the client is to be told of that
 * first. True: it does not wait. */
static bool
pass_home(struct session *s, const struct answer *a)
{
	struct reads *r = s->pooled->reads;
	size_t n = a->n - READY_BYTES;

	if (!(a->events & EXCHANGE_READY) || a->n < READY_BYTES || a->p[n] != MSG_READY ||
	    exchange_pending(&s->exchange) > 0 || exchange_tx_status(&s->exchange) != 'I')
		return true;
	if (n > 0 && !session_say(s, a->p, n))
		return false;
	r->holds_ready = true;
	pooled_answered(s, true);
	if (s->state == SESSION_RELAY && r->holds_ready && !pooled_is_asking(s))
		reads_report(s, false);
	return false;
}

HOT bool
reads_pass(struct session *s, const struct answer *a)
{
	struct reads *r = s->pooled->reads;
	size_t kept = r->answer.n;
	enum decision d;

	if (UNLIKELY(r->is_followed) && reads_is_away(r))
		follow(s, a);
	if (r->state == WAY_REFUSED)
		return drop(s, a);
	if (UNLIKELY(r->now[SET_REPORT]) && r->state == WAY_HOME)
		return pass_home(s, a);
	if (r->state != WAY_NEARBY)
		return true;
	d = kept == 0 ? decide(slice_of(a->p, a->n)) : UNDECIDED;
	if (d == STANDS && !(a->events & EXCHANGE_FATAL))
		return stand(s, 0);
	buf_put(&r->answer, a->p, a->n);
	d = decide(buf_view(&r->answer));
	/* its last word: the end of the connection will come */
	if (a->events & EXCHANGE_FATAL)
		d = UNDECIDED;
	if (d == STANDS || r->answer.failed)
		return stand(s, kept);
	if (d != UNDECIDED)
		return refuse(s, a, d);
	/* a statement that was prepared elsewhere runs when the server has described it */
	pooled_answered(s, false);
	return false;
}

bool
reads_server_lost(struct session *s, bool is_gone)
{
	struct reads *r = s->pooled->reads;

	if (!is_gone || (r->state != WAY_NEARBY && r->state != WAY_REFUSED))
		return false;
	r->state = WAY_REFUSED;
	buf_clear(&r->answer);
	s->fatal_told = false;
	(void)pooled_forsake(s, 0);
	exchange_restart(&s->exchange);
	sampler_restart(s->sampler);
	reads_on_parked(s);
	return true;
}
