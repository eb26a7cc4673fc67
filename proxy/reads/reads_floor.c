/* SPDX-License-Identifier: PostgreSQL
 *
 * What a session has seen, its floor: by its own transactions, and by the tokens that its client
 * has given it. What becomes of reads when a fail-over has lost that.
 */
#include "config.h"

#include "proxy/reads/reads_int.h"

#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/pooled.h"
#include "proxy/session/session_int.h"

bool
reads_have_floor(const struct reads *r)
{
	return reads_is_nearest(r) && (r->now[SET_CONSISTENCY] == CONSISTENCY_SESSION ||
				       r->now[SET_CONSISTENCY] == CONSISTENCY_STRICT);
}

enum token_verdict
reads_judge_floor(const struct session *s)
{
	const struct reads *r = s->pooled->reads;
	const struct node_live *live = pooled_home(s);
	const struct node *home =
	    live != NULL ? topology_node_by_live(worker_world(s->worker)->topology, live) : NULL;

	if (r->floor.lsn == 0)
		return TOKEN_STANDS;
	if (home == NULL)
		return TOKEN_UNKNOWN;
	return token_judge(&r->floor, home->system_id, home->timeline, &home->ends);
}

/* A fail-over has come since it last read nearby, how far that was is not known, and the standby
 * has not gone over to the new timeline: home may lack what it has shown. */
static bool
is_left_behind(const struct session *s)
{
	const struct topology *t = worker_world(s->worker)->topology;
	const struct reads *r = s->pooled->reads;
	const struct node_live *live = pooled_home(s);
	const struct node *home, *at;

	if (s->pooled->seen == 0 || r->read_at == NULL || live == NULL || live == r->read_at)
		return false;
	home = topology_node_by_live(t, live);
	if (home == NULL || r->read_timeline == 0 || home->timeline <= r->read_timeline)
		return false;
	at = topology_node_by_live(t, r->read_at);
	return at == NULL || at->state == NODE_DOWN || at->timeline != home->timeline ||
	       at->up_since_us > r->read_us;
}

bool
reads_have_lost(const struct session *s)
{
	enum token_verdict verdict;

	if (!reads_have_floor(s->pooled->reads))
		return false;
	verdict = reads_judge_floor(s);
	return verdict == TOKEN_LOST || verdict == TOKEN_UNKNOWN || is_left_behind(s);
}

bool
reads_keep_lost(const struct session *s)
{
	const struct reads *r = s->pooled->reads;

	return r->now[SET_LOST_WAL] == LOST_WAL_FAIL && reads_have_floor(r) &&
	       reads_judge_floor(s) == TOKEN_LOST;
}

/* What home says of where it is does not take the place of what was lost: the client has not been
 * told yet, or it is not to read without. */
static bool
holds_lost(const struct session *s)
{
	return reads_keep_lost(s) || (!s->pooled->reads->is_warned && reads_have_lost(s));
}

void
reads_see(struct reads *r, const struct session *s, const struct wal_token *seen)
{
	struct wal_token before = r->floor;
	bool keeps = before.lsn != 0 && holds_lost(s);
	enum token_verdict verdict;

	/* what was lost counts in front of what is there */
	r->is_warned = false;
	if (keeps)
		return;
	r->floor = *seen;
	verdict = reads_judge_floor(s);
	if (before.lsn == 0 || verdict == TOKEN_LOST)
		return;
	/* … and so does what may have been: home says what is there, before anything is read nearby
	 */
	if (verdict == TOKEN_UNKNOWN && seen->timeline < before.timeline) {
		r->is_known = false;
		return;
	}
	r->floor = before;
	token_raise(&r->floor, seen);
}

bool
reads_knows_floor(const struct session *s)
{
	const struct reads *r = s->pooled->reads;

	return s->pooled->is_tracked && r->is_known && s->pooled->seen == 0 && r->floor.lsn != 0 &&
	       r->kept.n == 0 && s->server == NULL && s->pooled->state == POOLED_PARKED;
}

void
reads_on_position(struct session *s, const struct wal_position *position)
{
	struct reads *r = s->pooled->reads;
	struct pooled *pd = s->pooled;
	const struct node *n =
	    topology_node_by_live(worker_world(s->worker)->topology, pd->pool->live);
	struct wal_token seen = { .lsn = position->lsn, .timeline = position->timeline }, before;

	/* what the client has said behind the question it does not cover */
	r->is_known = position->lsn != 0 && !pd->is_untold;
	if (position->lsn == 0 || holds_lost(s)) {
		reads_report(s, false);
		return;
	}
	pd->seen = 0;
	/* a standby does not say its timeline: it is that of what it was read with */
	if (seen.timeline == 0)
		seen.timeline = r->floor.lsn != 0 ? r->floor.timeline : n != NULL ? n->timeline : 0;
	seen.system_id = n != NULL && n->system_id != 0 ? n->system_id : r->floor.system_id;
	before = r->floor;
	token_raise(&r->floor, &seen);
	/* what it has seen from now on may be lost another time */
	r->is_warned = r->is_warned && reads_have_lost(s);
	reads_report(s, pd->home == NULL && r->floor.system_id != 0 &&
			    (r->floor.lsn != before.lsn || r->floor.timeline != before.timeline));
}

void
reads_report(struct session *s, bool is_new)
{
	struct reads *r = s->pooled->reads;
	struct buf token = { .cap = TOKEN_TEXT_MAX }, b = { .cap = 256 };
	bool is_held = r->holds_ready;

	r->holds_ready = false;
	if (is_new && r->now[SET_REPORT]) {
		token_put(&token, &r->floor);
		message_put_parameter(&b, slice_str("meridian.token"), buf_view(&token));
	}
	if (is_held)
		message_put_ready(&b, 'I');
	if (b.n > 0)
		(void)session_say(s, b.p, b.n);
	buf_fini(&token);
	buf_fini(&b);
}

/* ---- lost ---- */

void
reads_fail_unit(struct reads *r, const struct err *e)
{
	struct buf sql = { .cap = sizeof(*e) * 4 };

	settings_put_raise(&sql, e);
	buf_clear(&r->instead);
	message_put_query(&r->instead, buf_view(&sql));
	buf_fini(&sql);
}

void
reads_warn_of_lost(struct session *s, bool is_read)
{
	struct reads *r = s->pooled->reads;
	enum token_verdict verdict = reads_judge_floor(s);
	bool is_lost = verdict == TOKEN_LOST;
	struct buf b = { .cap = 4096 };
	struct err e;

	if (is_lost)
		err_set(&e, SQLSTATE_WARNING,
			"what this session has seen was lost in a fail-over: it reads at home");
	else if (verdict != TOKEN_UNKNOWN)
		err_set(&e, SQLSTATE_WARNING,
			"what this session has read nearby may have been lost in a fail-over: it "
			"reads at home");
	else
		err_set(&e, SQLSTATE_WARNING,
			"what this session has seen is of timeline %u, whose end is not known: it "
			"reads at home",
			r->floor.timeline);
	err_hint(&e, "RESET meridian.token forgets what it has seen.");
	if (is_lost && is_read && r->now[SET_LOST_WAL] == LOST_WAL_FAIL) {
		err_set(&e, SQLSTATE_OBJECT_NOT_IN_STATE,
			"what this session has seen was lost in a fail-over");
		err_hint(&e, "RESET meridian.token forgets what it has seen.");
		reads_fail_unit(r, &e);
	} else if (!r->is_warned) {
		r->is_warned = true;
		message_put_notice(&b, "WARNING", &e);
		(void)session_say(s, b.p, b.n);
	}
	buf_fini(&b);
}
