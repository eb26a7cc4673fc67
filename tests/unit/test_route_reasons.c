/* SPDX-License-Identifier: PostgreSQL
 *
 * One thing changed about the world at a time: the verdict on each region, its reason, and the
 * words for it.
 */
#include "config.h"

#include "routing/route.h"

#include <string.h>

#include "tests/unit/movr.h"

#include "tests/unit/unit.h"

/* One thing changed about the world, and the route that Paris gets. */
struct change {
	const char *what;
	void (*apply)(struct topology *t, struct route_input *in);
	const char *expect;
};

static void
nothing(struct topology *t, struct route_input *in)
{
	(void)t, (void)in;
}

static void
drain_region(struct topology *t, struct route_input *in)
{
	(void)in;
	t->regions[EUROPE].drained = true;
}

static void
drain_nodes(struct topology *t, struct route_input *in)
{
	(void)in;
	t->nodes[3].drained = t->nodes[4].drained = true;
}

static void
down(struct topology *t, struct route_input *in)
{
	(void)in;
	t->nodes[3].state = t->nodes[4].state = NODE_DOWN;
}

static void
half_down(struct topology *t, struct route_input *in)
{
	(void)in;
	t->nodes[3].state = NODE_DOWN;
}

static void
suspect(struct topology *t, struct route_input *in)
{
	(void)in;
	t->nodes[3].state = t->nodes[4].state = NODE_SUSPECT;
}

static void
stale(struct topology *t, struct route_input *in)
{
	(void)in;
	t->stale_after_us = 15 * SEC;
	t->nodes[3].sampled_at_us = t->nodes[4].sampled_at_us = NOW - 16 * SEC;
}

static void
not_probed(struct topology *t, struct route_input *in)
{
	(void)in;
	t->nodes[3].state = t->nodes[4].state = NODE_UNKNOWN;
}

static void
everything_down(struct topology *t, struct route_input *in)
{
	(void)in;
	for (unsigned i = 0; i < t->nnodes; i++)
		t->nodes[i].state = NODE_DOWN;
}

static void
only_suspects(struct topology *t, struct route_input *in)
{
	everything_down(t, in);
	t->nodes[2].state = NODE_SUSPECT;
}

static void
panic(struct topology *t, struct route_input *in)
{
	everything_down(t, in);
	t->nodes[0].state = NODE_UP;
	t->panic_pct = 50;
}

static void
no_panic_yet(struct topology *t, struct route_input *in)
{
	everything_down(t, in);
	t->nodes[0].state = NODE_UP;
	t->panic_pct = 20;
}

static void
just_healed(struct topology *t, struct route_input *in)
{
	(void)in;
	t->failback_delay_us = 60 * SEC;
	t->nodes[3].up_since_us = t->nodes[4].up_since_us = NOW - 59 * SEC;
}

static void
healed_long_ago(struct topology *t, struct route_input *in)
{
	just_healed(t, in);
	t->nodes[3].up_since_us = t->nodes[4].up_since_us = NOW - 73 * SEC;
}

static void
one_node_healed(struct topology *t, struct route_input *in)
{
	just_healed(t, in);
	t->nodes[4].up_since_us = 0;
}

static void
full(struct topology *t, struct route_input *in)
{
	(void)in;
	t->nodes[3].max_connections = t->nodes[4].max_connections = 97;
	t->nodes[3].used_connections = 97;
	atomic_store(&t->nodes[4].live->sessions, 98);
}

static void
one_full(struct topology *t, struct route_input *in)
{
	full(t, in);
	atomic_store(&t->nodes[4].live->sessions, 5);
}

static void
everything_full(struct topology *t, struct route_input *in)
{
	(void)in;
	for (unsigned i = 0; i < t->nnodes; i++)
		t->nodes[i].max_connections = t->nodes[i].used_connections = 10;
}

static const uint16_t america[] = { EAST, WEST };

static void
served_in_america(struct topology *t, struct route_input *in)
{
	(void)t;
	in->served = america;
	in->nserved = 2;
}

static void
served_nowhere(struct topology *t, struct route_input *in)
{
	served_in_america(t, in);
	in->nserved = 0;
}

