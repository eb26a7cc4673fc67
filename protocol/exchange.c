/* SPDX-License-Identifier: PostgreSQL
 *
 * The following of the two streams: message by message, by their headers, and of two bodies by what
 * they say. What each message does to what the server owes is reasoned about in exchange_rounds.c;
 * the exceptions that are cited here are its.
 */
#include "config.h"

#include "protocol/exchange_int.h"

#include <assert.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/hot.h"
#include "protocol/frame.h"

#define AT_MAX 15

/* What a message does to the state when its header has passed; NULL: nothing. */
typedef unsigned (*exchange_handler)(struct exchange *x);

static_assert(sizeof(struct exchange) == 64, "struct exchange is meant to be one cache line");

HOT void
exchange_init(struct exchange *x, enum replication kind)
{
	*x = (struct exchange){ .tx = 'I', .replication = kind != REPLICATION_NONE };
}

HOT void
exchange_fini(struct exchange *x)
{
	exchange_unlist(x);
}

void
exchange_restart(struct exchange *x)
{
	struct exchange was;

	exchange_unlist(x);
	was = *x;
	*x = (struct exchange){ .tx = 'I' };
	x->simple = was.simple;
	x->extended = was.extended;
	memcpy(x->sqlstate, was.sqlstate, sizeof(x->sqlstate));
	x->terminated = was.terminated;
	x->replication = was.replication;
	x->query_ends = was.query_ends;
}

void
exchange_init_failed(struct exchange *x, const struct exchange *of)
{
	*x = (struct exchange){ .tx = of->tx, .query_ends = of->query_ends };
	x->client.left = of->client.left;
	x->skip = exchange_is_open(of);
}

HOT void
exchange_set_query_ends(struct exchange *x, bool ends)
{
	x->query_ends = ends;
}

/* ---- messages of the client ---- */

/* The server discards it. Where that ends what it discards, it is answered as a Sync is. */
static unsigned
on_query_skipped(struct exchange *x)
{
	if (!x->query_ends)
		return 0;
	await_round(x, ROUND_BARE_SYNC);
	x->skip = x->open = x->reopened = 0;
	x->client.count = 0;
	x->simple++;
	return EXCHANGE_QUERY;
}

static HOT unsigned
on_query(struct exchange *x)
{
	if (x->skip)
		return on_query_skipped(x);
	if (x->copy == EXCHANGE_COPY_IN)
		x->copy = EXCHANGE_COPY_IN_ENDED;
	doubt_ends_with_query(x);
	if (UNLIKELY(x->open || x->reopened))
		await_query_in_sequence(x);
	else
		await_round(x, ROUND_QUERY);
	x->open = x->reopened = 0;
	x->client.count = 0;
	x->simple++;
	return EXCHANGE_QUERY;
}

static HOT unsigned
on_extended(struct exchange *x)
{
	begin_sequence(x);
	count_message(&x->client);
	return 0;
}

/* The message is malformed or of an unknown type: what the server answers, if it does, is not
 * known. */
static unsigned
on_nonsense(struct exchange *x)
{
	begin_sequence(x);
	x->client.count = COUNT_UNKNOWN;
	return 0;
}

static HOT unsigned
on_execute(struct exchange *x)
{
	on_extended(x);
	x->extended++;
	return EXCHANGE_QUERY;
}

/* One with a body is an error like that of any extended-query message: what follows is discarded.
 */
static unsigned
on_flush(struct exchange *x)
{
	return x->client.left > 0 && x->copy != EXCHANGE_COPY_IN ? on_nonsense(x) : 0;
}

static HOT unsigned
on_sync(struct exchange *x)
{
	if (x->copy == EXCHANGE_COPY_IN && !x->doubted) {
		x->open = 0;
		ignore_sync(x);
		return 0;
	}
	if (x->copy == EXCHANGE_COPY_BOTH)
		return 0;
	doubt_ends_with_sync(x);
	await_round(x, exchange_is_open(x) ? ROUND_SYNC : ROUND_BARE_SYNC);
	x->skip = x->open = x->reopened = 0;
	x->client.count = 0;
	return 0;
}

/* CopyDone, CopyFail. Where no copy-in is known of, one may be about to begin: the message is
 * remembered with the command that it belongs to. With no such command it is a leftover of a COPY
 * that failed, and the server drops it. */
