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
 *    behind a Sync that went into a COPY's data, and up to SAID_MANY. It says nothing where
 * Meridian puts in messages of its own, and takes their answers out: who does so has to say whose
 * error it was, flow_be_told(), flow_forgive(), flow_assure(). Nor does it with CockroachDB, for
 * which a Query ends the sequence as a Sync does: it discards that one alone, and says
 * ReadyForQuery (StmtBuf.seekToNextBatch() in its pkg/sql/conn_io.go). Where it is not known, the
 * error is taken for the Query's own, which errs to "owed", and in doubt: QUERY_BEHIND becomes
 * DOUBT, and if a ReadyForQuery settles that, a BARE_SYNC behind it becomes DOUBT_SYNC, for it may
 * have been that one's. What is in doubt alone is taken back by the next Sync, and a DOUBT_SYNC by
 *    the next Query too: the server would long have answered it. Where it does after all, `unsure`
 *    (see 3.) sees to that.
 *
 * 2. Copy-in mode ("COPY Operations"): until CopyDone or CopyFail the server ignores Flush and
 *    Sync. libpq relies on it: it sends Parse, Bind, Execute, Sync, learns from CopyInResponse that
 *    this was a COPY, sends the data, CopyDone and a second Sync, and gets one ReadyForQuery. So
 *    when CopyInResponse passes, every Sync that was sent behind the command and before its
 *    CopyDone is taken back, and so is every one that follows while copy-in lasts. To know
 *    which these are, `queue` holds in order what is owed: SYNC, BARE_SYNC (with nothing since the
 *    one before), QUERY, QUERY_ENDED (a Query and, behind it, a CopyDone sent before
 *    CopyInResponse was seen) and MARK (such a CopyDone in an extended-query sequence; it owes
 *    nothing). Anything else in copy-in mode is an error that ends the connection, so a client
 *    that sends it must have finished its data.
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

#include "protocol/flow.h"

#include <assert.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/hot.h"
#include "protocol/frame.h"

#define UNIT_BITS     3
#define QUEUE_MAX     21
#define LENGTH_MAX    ((uint32_t)INT32_MAX)
#define SWALLOWED_MAX 15
#define SAID_MANY     254 /* so many or more … */
#define SAID_UNKNOWN  255
#define AT_MAX        15

enum unit {
	UNIT_SYNC,
	UNIT_BARE_SYNC,
	UNIT_QUERY,
	UNIT_QUERY_ENDED,
	UNIT_MARK,
	UNIT_QUERY_BEHIND,
	UNIT_DOUBT,
	UNIT_DOUBT_SYNC,
};

#define UNIT_MASK ((uint64_t)7)

/* What a message does to the state when its header has passed; NULL: nothing. */
typedef unsigned (*flow_handler)(struct flow *f);

static_assert(sizeof(struct flow) == 64, "struct flow is meant to be one cache line");

WARM void
flow_init(struct flow *f, enum replication kind)
{
	*f = (struct flow){ .tx = 'I', .replication = (unsigned)kind & 3u };
}

void
flow_restart(struct flow *f)
{
	struct flow was = *f;

	flow_init(f, (enum replication)was.replication);
	f->simple = was.simple;
	f->extended = was.extended;
	memcpy(f->sqlstate, was.sqlstate, sizeof(f->sqlstate));
	f->terminated = was.terminated;
	f->told = was.told;
}

void
flow_be_told(struct flow *f)
{
	f->told = 1;
}

/* ---- what the server owes ---- */

/* The server is in the middle of extended-query messages, and a Sync must follow. */
static bool
is_open(const struct flow *f)
{
	return f->open || f->reopened || f->skip;
}

static enum unit
unit_at(const struct flow *f, unsigned i)
{
	return (enum unit)(f->queue >> (UNIT_BITS * i) & UNIT_MASK);
}

static bool
is_sync(enum unit u)
{
	return u == UNIT_SYNC || u == UNIT_BARE_SYNC;
}

static bool
is_query(enum unit u)
{
	return u == UNIT_QUERY || u == UNIT_QUERY_ENDED || u == UNIT_QUERY_BEHIND;
}

/* The first that is owed an answer, or `queued`. */
static unsigned
oldest(const struct flow *f)
{
	unsigned i = 0;

	while (i < f->queued && unit_at(f, i) == UNIT_MARK)
		i++;
	return i;
}

