/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/locality.h"

#include <math.h>
#include <stdlib.h>

#include "routing/geo.h"
#include "routing/locality_int.h"

#include "tests/unit/unit.h"

enum { EAST, WEST, EUROPE, NREGIONS };

static const enum locality_source default_order[] = { SOURCE_OVERRIDE, SOURCE_STARTUP, SOURCE_SNI,
						      SOURCE_HEADER,   SOURCE_TLV,     SOURCE_GEOIP,
						      SOURCE_SELF };

/* One decision with everything around it. */
struct world {
	struct topology *topology;
	struct gazetteer *gazetteer;
	struct geo *geo;
	struct claims claims;
	struct locality_input in;
	struct locality out;
	struct locality_evidence evidence[LOCALITY_EVIDENCE_MAX];
	size_t nevidence;
};

static void
add_movr_region(struct topology *t, const char *name, const char *const *cities)
{
	uint16_t i = topology_add_region(t, name);
	struct region *r = &t->regions[i];
	double lat, lon;

	assert_true(places_region(slice_str(name), &lat, &lon));
	region_set_location(r, lat, lon);
	for (; *cities != NULL; cities++)
		strlist_add(&r->cities, *cities);
}

static int
set_up(void **state)
{
	static const char *const east[] = { "new york", "boston", "washington dc", NULL };
	static const char *const west[] = { "san francisco", "seattle", "los angeles", NULL };
	static const char *const europe[] = { "amsterdam", "paris", "rome", NULL };
	struct world *w = calloc(1, sizeof(*w));
	struct strlist files = { 0 };
	struct err e;

	assert_non_null(w);
	w->topology = topology_new();
	add_movr_region(w->topology, "gcp-us-east1", east);
	add_movr_region(w->topology, "gcp-us-west1", west);
	add_movr_region(w->topology, "gcp-europe-west1", europe);
	w->topology->self_region = EAST;
	strlist_add(&files, TEST_DATA "/city.mmdb");
	w->geo = geo_open(&files, &e);
	assert_non_null(w->geo);
	strlist_fini(&files);
	w->gazetteer = gazetteer_open(TEST_GAZETTEER, &e);
	assert_non_null(w->gazetteer);
	w->in = (struct locality_input){ .claims = &w->claims,
					 .topology = w->topology,
					 .gazetteer = w->gazetteer,
					 .geo = w->geo,
					 .order = default_order,
					 .norder = SOURCE_COUNT,
					 .now_us = 1000 };
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	claims_fini(&w->claims);
	gazetteer_unref(w->gazetteer);
	geo_unref(w->geo);
	topology_unref(w->topology);
	free(w);
	return 0;
}

static void
say(struct world *w, enum locality_source source, enum claim_kind kind, const char *value)
{
	bool trusted = source != SOURCE_STARTUP && source != SOURCE_SNI;

	claims_add(&w->claims, source, kind, trusted, slice_str(value));
}

/* Decide with and without evidence: the answers are one. */
static void
decide(struct world *w)
{
	struct locality quiet;

	locality_decide(&w->in, &w->out, w->evidence, &w->nevidence);
	locality_decide(&w->in, &quiet, NULL, NULL);
	assert_int_equal(quiet.source, w->out.source);
	assert_int_equal(quiet.region, w->out.region);
	assert_int_equal(quiet.confidence, w->out.confidence);
	assert_string_equal(quiet.city, w->out.city);
	assert_string_equal(quiet.country, w->out.country);
}

/* The region that the answer leads to. */
static int
lands_in(const struct world *w)
{
	double km, second;

	if (w->out.region >= 0)
		return w->out.region;
	assert_true(w->out.has_location);
	return nearest_region(w->topology, w->out.lat, w->out.lon, &km, &second);
}

static void
forget(struct world *w)
{
	claims_fini(&w->claims);
}

/* Decide on one claim alone. */
static void
decide_on(struct world *w, enum locality_source source, enum claim_kind kind, const char *value)
{
	forget(w);
	say(w, source, kind, value);
	decide(w);
}

static const char *
outcome_of(const struct world *w, enum locality_source source)
{
	for (size_t i = 0; i < w->nevidence; i++) {
		if (w->evidence[i].source == source)
			return w->evidence[i].outcome;
	}
	return "no such row";
}

static void
assert_decided(const struct world *w, enum locality_source source, int region,
	       enum confidence confidence)
{
	size_t won = 0;

	assert_string_equal(locality_source_name(w->out.source), locality_source_name(source));
	assert_int_equal(lands_in(w), region);
	assert_string_equal(confidence_name(w->out.confidence), confidence_name(confidence));
	for (size_t i = 0; i < w->nevidence; i++) {
		if (w->evidence[i].won) {
			won++;
			assert_int_equal(w->evidence[i].source, source);
		}
	}
	assert_int_equal(won, 1);
}

static void
nine_cities_land_as_the_map_says(void **state)
{
	static const struct {
		const char *city;
		int region;
	} v[] = {
		{ "new york", EAST },      { "boston", EAST },
		{ "washington dc", EAST }, { "Washington, D.C.", EAST },
		{ "washington_dc", EAST }, { "New York", EAST },
		{ "san francisco", WEST }, { "seattle", WEST },
		{ "los angeles", WEST },   { "amsterdam", EUROPE },
		{ "paris", EUROPE },       { "rome", EUROPE },
		{ " PARIS ", EUROPE },     { "San%20Francisco", WEST },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		decide_on(w, SOURCE_STARTUP, CLAIM_CITY, v[i].city);
		assert_decided(w, SOURCE_STARTUP, v[i].region, CONFIDENCE_CITY);
		assert_int_equal(w->out.region, v[i].region); /* by the list, not by distance */
		assert_true(w->out.has_location);
	}
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "paris");
	assert_string_equal(w->out.city, "paris");
	assert_string_equal(w->out.country, "FR");
	assert_string_equal(outcome_of(w, SOURCE_STARTUP), "city of region gcp-europe-west1");
}

