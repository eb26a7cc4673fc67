/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/reads/reads_int.h"

#include <stdlib.h>
#include <strings.h>

#include "base/hot.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/pool/pooled.h"
#include "proxy/reads/catalog.h"
#include "proxy/reads/reasons.h"
#include "proxy/reads/units.h"
#include "proxy/reads/verdicts.h"
#include "proxy/session/session_int.h"

#define KEPT_ENOUGH ((size_t)16 * 1024) /* a unit that is longer goes home */
#define KEPT_CAP    ((size_t)1 << 20)

/* ---- how much of it now, and where ---- */

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

/* The client speaks into the transaction that is open nearby, and has not ended it yet; or to the
 * server there that it cannot leave. */
static bool
is_inside(const struct session *s)
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
go_nearby(struct session *s, const char *p, size_t n, unsigned reason)
{
	struct reads *r = s->pooled->reads;
	uint64_t floor = 0;

	r->state = WAY_NEARBY;
	r->reason = reason;
	buf_put(&r->unit, p, n);
	s->pooled->asks_behind = s->pooled->is_tracked && reason == CLASSIFY_READ;
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

static size_t
choose(struct session *s, struct slice in)
{
	const struct unit_judge judge = { reads_judge_text, reads_judge_prepared, s };
	const struct catalog *c;
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
		c = reads_catalog(s);
		r->serial = c != NULL ? c->serial : 0;
		go_nearby(s, in.p, u.n, u.reason);
		return u.n;
	}
	pooled_find_home(s);
	r->knows_lost = reads_have_lost(s);
	if (is_read && r->knows_lost)
		u.reason = READS_LOST;
	if (r->now[SET_READS] != READS_HOME)
		reads_count(s, u.reason);
	/* what home says of where it is now takes the place of what was lost */
	if (UNLIKELY(r->knows_lost)) {
		reads_warn_of_lost(s, is_read);
		if (r->instead.n > 0)
			return u.n;
	}
	if (UNLIKELY(reads_keep_lost(s)) && units_length(in) > 0)
		return units_length(in);
	s->pooled->asks_behind = may_ask_behind(s, in, u.reason);
	return in.n;
}

