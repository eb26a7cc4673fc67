/* SPDX-License-Identifier: PostgreSQL
 *
 * How the count of outstanding ReadyForQuery messages is kept right.
 *
 * Each Query, FunctionCall and Sync is answered by one ReadyForQuery ("Message Flow": Simple Query,
 * Extended Query, Function Call); what it ends is called a round. The exceptions:
 *
 * 1. Error skipping ("Extended Query"): after an error in an extended-query message the server
 *    discards everything up to the next Sync, a Query or FunctionCall too. If the error passes when
 *    no round is outstanding, the client's next Query is not counted (`skip`). If a Query was
 *    already under way, QUERY_IN_SEQUENCE (with extended messages and no Sync in front), the error
 *    may be its own or that of a message before it. Each of those is answered by one message that
 *    says that it is done (ParseComplete, BindComplete, CloseComplete, RowDescription or NoData,
 *    CommandComplete, EmptyQueryResponse or PortalSuspended), so the numbers tell: `count` of the
 *    client, how many it has sent since the last Sync or Query, becomes `due`; `count` of the
 *    server, how many such answers have come since the last ReadyForQuery. Fewer, and the Query is
 *    discarded, with all up to a Sync.
 *
 *    Only one Query's number is kept, of Queries that are under way at a time; it is not known
 *    behind a Sync that went into a COPY's data, and up to COUNT_MANY. Where it is not known, the
 *    error is taken for the Query's own, which errs to "outstanding", and in doubt:
 *    QUERY_IN_SEQUENCE becomes QUERY_IN_DOUBT, and if a ReadyForQuery settles that, a
 *    BARE_SYNC behind it becomes SYNC_IN_DOUBT, for it may have been that one's. What is in doubt
 *    alone is taken back by the next Sync, and a SYNC_IN_DOUBT by the next Query too: the server
 *    would long have answered it. Where it does after all, `unsure` (see 3.) sees to that.
 *    From the doubt on until nothing is pending (`doubted`) the oldest round may be one that is
 *    answered, and what comes may belong to a later one. So nothing else is taken back: an error
 *    is in doubt whatever the numbers are, and a COPY leaves all Syncs outstanding.
 *
 *    For CockroachDB (`query_ends`) a Query ends the sequence as a Sync does: it discards that one
 *    alone, and says ReadyForQuery (StmtBuf.seekToNextBatch() in its pkg/sql/conn_io.go), so that
 *    there is nothing to doubt. Nor is there in the listed form (exchange_list.c), where each
 *    request is known, and Meridian may put in some of its own.
 *
 * 2. Copy-in mode ("COPY Operations"): until CopyDone or CopyFail the server ignores Flush and
 *    Sync. libpq relies on it: it sends Parse, Bind, Execute, Sync, learns from CopyInResponse that
 *    this was a COPY, sends the data, CopyDone and a second Sync, and gets one ReadyForQuery. So
 *    when CopyInResponse passes, every Sync that was sent behind the command and before its
 *    CopyDone is taken back, and so is every one that follows while copy-in lasts. To know which
 *    these are, `queue` holds the outstanding rounds in order: SYNC, BARE_SYNC (with nothing since
 *    the one before), QUERY, QUERY_ENDED (a Query and, behind it, a CopyDone sent before
 *    CopyInResponse was seen) and COPY_END (such a CopyDone in an extended-query sequence; nothing
 *    answers it). One that comes behind the Sync of its sequence is COPY_END_BEHIND: it goes when
 *    that Sync has been answered, for a COPY that comes later is not ended by it. Nor is one that
 *    begins in a Query by a COPY_END in front, where `count` (see 1.) shows that all in front of
 *    the Query has been answered. Anything else in copy-in mode is an error that ends the
 *    connection, so a client that sends it must have finished its data.
 *
 * 3. A COPY that fails ("COPY Operations"): the server leaves copy-in mode by an ErrorResponse,
 *    drops the CopyData, CopyDone and CopyFail that still come, and, if the command was an
 *    extended-query one, skips to the next Sync. A Sync that had gone into the data may have been
 *    read before the failure (and ignored) or after it (and answered): only the server knows. It is
 *    taken as ignored, and `unsure` withholds exchange_safe_point() until a surplus ReadyForQuery
 *    shows that it was not, or all that was outstanding has been answered twice over.
 *
 * 4. Copy-both mode ("Streaming Replication Protocol"): only Query starts it, so one ReadyForQuery
 *    is outstanding all the time; CommandComplete ends it. Sync is not allowed in it.
 *
 * Extended-query messages without a Sync await no ReadyForQuery and still have a transaction open
 * in the server: `open` says so. So do messages of a type that there is not: PostgreSQL ends the
 * session for one ("invalid frontend message type"), and until it has, the connection is given to
 * no other session.
 */
