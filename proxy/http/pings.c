/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/http/pings.h"

#include "base/clock.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/session_int.h"

#define TICKS 4 /* in each interval: websocket_tick() */

/* Calls `visit` for the worker's WebSockets until it returns false. */
static void
each_websocket(struct worker *w, bool (*visit)(struct session *s))
{
	for (int state = 0; state < SESSION_CLOSED; state++) {
		struct session *next;

		for (struct session *s = TAILQ_FIRST(&w->states[state]); s != NULL; s = next) {
			next = TAILQ_NEXT(s, in_state);
			if (s->client.ws != NULL && !visit(s))
				return;
		}
	}
}

static bool
arm_for(struct session *s)
{
	pings_arm(s->worker);
	return false;
}

static bool
tick(struct session *s)
{
	pings_arm(s->worker);
	if (websocket_tick(&s->client) != 0)
		session_abort(s, WHY_PING_TIMEOUT);
	return true;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	(void)worker_world(w);
	each_websocket(w, tick);
}

void
pings_init(struct worker *w)
{
	evtimer_assign(&w->pings, loop_base(w->loop), on_tick, w);
}

void
pings_arm(struct worker *w)
{
	int64_t interval = w->world->config->main.websocket_ping_interval / TICKS;
	struct timeval tv = { .tv_sec = interval / USEC_PER_SEC,
			      .tv_usec = interval % USEC_PER_SEC };

	if (interval > 0 && !evtimer_pending(&w->pings, NULL))
		event_add(&w->pings, &tv);
}

void
pings_refresh(struct worker *w)
{
	event_del(&w->pings);
	each_websocket(w, arm_for);
}
