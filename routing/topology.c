/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/topology.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/hot.h"
#include "base/text.h"
#include "routing/places.h"
#include "routing/route.h"

struct node_live *
node_live_new(uint32_t id, const char *region, const char *name)
{
	struct node_live *l = xcalloc(1, sizeof(*l));

	refcount_init(&l->refs);
	l->id = id;
	l->region = xstrdup(region);
	l->name = xstrdup(name);
	return l;
}

HOT struct node_live *
node_live_ref(struct node_live *l)
{
	refcount_get(&l->refs);
	return l;
}

HOT void
node_live_unref(struct node_live *l)
{
	if (l == NULL || !refcount_put(&l->refs))
		return;
	free(l->region);
	free(l->name);
	free(l);
}

struct topology *
topology_new(void)
{
	struct topology *t = xcalloc(1, sizeof(*t));

	refcount_init(&t->refs);
	t->self_region = -1;
	return t;
}

REFCOUNT_REF(topology_ref, struct topology)

void
topology_clear_authorities(struct topology *t)
{
	for (unsigned i = 0; i < t->nauthorities; i++) {
		free(t->authorities[i].database);
		free(t->authorities[i].place);
		free(t->authorities[i].dbname);
	}
	t->nauthorities = 0;
}

void
topology_unref(struct topology *t)
{
	if (t == NULL || !refcount_put(&t->refs))
		return;
	for (unsigned i = 0; i < t->nregions; i++) {
		struct region *r = &t->regions[i];

		free(r->name);
		strlist_fini(&r->cities);
		strlist_fini(&r->countries);
		cidrlist_fini(&r->networks);
		strlist_fini(&r->endpoints);
	}
	for (unsigned i = 0; i < t->nnodes; i++) {
		free(t->nodes[i].name);
		free(t->nodes[i].host);
		free(t->nodes[i].origin);
		node_live_unref(t->nodes[i].live);
	}
	for (unsigned i = 0; i < t->noverrides; i++)
		free(t->overrides[i].value);
	topology_clear_authorities(t);
	free(t->regions);
	free(t->nodes);
	free(t->overrides);
	free(t->authorities);
	roster_unref(t->roster);
	free(t);
}

uint16_t
topology_add_region(struct topology *t, const char *name)
{
	struct region *r;

	BUG_ON(t->nregions == UINT16_MAX);
	t->regions = xreallocarray(t->regions, t->nregions + 1U, sizeof(*t->regions));
	r = &t->regions[t->nregions];
	*r = (struct region){ .name = xstrdup(name), .first_node = t->nnodes };
	return t->nregions++;
}

void
region_set_location(struct region *r, double lat, double lon)
{
	double phi = lat * M_PI / 180, lambda = lon * M_PI / 180;

	r->has_location = true;
	r->lat = lat;
	r->lon = lon;
	r->unit[0] = cos(phi) * cos(lambda);
	r->unit[1] = cos(phi) * sin(lambda);
	r->unit[2] = sin(phi);
}

char *
node_name_host(const char *name, uint16_t *port)
{
	struct slice host = slice_str(name);
	const char *colon = memrchr(host.p, ':', host.n);
	int64_t number = 5432;

	if (colon != NULL && text_to_int(slice_str(colon + 1), 1, 65535, &number))
		host.n = (size_t)(colon - host.p);
	if (host.n > 2 && host.p[0] == '[')
		host = slice_of(host.p + 1, host.n - 2);
	*port = (uint16_t)number;
	return xstrndup(host.p, host.n);
}

/* "[::1]" is stored without its brackets, and named with them. */
static char *
bare_host(const char *host)
{
	size_t len = strlen(host);

	if (len >= 2 && host[0] == '[' && host[len - 1] == ']')
		return xstrndup(host + 1, len - 2);
	return xstrdup(host);
}

char *
node_name_of(const char *host, uint16_t port)
{
	char *bare = bare_host(host);
	bool is_v6 = bare[0] != '/' && strchr(bare, ':') != NULL;
	char *name = xasprintf(is_v6 ? "[%s]:%u" : "%s:%u", bare, (unsigned)port);

	free(bare);
	return name;
}

