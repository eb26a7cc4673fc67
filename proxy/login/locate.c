/* SPDX-License-Identifier: PostgreSQL
 *
 * Who is where: gathers the claims of a session, has them decided, and asks for the route.
 */
#include "config.h"

#include "proxy/session/session_int.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/hot.h"
#include "base/words.h"
#include "protocol/sqlstate.h"
#include "proxy/http/http.h"
#include "proxy/net/tlsctx.h"
#include "proxy/pool/pooled.h"
#include "proxy/worker_int.h"
#include "routing/headers.h"
#include "routing/tlvs.h"

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

static WARM void
count_claim(const struct session *s, const struct claim *c, bool strict)
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

static void
count_claims(const struct session *s, bool strict)
{
	for (unsigned i = 0; i < s->claims.n; i++) {
		struct claim c = claims_get(&s->claims, i);

		count_claim(s, &c, strict);
	}
}

bool
locate_claim_name(struct session *s, struct slice name)
{
	const char *suffix = s->worker->world->config->listeners[s->listener].sni_suffix;
	size_t n;

	if (suffix == NULL || name.n == 0)
		return false;
	if (suffix[0] == '.')
		suffix++;
	n = strlen(suffix);
	if (name.n <= n + 1 || strncasecmp(name.p + name.n - n, suffix, n) != 0 ||
	    name.p[name.n - n - 1] != '.')
		return false;
	name.n -= n + 1;
	claims_drop(&s->claims, SOURCE_SNI);
	claims_add(&s->claims, SOURCE_SNI, CLAIM_NAME, false, name);
	return true;
}

void
locate_claim_tlvs(struct session *s, const struct proxyhdr *h)
{
	/* a header is read from trusted peers only: what it says is believed */
	tlvs_claim(&s->worker->world->config->main.tlv, h, &s->claims);
	/* but for the name that the client itself asked for */
	(void)locate_claim_name(s, h->authority);
}

/* The Host of an earlier request says nothing of this one; that of the TLS handshake does. */
static void
claim_host(struct session *s, struct slice host)
{
	if (s->http->is_named) {
		claims_drop(&s->claims, SOURCE_SNI);
		if (s->client.ssl != NULL)
			(void)locate_claim_name(s, slice_str(tls_server_name(s->client.ssl)));
	}
	s->http->is_named = locate_claim_name(s, host);
}

/* Host without its port; an address in brackets is no name anyway. */
static struct slice
host_name(struct slice host)
{
	return slice_trim(slice_cut(&host, ':'));
}

void
locate_claim_headers(struct session *s, const struct http_head *h)
{
	const struct conf_main *conf = &s->worker->world->config->main;
	struct header_rules rules = { .names = &conf->header_names,
				      .trusted = &conf->trusted_proxies,
				      .hops = (unsigned)conf->trusted_hops };
	bool trusted = cidrlist_has(&conf->trusted_proxies, &s->hop);
	unsigned n = trusted ? 0 : headers_count(&rules, h);

	claims_drop(&s->claims, SOURCE_HEADER);
	s->true_addr = s->hop;
	headers_claim(&rules, h, trusted, &s->claims, &s->true_addr);
	claim_host(s, host_name(h->host));
	stat_add(&s->worker->stats.headers_ignored, n);
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
			buf_printf(&hint, "%s%s", i > 0 ? ", " : "", access_words[i]);
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
	access = *known ? words_find(access_words, set->value) : -1;
	if (access >= 0)
		s->login->access = (enum access)access;
	return access >= 0;
}

static WARM bool
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
		.gazetteer = w->gazetteer,
		.geo = w->geo,
		.order = w->config->main.locality,
		.norder = w->config->main.nlocality,
		.strict = strict,
		.now_us = clock_us(),
	};
}

static void
note_locality(struct session *s, const struct locality *loc)
{
	stat_add(&s->worker->stats.located[loc->source], 1);
	s->source = (uint8_t)loc->source;
	s->confidence = (uint8_t)loc->confidence;
	memcpy(s->country, loc->country, sizeof(s->country));
}

