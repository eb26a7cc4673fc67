/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/addr.h"

#include "tests/unit/unit.h"

static const char *
printed(const char *text)
{
	static char to[ADDR_TEXT_MAX];
	struct addr a;

	return addr_parse_port(slice_str(text), &a) ? addr_print(&a, to) : NULL;
}

static void
addresses_with_ports_survive_a_round_trip(void **state)
{
	(void)state;
	assert_string_equal(printed("10.0.0.1:5432"), "10.0.0.1:5432");
	assert_string_equal(printed("0.109.110.255:65535"), "0.109.110.255:65535");
	assert_string_equal(printed("99.100.9.10:9"), "99.100.9.10:9");
	assert_string_equal(printed("[2001:db8::1]:6433"), "[2001:db8::1]:6433");
	assert_string_equal(printed("[::ffff:10.0.0.1]:1"), "10.0.0.1:1");
}

static void
what_is_no_address_is_refused(void **state)
{
	static const char *const bad[] = { "",
					   ":",
					   "10.0.0.1",
					   "10.0.0.1:0",
					   "10.0.0.1:65536",
					   "2001:db8::1:5432",
					   "localhost:5432",
					   "10.0.0.1:5432x",
					   "[::1]5432",
					   "10.0.0:1",
					   "10.0.0.1.:1",
					   "10.0.0.1.1:1",
					   "10.0..1:1",
					   "10.0.0.01:1",
					   "10.0.0.256:1",
					   "10.0.0.1000:1",
					   "10.0.0.+1:1",
					   "10.0.0.:1" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(printed(bad[i]));
}

static bool
inside(const char *block, const char *ip)
{
	struct cidr c;
	struct addr a;

	assert_true(cidr_parse(slice_str(block), &c));
	assert_true(addr_parse(slice_str(ip), &a));
	return cidr_has(&c, &a);
}

static void
blocks_contain_by_prefix(void **state)
{
	struct cidr c;

	(void)state;
	assert_true(inside("10.0.0.0/8", "10.255.0.1"));
	assert_false(inside("10.0.0.0/8", "11.0.0.1"));
	assert_true(inside("0.0.0.0/0", "203.0.113.9"));
	assert_false(inside("0.0.0.0/0", "::1"));
	assert_true(inside("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(inside("2001:db8::/33", "2001:db8:8000::1"));
	assert_true(inside("127.0.0.1", "127.0.0.1"));
	assert_true(inside("127.0.0.1", "::ffff:127.0.0.1"));
	assert_false(cidr_parse(slice_str("10.0.0.1/8"), &c));
	assert_false(cidr_parse(slice_str("10.0.0.0/33"), &c));
	assert_false(cidr_parse(slice_str("10.0.0.0/"), &c));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_with_ports_survive_a_round_trip),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(blocks_contain_by_prefix),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
