/* SPDX-License-Identifier: PostgreSQL
 *
 * The decision among regions, told from tables and from properties. Why each is where it is:
 * test_route_reasons.c.
 */
#include "config.h"

#include "routing/route.h"

#include <math.h>
#include <stdio.h>

#include "tests/unit/movr.h"

#include "tests/unit/unit.h"

static void
cities_land_in_their_regions(void **state)
{
	static const struct {
		const char *city;
		double lat, lon;
		int region, km; /* 0: not asked */
	} table[] = {
		{ "new york", 40.7128, -74.0060, EAST, 0 },
		{ "boston", 42.3601, -71.0589, EAST, 0 },
		{ "washington dc", 38.9072, -77.0369, EAST, 0 },
		{ "san francisco", 37.7749, -122.4194, WEST, 0 },
		{ "seattle", 47.6062, -122.3321, WEST, 0 },
		{ "los angeles", 34.0522, -118.2437, WEST, 0 },
		{ "amsterdam", 52.3676, 4.9041, EUROPE, 0 },
		{ "paris", 48.8566, 2.3522, EUROPE, 0 },
		{ "rome", 41.9028, 12.4964, EUROPE, 0 },
		{ "chicago", 41.85003, -87.65005, EAST, 1173 },
		{ "detroit", 42.33143, -83.04575, EAST, 1050 },
		{ "minneapolis", 44.97997, -93.26384, EAST, 1734 },
		{ "denver", 39.73915, -104.9847, WEST, 0 },
		{ "dallas", 32.78306, -96.80667, EAST, 0 },
		{ "sao paulo", -23.5475, -46.63611, EAST, 0 },
		{ "tokyo", 35.6895, 139.69171, WEST, 0 },
		{ "sydney", -33.86785, 151.20732, WEST, 0 },
		{ "mumbai", 19.07283, 72.88261, EUROPE, 0 },
		{ "singapore", 1.28967, 103.85007, EUROPE, 0 },
		{ "london", 51.5142, -0.0931, EUROPE, 0 },
	};
	struct topology *t = movr();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct locality l = {
			.region = -1, .has_location = true, .lat = table[i].lat, .lon = table[i].lon
		};
		struct route r = decide_for(t, &l);

		if (r.rows[0].region != table[i].region)
			fail_msg("%s went to %s", table[i].city, t->regions[r.rows[0].region].name);
		assert_int_equal(r.rows[0].verdict, VERDICT_CHOSEN);
		assert_int_equal(r.rows[0].reason, REASON_NEAREST);
		if (table[i].km > 0 && fabs(r.rows[0].distance_km - table[i].km) > 2)
			fail_msg("%s is %f km away", table[i].city, r.rows[0].distance_km);
		assert_int_equal(r.nnodes, 5);
	}
	topology_unref(t);
}

static void
distances_are_great_circles(void **state)
{
	struct topology *t = movr();
	const struct region *r = t->regions;

	(void)state;
	assert_true(fabs(route_distance_km(r[EAST].unit, r[WEST].unit) - 3747) < 5);
	assert_true(fabs(route_distance_km(r[WEST].unit, r[EUROPE].unit) - 8098) < 5);
	assert_true(fabs(route_distance_km(r[EAST].unit, r[EUROPE].unit) - 6822) < 5);
	assert_true(route_distance_km(r[EAST].unit, r[EAST].unit) < 0.1);
	topology_unref(t);
}

static void
bias_attracts_and_repels(void **state)
{
	struct topology *t = movr();
	double plain = decide_for(t, &paris).rows[0].score;
	struct route r;

	(void)state;
	t->regions[EUROPE].bias = 50;
	r = decide_for(t, &paris);
	assert_true(fabs(row_of(&r, EUROPE)->score - plain * 0.5) < 1e-6);
	t->regions[EUROPE].bias = -50;
	r = decide_for(t, &paris);
	assert_true(fabs(row_of(&r, EUROPE)->score - plain / 0.5) < 1e-6);
	t->regions[EUROPE].bias = -99;
	assert_int_equal(decide_for(t, &paris).rows[0].region, EAST);
	t->regions[EUROPE].bias = 0;
	t->regions[WEST].bias = 99;
	assert_int_equal(decide_for(t, &paris).rows[0].region, WEST);
	topology_unref(t);
}

