/* SPDX-License-Identifier: PostgreSQL
 *
 * The documents that are derived from the option table: SHOW CONFIG, the reload diff,
 * --help-config, the sample file and the option part of the manual page.
 */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "proxy/config/parse.h"
#include "proxy/config/values.h"

/* ---- SHOW CONFIG ---- */

size_t
config_nrows(void)
{
	return section_of(SECTION_MERIDIAN)->nrows + section_of(SECTION_LISTENER)->nrows;
}

static bool
is_same(const struct option *o, const void *a, const void *b)
{
	struct buf x = { .cap = 0 }, y = { .cap = 0 };
	bool yes;

	value_print(o, a, true, &x);
	value_print(o, b, true, &y);
	yes = x.n == y.n && (x.n == 0 || memcmp(x.p, y.p, x.n) == 0);
	buf_fini(&x);
	buf_fini(&y);
	return yes;
}

static void
show_value(char *to, size_t size, const struct option *o, const void *conf)
{
	static const char dots[] = "...";
	struct buf b = { .cap = 0 };

	value_print(o, conf, false, &b);
	if (!text_copy(to, size, buf_view(&b)))
		memcpy(to + size - sizeof(dots), dots, sizeof(dots));
	buf_fini(&b);
}

void
config_row(const struct config *c, const struct config *begun, size_t i, struct config_row *out)
{
	const struct section *s = section_of(SECTION_MERIDIAN);
	const void *conf = &c->main, *before = &begun->main;
	const struct option *o;

	if (i >= s->nrows) {
		i -= s->nrows;
		s = section_of(SECTION_LISTENER);
		conf = &c->listeners[0];
		before = &begun->listeners[0];
	}
	o = &s->rows[i];
	if (o->apply != APPLY_RESTART)
		before = conf;
	show_value(out->value, sizeof(out->value), o, before);
	out->pending[0] = '\0';
	if (!is_same(o, before, conf))
		show_value(out->pending, sizeof(out->pending), o, conf);
	snprintf(out->fallback, sizeof(out->fallback), "%s", o->fallback);
	out->key = o->name;
	out->changeable = option_apply_name(o->apply);
	out->text = o->text;
}

/* ---- diff ---- */

struct diff {
	const struct config *from, *to;
	enum diff_part part;
	struct buf *out;
	size_t n;
};

static bool
is_of_part(const struct diff *d, enum option_apply apply)
{
	return d->part == DIFF_ALL || (d->part == DIFF_PENDING) == (apply == APPLY_RESTART);
}

static void
put_section(struct buf *b, enum section_kind kind, const char *name)
{
	if (kind != SECTION_MERIDIAN && strcmp(name, "main") != 0)
		buf_printf(b, "[%s %s] ", section_of(kind)->word, name);
}

static void
diff_option(struct diff *d, enum section_kind kind, size_t from, size_t to, const struct option *o)
{
	struct config *a = (struct config *)(uintptr_t)d->from;
	struct config *b = (struct config *)(uintptr_t)d->to;
	const void *before = config_section(a, kind, from), *now = config_section(b, kind, to);
	struct buf old = { .cap = 0 }, new = { .cap = 0 };

	if (!is_of_part(d, o->apply) || is_same(o, before, now))
		return;
	value_print(o, before, false, &old);
	value_print(o, now, false, &new);
	put_section(d->out, kind, config_section_name(d->to, kind, to));
	buf_printf(d->out, "%s: %s -> %s (%s)\n", o->name, old.n > 0 ? buf_text(&old) : "(none)",
		   new.n > 0 ? buf_text(&new) : "(none)", option_apply_name(o->apply));
	d->n++;
	buf_fini(&old);
	buf_fini(&new);
}

/* A section was added or removed. */
static void
put_whole(struct diff *d, enum section_kind kind, const char *name, const char *what)
{
	enum option_apply apply = kind == SECTION_LISTENER ? APPLY_RESTART : APPLY_NEW_SESSIONS;

	if (!is_of_part(d, apply))
		return;
	put_section(d->out, kind, name);
	buf_printf(d->out, "%s (%s)\n", what, option_apply_name(apply));
	d->n++;
}

size_t
config_diff(const struct config *from, const struct config *to, enum diff_part part,
	    struct buf *text)
{
	struct diff d = { from, to, part, text, 0 };

	for (int k = 0; k < SECTION_KIND_COUNT; k++) {
		enum section_kind kind = (enum section_kind)k;
		const struct section *s = section_of(kind);

		for (size_t i = 0; i < config_count(to, kind); i++) {
			const char *name = config_section_name(to, kind, i);
			int before = config_find_section(from, kind, slice_str(name));

			if (before < 0)
				put_whole(&d, kind, name, "added");
			for (size_t j = 0; before >= 0 && j < s->nrows; j++)
				diff_option(&d, kind, (size_t)before, i, &s->rows[j]);
		}
		for (size_t i = 0; kind != SECTION_MERIDIAN && i < config_count(from, kind); i++) {
			const char *name = config_section_name(from, kind, i);

			if (config_find_section(to, kind, slice_str(name)) < 0)
				put_whole(&d, kind, name, "removed");
		}
	}
	return d.n;
}

/* ---- documents ---- */

/* Append a paragraph, wrapped at `width` columns, each line with `prefix`. */
static void
put_wrapped(struct buf *b, const char *text, const char *prefix, size_t width)
{
	struct slice rest = slice_str(text);
	size_t column = 0;

	while (rest.p != NULL) {
		struct slice word = slice_cut(&rest, ' ');

		if (column > 0 && column + 1 + word.n > width) {
			buf_u8(b, '\n');
			column = 0;
		}
		buf_str(b, column == 0 ? prefix : " ");
		column += column == 0 ? strlen(prefix) + word.n : 1 + word.n;
		buf_slice(b, word);
	}
	buf_u8(b, '\n');
}

