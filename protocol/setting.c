/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/setting.h"

#include <ctype.h>
#include <string.h>

#include "base/hot.h"
#include "base/text.h"

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,      /* lower case */
	TOKEN_NAME,      /* "quoted" */
	TOKEN_STRING,    /* '…', E'…', $$…$$ */
	TOKEN_PARAMETER, /* $1 */
	TOKEN_NUMBER,
	TOKEN_CAST,  /* :: */
	TOKEN_OTHER, /* one character */
	TOKEN_UNSURE /* what follows cannot be read without doubt */
};

struct token {
	enum token_kind kind;
	char mark;          /* TOKEN_OTHER */
	bool odd;           /* its text does not fit, or was not decoded */
	uint16_t parameter; /* TOKEN_PARAMETER */
	size_t n;
	const char *at; /* where it begins */
	char text[SETTING_TEXT_MAX];
};

struct parser {
	struct slice rest; /* behind the token */
	struct token t;
};

/* ---- tokens ---- */

static bool
begins_word(char c)
{
	return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool
continues_word(char c)
{
	return begins_word(c) || isdigit((unsigned char)c) || c == '$';
}

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static char
at(struct slice s, size_t i)
{
	return i < s.n ? s.p[i] : '\0';
}

static void
put(struct token *t, char c)
{
	if (t->n < sizeof(t->text))
		t->text[t->n++] = c;
	else
		t->odd = true;
}

/* Comments nest. False: it has no end. */
static bool
skip_comment(struct slice *s)
{
	unsigned depth = 0;

	do {
		if (s->n < 2)
			return false;
		if (s->p[0] == '/' && s->p[1] == '*')
			depth++;
		else if (s->p[0] == '*' && s->p[1] == '/')
			depth--;
		else {
			*s = slice_skip(*s, 1);
			continue;
		}
		*s = slice_skip(*s, 2);
	} while (depth > 0);
	return true;
}

static bool
skip_blanks(struct slice *s)
{
	for (;;) {
		if (s->n > 0 && is_blank(s->p[0])) {
			*s = slice_skip(*s, 1);
		} else if (at(*s, 0) == '-' && at(*s, 1) == '-') {
			while (s->n > 0 && s->p[0] != '\n' && s->p[0] != '\r')
				*s = slice_skip(*s, 1);
		} else if (at(*s, 0) == '/' && at(*s, 1) == '*') {
			if (!skip_comment(s))
				return false;
		} else {
			return true;
		}
	}
}

/* What stands behind a backslash of an E'…'; numbers are left to those who need them. */
static void
put_escaped(struct token *t, char c)
{
	if (c == '\'' || c == '\\')
		put(t, c);
	else
		t->odd = true;
}

/* Between quotes, which are doubled inside; s stands behind the first one. */
static enum token_kind
read_quoted(struct slice *s, struct token *t, char quote, bool escapes)
{
	while (s->n > 0) {
		char c = s->p[0];

		*s = slice_skip(*s, 1);
		if (c == '\\' && escapes && s->n > 0) {
			put_escaped(t, s->p[0]);
			*s = slice_skip(*s, 1);
		} else if (c == '\\' && quote == '\'') {
			return TOKEN_UNSURE;
		} else if (c == quote && at(*s, 0) != quote) {
			return quote == '"' ? TOKEN_NAME : TOKEN_STRING;
		} else {
			put(t, c);
			if (c == quote)
				*s = slice_skip(*s, 1);
		}
	}
	return TOKEN_UNSURE;
}

/* $tag$…$tag$; s stands at its beginning, `tag` holds both dollar signs. */
static enum token_kind
read_dollars(struct slice *s, struct token *t, struct slice tag)
{
	*s = slice_skip(*s, tag.n);
	while (s->n >= tag.n) {
		if (memcmp(s->p, tag.p, tag.n) == 0) {
			*s = slice_skip(*s, tag.n);
			return TOKEN_STRING;
		}
		put(t, s->p[0]);
		*s = slice_skip(*s, 1);
	}
	return TOKEN_UNSURE;
}

static enum token_kind
read_dollar(struct slice *s, struct token *t)
{
	size_t n = 1;

	if (isdigit((unsigned char)at(*s, 1))) {
		for (t->parameter = 0; isdigit((unsigned char)at(*s, n)); n++) {
			t->odd = t->odd || t->parameter > 6552;
			t->parameter = (uint16_t)(t->parameter * 10 + (s->p[n] - '0'));
		}
		*s = slice_skip(*s, n);
		return TOKEN_PARAMETER;
	}
	if (begins_word(at(*s, n))) {
		while (continues_word(at(*s, n)) && at(*s, n) != '$')
			n++;
	}
	if (at(*s, n) != '$')
		return TOKEN_UNSURE;
	return read_dollars(s, t, slice_of(s->p, n + 1));
}

static enum token_kind
read_word(struct slice *s, struct token *t)
{
	do {
		put(t, (char)tolower((unsigned char)s->p[0]));
		*s = slice_skip(*s, 1);
	} while (continues_word(at(*s, 0)));
	if (t->n == 1 && at(*s, 0) == '\'') {
		/* B'…' and X'…' are no texts, N'…' is, but nobody writes it */
		bool escapes = t->text[0] == 'e';

		t->odd = !escapes;
		t->n = 0;
		*s = slice_skip(*s, 1);
		return read_quoted(s, t, '\'', escapes);
	}
	/* U&'…' and U&"…" have escapes of their own */
	if (t->n == 1 && t->text[0] == 'u' && at(*s, 0) == '&' &&
	    (at(*s, 1) == '\'' || at(*s, 1) == '"'))
		return TOKEN_UNSURE;
	return TOKEN_WORD;
}

static enum token_kind
read_token(struct slice *s, struct token *t)
{
	char c = s->p[0];

	if (begins_word(c))
		return read_word(s, t);
	if (c == '$')
		return read_dollar(s, t);
	if (isdigit((unsigned char)c)) {
		while (continues_word(at(*s, 0)) || at(*s, 0) == '.')
			*s = slice_skip(*s, 1);
		return TOKEN_NUMBER;
	}
	*s = slice_skip(*s, 1);
	if (c == '\'' || c == '"')
		return read_quoted(s, t, c, false);
	if (c == ':' && at(*s, 0) == ':') {
		*s = slice_skip(*s, 1);
		return TOKEN_CAST;
	}
	t->mark = c;
	return TOKEN_OTHER;
}

static void
advance(struct parser *p)
{
	struct token *t = &p->t;

	t->n = 0;
	t->odd = false;
	t->mark = '\0';
	t->at = p->rest.p;
	if (!skip_blanks(&p->rest)) {
		t->kind = TOKEN_UNSURE;
		return;
	}
	t->at = p->rest.p;
	t->kind = p->rest.n == 0 ? TOKEN_END : read_token(&p->rest, t);
}

static bool
is_word(const struct parser *p, const char *word)
{
	return p->t.kind == TOKEN_WORD && !p->t.odd && slice_is(slice_of(p->t.text, p->t.n), word);
}

static bool
is_mark(const struct parser *p, char c)
{
	return p->t.kind == TOKEN_OTHER && p->t.mark == c;
}

static bool
is_over(const struct parser *p)
{
	return p->t.kind == TOKEN_END || is_mark(p, ';');
}

/* Step over what is asked for. False: it is something else. */
static bool
take_word(struct parser *p, const char *word)
{
	if (!is_word(p, word))
		return false;
	advance(p);
	return true;
}

static bool
take_mark(struct parser *p, char c)
{
	if (!is_mark(p, c))
		return false;
	advance(p);
	return true;
}

/* ---- parts of statements ---- */

static bool
append(struct setting_word *w, const char *p, size_t n)
{
	size_t at = w->n;
	bool fits = text_append(w->text, sizeof(w->text), &at, slice_of(p, n));

	w->n = (uint16_t)at;
	return fits;
}

static void
lower(struct setting_word *w)
{
	for (size_t i = 0; i < w->n; i++)
		w->text[i] = (char)tolower((unsigned char)w->text[i]);
}

/* meridian.city, "meridian"."city", "meridian.city". */
static bool
take_name(struct parser *p, struct setting_word *w)
{
	struct slice rest;

	w->parameter = w->n = 0;
	do {
		if ((p->t.kind != TOKEN_WORD && p->t.kind != TOKEN_NAME) || p->t.odd)
			return false;
		if ((w->n > 0 && !append(w, ".", 1)) || !append(w, p->t.text, p->t.n))
			return false;
		advance(p);
	} while (take_mark(p, '.'));
	lower(w);
	return setting_is_ours(setting_text(w), &rest);
}

/* A string, or a parameter; casts behind it change neither. */
static bool
take_argument(struct parser *p, struct setting_word *w)
{
	bool known = p->t.kind == TOKEN_STRING || p->t.kind == TOKEN_PARAMETER;

	if (!known || p->t.odd || (p->t.kind == TOKEN_PARAMETER && p->t.parameter == 0))
		return false;
	w->parameter = p->t.kind == TOKEN_PARAMETER ? p->t.parameter : 0;
	w->n = 0;
	(void)append(w, p->t.text, p->t.n);
	advance(p);
	if (p->t.kind != TOKEN_CAST)
		return true;
	/* a type: words, qualified or not, and a length */
	do {
		advance(p);
	} while (p->t.kind == TOKEN_WORD || p->t.kind == TOKEN_NAME || is_mark(p, '.'));
	if (take_mark(p, '(')) {
		if (p->t.kind != TOKEN_NUMBER)
			return false;
		advance(p);
		return take_mark(p, ')');
	}
	return true;
}

enum extent { FOR_SESSION, FOR_TRANSACTION, EXTENT_UNKNOWN };

static enum extent
take_extent(struct parser *p, uint16_t *parameter)
{
	struct setting_word w;

	*parameter = 0;
	if (take_word(p, "false"))
		return FOR_SESSION;
	if (take_word(p, "true"))
		return FOR_TRANSACTION;
	if (!take_argument(p, &w))
		return EXTENT_UNKNOWN;
	*parameter = w.parameter;
	return w.parameter == 0 && setting_is_true(setting_text(&w)) ? FOR_TRANSACTION
								     : FOR_SESSION;
}

/* ---- statements: true where this one says something to us ---- */

static bool
read_set(struct parser *p, struct setting *out)
{
	(void)take_word(p, "session");
	if (!take_name(p, &out->name) || (!take_mark(p, '=') && !take_word(p, "to")))
		return false;
	out->verb = SETTING_SET;
	if (take_word(p, "default")) {
		out->verb = SETTING_RESET;
		return is_over(p);
	}
	if (p->t.odd ||
	    (p->t.kind != TOKEN_WORD && p->t.kind != TOKEN_NAME && p->t.kind != TOKEN_STRING))
		return false;
	out->value.parameter = out->value.n = 0;
	(void)append(&out->value, p->t.text, p->t.n);
	advance(p);
	return is_over(p);
}

static bool
read_all(struct parser *p, struct setting *out)
{
	out->verb = SETTING_RESET_ALL;
	return take_word(p, "all") && is_over(p);
}

static bool
read_reset(struct parser *p, struct setting *out)
{
	if (is_word(p, "all"))
		return read_all(p, out);
	out->verb = SETTING_RESET;
	return take_name(p, &out->name) && is_over(p);
}

static bool
read_show(struct parser *p, struct setting *out)
{
	out->verb = SETTING_SHOW;
	return take_name(p, &out->name) && is_over(p);
}

/* One call, to its closing parenthesis. */
static bool
take_call(struct parser *p, struct setting *out, bool *ours)
{
	enum extent extent;
	struct slice rest;

	if (take_word(p, "pg_catalog") && !take_mark(p, '.'))
		return false;
	if (!take_word(p, "set_config") || !take_mark(p, '(') || !take_argument(p, &out->name) ||
	    !take_mark(p, ','))
		return false;
	lower(&out->name);
	out->verb = take_word(p, "null") ? SETTING_RESET : SETTING_SET;
	if ((out->verb == SETTING_SET && !take_argument(p, &out->value)) || !take_mark(p, ','))
		return false;
	extent = take_extent(p, &out->is_local);
	*ours = extent == FOR_SESSION &&
		(out->name.parameter != 0 || setting_is_ours(setting_text(&out->name), &rest));
	return extent != EXTENT_UNKNOWN && is_mark(p, ')');
}

/* Calls up to the first that is ours; the list may go on behind it. */
static bool
read_select(struct parser *p, struct setting *out)
{
	bool ours = false;

	while (!ours) {
		if (!take_call(p, out, &ours))
			return false;
		advance(p);
		/* the column may have a name */
		(void)take_word(p, "as");
		if (p->t.kind == TOKEN_WORD || p->t.kind == TOKEN_NAME)
			advance(p);
		if (!ours && !take_mark(p, ','))
			return false;
	}
	return true;
}

static const struct {
	const char *word;
	bool (*read)(struct parser *p, struct setting *out);
} statements[] = {
	{ "set", read_set },     { "reset", read_reset },   { "show", read_show },
	{ "discard", read_all }, { "select", read_select },
};

/* ---- the text ---- */

void
setting_begin(struct setting_scan *scan, struct slice sql)
{
	*scan = (struct setting_scan){ .rest = sql };
}

static void
give_up(struct setting_scan *scan)
{
	scan->rest.n = 0;
}

/* Go on behind the statement. Most texts are one statement: a look for a semicolon shows it. */
static void
step_over(struct setting_scan *scan)
{
	const char *semicolon = memchr(scan->rest.p, ';', scan->rest.n);
	struct parser p;
	unsigned depth = 0;

	scan->in_list = false;
	if (semicolon == NULL || semicolon == scan->rest.p + scan->rest.n - 1) {
		give_up(scan);
		return;
	}
	p.rest = scan->rest;
	for (advance(&p); p.t.kind != TOKEN_END && (depth > 0 || !is_mark(&p, ';')); advance(&p)) {
		if (p.t.kind == TOKEN_UNSURE) {
			give_up(scan);
			return;
		}
		depth += is_mark(&p, '(');
		depth -= depth > 0 && is_mark(&p, ')');
	}
	scan->rest = p.rest;
}

/* A statement, or a part of its list, has been read: note where it ends, and where to go on. */
static bool
found(struct setting_scan *scan, const struct parser *p, struct setting *out)
{
	const char *end = scan->rest.p + scan->rest.n;

	scan->in_list = !is_over(p);
	scan->rest = scan->in_list ? slice_of(p->t.at, (size_t)(end - p->t.at)) : p->rest;
	out->statement = slice_of(scan->statement, (size_t)(p->t.at - scan->statement));
	return true;
}

static bool
read_statement(struct setting_scan *scan, struct setting *out)
{
	struct parser p;

	p.rest = scan->rest;
	advance(&p);
	scan->statement = p.t.at;
	if (is_word(&p, "create")) {
		give_up(scan);
		return false;
	}
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		if (take_word(&p, statements[i].word))
			return statements[i].read(&p, out) && found(scan, &p, out);
	}
	return false;
}