#include "config.h"

#include "protocol/exchange_int.h"

#include "base/hot.h"

/* ---- the queue ---- */

/* The first that awaits an answer, or `queued`. */
static unsigned
oldest(const struct exchange *x)
{
	unsigned i = 0;

	while (i < x->queued && round_is_copy_end(round_at(x, i)))
		i++;
	return i;
}

void
round_remove(struct exchange *x, unsigned i)
{
	uint64_t before = ((uint64_t)1 << (ROUND_BITS * i)) - 1, rounds = *rounds_of(x);

	rounds_put(x, (rounds & before) | (rounds >> ROUND_BITS & ~before));
	x->queued--;
}

void
rounds_forget(struct exchange *x)
{
	rounds_put(x, 0);
	x->queued = 0;
	x->beyond = 0;
}

HOT void
round_add(struct exchange *x, enum round u)
{
	if (x->beyond || x->queued == ROUNDS_MAX) {
		x->beyond |= !round_is_copy_end(u);
		return;
	}
	round_set(x, x->queued++, u);
}

/* ---- what is outstanding ---- */

HOT void
await_round_slow(struct exchange *x, enum round u)
{
	if (x->pending == UINT32_MAX)
		return;
	x->pending++;
	round_add(x, u);
}

/* All that is owed may have been discarded by the server. */
bool
rounds_in_doubt(const struct exchange *x)
{
	return x->pending == 1 && x->queued == 1 && round_at(x, 0) >= ROUND_QUERY_IN_DOUBT;
}

/* The client goes on, and the server would have answered before: nothing is owed, then. */
void
rounds_drop(struct exchange *x)
{
	x->pending = 0;
	x->doubted = 0;
	rounds_forget(x);
	x->unsure = 2;
}

void
exchange_expect_ready(struct exchange *x)
{
	exchange_unlist(x);
	await_round(x, ROUND_QUERY);
}

/* A Sync that the server is taken to ignore; its sequence has not ended, then. The COPY of a Query
 * keeps that one pending. */
void
ignore_sync(struct exchange *x)
{
	x->client.count = x->due = COUNT_UNKNOWN;
	x->reopened = x->pending == 0;
	if (x->ignored < IGNORED_MAX)
		x->ignored = (x->ignored + 1) & IGNORED_MAX;
}

/* Exception 3: this ReadyForQuery answers a Sync that was taken for ignored. Nothing is owed, or it
 * comes alone where the oldest round has more to say. */
static bool
is_surplus(struct exchange *x)
{
	unsigned i;

	if (x->pending == 0)
		return true;
	if (x->unsure == 0 || x->server.count > 0)
		return false;
	if (x->listed && rounds_pending(x) == 0)
		return list_is_surplus(x);
	i = oldest(x);
	return i < x->queued && round_at(x, i) != ROUND_BARE_SYNC &&
	       round_at(x, i) != ROUND_SYNC_IN_DOUBT;
}

