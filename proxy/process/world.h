/* SPDX-License-Identifier: PostgreSQL
 *
 * The world: a configuration, topology, gazetteer, GeoIP databases and TLS contexts that belong
 * together, as one immutable, refcounted snapshot. Region indices of the topology are those of
 * config->regions (INV-14). The control thread publishes a new one by leaving it in each worker's
 * slot; a session keeps the world with which it began an attachment until it is attached.
 */
#ifndef PROXY_PROCESS_WORLD_H
#define PROXY_PROCESS_WORLD_H

#include "base/snapshot.h"
#include "proxy/config/config.h"
#include "routing/gazetteer.h"
#include "routing/geo.h"
#include "routing/topology.h"

struct dial_target;
struct fleet;
struct tlsset;

struct world {
	struct refcount refs;
	struct config *config;
	struct topology *topology;
	struct gazetteer *gazetteer; /* NULL: none */
	struct geo *geo;             /* NULL: no database */
	struct tlsset *tls;  /* contexts of the listeners and regions (proxy/net/tlsctx.h) */
	struct fleet *fleet; /* NULL: no peers; set by the maker of the world */
};

/* Takes one reference of each part; the gazetteer and `geo` may be NULL. */
struct world *world_new(struct config *take_config, struct topology *take_topology,
			struct gazetteer *take_gazetteer, struct geo *take_geo,
			struct tlsset *take_tls);
struct world *world_ref(struct world *w);
void world_unref(struct world *w); /* accepts NULL */
/* How a node of it is dialled. */
struct dial_target world_dial_target(const struct world *w, uint16_t node);
/* The address that clients of that region, or of that node's region, connect to; NULL: not
 * configured. */
const char *world_entry(const struct world *w, const char *place);

#endif
