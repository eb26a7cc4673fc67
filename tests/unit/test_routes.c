/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"

struct told {
	char last[128];
	int n;
	char file[64];
};

static void
serve(void *arg, const char *database, const char *place, const char *newdb, int64_t epoch)
{
	struct told *t = arg;

	snprintf(t->last, sizeof(t->last), "%s %s %s %d", database, place, newdb, (int)epoch);
	t->n++;
}

static void
settings(void *arg, struct site_settings *out)
{
	snprintf(out->authority_file, sizeof(out->authority_file), "%s",
		 ((struct told *)arg)->file);
}

static const struct site_ops ops = { .serve = serve, .settings = settings };

static struct routes *
begin(struct told *t)
{
	struct site site = { .ops = &ops, .arg = t };

	return routes_new(&site);
}

static char text[8][16];

static struct route_row
row(const char *place, int64_t epoch)
{
	static unsigned i;
	char *p = text[i++ % 8];

	snprintf(p, sizeof(text[0]), "%s", place);
	return (struct route_row){ .database = (char *)(uintptr_t) "app",
				   .place = p,
				   .newdb = (char *)(uintptr_t) "",
				   .epoch = epoch };
}

static void
the_highest_epoch_counts_wherever_it_was_read(void **state)
{
	struct told t = { .n = 0 };
	struct routes *r = begin(&t);
	struct route_row east = row("west", 4), old = row("east", 3), new = row("south", 5);

	(void)state;
	routes_update(r, "west", &east, 1);
	assert_string_equal(t.last, "app west  4");
	routes_update(r, "east", &old, 1);
	assert_int_equal(t.n, 1);
	routes_update(r, "east", &new, 1);
	assert_string_equal(t.last, "app south  5");
	routes_update(r, "west", &east, 1);
	assert_int_equal(t.n, 2);
	routes_free(r);
}

static void
a_row_that_is_gone_gives_the_database_back(void **state)
{
	struct told t = { .n = 0 };
	struct routes *r = begin(&t);
	struct route_row one = row("west", 4);

	(void)state;
	routes_update(r, "west", &one, 1);
	routes_update(r, "east", NULL, 0);
	assert_int_equal(t.n, 1);
	routes_update(r, "west", NULL, 0);
	assert_string_equal(t.last, "app   5");
	routes_update(r, "west", NULL, 0);
	assert_int_equal(t.n, 2);
	routes_free(r);
}

static void
while_nothing_new_is_decided_the_old_stays_in_force(void **state)
{
	struct told t = { .n = 0 };
	struct routes *r = begin(&t);
	struct route_row one = row("west", 4), fenced = row("", 5), none = row("", 1);

	(void)state;
	routes_update(r, "east", &none, 1);
	assert_int_equal(t.n, 0);
	routes_update(r, "west", &one, 1);
	routes_update(r, "west", &fenced, 1);
	assert_int_equal(t.n, 1);
	assert_string_equal(t.last, "app west  4");
	routes_free(r);
}

static void
what_was_in_force_is_known_after_a_restart(void **state)
{
	struct told t = { .n = 0, .file = "/tmp/meridian-routes-XXXXXX" };
	struct route_row one = row("west", 4), older = row("east", 3), newer = row("east", 6);
	struct routes *r;

	(void)state;
	close(mkstemp(t.file));
	r = begin(&t);
	routes_update(r, "west", &one, 1);
	routes_free(r);
	t.last[0] = '\0';
	r = begin(&t);
	routes_read(r);
	assert_string_equal(t.last, "app west  4");
	routes_update(r, "east", &older, 1);
	assert_int_equal(t.n, 2);
	routes_update(r, "east", &newer, 1);
	assert_string_equal(t.last, "app east  6");
	routes_update(r, "east", NULL, 0);
	assert_string_equal(t.last, "app   7");
	routes_free(r);
	unlink(t.file);
}

static void
a_file_that_is_no_json_is_left_alone(void **state)
{
	struct told t = { .n = 0, .file = "/tmp/meridian-routes-XXXXXX" };
	int fd = mkstemp(t.file);
	struct routes *r;

	(void)state;
	assert_int_equal(write(fd, "[{]", 3), 3);
	close(fd);
	r = begin(&t);
	routes_read(r);
	assert_int_equal(t.n, 0);
	routes_free(r);
	unlink(t.file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_highest_epoch_counts_wherever_it_was_read),
		cmocka_unit_test(a_row_that_is_gone_gives_the_database_back),
		cmocka_unit_test(while_nothing_new_is_decided_the_old_stays_in_force),
		cmocka_unit_test(what_was_in_force_is_known_after_a_restart),
		cmocka_unit_test(a_file_that_is_no_json_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
