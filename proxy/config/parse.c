/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/parse.h"

#include <ctype.h>
#include <ini.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/suggest.h"
#include "base/text.h"
#include "proxy/config/config.h"
#include "proxy/config/values.h"

#define SECTION_NAME_MAX 63

struct reader {
	struct config *config;
	struct origins *origins;
	struct err *err;
	struct slice rest; /* not read yet */
	int line;          /* of the line that was read last */
	bool indented;     /* that line continues the option before it */
	size_t indent;     /* the number of blanks before that option */
	bool failed;
	int origin; /* the open section, -1 before the first */
	/* the option that further lines would continue: NULL at the start of a section */
	const struct option *last;
	void *last_conf;
};

static int fail(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Only the first error is kept. Returns 0, which means failure to libinih. */
static int
fail(struct reader *r, const char *fmt, ...)
{
	struct buf b = { .cap = 0 };
	va_list ap;

	if (r->failed)
		return 0;
	r->failed = true;
	va_start(ap, fmt);
	buf_printf(&b, "%s:%d: ", r->origins->file, r->line);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	err_set(r->err, "F0000", "%s", buf_text(&b));
	buf_fini(&b);
	return 0;
}

void
origins_fini(struct origins *o)
{
	free(o->v);
	*o = (struct origins){ NULL, NULL, 0 };
}

static struct origin *
find_origin(const struct origins *o, enum section_kind kind, size_t index)
{
	for (size_t i = 0; i < o->n; i++) {
		if (o->v[i].kind == kind && o->v[i].index == index)
			return &o->v[i];
	}
	return NULL;
}

static int *
option_line(struct origin *at, const struct option *option)
{
	const struct section *s = section_of(at->kind);

	if (option >= s->rows && option < s->rows + s->nrows)
		return &at->option_line[option - s->rows];
	return &at->listener_line[option - section_of(SECTION_LISTENER)->rows];
}

int
origins_line(const struct origins *o, enum section_kind kind, size_t index,
	     const struct option *option)
{
	/* the listener "main" is written in [meridian] */
	bool in_main = kind == SECTION_LISTENER && index == 0;
	struct origin *at = find_origin(o, in_main ? SECTION_MERIDIAN : kind, index);

	if (at == NULL)
		return 0;
	return option != NULL ? *option_line(at, option) : at->line;
}

/* ---- sections ---- */

static const struct section *
open_section_kind(struct reader *r)
{
	return section_of(r->origins->v[r->origin].kind);
}

static int
unknown_section(struct reader *r, struct slice word, struct slice whole)
{
	struct suggestion near = { .word = word };

	for (int i = 0; i < SECTION_KIND_COUNT; i++)
		suggest_offer(&near, section_of((enum section_kind)i)->word);
	if (near.best != NULL)
		return fail(r, "unknown section [%s] (did you mean [%s]?)", quote(whole).text,
			    near.best);
	return fail(r,
		    "unknown section [%s]; expected [meridian], [listener NAME], [region NAME] or "
		    "[database NAME]",
		    quote(whole).text);
}

bool
config_name_is_good(enum section_kind kind, struct slice name)
{
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c <= ' ' || c == 127 || c == '"' || c == ',')
			return false;
		if (kind != SECTION_DATABASE && !isalnum(c) && strchr("-_.", c) == NULL)
			return false;
	}
	return name.n > 0 && name.n <= SECTION_NAME_MAX;
}

const char *
config_name_expected(enum section_kind kind)
{
	return kind == SECTION_DATABASE ? "up to 63 characters without blanks, quotes and commas"
					: "up to 63 letters, digits, dots, dashes or underscores";
}