static void
unlisted_cities_go_by_distance(void **state)
{
	static const struct {
		const char *city;
		int region;
		double km; /* 0: not given */
	} v[] = {
		{ "chicago", EAST, 1173 },     { "detroit", EAST, 1050 },
		{ "minneapolis", EAST, 1734 }, { "denver", WEST, 0 },
		{ "dallas", EAST, 0 },         { "São Paulo", EAST, 0 },
		{ "S\xe3o Paulo", EAST, 0 },   { "S%C3%A3o%20Paulo", EAST, 0 },
		{ "tokyo", WEST, 0 },          { "sydney", WEST, 0 },
		{ "mumbai", EUROPE, 0 },       { "singapore", EUROPE, 0 },
		{ "Köln", EUROPE, 0 },         { "cologne", EUROPE, 0 },
		{ "München", EUROPE, 0 },      { "washington", EAST, 0 },
		{ "New York City", EAST, 0 },  { "Frankfurt (Main)", EUROPE, 0 },
		{ "Zürich", EUROPE, 0 },       { "St. Petersburg", EUROPE, 0 },
		{ "Quebec City", EAST, 0 },
	};
	struct world *w = *state;
	double km, second;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		decide_on(w, SOURCE_STARTUP, CLAIM_CITY, v[i].city);
		assert_decided(w, SOURCE_STARTUP, v[i].region, CONFIDENCE_CITY);
		assert_int_equal(w->out.region, -1);
		nearest_region(w->topology, w->out.lat, w->out.lon, &km, &second);
		if (v[i].km > 0)
			assert_true(fabs(km - v[i].km) < 10);
	}
}

static void
a_country_or_state_beside_the_city_chooses(void **state)
{
	static const struct {
		const char *city, *shown, *country;
		int region; /* -1: not decided by this claim */
	} v[] = {
		{ "London, GB", "London", "GB", EUROPE },
		{ "London, CA", "London", "CA", EAST },
		{ "London, Canada", "London", "CA", EAST },
		{ "london,uk", "london", "GB", EUROPE },
		{ "Paris, France", "Paris", "FR", EUROPE },
		{ "FR,Paris", "Paris", "FR", EUROPE },
		{ "Paris, Île-de-France, FR", "Paris", "FR", EUROPE },
		{ "Portland, OR", "Portland", "US", WEST },
		{ "Portland, OR, US", "Portland", "US", WEST },
		{ "San Francisco, CA", "San Francisco", "US", WEST },
		{ "Vancouver, CA", "Vancouver", "CA", WEST },
		{ "Birmingham, US", "Birmingham", "US", EAST },
		{ "Birmingham, GB", "Birmingham", "GB", EUROPE },
		{ "Birmingham, AL", "Birmingham", "US", EAST },
		{ "paris, 48.8534, 2.3488", "paris", "FR", EUROPE },
		{ "nowhere,47.6,-122.3", "nowhere", "", WEST },
		{ "paris,0,0", "paris", "FR", EUROPE },
		{ "denver,999.0,999.0", "denver", "US", WEST },
		{ "0,0", "", "", -1 },
		{ "Paris, US", "Paris", "US", EAST },
		{ "Paris, TX", "Paris", "US", EAST },
		{ "Paris, US-TX", "Paris", "US", EAST },
		{ "Paris, us-tx", "Paris", "US", EAST },
		{ "Paris, USTX", "Paris", "US", EAST },
		{ "Paris, TX, US", "Paris", "US", EAST },
		{ "Paris, FR-IDF", "Paris", "FR", EUROPE },
		{ "Paris, FR-75", "Paris", "FR", EUROPE },
		{ "London, ON", "London", "CA", EAST },
		{ "London, CA-ON", "London", "CA", EAST },
		{ "Perth, AU-WA", "Perth", "AU", EUROPE },
		{ "Richmond, BC", "Richmond", "CA", WEST },
		{ "Richmond, VA", "Richmond", "US", EAST },
		{ "Glasgow, GBSCT", "Glasgow", "GB", EUROPE },
		{ "Melbourne, FL", "Melbourne", "US", EAST },
		{ "Melbourne", "Melbourne", "AU", WEST },
		{ "Lima, Peru", "Lima", "PE", EAST },
		{ "Paris, Texas", "Paris", "US", EAST },
		{ "Paris, texas, US", "Paris", "US", EAST },
		{ "Portland, Oregon", "Portland", "US", WEST },
		{ "Vancouver, British Columbia", "Vancouver", "CA", WEST },
		{ "Atlanta, Georgia", "Atlanta", "US", EAST },
		{ "Tbilisi, Georgia", "Tbilisi", "GE", EUROPE },
		{ "Berlin, Germany", "Berlin", "DE", EUROPE },
		{ "Bamako, Mali", "Bamako", "ML", EUROPE },
		{ "Apia, Samoa", "Apia", "WS", WEST },
		{ "Tijuana, MX-BCN", "Tijuana", "MX", WEST },
		{ "Tijuana, BCN, MX", "Tijuana", "MX", WEST },
		{ "Berlin, CH-BE", "Berlin", "CH", EUROPE },
		{ "Boxford, GB-ENG", "Boxford", "GB", EUROPE },
		{ "St Georges", "St Georges", "CA", EAST },
		{ "Paris, US-CA", "", "", -1 },
		{ "Paris, California", "", "", -1 },
		{ "Seattle, TX, US", "", "", -1 },
		{ "Seattle, us-", "", "", -1 },
		{ "Seattle, ZZ", "", "", -1 },
		{ ",", "", "", -1 },
		{ ",,,,", "", "", -1 },
		{ "FR,", "", "", -1 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		decide_on(w, SOURCE_STARTUP, CLAIM_CITY, v[i].city);
		if (v[i].region < 0) {
			assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
			continue;
		}
		assert_int_equal(w->out.source, SOURCE_STARTUP);
		assert_int_equal(lands_in(w), v[i].region);
		assert_string_equal(w->out.city, v[i].shown);
		assert_string_equal(w->out.country, v[i].country);
	}
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "148.85,2.35");
	assert_string_equal(outcome_of(w, SOURCE_STARTUP), "not a place on earth");
	/* an unknown town: its country is what is left */
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "Boxford, GB");
	assert_decided(w, SOURCE_STARTUP, EUROPE, CONFIDENCE_COUNTRY);
	assert_string_equal(w->out.city, "Boxford");
	/* and Paris is not taken for the one in the list */
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "Paris, US");
	assert_int_equal(w->out.region, -1);
	assert_string_equal(outcome_of(w, SOURCE_STARTUP), "Paris TX US");
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "Lemuria, US");
	assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
	assert_string_equal(outcome_of(w, SOURCE_STARTUP), "country US is not decisive");
}

