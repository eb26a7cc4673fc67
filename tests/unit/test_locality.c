/* SPDX-License-Identifier: PostgreSQL
 *
 * What a claim of a place means: cities, countries, regions, coordinates.
 */
#include "config.h"

#include "routing/locality.h"

#include <math.h>

#include "routing/locality_int.h"
#include "tests/unit/locality_world.h"

#include "tests/unit/unit.h"

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

/* Claims, and what they are taken for. */
static const struct {
	const char *city, *shown, *country;
	int region; /* -1: not decided by this claim */
} beside_the_city[] = {
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

static void
a_country_or_state_beside_the_city_chooses(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(beside_the_city) / sizeof(beside_the_city[0]); i++) {
		decide_on(w, SOURCE_STARTUP, CLAIM_CITY, beside_the_city[i].city);
		if (beside_the_city[i].region < 0) {
			assert_decided(w, SOURCE_SELF, EAST, CONFIDENCE_COUNTRY);
			continue;
		}
		assert_int_equal(w->out.source, SOURCE_STARTUP);
		assert_int_equal(lands_in(w), beside_the_city[i].region);
		assert_string_equal(w->out.city, beside_the_city[i].shown);
		assert_string_equal(w->out.country, beside_the_city[i].country);
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
		WITH_WORLD(labels_of_server_names_are_regions_or_cities),
		WITH_WORLD(countries_decide_by_list_or_where_they_are_clearly_near),
		WITH_WORLD(bias_counts_in_what_is_nearest),
	};

	return cmocka_run_group_tests_name("locality", tests, NULL, NULL);
}
