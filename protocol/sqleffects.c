/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/sqleffects.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "base/hot.h"
#include "base/text.h"
#include "protocol/setting.h"
#include "protocol/sqltoken.h"

#define DEPTH_MAX    4  /* texts inside texts */
#define ARGUMENT_MAX 64 /* tokens of an argument that are looked at */

#define DOUBT (1U << 31) /* beside enum sqleffect: it must be read the other way too */

struct scan {
	struct sqltoken_scan in;
	struct buf *names; /* where the names of settings go, or NULL */
	bool is_local;     /* the statement is SET LOCAL */
	bool anywhere;     /* a body of code: a statement may begin at every word */
	uint8_t depth;
};

/* ---- tokens ---- */

/* At the end there is a token that is nothing. */
static struct sqltoken
take(struct scan *s)
{
	struct sqltoken t;

	return sqltoken_next(&s->in, &t) ? t : (struct sqltoken){ .kind = SQLTOKEN_MARK };
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

static int
compare(struct slice a, struct slice b)
{
	int c = strncasecmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/* Where it stands among names in order, or is to stand. */
static size_t
place_of(struct slice names, struct slice name, bool *is_there)
{
	size_t from = 0, to = names.n;

	*is_there = false;
	while (from < to && !*is_there) {
		size_t at = from + (to - from) / 2;
		const char *nul = memrchr(names.p + from, '\0', at - from);
		int c;

		at = nul != NULL ? (size_t)(nul - names.p) + 1 : from;
		c = compare(name, slice_str(names.p + at));
		*is_there = c == 0;
		if (c <= 0)
			to = at;
		else
			from = at + strlen(names.p + at) + 1;
	}
	return to;
}

bool
sqleffects_is_named(struct slice names, struct slice name)
{
	bool is_there;

	(void)place_of(names, name, &is_there);
	return is_there;
}

static size_t
most_of(const struct buf *names)
{
	return names->cap > 0 ? names->cap : SQLEFFECTS_NAMES_MAX;
}

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
	size_t at, max = most_of(names);
	bool is_there;

	if (names->failed || name.n == 0 || memchr(name.p, '\0', name.n) != NULL ||
	    IS_ONE_OF(name, others))
		return;
	at = place_of(buf_view(names), name, &is_there);
	if (is_there)
		return;
	if (names->n >= max || name.n >= max - names->n || buf_reserve(names, name.n + 1) == NULL) {
		names->failed = true;
		return;
	}
	memmove(names->p + at + name.n + 1, names->p + at, names->n - at);
	for (size_t i = 0; i < name.n; i++)
		names->p[at + i] = (char)tolower((unsigned char)name.p[i]);
	names->p[at + name.n] = '\0';
	names->n += name.n + 1;
}

void
sqleffects_put_names(struct buf *names, struct slice more)
{
	struct slice mine = buf_view(names), a = slice_cut(&mine, '\0'), b = slice_cut(&more, '\0');
	struct buf both = { .n = 0 };

	if (names->failed || b.n == 0)
		return;
	while (a.n > 0 || b.n > 0) {
		int c = a.n == 0 ? 1 : b.n == 0 ? -1 : compare(a, b);

		buf_slice(&both, c <= 0 ? a : b);
		buf_u8(&both, 0);
		if (c <= 0)
			a = slice_cut(&mine, '\0');
		if (c >= 0)
			b = slice_cut(&more, '\0');
	}
	both.cap = names->cap;
	if (both.n > most_of(names)) {
		names->failed = true;
		buf_fini(&both);
		return;
	}
	buf_fini(names);
	*names = both;
}

HOT bool
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

	/* the settings that applications define (app.tenant) have none, and may be many */
	return name.n > 0 && memchr(name.p, '.', name.n) == NULL && IS_ONE_OF(name, names);
}

static unsigned
meaning_of(struct slice name)
{
	return sqleffects_has_meaning(name) ? EFFECT_MEANING : 0;
}