/* Of bytes of a unit that goes home, those up to its end, or all. */
static size_t
rest_of_unit(struct reads *r, struct slice in)
{
	struct slice rest = in;
	struct frame_piece piece;

	r->ends_unit = false;
	while (!r->ends_unit && framer_next(&r->sent, &rest, &piece) == PARSE_DONE)
		r->ends_unit = piece.ends && (piece.type == MSG_QUERY || piece.type == MSG_SYNC);
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

/* Home is being asked how far the session has seen, and the client has nothing else under way
 * there. A unit that reads, or may, as far as it is there, waits for that and goes nearby then:
 * behind the question it would run at home, be followed by another question, and so on for as long
 * as the client makes no pause. */
static bool
waits_for_position(struct session *s, struct slice in)
{
	const struct unit_judge judge = { reads_judge_text, reads_judge_prepared, s };
	const struct exchange *x = &s->exchange;
	struct unit u;

	if (!reads_is_nearest(s->pooled->reads) || s->pooled->pins != 0 ||
	    exchange_pending(x) > 0 || exchange_tx_status(x) != 'I' ||
	    !exchange_at_client_boundary(x) || reads_near(s) == NULL || reads_is_serializable(s))
		return false;
	if (units_cut(in, &judge, &u) == PARSE_MORE)
		return in.n < KEPT_ENOUGH;
	return classify_is_read((enum classify_reason)u.reason);
}

/* Bytes that begin a message: the client takes its leave, which is none of its transactions. */
static bool
is_terminate(struct slice in)
{
	return in.n >= FRAME_HEAD_BYTES && in.p[0] == MSG_TERMINATE;
}

/* How many of these bytes may go on their way now, wherever that leads; SIZE_MAX: they wait. */
static size_t
passing(struct session *s, struct slice in)
{
	struct reads *r = s->pooled->reads;

	/* it was moved, or its pool has given up the way there */
	if (reads_is_away(r) && s->pooled->home == NULL) {
		r->state = WAY_HOME;
		buf_clear(&r->unit);
	}
	if (is_inside(s))
		return up_to_end(s, in);
	if (r->state != WAY_HOME)
		return SIZE_MAX;
	/* how far it has written is said right behind its answer: what reads goes nearby then */
	if (s->server != NULL &&
	    (s->server->ask_behind != NULL || s->pooled->state == POOLED_PROBING))
		return SIZE_MAX;
	if (s->pooled->state == POOLED_PROBING_AHEAD && waits_for_position(s, in))
		return SIZE_MAX;
	s->pooled->asks_behind = ends_at_home(s, in);
	if (s->server == NULL && s->pooled->state == POOLED_PARKED)
		return is_terminate(in) ? in.n : choose_unit(s, in);
	return UNLIKELY(reads_keep_lost(s)) ? behind(s, in) : in.n;
}

/* ---- on its way ---- */

/* What the client says beside a unit that is under way nearby, or in pieces. */
static void
keep(struct session *s, const char *p, size_t n)
{
	struct reads *r = s->pooled->reads;

	buf_put(&r->kept, p, n);
	if (r->kept.failed) {
		session_close(s, WHY_PROTOCOL, "Too many statements at once.");
	} else if (r->kept.n >= KEPT_ENOUGH && !r->was_full) {
		r->was_full = true;
		session_only_watch(s);
	}
}

static void
hand_on(struct session *s, const char *p, size_t n)
{
	struct reads *r = s->pooled->reads;

	r->judged = true;
	(void)relay_to_server(s, p, n);
	/* where the session is over it lives on to the end of the tick */
	r->judged = false;
	pooled_ask_position_behind(s);
}

/* What is kept waits: for home's position, which is to be asked for, or for something else. */
static void
wait(struct session *s)
{
	struct reads *r = s->pooled->reads;

	if (r->state != WAY_ASKING || s->pooled->state != POOLED_PARKED ||
	    s->state != SESSION_RELAY)
		return;
	r->is_known = false;
	pooled_ask_position(s);
}

/* What was kept goes on its way, as much of it as can. */
static void
go_on(struct session *s)
{
	struct reads *r = s->pooled->reads;
	struct buf kept = r->kept;
	size_t n;

	if (kept.n == 0)
		return;
	n = passing(s, buf_view(&kept));
	if (n == SIZE_MAX) {
		wait(s);
		return;
	}
	r->kept = (struct buf){ .cap = KEPT_CAP };
	if (r->was_full) {
		r->was_full = false;
		stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	}
	if (n < kept.n)
		keep(s, kept.p + n, kept.n - n);
	if (s->state == SESSION_RELAY)
		hand_on(s, kept.p, n);
	buf_fini(&kept);
}

/* In front of what is kept. */
static void
keep_in_front(struct session *s, const char *p, size_t n)
{
	struct reads *r = s->pooled->reads;
	struct buf kept = r->kept;

	r->kept = (struct buf){ .cap = KEPT_CAP };
	keep(s, p, n);
	if (kept.n > 0 && s->state == SESSION_RELAY)
		keep(s, kept.p, kept.n);
	buf_fini(&kept);
}

/* What has waited for its home goes there now. Home may be another one than that which it was
 * judged by, behind a fail-over that has lost what the session has seen: it is judged anew. How
 * much of it goes on. */
static size_t
passing_again(struct session *s, struct slice in)
{
	struct reads *r = s->pooled->reads;
	size_t now;

	if (s->pooled->home != NULL || r->knows_lost || !reads_have_lost(s))
		return in.n;
	r->ends_unit = true;
	if (!reads_keep_lost(s))
		reads_warn_of_lost(s, false);
	now = passing(s, in);
	if (now == SIZE_MAX)
		now = 0;
	if (now < in.n)
		keep_in_front(s, in.p + now, in.n - now);
	return now;
}

static HOT bool
on_client(struct session *s, const char **p, size_t *n)
{
	struct reads *r = s->pooled->reads;
	size_t now = *n;

	if (UNLIKELY(s->pooled->resends)) {
		now = passing_again(s, slice_of(*p, *n));
		if (now == 0)
			return false;
	} else if (!r->judged && *n > 0) {
		/* without bytes it is what was held for an answer that goes on, judged already */
		if (r->kept.n > 0) {
			keep(s, *p, *n);
			if (s->state == SESSION_RELAY)
				go_on(s);
			return false;
		}
		now = passing(s, slice_of(*p, *n));
		if (now == SIZE_MAX) {
			keep(s, *p, *n);
			wait(s);
			return false;
		}
		if (now < *n)
			keep(s, *p + now, *n - now);
		if (s->pooled->asks_behind && s->state == SESSION_RELAY) {
			hand_on(s, *p, now);
			return false;
		}
	}
	/* what it has seen behind this, its server is asked for */
	r->is_known = false;
	*n = now;
	if (UNLIKELY(r->instead.n > 0)) {
		*p = r->instead.p;
		*n = r->instead.n;
		buf_clear(&r->instead);
	}
	return s->state == SESSION_RELAY;
}

/* A transaction that is open nearby goes on; or what waits behind something at home. */
static void
on_server_sent(struct session *s, const struct answer *a)
{
	struct reads *r = s->pooled->reads;

	if (r->wants_names && (a->events & EXCHANGE_READY) && reads_near(s) != NULL)
		reads_ask_for_names(s);
	if (!(a->events & EXCHANGE_READY) || s->server == NULL ||
	    exchange_pending(&s->exchange) > 0)
		return;
	/* what it took for the end of its transaction was none */
	if (r->state == WAY_ENDING && exchange_tx_status(&s->exchange) != 'I')
		r->state = WAY_SERVED;
	if (r->state == WAY_HOME || is_inside(s))
		go_on(s);
}

/* ---- what the pool says ---- */

void
reads_on_heard(struct session *s)
{
	if (s->pooled->reads->state == WAY_HOME)
		go_on(s);
}

/* The standby is not asked again for a while. */
void
reads_on_refused(struct session *s)
{
	struct reads *r = s->pooled->reads;

	s->pooled->asks_behind = false;
	if (!reads_is_away(r))
		return;
	r->state = WAY_HOME;
	buf_clear(&r->unit);
	reads_shun(s);
	reads_count(s, READS_BEHIND);
	stat_add(&s->worker->stats.reads_behind, 1);
}

/* A transaction that is READ ONLY may leave a lock, a cursor, a prepared statement. */
void
reads_on_pinned(struct session *s)
{
	s->pooled->reads->state = WAY_PINNED;
	go_on(s);
}

void
reads_on_parked(struct session *s)
{
	struct reads *r = s->pooled->reads;
	struct buf unit = r->unit;
	bool was_refused = r->state == WAY_REFUSED;

	r->was_asked = r->state == WAY_ASKING;
	/* what it has seen nearby beyond the floor, that run of the standby keeps for it */
	if (reads_is_away(r) && s->pooled->is_tracked && s->pooled->seen != 0)
		r->is_known = true;
	r->state = WAY_HOME;
	r->unit = (struct buf){ .cap = KEPT_CAP };
	s->pooled->asks_behind = false;
	if (r->holds_ready)
		reads_report(s, false);
	pooled_head_home(s);
	if (was_refused) {
		reads_count(s, READS_REFUSED);
		stat_add(&s->worker->stats.reads_again, 1);
		hand_on(s, unit.p, unit.n);
	} else {
		go_on(s);
	}
	r->was_asked = false;
	buf_fini(&unit);
}

/* ---- beginning and end ---- */

void
reads_changed(struct session *s)
{
	const struct reads *r = s->pooled->reads;

	s->pooled->is_tracked = reads_have_floor(r) || r->now[SET_REPORT];
	s->pooled->is_untold = s->pooled->is_untold && s->pooled->is_tracked;
}

struct reads *
reads_new(struct session *s, int64_t wait_us)
{
	struct reads *r = xcalloc(1, sizeof(*r));

	r->wait_us = wait_us;
	r->kept.cap = r->unit.cap = r->answer.cap = r->instead.cap = KEPT_CAP;
	if (s->worker->verdicts == NULL)
		s->worker->verdicts = verdicts_new();
	s->pooled->reads = r;
	session_observe(s, OBSERVER_READS, true);
	return r;
}

void
reads_free(struct reads *r)
{
	if (r == NULL)
		return;
	node_live_unref(r->near);
	catalog_unref(r->catalog);
	buf_fini(&r->kept);
	buf_fini(&r->unit);
	buf_fini(&r->answer);
	buf_fini(&r->instead);
	free(r);
}

static void
release(struct session *s)
{
	session_observe(s, OBSERVER_READS, false);
}

const struct observer reads_observer = {
	.name = "reads",
	.on_client = on_client,
	.on_server_lost = reads_server_lost,
	.client_part = pooled_client_part,
	.passes = reads_pass,
	.on_server_sent = on_server_sent,
	.release = release,
};
