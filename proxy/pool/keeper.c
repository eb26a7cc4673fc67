/* SPDX-License-Identifier: PostgreSQL
 *
 * What pools do when time has passed: they close connections that are too old or idle for too long,
 * open those that are to be kept warm, tell sessions that have waited too long, and free pools that
 * no session uses. Each worker has one timer for this, which runs only while there is such work.
 */
#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/hot.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/pool/pool_int.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/route.h"
#include "proxy/sqlstate/vars.h"

#define KEEP_MIN_US (20 * USEC_PER_MSEC)
#define KEEP_MAX_US (15 * USEC_PER_SEC)
#define LOOKS       4                    /* in the shortest time that matters */
#define WANTED_US   (600 * USEC_PER_SEC) /* where server_idle_timeout is 0 */

static int64_t
shorter(int64_t a, int64_t b)
{
	return a == 0 || (b > 0 && b < a) ? b : a;
}

static int64_t
interval_of(struct pool *p)
{
	const struct conf_main *conf = &p->worker->world->config->main;
	const struct pool_sizes *sizes = pool_sizes(p);
	int64_t t = 0;

	if (p->nwaiting > 0)
		t = shorter(shorter(conf->query_wait_timeout, conf->query_wait_notify),
			    shorter(conf->server_login_retry,
				    sizes->reserve > 0 ? conf->reserve_pool_timeout : 0));
	if (p->nwaiting > 0 && p->n[SERVER_BUSY] > 0)
		t = shorter(t, SOON_US);
	if (p->starving)
		t = shorter(t, LOOKS * SHARES_STAY_US);
	if (pool_size(p) > 0)
		t = shorter(t, shorter(conf->server_lifetime, conf->server_idle_timeout));
	if (sizes->min > 0)
		t = shorter(t, conf->server_login_retry);
	return pool_size(p) == 0 && p->nsessions == 0 ? KEEP_MAX_US : t;
}

HOT void
pools_look_soon(struct pools *ps)
{
	int64_t t = 0;
	struct timeval tv;
	struct pool *p;

	ps->quick = false;
	TAILQ_FOREACH (p, &ps->list, all) {
		t = shorter(t, interval_of(p));
		ps->quick = ps->quick || p->nwaiting > 0;
	}
	if (t == 0)
		return;
	t /= LOOKS;
	t = t < KEEP_MIN_US ? KEEP_MIN_US : t > KEEP_MAX_US ? KEEP_MAX_US : t;
	tv.tv_sec = t / USEC_PER_SEC;
	tv.tv_usec = t % USEC_PER_SEC;
	event_add(&ps->timer, &tv);
}

HOT void
pools_arm(struct pools *ps)
{
	if (!evtimer_pending(&ps->timer, NULL))
		pools_look_soon(ps);
}

void
pools_hurry(struct pools *ps)
{
	if (!ps->quick || !evtimer_pending(&ps->timer, NULL))
		pools_look_soon(ps);
}

/* Somebody is here, or was at another node of the same database not long ago. */
static bool
is_wanted(const struct pool *p)
{
	const struct conf_main *conf = &p->worker->world->config->main;
	int64_t kept = conf->server_idle_timeout > 0 ? conf->server_idle_timeout : WANTED_US;

	return p->nsessions > 0 || (p->wanted_us > 0 && clock_us() - p->wanted_us < kept);
}

/* No session is to be there: the operator has said so, the database is served elsewhere, or the
 * node is configured no more. */
static HOT bool
is_drained(const struct pool *p)
{
	const struct world *w = p->worker->world;
	const struct topology *t = w->topology;
	const struct node *n = topology_node_by_live(t, p->live);

	if (n == NULL || n->drained || t->regions[n->region].drained)
		return true;
	return clock_us() >= p->promised_us &&
	       !authority_has(locate_authority(w, slice_str(p->database)), t, n);
}

/* The oldest that has to go, where there are more than are to be kept warm; NULL: none. */
static struct server *
oldest_to_go(struct pool *p, int64_t now_us, unsigned keep)
{
	const struct conf_main *conf = &p->worker->world->config->main;
	bool drained = is_drained(p);
	struct server *sv;

	TAILQ_FOREACH_REVERSE (sv, &p->places[SERVER_IDLE], server_list, in_place) {
		bool old = sv->expires_us > 0 && now_us >= sv->expires_us;
		bool idle = conf->server_idle_timeout > 0 &&
			    now_us - sv->since_us >= conf->server_idle_timeout;

		if (drained || old || (idle && pool_size(p) > keep))
			return sv;
	}
	return NULL;
}

static void
close_old(struct pool *p, int64_t now_us)
{
	unsigned keep = is_wanted(p) ? pool_share(p->worker, pool_sizes(p)->min) : 0;
	struct server *sv;

	/* a session that waits may be lent another connection meanwhile */
	while ((sv = oldest_to_go(p, now_us, keep)) != NULL)
		server_free(sv);
}

/* Close connections whose node has not answered a question of Meridian's for server_idle_timeout,
 * or, while a session waits for the place, for server_connect_timeout if that is shorter. */
