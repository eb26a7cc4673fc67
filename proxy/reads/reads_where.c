/* SPDX-License-Identifier: PostgreSQL
 *
 * Where a session may read: the standby nearest to its client, and what keeps it at home whatever
 * its texts say. How it is counted, and explained.
 */
#include "config.h"

#include "proxy/reads/reads_int.h"

#include "base/clock.h"
#include "proxy/config/config.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/world.h"
#include "proxy/reads/near.h"
#include "proxy/reads/reasons.h"
#include "proxy/session/route.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/vars.h"

#define LOOK_AGAIN_US (USEC_PER_SEC)     /* for a standby nearby, as the map may have changed … */
#define TRY_AGAIN_US  (USEC_PER_SEC / 4) /* … and sooner where one had not replayed enough */

/* ---- which standby ---- */

/* NULL: there is none; or a migration has decided who serves the database. */
static const struct node *
find_near(struct session *s, const struct world *w, const struct node *home)
{
	const struct reads *r = session_is_pooled(s) ? s->pooled->reads : NULL;
	struct route *route = &s->worker->route;

	if (locate_authority(w, session_name(s, NAME_DATABASE)) != NULL)
		return NULL;
	locate_route_for(s, ACCESS_ANY, -1, NULL, route);
	return near_find(w->topology, route, home, r != NULL ? reads_bound_us(r) : 0,
			 loop_now_us(s->worker->loop));
}

/* The one that was found last is still not too far behind. */
static bool
is_within(const struct reads *r, const struct world *w, int64_t now_us)
{
	const struct node *n;

	if (r->now[SET_BOUND] == 0 || r->near == NULL)
		return true;
	n = topology_node_by_live(w->topology, r->near);
	return n != NULL && near_is_within(n, reads_bound_us(r), now_us);
}

struct node_live *
reads_near(struct session *s)
{
	struct reads *r = s->pooled->reads;
	const struct world *w = worker_world(s->worker);
	const struct node_live *home = pooled_home(s);
	int64_t now_us = loop_now_us(s->worker->loop);
	const struct node *h, *n;

	if (r->near_at_us != 0 && now_us - r->near_at_us < LOOK_AGAIN_US && is_within(r, w, now_us))
		return r->near;
	h = home != NULL ? topology_node_by_live(w->topology, home) : NULL;
	/* behind a fail-over it goes home first, wherever that is now */
	n = h != NULL && !near_is_superseded(w->topology, h) ? find_near(s, w, h) : NULL;
	r->near_timeline = h != NULL ? h->timeline : 0;
	node_live_unref(r->near);
	r->near = n != NULL ? node_live_ref(n->live) : NULL;
	r->near_at_us = now_us;
	return r->near;
}

void
reads_shun(struct session *s)
{
	struct reads *r = s->pooled->reads;

	node_live_unref(r->near);
	r->near = NULL;
	r->near_at_us = loop_now_us(s->worker->loop) - LOOK_AGAIN_US + TRY_AGAIN_US;
}

/* ---- what keeps a session at home ---- */

bool
reads_is_serializable(const struct session *s)
{
	struct slice level;

	if (!vars_get(s->pooled->vars, "default_transaction_isolation", &level))
		return s->pooled->reads->is_serializable;
	return slice_is_nocase(level, "serializable");
}

void
reads_judge_session(struct session *s, unsigned *reason)
{
	const struct pooled *pd = s->pooled;
	enum token_verdict verdict = TOKEN_STANDS;

	if (reads_have_floor(pd->reads))
		verdict = reads_judge_floor(s);
	if (verdict == TOKEN_LOST)
		*reason = READS_LOST;
	else if (reads_near(s) == NULL)
		*reason = READS_NO_NEARER;
	else if (reads_is_serializable(s))
		*reason = READS_SERIALIZABLE;
	else if (reads_have_floor(pd->reads) && !pd->reads->is_known)
		*reason = READS_NO_POSITION;
	else if (verdict == TOKEN_FOREIGN)
		*reason = READS_NO_POSITION;
	else if (verdict == TOKEN_UNKNOWN)
		*reason = READS_LOST;
}

/* ---- counted ---- */

/* Its counters for a region. */
static struct readtally *
tally_of(struct session *s, bool is_near)
{
	struct reads *r = s->pooled->reads;
	const struct node_live *live = is_near ? r->near : pooled_home(s);
	const char *region = live != NULL ? live->region : "";
	struct readtally **known = &r->tallies[is_near];
	const struct config *config;

	if (*known == NULL || strcmp((*known)->region, region) != 0) {
		config = worker_world(s->worker)->config;
		*known = readtally_get(
		    &s->worker->reads,
		    config_database(config, session_name(s, NAME_DATABASE))->name, region);
	}
	return *known;
}

void
reads_count(struct session *s, unsigned reason)
{
	struct stats *stats = &s->worker->stats;
	bool is_near = reads_is_near(reason);
	struct readtally *t = tally_of(s, is_near);

	stat_add(is_near ? &stats->reads_near : &stats->reads_home, 1);
	stat_add(&t->n[reason], 1);
	if (is_near && s->pooled->has_waited)
		stat_add(&t->waited[reason], 1);
}

/* ---- what would be done ---- */

void
reads_explain(struct session *s, struct reads_place *out)
{
	const struct world *w = worker_world(s->worker);
	const struct node_live *live = session_is_pooled(s) ? pooled_home(s) : NULL;
	const struct reads *r = session_is_pooled(s) ? s->pooled->reads : NULL;
	struct route *route = &s->worker->route;

	*out = (struct reads_place){ .is_nearest = r != NULL && reads_is_nearest(r),
				     .reason = CLASSIFY_READ };
	out->begins_read_only = session_is_pooled(s) && reads_begins_read_only(s);
	out->home = live != NULL ? topology_node_by_live(w->topology, live) : NULL;
	if (out->home == NULL) {
		locate_route_again(s, -1, NULL, route);
		if (route->nnodes > 0)
			out->home = &w->topology->nodes[route->nodes[0]];
	}
	out->near = out->home != NULL ? find_near(s, w, out->home) : NULL;
	if (out->near == NULL) {
		out->reason = READS_NO_NEARER;
	} else if (r != NULL) {
		out->floor = s->pooled->is_tracked && r->is_known ? r->floor.lsn : 0;
		reads_judge_session(s, &out->reason);
	}
}
