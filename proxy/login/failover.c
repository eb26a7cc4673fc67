/* SPDX-License-Identifier: PostgreSQL
 *
 * failover_wait: a login that no region can take, where that may be since a primary is being
 * replaced, waits for the world to change instead of failing. Its client has been told nothing yet.
 */
#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/login/login_int.h"
#include "proxy/move/pause.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"
#include "proxy/session/route.h"

/* How often a login that waits looks whether the worker has another world. */
#define LOOK_US (50 * USEC_PER_MSEC)

/* A login that waits, or has. */
struct failover {
	struct event look;
	int64_t since_us;
	bool look_at_world; /* the login's world may have a node for it */
};

/* A region would take it, if one of its nodes were up or had another role. */
static bool
may_come(const struct route *route)
{
	for (unsigned i = 0; i < route->nrows; i++) {
		enum route_reason r = route->rows[i].reason;

		if (r == REASON_DOWN || r == REASON_NO_ROLE || r == REASON_SUSPECT ||
		    r == REASON_LAST_RESORT)
			return true;
	}
	return false;
}

/* Whether the route leads to a node by now: one that is known to be down is no answer to waiting.
 * What is paused is waited for, too. */
static bool
may_go(struct session *s)
{
	struct route *route = &s->worker->route;
	const struct topology *t = s->login->world->topology;

	attach_route(s, route);
	if (route->nnodes == 0 || route->rows[0].verdict != VERDICT_CHOSEN) {
		s->login->failover->look_at_world = false;
		return false;
	}
	return !pause_covers(s->worker, session_name(s, NAME_DATABASE),
			     t->nodes[route->nodes[0]].live);
}

static void
look_later(struct login *l)
{
	const struct timeval tv = { .tv_usec = LOOK_US };

	event_add(&l->failover->look, &tv);
}

static bool
is_over(const struct login *l)
{
	return clock_us() - l->failover->since_us >= l->world->config->main.failover_wait;
}

static void
login_on_look(evutil_socket_t fd, short what, void *arg)
{
	struct login *l = arg;
	struct session *s = l->session;

	(void)fd, (void)what;
	if (worker_world(s->worker) != l->world) {
		locate_login_again(s);
		l->failover->look_at_world = true;
	}
	if (l->failover->look_at_world && may_go(s)) {
		l->failover->look_at_world = false;
		/* the time that it has waited does not count against its login */
		s->quiet_since_us = clock_us();
		buf_clear(&l->failures);
		attach_begin(s);
	} else if (is_over(l)) {
		attach_next(s); /* for the last time: it gives up */
	} else {
		look_later(l);
	}
}

bool
failover_waits(struct session *s, const struct route *route)
{
	struct login *l = s->login;

	if (l->world->config->main.failover_wait == 0 || l->through != NULL || !may_come(route))
		return false;
	if (l->failover == NULL) {
		l->failover = xcalloc(1, sizeof(*l->failover));
		l->failover->since_us = clock_us();
		stat_add(&s->worker->stats.failover_waits, 1);
		log_limited(LOG_LEVEL_INFO, session_subject(s),
			    "no region can take it: it waits (failover_wait)");
		evtimer_assign(&l->failover->look, loop_base(s->worker->loop), login_on_look, l);
	}
	if (is_over(l))
		return false;
	look_later(l);
	return true;
}

void
failover_stop(struct login *l)
{
	event_del(&l->failover->look);
	free(l->failover);
	l->failover = NULL;
}
