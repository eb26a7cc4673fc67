/* SPDX-License-Identifier: PostgreSQL
 *
 * Writing one option, so that the new file means the same and can be read.
 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "proxy/config/values.h"
#include "proxy/import/import_int.h"

/* The longest line that our reader accepts (doc/decisions/0001-inih.md). */
#define LINE_MAX_BYTES 199

void
import_note(struct import *m, size_t entry, const char *fmt, ...)
{
	struct buf b = { .cap = 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	m->notes = xreallocarray(m->notes, m->nnotes + 1, sizeof(*m->notes));
	m->notes[m->nnotes] = (struct import_note){ entry, m->nnotes, xstrdup(buf_text(&b)) };
	m->nnotes++;
	buf_fini(&b);
}

/* Whether our reader would see the value as it is: a comment begins at ';' behind a blank. */
static bool
is_plain(const char *value)
{
	if (value[0] == ';' || value[0] == '#' || value[0] == '\0')
		return false;
	for (const char *p = value; *p != '\0'; p++) {
		if (iscntrl((unsigned char)*p) || (*p == ';' && isspace((unsigned char)p[-1])))
			return false;
	}
	return true;
}

/* Whether the option accepts the value; if not, its own error. */
static bool
is_taken(const struct option *o, enum section_kind kind, const char *value, struct err *e)
{
	void *scratch = xcalloc(1, section_of(kind)->size);
	bool good = value_set(o, scratch, slice_str(value), e) == 0;

	value_fini(o, scratch);
	free(scratch);
	return good;
}

static void
put_origin(struct import *m, struct import_section *s, size_t start, size_t entry)
{
	size_t width = s->text.n - start;

	buf_printf(&s->text, "%*s ; ", width < 40 ? (int)(40 - width) : 0, "");
	if (entry < m->ini.n)
		buf_printf(&s->text, "%s:%d %s\n", quote(slice_str(m->ini.v[entry].file)).text,
			   m->ini.v[entry].line, quote(slice_str(m->ini.v[entry].key)).text);
	else
		buf_str(&s->text, "what PgBouncer does by default\n");
}

/* A long list: one item in each line. */
static void
put_items(struct import *m, struct import_section *s, const struct option *o, const char *value,
	  size_t entry)
{
	struct slice rest = slice_str(value);
	size_t start = s->text.n;
	bool first = true;

	while (rest.p != NULL) {
		struct slice item = slice_trim(slice_cut(&rest, ','));

		if (item.n == 0)
			continue;
		if (first)
			buf_printf(&s->text, "%s = %.*s,", o->name, (int)item.n, item.p);
		else
			buf_printf(&s->text, "\t%.*s%s", (int)item.n, item.p,
				   rest.p != NULL ? ",\n" : "\n");
		if (first)
			put_origin(m, s, start, entry);
		first = false;
	}
}

static void
put_line(struct import *m, struct import_section *s, const struct option *o, const char *value,
	 size_t entry)
{
	size_t start = s->text.n;

	s->done[s->ndone++] = o;
	if (strlen(o->name) + strlen(" = ") + strlen(value) <= LINE_MAX_BYTES) {
		buf_printf(&s->text, "%s = %s", o->name, value);
		put_origin(m, s, start, entry);
	} else if (value_is_list(o) && o->type != OPT_CONNINFO) {
		put_items(m, s, o, value, entry);
	} else {
		import_note(m, entry, "%s: the value is too long for a line", o->name);
	}
}

void
import_put(struct import *m, struct import_section *s, const char *option, const char *value,
	   size_t entry)
{
	enum section_kind kind = s->kind;
	const struct option *o = option_find(&kind, slice_str(option));
	struct err e = { 0 };

	for (size_t i = 0; i < s->ndone; i++) {
		if (s->done[i] == o)
			return;
	}
	if (o == NULL)
		import_note(m, entry, "there is no option %s%s", option,
			    s->kind == SECTION_DATABASE ? " for one database" : "");
	else if (!is_plain(value))
		import_note(m, entry, "%s: such a value cannot be written in a line", option);
	else if (!is_taken(o, kind, value, &e))
		import_note(m, entry, "%s: %s", option, e.msg);
	else
		put_line(m, s, o, value, entry);
}

/* PgBouncer's numbers of seconds may have a fraction; newer versions allow a unit. */
static char *
time_text(const char *value, int64_t per_second)
{
	struct buf b = { .cap = 0 };
	double number;
	int64_t usec;
	char *text = NULL;

	if (text_to_double(slice_str(value), &number) && number >= 0 && number < 1e12)
		text_put_usec(&b, (int64_t)(number * 1e6 / (double)per_second));
	else if (text_to_usec(slice_str(value), &usec))
		text_put_usec(&b, usec);
	if (b.n > 0)
		text = xstrdup(buf_text(&b));
	buf_fini(&b);
	return text;
}

/* Whether the value is one of the rule's words; then it was handled. */
static bool
apply_word(struct import *m, struct import_section *s, const struct rule *rule, const char *value,
	   size_t entry)
{
	for (const struct import_word *w = rule->words; w != NULL && w->from != NULL; w++) {
		if (strcasecmp(w->from, value) != 0)
			continue;
		if (w->why != NULL)
			import_note(m, entry, "%s: %s", w->from, w->why);
		if (w->to != NULL)
			import_put(m, s, rule->option, w->to, entry);
		return true;
	}
	return false;
}

void
import_apply(struct import *m, struct import_section *s, const struct rule *rule, const char *value,
	     size_t entry)
{
	char *text;

	/* an empty value means "not set" in PgBouncer */
	if (value[0] == '\0' || apply_word(m, s, rule, value, entry))
		return;
	if (rule->how == CARRY_SECONDS || rule->how == CARRY_MSEC) {
		text = time_text(value, rule->how == CARRY_MSEC ? 1000 : 1);
		if (text != NULL)
			import_put(m, s, rule->option, text, entry);
		else
			import_note(m, entry, "\"%s\" is no time", quote(slice_str(value)).text);
		free(text);
	} else if (rule->how == CARRY_WORD)
		import_note(m, entry, "\"%s\" is not known", quote(slice_str(value)).text);
	else
		import_put(m, s, rule->option, value, entry);
}
