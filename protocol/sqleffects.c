/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/sqleffects.h"

#include <stdint.h>
#include <string.h>

#define NAME_PARTS_MAX 8
#define NAME_MAX_BYTES 256
#define DEPTH_MAX      4  /* texts inside texts */
#define ARGUMENT_MAX   64 /* tokens of an argument that are looked at */

#define DOUBT (1U << 31) /* beside enum sqleffect: it must be read the other way too */

/* What a byte may be; a set. */
enum byte_kind {
	BYTE_BLANK = 1 << 0,
	BYTE_LETTER = 1 << 1, /* begins a word */
	BYTE_DIGIT = 1 << 2,
	BYTE_IN_WORD = 1 << 3,
	BYTE_SPECIAL = 1 << 4, /* may begin something longer than itself */
	BYTE_SEMICOLON = 1 << 5,
};

/* Where nothing of these stands, nothing begins that is of interest between statements' words. */
#define BYTE_BEGINS (BYTE_LETTER | BYTE_SPECIAL | BYTE_SEMICOLON)

/* clang-format off */
static const uint8_t kinds[256] = {
	[' '] = BYTE_BLANK,
	['\t' ... '\r'] = BYTE_BLANK,
	['a' ... 'z'] = BYTE_LETTER | BYTE_IN_WORD,
	['A' ... 'Z'] = BYTE_LETTER | BYTE_IN_WORD,
	['_'] = BYTE_LETTER | BYTE_IN_WORD,
	[0x80 ... 0xff] = BYTE_LETTER | BYTE_IN_WORD,
	['0' ... '9'] = BYTE_DIGIT | BYTE_IN_WORD,
	['$'] = BYTE_SPECIAL | BYTE_IN_WORD,
	['\''] = BYTE_SPECIAL,
	['"'] = BYTE_SPECIAL,
	['-'] = BYTE_SPECIAL,
	['/'] = BYTE_SPECIAL,
	[';'] = BYTE_SEMICOLON,
};
/* clang-format on */

struct scan {
	const char *p, *end;
	struct buf *names; /* where the names of settings go, or NULL */
	bool escapes;      /* backslashes escape in '…' */
	bool doubtful;     /* there was a '…' for which that matters */
	bool is_local;     /* the statement is SET LOCAL */
	bool anywhere;     /* a body of code: a statement may begin at every word */
	uint8_t depth;
};

enum token_kind { TOKEN_WORD, TOKEN_NAME, TOKEN_STRING, TOKEN_MARK };

struct token {
	enum token_kind kind;
	char mark;         /* of TOKEN_MARK: the byte; 0 for what is of no interest */
	bool exact;        /* text is what is meant: no escapes, no doubled quotes */
	struct slice text; /* without its quotes */
};

/* ---- tokens ---- */

static unsigned
kind_of(char c)
{
	return kinds[(unsigned char)c];
}

static char
peek(const struct scan *s, size_t i)
{
	return i < (size_t)(s->end - s->p) ? s->p[i] : '\0';
}

static void
skip_line(struct scan *s)
{
	while (s->p < s->end && *s->p != '\n' && *s->p != '\r')
		s->p++;
}

/* Comments nest; one without an end takes the rest. */
static void
skip_comment(struct scan *s)
{
	unsigned depth = 0;

	do {
		if (s->end - s->p < 2) {
			s->p = s->end;
			return;
		}
		if (s->p[0] == '/' && s->p[1] == '*') {
			depth++;
			s->p += 2;
		} else if (s->p[0] == '*' && s->p[1] == '/') {
			depth--;
			s->p += 2;
		} else {
			s->p++;
		}
	} while (depth > 0);
}

/* False: something else stands here. */
static bool
skip_blank_or_comment(struct scan *s)
{
	if (kind_of(*s->p) & BYTE_BLANK)
		s->p++;
	else if (*s->p == '-' && peek(s, 1) == '-')
		skip_line(s);
	else if (*s->p == '/' && peek(s, 1) == '*')
		skip_comment(s);
	else
		return false;
	return true;
}

/* A string goes on behind a line's end, with the escapes that it began with. */
static bool
goes_on(struct scan *s)
{
	struct scan ahead = *s;
	const char *from = s->p;

	while (ahead.p < ahead.end && *ahead.p != '/' && skip_blank_or_comment(&ahead))
		;
	if (peek(&ahead, 0) != '\'' || (memchr(from, '\n', (size_t)(ahead.p - from)) == NULL &&
					memchr(from, '\r', (size_t)(ahead.p - from)) == NULL))
		return false;
	s->p = ahead.p + 1;
	return true;
}