struct node *
topology_add_node(struct topology *t, const char *host, uint16_t port, struct node_live *live)
{
	struct node *n;

	BUG_ON(t->nregions == 0 || t->nnodes == UINT16_MAX);
	t->nodes = xreallocarray(t->nodes, t->nnodes + 1U, sizeof(*t->nodes));
	n = &t->nodes[t->nnodes];
	*n = (struct node){ .region = (uint16_t)(t->nregions - 1), .lag_us = -1, .lag_bytes = -1 };
	n->host = bare_host(host);
	n->name = node_name_of(host, port);
	n->port = port;
	n->live = live != NULL ? node_live_ref(live)
			       : node_live_new(t->nnodes + 1U, t->regions[n->region].name, n->name);
	t->nnodes++;
	t->regions[n->region].nnodes++;
	return n;
}

void
topology_add_override(struct topology *t, enum override_kind kind, const char *value,
		      uint16_t region, int64_t until_us)
{
	struct override *o;

	t->overrides = xreallocarray(t->overrides, t->noverrides + 1U, sizeof(*t->overrides));
	o = &t->overrides[t->noverrides++];
	*o = (struct override){
		.kind = kind, .value = xstrdup(value), .region = region, .until_us = until_us
	};
	if (kind == OVERRIDE_NETWORK)
		(void)!cidr_parse(slice_str(value), &o->net);
}

void
topology_add_authority(struct topology *t, const char *database, const char *place,
		       const char *dbname, int64_t epoch)
{
	const struct node *n = topology_node_by_name(t, slice_str(place));
	struct authority *a;

	t->authorities =
	    xreallocarray(t->authorities, t->nauthorities + 1U, sizeof(*t->authorities));
	a = &t->authorities[t->nauthorities++];
	*a = (struct authority){
		.database = xstrdup(database),
		.place = xstrdup(place),
		.dbname = dbname != NULL ? xstrdup(dbname) : NULL,
		.node = n != NULL ? (int)(n - t->nodes) : -1,
		.epoch = epoch,
	};
	a->region = n != NULL ? n->region : topology_region_by_name(t, slice_str(place));
}

const struct authority *
topology_authority(const struct topology *t, struct slice database)
{
	for (unsigned i = 0; i < t->nauthorities; i++)
		if (slice_is(database, t->authorities[i].database))
			return &t->authorities[i];
	return NULL;
}

HOT bool
authority_has(const struct authority *a, const struct topology *t, const struct node *n)
{
	if (a == NULL)
		return true;
	return a->node >= 0 ? n == &t->nodes[a->node] : n->region == a->region;
}

int
topology_region_by_name(const struct topology *t, struct slice name)
{
	struct slice bare = places_strip_provider(name);
	int loose = -1;

	for (int i = 0; i < t->nregions; i++) {
		struct slice own = slice_str(t->regions[i].name);

		if (slice_same_nocase(own, name))
			return i;
		if (loose < 0 && slice_same_nocase(places_strip_provider(own), bare))
			loose = i;
	}
	return loose;
}

int
topology_region_near(const struct topology *t, const char *name)
{
	int nearest = topology_region_by_name(t, slice_str(name));
	struct region here = { 0 };
	double lat, lon, best = -1;

	if (nearest >= 0 || !places_region(slice_str(name), &lat, &lon))
		return nearest;
	region_set_location(&here, lat, lon);
	for (unsigned i = 0; i < t->nregions; i++) {
		double km = route_distance_km(here.unit, t->regions[i].unit);

		if (t->regions[i].has_location && (best < 0 || km < best)) {
			best = km;
			nearest = (int)i;
		}
	}
	return nearest;
}

const struct node *
topology_node_by_name(const struct topology *t, struct slice name)
{
	for (unsigned i = 0; i < t->nnodes; i++)
		if (slice_same_nocase(slice_str(t->nodes[i].name), name))
			return &t->nodes[i];
	return NULL;
}

HOT const struct node *
topology_node_by_live(const struct topology *t, const struct node_live *live)
{
	for (unsigned i = 0; i < t->nnodes; i++)
		if (t->nodes[i].live->id == live->id)
			return &t->nodes[i];
	return NULL;
}