unsigned
exchange_on_copy_end(struct exchange *x)
{
	unsigned last = x->queued;

	if (x->copy == EXCHANGE_COPY_IN)
		x->copy = EXCHANGE_COPY_IN_ENDED;
	else if (x->skip || x->beyond || x->copy == EXCHANGE_COPY_BOTH)
		return 0;
	else if (exchange_is_open(x))
		round_add(x, ROUND_COPY_END);
	else if (last > 0 && round_is_sync(round_at(x, last - 1)))
		round_add(x, ROUND_COPY_END_BEHIND);
	else if (last > 0 && round_is_query(round_at(x, last - 1)))
		round_set(x, last - 1, ROUND_QUERY_ENDED);
	return 0;
}

static HOT unsigned
on_terminate(struct exchange *x)
{
	x->terminated = 1;
	return EXCHANGE_TERMINATE;
}

static unsigned
on_copy_data(struct exchange *x)
{
	(void)x;
	return 0;
}

static const exchange_handler client_handlers[256] = {
	['Q'] = on_query,
	['F'] = on_query,
	['P'] = on_extended,
	['B'] = on_extended,
	['C'] = on_extended,
	['D'] = on_extended,
	['E'] = on_execute,
	['S'] = on_sync,
	['H'] = on_flush,
	['c'] = exchange_on_copy_end,
	['f'] = exchange_on_copy_end,
	['X'] = on_terminate,
	['d'] = on_copy_data,
};

/* ---- messages of the server ---- */

/* A CopyDone in front of a Query that begins a COPY has ended none where all that is due in front
 * of that Query has come: the server has dropped it. */
static void
drop_stray_copy_ends(struct exchange *x)
{
	unsigned n = 0;

	while (n < x->queued && round_at(x, n) == ROUND_COPY_END)
		n++;
	if (n == x->queued || round_at(x, n) != ROUND_QUERY_IN_SEQUENCE || x->due >= COUNT_MANY ||
	    x->server.count < x->due)
		return;
	while (n-- > 0)
		round_remove(x, 0);
}

/* CopyInResponse: exception 2. The command is in the oldest round, or in front of it. */
static unsigned
on_copy_in(struct exchange *x)
{
	bool simple;
	unsigned at;

	if (x->listed && rounds_pending(x) == 0) {
		x->copy = EXCHANGE_COPY_IN;
		list_copy_in(x, false);
		return EXCHANGE_COPY;
	}
	if (x->listed)
		x->list->inexact = true;
	if (x->doubted) { /* whose command it is, and which Syncs are behind that */
		x->copy = EXCHANGE_COPY_IN;
		return EXCHANGE_COPY;
	}
	drop_stray_copy_ends(x);
	simple = x->queued > 0 && round_is_query(round_at(x, 0));
	at = simple ? 1 : 0;
	x->copy = EXCHANGE_COPY_IN;
	if (simple && round_at(x, 0) == ROUND_QUERY_ENDED) {
		round_set(x, 0, ROUND_QUERY);
		x->copy = EXCHANGE_COPY_IN_ENDED;
		return EXCHANGE_COPY;
	}
	while (x->queued > at && round_is_sync(round_at(x, at))) {
		round_remove(x, at);
		x->pending--;
		ignore_sync(x);
	}
	if (x->queued > at && round_is_copy_end(round_at(x, at))) {
		round_remove(x, at);
		x->copy = EXCHANGE_COPY_IN_ENDED;
	} else if (x->queued == at && x->listed) {
		list_copy_in(x, true);
	}
	return EXCHANGE_COPY;
}

static unsigned
on_copy_out(struct exchange *x)
{
	x->copy = EXCHANGE_COPY_OUT;
	return EXCHANGE_COPY;
}

static unsigned
on_copy_both(struct exchange *x)
{
	x->copy = EXCHANGE_COPY_BOTH;
	return EXCHANGE_COPY;
}

static unsigned
on_copy_out_end(struct exchange *x)
{
	if (x->copy == EXCHANGE_COPY_OUT)
		x->copy = EXCHANGE_COPY_NONE;
	return 0;
}

/* What says that a message is done, where that is all that matters about it. */
static HOT unsigned
on_reply(struct exchange *x)
{
	count_message(&x->server);
	return 0;
}

static unsigned
on_parameter(struct exchange *x)
{
	(void)x;
	return EXCHANGE_PARAMETER;
}

static HOT unsigned
on_complete(struct exchange *x)
{
	x->copy = EXCHANGE_COPY_NONE;
	count_message(&x->server);
	if (x->unsure == 0)
		x->ignored = 0; /* ignored, then */
	return 0;
}