/* Before the client's own claims: those cannot crowd it out. */
static WARM void
claim_address(struct session *s)
{
	char address[ADDR_TEXT_MAX];

	claims_drop(&s->claims, SOURCE_GEOIP);
	if (s->true_addr.family == ADDR_IPV4 || s->true_addr.family == ADDR_IPV6)
		claims_add(&s->claims, SOURCE_GEOIP, CLAIM_ADDRESS, true,
			   slice_str(addr_print_ip(&s->true_addr, address)));
}

void
locate_claim_console(struct session *s)
{
	struct login *l = s->login;
	struct startup_setting set[32];
	size_t n = startup_settings(login_startup(l), &l->text, set, 32);
	bool known;

	l->access = config_database(l->world->config, login_startup(l)->database)->access;
	claim_address(s);
	for (size_t i = 0; i < n; i++)
		(void)take_setting(s, &set[i], &known);
	s->access = (uint8_t)l->access;
}

WARM bool
locate_session(struct session *s)
{
	struct login *l = s->login;
	const struct startup *st = login_startup(l);
	struct locality_input in;
	struct slice names[NAME_COUNT];

	l->database = config_database(l->world->config, st->database);
	l->access = l->database->access;
	claim_address(s);
	if (!claim_settings(s))
		return false;
	if (l->through != NULL)
		l->access = ACCESS_PRIMARY;
	locate_input(s, l->world, l->database->residency == RESIDENCY_STRICT, &in);
	count_claims(s, in.strict);
	locality_decide(&in, &l->locality, NULL, NULL);
	note_locality(s, &l->locality);
	s->access = (uint8_t)l->access;
	names[NAME_USER] = st->user;
	names[NAME_DATABASE] = st->database;
	names[NAME_APPLICATION] = st->application_name;
	names[NAME_CITY] = slice_str(l->locality.city);
	session_set_names(s, names);
	return true;
}

struct slice
locate_configured_dbname(const struct world *w, struct slice database)
{
	const struct conf_database *db = config_database(w->config, database);

	return db->dbname != NULL ? slice_str(db->dbname) : database;
}

WARM const struct authority *
locate_authority(const struct world *w, struct slice database)
{
	if (w->topology->nauthorities == 0)
		return NULL;
	return topology_authority(w->topology, locate_configured_dbname(w, database));
}

WARM struct slice
locate_dbname(const struct world *w, struct slice database)
{
	const struct authority *a = locate_authority(w, database);

	if (a != NULL && a->dbname != NULL)
		return slice_str(a->dbname);
	return locate_configured_dbname(w, database);
}

WARM void
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
session_moved_locality(struct session *s)
{
	struct slice names[NAME_COUNT];
	struct locality loc;

	decide_again(s, worker_world(s->worker), &loc);
	note_locality(s, &loc);
	for (unsigned i = 0; i < NAME_COUNT; i++)
		names[i] = session_name(s, i);
	names[NAME_CITY] = slice_str(loc.city);
	session_set_names(s, names);
	if (s->pooled != NULL) {
		s->pooled->topology_version = s->pooled->decided_us = 0;
		s->pooled->is_elsewhere = true;
	}
}

void
locate_set(struct session *s, enum claim_kind kind, struct slice value)
{
	const struct claim c = { .source = SOURCE_STARTUP, .kind = kind, .value = value };
	const struct config *config = worker_world(s->worker)->config;
	const struct conf_database *db = config_database(config, session_name(s, NAME_DATABASE));

	claims_set(&s->claims, kind, value);
	count_claim(s, &c, db->residency == RESIDENCY_STRICT);
	session_moved_locality(s);
}

WARM void
locate_route_again(struct session *s, int sticky_region, const struct authority *as_if,
		   struct route *out)
{
	const struct world *w = worker_world(s->worker);
	struct locality loc;
	struct route_wish wish = {
		.database = session_name(s, NAME_DATABASE),
		.access = (enum access)s->access,
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
