/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/sqltoken.h"

#include <string.h>

#include "base/hot.h"

/* clang-format off */
const uint8_t sqltoken_kinds[256] = {
	[' '] = SQLBYTE_BLANK,
	['\t' ... '\r'] = SQLBYTE_BLANK,
	['a' ... 'z'] = SQLBYTE_LETTER | SQLBYTE_IN_WORD,
	['A' ... 'Z'] = SQLBYTE_LETTER | SQLBYTE_IN_WORD,
	['_'] = SQLBYTE_LETTER | SQLBYTE_IN_WORD,
	[0x80 ... 0xff] = SQLBYTE_LETTER | SQLBYTE_IN_WORD,
	['0' ... '9'] = SQLBYTE_DIGIT | SQLBYTE_IN_WORD,
	['$'] = SQLBYTE_SPECIAL | SQLBYTE_IN_WORD,
	['\''] = SQLBYTE_SPECIAL,
	['"'] = SQLBYTE_SPECIAL,
	['-'] = SQLBYTE_SPECIAL,
	['/'] = SQLBYTE_SPECIAL,
	[';'] = SQLBYTE_SEMICOLON,
};
/* clang-format on */

static char
peek(const struct sqltoken_scan *s, size_t i)
{
	return i < (size_t)(s->end - s->p) ? s->p[i] : '\0';
}

static void
skip_line(struct sqltoken_scan *s)
{
	while (s->p < s->end && *s->p != '\n' && *s->p != '\r')
		s->p++;
}

/* Comments nest; one without an end takes the rest. */
static void
skip_comment(struct sqltoken_scan *s)
{
	const char *from = s->p;
	unsigned depth = 0;

	do {
		if (s->end - s->p < 2) {
			s->endless = from;
			s->p = s->end;
			return;
		}
		if (s->p[0] == '/' && s->p[1] == '*') {
			depth++;
			s->p += 2;
		} else if (s->p[0] == '*' && s->p[1] == '/') {
			depth--;
			s->p += 2;
		} else {
			s->p++;
		}
	} while (depth > 0);
}

HOT bool
sqltoken_skip_blank(struct sqltoken_scan *s)
{
	if (sqltoken_kind_of(*s->p) & SQLBYTE_BLANK)
		s->p++;
	else if (*s->p == '-' && peek(s, 1) == '-')
		skip_line(s);
	else if (*s->p == '/' && peek(s, 1) == '*')
		skip_comment(s);
	else
		return false;
	return true;
}

/* A string goes on behind a line's end, with the escapes that it began with. */
static bool
goes_on(struct sqltoken_scan *s)
{
	struct sqltoken_scan ahead = *s;
	const char *from = s->p;

	while (ahead.p < ahead.end && *ahead.p != '/' && sqltoken_skip_blank(&ahead))
		;
	if (peek(&ahead, 0) != '\'' || (memchr(from, '\n', (size_t)(ahead.p - from)) == NULL &&
					memchr(from, '\r', (size_t)(ahead.p - from)) == NULL))
		return false;
	s->p = ahead.p + 1;
	return true;
}

/* Between quotes, which are doubled inside; the first one has been taken. */
static void
read_quoted(struct sqltoken_scan *s, struct sqltoken *t, char quote, bool escapes)
{
	const char *from = s->p;

	t->exact = true;
	for (; s->p < s->end; s->p++) {
		if (*s->p == '\\' && escapes) {
			t->exact = false;
			s->p += s->p + 1 < s->end;
		} else if (*s->p == quote && peek(s, 1) == quote) {
			t->exact = false;
			s->p++;
		} else if (*s->p == quote) {
			break;
		}
	}
	t->text = slice_of(from, (size_t)(s->p - from));
	if (s->p < s->end)
		s->p++;
	else
		s->endless = t->from;
}

static void
read_string(struct sqltoken_scan *s, struct sqltoken *t, bool escapes)
{
	const char *from = s->p;

	t->kind = SQLTOKEN_STRING;
	read_quoted(s, t, '\'', escapes);
	while (escapes && goes_on(s)) {
		read_quoted(s, t, '\'', true);
		t->text = slice_of(from, (size_t)(t->text.p + t->text.n - from));
		t->exact = false;
	}
}

/* '…': whether a backslash before a quote escapes it depends on a setting. */
static void
read_plain_string(struct sqltoken_scan *s, struct sqltoken *t)
{
	read_string(s, t, s->escapes);
	if (t->text.n > 0 && memchr(t->text.p, '\\', t->text.n) != NULL) {
		t->exact = false;
		s->doubtful = true;
	}
}

