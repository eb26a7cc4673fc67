/* SPDX-License-Identifier: PostgreSQL
 *
 * What an answer costs by how much is known: what it tells, and not what others have told.
 */
#include "config.h"

#include "routing/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cost.h"
#include "tests/unit/unit.h"

#define TOLD    4
#define ANSWERS 200

static const struct roster_conf conf = { .min_keep_pct = 50, .grace_us = 1 };

/* The answer of one of many sources, each of which has nodes of its own. */
static enum roster_news
answer(struct roster *r, unsigned source, int64_t now_us)
{
	char node[32], names[TOLD][48];
	struct told_node told[TOLD];

	snprintf(node, sizeof(node), "source-%u", source);
	for (unsigned i = 0; i < TOLD; i++) {
		snprintf(names[i], sizeof(names[i]), "db-%u-%u.example:5432", i, source);
		told[i] = (struct told_node){ .name = names[i],
					      .host = names[i],
					      .port = 5432,
					      .region = node,
					      .serves = true };
	}
	return roster_take(r, &conf, node, DISCOVER_REPLICATION, 7, told, TOLD, now_us);
}

static double
answers_ms(const void *arg, size_t n)
{
	struct roster *r = roster_new();
	unsigned nsources = (unsigned)n;
	double begun;

	(void)arg;
	for (unsigned i = 0; i < nsources; i++)
		(void)answer(r, i, 1);
	begun = cost_ms();
	for (unsigned i = 0; i < ANSWERS; i++)
		if (answer(r, i % nsources, 2) != ROSTER_SAME)
			abort();
	begun = cost_ms() - begun;
	if (r->nfound != nsources * TOLD)
		abort();
	roster_unref(r);
	return begun;
}

static void
an_answer_costs_what_it_tells(void **state)
{
	(void)state;
	print_message("%d answers: %.2f ms of 8 sources, %.2f ms of 1024\n", ANSWERS,
		      cost_least(answers_ms, NULL, 8), cost_least(answers_ms, NULL, 1024));
	assert_cost(cost_least(answers_ms, NULL, 1024), 3, cost_least(answers_ms, NULL, 8));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_costs_what_it_tells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
