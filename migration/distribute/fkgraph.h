/* SPDX-License-Identifier: PostgreSQL
 *
 * The order in which tables can be done when each must come after those it refers to (Kahn's
 * algorithm, nodes that are ready at the same time by their number), and which references have to
 * be cut where they run in a circle. Knows numbers only: what a node is, is the caller's matter.
 * A reference of a node to itself is no obstacle.
 */
#ifndef MIGRATION_DISTRIBUTE_FKGRAPH_H
#define MIGRATION_DISTRIBUTE_FKGRAPH_H

#include <stdbool.h>
#include <stddef.h>

struct fkgraph_edge {
	size_t from, to; /* the table with the key, the table it refers to */
	bool is_cut;     /* out: it closed a circle */
};

struct fkgraph {
	size_t nodes;
	struct fkgraph_edge *edges;
	size_t nedges;
};

/* order[]: every node once. first: the node whose references are cut first, where it is on a
 * circle (nodes: none). */
void fkgraph_order(struct fkgraph *g, size_t first, size_t *order);

#endif