/* $1, or $tag$…$tag$; the dollar sign is the next byte. */
static void
read_dollar(struct sqltoken_scan *s, struct sqltoken *t)
{
	size_t n = 1;
	const char *from, *found;

	if (sqltoken_kind_of(peek(s, 1)) & SQLBYTE_DIGIT) {
		do
			n++;
		while (sqltoken_kind_of(peek(s, n)) & SQLBYTE_DIGIT);
		t->mark = '$';
		t->text.n = n;
		s->p += n;
		return;
	}
	if (sqltoken_kind_of(peek(s, 1)) & SQLBYTE_LETTER)
		for (n = 2; sqltoken_kind_of(peek(s, n)) & (SQLBYTE_LETTER | SQLBYTE_DIGIT);)
			n++;
	if (peek(s, n) != '$') {
		s->p++;
		return;
	}
	n++;
	from = s->p + n;
	found = memmem(from, (size_t)(s->end - from), s->p, n);
	if (found == NULL) {
		found = s->end;
		s->endless = t->from;
	}
	t->kind = SQLTOKEN_STRING;
	t->exact = true;
	t->text = slice_of(from, (size_t)(found - from));
	s->p = found < s->end ? found + n : s->end;
}

static void
read_word(struct sqltoken_scan *s, struct sqltoken *t)
{
	const char *from = s->p;
	char first = (char)(*from | 0x20);

	const char *p = from + 1;

	while (p < s->end && (sqltoken_kind_of(*p) & SQLBYTE_IN_WORD))
		p++;
	s->p = p;
	t->kind = SQLTOKEN_WORD;
	t->exact = true;
	t->text = slice_of(from, (size_t)(s->p - from));
	if (t->text.n > 1)
		return;
	if (first == 'e' && peek(s, 0) == '\'') {
		s->p++;
		read_string(s, t, true);
	} else if (first == 'u' && peek(s, 0) == '&' && peek(s, 1) == '\'') {
		s->p += 2;
		read_string(s, t, false);
		t->exact = false;
	} else if (first == 'u' && peek(s, 0) == '&' && peek(s, 1) == '"') {
		s->p += 2;
		t->kind = SQLTOKEN_NAME;
		read_quoted(s, t, '"', false);
		t->exact = false;
	}
}

static void
read_special(struct sqltoken_scan *s, struct sqltoken *t)
{
	switch (*s->p) {
	case '\'':
		s->p++;
		read_plain_string(s, t);
		break;
	case '"':
		s->p++;
		t->kind = SQLTOKEN_NAME;
		read_quoted(s, t, '"', false);
		break;
	case '$':
		read_dollar(s, t);
		break;
	default:
		s->p++;
		break;
	}
}

HOT bool
sqltoken_next(struct sqltoken_scan *s, struct sqltoken *t)
{
	while (s->p < s->end && sqltoken_skip_blank(s))
		;
	if (s->p >= s->end)
		return false;
	t->kind = SQLTOKEN_MARK;
	t->mark = '\0';
	t->exact = false;
	t->from = s->p;
	t->text = slice_of(s->p, 1);
	if (sqltoken_kind_of(*s->p) & SQLBYTE_LETTER) {
		read_word(s, t);
	} else if (sqltoken_kind_of(*s->p) & SQLBYTE_SPECIAL) {
		read_special(s, t);
	} else if (sqltoken_kind_of(*s->p) & SQLBYTE_DIGIT) {
		t->mark = '0';
		while (s->p < s->end && ((sqltoken_kind_of(*s->p) & SQLBYTE_DIGIT) || *s->p == '.'))
			s->p++;
		t->text.n = (size_t)(s->p - t->from);
	} else {
		t->mark = *s->p++;
	}
	return true;
}

/* ---- values ---- */

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

/* The escape behind a backslash: returns how many bytes of `s` it took, 0 where it is not resolved.
 */
static size_t
read_escape(struct slice s, char *out)
{
	static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
	const char *at;
	unsigned v;
	size_t n;

	if (s.n == 0 || s.p[0] == '\0' || s.p[0] == 'u' || s.p[0] == 'U')
		return 0;
	at = strchr(from, s.p[0]);
	if (at != NULL) {
		*out = to[at - from];
		return 1;
	}
	n = escape_number(s, 8, 3, &v);
	if (n == 0 && s.p[0] == 'x') {
		n = escape_number(slice_skip(s, 1), 16, 2, &v);
		n += n > 0;
	}
	*out = n > 0 ? (char)v : s.p[0];
	return n > 0 ? n : 1;
}

size_t
sqltoken_value(const struct sqltoken *t, char *to, size_t size)
{
	char quote = t->kind == SQLTOKEN_NAME ? '"' : '\'', prefix = (char)(*t->from | 0x20);
	bool is_quoted = t->kind != SQLTOKEN_WORD && *t->from != '$';
	struct slice s = t->text;
	size_t n = 0;

	if (is_quoted && prefix == 'u')
		return SIZE_MAX;
	while (s.n > 0) {
		char c = s.p[0];
		size_t took = 1;

		if (is_quoted && prefix == 'e' && c == '\\') {
			took = read_escape(slice_skip(s, 1), &c);
			took += took > 0;
		} else if (is_quoted && c == quote) {
			took = s.n > 1 && s.p[1] == quote ? 2 : 0;
		}
		if (took == 0 || c == '\0')
			return SIZE_MAX;
		if (n < size)
			to[n] = c;
		n++;
		s = slice_skip(s, took);
	}
	return n;
}
