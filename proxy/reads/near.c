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

const struct node *
near_find(const struct topology *t, const struct route *route, const struct node *home)
{
	for (unsigned i = 0; i < route->nnodes; i++) {
		const struct node *n = &t->nodes[route->nodes[i]];

		if (n->region == home->region)
			return NULL;
		if (follows(n, home))
			return n;
	}
	return NULL;
}
