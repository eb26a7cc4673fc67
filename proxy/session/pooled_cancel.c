/* SPDX-License-Identifier: PostgreSQL
 *
 * A cancel request for a session that waits in a pool's queue: what it would ask first has not
 * begun, so that Meridian answers for the node. Where that has not come whole yet, nothing happens,
 * as between two queries.
 */
#include "config.h"

#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/pool/pool.h"
#include "proxy/session/pooled.h"
#include "proxy/worker_int.h"

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

void
pooled_cancel(struct session *s)
{
	struct pooled *pd = s->pooled;
	size_t n = pd->waiting ? first_cycle(buf_view(&pd->held)) : 0;
	struct buf b = { .cap = 1024 };
	struct err e;

	if (n == 0)
		return;
	buf_drop(&pd->held, n);
	if (pd->held.n == 0)
		pool_forget(pd->pool, pd);
	stream_want(&s->client, s->client.interest | EV_READ);
	err_set(&e, SQLSTATE_QUERY_CANCELED, "canceling statement due to user request");
	stats_error(&s->worker->stats, ERROR_OF_MERIDIAN, slice_str(e.sqlstate));
	message_put_error(&b, "ERROR", &e);
	message_put_ready(&b, 'I');
	(void)session_say(s, b.p, b.n);
	buf_fini(&b);
}
