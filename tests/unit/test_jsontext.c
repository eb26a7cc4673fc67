/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/jsontext.h"

#include <stdio.h>

#include "tests/unit/unit.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* One letter for each token, by its place in enum jsontext_token. */
static const char letters[] = "?.{}[]:snTFN";

static void
tokens_of(struct slice text, enum jsontext_strings strings, struct buf *out)
{
	enum jsontext_token token;
	struct slice ignored;
	struct jsontext j;

	buf_clear(out);
	jsontext_init(&j, text, 4, strings);
	do {
		token = jsontext_next(&j, &ignored);
		buf_u8(out, (uint8_t)letters[token]);
	} while (token != JSONTEXT_BAD && token != JSONTEXT_END);
	assert_int_equal(jsontext_next(&j, &ignored), token);
}

static void
tokens_come_in_their_order(void **state)
{
	static const struct {
		const char *text, *tokens;
	} cases[] = {
		{ "1", "n." },
		{ " \"a\" ", "s." },
		{ "[]", "[]." },
		{ "{}", "{}." },
		{ "\t[1,\n{\"a\" : null , \"b\":[true,false]}\r]", "[n{:N:[TF]}]." },
		{ "[[],[[]],{}]", "[[][[]]{}]." },
		{ "[[[[]]]]", "[[[[]]]]." },
		{ "[[[[[]]]]]", "[[[[?" },
		{ "[[[{\"a\":{}}]]]", "[[[{:?" },
		{ "[[[[]]],[[[]]]]", "[[[[]]][[[]]]]." },
		{ "", "?" },
		{ " ", "?" },
		{ "1 2", "n?" },
		{ "[1", "[n?" },
		{ "[1,]", "[n?" },
		{ "[,1]", "[?" },
		{ "[1 2]", "[n?" },
		{ "[1}", "[n?" },
		{ "{\"a\":1]", "{:n?" },
		{ "{\"a\":1,}", "{:n?" },
		{ "{\"a\"}", "{?" },
		{ "{\"a\":}", "{:?" },
		{ "{1:2}", "{?" },
		{ "{,}", "{?" },
		{ "]", "?" },
		{ "}", "?" },
		{ ",", "?" },
		{ "[]]", "[]?" },
		{ "nul", "?" },
		{ "nulls", "N?" },
		{ "True", "?" },
		{ "'a'", "?" },
		{ "\"a", "?" },
		{ "\"a\\\"", "?" },
		{ "\"\n\"", "?" },
		{ "\"\x7f\303\251\360\237\230\200\"", "s." },
		{ "\"\xff\"", "?" },
		{ "\"\303\"", "?" },
		{ "\"\355\240\200\"", "?" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83d\\uDE00\"", "s." },
		{ "\"\\x\"", "?" },
		{ "\"\\u00e\"", "?" },
		{ "\"\\u00eg\"", "?" },
		{ "\xef\xbb\xbf{}", "?" },
	};
	struct buf got = { 0 };

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		tokens_of(slice_str(cases[i].text), JSONTEXT_TEXT_STRINGS, &got);
		if (!slice_is(buf_view(&got), cases[i].tokens))
			fail_msg("%s: %s", cases[i].text, buf_text(&got));
		tokens_of(slice_str(cases[i].text), JSONTEXT_ANY_STRINGS, &got);
		assert_string_equal(buf_text(&got), cases[i].tokens);
	}
	tokens_of(SLICE_LITERAL("[\0]"), JSONTEXT_ANY_STRINGS, &got);
	assert_string_equal(buf_text(&got), "[?");
	buf_fini(&got);
}

static void
numbers_are_those_of_the_grammar(void **state)
{
	static const char *const good[] = { "0",   "-0",    "10",   "-12.50", "0.0",
					    "1e5", "1E+05", "1e-5", "-1.5e9" };
	static const char *const wrong[] = { "",    "-",    "01",  "1.",  ".5",   "+1",   "1e",
					     "1e+", "0x10", "1.e", "--1", "1.5.", "1e1.5" };

	(void)state;
	for (size_t i = 0; i < N(good); i++) {
		assert_true(jsontext_is_number(slice_str(good[i])));
		assert_true(jsontext_is_valid(slice_str(good[i]), 0, JSONTEXT_ANY_STRINGS));
	}
	for (size_t i = 0; i < N(wrong); i++) {
		assert_false(jsontext_is_number(slice_str(wrong[i])));
		assert_false(jsontext_is_valid(slice_str(wrong[i]), 0, JSONTEXT_ANY_STRINGS));
	}
}

static void
what_is_cut_short_is_bad(void **state)
{
	static const char text[] = "{\"a\":[1.5e3,\"\\u00e9\303\251\\n\",true,{\"b\":{}},null]}";

	(void)state;
	assert_true(jsontext_is_valid(slice_str(text), 4, JSONTEXT_TEXT_STRINGS));
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		char *copy = test_malloc(n);

		memcpy(copy, text, n);
		assert_false(jsontext_is_valid(slice_of(copy, n), 4, JSONTEXT_TEXT_STRINGS));
		test_free(copy);
	}
}