static void
close_stuck(struct pool *p, int64_t now_us)
{
	const struct conf_main *conf = &p->worker->world->config->main;
	int64_t limit =
	    shorter(conf->server_idle_timeout, p->nwaiting > 0 ? conf->server_connect_timeout : 0);
	struct server *sv, *next;

	for (sv = TAILQ_FIRST(&p->places[SERVER_BUSY]); sv != NULL && limit > 0; sv = next) {
		next = TAILQ_NEXT(sv, in_place);
		if (now_us - sv->since_us >= limit)
			server_free(sv);
	}
}

static void
keep_warm(struct pool *p)
{
	unsigned want = pool_share(p->worker, pool_sizes(p)->min);

	while (is_wanted(p) && !p->paused && pool_size(p) < want && !pool_is_failing(p)) {
		if (!pool_launch_spare(p))
			return;
	}
}

static void
check_waiting(struct pool *p, int64_t now_us)
{
	struct pooled *pd, *next;

	for (pd = TAILQ_FIRST(&p->waiting); pd != NULL; pd = next) {
		next = TAILQ_NEXT(pd, in_queue);
		if (p->paused) /* this time does not count */
			pd->waiting_since_us = pd->queued_us = now_us;
		else
			pooled_check_wait(pd, now_us);
	}
	if (p->nwaiting > 0)
		pool_grow(p);
}

static HOT void
keep(evutil_socket_t fd, short what, void *arg)
{
	struct pools *ps = arg;
	int64_t now_us = clock_us();
	struct pool *p, *next;

	(void)fd;
	(void)what;
	(void)worker_world(ps->worker);
	for (p = TAILQ_FIRST(&ps->list); p != NULL; p = next) {
		pool_join(p);
		check_waiting(p, now_us);
		close_old(p, now_us);
		close_stuck(p, now_us);
		p->nsessions--;
		if (!ps->draining && !is_drained(p))
			keep_warm(p);
		next = TAILQ_NEXT(p, all);
		if (p->nsessions == 0 && pool_size(p) == 0 &&
		    (pool_sizes(p)->min == 0 || !is_wanted(p)))
			pool_free(p);
	}
	pools_arm(ps);
}

/* Only what a node may say at any time leaves the connection usable. */
static bool
take_unasked(struct server *sv, struct slice in)
{
	struct frame f;

	while (in.n > 0) {
		if (frame_cut(in, WORKER_SCRATCH, &f) != PARSE_DONE)
			return false;
		/* its configuration has been read anew */
		if (f.type == MSG_PARAMETER_STATUS) {
			vars_report(&sv->reported, f.body);
			vars_unref(sv->settled);
			sv->settled = vars_ref(sv->reported);
		} else if (f.type != MSG_NOTICE && f.type != MSG_NOTIFICATION) {
			return false;
		}
		in = slice_skip(in, f.total);
	}
	return true;
}

void
keeper_on_idle(struct server *sv, short what)
{
	char *scratch = sv->worker->scratch;
	ssize_t n;

	if ((what & EV_WRITE) && stream_flush(&sv->stream) != 0) {
		server_free(sv);
		return;
	}
	if (!(what & EV_READ))
		return;
	n = stream_recv(&sv->stream, scratch, WORKER_SCRATCH);
	if (n == STREAM_AGAIN || (n > 0 && take_unasked(sv, slice_of(scratch, (size_t)n))))
		return;
	server_free(sv);
}

struct pool_list *
pools_list(struct pools *ps)
{
	return &ps->list;
}

struct pool_list *
pools_of_worker(const struct worker *w)
{
	return pools_list(w->pools);
}

struct pools *
pools_new(struct worker *w)
{
	struct pools *ps = xcalloc(1, sizeof(*ps));

	ps->worker = w;
	ps->seed = hash_new_seed();
	TAILQ_INIT(&ps->list);
	TAILQ_INIT(&ps->starving);
	evtimer_assign(&ps->timer, loop_base(w->loop), keep, ps);
	return ps;
}

static void
close_all(struct pool *p, enum server_place place)
{
	struct server *sv;

	while ((sv = TAILQ_FIRST(&p->places[place])) != NULL)
		server_free(sv);
}

void
pools_refresh(struct pools *ps)
{
	struct pool *p;

	TAILQ_FOREACH (p, &ps->list, all)
		pool_renew(p);
}

void
pools_drain(struct pools *ps)
{
	struct pool *p;

	ps->draining = true;
	TAILQ_FOREACH (p, &ps->list, all)
		close_all(p, SERVER_IDLE);
}

void
pools_free(struct pools *ps)
{
	struct pool *p;

	if (ps == NULL)
		return;
	while ((p = TAILQ_FIRST(&ps->list)) != NULL) {
		for (int i = SERVER_LAUNCHING; i < SERVER_PLACES; i++)
			close_all(p, (enum server_place)i);
		pool_free(p);
	}
	event_del(&ps->timer);
	free(ps);
}
