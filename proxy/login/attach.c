/* SPDX-License-Identifier: PostgreSQL
 *
 * Attaching: walks the route's nodes until one answers. Where a node is slower than its usual round
 * trip allows, the next one is tried beside it; the session gets the first that answers.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hot.h"
#include "proxy/http/http.h"
#include "proxy/http/sql.h"
#include "proxy/login/attempt.h"
#include "proxy/login/login_int.h"
#include "proxy/move/pause.h"
#include "proxy/move/subscriber.h"
#include "proxy/process/control.h"
#include "proxy/process/descriptors.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"
#include "proxy/session/route.h"

/* How much longer than a connect an answer may take: a server forks for each session. */
#define ANSWER_PATIENCE 10

/* Ends a list that is too long. */
#define LIST_CONTINUES " …"

/* Whether the region that clients of this place went to before counts. It does not where there is
 * only one region, where a reload has renumbered them, or for a replicating server, which is no
 * client of the database. */
static bool
sticky_fits(const struct session *s)
{
	return s->login->world->topology->nregions > 1 && s->login->through == NULL &&
	       s->worker->sticky_config == s->login->world->config->version;
}

HOT void
attach_route(struct session *s, struct route *out)
{
	struct login *l = s->login;
	struct route_wish wish = {
		.database = session_name(s, NAME_DATABASE),
		.access = l->access,
		.locality = &l->locality,
		.sticky_region = -1,
		.seed = s->id,
	};

	if (l->through != NULL) {
		subscriber_route(l, out);
		return;
	}
	if (sticky_fits(s))
		wish.sticky_region = sticky_get(
		    s->worker->sticky, sticky_key(&l->locality, &s->true_addr), clock_us());
	locate_route(l->world, &wish, out);
}

HOT void
attach_begin(struct session *s)
{
	struct route *route = &s->worker->route;
	struct login *l = s->login;
	const struct node_live *first;

	if (s->worker->sticky_config != l->world->config->version) {
		sticky_clear(s->worker->sticky);
		s->worker->sticky_config = l->world->config->version;
	}
	attach_route(s, route);
	l->home = route->home;
	l->decided_at_us = clock_us();
	l->ncandidates = route->nnodes;
	memcpy(l->candidates, route->nodes, route->nnodes * sizeof(l->candidates[0]));
	if (UNLIKELY(s->http != NULL) && http_speaks(s))
		sql_order_candidates(s);
	first = route->nnodes > 0 ? l->world->topology->nodes[l->candidates[0]].live : NULL;
	if (s->worker->pauses != NULL && pause_login(s, first))
		return;
	l->next = 0;
	if (s->state != SESSION_ATTACHING)
		session_enter(s, SESSION_ATTACHING);
	attach_next(s);
}

static unsigned
in_flight(const struct login *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ATTEMPTS_MAX; i++)
		n += l->attempts[i] != NULL;
	return n;
}

static void
arm_hedge(struct login *l, int64_t delay_us)
{
	struct timeval tv = { .tv_sec = delay_us / USEC_PER_SEC,
			      .tv_usec = delay_us % USEC_PER_SEC };

	event_add(&l->hedge, &tv);
}

/* How long an attempt may take before the next one is begun beside it: twice the usual round trip +
 * 50 ms to connect; where it has connected, also the time for a fork and the TLS handshake. */
static int64_t
hedge_delay(const struct attempt *a)
{
	const struct login *l = a->login;
	const struct node *n = &l->world->topology->nodes[a->node];
	int64_t rtt = n->connect_us > n->rtt_us ? n->connect_us : n->rtt_us;
	int64_t delay = l->world->config->main.hedge_delay;

	if (a->dial.step == DIAL_CONNECT)
		return 2 * rtt + delay;
	return 8 * rtt + ANSWER_PATIENCE * delay;
}

static void
attach_on_hedge(evutil_socket_t fd, short what, void *arg)
{
	struct login *l = arg;
	struct session *s = l->session;
	struct attempt *first = l->attempts[0] != NULL ? l->attempts[0] : l->attempts[1];
	unsigned place = l->attempts[0] == NULL ? 0 : 1;
	int64_t left;

	(void)fd;
	(void)what;
	if (first == NULL || in_flight(l) == ATTEMPTS_MAX || l->next >= l->ncandidates)
		return;
	left = first->begun_us + hedge_delay(first) - clock_us();
	if (left > 0) {
		arm_hedge(l, left);
		return;
	}
	stat_add(&s->worker->stats.hedges, 1);
	attempt_begin(l, place, l->candidates[l->next++], DIAL_AS_CONFIGURED);
	if (s->login == l && l->attempts[place] != NULL)
		l->attempts[place]->hedge = true;
}

void
attach_explain_wait(const struct session *s, struct err *e)
{
	const struct login *l = s->login;
	const struct topology *t = l->world->topology;
	struct buf b = { .cap = sizeof(e->detail) - sizeof(LIST_CONTINUES) };

	for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
		const struct attempt *a = l->attempts[i];

		if (a != NULL)
			buf_printf(&b, "%sRegion %s, node %s: no answer yet.", b.n > 0 ? " " : "",
				   t->regions[t->nodes[a->node].region].name,
				   t->nodes[a->node].name);
	}
	if (l->failures.n > 0)
		buf_printf(&b, "%sTried %.*s%s.", b.n > 0 ? " " : "", (int)l->failures.n,
			   l->failures.p, l->failures.failed ? LIST_CONTINUES : "");
	err_detail(e, "%.*s%s", (int)b.n, b.n > 0 ? b.p : "", b.failed ? LIST_CONTINUES : "");
	buf_fini(&b);
}

static void
count_outcome(const struct session *s, enum route_outcome outcome)
{
	stat_add(&s->worker->stats.routes[s->source][outcome], 1);
}