static void
a_country_claimed_beside_helps_to_choose(void **state)
{
	struct world *w = *state;

	say(w, SOURCE_HEADER, CLAIM_COUNTRY, "ca");
	say(w, SOURCE_HEADER, CLAIM_CITY, "London");
	decide(w);
	assert_decided(w, SOURCE_HEADER, EAST, CONFIDENCE_CITY);
	assert_string_equal(w->out.country, "CA");
	assert_string_equal(outcome_of(w, SOURCE_HEADER), "country CA is not decisive");

	/* that of another source does not */
	forget(w);
	say(w, SOURCE_STARTUP, CLAIM_COUNTRY, "CA");
	say(w, SOURCE_HEADER, CLAIM_CITY, "London");
	decide(w);
	assert_decided(w, SOURCE_HEADER, EUROPE, CONFIDENCE_CITY);

	/* the operator's list stands above it */
	forget(w);
	say(w, SOURCE_HEADER, CLAIM_CITY, "Paris");
	say(w, SOURCE_HEADER, CLAIM_COUNTRY, "US");
	decide(w);
	assert_int_equal(w->out.region, EUROPE);
}

static void
ambiguous_names_go_to_the_next_source(void **state)
{
	struct world *w = *state;

	/* Hyderabad in India and in Pakistan: both nearest to Europe */
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "hyderabad");
	assert_decided(w, SOURCE_STARTUP, EUROPE, CONFIDENCE_CITY);
	/* Valencia in Venezuela and in Spain, of like size, are not */
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "valencia");
	assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
	assert_string_equal(outcome_of(w, SOURCE_STARTUP), "ambiguous: Valencia VE or Valencia ES");
	/* nor where one has 2.6 times as many people */
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "granada");
	assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
	assert_string_equal(outcome_of(w, SOURCE_STARTUP), "ambiguous: Granada ES or Granada NI");
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "valencia");
	/* where the caller's address settles it, it does */
	say(w, SOURCE_GEOIP, CLAIM_ADDRESS, "81.2.69.142");
	decide(w);
	assert_decided(w, SOURCE_GEOIP, EUROPE, CONFIDENCE_CITY);
	assert_string_equal(w->out.city, "London");
	/* London is in Canada too, but much smaller there */
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "london");
	assert_decided(w, SOURCE_STARTUP, EUROPE, CONFIDENCE_CITY);
}

static void
the_country_of_the_address_breaks_a_tie(void **state)
{
	struct world *w = *state;

	say(w, SOURCE_STARTUP, CLAIM_CITY, "birmingham");
	say(w, SOURCE_GEOIP, CLAIM_ADDRESS, "216.160.83.56");
	decide(w);
	/* 1.1 million against 0.2: no tie */
	assert_decided(w, SOURCE_STARTUP, EUROPE, CONFIDENCE_CITY);
	forget(w);
	say(w, SOURCE_STARTUP, CLAIM_CITY, "cordoba");
	decide(w);
	assert_int_equal(w->out.source, SOURCE_STARTUP); /* Argentina: 1.4 against 0.3 million */
	forget(w);
	say(w, SOURCE_STARTUP, CLAIM_CITY, "santa ana");
	decide(w);
	assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
	say(w, SOURCE_GEOIP, CLAIM_ADDRESS, "216.160.83.56");
	decide(w);
	assert_decided(w, SOURCE_STARTUP, WEST, CONFIDENCE_CITY);
	assert_string_equal(w->out.country, "US");
}

static void
regions_are_named_outright(void **state)
{
	static const struct {
		const char *name;
		int region;
		bool own;
	} v[] = {
		{ "gcp-us-west1", WEST, true },     { "us-west1", WEST, true },
		{ "US-West1", WEST, true },         { "aws-us-west1", WEST, true },
		{ "eu-west-3", EUROPE, false },     { "us-east-1", EAST, false },
		{ "fly-cdg", EUROPE, false },       { "cdg", EUROPE, false },
		{ "azure-japaneast", WEST, false },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		decide_on(w, SOURCE_STARTUP, CLAIM_REGION, v[i].name);
		assert_decided(w, SOURCE_STARTUP, v[i].region, CONFIDENCE_EXACT);
		assert_true((w->out.region >= 0) == v[i].own);
		assert_true(w->out.has_location == !v[i].own);
	}
	decide_on(w, SOURCE_STARTUP, CLAIM_REGION, "mars-north1");
	assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
	assert_string_equal(outcome_of(w, SOURCE_STARTUP), "no such region");
}

