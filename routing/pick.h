/* SPDX-License-Identifier: PostgreSQL
 *
 * Inside one region: which nodes would do for a session, how willingly they are used, and in which
 * order they are tried. Knows nothing of distance between regions. Pure.
 */
#ifndef ROUTING_PICK_H
#define ROUTING_PICK_H

#include <stdbool.h>
#include <stdint.h>

#include "routing/route.h"
#include "routing/topology.h"

/* How willingly a node is used; everything below PICK_NONE is tried before the client is refused.
 */
enum pick_tier {
	PICK_READY,
	PICK_FAILBACK, /* up again, but not yet for failback_delay */
	PICK_FULL,     /* at its connection limit when last seen */
	PICK_SUSPECT,
	PICK_DOWN, /* where pick_wish.last_resort */
	PICK_NONE,
};

struct pick_wish {
	const struct topology *topology;
	enum access access;
	uint64_t seed;
	int64_t now_us;
	bool panic;                        /* pick_is_panic(): health is ignored */
	const struct authority *authority; /* may name the one node; or NULL */
	bool last_resort;                  /* nothing but what is down is left */
};

struct pick {
	enum pick_tier tier;      /* of the best node */
	enum route_reason reason; /* why not PICK_READY; nothing where it is */
	int64_t rtt_us;           /* best round trip of what would do, else of any; -1 unknown */
	double load;
	uint16_t n;
	uint16_t nodes[ROUTE_NODES_MAX]; /* in the order to try */
	uint8_t tiers[ROUTE_NODES_MAX];  /* enum pick_tier of each */
};

/* Fewer than panic_pct of the nodes that are not drained answer: rather the prober is broken than
 * they are. */
bool pick_is_panic(const struct topology *t, int64_t now_us);
void pick_region(const struct pick_wish *w, uint16_t region, struct pick *out);

#endif
