/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/route.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hot.h"
#include "routing/pick.h"

#define EARTH_RADIUS_KM 6371.0
/* What a millisecond of round trip is worth; light in fibre and detours: 1.0 to 1.8 ms per 100 km.
 */
#define KM_PER_MS 60.0
/* A region whose connections are all taken counts as this much farther away. */
#define LOAD_KM 100.0
/* The region of last time is left only for one that is better by both. */
#define SWITCH_RATIO 0.8
#define SWITCH_KM    150.0

/* A region while it is being ranked. */
struct entry {
	struct route_row row;
	const char *name;
	enum pick_tier tier; /* PICK_NONE: rejected */
	bool named, served;
	bool has_base; /* whether the configured kind of nearness is known */
	double base;   /* km-equivalents */
	unsigned turn; /* configuration order, counted from the proxy's own region */
};

const char *const access_words[] = {
	[ACCESS_ANY] = "any",
	[ACCESS_READ_WRITE] = "read-write",
	[ACCESS_READ_ONLY] = "read-only",
	[ACCESS_PRIMARY] = "primary",
	[ACCESS_STANDBY] = "standby",
	[ACCESS_PREFER_STANDBY] = "prefer-standby",
	[ACCESS_PREFER_STANDBY + 1] = NULL,
};
const char *const nearest_words[] = { "caller", "proxy", "blend", NULL };

const char *
route_verdict_name(enum route_verdict v)
{
	static const char *const names[] = { "chosen", "standby", "rejected" };

	return names[v];
}

const char *
route_outcome_name(enum route_outcome o)
{
	static const char *const names[] = { "nearest", "kept", "spilled", "none" };

	return names[o];
}

HOT enum route_outcome
route_outcome(const struct route_home *h, uint16_t region)
{
	if (region == h->nearest)
		return ROUTE_NEAREST;
	return region == h->kept ? ROUTE_KEPT : ROUTE_SPILLED;
}

double
route_distance_km(const double a[3], const double b[3])
{
	double dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

	return EARTH_RADIUS_KM * acos(fmax(-1, fmin(1, dot)));
}

HOT bool
route_role_fits(const struct node *n, enum access want)
{
	bool standby = n->role == ROLE_STANDBY;

	if (n->role == ROLE_UNKNOWN)
		return true;
	switch (want) {
	case ACCESS_READ_WRITE:
		return !standby && !n->read_only;
	case ACCESS_READ_ONLY:
		return standby || n->read_only;
	case ACCESS_PRIMARY:
		return !standby;
	case ACCESS_STANDBY:
		return standby;
	case ACCESS_ANY:
	case ACCESS_PREFER_STANDBY:
		return true;
	}
	return true;
}

/* The point that distances are measured from: the caller's, else that of the region it named. */
static const double *
origin_of(const struct route_input *in, struct region *scratch)
{
	const struct locality *l = in->locality;
	const struct topology *t = in->topology;

	if (l->has_location) {
		region_set_location(scratch, l->lat, l->lon);
		return scratch->unit;
	}
	if (l->region >= 0 && l->region < t->nregions && t->regions[l->region].has_location)
		return t->regions[l->region].unit;
	return NULL;
}

/* Nearness to this proxy: measured, else from where it stands. */
static bool
from_proxy(const struct topology *t, const struct region *r, int64_t rtt_us, double *km)
{
	const struct region *self = t->self_region >= 0 ? &t->regions[t->self_region] : NULL;

	if (rtt_us > 0)
		*km = (double)rtt_us / 1000 * KM_PER_MS;
	else if (self != NULL && self->has_location && r->has_location)
		*km = route_distance_km(self->unit, r->unit);
	else
		return false;
	return true;
}

double
route_biased_km(double km, int bias)
{
	return bias >= 0 ? km * (1 - bias / 100.0) : km / (1 + bias / 100.0);
}

static bool
is_served(const struct route_input *in, uint16_t region)
{
	if (in->served == NULL)
		return true;
	for (size_t i = 0; i < in->nserved; i++)
		if (in->served[i] == region)
			return true;
	return false;
}

/* Distances are to a caller; where one is unknown, those of this proxy count, and they are
 * measured. */
static bool
is_unknown(const struct locality *l)
{
	return l->source == SOURCE_SELF;
}