static unsigned
on_error(struct exchange *x)
{
	attribute_error(x);
	on_complete(x);
	x->server.type = 'E';
	x->error_field = x->server.at = 0;
	x->fatal = x->fatal_sure = 0;
	memset(x->sqlstate, 0, sizeof(x->sqlstate));
	return EXCHANGE_ERROR;
}

static HOT unsigned
on_ready(struct exchange *x)
{
	if (x->server.left != 1) {
		x->server.bad = true;
		x->server.left = 0;
		return EXCHANGE_BAD;
	}
	x->server.type = 'Z';
	return 0;
}

static const exchange_handler server_handlers[256] = {
	['C'] = on_complete,     ['E'] = on_error,     ['G'] = on_copy_in, ['H'] = on_copy_out,
	['c'] = on_copy_out_end, ['W'] = on_copy_both, ['Z'] = on_ready,   ['1'] = on_reply,
	['2'] = on_reply,        ['3'] = on_reply,     ['n'] = on_reply,   ['S'] = on_parameter,
	['T'] = on_reply,        ['s'] = on_reply,     ['I'] = on_reply,   ['V'] = on_reply,
};

unsigned
on_server_message(struct exchange *x, uint8_t type)
{
	return server_handlers[type] != NULL ? server_handlers[type](x) : 0;
}

/* ---- the two bodies that are looked at ---- */

/* The second letter of FATAL and PANIC is an A, of ERROR it is not. 'V' is never translated
 * (PostgreSQL 9.6 on); 'S' may be, and decides only where there is no 'V'. */
static void
note_error_byte(struct exchange *x, char c)
{
	if (x->error_field == 'C' && x->server.at < sizeof(x->sqlstate))
		x->sqlstate[x->server.at] = c;
	if (x->server.at != 1)
		return;
	if (x->error_field == 'V') {
		x->fatal = c == 'A';
		x->fatal_sure = 1;
	} else if (x->error_field == 'S' && !x->fatal_sure) {
		x->fatal = c == 'A';
	}
}

static void
scan_error(struct exchange *x, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (x->error_field == 0) {
			x->error_field = (uint8_t)p[i];
			x->server.at = 0;
		} else if (p[i] == '\0') {
			x->error_field = 0;
		} else {
			note_error_byte(x, p[i]);
			if (x->server.at < AT_MAX)
				x->server.at = (x->server.at + 1) & AT_MAX;
		}
	}
}

/* An ErrorResponse is complete. */
static void
tally_error(const struct exchange *x, struct exchange_tally *tally)
{
	if (tally->errors < EXCHANGE_TALLY_MAX)
		memcpy(tally->sqlstates[tally->errors], x->sqlstate, sizeof(x->sqlstate));
	tally->errors++;
}

static unsigned
read_status(struct exchange *x, char status, struct exchange_tally *tally)
{
	if (status != 'I' && status != 'T' && status != 'E') {
		x->server.bad = true;
		return EXCHANGE_BAD;
	}
	if (tally != NULL && status == 'I')
		tally->transactions++;
	x->tx = status;
	x->copy = EXCHANGE_COPY_NONE;
	round_answered(x);
	x->server.count = 0;
	return EXCHANGE_READY;
}

/* n > 0 bytes of a body whose type handler asked for them; `last` where it ends with them. */
HOT unsigned
look_at_server_body(struct exchange *x, struct slice part, bool last, struct exchange_tally *tally)
{
	if (x->server.type == 'Z')
		return read_status(x, part.p[0], tally);
	scan_error(x, part.p, part.n);
	if (last && tally != NULL)
		tally_error(x, tally);
	return last && x->fatal ? EXCHANGE_FATAL : 0;
}

/* ---- the stream ---- */

static HOT_INLINE unsigned
begin_message(struct exchange *x, struct exchange_side *side, const exchange_handler *on,
	      const uint8_t *head)
{
	if (UNLIKELY(!begin_body(side, head)))
		return EXCHANGE_BAD;
	if (UNLIKELY(on[head[0]] == NULL))
		return side == &x->client ? on_nonsense(x) : 0;
	return on[head[0]](x);
}

/* Pass over what there is of the current body. */
static HOT const char *
pass_body(struct exchange *x, struct exchange_side *side, struct slice in, unsigned *events,
	  struct exchange_tally *tally)
{
	size_t n = in.n;
	bool last = n >= side->left;