/* A Query with extended messages in front is done, or what was taken for one. */
static void
drop_behind(struct exchange *x, enum round u)
{
	x->due = COUNT_UNKNOWN; /* that of the next one was not kept */
	if (u >= ROUND_QUERY_IN_DOUBT && x->queued > 0 && round_at(x, 0) == ROUND_BARE_SYNC)
		round_set(x, 0, ROUND_SYNC_IN_DOUBT);
}

/* The oldest round is done, and the marks before it with it. */
static HOT void
drop_oldest(struct exchange *x)
{
	enum round u = ROUND_COPY_END;

	while (round_is_copy_end(u) && x->queued > 0) {
		u = round_at(x, 0);
		round_remove(x, 0);
	}
	x->pending--;
	if (UNLIKELY(u >= ROUND_QUERY_IN_SEQUENCE))
		drop_behind(x, u);
	/* the sequence to whose COPY it would have belonged is over */
	if (UNLIKELY(x->queued > 0) && round_at(x, 0) == ROUND_COPY_END_BEHIND)
		round_remove(x, 0);
}

/* One ReadyForQuery has come: the oldest round is done, and the marks before it with it. */
HOT void
round_answered_slow(struct exchange *x)
{
	if (is_surplus(x)) {
		x->skip = 0;
		if (x->ignored > 0 && x->ignored < IGNORED_MAX)
			x->ignored = (x->ignored - 1) & IGNORED_MAX;
		if (x->ignored == 0)
			x->unsure = 0;
		return;
	}
	if (x->listed && rounds_pending(x) == 0)
		list_end_round(x);
	else
		drop_oldest(x);
	if (x->pending > 0)
		return;
	x->beyond = 0;
	x->doubted = 0;
	if (!exchange_is_open(x))
		rounds_forget(x);
	if (x->unsure > 0 && x->server.count > 0)
		x->unsure = (x->unsure - 1) & 3;
	if (x->unsure == 0)
		x->ignored = 0;
}

/* ---- whose error it was: exception 1 ---- */

static bool
is_queued(const struct exchange *x, bool (*is)(enum round u))
{
	unsigned i = 0;

	while (i < x->queued && !is(round_at(x, i)))
		i++;
	return i < x->queued;
}

static bool
is_behind(enum round u)
{
	return u == ROUND_QUERY_IN_SEQUENCE;
}

/* A Query, or FunctionCall, with extended messages in front. */
void
await_query_in_sequence(struct exchange *x)
{
	if (!is_queued(x, is_behind))
		x->due = x->client.count;
	await_round(x, ROUND_QUERY_IN_SEQUENCE);
}

/* The server discards what it was sent, up to a Sync that it has been sent or one to come. */
static void
discard(struct exchange *x)
{
	while (x->queued > 0 && !round_is_sync(round_at(x, 0))) {
		x->pending -= !round_is_copy_end(round_at(x, 0));
		round_remove(x, 0);
	}
	if (x->queued > 0)
		return;
	if (x->listed) {
		list_skip_to_sync(x);
		return;
	}
	x->skip = 1;
	x->reopened = 0;
}

/* The oldest may have been discarded, and others up to a Sync with it. */
static void
doubt(struct exchange *x)
{
	round_set(x, 0, ROUND_QUERY_IN_DOUBT);
	x->doubted = 1;
}

/* The oldest that awaits an answer is a Query with extended messages in front. */
static void
attribute_to_sequence(struct exchange *x)
{
	uint8_t due = x->due, come = x->server.count;
	bool is_known =
	    due != COUNT_UNKNOWN && !x->doubted && !(x->beyond && !is_queued(x, round_is_sync));

	for (unsigned marks = oldest(x); marks > 0; marks--)
		round_remove(x, 0); /* of data that is of no account any more */
	if (x->query_ends && (!is_known || come < due))
		round_set(x, 0, ROUND_BARE_SYNC); /* as which it is answered in either case */
	else if (is_known && come < due)
		discard(x);
	else if (is_known && due < COUNT_MANY)
		round_set(x, 0, ROUND_QUERY);
	else
		doubt(x);
	x->due = COUNT_UNKNOWN;
}

