/* SPDX-License-Identifier: PostgreSQL
 *
 * A session that reads nearby: its units on their way, what is kept of them meanwhile, and what the
 * pool says.
 */
#include "config.h"

#include "proxy/reads/reads_int.h"

#include <stdlib.h>

#include "base/hot.h"
#include "proxy/pool/pooled.h"
#include "proxy/reads/catalog.h"
#include "proxy/reads/reasons.h"
#include "proxy/reads/verdicts.h"
#include "proxy/session/session_int.h"

#define KEPT_CAP ((size_t)1 << 20)

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

/* What is kept waits: where that is for home's position, that is asked for. */
static void
begin_asking(struct session *s)
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
	n = reads_passing(s, buf_view(&kept));
	if (n == SIZE_MAX) {
		begin_asking(s);
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
	now = reads_passing(s, in);
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
		now = reads_passing(s, slice_of(*p, *n));
		if (now == SIZE_MAX) {
			keep(s, *p, *n);
			begin_asking(s);
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
	if (r->state == WAY_HOME || reads_is_inside(s))
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
	node_live_unref(r->read_at);
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
