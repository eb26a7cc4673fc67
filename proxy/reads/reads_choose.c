/* SPDX-License-Identifier: PostgreSQL
 *
 * Which way a unit goes, and how much of what the client says goes on its way now.
 */
#include "config.h"

#include "proxy/reads/reads_int.h"

#include "base/hot.h"
#include "protocol/message.h"
#include "proxy/pool/pooled.h"
#include "proxy/reads/catalog.h"
#include "proxy/reads/reasons.h"
#include "proxy/reads/units.h"
#include "proxy/session/session_int.h"

/* ---- the position behind it ---- */

/* The position of the server is wanted, and may be asked for right behind this: it is a whole unit,
 * and all that the client has said. */
static bool
can_ask_behind(const struct session *s, struct slice in)
{
	return s->pooled->is_tracked && !(session_observers_of(s) & 1u << OBSERVER_PAUSE) &&
	       units_length(in) == in.n;
}

/* What it may do to the session the pool asks for, and for the position with it; names are asked
 * for in the place of it. */
static bool
may_ask_behind(struct session *s, struct slice in, unsigned reason)
{
	switch (reason) {
	case CLASSIFY_CHANGES:
	case CLASSIFY_LOCKS:
	case CLASSIFY_FUNCTION:
	case CLASSIFY_MISJUDGED:
	case READS_NO_POSITION:
		break;
	default:
		return false;
	}
	return !s->pooled->reads->wants_names && can_ask_behind(s, in) && units_is_single(in);
}

/* The client is in a transaction at home, and ends it with this. */
static bool
ends_at_home(struct session *s, struct slice in)
{
	return s->server != NULL && s->pooled->state == POOLED_SERVED &&
	       exchange_tx_status(&s->exchange) == 'T' && exchange_pending(&s->exchange) == 0 &&
	       exchange_at_client_boundary(&s->exchange) && can_ask_behind(s, in) &&
	       units_ends_transaction(in);
}

/* ---- nearby ---- */

bool
reads_is_inside(const struct session *s)
{
	enum way state = s->pooled->reads->state;

	return s->server != NULL &&
	       (state == WAY_PINNED ||
		(state == WAY_SERVED && exchange_tx_status(&s->exchange) != 'I'));
}

/* Of bytes that are said inside: those up to the end of the transaction, or all. */
static size_t
up_to_end(struct session *s, struct slice in)
{
	const struct unit_judge judge = { reads_judge_text, reads_judge_prepared, s };
	size_t at = exchange_client_rest(&s->exchange, in.p, in.n), n;
	struct unit u;

	while (at < in.n && units_cut(slice_skip(in, at), &judge, &u) == PARSE_DONE) {
		n = units_length(slice_skip(in, at));
		if (n == 0)
			break;
		at += n;
		if (u.reason == CLASSIFY_TRANSACTION) {
			s->pooled->reads->state = WAY_ENDING;
			return at;
		}
	}
	return in.n;
}

static void
go_nearby(struct session *s, const char *p, const struct unit *u)
{
	struct reads *r = s->pooled->reads;
	const struct catalog *c = reads_catalog(s);
	uint64_t floor = 0;

	r->serial = c != NULL ? c->serial : 0;
	r->state = WAY_NEARBY;
	r->reason = u->reason;
	buf_put(&r->unit, p, u->n);
	r->answered = 0;
	r->has_failed = false;
	r->heard = (struct framer){ 0 };
	r->is_followed = u->reason == CLASSIFY_READ && u->runs > 1;
	s->pooled->asks_behind = s->pooled->is_tracked && u->reason == CLASSIFY_READ;
	/* what it has seen nearby without a position is there for a check, too */
	if (reads_have_floor(r))
		floor = r->floor.lsn == 0 && s->pooled->seen != 0 ? 1 : r->floor.lsn;
	pooled_head_nearby(s, r->near, floor, r->wait_us);
}

/* The unit is to show all that is committed at home by now, and that is not known yet. */
static bool
must_ask(const struct session *s, unsigned reason)
{
	const struct reads *r = s->pooled->reads;

	return r->now[SET_CONSISTENCY] == CONSISTENCY_STRICT && reads_is_nearest(r) &&
	       !r->was_asked &&
	       (classify_is_read((enum classify_reason)reason) || reason == READS_NO_POSITION);
}

/* ---- home ---- */

/* A unit goes home; how much of the bytes that begin with it. Home is decided first: it may be
 * another one, behind a fail-over that has lost what the session has seen. */
static size_t
go_home(struct session *s, struct slice in, unsigned reason, bool is_read)
{
	struct reads *r = s->pooled->reads;

	pooled_find_home(s);
	r->knows_lost = reads_have_lost(s);
	if (is_read && r->knows_lost)
		reason = READS_LOST;
	if (r->now[SET_READS] != READS_HOME)
		reads_count(s, reason);
	/* what home says of where it is now takes the place of what was lost */
	if (UNLIKELY(r->knows_lost))
		reads_warn_of_lost(s, is_read);
	if (UNLIKELY(reads_keep_lost(s)) && units_length(in) > 0)
		return units_length(in);
	s->pooled->asks_behind = may_ask_behind(s, in, reason);
	return in.n;
}

