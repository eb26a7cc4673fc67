/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/redirects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "routing/topology.h"
#include "tests/unit/unit.h"

#define UUID "11111111-2222-3333-4444-555555555555"

struct fixture {
	struct redirections *r;
	struct topology *t; /* a proxy in "old"; app is served by "new" */
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->r = redirections_new();
	f->t = topology_new();
	topology_add_region(f->t, "old");
	topology_add_node(f->t, "db1", 5432, NULL);
	topology_add_region(f->t, "new");
	topology_add_node(f->t, "db2", 5432, NULL);
	f->t->self_region = 0;
	topology_add_authority(f->t, "app", "new", NULL, 7);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	redirections_free(f->r);
	topology_unref(f->t);
	free(f);
	return 0;
}

static struct redirect
redirect(char *from, char *to, bool ends, int64_t left_us)
{
	return (struct redirect){ .uuid = UUID,
				  .migration = 1,
				  .database = (char *)(uintptr_t) "app",
				  .from = from,
				  .to = to,
				  .newdb = (char *)(uintptr_t) "",
				  .ends = ends,
				  .until = "2026-12-21 22:02:08+00",
				  .left_us = left_us };
}

static char old_region[] = "old", new_region[] = "new", old_node[] = "db1:5432";

static bool
found(struct fixture *f, struct redirection *out)
{
	return redirections_find(f->r, f->t, slice_str("app"), out);
}

static void
only_what_left_our_region_and_is_in_force_is_found(void **state)
{
	struct fixture *f = *state;
	struct redirect v = redirect(old_region, new_region, true, USEC_PER_SEC);
	struct redirect back = redirect(new_region, old_region, true, USEC_PER_SEC);
	struct redirect of_node = redirect(old_node, new_region, true, USEC_PER_SEC);
	struct redirection out;

	assert_false(found(f, &out));
	redirections_set(f->r, "new/app", &v, 1);
	assert_true(found(f, &out));
	assert_string_equal(out.to, "new");
	assert_false(out.is_over);
	assert_false(redirections_find(f->r, f->t, slice_str("other"), &out));

	f->t->self_region = 1;
	assert_false(found(f, &out));
	f->t->self_region = -1;
	assert_false(found(f, &out));
	f->t->self_region = 0;
	topology_clear_authorities(f->t);
	assert_false(found(f, &out));
	topology_add_authority(f->t, "app", "old", NULL, 8);
	assert_false(found(f, &out));
	topology_clear_authorities(f->t);
	topology_add_authority(f->t, "app", "new", NULL, 9);
	assert_true(found(f, &out));

	redirections_set(f->r, "new/app", &back, 1);
	assert_false(found(f, &out));
	redirections_set(f->r, "new/app", &of_node, 1);
	assert_true(found(f, &out));
}

static void
it_is_over_when_its_time_is(void **state)
{
	struct fixture *f = *state;
	struct redirect v = redirect(old_region, new_region, true, -1);
	struct redirection out;

	redirections_set(f->r, "new/app", &v, 1);
	assert_true(found(f, &out) && out.is_over);
	v.left_us = USEC_PER_SEC;
	redirections_set(f->r, "new/app", &v, 1);
	assert_true(found(f, &out) && !out.is_over);
	v.ends = false;
	v.left_us = 0;
	redirections_set(f->r, "new/app", &v, 1);
	assert_true(found(f, &out) && !out.is_over);
}

static void
what_a_database_says_no_more_is_forgotten(void **state)
{
	struct fixture *f = *state;
	struct redirect v = redirect(old_region, new_region, true, USEC_PER_SEC);
	struct redirection out;

	redirections_set(f->r, "new/app", &v, 1);
	redirections_set(f->r, "new/other", NULL, 0);
	assert_true(found(f, &out));
	redirections_set(f->r, "new/app", NULL, 0);
	assert_false(found(f, &out));
}

struct sum {
	int callers;
	int64_t logins, refused, nameless;
	const char *wanted;
};

static void
sum_up(void *to, const struct redirect_caller *c)
{
	struct sum *s = to;

	if (s->wanted != NULL)
		assert_string_equal(c->addr, s->wanted);
	assert_true(c->age_us >= 0);
	s->callers++;
	s->logins += c->logins;
	s->refused += c->refused;
	if (c->addr[0] == '\0')
		s->nameless += c->logins;
}

static void
callers_are_counted_and_taken_out_once(void **state)
{
	struct fixture *f = *state;
	struct redirect v = redirect(old_region, new_region, true, USEC_PER_SEC);
	const struct redirect_caller back = { "192.0.2.1", "ada", "job", 2, 1, 1000 };
	struct sum s = { .wanted = "192.0.2.1" };

	redirections_count(f->r, UUID, "192.0.2.1", slice_str("ada"), slice_str("job"), false);
	redirections_set(f->r, "new/app", &v, 1);
	for (int i = 0; i < 3; i++)
		redirections_count(f->r, UUID, "192.0.2.1", slice_str("ada"), slice_str("job"),
				   i == 2);
	redirections_put(f->r, UUID, &back);
	redirections_take(f->r, UUID, sum_up, &s);
	assert_int_equal(s.callers, 1);
	assert_int_equal(s.logins, 4);
	assert_int_equal(s.refused, 2);
	s = (struct sum){ 0 };
	redirections_take(f->r, UUID, sum_up, &s);
	assert_int_equal(s.callers, 0);
}

static void
beyond_the_bound_callers_have_no_name(void **state)
{
	struct fixture *f = *state;
	struct redirect v = redirect(old_region, new_region, true, USEC_PER_SEC);
	struct sum s = { 0 };
	char name[32], long_name[300];

	redirections_set(f->r, "new/app", &v, 1);
	memset(long_name, 'x', sizeof(long_name));
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "job %d", i);
		redirections_count(f->r, UUID, "192.0.2.1", slice_of(long_name, sizeof(long_name)),
				   slice_str(name), false);
	}
	redirections_take(f->r, UUID, sum_up, &s);
	assert_int_equal(s.callers, REDIRECT_CALLERS_MAX + 1);
	assert_int_equal(s.logins, 5000);
	assert_int_equal(s.nameless, 4000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_what_left_our_region_and_is_in_force_is_found,
						setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_over_when_its_time_is, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_database_says_no_more_is_forgotten, setup,
						teardown),
		cmocka_unit_test_setup_teardown(callers_are_counted_and_taken_out_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(beyond_the_bound_callers_have_no_name, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