static void
unit_set(struct flow *f, unsigned i, enum unit u)
{
	f->queue &= ~(UNIT_MASK << (UNIT_BITS * i));
	f->queue |= (uint64_t)u << (UNIT_BITS * i);
}

static void
unit_remove(struct flow *f, unsigned i)
{
	uint64_t before = ((uint64_t)1 << (UNIT_BITS * i)) - 1;

	f->queue = (f->queue & before) | (f->queue >> UNIT_BITS & ~before);
	f->queued--;
}

static WARM void
unit_add(struct flow *f, enum unit u)
{
	if (f->beyond || f->queued == QUEUE_MAX) {
		f->beyond |= u != UNIT_MARK;
		return;
	}
	unit_set(f, f->queued++, u);
}

static void
forget_units(struct flow *f)
{
	f->queue = 0;
	f->queued = 0;
	f->beyond = 0;
}

static void
owe(struct flow *f, enum unit u)
{
	if (f->pending == UINT32_MAX)
		return;
	f->pending++;
	unit_add(f, u);
}

/* All that is owed may have been discarded by the server. */
static bool
is_in_doubt(const struct flow *f)
{
	return f->pending == 1 && f->queued == 1 && unit_at(f, 0) >= UNIT_DOUBT;
}

/* The client goes on, and the server would have answered before: nothing is owed, then. */
static void
doubt_no_more(struct flow *f)
{
	f->pending = 0;
	forget_units(f);
	f->unsure = 2;
}

void
flow_expect_ready(struct flow *f)
{
	owe(f, UNIT_QUERY);
}

/* A Sync that the server is taken to ignore; its sequence has not ended, then. The COPY of a Query
 * keeps that one pending. */
static void
swallow(struct flow *f)
{
	f->client.said = f->behind = SAID_UNKNOWN;
	f->reopened = f->pending == 0;
	if (f->swallowed < SWALLOWED_MAX)
		f->swallowed = (f->swallowed + 1) & SWALLOWED_MAX;
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
	f->behind = SAID_UNKNOWN; /* that of the next one was not kept */
	if (u >= UNIT_DOUBT && f->queued > 0 && unit_at(f, 0) == UNIT_BARE_SYNC)
		unit_set(f, 0, UNIT_DOUBT_SYNC);
}

/* The oldest unit is done, and the marks before it with it. */
static WARM void
drop_oldest(struct flow *f)
{
	enum unit u = UNIT_MARK;

	while (u == UNIT_MARK && f->queued > 0) {
		u = unit_at(f, 0);
		unit_remove(f, 0);
	}
	f->pending--;
	if (UNLIKELY(u >= UNIT_QUERY_BEHIND))
		drop_behind(f, u);
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
	if (skips || !is_open(f))
		forget_units(f);
}

void
flow_assure(struct flow *f)
{
	if (f->queued > 0 && unit_at(f, 0) >= UNIT_DOUBT)
		unit_set(f, 0, unit_at(f, 0) == UNIT_DOUBT ? UNIT_QUERY : UNIT_BARE_SYNC);
}

/* One ReadyForQuery has come: the oldest unit is done, and the marks before it with it. */
static void
settle(struct flow *f)
{
	if (is_surplus(f)) {
		f->skip = 0;
		if (f->swallowed > 0 && f->swallowed < SWALLOWED_MAX)
			f->swallowed = (f->swallowed - 1) & SWALLOWED_MAX;
		if (f->swallowed == 0)
			f->unsure = 0;
		return;
	}
	drop_oldest(f);
	if (f->pending > 0)
		return;
	f->beyond = 0;
	if (!is_open(f))
		forget_units(f);
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
static void
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
	while (f->queued > 0 && !is_sync(unit_at(f, 0))) {
		f->pending -= unit_at(f, 0) != UNIT_MARK;
		unit_remove(f, 0);
	}
	if (f->queued == 0) {
		f->skip = 1;
		f->reopened = 0;
	}
}