/* No region with the wanted role but one: going there is no spill-over. Nowhere is home to nobody.
 */
static void
a_role_that_only_one_region_has_is_nearest_there(void **state)
{
	struct topology *t = movr();
	struct route_input in = input(t, &paris);
	struct route r;

	(void)state;
	for (unsigned i = 0; i < t->nnodes; i++)
		t->nodes[i].role = i == 2 ? ROLE_PRIMARY : ROLE_STANDBY;
	r = decide(&in);
	assert_int_equal(r.rows[0].region, WEST);
	assert_int_equal(route_outcome(&r.home, WEST), ROUTE_NEAREST);
	assert_int_equal(route_outcome(&r.home, EAST), ROUTE_SPILLED);
	t->nodes[2].role = ROLE_STANDBY;
	assert_int_equal(decide(&in).home.nearest, -1);
	topology_unref(t);
}

static void
a_region_named_comes_first_and_the_rest_by_its_place(void **state)
{
	struct topology *t = movr();
	struct locality l = { .region = WEST };
	struct route r = decide_for(t, &l);

	(void)state;
	assert_string_equal(told(&r), "1+named 0=farther 2=farther");
	t->nodes[2].state = NODE_DOWN;
	r = decide_for(t, &l);
	assert_string_equal(told(&r), "0+nearest 2=farther 1-down");
	/* where the caller's own place is known, the rest goes by that */
	l = paris;
	l.region = WEST;
	r = decide_for(t, &l);
	assert_string_equal(told(&r), "2+nearest 0=farther 1-down");
	topology_unref(t);
}

static void
hysteresis_keeps_a_region_that_is_not_much_worse(void **state)
{
	static const struct {
		double lon;
		int had;
		const char *expect;
	} table[] = {
		/* on the equator: region 0 at longitude 0, region 1 at 40 (4448 km) */
		{ 19.0, 1, "1+sticky 0=nearest" },  /* 2113 against 2335: 10 % */
		{ 18.0, 1, "1+sticky 0=nearest" },  /* 2001 against 2446: 18 % */
		{ 17.0, 1, "0+nearest 1=farther" }, /* 1890 against 2557: 26 %, 667 km */
		{ 19.0, 0, "0+nearest 1=farther" },  { 21.0, 0, "0+sticky 1=nearest" },
		{ 19.0, -1, "0+nearest 1=farther" }, { 19.0, 7, "0+nearest 1=farther" },
	};
	struct topology *t = topology_new();

	(void)state;
	for (int i = 0; i < 2; i++) {
		uint16_t r = topology_add_region(t, i == 0 ? "a" : "b");

		region_set_location(&t->regions[r], 0, 40 * i);
		topology_add_node(t, "db", (uint16_t)(1 + i), NULL)->state = NODE_UP;
	}
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct locality l = { .region = -1, .has_location = true, .lon = table[i].lon };
		struct route_input in = input(t, &l);
		struct route r;

		in.sticky_region = table[i].had;
		r = decide(&in);
		if (strcmp(told(&r), table[i].expect) != 0)
			fail_msg("row %zu: got %s", i, told(&r));
		if (table[i].had == 1) {
			t->nodes[1].state = NODE_SUSPECT;
			r = decide(&in);
			assert_string_equal(told(&r), "0+nearest 1=suspect");
			t->nodes[1].state = NODE_UP;
		}
	}
	topology_unref(t);
}

