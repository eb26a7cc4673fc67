/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/cancel/strikes.h"

#include "base/slice.h"
#include "tests/unit/unit.h"

static struct addr
address(const char *text)
{
	struct addr a;

	assert_true(addr_parse(slice_str(text), &a));
	return a;
}

static void
whoever_misses_often_is_out_until_it_is_forgotten(void **state)
{
	struct strikes *st = strikes_new(42);
	struct addr who = address("192.0.2.1"), neighbour = address("192.0.2.200");
	struct addr other = address("192.0.3.1");
	int64_t now = 1000000;

	(void)state;
	for (int i = 0; i < STRIKES_MAX; i++) {
		assert_false(strikes_out(st, &who, now));
		strikes_add(st, &who, now);
	}
	assert_true(strikes_out(st, &who, now));
	assert_true(strikes_out(st, &neighbour, now));
	assert_false(strikes_out(st, &other, now));
	/* more of them do not make it longer */
	for (int i = 0; i < 1000; i++)
		strikes_add(st, &who, now);
	assert_true(strikes_out(st, &who, now + STRIKES_FORGET - 1));
	assert_false(strikes_out(st, &who, now + STRIKES_FORGET));
	strikes_add(st, &who, now + STRIKES_FORGET);
	assert_true(strikes_out(st, &who, now + STRIKES_FORGET));
	assert_false(strikes_out(st, &who, now + STRIKES_MAX * STRIKES_FORGET));
	strikes_free(st);
}

static void
ipv6_counts_by_64_bits_and_unix_as_one(void **state)
{
	struct strikes *st = strikes_new(42);
	struct addr a = address("2001:db8::1"), b = address("2001:db8::ffff:1");
	struct addr c = address("2001:db8:0:1::1"), here = { .family = ADDR_UNIX };

	(void)state;
	for (int i = 0; i < STRIKES_MAX; i++) {
		strikes_add(st, &a, 0);
		strikes_add(st, &here, 0);
	}
	assert_true(strikes_out(st, &a, 0));
	assert_true(strikes_out(st, &b, 0));
	assert_false(strikes_out(st, &c, 0));
	assert_true(strikes_out(st, &here, 0));
	strikes_free(st);
}

/* A crowd that misses once each does not help who misses always. */
static void
a_crowd_pushes_out_its_own_first(void **state)
{
	struct strikes *st = strikes_new(42);
	struct addr who = address("192.0.2.1"), other = { .family = ADDR_IPV4 };

	(void)state;
	for (int i = 0; i < STRIKES_MAX; i++)
		strikes_add(st, &who, 0);
	for (int i = 0; i < 100000; i++) {
		other.ip[0] = 10;
		other.ip[1] = (uint8_t)(i >> 8);
		other.ip[2] = (uint8_t)i;
		strikes_add(st, &other, 0);
	}
	assert_true(strikes_out(st, &who, 0));
	strikes_free(st);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_misses_often_is_out_until_it_is_forgotten),
		cmocka_unit_test(ipv6_counts_by_64_bits_and_unix_as_one),
		cmocka_unit_test(a_crowd_pushes_out_its_own_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