static void
fill_entry(const struct route_input *in, const double *origin, const struct pick *p,
	   struct entry *e)
{
	const struct topology *t = in->topology;
	const struct region *r = &t->regions[e->row.region];
	unsigned self = t->self_region >= 0 ? (unsigned)t->self_region : 0;
	bool has_origin = origin != NULL && !is_unknown(in->locality);
	bool has_distance, has_proxy = false;
	double km, proxy_km = 0;

	e->name = r->name;
	e->turn = (e->row.region + t->nregions - self) % t->nregions;
	e->named = in->locality->region == e->row.region;
	e->served = is_served(in, e->row.region);
	e->tier = p->tier;
	e->row.reason = p->reason;
	e->row.node = p->n > 0 ? p->nodes[0] : -1;
	e->row.rtt_us = p->rtt_us;
	e->row.load = p->load;
	e->row.lag_us = e->row.node >= 0 ? node_lag_us(&t->nodes[e->row.node], in->now_us) : -1;
	e->row.distance_km =
	    origin != NULL && r->has_location ? route_distance_km(origin, r->unit) : -1;
	has_distance = has_origin && in->nearest != NEAREST_PROXY && e->row.distance_km >= 0;
	if (!has_origin || in->nearest != NEAREST_CALLER)
		has_proxy = from_proxy(t, r, e->row.rtt_us, &proxy_km);
	if (has_distance && has_proxy)
		km = in->blend * e->row.distance_km + (1 - in->blend) * proxy_km;
	else
		km = has_distance ? e->row.distance_km : proxy_km;
	e->has_base = has_distance || has_proxy;
	if (e->has_base)
		e->base = route_biased_km(km, r->bias) + LOAD_KM * fmin(1, e->row.load);
}

/* Nearness alone: what was named, then by score, then by round trip, then by configuration order.
 * Equal scores are settled by name, so that every proxy of a fleet settles them alike. */
static int
compare_nearness(const struct entry *a, const struct entry *b)
{
	if (a->named != b->named)
		return a->named ? -1 : 1;
	if (a->has_base != b->has_base)
		return a->has_base ? -1 : 1;
	if (a->has_base && a->base != b->base)
		return a->base < b->base ? -1 : 1;
	if (a->has_base)
		return strcmp(a->name, b->name);
	if ((a->row.rtt_us >= 0) != (b->row.rtt_us >= 0))
		return a->row.rtt_us >= 0 ? -1 : 1;
	if (a->row.rtt_us != b->row.rtt_us)
		return a->row.rtt_us < b->row.rtt_us ? -1 : 1;
	return (a->turn > b->turn) - (a->turn < b->turn);
}

static int
compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->tier != y->tier)
		return x->tier < y->tier ? -1 : 1;
	return compare_nearness(x, y);
}

static void
reject(struct entry *e, enum route_reason why)
{
	e->tier = PICK_NONE;
	e->row.reason = why;
}

static bool
lists_country(const struct region *r, const char *country)
{
	return country[0] != '\0' && strlist_has(&r->countries, country);
}

/* Under residency = strict a session stays in the regions that list the caller's country; where
 * none does, in the nearest one. What was named by a source that counts is allowed. */
static bool
may_reside(const struct route_input *in, const struct entry *e, const struct entry *nearest,
	   bool listed)
{
	const struct region *r = &in->topology->regions[e->row.region];

	if (e->named || !in->residency_strict)
		return true;
	return listed ? lists_country(r, in->locality->country) : e == nearest;
}

/* Turn away what rules forbid, whatever its health. */
static void
apply_rules(const struct route_input *in, struct entry *v, unsigned n)
{
	const struct entry *nearest = NULL;
	bool listed = false;

	if (in->authority != NULL) {
		/* The data are in one place alone: no rule sends a session elsewhere, or keeps one
		 * away. */
		for (unsigned i = 0; i < n; i++) {
			v[i].served = v[i].row.region == in->authority->region;
			v[i].row.serves = in->authority->region;
			if (!v[i].served)
				reject(&v[i], REASON_MOVED);
		}
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		if (!v[i].served)
			continue;
		if (nearest == NULL || compare_nearness(&v[i], nearest) < 0)
			nearest = &v[i];
		listed = listed || lists_country(&in->topology->regions[v[i].row.region],
						 in->locality->country);
	}
	for (unsigned i = 0; i < n; i++) {
		if (!v[i].served)
			reject(&v[i], REASON_NOT_SERVED);
		else if (!may_reside(in, &v[i], nearest, listed))
			reject(&v[i], REASON_RESIDENCY);
		else if (&v[i] != nearest && in->topology->regions[nearest->row.region].strict)
			reject(&v[i], REASON_STRICT);
	}
}