/* Between quotes, which are doubled inside; the first one has been taken. */
static void
read_quoted(struct scan *s, struct token *t, char quote, bool escapes)
{
	const char *from = s->p;

	t->exact = true;
	for (; s->p < s->end; s->p++) {
		if (*s->p == '\\' && escapes) {
			t->exact = false;
			s->p += s->p + 1 < s->end;
		} else if (*s->p == quote && peek(s, 1) == quote) {
			t->exact = false;
			s->p++;
		} else if (*s->p == quote) {
			break;
		}
	}
	t->text = slice_of(from, (size_t)(s->p - from));
	s->p += s->p < s->end;
}

static void
read_string(struct scan *s, struct token *t, bool escapes)
{
	const char *from = s->p;

	t->kind = TOKEN_STRING;
	read_quoted(s, t, '\'', escapes);
	while (escapes && goes_on(s)) {
		read_quoted(s, t, '\'', true);
		t->text = slice_of(from, (size_t)(t->text.p + t->text.n - from));
		t->exact = false;
	}
}

/* '…': whether a backslash before a quote escapes it depends on a setting. */
static void
read_plain_string(struct scan *s, struct token *t)
{
	read_string(s, t, s->escapes);
	if (t->text.n > 0 && memchr(t->text.p, '\\', t->text.n) != NULL) {
		t->exact = false;
		s->doubtful = true;
	}
}

/* $tag$…$tag$ or $1; the dollar sign is the next byte. */
static void
read_dollar(struct scan *s, struct token *t)
{
	size_t n = 1;
	const char *from, *found;

	if (kind_of(peek(s, 1)) & BYTE_LETTER)
		for (n = 2; kind_of(peek(s, n)) & (BYTE_LETTER | BYTE_DIGIT);)
			n++;
	if (peek(s, n) != '$') {
		s->p++;
		return;
	}
	n++;
	from = s->p + n;
	found = memmem(from, (size_t)(s->end - from), s->p, n);
	if (found == NULL)
		found = s->end;
	t->kind = TOKEN_STRING;
	t->exact = true;
	t->text = slice_of(from, (size_t)(found - from));
	s->p = found < s->end ? found + n : s->end;
}

static void
read_word(struct scan *s, struct token *t)
{
	const char *from = s->p;
	char first = (char)(*from | 0x20);

	const char *p = from + 1;

	while (p < s->end && (kind_of(*p) & BYTE_IN_WORD))
		p++;
	s->p = p;
	t->kind = TOKEN_WORD;
	t->exact = true;
	t->text = slice_of(from, (size_t)(s->p - from));
	if (t->text.n > 1)
		return;
	if (first == 'e' && peek(s, 0) == '\'') {
		s->p++;
		read_string(s, t, true);
	} else if (first == 'u' && peek(s, 0) == '&' && peek(s, 1) == '\'') {
		s->p += 2;
		read_string(s, t, false);
		t->exact = false;
	} else if (first == 'u' && peek(s, 0) == '&' && peek(s, 1) == '"') {
		s->p += 2;
		t->kind = TOKEN_NAME;
		read_quoted(s, t, '"', false);
		t->exact = false;
	}
}

static void
read_special(struct scan *s, struct token *t)
{
	switch (*s->p) {
	case '\'':
		s->p++;
		read_plain_string(s, t);
		break;
	case '"':
		s->p++;
		t->kind = TOKEN_NAME;
		read_quoted(s, t, '"', false);
		break;
	case '$':
		read_dollar(s, t);
		break;
	default:
		s->p++;
		break;
	}
}

/* The next token; false at the end. */
static bool
next(struct scan *s, struct token *t)
{
	while (s->p < s->end && skip_blank_or_comment(s))
		;
	if (s->p >= s->end)
		return false;
	t->kind = TOKEN_MARK;
	t->mark = '\0';
	t->exact = false;
	t->text = slice_of(s->p, 0);
	if (kind_of(*s->p) & BYTE_LETTER) {
		read_word(s, t);
	} else if (kind_of(*s->p) & BYTE_SPECIAL) {
		read_special(s, t);
	} else if (kind_of(*s->p) & BYTE_DIGIT) {
		while (s->p < s->end && ((kind_of(*s->p) & BYTE_DIGIT) || *s->p == '.'))
			s->p++;
	} else {
		t->mark = *s->p++;
	}
	return true;
}

