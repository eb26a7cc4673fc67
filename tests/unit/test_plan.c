/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/plan.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static const struct step_def one = { .name = "one" }, two = { .name = "two" };

static void
a_plan_numbers_its_steps_and_keeps_copies(void **state)
{
	struct plan p = { 0 };
	char label[] = "public.t";

	(void)state;
	assert_int_equal(plan_add(&p, &one, "source", label, "{}"), 1);
	assert_int_equal(plan_add(&p, &two, "target", NULL, NULL), 2);
	label[0] = 'X';
	assert_string_equal(p.v[0].label, "public.t");
	assert_string_equal(p.v[1].label, "");
	assert_null(p.v[1].args);
	assert_int_equal(p.v[1].state, STEP_PENDING);
	plan_fini(&p);
	assert_int_equal(p.n, 0);
}

static void
hash_of(char out[17], const struct step_def *a, const char *place, const char *label)
{
	struct plan p = { 0 };

	plan_add(&p, a, place, label, NULL);
	plan_hash(&p, out);
	plan_fini(&p);
}

static void
the_hash_tells_plans_apart(void **state)
{
	char h[17], other[17];
	static const struct {
		const struct step_def *def;
		const char *place, *label;
	} others[] = {
		{ &two, "a", "t" }, { &one, "b", "t" }, { &one, "a", "u" }, { &one, "at", "" }
	};

	(void)state;
	hash_of(h, &one, "a", "t");
	hash_of(other, &one, "a", "t");
	assert_string_equal(h, other);
	assert_int_equal(strlen(h), 16);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		hash_of(other, others[i].def, others[i].place, others[i].label);
		assert_string_not_equal(h, other);
	}
}

static void
checks_go_into_the_row_and_back(void **state)
{
	struct checks c = { 0 }, back;
	char *json;

	(void)state;
	checks_add(&c, CHECK_ERROR, "wal_level", "", "it is \"replica\"", "ALTER SYSTEM …");
	checks_add(&c, CHECK_WARN, "bytes", "a\xff", NULL, NULL);
	checks_add(&c, CHECK_INFO, "size", "app", "12 MB", "");
	assert_int_equal(checks_count(&c, CHECK_ERROR), 1);
	json = checks_json(&c);
	assert_true(checks_parse(&back, json));
	assert_int_equal(back.n, 3);
	assert_int_equal(back.v[0].severity, CHECK_ERROR);
	assert_string_equal(back.v[0].detail, "it is \"replica\"");
	assert_string_equal(back.v[1].object, "(not UTF-8)");
	assert_string_equal(back.v[2].check, "size");
	assert_int_equal(back.v[2].severity, CHECK_INFO);
	checks_fini(&back);
	checks_fini(&c);
	free(json);
	assert_false(checks_parse(&back, "{}"));
	assert_false(checks_parse(&back, "no JSON"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_numbers_its_steps_and_keeps_copies),
		cmocka_unit_test(the_hash_tells_plans_apart),
		cmocka_unit_test(checks_go_into_the_row_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
