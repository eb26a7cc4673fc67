/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/jsontext.h"

#include <ctype.h>

#include "base/bug.h"
#include "base/text.h"
#include "base/utf8.h"

enum expect {
	EXPECT_VALUE,
	EXPECT_VALUE_OR_END, /* behind [ */
	EXPECT_NAME,
	EXPECT_NAME_OR_END, /* behind { */
	EXPECT_MORE,        /* behind a value: a comma, or the end of what it is in */
	EXPECT_NOTHING,
};

void
jsontext_init(struct jsontext *j, struct slice text, unsigned max_depth,
	      enum jsontext_strings strings)
{
	BUG_ON(max_depth > JSONTEXT_DEPTH_MAX);
	*j = (struct jsontext){ .max_depth = max_depth, .strings = (uint8_t)strings };
	j->begin = text.n > 0 ? text.p : "";
	j->p = j->begin;
	j->end = j->begin + text.n;
}

static enum jsontext_token
bad(struct jsontext *j, const char *what)
{
	if (j->wrong == NULL)
		j->wrong = what;
	return JSONTEXT_BAD;
}

const char *
jsontext_wrong(const struct jsontext *j, unsigned *line, unsigned *column)
{
	*line = *column = 1;
	for (const char *p = j->begin; p < j->p; p++) {
		*line += *p == '\n';
		*column = *p == '\n' ? 1 : *column + 1;
	}
	return j->wrong;
}

/* ---- what tokens are made of: each returns how many bytes there are at the front, 0: none ---- */

static size_t
digits_at(const char *p, const char *end)
{
	size_t n = 0;

	while (p + n < end && isdigit((unsigned char)p[n]))
		n++;
	return n;
}

static size_t
number_at(const char *p, const char *end)
{
	const char *at = p;
	size_t n;

	at += at < end && *at == '-';
	n = at < end && *at == '0' ? 1 : digits_at(at, end);
	if (n == 0)
		return 0;
	at += n;
	if (at < end && *at == '.') {
		n = digits_at(at + 1, end);
		if (n == 0)
			return 0;
		at += 1 + n;
	}
	if (at == end || (*at != 'e' && *at != 'E'))
		return (size_t)(at - p);
	at++;
	at += at < end && (*at == '+' || *at == '-');
	n = digits_at(at, end);
	return n > 0 ? (size_t)(at + n - p) : 0;
}

/* Of \uXXXX at the front its code unit; UINT32_MAX: that is none. */
static uint32_t
unit_at(const char *p, const char *end)
{
	uint32_t unit = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return UINT32_MAX;
	for (int i = 2; i < 6; i++) {
		int digit = text_hex_digit(p[i]);

		if (digit < 0)
			return UINT32_MAX;
		unit = unit << 4 | (uint32_t)digit;
	}
	return unit;
}

/* Of one or two \uXXXX at the front their code point, and how many bytes they take; UINT32_MAX: a
 * half of a surrogate pair. */
static uint32_t
point_at(const char *p, const char *end, size_t *n)
{
	uint32_t unit = unit_at(p, end), low;

	*n = 6;
	if (unit < 0xd800 || unit > 0xdfff)
		return unit;
	low = unit_at(p + 6, end);
	*n = 12;
	if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff)
		return UINT32_MAX;
	return 0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
}

static size_t
escape_at(const struct jsontext *j, const char *p)
{
	uint32_t point;
	size_t n;

	if (j->end - p < 2 || p[1] == '\0' || strchr("\"\\/bfnrtu", p[1]) == NULL)
		return 0;
	if (p[1] != 'u')
		return 2;
	if (j->strings == JSONTEXT_ANY_STRINGS)
		return unit_at(p, j->end) != UINT32_MAX ? 6 : 0;
	point = point_at(p, j->end, &n);
	return point != 0 && point != UINT32_MAX ? n : 0;
}

/* A byte of a string that is what it is. */
static bool
is_plain(char c)
{
	return (uint8_t)c >= 0x20 && (uint8_t)c < 0x80 && c != '"' && c != '\\';
}

