/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/grammar.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pgquote.h"
#include "base/suggest.h"
#include "base/text.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/syntax.h"

#define SHOWN_MAX 64 /* bytes of a token in an error */

/* ---- from captures to arguments ---- */

static int
take_value(const struct matcher *m, const struct capture *c, struct argument *a, struct err *e)
{
	const struct token *t = &m->tokens[c->token];
	struct buf value = { 0 };
	int rc = 0;

	if (t->kind == TOKEN_PARAM && !c->rest) {
		a->param = t->param;
		return 0;
	}
	a->rest = c->rest;
	if (c->rest)
		buf_slice(&value, slice_trim(slice_of(t->text.p, (size_t)(m->end - t->text.p))));
	else
		rc = token_value(t, &value, e);
	if (rc == 0)
		a->value = xstrndup(value.n > 0 ? value.p : "", value.n);
	buf_fini(&value);
	return rc;
}

/* The highest $n in a text, which is known to be made of valid tokens. */
static unsigned
rest_params(const char *text)
{
	struct lexer lex = { slice_str(text) };
	unsigned highest = 0;
	struct token t;

	while (lexer_next(&lex, &t, NULL) == 0 && t.kind != TOKEN_END)
		if (t.kind == TOKEN_PARAM && t.param > highest)
			highest = t.param;
	return highest;
}

static int
null_parameter(unsigned param, struct err *e)
{
	return err_set(e, "22004", "parameter $%u may not be null", param);
}

/* Returns the text with literals in place of its parameters, which the caller frees; or NULL and
 * *e. */
static char *
bind_text(const char *text, char *const *values, size_t n, struct err *e)
{
	struct lexer lex = { slice_str(text) };
	struct buf out = { 0 };
	const char *done = text;
	struct token t;
	char *bound = NULL;

	while (lexer_next(&lex, &t, NULL) == 0 && t.kind != TOKEN_END) {
		if (t.kind != TOKEN_PARAM)
			continue;
		if (t.param > n || values[t.param - 1] == NULL) {
			(void)null_parameter(t.param, e);
			goto out;
		}
		buf_put(&out, done, (size_t)(t.text.p - done));
		pgquote_literal(&out, slice_str(values[t.param - 1]));
		done = t.text.p + t.text.n;
	}
	buf_str(&out, done);
	bound = xstrdup(buf_text(&out));
out:
	buf_fini(&out);
	return bound;
}

static int
take_arguments(const struct matcher *m, struct statement *out, struct err *e)
{
	for (unsigned i = 0; i < m->ncaptures; i++) {
		struct argument *a = &out->args[out->nargs++];

		*a = (struct argument){ .name = m->captures[i].name };
		if (!m->captures[i].keyword && take_value(m, &m->captures[i], a, e) != 0)
			return -1;
		if (a->param > out->nparams)
			out->nparams = a->param;
		if (a->rest && rest_params(a->value) > out->nparams)
			out->nparams = rest_params(a->value);
	}
	return 0;
}

/* ---- errors where no command matches ---- */

/* Compares as many words as the command has, of those that were typed, with the command's; returns
 * whether they are the nearest so far. */
static bool
offer_command(const struct matcher *m, const struct command *c, unsigned *nearest)
{
	struct suggestion s = { 0 };
	struct buf typed = { 0 };
	bool nearer;

	for (unsigned i = 0; i < syntax_count_words(c->words) && i < m->n; i++) {
		if (i > 0)
			buf_u8(&typed, ' ');
		buf_slice(&typed, m->tokens[i].text);
	}
	s.word = buf_view(&typed);
	suggest_offer(&s, c->words);
	nearer = s.best != NULL && s.distance < *nearest;
	if (nearer)
		*nearest = s.distance;
	buf_fini(&typed);
	return nearer;
}

static const struct command *
nearest_command(const struct matcher *m, const struct command_table *const *tables)
{
	const struct command *best = NULL;
	unsigned nearest = UINT_MAX;

	for (; *tables != NULL; tables++) {
		for (size_t i = 0; i < (*tables)->n; i++) {
			const struct command *c = &(*tables)->commands[i];

			if (c->help != NULL && offer_command(m, c, &nearest))
				best = c;
		}
	}
	return best;
}

/* Whether the statement begins with a word with which only SQL begins. */
static bool
looks_like_sql(const struct matcher *m)
{
	static const char *const words[] = { "select", "with",   "insert", "update", "delete",
					     "table",  "values", "create", "copy",   "declare" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_is_nocase(m->tokens[0].text, words[i]))
			return true;
	return false;
}

static int
complain(const struct matcher *m, const struct command *reached, unsigned furthest,
	 const struct command_table *const *tables, struct err *e)
{
	const struct command *nearest;
	struct slice at;
	bool is_known = reached != NULL && furthest >= syntax_count_words(reached->words);

	if (!is_known && looks_like_sql(m)) {
		err_set(e, SQLSTATE_FEATURE_NOT_SUPPORTED,
			"the console has no tables or catalogs, and understands no SQL");
		err_hint(e, "Type HELP for the commands that it understands.");
		return -1;
	}
	if (furthest < m->n) {
		at = m->tokens[furthest].text;
		err_set(e, SQLSTATE_SYNTAX_ERROR, "syntax error at or near \"%.*s\"",
			(int)(at.n < SHOWN_MAX ? at.n : SHOWN_MAX), at.p);
	} else {
		err_set(e, SQLSTATE_SYNTAX_ERROR, "syntax error at end of input");
	}
	if (is_known) {
		err_hint(e, "Usage: %s%s%s", reached->words, reached->args != NULL ? " " : "",
			 reached->args != NULL ? reached->args : "");
		return -1;
	}
	nearest = nearest_command(m, tables);
	if (nearest != NULL)
		err_hint(e, "Did you mean %s? Type HELP for all commands.", nearest->words);
	else
		err_hint(e, "Type HELP for the commands that the console understands.");
	return -1;
}

