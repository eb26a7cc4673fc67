/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/process/descriptors.h"

#include <sys/resource.h>
#include <unistd.h>

#include "proxy/config/config.h"
#include "tests/unit/unit.h"

#define LIMIT 128 /* of the process, while one of these tests runs */

/* What was opened until there was none left. */
struct glutton {
	int fds[LIMIT];
	unsigned n;
};

static struct rlimit usual;

static int
limit(void **state)
{
	struct rlimit few;

	(void)state;
	(void)getrlimit(RLIMIT_NOFILE, &usual);
	few = usual;
	few.rlim_cur = LIMIT;
	return setrlimit(RLIMIT_NOFILE, &few);
}

static int
unlimit(void **state)
{
	(void)state;
	return setrlimit(RLIMIT_NOFILE, &usual);
}

static void
take_all(struct glutton *g)
{
	int fd;

	while ((fd = dup(0)) >= 0)
		g->fds[g->n++] = fd;
}

static void
give_back(struct glutton *g, unsigned n)
{
	while (n-- > 0)
		close(g->fds[--g->n]);
}

static void
one_of_the_reserve_can_be_had_where_there_are_no_others(void **state)
{
	struct descriptors *d = descriptors_new();
	struct glutton g = { .n = 0 };

	(void)state;
	assert_int_equal(descriptors_held(d), DESCRIPTORS_RESERVE);
	assert_false(descriptors_short(d));
	take_all(&g);
	assert_int_equal(dup(0), -1);
	assert_true(descriptors_spend(d, false));
	assert_true(descriptors_short(d));
	take_all(&g);
	descriptors_refill(d);
	assert_true(descriptors_short(d));
	give_back(&g, 1);
	descriptors_refill(d);
	assert_false(descriptors_short(d));
	assert_int_equal(dup(0), -1);
	give_back(&g, g.n);
	descriptors_free(d);
}

static void
the_last_quarter_is_for_the_privileged(void **state)
{
	struct descriptors *d = descriptors_new();
	unsigned n = 0;

	(void)state;
	while (descriptors_spend(d, false))
		n++;
	assert_int_equal(n, DESCRIPTORS_RESERVE * 3 / 4);
	while (descriptors_spend(d, true))
		n++;
	assert_int_equal(n, DESCRIPTORS_RESERVE);
	assert_int_equal(descriptors_held(d), 0);
	descriptors_refill(d);
	assert_int_equal(descriptors_held(d), DESCRIPTORS_RESERVE);
	descriptors_free(d);
}

static void
room_is_made_of_the_reserve_only_where_there_is_no_other(void **state)
{
	struct descriptors *d = descriptors_new();
	struct glutton g = { .n = 0 };

	(void)state;
	descriptors_make_room(d);
	assert_false(descriptors_short(d));
	take_all(&g);
	give_back(&g, 1);
	descriptors_make_room(d);
	assert_int_equal(descriptors_held(d), DESCRIPTORS_RESERVE - 1);
	take_all(&g);
	descriptors_make_room(d);
	assert_int_equal(descriptors_held(d), DESCRIPTORS_RESERVE - 3);
	give_back(&g, g.n);
	descriptors_free(d);
}

static void
of_few_an_eighth_is_held(void **state)
{
	struct rlimit few = { 40, usual.rlim_max };
	struct descriptors *d;

	(void)state;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	d = descriptors_new();
	assert_int_equal(descriptors_held(d), 5);
	descriptors_free(d);
}

static void
no_reserve_is_never_short(void **state)
{
	(void)state;
	assert_int_equal(descriptors_held(NULL), 0);
	assert_false(descriptors_short(NULL));
	assert_false(descriptors_spend(NULL, true));
	descriptors_refill(NULL);
	descriptors_free(NULL);
}

static void
what_a_configuration_needs_is_counted(void **state)
{
	struct descriptors *d = descriptors_new();
	struct conf_region regions[2] = { 0 };
	struct config config = { .regions = regions, .nregions = 2 };
	int64_t own;

	(void)state;
	strlist_add(&regions[0].nodes, "a:1");
	strlist_add(&regions[0].nodes, "b:1");
	strlist_add(&regions[1].nodes, "c:1");
	descriptors_settle(d);
	own = descriptors_needed(d, &config) - 6;
	assert_in_range(own, 3 + DESCRIPTORS_RESERVE, 60);
	config.main.max_client_conn = 1000;
	assert_int_equal(descriptors_needed(d, &config), own + 2006);
	strlist_fini(&regions[0].nodes);
	strlist_fini(&regions[1].nodes);
	descriptors_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    one_of_the_reserve_can_be_had_where_there_are_no_others, limit, unlimit),
		cmocka_unit_test_setup_teardown(the_last_quarter_is_for_the_privileged, limit,
						unlimit),
		cmocka_unit_test_setup_teardown(
		    room_is_made_of_the_reserve_only_where_there_is_no_other, limit, unlimit),
		cmocka_unit_test_setup_teardown(of_few_an_eighth_is_held, limit, unlimit),
		cmocka_unit_test_setup_teardown(what_a_configuration_needs_is_counted, limit,
						unlimit),
		cmocka_unit_test(no_reserve_is_never_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