/* As next(), but at the end there is a token that is nothing. */
static struct token
take(struct scan *s)
{
	struct token t;

	return next(s, &t) ? t : (struct token){ .kind = TOKEN_MARK };
}

static bool
is_word(const struct token *t, const char *word)
{
	return t->kind == TOKEN_WORD && slice_is_nocase(t->text, word);
}

static bool
is_one_of(struct slice word, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (slice_is_nocase(word, words[i]))
			return true;
	}
	return false;
}

#define IS_ONE_OF(word, words) is_one_of(word, words, sizeof(words) / sizeof((words)[0]))

/* ---- names of settings ---- */

void
sqleffects_put_name(struct buf *names, struct slice name)
{
	/* these end with their transaction, or are not ours to set */
	static const char *const others[] = { "transaction_isolation",
					      "transaction_read_only",
					      "transaction_deferrable",
					      "is_superuser",
					      "seed",
					      "server_version",
					      "server_encoding",
					      "integer_datetimes",
					      "in_hot_standby" };
	size_t max = names->cap > 0 ? names->cap : SQLEFFECTS_NAMES_MAX;
	struct slice rest = buf_view(names);

	if (names->failed || name.n == 0 || memchr(name.p, '\0', name.n) != NULL ||
	    IS_ONE_OF(name, others))
		return;
	while (rest.n > 0) {
		struct slice known = slice_cut(&rest, '\0');

		if (known.n == name.n && strncasecmp(known.p, name.p, name.n) == 0)
			return;
	}
	if (name.n + 1 > max - names->n) {
		names->failed = true;
		return;
	}
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		buf_u8(names, (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c));
	}
	buf_u8(names, 0);
}

bool
sqleffects_has_meaning(struct slice name)
{
	static const char *const names[] = {
		/* names and their types; PostgreSQL itself looks anew where these have changed */
		"search_path", "role", "session_authorization",
		/* literals, which become values at once */
		"timezone", "datestyle", "intervalstyle", "timezone_abbreviations", "array_nulls",
		"backslash_quote", "standard_conforming_strings", "client_encoding", "lc_monetary",
		"lc_numeric", "transform_null_equals", "xmloption"
	};

	return IS_ONE_OF(name, names);
}

static unsigned
meaning_of(struct slice name)
{
	return sqleffects_has_meaning(name) ? EFFECT_MEANING : 0;
}

/* Of a setting that changes until the end of the transaction. */
static unsigned
local_effects(struct slice name)
{
	static const char *const looked_at_anew[] = { "search_path", "role",
						      "session_authorization" };

	return IS_ONE_OF(name, looked_at_anew) ? 0 : meaning_of(name);
}

static unsigned
put_name(const struct scan *s, struct slice name)
{
	if (s->is_local)
		return local_effects(name);
	if (s->names != NULL)
		sqleffects_put_name(s->names, name);
	/* the path on which LOAD and CREATE FUNCTION look is shown to superusers only */
	return EFFECT_SETTINGS | meaning_of(name) |
	       (slice_is_nocase(name, "dynamic_library_path") ? EFFECT_SESSION : 0);
}

/* work_mem, app.tenant, "app"."tenant"; *t is its first part, and then what stands behind it. */
static unsigned
take_name(struct scan *s, struct token *t)
{
	char name[NAME_MAX_BYTES];
	size_t n = 0;

	for (;;) {
		if ((t->kind != TOKEN_WORD && t->kind != TOKEN_NAME) || !t->exact ||
		    t->text.n > sizeof(name) - 1 - n)
			return EFFECT_UNNAMED | EFFECT_SETTINGS_ALL;
		memcpy(name + n, t->text.p, t->text.n);
		n += t->text.n;
		*t = take(s);
		if (t->mark != '.')
			return put_name(s, slice_of(name, n));
		name[n++] = '.';
		*t = take(s);
	}
}

/* ---- set_config(…) ---- */

static bool
is_true(const struct token *t)
{
	static const char *const words[] = {
		"t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"
	};

	return is_word(t, "true") ||
	       (t->kind == TOKEN_STRING && t->exact && IS_ONE_OF(t->text, words));
}

/* Step over one argument. Returns the mark behind it, ',' or ')', or 0 where that is too far away;
 * *first is its first token, and *alone whether there was no other but a cast. */
