/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/help.h"

#include <ctype.h>

#include "proxy/admin/commands.h"
#include "proxy/admin/example.h"
#include "proxy/admin/grammar.h"

/* ---- which command is meant ---- */

/* The next keyword of a syntax string that is required: those in brackets or parentheses, and
 * values, are skipped. */
static struct slice
next_required(const char **p)
{
	int depth = 0;

	for (const char *s = *p; *s != '\0'; s++) {
		size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");

		if (*s == '[' || *s == '(' || *s == '<')
			depth++;
		else if (*s == ']' || *s == ')' || *s == '>')
			depth--;
		else if (depth == 0 && n > 0) {
			*p = s + n;
			return slice_of(s, n);
		}
	}
	return slice_of(NULL, 0);
}

static struct slice
next_word(struct slice *text)
{
	struct slice word = slice_trim(*text);
	size_t n = 0;

	while (n < word.n && !isspace((unsigned char)word.p[n]))
		n++;
	*text = slice_skip(word, n);
	return slice_of(word.p, n);
}

static bool
same_word(struct slice a, struct slice b)
{
	return a.n == b.n && a.n > 0 && strncasecmp(a.p, b.p, a.n) == 0;
}

bool
help_names(const char *typed, const struct command *c, bool exactly)
{
	struct slice rest = slice_str(typed), words = slice_str(c->words), word;
	const char *args = c->args != NULL ? c->args : "";

	while (words.n > 0)
		if (!same_word(next_word(&rest), next_word(&words)))
			return false;
	while (exactly && (word = next_required(&args)).n > 0)
		if (!same_word(next_word(&rest), word))
			return false;
	rest = slice_trim(rest);
	return rest.n == 0 || slice_is_nocase(rest, "FULL");
}

/* ---- the description ---- */

static void
put_line(struct rows *rows, const char *section, struct slice line)
{
	row_begin(rows);
	row_str(rows, section);
	row_text(rows, line);
	row_end(rows);
}

/* Adds rows of a section; lines are broken between words. */
static void
put_wrapped(struct rows *rows, const char *section, struct slice text)
{
	while (text.n > HELP_WIDTH) {
		size_t n = HELP_WIDTH;

		while (n > 0 && text.p[n] != ' ')
			n--;
		if (n == 0)
			n = HELP_WIDTH;
		put_line(rows, section, slice_of(text.p, n));
		text = slice_trim(slice_skip(text, n));
	}
	put_line(rows, section, text);
}

static void
put_columns(struct rows *rows, const char *section, const struct heading *h)
{
	struct buf text = { 0 };

	for (uint16_t i = 0; i < h->n; i++)
		if (heading_has(h, i))
			buf_printf(&text, "%s%s %s", text.n > 0 ? ", " : "", h->columns[i].name,
				   column_type_name(column_type(&h->columns[i])));
	put_wrapped(rows, section, buf_view(&text));
	buf_fini(&text);
}

static void
put_example(struct rows *rows, const struct command *c)
{
	struct buf answer = { 0 };
	struct slice lines;

	put_wrapped(rows, "example", slice_str(c->example));
	example_answer(c, &answer);
	for (lines = buf_view(&answer); lines.n > 0;)
		put_line(rows, "answer", slice_cut(&lines, '\n'));
	buf_fini(&answer);
}

void
help_rows(const struct command *c, struct rows *rows)
{
	struct heading h = { c->columns, c->ncolumns, true };
	struct buf syntax = { 0 };

	command_syntax(c, &syntax);
	put_wrapped(rows, "command", buf_view(&syntax));
	buf_fini(&syntax);
	put_wrapped(rows, "privilege", slice_str(privilege_name(c->privilege)));
	put_wrapped(rows, "help", slice_str(c->help));
	if (heading_count(&h) > 0)
		put_columns(rows, "columns", &h);
	h.everyday = false;
	if (h.n > 0)
		put_columns(rows, command_is_short(c) ? "with FULL" : "columns", &h);
	if (c->example != NULL)
		put_example(rows, c);
}