void
attribute_error(struct exchange *x)
{
	unsigned i;

	if (x->ignored > 0 && x->copy != EXCHANGE_COPY_NONE)
		x->unsure = 2;
	if (x->listed && rounds_pending(x) == 0) {
		list_attribute_error(x);
		return;
	}
	i = oldest(x);
	if (x->pending == 0 && (x->open || x->reopened)) {
		x->skip = 1;
		x->reopened = 0;
		rounds_forget(x);
	}
	if (i < x->queued && is_behind(round_at(x, i)))
		attribute_to_sequence(x);
}

/* ---- answers ---- */

HOT bool
exchange_is_idle(const struct exchange *x)
{
	return x->pending == 0 && !exchange_is_open(x) && x->copy == EXCHANGE_COPY_NONE &&
	       x->tx == 'I' && exchange_at_client_boundary(x) && exchange_at_server_boundary(x) &&
	       !x->client.bad && !x->server.bad && (!x->listed || !exchange_holds(x));
}

bool
exchange_is_in_doubt(const struct exchange *x)
{
	return rounds_in_doubt(x) && !exchange_is_open(x) && x->copy == EXCHANGE_COPY_NONE &&
	       exchange_at_client_boundary(x) && exchange_at_server_boundary(x);
}

/* A Query ends a sequence for us, an error leaves it open for the server. */
static bool
is_stranded(const struct exchange *x)
{
	return x->skip && !x->open && x->pending == 0;
}

bool
exchange_is_stranded(const struct exchange *x)
{
	return is_stranded(x) && x->copy == EXCHANGE_COPY_NONE && exchange_at_client_boundary(x) &&
	       exchange_at_server_boundary(x);
}

bool
exchange_is_busy(const struct exchange *x)
{
	return x->pending > 0 || exchange_is_open(x) || x->copy != EXCHANGE_COPY_NONE;
}

HOT bool
exchange_is_settled(const struct exchange *x)
{
	return !exchange_is_busy(x) && x->unsure == 0 && exchange_at_client_boundary(x);
}

bool
exchange_awaits_query(const struct exchange *x)
{
	if (x->listed && rounds_pending(x) == 0)
		return list_awaits_query(x) && !exchange_is_open(x) &&
		       x->copy == EXCHANGE_COPY_NONE;
	return x->pending == 1 && !x->beyond && x->queued == 1 && round_is_query(round_at(x, 0)) &&
	       !exchange_is_open(x) && x->copy == EXCHANGE_COPY_NONE;
}

HOT bool
exchange_safe_point(const struct exchange *x)
{
	return exchange_is_idle(x) && x->unsure == 0 && !x->terminated &&
	       x->replication == REPLICATION_NONE;
}

HOT enum exchange_activity
exchange_activity(const struct exchange *x)
{
	if (x->copy == EXCHANGE_COPY_BOTH)
		return EXCHANGE_REPLICATING;
	if (x->copy != EXCHANGE_COPY_NONE)
		return EXCHANGE_COPYING;
	if ((x->pending > 0 && !rounds_in_doubt(x)) || (exchange_is_open(x) && !is_stranded(x)))
		return EXCHANGE_ACTIVE;
	if (x->tx == 'T')
		return EXCHANGE_IN_TRANSACTION;
	return x->tx == 'E' ? EXCHANGE_IN_FAILED_TRANSACTION : EXCHANGE_IDLE;
}

const char *
exchange_activity_name(enum exchange_activity a)
{
	static const char *const names[] = {
		[EXCHANGE_IDLE] = "idle",
		[EXCHANGE_ACTIVE] = "active",
		[EXCHANGE_IN_TRANSACTION] = "idle in transaction",
		[EXCHANGE_IN_FAILED_TRANSACTION] = "idle in transaction (aborted)",
		[EXCHANGE_COPYING] = "copy",
		[EXCHANGE_REPLICATING] = "replication",
	};

	return names[a];
}