static int
check_section_name(struct reader *r, enum section_kind kind, struct slice name)
{
	const struct section *s = section_of(kind);
	int twin;

	if (s->arg == NULL && name.n > 0)
		return fail(r, "section [%s] has no name, but \"%s\" was found", s->word,
			    quote(name).text);
	if (s->arg != NULL && name.n == 0)
		return fail(r, "section [%s] needs a name: [%s %s]", s->word, s->word, s->arg);
	if (s->arg != NULL && !config_name_is_good(kind, name))
		return fail(r, "\"%s\" cannot name a %s: expected %s", quote(name).text, s->word,
			    config_name_expected(kind));
	if (kind == SECTION_LISTENER && slice_is(name, "main"))
		return fail(r, "the listener \"main\" is described in section [meridian]");
	if (kind == SECTION_DATABASE && slice_is(name, "meridian"))
		return fail(r, "the database \"meridian\" is the console");
	twin = s->arg != NULL ? config_find_section(r->config, kind, name)
			      : (find_origin(r->origins, kind, 0) != NULL ? 0 : -1);
	if (twin >= 0)
		return fail(r, "section [%s%s%s] was already opened in line %d", s->word,
			    s->arg != NULL ? " " : "", quote(name).text,
			    find_origin(r->origins, kind, (size_t)twin)->line);
	return 1;
}

/* Opens the section of a header such as "[region us-east1]". */
static void
open_section(struct reader *r, struct slice line)
{
	const char *end = memchr(line.p, ']', line.n);
	struct origins *o = r->origins;
	struct slice whole, word, name;
	size_t n = 0;
	int kind;

	if (end == NULL || slice_trim(slice_skip(line, (size_t)(end - line.p) + 1)).n > 0) {
		fail(r, "expected \"[section]\" and nothing behind it, found \"%s\"",
		     quote(line).text);
		return;
	}
	whole = slice_trim(slice_of(line.p + 1, (size_t)(end - line.p) - 1));
	while (n < whole.n && whole.p[n] != ' ' && whole.p[n] != '\t')
		n++;
	word = slice_of(whole.p, n);
	name = slice_trim(slice_skip(whole, n));
	kind = section_find(word);
	if (kind < 0) {
		unknown_section(r, word, whole);
		return;
	}
	if (!check_section_name(r, (enum section_kind)kind, name))
		return;
	n = 0;
	if (section_of((enum section_kind)kind)->arg != NULL)
		n = config_add_section(r->config, (enum section_kind)kind,
				       xstrndup(name.p, name.n));
	o->v = xreallocarray(o->v, o->n + 1, sizeof(*o->v));
	o->v[o->n] = (struct origin){ .kind = kind, .index = n, .line = r->line };
	r->origin = (int)o->n++;
	r->last = NULL;
}

/* ---- lines ---- */

/* Cut off a comment: it begins with ';' at the start or behind a blank, or with '#' at the
 * start. */
static struct slice
cut_comment(struct slice line)
{
	struct slice text = slice_trim(line);

	if (text.n > 0 && text.p[0] == '#')
		return slice_of(line.p, 0);
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == ';' && (i == 0 || isspace((unsigned char)line.p[i - 1])))
			return slice_of(line.p, i);
	}
	return line;
}

/* Control bytes are not allowed: a NUL would cut the line. */
static bool
is_text(struct reader *r, struct slice line)
{
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];

		if ((c < ' ' && c != '\t' && c != '\r') || c == 127) {
			fail(r, "a control byte (0x%02x): this is not a text file", c);
			return false;
		}
	}
	return true;
}

/* A line that is indented more than the option above continues it, unless it is the header of a
 * section. */
static bool
is_section_header(struct slice text)
{
	struct slice word;
	size_t n = 1;

	if (text.n == 0 || text.p[0] != '[')
		return false;
	while (n < text.n && isalpha((unsigned char)text.p[n]))
		n++;
	word = slice_of(text.p + 1, n - 1);
	return section_find(word) >= 0;
}

/* The reader that libinih calls: the next line into `to`, NULL at the end or after an error. */
static char *
next_line(char *to, int size, void *arg)
{
	struct reader *r = arg;
	struct slice line, text;
	size_t indent;

	if (r->failed || r->rest.p == NULL || r->rest.n == 0)
		return NULL;
	r->line++;
	line = cut_comment(slice_cut(&r->rest, '\n'));
	text = slice_trim(line);
	if (!is_text(r, line))
		return NULL;
	indent = (size_t)(text.p - line.p);
	r->indented = r->last != NULL && indent > r->indent && !is_section_header(text);
	if (!r->indented && text.n > 0)
		r->indent = indent;
	line = r->indented ? slice_of(line.p, (size_t)(text.p + text.n - line.p)) : text;
	if (line.n >= (size_t)size) {
		fail(r,
		     "this line has %zu bytes, but at most %d are possible; a list may go on in "
		     "further lines that are indented",
		     line.n, size - 1);
		return NULL;
	}
	if (!r->indented && line.n > 0 && line.p[0] == '[')
		open_section(r, line);
	else if (!r->indented && line.n > 0 && memchr(line.p, '=', line.n) == NULL &&
		 memchr(line.p, ':', line.n) == NULL)
		fail(r, "expected \"option = value\" or \"[section]\", found \"%s\"",
		     quote(line).text);
	text_copy(to, (size_t)size, line);
	return r->failed ? NULL : to;
}