static void
coordinates_are_checked(void **state)
{
	static const char *const good[] = { "48.85,2.35", " 48.85 , 2.35 ", "+48.85,2.35e0",
					    "48.85%2C2.35" };
	static const char *const bad[] = { "0,0",        "0.000000,0.000000",
					   "-0,0",       "999.0,999.0",
					   "91,0",       "-91,0",
					   "0,181",      "0,-181",
					   "48.85",      "48.85,",
					   ",2.35",      "a,b",
					   "nan,1",      "inf,1",
					   "1,2,3",      "0x10,1",
					   "48.85 2.35", "1e400,1",
					   "",           "?" };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		decide_on(w, SOURCE_HEADER, CLAIM_LOCATION, good[i]);
		assert_decided(w, SOURCE_HEADER, EUROPE, CONFIDENCE_EXACT);
		assert_true(fabs(w->out.lat - 48.85) < 1e-9 && fabs(w->out.lon - 2.35) < 1e-9);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		decide_on(w, SOURCE_HEADER, CLAIM_LOCATION, bad[i]);
		assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
	}
	decide_on(w, SOURCE_HEADER, CLAIM_LOCATION, "90,180"); /* the pole is a place */
	assert_int_equal(w->out.source, SOURCE_HEADER);
	decide_on(w, SOURCE_HEADER, CLAIM_LOCATION, "0,51");
	assert_int_equal(w->out.source, SOURCE_HEADER);
}

static void
within_a_source_the_most_telling_claim_wins(void **state)
{
	struct world *w = *state;

	say(w, SOURCE_HEADER, CLAIM_COUNTRY, "FR");
	say(w, SOURCE_HEADER, CLAIM_CITY, "Lyon");
	say(w, SOURCE_HEADER, CLAIM_LOCATION, "47.6,-122.3");
	decide(w);
	/* coordinates beat the gazetteer; the name and country are still shown */
	assert_decided(w, SOURCE_HEADER, WEST, CONFIDENCE_EXACT);
	assert_string_equal(w->out.city, "Lyon");
	assert_string_equal(w->out.country, "FR");
	assert_true(w->evidence[2].won);
	/* a listed city beats coordinates */
	say(w, SOURCE_HEADER, CLAIM_CITY, "Boston");
	decide(w);
	assert_decided(w, SOURCE_HEADER, EAST, CONFIDENCE_CITY);
	assert_string_equal(w->out.city, "Boston");
	/* a region beats all */
	say(w, SOURCE_HEADER, CLAIM_REGION, "europe-west1");
	decide(w);
	assert_decided(w, SOURCE_HEADER, EUROPE, CONFIDENCE_EXACT);
	/* of equal claims the last one holds */
	say(w, SOURCE_HEADER, CLAIM_REGION, "us-west1");
	decide(w);
	assert_decided(w, SOURCE_HEADER, WEST, CONFIDENCE_EXACT);
}

static void
sources_are_weighed_in_their_order(void **state)
{
	static const enum locality_source geo_first[] = { SOURCE_GEOIP, SOURCE_STARTUP };
	static const enum locality_source self_only[] = { SOURCE_SELF, SOURCE_SELF };
	struct world *w = *state;

	say(w, SOURCE_GEOIP, CLAIM_ADDRESS, "81.2.69.142");
	say(w, SOURCE_TLV, CLAIM_CITY, "seattle");
	say(w, SOURCE_HEADER, CLAIM_CITY, "boston");
	say(w, SOURCE_SNI, CLAIM_NAME, "rome");
	say(w, SOURCE_STARTUP, CLAIM_CITY, "los angeles");
	decide(w);
	assert_decided(w, SOURCE_STARTUP, WEST, CONFIDENCE_CITY);
	assert_int_equal(w->nevidence, 6);
	claims_drop(&w->claims, SOURCE_STARTUP);
	decide(w);
	assert_decided(w, SOURCE_SNI, EUROPE, CONFIDENCE_CITY);
	claims_drop(&w->claims, SOURCE_SNI);
	decide(w);
	assert_decided(w, SOURCE_HEADER, EAST, CONFIDENCE_CITY);
	claims_drop(&w->claims, SOURCE_HEADER);
	decide(w);
	assert_decided(w, SOURCE_TLV, WEST, CONFIDENCE_CITY);
	claims_drop(&w->claims, SOURCE_TLV);
	decide(w);
	assert_decided(w, SOURCE_GEOIP, EUROPE, CONFIDENCE_CITY);

	say(w, SOURCE_STARTUP, CLAIM_CITY, "los angeles");
	say(w, SOURCE_TLV, CLAIM_CITY, "seattle");
	w->in.order = geo_first;
	w->in.norder = 2;
	decide(w);
	assert_decided(w, SOURCE_GEOIP, EUROPE, CONFIDENCE_CITY);
	assert_string_equal(outcome_of(w, SOURCE_TLV), "source is not in the option locality");
	w->in.order = self_only;
	decide(w);
	assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
	w->in.norder = 0; /* nothing asked: self is the last resort */
	decide(w);
	assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
}

