/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/suggest.h"

#include "proxy/config/values.h"

#include "tests/unit/unit.h"

static const char *
best(const char *word)
{
	static const char *const known[] = { "listen", "listen_port", "tls", "to", "nodes" };
	struct suggestion s = { .word = slice_str(word) };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		suggest_offer(&s, known[i]);
	return s.best;
}

static void
one_slip_of_any_kind_is_understood(void **state)
{
	(void)state;
	assert_string_equal(best("lisen"), "listen");
	assert_string_equal(best("listten"), "listen");
	assert_string_equal(best("lisven"), "listen");
	assert_string_equal(best("litsen"), "listen");
	assert_string_equal(best("LISTEN"), "listen");
	assert_string_equal(best("lsiten-prot"), "listen_port");
	assert_string_equal(best("t"), "to");
}

static void
a_word_that_is_mostly_wrong_is_not(void **state)
{
	(void)state;
	assert_null(best("workers"));
	assert_null(best("li"));
	assert_null(best(""));
	assert_null(best("listen_port_listen_port_listen_port_listen"));
}

static void
the_nearest_wins_and_the_first_of_equals(void **state)
{
	(void)state;
	assert_string_equal(best("listen_"), "listen");
	assert_string_equal(best("ts"), "tls");
	assert_string_equal(best("node"), "nodes");
}

static void
quoted_text_is_clean_and_bounded(void **state)
{
	char huge[1000];

	(void)state;
	assert_string_equal(quote(SLICE_LITERAL("plain")).text, "plain");
	assert_string_equal(quote(SLICE_LITERAL("two words")).text, "two words");
	assert_string_equal(quote(SLICE_LITERAL("a\nb\"c")).text, "a\\x0ab\\\"c");
	assert_string_equal(quote(SLICE_LITERAL("")).text, "");
	assert_string_equal(quote(SLICE_LITERAL("\"")).text, "\\\"");
	memset(huge, 1, sizeof(huge));
	assert_int_equal(strlen(quote(slice_of(huge, sizeof(huge))).text), 4 * QUOTE_MAX + 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_slip_of_any_kind_is_understood),
		cmocka_unit_test(a_word_that_is_mostly_wrong_is_not),
		cmocka_unit_test(the_nearest_wins_and_the_first_of_equals),
		cmocka_unit_test(quoted_text_is_clean_and_bounded),
	};

	return cmocka_run_group_tests_name("base/suggest", tests, NULL, NULL);
}
