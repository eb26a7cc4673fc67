/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "protocol/sqlstate.h"

#define SHOWN_MAX    64 /* bytes of a token in an error */
#define VALUE_MAX    65536
#define SQL_NAME_MAX 63

static int
advance(struct parser *p)
{
	if (lexer_next(&p->lex, &p->token, p->e) == 0)
		return 0;
	p->failed = true;
	return -1;
}

int
parser_init(struct parser *p, struct slice text, struct err *e)
{
	*p = (struct parser){ .lex = { text }, .e = e };
	if (utf8_valid(text) && (text.n == 0 || memchr(text.p, '\0', text.n) == NULL))
		return advance(p);
	p->failed = true;
	return err_set(e, "22021", "invalid byte sequence for encoding \"UTF8\"");
}

int
parser_fail(struct parser *p, const char *expected)
{
	struct slice at = p->token.text;

	if (p->failed)
		return -1;
	p->failed = true;
	if (p->token.kind == TOKEN_END || p->token.kind == TOKEN_SEMICOLON)
		err_set(p->e, SQLSTATE_SYNTAX_ERROR, "syntax error at end of input");
	else
		err_set(p->e, SQLSTATE_SYNTAX_ERROR, "syntax error at or near \"%.*s\"",
			(int)(at.n < SHOWN_MAX ? at.n : SHOWN_MAX), at.p);
	return err_detail(p->e, "Expected %s.", expected);
}

int
parser_too_many(struct parser *p)
{
	p->failed = true;
	return err_set(p->e, SQLSTATE_PROGRAM_LIMIT_EXCEEDED, "more than %d items in one list",
		       SPEC_ITEMS_MAX);
}

static bool
stands_here(const struct parser *p, const char *word)
{
	return !p->failed && (p->token.kind == TOKEN_WORD || p->token.kind == TOKEN_PUNCT) &&
	       slice_is_nocase(p->token.text, word);
}

bool
parser_accept(struct parser *p, const char *word)
{
	return stands_here(p, word) && advance(p) == 0;
}

bool
parser_accept_before_string(struct parser *p, const char *word)
{
	struct lexer look = p->lex;
	struct token next;
	struct err e;

	if (!stands_here(p, word) || lexer_next(&look, &next, &e) != 0 || next.kind != TOKEN_STRING)
		return false;
	return advance(p) == 0;
}

int
parser_expect(struct parser *p, const char *word)
{
	char expected[32];

	if (parser_accept(p, word))
		return 0;
	if (strlen(word) == 1)
		snprintf(expected, sizeof(expected), "\"%s\"", word);
	else
		snprintf(expected, sizeof(expected), "%s", word);
	return parser_fail(p, expected);
}

int
parser_expect_end_of_list(struct parser *p)
{
	return parser_accept(p, ")") ? 0 : parser_fail(p, "\",\" or \")\"");
}

static int
take_value(struct parser *p, char **out)
{
	struct buf value = { .cap = VALUE_MAX };
	int rc = token_value(&p->token, &value, p->e);

	if (rc == 0 && value.failed)
		rc = err_set(p->e, SQLSTATE_PROGRAM_LIMIT_EXCEEDED, "a value is too long");
	if (rc == 0)
		*out = xstrdup(buf_text(&value));
	else
		p->failed = true;
	buf_fini(&value);
	return rc == 0 ? advance(p) : -1;
}

int
parser_name(struct parser *p, char **out, const char *expected)
{
	enum token_kind kind = p->token.kind;

	if (p->failed || (kind != TOKEN_WORD && kind != TOKEN_NAME && kind != TOKEN_STRING))
		return parser_fail(p, expected);
	if (take_value(p, out) != 0)
		return -1;
	if ((*out)[0] != '\0')
		return 0;
	p->failed = true;
	return err_set(p->e, "42602", "a name may not be empty");
}

int
parser_string(struct parser *p, char **out, const char *expected)
{
	if (p->failed || p->token.kind != TOKEN_STRING)
		return parser_fail(p, expected);
	return take_value(p, out);
}