/* Go on in a list of calls: behind the comma, or not at all. */
static bool
read_list(struct setting_scan *scan, struct setting *out)
{
	struct parser p;

	p.rest = scan->rest;
	advance(&p);
	return take_mark(&p, ',') && read_select(&p, out) && found(scan, &p, out);
}

/* `word` is in lower case. */
static bool
begins_with(struct slice s, const char *word)
{
	size_t i = 0;

	/* a bit makes a capital letter a small one, and nothing else a letter */
	while (i < s.n && word[i] != '\0' && (s.p[i] == word[i] || (s.p[i] | 0x20) == word[i]))
		i++;
	return word[i] == '\0';
}

static inline uint32_t
four_letters(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v | 0x20202020;
}

/* Most texts are a SELECT of something else, and known by their second word. */
static inline bool
is_other_select(struct slice s)
{
	if (s.n < 8 || four_letters(s.p) != four_letters("sele") ||
	    four_letters(s.p + 3) != four_letters("ect "))
		return false;
	for (s = slice_skip(s, 7); s.n > 0 && is_blank(s.p[0]);)
		s = slice_skip(s, 1);
	switch (at(s, 0)) {
	case '-':
	case '/':
		return false;
	case 's':
	case 'S':
		return !begins_with(s, "set_config");
	case 'p':
	case 'P':
		return !begins_with(s, "pg_catalog");
	default:
		return true;
	}
}

