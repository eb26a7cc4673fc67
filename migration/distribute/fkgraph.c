/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/fkgraph.h"

#include <stdlib.h>

#include "base/mem.h"

/* Kahn's algorithm as it stands. */
struct walk {
	struct fkgraph *g;
	size_t first;
	size_t *waits; /* per node: edges to nodes that are not in the order yet */
	bool *is_placed;
	size_t *seen; /* the step of the climb that met the node, 0: none */
};

static bool
edge_holds(const struct walk *w, const struct fkgraph_edge *e)
{
	return !e->is_cut && e->from != e->to && !w->is_placed[e->to];
}

/* Places what is ready now, level by level: what becomes ready by it comes behind it. */
static size_t
place_ready(struct walk *w, size_t *order, size_t n)
{
	size_t from = n;

	for (size_t i = 0; i < w->g->nodes; i++)
		if (!w->is_placed[i] && w->waits[i] == 0)
			order[n++] = i;
	for (size_t i = from; i < n; i++) {
		for (size_t k = 0; k < w->g->nedges; k++) {
			const struct fkgraph_edge *e = &w->g->edges[k];

			if (e->to == order[i] && edge_holds(w, e))
				w->waits[e->from]--;
		}
		w->is_placed[order[i]] = true;
	}
	return n;
}

static size_t
parent_of(const struct walk *w, size_t node)
{
	for (size_t i = 0; i < w->g->nedges; i++)
		if (w->g->edges[i].from == node && edge_holds(w, &w->g->edges[i]))
			return w->g->edges[i].to;
	return node;
}

/* Of the nodes on the circle: `first`, else the one that waits for the fewest. */
static size_t
weakest(const struct walk *w, size_t entry)
{
	size_t best = entry;

	for (size_t i = 0; i < w->g->nodes; i++) {
		if (w->seen[i] < w->seen[entry] || w->is_placed[i])
			continue;
		if (i == w->first)
			return i;
		if (w->waits[i] < w->waits[best] || (w->waits[i] == w->waits[best] && i < best))
			best = i;
	}
	return best;
}

static void
cut_circle(struct walk *w)
{
	size_t start = w->first < w->g->nodes && !w->is_placed[w->first] ? w->first : 0;
	size_t node, to, step = 0;

	while (w->is_placed[start])
		start++;
	/* Every node that waits has a parent that waits: climbing comes round to a circle, whose
	 * nodes have a number in w->seen from that of `node` on. */
	for (size_t i = 0; i < w->g->nodes; i++)
		w->seen[i] = 0;
	for (node = start; w->seen[node] == 0; node = parent_of(w, node))
		w->seen[node] = ++step;
	node = weakest(w, node);
	to = parent_of(w, node);
	for (size_t i = 0; i < w->g->nedges; i++) {
		struct fkgraph_edge *e = &w->g->edges[i];

		if (e->from == node && e->to == to && edge_holds(w, e)) {
			e->is_cut = true;
			w->waits[node]--;
		}
	}
}

void
fkgraph_order(struct fkgraph *g, size_t first, size_t *order)
{
	struct walk w = { .g = g, .first = first };
	size_t n = 0;

	w.waits = xcalloc(g->nodes + 1, sizeof(*w.waits));
	w.seen = xcalloc(g->nodes + 1, sizeof(*w.seen));
	w.is_placed = xcalloc(g->nodes + 1, sizeof(*w.is_placed));
	for (size_t i = 0; i < w.g->nedges; i++)
		if (edge_holds(&w, &w.g->edges[i]))
			w.waits[w.g->edges[i].from]++;
	while (n < g->nodes) {
		size_t more = place_ready(&w, order, n);

		if (more == n)
			cut_circle(&w);
		n = more;
	}
	free(w.waits);
	free(w.seen);
	free(w.is_placed);
}