	if (last)
		n = side->left;
	if (side->type != 0 && n > 0)
		*events |= look_at_server_body(x, slice_of(in.p, n), last, tally);
	if (last)
		side->type = 0;
	side->left -= (uint32_t)n;
	return in.p + n;
}

/* Go on with what the last call left half way. */
static const char *
resume(struct exchange *x, struct exchange_side *side, const exchange_handler *on, struct slice in,
       unsigned *events, struct exchange_tally *tally)
{
	const char *p = in.p, *end = in.p + in.n;

	if (side->have == 0)
		return pass_body(x, side, in, events, tally);
	while (side->have < FRAME_HEAD_BYTES && p < end)
		side->head[side->have++] = (uint8_t)*p++;
	if (side->have < FRAME_HEAD_BYTES)
		return p;
	*events |= begin_message(x, side, on, side->head);
	memset(side->head, 0, sizeof(side->head));
	side->have = 0;
	return side->bad ? end : pass_body(x, side, slice_of(p, (size_t)(end - p)), events, tally);
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
follow(struct exchange *x, struct exchange_side *side, const exchange_handler *on, char bulk,
       struct slice in, struct exchange_tally *tally)
{
	const char *p = in.p, *end = in.p + in.n, *begin = NULL;
	unsigned events = 0;

	if (UNLIKELY(side->left > 0 || side->have > 0))
		p = resume(x, side, on, in, &events, tally);
	while (!side->bad) {
		p = skip_bulk(p, end, bulk);
		if (end - p < FRAME_HEAD_BYTES)
			break;
		begin = p;
		events |= begin_message(x, side, on, (const uint8_t *)p);
		if (side->bad)
			break;
		p += FRAME_HEAD_BYTES;
		if (side->type == 0 && side->left <= (size_t)(end - p)) {
			p += side->left;
			side->left = 0;
			continue;
		}
		p = pass_body(x, side, slice_of(p, (size_t)(end - p)), &events, tally);
	}
	if (UNLIKELY(side->bad)) {
		if (tally != NULL)
			tally->good = begin != NULL ? (size_t)(begin - in.p) : SIZE_MAX;
		return events | EXCHANGE_BAD;
	}
	while (p < end)
		side->head[side->have++] = (uint8_t)*p++;
	return events;
}

HOT unsigned
exchange_client(struct exchange *x, const char *p, size_t n)
{
	if (x->client.bad)
		return EXCHANGE_BAD;
	if (UNLIKELY(x->listed))
		return list_client(x, p, n);
	return follow(x, &x->client, client_handlers, 'd', slice_of(p, n), NULL);
}

HOT unsigned
exchange_server(struct exchange *x, const char *p, size_t n, struct exchange_tally *tally)
{
	if (x->server.bad) {
		if (tally != NULL)
			tally->good = SIZE_MAX;
		return EXCHANGE_BAD;
	}
	return follow(x, &x->server, server_handlers, 'D', slice_of(p, n), tally);
}

/* ---- answers ---- */

static size_t
rest_of(const struct exchange_side *side, const char *p, size_t n)
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

HOT size_t
exchange_client_rest(const struct exchange *x, const char *p, size_t n)
{
	return rest_of(&x->client, p, n);
}

size_t
exchange_server_rest(const struct exchange *x, const char *p, size_t n)
{
	return rest_of(&x->server, p, n);
}

size_t
exchange_server_part(const struct exchange *x, const char *p, size_t n)
{
	size_t at = rest_of(&x->server, p, n), total;
	uint32_t due = x->pending;

	if (due > 0 && exchange_server_ends_ready(x, n))
		due--;
	while (due > 0 && n - at >= FRAME_HEAD_BYTES) {
		total = frame_total(p + at);
		if (total < FRAME_HEAD_BYTES || total > n - at)
			return n;
		due -= p[at] == 'Z';
		at += total;
	}
	return due > 0 ? n : at;
}

size_t
exchange_server_left(const struct exchange *x)
{
	return x->server.have > 0 ? (size_t)(FRAME_HEAD_BYTES - x->server.have) : x->server.left;
}

bool
exchange_server_ends_ready(const struct exchange *x, size_t n)
{
	const struct exchange_side *side = &x->server;

	if (side->have > 0)
		return side->head[0] == 'Z' && n >= (size_t)(FRAME_HEAD_BYTES + 1 - side->have);
	return side->type == 'Z' && n >= side->left;
}