/* An error, and the oldest that is owed an answer is a Query with extended messages in front. */
static unsigned
blame(struct flow *f)
{
	uint8_t due = f->behind, come = f->server.said;
	bool is_known = !f->told && due != SAID_UNKNOWN && !(f->beyond && !is_queued(f, is_sync));
	unsigned events = 0;

	for (unsigned marks = oldest(f); marks > 0; marks--)
		unit_remove(f, 0); /* of data that is of no account any more */
	if (is_known && come < due) {
		discard(f);
		events = FLOW_DISCARDED;
	} else if (is_known && due < SAID_MANY) {
		unit_set(f, 0, UNIT_QUERY);
		events = FLOW_OWN;
	} else {
		unit_set(f, 0, UNIT_DOUBT);
	}
	f->behind = SAID_UNKNOWN;
	return events;
}

/* ---- messages of the client ---- */

static HOT_INLINE void
count(struct flow_side *side)
{
	if (!UNLIKELY(side->said >= SAID_MANY))
		side->said++;
}

static HOT unsigned
on_query(struct flow *f)
{
	if (f->skip)
		return 0;
	if (f->copy == FLOW_COPY_IN)
		f->copy = FLOW_COPY_IN_ENDED;
	if (UNLIKELY(f->pending == 1) && is_in_doubt(f) && unit_at(f, 0) == UNIT_DOUBT_SYNC)
		doubt_no_more(f);
	if (UNLIKELY(f->open || f->reopened))
		owe_behind(f);
	else
		owe(f, UNIT_QUERY);
	f->open = f->reopened = 0;
	f->client.said = 0;
	f->simple++;
	return FLOW_QUERY;
}

static HOT_INLINE void
begin_sequence(struct flow *f)
{
	if (f->copy == FLOW_COPY_IN)
		f->copy = FLOW_COPY_IN_ENDED;
	f->open = 1;
}

static HOT unsigned
on_extended(struct flow *f)
{
	begin_sequence(f);
	count(&f->client);
	return 0;
}

/* What answers it, if anything does, nobody knows. */
static unsigned
on_nonsense(struct flow *f)
{
	begin_sequence(f);
	f->client.said = SAID_UNKNOWN;
	return 0;
}

static HOT unsigned
on_execute(struct flow *f)
{
	on_extended(f);
	f->extended++;
	return FLOW_QUERY;
}

/* One with a body is an error like that of any extended-query message: what follows is discarded.
 */
static unsigned
on_flush(struct flow *f)
{
	return f->client.left > 0 && f->copy != FLOW_COPY_IN ? on_nonsense(f) : 0;
}

static HOT unsigned
on_sync(struct flow *f)
{
	if (f->copy == FLOW_COPY_IN) {
		f->open = 0;
		swallow(f);
		return 0;
	}
	if (f->copy == FLOW_COPY_BOTH)
		return 0;
	if (UNLIKELY(f->pending == 1) && is_in_doubt(f))
		doubt_no_more(f);
	owe(f, is_open(f) ? UNIT_SYNC : UNIT_BARE_SYNC);
	f->skip = f->open = f->reopened = 0;
	f->client.said = 0;
	return 0;
}

/* CopyDone, CopyFail. Where no copy-in is known of, one may be about to begin: the message is
 * remembered with the command that it belongs to. With no such command it is a leftover of a COPY
 * that failed, and the server drops it. */
static unsigned
on_copy_end(struct flow *f)
{
	unsigned last = f->queued;

	if (f->copy == FLOW_COPY_IN)
		f->copy = FLOW_COPY_IN_ENDED;
	else if (f->skip || f->beyond || f->copy == FLOW_COPY_BOTH)
		return 0;
	else if (is_open(f) || (last > 0 && is_sync(unit_at(f, last - 1))))
		unit_add(f, UNIT_MARK);
	else if (last > 0 && is_query(unit_at(f, last - 1)))
		unit_set(f, last - 1, UNIT_QUERY_ENDED);
	return 0;
}

static WARM unsigned
on_terminate(struct flow *f)
{
	f->terminated = 1;
	return FLOW_TERMINATE;
}

static unsigned
on_copy_data(struct flow *f)
{
	(void)f;
	return 0;
}

static const flow_handler client_handlers[256] = {
	['Q'] = on_query,     ['F'] = on_query,    ['P'] = on_extended, ['B'] = on_extended,
	['C'] = on_extended,  ['D'] = on_extended, ['E'] = on_execute,  ['S'] = on_sync,
	['H'] = on_flush,     ['c'] = on_copy_end, ['f'] = on_copy_end, ['X'] = on_terminate,
	['d'] = on_copy_data,
};