static void
without_anything_it_is_the_proxys_own_region(void **state)
{
	struct world *w = *state;

	decide(w);
	assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
	assert_string_equal(outcome_of(w, SOURCE_SELF), "this proxy stands in region gcp-us-east1");
	w->topology->self_region = -1;
	decide(w);
	assert_int_equal(w->out.source, SOURCE_SELF);
	assert_int_equal(w->out.region, -1);
	assert_false(w->out.has_location);
	assert_int_equal(w->out.confidence, CONFIDENCE_NONE);
}

static void
values_that_mean_unknown_are_absent(void **state)
{
	static const char *const v[] = { "",     "?",   "-",        "unknown", "Unknown",
					 "null", "ZZ",  "XX",       "T1",      "zz",
					 "  ",   "%20", "\x01\x02", "%00",     "\xc2\x85",
					 " ? ",  "%3F" };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		for (int kind = 0; kind < CLAIM_KIND_COUNT; kind++) {
			decide_on(w, SOURCE_STARTUP, (enum claim_kind)kind, v[i]);
			assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
			assert_string_equal(outcome_of(w, SOURCE_STARTUP), "says nothing");
		}
	}
}

static void
values_are_cleaned_once(void **state)
{
	static const struct {
		const char *raw, *clean;
	} v[] = {
		{ "San%20Francisco", "San Francisco" },
		{ "a+b", "a+b" },   /* + is no blank */
		{ "100%", "100%" }, /* not an encoding */
		{ "%2", "%2" },
		{ "%zz%20", "%zz%20" },
		{ "%2520", "%20" }, /* once */
		{ "Z\xfcrich", "Zürich" },
		{ "Z%FCrich", "Zürich" },
		{ "Z%c3%bcrich", "Zürich" },
		{ "a\x01\x1f\x7f"
		  "b",
		  "ab" },
		{ "a\xc2\x9f"
		  "b",
		  "ab" },
		{ "a\x9f\xff", "aÿ" },
		{ "\t x \r\n", "x" },
	};
	char to[PLACE_NAME_MAX], long_value[300];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		assert_int_equal(claim_clean(slice_str(v[i].raw), to), strlen(v[i].clean));
		assert_string_equal(to, v[i].clean);
	}
	memset(long_value, '\xfc', sizeof(long_value));
	n = claim_clean(slice_of(long_value, sizeof(long_value)), to);
	assert_true(n == 126 && strlen(to) == n && places_utf8(slice_of(to, n)));
	for (size_t i = 0; i < sizeof(long_value) - 1; i += 2)
		memcpy(long_value + i, "é", 2);
	n = claim_clean(slice_of(long_value + 1, 200), to);
	assert_true(n < PLACE_NAME_MAX && strlen(to) == n);
}

static void
relayed_claims_count_only_from_trusted_peers(void **state)
{
	static const enum locality_source relayed[] = { SOURCE_HEADER, SOURCE_TLV };
	struct world *w = *state;

	for (size_t i = 0; i < 2; i++) {
		forget(w);
		claims_add(&w->claims, relayed[i], CLAIM_CITY, false, slice_str("paris"));
		claims_add(&w->claims, relayed[i], CLAIM_COUNTRY, false, slice_str("FR"));
		decide(w);
		assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
		assert_string_equal(outcome_of(w, relayed[i]), "peer is not trusted");
		assert_string_equal(w->out.city, "");
	}
}

static void
strict_residency_believes_no_self_declaration(void **state)
{
	struct world *w = *state;

	w->in.strict = true;
	say(w, SOURCE_STARTUP, CLAIM_CITY, "paris");
	say(w, SOURCE_SNI, CLAIM_NAME, "rome");
	decide(w);
	assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
	assert_string_equal(outcome_of(w, SOURCE_STARTUP),
			    "self-declared: does not count under residency = strict");
	say(w, SOURCE_GEOIP, CLAIM_ADDRESS, "216.160.83.56");
	decide(w);
	assert_decided(w, SOURCE_GEOIP, WEST, CONFIDENCE_CITY);
	say(w, SOURCE_TLV, CLAIM_CITY, "amsterdam");
	decide(w);
	assert_decided(w, SOURCE_TLV, EUROPE, CONFIDENCE_CITY);
	/* nor does it help an override along */
	claims_drop(&w->claims, SOURCE_TLV);
	topology_add_override(w->topology, OVERRIDE_CITY, "paris", EUROPE, 0);
	decide(w);
	assert_decided(w, SOURCE_GEOIP, WEST, CONFIDENCE_CITY);
}

static void
labels_of_server_names_are_regions_or_cities(void **state)
{
	static const struct {
		const char *label;
		int region;
		enum confidence confidence;
	} v[] = {
		{ "paris", EUROPE, CONFIDENCE_CITY },
		{ "new-york", EAST, CONFIDENCE_CITY },
		{ "us-west1", WEST, CONFIDENCE_EXACT },
		{ "gcp-us-west1", WEST, CONFIDENCE_EXACT },
		{ "eu-west-3", EUROPE, CONFIDENCE_EXACT },
		{ "cdg", EUROPE, CONFIDENCE_EXACT },
		{ "sao-paulo", EAST, CONFIDENCE_CITY },
		{ "denver", WEST, CONFIDENCE_CITY },
	};
	static const char *const bad[] = { "db", "www", "primary", "xn--mnchen-3ya" };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		decide_on(w, SOURCE_SNI, CLAIM_NAME, v[i].label);
		assert_decided(w, SOURCE_SNI, v[i].region, v[i].confidence);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		decide_on(w, SOURCE_SNI, CLAIM_NAME, bad[i]);
		assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
	}
	decide_on(w, SOURCE_SNI, CLAIM_NAME, "valencia");
	assert_string_equal(outcome_of(w, SOURCE_SNI), "ambiguous: Valencia VE or Valencia ES");
	/* the operator's list stands above the names of clouds */
	strlist_add(&w->topology->regions[WEST].cities, "cdg");
	decide_on(w, SOURCE_SNI, CLAIM_NAME, "cdg");
	assert_decided(w, SOURCE_SNI, WEST, CONFIDENCE_CITY);
}