static void
not_all_that_is_json_is_text(void **state)
{
	static const char *const cases[] = { "\"\\u0000\"",    "\"a\\ud800\"",
					     "\"\\udc00\"",    "\"\\ud800\\u0041\"",
					     "\"\\ud800x\"",   "\"\\ud800\\ud800\"",
					     "{\"\\u0000\":1}" };

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		assert_true(jsontext_is_valid(slice_str(cases[i]), 1, JSONTEXT_ANY_STRINGS));
		assert_false(jsontext_is_valid(slice_str(cases[i]), 1, JSONTEXT_TEXT_STRINGS));
	}
}

static void
strings_mean_what_their_escapes_say(void **state)
{
	static const struct {
		const char *string, *means;
	} cases[] = {
		{ "", "" },
		{ "as it is", "as it is" },
		{ "\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t" },
		{ "a\\u0041\\u00e9\\u20AC\\ud83d\\ude00z",
		  "aA\303\251\342\202\254\360\237\230\200z" },
		{ "\\u0001\\u007f\\u0080\\u07ff\\u0800\\uffff\\udbff\\udfff",
		  "\x01\x7f\302\200\337\277\340\240\200\357\277\277\364\217\277\277" },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct buf b = { 0 };

		jsontext_put(&b, slice_str(cases[i].string));
		assert_string_equal(buf_text(&b), cases[i].means);
		assert_true(jsontext_means(slice_str(cases[i].string), cases[i].means));
		assert_false(jsontext_means(slice_str(cases[i].string), "as it isn't"));
		assert_false(jsontext_means(slice_str(cases[i].string), "as"));
		buf_fini(&b);
	}
}

static void
a_value_is_read_to_its_end(void **state)
{
	struct jsontext j;
	struct slice text;

	(void)state;
	jsontext_init(&j, SLICE_LITERAL("[ {\"a\" : [1,{}]} , 2 ]"), 4, JSONTEXT_TEXT_STRINGS);
	assert_int_equal(jsontext_next(&j, &text), JSONTEXT_LIST);
	assert_int_equal(jsontext_next(&j, &text), JSONTEXT_OBJECT);
	assert_int_equal(jsontext_rest(&j, JSONTEXT_OBJECT, &text), JSONTEXT_OBJECT);
	assert_true(slice_is(text, "{\"a\" : [1,{}]}"));
	assert_int_equal(jsontext_next(&j, &text), JSONTEXT_NUMBER);
	assert_int_equal(jsontext_rest(&j, JSONTEXT_NUMBER, &text), JSONTEXT_NUMBER);
	assert_true(slice_is(text, "2"));
	assert_int_equal(jsontext_next(&j, &text), JSONTEXT_LIST_END);
	jsontext_init(&j, SLICE_LITERAL("[{}"), 4, JSONTEXT_TEXT_STRINGS);
	assert_int_equal(jsontext_next(&j, &text), JSONTEXT_LIST);
	assert_int_equal(jsontext_rest(&j, JSONTEXT_LIST, &text), JSONTEXT_BAD);
}

static void
what_is_wrong_is_said_with_its_place(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *wrong;
	} cases[] = {
		{ "", 1, 1, "it ends too early" },
		{ "select 1", 1, 1, "a value is expected" },
		{ "{\n \"a\": 1\n \"b\": 2}", 3, 2, "a comma or } is expected" },
		{ "[1\n2]", 2, 1, "a comma or ] is expected" },
		{ "{\"a\"\n}", 2, 1, "a colon is expected" },
		{ "{\"a\":1,}", 1, 8, "a name in quotes is expected" },
		{ "[-]", 1, 2, "a number is expected" },
		{ "[\"ab\\x\"]", 1, 5, "an escape that text cannot have" },
		{ "[\"ab\n\"]", 1, 5, "a byte that text cannot have" },
		{ "[\"ab]", 1, 2, "a string without an end" },
		{ "{} {", 1, 4, "something behind its end" },
		{ "[[[", 1, 3, "lists and objects too deep in each other" },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct slice ignored;
		struct jsontext j;
		unsigned line, column;
		const char *wrong;

		jsontext_init(&j, slice_str(cases[i].text), 2, JSONTEXT_TEXT_STRINGS);
		while (jsontext_next(&j, &ignored) != JSONTEXT_BAD)
			;
		wrong = jsontext_wrong(&j, &line, &column);
		assert_string_equal(wrong, cases[i].wrong);
		if (line != cases[i].line || column != cases[i].column)
			fail_msg("%s: line %u, column %u", cases[i].text, line, column);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_come_in_their_order),
		cmocka_unit_test(numbers_are_those_of_the_grammar),
		cmocka_unit_test(what_is_cut_short_is_bad),
		cmocka_unit_test(not_all_that_is_json_is_text),
		cmocka_unit_test(strings_mean_what_their_escapes_say),
		cmocka_unit_test(a_value_is_read_to_its_end),
		cmocka_unit_test(what_is_wrong_is_said_with_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
