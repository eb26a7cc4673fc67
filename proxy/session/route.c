/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/route.h"

#include "base/clock.h"
#include "base/hot.h"
#include "proxy/session/login_state.h"
#include "proxy/session/session_int.h"

/* meridian.* settings of the startup packet that are claims. */
static const struct {
	const char *name;
	enum claim_kind kind;
} place_settings[] = {
	{ "city", CLAIM_CITY },
	{ "country", CLAIM_COUNTRY },
	{ "region", CLAIM_REGION },
	{ "location", CLAIM_LOCATION },
};
#define PLACE_SETTINGS (sizeof(place_settings) / sizeof(place_settings[0]))

HOT void
locate_count_claim(const struct session *s, const struct claim *c, bool strict)
{
	struct stats *stats = &s->worker->stats;
	bool relayed = c->source == SOURCE_HEADER || c->source == SOURCE_TLV;

	stat_add(&stats->claimed[c->source], 1);
	if (c->trusted || !(strict || relayed))
		return;
	stat_add(&stats->untrusted[c->source], 1);
	if (!relayed)
		stat_add(&stats->claims_ignored, 1);
}

HOT void
locate_input(const struct session *s, const struct world *w, bool strict, struct locality_input *in)
{
	*in = (struct locality_input){
		.claims = &s->claims,
		.topology = w->topology,
		.gazetteer = w->gazetteer,
		.geo = w->geo,
		.order = w->config->main.locality,
		.norder = w->config->main.nlocality,
		.strict = strict,
		.now_us = clock_us(),
	};
}

HOT void
locate_note(struct session *s, const struct locality *loc)
{
	stat_add(&s->worker->stats.located[loc->source], 1);
	s->source = (uint8_t)loc->source;
	s->confidence = (uint8_t)loc->confidence;
	memcpy(s->country, loc->country, sizeof(s->country));
}

struct slice
locate_configured_dbname(const struct world *w, struct slice database)
{
	const struct conf_database *db = config_database(w->config, database);

	return db->dbname != NULL ? slice_str(db->dbname) : database;
}

HOT const struct authority *
locate_authority(const struct world *w, struct slice database)
{
	if (w->topology->nauthorities == 0)
		return NULL;
	return topology_authority(w->topology, locate_configured_dbname(w, database));
}

HOT struct slice
locate_dbname(const struct world *w, struct slice database)
{
	const struct authority *a = locate_authority(w, database);

	if (a != NULL && a->dbname != NULL)
		return slice_str(a->dbname);
	return locate_configured_dbname(w, database);
}

HOT void
locate_route(const struct world *w, const struct route_wish *wish, struct route *out)
{
	const struct conf_database *db = config_database(w->config, wish->database);
	uint16_t served[ROUTE_REGIONS_MAX];
	struct route_input in = {
		.topology = w->topology,
		.locality = wish->locality,
		.nearest = w->config->main.nearest,
		.blend = w->config->main.blend,
		.access = wish->access,
		.residency_strict = db->residency == RESIDENCY_STRICT,
		.authority =
		    wish->as_if != NULL ? wish->as_if : locate_authority(w, wish->database),
		.sticky_region = wish->sticky_region,
		.last_resort = wish->as_if == NULL,
		.seed = wish->seed,
		.now_us = clock_us(),
	};

	for (size_t i = 0; i < db->regions.n && in.nserved < ROUTE_REGIONS_MAX; i++) {
		int r = topology_region_by_name(in.topology, slice_str(db->regions.v[i]));

		if (r >= 0)
			served[in.nserved++] = (uint16_t)r;
	}
	in.served = db->regions.n > 0 ? served : NULL;
	route_decide(&in, out);
}

const char *
locate_setting_name(size_t i)
{
	return i < PLACE_SETTINGS ? place_settings[i].name : NULL;
}

int
locate_setting(struct slice name)
{
	for (size_t k = 0; k < PLACE_SETTINGS; k++) {
		if (slice_is_nocase(name, place_settings[k].name))
			return (int)place_settings[k].kind;
	}
	return -1;
}

/* By the world of now, which may not be that of its login. */
static void
decide_again(const struct session *s, const struct world *w, struct locality *out)
{
	const struct conf_database *db = config_database(w->config, session_name(s, NAME_DATABASE));
	struct locality_input in;

	locate_input(s, w, db->residency == RESIDENCY_STRICT, &in);
	locality_decide(&in, out, NULL, NULL);
}

void
locate_login_again(struct session *s)
{
	struct login *l = s->login;
	struct locality_input in;

	world_unref(l->world);
	l->world = world_ref(worker_world(s->worker));
	l->database = config_database(l->world->config, login_startup(l)->database);
	locate_input(s, l->world, l->database->residency == RESIDENCY_STRICT, &in);
	locality_decide(&in, &l->locality, NULL, NULL);
}

void
session_locality_changed(struct session *s)
{
	struct slice names[NAME_COUNT];
	struct locality loc;

	decide_again(s, worker_world(s->worker), &loc);
	locate_note(s, &loc);
	for (unsigned i = 0; i < NAME_COUNT; i++)
		names[i] = session_name(s, i);
	names[NAME_CITY] = slice_str(loc.city);
	session_set_names(s, names);
	if (session_is_pooled(s))
		session_ops.pool_moved_locality(s);
}

void
locate_set(struct session *s, enum claim_kind kind, struct slice value)
{
	const struct claim c = { .source = SOURCE_STARTUP, .kind = kind, .value = value };
	const struct config *config = worker_world(s->worker)->config;
	const struct conf_database *db = config_database(config, session_name(s, NAME_DATABASE));

	claims_set(&s->claims, kind, value);
	locate_count_claim(s, &c, db->residency == RESIDENCY_STRICT);
	session_locality_changed(s);
}

HOT void
locate_route_again(struct session *s, int sticky_region, const struct authority *as_if,
		   struct route *out)
{
	locate_route_for(s, (enum access)s->access, sticky_region, as_if, out);
}

HOT void
locate_route_for(struct session *s, enum access access, int sticky_region,
		 const struct authority *as_if, struct route *out)
{
	const struct world *w = worker_world(s->worker);
	struct locality loc;
	struct route_wish wish = {
		.database = session_name(s, NAME_DATABASE),
		.access = access,
		.locality = &loc,
		.sticky_region = sticky_region,
		.seed = s->id,
		.as_if = as_if,
	};

	/* its login has just decided by the same */
	if (s->login != NULL && s->login->world == w && s->login->database != NULL)
		wish.locality = &s->login->locality;
	else
		decide_again(s, w, &loc);
	locate_route(w, &wish, out);
}

void
locate_put_rejected(struct buf *b, const struct topology *t, const struct route *route)
{
	char reason[160];

	for (unsigned i = 0; i < route->nrows && !b->failed; i++) {
		const struct route_row *row = &route->rows[i];

		if (row->verdict != VERDICT_REJECTED)
			continue;
		route_reason_text(t, row, clock_us(), reason, sizeof(reason));
		buf_printf(b, "%sRegion %s: %s.", b->n > 0 ? " " : "", t->regions[row->region].name,
			   reason);
	}
}

void
locate_put_route(struct session *s, struct buf *b)
{
	const struct world *w = worker_world(s->worker);
	struct route *route = &s->worker->route;

	locate_route_again(s, -1, NULL, route);
	for (unsigned i = 0; i < route->nrows; i++) {
		const struct route_row *row = &route->rows[i];

		if (row->verdict != VERDICT_REJECTED)
			buf_printf(b, "%s%s", i > 0 ? ", " : "",
				   w->topology->regions[row->region].name);
	}
}
