/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/fkgraph.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

#define NONE 99

struct graph_case {
	size_t nodes;
	const char *edges; /* "10 21": 1 refers to 0, 2 to 1 */
	size_t first;
	const char *order;
	const char *cuts; /* edges that are cut, as they stand in `edges` */
};

static void
check(const struct graph_case *t)
{
	struct fkgraph_edge edges[64];
	struct fkgraph g = { .nodes = t->nodes, .edges = edges };
	size_t order[16] = { 0 };
	char said[64] = "", cuts[64] = "";
	size_t n = 0;

	for (const char *p = t->edges; *p != '\0'; p += p[2] == ' ' ? 3 : 2)
		edges[g.nedges++] =
		    (struct fkgraph_edge){ (size_t)(p[0] - '0'), (size_t)(p[1] - '0'), false };
	fkgraph_order(&g, t->first, order);
	for (size_t i = 0; i < t->nodes; i++)
		said[i] = (char)('0' + order[i]);
	for (size_t i = 0; i < g.nedges; i++)
		if (edges[i].is_cut) {
			if (n > 0)
				cuts[n++] = ' ';
			cuts[n++] = (char)('0' + edges[i].from);
			cuts[n++] = (char)('0' + edges[i].to);
		}
	assert_string_equal(said, t->order);
	assert_string_equal(cuts, t->cuts);
}

static void
tables_come_after_those_they_refer_to(void **state)
{
	static const struct graph_case cases[] = {
		{ 0, "", NONE, "", "" },
		{ 3, "", NONE, "012", "" },
		{ 3, "01 12", NONE, "210", "" },
		/* line_items 0, orders 1, products 2, stores 3 */
		{ 4, "13 23 01 02 03", NONE, "3120", "" },
		/* two keys between the same tables */
		{ 2, "01 01", NONE, "10", "" },
		/* a diamond, and one that has nothing to do with it */
		{ 5, "10 20 31 32", NONE, "04123", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(&cases[i]);
}

static void
a_table_that_refers_to_itself_does_not_wait(void **state)
{
	static const struct graph_case cases[] = {
		{ 1, "00", NONE, "0", "" },
		{ 2, "00 01 11", NONE, "10", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(&cases[i]);
}

static void
a_circle_is_cut_once_where_it_costs_least(void **state)
{
	static const struct graph_case cases[] = {
		{ 2, "01 10", NONE, "01", "01" },
		{ 2, "01 10", 1, "10", "10" },
		{ 3, "01 12 20", NONE, "021", "01" },
		{ 3, "01 12 20", 1, "102", "12" },
		/* 2 only hangs on the circle of 0 and 1 */
		{ 3, "01 10 20", NONE, "012", "01" },
		{ 3, "01 10 20", 2, "012", "01" },
		/* both keys between the two are dropped */
		{ 2, "01 01 10", NONE, "10", "10" },
		/* two circles, the second waits for the first: 2-3 refer to 0-1 */
		{ 4, "01 10 23 32 20", NONE, "0123", "01 23" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(&cases[i]);
}

/* Whatever the graph: every node once, and no key that is not cut points forward. */
static void
any_graph_gets_an_order_that_holds(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct fkgraph_edge edges[30];
		struct fkgraph g = { .nodes = 1 + (size_t)(round % 9), .edges = edges };
		size_t order[16], place[16];

		for (size_t i = 0; i < 30; i++) {
			seed = seed * 1664525u + 1013904223u;
			edges[i].from = (seed >> 8) % g.nodes;
			edges[i].to = (seed >> 20) % g.nodes;
			edges[i].is_cut = false;
		}
		g.nedges = (size_t)(round % 31) > 30 ? 30 : (size_t)(round % 31);
		memset(place, 0xff, sizeof(place));
		fkgraph_order(&g, (size_t)(round % 12), order);
		for (size_t i = 0; i < g.nodes; i++) {
			assert_true(order[i] < g.nodes);
			assert_true(place[order[i]] == (size_t)-1);
			place[order[i]] = i;
		}
		for (size_t i = 0; i < g.nedges; i++)
			if (!edges[i].is_cut && edges[i].from != edges[i].to)
				assert_true(place[edges[i].to] < place[edges[i].from]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_come_after_those_they_refer_to),
		cmocka_unit_test(a_table_that_refers_to_itself_does_not_wait),
		cmocka_unit_test(a_circle_is_cut_once_where_it_costs_least),
		cmocka_unit_test(any_graph_gets_an_order_that_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