int
parser_value(struct parser *p, char **out)
{
	enum token_kind kind = p->token.kind;

	if (p->failed || (kind != TOKEN_WORD && kind != TOKEN_NAME && kind != TOKEN_STRING))
		return parser_fail(p, "a value");
	return take_value(p, out);
}

/* ---- SQL's names ---- */

static bool
is_in_name(char c, bool is_first)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0)
		return true;
	return !is_first && ((c >= '0' && c <= '9') || c == '$');
}

/* Append what stands behind the quote at s.p[0]; how many bytes it takes with its quotes. */
static size_t
take_quoted_part(struct slice s, struct buf *part)
{
	size_t n;

	for (n = 1; n < s.n; n++) {
		if (s.p[n] == '"' && (n + 1 >= s.n || s.p[n + 1] != '"'))
			return n + 1;
		n += s.p[n] == '"';
		buf_u8(part, (uint8_t)s.p[n]);
	}
	return s.n;
}

static size_t
take_plain_part(struct slice s, struct buf *part)
{
	size_t n;

	for (n = 0; n < s.n && is_in_name(s.p[n], n == 0); n++)
		buf_u8(part,
		       (uint8_t)(s.p[n] >= 'A' && s.p[n] <= 'Z' ? s.p[n] + ('a' - 'A') : s.p[n]));
	return n;
}

/* One part of a name off the front of *s; NULL where there is none. */
static char *
take_part(struct slice *s)
{
	struct buf part = { .cap = VALUE_MAX };
	bool quoted = s->n > 0 && s->p[0] == '"';
	size_t n = quoted ? take_quoted_part(*s, &part) : take_plain_part(*s, &part);
	char *text = part.n > 0 && !part.failed ? xstrdup(buf_text(&part)) : NULL;

	buf_fini(&part);
	*s = slice_skip(*s, n);
	return text;
}

/* Up to `max` parts with points between them; how many, 0 where it is no such name. */
static unsigned
take_parts(struct slice *s, char **parts, unsigned max)
{
	unsigned n = 0;

	for (;;) {
		parts[n] = take_part(s);
		if (parts[n] == NULL)
			break;
		n++;
		if (s->n == 0 || s->p[0] != '.')
			return n;
		if (n == max)
			break;
		*s = slice_skip(*s, 1);
	}
	while (n > 0) {
		free(parts[--n]);
		parts[n] = NULL;
	}
	return 0;
}

static int
check_length(struct parser *p, const char *name)
{
	if (name == NULL || strlen(name) <= SQL_NAME_MAX)
		return 0;
	p->failed = true;
	return err_set(p->e, "42622", "the name \"%.64s\" is longer than %d bytes", name,
		       SQL_NAME_MAX);
}

/* Where a name begins in the text, which tokens cut differently ("a"."b" is three of them). */
static unsigned
take_sql_name(struct parser *p, char **parts, unsigned max)
{
	struct slice s;
	unsigned n;

	if (p->failed || (p->token.kind != TOKEN_WORD && p->token.kind != TOKEN_NAME))
		return 0;
	s = slice_of(p->token.text.p, (size_t)(p->lex.rest.p + p->lex.rest.n - p->token.text.p));
	n = take_parts(&s, parts, max);
	if (n == 0)
		return 0;
	p->lex.rest = s;
	(void)advance(p);
	return n;
}

int
parser_column(struct parser *p, char **out)
{
	if (take_sql_name(p, out, 1) == 0)
		return parser_fail(p, "the name of a column");
	return p->failed ? -1 : check_length(p, *out);
}

int
parser_table(struct parser *p, struct spec_name *out)
{
	char *parts[2] = { NULL, NULL };
	unsigned n = take_sql_name(p, parts, 2);

	if (n == 0)
		return parser_fail(p, "the name of a table");
	out->schema = n == 2 ? parts[0] : NULL;
	out->table = parts[n - 1];
	if (p->failed || check_length(p, out->schema) != 0)
		return -1;
	return check_length(p, out->table);
}

int
parser_end(struct parser *p, const char *expected)
{
	while (!p->failed && p->token.kind == TOKEN_SEMICOLON)
		(void)advance(p);
	return !p->failed && p->token.kind == TOKEN_END ? 0 : parser_fail(p, expected);
}
