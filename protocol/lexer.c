/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/lexer.h"

#include <string.h>

#include "base/text.h"
#include "base/utf8.h"
#include "protocol/sqlstate.h"

#define BLANKS " \t\r\n\f\v"
#define PUNCT  "(),="

static bool
is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
starts_line_comment(struct slice s)
{
	return slice_starts(s, "--");
}

static bool
starts_block_comment(struct slice s)
{
	return slice_starts(s, "/*");
}

/* Block comments nest. */
static int
skip_block_comment(struct slice *s, struct err *e)
{
	unsigned depth = 0;

	do {
		if (starts_block_comment(*s)) {
			depth++;
			*s = slice_skip(*s, 2);
		} else if (slice_starts(*s, "*/")) {
			depth--;
			*s = slice_skip(*s, 2);
		} else if (s->n == 0) {
			return err_set(e, SQLSTATE_SYNTAX_ERROR, "unterminated /* comment");
		} else {
			*s = slice_skip(*s, 1);
		}
	} while (depth > 0);
	return 0;
}

static int
skip_blanks(struct slice *s, struct err *e)
{
	for (;;) {
		if (s->n > 0 && is_one_of(s->p[0], BLANKS)) {
			*s = slice_skip(*s, 1);
		} else if (starts_line_comment(*s)) {
			while (s->n > 0 && s->p[0] != '\n')
				*s = slice_skip(*s, 1);
		} else if (starts_block_comment(*s)) {
			if (skip_block_comment(s, e) != 0)
				return -1;
		} else {
			return 0;
		}
	}
}

/* Length of the quoted text that begins at s.p[at], or 0 where it does not end. */
static size_t
quoted_length(struct slice s, size_t at, bool escapes)
{
	char quote = s.p[at];

	for (size_t i = at + 1; i < s.n; i++) {
		if (escapes && s.p[i] == '\\')
			i++;
		else if (s.p[i] == quote && i + 1 < s.n && s.p[i + 1] == quote)
			i++;
		else if (s.p[i] == quote)
			return i + 1;
	}
	return 0;
}

static size_t
word_length(struct slice s)
{
	size_t n;

	for (n = 0; n < s.n; n++) {
		struct slice here = slice_skip(s, n);

		if (is_one_of(s.p[n], BLANKS PUNCT "'\";") || starts_line_comment(here) ||
		    starts_block_comment(here))
			break;
	}
	return n;
}

static int
take_quoted(struct lexer *l, struct token *out, size_t quote_at, struct err *e)
{
	size_t n = quoted_length(l->rest, quote_at, quote_at > 0);

	out->kind = l->rest.p[quote_at] == '"' ? TOKEN_NAME : TOKEN_STRING;
	if (n == 0) {
		err_set(e, SQLSTATE_SYNTAX_ERROR, "unterminated quoted %s",
			out->kind == TOKEN_NAME ? "name" : "string");
		return -1;
	}
	if (n == 2 && out->kind == TOKEN_NAME)
		return err_set(e, SQLSTATE_SYNTAX_ERROR, "a quoted name may not be empty");
	out->text = slice_of(l->rest.p, n);
	return 0;
}

static void
take_word(struct lexer *l, struct token *out)
{
	int64_t param;

	out->text = slice_of(l->rest.p, word_length(l->rest));
	out->kind = TOKEN_WORD;
	if (out->text.n > 1 && out->text.p[0] == '$' && is_digit(out->text.p[1]) &&
	    text_to_int(slice_skip(out->text, 1), 1, LEXER_PARAM_MAX, &param)) {
		out->kind = TOKEN_PARAM;
		out->param = (unsigned)param;
	}
}

static void
take_one(struct lexer *l, struct token *out, enum token_kind kind)
{
	out->kind = kind;
	out->text = slice_of(l->rest.p, 1);
}

static bool
starts_escape_string(struct slice s)
{
	return s.n > 1 && (s.p[0] == 'E' || s.p[0] == 'e') && s.p[1] == '\'';
}

int
lexer_next(struct lexer *l, struct token *out, struct err *e)
{
	*out = (struct token){ .kind = TOKEN_END, .text = slice_of(l->rest.p, 0) };
	if (skip_blanks(&l->rest, e) != 0)
		return -1;
	out->text = slice_of(l->rest.p, 0);
	if (l->rest.n == 0)
		return 0;
	if (l->rest.p[0] == ';') {
		take_one(l, out, TOKEN_SEMICOLON);
	} else if (is_one_of(l->rest.p[0], PUNCT)) {
		take_one(l, out, TOKEN_PUNCT);
	} else if (is_one_of(l->rest.p[0], "'\"") || starts_escape_string(l->rest)) {
		if (take_quoted(l, out, starts_escape_string(l->rest) ? 1 : 0, e) != 0)
			return -1;
	} else {
		take_word(l, out);
	}
	l->rest = slice_skip(l->rest, out->text.n);
	return 0;
}

/* Up to `max` digits of a base; returns how many there were. */
static size_t
escape_number(struct slice s, unsigned base, size_t max, unsigned *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t n;

	*out = 0;
	for (n = 0; n < s.n && n < max; n++) {
		char c = s.p[n] >= 'A' && s.p[n] <= 'F' ? (char)(s.p[n] + 32) : s.p[n];
		const char *at = c != '\0' ? memchr(digits, c, base) : NULL;

		if (at == NULL)
			break;
		*out = *out * base + (unsigned)(at - digits);
	}
	return n;
}

/* One escape after its backslash; returns how many bytes of `s` it took. */
static size_t
put_escape(struct slice s, struct buf *out)
{
	static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
	const char *at = s.p[0] != '\0' ? strchr(from, s.p[0]) : NULL;
	unsigned v;
	size_t n;

	if (at != NULL) {
		buf_u8(out, (uint8_t)to[at - from]);
		return 1;
	}
	n = escape_number(s, 8, 3, &v);
	if (n == 0 && s.p[0] == 'x') {
		n = escape_number(slice_skip(s, 1), 16, 2, &v);
		n = n > 0 ? n + 1 : 0;
	}
	if (n == 0) {
		buf_u8(out, (uint8_t)s.p[0]);
		return 1;
	}
	buf_u8(out, (uint8_t)v);
	return n;
}

/* The text between the quotes. */
static void
put_unquoted(struct slice inner, char quote, bool escapes, struct buf *out)
{
	while (inner.n > 0) {
		size_t took = 1;

		if (escapes && inner.p[0] == '\\' && inner.n > 1) {
			took = 1 + put_escape(slice_skip(inner, 1), out);
		} else {
			buf_u8(out, (uint8_t)inner.p[0]);
			if (inner.p[0] == quote)
				took = 2;
		}
		inner = slice_skip(inner, took);
	}
}

int
token_value(const struct token *t, struct buf *out, struct err *e)
{
	size_t start = out->n, open = starts_escape_string(t->text) ? 2 : 1;
	struct slice value;

	if (t->kind != TOKEN_NAME && t->kind != TOKEN_STRING) {
		buf_slice(out, t->text);
		return 0;
	}
	put_unquoted(slice_of(t->text.p + open, t->text.n - open - 1), t->text.p[open - 1],
		     open == 2, out);
	value = slice_skip(buf_view(out), start);
	if (!utf8_valid(value) || (value.n > 0 && memchr(value.p, '\0', value.n) != NULL))
		return err_set(e, "22021", "the escapes of a string make no valid UTF-8 text");
	return 0;
}
