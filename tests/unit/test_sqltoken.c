/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/sqltoken.h"

#include "base/buf.h"

#include "tests/unit/unit.h"

/* Each token as a letter of its kind and its text: "w<a> s<b> m<;>", '!' behind one whose text is
 * not what is meant, and what has no end behind all. */
static void
print_tokens(const char *sql, bool escapes, struct buf *out)
{
	static const char kinds[] = { [SQLTOKEN_WORD] = 'w',
				      [SQLTOKEN_NAME] = 'n',
				      [SQLTOKEN_STRING] = 's',
				      [SQLTOKEN_MARK] = 'm' };
	struct sqltoken_scan s = sqltoken_begin(slice_str(sql));
	struct sqltoken t;

	s.escapes = escapes;
	while (sqltoken_next(&s, &t)) {
		char kind = kinds[t.kind];

		if (t.kind == SQLTOKEN_MARK && (t.mark == '0' || t.mark == '$'))
			kind = t.mark;
		buf_printf(out, "%s%c<%.*s>%s", out->n > 0 ? " " : "", kind, (int)t.text.n,
			   t.text.p, t.exact || t.kind == SQLTOKEN_MARK ? "" : "!");
	}
	if (s.endless != NULL)
		buf_printf(out, " endless<%s>", s.endless);
	if (s.doubtful)
		buf_str(out, " doubtful");
}

struct example {
	const char *sql, *tokens;
};

static void
check(const struct example *examples, size_t n, bool escapes)
{
	for (size_t i = 0; i < n; i++) {
		struct buf got = { 0 };

		print_tokens(examples[i].sql, escapes, &got);
		assert_string_equal(buf_text(&got), examples[i].tokens);
		buf_fini(&got);
	}
}

static void
sql_is_cut_into_tokens(void **state)
{
	static const struct example examples[] = {
		{ "", "" },
		{ "SELECT a$1, $23::int;", "w<SELECT> w<a$1> m<,> $<$23> m<:> m<:> w<int> m<;>" },
		{ "1.5e3 10FROM", "0<1.5> w<e3> 0<10> w<FROM>" },
		{ "a--b\nc--d\re", "w<a> w<c> w<e>" },
		{ "a/*b/*c*/d*/e", "w<a> w<e>" },
		{ "'it''s' \"a\"\"b\" \"c\"", "s<it''s>! n<a\"\"b>! n<c>" },
		{ "E'a\\'b' e'c' U&'d' u&\"e\"", "s<a\\'b>! s<c> s<d>! n<e>!" },
		{ "E'a'\n'\\'b' E'a' 'b'", "s<a'\n'\\'b>! s<a> s<b>" },
		{ "B'01' N'x' xE'y'", "w<B> s<01> w<N> s<x> w<xE> s<y>" },
		{ "$$a;b$$ $t$ $$ $t$ $", "s<a;b> s< $$ > m<$>" },
		{ "1$a$x$a$", "0<1> s<x>" },
		{ "a/b-c", "w<a> m</> w<b> m<-> w<c>" },
	};

	(void)state;
	check(examples, sizeof(examples) / sizeof(examples[0]), false);
}

static void
backslashes_in_plain_strings_are_a_settings_matter(void **state)
{
	static const struct example conforming[] = { { "'a\\' b", "s<a\\>! w<b> doubtful" } };
	static const struct example escaping[] = { { "'a\\' b' c", "s<a\\' b>! w<c> doubtful" } };

	(void)state;
	check(conforming, 1, false);
	check(escaping, 1, true);
}

static void
what_has_no_end_is_told(void **state)
{
	static const struct example examples[] = {
		{ "a 'b", "w<a> s<b> endless<'b>" },
		{ "a E'b\\'", "w<a> s<b\\'>! endless<E'b\\'>" },
		{ "a U&\"b", "w<a> n<b>! endless<U&\"b>" },
		{ "a $x$b$", "w<a> s<b$> endless<$x$b$>" },
		{ "a /* /* */", "w<a> endless</* /* */>" },
	};

	(void)state;
	check(examples, sizeof(examples) / sizeof(examples[0]), false);
}

static void
values_are_resolved(void **state)
{
	static const struct {
		const char *sql, *value; /* NULL: it is not resolved */
	} examples[] = {
		{ "Word", "Word" },
		{ "\"a\"\"b\"", "a\"b" },
		{ "'it''s'", "it's" },
		{ "'a\\n'", "a\\n" },
		{ "E'a\\n\\'\\\\\\q\\101\\x42'", "a\n'\\qAB" },
		{ "$a$it''s\\n$a$", "it''s\\n" },
		{ "E'\\u0041'", NULL },
		{ "E'\\000'", NULL },
		{ "E'a'\n'b'", NULL },
		{ "U&'a'", NULL },
		{ "U&\"a\"", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		struct sqltoken_scan s = sqltoken_begin(slice_str(examples[i].sql));
		char value[16];
		struct sqltoken t;
		size_t n;

		assert_true(sqltoken_next(&s, &t));
		n = sqltoken_value(&t, value, sizeof(value));
		if (examples[i].value == NULL) {
			assert_true(n == SIZE_MAX);
			continue;
		}
		assert_int_equal(n, strlen(examples[i].value));
		assert_memory_equal(value, examples[i].value, n);
		if (n > 1) /* what has no room is counted, and not written */
			assert_int_equal(sqltoken_value(&t, value, 1), n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sql_is_cut_into_tokens),
		cmocka_unit_test(backslashes_in_plain_strings_are_a_settings_matter),
		cmocka_unit_test(what_has_no_end_is_told),
		cmocka_unit_test(values_are_resolved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
