/* SPDX-License-Identifier: PostgreSQL
 *
 * A cancel request for a session that waits in a pool's queue: what it would ask first has not
 * begun, so that Meridian answers for the node. A pipeline without its Sync is answered too, and
 * what comes up to that is skipped, as a node would do. Where no message has come whole yet,
 * nothing happens, as between two queries.
 */
#include "config.h"

#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/pooled_int.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/session_int.h"

/* The bytes up to the message behind which the node would say ReadyForQuery; 0 where it has not
 * come, or the client wants to leave. */
static size_t
first_cycle(struct slice held)
{
	struct slice rest = held;
	bool extended = false;
	struct frame f;

	while (frame_cut(rest, INT32_MAX, &f) == PARSE_DONE) {
		rest = slice_skip(rest, f.total);
		if (f.type == MSG_SYNC)
			return held.n - rest.n;
		/* behind an error, one of these would be skipped with the rest up to Sync */
		if ((f.type == MSG_QUERY || f.type == MSG_FUNCTION_CALL) && !extended)
			return held.n - rest.n;
		if (f.type == MSG_TERMINATE)
			return 0;
		extended = true;
	}
	return 0;
}

static bool
has_message(struct slice held)
{
	struct frame f;

	return frame_cut(held, INT32_MAX, &f) == PARSE_DONE && f.type != MSG_TERMINATE;
}

static void
say_ready(struct session *s, struct buf *b)
{
	message_put_ready(b, 'I');
	(void)session_say(s, b->p, b->n);
}

/* A message begins that is skipped. */
static void
on_skipped(struct session *s, const struct frame_piece *piece)
{
	struct pooled *pd = s->pooled;
	struct buf b = { .cap = 64 };

	if (piece->type == MSG_TERMINATE)
		session_end(s, WHY_CLIENT_DONE);
	if (piece->type != MSG_SYNC || piece->length > 0)
		return;
	pd->skips = false;
	say_ready(s, &b);
	buf_fini(&b);
}

bool
pooled_skip(struct session *s, const char **p, size_t *n)
{
	struct pooled *pd = s->pooled;
	struct slice in = slice_of(*p, *n);
	struct frame_piece piece;
	enum parse result = PARSE_DONE;

	while (pd->skips && s->state == SESSION_RELAY &&
	       (result = framer_next(&pd->skipped, &in, &piece)) == PARSE_DONE) {
		if (piece.begins)
			on_skipped(s, &piece);
	}
	if (result == PARSE_BAD)
		session_close(s, WHY_PROTOCOL, "Invalid message length.");
	*p = in.p;
	*n = in.n;
	return !pd->skips && s->state == SESSION_RELAY && *n > 0;
}

/* The client goes on with what it has said behind n bytes. */
static void
drop_held(struct pooled *pd, size_t n)
{
	struct session *s = pd->session;

	buf_drop(&pd->held, n);
	if (pd->held.n == 0)
		pool_forget(pd->pool, pd);
	stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
}

void
pooled_cancel(struct session *s)
{
	struct pooled *pd = s->pooled;
	struct slice held = buf_view(&pd->held);
	bool is_waiting = pd->state == POOLED_WAITING;
	size_t n = is_waiting ? first_cycle(held) : 0;
	bool skips = is_waiting && n == 0 && has_message(held);
	struct buf b = { .cap = 1024 };
	struct err e;

	if (n == 0 && !skips)
		return;
	err_set(&e, SQLSTATE_QUERY_CANCELED, "canceling statement due to user request");
	stats_error(&s->worker->stats, ERROR_OF_MERIDIAN, slice_str(e.sqlstate));
	message_put_error(&b, "ERROR", &e);
	if (skips) {
		const char *p = held.p;
		size_t left = held.n;

		pd->skips = true;
		(void)session_say(s, b.p, b.n);
		if (s->state == SESSION_RELAY)
			(void)pooled_skip(s, &p, &left);
		if (s->state == SESSION_RELAY)
			drop_held(pd, held.n - left);
	} else {
		drop_held(pd, n);
		say_ready(s, &b);
	}
	buf_fini(&b);
}