/* ---- options ---- */

static int
unknown_option(struct reader *r, struct slice name)
{
	const struct section *s = open_section_kind(r);
	struct suggestion near = { .word = name };
	enum section_kind kind;

	for (int i = 0; i < SECTION_KIND_COUNT; i++) {
		const struct section *other = section_of((enum section_kind)i);

		kind = (enum section_kind)i;
		if (option_find(&kind, name) != NULL)
			return fail(r, "option \"%s\" belongs to section [%s%s%s], not to [%s]",
				    quote(name).text, other->word, other->arg != NULL ? " " : "",
				    other->arg != NULL ? other->arg : "", s->word);
	}
	for (size_t i = 0; i < s->nrows; i++)
		suggest_offer(&near, s->rows[i].name);
	s = section_of(SECTION_LISTENER);
	for (size_t i = 0; open_section_kind(r) == section_of(SECTION_MERIDIAN) && i < s->nrows;
	     i++)
		suggest_offer(&near, s->rows[i].name);
	if (near.best != NULL)
		return fail(r, "unknown option \"%s\" in section [%s] (did you mean \"%s\"?)",
			    quote(name).text, open_section_kind(r)->word, near.best);
	return fail(r, "unknown option \"%s\" in section [%s] (meridian --help-config lists them)",
		    quote(name).text, open_section_kind(r)->word);
}

static int
set_option(struct reader *r, struct slice name, struct slice text)
{
	struct origin *at = &r->origins->v[r->origin];
	enum section_kind kind = at->kind;
	const struct option *o = option_find(&kind, name);
	struct err e;
	int *line;

	if (o == NULL)
		return unknown_option(r, name);
	line = option_line(at, o);
	if (*line != 0)
		return fail(r, "option \"%s\" was already set in line %d", o->name, *line);
	*line = r->line;
	r->last = o;
	r->last_conf = config_section(r->config, kind, kind == at->kind ? at->index : 0);
	if (value_set(o, r->last_conf, text, &e) < 0)
		return fail(r, "option \"%s\": %s", o->name, e.msg);
	return 1;
}

/* The handler that libinih calls. Its copies of the section and, for continued lines, of the name
 * may be cut short: this reader has its own. */
static int
on_option(void *arg, const char *section, const char *name, const char *value)
{
	struct reader *r = arg;
	struct err e;

	(void)section;
	if (r->failed)
		return 0;
	if (r->indented && !value_is_list(r->last))
		return fail(r,
			    "an indented line goes on with the option above it, but \"%s\" is no "
			    "list",
			    r->last->name);
	if (r->indented) {
		if (value_append(r->last, r->last_conf, slice_str(value), &e) == 0)
			return 1;
		return fail(r, "option \"%s\" (which goes on in this indented line): %s",
			    r->last->name, e.msg);
	}
	if (r->origin < 0)
		return fail(r, "option \"%s\" stands before any section; begin with [meridian]",
			    quote(slice_str(name)).text);
	return set_option(r, slice_str(name), slice_str(value));
}

int
config_parse(struct config *c, struct slice text, const char *file, struct origins *origins,
	     struct err *e)
{
	struct reader r = { .config = c, .origins = origins, .err = e, .rest = text, .origin = -1 };

	origins->file = file;
	if (slice_starts(text, "\xef\xbb\xbf"))
		r.rest = slice_skip(text, 3);
	if (text.n > CONFIG_FILE_MAX)
		return err_set(e, "F0000", "%s: the file is larger than %zu MB", file,
			       CONFIG_FILE_MAX >> 20);
	if (ini_parse_stream(next_line, &r, on_option, &r) != 0)
		fail(&r, "this line cannot be read");
	return r.failed ? -1 : 0;
}