struct topology *
topology_dup(const struct topology *t)
{
	struct topology *d = xcalloc(1, sizeof(*d));

	*d = *t;
	refcount_init(&d->refs);
	if (t->roster != NULL)
		d->roster = roster_ref(t->roster);
	d->regions = xreallocarray(NULL, t->nregions + 1U, sizeof(*d->regions));
	d->nodes = xreallocarray(NULL, t->nnodes + 1U, sizeof(*d->nodes));
	d->overrides = xreallocarray(NULL, t->noverrides + 1U, sizeof(*d->overrides));
	d->authorities = xreallocarray(NULL, t->nauthorities + 1U, sizeof(*d->authorities));
	for (unsigned i = 0; i < t->nauthorities; i++) {
		const struct authority *from = &t->authorities[i];
		struct authority *to = &d->authorities[i];

		*to = *from;
		to->database = xstrdup(from->database);
		to->place = xstrdup(from->place);
		to->dbname = from->dbname != NULL ? xstrdup(from->dbname) : NULL;
	}
	for (unsigned i = 0; i < t->nregions; i++) {
		const struct region *from = &t->regions[i];
		struct region *to = &d->regions[i];

		*to = *from;
		to->name = xstrdup(from->name);
		to->cities = to->countries = to->endpoints = (struct strlist){ 0 };
		strlist_copy(&to->cities, &from->cities);
		strlist_copy(&to->countries, &from->countries);
		cidrlist_copy(&to->networks, &from->networks);
		strlist_copy(&to->endpoints, &from->endpoints);
	}
	for (unsigned i = 0; i < t->nnodes; i++) {
		d->nodes[i] = t->nodes[i];
		d->nodes[i].name = xstrdup(t->nodes[i].name);
		d->nodes[i].host = xstrdup(t->nodes[i].host);
		if (t->nodes[i].origin != NULL)
			d->nodes[i].origin = xstrdup(t->nodes[i].origin);
		d->nodes[i].live = node_live_ref(t->nodes[i].live);
	}
	for (unsigned i = 0; i < t->noverrides; i++) {
		d->overrides[i] = t->overrides[i];
		d->overrides[i].value = xstrdup(t->overrides[i].value);
	}
	return d;
}

HOT int64_t
node_lag_us(const struct node *n, int64_t now_us)
{
	int64_t age = now_us - n->sampled_at_us;

	if (n->role != ROLE_STANDBY)
		return n->role == ROLE_UNKNOWN ? -1 : 0;
	if (n->lag_us < 0 || n->sampled_at_us == 0)
		return -1;
	return n->lag_us + (age > 0 ? age : 0);
}

HOT enum node_state
node_state_at(const struct topology *t, const struct node *n, int64_t now_us)
{
	bool stale = t->stale_after_us > 0 && n->sampled_at_us != 0 &&
		     now_us - n->sampled_at_us > t->stale_after_us;

	return n->state == NODE_UP && stale ? NODE_SUSPECT : n->state;
}

bool
node_usable(const struct topology *t, const struct node *n, int64_t now_us)
{
	return !n->drained && !t->regions[n->region].drained &&
	       node_state_at(t, n, now_us) != NODE_DOWN;
}

bool
region_usable(const struct topology *t, uint16_t region, int64_t now_us)
{
	const struct region *r = &t->regions[region];

	for (unsigned i = 0; i < r->nnodes; i++)
		if (node_usable(t, &t->nodes[r->first_node + i], now_us))
			return true;
	return false;
}

HOT bool
node_fenced(const struct topology *t, const struct node *n)
{
	if (n->role != ROLE_PRIMARY || n->system_id == 0 || n->timeline == 0)
		return false;
	for (unsigned i = 0; i < t->nnodes; i++) {
		const struct node *other = &t->nodes[i];

		if (other->role == ROLE_PRIMARY && other->system_id == n->system_id &&
		    other->timeline > n->timeline)
			return true;
	}
	return false;
}

const char *
node_state_name(enum node_state s)
{
	static const char *const names[] = { "unknown", "up", "suspect", "down" };

	return names[s];
}

const char *
node_role_name(enum node_role r)
{
	static const char *const names[] = { "unknown", "primary", "standby", "multi" };

	return names[r];
}

const char *
node_kind_name(enum node_kind k)
{
	static const char *const names[] = { "unknown", "postgres", "citus", "cockroachdb" };

	return names[k];
}