static char
take_argument(struct scan *s, struct token *first, bool *alone)
{
	unsigned depth = 0;
	bool is_cast = false;
	struct token t;

	*alone = true;
	*first = (struct token){ .kind = TOKEN_MARK };
	for (size_t n = 0; n < ARGUMENT_MAX && next(s, &t); n++) {
		if (depth == 0 && (t.mark == ',' || t.mark == ')'))
			return t.mark;
		depth += t.mark == '(' || t.mark == '[';
		depth -= depth > 0 && (t.mark == ')' || t.mark == ']');
		if (n == 0)
			*first = t;
		else if (t.mark != ':' && !is_cast)
			*alone = false;
		is_cast = t.mark == ':';
	}
	return '\0';
}

static unsigned
set_config_effects(struct scan s)
{
	struct token name, value, local;
	bool named, plain, sure;
	unsigned effects;

	if (take(&s).mark != '(')
		return 0;
	if (take_argument(&s, &name, &named) != ',' || take_argument(&s, &value, &plain) != ',' ||
	    take_argument(&s, &local, &sure) == '\0')
		return EFFECT_UNNAMED | EFFECT_SETTINGS_ALL;
	if (sure && is_true(&local))
		return named && name.kind == TOKEN_STRING && name.exact ? local_effects(name.text)
									: 0;
	if (!named || name.kind != TOKEN_STRING || !name.exact)
		return EFFECT_UNNAMED | EFFECT_SETTINGS_ALL;
	effects = put_name(&s, name.text);
	/* NULL, which $1 may be, takes it back to its default */
	if (value.kind != TOKEN_STRING && memchr(name.text.p, '.', name.text.n) == NULL)
		effects |= EFFECT_SETTINGS_ALL;
	return effects;
}

/* ---- words that say something wherever they stand ---- */

static unsigned
temp_effects(struct slice before)
{
	static const char *const words[] = { "create", "replace", "local", "global", "into" };

	return IS_ONE_OF(before, words) ? EFFECT_TEMP : 0;
}

static unsigned
settings_view_effects(struct slice before)
{
	static const char *const words[] = { "update", "only", "pg_catalog" };

	return IS_ONE_OF(before, words) ? EFFECT_SETTINGS_ALL : 0;
}

static unsigned
hold_effects(struct slice before)
{
	return slice_is_nocase(before, "with") ? EFFECT_HOLD : 0;
}

static const struct word {
	const char *text;
	bool is_prefix;
	unsigned effects;
	unsigned (*more)(struct slice before);
} words[] = {
	/* a longer one stands before its beginning */
	{ "pg_advisory_xact_", true, 0, NULL },
	{ "pg_try_advisory_xact_", true, 0, NULL },
	{ "pg_advisory_unlock", true, EFFECT_CLEAR, NULL },
	{ "pg_advisory_", true, EFFECT_ADVISORY, NULL },
	{ "pg_try_advisory_", true, EFFECT_ADVISORY, NULL },
	{ "pg_temp", true, EFFECT_TEMP, NULL },
	{ "pg_settings", false, 0, settings_view_effects },
	{ "pg_replication_origin_session_setup", false, EFFECT_SESSION, NULL },
	{ "pg_create_physical_replication_slot", false, EFFECT_SESSION, NULL },
	{ "pg_create_logical_replication_slot", false, EFFECT_SESSION, NULL },
	{ "pg_copy_physical_replication_slot", false, EFFECT_SESSION, NULL },
	{ "pg_copy_logical_replication_slot", false, EFFECT_SESSION, NULL },
	{ "dblink_connect", true, EFFECT_SESSION, NULL },
	{ "temp", false, 0, temp_effects },
	{ "temporary", false, 0, temp_effects },
	{ "hold", false, 0, hold_effects },
};

static bool
is_like(struct slice text, const struct word *w)
{
	size_t n = strlen(w->text);

	return (w->is_prefix ? text.n >= n : text.n == n) && strncasecmp(text.p, w->text, n) == 0;
}

/* Most words are none of these, and known by a few bytes. */
static bool
is_ordinary(struct slice text)
{
	if (text.n < 4)
		return true;
	switch (text.p[0] | 0x20) {
	case 'p':
		return (text.p[1] | 0x20) != 'g' || text.p[2] != '_';
	case 's':
		return text.n != 10 || text.p[3] != '_';
	case 'd':
		return text.n < 14;
	case 'h':
		return text.n != 4;
	case 't':
		return text.n != 4 && text.n != 9;
	default:
		return true;
	}
}

static unsigned
word_effects(const struct scan *s, struct slice text, struct slice before)
{
	if (is_ordinary(text))
		return 0;
	if (slice_is_nocase(text, "set_config"))
		return set_config_effects(*s);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (is_like(text, &words[i]))
			return words[i].effects | (words[i].more ? words[i].more(before) : 0);
	}
	return 0;
}

