/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/geo.h"

#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#include "tests/unit/unit.h"

#define CITY_DB  TEST_DATA "/city.mmdb"
#define FLAT4_DB TEST_DATA "/flat-ipv4.mmdb"
#define FLAT6_DB TEST_DATA "/flat-ipv6.mmdb"

/* Open the named files; ends with NULL. */
static struct geo *
open_files(struct err *e, ...)
{
	struct strlist files = { 0 };
	struct geo *g;
	const char *path;
	va_list ap;

	va_start(ap, e);
	while ((path = va_arg(ap, const char *)) != NULL)
		strlist_add(&files, path);
	va_end(ap);
	g = geo_open(&files, e);
	strlist_fini(&files);
	return g;
}

static bool
lookup(const struct geo *g, const char *ip, struct geo_answer *out)
{
	struct addr a;

	memset(out, 0, sizeof(*out));
	assert_true(addr_parse(slice_str(ip), &a));
	return geo_lookup(g, &a, out);
}

struct vector {
	const char *ip, *city, *country;
	double lat, lon;
	unsigned accuracy_km;
	bool country_only;
};

static const struct vector cities[] = {
	{ "81.2.69.142", "London", "GB", 51.5142, -0.0931, 10, false },
	{ "::ffff:81.2.69.142", "London", "GB", 51.5142, -0.0931, 10, false },
	{ "81.2.69.144", "London", "GB", 51.5142, -0.0931, 3, false },
	{ "2.125.160.216", "Boxford", "GB", 51.75, -1.25, 100, false },
	{ "2.125.160.223", "Boxford", "GB", 51.75, -1.25, 100, false },
	{ "216.160.83.57", "Milton", "US", 47.2513, -122.3149, 22, false },
	{ "89.160.20.127", "Linköping", "SE", 58.4167, 15.6167, 76, false },
	{ "2001:480:10::1", "San Diego", "US", 32.7405, -117.0935, 20, false },
	{ "2001:218::1", "", "JP", 35.68536, 139.75309, 100, true },
	{ "198.51.100.1", "", "US", 37.751, -97.822, 1000, true },
	{ "203.0.113.1", "Houston", "US", 29.7633, -95.3633, 500, true },
};

static void
check_vector(const struct geo *g, const struct vector *v, bool radius)
{
	struct geo_answer a;

	assert_true(lookup(g, v->ip, &a));
	assert_string_equal(a.city, v->city);
	assert_string_equal(a.country, v->country);
	assert_true(a.has_location);
	assert_true(fabs(a.lat - v->lat) < 1e-5 && fabs(a.lon - v->lon) < 1e-4);
	assert_int_equal(a.accuracy_km, radius ? v->accuracy_km : 0);
	assert_true(a.country_only == (radius ? v->country_only : v->city[0] == '\0'));
}

static void
nested_records_with_doubles_are_read(void **state)
{
	struct err e;
	struct geo *g = open_files(&e, CITY_DB, NULL);

	(void)state;
	assert_non_null(g);
	for (size_t i = 0; i < sizeof(cities) / sizeof(cities[0]); i++)
		check_vector(g, &cities[i], true);
	geo_unref(g);
}

static void
flat_records_with_floats_are_read_and_families_find_their_file(void **state)
{
	struct err e;
	struct geo *g = open_files(&e, FLAT4_DB, FLAT6_DB, NULL);
	struct geo *turned = open_files(&e, FLAT6_DB, FLAT4_DB, NULL);

	(void)state;
	assert_non_null(g);
	assert_non_null(turned);
	for (size_t i = 0; i < sizeof(cities) / sizeof(cities[0]); i++) {
		check_vector(g, &cities[i], false);
		check_vector(turned, &cities[i], false);
	}
	geo_unref(g);
	geo_unref(turned);
}

static void
what_no_database_knows_is_not_found(void **state)
{
	struct err e;
	struct geo *g = open_files(&e, CITY_DB, NULL), *four = open_files(&e, FLAT4_DB, NULL);
	struct addr unix_socket = { .family = ADDR_UNIX }, none = { 0 };
	struct geo_answer a;

	(void)state;
	assert_false(lookup(g, "9.9.9.9", &a));
	assert_false(lookup(g, "2.125.160.215", &a));
	assert_false(lookup(g, "2.125.160.224", &a));
	assert_false(lookup(g, "2001:db8::1", &a));
	assert_false(lookup(four, "2001:218::1", &a)); /* IPv6 in a file of IPv4 */
	assert_false(lookup(NULL, "81.2.69.142", &a));
	assert_false(geo_lookup(g, &unix_socket, &a));
	assert_false(geo_lookup(g, &none, &a));
	geo_unref(g);
	geo_unref(four);
}

static void
records_may_lack_anything(void **state)
{
	struct err e;
	struct geo *g = open_files(&e, CITY_DB, NULL);
	struct geo_answer a;

	(void)state;
	assert_false(lookup(g, "203.0.113.129", &a)); /* an empty record */
	assert_true(lookup(g, "203.0.113.193", &a));
	assert_string_equal(a.country, "DE");
	assert_true(a.country_only);
	assert_false(a.has_location);
	assert_true(lookup(g, "203.0.113.225", &a));
	assert_string_equal(a.city, "Paris");
	assert_false(a.country_only);
	assert_false(a.has_location);
	assert_true(lookup(g, "203.0.113.241", &a)); /* at 0,0: nowhere */
	assert_string_equal(a.city, "Nowhere");
	assert_false(a.has_location);
	geo_unref(g);
}

