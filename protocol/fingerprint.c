/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/fingerprint.h"

#include <ctype.h>

#include "protocol/sqltoken.h"

#define DEPTH_MAX 32
#define MORE      " ..."

/* What stands at the end of the text. */
enum last { LAST_NONE, LAST_WORD, LAST_MARK };

struct writing {
	struct buf *out;
	size_t from;            /* where in `out` the text begins */
	size_t open[DEPTH_MAX]; /* where parentheses were opened */
	unsigned depth;
	enum last last;
	char mark; /* of LAST_MARK */
	bool is_full;
};

/* ---- writing ---- */

static bool
ends_in(const struct writing *w, const char *s)
{
	size_t n = strlen(s);

	return w->out->n - w->from >= n && memcmp(w->out->p + w->out->n - n, s, n) == 0;
}

static bool
has_room(struct writing *w, size_t n)
{
	if (w->out->n - w->from + n + sizeof(MORE) > FINGERPRINT_MAX)
		w->is_full = true;
	return !w->is_full;
}

/* Whether a blank comes in front of a word. */
static bool
is_apart(const struct writing *w)
{
	return w->last == LAST_WORD || (w->last == LAST_MARK && w->mark != '(' && w->mark != '[' &&
					w->mark != '.' && w->mark != ':');
}

static void
put_as_is(struct writing *w, struct slice text)
{
	if (!has_room(w, text.n + 1))
		return;
	buf_str(w->out, is_apart(w) ? " " : "");
	buf_slice(w->out, text);
	w->last = LAST_WORD;
}

static void
put_word(struct writing *w, struct slice text)
{
	size_t at = w->out->n;

	put_as_is(w, text);
	for (; at < w->out->n; at++)
		w->out->p[at] = (char)tolower((unsigned char)w->out->p[at]);
}

/* Of a list of constants the first one stays. */
static void
put_constant(struct writing *w)
{
	if (ends_in(w, "?, ...,")) {
		w->out->n--;
		w->last = LAST_WORD;
	} else if (ends_in(w, "?,") && has_room(w, 4)) {
		buf_str(w->out, " ...");
		w->last = LAST_WORD;
	} else {
		put_as_is(w, SLICE_LITERAL("?"));
	}
}

/* A row like the one in front of it goes. */
static void
close_group(struct writing *w)
{
	size_t from, n;

	if (w->depth == 0 || --w->depth >= DEPTH_MAX)
		return;
	from = w->open[w->depth];
	n = w->out->n - from;
	if (from < w->from + n + 2 || memcmp(w->out->p + from - 2, ", ", 2) != 0 ||
	    memcmp(w->out->p + from - 2 - n, w->out->p + from, n) != 0)
		return;
	w->out->n = from - 2;
}

static bool
mark_is_apart(const struct writing *w, char mark, bool gap)
{
	if (w->last == LAST_NONE || strchr(")],;.:", mark) != NULL)
		return false;
	if (w->last == LAST_MARK && strchr("([.:", w->mark) != NULL)
		return false;
	if (w->last == LAST_MARK && w->mark == ',')
		return true;
	return w->last == LAST_MARK || mark == '(' || mark == '[' ? gap : true;
}

static void
put_mark(struct writing *w, char mark, bool gap)
{
	if (mark == '\0' || !has_room(w, 2))
		return;
	buf_str(w->out, mark_is_apart(w, mark, gap) ? " " : "");
	if (mark == '(') {
		if (w->depth < DEPTH_MAX)
			w->open[w->depth] = w->out->n;
		w->depth++;
	}
	buf_u8(w->out, (uint8_t)mark);
	w->last = LAST_MARK;
	w->mark = mark;
	if (mark == ')')
		close_group(w);
}

/* ---- reading ---- */

static bool
is(char c, unsigned kinds)
{
	return (sqltoken_kind_of(c) & kinds) != 0;
}

static void
put_token(struct writing *w, struct sqltoken_scan *s, const struct sqltoken *t, const char *before)
{
	const char *at = t->text.p;

	switch (t->kind) {
	case SQLTOKEN_WORD:
		put_word(w, t->text);
		break;
	case SQLTOKEN_NAME:
		put_as_is(w, slice_of(t->from, (size_t)(s->p - t->from)));
		break;
	case SQLTOKEN_STRING:
		put_constant(w);
		break;
	case SQLTOKEN_MARK:
		if (t->mark == '0' || t->mark == '$') {
			/* The scan stands behind the first digits of a number: 1.5e-3, 0x1F, 1_000.
			 */
			while (s->p < s->end && (is(*s->p, SQLBYTE_IN_WORD) || *s->p == '.')) {
				bool is_exponent = (*s->p | 0x20) == 'e' && s->end - s->p > 2 &&
						   (s->p[1] == '-' || s->p[1] == '+') &&
						   is(s->p[2], SQLBYTE_DIGIT);

				s->p += is_exponent ? 2 : 1;
			}
			put_constant(w);
		} else if (*at != '$') {
			put_mark(w, *at, at != before);
		}
		break;
	}
}

/* *whole: nothing of it was cut. False: it hangs on a setting where strings end. */
static bool
write_as(struct slice sql, bool is_cut, bool escapes, struct buf *out, bool *whole)
{
	struct sqltoken_scan s = sqltoken_begin(sql);
	struct writing w = { .out = out, .from = out->n };
	const char *before = s.p;
	struct sqltoken t;

	s.escapes = escapes;
	while (!w.is_full && sqltoken_next(&s, &t)) {
		put_token(&w, &s, &t, before);
		before = s.p;
	}
	while (!w.is_full && !is_cut && ends_in(&w, ";"))
		out->n--;
	*whole = !w.is_full && !is_cut;
	if (!*whole)
		buf_str(out, MORE);
	return !s.doubtful;
}

