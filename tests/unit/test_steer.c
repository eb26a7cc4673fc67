/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/steer.h"

#include "base/clock.h"
#include "proxy/control_int.h"
#include "tests/unit/unit.h"

/* A control thread of which there is nothing but what steering touches. */
struct bench {
	struct meridian process;
	struct control control;
	struct topology *t;
	struct err e;
};

#define STEER(b) (&(b)->control.steer)

static struct topology *
three_nodes(void)
{
	struct topology *t = topology_new();

	(void)topology_add_region(t, "us-east1");
	(void)topology_add_node(t, "db1", 5432, NULL);
	(void)topology_add_node(t, "db2", 5432, NULL);
	(void)topology_add_region(t, "europe-west1");
	(void)topology_add_node(t, "db3", 5432, NULL);
	return t;
}

static int
setup(void **state)
{
	struct bench *b = test_calloc(1, sizeof(*b));

	b->control.process = &b->process;
	b->control.loop = loop_new();
	steer_init(STEER(b), &b->control);
	b->t = three_nodes();
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	steer_fini(STEER(b));
	loop_free(b->control.loop);
	topology_unref(b->t);
	test_free(b);
	return 0;
}

static void
override(struct bench *b, enum override_kind kind, const char *value, int64_t until_us)
{
	assert_int_equal(steer_override(STEER(b), kind, value, "us-east1", until_us, &b->e), 0);
}

static void
a_drain_is_written_into_the_topology_until_it_is_taken_back(void **state)
{
	struct bench *b = *state;
	struct topology *again;

	steer_drain(STEER(b), "europe-west1", false, 0);
	steer_drain(STEER(b), "db2:5432", true, 0);
	steer_drain(STEER(b), "gone:5432", true, 0); /* not configured any more: no harm */
	steer_fill(STEER(b), b->t, 0);
	assert_false(b->t->regions[0].drained);
	assert_true(b->t->regions[1].drained);
	assert_false(b->t->nodes[0].drained);
	assert_true(b->t->nodes[1].drained);
	assert_false(b->t->nodes[2].drained); /* the region's drain is the region's */

	assert_false(steer_undrain(STEER(b), "europe-west1", true));
	assert_true(steer_undrain(STEER(b), "europe-west1", false));
	assert_false(steer_undrain(STEER(b), "europe-west1", false));
	assert_true(steer_undrain(STEER(b), "db2:5432", true));
	again = three_nodes();
	steer_fill(STEER(b), again, 0);
	assert_false(again->regions[1].drained);
	assert_false(again->nodes[1].drained);
	topology_unref(again);
}

static void
draining_again_is_one_drain(void **state)
{
	struct bench *b = *state;

	steer_drain(STEER(b), "us-east1", false, 0);
	steer_drain(STEER(b), "us-east1", false, USEC_PER_SEC);
	steer_drain(STEER(b), "us-east1", false, 0);
	assert_true(steer_undrain(STEER(b), "us-east1", false));
	assert_false(steer_undrain(STEER(b), "us-east1", false));
}

static void
values_are_kept_in_the_form_in_which_they_are_compared(void **state)
{
	struct bench *b = *state;

	override(b, OVERRIDE_CITY, "Washington, D.C.", 0);
	override(b, OVERRIDE_COUNTRY, "fr", 0);
	override(b, OVERRIDE_NETWORK, "10.0.0.0/8", 0);
	steer_fill(STEER(b), b->t, 0);
	assert_int_equal(b->t->noverrides, 3);
	for (unsigned i = 0; i < 3; i++) {
		const struct override *o = &b->t->overrides[i];

		assert_int_equal(o->region, 0);
		assert_string_equal(o->value, o->kind == OVERRIDE_CITY      ? "washington dc"
					      : o->kind == OVERRIDE_COUNTRY ? "FR"
									    : "10.0.0.0/8");
	}
}

static void
the_same_place_said_again_replaces_what_was_said(void **state)
{
	struct bench *b = *state;

	override(b, OVERRIDE_CITY, "Paris", 0);
	assert_int_equal(steer_override(STEER(b), OVERRIDE_CITY, "PARIS", "europe-west1", 0, &b->e),
			 0);
	steer_fill(STEER(b), b->t, 0);
	assert_int_equal(b->t->noverrides, 1);
	assert_int_equal(b->t->overrides[0].region, 1);
}

