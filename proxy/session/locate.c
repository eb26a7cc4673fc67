/* SPDX-License-Identifier: PostgreSQL
 *
 * Who is where: gathers the claims of a session, has them decided, and asks for the route.
 */
#include "config.h"

#include "proxy/session/session_int.h"

#include <stdlib.h>

#include "base/clock.h"
#include "protocol/sqlstate.h"
#include "proxy/worker_int.h"

/* TLVs of PROXY v2's custom range that carry a place; E0, EA and EE are taken by clouds. */
static const struct {
	uint8_t type;
	enum claim_kind kind;
} place_tlvs[] = {
	{ 0xe4, CLAIM_CITY },
	{ 0xe5, CLAIM_LOCATION },
	{ 0xe6, CLAIM_COUNTRY },
	{ 0xe7, CLAIM_REGION },
};

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

static void
count_claims(const struct session *s, bool strict)
{
	struct stats *stats = &s->worker->stats;

	for (unsigned i = 0; i < s->claims.n; i++) {
		struct claim c = claims_get(&s->claims, i);

		stat_add(&stats->claimed[c.source], 1);
		if (!strict || c.trusted)
			continue;
		stat_add(&stats->untrusted[c.source], 1);
		stat_add(&stats->claims_ignored, 1);
	}
}

void
locate_claim_tlvs(struct session *s, const struct proxyhdr *h)
{
	struct slice value;

	/* a header is read from trusted peers only: what it says is believed */
	for (size_t i = 0; i < sizeof(place_tlvs) / sizeof(place_tlvs[0]); i++) {
		if (proxyhdr_tlv_find(h, place_tlvs[i].type, &value))
			claims_add(&s->claims, SOURCE_TLV, place_tlvs[i].kind, true, value);
	}
}

/* An unknown name and a wrong value are told as PostgreSQL tells them for its own settings: a
 * caller who misspells its city would otherwise be sent anywhere, unnoticed. */
static void
refuse_setting(struct session *s, const struct startup_setting *set, bool known)
{
	struct buf hint = { .cap = 512 };
	struct err e;
	int n = (int)(set->name.n < 64 ? set->name.n : 64);

	if (known) {
		err_set(&e, SQLSTATE_INVALID_PARAMETER_VALUE,
			"invalid value for parameter \"meridian.%.*s\": \"%.*s\"", n, set->name.p,
			(int)(set->value.n < 64 ? set->value.n : 64), set->value.p);
		buf_str(&hint, "Available values: ");
		for (int i = 0; i <= ACCESS_PREFER_STANDBY; i++)
			buf_printf(&hint, "%s%s", i > 0 ? ", " : "", access_name((enum access)i));
	} else {
		err_set(&e, SQLSTATE_UNDEFINED_OBJECT,
			"unrecognized configuration parameter \"meridian.%.*s\"", n, set->name.p);
		buf_str(&hint, "Available parameters: meridian.access");
		for (size_t i = 0; i < PLACE_SETTINGS; i++)
			buf_printf(&hint, ", meridian.%s", place_settings[i].name);
	}
	err_hint(&e, "%s.", buf_text(&hint));
	buf_fini(&hint);
	session_close_err(s, WHY_BAD_SETTING, &e);
}

/* False: no such setting, or no such value. */
static bool
take_setting(struct session *s, const struct startup_setting *set, bool *known)
{
	int access;

	*known = true;
	for (size_t k = 0; k < PLACE_SETTINGS; k++) {
		if (slice_is(set->name, place_settings[k].name)) {
			claims_add(&s->claims, SOURCE_STARTUP, place_settings[k].kind, false,
				   set->value);
			return true;
		}
	}
	*known = slice_is(set->name, "access");
	access = *known ? access_parse(set->value) : -1;
	if (access >= 0)
		s->login->access = (enum access)access;
	return access >= 0;
}

static bool
claim_settings(struct session *s)
{
	struct login *l = s->login;
	struct startup_setting set[32];
	size_t n = startup_settings(login_startup(l), &l->text, set, 32);
	bool known;

	for (size_t i = 0; i < n; i++) {
		if (!take_setting(s, &set[i], &known)) {
			refuse_setting(s, &set[i], known);
			return false;
		}
	}
	return true;
}

void
locate_input(const struct session *s, const struct world *w, bool strict, struct locality_input *in)
{
	*in = (struct locality_input){
		.claims = &s->claims,
		.topology = w->topology,
		.geo = w->geo,
		.order = w->config->main.locality,
		.norder = w->config->main.nlocality,
		.strict = strict,
		.now_us = clock_us(),
	};
}

bool
locate_session(struct session *s)
{
	struct login *l = s->login;
	const struct startup *st = login_startup(l);
	struct locality_input in;
	struct slice names[NAME_COUNT];
	char address[ADDR_TEXT_MAX];

	l->database = config_database(l->world->config, st->database);
	l->access = l->database->access;
	if (!claim_settings(s))
		return false;
	if (s->true_addr.family == ADDR_IPV4 || s->true_addr.family == ADDR_IPV6)
		claims_add(&s->claims, SOURCE_GEOIP, CLAIM_ADDRESS, true,
			   slice_str(addr_print_ip(&s->true_addr, address)));
	locate_input(s, l->world, l->database->residency == RESIDENCY_STRICT, &in);
	count_claims(s, in.strict);
	locality_decide(&in, &l->locality, NULL, NULL);
	stat_add(&s->worker->stats.located[l->locality.source], 1);
	s->source = (uint8_t)l->locality.source;
	s->confidence = (uint8_t)l->locality.confidence;
	s->access = (uint8_t)l->access;
	memcpy(s->country, l->locality.country, sizeof(s->country));
	names[NAME_USER] = st->user;
	names[NAME_DATABASE] = st->database;
	names[NAME_APPLICATION] = st->application_name;
	names[NAME_CITY] = slice_str(l->locality.city);
	session_set_names(s, names);
	return true;
}

void
locate_route(const struct world *w, const struct conf_database *db, enum access access,
	     const struct locality *loc, int sticky_region, uint64_t seed, struct route *out)
{
	uint16_t served[ROUTE_REGIONS_MAX];
	struct route_input in = {
		.topology = w->topology,
		.locality = loc,
		.nearest = w->config->main.nearest,
		.blend = w->config->main.blend,
		.access = access,
		.residency_strict = db->residency == RESIDENCY_STRICT,
		.sticky_region = sticky_region,
		.seed = seed,
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
