/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "tests/unit/locality_world.h"

#include <stdlib.h>

#include "routing/locality_int.h"

#include "tests/unit/unit.h"

static const enum locality_source default_order[] = { SOURCE_OVERRIDE, SOURCE_STARTUP, SOURCE_SNI,
						      SOURCE_HEADER,   SOURCE_TLV,     SOURCE_GEOIP,
						      SOURCE_SELF };

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

int
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

int
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

void
say(struct world *w, enum locality_source source, enum claim_kind kind, const char *value)
{
	bool trusted = source != SOURCE_STARTUP && source != SOURCE_SNI;

	claims_add(&w->claims, source, kind, trusted, slice_str(value));
}

/* Decide with and without evidence: the answers are one. */
void
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
int
lands_in(const struct world *w)
{
	double km, second;

	if (w->out.region >= 0)
		return w->out.region;
	assert_true(w->out.has_location);
	return nearest_region(w->topology, w->out.lat, w->out.lon, &km, &second);
}

void
forget(struct world *w)
{
	claims_fini(&w->claims);
}

/* Decide on one claim alone. */
void
decide_on(struct world *w, enum locality_source source, enum claim_kind kind, const char *value)
{
	forget(w);
	say(w, source, kind, value);
	decide(w);
}

const char *
outcome_of(const struct world *w, enum locality_source source)
{
	for (size_t i = 0; i < w->nevidence; i++) {
		if (w->evidence[i].source == source)
			return w->evidence[i].outcome;
	}
	return "no such row";
}

void
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