static unsigned
put_name(const struct scan *s, struct slice name)
{
	if (s->is_local)
		return meaning_of(name);
	if (s->names != NULL)
		sqleffects_put_name(s->names, name);
	/* the path on which LOAD and CREATE FUNCTION look is shown to superusers only */
	return EFFECT_SETTINGS | meaning_of(name) |
	       (slice_is_nocase(name, "dynamic_library_path") ? EFFECT_SESSION : 0);
}

/* work_mem, app.tenant, "app"."tenant"; *t is its first part, and then what stands behind it. */
static unsigned
take_name(struct scan *s, struct sqltoken *t)
{
	char name[SQLEFFECTS_NAME_MAX];
	size_t n = 0;

	while ((t->kind == SQLTOKEN_WORD || t->kind == SQLTOKEN_NAME) && t->exact &&
	       text_append(name, sizeof(name), &n, t->text)) {
		*t = take(s);
		if (t->mark != '.')
			return put_name(s, slice_of(name, n));
		if (!text_append(name, sizeof(name), &n, SLICE_LITERAL(".")))
			break;
		*t = take(s);
	}
	return EFFECT_UNNAMED | EFFECT_SETTINGS_ALL;
}

/* ---- set_config(…) ---- */

/* Step over one argument. Returns the mark behind it, ',' or ')', or 0 where that is too far away;
 * *first is its first token, and *alone whether there was no other but a cast. */
static char
take_argument(struct scan *s, struct sqltoken *first, bool *alone)
{
	unsigned depth = 0;
	bool is_cast = false;
	struct sqltoken t;

	*alone = true;
	*first = (struct sqltoken){ .kind = SQLTOKEN_MARK };
	for (size_t n = 0; n < ARGUMENT_MAX && sqltoken_next(&s->in, &t); n++) {
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
	struct sqltoken name, value, local;
	bool named, plain, sure;
	unsigned effects;

	if (take(&s).mark != '(')
		return 0;
	if (take_argument(&s, &name, &named) != ',' || take_argument(&s, &value, &plain) != ',' ||
	    take_argument(&s, &local, &sure) == '\0')
		return EFFECT_UNNAMED | EFFECT_SETTINGS_ALL;
	if (sure && (sqltoken_is_word(&local, "true") ||
		     (local.kind == SQLTOKEN_STRING && local.exact && setting_is_true(local.text))))
		return named && name.kind == SQLTOKEN_STRING && name.exact ? meaning_of(name.text)
									   : EFFECT_MEANING;
	if (!named || name.kind != SQLTOKEN_STRING || !name.exact)
		return EFFECT_UNNAMED | EFFECT_SETTINGS_ALL;
	effects = put_name(&s, name.text);
	/* NULL, which $1 may be, takes it back to its default */
	if (value.kind != SQLTOKEN_STRING && memchr(name.text.p, '.', name.text.n) == NULL)
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

/* Most words are none of these, and known by a few bytes. */
static HOT bool
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
		const struct word *w = &words[i];
		size_t n = strlen(w->text);

		if ((w->is_prefix ? text.n >= n : text.n == n) &&
		    strncasecmp(text.p, w->text, n) == 0)
			return w->effects | (w->more != NULL ? w->more(before) : 0);
	}
	return 0;
}

/* ---- words that begin a statement; s stands behind them ---- */

static unsigned read_text(struct scan *s);

static unsigned
read_body(struct scan *s, struct slice text)
{
	struct scan body = {
		.in = sqltoken_begin(text),
		.names = s->names,
		.anywhere = true,
		.depth = (uint8_t)(s->depth + 1),
	};
	unsigned effects;

	if (s->depth >= DEPTH_MAX)
		return EFFECT_UNKNOWN;
	body.in.escapes = s->in.escapes;
	effects = read_text(&body);
	s->in.doubtful = s->in.doubtful || body.in.doubtful;
	return effects;
}

