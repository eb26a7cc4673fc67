/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/help.h"

#include <ctype.h>

#include "base/bug.h"
#include "base/utf8.h"
#include "proxy/admin/commands.h"
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

/* ---- the answer to the example, as psql shows it ---- */

/* A heading and the rows below it. */
struct table {
	struct heading heading;
	size_t widths[COLUMNS_MAX];
	struct slice rows; /* values between '|', rows between line breaks */
};

static size_t
width_of(struct slice s)
{
	size_t width = 0;

	for (; s.n > 0; s = slice_skip(s, utf8_sequence(s)))
		width++;
	return width;
}

static void
widen(size_t *width, struct slice s)
{
	if (width_of(s) > *width)
		*width = width_of(s);
}

/* Measures the table's columns; returns the width of the whole table. */
static size_t
measure(struct table *t)
{
	struct slice rows = t->rows;
	size_t total = 0;

	for (uint16_t i = 0; i < t->heading.n; i++)
		widen(&t->widths[i], slice_str(t->heading.columns[i].name));
	while (rows.n > 0) {
		struct slice row = slice_cut(&rows, '\n');

		for (uint16_t i = 0; i < t->heading.n; i++)
			if (heading_has(&t->heading, i))
				widen(&t->widths[i], slice_cut(&row, '|'));
	}
	for (uint16_t i = 0; i < t->heading.n; i++)
		total += heading_has(&t->heading, i) ? t->widths[i] + 3 : 0;
	return total;
}

static void
put_filler(struct buf *out, char c, size_t n)
{
	while (n-- > 0)
		buf_u8(out, (uint8_t)c);
}

/* Appends one cell with the margins around it. */
static void
put_cell(struct buf *out, struct slice v, size_t left, size_t width)
{
	put_filler(out, ' ', 1 + left);
	buf_slice(out, v);
	put_filler(out, ' ', width - left - width_of(v) + 1);
}

static bool
is_number(const struct column *c)
{
	enum column_type type = column_type(c);

	return type == COLUMN_INT4 || type == COLUMN_INT8 || type == COLUMN_FLOAT8;
}

static void
put_headings(const struct table *t, struct buf *out)
{
	const char *between = "";

	for (uint16_t i = 0; i < t->heading.n; i++) {
		struct slice name = slice_str(t->heading.columns[i].name);

		if (!heading_has(&t->heading, i))
			continue;
		buf_str(out, between);
		put_cell(out, name, (t->widths[i] - name.n) / 2, t->widths[i]);
		between = "|";
	}
	buf_u8(out, '\n');
	between = "";
	for (uint16_t i = 0; i < t->heading.n; i++) {
		if (!heading_has(&t->heading, i))
			continue;
		buf_str(out, between);
		put_filler(out, '-', t->widths[i] + 2);
		between = "+";
	}
	buf_u8(out, '\n');
}

static void
put_aligned(const struct table *t, struct buf *out)
{
	struct slice rows = t->rows;

	put_headings(t, out);
	while (rows.n > 0) {
		struct slice row = slice_cut(&rows, '\n');
		const char *between = "";

		for (uint16_t i = 0; i < t->heading.n; i++) {
			const struct column *c = &t->heading.columns[i];
			struct slice v;

			if (!heading_has(&t->heading, i))
				continue;
			v = slice_cut(&row, '|');
			buf_str(out, between);
			put_cell(out, v, is_number(c) ? t->widths[i] - width_of(v) : 0,
				 t->widths[i]);
			between = "|";
		}
		buf_u8(out, '\n');
	}
}

/* Appends a table that is too wide for a line as psql's \x shows it. */
static void
put_expanded(const struct table *t, struct buf *out)
{
	struct slice rows = t->rows;
	size_t width = 0;

	for (uint16_t i = 0; i < t->heading.n; i++)
		widen(&width, slice_str(t->heading.columns[i].name));
	for (unsigned n = 1; rows.n > 0; n++) {
		struct slice row = slice_cut(&rows, '\n');

		buf_printf(out, "-[ RECORD %u ]\n", n);
		for (uint16_t i = 0; i < t->heading.n; i++) {
			if (!heading_has(&t->heading, i))
				continue;
			buf_printf(out, "%-*s | ", (int)width, t->heading.columns[i].name);
			buf_slice(out, slice_cut(&row, '|'));
			buf_u8(out, '\n');
		}
	}
}

/* Appends the answer as lines; of a command without rows its tag. The headings are those that the
 * statement really has, so that the manual cannot show others. */
static void
example_answer(const struct command *c, struct buf *out)
{
	struct slice text = slice_str(c->example);
	struct statement st;
	struct table t = { 0 };

	BUG_ON(statement_parse(&text, command_tables(), &st, NULL) != 0);
	t.heading = statement_heading(&st);
	t.rows = slice_str(c->answer != NULL ? c->answer : "");
	if (t.heading.n == 0 && c->answer != NULL)
		buf_str(out, c->answer); /* lines of a COPY */
	else if (t.heading.n == 0)
		command_put_tag(c, out);
	else if (measure(&t) <= HELP_WIDTH)
		put_aligned(&t, out);
	else
		put_expanded(&t, out);
	statement_fini(&st);
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

void
help_rows(const struct command *c, struct rows *rows)
{
	struct heading h = { c->columns, c->ncolumns, true };
	struct buf syntax = { 0 }, answer = { 0 };
	struct slice lines;

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
	if (c->example == NULL)
		return;
	put_wrapped(rows, "example", slice_str(c->example));
	example_answer(c, &answer);
	for (lines = buf_view(&answer); lines.n > 0;)
		put_line(rows, "answer", slice_cut(&lines, '\n'));
	buf_fini(&answer);
}