/* ---- messages of the server ---- */

/* CopyInResponse: exception 2. The command is in the oldest unit, or in front of it. */
static unsigned
on_copy_in(struct flow *f)
{
	bool simple = f->queued > 0 && is_query(unit_at(f, 0));
	unsigned at = simple ? 1 : 0;

	f->copy = FLOW_COPY_IN;
	if (simple && unit_at(f, 0) == UNIT_QUERY_ENDED) {
		unit_set(f, 0, UNIT_QUERY);
		f->copy = FLOW_COPY_IN_ENDED;
		return FLOW_COPY;
	}
	while (f->queued > at && is_sync(unit_at(f, at))) {
		unit_remove(f, at);
		f->pending--;
		swallow(f);
	}
	if (f->queued > at && unit_at(f, at) == UNIT_MARK) {
		unit_remove(f, at);
		f->copy = FLOW_COPY_IN_ENDED;
	}
	return FLOW_COPY;
}

static unsigned
on_copy_out(struct flow *f)
{
	f->copy = FLOW_COPY_OUT;
	return FLOW_COPY;
}

static unsigned
on_copy_both(struct flow *f)
{
	f->copy = FLOW_COPY_BOTH;
	return FLOW_COPY;
}

static unsigned
on_copy_out_end(struct flow *f)
{
	if (f->copy == FLOW_COPY_OUT)
		f->copy = FLOW_COPY_NONE;
	return 0;
}

/* What says that a message is done, where that is all that matters about it. */
static HOT unsigned
on_reply(struct flow *f)
{
	count(&f->server);
	return 0;
}

static unsigned
on_parameter(struct flow *f)
{
	(void)f;
	return FLOW_PARAMETER;
}

static HOT unsigned
on_complete(struct flow *f)
{
	f->copy = FLOW_COPY_NONE;
	count(&f->server);
	if (f->unsure == 0)
		f->swallowed = 0; /* ignored, then */
	return 0;
}

static unsigned
on_error(struct flow *f)
{
	unsigned events = f->server.said > 0 ? FLOW_ERROR : FLOW_ERROR | FLOW_UNANSWERED;

	if (f->swallowed > 0 && f->copy != FLOW_COPY_NONE)
		f->unsure = 2;
	if (f->pending == 0 && (f->open || f->reopened)) {
		f->skip = 1;
		f->reopened = 0;
		forget_units(f);
	}
	if (oldest(f) < f->queued && is_behind(unit_at(f, oldest(f))))
		events |= blame(f);
	on_complete(f);
	f->server.type = 'E';
	f->error_field = f->server.at = 0;
	f->fatal = f->fatal_sure = 0;
	memset(f->sqlstate, 0, sizeof(f->sqlstate));
	return events;
}

static HOT unsigned
on_ready(struct flow *f)
{
	if (f->server.left != 1) {
		f->server.bad = true;
		f->server.left = 0;
		return FLOW_BAD;
	}
	f->server.type = 'Z';
	return 0;
}

static const flow_handler server_handlers[256] = {
	['C'] = on_complete,     ['E'] = on_error,     ['G'] = on_copy_in, ['H'] = on_copy_out,
	['c'] = on_copy_out_end, ['W'] = on_copy_both, ['Z'] = on_ready,   ['1'] = on_reply,
	['2'] = on_reply,        ['3'] = on_reply,     ['n'] = on_reply,   ['t'] = on_reply,
	['S'] = on_parameter,    ['T'] = on_reply,     ['s'] = on_reply,   ['I'] = on_reply,
	['V'] = on_reply,
};

/* ---- the two bodies that are looked at ---- */

/* The second letter of FATAL and PANIC is an A, of ERROR it is not. 'V' is never translated
 * (PostgreSQL 9.6 on); 'S' may be, and decides only where there is no 'V'. */
static void
note_error_byte(struct flow *f, char c)
{
	if (f->error_field == 'C' && f->server.at < sizeof(f->sqlstate))
		f->sqlstate[f->server.at] = c;
	if (f->server.at != 1)
		return;
	if (f->error_field == 'V') {
		f->fatal = c == 'A';
		f->fatal_sure = 1;
	} else if (f->error_field == 'S' && !f->fatal_sure) {
		f->fatal = c == 'A';
	}
}

