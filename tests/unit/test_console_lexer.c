/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/console_lexer.h"

#include <stdio.h>

#include "base/utf8.h"

#include "tests/unit/unit.h"

/* Each token as a letter of its kind and its text: "w<show> s<'x'>"; the error instead, if one. */
static void
print_tokens(const char *text, struct buf *out)
{
	static const char kinds[] = {
		[TOKEN_SEMICOLON] = ';', [TOKEN_WORD] = 'w',  [TOKEN_NAME] = 'n',
		[TOKEN_STRING] = 's',    [TOKEN_PARAM] = 'p', [TOKEN_PUNCT] = '.',
	};
	struct lexer l = { slice_str(text) };
	struct err e = { 0 };
	struct token t;

	for (;;) {
		if (lexer_next(&l, &t, &e) != 0) {
			buf_printf(out, "%s", e.msg);
			return;
		}
		if (t.kind == TOKEN_END)
			return;
		buf_printf(out, "%c<%.*s>", kinds[t.kind], (int)t.text.n, t.text.p);
	}
}

static void
text_is_cut_into_tokens(void **state)
{
	static const struct {
		const char *text, *tokens;
	} cases[] = {
		{ "", "" },
		{ " \t\r\n ", "" },
		{ "SHOW regions;", "w<SHOW>w<regions>;<;>" },
		{ "a 'b''c' \"d\"\"e\"", "w<a>s<'b''c'>n<\"d\"\"e\">" },
		{ "E'a\\'b' e'\\\\'", "s<E'a\\'b'>s<e'\\\\'>" },
		{ "'a\\'", "s<'a\\'>" },
		{ "us-east1 db1:5432 10.0.0.0/8 2.5s",
		  "w<us-east1>w<db1:5432>w<10.0.0.0/8>w<2.5s>" },
		{ "a--b\nc", "w<a>w<c>" },
		{ "a-b", "w<a-b>" },
		{ "a/*b*/c", "w<a>w<c>" },
		{ "/* a /* b */ c */ d", "w<d>" },
		{ "10/8", "w<10/8>" },
		{ "--only", "" },
		{ "$1 $23 $x $ $0 $1001", "p<$1>p<$23>w<$x>w<$>w<$0>w<$1001>" },
		{ "set a=b,(c)", "w<set>w<a>.<=>w<b>.<,>.<(>w<c>.<)>" },
		{ "a'b'c", "w<a>s<'b'>w<c>" },
		{ "'a", "unterminated quoted string" },
		{ "a \"b", "w<a>unterminated quoted name" },
		{ "\"\"", "a quoted name may not be empty" },
		{ "/* /* */", "unterminated /* comment" },
		{ "E'\\'", "unterminated quoted string" },
		{ ";;", ";<;>;<;>" },
		{ "E", "w<E>" },
		{ "-5 -", "w<-5>w<->" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf got = { 0 };

		print_tokens(cases[i].text, &got);
		assert_string_equal(buf_text(&got), cases[i].tokens);
		buf_fini(&got);
	}
}

static void
values_lose_their_quotes(void **state)
{
	static const struct {
		const char *text, *value;
	} cases[] = {
		{ "plain", "plain" },
		{ "'it''s'", "it's" },
		{ "''", "" },
		{ "\"a\"\"b\"", "a\"b" },
		{ "'a\\n'", "a\\n" },
		{ "E'a\\nb\\t\\\\'", "a\nb\t\\" },
		{ "E'\\101\\x42C'", "ABC" },
		{ "E'it\\'s '''", "it's '" },
		{ "E'\\q'", "q" },
		{ "'S\xc3\xa3o'", "S\xc3\xa3o" },
		{ "E'\\303\\243'", "\xc3\xa3" },
		{ "E'\\xg'", "xg" },
		{ "E'\\x41g'", "Ag" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lexer l = { slice_str(cases[i].text) };
		struct buf value = { 0 };
		struct err e = { 0 };
		struct token t;

		assert_int_equal(lexer_next(&l, &t, &e), 0);
		assert_int_equal(token_value(&t, &value, &e), 0);
		assert_string_equal(buf_text(&value), cases[i].value);
		buf_fini(&value);
	}
}

static void
escapes_that_make_no_text_are_refused(void **state)
{
	static const char *const cases[] = { "E'\\000'", "E'\\xff'", "E'\\xc3'", "E'\\x0'" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lexer l = { slice_str(cases[i]) };
		struct buf value = { 0 };
		struct err e = { 0 };
		struct token t;

		assert_int_equal(lexer_next(&l, &t, &e), 0);
		assert_int_equal(token_value(&t, &value, &e), -1);
		assert_string_equal(e.sqlstate, "22021");
		buf_fini(&value);
	}
}

static void
utf8_is_told_from_what_is_not(void **state)
{
	static const char *const good[] = {
		"",
		"a",
		"\xc2\x80",
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
	};
	static const char *const bad[] = {
		"\x80",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc3",
		"\xe0\x9f\xbf",
		"\xed\xa0\x80",
		"\xe2\x82",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xff",
		"a\xe2\x28\xa1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(utf8_valid(slice_str(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf safe = { 0 };

		assert_false(utf8_valid(slice_str(bad[i])));
		utf8_put(&safe, slice_str(bad[i]));
		assert_true(utf8_valid(buf_view(&safe)));
		buf_fini(&safe);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_cut_into_tokens),
		cmocka_unit_test(values_lose_their_quotes),
		cmocka_unit_test(escapes_that_make_no_text_are_refused),
		cmocka_unit_test(utf8_is_told_from_what_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
