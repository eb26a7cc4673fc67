/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/console_lexer.h"

#include <string.h>

#include "base/text.h"
#include "base/utf8.h"
#include "protocol/sqlstate.h"
#include "protocol/sqltoken.h"

#define BLANKS " \t\r\n\f\v"
#define PUNCT  "(),="

static bool
is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static bool
begins_string(struct slice s)
{
	return slice_starts(s, "'") || (s.n > 1 && (s.p[0] | 0x20) == 'e' && s.p[1] == '\'');
}

static size_t
word_length(struct slice s)
{
	size_t n;

	for (n = 0; n < s.n; n++) {
		struct slice here = slice_skip(s, n);

		if (is_one_of(s.p[n], BLANKS PUNCT "'\";") || slice_starts(here, "--") ||
		    slice_starts(here, "/*"))
			break;
	}
	return n;
}

static void
take_word(struct slice rest, struct token *out)
{
	int64_t param;

	out->text = slice_of(rest.p, word_length(rest));
	out->kind = TOKEN_WORD;
	if (out->text.n > 1 && out->text.p[0] == '$' &&
	    (sqltoken_kind_of(out->text.p[1]) & SQLBYTE_DIGIT) &&
	    text_to_int(slice_skip(out->text, 1), 1, LEXER_PARAM_MAX, &param)) {
		out->kind = TOKEN_PARAM;
		out->param = (unsigned)param;
	}
}

static int
take_quoted(struct sqltoken_scan *s, struct token *out, struct err *e)
{
	bool is_name = *s->p == '"';
	struct sqltoken t;

	out->kind = is_name ? TOKEN_NAME : TOKEN_STRING;
	if (!sqltoken_next(s, &t) || s->endless != NULL)
		return err_set(e, SQLSTATE_SYNTAX_ERROR, "unterminated quoted %s",
			       is_name ? "name" : "string");
	if (is_name && t.text.n == 0)
		return err_set(e, SQLSTATE_SYNTAX_ERROR, "a quoted name may not be empty");
	out->text = slice_of(t.from, (size_t)(s->p - t.from));
	return 0;
}

int
lexer_next(struct lexer *l, struct token *out, struct err *e)
{
	struct sqltoken_scan s = sqltoken_begin(l->rest);

	while (s.p < s.end && sqltoken_skip_blank(&s))
		;
	l->rest = slice_of(s.p, (size_t)(s.end - s.p));
	*out = (struct token){ .kind = TOKEN_END, .text = slice_of(s.p, 0) };
	if (s.endless != NULL)
		return err_set(e, SQLSTATE_SYNTAX_ERROR, "unterminated /* comment");
	if (s.p == s.end)
		return 0;
	if (*s.p == '"' || begins_string(l->rest)) {
		if (take_quoted(&s, out, e) != 0)
			return -1;
	} else if (is_one_of(*s.p, PUNCT ";")) {
		out->kind = *s.p == ';' ? TOKEN_SEMICOLON : TOKEN_PUNCT;
		out->text.n = 1;
	} else {
		take_word(l->rest, out);
	}
	l->rest = slice_skip(l->rest, out->text.n);
	return 0;
}

int
token_value(const struct token *t, struct buf *out, struct err *e)
{
	struct sqltoken_scan s = sqltoken_begin(t->text);
	struct sqltoken quoted;
	struct slice value;
	char *to;
	size_t n;

	if (t->kind != TOKEN_NAME && t->kind != TOKEN_STRING) {
		buf_slice(out, t->text);
		return 0;
	}
	if (!sqltoken_next(&s, &quoted) || quoted.text.n == 0)
		return 0;
	to = buf_reserve(out, quoted.text.n);
	if (to == NULL)
		return 0; /* out->failed says it */
	n = sqltoken_value(&quoted, to, quoted.text.n);
	value = slice_of(to, n);
	if (n == SIZE_MAX || !utf8_valid(value))
		return err_set(e, "22021", "the escapes of a string make no valid UTF-8 text");
	out->n += n;
	return 0;
}