static void
scan_error(struct flow *f, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (f->error_field == 0) {
			f->error_field = (uint8_t)p[i];
			f->server.at = 0;
		} else if (p[i] == '\0') {
			f->error_field = 0;
		} else {
			note_error_byte(f, p[i]);
			if (f->server.at < AT_MAX)
				f->server.at = (f->server.at + 1) & AT_MAX;
		}
	}
}

/* An ErrorResponse is complete. */
static void
tally_error(const struct flow *f, struct flow_tally *tally)
{
	if (tally->errors < FLOW_TALLY_MAX)
		memcpy(tally->sqlstates[tally->errors], f->sqlstate, sizeof(f->sqlstate));
	tally->errors++;
}

static unsigned
read_status(struct flow *f, char status, struct flow_tally *tally)
{
	if (status != 'I' && status != 'T' && status != 'E') {
		f->server.bad = true;
		return FLOW_BAD;
	}
	if (tally != NULL && status == 'I')
		tally->transactions++;
	f->tx = status;
	f->copy = FLOW_COPY_NONE;
	settle(f);
	f->server.said = 0;
	return FLOW_READY;
}

/* n > 0 bytes of a body whose type handler asked for them; `last` where it ends with them. */
static unsigned
look_at_body(struct flow *f, struct slice part, bool last, struct flow_tally *tally)
{
	if (f->server.type == 'Z')
		return read_status(f, part.p[0], tally);
	scan_error(f, part.p, part.n);
	if (last && tally != NULL)
		tally_error(f, tally);
	return last && f->fatal ? FLOW_FATAL : 0;
}

/* ---- the stream ---- */

static HOT_INLINE unsigned
begin_message(struct flow *f, struct flow_side *side, const flow_handler *on, const uint8_t *head)
{
	uint32_t len = get_u32(head + 1);

	if (UNLIKELY(len < 4 || len > LENGTH_MAX)) {
		side->bad = true;
		return FLOW_BAD;
	}
	side->left = len - 4;
	side->type = 0;
	if (UNLIKELY(on[head[0]] == NULL))
		return side == &f->client ? on_nonsense(f) : 0;
	return on[head[0]](f);
}

/* Pass over what there is of the current body. */
static HOT const char *
pass_body(struct flow *f, struct flow_side *side, struct slice in, unsigned *events,
	  struct flow_tally *tally)
{
	size_t n = in.n;
	bool last = n >= side->left;

	if (last)
		n = side->left;
	if (side->type != 0 && n > 0)
		*events |= look_at_body(f, slice_of(in.p, n), last, tally);
	if (last)
		side->type = 0;
	side->left -= (uint32_t)n;
	return in.p + n;
}

/* Go on with what the last call left half way. */
static const char *
resume(struct flow *f, struct flow_side *side, const flow_handler *on, struct slice in,
       unsigned *events, struct flow_tally *tally)
{
	const char *p = in.p, *end = in.p + in.n;

	if (side->have == 0)
		return pass_body(f, side, in, events, tally);
	while (side->have < FRAME_HEAD_BYTES && p < end)
		side->head[side->have++] = (uint8_t)*p++;
	if (side->have < FRAME_HEAD_BYTES)
		return p;
	*events |= begin_message(f, side, on, side->head);
	memset(side->head, 0, sizeof(side->head));
	side->have = 0;
	return side->bad ? end : pass_body(f, side, slice_of(p, (size_t)(end - p)), events, tally);
}

/* `bulk` and CopyData carry the mass of the bytes and change no state: one look at the type, one at
 * the length. Behind those that are whole. */
static HOT_INLINE const char *
skip_bulk(const char *p, const char *end, char bulk)
{
	while (end - p >= FRAME_HEAD_BYTES && (p[0] == bulk || p[0] == 'd')) {
		uint32_t len = get_u32(p + 1);

		if (len < 4 || len >= (size_t)(end - p))
			break;
		p += 1 + (size_t)len;
	}
	return p;
}

