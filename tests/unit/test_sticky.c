/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/sticky.h"

#include <stdio.h>

#include "tests/unit/unit.h"

static struct addr
address(const char *text)
{
	struct addr a;

	assert_true(addr_parse(slice_str(text), &a));
	return a;
}

static uint64_t
city_key(const char *city, const char *country)
{
	struct locality l = { .region = -1 };

	snprintf(l.city, sizeof(l.city), "%s", city);
	snprintf(l.country, sizeof(l.country), "%s", country);
	return sticky_key(&l, NULL);
}

static uint64_t
cell_key(double lat, double lon)
{
	struct locality l = { .region = -1, .has_location = true, .lat = lat, .lon = lon };

	return sticky_key(&l, NULL);
}

static uint64_t
address_key(const char *text)
{
	struct locality l = { .region = -1 };
	struct addr a = address(text);

	return sticky_key(&l, &a);
}

static void
callers_of_one_place_share_a_key(void **state)
{
	struct locality l = { .region = -1, .has_location = true, .city = "paris" };
	struct addr a = address("192.0.2.1");

	(void)state;
	assert_true(city_key("paris", "FR") == city_key("paris", "FR"));
	assert_true(city_key("paris", "FR") != city_key("paris", "US"));
	assert_true(city_key("paris", "") != city_key("pari", "s"));
	assert_true(city_key("paris", "") == sticky_key(&l, &a));
	assert_true(cell_key(48.6, 2.1) == cell_key(48.9, 2.4));
	assert_true(cell_key(48.4, 2.1) != cell_key(48.6, 2.1));
	assert_true(cell_key(0.1, 0.1) != cell_key(-0.1, 0.1));
	assert_true(address_key("192.0.2.1") == address_key("192.0.2.250"));
	assert_true(address_key("192.0.2.1") != address_key("192.0.3.1"));
	assert_true(address_key("2001:db8:1::1") == address_key("2001:db8:1:ffff::2"));
	assert_true(address_key("2001:db8:1::1") != address_key("2001:db8:2::1"));
}

static void
a_region_is_remembered_for_ten_minutes(void **state)
{
	struct sticky *s = sticky_new(64);
	uint64_t key = city_key("paris", "FR");

	(void)state;
	assert_int_equal(sticky_get(s, key, 1), -1);
	sticky_put(s, key, 3, 1);
	assert_int_equal(sticky_get(s, key, STICKY_TTL_US), 3);
	assert_int_equal(sticky_get(s, key, STICKY_TTL_US + 1), -1);
	sticky_put(s, key, 4, 100);
	assert_int_equal(sticky_get(s, key, STICKY_TTL_US + 99), 4);
	sticky_clear(s);
	assert_int_equal(sticky_get(s, key, 101), -1);
	sticky_free(s);
}

static void
the_same_answer_does_not_renew_itself(void **state)
{
	struct sticky *s = sticky_new(64);

	(void)state;
	sticky_put(s, 42, 3, 1000);
	sticky_put(s, 42, 3, 1000 + STICKY_TTL_US / 2);
	assert_int_equal(sticky_get(s, 42, 1000 + STICKY_TTL_US), -1);
	sticky_put(s, 42, 3, 1000 + STICKY_TTL_US);
	assert_int_equal(sticky_get(s, 42, 1000 + STICKY_TTL_US), 3);
	sticky_free(s);
}

static void
a_full_table_forgets_the_oldest(void **state)
{
	struct sticky *s = sticky_new(8);
	int known = 0;

	(void)state;
	for (int i = 1; i <= 100; i++)
		sticky_put(s, (uint64_t)i, (uint16_t)i, i);
	for (int i = 1; i <= 92; i++)
		assert_int_equal(sticky_get(s, (uint64_t)i, 101), -1);
	for (int i = 93; i <= 100; i++)
		known += sticky_get(s, (uint64_t)i, 101) == i;
	assert_int_equal(known, 8);
	sticky_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(callers_of_one_place_share_a_key),
		cmocka_unit_test(a_region_is_remembered_for_ten_minutes),
		cmocka_unit_test(the_same_answer_does_not_renew_itself),
		cmocka_unit_test(a_full_table_forgets_the_oldest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