/* ---- statements ---- */

/* Cut one statement into tokens; what is over SYNTAX_TOKENS_MAX is skipped, so that nothing
 * matches. */
static int
read_tokens(struct slice *text, struct matcher *m, struct err *e)
{
	struct lexer lex = { *text };
	struct token t;

	m->n = 0;
	for (;;) {
		if (lexer_next(&lex, &t, e) != 0)
			return -1;
		if (t.kind == TOKEN_END || t.kind == TOKEN_SEMICOLON)
			break;
		if (m->n <= SYNTAX_TOKENS_MAX)
			m->tokens[m->n++] = t;
	}
	m->end = t.text.p;
	*text = lex.rest;
	return 0;
}

static int
recognise(struct matcher *m, const struct command_table *const *tables, struct statement *out,
	  struct err *e)
{
	const struct command_table *const *table = tables;
	const struct command *reached = NULL;
	unsigned furthest = 0;

	for (; *table != NULL; table++) {
		for (size_t i = 0; i < (*table)->n; i++) {
			const struct command *c = &(*table)->commands[i];

			if (syntax_match(m, c->words, c->args)) {
				out->command = c;
				if (take_arguments(m, out, e) != 0)
					return -1;
				if (c->fits == NULL || c->fits(out))
					return 0;
				statement_fini(out);
			} else if (m->furthest > furthest && c->help != NULL) {
				furthest = m->furthest;
				reached = c;
			}
		}
	}
	return complain(m, reached, furthest, tables, e);
}

int
statement_parse(struct slice *text, const struct command_table *const *tables,
		struct statement *out, struct err *e)
{
	struct matcher m;
	struct slice typed;

	*out = (struct statement){ 0 };
	if (read_tokens(text, &m, e) != 0)
		return -1;
	if (m.n == 0)
		return 0;
	if (recognise(&m, tables, out, e) != 0) {
		statement_fini(out);
		return -1;
	}
	if (out->command->keeps_text) {
		typed = slice_of(m.tokens[0].text.p, (size_t)(m.end - m.tokens[0].text.p));
		typed = slice_trim(typed);
		out->text = xstrndup(typed.p, typed.n);
	}
	if (out->command->describe != NULL)
		out->command->describe(out);
	return 0;
}

/* Copies one argument of a statement, with the values in place of its parameters. */
static int
bind_argument(const struct argument *from, char *const *values, size_t n, struct argument *to,
	      struct err *e)
{
	const char *value = from->value;

	*to = (struct argument){ .name = from->name };
	if (from->rest) {
		to->value = bind_text(from->value, values, n, e);
		return to->value != NULL ? 0 : -1;
	}
	if (from->param > 0)
		value = from->param <= n ? values[from->param - 1] : NULL;
	if (value == NULL && from->param > 0)
		return null_parameter(from->param, e);
	if (value != NULL)
		to->value = xstrdup(value);
	return 0;
}

int
statement_bind(const struct statement *st, char *const *values, size_t n, struct statement *out,
	       struct err *e)
{
	*out = (struct statement){ .command = st->command, .nargs = st->nargs };
	for (unsigned i = 0; i < st->nargs; i++) {
		if (bind_argument(&st->args[i], values, n, &out->args[i], e) == 0)
			continue;
		statement_fini(out);
		return -1;
	}
	if (st->text != NULL)
		out->text = bind_text(st->text, values, n, e);
	if (out->command != NULL && out->command->describe != NULL)
		out->command->describe(out);
	return 0;
}

void
statement_fini(struct statement *st)
{
	for (unsigned i = 0; i < st->nargs; i++)
		free(st->args[i].value);
	free(st->text);
	*st = (struct statement){ 0 };
}

static const struct argument *
find_argument(const struct statement *st, const char *name)
{
	for (unsigned i = 0; i < st->nargs; i++)
		if (slice_is(st->args[i].name, name))
			return &st->args[i];
	return NULL;
}

const char *
statement_arg(const struct statement *st, const char *name)
{
	const struct argument *a = find_argument(st, name);

	return a != NULL ? a->value : NULL;
}

bool
statement_has(const struct statement *st, const char *keyword)
{
	return find_argument(st, keyword) != NULL;
}

struct heading
statement_heading(const struct statement *st)
{
	const struct command *c = st->command;
	struct heading h = { 0 };

	if (c == NULL)
		return h;
	if (c->describe != NULL)
		return (struct heading){ .columns = &st->own_column, .n = 1 };
	if (c->columns != NULL)
		h = (struct heading){ .columns = c->columns, .n = c->ncolumns, .everyday = true };
	/* of a listing that has no short form, all columns are shown */
	if (statement_has(st, "FULL") || heading_count(&h) == 0)
		h.everyday = false;
	return h;
}
