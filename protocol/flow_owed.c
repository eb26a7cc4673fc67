/* SPDX-License-Identifier: PostgreSQL
 *
 * How the count of owed ReadyForQuery messages is kept right.
 *
 * Each Query, FunctionCall and Sync is answered by one ReadyForQuery ("Message Flow": Simple Query,
 * Extended Query, Function Call), with these exceptions:
 *
 * 1. Error skipping ("Extended Query"): after an error in an extended-query message the server
 *    discards everything up to the next Sync, a Query or FunctionCall too. If we see the error when
 *    nothing is owed, the client's next Query is not counted (`skip`). If a Query was already under
 *    way, QUERY_BEHIND (with extended messages and no Sync in front), the error may be its own or
 *    that of a message before it. Each of those is answered by one message that says that it is
 *    done (ParseComplete, BindComplete, CloseComplete, RowDescription or NoData, CommandComplete,
 *    EmptyQueryResponse or PortalSuspended), so the numbers tell: `said` of the client, how many
 *    are due since the last Sync or Query, becomes `behind`; `said` of the server, how many have
 *    come since the last ReadyForQuery. Fewer, and the Query is discarded, with all up to a Sync.
 *
 *    Only one Query's number is kept, of Queries that are under way at a time; it is not known
 *    behind a Sync that went into a COPY's data, and up to FLOW_SAID_MANY. It says nothing where
 *    Meridian puts in messages of its own, and takes their answers out: who does so has to say
 *    whose error it was, flow_be_told(), flow_forgive(), flow_assure(). Nor does it with
 *    CockroachDB, for which a Query ends the sequence as a Sync does: it discards that one alone,
 *    and says ReadyForQuery (StmtBuf.seekToNextBatch() in its pkg/sql/conn_io.go). Where it is not
 *    known, the error is taken for the Query's own, which errs to "owed", and in doubt:
 *    QUERY_BEHIND becomes DOUBT, and if a ReadyForQuery settles that, a BARE_SYNC behind it becomes
 *    DOUBT_SYNC, for it may have been that one's. What is in doubt alone is taken back by the next
 *    Sync, and a DOUBT_SYNC by the next Query too: the server would long have answered it. Where it
 *    does after all, `unsure` (see 3.) sees to that.
 *
 * 2. Copy-in mode ("COPY Operations"): until CopyDone or CopyFail the server ignores Flush and
 *    Sync. libpq relies on it: it sends Parse, Bind, Execute, Sync, learns from CopyInResponse that
 *    this was a COPY, sends the data, CopyDone and a second Sync, and gets one ReadyForQuery. So
 *    when CopyInResponse passes, every Sync that was sent behind the command and before its
 *    CopyDone is taken back, and so is every one that follows while copy-in lasts. To know
 *    which these are, `queue` holds in order what is owed: SYNC, BARE_SYNC (with nothing since
 *    the one before), QUERY, QUERY_ENDED (a Query and, behind it, a CopyDone sent before
 *    CopyInResponse was seen) and MARK (such a CopyDone in an extended-query sequence; it owes
 *    nothing). One that comes behind the Sync of its sequence is MARK_BEHIND: it goes when that
 *    Sync has been answered, for a COPY that comes later is not ended by it. Nor is one that
 *    begins in a Query by a MARK in front, where `said` (see 1.) shows that all in front of the
 *    Query has been answered. Anything else in copy-in mode is an error that ends the
 *    connection, so a client that sends it must have finished its data.
 *
 * 3. A COPY that fails ("COPY Operations"): the server leaves copy-in mode by an ErrorResponse,
 *    drops the CopyData, CopyDone and CopyFail that still come, and, if the command was an
 *    extended-query one, skips to the next Sync. A Sync that had gone into the data may have been
 *    read before the failure (and ignored) or after it (and answered): only the server knows. It
 *    is taken as ignored, and `unsure` withholds flow_safe_point() until a surplus ReadyForQuery
 *    shows that it was not, or all that was owed has been answered twice over.
 *
 * 4. Copy-both mode ("Streaming Replication Protocol"): only Query starts it, so one ReadyForQuery
 *    is owed all the time; CommandComplete ends it. Sync is not allowed in it.
 *
 * Extended-query messages without a Sync owe nothing and still have a transaction open in the
 * server: `open` says so. So do messages of a type that there is not: PostgreSQL ends the session
 * for one ("invalid frontend message type"), and until it has, the connection is nobody else's.
 */
#include "config.h"

#include "protocol/flow_int.h"

#include "base/hot.h"

/* ---- the queue ---- */

/* The first that is owed an answer, or `queued`. */
static unsigned
oldest(const struct flow *f)
{
	unsigned i = 0;

	while (i < f->queued && unit_is_mark(unit_at(f, i)))
		i++;
	return i;
}

void
unit_remove(struct flow *f, unsigned i)
{
	uint64_t before = ((uint64_t)1 << (FLOW_UNIT_BITS * i)) - 1;

	f->queue = (f->queue & before) | (f->queue >> FLOW_UNIT_BITS & ~before);
	f->queued--;
}