/* What both have at the front, whole words of it. True: that is all of both. */
static bool
keep_common(struct buf *out, size_t from, const struct buf *other)
{
	size_t n = 0, have = out->n - from;

	while (n < have && n < other->n && out->p[from + n] == other->p[n])
		n++;
	if (n == have && n == other->n)
		return true;
	while (n > 0 && out->p[from + n - 1] != ' ')
		n--;
	out->n = from + (n > 0 ? n - 1 : 0);
	buf_str(out, MORE);
	return false;
}

bool
fingerprint_put(struct slice sql, bool is_cut, struct buf *out)
{
	struct buf other = { 0 };
	size_t from = out->n;
	bool whole, other_whole;

	if (write_as(sql, is_cut, false, out, &whole))
		return whole;
	(void)write_as(sql, is_cut, true, &other, &other_whole);
	whole = keep_common(out, from, &other) && whole && other_whole;
	buf_fini(&other);
	return whole;
}

/* FNV-1a. */
uint64_t
fingerprint_id_from(uint64_t from, struct slice text)
{
	for (size_t i = 0; i < text.n; i++)
		from = (from ^ (uint8_t)text.p[i]) * UINT64_C(0x100000001b3);
	return from;
}

uint64_t
fingerprint_id(struct slice text)
{
	return fingerprint_id_from(UINT64_C(0xcbf29ce484222325), text);
}

/* ---- tables ---- */

static bool
is_one_of(struct slice word, const char *const *words)
{
	while (*words != NULL && !slice_is(word, *words))
		words++;
	return *words != NULL;
}

/* These stand in front of a table. */
static const char *const leaders[] = { "from", "join", "into", "update", "table", NULL };
/* … but not behind these: FOR UPDATE, DO UPDATE, DISTINCT FROM. */
static const char *const blockers[] = { "for", "do", "on", "distinct", NULL };
/* … and these between the two. */
static const char *const fillers[] = { "only", "if", "not", "exists", "lateral", NULL };
/* Behind them "from" is a word of a function's arguments. */
static const char *const functions[] = { "extract", "substring", "trim", "overlay", NULL };

struct looking {
	struct buf *out;
	size_t from;
	struct slice name;   /* of a table, as far as it has come */
	struct slice before; /* the word in front */
	bool is_wanted;      /* a table's name comes now */
	bool is_list;        /* … and behind a comma another one */
	bool is_into;
	bool is_argument; /* the "from" of a function is to come */
};

/* The name is whole; what follows it with a parenthesis is a function. */
static void
end_name(struct looking *l, char next)
{
	struct slice rest = slice_skip(buf_view(l->out), l->from);
	bool is_new = l->name.n > 0 && (next != '(' || l->is_into);

	while (is_new && rest.n > 0)
		is_new = !slice_same(slice_trim(slice_cut(&rest, ',')), l->name);
	if (is_new) {
		buf_str(l->out, l->out->n > l->from ? ", " : "");
		buf_slice(l->out, l->name);
	}
	if (l->name.n > 0)
		l->is_wanted = false;
	l->name.n = 0;
}

static void
see_word(struct looking *l, struct slice word)
{
	if (l->is_wanted && l->name.n > 0 && l->name.p[l->name.n - 1] == '.') {
		l->name.n = (size_t)(word.p + word.n - l->name.p);
		return;
	}
	end_name(l, '\0');
	if (is_one_of(word, leaders)) {
		bool is_from = slice_is(word, "from");

		l->is_wanted = !(is_from && l->is_argument) && !is_one_of(l->before, blockers);
		l->is_list = is_from && l->is_wanted;
		l->is_into = slice_is(word, "into") || slice_is(word, "table");
		l->is_argument = l->is_argument && !is_from;
	} else if (l->is_wanted && !is_one_of(word, fillers) && !slice_is(word, "?")) {
		l->name = word;
	} else if (is_one_of(word, functions)) {
		l->is_argument = true;
	}
	l->before = word;
}

static void
see_mark(struct looking *l, const char *at)
{
	if (*at == '.' && l->name.n > 0 && at == l->name.p + l->name.n) {
		l->name.n++;
		return;
	}
	end_name(l, *at);
	if (*at == ',')
		l->is_wanted = l->is_list;
	else if (*at == '(' || *at == ')' || *at == '=')
		l->is_wanted = l->is_list = false;
}

void
fingerprint_put_tables(struct slice text, struct buf *out)
{
	struct sqltoken_scan s = sqltoken_begin(text);
	struct looking l = { .out = out, .from = out->n };
	struct sqltoken t;

	while (sqltoken_next(&s, &t)) {
		if (t.kind == SQLTOKEN_WORD)
			see_word(&l, t.text);
		else if (t.kind == SQLTOKEN_NAME && t.text.p + t.text.n < s.end)
			see_word(&l, slice_of(t.text.p - 1, t.text.n + 2));
		else if (t.kind == SQLTOKEN_MARK && t.mark != '0')
			see_mark(&l, t.text.p);
	}
	end_name(&l, '\0');
}

bool
fingerprint_names(struct slice text, struct slice name)
{
	for (size_t i = 0; name.n > 0 && i + name.n <= text.n; i++) {
		if (strncasecmp(text.p + i, name.p, name.n) != 0)
			continue;
		if ((i == 0 || !is(text.p[i - 1], SQLBYTE_IN_WORD)) &&
		    (i + name.n == text.n || !is(text.p[i + name.n], SQLBYTE_IN_WORD)))
			return true;
	}
	return false;
}