static void
no_files_are_no_error(void **state)
{
	struct strlist none = { 0 };
	struct err e = { .msg = "old" };

	(void)state;
	assert_null(geo_open(&none, &e));
	assert_string_equal(e.msg, "");
	assert_false(geo_changed(NULL, &none));
	geo_unref(NULL);
	assert_null(geo_ref(NULL));
	assert_int_equal(geo_files(NULL, NULL, 0), 0);
}

static void
damaged_files_do_not_open(void **state)
{
	static const char *const bad[] = { TEST_DATA "/bad-double.mmdb",
					   TEST_DATA "/bad-nodes.mmdb", TEST_DATA "/absent.mmdb",
					   TEST_DATA, "/dev/null" };
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(open_files(&e, CITY_DB, bad[i], NULL));
		assert_non_null(strstr(e.msg, bad[i]));
	}
}

static void
put_file(const char *path, const char *from, off_t keep)
{
	char command[512];

	snprintf(command, sizeof(command), "cat '%s' > '%s'", from, path);
	assert_int_equal(system(command), 0);
	if (keep >= 0)
		assert_int_equal(truncate(path, keep), 0);
}

/* However much of a file is there: it opens whole or not at all. */
static void
truncated_files_do_not_open(void **state)
{
	char path[] = "/tmp/test_geo.XXXXXX";
	int fd = mkstemp(path);
	struct stat st;
	struct err e;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(stat(CITY_DB, &st), 0);
	for (off_t keep = 0; keep < st.st_size; keep += 97) {
		put_file(path, CITY_DB, keep);
		assert_null(open_files(&e, path, NULL));
		assert_non_null(strstr(e.msg, path));
	}
	close(fd);
	unlink(path);
}

static void
a_changed_file_is_noticed_and_does_not_disturb_what_is_open(void **state)
{
	char path[] = "/tmp/test_geo.XXXXXX", other[64];
	int fd = mkstemp(path);
	struct strlist files = { 0 };
	struct geo_answer a;
	struct err e;
	struct geo *g;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	put_file(path, CITY_DB, -1);
	strlist_add(&files, path);
	assert_true(geo_changed(NULL, &files));
	g = geo_open(&files, &e);
	assert_non_null(g);
	assert_false(geo_changed(g, &files));

	assert_int_equal(truncate(path, 100), 0); /* in place: a mapping would now be SIGBUS */
	assert_true(geo_changed(g, &files));
	assert_null(geo_open(&files, &e));
	assert_true(lookup(g, "81.2.69.142", &a));
	assert_string_equal(a.city, "London");

	snprintf(other, sizeof(other), "%s.new", path);
	put_file(other, FLAT4_DB, -1);
	assert_int_equal(rename(other, path), 0);
	assert_true(geo_changed(g, &files));
	geo_unref(g);
	g = geo_open(&files, &e);
	assert_non_null(g);
	assert_false(geo_changed(g, &files));
	assert_true(lookup(g, "81.2.69.142", &a));
	assert_int_equal(a.accuracy_km, 0);

	unlink(path);
	assert_false(geo_changed(g, &files)); /* gone: nothing newer */
	strlist_add(&files, CITY_DB);
	assert_true(geo_changed(g, &files));
	geo_unref(g);
	strlist_fini(&files);
}

static void
the_first_database_that_knows_a_city_answers(void **state)
{
	struct err e;
	struct geo *g = open_files(&e, CITY_DB, FLAT4_DB, NULL);
	struct geo_answer a;

	(void)state;
	assert_true(lookup(g, "81.2.69.142", &a));
	assert_int_equal(a.accuracy_km, 10);
	/* the first calls Houston a centroid, the second, without a radius, does not */
	assert_true(lookup(g, "203.0.113.1", &a));
	assert_string_equal(a.city, "Houston");
	assert_false(a.country_only);
	assert_true(lookup(g, "198.51.100.1", &a));
	assert_true(a.country_only);
	assert_int_equal(a.accuracy_km, 1000);
	geo_unref(g);
}

static void
open_files_describe_themselves(void **state)
{
	struct err e;
	struct geo *g = open_files(&e, CITY_DB, FLAT4_DB, NULL);
	struct geo_file f[3];

	(void)state;
	assert_int_equal(geo_files(g, f, 3), 2);
	assert_string_equal(f[0].path, CITY_DB);
	assert_string_equal(f[0].type, "Test-City");
	assert_int_equal(f[0].ip_version, 6);
	assert_true(f[0].build_epoch == 1767225600);
	assert_string_equal(f[1].type, "city ipv4");
	assert_int_equal(f[1].ip_version, 4);
	assert_int_equal(geo_files(g, f, 1), 1);
	geo_unref(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nested_records_with_doubles_are_read),
		cmocka_unit_test(flat_records_with_floats_are_read_and_families_find_their_file),
		cmocka_unit_test(what_no_database_knows_is_not_found),
		cmocka_unit_test(records_may_lack_anything),
		cmocka_unit_test(no_files_are_no_error),
		cmocka_unit_test(damaged_files_do_not_open),
		cmocka_unit_test(truncated_files_do_not_open),
		cmocka_unit_test(a_changed_file_is_noticed_and_does_not_disturb_what_is_open),
		cmocka_unit_test(the_first_database_that_knows_a_city_answers),
		cmocka_unit_test(open_files_describe_themselves),
	};

	return cmocka_run_group_tests_name("geo", tests, NULL, NULL);
}
