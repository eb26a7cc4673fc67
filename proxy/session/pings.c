/* SPDX-License-Identifier: PostgreSQL
 *
 * Load balancers take a connection on which nothing is said for a minute or two for dead, and do
 * not tell. So each worker goes through its WebSockets four times per websocket_ping_interval, as
 * long as it has one, and pings those on which it has said nothing for that long.
 */
#include "config.h"

#include "base/clock.h"
#include "proxy/session/session_int.h"
#include "proxy/worker_int.h"

#define TICKS 4 /* per interval: websocket_tick() */

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	bool any = false;

	(void)fd;
	(void)what;
	(void)worker_world(w);
	for (int state = 0; state < SESSION_CLOSED; state++) {
		struct session *next;

		for (struct session *s = TAILQ_FIRST(&w->states[state]); s != NULL; s = next) {
			next = TAILQ_NEXT(s, in_state);
			if (s->client.ws == NULL)
				continue;
			any = true;
			if (websocket_tick(&s->client) != 0)
				session_abort(s, WHY_PING_TIMEOUT);
		}
	}
	if (any)
		pings_arm(w);
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
