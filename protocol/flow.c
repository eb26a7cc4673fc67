/* SPDX-License-Identifier: PostgreSQL
 *
 * The following of the two streams: message by message, by their headers, and of two bodies by what
 * they say. What each message does to what the server owes is reasoned about in flow_owed.c; the
 * exceptions that are cited here are its.
 */
#include "config.h"

#include "protocol/flow_int.h"

#include <assert.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/hot.h"
#include "protocol/frame.h"

#define LENGTH_MAX ((uint32_t)INT32_MAX)
#define AT_MAX     15

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

/* ---- messages of the client ---- */

static HOT_INLINE void
count(struct flow_side *side)
{
	if (!UNLIKELY(side->said >= FLOW_SAID_MANY))
		side->said++;
}

static HOT unsigned
on_query(struct flow *f)
{
	if (f->skip)
		return 0;
	if (f->copy == FLOW_COPY_IN)
		f->copy = FLOW_COPY_IN_ENDED;
	if (UNLIKELY(f->pending == 1) && owed_in_doubt(f) && unit_at(f, 0) == UNIT_DOUBT_SYNC)
		owed_no_more(f);
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
	f->client.said = FLOW_SAID_UNKNOWN;
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
		owe_not(f);
		return 0;
	}
	if (f->copy == FLOW_COPY_BOTH)
		return 0;
	if (UNLIKELY(f->pending == 1) && owed_in_doubt(f))
		owed_no_more(f);
	owe(f, flow_is_open(f) ? UNIT_SYNC : UNIT_BARE_SYNC);
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
	else if (flow_is_open(f))
		unit_add(f, UNIT_MARK);
	else if (last > 0 && unit_is_sync(unit_at(f, last - 1)))
		unit_add(f, UNIT_MARK_BEHIND);
	else if (last > 0 && unit_is_query(unit_at(f, last - 1)))
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

/* A CopyDone in front of a Query that begins a COPY has ended none where all that is due in front
 * of that Query has come: the server has dropped it. */
static void
drop_stray_marks(struct flow *f)
{
	unsigned n = 0;

	while (n < f->queued && unit_at(f, n) == UNIT_MARK)
		n++;
	if (n == f->queued || unit_at(f, n) != UNIT_QUERY_BEHIND || f->behind >= FLOW_SAID_MANY ||
	    f->server.said < f->behind)
		return;
	while (n-- > 0)
		unit_remove(f, 0);
}

/* CopyInResponse: exception 2. The command is in the oldest unit, or in front of it. */
static unsigned
on_copy_in(struct flow *f)
{
	bool simple;
	unsigned at;

	drop_stray_marks(f);
	simple = f->queued > 0 && unit_is_query(unit_at(f, 0));
	at = simple ? 1 : 0;
	f->copy = FLOW_COPY_IN;
	if (simple && unit_at(f, 0) == UNIT_QUERY_ENDED) {
		unit_set(f, 0, UNIT_QUERY);
		f->copy = FLOW_COPY_IN_ENDED;
		return FLOW_COPY;
	}
	while (f->queued > at && unit_is_sync(unit_at(f, at))) {
		unit_remove(f, at);
		f->pending--;
		owe_not(f);
	}
	if (f->queued > at && unit_is_mark(unit_at(f, at))) {
		unit_remove(f, at);
		f->copy = FLOW_COPY_IN_ENDED;
	}
	return FLOW_COPY;
}

unsigned
flow_ignored_syncs(const struct flow *f, unsigned told)
{
	unsigned i = 0, from;

	while (i < f->queued && (told > 0 || unit_at(f, i) == UNIT_MARK_BEHIND))
		told -= !unit_is_mark(unit_at(f, i++));
	if (i < f->queued && unit_at(f, i) == UNIT_QUERY_ENDED)
		return 0;
	if (i < f->queued && unit_is_query(unit_at(f, i)))
		i++;
	for (from = i; i < f->queued && unit_is_sync(unit_at(f, i));)
		i++;
	return i - from;
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

	events |= owed_blame(f);
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
	owed_settle(f);
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