static void
addresses_are_found_in_the_databases(void **state)
{
	static const struct {
		const char *ip, *city, *country;
		int region;
		enum confidence confidence;
	} v[] = {
		{ "81.2.69.142", "London", "GB", EUROPE, CONFIDENCE_CITY },
		{ "81.2.69.142:4711", "London", "GB", EUROPE, CONFIDENCE_CITY },
		{ "::ffff:81.2.69.142", "London", "GB", EUROPE, CONFIDENCE_CITY },
		{ "2.125.160.217", "Boxford", "GB", EUROPE, CONFIDENCE_CITY },
		{ "216.160.83.57", "Milton", "US", WEST, CONFIDENCE_CITY },
		{ "89.160.20.113", "Linköping", "SE", EUROPE, CONFIDENCE_CITY },
		{ "2001:480:10::1", "San Diego", "US", WEST, CONFIDENCE_CITY },
		{ "[2001:480:10::1]:99", "San Diego", "US", WEST, CONFIDENCE_CITY },
		{ "127.0.0.2", "Paris", "FR", EUROPE, CONFIDENCE_CITY },     /* by the list */
		{ "203.0.113.225", "Paris", "FR", EUROPE, CONFIDENCE_CITY }, /* no coordinates */
		{ "198.51.100.129", "", "FR", EUROPE, CONFIDENCE_COUNTRY },
		{ "203.0.113.193", "", "DE", EUROPE, CONFIDENCE_COUNTRY },
		{ "203.0.113.241", "Nowhere", "NL", EUROPE, CONFIDENCE_COUNTRY },
		{ "2001:218::1", "", "JP", WEST, CONFIDENCE_COUNTRY },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		decide_on(w, SOURCE_GEOIP, CLAIM_ADDRESS, v[i].ip);
		assert_decided(w, SOURCE_GEOIP, v[i].region, v[i].confidence);
		assert_string_equal(w->out.city, v[i].city);
		assert_string_equal(w->out.country, v[i].country);
	}
}