/* Where the caller is, nobody knows: what counts is what this proxy measures. */
static void
behind_the_proxys_own_region_round_trips_decide(void **state)
{
	struct topology *t = movr();
	struct locality l = { .region = EAST, .source = SOURCE_SELF };
	struct route r;

	(void)state;
	t->nodes[2].rtt_us = 90000; /* nearer on the map */
	t->nodes[3].rtt_us = t->nodes[4].rtt_us = 40000;
	r = decide_for(t, &l);
	assert_string_equal(told(&r), "0+self 2=farther 1=farther");
	assert_true(fabs(row_of(&r, WEST)->distance_km - 3747) < 5);
	t->nodes[0].state = t->nodes[1].state = NODE_DOWN;
	r = decide_for(t, &l);
	assert_int_equal(r.rows[0].region, EUROPE);
	/* what was not measured goes by the map */
	t->nodes[2].rtt_us = 0;
	t->self_region = EAST;
	r = decide_for(t, &l);
	assert_int_equal(r.rows[0].region, EUROPE);
	t->nodes[3].rtt_us = t->nodes[4].rtt_us = 0;
	r = decide_for(t, &l);
	assert_int_equal(r.rows[0].region, WEST);
	topology_unref(t);
}

static void
small_gains_are_no_reason_to_leave(void **state)
{
	struct topology *t = topology_new();
	struct locality l = { .region = -1, .has_location = true, .lon = 0.1 };
	struct route_input in;

	(void)state;
	/* 11 km against 122 km: far more than 20 %, but less than 150 km */
	for (int i = 0; i < 2; i++) {
		uint16_t r = topology_add_region(t, i == 0 ? "a" : "b");

		region_set_location(&t->regions[r], 0, 1.2 * i);
		topology_add_node(t, "db", (uint16_t)(1 + i), NULL)->state = NODE_UP;
	}
	in = input(t, &l);
	in.sticky_region = 1;
	assert_int_equal(decide(&in).rows[0].reason, REASON_STICKY);
	assert_int_equal(decide(&in).home.nearest, 0);
	assert_int_equal(decide(&in).home.kept, 1);
	l.region = 0; /* what is named is not a matter of distance */
	assert_int_equal(decide(&in).rows[0].reason, REASON_NAMED);
	assert_int_equal(decide(&in).home.kept, -1);
	topology_unref(t);
}

static void
equal_regions_are_told_apart_by_name(void **state)
{
	(void)state;
	for (int flip = 0; flip < 2; flip++) {
		struct topology *t = topology_new();
		struct route r;

		for (int i = 0; i < 2; i++) {
			uint16_t k = topology_add_region(t, i == flip ? "a" : "b");

			region_set_location(&t->regions[k], 48, 2);
			topology_add_node(t, "db", (uint16_t)(1 + i), NULL)->state = NODE_UP;
		}
		r = decide_for(t, &paris);
		assert_string_equal(t->regions[r.rows[0].region].name, "a");
		topology_unref(t);
	}
}

static void
callers_come_home_one_after_the_other(void **state)
{
	struct topology *t = movr();
	int home = 0;

	(void)state;
	t->failback_delay_us = 60 * SEC;
	t->nodes[3].up_since_us = t->nodes[4].up_since_us = NOW - 66 * SEC;
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct route_input in = input(t, &paris);

		in.seed = seed;
		home += decide(&in).rows[0].region == EUROPE;
	}
	assert_true(home > 60 && home < 195);
	topology_unref(t);
}