void
units_forget(struct flow *f)
{
	f->queue = 0;
	f->queued = 0;
	f->beyond = 0;
}

WARM void
unit_add(struct flow *f, enum unit u)
{
	if (f->beyond || f->queued == FLOW_QUEUE_MAX) {
		f->beyond |= !unit_is_mark(u);
		return;
	}
	unit_set(f, f->queued++, u);
}

/* ---- what is owed ---- */

WARM void
owe_more(struct flow *f, enum unit u)
{
	if (f->pending == UINT32_MAX)
		return;
	f->pending++;
	unit_add(f, u);
}

/* All that is owed may have been discarded by the server. */
bool
owed_in_doubt(const struct flow *f)
{
	return f->pending == 1 && f->queued == 1 && unit_at(f, 0) >= UNIT_DOUBT;
}

/* The client goes on, and the server would have answered before: nothing is owed, then. */
void
owed_no_more(struct flow *f)
{
	f->pending = 0;
	units_forget(f);
	f->unsure = 2;
}

void
flow_expect_ready(struct flow *f)
{
	owe(f, UNIT_QUERY);
}

/* A Sync that the server is taken to ignore; its sequence has not ended, then. The COPY of a Query
 * keeps that one pending. */
void
owe_not(struct flow *f)
{
	f->client.said = f->behind = FLOW_SAID_UNKNOWN;
	f->reopened = f->pending == 0;
	if (f->swallowed < FLOW_SWALLOWED_MAX)
		f->swallowed = (f->swallowed + 1) & FLOW_SWALLOWED_MAX;
}

/* Exception 3: this ReadyForQuery answers a Sync that was taken for ignored. Nothing is owed, or it
 * comes alone where the oldest unit has more to say. */
static bool
is_surplus(const struct flow *f)
{
	unsigned i;

	if (f->pending == 0)
		return true;
	if (f->unsure == 0 || f->server.said > 0)
		return false;
	i = oldest(f);
	return i < f->queued && unit_at(f, i) != UNIT_BARE_SYNC && unit_at(f, i) != UNIT_DOUBT_SYNC;
}

/* A Query with extended messages in front is done, or what was taken for one. */
static void
drop_behind(struct flow *f, enum unit u)
{
	f->behind = FLOW_SAID_UNKNOWN; /* that of the next one was not kept */
	if (u >= UNIT_DOUBT && f->queued > 0 && unit_at(f, 0) == UNIT_BARE_SYNC)
		unit_set(f, 0, UNIT_DOUBT_SYNC);
}

/* The oldest unit is done, and the marks before it with it. */
static WARM void
drop_oldest(struct flow *f)
{
	enum unit u = UNIT_MARK;

	while (unit_is_mark(u) && f->queued > 0) {
		u = unit_at(f, 0);
		unit_remove(f, 0);
	}
	f->pending--;
	if (UNLIKELY(u >= UNIT_QUERY_BEHIND))
		drop_behind(f, u);
	/* the sequence to whose COPY it would have belonged is over */
	if (UNLIKELY(f->queued > 0) && unit_at(f, 0) == UNIT_MARK_BEHIND)
		unit_remove(f, 0);
}

void
flow_forgive(struct flow *f, uint32_t n, bool skips)
{
	while (n-- > 0 && f->pending > 0)
		drop_oldest(f);
	if (f->pending > 0)
		return;
	f->beyond = 0;
	if (skips) {
		f->skip = 1;
		f->reopened = 0;
	}
	if (skips || !flow_is_open(f))
		units_forget(f);
}

void
flow_assure(struct flow *f)
{
	if (f->queued > 0 && unit_at(f, 0) >= UNIT_DOUBT)
		unit_set(f, 0, unit_at(f, 0) == UNIT_DOUBT ? UNIT_QUERY : UNIT_BARE_SYNC);
}

/* One ReadyForQuery has come: the oldest unit is done, and the marks before it with it. */
WARM void
owed_settle_more(struct flow *f)
{
	if (is_surplus(f)) {
		f->skip = 0;
		if (f->swallowed > 0 && f->swallowed < FLOW_SWALLOWED_MAX)
			f->swallowed = (f->swallowed - 1) & FLOW_SWALLOWED_MAX;
		if (f->swallowed == 0)
			f->unsure = 0;
		return;
	}
	drop_oldest(f);
	if (f->pending > 0)
		return;
	f->beyond = 0;
	if (!flow_is_open(f))
		units_forget(f);
	if (f->unsure > 0 && f->server.said > 0)
		f->unsure = (f->unsure - 1) & 3;
	if (f->unsure == 0)
		f->swallowed = 0;
}

/* ---- whose error it was: exception 1 ---- */

static bool
is_queued(const struct flow *f, bool (*is)(enum unit u))
{
	unsigned i = 0;

	while (i < f->queued && !is(unit_at(f, i)))
		i++;
	return i < f->queued;
}