static void
addresses_that_say_too_little_decide_nothing(void **state)
{
	static const struct {
		const char *ip, *outcome;
	} v[] = {
		{ "198.51.100.1", "country US is not decisive" },
		{ "203.0.113.1", "country US is not decisive" },  /* Houston, give or take 500 km */
		{ "203.0.113.129", "address is in no database" }, /* an empty record */
		{ "10.1.2.3", "address is in no database" },
		{ "::1", "address is in no database" },
		{ "unix", "not an address" },
		{ "1.2.3", "not an address" },
		{ "81.2.69.142/32", "not an address" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		decide_on(w, SOURCE_GEOIP, CLAIM_ADDRESS, v[i].ip);
		assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
		assert_string_equal(outcome_of(w, SOURCE_GEOIP), v[i].outcome);
	}
	w->in.geo = NULL;
	decide_on(w, SOURCE_GEOIP, CLAIM_ADDRESS, "81.2.69.142");
	assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
	assert_string_equal(outcome_of(w, SOURCE_GEOIP), "no database");
}

static void
networks_of_regions_come_before_databases(void **state)
{
	struct region *r;
	struct world *w = *state;

	r = w->topology->regions;
	assert_true(cidrlist_add(&r[EAST].networks, slice_str("81.0.0.0/8")));
	assert_true(cidrlist_add(&r[WEST].networks, slice_str("81.2.0.0/16")));
	assert_true(cidrlist_add(&r[EUROPE].networks, slice_str("81.2.70.0/24")));
	assert_true(cidrlist_add(&r[WEST].networks, slice_str("2001:db8::/32")));
	decide_on(w, SOURCE_GEOIP, CLAIM_ADDRESS, "81.2.69.142");
	assert_decided(w, SOURCE_GEOIP, WEST, CONFIDENCE_EXACT);
	assert_string_equal(w->out.city, "London"); /* which is still true */
	assert_string_equal(outcome_of(w, SOURCE_GEOIP),
			    "network 81.2.0.0/16 of region gcp-us-west1");
	decide_on(w, SOURCE_GEOIP, CLAIM_ADDRESS, "81.2.70.1");
	assert_decided(w, SOURCE_GEOIP, EUROPE, CONFIDENCE_EXACT);
	decide_on(w, SOURCE_GEOIP, CLAIM_ADDRESS, "81.3.0.1");
	assert_decided(w, SOURCE_GEOIP, EAST, CONFIDENCE_EXACT);
	decide_on(w, SOURCE_GEOIP, CLAIM_ADDRESS, "2001:db8::7");
	assert_decided(w, SOURCE_GEOIP, WEST, CONFIDENCE_EXACT);
	w->in.geo = NULL;
	decide_on(w, SOURCE_GEOIP, CLAIM_ADDRESS, "81.2.69.142");
	assert_decided(w, SOURCE_GEOIP, WEST, CONFIDENCE_EXACT);
}

static void
countries_decide_by_list_or_where_they_are_clearly_near(void **state)
{
	static const struct {
		const char *country;
		int region; /* -1: not decisive */
	} v[] = {
		{ "FR", EUROPE }, { "fr", EUROPE },      { "France", EUROPE }, { "DE", EUROPE },
		{ "JP", WEST },   { "US", -1 },          { "CA", -1 },         { "Q9", -1 },
		{ "IN", EUROPE }, { "Nowhereland", -1 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		decide_on(w, SOURCE_HEADER, CLAIM_COUNTRY, v[i].country);
		if (v[i].region < 0)
			assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
		else
			assert_decided(w, SOURCE_HEADER, v[i].region, CONFIDENCE_COUNTRY);
	}
	strlist_add(&w->topology->regions[WEST].countries, "US");
	strlist_add(&w->topology->regions[WEST].countries, "FR");
	decide_on(w, SOURCE_HEADER, CLAIM_COUNTRY, "us");
	assert_decided(w, SOURCE_HEADER, WEST, CONFIDENCE_COUNTRY);
	assert_string_equal(outcome_of(w, SOURCE_HEADER), "country of region gcp-us-west1");
	decide_on(w, SOURCE_HEADER, CLAIM_COUNTRY, "FR");
	assert_decided(w, SOURCE_HEADER, WEST, CONFIDENCE_COUNTRY);
	decide_on(w, SOURCE_GEOIP, CLAIM_ADDRESS, "198.51.100.1"); /* the middle of the US */
	assert_decided(w, SOURCE_GEOIP, WEST, CONFIDENCE_COUNTRY);
	/* the list is for countries: a city of that country goes by distance */
	decide_on(w, SOURCE_HEADER, CLAIM_CITY, "Chicago");
	assert_decided(w, SOURCE_HEADER, EAST, CONFIDENCE_CITY);
}

static void
overrides_apply_to_whatever_the_claims_yield(void **state)
{
	struct world *w = *state;
	struct topology *t = w->topology;

	topology_add_override(t, OVERRIDE_CITY, "paris", WEST, 0);
	topology_add_override(t, OVERRIDE_CITY, "lemuria", EUROPE, 0);
	topology_add_override(t, OVERRIDE_CITY, "cologne", EAST, 0);
	topology_add_override(t, OVERRIDE_COUNTRY, "SE", EAST, 0);
	topology_add_override(t, OVERRIDE_NETWORK, "127.0.0.0/30", EAST, 0);
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "Paris");
	assert_decided(w, SOURCE_OVERRIDE, WEST, CONFIDENCE_EXACT);
	assert_string_equal(w->out.city, "Paris");
	assert_string_equal(w->out.country, "FR");
	assert_true(w->evidence[0].won);
	assert_true(slice_is(w->evidence[0].value, "paris"));
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "Lemuria"); /* in no gazetteer */
	assert_decided(w, SOURCE_OVERRIDE, EUROPE, CONFIDENCE_EXACT);
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "Köln"); /* the same place */
	assert_decided(w, SOURCE_OVERRIDE, EAST, CONFIDENCE_EXACT);
	decide_on(w, SOURCE_GEOIP, CLAIM_ADDRESS, "89.160.20.113"); /* Sweden */
	assert_decided(w, SOURCE_OVERRIDE, EAST, CONFIDENCE_EXACT);
	decide_on(w, SOURCE_GEOIP, CLAIM_ADDRESS, "127.0.0.2"); /* Paris, but the network */
	assert_decided(w, SOURCE_OVERRIDE, EAST, CONFIDENCE_EXACT);
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "rome");
	assert_decided(w, SOURCE_STARTUP, EUROPE, CONFIDENCE_CITY);
	assert_string_equal(outcome_of(w, SOURCE_OVERRIDE), "no override applies");
	/* what an untrusted peer says brings none about */
	forget(w);
	claims_add(&w->claims, SOURCE_TLV, CLAIM_CITY, false, slice_str("paris"));
	decide(w);
	assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
	/* another place of that name is not meant */
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "Paris, TX");
	assert_int_equal(w->out.source, SOURCE_STARTUP);
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "Paris, FR");
	assert_int_equal(w->out.source, SOURCE_OVERRIDE);
	topology_add_override(t, OVERRIDE_CITY, "paris tx", EAST, 0);
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "Paris, TX");
	assert_decided(w, SOURCE_OVERRIDE, EAST, CONFIDENCE_EXACT);
}

static void
overrides_end_and_keep_their_place_in_the_order(void **state)
{
	static const enum locality_source last[] = { SOURCE_STARTUP, SOURCE_OVERRIDE };
	static const enum locality_source without[] = { SOURCE_STARTUP, SOURCE_GEOIP };
	struct world *w = *state;

	topology_add_override(w->topology, OVERRIDE_CITY, "paris", WEST, 2000);
	say(w, SOURCE_STARTUP, CLAIM_CITY, "paris");
	w->in.now_us = 1999;
	decide(w);
	assert_decided(w, SOURCE_OVERRIDE, WEST, CONFIDENCE_EXACT);
	w->in.now_us = 2000;
	decide(w);
	assert_decided(w, SOURCE_STARTUP, EUROPE, CONFIDENCE_CITY);
	w->in.now_us = 1;
	w->in.order = last;
	w->in.norder = 2;
	decide(w);
	assert_decided(w, SOURCE_STARTUP, EUROPE, CONFIDENCE_CITY);
	w->in.order = without;
	decide(w);
	assert_decided(w, SOURCE_STARTUP, EUROPE, CONFIDENCE_CITY);
}