static void
nearness_may_be_the_proxys(void **state)
{
	struct topology *t = movr();
	struct route_input in = input(t, &paris);
	struct route r;

	(void)state;
	t->nodes[0].rtt_us = 90000;
	t->nodes[1].rtt_us = 80000;
	t->nodes[2].rtt_us = 10000;
	t->nodes[3].rtt_us = t->nodes[4].rtt_us = 150000;
	in.nearest = NEAREST_PROXY;
	r = decide(&in);
	assert_string_equal(told(&r), "1+nearest 0=farther 2=farther");
	assert_true(fabs(r.rows[0].score - 600) < 1e-6);
	assert_int_equal(r.rows[1].rtt_us, 80000);
	assert_true(r.rows[2].distance_km > 0);
	in.nearest = NEAREST_BLEND;
	in.blend = 1;
	assert_int_equal(decide(&in).rows[0].region, EUROPE);
	in.blend = 0;
	assert_int_equal(decide(&in).rows[0].region, WEST);
	in.blend = 0.5;
	r = decide(&in);
	assert_true(fabs(row_of(&r, EUROPE)->score -
			 (row_of(&r, EUROPE)->distance_km + 150 * 60) / 2) < 1e-6);
	topology_unref(t);
}

static void
without_a_place_it_goes_by_round_trip_then_by_configuration(void **state)
{
	struct topology *t = movr();
	struct route r;

	(void)state;
	t->nodes[2].rtt_us = 900;
	t->nodes[0].rtt_us = 90000;
	t->nodes[3].rtt_us = 40000;
	r = decide_for(t, &nowhere);
	assert_string_equal(told(&r), "1+nearest 2=farther 0=farther");
	assert_true(r.rows[0].distance_km < 0);
	for (unsigned i = 0; i < t->nnodes; i++)
		t->nodes[i].rtt_us = 0;
	for (unsigned i = 0; i < t->nregions; i++)
		t->regions[i].has_location = false;
	t->self_region = WEST;
	r = decide_for(t, &nowhere);
	assert_string_equal(told(&r), "1+nearest 2=farther 0=farther");
	assert_true(r.rows[0].score < 0);
	t->self_region = -1;
	r = decide_for(t, &nowhere);
	assert_string_equal(told(&r), "0+nearest 1=farther 2=farther");
	topology_unref(t);
}

static void
a_region_without_coordinates_ranks_after_those_with(void **state)
{
	struct topology *t = movr();
	struct route r;

	(void)state;
	t->regions[EUROPE].has_location = false;
	t->nodes[3].rtt_us = 1;
	r = decide_for(t, &paris);
	assert_string_equal(told(&r), "0+nearest 1=farther 2=farther");
	topology_unref(t);
}

