/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/bulk.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/ev/loop.h"
#include "base/hot.h"
#include "base/mem.h"

struct bulk {
	struct event timer;
	struct bulk_state *state;
	struct stream *st;
	struct loop *loop;
	int low;      /* the mark */
	size_t heard; /* bytes, since the last tick */
};

static bool
tell_from(const struct stream *st, int low)
{
	return setsockopt(st->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)) == 0;
}

static void
aim(struct bulk *b, int low)
{
	if (b->low != low && tell_from(b->st, low))
		b->low = low;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct bulk *b = arg;
	struct bulk_state *state = b->state;
	size_t heard = b->heard;

	(void)fd;
	(void)what;
	b->heard = 0;
	if (heard >= BULK_QUICK)
		aim(b, BULK_HIGH);
	if (heard > 0)
		return;
	if (b->low == BULK_HIGH) {
		/* some are there, perhaps, but not as many as that */
		aim(b, BULK_LOW);
		return;
	}
	bulk_end(state);
	state->bytes = BULK_BEHIND - BULK_AGAIN;
}

void
bulk_go_on(struct bulk_state *state, size_t n, bool full, struct stream *st, struct loop *l)
{
	if (state->now == NULL) {
		const struct timeval tick = { 0, BULK_MS * 1000L };
		struct bulk *b;

		if (st->ssl != NULL || st->ws != NULL || !tell_from(st, BULK_LOW)) {
			state->bytes = 0;
			return;
		}
		state->now = b = xcalloc(1, sizeof(*b));
		b->state = state;
		b->st = st;
		b->low = BULK_LOW;
		b->loop = l;
		event_assign(&b->timer, loop_base(l), -1, EV_PERSIST, on_tick, b);
		if (event_add(&b->timer, &tick) != 0)
			bulk_end(state);
	}
	if (state->now == NULL)
		return;
	state->now->heard += n;
	/* what is left may be less than the mark: the kernel would not tell of it */
	if (full)
		stream_expect_more(st, true);
}

HOT void
bulk_end(struct bulk_state *state)
{
	struct bulk *b = state->now;

	state->bytes = 0;
	if (b == NULL)
		return;
	state->now = NULL;
	event_del(&b->timer);
	if (stream_is_open(b->st)) {
		(void)tell_from(b->st, 1);
		stream_expect_more(b->st, false);
	}
	loop_defer(b->loop, free, b); /* its own callback may be what runs */
}
