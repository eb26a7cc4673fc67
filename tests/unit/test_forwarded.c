/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/forwarded.h"

#include "tests/unit/heads.h"

#include "tests/unit/unit.h"

static char said[ADDR_TEXT_MAX];

static const char *
client_of(const char *lines, unsigned hops)
{
	struct cidrlist trusted = { 0 };
	struct forwarded f = { .trusted = &trusted, .hops = hops };
	struct addr a = { 0 };
	struct http_head h;
	const char *text = head_of(lines, &h);
	bool found;

	assert_true(cidrlist_add(&trusted, slice_str("10.0.0.0/8")));
	assert_true(cidrlist_add(&trusted, slice_str("2001:db8:1::/48")));
	found = strncmp(lines, "Forwarded", 9) == 0 ? forwarded_rfc7239(&f, &h, "forwarded", &a)
						    : forwarded_for(&f, &h, "x-forwarded-for", &a);
	addr_print(&a, said);
	if (!found)
		strcpy(said, "none");
	cidrlist_fini(&trusted);
	free((char *)(uintptr_t)text);
	return said;
}

static void
the_first_stranger_from_the_right_is_the_client(void **state)
{
	(void)state;
	assert_string_equal(client_of("X-Forwarded-For: 192.0.2.1\r\n", 0), "192.0.2.1:0");
	assert_string_equal(client_of("X-Forwarded-For: 192.0.2.66, 192.0.2.1\r\n", 0),
			    "192.0.2.1:0");
	assert_string_equal(
	    client_of("X-Forwarded-For: 192.0.2.66, 192.0.2.1, 10.1.1.1, 10.2.2.2\r\n", 0),
	    "192.0.2.1:0");
	assert_string_equal(
	    client_of("X-Forwarded-For: 2001:db8::7, 2001:db8:1::1,10.0.0.1\r\n", 0),
	    "[2001:db8::7]:0");
}

static void
lines_are_one_list(void **state)
{
	(void)state;
	assert_string_equal(client_of("X-Forwarded-For: 192.0.2.66\r\nX-Other: x\r\n"
				      "x-forwarded-for: 192.0.2.1\r\nX-FORWARDED-FOR: 10.0.0.1\r\n",
				      0),
			    "192.0.2.1:0");
}

static void
ports_brackets_and_quotes_are_taken_off(void **state)
{
	(void)state;
	assert_string_equal(client_of("X-Forwarded-For: 192.0.2.1:5000\r\n", 0), "192.0.2.1:5000");
	assert_string_equal(client_of("X-Forwarded-For: [2001:db8::7]:80\r\n", 0),
			    "[2001:db8::7]:80");
	assert_string_equal(client_of("X-Forwarded-For: [2001:db8::7]\r\n", 0), "[2001:db8::7]:0");
	assert_string_equal(client_of("X-Forwarded-For: \"192.0.2.1\"\r\n", 0), "192.0.2.1:0");
	assert_string_equal(client_of("X-Forwarded-For: ::ffff:192.0.2.1\r\n", 0), "192.0.2.1:0");
}

static void
what_is_no_address_ends_the_walk_at_the_last_proxy(void **state)
{
	(void)state;
	assert_string_equal(client_of("X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.1\r\n", 0),
			    "10.0.0.1:0");
	assert_string_equal(client_of("X-Forwarded-For: 192.0.2.1, garbage\r\n", 0), "none");
	assert_string_equal(client_of("X-Forwarded-For: 1.2.3.4.5\r\n", 0), "none");
	assert_string_equal(client_of("X-Forwarded-For: 192.0.2.1:99999\r\n", 0), "none");
	assert_string_equal(client_of("X-Forwarded-For: \r\n", 0), "none");
	assert_string_equal(client_of("X-Other: 192.0.2.1\r\n", 0), "none");
}

static void
empty_elements_mean_nothing(void **state)
{
	(void)state;
	assert_string_equal(client_of("X-Forwarded-For: 192.0.2.1, , 10.0.0.1 ,\r\n", 0),
			    "192.0.2.1:0");
}