/* No node is left. The login may wait for another; else its client is told of every region why it
 * was not used. */
static APART __attribute__((cold)) void
give_up(struct session *s)
{
	struct login *l = s->login;
	struct route *route = &s->worker->route;
	struct err e;
	struct buf b = { .cap = sizeof(e.detail) - sizeof(LIST_CONTINUES) };

	attach_route(s, route);
	if (failover_waits(s, route))
		return;
	err_set(&e, why_get(WHY_NO_ROUTE)->sqlstate, "%s", why_get(WHY_NO_ROUTE)->text);
	if (l->failures.n > 0)
		buf_printf(&b, "Tried %.*s%s.", (int)l->failures.n, l->failures.p,
			   l->failures.failed ? LIST_CONTINUES : "");
	locate_put_rejected(&b, l->world->topology, route);
	err_detail(&e, "%.*s%s", (int)b.n, b.n > 0 ? b.p : "", b.failed ? LIST_CONTINUES : "");
	buf_fini(&b);
	count_outcome(s, ROUTE_NONE);
	session_close_err(s, WHY_NO_ROUTE, &e);
}

HOT void
attach_next(struct session *s)
{
	struct login *l = s->login;

	if (UNLIKELY(l->next >= l->ncandidates)) {
		give_up(s);
		return;
	}
	if (!event_initialized(&l->hedge))
		evtimer_assign(&l->hedge, loop_base(s->worker->loop), attach_on_hedge, l);
	attempt_begin(l, 0, l->candidates[l->next++], DIAL_AS_CONFIGURED);
	if (s->login == l && l->attempts[0] != NULL && l->next < l->ncandidates)
		arm_hedge(l, hedge_delay(l->attempts[0]));
}

static unsigned
place_of(const struct login *l, const struct attempt *a)
{
	return l->attempts[0] == a ? 0 : 1;
}

void
attach_failed(struct attempt *a, enum attempt_end how, const char *reason)
{
	struct login *l = a->login;
	struct session *s = l->session;
	const struct topology *t = l->world->topology;
	const struct node *n = &t->nodes[a->node];
	unsigned place = place_of(l, a);
	uint16_t node = a->node;
	enum dial_way way;
	bool no_descriptor;

	log_limited(LOG_LEVEL_INFO, session_subject(s), "node %s of region %s failed: %s", n->name,
		    t->regions[n->region].name, reason);
	buf_printf(&l->failures, "%s%s %s: %s", l->failures.n > 0 ? "; " : "",
		   t->regions[n->region].name, n->name, reason);
	if (how == ATTEMPT_FAILED) {
		stat_add(&s->worker->stats.attempt_failures, 1);
		atomic_fetch_add(&n->live->failures, 1);
		control_evidence(s->worker->process->control, n->live->id, reason);
	}
	l->attempts[place] = NULL;
	(void)dial_other_way(&a->dial, &way);
	no_descriptor = a->dial.no_descriptor && in_flight(l) == 0;
	attempt_free(a);
	if (no_descriptor) {
		/* a socket for another node could not be had either */
		stat_add(&s->worker->stats.clients_without_descriptors, 1);
		session_close(s, WHY_TOO_MANY, DESCRIPTORS_NONE_LEFT);
	} else if (how == ATTEMPT_RETRY) {
		attempt_begin(l, place, node, way);
	} else if (in_flight(l) == 0) {
		attach_next(s);
	} else {
		/* the other attempt is alone now: a third one is begun when its time is over */
		attach_on_hedge(-1, 0, l);
	}
}

HOT void
attach_won(struct attempt *a)
{
	struct login *l = a->login;
	struct session *s = l->session;
	const struct node *n = &l->world->topology->nodes[a->node];
	struct buf inbox = a->inbox;
	int64_t now_us = clock_us();
	struct stats *stats = &s->worker->stats;

	histogram_observe(&stats->attempt, now_us - a->begun_us);
	histogram_observe(&stats->attach, now_us - l->decided_at_us);
	count_outcome(s, route_outcome(&l->home, n->region));
	if (a->hedge && in_flight(l) > 1)
		stat_add(&stats->hedges_won, 1);
	atomic_fetch_add(&n->live->connects, 1);
	l->node = a->node;
	l->attempts[place_of(l, a)] = NULL;
	s->server = a->server;
	s->server->attempt = NULL;
	a->server = NULL;
	a->inbox = (struct buf){ 0 };
	attempt_free(a);
	attach_stop(l);
	if (sticky_fits(s))
		sticky_put(s->worker->sticky, sticky_key(&l->locality, &s->true_addr), n->region,
			   now_us);
	login_begin(s, &inbox);
}

HOT void
attach_stop(struct login *l)
{
	if (UNLIKELY(l->failover != NULL))
		failover_stop(l);
	if (event_initialized(&l->hedge))
		event_del(&l->hedge);
	for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
		attempt_free(l->attempts[i]);
		l->attempts[i] = NULL;
	}
}

/* The client has sent something early, or has left. What it sends is kept, up to a limit. */
void
attach_on_client(struct session *s)
{
	struct buf *inbox = &s->login->inbox;
	size_t room = inbox->cap - inbox->n;
	ssize_t n;

	if (http_speaks(s)) {
		http_on_readable(s);
		return;
	}
	if (room == 0) {
		session_only_watch(s);
		return;
	}
	n = stream_recv(&s->client, s->worker->scratch,
			room < WORKER_SCRATCH ? room : WORKER_SCRATCH);
	if (n > 0)
		buf_put(inbox, s->worker->scratch, (size_t)n);
	else if (n != STREAM_AGAIN)
		session_abort(s, n == 0 ? WHY_CLIENT_GONE : WHY_CLIENT_ERROR);
}