static size_t
choose(struct session *s, struct slice in)
{
	const struct unit_judge judge = { reads_judge_text, reads_judge_prepared, s };
	struct reads *r = s->pooled->reads;
	struct unit u;
	bool is_read;

	if (units_cut(in, &judge, &u) == PARSE_MORE) {
		if (in.n < KEPT_ENOUGH)
			return SIZE_MAX;
		u.reason = READS_PROTOCOL;
	}
	is_read = classify_is_read((enum classify_reason)u.reason);
	if (is_read) {
		if (reads_have_floor(r))
			reads_take_tokens(s, slice_of(in.p, u.n));
		if (UNLIKELY(r->instead.n > 0))
			return u.n;
		reads_judge_session(s, &u.reason);
	}
	if (UNLIKELY(must_ask(s, u.reason))) {
		r->state = WAY_ASKING;
		return SIZE_MAX;
	}
	if (reads_is_nearest(r) && classify_is_read((enum classify_reason)u.reason)) {
		go_nearby(s, in.p, &u);
		return u.n;
	}
	return go_home(s, in, u.reason, is_read);
}

/* Of bytes of a unit that goes home, those up to its end, or all. */
static size_t
rest_of_unit(struct reads *r, struct slice in)
{
	struct slice rest = in;
	struct frame_piece piece;

	r->ends_unit = false;
	while (!r->ends_unit && framer_next(&r->sent, &rest, &piece) == PARSE_DONE)
		r->ends_unit = piece.ends && units_is_end(piece.type);
	return r->ends_unit ? in.n - rest.n : in.n;
}

/* Bytes that begin a unit. Where a read is to fail, the rest of it is told from the next. */
static size_t
choose_unit(struct session *s, struct slice in)
{
	struct reads *r = s->pooled->reads;
	size_t n = choose(s, in);

	if (UNLIKELY(reads_keep_lost(s)) && n != SIZE_MAX) {
		r->sent = (struct framer){ 0 };
		(void)rest_of_unit(r, slice_of(in.p, n));
	}
	return n;
}

/* What comes behind what is under way at home, where a read is to fail: each unit by itself, since
 * it may be one. Where the client goes on with a unit, that is let through. */
static size_t
behind(struct session *s, struct slice in)
{
	struct reads *r = s->pooled->reads;

	if (s->exchange.copy != EXCHANGE_COPY_NONE)
		return in.n;
	if (r->ends_unit && (s->server == NULL || exchange_pending(&s->exchange) > 0))
		return SIZE_MAX;
	if (r->ends_unit && exchange_tx_status(&s->exchange) == 'I')
		return choose_unit(s, in);
	/* in a transaction nothing is refused, and it may end with this */
	return rest_of_unit(r, in);
}

/* Home is being asked how far the session has seen, or what its catalog says of names, and the
 * client has nothing else under way there. A unit that reads, or may, as far as it is there, waits
 * for that and goes nearby then: behind the question it would run at home, be followed by another
 * question, and so on for as long as the client makes no pause. */
static bool
waits_for_answer(struct session *s, struct slice in)
{
	const struct unit_judge judge = { reads_judge_text, reads_judge_prepared, s };
	const struct exchange *x = &s->exchange;
	bool is_learning = s->pooled->state == POOLED_LEARNING;
	struct unit u;

	if (!is_learning && s->pooled->state != POOLED_PROBING_AHEAD)
		return false;
	if (!reads_is_nearest(s->pooled->reads) || s->pooled->pins != 0 ||
	    exchange_pending(x) > 0 || exchange_tx_status(x) != 'I' ||
	    !exchange_at_client_boundary(x) || reads_near(s) == NULL || reads_is_serializable(s))
		return false;
	if (units_cut(in, &judge, &u) == PARSE_MORE)
		return in.n < KEPT_ENOUGH;
	return classify_is_read((enum classify_reason)u.reason) ||
	       (is_learning && classify_is_of_names((enum classify_reason)u.reason));
}

/* Bytes that begin a message: the client takes its leave, which is none of its transactions. */
static bool
is_terminate(struct slice in)
{
	return in.n >= FRAME_HEAD_BYTES && in.p[0] == MSG_TERMINATE;
}

/* What goes to the home that the session has still, or for as long as it is pinned there, counts
 * where it begins. */
static void
count_at_home(struct session *s, struct slice in)
{
	const struct unit_judge judge = { reads_judge_text, reads_judge_prepared, s };
	struct unit u;

	if (s->pooled->reads->now[SET_READS] == READS_HOME || !exchange_is_idle(&s->exchange) ||
	    is_terminate(in))
		return;
	if (s->pooled->pins != 0)
		u.reason = READS_PINNED;
	else if (units_cut(in, &judge, &u) == PARSE_MORE)
		u.reason = READS_PROTOCOL;
	reads_count(s, u.reason);
}

size_t
reads_passing(struct session *s, struct slice in)
{
	struct reads *r = s->pooled->reads;

	/* it was moved, or its pool has given up the way there */
	if (reads_is_away(r) && s->pooled->home == NULL) {
		r->state = WAY_HOME;
		buf_clear(&r->unit);
	}
	if (reads_is_inside(s))
		return up_to_end(s, in);
	if (r->state != WAY_HOME)
		return SIZE_MAX;
	/* how far it has written is said right behind its answer: what reads goes nearby then */
	if (s->server != NULL &&
	    (s->server->ask_behind != NULL || s->pooled->state == POOLED_PROBING))
		return SIZE_MAX;
	if (waits_for_answer(s, in))
		return SIZE_MAX;
	s->pooled->asks_behind = ends_at_home(s, in);
	if (s->server == NULL && s->pooled->state == POOLED_PARKED)
		return is_terminate(in) ? in.n : choose_unit(s, in);
	if (UNLIKELY(reads_keep_lost(s)))
		return behind(s, in);
	count_at_home(s, in);
	return in.n;
}