static void
put_facts(struct buf *b, const struct option *o, const char *prefix)
{
	struct buf facts = { .cap = 0 };

	buf_str(&facts,
		value_is_list(o) && o->type != OPT_CONNINFO ? "A list; each item: " : "Value: ");
	value_describe(o, &facts);
	buf_printf(&facts, ". Takes effect: %s.", option_apply_name(o->apply));
	put_wrapped(b, buf_text(&facts), prefix, 96);
	buf_fini(&facts);
}

void
config_help(struct buf *out)
{
	for (int k = 0; k < SECTION_KIND_COUNT; k++) {
		const struct section *s = section_of((enum section_kind)k);

		buf_printf(out, "[%s%s%s]\n", s->word, s->arg != NULL ? " " : "",
			   s->arg != NULL ? s->arg : "");
		put_wrapped(out, s->text, "  ", 96);
		for (size_t i = 0; i < s->nrows; i++) {
			const struct option *o = &s->rows[i];

			buf_printf(out, "\n  %s =%s%s\n", o->name,
				   o->fallback[0] != '\0' ? " " : "", o->fallback);
			put_wrapped(out, o->text, "      ", 96);
			put_facts(out, o, "      ");
		}
		buf_u8(out, '\n');
	}
}

/* Every option is in the sample, as a comment with its default. */
static void
put_sample_rows(struct buf *b, const struct section *s)
{
	const char *group = "";

	for (size_t i = 0; i < s->nrows; i++) {
		const struct option *o = &s->rows[i];

		if (strcmp(group, o->group) != 0)
			buf_printf(b, "\n;;; %s\n", o->group);
		group = o->group;
		buf_u8(b, '\n');
		put_wrapped(b, o->text, "; ", 96);
		buf_printf(b, ";%s =%s%s\n", o->name, o->fallback[0] != '\0' ? " " : "",
			   o->fallback);
	}
}

void
config_sample(struct buf *out)
{
	static const char head[] =
	    "; Meridian's configuration: see meridian.conf(5). Every option is here with its\n"
	    "; default; what is commented out need not be written.\n"
	    ";\n"
	    "; A line holds at most 199 bytes; a list may go on in further, indented lines. ';' "
	    "at\n"
	    "; the start of a line or behind a blank begins a comment. Check a changed file with\n"
	    "; meridian --check FILE, and make it count with systemctl reload meridian.\n";
	static const char *const names[] = {
		[SECTION_LISTENER] = "lb",
		[SECTION_REGION] = "us-east1",
		[SECTION_DATABASE] = "*",
	};

	buf_str(out, head);
	for (int k = 0; k < SECTION_KIND_COUNT; k++) {
		enum section_kind kind = (enum section_kind)k;
		const struct section *s = section_of(kind);

		buf_u8(out, '\n');
		put_wrapped(out, s->text, "; ", 96);
		/* a region is needed; a further listener is not */
		if (kind == SECTION_MERIDIAN)
			buf_printf(out, "[%s]\n", s->word);
		else
			buf_printf(out, "%s[%s %s]\n", kind == SECTION_LISTENER ? ";" : "", s->word,
				   names[kind]);
		if (kind == SECTION_REGION)
			buf_str(out, "nodes = 127.0.0.1:5432\n");
		put_sample_rows(out, s);
		if (kind == SECTION_MERIDIAN)
			put_sample_rows(out, section_of(SECTION_LISTENER));
	}
}

/* Append text as roff: no line may begin with a dot or a quote, and '\' and '-' need escapes. */
static void
put_roff(struct buf *b, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if ((p == text || p[-1] == '\n') && (*p == '.' || *p == '\''))
			buf_str(b, "\\&");
		if (*p == '\\')
			buf_str(b, "\\e");
		else if (*p == '-')
			buf_str(b, "\\-");
		else
			buf_u8(b, (uint8_t)*p);
	}
}

static void
put_man_option(struct buf *b, const struct option *o)
{
	struct buf value = { .cap = 0 };

	buf_str(b, ".TP\n.B ");
	put_roff(b, o->name);
	buf_u8(b, '\n');
	put_roff(b, o->text);
	buf_str(b, "\n.br\n");
	value_describe(o, &value);
	buf_str(b, value_is_list(o) && o->type != OPT_CONNINFO ? "A list; each item: " : "Value: ");
	put_roff(b, buf_text(&value));
	buf_str(b, ". Default: ");
	put_roff(b, o->fallback[0] != '\0' ? o->fallback : "empty");
	buf_printf(b, ". Takes effect: %s.\n", option_apply_name(o->apply));
	buf_fini(&value);
}

void
config_man(struct buf *out)
{
	for (int k = 0; k < SECTION_KIND_COUNT; k++) {
		const struct section *s = section_of((enum section_kind)k);
		const char *group = "";

		buf_printf(out, ".SH \"SECTION [%s%s%s]\"\n", s->word, s->arg != NULL ? " " : "",
			   s->arg != NULL ? s->arg : "");
		put_roff(out, s->text);
		buf_u8(out, '\n');
		for (size_t i = 0; i < s->nrows; i++) {
			if (k == SECTION_MERIDIAN && strcmp(group, s->rows[i].group) != 0)
				buf_printf(out, ".SS %s\n", s->rows[i].group);
			group = s->rows[i].group;
			put_man_option(out, &s->rows[i]);
		}
	}
}