static void
a_client_inside_the_trusted_networks_is_the_leftmost(void **state)
{
	(void)state;
	assert_string_equal(client_of("X-Forwarded-For: 10.9.9.9, 10.0.0.1\r\n", 0), "10.9.9.9:0");
}

static void
hops_are_skipped_whatever_they_say(void **state)
{
	static const char google[] = "X-Forwarded-For: 192.0.2.66, 192.0.2.1, 203.0.113.80\r\n";

	(void)state;
	assert_string_equal(client_of(google, 0), "203.0.113.80:0");
	assert_string_equal(client_of(google, 1), "192.0.2.1:0");
	assert_string_equal(client_of(google, 2), "192.0.2.66:0");
	assert_string_equal(client_of(google, 9), "192.0.2.66:0");
	assert_string_equal(client_of("X-Forwarded-For: 192.0.2.1, 10.0.0.1, unknown\r\n", 1),
			    "192.0.2.1:0");
}

static void
rfc_7239_is_read(void **state)
{
	static const struct {
		const char *value, *client;
	} rows[] = {
		/* examples of sections 4, 6 and 7.1 */
		{ "for=\"_gazonk\"", "none" },
		{ "For=\"[2001:db8:cafe::17]:4711\"", "[2001:db8:cafe::17]:4711" },
		{ "for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60:0" },
		{ "for=192.0.2.43, for=198.51.100.17", "198.51.100.17:0" },
		{ "for=192.0.2.43, for=\"[2001:db8:1::17]\"", "192.0.2.43:0" },
		{ "for=\"192.0.2.43:47011\"", "192.0.2.43:47011" },
		{ "for=_hidden, for=10.0.0.1", "10.0.0.1:0" },
		{ "for=unknown", "none" },
		{ "proto=http;by=203.0.113.43", "none" },
		{ "for=192.0.2.1;ext=\"a,b;c\", for=10.0.0.1", "192.0.2.1:0" },
		{ "for=192.0.2.1;ext=\"a\\\", for=192.0.2.66\", for=10.0.0.1", "192.0.2.1:0" },
		{ "for=192.0.2.1;ext=\"a,b\\\"c\", for=10.0.0.1", "192.0.2.1:0" },
		{ "for=\"192.0.2.1", "none" },
	};
	char line[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(line, sizeof(line), "Forwarded: %s\r\n", rows[i].value);
		assert_string_equal(client_of(line, 0), rows[i].client);
	}
}

/* A client that writes half of a quoted string hides nothing of what the proxy appends. */
static void
an_open_quote_hides_nothing(void **state)
{
	static const char *const forged[] = {
		"for=\"192.0.2.66, ",          "for=192.0.2.66;x=\", ", "for=192.0.2.66;x=\"\\\", ",
		"\", for=192.0.2.66;y=\"\", ", "for=10.0.0.1;x=\"a, ",
	};
	char line[256];

	(void)state;
	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		snprintf(line, sizeof(line),
			 "Forwarded: %sfor=\"[2001:db8::7]\";proto=\"https\"\r\n", forged[i]);
		assert_string_equal(client_of(line, 0), "[2001:db8::7]:0");
		snprintf(line, sizeof(line), "Forwarded: %sfor=192.0.2.1\r\n", forged[i]);
		assert_string_equal(client_of(line, 0), "192.0.2.1:0");
		snprintf(line, sizeof(line), "Forwarded: %s\r\nForwarded: for=192.0.2.1\r\n",
			 forged[i]);
		assert_string_equal(client_of(line, 0), "192.0.2.1:0");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_stranger_from_the_right_is_the_client),
		cmocka_unit_test(lines_are_one_list),
		cmocka_unit_test(ports_brackets_and_quotes_are_taken_off),
		cmocka_unit_test(what_is_no_address_ends_the_walk_at_the_last_proxy),
		cmocka_unit_test(empty_elements_mean_nothing),
		cmocka_unit_test(a_client_inside_the_trusted_networks_is_the_leftmost),
		cmocka_unit_test(hops_are_skipped_whatever_they_say),
		cmocka_unit_test(rfc_7239_is_read),
		cmocka_unit_test(an_open_quote_hides_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
