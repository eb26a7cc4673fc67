/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/locality.h"

#include "base/err.h"
#include "routing/gazetteer.h"
#include "routing/places.h"

#include "tests/unit/unit.h"

enum { EAST, WEST, EUROPE };

static struct topology *
three_regions(void)
{
	static const struct {
		const char *name, *city;
	} regions[] = { [EAST] = { "gcp-us-east1", "boston" },
			[WEST] = { "gcp-us-west1", "seattle" },
			[EUROPE] = { "gcp-europe-west1", "rome" } };
	struct topology *t = topology_new();

	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
		uint16_t at = topology_add_region(t, regions[i].name);
		struct region *r = &t->regions[at];
		double lat, lon;

		assert_true(places_region(slice_str(regions[i].name), &lat, &lon));
		region_set_location(r, lat, lon);
		strlist_add(&r->cities, regions[i].city);
	}
	t->self_region = EAST;
	return t;
}

static void
a_city_has_a_region_whoever_calls(void **state)
{
	struct topology *t = three_regions();
	struct err e;
	struct gazetteer *g = gazetteer_open(TEST_GAZETTEER, &e);

	(void)state;
	assert_non_null(g);
	assert_int_equal(locality_region_of_city(t, g, SLICE_LITERAL("rome")), EUROPE);
	assert_int_equal(locality_region_of_city(t, g, SLICE_LITERAL("Seattle")), WEST);
	assert_int_equal(locality_region_of_city(t, g, SLICE_LITERAL("madrid")), EUROPE);
	assert_int_equal(locality_region_of_city(t, g, SLICE_LITERAL("cittagazze")), -1);
	assert_int_equal(locality_region_of_city(t, g, SLICE_LITERAL("")), -1);
	gazetteer_unref(g);
	topology_unref(t);
}

static void
without_a_gazetteer_only_listed_cities_have_one(void **state)
{
	struct topology *t = three_regions();

	(void)state;
	assert_int_equal(locality_region_of_city(t, NULL, SLICE_LITERAL("boston")), EAST);
	assert_int_equal(locality_region_of_city(t, NULL, SLICE_LITERAL("madrid")), -1);
	topology_unref(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_city_has_a_region_whoever_calls),
		cmocka_unit_test(without_a_gazetteer_only_listed_cities_have_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