/* The loop of the relay. Inlined twice, so that `bulk` and `on` are constants. */
static HOT_INLINE unsigned
follow(struct flow *f, struct flow_side *side, const flow_handler *on, char bulk, struct slice in,
       struct flow_tally *tally)
{
	const char *p = in.p, *end = in.p + in.n, *begin = NULL;
	unsigned events = 0;

	if (UNLIKELY(side->left > 0 || side->have > 0))
		p = resume(f, side, on, in, &events, tally);
	while (!side->bad) {
		p = skip_bulk(p, end, bulk);
		if (end - p < FRAME_HEAD_BYTES)
			break;
		begin = p;
		events |= begin_message(f, side, on, (const uint8_t *)p);
		if (side->bad)
			break;
		p += FRAME_HEAD_BYTES;
		if (side->type == 0 && side->left <= (size_t)(end - p)) {
			p += side->left;
			side->left = 0;
			continue;
		}
		p = pass_body(f, side, slice_of(p, (size_t)(end - p)), &events, tally);
	}
	if (UNLIKELY(side->bad)) {
		if (tally != NULL)
			tally->good = begin != NULL ? (size_t)(begin - in.p) : SIZE_MAX;
		return events | FLOW_BAD;
	}
	while (p < end)
		side->head[side->have++] = (uint8_t)*p++;
	return events;
}

HOT unsigned
flow_client(struct flow *f, const char *p, size_t n)
{
	if (f->client.bad)
		return FLOW_BAD;
	return follow(f, &f->client, client_handlers, 'd', slice_of(p, n), NULL);
}

HOT unsigned
flow_server(struct flow *f, const char *p, size_t n, struct flow_tally *tally)
{
	if (f->server.bad) {
		if (tally != NULL)
			tally->good = SIZE_MAX;
		return FLOW_BAD;
	}
	return follow(f, &f->server, server_handlers, 'D', slice_of(p, n), tally);
}

/* ---- answers ---- */

static size_t
rest_of(const struct flow_side *side, const char *p, size_t n)
{
	size_t rest = side->left, missing;
	uint8_t head[FRAME_HEAD_BYTES];
	uint32_t len;

	if (side->have > 0) {
		missing = FRAME_HEAD_BYTES - side->have;
		if (n < missing)
			return n;
		memcpy(head, side->head, side->have);
		memcpy(head + side->have, p, missing);
		len = get_u32(head + 1);
		rest = missing + (len >= 4 ? len - 4 : 0);
	}
	return n < rest ? n : rest;
}

WARM size_t
flow_client_rest(const struct flow *f, const char *p, size_t n)
{
	return rest_of(&f->client, p, n);
}

size_t
flow_server_rest(const struct flow *f, const char *p, size_t n)
{
	return rest_of(&f->server, p, n);
}

size_t
flow_server_left(const struct flow *f)
{
	return f->server.have > 0 ? (size_t)(FRAME_HEAD_BYTES - f->server.have) : f->server.left;
}

bool
flow_server_ends_ready(const struct flow *f, size_t n)
{
	const struct flow_side *side = &f->server;

	if (side->have > 0)
		return side->head[0] == 'Z' && n >= (size_t)(FRAME_HEAD_BYTES + 1 - side->have);
	return side->type == 'Z' && n >= side->left;
}

WARM bool
flow_is_idle(const struct flow *f)
{
	return f->pending == 0 && !is_open(f) && f->copy == FLOW_COPY_NONE && f->tx == 'I' &&
	       flow_at_client_boundary(f) && flow_at_server_boundary(f) && !f->client.bad &&
	       !f->server.bad;
}

bool
flow_is_in_doubt(const struct flow *f)
{
	return is_in_doubt(f) && !is_open(f) && f->copy == FLOW_COPY_NONE &&
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
	return f->pending > 0 || is_open(f) || f->copy != FLOW_COPY_NONE;
}

WARM bool
flow_is_settled(const struct flow *f)
{
	return !flow_owes(f) && f->unsure == 0 && flow_at_client_boundary(f);
}

bool
flow_awaits_query(const struct flow *f)
{
	return f->pending == 1 && !f->beyond && f->queued == 1 && is_query(unit_at(f, 0)) &&
	       !is_open(f) && f->copy == FLOW_COPY_NONE;
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
	if ((f->pending > 0 && !is_in_doubt(f)) || (is_open(f) && !is_stranded(f)))
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