static void
bias_counts_in_what_is_nearest(void **state)
{
	struct world *w = *state;
	double km, second;

	assert_int_equal(nearest_region(w->topology, 39.74, -104.98, &km, &second), WEST);
	w->topology->regions[EAST].bias = 50;
	assert_int_equal(nearest_region(w->topology, 39.74, -104.98, &km, &second), EAST);
	for (int i = 0; i < NREGIONS; i++)
		w->topology->regions[i].has_location = false;
	assert_int_equal(nearest_region(w->topology, 39.74, -104.98, &km, &second), -1);
	decide_on(w, SOURCE_STARTUP, CLAIM_CITY, "valencia"); /* no region anywhere: any will do */
	assert_int_equal(w->out.source, SOURCE_STARTUP);
}

static void
claims_are_packed_and_bounded(void **state)
{
	char value[200];
	struct claims c = { 0 };
	struct claim k;

	(void)state;
	memset(value, 'x', sizeof(value));
	memcpy(value + 127, "é", 2);
	claims_add(&c, SOURCE_TLV, CLAIM_NAME, true, slice_of(value, sizeof(value)));
	claims_add(&c, SOURCE_STARTUP, CLAIM_CITY, false, slice_str("paris"));
	claims_add(&c, SOURCE_STARTUP, CLAIM_COUNTRY, false, slice_of(NULL, 0));
	assert_int_equal(c.n, 3);
	k = claims_get(&c, 0);
	assert_true(k.source == SOURCE_TLV && k.kind == CLAIM_NAME && k.trusted);
	assert_int_equal(k.value.n, 127); /* not within a character */
	k = claims_get(&c, 1);
	assert_true(k.source == SOURCE_STARTUP && k.kind == CLAIM_CITY && !k.trusted);
	assert_true(slice_is(k.value, "paris"));
	assert_int_equal(claims_get(&c, 2).value.n, 0);
	claims_drop(&c, SOURCE_TLV);
	assert_int_equal(c.n, 2);
	assert_true(slice_is(claims_get(&c, 0).value, "paris"));
	claims_drop(&c, SOURCE_GEOIP);
	assert_int_equal(c.n, 2);
	for (unsigned i = 0; i < 100; i++)
		claims_add(&c, SOURCE_SNI, CLAIM_NAME, false, slice_of(value, 128));
	assert_int_equal(c.n, 32);
	assert_true(c.size <= 32 * 131);
	claims_drop(&c, SOURCE_SNI);
	claims_drop(&c, SOURCE_STARTUP);
	assert_true(c.n == 0 && c.size == 0 && c.packed == NULL);
	claims_drop(&c, SOURCE_SNI);
	claims_fini(&c);
}

static void
thirty_two_claims_leave_evidence(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < 40; i++)
		say(w, (enum locality_source)(i % SOURCE_COUNT),
		    (enum claim_kind)(i % CLAIM_KIND_COUNT), "valencia");
	topology_add_override(w->topology, OVERRIDE_CITY, "oz", WEST, 0);
	decide(w);
	/* one row per claim of a source that makes claims, one for overrides, one for self */
	assert_true(w->nevidence >= 25 && w->nevidence <= LOCALITY_EVIDENCE_MAX);
}

static void
words_have_names_and_back(void **state)
{
	(void)state;
	for (int i = 0; i < SOURCE_COUNT; i++)
		assert_int_equal(
		    locality_source_parse(slice_str(locality_source_name((enum locality_source)i))),
		    i);
	assert_int_equal(locality_source_parse(SLICE_LITERAL("GeoIP")), SOURCE_GEOIP);
	assert_int_equal(locality_source_parse(SLICE_LITERAL("")), -1);
	assert_int_equal(locality_source_parse(SLICE_LITERAL("geo")), -1);
	assert_string_equal(claim_kind_name(CLAIM_LOCATION), "location");
	assert_string_equal(confidence_name(CONFIDENCE_EXACT), "exact");
}

#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORLD(nine_cities_land_as_the_map_says),
		WITH_WORLD(unlisted_cities_go_by_distance),
		WITH_WORLD(a_country_or_state_beside_the_city_chooses),
		WITH_WORLD(a_country_claimed_beside_helps_to_choose),
		WITH_WORLD(ambiguous_names_go_to_the_next_source),
		WITH_WORLD(the_country_of_the_address_breaks_a_tie),
		WITH_WORLD(regions_are_named_outright),
		WITH_WORLD(coordinates_are_checked),
		WITH_WORLD(within_a_source_the_most_telling_claim_wins),
		WITH_WORLD(sources_are_weighed_in_their_order),
		WITH_WORLD(without_anything_it_is_the_proxys_own_region),
		WITH_WORLD(values_that_mean_unknown_are_absent),
		cmocka_unit_test(values_are_cleaned_once),
		WITH_WORLD(relayed_claims_count_only_from_trusted_peers),
		WITH_WORLD(strict_residency_believes_no_self_declaration),
		WITH_WORLD(labels_of_server_names_are_regions_or_cities),
		WITH_WORLD(addresses_are_found_in_the_databases),
		WITH_WORLD(addresses_that_say_too_little_decide_nothing),
		WITH_WORLD(networks_of_regions_come_before_databases),
		WITH_WORLD(countries_decide_by_list_or_where_they_are_clearly_near),
		WITH_WORLD(overrides_apply_to_whatever_the_claims_yield),
		WITH_WORLD(overrides_end_and_keep_their_place_in_the_order),
		WITH_WORLD(bias_counts_in_what_is_nearest),
		cmocka_unit_test(claims_are_packed_and_bounded),
		WITH_WORLD(thirty_two_claims_leave_evidence),
		cmocka_unit_test(words_have_names_and_back),
	};

	return cmocka_run_group_tests_name("locality", tests, NULL, NULL);
}