/* Where the session belonged if every region that may serve it could take it now; -1: none may. */
static int
home_of(const struct entry *v, unsigned n)
{
	const uint32_t never = 1u << REASON_NOT_SERVED | 1u << REASON_RESIDENCY |
			       1u << REASON_STRICT | 1u << REASON_NO_ROLE | 1u << REASON_NO_NODES |
			       1u << REASON_MOVED;
	const struct entry *home = NULL;

	for (unsigned i = 0; i < n; i++) {
		if (v[i].tier == PICK_NONE && (never >> v[i].row.reason & 1) != 0)
			continue;
		if (home == NULL || compare_nearness(&v[i], home) < 0)
			home = &v[i];
	}
	return home != NULL ? home->row.region : -1;
}

/* Whether the best region is so much better that callers leave the one they had. */
static bool
is_worth_a_switch(const struct entry *best, const struct entry *had)
{
	if (!best->has_base || !had->has_base)
		return best->has_base;
	return best->base < had->base * SWITCH_RATIO && had->base - best->base > SWITCH_KM;
}

/* Hysteresis: the region of last time goes to the front where leaving it gains little. */
static bool
keep_sticky(const struct route_input *in, struct entry *v, unsigned n)
{
	unsigned at = 0;

	while (at < n && v[at].row.region != in->sticky_region)
		at++;
	if (in->sticky_region < 0 || at == 0 || at == n || v[at].tier != PICK_READY || v[0].named ||
	    is_worth_a_switch(&v[0], &v[at]))
		return false;
	struct entry had = v[at];

	memmove(&v[1], &v[0], at * sizeof(v[0]));
	v[0] = had;
	return true;
}

/* What has been ranked becomes rows. */
static void
conclude(const struct route_input *in, const struct entry *v, unsigned n, bool sticky,
	 struct route *out)
{
	enum route_reason named = is_unknown(in->locality) ? REASON_SELF : REASON_NAMED;

	for (unsigned i = 0; i < n; i++) {
		struct route_row *row = &out->rows[i];
		bool usable = v[i].tier != PICK_NONE;

		*row = v[i].row;
		row->verdict = !usable  ? VERDICT_REJECTED
			       : i == 0 ? VERDICT_CHOSEN
					: VERDICT_STANDBY;
		row->score = usable && v[i].has_base ? v[i].base : -1;
		if (!usable)
			row->node = -1;
		if (v[i].tier != PICK_READY)
			continue;
		if (i == 0)
			row->reason = in->authority != NULL ? REASON_SERVES
				      : v[i].named          ? named
				      : sticky              ? REASON_STICKY
							    : REASON_NEAREST;
		else
			row->reason = sticky && i == 1 ? REASON_NEAREST : REASON_FARTHER;
	}
	out->nrows = (uint16_t)n;
}

/* Nodes whose tier is within [from, to], region by region. */
static HOT void
add_nodes(const struct pick_wish *w, enum pick_tier from, enum pick_tier to, struct route *out)
{
	for (unsigned i = 0; i < out->nrows; i++) {
		struct pick p;

		if (out->rows[i].verdict == VERDICT_REJECTED)
			return;
		pick_region(w, out->rows[i].region, &p);
		for (unsigned j = 0; j < p.n; j++)
			if (p.tiers[j] >= from && p.tiers[j] <= to && out->nnodes < ROUTE_NODES_MAX)
				out->nodes[out->nnodes++] = p.nodes[j];
	}
}

/* Nothing is left but regions that may serve the session and whose nodes have not answered probes:
 * the prober may be wrong, or late. They stay rejected, and are tried in their order. */
static void
add_last_resort(struct pick_wish *w, struct route *out)
{
	w->last_resort = true;
	for (unsigned i = 0; i < out->nrows; i++) {
		struct pick p;

		if (out->rows[i].reason != REASON_DOWN)
			continue;
		pick_region(w, out->rows[i].region, &p);
		for (unsigned j = 0; j < p.n && out->nnodes < ROUTE_NODES_MAX; j++)
			out->nodes[out->nnodes++] = p.nodes[j];
		if (p.n > 0)
			out->rows[i].reason = REASON_LAST_RESORT;
	}
}

