/* SPDX-License-Identifier: PostgreSQL
 *
 * The choice among the nodes of a region, as route_decide() makes it.
 */
#include "config.h"

#include "base/words.h"
#include "routing/pick.h"

#include <math.h>

#include "tests/unit/movr.h"

#include "tests/unit/unit.h"

static bool
tries(const struct route *r, unsigned node)
{
	for (unsigned i = 0; i < r->nnodes; i++)
		if (r->nodes[i] == node)
			return true;
	return false;
}

static void
roles_fit_wishes_as_in_libpq(void **state)
{
	/* any, read-write, read-only, primary, standby, prefer-standby */
	static const struct {
		enum node_role role;
		bool read_only;
		const char *fits;
	} table[] = {
		{ ROLE_UNKNOWN, false, "yyyyyy" }, { ROLE_PRIMARY, false, "yynyny" },
		{ ROLE_PRIMARY, true, "ynyyny" },  { ROLE_STANDBY, false, "ynynyy" },
		{ ROLE_STANDBY, true, "ynynyy" },  { ROLE_MULTI, false, "yynyny" },
		{ ROLE_MULTI, true, "ynyyny" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (int a = ACCESS_ANY; a <= ACCESS_PREFER_STANDBY; a++) {
			struct node n = { .role = table[i].role, .read_only = table[i].read_only };

			assert_int_equal(route_role_fits(&n, (enum access)a),
					 table[i].fits[a] == 'y');
		}
	assert_int_equal(words_find(access_words, slice_str("Prefer-Standby")),
			 ACCESS_PREFER_STANDBY);
	assert_int_equal(words_find(access_words, slice_str("readwrite")), -1);
	assert_string_equal(access_words[ACCESS_READ_ONLY], "read-only");
	assert_int_equal(words_find(nearest_words, slice_str("blend")), NEAREST_BLEND);
	assert_string_equal(nearest_words[NEAREST_PROXY], "proxy");
}

/* One physical cluster: primary in the east, standbys elsewhere. */
static struct topology *
cluster(void)
{
	struct topology *t = movr();

	for (unsigned i = 0; i < t->nnodes; i++) {
		t->nodes[i].role = i == 0 ? ROLE_PRIMARY : ROLE_STANDBY;
		t->nodes[i].system_id = 7;
		t->nodes[i].timeline = 1;
		t->nodes[i].lag_us = 0;
		t->nodes[i].probed = true;
	}
	return t;
}

static void
wishes_choose_among_roles(void **state)
{
	static const struct {
		enum access access;
		const char *expect;
		unsigned nnodes;
	} table[] = {
		{ ACCESS_ANY, "2+nearest 0=farther 1=farther", 5 },
		{ ACCESS_READ_WRITE, "0+nearest 2-no_role 1-no_role", 1 },
		{ ACCESS_PRIMARY, "0+nearest 2-no_role 1-no_role", 1 },
		{ ACCESS_READ_ONLY, "2+nearest 0=farther 1=farther", 4 },
		{ ACCESS_STANDBY, "2+nearest 0=farther 1=farther", 4 },
		{ ACCESS_PREFER_STANDBY, "2+nearest 0=farther 1=farther", 5 },
	};
	struct topology *t = cluster();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct route_input in = input(t, &paris);
		struct route r;

		in.access = table[i].access;
		r = decide(&in);
		assert_string_equal(told(&r), table[i].expect);
		assert_int_equal(r.nnodes, table[i].nnodes);
	}
	struct route_input in = input(t, &new_york);

	in.access = ACCESS_PREFER_STANDBY;
	assert_int_equal(decide(&in).nodes[0], 1);
	assert_int_equal(decide(&in).nodes[1], 0);
	topology_unref(t);
}

static void
known_roles_come_before_unknown_ones(void **state)
{
	struct topology *t = movr();

	(void)state;
	t->nodes[3].role = ROLE_UNKNOWN;
	t->nodes[4].role = ROLE_PRIMARY;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct route_input in = input(t, &paris);

		in.seed = seed;
		assert_int_equal(decide(&in).nodes[0], 4);
		assert_int_equal(decide(&in).nodes[1], 3);
	}
	t->nodes[4].state = NODE_UNKNOWN;
	t->nodes[3].role = ROLE_PRIMARY;
	assert_int_equal(decide_for(t, &paris).nodes[0], 3);
	topology_unref(t);
}

static void
the_primary_that_was_left_behind_takes_no_writes(void **state)
{
	struct topology *t = cluster();
	struct route_input in = input(t, &new_york);
	struct route r;

	(void)state;
	t->nodes[3].role = ROLE_PRIMARY;
	t->nodes[3].timeline = 2;
	r = decide(&in);
	assert_string_equal(told(&r), "2+nearest 0-no_role 1-no_role");
	assert_int_equal(r.nnodes, 1);
	assert_int_equal(r.nodes[0], 3);
	in.access = ACCESS_ANY;
	r = decide(&in);
	assert_int_equal(r.rows[0].region, EAST);
	assert_int_equal(r.nodes[0], 1);
	topology_unref(t);
}