/* SET SESSION AUTHORIZATION and its like, where the words are no name. */
static unsigned
set_session_effects(struct scan *s, const struct sqltoken *t)
{
	static const char *const defaults[] = { "default_transaction_isolation",
						"default_transaction_read_only",
						"default_transaction_deferrable" };

	if (sqltoken_is_word(t, "authorization"))
		return put_name(s, slice_str("session_authorization")) |
		       put_name(s, slice_str("role"));
	if (!sqltoken_is_word(t, "characteristics"))
		return 0;
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		(void)put_name(s, slice_str(defaults[i]));
	return EFFECT_SETTINGS;
}

/* SET TIME ZONE and other words for settings; 0: none of them. */
static unsigned
set_alias_effects(struct scan s, const struct sqltoken *t)
{
	static const struct {
		const char *word, *name;
	} aliases[] = { { "time", "timezone" },
			{ "names", "client_encoding" },
			{ "schema", "search_path" },
			{ "xml", "xmloption" } };

	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		struct sqltoken value;

		if (!sqltoken_is_word(t, aliases[i].word))
			continue;
		value = take(&s);
		if (i == 0)
			value = take(&s); /* ZONE has been */
		return put_name(&s, slice_str(aliases[i].name)) |
		       (value.kind == SQLTOKEN_STRING || value.kind == SQLTOKEN_MARK
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

static unsigned
set_effects(struct scan s)
{
	struct sqltoken t = take(&s);
	unsigned effects;

	if (!begins_dotted(&s)) {
		if (sqltoken_is_word(&t, "transaction") || sqltoken_is_word(&t, "constraints"))
			return 0;
		s.is_local = sqltoken_is_word(&t, "local");
		if (s.is_local || sqltoken_is_word(&t, "session"))
			t = take(&s);
		effects = s.is_local ? 0 : set_session_effects(&s, &t);
		if (effects != 0)
			return effects;
	}
	effects = begins_dotted(&s) ? 0 : set_alias_effects(s, &t);
	if (effects == 0)
		effects = take_name(&s, &t);
	t = take(&s);
	effects |= sqltoken_is_word(&t, "default") ? EFFECT_SETTINGS_ALL : 0;
	return s.is_local ? effects & EFFECT_MEANING : effects;
}

static unsigned
reset_effects(struct scan s)
{
	struct sqltoken t = take(&s);
	unsigned effects = 0;

	if (!begins_dotted(&s)) {
		if (sqltoken_is_word(&t, "all"))
			return EFFECT_SETTINGS_ALL | EFFECT_RESET_ALL;
		if (sqltoken_is_word(&t, "session")) {
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
	struct sqltoken t = take(&s);

	if (sqltoken_is_word(&t, "all"))
		return EFFECT_SETTINGS_ALL | EFFECT_RESET_ALL | EFFECT_CLEAR;
	return sqltoken_is_word(&t, "temp") || sqltoken_is_word(&t, "temporary") ? EFFECT_CLEAR : 0;
}

/* PREPARE TRANSACTION 'id' is another thing. */
static unsigned
prepare_effects(struct scan s)
{
	struct sqltoken t = take(&s);

	return sqltoken_is_word(&t, "transaction") && take(&s).kind == SQLTOKEN_STRING
		   ? 0
		   : EFFECT_PREPARE;
}

static unsigned
deallocate_effects(struct scan s)
{
	struct sqltoken t = take(&s);

	if (sqltoken_is_word(&t, "prepare"))
		t = take(&s);
	return EFFECT_CLEAR | (sqltoken_is_word(&t, "all") ? EFFECT_RESET_ALL : 0);
}

static unsigned
load_effects(struct scan s)
{
	return take(&s).kind == SQLTOKEN_STRING ? EFFECT_LOAD : 0;
}

/* DO [LANGUAGE x] 'body' */
static unsigned
do_effects(struct scan s)
{
	/* in a body, strings are read anyway */
	for (int i = 0; i < 3 && !s.anywhere; i++) {
		struct sqltoken t = take(&s);

		if (t.kind == SQLTOKEN_STRING)
			return EFFECT_CODE | read_body(&s, t.text) | (s.in.doubtful ? DOUBT : 0);
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

/* CREATE and ALTER of what texts are about. DROP says nothing that counts: what a text has meant is
 * there no more, or is created behind it. */
static unsigned
schema_effects(struct scan s)
{
	static const char *const kinds[] = { "table",    "type",      "domain",  "view",
					     "function", "procedure", "routine", "aggregate",
					     "operator", "cast",      "schema",  "extension" };
	static const char *const temporary[] = { "temp", "temporary" };

	/* OR REPLACE, UNLOGGED, FOREIGN, RECURSIVE … */
	for (int i = 0; i < 4; i++) {
		struct sqltoken t = take(&s);

		if (t.kind != SQLTOKEN_WORD || IS_ONE_OF(t.text, temporary))
			return 0;
		if (IS_ONE_OF(t.text, kinds))
			return EFFECT_SCHEMA;
	}
	return 0;
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
	{ "create", schema_effects },   { "alter", schema_effects },
};

static unsigned
verb_effects(const struct scan *s, struct slice word)
{
	if (word.n < 2 || word.n > 10 || strchr("srdlupcaSRDLUPCA", word.p[0]) == NULL)
		return 0;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (verbs[i].word[0] == (word.p[0] | 0x20) && slice_is_nocase(word, verbs[i].word))
			return verbs[i].effects(*s);
	}
	return 0;
}

/* ---- the text ---- */

/* A word that says nothing, the most frequent case; false: it is something else. */
static bool
skip_word(struct scan *s, struct slice *before)
{
	const char *p = s->in.p;
	struct slice word;

	/* dollar signs are looked at once, not from each of them to the end of all */
	if (p >= s->in.end || !(sqltoken_kind_of(*p) & SQLBYTE_LETTER))
		return false;
	while (p < s->in.end && (sqltoken_kind_of(*p) & SQLBYTE_IN_WORD))
		p++;
	word = slice_of(s->in.p, (size_t)(p - s->in.p));
	if (word.n < 2 || !is_ordinary(word))
		return false;
	*before = word;
	s->in.p = p;
	return true;
}

static HOT unsigned
read_text(struct scan *s)
{
	struct slice before = { NULL, 0 };
	unsigned effects = 0;
	bool begins = true;
	struct sqltoken t;

	for (;;) {
		const char *p = s->in.p;

		/* Blanks, numbers, operators … */
		while (p < s->in.end && !(sqltoken_kind_of(*p) & SQLBYTE_BEGINS))
			p++;
		s->in.p = p;
		if (!begins && !s->anywhere && skip_word(s, &before))
			continue;
		if (!sqltoken_next(&s->in, &t))
			return effects;
		if (t.kind == SQLTOKEN_MARK) {
			begins = begins || t.mark == ';';
			continue;
		}
		if (t.kind == SQLTOKEN_WORD && (begins || s->anywhere))
			effects |= verb_effects(s, t.text);
		begins = false;
		if (t.kind == SQLTOKEN_NAME && !t.exact && memchr(t.text.p, '\\', t.text.n) != NULL)
			effects |= EFFECT_UNKNOWN;
		if (t.kind != SQLTOKEN_STRING)
			effects |= word_effects(s, t.text, before);
		if (t.kind != SQLTOKEN_WORD && s->anywhere)
			effects |= read_body(s, t.text);
		before = t.text;
	}
}

static HOT unsigned
read_both_ways(struct slice sql, struct buf *names)
{
	struct scan s = { .in = sqltoken_begin(sql), .names = names };
	unsigned effects = read_text(&s);

	if (s.in.doubtful || (effects & DOUBT)) {
		s.in = sqltoken_begin(sql);
		s.in.escapes = true;
		effects |= read_text(&s);
	}
	return effects & ~DOUBT;
}

HOT unsigned
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
