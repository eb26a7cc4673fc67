/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/topology.h"

#include <math.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

static struct topology *
sample(void)
{
	struct topology *t = topology_new();

	topology_add_region(t, "gcp-us-east1");
	topology_add_node(t, "db1", 5432, NULL);
	topology_add_node(t, "[2001:db8::1]", 5433, NULL);
	topology_add_region(t, "europe-west1");
	topology_add_node(t, "/run/postgresql", 5432, NULL);
	topology_add_region(t, "aws-us-east1");
	return t;
}

static void
nodes_are_stored_region_by_region(void **state)
{
	struct topology *t = sample();

	(void)state;
	assert_int_equal(t->nregions, 3);
	assert_int_equal(t->nnodes, 3);
	assert_int_equal(t->regions[0].first_node, 0);
	assert_int_equal(t->regions[0].nnodes, 2);
	assert_int_equal(t->regions[1].first_node, 2);
	assert_int_equal(t->regions[1].nnodes, 1);
	assert_int_equal(t->regions[2].nnodes, 0);
	assert_int_equal(t->nodes[2].region, 1);
	assert_string_equal(t->nodes[0].name, "db1:5432");
	assert_string_equal(t->nodes[1].name, "[2001:db8::1]:5433");
	assert_string_equal(t->nodes[1].host, "2001:db8::1");
	assert_string_equal(t->nodes[2].name, "/run/postgresql:5432");
	assert_int_equal(t->nodes[0].lag_us, -1);
	assert_int_equal(t->nodes[0].lag_bytes, -1);
	topology_unref(t);
}

static void
names_are_found_without_provider_and_case(void **state)
{
	struct topology *t = sample();

	(void)state;
	assert_int_equal(topology_region_by_name(t, slice_str("gcp-us-east1")), 0);
	assert_int_equal(topology_region_by_name(t, slice_str("us-east1")), 0);
	assert_int_equal(topology_region_by_name(t, slice_str("AWS-US-East1")), 2);
	assert_int_equal(topology_region_by_name(t, slice_str("azure-europe-west1")), 1);
	assert_int_equal(topology_region_by_name(t, slice_str("us-east")), -1);
	assert_int_equal(topology_region_by_name(t, slice_str("")), -1);
	assert_ptr_equal(topology_node_by_name(t, slice_str("DB1:5432")), &t->nodes[0]);
	assert_null(topology_node_by_name(t, slice_str("db1:5433")));
	assert_ptr_equal(topology_node_by_live(t, t->nodes[1].live), &t->nodes[1]);
	topology_unref(t);
}

static void
a_copy_shares_nothing_but_the_live_counts(void **state)
{
	struct topology *t = sample(), *d;
	struct node_live *live;

	(void)state;
	strlist_add(&t->regions[1].cities, "paris");
	strlist_add(&t->regions[1].countries, "FR");
	assert_true(cidrlist_add(&t->regions[1].networks, slice_str("10.0.0.0/8")));
	topology_add_override(t, OVERRIDE_NETWORK, "192.0.2.0/24", 1, 77);
	d = topology_dup(t);
	live = node_live_ref(t->nodes[0].live);
	topology_unref(t);

	assert_string_equal(d->regions[1].cities.v[0], "paris");
	assert_string_equal(d->regions[1].countries.v[0], "FR");
	assert_int_equal(d->regions[1].networks.n, 1);
	assert_int_equal(d->noverrides, 1);
	assert_string_equal(d->overrides[0].value, "192.0.2.0/24");
	assert_int_equal(d->overrides[0].net.bits, 24);
	assert_int_equal(d->overrides[0].until_us, 77);
	assert_string_equal(d->nodes[2].name, "/run/postgresql:5432");
	assert_ptr_equal(d->nodes[0].live, live);
	topology_unref(d);
	assert_int_equal(atomic_load(&live->refs.n), 1);
	node_live_unref(live);
}

static void
silence_is_staleness(void **state)
{
	struct node n = { .role = ROLE_STANDBY, .lag_us = 1000, .sampled_at_us = 5000 };

	(void)state;
	assert_int_equal(node_lag_us(&n, 5000), 1000);
	assert_int_equal(node_lag_us(&n, 9000), 5000);
	assert_int_equal(node_lag_us(&n, 4000), 1000); /* a clock never makes a sample younger */
	n.lag_us = -1;
	assert_int_equal(node_lag_us(&n, 9000), -1);
	n.role = ROLE_PRIMARY;
	assert_int_equal(node_lag_us(&n, 9000), 0);
	n.role = ROLE_UNKNOWN;
	assert_int_equal(node_lag_us(&n, 9000), -1);
}