static void
standbys_over_max_lag_are_skipped(void **state)
{
	struct topology *t = cluster();
	struct route_input in = input(t, &paris);
	struct route r;

	(void)state;
	in.access = ACCESS_ANY;
	t->max_lag_us = 10 * SEC;
	t->nodes[3].lag_us = 11 * SEC;
	t->nodes[4].lag_us = 2 * SEC;
	t->nodes[4].sampled_at_us = NOW - 9 * SEC; /* its age counts */
	r = decide(&in);
	assert_string_equal(told(&r), "0+nearest 1=farther 2-lagging");
	t->nodes[4].sampled_at_us = NOW - 7 * SEC;
	r = decide(&in);
	assert_int_equal(r.rows[0].node, 4);
	assert_int_equal(r.rows[0].lag_us, 9 * SEC);
	assert_false(tries(&r, 3));
	t->max_lag_us = 0;
	assert_true(decide(&in).nnodes == 5);
	topology_unref(t);
}

static void
load_counts_and_is_shown(void **state)
{
	struct topology *t = movr();
	struct route r;
	double plain = decide_for(t, &paris).rows[0].score;

	(void)state;
	t->nodes[3].max_connections = t->nodes[4].max_connections = 100;
	t->nodes[3].used_connections = 60;
	atomic_store(&t->nodes[4].live->sessions, 40);
	r = decide_for(t, &paris);
	assert_true(fabs(r.rows[0].load - 0.5) < 1e-9);
	assert_true(fabs(r.rows[0].score - plain - 50) < 1e-6);
	topology_unref(t);
}

static void
two_choices_favour_the_idle_node(void **state)
{
	struct topology *t = movr();
	int first[2] = { 0, 0 };

	(void)state;
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct route_input in = input(t, &paris);

		in.seed = seed;
		first[decide(&in).nodes[0] - 3]++;
	}
	assert_true(first[0] > 25 && first[1] > 25);
	atomic_store(&t->nodes[3].live->sessions, 10);
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct route_input in = input(t, &paris);

		in.seed = seed;
		assert_int_equal(decide(&in).nodes[0], 4);
	}
	/* ten sessions weigh less than being twenty times as far … */
	t->nodes[3].rtt_us = 10000;
	t->nodes[4].rtt_us = 200000;
	assert_int_equal(decide_for(t, &paris).nodes[0], 3);
	/* … and a fraction of a millisecond weighs nothing */
	t->nodes[3].rtt_us = 20;
	t->nodes[4].rtt_us = 400;
	assert_int_equal(decide_for(t, &paris).nodes[0], 4);
	topology_unref(t);
}

static void
a_large_region_offers_each_node_its_share(void **state)
{
	struct topology *t = topology_new();
	bool seen[200] = { false };
	int count = 0;

	(void)state;
	topology_add_region(t, "large");
	for (int i = 0; i < 200; i++)
		topology_add_node(t, "db", (uint16_t)(1 + i), NULL)->state = NODE_UP;
	for (uint64_t seed = 0; seed < 400; seed++) {
		struct route_input in = input(t, &nowhere);
		struct route r;

		in.seed = seed;
		r = decide(&in);
		assert_int_equal(r.nnodes, ROUTE_NODES_MAX);
		for (unsigned i = 0; i < r.nnodes; i++)
			seen[r.nodes[i]] = true;
	}
	for (int i = 0; i < 200; i++)
		count += seen[i];
	assert_int_equal(count, 200);
	topology_unref(t);
}

static void
suspects_and_full_nodes_are_tried_last(void **state)
{
	struct topology *t = movr();
	struct route r;

	(void)state;
	t->nodes[3].state = NODE_SUSPECT;
	t->nodes[4].max_connections = t->nodes[4].used_connections = 1;
	t->nodes[1].state = NODE_DOWN;
	r = decide_for(t, &paris);
	assert_string_equal(told(&r), "0+nearest 1=farther 2=full");
	assert_int_equal(r.nnodes, 4);
	assert_int_equal(r.nodes[0], 0);
	assert_int_equal(r.nodes[1], 2);
	assert_int_equal(r.nodes[2], 4);
	assert_int_equal(r.nodes[3], 3);
	topology_unref(t);
}

static void
a_node_that_comes_back_follows_its_neighbours(void **state)
{
	struct topology *t = movr();
	struct route r;

	(void)state;
	t->failback_delay_us = 60 * SEC;
	t->nodes[3].up_since_us = NOW - SEC;
	r = decide_for(t, &paris);
	assert_int_equal(r.nodes[0], 4);
	assert_int_equal(r.nodes[1], 3);
	assert_int_equal(r.rows[0].node, 4);
	topology_unref(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roles_fit_wishes_as_in_libpq),
		cmocka_unit_test(wishes_choose_among_roles),
		cmocka_unit_test(known_roles_come_before_unknown_ones),
		cmocka_unit_test(the_primary_that_was_left_behind_takes_no_writes),
		cmocka_unit_test(standbys_over_max_lag_are_skipped),
		cmocka_unit_test(load_counts_and_is_shown),
		cmocka_unit_test(two_choices_favour_the_idle_node),
		cmocka_unit_test(a_large_region_offers_each_node_its_share),
		cmocka_unit_test(suspects_and_full_nodes_are_tried_last),
		cmocka_unit_test(a_node_that_comes_back_follows_its_neighbours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
