/* SPDX-License-Identifier: PostgreSQL
 *
 * The world of the routing tests: MovR's three regions. Nodes are called after their regions: east
 * has 0 and 1, west 2, europe 3 and 4. Include it before unit.h.
 */
#ifndef TESTS_UNIT_MOVR_H
#define TESTS_UNIT_MOVR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/route.h"

#define SEC INT64_C(1000000)
#define NOW (1000 * SEC)

enum { EAST, WEST, EUROPE };

static const struct locality paris = {
	.region = -1, .has_location = true, .lat = 48.8566, .lon = 2.3522
};
static const struct locality new_york = {
	.region = -1, .has_location = true, .lat = 40.7128, .lon = -74.006
};
static const struct locality nowhere = { .region = -1, .source = SOURCE_SELF };

static inline struct topology *
movr(void)
{
	static const struct {
		const char *name;
		double lat, lon;
		int nodes;
	} regions[] = {
		{ "gcp-us-east1", 33.1963, -80.0143, 2 },
		{ "gcp-us-west1", 45.5946, -121.1787, 1 },
		{ "gcp-europe-west1", 50.4482, 3.8189, 2 },
	};
	struct topology *t = topology_new();

	for (size_t i = 0; i < 3; i++) {
		uint16_t r = topology_add_region(t, regions[i].name);

		region_set_location(&t->regions[r], regions[i].lat, regions[i].lon);
		for (int k = 0; k < regions[i].nodes; k++) {
			struct node *n =
			    topology_add_node(t, regions[i].name, (uint16_t)(5432 + k), NULL);

			n->state = NODE_UP;
			n->role = ROLE_MULTI;
			n->sampled_at_us = NOW;
		}
	}
	t->self_region = EAST;
	return t;
}

static inline const struct route_row *
row_of(const struct route *r, uint16_t region)
{
	for (unsigned i = 0; i < r->nrows; i++)
		if (r->rows[i].region == region)
			return &r->rows[i];
	abort();
}

static inline struct route_input
input(const struct topology *t, const struct locality *l)
{
	return (struct route_input){ .topology = t,
				     .locality = l,
				     .sticky_region = -1,
				     .seed = 1,
				     .now_us = NOW,
				     .access = ACCESS_READ_WRITE };
}

static inline struct route
decide(const struct route_input *in)
{
	struct route r;

	memset(&r, 0xa5, sizeof(r));
	route_decide(in, &r);
	return r;
}

static inline struct route
decide_for(const struct topology *t, const struct locality *l)
{
	struct route_input in = input(t, l);

	return decide(&in);
}

/* The route as text: "0+nearest 2=farther 1-down | nodes 1 0 3". */
static inline const char *
told(const struct route *r)
{
	static const char *const reasons[] = { "named",     "self",     "nearest",  "farther",
					       "sticky",    "drained",  "down",     "no_role",
					       "lagging",   "failback", "full",     "not_served",
					       "residency", "suspect",  "no_nodes", "strict",
					       "serves",    "moved",    "last" };
	static char text[512];
	int n = 0;

	for (unsigned i = 0; i < r->nrows; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%d%c%s", i > 0 ? " " : "",
			      r->rows[i].region, "+=-"[r->rows[i].verdict],
			      reasons[r->rows[i].reason]);
	return text;
}

#endif