/* Whether one of our statements may stand in front, or CREATE, or blanks. */
static inline bool
is_worth_reading(struct slice s)
{
	switch (s.p[0]) {
	case 's':
	case 'S':
		return !is_other_select(s);
	case 'r':
	case 'R':
	case 'd':
	case 'D':
	case 'c':
	case 'C':
	case '-':
	case '/':
	case ';':
	case '\0':
		return true;
	default:
		return is_blank(s.p[0]);
	}
}

HOT bool
setting_is_silent(struct slice sql)
{
	if (sql.n == 0)
		return true;
	return !is_worth_reading(sql) && memchr(sql.p, ';', sql.n - 1) == NULL;
}

bool
setting_next(struct setting_scan *scan, struct setting *out)
{
	out->is_local = 0;
	while (scan->rest.n > 0) {
		if (scan->in_list) {
			if (read_list(scan, out))
				return true;
		} else if (is_worth_reading(scan->rest) && read_statement(scan, out)) {
			return true;
		}
		if (scan->rest.n > 0)
			step_over(scan);
	}
	return false;
}

bool
setting_is_ours(struct slice name, struct slice *rest)
{
	static const char prefix[] = "meridian.";

	if (name.n < sizeof(prefix) || strncasecmp(name.p, prefix, sizeof(prefix) - 1) != 0)
		return false;
	*rest = slice_skip(name, sizeof(prefix) - 1);
	return true;
}

/* PostgreSQL takes every beginning of these that only one of them has. */
bool
setting_is_true(struct slice text)
{
	static const char *const words[] = { "true", "yes", "on", "1" };
	struct slice s = slice_trim(text);

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (s.n > 0 && s.n <= strlen(words[i]) && strncasecmp(s.p, words[i], s.n) == 0 &&
		    !slice_is_nocase(s, "o"))
			return true;
	}
	return false;
}
