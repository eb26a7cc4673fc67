/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/setting.h"

#include <ctype.h>
#include <string.h>

#include "base/hot.h"
#include "base/text.h"
#include "protocol/sqltoken.h"

struct parser {
	struct sqltoken_scan in; /* behind the token */
	struct sqltoken t;
	bool is_end;
	bool is_unsure; /* what follows cannot be read without doubt */
};

/* ---- tokens ---- */

static char
at(struct slice s, size_t i)
{
	return i < s.n ? s.p[i] : '\0';
}

/* A token that is unsure is a mark that nothing asks for, and so is the end. */
static void
advance(struct parser *p)
{
	const struct sqltoken *t = &p->t;

	p->is_end = !sqltoken_next(&p->in, &p->t);
	if (p->is_end)
		p->t = (struct sqltoken){ .kind = SQLTOKEN_MARK, .from = p->in.p };
	/* U&'…' and U&"…" may have escapes that make the whole text an error */
	p->is_unsure =
	    p->in.endless != NULL || p->in.doubtful ||
	    (t->kind != SQLTOKEN_WORD && t->kind != SQLTOKEN_MARK && (*t->from | 0x20) == 'u') ||
	    (t->kind == SQLTOKEN_MARK && t->text.n == 1 && *t->from == '$');
	if (p->is_unsure) {
		p->t.kind = SQLTOKEN_MARK;
		p->t.mark = '\0';
	}
}

static void
begin(struct parser *p, struct slice sql)
{
	p->in = sqltoken_begin(sql);
	advance(p);
}

static bool
is_word(const struct parser *p, const char *word)
{
	return sqltoken_is_word(&p->t, word);
}

static bool
is_mark(const struct parser *p, char c)
{
	return sqltoken_is_mark(&p->t, c);
}

static bool
is_over(const struct parser *p)
{
	return !p->is_unsure && (p->is_end || is_mark(p, ';'));
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

static void
lower(struct setting_word *w)
{
	for (size_t i = 0; i < w->n; i++)
		w->text[i] = (char)tolower((unsigned char)w->text[i]);
}

/* Put the token's value behind what the word has, and step over it. False: it has none that could
 * be known, or one that does not fit. */
static bool
take_value(struct parser *p, struct setting_word *w)
{
	size_t room = sizeof(w->text) - w->n;
	size_t n = SIZE_MAX;

	if (p->t.kind != SQLTOKEN_MARK)
		n = sqltoken_value(&p->t, w->text + w->n, room);
	if (n > room)
		return false;
	w->n = (uint16_t)(w->n + n);
	advance(p);
	return true;
}

/* meridian.city, "meridian"."city", "meridian.city". */
static bool
take_name(struct parser *p, struct setting_word *w)
{
	struct slice rest;

	w->parameter = w->n = 0;
	do {
		if (w->n == sizeof(w->text))
			return false;
		if (w->n > 0)
			w->text[w->n++] = '.';
		if (p->t.kind == SQLTOKEN_STRING || !take_value(p, w))
			return false;
	} while (take_mark(p, '.'));
	lower(w);
	return setting_is_ours(setting_text(w), &rest);
}

/* A string, or a parameter; casts behind it change neither. */
static bool
take_argument(struct parser *p, struct setting_word *w)
{
	int64_t parameter;

	w->parameter = w->n = 0;
	if (is_mark(p, '$')) {
		if (!text_to_int(slice_skip(p->t.text, 1), 1, UINT16_MAX, &parameter))
			return false;
		w->parameter = (uint16_t)parameter;
		advance(p);
	} else if (p->t.kind != SQLTOKEN_STRING || !take_value(p, w)) {
		return false;
	}
	while (take_mark(p, ':')) {
		if (!take_mark(p, ':'))
			return false;
		/* a type: words, qualified or not, and a length */
		while (p->t.kind == SQLTOKEN_WORD || p->t.kind == SQLTOKEN_NAME || is_mark(p, '.'))
			advance(p);
		if (take_mark(p, '(') && !(take_mark(p, '0') && take_mark(p, ')')))
			return false;
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
	bool word;

	(void)take_word(p, "session");
	if (!take_name(p, &out->name) || (!take_mark(p, '=') && !take_word(p, "to")))
		return false;
	out->verb = SETTING_SET;
	if (take_word(p, "default")) {
		out->verb = SETTING_RESET;
		return is_over(p);
	}
	word = p->t.kind == SQLTOKEN_WORD;
	out->value.parameter = out->value.n = 0;
	if (!take_value(p, &out->value))
		return false;
	if (word)
		lower(&out->value);
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
		if (p->t.kind == SQLTOKEN_WORD || p->t.kind == SQLTOKEN_NAME)
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

static struct slice
rest_of(const struct parser *p)
{
	return slice_of(p->in.p, (size_t)(p->in.end - p->in.p));
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
	for (begin(&p, scan->rest); !p.is_end && (depth > 0 || !is_mark(&p, ';')); advance(&p)) {
		if (p.is_unsure) {
			give_up(scan);
			return;
		}
		depth += is_mark(&p, '(');
		depth -= depth > 0 && is_mark(&p, ')');
	}
	scan->rest = rest_of(&p);
}

/* A statement, or a part of its list, has been read: note where it ends, and where to go on. */
static bool
found(struct setting_scan *scan, const struct parser *p, struct setting *out)
{
	const char *from = p->t.from;

	scan->in_list = !is_over(p);
	scan->rest = scan->in_list ? slice_of(from, (size_t)(p->in.end - from)) : rest_of(p);
	out->statement = slice_of(scan->statement, (size_t)(from - scan->statement));
	return true;
}

static bool
read_statement(struct setting_scan *scan, struct setting *out)
{
	struct parser p;

	begin(&p, scan->rest);
	if (scan->in_list) /* of calls: it goes on behind the comma, or not at all */
		return take_mark(&p, ',') && read_select(&p, out) && found(scan, &p, out);
	scan->statement = p.t.from;
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
	for (s = slice_skip(s, 7); s.n > 0 && (sqltoken_kind_of(s.p[0]) & SQLBYTE_BLANK);)
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
		return (sqltoken_kind_of(s.p[0]) & SQLBYTE_BLANK);
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
		if ((scan->in_list || is_worth_reading(scan->rest)) && read_statement(scan, out))
			return true;
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

bool
setting_to_bool(struct slice s, bool *out)
{
	static const struct {
		const char *word;
		size_t min;
		bool value;
	} words[] = {
		{ "true", 1, true }, { "false", 1, false }, { "yes", 1, true }, { "no", 1, false },
		{ "on", 2, true },   { "off", 2, false },   { "1", 1, true },   { "0", 1, false },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (s.n >= words[i].min && s.n <= strlen(words[i].word) &&
		    strncasecmp(s.p, words[i].word, s.n) == 0) {
			*out = words[i].value;
			return true;
		}
	}
	return false;
}

bool
setting_is_true(struct slice text)
{
	bool value;

	return setting_to_bool(slice_trim(text), &value) && value;
}