/* ---- words that begin a statement; s stands behind them ---- */

static unsigned read_text(struct scan *s);

static unsigned
read_body(struct scan *s, struct slice text)
{
	struct scan body = { .p = text.p,
			     .end = text.p + text.n,
			     .names = s->names,
			     .escapes = s->escapes,
			     .anywhere = true,
			     .depth = (uint8_t)(s->depth + 1) };
	unsigned effects;

	if (s->depth >= DEPTH_MAX)
		return EFFECT_UNKNOWN;
	effects = read_text(&body);
	s->doubtful = s->doubtful || body.doubtful;
	return effects;
}

/* SET SESSION AUTHORIZATION and its like, where the words are no name. */
static unsigned
set_session_effects(struct scan *s, const struct token *t)
{
	static const char *const defaults[] = { "default_transaction_isolation",
						"default_transaction_read_only",
						"default_transaction_deferrable" };

	if (is_word(t, "authorization"))
		return put_name(s, slice_str("session_authorization")) |
		       put_name(s, slice_str("role"));
	if (!is_word(t, "characteristics"))
		return 0;
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		(void)put_name(s, slice_str(defaults[i]));
	return EFFECT_SETTINGS;
}

/* SET TIME ZONE and other words for settings; 0: none of them. */
static unsigned
set_alias_effects(struct scan s, const struct token *t)
{
	static const struct {
		const char *word, *name;
	} aliases[] = { { "time", "timezone" },
			{ "names", "client_encoding" },
			{ "schema", "search_path" },
			{ "xml", "xmloption" } };

	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		struct token value;

		if (!is_word(t, aliases[i].word))
			continue;
		value = take(&s);
		if (i == 0)
			value = take(&s); /* ZONE has been */
		return put_name(&s, slice_str(aliases[i].name)) |
		       (value.kind == TOKEN_STRING || value.kind == TOKEN_MARK
			    ? 0U
			    : EFFECT_SETTINGS_ALL);
	}
	return 0;
}

static bool
begins_dotted(const struct scan *s)
{
	struct scan ahead = *s;

	return take(&ahead).mark == '.';
}

/* Behind SET and LOCAL or SESSION; *t is the next word. */
static unsigned
set_name_effects(struct scan *s, struct token *t)
{
	unsigned effects = begins_dotted(s) ? 0 : set_alias_effects(*s, t);

	if (effects == 0)
		effects = take_name(s, t);
	*t = take(s);
	return effects | (is_word(t, "default") ? EFFECT_SETTINGS_ALL : 0);
}

static unsigned
set_effects(struct scan s)
{
	struct token t = take(&s);
	unsigned effects;

	if (!begins_dotted(&s)) {
		if (is_word(&t, "transaction") || is_word(&t, "constraints"))
			return 0;
		s.is_local = is_word(&t, "local");
		if (s.is_local || is_word(&t, "session"))
			t = take(&s);
		effects = s.is_local ? 0 : set_session_effects(&s, &t);
		if (effects != 0)
			return effects;
	}
	effects = set_name_effects(&s, &t);
	return s.is_local ? effects & EFFECT_MEANING : effects;
}

static unsigned
reset_effects(struct scan s)
{
	struct token t = take(&s);
	unsigned effects = 0;

	if (!begins_dotted(&s)) {
		if (is_word(&t, "all"))
			return EFFECT_SETTINGS_ALL | EFFECT_RESET_ALL;
		if (is_word(&t, "session")) {
			t = take(&s);
			effects = set_session_effects(&s, &t);
		} else {
			effects = set_alias_effects(s, &t);
		}
	}
	if (effects == 0)
		effects = take_name(&s, &t);
	return effects | EFFECT_SETTINGS_ALL;
}

static unsigned
discard_effects(struct scan s)
{
	struct token t = take(&s);

	if (is_word(&t, "all"))
		return EFFECT_SETTINGS_ALL | EFFECT_RESET_ALL | EFFECT_CLEAR;
	return is_word(&t, "temp") || is_word(&t, "temporary") ? EFFECT_CLEAR : 0;
}

/* PREPARE TRANSACTION 'id' is another thing. */
static unsigned
prepare_effects(struct scan s)
{
	struct token t = take(&s);

	return is_word(&t, "transaction") && take(&s).kind == TOKEN_STRING ? 0 : EFFECT_PREPARE;
}

