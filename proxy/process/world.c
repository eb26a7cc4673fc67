/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/process/world.h"

#include <stdlib.h>

#include "base/hot.h"
#include "base/mem.h"
#include "proxy/net/dial.h"
#include "proxy/net/tlsctx.h"
#include "proxy/process/fleet.h"

struct world *
world_new(struct config *take_config, struct topology *take_topology,
	  struct gazetteer *take_gazetteer, struct geo *take_geo, struct tlsset *take_tls)
{
	struct world *w = xcalloc(1, sizeof(*w));

	refcount_init(&w->refs);
	w->config = take_config;
	w->topology = take_topology;
	w->gazetteer = take_gazetteer;
	w->geo = take_geo;
	w->tls = take_tls;
	return w;
}

HOT struct world *
world_ref(struct world *w)
{
	refcount_get(&w->refs);
	return w;
}

HOT void
world_unref(struct world *w)
{
	if (w == NULL || !refcount_put(&w->refs))
		return;
	config_unref(w->config);
	topology_unref(w->topology);
	gazetteer_unref(w->gazetteer);
	geo_unref(w->geo);
	tlsset_unref(w->tls);
	fleet_unref(w->fleet);
	free(w);
}

const char *
world_entry(const struct world *w, const char *place)
{
	const struct node *n = topology_node_by_name(w->topology, slice_str(place));
	int region = n != NULL ? n->region : topology_region_by_name(w->topology, slice_str(place));

	return region >= 0 ? w->config->regions[region].entry : NULL;
}

HOT struct dial_target
world_dial_target(const struct world *w, uint16_t node)
{
	const struct node *n = &w->topology->nodes[node];

	return (struct dial_target){ .node = n,
				     .conf = &w->config->main,
				     .ctx = tlsset_region(w->tls, n->region),
				     .sslmode = w->config->regions[n->region].sslmode,
				     .terms = tlsset_terms(w->tls, n->region) };
}
