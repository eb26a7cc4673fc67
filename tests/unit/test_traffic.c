/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/traffic.h"

#include "base/clock.h"
#include "migration/site.h"

#include "tests/unit/unit.h"

static void
see(void *arg, const char *database, struct traffic *out)
{
	if (strcmp(database, arg) != 0)
		return;
	traffic_add(out, "select a.x from a join b using (id)", 100, 2, 10);
	traffic_add(out, "update b set x = ?", 50, 1, 40);
	traffic_add(out, "alter table a add x int", 1, 1000, 1000);
	traffic_add(out, "insert into a select from ab", 7, -1, -1);
	out->window_us = 10 * USEC_PER_SEC;
}

static const struct site_ops seeing = { .traffic = see }, blind = { 0 };

static void
the_proxy_answers_for_databases_it_has_seen(void **state)
{
	char shop[] = "shop", text[TRAFFIC_TEXT_MAX];
	const struct site site = { .ops = &seeing, .arg = shop }, none = { .ops = &blind };
	struct traffic t;

	(void)state;
	traffic_of_proxy(&site, "shop", &t);
	assert_int_equal(t.source, TRAFFIC_OF_PROXY);
	assert_int_equal(t.n, 4);
	assert_string_equal(traffic_source_text(&t, text), "this proxy, last 10 s");
	t.window_us = 150 * 60 * USEC_PER_SEC;
	assert_string_equal(traffic_source_text(&t, text), "this proxy, last 2 h");
	t.window_us = 90 * 60 * USEC_PER_SEC;
	assert_string_equal(traffic_source_text(&t, text), "this proxy, last 90 min");
	traffic_fini(&t);
	traffic_of_proxy(&site, "else", &t);
	assert_int_equal(t.source, TRAFFIC_UNKNOWN);
	assert_string_equal(traffic_source_text(&t, text), "not known");
	traffic_of_proxy(&none, "shop", &t);
	assert_int_equal(t.source, TRAFFIC_UNKNOWN);
	traffic_fini(&t);
}

static void
statements_count_that_name_both(void **state)
{
	char shop[] = "shop";
	const struct site site = { .ops = &seeing, .arg = shop };
	struct traffic_count n;
	struct traffic t;

	(void)state;
	traffic_of_proxy(&site, "shop", &t);
	traffic_count(&t, "A", "b", &n);
	assert_true(n.calls == 100 && n.mean_ms == 2 && n.p99_ms == 10);
	assert_true(traffic_per_second(&t, n.calls) == 10);
	traffic_count(&t, "b", NULL, &n);
	assert_true(n.calls == 150 && n.p99_ms == 40);
	/* changes of the schema are no use of it */
	traffic_count(&t, "a", "x", &n);
	assert_true(n.calls == 100);
	traffic_count(&t, "a", "nothing", &n);
	assert_true(n.calls == 0 && n.mean_ms < 0 && n.p99_ms < 0);
	t.source = TRAFFIC_OF_SERVER;
	assert_true(traffic_per_second(&t, 100) < 0);
	traffic_fini(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_proxy_answers_for_databases_it_has_seen),
		cmocka_unit_test(statements_count_that_name_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