HOT void
route_decide(const struct route_input *in, struct route *out)
{
	const struct topology *t = in->topology;
	unsigned n = t->nregions < ROUTE_REGIONS_MAX ? t->nregions : ROUTE_REGIONS_MAX;
	struct pick_wish w = { .topology = t,
			       .access = in->access,
			       .seed = in->seed,
			       .now_us = in->now_us,
			       .panic = pick_is_panic(t, in->now_us),
			       .authority = in->authority };
	struct entry v[ROUTE_REGIONS_MAX];
	struct region scratch;
	const double *origin = origin_of(in, &scratch);
	bool sticky;

	for (unsigned i = 0; i < n; i++) {
		struct pick p;

		pick_region(&w, (uint16_t)i, &p);
		v[i] = (struct entry){ .row = { .region = (uint16_t)i } };
		fill_entry(in, origin, &p, &v[i]);
	}
	apply_rules(in, v, n);
	out->home.nearest = home_of(v, n);
	if (n > 1)
		qsort(v, n, sizeof(v[0]), compare_entries);
	sticky = keep_sticky(in, v, n);
	conclude(in, v, n, sticky, out);
	out->home.kept = sticky ? v[0].row.region : -1;
	out->nnodes = 0;
	add_nodes(&w, PICK_READY, PICK_FAILBACK, out);
	add_nodes(&w, PICK_FULL, PICK_FULL, out);
	add_nodes(&w, PICK_SUSPECT, PICK_SUSPECT, out);
	if (out->nnodes == 0 && in->last_resort)
		add_last_resort(&w, out);
}

/* Names the first node of the region that is down, where not all are. */
static void
down_text(const struct topology *t, const struct route_row *row, int64_t now_us, char *to,
	  size_t size)
{
	const struct region *r = &t->regions[row->region];
	const char *then = row->reason == REASON_LAST_RESORT ? "; tried as a last resort" : "";
	const char *why = "";
	const struct node *first = NULL;
	bool all = true;

	for (unsigned i = 0; i < r->nnodes; i++) {
		const struct node *n = &t->nodes[r->first_node + i];

		if (node_state_at(t, n, now_us) != NODE_DOWN)
			all = false;
		else if (first == NULL)
			first = n;
	}
	if (first != NULL)
		why = first->reason;
	if (all || first == NULL)
		snprintf(to, size, "all nodes down%s%s%s", why[0] != '\0' ? ": " : "", why, then);
	else
		snprintf(to, size, "node %s is down%s%s%s", first->name, why[0] != '\0' ? ": " : "",
			 why, then);
}

static const char *
nearest_text(const struct route_row *row)
{
	if (row->verdict == VERDICT_STANDBY)
		return "nearer, but not by enough to leave the region of last time";
	if (row->score < 0 && row->rtt_us > 0)
		return "nothing is known of distances: the shortest round trip";
	if (row->score < 0)
		return "nothing is known of distances: first in order of configuration";
	return "nearest";
}

void
route_reason_text(const struct topology *t, const struct route_row *row, int64_t now_us, char *to,
		  size_t size)
{
	static const char *const texts[] = {
		[REASON_NAMED] = "named by the caller or the operator",
		[REASON_SELF] = "the caller's place is unknown: this proxy's own region",
		[REASON_FARTHER] = "usable, but farther",
		[REASON_STICKY] = "the region of last time; no other is better by enough",
		[REASON_NO_ROLE] = "no node with the wanted access",
		[REASON_LAGGING] = "its standbys lag behind by more than max_lag",
		[REASON_FAILBACK] = "up again, but failback_delay has not passed",
		[REASON_FULL] = "every node is at its connection limit",
		[REASON_NOT_SERVED] = "the database is not served here",
		[REASON_RESIDENCY] = "residency = strict forbids it",
		[REASON_SUSPECT] = "only suspect nodes: last resort",
		[REASON_NO_NODES] = "no nodes",
		[REASON_STRICT] = "the nearest region is strict: it does not spill over",
		[REASON_SERVES] = "the database is served here, and nowhere else",
	};

	if (row->reason == REASON_DOWN || row->reason == REASON_LAST_RESORT)
		down_text(t, row, now_us, to, size);
	else if (row->reason == REASON_DRAINED)
		snprintf(to, size, "%s",
			 t->regions[row->region].drained ? "region drained" : "nodes drained");
	else if (row->reason == REASON_MOVED)
		snprintf(to, size, "the database has moved to %s",
			 row->serves >= 0 ? t->regions[row->serves].name
					  : "a place that is not configured here");
	else if (row->reason == REASON_NEAREST)
		snprintf(to, size, "%s", nearest_text(row));
	else
		snprintf(to, size, "%s", texts[row->reason]);
}
