/* SPDX-License-Identifier: PostgreSQL
 *
 * Which source of a place is believed: their order, trust, addresses, overrides; and what is kept
 * of their claims.
 */
#include "config.h"

#include "routing/locality.h"

#include "base/utf8.h"
#include "base/words.h"
#include "routing/locality_int.h"
#include "tests/unit/locality_world.h"

#include "tests/unit/unit.h"

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
	assert_true(n == 126 && strlen(to) == n && utf8_valid(slice_of(to, n)));
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
		assert_int_equal(words_find(locality_source_words, slice_str(locality_source_name(
								       (enum locality_source)i))),
				 i);
	assert_int_equal(words_find(locality_source_words, SLICE_LITERAL("GeoIP")), SOURCE_GEOIP);
	assert_int_equal(words_find(locality_source_words, SLICE_LITERAL("")), -1);
	assert_int_equal(words_find(locality_source_words, SLICE_LITERAL("geo")), -1);
	assert_string_equal(claim_kind_name(CLAIM_LOCATION), "location");
	assert_string_equal(confidence_name(CONFIDENCE_EXACT), "exact");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORLD(sources_are_weighed_in_their_order),
		WITH_WORLD(without_anything_it_is_the_proxys_own_region),
		WITH_WORLD(values_that_mean_unknown_are_absent),
		cmocka_unit_test(values_are_cleaned_once),
		WITH_WORLD(relayed_claims_count_only_from_trusted_peers),
		WITH_WORLD(strict_residency_believes_no_self_declaration),
		WITH_WORLD(addresses_are_found_in_the_databases),
		WITH_WORLD(addresses_that_say_too_little_decide_nothing),
		WITH_WORLD(networks_of_regions_come_before_databases),
		WITH_WORLD(overrides_apply_to_whatever_the_claims_yield),
		WITH_WORLD(overrides_end_and_keep_their_place_in_the_order),
		cmocka_unit_test(claims_are_packed_and_bounded),
		WITH_WORLD(thirty_two_claims_leave_evidence),
		cmocka_unit_test(words_have_names_and_back),
	};

	return cmocka_run_group_tests_name("locality, sources", tests, NULL, NULL);
}
