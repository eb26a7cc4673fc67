/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/reads/near.h"

#include "routing/route.h"
#include "routing/topology.h"

static bool
follows(const struct node *n, const struct node *home)
{
	return n->role == ROLE_STANDBY && n->system_id != 0 && n->system_id == home->system_id &&
	       n->timeline == home->timeline;
}

bool
near_is_superseded(const struct topology *t, const struct node *home)
{
	for (unsigned i = 0; i < t->nnodes; i++) {
		const struct node *n = &t->nodes[i];

		if (n->role == ROLE_PRIMARY && n->state != NODE_DOWN &&
		    n->system_id == home->system_id && n->timeline > home->timeline)
			return true;
	}
	return false;
}

bool
near_is_within(const struct node *n, int64_t bound_us, int64_t now_us)
{
	int64_t lag_us;

	if (bound_us == 0)
		return true;
	lag_us = node_lag_us(n, now_us);
	return lag_us >= 0 && lag_us <= bound_us;
}

const struct node *
near_find(const struct topology *t, const struct route *route, const struct node *home,
	  int64_t bound_us, int64_t now_us)
{
	for (unsigned i = 0; i < route->nnodes; i++) {
		const struct node *n = &t->nodes[route->nodes[i]];

		if (n->region == home->region)
			return NULL;
		if (follows(n, home) && near_is_within(n, bound_us, now_us))
			return n;
	}
	return NULL;
}