static unsigned
deallocate_effects(struct scan s)
{
	struct token t = take(&s);

	if (is_word(&t, "prepare"))
		t = take(&s);
	return EFFECT_CLEAR | (is_word(&t, "all") ? EFFECT_RESET_ALL : 0);
}

static unsigned
load_effects(struct scan s)
{
	return take(&s).kind == TOKEN_STRING ? EFFECT_LOAD : 0;
}

/* DO [LANGUAGE x] 'body' */
static unsigned
do_effects(struct scan s)
{
	/* in a body, strings are read anyway */
	for (int i = 0; i < 3 && !s.anywhere; i++) {
		struct token t = take(&s);

		if (t.kind == TOKEN_STRING)
			return EFFECT_CODE | read_body(&s, t.text) | (s.doubtful ? DOUBT : 0);
	}
	return EFFECT_CODE;
}

static unsigned
call_effects(struct scan s)
{
	(void)s;
	return EFFECT_CODE;
}

static unsigned
listen_effects(struct scan s)
{
	(void)s;
	return EFFECT_LISTEN;
}

static unsigned
clear_effects(struct scan s)
{
	(void)s;
	return EFFECT_CLEAR;
}

static const struct {
	const char *word;
	unsigned (*effects)(struct scan s);
} verbs[] = {
	{ "set", set_effects },         { "reset", reset_effects },
	{ "discard", discard_effects }, { "listen", listen_effects },
	{ "unlisten", clear_effects },  { "prepare", prepare_effects },
	{ "close", clear_effects },     { "deallocate", deallocate_effects },
	{ "drop", clear_effects },      { "load", load_effects },
	{ "do", do_effects },           { "call", call_effects },
};

static unsigned
verb_effects(const struct scan *s, struct slice word)
{
	if (word.n < 2 || word.n > 10 || strchr("srdlupcSRDLUPC", word.p[0]) == NULL)
		return 0;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (slice_is_nocase(word, verbs[i].word))
			return verbs[i].effects(*s);
	}
	return 0;
}

/* ---- the text ---- */

/* Blanks, numbers, operators … */
static void
skip_marks(struct scan *s)
{
	const char *p = s->p;

	while (p < s->end && !(kind_of(*p) & BYTE_BEGINS))
		p++;
	s->p = p;
}

/* A word that says nothing, the most frequent case; false: it is something else. */
static bool
skip_word(struct scan *s, struct slice *before)
{
	const char *p = s->p;
	struct slice word;

	while (p < s->end && (kind_of(*p) & BYTE_IN_WORD))
		p++;
	word = slice_of(s->p, (size_t)(p - s->p));
	if (word.n < 2 || !(kind_of(word.p[0]) & BYTE_LETTER) || !is_ordinary(word))
		return false;
	*before = word;
	s->p = p;
	return true;
}

static unsigned
read_text(struct scan *s)
{
	struct slice before = { NULL, 0 };
	unsigned effects = 0;
	bool begins = true;
	struct token t;

	for (;;) {
		skip_marks(s);
		if (!begins && !s->anywhere && skip_word(s, &before))
			continue;
		if (!next(s, &t))
			return effects;
		if (t.kind == TOKEN_MARK) {
			begins = begins || t.mark == ';';
			continue;
		}
		if (t.kind == TOKEN_WORD && (begins || s->anywhere))
			effects |= verb_effects(s, t.text);
		begins = false;
		if (t.kind == TOKEN_NAME && !t.exact && memchr(t.text.p, '\\', t.text.n) != NULL)
			effects |= EFFECT_UNKNOWN;
		if (t.kind != TOKEN_STRING)
			effects |= word_effects(s, t.text, before);
		if (t.kind != TOKEN_WORD && s->anywhere)
			effects |= read_body(s, t.text);
		before = t.text;
	}
}

static unsigned
read_both_ways(struct slice sql, struct buf *names)
{
	struct scan s = { .p = sql.p, .end = sql.p + sql.n, .names = names };
	unsigned effects = read_text(&s);

	if (s.doubtful || (effects & DOUBT)) {
		s = (struct scan){
			.p = sql.p, .end = sql.p + sql.n, .names = names, .escapes = true
		};
		effects |= read_text(&s);
	}
	return effects & ~DOUBT;
}

unsigned
sqleffects(struct slice sql)
{
	return sql.n > 0 ? read_both_ways(sql, NULL) : 0;
}

void
sqleffects_names(struct slice sql, struct buf *names)
{
	if (sql.n > 0)
		(void)read_both_ways(sql, names);
}