/* xorshift: the property tests' own dice. */
static uint64_t
dice(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* A world of `n` regions in the order of `order`; region i has the same properties wherever it
 * stands. */
static struct topology *
random_world(unsigned n, const unsigned *order, uint64_t seed)
{
	struct topology *t = topology_new();

	for (unsigned k = 0; k < n; k++) {
		uint64_t x = (seed + 1) * 7919 + order[k] * 104729 + 1;
		char name[16];
		uint16_t r;

		snprintf(name, sizeof(name), "r%u", order[k]);
		r = topology_add_region(t, name);
		for (int i = 0; i < 20; i++)
			dice(&x);
		region_set_location(&t->regions[r], (double)(dice(&x) % 180) - 90,
				    (double)(dice(&x) % 360) - 180);
		t->regions[r].bias = (int)(dice(&x) % 5) * 20 - 40;
		t->regions[r].drained = dice(&x) % 4 == 0;
		for (unsigned i = 0, nodes = (unsigned)(dice(&x) % 4); i < nodes; i++) {
			struct node *node = topology_add_node(t, name, (uint16_t)(i + 1), NULL);

			node->state = (enum node_state)(dice(&x) % 4);
			node->role = (enum node_role)(dice(&x) % 4);
			node->drained = dice(&x) % 5 == 0;
			node->rtt_us = (int64_t)(dice(&x) % 100000);
			node->lag_us = (int64_t)(dice(&x) % 100);
			node->sampled_at_us = NOW;
		}
	}
	t->max_lag_us = 50;
	return t;
}

static void
check_invariants(const struct topology *t, const struct route *r)
{
	bool seen[ROUTE_REGIONS_MAX] = { false }, node_seen[256] = { false };
	enum route_verdict last = VERDICT_CHOSEN;

	assert_int_equal(r->nrows, t->nregions);
	for (unsigned i = 0; i < r->nrows; i++) {
		const struct route_row *row = &r->rows[i];

		assert_false(seen[row->region]);
		seen[row->region] = true;
		assert_true(row->verdict >= last);
		assert_true(row->verdict != VERDICT_CHOSEN || i == 0);
		last = row->verdict;
		if (t->regions[row->region].drained)
			assert_int_equal(row->verdict, VERDICT_REJECTED);
		assert_int_equal(row->verdict == VERDICT_REJECTED, row->node < 0);
	}
	assert_int_equal(r->nnodes > 0, r->rows[0].verdict == VERDICT_CHOSEN);
	for (unsigned i = 0; i < r->nnodes; i++) {
		const struct node *n = &t->nodes[r->nodes[i]];

		assert_false(node_seen[r->nodes[i]]);
		node_seen[r->nodes[i]] = true;
		assert_true(node_usable(t, n, NOW));
	}
	if (r->nnodes > 0)
		assert_int_equal(r->nodes[0], r->rows[0].node);
}

static void
the_order_of_the_configuration_changes_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		unsigned order[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
		struct locality l = { .region = -1,
				      .has_location = true,
				      .lat = (double)(seed * 37 % 180) - 90,
				      .lon = (double)(seed * 91 % 360) - 180 };
		char expect[8][16];
		uint64_t x = seed;

		for (int round = 0; round < 4; round++) {
			struct topology *t = random_world(8, order, seed);
			struct route_input in = input(t, &l);
			struct route r;

			in.access = (enum access)(seed % 6);
			in.nearest = (enum nearest)(seed % 3);
			in.blend = 0.5;
			r = decide(&in);
			check_invariants(t, &r);
			for (unsigned i = 0; i < 8; i++) {
				const char *name = t->regions[r.rows[i].region].name;

				if (round == 0)
					snprintf(expect[i], sizeof(expect[i]), "%s", name);
				else if (r.rows[i].verdict != VERDICT_REJECTED)
					assert_string_equal(name, expect[i]);
			}
			topology_unref(t);
			for (unsigned i = 7; i > 0; i--) {
				unsigned j = (unsigned)(dice(&x) % (i + 1)), keep = order[i];

				order[i] = order[j];
				order[j] = keep;
			}
		}
	}
}

static void
no_region_at_all_is_no_route(void **state)
{
	struct topology *t = topology_new();
	struct route r = decide_for(t, &nowhere);

	(void)state;
	assert_int_equal(r.nrows, 0);
	assert_int_equal(r.nnodes, 0);
	topology_unref(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cities_land_in_their_regions),
		cmocka_unit_test(distances_are_great_circles),
		cmocka_unit_test(bias_attracts_and_repels),
		cmocka_unit_test(a_role_that_only_one_region_has_is_nearest_there),
		cmocka_unit_test(a_region_named_comes_first_and_the_rest_by_its_place),
		cmocka_unit_test(hysteresis_keeps_a_region_that_is_not_much_worse),
		cmocka_unit_test(behind_the_proxys_own_region_round_trips_decide),
		cmocka_unit_test(small_gains_are_no_reason_to_leave),
		cmocka_unit_test(equal_regions_are_told_apart_by_name),
		cmocka_unit_test(callers_come_home_one_after_the_other),
		cmocka_unit_test(nearness_may_be_the_proxys),
		cmocka_unit_test(without_a_place_it_goes_by_round_trip_then_by_configuration),
		cmocka_unit_test(a_region_without_coordinates_ranks_after_those_with),
		cmocka_unit_test(the_order_of_the_configuration_changes_nothing),
		cmocka_unit_test(no_region_at_all_is_no_route),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
