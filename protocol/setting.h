/* SPDX-License-Identifier: PostgreSQL
 *
 * What a client says to its session's meridian.* settings in the text of a live query: finds, in
 * order, the statements of one text that set, reset or show one, and their parts. Knows SQL's
 * tokens and five statements; what it does not know it steps over up to the next semicolon. Copies
 * what it gives into the caller's struct, allocates nothing, never looks beyond the text.
 *
 *   SET [SESSION] meridian.x {= | TO} {value | DEFAULT}
 *   RESET meridian.x, RESET ALL, DISCARD ALL
 *   SHOW meridian.x
 *   SELECT [pg_catalog.]set_config('meridian.x', value, false) [, …]
 *
 * It errs to silence: a statement that is not exactly one of these says nothing, and behind what it
 * cannot be sure of (a backslash in an ordinary string, whose meaning hangs on
 * standard_conforming_strings; CREATE, whose body may hold semicolons) it does not look on. SET
 * LOCAL and set_config(…, true) end with their transaction and are nothing to a session.
 *
 * Grammar: PostgreSQL documentation, "Lexical Structure", SET, RESET, SHOW, DISCARD and "System
 * Administration Functions".
 */
#ifndef PROTOCOL_SETTING_H
#define PROTOCOL_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define SETTING_TEXT_MAX 256 /* bytes of a name or value; with longer ones, nothing is said */

enum setting_verb {
	SETTING_SET,
	SETTING_RESET,
	SETTING_RESET_ALL, /* also DISCARD ALL */
	SETTING_SHOW,
};

/* A text, or the number of a parameter of an extended query ($1: 1). */
struct setting_word {
	uint16_t parameter; /* 0: text */
	uint16_t n;
	char text[SETTING_TEXT_MAX];
};

struct setting {
	enum setting_verb verb;
	struct setting_word name;  /* with its "meridian.", lower case where it is a text */
	struct setting_word value; /* of SET */
	uint16_t is_local;         /* parameter that says whether it is local, or 0: it is not */
	struct slice statement;    /* where it stands in the text, without the semicolon */
};

struct setting_scan {
	struct slice rest;
	const char *statement; /* where the one under way begins */
	bool in_list;          /* in the middle of a list of set_config() */
};

void setting_begin(struct setting_scan *scan, struct slice sql);
/* The next one; false: no more. */
bool setting_next(struct setting_scan *scan, struct setting *out);

/* True where a look at its beginning shows that a text, which holds no NUL, says nothing to us: so
 * it is with most. */
bool setting_is_silent(struct slice sql);

static inline struct slice
setting_text(const struct setting_word *w)
{
	return slice_of(w->text, w->n);
}

/* Whether a name is one of ours; if so, *rest is what follows "meridian.". */
bool setting_is_ours(struct slice name, struct slice *rest);
/* A boolean as PostgreSQL's parse_bool() reads it: a beginning of a word that only this one has, in
 * any case ("t", "on", "YES", "1" …). */
bool setting_to_bool(struct slice s, bool *out);
/* The same with blanks around it; false also for what is none. */
bool setting_is_true(struct slice text);

#endif