static void
a_stale_sample_makes_a_node_suspect(void **state)
{
	struct topology *t = sample();
	struct node *n = &t->nodes[0];

	(void)state;
	n->state = NODE_UP;
	n->sampled_at_us = 1000;
	t->stale_after_us = 500;
	assert_int_equal(node_state_at(t, n, 1500), NODE_UP);
	assert_int_equal(node_state_at(t, n, 1501), NODE_SUSPECT);
	t->stale_after_us = 0;
	assert_int_equal(node_state_at(t, n, 999999), NODE_UP);
	t->stale_after_us = 500;
	n->state = NODE_DOWN;
	assert_int_equal(node_state_at(t, n, 1501), NODE_DOWN);
	topology_unref(t);
}

static void
drained_and_down_nodes_take_no_sessions(void **state)
{
	struct topology *t = sample();

	(void)state;
	assert_true(node_usable(t, &t->nodes[0], 1));
	t->nodes[0].state = NODE_DOWN;
	assert_false(node_usable(t, &t->nodes[0], 1));
	assert_true(region_usable(t, 0, 1));
	t->nodes[1].drained = true;
	assert_false(region_usable(t, 0, 1));
	t->nodes[0].state = NODE_SUSPECT;
	assert_true(region_usable(t, 0, 1));
	t->regions[0].drained = true;
	assert_false(region_usable(t, 0, 1));
	assert_false(region_usable(t, 2, 1));
	topology_unref(t);
}

static void
of_two_primaries_the_lower_timeline_is_fenced(void **state)
{
	struct topology *t = sample();
	struct node *a = &t->nodes[0], *b = &t->nodes[2];

	(void)state;
	a->role = b->role = ROLE_PRIMARY;
	a->system_id = b->system_id = 7;
	a->timeline = 1;
	b->timeline = 2;
	assert_true(node_fenced(t, a));
	assert_false(node_fenced(t, b));
	b->state = NODE_DOWN; /* its rows exist all the same */
	assert_true(node_fenced(t, a));
	b->timeline = 1;
	assert_false(node_fenced(t, a));
	b->timeline = 2;
	b->system_id = 8;
	assert_false(node_fenced(t, a));
	a->system_id = b->system_id = 0;
	assert_false(node_fenced(t, a));
	topology_unref(t);
}

static void
locations_become_unit_vectors(void **state)
{
	struct region r = { 0 };

	(void)state;
	region_set_location(&r, 33.84, -81.16);
	assert_true(r.has_location);
	assert_true(fabs(r.unit[0] * r.unit[0] + r.unit[1] * r.unit[1] + r.unit[2] * r.unit[2] -
			 1) < 1e-12);
	region_set_location(&r, 90, 0);
	assert_true(fabs(r.unit[2] - 1) < 1e-12);
	assert_string_equal(node_state_name(NODE_SUSPECT), "suspect");
	assert_string_equal(node_role_name(ROLE_MULTI), "multi");
	assert_string_equal(node_kind_name(KIND_COCKROACHDB), "cockroachdb");
}

static void
a_configured_name_is_host_and_port(void **state)
{
	static const struct {
		const char *name, *host;
		uint16_t port;
	} v[] = {
		{ "db1:5433", "db1", 5433 },     { "db1", "db1", 5432 },
		{ "10.0.0.1:1", "10.0.0.1", 1 }, { "[2001:db8::1]:6543", "2001:db8::1", 6543 },
		{ "[::1]", "::1", 5432 },        { "/run/postgresql:5433", "/run/postgresql", 5433 }
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		uint16_t port;
		char *host = node_name_host(v[i].name, &port);

		assert_string_equal(host, v[i].host);
		assert_int_equal(port, v[i].port);
		free(host);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_configured_name_is_host_and_port),
		cmocka_unit_test(nodes_are_stored_region_by_region),
		cmocka_unit_test(names_are_found_without_provider_and_case),
		cmocka_unit_test(a_copy_shares_nothing_but_the_live_counts),
		cmocka_unit_test(silence_is_staleness),
		cmocka_unit_test(a_stale_sample_makes_a_node_suspect),
		cmocka_unit_test(drained_and_down_nodes_take_no_sessions),
		cmocka_unit_test(of_two_primaries_the_lower_timeline_is_fenced),
		cmocka_unit_test(locations_become_unit_vectors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
