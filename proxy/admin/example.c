/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/example.h"

#include "base/bug.h"
#include "base/utf8.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/grammar.h"
#include "proxy/admin/help.h"

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

void
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
