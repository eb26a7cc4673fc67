/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/pgquote.h"

#include <string.h>

#include "base/hot.h"
#include "base/utf8.h"

#define ESCAPED_MAX 10 /* what one character becomes at most: \\U and eight digits */

struct style {
	const char *begin;
	char quote;
	char escape;    /* stands before a quote; '\0': the quote is doubled */
	bool backslash; /* a backslash is doubled, too */
	bool ascii;     /* what is beyond ASCII is written by its code point */
};

/* Of a valid sequence of more than one byte. */
static size_t
put_code_point(char *to, struct slice s)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t c = utf8_code_point(s);

	to[0] = '\\';
	to[1] = 'U';
	for (unsigned i = 0; i < 8; i++)
		to[2 + i] = digits[c >> (28 - 4 * i) & 15];
	return ESCAPED_MAX;
}

/* The first character of *s, which is dropped. Returns how many bytes it has become. */
static size_t
put_character(char *to, struct slice *s, const struct style *style)
{
	char c = *s->p;
	size_t n = 1, put = 1;

	to[0] = c != '\0' ? c : '?';
	if (c == style->quote || (c == '\\' && style->backslash)) {
		to[0] = style->escape != '\0' ? style->escape : c;
		to[put++] = c;
	} else if (style->ascii && (c & 0x80) != 0) {
		n = utf8_sequence(*s);
		if (n > 0)
			put = put_code_point(to, slice_of(s->p, n));
		else
			to[0] = '?';
		n += n == 0;
	}
	*s = slice_skip(*s, n);
	return put;
}

static void
put_quoted(struct buf *b, struct slice s, const struct style *style)
{
	char piece[64 * ESCAPED_MAX];

	buf_str(b, style->begin);
	while (s.n > 0) {
		size_t n = 0;

		while (s.n > 0 && n <= sizeof(piece) - ESCAPED_MAX)
			n += put_character(piece + n, &s, style);
		buf_put(b, piece, n);
	}
	buf_u8(b, (uint8_t)style->quote);
}

static const struct style plain_style = { .begin = "'", .quote = '\'' };

void
pgquote_literal(struct buf *b, struct slice s)
{
	static const struct style escaped = { .begin = "E'", .quote = '\'', .backslash = true };

	put_quoted(b, s, s.n > 0 && memchr(s.p, '\\', s.n) != NULL ? &escaped : &plain_style);
}

HOT void
pgquote_literal_ascii(struct buf *b, struct slice s)
{
	static const struct style escaped = {
		.begin = "E'", .quote = '\'', .backslash = true, .ascii = true
	};
	size_t plain = 0;

	while (plain < s.n && s.p[plain] != '\\' && (s.p[plain] & 0x80) == 0)
		plain++;
	put_quoted(b, s, plain < s.n ? &escaped : &plain_style);
}

void
pgquote_ident(struct buf *b, struct slice s)
{
	static const struct style ident = { .begin = "\"", .quote = '"' };

	put_quoted(b, s, &ident);
}

void
pgquote_ident_if_needed(struct buf *b, struct slice s)
{
	bool plain = s.n > 0 && (s.p[0] < '0' || s.p[0] > '9');

	for (size_t i = 0; plain && i < s.n; i++) {
		char c = s.p[i];

		plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
	}
	if (plain)
		buf_slice(b, s);
	else
		pgquote_ident(b, s);
}

void
pgquote_conninfo(struct buf *b, struct slice s)
{
	static const struct style value = {
		.begin = "'", .quote = '\'', .escape = '\\', .backslash = true
	};

	put_quoted(b, s, &value);
}