static bool
is_behind(enum unit u)
{
	return u == UNIT_QUERY_BEHIND;
}

/* A Query, or FunctionCall, with extended messages in front. */
void
owe_behind(struct flow *f)
{
	if (!is_queued(f, is_behind))
		f->behind = f->client.said;
	owe(f, UNIT_QUERY_BEHIND);
}

/* The server discards what it was sent, up to a Sync that it has been sent or one to come. */
static void
discard(struct flow *f)
{
	while (f->queued > 0 && !unit_is_sync(unit_at(f, 0))) {
		f->pending -= !unit_is_mark(unit_at(f, 0));
		unit_remove(f, 0);
	}
	if (f->queued == 0) {
		f->skip = 1;
		f->reopened = 0;
	}
}

/* The oldest that is owed an answer is a Query with extended messages in front. */
static unsigned
blame(struct flow *f)
{
	uint8_t due = f->behind, come = f->server.said;
	bool is_known =
	    !f->told && due != FLOW_SAID_UNKNOWN && !(f->beyond && !is_queued(f, unit_is_sync));
	unsigned events = 0;

	for (unsigned marks = oldest(f); marks > 0; marks--)
		unit_remove(f, 0); /* of data that is of no account any more */
	if (is_known && come < due) {
		discard(f);
		events = FLOW_DISCARDED;
	} else if (is_known && due < FLOW_SAID_MANY) {
		unit_set(f, 0, UNIT_QUERY);
		events = FLOW_OWN;
	} else {
		unit_set(f, 0, UNIT_DOUBT);
	}
	f->behind = FLOW_SAID_UNKNOWN;
	return events;
}

unsigned
owed_blame(struct flow *f)
{
	unsigned i = oldest(f);

	if (f->swallowed > 0 && f->copy != FLOW_COPY_NONE)
		f->unsure = 2;
	if (f->pending == 0 && (f->open || f->reopened)) {
		f->skip = 1;
		f->reopened = 0;
		units_forget(f);
	}
	return i < f->queued && is_behind(unit_at(f, i)) ? blame(f) : 0;
}

/* ---- answers ---- */

WARM bool
flow_is_idle(const struct flow *f)
{
	return f->pending == 0 && !flow_is_open(f) && f->copy == FLOW_COPY_NONE && f->tx == 'I' &&
	       flow_at_client_boundary(f) && flow_at_server_boundary(f) && !f->client.bad &&
	       !f->server.bad;
}

bool
flow_is_in_doubt(const struct flow *f)
{
	return owed_in_doubt(f) && !flow_is_open(f) && f->copy == FLOW_COPY_NONE &&
	       flow_at_client_boundary(f) && flow_at_server_boundary(f);
}

/* A Query ends a sequence for us, an error leaves it open for the server. */
static bool
is_stranded(const struct flow *f)
{
	return f->skip && !f->open && f->pending == 0;
}

bool
flow_is_stranded(const struct flow *f)
{
	return is_stranded(f) && f->copy == FLOW_COPY_NONE && flow_at_client_boundary(f) &&
	       flow_at_server_boundary(f);
}

bool
flow_owes(const struct flow *f)
{
	return f->pending > 0 || flow_is_open(f) || f->copy != FLOW_COPY_NONE;
}

WARM bool
flow_is_settled(const struct flow *f)
{
	return !flow_owes(f) && f->unsure == 0 && flow_at_client_boundary(f);
}

bool
flow_awaits_query(const struct flow *f)
{
	return f->pending == 1 && !f->beyond && f->queued == 1 && unit_is_query(unit_at(f, 0)) &&
	       !flow_is_open(f) && f->copy == FLOW_COPY_NONE;
}

WARM bool
flow_safe_point(const struct flow *f)
{
	return flow_is_idle(f) && f->unsure == 0 && !f->terminated &&
	       f->replication == REPLICATION_NONE;
}

WARM enum flow_activity
flow_activity(const struct flow *f)
{
	if (f->copy == FLOW_COPY_BOTH)
		return FLOW_REPLICATING;
	if (f->copy != FLOW_COPY_NONE)
		return FLOW_COPYING;
	if ((f->pending > 0 && !owed_in_doubt(f)) || (flow_is_open(f) && !is_stranded(f)))
		return FLOW_ACTIVE;
	if (f->tx == 'T')
		return FLOW_IN_TRANSACTION;
	return f->tx == 'E' ? FLOW_IN_FAILED_TRANSACTION : FLOW_IDLE;
}

const char *
flow_activity_name(enum flow_activity a)
{
	static const char *const names[] = {
		[FLOW_IDLE] = "idle",
		[FLOW_ACTIVE] = "active",
		[FLOW_IN_TRANSACTION] = "idle in transaction",
		[FLOW_IN_FAILED_TRANSACTION] = "idle in transaction (aborted)",
		[FLOW_COPYING] = "copy",
		[FLOW_REPLICATING] = "replication",
	};

	return names[a];
}
