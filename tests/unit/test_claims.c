/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/locality.h"

#include "tests/unit/unit.h"

/* What a caller says of itself, later and at first. */
struct caller {
	struct topology *topology;
	struct claims claims;
	struct locality out;
	struct locality_evidence evidence[LOCALITY_EVIDENCE_MAX];
	size_t n;
};

static int
set_up(void **state)
{
	struct caller *c = test_calloc(1, sizeof(*c));

	c->topology = topology_new();
	(void)topology_add_region(c->topology, "east");
	(void)topology_add_region(c->topology, "europe");
	region_set_location(&c->topology->regions[0], 33, -81);
	region_set_location(&c->topology->regions[1], 50, 4);
	strlist_add(&c->topology->regions[0].cities, "new york");
	strlist_add(&c->topology->regions[1].cities, "paris");
	c->topology->self_region = 0;
	*state = c;
	return 0;
}

static int
tear_down(void **state)
{
	struct caller *c = *state;

	topology_unref(c->topology);
	claims_fini(&c->claims);
	test_free(c);
	return 0;
}

static void
say(struct caller *c, enum claim_kind kind, const char *value)
{
	claims_add(&c->claims, SOURCE_STARTUP, kind, false, slice_str(value));
}

static void
set(struct caller *c, enum claim_kind kind, const char *value)
{
	claims_set(&c->claims, kind, slice_str(value));
}

static const char *
city(struct caller *c)
{
	static const enum locality_source order[] = { SOURCE_STARTUP, SOURCE_HEADER, SOURCE_SELF };
	const struct locality_input in = { .claims = &c->claims,
					   .topology = c->topology,
					   .order = order,
					   .norder = 3,
					   .now_us = 1000 };

	locality_decide(&in, &c->out, c->evidence, &c->n);
	return c->out.city;
}

static void
what_is_set_replaces_what_the_startup_packet_said(void **state)
{
	struct caller *c = *state;

	say(c, CLAIM_CITY, "new york");
	say(c, CLAIM_COUNTRY, "US");
	assert_string_equal(city(c), "new york");
	set(c, CLAIM_CITY, "paris");
	assert_string_equal(city(c), "paris");
	assert_string_not_equal(c->out.country, "US"); /* all of it is replaced */
	assert_int_equal(c->n, 4);
	assert_string_equal(c->evidence[0].outcome, "replaced by SET");
	assert_string_equal(c->evidence[1].outcome, "replaced by SET");
	assert_true(c->evidence[2].won && !c->evidence[2].trusted);
	set(c, CLAIM_CITY, "new york");
	assert_string_equal(city(c), "new york");
	assert_int_equal(c->claims.n, 3); /* of a kind, the last one */
	assert_int_equal(c->claims.nlater, 1);
}

static void
reset_brings_it_back(void **state)
{
	struct caller *c = *state;

	say(c, CLAIM_CITY, "new york");
	set(c, CLAIM_CITY, "paris");
	set(c, CLAIM_LOCATION, "50,4");
	claims_reset(&c->claims, CLAIM_COUNTRY);
	assert_int_equal(c->claims.nlater, 2);
	claims_reset(&c->claims, CLAIM_CITY);
	assert_string_equal(city(c), ""); /* a location only */
	assert_int_equal(c->out.source, SOURCE_STARTUP);
	claims_reset(&c->claims, CLAIM_LOCATION);
	assert_string_equal(city(c), "new york");
	set(c, CLAIM_CITY, "paris");
	set(c, CLAIM_REGION, "europe");
	claims_reset_all(&c->claims);
	assert_string_equal(city(c), "new york");
	assert_int_equal(c->claims.n, 1);
	assert_int_equal(c->claims.nlater, 0);
}

static void
an_empty_one_leaves_the_word_to_the_next_source(void **state)
{
	struct caller *c = *state;

	say(c, CLAIM_CITY, "new york");
	claims_add(&c->claims, SOURCE_HEADER, CLAIM_CITY, true, slice_str("paris"));
	assert_string_equal(city(c), "new york");
	set(c, CLAIM_CITY, "");
	assert_string_equal(city(c), "paris");
	assert_int_equal(c->out.source, SOURCE_HEADER);
}

static void
other_sources_are_left_alone(void **state)
{
	struct caller *c = *state;

	claims_add(&c->claims, SOURCE_HEADER, CLAIM_CITY, true, slice_str("new york"));
	set(c, CLAIM_CITY, "paris");
	claims_drop(&c->claims, SOURCE_STARTUP);
	assert_int_equal(c->claims.nlater, 0);
	assert_string_equal(city(c), "new york");
	claims_reset_all(&c->claims);
	assert_int_equal(c->claims.n, 1);
}

static void
memory_stays_bounded(void **state)
{
	struct caller *c = *state;

	for (unsigned i = 0; i < 10000; i++)
		set(c, (enum claim_kind)(i % 4), i % 2 == 0 ? "paris" : "somewhere else");
	assert_int_equal(c->claims.n, 4);
	for (unsigned i = 0; i < 100; i++)
		say(c, CLAIM_CITY, "x");
	claims_reset_all(&c->claims);
	assert_int_equal(c->claims.n, 28);
	for (unsigned i = 0; i < 100; i++)
		say(c, CLAIM_CITY, "x");
	set(c, CLAIM_CITY, "paris"); /* no room */
	assert_int_equal(c->claims.n, 32);
	assert_int_equal(c->claims.nlater, 0);
	claims_fini(&c->claims);
	assert_int_equal(c->claims.nlater, 0);
}

static void
values_that_can_be_nothing_are_not_sound(void **state)
{
	static const struct {
		enum claim_kind kind;
		const char *value;
		bool sound;
	} all[] = {
		{ CLAIM_LOCATION, "48.85, 2.35", true }, { CLAIM_LOCATION, "48.85%2C2.35", true },
		{ CLAIM_LOCATION, "north", false },      { CLAIM_LOCATION, "91,0", false },
		{ CLAIM_LOCATION, "48.85", false },      { CLAIM_LOCATION, "", true },
		{ CLAIM_COUNTRY, "FR", true },           { CLAIM_COUNTRY, "fr", true },
		{ CLAIM_COUNTRY, "ZZ", true },           { CLAIM_COUNTRY, "Q1", false },
		{ CLAIM_CITY, "no such place", true },   { CLAIM_REGION, "no such region", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (claim_is_sound(all[i].kind, slice_str(all[i].value)) != all[i].sound)
			fail_msg("%s", all[i].value);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_set_replaces_what_the_startup_packet_said),
		TEST(reset_brings_it_back),
		TEST(an_empty_one_leaves_the_word_to_the_next_source),
		TEST(other_sources_are_left_alone),
		TEST(memory_stays_bounded),
		TEST(values_that_can_be_nothing_are_not_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
