/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/pgquote.h"

#include "tests/unit/unit.h"

typedef void writer(struct buf *b, struct slice s);

struct sample {
	struct slice text;
	const char *written;
};

static void
check(writer *write, const struct sample *samples, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf b = { 0 };

		write(&b, samples[i].text);
		assert_string_equal(buf_text(&b), samples[i].written);
		buf_fini(&b);
	}
}

#define CHECK(write, samples) check(write, samples, sizeof(samples) / sizeof((samples)[0]))

/* With standard_conforming_strings on and off: '…' without a backslash and E'…' are the same. */
static void
a_literal_has_quotes_doubled_and_backslashes_in_the_escape_form(void **state)
{
	static const struct sample samples[] = {
		{ { NULL, 0 }, "''" },
		{ SLICE_LITERAL("it's"), "'it''s'" },
		{ SLICE_LITERAL("'"), "''''" },
		{ SLICE_LITERAL("\\"), "E'\\\\'" },
		{ SLICE_LITERAL("\\'; DROP TABLE t; --"), "E'\\\\''; DROP TABLE t; --'" },
		{ SLICE_LITERAL("C:\\new's"), "E'C:\\\\new''s'" },
		{ SLICE_LITERAL("a\nb"), "'a\nb'" },
		{ SLICE_LITERAL("\"x\""), "'\"x\"'" },
		{ SLICE_LITERAL("a\0'b"), "'a?''b'" },
		{ SLICE_LITERAL("S\xc3\xa3o"), "'S\xc3\xa3o'" },
		{ SLICE_LITERAL("S\xe3o"), "'S\xe3o'" }, /* LATIN1 */
	};

	(void)state;
	CHECK(pgquote_literal, samples);
}

static void
a_literal_in_ascii_is_right_for_every_encoding(void **state)
{
	static const struct sample samples[] = {
		{ { NULL, 0 }, "''" },
		{ SLICE_LITERAL("it's"), "'it''s'" },
		{ SLICE_LITERAL("\\"), "E'\\\\'" },
		{ SLICE_LITERAL("caf\xc3\xa9"), "E'caf\\U000000e9'" },
		{ SLICE_LITERAL("\xf0\x9f\x98\x80'"), "E'\\U0001f600'''" },
		{ SLICE_LITERAL("a\0b"), "'a?b'" },
		/* LATIN1, SJIS with a backslash for its second byte, half a character, a
		   surrogate */
		{ SLICE_LITERAL("caf\xe9"), "E'caf?'" },
		{ SLICE_LITERAL("\x95\\"), "E'?\\\\'" },
		{ SLICE_LITERAL("\xe2\x82"), "E'?"
					     "?'" },
		{ SLICE_LITERAL("\xed\xa0\x80"), "E'?"
						 "??"
						 "'" },
	};

	(void)state;
	CHECK(pgquote_literal_ascii, samples);
}

static void
identifiers_are_in_double_quotes(void **state)
{
	static const struct sample always[] = {
		{ SLICE_LITERAL("select"), "\"select\"" },
		{ SLICE_LITERAL("a\"b"), "\"a\"\"b\"" },
		{ SLICE_LITERAL("a\\b'"), "\"a\\b'\"" },
		{ SLICE_LITERAL("a\0b"), "\"a?b\"" },
	};
	static const struct sample if_needed[] = {
		{ SLICE_LITERAL("plain_1"), "plain_1" },
		{ SLICE_LITERAL("_"), "_" },
		{ SLICE_LITERAL("1st"), "\"1st\"" },
		{ SLICE_LITERAL("Mixed \"x\""), "\"Mixed \"\"x\"\"\"" },
		{ SLICE_LITERAL(""), "\"\"" },
		{ SLICE_LITERAL("\xc3\xa9"), "\"\xc3\xa9\"" },
	};

	(void)state;
	CHECK(pgquote_ident, always);
	CHECK(pgquote_ident_if_needed, if_needed);
}

static void
values_of_connection_strings_have_backslashes(void **state)
{
	static const struct sample samples[] = {
		{ SLICE_LITERAL(""), "''" },
		{ SLICE_LITERAL("it's"), "'it\\'s'" },
		{ SLICE_LITERAL("a\\ b"), "'a\\\\ b'" },
	};

	(void)state;
	CHECK(pgquote_conninfo, samples);
}

static void
long_texts_are_written_whole(void **state)
{
	struct buf text = { 0 }, b = { 0 };

	(void)state;
	for (int i = 0; i < 10000; i++)
		buf_str(&text, "\xc3\xa9'");
	pgquote_literal_ascii(&b, buf_view(&text));
	assert_int_equal(b.n, 10000 * 12 + 3);
	buf_fini(&b);
	pgquote_literal(&b, buf_view(&text));
	assert_int_equal(b.n, 10000 * 4 + 2);
	buf_fini(&b);
	buf_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_literal_has_quotes_doubled_and_backslashes_in_the_escape_form),
		cmocka_unit_test(a_literal_in_ascii_is_right_for_every_encoding),
		cmocka_unit_test(identifiers_are_in_double_quotes),
		cmocka_unit_test(values_of_connection_strings_have_backslashes),
		cmocka_unit_test(long_texts_are_written_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
