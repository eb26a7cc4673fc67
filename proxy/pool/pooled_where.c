/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/pool/pooled_int.h"

#include "base/bug.h"
#include "base/clock.h"
#include "base/hot.h"
#include "proxy/pool/pool_int.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"
#include "proxy/session/route.h"
#include "proxy/session/session_int.h"

/* A session looks for a better node so often, where its own is well. */
#define DECIDE_AGAIN_US (5 * USEC_PER_SEC)

static HOT struct pool *
pool_for(const struct session *s, struct node_live *live, struct slice dbname, enum access access)
{
	struct pool_key key = {
		.live = live,
		.database = session_name(s, NAME_DATABASE),
		.dbname = dbname,
		.user = session_name(s, NAME_USER),
		.options = pooled_options(s),
		.access = access,
	};

	return pool_get(s->worker, &key);
}

HOT struct pool *
pooled_pool_at(const struct session *s, struct node_live *live, struct slice dbname)
{
	return pool_for(s, live, dbname, (enum access)s->access);
}

static HOT struct pool *
pool_at(struct pooled *pd, const struct world *w, struct node_live *live)
{
	const struct session *s = pd->session;

	return pooled_pool_at(s, live, locate_dbname(w, session_name(s, NAME_DATABASE)));
}

void
pooled_move_to(struct pooled *pd, struct pool *p)
{
	if (pd->pool != p) {
		pool_join(p);
		if (pd->pool != NULL)
			pool_leave(pd->pool);
		pd->pool = p;
	}
	pool_set_credential(p, pd->session->credential);
}

bool
pooled_is_hopeless(const struct pool *p)
{
	return pool_is_failing(p) && !pool_has_hope(p);
}

/* Ids of nodes, one behind the other. */
static bool
has_refused(const struct session *s, const struct pool *p)
{
	struct slice ids = s->login != NULL ? buf_view(&s->login->refused) : SLICE_LITERAL("");

	for (; ids.n > 0; ids = slice_skip(ids, sizeof(p->live->id))) {
		if (memcmp(ids.p, &p->live->id, sizeof(p->live->id)) == 0)
			return true;
	}
	return false;
}

void
pooled_note_refusal(struct pooled *pd)
{
	struct login *l = pd->session->login;
	const struct node_live *live = pd->pool->live;

	if (l == NULL || has_refused(pd->session, pd->pool))
		return;
	buf_put(&l->refused, &live->id, sizeof(live->id));
	buf_printf(&l->failures, "%s%s %s: %s", l->failures.n > 0 ? "; " : "", live->region,
		   live->name, pd->pool->reason);
}

/* ---- nearby, and home again ---- */

const struct node_live *
pooled_home(const struct session *s)
{
	const struct pooled *pd = s->pooled;

	return pd->home != NULL ? pd->home : pd->pool != NULL ? pd->pool->live : NULL;
}

/* It is not nearby any more, as far as that goes. */
static void
forget_home(struct pooled *pd)
{
	node_live_unref(pd->home);
	pd->home = NULL;
	pd->floor = 0;
}

/* The pools between which it went last are there. */
static bool
knows_pools(const struct pooled *pd)
{
	return pd->near_pool != NULL && pd->pools_freed == pd->session->worker->pools->freed;
}

/* That one again, mostly. */
static struct pool *
find_near_pool(const struct pooled *pd, struct node_live *live)
{
	struct pool *p = pd->near_pool;

	if (knows_pools(pd) && p->live == live && strcmp(p->dbname, pd->pool->dbname) == 0)
		return p;
	return pool_for(pd->session, live, slice_str(pd->pool->dbname), ACCESS_STANDBY);
}

void
pooled_head_nearby(struct session *s, struct node_live *live, uint64_t floor, int64_t wait_us)
{
	struct pooled *pd = s->pooled;

	BUG_ON(pd->home != NULL || pd->state != POOLED_PARKED);
	pd->near_pool = find_near_pool(pd, live);
	pd->home_pool = pd->pool;
	pd->pools_freed = s->worker->pools->freed;
	pd->pools_version = worker_world(s->worker)->topology->version;
	pd->home = node_live_ref(pd->pool->live);
	pd->floor = floor;
	pd->has_waited = false;
	pd->floor_wait_us = wait_us;
	pooled_move_to(pd, pd->near_pool);
}

void
pooled_head_home(struct session *s)
{
	struct pooled *pd = s->pooled;
	const struct world *w = worker_world(s->worker);
	const struct node *n;

	if (pd->home == NULL)
		return;
	n = topology_node_by_live(w->topology, pd->home);
	if (n == NULL) {
		(void)pooled_decide(pd);
		return;
	}
	if (knows_pools(pd) && pd->pools_version == w->topology->version)
		pooled_move_to(pd, pd->home_pool);
	else
		pooled_move_to(pd, pool_at(pd, w, n->live));
	forget_home(pd);
}

/* What was nearby cannot be had: the route is decided anew, from home. */
static void
give_up_nearby(struct pooled *pd)
{
	forget_home(pd);
	pool_ops.on_refused_nearby(pd->session);
}

