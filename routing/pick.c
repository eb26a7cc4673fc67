/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/pick.h"

#include <stdlib.h>

#include "base/hot.h"

/* Within a region round trips are a matter of scheduling: less than this makes no node slow. */
#define RTT_NOISE_US 1000

/* A node under consideration; `order` is compared first: tier, then fit of the role, then whether
 * it has been seen up. */
struct runner {
	uint16_t node;
	uint8_t order, tier;
	double cost;
};

HOT bool
pick_is_panic(const struct topology *t, int64_t now_us)
{
	unsigned all = 0, alive = 0;

	for (unsigned i = 0; t->panic_pct > 0 && i < t->nnodes; i++) {
		const struct node *n = &t->nodes[i];

		if (n->drained || t->regions[n->region].drained)
			continue;
		all++;
		alive += node_usable(t, n, now_us);
	}
	return all > 0 && alive * 100 < all * t->panic_pct;
}

static int
connections(const struct node *n)
{
	unsigned ours = atomic_load_explicit(&n->live->sessions, memory_order_relaxed);

	return ours < INT32_MAX && (int)ours > n->used_connections ? (int)ours
								   : n->used_connections;
}

static bool
is_full(const struct node *n)
{
	return n->max_connections > 0 && connections(n) >= n->max_connections;
}

static uint64_t
mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Callers come home spread over a fifth of the delay, so that a region that has just healed is not
 * met by all of them at once. */
static bool
is_coming_back(const struct pick_wish *w, const struct node *n)
{
	int64_t delay = w->topology->failback_delay_us;

	if (n->up_since_us == 0 || delay <= 0)
		return false;
	delay += delay / 1000 * (int64_t)(mix(w->seed ^ n->live->id) % 201);
	return w->now_us - n->up_since_us < delay;
}

/* How willingly the node is used, and why not more willingly. The order of the questions is that of
 * how close the node is to being of use: the region's reason is the one of its closest node. */
static enum pick_tier
judge(const struct pick_wish *w, const struct node *n, enum route_reason *why)
{
	const struct topology *t = w->topology;
	enum node_state state = w->panic ? NODE_UP : node_state_at(t, n, w->now_us);
	bool writes = w->access == ACCESS_READ_WRITE || w->access == ACCESS_PRIMARY;
	bool fits = route_role_fits(n, w->access) && !(writes && node_fenced(t, n));
	bool lagging = t->max_lag_us > 0 && node_lag_us(n, w->now_us) > t->max_lag_us;
	const struct {
		bool applies;
		enum route_reason reason;
		enum pick_tier tier;
	} rules[] = {
		{ !fits, REASON_NO_ROLE, PICK_NONE },
		{ n->drained || t->regions[n->region].drained, REASON_DRAINED, PICK_NONE },
		{ state == NODE_DOWN && (lagging || !w->last_resort), REASON_DOWN, PICK_NONE },
		{ lagging, REASON_LAGGING, PICK_NONE },
		{ state == NODE_DOWN, REASON_LAST_RESORT, PICK_DOWN },
		{ state == NODE_SUSPECT, REASON_SUSPECT, PICK_SUSPECT },
		{ is_full(n), REASON_FULL, PICK_FULL },
		{ is_coming_back(w, n), REASON_FAILBACK, PICK_FAILBACK },
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (rules[i].applies) {
			*why = rules[i].reason;
			return rules[i].tier;
		}
	}
	*why = REASON_NEAREST;
	return PICK_READY;
}

/* 0 what was asked for, 1 may be, 2 will do. */
static unsigned
role_rank(const struct pick_wish *w, const struct node *n)
{
	if (w->access == ACCESS_PREFER_STANDBY)
		return n->role == ROLE_STANDBY ? 0 : n->role == ROLE_UNKNOWN ? 1 : 2;
	if (w->access == ACCESS_ANY)
		return node_fenced(w->topology, n) ? 2 : 0;
	return n->role == ROLE_UNKNOWN;
}

/* How far the reason of a node that will not do is from being of use; more is closer. */
static int
closeness(enum route_reason why)
{
	static const enum route_reason order[] = { REASON_NO_NODES, REASON_NO_ROLE, REASON_DRAINED,
						   REASON_DOWN, REASON_LAGGING };
	int i = (int)(sizeof(order) / sizeof(order[0])) - 1;

	while (i > 0 && order[i] != why)
		i--;
	return i;
}