static void
strict_region(struct topology *t, struct route_input *in)
{
	(void)in;
	t->regions[EUROPE].strict = true;
}

static void
strict_region_down(struct topology *t, struct route_input *in)
{
	strict_region(t, in);
	down(t, in);
}

static void
another_strict_region(struct topology *t, struct route_input *in)
{
	(void)in;
	t->regions[WEST].strict = true;
}

static void
strict_residency(struct topology *t, struct route_input *in)
{
	(void)t;
	in->residency_strict = true;
}

static void
strict_residency_down(struct topology *t, struct route_input *in)
{
	strict_residency(t, in);
	down(t, in);
}

static void
strict_residency_elsewhere(struct topology *t, struct route_input *in)
{
	strict_residency(t, in);
	served_in_america(t, in);
}

static void
strict_residency_by_country(struct topology *t, struct route_input *in)
{
	static struct locality french;

	french = paris;
	strcpy(french.country, "FR");
	in->locality = &french;
	in->residency_strict = true;
	strlist_add(&t->regions[WEST].countries, "FR");
	strlist_add(&t->regions[EUROPE].countries, "BE");
	strlist_add(&t->regions[EUROPE].countries, "FR");
	down(t, in);
}

static void
bias_on_west(struct topology *t, struct route_input *in)
{
	(void)in;
	t->regions[WEST].bias = 90;
}

/* As a migration has decided, whatever the section of the database says. */
static void
decided(struct topology *t, struct route_input *in, const char *place)
{
	topology_add_authority(t, "movr", place, "movr2", 7);
	in->authority = topology_authority(t, slice_str("movr"));
	assert_non_null(in->authority);
	assert_null(topology_authority(t, slice_str("other")));
}

static void
decided_for_west(struct topology *t, struct route_input *in)
{
	decided(t, in, "us-west1");
}

static void
decided_for_a_node(struct topology *t, struct route_input *in)
{
	decided(t, in, "gcp-us-east1:5433");
	t->nodes[0].role = ROLE_STANDBY; /* the other one would not do anyway */
}

static void
decided_for_a_node_that_is_down(struct topology *t, struct route_input *in)
{
	decided(t, in, "gcp-us-east1:5433");
	t->nodes[1].state = NODE_DOWN;
}

static void
decided_against_the_rules(struct topology *t, struct route_input *in)
{
	strict_residency(t, in);
	strict_region(t, in);
	served_nowhere(t, in);
	in->sticky_region = EUROPE;
	decided(t, in, "us-west1");
}

static void
decided_for_what_is_not_there(struct topology *t, struct route_input *in)
{
	decided(t, in, "osc-fr1");
}

static void
no_nodes_in_west(struct topology *t, struct route_input *in)
{
	(void)in;
	t->regions[WEST].nnodes = 0;
}