HOT bool
pooled_decide(struct pooled *pd)
{
	struct session *s = pd->session;
	const struct world *w = worker_world(s->worker);
	struct route *route = &s->worker->route;
	const struct conf_database *db;
	/* another caller is not kept where the one before it was */
	const struct node_live *home = pooled_home(s);
	int sticky = home != NULL && pd->choice != POOLED_RELOCATED
			 ? topology_region_by_name(w->topology, slice_str(home->region))
			 : -1;

	if (UNLIKELY(pd->home != NULL))
		give_up_nearby(pd);

	locate_route_again(s, sticky, NULL, route);
	pd->topology_version = w->topology->version;
	pd->decided_us = clock_us();
	pd->choice = POOLED_BY_ROUTE;
	db = config_database(w->config, session_name(s, NAME_DATABASE));
	/* min_pool_size connections wait wherever a session of this user may be sent one day */
	for (unsigned i = 0; config_pool_sizes(w->config, db).min > 0 && i < route->nnodes; i++)
		pool_want(pool_at(pd, w, w->topology->nodes[route->nodes[i]].live), s->credential);
	for (unsigned i = 0; i < route->nnodes; i++) {
		struct pool *p = pool_at(pd, w, w->topology->nodes[route->nodes[i]].live);

		pool_set_credential(p, s->credential);
		if (!pooled_is_hopeless(p) && !has_refused(s, p)) {
			pooled_move_to(pd, p);
			return true;
		}
	}
	if (route->nnodes > 0)
		pooled_move_to(pd, pool_at(pd, w, w->topology->nodes[route->nodes[0]].live));
	return false;
}

#define AND_SO_ON " …"

void
pooled_explain(struct pooled *pd, struct err *e)
{
	const struct world *w = pd->session->worker->world;
	const struct topology *t = w->topology;
	const struct route *route = &pd->session->worker->route;
	const struct login *l = pd->session->login;
	struct buf b = { .cap = sizeof(e->detail) - sizeof(AND_SO_ON) };

	if (l != NULL && l->failures.n > 0)
		buf_printf(&b, "Tried %.*s", (int)l->failures.n, l->failures.p);
	for (unsigned i = 0; i < route->nnodes && !b.failed; i++) {
		const struct pool *p = pool_at(pd, w, t->nodes[route->nodes[i]].live);

		/* that of a pool that was made anew is not known */
		if (p->reason[0] != '\0' && !has_refused(pd->session, p))
			buf_printf(&b, "%s%s %s: %s", b.n > 0 ? "; " : "Tried ", p->live->region,
				   p->live->name, p->reason);
	}
	if (b.n > 0)
		buf_str(&b, ".");
	locate_put_rejected(&b, t, route);
	err_detail(e, "%.*s%s", (int)b.n, b.n > 0 ? b.p : "", b.failed ? AND_SO_ON : "");
	buf_fini(&b);
}

void
pooled_send_to(struct pooled *pd, struct node_live *live)
{
	const struct world *w = worker_world(pd->session->worker);

	if (UNLIKELY(pd->home != NULL))
		give_up_nearby(pd);
	pooled_move_to(pd, pool_at(pd, w, live));
	pd->topology_version = w->topology->version;
	pd->choice = POOLED_BY_OPERATOR;
}

/* A migration has decided that its database is served elsewhere, or by another name. */
static bool
is_astray(const struct pooled *pd, const struct world *w, const struct node *n)
{
	struct slice database = session_name(pd->session, NAME_DATABASE);
	const struct authority *a = locate_authority(w, database);

	return a != NULL && (!authority_has(a, w->topology, n) ||
			     !slice_is(locate_dbname(w, database), pd->pool->dbname));
}

HOT bool
pooled_is_due(struct pooled *pd)
{
	const struct world *w = worker_world(pd->session->worker);
	const struct topology *t = w->topology;
	const struct node *n;
	int64_t now_us;

	if (pd->pool == NULL || pooled_is_hopeless(pd->pool) || pd->choice >= POOLED_OUTDATED)
		return true;
	if (UNLIKELY(pd->home != NULL)) {
		n = topology_node_by_live(t, pd->pool->live);
		return n == NULL || !node_usable(t, n, clock_us());
	}
	if (pd->topology_version == t->version)
		return false;
	now_us = clock_us();
	n = topology_node_by_live(t, pd->pool->live);
	if (n == NULL || !node_usable(t, n, now_us) || is_astray(pd, w, n) ||
	    (pd->choice == POOLED_BY_ROUTE && now_us - pd->decided_us >= DECIDE_AGAIN_US))
		return true;
	pd->topology_version = t->version;
	return false;
}

void
pooled_find_home(struct session *s)
{
	struct pooled *pd = s->pooled;

	if (pd->home == NULL && pd->state == POOLED_PARKED && pooled_is_due(pd))
		(void)pooled_decide(pd);
}

void
pooled_moved_locality(struct session *s)
{
	s->pooled->choice = POOLED_RELOCATED;
}