static void
what_is_no_place_is_refused_and_named(void **state)
{
	static const struct {
		enum override_kind kind;
		const char *value;
	} wrong[] = {
		{ OVERRIDE_CITY, "" },
		{ OVERRIDE_CITY, "---" },
		{ OVERRIDE_COUNTRY, "fra" },
		{ OVERRIDE_COUNTRY, "f" },
		{ OVERRIDE_NETWORK, "10.0.0.0/33" },
		{ OVERRIDE_NETWORK, "paris" },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct err e = { 0 };

		assert_int_equal(
		    steer_override(STEER(b), wrong[i].kind, wrong[i].value, "us-east1", 0, &e), -1);
		assert_string_equal(e.sqlstate, "22023");
		assert_non_null(strstr(e.msg, wrong[i].value));
	}
	assert_true(LIST_EMPTY(&STEER(b)->overrides));
}

static void
clearing_takes_one_back_or_all(void **state)
{
	struct bench *b = *state;

	override(b, OVERRIDE_CITY, "paris", 0);
	override(b, OVERRIDE_CITY, "rome", 0);
	override(b, OVERRIDE_COUNTRY, "DE", 0);
	assert_int_equal(steer_clear(STEER(b), OVERRIDE_COUNTRY, "paris"), 0);
	assert_int_equal(steer_clear(STEER(b), OVERRIDE_CITY, "berlin"), 0);
	assert_int_equal(steer_clear(STEER(b), OVERRIDE_CITY, "Paris"), 1);
	assert_int_equal(steer_clear(STEER(b), OVERRIDE_CITY, "Paris"), 0);
	assert_int_equal(steer_clear(STEER(b), OVERRIDE_CITY, ""), 2);
	assert_true(LIST_EMPTY(&STEER(b)->overrides));
}

static void
an_override_ends_at_its_time(void **state)
{
	struct bench *b = *state;
	struct topology *later = three_nodes();

	override(b, OVERRIDE_CITY, "paris", 1000);
	override(b, OVERRIDE_CITY, "rome", 0);
	steer_fill(STEER(b), b->t, 999);
	assert_int_equal(b->t->noverrides, 2);
	steer_fill(STEER(b), later, 1000);
	assert_int_equal(later->noverrides, 1);
	assert_string_equal(later->overrides[0].value, "rome");
	topology_unref(later);
	assert_int_equal(steer_clear(STEER(b), OVERRIDE_CITY, "paris"), 0); /* it is forgotten */
}

/* The region may come back with the next reload. */
static void
an_override_to_a_region_that_is_gone_waits_for_it(void **state)
{
	struct bench *b = *state;
	struct topology *without = topology_new();

	override(b, OVERRIDE_CITY, "paris", 0);
	(void)topology_add_region(without, "europe-west1");
	steer_fill(STEER(b), without, 0);
	assert_int_equal(without->noverrides, 0);
	topology_unref(without);
	steer_fill(STEER(b), b->t, 0);
	assert_int_equal(b->t->noverrides, 1);
}

static void
the_highest_epoch_says_who_serves_a_database(void **state)
{
	struct bench *b = *state;
	const struct authority *a;

	assert_true(steer_serve(STEER(b), "app", "europe-west1", "app2", 2));
	assert_false(steer_serve(STEER(b), "app", "us-east1", NULL, 2));
	assert_false(steer_serve(STEER(b), "app", "us-east1", NULL, 1));
	assert_true(steer_serve(STEER(b), "other", "gone", NULL, 1));
	steer_fill(STEER(b), b->t, 0);
	a = topology_authority(b->t, slice_str("app"));
	assert_int_equal(a->region, 1);
	assert_int_equal(a->node, -1);
	assert_string_equal(a->dbname, "app2");
	assert_int_equal(topology_authority(b->t, slice_str("other"))->region, -1);
	topology_unref(b->t);

	b->t = three_nodes();
	assert_true(steer_serve(STEER(b), "app", "db2:5432", NULL, 3));
	assert_true(steer_serve(STEER(b), "other", "", NULL, 2));
	assert_false(steer_serve(STEER(b), "other", "us-east1", NULL, 2));
	steer_fill(STEER(b), b->t, 0);
	a = topology_authority(b->t, slice_str("app"));
	assert_int_equal(a->node, 1);
	assert_null(a->dbname);
	assert_null(topology_authority(b->t, slice_str("other")));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_drain_is_written_into_the_topology_until_it_is_taken_back),
		TEST(draining_again_is_one_drain),
		TEST(values_are_kept_in_the_form_in_which_they_are_compared),
		TEST(the_same_place_said_again_replaces_what_was_said),
		TEST(what_is_no_place_is_refused_and_named),
		TEST(clearing_takes_one_back_or_all),
		TEST(an_override_ends_at_its_time),
		TEST(an_override_to_a_region_that_is_gone_waits_for_it),
		TEST(the_highest_epoch_says_who_serves_a_database),
	};

	return cmocka_run_group_tests_name("steer", tests, NULL, NULL);
}
