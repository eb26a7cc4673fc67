/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/syntax.h"

#include <string.h>

#include "base/bug.h"

#define OPTIONS_MAX 8 /* optional parts next to each other */

/* ---- syntax strings ---- */

enum element {
	ELEMENT_END,
	ELEMENT_CHOICE, /* ( */
	ELEMENT_OPTION, /* [ */
	ELEMENT_CLOSE,  /* ) or ] */
	ELEMENT_OR,     /* | */
	ELEMENT_VALUE,  /* <name> */
	ELEMENT_REST,   /* <name...> */
	ELEMENT_WORD,   /* keyword, or a character in quotes */
};

/* Returns the element at *p and moves *p past it; *text is the keyword or the name of the
 * placeholder. */
static enum element
next_element(const char **p, struct slice *text)
{
	static const char marks[] = "([)]|";
	static const enum element meanings[] = { ELEMENT_CHOICE, ELEMENT_OPTION, ELEMENT_CLOSE,
						 ELEMENT_CLOSE, ELEMENT_OR };
	const char *s = *p + strspn(*p, " "), *mark;
	size_t n;

	if (*s == '\0')
		return ELEMENT_END;
	mark = strchr(marks, *s);
	if (mark != NULL) {
		*p = s + 1;
		return meanings[mark - marks];
	}
	if (*s == '\'') {
		*text = slice_of(s + 1, 1);
		*p = s + 3;
		return ELEMENT_WORD;
	}
	if (*s == '<') {
		n = strcspn(s, ">");
		*p = s + n + 1;
		*text = slice_of(s + 1, n - 1);
		if (n < 4 || memcmp(s + n - 3, "...", 3) != 0)
			return ELEMENT_VALUE;
		text->n -= 3;
		return ELEMENT_REST;
	}
	n = strcspn(s, " ()[]|");
	*text = slice_of(s, n);
	*p = s + n;
	return ELEMENT_WORD;
}

/* Skips from inside a group to behind its end, or to the next alternative where `or_too`. */
static const char *
skip_group(const char *p, bool or_too, enum element *stopped_at)
{
	unsigned depth = 0;
	struct slice text;

	for (;;) {
		enum element el = next_element(&p, &text);

		BUG_ON(el == ELEMENT_END);
		if (depth == 0 && (el == ELEMENT_CLOSE || (or_too && el == ELEMENT_OR))) {
			*stopped_at = el;
			return p;
		}
		if (el == ELEMENT_CHOICE || el == ELEMENT_OPTION)
			depth++;
		else if (el == ELEMENT_CLOSE)
			depth--;
	}
}

static const char *
behind_group(const char *p)
{
	enum element stopped_at;

	return skip_group(p, false, &stopped_at);
}

/* ---- matching ---- */

static bool match_sequence(struct matcher *m, const char **p);

static void
capture(struct matcher *m, struct slice name, bool keyword, bool rest)
{
	BUG_ON(m->ncaptures == SYNTAX_CAPTURES_MAX);
	m->captures[m->ncaptures++] =
	    (struct capture){ .name = name, .token = m->at, .keyword = keyword, .rest = rest };
}

static void
advance(struct matcher *m, unsigned to)
{
	m->at = to;
	if (m->furthest < to)
		m->furthest = to;
}

static bool
match_word(struct matcher *m, struct slice keyword)
{
	const struct token *t = &m->tokens[m->at];

	if (m->at >= m->n || (t->kind != TOKEN_WORD && t->kind != TOKEN_PUNCT) ||
	    t->text.n != keyword.n || strncasecmp(t->text.p, keyword.p, keyword.n) != 0)
		return false;
	if (m->in_args && t->kind == TOKEN_WORD)
		capture(m, keyword, true, false);
	advance(m, m->at + 1);
	return true;
}

static bool
match_value(struct matcher *m, struct slice name)
{
	if (m->at >= m->n || m->tokens[m->at].kind == TOKEN_PUNCT)
		return false;
	capture(m, name, false, false);
	advance(m, m->at + 1);
	return true;
}

static bool
match_rest(struct matcher *m, struct slice name)
{
	if (m->at >= m->n)
		return false;
	capture(m, name, false, m->at + 1 < m->n);
	advance(m, m->n);
	return true;
}

/* Matches a group. *p is inside its bracket before, and behind the group afterwards. */
static bool
match_group(struct matcher *m, const char **p)
{
	const char *alternative = *p;
	unsigned at = m->at, ncaptures = m->ncaptures;
	enum element stopped_at;

	*p = behind_group(*p);
	do {
		const char *at_one = alternative;

		if (match_sequence(m, &at_one))
			return true;
		m->at = at; /* no token is consumed by what does not match */
		m->ncaptures = ncaptures;
		alternative = skip_group(alternative, true, &stopped_at);
	} while (stopped_at == ELEMENT_OR);
	return false;
}

/* Matches all optional parts that are next to each other, in any order. */
static void
match_options(struct matcher *m, const char **p)
{
	const char *options[OPTIONS_MAX], *look = *p;
	bool used[OPTIONS_MAX] = { false }, again = true;
	struct slice text;
	unsigned n = 0;

	do {
		BUG_ON(n == OPTIONS_MAX);
		options[n++] = look;
		*p = behind_group(look);
		look = *p;
	} while (next_element(&look, &text) == ELEMENT_OPTION);
	while (again) {
		again = false;
		for (unsigned i = 0; i < n; i++) {
			const char *option = options[i];
			unsigned before = m->at;

			if (!used[i] && match_group(m, &option) && m->at > before)
				used[i] = again = true;
		}
	}
}

static bool
match_sequence(struct matcher *m, const char **p)
{
	struct slice text = { NULL, 0 };

	for (;;) {
		bool matched = true;

		switch (next_element(p, &text)) {
		case ELEMENT_END:
		case ELEMENT_CLOSE:
		case ELEMENT_OR:
			return true;
		case ELEMENT_CHOICE:
			matched = match_group(m, p);
			break;
		case ELEMENT_OPTION:
			match_options(m, p);
			break;
		case ELEMENT_VALUE:
			matched = match_value(m, text);
			break;
		case ELEMENT_REST:
			matched = match_rest(m, text);
			break;
		case ELEMENT_WORD:
			matched = match_word(m, text);
			break;
		}
		if (!matched)
			return false;
	}
}

bool
syntax_match(struct matcher *m, const char *words, const char *args)
{
	if (args == NULL)
		args = "";
	m->at = m->furthest = m->ncaptures = 0;
	m->in_args = false;
	if (!match_sequence(m, &words))
		return false;
	m->in_args = true;
	return match_sequence(m, &args) && m->at == m->n;
}

unsigned
syntax_count_words(const char *words)
{
	struct slice text;
	unsigned n = 0;

	while (next_element(&words, &text) == ELEMENT_WORD)
		n++;
	return n;
}