/* ---- tokens ---- */

static bool
take_string(struct jsontext *j, struct slice *text)
{
	const char *p = j->p + 1;
	size_t n;

	for (;;) {
		while (p < j->end && is_plain(*p))
			p++;
		if (p == j->end || *p == '"')
			break;
		n = *p == '\\' ? escape_at(j, p) : utf8_sequence(slice_of(p, (size_t)(j->end - p)));
		if (n == 0 || (uint8_t)*p < 0x20) {
			j->p = p;
			(void)bad(j, *p == '\\' ? "an escape that text cannot have"
						: "a byte that text cannot have");
			return false;
		}
		p += n;
	}
	if (p == j->end) {
		(void)bad(j, "a string without an end");
		return false;
	}
	*text = slice_of(j->p + 1, (size_t)(p - j->p - 1));
	j->p = p + 1;
	return true;
}

static void
skip_blanks(struct jsontext *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t'))
		j->p++;
}

/* How many bytes of a token from here on. */
static enum jsontext_token
take(struct jsontext *j, enum jsontext_token token, size_t n, struct slice *text)
{
	*text = slice_of(j->p, n);
	j->p += n;
	return token;
}

static void
expect_after_value(struct jsontext *j)
{
	j->expect = j->depth > 0 ? EXPECT_MORE : EXPECT_NOTHING;
}

static bool
in_object(const struct jsontext *j)
{
	unsigned at = j->depth - 1;

	return j->objects[at / 8] >> at % 8 & 1;
}

static enum jsontext_token
open_level(struct jsontext *j, bool is_object, struct slice *text)
{
	uint8_t *byte = &j->objects[j->depth / 8], bit = (uint8_t)(1 << j->depth % 8);

	if (j->depth == j->max_depth)
		return bad(j, "lists and objects too deep in each other");
	*byte = is_object ? *byte | bit : (uint8_t)(*byte & ~bit);
	j->depth++;
	j->expect = is_object ? EXPECT_NAME_OR_END : EXPECT_VALUE_OR_END;
	return take(j, is_object ? JSONTEXT_OBJECT : JSONTEXT_LIST, 1, text);
}

static enum jsontext_token
take_value(struct jsontext *j, struct slice *text)
{
	static const struct {
		const char *word;
		enum jsontext_token token;
	} words[] = { { "true", JSONTEXT_TRUE },
		      { "false", JSONTEXT_FALSE },
		      { "null", JSONTEXT_NULL } };
	struct slice rest = slice_of(j->p, (size_t)(j->end - j->p));
	size_t n;

	switch (*j->p) {
	case '{':
		return open_level(j, true, text);
	case '[':
		return open_level(j, false, text);
	case '"':
		expect_after_value(j);
		return take_string(j, text) ? JSONTEXT_STRING : JSONTEXT_BAD;
	default:
		break;
	}
	expect_after_value(j);
	if (*j->p == '-' || isdigit((unsigned char)*j->p)) {
		n = number_at(j->p, j->end);
		return n > 0 ? take(j, JSONTEXT_NUMBER, n, text) : bad(j, "a number is expected");
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (slice_starts(rest, words[i].word))
			return take(j, words[i].token, strlen(words[i].word), text);
	}
	return bad(j, "a value is expected");
}

/* Behind a value that is in something, and with a byte to look at. */
static bool
take_comma(struct jsontext *j)
{
	if (*j->p != ',') {
		(void)bad(j,
			  in_object(j) ? "a comma or } is expected" : "a comma or ] is expected");
		return false;
	}
	j->p++;
	j->expect = in_object(j) ? EXPECT_NAME : EXPECT_VALUE;
	skip_blanks(j);
	return true;
}