static void
verdicts_come_with_reasons(void **state)
{
	static const struct change table[] = {
		{ "nothing", nothing, "2+nearest 0=farther 1=farther" },
		{ "region drained", drain_region, "0+nearest 1=farther 2-drained" },
		{ "nodes drained", drain_nodes, "0+nearest 1=farther 2-drained" },
		{ "down", down, "0+nearest 1=farther 2-down" },
		{ "half down", half_down, "2+nearest 0=farther 1=farther" },
		{ "suspect", suspect, "0+nearest 1=farther 2=suspect" },
		{ "stale", stale, "0+nearest 1=farther 2=suspect" },
		{ "not probed yet", not_probed, "2+nearest 0=farther 1=farther" },
		{ "all down", everything_down, "2-down 0-down 1-down" },
		{ "only suspects", only_suspects, "1+suspect 2-down 0-down" },
		{ "panic", panic, "2+nearest 0=farther 1=farther" },
		{ "no panic yet", no_panic_yet, "0+nearest 2-down 1-down" },
		{ "just healed", just_healed, "0+nearest 1=farther 2=failback" },
		{ "healed long ago", healed_long_ago, "2+nearest 0=farther 1=farther" },
		{ "one node healed", one_node_healed, "2+nearest 0=farther 1=farther" },
		{ "full", full, "0+nearest 1=farther 2=full" },
		{ "one full", one_full, "2+nearest 0=farther 1=farther" },
		{ "all full", everything_full, "2+full 0=full 1=full" },
		{ "served elsewhere", served_in_america, "0+nearest 1=farther 2-not_served" },
		{ "served nowhere", served_nowhere, "2-not_served 0-not_served 1-not_served" },
		{ "strict", strict_region, "2+nearest 0-strict 1-strict" },
		{ "strict and down", strict_region_down, "2-down 0-strict 1-strict" },
		{ "strict elsewhere", another_strict_region, "2+nearest 0=farther 1=farther" },
		{ "residency", strict_residency, "2+nearest 0-residency 1-residency" },
		{ "residency, down", strict_residency_down, "2-down 0-residency 1-residency" },
		{ "residency, served elsewhere", strict_residency_elsewhere,
		  "0+nearest 2-not_served 1-residency" },
		{ "residency by country", strict_residency_by_country,
		  "1+nearest 2-down 0-residency" },
		{ "bias", bias_on_west, "2+nearest 1=farther 0=farther" },
		{ "decided", decided_for_west, "1+serves 2-moved 0-moved" },
		{ "decided, a node", decided_for_a_node, "0+serves 2-moved 1-moved" },
		{ "decided, a node that is down", decided_for_a_node_that_is_down,
		  "2-moved 0-down 1-moved" },
		{ "decided, against rules", decided_against_the_rules, "1+serves 2-moved 0-moved" },
		{ "decided, unknown", decided_for_what_is_not_there, "2-moved 0-moved 1-moved" },
		{ "no nodes", no_nodes_in_west, "2+nearest 0=farther 1-no_nodes" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct topology *t = movr();
		struct route_input in = input(t, &paris);
		struct route r;

		table[i].apply(t, &in);
		r = decide(&in);
		if (strcmp(told(&r), table[i].expect) != 0)
			fail_msg("%s: got %s", table[i].what, told(&r));
		topology_unref(t);
	}
}

static void
only_europe_and_down(struct topology *t, struct route_input *in)
{
	static const uint16_t europe[] = { EUROPE };

	down(t, in);
	in->served = europe;
	in->nserved = 1;
}

static void
down_and_region_drained(struct topology *t, struct route_input *in)
{
	everything_down(t, in);
	t->regions[EUROPE].drained = true;
}

static void
down_and_node_drained(struct topology *t, struct route_input *in)
{
	only_europe_and_down(t, in);
	t->nodes[3].drained = true;
}

static void
down_standbys(struct topology *t, struct route_input *in)
{
	only_europe_and_down(t, in);
	t->nodes[3].role = ROLE_STANDBY;
	t->nodes[4].role = ROLE_STANDBY;
}

static void
down_standbys_that_lag(struct topology *t, struct route_input *in)
{
	down_standbys(t, in);
	in->access = ACCESS_STANDBY;
	t->max_lag_us = 5 * SEC;
	t->nodes[3].lag_us = 6 * SEC;
	t->nodes[4].lag_us = 1 * SEC;
}

static void
down_and_fenced(struct topology *t, struct route_input *in)
{
	only_europe_and_down(t, in);
	for (unsigned i = 2; i < 5; i++) {
		t->nodes[i].role = ROLE_PRIMARY;
		t->nodes[i].system_id = 7;
		t->nodes[i].timeline = i == 3 ? 1 : 2;
	}
}

/* Nodes that probes have found down are tried where nothing else is left, and no other rule than
 * that of their health is bent for them. */
static void
what_is_down_is_tried_where_nothing_else_is_left(void **state)
{
	static const struct change table[] = {
		{ "nothing", nothing, "2+nearest 0=farther 1=farther | 2 2 0 0 1" },
		{ "down", down, "0+nearest 1=farther 2-down | 0 0 1" },
		{ "half down", half_down, "2+nearest 0=farther 1=farther | 2 0 0 1" },
		{ "only suspects", only_suspects, "1+suspect 2-down 0-down | 1" },
		{ "all down", everything_down, "2-last 0-last 1-last | 2 2 0 0 1" },
		{ "served nowhere else", only_europe_and_down,
		  "2-last 0-not_served 1-not_served | 2 2" },
		{ "strict and down", strict_region_down, "2-last 0-strict 1-strict | 2 2" },
		{ "residency, down", strict_residency_down,
		  "2-last 0-residency 1-residency | 2 2" },
		{ "decided, a node that is down", decided_for_a_node_that_is_down,
		  "2-moved 0-last 1-moved | 0" },
		{ "region drained", down_and_region_drained, "2-drained 0-last 1-last | 0 0 1" },
		{ "node drained", down_and_node_drained, "2-last 0-not_served 1-not_served | 2" },
		{ "wrong role", down_standbys, "2-no_role 0-not_served 1-not_served |" },
		{ "lagging", down_standbys_that_lag, "2-last 0-not_served 1-not_served | 2" },
		{ "fenced", down_and_fenced, "2-last 0-not_served 1-not_served | 2" },
		{ "no nodes", no_nodes_in_west, "2+nearest 0=farther 1-no_nodes | 2 2 0 0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct topology *t = movr();
		struct route_input in = input(t, &paris);
		struct route r;
		char text[600];
		int n;

		in.last_resort = true;
		table[i].apply(t, &in);
		r = decide(&in);
		n = snprintf(text, sizeof(text), "%s |", told(&r));
		for (unsigned j = 0; j < r.nnodes; j++)
			n += snprintf(text + n, sizeof(text) - (size_t)n, " %u",
				      t->nodes[r.nodes[j]].region);
		if (strcmp(text, table[i].expect) != 0)
			fail_msg("%s: got %s", table[i].what, text);
		in.last_resort = false;
		r = decide(&in);
		if (strstr(table[i].expect, "last") != NULL)
			assert_int_equal(r.nnodes, 0);
		topology_unref(t);
	}
}

/* What would be had all been well is not what rules forbid: only health spills over. */
static void
outcomes_tell_whether_all_was_well(void **state)
{
	static const struct change table[] = {
		{ "nothing", nothing, "nearest" },
		{ "drained", drain_region, "spilled" },
		{ "down", down, "spilled" },
		{ "half down", half_down, "nearest" },
		{ "suspect", suspect, "spilled" },
		{ "just healed", just_healed, "spilled" },
		{ "full", full, "spilled" },
		{ "all full", everything_full, "nearest" },
		{ "served elsewhere", served_in_america, "nearest" },
		{ "residency, served elsewhere", strict_residency_elsewhere, "nearest" },
		{ "bias", bias_on_west, "nearest" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct topology *t = movr();
		struct route_input in = input(t, &paris);
		enum route_outcome o;
		struct route r;

		table[i].apply(t, &in);
		r = decide(&in);
		o = route_outcome(&r.home, r.rows[0].region);
		if (strcmp(route_outcome_name(o), table[i].expect) != 0)
			fail_msg("%s: got %s", table[i].what, route_outcome_name(o));
		topology_unref(t);
	}
}

static void
reasons_are_told_in_words(void **state)
{
	struct topology *t = movr();
	struct route_row last;
	struct route r;
	char text[200];

	(void)state;
	down(t, NULL);
	strcpy(t->nodes[3].reason, "connection refused");
	t->nodes[2].state = NODE_DOWN;
	r = decide_for(t, &paris);
	route_reason_text(t, row_of(&r, EUROPE), NOW, text, sizeof(text));
	assert_string_equal(text, "all nodes down: connection refused");
	route_reason_text(t, row_of(&r, WEST), NOW, text, sizeof(text));
	assert_string_equal(text, "all nodes down");
	route_reason_text(t, row_of(&r, EAST), NOW, text, sizeof(text));
	assert_string_equal(text, "nearest");
	last = *row_of(&r, EUROPE);
	last.reason = REASON_LAST_RESORT;
	route_reason_text(t, &last, NOW, text, sizeof(text));
	assert_string_equal(text, "all nodes down: connection refused; tried as a last resort");
	route_reason_text(t, row_of(&r, EUROPE), NOW, text, 9);
	assert_string_equal(text, "all node");
	t->nodes[4].state = NODE_UP;
	t->nodes[4].role = ROLE_STANDBY;
	r = decide_for(t, &paris);
	route_reason_text(t, row_of(&r, EUROPE), NOW, text, sizeof(text));
	assert_string_equal(text, "node gcp-europe-west1:5432 is down: connection refused");
	for (int i = REASON_NAMED; i <= REASON_LAST_RESORT; i++) {
		struct route_row row = { .region = WEST, .reason = (enum route_reason)i };

		route_reason_text(t, &row, NOW, text, sizeof(text));
		assert_true(strlen(text) > 5);
	}
	topology_unref(t);
}

static void
a_decision_may_name_one_node_and_is_told_in_words(void **state)
{
	struct topology *t = movr(), *copy;
	struct route_input in = input(t, &paris);
	struct route r;
	char text[256];

	(void)state;
	decided(t, &in, "gcp-us-east1:5433");
	r = decide(&in);
	assert_int_equal(r.nnodes, 1);
	assert_int_equal(r.nodes[0], 1);
	route_reason_text(t, row_of(&r, EUROPE), NOW, text, sizeof(text));
	assert_string_equal(text, "the database has moved to gcp-us-east1");
	copy = topology_dup(t);
	topology_unref(t);
	assert_string_equal(topology_authority(copy, slice_str("movr"))->dbname, "movr2");
	assert_true(authority_has(&copy->authorities[0], copy, &copy->nodes[1]));
	assert_false(authority_has(&copy->authorities[0], copy, &copy->nodes[0]));
	assert_true(authority_has(NULL, copy, &copy->nodes[0]));
	topology_unref(copy);
}

static const char *
words_for(const struct topology *t, const struct route_row *row)
{
	static char text[200];

	route_reason_text(t, row, NOW, text, sizeof(text));
	return text;
}

/* Where the caller is somewhere and no region is: by round trip, and without any as configured. */
static void
without_distances_the_first_says_what_decided(void **state)
{
	struct topology *t = movr();
	struct route r;

	(void)state;
	for (unsigned i = 0; i < t->nregions; i++)
		t->regions[i].has_location = false;
	for (unsigned i = 0; i < t->nnodes; i++)
		t->nodes[i].rtt_us = -1;
	r = decide_for(t, &paris);
	assert_string_equal(told(&r), "0+nearest 1=farther 2=farther");
	assert_string_equal(words_for(t, &r.rows[0]),
			    "nothing is known of distances: first in order of configuration");
	t->nodes[3].rtt_us = 40000;
	r = decide_for(t, &paris);
	assert_string_equal(told(&r), "2+nearest 0=farther 1=farther");
	t->nodes[2].rtt_us = 900;
	r = decide_for(t, &paris);
	assert_string_equal(told(&r), "1+nearest 2=farther 0=farther");
	assert_string_equal(words_for(t, &r.rows[0]),
			    "nothing is known of distances: the shortest round trip");
	topology_unref(t);
}

static void
the_nearest_that_is_not_taken_says_why(void **state)
{
	struct topology *t = movr();
	struct locality l = { .region = -1, .has_location = true, .lat = 50.4482, .lon = 3.8189 };
	struct route_input in = input(t, &l);
	struct route r;

	(void)state;
	/* the caller was in the west's region last time, which is 110 km to the north now */
	region_set_location(&t->regions[WEST], 51.4482, 3.8189);
	in.sticky_region = WEST;
	r = decide(&in);
	assert_string_equal(told(&r), "1+sticky 2=nearest 0=farther");
	assert_string_equal(words_for(t, &r.rows[1]),
			    "nearer, but not by enough to leave the region of last time");
	topology_unref(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts_come_with_reasons),
		cmocka_unit_test(what_is_down_is_tried_where_nothing_else_is_left),
		cmocka_unit_test(outcomes_tell_whether_all_was_well),
		cmocka_unit_test(reasons_are_told_in_words),
		cmocka_unit_test(without_distances_the_first_says_what_decided),
		cmocka_unit_test(the_nearest_that_is_not_taken_says_why),
		cmocka_unit_test(a_decision_may_name_one_node_and_is_told_in_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