static void
note_rtt(const struct node *n, int64_t *best_us)
{
	if (n->rtt_us > 0 && (*best_us < 0 || n->rtt_us < *best_us))
		*best_us = n->rtt_us;
}

/* Look at every node of the region, from a place that depends on the caller, so that in a region of
 * more than ROUTE_NODES_MAX nodes each gets its share. */
static unsigned
line_up(const struct pick_wish *w, const struct region *r, struct pick *out, struct runner *line)
{
	int64_t used = 0, limit = 0, any_rtt = -1;
	unsigned n = 0;

	for (unsigned i = 0; i < r->nnodes && n < ROUTE_NODES_MAX; i++) {
		unsigned at = r->nnodes > ROUTE_NODES_MAX ? (unsigned)(w->seed % r->nnodes) : 0;
		uint16_t index = (uint16_t)(r->first_node + (at + i) % r->nnodes);
		const struct node *node = &w->topology->nodes[index];
		enum route_reason why;
		enum pick_tier tier;

		if (!authority_has(w->authority, w->topology, node))
			continue;
		tier = judge(w, node, &why);
		note_rtt(node, &any_rtt);
		if (tier != PICK_NONE)
			note_rtt(node, &out->rtt_us);
		if (tier < out->tier || (tier == PICK_NONE && out->tier == PICK_NONE &&
					 closeness(why) > closeness(out->reason)))
			out->reason = why;
		if (tier < out->tier)
			out->tier = tier;
		if (tier == PICK_NONE)
			continue;
		if (node->max_connections > 0) {
			used += connections(node);
			limit += node->max_connections;
		}
		line[n++] = (struct runner){ .node = index,
					     .tier = (uint8_t)tier,
					     .order = (uint8_t)(tier * 8 + role_rank(w, node) * 2 +
								(node->state == NODE_UNKNOWN)) };
	}
	if (n == 0)
		out->rtt_us = any_rtt;
	out->load = limit > 0 ? (double)used / (double)limit : 0;
	return n;
}

static int
compare_order(const void *a, const void *b)
{
	const struct runner *x = a, *y = b;

	return x->order != y->order ? (x->order < y->order ? -1 : 1)
				    : (x->node > y->node) - (x->node < y->node);
}

/* The power of two choices, over and over: of two that the seed names, the less loaded goes first.
 */
static void
draw_lots(struct runner *group, unsigned n, uint64_t seed)
{
	for (; n > 1; group++, n--) {
		struct runner first = group[0];
		unsigned a, b;

		seed = mix(seed);
		a = (unsigned)(seed % n);
		b = (unsigned)((a + 1 + (seed >> 32) % (n - 1)) % n);
		if (group[b].cost < group[a].cost)
			a = b;
		group[0] = group[a];
		group[a] = first;
	}
}

HOT void
pick_region(const struct pick_wish *w, uint16_t region, struct pick *out)
{
	const struct region *r = &w->topology->regions[region];
	struct runner line[ROUTE_NODES_MAX];
	unsigned n, end;

	out->tier = PICK_NONE;
	out->reason = r->drained ? REASON_DRAINED : REASON_NO_NODES;
	out->rtt_us = -1;
	n = line_up(w, r, out, line);
	/* Sessions, weighed by how much slower the node is than the fastest of its region. */
	for (unsigned i = 0; i < n; i++) {
		const struct node *node = &w->topology->nodes[line[i].node];
		unsigned ours = atomic_load_explicit(&node->live->sessions, memory_order_relaxed);

		line[i].cost = (double)ours + 1;
		if (node->rtt_us > 0 && out->rtt_us > 0 && node->rtt_us > out->rtt_us)
			line[i].cost *= (double)(node->rtt_us + RTT_NOISE_US) /
					(double)(out->rtt_us + RTT_NOISE_US);
	}
	if (n > 1)
		qsort(line, n, sizeof(line[0]), compare_order);
	for (unsigned i = 0; i < n; i = end) {
		for (end = i + 1; end < n && line[end].order == line[i].order; end++)
			;
		draw_lots(&line[i], end - i, w->seed);
	}
	for (unsigned i = 0; i < n; i++) {
		out->nodes[i] = line[i].node;
		out->tiers[i] = line[i].tier;
	}
	out->n = (uint16_t)n;
}