enum jsontext_token
jsontext_next(struct jsontext *j, struct slice *text)
{
	enum expect expect;

	if (j->wrong != NULL)
		return JSONTEXT_BAD;
	skip_blanks(j);
	expect = j->expect;
	if (j->p < j->end && (expect == EXPECT_MORE || expect == EXPECT_NAME_OR_END ||
			      expect == EXPECT_VALUE_OR_END)) {
		if (*j->p == (in_object(j) ? '}' : ']')) {
			j->depth--;
			expect_after_value(j);
			return take(j, *j->p == '}' ? JSONTEXT_OBJECT_END : JSONTEXT_LIST_END, 1,
				    text);
		}
		if (expect == EXPECT_MORE && !take_comma(j))
			return JSONTEXT_BAD;
	}
	if (j->p == j->end)
		return expect == EXPECT_NOTHING ? JSONTEXT_END : bad(j, "it ends too early");
	if (expect == EXPECT_NOTHING)
		return bad(j, "something behind its end");
	if (expect == EXPECT_VALUE_OR_END || j->expect == EXPECT_VALUE)
		return take_value(j, text);
	if (*j->p != '"')
		return bad(j, "a name in quotes is expected");
	if (!take_string(j, text))
		return JSONTEXT_BAD;
	skip_blanks(j);
	if (j->p == j->end || *j->p != ':')
		return bad(j, "a colon is expected");
	j->p++;
	j->expect = EXPECT_VALUE;
	return JSONTEXT_NAME;
}

enum jsontext_token
jsontext_rest(struct jsontext *j, enum jsontext_token token, struct slice *first)
{
	unsigned depth = j->depth;
	struct slice text;

	if (token != JSONTEXT_OBJECT && token != JSONTEXT_LIST)
		return token;
	while (j->depth >= depth)
		if (jsontext_next(j, &text) == JSONTEXT_BAD)
			return JSONTEXT_BAD;
	*first = slice_of(first->p, (size_t)(j->p - first->p));
	return token;
}

bool
jsontext_is_valid(struct slice text, unsigned max_depth, enum jsontext_strings strings)
{
	enum jsontext_token token;
	struct slice ignored;
	struct jsontext j;

	jsontext_init(&j, text, max_depth, strings);
	do
		token = jsontext_next(&j, &ignored);
	while (token != JSONTEXT_BAD && token != JSONTEXT_END);
	return token == JSONTEXT_END;
}

bool
jsontext_is_number(struct slice text)
{
	return text.n > 0 && number_at(text.p, text.p + text.n) == text.n;
}

/* ---- what a string means ---- */

static size_t
encode(uint32_t point, char to[4])
{
	if (point < 0x80) {
		to[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		to[0] = (char)(0xc0 | point >> 6);
		to[1] = (char)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		to[0] = (char)(0xe0 | point >> 12);
		to[1] = (char)(0x80 | (point >> 6 & 0x3f));
		to[2] = (char)(0x80 | (point & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | point >> 18);
	to[1] = (char)(0x80 | (point >> 12 & 0x3f));
	to[2] = (char)(0x80 | (point >> 6 & 0x3f));
	to[3] = (char)(0x80 | (point & 0x3f));
	return 4;
}

struct slice
jsontext_piece(struct slice *string, char store[4])
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *escape = memchr(string->p, '\\', string->n), *known;
	struct slice piece = *string;
	size_t n = 2;

	if (escape != string->p) {
		piece.n = escape != NULL ? (size_t)(escape - string->p) : string->n;
		*string = slice_skip(*string, piece.n);
		return piece;
	}
	known = strchr(from, escape[1]);
	store[0] = known != NULL ? to[known - from] : escape[1];
	piece = slice_of(store, 1);
	if (escape[1] == 'u')
		piece.n = encode(point_at(escape, escape + string->n, &n), store);
	*string = slice_skip(*string, n);
	return piece;
}

void
jsontext_put(struct buf *b, struct slice string)
{
	char store[4];

	while (string.n > 0)
		buf_slice(b, jsontext_piece(&string, store));
}

bool
jsontext_means(struct slice string, const char *text)
{
	struct slice left = slice_str(text);
	char store[4];

	while (string.n > 0) {
		struct slice piece = jsontext_piece(&string, store);

		if (piece.n > left.n || memcmp(piece.p, left.p, piece.n) != 0)
			return false;
		left = slice_skip(left, piece.n);
	}
	return left.n == 0;
}
