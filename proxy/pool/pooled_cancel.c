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

/* What the client says is skipped up to a Sync, and that is answered. True: it has come. The
 * session may be over. */
static bool
skip_to_sync(struct session *s, struct slice *in)
{
	struct pooled *pd = s->pooled;
	struct frame_piece piece;
	enum parse result = PARSE_DONE;
	struct buf b = { .cap = 64 };

	while (s->state == SESSION_RELAY &&
	       (result = framer_next(&pd->skipped, in, &piece)) == PARSE_DONE) {
		if (piece.begins && piece.type == MSG_TERMINATE)
			session_end(s, WHY_CLIENT_DONE);
		if (!piece.begins || piece.type != MSG_SYNC || piece.length > 0)
			continue;
		message_put_ready(&b, 'I');
		(void)session_say(s, b.p, b.n);
		buf_fini(&b);
		return true;
	}
	if (result == PARSE_BAD)
		session_close(s, WHY_PROTOCOL, "Invalid message length.");
	return false;
}

bool
pooled_skip(struct session *s, const char **p, size_t *n)
{
	struct slice in = slice_of(*p, *n);
	bool synced = skip_to_sync(s, &in);

	*p = in.p;
	*n = in.n;
	if (!synced || s->state != SESSION_RELAY)
		return false;
	pooled_enter(s->pooled, POOLED_PARKED);
	return *n > 0;
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

/* It waits to ask for a position. What its client has said goes home without that, and waits there
 * instead. True: it does. */
static bool
end_asking(struct pooled *pd)
{
	pool_forget(pd->pool, pd);
	pooled_tell_parked(pd);
	return pd->session->state == SESSION_RELAY && pd->state == POOLED_WAITING;
}

void
pooled_cancel(struct session *s)
{
	struct pooled *pd = s->pooled;
	struct buf b = { .cap = 1024 };
	struct slice held, left;
	struct frame first;
	struct err e;
	size_t n;
	bool synced;

	if (!session_is_pooled(s) || pd->state != POOLED_WAITING)
		return;
	if (pd->asks_alone && !end_asking(pd))
		return;
	held = left = buf_view(&pd->held);
	n = first_cycle(held);
	if (n == 0 &&
	    (frame_cut(held, INT32_MAX, &first) != PARSE_DONE || first.type == MSG_TERMINATE))
		return;
	err_set(&e, SQLSTATE_QUERY_CANCELED, "canceling statement due to user request");
	stats_error(&s->worker->stats, ERROR_OF_MERIDIAN, slice_str(e.sqlstate));
	message_put_error(&b, "ERROR", &e);
	if (n > 0) {
		drop_held(pd, n);
		message_put_ready(&b, 'I');
		(void)session_say(s, b.p, b.n);
	} else if (session_say(s, b.p, b.n)) {
		synced = skip_to_sync(s, &left);
		if (s->state == SESSION_RELAY)
			drop_held(pd, held.n - left.n);
		if (s->state == SESSION_RELAY && !synced)
			pooled_enter(pd, POOLED_SKIPPING);
	}
	buf_fini(&b);
	if (s->state == SESSION_RELAY)
		pooled_tell_parked(pd);
}
